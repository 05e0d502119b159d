/* SPDX-License-Identifier: MIT */
/* set_mm.c - prctl(PR_SET_MM): the marks of an address space, one at a time, checked together. */
#include "mm/range.h"

static vmk_addr *set_mm_mark(struct vmk_mm_layout *layout, int field)
{
    switch (field) {
    case VMK_MM_START_CODE:
        return &layout->start_code;
    case VMK_MM_END_CODE:
        return &layout->end_code;
    case VMK_MM_START_DATA:
        return &layout->start_data;
    case VMK_MM_END_DATA:
        return &layout->end_data;
    case VMK_MM_START_STACK:
        return &layout->start_stack;
    case VMK_MM_START_BRK:
        return &layout->start_brk;
    case VMK_MM_BRK:
        return &layout->brk;
    case VMK_MM_ARG_START:
        return &layout->arg_start;
    case VMK_MM_ARG_END:
        return &layout->arg_end;
    case VMK_MM_ENV_START:
        return &layout->env_start;
    case VMK_MM_ENV_END:
        return &layout->env_end;
    default:
        return NULL;
    }
}

/* Every mark must be an address that could be mapped, not only the one that changes. */
static bool set_mm_marks_in_range(const struct vmk_mm *mm, const struct vmk_mm_layout *layout)
{
    struct vmk_mm_layout copy = *layout;

    for (int field = VMK_MM_START_CODE; field <= VMK_MM_ENV_END; field++) {
        vmk_addr mark = *set_mm_mark(&copy, field);

        if (mark < mm->min_addr || mark >= mm->task_size_max)
            return false;
    }
    return true;
}

static bool set_mm_is_consistent(const struct vmk_mm *mm, const struct vmk_mm_layout *layout)
{
    uint64_t limit = mm->rlimits.data.soft;

    if (layout->start_code >= layout->end_code || layout->start_data > layout->end_data ||
        layout->start_brk > layout->brk || layout->arg_start > layout->arg_end || layout->env_start > layout->env_end)
        return false;
    return limit == VMK_RLIM_INFINITY || mm->settings->enforce_limits == 0 ||
           layout->brk - layout->start_brk + (layout->end_data - layout->start_data) <= limit;
}

/* Stack, arguments and environment must lie below the end of some area. */
static bool set_mm_needs_area(int field)
{
    return field == VMK_MM_START_STACK || (field >= VMK_MM_ARG_START && field <= VMK_MM_ENV_END);
}

static void set_mm_commit(struct vmki_plan *plan)
{
    *set_mm_mark(&plan->mm->layout, plan->request.set_mm.field) = plan->request.set_mm.value;
}

static int set_mm_start(struct vmki_plan *plan)
{
    const struct vmk_set_mm_request *request = &plan->request.set_mm;
    struct vmk_mm *mm = plan->mm;
    struct vmk_mm_layout layout = mm->layout;
    vmk_addr *mark;

    if (!vmki_capable(mm, VMK_CAP_SYS_RESOURCE))
        return -VMK_EPERM;
    if (request->value >= mm->task_size_max || request->value < mm->min_addr)
        return -VMK_EINVAL;
    mark = set_mm_mark(&layout, request->field);
    if (mark == NULL)
        return -VMK_EINVAL;
    *mark = request->value;
    if (!set_mm_marks_in_range(mm, &layout) || !set_mm_is_consistent(mm, &layout))
        return -VMK_EINVAL;
    if (set_mm_needs_area(request->field) && vmki_find_next(mm, request->value) == NULL)
        return -VMK_EFAULT;
    return 0;
}

/* One part without areas, so that the two-phase form can still be given up. */
static enum vmki_step set_mm_step(struct vmki_plan *plan)
{
    if (plan->phase++ != 0)
        return vmki_plan_end(plan, 0, 0);
    plan->commit = set_mm_commit;
    return VMKI_STEP_PART;
}

static const struct vmki_verb set_mm_verb = {
    .start = set_mm_start,
    .step = set_mm_step,
    .request_size = sizeof(struct vmk_set_mm_request),
};

VMKI_DEFINE_VERB(set_mm, set_mm_verb)
