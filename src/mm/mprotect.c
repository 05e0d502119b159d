/* SPDX-License-Identifier: MIT */
/*
 * mprotect.c - mprotect(2) and pkey_mprotect(2): area by area, up to the first that refuses.
 */
#include "base/breaks.h"
#include "mm/lane.h"
#include "mm/plan.h"
#include "mm/quick.h"

/* The bits that the architecture knows. */
static bool prot_is_valid(const struct vmk_mm *mm, uint64_t prot)
{
    uint64_t valid = VMK_PROT_READ | VMK_PROT_WRITE | VMK_PROT_EXEC | VMK_PROT_SEM;

    if (mm->settings->bti != 0)
        valid |= VMK_PROT_BTI;
    if (mm->settings->mte != 0)
        valid |= VMK_PROT_MTE;
    return (prot & ~valid) == 0;
}

/* Where the change begins and ends: a GROWSDOWN or GROWSUP request extends it to the whole stack. */
static int find_range(struct vmki_plan *plan, uint64_t grows)
{
    const struct vmki_tree_entry *vma = &vmki_seek(plan->mm, plan->start)->entry;

    if (vma->item == NULL)
        return -VMK_ENOMEM;
    if (grows == VMK_PROT_GROWSDOWN) {
        if (vma->start >= plan->end)
            return -VMK_ENOMEM;
        plan->start = vma->start;
        return (vma->flags & VMK_VM_GROWSDOWN) != 0 ? 0 : -VMK_EINVAL;
    }
    if (vma->start > plan->start)
        return -VMK_ENOMEM;
    if (grows == VMK_PROT_GROWSUP) {
        plan->end = vma->end;
        return (vma->flags & VMK_VM_GROWSUP) != 0 ? 0 : -VMK_EINVAL;
    }
    return 0;
}

static int mprotect_start(struct vmki_plan *plan)
{
    struct vmk_mprotect_request *request = &plan->request.mprotect;
    struct vmk_mm *mm = plan->mm;
    uint64_t grows = request->prot & (VMK_PROT_GROWSDOWN | VMK_PROT_GROWSUP);
    uint64_t len = vmki_page_align(mm, request->len);
    int error;

    request->prot &= ~grows;
    if (grows == (VMK_PROT_GROWSDOWN | VMK_PROT_GROWSUP) || !vmki_page_aligned(mm, request->address))
        return -VMK_EINVAL;
    if (request->len == 0)
        return 0;
    plan->start = request->address;
    plan->cursor = request->address;
    plan->end = request->address + len;
    if (plan->end <= plan->start)
        return -VMK_ENOMEM;
    if (!prot_is_valid(mm, request->prot))
        return -VMK_EINVAL;
    if (request->pkey != -1 && (request->pkey < 0 || (uint64_t)request->pkey >= mm->settings->nr_pkeys ||
                                (mm->pkeys_allocated >> request->pkey & 1) == 0))
        return -VMK_EINVAL;
    if (VMKI_BROKEN(protect_partial) && !vmki_range_is_covered(mm, plan->start, plan->end))
        return -VMK_ENOMEM;
    error = find_range(plan, grows);
    plan->cursor = plan->start;
    return error;
}

/* The key of an area: the one asked for, else its own; PROT_EXEC alone gets a key that forbids reading. */
static uint64_t pkey_bits(struct vmk_mm *mm, const struct vmk_vma *vma, const struct vmk_mprotect_request *request)
{
    int exec_only = mm->pkey_exec_only;

    if (mm->settings->nr_pkeys == 0)
        return 0;
    if (request->pkey != -1)
        return (uint64_t)request->pkey << VMK_VM_PKEY_SHIFT;
    if (request->prot == VMK_PROT_EXEC) {
        exec_only = vmki_exec_only_pkey(mm);
        if (exec_only > 0)
            return (uint64_t)exec_only << VMK_VM_PKEY_SHIFT;
    }
    if (exec_only > 0 && (vma->flags & VMK_VM_PKEY_MASK) == (uint64_t)exec_only << VMK_VM_PKEY_SHIFT)
        return 0;
    return vma->flags & VMK_VM_PKEY_MASK;
}

/* 0, or why this area may not have these flags: in the order in which Linux asks. */
static int may_protect(struct vmk_mm *mm, struct vmk_vma *vma, vmk_addr start, vmk_addr end, vmk_vm_flags flags)
{
    const struct vmk_vm_ops *ops = vmki_vma_ops(vma);
    int error = 0;

    if ((flags & ~(flags >> 4) & VMK_VM_ACCESS) != 0)
        return -VMK_EACCES;
    if (vmki_mdwe_denies(mm, vma->flags, flags))
        return -VMK_EACCES;
    if ((flags & VMK_VM_MTE) != 0 && (flags & VMK_VM_MTE_ALLOWED) == 0)
        return -VMK_EINVAL;
    if (ops != NULL && ops->mprotect != NULL)
        error = ops->mprotect(vma, start, end, flags & VMKI_VM_PUBLIC);
    if (error == 0 && (vma->flags & VMK_VM_SEALED) != 0)
        error = -VMK_EPERM;
    return error;
}

