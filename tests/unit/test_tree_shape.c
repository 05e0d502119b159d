/* SPDX-License-Identifier: MIT */
/*
 * test_tree_shape.c - the shape of the tree after each edit, against numbers alone: how many entries or children each node has.
 * Which nodes are written anew, what they share with their siblings, how many nodes were reserved, used and retired, and what
 * readers are told of each leaf, follows from these numbers, exactly.
 *
 * VMKIT_TREE_STEPS sets the number of random steps.
 */
#include "tests/unit/tree_world.h"

enum { MAX_LEVELS = 5, MAX_NODES = 1200, NONE = 0 };

/* By level, the counts of all its nodes, ascending. */
struct shape {
    unsigned height;
    size_t nr[MAX_LEVELS];
    unsigned count[MAX_LEVELS][MAX_NODES];
    size_t nr_made; /* nodes that the edits wrote */
};

static size_t nr_nodes(const struct shape *shape)
{
    size_t total = 0;

    for (unsigned level = 0; level < shape->height; level++)
        total += shape->nr[level];
    return total;
}

/* ---- The shape of a tree ---- */

/* All nodes of a level, ascending. */
struct level {
    size_t nr;
    struct vmki_tree_node *node[MAX_NODES];
};

static void level_of(const struct vmki_tree *tree, unsigned level, struct level *nodes)
{
    struct level above = {1, {tree->root}};

    for (unsigned at = tree->height - 1; at > level; at--) {
        nodes->nr = 0;
        for (size_t i = 0; i < above.nr; i++)
            for (unsigned slot = 0; slot < above.node[i]->count; slot++) {
                assert_true(nodes->nr < MAX_NODES);
                nodes->node[nodes->nr++] = vmki_inner(above.node[i])->child[slot];
            }
        above = *nodes;
    }
    *nodes = above;
}

static void shape_of(const struct vmki_tree *tree, struct shape *shape)
{
    static struct level nodes;

    shape->height = tree->height;
    assert_true(tree->height <= MAX_LEVELS);
    for (unsigned level = 0; level < tree->height; level++) {
        level_of(tree, level, &nodes);
        shape->nr[level] = nodes.nr;
        for (size_t i = 0; i < nodes.nr; i++)
            shape->count[level][i] = vmki_node_count(nodes.node[i]);
    }
}

static void check_shape(const struct vmki_tree *tree, const struct shape *want)
{
    static struct shape shape;

    shape_of(tree, &shape);
    assert_int_equal(shape.height, want->height);
    for (unsigned level = 0; level < want->height; level++) {
        assert_int_equal(shape.nr[level], want->nr[level]);
        assert_memory_equal(shape.count[level], want->count[level], want->nr[level] * sizeof(want->count[0][0]));
    }
}

/* ---- What an edit makes of it ---- */

/* The parent of a node, and which child of it the node is. */
static size_t parent_of(const struct shape *shape, unsigned level, size_t node, unsigned *slot)
{
    size_t parent = 0;

    for (; node >= shape->count[level + 1][parent]; parent++)
        node -= shape->count[level + 1][parent];
    *slot = (unsigned)node;
    return parent;
}

/* Of the node `left` stay the first `from`, of `right` those from `to` on, and between come nr_new. */
struct cut {
    size_t left, right;
    unsigned from, to, nr_new;
};

/* The counts of the siblings beside the cut, NONE where there is none, and of the nodes that are written in its place. */
struct plan {
    unsigned before, after;
    bool takes_before, takes_after;
    unsigned nr, size[3];
};

static void find_siblings(const struct shape *shape, unsigned level, const struct cut *cut, struct plan *plan)
{
    unsigned slot;
    size_t parent;

    plan->before = plan->after = NONE;
    if (level + 1 >= shape->height)
        return;
    parent_of(shape, level, cut->left, &slot);
    if (slot > 0)
        plan->before = shape->count[level][cut->left - 1];
    parent = parent_of(shape, level, cut->right, &slot);
    if (slot + 1 < shape->count[level + 1][parent])
        plan->after = shape->count[level][cut->right + 1];
}

/* With a sibling, if it is full or if two more would fit into the two; else evenly. But what comes in order leaves full nodes. */
static void plan_too_much(const struct shape *shape, unsigned level, const struct cut *cut, unsigned total,
                          struct plan *plan)
{
    unsigned max = level ? 21 : 15, before = plan->before, after = plan->after;
    bool narrow = cut->left == cut->right;

