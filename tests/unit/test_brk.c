/* SPDX-License-Identifier: MIT */
/* brk(2): growth and shrinking, what lies in its way, limits, and the start of the heap. */
#include "calls.h"

static int64_t heap(struct vt *t, vmk_addr address)
{
    const struct vmk_brk_request request = {.address = address};

    vmk_brk(t->mm, &request, &t->result);
    vt_validate(t);
    return (int64_t)t->result.value;
}

static void set_marks(struct vt *t, vmk_addr start_brk)
{
    struct vmk_mm_layout layout;

    vmk_mm_get_layout(t->mm, &layout);
    layout.start_data = BASE - P(4);
    layout.end_data = BASE - P(2);
    layout.start_brk = start_brk;
    layout.brk = start_brk;
    vmk_mm_set_layout(t->mm, &layout);
}

static void setup(struct vt *t)
{
    vt_setup(t);
    set_marks(t, BASE);
}

static void set_limits(struct vt *t, uint64_t as, uint64_t data, uint64_t memlock)
{
    struct vmk_rlimits rlimits;

    vmk_mm_get_rlimits(t->mm, &rlimits);
    rlimits.as.soft = as;
    rlimits.data.soft = data;
    rlimits.memlock.soft = memlock;
    vmk_mm_set_rlimits(t->mm, &rlimits);
}

static void test_grow_and_shrink(void **state)
{
    struct vt t;

    (void)state;
    setup(&t);
    assert_ret(heap(&t, 0), BASE); /* the way to ask */
    assert_ret(t.result.error, -VMK_EINVAL);
    assert_ret(heap(&t, BASE + 1), BASE + 1);
    assert_map(&t, "10000000-10001000 rw-p ac [heap]\n");
    assert_ret(heap(&t, BASE + P(1)), BASE + P(1)); /* the same page: only the mark moves */
    assert_map(&t, "10000000-10001000 rw-p ac [heap]\n");
    assert_ret(heap(&t, BASE + P(3) + 5), BASE + P(3) + 5);
    assert_map(&t, "10000000-10004000 rw-p ac [heap]\n");
    assert_ret(heap(&t, BASE + P(2)), BASE + P(2));
    assert_map(&t, "10000000-10002000 rw-p ac [heap]\n");
    assert_ret(heap(&t, BASE - 1), BASE + P(2)); /* below its start */
    assert_ret(t.result.error, -VMK_EINVAL);
    assert_ret(heap(&t, BASE), BASE);
    assert_map(&t, "");
    assert_ret(vmk_system_committed(t.system), 0);
    vt_teardown(&t);
}

static void test_joins(void **state)
{
    struct vt t;

    (void)state;
    setup(&t);
    vt_anon(&t, BASE - P(1), P(1), VT_RW); /* bss: the heap never joins it */
    assert_ret(heap(&t, BASE + P(1)), BASE + P(1));
    assert_map(&t, "ffff000-10000000 rw-p ac\n10000000-10001000 rw-p ac [heap]\n");
    assert_ret(heap(&t, BASE + P(2)), BASE + P(2)); /* a heap that is there grows */
    assert_map(&t, "ffff000-10000000 rw-p ac\n10000000-10002000 rw-p ac [heap]\n");
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_R), 0);
    assert_ret(heap(&t, BASE + P(3)), BASE + P(3));
    assert_map(&t, "ffff000-10000000 rw-p ac\n10000000-10001000 rw-p ac [heap]\n10001000-10002000 r--p [heap]\n"
                   "10002000-10003000 rw-p ac [heap]\n");
    assert_ret(vt_munmap(&t, BASE + P(2), P(1)), 0); /* a hole at its end: shrinking over it changes nothing */
    assert_ret(heap(&t, BASE + P(2)), BASE + P(3));
    assert_ret(t.result.error, -VMK_EINVAL);
    assert_ret(heap(&t, BASE + P(1)), BASE + P(1));
    assert_map(&t, "ffff000-10000000 rw-p ac\n10000000-10001000 rw-p ac [heap]\n");
    vt_teardown(&t);
}

