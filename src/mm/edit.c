/* SPDX-License-Identifier: MIT */
/* edit.c - preparing area edits: which areas stay, which come, which go. edit.h has the picture; commit.c publishes. */
#include "mm/edit.h"
#include "base/breaks.h"

#include "mm/reserve.h"

#define ANON_VMA_FLAGS (VMKI_VM_FORKED | VMKI_VM_ANON_UNKNOWN)

int vmki_edit_reserve(struct vmk_mm *mm, unsigned nr_new, bool any_file)
{
    if (!vmki_mm_reserve_vmas(mm, nr_new, any_file ? nr_new : 0) || !vmki_tree_reserve(&mm->tree, 1))
        return -VMK_ERR_HOST_NOMEM;
    return 0;
}

/* An area that stays, with other bounds; its flags and ext as they are. */
static struct vmki_piece *piece_keep(struct vmki_area_edit *edit, struct vmk_vma *vma, vmk_addr start, vmk_addr end)
{
    struct vmki_piece *piece = &edit->piece[edit->nr_pieces++];

    *piece = (struct vmki_piece){.vma = vma, .start = start, .end = end, .flags = vma->flags, .ext = vma->ext};
    return piece;
}

/* A new area for a part of `vma`, with its properties. */
static struct vmki_piece *piece_split_off(struct vmk_mm *mm, struct vmki_area_edit *edit, struct vmk_vma *vma,
                                          vmk_addr start, vmk_addr end)
{
    struct vmk_vma *part = vmki_mm_take_vma(mm, vma->file != NULL);
    struct vmki_piece *piece;

    vmki_vma_copy_properties(part, vma, start, end);
    piece = piece_keep(edit, part, start, end);
    piece->is_new = true;
    piece->split_from = vma;
    return piece;
}

/*
 * The piece at `index` takes in the memory of areas with these identities: it gets the anon_vma that one of them has and
 * it has not. They have been found to agree, so that there is at most one to take.
 */
static void edit_adopt(struct vmki_area_edit *edit, unsigned index, const struct vmki_identity *first,
                       const struct vmki_identity *second)
{
    const struct vmk_vma *stays = edit->piece[index].vma;
    const struct vmki_identity *from = first->anon_vma != NULL ? first : second;

    /* Guard pages may be in any of them: the flag is no part of the identity, and sticks. */
    edit->piece[index].flags |= (first->flags | (second != NULL ? second->flags : 0)) & VMK_VM_GUARD_REGION;
    if (stays->anon_vma != NULL || from == NULL || from->anon_vma == NULL)
        return;
    edit->adopt = from->anon_vma;
    edit->adopter = index;
    edit->adopt_flags = from->flags & ANON_VMA_FLAGS;
}

static struct vmk_vma *touching_before(struct vmk_mm *mm, vmk_addr start)
{
    struct vmki_tree_entry entry;

    return vmki_cursor_before(&vmki_seek(mm, start)->at, &entry) && entry.end == start ? entry.item : NULL;
}

/* The area that begins where [start, end) ends. */
static struct vmk_vma *touching_after(struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    const struct vmki_finger *finger = vmki_seek(mm, start);
    struct vmki_tree_entry entry;

    if (finger->entry.item == NULL || finger->entry.end > end)
        return finger->entry.item != NULL && finger->entry.start == end ? finger->entry.item : NULL;
    if (finger->entry.end == end ? !vmki_cursor_after(&finger->at, &entry) : !vmki_tree_next(&mm->tree, end, &entry))
        return NULL;
    return entry.start == end ? entry.item : NULL;
}

/* Which neighbours a changed or new range joins. */
struct joins {
    struct vmk_vma *prev, *next; /* NULL: does not join */
};

/*
 * A range with the identity `mid` lies between prev and next (each may be NULL). Both join only when they could also be
 * one with each other; if not, the previous one does (facts: Merging 2, "a bridge"). With `goes`, the area that would
 * vanish must let itself be absorbed.
 */
