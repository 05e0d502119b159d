/* SPDX-License-Identifier: MIT */
/* test_mremap.c - mremap(2): each map is what Linux 6.18 shows after the same calls. */
#include "calls.h"
#include "support.h"

/* Page n of the window in which the tests work; maps show 0x100000 + n pages. */
#define A(n) (UINT64_C(0x100000) + P(n))

/* Where the address space ends. */
#define TOP UINT64_C(0x7ffffffff000)

#define MAYMOVE         VMK_MREMAP_MAYMOVE
#define FIXED           (VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED)
#define DONTUNMAP       (VMK_MREMAP_MAYMOVE | VMK_MREMAP_DONTUNMAP)
#define FIXED_DONTUNMAP (FIXED | VMK_MREMAP_DONTUNMAP)

static struct vt t;

static int setup(void **state)
{
    (void)state;
    vt_setup(&t);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vt_teardown(&t);
    return 0;
}

static void map(unsigned page, unsigned nr, uint32_t prot)
{
    vt_anon(&t, A(page), P(nr), prot);
}

static void map_file(unsigned page, unsigned nr, uint32_t prot, uint32_t type, uint64_t id, unsigned offset)
{
    assert_ret(vt_mmap_file(&t, A(page), P(nr), prot, type | VMK_MAP_FIXED, vt_file(&t, id), P(offset)), A(page));
}

static void map_shared(unsigned page, unsigned nr, uint32_t prot)
{
    assert_ret(vt_mmap_file(&t, A(page), P(nr), prot, VMK_MAP_SHARED | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED, NULL, 0),
               A(page));
}

static int64_t remap(unsigned page, unsigned old_nr, unsigned new_nr, uint64_t flags, unsigned to)
{
    return vt_mremap(&t, A(page), P(old_nr), P(new_nr), flags, A(to));
}

static struct vmk_mm_stats stats(void)
{
    struct vmk_mm_stats stats = {.size = sizeof(stats)};

    vmk_mm_get_stats(t.mm, &stats);
    return stats;
}

static void set_limit(size_t offset, uint64_t bytes)
{
    struct vmk_rlimits limits;

    vmk_mm_get_rlimits(t.mm, &limits);
    ((struct vmk_rlimit *)(void *)((char *)&limits + offset))->soft = bytes;
    vmk_mm_set_rlimits(t.mm, &limits);
}
#define SET_LIMIT(name, bytes) set_limit(offsetof(struct vmk_rlimits, name), (bytes))

/* ---- Arguments ---- */

static void test_arguments(void **state)
{
    (void)state;
    map(0x10, 8, VT_RW);
    map(0x30, 4, VT_RW);
    assert_ret(vt_mseal(&t, A(0x30), P(4), 0), 0);
    assert_ret(remap(0x10, 4, 4, 8, 0), -VMK_EINVAL);
    assert_ret(remap(0x10, 4, 4, VMK_MREMAP_FIXED, 0x60), -VMK_EINVAL);
    assert_ret(remap(0x10, 4, 4, VMK_MREMAP_DONTUNMAP, 0x60), -VMK_EINVAL);
    assert_ret(remap(0x10, 4, 2, DONTUNMAP, 0), -VMK_EINVAL);
    assert_ret(remap(0x80, 4, 8, DONTUNMAP, 0), -VMK_EINVAL);
    assert_ret(remap(0x80, 4, 4, MAYMOVE, 0), -VMK_EFAULT);
    assert_ret(remap(0x80, 0, 1, MAYMOVE, 0), -VMK_EFAULT);
    assert_ret(remap(0x80, 4, 0, MAYMOVE, 0), -VMK_EINVAL);
    assert_ret(remap(0x10, 0, 2, MAYMOVE, 0), -VMK_EINVAL);
    assert_ret(vt_mremap(&t, A(0x10) + 1, P(1), P(1), MAYMOVE, 0), -VMK_EINVAL);
    assert_ret(vt_mremap(&t, A(0x10), P(4), P(4), FIXED, A(0x60) + 1), -VMK_EINVAL);
    assert_ret(vt_mremap(&t, A(0x10), P(4), P(4), DONTUNMAP, A(0x60) + 1), -VMK_EINVAL);
    assert_ret(vt_mremap(&t, A(0x10), P(4), P(4), MAYMOVE, A(0x60) + 1), A(0x10));
    assert_ret(vt_mremap(&t, A(0x80), P(4), P(4), FIXED, UINT64_C(0x7ffffffff000)), -VMK_EINVAL);
    assert_ret(vt_mremap(&t, A(0x80), P(4), UINT64_C(0x7ffffffff001), MAYMOVE, 0), -VMK_EINVAL);
    assert_ret(vt_mremap(&t, A(0x10), P(4), UINT64_C(0x7fffffff0000), MAYMOVE, 0), -VMK_ENOMEM);
    assert_ret(vt_mremap(&t, A(0x10), UINT64_MAX, P(4), MAYMOVE, 0), -VMK_EINVAL);
    assert_ret(vt_mremap(&t, A(0x10), UINT64_MAX - 0xfff, P(4), 0, 0), -VMK_EINVAL);
    assert_ret(vt_mremap(&t, A(0x10), UINT64_C(0x7fffffffe000), P(4), 0, 0), -VMK_EINVAL);
    /* Overlap, and the two ways to touch. */
    assert_ret(remap(0x10, 4, 4, FIXED, 0x10), -VMK_EINVAL);
    assert_ret(remap(0x10, 4, 4, FIXED, 0x13), -VMK_EINVAL);
    assert_ret(remap(0x10, 4, 6, FIXED, 0x0b), -VMK_EINVAL);
    assert_ret(remap(0x10, 4, 4, DONTUNMAP, 0x12), -VMK_EINVAL);
    /* Sealed: after the arguments, before everything else that depends on the area. */
    assert_ret(remap(0x30, 4, 0, MAYMOVE, 0), -VMK_EINVAL);
    assert_ret(remap(0x30, 4, 4, 0, 0), -VMK_EPERM);
    assert_ret(remap(0x30, 8, 9, MAYMOVE, 0), -VMK_EPERM);
    assert_ret(remap(0x30, 0, 4, MAYMOVE, 0), -VMK_EPERM);
    assert_map(&t, "110000-118000 rw-p ac\n"
                   "130000-134000 rw-p ac sl\n");
}

/* ---- In place ---- */

static void test_shrink(void **state)
{
    (void)state;
    map(0x10, 8, VT_RW);
    assert_ret(remap(0x12, 3, 1, 0, 0), A(0x12));
    assert_map(&t, "110000-113000 rw-p ac\n"
                   "115000-118000 rw-p ac\n");
    /* Neither holes nor other areas in the old range matter. */
    map(0x11, 1, VT_R);
    assert_ret(remap(0x10, 0x20, 2, MAYMOVE, 0), A(0x10));
    assert_map(&t, "110000-111000 rw-p ac\n"
                   "111000-112000 r--p\n");
    assert_ret(remap(0x10, 0x20, 0x20, 0, 0), A(0x10));
    assert_ret(remap(0x10, 0x20, 0x1f, 0, 0), A(0x10));
    assert_ret(remap(0x0e, 4, 2, 0, 0), -VMK_EFAULT);
    assert_ret(remap(0x10, 0x20, 0x21, MAYMOVE, 0), -VMK_EFAULT);
    assert_map(&t, "110000-111000 rw-p ac\n"
                   "111000-112000 r--p\n");
}