    if (narrow && (after == NONE || after == max) && cut->to == shape->count[level][cut->right]) {
        *plan = (struct plan){before, after, false, false, 2, {max, total - max}};
        return;
    }
    if (narrow && (before == NONE || before == max) && cut->from == 0) {
        *plan = (struct plan){before, after, false, false, 2, {total - max, max}};
        return;
    }
    if (narrow && before != NONE && (after == NONE || before <= after))
        plan->takes_before = before == max || total + before + 2 <= 2 * max;
    else if (narrow && after != NONE)
        plan->takes_after = after == max || total + after + 2 <= 2 * max;
    total += (plan->takes_before ? before : 0) + (plan->takes_after ? after : 0);
    plan->nr = total / max + (total % max != 0);
    for (unsigned i = 0; i < plan->nr; i++)
        plan->size[i] = (total + i) / plan->nr;
}

/* A leaf with too few free slots for the next replacement: two, or with a sibling that leaves both loose. */
static void plan_too_tight(unsigned total, struct plan *plan)
{
    plan->takes_before = plan->before != NONE && total + plan->before <= 24;
    plan->takes_after = !plan->takes_before && plan->after != NONE && total + plan->after <= 24;
    total += (plan->takes_before ? plan->before : 0) + (plan->takes_after ? plan->after : 0);
    plan->nr = 2;
    plan->size[0] = total / 2;
    plan->size[1] = total - total / 2;
}

/* Too little for a node: joins the siblings that have room. Where nothing is left the siblings may join each other. */
static void plan_too_little(unsigned level, unsigned total, struct plan *plan)
{
    unsigned room = level ? 16 : 12;

    if (total == 0) {
        plan->takes_before = plan->takes_after =
            plan->before != NONE && plan->after != NONE && plan->before + plan->after <= room;
        total = plan->takes_before ? plan->before + plan->after : 0;
    } else {
        plan->takes_before = plan->before != NONE && total + plan->before <= room;
        total += plan->takes_before ? plan->before : 0;
        plan->takes_after = plan->after != NONE && total + plan->after <= room;
        total += plan->takes_after ? plan->after : 0;
    }
    plan->nr = total > 0;
    plan->size[0] = total;
}

static struct plan plan_level(const struct shape *shape, unsigned level, const struct cut *cut)
{
    unsigned total = cut->from + cut->nr_new + shape->count[level][cut->right] - cut->to;
    bool replaces = cut->nr_new > 0 && (cut->left != cut->right || cut->to > cut->from);
    struct plan plan = {.nr = 1, .size = {total}};

    find_siblings(shape, level, cut, &plan);
    if (total > (level ? 21u : 15u))
        plan_too_much(shape, level, cut, total, &plan);
    else if (level == 0 && replaces && total > 12)
        plan_too_tight(total, &plan);
    else if (total <= (level ? 8u : 6u))
        plan_too_little(level, total, &plan);
    return plan;
}

/* In place of the nodes from..to-1 of a level come others. */
static void shape_replace(struct shape *shape, unsigned level, size_t from, size_t to, const struct plan *plan)
{
    unsigned *count = shape->count[level];

    assert_true(shape->nr[level] + plan->nr < MAX_NODES);
    memmove(count + from + plan->nr, count + to, (shape->nr[level] - to) * sizeof(*count));
    memcpy(count + from, plan->size, plan->nr * sizeof(*count));
    shape->nr[level] = shape->nr[level] - (to - from) + plan->nr;
    shape->nr_made += plan->nr;
}

/* Several nodes need a root above them, and a root with one child is none. */
static void shape_root(struct shape *shape)
{
    unsigned top = shape->height - 1;

    if (shape->nr[top] > 1) {
        shape->count[top + 1][0] = (unsigned)shape->nr[top];
        shape->nr[top + 1] = 1;
        shape->height++;
        shape->nr_made++;
    }
    while (shape->height > 1 && shape->count[shape->height - 1][0] == 1)
        shape->height--;
    if (shape->nr[0] == 0)
        shape->height = 0;
}

/* Level by level, up to one where a child stands for a child. */
static void shape_rebuild(struct shape *shape, struct cut cut)
{
    unsigned level = 0, left_slot = 0, right_slot = 0;

    for (;; level++) {
        struct plan plan = plan_level(shape, level, &cut);
        bool is_top = level + 1 == shape->height;
        struct cut above = {.nr_new = plan.nr};

        if (!is_top) {
            above.left = parent_of(shape, level, cut.left, &left_slot);
            above.right = parent_of(shape, level, cut.right, &right_slot);
            above.from = left_slot - plan.takes_before;
            above.to = right_slot + 1 + plan.takes_after;
        }
        shape_replace(shape, level, cut.left - plan.takes_before, cut.right + 1 + plan.takes_after, &plan);
        if (is_top)
            break;
        if (above.left == above.right && plan.nr == 1 && above.to - above.from == 1)
            return;
        cut = above;
    }
    shape_root(shape);
}

