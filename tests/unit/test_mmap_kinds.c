/* SPDX-License-Identifier: MIT */
/* mmap(2) of every kind of object, with every flag that changes what comes; protection keys and architectures' bits. */
#include "calls.h"

#define HUGE   (UINT64_C(2) << 20)
#define SHARED (VMK_MAP_SHARED | VMK_MAP_FIXED)
#define PRIV   (VMK_MAP_PRIVATE | VMK_MAP_FIXED)
#define ALL    (VMK_FILE_READ | VMK_FILE_WRITE)

static int64_t map(struct vt *t, uint64_t len, uint32_t prot, uint32_t flags, struct vmk_file *file, uint64_t offset)
{
    return vt_mmap_file(t, BASE, len, prot, flags, file, offset);
}

static void test_droppable(void **state)
{
    const uint32_t flags = VMK_MAP_DROPPABLE | VMK_MAP_ANONYMOUS;
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(map(&t, P(2), VT_RW, flags, NULL, 0), BASE);
    assert_map(&t, "10000000-10002000 rw-p nr wf dd dp\n");
    assert_ret(vmk_system_committed(t.system), 0);
    assert_ret(map(&t, P(2), VT_RW, flags | VMK_MAP_LOCKED, NULL, 0), -VMK_EINVAL);
    assert_ret(map(&t, P(2), VT_RW, flags | VMK_MAP_GROWSDOWN, NULL, 0), -VMK_EINVAL);
    assert_ret(map(&t, P(2), VT_RW, VMK_MAP_DROPPABLE, vt_file(&t, 1), 0), -VMK_EINVAL);
    vt_teardown(&t);
    vt_init(&t);
    t.system_options.settings.droppable = 0;
    vt_open(&t);
    assert_ret(map(&t, P(2), VT_RW, flags, NULL, 0), -VMK_EINVAL);
    vt_teardown(&t);
}

static void test_stack_and_growsdown(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(map(&t, P(2), VT_RW, VT_FIXED | VMK_MAP_STACK, NULL, 0), BASE);
    assert_map(&t, "10000000-10002000 rw-p ac nh\n");
    assert_ret(map(&t, P(2), VT_RW, VT_FIXED | VMK_MAP_GROWSDOWN, NULL, 0), BASE);
    assert_map(&t, "10000000-10002000 rw-p gd ac\n");
    assert_ret(map(&t, P(2), VT_RW, SHARED | VMK_MAP_ANONYMOUS | VMK_MAP_GROWSDOWN, NULL, 0), -VMK_EINVAL);
    assert_ret(map(&t, P(2), VT_RW, PRIV | VMK_MAP_GROWSDOWN, vt_file(&t, 1), 0), -VMK_EINVAL);
    assert_ret(map(&t, P(2), VT_RW, VMK_MAP_ANONYMOUS, NULL, 0), -VMK_EINVAL); /* no type */
    assert_map(&t, "10000000-10002000 rw-p gd ac\n"); /* the errors come before anything is cut */
    vt_teardown(&t);
}