/* The tail may end with the address space, and not beyond. */
static void test_shrink_at_the_top(void **state)
{
    (void)state;
    vt_anon(&t, TOP - P(8), P(8), VT_RW);
    assert_ret(vt_mremap(&t, TOP - P(8), P(9), P(6), 0, 0), -VMK_EINVAL);
    assert_ret(vt_mremap(&t, TOP - P(8), P(8), P(6), 0, 0), TOP - P(8));
    assert_map(&t, "7fffffff7000-7fffffffd000 rw-p ac\n");
}

static void test_shrink_onto_sealed(void **state)
{
    (void)state;
    map(0x10, 0x10, VT_R);
    assert_ret(vt_mseal(&t, A(0x16), P(1), 0), 0);
    /* The first cut stays visible. */
    assert_ret(remap(0x12, 8, 2, 0, 0), -VMK_EPERM);
    assert_map(&t, "110000-114000 r--p\n"
                   "114000-116000 r--p\n"
                   "116000-117000 r--p sl\n"
                   "117000-120000 r--p\n");
}

static void test_grow_in_place(void **state)
{
    (void)state;
    map(0x10, 4, VT_RW);
    map(0x18, 4, VT_RW);
    vt_touch(&t, A(0x10));
    assert_ret(remap(0x10, 4, 6, 0, 0), A(0x10));
    assert_map(&t, "110000-116000 rw-p ac anon=a1\n"
                   "118000-11c000 rw-p ac\n");
    /* It meets its neighbour and they become one. */
    assert_ret(remap(0x12, 4, 6, 0, 0), A(0x12));
    assert_map(&t, "110000-11c000 rw-p ac anon=a1\n");
    assert_ret(remap(0x12, 2, 4, 0, 0), -VMK_ENOMEM);
    map_file(0x20, 4, VT_RW, VMK_MAP_PRIVATE, 1, 0);
    map_file(0x28, 4, VT_RW, VMK_MAP_PRIVATE, 1, 9);
    assert_ret(remap(0x20, 4, 8, 0, 0), A(0x20));
    assert_ret(remap(0x20, 8, 9, 0, 0), -VMK_ENOMEM);
    assert_map(&t, "110000-11c000 rw-p ac anon=a1\n"
                   "120000-128000 rw-p ac pgoff=0 file=1\n"
                   "128000-12c000 rw-p ac pgoff=9 file=1\n");
    assert_int_equal(stats().total_vm, 12 + 8 + 4);
    assert_int_equal(vmk_system_committed(t.system), 12 + 8 + 4);
}

/* A bridge between two different anon_vmas joins the one below. */
static void test_grow_between_anon_vmas(void **state)
{
    (void)state;
    map(0x10, 2, VT_RW);
    vt_touch(&t, A(0x10));
    map(0x14, 2, VT_RW);
    vt_touch(&t, A(0x14));
    assert_ret(remap(0x10, 2, 4, 0, 0), A(0x10));
    assert_map(&t, "110000-114000 rw-p ac anon=a1\n"
                   "114000-116000 rw-p ac anon=a2\n");
}

/* ---- Moves ---- */

static void test_move_free(void **state)
{
    (void)state;
    map(0x10, 4, VT_RW);
    map(0x14, 1, VT_R);
    assert_ret(remap(0x10, 4, 5, MAYMOVE, 0x60), UINT64_C(0x7ffff7ffa000));
    assert_map(&t, "114000-115000 r--p\n"
                   "7ffff7ffa000-7ffff7fff000 rw-p ac\n");
    /* A hint, for DONTUNMAP alone; one that is not free is ignored. */
    assert_ret(remap(0x14, 1, 1, DONTUNMAP, 0x60), A(0x60));
    assert_ret(remap(0x60, 1, 1, DONTUNMAP, 0x14), UINT64_C(0x7ffff7ff9000));
    assert_map(&t, "114000-115000 r--p\n"
                   "160000-161000 r--p\n"
                   "7ffff7ff9000-7ffff7ffa000 r--p\n"
                   "7ffff7ffa000-7ffff7fff000 rw-p ac\n");
}

/* Anonymous memory of a multiple of the huge size is aligned to it, whatever its page offset. */
static void test_move_huge_aligned(void **state)
{
    (void)state;
    map(0x10, 0x200, VT_RW);
    assert_ret(vt_mremap(&t, A(0x10), P(0x200), P(0x200), DONTUNMAP, 0), -VMK_EINVAL); /* "no hint" overlaps, too */
    map(0x410, 0x200, VT_RW);
    assert_ret(vt_mremap(&t, A(0x410), P(0x200), P(0x200), DONTUNMAP, 0), UINT64_C(0x7ffff7c00000));
}

static void test_move_fixed(void **state)
{
    (void)state;
    map(0x10, 4, VT_RW);
    vt_touch(&t, A(0x10));
    map(0x60, 0x10, VT_R);
    assert_ret(remap(0x10, 4, 8, FIXED, 0x62), A(0x62));
    assert_map(&t, "160000-162000 r--p\n"
                   "162000-16a000 rw-p ac anon=a1 pgoff=110\n"
                   "16a000-170000 r--p\n");
    /* Moved back, it is what it was, and merges with what was split from it. */
    assert_ret(remap(0x64, 2, 2, FIXED, 0x12), A(0x12));
    assert_ret(remap(0x62, 2, 2, FIXED, 0x10), A(0x10));
    assert_map(&t, "110000-114000 rw-p ac anon=a1\n"
                   "160000-162000 r--p\n"
                   "166000-16a000 rw-p ac anon=a1 pgoff=114\n"
                   "16a000-170000 r--p\n");
}

static void test_move_page_offsets(void **state)
{
    (void)state;
    struct vmk_file *zero = vt_file_kind(&t, 2, VMK_OBJECT_ZERO, 0);

    /* Untouched anonymous memory takes the offset of its new place, and merges there. */
    map(0x10, 2, VT_RW);
    map(0x20, 2, VT_RW);
    assert_ret(remap(0x20, 2, 2, FIXED, 0x12), A(0x12));
    assert_map(&t, "110000-114000 rw-p ac\n");
    /* Touched memory keeps its own. */
    map(0x20, 2, VT_RW);
    vt_touch(&t, A(0x20));
    assert_ret(remap(0x20, 2, 2, FIXED, 0x14), A(0x14));
    /* So does a file's; a private mapping of /dev/zero counts as anonymous. */
    map_file(0x30, 2, VT_RW, VMK_MAP_PRIVATE, 1, 7);
    assert_ret(remap(0x30, 2, 2, FIXED, 0x40), A(0x40));
    assert_ret(vt_mmap_file(&t, A(0x30), P(2), VT_RW, VMK_MAP_PRIVATE | VMK_MAP_FIXED, zero, 0), A(0x30));
    assert_ret(remap(0x30, 2, 2, FIXED, 0x50), A(0x50));
    assert_map(&t, "110000-114000 rw-p ac\n"
                   "114000-116000 rw-p ac anon=a1 pgoff=120\n"
                   "140000-142000 rw-p ac pgoff=7 file=1\n"
                   "150000-152000 rw-p ac pgoff=150 file=2\n");
}

