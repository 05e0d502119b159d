/* SPDX-License-Identifier: MIT */
/* Operations on one area: create, insert, remove, split, merge, modify, delete, account. */
#include "support.h"

#define BASE    UINT64_C(0x10000000)
#define P(n)    ((uint64_t)(n)*VT_PAGE)
#define MAY     VMK_VM_MAY_ACCESS
#define ANON_RW (VMK_VM_READ | VMK_VM_WRITE | MAY | VMK_VM_ACCOUNT)

static struct vmk_vma *insert(struct vt *t, vmk_addr start, vmk_addr end, vmk_vm_flags flags)
{
    struct vmk_vma_request request = {.start = start, .end = end, .flags = flags};
    struct vmk_vma *vma = NULL;

    assert_int_equal(vmk_vma_create_and_insert(t->mm, &request, &vma), 0);
    return vma;
}

static void test_insert(void **state)
{
    struct vmk_vma_request request = {.start = BASE, .end = BASE + P(2), .flags = ANON_RW};
    struct vmk_vma *vma, *other;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vmk_mm_lock_write(t.mm);
    assert_int_equal(vmk_vma_create(t.mm, &request, &vma), 0);
    assert_int_equal(vmk_vma_insert(t.mm, vma), 0);
    request.start = BASE + P(1);
    request.end = BASE + P(3);
    assert_int_equal(vmk_vma_create(t.mm, &request, &other), 0);
    assert_int_equal(vmk_vma_insert(t.mm, other), -VMK_EEXIST);
    vmk_vma_destroy(other);
    request.start = BASE + P(2);
    assert_int_equal(vmk_vma_create_and_insert(t.mm, &request, &other), 0); /* insert does not merge */
    assert_ptr_equal(vmk_vma_next(vma), other);
    assert_ptr_equal(vmk_vma_prev(other), vma);
    assert_null(vmk_vma_next(other));
    assert_null(vmk_vma_prev(vma));
    request.end = request.start;
    assert_int_equal(vmk_vma_create(t.mm, &request, &other), -VMK_EINVAL);
    request.end = request.start + 1;
    assert_int_equal(vmk_vma_create(t.mm, &request, &other), -VMK_EINVAL);
    vmk_mm_unlock_write(t.mm);
    assert_map(&t, "10000000-10002000 rw-p ac\n10002000-10003000 rw-p ac\n");
    vt_teardown(&t);
}

static void test_remove(void **state)
{
    struct vmk_vma *vma;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vmk_mm_lock_write(t.mm);
    vma = insert(&t, BASE, BASE + P(2), ANON_RW);
    assert_int_equal(vmk_system_committed(t.system), 2);
    assert_int_equal(vmk_vma_remove(t.mm, vma), 0);
    assert_int_equal(vmk_system_committed(t.system), 0);
    assert_int_equal(vmk_vma_remove(t.mm, vma), -VMK_EINVAL);
    assert_int_equal(vmk_vma_insert(t.mm, vma), 0); /* it was the caller's again */
    assert_int_equal(vmk_vma_delete(t.mm, vma), 0);
    vmk_mm_unlock_write(t.mm);
    assert_map(&t, "");
    vt_teardown(&t);
}