static void test_huge_pool(void **state)
{
    const uint32_t flags = VT_FIXED | VMK_MAP_HUGETLB;
    struct vmk_sysctl sysctl;
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.sysctl.hugetlb_free_pages = 4;
    vt_open(&t);
    assert_ret(map(&t, 1, VT_RW, flags, NULL, 0), BASE); /* rounded up to a huge page */
    assert_map(&t, "10000000-10200000 rw-p de ht pgoff=0 file=0\n");
    vmk_system_sysctl(t.system, &sysctl);
    assert_int_equal(sysctl.hugetlb_free_pages, 3);
    assert_ret(vt_mmap_file(&t, 0, 4 * HUGE, VT_RW, VT_ANON | VMK_MAP_HUGETLB, NULL, 0), -VMK_ENOMEM);
    assert_ret(vt_mmap_file(&t, 0, HUGE, VT_RW, VT_ANON | VMK_MAP_HUGETLB | 21u << VMK_MAP_HUGE_SHIFT, NULL, 0),
               0x7ffff7c00000);
    assert_ret(vt_mmap_file(&t, 0, HUGE, VT_RW, VT_ANON | VMK_MAP_HUGETLB | 22u << VMK_MAP_HUGE_SHIFT, NULL, 0),
               -VMK_EINVAL); /* no pages of that size */
    assert_ret(vt_mmap_file(&t, 0, UINT64_MAX, VT_RW, VT_ANON | VMK_MAP_HUGETLB, NULL, 0), -VMK_EINVAL);
    assert_ret(vt_mmap_file(&t, 0, HUGE, VT_RW, VMK_MAP_PRIVATE | VMK_MAP_HUGETLB, vt_file(&t, 1), 0), -VMK_EINVAL);
    assert_ret(vt_mmap_file(&t, 0, 8 * HUGE, VT_RW, VT_ANON | VMK_MAP_HUGETLB | VMK_MAP_NORESERVE, NULL, 0),
               0x7ffff6c00000);
    assert_ret(vt_munmap(&t, BASE, P(1)), -VMK_EINVAL); /* not through a huge page */
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_R), -VMK_EINVAL);
    assert_ret(vt_munmap(&t, BASE, HUGE), 0);
    assert_ret(vt_munmap(&t, 0x7ffff6c00000, 9 * HUGE), 0);
    vmk_system_sysctl(t.system, &sysctl);
    assert_int_equal(sysctl.hugetlb_free_pages, 4);
    vt_teardown(&t);
    vt_init(&t);
    t.system_options.settings.hugetlb = 0;
    vt_open(&t);
    assert_ret(map(&t, 1, VT_RW, flags, NULL, 0), -VMK_EINVAL);
    vt_teardown(&t);
}

static void assert_pool(struct vt *t, uint64_t pages)
{
    struct vmk_sysctl sysctl;

    vmk_system_sysctl(t->system, &sysctl);
    assert_int_equal(sysctl.hugetlb_free_pages, pages);
    vt_validate(t);
}

static void open_with_pool(struct vt *t, uint64_t pages)
{
    vt_init(t);
    t->system_options.sysctl.hugetlb_free_pages = pages;
    vt_open(t);
}

/* Private huge pages: what goes is given back at once, part by part; what comes in its place is charged net. */
static void test_huge_private_pool(void **state)
{
    const uint32_t flags = VT_FIXED | VMK_MAP_HUGETLB;
    const vmk_addr other = BASE + 64 * HUGE;
    struct vt t;

    (void)state;
    open_with_pool(&t, 8);
    assert_ret(map(&t, 4 * HUGE, VT_RW, flags, NULL, 0), BASE);
    assert_pool(&t, 4);
    assert_ret(vt_munmap(&t, BASE + HUGE, HUGE), 0);
    assert_pool(&t, 5);
    assert_ret(vt_mprotect(&t, BASE + 2 * HUGE, HUGE, VT_R), 0);
    assert_pool(&t, 5);
    assert_ret(vt_mmap_file(&t, BASE + 2 * HUGE, HUGE, VT_RW, VT_FIXED, NULL, 0), BASE + 2 * HUGE);
    assert_pool(&t, 6);
    assert_ret(map(&t, 8 * HUGE, VT_RW, flags, NULL, 0), BASE); /* two of the eight lie there already */
    assert_pool(&t, 0);
    assert_ret(map(&t, 8 * HUGE, VT_R, flags, NULL, 0), BASE);
    assert_pool(&t, 0);
    assert_ret(vt_mmap_file(&t, BASE, 9 * HUGE, VT_RW, flags, NULL, 0), -VMK_ENOMEM);
    assert_map(&t, ""); /* the place was cleared before */
    assert_pool(&t, 8);
    assert_ret(map(&t, 4 * HUGE, VT_RW, flags, NULL, 0), BASE);
    assert_ret(vt_mremap(&t, BASE, 4 * HUGE, 3 * HUGE, 0, 0), BASE);
    assert_pool(&t, 5);
    /* The claim moves along; that of the part which stays is lost for ever, as in Linux. */
    assert_ret(vt_mremap(&t, BASE, HUGE, HUGE, VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED, other), other);
    assert_pool(&t, 5);
    assert_ret(vt_munmap(&t, BASE, 3 * HUGE), 0);
    assert_pool(&t, 5);
    assert_ret(vt_mremap(&t, other, HUGE, HUGE, VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED, BASE), BASE);
    assert_pool(&t, 5);
    assert_ret(vt_munmap(&t, BASE, HUGE), 0);
    assert_pool(&t, 6);
    vt_teardown(&t);
}

