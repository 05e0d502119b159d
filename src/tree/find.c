/* SPDX-License-Identifier: MIT */
/*
 * find.c - what only reads: lookups without a lock, and cursors for those who hold writers off.
 *
 * A lookup goes down once and takes its answer from one leaf under that leaf's version.  The writer may move on
 * meanwhile; the answer was right at some moment of the call.  Where the answer is not in the leaf, the next leaf is
 * found by going down again with the pivot that ended the search: never by a pointer between leaves, which could lead
 * from an old state into a new one and skip an entry.
 */
#include "tree/node.h"

/* ---- Lookups without a lock ---- */

/* The leaf in which the last entry that starts at or below the address is; NULL when the tree is empty. */
static const struct vmki_tree_leaf *descend(const struct vmki_tree *tree, uint64_t address)
{
    struct vmki_tree_node *node = vmki_load_acquire(&tree->root);

    while (node && node->level) {
        struct vmki_tree_inner *inner = vmki_inner(node);

        node = vmki_load_acquire(&inner->child[vmki_inner_slot(inner, address)]);
    }
    return node ? vmki_leaf(node) : NULL;
}

/* As descend; *above is the least pivot right of the path, VMKI_NO_KEY if none. */
static const struct vmki_tree_leaf *descend_above(const struct vmki_tree *tree, uint64_t address, uint64_t *above)
{
    struct vmki_tree_node *node = vmki_load_acquire(&tree->root);

    *above = VMKI_NO_KEY;
    while (node && node->level) {
        struct vmki_tree_inner *inner = vmki_inner(node);
        unsigned slot = vmki_inner_slot(inner, address);

        if (slot + 1 < node->count)
            *above = vmki_load_relaxed(&inner->pivot[slot + 1]);
        node = vmki_load_acquire(&inner->child[slot]);
    }
    return node ? vmki_leaf(node) : NULL;
}

/* As descend; *below is the greatest pivot on the path that has nodes left of it, 0 if none. */
static const struct vmki_tree_leaf *descend_below(const struct vmki_tree *tree, uint64_t address, uint64_t *below)
{
    struct vmki_tree_node *node = vmki_load_acquire(&tree->root);

    *below = 0;
    while (node && node->level) {
        struct vmki_tree_inner *inner = vmki_inner(node);
        unsigned slot = vmki_inner_slot(inner, address);

        if (slot > 0)
            *below = vmki_load_relaxed(&inner->pivot[slot]);
        node = vmki_load_acquire(&inner->child[slot]);
    }
    return node ? vmki_leaf(node) : NULL;
}

/* A look into a leaf: what is read between look() and holds() belongs together if holds() says so. */
struct look {
    const struct vmki_tree_leaf *leaf;
    uint64_t order;
    uint32_t version;
};

static inline void look(struct look *look, const struct vmki_tree_leaf *leaf)
{
    look->leaf = leaf;
    look->version = vmki_load_acquire(&leaf->head.version);
    look->order = vmki_load_acquire(&leaf->order);
}

static inline bool holds(const struct look *look)
{
    vmki_fence_acquire();
    return vmki_load_relaxed(&look->leaf->head.version) == look->version;
}

static inline uint64_t start_of(const struct look *look, unsigned rank)
{
    return vmki_load_relaxed(&look->leaf->start[vmki_order_slot(look->order, rank)]);
}

static inline void read_entry(const struct look *look, unsigned rank, struct vmki_tree_entry *entry)
{
    const struct vmki_tree_slot *slot = &look->leaf->slot[vmki_order_slot(look->order, rank)];

    entry->start = start_of(look, rank);
    entry->end = vmki_load_relaxed(&slot->end);
    entry->flags = vmki_load_relaxed(&slot->flags);
    entry->item = vmki_load_relaxed(&slot->item);
}

/* The rank, counted along `order`, for a leaf that is between the stores of a splice. */
static __attribute__((noinline)) unsigned rank_by_order(const struct look *look, uint64_t address)
{
    unsigned count = vmki_order_count(look->order), rank = 0, i;

    for (i = 0; i < count; i++)
        rank += start_of(look, i) <= address;
    return rank;
}

