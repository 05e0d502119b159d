/* SPDX-License-Identifier: MIT */
/* Save, load and import: nothing is lost, and damaged text harms nothing (test_load.c has what is refused, line by line). */
#include "report/numbers.h"
#include "support.h"
#include "vmakit/state.h"

#define BASE UINT64_C(0x10000000)
#define P(n) ((uint64_t)(n)*VT_PAGE)

static bool any_file_will_do; /* for damaged texts */

/* Gives files back by their id. */
static struct vmk_file *find_file(void *context, uint64_t file_id, uint64_t object_id, const char *name)
{
    struct vt *t = context;

    if (file_id == 0 || file_id > VT_FILES || t->files[file_id - 1] == NULL)
        return NULL;
    if (!any_file_will_do) {
        assert_int_equal(vmk_object_id(vmk_file_object(t->files[file_id - 1])), object_id);
        assert_string_equal(vmk_file_name(t->files[file_id - 1]), name);
    }
    vmk_file_get(t->files[file_id - 1]);
    return t->files[file_id - 1];
}

static struct vt_text saved, again;

static void save_all(struct vmk_mm *const *mms, size_t nr, struct vt_text *to)
{
    to->len = 0;
    to->text[0] = '\0';
    assert_int_equal(vmk_mm_save(mms, nr, vt_sink, to), 0);
}

static void assert_same_dump(struct vmk_mm *a, struct vmk_mm *b)
{
    static struct vt_text first, second;

    first.len = second.len = 0;
    vmk_mm_dump(a, vt_sink, &first);
    vmk_mm_dump(b, vt_sink, &second);
    assert_string_equal(first.text, second.text);
}

/* A bit of everything that an address space can have. */
static void fill(struct vt *t)
{
    const struct vmk_uffd_request uffd = {.action = VMK_UFFD_REGISTER,
                                          .context = 9,
                                          .features_fork = 1,
                                          .mode = VMK_UFFD_MODE_MISSING,
                                          .address = BASE + P(40),
                                          .len = P(1)};
    const struct vmk_name_request name = {.address = BASE + P(42), .len = P(1), .text = "a name = not \"so\" plain"};
    const struct vmk_mbind_request policy = {
        .address = BASE + P(44), .len = P(1), .mode = VMK_MPOL_BIND, .nodes = 1, .max_node = 65};
    const struct vmk_mlock_request lock = {.address = BASE + P(46), .len = P(1)};
    const struct vmk_import_area special = {.start = BASE + P(60),
                                            .end = BASE + P(62),
                                            .special_name = "[vdso]",
                                            .flags = VMK_VM_READ | VMK_VM_EXEC | VMK_VM_MAYREAD | VMK_VM_MAYWRITE |
                                                     VMK_VM_MAYEXEC};
    struct vmk_mm_layout layout;

    vt_anon(t, BASE, P(8), VT_RW);
    vt_touch(t, BASE);
    assert_ret(vt_mprotect(t, BASE + P(2), P(1), VT_R), 0);
    assert_ret(vt_mremap(t, BASE + P(6), P(1), P(1), VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED, BASE + P(20)),
               BASE + P(20));
    assert_ret(vt_mmap_file(t, BASE + P(30), P(4), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, vt_file(t, 2), P(7)),
               BASE + P(30));
    assert_ret(vt_mmap_file(t, BASE + P(36), P(2), VT_RW, VMK_MAP_PRIVATE | VMK_MAP_FIXED, vt_file(t, 1), 0),
               BASE + P(36));
    vt_anon(t, BASE + P(40), P(8), VT_RW);
    assert_int_equal(vmk_uffd(t->mm, &uffd, NULL), 0);
    assert_int_equal(vmk_name(t->mm, &name, NULL), 0);
    assert_int_equal(vmk_mbind(t->mm, &policy, NULL), 0);
    assert_int_equal(vmk_mlock(t->mm, &lock, NULL), 0);
    assert_ret(vt_mmap_file(t, BASE + P(50), P(4), VT_RW, VMK_MAP_SHARED | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED, NULL, 0),
               BASE + P(50));
    assert_int_equal(vmk_mm_import(t->mm, &special), 0);
    assert_int_equal(vmk_mm_reserve_range(t->mm, BASE + P(100), BASE + P(101)), 0);
    assert_int_equal(vmk_mm_track_writes(t->mm, BASE + P(1), BASE + P(2)), 0);
    vmk_mm_get_layout(t->mm, &layout);
    layout.start_brk = BASE + P(200);
    layout.brk = BASE + P(201);
    layout.env_end = 77;
    vmk_mm_set_layout(t->mm, &layout);
    assert_int_equal(vmk_mm_pin(t->mm, 2), 0);
}

static void open_with_everything(struct vt *t)
{
    vt_init(t);
    t->system_options.settings.anon_vma_name = 1;
    t->system_options.settings.nr_nodes = 2;
    t->mm_options.capabilities = VMK_CAP_SYS_NICE;
    t->mm_options.seed = 1234;
    vt_open(t);
}