/* A fork child holds none of it; shared huge pages go with the object; another size has no pool; exit gives back. */
static void test_huge_pool_holders(void **state)
{
    const uint32_t flags = VT_FIXED | VMK_MAP_HUGETLB;
    const uint32_t shared = VMK_MAP_SHARED | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED | VMK_MAP_HUGETLB;
    struct vmk_mm *child;
    struct vt t;

    (void)state;
    open_with_pool(&t, 8);
    assert_ret(
        vt_mmap_file(&t, 0, UINT64_C(1) << 30, VT_RW, VT_ANON | VMK_MAP_HUGETLB | 30u << VMK_MAP_HUGE_SHIFT, NULL, 0),
        -VMK_ENOMEM);
    assert_ret(map(&t, 2 * HUGE, VT_RW, flags, NULL, 0), BASE);
    assert_int_equal(vmk_mm_fork(t.mm, &child), 0);
    assert_pool(&t, 6);
    vmk_mm_put(child);
    vmk_system_quiesce(t.system);
    assert_pool(&t, 6);
    assert_int_equal(vmk_mm_fork(t.mm, &child), 0);
    assert_ret(vt_munmap(&t, BASE, 2 * HUGE), 0);
    assert_pool(&t, 8); /* the child's pages, if it has any, are the embedder's to count */
    vmk_mm_put(child);
    assert_ret(vt_mmap_file(&t, BASE, 4 * HUGE, VT_RW, shared, NULL, 0), BASE);
    assert_pool(&t, 4);
    assert_ret(vt_munmap(&t, BASE, HUGE), 0);
    assert_pool(&t, 4);
    assert_ret(vt_munmap(&t, BASE, 4 * HUGE), 0);
    vmk_system_quiesce(t.system);
    assert_pool(&t, 8);
    assert_ret(map(&t, 3 * HUGE, VT_RW, flags, NULL, 0), BASE);
    assert_pool(&t, 5);
    vmk_mm_exit(t.mm);
    assert_pool(&t, 8);
    vt_teardown(&t);
}

static void test_file_modes(void **state)
{
    struct vmk_file *file;
    struct vt t;

    (void)state;
    vt_setup(&t);
    file = vt_file_mode(&t, 1, VMK_OBJECT_REGULAR, VMK_FILE_READ, 0);
    assert_ret(map(&t, P(1), VT_RW, SHARED, file, 0), -VMK_EACCES);
    assert_ret(map(&t, P(1), VT_R, SHARED, file, 0), BASE); /* as private in all but name */
    assert_map(&t, "10000000-10001000 r--s !mw !sh pgoff=0 file=1\n");
    assert_ret(map(&t, P(1), VT_RW, PRIV, file, 0), BASE);
    assert_map(&t, "10000000-10001000 rw-p ac pgoff=0 file=1\n");
    file = vt_file_mode(&t, 2, VMK_OBJECT_REGULAR, VMK_FILE_WRITE, 0);
    assert_ret(map(&t, P(1), VT_R, SHARED, file, 0), -VMK_EACCES);
    file = vt_file_mode(&t, 3, VMK_OBJECT_REGULAR, ALL | VMK_FILE_NOEXEC, 0);
    assert_ret(map(&t, P(1), VT_RX, PRIV, file, 0), -VMK_EPERM);
    assert_ret(map(&t, P(1), VT_R, PRIV, file, 0), BASE);
    assert_map(&t, "10000000-10001000 r--p !me pgoff=0 file=3\n");
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_RX), -VMK_EACCES);
    file = vt_file_mode(&t, 4, VMK_OBJECT_REGULAR, ALL | VMK_FILE_PATH, 0);
    assert_ret(map(&t, P(1), VT_R, PRIV, file, 0), -VMK_EBADF);
    file = vt_file_mode(&t, 5, VMK_OBJECT_NONE, ALL, 0);
    assert_ret(map(&t, P(1), VT_R, PRIV, file, 0), -VMK_ENODEV);
    file = vt_file_mode(&t, 6, VMK_OBJECT_REGULAR, ALL | VMK_FILE_SYNC, 0);
    assert_ret(map(&t, P(1), VT_R, VMK_MAP_SHARED_VALIDATE | VMK_MAP_FIXED | VMK_MAP_SYNC, file, 0),
               -VMK_ERR_UNSUPPORTED);
    file = vt_file(&t, 7);
    assert_ret(map(&t, P(1), VT_R, VMK_MAP_SHARED_VALIDATE | VMK_MAP_FIXED | 0x1000000u, file, 0), -VMK_EOPNOTSUPP);
    vt_teardown(&t);
}

