/* SPDX-License-Identifier: MIT */
/*
 * test_tree_whole.c - what concerns many entries at once, against a plain sorted array: copies, lists of entries, sets of addresses, and parts
 * with writers of their own.
 */
#include "tests/unit/tree_world.h"
#include "tree/ranges.h"

/* Entries and holes of 1 to 9 units, leaves as full as they come. */
static void grow(struct world *world, size_t nr, uint64_t unit)
{
    uint64_t at = unit * (1 + random_below(world, 9));

    while (world->nr < nr) {
        uint64_t end = at + unit * (1 + random_below(world, 9));

        insert(world, at, end);
        at = end + unit * random_below(world, 10) * random_below(world, 2);
    }
    for (size_t i = 0; i < nr / 3; i++) {
        struct vmki_tree_entry gone = world->model[random_below(world, world->nr)];

        splice(world, gone.start, gone.end, NULL, 0);
    }
}

/* ---- Copies ---- */

/* What is to be done with each entry of `from`: up to `stop`; every so many-th is taken, or all but those. */
struct copying {
    struct world *from, *to;
    size_t nr_seen, stop;
    unsigned every;
    bool but; /* these are left out */
};

static enum vmki_tree_take take(void *context, struct vmki_tree_entry *entry)
{
    struct copying *copying = context;

    assert_true(copying->nr_seen < copying->from->nr && copying->nr_seen <= copying->stop);
    check_entry(entry, &copying->from->model[copying->nr_seen]);
    if (copying->nr_seen == copying->stop)
        return VMKI_TREE_STOP;
    copying->nr_seen++;
    if ((copying->nr_seen % copying->every == 0) == copying->but)
        return VMKI_TREE_LEAVE;
    entry->flags += 5;
    entry->item = (char *)entry->item + 2;
    model_splice(copying->to, copying->to->nr, copying->to->nr, entry, 1);
    return VMKI_TREE_TAKE;
}

/* Nodes of a tree that is packed full. */
static size_t nodes_of(size_t nr)
{
    size_t level = (nr + VMKI_LEAF_MAX - 1) / VMKI_LEAF_MAX, total = level;

    for (; level > 1; total += level)
        level = (level + VMKI_INNER_MAX - 1) / VMKI_INNER_MAX;
    return total;
}

static void copy_once(struct copying *copying, bool is_many, bool wanted)
{
    struct world *to = copying->to;
    uint32_t edits = to->tree.edits;

    to->memory.table.alloc_many = is_many ? memory_alloc_many : NULL;
    to->nr = copying->nr_seen = 0;
    assert_int_equal(vmki_tree_copy(&to->tree, &copying->from->tree, 2, take, copying), wanted);
    if (!wanted)
        to->nr = 0;
    assert_int_equal(to->tree.edits - edits, to->nr > 0 ? 2 : 0);
    check_all(to);
    check_valid(copying->from);
}

/* All that it takes; a few of the nodes that were not needed are kept. */
static void copy_all(struct copying *copying, bool is_many)
{
    struct world *to = copying->to;
    size_t nodes = nodes_of(copying->from->nr), used, spare;

    copying->stop = SIZE_MAX;
    to->memory.nr_allocs = 0;
    copy_once(copying, is_many, true);
    used = nodes_of(to->nr);
    spare = nodes - used < 9 ? nodes - used : 9;
    assert_int_equal(copying->nr_seen, copying->from->nr);
    assert_int_equal(to->memory.nr_allocs, nodes);
    assert_int_equal(to->tree.nr_spare, spare);
    assert_int_equal(to->memory.nr_live, used + spare);
    vmki_tree_clear(&to->tree);
    vmki_tree_release_spare(&to->tree, 0);
    assert_int_equal(to->memory.nr_live, 0);
}

/* Told to stop, or without memory: nothing is there afterwards, and no node is lost. */
static void copy_none(struct copying *copying, bool is_many, size_t fail)
{
    struct world *to = copying->to;

    copying->stop = random_below(copying->from, copying->from->nr);
    copy_once(copying, is_many, false);
    assert_int_equal(copying->nr_seen, copying->stop);
    assert_int_equal(to->memory.nr_live, 0);
    copying->stop = SIZE_MAX;
    to->memory.fail_after = fail;
    copy_once(copying, is_many, false);
    to->memory.fail_after = SIZE_MAX;
    assert_int_equal(copying->nr_seen, 0);
    assert_int_equal(to->memory.nr_live, 0);
}

