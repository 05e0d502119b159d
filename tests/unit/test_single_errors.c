/* SPDX-License-Identifier: MIT */
/* The functions on a single area: what they refuse, and that a refusal changes nothing. */
#include "calls.h"

#define RW (VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS | VMK_VM_ACCOUNT)

static struct vmk_vma_request request_of(vmk_addr start, uint64_t len, vmk_vm_flags flags)
{
    return (struct vmk_vma_request){.start = start, .end = start + len, .flags = flags};
}

static void test_create(void **state)
{
    struct vmk_vma_request request = request_of(BASE, P(1), RW);
    struct vmk_vma *vma;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vmk_mm_lock_write(t.mm);
    request.start = request.end;
    assert_true(vmk_vma_create(t.mm, &request, &vma) < 0); /* empty */
    assert_true(vmk_vma_create_and_insert(t.mm, &request, &vma) < 0);
    assert_true(vmk_vma_map_memory(t.mm, &request, &vma) < 0);
    request = request_of(BASE + 1, P(1), RW);
    assert_true(vmk_vma_create(t.mm, &request, &vma) < 0); /* unaligned */
    request = request_of(BASE, P(2), RW);
    request.special_name = "[here]";
    request.private_data = &t;
    request.has_anon_vma = true;
    assert_ret(vmk_vma_create(t.mm, &request, &vma), 0);
    assert_ptr_equal(vmk_vma_private_data(vma), &t);
    vmk_vma_destroy(vma);
    request = request_of(BASE, P(2), RW);
    request.anon_vma_unknown = true;
    request.keep_pgoff = true;
    request.pgoff = 3;
    assert_ret(vmk_vma_create_and_insert(t.mm, &request, &vma), 0);
    vmk_mm_unlock_write(t.mm);
    assert_map(&t, "10000000-10002000 rw-p ac anon=? pgoff=3\n");
    vt_teardown(&t);
}

static void test_insert(void **state)
{
    struct vmk_vma_request request = request_of(BASE + P(1), P(2), RW);
    struct vmk_sysctl sysctl;
    struct vmk_rlimits rlimits;
    struct vmk_vma *vma;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vmk_mm_lock_write(t.mm);
    assert_ret(vmk_vma_create_and_insert(t.mm, &request, &vma), -VMK_EEXIST);
    request = request_of(BASE + P(4), P(2), RW);
    vmk_system_sysctl(t.system, &sysctl);
    sysctl.max_map_count = 0;
    assert_ret(vmk_system_set_sysctl(t.system, &sysctl), 0);
    assert_ret(vmk_vma_create_and_insert(t.mm, &request, &vma), -VMK_ENOMEM);
    sysctl.max_map_count = 1;
    sysctl.total_ram_pages = 1;
    assert_ret(vmk_system_set_sysctl(t.system, &sysctl), 0);
    assert_ret(vmk_vma_create_and_insert(t.mm, &request, &vma), -VMK_ENOMEM); /* the commit charge */
    assert_ret(vmk_vma_split(t.mm, vmk_mm_find(t.mm, 0), BASE + P(1), &vma), -VMK_ENOMEM);
    assert_ret(vmk_vma_split(t.mm, vmk_mm_find(t.mm, 0), BASE, &vma), -VMK_EINVAL);
    assert_ret(vmk_vma_split(t.mm, vmk_mm_find(t.mm, 0), BASE + P(2), &vma), -VMK_EINVAL);
    assert_ret(vmk_vma_split(t.mm, vmk_mm_find(t.mm, 0), BASE + 5, &vma), -VMK_EINVAL);
    vmk_mm_unlock_write(t.mm);
    vmk_mm_get_rlimits(t.mm, &rlimits);
    rlimits.as.soft = P(3);
    vmk_mm_set_rlimits(t.mm, &rlimits);
    vmk_mm_lock_write(t.mm);
    assert_ret(vmk_vma_create_and_insert(t.mm, &request, &vma), -VMK_ENOMEM);
    assert_ret(vmk_vma_account(t.mm, vmk_mm_find(t.mm, 0)), -VMK_ENOMEM);
    vmk_mm_unlock_write(t.mm);
    assert_map(&t, "10000000-10002000 rw-p ac\n");
    assert_ret(vmk_system_committed(t.system), 2);
    vt_teardown(&t);
}

