/* SPDX-License-Identifier: MIT */
/*
 * madvise.c - madvise(2), and a range of process_madvise(2).
 *
 * A range is walked area by area. A hole is remembered (ENOMEM at the end) and passed over; an area that refuses ends the
 * call, and what came before it stays. MADV_POPULATE_* differ: they stop at a hole.
 *
 * Advice comes in two sorts. Some is nothing but a flag of the area, with splits and merges. The rest acts on pages: here
 * it is checked, told to the area's madvise hook, and handed to the backend as VMK_EDIT_ADVISE.
 */
#include "mm/range.h"

/* ---- Which advice there is ---- */

static bool advice_is_known(const struct vmk_settings *settings, int advice)
{
    switch (advice) {
    case VMK_MADV_HUGEPAGE:
    case VMK_MADV_NOHUGEPAGE:
    case VMK_MADV_COLLAPSE:
        return settings->thp_built != 0;
    case VMK_MADV_MERGEABLE:
    case VMK_MADV_UNMERGEABLE:
        return settings->ksm != 0;
    case VMK_MADV_GUARD_INSTALL:
    case VMK_MADV_GUARD_REMOVE:
        return settings->guard_regions != 0;
    case VMK_MADV_HWPOISON:
    case VMK_MADV_SOFT_OFFLINE:
        return settings->memory_failure != 0;
    default:
        return (advice >= VMK_MADV_NORMAL && advice <= VMK_MADV_DONTNEED) ||
               (advice >= VMK_MADV_FREE && advice <= VMK_MADV_DONTNEED_LOCKED);
    }
}

/* What process_madvise accepts for another process. */
static bool advice_is_remote(int advice)
{
    return advice == VMK_MADV_COLD || advice == VMK_MADV_PAGEOUT || advice == VMK_MADV_WILLNEED ||
           advice == VMK_MADV_COLLAPSE;
}

static bool advice_is_poison(int advice)
{
    return advice == VMK_MADV_HWPOISON || advice == VMK_MADV_SOFT_OFFLINE;
}

static int madvise_start(struct vmki_plan *plan)
{
    const struct vmk_madvise_request *request = &plan->request.madvise;
    int error;

    if (!advice_is_known(plan->mm->settings, request->advice) ||
        (request->remote && !advice_is_remote(request->advice)))
        return -VMK_EINVAL;
    error = vmki_plan_range(plan, request->address, request->len);
    if (error != 0)
        return error;
    if (advice_is_poison(request->advice) && plan->start < plan->end) {
        if (!vmki_capable(plan->mm, VMK_CAP_SYS_ADMIN))
            return -VMK_EPERM;
        if (!vmki_range_is_covered(plan->mm, plan->start, plan->end))
            return -VMK_EFAULT;
    }
    return 0;
}

/* ---- What an area says to an advice ---- */

/* Would the advice throw away what a seal is to keep? Only memory that the process could not overwrite itself counts. */
static bool advice_breaks_seal(const struct vmk_vma *vma, int advice)
{
    switch (advice) {
    case VMK_MADV_FREE:
    case VMK_MADV_DONTNEED:
    case VMK_MADV_DONTNEED_LOCKED:
    case VMK_MADV_REMOVE:
    case VMK_MADV_DONTFORK:
    case VMK_MADV_WIPEONFORK:
    case VMK_MADV_GUARD_INSTALL:
        return (vma->flags & (VMK_VM_SEALED | VMK_VM_WRITE)) == VMK_VM_SEALED && vmki_vma_is_private_memory(vma);
    default:
        return false;
    }
}

/* A hole in a file is given by signed offsets; only a shared map of /dev/zero can lie beyond them. */
static int check_hole(const struct vmk_vma *vma, vmk_addr start, vmk_addr end)
{
    uint64_t offset = vmki_vma_pgoff_at(vma->mm, vma, start) << vma->mm->page_shift;

    if (offset > INT64_MAX)
        return -VMK_EINVAL;
    return end - start > INT64_MAX - offset ? -VMK_EFBIG : 0;
}

