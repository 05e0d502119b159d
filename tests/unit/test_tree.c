/* SPDX-License-Identifier: MIT */
/*
 * test_tree.c - the tree against a plain sorted array; readers that interrupt the writer.  Threads: test_tree_threads.c.
 *
 * VMKIT_TREE_STEPS sets the number of random steps, VMKIT_TREE_SEED where they begin.
 */
#include <signal.h>
#include <sys/time.h>
#include <ucontext.h>

#include "tests/unit/tree_world.h"

/* ---- Directed tests ---- */

static void test_empty(void **state)
{
    struct world world;
    struct vmki_cursor cursor;
    struct vmki_gap gap;

    (void)state;
    world_init(&world);
    assert_int_equal(world.memory.nr_allocs, 0);
    check_all(&world);
    check_lookups(&world, 0);
    check_lookups(&world, UINT64_MAX);
    assert_false(vmki_cursor_seek(&cursor, &world.tree, 0));
    assert_false(vmki_cursor_advance(&cursor));
    assert_false(vmki_cursor_retreat(&cursor));
    check_cursor(&world, &cursor, 0);
    vmki_cursor_splice(&cursor, 100, NULL, 0);
    check_all(&world);
    assert_true(vmki_tree_gap_highest(&world.tree, 5, 50, 45, &gap));
    assert_int_equal(gap.start, 5);
    assert_true(vmki_tree_gap_lowest(&world.tree, 5, 50, 10, &gap));
    assert_int_equal(gap.start, 5);
    assert_false(vmki_tree_gap_lowest(&world.tree, 5, 50, 46, &gap));
    world_destroy(&world);
}

static void test_one_entry(void **state)
{
    static const uint64_t ends[][2] = {
        {0, 1}, {7, 9}, {0, VMKI_TREE_MAX_END}, {VMKI_TREE_MAX_END - 1, VMKI_TREE_MAX_END}};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        uint64_t start = ends[i][0], end = ends[i][1];
        struct world world;

        world_init(&world);
        insert(&world, start, end);
        check_all(&world);
        assert_int_equal(world.tree.nr_nodes_bytes - world.tree.nr_spare * VMKI_NODE_SIZE, VMKI_NODE_SIZE);
        check_lookups(&world, 0);
        check_lookups(&world, start);
        check_lookups(&world, start + 1);
        check_lookups(&world, end - 1);
        check_lookups(&world, end);
        check_lookups(&world, end + 1);
        check_lookups(&world, UINT64_MAX - 1);
        check_lookups(&world, UINT64_MAX);
        splice(&world, 0, UINT64_MAX, NULL, 0);
        check_all(&world);
        assert_null(world.tree.root);
        world_destroy(&world);
    }
}

/* A change of one word neither takes a node nor gives one away. */
static void test_one_word(void **state)
{
    static const unsigned sizes[] = {1, 15, 16, 300};
    size_t s;

    (void)state;
    for (s = 0; s < 4; s++) {
        struct world world;
        size_t i, retired;

        world_init(&world);
        fill(&world, sizes[s]);
        assert_true(vmki_tree_reserve(&world.tree, 1));
        retired = world.memory.nr_retired;
        for (i = 0; i < world.nr; i++) {
            struct vmki_tree_entry entry = world.model[i];
            uint64_t start = entry.start, end = entry.end;
            unsigned step;

            for (step = 0; step < 9; step++) {
                entry.start = step == 1 ? start - 2 : step == 2 ? start + 1 : start;
                entry.end = step == 4 ? end + 4 : step == 5 ? end - 1 : end;
                entry.flags += step == 7;
                entry.item = (char *)entry.item + (step == 8);
                splice(&world, start + 1, end, &entry, 1);
                check_valid(&world);
            }
        }
        check_all(&world);
        assert_int_equal(world.memory.nr_retired, retired);
        world_destroy(&world);
    }
}

/* Every run of entries out of trees of many sizes, nothing or up to six put in its place. */
static void test_splice_everywhere(void **state)
{
    static const unsigned sizes[] = {1, 2, 7, 14, 15, 16, 17, 31, 46, 64, 200, 340};
    size_t s;

    (void)state;
    for (s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        unsigned n = sizes[s], step = 1 + n / 40, from, to, nr;

        for (from = 0; from <= n; from += step) {
            for (to = from; to <= n; to += step) {
                for (nr = 0; nr <= VMKI_TREE_SPLICE_MAX; nr += 1 + n / 60) {
                    struct vmki_tree_entry entries[VMKI_TREE_SPLICE_MAX];
                    struct world world;
                    unsigned i;

                    world_init(&world);
                    world.memory.nr_allocs = 0;
                    assert_true(vmki_tree_build(&world.tree, n, build_next, &world));
                    assert_int_equal(world.tree.nr_spare, 0);
                    for (i = 0; i < nr; i++)
                        entries[i] = entry_of(from * 20 + i, from * 20 + i + 1);
                    splice(&world, from * 20, to > from ? to * 20 : 0, entries, nr);
                    check_all(&world);
                    world_destroy(&world);
                }
            }
        }
    }
}

/* Above what any entry can have there is nothing, and the last entry below it. */
static void test_above_all(void **state)
{
    static const uint64_t addresses[] = {VMKI_TREE_MAX_END, VMKI_TREE_MAX_END + 1, UINT64_MAX - 1, UINT64_MAX};
    static const unsigned sizes[] = {1, 15, 16, 500, 6000};

    (void)state;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        struct vmki_tree_entry entry;
        struct vmki_cursor cursor;
        struct world world;

        world_init(&world);
        assert_true(vmki_tree_build(&world.tree, sizes[s], build_next, &world));
        for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
            assert_false(vmki_cursor_seek(&cursor, &world.tree, addresses[i]));
            assert_false(vmki_tree_next(&world.tree, addresses[i], &entry));
            assert_true(vmki_cursor_retreat(&cursor) && vmki_cursor_entry(&cursor, &entry));
            check_entry(&entry, &world.model[world.nr - 1]);
            assert_true(vmki_tree_prev(&world.tree, addresses[i], &entry));
            check_entry(&entry, &world.model[world.nr - 1]);
        }
        world_destroy(&world);
    }
}

