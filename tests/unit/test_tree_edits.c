/* SPDX-License-Identifier: MIT */
/*
 * test_tree_edits.c - the tree's edits inside one leaf, and what is asked before them, against a plain sorted array: each
 * `fits` says exactly what it is to say, and what fits is done where it stands.
 *
 * VMKIT_TREE_STEPS sets the number of random steps.
 */
#include "tests/unit/tree_world.h"

/* Entries and holes are so many units long; the mixes differ in whether holes have a class. */
enum { MAX_UNITS = 5 };

/* What of each was asked for, and done. */
struct counts {
    size_t nr_inserts, nr_erases, nr_firsts, nr_tiles, nr_touching, nr_kept, nr_not_kept, nr_splits, nr_joins;
};

struct bed {
    struct world world;
    uint64_t unit;
    size_t size; /* about as many entries are kept */
    struct counts counts;
};

static struct vmki_tree_entry some_entry(struct world *world, uint64_t start, uint64_t end)
{
    return (struct vmki_tree_entry){start, end, random_below(world, 8), (void *)(uintptr_t)(random_next(world) | 1)};
}

/* Half of all neighbours touch. */
static void bed_init(struct bed *bed, size_t nr, uint64_t unit)
{
    uint64_t at;

    *bed = (struct bed){.unit = unit, .size = nr};
    world_init(&bed->world);
    bed->world.random += nr + unit;
    at = unit * random_below(&bed->world, 3);
    while (bed->world.nr < nr) {
        uint64_t end = at + unit * (1 + random_below(&bed->world, MAX_UNITS));
        struct vmki_tree_entry entry = some_entry(&bed->world, at, end);

        splice(&bed->world, at, 0, &entry, 1);
        at = end + unit * random_below(&bed->world, MAX_UNITS) * random_below(&bed->world, 2);
    }
}

/* An edit where it stands: what was there before, for a reader, and for the memory. */
struct stand {
    const struct vmki_tree_node *leaf;
    struct vmki_tree_look look;
    uint32_t edits;
    size_t nr_allocs, nr_retired;
};

static struct stand stand_of(const struct world *world, const struct vmki_cursor *cursor)
{
    struct stand stand = {.leaf = cursor->node[0], .edits = world->tree.edits};
    struct vmki_tree_entry entry;
    vmk_addr start = vmki_leaf_start(vmki_leaf_const(stand.leaf), 0);

    assert_true(vmki_tree_look_at(&world->tree, start, &entry, &stand.look));
    assert_true(vmki_tree_holds(&stand.look) && vmki_tree_unedited(&world->tree, stand.edits));
    assert_ptr_equal(stand.look.leaf, stand.leaf);
    stand.nr_allocs = world->memory.nr_allocs;
    stand.nr_retired = world->memory.nr_retired;
    return stand;
}

/* Readers see that the leaf and the tree were edited once, and that nobody edits them now; no node came or went. */
static void check_stand(const struct world *world, const struct stand *stand)
{
    assert_false(vmki_tree_holds(&stand->look));
    assert_int_equal(stand->leaf->version, stand->look.version + 2);
    assert_int_equal(world->tree.edits, stand->edits + 2);
    assert_int_equal(world->memory.nr_allocs, stand->nr_allocs);
    assert_int_equal(world->memory.nr_retired, stand->nr_retired);
    check_valid(world);
}

/* Where the cursor stands in its leaf, and how many entries that has. */
static unsigned rank_of(const struct vmki_cursor *cursor)
{
    return cursor->slot[0];
}

static unsigned count_of(const struct vmki_cursor *cursor)
{
    return vmki_node_count(cursor->node[0]);
}

static bool stays_filled(const struct world *world, unsigned old, unsigned count)
{
    return count > 0 && (world->tree.height == 1 || count > VMKI_LEAF_LOW || count >= old);
}

static unsigned count_beside(const struct vmki_cursor *cursor, int by)
{
    const struct vmki_tree_inner *parent = vmki_inner(cursor->node[1]);
    int slot = cursor->slot[1] + by;

    return slot >= 0 && slot < parent->head.count ? vmki_node_count(parent->child[slot]) : VMKI_LEAF_MAX;
}