static void test_not_there(void **state)
{
    struct vmk_vma_request request = request_of(BASE, P(1), RW);
    struct vmk_vma *vma, *modified;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vmk_mm_lock_write(t.mm);
    assert_ret(vmk_vma_create(t.mm, &request, &vma), 0);
    assert_ret(vmk_vma_remove(t.mm, vma), -VMK_EINVAL); /* not inserted */
    assert_ret(vmk_vma_delete(t.mm, vma), -VMK_EINVAL);
    assert_ret(vmk_vma_insert(t.mm, vma), 0);
    assert_ret(vmk_vma_modify(t.mm, vma, BASE, BASE, VT_R, &modified), -VMK_EINVAL);
    assert_ret(vmk_vma_modify(t.mm, vma, BASE - P(1), BASE + P(1), VT_R, &modified), -VMK_EINVAL);
    assert_ret(vmk_vma_modify(t.mm, vma, BASE, BASE + P(2), VT_R, &modified), -VMK_EINVAL);
    vmk_mm_unlock_write(t.mm);
    assert_ret(vt_mseal(&t, BASE, P(1), 0), 0);
    vmk_mm_lock_write(t.mm);
    assert_ret(vmk_vma_delete(t.mm, vma), -VMK_EPERM);
    vmk_mm_unlock_write(t.mm);
    assert_map(&t, "10000000-10001000 rw-p ac sl\n");
    vt_teardown(&t);
}

/* ---- Every allocation refused in turn ---- */

static int64_t locked(struct vt *t, int error)
{
    vmk_mm_unlock_write(t->mm);
    return error;
}

static int64_t create_and_insert(struct vt *t)
{
    struct vmk_vma_request request = request_of(BASE + P(8), P(1), RW);
    struct vmk_vma *vma;

    request.special_name = "[here]";
    request.has_anon_vma = true;
    vmk_mm_lock_write(t->mm);
    return locked(t, vmk_vma_create_and_insert(t->mm, &request, &vma));
}

static void prepare(struct vt *t)
{
    for (unsigned i = 0; i < 15; i++) /* a full leaf */
        vt_anon(t, BASE + P(16 + 8 * i), P(4), i % 2 != 0 ? VT_R : VT_RW);
}

static int64_t split(struct vt *t)
{
    struct vmk_vma *vma;

    vmk_mm_lock_write(t->mm);
    return locked(t, vmk_vma_split(t->mm, vmk_mm_find(t->mm, BASE), BASE + P(17), &vma));
}

static int64_t merge(struct vt *t)
{
    struct vmk_vma *vma;

    vmk_mm_lock_write(t->mm);
    return locked(t, vmk_vma_merge(t->mm, vmk_mm_find(t->mm, BASE), &vma));
}

static int64_t delete_area(struct vt *t)
{
    vmk_mm_lock_write(t->mm);
    return locked(t, vmk_vma_delete(t->mm, vmk_mm_find(t->mm, BASE)));
}

static int64_t modify(struct vt *t)
{
    struct vmk_vma *vma;

    vmk_mm_lock_write(t->mm);
    return locked(t, vmk_vma_modify(t->mm, vmk_mm_find(t->mm, BASE), BASE + P(17), BASE + P(18), VT_R, &vma));
}

static void test_failing_allocations(void **state)
{
    (void)state;
    assert_true(vt_fail_each(NULL, create_and_insert, false) > 0);
    assert_true(vt_fail_each(prepare, create_and_insert, false) > 0);
    vt_fail_each(prepare, split, false);
    vt_fail_each(prepare, merge, false);
    vt_fail_each(prepare, delete_area, false);
    vt_fail_each(prepare, modify, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_insert),
        cmocka_unit_test(test_not_there),
        cmocka_unit_test(test_failing_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
