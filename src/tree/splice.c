/* SPDX-License-Identifier: MIT */
/*
 * splice.c - the one edit of a tree.
 *
 * A splice takes out a run of entries and puts a few others in their place:
 *
 *        left.slot[0]                       right.slot[0]
 *        v                                  v
 *   [a] [b] [c] | [d] [e] [f] | [g] [h] [i] [j] [k]          a splice of b..i by X, Y
 *   ----left---                 --------right------
 *
 *   [a] [X] [Y] [j] [k]                                      what stays of left, the new, what stays of right
 *
 * Three ways, the cheapest that will do:
 *   one word   a single entry changes in one of its words: stored in place;
 *   in place   the leaf has free slots for the new entries: they are written there, then one store of `order`;
 *   rebuild    the leaf, or the leaves at both ends, are written anew, with a sibling where that keeps nodes filled.
 *              The new leaves replace the old ones in their parent; where that is not one pointer for one pointer the
 *              parent is written anew as well, and so on up.  One store of a child pointer, or of the root, publishes it.
 *
 * THE ORDER OF STORES for readers is in node.h; each function here says which part of it it keeps.
 */
#include "base/base.h"
#include "tree/node.h"

/* ---- Pivots and gaps above a changed node ---- */

void vmki_tree_set_pivot(struct vmki_cursor *cursor, unsigned level, uint64_t pivot)
{
    unsigned height = cursor->tree->height;

    for (level++; level < height; level++) {
        vmki_store_relaxed(&vmki_inner(cursor->node[level])->pivot[cursor->slot[level]], pivot);
        if (cursor->slot[level] > 0)
            return;
    }
    vmki_store_relaxed(&cursor->tree->first_start, pivot);
}

void vmki_tree_set_gap(struct vmki_cursor *cursor, unsigned level, uint64_t gap)
{
    unsigned height = cursor->tree->height;

    for (level++; level < height; level++) {
        struct vmki_tree_inner *inner = vmki_inner(cursor->node[level]);
        uint64_t old = inner->gap[cursor->slot[level]], largest;

        if (old == gap)
            return;
        vmki_store_relaxed(&inner->gap[cursor->slot[level]], gap);
        if (level + 1 == height)
            return;
        largest = vmki_inner(cursor->node[level + 1])->gap[cursor->slot[level + 1]];
        if (gap < largest) {
            if (old < largest)
                return;
            gap = vmki_inner_gap(inner);
        }
    }
}

/* The last leaf of the tree has changed. */
static void note_last_end(struct vmki_cursor *cursor)
{
    struct vmki_tree_leaf *leaf = vmki_leaf(cursor->node[0]);

    vmki_store_relaxed(&cursor->tree->last_end, vmki_leaf_end(leaf, vmki_order_count(leaf->order) - 1));
}

/* The start of what follows the rank in the leaf; `limit` follows the last. */
static uint64_t start_or(const struct vmki_tree_leaf *leaf, unsigned rank, uint64_t limit)
{
    return rank < vmki_order_count(leaf->order) ? vmki_leaf_start(leaf, rank) : limit;
}

/* The gap behind a rank; the last entry of the tree has none. */
static uint64_t gap_behind(const struct vmki_tree_leaf *leaf, unsigned rank, uint64_t limit)
{
    uint64_t next = start_or(leaf, rank + 1, limit);

    return next == VMKI_NO_KEY ? 0 : next - vmki_leaf_end(leaf, rank);
}

/* The gap behind a rank of the cursor's leaf has changed. */
static void refresh_gap(struct vmki_cursor *cursor, unsigned rank)
{
    struct vmki_tree_leaf *leaf = vmki_leaf(cursor->node[0]);
    uint64_t limit = vmki_cursor_leaf_limit(cursor);

    vmki_leaf_set_hole(leaf, rank, gap_behind(leaf, rank, limit));
    if (limit == VMKI_NO_KEY)
        note_last_end(cursor);
    if (cursor->tree->height > 1)
        vmki_tree_set_gap(cursor, 0, vmki_leaf_gap(leaf, limit));
}

VMKI_NOINLINE void vmki_tree_refresh_gap_before(const struct vmki_cursor *cursor)
{
    struct vmki_cursor before = *cursor;

    if (vmki_cursor_retreat(&before))
        refresh_gap(&before, before.slot[0]);
}

