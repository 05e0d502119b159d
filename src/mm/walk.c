/* SPDX-License-Identifier: MIT */
/* walk.c - the step shared by verbs that change the flags of a range, area by area. */
#include "mm/plan.h"

enum vmki_step vmki_plan_modify(struct vmki_plan *plan, struct vmk_vma *vma, vmk_vm_flags flags, struct vmki_ext *ext,
                                vmk_addr part_end)
{
    vmk_addr start = vmki_max(plan->cursor, vma->start);
    vmk_addr end = vmki_min(part_end, vma->end);
    bool partial;
    int error = vmki_edit_reserve(plan->mm, 2, vma->file != NULL);

    if (error != 0) {
        vmki_ext_put(plan->mm, ext);
        return vmki_plan_end(plan, error, 0);
    }
    error = vmki_edit_modify(plan->mm, vma, start, end, flags, ext, &plan->area, &partial);
    if (error != 0 && !partial)
        return vmki_plan_end(plan, error, 0);
    plan->has_area = true;
    plan->fail_after = error;
    if (error == 0)
        plan->cursor = end;
    return VMKI_STEP_PART;
}
