/* SPDX-License-Identifier: MIT */
/*
 * gap.c - gap search: the highest or lowest place of a given length.
 *
 * Candidates are visited in order of address: the space above the last entry, the gaps behind entries, the space below
 * the first.  A subtree whose largest gap is too short is passed by.  So the search goes down once to the limit and, if
 * nothing fits there, up to the next subtree with a gap that is long enough, and down into it: that gap fits, unless
 * the other limit forbids it.
 *
 * In a leaf the classes of all holes are compared at once, and the first candidate is a bit's number: which hole it will be
 * is a guess that no processor gets right, so it is nothing to branch on.
 *
 * WITHOUT A LOCK a search may meet nodes of different edits.  It then finds nonsense, but it ends, since it goes down a
 * level or on to another child with each step, and it stays inside nodes: an order names slots of the leaf whatever its
 * age, and a child is of the level that its parent says.  vmki_tree_unedited says afterwards whether that was so.
 */
#include "base/base.h"
#include "tree/highest.h"

#define TWO(lack)       (lack), (lack)
#define FOUR(lack)      TWO(lack), TWO(lack)
#define EIGHT(lack)     FOUR(lack), FOUR(lack)
#define SIXTEEN(lack)   EIGHT(lack), EIGHT(lack)
#define THIRTYTWO(lack) SIXTEEN(lack), SIXTEEN(lack)
const uint8_t vmki_hole_lack[VMKI_HOLE_CLASSED + 1] = {
    0, 15, 14, 13, 12, 11, 10, 9, 8, 7, TWO(6), TWO(5), TWO(4), 3, 2, TWO(2), FOUR(2), EIGHT(2), THIRTYTWO(2), 1};

uint64_t vmki_leaf_gap(const struct vmki_tree_leaf *leaf, uint64_t limit)
{
    uint64_t order = leaf->order, end, largest = 0;
    unsigned left = vmki_order_count(order), slot;

    order >>= 4;
    for (end = leaf->slot[order & 15].end; --left > 0; end = leaf->slot[slot].end) {
        order >>= 4;
        slot = (unsigned)(order & 15);
        largest = vmki_max(largest, leaf->start[slot] - end);
    }
    return limit == VMKI_NO_KEY ? largest : vmki_max(largest, limit - end);
}

uint64_t vmki_leaf_class_holes(struct vmki_tree_leaf *leaf, uint64_t limit)
{
    unsigned last = vmki_order_count(leaf->order) - 1, i;
    uint64_t largest = limit == VMKI_NO_KEY ? 0 : limit - leaf->slot[last].end;
    uint64_t holes = vmki_hole_class(largest);

    for (i = last; i-- > 0;) {
        uint64_t gap = leaf->start[i + 1] - leaf->slot[i].end;

        largest = vmki_max(largest, gap);
        holes = holes << 4 | vmki_hole_class(gap);
    }
    leaf->holes = holes << 4;
    return largest;
}

uint64_t vmki_inner_gap(const struct vmki_tree_inner *inner)
{
    uint64_t largest = 0;
    unsigned i;

    for (i = 0; i < inner->head.count; i++)
        largest = vmki_max(largest, inner->gap[i]);
    return largest;
}

/* What is looked for. Only inlined functions take it, so that it lies in registers. */
struct want {
    uint64_t low, high, len;
    uint64_t classes; /* vmki_hole_classes() of the length */
};

/* ---- The walk ---- */

/*
 * The nodes above the one in hand, by level, and the child of each that the walk is in.  Not initialised: only what is above
 * the node in hand means something.
 */
struct walk {
    const struct vmki_tree *tree;
    uint64_t limit; /* start of the first entry behind the node in hand; not on the way up */
    unsigned height;
    bool is_whole; /* else only tree and limit are set: the way was not noted */
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

/* Goes on in the nodes of that level and above: beside the children that the walk is in. NULL when the tree ends. */
static const struct vmki_tree_node *go_on_below(struct walk *walk, unsigned level, uint64_t len)
{
    for (; level < walk->height; level++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): written on the way down */
        const struct vmki_tree_inner *inner = walk->above[level];
        int slot = slot_below(inner, walk->slot[level], len);

        if (slot >= 0) {
            walk->slot[level] = slot;
            walk->limit = vmki_load_relaxed(&inner->pivot[slot + 1]);
            return child_of(inner, slot);
        }
    }
    return NULL;
}

