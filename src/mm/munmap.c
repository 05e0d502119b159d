/* SPDX-License-Identifier: MIT */
/* munmap.c - munmap(2). */
#include "mm/plan.h"

static int munmap_start(struct vmki_plan *plan)
{
    const struct vmk_munmap_request *request = &plan->request.munmap;
    struct vmk_mm *mm = plan->mm;
    uint64_t len = vmki_page_align(mm, request->len);

    if (!vmki_page_aligned(mm, request->address) || request->address > mm->task_size_max ||
        request->len > mm->task_size_max - request->address || len == 0)
        return -VMK_EINVAL;
    plan->start = request->address;
    plan->cursor = plan->start;
    plan->end = request->address + len;
    if (vmki_range_is_sealed(mm, plan->start, plan->end))
        return -VMK_EPERM;
    return 0;
}

static enum vmki_step munmap_step(struct vmki_plan *plan)
{
    struct vmk_mm *mm = plan->mm;
    const struct vmk_vma *vma;
    int error;

    if (plan->phase++ != 0)
        return vmki_plan_end(plan, 0, 0);
    vma = vmki_find_next(mm, plan->start);
    if (vma == NULL || vma->start >= plan->end) {
        plan->cursor = plan->end;
        return vmki_plan_end(plan, 0, 0);
    }
    error = vmki_edit_reserve(mm, 1, vma->file != NULL);
    if (error == 0)
        error = vmki_edit_unmap(mm, plan->start, plan->end, &plan->area);
    if (error != 0)
        return vmki_plan_end(plan, error, 0);
    plan->has_area = true;
    plan->cursor = plan->end;
    vmki_plan_add_edit(plan, VMK_EDIT_UNMAP, plan->start, plan->end);
    return VMKI_STEP_PART;
}

static const struct vmki_verb munmap_verb = {
    .start = munmap_start,
    .step = munmap_step,
    .request_size = sizeof(struct vmk_munmap_request),
    .counter = VMK_EVENT_munmap,
    .has_counter = true,
};

VMKI_DEFINE_VERB(munmap, munmap_verb)
