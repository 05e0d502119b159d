/* SPDX-License-Identifier: MIT */
/*
 * tree.c - the life of a tree and of its nodes: reserve, take, retire, build, destroy.
 */
#include "base/base.h"
#include "tree/node.h"

void vmki_tree_init(struct vmki_tree *tree, const struct vmki_tree_memory *memory)
{
    *tree = (struct vmki_tree){.memory = memory};
}

/* ---- Reserved nodes ---- */

/*
 * The most nodes that one splice takes from a tree of that height:
 *   - below the root's level at most 3 a level.  There it rewrites what stays of one node, or of the two at the ends of
 *     the range, with the new entries or children between, and at most one sibling; together never more than three
 *     nodes full (see divide() in rebuild.c, which asserts nothing but the sums: 21 + 15 or 34 entries, 43 children);
 *   - it makes at most one node more than it replaces, so the root grows by one child or six entries: 2 nodes;
 *   - and a new root above those: 1.
 * Nodes and subtrees inside the range are dropped whole and need none.
 */
static unsigned need_of_splice(unsigned height)
{
    return height ? 3 * height : 1;
}

/*
 * A splice adds at most one node to a level.  So a second splice meets at most one more level, and yet another one
 * only when the new root, of two children, has been filled.
 */
static unsigned need_of_splices(unsigned height, unsigned nr_splices)
{
    unsigned need = need_of_splice(height), i;

    for (i = 1; i < nr_splices; i++)
        need += need_of_splice((height ? height : 1) + 1 + i / 16);
    return nr_splices ? need : 0;
}

static void put_spare(struct vmki_tree *tree, struct vmki_tree_node *node)
{
    *vmki_spare_link(node) = tree->spare;
    tree->spare = node;
    tree->nr_spare++;
    tree->nr_nodes_bytes += VMKI_NODE_SIZE;
}

static bool add_spare(struct vmki_tree *tree)
{
    struct vmki_tree_node *node = tree->memory->alloc(tree->memory->context, VMKI_NODE_SIZE);

    if (node)
        put_spare(tree, node);
    return node != NULL;
}

static struct vmki_tree_node *take_spare(struct vmki_tree *tree)
{
    struct vmki_tree_node *node = tree->spare;

    tree->spare = *vmki_spare_link(node);
    tree->nr_spare--;
    return node;
}

static bool reserve_nodes(struct vmki_tree *tree, size_t nr)
{
    while (tree->nr_spare < nr) {
        if (!add_spare(tree))
            return false;
    }
    return true;
}

/* The nodes of a tree that is built at once come together, if the memory can do that, and are taken in the order of addresses. */
static bool reserve_together(struct vmki_tree *tree, size_t nr)
{
    const struct vmki_tree_memory *memory = tree->memory;
    void *first;

    while (memory->alloc_many && tree->nr_spare < nr) {
        size_t got = memory->alloc_many(memory->context, VMKI_NODE_SIZE, nr - tree->nr_spare, &first);

        if (got == 0)
            break;
        while (got > 0)
            put_spare(tree, (struct vmki_tree_node *)(void *)((char *)first + --got * VMKI_NODE_SIZE));
    }
    return reserve_nodes(tree, nr);
}

bool vmki_tree_reserve(struct vmki_tree *tree, unsigned nr_splices)
{
    return reserve_nodes(tree, need_of_splices(tree->height, nr_splices));
}

void vmki_tree_release_spare(struct vmki_tree *tree, unsigned keep)
{
    while (tree->nr_spare > keep) {
        struct vmki_tree_node *node = take_spare(tree);

        tree->nr_nodes_bytes -= VMKI_NODE_SIZE;
        tree->memory->free(tree->memory->context, node, VMKI_NODE_SIZE);
    }
}

struct vmki_tree_leaf *vmki_tree_take_leaf(struct vmki_tree *tree)
{
    struct vmki_tree_leaf *leaf = vmki_leaf(take_spare(tree));
    unsigned i;

    leaf->head.version = 0;
    leaf->head.level = 0;
    leaf->order = VMKI_ORDER_EMPTY;
    for (i = 0; i < VMKI_LEAF_MAX; i++)
        leaf->start[i] = VMKI_NO_KEY;
    return leaf;
}

struct vmki_tree_inner *vmki_tree_take_inner(struct vmki_tree *tree, unsigned level)
{
    struct vmki_tree_inner *inner = vmki_inner(take_spare(tree));
    unsigned i;

