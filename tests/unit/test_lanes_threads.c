/* SPDX-License-Identifier: MIT */
/*
 * Lanes: calls that run beside each other in one space. First one after the other, compared with a space that has none,
 * after each call, to the last counter; then by threads in neighbouring regions, whose maps and sums must be those of
 * their own calls alone.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lanes_pair.h"

/* ---- One thread, two spaces ---- */

#if defined(__SANITIZE_THREAD__)
enum { NR_COMPARED = 400 };
#else
enum { NR_COMPARED = 3000 };
#endif

static uint64_t nr_told[2];
static struct vt_text told_use; /* how the last run used its lanes */

static void run_compared(uint64_t seed, unsigned nr_calls, unsigned compare_every, const struct mode *mode)
{
    uint64_t random = seed, nr_in_lanes = 0;

    memset(nr_told, 0, sizeof(nr_told));
    open_compared(&without, mode);
    open_compared(&with, mode);
    for (unsigned i = 0; i < nr_calls; i++) {
        if (i == nr_calls / 2 && mode->set != NULL) {
            mode->set(&without);
            mode->set(&with);
            want_lanes(with.mm);
        }
        struct one_call call = random_call(&random, (unsigned)(next_random(&random) % NR_THREADS));
        struct vmk_result results[2] = {{0}};
        int errors[2];

        errors[0] = make_call(without.mm, &call, &results[0]);
        errors[1] = make_call(with.mm, &call, &results[1]);
        assert_int_equal(errors[0], errors[1]);
        assert_memory_equal(&results[0], &results[1], sizeof(results[0]));
        if (i == NR_BASE)
            want_lanes(with.mm);
        if (i % compare_every == 0)
            compare(&without, &with, &call);
    }
    told_use.len = 0;
    vt_print(&told_use, "%u parts, alone %llu, lanes", vmki_tree_nr_parts(&with.mm->tree),
             (unsigned long long)(with.mm->counters.mmap + with.mm->counters.munmap + with.mm->counters.mprotect));
    for (unsigned i = 0; i < VMKI_MAX_LANES; i++) {
        struct vmk_mm *lane = vmki_lane(with.mm, i);
        uint64_t nr = lane == NULL ? 0 : lane->counters.mmap + lane->counters.munmap + lane->counters.mprotect;

        nr_in_lanes += nr;
        if (lane != NULL)
            vt_print(&told_use, " %u:%llu", i, (unsigned long long)nr);
    }
    assert_int_equal(nr_told[0], nr_told[1]);
    assert_true(nr_lanes(with.mm) > 1);
    print_message("%llu of %u calls in lanes\n", (unsigned long long)nr_in_lanes, nr_calls);
    assert_true(mode->use != NULL || nr_in_lanes > nr_calls / 10);
    vt_teardown(&without);
    vt_teardown(&with);
}

/* Compared after every call, and seldom, so that much happens between two stops. */
static void test_same_as_without(void **state)
{
    (void)state;
    run_compared(1, NR_COMPARED, 1, &(struct mode){0});
    run_compared(2, NR_COMPARED, 7, &(struct mode){0});
    run_compared(3, 5 * NR_COMPARED, 100, &(struct mode){0});
}

static void count_notice(void *context, struct vmk_mm *mm, const struct vmk_change *change)
{
    (void)mm;
    (void)change;
    ++*(uint64_t *)context;
}

static void set_notice(struct vt *t)
{
    vmk_mm_set_notice(t->mm, count_notice, &nr_told[t == &with]);
}

