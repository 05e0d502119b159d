/* SPDX-License-Identifier: MIT */
/* An address space as its embedder sees it: life, limits, marks, lookup, iteration, areas by name, objects. */
#include "calls.h"

static void test_life(void **state)
{
    struct vmk_mm_options options;
    struct vmk_mm *mm;
    int word, other;
    struct vt t;

    (void)state;
    vt_init(&t);
    t.mm_options.user = &word;
    vt_open(&t);
    options = t.mm_options;
    options.size++;
    assert_ret(vmk_mm_create(t.system, &options, &mm), -VMK_ERR_MISUSE);
    assert_ptr_equal(vmk_mm_system(t.mm), t.system);
    assert_ptr_equal(vmk_mm_settings(t.mm), vmk_system_settings(t.system));
    assert_ptr_equal(vmk_mm_user(t.mm), &word);
    vmk_mm_set_user(t.mm, &other);
    assert_ptr_equal(vmk_mm_user(t.mm), &other);
    vt_anon(&t, BASE, P(3), VT_RW);
    vmk_mm_get(t.mm);
    vmk_mm_put(t.mm); /* not the last user */
    assert_map(&t, "10000000-10003000 rw-p ac\n");
    vmk_mm_grab(t.mm);
    mm = t.mm;
    vmk_mm_put(mm); /* the last user: the areas go, the structure stays */
    assert_map_of(mm, "");
    assert_ret(vmk_system_committed(t.system), 0);
    assert_ptr_equal(vmk_mm_user(mm), &other);
    vmk_mm_drop(mm);
    t.mm = NULL;
    vt_teardown(&t);
}

static void test_own_settings(void **state)
{
    struct vmk_settings settings;
    struct vt t;

    (void)state;
    vt_init(&t);
    settings = t.system_options.settings;
    settings.stack_guard_gap = 7;
    t.mm_options.settings = &settings;
    vt_open(&t);
    settings.stack_guard_gap = 8; /* copied */
    assert_int_equal(vmk_mm_settings(t.mm)->stack_guard_gap, 7);
    assert_int_equal(vmk_system_settings(t.system)->stack_guard_gap, 256);
    vt_teardown(&t);
}

static void test_limits(void **state)
{
    struct vmk_rlimits rlimits, again;
    struct vmk_mm_stats stats = {.size = sizeof(stats)};
    struct vt t;

    (void)state;
    vt_setup(&t);
    vmk_mm_get_rlimits(t.mm, &rlimits);
    assert_true(rlimits.stack.soft == UINT64_C(8) << 20 && rlimits.as.soft == VMK_RLIM_INFINITY);
    rlimits.as.soft = P(3);
    rlimits.memlock.soft = P(2);
    vmk_mm_set_rlimits(t.mm, &rlimits);
    vmk_mm_get_rlimits(t.mm, &again);
    assert_memory_equal(&again, &rlimits, sizeof(rlimits));
    assert_ret(vt_mmap_file(&t, BASE, P(4), VT_RW, VT_FIXED, NULL, 0), -VMK_ENOMEM);
    vt_anon(&t, BASE, P(3), VT_RW);
    assert_ret(vmk_mm_pin(t.mm, 3), -VMK_ENOMEM);
    assert_ret(vmk_mm_pin(t.mm, 2), 0);
    assert_ret(vmk_mm_pin(t.mm, -3), -VMK_EINVAL);
    vmk_mm_set_capabilities(t.mm, VMK_CAP_IPC_LOCK);
    assert_ret(vmk_mm_pin(t.mm, 8), 0);
    assert_ret(vmk_mm_pin(t.mm, -1), 0);
    vmk_mm_get_stats(t.mm, &stats);
    assert_int_equal(stats.pinned_vm, 9);
    assert_int_equal(stats.total_vm, 3);
    assert_int_equal(stats.data_vm, 3);
    assert_int_equal(stats.committed, 3);
    assert_int_equal(stats.nr_vmas, 1);
    assert_true(stats.nr_bytes > 0 && stats.nr_bytes < 8192);
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_RX), 0);
    assert_ret(vt_munmap(&t, BASE, P(1)), 0);
    vmk_mm_get_stats(t.mm, &stats);
    assert_int_equal(stats.exec_vm, 1);
    assert_int_equal(stats.data_vm, 1);
    assert_int_equal(stats.peak_vm, 3);
    assert_int_equal(stats.peak_vmas, 3);
    assert_int_equal(stats.nr_vmas, 2);
    vt_teardown(&t);
}

