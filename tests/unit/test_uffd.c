/* SPDX-License-Identifier: MIT */
/* userfaultfd registration: what can be registered, splits and merges, other contexts, the close. */
#include "calls.h"

#define MISSING VMK_UFFD_MODE_MISSING
#define WP      VMK_UFFD_MODE_WP
#define MINOR   VMK_UFFD_MODE_MINOR

static void test_arguments(void **state)
{
    const vmk_addr top = (UINT64_C(1) << 47) - P(1);
    const struct vmk_uffd_request no_context = {.action = VMK_UFFD_CLOSE};
    const struct vmk_uffd_request no_action = {.action = (enum vmk_uffd_action)7, .context = 1};
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(4), VT_RW);
    assert_ret(vt_register(&t, 1, BASE, P(1), 0), -VMK_EINVAL);
    assert_ret(vt_register(&t, 1, BASE, P(1), 8), -VMK_EINVAL);
    assert_ret(vt_register(&t, 1, BASE + 1, P(1), MISSING), -VMK_EINVAL);
    assert_ret(vt_register(&t, 1, BASE, P(1) + 1, MISSING), -VMK_EINVAL);
    assert_ret(vt_register(&t, 1, BASE, 0, MISSING), -VMK_EINVAL);
    assert_ret(vt_register(&t, 1, top, P(1), MISSING), -VMK_EINVAL);
    assert_ret(vt_register(&t, 1, BASE, 0 - P(1), MISSING), -VMK_EINVAL);
    assert_ret(vt_register(&t, 1, BASE, 0 - BASE, MISSING), -VMK_EINVAL);
    assert_ret(vt_register(&t, 1, BASE, top + P(1) - BASE, MISSING), -VMK_EINVAL);
    assert_ret(vt_register(&t, 1, BASE + P(40), P(1), MISSING), -VMK_EINVAL); /* nothing there */
    assert_map(&t, "10000000-10004000 rw-p ac\n");
    assert_ret(vt_register(&t, 1, 0, top, MISSING), 0); /* holes do not matter */
    assert_map(&t, "10000000-10004000 rw-p um ac uffd=1\n");
    assert_ret(vt_unregister(&t, 1, BASE + P(40), P(1)), -VMK_EINVAL);
    assert_ret(vt_unregister(&t, 1, BASE, 0), -VMK_EINVAL);
    assert_ret(vt_unregister(&t, 1, BASE, P(40)), 0);
    assert_map(&t, "10000000-10004000 rw-p ac\n");
    assert_int_equal(vmk_uffd(t.mm, &no_context, NULL), -VMK_ERR_MISUSE);
    assert_int_equal(vmk_uffd(t.mm, &no_action, NULL), -VMK_ERR_MISUSE);
    vt_teardown(&t);
}

static void test_holes(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE + P(2), P(2), VT_RW);
    vt_anon(&t, BASE + P(6), P(2), VT_RW);
    assert_ret(vt_register(&t, 1, BASE, P(2), MISSING), -VMK_EINVAL); /* the first area lies beyond */
    assert_ret(vt_register(&t, 1, BASE, P(3), MISSING), 0);
    assert_map(&t, "10002000-10003000 rw-p um ac uffd=1\n10003000-10004000 rw-p ac\n10006000-10008000 rw-p ac\n");
    assert_ret(vt_register(&t, 1, BASE, P(8), MISSING), 0);
    assert_ret(vt_unregister(&t, 1, BASE + P(4), P(2)), -VMK_EINVAL);
    assert_ret(vt_unregister(&t, 1, BASE + P(3), P(4)), 0);
    assert_map(&t, "10002000-10003000 rw-p um ac uffd=1\n10003000-10004000 rw-p ac\n"
                   "10006000-10007000 rw-p ac\n10007000-10008000 rw-p um ac uffd=1\n");
    vt_teardown(&t);
}