static void test_move_shrinks(void **state)
{
    (void)state;
    /* Within the first area: the rest of the old range goes, holes and other areas included. */
    map(0x10, 4, VT_RW);
    map(0x16, 4, VT_R);
    map(0x60, 8, VT_R);
    assert_ret(remap(0x10, 0x10, 3, FIXED, 0x62), A(0x62));
    assert_map(&t, "160000-162000 r--p\n"
                   "162000-165000 rw-p ac\n"
                   "165000-168000 r--p\n");
    /* Beyond it: refused before anything happens. */
    map(0x10, 4, VT_RW);
    map(0x14, 4, VT_R);
    assert_ret(remap(0x10, 8, 6, FIXED, 0x62), -VMK_EFAULT);
    assert_ret(remap(0x10, 8, 9, FIXED, 0x62), -VMK_EFAULT);
    assert_ret(remap(0x0e, 8, 8, FIXED, 0x62), -VMK_EFAULT);
    assert_map(&t, "110000-114000 rw-p ac\n"
                   "114000-118000 r--p\n"
                   "160000-162000 r--p\n"
                   "162000-165000 rw-p ac\n"
                   "165000-168000 r--p\n");
}

/* Memory that is not charged may shrink from more than the machine has; at the very top the tail may end the space. */
static void test_move_shrinks_far(void **state)
{
    const uint64_t huge = UINT64_C(1) << 40;

    (void)state;
    assert_ret(vt_mmap_file(&t, huge, huge, VT_RW, VT_FIXED | VMK_MAP_NORESERVE, NULL, 0), huge);
    assert_ret(vt_mremap(&t, huge, huge, P(2), FIXED, A(0x60)), A(0x60));
    assert_map(&t, "160000-162000 rw-p nr\n");
    assert_ret(vt_munmap(&t, A(0x60), P(2)), 0);
    vt_anon(&t, TOP - P(8), P(8), VT_RW);
    assert_ret(vt_mremap(&t, TOP - P(8), P(8), P(6), FIXED, A(0x60)), A(0x60));
    assert_map(&t, "160000-166000 rw-p ac\n");
    vt_anon(&t, TOP - P(8), P(8), VT_RW);
    assert_ret(vt_mremap(&t, TOP - P(8), P(9), P(6), FIXED, A(0x60)), -VMK_EINVAL);
}

/* The parts: destination, tail, move. What came before the failure stays. */
static void test_move_partly(void **state)
{
    (void)state;
    map(0x10, 4, VT_RW);
    map(0x14, 4, VT_R);
    map(0x60, 0x10, VT_R);
    assert_ret(vt_mseal(&t, A(0x14), P(4), 0), 0);
    assert_ret(remap(0x10, 8, 4, FIXED, 0x60), -VMK_EPERM); /* the tail is sealed: the destination is gone */
    assert_map(&t, "110000-114000 rw-p ac\n"
                   "114000-118000 r--p sl\n"
                   "164000-170000 r--p\n");
    assert_ret(vt_mseal(&t, A(0x66), P(1), 0), 0);
    assert_ret(remap(0x10, 4, 2, FIXED, 0x65), -VMK_EPERM); /* the destination is: only its first cut happens */
    assert_map(&t, "110000-114000 rw-p ac\n"
                   "114000-118000 r--p sl\n"
                   "164000-165000 r--p\n"
                   "165000-166000 r--p\n"
                   "166000-167000 r--p sl\n"
                   "167000-170000 r--p\n");
    /* Below mmap_min_addr, without the right to: the tail is gone. */
    assert_ret(vt_mremap(&t, A(0x10), P(4), P(1), FIXED, 0x1000), -VMK_EPERM);
    assert_map(&t, "110000-111000 rw-p ac\n"
                   "114000-118000 r--p sl\n"
                   "164000-165000 r--p\n"
                   "165000-166000 r--p\n"
                   "166000-167000 r--p sl\n"
                   "167000-170000 r--p\n");
}

/* A length so long that the old range wraps overlaps nothing; it is refused when its tail is to go. */
static void test_move_wraps(void **state)
{
    (void)state;
    map(0x10, 4, VT_RW);
    map(0x60, 4, VT_R);
    assert_ret(vt_mremap(&t, A(0x10), UINT64_MAX - 0x10ffff, P(5), FIXED, A(0x60)), -VMK_EFAULT);
    assert_ret(vt_mremap(&t, A(0x10), UINT64_MAX - 0x10ffff, P(4), FIXED, A(0x60)), -VMK_EINVAL);
    assert_map(&t, "110000-114000 rw-p ac\n");
    /* A tail where nothing is mapped. */
    assert_ret(remap(0x10, 8, 4, FIXED, 0x60), A(0x60));
    assert_map(&t, "160000-164000 rw-p ac\n");
}

/* With the wrapped length the source may lie under the destination. */
static void test_move_wraps_over_source(void **state)
{
    (void)state;
    map(0x10, 8, VT_RW);
    assert_ret(vt_mremap(&t, A(0x11), UINT64_MAX - 0x110fff, P(2), FIXED, A(0x10)), -VMK_EFAULT);
    assert_map(&t, "112000-118000 rw-p ac\n");
}

/* ---- Several areas ---- */

static void test_several(void **state)
{
    (void)state;
    map(0x10, 4, VT_RW);
    map(0x15, 4, VT_R);
    map(0x1a, 4, VT_RX);
    map(0x60, 0x20, VT_R);
    assert_ret(remap(0x10, 0x0e, 0x0e, FIXED, 0x60), A(0x60));
    assert_int_equal(t.result.done, P(0x0e));
    /* The holes stay holes: what lies under them at the destination stays, and merges with what comes. */
    assert_map(&t, "160000-164000 rw-p ac\n"
                   "164000-16a000 r--p\n"
                   "16a000-16e000 r-xp\n"
                   "16e000-180000 r--p\n");
    assert_ret(remap(0x62, 0x18, 0x18, FIXED_DONTUNMAP, 0x12), A(0x12));
    assert_map(&t, "112000-114000 rw-p ac\n"
                   "114000-11a000 r--p\n"
                   "11a000-11e000 r-xp\n"
                   "11e000-12a000 r--p\n"
                   "160000-164000 rw-p ac\n"
                   "164000-16a000 r--p\n"
                   "16a000-16e000 r-xp\n"
                   "16e000-180000 r--p\n");
    /* Only to a fixed place, with one length. */
    assert_ret(remap(0x12, 8, 8, DONTUNMAP, 0), -VMK_EFAULT);
    assert_ret(remap(0x12, 8, 8, MAYMOVE, 0), A(0x12));
    assert_ret(remap(0x10, 8, 8, FIXED, 0x90), -VMK_EFAULT);
}

static void test_several_stops(void **state)
{
    (void)state;
    map(0x10, 4, VT_RW);
    map(0x14, 4, VT_R);
    map(0x18, 4, VT_RW);
    map(0x60, 0x10, VT_R);
    assert_ret(vt_mseal(&t, A(0x14), P(4), 0), 0);
    assert_ret(remap(0x10, 0x0c, 0x0c, FIXED, 0x60), -VMK_EPERM);
    assert_map(&t, "114000-118000 r--p sl\n"
                   "118000-11c000 rw-p ac\n"
                   "160000-164000 rw-p ac\n"
                   "164000-170000 r--p\n");
    /* /dev/zero and System V segments place their mappings themselves: EFAULT, before the seal. */
    struct vmk_file *zero = vt_file_kind(&t, 2, VMK_OBJECT_ZERO, 0);
    assert_ret(vt_mmap_file(&t, A(0x1c), P(2), VT_RW, VMK_MAP_PRIVATE | VMK_MAP_FIXED, zero, 0), A(0x1c));
    assert_ret(vt_mseal(&t, A(0x1c), P(2), 0), 0);
    assert_ret(remap(0x18, 6, 6, FIXED, 0x80), -VMK_EFAULT);
    assert_map(&t, "114000-118000 r--p sl\n"
                   "11c000-11e000 rw-p ac sl pgoff=0 file=2\n"
                   "160000-164000 rw-p ac\n"
                   "164000-170000 r--p\n"
                   "180000-184000 rw-p ac\n");
    assert_ret(remap(0x1c, 2, 2, FIXED, 0x90), -VMK_EPERM);
}