static void nothing_is_lost(void **state)
{
    struct vt t;
    struct vmk_mm *loaded[2];
    size_t nr = 2;
    struct vmk_format_error error;

    (void)state;
    open_with_everything(&t);
    fill(&t);
    save_all(&t.mm, 1, &saved);
    int result = vmk_mm_load(t.system, saved.text, saved.len, find_file, &t, loaded, &nr, &error);
    if (result != 0)
        fail_msg("%d: line %zu: %s\n%s", result, error.line, error.what, saved.text);
    assert_int_equal(nr, 1);
    vt_validate_mm(loaded[0]);
    assert_same_dump(t.mm, loaded[0]);
    save_all(loaded, 1, &again);
    assert_string_equal(saved.text, again.text);
    /* The charge of the areas, and that of the shared anonymous memory. */
    assert_int_equal(vmk_system_committed(t.system), 2 * (t.mm->accounted_vm + 4));
    vmk_mm_put(loaded[0]);
    vmk_system_quiesce(t.system); /* an object goes after the readers of its areas */
    assert_int_equal(vmk_system_committed(t.system), t.mm->accounted_vm + 4);
    vt_teardown(&t);
}

/* What merged before a save merges after it, and what did not does not. */
static void merges_go_on(void **state)
{
    struct vt t;
    struct vmk_mm *old, *loaded[1];
    size_t nr = 1;

    (void)state;
    open_with_everything(&t);
    vt_anon(&t, BASE, P(4), VT_RW);
    vt_touch(&t, BASE);
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_R), 0);
    vt_anon(&t, BASE + P(8), P(1), VT_RW);
    vt_touch(&t, BASE + P(8));
    save_all(&t.mm, 1, &saved);
    assert_int_equal(vmk_mm_load(t.system, saved.text, saved.len, NULL, NULL, loaded, &nr, NULL), 0);
    old = t.mm;
    t.mm = loaded[0];
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_RW), 0);
    vt_anon(&t, BASE + P(4), P(4), VT_RW);
    assert_map(&t, "10000000-10008000 rw-p ac anon=a1\n10008000-10009000 rw-p ac anon=a2\n");
    vmk_mm_put(old);
    vt_teardown(&t);
}

static void fork_family(void **state)
{
    struct vt t;
    struct vmk_mm *family[3], *loaded[3];
    size_t nr = 3;

    (void)state;
    open_with_everything(&t);
    fill(&t);
    family[0] = t.mm;
    assert_int_equal(vmk_mm_fork(family[0], &family[1]), 0);
    assert_int_equal(vmk_mm_fork(family[1], &family[2]), 0);
    save_all(family, 3, &saved);
    assert_int_equal(vmk_mm_load(t.system, saved.text, saved.len, find_file, &t, loaded, &nr, NULL), 0);
    assert_int_equal(nr, 3);
    for (size_t i = 0; i < 3; i++) {
        vt_validate_mm(loaded[i]);
        assert_same_dump(family[i], loaded[i]);
    }
    /* The shared anonymous memory is one object for the family. */
    assert_ptr_equal(vmki_find(loaded[0], BASE + P(50))->file, vmki_find(loaded[2], BASE + P(50))->file);
    for (size_t i = 0; i < 3; i++)
        vmk_mm_put(loaded[i]);
    vmk_mm_put(family[1]);
    vmk_mm_put(family[2]);
    vt_teardown(&t);
}

/* Nothing of one space is left for the next. */
static void an_empty_space_after_a_full_one(void **state)
{
    struct vmk_mm *both[2], *loaded[2];
    size_t nr = 2;
    struct vt t;

    (void)state;
    open_with_everything(&t);
    fill(&t);
    both[0] = t.mm;
    assert_int_equal(vmk_mm_create(t.system, &t.mm_options, &both[1]), 0);
    save_all(both, 2, &saved);
    assert_int_equal(vmk_mm_load(t.system, saved.text, saved.len, find_file, &t, loaded, &nr, NULL), 0);
    for (size_t i = 0; i < 2; i++) {
        vt_validate_mm(loaded[i]);
        assert_same_dump(both[i], loaded[i]);
        vmk_mm_put(loaded[i]);
    }
    /* The same when the second one ends too early. */
    nr = 2;
    saved.len -= strlen("end\n");
    assert_int_not_equal(vmk_mm_load(t.system, saved.text, saved.len, find_file, &t, loaded, &nr, NULL), 0);
    vmk_mm_put(both[1]);
    vt_teardown(&t);
}

static void files_that_are_gone(void **state)
{
    struct vt t;
    struct vmk_mm *loaded[1];
    size_t nr = 1;
    struct vmk_format_error error;

    (void)state;
    open_with_everything(&t);
    fill(&t);
    save_all(&t.mm, 1, &saved);
    assert_int_equal(vmk_mm_load(t.system, saved.text, saved.len, NULL, NULL, loaded, &nr, &error), -VMK_ENOENT);
    assert_int_equal(nr, 0);
    assert_int_equal(error.line, 2);
    nr = 0;
    assert_int_equal(vmk_mm_load(t.system, saved.text, saved.len, find_file, &t, loaded, &nr, &error), -VMK_ERR_FORMAT);
    vt_teardown(&t);
}

/* ---- Drivers ---- */

