/* SPDX-License-Identifier: MIT */
/* vmk_mm_gap_highest and _lowest: limits, guard gaps of stacks, reserved ranges. */
#include "support.h"

#define BASE UINT64_C(0x10000000)
#define P(n) ((uint64_t)(n)*VT_PAGE)

static int64_t highest(struct vt *t, vmk_addr low, vmk_addr high, uint64_t len)
{
    vmk_addr at = 0;
    int error = vmk_mm_gap_highest(t->mm, low, high, len, &at);

    return error != 0 ? error : (int64_t)at;
}

static int64_t lowest(struct vt *t, vmk_addr low, vmk_addr high, uint64_t len)
{
    vmk_addr at = 0;
    int error = vmk_mm_gap_lowest(t->mm, low, high, len, &at);

    return error != 0 ? error : (int64_t)at;
}

static void test_limits(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(highest(&t, 0, BASE, P(1)), BASE - P(1));
    assert_ret(lowest(&t, 0, BASE, 1), 0x10000); /* mmap_min_addr; the length is rounded up */
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_anon(&t, BASE + P(4), P(2), VT_RW);
    assert_ret(highest(&t, BASE, BASE + P(6), P(2)), BASE + P(2));
    assert_ret(highest(&t, BASE, BASE + P(6), P(3)), -VMK_ENOMEM);
    assert_ret(highest(&t, BASE, BASE + P(3), P(1)), BASE + P(2));
    assert_ret(lowest(&t, BASE, BASE + P(20), P(3)), BASE + P(6));
    assert_ret(lowest(&t, BASE, BASE + P(8), P(3)), -VMK_ENOMEM);
    assert_ret(highest(&t, 0, BASE, 0), -VMK_EINVAL);
    assert_ret(lowest(&t, 0, BASE, 0), -VMK_EINVAL);
    vt_teardown(&t);
}

static void test_kept_free(void **state)
{
    struct vt t;
    uint64_t guard;

    (void)state;
    vt_setup(&t);
    guard = vmk_mm_settings(t.mm)->stack_guard_gap * VT_PAGE;
    assert_ret(vt_mmap_file(&t, BASE, P(2), VT_RW, VT_FIXED | VMK_MAP_GROWSDOWN, NULL, 0), BASE);
    assert_ret(highest(&t, 0, BASE + P(2), P(1)), BASE - guard - P(1));
    assert_ret(lowest(&t, BASE - guard, BASE + P(8), P(1)), BASE + P(2));
    assert_ret(vmk_mm_reserve_range(t.mm, BASE + P(2), BASE + P(4)), 0);
    assert_ret(lowest(&t, BASE, BASE + P(8), P(1)), BASE + P(4));
    assert_ret(highest(&t, BASE, BASE + P(4), P(1)), -VMK_ENOMEM);
    assert_ret(vmk_mm_unreserve_range(t.mm, BASE + P(2), BASE + P(4)), 0);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_kept_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