static void test_several_off(void **state)
{
    (void)state;
    vt_teardown(&t);
    vt_init(&t);
    t.system_options.settings.mremap_several = 0;
    vt_open(&t);
    map(0x10, 4, VT_RW);
    map(0x14, 4, VT_R);
    assert_ret(remap(0x10, 8, 8, FIXED, 0x60), -VMK_EFAULT);
    assert_ret(remap(0x10, 4, 4, FIXED, 0x60), A(0x60));
}

/* ---- DONTUNMAP ---- */

static void test_dontunmap(void **state)
{
    (void)state;
    map(0x10, 4, VT_RW);
    vt_touch(&t, A(0x10));
    /* A part: the source keeps its anon_vma. */
    assert_ret(remap(0x10, 2, 2, FIXED_DONTUNMAP, 0x30), A(0x30));
    assert_map(&t, "110000-114000 rw-p ac anon=a1\n"
                   "130000-132000 rw-p ac anon=a1 pgoff=110\n");
    /* The whole: it loses it, though not its page offset. */
    assert_ret(remap(0x30, 2, 2, FIXED_DONTUNMAP, 0x40), A(0x40));
    map(0x32, 1, VT_RW);
    assert_map(&t, "110000-114000 rw-p ac anon=a1\n"
                   "130000-132000 rw-p ac pgoff=110\n"
                   "132000-133000 rw-p ac\n"
                   "140000-142000 rw-p ac anon=a1 pgoff=110\n");
    assert_int_equal(vmk_system_committed(t.system), 4 + 2 + 1 + 2);
    /* Untouched memory merges with its own source. */
    map(0x50, 4, VT_RW);
    assert_ret(remap(0x50, 4, 4, FIXED_DONTUNMAP, 0x54), A(0x54));
    assert_map(&t, "110000-114000 rw-p ac anon=a1\n"
                   "130000-132000 rw-p ac pgoff=110\n"
                   "132000-133000 rw-p ac\n"
                   "140000-142000 rw-p ac anon=a1 pgoff=110\n"
                   "150000-158000 rw-p ac\n");
}

static void test_dontunmap_resets_pgoff(void **state)
{
    (void)state;
    vt_teardown(&t);
    vt_init(&t);
    t.system_options.settings.dontunmap_resets_pgoff = 1;
    vt_open(&t);
    map(0x10, 2, VT_RW);
    vt_touch(&t, A(0x10));
    assert_ret(remap(0x10, 2, 2, FIXED, 0x30), A(0x30));
    assert_ret(remap(0x30, 2, 2, FIXED_DONTUNMAP, 0x40), A(0x40));
    map(0x32, 1, VT_RW);
    assert_map(&t, "130000-133000 rw-p ac\n"
                   "140000-142000 rw-p ac anon=a1 pgoff=110\n");
}

static void test_dontunmap_shared(void **state)
{
    (void)state;
    map_shared(0x10, 4, VT_RW);
    assert_ret(remap(0x10, 4, 4, FIXED_DONTUNMAP, 0x20), A(0x20));
    assert_map(&t, "110000-114000 rw-s pgoff=0 file=0\n"
                   "120000-124000 rw-s pgoff=0 file=0\n");
    vt_teardown(&t);
    vt_init(&t);
    t.system_options.settings.dontunmap_shared = 0;
    vt_open(&t);
    map_shared(0x10, 4, VT_RW);
    assert_ret(remap(0x10, 4, 4, FIXED_DONTUNMAP, 0x20), -VMK_EINVAL);
}

/* Linux takes the lock off the whole source area, and never off the counter. */
static void test_dontunmap_locked(void **state)
{
    (void)state;
    map(0x30, 8, VT_R);
    assert_ret(vt_mlock(&t, A(0x30), P(8)), 0);
    assert_ret(remap(0x30, 4, 4, FIXED_DONTUNMAP, 0x40), A(0x40));
    assert_map(&t, "130000-138000 r--p\n"
                   "140000-144000 r--p lo\n");
    assert_int_equal(stats().locked_vm, 8 + 4);
    assert_ret(vt_munmap(&t, A(0x40), P(4)), 0);
    assert_int_equal(stats().locked_vm, 8);
    assert_ret(vt_mlock(&t, A(0x30), P(8)), 0);
    assert_int_equal(stats().locked_vm, 16);
    /* Merged with its source, the destination loses the lock too. */
    assert_ret(remap(0x30, 8, 8, FIXED_DONTUNMAP, 0x38), A(0x38));
    assert_map(&t, "130000-140000 r--p\n");
    assert_int_equal(stats().locked_vm, 24);
}

/* ---- Old length 0 ---- */

static void test_duplicate(void **state)
{
    (void)state;
    map_shared(0x20, 8, VT_RW);
    map_file(0x38, 4, VT_RW, VMK_MAP_SHARED, 1, 3);
    assert_ret(remap(0x20, 0, 2, FIXED, 0x60), A(0x60));
    assert_ret(remap(0x22, 0, 2, FIXED, 0x62), A(0x62)); /* goes on where the first one ends */
    assert_ret(remap(0x24, 0, 4, 0, 0), -VMK_ENOMEM);
    assert_ret(remap(0x24, 0, 4, FIXED_DONTUNMAP, 0x90), -VMK_EINVAL);
    assert_ret(remap(0x39, 0, 8, FIXED, 0x38), -VMK_EINVAL);
    assert_ret(remap(0x39, 0, 2, FIXED, 0x3a), A(0x3a)); /* over a part of itself */
    assert_map(&t, "120000-128000 rw-s pgoff=0 file=0\n"
                   "138000-13a000 rw-s pgoff=3 file=1\n"
                   "13a000-13c000 rw-s pgoff=4 file=1\n"
                   "160000-164000 rw-s pgoff=0 file=0\n");
    /* Over its very beginning: gone before it can be duplicated. */
    assert_ret(remap(0x38, 0, 1, FIXED, 0x38), -VMK_EFAULT);
    assert_map(&t, "120000-128000 rw-s pgoff=0 file=0\n"
                   "139000-13a000 rw-s pgoff=4 file=1\n"
                   "13a000-13c000 rw-s pgoff=4 file=1\n"
                   "160000-164000 rw-s pgoff=0 file=0\n");
}

/* ---- Limits ---- */

static void test_limits(void **state)
{
    (void)state;
    map(0x10, 4, VT_RW);
    map(0x60, 0x10, VT_R);
    SET_LIMIT(as, P(0x14 + 2));
    assert_ret(remap(0x10, 4, 6, 0, 0), A(0x10));
    assert_ret(remap(0x10, 6, 7, MAYMOVE, 0), -VMK_ENOMEM);
    /* Growth is checked before the destination is cleared, though that would make room; DONTUNMAP after. */
    assert_ret(remap(0x10, 6, 7, FIXED, 0x60), -VMK_ENOMEM);
    assert_int_equal(stats().total_vm, 0x16);
    assert_ret(remap(0x10, 6, 6, FIXED_DONTUNMAP, 0x60), A(0x60));
    assert_ret(remap(0x10, 6, 6, FIXED_DONTUNMAP, 0x80), -VMK_ENOMEM);
    assert_ret(remap(0x10, 6, 6, FIXED, 0x80), A(0x80));
    SET_LIMIT(as, VMK_RLIM_INFINITY);
    SET_LIMIT(data, P(12));
    assert_ret(remap(0x80, 6, 7, MAYMOVE, 0), -VMK_ENOMEM);
    assert_ret(remap(0x80, 6, 6, FIXED_DONTUNMAP, 0x68), -VMK_ENOMEM);
    assert_map(&t, "160000-166000 rw-p ac\n"
                   "166000-168000 r--p\n"
                   "16e000-170000 r--p\n"
                   "180000-186000 rw-p ac\n");
}

