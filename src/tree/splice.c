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

/* The cursor's slots are what stays: [0, slot) of the left path, (slot, count) of the right one, [slot, ...) in leaves. */
enum { PART_SIBLING_BEFORE, PART_LEFT, PART_NEW, PART_RIGHT, PART_SIBLING_AFTER, NR_PARTS };

enum { MADE_MAX = 3 };

/* The most entries of a leaf in which one can be split in three without writing the leaf anew. */
enum { LEAF_LOOSE = VMKI_LEAF_MAX - 3 };

/* Two nodes share only if this many more would fit into them; else they would be full again at once. */
enum { ROOM_TO_SHARE = 2 };

struct part {
    struct vmki_tree_node *node; /* NULL for the new entries or children, and when there is no such part */
    unsigned from;
    unsigned to;
};

struct rebuild {
    struct vmki_tree *tree;
    unsigned height;                       /* of the tree before */
    const struct vmki_tree_entry *entries; /* the new ones of the leaf level */
    struct vmki_cursor left;               /* path to the first entry taken out */
    struct vmki_cursor right;              /* path to the last one; slot[0] is the first that stays */
    struct part part[NR_PARTS];            /* of the level that is being written */
    struct vmki_tree_child made[MADE_MAX]; /* the new nodes of the level below */
    unsigned nr_made;
    unsigned from; /* the children [from of left, to of right) of this level that `made` replaces */
    unsigned to;
    bool took_before[VMKI_TREE_MAX_HEIGHT]; /* by level: the sibling before is written anew too */
    bool took_after[VMKI_TREE_MAX_HEIGHT];
};

static unsigned node_max(unsigned level)
{
    return level ? VMKI_INNER_MAX : VMKI_LEAF_MAX;
}

static unsigned node_low(unsigned level)
{
    return level ? VMKI_INNER_LOW : VMKI_LEAF_LOW;
}

/* ---- Pivots and gaps above a changed node ---- */

/* Gives the path's node of that level a new pivot in the nodes above it, up to where it is not in the first child. */
static void set_pivot(struct vmki_cursor *cursor, unsigned level, uint64_t pivot)
{
    unsigned height = cursor->tree->height;

    for (level++; level < height; level++) {
        vmki_store_relaxed(&vmki_inner(cursor->node[level])->pivot[cursor->slot[level]], pivot);
        if (cursor->slot[level] > 0)
            return;
    }
    vmki_store_relaxed(&cursor->tree->first_start, pivot);
}

/* Gives the path's node of that level a new gap in the nodes above it, as far up as that changes the largest. */
static void set_gap(struct vmki_cursor *cursor, unsigned level, uint64_t gap)
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

/* Counts the gaps of the cursor's leaf again. */
static void refresh_gap(struct vmki_cursor *cursor)
{
    uint64_t limit = vmki_cursor_leaf_limit(cursor);

    if (limit == VMKI_NO_KEY)
        note_last_end(cursor);
    if (cursor->tree->height > 1)
        set_gap(cursor, 0, vmki_leaf_gap(vmki_leaf(cursor->node[0]), limit));
}

/* The same for the leaf of the entry before the cursor, whose gap reaches to what the cursor stands on now. */
static VMKI_NOINLINE void refresh_gap_before(const struct vmki_cursor *cursor)
{
    struct vmki_cursor before = *cursor;

    if (vmki_cursor_retreat(&before))
        refresh_gap(&before);
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
        set_pivot(cursor, 0, start);
    vmki_store_release(word, start);
    if (first)
        set_pivot(cursor, 0, start);
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
        refresh_gap(cursor);
    else if (start)
        refresh_gap_before(cursor);
    return true;
}

/* ---- In place ---- */

/* The start of what follows the rank in the leaf; `limit` follows the last. */
static uint64_t start_or(const struct vmki_tree_leaf *leaf, unsigned rank, uint64_t limit)
{
    return rank < vmki_order_count(leaf->order) ? vmki_leaf_start(leaf, rank) : limit;
}

