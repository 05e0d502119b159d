/* SPDX-License-Identifier: MIT */
/* quick.c - see quick.h. What a rule is about is said where the long way keeps it; here only which cases are left. */
#include "mm/quick.h"

#include "base/atomic.h"
#include "base/breaks.h"

/* The flags of areas that have nothing special about them: anything else takes the long way. */
#define PLAIN_FLAGS                                                                                                    \
    (VMK_VM_ACCESS | VMK_VM_MAY_ACCESS | VMK_VM_ACCOUNT | VMK_VM_NORESERVE | VMK_VM_SOFTDIRTY | VMK_VM_HUGEPAGE |      \
     VMK_VM_NOHUGEPAGE | VMK_VM_MTE_ALLOWED | VMKI_VM_FORKED | VMKI_VM_BARE)

#define PROT_PLAIN (VMK_PROT_READ | VMK_PROT_WRITE | VMK_PROT_EXEC)

/* Nobody but the tree, the areas and the counters has to hear of a change, and no mode of the process adds rules. */
bool vmki_mm_is_plain(const struct vmk_mm *mm)
{
    uintptr_t listeners = (uintptr_t)mm->backend | (uintptr_t)mm->overlay | (uintptr_t)mm->system->trace;
    uint64_t modes = mm->def_flags | mm->mdwe | (mm->personality & VMK_READ_IMPLIES_EXEC) | mm->reserved.nr_entries;

    return (listeners | modes | (mm->notice != NULL)) == 0 && !VMKI_ANY_BROKEN;
}

/* PROT_EXEC alone may mean a protection key. */
bool vmki_prot_is_plain(const struct vmk_mm *mm, uint64_t prot)
{
    return (prot & ~(uint64_t)PROT_PLAIN) == 0 && (prot != VMK_PROT_EXEC || mm->settings->nr_pkeys == 0);
}

bool vmki_area_is_plain(vmk_vm_flags flags, const struct vmk_vma *vma)
{
    return (flags & ~PLAIN_FLAGS) == 0 && ((flags & VMKI_VM_BARE) != 0 || (vma->file == NULL && vma->ext == NULL));
}

static bool finish(struct vmk_result *result, uint64_t value, uint64_t done)
{
    if (result != NULL)
        *result = (struct vmk_result){.value = value, .done = done};
    return true;
}

/* The finger stands on the entry from now on. By words: a wider load waits for words that were stored just now. */
static VMKI_INLINE void finger_set(struct vmki_finger *finger, const struct vmki_tree_entry *entry)
{
    vmk_addr start = vmki_load_relaxed(&entry->start), end = vmki_load_relaxed(&entry->end);

    finger->entry.flags = vmki_load_relaxed(&entry->flags);
    finger->entry.item = vmki_load_relaxed(&entry->item);
    finger->entry.start = start;
    finger->entry.end = end;
    finger->low = start;
    finger->high = end;
}

/* Bounds and flags of an area; the flags are those of its entry. */
static inline void area_set(struct vmk_vma *vma, vmk_addr start, vmk_addr end, vmk_vm_flags flags)
{
    vma->start = start;
    vma->end = end;
    vmki_store_relaxed(&vma->flags, flags & ~VMKI_VM_BARE);
}

/* vmki_count_area for plain areas, which are no stack, not shared and not locked; total_vm is the caller's. */
static inline void count_plain(struct vmk_mm *mm, vmk_vm_flags flags, uint64_t change)
{
    if ((flags & VMK_VM_WRITE) != 0)
        mm->data_vm += change;
    else if ((flags & VMK_VM_EXEC) != 0)
        mm->exec_vm += change;
    if ((flags & VMK_VM_ACCOUNT) != 0)
        mm->accounted_vm += change;
}

static void note_peaks(struct vmk_mm *mm)
{
    mm->peak_vm = vmki_max(mm->peak_vm, mm->total_vm);
    mm->nr_vmas_peak = vmki_max(mm->nr_vmas_peak, mm->tree.nr_entries);
}

/*
 * Where an edit inside one leaf does not do, at the finger: memory for a splice. False when memory is short; and in a lane,
 * where the part's root must keep its level.
 */
static VMKI_NOINLINE bool may_splice(struct vmk_mm *mm, vmk_addr until, unsigned nr_new)
{
    const struct vmki_cursor *cursor = &mm->finger.at;

    return (mm->whole == mm || vmki_cursor_keeps_root(cursor, until, nr_new)) &&
           vmki_cursor_reserve(cursor, until, nr_new);
}

