/* SPDX-License-Identifier: MIT */
/*
 * unmap.c - the part of a call that unmaps a range: of munmap, mremap, shmdt, and of whatever replaces memory.
 *
 * Linux cuts the first area before it looks at the next one. So when a later area refuses (it is sealed, or its end may
 * not be split), the cut at the beginning of the range stays visible:
 *
 *      [ first ...|start .....][ sealed ]         becomes        [ first ][ first ][ sealed ]    and -EPERM
 */
#include "base/breaks.h"
#include "mm/plan.h"
#include "mm/reserve.h"

/* Memory and an edit that cuts `vma` at `address`, and no more: the halves are not merged with anything. */
static int unmap_split(struct vmk_mm *mm, struct vmk_vma *vma, vmk_addr address, struct vmki_area_edit *edit)
{
    int error = vmki_edit_reserve(mm, 1, vma->file != NULL);
    struct vmk_vma *upper;

    if (error != 0)
        return error;
    upper = vmki_mm_take_vma(mm, vma->file != NULL);
    vmki_vma_copy_properties(upper, vma, address, vma->end);
    *edit = (struct vmki_area_edit){.from = vma->start, .until = vma->end, .nr_pieces = 2};
    edit->piece[0] =
        (struct vmki_piece){.vma = vma, .start = vma->start, .end = address, .flags = vma->flags, .ext = vma->ext};
    edit->piece[1] = (struct vmki_piece){.vma = upper,
                                         .start = address,
                                         .end = vma->end,
                                         .flags = vma->flags,
                                         .ext = upper->ext,
                                         .is_new = true,
                                         .split_from = vma};
    return 0;
}

/* Why the areas of [start, end) from `vma` on, `vma` being the first, may not go: the seal comes before the split. */
static int unmap_refusal(struct vmk_mm *mm, struct vmk_vma *first, vmk_addr end)
{
    struct vmk_vma *last;

    if (vmki_range_is_sealed(mm, first->end, end))
        return -VMK_EPERM;
    last = vmki_find_prev(mm, end);
    return last->end > end ? vmki_vma_may_split(last, end) : 0;
}

/* The part that is visible although the call fails: the cut at `start` of the first area. 1, or negative. */
static int unmap_first_cut(struct vmki_plan *plan, struct vmk_vma *first, vmk_addr start, int refusal)
{
    int error =
        first->start < start && !VMKI_BROKEN(unmap_cut) ? unmap_split(plan->mm, first, start, &plan->area) : refusal;

    if (error != 0)
        return error;
    plan->has_area = true;
    plan->fail_after = refusal;
    return 1;
}

int vmki_plan_unmap_refused(struct vmki_plan *plan, vmk_addr start, vmk_addr end)
{
    struct vmk_mm *mm = plan->mm;
    struct vmk_vma *first = vmki_seek_area(mm, start);
    int refusal = 0;

    if (vmki_reserved_touches(mm, start, end))
        return -VMK_EEXIST;
    if (first == NULL || first->start >= end)
        return 0;
    if ((first->flags & VMK_VM_SEALED) != 0 && !VMKI_BROKEN(seal_unmap))
        return -VMK_EPERM;
    if (first->end >= end)
        return vmki_unmap_may_split(mm, first, first, start, end);
    if (first->start < start)
        refusal = vmki_vma_may_split(first, start);
    if (refusal != 0)
        return refusal;
    refusal = unmap_refusal(mm, first, end);
    return refusal != 0 ? unmap_first_cut(plan, first, start, refusal) : 0;
}

int vmki_plan_cut(struct vmki_plan *plan, vmk_addr address)
{
    struct vmk_vma *vma = vmki_find(plan->mm, address);
    int error;

    if (vma == NULL || vma->start == address || VMKI_BROKEN(map_cut))
        return 0;
    error = unmap_split(plan->mm, vma, address, &plan->area);
    if (error != 0)
        return error;
    plan->has_area = true;
    return 1;
}

int vmki_plan_unmap(struct vmki_plan *plan, vmk_addr start, vmk_addr end)
{
    struct vmk_mm *mm = plan->mm;
    struct vmk_vma *first = vmki_seek_area(mm, start);
    int error = vmki_plan_unmap_refused(plan, start, end);

    if (error != 0 || first == NULL || first->start >= end)
        return error;
    error = vmki_edit_reserve(mm, 1, first->file != NULL);
    if (error == 0)
        error = vmki_edit_unmap(mm, start, end, &plan->area);
    if (error != 0)
        return error;
    plan->has_area = true;
    vmki_plan_add_edit(plan, VMK_EDIT_UNMAP, start, end);
    return 1;
}