static void test_locked_limit(void **state)
{
    (void)state;
    map(0x10, 4, VT_RW);
    assert_ret(vt_mlock(&t, A(0x10), P(4)), 0);
    SET_LIMIT(memlock, P(5));
    SET_LIMIT(as, P(5));
    assert_ret(remap(0x10, 4, 6, MAYMOVE, 0), -VMK_EAGAIN); /* before RLIMIT_AS */
    assert_ret(remap(0x10, 5, 6, MAYMOVE, 0), -VMK_EFAULT);
    assert_ret(remap(0x10, 4, 5, 0, 0), A(0x10));
    assert_int_equal(stats().locked_vm, 5);
    assert_ret(remap(0x10, 5, 5, FIXED, 0x20), A(0x20));
    assert_map(&t, "120000-125000 rw-p lo ac anon=a1 pgoff=110\n");
    assert_int_equal(stats().locked_vm, 5);
    vmk_mm_set_capabilities(t.mm, VMK_CAP_IPC_LOCK);
    SET_LIMIT(as, VMK_RLIM_INFINITY);
    assert_ret(remap(0x20, 5, 6, 0, 0), A(0x20));
}

static void test_commit_charge(void **state)
{
    struct vmk_sysctl sysctl;

    (void)state;
    vmk_system_sysctl(t.system, &sysctl);
    sysctl.total_ram_pages = 0x20;
    sysctl.total_swap_pages = 0;
    assert_int_equal(vmk_system_set_sysctl(t.system, &sysctl), 0);
    map(0x10, 0x20, VT_RW);
    map(0x30, 1, VT_R);
    map(0x80, 1, VT_R);
    /* Only what is new is charged, in one piece; DONTUNMAP is all new, and finds out after the destination is gone. */
    assert_ret(remap(0x10, 0x20, 0x40, FIXED, 0x100), A(0x100));
    assert_int_equal(vmk_system_committed(t.system), 0x40);
    assert_ret(remap(0x100, 0x40, 0x61, FIXED, 0x180), -VMK_ENOMEM);
    assert_ret(remap(0x100, 0x40, 0x61, 0, 0), -VMK_ENOMEM);
    assert_ret(remap(0x100, 0x40, 0x40, FIXED_DONTUNMAP, 0x80), -VMK_ENOMEM);
    assert_ret(remap(0x100, 0x40, 0x40, FIXED, 0x40), A(0x40));
    assert_map(&t, "130000-131000 r--p\n"
                   "140000-180000 rw-p ac\n");
    assert_int_equal(vmk_system_committed(t.system), 0x40);
    assert_int_equal(stats().peak_vm, 0x42); /* never both at once */
}

/* The map counts at which Linux still moves: 6 to spare for FIXED and DONTUNMAP, 4 for the others. */
static void test_map_count(void **state)
{
    struct vmk_sysctl sysctl;

    (void)state;
    map(0x10, 8, VT_RW);
    map(0x18, 1, VT_R);
    vmk_system_sysctl(t.system, &sysctl);
    sysctl.max_map_count = 2 + 5;
    assert_int_equal(vmk_system_set_sysctl(t.system, &sysctl), 0);
    assert_ret(remap(0x10, 8, 8, FIXED, 0x60), -VMK_ENOMEM);
    assert_ret(remap(0x80, 8, 8, FIXED, 0x60), -VMK_ENOMEM); /* before EFAULT, after EINVAL */
    assert_ret(remap(0x10, 8, 8, FIXED, 0x11), -VMK_EINVAL);
    assert_ret(remap(0x10, 8, 8, DONTUNMAP, 0x60), -VMK_ENOMEM);
    assert_ret(remap(0x12, 2, 3, MAYMOVE, 0), UINT64_C(0x7ffff7ffc000));
    sysctl.max_map_count = 4 + 3;
    assert_ret(remap(0x14, 2, 3, MAYMOVE, 0), -VMK_ENOMEM);
    assert_ret(vt_mremap(&t, UINT64_C(0x7ffff7ffc000), P(3), P(2), MAYMOVE, 0), UINT64_C(0x7ffff7ffc000));
    assert_map(&t, "110000-112000 rw-p ac\n"
                   "114000-118000 rw-p ac\n"
                   "118000-119000 r--p\n"
                   "7ffff7ffc000-7ffff7ffe000 rw-p ac\n");
    sysctl.max_map_count = 4 + 6;
    assert_int_equal(vmk_system_set_sysctl(t.system, &sysctl), 0);
    assert_ret(remap(0x15, 2, 2, FIXED, 0x60), A(0x60));
}

/* ---- Special areas, drivers, userfaultfd ---- */

static int special_may_split(struct vmk_vma *vma, vmk_addr address)
{
    (void)vma;
    (void)address;
    return -VMK_EINVAL;
}

static void test_special(void **state)
{
    static const struct vmk_vm_ops ops = {.size = sizeof(ops), .may_split = special_may_split};
    const struct vmk_map_special_request request = {.address = A(0x10),
                                                    .len = P(2),
                                                    .flags = VMK_VM_READ | VMK_VM_EXEC | VMK_VM_MAY_ACCESS,
                                                    .ops = &ops,
                                                    .special_name = "[vdso]"};

    (void)state;
    assert_ret(vt_return(&t, vmk_map_special(t.mm, &request, &t.result)), A(0x10));
    map(0x60, 8, VT_R);
    assert_ret(remap(0x10, 2, 4, MAYMOVE, 0), -VMK_EFAULT);
    assert_ret(remap(0x10, 2, 4, FIXED, 0x60), -VMK_EFAULT);
    assert_ret(remap(0x10, 1, 2, MAYMOVE, 0), -VMK_EFAULT);
    assert_ret(remap(0x10, 2, 1, 0, 0), -VMK_EINVAL);
    assert_ret(remap(0x10, 2, 2, FIXED_DONTUNMAP, 0x60), -VMK_EINVAL);
    assert_ret(remap(0x10, 0, 2, FIXED, 0x60), -VMK_EINVAL);
    assert_ret(remap(0x10, 1, 1, FIXED, 0x60), -VMK_EINVAL); /* the split is refused, the destination gone */
    assert_map(&t, "110000-112000 r-xp de pgoff=0 [vdso]\n"
                   "161000-168000 r--p\n");
    assert_ret(remap(0x10, 2, 2, FIXED, 0x62), A(0x62));
    assert_map(&t, "161000-162000 r--p\n"
                   "162000-164000 r-xp de pgoff=0 [vdso]\n"
                   "164000-168000 r--p\n");
}

struct driver {
    int mremap_error, nr_open, nr_close, nr_mremap;
    vmk_addr moved_to;
};
static struct driver driver;

static void driver_open(struct vmk_vma *vma)
{
    (void)vma;
    driver.nr_open++;
}

static void driver_close(struct vmk_vma *vma)
{
    (void)vma;
    driver.nr_close++;
}

