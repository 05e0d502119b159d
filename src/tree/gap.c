/* SPDX-License-Identifier: MIT */
/*
 * gap.c - gap search: the highest or lowest place of a given length.
 *
 * Candidates are visited in order of address: the space above the last entry, the gaps behind entries, the space below
 * the first.  A subtree whose largest gap is too short is passed by.  So the search goes down once to the limit and, if
 * nothing fits there, up to the next subtree with a gap that is long enough, and down into it: that gap fits, unless
 * an alignment, or the other limit, forbids it.  With an alignment every gap of the length is looked at until one fits.
 */
#include "tree/node.h"

uint64_t vmki_leaf_gap(const struct vmki_tree_leaf *leaf, uint64_t limit)
{
    uint64_t order = leaf->order, end, largest = 0;
    unsigned left = vmki_order_count(order), slot;

    order >>= 4;
    for (end = leaf->slot[order & 15].end; --left > 0; end = leaf->slot[slot].end) {
        uint64_t gap;

        order >>= 4;
        slot = (unsigned)(order & 15);
        gap = leaf->start[slot] - end;
        largest = gap > largest ? gap : largest;
    }
    if (limit != VMKI_NO_KEY && limit - end > largest)
        largest = limit - end;
    return largest;
}

uint64_t vmki_inner_gap(const struct vmki_tree_inner *inner)
{
    uint64_t largest = 0;
    unsigned i;

    for (i = 0; i < inner->head.count; i++)
        largest = inner->gap[i] > largest ? inner->gap[i] : largest;
    return largest;
}

/* ---- One candidate ---- */

/* The part of [from, to) between the query's limits. False when it is too short. */
static bool clip(const struct vmki_gap_query *query, uint64_t *from, uint64_t *to)
{
    if (*from < query->low)
        *from = query->low;
    if (*to > query->high)
        *to = query->high;
    return *to > *from && *to - *from >= query->len;
}

static uint64_t align_mask(const struct vmki_gap_query *query)
{
    return query->align ? query->align - 1 : 0;
}

/* The highest place in [from, to). */
static bool fit_highest(const struct vmki_gap_query *query, uint64_t from, uint64_t to, vmk_addr *start)
{
    uint64_t down;

    if (!clip(query, &from, &to))
        return false;
    to -= query->len;
    down = (to - query->offset) & align_mask(query);
    if (down > to - from)
        return false;
    *start = to - down;
    return true;
}

/* The lowest place in [from, to). */
static bool fit_lowest(const struct vmki_gap_query *query, uint64_t from, uint64_t to, vmk_addr *start)
{
    uint64_t up;

    if (!clip(query, &from, &to))
        return false;
    to -= query->len;
    up = (query->offset - from) & align_mask(query);
    if (up > to - from)
        return false;
    *start = from + up;
    return true;
}

/* ---- The walk ---- */

/* Where a search is: the path, and for each level the start of the entry behind the path's node. */
struct walk {
    const struct vmki_gap_query *query;
    struct vmki_tree_inner *node[VMKI_TREE_MAX_HEIGHT];
    uint64_t limit[VMKI_TREE_MAX_HEIGHT];
    int slot[VMKI_TREE_MAX_HEIGHT];
    unsigned height;
};

static uint64_t limit_of_child(const struct walk *walk, unsigned level)
{
    const struct vmki_tree_inner *inner = walk->node[level];
    int next = walk->slot[level] + 1;

    return next < inner->head.count ? inner->pivot[next] : walk->limit[level];
}

/* The end of the gap behind a rank. */
static uint64_t gap_end(const struct vmki_tree_leaf *leaf, unsigned rank, uint64_t limit)
{
    return rank + 1 < vmki_order_count(leaf->order) ? vmki_leaf_start(leaf, rank + 1) : limit;
}

/* What a look at a leaf says. */
enum outcome { FOUND, NOT_HERE, NOT_BEYOND };

/* The gaps behind the ranks below `rank`, from the highest down. */
static enum outcome leaf_highest(const struct vmki_gap_query *query, const struct vmki_tree_leaf *leaf, unsigned rank,
                                 uint64_t limit, vmk_addr *start)
{
    while (rank-- > 0) {
        uint64_t end = gap_end(leaf, rank, limit), from = vmki_leaf_end(leaf, rank);

        if (end <= query->low)
            return NOT_BEYOND;
        if (end != VMKI_NO_KEY && end - from >= query->len && fit_highest(query, from, end, start))
            return FOUND;
    }
    return NOT_HERE;
}

/* The gaps behind the ranks from `rank` on. */
static enum outcome leaf_lowest(const struct vmki_gap_query *query, const struct vmki_tree_leaf *leaf, unsigned rank,
                                uint64_t limit, vmk_addr *start)
{
    unsigned count = vmki_order_count(leaf->order);

    for (; rank < count; rank++) {
        uint64_t end = gap_end(leaf, rank, limit), from = vmki_leaf_end(leaf, rank);

        if (from >= query->high)
            return NOT_BEYOND;
        if (end != VMKI_NO_KEY && end - from >= query->len && fit_lowest(query, from, end, start))
            return FOUND;
    }
    return NOT_HERE;
}