/* Random inserts, then the same out in another order: every shape of merge. */
static void test_fill_and_drain(void **state)
{
    unsigned n, round;

    (void)state;
    for (n = 1; n < 1500; n = n * 3 / 2 + 1) {
        struct world world;

        world_init(&world);
        for (round = 0; round < 2; round++) {
            fill(&world, n);
            check_all(&world);
            while (world.nr) {
                size_t victim = round ? random_below(&world, world.nr) : 0;
                struct vmki_tree_entry gone = world.model[victim];

                splice(&world, gone.start, gone.end, NULL, 0);
                if (world.nr % 16 == 0)
                    check_valid(&world);
            }
            check_all(&world);
            assert_null(world.tree.root);
        }
        world_destroy(&world);
    }
}

static void build_with(size_t (*alloc_many)(void *context, size_t size, size_t nr, void **first))
{
    size_t n;

    for (n = 0; n < 9000; n = n < 700 ? n + 1 : n * 5 / 4) {
        struct world world;
        size_t nodes, fail;

        world_init(&world);
        world.memory.table.alloc_many = alloc_many;
        assert_true(vmki_tree_build(&world.tree, n, build_next, &world));
        check_all(&world);
        nodes = world.memory.nr_allocs;
        assert_int_equal(world.tree.nr_spare, 0);
        assert_true(nodes * VMKI_NODE_SIZE <= n * 36 + 3 * VMKI_NODE_SIZE);
        if (n)
            insert(&world, n / 2 * 20, n / 2 * 20 + 1);
        check_all(&world);
        splice(&world, 0, UINT64_MAX, NULL, 0);
        for (fail = 0; n < 100 && fail < nodes; fail++) {
            vmki_tree_release_spare(&world.tree, 0);
            world.memory.fail_after = fail;
            assert_false(vmki_tree_build(&world.tree, n, build_next, &world));
            check_all(&world);
            assert_int_equal(world.memory.nr_live, 0);
        }
        world_destroy(&world);
    }
}

static void test_build(void **state)
{
    (void)state;
    build_with(NULL);
    build_with(memory_alloc_many);
}

/* Entries that come in order, up or down, leave full nodes behind. */
static void test_in_order(void **state)
{
    unsigned down, i;

    (void)state;
    for (down = 0; down < 2; down++) {
        struct world world;

        world_init(&world);
        for (i = 0; i < 5000; i++) {
            unsigned at = down ? 4999 - i : i;

            insert(&world, at * 10u, at * 10u + 5);
        }
        check_all(&world);
        vmki_tree_release_spare(&world.tree, 0);
        assert_true(world.tree.nr_nodes_bytes < 5000 * 37);
        world_destroy(&world);
    }
}

/* ---- Memory that runs short ---- */

static void test_reserve_fails(void **state)
{
    static const unsigned sizes[] = {0, 1, 15, 16, 500, 6000};
    size_t s;
    unsigned splices, fail;

    (void)state;
    for (s = 0; s < 6; s++) {
        for (splices = 1; splices < 40; splices += 6) {
            struct world world;

            world_init(&world);
            assert_true(vmki_tree_build(&world.tree, sizes[s], build_next, &world));
            assert_int_equal(world.tree.nr_spare, 0);
            for (fail = 0;; fail++) {
                vmki_tree_release_spare(&world.tree, 0);
                world.memory.fail_after = fail;
                if (vmki_tree_reserve(&world.tree, splices))
                    break;
                assert_int_equal(world.tree.nr_spare, fail);
                if (fail % 8 == 0)
                    check_all(&world);
            }
            assert_int_equal(world.tree.nr_spare, fail);
            assert_true(vmki_tree_reserve(&world.tree, splices));
            vmki_tree_release_spare(&world.tree, 1);
            assert_int_equal(world.tree.nr_spare, 1);
            check_all(&world);
            world_destroy(&world);
        }
    }
}

/* What reserve promises for several splices is enough: no allocation happens in a splice, nor is NULL taken. */
static void test_reserve_is_enough(void **state)
{
    unsigned round, i;

    (void)state;
    for (round = 0; round < 400; round++) {
        struct world world;
        unsigned nr = 1 + round % 60;

        world_init(&world);
        if (round % 3)
            assert_true(
                vmki_tree_build(&world.tree, random_below(&world, round % 3 == 1 ? 40 : 5000), build_next, &world));
        vmki_tree_release_spare(&world.tree, 0);
        assert_true(vmki_tree_reserve(&world.tree, nr));
        world.memory.fail_after = 0;
        for (i = 0; i < nr; i++) {
            struct vmki_tree_entry entries[VMKI_TREE_SPLICE_MAX];
            struct vmki_cursor cursor;
            uint64_t base = round % 2 ? 100000 + i * 10 : 100000 - i * 10;
            unsigned k;

            for (k = 0; k < VMKI_TREE_SPLICE_MAX; k++)
                entries[k] = entry_of(base + k, base + k + 1);
            vmki_cursor_seek(&cursor, &world.tree, base);
            vmki_cursor_splice(&cursor, 0, entries, VMKI_TREE_SPLICE_MAX);
            model_splice(&world, model_seek(&world, base), model_seek(&world, base), entries, VMKI_TREE_SPLICE_MAX);
        }
        check_all(&world);
        world_destroy(&world);
    }
}

/* ---- Parts ---- */

/* Where each part begins, and from where on it may be used. */
static void check_parts(const struct world *world)
{
    for (unsigned i = 1; i < vmki_tree_nr_parts(&world->tree); i++) {
        vmk_addr bound = vmki_tree_part_bound(&world->tree, i);
        size_t first = model_seek(world, bound);

        assert_int_equal(world->model[first].start, bound);
        assert_int_equal(vmki_tree_part_low(&world->tree, i), bound + (world->model[first - 1].end == bound));
    }
}

static bool is_bound(const struct vmki_tree *tree, vmk_addr address)
{
    for (unsigned i = 0; i < vmki_tree_nr_parts(tree); i++)
        if (vmki_inner_const(tree->root)->pivot[i] == address)
            return true;
    return false;
}

/* At a random place; the tree goes on to be edited there. */
static void divide_somewhere(struct world *world)
{
    uint64_t address = random_below(world, world->model[world->nr - 1].end + 20);
    size_t first = model_seek(world, address);
    unsigned before = vmki_tree_nr_parts(&world->tree);
    bool wanted = before != 0 && before < VMKI_TREE_MAX_PARTS && first < world->nr &&
                  !is_bound(&world->tree, world->model[first].start);

    vmki_tree_release_spare(&world->tree, 0);
    world->memory.fail_after = 0;
    assert_false(vmki_tree_divide_part(&world->tree, address));
    check_valid(world);
    world->memory.fail_after = SIZE_MAX;
    assert_int_equal(vmki_tree_divide_part(&world->tree, address), wanted);
    assert_int_equal(vmki_tree_nr_parts(&world->tree), before + wanted);
    assert_true(!wanted || is_bound(&world->tree, world->model[first].start));
    check_all(world);
    check_parts(world);
    check_lookups(world, address);
    address -= address % 20; /* entries are built at 20i+8 */
    splice(world, address, address + 3 + random_below(world, 60), NULL, 0);
    insert(world, address + 2, address + 8);
    check_all(world);
}

