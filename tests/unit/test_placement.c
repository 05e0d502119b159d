/* SPDX-License-Identifier: MIT */
/* Where a new area goes: hints, layouts, windows, guard gaps, huge pages, reserved ranges, randomised layouts. */
#include "calls.h"

#define TOP  UINT64_C(0x7ffff7fff000) /* mmap_base of an x86-64 process with 8 MiB of stack */
#define HUGE (UINT64_C(2) << 20)
#define MIB  (UINT64_C(1) << 20)
#define GIB  (UINT64_C(1) << 30)

static int64_t map_at(struct vt *t, vmk_addr hint, uint64_t len, uint32_t flags)
{
    return vt_mmap_file(t, hint, len, VT_RW, VT_ANON | flags, NULL, 0);
}

/* Where it would go, without mapping it. */
static int64_t place(struct vt *t, vmk_addr hint, uint64_t len, uint32_t flags, struct vmk_file *file, uint64_t pgoff)
{
    vmk_addr address;
    int error = vmk_mm_unmapped_area(t->mm, hint, len, flags, file, pgoff, &address);

    return error != 0 ? error : (int64_t)address;
}

static int64_t place_anon(struct vt *t, vmk_addr hint, uint64_t len, uint32_t flags)
{
    return place(t, hint, len, VT_ANON | flags, NULL, 0);
}

static void test_hints(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(place_anon(&t, BASE, P(1), 0), BASE);
    assert_ret(place_anon(&t, BASE + 5, P(1), 0), BASE); /* down to a page */
    vt_anon(&t, BASE + P(2), P(1), VT_RW);
    assert_ret(place_anon(&t, BASE, P(2), 0), BASE);
    assert_ret(place_anon(&t, BASE, P(3), 0), TOP - P(3));                     /* taken: as without one */
    assert_ret(place_anon(&t, TOP, P(1), 0), TOP);                             /* above mmap_base, free */
    assert_ret(place_anon(&t, UINT64_C(0x7fffffffe000), P(2), 0), TOP - P(2)); /* past the end */
    assert_ret(place_anon(&t, 0, 0, 0), -VMK_EINVAL);
    assert_ret(place_anon(&t, 0, UINT64_C(1) << 47, 0), -VMK_ENOMEM);
    /* Low hints go to the lowest address that may be mapped. */
    assert_ret(map_at(&t, P(1), P(1), 0), 65536);
    assert_ret(vt_mmap_file(&t, P(1), P(1), VT_R, VT_FIXED, NULL, 0), -VMK_EPERM);
    vmk_mm_set_capabilities(t.mm, VMK_CAP_SYS_RAWIO);
    vt_anon(&t, P(1), P(1), VT_R);
    assert_ret(vt_mmap_file(&t, BASE + 1, P(1), VT_R, VT_FIXED, NULL, 0), -VMK_EINVAL);
    assert_ret(vt_mmap_file(&t, UINT64_C(0x7ffffffff000), P(1), VT_R, VT_FIXED, NULL, 0), -VMK_ENOMEM);
    assert_ret(vt_mmap_file(&t, UINT64_MAX - 4095, P(1), VT_R, VT_FIXED, NULL, 0), -VMK_ENOMEM);
    assert_map(&t, "1000-2000 r--p\n10000-11000 rw-p ac\n10002000-10003000 rw-p ac\n");
    vt_teardown(&t);
}

static void test_guard_gap(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(vt_mmap_file(&t, TOP - P(10), P(10), VT_RW, VT_FIXED | VMK_MAP_GROWSDOWN, NULL, 0), TOP - P(10));
    assert_ret(place_anon(&t, 0, P(1), 0), TOP - P(10 + 256 + 1));
    assert_ret(place_anon(&t, TOP - P(11), P(1), 0), TOP - P(10 + 256 + 1)); /* a hint in the gap is not free */
    assert_ret(place_anon(&t, TOP - P(10 + 256 + 1), P(1), 0), TOP - P(10 + 256 + 1));
    vt_anon(&t, TOP - P(11), P(1), VT_R); /* MAP_FIXED may */
    assert_map(&t, "7ffff7ff4000-7ffff7ff5000 r--p\n7ffff7ff5000-7ffff7fff000 rw-p gd ac\n");
    vt_teardown(&t);
}

