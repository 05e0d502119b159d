/* SPDX-License-Identifier: MIT */
/*
 * test_tree_gaps.c - searches for gaps with limits and lengths that just fit, or just do not; and exactly when the short way of
 * the search (highest.h) knows the answer, and what it says then.
 *
 * VMKIT_TREE_STEPS sets the number of random queries.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/tree_world.h"

/* ---- What the short way is to say ---- */

static const struct vmki_highest nowhere = {0, UINT64_MAX};

/* What lies between an entry and the next; the last has none. */
static uint64_t gap_behind(const struct world *world, size_t index)
{
    return index + 1 < world->nr ? world->model[index + 1].start - world->model[index].end : 0;
}

static bool is_candidate(const struct world *world, size_t index, uint64_t len)
{
    return len >> VMKI_HOLE_UNIT_SHIFT != 0 && vmki_hole_class(gap_behind(world, index)) >= vmki_hole_class(len);
}

static struct vmki_highest place_below(const struct world *world, size_t index, uint64_t len)
{
    return (struct vmki_highest){world->model[index].start - len, world->model[index].flags};
}

/* A leaf by the first and the last of its entries, and where a cursor stands in the nodes above. */
struct leaf_range {
    struct vmki_cursor at;
    size_t first, last;
};

static struct leaf_range leaf_of(struct world *world, size_t index)
{
    struct leaf_range leaf;

    assert_true(vmki_cursor_seek(&leaf.at, &world->tree, world->model[index].start));
    leaf.first = index - leaf.at.slot[0];
    leaf.last = leaf.first + vmki_node_count(leaf.at.node[0]) - 1;
    return leaf;
}

/* No entry is above the limit: the leaf of the highest gap that is long enough, where its last entry is no candidate. */
static struct vmki_highest highest_of_all(struct world *world, uint64_t len)
{
    const struct vmki_tree_entry *first = &world->model[0];
    struct leaf_range leaf;
    size_t found = world->nr - 1;

    while (found-- > 0)
        if (gap_behind(world, found) >= len)
            break;
    if (found == SIZE_MAX)
        return world->tree.height > 1 && first->start >= len ? place_below(world, 0, len) : nowhere;
    leaf = leaf_of(world, found);
    for (size_t i = leaf.last + 1; i-- > leaf.first;) {
        if (!is_candidate(world, i, len))
            continue;
        if (i == leaf.last)
            return nowhere;
        if (gap_behind(world, i) >= len)
            return place_below(world, i + 1, len);
    }
    return nowhere;
}

/* In the leaves below this one that have the same parent: in the first with a gap that is long enough. */
static struct vmki_highest highest_beside(struct world *world, size_t first, unsigned slot, uint64_t len)
{
    const struct vmki_tree_inner *parent = vmki_inner(leaf_of(world, first).at.node[1]);
    struct leaf_range leaf;

    do {
        if (slot-- == 0)
            return nowhere;
        leaf = leaf_of(world, first - 1);
        first = leaf.first;
    } while (parent->gap[slot] < len);
    for (size_t i = leaf.last + 1; i-- > leaf.first;)
        if (is_candidate(world, i, len) && gap_behind(world, i) >= len)
            return place_below(world, i + 1, len);
    return nowhere;
}

/* In the leaf of the last entry that starts below the limit; or beside it, if there is no candidate in it. */
static struct vmki_highest highest_below(struct world *world, uint64_t high, uint64_t len)
{
    size_t last = world->nr, i;
    struct leaf_range leaf;
    bool is_beside = true;

    while (last > 0 && world->model[last - 1].start >= high)
        last--;
    if (last == 0 || len == 0)
        return nowhere;
    leaf = leaf_of(world, --last);
    for (unsigned level = world->tree.height - 1; level > 0; level--)
        if (vmki_inner(leaf.at.node[level])->gap[leaf.at.slot[level]] < len)
            return level == 1 ? highest_beside(world, leaf.first, leaf.at.slot[1], len) : nowhere;
    if (high >= world->model[last].end + len) {
        bool known = last < leaf.last || leaf.at.slot[1] + 1u < leaf.at.node[1]->count;

        return known ? (struct vmki_highest){high - len, world->model[last + 1].flags} : nowhere;
    }
    for (i = last; i-- > leaf.first;)
        if (is_candidate(world, i, len)) {
            is_beside = false;
            if (gap_behind(world, i) >= len)
                return place_below(world, i + 1, len);
        }
    return is_beside && world->tree.height > 1 ? highest_beside(world, leaf.first, leaf.at.slot[1], len) : nowhere;
}

