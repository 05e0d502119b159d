/* SPDX-License-Identifier: MIT */
/* mmap(2): merging, errors in their order, flags, placement beside what is mapped. */
#include "support.h"

#define BASE UINT64_C(0x10000000)
#define P(n) ((uint64_t)(n)*VT_PAGE)

static int64_t map(struct vt *t, vmk_addr address, uint64_t len, uint32_t prot, uint32_t flags)
{
    return vt_mmap_file(t, address, len, prot, flags, NULL, 0);
}

static void test_first(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(map(&t, 0, 1, VT_RW, VT_ANON), 0x7ffff7ffe000);
    assert_map(&t, "7ffff7ffe000-7ffff7fff000 rw-p ac\n");
    vt_teardown(&t);
}

/* The offset of anonymous memory means nothing, for its huge-page alignment either. */
static void test_anonymous_offset(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(vt_mmap_file(&t, 0, UINT64_C(8) << 20, VT_R, VT_ANON, NULL, P(3)), 0x7ffff7600000);
    assert_map(&t, "7ffff7600000-7ffff7e00000 r--p\n");
    vt_teardown(&t);
}

static void test_merges(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_anon(&t, BASE + P(4), P(2), VT_RW);
    assert_map(&t, "10000000-10002000 rw-p ac\n10004000-10006000 rw-p ac\n");
    vt_anon(&t, BASE + P(2), P(1), VT_RW); /* previous */
    assert_map(&t, "10000000-10003000 rw-p ac\n10004000-10006000 rw-p ac\n");
    vt_anon(&t, BASE + P(3), P(1), VT_RW); /* both */
    assert_map(&t, "10000000-10006000 rw-p ac\n");
    vt_anon(&t, BASE + P(7), P(1), VT_RW);
    vt_anon(&t, BASE + P(6), P(1), VT_R); /* neither: other flags */
    assert_map(&t, "10000000-10006000 rw-p ac\n10006000-10007000 r--p\n10007000-10008000 rw-p ac\n");
    vt_anon(&t, BASE - P(1), P(1), VT_RW); /* next */
    assert_map(&t, "ffff000-10006000 rw-p ac\n10006000-10007000 r--p\n10007000-10008000 rw-p ac\n");
    vt_teardown(&t);
}

static void test_fixed_replaces(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(8), VT_RW);
    vt_anon(&t, BASE + P(2), P(2), VT_RW); /* the same again: one area */
    assert_map(&t, "10000000-10008000 rw-p ac\n");
    vt_anon(&t, BASE + P(2), P(2), VT_R); /* a hole in the middle */
    assert_map(&t, "10000000-10002000 rw-p ac\n10002000-10004000 r--p\n10004000-10008000 rw-p ac\n");
    vt_anon(&t, BASE + P(1), P(4), VT_R); /* over parts of three: joins what it has in the middle */
    assert_map(&t, "10000000-10001000 rw-p ac\n10001000-10005000 r--p\n10005000-10008000 rw-p ac\n");
    vt_anon(&t, BASE, P(8), VT_RW);
    assert_map(&t, "10000000-10008000 rw-p ac\n");
    vt_teardown(&t);
}

static void test_anon_vma_decides(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_anon(&t, BASE + P(3), P(2), VT_RW);
    vt_touch(&t, BASE);
    vt_touch(&t, BASE + P(3));
    assert_map(&t, "10000000-10002000 rw-p ac anon=a1\n10003000-10005000 rw-p ac anon=a2\n");
    vt_anon(&t, BASE + P(2), P(1), VT_RW); /* a bridge between two: joins the previous */
    assert_map(&t, "10000000-10003000 rw-p ac anon=a1\n10003000-10005000 rw-p ac anon=a2\n");
    vt_teardown(&t);
}

static void test_adopts(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    vt_anon(&t, BASE + P(2), P(1), VT_RW);
    vt_touch(&t, BASE + P(2));
    vt_anon(&t, BASE + P(1), P(1), VT_RW); /* both: the one that stays takes the other's */
    assert_map(&t, "10000000-10003000 rw-p ac anon=a1\n");
    vt_teardown(&t);
}

