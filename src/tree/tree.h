/* SPDX-License-Identifier: MIT */
/*
 * tree.h - ordered, disjoint ranges with gap search: a B+ tree that knows no VMA.
 *
 * Every entry is a range [start, end) with 64 bits of flags and a pointer.  Entries never overlap; touching ones
 * are allowed.  start < end always; `end` may be at most VMKI_TREE_MAX_END.
 *
 * READERS (vmki_tree_find, _next, _prev) take no lock: every splice becomes visible by one store of one word: of an
 * entry, of a leaf's order after free slots were filled, or of the pointer to nodes that were written anew.  A superseded
 * node is handed to memory->retire, which frees it when no reader can hold it.  A reader sees each entry whole: its
 * start, end, flags and item belong together.  A reader that interrupts a writer (a signal handler) always finishes and
 * sees the state before or after; one beside a writer tries again when the writer has changed the leaf under it.
 *
 * WRITERS are serialised by the caller.  A writer reserves memory first (may fail, changes nothing), then edits: an edit
 * cannot fail.
 */
#ifndef VMKI_TREE_H
#define VMKI_TREE_H

#include "base/atomic.h"
#include "vmakit/types.h"

/* The greatest end of a range: keeps sums of two addresses from wrapping. */
#define VMKI_TREE_MAX_END (UINT64_C(1) << 63)

struct vmki_tree_entry {
    vmk_addr start;
    vmk_addr end;
    uint64_t flags; /* the caller's; the tree only carries them */
    void *item;     /* the caller's, never NULL */
};

/*
 * Where nodes come from.  `size` is a multiple of 64; memory is aligned to 64 bytes; alloc may return NULL. alloc_many (NULL for none)
 * gives at most nr of them, one behind the other, and returns how many; each is freed or retired by itself. 0: then one at a time.
 * Two bytes of each, at VMKI_TREE_MARK, are the memory's own.
 */
enum { VMKI_TREE_MARK = 6 };
struct vmki_tree_memory {
    void *(*alloc)(void *context, size_t size);
    void (*free)(void *context, void *node, size_t size);   /* no reader ever saw it */
    void (*retire)(void *context, void *node, size_t size); /* readers may still be in it */
    void *context;
    size_t (*alloc_many)(void *context, size_t size, size_t nr, void **first);
};

/*
 * The last words of a retired node: whoever retires it may link it there (vmki_tree_tail_link). No lookup looks at them; a
 * search for a gap without a lock may, and finds then that the tree was edited.
 */
struct vmki_tree_tail {
    struct vmki_tree_tail *next;
    size_t size;
};

static inline struct vmki_tree_tail *vmki_tree_tail(void *node, size_t size)
{
    return (struct vmki_tree_tail *)(void *)((char *)node + size - sizeof(struct vmki_tree_tail));
}

static inline struct vmki_tree_tail *vmki_tree_tail_link(void *node, size_t size, struct vmki_tree_tail *next)
{
    struct vmki_tree_tail *tail = vmki_tree_tail(node, size);

    __atomic_store_n(&tail->next, next, __ATOMIC_RELAXED);
    __atomic_store_n(&tail->size, size, __ATOMIC_RELAXED);
    return tail;
}

static inline void *vmki_tree_tail_node(struct vmki_tree_tail *tail)
{
    return (char *)tail + sizeof(*tail) - tail->size;
}

enum { VMKI_TREE_MAX_HEIGHT = 12, VMKI_TREE_SPLICE_MAX = 6 };

struct vmki_tree_node; /* node.h */

struct vmki_tree {
    struct vmki_tree_node *root; /* read by readers with acquire; NULL when empty */
    size_t nr_entries;
    uint64_t first_start;             /* start of the lowest entry, for the gap below it */
    uint64_t last_end;                /* end of the highest entry, for the gap above it; both 0 when empty */
    struct vmki_tree_node *last_leaf; /* the leaf of the highest entry, where the highest gap most often is; or NULL */
    uint32_t edits;                   /* counts begins and ends of edits: odd inside one */
    uint32_t height;                  /* levels including the leaves; writers only */
    uint32_t nr_spare;                /* reserved nodes in `spare` */
    struct vmki_tree_node *spare;
    size_t nr_nodes_bytes; /* bytes in live nodes, the spare ones included */
    const struct vmki_tree_memory *memory;
    struct vmki_tree_node **above; /* of a part: the root's pointer to it; else NULL */
};

/*
 * A position of a writer, or of one who holds off writers: an entry, or past the last one.  Good until the tree is
 * spliced through another cursor.
 */