static void test_32bit_and_above4g(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(map_at(&t, 0, P(1), VMK_MAP_32BIT), GIB);
    assert_ret(map_at(&t, 0, P(1), VMK_MAP_32BIT), GIB + P(1));
    assert_ret(place_anon(&t, 5 * GIB, P(1), VMK_MAP_32BIT), GIB + P(2)); /* a hint outside is none */
    assert_ret(place_anon(&t, GIB + P(9), P(1), VMK_MAP_32BIT), GIB + P(9));
    assert_ret(place_anon(&t, GIB, P(1), VMK_MAP_32BIT), GIB + P(2));
    assert_ret(place_anon(&t, 0, GIB, VMK_MAP_32BIT), -VMK_ENOMEM);
    assert_ret(place_anon(&t, 0, 3 * GIB, VMK_MAP_32BIT), -VMK_ENOMEM);
    assert_ret(place_anon(&t, 0, P(1), VMK_MAP_ABOVE4G), TOP - P(1));
    assert_map(&t, "40000000-40002000 rw-p ac\n");
    vt_teardown(&t);
}

/* Top-down with everything above 4 GiB taken: ABOVE4G does not go below. */
static void test_above4g_full(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(vt_mmap_file(&t, 4 * GIB, UINT64_C(0x7ffffffff000) - 4 * GIB, VMK_PROT_NONE, VT_FIXED, NULL, 0),
               4 * GIB);
    assert_ret(place_anon(&t, 0, P(1), 0), 4 * GIB - P(1));
    assert_ret(place_anon(&t, 0, P(1), VMK_MAP_ABOVE4G), -VMK_ENOMEM);
    vt_teardown(&t);
}

static void test_legacy(void **state)
{
    const vmk_addr base = UINT64_C(0x2aaaaaaab000); /* a third of the address space */
    struct vmk_mm_layout layout;
    struct vt t;

    (void)state;
    vt_init(&t);
    t.mm_options.personality |= VMK_ADDR_COMPAT_LAYOUT;
    vt_open(&t);
    vmk_mm_get_layout(t.mm, &layout);
    assert_false(layout.top_down);
    assert_int_equal(layout.mmap_legacy_base, base);
    assert_ret(map_at(&t, 0, P(2), 0), base);
    assert_ret(vt_mmap_file(&t, 0, P(1), VT_R, VT_ANON, NULL, 0), base + P(2));
    assert_ret(map_at(&t, BASE, P(1), 0), BASE);
    assert_ret(map_at(&t, base, P(1), 0), base + P(3));
    assert_map(&t, "10000000-10001000 rw-p ac\n2aaaaaaab000-2aaaaaaad000 rw-p ac\n2aaaaaaad000-2aaaaaaae000 r--p\n"
                   "2aaaaaaae000-2aaaaaaaf000 rw-p ac\n");
    /* A stack's guard gap is left out from below as well. */
    assert_ret(vt_mmap_file(&t, base + P(304), P(1), VT_RW, VT_FIXED | VMK_MAP_GROWSDOWN, NULL, 0), base + P(304));
    assert_ret(place_anon(&t, 0, P(44), 0), base + P(4));
    assert_ret(place_anon(&t, 0, P(46), 0), base + P(305));
    vt_teardown(&t);
    vt_init(&t);
    t.system_options.sysctl.legacy_va_layout = 1;
    vt_open(&t);
    assert_ret(place_anon(&t, 0, P(1), 0), base);
    vt_teardown(&t);
}

static void test_reserved(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(vmk_mm_reserve_range(t.mm, TOP - P(4), TOP - P(1)), 0);
    assert_ret(place_anon(&t, 0, P(1), 0), TOP - P(1));
    assert_ret(place_anon(&t, 0, P(2), 0), TOP - P(6));
    assert_ret(place_anon(&t, TOP - P(3), P(1), 0), TOP - P(1)); /* a hint on it is not free */
    vmk_mm_set_personality(t.mm, VMK_ADDR_NO_RANDOMIZE);
    assert_ret(vmk_mm_reserve_range(t.mm, GIB + P(1), GIB + P(3)), 0);
    assert_ret(place_anon(&t, 0, P(1), VMK_MAP_32BIT), GIB);
    assert_ret(place_anon(&t, 0, P(2), VMK_MAP_32BIT), GIB + P(3));
    vt_teardown(&t);
}

