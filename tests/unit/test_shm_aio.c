/* SPDX-License-Identifier: MIT */
/*
 * test_shm_aio.c - shmat, shmdt, remap_file_pages, the ring of io_setup, and the kernel's special mappings: each map is
 * what Linux 6.18 shows after the same calls.
 */
#include "calls.h"
#include "support.h"

#define A(n) (UINT64_C(0x100000) + P(n))

static struct vt t;
static struct vmk_object *segments[2];

static void create_segments(void)
{
    for (uint64_t i = 0; i < 2; i++) {
        const struct vmk_object_options options = {
            .size = sizeof(options), .kind = VMK_OBJECT_SHMEM, .id = 10 + i, .nr_bytes = P(4) - (i != 0 ? 0xfff : 0)};

        assert_int_equal(vmk_object_create(t.system, &options, &segments[i]), 0);
    }
}

static int setup(void **state)
{
    (void)state;
    vt_setup(&t);
    create_segments();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++)
        vmk_object_put(segments[i]);
    vt_teardown(&t);
    return 0;
}

/* The file of one attachment; the caller has its reference. */
static struct vmk_file *attachment(struct vt *vt, struct vmk_object *segment, uint32_t mode)
{
    const struct vmk_file_options options = {.size = sizeof(options),
                                             .object = segment,
                                             .mode = mode,
                                             .name = "/SYSV00000000 (deleted)",
                                             .id = vmk_object_id(segment)};
    struct vmk_file *file;

    assert_int_equal(vmk_file_create(vt->system, &options, &file), 0);
    return file;
}

static int64_t shmat_at(unsigned i, vmk_addr address, uint32_t flags)
{
    const uint32_t mode = (flags & VMK_SHM_RDONLY) != 0 ? VMK_FILE_READ : VMK_FILE_READ | VMK_FILE_WRITE;
    struct vmk_file *file = attachment(&t, segments[i], mode);
    const struct vmk_shmat_request request = {
        .file = file, .size = vmk_object_nr_bytes(segments[i]), .address = address, .flags = flags};
    int64_t value = vt_return(&t, vmk_shmat(t.mm, &request, &t.result));

    vmk_file_put(file);
    return value;
}

static int64_t shmdt_at(vmk_addr address)
{
    const struct vmk_shmdt_request request = {.address = address};

    return vt_return(&t, vmk_shmdt(t.mm, &request, &t.result));
}

/* ---- shmat ---- */

static void test_shmat_flags(void **state)
{
    (void)state;
    assert_ret(shmat_at(0, A(0x10), 0), A(0x10));
    assert_ret(shmat_at(0, A(0x14), 0), A(0x14)); /* each is a file of its own: they do not merge */
    assert_ret(shmat_at(0, A(0x20) + 0x800, VMK_SHM_RND), A(0x20));
    assert_ret(shmat_at(0, A(0x30), VMK_SHM_RDONLY), A(0x30));
    assert_ret(shmat_at(0, A(0x34), VMK_SHM_EXEC), A(0x34));
    assert_ret(shmat_at(1, 0, VMK_SHM_RDONLY | VMK_SHM_EXEC), UINT64_C(0x7ffff7ffb000));
    assert_ret(shmat_at(0, A(0x32), VMK_SHM_REMAP), A(0x32));
    assert_map(&t, "110000-114000 rw-s pgoff=0 file=10\n"
                   "114000-118000 rw-s pgoff=0 file=10\n"
                   "120000-124000 rw-s pgoff=0 file=10\n"
                   "130000-132000 r--s !mw !sh pgoff=0 file=10\n"
                   "132000-136000 rw-s pgoff=0 file=10\n"
                   "136000-138000 rwxs pgoff=2 file=10\n"
                   "7ffff7ffb000-7ffff7fff000 r-xs !mw !sh pgoff=0 file=11\n");
    assert_ret(vt_mprotect(&t, A(0x30), P(1), VT_RW), -VMK_EACCES);
}