/* Entries come to the cursor's leaf, or in place of some there: the leaf has room, and neither empties nor joins a sibling. */
static bool done_in_leaf(const struct world *world, const struct vmki_cursor *cursor, unsigned removed, unsigned nr_new)
{
    unsigned count = count_of(cursor), left = count - removed + nr_new;

    if (count + nr_new > VMKI_LEAF_MAX || left == 0)
        return false;
    return stays_filled(world, count, left) ||
           (left + count_beside(cursor, -1) > 2 * VMKI_LEAF_LOW && left + count_beside(cursor, 1) > 2 * VMKI_LEAF_LOW);
}

/* ---- One comes, one goes ---- */

/* In the leaf of the entry below it, if there is room and it touches nothing. */
static bool is_to_fit(struct world *world, size_t index, uint64_t start, uint64_t end)
{
    struct vmki_cursor cursor;

    if (index == 0)
        return false;
    assert_true(vmki_cursor_seek(&cursor, &world->tree, world->model[index - 1].start));
    return count_of(&cursor) < VMKI_LEAF_MAX && world->model[index - 1].end < start &&
           (index == world->nr || world->model[index].start > end);
}

static void try_insert(struct bed *bed, size_t index, uint64_t start, uint64_t end)
{
    struct world *world = &bed->world;
    struct vmki_tree_entry entry = some_entry(world, start, end);
    struct vmki_tree_hole hole;
    struct vmki_cursor cursor;
    struct stand stand;
    bool fits = is_to_fit(world, index, start, end);

    assert_int_equal(vmki_cursor_seek_gap(&cursor, &world->tree, start, end, &hole), fits);
    if (!fits)
        return;
    assert_int_equal(hole.start, world->model[index - 1].end);
    assert_int_equal(hole.end, index < world->nr ? world->model[index].start : UINT64_MAX);
    stand = stand_of(world, &cursor);
    vmki_cursor_insert(&cursor, &entry, &hole);
    model_splice(world, index, index, &entry, 1);
    check_stand(world, &stand);
    check_cursor(world, &cursor, index);
    bed->counts.nr_inserts++;
}

/* Where an entry is nothing fits, wherever it would end. */
static void overlap_step(struct bed *bed)
{
    struct world *world = &bed->world;
    const struct vmki_tree_entry *entry = &world->model[random_below(world, world->nr)];
    uint64_t start = entry->start + random_below(world, entry->end - entry->start + 1);
    struct vmki_tree_hole hole;
    struct vmki_cursor cursor;

    assert_false(vmki_cursor_seek_gap(&cursor, &world->tree, start, start + 1, &hole));
    assert_false(vmki_cursor_seek_gap(&cursor, &world->tree, start, start + 100 * bed->unit, &hole));
}

/* Anywhere in a hole, mostly not all of it; the one above all entries is as long as the longest. */
static void insert_step(struct bed *bed)
{
    struct world *world = &bed->world;
    size_t index = random_below(world, 4) ? random_below(world, world->nr + 1) : world->nr;
    uint64_t from = index > 0 ? world->model[index - 1].end : 0,
             to = index < world->nr ? world->model[index].start : from + (MAX_UNITS + 1) * bed->unit;
    uint64_t units = (to - from) / bed->unit, start, end;

    if (units == 0)
        return;
    start = from + bed->unit * random_below(world, units);
    end = start + bed->unit * (1 + random_below(world, (to - start) / bed->unit));
    try_insert(bed, index, start, end);
}

static void try_erase(struct bed *bed, size_t index)
{
    struct world *world = &bed->world;
    struct vmki_cursor cursor;
    struct vmki_tree_entry entry;
    struct stand stand;
    unsigned rank, count;
    bool fits;

    assert_true(vmki_cursor_seek_entry(&cursor, &world->tree, world->model[index].end - 1, &entry));
    check_entry(&entry, &world->model[index]);
    rank = rank_of(&cursor);
    count = count_of(&cursor);
    fits = done_in_leaf(world, &cursor, 1, 0) &&
           (rank > 0 ? index + 1 < world->nr : world->tree.height > 1 && cursor.slot[1] > 0);
    assert_int_equal(vmki_cursor_erase_fits(&cursor), fits);
    if (!fits)
        return;
    stand = stand_of(world, &cursor);
    vmki_cursor_erase(&cursor);
    model_splice(world, index, index + 1, NULL, 0);
    check_stand(world, &stand);
    if (rank + 1 < count)
        check_cursor(world, &cursor, index);
    else
        assert_null(cursor.node[0]);
    bed->counts.nr_erases++;
    bed->counts.nr_firsts += rank == 0;
}