    inner->head.level = (uint8_t)level;
    inner->head.count = 0;
    for (i = 0; i < VMKI_INNER_MAX; i++)
        inner->pivot[i] = VMKI_NO_KEY;
    return inner;
}

/* ---- Giving nodes away ---- */

/* Readers that stand in it go on, but look into no item any more. */
static void mark_dead(struct vmki_tree_node *node)
{
    if (node->level != 0)
        return;
    vmki_store_release(&node->version, vmki_version_after(node->version, 2) | VMKI_VERSION_DEAD);
}

void vmki_tree_retire_node(struct vmki_tree *tree, struct vmki_tree_node *node)
{
    mark_dead(node);
    tree->nr_nodes_bytes -= VMKI_NODE_SIZE;
    tree->memory->retire(tree->memory->context, node, VMKI_NODE_SIZE);
}

/*
 * Hands a node and all below it to `give`, children before their parents, and returns the number of entries.
 */
static size_t give_subtree(struct vmki_tree *tree, struct vmki_tree_node *node,
                           void (*give)(void *context, void *node, size_t size))
{
    struct vmki_tree_inner *path[VMKI_TREE_MAX_HEIGHT];
    unsigned next[VMKI_TREE_MAX_HEIGHT], depth = 0;
    size_t nr_entries = 0;

    for (;;) {
        if (node->level) {
            path[depth] = vmki_inner(node);
            next[depth++] = 0;
        } else {
            nr_entries += vmki_node_count(node);
            mark_dead(node);
            tree->nr_nodes_bytes -= VMKI_NODE_SIZE;
            give(tree->memory->context, node, VMKI_NODE_SIZE);
        }
        while (depth && next[depth - 1] == path[depth - 1]->head.count) {
            tree->nr_nodes_bytes -= VMKI_NODE_SIZE;
            give(tree->memory->context, path[--depth], VMKI_NODE_SIZE);
        }
        if (!depth)
            return nr_entries;
        node = path[depth - 1]->child[next[depth - 1]++];
    }
}

size_t vmki_tree_retire_subtree(struct vmki_tree *tree, struct vmki_tree_node *node)
{
    return give_subtree(tree, node, tree->memory->retire);
}

void vmki_tree_destroy(struct vmki_tree *tree)
{
    if (tree->root)
        give_subtree(tree, tree->root, tree->memory->free);
    vmki_tree_release_spare(tree, 0);
    *tree = (struct vmki_tree){.memory = tree->memory};
}

void vmki_tree_clear(struct vmki_tree *tree)
{
    struct vmki_tree_node *root = tree->root;

    if (root == NULL)
        return;
    vmki_tree_begin_edit(tree);
    vmki_store_release(&tree->root, NULL);
    vmki_tree_note_ends(tree);
    vmki_tree_end_edit(tree);
    give_subtree(tree, root, tree->memory->retire);
    tree->nr_entries = 0;
    tree->height = 0;
}

/* ---- What the tree remembers of its two ends ---- */

void vmki_tree_note_ends(struct vmki_tree *tree)
{
    struct vmki_tree_node *node = tree->root;
    uint64_t first = 0, last = 0;

    if (node) {
        first = node->level ? vmki_inner_const(node)->pivot[0] : vmki_leaf_start(vmki_leaf_const(node), 0);
        while (node->level)
            node = vmki_inner(node)->child[node->count - 1];
        last = vmki_leaf_end(vmki_leaf_const(node), vmki_order_count(vmki_leaf_const(node)->order) - 1);
    }
    vmki_store_relaxed(&tree->first_start, first);
    vmki_store_relaxed(&tree->last_end, last);
    vmki_store_release(&tree->last_leaf, node);
}

/* ---- Building ---- */

/* What a copy keeps of nodes that it did not need, since entries were left out: for the next splices. */
enum { KEEP_SPARE = 9 };

/* The right edge of a tree that grows: the open node of each level. */
struct builder {
    struct vmki_tree *tree;
    struct vmki_tree_leaf *leaf;
    struct vmki_tree_inner *inner[VMKI_TREE_MAX_HEIGHT]; /* by level; [0] is unused */
    size_t nr;                                           /* entries so far */
};

/* Nodes of a tree of nr entries, all but the last of each level full. */
static size_t nodes_of_build(size_t nr)
{
    size_t level = (nr + VMKI_LEAF_MAX - 1) / VMKI_LEAF_MAX;
    size_t total = level;

    while (level > 1) {
        level = (level + VMKI_INNER_MAX - 1) / VMKI_INNER_MAX;
        total += level;
    }
    return total;
}