/* The same upwards. */
static const struct vmki_tree_node *go_on_above(struct walk *walk, unsigned level, uint64_t len)
{
    for (; level < walk->height; level++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): written on the way down */
        const struct vmki_tree_inner *inner = walk->above[level];
        int slot = slot_above(inner, walk->slot[level], len);

        if (slot < inner->head.count) {
            walk->slot[level] = slot;
            return child_of(inner, slot);
        }
    }
    return NULL;
}

/* What a look at a leaf says. */
enum outcome { FOUND, NOT_HERE, NOT_BEYOND };

/* The flags of the entry that starts there, if there is one. */
static VMKI_NOINLINE uint64_t flags_at(const struct vmki_tree *tree, uint64_t start)
{
    uint64_t flags;

    return start != VMKI_NO_KEY && vmki_tree_find_flags(tree, start, &flags) ? flags : 0;
}

/* The flags of the entry in front, of a leaf that has some. */
static inline uint64_t front_flags(const struct vmki_tree_node *node)
{
    const struct vmki_tree_leaf *leaf = vmki_leaf_const(node);

    return vmki_load_relaxed(&leaf->slot[vmki_order_slot(vmki_load_acquire(&leaf->order), 0)].flags);
}

/* The flags of the first entry of a tree that has some. */
static uint64_t first_flags(const struct vmki_tree_node *node)
{
    while (node->level)
        node = child_of(vmki_inner_const(node), 0);
    return front_flags(node);
}

/*
 * ---- Leaves ----
 *
 * Ranks go by the place of their bits in a leaf's order: `at`.
 */

static inline const uint64_t *start_at(const struct vmki_tree_leaf *leaf, uint64_t order, unsigned at)
{
    return &leaf->start[order >> at & 15];
}

static inline uint64_t end_at(const struct vmki_tree_leaf *leaf, uint64_t order, unsigned at)
{
    return vmki_load_relaxed(&leaf->slot[order >> at & 15].end);
}

/* What lies above the hole behind a rank: the entry that starts at `next`, or, behind all ranks, at the limit. */
static VMKI_INLINE void note_above(const struct walk *walk, const struct vmki_tree_leaf *leaf, uint64_t order,
                                   unsigned at, uint64_t next, struct vmki_gap *gap)
{
    gap->above = next;
    if (VMKI_LIKELY(at < 4 * vmki_order_count(order)))
        gap->flags = vmki_load_relaxed(&leaf->slot[order >> at >> 4 & 15].flags);
    /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): written on the way down */
    else if (walk->is_whole && walk->height > 1 && walk->slot[1] + 1 < walk->above[1]->head.count)
        gap->flags = front_flags(child_of(walk->above[1], walk->slot[1] + 1));
    else
        gap->flags = flags_at(walk->tree, next);
}

/*
 * The highest place in one of the candidates, a bit for each.  Behind the ranks below `last` holes end where the next entry
 * starts; the one behind `last` ends at `end`, where the entry above it starts at `above`.
 */
static VMKI_INLINE bool highest_of(const struct walk *walk, const struct want *want, const struct vmki_tree_leaf *leaf,
                                   uint64_t order, uint64_t candidates, unsigned last, uint64_t end, uint64_t above,
                                   struct vmki_gap *gap)
{
    while (candidates != 0) {
        unsigned at = 63u ^ (unsigned)__builtin_clzll(candidates);
        uint64_t next = vmki_load_relaxed(start_at(leaf, order >> 4, at)), to = at == last ? end : next;
        uint64_t from = vmki_max(end_at(leaf, order, at), want->low);

        if (VMKI_LIKELY(to >= from + want->len)) {
            gap->start = to - want->len;
            note_above(walk, leaf, order, at, at == last ? above : next, gap);
            return true;
        }
        candidates -= UINT64_C(1) << at;
    }
    return false;
}

/* Whether nothing below the leaf can lie above the lower limit. */
static inline enum outcome not_in(const struct vmki_tree_leaf *leaf, uint64_t order, const struct want *want)
{
    return vmki_load_relaxed(start_at(leaf, order, 4)) <= want->low ? NOT_BEYOND : NOT_HERE;
}

/*
 * The holes of a leaf whose entries are all below want->high. By the node above one is long enough: where none is found, the lower
 * limit is in it, and nothing further down is above that.
 */