/* Where an edit is done: the leaf and rank of the entry `index`, or behind the last one. */
struct place {
    size_t leaf;
    unsigned rank;
};

static struct place place_of(const struct shape *shape, size_t index)
{
    struct place place = {0, 0};

    for (; index >= shape->count[0][place.leaf] && place.leaf + 1 < shape->nr[0]; place.leaf++)
        index -= shape->count[0][place.leaf];
    place.rank = (unsigned)index;
    return place;
}

/* What comes between two leaves goes to the first, if it has room. */
static struct place place_of_edit(const struct shape *shape, size_t index, size_t removed, unsigned nr_new)
{
    struct place place = place_of(shape, index);

    if (place.rank == 0 && removed == 0 && nr_new > 0 && place.leaf > 0 &&
        shape->count[0][place.leaf - 1] + nr_new <= 15) {
        place.leaf--;
        place.rank = shape->count[0][place.leaf];
    }
    return place;
}

/* Not so full that free slots are missing, not empty, nor with so few that it is to join a sibling. */
static bool is_in_place(const struct shape *shape, struct place place, size_t removed, unsigned nr_new)
{
    struct cut cut = {.left = place.leaf, .right = place.leaf};
    unsigned count = shape->count[0][place.leaf], now;
    struct plan plan;

    if (place.rank + removed > count || count + nr_new > 15)
        return false;
    now = count - (unsigned)removed + nr_new;
    if (now == 0)
        return false;
    find_siblings(shape, 0, &cut, &plan);
    return now > 6 || now >= count ||
           ((plan.before == NONE || now + plan.before > 12) && (plan.after == NONE || now + plan.after > 12));
}

enum way { NO_WAY, ONE_WORD, IN_PLACE, REBUILT, FROM_EMPTY };

/* The entry at `index` and those behind it give way; `is_word` where one does to one that differs in at most a word. */
static enum way shape_splice(struct shape *shape, size_t index, size_t removed, unsigned nr_new, bool is_word,
                             struct place *place)
{
    struct place last;

    if (shape->height == 0) {
        if (nr_new == 0)
            return NO_WAY;
        *shape = (struct shape){.height = 1, .nr = {1}, .count = {{nr_new}}, .nr_made = 1};
        return FROM_EMPTY;
    }
    *place = place_of_edit(shape, index, removed, nr_new);
    if (is_word)
        return ONE_WORD;
    if (removed == 0 && nr_new == 0)
        return NO_WAY;
    if (is_in_place(shape, *place, removed, nr_new)) {
        shape->count[0][place->leaf] += nr_new;
        shape->count[0][place->leaf] -= (unsigned)removed;
        return IN_PLACE;
    }
    last = removed > 0 ? place_of(shape, index + removed - 1) : (struct place){place->leaf, place->rank - 1};
    shape_rebuild(shape, (struct cut){place->leaf, last.leaf, place->rank, last.rank + 1, nr_new});
    return REBUILT;
}

/* ---- What readers are told ---- */

/* All leaves, and what was seen of them; and all nodes as they were. */
struct leaves {
    struct level nodes, all;
    struct vmki_tree_look look[MAX_NODES];
    _Alignas(64) char was[MAX_NODES][VMKI_NODE_SIZE];
};

static void copy_nodes(const struct vmki_tree *tree, struct leaves *leaves)
{
    static struct level nodes;

    leaves->all.nr = 0;
    for (unsigned level = 0; level < tree->height; level++) {
        level_of(tree, level, &nodes);
        assert_true(leaves->all.nr + nodes.nr <= MAX_NODES);
        for (size_t i = 0; i < nodes.nr; i++) {
            memcpy(leaves->was[leaves->all.nr], nodes.node[i], VMKI_NODE_SIZE);
            leaves->all.node[leaves->all.nr++] = nodes.node[i];
        }
    }
}

static void look_at_leaves(const struct vmki_tree *tree, struct leaves *leaves)
{
    leaves->nodes.nr = 0;
    if (tree->height > 0)
        level_of(tree, 0, &leaves->nodes);
    for (size_t i = 0; i < leaves->nodes.nr; i++) {
        struct vmki_tree_node *node = leaves->nodes.node[i];

        assert_int_equal(node->version & (1 | VMKI_VERSION_DEAD), 0);
        leaves->look[i] = (struct vmki_tree_look){node, vmki_leaf(node)->order, node->version};
    }
}

/* Whether the node was retired since the list was emptied. */
static bool is_retired(const struct world *world, const struct vmki_tree_node *node)
{
    for (size_t i = 0; i < world->memory.nr_kept; i++)
        if (world->memory.kept[i] == node)
            return true;
    return false;
}