/* The largest of the gaps behind the ranks from..to-1. */
static uint64_t largest_gap(const struct vmki_tree_leaf *leaf, unsigned from, unsigned to, uint64_t limit)
{
    uint64_t largest = 0;

    for (; from < to; from++) {
        uint64_t next = start_or(leaf, from + 1, limit);
        uint64_t gap = next == VMKI_NO_KEY ? 0 : next - vmki_leaf_end(leaf, from);

        if (gap > largest)
            largest = gap;
    }
    return largest;
}

/* Writes an entry into a free slot, which no reader looks into. */
static void fill_slot(struct vmki_tree_leaf *leaf, unsigned at, const struct vmki_tree_entry *entry)
{
    struct vmki_tree_slot *slot = &leaf->slot[at];

    vmki_store_relaxed(&slot->end, entry->end);
    vmki_store_relaxed(&slot->flags, entry->flags);
    vmki_store_relaxed(&slot->item, entry->item);
    vmki_store_relaxed(&leaf->start[at], entry->start);
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
        set_pivot(cursor, 0, new_first);
    vmki_store_release(&leaf->order, order);
    for (i = from; i < to; i++) /* who sees one of these sees the new order */
        vmki_store_release(&leaf->start[vmki_order_slot(old, i)], VMKI_NO_KEY);
    end_edit(leaf);
    if (new_first > first)
        set_pivot(cursor, 0, new_first);
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
        note_last_end(cursor);
        return;
    }
    limit = vmki_cursor_leaf_limit(cursor);
    largest = vmki_inner(cursor->node[1])->gap[cursor->slot[1]];
    gone = largest_gap(leaf, around, to, limit);
    splice_slots(cursor, to, new_entries, nr_new);
    come = largest_gap(leaf, around, from + nr_new, limit);
    if (come >= largest)
        set_gap(cursor, 0, come);
    else if (gone >= largest)
        set_gap(cursor, 0, vmki_leaf_gap(leaf, limit));
    if (vmki_leaf_start(leaf, 0) != first)
        refresh_gap_before(cursor);
    if (limit == VMKI_NO_KEY)
        note_last_end(cursor);
}

/* ---- Rebuild: what goes into the new nodes of a level ---- */

/* The sibling before (or after) the path's node of that level, under the same parent; NULL when there is none. */
static struct vmki_tree_node *sibling_before(const struct rebuild *rebuild, unsigned level)
{
    const struct vmki_cursor *path = &rebuild->left;

    if (level + 1 >= rebuild->height || path->slot[level + 1] == 0)
        return NULL;
    return vmki_inner(path->node[level + 1])->child[path->slot[level + 1] - 1];
}

static struct vmki_tree_node *sibling_after(const struct rebuild *rebuild, unsigned level)
{
    const struct vmki_cursor *path = &rebuild->right;

    if (level + 1 >= rebuild->height || path->slot[level + 1] + 1u >= path->node[level + 1]->count)
        return NULL;
    return vmki_inner(path->node[level + 1])->child[path->slot[level + 1] + 1];
}

/* Writes a sibling anew too; returns what it holds. */
static unsigned absorb_before(struct rebuild *rebuild, unsigned level, struct vmki_tree_node *node)
{
    unsigned count = vmki_node_count(node);

    rebuild->took_before[level] = true;
    rebuild->part[PART_SIBLING_BEFORE] = (struct part){node, 0, count};
    return count;
}

static unsigned absorb_after(struct rebuild *rebuild, unsigned level, struct vmki_tree_node *node)
{
    unsigned count = vmki_node_count(node);

    rebuild->took_after[level] = true;
    rebuild->part[PART_SIBLING_AFTER] = (struct part){node, 0, count};
    return count;
}

static unsigned part_size(const struct part *part)
{
    return part->to - part->from;
}

