/* SPDX-License-Identifier: MIT */
/*
 * Threads that look up, map, unmap and protect in the same few pages, round by round: the results of each round, with
 * the times at which the calls began and ended, must have a sequential explanation (linear.h) that leads from the pages
 * before the round to those after it.
 *
 * VMAKIT_STRESS=N makes N times as many rounds.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "linear.h"
#include "support.h"

enum { NR_THREADS = 3, NR_CALLS = 3 };
_Static_assert(NR_THREADS *NR_CALLS <= LIN_MAX_CALLS, "a round is one history");

#if defined(__SANITIZE_THREAD__)
enum { NR_ROUNDS = 2000 };
#else
enum { NR_ROUNDS = 12000 };
#endif

struct kind_of_round {
    const char *name;
    bool faults; /* touched memory does not always merge: bounds do not count */
    unsigned nr_writers;
    unsigned below, above; /* other areas: how full the leaves are */
};

static struct {
    struct vt t;
    const struct kind_of_round *kind;
    struct lin_call calls[NR_THREADS][NR_CALLS];
    pthread_barrier_t barrier;
    bool stop;
} round_of;

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return *state >> 33;
}

static enum lin_kind random_kind(uint64_t *random, bool is_writer)
{
    static const enum lin_kind writes[] = {LIN_MAP, LIN_MAP, LIN_UNMAP, LIN_PROTECT, LIN_PROTECT, LIN_LOOKUP};
    static const enum lin_kind reads[] = {LIN_LOOKUP, LIN_LOOKUP, LIN_CHECK};
    uint64_t number = next_random(random);

    if (is_writer)
        return writes[number % 6];
    return round_of.kind->faults && number % 2 == 0 ? LIN_FAULT : reads[number / 2 % 3];
}

static struct lin_call random_call(uint64_t *random, bool is_writer)
{
    unsigned from = (unsigned)(next_random(random) % LIN_PAGES), left = LIN_PAGES - from;
    struct lin_call call = {.kind = random_kind(random, is_writer), .from = from, .to = from + 1};

    call.page = next_random(random) % 2 == 0 ? LIN_READ : LIN_WRITE;
    if (call.kind == LIN_MAP || call.kind == LIN_UNMAP)
        call.to = from + 1 + (unsigned)(next_random(random) % (left < 4 ? left : 4));
    return call;
}

static void *worker(void *context)
{
    unsigned number = (unsigned)(uintptr_t)context;

    vmk_thread_enter(round_of.t.system);
    for (;;) {
        pthread_barrier_wait(&round_of.barrier);
        if (round_of.stop)
            break;
        for (unsigned i = 0; i < NR_CALLS; i++)
            lin_do(round_of.t.mm, &round_of.calls[number][i], now);
        pthread_barrier_wait(&round_of.barrier);
    }
    vmk_thread_leave(round_of.t.system);
    return NULL;
}

static void describe_round(void)
{
    for (unsigned i = 0; i < NR_THREADS; i++)
        for (unsigned j = 0; j < NR_CALLS; j++) {
            char text[80];

            lin_describe(&round_of.calls[i][j], text, sizeof(text));
            print_message("thread %u: %s (%llu..%llu)\n", i, text, (unsigned long long)round_of.calls[i][j].begin,
                          (unsigned long long)round_of.calls[i][j].end);
        }
}

static void run_round(uint64_t *random, struct lin_state *before)
{
    struct lin_state after;

    for (unsigned i = 0; i < NR_THREADS; i++)
        for (unsigned j = 0; j < NR_CALLS; j++)
            round_of.calls[i][j] = random_call(random, i < round_of.kind->nr_writers);
    pthread_barrier_wait(&round_of.barrier);
    pthread_barrier_wait(&round_of.barrier);
    after = lin_read(round_of.t.mm);
    if (!lin_explains(&round_of.calls[0][0], NR_THREADS * NR_CALLS, before, &after, !round_of.kind->faults)) {
        describe_round();
        fail_msg("%s: no order explains these results", round_of.kind->name);
    }
    *before = after;
}

/* Other areas around the pages. */
static void add_areas(const struct kind_of_round *kind)
{
    struct vt *t = &round_of.t;

    for (unsigned i = 0; i < kind->below; i++)
        assert_true(vt_mmap_file(t, LIN_BASE - 2 * (i + 1) * VT_PAGE, VT_PAGE, VT_R, VT_FIXED, NULL, 0) >= 0);
    for (unsigned i = 0; i < kind->above; i++)
        assert_true(vt_mmap_file(t, LIN_BASE + (LIN_PAGES + 1 + 2 * i) * VT_PAGE, VT_PAGE, VT_R, VT_FIXED, NULL, 0) >=
                    0);
}