/* ---- One word ---- */

/* Who sees the version has all edits before; who sees a store of this edit sees the version. */
static void begin_edit(struct vmki_tree_leaf *leaf)
{
    vmki_store_release(&leaf->head.version, vmki_version_after(leaf->head.version, 1));
    vmki_fence_release();
}

/* Who sees the version has this edit. */
static void end_edit(struct vmki_tree_leaf *leaf)
{
    vmki_store_release(&leaf->head.version, vmki_version_after(leaf->head.version, 1));
}

/* Moves the start of the cursor's entry.  A pivot is lowered before and raised after: it may lag, never lead. */
static void move_start(struct vmki_cursor *cursor, uint64_t *word, uint64_t start)
{
    bool first = cursor->slot[0] == 0;

    if (first && start < *word)
        vmki_tree_set_pivot(cursor, 0, start);
    vmki_store_release(word, start);
    if (first)
        vmki_tree_set_pivot(cursor, 0, start);
}

/* Does the splice if it is one entry for one, and at most one word of it changes. */
static bool splice_word(struct vmki_cursor *cursor, const struct vmki_tree_entry *new_entry)
{
    struct vmki_tree_leaf *leaf = vmki_leaf(cursor->node[0]);
    unsigned rank = cursor->slot[0], at = vmki_order_slot(leaf->order, rank);
    struct vmki_tree_slot *slot = &leaf->slot[at];
    bool start = leaf->start[at] != new_entry->start, end = slot->end != new_entry->end;
    bool flags = slot->flags != new_entry->flags, item = slot->item != new_entry->item;

    if (start + end + flags + item > 1)
        return false;
    begin_edit(leaf);
    if (start) {
        move_start(cursor, &leaf->start[at], new_entry->start);
    } else if (end) {
        vmki_store_release(&slot->end, new_entry->end);
    } else if (flags) {
        vmki_store_release(&slot->flags, new_entry->flags);
    } else if (item) {
        vmki_store_release(&slot->item, new_entry->item);
    }
    end_edit(leaf);
    if (end || (start && rank > 0))
        refresh_gap(cursor, end ? rank : rank - 1);
    else if (start)
        vmki_tree_refresh_gap_before(cursor);
    return true;
}

/* ---- In place ---- */

/* The largest of the gaps behind the ranks from..to-1. */
static uint64_t largest_gap(const struct vmki_tree_leaf *leaf, unsigned from, unsigned to, uint64_t limit)
{
    uint64_t largest = 0;

    for (; from < to; from++)
        largest = vmki_max(largest, gap_behind(leaf, from, limit));
    return largest;
}

/* Writes an entry into a free slot, which no reader looks into. */
static VMKI_INLINE void fill_slot(struct vmki_tree_leaf *leaf, uint64_t at, const struct vmki_tree_entry *entry)
{
    struct vmki_tree_slot *slot = &leaf->slot[at];

    vmki_store_relaxed(&slot->end, entry->end);
    vmki_store_relaxed(&slot->flags, entry->flags);
    vmki_store_relaxed(&slot->item, entry->item);
    vmki_store_relaxed(&leaf->start[at], entry->start);
}

/*
 * Puts the holes of the new entries, and of the one before them, in place of those that went. Returns the largest of them.
 */
static uint64_t splice_holes(struct vmki_tree_leaf *leaf, unsigned from, unsigned to, unsigned nr_new, uint64_t limit)
{
    unsigned around = from > 0 ? from - 1 : 0, end = from + nr_new, rank;
    uint64_t classes = 0, largest = 0;

    for (rank = around; rank < end; rank++) {
        uint64_t gap = gap_behind(leaf, rank, limit);

        classes |= vmki_hole_class(gap) << 4 * (rank - around);
        largest = vmki_max(largest, gap);
    }
    vmki_leaf_replace_holes(leaf, around, to, classes, end - around);
    return largest;
}

/*
 * Puts the new entries for the ranks from..to-1.  The leaf has free slots for all of them, beside those of the entries
 * that go, and keeps at least one entry.
 */
