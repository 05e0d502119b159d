/* SPDX-License-Identifier: MIT */
#include "tree/ranges.h"

#include "base/base.h"

void vmki_ranges_add(struct vmki_tree *tree, vmk_addr start, vmk_addr end, void *item)
{
    struct vmki_cursor cursor;
    struct vmki_tree_entry entry;
    struct vmki_tree_entry whole = {.start = start, .end = end, .item = item};

    /* One byte further out on both sides: ranges that only touch are taken in too. */
    vmki_cursor_seek(&cursor, tree, start == 0 ? 0 : start - 1);
    if (vmki_cursor_entry(&cursor, &entry))
        whole.start = vmki_min(start, entry.start);
    if (vmki_tree_prev(tree, end + 1, &entry))
        whole.end = vmki_max(end, entry.end);
    vmki_cursor_splice(&cursor, end + 1, &whole, 1);
}

void vmki_ranges_remove(struct vmki_tree *tree, vmk_addr start, vmk_addr end)
{
    struct vmki_cursor cursor;
    struct vmki_tree_entry left[2];
    unsigned nr_left = 0;

    if (!vmki_cursor_seek(&cursor, tree, start) || !vmki_cursor_entry(&cursor, &left[0]) || left[0].start >= end)
        return;
    if (left[0].start < start)
        left[nr_left++].end = start;
    if (vmki_tree_prev(tree, end, &left[nr_left]) && left[nr_left].end > end)
        left[nr_left++].start = end;
    vmki_cursor_splice(&cursor, end, left, nr_left);
}

bool vmki_ranges_touch(const struct vmki_tree *tree, vmk_addr start, vmk_addr end)
{
    struct vmki_tree_entry entry;

    return vmki_tree_next(tree, start, &entry) && entry.start < end;
}