static void test_split_and_merge(void **state)
{
    struct vmk_vma *vma, *upper, *merged;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vmk_mm_lock_write(t.mm);
    vma = insert(&t, BASE, BASE + P(4), ANON_RW);
    assert_int_equal(vmk_vma_set_user(vma, &t), 0);
    assert_int_equal(vmk_vma_split(t.mm, vma, BASE, &upper), -VMK_EINVAL);
    assert_int_equal(vmk_vma_split(t.mm, vma, BASE + P(4), &upper), -VMK_EINVAL);
    assert_int_equal(vmk_vma_split(t.mm, vma, BASE + 1, &upper), -VMK_EINVAL);
    assert_int_equal(vmk_vma_split(t.mm, vma, BASE + P(1), &upper), 0);
    assert_int_equal(vmk_vma_start(upper), BASE + P(1));
    assert_int_equal(vmk_vma_end(upper), BASE + P(4));
    assert_int_equal(vmk_vma_end(vma), BASE + P(1));
    assert_int_equal(vmk_vma_pgoff(upper), (BASE >> 12) + 1);
    assert_ptr_equal(vmk_vma_user(upper), &t);
    assert_true(vmk_vma_can_merge(vma, upper));
    assert_false(vmk_vma_can_merge(upper, vma));
    assert_int_equal(vmk_vma_set_user(upper, state), 0); /* no part of the identity: what stays keeps its own */
    assert_true(vmk_vma_can_merge(vma, upper));
    assert_int_equal(vmk_vma_merge(t.mm, upper, &merged), 0);
    assert_ptr_equal(merged, vma);
    assert_ptr_equal(vmk_vma_user(merged), &t);
    assert_int_equal(vmk_vma_start(merged), BASE);
    assert_int_equal(vmk_vma_end(merged), BASE + P(4));
    assert_int_equal(vmk_vma_merge(t.mm, merged, &upper), 0); /* nothing to join: itself */
    assert_ptr_equal(upper, merged);
    vmk_mm_unlock_write(t.mm);
    assert_map(&t, "10000000-10004000 rw-p ac\n");
    vt_teardown(&t);
}

static void test_modify(void **state)
{
    struct vmk_vma *vma, *part;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vmk_mm_lock_write(t.mm);
    vma = insert(&t, BASE, BASE + P(4), ANON_RW);
    assert_int_equal(vmk_vma_modify(t.mm, vma, BASE + P(1), BASE + P(2), VMK_PROT_READ, &part), 0);
    assert_int_equal(vmk_vma_start(part), BASE + P(1));
    assert_int_equal(vmk_vma_flags(part), VMK_VM_READ | MAY);
    assert_int_equal(vmk_vma_modify(t.mm, part, BASE, BASE + P(2), VMK_PROT_READ, &part), -VMK_EINVAL);
    vmk_mm_unlock_write(t.mm);
    assert_map(&t, "10000000-10001000 rw-p ac\n10001000-10002000 r--p\n10002000-10004000 rw-p ac\n");
    vt_teardown(&t);
}

static void test_account(void **state)
{
    struct vmk_vma_request request = {.start = BASE, .end = BASE + P(2), .flags = ANON_RW};
    struct vmk_mm_stats stats = {.size = sizeof(stats)};
    struct vmk_rlimits rlimits;
    struct vmk_vma *vma;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vmk_mm_lock_write(t.mm);
    assert_int_equal(vmk_vma_create(t.mm, &request, &vma), 0);
    assert_int_equal(vmk_vma_account(t.mm, vma), 0);
    vmk_mm_unlock_write(t.mm);
    vmk_mm_get_stats(t.mm, &stats);
    assert_int_equal(stats.total_vm, 2);
    assert_int_equal(stats.data_vm, 2);
    assert_int_equal(vmk_system_committed(t.system), 2);
    vmk_mm_lock_write(t.mm);
    vmk_vma_unaccount(t.mm, vma);
    vmk_mm_unlock_write(t.mm);
    vmk_mm_get_stats(t.mm, &stats);
    assert_int_equal(stats.total_vm, 0);
    assert_int_equal(vmk_system_committed(t.system), 0);
    vt_anon(&t, BASE + P(8), P(3), VT_RW);
    vmk_mm_lock_write(t.mm); /* memory that counts for no commit charge */
    request.flags = VMK_VM_READ | VMK_VM_MAY_ACCESS;
    vmk_vma_destroy(vma);
    assert_int_equal(vmk_vma_create(t.mm, &request, &vma), 0);
    assert_int_equal(vmk_vma_account(t.mm, vma), 0);
    assert_int_equal(vmk_system_committed(t.system), 3);
    vmk_vma_unaccount(t.mm, vma);
    assert_int_equal(vmk_system_committed(t.system), 3);
    vmk_mm_unlock_write(t.mm);
    vmk_mm_get_rlimits(t.mm, &rlimits);
    rlimits.as.soft = P(1);
    vmk_mm_set_rlimits(t.mm, &rlimits);
    vmk_mm_lock_write(t.mm);
    assert_int_equal(vmk_vma_account(t.mm, vma), -VMK_ENOMEM);
    vmk_vma_destroy(vma);
    vmk_mm_unlock_write(t.mm);
    vt_teardown(&t);
}