static void splice_slots(struct vmki_cursor *cursor, unsigned to, const struct vmki_tree_entry *new_entries,
                         unsigned nr_new)
{
    struct vmki_tree_leaf *leaf = vmki_leaf(cursor->node[0]);
    unsigned from = cursor->slot[0], i;
    uint64_t old = leaf->order, order = vmki_order_splice(old, from, to, nr_new);
    uint64_t first = vmki_leaf_start(leaf, 0), new_first;

    begin_edit(leaf);
    for (i = 0; i < nr_new; i++)
        fill_slot(leaf, vmki_order_slot(order, from + i), &new_entries[i]);
    new_first = leaf->start[vmki_order_slot(order, 0)];
    if (new_first < first)
        vmki_tree_set_pivot(cursor, 0, new_first);
    vmki_store_release(&leaf->order, order);
    for (i = from; i < to; i++) /* who sees one of these sees the new order */
        vmki_store_release(&leaf->start[vmki_order_slot(old, i)], VMKI_NO_KEY);
    end_edit(leaf);
    if (new_first > first)
        vmki_tree_set_pivot(cursor, 0, new_first);
}

/* As splice_slots, and keeps the gaps.  Only where the largest gap may have gone are all of them looked at. */
static void splice_in_place(struct vmki_cursor *cursor, unsigned to, const struct vmki_tree_entry *new_entries,
                            unsigned nr_new)
{
    struct vmki_tree_leaf *leaf = vmki_leaf(cursor->node[0]);
    unsigned from = cursor->slot[0], around = from > 0 ? from - 1 : 0;
    uint64_t limit, largest, gone, come, first = vmki_leaf_start(leaf, 0);

    if (cursor->tree->height < 2) {
        splice_slots(cursor, to, new_entries, nr_new);
        splice_holes(leaf, from, to, nr_new, VMKI_NO_KEY);
        note_last_end(cursor);
        return;
    }
    limit = vmki_cursor_leaf_limit(cursor);
    largest = vmki_inner(cursor->node[1])->gap[cursor->slot[1]];
    gone = largest_gap(leaf, around, to, limit);
    splice_slots(cursor, to, new_entries, nr_new);
    come = splice_holes(leaf, from, to, nr_new, limit);
    if (come >= largest)
        vmki_tree_set_gap(cursor, 0, come);
    else if (gone >= largest)
        vmki_tree_set_gap(cursor, 0, vmki_leaf_gap(leaf, limit));
    if (vmki_leaf_start(leaf, 0) != first)
        vmki_tree_refresh_gap_before(cursor);
    if (limit == VMKI_NO_KEY)
        note_last_end(cursor);
}

/* ---- The splice ---- */

/* Whether the leaf stays filled well enough, and not empty, with that many entries. */
static bool fills_leaf(const struct vmki_cursor *cursor, unsigned old_count, unsigned count)
{
    const struct vmki_tree_inner *parent;
    unsigned slot;

    if (count == 0)
        return false;
    if (count > VMKI_LEAF_LOW || count >= old_count || cursor->tree->height < 2)
        return true;
    parent = vmki_inner(cursor->node[1]);
    slot = cursor->slot[1];
    if (slot > 0 && count + vmki_node_count(parent->child[slot - 1]) <= 2 * VMKI_LEAF_LOW)
        return false;
    return slot + 1u >= parent->head.count || count + vmki_node_count(parent->child[slot + 1]) > 2 * VMKI_LEAF_LOW;
}

static void splice_empty(struct vmki_cursor *cursor, const struct vmki_tree_entry *new_entries, unsigned nr_new)
{
    struct vmki_tree *tree = cursor->tree;
    struct vmki_tree_leaf *leaf = vmki_tree_take_leaf(tree);
    unsigned i;

    leaf->order += nr_new;
    for (i = 0; i < nr_new; i++)
        fill_slot(leaf, i, &new_entries[i]);
    vmki_leaf_class_holes(leaf, VMKI_NO_KEY);
    vmki_store_release(&tree->root, &leaf->head);
    tree->height = 1;
    tree->nr_entries = nr_new;
    vmki_tree_note_ends(tree);
    cursor->node[0] = &leaf->head;
    cursor->slot[0] = 0;
}