static void test_what_lies_above(void **state)
{
    struct vt t;

    (void)state;
    setup(&t);
    vt_anon(&t, BASE + P(4), P(1), VT_R);
    assert_ret(heap(&t, BASE + P(4)), BASE); /* a page must stay free */
    assert_ret(t.result.error, -VMK_ENOMEM);
    assert_ret(heap(&t, BASE + P(6)), BASE);
    assert_ret(heap(&t, BASE + P(3)), BASE + P(3));
    assert_map(&t, "10000000-10003000 rw-p ac [heap]\n10004000-10005000 r--p\n");
    assert_ret(heap(&t, BASE), BASE);
    assert_ret(vt_munmap(&t, BASE + P(4), P(1)), 0);
    /* A stack keeps its guard gap, 256 pages, and the heap a page more. */
    assert_ret(vt_mmap_file(&t, BASE + P(300), P(1), VT_RW, VT_FIXED | VMK_MAP_GROWSDOWN, NULL, 0), BASE + P(300));
    assert_ret(heap(&t, BASE + P(44)), BASE);
    assert_ret(heap(&t, BASE + P(43)), BASE + P(43));
    assert_map(&t, "10000000-1002b000 rw-p ac [heap]\n1012c000-1012d000 rw-p gd ac\n");
    vt_teardown(&t);
}

static void test_limits(void **state)
{
    const uint64_t none = VMK_RLIM_INFINITY;
    struct vmk_sysctl sysctl;
    struct vt t;

    (void)state;
    setup(&t);
    set_limits(&t, none, P(4), none); /* two pages of data count with the heap */
    assert_ret(heap(&t, BASE + P(2) + 1), BASE);
    assert_ret(t.result.error, -VMK_ENOMEM);
    assert_ret(heap(&t, BASE + P(2)), BASE + P(2));
    set_limits(&t, P(2), none, none);
    assert_ret(heap(&t, BASE + P(3)), BASE + P(2));
    set_limits(&t, none, none, none);
    assert_ret(heap(&t, UINT64_C(0x7ffffffff001)), BASE + P(2)); /* beyond the address space */
    assert_ret(t.result.error, -VMK_ENOMEM);
    vmk_system_sysctl(t.system, &sysctl);
    sysctl.max_map_count = 0;
    assert_ret(vmk_system_set_sysctl(t.system, &sysctl), 0);
    assert_ret(heap(&t, BASE + P(3)), BASE + P(2));
    sysctl.max_map_count = 65530;
    sysctl.total_ram_pages = 2;
    assert_ret(vmk_system_set_sysctl(t.system, &sysctl), 0);
    assert_ret(heap(&t, BASE + P(5)), BASE + P(2));
    assert_ret(heap(&t, BASE + P(4)), BASE + P(4));
    assert_map(&t, "10000000-10004000 rw-p ac [heap]\n");
    vt_teardown(&t);
}

static void test_locked(void **state)
{
    const uint64_t none = VMK_RLIM_INFINITY;
    struct vt t;

    (void)state;
    setup(&t);
    assert_ret(vt_mlockall(&t, VMK_MCL_FUTURE), 0);
    set_limits(&t, none, none, P(2));
    assert_ret(heap(&t, BASE + P(3)), BASE);
    assert_ret(t.result.error, -VMK_EAGAIN);
    assert_ret(heap(&t, BASE + P(2)), BASE + P(2)); /* populated: it has its anon_vma */
    assert_map(&t, "10000000-10002000 rw-p lo ac anon=a1 [heap]\n");
    vt_teardown(&t);
}