static VMKI_INLINE bool leaf_highest(const struct walk *walk, const struct want *want,
                                     const struct vmki_tree_leaf *leaf, struct vmki_gap *gap)
{
    uint64_t order = vmki_load_acquire(&leaf->order);
    uint64_t candidates = vmki_holes_from(vmki_load_relaxed(&leaf->holes), want->classes);
    unsigned last = 4 * vmki_order_count(order);

    if (VMKI_UNLIKELY(want->classes == 0)) /* that of the free ranks */
        candidates &= (UINT64_C(16) << last) - 1;
    return highest_of(walk, want, leaf, order, candidates, last, walk->limit, walk->limit, gap);
}

/* The same where want->high is in or above that leaf: the hole in which it is, if it is in one, counts up to there. */
static VMKI_INLINE enum outcome leaf_highest_bounded(const struct walk *walk, const struct want *want,
                                                     const struct vmki_tree_leaf *leaf, struct vmki_gap *gap)
{
    uint64_t order = vmki_load_acquire(&leaf->order);
    unsigned last = 4 * vmki_order_rank(leaf, order, want->high - 1);
    uint64_t candidates = vmki_holes_from(vmki_load_relaxed(&leaf->holes), want->classes) & ~(~UINT64_C(0) << last);
    uint64_t above = vmki_load_relaxed(start_at(leaf, order >> 4, last)), end;

    if (VMKI_UNLIKELY(last == 0))
        return NOT_HERE;
    above = last < 4 * vmki_order_count(order) ? above : walk->limit;
    end = vmki_min(above, want->high);
    candidates |= (end >= end_at(leaf, order, last) + want->len ? UINT64_C(1) : 0) << last;
    return highest_of(walk, want, leaf, order, candidates, last, end, above, gap) ? FOUND : not_in(leaf, order, want);
}

/* The holes behind the ranks from `rank` on. */
static inline enum outcome leaf_lowest(const struct walk *walk, const struct want *want,
                                       const struct vmki_tree_leaf *leaf, uint64_t order, unsigned rank,
                                       struct vmki_gap *gap)
{
    uint64_t holes = vmki_load_relaxed(&leaf->holes);
    uint64_t candidates = vmki_holes_from(holes, want->classes) >> (4 * rank + 4) << (4 * rank + 4);
    unsigned last = 4 * vmki_order_count(order);

    for (; candidates != 0; candidates &= candidates - 1) {
        unsigned at = (unsigned)__builtin_ctzll(candidates);
        uint64_t from, next, end;

        if (at > last)
            break;
        from = vmki_max(end_at(leaf, order, at), want->low);
        next = at < last ? vmki_load_relaxed(start_at(leaf, order >> 4, at)) : leaf_limit(walk);
        end = vmki_min(next, want->high);
        if (next != VMKI_NO_KEY && end > from && end - from >= want->len) {
            gap->start = from;
            note_above(walk, leaf, order, at, next, gap);
            return FOUND;
        }
        if (from >= want->high)
            return NOT_BEYOND;
    }
    return NOT_HERE;
}

/* ---- The short way ---- */

/* The space below the first entry. */
static inline struct vmki_highest highest_below_first(const struct vmki_tree *tree, const struct vmki_tree_node *root,
                                                      uint64_t len)
{
    uint64_t end = vmki_load_relaxed(&tree->first_start);

    if (end < len)
        return VMKI_NOWHERE;
    return (struct vmki_highest){end - len, first_flags(root)};
}

struct vmki_highest vmki_tree_highest_of_all(const struct vmki_tree *tree, uint64_t len)
{
    const struct vmki_tree_node *root = vmki_load_acquire(&tree->root), *node = root;
    struct vmki_highest place;
    unsigned level;

    if (VMKI_UNLIKELY(root == NULL))
        return VMKI_NOWHERE;
    for (level = node->level; level > 0; level--) {
        const struct vmki_tree_inner *inner = vmki_inner_const(node);
        const uint64_t *gap = &inner->gap[inner->head.count];

        do
            if (gap-- == inner->gap) /* in the root, and there is none elsewhere */
                return highest_below_first(tree, root, len);
        while (vmki_load_relaxed(gap) < len);
        node = vmki_load_acquire(&inner->child[gap - inner->gap]);
    }
    return vmki_highest_in(node, false, len, &place) ? place : VMKI_NOWHERE;
}

/* A leaf below an inner node: that of the pivot there. */
struct below {
    const struct vmki_tree_inner *parent; /* NULL: the leaf is the root */
    const uint64_t *pivot;
};

static inline uint64_t gap_below(const struct below *at)
{
    return vmki_load_relaxed(&at->parent->gap[at->pivot - at->parent->pivot]);
}