struct vmki_cursor {
    struct vmki_tree *tree;
    struct vmki_tree_node *node[VMKI_TREE_MAX_HEIGHT]; /* node[0] is the leaf */
    uint8_t slot[VMKI_TREE_MAX_HEIGHT];
};

void vmki_tree_init(struct vmki_tree *tree, const struct vmki_tree_memory *memory);
/* Frees all nodes at once; no reader may be left. Items are the caller's. */
void vmki_tree_destroy(struct vmki_tree *tree);
/* Takes all entries out at once, without memory: the nodes are retired, and readers find nothing from now on. */
void vmki_tree_clear(struct vmki_tree *tree);

/* ---- Readers: without a lock. Each returns false, and leaves *entry alone, when there is none. ---- */

/* The entry that contains `address`. */
bool vmki_tree_find(const struct vmki_tree *tree, vmk_addr address, struct vmki_tree_entry *entry);
/* Its flags alone; *flags means nothing when there is none. */
bool vmki_tree_find_flags(const struct vmki_tree *tree, vmk_addr address, uint64_t *flags);
/* The first entry that ends above `address`. */
bool vmki_tree_next(const struct vmki_tree *tree, vmk_addr address, struct vmki_tree_entry *entry);
/* The last entry that starts below `address`. */
bool vmki_tree_prev(const struct vmki_tree *tree, vmk_addr address, struct vmki_tree_entry *entry);

/*
 * What the leaf was like when an entry was read from it. A reader whose writers use an item's memory again without waiting
 * for readers (but hold it together until readers have gone) looks at the item, and believes what it saw there if the
 * look still holds: the entry was in the tree all the while. Such a writer makes a release fence between the edit that takes
 * the item out and its first store to the item.
 */
struct vmki_tree_look {
    const struct vmki_tree_node *leaf;
    uint64_t order;
    uint32_t version;
};
bool vmki_tree_look_at(const struct vmki_tree *tree, vmk_addr address, struct vmki_tree_entry *entry,
                       struct vmki_tree_look *look); /* as vmki_tree_find */
bool vmki_tree_look_next(const struct vmki_tree *tree, vmk_addr address, struct vmki_tree_entry *entry,
                         struct vmki_tree_look *look); /* as vmki_tree_next */
bool vmki_tree_holds(const struct vmki_tree_look *look);

/* ---- Cursors: writers, or readers that hold writers off ---- */

/* Stands on the first entry that ends above `address`; false when it is past the last one. */
bool vmki_cursor_seek(struct vmki_cursor *cursor, struct vmki_tree *tree, vmk_addr address);
/* And says which it is. */
bool vmki_cursor_seek_entry(struct vmki_cursor *cursor, struct vmki_tree *tree, vmk_addr address,
                            struct vmki_tree_entry *entry);
/* The entry under the cursor; false when it is past the last one. */
bool vmki_cursor_entry(const struct vmki_cursor *cursor, struct vmki_tree_entry *entry);
/* Its neighbours, without moving; false when there is none. For a cursor past the end the last entry is `before`. */
bool vmki_cursor_before(const struct vmki_cursor *cursor, struct vmki_tree_entry *entry);
bool vmki_cursor_after(const struct vmki_cursor *cursor, struct vmki_tree_entry *entry);
/* Moves; advance returns false when it moved past the end, retreat returns false and stays when there is none before. */
bool vmki_cursor_advance(struct vmki_cursor *cursor);
bool vmki_cursor_retreat(struct vmki_cursor *cursor);

/* Stands on the first entry; false when there is none. */
static inline bool vmki_cursor_first(struct vmki_cursor *cursor, struct vmki_tree *tree)
{
    return vmki_cursor_seek(cursor, tree, 0);
}

/* A loop over all entries, ascending; the body must not splice. */
#define VMKI_FOR_EACH_ENTRY(cursor, tree, entry)                                                                       \
    for (vmki_cursor_first((cursor), (tree)); vmki_cursor_entry((cursor), (entry)); vmki_cursor_advance(cursor))

/*
 * Calls `visit` for the entries that end above `start` and start below `end`, ascending, until it returns false; flags
 * without those outside the mask.  Returns the number of calls.  For those who hold writers off; visit must not splice.
 */
size_t vmki_tree_each(struct vmki_tree *tree, vmk_addr start, vmk_addr end, uint64_t flags_mask,
                      bool (*visit)(void *context, vmk_addr start, vmk_addr end, uint64_t flags), void *context);

/* ---- Writers ---- */

/*
 * Makes sure that the next `nr_splices` splices cannot run out of memory. False when memory is short; nothing changes
 * for the reader, and what was reserved stays for the next time.
 */
