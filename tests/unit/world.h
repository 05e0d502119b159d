/* SPDX-License-Identifier: MIT */
/*
 * world.h - one address space with an area of every kind, made in several ways, and all of its state as text.
 *
 * A test that makes some call fails wants to see that nothing at all changed: world_state prints the dump, the commit
 * charge, who maps the files, the balance of a driver's open and close hooks, and what the notices told so far.
 */
#ifndef VMAKIT_TESTS_WORLD_H
#define VMAKIT_TESTS_WORLD_H

#include "calls.h"

/* Where the areas of a kind are, in pages from BASE. Nothing lies in between. */
enum world_zone {
    Z_ANON = 0x00,   /* [0, 8) rw with an anon_vma, [8, 10) r, [10, 16) rw */
    Z_FILE = 0x20,   /* file 1: [0, 8) private rw with an anon_vma, [8, 12) shared rw */
    Z_DRIVER = 0x40, /* file 2: [0, 8) shared rw, every hook set */
    Z_SHARED = 0x60, /* [0, 6) shared anonymous memory */
    Z_LOCKED = 0x70, /* [0, 4) rw, locked */
    Z_UFFD = 0x80,   /* [0, 6) rw, context 5 */
    Z_POLICY = 0x90, /* [0, 6) rw, MPOL_BIND to node 0 */
    Z_SEALED = 0xa0, /* [0, 4) rw */
    Z_VDSO = 0xb0,   /* [0, 2) special: its hook refuses a split */
    Z_TRACKED = 0xc0,
    Z_RESERVED = 0xd0, /* [0, 4): no area */
    Z_NAMED = 0xe0,    /* [0, 6) rw, "pool" */
    Z_SHM = 0xf0,      /* file 4: [0, 4) attached */
    Z_FREE = 0x100,
    Z_HUGE = 0x200,  /* two huge pages of MAP_HUGETLB */
    Z_FILL = 0x700,  /* small areas, so that leaves split elsewhere */
    Z_STACK = 0xa00, /* [0, 4) rw, grows down */
    Z_HEAP = 0xb00   /* [0, 4) through brk */
};
#define W(zone, page) (BASE + P((zone) + (page)))

/* How a world comes to be: what later calls find in reserve, and how the tree is filled, differ. */
enum world_kind {
    WORLD_PLAIN,
    WORLD_QUIET,  /* nothing waits for readers, nothing is pooled */
    WORLD_CHILD,  /* of a fork: nothing in reserve, inherited anon_vmas */
    WORLD_LOADED, /* saved and loaded: nothing in reserve */
    WORLD_FILLED, /* with other neighbours in its leaves */
    WORLD_TALL,   /* with an inner level more */
    WORLD_KINDS
};
static VT_UNUSED const char *const world_kind_names[] = {"plain", "quiet", "child", "loaded", "filled", "tall"};

struct world {
    struct vt t;
    vmk_addr aio_context;
    struct vmk_file *lent[2]; /* files 4 and 5 once more, for a call that takes a new one: shm, an aio ring */
    long opened;              /* driver areas: opens less closes */
    int64_t noticed;          /* bytes mapped less bytes unmapped, as the notices have it */
    struct vt_text log;       /* the notices themselves, and trace events */
};

/* The tests have one world at a time, since hooks know no context of their own. */
static struct world the_world;

/* ---- The driver ---- */

static VT_UNUSED void world_open(struct vmk_vma *vma)
{
    (void)vma;
    the_world.opened++;
}

static VT_UNUSED void world_close(struct vmk_vma *vma)
{
    (void)vma;
    the_world.opened--;
}

static VT_UNUSED int world_may_split(struct vmk_vma *vma, vmk_addr address)
{
    (void)vma;
    (void)address;
    return 0;
}

static VT_UNUSED int world_mremap(struct vmk_vma *vma)
{
    (void)vma;
    return 0;
}

static VT_UNUSED int world_mprotect(struct vmk_vma *vma, vmk_addr start, vmk_addr end, vmk_vm_flags flags)
{
    (void)vma;
    (void)flags;
    return start < end ? 0 : -VMK_EINVAL;
}

static VT_UNUSED int world_madvise(struct vmk_vma *vma, vmk_addr start, vmk_addr end, int advice)
{
    (void)vma;
    (void)advice;
    return start < end ? 0 : -VMK_EINVAL;
}

static VT_UNUSED int world_fault(struct vmk_vma *vma, struct vmk_fault *fault)
{
    (void)vma;
    (void)fault;
    return 0;
}