/* ---- mmap ---- */

static VMKI_NOINLINE bool find_free_place(struct vmk_mm *mm, const struct vmk_mmap_request *request, uint64_t len,
                                          vmk_addr *at)
{
    const struct vmki_place place = {.hint = request->address, .len = len, .flags = request->flags};

    return vmki_place(mm, &place, at) == 0;
}

/* Where the memory is to be; false where the long way is to say why not. */
static inline bool find_place(struct vmk_mm *mm, const struct vmk_mmap_request *request, uint64_t len, vmk_addr *at)
{
    if ((request->flags & VMK_MAP_FIXED) == 0)
        return find_free_place(mm, request, len, at);
    *at = request->address;
    return vmki_range_fits(mm, *at, len) && *at >= mm->min_addr;
}

/* Nothing overlaps the range, or touches it; the finger is above it then. */
static VMKI_NOINLINE bool stands_alone(struct vmk_mm *mm, const struct vmki_tree_entry *entry)
{
    const struct vmki_finger *finger = vmki_seek(mm, entry->start);
    struct vmki_tree_entry before;

    return (finger->entry.item == NULL || finger->entry.start > entry->end) &&
           (!vmki_cursor_before(&finger->at, &before) || before.end < entry->start);
}

/* Anonymous private memory, where it is asked for or where a search finds room, that touches nothing. */
bool vmki_quick_mmap(struct vmk_mm *mm, const struct vmk_mmap_request *request, struct vmk_result *result)
{
    const uint32_t kind = VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS;
    uint64_t len = vmki_page_align(mm, request->len), pages = vmki_pages(mm, len);
    struct vmki_finger *finger = &mm->finger;
    struct vmki_tree_entry entry;
    struct vmki_tree_hole hole;
    bool in_leaf;

    if ((request->flags & ~(uint32_t)VMK_MAP_FIXED) != kind || !vmki_mm_is_plain(mm) ||
        !vmki_prot_is_plain(mm, request->prot) || (request->offset | (request->address & (mm->page_size - 1))) != 0 ||
        len == 0 || ((request->flags & VMK_MAP_FIXED) == 0 && request->address != 0) ||
        mm->tree.nr_entries > vmki_max_map_count(mm) || !vmki_mm_reserve_vmas(mm, 1, 0) ||
        !find_place(mm, request, len, &entry.start))
        return false;
    entry.end = entry.start + len;
    entry.flags = request->prot | VMK_VM_MAY_ACCESS | (mm->settings->soft_dirty != 0 ? VMK_VM_SOFTDIRTY : 0) |
                  (mm->settings->mte != 0 ? VMK_VM_MTE_ALLOWED : 0);
    vmki_finger_forget(mm);
    in_leaf = vmki_cursor_seek_gap(&finger->at, &mm->tree, entry.start, entry.end, &hole);
    if ((!in_leaf && (!stands_alone(mm, &entry) || !may_splice(mm, entry.end, 1))) ||
        !vmki_may_expand(mm, entry.flags, pages, 0))
        return false;
    if (vmki_is_accountable(entry.flags)) {
        if (vmki_charge(mm, pages) != 0)
            return false;
        entry.flags |= VMK_VM_ACCOUNT;
    }
    mm->total_vm += pages;
    count_plain(mm, entry.flags, pages);
    entry.flags |= VMKI_VM_BARE;
    entry.item = vmki_mm_take_bare(mm);
    area_set(entry.item, entry.start, entry.end, entry.flags);
    if (VMKI_LIKELY(in_leaf)) {
        vmki_cursor_insert(&finger->at, &entry, &hole);
        finger_set(finger, &entry);
    } else {
        vmki_finger_splice(mm, entry.start, entry.end, &entry, 1);
    }
    note_peaks(mm);
    mm->counters.vma_new++;
    mm->counters.mmap++;
    return finish(result, entry.start, len);
}

/* ---- munmap ---- */