static void test_divide_part(void **state)
{
    static const size_t sizes[] = {1, 15, 16, 40, 100, 320, 1000, 7000};

    (void)state;
    for (unsigned size = 0; size < sizeof(sizes) / sizeof(sizes[0]); size++)
        for (unsigned round = 0; round < 10; round++) {
            struct world world;

            world_init(&world);
            world.random += 7 * round + size;
            assert_true(vmki_tree_build(&world.tree, sizes[size], build_next, &world));
            for (unsigned i = 0; i < 12; i++)
                divide_somewhere(&world);
            world_destroy(&world);
        }
}

/* Entries that come and go keep their nodes filled, and mostly need no new one. */
static void test_churn_stays_small(void **state)
{
    struct world world;
    size_t i, retired;

    (void)state;
    world_init(&world);
    fill(&world, 4000);
    vmki_tree_release_spare(&world.tree, 0);
    assert_true(world.tree.nr_nodes_bytes < 4000 * 45);
    retired = world.memory.nr_retired;
    for (i = 0; i < 40000; i++) {
        size_t victim = random_below(&world, world.nr);
        struct vmki_tree_entry gone = world.model[victim];
        uint64_t at;

        splice(&world, gone.start, gone.end, NULL, 0);
        do
            at = random_below(&world, 8000) * 5;
        while (model_seek(&world, at) < world.nr && world.model[model_seek(&world, at)].start < at + 5);
        insert(&world, at, at + 5);
    }
    check_all(&world);
    vmki_tree_release_spare(&world.tree, 0);
    assert_true(world.tree.nr_nodes_bytes < 4000 * 55);
    assert_true(world.memory.nr_retired - retired < 40000 / 4);
    world_destroy(&world);
}

/* ---- Gap search ---- */

static struct {
    size_t nr_known, nr_left; /* searches for whole pages that find something: by the short way, and left by it */
} shortly;

/* The short way says the same, or nothing. */
static void check_short(const struct world *world, const struct gap_query *query)
{
    const struct gap_query all = {0, query->high, query->len};
    struct vmki_highest place = vmki_tree_highest(&world->tree, query->high, query->len);
    uint64_t highest = 1, lowest = 1;
    bool found = model_gap(world, &all, &highest, &lowest);

    if (place.flags != UINT64_MAX) {
        struct vmki_gap gap = {place.start, 0, place.flags};
        size_t index = model_seek(world, place.start);

        assert_true(found);
        assert_int_equal(place.start, highest);
        gap.above = index < world->nr ? world->model[index].start : UINT64_MAX;
        check_above(world, query, &gap);
    }
    if (found && query->len >= 4096 && world->nr > 0 && lowest < world->model[world->nr - 1].start)
        (*(place.flags != UINT64_MAX ? &shortly.nr_known : &shortly.nr_left))++;
}

static void check_gaps(const struct world *world, const struct gap_query *query)
{
    uint64_t highest = 1, lowest = 1;
    uint32_t edits = world->tree.edits;
    struct vmki_gap gap = {0, 0, 0};
    bool found = model_gap(world, query, &highest, &lowest);

    check_short(world, query);
    assert_int_equal(vmki_tree_gap_highest(&world->tree, query->low, query->high, query->len, &gap), found);
    if (found) {
        assert_int_equal(gap.start, highest);
        check_above(world, query, &gap);
    }
    assert_int_equal(vmki_tree_gap_lowest(&world->tree, query->low, query->high, query->len, &gap), found);
    if (found) {
        assert_int_equal(gap.start, lowest);
        check_above(world, query, &gap);
    }
    assert_true(vmki_tree_unedited(&world->tree, edits));
}

static void test_gap_limits(void **state)
{
    static const unsigned sizes[] = {0, 1, 2, 15, 16, 100, 1000};
    static const uint64_t lens[] = {0, 1, 3, 4, 5, 6, 100, 9990, UINT64_MAX - 10, UINT64_MAX};
    static const uint64_t edges[] = {0,
                                     1,
                                     2,
                                     3,
                                     5,
                                     6,
                                     7,
                                     11,
                                     12,
                                     16,
                                     150,
                                     9991,
                                     9996,
                                     9997,
                                     10000,
                                     1u << 20,
                                     VMKI_TREE_MAX_END - 1,
                                     VMKI_TREE_MAX_END,
                                     VMKI_TREE_MAX_END + 1,
                                     UINT64_MAX - 1,
                                     UINT64_MAX};
    enum { NR_EDGES = sizeof(edges) / sizeof(edges[0]) };
    size_t s, l, low, high;

    (void)state;
    for (s = 0; s < 7; s++) {
        struct world world;

        world_init(&world);
        fill(&world, sizes[s]);
        for (l = 0; l < sizeof(lens) / sizeof(lens[0]); l++) {
            for (low = 0; low < NR_EDGES; low++) {
                for (high = 0; high < NR_EDGES; high++) {
                    struct gap_query query = {edges[low], edges[high], lens[l]};

                    check_gaps(&world, &query);
                }
            }
        }
        world_destroy(&world);
    }
}

/* Spaces of the whole range and of a few bytes, at both ends. */
static void test_gap_ends(void **state)
{
    struct world world;
    struct vmki_gap gap;

    (void)state;
    world_init(&world);
    insert(&world, 0, VMKI_TREE_MAX_END);
    assert_false(vmki_tree_gap_highest(&world.tree, 0, VMKI_TREE_MAX_END, 1, &gap));
    assert_false(vmki_tree_gap_lowest(&world.tree, 0, VMKI_TREE_MAX_END, 1, &gap));
    assert_true(vmki_tree_gap_highest(&world.tree, 0, VMKI_TREE_MAX_END + 4, 4, &gap));
    assert_int_equal(gap.start, VMKI_TREE_MAX_END);
    splice(&world, 0, 1, (struct vmki_tree_entry[]){entry_of(8, VMKI_TREE_MAX_END - 8)}, 1);
    assert_true(vmki_tree_gap_lowest(&world.tree, 0, VMKI_TREE_MAX_END, 8, &gap));
    assert_int_equal(gap.start, 0);
    assert_true(vmki_tree_gap_highest(&world.tree, 0, VMKI_TREE_MAX_END, 8, &gap));
    assert_int_equal(gap.start, VMKI_TREE_MAX_END - 8);
    assert_false(vmki_tree_gap_highest(&world.tree, 0, VMKI_TREE_MAX_END, 9, &gap));
    world_destroy(&world);
}