static void test_reuses(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    vt_anon(&t, BASE + P(1), P(1), VT_R | VMK_PROT_EXEC);
    vt_anon(&t, BASE + P(2), P(1), VT_RW);
    vt_touch(&t, BASE);
    vt_touch(&t, BASE + P(2));
    assert_map(&t, "10000000-10001000 rw-p ac anon=a1\n10001000-10002000 r-xp\n10002000-10003000 rw-p ac anon=a2\n");
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VMK_PROT_READ | VMK_PROT_WRITE | VMK_PROT_EXEC), 0);
    vt_touch(&t, BASE + P(1)); /* the next neighbour's comes first */
    assert_map(&t, "10000000-10001000 rw-p ac anon=a1\n10001000-10002000 rwxp ac anon=a2\n"
                   "10002000-10003000 rw-p ac anon=a2\n");
    vt_teardown(&t);
}

static void test_errors(void **state)
{
    struct vt t;
    struct vmk_file *file;
    struct vmk_mmap_request request = {
        .len = P(1), .prot = VT_R, .flags = VMK_MAP_PRIVATE, .offset = 1, .file_error = -VMK_EBADF};

    (void)state;
    vt_setup(&t);
    file = vt_file(&t, 1);
    assert_int_equal(vmk_mmap(t.mm, &request, NULL), -VMK_EINVAL); /* the offset beats the descriptor */
    request.offset = 0;
    request.len = 0;
    assert_int_equal(vmk_mmap(t.mm, &request, NULL), -VMK_EBADF); /* the descriptor beats the length */
    assert_ret(map(&t, 0, 0, VT_R, VT_ANON), -VMK_EINVAL);
    assert_ret(map(&t, 0, UINT64_MAX, VT_R, VT_ANON), -VMK_ENOMEM);
    assert_ret(map(&t, BASE + 1, P(1), VT_R, VT_FIXED), -VMK_EINVAL);
    assert_ret(map(&t, UINT64_C(0x7ffffffff000), P(1), VT_R, VT_FIXED), -VMK_ENOMEM);
    assert_ret(map(&t, 0, P(1), VT_R, VMK_MAP_ANONYMOUS), -VMK_EINVAL);
    assert_ret(map(&t, 0, P(1), VT_R, VMK_MAP_ANONYMOUS | VMK_MAP_SHARED_VALIDATE), -VMK_EINVAL);
    assert_ret(map(&t, 0, P(1), VT_R, VMK_MAP_ANONYMOUS | VMK_MAP_SHARED | VMK_MAP_GROWSDOWN), -VMK_EINVAL);
    vt_anon(&t, BASE, P(1), VT_R);
    assert_ret(map(&t, BASE, P(1), VT_R, VMK_MAP_ANONYMOUS | VMK_MAP_FIXED_NOREPLACE), -VMK_EEXIST);
    assert_ret(vt_mmap_file(&t, 0, P(1), VT_R, VMK_MAP_PRIVATE | VMK_MAP_GROWSDOWN, file, 0), -VMK_EINVAL);
    assert_ret(vt_mmap_file(&t, 0, P(1), VT_R, VMK_MAP_PRIVATE | VMK_MAP_HUGETLB, file, 0), -VMK_EINVAL);
    assert_ret(vt_mmap_file(&t, 0, P(2), VT_R, VMK_MAP_PRIVATE, file, UINT64_MAX - P(1) + 1), -VMK_EOVERFLOW);
    assert_ret(vt_mmap_file(&t, 0, P(1), VT_R, VMK_MAP_SHARED_VALIDATE | VMK_MAP_SYNC, file, 0), -VMK_EOPNOTSUPP);
    assert_ret(vt_mmap_file(&t, 0, P(1), VT_R, VMK_MAP_PRIVATE, vt_file_kind(&t, 2, VMK_OBJECT_NONE, 0), 0),
               -VMK_ENODEV);
    assert_map(&t, "10000000-10001000 r--p\n");
    vt_teardown(&t);
}

