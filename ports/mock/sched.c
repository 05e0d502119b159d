/* SPDX-License-Identifier: MIT */
/*
 * sched.c - threads that take turns, locks, deferral, and the search through all choices.
 *
 * A run is a list of choices. The search is by depth: the last choice that has another alternative takes it, and what
 * comes after begins anew. At a scheduling point the alternatives are to go on and, while preemptions are left, each
 * other thread that can run; at a load, the values that it may return.
 *
 * What a search learns of the scenario (which words are stored to beside other threads, which memory is freed) decides what
 * a scheduling point is; when a run has taught something new, the search begins again.
 */
#include "mock.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "sync.h"

enum {
    STACK_SIZE = 256 << 10,
    MAX_CHOICES = 1 << 16,
    MAX_POINTS = 1 << 18,
    MAX_LOCKS = 62,
    DEFERRAL = 62, /* carry views as locks do */
    CLOCK = 63,
    MAX_HELD = 16,
    MAX_DEFERRED = 256
};

struct lock {
    const char *name;
    int readers; /* threads that have it shared; -1: one has it exclusively */
    unsigned rank;
};

struct thread {
    ucontext_t context;
    bool is_done;
    unsigned waits_for; /* a lock, plus 1 */
    bool waits_shared, waits_for_readers;
    unsigned held[MAX_HELD], nr_held;
    unsigned sections; /* depth of reader's sections */
    uint64_t section;  /* number of the outermost, while there is one */
    uint64_t barrier;  /* waits_for_readers: sections with lower numbers */
    bool is_calling;   /* deferred functions: they are not interrupted */
};

struct deferred {
    struct vmk_sync_deferred *head;
    void (*function)(struct vmk_sync_deferred *head);
    uint64_t before; /* may be called when no section with a lower number is open */
};

struct choice {
    unsigned char taken, nr;
};

static struct {
    const struct mock_scenario *scenario;
    const struct mock_options *options;
    struct mock_report *report;
    struct thread thread[MOCK_MAX_THREADS];
    unsigned current;
    bool is_running; /* the threads are */
    ucontext_t main;
    unsigned preemptions_left, old_values_left;
    uint64_t random, time, next_section;
    unsigned long nr_points;
    struct lock lock[MAX_LOCKS];
    unsigned nr_locks;
    struct deferred deferred[MAX_DEFERRED];
    unsigned nr_deferred;
} run;

static struct choice path[MAX_CHOICES];
static unsigned path_len, path_at;
static _Alignas(64) unsigned char stack[MOCK_MAX_THREADS][STACK_SIZE];

/* ---- What other files ask ---- */

unsigned mock_current(void)
{
    return run.current;
}

bool mock_is_running(void)
{
    return run.is_running;
}

unsigned mock_weaknesses(void)
{
    return run.options != NULL ? run.options->weaknesses : 0;
}

void mock_violation(const char *format, ...)
{
    va_list arguments;

    if (run.report->violation[0] == '\0') {
        va_start(arguments, format);
        vsnprintf(run.report->violation, sizeof(run.report->violation), format, arguments);
        va_end(arguments);
    }
    if (run.is_running) {
        run.is_running = false;
        setcontext(&run.main);
    }
}

/* ---- Choices ---- */

static unsigned random_below(unsigned nr)
{
    run.random = run.random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(run.random >> 33) % nr;
}

/* One of nr alternatives; 0 is the usual one. */
static unsigned choose(unsigned nr)
{
    if (nr < 2)
        return 0;
    if (run.options->seed != 0)
        return random_below(12) == 0 ? random_below(nr) : 0;
    if (path_at == path_len) {
        if (path_len == MAX_CHOICES) {
            mock_violation("more choices than the search has room for");
            return 0;
        }
        path[path_len++] = (struct choice){0, (unsigned char)nr};
    }
    return path[path_at++].taken;
}

/* The next path of the search; false when there is none. */
static bool next_path(void)
{
    path_at = 0;
    while (path_len > 0 && path[path_len - 1].taken + 1 == path[path_len - 1].nr)
        path_len--;
    if (path_len == 0)
        return false;
    path[path_len - 1].taken++;
    return true;
}

unsigned mock_choose_value(unsigned nr)
{
    unsigned taken = run.options->seed != 0 || run.old_values_left > 0 ? choose(nr) : 0;

    if (taken > 0)
        run.old_values_left--;
    return taken;
}