static void test_gaps(void **state)
{
    vmk_addr at;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE + P(2), P(2), VT_RW);
    assert_ret(vmk_mm_gap_highest(t.mm, BASE, BASE + P(8), P(2), &at), 0);
    assert_int_equal(at, BASE + P(6));
    assert_ret(vmk_mm_gap_highest(t.mm, BASE, BASE + P(5), P(1) + 1, &at), 0);
    assert_int_equal(at, BASE);
    assert_ret(vmk_mm_gap_lowest(t.mm, BASE, BASE + P(8), P(3), &at), 0);
    assert_int_equal(at, BASE + P(4));
    assert_ret(vmk_mm_gap_lowest(t.mm, BASE, BASE + P(8), P(5), &at), -VMK_ENOMEM);
    assert_ret(vmk_mm_gap_highest(t.mm, BASE, BASE + P(8), P(5), &at), -VMK_ENOMEM);
    assert_ret(vmk_mm_gap_highest(t.mm, BASE, BASE + P(8), 0, &at), -VMK_EINVAL);
    assert_ret(vmk_mm_gap_lowest(t.mm, BASE, BASE + P(8), 0, &at), -VMK_EINVAL);
    assert_ret(vmk_mm_gap_lowest(t.mm, 0, BASE, P(1), &at), 0);
    assert_int_equal(at, 65536);
    vt_teardown(&t);
}

static void test_window(void **state)
{
    struct vmk_mm *mm;
    struct vt t;

    (void)state;
    vt_init(&t);
    t.mm_options.window_low = BASE;
    t.mm_options.window_high = BASE + P(8);
    vt_open(&t);
    assert_ret(map_at(&t, 0, P(6), 0), BASE + P(2));
    assert_ret(map_at(&t, 0, P(3), 0), -VMK_ENOMEM);               /* nowhere else */
    assert_ret(map_at(&t, BASE + P(100), P(1), 0), BASE + P(100)); /* a hint may leave it */
    assert_ret(map_at(&t, 0, P(2), 0), BASE);
    assert_map(&t, "10000000-10008000 rw-p ac\n10064000-10065000 rw-p ac\n");
    t.mm_options.window_low = BASE + P(9);
    assert_ret(vmk_mm_create(t.system, &t.mm_options, &mm), -VMK_ERR_MISUSE);
    vt_teardown(&t);
    vt_init(&t);
    t.mm_options.window_low = BASE;
    t.mm_options.window_high = BASE + P(8);
    t.mm_options.personality |= VMK_ADDR_COMPAT_LAYOUT;
    vt_open(&t);
    assert_ret(map_at(&t, 0, P(6), 0), BASE);
    assert_ret(map_at(&t, 0, P(3), 0), -VMK_ENOMEM);
    vt_teardown(&t);
    vt_init(&t);
    t.mm_options.mmap_base = BASE;
    vt_open(&t);
    assert_ret(map_at(&t, 0, P(1), 0), BASE - P(1));
    vt_teardown(&t);
}