static void test_shmat_errors(void **state)
{
    (void)state;
    vt_anon(&t, A(0x10), P(2), VT_RW);
    assert_ret(shmat_at(0, A(0x0e), 0), -VMK_EINVAL);
    assert_ret(shmat_at(0, A(0x11), 0), -VMK_EINVAL);
    assert_ret(shmat_at(0, A(0x20) + 0x800, 0), -VMK_EINVAL);
    assert_ret(shmat_at(0, 0, VMK_SHM_REMAP), -VMK_EINVAL);
    assert_ret(shmat_at(0, 0x800, VMK_SHM_RND | VMK_SHM_REMAP), -VMK_EINVAL);
    assert_ret(shmat_at(0, 0x800, 0), -VMK_EINVAL);
    assert_ret(shmat_at(0, 0x800, VMK_SHM_RND), -VMK_EPERM); /* rounded to 0, and mapped there if it may be */
    assert_ret(shmat_at(0, UINT64_MAX - 0xfff, 0), -VMK_EINVAL);
    assert_ret(shmat_at(0, UINT64_MAX - 0xfff, VMK_SHM_REMAP), -VMK_ENOMEM);
    assert_ret(shmat_at(0, UINT64_C(0x7ffffffff000), 0), -VMK_ENOMEM);
    assert_ret(vt_mseal(&t, A(0x10), P(1), 0), 0);
    assert_ret(shmat_at(0, A(0x10), VMK_SHM_REMAP), -VMK_EPERM);
    vmk_mm_set_capabilities(t.mm, VMK_CAP_SYS_RAWIO);
    assert_ret(shmat_at(0, 0x800, VMK_SHM_RND), 0);
    assert_map(&t, "0-4000 rw-s pgoff=0 file=10\n"
                   "110000-111000 rw-p ac sl\n"
                   "111000-112000 rw-p ac\n");
}

/* ---- shmdt ---- */

static void test_shmdt_pieces(void **state)
{
    (void)state;
    assert_ret(shmat_at(0, A(0x10), 0), A(0x10));
    assert_ret(shmat_at(0, A(0x14), 0), A(0x14));
    /* Pieces stay apart, also when they are alike again. */
    assert_ret(vt_mprotect(&t, A(0x12), P(1), VT_R), 0);
    assert_ret(vt_mprotect(&t, A(0x12), P(1), VT_RW), 0);
    assert_map(&t, "110000-112000 rw-s pgoff=0 file=10\n"
                   "112000-113000 rw-s pgoff=2 file=10\n"
                   "113000-114000 rw-s pgoff=3 file=10\n"
                   "114000-118000 rw-s pgoff=0 file=10\n");
    vt_anon(&t, A(0x11), P(1), VT_RW);
    assert_ret(shmdt_at(A(0x12)), -VMK_EINVAL);
    assert_ret(shmdt_at(A(0x10) + 1), -VMK_EINVAL);
    assert_ret(shmdt_at(A(0x10)), 0);
    assert_map(&t, "111000-112000 rw-p ac\n"
                   "114000-118000 rw-s pgoff=0 file=10\n");
    assert_ret(shmdt_at(A(0x10)), -VMK_EINVAL);
}

static void test_shmdt_moved(void **state)
{
    (void)state;
    /* The beginning may be gone: what would lie at its place counts, however far above. */
    assert_ret(shmat_at(0, A(0x10), 0), A(0x10));
    assert_ret(vt_munmap(&t, A(0x10), P(3)), 0);
    assert_ret(shmdt_at(A(0x13)), -VMK_EINVAL);
    assert_ret(vt_mremap(&t, A(0x13), P(1), P(1), VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED, A(0x203)), A(0x203));
    assert_ret(shmdt_at(A(0x200)), 0);
    assert_map(&t, "");
    /* Of a grown one only the first piece may reach over the segment's end. */
    assert_ret(shmat_at(0, A(0x20), 0), A(0x20));
    assert_ret(vt_mremap(&t, A(0x20), P(4), P(8), 0, 0), A(0x20));
    assert_ret(vt_mprotect(&t, A(0x23), P(3), VT_R), 0);
    assert_ret(shmdt_at(A(0x20)), 0);
    assert_map(&t, "123000-126000 r--s pgoff=3 file=10\n"
                   "126000-128000 rw-s pgoff=6 file=10\n");
    /* Other attachments of the segment are not touched. */
    assert_ret(shmat_at(0, A(0x30), 0), A(0x30));
    assert_ret(shmat_at(0, A(0x40), 0), A(0x40));
    assert_ret(vt_mremap(&t, A(0x42), P(2), P(2), VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED, A(0x32)), A(0x32));
    assert_ret(shmdt_at(A(0x30)), 0);
    assert_map(&t, "123000-126000 r--s pgoff=3 file=10\n"
                   "126000-128000 rw-s pgoff=6 file=10\n"
                   "132000-134000 rw-s pgoff=2 file=10\n"
                   "140000-142000 rw-s pgoff=0 file=10\n");
}