/* Punching a hole needs a file that this mapping could write, and that has holes. */
static int check_remove(const struct vmk_vma *vma, vmk_addr start, vmk_addr end)
{
    const struct vmk_vm_ops *ops = vmki_vma_ops(vma);
    int error;

    if ((vma->flags & VMK_VM_LOCKED) != 0 || vma->file == NULL)
        return -VMK_EINVAL;
    if ((vma->flags & (VMK_VM_SHARED | VMK_VM_MAYWRITE)) != (VMK_VM_SHARED | VMK_VM_MAYWRITE))
        return -VMK_EACCES;
    if ((vma->file->object->kind == VMK_OBJECT_DEVICE || vma->file->object->kind == VMK_OBJECT_NONE) &&
        (ops == NULL || ops->madvise == NULL))
        return -VMK_ENODEV;
    error = check_hole(vma, start, end);
    if (error != 0)
        return error;
    if (vma->file->object->kind == VMK_OBJECT_SECRET)
        return -VMK_EOPNOTSUPP;
    if ((vmk_file_seals(vma->file) & (VMK_SEAL_WRITE | VMK_SEAL_FUTURE_WRITE)) != 0)
        return -VMK_EPERM;
    return 0;
}

static int check_guard(const struct vmk_vma *vma, int advice)
{
    vmk_vm_flags refused = VMK_VM_SPECIAL | VMK_VM_HUGETLB;

    if (advice == VMK_MADV_GUARD_INSTALL)
        refused |= VMK_VM_LOCKED;
    if ((vma->flags & refused) != 0)
        return -VMK_EINVAL;
    if (vma->mm->settings->guard_files == 0 &&
        (!vmki_vma_is_private_memory(vma) || (vma->flags & VMK_VM_MAYWRITE) == 0))
        return -VMK_EINVAL;
    return 0;
}

/*
 * MADV_COLLAPSE asks less than faults do: the machine's setting does not matter. Whether the pages can be collapsed is the
 * backend's to say; without a single page in an anonymous area it is known that they cannot.
 */
static int check_collapse(const struct vmk_vma *vma, vmk_addr start, vmk_addr end)
{
    const struct vmk_mm *mm = vma->mm;
    uint64_t size = UINT64_C(1) << mm->settings->pmd_shift;
    /* Where the area's last huge page would be. It wraps, in Linux too, for an area below the first one. */
    vmk_addr last = vmki_align_down(vma->end - size, size);
    bool is_private = vmki_vma_is_private_memory(vma);

    if ((vma->flags & (VMK_VM_NOHUGEPAGE | VMK_VM_SPECIAL | VMK_VM_HUGETLB)) != 0 || mm->thp_disable != 0)
        return -VMK_EINVAL;
    if (is_private ? vma->anon_vma == NULL
                   : !vmki_vma_is_kind(vma, VMK_OBJECT_SHMEM) || (vma->bias & (vmki_pages(mm, size) - 1)) != 0)
        return -VMK_EINVAL;
    if (last < vma->start || last + size > vma->end)
        return -VMK_EINVAL;
    return vmki_align_down(end, size) < vmki_align_up(start, size) ? -VMK_EINVAL : 0;
}

/* Pages of a hugetlb area go as a whole or not at all; the end is rounded down. */
static int check_dontneed(const struct vmk_vma *vma, int advice, vmk_addr start)
{
    vmk_vm_flags refused = VMK_VM_PFNMAP;

    if (advice != VMK_MADV_DONTNEED_LOCKED)
        refused |= VMK_VM_LOCKED;
    if (vmki_vma_is_hugetlb(vma))
        return vmki_is_aligned(start, vmki_vma_huge_size(vma)) ? 0 : -VMK_EINVAL;
    return (vma->flags & refused) != 0 ? -VMK_EINVAL : 0;
}

/* May this advice act on the pages of [start, end), a part of the area? */
static int check_pages(const struct vmk_vma *vma, int advice, vmk_addr start, vmk_addr end)
{
    switch (advice) {
    case VMK_MADV_DONTNEED:
    case VMK_MADV_DONTNEED_LOCKED:
        return check_dontneed(vma, advice, start);
    case VMK_MADV_FREE:
        return vmki_vma_is_private_memory(vma) && (vma->flags & (VMK_VM_LOCKED | VMK_VM_PFNMAP)) == 0 ? 0 : -VMK_EINVAL;
    case VMK_MADV_COLD:
    case VMK_MADV_PAGEOUT:
        return (vma->flags & (VMK_VM_LOCKED | VMK_VM_PFNMAP | VMK_VM_HUGETLB)) != 0 ? -VMK_EINVAL : 0;
    case VMK_MADV_REMOVE:
        return check_remove(vma, start, end);
    case VMK_MADV_COLLAPSE:
        return check_collapse(vma, start, end);
    case VMK_MADV_GUARD_INSTALL:
    case VMK_MADV_GUARD_REMOVE:
        return check_guard(vma, advice);
    default:
        return 0;
    }
}