/* What a space is set to holds in its lanes too. */
static void test_modes(void **state)
{
    static const struct mode modes[] = {
        {.open = open_high,
         .use = "13 parts, alone 502, lanes"
                " 0:114 1:44 2:34 3:41 4:45 5:41 6:24 7:40 8:38 9:32 10:31 11:25 12:6 21:231"},
        {.open = open_high_privileged,
         .use = "16 parts, alone 998, lanes"
                " 0:43 1:45 2:29 3:29 4:16 5:13 6:23 7:11 8:7 9:11 10:11 11:6 21:0"},
        {.open = open_with_keys,
         .set = set_exec_only,
         .use = "19 parts, alone 634, lanes"
                " 0:84 1:33 2:64 3:34 4:29 5:43 6:46 7:34 8:31 9:36 10:22 11:25 12:32 13:30 14:11"
                " 15:18 16:18 17:9 18:1 21:27"},
        {.set = set_mdwe,
         .use = "18 parts, alone 906, lanes"
                " 0:59 1:33 2:37 3:37 4:46 5:35 6:22 7:17 8:9 9:6 10:11 11:5 12:2 13:0 14:3 21:14"},
        {.set = set_memory_merge,
         .use = "17 parts, alone 1017, lanes"
                " 0:57 1:41 2:23 3:17 4:23 5:20 6:16 7:8 8:0 9:10 10:2 11:1 12:0 13:0 14:0 15:0"
                " 16:0 17:0 18:0 19:0 21:0"},
        {.set = set_personality,
         .use = "17 parts, alone 958, lanes"
                " 0:32 1:56 2:41 3:45 4:40 5:20 6:20 7:14 8:17 9:13 10:7 11:5 12:6 13:4 14:3 15:0"
                " 16:0 17:0 18:0 21:22"},
        {.set = set_locked,
         .use = "14 parts, alone 1013, lanes"
                " 0:51 1:35 2:33 3:24 4:21 5:16 6:6 7:12 8:12 9:11 10:0 11:0 12:0 13:0 14:0 15:0"
                " 16:0 21:13"},
        {.set = set_data_limit,
         .use = "20 parts, alone 835, lanes"
                " 0:66 1:32 2:39 3:33 4:28 5:25 6:17 7:20 8:20 9:34 10:14 11:20 12:13 13:12 14:13"
                " 15:2 16:5 17:1 18:6 21:24"},
        {.set = set_tracking,
         .use = "17 parts, alone 910, lanes"
                " 0:49 1:34 2:32 3:31 4:39 5:26 6:30 7:23 8:20 9:16 10:13 11:18 12:2 13:4 14:0"
                " 15:0 16:0 21:4"},
        {.set = set_reserved,
         .use = "17 parts, alone 1009, lanes"
                " 0:32 1:34 2:31 3:35 4:18 5:14 6:21 7:16 8:9 9:10 10:4 11:8 12:0 13:0 14:0 15:0"
                " 16:0 21:0"},
        {.set = set_notice,
         .use = "18 parts, alone 907, lanes"
                " 0:56 1:40 2:38 3:28 4:24 5:30 6:23 7:18 8:13 9:11 10:8 11:12 12:8 13:5 14:2 15:0"
                " 21:31"},
    };

    (void)state;
    for (size_t i = 0; i < VMKI_ARRAY_SIZE(modes); i++) {
        run_compared(10 + i, 1500, 50, &modes[i]);
        assert_string_equal(told_use.text, modes[i].use);
    }
}

/* ---- Limits are kept, and high marks ---- */