static unsigned nr_mmap_calls, nr_open_calls;

static void driver_open(struct vmk_vma *vma)
{
    (void)vma;
    nr_open_calls++;
}

static const struct vmk_vm_ops driver_vm_ops = {.size = sizeof(driver_vm_ops), .open = driver_open};

static int driver_mmap(struct vmk_file *file, struct vmk_mmap_description *description)
{
    (void)file;
    nr_mmap_calls++;
    description->ops = &driver_vm_ops;
    description->private_data = &nr_mmap_calls;
    return 0;
}

static void driver_areas(void **state)
{
    static const struct vmk_file_ops file_ops = {.size = sizeof(file_ops), .mmap = driver_mmap};
    struct vt t;
    struct vmk_mm *loaded[1];
    size_t nr = 1;
    struct vmk_object *object;
    const struct vmk_vma_request bare = {
        .start = BASE + P(8), .end = BASE + P(9), .ops = &driver_vm_ops, .flags = VMK_VM_READ | VMK_VM_MAYREAD};
    struct vmk_vma *vma;

    (void)state;
    vt_setup(&t);
    const struct vmk_object_options object_options = {
        .size = sizeof(object_options), .kind = VMK_OBJECT_DEVICE, .id = 3};
    assert_int_equal(vmk_object_create(t.system, &object_options, &object), 0);
    const struct vmk_file_options options = {.size = sizeof(options),
                                             .object = object,
                                             .name = "/dev/thing",
                                             .id = 3,
                                             .mode = VMK_FILE_READ | VMK_FILE_WRITE,
                                             .ops = &file_ops};
    assert_int_equal(vmk_file_create(t.system, &options, &t.files[2]), 0);
    vmk_object_put(object);
    assert_ret(vt_mmap_file(&t, BASE, P(2), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, t.files[2], 0), BASE);
    save_all(&t.mm, 1, &saved);
    nr_mmap_calls = nr_open_calls = 0;
    assert_int_equal(vmk_mm_load(t.system, saved.text, saved.len, find_file, &t, loaded, &nr, NULL), 0);
    assert_int_equal(nr_mmap_calls, 1);
    assert_int_equal(nr_open_calls, 1);
    vma = vmki_find(loaded[0], BASE);
    assert_ptr_equal(vmk_vma_ops(vma), &driver_vm_ops);
    assert_ptr_equal(vmk_vma_private_data(vma), &nr_mmap_calls);
    vmk_mm_put(loaded[0]);
    /* Operations that no file leads to. */
    vmk_mm_lock_write(t.mm);
    assert_int_equal(vmk_vma_create_and_insert(t.mm, &bare, &vma), 0);
    vmk_mm_unlock_write(t.mm);
    assert_int_equal(vmk_mm_save(&t.mm, 1, vt_sink, &saved), -VMK_ERR_UNSUPPORTED);
    assert_int_equal(vmk_mm_save(&t.mm, 0, vt_sink, &saved), -VMK_ERR_MISUSE);
    assert_int_equal(vmk_mm_save((struct vmk_mm *[]){t.mm, t.mm}, 2, vt_sink, &saved), -VMK_ERR_MISUSE);
    vt_teardown(&t);
}

/* A special area with operations: the finder is asked for them by its name. */
static struct vmk_file *find_vdso(void *context, uint64_t file_id, uint64_t object_id, const char *name)
{
    struct vt *t = context;

    assert_true(file_id == 0 && object_id == 0);
    assert_string_equal(name, "[vdso]");
    vmk_file_get(t->files[0]);
    return t->files[0];
}

static void special_areas(void **state)
{
    struct vt t;
    struct vmk_mm *loaded[1];
    size_t nr = 1;
    struct vmk_object *object;
    const struct vmk_import_area vdso = {.start = BASE,
                                         .end = BASE + P(2),
                                         .special_name = "[vdso]",
                                         .ops = &driver_vm_ops,
                                         .flags = VMK_VM_READ | VMK_VM_EXEC | VMK_VM_MAY_ACCESS};
    const struct vmk_import_area other = {
        .start = BASE + P(4), .end = BASE + P(5), .special_name = "[mine]", .flags = VMK_VM_READ | VMK_VM_MAYREAD};

    (void)state;
    vt_setup(&t);
    const struct vmk_object_options object_options = {.size = sizeof(object_options), .kind = VMK_OBJECT_NONE};
    assert_int_equal(vmk_object_create(t.system, &object_options, &object), 0);
    const struct vmk_file_options options = {.size = sizeof(options), .object = object, .vm_ops = &driver_vm_ops};
    assert_int_equal(vmk_file_create(t.system, &options, &t.files[0]), 0);
    vmk_object_put(object);
    assert_int_equal(vmk_mm_import(t.mm, &vdso), 0);
    save_all(&t.mm, 1, &saved);
    assert_int_equal(vmk_mm_load(t.system, saved.text, saved.len, find_vdso, &t, loaded, &nr, NULL), 0);
    assert_ptr_equal(vmk_vma_ops(vmki_find(loaded[0], BASE)), &driver_vm_ops);
    assert_same_dump(t.mm, loaded[0]);
    vmk_mm_put(loaded[0]);
    nr = 1;
    assert_int_equal(vmk_mm_load(t.system, saved.text, saved.len, NULL, NULL, loaded, &nr, NULL), -VMK_ENOENT);
    assert_int_equal(vmk_mm_import(t.mm, &other), 0); /* a name that load would not know */
    assert_int_equal(vmk_mm_save(&t.mm, 1, vt_sink, &saved), -VMK_ERR_UNSUPPORTED);
    vt_teardown(&t);
}

