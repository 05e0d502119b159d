/* SPDX-License-Identifier: MIT */
/* munmap.c - munmap(2). */
#include "mm/lane.h"
#include "mm/plan.h"
#include "mm/quick.h"

static int munmap_start(struct vmki_plan *plan)
{
    const struct vmk_munmap_request *request = &plan->request.munmap;
    struct vmk_mm *mm = plan->mm;
    uint64_t len = vmki_page_align(mm, request->len);

    if (!vmki_page_aligned(mm, request->address) || !vmki_range_fits(mm, request->address, request->len) || len == 0)
        return -VMK_EINVAL;
    plan->start = request->address;
    plan->cursor = plan->start;
    plan->end = request->address + len;
    return 0;
}

static enum vmki_step munmap_step(struct vmki_plan *plan)
{
    int prepared = 0;

    if (plan->phase++ == 0)
        prepared = vmki_plan_unmap(plan, plan->start, plan->end);
    if (prepared < 0)
        return vmki_plan_end(plan, prepared, 0);
    if (plan->fail_after == 0)
        plan->cursor = plan->end;
    return prepared > 0 ? VMKI_STEP_PART : vmki_plan_end(plan, 0, 0);
}

const struct vmki_verb vmki_munmap_verb = {
    .start = munmap_start,
    .step = munmap_step,
    .request_size = sizeof(struct vmk_munmap_request),
    .counter = VMK_EVENT_munmap,
    .has_counter = true,
};

VMKI_DEFINE_QUICK_VERB(munmap, vmki_munmap_verb)
