/* SPDX-License-Identifier: MIT */
/*
 * test_single_whole.c - the functions on a single area, whole: what each clause of a check refuses, what hooks and notices
 * hear, what is counted, and where the limits are to the page.
 */
#include "calls.h"

#define MAY ((vmk_vm_flags)VMK_VM_MAY_ACCESS)
#define RW  (VMK_VM_READ | VMK_VM_WRITE | MAY)

static struct vt_text heard; /* hooks and notices */

static void notice(void *context, struct vmk_mm *mm, const struct vmk_change *change)
{
    static const char *const kinds[] = {"map", "unmap", "protect", "move", "fork"};

    (void)context;
    (void)mm;
    vt_print(&heard, "%s %llx-%llx %llx to %llx\n", kinds[change->kind], (unsigned long long)change->start,
             (unsigned long long)change->end, (unsigned long long)change->old_flags,
             (unsigned long long)change->new_flags);
}

static void hear(const char *hook, const struct vmk_vma *vma, const struct vmk_vma *other)
{
    vt_print(&heard, "%s %llx-%llx", hook, (unsigned long long)vmk_vma_start(vma),
             (unsigned long long)vmk_vma_end(vma));
    if (other != NULL)
        vt_print(&heard, " and %llx-%llx", (unsigned long long)vmk_vma_start(other),
                 (unsigned long long)vmk_vma_end(other));
    vt_print(&heard, "\n");
}

static void hook_open(struct vmk_vma *vma)
{
    hear("open", vma, NULL);
}

static void hook_close(struct vmk_vma *vma)
{
    hear("close", vma, NULL);
}

static int hook_may_split(struct vmk_vma *vma, vmk_addr address)
{
    hear("may_split", vma, NULL);
    return address == BASE + P(3) ? -VMK_EBUSY : 0;
}

static void hook_split(struct vmk_vma *vma, struct vmk_vma *part)
{
    hear("split", vma, part);
}

static const struct vmk_vm_ops hooks = {
    .size = sizeof(hooks), .open = hook_open, .close = hook_close, .may_split = hook_may_split, .split = hook_split};

static void setup(struct vt *t)
{
    vt_setup(t);
    vmk_mm_set_notice(t->mm, notice, NULL);
    heard.len = 0;
    heard.text[0] = '\0';
    vmk_mm_lock_write(t->mm);
}

static void teardown(struct vt *t)
{
    vmk_mm_unlock_write(t->mm);
    vt_validate(t);
    vt_teardown(t);
}

static void assert_heard(const char *expected)
{
    assert_string_equal(heard.text, expected);
    heard.len = 0;
    heard.text[0] = '\0';
}

static struct vmk_vma *add(struct vt *t, const struct vmk_vma_request *request)
{
    struct vmk_vma *vma = NULL;

    assert_ret(vmk_vma_create_and_insert(t->mm, request, &vma), 0);
    return vma;
}

static struct vmk_vma *add_pages(struct vt *t, unsigned from, unsigned nr, vmk_vm_flags flags)
{
    return add(t, &(struct vmk_vma_request){.start = BASE + P(from), .end = BASE + P(from + nr), .flags = flags});
}

/* ---- What a request may be ---- */

static void test_requests(void **state)
{
    struct vt t;

    (void)state;
    setup(&t);
    const vmk_addr top = t.mm->task_size_max;
    const struct {
        vmk_addr start, end;
        vmk_vm_flags flags;
        int error;
    } requests[] = {
        {BASE, BASE + P(1), RW, 0},
        {top - P(1), top, RW, 0},
        {BASE, BASE, RW, -VMK_EINVAL},
        {BASE + P(1), BASE, RW, -VMK_EINVAL},
        {top - P(1), top + P(1), RW, -VMK_EINVAL},
        {BASE + 1, BASE + P(1), RW, -VMK_EINVAL},
        {BASE, BASE + P(1) + 1, RW, -VMK_EINVAL},
        {BASE, BASE + P(1), RW | VMK_VM_FLAG(60), -VMK_EINVAL},
        {BASE, BASE + P(1), RW | VMK_VM_FLAG(63), -VMK_EINVAL},
        {BASE, BASE + P(1), RW | VMK_VM_FLAG(59), 0},
    };
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        const struct vmk_vma_request request = {
            .start = requests[i].start, .end = requests[i].end, .flags = requests[i].flags};
        struct vmk_vma *vma = NULL;

        assert_ret(vmk_vma_create(t.mm, &request, &vma), requests[i].error);
        assert_int_equal(vma != NULL, requests[i].error == 0);
        if (vma != NULL) {
            assert_true(vmk_vma_start(vma) == request.start && vmk_vma_end(vma) == request.end);
            assert_true(vmk_vma_flags(vma) == request.flags && vmk_vma_mm(vma) == t.mm);
            vmk_vma_destroy(vma);
        }
        assert_ret(vmk_vma_map_memory(t.mm, &request, &vma), requests[i].error);
        if (requests[i].error == 0)
            assert_ret(vmk_vma_delete(t.mm, vma), 0);
    }
    teardown(&t);
}

