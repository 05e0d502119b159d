/* SPDX-License-Identifier: MIT */
/*
 * find.c - what only reads: lookups without a lock, and cursors for those who hold writers off.
 *
 * A lookup goes down once and takes its answer from one leaf under that leaf's version.  The writer may move on
 * meanwhile; the answer was right at some moment of the call.  Where the answer is not in the leaf, the next leaf is
 * found by going down again with the pivot that ended the search: never by a pointer between leaves, which could lead
 * from an old state into a new one and skip an entry.
 */
#include "base/base.h"
#include "tree/node.h"

/* ---- Lookups without a lock ---- */

/* The leaf in which the last entry that starts at or below the address is; NULL when the tree is empty. */
static VMKI_INLINE const struct vmki_tree_leaf *descend(const struct vmki_tree *tree, uint64_t address)
{
    struct vmki_tree_node *node = vmki_load_acquire(&tree->root);
    unsigned height, level;

    if (VMKI_UNLIKELY(!node))
        return NULL;
    height = node->level;
    for (level = height; level > 0; level--) {
        struct vmki_tree_inner *inner = vmki_inner(node);

        node = vmki_load_acquire(&inner->child[vmki_inner_pivot(inner, address) - inner->pivot]);
    }
    if (height >= VMKI_LARGE_LEVEL)
        vmki_fetch_behind_head(node);
    return vmki_leaf(node);
}

/* As descend; *above is the least pivot right of the path, VMKI_NO_KEY if none. */
static VMKI_INLINE const struct vmki_tree_leaf *descend_above(const struct vmki_tree *tree, uint64_t address,
                                                              uint64_t *above)
{
    struct vmki_tree_node *node = vmki_load_acquire(&tree->root);

    *above = VMKI_NO_KEY;
    while (node && node->level) {
        struct vmki_tree_inner *inner = vmki_inner(node);
        unsigned slot = vmki_inner_slot(inner, address);

        if (slot + 1 < node->count)
            *above = vmki_load_relaxed(&inner->pivot[slot + 1]);
        node = vmki_load_acquire(&inner->child[slot]);
    }
    return node ? vmki_leaf(node) : NULL;
}

/* As descend; *below is the greatest pivot on the path that has nodes left of it, 0 if none. */
static VMKI_INLINE const struct vmki_tree_leaf *descend_below(const struct vmki_tree *tree, uint64_t address,
                                                              uint64_t *below)
{
    struct vmki_tree_node *node = vmki_load_acquire(&tree->root);

    *below = 0;
    while (node && node->level) {
        struct vmki_tree_inner *inner = vmki_inner(node);
        unsigned slot = vmki_inner_slot(inner, address);

        if (slot > 0)
            *below = vmki_load_relaxed(&inner->pivot[slot]);
        node = vmki_load_acquire(&inner->child[slot]);
    }
    return node ? vmki_leaf(node) : NULL;
}

/*
 * A look into a leaf for an address: what is read between begin_look() and holds() belongs together if holds() says so.
 */
struct look {
    const struct vmki_tree_leaf *leaf;
    uint64_t order;
    uint32_t version;
    unsigned rank;   /* entries that start at or below the address */
    uint64_t before; /* start of the last of them, if rank > 0 */
};

static inline uint64_t start_of(const struct look *look, unsigned rank)
{
    return vmki_load_relaxed(&look->leaf->start[vmki_order_slot(look->order, rank)]);
}

static inline void begin_look(struct look *look, const struct vmki_tree_leaf *leaf)
{
    look->leaf = leaf;
    look->version = vmki_load_acquire(&leaf->head.version);
    look->order = vmki_load_acquire(&leaf->order);
}

/*
 * Whether the leaf is still as it was when the look began, as far as a reader can tell: no second splice has begun, so
 * no slot was used again, and at most one word of one entry has changed; and the order is the same, so the starts in it
 * have not become free ones.
 */
static inline bool holds(const struct look *look)
{
    uint64_t order;

    vmki_fence_acquire();
    order = vmki_load_acquire(&look->leaf->order);
    return order == look->order && vmki_load_relaxed(&look->leaf->head.version) == look->version;
}