static void forget_retired(struct world *world)
{
    while (world->memory.nr_kept > 0)
        memory_free(&world->memory, world->memory.kept[--world->memory.nr_kept], VMKI_NODE_SIZE);
}

/* Readers may still be in nodes that were retired: but for what says that they are dead, they are as they were. */
static void check_retired(const struct world *world, const struct leaves *leaves)
{
    for (size_t i = 0; i < leaves->all.nr; i++)
        if (is_retired(world, leaves->all.node[i]))
            assert_memory_equal(leaves->was[i] + sizeof(uint32_t), (char *)leaves->all.node[i] + sizeof(uint32_t),
                                VMKI_NODE_SIZE - sizeof(uint32_t));
}

/* One leaf was edited, or none; what was seen of the others holds, but for those that were retired, which say so. */
static void check_looks_at(const struct world *world, const struct leaves *leaves, size_t edited)
{
    for (size_t i = 0; i < leaves->nodes.nr; i++) {
        const struct vmki_tree_look *look = &leaves->look[i];

        if (is_retired(world, look->leaf)) {
            assert_int_equal(look->leaf->version, (look->version + 2) | VMKI_VERSION_DEAD);
            assert_false(vmki_tree_holds(look));
        } else if (i == edited) {
            assert_int_equal(look->leaf->version, look->version + 2);
            assert_false(vmki_tree_holds(look));
        } else {
            assert_int_equal(look->leaf->version, look->version);
            assert_true(vmki_tree_holds(look));
        }
    }
}

/* ---- An edit on both sides ---- */

struct bed {
    struct world world;
    struct shape shape;
    size_t nr_ways[FROM_EMPTY + 1];
};

static void bed_init(struct bed *bed, uint64_t random)
{
    *bed = (struct bed){0};
    world_init(&bed->world);
    bed->world.random += random;
    bed->world.memory.keep = true;
}

static bool is_word_of(const struct vmki_tree_entry *a, const struct vmki_tree_entry *b)
{
    return (a->start != b->start) + (a->end != b->end) + (a->flags != b->flags) + (a->item != b->item) <= 1;
}

/* Nodes that a splice in a tree of that height may need. */
static size_t need_of(unsigned height)
{
    return height == 0 ? 1 : 3 * height;
}

/*
 * Reserves for the edit, by its place or for any, with so many nodes there before: exactly what is missing is allocated, and
 * by its place nothing where the edit is done in its leaf.
 */
static void reserve(struct bed *bed, const struct vmki_cursor *cursor, uint64_t until, unsigned nr_new, bool needs)
{
    struct world *world = &bed->world;
    size_t keep = random_below(world, 5), need = need_of(world->tree.height), before, spare;
    bool any = random_below(world, 4) == 0;

    vmki_tree_release_spare(&world->tree, (unsigned)keep);
    spare = world->tree.nr_spare;
    assert_true(spare <= keep);
    before = world->memory.nr_allocs;
    need = (any || needs) && need > spare ? need - spare : 0;
    if (any)
        assert_true(vmki_tree_reserve(&world->tree, 1));
    else
        assert_true(vmki_cursor_reserve(cursor, until, nr_new));
    assert_int_equal(world->memory.nr_allocs - before, need);
    assert_int_equal(world->tree.nr_spare, spare + need);
}

/* The entries from one on give way to others, and all is as the numbers say. */
static void edit(struct bed *bed, size_t index, size_t removed, const struct vmki_tree_entry *entries, unsigned nr_new)
{
    static struct leaves leaves;
    struct world *world = &bed->world;
    uint64_t address = index < world->nr ? world->model[index].start : VMKI_TREE_MAX_END;
    uint64_t until = removed > 0 ? world->model[index + removed - 1].start + 1 : 0;
    bool is_word = removed == 1 && nr_new == 1 && is_word_of(&world->model[index], entries), needs;
    size_t nodes = nr_nodes(&bed->shape), retired = world->memory.nr_retired, spare;
    uint32_t edits = world->tree.edits;
    struct place place = {0, 0};
    struct vmki_cursor cursor;
    enum way way;

    look_at_leaves(&world->tree, &leaves);
    copy_nodes(&world->tree, &leaves);
    needs = world->tree.height == 0
                ? nr_new > 0
                : !is_in_place(&bed->shape, place_of_edit(&bed->shape, index, removed, nr_new), removed, nr_new);
    assert_int_equal(vmki_cursor_seek(&cursor, &world->tree, address), index < world->nr);
    reserve(bed, &cursor, until, nr_new, needs);
    spare = world->tree.nr_spare;
    bed->shape.nr_made = 0;
    way = shape_splice(&bed->shape, index, removed, nr_new, is_word, &place);
    world->memory.fail_after = 0;
    vmki_cursor_splice(&cursor, until, entries, nr_new);
    world->memory.fail_after = SIZE_MAX;
    model_splice(world, index, index + removed, entries, nr_new);
    bed->nr_ways[way]++;
    check_valid(world);
    check_cursor(world, &cursor, index);
    check_shape(&world->tree, &bed->shape);
    assert_int_equal(world->tree.edits, edits + 2);
    assert_int_equal(world->tree.nr_spare, spare - bed->shape.nr_made);
    assert_int_equal(world->memory.nr_retired - retired, nodes + bed->shape.nr_made - nr_nodes(&bed->shape));
    check_looks_at(world, &leaves, way == ONE_WORD || way == IN_PLACE ? place.leaf : SIZE_MAX);
    check_retired(world, &leaves);
    look_at_leaves(&world->tree, &leaves);
    forget_retired(world);
}

