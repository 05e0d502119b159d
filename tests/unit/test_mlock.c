/* SPDX-License-Identifier: MIT */
/* mlock, mlock2, munlock, mlockall, munlockall; msync and mincore, which are checks alone. */
#include "calls.h"

static uint64_t locked_pages(struct vt *t)
{
    struct vmk_mm_stats stats = {.size = sizeof(stats)};

    vmk_mm_get_stats(t->mm, &stats);
    return stats.locked_vm;
}

/* Room to lock `pages`, without the capability that would make it endless. */
static void limit_to(struct vt *t, uint64_t pages)
{
    struct vmk_rlimits rlimits;

    vmk_mm_get_rlimits(t->mm, &rlimits);
    rlimits.memlock = (struct vmk_rlimit){.soft = P(pages), .hard = P(pages)};
    vmk_mm_set_rlimits(t->mm, &rlimits);
}

static void unlimited(struct vt *t)
{
    vmk_mm_set_capabilities(t->mm, VMK_CAP_IPC_LOCK);
}

static void test_flags(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    assert_ret(vt_mlock2(&t, BASE, P(2), VMK_MLOCK_ONFAULT), 0); /* brings no pages, hence no anon_vma */
    assert_map(&t, "10000000-10002000 rw-p lo lf ac\n");
    assert_ret(vt_mlock(&t, BASE + P(1), P(1)), 0);
    assert_map(&t, "10000000-10001000 rw-p lo lf ac\n10001000-10002000 rw-p lo ac anon=a1\n");
    assert_ret(vt_mlock(&t, BASE, P(2)), 0);
    assert_map(&t, "10000000-10002000 rw-p lo ac anon=a1\n");
    assert_ret(vt_munlock(&t, BASE, P(1)), 0);
    assert_map(&t, "10000000-10001000 rw-p ac anon=a1\n10001000-10002000 rw-p lo ac anon=a1\n");
    assert_int_equal(locked_pages(&t), 1);
    assert_ret(vt_mlock(&t, BASE + 5, P(1)), 0); /* two pages are touched */
    assert_map(&t, "10000000-10002000 rw-p lo ac anon=a1\n");
    vt_teardown(&t);
}

