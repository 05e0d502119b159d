/* SPDX-License-Identifier: MIT */
/*
 * gap.c - gap search: the highest or lowest place of a given length.
 *
 * Candidates are visited in order of address: the space above the last entry, the gaps behind entries, the space below
 * the first.  A subtree whose largest gap is too short is passed by.  So the search goes down once to the limit and, if
 * nothing fits there, up to the next subtree with a gap that is long enough, and down into it: that gap fits, unless
 * an alignment, or the other limit, forbids it.  With an alignment every gap of the length is looked at until one fits.
 *
 * WITHOUT A LOCK a search may meet nodes of different edits.  It then finds nonsense, but it ends, since it goes down a
 * level or on to another child with each step, and it stays inside nodes: an order names slots of the leaf whatever its
 * age, and a child is of the level that its parent says.  vmki_tree_unedited says afterwards whether that was so.
 */
#include "base/base.h"
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
static inline bool clip(const struct vmki_gap_query *query, uint64_t *from, uint64_t *to)
{
    if (*from < query->low)
        *from = query->low;
    if (*to > query->high)
        *to = query->high;
    return *to > *from && *to - *from >= query->len;
}

static inline uint64_t align_mask(const struct vmki_gap_query *query)
{
    return query->align ? query->align - 1 : 0;
}

/* The highest place in [from, to). */
static inline bool fit_highest(const struct vmki_gap_query *query, uint64_t from, uint64_t to, vmk_addr *start)
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
static inline bool fit_lowest(const struct vmki_gap_query *query, uint64_t from, uint64_t to, vmk_addr *start)
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

/*
 * The nodes above the one in hand, by level, and the child of each that the walk is in.  Not initialised: only what is
 * above the node in hand means something.
 */
struct walk {
    const struct vmki_tree *tree;
    const struct vmki_gap_query *query;
    unsigned height;
    const struct vmki_tree_inner *above[VMKI_TREE_MAX_HEIGHT];
    int slot[VMKI_TREE_MAX_HEIGHT];
};

static inline uint64_t gap_of(const struct vmki_tree_inner *inner, int slot)
{
    return vmki_load_relaxed(&inner->gap[slot]);
}

static inline const struct vmki_tree_node *child_of(const struct vmki_tree_inner *inner, int slot)
{
    return vmki_load_acquire(&inner->child[slot]);
}

/* The start of the first entry behind the leaf in hand; VMKI_NO_KEY when it is the last leaf. */
static uint64_t leaf_limit(const struct walk *walk)
{
    unsigned level;

    for (level = 1; level < walk->height; level++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): written on the way down */
        const struct vmki_tree_inner *inner = walk->above[level];

        if (walk->slot[level] + 1 < inner->head.count)
            return vmki_load_relaxed(&inner->pivot[walk->slot[level] + 1]);
    }
    return VMKI_NO_KEY;
}

/* The first child before or behind the slot whose gap is long enough; -1 or `count` when there is none. */
static inline int slot_below(const struct vmki_tree_inner *inner, int slot, uint64_t len)
{
    do
        slot--;
    while (slot >= 0 && gap_of(inner, slot) < len);
    return slot;
}

static inline int slot_above(const struct vmki_tree_inner *inner, int slot, uint64_t len)
{
    do
        slot++;
    while (slot < inner->head.count && gap_of(inner, slot) < len);
    return slot;
}

/*
 * Goes on in the nodes of that level and above: beside the children that the walk is in. NULL when the tree ends. `limit`
 * becomes the start of the first entry behind that child.
 */
static const struct vmki_tree_node *go_on_below(struct walk *walk, unsigned level, uint64_t *limit)
{
    for (; level < walk->height; level++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): written on the way down */
        const struct vmki_tree_inner *inner = walk->above[level];
        int slot = slot_below(inner, walk->slot[level], walk->query->len);

        if (slot >= 0) {
            walk->slot[level] = slot;
            *limit = vmki_load_relaxed(&inner->pivot[slot + 1]);
            return child_of(inner, slot);
        }
    }
    return NULL;
}

/* The same upwards; the limit is not needed. */
static const struct vmki_tree_node *go_on_above(struct walk *walk, unsigned level)
{
    for (; level < walk->height; level++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): written on the way down */
        const struct vmki_tree_inner *inner = walk->above[level];
        int slot = slot_above(inner, walk->slot[level], walk->query->len);

        if (slot < inner->head.count) {
            walk->slot[level] = slot;
            return child_of(inner, slot);
        }
    }
    return NULL;
}

/* ---- Leaves ---- */

