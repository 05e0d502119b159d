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

/* ---- Leaves ---- */

/* What a look at a leaf says. */
enum outcome { FOUND, NOT_HERE, NOT_BEYOND };

/* The end of the gap behind a rank; VMKI_NO_KEY behind the last entry of the tree. */
static uint64_t gap_end(const struct vmki_tree_leaf *leaf, unsigned rank, uint64_t limit)
{
    return rank + 1 < vmki_order_count(leaf->order) ? vmki_leaf_start(leaf, rank + 1) : limit;
}

/* The gaps behind the ranks below `rank`, from the highest down. */
static enum outcome leaf_highest(const struct vmki_gap_query *query, const struct vmki_tree_leaf *leaf, unsigned rank,
                                 uint64_t limit, vmk_addr *start)
{
    uint64_t end = rank > 0 ? gap_end(leaf, rank - 1, limit) : 0;

    while (rank-- > 0) {
        uint64_t from = vmki_leaf_end(leaf, rank);

        if (end <= query->low)
            return NOT_BEYOND;
        if (end != VMKI_NO_KEY && end - from >= query->len && fit_highest(query, from, end, start))
            return FOUND;
        end = vmki_leaf_start(leaf, rank);
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

/* ---- The walk ---- */

/*
 * The nodes above the one in hand, by level: the child to go on with when what is below the present one has failed, and
 * the start of the first entry behind the node.  Not initialised: only what is above the node in hand means something.
 */
struct walk {
    uint64_t len;
    unsigned height;
    uint64_t limit; /* the start of the first entry behind the node in hand */
    struct {
        const struct vmki_tree_inner *node;
        uint64_t limit;
        int slot;
    } above[VMKI_TREE_MAX_HEIGHT];
};

/* Goes down to a child; the search will go on with `next` in this node. */
static inline struct vmki_tree_node *go_down(struct walk *walk, const struct vmki_tree_inner *inner, uint64_t limit,
                                             int slot, int next)
{
    unsigned level = inner->head.level;

    walk->above[level].node = inner;
    walk->above[level].limit = limit;
    walk->above[level].slot = next;
    walk->limit = slot + 1 < inner->head.count ? inner->pivot[slot + 1] : limit;
    return inner->child[slot];
}

/* The first child from the slot on, downwards or upwards, whose gap is long enough; -1 or `count` when there is none. */
static inline int slot_below(const struct vmki_tree_inner *inner, int slot, uint64_t len)
{
    while (slot >= 0 && inner->gap[slot] < len)
        slot--;
    return slot;
}

static inline int slot_above(const struct vmki_tree_inner *inner, int slot, uint64_t len)
{
    while (slot < inner->head.count && inner->gap[slot] < len)
        slot++;
    return slot;
}

/* Goes on in the nodes of that level and above. NULL when the tree ends. */
static struct vmki_tree_node *go_on_below(struct walk *walk, unsigned level)
{
    for (; level < walk->height; level++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): written on the way down */
        const struct vmki_tree_inner *inner = walk->above[level].node;
        int slot = slot_below(inner, walk->above[level].slot, walk->len);

        if (slot >= 0)
            return go_down(walk, inner, walk->above[level].limit, slot, slot - 1);
    }
    return NULL;
}

static struct vmki_tree_node *go_on_above(struct walk *walk, unsigned level)
{
    for (; level < walk->height; level++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): written on the way down */
        const struct vmki_tree_inner *inner = walk->above[level].node;
        int slot = slot_above(inner, walk->above[level].slot, walk->len);

        if (slot < inner->head.count)
            return go_down(walk, inner, walk->above[level].limit, slot, slot + 1);
    }
    return NULL;
}

/*
 * Searches the gaps behind entries, from the last entry that starts below query->high down.  `bounded` on the path to
 * that entry; beside it whole nodes are searched.
 */
static bool search_highest(const struct vmki_tree *tree, const struct vmki_gap_query *query, vmk_addr *start)
{
    bool bounded = query->high < tree->last_end;
    struct vmki_tree_node *node = tree->root;
    uint64_t top = query->high - 1;
    struct walk walk;

    walk.len = query->len;
    walk.height = tree->height;
    walk.limit = VMKI_NO_KEY;
    while (node) {
        unsigned level = node->level;

        if (level) {
            struct vmki_tree_inner *inner = vmki_inner(node);
            int first = bounded ? (int)vmki_inner_slot(inner, top) : inner->head.count - 1;
            int slot = slot_below(inner, first, query->len);

            bounded = bounded && slot == first;
            node = slot >= 0 ? go_down(&walk, inner, walk.limit, slot, slot - 1) : go_on_below(&walk, level + 1);
        } else {
            struct vmki_tree_leaf *leaf = vmki_leaf(node);
            unsigned rank = bounded ? vmki_leaf_rank(leaf, top) : vmki_order_count(leaf->order);
            enum outcome outcome = leaf_highest(query, leaf, rank, walk.limit, start);

            if (outcome != NOT_HERE)
                return outcome == FOUND;
            bounded = false;
            node = go_on_below(&walk, 1);
        }
    }
    return false;
}

/* Searches the gaps behind entries, from the last entry that starts at or below query->low up. */
static bool search_lowest(const struct vmki_tree *tree, const struct vmki_gap_query *query, vmk_addr *start)
{
    uint64_t bottom = query->low < VMKI_TREE_MAX_END ? query->low : VMKI_TREE_MAX_END;
    bool bounded = query->low > tree->first_start;
    struct vmki_tree_node *node = tree->root;
    struct walk walk;

    walk.len = query->len;
    walk.height = tree->height;
    walk.limit = VMKI_NO_KEY;
    while (node) {
        unsigned level = node->level;

        if (level) {
            struct vmki_tree_inner *inner = vmki_inner(node);
            int first = bounded ? (int)vmki_inner_slot(inner, bottom) : 0;
            int slot = slot_above(inner, first, query->len);

            bounded = bounded && slot == first;
            node = slot < inner->head.count ? go_down(&walk, inner, walk.limit, slot, slot + 1)
                                            : go_on_above(&walk, level + 1);
        } else {
            struct vmki_tree_leaf *leaf = vmki_leaf(node);
            unsigned rank = bounded ? vmki_leaf_rank(leaf, bottom) : 0;
            enum outcome outcome = leaf_lowest(query, leaf, rank > 0 ? rank - 1 : 0, walk.limit, start);

            if (outcome != NOT_HERE)
                return outcome == FOUND;
            bounded = false;
            node = go_on_above(&walk, 1);
        }
    }
    return false;
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
