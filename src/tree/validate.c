/* SPDX-License-Identifier: MIT */
/*
 * validate.c - recounts everything that the tree claims, from the entries up.  Writers only.
 */
#include "tree/node.h"

/* What has been seen so far of the tree, in ascending order. */
struct check {
    const struct vmki_tree *tree;
    struct vmki_tree_node *node[VMKI_TREE_MAX_HEIGHT]; /* path to where the walk is */
    unsigned slot[VMKI_TREE_MAX_HEIGHT];
    size_t nr_nodes;
    size_t nr_entries;
    uint64_t end;   /* of the entry before */
    uint64_t first; /* start of the first entry */
};

static const char *check_order(const struct vmki_tree_leaf *leaf)
{
    unsigned seen = 0, rank;

    if (vmki_order_count(leaf->order) == 0)
        return "a leaf is empty";
    for (rank = 0; rank < VMKI_LEAF_MAX; rank++) {
        unsigned slot = vmki_order_slot(leaf->order, rank);

        if (slot >= VMKI_LEAF_MAX || (seen & 1u << slot))
            return "a leaf's order is no permutation";
        seen |= 1u << slot;
        if (rank >= vmki_order_count(leaf->order) && leaf->start[slot] != VMKI_NO_KEY)
            return "a free slot has a start";
    }
    return NULL;
}

static const char *check_entry(struct check *check, const struct vmki_tree_entry *entry)
{
    if (entry->start >= entry->end)
        return "an entry is empty or upside down";
    if (entry->end > VMKI_TREE_MAX_END)
        return "an entry ends too high";
    if (entry->start < check->end)
        return "entries overlap or are out of order";
    if (!entry->item)
        return "an entry has no item";
    if (check->nr_entries == 0)
        check->first = entry->start;
    check->end = entry->end;
    check->nr_entries++;
    return NULL;
}

/* The start of the entry behind the leaf, by the pivots, which are checked by themselves. */
static uint64_t limit_of_leaf(const struct check *check)
{
    unsigned level;

    for (level = 1; level < check->tree->height; level++) {
        if (check->slot[level] + 1 < check->node[level]->count)
            return vmki_inner(check->node[level])->pivot[check->slot[level] + 1];
    }
    return VMKI_NO_KEY;
}

/* The classes of all holes; those of the free ranks are 0. */
static const char *check_holes(const struct vmki_tree_leaf *leaf, uint64_t limit)
{
    unsigned rank, count = vmki_order_count(leaf->order);
    uint64_t holes = 0;

    for (rank = 0; rank < count; rank++) {
        uint64_t next = rank + 1 < count ? vmki_leaf_start(leaf, rank + 1) : limit;

        if (next != VMKI_NO_KEY)
            holes |= vmki_hole_class(next - vmki_leaf_end(leaf, rank)) << (4 * rank + 4);
    }
    return leaf->holes == holes ? NULL : "the class of a hole is wrong";
}

/* The pivots above the leaf, as far up as it is the first child. */
static const char *check_pivots(const struct check *check, uint64_t start)
{
    unsigned level;

    for (level = 1; level < check->tree->height; level++) {
        if (vmki_inner(check->node[level])->pivot[check->slot[level]] != start)
            return "a pivot is not the first start below it";
        if (check->slot[level] > 0)
            break;
    }
    return NULL;
}

static const char *check_leaf(struct check *check, const struct vmki_tree_leaf *leaf)
{
    const char *broken = check_order(leaf);
    uint64_t limit = limit_of_leaf(check), largest = 0;
    unsigned rank, count = vmki_order_count(leaf->order);

    for (rank = 0; !broken && rank < count; rank++) {
        struct vmki_tree_entry entry;

        vmki_leaf_entry(leaf, rank, &entry);
        if (rank > 0 && entry.start - check->end > largest)
            largest = entry.start - check->end;
        broken = check_entry(check, &entry);
    }
    if (broken)
        return broken;
    if (limit != VMKI_NO_KEY && limit < check->end)
        return "a pivot is below the end before it";
    if (limit != VMKI_NO_KEY && limit - check->end > largest)
        largest = limit - check->end;
    if (check->tree->height > 1 && vmki_inner(check->node[1])->gap[check->slot[1]] != largest)
        return "the gap of a leaf is wrong";
    broken = check_holes(leaf, limit);
    return broken ? broken : check_pivots(check, vmki_leaf_start(leaf, 0));
}