/* So many entries side by side, of one to three equal shares of what is free there; as many as it has room for. */
static unsigned some_entries(struct bed *bed, size_t index, size_t removed, unsigned want,
                             struct vmki_tree_entry *entries)
{
    struct world *world = &bed->world;
    uint64_t low = index > 0 ? world->model[index - 1].end : 0, at = low, share;
    uint64_t high = index + removed < world->nr ? world->model[index + removed].start : low + (UINT64_C(1) << 40);
    bool is_near = random_below(world, 2);
    unsigned nr;

    share = (high - low) / (3 * (want + 1));
    share = share > 64 && is_near ? 64 : share;
    for (nr = 0; nr < want && share > 0; nr++) {
        uint64_t start = at + share * random_below(world, 2), end = start + share * (1 + random_below(world, 2));

        entries[nr] = entry_of(start, end);
        at = end;
    }
    return nr;
}

/* ---- Small trees: all edits ---- */

static void next_apart(void *context, struct vmki_tree_entry *entry)
{
    struct bed *bed = context;
    uint64_t start = (bed->world.nr + 1) << 30;

    *entry = entry_of(start, start + (1 << 20));
    model_splice(&bed->world, bed->world.nr, bed->world.nr, entry, 1);
}

/* Full nodes but the last of each level. */
static void packed_shape(struct shape *shape, size_t nr)
{
    shape->height = 0;
    for (unsigned max = 15; nr > 0; nr = nr > 1 ? nr : 0, max = 21) {
        size_t nodes = (nr + max - 1) / max;

        shape->nr[shape->height] = nodes;
        for (size_t i = 0; i < nodes; i++)
            shape->count[shape->height][i] = i + 1 < nodes ? max : (unsigned)(nr - (nodes - 1) * max);
        shape->height++;
        nr = nodes;
    }
}

static void bed_build(struct bed *bed, size_t nr)
{
    uint32_t edits = bed->world.tree.edits;

    assert_true(vmki_tree_build(&bed->world.tree, nr, next_apart, bed));
    assert_int_equal(bed->world.tree.edits - edits, nr > 0 ? 2 : 0);
    packed_shape(&bed->shape, nr);
    check_valid(&bed->world);
    check_shape(&bed->world.tree, &bed->shape);
}

static void bed_end(struct bed *bed)
{
    forget_retired(&bed->world);
    world_destroy(&bed->world);
}

/* Every run of entries, and up to six in its place. */
static void test_all_edits(void **state)
{
    static const size_t sizes[] = {0, 1, 6, 7, 12, 13, 14, 15, 16, 21, 22, 27, 28, 31, 36, 46};
    struct vmki_tree_entry entries[VMKI_TREE_SPLICE_MAX];
    struct bed bed;

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (size_t index = 0; index <= sizes[i]; index++)
            for (size_t removed = 0; index + removed <= sizes[i]; removed++)
                for (unsigned nr_new = 0; nr_new <= VMKI_TREE_SPLICE_MAX; nr_new++) {
                    bed_init(&bed, index + removed);
                    bed_build(&bed, sizes[i]);
                    edit(&bed, index, removed, entries, some_entries(&bed, index, removed, nr_new, entries));
                    bed_end(&bed);
                }
}

/* ---- Neighbours of all counts ---- */

/* Without a look at what becomes of it. */
static void remove_quickly(struct bed *bed, size_t index, size_t removed)
{
    struct world *world = &bed->world;
    struct vmki_cursor cursor;
    struct place place;

    assert_true(vmki_tree_reserve(&world->tree, 1));
    vmki_cursor_seek(&cursor, &world->tree, world->model[index].start);
    vmki_cursor_splice(&cursor, world->model[index + removed - 1].start + 1, NULL, 0);
    shape_splice(&bed->shape, index, removed, 0, false, &place);
    model_splice(world, index, index + removed, NULL, 0);
    forget_retired(world);
}