static void add_child(struct vmki_tree_inner *inner, const struct vmki_tree_child *child)
{
    unsigned slot = inner->head.count++;

    inner->pivot[slot] = child->pivot;
    inner->child[slot] = child->node;
    inner->gap[slot] = child->gap;
}

static struct vmki_tree_child inner_as_child(struct vmki_tree_inner *inner)
{
    return (struct vmki_tree_child){&inner->head, inner->pivot[0], vmki_inner_gap(inner)};
}

/* Puts a finished node of that level under its parent; a full parent is finished first. */
static void add_to_parent(struct builder *builder, unsigned level, struct vmki_tree_child child)
{
    for (;;) {
        struct vmki_tree_inner *parent = builder->inner[level + 1];
        struct vmki_tree_child full;

        if (parent && parent->head.count < VMKI_INNER_MAX) {
            add_child(parent, &child);
            return;
        }
        builder->inner[level + 1] = vmki_tree_take_inner(builder->tree, level + 1);
        add_child(builder->inner[level + 1], &child);
        if (!parent)
            return;
        full = inner_as_child(parent);
        child = full;
        level++;
    }
}

/* Closes the open leaf; the next entry of the tree starts at `limit`. */
static void finish_leaf(struct builder *builder, uint64_t limit)
{
    struct vmki_tree_leaf *leaf = builder->leaf;
    struct vmki_tree_child child = {&leaf->head, vmki_leaf_start(leaf, 0), vmki_leaf_class_holes(leaf, limit)};

    add_to_parent(builder, 0, child);
}

/* The entry was written just now, word by word: a wider load would wait until the words are in the cache. */
static VMKI_INLINE void add_entry(struct builder *builder, const struct vmki_tree_entry *entry)
{
    vmk_addr start = vmki_load_relaxed(&entry->start), end = vmki_load_relaxed(&entry->end);
    uint64_t flags = vmki_load_relaxed(&entry->flags);
    struct vmki_tree_leaf *leaf = builder->leaf;
    unsigned slot;

    if (leaf && vmki_order_count(leaf->order) == VMKI_LEAF_MAX) {
        finish_leaf(builder, start);
        leaf = NULL;
    }
    if (!leaf) {
        leaf = builder->leaf = vmki_tree_take_leaf(builder->tree);
        if (builder->tree->spare) /* reserved long ago: let the next one come while this one is filled */
            vmki_fetch_node(builder->tree->spare);
    }
    slot = vmki_order_count(leaf->order++);
    leaf->start[slot] = start;
    leaf->slot[slot] = (struct vmki_tree_slot){end, flags, vmki_load_relaxed(&entry->item)};
    builder->nr++;
}

/* Closes what is open, level by level, up to the first level with one node: the root. */
static struct vmki_tree_node *finish_root(struct builder *builder)
{
    struct vmki_tree_node *root;
    unsigned level = 1;

    if (!builder->inner[1]) {
        vmki_leaf_class_holes(builder->leaf, VMKI_NO_KEY);
        return &builder->leaf->head;
    }
    finish_leaf(builder, VMKI_NO_KEY);
    for (root = &builder->inner[1]->head; builder->inner[level + 1]; level++) {
        add_to_parent(builder, level, inner_as_child(builder->inner[level]));
        root = &builder->inner[level + 1]->head;
    }
    return root;
}

static void finish_tree(struct builder *builder)
{
    struct vmki_tree_node *root = finish_root(builder);
    struct vmki_tree *tree = builder->tree;

    tree->height = root->level + 1u;
    tree->nr_entries = builder->nr;
    vmki_tree_begin_edit(tree);
    vmki_store_release(&tree->root, root);
    vmki_tree_note_ends(tree);
    vmki_tree_end_edit(tree);
}

bool vmki_tree_build(struct vmki_tree *tree, size_t nr, void (*next)(void *context, struct vmki_tree_entry *entry),
                     void *context)
{
    struct builder builder = {.tree = tree};
    size_t i;

    if (!reserve_together(tree, nodes_of_build(nr))) {
        vmki_tree_release_spare(tree, 0);
        return false;
    }
    if (nr == 0)
        return true;
    for (i = 0; i < nr; i++) {
        struct vmki_tree_entry entry;

        next(context, &entry);
        add_entry(&builder, &entry);
    }
    finish_tree(&builder);
    return true;
}