/* Advice that is nothing but flags. */
static const struct flag_advice {
    int advice;
    vmk_vm_flags clears, sets;
} flag_advices[] = {
    {VMK_MADV_NORMAL, VMK_VM_RAND_READ | VMK_VM_SEQ_READ, 0},
    {VMK_MADV_RANDOM, VMK_VM_SEQ_READ, VMK_VM_RAND_READ},
    {VMK_MADV_SEQUENTIAL, VMK_VM_RAND_READ, VMK_VM_SEQ_READ},
    {VMK_MADV_DONTFORK, 0, VMK_VM_DONTCOPY},
    {VMK_MADV_DOFORK, VMK_VM_DONTCOPY, 0},
    {VMK_MADV_MERGEABLE, 0, VMK_VM_MERGEABLE},
    {VMK_MADV_UNMERGEABLE, VMK_VM_MERGEABLE, 0},
    {VMK_MADV_HUGEPAGE, VMK_VM_NOHUGEPAGE, VMK_VM_HUGEPAGE},
    {VMK_MADV_NOHUGEPAGE, VMK_VM_HUGEPAGE, VMK_VM_NOHUGEPAGE},
    {VMK_MADV_DONTDUMP, 0, VMK_VM_DONTDUMP},
    {VMK_MADV_DODUMP, VMK_VM_DONTDUMP, 0},
    {VMK_MADV_WIPEONFORK, 0, VMK_VM_WIPEONFORK},
    {VMK_MADV_KEEPONFORK, VMK_VM_WIPEONFORK, 0},
};

static const struct flag_advice *flag_advice_of(int advice)
{
    for (size_t i = 0; i < VMKI_ARRAY_SIZE(flag_advices); i++)
        if (flag_advices[i].advice == advice)
            return &flag_advices[i];
    return NULL;
}

/* What an area is made of may forbid to take back what its kind stands for. */
static bool flag_advice_is_refused(const struct vmk_vma *vma, int advice)
{
    switch (advice) {
    case VMK_MADV_DOFORK:
        return (vma->flags & VMK_VM_IO) != 0;
    case VMK_MADV_WIPEONFORK:
        return vma->file != NULL || (vma->flags & VMK_VM_SHARED) != 0;
    case VMK_MADV_KEEPONFORK:
        return (vma->flags & VMK_VM_DROPPABLE) != 0;
    case VMK_MADV_DODUMP:
        return (vma->flags & VMK_VM_DROPPABLE) != 0 ||
               ((vma->flags & VMK_VM_SPECIAL) != 0 && (vma->flags & VMK_VM_HUGETLB) == 0);
    default:
        return false;
    }
}

/* The flags that the advice gives the area: the same ones where it changes none. */
static vmk_vm_flags flag_advice_result(const struct vmk_vma *vma, const struct flag_advice *row)
{
    if (row->advice == VMK_MADV_MERGEABLE && !vmki_flags_mergeable(vma->flags))
        return vma->flags; /* silently */
    return (vma->flags & ~row->clears) | row->sets;
}

/* The area's own word on advice that acts on its pages. */
static int ask_hook(struct vmk_vma *vma, vmk_addr start, vmk_addr end, int advice)
{
    const struct vmk_vm_ops *ops = vmki_vma_ops(vma);

    return ops != NULL && ops->madvise != NULL ? ops->madvise(vma, start, end, advice) : 0;
}

/* Everything that may refuse, in Linux's order; then the hook. */
static int check_advice(struct vmk_vma *vma, int advice, vmk_addr start, vmk_addr end, vmk_vm_flags *flags)
{
    const struct flag_advice *row = flag_advice_of(advice);
    int error;

    if (advice_breaks_seal(vma, advice) && !VMKI_BROKEN(seal_advice))
        return -VMK_EPERM;
    if (row != NULL) {
        *flags = flag_advice_result(vma, row);
        return flag_advice_is_refused(vma, advice) ? -VMK_EINVAL : 0;
    }
    error = check_pages(vma, advice, start, end);
    return error != 0 ? error : ask_hook(vma, start, end, advice);
}