static void test_limits(void **state)
{
    struct vt t;
    struct vmk_rlimits rlimits;

    (void)state;
    vt_setup(&t);
    vmk_mm_get_rlimits(t.mm, &rlimits);
    rlimits.as.soft = P(4);
    rlimits.data.soft = P(2);
    rlimits.memlock.soft = P(1);
    vmk_mm_set_rlimits(t.mm, &rlimits);
    assert_ret(map(&t, BASE, P(5), VT_R, VT_FIXED), -VMK_ENOMEM);
    vt_anon(&t, BASE, P(4), VT_R);
    vt_anon(&t, BASE, P(2), VMK_PROT_NONE);                              /* net of what it replaces */
    assert_ret(map(&t, BASE + P(3), P(2), VT_R, VT_FIXED), -VMK_ENOMEM); /* the cut at its start stays */
    assert_ret(map(&t, BASE, P(2), VT_RW, VT_FIXED | VMK_MAP_LOCKED), -VMK_EAGAIN);
    assert_ret(map(&t, BASE, P(1), VT_RW, VT_FIXED | VMK_MAP_LOCKED), BASE);
    rlimits.memlock.soft = 0;
    vmk_mm_set_rlimits(t.mm, &rlimits);
    assert_ret(map(&t, BASE, P(1), VT_RW, VT_FIXED | VMK_MAP_LOCKED), -VMK_EPERM);
    assert_map(&t, "10000000-10001000 rw-p lo ac anon=a1\n10001000-10002000 ---p\n10002000-10003000 r--p\n"
                   "10003000-10004000 r--p\n");
    vt_teardown(&t);
}

static void test_map_count(void **state)
{
    struct vt t;
    struct vmk_sysctl sysctl;

    (void)state;
    vt_setup(&t);
    vmk_system_sysctl(t.system, &sysctl);
    sysctl.max_map_count = 3;
    assert_int_equal(vmk_system_set_sysctl(t.system, &sysctl), 0);
    for (unsigned i = 0; i < 4; i++)
        vt_anon(&t, BASE + P(2 * i), P(1), VT_R);
    assert_ret(map(&t, BASE + P(8), P(1), VT_R, VT_FIXED), -VMK_ENOMEM); /* 4 > 3 */
    assert_ret(vt_munmap(&t, BASE, P(1)), 0);
    vt_anon(&t, BASE, P(3), VT_R); /* 3: may */
    assert_ret(vt_munmap(&t, BASE + P(6), P(1)), 0);
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_RW), -VMK_ENOMEM); /* two splits: the second fails */
    assert_map(&t, "10000000-10001000 r--p\n10001000-10003000 r--p\n10004000-10005000 r--p\n");
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_RW), 0);        /* the whole of an area */
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_RW), 0); /* joins: no split */
    assert_map(&t, "10000000-10002000 rw-p ac\n10002000-10003000 r--p\n10004000-10005000 r--p\n");
    assert_ret(vt_munmap(&t, BASE + P(1), P(1)), 0);
    assert_ret(vt_munmap(&t, BASE, P(1)), 0);
    vt_teardown(&t);
}

static void test_shared(void **state)
{
    struct vt t;
    struct vmk_file *file;

    (void)state;
    vt_setup(&t);
    file = vt_file(&t, 1);
    assert_ret(vt_mmap_file(&t, BASE, P(2), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, file, 0), BASE);
    assert_ret(vt_mmap_file(&t, BASE + P(2), P(1), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, file, P(2)), BASE + P(2));
    assert_map(&t, "10000000-10003000 rw-s pgoff=0 file=1\n");
    assert_ret(vt_mmap_file(&t, BASE + P(3), P(1), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, file, P(2)), BASE + P(3));
    assert_map(&t, "10000000-10003000 rw-s pgoff=0 file=1\n10003000-10004000 rw-s pgoff=2 file=1\n");
    assert_ret(vt_munmap(&t, BASE, P(4)), 0);
    assert_ret(map(&t, BASE, P(2), VT_RW, VMK_MAP_SHARED | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED), BASE);
    assert_int_equal(vmk_system_committed(t.system), 2);
    assert_ret(vt_munmap(&t, BASE, P(1)), 0);
    assert_int_equal(vmk_system_committed(t.system), 2); /* the charge is the object's */
    assert_ret(vt_munmap(&t, BASE, P(2)), 0);
    assert_int_equal(vmk_system_committed(t.system), 0);
    vt_teardown(&t);
}