static const struct vmk_vm_ops world_driver = {.size = sizeof(world_driver),
                                               .open = world_open,
                                               .close = world_close,
                                               .may_split = world_may_split,
                                               .mremap = world_mremap,
                                               .mprotect = world_mprotect,
                                               .fault = world_fault,
                                               .madvise = world_madvise};
static const struct vmk_vm_ops world_vdso = {.size = sizeof(world_vdso), .may_split = vt_no_split};

/* Commit installs what the hook describes. */
static VT_UNUSED int world_mmap(struct vmk_file *file, struct vmk_mmap_description *description)
{
    (void)file;
    description->ops = &world_driver;
    description->flags |= VMK_VM_DONTEXPAND | VMK_VM_DONTDUMP;
    return 0;
}

static VT_UNUSED void world_notice(void *context, struct vmk_mm *mm, const struct vmk_change *change)
{
    static const char *const kinds[] = {"map", "unmap", "protect", "move", "fork"};

    (void)context;
    (void)mm;
    if (change->kind == VMK_CHANGE_MAP)
        the_world.noticed += (int64_t)(change->end - change->start);
    if (change->kind == VMK_CHANGE_UNMAP)
        the_world.noticed -= (int64_t)(change->end - change->start);
    vt_print(&the_world.log, "notice %s %llx-%llx from %llx flags %llx to %llx\n", kinds[change->kind],
             (unsigned long long)change->start, (unsigned long long)change->end, (unsigned long long)change->from,
             (unsigned long long)change->old_flags, (unsigned long long)change->new_flags);
}

/* ---- Files: 1 regular, 2 the driver's, 3 a memfd, 4 a segment, 5 a ring, 8 the vdso's operations ---- */

static VT_UNUSED void world_file(struct vt *t, uint64_t id, enum vmk_object_kind kind, const struct vmk_file_ops *ops,
                                 const struct vmk_vm_ops *vm_ops)
{
    const struct vmk_object_options object_options = {.size = sizeof(object_options),
                                                      .kind = kind,
                                                      .id = id,
                                                      .nr_bytes = id == 4 || id == 5 ? P(4) : P(0x1000),
                                                      .inode = id};
    struct vmk_file_options options = {.size = sizeof(options),
                                       .mode = VMK_FILE_READ | VMK_FILE_WRITE,
                                       .ops = ops,
                                       .vm_ops = vm_ops,
                                       .name = "/file",
                                       .id = id};

    assert_int_equal(vmk_object_create(t->system, &object_options, &options.object), 0);
    assert_int_equal(vmk_file_create(t->system, &options, &t->files[id - 1]), 0);
    if (id == 4 || id == 5) {
        options.id += 10;
        assert_int_equal(vmk_file_create(t->system, &options, &the_world.lent[id - 4]), 0);
    }
    vmk_object_put(options.object);
}

static VT_UNUSED void world_files(struct vt *t)
{
    static const struct vmk_file_ops ops = {.size = sizeof(ops), .mmap = world_mmap};

    world_file(t, 1, VMK_OBJECT_REGULAR, NULL, NULL);
    world_file(t, 2, VMK_OBJECT_DEVICE, &ops, &world_driver);
    world_file(t, 3, VMK_OBJECT_SHMEM, NULL, NULL);
    world_file(t, 4, VMK_OBJECT_SHMEM, NULL, NULL);
    world_file(t, 5, VMK_OBJECT_SHMEM, NULL, NULL);
    world_file(t, 8, VMK_OBJECT_DEVICE, NULL, &world_vdso);
}

/* ---- Areas ---- */

