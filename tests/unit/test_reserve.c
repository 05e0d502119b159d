/* SPDX-License-Identifier: MIT */
/* Ranges of a foreign host: never placed on, never touched, invisible; and the shares of a host page. */
#include "support.h"
#include "vmakit/backend.h"

#define BASE UINT64_C(0x10000000)
#define P(n) ((uint64_t)(n)*VT_PAGE)

static void set_and_unset(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_int_equal(vmk_mm_reserve_range(t.mm, BASE + 1, BASE + P(1)), -VMK_EINVAL);
    assert_int_equal(vmk_mm_reserve_range(t.mm, BASE, BASE), -VMK_EINVAL);
    assert_int_equal(vmk_mm_reserve_range(t.mm, BASE, UINT64_C(1) << 60), -VMK_EINVAL);
    vt_anon(&t, BASE + P(8), P(2), VT_RW);
    assert_int_equal(vmk_mm_reserve_range(t.mm, BASE, BASE + P(9)), -VMK_EEXIST);
    assert_int_equal(vmk_mm_reserve_range(t.mm, BASE, BASE + P(2)), 0);
    assert_int_equal(vmk_mm_reserve_range(t.mm, BASE + P(4), BASE + P(8)), 0);
    assert_int_equal(t.mm->reserved.nr_entries, 2);
    assert_int_equal(vmk_mm_reserve_range(t.mm, BASE + P(2), BASE + P(5)), 0); /* joins both */
    assert_int_equal(t.mm->reserved.nr_entries, 1);
    vt_validate(&t);
    assert_int_equal(vmk_mm_unreserve_range(t.mm, BASE + P(3), BASE + P(4)), 0);
    assert_int_equal(t.mm->reserved.nr_entries, 2);
    assert_int_equal(vmk_mm_unreserve_range(t.mm, BASE, BASE + P(1)), 0);
    assert_int_equal(vmk_mm_unreserve_range(t.mm, BASE + P(7), BASE + P(20)), 0);
    assert_int_equal(vmk_mm_unreserve_range(t.mm, BASE + 5, BASE + P(20)), -VMK_EINVAL);
    assert_int_equal(vmk_mm_unreserve_range(t.mm, BASE + P(100), BASE + P(120)), 0);
    vt_validate(&t);
    assert_map(&t, "10008000-1000a000 rw-p ac\n");
    assert_int_equal(vmk_mm_unreserve_range(t.mm, 0, BASE * 2), 0);
    assert_int_equal(t.mm->reserved.nr_entries, 0);
    vt_teardown(&t);
}

static void calls_keep_off(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_int_equal(vmk_mm_reserve_range(t.mm, BASE, BASE + P(4)), 0);
    assert_ret(vt_mmap_file(&t, BASE, P(1), VT_RW, VT_FIXED, NULL, 0), -VMK_EEXIST);
    assert_ret(vt_mmap_file(&t, BASE - P(1), P(2), VT_RW, VT_FIXED, NULL, 0), -VMK_EEXIST);
    assert_ret(vt_munmap(&t, BASE, P(1)), -VMK_EEXIST);
    assert_ret(vt_mmap_file(&t, BASE, P(1), VT_RW, VT_ANON, NULL, 0), 0x7ffff7ffe000); /* a hint only */
    vt_anon(&t, BASE + P(8), P(2), VT_RW);
    assert_ret(vt_mremap(&t, BASE + P(8), P(2), P(2), VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED, BASE + P(1)), -VMK_EEXIST);
    assert_ret(vt_munmap(&t, BASE, P(10)), -VMK_EEXIST);
    assert_map(&t, "10008000-1000a000 rw-p ac\n7ffff7ffe000-7ffff7fff000 rw-p ac\n");
    vt_teardown(&t);
}

static void placement_skips(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_int_equal(vmk_mm_reserve_range(t.mm, 0x7ffff7ffd000, 0x7ffff7ffe000), 0);
    assert_ret(vt_mmap_file(&t, 0, P(1), VT_RW, VT_ANON, NULL, 0), 0x7ffff7ffe000);
    assert_ret(vt_mmap_file(&t, 0, P(1), VT_RW, VT_ANON, NULL, 0), 0x7ffff7ffc000);
    assert_ret(vt_mmap_file(&t, 0, P(2), VT_RW, VT_ANON, NULL, 0), 0x7ffff7ffa000);
    vt_teardown(&t);
}

static int64_t call_unreserve(struct vt *t)
{
    return vmk_mm_unreserve_range(t->mm, BASE + P(1), BASE + P(2));
}

static int64_t call_reserve(struct vt *t)
{
    return vmk_mm_reserve_range(t->mm, BASE + P(10), BASE + P(12));
}

static void some_range(struct vt *t)
{
    assert_int_equal(vmk_mm_reserve_range(t->mm, BASE, BASE + P(4)), 0);
}

static void each_allocation_fails(void **state)
{
    (void)state;
    vt_fail_each(some_range, call_unreserve, false);
    assert_true(vt_fail_each(NULL, call_reserve, false) > 0);
}

static void shares_of_a_host_page(void **state)
{
    struct vt t;
    struct vmk_granule_share shares[3];
    uint32_t prot;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE - P(2), P(3), VT_R);
    vt_anon(&t, BASE + P(1), P(1), VMK_PROT_NONE);
    vt_anon(&t, BASE + P(3), P(4), VT_RW);
    assert_int_equal(vmk_mm_granule(t.mm, BASE + P(2), 0x4000, shares, 3, &prot), 3);
    assert_int_equal(prot, VT_RW);
    assert_true(shares[0].start == BASE && shares[0].end == BASE + P(1));
    assert_true(shares[1].start == BASE + P(1) && (shares[1].flags & VMK_VM_ACCESS) == 0);
    assert_true(shares[2].start == BASE + P(3) && shares[2].end == BASE + P(4));
    assert_int_equal(vmk_mm_granule(t.mm, BASE + P(2), 0x4000, shares, 1, &prot), 3);
    assert_int_equal(vmk_mm_granule(t.mm, BASE, 0, shares, 3, &prot), 1);
    assert_int_equal(prot, VT_R);
    assert_int_equal(vmk_mm_granule(t.mm, BASE + P(2), 0x1000, shares, 3, &prot), 0);
    assert_int_equal(prot, VMK_PROT_NONE);
    assert_int_equal(vmk_mm_granule(t.mm, UINT64_MAX, UINT64_C(1) << 63, shares, 3, &prot), 0);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_and_unset),         cmocka_unit_test(calls_keep_off),
        cmocka_unit_test(placement_skips),       cmocka_unit_test(each_allocation_fails),
        cmocka_unit_test(shares_of_a_host_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