/* What is sealed stays, and is no error. */
static void test_shmdt_sealed(void **state)
{
    (void)state;
    assert_ret(shmat_at(0, A(0x10), 0), A(0x10));
    assert_ret(vt_mseal(&t, A(0x11), P(1), 0), 0);
    assert_ret(shmdt_at(A(0x10)), 0);
    assert_map(&t, "111000-112000 rw-s sl pgoff=1 file=10\n");
    assert_ret(shmdt_at(A(0x10)), 0);
}

static void test_shm_moves_alone(void **state)
{
    (void)state;
    assert_ret(shmat_at(0, A(0x10), 0), A(0x10));
    vt_anon(&t, A(0x14), P(2), VT_RW);
    assert_ret(vt_mremap(&t, A(0x10), P(6), P(6), VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED, A(0x20)), -VMK_EFAULT);
    assert_ret(vt_mremap(&t, A(0x10), 0, P(4), VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED, A(0x20)), A(0x20));
    assert_ret(shmdt_at(A(0x20)), 0);
    assert_ret(shmdt_at(A(0x10)), 0);
}

/* ---- remap_file_pages ---- */

static int64_t remap_pages(vmk_addr address, uint64_t size, uint64_t pgoff)
{
    const struct vmk_remap_file_pages_request request = {.address = address, .size = size, .pgoff = pgoff};

    return vt_return(&t, vmk_remap_file_pages(t.mm, &request, &t.result));
}

static void map_file(struct vt *vt, unsigned page, unsigned nr, uint32_t prot, uint32_t flags, unsigned offset)
{
    assert_ret(vt_mmap_file(vt, A(page), P(nr), prot, flags | VMK_MAP_FIXED, vt_file(vt, 1), P(offset)), A(page));
}

static void test_remap_file_pages(void **state)
{
    (void)state;
    map_file(&t, 0x10, 8, VT_RW, VMK_MAP_SHARED, 0);
    assert_ret(remap_pages(A(0x12), P(2), 5), 0);
    assert_ret(remap_pages(A(0x12) + 0x800, P(1) + 0xfff, 11), 0); /* both are rounded down */
    assert_map(&t, "110000-112000 rw-s pgoff=0 file=1\n"
                   "112000-113000 rw-s pgoff=b file=1\n"
                   "113000-114000 rw-s pgoff=6 file=1\n"
                   "114000-118000 rw-s pgoff=4 file=1\n");
    /* Over several areas that differ in the offset alone; back in order they merge. */
    assert_ret(remap_pages(A(0x10), P(8), 0), 0);
    assert_map(&t, "110000-118000 rw-s pgoff=0 file=1\n");
    assert_ret(remap_pages(A(0x10), 0xfff, 3), -VMK_EINVAL);
    assert_ret(remap_pages(A(0x10), UINT64_MAX, 3), -VMK_EINVAL);
    assert_ret(remap_pages(A(0x0f), P(1), 3), -VMK_EINVAL);
    assert_ret(remap_pages(A(0x16), P(4), 3), -VMK_EINVAL);
    assert_ret(remap_pages(A(0x10), P(2), UINT64_MAX), -VMK_EINVAL);
    assert_ret(remap_pages(A(0x10), P(2), UINT64_C(0xfffffffffffffff)), -VMK_EOVERFLOW);
    const struct vmk_remap_file_pages_request with_prot = {.address = A(0x10), .size = P(2), .prot = 1};
    assert_ret(vt_return(&t, vmk_remap_file_pages(t.mm, &with_prot, &t.result)), -VMK_EINVAL);
}