/* Sets what stays of the path's nodes and what comes between; returns the sum. */
static unsigned gather(struct rebuild *rebuild, unsigned level, unsigned nr_new)
{
    struct vmki_tree_node *left = rebuild->left.node[level], *right = rebuild->right.node[level];
    struct part *part = rebuild->part;

    part[PART_SIBLING_BEFORE] = (struct part){NULL, 0, 0};
    part[PART_LEFT] = (struct part){left, 0, rebuild->from};
    part[PART_NEW] = (struct part){NULL, 0, nr_new};
    part[PART_RIGHT] = (struct part){right, rebuild->to, vmki_node_count(right)};
    part[PART_SIBLING_AFTER] = (struct part){NULL, 0, 0};
    rebuild->took_before[level] = rebuild->took_after[level] = false;
    return part_size(&part[PART_LEFT]) + nr_new + part_size(&part[PART_RIGHT]);
}

/* Too little for a node of its own: joins the siblings that have room for it.  Returns the new sum. */
static unsigned join_siblings(struct rebuild *rebuild, unsigned level, unsigned total)
{
    struct vmki_tree_node *before = sibling_before(rebuild, level), *after = sibling_after(rebuild, level);
    unsigned room = 2 * node_low(level);

    if (total == 0) { /* nothing to join to others; but the siblings become neighbours */
        if (!before || !after || vmki_node_count(before) + vmki_node_count(after) > room)
            return 0;
        return absorb_before(rebuild, level, before) + absorb_after(rebuild, level, after);
    }
    if (before && total + vmki_node_count(before) <= room)
        total += absorb_before(rebuild, level, before);
    if (after && total + vmki_node_count(after) <= room)
        total += absorb_after(rebuild, level, after);
    return total;
}

/* Whether it helps to divide with a sibling: it is full (three out of two), or has room for more than just this. */
static bool is_worth_sharing(unsigned total, unsigned sibling, unsigned max)
{
    return sibling == max || total + sibling + ROOM_TO_SHARE <= 2 * max;
}

/*
 * Too much for one node.  Divides it into two or, with a sibling, into two or three: so nodes stay filled to four
 * fifths when entries come at random.  When entries come in order, at the end or at the beginning of a full run of
 * nodes, the full ones are left alone.  Returns the number of nodes.
 */
static unsigned divide(struct rebuild *rebuild, unsigned level, unsigned total, unsigned size[MADE_MAX])
{
    struct vmki_tree_node *before = sibling_before(rebuild, level), *after = sibling_after(rebuild, level);
    unsigned max = node_max(level), nr_before = before ? vmki_node_count(before) : max;
    unsigned nr_after = after ? vmki_node_count(after) : max, nr, i;
    bool narrow = rebuild->left.node[level] == rebuild->right.node[level];

    if (narrow && nr_after == max && part_size(&rebuild->part[PART_RIGHT]) == 0) {
        size[0] = max;
        size[1] = total - max;
        return 2;
    }
    if (narrow && nr_before == max && part_size(&rebuild->part[PART_LEFT]) == 0) {
        size[0] = total - max;
        size[1] = max;
        return 2;
    }
    if (narrow && before && (!after || nr_before <= nr_after)) {
        if (is_worth_sharing(total, nr_before, max))
            total += absorb_before(rebuild, level, before);
    } else if (narrow && after && is_worth_sharing(total, nr_after, max)) {
        total += absorb_after(rebuild, level, after);
    }
    nr = (total + max - 1) / max;
    for (i = 0; i < nr; i++)
        size[i] = (total + i) / nr;
    return nr;
}

/*
 * A leaf in which entries were replaced fits into one node, but is so full that the next replacement, which needs free
 * slots beside those of the entries that go, would have to write it anew as well: what is split is often joined again, and
 * the other way round. Divides it in two, or shares with a sibling that has room.
 */