/* The entry of that rank, with the start that was seen (it may be moving). */
static inline void read_entry(const struct look *look, unsigned rank, uint64_t start, struct vmki_tree_entry *entry)
{
    const struct vmki_tree_slot *slot = &look->leaf->slot[vmki_order_slot(look->order, rank)];

    entry->start = start;
    entry->end = vmki_load_relaxed(&slot->end);
    entry->flags = vmki_load_relaxed(&slot->flags);
    entry->item = vmki_load_relaxed(&slot->item);
}

/* What vmki_tree_holds needs to know of it, for who wants that. */
static inline void note_look(const struct look *look, struct vmki_tree_look *taken)
{
    if (taken != NULL)
        *taken = (struct vmki_tree_look){&look->leaf->head, look->order, look->version};
}

/*
 * The short way: the last entry that starts at or below the address; all of it, or end and flags alone.  False when there
 * is none, and when the leaf is being edited.
 */
static VMKI_INLINE bool peek(const struct vmki_tree_leaf *leaf, uint64_t address, struct vmki_tree_entry *entry,
                             bool whole, struct vmki_tree_look *taken)
{
    const struct vmki_tree_slot *slot;
    struct look look;
    uint64_t rest;
    unsigned at;

    begin_look(&look, leaf);
    rest = vmki_leaf_seek(leaf, look.order, address);
    if (VMKI_UNLIKELY(look.version & 1 || rest == look.order))
        return false;
    at = rest & 15;
    slot = &leaf->slot[at];
    entry->end = vmki_load_relaxed(&slot->end);
    entry->flags = vmki_load_relaxed(&slot->flags);
    if (whole) {
        entry->start = vmki_load_relaxed(&leaf->start[at]);
        entry->item = vmki_load_relaxed(&slot->item);
    }
    note_look(&look, taken);
    vmki_fence_acquire();
    return VMKI_LIKELY(vmki_load_relaxed(&leaf->head.version) == look.version); /* even: no edit since, so no order */
}

/* The long way, along `order`: right also between the stores of a splice. */
static void find_rank(struct look *look, uint64_t address)
{
    unsigned count = vmki_order_count(look->order);

    for (look->rank = 0; look->rank < count; look->rank++) {
        uint64_t start = start_of(look, look->rank);

        if (start > address)
            break;
        look->before = start;
    }
}

/* The last entry of the leaf that starts at or below the address, and ends above `above`. */
static VMKI_NOINLINE bool last_in_leaf(const struct vmki_tree_leaf *leaf, uint64_t address, uint64_t above,
                                       struct vmki_tree_entry *entry, struct vmki_tree_look *taken)
{
    struct vmki_tree_entry seen = {0};
    struct look look;

    do {
        begin_look(&look, leaf);
        find_rank(&look, address);
        if (look.rank > 0)
            read_entry(&look, look.rank - 1, look.before, &seen);
    } while (!holds(&look));
    if (look.rank == 0 || seen.end <= above)
        return false;
    *entry = seen;
    note_look(&look, taken);
    return true;
}

/* The first entry of the leaf that ends above the address. */
static VMKI_NOINLINE bool first_in_leaf(const struct vmki_tree_leaf *leaf, uint64_t address,
                                        struct vmki_tree_entry *entry, struct vmki_tree_look *taken)
{
    struct vmki_tree_entry seen;
    struct look look;
    bool found;

    do {
        begin_look(&look, leaf);
        find_rank(&look, address);
        found = look.rank > 0;
        if (found) {
            read_entry(&look, look.rank - 1, look.before, &seen);
            found = seen.end > address;
        }
        if (!found && look.rank < vmki_order_count(look.order)) {
            read_entry(&look, look.rank, start_of(&look, look.rank), &seen);
            found = true;
        }
    } while (!holds(&look));
    if (!found)
        return false;
    *entry = seen;
    note_look(&look, taken);
    return true;
}

bool vmki_tree_holds(const struct vmki_tree_look *look)
{
    const struct vmki_tree_leaf *leaf = (const struct vmki_tree_leaf *)(const void *)look->leaf;

    vmki_fence_acquire();
    return (look->version & VMKI_VERSION_DEAD) == 0 && vmki_load_acquire(&leaf->order) == look->order &&
           vmki_load_relaxed(&leaf->head.version) == look->version;
}