static void test_limits_off(void **state)
{
    struct vmk_mm *child;
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.settings.enforce_limits = 0;
    t.system_options.sysctl.total_ram_pages = 1;
    t.system_options.sysctl.max_map_count = 0;
    t.mm_options.rlimits = (struct vmk_rlimits){{0, 0}, {0, 0}, {0, 0}, {0, 0}};
    vt_open(&t);
    vt_anon(&t, BASE, P(8), VT_RW);
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_R), 0);
    assert_ret(vt_mlock(&t, BASE, P(1)), 0);
    assert_ret(vmk_mm_pin(t.mm, 100), 0);
    assert_map(&t, "10000000-10001000 rw-p lo ac anon=a1\n10001000-10002000 r--p\n10002000-10008000 rw-p ac\n");
    assert_int_equal(vmk_mm_fork(t.mm, &child), 0);
    vmk_mm_put(child);
    assert_ret(vt_munmap(&t, BASE + P(4), P(1)), 0);
    assert_int_equal(vmk_system_committed(t.system), 0);
    assert_int_equal(vmk_mm_validate(t.mm, NULL, NULL), 0);
    vt_teardown(&t);
}

static void test_marks(void **state)
{
    struct vmk_mm_layout layout, again;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vmk_mm_get_layout(t.mm, &layout);
    layout.start_code = BASE;
    layout.end_code = BASE + 5;
    layout.start_stack = BASE + P(9);
    layout.task_size = 1; /* ignored */
    vmk_mm_set_layout(t.mm, &layout);
    vmk_mm_get_layout(t.mm, &again);
    layout.task_size = again.task_size;
    assert_memory_equal(&again, &layout, sizeof(layout));
    assert_true(again.task_size == UINT64_C(0x7ffffffff000));
    vt_anon(&t, BASE + P(8), P(2), VT_RW);
    assert_map(&t, "10008000-1000a000 rw-p ac [stack]\n");
    assert_ret(vt_munmap(&t, BASE + P(9), P(1)), 0); /* the mark is where it ends ... */
    assert_map(&t, "10008000-10009000 rw-p ac [stack]\n");
    assert_ret(vt_munmap(&t, BASE + P(8), P(1)), 0);
    vt_anon(&t, BASE + P(9), P(1), VT_RW); /* ... or begins */
    assert_map(&t, "10009000-1000a000 rw-p ac [stack]\n");
    vt_teardown(&t);
}

/* ---- Lookup and iteration ---- */

struct visits {
    size_t nr, stop;
    vmk_addr last;
};

static bool visit(void *context, vmk_addr start, vmk_addr end, vmk_vm_flags flags)
{
    struct visits *visits = context;

    assert_true(start < end && (flags & VMK_VM_READ) != 0);
    visits->last = start;
    return ++visits->nr != visits->stop;
}