static void test_copy(void **state)
{
    static const size_t sizes[] = {0, 1, 15, 16, 40, 230, 480, 2000, 8000};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct world from, to;
        size_t nodes;

        world_init(&from);
        world_init(&to);
        if (sizes[i] == 480) /* leaves that are all full */
            assert_true(vmki_tree_build(&from.tree, 480, build_next, &from));
        else
            grow(&from, sizes[i], 1 + 5000 * (i % 2));
        nodes = nodes_of(from.nr);
        for (unsigned round = 0; round < 24; round++) {
            struct copying copying = {&from, &to, 0, 0, 1 + round / 4 * 3, round & 1};

            copy_all(&copying, round & 2);
            for (unsigned stop = 0; stop < 4 && from.nr > 0; stop++)
                copy_none(&copying, round & 2, stop == 0 ? nodes - 1 : random_below(&from, nodes));
        }
        world_destroy(&to);
        world_destroy(&from);
    }
}

/* ---- Sets of addresses ---- */

enum { NR_UNITS = 12 };

/* Which addresses are in the set, and whose they are; NULL for none. */
static void check_ranges(const struct vmki_tree *tree, char *const *owner, uint64_t unit)
{
    struct vmki_cursor cursor;
    struct vmki_tree_entry entry;
    unsigned at = 0;

    assert_null(vmki_tree_validate(tree));
    VMKI_FOR_EACH_ENTRY (&cursor, (struct vmki_tree *)(uintptr_t)tree, &entry) {
        while (owner[at] == NULL)
            at++;
        assert_int_equal(entry.start, at * unit);
        assert_int_equal(entry.flags, 0);
        for (; at < NR_UNITS && owner[at] != NULL; at++)
            assert_ptr_equal(entry.item, owner[at]);
        assert_int_equal(entry.end, at * unit);
    }
    while (at < NR_UNITS)
        assert_null(owner[at++]);
}

/* Ranges that come take in those that they touch; where some goes, what stays keeps its owner. */
static void ranges_step(struct world *world, char **owner, uint64_t unit)
{
    static char owners[4];
    unsigned from = (unsigned)random_below(world, NR_UNITS), to = from + 1, i;
    bool touches = false;

    to += (unsigned)random_below(world, NR_UNITS - from);
    for (i = from; i < to; i++)
        touches |= owner[i] != NULL;
    assert_int_equal(vmki_ranges_touch(&world->tree, from * unit, to * unit), touches);
    assert_true(vmki_tree_reserve(&world->tree, 1));
    if (random_below(world, 3) == 0) {
        uint32_t edits = world->tree.edits;

        vmki_ranges_remove(&world->tree, from * unit, to * unit);
        assert_int_equal(world->tree.edits - edits, touches ? 2 : 0);
        for (i = from; i < to; i++)
            owner[i] = NULL;
    } else {
        char *item = &owners[random_below(world, sizeof(owners))];

        vmki_ranges_add(&world->tree, from * unit, to * unit, item);
        while (from > 0 && owner[from - 1] != NULL)
            from--;
        while (to < NR_UNITS && owner[to] != NULL)
            to++;
        for (i = from; i < to; i++)
            owner[i] = item;
    }
    check_ranges(&world->tree, owner, unit);
}

static void test_ranges(void **state)
{
    static const uint64_t units[] = {1, 2, 4096};

    (void)state;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        char *owner[NR_UNITS] = {NULL};
        struct world world;

        world_init(&world);
        for (unsigned step = 0; step < 4000; step++)
            ranges_step(&world, owner, units[i]);
        world_destroy(&world);
    }
}

/* ---- Lists of entries ---- */