/* All of the entry that contains the address, or end and flags alone. */
static VMKI_INLINE bool find(const struct vmki_tree *tree, vmk_addr address, struct vmki_tree_entry *entry, bool whole,
                             struct vmki_tree_look *taken)
{
    const struct vmki_tree_leaf *leaf;
    struct vmki_tree_entry seen = {0};

    if (VMKI_UNLIKELY(address >= VMKI_TREE_MAX_END))
        return false;
    leaf = descend(tree, address);
    if (VMKI_UNLIKELY(!leaf))
        return false;
    if (VMKI_UNLIKELY(!peek(leaf, address, &seen, whole, taken)))
        return last_in_leaf(leaf, address, address, entry, taken);
    if (seen.end <= address)
        return false;
    *entry = seen;
    return true;
}

bool vmki_tree_find(const struct vmki_tree *tree, vmk_addr address, struct vmki_tree_entry *entry)
{
    return find(tree, address, entry, true, NULL);
}

bool vmki_tree_look_at(const struct vmki_tree *tree, vmk_addr address, struct vmki_tree_entry *entry,
                       struct vmki_tree_look *look)
{
    return find(tree, address, entry, true, look);
}

bool vmki_tree_find_flags(const struct vmki_tree *tree, vmk_addr address, uint64_t *flags)
{
    struct vmki_tree_entry entry;

    if (!find(tree, address, &entry, false, NULL))
        return false;
    *flags = entry.flags;
    return true;
}

/* The way of vmki_tree_next where the entry is in another leaf, and beside a writer. */
static VMKI_NOINLINE bool next_above(const struct vmki_tree *tree, vmk_addr address, struct vmki_tree_entry *entry,
                                     struct vmki_tree_look *taken)
{
    while (address < VMKI_TREE_MAX_END) {
        uint64_t above;
        const struct vmki_tree_leaf *leaf = descend_above(tree, address, &above);

        if (!leaf)
            return false;
        if (first_in_leaf(leaf, address, entry, taken))
            return true;
        if (above > address) /* else the writer lowered it just now: the same again */
            address = above;
    }
    return false;
}

static VMKI_INLINE bool find_next(const struct vmki_tree *tree, vmk_addr address, struct vmki_tree_entry *entry,
                                  struct vmki_tree_look *taken)
{
    const struct vmki_tree_leaf *leaf;
    struct vmki_tree_entry seen;

    if (VMKI_UNLIKELY(address >= VMKI_TREE_MAX_END))
        return false;
    leaf = descend(tree, address);
    if (VMKI_UNLIKELY(!leaf))
        return false;
    if (VMKI_UNLIKELY(!peek(leaf, address, &seen, true, taken) || seen.end <= address))
        return first_in_leaf(leaf, address, entry, taken) || next_above(tree, address, entry, taken);
    *entry = seen;
    return true;
}

bool vmki_tree_next(const struct vmki_tree *tree, vmk_addr address, struct vmki_tree_entry *entry)
{
    return find_next(tree, address, entry, NULL);
}

bool vmki_tree_look_next(const struct vmki_tree *tree, vmk_addr address, struct vmki_tree_entry *entry,
                         struct vmki_tree_look *look)
{
    return find_next(tree, address, entry, look);
}

bool vmki_tree_prev(const struct vmki_tree *tree, vmk_addr address, struct vmki_tree_entry *entry)
{
    if (address > VMKI_TREE_MAX_END)
        address = VMKI_TREE_MAX_END;
    while (address > 0) {
        struct vmki_tree_entry seen;
        uint64_t below;
        const struct vmki_tree_leaf *leaf = descend_below(tree, address - 1, &below);

        if (!leaf)
            return false;
        if (peek(leaf, address - 1, &seen, true, NULL)) {
            *entry = seen;
            return true;
        }
        if (last_in_leaf(leaf, address - 1, 0, entry, NULL))
            return true;
        if (below < address) /* else the writer raised it just now: the same again */
            address = below;
    }
    return false;
}

/*
 * ---- Many entries at once ----
 *
 * Without a lock as a search for a gap is (gap.c): what was read counts if nobody has edited the tree meanwhile. It ends, since
 * it goes on to another child with each step.
 */