/* ---- Turns ---- */

static bool lock_is_free(unsigned id, bool shared)
{
    return shared ? run.lock[id].readers >= 0 : run.lock[id].readers == 0;
}

static uint64_t oldest_section(void)
{
    uint64_t oldest = UINT64_MAX;

    for (unsigned i = 0; i < run.scenario->nr_threads; i++)
        if (run.thread[i].sections > 0 && run.thread[i].section < oldest)
            oldest = run.thread[i].section;
    return oldest;
}

static bool can_run(const struct thread *thread)
{
    if (thread->is_done)
        return false;
    if (thread->waits_for != 0)
        return lock_is_free(thread->waits_for - 1, thread->waits_shared);
    return !thread->waits_for_readers || oldest_section() >= thread->barrier;
}

static void switch_to(unsigned number)
{
    unsigned from = run.current;

    if (number == from)
        return;
    run.current = number;
    swapcontext(&run.thread[from].context, &run.thread[number].context);
}

/* Gives the turn to somebody who can run, if there is one besides this thread: the n-th after it. */
static void switch_to_other(unsigned n)
{
    for (unsigned i = 1; i <= run.scenario->nr_threads; i++) {
        unsigned number = (run.current + i) % run.scenario->nr_threads;

        if (number != run.current && can_run(&run.thread[number]) && n-- == 0) {
            switch_to(number);
            return;
        }
    }
}

static unsigned nr_others(void)
{
    unsigned nr = 0;

    for (unsigned i = 0; i < run.scenario->nr_threads; i++)
        nr += i != run.current && can_run(&run.thread[i]);
    return nr;
}

void mock_yield(void)
{
    unsigned taken;

    if (!run.is_running || run.thread[run.current].is_calling)
        return;
    if (++run.nr_points > MAX_POINTS)
        mock_violation("a thread does not end");
    if (run.preemptions_left == 0 && run.options->seed == 0)
        return;
    taken = choose(nr_others() + 1);
    if (taken == 0)
        return;
    run.preemptions_left--;
    switch_to_other(taken - 1);
}

/* This thread cannot go on: somebody else does, until it can. */
static void wait_turn(void)
{
    const struct thread *me = &run.thread[run.current];

    while (!can_run(me)) {
        unsigned nr = nr_others();

        if (nr == 0)
            mock_violation("deadlock: thread %u waits for %s", run.current,
                           me->waits_for != 0 ? run.lock[me->waits_for - 1].name : "readers");
        switch_to_other(choose(nr));
    }
}

uint64_t mock_point(void)
{
    mock_yield();
    if (run.is_running) { /* who reads the clock knows what happened before the times that others read */
        mock_views_lock(CLOCK, run.current);
        mock_views_unlock(CLOCK, run.current);
    }
    return ++run.time;
}

/* ---- Locks ---- */

/* Outermost first, as docs/locking.md has them. */
static const char *const lock_order[] = {"lock", "(mm.lock)", "(lane)", "anon_lock", "rmap_lock", "pool_lock"};

const char *mock_rwlock_name(const char *expression)
{
    return strstr(expression, "lane") != NULL ? "(lane)" : "(mm.lock)";
}

static unsigned rank_of(const char *name)
{
    const char *field = name + strlen(name);

    while (field > name && (name[0] == '(' || strchr(">.&", field[-1]) == NULL))
        field--;
    for (unsigned i = 0; i < sizeof(lock_order) / sizeof(lock_order[0]); i++)
        if (strcmp(lock_order[i], field) == 0)
            return i;
    mock_violation("%s has no place in the order of locks", name);
    return 0;
}

unsigned mock_lock_new(const char *name)
{
    if (run.nr_locks == MAX_LOCKS) {
        mock_violation("more locks than the mock port has room for");
        return 0;
    }
    run.lock[run.nr_locks] = (struct lock){.name = name, .rank = rank_of(name)};
    return run.nr_locks++;
}

static void lock_taken(unsigned id, bool shared)
{
    struct thread *me = &run.thread[run.current];
    struct lock *lock = &run.lock[id];

    if (shared)
        lock->readers++;
    else
        lock->readers = -1;
    for (unsigned i = 0; i < me->nr_held; i++) {
        if (run.lock[me->held[i]].rank > lock->rank)
            mock_violation("%s is taken inside %s", lock->name, run.lock[me->held[i]].name);
        if (me->held[i] == id)
            mock_violation("%s is taken twice", lock->name);
    }
    if (me->nr_held == MAX_HELD) {
        mock_violation("a thread holds too many locks");
        return;
    }
    me->held[me->nr_held++] = id;
    mock_views_lock(id, run.current);
}

