/* SPDX-License-Identifier: MIT */
/* report_data.h - what report_data.c collects and report_html.c writes. */
#ifndef VMAKIT_TOOL_REPORT_DATA_H
#define VMAKIT_TOOL_REPORT_DATA_H

#include <stdio.h>

#include "draw.h"
#include "report.h"

/* Different keys, numbered from 0 in the order of their first appearance, and how often each was counted. */
struct report_entry {
    void *key;
    size_t len;
    uint64_t nr, nr_failed, first_seq;
};

struct report_table {
    struct report_entry *entries;
    size_t nr, room;
    uint32_t *slots; /* number + 1; 0: free */
    size_t nr_slots; /* a power of two */
};

/* Keys. All bytes count: no padding. */
struct report_look { /* of an area, but for its place */
    uint64_t flags;
    uint32_t name; /* in texts */
    uint32_t kind; /* enum draw_kind */
};
struct report_caller {
    uint64_t offset;  /* in the file */
    uint32_t name;    /* of the file, or of what else is there; in texts */
    uint32_t through; /* the file that made the call for it, + 1; 0: it made the call itself */
};
struct report_use { /* who called what, in which process */
    uint32_t process, kind;
    uint64_t caller; /* number + 1; 0: not known */
};
struct report_found {
    uint32_t process, kind, text;
    uint32_t caller; /* number + 1 */
    uint64_t page_size;
};

struct report_area {
    vmk_addr start, end;
    uint64_t pgoff, flags, file_id;
    uint32_t look;
    bool is_special;
};

struct report_process {
    uint64_t pid;
    size_t number;          /* in report.processes */
    uint32_t name;          /* in texts */
    bool ended, has_parent; /* its areas began as the parent's were after so many events of it: */
    size_t parent;
    uint64_t parent_events;
    struct report_area *areas;
    size_t nr_areas;
    uint64_t peak_areas, nr_events, nr_calls, nr_failed, nr_placed, nr_predicted;
    uint64_t last_seq, last_time; /* of the last event that was kept */
    uint64_t seq;                 /* of the last event */
    char *text;                   /* its events: JSON arrays with commas between them */
    size_t len;
    FILE *stream;
};

struct report_said {
    uint64_t seq;
    size_t process;
    char *text;
};

struct report {
    struct report_options options; /* argv is a copy */
    FILE *out;
    struct report_table texts, looks, callers, kinds, uses, findings;
    struct report_process **processes; /* they stay where they are: their streams write into them */
    size_t nr_processes, process_room;
    struct report_said *divergences;
    size_t nr_divergences, divergence_room;
    struct report_table notices;
    uint64_t judged_page_size;          /* --page-size; 0: none */
    uint64_t page_shift, max_map_count; /* 0: no address space was seen yet */
    uint64_t seq, nr_calls, nr_failed, nr_skipped;
    uint64_t start;                      /* of the clock, in microseconds */
    uint64_t used, next_thinning, every; /* the map is kept after every so many events */
    uint64_t thinned_at;                 /* the first event that was not kept; 0: none */
    bool failed;                         /* memory ran out */
    struct report_area *fresh;           /* the areas at the last look */
    size_t nr_fresh, fresh_room;
};

/* report_data.c, for report_html.c */
const void *report_key(const struct report_table *table, size_t number);

#endif
