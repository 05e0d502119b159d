/* SPDX-License-Identifier: MIT */
/*
 * test_turns_threads.c - threads that take turns in a space with lanes: each call is over before the next one begins, so that
 * it is certain what each finds. Compared with a space without lanes, to the last counter; and where each call ran, which
 * parts there are and whose they are is in golden/turns.txt. Another number there is no mistake of a call, but one of how
 * well lanes are used: to be looked at.
 */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include "golden.h"
#include "lanes_pair.h"

enum { MAX_WORKERS = 20 };

struct worker {
    pthread_t thread;
    sem_t go, done;
    const struct one_call *call; /* NULL: the end */
    struct vmk_result result;
    int error;
};

static struct worker workers[MAX_WORKERS];

static void *work(void *context)
{
    struct worker *worker = context;

    vmk_thread_enter(with.system);
    for (;;) {
        while (sem_wait(&worker->go) != 0) {
        }
        if (worker->call == NULL)
            break;
        worker->result = (struct vmk_result){0};
        worker->error = make_call(with.mm, worker->call, &worker->result);
        sem_post(&worker->done);
    }
    vmk_thread_leave(with.system);
    return NULL;
}

static void start_workers(unsigned nr)
{
    for (unsigned i = 0; i < nr; i++) {
        assert_int_equal(sem_init(&workers[i].go, 0, 0) | sem_init(&workers[i].done, 0, 0), 0);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
}

static void end_workers(unsigned nr)
{
    for (unsigned i = 0; i < nr; i++) {
        workers[i].call = NULL;
        sem_post(&workers[i].go);
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        sem_destroy(&workers[i].go);
        sem_destroy(&workers[i].done);
    }
}

/* The same call in both spaces, in the one with lanes by that thread. */
static void take_turn(unsigned number, const struct one_call *call)
{
    struct worker *worker = &workers[number];
    struct vmk_result result = {0};
    int error = make_call(without.mm, call, &result);

    worker->call = call;
    sem_post(&worker->go);
    while (sem_wait(&worker->done) != 0) {
    }
    assert_int_equal(worker->error, error);
    assert_memory_equal(&worker->result, &result, sizeof(result));
}

/*
 * ---- Patterns: who calls, and where ----
 *
 * Steady calls unmap an area, and map it again: the tree stays as it is.
 */

enum { NR_TURNS = 2400, NR_LONG = 4 * NR_TURNS, NR_TOLD = 6 };

struct pattern {
    const char *name;
    unsigned nr_workers;
    unsigned nr_areas, distance; /* areas of a page at the beginning, and pages from one to the next */
    unsigned stay;               /* calls of one thread before the next one's turn; 0: they come one by one, and stay */
    unsigned most_pages;         /* of a call */
    enum { CALLS_ALL, CALLS_OF_LANES, CALLS_STEADY } calls; /* of lanes: none that needs mm.lock by its nature */
    void (*choose)(const struct pattern *pattern, unsigned turn, unsigned worker, uint64_t random, unsigned *page);
    struct mode mode;
};

static unsigned nr_pages(const struct pattern *pattern)
{
    return pattern->nr_areas * pattern->distance;
}

static void anywhere(const struct pattern *pattern, unsigned turn, unsigned worker, uint64_t random, unsigned *page)
{
    (void)turn;
    (void)worker;
    *page = (unsigned)(random % nr_pages(pattern));
}

/* Each in a share of its own. */
static void own_share(const struct pattern *pattern, unsigned turn, unsigned worker, uint64_t random, unsigned *page)
{
    unsigned share = nr_pages(pattern) / pattern->nr_workers;

    (void)turn;
    *page = worker * share + (unsigned)(random % share);
}

/* The shares go round, from one thread to the next. */
static void shares_go_round(const struct pattern *pattern, unsigned turn, unsigned worker, uint64_t random,
                            unsigned *page)
{
    own_share(pattern, turn, (worker + turn / 500) % pattern->nr_workers, random, page);
}

/* All of them in a few pages, each in those next to another's. */
static void side_by_side(const struct pattern *pattern, unsigned turn, unsigned worker, uint64_t random, unsigned *page)
{
    (void)turn;
    *page = nr_pages(pattern) / 3 + 12 * worker + (unsigned)(random % 9);
}

/* Two in one part, and one in the last part of all; then another one comes there. */
static void sides_and_the_end(const struct pattern *pattern, unsigned turn, unsigned worker, uint64_t random,
                              unsigned *page)
{
    side_by_side(pattern, turn, worker, random, page);
    if (worker == (turn < NR_LONG / 2 ? 2 : 0))
        *page = nr_pages(pattern) - 24 + (unsigned)(random % 20);
}

static void open_map_count(struct vt *t)
{
    t->system_options.sysctl.max_map_count = 300;
}

static void open_never(struct vt *t)
{
    t->system_options.sysctl.overcommit_memory = VMK_OVERCOMMIT_NEVER;
}

static void open_little_memory(struct vt *t)
{
    t->system_options.sysctl.total_ram_pages = 3;
    t->system_options.sysctl.total_swap_pages = 1;
}

static void set_size_limit(struct vt *t)
{
    struct vmk_rlimits rlimits;

    vmk_mm_get_rlimits(t->mm, &rlimits);
    rlimits.as.soft = (t->mm->total_vm + 200) * VT_PAGE;
    vmk_mm_set_rlimits(t->mm, &rlimits);
}

static void set_data_room(struct vt *t)
{
    struct vmk_rlimits rlimits;

    vmk_mm_get_rlimits(t->mm, &rlimits);
    rlimits.data.soft = (t->mm->data_vm + 200) * VT_PAGE;
    vmk_mm_set_rlimits(t->mm, &rlimits);
}

static const struct pattern patterns[] = {
    {"anywhere", 3, 120, 4, 1, 6, CALLS_ALL, anywhere, {0}},
    {"anywhere, one page", 3, 120, 4, 1, 1, CALLS_OF_LANES, anywhere, {0}},
    {"each its share", 3, 120, 4, 1, 3, CALLS_ALL, own_share, {0}},
    {"each its share for a while", 4, 150, 4, 40, 2, CALLS_OF_LANES, own_share, {0}},
    {"shares go round", 3, 150, 4, 3, 2, CALLS_OF_LANES, shares_go_round, {0}},
    {"shares go round, for a while", 5, 100, 5, 70, 3, CALLS_ALL, shares_go_round, {0}},
    {"side by side", 2, 160, 3, 1, 2, CALLS_OF_LANES, side_by_side, {0}},
    {"side by side, for a while", 3, 160, 3, 9, 3, CALLS_ALL, side_by_side, {0}},
    {"many threads", MAX_WORKERS, 150, 4, 90, 2, CALLS_ALL, own_share, {0}},
    {"many threads in turn", MAX_WORKERS, 120, 4, 130, 1, CALLS_OF_LANES, anywhere, {0}},
    {"steady", 3, 130, 4, 1, 1, CALLS_STEADY, anywhere, {0}},
    {"steady, each its share", 3, 130, 4, 1, 1, CALLS_STEADY, own_share, {0}},
    {"steady, each its share for a while", 4, 130, 4, 100, 1, CALLS_STEADY, own_share, {0}},
    {"steady, shares go round", 3, 130, 4, 2, 1, CALLS_STEADY, shares_go_round, {0}},
    {"steady, side by side", 2, 130, 4, 1, 1, CALLS_STEADY, side_by_side, {0}},
    {"steady, three side by side", 3, 130, 4, 30, 1, CALLS_STEADY, side_by_side, {0}},
    {"steady, many threads", MAX_WORKERS, 140, 4, 60, 1, CALLS_STEADY, own_share, {0}},
    {"steady, many threads in turn", MAX_WORKERS, 140, 4, 150, 1, CALLS_STEADY, side_by_side, {0}},
    {"steady, a part for each of many", MAX_WORKERS, 280, 4, 400, 1, CALLS_STEADY, own_share, {0}},
    {"steady, parts of many go round", MAX_WORKERS, 280, 4, 130, 1, CALLS_STEADY, shares_go_round, {0}},
    {"steady, a part for each", 8, 120, 4, 1, 1, CALLS_STEADY, own_share, {0}},
    {"steady, more threads than lanes", MAX_WORKERS, 300, 4, 0, 1, CALLS_STEADY, own_share, {0}},
    {"steady, sides and the end", 3, 130, 4, 1, 1, CALLS_STEADY, sides_and_the_end, {0}},
    {"few areas allowed", 3, 120, 4, 2, 3, CALLS_OF_LANES, anywhere, {.open = open_map_count}},
    {"little memory", 2, 120, 4, 5, 6, CALLS_OF_LANES, own_share, {.open = open_little_memory}},
    {"no overcommit", 2, 120, 4, 5, 3, CALLS_OF_LANES, own_share, {.open = open_never}},
    {"a limit of size", 3, 120, 4, 4, 3, CALLS_OF_LANES, own_share, {.set = set_size_limit}},
    {"a limit of data", 3, 120, 4, 4, 3, CALLS_OF_LANES, own_share, {.set = set_data_room}},
};

/* ---- What is told ---- */

static uint64_t nr_calls_in(const struct vmk_mm *mm)
{
    return mm->counters.mmap + mm->counters.munmap + mm->counters.mprotect;
}

static void tell_use(struct golden *golden, const struct pattern *pattern, unsigned turn)
{
    static struct vt_text text;
    unsigned nr_parts = vmki_tree_nr_parts(&with.mm->tree);

    text.len = 0;
    vt_print(&text, "%s, %u: parts", pattern->name, turn);
    for (unsigned i = 1; i < nr_parts; i++)
        vt_print(&text, " %llu", (unsigned long long)(vmki_tree_part_bound(&with.mm->tree, i) - REGION(0)) / VT_PAGE);
    vt_print(&text, "; %s, alone %llu, lanes", vmki_lanes_are_open(with.mm) ? "open" : "closed",
             (unsigned long long)nr_calls_in(with.mm));
    for (unsigned i = 0; i < VMKI_MAX_LANES; i++)
        if (vmki_lane(with.mm, i) != NULL)
            vt_print(&text, " %u:%llu", i, (unsigned long long)nr_calls_in(vmki_lane(with.mm, i)));
    vt_print(&text, "\n");
    golden_text(golden, &text);
}

/* The call of a turn; a steady one is followed by another one that undoes it. */
static struct one_call choose_call(const struct pattern *pattern, unsigned turn, unsigned worker, uint64_t *random)
{
    struct one_call call = random_call(random, 0);
    unsigned page;

    pattern->choose(pattern, turn, worker, next_random(random), &page);
    call.len = vmki_min(call.len, pattern->most_pages * VT_PAGE);
    if (pattern->calls == CALLS_STEADY) {
        page -= page % pattern->distance;
        call.kind = 4;
    } else if (pattern->calls == CALLS_OF_LANES) {
        call.kind %= 10;
    } else if (next_random(random) % 32 == 0) {
        call.len = 0;
    }
    call.address = REGION(0) + page * VT_PAGE;
    return call;
}

static void map_again(const struct pattern *pattern, unsigned worker, const struct one_call *call)
{
    const unsigned number = (unsigned)((call->address - REGION(0)) / VT_PAGE / pattern->distance);
    const struct one_call map = {0, call->address, VT_PAGE, number % 3 == 0 ? VT_R : VT_RW};

    take_turn(worker, &map);
}

static void set_up(const struct pattern *pattern)
{
    open_compared(&without, &pattern->mode);
    open_compared(&with, &pattern->mode);
    start_workers(pattern->nr_workers);
    for (unsigned i = 0; i < pattern->nr_areas; i++)
        map_again(pattern, 0, &(struct one_call){.address = REGION(0) + i * pattern->distance * VT_PAGE});
}

/* Lanes close where they are not worth it, and are wanted again. */
static void want_again(const struct pattern *pattern, bool is_first)
{
    if (!is_first && pattern->mode.set != NULL) {
        pattern->mode.set(&without);
        pattern->mode.set(&with);
    }
    want_lanes(with.mm);
}

static unsigned worker_at(const struct pattern *pattern, unsigned turn)
{
    unsigned newest = turn / (NR_LONG / 24);

    if (pattern->stay != 0)
        return turn / pattern->stay % pattern->nr_workers;
    newest = newest < pattern->nr_workers ? newest : pattern->nr_workers - 1;
    return turn % 2 != 0 ? newest : turn / 2 % (newest + 1);
}

static void run_pattern(struct golden *golden, const struct pattern *pattern)
{
    unsigned nr_turns = pattern->calls == CALLS_STEADY ? NR_LONG : NR_TURNS;
    uint64_t random = 77 + pattern->nr_areas;

    set_up(pattern);
    for (unsigned turn = 0; turn < nr_turns; turn++) {
        unsigned worker = worker_at(pattern, turn);
        const struct one_call call = choose_call(pattern, turn, worker, &random);

        if (turn % (nr_turns / 3) == 0)
            want_again(pattern, turn == 0);
        take_turn(worker, &call);
        if (pattern->calls == CALLS_STEADY)
            map_again(pattern, worker, &call);
        if ((turn + 1) % (nr_turns / 24) == 0)
            compare(&without, &with, &call);
        if ((turn + 1) % (nr_turns / NR_TOLD) == 0)
            tell_use(golden, pattern, turn + 1);
    }
    end_workers(pattern->nr_workers);
    vt_teardown(&without);
    vt_teardown(&with);
}

static void test_patterns(void **state)
{
    cpu_set_t all, one;
    struct golden golden;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    sched_setaffinity(0, sizeof(one), &one); /* marks are kept by processor */
    golden_open(&golden, "turns.txt");
    for (size_t i = 0; i < VMKI_ARRAY_SIZE(patterns); i++)
        run_pattern(&golden, &patterns[i]);
    golden_close(&golden);
    sched_setaffinity(0, sizeof(all), &all);
}

/* ---- Lanes close where they do too little ---- */

static void make_calls(struct vt *t, unsigned nr, struct one_call call, unsigned undo)
{
    for (unsigned i = 0; i < nr; i++) {
        make_call(t->mm, &call, NULL);
        if (undo != call.kind)
            make_call(t->mm, &(struct one_call){undo, call.address, call.len, VT_RW}, NULL);
    }
}

static void steady_calls(struct vt *t, unsigned nr)
{
    make_calls(t, nr, (struct one_call){4, REGION(0) + 40 * VT_PAGE, VT_PAGE, 0}, 0);
}

/* Calls that need mm.lock. */
static void other_calls(struct vt *t, unsigned nr)
{
    make_calls(t, nr, (struct one_call){11, REGION(1), VT_PAGE, 0}, 11);
}

/* After 256 calls that need mm.lock it is asked whether as many ran in lanes, and whether there are parts. */
static void test_windows(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    for (unsigned i = 0; i < 120; i++)
        make_call(t.mm, &(struct one_call){0, REGION(0) + 4 * i * VT_PAGE, VT_PAGE, VT_RW}, NULL);
    want_lanes(t.mm);
    other_calls(&t, 1);
    assert_false(vmki_lanes_are_open(t.mm)); /* such a call does not ask */
    steady_calls(&t, 2);                     /* the first one opens them, and the second one asks for a home: 2 */
    assert_true(vmki_lanes_are_open(t.mm));
    steady_calls(&t, 140);
    other_calls(&t, 253);
    assert_true(vmki_lanes_are_open(t.mm));
    other_calls(&t, 1); /* 256 */
    assert_true(vmki_lanes_are_open(t.mm));
    steady_calls(&t, 127); /* 254 are too few */
    other_calls(&t, 255);
    assert_true(vmki_lanes_are_open(t.mm));
    other_calls(&t, 1);
    assert_false(vmki_lanes_are_open(t.mm));
    assert_int_equal(t.mm->nr_waits, 0);

    want_lanes(t.mm);
    steady_calls(&t, 300);
    assert_true(vmki_lanes_are_open(t.mm));
    make_call(t.mm, &(struct one_call){4, REGION(0) + 16 * VT_PAGE, 464 * VT_PAGE, 0}, NULL);
    assert_int_equal(vmki_tree_nr_parts(&t.mm->tree), 0);
    other_calls(&t, 256);
    assert_false(vmki_lanes_are_open(t.mm));
    vt_validate(&t);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_patterns), cmocka_unit_test(test_windows)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