/* One whole area. */
bool vmki_quick_munmap(struct vmk_mm *mm, const struct vmk_munmap_request *request, struct vmk_result *result)
{
    uint64_t len = vmki_page_align(mm, request->len), pages = vmki_pages(mm, len);
    const struct vmki_finger *finger;
    struct vmk_vma *vma;
    vmk_vm_flags flags;
    bool in_leaf;

    if (!vmki_mm_is_plain(mm) || len == 0)
        return false;
    finger = vmki_seek(mm, request->address);
    vma = finger->entry.item;
    if (vma == NULL || finger->entry.start != request->address || finger->entry.end != request->address + len ||
        !vmki_area_is_plain(finger->entry.flags, vma))
        return false;
    in_leaf = vmki_cursor_erase_fits(&finger->at);
    if (!in_leaf && !may_splice(mm, finger->entry.end, 0))
        return false;
    flags = finger->entry.flags;
    if (VMKI_LIKELY(in_leaf)) {
        vmki_finger_forget(mm);
        vmki_cursor_erase(&mm->finger.at);
    } else {
        vmki_finger_splice(mm, finger->entry.start, finger->entry.end, NULL, 0);
    }
    mm->total_vm -= pages;
    count_plain(mm, flags, 0 - pages);
    if ((flags & VMK_VM_ACCOUNT) != 0)
        vmki_uncharge(mm, pages);
    if (VMKI_LIKELY((flags & VMKI_VM_BARE) != 0)) {
        vmki_mm_end_bare(mm, vma);
        mm->counters.vma_freed++;
    } else {
        vmki_mm_retire_vma(mm, vma);
    }
    mm->counters.munmap++;
    return finish(result, 0, len);
}

/* ---- mprotect ---- */

/* Entries that take the place of nr_old from the finger, or from the one before it, on. */
struct tiles {
    struct vmki_tree_entry entry[3];
    unsigned nr, nr_old;
    unsigned middle;  /* the entry that has the range afterwards */
    bool from_before; /* the entry before the finger is one of the old ones */
    bool in_leaf;     /* all of it is a matter of one leaf */
};

/* What becomes of the areas. */
struct tiling {
    struct tiles tiles;
    struct vmk_vma *gone[2];     /* areas that are no entry any more */
    struct vmki_anon_vma *adopt; /* the middle one gets it */
    unsigned refused_flags, refused_pgoff, refused_anon_vma;
};

static void tile_add(struct tiling *tiling, vmk_addr start, vmk_addr end, vmk_vm_flags flags, struct vmk_vma *vma)
{
    tiling->tiles.entry[tiling->tiles.nr++] =
        (struct vmki_tree_entry){.start = start, .end = end, .flags = flags, .item = vma};
}

static VMKI_NOINLINE bool tiles_may_splice(struct vmk_mm *mm, const struct tiles *tiles)
{
    vmki_seek(mm, tiles->entry[0].start);
    return may_splice(mm, tiles->entry[tiles->nr - 1].end, tiles->nr);
}

/* Can it be done? The old entries are not all in the leaf, or it is too full, or would be too empty: then by a splice. */
static VMKI_INLINE bool tiles_may(struct vmk_mm *mm, struct tiles *tiles)
{
    tiles->in_leaf = vmki_cursor_tile_fits(&mm->finger.at, tiles->from_before, tiles->nr_old, tiles->nr);
    return VMKI_LIKELY(tiles->in_leaf) || tiles_may_splice(mm, tiles);
}

static VMKI_INLINE void tiles_put(struct vmk_mm *mm, const struct tiles *tiles)
{
    struct vmki_finger *finger = &mm->finger;

    if (VMKI_UNLIKELY(!tiles->in_leaf)) {
        vmki_finger_splice(mm, tiles->entry[0].start, tiles->entry[tiles->nr - 1].end, tiles->entry, tiles->nr);
        return;
    }
    finger->at.slot[0] = (uint8_t)(finger->at.slot[0] - tiles->from_before);
    vmki_cursor_tile(&finger->at, tiles->nr_old, tiles->entry, tiles->nr);
    finger->at.slot[0] = (uint8_t)(finger->at.slot[0] + tiles->middle);
    finger_set(finger, &tiles->entry[tiles->middle]);
}

/* What of an area counts for a merge, if it is plain. */
struct kind {
    vmk_vm_flags flags;
    uint64_t bias;
    struct vmki_anon_vma *anon_vma;
};

/* A bare area is not looked at: it may be in no near cache. */
static struct kind kind_of(vmk_vm_flags flags, const struct vmk_vma *vma)
{
    if ((flags & VMKI_VM_BARE) != 0)
        return (struct kind){flags & ~VMKI_VM_BARE, 0, NULL};
    return (struct kind){flags, vma->bias, vma->anon_vma};
}