/* Fewer modes than there are change nothing; others replace what there was. */
static void test_modes(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(8), VT_RW);
    assert_ret(vt_register(&t, 1, BASE + P(2), P(2), MISSING), 0);
    assert_ret(vt_register(&t, 1, BASE + P(4), P(2), WP), 0);
    assert_map(&t, "10000000-10002000 rw-p ac\n10002000-10004000 rw-p um ac uffd=1\n"
                   "10004000-10006000 rw-p uw ac uffd=1\n10006000-10008000 rw-p ac\n");
    assert_ret(vt_register(&t, 1, BASE + P(2), P(4), MISSING | WP), 0);
    assert_ret(vt_register(&t, 1, BASE + P(2), P(2), MISSING), 0);
    assert_ret(vt_register(&t, 1, BASE + P(2), P(4), WP), 0);
    assert_map(&t, "10000000-10002000 rw-p ac\n10002000-10006000 rw-p um uw ac uffd=1\n10006000-10008000 rw-p ac\n");
    assert_ret(vt_register(&t, 1, BASE, P(8), MISSING), 0);
    assert_ret(vt_register(&t, 1, BASE, P(2), WP), 0);
    assert_map(&t, "10000000-10002000 rw-p uw ac uffd=1\n10002000-10006000 rw-p um uw ac uffd=1\n"
                   "10006000-10008000 rw-p um ac uffd=1\n");
    assert_ret(vt_unregister(&t, 1, BASE + P(2), P(2)), 0);
    assert_ret(vt_unregister(&t, 1, BASE, P(8)), 0);
    assert_map(&t, "10000000-10008000 rw-p ac\n");
    vt_teardown(&t);
}

static void test_contexts(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(8), VT_RW);
    assert_ret(vt_register(&t, 1, BASE, P(4), MISSING), 0);
    assert_ret(vt_register(&t, 2, BASE + P(2), P(4), MISSING), -VMK_EBUSY);
    assert_ret(vt_register(&t, 2, BASE + P(4), P(4), MISSING), 0);
    assert_map(&t, "10000000-10004000 rw-p um ac uffd=1\n10004000-10008000 rw-p um ac uffd=2\n");
    assert_ret(vt_unregister(&t, 2, BASE, P(4)), -VMK_EINVAL);
    assert_ret(vt_unregister(&t, 1, BASE, P(8)), -VMK_EINVAL); /* nothing happens */
    assert_map(&t, "10000000-10004000 rw-p um ac uffd=1\n10004000-10008000 rw-p um ac uffd=2\n");
    assert_ret(vt_uffd_close(&t, 1), 0);
    assert_map(&t, "10000000-10004000 rw-p ac\n10004000-10008000 rw-p um ac uffd=2\n");
    assert_ret(vt_uffd_close(&t, 2), 0); /* closing merges */
    assert_map(&t, "10000000-10008000 rw-p ac\n");
    assert_ret(vt_uffd_close(&t, 2), 0);
    vt_teardown(&t);
}

struct uffd_kind {
    const char *name;
    uint32_t prot, flags;
    enum vmk_object_kind object;
    bool has_file;
    uint32_t mode, seals;
    int missing, wp, minor;
};

/* Recorded on Linux 6.18. */
static const struct uffd_kind kinds[] = {
    {"anonymous", VT_RW, VT_FIXED, VMK_OBJECT_NONE, false, 0, 0, 0, 0, VMK_EINVAL},
    {"none", 0, VT_FIXED, VMK_OBJECT_NONE, false, 0, 0, 0, 0, VMK_EINVAL},
    {"shared anonymous", VT_R, VMK_MAP_SHARED | VMK_MAP_ANONYMOUS, VMK_OBJECT_NONE, false, 0, 0, 0, 0, 0},
    {"file private", VT_RW, VMK_MAP_PRIVATE, VMK_OBJECT_REGULAR, true, 3, 0, VMK_EINVAL, VMK_EINVAL, VMK_EINVAL},
    {"file shared", VT_RW, VMK_MAP_SHARED, VMK_OBJECT_REGULAR, true, 3, 0, VMK_EINVAL, VMK_EINVAL, VMK_EINVAL},
    {"memfd shared", VT_RW, VMK_MAP_SHARED, VMK_OBJECT_SHMEM, true, 3, 0, 0, 0, 0},
    {"memfd private", VT_R, VMK_MAP_PRIVATE, VMK_OBJECT_SHMEM, true, 3, 0, 0, 0, 0},
    {"memfd sealed", VT_R, VMK_MAP_SHARED, VMK_OBJECT_SHMEM, true, 3, VMK_SEAL_WRITE, VMK_EPERM, VMK_EPERM, VMK_EPERM},
    {"/dev/zero", VT_RW, VMK_MAP_PRIVATE, VMK_OBJECT_ZERO, true, 3, 0, 0, 0, VMK_EINVAL},
    {"secret", VT_RW, VMK_MAP_SHARED, VMK_OBJECT_SECRET, true, 3, 0, VMK_EINVAL, VMK_EINVAL, VMK_EINVAL},
    {"droppable", VT_RW, VMK_MAP_DROPPABLE | VMK_MAP_ANONYMOUS, VMK_OBJECT_NONE, false, 0, 0, VMK_EINVAL, VMK_EINVAL,
     VMK_EINVAL},
};