/* The rank in the cursor's leaf behind the last entry that starts below `until`. */
static unsigned rank_until(const struct vmki_cursor *cursor, uint64_t until)
{
    unsigned rank = until ? vmki_leaf_rank(vmki_leaf(cursor->node[0]), until - 1) : 0;

    return rank > cursor->slot[0] ? rank : cursor->slot[0];
}

/*
 * New entries between two leaves go to the one before where there is room: then no pivot changes, and no gap but one.
 *
 *   [a] [b] | [c] [d]       to:   [a] [b] [X] | [c] [d]       rather than:   [a] [b] | [X] [c] [d]
 */
static VMKI_NOINLINE void prefer_leaf_before(struct vmki_cursor *cursor, unsigned nr_new)
{
    struct vmki_cursor before = *cursor;
    unsigned count;

    if (!vmki_cursor_retreat(&before))
        return;
    count = vmki_node_count(before.node[0]);
    if (count + nr_new <= VMKI_LEAF_MAX) {
        *cursor = before;
        cursor->slot[0] = (uint8_t)count;
    }
}

/* Whether the leaf has free slots for the new entries, beside those of the entries that go, and stays filled. */
static bool fits_in_place(const struct vmki_cursor *cursor, unsigned to, unsigned nr_new)
{
    unsigned count = vmki_node_count(cursor->node[0]);

    return count + nr_new <= VMKI_LEAF_MAX && fills_leaf(cursor, count, count - (to - cursor->slot[0]) + nr_new);
}

/* Whether entries of the next leaf go too; `to` is rank_until's. */
static bool is_wide(const struct vmki_cursor *cursor, unsigned to, uint64_t until)
{
    return to == vmki_node_count(cursor->node[0]) && vmki_cursor_leaf_limit(cursor) < until;
}

/* Rank behind the last entry of the cursor's leaf that goes, in the leaf that the splice is for: see above. */
static unsigned choose_leaf(struct vmki_cursor *cursor, uint64_t until, unsigned nr_new)
{
    unsigned to = rank_until(cursor, until);

    if (to > 0 || nr_new == 0)
        return to;
    prefer_leaf_before(cursor, nr_new);
    return cursor->slot[0];
}

/* The splice of a tree that is not empty. */
static void splice_leaf(struct vmki_cursor *cursor, uint64_t until, const struct vmki_tree_entry *new_entries,
                        unsigned nr_new)
{
    struct vmki_tree *tree = cursor->tree;
    unsigned to = choose_leaf(cursor, until, nr_new), removed = to - cursor->slot[0];

    if (is_wide(cursor, to, until)) {
        vmki_tree_rebuild(cursor, to, true, until, new_entries, nr_new);
    } else if (removed == 1 && nr_new == 1 && splice_word(cursor, new_entries)) {
        return;
    } else if (removed == 0 && nr_new == 0) {
        return;
    } else if (fits_in_place(cursor, to, nr_new)) {
        splice_in_place(cursor, to, new_entries, nr_new);
        tree->nr_entries -= removed;
        if (nr_new == 0 && cursor->slot[0] == vmki_node_count(cursor->node[0])) {
            cursor->slot[0]--; /* the entry after the gap is in the next leaf */
            vmki_cursor_advance(cursor);
        }
    } else {
        vmki_tree_rebuild(cursor, to, false, until, new_entries, nr_new);
    }
    tree->nr_entries += nr_new;
}

bool vmki_cursor_reserve(const struct vmki_cursor *cursor, vmk_addr until, unsigned nr_new)
{
    struct vmki_cursor at = *cursor;
    unsigned to;

    if (!at.node[0])
        return nr_new == 0 || vmki_tree_reserve(at.tree, 1);
    to = choose_leaf(&at, until, nr_new);
    if (!is_wide(&at, to, until) && fits_in_place(&at, to, nr_new))
        return true;
    return vmki_tree_reserve(at.tree, 1);
}

bool vmki_cursor_keeps_root(const struct vmki_cursor *cursor, vmk_addr until, unsigned nr_new)
{
    const struct vmki_tree_node *root = cursor->tree->root;
    struct vmki_cursor at = *cursor;
    unsigned to;

    if (!at.node[0] || until > VMKI_TREE_MAX_END)
        return false;
    to = choose_leaf(&at, until, nr_new);
    if (is_wide(&at, to, until))
        return false;
    if (fits_in_place(&at, to, nr_new))
        return true;
    /* Of a level, a splice in one leaf replaces at most a node and its siblings, by at most one more. */
    return root->level > 0 && root->count >= 6 && root->count + 2 <= VMKI_INNER_MAX;
}