bool vmki_tree_reserve(struct vmki_tree *tree, unsigned nr_splices);
/* The same for one splice whose place and size are known, if it comes next: most need no node, so this one is cheap. */
bool vmki_cursor_reserve(const struct vmki_cursor *cursor, vmk_addr until, unsigned nr_new);
/* Gives unused reserved nodes back, but for `keep`. */
void vmki_tree_release_spare(struct vmki_tree *tree, unsigned keep);

/*
 * The one edit: takes out the entries from the cursor's own up to the last that starts below `until` (none when the
 * cursor's starts at or above it), and puts `nr_new` (at most VMKI_TREE_SPLICE_MAX) in their place, in ascending order.
 * The new ones must lie between the neighbours that stay. Any number may go; a reader sees each leaf before or after.
 * Insert, erase, resize, replace, split and merge are all splices. Afterwards the cursor stands on the first new entry,
 * or, when there is none, on the entry after the gap.
 * Needs one reserved splice. A splice that changes one word only (an end, a start, the flags or item of one entry) is
 * done in place.
 */
void vmki_cursor_splice(struct vmki_cursor *cursor, vmk_addr until, const struct vmki_tree_entry *new_entries,
                        unsigned nr_new);

/*
 * Takes flags from the entry of `item` at `address`, if it is there: readers may see it with or without them. Writers are held
 * off, as are others who do this. Whether any of the flags was set.
 */
bool vmki_tree_clear_flags(struct vmki_tree *tree, vmk_addr address, const void *item, uint64_t flags);

/*
 * ---- Edits inside one leaf, for who has looked where they go. Each `fits` is false when another leaf would have to
 * change, or to be asked: then the splice is the way. They need no reservation, and leave the cursor on the first new entry.
 */

/*
 * The entries that touch the cursor's own, each where wanted; item is NULL where none does. False when only another leaf
 * knows.
 */
bool vmki_cursor_touching(const struct vmki_cursor *cursor, bool want_before, bool want_after,
                          struct vmki_tree_entry *before, struct vmki_tree_entry *after);
/*
 * Tiling: the cursor's entry and the nr_old - 1 after it, which touch one another, give way to nr_new that touch one
 * another and cover the same addresses. No gap changes. `fits` may ask of the entry before the cursor's and on.
 */
bool vmki_cursor_tile_fits(const struct vmki_cursor *cursor, bool from_before, unsigned nr_old, unsigned nr_new);
void vmki_cursor_tile(struct vmki_cursor *cursor, unsigned nr_old, const struct vmki_tree_entry *new_entries,
                      unsigned nr_new);
/*
 * The two commonest tilings, composed in the leaf. Each returns false, with nothing done, where it is no matter of this leaf alone, or
 * has another shape.
 *
 * split: the cursor's entry becomes three. The middle one is `part`, which touches neither of its ends; the two others keep its
 * flags and have these items. The cursor stands on the part.
 * join: the cursor's entry becomes one with both neighbours, if they touch it and their flags differ from these in none but
 * ignored ones. *joined is what comes of them: it has the flags and the item of the lowest. *above was the item of the highest. The cursor
 * stands on it.
 */
bool vmki_cursor_split(struct vmki_cursor *cursor, const struct vmki_tree_entry *part, void *below, void *above);
bool vmki_cursor_join(struct vmki_cursor *cursor, uint64_t flags, uint64_t ignored, struct vmki_tree_entry *joined,
                      void **above);
/*
 * A new entry: the cursor is put where it comes, behind an entry of its leaf, and *hole is what lies between its neighbours (its end
 * UINT64_MAX above all). False, with the cursor anywhere, where it touches a neighbour, or the leaf is full or has no entry below it.
 */
struct vmki_tree_hole {
    vmk_addr start, end;
};
bool vmki_cursor_seek_gap(struct vmki_cursor *cursor, struct vmki_tree *tree, vmk_addr start, vmk_addr end,
                          struct vmki_tree_hole *hole);
void vmki_cursor_insert(struct vmki_cursor *cursor, const struct vmki_tree_entry *new_entry,
                        const struct vmki_tree_hole *hole);
/*
 * The cursor's entry goes; afterwards the cursor stands on what followed it, if that is in the leaf, else nowhere. Of the leaf's first
 * entry the leaf before is to hear, if their parent knows it.
 */
bool vmki_cursor_erase_fits(const struct vmki_cursor *cursor);
void vmki_cursor_erase(struct vmki_cursor *cursor);