static int driver_mremap(struct vmk_vma *vma)
{
    driver.nr_mremap++;
    driver.moved_to = vmk_vma_start(vma);
    return driver.mremap_error;
}

static const struct vmk_vm_ops driver_ops = {
    .size = sizeof(driver_ops), .open = driver_open, .close = driver_close, .mremap = driver_mremap};

static int driver_mmap(struct vmk_file *file, struct vmk_mmap_description *description)
{
    (void)file;
    description->ops = &driver_ops;
    return 0;
}

static void test_driver(void **state)
{
    static const struct vmk_file_ops file_ops = {.size = sizeof(file_ops), .mmap = driver_mmap};
    const struct vmk_object_options object_options = {
        .size = sizeof(object_options), .kind = VMK_OBJECT_DEVICE, .id = 3};
    struct vmk_file_options options = {
        .size = sizeof(options), .mode = VMK_FILE_READ | VMK_FILE_WRITE, .ops = &file_ops, .name = "/dev/x", .id = 3};

    (void)state;
    driver = (struct driver){.mremap_error = 0};
    assert_int_equal(vmk_object_create(t.system, &object_options, &options.object), 0);
    assert_int_equal(vmk_file_create(t.system, &options, &t.files[2]), 0);
    vmk_object_put(options.object);
    assert_ret(vt_mmap_file(&t, A(0x10), P(4), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, t.files[2], 0), A(0x10));
    map(0x60, 8, VT_R);
    driver.mremap_error = -VMK_EBUSY;
    assert_ret(remap(0x10, 4, 4, FIXED, 0x62), -VMK_EBUSY);
    assert_int_equal(driver.nr_open, 0);
    assert_map(&t, "110000-114000 rw-s pgoff=0 file=3\n"
                   "160000-162000 r--p\n"
                   "166000-168000 r--p\n");
    driver.mremap_error = 0;
    assert_ret(remap(0x11, 2, 2, FIXED, 0x62), A(0x62));
    assert_int_equal(driver.moved_to, A(0x62));
    assert_int_equal(driver.nr_mremap, 2);
    assert_int_equal(driver.nr_open, 2);  /* the moved one, and a half of the source */
    assert_int_equal(driver.nr_close, 0); /* what is cut out of an area is not an area */
    assert_ret(remap(0x10, 1, 1, FIXED, 0x66), A(0x66));
    assert_int_equal(driver.nr_close, 1);
    assert_map(&t, "113000-114000 rw-s pgoff=3 file=3\n"
                   "160000-162000 r--p\n"
                   "162000-164000 rw-s pgoff=1 file=3\n"
                   "166000-167000 rw-s pgoff=0 file=3\n"
                   "167000-168000 r--p\n");
}

static int io_mmap(struct vmk_file *file, struct vmk_mmap_description *description)
{
    (void)file;
    description->flags |= VMK_VM_IO;
    return 0;
}

/* IO memory may grow by a move, though not in place: it does not merge, not even with itself. */
static void test_grow_io(void **state)
{
    static const struct vmk_file_ops file_ops = {.size = sizeof(file_ops), .mmap = io_mmap};
    const struct vmk_object_options object_options = {
        .size = sizeof(object_options), .kind = VMK_OBJECT_DEVICE, .id = 3};
    struct vmk_file_options options = {
        .size = sizeof(options), .mode = VMK_FILE_READ | VMK_FILE_WRITE, .ops = &file_ops, .name = "/dev/x", .id = 3};

    (void)state;
    assert_int_equal(vmk_object_create(t.system, &object_options, &options.object), 0);
    assert_int_equal(vmk_file_create(t.system, &options, &t.files[2]), 0);
    vmk_object_put(options.object);
    assert_ret(vt_mmap_file(&t, A(0x10), P(4), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, t.files[2], 0), A(0x10));
    assert_ret(remap(0x10, 4, 5, MAYMOVE, 0), -VMK_ENOMEM);
    assert_ret(remap(0x10, 4, 5, FIXED, 0x20), A(0x20));
    assert_map(&t, "120000-125000 rw-s io pgoff=0 file=3\n");
}

static void test_soft_dirty(void **state)
{
    (void)state;
    vt_teardown(&t);
    vt_init(&t);
    t.system_options.settings.soft_dirty = 1;
    vt_open(&t);
    map(0x10, 4, VT_RW);
    assert_ret(remap(0x10, 4, 4, FIXED, 0x20), A(0x20));
    assert_map(&t, "120000-124000 rw-p ac sd\n");
}

static void uffd_register(unsigned page, unsigned nr, uint32_t follows)
{
    const struct vmk_uffd_request request = {.action = VMK_UFFD_REGISTER,
                                             .context = 7,
                                             .features_remap = follows,
                                             .mode = VMK_UFFD_MODE_MISSING,
                                             .address = A(page),
                                             .len = P(nr)};

    assert_ret(vt_return(&t, vmk_uffd(t.mm, &request, &t.result)), 0);
}

static void test_userfaultfd(void **state)
{
    (void)state;
    map(0x10, 4, VT_RW);
    uffd_register(0x10, 4, 0);
    assert_ret(remap(0x10, 4, 6, 0, 0), A(0x10));
    assert_map(&t, "110000-116000 rw-p um ac uffd=7\n");
    assert_ret(remap(0x11, 2, 2, FIXED_DONTUNMAP, 0x20), A(0x20));
    assert_ret(remap(0x14, 1, 1, FIXED, 0x22), A(0x22));
    assert_map(&t, "110000-114000 rw-p um ac uffd=7\n"
                   "115000-116000 rw-p um ac uffd=7\n"
                   "120000-122000 rw-p ac\n"
                   "122000-123000 rw-p ac\n");
    /* With the event feature the context goes along. */
    map(0x30, 2, VT_RW);
    uffd_register(0x30, 2, 1);
    assert_ret(remap(0x30, 2, 2, FIXED, 0x40), A(0x40));
    assert_map(&t, "110000-114000 rw-p um ac uffd=7\n"
                   "115000-116000 rw-p um ac uffd=7\n"
                   "120000-122000 rw-p ac\n"
                   "122000-123000 rw-p ac\n"
                   "140000-142000 rw-p um ac uffd=7\n");
    /* Dropped after the merge: a neighbour that was joined loses it, one without is not joined. */
    map(0x70, 8, VT_RW);
    uffd_register(0x73, 5, 0);
    assert_ret(remap(0x76, 1, 1, FIXED, 0x72), A(0x72));
    vt_expect_range(t.mm, A(0x70), A(0x80),
                    "170000-172000 rw-p ac\n"
                    "172000-176000 rw-p ac\n"
                    "177000-178000 rw-p ac\n",
                    __FILE__, __LINE__);
    assert_ret(vt_munmap(&t, A(0x70), P(8)), 0);
    /* Not in a move of several. */
    map(0x3c, 2, VT_R);
    map(0x3e, 2, VT_RW);
    assert_ret(remap(0x3c, 6, 6, FIXED, 0x50), -VMK_EFAULT);
    assert_int_equal(t.result.done, P(4));
    assert_map(&t, "110000-114000 rw-p um ac uffd=7\n"
                   "115000-116000 rw-p um ac uffd=7\n"
                   "120000-122000 rw-p ac\n"
                   "122000-123000 rw-p ac\n"
                   "140000-142000 rw-p um ac uffd=7\n"
                   "150000-152000 r--p\n"
                   "152000-154000 rw-p ac\n");
}