static void check_areas(const struct world *world, uint64_t address, size_t nr)
{
    size_t first = model_seek(world, address), left = world->nr - first, want = left < nr ? left : nr, i;
    struct vmk_area *areas = malloc((nr + 3) * sizeof(*areas));
    const struct vmk_area mark = {7, 8, 9};

    for (i = 0; i < nr + 3; i++)
        areas[i] = mark;
    assert_int_equal(vmki_tree_areas(&world->tree, address, 0xfff5, areas, nr), want);
    for (i = 0; i < want; i++) {
        const struct vmki_tree_entry *entry = &world->model[first + i];

        assert_true(areas[i].start == entry->start && areas[i].end == entry->end);
        assert_int_equal(areas[i].flags, entry->flags & 0xfff5);
    }
    for (i = nr; i < nr + 3; i++)
        assert_memory_equal(&areas[i], &mark, sizeof(mark));
    free(areas);
}

static void check_some_areas(struct world *world)
{
    static const uint64_t addresses[] = {0, 1, 2, VMKI_TREE_MAX_END - 1, VMKI_TREE_MAX_END, UINT64_MAX};
    static const size_t numbers[] = {0, 1, 2, 3, 4, 5, 14, 15, 16, 17, 30, 31, 200};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        const struct vmki_tree_entry *entry = world->nr > 0 ? &world->model[random_below(world, world->nr)] : NULL;

        for (size_t j = 0; j < sizeof(addresses) / sizeof(addresses[0]); j++)
            check_areas(world, addresses[j], numbers[i]);
        for (unsigned by = 0; entry != NULL && by < 3; by++) {
            check_areas(world, entry->start + by - 1, numbers[i]);
            check_areas(world, entry->end + by - 1, numbers[i]);
            check_areas(world, world->model[0].start + by - 1, numbers[i]);
            check_areas(world, world->model[world->nr - 1].end + by - 1, numbers[i]);
        }
    }
    for (size_t nr = world->nr; nr < world->nr + 3; nr++)
        check_areas(world, random_below(world, 2) ? 0 : random_below(world, world->nr + 1), nr > 0 ? nr - 1 : 0);
}

static void test_areas(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 15, 16, 40, 300, 1000, 8000};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct world world;

        world_init(&world);
        grow(&world, sizes[i], 1 + 5000 * (i % 2));
        check_some_areas(&world);
        insert(&world, VMKI_TREE_MAX_END - 3, VMKI_TREE_MAX_END);
        check_some_areas(&world);
        if (world.model[0].start > 0)
            insert(&world, 0, 1);
        check_some_areas(&world);
        world_destroy(&world);
    }
}

/* ---- Lookups while an edit is under way ---- */

/* What starts there, ends there, and lies beside. */
static void check_lookups_around(const struct world *world, size_t index)
{
    const struct vmki_tree_entry *entry = &world->model[index];

    for (unsigned by = 0; by < 3; by++) {
        check_lookups(world, entry->start + by - 1);
        check_lookups(world, entry->end + by - 1);
    }
}

/*
 * A writer has begun with a leaf, and its free slots have starts already, or still: readers that interrupt it go along the order,
 * and find what was there.
 */
static void check_lookups_in_edit(struct world *world, size_t first, struct vmki_tree_leaf *leaf)
{
    unsigned count = vmki_order_count(leaf->order);
    uint64_t start = vmki_leaf_start(leaf, 0), end = vmki_leaf_end(leaf, count - 1);

    leaf->head.version++;
    for (unsigned rank = count; rank < VMKI_LEAF_MAX; rank++)
        leaf->start[vmki_order_slot(leaf->order, rank)] = start + random_below(world, end - start + 20);
    for (size_t i = first > 0 ? first - 1 : 0; i < first + count + 1 && i < world->nr; i++)
        check_lookups_around(world, i);
    check_lookups(world, VMKI_TREE_MAX_END - 1);
    check_lookups(world, VMKI_TREE_MAX_END);
    check_lookups(world, 0);
    for (unsigned rank = count; rank < VMKI_LEAF_MAX; rank++)
        leaf->start[vmki_order_slot(leaf->order, rank)] = VMKI_NO_KEY;
    leaf->head.version++;
}