/* A security module keeps hints, searches and stacks higher than privilege is asked for. */
static void test_lowest(void **state)
{
    struct vmk_mremap_request move = {.old_address = 0x5000, .old_len = P(1), .new_len = P(1), .new_address = 0x3000};
    struct vmk_fault_request fault = {.address = 0x1f000, .access = VMK_ACCESS_WRITE, .flags = VMK_FAULT_USER};
    struct vmk_fault result;
    vmk_addr address;
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.settings.mmap_min_addr = 4096;
    t.system_options.settings.lsm_min_addr = 0x20000;
    t.mm_options.capabilities = 0;
    vt_open(&t);
    assert_ret(map_at(&t, 0x5000, P(1), 0), 0x20000);
    assert_ret(map_at(&t, 0x5000, P(1), VMK_MAP_FIXED), 0x5000);
    assert_ret(map_at(&t, 0, P(1), VMK_MAP_FIXED), -VMK_EPERM);
    move.flags = VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED;
    assert_int_equal(vmk_mremap(t.mm, &move, &t.result), 0);
    move.old_address = 0x3000;
    move.new_address = 0;
    assert_int_equal(vmk_mremap(t.mm, &move, &t.result), -VMK_EPERM);
    assert_int_equal(vmk_mm_gap_lowest(t.mm, 0, TOP, P(1), &address), 0);
    assert_ret(address, 0x21000);
    assert_int_equal(vmk_munmap(t.mm, &(struct vmk_munmap_request){.address = 0x3000, .len = P(30)}, NULL), 0);
    assert_ret(map_at(&t, 0x20000, P(1), VMK_MAP_FIXED | VMK_MAP_GROWSDOWN), 0x20000);
    assert_int_equal(vmk_mm_fault(t.mm, &fault, &result), 0);
    assert_int_equal(result.fault_case, VMK_FAULT_CASE_1B);
    vt_teardown(&t);
    vt_init(&t);
    t.system_options.settings.mmap_min_addr = 4096;
    t.system_options.settings.lsm_min_addr = 0x20000;
    t.mm_options.window_low = 0x1000;
    t.mm_options.window_high = 0x22000;
    vt_open(&t);
    assert_ret(place_anon(&t, 0, P(2), 0), 0x20000);
    assert_ret(place_anon(&t, 0, P(3), 0), -VMK_ENOMEM);
    vt_teardown(&t);
    vt_init(&t);
    t.system_options.settings.lsm_min_addr = 4096; /* lower than mmap_min_addr: of no effect */
    t.mm_options.capabilities = 0;
    vt_open(&t);
    assert_ret(map_at(&t, 0x5000, P(1), 0), 0x10000);
    assert_ret(map_at(&t, 0x5000, P(1), VMK_MAP_FIXED), -VMK_EPERM);
    vt_teardown(&t);
}

/* Five-level tables: a hint above the ordinary window opens the wide one. */
static void test_wide(void **state)
{
    const vmk_addr high = UINT64_C(1) << 50, border = UINT64_C(0x7ffffffff000);
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.settings.va_bits_wide = 56;
    vt_open(&t);
    assert_ret(place_anon(&t, 0, P(1), 0), TOP - P(1));
    assert_ret(map_at(&t, high, P(1), 0), high);
    assert_ret(place_anon(&t, high, P(1), 0), (int64_t)((UINT64_C(1) << 56) - (UINT64_C(1) << 47) + TOP - P(1)));
    assert_ret(place_anon(&t, border - P(1), P(2), 0), TOP - P(2)); /* a hint may not straddle the border */
    vt_anon(&t, high + P(4), P(1), VT_R);
    vt_teardown(&t);
    vt_init(&t);
    t.system_options.settings.va_bits_wide = 56;
    t.mm_options.personality |= VMK_ADDR_COMPAT_LAYOUT;
    vt_open(&t);
    assert_ret(map_at(&t, high, P(1), 0), high);
    assert_ret(place_anon(&t, high, P(1), 0), 0x2aaaaaaab000);
    vt_teardown(&t);
}

static void test_huge_anonymous(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(map_at(&t, 0, P(1), 0), TOP - P(1));
    assert_ret(map_at(&t, 0, HUGE, 0), 0x7ffff7c00000);
    assert_ret(place_anon(&t, 0, HUGE + P(1), 0), 0x7ffff79ff000); /* no multiple: not aligned */
    assert_ret(place(&t, 0, HUGE, VMK_MAP_SHARED | VMK_MAP_ANONYMOUS, NULL, 0), 0x7ffff7a00000);
    assert_ret(place_anon(&t, BASE + P(1), HUGE, 0), BASE + P(1));   /* a hint that is free wins */
    assert_ret(place_anon(&t, TOP - P(2), HUGE, 0), 0x7ffff7a00000); /* one that is taken is as none */
    assert_map(&t, "7ffff7c00000-7ffff7e00000 rw-p ac\n7ffff7ffe000-7ffff7fff000 rw-p ac\n");
    vt_teardown(&t);
    vt_init(&t);
    t.system_options.settings.thp_align_anon = 0;
    vt_open(&t);
    assert_ret(place_anon(&t, 0, HUGE, 0), TOP - HUGE);
    vt_teardown(&t);
    /* No room for a huge page more: the plain search decides. */
    vt_init(&t);
    t.mm_options.window_low = BASE + P(1);
    t.mm_options.window_high = BASE + P(1) + HUGE;
    vt_open(&t);
    assert_ret(place_anon(&t, 0, HUGE, 0), BASE + P(1));
    vt_teardown(&t);
}

