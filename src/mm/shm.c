/* SPDX-License-Identifier: MIT */
/*
 * shm.c - shmat(2) and shmdt(2): System V shared memory, at the level of areas.
 *
 * Each attachment is an open file description of its own, so that two never merge. Its areas have a close hook, which
 * keeps pieces that a split made from joining again; shmdt knows them by VMK_FILE_SHM.
 */
#include "base/breaks.h"
#include "mm/plan.h"

/* In Linux it counts detachments; here its presence is what matters. */
static void shm_close(struct vmk_vma *vma)
{
    (void)vma;
}

static const struct vmk_vm_ops shm_vm_ops = {.size = sizeof(shm_vm_ops), .close = shm_close};

/* Where the segment is to go: rounds request->address. */
static int shmat_address(struct vmk_mm *mm, struct vmk_shmat_request *request)
{
    const struct vmk_vma *next;
    vmk_addr end;

    if (request->address == 0)
        return (request->flags & VMK_SHM_REMAP) != 0 ? -VMK_EINVAL : 0;
    if (!vmki_page_aligned(mm, request->address)) {
        if ((request->flags & VMK_SHM_RND) == 0)
            return -VMK_EINVAL;
        request->address = vmki_align_down(request->address, mm->page_size);
        /* Rounded down to nothing, Linux maps it there, whatever it replaces. */
        if (request->address == 0)
            return (request->flags & VMK_SHM_REMAP) != 0 ? -VMK_EINVAL : 0;
    }
    if ((request->flags & VMK_SHM_REMAP) != 0)
        return 0;
    end = request->address + request->size;
    if (end < request->address)
        return -VMK_EINVAL;
    next = vmki_find_next(mm, request->address);
    return next != NULL && next->start < end ? -VMK_EINVAL : 0;
}

static int shmat_start(struct vmki_plan *plan)
{
    struct vmk_shmat_request request = plan->request.shmat;
    bool is_fixed = request.address != 0;
    uint32_t prot = VMK_PROT_READ;
    int error = shmat_address(plan->mm, &request);

    if (request.file == NULL)
        return -VMK_ERR_MISUSE;
    if (error != 0)
        return error;
    request.file->mode |= VMK_FILE_SHM;
    if (request.file->vm_ops == NULL)
        request.file->vm_ops = &shm_vm_ops;
    if ((request.flags & VMK_SHM_RDONLY) == 0)
        prot |= VMK_PROT_WRITE;
    if ((request.flags & VMK_SHM_EXEC) != 0)
        prot |= VMK_PROT_EXEC;
    plan->request.mmap = (struct vmk_mmap_request){.address = request.address,
                                                   .len = request.size,
                                                   .prot = prot,
                                                   .flags = VMK_MAP_SHARED | (is_fixed ? VMK_MAP_FIXED : 0),
                                                   .file = request.file};
    return vmki_mmap_verb.start(plan);
}

static enum vmki_step shmat_step(struct vmki_plan *plan)
{
    return vmki_mmap_verb.step(plan);
}

static void shmat_finish(struct vmki_plan *plan)
{
    vmki_mmap_verb.finish(plan);
}

static const struct vmki_verb shmat_verb = {
    .start = shmat_start,
    .step = shmat_step,
    .finish = shmat_finish,
    .request_size = sizeof(struct vmk_shmat_request),
};

VMKI_DEFINE_VERB(shmat, shmat_verb)

/* ---- shmdt ---- */

/* Is it a piece of an attachment that began, or would have begun, at `base`? */
static bool is_piece_from(const struct vmk_mm *mm, const struct vmk_vma *vma, vmk_addr base)
{
    return vma->file != NULL && (vma->file->mode & VMK_FILE_SHM) != 0 &&
           vmki_pages(mm, vma->start - base) == vmki_vma_pgoff_at(mm, vma, vma->start);
}

static int shmdt_start(struct vmki_plan *plan)
{
    if (!vmki_page_aligned(plan->mm, plan->request.shmdt.address))
        return -VMK_EINVAL;
    plan->start = plan->cursor = plan->request.shmdt.address;
    return 0;
}

/*
 * The next piece: at first the lowest that fits the address, however far above, and whatever its size; then those of the
 * same attachment that end within the segment's size. plan->pointer[0] is the attachment's file, for comparison only.
 */
static struct vmk_vma *shmdt_find(struct vmki_plan *plan)
{
    struct vmk_mm *mm = plan->mm;
    struct vmk_vma *vma = vmki_find_next(mm, plan->cursor);

    for (; vma != NULL; vma = vmki_find_next(mm, vma->end)) {
        if (plan->pointer[0] != NULL && vma->end - plan->start > plan->end - plan->start)
            return NULL;
        if (is_piece_from(mm, vma, plan->start) && (plan->pointer[0] == NULL || plan->pointer[0] == vma->file))
            return vma;
    }
    return NULL;
}

/* A piece that cannot go (it is sealed) stays, and is no error. */
static enum vmki_step shmdt_step(struct vmki_plan *plan)
{
    struct vmk_mm *mm = plan->mm;
    struct vmk_vma *vma;

    while ((vma = shmdt_find(plan)) != NULL) {
        vmk_addr end = vma->end;
        int prepared;

        if (VMKI_BROKEN(shm_pieces) && plan->pointer[0] != NULL)
            break;
        if (plan->pointer[0] == NULL) {
            plan->pointer[0] = vma->file;
            plan->end = plan->start + vmki_page_align(mm, vmk_object_nr_bytes(vma->file->object));
        }
        prepared = vmki_plan_unmap(plan, vma->start, end);
        if (prepared == -VMK_ERR_HOST_NOMEM)
            return vmki_plan_end(plan, prepared, 0);
        plan->cursor = end;
        if (prepared == 1)
            return VMKI_STEP_PART;
    }
    return vmki_plan_end(plan, plan->pointer[0] != NULL ? 0 : -VMK_EINVAL, 0);
}

static const struct vmki_verb shmdt_verb = {
    .start = shmdt_start,
    .step = shmdt_step,
    .request_size = sizeof(struct vmk_shmdt_request),
};

VMKI_DEFINE_VERB(shmdt, shmdt_verb)
