/* SPDX-License-Identifier: MIT */
/* brk.c - brk(2): the heap's end. Never an error for the caller: the value is the break afterwards. */
#include "base/breaks.h"
#include "mm/plan.h"

/* RLIMIT_DATA counts the heap together with the program's own data here. */
static bool within_data_limit(const struct vmk_mm *mm, vmk_addr address)
{
    const struct vmk_mm_layout *layout = &mm->layout;
    uint64_t limit = mm->rlimits.data.soft;

    return limit == VMK_RLIM_INFINITY || mm->settings->enforce_limits == 0 ||
           address - layout->start_brk + (layout->end_data - layout->start_data) <= limit;
}

/*
 * One page must stay free above the new break, and the guard gap below a stack; whatever lies in the way of the heap
 * fails the same test.
 */
static bool has_room(struct vmk_mm *mm, vmk_addr old_end, vmk_addr new_end)
{
    uint64_t guard = mm->settings->stack_guard_gap << mm->page_shift;
    const struct vmk_vma *next = vmki_find_next(mm, old_end);

    if (next == NULL || next->start >= new_end + mm->page_size + guard)
        return true;
    if (VMKI_BROKEN(brk_gap))
        return new_end <= next->start;
    return new_end + mm->page_size <= vmki_vma_start_gap(mm, next->start, next->flags);
}

static enum vmki_step brk_end(struct vmki_plan *plan, int error)
{
    return vmki_plan_end(plan, error, plan->mm->layout.brk);
}

static void brk_commit(struct vmki_plan *plan)
{
    plan->mm->layout.brk = plan->request.brk.address;
}

/* A refused shrink may leave a cut behind: then the break stays. */
static void brk_commit_shrunk(struct vmki_plan *plan)
{
    if (plan->fail_after == 0)
        brk_commit(plan);
}

static enum vmki_step brk_shrink(struct vmki_plan *plan)
{
    int prepared = vmki_plan_unmap(plan, plan->start, plan->end);

    if (prepared <= 0)
        return brk_end(plan, prepared < 0 ? prepared : -VMK_EINVAL);
    plan->commit = brk_commit_shrunk;
    return VMKI_STEP_PART;
}

static void brk_commit_grown(struct vmki_plan *plan)
{
    brk_commit(plan);
    if ((plan->mm->def_flags & VMK_VM_LOCKED) != 0)
        vmki_populate(plan->mm, plan->start, plan->end);
}

/* 0, or why the heap may not grow to plan->end. */
static int brk_check_growth(struct vmk_mm *mm, vmk_addr start, vmk_addr end, vmk_vm_flags flags)
{
    uint64_t len = end - start;

    if (!vmki_range_fits(mm, start, len))
        return -VMK_ENOMEM;
    if (!vmki_lock_allowed(mm, mm->def_flags, len))
        return -VMK_EAGAIN;
    if (!has_room(mm, start, end))
        return -VMK_ENOMEM;
    if (!vmki_may_expand(mm, flags, vmki_pages(mm, len), 0) || mm->tree.nr_entries > vmki_max_map_count(mm))
        return -VMK_ENOMEM;
    return vmki_charge(mm, vmki_pages(mm, len));
}

static enum vmki_step brk_grow(struct vmki_plan *plan)
{
    struct vmk_mm *mm = plan->mm;
    /* A heap that begins never joins the area below it (bss); only a heap that is there grows. */
    struct vmki_new_area area = {.start = plan->start,
                                 .end = plan->end,
                                 .may_merge = plan->start > mm->layout.start_brk || VMKI_BROKEN(brk_alone)};
    struct vmk_vma *vma;
    int error = vmki_edit_reserve(mm, 1, false);

    area.identity.flags = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS | VMK_VM_ACCOUNT;
    if ((mm->personality & VMK_READ_IMPLIES_EXEC) != 0)
        area.identity.flags |= VMK_VM_EXEC;
    area.identity.flags |= vmki_default_flags(mm, NULL, area.identity.flags);
    if (error == 0)
        error = brk_check_growth(mm, plan->start, plan->end, area.identity.flags);
    if (error != 0)
        return brk_end(plan, error);
    error = vmki_edit_map(mm, &area, &plan->area, &vma);
    if (error != 0) {
        vmki_uncharge(mm, vmki_pages(mm, plan->end - plan->start));
        return brk_end(plan, error);
    }
    plan->area.charged = vmki_pages(mm, plan->end - plan->start);
    plan->has_area = true;
    plan->commit = brk_commit_grown;
    *vmki_plan_add_edit(plan, VMK_EDIT_MAP, plan->start, plan->end) =
        (struct vmk_edit){.kind = VMK_EDIT_MAP,
                          .start = plan->start,
                          .end = plan->end,
                          .flags = area.identity.flags & VMKI_VM_PUBLIC,
                          .prot = vmki_flags_to_prot(area.identity.flags)};
    return VMKI_STEP_PART;
}

static int brk_start(struct vmki_plan *plan)
{
    struct vmk_mm *mm = plan->mm;

    plan->result.value = mm->layout.brk;
    if (plan->request.brk.address < mm->layout.start_brk)
        return -VMK_EINVAL;
    return within_data_limit(mm, plan->request.brk.address) ? 0 : -VMK_ENOMEM;
}

static enum vmki_step brk_step(struct vmki_plan *plan)
{
    struct vmk_mm *mm = plan->mm;
    vmk_addr new_end = vmki_page_align(mm, plan->request.brk.address);
    vmk_addr old_end = vmki_page_align(mm, mm->layout.brk);

    if (plan->phase++ != 0)
        return brk_end(plan, 0);
    if (new_end == old_end) {
        brk_commit(plan);
        return brk_end(plan, 0);
    }
    plan->start = vmki_min(new_end, old_end);
    plan->cursor = plan->start;
    plan->end = vmki_max(new_end, old_end);
    return plan->request.brk.address <= mm->layout.brk ? brk_shrink(plan) : brk_grow(plan);
}

/* Whatever went wrong, the value is the break. */
static void brk_finish(struct vmki_plan *plan)
{
    plan->result.value = plan->mm->layout.brk;
}

static const struct vmki_verb brk_verb = {
    .start = brk_start,
    .step = brk_step,
    .finish = brk_finish,
    .request_size = sizeof(struct vmk_brk_request),
    .counter = VMK_EVENT_brk,
    .has_counter = true,
};

VMKI_DEFINE_VERB(brk, brk_verb)
