/* SPDX-License-Identifier: MIT */
/* quick.c - see quick.h. What a rule is about is said where the long way keeps it; here only which cases are left. */
#include "mm/quick.h"

#include "base/atomic.h"
#include "base/breaks.h"

/* The flags of areas that have nothing special about them: anything else takes the long way. */
#define PLAIN_FLAGS                                                                                                    \
    (VMK_VM_ACCESS | VMK_VM_MAY_ACCESS | VMK_VM_ACCOUNT | VMK_VM_NORESERVE | VMK_VM_SOFTDIRTY | VMK_VM_HUGEPAGE |      \
     VMK_VM_NOHUGEPAGE | VMKI_VM_FORKED | VMKI_VM_BARE)

#define PROT_PLAIN (VMK_PROT_READ | VMK_PROT_WRITE | VMK_PROT_EXEC)

/* Nobody but the tree, the areas and the counters has to hear of a change, and no mode of the process adds rules. */
bool vmki_mm_is_plain(const struct vmk_mm *mm)
{
    uintptr_t listeners = (uintptr_t)mm->backend | (uintptr_t)mm->overlay | (uintptr_t)mm->system->trace;
    uint64_t modes = mm->def_flags | mm->mdwe | (mm->personality & VMK_READ_IMPLIES_EXEC) | mm->reserved.nr_entries;

    return (listeners | modes) == 0 && mm->notice == NULL && !VMKI_ANY_BROKEN;
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

/* The finger stands on the entry from now on. */
static void finger_set(struct vmki_finger *finger, const struct vmki_tree_entry *entry)
{
    finger->entry = *entry;
    finger->low = entry->start;
    finger->high = entry->end;
}

/* Bounds and flags of an area, as its entry has them. */
static inline void area_set(const struct vmki_tree_entry *entry)
{
    struct vmk_vma *vma = entry->item;

    vma->start = entry->start;
    vma->end = entry->end;
    vmki_store_relaxed(&vma->flags, entry->flags & ~VMKI_VM_BARE);
}

static void note_peaks(struct vmk_mm *mm)
{
    mm->peak_vm = vmki_max(mm->peak_vm, mm->total_vm);
    mm->nr_vmas_peak = vmki_max(mm->nr_vmas_peak, mm->tree.nr_entries);
}

/* ---- mmap ---- */

/* Anonymous private memory, where it is asked for or where a search finds room, that touches nothing. */
bool vmki_quick_mmap(struct vmk_mm *mm, const struct vmk_mmap_request *request, struct vmk_result *result)
{
    const uint32_t kind = VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS;
    uint64_t len = vmki_page_align(mm, request->len), pages = vmki_pages(mm, len);
    struct vmki_place place = {.hint = request->address, .len = len, .flags = request->flags};
    struct vmki_finger *finger = &mm->finger;
    struct vmki_tree_entry entry;

    if ((request->flags & ~(uint32_t)VMK_MAP_FIXED) != kind || !vmki_mm_is_plain(mm) ||
        !vmki_prot_is_plain(mm, request->prot) || (request->offset | (request->address & (mm->page_size - 1))) != 0 ||
        len == 0 || ((request->flags & VMK_MAP_FIXED) == 0 && request->address != 0) ||
        mm->tree.nr_entries > vmki_max_map_count(mm) || !vmki_mm_reserve_vmas(mm, 1, 0) ||
        vmki_place(mm, &place, &entry.start) != 0)
        return false;
    entry.end = entry.start + len;
    entry.flags = request->prot | VMK_VM_MAY_ACCESS | (mm->settings->soft_dirty != 0 ? VMK_VM_SOFTDIRTY : 0);
    vmki_seek(mm, entry.start);
    if (!vmki_cursor_insert_fits(&finger->at, entry.start, entry.end) || !vmki_may_expand(mm, entry.flags, pages, 0))
        return false;
    if (vmki_is_accountable(entry.flags)) {
        if (vmki_charge(mm, pages) != 0)
            return false;
        entry.flags |= VMK_VM_ACCOUNT;
    }
    vmki_count_area(mm, entry.flags, pages, 1);
    entry.flags |= VMKI_VM_BARE;
    entry.item = vmki_mm_take_bare(mm);
    area_set(&entry);
    vmki_cursor_insert(&finger->at, &entry);
    finger_set(finger, &entry);
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

    if (!vmki_mm_is_plain(mm) || len == 0)
        return false;
    finger = vmki_seek(mm, request->address);
    vma = finger->entry.item;
    if (vma == NULL || finger->entry.start != request->address || finger->entry.end != request->address + len ||
        !vmki_area_is_plain(finger->entry.flags, vma) || !vmki_cursor_erase_fits(&finger->at))
        return false;
    flags = finger->entry.flags;
    vmki_finger_forget(mm);
    vmki_cursor_erase(&mm->finger.at);
    vmki_count_area(mm, flags, pages, -1);
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

/* What becomes of the areas: entries that take the place of the nr_old from the finger, or from the one before it, on. */
struct tiling {
    struct vmki_tree_entry entry[3];
    unsigned nr, nr_old;
    unsigned middle;             /* the entry that has the range afterwards */
    bool from_before;            /* the entry before the finger is one of the old ones */
    struct vmk_vma *gone[2];     /* areas that are no entry any more */
    struct vmki_anon_vma *adopt; /* the middle one gets it */
    unsigned refused_flags, refused_pgoff, refused_anon_vma;
};

static void tile_add(struct tiling *tiling, vmk_addr start, vmk_addr end, vmk_vm_flags flags, struct vmk_vma *vma)
{
    tiling->entry[tiling->nr++] = (struct vmki_tree_entry){.start = start, .end = end, .flags = flags, .item = vma};
}

/* What of an area counts for a merge, if it is plain. */
struct kind {
    vmk_vm_flags flags;
    uint64_t bias;
    struct vmki_anon_vma *anon_vma;
};

static struct kind kind_of(vmk_vm_flags flags, const struct vmk_vma *vma)
{
    return (struct kind){flags & ~VMKI_VM_BARE, vma->bias, vma->anon_vma};
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
    tiling->from_before = joins_prev;
    tiling->nr_old = 1u + joins_prev + joins_next;
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
        tiling->middle = tiling->nr;
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
    tiling->nr_old = 1;
    if (part->start > entry->start)
        tile_add(tiling, entry->start, part->start, entry->flags, NULL);
    tiling->middle = tiling->nr;
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
    if (tiling->nr_old == 3)
        mm->counters.merge_both++;
    else if (tiling->from_before)
        mm->counters.merge_prev++;
    else if (tiling->nr_old == 2)
        mm->counters.merge_next++;
}

/* The areas become what the entries say; those without one get one, with the properties of `vma`. */
static void tile_areas(struct vmk_mm *mm, struct tiling *tiling, const struct vmk_vma *vma)
{
    if (tiling->adopt != NULL)
        vmki_vma_set_refs(tiling->entry[tiling->middle].item, tiling->adopt, NULL);
    for (unsigned i = 0; i < tiling->nr; i++) {
        struct vmki_tree_entry *entry = &tiling->entry[i];

        if (entry->item == NULL) {
            entry->item = vmki_mm_take_vma(mm, false);
            vmki_vma_set_origin(entry->item, vma->bias, NULL);
            vmki_vma_set_refs(entry->item, vma->anon_vma, NULL);
            mm->counters.split++;
        }
        entry->flags = (entry->flags & ~VMKI_VM_BARE) | vmki_vma_bare(entry->item);
        area_set(entry);
    }
}

static void tile_publish(struct vmk_mm *mm, struct tiling *tiling)
{
    struct vmki_finger *finger = &mm->finger;

    if (tiling->from_before)
        finger->at.slot[0]--;
    vmki_cursor_tile(&finger->at, tiling->nr_old, tiling->entry, tiling->nr);
    finger->at.slot[0] = (uint8_t)(finger->at.slot[0] + tiling->middle);
    finger_set(finger, &tiling->entry[tiling->middle]);
    for (unsigned i = 0; i < 2; i++)
        if (tiling->gone[i] != NULL)
            vmki_mm_retire_vma(mm, tiling->gone[i]);
}

/* Any part of an area, with whatever touches it. */
static VMKI_NOINLINE bool tile_any(struct vmk_mm *mm, const struct vmki_tree_entry *part,
                                   const struct vmki_tree_entry *before, const struct vmki_tree_entry *after)
{
    struct vmki_cursor *cursor = &mm->finger.at;
    struct vmki_tree_entry entry = mm->finger.entry;
    struct tiling tiling = {.nr = 0};

    if ((before->item != NULL && !vmki_area_is_plain(before->flags, before->item)) ||
        (after->item != NULL && !vmki_area_is_plain(after->flags, after->item)))
        return false;
    if ((!tile_joins(&tiling, &entry, part, before, after) && !tile_cuts(&tiling, mm, &entry, part)) ||
        !vmki_cursor_tile_fits(cursor, tiling.nr_old, tiling.nr))
        return false;
    tile_count(mm, &tiling);
    tile_areas(mm, &tiling, entry.item);
    tile_publish(mm, &tiling);
    return true;
}

/*
 * A part inside a bare area, which becomes three. No area is looked at, nor written that was there before: it may be in no near
 * cache. So all three are spare ones, and it becomes one; but what is counted are the two that are more.
 */
static bool tile_inside(struct vmk_mm *mm, const struct vmki_tree_entry *part)
{
    struct vmki_finger *finger = &mm->finger;
    struct vmk_vma *vma = finger->entry.item;
    struct vmki_tree_entry tile[3];

    if (mm->tree.nr_entries + 2 > vmki_max_map_count(mm) || !vmki_mm_reserve_vmas(mm, 3, 0) ||
        !vmki_cursor_tile_fits(&finger->at, 1, 3))
        return false;
    tile[0] = (struct vmki_tree_entry){finger->entry.start, part->start, finger->entry.flags, vmki_mm_take_bare(mm)};
    tile[1] = (struct vmki_tree_entry){part->start, part->end, part->flags, vmki_mm_take_bare(mm)};
    tile[2] = (struct vmki_tree_entry){part->end, finger->entry.end, finger->entry.flags, vmki_mm_take_bare(mm)};
    area_set(&tile[0]);
    area_set(&tile[1]);
    area_set(&tile[2]);
    vmki_cursor_tile(&finger->at, 1, tile, 3);
    finger->at.slot[0]++;
    finger_set(finger, &tile[1]);
    vmki_mm_end_bare(mm, vma);
    mm->counters.vma_new += 2;
    mm->counters.split += 2;
    return true;
}

/* A whole bare area that becomes one with its bare neighbours: the lower one takes it and the upper one in. */
static bool tile_between(struct vmk_mm *mm, const struct vmki_tree_entry *part, const struct vmki_tree_entry *before,
                         const struct vmki_tree_entry *after)
{
    struct vmki_finger *finger = &mm->finger;
    struct vmki_tree_entry tile = {before->start, after->end, before->flags, before->item};
    struct vmk_vma *vma = finger->entry.item;

    if (((before->flags ^ part->flags) | (part->flags ^ after->flags)) & ~VMKI_VM_MERGE_IGNORED ||
        !vmki_cursor_tile_fits(&finger->at, 3, 1))
        return false;
    area_set(&tile);
    finger->at.slot[0]--;
    vmki_cursor_tile(&finger->at, 3, &tile, 1);
    finger_set(finger, &tile);
    vmki_mm_end_bare(mm, vma);
    vmki_mm_end_bare(mm, after->item);
    mm->counters.vma_freed += 2;
    mm->counters.merge_both++;
    return true;
}

/* Gives a part of the finger's area other flags. False when that is no matter of one leaf. */
static bool tile_modify(struct vmk_mm *mm, const struct vmki_tree_entry *part)
{
    const struct vmki_finger *finger = &mm->finger;
    bool from_start = part->start == finger->entry.start, to_end = part->end == finger->entry.end;
    struct vmki_tree_entry before, after;

    if (!from_start && !to_end && (part->flags & VMKI_VM_BARE) != 0)
        return tile_inside(mm, part);
    if (!vmki_cursor_touching(&finger->at, from_start, to_end, &before, &after))
        return false;
    if (before.item != NULL && after.item != NULL && (before.flags & part->flags & after.flags & VMKI_VM_BARE) != 0 &&
        (((before.flags | part->flags | after.flags) & ~PLAIN_FLAGS) == 0) && tile_between(mm, part, &before, &after))
        return true;
    return tile_any(mm, part, &before, &after);
}

/* A part of one area, all of which may have the protection. */
bool vmki_quick_mprotect(struct vmk_mm *mm, const struct vmk_mprotect_request *request, struct vmk_result *result)
{
    uint64_t len = vmki_page_align(mm, request->len), pages = vmki_pages(mm, len), charged;
    struct vmki_tree_entry part = {.start = request->address, .end = request->address + len};
    const struct vmki_finger *finger;
    struct vmk_vma *vma;
    vmk_vm_flags old;

    if (!vmki_mm_is_plain(mm) || !vmki_prot_is_plain(mm, request->prot) || request->pkey != -1 ||
        !vmki_page_aligned(mm, part.start) || part.end <= part.start)
        return false;
    finger = vmki_seek(mm, part.start);
    vma = finger->entry.item;
    if (vma == NULL || finger->entry.start > part.start || finger->entry.end < part.end)
        return false;
    old = finger->entry.flags;
    part.flags = request->prot | (old & ~VMK_VM_ACCESS);
    if (!vmki_area_is_plain(old, vma) || (part.flags & ~(part.flags >> 4) & VMK_VM_ACCESS) != 0)
        return false;
    if (part.flags != old) {
        if (vmki_protect_account(mm, old, pages, (old & VMKI_VM_BARE) == 0 && vma->anon_vma != NULL, &part.flags,
                                 &charged) != 0)
            return false;
        if (!tile_modify(mm, &part)) {
            vmki_uncharge(mm, charged);
            return false;
        }
        vmki_count_area(mm, old, pages, -1);
        vmki_count_area(mm, part.flags, pages, 1);
        if ((old & ~part.flags & VMK_VM_ACCOUNT) != 0)
            vmki_uncharge(mm, pages);
        note_peaks(mm);
    }
    mm->counters.mprotect++;
    return finish(result, 0, len);
}