static struct joins find_joins(struct vmk_mm *mm, struct vmk_vma *prev, struct vmk_vma *next,
                               const struct vmki_identity *mid, const struct vmk_vma *goes)
{
    struct joins joins = {NULL, NULL};
    struct vmki_identity prev_identity = {0}, next_identity = {0};

    if (prev != NULL) {
        prev_identity = vmki_identity_of(prev);
        if (vmki_can_merge(mm, &prev_identity, mid) && (goes == NULL || vmki_may_absorb(prev, goes)))
            joins.prev = prev;
    }
    if (next != NULL) {
        next_identity = vmki_identity_of(next);
        if (vmki_can_merge(mm, mid, &next_identity) && (goes == NULL || vmki_may_absorb(next, goes)))
            joins.next = next;
    }
    /* That an anon_vma is inherited counts against the range alone, not between the two. */
    prev_identity.flags &= ~VMKI_VM_FORKED;
    next_identity.flags &= ~VMKI_VM_FORKED;
    if (joins.prev != NULL && joins.next != NULL &&
        (!vmki_can_merge(mm, &prev_identity, &next_identity) || !vmki_may_absorb(prev, next)))
        joins = (struct joins){VMKI_BROKEN(merge_bridge) ? NULL : joins.prev, NULL};
    return joins;
}

static void count_joins(struct vmk_mm *mm, const struct joins *joins, vmk_addr start, vmk_addr end)
{
    if (joins->prev != NULL && joins->next != NULL)
        VMKI_COUNT(mm, merge_both, start, end);
    else if (joins->prev != NULL)
        VMKI_COUNT(mm, merge_prev, start, end);
    else if (joins->next != NULL)
        VMKI_COUNT(mm, merge_next, start, end);
}

/* ---- Modify ---- */

/*
 * The part of `vma` joins a neighbour; what is left of it, if anything, stays as it is:
 *
 *      [ prev ][start..end)[ rest ]      prev takes the part       [ prev ........][ rest ]
 *      [ rest ][start..end)[ next ]      next takes it             [ rest ][........ next ]
 *      [ prev ][start..end)[ next ]      prev takes both           [ prev ................]
 */
static void modify_join(struct vmk_vma *vma, vmk_addr start, vmk_addr end, const struct joins *joins,
                        const struct vmki_identity *mid, struct vmki_area_edit *edit)
{
    struct vmki_identity next_identity;

    edit->from = joins->prev != NULL ? joins->prev->start : vma->start;
    edit->until = joins->next != NULL ? joins->next->end : vma->end;
    if (joins->prev != NULL && joins->next != NULL) {
        next_identity = vmki_identity_of(joins->next);
        piece_keep(edit, joins->prev, joins->prev->start, joins->next->end);
        edit_adopt(edit, 0, mid, &next_identity);
    } else if (joins->prev != NULL) {
        piece_keep(edit, joins->prev, joins->prev->start, end);
        edit_adopt(edit, 0, mid, NULL);
        if (end < vma->end)
            piece_keep(edit, vma, end, vma->end);
    } else {
        VMKI_CHECK(joins->next != NULL);
        if (start > vma->start)
            piece_keep(edit, vma, vma->start, start);
        piece_keep(edit, joins->next, start, joins->next->end);
        edit_adopt(edit, edit->nr_pieces - 1, mid, NULL);
    }
}

/*
 * May the area be split at `start` and at `end`, as far as they lie inside? The map count is checked before each, as one
 * split raises it. *first_only: the split at `start` went well, the one at `end` did not.
 */
static int modify_may_split(struct vmk_mm *mm, struct vmk_vma *vma, vmk_addr start, vmk_addr end, bool *first_only)
{
    uint64_t count = mm->tree.nr_entries;
    int error;

    *first_only = false;
    if (start > vma->start) {
        if (count >= vmki_max_map_count(mm))
            return -VMK_ENOMEM;
        error = vmki_vma_may_split(vma, start);
        if (error != 0)
            return error;
        count++;
        *first_only = true;
    }
    if (end < vma->end) {
        if (count >= vmki_max_map_count(mm))
            return -VMK_ENOMEM;
        error = vmki_vma_may_split(vma, end);
        if (error != 0)
            return error;
    }
    *first_only = false;
    return 0;
}

/* The middle keeps the area itself; what is split off below and above is new. */
static void modify_split(struct vmk_mm *mm, struct vmk_vma *vma, vmk_addr start, vmk_addr end,
                         const struct vmki_identity *mid, struct vmki_area_edit *edit)
{
    struct vmki_piece *piece;

    edit->from = vma->start;
    edit->until = vma->end;
    if (start > vma->start)
        piece_split_off(mm, edit, vma, vma->start, start);
    piece = piece_keep(edit, vma, start, end);
    piece->flags = mid->flags;
    piece->ext = mid->ext;
    if (end < vma->end)
        piece_split_off(mm, edit, vma, end, vma->end);
}

