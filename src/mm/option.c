/* SPDX-License-Identifier: MIT */
/*
 * option.c - options of a whole address space: prctl(PR_SET_THP_DISABLE, PR_SET_MDWE, PR_SET_MEMORY_MERGE) and personality(2).
 */
#include "base/atomic.h"
#include "base/breaks.h"
#include "mm/range.h"

static int option_check_mdwe(const struct vmk_mm *mm, uint64_t value)
{
    bool knows_no_inherit = mm->settings->linux_version >= VMK_LINUX_VERSION(6, 6);
    uint64_t known = VMK_MDWE_REFUSE_EXEC_GAIN | (knows_no_inherit ? VMK_MDWE_NO_INHERIT : 0u);

    if (mm->settings->mdwe == 0 || (value & ~known) != 0 || value == VMK_MDWE_NO_INHERIT)
        return -VMK_EINVAL;
    /* Once given, it can neither be taken back nor changed. */
    return mm->mdwe != 0 && mm->mdwe != value && !VMKI_BROKEN(mdwe_fixed) ? -VMK_EPERM : 0;
}

static int option_check_thp(const struct vmk_mm *mm, uint64_t value)
{
    if (value == VMK_THP_DISABLE_EXCEPT_ADVISED)
        return mm->settings->linux_version >= VMK_LINUX_VERSION(6, 18) ? 0 : -VMK_EINVAL;
    return value > 1 ? -VMK_EINVAL : 0;
}

static int option_start(struct vmki_plan *plan)
{
    const struct vmk_set_option_request *request = &plan->request.set_option;

    switch (request->option) {
    case VMK_OPTION_THP_DISABLE:
        return option_check_thp(plan->mm, request->value);
    case VMK_OPTION_MDWE:
        return option_check_mdwe(plan->mm, request->value);
    case VMK_OPTION_MEMORY_MERGE:
        return plan->mm->settings->ksm == 0 || plan->mm->settings->linux_version < VMK_LINUX_VERSION(6, 4) ? -VMK_EINVAL
                                                                                                           : 0;
    case VMK_OPTION_PERSONALITY:
        plan->number[0] = plan->mm->personality;
        return 0;
    default:
        return -VMK_ERR_MISUSE;
    }
}

static void option_commit(struct vmki_plan *plan)
{
    const struct vmk_set_option_request *request = &plan->request.set_option;
    struct vmk_mm *mm = plan->mm;

    switch (request->option) {
    case VMK_OPTION_THP_DISABLE:
        vmki_store_relaxed(&mm->thp_disable, (uint32_t)request->value);
        break;
    case VMK_OPTION_MDWE:
        mm->mdwe = (uint32_t)request->value;
        break;
    case VMK_OPTION_MEMORY_MERGE:
        mm->def_flags = request->value != 0 ? mm->def_flags | VMK_VM_MERGEABLE : mm->def_flags & ~VMK_VM_MERGEABLE;
        break;
    case VMK_OPTION_PERSONALITY:
        mm->personality = (uint32_t)request->value;
        break;
    }
}

/*
 * MEMORY_MERGE visits every area. Areas that now look alike stay apart: the flag is set where each stands. Switching off
 * takes the flag from those too that got it from madvise.
 */
static enum vmki_step option_visit(struct vmki_plan *plan)
{
    bool on = plan->request.set_option.value != 0;

    for (;;) {
        struct vmk_vma *vma = vmki_find_next(plan->mm, plan->cursor);
        vmk_vm_flags flags;

        if (vma == NULL)
            return vmki_plan_end(plan, 0, 0);
        plan->cursor = vma->end;
        flags = vma->flags & ~VMK_VM_MERGEABLE;
        if (on && vmki_flags_mergeable(flags))
            flags |= VMK_VM_MERGEABLE;
        if (flags != vma->flags)
            return vmki_plan_set_flags(plan, vma, flags);
    }
}

static enum vmki_step option_step(struct vmki_plan *plan)
{
    const struct vmk_set_option_request *request = &plan->request.set_option;

    if (plan->phase++ == 0) {
        bool merges = (plan->mm->def_flags & VMK_VM_MERGEABLE) != 0;

        if (request->option == VMK_OPTION_MEMORY_MERGE && merges == (request->value != 0))
            return vmki_plan_end(plan, 0, 0); /* as it is already: no area is visited */
        plan->commit = option_commit;
        return VMKI_STEP_PART;
    }
    if (request->option == VMK_OPTION_MEMORY_MERGE)
        return option_visit(plan);
    return vmki_plan_end(plan, 0, plan->number[0]);
}

static const struct vmki_verb option_verb = {
    .start = option_start,
    .step = option_step,
    .request_size = sizeof(struct vmk_set_option_request),
};

VMKI_DEFINE_VERB(set_option, option_verb)