static void test_limits_and_marks(void **state)
{
    struct vmk_mm_stats before = {.size = sizeof(before)}, after = {.size = sizeof(after)};
    struct vmk_rlimits rlimits;
    struct vt t;

    (void)state;
    vt_setup(&t);
    for (unsigned i = 0; i < 3 * NR_BASE; i++)
        vt_anon(&t, REGION(0) + 4 * i * VT_PAGE, VT_PAGE, VT_RW);
    want_lanes(t.mm);
    for (unsigned i = 0; i < 2 * NR_BASE; i++) /* down and up: below the mark */
        for (unsigned down = 0; down < 2; down++) {
            vmk_addr at = REGION(0) + 4 * (i + 5) * VT_PAGE;

            if (down == 0)
                assert_ret(vt_munmap(&t, at, VT_PAGE), 0);
            else
                assert_ret(vt_mmap_file(&t, at, VT_PAGE, VT_RW, VT_FIXED, NULL, 0), at);
        }
    vmk_mm_get_stats(t.mm, &before);
    assert_int_equal(before.total_vm, 3 * NR_BASE);
    assert_int_equal(before.peak_vm, 3 * NR_BASE);
    for (unsigned i = 5; i < 10; i++) /* up and down: a new mark */
        assert_ret(vt_mmap_file(&t, REGION(0) + (4 * i + 2) * VT_PAGE, VT_PAGE, VT_R, VT_FIXED, NULL, 0),
                   REGION(0) + (4 * i + 2) * VT_PAGE);
    for (unsigned i = 5; i < 10; i++)
        assert_ret(vt_munmap(&t, REGION(0) + (4 * i + 2) * VT_PAGE, VT_PAGE), 0);
    vmk_mm_get_stats(t.mm, &after);
    assert_int_equal(after.total_vm, 3 * NR_BASE);
    assert_int_equal(after.peak_vm, 3 * NR_BASE + 5);
    assert_int_equal(after.peak_vmas, 3 * NR_BASE + 5);
    vmk_mm_get_rlimits(t.mm, &rlimits);
    rlimits.as.soft = (3 * NR_BASE + 1) * VT_PAGE;
    vmk_mm_set_rlimits(t.mm, &rlimits);
    assert_ret(vt_mmap_file(&t, REGION(0) + 42 * VT_PAGE, VT_PAGE, VT_R, VT_FIXED, NULL, 0), REGION(0) + 42 * VT_PAGE);
    assert_ret(vt_mmap_file(&t, REGION(0) + 46 * VT_PAGE, VT_PAGE, VT_R, VT_FIXED, NULL, 0), -VMK_ENOMEM);
    vt_teardown(&t);
}

/* What one processor has left below the marks is not lost to a thread that goes on on another one. */
static void use_processor(unsigned number)
{
    cpu_set_t all, one;

    CPU_ZERO(&one);
    assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &all) && number-- == 0)
            CPU_SET(i, &one);
    if (CPU_COUNT(&one) == 1)
        sched_setaffinity(0, sizeof(one), &one);
}

static void test_marks_on_another_processor(void **state)
{
    cpu_set_t all;
    uint64_t with_mm_lock;
    struct vt t;

    (void)state;
    sched_getaffinity(0, sizeof(all), &all);
    if (CPU_COUNT(&all) < 2)
        skip();
    vt_setup(&t);
    for (unsigned i = 0; i < 3 * NR_BASE; i++)
        vt_anon(&t, REGION(0) + 4 * i * VT_PAGE, 3 * VT_PAGE, VT_RW);
    want_lanes(t.mm);
    for (unsigned i = 0; i < 1000; i++) {
        vmk_addr at = REGION(0) + (4 * (i % NR_BASE + NR_BASE) + 1) * VT_PAGE;

        if (i % 250 == 0) {
            sched_setaffinity(0, sizeof(all), &all);
            use_processor(i / 250 % 2);
        }
        assert_ret(vt_mprotect(&t, at, VT_PAGE, VT_R), 0);
        assert_ret(vt_mprotect(&t, at, VT_PAGE, VT_RW), 0);
    }
    sched_setaffinity(0, sizeof(all), &all);
    assert_true(nr_lanes(t.mm) > 1);
    with_mm_lock = t.mm->counters.mprotect;
    print_message("%llu of 2000 calls with mm.lock\n", (unsigned long long)with_mm_lock);
    assert_true(with_mm_lock < 400);
    vt_validate(&t);
    vt_teardown(&t);
}

/* ---- What lanes must not miss ---- */

/* A space of some leaves, in which lanes are wanted. */
static void setup_leaves(struct vt *t)
{
    vt_setup(t);
    for (unsigned i = 0; i < 3 * NR_BASE; i++)
        vt_anon(t, REGION(0) + 4 * i * VT_PAGE, VT_PAGE, VT_RW);
    want_lanes(t->mm);
}