/* The nodes above a leaf, by level, and the child of each that comes next. */
struct way {
    const struct vmki_tree_inner *above[VMKI_TREE_MAX_HEIGHT];
    unsigned next[VMKI_TREE_MAX_HEIGHT];
    unsigned top; /* the root's level */
};

/* A leaf, and its entries from one on: their slots, lowest bits first. */
struct run {
    const struct vmki_tree_leaf *leaf;
    uint64_t slots;
    size_t nr;
};

/* The leaves that come next, up to their parent's last; those before `far` are asked for one ahead. */
struct leaves {
    struct vmki_tree_node *const *next, *const *far, *const *end;
};

static VMKI_INLINE struct run whole_leaf(const struct vmki_tree_node *node)
{
    const struct vmki_tree_leaf *leaf = vmki_leaf_const(node);
    uint64_t order = vmki_load_acquire(&leaf->order);

    return (struct run){leaf, order >> 4, vmki_order_count(order)};
}

/* Down to the first leaf below a node of that level. */
static VMKI_INLINE const struct vmki_tree_node *way_down(struct way *way, const struct vmki_tree_node *node,
                                                         unsigned level)
{
    for (; level > 0; level--) {
        way->above[level] = vmki_inner_const(node);
        way->next[level] = 1;
        node = vmki_load_acquire(&way->above[level]->child[0]);
    }
    return node;
}

/* From the first entry that ends above the address, or behind the last of the leaf before that one. */
static struct run run_at(struct way *way, const struct vmki_tree_node *node, uint64_t address)
{
    const struct vmki_tree_leaf *leaf;
    unsigned level, slot, rank;
    uint64_t order;

    for (level = way->top; level > 0; level--) {
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): written on the way down */
        way->above[level] = vmki_inner_const(node);
        slot = vmki_inner_slot(way->above[level], address);
        way->next[level] = slot + 1;
        node = vmki_load_acquire(&way->above[level]->child[slot]);
    }
    leaf = vmki_leaf_const(node);
    order = vmki_load_acquire(&leaf->order);
    rank = vmki_order_rank(leaf, order, address);
    if (rank > 0 && vmki_load_relaxed(&leaf->slot[vmki_order_slot(order, rank - 1)].end) > address)
        rank--;
    return (struct run){leaf, order >> 4 * rank >> 4, vmki_order_count(order) - rank};
}

/* The first leaf below the next node that has leaves; NULL behind the last. */
static const struct vmki_tree_node *way_on(struct way *way)
{
    unsigned level = 2;

    while (level <= way->top && way->next[level] >= way->above[level]->head.count)
        level++;
    if (level > way->top)
        return NULL;
    return way_down(way, vmki_load_acquire(&way->above[level]->child[way->next[level]++]), level - 1);
}

static VMKI_INLINE struct leaves leaves_of(const struct way *way)
{
    struct vmki_tree_node *const *next, *const *end;

    if (way->top == 0)
        return (struct leaves){NULL, NULL, NULL};
    next = way->above[1]->child + way->next[1];
    end = way->above[1]->child + way->above[1]->head.count;
    return (struct leaves){next, way->top > 1 ? end : next, end};
}

#if defined(VMKI_SEARCH_BY_HAND) && defined(__SSE2__) && !defined(VMK_ATOMIC_HEADER)
/* End and flags are one. By hand: the load that a compiler makes of a word that may change takes no index. */
typedef uint64_t both __attribute__((vector_size(16), aligned(8), may_alias));

static VMKI_INLINE void copy_area(struct vmk_area *area, const uint64_t *start, const struct vmki_tree_slot *slot,
                                  uint64_t mask)
{
    const both masks = {~UINT64_C(0), mask};
    both end_flags;

    __asm__ volatile("movdqu %1, %0" : "=x"(end_flags) : "m"(*(const both *)(const void *)&slot->end));
    area->start = vmki_load_relaxed(start);
    *(both *)(void *)&area->end = end_flags & masks;
}
#else
static VMKI_INLINE void copy_area(struct vmk_area *area, const uint64_t *start, const struct vmki_tree_slot *slot,
                                  uint64_t mask)
{
    area->start = vmki_load_relaxed(start);
    area->end = vmki_load_relaxed(&slot->end);
    area->flags = vmki_load_relaxed(&slot->flags) & mask;
}
#endif