static void run_rounds(const struct kind_of_round *kind)
{
    const char *factor = getenv("VMAKIT_STRESS");
    unsigned long nr = NR_ROUNDS * (factor != NULL ? strtoul(factor, NULL, 10) : 1);
    pthread_t threads[NR_THREADS];
    struct lin_state before;
    uint64_t random = 42;

    vt_setup(&round_of.t);
    add_areas(kind);
    round_of.kind = kind;
    round_of.stop = false;
    before = lin_read(round_of.t.mm);
    assert_int_equal(pthread_barrier_init(&round_of.barrier, NULL, NR_THREADS + 1), 0);
    for (unsigned i = 0; i < NR_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, worker, (void *)(uintptr_t)i), 0);
    for (unsigned long i = 0; i < nr; i++)
        run_round(&random, &before);
    round_of.stop = true;
    pthread_barrier_wait(&round_of.barrier);
    for (unsigned i = 0; i < NR_THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&round_of.barrier);
    vt_validate(&round_of.t);
    vt_teardown(&round_of.t);
}

static void test_rounds(void **state)
{
    static const struct kind_of_round kinds[] = {
        {"one writer", false, 1, 3, 3},      {"two writers", false, 2, 3, 3},  {"full leaves", false, 2, 20, 20},
        {"many leaves", false, 2, 200, 200}, {"with faults", true, 1, 10, 10},
    };

    (void)state;
    for (unsigned i = 0; i < VMKI_ARRAY_SIZE(kinds); i++)
        run_rounds(&kinds[i]);
}

/* ---- Faults are counted, whoever takes them ---- */

enum { NR_FAULTS = 20000 };

static void *fault_often(void *context)
{
    const struct vmk_fault_request request = {.address = LIN_BASE + 7, .access = VMK_ACCESS_WRITE};
    struct vt *t = context;

    vmk_thread_enter(t->system);
    for (unsigned i = 0; i < NR_FAULTS; i++) {
        struct vmk_fault fault;

        if (vmk_mm_fault(t->mm, &request, &fault) != 0 || fault.outcome != VMK_FAULT_MINOR)
            return t;
        if (i % 64 == 0)
            sched_yield(); /* to the other thread, on another processor or on this one */
    }
    vmk_thread_leave(t->system);
    return NULL;
}

static void test_faults_are_counted(void **state)
{
    struct vmk_counters counters, all;
    pthread_t threads[NR_THREADS];
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, LIN_BASE, VT_PAGE, VT_RW);
    for (unsigned i = 0; i < NR_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fault_often, &t), 0);
    for (unsigned i = 0; i < NR_THREADS; i++) {
        void *wrong;

        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    vmk_mm_get_counters(t.mm, &counters);
    assert_int_equal(counters.fault, NR_THREADS * NR_FAULTS);
    assert_int_equal(counters.anon_vma_new, 1);
    vmk_system_counters(t.system, &all);
    assert_int_equal(all.fault, NR_THREADS * NR_FAULTS);
    vt_teardown(&t);
}

/* The check itself: results that no order explains. */
static void test_wrong_histories(void **state)
{
    const struct lin_state hole = {{0}}, first = {{LIN_READ}};
    struct lin_call calls[2] = {{.kind = LIN_MAP, .from = 0, .to = 1, .page = LIN_READ, .begin = 1, .end = 2},
                                {.kind = LIN_LOOKUP, .from = 0, .to = 1, .begin = 3, .end = 4, .error = -VMK_ENOENT}};

    (void)state;
    assert_false(lin_explains(calls, 2, &hole, &first, true)); /* the page was there before the lookup began */
    calls[1].begin = 1;
    assert_true(lin_explains(calls, 2, &hole, &first, true));
    assert_false(lin_explains(calls, 2, &hole, &hole, true)); /* and is there at the end */
    calls[1] = (struct lin_call){
        .kind = LIN_LOOKUP, .from = 0, .to = 1, .begin = 3, .end = 4, .seen = LIN_READ, .seen_from = 0, .seen_to = 2};
    assert_false(lin_explains(calls, 2, &hole, &first, true)); /* no area of two pages ever was */
    assert_true(lin_explains(calls, 2, &hole, &first, false));
    calls[1].seen = LIN_WRITE;
    assert_false(lin_explains(calls, 2, &hole, &first, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_histories),
        cmocka_unit_test(test_faults_are_counted),
        cmocka_unit_test(test_rounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