/* Items lie where they were allocated: lets those that will be looked at come. */
static VMKI_INLINE void fetch_items(const struct vmki_tree_leaf *leaf, uint64_t blind)
{
    uint64_t order = leaf->order;

    for (unsigned left = vmki_order_count(order); left > 0; left--) {
        const struct vmki_tree_slot *slot = &leaf->slot[(order >>= 4) & 15];

        if ((slot->flags & blind) != 0)
            continue;
        __builtin_prefetch(slot->item);
        __builtin_prefetch((const char *)slot->item + 48);
    }
}

/*
 * While a leaf is copied: asks for the leaf after the next one, and for what will be looked at of the next one, which is there, if
 * something was in the one before.
 */
static VMKI_INLINE void fetch_ahead(const struct vmki_cursor *cursor, bool fetches_items, uint64_t blind)
{
    const struct vmki_tree_inner *parent;
    unsigned slot;

    if (cursor->tree->height < 2)
        return;
    parent = vmki_inner(cursor->node[1]);
    slot = cursor->slot[1];
    if (slot + 2u < parent->head.count)
        for (unsigned at = 0; at < VMKI_NODE_SIZE; at += 64)
            __builtin_prefetch((const char *)parent->child[slot + 2u] + at);
    if (fetches_items && slot + 1u < parent->head.count)
        fetch_items(vmki_leaf(parent->child[slot + 1u]), blind);
}

/* Gives up what was built so far: nobody has seen it. */
static void drop_builder(struct builder *builder)
{
    struct vmki_tree *tree = builder->tree;
    unsigned level;

    if (builder->leaf)
        *vmki_spare_link(&builder->leaf->head) = tree->spare, tree->spare = &builder->leaf->head, tree->nr_spare++;
    for (level = 1; builder->inner[level]; level++) {
        struct vmki_tree_inner *inner = builder->inner[level];

        while (inner->head.count > 0)
            give_subtree(tree, inner->child[--inner->head.count], tree->memory->free);
        tree->nr_nodes_bytes -= VMKI_NODE_SIZE;
        tree->memory->free(tree->memory->context, inner, VMKI_NODE_SIZE);
    }
    vmki_tree_release_spare(tree, 0);
}

/* False when it was told to stop. Leaves in *all the flags that all entries have. */
static VMKI_INLINE bool copy_leaf(struct builder *builder, const struct vmki_tree_leaf *leaf,
                                  enum vmki_tree_take (*take)(void *context, struct vmki_tree_entry *entry),
                                  void *context, uint64_t *all)
{
    uint64_t order = leaf->order;

    *all = ~UINT64_C(0);

    for (unsigned left = vmki_order_count(order); left > 0; left--) {
        const struct vmki_tree_slot *slot = &leaf->slot[(order >>= 4) & 15];
        struct vmki_tree_entry entry = {leaf->start[order & 15], slot->end, slot->flags, slot->item};
        enum vmki_tree_take taken;

        *all &= entry.flags;
        taken = take(context, &entry);
        if (taken == VMKI_TREE_STOP)
            return false;
        if (taken == VMKI_TREE_LEAVE)
            continue;
        add_entry(builder, &entry);
    }
    return true;
}

bool vmki_tree_copy(struct vmki_tree *tree, const struct vmki_tree *from, uint64_t blind,
                    enum vmki_tree_take (*take)(void *context, struct vmki_tree_entry *entry), void *context)
{
    struct builder builder = {.tree = tree};
    struct vmki_cursor cursor;
    uint64_t all = blind;
    bool more;

    if (!reserve_together(tree, nodes_of_build(from->nr_entries))) {
        vmki_tree_release_spare(tree, 0);
        return false;
    }
    more = vmki_cursor_first(&cursor, (struct vmki_tree *)(uintptr_t)from);
    for (; more; more = vmki_cursor_advance(&cursor)) {
        fetch_ahead(&cursor, (all & blind) != blind, blind);
        if (!copy_leaf(&builder, vmki_leaf_const(cursor.node[0]), take, context, &all)) {
            drop_builder(&builder);
            return false;
        }
        cursor.slot[0] = (uint8_t)(vmki_node_count(cursor.node[0]) - 1);
    }
    if (builder.nr != 0)
        finish_tree(&builder);
    vmki_tree_release_spare(tree, KEEP_SPARE);
    return true;
}