/* And they are open, and used. */
static void setup_open(struct vt *t)
{
    setup_leaves(t);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 1; i + 1 < 3 * NR_BASE; i++)
            assert_ret(vt_mprotect(t, REGION(0) + 4 * i * VT_PAGE, VT_PAGE, round == 0 ? VT_R : VT_RW), 0);
    assert_true(vmki_lanes_are_open(t->mm) && nr_lanes(t->mm) > 1);
}

static void test_reserved_ranges(void **state)
{
    const vmk_addr at = REGION(0) + 42 * VT_PAGE;
    struct vt t;

    (void)state;
    setup_open(&t);
    assert_int_equal(vmk_mm_reserve_range(t.mm, at, at + VT_PAGE), 0);
    assert_ret(vt_mmap_file(&t, at, VT_PAGE, VT_R, VT_FIXED, NULL, 0), -VMK_EEXIST);
    assert_ret(vt_munmap(&t, at - 2 * VT_PAGE, 3 * VT_PAGE), -VMK_EEXIST);
    assert_int_equal(vmk_mm_unreserve_range(t.mm, at, at + VT_PAGE), 0);
    assert_ret(vt_mmap_file(&t, at, VT_PAGE, VT_R, VT_FIXED, NULL, 0), at);
    vt_teardown(&t);
}

/* While lanes are open, a shared lock keeps other shared ones out: who takes it twice ends, and does not wait for itself. */
static void test_taken_twice(void **state)
{
    struct vt t;
    int status = 0;
    pid_t child;

    (void)state;
    setup_open(&t);
    vmk_system_fork_prepare(t.system);
    child = fork();
    if (child == 0) {
        signal(SIGILL, SIG_DFL);
        signal(SIGTRAP, SIG_DFL);
        vmk_system_fork_child(t.system);
        vmk_mm_lock_read(t.mm);
        vmk_mm_lock_read(t.mm);
        _Exit(0);
    }
    vmk_system_fork_parent(t.system);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
    vt_validate(&t);
    vt_teardown(&t);
}

/* ---- A forked space: its areas were allocated together, and go through lanes one by one ---- */

static void test_forked(void **state)
{
    struct vmk_mm *parent;
    struct vt t;

    (void)state;
    vt_setup(&t);
    for (unsigned i = 0; i < 3 * NR_BASE; i++)
        vt_anon(&t, REGION(0) + 4 * i * VT_PAGE, VT_PAGE, VT_RW);
    parent = t.mm;
    assert_int_equal(vmk_mm_fork(parent, &t.mm), 0);
    want_lanes(t.mm);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 5; i < 3 * NR_BASE - 5; i++) {
            vmk_addr at = REGION(0) + 4 * i * VT_PAGE;

            assert_ret(vt_munmap(&t, at, VT_PAGE), 0);
            if (i % 3 != 0 || round == 2)
                vt_anon(&t, at, VT_PAGE, VT_RW);
        }
    assert_true(nr_lanes(t.mm) > 1);
    vmk_system_quiesce(t.system);
    vt_validate(&t);
    vmk_mm_put(t.mm);
    t.mm = parent;
    vt_teardown(&t);
}

/* ---- Parts move to the lane of their thread, and where two threads meet in one it is divided ---- */

enum { NR_TURNS = 600 };
struct side {
    struct vt *t;
    pthread_barrier_t *turn;
    unsigned number;
    vmk_addr from; /* three areas */
    uint64_t nr_wrong;
};

static void use_side(struct side *side, unsigned i)
{
    vmk_addr at = side->from + 4 * (i / 2 % 3) * VT_PAGE;

    const struct one_call unmap = {4, at, VT_PAGE, 0}, map = {0, at, VT_PAGE, VT_RW};

    side->nr_wrong += make_call(side->t->mm, &unmap, NULL) != 0;
    side->nr_wrong += make_call(side->t->mm, &map, NULL) != 0;
}