static void test_lookup(void **state)
{
    struct vmk_vma_info info = {.size = sizeof(info)};
    struct visits visits = {0};
    vmk_addr cursor = 0;
    struct vt t;

    (void)state;
    vt_setup(&t);
    for (unsigned i = 0; i < 40; i++)
        vt_anon(&t, BASE + P(2 * i), P(1), i % 2 != 0 ? VT_R : VT_RW);
    assert_ret(vmk_mm_lookup(t.mm, BASE + P(2) + 5, &info), 0);
    assert_true(info.start == BASE + P(2) && info.end == BASE + P(3));
    assert_ret(vmk_mm_lookup(t.mm, BASE + P(3), &info), -VMK_ENOENT);
    assert_ret(vmk_mm_check_access(t.mm, BASE, VMK_ACCESS_WRITE), 0);
    assert_ret(vmk_mm_check_access(t.mm, BASE + P(2), VMK_ACCESS_WRITE), -VMK_EACCES);
    assert_ret(vmk_mm_check_access(t.mm, BASE + P(1), VMK_ACCESS_READ), -VMK_ENOENT);
    for (unsigned i = 0; i < 40; i++) {
        assert_ret(vmk_mm_next(t.mm, &cursor, &info), 0);
        assert_true(info.start == BASE + P(2 * i) && cursor == info.end);
    }
    assert_ret(vmk_mm_next(t.mm, &cursor, &info), -VMK_ENOENT);
    assert_int_equal(vmk_mm_for_each(t.mm, 0, UINT64_MAX, visit, &visits), 40);
    assert_int_equal(visits.nr, 40);
    visits = (struct visits){.stop = 3};
    assert_int_equal(vmk_mm_for_each(t.mm, BASE + P(1), UINT64_MAX, visit, &visits), 3);
    assert_true(visits.last == BASE + P(6));
    visits = (struct visits){0};
    assert_int_equal(vmk_mm_for_each(t.mm, BASE + 1, BASE + P(2), visit, &visits), 1);
    assert_int_equal(vmk_mm_for_each(t.mm, BASE + P(1), BASE + P(2), visit, &visits), 0);
    vt_teardown(&t);
}

/* Many at a time, from any place and as many as asked for, are what one at a time are. */
static void check_next_areas(struct vt *t, vmk_addr from, size_t nr)
{
    struct vmk_vma_info info = {.size = sizeof(info)};
    struct vmk_area areas[64 + 1];
    vmk_addr cursor = from, single = from;
    size_t found;

    areas[nr].start = areas[nr].end = 1;
    do {
        found = vmk_mm_next_areas(t->mm, &cursor, areas, nr);
        assert_true(found <= nr);
        assert_true(areas[nr].start == 1 && areas[nr].end == 1);
        for (size_t i = 0; i < found; i++) {
            assert_ret(vmk_mm_next(t->mm, &single, &info), 0);
            assert_true(areas[i].start == info.start && areas[i].end == info.end && areas[i].flags == info.flags);
        }
        assert_true(cursor == single);
    } while (found == nr);
    assert_ret(vmk_mm_next(t->mm, &single, &info), -VMK_ENOENT);
    assert_int_equal(vmk_mm_next_areas(t->mm, &cursor, areas, nr), 0);
    assert_true(cursor == single);
}

static void test_next_areas(void **state)
{
    static const size_t batches[] = {1, 2, 3, 7, 15, 16, 17, 64};
    static const unsigned sizes[] = {0, 1, 15, 16, 400, 4000};
    struct vmk_area area = {1, 2, 3};
    vmk_addr cursor = 5;
    struct vt t;

    (void)state;
    for (size_t i = 0; i < VMKI_ARRAY_SIZE(sizes); i++) {
        unsigned nr = sizes[i];

        vt_setup(&t);
        for (unsigned k = 0; k < nr; k++)
            vt_anon(&t, BASE + P((k * 7919) % nr * 3), P(1 + k % 3), k % 2 != 0 ? VT_R : VT_RW);
        for (size_t batch = 0; batch < VMKI_ARRAY_SIZE(batches); batch++) {
            check_next_areas(&t, 0, batches[batch]);
            check_next_areas(&t, BASE, batches[batch]);
            check_next_areas(&t, BASE + 1, batches[batch]);
            check_next_areas(&t, BASE + P(3), batches[batch]);
            check_next_areas(&t, BASE + P(nr), batches[batch]);
            check_next_areas(&t, BASE + P(3 * nr), batches[batch]);
            check_next_areas(&t, UINT64_MAX, batches[batch]);
        }
        assert_int_equal(vmk_mm_next_areas(t.mm, &cursor, &area, 0), 0);
        assert_true(cursor == 5 && area.start == 1);
        vt_teardown(&t);
    }
}