static void test_arguments(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    unlimited(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    assert_ret(vt_mlock2(&t, BASE, P(1), 2), -VMK_EINVAL);
    assert_ret(vt_mlock2(&t, BASE + P(40), 0, 0), 0);
    assert_ret(vt_mlock(&t, BASE, UINT64_MAX), 0); /* rounds up to nothing */
    assert_ret(vt_mlock(&t, BASE, 0 - P(1)), -VMK_EINVAL);
    assert_ret(vt_mlock(&t, UINT64_MAX, 0), -VMK_EINVAL); /* rounds out to the last page, and wraps */
    assert_ret(vt_munlock(&t, BASE, 0 - P(1)), -VMK_EINVAL);
    assert_ret(vt_munlock(&t, BASE, UINT64_MAX), 0);
    assert_ret(vt_munlock(&t, BASE + P(40), P(1)), -VMK_ENOMEM);
    assert_map(&t, "10000000-10002000 rw-p ac\n");
    vmk_mm_set_capabilities(t.mm, 0);
    limit_to(&t, 4);
    assert_ret(vt_mlock(&t, BASE, 0 - P(1)), -VMK_ENOMEM); /* the limit is asked first */
    limit_to(&t, 0);
    assert_ret(vt_mlock2(&t, BASE, 0, 2), -VMK_EINVAL);
    assert_ret(vt_mlock(&t, BASE, 0), -VMK_EPERM);
    assert_ret(vt_munlock(&t, BASE, P(2)), 0);
    vt_teardown(&t);
}

static void test_limit(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    limit_to(&t, 8);
    vt_anon(&t, BASE, P(14), VT_RW);
    assert_ret(vt_munmap(&t, BASE + P(7), P(1)), 0);
    assert_ret(vt_mlock(&t, BASE, P(9)), -VMK_ENOMEM);
    assert_int_equal(locked_pages(&t), 0);
    assert_ret(vt_mlock(&t, BASE, P(8)), -VMK_ENOMEM); /* the hole: up to it, and not populated */
    assert_map(&t, "10000000-10007000 rw-p lo ac\n10008000-1000e000 rw-p ac\n");
    assert_ret(vt_mlock(&t, BASE + P(8), P(1)), 0);
    assert_ret(vt_mlock(&t, BASE + P(8), P(2)), -VMK_ENOMEM);
    assert_int_equal(locked_pages(&t), 8);
    assert_ret(vt_mlock(&t, BASE + P(2), P(5)), 0); /* locked pages do not count twice */
    assert_ret(vt_mlock(&t, BASE + P(3), P(11)), -VMK_ENOMEM);
    assert_ret(vt_munlock(&t, BASE, P(16)), -VMK_ENOMEM); /* stops at the hole */
    assert_int_equal(locked_pages(&t), 1);
    vt_teardown(&t);
}

static void test_populates(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    unlimited(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_anon(&t, BASE + P(2), P(2), VMK_PROT_NONE);
    vt_anon(&t, BASE + P(4), P(2), VT_RW);
    assert_ret(vt_mlock(&t, BASE, P(6)), -VMK_ENOMEM); /* all flags are set; pages come up to what has none */
    assert_map(&t, "10000000-10002000 rw-p lo ac anon=a1\n10002000-10004000 ---p lo\n10004000-10006000 rw-p lo ac\n");
    assert_ret(vt_munmap(&t, BASE, P(6)), 0);

    vt_anon(&t, BASE, P(2), VT_R);
    vt_anon(&t, BASE + P(2), P(2), VMK_PROT_EXEC);
    vt_anon(&t, BASE + P(4), P(2), VMK_PROT_WRITE);
    assert_ret(vt_mlock(&t, BASE, P(6)), 0);
    assert_map(&t, "10000000-10002000 r--p lo\n10002000-10004000 --xp lo\n10004000-10006000 -w-p lo ac anon=a1\n");
    assert_ret(vt_munmap(&t, BASE, P(6)), 0);

    vt_map_file(&t, BASE, P(4), VT_RW, VMK_MAP_PRIVATE, vt_file_kind(&t, 1, VMK_OBJECT_REGULAR, P(2)), 0);
    assert_ret(vt_mlock(&t, BASE, P(4)), -VMK_ENOMEM); /* beyond the end of the file */
    assert_map(&t, "10000000-10004000 rw-p lo ac anon=a1 pgoff=0 file=1\n");

    /* Locked memory that becomes writable is written. */
    vt_anon(&t, BASE, P(4), VMK_PROT_NONE);
    assert_ret(vt_mlock(&t, BASE, P(2)), -VMK_ENOMEM);
    assert_ret(vt_mlock2(&t, BASE + P(2), P(2), VMK_MLOCK_ONFAULT), 0);
    assert_ret(vt_mprotect(&t, BASE, P(4), VT_RW), 0);
    assert_map(&t, "10000000-10002000 rw-p lo ac anon=a1\n10002000-10004000 rw-p lo lf ac\n");
    vt_teardown(&t);
}

/* What is skipped without a word. */
static void test_skips(void **state)
{
    const uint32_t huge = VT_FIXED | VMK_MAP_HUGETLB | VMK_MAP_NORESERVE;
    struct vt t;

    (void)state;
    vt_setup(&t);
    unlimited(&t);
    assert_ret(vt_mmap_file(&t, BASE, P(2), VT_RW, VMK_MAP_DROPPABLE | VMK_MAP_FIXED | VMK_MAP_ANONYMOUS, NULL, 0),
               BASE);
    vt_special(&t, BASE + P(2), P(2), VT_VDSO);
    vt_special(&t, BASE + P(4), P(2), VT_VVAR);
    assert_ret(vt_mlock(&t, BASE, P(6)), 0);
    assert_map(&t, "10000000-10002000 rw-p nr wf dd dp anon=a1\n10002000-10004000 r-xp de pgoff=0 [vdso]\n"
                   "10004000-10006000 r--p pf io de dd !mw !me pgoff=0 [vdso]\n");
    assert_ret(vt_mlockall(&t, VMK_MCL_CURRENT), 0);
    assert_ret(vt_mlock2(&t, BASE + P(2), P(1), VMK_MLOCK_ONFAULT), 0); /* not even split */
    assert_int_equal(locked_pages(&t), 0);
    vt_teardown(&t);

    vt_setup(&t);
    unlimited(&t);
    vt_map_file(&t, BASE, P(4), VT_RW, VMK_MAP_SHARED, vt_file_mode(&t, 1, VMK_OBJECT_SECRET, 3, 0), 0);
    assert_int_equal(locked_pages(&t), 4);
    assert_ret(vt_mlock(&t, BASE, P(2)), -VMK_ENOMEM); /* born locked, and the kernel cannot touch it */
    assert_ret(vt_munlock(&t, BASE, P(2)), 0);
    assert_ret(vt_mlockall(&t, VMK_MCL_CURRENT | VMK_MCL_ONFAULT), 0);
    assert_ret(vt_munlockall(&t), 0);
    assert_map(&t, "10000000-10004000 rw-s lo dd pgoff=0 file=1\n");
    assert_ret(vt_munmap(&t, BASE, P(4)), 0);
    assert_ret(vt_mmap_file(&t, BASE, P(512), VT_RW, huge, NULL, 0), BASE);
    assert_ret(vt_mlock(&t, BASE, P(1)), -VMK_ENOMEM); /* an empty pool */
    assert_ret(vt_munlock(&t, BASE, P(1)), 0);
    vt_teardown(&t);
}

static void test_mlockall(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    unlimited(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_anon(&t, BASE + P(2), P(2), VMK_PROT_NONE);
    assert_ret(vt_mlockall(&t, 0), -VMK_EINVAL);
    assert_ret(vt_mlockall(&t, VMK_MCL_ONFAULT), -VMK_EINVAL);
    assert_ret(vt_mlockall(&t, 9), -VMK_EINVAL);
    assert_ret(vt_mlockall(&t, VMK_MCL_FUTURE), 0);
    vt_anon(&t, BASE + P(4), P(2), VT_RW);
    assert_map(&t, "10000000-10002000 rw-p ac\n10002000-10004000 ---p\n10004000-10006000 rw-p lo ac anon=a1\n");
    assert_ret(vt_mlockall(&t, VMK_MCL_CURRENT), 0); /* of now alone: no longer of the future */
    vt_anon(&t, BASE + P(6), P(2), VT_RW);
    assert_map(&t, "10000000-10002000 rw-p lo ac anon=a1\n10002000-10004000 ---p lo\n"
                   "10004000-10006000 rw-p lo ac anon=a2\n10006000-10008000 rw-p ac\n");
    assert_ret(vt_mlockall(&t, 7), 0);
    vt_anon(&t, BASE + P(8), P(2), VT_RW);
    assert_map(&t, "10000000-10002000 rw-p lo lf ac anon=a1\n10002000-10004000 ---p lo lf\n"
                   "10004000-1000a000 rw-p lo lf ac anon=a2\n");
    assert_ret(vt_munlockall(&t), 0);
    vt_anon(&t, BASE + P(10), P(1), VT_RW);
    assert_map(&t, "10000000-10002000 rw-p ac anon=a1\n10002000-10004000 ---p\n10004000-1000b000 rw-p ac anon=a2\n");
    vt_teardown(&t);
}

static void test_mlockall_limit(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(8), VT_RW);
    limit_to(&t, 0);
    assert_ret(vt_mlockall(&t, VMK_MCL_ONFAULT), -VMK_EINVAL);
    assert_ret(vt_mlockall(&t, VMK_MCL_CURRENT), -VMK_EPERM);
    assert_ret(vt_munlockall(&t), 0);
    limit_to(&t, 7);
    assert_ret(vt_mlockall(&t, VMK_MCL_CURRENT), -VMK_ENOMEM); /* all that is mapped counts */
    assert_ret(vt_mlockall(&t, VMK_MCL_CURRENT | VMK_MCL_FUTURE), -VMK_ENOMEM);
    assert_ret(vt_mlockall(&t, VMK_MCL_FUTURE), 0);
    assert_ret(vt_munlockall(&t), 0);
    limit_to(&t, 8);
    assert_ret(vt_mlockall(&t, VMK_MCL_CURRENT), 0);
    assert_ret(vt_mlockall(&t, VMK_MCL_CURRENT), 0);
    assert_int_equal(locked_pages(&t), 8);
    vt_teardown(&t);
}

static void test_map_count(void **state)
{
    struct vt t;
    struct vmk_sysctl sysctl;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(6), VT_RW);
    vmk_system_sysctl(t.system, &sysctl);
    sysctl.max_map_count = 2;
    assert_int_equal(vmk_system_set_sysctl(t.system, &sysctl), 0);
    assert_ret(vt_mlock(&t, BASE + P(2), P(2)), -VMK_ENOMEM); /* the first split stays visible */
    assert_map(&t, "10000000-10002000 rw-p ac\n10002000-10006000 rw-p ac\n");
    vt_teardown(&t);
}

static void test_msync(void **state)
{
    struct vt t;
    struct vmk_plan plan;
    struct vmk_edit edit;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_anon(&t, BASE + P(4), P(2), VT_RW);
    vt_map_file(&t, BASE + P(6), P(2), VT_RW, VMK_MAP_SHARED, vt_file(&t, 1), P(3));
    assert_ret(vt_msync(&t, BASE, P(2), 0), 0);
    assert_ret(vt_msync(&t, BASE, P(2), VMK_MS_ASYNC | VMK_MS_SYNC), -VMK_EINVAL);
    assert_ret(vt_msync(&t, BASE, 0, 8), -VMK_EINVAL);
    assert_ret(vt_msync(&t, BASE + 1, 0, VMK_MS_SYNC), -VMK_EINVAL);
    assert_ret(vt_msync(&t, BASE + P(40), 0, VMK_MS_SYNC), 0);
    assert_ret(vt_msync(&t, BASE, UINT64_MAX, VMK_MS_SYNC), 0);
    assert_ret(vt_msync(&t, BASE, 0 - P(1), VMK_MS_SYNC), -VMK_ENOMEM);
    assert_ret(vt_msync(&t, BASE, P(8), VMK_MS_SYNC), -VMK_ENOMEM);
    assert_ret(vt_msync(&t, BASE + P(4), P(5), VMK_MS_ASYNC), -VMK_ENOMEM);
    assert_ret(vt_mlock(&t, BASE + P(4), P(1)), 0);
    assert_ret(vt_msync(&t, BASE, P(6), VMK_MS_INVALIDATE), -VMK_EBUSY); /* beats the hole before it */
    assert_ret(vt_msync(&t, BASE + P(5), P(1), VMK_MS_INVALIDATE), 0);
    assert_ret(vt_msync(&t, BASE + P(4), P(1), VMK_MS_SYNC), 0);

    /* Only what is shared and synchronous is written back. */
    const struct vmk_msync_request request = {.address = BASE + P(4), .len = P(3), .flags = VMK_MS_SYNC};
    assert_int_equal(vmk_msync_prepare(t.mm, &request, &plan), 0);
    assert_true(vmk_plan_next_edit(&plan, &edit));
    assert_int_equal(edit.kind, VMK_EDIT_SYNC);
    assert_int_equal(edit.start, BASE + P(6));
    assert_int_equal(edit.end, BASE + P(7));
    assert_int_equal(edit.offset, P(3));
    assert_ptr_equal(edit.file, t.files[0]);
    assert_int_equal(vmk_plan_commit(&plan, &t.result), VMK_PLAN_DONE);
    assert_int_equal(t.result.error, 0);

    vt_map_file(&t, BASE, P(2), VT_RW, VMK_MAP_SHARED, vt_file_mode(&t, 2, VMK_OBJECT_SECRET, 3, 0), 0);
    assert_ret(vt_msync(&t, BASE, P(2), VMK_MS_SYNC), -VMK_EINVAL);
    assert_ret(vt_msync(&t, BASE, P(2), VMK_MS_ASYNC), 0);
    vt_teardown(&t);
}

static void test_mincore(void **state)
{
    const vmk_addr top = (UINT64_C(1) << 47) - P(1);
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_anon(&t, BASE + P(2), P(1), VMK_PROT_NONE);
    assert_ret(vt_mincore(&t, BASE, P(3)), 3);
    assert_ret(vt_mincore(&t, BASE + P(1), 1), 1);
    assert_ret(vt_mincore(&t, BASE, P(4)), -VMK_ENOMEM);
    assert_int_equal(t.result.value, 3);
    assert_ret(vt_mincore(&t, BASE + 1, UINT64_MAX), -VMK_EINVAL);
    assert_ret(vt_mincore(&t, BASE + P(9), 0), 0);
    assert_ret(vt_mincore(&t, BASE, UINT64_MAX), -VMK_ENOMEM);
    assert_ret(vt_mincore(&t, top, 0), 0);
    assert_ret(vt_mincore(&t, top + P(1), 0), -VMK_ENOMEM);
    assert_ret(vt_mincore(&t, top, P(1)), -VMK_ENOMEM);
    vt_teardown(&t);
}

static void test_two_phases(void **state)
{
    struct vt t;
    struct vmk_plan plan;
    struct vmk_edit edit;
    const struct vmk_mlock_request request = {.address = BASE, .len = P(2)};
    int advice[2], nr = 0;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(4), VT_RW);
    assert_int_equal(vmk_mlock_prepare(t.mm, &request, &plan), 0);
    vmk_plan_abort(&plan, -VMK_ENOMEM, &t.result);
    assert_map(&t, "10000000-10004000 rw-p ac\n");
    assert_int_equal(vmk_mlock_prepare(t.mm, &request, &plan), 0);
    do {
        while (vmk_plan_next_edit(&plan, &edit))
            advice[nr++] = edit.advice;
    } while (vmk_plan_commit(&plan, &t.result) == VMK_PLAN_MORE);
    assert_int_equal(nr, 2);
    assert_int_equal(advice[0], VMK_ADVICE_LOCK);
    assert_int_equal(advice[1], VMK_ADVICE_POPULATE);
    assert_map(&t, "10000000-10002000 rw-p lo ac anon=a1\n10002000-10004000 rw-p ac\n");
    vt_teardown(&t);
}