/* What a look at a leaf says. */
enum outcome { FOUND, NOT_HERE, NOT_BEYOND };

/* The flags of the entry that starts there, if there is one. */
static VMKI_NOINLINE uint64_t flags_at(const struct vmki_tree *tree, uint64_t start)
{
    uint64_t flags;

    return start != VMKI_NO_KEY && vmki_tree_find_flags(tree, start, &flags) ? flags : 0;
}

/* What lies above the hole behind a rank. */
static inline void note_above(const struct walk *walk, const struct vmki_tree_leaf *leaf, uint64_t order, unsigned rank,
                              uint64_t end, struct vmki_gap *gap)
{
    gap->above = end;
    gap->flags = VMKI_LIKELY(rank + 1 < vmki_order_count(order))
                     ? vmki_load_relaxed(&leaf->slot[vmki_order_slot(order, rank + 1)].flags)
                     : flags_at(walk->tree, end);
}

/* The holes behind the ranks below `rank`, from the highest down; `limit` is the start of the entry behind the leaf. */
static VMKI_INLINE enum outcome leaf_highest(const struct walk *walk, const struct vmki_tree_leaf *leaf, uint64_t order,
                                             unsigned rank, uint64_t limit, struct vmki_gap *gap)
{
    const struct vmki_gap_query *query = walk->query;
    uint64_t end = limit, len = query->len, left;

    if (VMKI_UNLIKELY(rank == 0))
        return NOT_HERE;
    if (VMKI_LIKELY(rank < vmki_order_count(order)))
        end = vmki_load_relaxed(&leaf->start[vmki_order_slot(order, rank)]);
    for (left = order << (60 - 4 * rank); rank-- > 0; left <<= 4) {
        uint64_t from = vmki_load_relaxed(&leaf->slot[left >> 60].end);

        if (end - from >= len && end != VMKI_NO_KEY && fit_highest(query, from, end, &gap->start)) {
            note_above(walk, leaf, order, rank, end, gap);
            return FOUND;
        }
        end = vmki_load_relaxed(&leaf->start[left >> 60]);
    }
    return end <= query->low ? NOT_BEYOND : NOT_HERE;
}

/* The holes behind the ranks from `rank` on. */
static inline enum outcome leaf_lowest(const struct walk *walk, const struct vmki_tree_leaf *leaf, uint64_t order,
                                       unsigned rank, struct vmki_gap *gap)
{
    const struct vmki_gap_query *query = walk->query;
    unsigned count = vmki_order_count(order);

    for (; rank < count; rank++) {
        uint64_t from = vmki_load_relaxed(&leaf->slot[vmki_order_slot(order, rank)].end);
        uint64_t end =
            rank + 1 < count ? vmki_load_relaxed(&leaf->start[vmki_order_slot(order, rank + 1)]) : leaf_limit(walk);

        if (from >= query->high)
            return NOT_BEYOND;
        if (end - from >= query->len && end != VMKI_NO_KEY && fit_lowest(query, from, end, &gap->start)) {
            note_above(walk, leaf, order, rank, end, gap);
            return FOUND;
        }
    }
    return NOT_HERE;
}

/* ---- The search ---- */

/*
 * Searches the gaps behind entries, from the last entry that starts below query->high down.  `bounded` on the path to
 * that entry; beside it whole nodes are searched.
 */
static bool search_highest(const struct vmki_tree *tree, const struct vmki_gap_query *query, struct vmki_gap *gap)
{
    bool bounded = query->high < vmki_load_relaxed(&tree->last_end);
    const struct vmki_tree_node *node = vmki_load_acquire(&tree->root);
    uint64_t top = query->high - 1, limit = VMKI_NO_KEY;
    struct walk walk;

    if (VMKI_UNLIKELY(node == NULL))
        return false;
    walk.tree = tree;
    walk.query = query;
    walk.height = node->level + 1u;
    while (node) {
        unsigned level = node->level;

        if (level) {
            const struct vmki_tree_inner *inner = vmki_inner_const(node);
            int first = bounded ? (int)vmki_inner_slot(inner, top) : inner->head.count - 1;
            int slot = slot_below(inner, first + 1, query->len);

            bounded = bounded && slot == first;
            walk.above[level] = inner;
            walk.slot[level] = slot;
            if (slot + 1 < inner->head.count)
                limit = vmki_load_relaxed(&inner->pivot[slot + 1]);
            node = VMKI_LIKELY(slot >= 0) ? child_of(inner, slot) : go_on_below(&walk, level + 1, &limit);
        } else {
            const struct vmki_tree_leaf *leaf = vmki_leaf_const(node);
            uint64_t order = vmki_load_acquire(&leaf->order);
            unsigned rank = bounded ? vmki_order_rank(leaf, order, top) : vmki_order_count(order);
            enum outcome outcome = leaf_highest(&walk, leaf, order, rank, limit, gap);

            if (VMKI_LIKELY(outcome != NOT_HERE))
                return outcome == FOUND;
            bounded = false;
            node = go_on_below(&walk, 1, &limit);
        }
    }
    return false;
}