/* ---- Damaged text ---- */

/* Any prefix and any flipped byte: an error or a valid address space. */
static void damaged_text(void **state)
{
    struct vt t;
    struct vmk_mm *loaded[4];
    static char text[VT_TEXT];

    (void)state;
    open_with_everything(&t);
    fill(&t);
    save_all(&t.mm, 1, &saved);
    any_file_will_do = true;
    for (size_t i = 0; i < 2 * saved.len; i += 3) {
        bool cut = i >= saved.len;
        size_t at = i % saved.len, nr = 4;
        memcpy(text, saved.text, saved.len);
        if (!cut)
            text[at] = (char)(text[at] ^ (1 << (i / 3) % 7));
        if (vmk_mm_load(t.system, text, cut ? at : saved.len, find_file, &t, loaded, &nr, NULL) != 0) {
            assert_int_equal(nr, 0);
            continue;
        }
        for (size_t n = 0; n < nr; n++) {
            vt_validate_mm(loaded[n]);
            vmk_mm_put(loaded[n]);
        }
    }
    any_file_will_do = false;
    vt_teardown(&t);
}

static int64_t call_save_and_load(struct vt *t)
{
    struct vmk_mm *loaded[1];
    size_t nr = 1;

    saved.len = 0;
    int error = vmk_mm_save(&t->mm, 1, vt_sink, &saved);
    if (error != 0)
        return error;
    error = vmk_mm_load(t->system, saved.text, saved.len, find_file, t, loaded, &nr, NULL);
    if (error == 0)
        vmk_mm_put(loaded[0]);
    return error;
}

static void some_areas(struct vt *t)
{
    vt_anon(t, BASE, P(4), VT_RW);
    vt_touch(t, BASE);
    assert_ret(vt_mmap_file(t, BASE + P(50), P(4), VT_RW, VMK_MAP_SHARED | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED, NULL, 0),
               BASE + P(50));
    vt_mmap_file(t, BASE + P(60), P(4), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, vt_file(t, 1), 0);
    assert_int_equal(vmk_mm_reserve_range(t->mm, BASE + P(100), BASE + P(101)), 0);
    assert_int_equal(vmk_mm_track_writes(t->mm, BASE + P(1), BASE + P(2)), 0);
}

static void each_allocation_fails(void **state)
{
    (void)state;
    assert_true(vt_fail_each(some_areas, call_save_and_load, false) > 10);
}

static uint64_t charge_room = UINT64_MAX;

static int charge(void *context, uint64_t pages, bool privileged)
{
    (void)context;
    (void)privileged;
    if (pages > charge_room)
        return -VMK_ENOMEM;
    charge_room -= pages;
    return 0;
}

static void uncharge(void *context, uint64_t pages)
{
    (void)context;
    charge_room += pages;
}

/* The machine that loads may have less than the one that saved. */
static void charges_that_are_refused(void **state)
{
    static const struct vmk_commit_ops commit = {.charge = charge, .uncharge = uncharge};
    struct vt t;
    struct vmk_mm *loaded[1];

    (void)state;
    charge_room = UINT64_C(1) << 40;
    vt_init(&t);
    t.system_options.commit = &commit;
    vt_open(&t);
    vt_anon(&t, BASE, P(4), VT_RW);
    assert_ret(vt_mmap_file(&t, BASE + P(8), P(4), VT_RW, VMK_MAP_SHARED | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED, NULL, 0),
               BASE + P(8));
    save_all(&t.mm, 1, &saved);
    for (uint64_t room = 0; room <= 8; room += 4) {
        size_t nr = 1;
        charge_room = room;
        assert_int_equal(vmk_mm_load(t.system, saved.text, saved.len, NULL, NULL, loaded, &nr, NULL),
                         room < 8 ? -VMK_ENOMEM : 0);
        vmk_system_quiesce(t.system);
        if (room == 8)
            vmk_mm_put(loaded[0]);
        vmk_system_quiesce(t.system);
        assert_int_equal(charge_room, room);
    }
    vt_teardown(&t);
}