/* What is remapped is one file without a gap, whatever else its areas agree in. */
static void test_remap_file_pages_uniform(void **state)
{
    (void)state;
    map_file(&t, 0x10, 2, VT_RW, VMK_MAP_SHARED, 0);
    map_file(&t, 0x12, 2, VT_RW, VMK_MAP_SHARED, 8);
    assert_ret(remap_pages(A(0x10), P(5), 3), -VMK_EINVAL); /* nothing follows */
    map_file(&t, 0x15, 2, VT_RW, VMK_MAP_SHARED, 5);
    assert_ret(remap_pages(A(0x10), P(5), 3), -VMK_EINVAL);
    assert_ret(remap_pages(A(0x10), P(6), 3), -VMK_EINVAL);
    assert_ret(vt_mmap_file(&t, A(0x14), P(1), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, vt_file(&t, 2), P(4)), A(0x14));
    assert_ret(remap_pages(A(0x10), P(5), 3), -VMK_EINVAL); /* another file */
    map_file(&t, 0x14, 1, VT_R, VMK_MAP_SHARED, 4);
    assert_ret(remap_pages(A(0x10), P(5), 3), -VMK_EINVAL); /* other rights */
    map_file(&t, 0x14, 1, VT_RW, VMK_MAP_SHARED, 20);
    assert_ret(remap_pages(A(0x11), P(4), 3), 0);
    assert_map(&t, "110000-111000 rw-s pgoff=0 file=1\n"
                   "111000-115000 rw-s pgoff=3 file=1\n"
                   "115000-117000 rw-s pgoff=5 file=1\n");
}

/* The limit of locked memory is looked at before the file: an offset beyond all files comes second. */
static void test_remap_file_pages_locked(void **state)
{
    struct vmk_rlimits rlimits;

    (void)state;
    map_file(&t, 0x10, 4, VT_RW, VMK_MAP_SHARED, 0);
    vmk_mm_set_capabilities(t.mm, 0);
    vmk_mm_get_rlimits(t.mm, &rlimits);
    rlimits.memlock = (struct vmk_rlimit){.soft = P(5), .hard = P(5)};
    vmk_mm_set_rlimits(t.mm, &rlimits);
    assert_ret(vt_mlock(&t, A(0x10), P(4)), 0);
    assert_ret(remap_pages(A(0x10), P(2), 1), -VMK_EAGAIN);
    assert_ret(remap_pages(A(0x10), P(2), UINT64_C(1) << 52), -VMK_EAGAIN);
    assert_ret(remap_pages(A(0x10), P(1), UINT64_C(1) << 52), -VMK_EOVERFLOW);
    assert_ret(remap_pages(A(0x10), P(1), 1), 0);
}

static void test_remap_file_pages_flags(void **state)
{
    (void)state;
    /* What mmap does not give is lost; what it does not take is kept. */
    map_file(&t, 0x10, 4, VT_R, VMK_MAP_SHARED | VMK_MAP_NORESERVE, 0);
    assert_ret(vt_madvise(&t, A(0x10), P(4), VMK_MADV_DONTFORK), 0);
    assert_ret(vt_mlock(&t, A(0x12), P(2)), 0);
    assert_ret(remap_pages(A(0x11), P(1), 7), 0);
    assert_ret(remap_pages(A(0x12), P(1), 9), 0);
    assert_map(&t, "110000-111000 r--s dc nr pgoff=0 file=1\n"
                   "111000-112000 r--s pgoff=7 file=1\n"
                   "112000-113000 r--s lo pgoff=9 file=1\n"
                   "113000-114000 r--s lo dc nr pgoff=3 file=1\n");
    assert_ret(remap_pages(A(0x10), P(2), 20), -VMK_EINVAL); /* the flags differ */
    assert_ret(vt_mseal(&t, A(0x10), P(1), 0), 0);
    assert_ret(remap_pages(A(0x10), P(1), 20), -VMK_EPERM);
    map_file(&t, 0x20, 4, VT_RW, VMK_MAP_PRIVATE, 0);
    assert_ret(remap_pages(A(0x20), P(1), 20), -VMK_EINVAL);
    vt_anon(&t, A(0x30), P(4), VT_RW);
    assert_ret(remap_pages(A(0x30), P(1), 20), -VMK_EINVAL);
}

/* ---- aio ---- */

static struct vmk_file *ring_file(struct vt *vt)
{
    const struct vmk_object_options object_options = {
        .size = sizeof(object_options), .kind = VMK_OBJECT_SHMEM, .id = 5, .nr_bytes = P(2)};
    struct vmk_file_options options = {
        .size = sizeof(options), .mode = VMK_FILE_READ | VMK_FILE_WRITE, .name = "/[aio] (deleted)", .id = 5};
    struct vmk_file *file;

