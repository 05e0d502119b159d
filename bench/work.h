/* SPDX-License-Identifier: MIT */
/*
 * work.h - the work of peers/linux-vma/workload.h done by the library, through its public API alone.
 *
 * Each pass of an operation does exactly what a peer does between two readings of its clock: the same addresses in the
 * same order, on the same layout, built in the same order. Limits, commit charge and merging are on, as they are by default.
 * One run of the program works on one number of areas at a time; bench/vma.cc times the passes.
 */
#ifndef VMAKIT_BENCH_WORK_H
#define VMAKIT_BENCH_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct work_operation {
    const char *name;         /* as in workload.h; those that no peer has: see work.c */
    void (*prepare)(void);    /* before each pass, not timed; may be NULL */
    uint64_t (*run)(void);    /* one pass; a value that depends on all of it */
    uint64_t (*run_ns)(void); /* in place of run: a pass that takes the time itself, in nanoseconds */
    void (*finish)(void);     /* after each pass, not timed; may be NULL */
    size_t (*nr)(void);       /* operations in a pass */
    bool is_bytes;            /* run() gives bytes a unit of nr(), and is not a time */
    bool once;                /* does not depend on the number of areas */
};

/* In the order in which they must run: some leave the space as the next one needs it. Ends with a NULL name. */
extern const struct work_operation work_operations[];

/* Processor time of the whole process: repeatable on a machine that others use too. The peers take the same. */
uint64_t work_now_ns(void);
/*
 * Makes ready for n areas: what was open before is closed. They are mapped in random order, as the peers do it, or, for
 * sizes that would take too long to build, in ascending order. `no_limits` switches limits and the commit charge off by the
 * setting for it, to stand beside structures that have none.
 */
void work_open(size_t n, bool in_order, bool no_limits);
void work_close(void);
/* Prints `check TAB operation TAB N TAB sum` for each checksum of workload.h. */
void work_print_checksums(void);

#ifdef __cplusplus
}
#endif

#endif
