/* SPDX-License-Identifier: MIT */
/*
 * highest.h - the short way of the search for the highest gap, for the call that asks for nothing else (gap.c has all of it, and
 * says what a search without a lock may meet).
 *
 * It looks at the last leaf, then at the highest gap of all that is long enough; or, where entries are above the limit, at the
 * leaf of the limit and at one beside it.  It asks for no lower limit: the place that it finds is the answer if it is not below that.
 */
#ifndef VMKI_TREE_HIGHEST_H
#define VMKI_TREE_HIGHEST_H

#include "tree/node.h"

/* Where nothing was found all flags are set. */
struct vmki_highest {
    vmk_addr start;
    uint64_t flags; /* of the entry above the hole */
};
#define VMKI_NOWHERE ((struct vmki_highest){0, ~UINT64_C(0)})

/*
 * The highest place in a leaf that is long enough.  Behind the last entry of the tree there is no hole; behind the last of any
 * other leaf there may be the highest one, but what is above that is in another leaf, and nobody knows here.
 */
static VMKI_INLINE bool vmki_highest_in(const struct vmki_tree_node *node, bool is_last, uint64_t len,
                                        struct vmki_highest *place)
{
    const struct vmki_tree_leaf *leaf = vmki_leaf_const(node);
    uint64_t order = vmki_load_acquire(&leaf->order);
    uint64_t candidates = vmki_holes_down(vmki_load_relaxed(&leaf->holes), len);

    for (; VMKI_LIKELY(candidates != 0); candidates &= candidates - 1) {
        uint64_t slot = order >> (60u ^ (unsigned)__builtin_ctzll(candidates)), next = slot >> 4 & 15;
        uint64_t to = vmki_load_relaxed(&leaf->start[next]);
        uint64_t hole = to - vmki_load_relaxed(&leaf->slot[slot & 15].end);

        if (VMKI_LIKELY(hole >= len)) {
            if (VMKI_UNLIKELY(!is_last && (int64_t)hole < 0)) /* to the start of a free slot, or of slot 0 */
                return false;
            *place = (struct vmki_highest){to - len, vmki_load_relaxed(&leaf->slot[next].flags)};
            return true;
        }
    }
    return false;
}

/* The highest gap where entries are above the limit: in the leaf of the limit or the next one that has one. */
struct vmki_highest vmki_tree_highest_below(const struct vmki_tree_node *root, vmk_addr high, uint64_t len);

/* The same where none is, for a tree that has entries. */
struct vmki_highest vmki_tree_highest_of_all(const struct vmki_tree *tree, uint64_t len);

/*
 * The highest `len` free bytes below the limit, or nowhere: then the long way has to say. For whoever may take the long way.
 * Most often it is in the last leaf, which the tree remembers: to go down to it takes as long as to search it.
 */
static VMKI_INLINE struct vmki_highest vmki_tree_highest(const struct vmki_tree *tree, vmk_addr high, uint64_t len)
{
    uint64_t last_end = vmki_load_relaxed(&tree->last_end);
    const struct vmki_tree_node *leaf = vmki_load_acquire(&tree->last_leaf), *root;
    struct vmki_highest place;

    if (VMKI_UNLIKELY(leaf == NULL))
        return VMKI_NOWHERE;
    if (VMKI_LIKELY(high - last_end < len)) {
        if (VMKI_LIKELY(vmki_highest_in(leaf, true, len, &place)))
            return place;
        return vmki_tree_highest_of_all(tree, len);
    }
    root = vmki_load_acquire(&tree->root);
    return root != NULL && last_end > high ? vmki_tree_highest_below(root, high, len) : VMKI_NOWHERE;
}

#endif