static void test_commit(void **state)
{
    struct vt t;
    struct vmk_sysctl sysctl;

    (void)state;
    vt_setup(&t);
    vmk_system_sysctl(t.system, &sysctl);
    vt_anon(&t, BASE, P(4), VT_RW);
    assert_int_equal(vmk_system_committed(t.system), 4);
    vt_anon(&t, BASE, P(2), VT_R);
    assert_int_equal(vmk_system_committed(t.system), 2);
    vt_anon(&t, BASE, P(8), VT_RW);
    assert_int_equal(vmk_system_committed(t.system), 8);
    assert_ret(map(&t, 0, (sysctl.total_ram_pages + 1) << 12, VT_RW, VT_ANON), -VMK_ENOMEM);
    assert_ret(vt_munmap(&t, BASE, P(8)), 0);
    assert_int_equal(vmk_system_committed(t.system), 0);
    sysctl.overcommit_memory = VMK_OVERCOMMIT_NEVER;
    sysctl.overcommit_kbytes = 64 << 10;
    sysctl.admin_reserve_kbytes = 0;
    sysctl.user_reserve_kbytes = 0;
    assert_int_equal(vmk_system_set_sysctl(t.system, &sysctl), 0);
    assert_ret(map(&t, BASE, 64 << 20, VT_RW, VT_FIXED | VMK_MAP_NORESERVE), -VMK_ENOMEM);
    assert_ret(map(&t, BASE, (64 << 20) - P(1), VT_RW, VT_FIXED | VMK_MAP_NORESERVE), BASE);
    vt_teardown(&t);
}

static void prepare_fail(struct vt *t)
{
    vt_anon(t, BASE, P(8), VT_RW);
    vt_touch(t, BASE);
}

static int64_t call_fail_fixed(struct vt *t)
{
    return map(t, BASE + P(2), P(2), VT_R, VT_FIXED);
}

static int64_t call_fail_shared(struct vt *t)
{
    return map(t, BASE + P(2), P(2), VT_RW, VMK_MAP_SHARED | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED);
}

static void test_failing_allocations(void **state)
{
    (void)state;
    vt_fail_each(prepare_fail, call_fail_fixed, false);
    vt_fail_each(prepare_fail, call_fail_shared, false);
}

/* What goes from the place is charged already: only the difference is asked for. */
static void test_charge_over_memory(void **state)
{
    struct vmk_sysctl sysctl;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(4), VT_RW);
    vmk_system_sysctl(t.system, &sysctl);
    sysctl.total_ram_pages = 2;
    sysctl.total_swap_pages = 0;
    assert_int_equal(vmk_system_set_sysctl(t.system, &sysctl), 0);
    assert_ret(vt_mmap_file(&t, BASE + P(1), P(5), VT_RW, VMK_MAP_PRIVATE | VMK_MAP_FIXED, vt_file(&t, 1), 0),
               BASE + P(1));
    assert_int_equal(vmk_system_committed(t.system), 6);
    assert_ret(vt_mmap_file(&t, BASE + P(4), P(5), VT_RW, VMK_MAP_PRIVATE | VMK_MAP_FIXED, vt_file(&t, 1), 0),
               -VMK_ENOMEM);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first),
        cmocka_unit_test(test_anonymous_offset),
        cmocka_unit_test(test_merges),
        cmocka_unit_test(test_fixed_replaces),
        cmocka_unit_test(test_anon_vma_decides),
        cmocka_unit_test(test_adopts),
        cmocka_unit_test(test_reuses),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_map_count),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_commit),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_charge_over_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