static void *take_turns(void *context)
{
    struct side *side = context;

    vmk_thread_enter(side->t->system);
    for (unsigned i = 0; i < NR_TURNS; i++) {
        pthread_barrier_wait(side->turn);
        if (i % 2 == side->number)
            use_side(side, i);
    }
    for (unsigned i = 0; i < NR_TURNS; i++) /* each for itself */
        use_side(side, i);
    vmk_thread_leave(side->t->system);
    return NULL;
}

static uint64_t nr_calls_of(struct vmk_mm *mm, unsigned from, unsigned to)
{
    uint64_t nr = 0;

    for (unsigned i = from; i < to; i++)
        nr += vmki_lane(mm, i) != NULL ? vmki_lane(mm, i)->counters.mmap : 0;
    return nr;
}

static void run_sides(struct vt *t, vmk_addr first, vmk_addr second)
{
    pthread_barrier_t turn;
    struct side sides[2] = {{t, &turn, 0, first, 0}, {t, &turn, 1, second, 0}};
    pthread_t threads[2];

    pthread_barrier_init(&turn, NULL, 2);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_turns, &sides[i]), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(sides[i].nr_wrong, 0);
    }
    pthread_barrier_destroy(&turn);
}

static void setup_sides(struct vt *t)
{
    setup_leaves(t);
    vt_anon(t, REGION(0) + 4 * 3 * NR_BASE * VT_PAGE, VT_PAGE, VT_RW);
    assert_true(vmki_lanes_are_open(t->mm));
}

/* Three areas and three areas of one part, the first one at its border. */
static void test_two_sides_of_a_part(void **state)
{
    vmk_addr low, border;
    unsigned nr_parts, nr_within = 0;
    uint64_t nr_before;
    struct vt t;

    (void)state;
    setup_sides(&t);
    nr_before = t.mm->counters.mmap;
    nr_parts = vmki_tree_nr_parts(&t.mm->tree);
    low = vmki_tree_part_bound(&t.mm->tree, 2);
    assert_true(vmki_tree_part_bound(&t.mm->tree, 3) >= low + 7 * 4 * VT_PAGE);
    run_sides(&t, low, low + 3 * 4 * VT_PAGE);
    assert_int_equal(vmki_tree_nr_parts(&t.mm->tree), nr_parts + 1);
    for (unsigned i = 0; i <= nr_parts; i++) {
        border = vmki_tree_part_bound(&t.mm->tree, i);
        nr_within += border > low && border <= low + 3 * 4 * VT_PAGE;
    }
    assert_int_equal(nr_within, 1);
    assert_true(nr_calls_of(t.mm, VMKI_TREE_MAX_PARTS, VMKI_MAX_LANES) > NR_TURNS);
    print_message("%llu of %u mappings with mm.lock\n", (unsigned long long)t.mm->counters.mmap - nr_before,
                  3 * NR_TURNS);
    assert_true(t.mm->counters.mmap - nr_before < NR_TURNS / 10);
    vt_validate(&t);
    vt_teardown(&t);
}

/* Both use all of it: there is nothing to divide, and most calls stay in the part's home. */
static void test_one_side_for_two(void **state)
{
    unsigned nr_parts;
    vmk_addr low;
    struct vt t;

    (void)state;
    setup_sides(&t);
    nr_parts = vmki_tree_nr_parts(&t.mm->tree);
    low = vmki_tree_part_bound(&t.mm->tree, 2);
    run_sides(&t, low, low);
    assert_int_equal(vmki_tree_nr_parts(&t.mm->tree), nr_parts);
    assert_true(nr_calls_of(t.mm, 0, VMKI_TREE_MAX_PARTS) > NR_TURNS);
    vt_validate(&t);
    vt_teardown(&t);
}

/* The n-th area of a part, in the space of setup_sides. */
static vmk_addr area_of(struct vmk_mm *mm, unsigned part, unsigned number)
{
    return vmki_tree_part_bound(&mm->tree, part) + 4 * number * VT_PAGE;
}

/* Without what vt_munmap and its like do besides, which stops lanes. */
static void unmap_page(struct vt *t, vmk_addr at)
{
    const struct one_call unmap = {4, at, VT_PAGE, 0};

    assert_int_equal(make_call(t->mm, &unmap, NULL), 0);
}