static const char *check_inner(const struct check *check, const struct vmki_tree_inner *inner)
{
    unsigned level = inner->head.level, i;

    if (inner->head.count == 0 || inner->head.count > VMKI_INNER_MAX)
        return "an inner node has no children, or too many";
    if (level + 1 == check->tree->height && inner->head.count < 2)
        return "the root has a single child";
    for (i = 1; i < VMKI_INNER_MAX; i++) {
        if (i >= inner->head.count ? inner->pivot[i] != VMKI_NO_KEY : inner->pivot[i] <= inner->pivot[i - 1])
            return "the pivots are out of order";
    }
    for (i = 0; i < inner->head.count; i++) {
        if (!inner->child[i] || inner->child[i]->level + 1u != level)
            return "a child is missing or of the wrong level";
    }
    if (level + 1 < check->tree->height &&
        vmki_inner(check->node[level + 1])->gap[check->slot[level + 1]] != vmki_inner_gap(inner))
        return "the gap of an inner node is wrong";
    return NULL;
}

/* From the node of that level down to its first leaf. */
static const char *check_down(struct check *check, struct vmki_tree_node *node)
{
    const char *broken = NULL;

    for (;;) {
        if ((uintptr_t)node % 64)
            return "a node is not aligned";
        check->nr_nodes++;
        check->node[node->level] = node;
        check->slot[node->level] = 0;
        if (!node->level)
            return check_leaf(check, vmki_leaf(node));
        broken = check_inner(check, vmki_inner(node));
        if (broken)
            return broken;
        node = vmki_inner(node)->child[0];
    }
}

static const char *check_nodes(struct check *check)
{
    const char *broken = check_down(check, check->tree->root);
    unsigned level = 1, height = check->tree->height;

    while (!broken && level < height) {
        if (++check->slot[level] < check->node[level]->count) {
            broken = check_down(check, vmki_inner(check->node[level])->child[check->slot[level]]);
            level = 1;
        } else {
            level++;
        }
    }
    return broken;
}

static const char *check_spare(struct check *check)
{
    const struct vmki_tree *tree = check->tree;
    struct vmki_tree_node *spare;
    size_t nr = 0;

    for (spare = tree->spare; spare && nr <= tree->nr_spare; spare = *vmki_spare_link(spare))
        nr++;
    if (nr != tree->nr_spare)
        return "the count of reserved nodes is wrong";
    check->nr_nodes += nr;
    return NULL;
}

static const struct vmki_tree_node *last_leaf(const struct vmki_tree *tree)
{
    const struct vmki_tree_node *node = tree->root;

    while (node != NULL && node->level > 0)
        node = vmki_inner_const(node)->child[node->count - 1];
    return node;
}

const char *vmki_tree_validate(const struct vmki_tree *tree)
{
    struct check check = {.tree = tree};
    const char *broken = NULL;

    if (!tree->root != !tree->height || tree->height > VMKI_TREE_MAX_HEIGHT)
        return "the height is wrong";
    if (tree->root && tree->root->level + 1u != tree->height)
        return "the root's level is not the height";
    if (tree->root)
        broken = check_nodes(&check);
    if (!broken)
        broken = check_spare(&check);
    if (broken)
        return broken;
    if (check.nr_entries != tree->nr_entries)
        return "the count of entries is wrong";
    if (check.first != tree->first_start || check.end != tree->last_end || last_leaf(tree) != tree->last_leaf)
        return "the ends of the tree are wrong";
    if (check.nr_nodes * VMKI_NODE_SIZE != tree->nr_nodes_bytes)
        return "the count of bytes is wrong";
    return NULL;
}
