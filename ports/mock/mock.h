/* SPDX-License-Identifier: MIT */
/*
 * mock.h - the mock port: threads that take turns, a memory that may show old values, and every order of both.
 *
 * A scenario is a few threads that call the library, compiled with ports/mock/sync.h and atomic.h. mock_explore runs it
 * again and again, each time with other choices: which thread goes on at a scheduling point (each lock, each atomic
 * operation that more than one thread has to do with), and which of the values that the memory model permits a load
 * returns. Exhaustively within a number of preemptions and of old values, fewest first; or at random from a seed.
 * Everything is deterministic: the same options give the same runs.
 *
 * A run fails when a thread uses memory that was freed or never was, when locks are taken in a wrong order or twice,
 * released without being held or waited for in a circle, when a thread does not end, and when the scenario's own check says
 * so.
 */
#ifndef MOCK_H
#define MOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmakit/port.h"

enum { MOCK_MAX_THREADS = 4 };

/* What is left out, to see that its absence is noticed. */
enum mock_weakness {
    MOCK_WEAK_NOTHING = 0,
    MOCK_WEAK_RELEASE = 1 << 0,       /* release stores are relaxed */
    MOCK_WEAK_ACQUIRE = 1 << 1,       /* acquire loads are relaxed */
    MOCK_WEAK_FENCE_RELEASE = 1 << 2, /* release fences do nothing */
    MOCK_WEAK_FENCE_ACQUIRE = 1 << 3, /* acquire fences do nothing */
    MOCK_WEAK_GRACE = 1 << 4          /* deferred functions are called at once */
};

struct mock_scenario {
    unsigned nr_threads;
    void (*begin)(void *context); /* alone, before the threads */
    void (*thread)(void *context, unsigned number);
    const char *(*end)(void *context); /* alone, after the threads: NULL, or what is wrong */
    void *context;
};

struct mock_options {
    unsigned preemptions;   /* at most, a run */
    unsigned old_values;    /* loads that return another value than the newest, at most, a run */
    uint64_t seed;          /* 0: exhaustive; else random, and neither bound counts */
    unsigned long max_runs; /* exhaustive: gives up after so many */
    unsigned weaknesses;    /* enum mock_weakness */
};

struct mock_report {
    unsigned long nr_runs;
    unsigned long nr_points; /* of the longest run */
    bool is_complete;        /* exhaustive, and within max_runs */
    char violation[256];     /* empty: none was found */
};

/* False when a violation was found. */
bool mock_explore(const struct mock_scenario *scenario, const struct mock_options *options, struct mock_report *report);

/* ---- For the threads of a scenario ---- */

/* A scheduling point of the scenario's own; returns a time that rises with every call. */
uint64_t mock_point(void);
/* Ends the run: this is wrong. From a thread it does not return. */
void mock_violation(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The port: memory from an arena that begins anew with every run; freed memory is poisoned, and not used again. */
const struct vmk_port *mock_port(void);
/* The n-th allocation from now on (0: the next) fails; negative: none. */
void mock_fail_allocation(long n);

/* ---- Between the files of the port ---- */

/* sched.c */
unsigned mock_choose_value(unsigned nr); /* which of the values, newest first */
unsigned mock_current(void);
void mock_yield(void);
bool mock_is_running(void);
unsigned mock_weaknesses(void);
/* memory.c */
void mock_memory_reset(void);
void mock_memory_forget(void); /* of all runs: a new scenario begins */
void mock_memory_check(const void *address, unsigned size);
bool mock_memory_was_freed_once(const void *address);
bool mock_memory_grew(void); /* since the last call something new was learned */
/* views.c */
void mock_views_reset(void);
void mock_views_forget(void);
bool mock_views_grew(void);
void mock_views_start(unsigned nr_threads);
void mock_views_lock(unsigned lock, unsigned thread);
void mock_views_unlock(unsigned lock, unsigned thread);
void mock_views_meet(void); /* all threads see everything: a grace period */

#endif