    assert_int_equal(vmk_object_create(vt->system, &object_options, &options.object), 0);
    assert_int_equal(vmk_file_create(vt->system, &options, &file), 0);
    vmk_object_put(options.object);
    return file;
}

static int64_t aio_setup(struct vt *vt, uint64_t len)
{
    struct vmk_file *file = ring_file(vt);
    const struct vmk_aio_setup_request request = {.file = file, .len = len};
    int64_t value = vt_return(vt, vmk_aio_setup(vt->mm, &request, &vt->result));

    vmk_file_put(file);
    return value;
}

static int64_t aio_destroy(struct vt *vt, int64_t context)
{
    const struct vmk_aio_destroy_request request = {.context = (vmk_addr)context};

    return vt_return(vt, vmk_aio_destroy(vt->mm, &request, &vt->result));
}

static int64_t move(int64_t from, uint64_t len, vmk_addr to)
{
    return vt_mremap(&t, (vmk_addr)from, len, len, VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED, to);
}

static void test_aio(void **state)
{
    int64_t ring;

    (void)state;
    ring = aio_setup(&t, P(1) + 1);
    assert_ret(ring, UINT64_C(0x7ffff7ffd000));
    assert_map(&t, "7ffff7ffd000-7ffff7fff000 rw-s de pgoff=0 file=5\n");
    assert_ret(vt_mremap(&t, (vmk_addr)ring, P(2), P(3), VMK_MREMAP_MAYMOVE, 0), -VMK_EFAULT);
    assert_ret(vt_mremap(&t, (vmk_addr)ring, 0, P(3), VMK_MREMAP_MAYMOVE, 0), -VMK_EFAULT);
    assert_ret(aio_destroy(&t, ring + 0x1000), -VMK_EINVAL);
    /* The context moves with its ring, and with any part of it. */
    assert_ret(move(ring, P(2), A(0x10)), A(0x10));
    assert_ret(aio_destroy(&t, ring), -VMK_EINVAL);
    assert_ret(move((int64_t)A(0x11), P(1), A(0x20)), A(0x20));
    assert_map(&t, "110000-111000 rw-s de pgoff=0 file=5\n"
                   "120000-121000 rw-s de pgoff=1 file=5\n");
    assert_ret(aio_destroy(&t, (int64_t)A(0x10)), -VMK_EINVAL);
    assert_ret(aio_destroy(&t, (int64_t)A(0x20)), 0);
    assert_ret(aio_destroy(&t, (int64_t)A(0x20)), -VMK_EINVAL);
    assert_map(&t, "110000-111000 rw-s de pgoff=0 file=5\n");
    assert_ret(move((int64_t)A(0x10), P(1), A(0x20)), -VMK_EINVAL); /* without its context */
}

static void test_aio_partly_gone(void **state)
{
    int64_t ring;

    (void)state;
    ring = aio_setup(&t, P(2));
    assert_ret(vt_munmap(&t, (vmk_addr)ring + P(1), P(1)), 0);
    assert_ret(aio_destroy(&t, ring), 0);
    assert_map(&t, "");
    ring = aio_setup(&t, P(2));
    assert_ret(vt_munmap(&t, (vmk_addr)ring, P(1)), 0);
    assert_ret(aio_destroy(&t, ring), -VMK_EINVAL); /* its header cannot be read */
    ring = aio_setup(&t, P(2));
    assert_ret(ring, UINT64_C(0x7ffff7ffc000));
    assert_ret(vt_mprotect(&t, (vmk_addr)ring, P(1), VMK_PROT_NONE), 0);
    assert_ret(aio_destroy(&t, ring), -VMK_EINVAL);
    assert_ret(vt_mprotect(&t, (vmk_addr)ring, P(1), VT_R), 0);
    assert_ret(vt_mseal(&t, (vmk_addr)ring, P(1), 0), 0);
    assert_ret(aio_destroy(&t, ring), 0); /* the context goes, the sealed ring stays */
    assert_ret(aio_destroy(&t, ring), -VMK_EINVAL);
    assert_map(&t, "7ffff7ffc000-7ffff7ffd000 r--s de sl pgoff=0 file=5\n"
                   "7ffff7ffd000-7ffff7ffe000 rw-s de pgoff=1 file=5\n"
                   "7ffff7ffe000-7ffff7fff000 rw-s de pgoff=1 file=5\n");
}

