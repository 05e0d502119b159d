/* SPDX-License-Identifier: MIT */
/*
 * aio.c - the ring area of io_setup(2) and io_destroy(2).
 *
 * A context is known by the address of its ring, which follows a move of any part of it (mremap); it stays behind in a
 * fork. The ring's file remembers it.
 */
#include "base/atomic.h"
#include "base/breaks.h"
#include "mm/fault.h"
#include "mm/plan.h"

/* A moved ring takes its context along. Only the context's own address space may move it. */
static int aio_mremap(struct vmk_vma *vma)
{
    struct vmk_file *file = vmk_vma_file(vma);

    if (file->aio_mm != vma->mm)
        return -VMK_EINVAL;
    if (!VMKI_BROKEN(ring_moves))
        file->aio_base = vma->start;
    return 0;
}

/* All pages of the ring exist from the start, and go with the context: what is still mapped raises SIGBUS then. */
static int aio_fault(struct vmk_vma *vma, struct vmk_fault *fault)
{
    const struct vmk_file *file = vmk_vma_file(vma);

    return fault->pgoff << vma->mm->page_shift < vmki_load_relaxed(&file->aio_len) ? 0 : -VMK_EFAULT;
}

static const struct vmk_vm_ops aio_vm_ops = {.size = sizeof(aio_vm_ops), .mremap = aio_mremap, .fault = aio_fault};

/* io_setup has one error for whatever keeps the ring from being mapped; ours stay apart. */
static int aio_error(int error)
{
    return error < 0 && error >= -4095 ? -VMK_ENOMEM : error;
}

static int aio_setup_start(struct vmki_plan *plan)
{
    const struct vmk_aio_setup_request request = plan->request.aio_setup;
    int error;

    if (request.file == NULL)
        return -VMK_ERR_MISUSE;
    request.file->vm_ops = &aio_vm_ops;
    plan->request.mmap = (struct vmk_mmap_request){
        .len = request.len, .prot = VMK_PROT_READ | VMK_PROT_WRITE, .flags = VMK_MAP_SHARED, .file = request.file};
    error = vmki_mmap_verb.start(plan);
    plan->mmap.flags |= VMK_VM_DONTEXPAND;
    return aio_error(error);
}

static enum vmki_step aio_setup_step(struct vmki_plan *plan)
{
    enum vmki_step step = vmki_mmap_verb.step(plan);
    struct vmk_file *file = plan->mmap.file;

    if (step == VMKI_STEP_PART)
        return step;
    plan->result.error = aio_error(plan->result.error);
    if (plan->result.error == 0) {
        file->aio_mm = plan->mm;
        file->aio_base = plan->start;
        vmki_store_relaxed(&file->aio_len, plan->mmap.len);
    }
    return step;
}

static void aio_setup_finish(struct vmki_plan *plan)
{
    vmki_mmap_verb.finish(plan);
}

static const struct vmki_verb aio_setup_verb = {
    .start = aio_setup_start,
    .step = aio_setup_step,
    .finish = aio_setup_finish,
    .request_size = sizeof(struct vmk_aio_setup_request),
};

VMKI_DEFINE_VERB(aio_setup, aio_setup_verb)

/* ---- io_destroy ---- */

/* The context whose ring begins at the address, which must be readable; NULL when there is none. */
static struct vmk_file *aio_find(struct vmk_mm *mm, vmk_addr context)
{
    const struct vmk_vma *vma = vmki_find(mm, context);

    if (vma == NULL || vma->file == NULL || vmki_check_access(mm->settings, vma->flags, VMK_ACCESS_READ) != 0)
        return NULL;
    return vma->file->aio_mm == mm && vma->file->aio_base == context ? vma->file : NULL;
}

/* The context is gone even when its ring cannot be unmapped (it is sealed): no error then. */
static enum vmki_step aio_destroy_step(struct vmki_plan *plan)
{
    struct vmk_file *file;
    int prepared;

    if (plan->phase++ != 0)
        return vmki_plan_end(plan, 0, 0);
    plan->start = plan->cursor = plan->request.aio_destroy.context;
    file = aio_find(plan->mm, plan->start);
    if (file == NULL)
        return vmki_plan_end(plan, -VMK_EINVAL, 0);
    plan->end = plan->start + file->aio_len;
    prepared = vmki_plan_unmap(plan, plan->start, plan->end);
    if (prepared == -VMK_ERR_HOST_NOMEM)
        return vmki_plan_end(plan, prepared, 0);
    file->aio_mm = NULL;
    vmki_store_relaxed(&file->aio_len, 0); /* a fork's child sees it too */
    plan->fail_after = 0;
    plan->cursor = plan->end;
    return prepared == 1 ? VMKI_STEP_PART : vmki_plan_end(plan, 0, 0);
}

static int aio_destroy_start(struct vmki_plan *plan)
{
    (void)plan;
    return 0;
}

static const struct vmki_verb aio_destroy_verb = {
    .start = aio_destroy_start,
    .step = aio_destroy_step,
    .request_size = sizeof(struct vmk_aio_destroy_request),
};

VMKI_DEFINE_VERB(aio_destroy, aio_destroy_verb)