/* One by one, where all places are filled. */
static VMKI_INLINE void copy_few(struct vmk_area *area, const struct vmk_area *end, const struct run *run,
                                 uint64_t mask)
{
    uint64_t slots = run->slots;

    for (; area < end; area++, slots >>= 4)
        copy_area(area, &run->leaf->start[slots & 15], &run->leaf->slot[slots & 15], mask);
}

/*
 * In twos, so that the place at `end` may be written to as well: an area costs hardly more than its own loads and stores. The
 * slots lie in bytes, which take no instruction but the one that loads them.
 */
static VMKI_INLINE void copy_run(struct vmk_area *area, const struct vmk_area *end, const struct run *run,
                                 uint64_t mask)
{
    const uint64_t *start = run->leaf->start;
    const struct vmki_tree_slot *slot = run->leaf->slot;
    uint64_t even = run->slots & vmki_hole_classes(15), odd = run->slots >> 4 & vmki_hole_classes(15);

    vmki_opaque(start);
    vmki_opaque(slot);
    for (; area < end; area += 4, even >>= 16, odd >>= 16) {
        copy_area(&area[0], &start[even & 255], &slot[even & 255], mask);
        copy_area(&area[1], &start[odd & 255], &slot[odd & 255], mask);
        if (area + 2 >= end)
            break;
        copy_area(&area[2], &start[even >> 8 & 255], &slot[even >> 8 & 255], mask);
        copy_area(&area[3], &start[odd >> 8 & 255], &slot[odd >> 8 & 255], mask);
    }
}

/* As much of a leaf as there is room for before `last`; behind it. */
static VMKI_INLINE struct vmk_area *copy_leaf(struct vmk_area *area, struct vmk_area *last, const struct run *run,
                                              uint64_t mask)
{
    ptrdiff_t bytes = (ptrdiff_t)(run->nr * sizeof(*area)), room = (char *)last - (char *)area;

    if (VMKI_LIKELY(bytes < room)) {
        copy_run(area, area + run->nr, run, mask);
        return area + run->nr;
    }
    copy_few(area, last, run, mask);
    return last;
}

size_t vmki_tree_areas(const struct vmki_tree *tree, vmk_addr address, uint64_t flags_mask, struct vmk_area *areas,
                       size_t nr)
{
    const struct vmki_tree_node *node = vmki_load_acquire(&tree->root);
    struct vmk_area *area = areas, *const last = areas + nr;
    struct leaves leaves;
    struct way way;
    struct run run;

    if (node == NULL || address >= VMKI_TREE_MAX_END)
        return 0;
    way.top = node->level;
    if (address <= vmki_load_relaxed(&tree->first_start)) /* without a search, whose steps wait for one another */
        run = whole_leaf(way_down(&way, node, way.top));
    else
        run = run_at(&way, node, address);
    leaves = leaves_of(&way);
    while ((area = copy_leaf(area, last, &run, flags_mask)) < last) {
        if (VMKI_LIKELY(leaves.next < leaves.end)) {
            node = vmki_load_acquire(leaves.next);
            leaves.next++;
        } else {
            node = way_on(&way);
            if (node == NULL)
                break;
            leaves = leaves_of(&way);
        }
        if (leaves.next < leaves.far)
            vmki_fetch_node(vmki_load_acquire(leaves.next));
        run = whole_leaf(node);
    }
    return (size_t)(area - areas);
}

/* ---- Cursors ---- */

static struct vmki_tree_leaf *cursor_leaf(const struct vmki_cursor *cursor)
{
    return vmki_leaf(cursor->node[0]);
}

static bool at_entry(const struct vmki_cursor *cursor)
{
    return cursor->node[0] && cursor->slot[0] < vmki_order_count(cursor_leaf(cursor)->order);
}

/*
 * Nodes below so many of the lowest levels are asked for whole before they are searched, since a cursor's user goes on to all of
 * a leaf: none in a tree that a near cache holds, the leaves in one that the next one holds.
 */
