/* SPDX-License-Identifier: MIT */
/*
 * rebuild.c - the slow way of a splice: the leaf, or the leaves at both ends, are written anew.
 *
 * With a sibling where that keeps nodes filled. The new leaves replace the old ones in their parent; where that is not one
 * pointer for one pointer the parent is written anew as well, and so on up. One store of a child pointer, or of the root,
 * publishes it.
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

static struct source source_begin(const struct rebuild *rebuild)
{
    return (struct source){rebuild, rebuild->part, rebuild->part[0].from};
}

/* To where something is left; there is. */
static void skip_empty_parts(struct source *source)
{
    while (source->at == source->part->to) {
        source->part++;
        source->at = source->part->from;
    }
}

static void take_entry(struct source *source, struct vmki_tree_entry *entry)
{
    skip_empty_parts(source);
    if (source->part->node)
        vmki_leaf_entry(vmki_leaf(source->part->node), source->at, entry);
    else
        *entry = source->rebuild->entries[source->at];
    source->at++;
}

static void take_child(struct source *source, struct vmki_tree_child *child)
{
    skip_empty_parts(source);
    if (source->part->node) {
        struct vmki_tree_inner *inner = vmki_inner(source->part->node);

        child->node = inner->child[source->at];
        child->pivot = inner->pivot[source->at];
        child->gap = inner->gap[source->at];
    } else {
        *child = source->rebuild->made[source->at];
    }
    source->at++;
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
    return (struct vmki_tree_child){.node = &leaf->head, .pivot = leaf->start[0]};
}

static struct vmki_tree_child make_inner(struct source *source, unsigned level, unsigned nr)
{
    struct vmki_tree_inner *inner = vmki_tree_take_inner(source->rebuild->tree, level);
    uint64_t largest = 0;
    unsigned i;

    inner->head.count = (uint8_t)nr;
    for (i = 0; i < nr; i++) {
        struct vmki_tree_child child;

        take_child(source, &child);
        inner->pivot[i] = child.pivot;
        inner->child[i] = child.node;
        inner->gap[i] = child.gap;
        largest = vmki_max(largest, child.gap);
    }
    return (struct vmki_tree_child){&inner->head, inner->pivot[0], largest};
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
        rebuild->made[i].gap = vmki_leaf_class_holes(vmki_leaf(rebuild->made[i].node), limit);
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
        vmki_tree_set_pivot(path, level - 1, made->pivot);
    vmki_store_release(&parent->child[rebuild->from], made->node);
    if (made->pivot > pivot)
        vmki_tree_set_pivot(path, level - 1, made->pivot);
    vmki_tree_set_gap(path, level - 1, made->gap);
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

/* ---- The slow way of a splice ---- */

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

void vmki_tree_rebuild(struct vmki_cursor *cursor, unsigned to, bool wide, uint64_t until,
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
        vmki_tree_refresh_gap_before(cursor);
}