/* Each property alone, and none. */
static void test_properties(void **state)
{
    static const struct vmk_vma_request requests[] = {
        {.ops = &hooks},
        {.private_data = &heard},
        {.special_name = "[here]"},
        {.pgoff = 7},
        {.pgoff = 7, .keep_pgoff = true},
        {.has_anon_vma = true},
        {.anon_vma_unknown = true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct vmk_vma_info info = {.size = sizeof(info)};
        struct vmk_vma_request request = requests[i];
        struct vmk_vma *vma;
        char name[32];
        struct vt t;

        setup(&t);
        request.start = BASE;
        request.end = BASE + P(4);
        request.flags = RW;
        vma = add(&t, &request);
        vmk_vma_get_info(vma, &info);
        vmk_vma_name(vma, name, sizeof(name));
        assert_ptr_equal(vmk_vma_ops(vma), request.ops);
        assert_ptr_equal(vmk_vma_private_data(vma), request.private_data);
        assert_string_equal(name, request.special_name != NULL ? request.special_name : "");
        assert_int_equal(info.is_special, request.special_name != NULL);
        assert_int_equal(vmk_vma_pgoff(vma), request.keep_pgoff ? 7 : BASE / P(1));
        assert_int_equal(info.pgoff, vmk_vma_pgoff(vma));
        assert_int_equal(info.anon_vma != 0, request.has_anon_vma);
        assert_int_equal(info.anon_vma_unknown, request.anon_vma_unknown);
        assert_true(!info.anon_vma_inherited && info.uffd == 0 && info.policy == 0 && info.user == NULL);
        assert_true(info.file == NULL && info.file_id == 0 && info.object_id == 0);
        teardown(&t);
    }
}

/* ---- Insert and delete ---- */

static void test_insert(void **state)
{
    struct vmk_vma_request request = {.start = BASE + P(4), .end = BASE + P(6), .flags = RW, .ops = &hooks};
    struct vmk_vma *vma;
    struct vt t;

    (void)state;
    setup(&t);
    add(&t, &request);
    assert_heard("map 10004000-10006000 0 to 73\n");
    request.ops = NULL;
    request.flags |= VMK_VM_ACCOUNT;
    request.start = BASE + P(1);
    request.end = BASE + P(5); /* a page of it is taken */
    assert_ret(vmk_vma_create_and_insert(t.mm, &request, &vma), -VMK_EEXIST);
    assert_int_equal(vmk_system_committed(t.system), 0);
    request.end = BASE + P(4); /* touches it */
    vma = add(&t, &request);
    assert_int_equal(vmk_system_committed(t.system), 3);
    assert_int_equal(t.mm->total_vm, 5);
    assert_heard("map 10001000-10004000 0 to 100073\n");
    assert_ret(vmk_vma_delete(t.mm, vma), 0);
    assert_int_equal(vmk_system_committed(t.system), 0);
    assert_heard("unmap 10001000-10004000 0 to 0\n");
    assert_ret(vmk_vma_delete(t.mm, vmki_find(t.mm, BASE + P(4))), 0);
    assert_heard("unmap 10004000-10006000 0 to 0\nclose 10004000-10006000\n");
    teardown(&t);
}

/* As many areas as max_map_count, and one more, as mmap has it; a split only up to it. */
static void test_map_count(void **state)
{
    const struct vmk_vma_request request = {.start = BASE, .end = BASE + P(1), .flags = RW};
    struct vmk_sysctl sysctl;
    struct vmk_vma *vma, *second;
    struct vt t;

    (void)state;
    setup(&t);
    vma = add_pages(&t, 4, 4, RW);
    add_pages(&t, 10, 1, RW);
    for (uint64_t count = 1; count <= 3; count++) {
        vmk_system_sysctl(t.system, &sysctl);
        sysctl.max_map_count = count;
        assert_int_equal(vmk_system_set_sysctl(t.system, &sysctl), 0);
        assert_ret(vmk_vma_create_and_insert(t.mm, &request, &second), count < 2 ? -VMK_ENOMEM : 0);
        if (count >= 2)
            assert_ret(vmk_vma_delete(t.mm, second), 0);
        assert_ret(vmk_vma_split(t.mm, vma, BASE + P(6), &second), count < 3 ? -VMK_ENOMEM : 0);
    }
    assert_int_equal(t.mm->tree.nr_entries, 3);
    teardown(&t);
}

/* Up to RLIMIT_AS, RLIMIT_MEMLOCK and the commit limit, and not a page more; a refusal counts nothing. */
static void test_limits(void **state)
{
    struct vmk_vma_request request = {.start = BASE, .end = BASE + P(5), .flags = RW};
    struct vmk_vma *vma;
    struct vt t;

    (void)state;
    setup(&t);
    add_pages(&t, 20, 3, RW);
    for (uint64_t limit = 7; limit <= 8; limit++) {
        t.mm->rlimits.as.soft = P(limit);
        assert_ret(vmk_vma_create_and_insert(t.mm, &request, &vma), limit < 8 ? -VMK_ENOMEM : 0);
    }
    assert_ret(vmk_vma_account(t.mm, vma), -VMK_ENOMEM);
    t.mm->rlimits.as.soft = P(13);
    assert_ret(vmk_vma_account(t.mm, vma), 0);
    assert_int_equal(t.mm->total_vm, 13);
    vmk_vma_unaccount(t.mm, vma);
    assert_int_equal(t.mm->total_vm, 8);
    t.mm->rlimits.as.soft = VMK_RLIM_INFINITY;
    assert_ret(vmk_vma_delete(t.mm, vma), 0);

    request.flags = RW | VMK_VM_LOCKED | VMK_VM_ACCOUNT;
    assert_ret(vmk_vma_create(t.mm, &request, &vma), 0);
    for (uint64_t limit = 4; limit <= 5; limit++) {
        t.mm->rlimits.memlock.soft = P(limit);
        assert_ret(vmk_vma_account(t.mm, vma), limit < 5 ? -VMK_EAGAIN : 0);
        assert_int_equal(t.mm->locked_vm, limit < 5 ? 0 : 5);
        assert_int_equal(vmk_system_committed(t.system), limit < 5 ? 0 : 5);
    }
    vmk_vma_unaccount(t.mm, vma);
    assert_int_equal(t.mm->locked_vm, 0);
    assert_int_equal(vmk_system_committed(t.system), 0);
    t.system->sysctl.total_ram_pages = 4;
    t.system->sysctl.total_swap_pages = 0;
    assert_ret(vmk_vma_account(t.mm, vma), -VMK_ENOMEM);
    assert_int_equal(t.mm->total_vm, 3);
    vmk_vma_destroy(vma);
    teardown(&t);
}

/* An area of reserved huge pages gives them back when it is taken out, and not once more when it ends, or is there again. */
static void test_huge_pages(void **state)
{
    const uint64_t nr = (UINT64_C(4) << 20) / VT_PAGE;
    struct vmk_vma *vma;
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.sysctl.hugetlb_free_pages = 8;
    vt_open(&t);
    assert_ret(vt_mmap_file(&t, BASE * 2, UINT64_C(4) << 20, VT_RW, VT_FIXED | VMK_MAP_HUGETLB, NULL, 0), BASE * 2);
    vmk_mm_lock_write(t.mm);
    vma = vmki_find(t.mm, BASE * 2);
    assert_int_equal(vmki_pool_free(t.mm, 21), 3 * nr);
    assert_ret(vmk_vma_remove(t.mm, vma), 0);
    assert_int_equal(vmki_pool_free(t.mm, 21), 4 * nr);
    assert_int_equal(t.mm->total_vm, 0);
    assert_ret(vmk_vma_insert(t.mm, vma), 0);
    assert_int_equal(vmki_pool_free(t.mm, 21), 4 * nr);
    assert_ret(vmk_vma_delete(t.mm, vma), 0);
    assert_int_equal(vmki_pool_free(t.mm, 21), 4 * nr);
    teardown(&t);
}

/* ---- Split, merge, modify ---- */

static void test_split(void **state)
{
    struct vmk_vma_request request = {.start = BASE,
                                      .end = BASE + P(6),
                                      .flags = RW | VMK_VM_ACCOUNT,
                                      .ops = &hooks,
                                      .private_data = &heard,
                                      .has_anon_vma = true};
    struct vmk_vma_info infos[2] = {{.size = sizeof(infos[0])}, {.size = sizeof(infos[0])}};
    struct vmk_vma *vma, *upper = NULL;
    struct vt t;

    (void)state;
    setup(&t);
    vma = add(&t, &request);
    assert_heard("map 10000000-10006000 0 to 100073\n");
    assert_ret(vmk_vma_split(t.mm, vma, BASE + P(3), &upper), -VMK_EBUSY);
    assert_heard("may_split 10000000-10006000\n");
    assert_ret(vmk_vma_split(t.mm, vma, BASE, &upper), -VMK_EINVAL);
    assert_ret(vmk_vma_split(t.mm, vma, BASE + P(6), &upper), -VMK_EINVAL);
    assert_ret(vmk_vma_split(t.mm, vma, BASE + P(2) + 8, &upper), -VMK_EINVAL);
    assert_null(upper);
    assert_heard("");
    assert_ret(vmk_vma_split(t.mm, vma, BASE + P(2), &upper), 0);
    assert_heard(
        "may_split 10000000-10006000\nopen 10002000-10006000\nsplit 10000000-10002000 and 10002000-10006000\n");
    vmk_vma_get_info(vma, &infos[0]);
    vmk_vma_get_info(upper, &infos[1]);
    assert_true(infos[0].end == BASE + P(2) && infos[1].start == BASE + P(2) && infos[1].end == BASE + P(6));
    assert_true(infos[0].flags == infos[1].flags && infos[0].anon_vma == infos[1].anon_vma);
    assert_true(infos[1].pgoff == infos[0].pgoff + 2 && vmk_vma_private_data(upper) == &heard);
    assert_int_equal(vmk_system_committed(t.system), 6);
    assert_int_equal(t.mm->total_vm, 6);
    assert_int_equal(t.mm->counters.split, 1);
    assert_false(vmk_vma_can_merge(vma, upper)); /* it wants to be closed */
    teardown(&t);
}

/* Each reason alone. */
static void test_can_merge(void **state)
{
    struct vmk_vma *a, *b;
    struct vmk_mm *mm;
    struct vt t;

    (void)state;
    setup(&t);
    a = add_pages(&t, 0, 2, RW);
    b = add_pages(&t, 2, 2, RW);
    assert_true(vmk_vma_can_merge(a, b));
    assert_false(vmk_vma_can_merge(b, a));
    assert_false(vmk_vma_can_merge(a, add_pages(&t, 5, 1, RW)));               /* a hole */
    assert_false(vmk_vma_can_merge(b, add_pages(&t, 4, 1, RW | VMK_VM_EXEC))); /* other flags */
    assert_int_equal(vmk_mm_create(t.system, &t.mm_options, &mm), 0);
    vmk_mm_lock_write(mm);
    assert_ret(vmk_vma_create_and_insert(
                   mm, &(struct vmk_vma_request){.start = BASE + P(2), .end = BASE + P(3), .flags = RW}, &b),
               0);
    assert_false(vmk_vma_can_merge(a, b)); /* of another space */
    vmk_mm_unlock_write(mm);
    vmk_mm_put(mm);
    teardown(&t);
}

static void test_merge_and_modify(void **state)
{
    struct vmk_vma *first, *middle, *merged;
    struct vt t;

    (void)state;
    setup(&t);
    first = add_pages(&t, 0, 2, RW);
    middle = add_pages(&t, 2, 2, RW);
    add_pages(&t, 4, 2, RW);
    heard.len = 0;
    heard.text[0] = '\0';
    assert_ret(vmk_vma_merge(t.mm, middle, &merged), 0);
    assert_ptr_equal(merged, first);
    assert_true(vmk_vma_end(first) == BASE + P(6) && t.mm->tree.nr_entries == 1 && t.mm->total_vm == 6);
    assert_heard(""); /* no memory has changed */
    assert_ret(vmk_vma_modify(t.mm, first, BASE - P(1), BASE + P(1), VT_R, &merged), -VMK_EINVAL);
    assert_ret(vmk_vma_modify(t.mm, first, BASE + P(5), BASE + P(7), VT_R, &merged), -VMK_EINVAL);
    assert_ret(vmk_vma_modify(t.mm, first, BASE + P(1), BASE + P(1), VT_R, &merged), -VMK_EINVAL);
    assert_ret(vmk_vma_modify(t.mm, first, BASE + P(2), BASE + P(1), VT_R, &merged), -VMK_EINVAL);
    assert_ret(vmk_vma_modify(t.mm, first, BASE + P(1) + 1, BASE + P(2), VT_R, &merged), -VMK_EINVAL);
    assert_ret(vmk_vma_modify(t.mm, first, BASE + P(1), BASE + P(2) - 1, VT_R, &merged), -VMK_EINVAL);
    assert_heard("");
    assert_ret(vmk_vma_modify(t.mm, first, BASE, BASE + P(6), VT_R, &merged), 0);
    assert_ptr_equal(merged, first);
    assert_heard("protect 10000000-10006000 73 to 71\n");
    assert_ret(vmk_vma_modify(t.mm, first, BASE + P(1), BASE + P(2), VT_RW, &merged), 0);
    assert_true(vmk_vma_start(merged) == BASE + P(1) && t.mm->tree.nr_entries == 3);
    teardown(&t);
}

/* ---- A file's mmap hook ---- */

static struct vmk_mmap_description described;

static int hook_mmap(struct vmk_file *file, struct vmk_mmap_description *description)
{
    assert_ptr_equal(file, description->file);
    described = *description;
    description->pgoff = 11;
    description->flags |= VMK_VM_IO;
    description->ops = &hooks;
    description->private_data = &described;
    return 0;
}

static void test_map_memory(void **state)
{
    static const struct vmk_file_ops ops = {.size = sizeof(ops), .mmap = hook_mmap};
    static struct vmk_vm_ops other = {.size = sizeof(other)};
    const struct vmk_object_options object_options = {
        .size = sizeof(object_options), .kind = VMK_OBJECT_DEVICE, .id = 5};
    struct vmk_file_options file_options = {
        .size = sizeof(file_options), .mode = VMK_FILE_READ | VMK_FILE_WRITE, .ops = &ops, .id = 9};
    struct vmk_vma_request request = {.start = BASE,
                                      .end = BASE + P(2),
                                      .pgoff = 3,
                                      .flags = RW | VMK_VM_SHARED | VMK_VM_MAYSHARE,
                                      .ops = &other,
                                      .private_data = &other};
    struct vmk_vma_info info = {.size = sizeof(info)};
    struct vmk_vma *vma;
    struct vt t;

    (void)state;
    setup(&t);
    assert_int_equal(vmk_object_create(t.system, &object_options, &file_options.object), 0);
    assert_int_equal(vmk_file_create(t.system, &file_options, &request.file), 0);
    vmk_object_put(file_options.object);
    assert_ret(vmk_vma_map_memory(t.mm, &request, &vma), 0);
    assert_true(described.mm == t.mm && described.start == request.start && described.end == request.end);
    assert_true(described.pgoff == 3 && described.flags == request.flags && described.file == request.file);
    assert_true(described.ops == &other && described.private_data == &other);
    vmk_vma_get_info(vma, &info);
    assert_true(info.pgoff == 11 && info.flags == (request.flags | VMK_VM_IO) && info.file == request.file);
    assert_true(info.file_id == 9 && info.object_id == 5);
    assert_true(vmk_vma_ops(vma) == &hooks && vmk_vma_private_data(vma) == &described);
    assert_heard("map 10000000-10002000 0 to 40fb\nopen 10000000-10002000\n");
    vmk_file_put(request.file);
    teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),   cmocka_unit_test(test_properties), cmocka_unit_test(test_insert),
        cmocka_unit_test(test_map_count),  cmocka_unit_test(test_limits),     cmocka_unit_test(test_huge_pages),
        cmocka_unit_test(test_split),      cmocka_unit_test(test_can_merge),  cmocka_unit_test(test_merge_and_modify),
        cmocka_unit_test(test_map_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