/* ---- Random steps ---- */

struct mix {
    uint64_t space;    /* addresses */
    uint64_t max_len;  /* of an entry */
    uint64_t max_span; /* of a splice, now and then */
    unsigned check_every;
};

/* Some entries, ascending, in [low, high). */
static unsigned random_entries(struct world *world, const struct mix *mix, uint64_t low, uint64_t high,
                               struct vmki_tree_entry *entries)
{
    unsigned want = (unsigned)random_below(world, VMKI_TREE_SPLICE_MAX + 1), nr = 0;

    if (random_below(world, 3))
        want = want > 2;
    while (nr < want) {
        uint64_t start = low + random_below(world, mix->max_len), end = start + 1 + random_below(world, mix->max_len);

        if (end > high)
            break;
        entries[nr++] = entry_of(start, end);
        low = end;
    }
    return nr;
}

/* The entry again with one thing changed, or two. */
static void random_change(struct world *world, const struct vmki_tree_entry *old, uint64_t low, uint64_t high,
                          struct vmki_tree_entry *entry)
{
    unsigned what = (unsigned)random_below(world, 6);

    *entry = *old;
    if (what == 0 || what == 5)
        entry->flags = random_next(world);
    if (what == 1)
        entry->item = (void *)(uintptr_t)(random_next(world) | 1);
    if (what == 2 || what == 4)
        entry->start = low + random_below(world, entry->end - low);
    if (what == 3 || what == 4)
        entry->end = entry->start + 1 + random_below(world, high - entry->start);
}

static void random_splice(struct world *world, const struct mix *mix)
{
    uint64_t address = random_below(world, mix->space), until = address + random_below(world, 2 * mix->max_len);
    struct vmki_tree_entry entries[VMKI_TREE_SPLICE_MAX];
    size_t from = model_seek(world, address), to = from;
    uint64_t low = from ? world->model[from - 1].end : 0, high;
    unsigned nr;

    switch (random_below(world, 40)) {
    case 0:
    case 1:
        until = address + random_below(world, mix->max_span);
        break;
    case 2:
        until = random_below(world, 100) ? 0 : UINT64_MAX;
        break;
    default:
        break;
    }
    while (to < world->nr && world->model[to].start < until)
        to++;
    high = to < world->nr ? world->model[to].start : 2 * mix->space;
    if (to == from + 1 && random_below(world, 3) == 0) {
        random_change(world, &world->model[from], low, high, &entries[0]);
        nr = 1;
    } else {
        nr = random_entries(world, mix, to == from && address > low ? address : low, high, entries);
    }
    splice(world, address, until, entries, nr);
}

static void random_gap(struct world *world, const struct mix *mix)
{
    struct gap_query query = {
        random_below(world, 2 * mix->space),
        random_below(world, 2 * mix->space + 8),
        1 + random_below(world, 3 * mix->max_len),
    };

    if (random_below(world, 2))
        query.low = 0;
    check_gaps(world, &query);
}

static void random_steps(const struct mix *mix, size_t steps)
{
    struct world world;
    size_t step;

    world_init(&world);
    for (step = 0; step < steps; step++) {
        random_splice(&world, mix);
        check_lookups(&world, random_below(&world, 2 * mix->space));
        if (world.nr)
            check_lookups(&world, world.model[random_below(&world, world.nr)].end - random_below(&world, 2));
        if (world.nr < 1000 || step % 64 == 0)
            random_gap(&world, mix);
        if (step % mix->check_every == 0)
            check_all(&world);
        if (step % 1000 == 0)
            vmki_tree_release_spare(&world.tree, 2);
    }
    check_all(&world);
    world_destroy(&world);
}

static void test_random_small(void **state)
{
    size_t steps = env_number("VMKIT_TREE_STEPS", 100000);

    (void)state;
    random_steps(&(struct mix){60, 3, 40, 1}, steps);
    random_steps(&(struct mix){400, 4, 100, 1}, steps / 2);
    random_steps(&(struct mix){3000, 5, 600, 4}, steps / 2);
}

static void test_random_large(void **state)
{
    size_t steps = env_number("VMKIT_TREE_STEPS", 100000);

    (void)state;
    random_steps(&(struct mix){100000, 6, 3000, 500}, steps / 2);
    random_steps(&(struct mix){3000000, 6, 300, 20000}, steps);
}

/* Holes of all classes: pages, and some that are longer than the highest class tells apart. */
static void test_random_pages(void **state)
{
    size_t steps = env_number("VMKIT_TREE_STEPS", 100000);

    (void)state;
    memset(&shortly, 0, sizeof(shortly));
    random_steps(&(struct mix){UINT64_C(600) << 15, 4 << 15, 100 << 15, 1}, steps / 4);
    random_steps(&(struct mix){UINT64_C(3000) << 16, 5 << 16, 600 << 16, 4}, steps / 4);
    random_steps(&(struct mix){UINT64_C(3000) << 20, 5 << 20, 600 << 20, 4}, steps / 8);
    random_steps(&(struct mix){UINT64_C(100000) << 16, 6 << 16, 3000 << 16, 500}, steps / 4);
    assert_true(shortly.nr_known > 1000 && shortly.nr_known > shortly.nr_left / 2);
}

/* Classes grow with the length, the shortest pages one by one, and what a length lacks leads to those that are enough. */
static void test_classes(void **state)
{
    static const uint64_t from[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 17, 64};
    uint64_t pages, expected = 0, holes = UINT64_C(0xfedcba9876543210);

    (void)state;
    for (pages = 0; pages < 1000; pages++) {
        uint64_t class = vmki_hole_class((pages << 12) + 4095);
        uint64_t down = vmki_holes_down(holes, pages << 12);

        expected += expected < 15 && pages == from[expected + 1];
        assert_int_equal(class, expected);
        assert_int_equal(down, pages == 0 ? 0 : UINT64_C(0x1111111111111111) >> 4 * class);
    }
    assert_int_equal(vmki_hole_class(UINT64_MAX), 15);
}

