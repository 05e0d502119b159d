/* SPDX-License-Identifier: MIT */
/* draw.h - an address space drawn for a terminal, and summed up. */
#ifndef VMAKIT_TOOL_DRAW_H
#define VMAKIT_TOOL_DRAW_H

#include "kview.h"

/* What an area is for. */
enum draw_kind {
    DRAW_TEXT,      /* executable, of a file */
    DRAW_DATA,      /* private and writable, of a file */
    DRAW_HEAP,      /* [heap] */
    DRAW_STACK,     /* [stack], and whatever else grows down */
    DRAW_ANONYMOUS, /* private, of no file */
    DRAW_FILE,      /* other private mappings of files */
    DRAW_SHARED,    /* shared, of a file or not */
    DRAW_SPECIAL,   /* the kernel's own: [vdso], [vvar] ... */
    DRAW_KINDS
};

struct draw_options {
    unsigned width; /* columns; 0: that of the terminal, or 100 */
    bool color;
    const struct kview *before; /* what has changed since is marked + - ~; NULL: no marks */
};

struct draw_summary {
    struct {
        size_t nr_areas;
        uint64_t nr_bytes;
    } kinds[DRAW_KINDS];
    uint64_t nr_bytes, anonymous_kb;
    size_t nr_gaps;            /* holes between neighbours */
    uint64_t largest_gap;      /* bytes */
    vmk_addr largest_at;       /* where it starts */
    uint64_t free, span;       /* bytes not mapped, and all bytes, from the first area to the last */
    size_t new, gone, changed; /* against `before` */
};

enum draw_kind draw_kind_of(const struct kview_area *area);
const char *draw_kind_name(enum draw_kind kind);
void draw_sum(const struct kview *view, const struct kview *before, struct draw_summary *summary);

/* One line an area, ascending; gaps are folded into one line each. */
void draw_map(FILE *out, const struct kview *view, const struct draw_options *options);
/* Kinds, fragmentation and the distance to the limit of areas (0: not known). */
void draw_summary(FILE *out, const struct kview *view, const struct draw_options *options, uint64_t max_map_count);

/* "132K", "1.5M", "127.9T"; at most 7 characters. */
void draw_size(uint64_t nr_bytes, char text[16]);

/* Are colours wanted on a stream? `when` is "auto" (a terminal, and no NO_COLOR), "always" or "never". */
bool draw_wants_color(const char *when, FILE *out);
bool draw_is_color_word(const char *when);

/* The areas of an address space of the engine's, as a view that can be drawn. 0 or -ENOMEM. */
int draw_view_of(struct vmk_mm *mm, struct kview *view);

#endif
