/* SPDX-License-Identifier: MIT */
/*
 * ranges.h - a set of addresses, kept as disjoint ranges that never touch, on the tree.
 *
 * Writers are serialised by the caller and have reserved a splice (vmki_tree_reserve) before each change.
 */
#ifndef VMKI_RANGES_H
#define VMKI_RANGES_H

#include "tree/tree.h"

/* Adds [start, end); what it overlaps or touches becomes one range with it. `item` is what entries carry. */
void vmki_ranges_add(struct vmki_tree *tree, vmk_addr start, vmk_addr end, void *item);
/* Takes [start, end) out; a range that reaches beyond both ends becomes two. */
void vmki_ranges_remove(struct vmki_tree *tree, vmk_addr start, vmk_addr end);
/* Does a range of the set share a byte with [start, end)? */
bool vmki_ranges_touch(const struct vmki_tree *tree, vmk_addr start, vmk_addr end);

#endif