static void test_offsets(void **state)
{
    struct vmk_file *file;
    struct vt t;

    (void)state;
    vt_setup(&t);
    file = vt_file(&t, 1);
    assert_ret(map(&t, P(1), VT_R, PRIV, file, 1), -VMK_EINVAL);
    assert_ret(map(&t, P(2), VT_R, PRIV, file, UINT64_C(0x7ffffffffffff000)), -VMK_EOVERFLOW);
    assert_ret(map(&t, P(2), VT_R, PRIV, file, UINT64_MAX - 4095), -VMK_EOVERFLOW);
    assert_ret(map(&t, P(1), VT_R, PRIV, file, UINT64_C(0x7fffffffffffe000)), BASE);
    assert_map(&t, "10000000-10001000 r--p pgoff=7fffffffffffe file=1\n");
    assert_ret(vt_mmap_file(&t, BASE, UINT64_MAX, VT_R, VT_ANON, NULL, 0), -VMK_ENOMEM);
    assert_ret(vt_mmap_file(&t, BASE, 0, VT_R, VT_ANON, NULL, 0), -VMK_EINVAL);
    vt_teardown(&t);
}

static void test_seals(void **state)
{
    struct vmk_file *file;
    struct vt t;

    (void)state;
    vt_setup(&t);
    file = vt_file_mode(&t, 1, VMK_OBJECT_SHMEM, ALL, VMK_SEAL_FUTURE_WRITE);
    assert_ret(map(&t, P(1), VT_RW, SHARED, file, 0), -VMK_EPERM);
    assert_ret(map(&t, P(1), VT_R, SHARED, file, 0), BASE);
    assert_map(&t, "10000000-10001000 r--s !mw pgoff=0 file=1\n");
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_RW), -VMK_EACCES);
    assert_ret(map(&t, P(1), VT_RW, PRIV, file, 0), BASE);
    assert_map(&t, "10000000-10001000 rw-p ac pgoff=0 file=1\n");
    vt_teardown(&t);
}

static void test_secret(void **state)
{
    struct vmk_rlimits rlimits;
    struct vmk_file *file;
    struct vt t;

    (void)state;
    vt_setup(&t);
    file = vt_file_mode(&t, 1, VMK_OBJECT_SECRET, ALL, 0);
    assert_ret(map(&t, P(1), VT_RW, VMK_MAP_PRIVATE, file, 0), -VMK_EINVAL);
    vmk_mm_get_rlimits(t.mm, &rlimits);
    rlimits.memlock.soft = P(1);
    vmk_mm_set_rlimits(t.mm, &rlimits);
    assert_ret(map(&t, P(2), VT_RW, VMK_MAP_SHARED, file, 0), -VMK_EAGAIN);
    assert_ret(map(&t, P(1), VT_RW, VMK_MAP_SHARED, file, 0), BASE);
    assert_map(&t, "10000000-10001000 rw-s lo dd pgoff=0 file=1\n");
    vt_teardown(&t);
}

