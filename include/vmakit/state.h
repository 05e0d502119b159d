/* SPDX-License-Identifier: MIT */
/*
 * state.h - address spaces as text: save and load (nothing lost), and import from what Linux shows of a process.
 */
#ifndef VMAKIT_STATE_H
#define VMAKIT_STATE_H

#include "vmakit/mm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What was wrong with a text, and where. */
struct vmk_format_error {
    size_t line; /* from 1 */
    char what[96];
};

/*
 * Finds the embedder's file again by its id (vmk_file_id): returns a reference, or NULL. Asked with both ids 0 and the name
 * of a special area ("[vdso]") that had operations, it gives a file whose vm_ops are to be the area's.
 */
typedef struct vmk_file *vmk_file_finder_fn(void *context, uint64_t file_id, uint64_t object_id, const char *name);

/*
 * Writes address spaces that belong together (a fork family) as one text, version 1: areas, identities of anon_vmas with
 * their fork chains, page offsets, settings, limits, marks, files by id. -VMK_ERR_UNSUPPORTED for an area with a driver's
 * operations that has no file to find them again by (docs/limits.md); -VMK_ERR_MISUSE when there is none, one twice, or one
 * of another system. Takes system->lock, then mm.lock of all, shared. Not in the text, being the embedder's: user
 * pointers, backend, notice; nor are the counters of events.
 */
VMK_API int vmk_mm_save(struct vmk_mm *const *mms, size_t nr_mms, vmk_sink_fn *sink, void *context);
/*
 * Reads such a text. Fills mms[0 .. *nr_mms - 1]; *nr_mms is the room on entry and the number on return. Errors:
 * -VMK_ERR_FORMAT with *error (may be NULL), -VMK_ENOENT when a file is not found, -VMK_ERR_HOST_NOMEM; no address space
 * is left then.
 */
VMK_API int vmk_mm_load(struct vmk_system *system, const char *text, size_t len, vmk_file_finder_fn *finder,
                        void *context, struct vmk_mm **mms, size_t *nr_mms, struct vmk_format_error *error);

/* One area as /proc shows it. */
struct vmk_import_area {
    vmk_addr start, end;
    vmk_vm_flags flags;           /* from VmFlags; ACCOUNT and MAY* included */
    uint64_t offset;              /* of maps, in bytes */
    struct vmk_file *file;        /* NULL for anonymous memory */
    const char *special_name;     /* "[vdso]" ...; static text */
    const struct vmk_vm_ops *ops; /* for special areas */
    /* Do private pages exist in it? INHERITED: they do, and came through a fork. */
    enum { VMK_ANON_NO, VMK_ANON_YES, VMK_ANON_UNKNOWN, VMK_ANON_INHERITED } anon_vma;
    uint64_t uffd;
};

/*
 * Puts an area that exists elsewhere into an address space without merging: what an observer does at exec. Areas must
 * not overlap: -VMK_EEXIST. An unknown anon_vma is remembered as such: a merge whose outcome depends on it is counted in
 * vmk_mm_unknown_merges.
 */
VMK_API int vmk_mm_import(struct vmk_mm *mm, const struct vmk_import_area *area);
VMK_API uint64_t vmk_mm_unknown_merges(struct vmk_mm *mm);

#ifdef __cplusplus
}
#endif

#endif