static unsigned levels_far(const struct vmki_tree_node *root)
{
    return root->level >= VMKI_LARGE_LEVEL ? VMKI_TREE_MAX_HEIGHT : root->level >= 2;
}

/* The path to the leaf in which the last entry that starts at or below the address is; the tree is not empty. */
static VMKI_INLINE struct vmki_tree_leaf *seek_leaf(struct vmki_cursor *cursor, const struct vmki_tree *tree,
                                                    vmk_addr address)
{
    struct vmki_tree_node *node = tree->root;
    unsigned far = levels_far(node);

    while (node->level) {
        unsigned level = node->level, slot = vmki_inner_slot(vmki_inner(node), address);

        cursor->node[level] = node;
        cursor->slot[level] = (uint8_t)slot;
        node = vmki_inner(node)->child[slot];
        if (level <= far)
            vmki_fetch_node(node);
    }
    cursor->node[0] = node;
    return vmki_leaf(node);
}

static VMKI_INLINE bool seek(struct vmki_cursor *cursor, struct vmki_tree *tree, vmk_addr address)
{
    struct vmki_tree_leaf *leaf;
    unsigned rank;

    cursor->tree = tree;
    cursor->node[0] = NULL;
    cursor->slot[0] = 0;
    if (!tree->root)
        return false;
    if (address > VMKI_TREE_MAX_END)
        address = VMKI_TREE_MAX_END;
    leaf = seek_leaf(cursor, tree, address);
    rank = vmki_leaf_rank(leaf, address);
    if (rank > 0 && vmki_leaf_end(leaf, rank - 1) > address)
        rank--;
    cursor->slot[0] = (uint8_t)rank;
    if (rank < vmki_order_count(leaf->order))
        return true;
    cursor->slot[0]--;
    return vmki_cursor_advance(cursor);
}

bool vmki_cursor_seek(struct vmki_cursor *cursor, struct vmki_tree *tree, vmk_addr address)
{
    return seek(cursor, tree, address);
}

bool vmki_cursor_seek_entry(struct vmki_cursor *cursor, struct vmki_tree *tree, vmk_addr address,
                            struct vmki_tree_entry *entry)
{
    if (!seek(cursor, tree, address))
        return false;
    vmki_leaf_entry(cursor_leaf(cursor), cursor->slot[0], entry);
    return true;
}

bool vmki_cursor_seek_gap(struct vmki_cursor *cursor, struct vmki_tree *tree, vmk_addr start, vmk_addr end,
                          struct vmki_tree_hole *hole)
{
    const struct vmki_tree_leaf *leaf;
    unsigned rank, count;

    if (!tree->root)
        return false;
    cursor->tree = tree;
    leaf = seek_leaf(cursor, tree, start);
    rank = vmki_leaf_rank(leaf, start);
    count = vmki_order_count(leaf->order);
    cursor->slot[0] = (uint8_t)rank;
    if (rank == 0 || count == VMKI_LEAF_MAX)
        return false;
    hole->start = vmki_leaf_end(leaf, rank - 1);
    hole->end = VMKI_LIKELY(rank < count) ? vmki_leaf_start(leaf, rank) : vmki_cursor_leaf_limit(cursor);
    return hole->start < start && hole->end > end;
}

bool vmki_cursor_entry(const struct vmki_cursor *cursor, struct vmki_tree_entry *entry)
{
    if (!at_entry(cursor))
        return false;
    vmki_leaf_entry(cursor_leaf(cursor), cursor->slot[0], entry);
    return true;
}

/* A walk goes on to the leaf behind this one: let it come while this one is read. */
static void fetch_sibling(const struct vmki_cursor *cursor)
{
    const struct vmki_tree_inner *parent = vmki_inner(cursor->node[1]);
    unsigned next = cursor->slot[1] + 1u;

    if (next < parent->head.count)
        vmki_fetch_node(parent->child[next]);
}