/* ---- Tilings ---- */

static bool are_touching(const struct world *world, size_t from, size_t to)
{
    for (; from + 1 < to; from++)
        if (world->model[from].end != world->model[from + 1].start)
            return false;
    return true;
}

/* The entries from..to-1 give way to others, of which the first has these many units, and the last what is left. */
static void tile(struct bed *bed, struct vmki_cursor *cursor, size_t from, size_t to, unsigned nr_new)
{
    struct world *world = &bed->world;
    struct vmki_tree_entry tiles[MAX_UNITS];
    uint64_t at = world->model[from].start, end = world->model[to - 1].end;
    struct stand stand = stand_of(world, cursor);
    unsigned i;

    for (i = 0; i < nr_new; i++) {
        uint64_t spare = (end - at) / bed->unit - (nr_new - i);

        tiles[i] =
            some_entry(world, at, at + bed->unit * (1 + (i + 1 < nr_new ? random_below(world, spare + 1) : spare)));
        at = tiles[i].end;
    }
    vmki_cursor_tile(cursor, (unsigned)(to - from), tiles, nr_new);
    model_splice(world, from, to, tiles, nr_new);
    check_stand(world, &stand);
    check_cursor(world, cursor, from);
    bed->counts.nr_tiles++;
}

/* The question is put of any entries; what is done needs some that touch one another, and are long enough. */
static void tile_step(struct bed *bed)
{
    struct world *world = &bed->world;
    size_t index = random_below(world, world->nr), from;
    unsigned nr_old = 1 + (unsigned)random_below(world, MAX_UNITS),
             nr_new = (unsigned)random_below(world, MAX_UNITS + 1);
    bool from_before = random_below(world, 2), fits;
    struct vmki_cursor cursor;
    unsigned count, rank;

    assert_true(vmki_cursor_seek(&cursor, &world->tree, world->model[index].start));
    count = count_of(&cursor);
    rank = rank_of(&cursor);
    fits = rank >= from_before && rank + nr_old <= count + from_before && count + nr_new <= VMKI_LEAF_MAX &&
           stays_filled(world, count, count + nr_new - nr_old);
    assert_int_equal(vmki_cursor_tile_fits(&cursor, from_before, nr_old, nr_new), fits);
    from = index - from_before;
    if (!fits || nr_new == 0 || !are_touching(world, from, from + nr_old) ||
        world->model[from + nr_old - 1].end - world->model[from].start < nr_new * bed->unit)
        return;
    cursor.slot[0] = (uint8_t)(rank - from_before);
    tile(bed, &cursor, from, from + nr_old, nr_new);
}

/* ---- An entry in three, and three in one ---- */

/* Nothing is done that a reader or the memory could hear of. */
static void check_untouched(const struct world *world, const struct stand *stand, const struct vmki_cursor *cursor,
                            size_t index)
{
    assert_true(vmki_tree_holds(&stand->look) && vmki_tree_unedited(&world->tree, stand->edits));
    check_cursor(world, cursor, index);
    check_valid(world);
}

/* A part of it that touches neither of its ends; the leaf has room for two more, and a free slot beside those for the old one. */
static void split_step(struct bed *bed)
{
    struct world *world = &bed->world;
    size_t index = random_below(world, world->nr);
    struct vmki_tree_entry was = world->model[index], tiles[3] = {was, was, was};
    uint64_t units = (was.end - was.start) / bed->unit;
    struct vmki_cursor cursor;
    struct stand stand;
    bool fits;

    if (units < 3)
        return;
    tiles[0].end = was.start + bed->unit;
    tiles[1] = some_entry(world, tiles[0].end, tiles[0].end + bed->unit * (1 + random_below(world, units - 2)));
    tiles[2].start = tiles[1].end;
    tiles[0].item = &tiles[0];
    tiles[2].item = &tiles[2];
    assert_true(vmki_cursor_seek(&cursor, &world->tree, was.start));
    fits = count_of(&cursor) + 3 <= VMKI_LEAF_MAX;
    stand = stand_of(world, &cursor);
    assert_int_equal(vmki_cursor_split(&cursor, &tiles[1], tiles[0].item, tiles[2].item), fits);
    if (!fits) {
        check_untouched(world, &stand, &cursor, index);
        return;
    }
    model_splice(world, index, index + 1, tiles, 3);
    check_stand(world, &stand);
    check_cursor(world, &cursor, index + 1);
    bed->counts.nr_splits++;
}