static void test_aio_limits(void **state)
{
    struct vmk_rlimits limits;
    int64_t ring;

    (void)state;
    vmk_mm_get_rlimits(t.mm, &limits);
    limits.memlock.soft = P(1);
    vmk_mm_set_rlimits(t.mm, &limits);
    assert_ret(vt_mlockall(&t, VMK_MCL_FUTURE), 0);
    assert_ret(aio_setup(&t, P(2)), -VMK_ENOMEM); /* where mmap has EAGAIN */
    ring = aio_setup(&t, P(1));
    assert_ret(ring, UINT64_C(0x7ffff7ffe000));
    assert_map(&t, "7ffff7ffe000-7ffff7fff000 rw-s de pgoff=0 file=5\n"); /* never locked */
    limits.as.soft = P(1);
    vmk_mm_set_rlimits(t.mm, &limits);
    assert_ret(aio_setup(&t, P(1)), -VMK_ENOMEM);
}

static struct vmk_fault read_ring(struct vt *vt, int64_t address)
{
    const struct vmk_fault_request request = {
        .address = (vmk_addr)address, .access = VMK_ACCESS_READ, .flags = VMK_FAULT_USER};
    struct vmk_fault fault;

    assert_int_equal(vmk_mm_fault(vt->mm, &request, &fault), 0);
    return fault;
}

/* The pages go with the context: a ring that could not be unmapped has none any more, here and in a child. */
static void test_aio_pages(void **state)
{
    struct vmk_mm *child, *parent = t.mm;
    struct vmk_fault fault;
    int64_t ring;

    (void)state;
    ring = aio_setup(&t, P(2));
    assert_int_equal(read_ring(&t, ring).outcome, VMK_FAULT_MINOR);
    assert_int_equal(vmk_mm_fork(parent, &child), 0);
    assert_ret(vt_mseal(&t, (vmk_addr)ring, P(1), 0), 0);
    assert_ret(aio_destroy(&t, ring), 0);
    fault = read_ring(&t, ring);
    assert_int_equal(fault.outcome, VMK_FAULT_SIGNAL);
    assert_int_equal(fault.signal, VMK_SIGBUS);
    assert_int_equal(fault.code, VMK_BUS_ADRERR);
    t.mm = child;
    assert_int_equal(read_ring(&t, ring + (int64_t)P(1)).outcome, VMK_FAULT_SIGNAL);
    t.mm = parent;
    vmk_mm_put(child);
}

/* A child has the area, not the context. */
static void test_aio_in_child(void **state)
{
    struct vmk_mm *child, *parent = t.mm;
    int64_t ring;

    (void)state;
    ring = aio_setup(&t, P(1));
    assert_int_equal(vmk_mm_fork(parent, &child), 0);
    t.mm = child;
    assert_ret(aio_destroy(&t, ring), -VMK_EINVAL);
    assert_map(&t, "7ffff7ffe000-7ffff7fff000 rw-s de pgoff=0 file=5\n");
    t.mm = parent;
    vmk_mm_put(child);
    assert_ret(aio_destroy(&t, ring), 0);
}

/* ---- Special mappings ---- */

static int64_t map_special(struct vt *vt, vmk_addr address, uint64_t len, vmk_vm_flags flags, const char *name)
{
    const struct vmk_map_special_request request = {
        .address = address, .len = len, .flags = flags, .special_name = name};

    return vt_return(vt, vmk_map_special(vt->mm, &request, &vt->result));
}

