/* SPDX-License-Identifier: MIT */
/*
 * mlock.c - mlock, mlock2, munlock, mlockall and munlockall.
 *
 * First the flags, area by area; a hole ends that with ENOMEM, and then nothing is populated. Then the pages.
 */
#include "base/breaks.h"
#include "mm/range.h"

enum { MLOCK_PHASE_FLAGS, MLOCK_PHASE_POPULATE };
enum { MLOCKALL_PHASE_FUTURE, MLOCKALL_PHASE_FLAGS, MLOCKALL_PHASE_POPULATE };

/* Areas whose LOCKED bit no call changes: silently left alone. */
static bool mlock_skips(const struct vmk_vma *vma)
{
    if (VMKI_BROKEN(lock_skips))
        return false;
    return (vma->flags & (VMK_VM_SPECIAL | VMK_VM_HUGETLB | VMK_VM_DROPPABLE)) != 0 ||
           vmki_vma_is_kind(vma, VMK_OBJECT_SECRET);
}

static uint64_t count_locked(struct vmk_mm *mm, vmk_addr start, uint64_t len)
{
    vmk_addr end = len > UINT64_MAX - start ? UINT64_MAX : start + len;
    uint64_t pages = 0;

    for (const struct vmk_vma *vma = vmki_find_next(mm, start); vma != NULL && vma->start < end;
         vma = vmki_find_next(mm, vma->end))
        if ((vma->flags & VMK_VM_LOCKED) != 0)
            pages += vmki_pages(mm, vmki_min(vma->end, end) - vmki_max(vma->start, start));
    return pages;
}

/* RLIMIT_MEMLOCK; pages of the range that are locked already do not count again. */
static bool mlock_is_within_limit(struct vmk_mm *mm, vmk_addr start, uint64_t len)
{
    uint64_t locked;

    if (vmki_lock_allowed(mm, VMK_VM_LOCKED, len))
        return true;
    locked = VMKI_BROKEN(lock_twice) ? 0 : count_locked(mm, start, len) << mm->page_shift;
    return vmki_lock_allowed(mm, VMK_VM_LOCKED, len - locked);
}

/* The start is rounded down and the end up; a length that rounds up to 0 is one of 0. */
static uint64_t mlock_range(struct vmki_plan *plan, vmk_addr address, uint64_t len)
{
    address = vmki_untag(plan->mm, address);
    plan->start = vmki_align_down(address, plan->mm->page_size);
    plan->cursor = plan->start;
    len = vmki_page_align(plan->mm, len + (address - plan->start));
    plan->end = plan->start + len;
    return len;
}

static int mlock_start(struct vmki_plan *plan)
{
    const struct vmk_mlock_request *request = &plan->request.mlock;
    uint64_t len;

    if ((request->flags & ~VMK_MLOCK_ONFAULT) != 0)
        return -VMK_EINVAL;
    if (!vmki_can_lock(plan->mm))
        return -VMK_EPERM;
    len = mlock_range(plan, request->address, request->len);
    if (!mlock_is_within_limit(plan->mm, plan->start, len))
        return -VMK_ENOMEM;
    if (plan->end < plan->start)
        return -VMK_EINVAL;
    plan->flags = VMK_VM_LOCKED;
    if ((request->flags & VMK_MLOCK_ONFAULT) != 0)
        plan->flags |= VMK_VM_LOCKONFAULT;
    return 0;
}

static int munlock_start(struct vmki_plan *plan)
{
    const struct vmk_munlock_request *request = &plan->request.munlock;

    mlock_range(plan, request->address, request->len);
    return plan->end < plan->start ? -VMK_EINVAL : 0;
}