static void map_page(struct vt *t, vmk_addr at)
{
    const struct one_call map = {0, at, VT_PAGE, VT_RW};

    assert_int_equal(make_call(t->mm, &map, NULL), 0);
}

static void use_again(struct vt *t, vmk_addr at, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        unmap_page(t, at);
        map_page(t, at);
    }
}

static void *unmap_third(void *context)
{
    struct vt *t = context;
    const struct vmk_munmap_request request = {.address = area_of(t->mm, 2, 2), .len = VT_PAGE};

    return vmk_munmap(t->mm, &request, NULL) == 0 ? NULL : context;
}

/* What a thread's lane remembers of a place is no longer so when another thread was there. */
static void test_part_comes_back(void **state)
{
    struct vmk_vma_info info = {.size = sizeof(info)};
    uint64_t nr_before;
    pthread_t other;
    void *wrong;
    struct vt t;

    (void)state;
    setup_sides(&t);
    use_again(&t, area_of(t.mm, 2, 4), 200);
    nr_before = nr_calls_of(t.mm, VMKI_TREE_MAX_PARTS, VMKI_MAX_LANES);
    assert_true(nr_before > 100);
    assert_int_equal(pthread_create(&other, NULL, unmap_third, &t), 0);
    assert_int_equal(pthread_join(other, &wrong), 0);
    assert_null(wrong);
    use_again(&t, area_of(t.mm, 2, 4), 200);
    assert_true(nr_calls_of(t.mm, VMKI_TREE_MAX_PARTS, VMKI_MAX_LANES) > nr_before + 50);
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(vmk_mm_lookup(t.mm, area_of(t.mm, 2, i), &info), i == 2 ? -VMK_ENOENT : 0);
    vt_validate(&t);
    vt_teardown(&t);
}

/* What a thread leaves below a mark in its lane, and then uses in a home, it has no more in its lane. */
static void test_marks_between_lanes(void **state)
{
    struct vmk_mm_stats before = {.size = sizeof(before)}, after = {.size = sizeof(after)};
    vmk_addr fresh;
    struct vt t;

    (void)state;
    setup_sides(&t);
    use_again(&t, area_of(t.mm, 3, 3), 5);
    use_again(&t, area_of(t.mm, 2, 4), 200);
    fresh = area_of(t.mm, 2, 5) + 2 * VT_PAGE;
    assert_ret(vt_munmap(&t, area_of(t.mm, 2, 3), VT_PAGE), 0); /* room in the leaf */
    assert_ret(vt_munmap(&t, area_of(t.mm, 2, 6), VT_PAGE), 0);
    assert_ret(vt_munmap(&t, area_of(t.mm, 3, 3), VT_PAGE), 0);
    vt_anon(&t, REGION(2), VT_PAGE, VT_RW); /* up to the mark again, and with mm.lock */
    vt_anon(&t, REGION(2) + 2 * VT_PAGE, VT_PAGE, VT_R);
    vt_anon(&t, REGION(2) + 4 * VT_PAGE, VT_PAGE, VT_RW);
    vmk_mm_get_stats(t.mm, &before);
    assert_int_equal(before.total_vm, before.peak_vm);
    unmap_page(&t, area_of(t.mm, 2, 4));
    map_page(&t, area_of(t.mm, 3, 3));
    map_page(&t, fresh);
    unmap_page(&t, fresh);
    vmk_mm_get_stats(t.mm, &after);
    assert_int_equal(after.total_vm, before.total_vm);
    assert_int_equal(after.peak_vm, before.peak_vm + 1);
    assert_int_equal(after.peak_vmas, before.peak_vmas + 1);
    vt_anon(&t, REGION(2) + 6 * VT_PAGE, VT_PAGE, VT_RW); /* up to the mark again */
    map_page(&t, area_of(t.mm, 2, 5) + VT_PAGE);          /* a page more, and no area */
    unmap_page(&t, area_of(t.mm, 2, 5) + VT_PAGE);
    vmk_mm_get_stats(t.mm, &after);
    assert_int_equal(after.peak_vm, before.peak_vm + 2);
    assert_int_equal(after.peak_vmas, before.peak_vmas + 1);
    vt_validate(&t);
    vt_teardown(&t);
}

