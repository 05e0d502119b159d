/* SPDX-License-Identifier: MIT */
/*
 * node.h - what a node of the tree looks like, and the searches inside one.  Only src/tree includes this.
 *
 * Every node is VMKI_NODE_SIZE bytes.  Leaves are level 0.
 *
 *   inner   pivot[i] is the start of the first entry below child[i], exactly, whenever no edit is under way;
 *           gap[i] the largest gap that begins at an entry below child[i].  Unused pivots are VMKI_NO_KEY.
 *           Its shape never changes once it is published: count and which child holds which entries are fixed, so a
 *           reader may keep using a superseded node.  In place change only: a child pointer (to a copy of that child),
 *           pivots, gaps.
 *
 *   leaf    entries lie in slots in no order; `order` lists the slots by ascending start, the free slots after them:
 *
 *               order:   [slot of rank 14] ... [slot of rank 1] [slot of rank 0] [count]        4 bits each
 *
 *           A splice that finds room writes free slots, where no reader looks, then stores `order`: one word, so a
 *           reader sees the leaf before or after, also one that interrupts the writer.  Free slots have the start
 *           VMKI_NO_KEY, so that a search need not ask how many there are.
 *
 *           `holes` has for each rank, in the same bits as `order`, the class of the gap of its entry, so that a search for a
 *           gap compares all of a leaf's at once. Gaps as long as what is looked for have its class or a higher one; the
 *           other way round that need not be so. The last entry of the tree, and ranks without an entry, have class 0.
 *
 * WHAT A READER MAY MEET, and the invariants it relies on
 *   - A pivot may lag: it is at most the first start below it and at least the last end before it, always.  (Lowered
 *     before the first entry moves down, raised after it moved up.)
 *   - A slot that was freed may be used again, and single words of an entry change in place.  `version` becomes odd
 *     before an edit's first store to the leaf and even after its last.  What a reader took from a leaf while version was
 *     the same even number is the leaf between two edits.
 *   - Between the stores of one edit a free slot's start may still be, or be already, an address, so a search over all
 *     slots finds too many.  A reader that meets an odd version goes along `order` instead; what it took holds if version
 *     and order were the same before and after.  It tries again only when the writer has moved on meanwhile: never if it
 *     interrupts the writer.
 *   - A leaf that has left the tree stays readable until its readers are gone, as it was.  Its version then says that it
 *     is dead: set after its successor is published and before the memory of any entry's item is used again.  So who
 *     looks into the item of an entry (vmki_tree_holds) finds another leaf when it goes down once more.
 *
 * THE GAP of an entry is what lies between its end and the next entry's start, in whichever leaf; the last entry of
 * the tree has none (the space above it, and that below the first entry, are compared by themselves).
 *
 *      leaf A                          leaf B
 *      [---a0---]..gap..[---a1---]..gap..[---b0---]      gap(A) is the larger of A's two, the second reaches to
 *      ^pivot of A                       ^pivot of B     B's pivot; so B's first start belongs to A's gap too
 */
#ifndef VMKI_NODE_H
#define VMKI_NODE_H

#include "base/atomic.h"
#include "base/base.h"
#include "base/search.h"
#include "tree/tree.h"

enum {
    VMKI_NODE_SIZE = 512,
    VMKI_LEAF_MAX = 15,
    VMKI_INNER_MAX = 21,
    /* A node with this many or fewer is merged with a sibling when both fit into twice as many. */
    VMKI_LEAF_LOW = 6,
    VMKI_INNER_LOW = 8,
};

#define VMKI_NO_KEY UINT64_MAX

/* The highest bit of a leaf's version: it has left the tree. Counting must not run into it (vmki_version_after). */
#define VMKI_VERSION_DEAD UINT32_C(0x80000000)

/* `order` of an empty leaf: slot i has rank i. */
#define VMKI_ORDER_EMPTY UINT64_C(0xedcba98765432100)

struct vmki_tree_node {
    uint32_t version; /* of a leaf: odd while it is being edited; and VMKI_VERSION_DEAD */
    uint8_t level;
    uint8_t count; /* of an inner node */
    uint16_t mark; /* VMKI_TREE_MARK: the tree stores nothing there */
};