static void huge_pages_come_from_the_pool(void **state)
{
    struct vt t;
    struct vmk_mm *loaded[1];
    struct vmk_sysctl sysctl;
    size_t nr = 1;

    (void)state;
    vt_init(&t);
    t.system_options.sysctl.hugetlb_free_pages = 5;
    vt_open(&t);
    assert_ret(vt_mmap_file(&t, UINT64_C(0x40000000), UINT64_C(0x400000), VT_RW,
                            VMK_MAP_SHARED | VMK_MAP_ANONYMOUS | VMK_MAP_HUGETLB | VMK_MAP_FIXED, NULL, 0),
               UINT64_C(0x40000000));
    save_all(&t.mm, 1, &saved);
    assert_int_equal(vmk_mm_load(t.system, saved.text, saved.len, NULL, NULL, loaded, &nr, NULL), 0);
    assert_same_dump(t.mm, loaded[0]);
    vmk_system_sysctl(t.system, &sysctl);
    assert_int_equal(sysctl.hugetlb_free_pages, 1);
    struct vmk_mm *more[1];
    nr = 1;
    assert_int_equal(vmk_mm_load(t.system, saved.text, saved.len, NULL, NULL, more, &nr, NULL), -VMK_ENOMEM);
    vmk_mm_put(loaded[0]);
    vmk_system_quiesce(t.system);
    vmk_system_sysctl(t.system, &sysctl);
    assert_int_equal(sysctl.hugetlb_free_pages, 3);
    vt_teardown(&t);
}

/* Private huge pages: each area brings its own claim. */
static void private_huge_pages_come_from_the_pool(void **state)
{
    const vmk_addr at = UINT64_C(0x40000000);
    struct vt t;
    struct vmk_mm *loaded[1], *more[1];
    struct vmk_sysctl sysctl;
    size_t nr = 1;

    (void)state;
    vt_init(&t);
    t.system_options.sysctl.hugetlb_free_pages = 7;
    vt_open(&t);
    assert_ret(vt_mmap_file(&t, at, UINT64_C(0x800000), VT_RW, VT_FIXED | VMK_MAP_HUGETLB, NULL, 0), at);
    assert_ret(vt_munmap(&t, at + UINT64_C(0x200000), UINT64_C(0x200000)), 0);
    save_all(&t.mm, 1, &saved);
    assert_int_equal(vmk_mm_load(t.system, saved.text, saved.len, NULL, NULL, loaded, &nr, NULL), 0);
    assert_same_dump(t.mm, loaded[0]);
    vmk_system_sysctl(t.system, &sysctl);
    assert_int_equal(sysctl.hugetlb_free_pages, 1);
    nr = 1;
    assert_int_equal(vmk_mm_load(t.system, saved.text, saved.len, NULL, NULL, more, &nr, NULL), -VMK_ENOMEM);
    vmk_system_sysctl(t.system, &sysctl);
    assert_int_equal(sysctl.hugetlb_free_pages, 1);
    vmk_mm_put(loaded[0]);
    vmk_system_quiesce(t.system);
    vmk_system_sysctl(t.system, &sysctl);
    assert_int_equal(sysctl.hugetlb_free_pages, 4);
    vt_teardown(&t);
}

/* ---- Import ---- */

static void imports(void **state)
{
    struct vt t;
    const vmk_vm_flags rw = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS | VMK_VM_ACCOUNT;
    struct vmk_import_area area = {.start = BASE, .end = BASE + P(2), .flags = rw, .anon_vma = VMK_ANON_YES};

    (void)state;
    vt_setup(&t);
    assert_int_equal(vmk_mm_import(t.mm, &area), 0);
    area.start = BASE + P(1);
    assert_int_equal(vmk_mm_import(t.mm, &area), -VMK_EEXIST);
    area.start = BASE + P(2) + 1;
    area.end = BASE + P(4);
    assert_int_equal(vmk_mm_import(t.mm, &area), -VMK_EINVAL);
    area.start = BASE + P(2);
    area.anon_vma = VMK_ANON_NO;
    assert_int_equal(vmk_mm_import(t.mm, &area), 0); /* without merging */
    area =
        (struct vmk_import_area){.start = BASE + P(4), .end = BASE + P(6), .flags = rw, .anon_vma = VMK_ANON_UNKNOWN};
    assert_int_equal(vmk_mm_import(t.mm, &area), 0);
    area = (struct vmk_import_area){.start = BASE + P(8),
                                    .end = BASE + P(9),
                                    .offset = P(3),
                                    .file = vt_file(&t, 1),
                                    .flags = VMK_VM_READ | VMK_VM_SHARED | VMK_VM_MAY_ACCESS | VMK_VM_MAYSHARE,
                                    .anon_vma = VMK_ANON_YES};
    assert_int_equal(vmk_mm_import(t.mm, &area), 0);
    area = (struct vmk_import_area){.start = BASE + P(10),
                                    .end = BASE + P(11),
                                    .special_name = "[vdso]",
                                    .flags = VMK_VM_READ | VMK_VM_EXEC | VMK_VM_MAY_ACCESS};
    assert_int_equal(vmk_mm_import(t.mm, &area), 0);
    area = (struct vmk_import_area){
        .start = BASE + P(12), .end = BASE + P(13), .flags = rw, .anon_vma = VMK_ANON_INHERITED};
    assert_int_equal(vmk_mm_import(t.mm, &area), 0);
    struct vmk_vma_info info = {.size = sizeof(info)};
    assert_int_equal(vmk_mm_lookup(t.mm, BASE + P(12), &info), 0);
    assert_true(info.anon_vma_inherited && info.anon_vma != 0);
    area.anon_vma = (int)VMK_ANON_INHERITED + 1;
    area.start += P(2);
    area.end += P(2);
    assert_int_equal(vmk_mm_import(t.mm, &area), -VMK_ERR_MISUSE);
    area.anon_vma = VMK_ANON_NO;
    assert_int_equal(vt_munmap(&t, BASE + P(12), P(1)), 0);
    assert_map(&t, "10000000-10002000 rw-p ac anon=a1\n10002000-10004000 rw-p ac\n10004000-10006000 rw-p ac anon=?\n"
                   "10008000-10009000 r--s pgoff=3 file=1\n1000a000-1000b000 r-xp pgoff=0 [vdso]\n");
    assert_int_equal(vmk_system_committed(t.system), 6);
    save_all(&t.mm, 1, &saved);
    struct vmk_mm *loaded[1];
    size_t nr = 1;
    assert_int_equal(vmk_mm_load(t.system, saved.text, saved.len, find_file, &t, loaded, &nr, NULL), 0);
    assert_same_dump(t.mm, loaded[0]);
    vmk_mm_put(loaded[0]);
    area.start = BASE + P(20);
    area.end = BASE + P(21);
    area.flags = VMK_VM_UFFD_MISSING;
    assert_int_equal(vmk_mm_import(t.mm, &area), -VMK_ERR_MISUSE);
    area.flags = UINT64_C(1) << 63;
    assert_int_equal(vmk_mm_import(t.mm, &area), -VMK_ERR_MISUSE);
    area.flags = VMK_VM_READ;
    assert_int_equal(vmk_mm_reserve_range(t.mm, BASE + P(20), BASE + P(21)), 0);
    assert_int_equal(vmk_mm_import(t.mm, &area), -VMK_EEXIST);
    vt_teardown(&t);
}