int vmki_edit_modify(struct vmk_mm *mm, struct vmk_vma *vma, vmk_addr start, vmk_addr end, vmk_vm_flags flags,
                     struct vmki_ext *ext, struct vmki_area_edit *edit, bool *partial)
{
    struct vmki_identity mid = vmki_identity_of(vma);
    bool is_whole = start == vma->start && end == vma->end;
    struct joins joins;
    int error;

    flags |= vma->flags & VMKI_VM_POOLED;
    mid.flags = flags | (vma->flags & ANON_VMA_FLAGS);
    mid.ext = ext;
    vmki_edit_clear(edit);
    edit->new_start = start;
    edit->new_end = end;
    edit->old_flags = vma->flags;
    edit->new_flags = flags;
    edit->is_change = true;
    *partial = false;
    joins = find_joins(mm, start == vma->start ? touching_before(mm, start) : NULL,
                       end == vma->end ? touching_after(mm, start, end) : NULL, &mid, is_whole ? vma : NULL);
    if (joins.prev != NULL || joins.next != NULL) {
        count_joins(mm, &joins, start, end);
        modify_join(vma, start, end, &joins, &mid, edit);
        vmki_ext_put(mm, ext); /* the neighbour has the same */
        return 0;
    }
    error = modify_may_split(mm, vma, start, end, partial);
    if (error == 0) {
        modify_split(mm, vma, start, end, &mid, edit);
        if (ext == vma->ext)
            vmki_ext_put(mm, ext); /* the area has its own reference */
        return 0;
    }
    vmki_ext_put(mm, ext);
    if (*partial) {
        struct vmki_identity same = vmki_identity_of(vma);

        modify_split(mm, vma, start, vma->end, &same, edit);
        edit->new_end = edit->new_start; /* nothing changes its flags */
    }
    return error;
}

/* ---- Unmap ---- */

/* May what surrounds [start, end) be cut off? `first` and `last` are the areas at its ends. */
int vmki_unmap_may_split(const struct vmk_mm *mm, struct vmk_vma *first, struct vmk_vma *last, vmk_addr start,
                         vmk_addr end)
{
    int error = 0;

    if (start > first->start) {
        /* One area becomes two: the only case that raises the count. */
        if (end < first->end && mm->tree.nr_entries >= vmki_max_map_count(mm))
            return -VMK_ENOMEM;
        error = vmki_vma_may_split(first, start);
    }
    if (error == 0 && end < last->end)
        error = vmki_vma_may_split(last, end);
    return error;
}

/* The areas at both ends of [start, end): false when none overlaps it. */
static bool overlap_ends(struct vmk_mm *mm, vmk_addr start, vmk_addr end, struct vmk_vma **first, struct vmk_vma **last)
{
    *first = vmki_seek_area(mm, start);
    if (*first == NULL || (*first)->start >= end)
        return false;
    *last = (*first)->end >= end ? *first : vmki_find_prev(mm, end);
    return true;
}

int vmki_edit_unmap(struct vmk_mm *mm, vmk_addr start, vmk_addr end, struct vmki_area_edit *edit)
{
    struct vmk_vma *first, *last;
    int error;

    vmki_edit_clear(edit);
    if (vmki_reserved_touches(mm, start, end))
        return -VMK_EEXIST;
    if (!overlap_ends(mm, start, end, &first, &last))
        return 0;
    error = vmki_unmap_may_split(mm, first, last, start, end);
    if (error != 0)
        return error;
    edit->from = first->start;
    edit->until = last->end;
    edit->unmap_start = start;
    edit->unmap_end = end;
    if (start > first->start)
        piece_keep(edit, first, first->start, start);
    if (end < last->end) {
        if (last == first && start > first->start)
            piece_split_off(mm, edit, last, end, last->end);
        else
            piece_keep(edit, last, end, last->end);
    }
    return 0;
}

/* ---- Map ---- */

/* What lies around a new range once its place is cleared. */
struct surroundings {
    struct vmk_vma *prev, *next;   /* touching, or NULL */
    bool prev_is_cut, next_is_cut; /* the range takes a part of them */
};

static int map_surroundings(struct vmk_mm *mm, vmk_addr start, vmk_addr end, struct surroundings *around,
                            struct vmki_area_edit *edit)
{
    struct vmk_vma *first, *last;
    int error;