/* ---- Failing allocations ---- */

static void prepare_area(struct vt *t)
{
    vt_anon(t, BASE, P(8), VT_RW);
}

static int64_t call_mlock(struct vt *t)
{
    return vt_mlock(t, BASE + P(2), P(2));
}

static int64_t call_onfault(struct vt *t)
{
    return vt_mlock2(t, BASE + P(2), P(2), VMK_MLOCK_ONFAULT);
}

static int64_t call_mlockall(struct vt *t)
{
    return vt_mlockall(t, VMK_MCL_CURRENT);
}

static void test_failing_allocations(void **state)
{
    (void)state;
    vt_fail_each(prepare_area, call_onfault, false);
    assert_true(vt_fail_each(prepare_area, call_mlock, true) > 0);
    assert_true(vt_fail_each(prepare_area, call_mlockall, true) > 0);
}

/* How far msync came says where it stopped: behind a hole that it passed, or before one that nothing follows. */
static void test_msync_stops(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_anon(&t, BASE + P(4), P(2), VT_RW);
    assert_ret(vt_mlock2(&t, BASE + P(4), P(2), VMK_MLOCK_ONFAULT), 0);
    assert_ret(vt_msync(&t, BASE, P(6), VMK_MS_INVALIDATE), -VMK_EBUSY);
    assert_int_equal(t.result.done, P(4));
    assert_ret(vt_msync(&t, BASE, P(4), VMK_MS_INVALIDATE), -VMK_ENOMEM);
    assert_int_equal(t.result.done, P(2));
    assert_ret(vt_msync(&t, BASE, P(6), VMK_MS_SYNC), -VMK_ENOMEM);
    assert_int_equal(t.result.done, P(6));
    /* A file that knows no fsync is asked only where it is shared. */
    vt_map_file(&t, BASE, P(2), VT_RW, VMK_MAP_SHARED, vt_file_kind(&t, 1, VMK_OBJECT_DEVICE, P(8)), 0);
    assert_ret(vt_msync(&t, BASE, P(2), VMK_MS_SYNC), -VMK_EINVAL);
    assert_int_equal(t.result.done, 0);
    assert_ret(vt_msync(&t, BASE, P(2), VMK_MS_ASYNC), 0);
    vt_map_file(&t, BASE, P(2), VT_RW, VMK_MAP_PRIVATE, vt_file(&t, 1), 0);
    assert_ret(vt_msync(&t, BASE, P(2), VMK_MS_SYNC), 0);
    assert_int_equal(t.result.done, P(2));
    vt_teardown(&t);
}