static unsigned loosen(struct rebuild *rebuild, unsigned total, unsigned size[MADE_MAX])
{
    struct vmki_tree_node *before = sibling_before(rebuild, 0), *after = sibling_after(rebuild, 0);

    if (before && total + vmki_node_count(before) <= 2 * LEAF_LOOSE)
        total += absorb_before(rebuild, 0, before);
    else if (after && total + vmki_node_count(after) <= 2 * LEAF_LOOSE)
        total += absorb_after(rebuild, 0, after);
    size[0] = total / 2;
    size[1] = total - total / 2;
    return 2;
}

/* ---- Rebuild: writing the new nodes of a level ---- */

/* The place in the parts from which the next entry or child is taken. */
struct source {
    const struct rebuild *rebuild;
    const struct part *part;
    unsigned at;
};

static void skip_empty_parts(struct source *source)
{
    while (source->at == source->part->to && source->part < &source->rebuild->part[PART_SIBLING_AFTER]) {
        source->part++;
        source->at = source->part->from;
    }
}

static struct source source_begin(const struct rebuild *rebuild)
{
    struct source source = {rebuild, rebuild->part, rebuild->part[0].from};

    skip_empty_parts(&source);
    return source;
}

static void take_entry(struct source *source, struct vmki_tree_entry *entry)
{
    if (source->part->node)
        vmki_leaf_entry(vmki_leaf(source->part->node), source->at, entry);
    else
        *entry = source->rebuild->entries[source->at];
    source->at++;
    skip_empty_parts(source);
}

static void take_child(struct source *source, struct vmki_tree_child *child)
{
    if (source->part->node) {
        struct vmki_tree_inner *inner = vmki_inner(source->part->node);

        child->node = inner->child[source->at];
        child->pivot = inner->pivot[source->at];
        child->gap = inner->gap[source->at];
    } else {
        *child = source->rebuild->made[source->at];
    }
    source->at++;
    skip_empty_parts(source);
}

static struct vmki_tree_child make_leaf(struct source *source, unsigned nr)
{
    struct vmki_tree_leaf *leaf = vmki_tree_take_leaf(source->rebuild->tree);
    unsigned i;

    leaf->order += nr;
    for (i = 0; i < nr; i++) {
        struct vmki_tree_entry entry;

        take_entry(source, &entry);
        leaf->start[i] = entry.start;
        leaf->slot[i] = (struct vmki_tree_slot){entry.end, entry.flags, entry.item};
    }
    return (struct vmki_tree_child){&leaf->head, leaf->start[0], 0};
}

static struct vmki_tree_child make_inner(struct source *source, unsigned level, unsigned nr)
{
    struct vmki_tree_inner *inner = vmki_tree_take_inner(source->rebuild->tree, level);
    unsigned i;

    inner->head.count = (uint8_t)nr;
    for (i = 0; i < nr; i++) {
        struct vmki_tree_child child;

        take_child(source, &child);
        inner->pivot[i] = child.pivot;
        inner->child[i] = child.node;
        inner->gap[i] = child.gap;
    }
    return (struct vmki_tree_child){&inner->head, inner->pivot[0], vmki_inner_gap(inner)};
}

/* The start of the first entry behind the leaves that are being written. */
static uint64_t limit_of_parts(struct rebuild *rebuild)
{
    uint64_t limit;

    rebuild->right.slot[1] = (uint8_t)(rebuild->right.slot[1] + rebuild->took_after[0]);
    limit = vmki_cursor_leaf_limit(&rebuild->right);
    rebuild->right.slot[1] = (uint8_t)(rebuild->right.slot[1] - rebuild->took_after[0]);
    return limit;
}

static void write_leaves(struct rebuild *rebuild, const unsigned *size, unsigned nr)
{
    struct source source = source_begin(rebuild);
    uint64_t limit = limit_of_parts(rebuild);
    unsigned i;

    for (i = 0; i < nr; i++)
        rebuild->made[i] = make_leaf(&source, size[i]);
    for (i = nr; i-- > 0; limit = rebuild->made[i].pivot)
        rebuild->made[i].gap = vmki_leaf_gap(vmki_leaf(rebuild->made[i].node), limit);
}