/* vmki_can_merge for plain areas. */
static bool kinds_agree(struct tiling *tiling, const struct kind *a, const struct kind *b)
{
    if (((a->flags ^ b->flags) & ~VMKI_VM_MERGE_IGNORED) != 0) {
        tiling->refused_flags++;
        return false;
    }
    if (a->bias != b->bias) {
        tiling->refused_pgoff++;
        return false;
    }
    if (a->anon_vma == b->anon_vma || (a->anon_vma == NULL && (b->flags & VMKI_VM_FORKED) == 0) ||
        (b->anon_vma == NULL && (a->flags & VMKI_VM_FORKED) == 0))
        return true;
    tiling->refused_anon_vma++;
    return false;
}

/* The flags of an area that takes in another: with an anon_vma comes what is known of it. */
static vmk_vm_flags adopt(struct tiling *tiling, const struct kind *stays, const struct kind *goes)
{
    if (stays->anon_vma != NULL || goes->anon_vma == NULL)
        return stays->flags;
    tiling->adopt = goes->anon_vma;
    return stays->flags | (goes->flags & VMKI_VM_FORKED);
}

/*
 * The part joins the areas around it, as far as they touch it; find_joins and modify_join have the rules. False when there
 * is nothing to join.
 */
static bool tile_joins(struct tiling *tiling, const struct vmki_tree_entry *entry, const struct vmki_tree_entry *part,
                       const struct vmki_tree_entry *before, const struct vmki_tree_entry *after)
{
    struct vmk_vma *vma = entry->item, *prev = before->item, *next = after->item;
    struct kind middle = kind_of(part->flags, vma), first, last;
    bool joins_prev = false, joins_next = false;

    if (prev != NULL) {
        first = kind_of(before->flags, prev);
        joins_prev = kinds_agree(tiling, &first, &middle);
    }
    if (next != NULL) {
        last = kind_of(after->flags, next);
        joins_next = kinds_agree(tiling, &middle, &last);
    }
    if (joins_prev && joins_next) { /* that an anon_vma is inherited does not count between the two */
        struct kind own_first = first, own_last = last;

        own_first.flags &= ~VMKI_VM_FORKED;
        own_last.flags &= ~VMKI_VM_FORKED;
        joins_next = kinds_agree(tiling, &own_first, &own_last);
    }
    tiling->tiles.from_before = joins_prev;
    tiling->tiles.nr_old = 1u + joins_prev + joins_next;
    if (joins_prev) {
        vmk_vm_flags flags = adopt(tiling, &first, &middle);

        if (joins_next && tiling->adopt == NULL)
            flags = adopt(tiling, &first, &last);
        tile_add(tiling, before->start, joins_next ? after->end : part->end, flags, prev);
        tiling->gone[1] = joins_next ? next : NULL;
        if (part->end < entry->end)
            tile_add(tiling, part->end, entry->end, entry->flags, vma);
        else
            tiling->gone[0] = vma;
    } else if (joins_next) {
        if (part->start > entry->start)
            tile_add(tiling, entry->start, part->start, entry->flags, vma);
        else
            tiling->gone[0] = vma;
        tiling->tiles.middle = tiling->tiles.nr;
        tile_add(tiling, part->start, after->end, adopt(tiling, &last, &middle), next);
    }
    return joins_prev || joins_next;
}

/* Nothing joins: the part stays the area, and what is cut off it on either side is new. */
static bool tile_cuts(struct tiling *tiling, struct vmk_mm *mm, const struct vmki_tree_entry *entry,
                      const struct vmki_tree_entry *part)
{
    unsigned nr_new = 0u + (part->start > entry->start) + (part->end < entry->end);
    struct vmk_vma *vma = entry->item;

    if (mm->tree.nr_entries + nr_new > vmki_max_map_count(mm) || !vmki_mm_reserve_vmas(mm, nr_new, 0))
        return false;
    tiling->tiles.nr_old = 1;
    if (part->start > entry->start)
        tile_add(tiling, entry->start, part->start, entry->flags, NULL);
    tiling->tiles.middle = tiling->tiles.nr;
    tile_add(tiling, part->start, part->end, part->flags, vma);
    if (part->end < entry->end)
        tile_add(tiling, part->end, entry->end, entry->flags, NULL);
    return true;
}

static void tile_count(struct vmk_mm *mm, const struct tiling *tiling)
{
    mm->counters.refuse_flags += tiling->refused_flags;
    mm->counters.refuse_pgoff += tiling->refused_pgoff;
    mm->counters.refuse_anon_vma += tiling->refused_anon_vma;
    if (tiling->tiles.nr_old == 3)
        mm->counters.merge_both++;
    else if (tiling->tiles.from_before)
        mm->counters.merge_prev++;
    else if (tiling->tiles.nr_old == 2)
        mm->counters.merge_next++;
}

