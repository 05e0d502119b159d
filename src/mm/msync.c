/* SPDX-License-Identifier: MIT */
/* msync.c - msync(2): its checks, and an edit for each part of a shared file that is to be written back. */
#include "base/breaks.h"
#include "mm/range.h"

static int msync_start(struct vmki_plan *plan)
{
    const struct vmk_msync_request *request = &plan->request.msync;
    struct vmk_mm *mm = plan->mm;
    vmk_addr start = vmki_untag(mm, request->address);

    if ((request->flags & ~(VMK_MS_ASYNC | VMK_MS_INVALIDATE | VMK_MS_SYNC)) != 0 || !vmki_page_aligned(mm, start) ||
        (request->flags & (VMK_MS_ASYNC | VMK_MS_SYNC)) == (VMK_MS_ASYNC | VMK_MS_SYNC))
        return -VMK_EINVAL;
    /* A length that rounds up to 0 is one of 0. */
    plan->start = start;
    plan->cursor = start;
    plan->end = start + vmki_page_align(mm, request->len);
    return plan->end < start ? -VMK_ENOMEM : 0;
}

/* Holes are remembered and passed over; an area that is locked ends an invalidation at once. */
static enum vmki_step msync_step(struct vmki_plan *plan)
{
    uint32_t flags = plan->request.msync.flags;

    while (plan->cursor < plan->end) {
        struct vmk_vma *vma = vmki_find_next(plan->mm, plan->cursor);
        vmk_addr start, end;

        if (vma == NULL || vma->start >= plan->end)
            return vmki_plan_end(plan, -VMK_ENOMEM, 0);
        start = vmki_max(plan->cursor, vma->start);
        end = vmki_min(vma->end, plan->end);
        if (VMKI_BROKEN(sync_hole) && start > plan->cursor)
            return vmki_plan_end(plan, -VMK_ENOMEM, 0);
        if (start > plan->cursor)
            plan->pending_error = -VMK_ENOMEM;
        plan->cursor = start;
        if ((flags & VMK_MS_INVALIDATE) != 0 && (vma->flags & VMK_VM_LOCKED) != 0)
            return vmki_plan_end(plan, -VMK_EBUSY, 0);
        if ((flags & VMK_MS_SYNC) != 0 && (vma->flags & VMK_VM_SHARED) != 0 &&
            (vmki_vma_is_kind(vma, VMK_OBJECT_SECRET) || vmki_vma_is_kind(vma, VMK_OBJECT_DEVICE)))
            return vmki_plan_end(plan, -VMK_EINVAL, 0); /* a file that knows no fsync */
        plan->cursor = end;
        if ((flags & VMK_MS_SYNC) != 0 && vma->file != NULL && (vma->flags & VMK_VM_SHARED) != 0) {
            struct vmk_edit *edit = vmki_plan_add_edit(plan, VMK_EDIT_SYNC, start, end);

            edit->flags = vma->flags & VMKI_VM_PUBLIC;
            edit->prot = vmki_flags_to_prot(vma->flags);
            edit->file = vma->file;
            edit->offset = vmki_vma_pgoff_at(plan->mm, vma, start) << plan->mm->page_shift;
            return VMKI_STEP_PART;
        }
    }
    return vmki_plan_end(plan, plan->pending_error, 0);
}

static const struct vmki_verb msync_verb = {
    .start = msync_start,
    .step = msync_step,
    .request_size = sizeof(struct vmk_msync_request),
};

VMKI_DEFINE_VERB(msync, msync_verb)
