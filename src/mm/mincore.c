/* SPDX-License-Identifier: MIT */
/* mincore.c - mincore(2): its checks, and how many pages from the start are mapped. */
#include "mm/range.h"

static int mincore_start(struct vmki_plan *plan)
{
    const struct vmk_mincore_request *request = &plan->request.mincore;
    struct vmk_mm *mm = plan->mm;
    vmk_addr start = vmki_untag(mm, request->address);
    vmk_addr end, mapped = start;

    if (!vmki_page_aligned(mm, start))
        return -VMK_EINVAL;
    if (!vmki_range_fits(mm, start, request->len))
        return -VMK_ENOMEM;
    end = start + vmki_page_align(mm, request->len);
    while (mapped < end) {
        const struct vmk_vma *vma = vmki_find(mm, mapped);

        if (vma == NULL)
            break;
        mapped = vmki_min(vma->end, end);
    }
    plan->result.value = vmki_pages(mm, mapped - start);
    plan->result.done = mapped - start;
    plan->result.error = mapped < end ? -VMK_ENOMEM : 0;
    return 0;
}

static const struct vmki_verb mincore_verb = {
    .start = mincore_start,
    .request_size = sizeof(struct vmk_mincore_request),
    .shared_lock = true,
};

VMKI_DEFINE_VERB(mincore, mincore_verb)