static inline const struct vmki_tree_node *child_below(const struct below *at)
{
    return vmki_load_acquire(&at->parent->child[at->pivot - at->parent->pivot]);
}

/* The highest place in the candidates of a leaf: the hole behind the rank at `last` counts up to `end`. */
static VMKI_INLINE struct vmki_highest highest_up_to(struct below at, const struct vmki_tree_leaf *leaf, uint64_t order,
                                                     uint64_t candidates, unsigned last, uint64_t end, uint64_t len)
{
    for (; candidates != 0; candidates &= candidates - 1) {
        unsigned place = 60u ^ (unsigned)__builtin_ctzll(candidates);
        uint64_t slot = order >> place, next = slot >> 4 & 15, to = vmki_load_relaxed(&leaf->start[next]);

        to = place == last ? end : to;
        if (VMKI_UNLIKELY(to - vmki_load_relaxed(&leaf->slot[slot & 15].end) < len))
            continue;
        if (VMKI_LIKELY(place != 4 * vmki_order_count(order)))
            return (struct vmki_highest){to - len, vmki_load_relaxed(&leaf->slot[next].flags)};
        if (at.parent == NULL || ++at.pivot == &at.parent->pivot[at.parent->head.count])
            break;
        return (struct vmki_highest){to - len, front_flags(child_below(&at))};
    }
    return VMKI_NOWHERE;
}

/* The next leaf below that one, in the same inner node, with a gap that is long enough. */
static VMKI_INLINE struct vmki_highest highest_beside(struct below at, uint64_t len)
{
    const struct vmki_tree_leaf *leaf;
    uint64_t order, end;

    do {
        if (at.parent == NULL || at.pivot == at.parent->pivot)
            return VMKI_NOWHERE;
        end = vmki_load_relaxed(at.pivot);
        at.pivot--;
    } while (gap_below(&at) < len);
    leaf = vmki_leaf_const(child_below(&at));
    order = vmki_load_acquire(&leaf->order);
    return highest_up_to(at, leaf, order, vmki_holes_down(vmki_load_relaxed(&leaf->holes), len),
                         4 * vmki_order_count(order), end, len);
}

struct vmki_highest vmki_tree_highest_below(const struct vmki_tree_node *root, vmk_addr high, uint64_t len)
{
    const struct vmki_tree_node *node = root;
    struct below at = {.parent = NULL};
    const struct vmki_tree_leaf *leaf;
    unsigned height = root->level, level, last;
    uint64_t order, candidates, fits;

    if (VMKI_UNLIKELY(len - 1 >= high)) /* nor is a length of 0 for here */
        return VMKI_NOWHERE;
    for (level = height; level > 0; level--) {
        at.parent = vmki_inner_const(node);
        at.pivot = vmki_inner_pivot(at.parent, high - 1);
        if (VMKI_UNLIKELY(gap_below(&at) < len))
            return level == 1 ? highest_beside(at, len) : VMKI_NOWHERE;
        node = child_below(&at);
    }
    if (height >= VMKI_LARGE_LEVEL)
        vmki_fetch_behind_head(node);
    leaf = vmki_leaf_const(node);
    order = vmki_load_acquire(&leaf->order);
    last = 4 * vmki_order_rank(leaf, order, high - 1);
    if (VMKI_UNLIKELY(last == 0))
        return VMKI_NOWHERE;
    fits = high >= end_at(leaf, order, last) + len;
    vmki_opaque(fits); /* a guess */
    candidates = vmki_holes_down(vmki_load_relaxed(&leaf->holes), len) & (~UINT64_C(0) << (-last & 63));
    candidates |= fits << (60 - last);
    return candidates != 0 ? highest_up_to(at, leaf, order, candidates, last, high, len) : highest_beside(at, len);
}

/* ---- The search ---- */

static VMKI_INLINE bool begin(struct walk *walk, struct want *want, const struct vmki_tree *tree,
                              const struct vmki_tree_node *root)
{
    if (VMKI_UNLIKELY(root == NULL || want->len >= VMKI_TREE_MAX_END)) /* no hole is as long: sums do not wrap */
        return false;
    want->classes = vmki_hole_classes(vmki_hole_class(want->len));
    walk->tree = tree;
    walk->limit = want->high; /* for the highest: what is above the last entry has been looked at */
    walk->height = root->level + 1u;
    walk->is_whole = true;
    return true;
}