static void test_hugetlb(void **state)
{
    const uint32_t flags = VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED | VMK_MAP_HUGETLB | VMK_MAP_NORESERVE;
    const vmk_addr at = UINT64_C(0x200000), to = UINT64_C(0x1000000), huge = UINT64_C(0x200000);

    (void)state;
    assert_ret(vt_mmap_file(&t, at, 2 * huge, VT_RW, flags, NULL, 0), at);
    assert_ret(vt_mremap(&t, at, huge, 2 * huge, MAYMOVE, to), -VMK_EINVAL);
    assert_ret(vt_mremap(&t, at, huge, huge, FIXED, to + P(1)), -VMK_EINVAL);
    assert_ret(vt_mremap(&t, at + P(1), huge, huge, FIXED, to), -VMK_EINVAL);
    assert_ret(vt_mremap(&t, at, P(1), P(1), FIXED, to), to); /* rounded up to a huge page */
    assert_map(&t, "400000-600000 rw-p de nr ht pgoff=200 file=0\n"
                   "1000000-1200000 rw-p de nr ht pgoff=0 file=0\n");
}

/* ---- Embedders ---- */

static void test_two_phases(void **state)
{
    const struct vmk_mremap_request request = {A(0x10), P(4), P(6), FIXED, A(0x60)};
    struct vmk_result result;
    struct vmk_plan plan;
    struct vmk_edit edit;

    (void)state;
    map(0x10, 4, VT_RW);
    map(0x60, 8, VT_R);
    assert_int_equal(vmk_mremap_prepare(t.mm, &request, &plan), 0);
    assert_true(vmk_plan_next_edit(&plan, &edit));
    assert_int_equal(edit.kind, VMK_EDIT_UNMAP);
    assert_int_equal(edit.start, A(0x60));
    assert_int_equal(edit.end, A(0x66));
    assert_false(vmk_plan_next_edit(&plan, &edit));
    assert_int_equal(vmk_plan_commit(&plan, &result), VMK_PLAN_MORE);
    assert_true(vmk_plan_next_edit(&plan, &edit));
    assert_int_equal(edit.kind, VMK_EDIT_MOVE);
    assert_int_equal(edit.from, A(0x10));
    assert_int_equal(edit.end, A(0x64));
    assert_false(edit.keep_source);
    assert_true(vmk_plan_next_edit(&plan, &edit));
    assert_int_equal(edit.kind, VMK_EDIT_MAP);
    assert_int_equal(edit.start, A(0x64));
    assert_int_equal(edit.end, A(0x66));
    assert_false(vmk_plan_next_edit(&plan, &edit));
    /* The host refuses the move: the destination is gone, the source is whole. */
    vmk_plan_abort(&plan, -VMK_ENOMEM, &result);
    assert_int_equal(result.error, -VMK_ENOMEM);
    assert_map(&t, "110000-114000 rw-p ac\n"
                   "166000-168000 r--p\n");
    assert_int_equal(vmk_system_committed(t.system), 4);
    assert_int_equal(vmk_mremap_prepare(t.mm, &request, &plan), 0);
    assert_int_equal(vmk_plan_commit(&plan, &result), VMK_PLAN_DONE);
    assert_int_equal(result.error, 0);
    assert_int_equal(result.value, A(0x60));
    assert_map(&t, "160000-166000 rw-p ac\n"
                   "166000-168000 r--p\n");
}

static struct vmk_change changes[8];
static unsigned nr_changes;

static void note(void *context, struct vmk_mm *mm, const struct vmk_change *change)
{
    (void)context;
    (void)mm;
    assert_true(nr_changes < 8);
    changes[nr_changes++] = *change;
}

static void test_notices(void **state)
{
    (void)state;
    map(0x10, 4, VT_RW);
    assert_int_equal(vmk_mm_track_writes(t.mm, A(0x11), A(0x12)), 0);
    vmk_mm_set_notice(t.mm, note, NULL);
    nr_changes = 0;
    assert_ret(remap(0x10, 4, 6, FIXED, 0x60), A(0x60));
    assert_int_equal(nr_changes, 2);
    assert_int_equal(changes[0].kind, VMK_CHANGE_MAP);
    assert_int_equal(changes[0].start, A(0x64));
    assert_int_equal(changes[1].kind, VMK_CHANGE_MOVE);
    assert_int_equal(changes[1].from, A(0x10));
    assert_int_equal(changes[1].start, A(0x60));
    assert_int_equal(changes[1].end, A(0x64));
    assert_false(vmk_mm_is_tracked(t.mm, A(0x11)));
    vmk_mm_set_notice(t.mm, NULL, NULL);
}

static void test_reserved_range(void **state)
{
    (void)state;
    map(0x10, 4, VT_RW);
    assert_int_equal(vmk_mm_reserve_range(t.mm, A(0x16), A(0x18)), 0);
    assert_ret(remap(0x10, 4, 6, 0, 0), A(0x10));
    assert_ret(remap(0x10, 6, 7, 0, 0), -VMK_ENOMEM);
    assert_ret(remap(0x10, 2, 2, FIXED, 0x17), -VMK_EEXIST);
    assert_map(&t, "110000-116000 rw-p ac\n");
}

/* A child's inherited memory keeps its page offsets, and what it is, when it moves. */
static void test_in_child(void **state)
{
    struct vmk_mm *child, *parent = t.mm;

    (void)state;
    map(0x10, 4, VT_RW);
    vt_touch(&t, A(0x10));
    assert_int_equal(vmk_mm_fork(parent, &child), 0);
    t.mm = child;
    assert_ret(remap(0x12, 2, 2, FIXED, 0x30), A(0x30));
    map(0x12, 1, VT_RW);
    assert_ret(remap(0x31, 1, 1, FIXED, 0x13), A(0x13));
    assert_map(&t, "110000-112000 rw-p ac anon=a1f\n"
                   "112000-113000 rw-p ac\n"
                   "113000-114000 rw-p ac anon=a1f\n"
                   "130000-131000 rw-p ac anon=a1f pgoff=112\n");
    t.mm = parent;
    vmk_mm_put(child);
    assert_map(&t, "110000-114000 rw-p ac anon=a1\n");
}

/* ---- Failing allocations ---- */

static void prepare_moves(struct vt *vt)
{
    vt_anon(vt, A(0x10), P(8), VT_RW);
    vt_touch(vt, A(0x10));
    vt_anon(vt, A(0x60), P(0x10), VT_R);
    assert_ret(vt_mmap_file(vt, A(0x30), P(8), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, vt_file(vt, 1), 0), A(0x30));
}

static int64_t call_shrink(struct vt *vt)
{
    return vt_mremap(vt, A(0x12), P(4), P(2), 0, 0);
}

static int64_t call_grow(struct vt *vt)
{
    return vt_mremap(vt, A(0x10), P(8), P(0x10), 0, 0);
}

static int64_t call_move(struct vt *vt)
{
    return vt_mremap(vt, A(0x12), P(4), P(5), MAYMOVE, 0);
}

static int64_t call_fixed(struct vt *vt)
{
    return vt_mremap(vt, A(0x12), P(4), P(3), FIXED, A(0x62));
}

static int64_t call_keep(struct vt *vt)
{
    return vt_mremap(vt, A(0x32), P(4), P(4), DONTUNMAP, 0);
}

static void prepare_uffd(struct vt *vt)
{
    const struct vmk_uffd_request request = {
        .action = VMK_UFFD_REGISTER, .context = 7, .mode = VMK_UFFD_MODE_MISSING, .address = A(0x10), .len = P(8)};

    vt_anon(vt, A(0x10), P(8), VT_RW);
    assert_ret(vt_return(vt, vmk_uffd(vt->mm, &request, &vt->result)), 0);
}