static void write_inners(struct rebuild *rebuild, unsigned level, const unsigned *size, unsigned nr)
{
    struct source source = source_begin(rebuild);
    struct vmki_tree_child made[MADE_MAX];
    unsigned i;

    for (i = 0; i < nr; i++)
        made[i] = make_inner(&source, level, size[i]);
    for (i = 0; i < nr; i++)
        rebuild->made[i] = made[i];
}

/*
 * Writes the nodes of one level anew: the children (or entries) [from of left, to of right) give way to the nr_new new
 * ones.  Leaves the new nodes in `made`, and in from and to what they replace in the level above.
 */
static void rewrite_level(struct rebuild *rebuild, unsigned level, unsigned nr_new)
{
    unsigned size[MADE_MAX], nr = 1, total = gather(rebuild, level, nr_new);
    bool replaces = nr_new > 0 && (rebuild->left.node[0] != rebuild->right.node[0] || rebuild->to > rebuild->from);

    if (total > node_max(level)) {
        nr = divide(rebuild, level, total, size);
    } else if (level == 0 && replaces && total > LEAF_LOOSE) {
        nr = loosen(rebuild, total, size);
    } else {
        if (total <= node_low(level))
            total = join_siblings(rebuild, level, total);
        size[0] = total;
        nr = total > 0;
    }
    if (level)
        write_inners(rebuild, level, size, nr);
    else
        write_leaves(rebuild, size, nr);
    rebuild->nr_made = nr;
    if (level + 1 < rebuild->height) {
        rebuild->from = rebuild->left.slot[level + 1] - (rebuild->took_before[level] ? 1u : 0u);
        rebuild->to = rebuild->right.slot[level + 1] + (rebuild->took_after[level] ? 2u : 1u);
    }
}

/* ---- Rebuild: publishing ---- */

/* One new child for one old: a single store in their parent, which stays. */
static void publish_child(struct rebuild *rebuild, unsigned level)
{
    struct vmki_cursor *path = &rebuild->left;
    struct vmki_tree_inner *parent = vmki_inner(path->node[level]);
    const struct vmki_tree_child *made = &rebuild->made[0];
    uint64_t pivot = parent->pivot[rebuild->from];

    if (made->pivot < pivot)
        set_pivot(path, level - 1, made->pivot);
    vmki_store_release(&parent->child[rebuild->from], made->node);
    if (made->pivot > pivot)
        set_pivot(path, level - 1, made->pivot);
    set_gap(path, level - 1, made->gap);
}

/* The new nodes become the root, below a new one if there are several.  A root with one child is left out. */
static void publish_root(struct rebuild *rebuild)
{
    struct vmki_tree *tree = rebuild->tree;
    struct vmki_tree_node *root = NULL, *made;
    unsigned i;

    if (rebuild->nr_made > 1) {
        for (i = 0; i < NR_PARTS; i++)
            rebuild->part[i] = (struct part){NULL, 0, i == PART_NEW ? rebuild->nr_made : 0};
        write_inners(rebuild, rebuild->height, &rebuild->nr_made, 1);
        rebuild->nr_made = 1;
    }
    if (rebuild->nr_made)
        root = rebuild->made[0].node;
    for (made = root; root && root->level && root->count == 1;)
        root = vmki_inner(root)->child[0];
    vmki_store_release(&tree->root, root);
    if (tree->above)
        vmki_store_release(tree->above, root);
    tree->height = root ? root->level + 1u : 0;
    while (made != root) {
        struct vmki_tree_node *child = vmki_inner(made)->child[0];

        vmki_tree_retire_node(tree, made);
        made = child;
    }
}