/* From a node whose entries are all below want->high down to the highest leaf with a long hole. There is one. */
static VMKI_INLINE const struct vmki_tree_node *go_down_highest(struct walk *walk, const struct vmki_tree_node *node,
                                                                uint64_t len)
{
    unsigned level;

    while ((level = node->level) != 0) {
        const struct vmki_tree_inner *inner = vmki_inner_const(node);
        int slot = inner->head.count - 1;

        if (VMKI_UNLIKELY(gap_of(inner, slot) < len)) {
            slot = slot_below(inner, slot, len);
            if (VMKI_UNLIKELY(slot < 0)) /* the tree was edited */
                return NULL;
            walk->limit = vmki_load_relaxed(&inner->pivot[slot + 1]);
        }
        walk->above[level] = inner;
        walk->slot[level] = slot;
        node = child_of(inner, slot);
    }
    return node;
}

/*
 * To the leaf of the last entry that starts below want->high; or, where no hole that is long enough is above it, to a node
 * beside the way there.
 */
static VMKI_INLINE const struct vmki_tree_node *go_down_bounded(struct walk *walk, const struct vmki_tree_node *node,
                                                                const struct want *want, bool *is_beside)
{
    unsigned level;

    *is_beside = false;
    for (level = node->level; level > 0; level--) {
        const struct vmki_tree_inner *inner = vmki_inner_const(node);
        int slot = (int)vmki_inner_slot(inner, want->high - 1);

        walk->above[level] = inner;
        walk->slot[level] = slot;
        if (VMKI_UNLIKELY(gap_of(inner, slot) < want->len)) {
            *is_beside = true;
            return go_on_below(walk, level, want->len);
        }
        if (slot + 1 < inner->head.count)
            walk->limit = vmki_load_relaxed(&inner->pivot[slot + 1]);
        node = child_of(inner, slot);
    }
    if (walk->height > VMKI_LARGE_LEVEL)
        vmki_fetch_behind_head(node);
    return node;
}

/*
 * The highest hole of all, where nothing is above want->high: the short way, which notes nothing of where it went.
 */
static VMKI_INLINE bool search_top(const struct vmki_tree *tree, struct want *want, struct vmki_gap *gap)
{
    const struct vmki_tree_node *node = vmki_load_acquire(&tree->root);
    struct walk walk;

    if (!begin(&walk, want, tree, node))
        return false;
    walk.is_whole = false;
    walk.above[1] = NULL; /* not looked at; a compiler may not see it */
    walk.slot[1] = 0;
    while (node->level != 0) {
        const struct vmki_tree_inner *inner = vmki_inner_const(node);
        int slot = inner->head.count - 1;

        if (VMKI_UNLIKELY(gap_of(inner, slot) < want->len)) {
            slot = slot_below(inner, slot, want->len);
            if (slot < 0) /* in the root, and there are none elsewhere */
                return false;
            walk.limit = vmki_load_relaxed(&inner->pivot[slot + 1]);
        }
        node = child_of(inner, slot);
    }
    return leaf_highest(&walk, want, vmki_leaf_const(node), gap);
}

/* Searches the gaps behind entries, from the last entry that starts below want->high down. */
static VMKI_INLINE bool search_highest(const struct vmki_tree *tree, struct want *want, struct vmki_gap *gap)
{
    const struct vmki_tree_node *node = vmki_load_acquire(&tree->root);
    enum outcome outcome;
    struct walk walk;
    bool is_beside;

    if (!begin(&walk, want, tree, node))
        return false;
    node = go_down_bounded(&walk, node, want, &is_beside);
    if (!is_beside) {
        outcome = leaf_highest_bounded(&walk, want, vmki_leaf_const(node), gap);
        if (outcome != NOT_HERE)
            return outcome == FOUND;
        node = go_on_below(&walk, 1, want->len);
    }
    if (node != NULL)
        node = go_down_highest(&walk, node, want->len);
    return node != NULL && leaf_highest(&walk, want, vmki_leaf_const(node), gap);
}

