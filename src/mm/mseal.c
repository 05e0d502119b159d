/* SPDX-License-Identifier: MIT */
/* mseal.c - mseal(2): areas that can no longer be unmapped, moved or protected. */
#include "mm/range.h"

/* A hole anywhere refuses the call before anything is sealed, unlike in mprotect. */
static int mseal_start(struct vmki_plan *plan)
{
    const struct vmk_mseal_request *request = &plan->request.mseal;
    int error;

    if (plan->mm->settings->mseal == 0)
        return -VMK_ENOSYS;
    if (request->flags != 0)
        return -VMK_EINVAL;
    error = vmki_plan_range(plan, request->address, request->len);
    if (error == 0 && !VMKI_BROKEN(seal_hole) && !vmki_range_is_covered(plan->mm, plan->start, plan->end))
        error = -VMK_ENOMEM;
    return error;
}

static enum vmki_step mseal_step(struct vmki_plan *plan)
{
    while (plan->cursor < plan->end) {
        struct vmk_vma *vma = vmki_find(plan->mm, plan->cursor);

        if (VMKI_BROKEN(seal_hole) && vma == NULL)
            return vmki_plan_end(plan, -VMK_ENOMEM, 0);
        VMKI_CHECK(vma != NULL); /* no hole, and mm.lock is held throughout */
        if ((vma->flags & VMK_VM_SEALED) == 0)
            return vmki_plan_modify(plan, vma, vma->flags | VMK_VM_SEALED, vmki_ext_get(vma->ext), plan->end);
        plan->cursor = vmki_min(vma->end, plan->end);
    }
    return vmki_plan_end(plan, 0, 0);
}

static const struct vmki_verb mseal_verb = {
    .start = mseal_start,
    .step = mseal_step,
    .request_size = sizeof(struct vmk_mseal_request),
};

VMKI_DEFINE_VERB(mseal, mseal_verb)