static void test_map_special(void **state)
{
    const vmk_vm_flags code = VMK_VM_READ | VMK_VM_EXEC | VMK_VM_MAY_ACCESS;
    const vmk_vm_flags memory = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS;
    struct vmk_mm_stats stats = {.size = sizeof(stats)};
    struct vmk_rlimits limits;

    (void)state;
    vmk_mm_get_rlimits(t.mm, &limits);
    limits.as.soft = 0; /* they are outside this limit */
    vmk_mm_set_rlimits(t.mm, &limits);
    assert_ret(vt_mlockall(&t, VMK_MCL_FUTURE), 0);
    assert_ret(map_special(&t, 0, P(2), code, "[vdso]"), UINT64_C(0x7ffff7ffd000));
    assert_ret(map_special(&t, A(0x10), P(4),
                           VMK_VM_READ | VMK_VM_MAYREAD | VMK_VM_IO | VMK_VM_PFNMAP | VMK_VM_DONTDUMP, "[vvar]"),
               A(0x10));
    assert_ret(map_special(&t, A(0x14), P(1), code, "[uprobes]"), A(0x14));
    assert_ret(map_special(&t, A(0x14), 0, code, "[x]"), -VMK_EINVAL);
    assert_map(&t, "110000-114000 r--p pf io de dd !mw !me pgoff=0 [vvar]\n"
                   "114000-115000 r-xp de pgoff=0 [uprobes]\n"
                   "7ffff7ffd000-7ffff7fff000 r-xp de pgoff=0 [vdso]\n");
    assert_null(vmk_vma_private_data(vmk_mm_find(t.mm, A(0x14))));
    const struct vmk_map_special_request owned = {
        .address = A(0x15), .len = P(1), .flags = code, .special_name = "[mine]", .private_data = &limits};
    assert_ret(vt_return(&t, vmk_map_special(t.mm, &owned, &t.result)), A(0x15));
    assert_ptr_equal(vmk_vma_private_data(vmk_mm_find(t.mm, A(0x15))), &limits);
    /* One without a name is ordinary memory. */
    assert_ret(map_special(&t, A(0x30), P(2), memory, NULL), -VMK_ENOMEM);
    vmk_mm_get_stats(t.mm, &stats);
    limits.as.soft = P(stats.total_vm + 2) - 1;
    vmk_mm_set_rlimits(t.mm, &limits);
    assert_ret(map_special(&t, A(0x30), P(2), memory, NULL), -VMK_ENOMEM);
    limits.as.soft++;
    vmk_mm_set_rlimits(t.mm, &limits);
    assert_ret(map_special(&t, A(0x30), P(2), memory, NULL), A(0x30));
}

/* A shadow stack is private memory that is charged for, though nobody may write it as such. */
static void test_shadow_stack(void **state)
{
    const vmk_vm_flags flags = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS | VMK_VM_SHADOW_STACK;

    (void)state;
    assert_ret(map_special(&t, 0, P(2), flags, NULL), UINT64_C(0x7ffff7ffd000));
    assert_map(&t, "7ffff7ffd000-7ffff7fff000 rw-p ac ss\n");
    assert_int_equal(vmk_system_committed(t.system), 2);
    assert_ret(map_special(&t, 0, P(2), UINT64_C(1) << 63, NULL), -VMK_ERR_MISUSE);
}

/* Two phases: the edits that an embedder sees, and a refusal. */
static void test_two_phases(void **state)
{
    struct vmk_file *file = attachment(&t, segments[0], VMK_FILE_READ | VMK_FILE_WRITE);
    const struct vmk_shmat_request attach = {.file = file, .size = P(4), .address = A(0x10)};
    const struct vmk_shmdt_request detach = {.address = A(0x10)};
    const struct vmk_aio_setup_request ring = {.file = ring_file(&t), .len = P(1)};
    struct vmk_result result;
    struct vmk_plan plan;
    struct vmk_edit edit;

    (void)state;
    assert_int_equal(vmk_shmat_prepare(t.mm, &attach, &plan), 0);
    assert_true(vmk_plan_next_edit(&plan, &edit));
    assert_int_equal(edit.kind, VMK_EDIT_MAP);
    assert_ptr_equal(edit.file, file);
    vmk_plan_abort(&plan, -VMK_ENOMEM, &result);
    assert_int_equal(result.error, -VMK_ENOMEM);
    assert_map(&t, "");
    assert_int_equal(vmk_shmat(t.mm, &attach, NULL), 0);
    assert_ret(vt_mprotect(&t, A(0x12), P(1), VT_R), 0);
    assert_int_equal(vmk_shmdt_prepare(t.mm, &detach, &plan), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(vmk_plan_next_edit(&plan, &edit));
        assert_int_equal(edit.kind, VMK_EDIT_UNMAP);
        assert_int_equal(vmk_plan_commit(&plan, &result), i < 2 ? VMK_PLAN_MORE : VMK_PLAN_DONE);
    }
    assert_map(&t, "");
    assert_int_equal(vmk_aio_setup_prepare(t.mm, &ring, &plan), 0);
    assert_int_equal(vmk_plan_commit(&plan, &result), VMK_PLAN_DONE);
    assert_ret(aio_destroy(&t, (int64_t)result.value), 0);
    vmk_file_put(ring.file);
    vmk_file_put(file);
}

