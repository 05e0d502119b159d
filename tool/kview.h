/* SPDX-License-Identifier: MIT */
/*
 * kview.h - an address space as the kernel under test shows it: reading it, importing it once, comparing it, and
 * probing what this kernel is (settings).
 */
#ifndef VMAKIT_TOOL_KVIEW_H
#define VMAKIT_TOOL_KVIEW_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "vmakit/vmakit.h"

struct kview_area {
    vmk_addr start, end;
    vmk_vm_flags flags; /* from VmFlags (KVIEW_FLAGS), else from the four letters */
    char perms[5];      /* "rw-p" */
    uint64_t offset;    /* bytes */
    unsigned dev_major, dev_minor;
    uint64_t inode;
    uint64_t anonymous_kb; /* KVIEW_FLAGS only: smaps' Anonymous; > 0 means that an anon_vma exists */
    const char *name;      /* last column, "" for none; owned by the view */
};

/* The Vm* lines of status, in kB. */
struct kview_status {
    uint64_t peak, size, lck, pin, data, stk, exe, lib;
};

struct kview {
    struct kview_area *areas; /* ascending; the vsyscall page is left out */
    size_t nr_areas, room;
    struct kview_status status;
    char *text; /* backing of the names */
    size_t text_room;
    unsigned has; /* enum kview_what: what was read */
};

enum kview_what { KVIEW_FLAGS = 1u << 0, KVIEW_STATUS = 1u << 1 };

/* The Vm lines of a status that was read otherwise. */
void kview_take_status(struct kview *view, const char *text);
/* Reads /proc/PID. `view` may be a zeroed one or one read before (its memory is used again). 0 or -errno. */
int kview_read(struct kview *view, pid_t pid, unsigned what);
/* The same of the areas that begin below `limit`, and perhaps of some more. */
int kview_read_below(struct kview *view, pid_t pid, unsigned what, vmk_addr limit);
/*
 * Reads a whole file (of /proc, too) into the view's memory and then as kview_parse does. -ENODATA: no newline ends
 * *bad_line, the last one, so that the file may have been cut off in it.
 */
int kview_read_file(struct kview *view, const char *path, size_t *bad_line);
/* Reads saved text of maps or smaps; *bad_line (may be NULL) names the line that cannot be read (-EINVAL). */
int kview_parse(struct kview *view, const char *text, size_t len, size_t *bad_line);
void kview_free(struct kview *view);

/* Gives the file (a reference) for an area that has one, or NULL when it cannot be known. */
typedef struct vmk_file *kview_file_fn(void *context, const struct kview_area *area);
/* Puts every area into an empty `mm` (vmk_mm_import): once, at exec. anon_vmas from anonymous_kb. 0 or negative. */
int kview_import(const struct kview *view, struct vmk_mm *mm, kview_file_fn *file, void *context);

/* What /proc/PID/status would show of `mm`. */
void kview_status_of(struct vmk_mm *mm, struct kview_status *status);

/* How two views of one address space differ. */
struct kview_difference {
    size_t index;     /* of the first area that differs */
    vmk_addr address; /* where */
    char what[160];   /* "end: kernel 7f.. engine 7f.." */
};
/* Compares all columns of maps, the flags (where the view has them) and the status (KVIEW_STATUS in `what`). */
bool kview_equal(const struct kview *view, struct vmk_mm *mm, unsigned what, struct kview_difference *difference);
/* Both maps side by side around the difference, marked. */
void kview_print_side_by_side(FILE *out, const struct kview *view, struct vmk_mm *mm,
                              const struct kview_difference *difference);

/*
 * What the running kernel is: settings and sysctl by asking it (uname, /proc/sys, /sys, and harmless calls in a
 * child).
 */
int kview_probe(struct vmk_settings *settings, struct vmk_sysctl *sysctl);
/* What it leaves to the table of versions: it executes programs to see how they are laid out, which takes 5 ms. */
void kview_probe_image(struct vmk_settings *settings);

#endif