void vmki_cursor_splice(struct vmki_cursor *cursor, vmk_addr until, const struct vmki_tree_entry *new_entries,
                        unsigned nr_new)
{
    vmki_tree_begin_edit(cursor->tree);
    if (cursor->node[0])
        splice_leaf(cursor, until, new_entries, nr_new);
    else if (nr_new)
        splice_empty(cursor, new_entries, nr_new);
    vmki_tree_end_edit(cursor->tree);
}

bool vmki_tree_clear_flags(struct vmki_tree *tree, vmk_addr address, const void *item, uint64_t flags)
{
    struct vmki_cursor cursor;
    struct vmki_tree_slot *slot;
    uint64_t old;

    if (!vmki_cursor_seek(&cursor, tree, address))
        return false;
    slot = &vmki_leaf(cursor.node[0])->slot[vmki_order_slot(vmki_leaf(cursor.node[0])->order, cursor.slot[0])];
    old = vmki_load_relaxed(&slot->flags);
    if (slot->item != item || (old & flags) == 0)
        return false;
    vmki_store_relaxed(&slot->flags, old & ~flags);
    return true;
}

/* ---- Edits inside one leaf ---- */

bool vmki_cursor_touching(const struct vmki_cursor *cursor, bool want_before, bool want_after,
                          struct vmki_tree_entry *before, struct vmki_tree_entry *after)
{
    const struct vmki_tree_leaf *leaf = vmki_leaf(cursor->node[0]);
    unsigned rank = cursor->slot[0];

    before->item = NULL;
    after->item = NULL;
    if (want_before) {
        if (rank == 0)
            return false;
        if (vmki_leaf_end(leaf, rank - 1) == vmki_leaf_start(leaf, rank))
            vmki_leaf_entry(leaf, rank - 1, before);
    }
    if (want_after && rank + 1 < vmki_order_count(leaf->order)) {
        if (vmki_leaf_start(leaf, rank + 1) == vmki_leaf_end(leaf, rank))
            vmki_leaf_entry(leaf, rank + 1, after);
    } else if (want_after && vmki_cursor_leaf_limit(cursor) == vmki_leaf_end(leaf, rank)) {
        return false;
    }
    return true;
}

/* Whether a leaf of `old` entries may come to have `count`: it never joins a sibling here, nor runs empty. */
static bool keeps_filled(const struct vmki_tree *tree, unsigned old, unsigned count)
{
    return count > 0 && (count > VMKI_LEAF_LOW || count >= old || tree->height == 1);
}

bool vmki_cursor_tile_fits(const struct vmki_cursor *cursor, bool from_before, unsigned nr_old, unsigned nr_new)
{
    unsigned count = vmki_order_count(vmki_leaf(cursor->node[0])->order), rank = cursor->slot[0];

    return rank >= from_before && rank - from_before + nr_old <= count && count + nr_new <= VMKI_LEAF_MAX &&
           keeps_filled(cursor->tree, count, count - nr_old + nr_new);
}

void vmki_cursor_tile(struct vmki_cursor *cursor, unsigned nr_old, const struct vmki_tree_entry *new_entries,
                      unsigned nr_new)
{
    struct vmki_tree_leaf *leaf = vmki_leaf(cursor->node[0]);
    uint64_t old = leaf->order, order, come, gone;
    unsigned rank = cursor->slot[0], i;

    cursor->tree->nr_entries += nr_new;
    cursor->tree->nr_entries -= nr_old;
    order = vmki_order_splice(old, rank, rank + nr_old, nr_new);
    come = order >> (4 * rank);
    gone = old >> (4 * rank);
    vmki_tree_begin_edit(cursor->tree);
    begin_edit(leaf);
    for (i = 0; i < nr_new; i++)
        fill_slot(leaf, (come >>= 4) & 15, &new_entries[i]);
    vmki_store_release(&leaf->order, order);
    for (i = 0; i < nr_old; i++) /* who sees one of these sees the new order */
        vmki_store_release(&leaf->start[(gone >>= 4) & 15], VMKI_NO_KEY);
    end_edit(leaf);
    if (nr_old != nr_new) /* the last keeps its hole, between the others there is none */
        vmki_leaf_replace_holes(leaf, rank, rank + nr_old - 1, 0, nr_new - 1);
    vmki_tree_end_edit(cursor->tree);
}