/* Moves the slot of that level down, from itself on, to a child whose gap is long enough. */
static bool child_highest(struct walk *walk, unsigned level)
{
    const struct vmki_tree_inner *inner = walk->node[level];
    int slot = walk->slot[level];

    while (slot >= 0 && inner->gap[slot] < walk->query->len)
        slot--;
    walk->slot[level] = slot;
    return slot >= 0;
}

static bool child_lowest(struct walk *walk, unsigned level)
{
    const struct vmki_tree_inner *inner = walk->node[level];
    int slot = walk->slot[level];

    while (slot < inner->head.count && inner->gap[slot] < walk->query->len)
        slot++;
    walk->slot[level] = slot;
    return slot < inner->head.count;
}

/* Searches the gaps behind entries, from the last entry that starts below query->high down. */
static bool search_highest(const struct vmki_tree *tree, const struct vmki_gap_query *query, vmk_addr *start)
{
    struct walk walk = {.query = query, .height = tree->height};
    struct vmki_tree_node *node = tree->root;
    uint64_t limit = VMKI_NO_KEY, top = query->high - 1;
    bool bounded = true; /* still on the path to query->high */

    if (top > VMKI_TREE_MAX_END)
        top = VMKI_TREE_MAX_END;
    for (;;) {
        unsigned level = node->level, rank;
        enum outcome outcome = NOT_HERE;

        if (level) {
            int slot = bounded ? (int)vmki_inner_slot(vmki_inner(node), top) : node->count - 1;

            walk.node[level] = vmki_inner(node);
            walk.limit[level] = limit;
            walk.slot[level] = slot;
        } else {
            rank = bounded ? vmki_leaf_rank(vmki_leaf(node), top) : vmki_node_count(node);
            outcome = leaf_highest(query, vmki_leaf(node), rank, limit, start);
            if (outcome != NOT_HERE)
                return outcome == FOUND;
            for (level = 1; level < walk.height && walk.slot[level] == 0; level++)
                ;
            if (level >= walk.height)
                return false;
            walk.slot[level]--;
            bounded = false;
        }
        for (;;) {
            int slot = walk.slot[level];

            if (child_highest(&walk, level)) {
                bounded = bounded && slot == walk.slot[level];
                break;
            }
            bounded = false;
            for (level++; level < walk.height && walk.slot[level] == 0; level++)
                ;
            if (level >= walk.height)
                return false;
            walk.slot[level]--;
        }
        limit = limit_of_child(&walk, level);
        node = walk.node[level]->child[walk.slot[level]];
    }
}

/* Searches the gaps behind entries, from the last entry that starts at or below query->low up. */
static bool search_lowest(const struct vmki_tree *tree, const struct vmki_gap_query *query, vmk_addr *start)
{
    struct walk walk = {.query = query, .height = tree->height};
    struct vmki_tree_node *node = tree->root;
    uint64_t limit = VMKI_NO_KEY, bottom = query->low;
    bool bounded = true; /* still on the path to query->low */

    if (bottom > VMKI_TREE_MAX_END)
        bottom = VMKI_TREE_MAX_END;
    for (;;) {
        unsigned level = node->level, rank;
        enum outcome outcome = NOT_HERE;

        if (level) {
            walk.node[level] = vmki_inner(node);
            walk.limit[level] = limit;
            walk.slot[level] = bounded ? (int)vmki_inner_slot(vmki_inner(node), bottom) : 0;
        } else {
            rank = bounded ? vmki_leaf_rank(vmki_leaf(node), bottom) : 0;
            outcome = leaf_lowest(query, vmki_leaf(node), rank ? rank - 1 : 0, limit, start);
            if (outcome != NOT_HERE)
                return outcome == FOUND;
            level = 1;
            if (level < walk.height)
                walk.slot[level]++;
            bounded = false;
        }
        for (;;) {
            int slot;

            if (level >= walk.height)
                return false;
            slot = walk.slot[level];
            if (child_lowest(&walk, level)) {
                bounded = bounded && slot == walk.slot[level];
                break;
            }
            bounded = false;
            level++;
            if (level < walk.height)
                walk.slot[level]++;
        }
        limit = limit_of_child(&walk, level);
        node = walk.node[level]->child[walk.slot[level]];
    }
}

static bool can_be(const struct vmki_gap_query *query)
{
    return query->len > 0 && query->high > query->low && query->high - query->low >= query->len;
}

bool vmki_tree_gap_highest(const struct vmki_tree *tree, const struct vmki_gap_query *query, vmk_addr *start)
{
    if (!can_be(query))
        return false;
    if (query->high > tree->last_end && fit_highest(query, tree->last_end, UINT64_MAX, start))
        return true;
    if (!tree->root)
        return false;
    return search_highest(tree, query, start) || fit_highest(query, 0, tree->first_start, start);
}

bool vmki_tree_gap_lowest(const struct vmki_tree *tree, const struct vmki_gap_query *query, vmk_addr *start)
{
    if (!can_be(query))
        return false;
    if (tree->root && (fit_lowest(query, 0, tree->first_start, start) || search_lowest(tree, query, start)))
        return true;
    return fit_lowest(query, tree->last_end, UINT64_MAX, start);
}