static void test_personality(void **state)
{
    struct vt t;

    (void)state;
    setup(&t);
    vmk_mm_set_personality(t.mm, VMK_READ_IMPLIES_EXEC | VMK_ADDR_NO_RANDOMIZE);
    assert_ret(heap(&t, BASE + P(1)), BASE + P(1));
    assert_map(&t, "10000000-10001000 rwxp ac [heap]\n");
    vt_teardown(&t);
}

/* The start of the heap need not be aligned; the pages are. */
static void test_unaligned_start(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    set_marks(&t, BASE + 0x10);
    assert_ret(heap(&t, BASE + 0x20), BASE + 0x20);
    assert_map(&t, "");
    assert_ret(heap(&t, BASE + P(2)), BASE + P(2));
    assert_map(&t, "10001000-10002000 rw-p ac [heap]\n");
    vt_teardown(&t);
}

static void test_page_sizes(void **state)
{
    struct vt t;

    (void)state;
    vt_init(&t);
    vmk_settings_init(&t.system_options.settings, VMK_LINUX_VERSION(6, 18), VMK_ARCH_ARM64);
    assert_ret(vmk_settings_set_page_shift(&t.system_options.settings, 16), 0);
    vt_open(&t);
    set_marks(&t, BASE);
    assert_ret(heap(&t, BASE + 1), BASE + 1);
    assert_map(&t, "10000000-10010000 rw-p ac [heap]\n");
    vt_teardown(&t);
}

static void prepare_fail(struct vt *t)
{
    set_marks(t, BASE);
}

static void prepare_heap(struct vt *t)
{
    prepare_fail(t);
    assert_ret(heap(t, BASE + P(4)), BASE + P(4));
    assert_ret(vt_mprotect(t, BASE + P(1), P(1), VT_R), 0);
}

static int64_t outcome(struct vt *t, vmk_addr address)
{
    int64_t value = heap(t, address);

    return t->result.error != 0 ? t->result.error : value;
}

static int64_t grow(struct vt *t)
{
    return outcome(t, BASE + P(6));
}

static int64_t shrink(struct vt *t)
{
    return outcome(t, BASE + P(3));
}

static void test_failing_allocations(void **state)
{
    (void)state;
    vt_fail_each(prepare_fail, grow, false);
    vt_fail_each(prepare_heap, grow, false);
    vt_fail_each(prepare_heap, shrink, false);
}

/* What the host has reserved is in the way only once limits and the charge were asked: nothing of them stays. */
static void test_reserved(void **state)
{
    struct vt t;

    (void)state;
    setup(&t);
    assert_ret(heap(&t, BASE + P(2)), BASE + P(2));
    assert_int_equal(vmk_mm_reserve_range(t.mm, BASE + P(4), BASE + P(5)), 0);
    assert_ret(heap(&t, BASE + P(6)), BASE + P(2));
    assert_ret(t.result.error, -VMK_EEXIST);
    assert_int_equal(vmk_system_committed(t.system), 2);
    assert_ret(heap(&t, BASE + P(4)), BASE + P(4));
    assert_int_equal(vmk_system_committed(t.system), 4);
    assert_map(&t, "10000000-10004000 rw-p ac [heap]\n");
    vt_teardown(&t);
}

/* Where no limits are enforced RLIMIT_DATA is none. */
static void test_no_limits(void **state)
{
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.settings.enforce_limits = 0;
    vt_open(&t);
    set_marks(&t, BASE);
    set_limits(&t, P(1), P(1), P(1));
    assert_ret(heap(&t, BASE + P(3)), BASE + P(3));
    assert_map(&t, "10000000-10003000 rw-p ac [heap]\n");
    assert_int_equal(vmk_system_committed(t.system), 0);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grow_and_shrink), cmocka_unit_test(test_joins),
        cmocka_unit_test(test_what_lies_above), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_locked),          cmocka_unit_test(test_personality),
        cmocka_unit_test(test_unaligned_start), cmocka_unit_test(test_page_sizes),
        cmocka_unit_test(test_reserved),        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_no_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