static VT_UNUSED void world_memory(struct vt *t)
{
    vt_anon(t, W(Z_ANON, 0), P(16), VT_RW);
    assert_ret(vt_mprotect(t, W(Z_ANON, 8), P(2), VT_R), 0);
    vt_touch(t, W(Z_ANON, 0));
    vt_map_file(t, W(Z_FILE, 0), P(8), VT_RW, VMK_MAP_PRIVATE, t->files[0], 0);
    vt_touch(t, W(Z_FILE, 0));
    vt_map_file(t, W(Z_FILE, 8), P(4), VT_RW, VMK_MAP_SHARED, t->files[0], P(8));
    vt_map_file(t, W(Z_DRIVER, 0), P(8), VT_RW, VMK_MAP_SHARED, t->files[1], 0);
    vt_map_file(t, W(Z_SHARED, 0), P(6), VT_RW, VMK_MAP_SHARED | VMK_MAP_ANONYMOUS, NULL, 0);
    vt_anon(t, W(Z_LOCKED, 0), P(4), VT_RW);
    assert_ret(vt_mlock(t, W(Z_LOCKED, 0), P(4)), 0);
    vt_anon(t, W(Z_SEALED, 0), P(4), VT_RW);
    assert_ret(vt_mseal(t, W(Z_SEALED, 0), P(4), 0), 0);
    vt_anon(t, W(Z_TRACKED, 0), P(4), VT_RW);
    assert_int_equal(vmk_mm_track_writes(t->mm, W(Z_TRACKED, 1), W(Z_TRACKED, 3)), 0);
    assert_int_equal(vmk_mm_reserve_range(t->mm, W(Z_RESERVED, 0), W(Z_RESERVED, 4)), 0);
    assert_ret(vt_mmap_file(t, W(Z_HUGE, 0), UINT64_C(4) << 20, VT_RW, VT_FIXED | VMK_MAP_HUGETLB, NULL, 0),
               W(Z_HUGE, 0));
    assert_ret(vt_mmap_file(t, W(Z_STACK, 0), P(4), VT_RW, VT_FIXED | VMK_MAP_GROWSDOWN, NULL, 0), W(Z_STACK, 0));
}

static VT_UNUSED void world_rare(struct vt *t)
{
    const struct vmk_name_request name = {.address = W(Z_NAMED, 0), .len = P(6), .text = "pool"};
    const struct vmk_shmat_request shm = {.file = t->files[3], .size = P(4), .address = W(Z_SHM, 0)};
    const struct vmk_aio_setup_request ring = {.file = t->files[4], .len = P(4)};
    const struct vmk_brk_request heap = {.address = W(Z_HEAP, 4)};
    struct vmk_mm_layout layout;

    vt_anon(t, W(Z_UFFD, 0), P(6), VT_RW);
    assert_ret(vt_register(t, 5, W(Z_UFFD, 0), P(6), VMK_UFFD_MODE_MISSING), 0);
    vt_anon(t, W(Z_POLICY, 0), P(6), VT_RW);
    assert_ret(vt_mbind(t, W(Z_POLICY, 0), P(6), VMK_MPOL_BIND, 1), 0);
    vt_special(t, W(Z_VDSO, 0), P(2), VT_VDSO);
    vt_anon(t, W(Z_NAMED, 0), P(6), VT_RW);
    assert_ret(vt_return(t, vmk_name(t->mm, &name, &t->result)), 0);
    assert_ret(vt_return(t, vmk_shmat(t->mm, &shm, &t->result)), W(Z_SHM, 0));
    the_world.aio_context = (vmk_addr)vt_return(t, vmk_aio_setup(t->mm, &ring, &t->result));
    vmk_mm_get_layout(t->mm, &layout);
    layout = (struct vmk_mm_layout){.start_code = BASE,
                                    .end_code = BASE + P(1),
                                    .start_data = BASE,
                                    .end_data = BASE + P(1),
                                    .start_brk = W(Z_HEAP, 0),
                                    .brk = W(Z_HEAP, 0),
                                    .start_stack = W(Z_STACK, 3),
                                    .arg_start = W(Z_STACK, 3),
                                    .arg_end = W(Z_STACK, 3),
                                    .env_start = W(Z_STACK, 3),
                                    .env_end = W(Z_STACK, 3),
                                    .mmap_base = layout.mmap_base,
                                    .mmap_legacy_base = layout.mmap_legacy_base,
                                    .top_down = layout.top_down};
    vmk_mm_set_layout(t->mm, &layout);
    assert_ret(vt_return(t, vmk_brk(t->mm, &heap, &t->result)), W(Z_HEAP, 4));
}

/* Areas of one page that cannot merge. */
static VT_UNUSED void world_fill(struct vt *t, unsigned nr)
{
    for (unsigned i = 0; i < nr; i++) {
        const struct vmk_mmap_request request = {
            .address = W(Z_FILL, i), .len = P(1), .prot = i % 2 == 0 ? VT_R : VT_RW, .flags = VT_FIXED};

        assert_int_equal(vmk_mmap(t->mm, &request, NULL), 0);
    }
    vt_validate(t);
}

/* ---- Kinds ---- */

static VT_UNUSED struct vmk_file *world_find(void *context, uint64_t file_id, uint64_t object_id, const char *name)
{
    struct vt *t = context;

    (void)name;
    struct vmk_file *file = t->files[file_id == 0 && object_id == 0 ? 7 : file_id - 1];
    vmk_file_get(file);
    return file;
}

static VT_UNUSED void world_replace(struct vt *t, struct vmk_mm *mm)
{
    vmk_mm_put(t->mm);
    t->mm = mm;
    vmk_mm_set_notice(mm, world_notice, NULL);
    vt_validate(t);
}