/* Flags that Linux has retired: an area keeps them, and they change nothing but what it merges with. */
static void retired_flags(void **state)
{
    struct vt t;
    struct vmk_vma_info info = {.size = sizeof(info)};
    const vmk_vm_flags retired =
        VMK_VM_SHM | VMK_VM_DENYWRITE | VMK_VM_EXECUTABLE | VMK_VM_RESERVED | VMK_VM_NONLINEAR | VMK_VM_SAO;
    const struct vmk_import_area area = {
        .start = BASE, .end = BASE + P(2), .flags = VT_RW | VMK_VM_MAY_ACCESS | retired};
    const struct vmk_fault_request request = {.address = BASE, .access = VMK_ACCESS_WRITE};
    struct vmk_fault fault;

    (void)state;
    vt_setup(&t);
    assert_int_equal(vmk_mm_import(t.mm, &area), 0);
    assert_int_equal(vmk_mm_lookup(t.mm, BASE, &info), 0);
    assert_true((info.flags & retired) == retired);
    assert_int_equal(vmk_mm_fault(t.mm, &request, &fault), 0);
    assert_int_equal(fault.fault_case, VMK_FAULT_CASE_3B);
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_R), 0);
    assert_ret(vt_munmap(&t, BASE, P(2)), 0);
    /* mmap never sets them. */
    assert_ret(vt_mmap_file(&t, BASE, P(1), VT_RW, VT_FIXED | VMK_MAP_DENYWRITE | VMK_MAP_EXECUTABLE, NULL, 0), BASE);
    assert_int_equal(vmk_mm_lookup(t.mm, BASE, &info), 0);
    assert_true((info.flags & retired) == 0);
    vt_teardown(&t);
}

static void unknown_history_is_counted(void **state)
{
    struct vt t;
    const struct vmk_import_area area = {.start = BASE,
                                         .end = BASE + P(2),
                                         .anon_vma = VMK_ANON_UNKNOWN,
                                         .flags = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS | VMK_VM_ACCOUNT};

    (void)state;
    vt_setup(&t);
    assert_int_equal(vmk_mm_import(t.mm, &area), 0);
    vt_anon(&t, BASE + P(8), P(1), VT_RW);
    assert_int_equal(vmk_mm_unknown_merges(t.mm), 0);
    vt_anon(&t, BASE + P(3), P(1), VT_RW);
    vt_touch(&t, BASE + P(3));
    vt_anon(&t, BASE + P(2), P(1), VT_RW); /* a bridge to a neighbour with one: does it join both? */
    assert_true(vmk_mm_unknown_merges(t.mm) > 0);
    vt_teardown(&t);
}

/* What fork wipes has no anon_vma in the child, whatever the parent's was. */
static void unknown_history_and_fork(void **state)
{
    struct vmk_import_area area = {.start = BASE,
                                   .end = BASE + P(2),
                                   .anon_vma = VMK_ANON_UNKNOWN,
                                   .flags = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS};
    struct vmk_mm *child;
    struct vmk_vma_info info = {.size = sizeof(info)};
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_int_equal(vmk_mm_import(t.mm, &area), 0);
    area.start = BASE + P(2);
    area.end = BASE + P(4);
    area.flags |= VMK_VM_WIPEONFORK;
    assert_int_equal(vmk_mm_import(t.mm, &area), 0);
    assert_map(&t, "10000000-10002000 rw-p anon=?\n10002000-10004000 rw-p wf anon=?\n");
    assert_int_equal(vmk_mm_fork(t.mm, &child), 0);
    assert_int_equal(vmk_mm_lookup(child, BASE, &info), 0);
    assert_true(info.anon_vma_unknown);
    assert_int_equal(vmk_mm_lookup(child, BASE + P(2), &info), 0);
    assert_false(info.anon_vma_unknown);
    vmk_mm_put(child);
    vt_teardown(&t);
}