static void test_areas(void **state)
{
    struct vmk_vma_info info = {.size = sizeof(info)};
    struct vmk_vma *vma, *next;
    int word;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_map_file(&t, BASE + P(2), P(3), VT_R, VMK_MAP_PRIVATE, vt_file(&t, 1), P(7));
    vmk_mm_lock_write(t.mm);
    vma = vmk_mm_find(t.mm, 0);
    assert_true(vmk_vma_start(vma) == BASE && vmk_vma_end(vma) == BASE + P(2));
    assert_null(vmk_vma_file(vma));
    assert_null(vmk_vma_prev(vma));
    assert_null(vmk_vma_user(vma));
    assert_null(vmk_vma_private_data(vma));
    assert_null(vmk_vma_ops(vma));
    assert_ptr_equal(vmk_vma_mm(vma), t.mm);
    next = vmk_vma_next(vma);
    assert_ptr_equal(vmk_vma_prev(next), vma);
    assert_null(vmk_vma_next(next));
    assert_ptr_equal(vmk_vma_file(next), t.files[0]);
    assert_int_equal(vmk_vma_pgoff(next), 7);
    assert_true(vmk_vma_flags(next) == (VMK_VM_READ | VMK_VM_MAY_ACCESS));
    atomic_store(&t.until_fail, 0);
    assert_ret(vmk_vma_set_user(next, &word), -VMK_ERR_HOST_NOMEM);
    atomic_store(&t.until_fail, -1);
    assert_null(vmk_vma_user(next));
    assert_ret(vmk_vma_set_user(next, &word), 0);
    assert_ret(vmk_vma_set_user(next, &t), 0); /* again: another of the properties out of line */
    assert_ptr_equal(vmk_vma_user(next), &t);
    vmk_vma_get_info(next, &info);
    assert_ptr_equal(info.user, &t);
    assert_true(info.start == BASE + P(2) && info.end == BASE + P(5) && info.pgoff == 7);
    assert_int_equal(info.file_id, 1);
    assert_int_equal(info.object_id, 1);
    vmk_mm_unlock_write(t.mm);
    assert_map(&t, "10000000-10002000 rw-p ac\n10002000-10005000 r--p pgoff=7 file=1\n");
    assert_ret(vt_mprotect(&t, BASE + P(3), P(1), VT_RX), 0); /* halves share it */
    assert_ret(vmk_mm_lookup(t.mm, BASE + P(4), &info), 0);
    assert_ptr_equal(info.user, &t);
    vt_teardown(&t);
}