/* ---- Tilings inside a leaf ---- */

enum { TILE_IGNORED = 4 };

/* The part inside the entry: a split where the leaf has room for it, and nothing at all where it has not. */
static bool try_split(struct world *world, size_t index, const struct vmki_tree_entry *part)
{
    struct vmki_tree_entry was = world->model[index], below = was, above = was, entry;
    struct vmki_cursor cursor;
    bool fits;

    below.end = part->start;
    below.item = &below;
    above.start = part->end;
    above.item = &above;
    assert_true(vmki_cursor_seek(&cursor, &world->tree, was.start));
    fits = vmki_node_count(cursor.node[0]) + 3 <= VMKI_LEAF_MAX;
    assert_int_equal(vmki_cursor_split(&cursor, part, below.item, above.item), fits);
    if (fits) {
        model_splice(world, index, index + 1, (struct vmki_tree_entry[]){below, *part, above}, 3);
        check_cursor(world, &cursor, index + 1);
    } else {
        assert_true(vmki_cursor_entry(&cursor, &entry));
        check_entry(&entry, &was);
    }
    return fits;
}

/* The entry with both around it: whether they touch it, are alike, are in its leaf, and what goes would leave it filled. */
static bool try_join(struct world *world, size_t index, uint64_t flags)
{
    struct vmki_tree_entry *entry = &world->model[index], joined = {1, 2, 3, NULL};
    struct vmki_cursor cursor;
    unsigned count, rank;
    void *above = world;
    bool fits;

    assert_true(vmki_cursor_seek(&cursor, &world->tree, entry->start));
    count = vmki_node_count(cursor.node[0]);
    rank = cursor.slot[0];
    fits = rank > 0 && rank + 1 < count && count < VMKI_LEAF_MAX &&
           (count - 2 > VMKI_LEAF_LOW || world->tree.height == 1) && entry[-1].end == entry->start &&
           entry->end == entry[1].start && ((entry[-1].flags ^ flags) & ~(uint64_t)TILE_IGNORED) == 0 &&
           ((entry[1].flags ^ flags) & ~(uint64_t)TILE_IGNORED) == 0;
    assert_int_equal(vmki_cursor_join(&cursor, flags, TILE_IGNORED, &joined, &above), fits);
    if (fits) {
        struct vmki_tree_entry one = entry[-1];

        one.end = entry[1].end;
        check_entry(&joined, &one);
        assert_ptr_equal(above, entry[1].item);
        model_splice(world, index - 1, index + 2, &one, 1);
        check_cursor(world, &cursor, index - 1);
    } else {
        assert_ptr_equal(above, world);
        assert_int_equal(joined.flags, 3);
        check_cursor(world, &cursor, index);
    }
    return fits;
}

/* Flags that are mostly alike, so that neighbours are often to be joined; items that tell entries apart. */
static struct vmki_tree_entry tile_entry(struct world *world, uint64_t start, uint64_t end)
{
    uint64_t flags = random_below(world, 8) ? random_below(world, 2) * TILE_IGNORED : random_below(world, 16);

    return (struct vmki_tree_entry){start, end, flags, (void *)(uintptr_t)(random_next(world) | 1)};
}

static void tile_step(struct world *world, size_t *nr_splits, size_t *nr_joins)
{
    size_t index = random_below(world, world->nr);
    struct vmki_tree_entry was = world->model[index], part;

    if (was.end - was.start >= 3) {
        part = was;
        part.start += 1 + random_below(world, was.end - was.start - 2);
        part.end = part.start + 1 + random_below(world, was.end - part.start - 1);
        part = tile_entry(world, part.start, part.end);
        *nr_splits += try_split(world, index, &part);
    }
    index = random_below(world, world->nr);
    if (index > 0 && index + 1 < world->nr)
        *nr_joins += try_join(world, index, tile_entry(world, 0, 1).flags);
    if (random_below(world, 4) == 0) { /* leaves become fuller and emptier, and holes come */
        index = random_below(world, world->nr);
        was = tile_entry(world, world->model[index].start, world->model[index].end);
        splice(world, was.start, was.end, &was, world->nr <= 2 || random_below(world, 2));
    }
}

static void test_tiles(void **state)
{
    static const size_t sizes[] = {3, 12, 40, 700};
    size_t steps = env_number("VMKIT_TREE_STEPS", 100000) / 25, nr_splits = 0, nr_joins = 0;

    (void)state;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        struct world world;

        world_init(&world);
        for (size_t i = 0; i < sizes[s]; i++) {
            struct vmki_tree_entry entry = tile_entry(&world, i * 10000, i * 10000 + 10000 - i % 3 / 2);

            splice(&world, entry.start, 0, &entry, 1);
        }
        for (size_t step = 0; step < steps && world.nr > 0; step++) {
            tile_step(&world, &nr_splits, &nr_joins);
            check_valid(&world);
            if (step % 50 == 0)
                check_all(&world);
        }
        check_all(&world);
        world_destroy(&world);
    }
    assert_true(nr_splits > steps / 4 && nr_joins > steps / 8);
}

/* ---- Entries that come and go in one leaf ---- */

struct come_and_go {
    size_t nr_came, nr_went, nr_first, nr_behind_last;
};

static void come(struct world *world, struct come_and_go *count, uint64_t start, uint64_t end)
{
    struct vmki_tree_entry entry = entry_of(start, end);
    size_t index = model_seek(world, start);
    bool touches =
        (index > 0 && world->model[index - 1].end == start) || (index < world->nr && world->model[index].start <= end);
    struct vmki_cursor cursor;
    struct vmki_tree_hole hole;

    if (!vmki_cursor_seek_gap(&cursor, &world->tree, start, end, &hole)) {
        if (!touches)
            insert(world, start, end);
        return;
    }
    assert_false(touches);
    assert_int_equal(hole.start, world->model[index - 1].end);
    assert_int_equal(hole.end, index < world->nr ? world->model[index].start : UINT64_MAX);
    count->nr_came++;
    count->nr_behind_last += cursor.slot[0] == vmki_node_count(cursor.node[0]);
    vmki_cursor_insert(&cursor, &entry, &hole);
    model_splice(world, index, index, &entry, 1);
    check_cursor(world, &cursor, index);
}