/* The first child of a node, or, of a leaf, the first entry. */
static size_t first_in(const struct shape *shape, unsigned level, size_t node)
{
    size_t first = 0;

    for (size_t i = 0; i < node; i++)
        first += shape->count[level][i];
    return first;
}

static size_t first_entry_of(const struct shape *shape, unsigned level, size_t node)
{
    for (; level > 0; level--)
        node = first_in(shape, level, node);
    return first_in(shape, 0, node);
}

/* Takes entries, or children, out of a node until it has so many; whether that made no others join. */
static bool thin_out(struct bed *bed, unsigned level, size_t node, unsigned count)
{
    const struct shape *shape = &bed->shape;
    size_t nr = shape->nr[level];

    while (shape->nr[level] == nr && shape->count[level][node] > count) {
        size_t child = first_in(shape, level, node);

        if (level == 0)
            remove_quickly(bed, child, 1);
        else
            remove_quickly(bed, first_entry_of(shape, level - 1, child), shape->count[0][child]);
    }
    return shape->nr[level] == nr && shape->count[level][node] == count;
}

/* Three neighbours, at the beginning, in the middle or at the end of five, of some counts; then an edit in the second. */
static void edit_among(struct bed *bed, unsigned level, unsigned max)
{
    struct world *world = &bed->world;
    struct vmki_tree_entry entries[VMKI_TREE_SPLICE_MAX];
    size_t first = random_below(world, 3), index, removed, size;
    unsigned nr_new = (unsigned)random_below(world, VMKI_TREE_SPLICE_MAX + 1);

    for (size_t node = first; node < first + 3; node++)
        if (!thin_out(bed, level, node, 1 + (unsigned)random_below(world, max)))
            return;
    index = first_entry_of(&bed->shape, level, first + 1);
    size = first_entry_of(&bed->shape, level, first + 2) - index;
    removed = random_below(world, 2) ? random_below(world, 2) : random_below(world, size + 2);
    index += random_below(world, 4) ? random_below(world, size) : 0;
    removed = index + removed <= world->nr ? removed : 0;
    nr_new = random_below(world, 3) ? nr_new : 0;
    edit(bed, index, removed, entries, some_entries(bed, index, removed, nr_new, entries));
}

static void test_neighbours(void **state)
{
    size_t steps = env_number("VMKIT_TREE_STEPS", 100000) / 5;
    struct bed bed;

    (void)state;
    for (size_t step = 0; step < steps; step++) {
        bed_init(&bed, step * 7919);
        bed_build(&bed, 5 * 15);
        edit_among(&bed, 0, 15);
        bed_end(&bed);
        if (step % 10 != 0)
            continue;
        bed_init(&bed, step * 7919);
        bed_build(&bed, 5 * 21 * 15);
        edit_among(&bed, 1, 21);
        bed_end(&bed);
    }
}

/* ---- At random, while the tree grows and shrinks ---- */

/* Often at the border of a leaf; few or none go, or, now and then, many. */
static void random_edit(struct bed *bed, bool grows, unsigned most)
{
    struct world *world = &bed->world;
    struct vmki_tree_entry entries[VMKI_TREE_SPLICE_MAX];
    size_t index = random_below(world, world->nr + 1), removed = random_below(world, grows ? 2 : 4);
    unsigned nr_new = (unsigned)random_below(world, grows ? VMKI_TREE_SPLICE_MAX + 1 : 2);

    if (random_below(world, 3) == 0 && bed->shape.height > 0)
        index = first_in(&bed->shape, 0, random_below(world, bed->shape.nr[0]));
    if (random_below(world, 40) == 0)
        removed = random_below(world, most);
    removed = index + removed <= world->nr ? removed : world->nr - index;
    if (removed == 1 && random_below(world, 4) == 0) {
        entries[0] = world->model[index];
        entries[0].start += random_below(world, 4) == 0;
        *(random_below(world, 2) ? &entries[0].flags : &entries[0].end) -= random_below(world, 2);
        if (entries[0].end > entries[0].start) {
            edit(bed, index, 1, entries, 1);
            return;
        }
    }
    edit(bed, index, removed, entries, some_entries(bed, index, removed, nr_new, entries));
}