/* What is below a place in an order, or in holes. */
static VMKI_INLINE uint64_t places_below(uint64_t places, unsigned at)
{
    return places & ~(~UINT64_C(0) << at);
}

/*
 * One slot gives way to three, and three to one; `at` is where the first of those that go stands in the order. Unlike
 * vmki_order_splice these take the last of the free slots and put what goes there, so that nothing else moves against each other:
 *
 *               [free x y z] [after] [slot] [below]        [x y z free] [after] [slot] [below]
 *    split to   [slot] [free] [after] [x y z] [below]      join to ...
 */
static VMKI_INLINE uint64_t order_split(uint64_t order, unsigned at)
{
    uint64_t below = places_below(order, at), from = (order & (UINT64_MAX >> 12)) >> at;

    return (below | (order >> 52 | (from & ~UINT64_C(15)) << 8) << at | from << 60) + 2;
}

static VMKI_INLINE uint64_t order_join(uint64_t order, unsigned at)
{
    uint64_t below = places_below(order, at), from = (order & (UINT64_MAX >> 4)) >> at;

    return (below | (order >> 60 | (from & ~UINT64_C(0xfff)) >> 8) << at | from << 52) - 2;
}

/* Both of the tree's and the leaf's counts. */
struct edit {
    uint32_t edits, version;
};

static VMKI_INLINE struct edit tile_begin(struct vmki_tree *tree, struct vmki_tree_leaf *leaf)
{
    struct edit edit = {tree->edits + 1, vmki_version_after(leaf->head.version, 1)};

    vmki_store_relaxed(&tree->edits, edit.edits);
    vmki_store_release(&leaf->head.version, edit.version);
    vmki_fence_release();
    return edit;
}

static VMKI_INLINE void tile_end(struct vmki_tree *tree, struct vmki_tree_leaf *leaf, struct edit edit)
{
    vmki_store_release(&leaf->head.version, vmki_version_after(edit.version, 1));
    vmki_store_release(&tree->edits, edit.edits + 1);
}

bool vmki_cursor_split(struct vmki_cursor *cursor, const struct vmki_tree_entry *part, void *below, void *above)
{
    struct vmki_tree *tree = cursor->tree;
    struct vmki_tree_leaf *leaf = vmki_leaf(cursor->node[0]);
    uint64_t order = leaf->order, holes = leaf->holes, come = order >> 52, flags;
    unsigned at = 4u * cursor->slot[0] + 4, gone = order >> at & 15;
    vmk_addr start = leaf->start[gone], end = leaf->slot[gone].end, from = part->start, to = part->end;
    struct edit edit;

    if (vmki_order_count(order) > VMKI_LEAF_MAX - 3)
        return false;
    flags = vmki_load_relaxed(&leaf->slot[gone].flags);
    cursor->slot[0]++;
    tree->nr_entries += 2;
    edit = tile_begin(tree, leaf);
    fill_slot(leaf, come & 15, &(struct vmki_tree_entry){start, from, flags, below});
    fill_slot(leaf, come >> 4 & 15, &(struct vmki_tree_entry){from, to, part->flags, part->item});
    fill_slot(leaf, come >> 8, &(struct vmki_tree_entry){to, end, flags, above});
    vmki_store_release(&leaf->order, order_split(order, at));
    vmki_store_release(&leaf->start[gone], VMKI_NO_KEY);                 /* who sees this sees the new order */
    vmki_store_relaxed(&leaf->holes, holes + (holes >> at << at) * 255); /* those behind move up by two */
    tile_end(tree, leaf, edit);
    return true;
}