/* The areas become what the entries say; those without one get one, with the properties of `vma`. */
static void tile_areas(struct vmk_mm *mm, struct tiling *tiling, const struct vmk_vma *vma)
{
    struct tiles *tiles = &tiling->tiles;

    if (tiling->adopt != NULL)
        vmki_vma_set_refs(tiles->entry[tiles->middle].item, tiling->adopt, NULL);
    for (unsigned i = 0; i < tiles->nr; i++) {
        struct vmki_tree_entry *entry = &tiles->entry[i];

        if (entry->item == NULL) {
            entry->item = vmki_mm_take_vma(mm, false);
            vmki_vma_set_origin(entry->item, vma->bias, NULL);
            vmki_vma_set_refs(entry->item, vma->anon_vma, NULL);
            mm->counters.split++;
        }
        entry->flags = (entry->flags & ~VMKI_VM_BARE) | vmki_vma_bare(entry->item);
        area_set(entry->item, entry->start, entry->end, entry->flags);
    }
}

/* Any part of an area, with whatever touches it. */
static VMKI_NOINLINE bool tile_any(struct vmk_mm *mm, const struct vmki_tree_entry *part,
                                   const struct vmki_tree_entry *before, const struct vmki_tree_entry *after)
{
    struct vmki_tree_entry entry = mm->finger.entry;
    struct tiling tiling = {.tiles = {.nr = 0}};

    if ((before->item != NULL && !vmki_area_is_plain(before->flags, before->item)) ||
        (after->item != NULL && !vmki_area_is_plain(after->flags, after->item)))
        return false;
    if ((!tile_joins(&tiling, &entry, part, before, after) && !tile_cuts(&tiling, mm, &entry, part)) ||
        !tiles_may(mm, &tiling.tiles))
        return false;
    tile_count(mm, &tiling);
    tile_areas(mm, &tiling, entry.item);
    tiles_put(mm, &tiling.tiles);
    note_peaks(mm);
    for (unsigned i = 0; i < 2; i++)
        if (tiling.gone[i] != NULL)
            vmki_mm_retire_vma(mm, tiling.gone[i]);
    return true;
}

/* The leaf is full: the part inside a bare area comes by a splice. */
static VMKI_NOINLINE bool splice_inside(struct vmk_mm *mm, const struct vmki_tree_entry *part, struct vmk_vma *below,
                                        struct vmk_vma *above)
{
    const struct vmki_tree_entry entry = mm->finger.entry;
    const struct vmki_tree_entry entries[3] = {
        {entry.start, part->start, entry.flags, below}, *part, {part->end, entry.end, entry.flags, above}};

    if (!may_splice(mm, entry.end, 3))
        return false;
    vmki_finger_splice(mm, entry.start, entry.end, entries, 3);
    return true;
}

/*
 * A part inside a bare area, which becomes three. No area is looked at, nor written that was there before: it may be in no near
 * cache. So all three are spare ones, and it becomes one; but what is counted are the two that are more.
 */
static VMKI_INLINE bool tile_inside(struct vmk_mm *mm, struct vmki_tree_entry *part)
{
    const struct vmki_tree_entry *entry = &mm->finger.entry;
    struct vmk_vma *below, *above, *old = entry->item;

    if (mm->tree.nr_entries + 2 > vmki_max_map_count(mm) || !vmki_mm_reserve_vmas(mm, 3, 0))
        return false;
    below = mm->spare_anon;
    part->item = below->link;
    above = below->link->link;
    area_set(below, entry->start, part->start, entry->flags);
    area_set(part->item, part->start, part->end, part->flags);
    area_set(above, part->end, entry->end, entry->flags);
    if (VMKI_LIKELY(vmki_cursor_split(&mm->finger.at, part, below, above)))
        finger_set(&mm->finger, part);
    else if (!splice_inside(mm, part, below, above))
        return false;
    mm->spare_anon = above->link;
    mm->nr_spare_anon -= 3;
    vmki_mm_end_bare(mm, old);
    mm->nr_vmas_peak = vmki_max(mm->nr_vmas_peak, mm->tree.nr_entries);
    mm->counters.vma_new += 2;
    mm->counters.split += 2;
    return true;
}