/* Maps a page between its areas until there is no more room. */
static void *fill_up(void *context)
{
    struct side *side = context;
    struct one_call map = {0, 0, VT_PAGE, VT_R};

    vmk_thread_enter(side->t->system);
    pthread_barrier_wait(side->turn);
    for (unsigned i = 0; i < NR_BASE; i++) {
        map.address = side->from + (4 * i + 2) * VT_PAGE;
        if (make_call(side->t->mm, &map, NULL) == 0)
            side->nr_wrong++; /* how many were mapped */
    }
    vmk_thread_leave(side->t->system);
    return NULL;
}

/* What is left below a limit is shared out: threads beside each other come up to it, and no further. */
static void test_limit_between_lanes(void **state)
{
    enum { ROOM = NR_BASE };

    (void)state;
    for (unsigned round = 0; round < 5; round++) {
        struct vmk_rlimits rlimits;
        pthread_barrier_t turn;
        pthread_t threads[2];
        struct vt t;

        setup_sides(&t);
        run_sides(&t, area_of(t.mm, 1, 0), area_of(t.mm, 3, 0));
        vmk_mm_get_rlimits(t.mm, &rlimits);
        rlimits.as.soft = (t.mm->total_vm + ROOM) * VT_PAGE;
        vmk_mm_set_rlimits(t.mm, &rlimits);
        pthread_barrier_init(&turn, NULL, 2);
        struct side sides[2] = {{&t, &turn, 0, REGION(0), 0}, {&t, &turn, 1, REGION(0) + 4 * 2 * NR_BASE * VT_PAGE, 0}};
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, fill_up, &sides[i]), 0);
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        pthread_barrier_destroy(&turn);
        assert_int_equal(sides[0].nr_wrong + sides[1].nr_wrong, ROOM);
        vt_validate(&t);
        vt_teardown(&t);
    }
}

/* More threads than there are lanes for, one after the other: idle lanes go to the next one. */
static void *use_alone(void *context)
{
    struct side *side = context;

    vmk_thread_enter(side->t->system);
    for (unsigned i = 0; i < 400; i++)
        use_side(side, i);
    for (unsigned i = 0; i < 12; i++) { /* stops */
        struct vmk_rlimits rlimits;

        vmk_mm_get_rlimits(side->t->mm, &rlimits);
        use_side(side, i);
    }
    vmk_thread_leave(side->t->system);
    return NULL;
}

static void test_many_threads(void **state)
{
    enum { NR = VMKI_MAX_LANES - VMKI_TREE_MAX_PARTS + 4 };
    static struct side sides[NR];
    pthread_t threads[NR];
    struct vt t;

    (void)state;
    setup_sides(&t);
    for (unsigned i = 0; i < NR; i++) {
        sides[i] = (struct side){&t, NULL, 0, REGION(0) + 4 * (5 * i + 1) * VT_PAGE, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, use_alone, &sides[i]), 0);
        if (i % 3 == 2) /* some beside each other, so that they are not all the same thread to a C library */
            for (unsigned j = i - 2; j <= i; j++)
                assert_int_equal(pthread_join(threads[j], NULL), 0);
    }
    for (unsigned j = NR - NR % 3; j < NR; j++)
        assert_int_equal(pthread_join(threads[j], NULL), 0);
    for (unsigned i = 0; i < NR; i++)
        assert_int_equal(sides[i].nr_wrong, 0);
    vt_validate(&t);
    vt_teardown(&t);
}

/* ---- Threads ---- */

struct worker {
    struct vt *t;
    unsigned number;
    uint8_t page[REGION_PAGES]; /* what should be there: 0, or VMK_PROT_* + 1 */
    uint64_t nr_wrong;
};