static void test_kinds(void **state)
{
    struct vt t;

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const struct uffd_kind *kind = &kinds[i];
        struct vmk_file *file;

        vt_setup(&t);
        file = kind->has_file ? vt_file_mode(&t, 1, kind->object, kind->mode, kind->seals) : NULL;
        vt_map_file(&t, BASE, P(4), kind->prot, kind->flags, file, 0);
        assert_ret(vt_register(&t, 1, BASE, P(4), MISSING), -kind->missing);
        assert_ret(vt_register(&t, 1, BASE, P(4), WP), -kind->wp);
        assert_ret(vt_register(&t, 1, BASE, P(4), MINOR), -kind->minor);
        vt_teardown(&t);
    }
}

/* Every area is checked before one changes; the first that refuses decides the error. */
static void test_mixed(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_map_file(&t, BASE + P(2), P(2), VT_RW, VMK_MAP_PRIVATE, vt_file(&t, 1), 0);
    assert_ret(vt_register(&t, 1, BASE, P(4), MISSING), -VMK_EINVAL);
    assert_map(&t, "10000000-10002000 rw-p ac\n10002000-10004000 rw-p ac pgoff=0 file=1\n");
    assert_ret(vt_register(&t, 2, BASE, P(2), MISSING), 0);
    assert_ret(vt_register(&t, 1, BASE, P(4), MISSING), -VMK_EBUSY);
    assert_ret(vt_unregister(&t, 2, BASE, P(4)), -VMK_EINVAL);
    vt_special(&t, BASE + P(4), P(2), VT_VDSO);
    assert_ret(vt_register(&t, 1, BASE + P(4), P(2), MISSING), -VMK_EINVAL);
    vt_teardown(&t);
}

/* UFFD_FEATURE_WP_ASYNC: WP alone, on files too. */
static void test_wp_async(void **state)
{
    struct vmk_uffd_request request = {
        .action = VMK_UFFD_REGISTER, .context = 1, .features_wp_async = 1, .mode = WP, .address = BASE, .len = P(4)};
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_map_file(&t, BASE, P(4), VT_RW, VMK_MAP_PRIVATE, vt_file(&t, 1), 0);
    assert_ret(vt_return(&t, vmk_uffd(t.mm, &request, &t.result)), 0);
    assert_map(&t, "10000000-10004000 rw-p uw ac pgoff=0 file=1 uffd=1\n");
    request.mode = WP | MISSING;
    assert_ret(vt_return(&t, vmk_uffd(t.mm, &request, &t.result)), -VMK_EINVAL);
    assert_ret(vt_unregister(&t, 2, BASE, P(4)), -VMK_EINVAL);
    request.action = VMK_UFFD_UNREGISTER;
    assert_ret(vt_return(&t, vmk_uffd(t.mm, &request, &t.result)), 0);
    assert_map(&t, "10000000-10004000 rw-p ac pgoff=0 file=1\n");
    assert_ret(vt_return(&t, vmk_uffd(t.mm, &request, &t.result)),
               -VMK_EINVAL); /* what is not registered must be able */
    request.action = VMK_UFFD_REGISTER;
    request.mode = WP;
    vt_special(&t, BASE + P(4), P(2), VT_VDSO);
    request.address = BASE + P(4);
    assert_ret(vt_return(&t, vmk_uffd(t.mm, &request, &t.result)), -VMK_EINVAL);
    vt_teardown(&t);
}