bool vmki_cursor_join(struct vmki_cursor *cursor, uint64_t flags, uint64_t ignored, struct vmki_tree_entry *joined,
                      void **above)
{
    struct vmki_tree *tree = cursor->tree;
    struct vmki_tree_leaf *leaf = vmki_leaf(cursor->node[0]);
    uint64_t order = leaf->order, holes = leaf->holes, below;
    unsigned at = 4u * cursor->slot[0], count = vmki_order_count(order);
    uint64_t gone = order >> at, *low = &leaf->start[gone & 15], *middle = &leaf->start[gone >> 4 & 15],
             *high = &leaf->start[gone >> 8 & 15];
    const struct vmki_tree_slot *first = &leaf->slot[gone & 15], *last = &leaf->slot[gone >> 8 & 15];
    struct vmki_tree_entry entry;
    struct edit edit;

    /* Behind the last entry comes a free slot, which starts where nothing ends. */
    if (at == 0 || count == VMKI_LEAF_MAX || (count <= VMKI_LEAF_LOW + 2 && tree->height != 1) ||
        first->end != *middle || leaf->slot[gone >> 4 & 15].end != *high ||
        (((first->flags ^ flags) | (last->flags ^ flags)) & ~ignored) != 0)
        return false;
    entry = (struct vmki_tree_entry){*low, last->end, first->flags, first->item};
    *above = last->item;
    cursor->slot[0]--;
    tree->nr_entries -= 2;
    edit = tile_begin(tree, leaf);
    fill_slot(leaf, order >> 60, &entry);
    vmki_store_release(&leaf->order, order_join(order, at));
    vmki_store_release(low, VMKI_NO_KEY); /* who sees one of these sees the new order */
    vmki_store_release(middle, VMKI_NO_KEY);
    vmki_store_release(high, VMKI_NO_KEY);
    below = places_below(holes, at);
    vmki_store_relaxed(&leaf->holes, below | (holes ^ below) >> 8);
    tile_end(tree, leaf, edit);
    *joined = entry;
    return true;
}

/* The order with the last free slot put where `at` stands; and with the slot there made the last free one. */
static VMKI_INLINE uint64_t order_insert(uint64_t order, unsigned at)
{
    uint64_t below = places_below(order, at);

    return (below | (order >> 60) << at | (order ^ below) << 4) + 1;
}

static VMKI_INLINE uint64_t order_erase(uint64_t order, unsigned at)
{
    uint64_t below = places_below(order, at), from = order >> at;

    return (below | from >> 4 << at | from << 60) - 1;
}

void vmki_cursor_insert(struct vmki_cursor *cursor, const struct vmki_tree_entry *new_entry,
                        const struct vmki_tree_hole *hole)
{
    struct vmki_tree *tree = cursor->tree;
    struct vmki_tree_leaf *leaf = vmki_leaf(cursor->node[0]);
    uint64_t order = leaf->order, holes = leaf->holes, largest;
    unsigned at = 4u * cursor->slot[0] + 4;
    vmk_addr start = vmki_load_relaxed(&new_entry->start), end = vmki_load_relaxed(&new_entry->end);
    bool is_last = hole->end == VMKI_NO_KEY;
    uint64_t gap = start - hole->start, above = is_last ? 0 : hole->end - end;
    struct edit edit = tile_begin(tree, leaf);

    fill_slot(leaf, order >> 60, &(struct vmki_tree_entry){start, end, new_entry->flags, new_entry->item});
    vmki_store_release(&leaf->order, order_insert(order, at));
    vmki_store_release(&leaf->head.version, vmki_version_after(edit.version, 1));
    vmki_store_relaxed(&leaf->holes, places_below(holes, at - 4) | vmki_hole_class(gap) << (at - 4) |
                                         vmki_hole_class(above) << at | (holes >> at << at) << 4);
    tree->nr_entries++;
    if (is_last)
        vmki_store_relaxed(&tree->last_end, end);
    largest = tree->height > 1 ? vmki_inner(cursor->node[1])->gap[cursor->slot[1]] : UINT64_MAX;
    if (is_last && gap > largest) /* the gap behind the last entry counted for nothing */
        vmki_tree_set_gap(cursor, 0, gap);
    else if (!is_last && hole->end - hole->start == largest)
        vmki_tree_set_gap(cursor, 0, vmki_leaf_gap(leaf, vmki_cursor_leaf_limit(cursor)));
    vmki_store_release(&tree->edits, edit.edits + 1);
}