/*
 * ---- Parts: what lies below one child of the root, for a writer of its own (part.c) ----
 *
 * The whole tree is not edited, and no gap looked for in it, while parts are open; readers notice nothing.
 */

/* 0 when the root is a leaf. */
enum { VMKI_TREE_MAX_PARTS = 21 };
unsigned vmki_tree_nr_parts(const struct vmki_tree *tree);
/* Where the entries of a part begin at the earliest; those of the part before it are to end below. */
vmk_addr vmki_tree_part_bound(const struct vmki_tree *tree, unsigned number);
/* From where on entries of a part may start: at its bound, unless an entry of the part before it ends there. */
vmk_addr vmki_tree_part_low(const struct vmki_tree *tree, unsigned number);
/* Makes `part` begin to count: entries from the whole's number on. It keeps its memory and its reserved nodes. */
void vmki_tree_part_begin(struct vmki_tree *part, const struct vmki_tree *tree);
/* Makes it part `number`, in place of the one that it was. */
void vmki_tree_part_open(struct vmki_tree *part, struct vmki_tree *tree, unsigned number);
/* `nr_before`: what part->nr_entries was when it began. */
void vmki_tree_part_close(struct vmki_tree *part, struct vmki_tree *tree, size_t nr_before);
/* After parts were closed: a bit for each. */
void vmki_tree_parts_settle(struct vmki_tree *tree, uint32_t changed);
/*
 * Divides the part that has the address in two, before the first entry that ends above it; no parts are open. False when there
 * is such a border already, when the root has no room for another part, or memory is short.
 */
bool vmki_tree_divide_part(struct vmki_tree *tree, vmk_addr address);
/* Whether this splice leaves the tree a root of the same level, with room for another one like it. */
bool vmki_cursor_keeps_root(const struct vmki_cursor *cursor, vmk_addr until, unsigned nr_new);

/*
 * Fills an empty tree with `nr` ascending entries that `next` delivers one by one, leaves packed full. False when
 * memory is short; the tree is then empty again. `next` must not fail.
 */
bool vmki_tree_build(struct vmki_tree *tree, size_t nr, void (*next)(void *context, struct vmki_tree_entry *entry),
                     void *context);

/*
 * Fills an empty tree with the entries of another, leaves packed full: `take` sees each, ascending, may give it other flags
 * and another item, and says whether it is taken. It does not look at the items of entries that have one of the flags `blind`. False when it
 * stopped, or when memory is short: the tree is empty again.
 */
enum vmki_tree_take { VMKI_TREE_TAKE, VMKI_TREE_LEAVE, VMKI_TREE_STOP };
bool vmki_tree_copy(struct vmki_tree *tree, const struct vmki_tree *from, uint64_t blind,
                    enum vmki_tree_take (*take)(void *context, struct vmki_tree_entry *entry), void *context);

/*
 * ---- Gap search: the highest or lowest `len` free bytes between `low` and `high`. False when there are none. The space
 * below the first and above the last entry counts. ----
 *
 * One descent to the limit and, where nothing fits beside it, one more to the next gap of the length.
 *
 * For those who hold writers off; or inside a reader's section, with tree->edits read before (with acquire), when the
 * answer counts only if vmki_tree_unedited says so.
 */

/*
 * The entries that end above `address`, ascending, at most `nr` of them; flags without those outside the mask. Returns how
 * many. For the same callers.
 */
size_t vmki_tree_areas(const struct vmki_tree *tree, vmk_addr address, uint64_t flags_mask, struct vmk_area *areas,
                       size_t nr);

/* A place that was found, and what ends the hole it is in. */
struct vmki_gap {
    vmk_addr start;
    vmk_addr above; /* start of the entry above; UINT64_MAX for none */
    uint64_t flags; /* its flags; 0 for none */
};

bool vmki_tree_gap_highest(const struct vmki_tree *tree, vmk_addr low, vmk_addr high, uint64_t len,
                           struct vmki_gap *gap);
bool vmki_tree_gap_lowest(const struct vmki_tree *tree, vmk_addr low, vmk_addr high, uint64_t len,
                          struct vmki_gap *gap);

/* Whether no edit was under way, and none has begun, since `edits` was read. */
static inline bool vmki_tree_unedited(const struct vmki_tree *tree, uint32_t edits)
{
    vmki_fence_acquire();
    return vmki_load_relaxed(&tree->edits) == (edits & ~UINT32_C(1));
}

/* ---- Checking ---- */

/* NULL when every invariant holds, else a static text that names the broken one. Recounts everything. */
const char *vmki_tree_validate(const struct vmki_tree *tree);

#endif
