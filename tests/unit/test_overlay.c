/* SPDX-License-Identifier: MIT */
/* Write tracking: page by page, beside the areas. */
#include "support.h"

#include "mm/overlay.h"

#define BASE UINT64_C(0x10000000)
#define P(n) ((uint64_t)(n)*VT_PAGE)

static enum vmk_fault_outcome write_to(struct vt *t, vmk_addr address)
{
    const struct vmk_fault_request request = {.address = address, .access = VMK_ACCESS_WRITE};
    struct vmk_fault fault;

    assert_int_equal(vmk_mm_fault(t->mm, &request, &fault), 0);
    vt_validate(t);
    return fault.outcome;
}

/* The tracked pages among the first 64, as bits. */
static uint64_t tracked(struct vt *t)
{
    uint64_t bits = 0;

    for (unsigned i = 0; i < 64; i++)
        bits |= (uint64_t)vmk_mm_is_tracked(t->mm, BASE + P(i)) << i;
    return bits;
}

static void pages_come_and_go(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_int_equal(vmk_mm_untrack_writes(t.mm, BASE, BASE + P(1)), 0);
    assert_null(t.mm->overlay);
    assert_int_equal(vmk_mm_track_writes(t.mm, BASE + 1, BASE + P(1)), -VMK_EINVAL);
    assert_int_equal(vmk_mm_track_writes(t.mm, BASE + P(1), BASE), -VMK_EINVAL);
    assert_int_equal(vmk_mm_track_writes(t.mm, BASE, UINT64_C(1) << 60), -VMK_EINVAL);
    assert_int_equal(vmk_mm_track_writes(t.mm, BASE, BASE), 0);
    vt_anon(&t, BASE, P(16), VT_RW);
    assert_int_equal(vmk_mm_track_writes(t.mm, BASE + P(2), BASE + P(8)), 0);
    assert_int_equal(tracked(&t), 0xfc);
    assert_int_equal(write_to(&t, BASE + P(4) + 9), VMK_FAULT_TRACKED);
    assert_int_equal(tracked(&t), 0xec);
    assert_int_equal(write_to(&t, BASE + P(4) + 9), VMK_FAULT_MINOR);
    assert_int_equal(vmk_mm_untrack_writes(t.mm, BASE + P(6), BASE + P(7)), 0);
    assert_int_equal(tracked(&t), 0xac);
    assert_int_equal(vmk_mm_track_writes(t.mm, BASE + P(4), BASE + P(5)), 0);
    assert_int_equal(tracked(&t), 0xbc);
    /* It shows nowhere and splits nothing. */
    assert_map(&t, "10000000-10010000 rw-p ac anon=a1\n");
    vt_teardown(&t);
}

static void unmapped_and_moved_pages(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(16), VT_RW);
    assert_int_equal(vmk_mm_track_writes(t.mm, BASE, BASE + P(16)), 0);
    assert_ret(vt_munmap(&t, BASE + P(2), P(2)), 0);
    assert_int_equal(tracked(&t), 0xfff3);
    vt_anon(&t, BASE + P(5), P(1), VT_RW); /* replaced */
    assert_int_equal(tracked(&t), 0xffd3);
    assert_ret(vt_mprotect(&t, BASE + P(8), P(1), VT_R), 0);
    assert_int_equal(tracked(&t), 0xffd3);
    assert_ret(vt_mremap(&t, BASE + P(12), P(2), P(2), VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED, BASE + P(20)),
               BASE + P(20));
    assert_int_equal(tracked(&t), 0xcfd3);
    vt_anon(&t, BASE + P(2), P(2), VT_RW);
    assert_int_equal(write_to(&t, BASE + P(2)), VMK_FAULT_MINOR);
    vt_teardown(&t);
}

static int64_t call_track(struct vt *t)
{
    return vmk_mm_track_writes(t->mm, BASE, BASE + P(4));
}

static void each_allocation_fails(void **state)
{
    (void)state;
    assert_true(vt_fail_each(NULL, call_track, false) > 1);
}

static bool nothing_left;

static void *dry_alloc(void *context, size_t size, size_t align, unsigned flags)
{
    return nothing_left ? NULL : vt_alloc(context, size, align, flags);
}

/* When the stock of nodes is used up and no memory comes: a write waits, an unmapped page stays tracked. */
static void memory_runs_dry(void **state)
{
    struct vt t;
    bool refused = false;

    (void)state;
    vt_init(&t);
    t.port.alloc = dry_alloc;
    vt_open(&t);
    vt_anon(&t, BASE, P(4096), VT_RW);
    vt_touch(&t, BASE);
    assert_int_equal(vmk_mm_track_writes(t.mm, BASE, BASE + P(4096)), 0);
    nothing_left = true;
    for (unsigned i = 1; i < 2000 && !refused; i++) {
        enum vmk_fault_outcome outcome = write_to(&t, BASE + P(2 * i));
        refused = outcome == VMK_FAULT_NO_MEMORY;
        assert_true(refused || outcome == VMK_FAULT_TRACKED);
        assert_int_equal(vmk_mm_is_tracked(t.mm, BASE + P(2 * i)), refused);
    }
    assert_true(refused);
    vmk_mm_lock_write(t.mm);
    vmki_overlay_unmapped(t.mm, BASE + P(4091), BASE + P(4092));
    vmk_mm_unlock_write(t.mm);
    assert_true(vmk_mm_is_tracked(t.mm, BASE + P(4091)));
    nothing_left = false;
    assert_int_equal(write_to(&t, BASE + P(4091)), VMK_FAULT_TRACKED);
    vt_teardown(&t);
}

static void against_a_plain_array(void **state)
{
    struct vt t;
    uint64_t model = 0, seed = 12345;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(64), VT_RW);
    vt_touch(&t, BASE);
    for (unsigned step = 0; step < 3000; step++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        unsigned from = (unsigned)(seed >> 33) % 64, to = from + 1 + (unsigned)(seed >> 40) % (64 - from);
        uint64_t bits = (to == 64 ? ~UINT64_C(0) : (UINT64_C(1) << to) - 1) & ~((UINT64_C(1) << from) - 1);
        switch (seed >> 60) {
        case 0:
        case 1:
        case 2:
            assert_int_equal(vmk_mm_track_writes(t.mm, BASE + P(from), BASE + P(to)), 0);
            model |= bits;
            break;
        case 3:
            assert_int_equal(vmk_mm_untrack_writes(t.mm, BASE + P(from), BASE + P(to)), 0);
            model &= ~bits;
            break;
        default:
            assert_int_equal(write_to(&t, BASE + P(from)),
                             (model >> from & 1) != 0 ? VMK_FAULT_TRACKED : VMK_FAULT_MINOR);
            model &= ~(UINT64_C(1) << from);
            break;
        }
        assert_true(tracked(&t) == model);
    }
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_come_and_go),     cmocka_unit_test(unmapped_and_moved_pages),
        cmocka_unit_test(each_allocation_fails), cmocka_unit_test(memory_runs_dry),
        cmocka_unit_test(against_a_plain_array),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