static void test_zero(void **state)
{
    struct vmk_file *file;
    struct vt t;

    (void)state;
    vt_setup(&t);
    file = vt_file_kind(&t, 1, VMK_OBJECT_ZERO, 0);
    assert_ret(map(&t, P(2), VT_RW, PRIV, file, P(5)), BASE);
    assert_ret(vt_mmap_file(&t, BASE + P(4), P(1), VT_RW, SHARED, file, 0), BASE + P(4)); /* an object of its own */
    assert_map(&t, "10000000-10002000 rw-p ac pgoff=5 file=1\n10004000-10005000 rw-s pgoff=0 file=0\n");
    assert_ret(vmk_system_committed(t.system), 3);
    assert_ret(vt_munmap(&t, BASE, P(8)), 0);
    assert_ret(vmk_system_committed(t.system), 0);
    vt_teardown(&t);
}

/* ---- A driver's hook ---- */

static int hook_error;
static bool hook_alters;
static const struct vmk_vm_ops driver_ops = {.size = sizeof(driver_ops)};

static int driver_mmap(struct vmk_file *file, struct vmk_mmap_description *description)
{
    assert_ptr_equal(description->file, file);
    if (hook_alters) {
        description->pgoff = 0x1234;
        description->flags |= VMK_VM_IO | VMK_VM_PFNMAP | VMK_VM_DONTDUMP | VMK_VM_EXEC; /* EXEC: not its to give */
        description->ops = &driver_ops;
        description->private_data = &hook_alters;
    }
    return hook_error;
}

static struct vmk_file *driver(struct vt *t)
{
    static const struct vmk_file_ops ops = {.size = sizeof(ops), .mmap = driver_mmap};
    const struct vmk_object_options object_options = {
        .size = sizeof(object_options), .kind = VMK_OBJECT_DEVICE, .id = 1};
    struct vmk_object *object;

    if (t->files[0] != NULL)
        return t->files[0];
    assert_ret(vmk_object_create(t->system, &object_options, &object), 0);
    const struct vmk_file_options options = {
        .size = sizeof(options), .object = object, .mode = ALL, .ops = &ops, .name = "/dev/d", .id = 1};
    assert_ret(vmk_file_create(t->system, &options, &t->files[0]), 0);
    vmk_object_put(object);
    return t->files[0];
}

static void test_driver(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    hook_error = 0;
    hook_alters = false;
    assert_ret(map(&t, P(2), VT_RW, SHARED, driver(&t), P(3)), BASE);
    assert_map(&t, "10000000-10002000 rw-s pgoff=3 file=1\n");
    hook_alters = true;
    assert_ret(map(&t, P(2), VT_RW, SHARED | VMK_MAP_LOCKED, driver(&t), P(3)), BASE); /* I/O memory is never locked */
    assert_map(&t, "10000000-10002000 rw-s pf io dd pgoff=1234 file=1\n");
    vmk_mm_lock_read(t.mm);
    assert_ptr_equal(vmk_vma_ops(vmk_mm_find(t.mm, BASE)), &driver_ops);
    assert_ptr_equal(vmk_vma_private_data(vmk_mm_find(t.mm, BASE)), &hook_alters);
    vmk_mm_unlock_read(t.mm);
    hook_error = -VMK_EINVAL;
    assert_ret(vt_mmap_file(&t, 0, P(1), VT_RW, VMK_MAP_SHARED, driver(&t), 0), -VMK_EINVAL);
    vt_anon(&t, BASE + P(1), P(3), VT_R);
    assert_ret(vt_mmap_file(&t, BASE + P(2), P(1), VT_RW, PRIV, driver(&t), 0), -VMK_EINVAL);
    /* What was mapped there is gone by then. */
    assert_map(&t,
               "10000000-10001000 rw-s pf io dd pgoff=1234 file=1\n10001000-10002000 r--p\n10003000-10004000 r--p\n");
    assert_ret(vmk_system_committed(t.system), 0);
    vt_teardown(&t);
}

/* ---- What a whole address space asks for ---- */