static int64_t call_uffd(struct vt *vt)
{
    return vt_mremap(vt, A(0x14), P(4), P(4), FIXED, A(0x20));
}

static int64_t call_uffd_above(struct vt *vt)
{
    return vt_mremap(vt, A(0x17), P(1), P(1), FIXED, A(0x0f));
}

static int64_t call_duplicate(struct vt *vt)
{
    return vt_mremap(vt, A(0x32), 0, P(4), MAYMOVE, 0);
}

static void test_failing_allocations(void **state)
{
    (void)state;
    vt_fail_each(prepare_moves, call_shrink, false);
    vt_fail_each(prepare_moves, call_grow, false);
    vt_fail_each(prepare_moves, call_move, false);
    vt_fail_each(prepare_moves, call_fixed, true);
    vt_fail_each(prepare_moves, call_keep, false);
    vt_fail_each(prepare_moves, call_duplicate, false);
    vt_fail_each(prepare_uffd, call_uffd, false);
    vt_fail_each(prepare_uffd, call_uffd_above, false);
}

/* A later area of huge pages that would lie unaligned is refused before anything at its destination goes. */
static void test_several_huge(void **state)
{
    const uint64_t huge = UINT64_C(2) << 20, base = UINT64_C(0x40000000), to = UINT64_C(0x50000000);
    struct vt own;

    (void)state;
    vt_setup(&own);
    vt_anon(&own, base - VT_PAGE, VT_PAGE, VT_R);
    assert_ret(vt_mmap_file(&own, base, huge, VT_R, VT_FIXED | VMK_MAP_HUGETLB | VMK_MAP_NORESERVE, NULL, 0), base);
    vt_anon(&own, to + huge, VT_PAGE, VT_RW);
    assert_ret(
        vt_mremap(&own, base - VT_PAGE, VT_PAGE + huge, VT_PAGE + huge, VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED, to),
        -VMK_EINVAL);
    vt_expect_range(own.mm, to, UINT64_MAX, "50000000-50001000 r--p\n50200000-50201000 rw-p ac\n", __FILE__, __LINE__);
    vt_teardown(&own);
}

/* Each a file of its own, and only the first at a multiple of twice the huge size. */
static void test_several_huge_together(void **state)
{
    const uint32_t flags = VT_FIXED | VMK_MAP_HUGETLB | VMK_MAP_NORESERVE;
    const uint64_t huge = UINT64_C(2) << 20, base = UINT64_C(0x40000000), to = UINT64_C(0x50000000);
    struct vt own;

    (void)state;
    vt_setup(&own);
    for (unsigned i = 0; i < 2; i++)
        assert_ret(vt_mmap_file(&own, base + i * huge, huge, VT_R, flags, NULL, 0), base + i * huge);
    assert_ret(vt_mremap(&own, base, 2 * huge, 2 * huge, VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED, to), to);
    assert_int_equal(own.mm->tree.nr_entries, 2);
    assert_non_null(vmki_find(own.mm, to + huge));
    assert_null(vmki_find(own.mm, base + huge));
    vt_teardown(&own);
}

/* What grows asks for what is new, where the area counts at all. */
static void test_commit_limit(void **state)
{
    struct vmk_sysctl sysctl;

    (void)state;
    vmk_system_sysctl(t.system, &sysctl);
    sysctl.overcommit_memory = VMK_OVERCOMMIT_NEVER;
    sysctl.overcommit_kbytes = 4 * 12;
    sysctl.admin_reserve_kbytes = sysctl.user_reserve_kbytes = 0;
    map(0x10, 4, VT_RW);
    map(0x30, 4, VT_R);
    assert_int_equal(vmk_system_set_sysctl(t.system, &sysctl), 0);
    assert_ret(remap(0x10, 4, 13, 0, 0), -VMK_ENOMEM);
    assert_ret(remap(0x10, 4, 13, FIXED, 0x60), -VMK_ENOMEM);
    assert_ret(remap(0x30, 4, 40, 0, 0), A(0x30));
    assert_ret(remap(0x30, 40, 50, FIXED, 0x90), A(0x90));
    assert_ret(remap(0x10, 4, 10, 0, 0), A(0x10));
    assert_int_equal(vmk_system_committed(t.system), 10);
    assert_ret(remap(0x10, 10, 12, 0, 0), -VMK_ENOMEM); /* a limit of 12 pages leaves 11 */
    assert_ret(remap(0x10, 10, 11, FIXED, 0x60), A(0x60));
    assert_int_equal(vmk_system_committed(t.system), 11);
}

/* A length of the whole address space is one that finds no room; a longer one is none. */
static void test_longest(void **state)
{
    const uint64_t longest = UINT64_C(0x7ffffffff000);

    (void)state;
    vt_anon(&t, BASE, P(1), VT_R);
    assert_ret(vt_mremap(&t, BASE, P(1), longest, 0, 0), -VMK_ENOMEM);
    assert_ret(vt_mremap(&t, BASE, P(1), longest, VMK_MREMAP_MAYMOVE, 0), -VMK_ENOMEM);
    assert_ret(vt_mremap(&t, BASE, P(1), longest + 1, 0, 0), -VMK_EINVAL);
    /* Both lengths are rounded up to pages. */
    vt_anon(&t, BASE, P(4), VT_R);
    assert_ret(vt_mremap(&t, BASE, P(3) + 1, P(2) - 1, 0, 0), BASE);
    assert_map(&t, "10000000-10002000 r--p\n");
    assert_ret(vt_mremap(&t, BASE, P(1) + 1, P(2) + 1, 0, 0), BASE);
    assert_map(&t, "10000000-10003000 r--p\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_arguments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shrink, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shrink_at_the_top, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shrink_onto_sealed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_grow_in_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_grow_between_anon_vmas, setup, teardown),
        cmocka_unit_test_setup_teardown(test_move_free, setup, teardown),
        cmocka_unit_test_setup_teardown(test_move_huge_aligned, setup, teardown),
        cmocka_unit_test_setup_teardown(test_move_fixed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_move_page_offsets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_move_shrinks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_move_shrinks_far, setup, teardown),
        cmocka_unit_test_setup_teardown(test_move_partly, setup, teardown),
        cmocka_unit_test_setup_teardown(test_move_wraps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_move_wraps_over_source, setup, teardown),
        cmocka_unit_test_setup_teardown(test_several, setup, teardown),
        cmocka_unit_test_setup_teardown(test_several_stops, setup, teardown),
        cmocka_unit_test_setup_teardown(test_several_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dontunmap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dontunmap_resets_pgoff, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dontunmap_shared, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dontunmap_locked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_duplicate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_locked_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_commit_charge, setup, teardown),
        cmocka_unit_test_setup_teardown(test_map_count, setup, teardown),
        cmocka_unit_test_setup_teardown(test_special, setup, teardown),
        cmocka_unit_test_setup_teardown(test_driver, setup, teardown),
        cmocka_unit_test_setup_teardown(test_grow_io, setup, teardown),
        cmocka_unit_test_setup_teardown(test_soft_dirty, setup, teardown),
        cmocka_unit_test_setup_teardown(test_userfaultfd, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hugetlb, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_phases, setup, teardown),
        cmocka_unit_test_setup_teardown(test_notices, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reserved_range, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_child, setup, teardown),
        cmocka_unit_test(test_several_huge),
        cmocka_unit_test(test_several_huge_together),
        cmocka_unit_test_setup_teardown(test_commit_limit, setup, teardown),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test_setup_teardown(test_longest, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