/* Searches the gaps behind entries, from the last entry that starts at or below query->low up. */
static bool search_lowest(const struct vmki_tree *tree, const struct vmki_gap_query *query, struct vmki_gap *gap)
{
    uint64_t bottom = query->low < VMKI_TREE_MAX_END ? query->low : VMKI_TREE_MAX_END;
    bool bounded = query->low > vmki_load_relaxed(&tree->first_start);
    const struct vmki_tree_node *node = vmki_load_acquire(&tree->root);
    struct walk walk;

    if (node == NULL)
        return false;
    walk.tree = tree;
    walk.query = query;
    walk.height = node->level + 1u;
    while (node) {
        unsigned level = node->level;

        if (level) {
            const struct vmki_tree_inner *inner = vmki_inner_const(node);
            int first = bounded ? (int)vmki_inner_slot(inner, bottom) : 0;
            int slot = slot_above(inner, first - 1, query->len);

            bounded = bounded && slot == first;
            walk.above[level] = inner;
            walk.slot[level] = slot;
            node = slot < inner->head.count ? child_of(inner, slot) : go_on_above(&walk, level + 1);
        } else {
            const struct vmki_tree_leaf *leaf = vmki_leaf_const(node);
            uint64_t order = vmki_load_acquire(&leaf->order);
            unsigned rank = bounded ? vmki_order_rank(leaf, order, bottom) : 0;
            enum outcome outcome = leaf_lowest(&walk, leaf, order, rank > 0 ? rank - 1 : 0, gap);

            if (VMKI_LIKELY(outcome != NOT_HERE))
                return outcome == FOUND;
            bounded = false;
            node = go_on_above(&walk, 1);
        }
    }
    return false;
}

/* ---- Beside the entries ---- */

static bool can_be(const struct vmki_gap_query *query)
{
    return query->len > 0 && query->high > query->low && query->high - query->low >= query->len;
}

/* The flags of the first entry of a tree that has some. */
static uint64_t first_flags(const struct vmki_tree_node *node)
{
    const struct vmki_tree_leaf *leaf;

    while (node->level)
        node = child_of(vmki_inner_const(node), 0);
    leaf = vmki_leaf_const(node);
    return vmki_load_relaxed(&leaf->slot[vmki_order_slot(vmki_load_acquire(&leaf->order), 0)].flags);
}

/* Below the first entry. */
static inline bool found_below(const struct vmki_tree *tree, const struct vmki_gap_query *query, struct vmki_gap *gap,
                               bool (*fit)(const struct vmki_gap_query *query, uint64_t from, uint64_t to,
                                           vmk_addr *start))
{
    const struct vmki_tree_node *root = vmki_load_acquire(&tree->root);

    gap->above = vmki_load_relaxed(&tree->first_start);
    if (root == NULL || !fit(query, 0, gap->above, &gap->start))
        return false;
    gap->flags = first_flags(root);
    return true;
}

/* Above the last entry. */
static inline bool found_above(const struct vmki_tree *tree, const struct vmki_gap_query *query, struct vmki_gap *gap,
                               bool (*fit)(const struct vmki_gap_query *query, uint64_t from, uint64_t to,
                                           vmk_addr *start))
{
    gap->above = VMKI_NO_KEY;
    gap->flags = 0;
    return fit(query, vmki_load_relaxed(&tree->last_end), UINT64_MAX, &gap->start);
}

bool vmki_tree_gap_highest(const struct vmki_tree *tree, const struct vmki_gap_query *query, struct vmki_gap *gap)
{
    return can_be(query) && (found_above(tree, query, gap, fit_highest) || search_highest(tree, query, gap) ||
                             found_below(tree, query, gap, fit_highest));
}

bool vmki_tree_gap_lowest(const struct vmki_tree *tree, const struct vmki_gap_query *query, struct vmki_gap *gap)
{
    return can_be(query) && (found_below(tree, query, gap, fit_lowest) || search_lowest(tree, query, gap) ||
                             found_above(tree, query, gap, fit_lowest));
}