static void test_huge_files(void **state)
{
    struct vmk_file *aligned, *zero, *plain;
    int64_t at;
    struct vt t;

    (void)state;
    vt_setup(&t);
    aligned = vt_file_mode(&t, 1, VMK_OBJECT_REGULAR, VMK_FILE_READ | VMK_FILE_WRITE | VMK_FILE_THP_ALIGN, 0);
    zero = vt_file_kind(&t, 2, VMK_OBJECT_ZERO, 0);
    plain = vt_file(&t, 3);
    for (uint64_t pgoff = 0; pgoff < 1024; pgoff += 100) {
        at = place(&t, 0, 4 * HUGE + P(3), VMK_MAP_PRIVATE, aligned, pgoff);
        assert_true(at > 0 && at <= (int64_t)(TOP - 4 * HUGE - P(3)));
        assert_int_equal(((uint64_t)at - P(pgoff)) % HUGE, 0);
    }
    assert_ret(place(&t, 0, P(100), VMK_MAP_PRIVATE, aligned, 1), TOP - P(100)); /* no whole huge page in it */
    assert_ret(place(&t, 0, 2 * HUGE, VMK_MAP_PRIVATE, plain, 0), TOP - 2 * HUGE);
    at = place(&t, 0, 2 * HUGE + P(1), VMK_MAP_PRIVATE, zero, 0);
    assert_true(at > 0);
    assert_int_equal((uint64_t)at % HUGE, 0);
    assert_ret(place(&t, 0, 2 * HUGE, VMK_MAP_SHARED, zero, 0), TOP - 2 * HUGE);
    assert_ret(place(&t, BASE, 2 * HUGE, VMK_MAP_PRIVATE, aligned, 0), BASE);
    assert_ret(place(&t, BASE + P(1), 2 * HUGE, VMK_MAP_PRIVATE, aligned, 0), BASE + P(1));
    vt_teardown(&t);
}

static void test_hugetlb(void **state)
{
    struct vmk_file *file;
    struct vt t;

    (void)state;
    vt_setup(&t);
    file = vt_file_kind(&t, 1, VMK_OBJECT_HUGETLB, 16 * HUGE);
    assert_ret(place(&t, 0, HUGE, VMK_MAP_SHARED, file, 0), 0x7ffff7c00000);
    assert_ret(place(&t, 0, P(1), VMK_MAP_SHARED, file, 0), -VMK_EINVAL);
    assert_ret(place(&t, BASE + P(1), HUGE, VMK_MAP_SHARED, file, 0), BASE + HUGE); /* a hint is rounded up */
    assert_ret(place(&t, BASE + P(1), HUGE, VMK_MAP_SHARED | VMK_MAP_FIXED, file, 0), -VMK_EINVAL);
    assert_ret(place(&t, BASE, HUGE, VMK_MAP_SHARED | VMK_MAP_FIXED, file, 0), BASE);
    vt_anon(&t, BASE + HUGE, P(1), VT_R);
    assert_ret(place(&t, BASE + P(1), HUGE, VMK_MAP_SHARED, file, 0), 0x7ffff7c00000);
    assert_ret(vt_mmap_file(&t, 0, P(1), VT_RW, VMK_MAP_SHARED, file, 0), 0x7ffff7c00000); /* a whole huge page */
    assert_map(&t, "10200000-10201000 r--p\n7ffff7c00000-7ffff7e00000 rw-s de ht pgoff=0 file=1\n");
    vt_teardown(&t);
    vt_init(&t);
    t.mm_options.personality |= VMK_ADDR_COMPAT_LAYOUT;
    vt_open(&t);
    file = vt_file_kind(&t, 1, VMK_OBJECT_HUGETLB, 16 * HUGE);
    assert_ret(place(&t, 0, HUGE, VMK_MAP_SHARED, file, 0), 0x2aaaaac00000);
    vt_teardown(&t);
}

