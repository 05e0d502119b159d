/* SPDX-License-Identifier: MIT */
/*
 * test_tree_reports.c - the validator of the tree: a tree in which one word is wrong is reported, with the text that names
 * it, and nothing is reported where a word is just still right.
 */
#include "tests/unit/tree_world.h"

/* One place of a tree is changed for a moment: that is what the validator says. */
#define REPORTS(text, place, value)                                                                                    \
    do {                                                                                                               \
        __typeof__(place) was = (place);                                                                               \
        (place) = (value);                                                                                             \
        check_report(world, (text), #place " = " #value, __LINE__);                                                    \
        (place) = was;                                                                                                 \
        check_valid(world);                                                                                            \
    } while (0)

static void check_report(const struct world *world, const char *want, const char *what, int line)
{
    const char *got = vmki_tree_validate(&world->tree);

    if (got == NULL || strcmp(got, want) != 0)
        fail_msg("line %d, %s: %s, not %s", line, what, got ? got : "nothing", want);
}

static const char entries_wrong[] = "the count of entries is wrong", ends_wrong[] = "the ends of the tree are wrong",
                  bytes_wrong[] = "the count of bytes is wrong", height_wrong[] = "the height is wrong",
                  level_wrong[] = "the root's level is not the height",
                  spare_wrong[] = "the count of reserved nodes is wrong",
                  order_wrong[] = "a leaf's order is no permutation", free_start[] = "a free slot has a start",
                  empty_leaf[] = "a leaf is empty", empty_entry[] = "an entry is empty or upside down",
                  too_high[] = "an entry ends too high", overlap[] = "entries overlap or are out of order",
                  no_item[] = "an entry has no item", class_wrong[] = "the class of a hole is wrong",
                  pivot_low[] = "a pivot is below the end before it",
                  pivot_wrong[] = "a pivot is not the first start below it",
                  leaf_gap_wrong[] = "the gap of a leaf is wrong",
                  inner_gap_wrong[] = "the gap of an inner node is wrong",
                  children_wrong[] = "an inner node has no children, or too many",
                  single_child[] = "the root has a single child", pivots_wrong[] = "the pivots are out of order",
                  child_wrong[] = "a child is missing or of the wrong level", unaligned[] = "a node is not aligned";

/* One each 100 units of 4 KiB; holes of seven lengths, so that any of a leaf may be its largest. */
static void next_entry(void *context, struct vmki_tree_entry *entry)
{
    struct world *world = context;
    uint64_t i = world->nr, start = (i * 100 + 8) << 12, length = 50 + i * 3 % 7 * 6;

    *entry = entry_of(start, start + (length << 12));
    model_splice(world, i, i, entry, 1);
}

static void build(struct world *world, size_t nr)
{
    world_init(world);
    assert_true(vmki_tree_build(&world->tree, nr, next_entry, world));
    check_valid(world);
}

/* What the tree says of itself, of any height. */
static void check_tree_reports(size_t nr)
{
    struct vmki_tree_node *other = (struct vmki_tree_node *)(void *)&other;
    struct world bed, *world = &bed;

    build(world, nr);
    REPORTS(entries_wrong, world->tree.nr_entries, nr + 1);
    REPORTS(entries_wrong, world->tree.nr_entries, nr - 1);
    REPORTS(ends_wrong, world->tree.first_start, world->tree.first_start + 1);
    REPORTS(ends_wrong, world->tree.last_end, world->tree.last_end + 1);
    REPORTS(ends_wrong, world->tree.last_leaf, other);
    REPORTS(bytes_wrong, world->tree.nr_nodes_bytes, world->tree.nr_nodes_bytes + VMKI_NODE_SIZE);
    REPORTS(bytes_wrong, world->tree.nr_nodes_bytes, world->tree.nr_nodes_bytes - 1);
    REPORTS(height_wrong, world->tree.height, nr > 0 ? 0 : 1);
    REPORTS(height_wrong, world->tree.height, VMKI_TREE_MAX_HEIGHT + 1);
    REPORTS(nr > 0 ? level_wrong : height_wrong, world->tree.height, world->tree.height + 1);
    REPORTS(nr > 0 ? level_wrong : height_wrong, world->tree.height, VMKI_TREE_MAX_HEIGHT);
    if (nr > 0)
        REPORTS(height_wrong, world->tree.root, NULL);
    REPORTS(spare_wrong, world->tree.nr_spare, 1);
    assert_true(vmki_tree_reserve(&world->tree, 2));
    check_valid(world);
    REPORTS(spare_wrong, world->tree.nr_spare, world->tree.nr_spare + 1);
    REPORTS(spare_wrong, world->tree.nr_spare, world->tree.nr_spare - 1);
    REPORTS(spare_wrong, world->tree.nr_spare, 0);
    REPORTS(spare_wrong, *vmki_spare_link(*vmki_spare_link(world->tree.spare)), world->tree.spare); /* without an end */
    REPORTS(bytes_wrong, world->tree.nr_nodes_bytes, world->tree.nr_nodes_bytes - VMKI_NODE_SIZE);
    world_destroy(world);
}

static void test_tree_words(void **state)
{
    static const size_t sizes[] = {0, 1, 15, 16, 315, 316, 7000};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        check_tree_reports(sizes[i]);
}

/* ---- A leaf ---- */

/* In place of the slot of a rank. */
static uint64_t with_slot(uint64_t order, unsigned rank, uint64_t slot)
{
    unsigned at = 4 * rank + 4;

    return (order & ~(UINT64_C(15) << at)) | slot << at;
}

/* Orders of a leaf that has so many entries, in slots as they came. */
static void check_order_reports(unsigned count)
{
    struct vmki_tree_leaf *leaf;
    struct world bed, *world = &bed;
    uint64_t order;

    build(world, count);
    leaf = vmki_leaf(world->tree.root);
    order = leaf->order;
    REPORTS(empty_leaf, leaf->order, order - count);
    for (unsigned rank = 0; rank < VMKI_LEAF_MAX; rank++) {
        REPORTS(order_wrong, leaf->order, with_slot(order, rank, 15));
        for (unsigned other = 0; other < VMKI_LEAF_MAX; other++)
            if (other != rank)
                REPORTS(order_wrong, leaf->order, with_slot(order, rank, other));
        if (rank >= count)
            REPORTS(free_start, leaf->start[rank], VMKI_NO_KEY - 1);
        REPORTS(class_wrong, leaf->holes, leaf->holes ^ UINT64_C(16) << 4 * rank);
        REPORTS(class_wrong, leaf->holes, leaf->holes ^ UINT64_C(128) << 4 * rank);
    }
    REPORTS(class_wrong, leaf->holes, leaf->holes + 1);
    REPORTS(class_wrong, leaf->holes, leaf->holes | 8);
    if (count < VMKI_LEAF_MAX)
        REPORTS(empty_entry, leaf->order, order + 1);
    if (count > 1)
        REPORTS(free_start, leaf->order, order - 1);
    world_destroy(world);
}

static void test_orders(void **state)
{
    (void)state;
    for (unsigned count = 1; count <= VMKI_LEAF_MAX; count++)
        check_order_reports(count);
}

/* Each entry of a leaf; `last` is that of the tree. */
static void check_entry_reports(struct world *world, struct vmki_tree_leaf *leaf, unsigned rank, bool last)
{
    unsigned slot = vmki_order_slot(leaf->order, rank);
    uint64_t start = leaf->start[slot], end = leaf->slot[slot].end;

    REPORTS(no_item, leaf->slot[slot].item, NULL);
    REPORTS(empty_entry, leaf->slot[slot].end, start);
    REPORTS(empty_entry, leaf->slot[slot].end, start - 1);
    REPORTS(empty_entry, leaf->start[slot], end);
    REPORTS(too_high, leaf->slot[slot].end, VMKI_TREE_MAX_END + 1);
    if (last)
        REPORTS(ends_wrong, leaf->slot[slot].end, VMKI_TREE_MAX_END);
    if (rank > 0) {
        uint64_t before = vmki_leaf_end(leaf, rank - 1);

        REPORTS(overlap, leaf->start[slot], before - 1);
        REPORTS(class_wrong, leaf->start[slot], before); /* they touch */
    }
}

/* The tree is one leaf: no gap is noted above it. */
static void test_entries(void **state)
{
    (void)state;
    for (size_t nr = 1; nr <= VMKI_LEAF_MAX; nr++) {
        struct world bed, *world = &bed;

        build(world, nr);
        for (unsigned rank = 0; rank < nr; rank++)
            check_entry_reports(world, vmki_leaf(world->tree.root), rank, rank + 1 == nr);
        if (nr > 1)
            REPORTS(ends_wrong, vmki_leaf(world->tree.root)->start[0], 1);
        world_destroy(world);
    }
}

/* A tree whose only entry ends as high as one may; and one that is nothing but entries that touch. */
static void test_just_right(void **state)
{
    struct world bed, *world = &bed;

    (void)state;
    world_init(world);
    insert(world, VMKI_TREE_MAX_END - 1, VMKI_TREE_MAX_END);
    check_valid(world);
    while (world->nr < 500)
        insert(world, 8 * world->nr, 8 * world->nr + 8);
    check_valid(world);
    insert(world, UINT64_C(1) << 62, (UINT64_C(1) << 62) + 1);
    check_valid(world);
    world_destroy(world);
}

/* ---- Nodes above ---- */

/* What stands in the leaf of a parent, and what the parent says of it. */
static void check_leaf_reports(struct world *world, struct vmki_tree_inner *parent, unsigned slot)
{
    struct vmki_tree_leaf *leaf = vmki_leaf(parent->child[slot]);
    unsigned last = vmki_order_count(leaf->order) - 1;
    uint64_t end = vmki_leaf_end(leaf, last), next = slot + 1u < parent->head.count ? parent->pivot[slot + 1] : 0;

    REPORTS(leaf_gap_wrong, parent->gap[slot], parent->gap[slot] + 1);
    REPORTS(leaf_gap_wrong, parent->gap[slot], parent->gap[slot] - 1);
    if (parent->gap[slot] != 0)
        REPORTS(leaf_gap_wrong, parent->gap[slot], 0);
    REPORTS(child_wrong, parent->child[slot], NULL);
    REPORTS(child_wrong, parent->child[slot], &parent->head);
    REPORTS(empty_leaf, leaf->order, leaf->order & ~UINT64_C(15));
    REPORTS(class_wrong, leaf->holes, leaf->holes ^ 16);
    REPORTS(no_item, leaf->slot[vmki_order_slot(leaf->order, last)].item, NULL);
    if (next != 0) {
        REPORTS(pivot_low, parent->pivot[slot + 1], end - 1);
        REPORTS(pivots_wrong, parent->pivot[slot + 1], parent->pivot[slot]);
        REPORTS(pivots_wrong, parent->pivot[slot + 1], parent->pivot[slot] - 1);
        REPORTS(pivot_low, leaf->slot[vmki_order_slot(leaf->order, last)].end, next + 1);
    }
}

/* What an inner node says of itself, in the tree as it is and with a child less. */
static void check_inner_reports(struct world *world, struct vmki_tree_inner *inner)
{
    unsigned count = inner->head.count;
    bool is_root = world->tree.root == &inner->head;

    REPORTS(children_wrong, inner->head.count, 0);
    REPORTS(children_wrong, inner->head.count, VMKI_INNER_MAX + 1);
    if (count < VMKI_INNER_MAX) {
        inner->child[count] = NULL;
        REPORTS(child_wrong, inner->head.count, (uint8_t)(count + 1));
        REPORTS(pivots_wrong, inner->pivot[count], VMKI_NO_KEY - 1);
        REPORTS(pivots_wrong, inner->pivot[VMKI_INNER_MAX - 1], 0);
    }
    REPORTS(is_root ? single_child : pivots_wrong, inner->head.count, 1);
    if (count > 2)
        REPORTS(pivots_wrong, inner->head.count, 2);
}

/* The first pivot of a node, and of those above whose first child it is, is the first start of all below. */
static void check_first_pivots(struct world *world)
{
    struct vmki_tree_node *node = world->tree.root;

    for (; node->level > 0; node = vmki_inner(node)->child[0]) {
        REPORTS(pivot_wrong, vmki_inner(node)->pivot[0], vmki_inner(node)->pivot[0] + 1);
        REPORTS(pivot_wrong, vmki_inner(node)->pivot[0], vmki_inner(node)->pivot[0] - 1);
    }
}

/* Each leaf but the first: its parent's pivot, one byte off, which the gap in front hears of first, if it is the largest. */
static void check_pivot_reports(struct world *world, struct vmki_tree_inner *parent, unsigned slot)
{
    uint64_t *pivot = &parent->pivot[slot], end, hole;
    const struct vmki_tree_leaf *before = vmki_leaf(parent->child[slot - 1]);

    end = vmki_leaf_end(before, vmki_order_count(before->order) - 1);
    hole = *pivot - end;
    if (hole < parent->gap[slot - 1]) {
        if (vmki_hole_class(hole + 1) == vmki_hole_class(hole))
            REPORTS(pivot_wrong, *pivot, *pivot + 1);
        REPORTS(class_wrong, *pivot, end);
    } else {
        REPORTS(leaf_gap_wrong, *pivot, *pivot + 1);
    }
}

static void check_parents(struct world *world, struct vmki_tree_inner *parent)
{
    check_inner_reports(world, parent);
    for (unsigned slot = 0; slot < parent->head.count; slot++) {
        check_leaf_reports(world, parent, slot);
        if (slot > 0)
            check_pivot_reports(world, parent, slot);
    }
}

static void test_nodes(void **state)
{
    static const size_t sizes[] = {16, 40, 310, 320};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct world bed, *world = &bed;
        struct vmki_tree_inner *root;

        build(world, sizes[i]);
        root = vmki_inner(world->tree.root);
        check_first_pivots(world);
        if (world->tree.height == 2)
            check_parents(world, root);
        else
            check_inner_reports(world, root);
        for (unsigned slot = 0; world->tree.height == 3 && slot < root->head.count; slot++) {
            REPORTS(inner_gap_wrong, root->gap[slot], root->gap[slot] + 1);
            REPORTS(inner_gap_wrong, root->gap[slot], root->gap[slot] - 1);
            REPORTS(child_wrong, root->child[slot], NULL);
            REPORTS(child_wrong, root->child[slot], vmki_inner(root->child[slot])->child[0]);
        }
        world_destroy(world);
    }
}

