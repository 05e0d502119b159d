/* SPDX-License-Identifier: MIT */
/*
 * run_pin.c - tracer and program on one processor, as long as the program could not use another. A stop is then a switch
 * on that processor instead of a wake-up of another one, which costs several times as much.
 *
 * With one task that is certain (and with the child of a vfork, whose parent sleeps and then mostly waits for it). With more
 * of them it is tried: a timer looks how long they have waited for a processor, and when that is much, each goes where it
 * likes, until one is left. sched_getaffinity of the program shows what it would be otherwise; a program that sets its own
 * affinity ends all of this.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

enum { LOOK_FIRST_US = 2000, LOOK_LAST_US = 64000 };

static unsigned nr_running_tasks(const struct tracer *tracer, unsigned *nr_vforked)
{
    unsigned nr = 0;
    *nr_vforked = 0;
    for (const struct trace_task *task = tracer->tasks; task != NULL; task = task->next) {
        if (task->state == TRACE_EXITING || task->state == TRACE_ENDED)
            continue;
        nr++;
        *nr_vforked += task->is_vforked;
    }
    return nr;
}

static void set_all(struct tracer *tracer, const cpu_set_t *set)
{
    sched_setaffinity(0, sizeof(*set), set);
    for (const struct trace_task *task = tracer->tasks; task != NULL; task = task->next)
        sched_setaffinity(task->tid, sizeof(*set), set);
}

static void pin(struct tracer *tracer)
{
    struct run *run = tracer->run;
    int cpu = sched_getcpu();
    if (cpu < 0)
        return;
    CPU_ZERO(&run->processor);
    CPU_SET((size_t)cpu, &run->processor);
    set_all(tracer, &run->processor);
    run->is_pinned = true;
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
    run->mask_bytes = (int)syscall(SYS_sched_getaffinity, 0, sizeof(run->processors), &run->processors);
    run->pins = run->mask_bytes > 0 && CPU_COUNT(&run->processors) > 1;
    if (run->pins)
        pin(tracer);
}

/* ---- Do several tasks get on with one processor? ---- */

static void look(struct tracer *tracer);

/*
 * The signal of the timer may come anywhere: it is remembered, and looked at before the next waitpid. In waitpid, where
 * nothing else is going on, it is looked at in the handler: no mask has to be set for each stop.
 */
static volatile sig_atomic_t is_time, is_waiting;
static struct tracer *looked_at;

static void on_time(int number)
{
    int error = errno;
    (void)number;
    is_time = 1;
    if (is_waiting && syscall(SYS_gettid) == getpid()) /* not a thread of a library */
        look(looked_at);
    errno = error;
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* Nanoseconds that a task was ready and had no processor: the second number of schedstat. */
static bool read_waiting(struct trace_task *task, uint64_t *waited)
{
    char text[96], name[64], *second;
    if (task->sched_fd < 0) {
        snprintf(name, sizeof(name), "task/%d/schedstat", (int)task->tid);
        task->sched_fd = trace_proc_open(task->tid, name);
    }
    ssize_t len = task->sched_fd < 0 ? -1 : pread(task->sched_fd, text, sizeof(text) - 1, 0);
    if (len <= 0)
        return false;
    text[len] = '\0';
    strtoull(text, &second, 10);
    *waited = strtoull(second, NULL, 10);
    return true;
}

/* How long all have waited since they were asked last; false: this kernel does not say. */
static bool add_waiting(struct tracer *tracer, uint64_t *sum)
{
    bool says = false;
    *sum = 0;
    for (struct trace_task *task = tracer->tasks; task != NULL; task = task->next) {
        uint64_t waited;
        if (task->state == TRACE_EXITING || task->state == TRACE_ENDED || !read_waiting(task, &waited))
            continue;
        says = true;
        *sum += waited - task->waited;
        task->waited = waited;
    }
    return says;
}

static void start_timer(struct run *run)
{
    struct itimerval timer = {.it_value = {.tv_usec = (suseconds_t)run->look_us}};
    run->looked = now();
    setitimer(ITIMER_REAL, &timer, NULL);
}

/* From here on they are looked at. */
static void begin_looking(struct tracer *tracer)
{
    struct run *run = tracer->run;
    struct sigaction action = {.sa_handler = on_time, .sa_flags = SA_RESTART};
    uint64_t sum;
    looked_at = tracer;
    sigaction(SIGALRM, &action, NULL);
    run->looks = add_waiting(tracer, &sum);
    run->look_us = LOOK_FIRST_US;
    if (run->looks)
        start_timer(run);
    else
        unpin(tracer);
}

static void look(struct tracer *tracer)
{
    struct run *run = tracer->run;
    uint64_t sum, past = now() - run->looked;
    is_time = 0;
    if (!run->looks || past < LOOK_FIRST_US * UINT64_C(500)) /* one that was on its way when the timer was set anew */
        return;
    if (!add_waiting(tracer, &sum) || sum > past / 2) {
        run->looks = false;
        unpin(tracer);
        return;
    }
    run->look_us = run->look_us * 2 < LOOK_LAST_US ? run->look_us * 2 : LOOK_LAST_US;
    start_timer(run);
}

pid_t run_pin_wait(struct tracer *tracer, int *status)
{
    for (is_waiting = 1; is_time; is_waiting = 1) { /* it came before that */
        is_waiting = 0;
        look(tracer);
    }
    pid_t tid = waitpid(-1, status, __WALL);
    is_waiting = 0;
    return tid;
}

void run_pin_review(struct tracer *tracer)
{
    struct run *run = tracer->run;
    unsigned nr_vforked, nr = nr_running_tasks(tracer, &nr_vforked);
    bool share = nr < 2 || (nr == 2 && nr_vforked != 0);
    if (!run->pins)
        return;
    if (share) {
        run->looks = false;
        if (!run->is_pinned)
            pin(tracer);
    } else if (run->is_pinned && !run->looks) {
        begin_looking(tracer);
    }
}

/* A new task has what its parent had when it was made. */
void run_pin_child(struct tracer *tracer, const struct trace_task *child)
{
    const struct run *run = tracer->run;
    if (run->pins)
        sched_setaffinity(child->tid, sizeof(run->processors), run->is_pinned ? &run->processor : &run->processors);
}

/* ---- What the program asks ---- */

/* sched_setaffinity: the program's own business from here on. */
enum trace_way run_pin_set(struct tracer *tracer)
{
    if (tracer->run->is_pinned)
        unpin(tracer);
    tracer->run->pins = tracer->run->looks = false;
    return TRACE_GO_ON;
}

/* sched_getaffinity: what it would be otherwise. Where the kernel would return an error, it is the kernel's. */
enum trace_way run_pin_answer(struct tracer *tracer, struct trace_task *task)
{
    const struct run *run = tracer->run;
    const struct trace_call *call = &task->call;
    pid_t tid = (pid_t)call->args[0];
    uint64_t size = (unsigned)call->args[1], bytes = (uint64_t)run->mask_bytes;
    if (!run->is_pinned || (tid != 0 && trace_task_find(tracer, tid) == NULL) || size < bytes ||
        size % sizeof(long) != 0 || !run_write_memory(task, call->args[2], &run->processors, bytes))
        return TRACE_GO_ON;
    return run_apply_skip(task, run->mask_bytes);
}
