/* SPDX-License-Identifier: MIT */
/*
 * uffd.c - registration with a userfaultfd context: UFFDIO_REGISTER, UFFDIO_UNREGISTER and the close of the descriptor.
 *
 * Holes do not matter, but the range must touch an area. Every area is checked before the first changes.
 */
#include "base/breaks.h"
#include "mm/range.h"

static bool uffd_is_shmem(const struct vmk_vma *vma)
{
    /* System V segments and the rings of io_setup have operations of their own, which userfaultfd does not know. */
    return vmki_vma_is_kind(vma, VMK_OBJECT_SHMEM) && vmki_vma_ops(vma) == NULL &&
           (vma->file->mode & VMK_FILE_SHM) == 0;
}

/*
 * May the area be registered for these modes, by its kind? Unregistering asks the same for the modes that it has. With
 * `async` the kernel itself resolves write protection, so that WP alone works on any file.
 */
static bool uffd_supports(const struct vmk_vma *vma, vmk_vm_flags modes, bool async)
{
    if ((vma->flags & VMK_VM_DROPPABLE) != 0)
        return false;
    if (vmki_vma_is_hugetlb(vma) || uffd_is_shmem(vma))
        return true;
    if (async && modes == VMK_VM_UFFD_WP && (vma->flags & VMK_VM_SPECIAL) == 0)
        return true;
    return (modes & VMK_VM_UFFD_MINOR) == 0 && vmki_vma_is_private_memory(vma);
}

static uint64_t uffd_context(const struct vmk_vma *vma)
{
    return vma->ext != NULL ? vma->ext->uffd : 0;
}

static int uffd_modes(const struct vmk_mm *mm, uint64_t mode, vmk_vm_flags *flags)
{
    *flags = 0;
    if (mode == 0 || (mode & ~(uint64_t)(VMK_UFFD_MODE_MISSING | VMK_UFFD_MODE_WP | VMK_UFFD_MODE_MINOR)) != 0)
        return -VMK_EINVAL;
    if ((mode & VMK_UFFD_MODE_MISSING) != 0)
        *flags |= VMK_VM_UFFD_MISSING;
    if ((mode & VMK_UFFD_MODE_WP) != 0) {
        if (mm->settings->uffd_wp == 0)
            return -VMK_EINVAL;
        *flags |= VMK_VM_UFFD_WP;
    }
    if ((mode & VMK_UFFD_MODE_MINOR) != 0) {
        if (mm->settings->uffd_minor == 0)
            return -VMK_EINVAL;
        *flags |= VMK_VM_UFFD_MINOR;
    }
    return 0;
}

/* Unlike other calls these take neither a tagged address nor a length that is to be rounded. */
static int uffd_range(struct vmki_plan *plan, const struct vmk_uffd_request *request)
{
    struct vmk_mm *mm = plan->mm;

    if (!vmki_page_aligned(mm, request->address) || !vmki_page_aligned(mm, request->len) || request->len == 0 ||
        !vmki_range_fits(mm, request->address, request->len))
        return -VMK_EINVAL;
    plan->start = request->address;
    plan->cursor = request->address;
    plan->end = request->address + request->len;
    return 0;
}

/* What one area has against the call. */
static int uffd_check_area(const struct vmki_plan *plan, const struct vmk_vma *vma)
{
    const struct vmk_uffd_request *request = &plan->request.uffd;
    bool registers = request->action == VMK_UFFD_REGISTER;
    uint64_t context = uffd_context(vma);

    if (!uffd_supports(vma, registers ? plan->flags : vma->flags & VMK_VM_UFFD, request->features_wp_async != 0))
        return -VMK_EINVAL;
    if (!registers)
        return context != 0 && context != request->context ? -VMK_EINVAL : 0;
    if ((vma->flags & VMK_VM_MAYWRITE) == 0)
        return -VMK_EPERM; /* filling a page would write the file */
    if (vmki_vma_is_hugetlb(vma) && plan->end < vma->end && !vmki_is_aligned(plan->end, vmki_vma_huge_size(vma)))
        return -VMK_EINVAL;
    return context != 0 && context != request->context ? -VMK_EBUSY : 0;
}

