/* SPDX-License-Identifier: MIT */
/* mprotect(2) and munmap(2): splits, merges, charges, holes, errors in their order. */
#include "calls.h"

static void test_munmap(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(8), VT_RW);
    assert_ret(vt_munmap(&t, BASE + P(1), P(2)), 0);
    assert_map(&t, "10000000-10001000 rw-p ac\n10003000-10008000 rw-p ac\n");
    assert_ret(vt_munmap(&t, BASE + P(7), P(9)), 0);
    assert_ret(vt_munmap(&t, BASE + P(2), P(2)), 0);
    assert_map(&t, "10000000-10001000 rw-p ac\n10004000-10007000 rw-p ac\n");
    assert_ret(vt_munmap(&t, BASE + P(1), P(1)), 0); /* a hole */
    assert_ret(vt_munmap(&t, BASE, 0), -VMK_EINVAL);
    assert_ret(vt_munmap(&t, BASE + 1, P(1)), -VMK_EINVAL);
    assert_ret(vt_munmap(&t, BASE, UINT64_MAX), -VMK_EINVAL);
    assert_ret(vt_munmap(&t, UINT64_C(1) << 47, P(1)), -VMK_EINVAL);
    assert_ret(vt_munmap(&t, 0, UINT64_C(1) << 46), 0);
    assert_map(&t, "");
    assert_int_equal(vmk_system_committed(t.system), 0);
    vt_teardown(&t);
}

static void test_munmap_count(void **state)
{
    struct vmk_sysctl sysctl;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(8), VT_RW);
    vmk_system_sysctl(t.system, &sysctl);
    sysctl.max_map_count = 1;
    vmk_system_set_sysctl(t.system, &sysctl);
    assert_ret(vt_munmap(&t, BASE + P(2), P(2)), -VMK_ENOMEM); /* the middle: one more */
    assert_ret(vt_munmap(&t, BASE + P(6), P(2)), 0);
    assert_ret(vt_munmap(&t, BASE, P(1)), 0);
    assert_map(&t, "10001000-10006000 rw-p ac\n");
    vt_teardown(&t);
}

static void test_split_and_back(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(9), VT_RW);
    vt_touch(&t, BASE);
    assert_ret(vt_mprotect(&t, BASE + P(3), P(3), VT_R), 0);
    assert_map(&t, "10000000-10003000 rw-p ac anon=a1\n10003000-10006000 r--p ac anon=a1\n"
                   "10006000-10009000 rw-p ac anon=a1\n");
    assert_ret(vt_mprotect(&t, BASE + P(4), P(4), VT_RW), 0);
    assert_map(&t, "10000000-10003000 rw-p ac anon=a1\n10003000-10004000 r--p ac anon=a1\n"
                   "10004000-10009000 rw-p ac anon=a1\n");
    assert_ret(vt_mprotect(&t, BASE, P(9), VT_RW), 0);
    assert_map(&t, "10000000-10009000 rw-p ac anon=a1\n");
    vt_teardown(&t);
}

static void test_account(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(4), VT_RW);
    assert_ret(vt_mprotect(&t, BASE, P(2), VT_R), 0); /* never written: the charge goes */
    assert_map(&t, "10000000-10002000 r--p\n10002000-10004000 rw-p ac\n");
    assert_int_equal(vmk_system_committed(t.system), 2);
    assert_ret(vt_mprotect(&t, BASE, P(4), VT_RW), 0);
    assert_int_equal(vmk_system_committed(t.system), 4);
    vt_touch(&t, BASE);
    assert_ret(vt_mprotect(&t, BASE, P(2), VT_R), 0); /* written: it stays */
    assert_map(&t, "10000000-10002000 r--p ac anon=a1\n10002000-10004000 rw-p ac anon=a1\n");
    assert_int_equal(vmk_system_committed(t.system), 4);
    assert_ret(vt_mmap_file(&t, BASE + P(8), P(1), VT_RW, VMK_MAP_PRIVATE | VMK_MAP_FIXED, vt_file(&t, 1), 0),
               BASE + P(8));
    assert_ret(vt_mprotect(&t, BASE + P(8), P(1), VT_R), 0); /* a file's: stays too */
    assert_int_equal(vmk_system_committed(t.system), 5);
    vt_teardown(&t);
}

