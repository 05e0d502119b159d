/* SPDX-License-Identifier: MIT */
#include "mm/reserve.h"

#include "tree/ranges.h"

bool vmki_reserved_next(const struct vmk_mm *mm, vmk_addr address, vmk_addr *start, vmk_addr *end)
{
    struct vmki_tree_entry entry;

    if (!vmki_tree_next(&mm->reserved, address, &entry))
        return false;
    *start = entry.start;
    *end = entry.end;
    return true;
}

static bool reserve_range_is_valid(const struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    return vmki_page_aligned(mm, start) && vmki_page_aligned(mm, end) && start < end && end <= mm->task_size_max;
}

static int reserve_range_locked(struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    if (!reserve_range_is_valid(mm, start, end))
        return -VMK_EINVAL;
    if (vmki_ranges_touch(&mm->tree, start, end))
        return -VMK_EEXIST;
    if (!vmki_tree_reserve(&mm->reserved, 1))
        return -VMK_ERR_HOST_NOMEM;
    vmki_ranges_add(&mm->reserved, start, end, mm);
    return 0;
}

int vmk_mm_reserve_range(struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    int error;

    vmki_mm_lock(mm);
    error = reserve_range_locked(mm, start, end);
    vmki_mm_unlock(mm);
    return error;
}

int vmk_mm_unreserve_range(struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    int error = 0;

    vmki_mm_lock(mm);
    if (!reserve_range_is_valid(mm, start, end))
        error = -VMK_EINVAL;
    else if (!vmki_tree_reserve(&mm->reserved, 1)) /* a range that is cut in two needs a node */
        error = -VMK_ERR_HOST_NOMEM;
    else
        vmki_ranges_remove(&mm->reserved, start, end);
    vmki_mm_unlock(mm);
    return error;
}