/* Moves to the first entry of the next leaf, or returns false and stays. */
static bool next_leaf(struct vmki_cursor *cursor)
{
    struct vmki_tree_node *node;
    unsigned level, height = cursor->tree->height;

    for (level = 1; level < height && cursor->slot[level] + 1u >= cursor->node[level]->count; level++)
        ;
    if (level >= height)
        return false;
    cursor->slot[level]++;
    for (; level > 0; level--) {
        node = vmki_inner(cursor->node[level])->child[cursor->slot[level]];
        cursor->node[level - 1] = node;
        cursor->slot[level - 1] = 0;
    }
    fetch_sibling(cursor);
    return true;
}

/* Moves to the last entry of the leaf before, or returns false and stays. */
static bool prev_leaf(struct vmki_cursor *cursor)
{
    struct vmki_tree_node *node;
    unsigned level, height = cursor->tree->height;

    for (level = 1; level < height && cursor->slot[level] == 0; level++)
        ;
    if (level >= height)
        return false;
    cursor->slot[level]--;
    for (; level > 0; level--) {
        node = vmki_inner(cursor->node[level])->child[cursor->slot[level]];
        cursor->node[level - 1] = node;
        cursor->slot[level - 1] = (uint8_t)(vmki_node_count(node) - 1);
    }
    return true;
}

size_t vmki_tree_each(struct vmki_tree *tree, vmk_addr start, vmk_addr end, uint64_t flags_mask,
                      bool (*visit)(void *context, vmk_addr start, vmk_addr end, uint64_t flags), void *context)
{
    struct vmki_cursor cursor;
    size_t nr = 0;

    if (!vmki_cursor_seek(&cursor, tree, start))
        return 0;
    do {
        const struct vmki_tree_leaf *leaf = cursor_leaf(&cursor);
        uint64_t order = leaf->order >> (4 * cursor.slot[0] + 4);
        unsigned left = vmki_order_count(leaf->order) - cursor.slot[0];

        for (; left > 0; left--, order >>= 4) {
            const struct vmki_tree_slot *slot = &leaf->slot[order & 15];
            uint64_t from = leaf->start[order & 15];

            if (from >= end)
                return nr;
            nr++;
            if (!visit(context, from, slot->end, vmki_load_relaxed(&slot->flags) & flags_mask))
                return nr;
        }
    } while (next_leaf(&cursor));
    return nr;
}

bool vmki_cursor_advance(struct vmki_cursor *cursor)
{
    unsigned next = cursor->slot[0] + 1u, count;

    if (!cursor->node[0])
        return false;
    count = vmki_order_count(cursor_leaf(cursor)->order);
    if (next < count) {
        cursor->slot[0] = (uint8_t)next;
        return true;
    }
    cursor->slot[0] = (uint8_t)count;
    return next == count && next_leaf(cursor);
}

bool vmki_cursor_retreat(struct vmki_cursor *cursor)
{
    if (!cursor->node[0])
        return false;
    if (cursor->slot[0] > 0) {
        cursor->slot[0]--;
        return true;
    }
    return prev_leaf(cursor);
}

bool vmki_cursor_before(const struct vmki_cursor *cursor, struct vmki_tree_entry *entry)
{
    struct vmki_cursor there;

    if (cursor->node[0] && cursor->slot[0] > 0) {
        vmki_leaf_entry(cursor_leaf(cursor), cursor->slot[0] - 1u, entry);
        return true;
    }
    there = *cursor;
    return vmki_cursor_retreat(&there) && vmki_cursor_entry(&there, entry);
}

bool vmki_cursor_after(const struct vmki_cursor *cursor, struct vmki_tree_entry *entry)
{
    struct vmki_cursor there;

    if (at_entry(cursor) && cursor->slot[0] + 1u < vmki_order_count(cursor_leaf(cursor)->order)) {
        vmki_leaf_entry(cursor_leaf(cursor), cursor->slot[0] + 1u, entry);
        return true;
    }
    there = *cursor;
    return vmki_cursor_advance(&there) && vmki_cursor_entry(&there, entry);
}

uint64_t vmki_cursor_leaf_limit(const struct vmki_cursor *cursor)
{
    unsigned level;

    for (level = 1; level < cursor->tree->height; level++) {
        unsigned next = cursor->slot[level] + 1u;

        if (next < cursor->node[level]->count)
            return vmki_inner(cursor->node[level])->pivot[next];
    }
    return VMKI_NO_KEY;
}