bool vmki_cursor_erase_fits(const struct vmki_cursor *cursor)
{
    unsigned rank = cursor->slot[0], count = vmki_order_count(vmki_leaf(cursor->node[0])->order);

    if (!fills_leaf(cursor, count, count - 1))
        return false;
    if (VMKI_UNLIKELY(rank == 0))
        return cursor->tree->height > 1 && cursor->slot[1] > 0;
    return rank + 1 < count || vmki_cursor_leaf_limit(cursor) != VMKI_NO_KEY;
}

/* The leaf behind the cursor's begins there now, at a higher address than before: so its last hole grows. */
static void leaf_before_ends_at(struct vmki_cursor *cursor, uint64_t limit)
{
    struct vmki_tree_inner *parent = vmki_inner(cursor->node[1]);
    unsigned slot = --cursor->slot[1];
    struct vmki_tree_leaf *leaf = vmki_leaf(parent->child[slot]);
    unsigned last = vmki_order_count(leaf->order) - 1;
    uint64_t gap = limit - vmki_leaf_end(leaf, last);

    vmki_leaf_set_hole(leaf, last, gap);
    if (gap > parent->gap[slot])
        vmki_tree_set_gap(cursor, 0, gap);
    cursor->slot[1]++;
}

/* The first entry of the cursor's leaf, which is not the first child of its parent. A pivot is raised after. */
static VMKI_NOINLINE void erase_first(struct vmki_cursor *cursor)
{
    struct vmki_tree *tree = cursor->tree;
    struct vmki_tree_leaf *leaf = vmki_leaf(cursor->node[0]);
    struct vmki_tree_inner *parent = vmki_inner(cursor->node[1]);
    uint64_t order = leaf->order, holes = leaf->holes, next = vmki_leaf_start(leaf, 1);
    uint64_t gap = next - vmki_leaf_end(leaf, 0);
    struct edit edit = tile_begin(tree, leaf);

    vmki_store_release(&leaf->order, order_erase(order, 4));
    vmki_store_release(&leaf->start[order >> 4 & 15], VMKI_NO_KEY); /* who sees this sees the new order */
    vmki_store_release(&leaf->head.version, vmki_version_after(edit.version, 1));
    vmki_store_relaxed(&parent->pivot[cursor->slot[1]], next);
    vmki_store_relaxed(&leaf->holes, holes >> 8 << 4);
    tree->nr_entries--;
    if (gap == parent->gap[cursor->slot[1]])
        vmki_tree_set_gap(cursor, 0, vmki_leaf_gap(leaf, vmki_cursor_leaf_limit(cursor)));
    leaf_before_ends_at(cursor, next);
    vmki_store_release(&tree->edits, edit.edits + 1);
}

/* Another one; not the last of the tree. */
static VMKI_INLINE void erase_behind(struct vmki_cursor *cursor)
{
    struct vmki_tree *tree = cursor->tree;
    struct vmki_tree_leaf *leaf = vmki_leaf(cursor->node[0]);
    uint64_t order = leaf->order, holes = leaf->holes;
    unsigned rank = cursor->slot[0], at = 4 * rank + 4, count = vmki_order_count(order);
    uint64_t end = vmki_leaf_end(leaf, rank - 1);
    uint64_t next = rank + 1 < count ? vmki_leaf_start(leaf, rank + 1) : vmki_cursor_leaf_limit(cursor);
    struct edit edit = tile_begin(tree, leaf);

    vmki_store_release(&leaf->order, order_erase(order, at));
    vmki_store_release(&leaf->start[order >> at & 15], VMKI_NO_KEY); /* who sees this sees the new order */
    vmki_store_release(&leaf->head.version, vmki_version_after(edit.version, 1));
    vmki_store_relaxed(&leaf->holes,
                       places_below(holes, at - 4) | vmki_hole_class(next - end) << (at - 4) | holes >> at >> 4 << at);
    tree->nr_entries--;
    if (tree->height > 1 && next - end > vmki_inner(cursor->node[1])->gap[cursor->slot[1]])
        vmki_tree_set_gap(cursor, 0, next - end);
    vmki_store_release(&tree->edits, edit.edits + 1);
    if (rank + 1 == count)
        cursor->node[0] = NULL;
}

void vmki_cursor_erase(struct vmki_cursor *cursor)
{
    if (VMKI_UNLIKELY(cursor->slot[0] == 0))
        erase_first(cursor);
    else
        erase_behind(cursor);
}