static void go(struct world *world, struct come_and_go *count, size_t index)
{
    struct vmki_cursor cursor;

    assert_true(vmki_cursor_seek(&cursor, &world->tree, world->model[index].start));
    if (!vmki_cursor_erase_fits(&cursor)) {
        splice(world, world->model[index].start, world->model[index].end, NULL, 0);
        return;
    }
    count->nr_went++;
    count->nr_first += cursor.slot[0] == 0;
    vmki_cursor_erase(&cursor);
    model_splice(world, index, index + 1, NULL, 0);
    if (cursor.node[0] != NULL)
        check_cursor(world, &cursor, index);
}

/* Most of what comes and goes at random does so in one leaf, also at its ends; what does not fit there is a splice. */
static void test_come_and_go(void **state)
{
    static const size_t sizes[] = {3, 12, 40, 400, 1500};
    size_t steps = env_number("VMKIT_TREE_STEPS", 100000) / 10;

    (void)state;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        struct come_and_go count = {0};
        struct world world;

        world_init(&world);
        for (size_t step = 0; step < steps; step++) {
            uint64_t start = random_below(&world, sizes[s] * 24) << 12, index = model_seek(&world, start);
            uint64_t end = start + ((1 + random_below(&world, 12)) << 12);

            if (world.nr >= sizes[s] || (world.nr > 0 && random_below(&world, 8) == 0))
                go(&world, &count, random_below(&world, world.nr));
            else if (index == world.nr || world.model[index].start >= end)
                come(&world, &count, start, end);
            if (step % (1 + sizes[s] / 40) == 0)
                check_valid(&world);
        }
        check_all(&world);
        world_destroy(&world);
        if (sizes[s] >= 400)
            assert_true(count.nr_came > steps / 8 && count.nr_went > steps / 8 && count.nr_first > steps / 200 &&
                        count.nr_behind_last > steps / 100);
    }
}

/* ---- The validator sees what is broken ---- */

static void expect_broken(const struct world *world, const char *what)
{
    if (!vmki_tree_validate(&world->tree))
        fail_msg("not seen: %s", what);
}

