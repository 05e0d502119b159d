/* SPDX-License-Identifier: MIT */
/*
 * test_seek.c - what a place of a space says: every strip of a few pages with areas, holes and sealed areas, looked at from
 * everywhere, against a walk over the pages. Where the last look or edit ended must never matter to the next one.
 */
#include "calls.h"

enum { NR = 6, NR_KINDS = 4 };
enum page_kind { HOLE, LOWER, UPPER, SEALED }; /* an area of its own, as neighbours never merge here */

struct strip {
    struct vt t;
    enum page_kind kind[NR];
    struct vmk_vma *vma[NR];
};

static vmk_addr page_at(unsigned number)
{
    return BASE + P(number);
}

/* Touching pages are areas of their own by another advice, a hole apart or not. */
static void strip_make(struct strip *strip, unsigned number)
{
    static const uint32_t prots[] = {VT_R, VT_RW};
    struct vt *t = &strip->t;

    for (unsigned i = 0; i < NR; i++, number /= NR_KINDS) {
        strip->kind[i] = (enum page_kind)(number % NR_KINDS);
        if (strip->kind[i] != HOLE)
            vt_anon(t, page_at(i), P(1), strip->kind[i] == UPPER ? prots[1 - i % 2] | VMK_PROT_EXEC : prots[i % 2]);
        if (strip->kind[i] == SEALED)
            assert_ret(vt_mseal(t, page_at(i), P(1), 0), 0);
    }
    vmk_mm_lock_write(t->mm);
    for (unsigned i = 0; i < NR; i++) {
        strip->vma[i] = vmki_find(t->mm, page_at(i));
        assert_int_equal(strip->vma[i] != NULL, strip->kind[i] != HOLE);
        assert_true(strip->vma[i] == NULL || strip->vma[i]->end == page_at(i + 1));
    }
}

/* The first area that ends above the address. */
static struct vmk_vma *first_above(const struct strip *strip, vmk_addr address)
{
    for (unsigned i = 0; i < NR; i++)
        if (strip->vma[i] != NULL && page_at(i + 1) > address)
            return strip->vma[i];
    return NULL;
}

static struct vmk_vma *last_below(const struct strip *strip, vmk_addr address)
{
    for (unsigned i = NR; i-- > 0;)
        if (strip->vma[i] != NULL && page_at(i) < address)
            return strip->vma[i];
    return NULL;
}

static void look_everywhere(struct strip *strip)
{
    struct vmk_mm *mm = strip->t.mm;

    for (unsigned from = 0; from <= 2 * NR + 2; from++)
        for (unsigned to = 0; to <= 2 * NR + 2; to++) {
            const vmk_addr first = page_at(0) - P(1) + from * P(1) / 2, second = page_at(0) - P(1) + to * P(1) / 2;

            assert_ptr_equal(vmki_seek(mm, first)->entry.item, first_above(strip, first));
            assert_ptr_equal(vmki_seek(mm, second)->entry.item, first_above(strip, second));
            assert_ptr_equal(vmki_seek_area(mm, first), first_above(strip, first));
        }
    for (unsigned at = 0; at <= 2 * NR + 2; at++) {
        const vmk_addr address = page_at(0) - P(1) + at * P(1) / 2;
        struct vmk_vma *above = first_above(strip, address);

        assert_ptr_equal(vmki_find_next(mm, address), above);
        assert_ptr_equal(vmki_find(mm, address), above != NULL && above->start <= address ? above : NULL);
        assert_ptr_equal(vmki_find_prev(mm, address), last_below(strip, address));
    }
}

static void ask_of_ranges(struct strip *strip)
{
    struct vmk_mm *mm = strip->t.mm;

    for (unsigned from = 0; from < NR; from++) {
        bool sealed = false, covered = true;

        for (unsigned until = from + 1; until <= NR; until++) {
            sealed = sealed || strip->kind[until - 1] == SEALED;
            covered = covered && strip->kind[until - 1] != HOLE;
            assert_int_equal(vmki_range_is_sealed(mm, page_at(from), page_at(until)), sealed);
            assert_int_equal(vmki_range_is_covered(mm, page_at(from), page_at(until)), covered);
        }
        assert_true(vmki_range_is_covered(mm, page_at(from), page_at(from)));
    }
}

static void test_strips(void **state)
{
    static struct strip strip;
    unsigned nr_strips = 1;

    (void)state;
    for (unsigned i = 0; i < NR; i++)
        nr_strips *= NR_KINDS;
    for (unsigned number = 0; number < nr_strips; number += 3) {
        vt_setup(&strip.t);
        strip_make(&strip, number);
        look_everywhere(&strip);
        ask_of_ranges(&strip);
        vmk_mm_unlock_write(strip.t.mm);
        vt_teardown(&strip.t);
    }
}

/* The same in a space of several leaves: at each border of one. */
static void test_leaves(void **state)
{
    enum { NR_AREAS = 60 };
    struct vmk_vma *vma[NR_AREAS + 1] = {NULL};
    struct vt t;

    (void)state;
    vt_setup(&t);
    for (unsigned i = 0; i < NR_AREAS; i++)
        vt_anon(&t, BASE + P(2 * i), P(1 + i % 2), i % 4 < 2 ? VT_R : VT_RW);
    vmk_mm_lock_write(t.mm);
    for (unsigned i = 0; i < NR_AREAS; i++)
        vma[i] = vmki_find(t.mm, BASE + P(2 * i));
    for (unsigned from = 0; from < NR_AREAS; from++)
        for (unsigned to = 0; to < NR_AREAS; to++) {
            const vmk_addr end = vma[to]->end;

            assert_ptr_equal(vmki_seek_area(t.mm, BASE + P(2 * from)), vma[from]);
            assert_ptr_equal(vmki_seek_area(t.mm, end), vma[to + 1]);
            assert_ptr_equal(vmki_seek_area(t.mm, BASE + P(2 * from)), vma[from]);
            assert_ptr_equal(vmki_seek_area(t.mm, end - 1), vma[to]);
        }
    vmk_mm_unlock_write(t.mm);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_strips), cmocka_unit_test(test_leaves)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