/* Locked private memory that becomes writable is populated at once (facts: Merging 2). */
static void mprotect_populate(struct vmki_plan *plan)
{
    vmki_populate(plan->mm, plan->number[0], plan->number[1]);
}

static vmk_vm_flags new_flags_of(struct vmki_plan *plan, const struct vmk_vma *vma)
{
    const struct vmk_mprotect_request *request = &plan->request.mprotect;
    struct vmk_mm *mm = plan->mm;
    uint64_t prot = request->prot;
    vmk_vm_flags mask = VMK_VM_ACCESS | VMK_VM_PKEY_MASK | VMK_VM_BTI | VMK_VM_MTE;

    if ((mm->personality & VMK_READ_IMPLIES_EXEC) != 0 && (prot & VMK_PROT_READ) != 0 &&
        (vma->flags & VMK_VM_MAYEXEC) != 0)
        prot |= VMK_PROT_EXEC;
    return vmki_prot_to_flags(mm, prot, 0) | pkey_bits(mm, vma, request) | (vma->flags & ~mask);
}

/* What becomes read-only keeps its charge unless it is anonymous and was never written (facts: Merging 6). */
static bool keeps_charge(const struct vmk_vma *vma)
{
    return !vmki_vma_is_anonymous(vma) || (vma->anon_vma != NULL && !VMKI_BROKEN(account_kept)) ||
           VMKI_BROKEN(account_dropped);
}

/* Prepares the part of one area whose flags do change. */
static enum vmki_step mprotect_area(struct vmki_plan *plan, struct vmk_vma *vma, vmk_addr end, vmk_vm_flags flags)
{
    struct vmk_mm *mm = plan->mm;
    vmk_addr start = plan->cursor;
    vmk_vm_flags old_flags = vma->flags;
    uint64_t charged;
    enum vmki_step step;
    int error = vmki_protect_account(mm, vma->flags, vmki_pages(mm, end - start), keeps_charge(vma), &flags, &charged);

    if (error != 0)
        return vmki_plan_end(plan, error, 0);
    step = vmki_plan_modify(plan, vma, flags, vmki_ext_get(vma->ext), end);
    if (step == VMKI_STEP_DONE) {
        vmki_uncharge(mm, charged);
        return step;
    }
    plan->area.charged = charged;
    if (plan->fail_after == 0) {
        struct vmk_edit *edit = vmki_plan_add_edit(plan, VMK_EDIT_PROTECT, start, end);

        edit->flags = flags & VMKI_VM_PUBLIC;
        edit->prot = vmki_flags_to_prot(flags);
        if ((old_flags & (VMK_VM_WRITE | VMK_VM_SHARED | VMK_VM_LOCKED)) == VMK_VM_LOCKED &&
            (flags & VMK_VM_WRITE) != 0) {
            plan->number[0] = start;
            plan->number[1] = end;
            plan->commit = mprotect_populate;
        }
    }
    return step;
}

static enum vmki_step mprotect_step(struct vmki_plan *plan)
{
    while (plan->cursor < plan->end) {
        struct vmk_vma *vma = vmki_seek_area(plan->mm, plan->cursor);
        vmk_vm_flags flags;
        vmk_addr end;
        int error;

        if (vma == NULL || vma->start > plan->cursor)
            return vmki_plan_end(plan, -VMK_ENOMEM, 0);
        end = vmki_min(vma->end, plan->end);
        flags = new_flags_of(plan, vma);
        error = may_protect(plan->mm, vma, plan->cursor, end, flags);
        if (error != 0)
            return vmki_plan_end(plan, error, 0);
        if (flags != vma->flags || VMKI_BROKEN(protect_same))
            return mprotect_area(plan, vma, end, flags);
        plan->cursor = end; /* nothing changes, and nothing merges (facts: Merging 9) */
    }
    return vmki_plan_end(plan, 0, 0);
}

const struct vmki_verb vmki_mprotect_verb = {
    .start = mprotect_start,
    .step = mprotect_step,
    .request_size = sizeof(struct vmk_mprotect_request),
    .counter = VMK_EVENT_mprotect,
    .has_counter = true,
};

VMKI_DEFINE_QUICK_VERB(mprotect, vmki_mprotect_verb)

int vmki_mprotect_locked(struct vmk_mm *mm, const struct vmk_mprotect_request *request)
{
    return vmki_call_locked(mm, &vmki_mprotect_verb, request, NULL);
}