static void test_lookups_in_edits(void **state)
{
    static const size_t sizes[] = {1, 2, 15, 16, 40, 300, 800};

    (void)state;
    for (size_t i = 0; i < 3 * sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct vmki_cursor cursor;
        struct world world;

        world_init(&world);
        world.random += i;
        grow(&world, sizes[i / 3], 1 + 5000 * (i % 2));
        if (world.model[0].start > 0)
            insert(&world, 0, 1);
        for (size_t first = 0; first < world.nr; first += vmki_node_count(cursor.node[0])) {
            assert_true(vmki_cursor_seek(&cursor, &world.tree, world.model[first].start));
            check_lookups_in_edit(&world, first, vmki_leaf(cursor.node[0]));
        }
        check_all(&world);
        world_destroy(&world);
    }
}

/* ---- Parts ---- */

enum { NR_LANES = 3 };

/* A tree of each lane's own, which is one part after the other. */
struct lanes {
    struct world *world;
    struct vmki_tree tree[NR_LANES];
    uint64_t unit;
    size_t nr_spliced, nr_refused;
};

/* As check_valid, where lanes have reserved nodes too. */
static void check_valid_beside(const struct lanes *lanes)
{
    const struct world *world = lanes->world;
    const char *broken = vmki_tree_validate(&world->tree);
    size_t bytes = world->tree.nr_nodes_bytes;

    if (broken)
        fail_msg("the tree is not valid: %s", broken);
    for (unsigned i = 0; i < NR_LANES; i++) {
        assert_null(lanes->tree[i].root);
        bytes += lanes->tree[i].nr_spare * VMKI_NODE_SIZE;
    }
    assert_int_equal(bytes, world->memory.nr_live * VMKI_NODE_SIZE);
    assert_int_equal(world->tree.nr_entries, world->nr);
}

/* Somewhere in the part some entries give way to others, if that leaves it a root; those beside it stay. */
static void splice_part(struct lanes *lanes, struct vmki_tree *part, unsigned number)
{
    struct world *world = lanes->world;
    uint64_t low = vmki_tree_part_low(&world->tree, number), high = vmki_tree_part_bound(&world->tree, number + 1);
    uint64_t last = world->model[world->nr - 1].end + 60 * lanes->unit, address, until, at;
    struct vmki_tree_entry entries[VMKI_TREE_SPLICE_MAX];
    unsigned nr = 0, want = (unsigned)random_below(world, VMKI_TREE_SPLICE_MAX + 1) * (unsigned)random_below(world, 2);
    size_t from, to;
    struct vmki_cursor cursor;

    high = high < last ? high : last;
    if (low >= high)
        return;
    address = low + random_below(world, random_below(world, 3) ? high - low : 2);
    until = address + lanes->unit * random_below(world, 30) * random_below(world, 2);
    until = until < high ? until : high;
    for (from = to = model_seek(world, address); to < world->nr && world->model[to].start < until;)
        to++;
    at = to > from && world->model[from].start < address ? world->model[from].start : address;
    at = random_below(world, 2) ? at : address;
    high = to < world->nr && world->model[to].start < high ? world->model[to].start : high;
    for (; nr < want && at < high; nr++, at = entries[nr - 1].end + lanes->unit * random_below(world, 2)) {
        uint64_t end = at + lanes->unit * (1 + random_below(world, 4));

        entries[nr] = entry_of(at, end < high ? end : high);
    }
    if (to == from && from < world->nr && world->model[from].start < address)
        return; /* it contains the address, and stays */
    vmki_cursor_seek(&cursor, part, address);
    if (!vmki_cursor_keeps_root(&cursor, until, nr)) {
        lanes->nr_refused++;
        return;
    }
    assert_true(vmki_cursor_reserve(&cursor, until, nr));
    world->memory.fail_after = 0;
    vmki_cursor_splice(&cursor, until, entries, nr);
    world->memory.fail_after = SIZE_MAX;
    model_splice(world, from, to, entries, nr);
    lanes->nr_spliced++;
}

/* Lanes go from part to part, no two in the same. Lookups in the whole tree do not mind. */
static uint32_t work_in_parts(struct lanes *lanes, unsigned steps)
{
    struct world *world = lanes->world;
    unsigned nr_parts = vmki_tree_nr_parts(&world->tree), at[NR_LANES] = {0, 0, 0};
    uint32_t changed = 0;

    for (unsigned step = 0; step < steps; step++) {
        unsigned lane = (unsigned)random_below(world, NR_LANES), number = (unsigned)random_below(world, nr_parts);
        bool is_taken = false;

        if (at[lane] == 0 || random_below(world, 8) == 0) {
            for (unsigned i = 0; i < NR_LANES; i++)
                is_taken |= i != lane && at[i] == number + 1;
            if (is_taken)
                continue;
            vmki_tree_part_open(&lanes->tree[lane], &world->tree, number);
            at[lane] = number + 1;
        }
        splice_part(lanes, &lanes->tree[lane], at[lane] - 1);
        changed |= UINT32_C(1) << (at[lane] - 1);
        check_lookups(world, random_below(world, world->model[world->nr - 1].end + 20));
    }
    return changed;
}