/* A root that says it is of the highest level there may be is asked for its children. */
static void test_highest(void **state)
{
    struct world bed, *world = &bed;

    (void)state;
    build(world, 40);
    world->tree.root->level = VMKI_TREE_MAX_HEIGHT - 1;
    world->tree.height = VMKI_TREE_MAX_HEIGHT;
    check_report(world, child_wrong, "the highest", __LINE__);
    world->tree.root->level = 1;
    world->tree.height = 2;
    check_valid(world);
    world_destroy(world);
}

/* Half a line further on the same node stands wrong. */
static void test_unaligned(void **state)
{
    struct vmki_tree_node *moved;
    struct world bed, *world = &bed;
    char *room;

    (void)state;
    build(world, 9);
    room = aligned_alloc(64, 2 * VMKI_NODE_SIZE);
    assert_non_null(room);
    moved = (struct vmki_tree_node *)(void *)(room + 32);
    memcpy(moved, world->tree.root, VMKI_NODE_SIZE);
    REPORTS(unaligned, world->tree.root, moved);
    free(room);
    world_destroy(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree_words), cmocka_unit_test(test_orders), cmocka_unit_test(test_entries),
        cmocka_unit_test(test_just_right), cmocka_unit_test(test_nodes),  cmocka_unit_test(test_highest),
        cmocka_unit_test(test_unaligned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
