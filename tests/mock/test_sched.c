/* SPDX-License-Identifier: MIT */
/*
 * The mock port itself: what it must find in small scenarios, and what it must not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ports/mock/atomic.h"
#include "ports/mock/mock.h"
#include "ports/mock/sync.h"

static struct {
    struct vmk_sync_mutex anon_lock, pool_lock;
    struct vmk_sync_rwlock lock;
    struct vmk_sync_deferred deferred;
    uint64_t data, flag, data_seen, flag_seen;
    uint64_t *block;
    bool is_reversed, is_silent, is_plain;
} world;

static bool explore(void (*begin)(void *), void (*thread)(void *, unsigned), const char *(*end)(void *),
                    unsigned weaknesses, struct mock_report *report)
{
    const struct mock_scenario scenario = {.nr_threads = 2, .begin = begin, .thread = thread, .end = end};
    const struct mock_options options = {
        .preemptions = 2, .old_values = 2, .max_runs = 100000, .weaknesses = weaknesses};

    return mock_explore(&scenario, &options, report);
}

/* ---- Locks ---- */

static void make_locks(void *context)
{
    (void)context;
    vmk_sync_mutex_init(&world.anon_lock);
    vmk_sync_mutex_init(&world.pool_lock);
}

static void take_both(void *context, unsigned number)
{
    bool reversed = world.is_reversed && number == 1;

    (void)context;
    vmk_sync_mutex_lock(reversed ? &world.pool_lock : &world.anon_lock);
    vmk_sync_mutex_lock(reversed ? &world.anon_lock : &world.pool_lock);
    vmk_sync_mutex_unlock(&world.anon_lock);
    if (!world.is_silent)
        vmk_sync_mutex_unlock(&world.pool_lock);
}

static void test_order_of_locks(void **state)
{
    struct mock_report report;

    (void)state;
    assert_true(explore(make_locks, take_both, NULL, 0, &report));
    assert_true(report.is_complete);
    world.is_reversed = true;
    assert_false(explore(make_locks, take_both, NULL, 0, &report));
    assert_non_null(strstr(report.violation, "inside"));
    world.is_reversed = false;
    world.is_silent = true;
    assert_false(explore(make_locks, take_both, NULL, 0, &report));
    assert_non_null(strstr(report.violation, "thread 0"));
    world.is_silent = false;
}

/* Shared locks too: nobody may take one twice. */
static void make_shared_lock(void *context)
{
    (void)context;
    vmk_sync_rwlock_init(&world.lock);
}

static void take_twice(void *context, unsigned number)
{
    (void)context;
    for (unsigned i = 0; i < 2 - number; i++)
        vmk_sync_read_lock(&world.lock);
    for (unsigned i = 0; i < 2 - number; i++)
        vmk_sync_read_unlock(&world.lock);
}

static void test_taken_twice(void **state)
{
    struct mock_report report;

    (void)state;
    assert_false(explore(make_shared_lock, take_twice, NULL, 0, &report));
    assert_non_null(strstr(report.violation, "twice"));
}

static void wait_for_each_other(void *context, unsigned number)
{
    (void)context;
    vmk_sync_mutex_lock(number == 0 ? &world.anon_lock : &world.pool_lock);
    mock_point();
    vmk_sync_read_enter();
    if (number == 0)
        vmk_sync_barrier(); /* for its own section */
    vmk_sync_read_exit();
    vmk_sync_mutex_unlock(number == 0 ? &world.anon_lock : &world.pool_lock);
}

static void test_deadlock(void **state)
{
    struct mock_report report;

    (void)state;
    assert_false(explore(make_locks, wait_for_each_other, NULL, 0, &report));
    assert_non_null(strstr(report.violation, "deadlock"));
}

/* ---- Memory ---- */

static void clear(void *context)
{
    (void)context;
    world.data = world.flag = 0;
    world.data_seen = world.flag_seen = 99;
}

static void pass_message(void *context, unsigned number)
{
    (void)context;
    if (number == 0) {
        vmki_store_relaxed(&world.data, UINT64_C(1));
        vmki_store_release(&world.flag, UINT64_C(1));
    } else {
        world.flag_seen = vmki_load_acquire(&world.flag);
        world.data_seen = vmki_load_relaxed(&world.data);
    }
}

static void pass_message_by_fences(void *context, unsigned number)
{
    (void)context;
    if (number == 0) {
        vmki_store_relaxed(&world.data, UINT64_C(1));
        vmki_fence_release();
        vmki_store_relaxed(&world.flag, UINT64_C(1));
    } else {
        world.flag_seen = vmki_load_relaxed(&world.flag);
        vmki_fence_acquire();
        world.data_seen = vmki_load_relaxed(&world.data);
    }
}

static const char *message_is_whole(void *context)
{
    (void)context;
    return world.flag_seen == 1 && world.data_seen == 0 ? "the flag came without the data" : NULL;
}

static void test_memory_orders(void **state)
{
    struct mock_report report;

    (void)state;
    assert_true(explore(clear, pass_message, message_is_whole, 0, &report));
    assert_true(report.is_complete);
    assert_true(report.nr_runs > 5);
    assert_false(explore(clear, pass_message, message_is_whole, MOCK_WEAK_RELEASE, &report));
    assert_false(explore(clear, pass_message, message_is_whole, MOCK_WEAK_ACQUIRE, &report));
    assert_true(explore(clear, pass_message_by_fences, message_is_whole, 0, &report));
    assert_false(explore(clear, pass_message_by_fences, message_is_whole, MOCK_WEAK_FENCE_RELEASE, &report));
    assert_false(explore(clear, pass_message_by_fences, message_is_whole, MOCK_WEAK_FENCE_ACQUIRE, &report));
}

/* ---- Deferral ---- */

static void free_block(struct vmk_sync_deferred *head)
{
    (void)head;
    mock_port()->free(NULL, world.block, 64);
}

static void make_block(void *context)
{
    (void)context;
    world.block = mock_port()->alloc(NULL, 64, 64, 0);
    *world.block = 7;
    world.flag = 0;
}

/* Thread 0 takes the block out of use; with is_plain, without waiting. */
static void use_block(void *context, unsigned number)
{
    uint64_t *block;

    (void)context;
    if (number == 0) {
        block = vmki_load_relaxed(&world.block);
        vmki_store_release(&world.flag, UINT64_C(1));
        if (world.is_plain)
            mock_port()->free(NULL, block, 64);
        else
            vmk_sync_defer(&world.deferred, free_block);
        return;
    }
    vmk_sync_read_enter();
    if (vmki_load_acquire(&world.flag) == 0 && vmki_load_relaxed(world.block) != 7)
        mock_violation("the block has lost its contents");
    vmk_sync_read_exit();
}

static void test_grace_period(void **state)
{
    struct mock_report report;

    (void)state;
    world.flag = 0;
    world.is_plain = false;
    assert_true(explore(make_block, use_block, NULL, 0, &report));
    assert_false(explore(make_block, use_block, NULL, MOCK_WEAK_GRACE, &report));
    assert_non_null(strstr(report.violation, "freed"));
    world.is_plain = true;
    assert_false(explore(make_block, use_block, NULL, 0, &report));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_locks), cmocka_unit_test(test_taken_twice),  cmocka_unit_test(test_deadlock),
        cmocka_unit_test(test_memory_orders),  cmocka_unit_test(test_grace_period),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