static void test_errors(void **state)
{
    struct vt t;
    struct vmk_file *file;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_anon(&t, BASE + P(3), P(1), VT_RW);
    assert_ret(vt_mprotect(&t, BASE, P(1), VMK_PROT_GROWSDOWN | VMK_PROT_GROWSUP), -VMK_EINVAL);
    assert_ret(vt_mprotect(&t, BASE + 1, 0, VT_R), -VMK_EINVAL);
    assert_ret(vt_mprotect(&t, BASE, 0, 0xff00), 0);
    assert_ret(vt_mprotect(&t, BASE, UINT64_MAX - P(2), 0xff00), -VMK_ENOMEM);
    assert_ret(vt_mprotect(&t, BASE, P(1), 0x10), -VMK_EINVAL);
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_RW | VMK_PROT_SEM), 0);
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_R | VMK_PROT_GROWSDOWN), -VMK_EINVAL);
    assert_ret(vt_mprotect(&t, BASE, P(4), VT_R), -VMK_ENOMEM); /* up to the hole */
    assert_map(&t, "10000000-10002000 r--p\n10003000-10004000 rw-p ac\n");
    assert_int_equal(t.result.done, P(2));
    assert_ret(vt_mprotect(&t, BASE + P(2), P(1), VT_R), -VMK_ENOMEM);
    file = vt_file_kind(&t, 1, VMK_OBJECT_SHMEM, P(8));
    vmk_file_set_seals(file, VMK_SEAL_WRITE);
    assert_ret(vt_mmap_file(&t, BASE + P(2), P(1), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, file, 0), -VMK_EPERM);
    assert_ret(vt_mmap_file(&t, BASE + P(2), P(1), VT_R, VMK_MAP_SHARED | VMK_MAP_FIXED, file, 0), BASE + P(2));
    assert_ret(vt_mprotect(&t, BASE, P(4), VT_RW), -VMK_EACCES); /* up to the sealed file */
    assert_map(&t, "10000000-10002000 rw-p ac\n10002000-10003000 r--s !mw pgoff=0 file=1\n"
                   "10003000-10004000 rw-p ac\n");
    vt_teardown(&t);
}

static void test_growsdown(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(vt_mmap_file(&t, BASE, P(4), VT_RW, VT_FIXED | VMK_MAP_GROWSDOWN, NULL, 0), BASE);
    assert_ret(vt_mprotect(&t, BASE + P(2), P(1), VT_R | VMK_PROT_GROWSDOWN), 0);
    assert_map(&t, "10000000-10003000 r--p gd\n10003000-10004000 rw-p gd ac\n");
    vt_teardown(&t);
}

/* Locked read-only memory that becomes writable is populated: its anon_vma comes. */
static void test_locked_populates(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(vt_mmap_file(&t, BASE, P(2), VT_R, VT_FIXED | VMK_MAP_LOCKED, NULL, 0), BASE);
    assert_map(&t, "10000000-10002000 r--p lo\n");
    assert_ret(vt_mprotect(&t, BASE, P(2), VT_RW), 0);
    assert_map(&t, "10000000-10002000 rw-p lo ac anon=a1\n");
    vt_teardown(&t);
}

static void test_data_limit(void **state)
{
    struct vmk_rlimits rlimits;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(4), VT_R);
    vmk_mm_get_rlimits(t.mm, &rlimits);
    rlimits.data.soft = P(3);
    vmk_mm_set_rlimits(t.mm, &rlimits);
    assert_ret(vt_mprotect(&t, BASE, P(4), VT_RW), -VMK_ENOMEM);
    assert_ret(vt_mprotect(&t, BASE, P(3), VT_RW), 0);
    rlimits.data.soft = 0; /* then the hard limit counts */
    rlimits.data.hard = P(4) - 1;
    vmk_mm_set_rlimits(t.mm, &rlimits);
    assert_ret(vt_mprotect(&t, BASE, P(4), VT_RW), -VMK_ENOMEM);
    rlimits.data.hard = P(4);
    vmk_mm_set_rlimits(t.mm, &rlimits);
    assert_ret(vt_mprotect(&t, BASE, P(4), VT_RW), 0);
    vt_teardown(&t);
}