/* Retires the subtrees of that level that lie inside the range; returns the number of entries in them. */
static size_t retire_inside(struct rebuild *rebuild, unsigned level)
{
    struct vmki_cursor *left = &rebuild->left, *right = &rebuild->right;
    struct vmki_tree_inner *first = vmki_inner(left->node[level]), *last = vmki_inner(right->node[level]);
    unsigned end = first == last ? right->slot[level] : first->head.count, i;
    size_t nr_entries = 0;

    for (i = left->slot[level] + 1u; i < end; i++)
        nr_entries += vmki_tree_retire_subtree(rebuild->tree, first->child[i]);
    for (i = 0; first != last && i < right->slot[level]; i++)
        nr_entries += vmki_tree_retire_subtree(rebuild->tree, last->child[i]);
    return nr_entries;
}

/*
 * Retires what the new nodes have replaced, below level `top`: from the leaves up, since the parents say where the
 * siblings are.  Returns the number of entries in subtrees that were dropped whole.
 */
static size_t retire_old(struct rebuild *rebuild, unsigned top)
{
    struct vmki_cursor *left = &rebuild->left, *right = &rebuild->right;
    size_t nr_entries = 0;
    bool narrow = true; /* the level below has one path */
    unsigned level;

    for (level = 0; level < top; level++) {
        if (!narrow)
            nr_entries += retire_inside(rebuild, level);
        narrow = left->node[level] == right->node[level];
        if (rebuild->took_before[level])
            vmki_tree_retire_node(rebuild->tree, sibling_before(rebuild, level));
        if (rebuild->took_after[level])
            vmki_tree_retire_node(rebuild->tree, sibling_after(rebuild, level));
        if (!narrow)
            vmki_tree_retire_node(rebuild->tree, right->node[level]);
        vmki_tree_retire_node(rebuild->tree, left->node[level]);
    }
    return nr_entries;
}

/* Writes and publishes all levels that change; returns the number of entries in subtrees that were dropped whole. */
static size_t run_rebuild(struct rebuild *rebuild, unsigned nr_new)
{
    unsigned level;

    rewrite_level(rebuild, 0, nr_new);
    for (level = 1; level < rebuild->height; level++) {
        if (rebuild->left.node[level] == rebuild->right.node[level] && rebuild->nr_made == 1 &&
            rebuild->to - rebuild->from == 1) {
            publish_child(rebuild, level);
            break;
        }
        rewrite_level(rebuild, level, rebuild->nr_made);
    }
    if (level == rebuild->height)
        publish_root(rebuild);
    return retire_old(rebuild, level);
}

/* ---- The splice ---- */

/* The path to the last entry that starts below `until`, which exists; slot[0] is the rank behind it. */
static void seek_last(struct vmki_cursor *cursor, struct vmki_tree *tree, uint64_t until)
{
    struct vmki_tree_node *node;

    cursor->tree = tree;
    for (node = tree->root; node->level; node = vmki_inner(node)->child[cursor->slot[node->level]]) {
        cursor->node[node->level] = node;
        cursor->slot[node->level] = (uint8_t)vmki_inner_slot(vmki_inner(node), until - 1);
    }
    cursor->node[0] = node;
    cursor->slot[0] = (uint8_t)vmki_leaf_rank(vmki_leaf(node), until - 1);
}

/* The slow way.  `to` is the rank behind the last entry that goes; `wide` if that is in another leaf. */
static void splice_rebuild(struct vmki_cursor *cursor, unsigned to, bool wide, uint64_t until,
                           const struct vmki_tree_entry *new_entries, unsigned nr_new)
{
    struct vmki_tree *tree = cursor->tree;
    struct vmki_tree_leaf *leaf = vmki_leaf(cursor->node[0]);
    unsigned from = cursor->slot[0], count = vmki_order_count(leaf->order);
    uint64_t address = from < count ? vmki_leaf_start(leaf, from) : VMKI_TREE_MAX_END;
    size_t removed = to - from;
    struct rebuild rebuild;

    rebuild.tree = tree;
    rebuild.height = tree->height;
    rebuild.entries = new_entries;
    rebuild.left = rebuild.right = *cursor;
    rebuild.right.slot[0] = (uint8_t)to;
    if (nr_new)
        address = new_entries[0].start;
    if (wide) {
        seek_last(&rebuild.right, tree, until);
        removed = count - from + rebuild.right.slot[0];
    }
    rebuild.from = from;
    rebuild.to = rebuild.right.slot[0];
    removed += run_rebuild(&rebuild, nr_new);
    tree->nr_entries -= removed;
    vmki_tree_note_ends(tree);
    vmki_cursor_seek(cursor, tree, address);
    if (from == 0 && !rebuild.took_before[0])
        refresh_gap_before(cursor);
}

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
        splice_rebuild(cursor, to, true, until, new_entries, nr_new);
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
        splice_rebuild(cursor, to, false, until, new_entries, nr_new);
    }
    tree->nr_entries += nr_new;
}