static void round_of_parts(struct lanes *lanes, unsigned steps)
{
    struct world *world = lanes->world;
    size_t before = world->tree.nr_entries;
    uint32_t changed;

    assert_int_equal(vmki_tree_part_bound(&world->tree, 0), 0);
    assert_int_equal(vmki_tree_part_low(&world->tree, 0), 1);
    assert_int_equal(vmki_tree_part_bound(&world->tree, vmki_tree_nr_parts(&world->tree)), VMKI_TREE_MAX_END);
    for (unsigned i = 0; i < NR_LANES; i++)
        vmki_tree_part_begin(&lanes->tree[i], &world->tree);
    changed = work_in_parts(lanes, steps);
    for (unsigned i = 0; i < NR_LANES; i++)
        vmki_tree_part_close(&lanes->tree[i], &world->tree, before);
    vmki_tree_parts_settle(&world->tree, changed);
    check_valid_beside(lanes);
}

static void test_parts(void **state)
{
    static const size_t sizes[] = {30, 100, 315, 400, 3000};
    size_t rounds = env_number("VMKIT_TREE_STEPS", 100000) / 1000;
    struct lanes lanes = {0};

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct world world;

        world_init(&world);
        lanes.unit = 1 + 5000 * (i % 2);
        if (sizes[i / 2] == 315) /* as many parts as there can be */
            assert_true(vmki_tree_build(&world.tree, 315, build_next, &world));
        else
            grow(&world, sizes[i / 2], lanes.unit);
        assert_true(vmki_tree_nr_parts(&world.tree) > 1);
        lanes.world = &world;
        for (unsigned lane = 0; lane < NR_LANES; lane++)
            vmki_tree_init(&lanes.tree[lane], &world.memory.table);
        for (size_t round = 0; round < rounds && vmki_tree_nr_parts(&world.tree) > 0; round++) {
            round_of_parts(&lanes, 1 + (unsigned)random_below(&world, 40));
            if (round % 8 != 0)
                continue;
            for (unsigned lane = 0; lane < NR_LANES; lane++)
                vmki_tree_release_spare(&lanes.tree[lane], 0);
            check_all(&world);
        }
        for (unsigned lane = 0; lane < NR_LANES; lane++)
            vmki_tree_destroy(&lanes.tree[lane]);
        check_all(&world);
        world_destroy(&world);
    }
    assert_true(lanes.nr_spliced > rounds * 10 && lanes.nr_refused > 0);
}

/* Above all entries there is nothing to divide, with or without memory. */
static void test_divide_above_all(void **state)
{
    static const size_t sizes[] = {1, 40, 1000};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct world world;
        const struct vmki_tree_node *root;
        uint64_t end;

        world_init(&world);
        grow(&world, sizes[i], 1 + 5000 * (i % 2));
        root = world.tree.root;
        end = world.model[world.nr - 1].end;
        assert_int_equal(vmki_tree_nr_parts(&world.tree), root->level > 0 ? root->count : 0);
        assert_false(vmki_tree_divide_part(&world.tree, end));
        assert_false(vmki_tree_divide_part(&world.tree, VMKI_TREE_MAX_END));
        vmki_tree_release_spare(&world.tree, 0);
        world.memory.fail_after = 0;
        assert_false(vmki_tree_divide_part(&world.tree, end));
        assert_false(vmki_tree_divide_part(&world.tree, end - 1));
        assert_ptr_equal(world.tree.root, root);
        check_all(&world);
        world_destroy(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy),  cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_areas), cmocka_unit_test(test_lookups_in_edits),
        cmocka_unit_test(test_parts), cmocka_unit_test(test_divide_above_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