/* Names are cut at the buffer's size, and their length is told. */
static void test_names(void **state)
{
    const struct vmk_name_request request = {.address = BASE, .len = P(1), .text = "abc"};
    const struct vmk_name_request shared = {.address = BASE + P(8), .len = P(1), .text = "xyz"};
    char name[32];
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.settings.anon_vma_name = 1;
    vt_open(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    vt_map_file(&t, BASE + P(8), P(1), VT_RW, VMK_MAP_SHARED | VMK_MAP_ANONYMOUS, NULL, 0);
    vt_map_file(&t, BASE + P(16), P(1), VT_R, VMK_MAP_PRIVATE, vt_file(&t, 1), 0);
    assert_ret(vt_return(&t, vmk_name(t.mm, &request, &t.result)), 0);
    assert_ret(vt_return(&t, vmk_name(t.mm, &shared, &t.result)), 0);
    vmk_mm_lock_read(t.mm);
    assert_int_equal(vmk_vma_name(vmk_mm_find(t.mm, BASE), name, sizeof(name)), 10);
    assert_string_equal(name, "[anon:abc]");
    assert_int_equal(vmk_vma_name(vmk_mm_find(t.mm, BASE), name, 7), 10);
    assert_string_equal(name, "[anon:");
    assert_int_equal(vmk_vma_name(vmk_mm_find(t.mm, BASE), NULL, 0), 10);
    vmk_vma_name(vmk_mm_find(t.mm, BASE + P(8)), name, sizeof(name));
    assert_string_equal(name, "[anon_shmem:xyz]");
    vmk_vma_name(vmk_mm_find(t.mm, BASE + P(16)), name, sizeof(name));
    assert_string_equal(name, "/file1");
    vmk_mm_unlock_read(t.mm);
    vt_teardown(&t);
}

/* ---- Notices ---- */

static void notice(void *context, struct vmk_mm *mm, const struct vmk_change *change)
{
    unsigned *nr = context;

    assert_non_null(mm);
    assert_true(change->start < change->end);
    nr[change->kind]++;
}

static void test_notices(void **state)
{
    unsigned nr[5] = {0};
    struct vt t;

    (void)state;
    vt_setup(&t);
    vmk_mm_set_notice(t.mm, notice, nr);
    vt_anon(&t, BASE, P(4), VT_RW);
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_R), 0);
    assert_ret(vt_mremap(&t, BASE + P(1), P(1), P(1), VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED, BASE + P(9)), BASE + P(9));
    assert_ret(vt_munmap(&t, BASE, P(1)), 0);
    assert_true(nr[VMK_CHANGE_MAP] == 1 && nr[VMK_CHANGE_PROTECT] == 1 && nr[VMK_CHANGE_MOVE] == 1);
    assert_true(nr[VMK_CHANGE_UNMAP] >= 1);
    vmk_mm_set_notice(t.mm, NULL, NULL);
    vt_anon(&t, BASE, P(1), VT_RW);
    assert_int_equal(nr[VMK_CHANGE_MAP], 1);
    vt_teardown(&t);
}

/* ---- Objects ---- */

static unsigned nr_released;

static void released(struct vmk_file *file)
{
    assert_non_null(file);
    nr_released++;
}

static bool found(void *context, const struct vmk_mapping *mapping)
{
    struct vmk_mapping *last = context;

    *last = *mapping;
    return mapping->start != BASE + P(20);
}