/* How many entries start at or below the address. */
static inline unsigned rank_of(const struct look *look, uint64_t address)
{
    unsigned count = vmki_order_count(look->order);
    unsigned rank = vmki_leaf_rank(look->leaf, address);

    if (rank > count || (rank > 0 && start_of(look, rank - 1) > address) ||
        (rank < count && start_of(look, rank) <= address))
        return rank_by_order(look, address);
    return rank;
}

bool vmki_tree_find(const struct vmki_tree *tree, vmk_addr address, struct vmki_tree_entry *entry)
{
    const struct vmki_tree_leaf *leaf;
    struct vmki_tree_entry seen;
    struct look in;
    bool found;

    if (address >= VMKI_TREE_MAX_END)
        return false;
    leaf = descend(tree, address);
    if (!leaf)
        return false;
    do {
        unsigned rank;

        look(&in, leaf);
        rank = rank_of(&in, address);
        found = rank > 0;
        if (found) {
            read_entry(&in, rank - 1, &seen);
            found = seen.end > address;
        }
    } while (!holds(&in));
    if (found)
        *entry = seen;
    return found;
}

/* The first entry of the leaf that ends above the address. */
static bool next_in_leaf(const struct vmki_tree_leaf *leaf, uint64_t address, struct vmki_tree_entry *entry)
{
    struct vmki_tree_entry seen;
    struct look in;
    bool found;

    do {
        unsigned rank;

        look(&in, leaf);
        rank = rank_of(&in, address);
        found = rank > 0;
        if (found) {
            read_entry(&in, rank - 1, &seen);
            found = seen.end > address;
        }
        if (!found && rank < vmki_order_count(in.order)) {
            read_entry(&in, rank, &seen);
            found = true;
        }
    } while (!holds(&in));
    if (found)
        *entry = seen;
    return found;
}

bool vmki_tree_next(const struct vmki_tree *tree, vmk_addr address, struct vmki_tree_entry *entry)
{
    while (address < VMKI_TREE_MAX_END) {
        uint64_t above;
        const struct vmki_tree_leaf *leaf = descend_above(tree, address, &above);

        if (!leaf)
            return false;
        if (next_in_leaf(leaf, address, entry))
            return true;
        if (above > address) /* else the writer lowered it just now: the same again */
            address = above;
    }
    return false;
}

/* The last entry of the leaf that starts at or below the address. */
static bool prev_in_leaf(const struct vmki_tree_leaf *leaf, uint64_t address, struct vmki_tree_entry *entry)
{
    struct vmki_tree_entry seen;
    struct look in;
    unsigned rank;

    do {
        look(&in, leaf);
        rank = rank_of(&in, address);
        if (rank > 0)
            read_entry(&in, rank - 1, &seen);
    } while (!holds(&in));
    if (rank > 0)
        *entry = seen;
    return rank > 0;
}

bool vmki_tree_prev(const struct vmki_tree *tree, vmk_addr address, struct vmki_tree_entry *entry)
{
    if (address > VMKI_TREE_MAX_END)
        address = VMKI_TREE_MAX_END;
    while (address > 0) {
        uint64_t below;
        const struct vmki_tree_leaf *leaf = descend_below(tree, address - 1, &below);

        if (!leaf)
            return false;
        if (prev_in_leaf(leaf, address - 1, entry))
            return true;
        if (below < address) /* else the writer raised it just now: the same again */
            address = below;
    }
    return false;
}

/* ---- Cursors ---- */

static struct vmki_tree_leaf *cursor_leaf(const struct vmki_cursor *cursor)
{
    return vmki_leaf(cursor->node[0]);
}

static bool at_entry(const struct vmki_cursor *cursor)
{
    return cursor->node[0] && cursor->slot[0] < vmki_order_count(cursor_leaf(cursor)->order);
}

