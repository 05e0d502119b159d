/* SPDX-License-Identifier: MIT */
/*
 * part.c - the parts of a tree: what lies below each child of the root, as a tree of its own for a writer of its own.
 *
 * Writers of two parts have no word in common that they store to, as long as each stays inside: its entries within the
 * bounds of the part, and its root a node of the same level (vmki_cursor_keeps_root). What the root says of a part then
 * lags: its pivot is at most the first start, as readers need it, and its largest gap is unknown. Closing the parts sets
 * both right; gaps are looked for only then.
 */
#include "base/base.h"
#include "tree/node.h"

unsigned vmki_tree_nr_parts(const struct vmki_tree *tree)
{
    return tree->height >= 2 ? tree->root->count : 0;
}

vmk_addr vmki_tree_part_bound(const struct vmki_tree *tree, unsigned number)
{
    if (number == 0)
        return 0;
    return number < tree->root->count ? vmki_inner(tree->root)->pivot[number] : VMKI_TREE_MAX_END;
}

vmk_addr vmki_tree_part_low(const struct vmki_tree *tree, unsigned number)
{
    const struct vmki_tree_node *node = tree->root;
    const struct vmki_tree_leaf *leaf;
    vmk_addr bound;

    if (number == 0)
        return 1;
    bound = vmki_inner_const(node)->pivot[number];
    for (node = vmki_inner_const(node)->child[number - 1]; node->level;)
        node = vmki_inner_const(node)->child[node->count - 1];
    leaf = vmki_leaf_const(node);
    return bound + (vmki_leaf_end(leaf, vmki_order_count(leaf->order) - 1) == bound);
}

void vmki_tree_part_begin(struct vmki_tree *part, const struct vmki_tree *tree)
{
    part->height = tree->height - 1;
    part->nr_entries = tree->nr_entries;
    part->nr_nodes_bytes = (size_t)part->nr_spare * VMKI_NODE_SIZE;
}

/* What it remembers of its ends is of no part: only searches for gaps ask. */
void vmki_tree_part_open(struct vmki_tree *part, struct vmki_tree *tree, unsigned number)
{
    struct vmki_tree_inner *root = vmki_inner(tree->root);

    part->root = root->child[number];
    part->above = &root->child[number];
}

void vmki_tree_part_close(struct vmki_tree *part, struct vmki_tree *tree, size_t nr_before)
{
    tree->nr_entries += part->nr_entries - nr_before;
    tree->nr_nodes_bytes += part->nr_nodes_bytes - (size_t)part->nr_spare * VMKI_NODE_SIZE;
    part->root = NULL;
}

/* The gaps along the right edge of a part: only they depend on what follows it. */
static void settle_part(struct vmki_tree *tree, unsigned number)
{
    struct vmki_tree_inner *root = vmki_inner(tree->root), *path[VMKI_TREE_MAX_HEIGHT];
    uint64_t limit = number + 1 < root->head.count ? root->pivot[number + 1] : VMKI_NO_KEY, gap;
    struct vmki_tree_node *node = root->child[number];
    struct vmki_tree_leaf *leaf;
    unsigned depth = 0, last;

    for (; node->level; node = path[depth - 1]->child[node->count - 1])
        path[depth++] = vmki_inner(node);
    leaf = vmki_leaf(node);
    last = vmki_order_count(leaf->order) - 1;
    vmki_leaf_set_hole(leaf, last, limit == VMKI_NO_KEY ? 0 : limit - vmki_leaf_end(leaf, last));
    gap = vmki_leaf_gap(leaf, limit);
    while (depth > 0) {
        struct vmki_tree_inner *inner = path[--depth];

        vmki_store_relaxed(&inner->gap[inner->head.count - 1], gap);
        gap = vmki_inner_gap(inner);
    }
    vmki_store_relaxed(&root->gap[number], gap);
}

static uint64_t first_start(const struct vmki_tree_node *node)
{
    return node->level ? vmki_inner_const(node)->pivot[0] : vmki_leaf_start(vmki_leaf_const(node), 0);
}

void vmki_tree_parts_settle(struct vmki_tree *tree, uint32_t changed)
{
    struct vmki_tree_inner *root = vmki_inner(tree->root);

    for (unsigned i = 0; i < root->head.count; i++)
        if ((changed >> i & 1) != 0)
            vmki_store_relaxed(&root->pivot[i], first_start(root->child[i]));
    for (unsigned i = 0; i < tree->root->count; i++)
        if ((changed >> i & 3) != 0) /* it, or the one after it */
            settle_part(tree, i);
    vmki_tree_note_ends(tree);
}