static void test_objects(void **state)
{
    static const struct vmk_file_ops ops = {.size = sizeof(ops), .release = released};
    struct vmk_object_options object_options = {.size = sizeof(object_options),
                                                .kind = VMK_OBJECT_SHMEM,
                                                .id = 5,
                                                .nr_bytes = P(9),
                                                .dev_major = 8,
                                                .dev_minor = 2,
                                                .inode = 77};
    struct vmk_file_options file_options = {.size = sizeof(file_options), .mode = VMK_FILE_READ, .ops = &ops, .id = 6};
    struct vmk_mapping mapping;
    struct vmk_object *object;
    struct vmk_file *file;
    uint32_t major, minor;
    struct vt t;

    (void)state;
    vt_setup(&t);
    nr_released = 0;
    object_options.user = &t;
    file_options.user = &mapping;
    object_options.size--;
    assert_ret(vmk_object_create(t.system, &object_options, &object), -VMK_ERR_MISUSE);
    object_options.size++;
    assert_ret(vmk_object_create(t.system, &object_options, &object), 0);
    assert_ret(vmk_file_create(t.system, &file_options, &file), -VMK_ERR_MISUSE); /* no object */
    file_options.object = object;
    assert_ret(vmk_file_create(t.system, &file_options, &file), 0);
    vmk_object_get(object);
    vmk_object_put(object);
    vmk_object_put(object);
    assert_ptr_equal(vmk_file_object(file), object);
    assert_ptr_equal(vmk_object_user(object), &t);
    assert_int_equal(vmk_object_id(object), 5);
    assert_int_equal(vmk_object_kind_of(object), VMK_OBJECT_SHMEM);
    vmk_object_device(object, &major, &minor);
    assert_true(major == 8 && minor == 2 && vmk_object_inode(object) == 77);
    assert_int_equal(vmk_object_nr_bytes(object), P(9));
    vmk_object_set_nr_bytes(object, P(3));
    assert_int_equal(vmk_object_nr_bytes(object), P(3));
    assert_ptr_equal(vmk_file_user(file), &mapping);
    assert_int_equal(vmk_file_id(file), 6);
    assert_string_equal(vmk_file_name(file), "");
    assert_int_equal(vmk_file_seals(file), 0);
    vmk_file_set_seals(file, VMK_SEAL_WRITE);
    assert_int_equal(vmk_file_seals(file), VMK_SEAL_WRITE);
    vt_map_file(&t, BASE, P(4), VT_R, VMK_MAP_SHARED, file, P(2));
    vt_map_file(&t, BASE + P(20), P(4), VT_R, VMK_MAP_PRIVATE, file, P(4));
    assert_int_equal(vmk_object_mappings(object, 0, P(2), found, &mapping), 0);
    assert_int_equal(vmk_object_mappings(object, P(3), P(4), found, &mapping), 1);
    assert_true(mapping.start == BASE + P(1) && mapping.end == BASE + P(2) && mapping.offset == P(3));
    assert_ptr_equal(mapping.mm, t.mm);
    assert_int_equal(vmk_object_mappings(object, P(7), P(70), found, &mapping), 1);
    assert_true(mapping.start == BASE + P(23) && mapping.end == BASE + P(24) && mapping.offset == P(7));
    assert_ret(vt_munmap(&t, BASE + P(1), P(1)), 0); /* a cut in the middle: two parts */
    assert_int_equal(vmk_object_mappings(object, P(3), P(4), found, &mapping), 0);
    assert_int_equal(vmk_object_mappings(object, 0, P(4), found, &mapping), 1);
    assert_ret(vt_munmap(&t, BASE, P(4)), 0);
    vmk_file_get(file);
    vmk_file_put(file);
    vmk_file_put(file);
    assert_int_equal(nr_released, 0); /* the area has one */
    assert_map(&t, "10014000-10018000 r--p pgoff=4 file=6\n");
    assert_ret(vt_munmap(&t, BASE + P(20), P(4)), 0);
    assert_int_equal(nr_released, 1);
    vt_teardown(&t);
}

/* Memory of an area that goes stays with the space, and is counted there wherever it waits. */
static void test_bytes_of_areas_that_go(void **state)
{
    struct vmk_mm_stats before = {.size = sizeof(before)}, after = {.size = sizeof(after)};
    struct vt t;

    (void)state;
    vt_setup(&t);
    for (unsigned i = 0; i < 12; i++)
        vt_anon(&t, BASE + P(2 * i), P(1), VT_RW);
    vmk_mm_get_stats(t.mm, &before);
    for (unsigned i = 1; i < 6; i++) {
        assert_ret(vt_munmap(&t, BASE + P(2 * i), P(1)), 0);
        vmk_mm_get_stats(t.mm, &after);
        assert_int_equal(after.nr_bytes, before.nr_bytes);
    }
    vt_teardown(&t);
}

/* The end of a space without huge pages leaves the pool as it was. */
static void test_pool_after_the_end(void **state)
{
    struct vmk_sysctl sysctl;
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.sysctl.hugetlb_total_pages = 4 * 512;
    t.system_options.sysctl.hugetlb_free_pages = 4;
    vt_open(&t);
    vt_anon(&t, BASE, P(4), VT_RW);
    vmk_mm_exit(t.mm);
    vmk_system_sysctl(t.system, &sysctl);
    assert_int_equal(sysctl.hugetlb_free_pages, 4);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_own_settings),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_limits_off),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_next_areas),
        cmocka_unit_test(test_areas),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_notices),
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_bytes_of_areas_that_go),
        cmocka_unit_test(test_pool_after_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