/* A whole bare area that becomes one with its bare neighbours: the lower one takes it and the upper one in. */
static VMKI_INLINE bool tile_between(struct vmk_mm *mm, vmk_vm_flags flags)
{
    struct vmki_finger *finger = &mm->finger;
    struct vmk_vma *vma = finger->entry.item, *joined;
    void *above;

    if (!vmki_cursor_join(&finger->at, flags, VMK_VM_SOFTDIRTY | VMKI_VM_FORKED, &finger->entry, &above))
        return false;
    finger->low = finger->entry.start;
    finger->high = finger->entry.end;
    joined = finger->entry.item;
    joined->end = finger->entry.end;
    vmki_mm_end_bare(mm, vma);
    vmki_mm_end_bare(mm, above);
    mm->counters.vma_freed += 2;
    mm->counters.merge_both++;
    return true;
}

/* The entries that touch the finger's, each where wanted; item is NULL where none does. */
static void find_touching(const struct vmki_finger *finger, bool want_before, bool want_after,
                          struct vmki_tree_entry *before, struct vmki_tree_entry *after)
{
    if (VMKI_LIKELY(vmki_cursor_touching(&finger->at, want_before, want_after, before, after)))
        return;
    if (!want_before || !vmki_cursor_before(&finger->at, before) || before->end != finger->entry.start)
        before->item = NULL;
    if (!want_after || !vmki_cursor_after(&finger->at, after) || after->start != finger->entry.end)
        after->item = NULL;
}

/* Gives a part of the finger's area other flags. */
static VMKI_NOINLINE bool tile_modify(struct vmk_mm *mm, const struct vmki_tree_entry *part)
{
    const struct vmki_finger *finger = &mm->finger;
    struct vmki_tree_entry before, after;

    find_touching(finger, part->start == finger->entry.start, part->end == finger->entry.end, &before, &after);
    return tile_any(mm, part, &before, &after);
}

/* The two commonest cases have ways of their own. */
static VMKI_INLINE bool tile_part(struct vmk_mm *mm, struct vmki_tree_entry *part)
{
    const struct vmki_tree_entry *entry = &mm->finger.entry;
    bool at_start = part->start == entry->start, at_end = part->end == entry->end;

    if (VMKI_LIKELY((part->flags & VMKI_VM_BARE) != 0)) {
        if (!at_start && !at_end)
            return tile_inside(mm, part);
        if (at_start && at_end && tile_between(mm, part->flags))
            return true;
    }
    return tile_modify(mm, part);
}

/* What of the pages' counts follows from the flags: the space's size does not change. */
static inline void count_change(struct vmk_mm *mm, vmk_vm_flags old, vmk_vm_flags flags, uint64_t pages)
{
    count_plain(mm, old, 0 - pages);
    count_plain(mm, flags, pages);
    if ((old & ~flags & VMK_VM_ACCOUNT) != 0)
        vmki_uncharge(mm, pages);
}

/* A part of one area, all of which may have the protection. */
bool vmki_quick_mprotect(struct vmk_mm *mm, const struct vmk_mprotect_request *request, struct vmk_result *result)
{
    uint64_t len = vmki_page_align(mm, request->len), pages = vmki_pages(mm, len), charged = 0;
    const struct vmki_tree_entry *entry = &mm->finger.entry;
    struct vmki_tree_entry part;
    struct vmk_vma *vma;
    vmk_vm_flags old, flags;

    part.start = request->address;
    part.end = part.start + len;
    if (!vmki_mm_is_plain(mm) || !vmki_prot_is_plain(mm, request->prot) || request->pkey != -1 ||
        !vmki_page_aligned(mm, part.start) || part.end <= part.start)
        return false;
    vmki_seek(mm, part.start);
    vma = entry->item;
    if (vma == NULL || entry->start > part.start || entry->end < part.end)
        return false;
    old = entry->flags;
    flags = request->prot | (old & ~VMK_VM_ACCESS);
    if (!vmki_area_is_plain(old, vma) || (flags & ~(flags >> 4) & VMK_VM_ACCESS) != 0)
        return false;
    if (flags != old) {
        if (vmki_protect_account(mm, old, pages, (old & VMKI_VM_BARE) == 0 && vma->anon_vma != NULL, &flags,
                                 &charged) != 0)
            return false;
        part.flags = flags;
        if (!tile_part(mm, &part)) {
            vmki_uncharge(mm, charged);
            return false;
        }
        count_change(mm, old, flags, pages);
    }
    mm->counters.mprotect++;
    return finish(result, 0, len);
}