/* It and both its neighbours, all in its leaf, touch, and have the same flags as are asked for, but for some. */
static void join_step(struct bed *bed)
{
    struct world *world = &bed->world;
    size_t index = random_below(world, world->nr);
    struct vmki_tree_entry *entry = &world->model[index], joined = {1, 2, 3, world}, one;
    uint64_t ignored = random_below(world, 8), flags = index > 0 ? entry[-1].flags : 0;
    struct vmki_cursor cursor;
    struct stand stand;
    void *above = world;
    bool fits;

    flags ^= ignored & random_below(world, 8);
    assert_true(vmki_cursor_seek(&cursor, &world->tree, entry->start));
    fits = rank_of(&cursor) > 0 && rank_of(&cursor) + 1 < count_of(&cursor) && count_of(&cursor) < VMKI_LEAF_MAX &&
           stays_filled(world, count_of(&cursor), count_of(&cursor) - 2) && are_touching(world, index - 1, index + 2) &&
           ((entry[-1].flags ^ flags) & ~ignored) == 0 && ((entry[1].flags ^ flags) & ~ignored) == 0;
    stand = stand_of(world, &cursor);
    assert_int_equal(vmki_cursor_join(&cursor, flags, ignored, &joined, &above), fits);
    if (!fits) {
        assert_ptr_equal(above, world);
        assert_ptr_equal(joined.item, world);
        check_untouched(world, &stand, &cursor, index);
        return;
    }
    one = (struct vmki_tree_entry){entry[-1].start, entry[1].end, entry[-1].flags, entry[-1].item};
    check_entry(&joined, &one);
    assert_ptr_equal(above, entry[1].item);
    model_splice(world, index - 1, index + 2, &one, 1);
    check_stand(world, &stand);
    check_cursor(world, &cursor, index - 1);
    bed->counts.nr_joins++;
}

/* ---- Who touches an entry ---- */

static void check_touch(const struct world *world, size_t index, bool wanted, const struct vmki_tree_entry *found,
                        size_t neighbour)
{
    size_t low = neighbour < index ? neighbour : index;

    if (!wanted || neighbour >= world->nr || world->model[low].end != world->model[low + 1].start)
        assert_null(found->item);
    else
        check_entry(found, &world->model[neighbour]);
}

static void touching_step(struct bed *bed)
{
    struct world *world = &bed->world;
    size_t index = random_below(world, world->nr);
    bool want_before = random_below(world, 2), want_after = random_below(world, 2), knows;
    struct vmki_tree_entry before = {1, 2, 3, world}, after = before;
    struct vmki_cursor cursor;

    assert_true(vmki_cursor_seek(&cursor, &world->tree, world->model[index].start));
    knows = (!want_before || rank_of(&cursor) > 0) &&
            (!want_after || rank_of(&cursor) + 1 < count_of(&cursor) || index + 1 == world->nr ||
             world->model[index + 1].start > world->model[index].end);
    assert_int_equal(vmki_cursor_touching(&cursor, want_before, want_after, &before, &after), knows);
    if (!knows)
        return;
    check_touch(world, index, want_before, &before, index - 1);
    check_touch(world, index, want_after, &after, index + 1);
    bed->counts.nr_touching++;
}

/* ---- Splices that leave a root like the one before ---- */

static bool is_to_keep_root(const struct world *world, const struct vmki_cursor *cursor, unsigned removed,
                            unsigned nr_new)
{
    const struct vmki_tree_node *root = world->tree.root;
    struct vmki_cursor before = *cursor;

    if (root == NULL || rank_of(cursor) + removed > count_of(cursor))
        return false;
    if (removed == 0 && rank_of(cursor) == 0 && nr_new > 0 && vmki_cursor_retreat(&before) &&
        count_of(&before) + nr_new <= VMKI_LEAF_MAX)
        return true;
    return done_in_leaf(world, cursor, removed, nr_new) ||
           (root->level > 0 && root->count >= 6 && root->count <= VMKI_INNER_MAX - 2);
}