static struct vmki_highest highest(struct world *world, uint64_t high, uint64_t len)
{
    uint64_t last_end = world->nr > 0 ? world->model[world->nr - 1].end : 0;

    if (world->nr == 0 || len >= VMKI_TREE_MAX_END)
        return nowhere;
    if (last_end > high)
        return highest_below(world, high, len);
    return high - last_end < len ? highest_of_all(world, len) : nowhere;
}

static size_t nr_known;

static void check_query(struct world *world, uint64_t low, uint64_t high, uint64_t len)
{
    const struct gap_query query = {low, high, len};
    struct vmki_highest want = highest(world, high, len), got = vmki_tree_highest(&world->tree, high, len);
    uint64_t top = 1, bottom = 1;
    struct vmki_gap gap;
    bool found = model_gap(world, &query, &top, &bottom);

    if (want.start != got.start || want.flags != got.flags)
        fail_msg("%#lx below %#lx: %#lx, not %#lx", (unsigned long)len, (unsigned long)high, (unsigned long)got.start,
                 (unsigned long)want.start);
    nr_known += got.flags != UINT64_MAX;
    assert_int_equal(vmki_tree_gap_highest(&world->tree, low, high, len, &gap), found);
    if (found) {
        assert_int_equal(gap.start, top);
        check_above(world, &query, &gap);
    }
    assert_int_equal(vmki_tree_gap_lowest(&world->tree, low, high, len, &gap), found);
    if (found) {
        assert_int_equal(gap.start, bottom);
        check_above(world, &query, &gap);
    }
}

/* ---- Around the gaps of a tree ---- */

/* A number next to this one, or itself. */
static uint64_t about(struct world *world, uint64_t number)
{
    uint64_t at = number + random_below(world, 3);

    return at > 0 ? at - 1 : 0;
}

/* As long as some gap, to limits at the ends of the same or of another. */
static void query_step(struct world *world, uint64_t unit)
{
    size_t index = random_below(world, world->nr),
           other = random_below(world, 3) ? index : random_below(world, world->nr);
    uint64_t from = world->model[index].end, gap = gap_behind(world, other), len, high, low;

    if (index + 1 == world->nr)
        gap = random_below(world, 9) * unit;
    len = random_below(world, 8) ? about(world, gap) : about(world, unit * (1 + random_below(world, 30)));
    switch (random_below(world, 4)) {
    case 0:
        high = about(world, from + len);
        break;
    case 1:
        high = about(world, from + gap);
        break;
    case 2:
        high = about(world, world->model[world->nr - 1].end + (random_below(world, 2) ? len : 0));
        break;
    default:
        high = about(world, world->model[random_below(world, world->nr)].start);
        break;
    }
    check_query(world, 0, high, len);
    low = random_below(world, 3) ? about(world, high - len)
                                 : about(world, world->model[random_below(world, world->nr)].end);
    check_query(world, low, high, len);
    check_query(world, about(world, from), about(world, from + gap), len);
}

/* Holes are often none at all; a few are long, so that those are far from each other. */
static void grow(struct world *world, size_t nr, uint64_t unit, unsigned rare)
{
    uint64_t at = unit * (1 + random_below(world, 20));

    while (world->nr < nr) {
        uint64_t end = at + unit * (1 + random_below(world, 3));

        insert(world, at, end);
        at = end + unit * random_below(world, random_below(world, rare) ? 2 : 40) +
             (random_below(world, 8) ? 0 : unit / 3);
    }
    for (size_t i = 0; i < nr / 3; i++) { /* leaves differ in how full they are */
        struct vmki_tree_entry gone = world->model[random_below(world, world->nr)];

        splice(world, gone.start, gone.end, NULL, 0);
    }
}