static int uffd_check_areas(struct vmki_plan *plan)
{
    const struct vmk_vma *vma = vmki_find_next(plan->mm, plan->start);
    int error = 0;

    if (vma == NULL || vma->start >= plan->end)
        return -VMK_EINVAL;
    if (vmki_vma_is_hugetlb(vma) && !vmki_is_aligned(plan->start, vmki_vma_huge_size(vma)))
        return -VMK_EINVAL;
    for (; error == 0 && vma != NULL && vma->start < plan->end; vma = vmki_find_next(plan->mm, vma->end)) {
        error = uffd_check_area(plan, vma);
        if (VMKI_BROKEN(uffd_first))
            break;
    }
    return error;
}

static int uffd_start(struct vmki_plan *plan)
{
    const struct vmk_uffd_request *request = &plan->request.uffd;
    int error = 0;

    if (request->context == 0)
        return -VMK_ERR_MISUSE;
    switch (request->action) {
    case VMK_UFFD_CLOSE:
        plan->end = plan->mm->task_size_max;
        return 0;
    case VMK_UFFD_REGISTER:
        error = plan->mm->settings->userfaultfd == 0 ? -VMK_EINVAL : uffd_modes(plan->mm, request->mode, &plan->flags);
        break;
    case VMK_UFFD_UNREGISTER:
        break;
    default:
        return -VMK_ERR_MISUSE;
    }
    if (error == 0)
        error = uffd_range(plan, request);
    return error != 0 ? error : uffd_check_areas(plan);
}

/* Is there nothing to do for the area? A registration for fewer modes than there are changes nothing, either. */
static bool uffd_is_done(const struct vmki_plan *plan, const struct vmk_vma *vma)
{
    uint64_t context = uffd_context(vma);

    if (plan->request.uffd.action == VMK_UFFD_REGISTER)
        return context == plan->request.uffd.context &&
               (vma->flags & (VMKI_BROKEN(uffd_fewer) ? VMK_VM_UFFD : plan->flags)) == plan->flags;
    return context != plan->request.uffd.context;
}

static enum vmki_step uffd_area(struct vmki_plan *plan, struct vmk_vma *vma)
{
    const struct vmk_uffd_request *request = &plan->request.uffd;
    bool registers = request->action == VMK_UFFD_REGISTER;
    vmk_vm_flags flags = VMKI_BROKEN(uffd_replaces) && registers ? vma->flags : vma->flags & ~VMK_VM_UFFD;
    struct vmki_ext *ext = vmki_vma_copy_ext(vma);

    if (ext == NULL)
        return vmki_plan_end(plan, -VMK_ERR_HOST_NOMEM, 0);
    ext->uffd = registers ? request->context : 0;
    ext->uffd_features = 0;
    if (registers) {
        flags |= plan->flags;
        ext->uffd_features = (request->features_fork != 0 ? 1u : 0u) | (request->features_remap != 0 ? 2u : 0u);
    }
    return vmki_plan_modify(plan, vma, flags, vmki_ext_or_null(plan->mm, ext), plan->end);
}

static enum vmki_step uffd_step(struct vmki_plan *plan)
{
    while (plan->cursor < plan->end) {
        struct vmk_vma *vma = vmki_find_next(plan->mm, plan->cursor);

        if (vma == NULL || vma->start >= plan->end)
            break;
        plan->cursor = vmki_max(plan->cursor, vma->start);
        if (!uffd_is_done(plan, vma))
            return uffd_area(plan, vma);
        plan->cursor = vmki_min(vma->end, plan->end);
    }
    return vmki_plan_end(plan, 0, 0);
}

static const struct vmki_verb uffd_verb = {
    .start = uffd_start,
    .step = uffd_step,
    .request_size = sizeof(struct vmk_uffd_request),
};

VMKI_DEFINE_VERB(uffd, uffd_verb)