#if defined(__SANITIZE_THREAD__)
enum { NR_STEPS = 6000 };
#else
enum { NR_STEPS = 60000 };
#endif

static void note(struct worker *worker, const struct one_call *call)
{
    size_t from = (size_t)((call->address - REGION(worker->number)) / VT_PAGE), nr = (size_t)(call->len / VT_PAGE);

    for (size_t i = from; i < from + nr; i++) {
        if (call->kind < 4)
            worker->page[i] = (uint8_t)(call->prot + 1);
        else if (call->kind < 7)
            worker->page[i] = 0;
        else if (call->kind < 10 && worker->page[i] == 0)
            return; /* it changed what came before the hole */
        else if (call->kind < 10)
            worker->page[i] = (uint8_t)(call->prot + 1);
    }
}

static bool page_is_right(struct worker *worker, unsigned page)
{
    struct vmk_vma_info info = {.size = sizeof(info)};
    int error = vmk_mm_lookup(worker->t->mm, REGION(worker->number) + page * VT_PAGE, &info);

    if (worker->page[page] == 0)
        return error == -VMK_ENOENT;
    return error == 0 && (info.flags & VMK_VM_ACCESS) == worker->page[page] - 1u;
}

static void *work(void *context)
{
    struct worker *worker = context;
    uint64_t random = worker->number + 100;

    vmk_thread_enter(worker->t->system);
    for (unsigned i = 0; i < NR_STEPS; i++) {
        struct one_call call = random_call(&random, worker->number);
        struct vmk_mm_stats stats = {.size = sizeof(stats)};

        make_call(worker->t->mm, &call, NULL);
        note(worker, &call);
        worker->nr_wrong += !page_is_right(worker, (unsigned)(next_random(&random) % REGION_PAGES));
        if (i % 500 == 0)
            vmk_mm_get_stats(worker->t->mm, &stats);
    }
    vmk_thread_leave(worker->t->system);
    return NULL;
}

static void test_threads(void **state)
{
    static struct worker workers[NR_THREADS];
    pthread_t threads[NR_THREADS];
    uint64_t nr_pages = 0;
    struct vmk_mm_stats stats = {.size = sizeof(stats)};
    struct vt t;

    (void)state;
    vt_setup(&t);
    for (unsigned i = 0; i < NR_THREADS; i++) {
        memset(&workers[i], 0, sizeof(workers[i]));
        workers[i].t = &t;
        workers[i].number = i;
        for (unsigned page = 0; page < REGION_PAGES; page += 2) {
            vt_anon(&t, REGION(i) + page * VT_PAGE, VT_PAGE, VT_RW);
            workers[i].page[page] = VT_RW + 1;
        }
    }
    want_lanes(t.mm);
    for (unsigned i = 0; i < NR_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (unsigned i = 0; i < NR_THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (unsigned i = 0; i < NR_THREADS; i++) {
        assert_int_equal(workers[i].nr_wrong, 0);
        for (unsigned page = 0; page < REGION_PAGES; page++) {
            assert_true(page_is_right(&workers[i], page));
            nr_pages += workers[i].page[page] != 0;
        }
    }
    vmk_mm_get_stats(t.mm, &stats);
    assert_int_equal(stats.total_vm, nr_pages);
    assert_int_equal(stats.committed, vmk_system_committed(t.system));
    assert_true(stats.peak_vm >= stats.total_vm && nr_lanes(t.mm) > 1);
    vt_validate(&t);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_without),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_limits_and_marks),
        cmocka_unit_test(test_marks_on_another_processor),
        cmocka_unit_test(test_reserved_ranges),
        cmocka_unit_test(test_taken_twice),
        cmocka_unit_test(test_forked),
        cmocka_unit_test(test_two_sides_of_a_part),
        cmocka_unit_test(test_one_side_for_two),
        cmocka_unit_test(test_part_comes_back),
        cmocka_unit_test(test_marks_between_lanes),
        cmocka_unit_test(test_limit_between_lanes),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