struct vmki_tree_inner {
    struct vmki_tree_node head;
    uint64_t pivot[VMKI_INNER_MAX];
    struct vmki_tree_node *child[VMKI_INNER_MAX];
    uint64_t gap[VMKI_INNER_MAX];
};

struct vmki_tree_slot {
    uint64_t end;
    uint64_t flags;
    void *item;
};

struct vmki_tree_leaf {
    struct vmki_tree_node head;
    uint64_t order;
    uint64_t start[VMKI_LEAF_MAX];
    struct vmki_tree_slot slot[VMKI_LEAF_MAX];
    uint64_t holes; /* from here on vmki_tree_tail, when retired; in an inner node that lies over gaps */
    uint64_t unused;
};

/* A child, as its parent knows it. */
struct vmki_tree_child {
    struct vmki_tree_node *node;
    uint64_t pivot;
    uint64_t gap;
};

_Static_assert(offsetof(struct vmki_tree_node, mark) == VMKI_TREE_MARK, "the mark is where the memory looks for it");
_Static_assert(sizeof(void *) == 8, "nodes are laid out for 64-bit pointers");
_Static_assert(sizeof(struct vmki_tree_inner) == VMKI_NODE_SIZE, "inner nodes fill their lines");
_Static_assert(sizeof(struct vmki_tree_leaf) == VMKI_NODE_SIZE, "leaves fill their lines");
_Static_assert(offsetof(struct vmki_tree_leaf, holes) + sizeof(struct vmki_tree_tail) <= VMKI_NODE_SIZE &&
                   offsetof(struct vmki_tree_inner, gap) + sizeof(struct vmki_tree_tail) <= VMKI_NODE_SIZE,
               "lookups look at no part of the tail");

static inline struct vmki_tree_leaf *vmki_leaf(struct vmki_tree_node *node)
{
    return (struct vmki_tree_leaf *)(void *)node;
}

static inline const struct vmki_tree_leaf *vmki_leaf_const(const struct vmki_tree_node *node)
{
    return (const struct vmki_tree_leaf *)(const void *)node;
}

static inline const struct vmki_tree_inner *vmki_inner_const(const struct vmki_tree_node *node)
{
    return (const struct vmki_tree_inner *)(const void *)node;
}

static inline struct vmki_tree_inner *vmki_inner(struct vmki_tree_node *node)
{
    return (struct vmki_tree_inner *)(void *)node;
}

/* ---- The order of a leaf ---- */

static inline unsigned vmki_order_count(uint64_t order)
{
    return (unsigned)(order & 15);
}

static inline unsigned vmki_order_slot(uint64_t order, unsigned rank)
{
    return (unsigned)(order >> (4 * rank + 4)) & 15;
}

/* The lowest places of four bits, 1 to 16 of them; what is above these; and places that many higher, if anything is there. */
static inline uint64_t vmki_order_low(uint64_t order, unsigned nr)
{
    return order & ~UINT64_C(0) >> ((0 - 4 * nr) & 63);
}

static inline uint64_t vmki_order_high(uint64_t order, unsigned nr)
{
    return order >> (4 * nr - 4) >> 4;
}

static inline uint64_t vmki_order_up(uint64_t places, unsigned nr)
{
    return places << (4 * nr & 63);
}

/*
 * Takes the ranks from..to-1 out and puts the first nr_new free slots in their place.  The slots taken out are free
 * afterwards, the first to be used next.
 */
static inline uint64_t vmki_order_splice(uint64_t order, unsigned from, unsigned to, unsigned nr_new)
{
    unsigned count = vmki_order_count(order), now = count - (to - from) + nr_new;
    uint64_t used = vmki_order_low(order, count + 1), spare = order ^ used;
    uint64_t below = vmki_order_low(order, from + 1), gone = vmki_order_low(order, to + 1) ^ below;
    uint64_t come = vmki_order_low(order, count + 1 + nr_new) ^ used;

    return (below | vmki_order_up(vmki_order_high(come, count + 1), from + 1) |
            vmki_order_up(vmki_order_high(used, to + 1), from + nr_new + 1) |
            vmki_order_up(vmki_order_high(gone, from + 1), now + 1) | (spare ^ come)) +
           now - count;
}