static int hook_mmap(struct vmk_file *file, struct vmk_mmap_description *description)
{
    (void)file;
    if (description->pgoff == 7)
        return -VMK_EBUSY;
    description->flags |= VMK_VM_IO | VMK_VM_PFNMAP | VMK_VM_DONTEXPAND | VMK_VM_DONTDUMP;
    return 0;
}

static void test_map_memory(void **state)
{
    static const struct vmk_file_ops ops = {.size = sizeof(ops), .mmap = hook_mmap};
    struct vmk_object_options object_options = {.size = sizeof(object_options), .kind = VMK_OBJECT_DEVICE};
    struct vmk_file_options file_options = {
        .size = sizeof(file_options), .mode = VMK_FILE_READ | VMK_FILE_WRITE, .ops = &ops, .id = 9};
    struct vmk_vma_request request = {
        .start = BASE, .end = BASE + P(1), .pgoff = 7, .flags = VMK_VM_READ | VMK_VM_SHARED | VMK_VM_MAYSHARE | MAY};
    struct vmk_object *object;
    struct vmk_file *file;
    struct vmk_vma *vma;
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_int_equal(vmk_object_create(t.system, &object_options, &object), 0);
    file_options.object = object;
    assert_int_equal(vmk_file_create(t.system, &file_options, &file), 0);
    vmk_object_put(object);
    request.file = file;
    vmk_mm_lock_write(t.mm);
    assert_int_equal(vmk_vma_map_memory(t.mm, &request, &vma), -VMK_EBUSY);
    request.pgoff = 3;
    assert_int_equal(vmk_vma_map_memory(t.mm, &request, &vma), 0);
    vmk_mm_unlock_write(t.mm);
    vmk_file_put(file);
    assert_map(&t, "10000000-10001000 r--s pf io de dd pgoff=3 file=9\n");
    vt_teardown(&t);
}

/* Which areas map a range of a file: over splits and merges, from the object. */
struct found {
    unsigned nr;
    struct vmk_mapping mappings[4];
};

static bool collect(void *context, const struct vmk_mapping *mapping)
{
    struct found *found = context;

    found->mappings[found->nr++] = *mapping;
    return found->nr < 4;
}

static void test_mappings(void **state)
{
    struct found found = {.nr = 0};
    struct vmk_file *file;
    struct vt t;

    (void)state;
    vt_setup(&t);
    file = vt_file(&t, 1);
    assert_ret(vt_mmap_file(&t, BASE, P(4), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, file, P(2)), BASE);
    assert_int_equal(vmk_object_mappings(vmk_file_object(file), P(3), P(4), collect, &found), 1);
    assert_int_equal(found.mappings[0].start, BASE + P(1));
    assert_int_equal(found.mappings[0].end, BASE + P(2));
    assert_int_equal(found.mappings[0].offset, P(3));
    assert_int_equal(vmk_object_mappings(vmk_file_object(file), 0, P(2), collect, &found), 0);
    assert_ret(vt_munmap(&t, BASE + P(1), P(1)), 0);
    assert_int_equal(vmk_object_mappings(vmk_file_object(file), P(3), P(4), collect, &found), 0);
    found.nr = 0;
    assert_int_equal(vmk_object_mappings(vmk_file_object(file), 0, UINT64_MAX, collect, &found), 2);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_insert),   cmocka_unit_test(test_remove),  cmocka_unit_test(test_split_and_merge),
        cmocka_unit_test(test_modify),   cmocka_unit_test(test_account), cmocka_unit_test(test_map_memory),
        cmocka_unit_test(test_mappings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