static void test_random_edits(void **state)
{
    static const size_t sizes[] = {0, 40, 330, 2000, 7000};
    size_t steps = env_number("VMKIT_TREE_STEPS", 100000) / 20;

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct bed bed;
        size_t nr = sizes[i] > 1000 ? steps / 8 : steps;

        bed_init(&bed, i);
        bed_build(&bed, sizes[i]);
        for (size_t step = 0; step < nr; step++)
            random_edit(&bed, step / (nr / 5) % 2, (unsigned)sizes[i] / 2 + 8);
        for (enum way way = ONE_WORD; nr >= 600 && way <= REBUILT; way++)
            assert_true(bed.nr_ways[way] > nr / 100);
        bed_end(&bed);
    }
}

/* ---- Reserved nodes ---- */

/*
 * Three nodes a level for the first splice; for each further one as if the tree had become a level higher, and another one
 * after every sixteen.
 */
static size_t need_of_many(unsigned height, unsigned nr_splices)
{
    size_t need = nr_splices > 0 ? need_of(height) : 0;

    for (unsigned i = 1; i < nr_splices; i++)
        need += 3 * ((height > 0 ? height : 1) + 1 + i / 16);
    return need;
}

static void test_reserves(void **state)
{
    static const size_t sizes[] = {0, 1, 15, 16, 315, 316, 6615, 6616};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (unsigned nr = 0; nr < 70; nr++) {
            struct bed bed;
            size_t need, before;

            bed_init(&bed, 0);
            bed_build(&bed, sizes[i]);
            need = need_of_many(bed.shape.height, nr);
            before = bed.world.memory.nr_allocs;
            bed.world.memory.fail_after = need;
            assert_true(vmki_tree_reserve(&bed.world.tree, nr));
            assert_int_equal(bed.world.memory.nr_allocs - before, need);
            assert_int_equal(bed.world.tree.nr_spare, need);
            vmki_tree_release_spare(&bed.world.tree, 2);
            assert_int_equal(bed.world.tree.nr_spare, need < 2 ? need : 2);
            bed.world.memory.fail_after = need > 2 ? need - 3 : 0;
            assert_int_equal(vmki_tree_reserve(&bed.world.tree, nr), need < 3);
            assert_int_equal(bed.world.tree.nr_spare, need < 3 ? need : need - 1); /* they stay for the next time */
            check_valid(&bed.world);
            bed_end(&bed);
        }
}

/* Nodes that come in blocks, of at most five: asked for are those that are missing, and the leaves lie in their order. */
static struct {
    size_t asked[200], nr;
} blocks;

static size_t alloc_blocks(void *context, size_t size, size_t nr, void **first)
{
    blocks.asked[blocks.nr++] = nr;
    return memory_alloc_many(context, size, nr, first);
}

static void test_blocks(void **state)
{
    static struct level leaves;

    (void)state;
    for (size_t nr = 0; nr < 700; nr += 1 + nr / 20) {
        struct bed bed;
        size_t left;

        bed_init(&bed, 0);
        bed.world.memory.table.alloc_many = alloc_blocks;
        if (nr > 0) { /* short of the last node: those that came go back */
            packed_shape(&bed.shape, nr);
            bed.world.memory.fail_after = nr_nodes(&bed.shape) - 1;
            assert_false(vmki_tree_build(&bed.world.tree, nr, next_apart, &bed));
            assert_int_equal(bed.world.memory.nr_live + bed.world.nr, 0);
            check_valid(&bed.world);
        }
        bed.world.memory.fail_after = SIZE_MAX;
        bed.world.memory.nr_allocs = blocks.nr = 0;
        bed_build(&bed, nr);
        left = nr_nodes(&bed.shape);
        for (size_t i = 0; i < blocks.nr; i++) {
            assert_int_equal(blocks.asked[i], left);
            left -= left < 2 ? 0 : left < 5 ? left : 5;
        }
        assert_true(left == 0 || (left == 1 && blocks.asked[blocks.nr - 1] == 1));
        assert_int_equal(bed.world.memory.nr_allocs, nr_nodes(&bed.shape));
        assert_int_equal(bed.world.tree.nr_spare, 0);
        if (nr > 0)
            level_of(&bed.world.tree, 0, &leaves);
        for (size_t i = 1; nr > 0 && nr <= 315 && i + 1 < leaves.nr; i++)
            if (leaves.node[i + 1]->mark > 2) /* not at the beginning of a block, where the node above may be, too */
                assert_ptr_equal((char *)leaves.node[i + 1], (char *)leaves.node[i] + VMKI_NODE_SIZE);
        bed_end(&bed);
    }
}

/* ---- Parts that are divided ---- */