/* ---- Parts ---- */

static void madvise_add_edit(struct vmki_plan *plan, const struct vmk_vma *vma, vmk_addr start, vmk_addr end,
                             vmk_vm_flags flags)
{
    struct vmk_edit *edit = vmki_plan_add_edit(plan, VMK_EDIT_ADVISE, start, end);

    edit->flags = flags & VMKI_VM_PUBLIC;
    edit->prot = vmki_flags_to_prot(flags);
    edit->advice = plan->request.madvise.advice;
    edit->file = vma->file;
    if (vma->file != NULL)
        edit->offset = vmki_vma_pgoff_at(vma->mm, vma, start) << vma->mm->page_shift;
}

/* A flag of the area. Out of memory for a split is EAGAIN here, unlike in any other call. */
static enum vmki_step madvise_set_flags(struct vmki_plan *plan, struct vmk_vma *vma, vmk_vm_flags flags, vmk_addr end)
{
    vmk_addr start = plan->cursor;
    enum vmki_step step = vmki_plan_modify(plan, vma, flags, vmki_ext_get(vma->ext), end);

    if (step == VMKI_STEP_DONE) {
        if (plan->result.error == -VMK_ENOMEM)
            plan->result.error = -VMK_EAGAIN;
    } else if (plan->fail_after != 0) {
        if (plan->fail_after == -VMK_ENOMEM)
            plan->fail_after = -VMK_EAGAIN;
    } else {
        madvise_add_edit(plan, vma, start, end, flags);
    }
    return step;
}

/* A guard region, or a page to be written, needs an anon_vma: a part of its own, as only a commit may publish one. */
static void madvise_prepare_anon(struct vmki_plan *plan)
{
    int error = vmki_anon_vma_prepare(plan->pointer[0]);

    if (error != 0)
        plan->pending_error = error; /* and not the hole that may have been met before */
}

/* Guard pages are the backend's; the area only remembers that it may have some, and is neither split nor merged for it. */
static enum vmki_step madvise_guard(struct vmki_plan *plan, struct vmk_vma *vma, vmk_addr end)
{
    vmk_addr start = plan->cursor;
    vmk_vm_flags flags = vma->flags | VMK_VM_GUARD_REGION;

    if (vmki_vma_is_private_memory(vma) && vma->anon_vma == NULL && !VMKI_BROKEN(guard_identity)) {
        plan->pointer[0] = vma;
        plan->commit = madvise_prepare_anon;
        return VMKI_STEP_PART;
    }
    if (flags != vma->flags && vmki_plan_set_flags(plan, vma, flags) == VMKI_STEP_DONE)
        return VMKI_STEP_DONE;
    plan->cursor = end;
    madvise_add_edit(plan, vma, start, end, flags);
    return VMKI_STEP_PART;
}

/* Advice for the pages of [cursor, end). */
static enum vmki_step madvise_pages(struct vmki_plan *plan, struct vmk_vma *vma, vmk_addr end)
{
    vmk_addr start = plan->cursor;
    int advice = plan->request.madvise.advice;

    plan->cursor = end;
    if (vmki_vma_is_hugetlb(vma) && (advice == VMK_MADV_DONTNEED || advice == VMK_MADV_DONTNEED_LOCKED))
        end = vmki_align_down(end, vmki_vma_huge_size(vma));
    if (start < end)
        madvise_add_edit(plan, vma, start, end, vma->flags);
    return VMKI_STEP_PART;
}

/* The part of one area, from the cursor to `end`. */
static enum vmki_step madvise_area(struct vmki_plan *plan, struct vmk_vma *vma, vmk_addr end)
{
    int advice = plan->request.madvise.advice;
    vmk_vm_flags flags = vma->flags;
    int error = check_advice(vma, advice, plan->cursor, end, &flags);

    if (error != 0 && VMKI_BROKEN(advise_refused)) {
        plan->cursor = end;
        return VMKI_STEP_PART;
    }
    if (error != 0)
        return vmki_plan_end(plan, error, 0);
    if (advice == VMK_MADV_GUARD_INSTALL)
        return madvise_guard(plan, vma, end);
    if (flag_advice_of(advice) == NULL)
        return madvise_pages(plan, vma, end);
    if (flags != vma->flags)
        return madvise_set_flags(plan, vma, flags, end);
    plan->cursor = end; /* nothing changes, and nothing merges (facts: Merging 9) */
    return VMKI_STEP_PART;
}