/* Huge pages that are reserved come, even when the pool has no other ones. */
static void test_reserved_huge_pages(void **state)
{
    const uint32_t huge = VT_FIXED | VMK_MAP_HUGETLB;
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.sysctl.hugetlb_free_pages = 1;
    vt_open(&t);
    unlimited(&t);
    assert_ret(vt_mmap_file(&t, BASE, P(512), VT_RW, huge, NULL, 0), BASE);
    assert_ret(vt_mmap_file(&t, BASE + P(512), P(512), VT_RW, huge, NULL, 0), -VMK_ENOMEM);
    assert_ret(vt_mmap_file(&t, BASE + P(512), P(512), VT_RW, huge | VMK_MAP_NORESERVE, NULL, 0), BASE + P(512));
    assert_ret(vt_mlock(&t, BASE, P(512)), 0);
    assert_ret(vt_mlock(&t, BASE + P(512), P(512)), -VMK_ENOMEM);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flags),          cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_limit),          cmocka_unit_test(test_populates),
        cmocka_unit_test(test_skips),          cmocka_unit_test(test_mlockall),
        cmocka_unit_test(test_mlockall_limit), cmocka_unit_test(test_map_count),
        cmocka_unit_test(test_msync),          cmocka_unit_test(test_mincore),
        cmocka_unit_test(test_two_phases),     cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_msync_stops),    cmocka_unit_test(test_reserved_huge_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