/* ---- Dividing a part ---- */

/* What a node of the path becomes: two, made anew, from the level of the border on; below it is whole, and `right`. */
struct halves {
    struct vmki_tree_child left, right; /* left.node is NULL for none */
};

static struct vmki_tree_child leaf_of(struct vmki_tree *tree, const struct vmki_tree_leaf *from, unsigned rank,
                                      unsigned end, uint64_t limit)
{
    struct vmki_tree_leaf *leaf = vmki_tree_take_leaf(tree);

    for (unsigned i = 0; rank < end; i++, rank++) {
        struct vmki_tree_entry entry;

        vmki_leaf_entry(from, rank, &entry);
        leaf->start[i] = entry.start;
        leaf->slot[i] = (struct vmki_tree_slot){entry.end, entry.flags, entry.item};
        leaf->order++;
    }
    return (struct vmki_tree_child){&leaf->head, leaf->start[0], vmki_leaf_class_holes(leaf, limit)};
}

static void add_child(struct vmki_tree_inner *inner, struct vmki_tree_child child)
{
    unsigned slot = inner->head.count++;

    inner->pivot[slot] = child.pivot;
    inner->child[slot] = child.node;
    inner->gap[slot] = child.gap;
}

static void add_children(struct vmki_tree_inner *inner, const struct vmki_tree_inner *from, unsigned slot, unsigned end)
{
    for (; slot < end; slot++)
        add_child(inner, (struct vmki_tree_child){from->child[slot], from->pivot[slot], from->gap[slot]});
}

static struct vmki_tree_child as_child(struct vmki_tree_inner *inner)
{
    return (struct vmki_tree_child){&inner->head, inner->pivot[0], vmki_inner_gap(inner)};
}

static struct halves halve_leaf(const struct vmki_cursor *cursor)
{
    const struct vmki_tree_leaf *leaf = vmki_leaf(cursor->node[0]);
    unsigned rank = cursor->slot[0], count = vmki_order_count(leaf->order);
    struct halves halves = {.right.node = cursor->node[0]};

    if (rank == 0)
        return halves;
    halves.right = leaf_of(cursor->tree, leaf, rank, count, vmki_cursor_leaf_limit(cursor));
    halves.left = leaf_of(cursor->tree, leaf, 0, rank, halves.right.pivot);
    return halves;
}

/* `below`: what becomes of the child on the path. */
static struct halves halve_inner(const struct vmki_cursor *cursor, unsigned level, struct halves below)
{
    const struct vmki_tree_inner *inner = vmki_inner(cursor->node[level]);
    unsigned slot = cursor->slot[level];
    struct vmki_tree_inner *left, *right;

    if (below.left.node == NULL && slot == 0)
        return (struct halves){.right.node = cursor->node[level]};
    left = vmki_tree_take_inner(cursor->tree, level);
    right = vmki_tree_take_inner(cursor->tree, level);
    add_children(left, inner, 0, slot);
    if (below.left.node != NULL) {
        add_child(left, below.left);
        add_child(right, below.right);
        slot++;
    }
    add_children(right, inner, slot, inner->head.count);
    return (struct halves){as_child(left), as_child(right)};
}

bool vmki_tree_divide_part(struct vmki_tree *tree, vmk_addr address)
{
    struct vmki_tree_inner *root, *old;
    struct vmki_cursor cursor;
    struct halves halves;
    unsigned top = tree->height - 1, level, lowest;

    if (tree->height < 2 || tree->root->count == VMKI_INNER_MAX || !vmki_cursor_seek(&cursor, tree, address) ||
        !vmki_tree_reserve(tree, 1))
        return false;
    for (lowest = 0; cursor.slot[lowest] == 0 && lowest < top;)
        lowest++;
    if (lowest == top)
        return false;
    halves = halve_leaf(&cursor);
    for (level = 1; level < top; level++)
        halves = halve_inner(&cursor, level, halves);
    old = vmki_inner(tree->root);
    root = vmki_tree_take_inner(tree, top);
    add_children(root, old, 0, cursor.slot[top]);
    add_child(root, halves.left);
    add_child(root, halves.right);
    add_children(root, old, cursor.slot[top] + 1u, old->head.count);
    vmki_tree_begin_edit(tree);
    vmki_store_release(&tree->root, &root->head);
    vmki_tree_note_ends(tree); /* the last leaf may be another one */
    vmki_tree_end_edit(tree);
    for (level = lowest; level <= top; level++)
        vmki_tree_retire_node(tree, cursor.node[level]);
    return true;
}