/*
 * ---- The classes of a leaf's holes ----
 *
 * Four bits that grow with the length, in units of 4 KiB: one class for each length up to nine units, where most holes and most
 * requests are, then wider ones; the last for 64 units and more.
 */

enum { VMKI_HOLE_UNIT_SHIFT = 12, VMKI_HOLE_CLASS_MAX = 15 };

/*
 * 16 less the class of a length in units, of the last one for longer ones; and 0 for none, which no class makes 16.  A table,
 * since to look for the highest bit takes longer.
 */
enum { VMKI_HOLE_CLASSED = 64 };
extern const uint8_t vmki_hole_lack[VMKI_HOLE_CLASSED + 1] __attribute__((visibility("hidden")));

static inline uint64_t vmki_hole_lack_of(uint64_t length)
{
    return vmki_hole_lack[vmki_min(length >> VMKI_HOLE_UNIT_SHIFT, VMKI_HOLE_CLASSED)];
}

static inline uint64_t vmki_hole_class(uint64_t length)
{
    return (0 - vmki_hole_lack_of(length)) & 15;
}

/* A class in each byte, for the comparison below. */
static inline uint64_t vmki_hole_classes(uint64_t class)
{
    return class * UINT64_C(0x0101010101010101);
}

/* The lowest bit of each rank in a leaf's holes that has that class or a higher one. */
static inline uint64_t vmki_holes_from(uint64_t holes, uint64_t classes)
{
    const uint64_t ones = vmki_hole_classes(1), nibbles = 15 * ones, above = 16 * ones;
    uint64_t even = ((holes & nibbles) | above) - classes, odd = ((holes >> 4 & nibbles) | above) - classes;

    return (even >> 4 & (ones - 1)) | (odd & above); /* the lowest bits are no rank's */
}

/*
 * The same from the highest rank down: of the rank at place `at` of an order the bit 60 - at. Of none for a length below a unit.
 */
static inline uint64_t vmki_holes_down(uint64_t holes, uint64_t length)
{
    const uint64_t ones = vmki_hole_classes(1), nibbles = 15 * ones, above = 16 * ones;
    uint64_t lacks = vmki_hole_lack_of(length) * ones, even = (holes & nibbles) + lacks,
             odd = (holes >> 4 & nibbles) + lacks;

    return __builtin_bswap64((odd & above) >> 4 | (even & above));
}

/* In place of the holes of the ranks from..to-1 come nr of these classes, the first in the lowest bits. */
static inline void vmki_leaf_replace_holes(struct vmki_tree_leaf *leaf, unsigned from, unsigned to, uint64_t classes,
                                           unsigned nr)
{
    uint64_t holes = leaf->holes, below = holes & ((UINT64_C(16) << 4 * from) - 1), above = holes >> 4 * to >> 4;

    vmki_store_relaxed(&leaf->holes, below | classes << (4 * from + 4) | above << 4 * (from + nr) << 4);
}

static inline void vmki_leaf_set_hole(struct vmki_tree_leaf *leaf, unsigned rank, uint64_t length)
{
    vmki_leaf_replace_holes(leaf, rank, rank + 1, vmki_hole_class(length), 1);
}

/*
 * ---- Searches ----
 *
 * Free of branches: steps of a binary search where one leads to the next, sums where they do not.
 */

/*
 * The order without the slots of the entries before the last that starts at or below the address (less than
 * VMKI_NO_KEY): that one's slot is now where the count was.  The order as it is when there is none.
 */
static inline uint64_t vmki_leaf_seek(const struct vmki_tree_leaf *leaf, uint64_t order, uint64_t address)
{
    order = vmki_step(order, order >> 32, &leaf->start[order >> 32 & 15], address);
    order = vmki_step(order, order >> 16, &leaf->start[order >> 16 & 15], address);
    order = vmki_step(order, order >> 8, &leaf->start[order >> 8 & 15], address);
    return vmki_step(order, order >> 4, &leaf->start[order >> 4 & 15], address);
}