/* ---- MADV_POPULATE_READ and _WRITE ---- */

static void madvise_populate_part(struct vmki_plan *plan)
{
    struct vmk_vma *vma = plan->pointer[0];

    plan->pending_error =
        vmki_populate_part(vma, plan->number[0], plan->cursor, plan->request.madvise.advice == VMK_MADV_POPULATE_WRITE);
}

/* Page by page in Linux, hence up to what refuses: a hole is ENOMEM, forbidden access EINVAL, a missing page EFAULT. */
static enum vmki_step madvise_populate(struct vmki_plan *plan)
{
    struct vmk_mm *mm = plan->mm;
    struct vmk_vma *vma;
    vmk_vm_flags needed =
        plan->request.madvise.advice == VMK_MADV_POPULATE_WRITE ? VMK_VM_WRITE : (vmk_vm_flags)VMK_VM_READ;
    int error;

    if (plan->pending_error != 0)
        plan->cursor = plan->number[0]; /* the part that went wrong is not done */
    if (plan->pending_error != 0 || plan->cursor >= plan->end)
        return vmki_plan_end(plan, plan->pending_error, 0);
    vma = vmki_find(mm, plan->cursor);
    if (vma == NULL)
        return vmki_plan_end(plan, -VMK_ENOMEM, 0);
    if ((vma->flags & needed) == 0 || (vma->flags & (VMK_VM_IO | VMK_VM_PFNMAP)) != 0 ||
        vmki_vma_is_kind(vma, VMK_OBJECT_SECRET))
        return vmki_plan_end(plan, -VMK_EINVAL, 0);
    error = ask_hook(vma, plan->cursor, vmki_min(vma->end, plan->end), plan->request.madvise.advice);
    if (error != 0)
        return vmki_plan_end(plan, error, 0);
    plan->pointer[0] = vma;
    plan->number[0] = plan->cursor;
    plan->cursor = vmki_min(vma->end, plan->end);
    madvise_add_edit(plan, vma, plan->number[0], plan->cursor, vma->flags);
    plan->commit = madvise_populate_part;
    return VMKI_STEP_PART;
}

/* ---- The walk ---- */

static enum vmki_step madvise_end(struct vmki_plan *plan, int error)
{
    /* process_madvise counts the bytes of the ranges that went well. */
    return vmki_plan_end(plan, error, error == 0 && plan->request.madvise.remote ? plan->request.madvise.len : 0);
}

static enum vmki_step madvise_step(struct vmki_plan *plan)
{
    int advice = plan->request.madvise.advice;

    if (advice == VMK_MADV_POPULATE_READ || advice == VMK_MADV_POPULATE_WRITE)
        return madvise_populate(plan);
    if (plan->pending_error == -VMK_ERR_HOST_NOMEM)
        return madvise_end(plan, plan->pending_error);
    while (plan->cursor < plan->end) {
        struct vmk_vma *vma = vmki_find_next(plan->mm, plan->cursor);
        vmk_addr end;

        if (vma == NULL || vma->start >= plan->end)
            return madvise_end(plan, -VMK_ENOMEM);
        if (vma->start > plan->cursor) {
            if (VMKI_BROKEN(advise_hole))
                return madvise_end(plan, -VMK_ENOMEM);
            plan->pending_error = -VMK_ENOMEM;
            plan->cursor = vma->start;
        }
        end = vmki_min(vma->end, plan->end);
        if (madvise_area(plan, vma, end) == VMKI_STEP_DONE)
            return VMKI_STEP_DONE;
        if (plan->has_area || plan->commit != NULL || plan->nr_edits != 0)
            return VMKI_STEP_PART;
    }
    return madvise_end(plan, plan->pending_error);
}

static const struct vmki_verb madvise_verb = {
    .start = madvise_start,
    .step = madvise_step,
    .request_size = sizeof(struct vmk_madvise_request),
    .counter = VMK_EVENT_madvise,
    .has_counter = true,
};

VMKI_DEFINE_VERB(madvise, madvise_verb)