static void test_mdwe(void **state)
{
    struct vmk_set_option_request request = {.option = VMK_OPTION_MDWE, .value = VMK_MDWE_REFUSE_EXEC_GAIN};
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    vt_anon(&t, BASE + P(1), P(1), VT_RX);
    assert_int_equal(vmk_set_option(t.mm, &request, NULL), 0);
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_RX), -VMK_EACCES);
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_RX), 0);
    assert_ret(vt_mmap_file(&t, 0, P(1), VT_RW | VMK_PROT_EXEC, VT_ANON, NULL, 0), -VMK_EACCES);
    vt_teardown(&t);
}

static void count_call(struct vmk_vma *vma)
{
    unsigned *count = vmk_vma_private_data(vma);

    if (count != NULL)
        (*count)++;
}

static void test_close_hook_keeps_pieces(void **state)
{
    static const struct vmk_vm_ops ops = {.size = sizeof(ops), .open = count_call, .close = count_call};
    struct vmk_vma_request request = {
        .start = BASE, .end = BASE + P(3), .ops = &ops, .flags = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS};
    unsigned nr_calls = 0;
    struct vmk_vma *vma;
    struct vt t;

    (void)state;
    vt_setup(&t);
    request.private_data = &nr_calls;
    vmk_mm_lock_write(t.mm);
    assert_int_equal(vmk_vma_create_and_insert(t.mm, &request, &vma), 0);
    vmk_mm_unlock_write(t.mm);
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_R), 0);
    assert_int_equal(nr_calls, 2); /* two halves opened */
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_RW), 0);
    vt_validate(&t);
    assert_int_equal(t.mm->tree.nr_entries, 3); /* merging would have to close the middle */
    assert_int_equal(nr_calls, 2);
    vt_teardown(&t);
}

static void prepare_protect(struct vt *t)
{
    vt_anon(t, BASE, P(9), VT_RW);
    vt_touch(t, BASE);
}

static int64_t call_protect(struct vt *t)
{
    return vt_mprotect(t, BASE + P(3), P(3), VT_R);
}

static int64_t call_unmap(struct vt *t)
{
    return vt_munmap(t, BASE + P(3), P(3));
}

/* An area that may not be cut stands in the way of a range that begins or ends inside it, and of no other one. */
static void test_uncut(void **state)
{
    (void)state;
    for (unsigned from = 0; from < 6; from++)
        for (unsigned until = from + 1; until <= 6; until++)
            for (unsigned over = 0; over < 2; over++) {
                const bool cuts = from == 3 || until == 3;
                const vmk_addr at = BASE + P(from);
                struct vt t;

                vt_setup(&t);
                vt_anon(&t, BASE, P(2), VT_RW);
                vt_special(&t, BASE + P(2), P(2), VT_VDSO);
                vt_anon(&t, BASE + P(4), P(2), VT_R);
                if (over)
                    assert_ret(vt_mmap_file(&t, at, P(until - from), VT_RX, VT_FIXED, NULL, 0),
                               cuts ? -VMK_EINVAL : (int64_t)at);
                else
                    assert_ret(vt_munmap(&t, at, P(until - from)), cuts ? -VMK_EINVAL : 0);
                vt_teardown(&t);
            }
}

static void test_failing_allocations(void **state)
{
    (void)state;
    vt_fail_each(prepare_protect, call_protect, false);
    vt_fail_each(prepare_protect, call_unmap, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_munmap),
        cmocka_unit_test(test_munmap_count),
        cmocka_unit_test(test_split_and_back),
        cmocka_unit_test(test_account),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_growsdown),
        cmocka_unit_test(test_locked_populates),
        cmocka_unit_test(test_data_limit),
        cmocka_unit_test(test_mdwe),
        cmocka_unit_test(test_close_hook_keeps_pieces),
        cmocka_unit_test(test_uncut),
        cmocka_unit_test(test_failing_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