bool vmki_cursor_seek(struct vmki_cursor *cursor, struct vmki_tree *tree, vmk_addr address)
{
    struct vmki_tree_node *node = tree->root;
    struct vmki_tree_leaf *leaf;
    unsigned rank;

    cursor->tree = tree;
    cursor->node[0] = NULL;
    cursor->slot[0] = 0;
    if (!node)
        return false;
    if (address > VMKI_TREE_MAX_END)
        address = VMKI_TREE_MAX_END;
    for (; node->level; node = vmki_inner(node)->child[cursor->slot[node->level]]) {
        cursor->node[node->level] = node;
        cursor->slot[node->level] = (uint8_t)vmki_inner_slot(vmki_inner(node), address);
    }
    leaf = vmki_leaf(node);
    cursor->node[0] = node;
    rank = vmki_leaf_rank(leaf, address);
    if (rank > 0 && vmki_leaf_end(leaf, rank - 1) > address)
        rank--;
    cursor->slot[0] = (uint8_t)rank;
    if (rank < vmki_order_count(leaf->order))
        return true;
    cursor->slot[0]--;
    return vmki_cursor_advance(cursor);
}

bool vmki_cursor_entry(const struct vmki_cursor *cursor, struct vmki_tree_entry *entry)
{
    if (!at_entry(cursor))
        return false;
    vmki_leaf_entry(cursor_leaf(cursor), cursor->slot[0], entry);
    return true;
}

/* Moves to the first entry of the next leaf, or returns false and stays. */
static bool next_leaf(struct vmki_cursor *cursor)
{
    struct vmki_tree_node *node;
    unsigned level, height = cursor->tree->height;

    for (level = 1; level < height && cursor->slot[level] + 1u >= cursor->node[level]->count; level++)
        ;
    if (level >= height)
        return false;
    cursor->slot[level]++;
    for (; level > 0; level--) {
        node = vmki_inner(cursor->node[level])->child[cursor->slot[level]];
        cursor->node[level - 1] = node;
        cursor->slot[level - 1] = 0;
    }
    return true;
}

/* Moves to the last entry of the leaf before, or returns false and stays. */
static bool prev_leaf(struct vmki_cursor *cursor)
{
    struct vmki_tree_node *node;
    unsigned level, height = cursor->tree->height;

    for (level = 1; level < height && cursor->slot[level] == 0; level++)
        ;
    if (level >= height)
        return false;
    cursor->slot[level]--;
    for (; level > 0; level--) {
        node = vmki_inner(cursor->node[level])->child[cursor->slot[level]];
        cursor->node[level - 1] = node;
        cursor->slot[level - 1] = (uint8_t)(vmki_node_count(node) - 1);
    }
    return true;
}

bool vmki_cursor_advance(struct vmki_cursor *cursor)
{
    if (!at_entry(cursor))
        return false;
    cursor->slot[0]++;
    if (cursor->slot[0] < vmki_order_count(cursor_leaf(cursor)->order))
        return true;
    return next_leaf(cursor);
}

bool vmki_cursor_retreat(struct vmki_cursor *cursor)
{
    if (!cursor->node[0])
        return false;
    if (cursor->slot[0] > 0) {
        cursor->slot[0]--;
        return true;
    }
    return prev_leaf(cursor);
}

bool vmki_cursor_before(const struct vmki_cursor *cursor, struct vmki_tree_entry *entry)
{
    struct vmki_cursor there;

    if (cursor->node[0] && cursor->slot[0] > 0) {
        vmki_leaf_entry(cursor_leaf(cursor), cursor->slot[0] - 1u, entry);
        return true;
    }
    there = *cursor;
    return vmki_cursor_retreat(&there) && vmki_cursor_entry(&there, entry);
}

bool vmki_cursor_after(const struct vmki_cursor *cursor, struct vmki_tree_entry *entry)
{
    struct vmki_cursor there;

    if (at_entry(cursor) && cursor->slot[0] + 1u < vmki_order_count(cursor_leaf(cursor)->order)) {
        vmki_leaf_entry(cursor_leaf(cursor), cursor->slot[0] + 1u, entry);
        return true;
    }
    there = *cursor;
    return vmki_cursor_advance(&there) && vmki_cursor_entry(&there, entry);
}

uint64_t vmki_cursor_leaf_limit(const struct vmki_cursor *cursor)
{
    unsigned level;

    for (level = 1; level < cursor->tree->height; level++) {
        unsigned next = cursor->slot[level] + 1u;

        if (next < cursor->node[level]->count)
            return vmki_inner(cursor->node[level])->pivot[next];
    }
    return VMKI_NO_KEY;
}