static VT_UNUSED void world_become(struct vt *t, enum world_kind kind)
{
    static struct vt_text text;
    struct vmk_mm *mm;
    size_t nr = 1;

    text.len = 0;
    if (kind == WORLD_CHILD) {
        assert_int_equal(vmk_mm_fork(t->mm, &mm), 0);
        world_replace(t, mm);
    } else if (kind == WORLD_LOADED) {
        assert_int_equal(vmk_mm_save(&t->mm, 1, vt_sink, &text), 0);
        assert_int_equal(vmk_mm_load(t->system, text.text, text.len, world_find, t, &mm, &nr, NULL), 0);
        world_replace(t, mm);
    }
    if (kind == WORLD_FILLED)
        world_fill(t, 5);
    if (kind == WORLD_TALL)
        world_fill(t, 150);
    if (kind != WORLD_PLAIN)
        vmk_system_quiesce(t->system);
}

/* Makes `the_world`; with `backend` its edits are asked about. An empty one has files alone, random places, and will lock. */
static VT_UNUSED struct vt *world_setup(enum world_kind kind, bool empty, const struct vmk_backend_ops *backend,
                                        void *backend_context)
{
    struct vt *t = &the_world.t;

    memset(&the_world, 0, sizeof(the_world));
    vt_init(t);
    t->system_options.sysctl.hugetlb_free_pages = 8;
    t->system_options.settings.anon_vma_name = 1;
    t->system_options.settings.userfaultfd = 1;
    t->system_options.settings.nr_pkeys = 16;
    t->mm_options.capabilities = UINT32_MAX;
    t->mm_options.backend = backend;
    t->mm_options.backend_context = backend_context;
    if (empty) {
        t->mm_options.personality = 0;
        t->mm_options.seed = 7;
    }
    vt_open(t);
    vmk_mm_set_notice(t->mm, world_notice, NULL);
    world_files(t);
    if (empty) {
        assert_ret(vt_mlockall(t, VMK_MCL_FUTURE), 0);
    } else {
        world_memory(t);
        world_rare(t);
    }
    world_become(t, kind);
    return t;
}

static VT_UNUSED void world_teardown(void)
{
    for (unsigned i = 0; i < 2; i++)
        vmk_file_put(the_world.lent[i]);
    vt_teardown(&the_world.t);
}

/* ---- State ---- */

static VT_UNUSED bool world_count_mapping(void *context, const struct vmk_mapping *mapping)
{
    uint64_t *sums = context;

    sums[0]++;
    sums[1] += mapping->end - mapping->start;
    sums[2] += mapping->offset ^ mapping->start ^ mapping->flags;
    return true;
}

static VT_UNUSED void world_state(struct vt_text *to)
{
    struct vt *t = &the_world.t;

    to->len = 0;
    vmk_mm_dump(t->mm, vt_sink, to);
    vt_print(to, "committed %llu, driver %ld, noticed %lld\n", (unsigned long long)vmk_system_committed(t->system),
             the_world.opened, (long long)the_world.noticed);
    for (unsigned i = 0; i < VT_FILES; i++) {
        uint64_t sums[3] = {0, 0, 0};

        if (t->files[i] == NULL)
            continue;
        vmk_object_mappings(vmk_file_object(t->files[i]), 0, UINT64_MAX, world_count_mapping, sums);
        vt_print(to, "file %u: %llu areas, %llu bytes, %llx\n", i + 1, (unsigned long long)sums[0],
                 (unsigned long long)sums[1], (unsigned long long)sums[2]);
    }
}

static VT_UNUSED bool world_has_line(const struct vt_text *text, const char *line, size_t len)
{
    for (const char *at = text->text; *at != '\0'; at += strcspn(at, "\n") + 1)
        if (strncmp(at, line, len) == 0)
            return true;
    return false;
}

/* The lines of `text` that the other text lacks. */
static VT_UNUSED void world_lines(const struct vt_text *text, const struct vt_text *other, char mark,
                                  struct vt_text *to)
{
    for (const char *at = text->text; *at != '\0'; at += strcspn(at, "\n") + 1) {
        size_t len = strcspn(at, "\n") + 1;

        if (!world_has_line(other, at, len))
            vt_print(to, "%c %.*s", mark, (int)len, at);
    }
}

/* What became of the state. */
static VT_UNUSED void world_difference(const struct vt_text *before, const struct vt_text *after, struct vt_text *to)
{
    world_lines(before, after, '-', to);
    world_lines(after, before, '+', to);
}

#endif