#define BREAK(place, value)                                                                                            \
    do {                                                                                                               \
        __typeof__(place) before = (place);                                                                            \
        (place) = (value);                                                                                             \
        expect_broken(&world, #place);                                                                                 \
        (place) = before;                                                                                              \
        check_valid(&world);                                                                                           \
    } while (0)

static void test_validate(void **state)
{
    struct world world;
    struct vmki_tree_inner *root, *inner;
    struct vmki_tree_leaf *leaf;
    unsigned slot;

    (void)state;
    world_init(&world);
    fill(&world, 1500);
    check_valid(&world);
    root = vmki_inner(world.tree.root);
    inner = vmki_inner(root->child[1]);
    leaf = vmki_leaf(inner->child[1]);
    slot = vmki_order_slot(leaf->order, 1);
    BREAK(world.tree.nr_entries, 1501);
    BREAK(world.tree.height, 2);
    BREAK(world.tree.first_start, 3);
    BREAK(world.tree.last_end, 3);
    BREAK(world.tree.nr_spare, world.tree.nr_spare + 1);
    BREAK(world.tree.nr_nodes_bytes, 512);
    BREAK(root->gap[1], root->gap[1] + 1);
    BREAK(root->pivot[1], root->pivot[1] - 1);
    BREAK(root->head.level, 1);
    BREAK(inner->gap[1], inner->gap[1] + 1);
    BREAK(inner->pivot[1], inner->pivot[1] + 1);
    BREAK(inner->pivot[inner->head.count - 1], VMKI_NO_KEY);
    BREAK(inner->head.count, 0);
    BREAK(inner->child[0], NULL);
    BREAK(inner->child[1], inner->child[0]);
    BREAK(inner->child[1], &inner->head);
    BREAK(leaf->order, leaf->order - 1);
    BREAK(leaf->order, leaf->order ^ 0x30);
    BREAK(leaf->order, 0);
    BREAK(leaf->holes, leaf->holes + 16);
    BREAK(leaf->holes, leaf->holes ^ UINT64_C(1) << 63);
    BREAK(leaf->holes, leaf->holes + 1);
    BREAK(leaf->start[slot], leaf->start[slot] + 100000);
    BREAK(leaf->start[slot], leaf->start[slot] - 7);
    BREAK(leaf->slot[slot].end, leaf->start[slot]);
    BREAK(leaf->slot[slot].end, leaf->slot[slot].end + 7);
    BREAK(leaf->slot[slot].item, NULL);
    world_destroy(&world);
}

/* ---- Readers that interrupt the writer ---- */

#if defined(__x86_64__) && !defined(VMKI_THREAD_SANITIZER)

/*
 * The processor's trap flag makes a SIGTRAP after every instruction of a splice.  The handler looks up many addresses:
 * all answers together must be those from before the splice or those from after it, and once after, always after.
 */
static struct {
    const struct world *before;
    const struct world *after;
    uint64_t probe[24];
    unsigned nr_probes;
    bool has_changed;
    bool is_broken;
    size_t nr_instructions;
    uint32_t edits; /* before the splice */
} stepping;

static bool same_answers(const struct world *world)
{
    const struct vmki_tree *tree = &stepping.before->tree;
    unsigned i;

    for (i = 0; i < stepping.nr_probes; i++) {
        uint64_t address = stepping.probe[i];
        size_t index = model_seek(world, address);
        bool next = index < world->nr, find = next && world->model[index].start <= address, prev;
        struct vmki_tree_entry entry;
        uint64_t flags;

        if (vmki_tree_find_flags(tree, address, &flags) != find || (find && flags != world->model[index].flags))
            return false;
        if (vmki_tree_find(tree, address, &entry) != find || (find && !entry_equal(&entry, &world->model[index])))
            return false;
        if (vmki_tree_next(tree, address, &entry) != next || (next && !entry_equal(&entry, &world->model[index])))
            return false;
        index += next && world->model[index].start < address;
        prev = index > 0;
        if (vmki_tree_prev(tree, address, &entry) != prev || (prev && !entry_equal(&entry, &world->model[index - 1])))
            return false;
    }
    return true;
}

/* A search for a gap in the middle of an edit ends, and knows where it was; before and after it is right. */
static bool same_gap(uint64_t high)
{
    const struct world *world = stepping.before;
    const struct gap_query query = {0, high, 1 + high % 9};
    uint32_t edits = __atomic_load_n(&world->tree.edits, __ATOMIC_ACQUIRE);
    uint64_t highest = 0, lowest = 0;
    struct vmki_gap gap = {0, 0, 0};
    bool found = vmki_tree_gap_highest(&world->tree, query.low, query.high, query.len, &gap);
    struct vmki_highest place = vmki_tree_highest(&world->tree, query.high, query.len);

    if ((edits - stepping.edits) % 2 != 0)
        return !vmki_tree_unedited(&world->tree, edits);
    world = edits == stepping.edits ? stepping.before : stepping.after;
    return vmki_tree_unedited(&stepping.before->tree, edits) && found == model_gap(world, &query, &highest, &lowest) &&
           (!found || gap.start == highest) && (place.flags == UINT64_MAX || (found && place.start == highest));
}

static void on_trap(int signal)
{
    (void)signal;
    stepping.nr_instructions++;
    stepping.is_broken |= !same_gap(stepping.probe[stepping.nr_instructions % stepping.nr_probes] + 1);
    if (stepping.has_changed || !same_answers(stepping.before)) {
        stepping.has_changed = true;
        if (!same_answers(stepping.after))
            stepping.is_broken = true;
    }
}

static __attribute__((noinline)) void trap_on(void)
{
    __asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq" ::: "cc", "memory");
}

static __attribute__((noinline)) void trap_off(void)
{
    __asm__ volatile("pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq" ::: "cc", "memory");
}

/* What is to be seen before and after entries give way to others; and where: around them, and at these two addresses. */
static void step_set(struct world *world, struct world *after, size_t from, size_t to,
                     const struct vmki_tree_entry *entries, unsigned nr)
{
    size_t i;

    after->nr = 0;
    for (i = 0; i < world->nr; i++)
        model_splice(after, i, i, &world->model[i], 1);
    model_splice(after, from, to, entries, nr);
    stepping.before = world;
    stepping.after = after;
    stepping.has_changed = stepping.is_broken = false;
    stepping.nr_probes = 0;
    for (i = from > 2 ? from - 2 : 0; i < from + 3 && i < after->nr; i++) {
        stepping.probe[stepping.nr_probes++] = after->model[i].start;
        stepping.probe[stepping.nr_probes++] = after->model[i].end;
    }
    stepping.edits = world->tree.edits;
}

static void step_splice(struct world *world, struct world *after, uint64_t address, uint64_t until,
                        const struct vmki_tree_entry *entries, unsigned nr)
{
    struct vmki_cursor cursor;
    size_t from = model_seek(world, address), to = from;

    while (to < world->nr && world->model[to].start < until)
        to++;
    step_set(world, after, from, to, entries, nr);
    stepping.probe[stepping.nr_probes++] = address;
    stepping.probe[stepping.nr_probes++] = until;
    stepping.probe[stepping.nr_probes++] = until + 20;
    assert_true(vmki_tree_reserve(&world->tree, 1));
    vmki_cursor_seek(&cursor, &world->tree, address);
    trap_on();
    vmki_cursor_splice(&cursor, until, entries, nr);
    trap_off();
    assert_false(stepping.is_broken);
    assert_true(same_answers(after));
    model_splice(world, from, to, entries, nr);
}

/* A split of the entry into three by a part with other flags, and the join that undoes it. */
static void step_tiles(struct world *world, struct world *after, size_t index)
{
    struct vmki_tree_entry was = world->model[index], tiles[3] = {was, was, was}, joined;
    struct vmki_cursor cursor;
    void *above;
    bool done;

    tiles[0].end = tiles[1].start = was.start + 1;
    tiles[1].end = tiles[2].start = was.end - 1;
    tiles[1].flags++;
    tiles[1].item = tiles;
    tiles[2].item = &tiles[2];
    vmki_cursor_seek(&cursor, &world->tree, was.start);
    step_set(world, after, index, index + 1, tiles, 3);
    trap_on();
    done = vmki_cursor_split(&cursor, &tiles[1], tiles[0].item, tiles[2].item);
    trap_off();
    assert_true(done && !stepping.is_broken && same_answers(after));
    model_splice(world, index, index + 1, tiles, 3);
    step_set(world, after, index, index + 3, &was, 1);
    trap_on();
    done = vmki_cursor_join(&cursor, was.flags, 0, &joined, &above);
    trap_off();
    assert_true(done && !stepping.is_broken && same_answers(after));
    assert_ptr_equal(above, &tiles[2]);
    model_splice(world, index, index + 3, &was, 1);
}

static void random_step_splice(struct world *world, struct world *after)
{
    struct vmki_tree_entry entries[VMKI_TREE_SPLICE_MAX];
    struct mix mix = {1200, 6, 100, 1};
    uint64_t address = random_below(world, mix.space), until = 0, low, high;
    size_t from = model_seek(world, address), to = from;
    unsigned nr;

    if (random_below(world, 2))
        until = address + random_below(world, random_below(world, 8) ? 12 : 300);
    while (to < world->nr && world->model[to].start < until)
        to++;
    low = from ? world->model[from - 1].end : 0;
    high = to < world->nr ? world->model[to].start : 2 * mix.space;
    if (to == from + 1 && random_below(world, 2)) {
        random_change(world, &world->model[from], low, high, &entries[0]);
        nr = 1;
    } else {
        nr = random_entries(world, &mix, to == from && address > low ? address : low, high, entries);
    }
    step_splice(world, after, address, until, entries, nr);
}

static void stepping_begin(struct world *world, struct world *after, struct sigaction *old)
{
    struct sigaction action = {.sa_handler = on_trap};

    world_init(world);
    world_init(after);
    world->memory.keep = true;
    sigaction(SIGTRAP, &action, old);
}

static void stepping_end(struct world *world, struct world *after, const struct sigaction *old)
{
    sigaction(SIGTRAP, old, NULL);
    check_all(world);
    world_destroy(after);
    world_destroy(world);
}

static void test_every_instruction(void **state)
{
    size_t steps = env_number("VMKIT_TREE_STEPS", 100000) / 4000, i;
    struct sigaction old;
    struct world world, after;

    (void)state;
    stepping_begin(&world, &after, &old);
    for (i = 0; i < steps; i++)
        random_step_splice(&world, &after);
    assert_true(stepping.nr_instructions > steps * 20 || steps == 0);
    stepping_end(&world, &after, &old);
}

static void test_every_instruction_of_tiles(void **state)
{
    struct world world, after;
    struct sigaction old;
    size_t i;

    (void)state;
    stepping_begin(&world, &after, &old);
    assert_true(vmki_tree_build(&world.tree, 60, build_next, &world));
    for (i = 2; i < 60; i += 3) /* room in each leaf */
        step_splice(&world, &after, world.model[i].start, world.model[i].end, NULL, 0);
    for (i = 0; i < world.nr; i++)
        step_tiles(&world, &after, i);
    stepping_end(&world, &after, &old);
}

/* Entry i = [20i+8, 20i+12 to 14) is changed in all ways that a neighbour may be, and back. */
static void step_entry(struct world *world, struct world *after, size_t i)
{
    uint64_t base = i * 20, end = base + 12 + i % 3;
    struct vmki_tree_entry was = entry_of(base + 8, end), lower = was, higher = was, longer = was, shorter = was,
                           two[2];

    lower.start -= 3;
    higher.start += 2;
    longer.end += 2;
    shorter.end -= 2;
    two[0] = entry_of(base + 3, base + 8);
    two[1] = was;
    step_splice(world, after, base, base + 9, &lower, 1);
    step_splice(world, after, base, base + 9, &was, 1);
    step_splice(world, after, base, base + 9, &higher, 1);
    step_splice(world, after, base, base + 19, &was, 1);
    step_splice(world, after, base, base + 9, &longer, 1);
    step_splice(world, after, base, base + 9, &was, 1);
    step_splice(world, after, base, base + 9, &shorter, 1);
    step_splice(world, after, base, base + 9, &was, 1);
    step_splice(world, after, base, base + 9, two, 2);
    step_splice(world, after, base, base + 9, &was, 1);
    step_splice(world, after, base, base + 9, NULL, 0);
    step_splice(world, after, base, base, &was, 1);
    step_splice(world, after, base, base, two, 1);
    step_splice(world, after, base, base + 4, NULL, 0);
}

/* The entries at both ends of leaves and of the tree, where pivots move. */
static void test_every_instruction_at_ends(void **state)
{
    static const size_t ends[] = {0, 15, 315, 399};
    struct world world, after;
    struct sigaction old;
    size_t i;

    (void)state;
    stepping_begin(&world, &after, &old);
    assert_true(vmki_tree_build(&world.tree, 400, build_next, &world));
    for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        step_entry(&world, &after, ends[i]);
    stepping_end(&world, &after, &old);
}

#endif

/* A timer's signal at any moment: every tenth entry stays throughout, and each entry that is seen is whole. */
static struct {
    struct vmki_tree *tree;
    volatile sig_atomic_t nr_signals;
    volatile sig_atomic_t nr_missed;
    volatile sig_atomic_t nr_mixed;
    uint64_t at;
} interrupted;

enum { NR_STABLE = 40, STABLE_STEP = 100 };

static void look_around(uint64_t address)
{
    struct vmki_tree_entry entry, want;
    uint64_t stable = address / STABLE_STEP * STABLE_STEP;

    if (!vmki_tree_find(interrupted.tree, stable, &entry) || entry.start != stable)
        interrupted.nr_missed++;
    if (!vmki_tree_next(interrupted.tree, address, &entry) || entry.start > stable + STABLE_STEP)
        interrupted.nr_missed++;
    want = entry_of(entry.start, entry.end);
    interrupted.nr_mixed += !entry_equal(&entry, &want);
    if (!vmki_tree_prev(interrupted.tree, address + 1, &entry) || entry.start < stable)
        interrupted.nr_missed++;
    want = entry_of(entry.start, entry.end);
    interrupted.nr_mixed += !entry_equal(&entry, &want);
}

static void on_timer(int signal)
{
    unsigned i;

    (void)signal;
    interrupted.nr_signals++;
    for (i = 0; i < 20; i++) {
        interrupted.at = interrupted.at * 25214903917u + 11;
        look_around((interrupted.at >> 20) % ((NR_STABLE - 1) * STABLE_STEP));
    }
}

static void test_signal_reader(void **state)
{
    struct sigaction action = {.sa_handler = on_timer, .sa_flags = SA_RESTART}, old;
    struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
    size_t steps = env_number("VMKIT_TREE_STEPS", 100000) / 5, i;
    struct world world;

    (void)state;
    world_init(&world);
    world.memory.keep = true;
    for (i = 0; i < NR_STABLE; i++)
        insert(&world, i * STABLE_STEP, i * STABLE_STEP + 4);
    interrupted.tree = &world.tree;
    sigaction(SIGALRM, &action, &old);
    setitimer(ITIMER_REAL, &often, NULL);
    for (i = 0; i < steps; i++) {
        uint64_t base = random_below(&world, NR_STABLE - 1) * STABLE_STEP, room = STABLE_STEP;
        uint64_t low = base + 4 + random_below(&world, room - 4),
                 high = low + random_below(&world, base + room - low + 1);
        struct vmki_tree_entry entries[VMKI_TREE_SPLICE_MAX];
        size_t from = model_seek(&world, low), to = from;
        unsigned nr = 0;

        if (from < world.nr && world.model[from].start < low)
            low = world.model[from].start;
        while (to < world.nr && world.model[to].start < high)
            to++;
        if (to > from && world.model[to - 1].end > high)
            high = world.model[to - 1].end;
        for (; nr < 4 && low + 2 * nr + 2 <= high; nr++)
            entries[nr] = entry_of(low + 2 * nr, low + 2 * nr + 2);
        splice(&world, low, high, entries, random_below(&world, 2) ? nr : 0);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &old, NULL);
    assert_int_equal(interrupted.nr_missed, 0);
    assert_int_equal(interrupted.nr_mixed, 0);
    check_all(&world);
    world_destroy(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_one_entry),
        cmocka_unit_test(test_one_word),
        cmocka_unit_test(test_splice_everywhere),
        cmocka_unit_test(test_above_all),
        cmocka_unit_test(test_fill_and_drain),
        cmocka_unit_test(test_build),
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_reserve_fails),
        cmocka_unit_test(test_reserve_is_enough),
        cmocka_unit_test(test_divide_part),
        cmocka_unit_test(test_churn_stays_small),
        cmocka_unit_test(test_gap_limits),
        cmocka_unit_test(test_gap_ends),
        cmocka_unit_test(test_random_small),
        cmocka_unit_test(test_random_large),
        cmocka_unit_test(test_random_pages),
        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_come_and_go),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_validate),
#if defined(__x86_64__) && !defined(VMKI_THREAD_SANITIZER)
        cmocka_unit_test(test_every_instruction),
        cmocka_unit_test(test_every_instruction_at_ends),
        cmocka_unit_test(test_every_instruction_of_tiles),
#endif
        cmocka_unit_test(test_signal_reader),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