static void test_around_gaps(void **state)
{
    static const size_t sizes[] = {1, 4, 15, 24, 60, 300, 900};
    static const uint64_t units[] = {1, 4096, 12288};
    static const unsigned rare[] = {2, 12, 200};
    size_t steps = env_number("VMKIT_TREE_STEPS", 100000) / 50;

    (void)state;
    nr_known = 0;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (unsigned j = 0; j < 9; j++) {
            struct world world;

            world_init(&world);
            world.random += 10 * i + j;
            grow(&world, sizes[i], units[j / 3], rare[j % 3]);
            check_query(&world, 0, UINT64_MAX, 0);
            check_query(&world, 0, 4096, 0);
            check_query(&world, 0, 0, 1);
            for (size_t step = 0; step < steps; step++)
                query_step(&world, units[j / 3]);
            world_destroy(&world);
        }
    assert_true(nr_known > steps * 20);
}

/* ---- No gap at all ---- */

static void check_no_gap(const struct vmki_tree_inner *inner)
{
    for (unsigned i = 0; i < inner->head.count; i++) {
        assert_int_equal(inner->gap[i], 0);
        if (inner->head.level > 1)
            check_no_gap(vmki_inner(inner->child[i]));
    }
}

static void touching_next(void *context, struct vmki_tree_entry *entry)
{
    struct world *world = context;

    *entry = entry_of((world->nr + 5) * 8, (world->nr + 6) * 8);
    model_splice(world, world->nr, world->nr, entry, 1);
}

/* Built or put in one by one: where entries touch nothing is found between them, and nothing is thought to be there. */
static void test_no_gap(void **state)
{
    (void)state;
    for (unsigned is_built = 0; is_built < 2; is_built++) {
        struct world world;
        struct vmki_gap gap;

        world_init(&world);
        if (is_built) {
            assert_true(vmki_tree_build(&world.tree, 700, touching_next, &world));
        } else {
            while (world.nr < 700)
                insert(&world, (world.nr + 5) * 8, (world.nr + 6) * 8);
        }
        check_no_gap(vmki_inner(world.tree.root));
        assert_false(vmki_tree_gap_highest(&world.tree, 40, 705 * 8, 1, &gap));
        assert_true(vmki_tree_gap_highest(&world.tree, 39, 705 * 8, 1, &gap));
        assert_int_equal(gap.start, 39);
        splice(&world, 300 * 8, 300 * 8 + 1, NULL, 0);
        splice(&world, 300 * 8, 0, (struct vmki_tree_entry[]){entry_of(300 * 8, 301 * 8)}, 1);
        check_no_gap(vmki_inner(world.tree.root));
        check_all(&world);
        world_destroy(&world);
    }
}

/* ---- Nodes that end where memory ends ---- */

static void *guarded_alloc(void *context, size_t size)
{
    struct memory *memory = context;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(pages != MAP_FAILED);
    assert_int_equal(mprotect(pages + page, page, PROT_NONE), 0);
    memory->nr_live++;
    return pages + page - size;
}

static void guarded_free(void *context, void *node, size_t size)
{
    struct memory *memory = context;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    munmap((char *)node + size - page, 2 * page);
    memory->nr_live--;
}

/* No search looks behind the last gap of a full node. */
static void test_full_nodes(void **state)
{
    static const size_t sizes[] = {15, 315, 6615};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct world world;

        world_init(&world);
        world.memory.table.alloc = guarded_alloc;
        world.memory.table.free = world.memory.table.retire = guarded_free;
        assert_true(vmki_tree_build(&world.tree, sizes[i], build_next, &world));
        for (unsigned step = 0; step < 60; step++) {
            query_step(&world, 1);
            check_query(&world, random_below(&world, sizes[i] * 20), UINT64_MAX, 7 + random_below(&world, 30));
        }
        check_query(&world, 0, sizes[i] * 20, 100);
        check_query(&world, 0, VMKI_TREE_MAX_END, 4096);
        check_valid(&world);
        world_destroy(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_around_gaps),
        cmocka_unit_test(test_no_gap),
        cmocka_unit_test(test_full_nodes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