/* How many of the starts are at or below the address. */
static inline unsigned vmki_order_rank(const struct vmki_tree_leaf *leaf, uint64_t order, uint64_t address)
{
    size_t rank4 = vmki_step(0, 32, &leaf->start[order >> 32 & 15], address);

    rank4 = vmki_step(rank4, rank4 + 16, &leaf->start[order >> (rank4 + 16) & 15], address);
    rank4 = vmki_step(rank4, rank4 + 8, &leaf->start[order >> (rank4 + 8) & 15], address);
    rank4 = vmki_step(rank4, rank4 + 4, &leaf->start[order >> (rank4 + 4) & 15], address);
    return (unsigned)rank4 / 4;
}

/* The same for a writer: between edits all slots can be asked, none of which waits for another. */
static inline unsigned vmki_leaf_rank(const struct vmki_tree_leaf *leaf, uint64_t address)
{
    const uint64_t *start = leaf->start;
    size_t low = 0, middle = 0, high = 0;

#pragma GCC unroll 5
    for (unsigned i = 0; i < VMKI_LEAF_MAX / 3; i++) {
        low = vmki_rank_add(low, &start[i], address);
        middle = vmki_rank_add(middle, &start[i + 5], address);
        high = vmki_rank_add(high, &start[i + 10], address);
    }
    return (unsigned)(low + middle + high);
}
_Static_assert(VMKI_LEAF_MAX == 8 + 4 + 2 + 1, "these searches are for as many");

/* The pivot of the child in which an entry that contains or precedes the address is, if there is one. */
static inline const uint64_t *vmki_inner_pivot(const struct vmki_tree_inner *inner, uint64_t address)
{
    const uint64_t *pivot = inner->pivot;
    uint64_t third = vmki_step((uintptr_t)&pivot[0], (uintptr_t)&pivot[7], &pivot[7], address);
    size_t odd, even;

    pivot = (const uint64_t *)(uintptr_t)vmki_step(third, (uintptr_t)&pivot[14], &pivot[14], address);
    odd = vmki_rank_add(0, &pivot[1], address);
    even = vmki_rank_add(0, &pivot[2], address);
    odd = vmki_rank_add(odd, &pivot[3], address);
    even = vmki_rank_add(even, &pivot[4], address);
    odd = vmki_rank_add(odd, &pivot[5], address);
    even = vmki_rank_add(even, &pivot[6], address);
    return pivot + odd + even;
}
_Static_assert(VMKI_INNER_MAX == 3 * 7, "the search goes by thirds of seven");

static inline unsigned vmki_inner_slot(const struct vmki_tree_inner *inner, uint64_t address)
{
    return (unsigned)(vmki_inner_pivot(inner, address) - inner->pivot);
}

/*
 * From this level of the root on, a leaf is most likely not in a near cache: all its lines are asked for at once, since
 * which of them a search needs follows from the first ones only.
 */
enum { VMKI_LARGE_LEVEL = 3 };

/*
 * Always inlined: compilers leave out calls of functions that do nothing but prefetch. Without a loop, which costs more than what
 * it is about.
 */
static VMKI_INLINE void vmki_fetch_behind_head(const struct vmki_tree_node *node)
{
    const char *at = (const char *)node;

    __builtin_prefetch(at + 64);
    __builtin_prefetch(at + 128);
    __builtin_prefetch(at + 192);
    __builtin_prefetch(at + 256);
    __builtin_prefetch(at + 320);
    __builtin_prefetch(at + 384);
    __builtin_prefetch(at + 448);
}
_Static_assert(VMKI_NODE_SIZE == 512, "all of a node is fetched");

static VMKI_INLINE void vmki_fetch_node(const struct vmki_tree_node *node)
{
    __builtin_prefetch(node);
    vmki_fetch_behind_head(node);
}

static inline uint32_t vmki_version_after(uint32_t version, uint32_t steps)
{
    return (version + steps) & ~VMKI_VERSION_DEAD;
}

static inline unsigned vmki_node_count(struct vmki_tree_node *node)
{
    return node->level ? node->count : vmki_order_count(vmki_leaf(node)->order);
}

/* ---- What a writer reads; nothing changes under it ---- */

static inline uint64_t vmki_leaf_start(const struct vmki_tree_leaf *leaf, unsigned rank)
{
    return leaf->start[vmki_order_slot(leaf->order, rank)];
}

