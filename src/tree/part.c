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

void vmki_tree_part_open(struct vmki_tree *part, struct vmki_tree *tree, unsigned number)
{
    struct vmki_tree_inner *root = vmki_inner(tree->root);

    part->root = root->child[number];
    part->above = &root->child[number];
    part->height = tree->height - 1;
    part->nr_entries = tree->nr_entries;
    part->nr_nodes_bytes = (size_t)part->nr_spare * VMKI_NODE_SIZE;
    vmki_tree_note_ends(part);
}

void vmki_tree_part_close(struct vmki_tree *part, struct vmki_tree *tree, size_t nr_before)
{
    struct vmki_tree_inner *root = vmki_inner(tree->root);
    unsigned number = (unsigned)(part->above - root->child);

    tree->nr_entries += part->nr_entries - nr_before;
    tree->nr_nodes_bytes += part->nr_nodes_bytes - (size_t)part->nr_spare * VMKI_NODE_SIZE;
    vmki_tree_note_ends(part);
    vmki_store_relaxed(&root->pivot[number], part->first_start);
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

void vmki_tree_parts_settle(struct vmki_tree *tree, uint32_t changed)
{
    for (unsigned i = 0; i < tree->root->count; i++)
        if ((changed >> i & 3) != 0) /* it, or the one after it */
            settle_part(tree, i);
    vmki_tree_note_ends(tree);
}