/* Some entries from one on give way to others; what was said of the root before is so afterwards. */
static void splice_step(struct bed *bed)
{
    struct world *world = &bed->world;
    bool grow = world->nr < bed->size;
    size_t index = random_below(world, world->nr + 1), removed = random_below(world, grow ? 2 : 4);
    unsigned nr_new = (unsigned)random_below(world, grow ? VMKI_TREE_SPLICE_MAX + 1 : 3), nr = 0;
    struct vmki_tree_entry entries[VMKI_TREE_SPLICE_MAX];
    uint64_t from = index > 0 ? world->model[index - 1].end : 0, until, to;
    unsigned levels = world->tree.height;
    struct vmki_cursor cursor;
    bool keeps;

    if (index + removed > world->nr)
        removed = world->nr - index;
    to = index + removed < world->nr ? world->model[index + removed].start : from + 40 * bed->unit;
    for (; nr < nr_new && from + bed->unit <= to; nr++, from += bed->unit)
        entries[nr] = some_entry(world, from, from + bed->unit);
    until = removed > 0 ? world->model[index + removed - 1].start + 1 : 0;
    from = index > 0 ? world->model[index - 1].end : 0;
    vmki_cursor_seek(&cursor, &world->tree, from);
    keeps = vmki_cursor_keeps_root(&cursor, until, nr);
    assert_int_equal(keeps, is_to_keep_root(world, &cursor, (unsigned)removed, nr));
    assert_false(vmki_cursor_keeps_root(&cursor, VMKI_TREE_MAX_END + 1, nr));
    assert_int_equal(vmki_cursor_keeps_root(&cursor, VMKI_TREE_MAX_END, nr),
                     is_to_keep_root(world, &cursor, (unsigned)(world->nr - index), nr));
    splice(world, from, until, entries, nr);
    check_valid(world);
    assert_true(!keeps || (world->tree.height == levels && (levels == 1 || world->tree.root->count >= 2)));
    (*(keeps ? &bed->counts.nr_kept : &bed->counts.nr_not_kept))++;
}

/* ---- Flags that go ---- */

static void clear_step(struct bed *bed)
{
    struct world *world = &bed->world;
    size_t index = random_below(world, world->nr);
    struct vmki_tree_entry *entry = &world->model[index];
    uint64_t flags = random_below(world, 8), at = entry->start + random_below(world, entry->end - entry->start);
    uint32_t edits = world->tree.edits;

    assert_false(vmki_tree_clear_flags(&world->tree, at, world, flags));
    assert_int_equal(vmki_tree_clear_flags(&world->tree, at, entry->item, flags), (entry->flags & flags) != 0);
    entry->flags &= ~flags;
    assert_false(vmki_tree_clear_flags(&world->tree, at, entry->item, flags));
    assert_false(vmki_tree_clear_flags(&world->tree, world->model[world->nr - 1].end, entry->item, 7));
    assert_true(vmki_tree_unedited(&world->tree, edits));
    check_lookups(world, at);
}

/* ---- All of them, at random ---- */

static void step(struct bed *bed)
{
    if (bed->world.nr > 0) {
        tile_step(bed);
        split_step(bed);
        join_step(bed);
        touching_step(bed);
        overlap_step(bed);
        clear_step(bed);
        if (bed->world.nr > bed->size / 2)
            try_erase(bed, random_below(&bed->world, bed->world.nr));
    }
    insert_step(bed);
    insert_step(bed);
    splice_step(bed);
}

static struct counts steps_of(size_t nr, uint64_t unit, size_t steps)
{
    struct bed bed;

    bed_init(&bed, nr, unit);
    for (size_t i = 0; i < steps; i++) {
        step(&bed);
        if (i % 50 == 0)
            check_all(&bed.world);
    }
    check_all(&bed.world);
    world_destroy(&bed.world);
    return bed.counts;
}

static void check_counts(const struct counts *counts, size_t least)
{
    assert_true(counts->nr_inserts > least && counts->nr_erases > least && counts->nr_tiles > least);
    assert_true(counts->nr_touching > least && counts->nr_kept > least);
    assert_true(counts->nr_splits > least && counts->nr_joins > least);
}

static void test_steps(void **state)
{
    static const size_t sizes[] = {0, 3, 20, 60, 150, 190, 230, 400, 3000};
    size_t steps = env_number("VMKIT_TREE_STEPS", 100000) / 50;

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t nr = sizes[i] > 1000 ? steps / 4 : steps;
        struct counts small = steps_of(sizes[i], 1, nr), pages = steps_of(sizes[i], 8192, nr);

        if (nr < 400)
            continue;
        check_counts(&small, nr / 100);
        check_counts(&pages, nr / 100);
        assert_true(sizes[i] < 60 || small.nr_firsts + pages.nr_firsts > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