static inline uint64_t vmki_leaf_end(const struct vmki_tree_leaf *leaf, unsigned rank)
{
    return leaf->slot[vmki_order_slot(leaf->order, rank)].end;
}

static inline void vmki_leaf_entry(const struct vmki_tree_leaf *leaf, unsigned rank, struct vmki_tree_entry *entry)
{
    unsigned slot = vmki_order_slot(leaf->order, rank);

    entry->start = leaf->start[slot];
    entry->end = leaf->slot[slot].end;
    entry->flags = vmki_load_relaxed(&leaf->slot[slot].flags); /* vmki_tree_clear_flags */
    entry->item = leaf->slot[slot].item;
}

/* ---- Between the files of src/tree ---- */

/* Around all stores of an edit; a search for a gap without a lock (vmki_tree_unedited) fails in between. */
static inline void vmki_tree_begin_edit(struct vmki_tree *tree)
{
    vmki_store_relaxed(&tree->edits, tree->edits + 1);
    vmki_fence_release();
}

static inline void vmki_tree_end_edit(struct vmki_tree *tree)
{
    vmki_store_release(&tree->edits, tree->edits + 1);
}

/* A reserved node: only the link counts, and the mark. */
struct vmki_tree_spare {
    struct vmki_tree_node head;
    struct vmki_tree_node *next;
};

static inline struct vmki_tree_node **vmki_spare_link(struct vmki_tree_node *node)
{
    return &((struct vmki_tree_spare *)(void *)node)->next;
}

/* The start of the first entry after the cursor's leaf, VMKI_NO_KEY when it is the last leaf. */
uint64_t vmki_cursor_leaf_limit(const struct vmki_cursor *cursor);
/* The largest gap in a leaf; `limit` is the start of the entry after the leaf, or VMKI_NO_KEY. */
uint64_t vmki_leaf_gap(const struct vmki_tree_leaf *leaf, uint64_t limit);
/* The same of a leaf that nobody sees yet, with entries in the order of their slots. It classes the holes. */
uint64_t vmki_leaf_class_holes(struct vmki_tree_leaf *leaf, uint64_t limit);
uint64_t vmki_inner_gap(const struct vmki_tree_inner *inner);

/* An empty leaf or inner node from the reserved ones; there is one, by vmki_tree_reserve's promise. Who fills a leaf classes its holes. */
struct vmki_tree_leaf *vmki_tree_take_leaf(struct vmki_tree *tree);
struct vmki_tree_inner *vmki_tree_take_inner(struct vmki_tree *tree, unsigned level);
/* Gives a node away that readers may still be in; without its children. */
void vmki_tree_retire_node(struct vmki_tree *tree, struct vmki_tree_node *node);
/* A node and all below it; returns the number of entries that were in it. */
size_t vmki_tree_retire_subtree(struct vmki_tree *tree, struct vmki_tree_node *node);
/* Gives the path's node of that level a new pivot in the nodes above it, up to where it is not in the first child. */
void vmki_tree_set_pivot(struct vmki_cursor *cursor, unsigned level, uint64_t pivot);
/* Gives the path's node of that level a new gap in the nodes above it, as far up as that changes the largest. */
void vmki_tree_set_gap(struct vmki_cursor *cursor, unsigned level, uint64_t gap);
/* Counts the gaps of the leaf before the cursor's, whose last one reaches to what the cursor stands on now. */
void vmki_tree_refresh_gap_before(const struct vmki_cursor *cursor);
/*
 * The slow way of a splice (rebuild.c). `to` is the rank in the cursor's leaf behind the last entry that goes; `wide` if that
 * is in another leaf. Puts the cursor where the splice leaves it; counts what goes, not what comes.
 */
void vmki_tree_rebuild(struct vmki_cursor *cursor, unsigned to, bool wide, uint64_t until,
                       const struct vmki_tree_entry *new_entries, unsigned nr_new);
/* Sets first_start and last_end from the nodes. */
void vmki_tree_note_ends(struct vmki_tree *tree);

_Static_assert((int)VMKI_TREE_MAX_PARTS == (int)VMKI_INNER_MAX, "a part for each child");

#endif
