/* SPDX-License-Identifier: MIT */
/*
 * run.h - inside `vmakit run`: the engine decides every memory call of a program, and the kernel carries it out.
 *
 *   run.c          the command: options, the summary
 *   run_decide.c   what becomes of a call: refused, nothing to do, carried out whole or part by part
 *   run_apply.c    the registers of the task: skipping a call, other arguments, one call more
 *   run_place.c    where a mapping goes when it is not where Linux would put it
 *   run_fail.c     calls that fail on purpose
 *   run_limits.c   the limits as the program sees them
 *   run_proc.c     maps, smaps and status of /proc as the program reads them
 *   run_exec.c     programs that cannot be run here
 *   run_layout.c   where their images lie
 *   run_pin.c      one processor for tracer and program
 *
 * The rest is the tracer's (trace.h): this is its mode trace_mode_run. docs/run.md tells how it works.
 */
#ifndef VMAKIT_TOOL_RUN_H
#define VMAKIT_TOOL_RUN_H

#include <sched.h>

#include "trace.h"

enum run_limit { RUN_LIMIT_AS, RUN_LIMIT_DATA, RUN_LIMIT_STACK, RUN_LIMIT_MEMLOCK, RUN_LIMITS };

struct run_options {
    uint64_t max_map_count, overcommit_ratio, ram; /* 0: the kernel's */
    int overcommit;                                /* -1: the kernel's */
    bool has_limit[RUN_LIMITS];
    uint64_t limits[RUN_LIMITS]; /* bytes, both soft and hard */
    bool guard, untouched;
    uint64_t fail_nth;       /* 0: none */
    double fail_probability; /* 0: none */
    uint64_t seed;
    struct layout_policy layout;
};

enum { RUN_SERVED = 16 };

/* A file of /proc that the program has open, and whose text is the engine's. */
struct run_served {
    struct trace_space *space; /* of the program that holds it; NULL: a free place */
    struct trace_space *shown; /* whose areas it shows */
    pid_t tid;
    int number; /* of the program's descriptor */
    int fd;     /* ours, of the same description */
    char *text; /* the memory behind it */
    struct trace_proc proc;
    uint64_t age;
    unsigned nr_renewals;
};

struct run {
    struct run_options options;
    struct vmk_rlimits rlimits; /* CMD's, as it sees them */
    bool other_areas_limit;     /* the engine's max_map_count is not the kernel's */
    bool other_charge;          /* its overcommit mode is not: flags of the charge differ */
    bool is_narrow;             /* the kernel may refuse memory by limits narrower than the engine's */
    bool pins, is_pinned;       /* run_pin.c */
    cpu_set_t processors;       /* the program may use these */
    cpu_set_t processor;        /* and is on this one, while is_pinned */
    int mask_bytes;             /* of either, as the kernel counts them */
    bool looks;                 /* whether it needs more than one */
    uint64_t looked;            /* when; ns */
    unsigned look_us;           /* the next time */
    uint64_t random;            /* state of the generator */
    uint64_t nr_failable;       /* calls that could have been made to fail */
    struct run_served served[RUN_SERVED];
    unsigned nr_served;
    uint64_t served_age;
    uint64_t nr_refused, nr_failed, nr_skipped, nr_mirrored;
};

/* ---- run_decide.c ---- */
enum trace_way run_enter(struct tracer *tracer, struct trace_task *task);
enum trace_way run_enter_again(struct tracer *tracer, struct trace_task *task);
enum trace_way run_leave(struct tracer *tracer, struct trace_task *task, int64_t value);
void run_give_up(struct tracer *tracer, struct trace_task *task);
bool run_settle(struct tracer *tracer, const struct trace_task *stopped, int event);

/* ---- run_apply.c ---- */
void run_apply_begin(struct trace_task *task);
/* At the entry: the call never reaches the kernel and returns `value`. */
enum trace_way run_apply_skip(struct trace_task *task, int64_t value);
/* At the entry: the kernel runs the call with task->apply.args. */
enum trace_way run_apply_send(struct trace_task *task);
/* At the entry: the kernel runs another call, of that number, with task->apply.args. */
enum trace_way run_apply_other(struct trace_task *task, int number);
/* At the end: the same call once more, with task->apply.args. */
enum trace_way run_apply_repeat(struct trace_task *task);
/* At the end, which the kernel reached with `got`: the program sees `value`, and its registers as they were. */
enum trace_way run_apply_return(struct trace_task *task, int64_t got, int64_t value);
bool run_write_memory(const struct trace_task *task, uint64_t address, const void *buffer, size_t len);

/* ---- run_place.c ---- */
/* trace_mode's place: another one than Linux's, when the options ask for it. */
bool run_place(struct tracer *tracer, struct trace_task *task, const struct trace_place *wanted, vmk_addr *address);

/* ---- run_fail.c ---- */
/* Is this call one that is to fail? Then *error (negative) is what Linux would return. */
bool run_fails(struct tracer *tracer, struct trace_task *task, int *error);
/* Does this advice of madvise change areas, or at least what is in them by allocating? */
bool run_advice_changes_areas(uint64_t advice);
bool run_parse_fail(const char *text, struct run_options *options);

/* ---- run_limits.c ---- */
bool run_parse_limits(const char *text, struct run_options *options);
bool run_parse_size(const char *text, uint64_t *size); /* "4096", "64K", "16G" */
void run_limits_read(struct run *run);
void run_limits_in_child(const struct tracer *tracer);
/* getrlimit, setrlimit, prlimit64. */
enum trace_way run_limits_enter(struct tracer *tracer, struct trace_task *task);

/* ---- run_proc.c ---- */
enum trace_way run_proc_enter(struct tracer *tracer, struct trace_task *task);
enum trace_way run_proc_leave(struct tracer *tracer, struct trace_task *task, int64_t got);
/* After a memory call of the task. */
void run_proc_renew(struct tracer *tracer, const struct trace_task *task);
/* A task goes back to the beginning of a file, or reads there. */
void run_proc_begins_again(struct tracer *tracer, struct trace_task *task);
void run_proc_space_ends(struct run *run, const struct trace_space *space);

/* ---- run_pin.c ---- */
void run_pin_begin(struct tracer *tracer);
void run_pin_review(struct tracer *tracer); /* a task has come or gone */
enum trace_way run_pin_set(struct tracer *tracer);
enum trace_way run_pin_answer(struct tracer *tracer, struct trace_task *task);
/* trace_mode's. */
pid_t run_pin_wait(struct tracer *tracer, int *status);
void run_pin_child(struct tracer *tracer, const struct trace_task *child);

/* ---- run_exec.c ---- */
enum trace_way run_exec_enter(struct tracer *tracer, struct trace_task *task);

/* ---- run_layout.c ---- */
bool run_parse_window(const char *text, struct layout_policy *policy); /* "LOW-HIGH" */
/* At the end of io_setup: the ring goes where the engine has put it. False: it stays where the kernel put it. */
bool run_move_ring(struct trace_task *task, vmk_addr from, vmk_addr to);
/* trace_mode's arrange. */
bool run_arrange(struct tracer *tracer, struct trace_task *task, struct layout *layout);

#endif