static void test_misuse(void **state)
{
    const struct vmk_shmat_request attach = {.size = P(1)};
    const struct vmk_aio_setup_request ring = {.len = P(1)};

    (void)state;
    assert_int_equal(vmk_shmat(t.mm, &attach, NULL), -VMK_ERR_MISUSE);
    assert_int_equal(vmk_aio_setup(t.mm, &ring, NULL), -VMK_ERR_MISUSE);
}

static void test_sealed_specials(void **state)
{
    teardown(state);
    vt_init(&t);
    t.system_options.settings.seal_system = 1;
    vt_open(&t);
    create_segments();
    assert_ret(map_special(&t, A(0x10), P(2), VMK_VM_READ | VMK_VM_MAYREAD, "[vvar]"), A(0x10));
    assert_ret(vt_munmap(&t, A(0x10), P(2)), -VMK_EPERM);
    assert_map(&t, "110000-112000 r--p de sl !mw !me pgoff=0 [vvar]\n");
}

/* ---- Failing allocations ---- */

static void prepare_pages(struct vt *vt)
{
    map_file(vt, 0x10, 8, VT_RW, VMK_MAP_SHARED, 0);
}

static int64_t call_remap_pages(struct vt *vt)
{
    const struct vmk_remap_file_pages_request request = {.address = A(0x12), .size = P(2), .pgoff = 9};

    return vt_return(vt, vmk_remap_file_pages(vt->mm, &request, &vt->result));
}

static struct vmk_file *prepared_file;

static void prepare_ring(struct vt *vt)
{
    prepared_file = ring_file(vt);
}

static int64_t call_setup(struct vt *vt)
{
    const struct vmk_aio_setup_request request = {.file = prepared_file, .len = P(2)};
    int64_t value = vt_return(vt, vmk_aio_setup(vt->mm, &request, &vt->result));

    vmk_file_put(prepared_file);
    return value;
}

static int64_t call_shmat(struct vt *vt)
{
    const struct vmk_shmat_request request = {.file = prepared_file, .size = P(2), .address = A(0x10)};
    int64_t value = vt_return(vt, vmk_shmat(vt->mm, &request, &vt->result));

    vmk_file_put(prepared_file);
    return value;
}

static vmk_addr prepared_at;

static void prepare_attached(struct vt *vt)
{
    prepare_ring(vt);
    assert_ret(call_shmat(vt), A(0x10));
}

static int64_t call_shmdt(struct vt *vt)
{
    const struct vmk_shmdt_request request = {.address = A(0x10)};

    return vt_return(vt, vmk_shmdt(vt->mm, &request, &vt->result));
}

static void prepare_context(struct vt *vt)
{
    prepared_at = (vmk_addr)aio_setup(vt, P(2));
}

static int64_t call_destroy(struct vt *vt)
{
    return aio_destroy(vt, (int64_t)prepared_at);
}

static int64_t call_special(struct vt *vt)
{
    return map_special(vt, A(0x10), P(2), VMK_VM_READ | VMK_VM_MAYREAD, "[vvar]");
}

static void test_failing_allocations(void **state)
{
    (void)state;
    vt_fail_each(prepare_pages, call_remap_pages, false);
    vt_fail_each(prepare_ring, call_setup, false);
    vt_fail_each(prepare_ring, call_shmat, false);
    vt_fail_each(prepare_attached, call_shmdt, false);
    vt_fail_each(prepare_context, call_destroy, false);
    vt_fail_each(NULL, call_special, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_shmat_flags, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shmat_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shmdt_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shmdt_moved, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shmdt_sealed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shm_moves_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remap_file_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remap_file_pages_uniform, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remap_file_pages_locked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remap_file_pages_flags, setup, teardown),
        cmocka_unit_test_setup_teardown(test_aio, setup, teardown),
        cmocka_unit_test_setup_teardown(test_aio_partly_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_aio_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_aio_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_aio_in_child, setup, teardown),
        cmocka_unit_test_setup_teardown(test_map_special, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shadow_stack, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_phases, setup, teardown),
        cmocka_unit_test_setup_teardown(test_misuse, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sealed_specials, setup, teardown),
        cmocka_unit_test(test_failing_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