bool vmki_cursor_reserve(const struct vmki_cursor *cursor, vmk_addr until, unsigned nr_new)
{
    struct vmki_cursor at = *cursor;
    unsigned to;

    if (until > VMKI_TREE_MAX_END)
        until = VMKI_TREE_MAX_END;
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
    if (until > VMKI_TREE_MAX_END)
        until = VMKI_TREE_MAX_END;
    vmki_tree_begin_edit(cursor->tree);
    if (cursor->node[0])
        splice_leaf(cursor, until, new_entries, nr_new);
    else if (nr_new)
        splice_empty(cursor, new_entries, nr_new);
    vmki_tree_end_edit(cursor->tree);
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

bool vmki_cursor_tile_fits(const struct vmki_cursor *cursor, unsigned nr_old, unsigned nr_new)
{
    unsigned count = vmki_order_count(vmki_leaf(cursor->node[0])->order), rest = count - nr_old + nr_new;

    return count + nr_new <= VMKI_LEAF_MAX && keeps_filled(cursor->tree, count, rest);
}

void vmki_cursor_tile(struct vmki_cursor *cursor, unsigned nr_old, const struct vmki_tree_entry *new_entries,
                      unsigned nr_new)
{
    struct vmki_tree_leaf *leaf = vmki_leaf(cursor->node[0]);
    uint64_t old = leaf->order, order;
    unsigned rank = cursor->slot[0], i;

    cursor->tree->nr_entries += nr_new;
    cursor->tree->nr_entries -= nr_old;
    order = vmki_order_splice(old, rank, rank + nr_old, nr_new);
    vmki_tree_begin_edit(cursor->tree);
    begin_edit(leaf);
    for (i = 0; i < nr_new; i++)
        fill_slot(leaf, vmki_order_slot(order, rank + i), &new_entries[i]);
    vmki_store_release(&leaf->order, order);
    for (i = 0; i < nr_old; i++) /* who sees one of these sees the new order */
        vmki_store_release(&leaf->start[vmki_order_slot(old, rank + i)], VMKI_NO_KEY);
    end_edit(leaf);
    vmki_tree_end_edit(cursor->tree);
}

/* The end of the gap below the cursor's entry; VMKI_NO_KEY above all entries. */
static uint64_t next_start(const struct vmki_tree_leaf *leaf, unsigned rank)
{
    return rank < vmki_order_count(leaf->order) ? vmki_leaf_start(leaf, rank) : VMKI_NO_KEY;
}

bool vmki_cursor_insert_fits(const struct vmki_cursor *cursor, vmk_addr start, vmk_addr end)
{
    const struct vmki_tree_leaf *leaf = vmki_leaf(cursor->node[0]);
    unsigned rank = cursor->slot[0];

    return leaf != NULL && rank > 0 && vmki_order_count(leaf->order) < VMKI_LEAF_MAX &&
           vmki_leaf_end(leaf, rank - 1) < start && next_start(leaf, rank) > end;
}

/* The order with the first free slot put at the rank; and with the slot of the rank made the first free one. */
static uint64_t order_insert(uint64_t order, unsigned rank)
{
    unsigned from = 4 * rank + 4, count = vmki_order_count(order), to = 4 * count + 4;
    uint64_t below = order & ((UINT64_C(1) << from) - 1), moved = order & ((UINT64_C(1) << to) - 1);
    uint64_t slot = order >> to & 15, above = to < 60 ? order >> (to + 4) << (to + 4) : 0;

    return (above | (moved ^ below) << 4 | slot << from | below) + 1;
}

static uint64_t order_erase(uint64_t order, unsigned rank)
{
    unsigned from = 4 * rank + 4, count = vmki_order_count(order), to = 4 * count + 4;
    uint64_t below = order & ((UINT64_C(1) << from) - 1), slot = order >> from & 15;
    uint64_t kept = to < 64 ? order & ((UINT64_C(1) << to) - 1) : order, moved = kept >> (from + 3) >> 1 << from;

    return ((order ^ kept) | slot << (to - 4) | moved | below) - 1;
}

void vmki_cursor_insert(struct vmki_cursor *cursor, const struct vmki_tree_entry *new_entry)
{
    struct vmki_tree *tree = cursor->tree;
    struct vmki_tree_leaf *leaf = vmki_leaf(cursor->node[0]);
    unsigned rank = cursor->slot[0], count = vmki_order_count(leaf->order);
    uint64_t end = vmki_leaf_end(leaf, rank - 1), next = next_start(leaf, rank), largest, gap = new_entry->start - end;

    vmki_tree_begin_edit(cursor->tree);
    begin_edit(leaf);
    fill_slot(leaf, vmki_order_slot(leaf->order, count), new_entry);
    vmki_store_release(&leaf->order, order_insert(leaf->order, rank));
    end_edit(leaf);
    tree->nr_entries++;
    if (next == VMKI_NO_KEY)
        vmki_store_relaxed(&tree->last_end, new_entry->end);
    largest = tree->height > 1 ? vmki_inner(cursor->node[1])->gap[cursor->slot[1]] : UINT64_MAX;
    if (next == VMKI_NO_KEY && gap > largest) /* the gap behind the last entry counted for nothing */
        set_gap(cursor, 0, gap);
    else if (next != VMKI_NO_KEY && next - end == largest)
        set_gap(cursor, 0, vmki_leaf_gap(leaf, vmki_cursor_leaf_limit(cursor)));
    vmki_tree_end_edit(tree);
}

bool vmki_cursor_erase_fits(const struct vmki_cursor *cursor)
{
    unsigned rank = cursor->slot[0], count = vmki_order_count(vmki_leaf(cursor->node[0])->order);

    return rank > 0 && keeps_filled(cursor->tree, count, count - 1) &&
           (rank + 1 < count || vmki_cursor_leaf_limit(cursor) != VMKI_NO_KEY);
}

void vmki_cursor_erase(struct vmki_cursor *cursor)
{
    struct vmki_tree_leaf *leaf = vmki_leaf(cursor->node[0]);
    unsigned rank = cursor->slot[0], count = vmki_order_count(leaf->order), slot = vmki_order_slot(leaf->order, rank);
    uint64_t end = vmki_leaf_end(leaf, rank - 1);
    uint64_t next = rank + 1 < count ? vmki_leaf_start(leaf, rank + 1) : vmki_cursor_leaf_limit(cursor);

    vmki_tree_begin_edit(cursor->tree);
    begin_edit(leaf);
    vmki_store_release(&leaf->order, order_erase(leaf->order, rank));
    vmki_store_release(&leaf->start[slot], VMKI_NO_KEY); /* who sees this sees the new order */
    end_edit(leaf);
    cursor->tree->nr_entries--;
    if (cursor->tree->height > 1 && next - end > vmki_inner(cursor->node[1])->gap[cursor->slot[1]])
        set_gap(cursor, 0, next - end);
    vmki_tree_end_edit(cursor->tree);
    if (rank + 1 == count)
        cursor->node[0] = NULL;
}