/* Before an entry: the nodes on the way are halved from the leaf on, up to below the root, where it is not their first. */
static bool shape_divide(struct shape *shape, size_t index)
{
    struct place place = place_of(shape, index);
    size_t node = place.leaf;
    unsigned slot = place.rank;
    bool is_halved = false;

    if (shape->height < 2 || shape->count[shape->height - 1][0] == 21)
        return false;
    for (unsigned level = 0; level + 1 < shape->height; level++) {
        struct plan halves = {.nr = 2, .size = {slot + is_halved, shape->count[level][node] - slot}};
        size_t parent = parent_of(shape, level, node, &slot);

        if (is_halved || halves.size[0] > 0) {
            shape_replace(shape, level, node, node + 1, &halves);
            is_halved = true;
        }
        node = parent;
    }
    if (!is_halved)
        return false;
    shape->count[shape->height - 1][0]++;
    shape->nr_made++;
    return true;
}

static void divide(struct bed *bed, size_t index)
{
    struct world *world = &bed->world;
    struct shape before = bed->shape;
    size_t retired = world->memory.nr_retired, allocs = world->memory.nr_allocs;
    uint32_t edits = world->tree.edits;
    bool wanted;

    vmki_tree_release_spare(&world->tree, 0);
    bed->shape.nr_made = 0;
    wanted = shape_divide(&bed->shape, index);
    if (!wanted)
        bed->shape = before;
    assert_int_equal(vmki_tree_divide_part(&world->tree, world->model[index].start), wanted);
    assert_int_equal(world->tree.edits - edits, wanted ? 2 : 0);
    check_valid(world);
    check_shape(&world->tree, &bed->shape);
    if (wanted) {
        assert_int_equal(world->memory.nr_allocs - allocs, need_of(before.height));
        assert_int_equal(world->tree.nr_spare, need_of(before.height) - bed->shape.nr_made);
        assert_int_equal(world->memory.nr_retired - retired,
                         nr_nodes(&before) + bed->shape.nr_made - nr_nodes(&bed->shape));
    } else {
        assert_int_equal(world->memory.nr_retired, retired);
    }
    forget_retired(world);
}

static void test_divided(void **state)
{
    static const size_t sizes[] = {15, 16, 100, 315, 316, 700, 6700};
    struct bed bed;

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t index = 0; index < sizes[i]; index += 1 + sizes[i] / 100) {
            bed_init(&bed, index);
            bed_build(&bed, sizes[i]);
            divide(&bed, index);
            bed_end(&bed);
        }
        bed_init(&bed, sizes[i]);
        bed_build(&bed, sizes[i]);
        for (unsigned step = 0; step < 40; step++) /* until the root is full */
            divide(&bed, random_below(&bed.world, sizes[i]));
        bed_end(&bed);
    }
}

/* ---- No tree at all ---- */

static void test_empty(void **state)
{
    struct vmki_tree_hole hole;
    struct vmki_cursor cursor;
    struct bed bed;

    (void)state;
    bed_init(&bed, 0);
    for (unsigned round = 0; round < 2; round++) { /* never used, and emptied */
        assert_false(vmki_cursor_seek(&cursor, &bed.world.tree, 7));
        assert_false(vmki_cursor_advance(&cursor));
        assert_false(vmki_cursor_retreat(&cursor));
        assert_false(vmki_cursor_keeps_root(&cursor, 0, 1));
        assert_true(vmki_cursor_reserve(&cursor, UINT64_MAX, 0));
        assert_false(vmki_cursor_seek_gap(&cursor, &bed.world.tree, 7, 8, &hole));
        assert_false(vmki_tree_divide_part(&bed.world.tree, 0));
        assert_false(vmki_tree_clear_flags(&bed.world.tree, 7, &bed, 1));
        assert_int_equal(vmki_tree_nr_parts(&bed.world.tree), 0);
        assert_int_equal(bed.world.memory.nr_allocs, 0);
        if (round == 0) {
            uint32_t edits = bed.world.tree.edits;

            vmki_tree_clear(&bed.world.tree);
            assert_int_equal(bed.world.tree.edits, edits);
            bed_build(&bed, 320);
            edits = bed.world.tree.edits;
            vmki_tree_clear(&bed.world.tree);
            assert_int_equal(bed.world.tree.edits, edits + 2);
            assert_int_equal(bed.world.memory.nr_retired, nr_nodes(&bed.shape));
            bed.world.nr = bed.world.memory.nr_allocs = 0;
            check_valid(&bed.world);
        }
    }
    bed_end(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_edits), cmocka_unit_test(test_neighbours), cmocka_unit_test(test_random_edits),
        cmocka_unit_test(test_reserves),  cmocka_unit_test(test_blocks),     cmocka_unit_test(test_divided),
        cmocka_unit_test(test_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
