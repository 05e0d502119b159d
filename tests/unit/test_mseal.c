/* SPDX-License-Identifier: MIT */
/* mseal(2): its order of errors, and what a sealed area refuses. */
#include "calls.h"

static void test_arguments(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_anon(&t, BASE + P(4), P(2), VT_RW);
    assert_ret(vt_mseal(&t, BASE, P(1), 1), -VMK_EINVAL);
    assert_ret(vt_mseal(&t, BASE + 1, P(1), 0), -VMK_EINVAL);
    assert_ret(vt_mseal(&t, BASE, 0, 0), 0);
    assert_ret(vt_mseal(&t, BASE + P(9), 0, 0), 0);
    assert_ret(vt_mseal(&t, BASE, UINT64_MAX, 0), -VMK_EINVAL);
    assert_ret(vt_mseal(&t, BASE, 0 - P(1), 0), -VMK_EINVAL);
    assert_ret(vt_mseal(&t, BASE, 0 - BASE, 0), -VMK_EINVAL);
    assert_ret(vt_mseal(&t, BASE, P(6), 0), -VMK_ENOMEM); /* a hole: nothing at all is sealed */
    assert_ret(vt_mseal(&t, BASE + P(4), P(3), 0), -VMK_ENOMEM);
    assert_map(&t, "10000000-10002000 rw-p ac\n10004000-10006000 rw-p ac\n");
    vt_teardown(&t);

    vt_init(&t);
    t.system_options.settings.mseal = 0;
    vt_open(&t);
    assert_ret(vt_mseal(&t, BASE, P(1), 1), -VMK_ENOSYS);
    vt_teardown(&t);
}

static void test_seals(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(4), VT_RW);
    vt_anon(&t, BASE + P(4), P(2), VT_R);
    assert_ret(vt_mseal(&t, BASE + P(1), 1, 0), 0);
    assert_map(&t, "10000000-10001000 rw-p ac\n10001000-10002000 rw-p ac sl\n10002000-10004000 rw-p ac\n"
                   "10004000-10006000 r--p\n");
    assert_ret(vt_mseal(&t, BASE, P(6), 0), 0);
    assert_ret(vt_mseal(&t, BASE, P(6), 0), 0);
    assert_map(&t, "10000000-10004000 rw-p ac sl\n10004000-10006000 r--p sl\n");
    vt_anon(&t, BASE + P(6), P(2), VT_R); /* new memory is not sealed, and stays apart */
    assert_map(&t, "10000000-10004000 rw-p ac sl\n10004000-10006000 r--p sl\n10006000-10008000 r--p\n");
    assert_ret(vt_mseal(&t, BASE + P(6), P(1), 0), 0);
    assert_map(&t, "10000000-10004000 rw-p ac sl\n10004000-10007000 r--p sl\n10007000-10008000 r--p\n");
    vt_teardown(&t);
}

static void test_refused(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vmk_mm_set_capabilities(t.mm, VMK_CAP_IPC_LOCK);
    vt_anon(&t, BASE, P(4), VT_RW);
    assert_ret(vt_mseal(&t, BASE, P(2), 0), 0);
    assert_ret(vt_munmap(&t, BASE, P(1)), -VMK_EPERM);
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_RW), -VMK_EPERM);
    assert_ret(vt_mmap_file(&t, BASE, P(1), VT_RW, VT_FIXED, NULL, 0), -VMK_EPERM);
    assert_map(&t, "10000000-10002000 rw-p ac sl\n10002000-10004000 rw-p ac\n");
    assert_ret(vt_mlock(&t, BASE, P(1)), 0); /* not a change of what is there */
    assert_ret(vt_munlock(&t, BASE, P(1)), 0);
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_DONTNEED), 0);
    assert_ret(vt_mbind(&t, BASE, P(1), VMK_MPOL_BIND, 1), 0);
    assert_ret(vt_register(&t, 1, BASE, P(2), VMK_UFFD_MODE_WP), 0);
    assert_ret(vt_unregister(&t, 1, BASE, P(2)), 0);
    vt_teardown(&t);
}

/* What cannot be split cannot be sealed in part. */
static void test_special(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_special(&t, BASE, P(2), VT_VDSO);
    assert_ret(vt_mseal(&t, BASE, P(1), 0), -VMK_EINVAL);
    assert_ret(vt_mseal(&t, BASE, P(2), 0), 0);
    assert_map(&t, "10000000-10002000 r-xp de sl pgoff=0 [vdso]\n");
    vt_teardown(&t);
}

static void prepare_area(struct vt *t)
{
    vt_anon(t, BASE, P(8), VT_RW);
}

static int64_t call_mseal(struct vt *t)
{
    return vt_mseal(t, BASE + P(2), P(2), 0);
}

static void test_failing_allocations(void **state)
{
    (void)state;
    vt_fail_each(prepare_area, call_mseal, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_seals),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_special),
        cmocka_unit_test(test_failing_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
