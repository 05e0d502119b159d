/* SPDX-License-Identifier: MIT */
/* vmk_mm_gap_highest and _lowest: limits, guard gaps of stacks, reserved ranges. */
#include "support.h"

#define BASE UINT64_C(0x10000000)
#define P(n) ((uint64_t)(n)*VT_PAGE)

static int64_t highest(struct vt *t, vmk_addr low, vmk_addr high, uint64_t len)
{
    vmk_addr at = 0;
    int error = vmk_mm_gap_highest(t->mm, low, high, len, &at);

    return error != 0 ? error : (int64_t)at;
}

static int64_t lowest(struct vt *t, vmk_addr low, vmk_addr high, uint64_t len)
{
    vmk_addr at = 0;
    int error = vmk_mm_gap_lowest(t->mm, low, high, len, &at);

    return error != 0 ? error : (int64_t)at;
}

static void test_limits(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(highest(&t, 0, BASE, P(1)), BASE - P(1));
    assert_ret(lowest(&t, 0, BASE, 1), 0x10000); /* mmap_min_addr; the length is rounded up */
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_anon(&t, BASE + P(4), P(2), VT_RW);
    assert_ret(highest(&t, BASE, BASE + P(6), P(2)), BASE + P(2));
    assert_ret(highest(&t, BASE, BASE + P(6), P(3)), -VMK_ENOMEM);
    assert_ret(highest(&t, BASE, BASE + P(3), P(1)), BASE + P(2));
    assert_ret(lowest(&t, BASE, BASE + P(20), P(3)), BASE + P(6));
    assert_ret(lowest(&t, BASE, BASE + P(8), P(3)), -VMK_ENOMEM);
    assert_ret(highest(&t, 0, BASE, 0), -VMK_EINVAL);
    assert_ret(lowest(&t, 0, BASE, 0), -VMK_EINVAL);
    vt_teardown(&t);
}

static void test_kept_free(void **state)
{
    struct vt t;
    uint64_t guard;

    (void)state;
    vt_setup(&t);
    guard = vmk_mm_settings(t.mm)->stack_guard_gap * VT_PAGE;
    assert_ret(vt_mmap_file(&t, BASE, P(2), VT_RW, VT_FIXED | VMK_MAP_GROWSDOWN, NULL, 0), BASE);
    assert_ret(highest(&t, 0, BASE + P(2), P(1)), BASE - guard - P(1));
    assert_ret(lowest(&t, BASE - guard, BASE + P(8), P(1)), BASE + P(2));
    assert_ret(vmk_mm_reserve_range(t.mm, BASE + P(2), BASE + P(4)), 0);
    assert_ret(lowest(&t, BASE, BASE + P(8), P(1)), BASE + P(4));
    assert_ret(highest(&t, BASE, BASE + P(4), P(1)), -VMK_ENOMEM);
    assert_ret(vmk_mm_unreserve_range(t.mm, BASE + P(2), BASE + P(4)), 0);
    vt_teardown(&t);
}

/* ---- The short way of a search and the long one ---- */

struct query {
    vmk_addr low, high;
    uint64_t len;
    int64_t answer;
};

static uint64_t below(uint64_t *random, uint64_t limit)
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*random >> 33) % limit;
}

static struct query random_query(uint64_t *random, vmk_addr base, vmk_addr end)
{
    struct query query = {.high = end, .len = P(1 + below(random, 20))};
    uint64_t pages = (end - base) / VT_PAGE;

    if (below(random, 4) != 0)
        query.high = base + P(below(random, pages + 40));
    if (below(random, 8) == 0)
        query.low = base + P(below(random, pages + 1));
    if (below(random, 64) == 0)
        query.high = below(random, 3) * VT_PAGE;
    if (below(random, 64) == 0)
        query.len = below(random, 2) * (UINT64_C(1) << (12 + below(random, 52)));
    return query;
}

/* Areas with holes of up to 16 pages, or of 4 in some stretches; few of them stacks, some touching; returns the end. */
static vmk_addr random_areas(struct vt *t, uint64_t *random, vmk_addr at, unsigned nr)
{
    for (unsigned i = 0; i < nr; i++) {
        uint64_t len = P(1 + below(random, 4));
        uint32_t grows = below(random, 100) == 0 ? VMK_MAP_GROWSDOWN : 0;

        at += P(below(random, i / 600 % 2 != 0 ? 5 : 17));
        assert_ret(vt_mmap_file(t, at, len, i % 2 != 0 ? VT_RW : VT_R, VT_FIXED | grows, NULL, 0), at);
        at += len;
    }
    return at;
}

/* With a reserved range anywhere only the long way is taken: it must say the same. */
static void check_ways(unsigned nr, vmk_addr base, uint64_t seed)
{
    static struct query queries[3000];
    uint64_t random = seed;
    struct vt t;
    vmk_addr end;

    vt_setup(&t);
    end = random_areas(&t, &random, base, nr);
    for (size_t i = 0; i < 3000; i++) {
        queries[i] = random_query(&random, base, end);
        queries[i].answer = highest(&t, queries[i].low, queries[i].high, queries[i].len);
    }
    assert_ret(vmk_mm_reserve_range(t.mm, UINT64_C(1) << 40, (UINT64_C(1) << 40) + P(1)), 0);
    for (size_t i = 0; i < 3000; i++)
        assert_ret(highest(&t, queries[i].low, queries[i].high, queries[i].len), queries[i].answer);
    assert_ret(vmk_mm_unreserve_range(t.mm, UINT64_C(1) << 40, (UINT64_C(1) << 40) + P(1)), 0);
    vt_teardown(&t);
}

static void test_both_ways(void **state)
{
    static const unsigned sizes[] = {0, 1, 5, 15, 40, 200, 2500};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        check_ways(sizes[i], BASE, 1 + i);
        check_ways(sizes[i], UINT64_C(0x10000), 1 + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_kept_free),
        cmocka_unit_test(test_both_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