void mock_lock(unsigned id, bool shared)
{
    struct thread *me = &run.thread[run.current];

    mock_yield();
    if (!lock_is_free(id, shared)) {
        if (!run.is_running)
            mock_violation("%s is taken by nobody who runs", run.lock[id].name);
        me->waits_for = id + 1;
        me->waits_shared = shared;
        wait_turn();
        me->waits_for = 0;
    }
    lock_taken(id, shared);
}

bool mock_try_lock(unsigned id, bool shared)
{
    mock_yield();
    if (!lock_is_free(id, shared))
        return false;
    lock_taken(id, shared);
    return true;
}

void mock_unlock(unsigned id)
{
    struct thread *me = &run.thread[run.current];
    struct lock *lock = &run.lock[id];
    unsigned i = me->nr_held;

    while (i > 0 && me->held[i - 1] != id)
        i--;
    if (i == 0) {
        mock_violation("%s is released by a thread that does not hold it", lock->name);
        return;
    }
    memmove(&me->held[i - 1], &me->held[i], (me->nr_held - i) * sizeof(me->held[0]));
    me->nr_held--;
    mock_views_unlock(id, run.current);
    if (lock->readers > 0)
        lock->readers--;
    else
        lock->readers = 0;
    mock_yield();
}

/* ---- Readers and what waits for them ---- */

/* Calls what no section holds up any more: as early as can be. */
static void call_deferred(void)
{
    struct thread *me = &run.thread[run.current];

    if (me->is_calling)
        return;
    for (unsigned i = 0; i < run.nr_deferred;) {
        struct deferred deferred = run.deferred[i];

        if (deferred.before > oldest_section() && (run.options->weaknesses & MOCK_WEAK_GRACE) == 0) {
            i++;
            continue;
        }
        memmove(&run.deferred[i], &run.deferred[i + 1], (run.nr_deferred - i - 1) * sizeof(run.deferred[0]));
        run.nr_deferred--;
        me->is_calling = true;
        deferred.function(deferred.head);
        me->is_calling = false;
        i = 0;
    }
}

void vmk_sync_read_enter(void)
{
    struct thread *me = &run.thread[run.current];

    mock_yield();
    if (me->sections++ != 0)
        return;
    me->section = run.next_section;
    mock_views_lock(DEFERRAL, run.current); /* what will not wait for this section happened before it */
}

void vmk_sync_read_exit(void)
{
    struct thread *me = &run.thread[run.current];

    if (me->sections == 0) {
        mock_violation("a reader's section ends that did not begin");
        return;
    }
    if (--me->sections == 0)
        call_deferred();
}

void vmk_sync_defer(struct vmk_sync_deferred *head, void (*function)(struct vmk_sync_deferred *head))
{
    mock_yield();
    if (run.nr_deferred == MAX_DEFERRED) {
        mock_violation("more deferred functions than the mock port has room for");
        return;
    }
    mock_views_unlock(DEFERRAL, run.current);
    run.deferred[run.nr_deferred++] = (struct deferred){head, function, ++run.next_section};
    call_deferred();
}

void vmk_sync_barrier(void)
{
    struct thread *me = &run.thread[run.current];

    mock_views_unlock(DEFERRAL, run.current);
    me->barrier = ++run.next_section;
    me->waits_for_readers = true;
    wait_turn();
    me->waits_for_readers = false;
    call_deferred();
    mock_views_meet();
}

/* ---- A run ---- */

static void thread_main(void)
{
    run.scenario->thread(run.scenario->context, run.current);
    if (run.thread[run.current].nr_held != 0)
        mock_violation("thread %u ends with %s", run.current, run.lock[run.thread[run.current].held[0]].name);
    run.thread[run.current].is_done = true;
    for (unsigned nr = nr_others(); nr > 0;)
        switch_to_other(choose(nr));
    for (unsigned i = 0; i < run.scenario->nr_threads; i++)
        if (!run.thread[i].is_done)
            mock_violation("deadlock: thread %u waits for ever", i);
    run.is_running = false;
    setcontext(&run.main);
}

