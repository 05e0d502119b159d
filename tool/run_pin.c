/* SPDX-License-Identifier: MIT */
/*
 * run_pin.c - tracer and program on one processor, while only one task of the program can run. A stop is then a switch
 * on that processor instead of a wake-up of another one, which costs several times as much.
 *
 * Undone as soon as there is a second thread or process, but for the child of a vfork, whose parent sleeps and then mostly
 * waits for it. sched_getaffinity of the program shows what it would be otherwise; a program that sets its own affinity
 * ends all of this.
 */
#include <sched.h>

#include "run.h"

static bool may_share(const struct tracer *tracer)
{
    unsigned nr = 0, nr_vforked = 0;
    for (const struct trace_task *task = tracer->tasks; task != NULL; task = task->next) {
        if (task->state == TRACE_EXITING || task->state == TRACE_ENDED)
            continue;
        nr++;
        nr_vforked += task->is_vforked;
    }
    return nr < 2 || (nr == 2 && nr_vforked != 0);
}

static void set_all(struct tracer *tracer, const cpu_set_t *set)
{
    sched_setaffinity(0, sizeof(*set), set);
    for (const struct trace_task *task = tracer->tasks; task != NULL; task = task->next)
        sched_setaffinity(task->tid, sizeof(*set), set);
}

static void pin(struct tracer *tracer)
{
    cpu_set_t one;
    int cpu = sched_getcpu();
    if (cpu < 0)
        return;
    CPU_ZERO(&one);
    CPU_SET((size_t)cpu, &one);
    set_all(tracer, &one);
    tracer->run->is_pinned = true;
}

static void unpin(struct tracer *tracer)
{
    set_all(tracer, &tracer->run->processors);
    tracer->run->is_pinned = false;
}

/* Before CMD is there: it inherits. */
void run_pin_begin(struct tracer *tracer)
{
    struct run *run = tracer->run;
    run->pins = sched_getaffinity(0, sizeof(run->processors), &run->processors) == 0 && CPU_COUNT(&run->processors) > 1;
    if (run->pins)
        pin(tracer);
}

void run_pin_review(struct tracer *tracer)
{
    struct run *run = tracer->run;
    if (!run->pins || may_share(tracer) == run->is_pinned)
        return;
    if (run->is_pinned)
        unpin(tracer);
    else
        pin(tracer);
}

/* sched_setaffinity: the program's own business from here on. */
enum trace_way run_pin_set(struct tracer *tracer)
{
    if (tracer->run->is_pinned)
        unpin(tracer);
    tracer->run->pins = false;
    return TRACE_GO_ON;
}

/* sched_getaffinity: the kernel has answered with as many bytes as it has; these are what they would be. */
void run_pin_answered(const struct tracer *tracer, const struct trace_task *task, int64_t nr_bytes)
{
    const struct run *run = tracer->run;
    if (run->is_pinned && nr_bytes > 0 && nr_bytes <= (int64_t)sizeof(run->processors))
        run_write_memory(task, task->call.args[2], &run->processors, (size_t)nr_bytes);
}