static void test_read_implies_exec(void **state)
{
    struct vmk_file *file;
    struct vt t;

    (void)state;
    vt_setup(&t);
    file = vt_file_mode(&t, 1, VMK_OBJECT_REGULAR, ALL | VMK_FILE_NOEXEC, 0);
    vmk_mm_set_personality(t.mm, VMK_READ_IMPLIES_EXEC | VMK_ADDR_NO_RANDOMIZE);
    vt_anon(&t, BASE, P(1), VT_R);
    assert_ret(vt_mmap_file(&t, BASE + P(1), P(1), VT_R, PRIV, file, 0), BASE + P(1));
    vt_anon(&t, BASE + P(2), P(1), VMK_PROT_NONE);
    assert_map(&t, "10000000-10001000 r-xp\n10001000-10002000 r--p !me pgoff=0 file=1\n10002000-10003000 ---p\n");
    assert_ret(vt_mprotect(&t, BASE, P(3), VT_RW), 0);
    assert_map(&t,
               "10000000-10001000 rwxp ac\n10001000-10002000 rw-p ac !me pgoff=0 file=1\n10002000-10003000 rwxp ac\n");
    vt_teardown(&t);
}

static void test_memory_merge(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(vt_option(&t, VMK_OPTION_MEMORY_MERGE, 1), 0);
    vt_anon(&t, BASE, P(1), VT_RW);
    vt_map_file(&t, BASE + P(2), P(1), VT_R, VMK_MAP_SHARED, vt_file(&t, 1), 0);
    vt_map_file(&t, BASE + P(4), P(1), VT_RW, VMK_MAP_PRIVATE, vt_file_kind(&t, 2, VMK_OBJECT_ZERO, 0), 0);
    assert_map(&t, "10000000-10001000 rw-p ac mg\n10002000-10003000 r--s pgoff=0 file=1\n"
                   "10004000-10005000 rw-p ac mg pgoff=0 file=2\n");
    vt_teardown(&t);
}

static void test_mdwe(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(vt_option(&t, VMK_OPTION_MDWE, VMK_MDWE_REFUSE_EXEC_GAIN), 0);
    assert_ret(map(&t, P(1), VT_RW | VMK_PROT_EXEC, VT_FIXED, NULL, 0), -VMK_EACCES);
    assert_ret(map(&t, P(1), VT_RX, VT_FIXED, NULL, 0), BASE);
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_RW | VMK_PROT_EXEC), -VMK_EACCES);
    assert_map(&t, "10000000-10001000 r-xp\n");
    vt_teardown(&t);
}

static void test_soft_dirty(void **state)
{
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.settings.soft_dirty = 1;
    vt_open(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    assert_map(&t, "10000000-10001000 rw-p ac sd\n");
    vt_teardown(&t);
}

/* ---- Protection keys and the bits of arm64 ---- */

static vmk_vm_flags flags_at(struct vt *t, vmk_addr address)
{
    struct vmk_vma_info info = {.size = sizeof(info)};

    assert_ret(vmk_mm_lookup(t->mm, address, &info), 0);
    return info.flags;
}

static unsigned key_at(struct vt *t, vmk_addr address)
{
    return (unsigned)((flags_at(t, address) & VMK_VM_PKEY_MASK) >> VMK_VM_PKEY_SHIFT);
}

static int64_t pkey_mprotect(struct vt *t, vmk_addr address, uint64_t len, uint64_t prot, int pkey)
{
    const struct vmk_mprotect_request request = {.address = address, .len = len, .prot = prot, .pkey = pkey};

    return vt_return(t, vmk_mprotect(t->mm, &request, &t->result));
}

static void test_keys(void **state)
{
    const struct vmk_pkey_request alloc = {.rights = 0};
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.settings.nr_pkeys = 4;
    vt_open(&t);
    vt_anon(&t, BASE, P(4), VT_RW);
    assert_ret(pkey_mprotect(&t, BASE, P(1), VT_RW, 1), -VMK_EINVAL); /* not allocated */
    assert_ret(pkey_mprotect(&t, BASE, P(1), VT_RW, 4), -VMK_EINVAL);
    assert_ret(pkey_mprotect(&t, BASE, P(1), VT_RW, -2), -VMK_EINVAL);
    assert_ret(vt_return(&t, vmk_pkey(t.mm, &alloc, &t.result)), 1);
    assert_ret(pkey_mprotect(&t, BASE, P(1), VT_RW, 1), 0);
    assert_int_equal(key_at(&t, BASE), 1);
    assert_int_equal(key_at(&t, BASE + P(1)), 0);
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_R), 0); /* keeps its key */
    assert_int_equal(key_at(&t, BASE), 1);
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VMK_PROT_EXEC), 0); /* a key that forbids reading */
    assert_int_equal(key_at(&t, BASE + P(1)), 2);
    assert_ret(vt_mmap_file(&t, BASE + P(6), P(1), VMK_PROT_EXEC, VT_FIXED, NULL, 0), BASE + P(6));
    assert_int_equal(key_at(&t, BASE + P(6)), 2);
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_RW), 0); /* goes with the protection */
    assert_int_equal(key_at(&t, BASE + P(1)), 0);
    assert_ret(pkey_mprotect(&t, BASE, P(1), VT_RW, 0), 0);
    assert_int_equal(key_at(&t, BASE), 0);
    vt_teardown(&t);
    vt_setup(&t); /* a processor without keys */
    vt_anon(&t, BASE, P(1), VMK_PROT_EXEC);
    assert_int_equal(key_at(&t, BASE), 0);
    assert_ret(pkey_mprotect(&t, BASE, P(1), VT_RW, 0), -VMK_EINVAL);
    vt_teardown(&t);
}