static void start_threads(void)
{
    for (unsigned i = 0; i < run.scenario->nr_threads; i++) {
        struct thread *thread = &run.thread[i];

        getcontext(&thread->context);
        thread->context.uc_stack.ss_sp = stack[i];
        thread->context.uc_stack.ss_size = STACK_SIZE;
        thread->context.uc_link = NULL;
        makecontext(&thread->context, thread_main, 0);
    }
}

static void run_begin(unsigned preemptions, unsigned old_values, uint64_t seed)
{
    const struct mock_scenario *scenario = run.scenario;
    const struct mock_options *options = run.options;
    struct mock_report *report = run.report;

    memset(&run, 0, sizeof(run));
    run.scenario = scenario;
    run.options = options;
    run.report = report;
    run.preemptions_left = preemptions;
    run.old_values_left = old_values;
    run.random = seed;
    run.next_section = 1;
    path_at = 0;
    mock_memory_reset();
    mock_views_reset();
}

/* A pointer that was never seen, or garbage: found like any other violation. */
static void bad_address(int signal)
{
    (void)signal;
    if (!run.is_running)
        abort();
    mock_violation("thread %u uses an address that is none", run.current);
}

static void catch_bad_addresses(struct sigaction old[2], bool begin)
{
    static const int signals[2] = {SIGSEGV, SIGBUS};
    struct sigaction action = {.sa_handler = bad_address, .sa_flags = SA_NODEFER};

    for (unsigned i = 0; i < 2; i++)
        sigaction(signals[i], begin ? &action : &old[i], begin ? &old[i] : NULL);
}

static void run_threads(void)
{
    volatile bool started = false;

    start_threads();
    mock_views_start(run.scenario->nr_threads);
    getcontext(&run.main);
    if (started)
        return;
    started = true;
    run.is_running = true;
    run.current = choose(run.scenario->nr_threads);
    setcontext(&run.thread[run.current].context);
}

/* False when something was wrong. */
static bool run_once(unsigned preemptions, unsigned old_values, uint64_t seed)
{
    const char *wrong = NULL;
    struct sigaction old[2];

    run_begin(preemptions, old_values, seed);
    if (run.scenario->begin != NULL)
        run.scenario->begin(run.scenario->context);
    catch_bad_addresses(old, true);
    run_threads();
    catch_bad_addresses(old, false);
    run.current = 0;
    run.report->nr_runs++;
    if (run.nr_points > run.report->nr_points)
        run.report->nr_points = run.nr_points;
    if (run.report->violation[0] == '\0' && run.scenario->end != NULL)
        wrong = run.scenario->end(run.scenario->context);
    if (wrong != NULL)
        mock_violation("%s", wrong);
    return run.report->violation[0] == '\0';
}

/* ---- The search ---- */

static bool learned(void)
{
    bool views = mock_views_grew(), memory = mock_memory_grew();

    return views || memory;
}

/* All runs within the bounds. *more is cleared when max_runs ended it. */
static bool search(unsigned preemptions, unsigned old_values, bool *complete)
{
    path_len = 0;
    do {
        if (run.report->nr_runs >= run.options->max_runs) {
            *complete = false;
            return true;
        }
        if (!run_once(preemptions, old_values, 0))
            return false;
        if (learned())
            path_len = 0;
        else if (!next_path())
            return true;
    } while (true);
}

static bool explore_all(const struct mock_options *options)
{
    bool complete = true, good = true;

    for (unsigned preemptions = 0; preemptions <= options->preemptions && good && complete; preemptions++)
        for (unsigned old = 0; old <= options->old_values && good && complete; old++)
            if (preemptions == options->preemptions || old == options->old_values || preemptions == old)
                good = search(preemptions, old, &complete);
    run.report->is_complete = good && complete;
    return good;
}

bool mock_explore(const struct mock_scenario *scenario, const struct mock_options *options, struct mock_report *report)
{
    bool good = true;

    *report = (struct mock_report){0};
    run.scenario = scenario;
    run.options = options;
    run.report = report;
    mock_memory_forget();
    mock_views_forget();
    if (options->seed == 0)
        return explore_all(options);
    for (unsigned long i = 0; i < options->max_runs && good; i++)
        good = run_once(0, 0, options->seed + i * 7919);
    return good;
}