/* Prepares the flags of the area under the cursor, up to `end`; false when they are right already. */
static bool mlock_area(struct vmki_plan *plan, struct vmk_vma *vma, vmk_addr end, enum vmki_step *step)
{
    vmk_vm_flags flags = (vma->flags & ~VMK_VM_LOCKED_MASK) | plan->flags;
    vmk_addr start = plan->cursor;
    struct vmk_edit *edit;

    if (flags == vma->flags || mlock_skips(vma)) {
        plan->cursor = end;
        return false;
    }
    *step = vmki_plan_modify(plan, vma, flags, vmki_ext_get(vma->ext), end);
    if (*step == VMKI_STEP_PART && plan->fail_after == 0) {
        edit = vmki_plan_add_edit(plan, VMK_EDIT_ADVISE, start, end);
        edit->flags = flags & VMKI_VM_PUBLIC;
        edit->prot = vmki_flags_to_prot(flags);
        edit->advice = (flags & VMK_VM_LOCKED) != 0 ? VMK_ADVICE_LOCK : VMK_ADVICE_UNLOCK;
    }
    return true;
}

/* Returns the error that ends the walk, 0 at its end, or 1 when *step is to be returned. */
static int mlock_walk(struct vmki_plan *plan, enum vmki_step *step)
{
    while (plan->cursor < plan->end) {
        struct vmk_vma *vma = vmki_find(plan->mm, plan->cursor);

        if (VMKI_BROKEN(lock_hole) && vma == NULL) {
            vma = vmki_find_next(plan->mm, plan->cursor);
            plan->cursor = vma != NULL ? vmki_min(vma->start, plan->end) : plan->end;
            continue;
        }
        if (vma == NULL)
            return -VMK_ENOMEM;
        if (mlock_area(plan, vma, vmki_min(vma->end, plan->end), step))
            return 1;
    }
    return 0;
}

/* ---- Populating ---- */

static void mlock_populate_part(struct vmki_plan *plan)
{
    plan->pending_error = vmki_populate(plan->mm, plan->number[0], plan->cursor);
}

/* Prepares populating the next area that wants it; false at the end of the range. */
static bool mlock_populate_next(struct vmki_plan *plan)
{
    while (plan->cursor < plan->end) {
        struct vmk_vma *vma = vmki_find_next(plan->mm, plan->cursor);
        struct vmk_edit *edit;

        if (vma == NULL || vma->start >= plan->end)
            return false;
        plan->number[0] = vmki_max(plan->cursor, vma->start);
        plan->cursor = vmki_min(vma->end, plan->end);
        if ((vma->flags & (VMK_VM_IO | VMK_VM_PFNMAP | VMK_VM_LOCKONFAULT)) != 0)
            continue;
        edit = vmki_plan_add_edit(plan, VMK_EDIT_ADVISE, plan->number[0], plan->cursor);
        edit->flags = vma->flags & VMKI_VM_PUBLIC;
        edit->prot = vmki_flags_to_prot(vma->flags);
        edit->advice = VMK_ADVICE_POPULATE;
        plan->commit = mlock_populate_part;
        return true;
    }
    return false;
}

/* What POSIX wants mlock to say of memory that cannot be populated. */
static int mlock_error(int error)
{
    return error == -VMK_EFAULT ? -VMK_ENOMEM : error;
}

static enum vmki_step mlock_step(struct vmki_plan *plan)
{
    enum vmki_step step;

    if (plan->phase == MLOCK_PHASE_FLAGS) {
        int error = mlock_walk(plan, &step);

        if (error > 0)
            return step;
        if (error < 0)
            return vmki_plan_end(plan, error, 0);
        plan->phase = MLOCK_PHASE_POPULATE;
        plan->cursor = plan->start;
    }
    if (plan->pending_error == 0 && mlock_populate_next(plan))
        return VMKI_STEP_PART;
    return vmki_plan_end(plan, mlock_error(plan->pending_error), 0);
}

static enum vmki_step munlock_step(struct vmki_plan *plan)
{
    enum vmki_step step;
    int error = mlock_walk(plan, &step);

    return error > 0 ? step : vmki_plan_end(plan, error, 0);
}

/* ---- The whole address space ---- */

static void mlockall_set_future(struct vmki_plan *plan)
{
    plan->mm->def_flags = (plan->mm->def_flags & ~VMK_VM_LOCKED_MASK) | plan->number[1];
}

static void mlockall_range(struct vmki_plan *plan)
{
    plan->start = 0;
    plan->cursor = 0;
    plan->end = plan->mm->task_size_max;
}