static void test_stack_limit(void **state)
{
    struct vmk_mm_layout layout;
    struct vt t;

    (void)state;
    vt_init(&t); /* within five sixths of the address space */
    t.mm_options.rlimits.stack.soft = VMK_RLIM_INFINITY;
    vt_open(&t);
    vmk_mm_get_layout(t.mm, &layout);
    assert_true(layout.top_down);
    assert_int_equal(layout.mmap_base, UINT64_C(0x155555556000));
    vt_teardown(&t);
    vt_init(&t);
    t.mm_options.rlimits.stack.soft = GIB;
    vt_open(&t);
    vmk_mm_get_layout(t.mm, &layout);
    assert_int_equal(layout.mmap_base, UINT64_C(0x7ffffffff000) - GIB - MIB);
    vt_teardown(&t);
    vt_init(&t); /* arm64: bottom-up */
    vmk_settings_init(&t.system_options.settings, VMK_LINUX_VERSION(6, 18), VMK_ARCH_ARM64);
    t.mm_options.rlimits.stack.soft = VMK_RLIM_INFINITY;
    vt_open(&t);
    vmk_mm_get_layout(t.mm, &layout);
    assert_false(layout.top_down);
    assert_ret(place_anon(&t, 0, P(1), 0), UINT64_C(1) << 46);
    vt_teardown(&t);
}

static void test_arm64(void **state)
{
    static const unsigned shifts[] = {12, 14, 16};
    struct vt t;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        uint64_t page = UINT64_C(1) << shifts[i], top = (UINT64_C(1) << 48) - 128 * MIB;

        vt_init(&t);
        vmk_settings_init(&t.system_options.settings, VMK_LINUX_VERSION(6, 18), VMK_ARCH_ARM64);
        assert_ret(vmk_settings_set_page_shift(&t.system_options.settings, shifts[i]), 0);
        vt_open(&t);
        assert_ret(map_at(&t, 0, 1, 0), (int64_t)(top - page));
        assert_ret(map_at(&t, 0, page + 1, VMK_MAP_32BIT), (int64_t)(top - 3 * page)); /* no such flag there */
        assert_ret(map_at(&t, BASE + 1, 1, 0), BASE);
        assert_ret(vt_mprotect(&t, BASE, 1, VT_R), 0);
        assert_ret(vt_munmap(&t, top - 2 * page, page), 0);
        assert_ret(vt_munmap(&t, top - page / 2, page), -VMK_EINVAL);
        vt_teardown(&t);
    }
}

static void random_layout(uint64_t seed, struct vmk_mm_layout *layout)
{
    struct vt t;

    vt_init(&t);
    t.mm_options.personality = 0;
    t.mm_options.seed = seed;
    vt_open(&t);
    vmk_mm_get_layout(t.mm, layout);
    vt_teardown(&t);
}

static void test_random(void **state)
{
    struct vmk_mm_layout first, again;
    uint64_t bits = 0;

    (void)state;
    random_layout(1, &first);
    random_layout(1, &again);
    assert_memory_equal(&first, &again, sizeof(first));
    for (uint64_t seed = 2; seed < 64; seed++) {
        random_layout(seed, &again);
        assert_true(again.mmap_base < TOP && again.mmap_base % P(1) == 0);
        assert_true(again.mmap_base > (UINT64_C(1) << 47) - (UINT64_C(1) << 40) - 17 * GIB);
        bits |= again.mmap_base ^ first.mmap_base;
    }
    assert_int_equal(bits >> 12 & ((1u << 28) - 1), (1u << 28) - 1); /* every random bit varies */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_guard_gap),
        cmocka_unit_test(test_32bit_and_above4g),
        cmocka_unit_test(test_above4g_full),
        cmocka_unit_test(test_legacy),
        cmocka_unit_test(test_reserved),
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_lowest),
        cmocka_unit_test(test_wide),
        cmocka_unit_test(test_huge_anonymous),
        cmocka_unit_test(test_huge_files),
        cmocka_unit_test(test_hugetlb),
        cmocka_unit_test(test_stack_limit),
        cmocka_unit_test(test_arm64),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