static void test_hugetlb(void **state)
{
    const uint32_t flags = VT_FIXED | VMK_MAP_HUGETLB | VMK_MAP_NORESERVE;
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(vt_mmap_file(&t, BASE, P(1024), VT_RW, flags, NULL, 0), BASE);
    assert_ret(vt_register(&t, 1, BASE, P(4), MISSING), -VMK_EINVAL);
    assert_ret(vt_register(&t, 1, BASE + P(4), P(508), MISSING), -VMK_EINVAL);
    assert_ret(vt_register(&t, 1, BASE, P(512), MISSING | WP | MINOR), 0);
    assert_map(&t, "10000000-10200000 rw-p um uw de nr ht ui pgoff=0 file=0 uffd=1\n"
                   "10200000-10400000 rw-p de nr ht pgoff=200 file=0\n");
    assert_ret(vt_unregister(&t, 1, BASE, P(4)), -VMK_EINVAL);
    assert_ret(vt_unregister(&t, 1, BASE, P(512)), 0);
    vt_teardown(&t);
}

/* Memory whose anon_vmas differ stays apart; other properties of the area are kept. */
static void test_merging(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(8), VT_RW);
    assert_ret(vt_register(&t, 1, BASE, P(4), MISSING), 0);
    vt_touch(&t, BASE);
    vt_touch(&t, BASE + P(6));
    assert_ret(vt_unregister(&t, 1, BASE, P(4)), 0);
    assert_map(&t, "10000000-10004000 rw-p ac anon=a1\n10004000-10008000 rw-p ac anon=a2\n");
    assert_ret(vt_mbind(&t, BASE, P(2), VMK_MPOL_BIND, 1), 0);
    assert_ret(vt_register(&t, 1, BASE, P(4), MISSING), 0);
    assert_ret(vt_uffd_close(&t, 1), 0);
    assert_map(&t, "10000000-10002000 rw-p ac anon=a1\n10002000-10004000 rw-p ac anon=a1\n"
                   "10004000-10008000 rw-p ac anon=a2\n");
    assert_ret(vt_mbind(&t, BASE, P(2), VMK_MPOL_DEFAULT, 0), 0);
    assert_map(&t, "10000000-10004000 rw-p ac anon=a1\n10004000-10008000 rw-p ac anon=a2\n");
    vt_teardown(&t);
}

static void test_settings(void **state)
{
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.settings.uffd_wp = 0;
    t.system_options.settings.uffd_minor = 0;
    vt_open(&t);
    assert_ret(vt_mmap_file(&t, BASE, P(2), VT_RW, VMK_MAP_SHARED | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED, NULL, 0), BASE);
    assert_ret(vt_register(&t, 1, BASE, P(1), WP), -VMK_EINVAL);
    assert_ret(vt_register(&t, 1, BASE, P(1), MINOR), -VMK_EINVAL);
    assert_ret(vt_register(&t, 1, BASE, P(1), MISSING), 0);
    vt_teardown(&t);

    vt_init(&t);
    t.system_options.settings.userfaultfd = 0;
    vt_open(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    assert_ret(vt_register(&t, 1, BASE, P(1), MISSING), -VMK_EINVAL);
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
    assert_ret(vt_register(&t, 1, BASE + P(2), P(2), MISSING), -VMK_ENOMEM);
    assert_map(&t, "10000000-10002000 rw-p ac\n10002000-10006000 rw-p ac\n");
    vt_teardown(&t);
}

/* ---- Failing allocations ---- */

static void prepare_area(struct vt *t)
{
    vt_anon(t, BASE, P(8), VT_RW);
}

static int64_t call_register(struct vt *t)
{
    return vt_register(t, 1, BASE + P(2), P(2), MISSING);
}

static void prepare_registered(struct vt *t)
{
    vt_anon(t, BASE, P(8), VT_RW);
    assert_ret(vt_register(t, 1, BASE + P(2), P(2), MISSING), 0);
}

static int64_t call_unregister(struct vt *t)
{
    return vt_unregister(t, 1, BASE + P(3), P(2));
}

static int64_t call_close(struct vt *t)
{
    return vt_uffd_close(t, 1);
}

static void test_failing_allocations(void **state)
{
    (void)state;
    assert_true(vt_fail_each(prepare_area, call_register, false) > 0);
    assert_true(vt_fail_each(prepare_registered, call_unregister, false) > 0);
    assert_true(vt_fail_each(prepare_registered, call_close, false) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arguments), cmocka_unit_test(test_holes),     cmocka_unit_test(test_modes),
        cmocka_unit_test(test_contexts),  cmocka_unit_test(test_kinds),     cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_wp_async),  cmocka_unit_test(test_hugetlb),   cmocka_unit_test(test_merging),
        cmocka_unit_test(test_settings),  cmocka_unit_test(test_map_count), cmocka_unit_test(test_failing_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