    *around = (struct surroundings){NULL, NULL, false, false};
    if (!overlap_ends(mm, start, end, &first, &last)) {
        around->prev = touching_before(mm, start);
        around->next = touching_after(mm, start, end);
        return 0;
    }
    error = vmki_unmap_may_split(mm, first, last, start, end);
    if (error != 0)
        return error;
    edit->unmap_start = start;
    edit->unmap_end = end;
    around->prev_is_cut = first->start < start;
    around->next_is_cut = last->end > end;
    around->prev = around->prev_is_cut ? first : touching_before(mm, start);
    around->next = around->next_is_cut ? last : touching_after(mm, start, end);
    return 0;
}

static void map_new_piece(struct vmk_mm *mm, const struct vmki_new_area *area, struct vmki_area_edit *edit)
{
    const struct vmki_identity *identity = &area->identity;
    struct vmk_vma *vma = vmki_mm_take_vma(mm, identity->file != NULL);

    vma->start = area->start;
    vma->end = area->end;
    vma->flags = identity->flags;
    vmki_vma_set_origin(vma, identity->bias, identity->file);
    vmki_vma_set_refs(vma, identity->anon_vma, identity->ext);
    piece_keep(edit, vma, area->start, area->end)->is_new = true;
}

/* The upper rest of what the range cuts, from `start`. Of one area cut on both sides, the lower rest keeps the area. */
static void map_upper_rest(struct vmk_mm *mm, const struct surroundings *around, vmk_addr start,
                           struct vmki_area_edit *edit)
{
    struct vmk_vma *next = around->next;

    VMKI_CHECK(next != NULL);
    if (around->prev == next)
        piece_split_off(mm, edit, next, start, next->end);
    else
        piece_keep(edit, next, start, next->end);
}

/* The range becomes part of the area below it. */
static void map_join_prev(struct vmk_mm *mm, const struct vmki_new_area *area, const struct surroundings *around,
                          const struct joins *joins, struct vmki_area_edit *edit)
{
    struct vmki_identity next_identity;

    if (joins->next == NULL) {
        piece_keep(edit, joins->prev, joins->prev->start, area->end);
        edit_adopt(edit, 0, &area->identity, NULL);
        if (around->next_is_cut)
            map_upper_rest(mm, around, area->end, edit);
        return;
    }
    next_identity = vmki_identity_of(joins->next);
    piece_keep(edit, joins->prev, joins->prev->start, joins->next->end);
    edit_adopt(edit, 0, &area->identity, &next_identity);
}

/* The range becomes part of the area above it, or an area of its own. */
static void map_above_prev(struct vmk_mm *mm, const struct vmki_new_area *area, const struct surroundings *around,
                           const struct joins *joins, struct vmki_area_edit *edit)
{
    if (around->prev_is_cut)
        piece_keep(edit, around->prev, around->prev->start, area->start);
    if (joins->next != NULL) {
        map_upper_rest(mm, around, area->start, edit);
        edit_adopt(edit, edit->nr_pieces - 1, &area->identity, NULL);
        return;
    }
    map_new_piece(mm, area, edit);
    if (around->next_is_cut)
        map_upper_rest(mm, around, area->end, edit);
}

/*
 *      [ prev ...][start....end)[... next ]        prev and next touch the range; either may be cut by it, and both may
 *                                                  be the rests of one area
 */
int vmki_edit_map(struct vmk_mm *mm, const struct vmki_new_area *area, struct vmki_area_edit *edit,
                  struct vmk_vma **vma)
{
    struct surroundings around;
    struct joins joins = {NULL, NULL};
    int error;

    vmki_edit_clear(edit);
    edit->new_start = area->start;
    edit->new_end = area->end;
    edit->new_flags = area->identity.flags;
    edit->is_map = true;
    if (vmki_reserved_touches(mm, area->start, area->end))
        return -VMK_EEXIST;
    error = map_surroundings(mm, area->start, area->end, &around, edit);
    if (error != 0)
        return error;
    if (area->may_merge)
        joins = find_joins(mm, around.prev, around.next, &area->identity, NULL);
    count_joins(mm, &joins, area->start, area->end);
    edit->from = joins.prev != NULL || around.prev_is_cut ? around.prev->start : area->start;
    edit->until = joins.next != NULL ? joins.next->end : area->end;
    if (joins.prev != NULL)
        map_join_prev(mm, area, &around, &joins, edit);
    else
        map_above_prev(mm, area, &around, &joins, edit);
    for (unsigned i = 0; i < edit->nr_pieces; i++)
        if (edit->piece[i].start <= area->start && edit->piece[i].end >= area->end)
            *vma = edit->piece[i].vma;
    return 0;
}