static void test_arm64_bits(void **state)
{
    struct vt t;

    (void)state;
    vt_init(&t);
    vmk_settings_init(&t.system_options.settings, VMK_LINUX_VERSION(6, 18), VMK_ARCH_ARM64);
    t.system_options.settings.bti = 1;
    t.system_options.settings.mte = 1;
    vt_open(&t);
    vt_anon(&t, BASE, P(2), VT_RX | VMK_PROT_BTI);
    assert_true((flags_at(&t, BASE) & VMK_VM_BTI) != 0);
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_RX), 0);
    assert_true((flags_at(&t, BASE) & VMK_VM_BTI) == 0);
    assert_true((flags_at(&t, BASE + P(1)) & VMK_VM_BTI) != 0);
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_RX | VMK_PROT_BTI), 0);
    assert_true((flags_at(&t, BASE) & VMK_VM_BTI) != 0);
    vt_map_file(&t, BASE + P(8), P(1), VT_R, VMK_MAP_PRIVATE, vt_file(&t, 1), 0);
    assert_ret(vt_mprotect(&t, BASE + P(8), P(1), VT_R | VMK_PROT_MTE), -VMK_EINVAL);
    vt_anon(&t, BASE + P(12), P(1), VT_R);
    assert_ret(vt_mprotect(&t, BASE + P(12), P(1), VT_R | VMK_PROT_MTE), 0);
    assert_true((flags_at(&t, BASE + P(12)) & VMK_VM_MTE) != 0);
    assert_ret(vt_mmap_file(&t, BASE + P(16), P(1), VT_R | VMK_PROT_MTE, VT_FIXED, NULL, 0), BASE + P(16));
    assert_ret(vt_mmap_file(&t, BASE + P(20), P(1), VT_R | VMK_PROT_MTE, VMK_MAP_SHARED | VMK_MAP_FIXED,
                            vt_file_kind(&t, 2, VMK_OBJECT_SHMEM, P(8)), 0),
               BASE + P(20));
    assert_true((flags_at(&t, BASE + P(20)) & VMK_VM_MTE) != 0);
    assert_ret(
        vt_mmap_file(&t, BASE + P(24), P(1), VT_R | VMK_PROT_MTE, VMK_MAP_PRIVATE | VMK_MAP_FIXED, vt_file(&t, 1), 0),
        -VMK_EINVAL);
    const struct vmk_import_area area = {
        .start = BASE + P(28), .end = BASE + P(29), .flags = VMK_VM_READ | VMK_VM_MAY_ACCESS};
    assert_int_equal(vmk_mm_import(t.mm, &area), 0);
    assert_ret(vt_mprotect(&t, BASE + P(28), P(1), VT_R | VMK_PROT_MTE), 0);
    const struct vmk_map_special_request vdso = {
        .address = BASE + P(32), .len = P(1), .flags = VMK_VM_READ | VMK_VM_MAY_ACCESS, .special_name = "[vdso]"};
    assert_ret(vt_return(&t, vmk_map_special(t.mm, &vdso, &t.result)), BASE + P(32));
    assert_ret(vt_mprotect(&t, BASE + P(32), P(1), VT_R | VMK_PROT_MTE), -VMK_EINVAL);
    vt_teardown(&t);
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RX | VMK_PROT_BTI); /* ignored where it is not known; mprotect refuses it */
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_RX | VMK_PROT_BTI), -VMK_EINVAL);
    vt_teardown(&t);
}

