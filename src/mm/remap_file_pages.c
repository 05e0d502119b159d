/* SPDX-License-Identifier: MIT */
/*
 * remap_file_pages.c - remap_file_pages(2): since nonlinear areas are gone it maps another part of the file over the
 * range, as mmap would: flags that mmap does not give (NORESERVE, madvise's) are lost.
 */
#include "mm/plan.h"

/* Does the shared file mapping at `first` go on, the same in file and flags, up to `end`? */
static bool range_is_uniform(struct vmk_mm *mm, const struct vmk_vma *first, vmk_addr end)
{
    const struct vmk_vma *vma = first;

    while (vma->end < end) {
        const struct vmk_vma *next = vmki_find_next(mm, vma->end);

        if (next == NULL || next->start != vma->end || next->file != first->file ||
            (next->flags & VMKI_VM_PUBLIC) != (first->flags & VMKI_VM_PUBLIC))
            return false;
        vma = next;
    }
    return true;
}

static int remap_pages_start(struct vmki_plan *plan)
{
    const struct vmk_remap_file_pages_request request = plan->request.remap_file_pages;
    struct vmk_mm *mm = plan->mm;
    vmk_addr start = vmki_align_down(request.address, mm->page_size);
    uint64_t len = vmki_align_down(request.size, mm->page_size);
    const struct vmk_vm_ops *ops;
    struct vmk_vma *vma;
    int error;

    if (request.prot != 0 || start + len <= start || request.pgoff + vmki_pages(mm, len) < request.pgoff)
        return -VMK_EINVAL;
    vma = vmki_find(mm, start);
    if (vma == NULL || (vma->flags & VMK_VM_SHARED) == 0 || vma->file == NULL ||
        !range_is_uniform(mm, vma, start + len))
        return -VMK_EINVAL;
    ops = vmki_vma_ops(vma);
    error = ops != NULL && ops->remap_pages != NULL ? ops->remap_pages(vma, start, len, request.pgoff) : 0;
    if (error != 0)
        return error;
    plan->request.mmap = (struct vmk_mmap_request){
        .address = start,
        .len = len,
        .prot = vmki_flags_to_prot(vma->flags) & (VMK_PROT_READ | VMK_PROT_WRITE | VMK_PROT_EXEC),
        .flags = VMK_MAP_SHARED | VMK_MAP_FIXED | VMK_MAP_POPULATE | (request.flags & VMK_MAP_NONBLOCK),
        .file = vma->file,
        .offset = vmki_min(request.pgoff, UINT64_MAX >> mm->page_shift) << mm->page_shift, /* no file is larger */
    };
    if ((vma->flags & VMK_VM_LOCKED) != 0)
        plan->request.mmap.flags |= VMK_MAP_LOCKED;
    return vmki_mmap_verb.start(plan);
}

/* Success is 0 rather than mmap's address. */
static enum vmki_step remap_pages_step(struct vmki_plan *plan)
{
    enum vmki_step step = vmki_mmap_verb.step(plan);

    if (step == VMKI_STEP_DONE)
        plan->result.value = 0;
    return step;
}

static void remap_pages_finish(struct vmki_plan *plan)
{
    vmki_mmap_verb.finish(plan);
}

static const struct vmki_verb remap_pages_verb = {
    .start = remap_pages_start,
    .step = remap_pages_step,
    .finish = remap_pages_finish,
    .request_size = sizeof(struct vmk_remap_file_pages_request),
};

VMKI_DEFINE_VERB(remap_file_pages, remap_pages_verb)