static int mlockall_start(struct vmki_plan *plan)
{
    uint32_t flags = plan->request.mlockall.flags;
    struct vmk_mm *mm = plan->mm;

    if ((flags & ~(VMK_MCL_CURRENT | VMK_MCL_FUTURE | VMK_MCL_ONFAULT)) != 0 ||
        (flags & (VMK_MCL_CURRENT | VMK_MCL_FUTURE)) == 0)
        return -VMK_EINVAL;
    if (!vmki_can_lock(mm))
        return -VMK_EPERM;
    /* All that is mapped counts, whether it can be locked or not, and nothing else. */
    if ((flags & VMK_MCL_CURRENT) != 0 && !vmki_may_lock_in_all(mm, mm->total_vm))
        return -VMK_ENOMEM;
    mlockall_range(plan);
    plan->flags = VMK_VM_LOCKED;
    if ((flags & VMK_MCL_ONFAULT) != 0)
        plan->flags |= VMK_VM_LOCKONFAULT;
    plan->number[1] = (flags & VMK_MCL_FUTURE) != 0 ? plan->flags : 0;
    if ((flags & VMK_MCL_CURRENT) == 0)
        plan->end = 0;
    return 0;
}

static int munlockall_start(struct vmki_plan *plan)
{
    mlockall_range(plan);
    return 0;
}

/* The walk of a whole address space: holes do not matter. */
static bool mlockall_next(struct vmki_plan *plan, enum vmki_step *step)
{
    while (plan->cursor < plan->end) {
        struct vmk_vma *vma = vmki_find_next(plan->mm, plan->cursor);

        if (vma == NULL)
            break;
        plan->cursor = vmki_max(plan->cursor, vma->start);
        if (mlock_area(plan, vma, vma->end, step))
            return true;
    }
    return false;
}

/* mlockall ignores what cannot be populated; our own want of memory is told. */
static enum vmki_step mlockall_step(struct vmki_plan *plan)
{
    enum vmki_step step;

    if (plan->phase == MLOCKALL_PHASE_FUTURE) {
        plan->phase = MLOCKALL_PHASE_FLAGS;
        plan->commit = mlockall_set_future;
        return VMKI_STEP_PART;
    }
    if (plan->phase == MLOCKALL_PHASE_FLAGS) {
        if (mlockall_next(plan, &step))
            return step;
        plan->phase = MLOCKALL_PHASE_POPULATE;
        plan->cursor = plan->start;
    }
    if (plan->flags != 0 && plan->pending_error != -VMK_ERR_HOST_NOMEM && mlock_populate_next(plan))
        return VMKI_STEP_PART;
    return vmki_plan_end(plan, plan->pending_error == -VMK_ERR_HOST_NOMEM ? plan->pending_error : 0, 0);
}

static const struct vmki_verb mlock_verb = {
    .start = mlock_start,
    .step = mlock_step,
    .request_size = sizeof(struct vmk_mlock_request),
    .counter = VMK_EVENT_mlock,
    .has_counter = true,
};
static const struct vmki_verb munlock_verb = {
    .start = munlock_start,
    .step = munlock_step,
    .request_size = sizeof(struct vmk_munlock_request),
    .counter = VMK_EVENT_mlock,
    .has_counter = true,
};
static const struct vmki_verb mlockall_verb = {
    .start = mlockall_start,
    .step = mlockall_step,
    .request_size = sizeof(struct vmk_mlockall_request),
    .counter = VMK_EVENT_mlock,
    .has_counter = true,
};
static const struct vmki_verb munlockall_verb = {
    .start = munlockall_start,
    .step = mlockall_step,
    .request_size = sizeof(struct vmk_munlockall_request),
    .counter = VMK_EVENT_mlock,
    .has_counter = true,
};

VMKI_DEFINE_VERB(mlock, mlock_verb)
VMKI_DEFINE_VERB(munlock, munlock_verb)
VMKI_DEFINE_VERB(mlockall, mlockall_verb)
VMKI_DEFINE_VERB(munlockall, munlockall_verb)