static void test_grows_requests(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_R | VMK_PROT_GROWSDOWN), -VMK_ENOMEM);
    assert_ret(map(&t, P(4), VT_RW, VT_FIXED | VMK_MAP_GROWSDOWN, NULL, 0), BASE);
    assert_ret(vt_mprotect(&t, BASE - P(2), P(1), VT_R | VMK_PROT_GROWSDOWN), -VMK_ENOMEM);
    assert_ret(vt_mprotect(&t, BASE + P(2), P(1), VT_R | VMK_PROT_GROWSDOWN), 0); /* from the stack's start */
    assert_map(&t, "10000000-10003000 r--p gd\n10003000-10004000 rw-p gd ac\n");
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_R | VMK_PROT_GROWSUP), -VMK_EINVAL);
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_R | VMK_PROT_GROWSUP | VMK_PROT_GROWSDOWN), -VMK_EINVAL);
    vt_anon(&t, BASE, P(4), VT_RW);
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_R | VMK_PROT_GROWSDOWN), -VMK_EINVAL);
    vt_teardown(&t);
}

/* ---- Memory that runs out ---- */

static void prepare_pool(struct vt *t)
{
    struct vmk_sysctl sysctl;

    vmk_system_sysctl(t->system, &sysctl);
    sysctl.hugetlb_free_pages = 4;
    assert_ret(vmk_system_set_sysctl(t->system, &sysctl), 0);
}

static int64_t map_huge(struct vt *t)
{
    return map(t, HUGE, VT_RW, VT_FIXED | VMK_MAP_HUGETLB, NULL, 0);
}

static void prepare_driver(struct vt *t)
{
    hook_error = 0;
    hook_alters = true;
    driver(t);
    vt_anon(t, BASE, P(4), VT_R);
}

static int64_t map_driver(struct vt *t)
{
    return vt_mmap_file(t, BASE + P(1), P(2), VT_RW, SHARED, driver(t), 0);
}

static int64_t map_shared(struct vt *t)
{
    return map(t, P(2), VT_RW, SHARED | VMK_MAP_ANONYMOUS, NULL, 0);
}

static void test_failing_allocations(void **state)
{
    (void)state;
    assert_true(vt_fail_each(prepare_pool, map_huge, false) > 0);
    assert_true(vt_fail_each(prepare_driver, map_driver, false) > 0);
    assert_true(vt_fail_each(NULL, map_shared, false) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_droppable),
        cmocka_unit_test(test_stack_and_growsdown),
        cmocka_unit_test(test_huge_pool),
        cmocka_unit_test(test_huge_private_pool),
        cmocka_unit_test(test_huge_pool_holders),
        cmocka_unit_test(test_file_modes),
        cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_seals),
        cmocka_unit_test(test_secret),
        cmocka_unit_test(test_zero),
        cmocka_unit_test(test_driver),
        cmocka_unit_test(test_read_implies_exec),
        cmocka_unit_test(test_memory_merge),
        cmocka_unit_test(test_mdwe),
        cmocka_unit_test(test_soft_dirty),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_arm64_bits),
        cmocka_unit_test(test_grows_requests),
        cmocka_unit_test(test_failing_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