static int64_t call_import(struct vt *t)
{
    const struct vmk_import_area area = {.start = BASE,
                                         .end = BASE + P(2),
                                         .anon_vma = VMK_ANON_YES,
                                         .uffd = 3,
                                         .special_name = "[vdso]",
                                         .flags = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_ACCOUNT | VMK_VM_UFFD_MISSING};

    return vmk_mm_import(t->mm, &area);
}

/* Operations without a name, a name without operations. */
static void import_special(void **state)
{
    struct vmk_import_area area = {
        .start = BASE, .end = BASE + P(1), .flags = VMK_VM_READ | VMK_VM_MAYREAD, .ops = &driver_vm_ops};
    char name[32] = "";
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_int_equal(vmk_mm_import(t.mm, &area), 0);
    assert_ptr_equal(vmk_vma_ops(vmki_find(t.mm, BASE)), &driver_vm_ops);
    area = (struct vmk_import_area){
        .start = BASE + P(4), .end = BASE + P(5), .flags = VMK_VM_READ | VMK_VM_MAYREAD, .special_name = "[name]"};
    assert_int_equal(vmk_mm_import(t.mm, &area), 0);
    vmk_vma_name(vmki_find(t.mm, BASE + P(4)), name, sizeof(name));
    assert_string_equal(name, "[name]");
    vt_teardown(&t);
}

/* Each check by itself: on both sides of its bound, and nothing is left of what is refused. */
static void import_checks(void **state)
{
    const vmk_vm_flags rw = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS;
    const vmk_addr top = UINT64_C(0x7ffffffff000);
    const struct {
        struct vmk_import_area area;
        int error;
    } cases[] = {
        {{.start = BASE + 1, .end = BASE + P(1), .flags = rw}, -VMK_EINVAL},
        {{.start = BASE, .end = BASE + P(1) - 1, .flags = rw}, -VMK_EINVAL},
        {{.start = BASE, .end = BASE, .flags = rw}, -VMK_EINVAL},
        {{.start = BASE + P(1), .end = BASE, .flags = rw}, -VMK_EINVAL},
        {{.start = top - P(1), .end = top + P(1), .flags = rw}, -VMK_EINVAL},
        {{.start = top - P(1), .end = top, .flags = rw}, 0},
        {{.start = BASE, .end = BASE + P(1), .flags = rw | UINT64_C(1) << 60}, -VMK_ERR_MISUSE},
        {{.start = BASE, .end = BASE + P(1), .flags = VMK_VM_SHARED}, -VMK_ERR_MISUSE},
        {{.start = BASE, .end = BASE + P(1), .flags = rw, .uffd = 1}, -VMK_ERR_MISUSE},
        {{.start = BASE, .end = BASE + P(3), .flags = rw | VMK_VM_ACCOUNT}, -VMK_EEXIST}, /* an area at its end */
        {{.start = BASE + P(2), .end = BASE + P(4), .flags = rw | VMK_VM_ACCOUNT}, -VMK_EEXIST},
        {{.start = BASE + P(3), .end = BASE + P(4), .flags = rw | VMK_VM_ACCOUNT}, 0},
        {{.start = BASE + P(7), .end = BASE + P(9), .flags = rw | VMK_VM_ACCOUNT}, -VMK_EEXIST}, /* reserved */
        {{.start = BASE + P(8), .end = BASE + P(11), .flags = rw | VMK_VM_ACCOUNT, .anon_vma = VMK_ANON_YES},
         -VMK_EEXIST},
        {{.start = BASE + P(10), .end = BASE + P(12), .flags = rw | VMK_VM_ACCOUNT, .special_name = "[x]"}, 0},
        {{.start = BASE, .end = BASE + P(1), .flags = rw, .anon_vma = (int)VMK_ANON_INHERITED + 1}, -VMK_ERR_MISUSE},
    };
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE + P(2), P(1), VT_RW);
    assert_int_equal(vmk_mm_reserve_range(t.mm, BASE + P(8), BASE + P(10)), 0);
    for (size_t i = 0; i < VMKI_ARRAY_SIZE(cases); i++) {
        static struct vt_text before, after;
        uint64_t committed = vmk_system_committed(t.system);
        vmk_system_quiesce(t.system);

        before.len = after.len = 0;
        vmk_mm_dump(t.mm, vt_sink, &before);
        assert_ret(vmk_mm_import(t.mm, &cases[i].area), cases[i].error);
        vt_validate(&t);
        if (cases[i].error == 0)
            continue;
        vmk_mm_dump(t.mm, vt_sink, &after);
        assert_string_equal(before.text, after.text);
        assert_int_equal(vmk_system_committed(t.system), committed);
    }
    vt_teardown(&t);
}