/* Searches the gaps behind entries, from the last entry that starts at or below want->low up. */
static VMKI_INLINE bool search_lowest(const struct vmki_tree *tree, struct want *want, struct vmki_gap *gap)
{
    uint64_t bottom = vmki_min(want->low, VMKI_TREE_MAX_END);
    bool bounded = want->low > vmki_load_relaxed(&tree->first_start);
    const struct vmki_tree_node *node = vmki_load_acquire(&tree->root);
    struct walk walk;

    if (!begin(&walk, want, tree, node))
        return false;
    while (node) {
        unsigned level = node->level;

        if (level) {
            const struct vmki_tree_inner *inner = vmki_inner_const(node);
            int first = bounded ? (int)vmki_inner_slot(inner, bottom) : 0;
            int slot = slot_above(inner, first - 1, want->len);

            bounded = bounded && slot == first;
            walk.above[level] = inner;
            walk.slot[level] = slot;
            node = slot < inner->head.count ? child_of(inner, slot) : go_on_above(&walk, level + 1, want->len);
        } else {
            const struct vmki_tree_leaf *leaf = vmki_leaf_const(node);
            uint64_t order = vmki_load_acquire(&leaf->order);
            /* Bounded there is one, by the pivots; beside an edit perhaps not, and then all ranks will do. */
            unsigned rank = bounded ? vmki_order_rank(leaf, order, bottom) - 1 : 0;
            enum outcome outcome = leaf_lowest(&walk, want, leaf, order, rank, gap);

            if (VMKI_LIKELY(outcome != NOT_HERE))
                return outcome == FOUND;
            bounded = false;
            node = go_on_above(&walk, 1, want->len);
        }
    }
    return false;
}

/* ---- Beside the entries ---- */

static inline bool can_be(uint64_t low, uint64_t high, uint64_t len)
{
    return len - 1 < high - vmki_min(low, high);
}

/* In the space below the first entry, of a tree that has some, from want->low to `*end`; that is lowered to the entry. */
static inline bool fits_below(const struct vmki_tree *tree, const struct want *want, uint64_t *end,
                              struct vmki_gap *gap)
{
    const struct vmki_tree_node *root = vmki_load_acquire(&tree->root);

    gap->above = vmki_load_relaxed(&tree->first_start);
    *end = vmki_min(gap->above, want->high);
    if (root == NULL || *end - vmki_min(*end, want->low) < want->len)
        return false;
    gap->flags = first_flags(root);
    return true;
}

static inline bool found_at(struct vmki_gap *gap, vmk_addr start)
{
    gap->start = start;
    return true;
}

static inline bool found_above_all(struct vmki_gap *gap, vmk_addr start)
{
    *gap = (struct vmki_gap){.start = start, .above = VMKI_NO_KEY};
    return true;
}

/* In the holes and below them. */
static VMKI_NOINLINE bool highest_below(const struct vmki_tree *tree, vmk_addr low, vmk_addr high, uint64_t len,
                                        struct vmki_gap *gap)
{
    struct want want = {.low = low, .high = high, .len = len};
    uint64_t end;

    if (VMKI_LIKELY(search_highest(tree, &want, gap)))
        return true;
    return fits_below(tree, &want, &end, gap) && found_at(gap, end - len);
}

/* The same where no entry is above the limit. */
static VMKI_NOINLINE bool highest_below_all(const struct vmki_tree *tree, vmk_addr low, vmk_addr high, uint64_t len,
                                            struct vmki_gap *gap)
{
    struct want want = {.low = low, .high = high, .len = len};
    uint64_t end;

    if (VMKI_LIKELY(search_top(tree, &want, gap)))
        return true;
    return fits_below(tree, &want, &end, gap) && found_at(gap, end - len);
}

bool vmki_tree_gap_highest(const struct vmki_tree *tree, vmk_addr low, vmk_addr high, uint64_t len,
                           struct vmki_gap *gap)
{
    uint64_t last_end = vmki_load_relaxed(&tree->last_end);

    if (VMKI_UNLIKELY(!can_be(low, high, len)))
        return false;
    if (last_end > high)
        return highest_below(tree, low, high, len, gap);
    if (last_end > high - len)
        return highest_below_all(tree, low, high, len, gap);
    return found_above_all(gap, high - len);
}

bool vmki_tree_gap_lowest(const struct vmki_tree *tree, vmk_addr low, vmk_addr high, uint64_t len, struct vmki_gap *gap)
{
    struct want want = {.low = low, .high = high, .len = len};
    uint64_t end, last_end;

    if (VMKI_UNLIKELY(!can_be(low, high, len)))
        return false;
    if (fits_below(tree, &want, &end, gap))
        return found_at(gap, low);
    if (search_lowest(tree, &want, gap))
        return true;
    last_end = vmki_max(vmki_load_relaxed(&tree->last_end), low);
    return last_end <= high - len && found_above_all(gap, last_end);
}