/* What lies out of line is there for the one thing that needs it, and for nothing else. */
static void import_out_of_line(void **state)
{
    const vmk_vm_flags rw = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS;
    struct vmk_import_area area = {.start = BASE, .end = BASE + P(1), .offset = P(7), .flags = rw};
    struct vmk_vma_info info = {.size = sizeof(info)};
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.settings.arch = VMK_ARCH_ARM64;
    t.system_options.settings.mte = 1;
    vt_open(&t);
    for (unsigned i = 0; i < 4; i++) {
        area.uffd = i == 1 ? 5 : 0;
        area.flags = rw | (i == 1 ? VMK_VM_UFFD_MISSING : 0);
        area.special_name = i == 2 ? "[x]" : NULL;
        area.ops = i == 3 ? &driver_vm_ops : NULL;
        assert_int_equal(vmk_mm_import(t.mm, &area), 0);
        const struct vmk_vma *vma = vmki_find(t.mm, area.start);
        assert_true((vma->ext != NULL) == (i != 0));
        assert_int_equal(vmk_mm_lookup(t.mm, area.start, &info), 0);
        assert_int_equal(info.uffd, area.uffd);
        assert_ptr_equal(vmk_vma_ops(vma), area.ops);
        /* Offsets are those of files and of what is special; ordinary memory may carry tags. */
        assert_int_equal(info.pgoff, i >= 2 ? 7 : area.start / VT_PAGE);
        assert_int_equal(info.flags, area.flags | (i < 2 ? VMK_VM_MTE_ALLOWED : 0));
        area.start += P(2);
        area.end += P(2);
    }
    vt_teardown(&t);
}

/* What came before in another process: private memory alone has pages of its own. */
static void import_anon_vmas(void **state)
{
    struct vmk_vma_info info = {.size = sizeof(info)};
    struct vt t;

    (void)state;
    vt_setup(&t);
    for (unsigned i = 0; i < 8; i++) {
        const bool shared = i >= 4;
        const struct vmk_import_area area = {.start = BASE + P(2 * i),
                                             .end = BASE + P(2 * i + 1),
                                             .anon_vma = (int)(i % 4),
                                             .file = shared ? vt_file(&t, 1) : NULL,
                                             .flags =
                                                 shared ? VMK_VM_READ | VMK_VM_SHARED | VMK_VM_MAYSHARE : VMK_VM_READ};
        assert_int_equal(vmk_mm_import(t.mm, &area), 0);
        assert_int_equal(vmk_mm_lookup(t.mm, area.start, &info), 0);
        assert_true((info.anon_vma != 0) == (!shared && (i == VMK_ANON_YES || i == VMK_ANON_INHERITED)));
        assert_true(info.anon_vma_inherited == (i == VMK_ANON_INHERITED));
        assert_true(info.anon_vma_unknown == (i == VMK_ANON_UNKNOWN));
    }
    vt_teardown(&t);
}

/* Only what was charged where it came from is charged again. */
static void import_charges(void **state)
{
    struct vmk_import_area area = {
        .start = BASE, .end = BASE + (UINT64_C(1) << 40), .flags = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS};
    struct vt t;

    (void)state;
    vt_setup(&t);
    area.flags |= VMK_VM_ACCOUNT;
    assert_int_equal(vmk_mm_import(t.mm, &area), -VMK_ENOMEM);
    area.flags &= ~VMK_VM_ACCOUNT;
    assert_int_equal(vmk_mm_import(t.mm, &area), 0);
    vt_validate(&t);
    vt_teardown(&t);
}

static void each_allocation_of_an_import_fails(void **state)
{
    (void)state;
    assert_true(vt_fail_each(NULL, call_import, false) > 2);
}

/* Pointers as keys: all but the two highest bits, which the table has for itself. */
static void numbers_of_pointers(void **state)
{
    (void)state;
    assert_true(vmki_numbers_key((const void *)UINTPTR_MAX) == (UINT64_C(1) << 62) - 1);
    assert_true(vmki_numbers_key(state) == (uintptr_t)state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost),
        cmocka_unit_test(import_charges),
        cmocka_unit_test(import_special),
        cmocka_unit_test(import_checks),
        cmocka_unit_test(import_out_of_line),
        cmocka_unit_test(import_anon_vmas),
        cmocka_unit_test(merges_go_on),
        cmocka_unit_test(fork_family),
        cmocka_unit_test(an_empty_space_after_a_full_one),
        cmocka_unit_test(files_that_are_gone),
        cmocka_unit_test(driver_areas),
        cmocka_unit_test(special_areas),
        cmocka_unit_test(damaged_text),
        cmocka_unit_test(each_allocation_fails),
        cmocka_unit_test(charges_that_are_refused),
        cmocka_unit_test(huge_pages_come_from_the_pool),
        cmocka_unit_test(private_huge_pages_come_from_the_pool),
        cmocka_unit_test(imports),
        cmocka_unit_test(retired_flags),
        cmocka_unit_test(unknown_history_is_counted),
        cmocka_unit_test(unknown_history_and_fork),
        cmocka_unit_test(each_allocation_of_an_import_fails),
        cmocka_unit_test(numbers_of_pointers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
