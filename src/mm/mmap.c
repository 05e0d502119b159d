/* SPDX-License-Identifier: MIT */
/*
 * mmap.c - mmap(2), with Linux's order of errors (facts: mmap errors).
 *
 * start checks everything that does not depend on what lies at the place; the one step prepares the area; a second step
 * populates it.
 */
#include "base/atomic.h"
#include "mm/lane.h"
#include "mm/quick.h"
#include "mm/range.h"

/* What mmap(2) had before flags were checked: the rest is ignored for MAP_SHARED, refused for MAP_SHARED_VALIDATE. */
#define LEGACY_FLAGS                                                                                                   \
    (VMK_MAP_SHARED | VMK_MAP_PRIVATE | VMK_MAP_FIXED | VMK_MAP_ANONYMOUS | VMK_MAP_DENYWRITE | VMK_MAP_EXECUTABLE |   \
     VMK_MAP_UNINITIALIZED | VMK_MAP_GROWSDOWN | VMK_MAP_LOCKED | VMK_MAP_NORESERVE | VMK_MAP_POPULATE |               \
     VMK_MAP_NONBLOCK | VMK_MAP_STACK | VMK_MAP_HUGETLB | VMK_MAP_32BIT | VMK_MAP_ABOVE4G |                            \
     (31u << VMK_MAP_HUGE_SHIFT))

static uint32_t mmap_type(const struct vmk_mmap_request *request)
{
    return request->flags & VMK_MAP_TYPE;
}

static bool is_shared_type(uint32_t type)
{
    return type == VMK_MAP_SHARED || type == VMK_MAP_SHARED_VALIDATE;
}

/* ---- Files of huge pages ---- */

/* The size of the huge pages that MAP_HUGETLB asks for; 0 when there are none of that size. */
static unsigned hugetlb_shift(const struct vmk_mm *mm, uint32_t flags)
{
    unsigned shift = flags >> VMK_MAP_HUGE_SHIFT & VMK_MAP_HUGE_MASK;

    if (shift == 0)
        shift = (unsigned)mm->settings->hugetlb_default_shift;
    if (mm->settings->hugetlb == 0 || (mm->settings->hugetlb_sizes >> shift & 1) == 0)
        return 0;
    return shift;
}

/* Rounds the length to huge pages and makes the file behind MAP_HUGETLB. 0 or negative. */
static int prepare_hugetlb(struct vmki_plan *plan, struct vmk_mmap_request *request)
{
    struct vmk_mm *mm = plan->mm;
    struct vmk_file *file = request->file;
    unsigned shift;
    uint64_t len;

    if (file != NULL && file->object->kind == VMK_OBJECT_HUGETLB) {
        request->len = vmki_align_up(request->len, UINT64_C(1) << file->object->huge_shift);
        return 0;
    }
    if ((request->flags & VMK_MAP_HUGETLB) == 0)
        return 0;
    if (file != NULL)
        return -VMK_EINVAL;
    shift = hugetlb_shift(mm, request->flags);
    if (shift == 0)
        return -VMK_EINVAL;
    len = vmki_align_up(request->len, UINT64_C(1) << shift);
    if (len == 0)
        return -VMK_EINVAL;
    file = vmki_file_new_internal(mm->system, VMK_OBJECT_HUGETLB, len, "/anon_hugepage (deleted)");
    if (file == NULL)
        return -VMK_ERR_HOST_NOMEM;
    file->object->huge_shift = shift;
    request->len = len;
    request->file = file;
    plan->mmap.internal = file;
    return 0;
}

/* Ordinary pages in [start, end) that the pool has reserved. */
static uint64_t pooled_in(struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    uint64_t pages = 0;

    for (const struct vmk_vma *vma = vmki_seek_area(mm, start); vma != NULL && vma->start < end;
         vma = vmki_find_next(mm, vma->end))
        pages += vmki_pooled_pages(vma->flags, vmki_pages(mm, vmki_min(vma->end, end) - vmki_max(vma->start, start)));
    return pages;
}

/*
 * Reserves huge pages: 0 or -VMK_ENOMEM. A shared mapping without a file reserves for its object, which keeps the pages to
 * its end; a private one for its area (*pooled), net of what goes from its place. What a shared mapping of a file
 * reserves is its file system's.
 */
static int reserve_huge_pages(struct vmki_plan *plan, struct vmki_mmap_state *state, uint64_t *pooled)
{
    struct vmk_mm *mm = plan->mm;
    struct vmk_object *object = state->file->object;
    uint64_t pages = vmki_pages(mm, state->len), overlap;

    if ((state->flags & VMK_VM_NORESERVE) != 0)
        return 0;
    if ((state->flags & VMK_VM_MAYSHARE) != 0) {
        if (object->is_internal && !vmki_pool_charge(mm, object->huge_shift, pages))
            return -VMK_ENOMEM;
        object->huge_pages = object->is_internal ? state->len >> object->huge_shift : 0;
        return 0;
    }
    overlap = (plan->request.mmap.flags & VMK_MAP_FIXED) != 0 ? pooled_in(mm, plan->start, plan->end) : 0;
    *pooled = pages - vmki_min(pages, overlap);
    if (!vmki_pool_charge(mm, object->huge_shift, *pooled))
        return -VMK_ENOMEM;
    state->flags |= VMKI_VM_POOLED;
    return 0;
}

/* ---- Flags ---- */

static vmk_vm_flags request_flags(const struct vmk_mm *mm, const struct vmk_mmap_request *request, uint64_t prot,
                                  unsigned pkey)
{
    vmk_vm_flags flags = vmki_prot_to_flags(mm, prot, pkey) | VMK_VM_MAY_ACCESS;

    if ((request->flags & VMK_MAP_GROWSDOWN) != 0)
        flags |= VMK_VM_GROWSDOWN;
    if ((request->flags & VMK_MAP_LOCKED) != 0)
        flags |= VMK_VM_LOCKED;
    if ((request->flags & VMK_MAP_SYNC) != 0)
        flags |= VMK_VM_SYNC;
    if ((request->flags & VMK_MAP_STACK) != 0 && mm->settings->map_stack_nohuge != 0 && mm->settings->thp_built != 0)
        flags |= VMK_VM_NOHUGEPAGE;
    return flags;
}

static int file_flags_shared(const struct vmk_mmap_request *request, vmk_vm_flags *flags)
{
    const struct vmk_file *file = request->file;
    uint32_t known = LEGACY_FLAGS;

    if (file->object->kind == VMK_OBJECT_REGULAR)
        known |= VMK_MAP_SYNC; /* the file's own hook refuses it, later */
    if (mmap_type(request) == VMK_MAP_SHARED_VALIDATE && (request->flags & ~known) != 0)
        return -VMK_EOPNOTSUPP;
    if ((request->prot & VMK_PROT_WRITE) != 0 && (file->mode & VMK_FILE_WRITE) == 0)
        return -VMK_EACCES;
    *flags |= VMK_VM_SHARED | VMK_VM_MAYSHARE;
    if ((file->mode & VMK_FILE_WRITE) == 0)
        *flags &= ~(VMK_VM_MAYWRITE | VMK_VM_SHARED);
    return 0;
}

/* WRITE and FUTURE_WRITE seals forbid shared writing, now and by mprotect later. */
static int apply_seals(const struct vmk_file *file, vmk_vm_flags *flags)
{
    if ((vmk_file_seals(file) & (VMK_SEAL_WRITE | VMK_SEAL_FUTURE_WRITE)) == 0 || (*flags & VMK_VM_SHARED) == 0)
        return 0;
    if ((*flags & VMK_VM_WRITE) != 0)
        return -VMK_EPERM;
    *flags &= ~VMK_VM_MAYWRITE;
    return 0;
}

/* Files have a largest size, which an offset may not exceed; for devices and the like it is that of a 64-bit number. */
static uint64_t largest_size(const struct vmk_object *object)
{
    bool has_limit =
        object->kind == VMK_OBJECT_REGULAR || object->kind == VMK_OBJECT_SHMEM || object->kind == VMK_OBJECT_SECRET;

    return has_limit ? object->max_bytes : UINT64_MAX;
}

static int file_flags(const struct vmk_mmap_request *request, uint64_t prot, uint64_t pgoff, unsigned page_shift,
                      vmk_vm_flags *flags)
{
    const struct vmk_file *file = request->file;
    uint64_t max_bytes = largest_size(file->object);
    uint32_t type = mmap_type(request);
    int error;

    if (request->len > max_bytes || pgoff > (max_bytes - request->len) >> page_shift)
        return -VMK_EOVERFLOW;
    if (is_shared_type(type)) {
        error = file_flags_shared(request, flags);
        if (error != 0)
            return error;
    } else if (type != VMK_MAP_PRIVATE) {
        return -VMK_EINVAL;
    }
    if ((file->mode & VMK_FILE_READ) == 0)
        return -VMK_EACCES;
    if ((file->mode & VMK_FILE_NOEXEC) != 0) {
        if ((prot & VMK_PROT_EXEC) != 0)
            return -VMK_EPERM;
        *flags &= ~VMK_VM_MAYEXEC;
    }
    if (file->object->kind == VMK_OBJECT_NONE)
        return -VMK_ENODEV;
    if ((*flags & VMK_VM_GROWSDOWN) != 0)
        return -VMK_EINVAL;
    return apply_seals(file, flags);
}

static int anonymous_flags(const struct vmk_mm *mm, const struct vmk_mmap_request *request, uint64_t *pgoff,
                           vmk_vm_flags *flags)
{
    switch (mmap_type(request)) {
    case VMK_MAP_SHARED:
        if ((*flags & VMK_VM_GROWSDOWN) != 0)
            return -VMK_EINVAL;
        *pgoff = 0;
        *flags |= VMK_VM_SHARED | VMK_VM_MAYSHARE;
        return 0;
    case VMK_MAP_DROPPABLE:
        if (mm->settings->droppable == 0 || (request->flags & (VMK_MAP_LOCKED | VMK_MAP_HUGETLB)) != 0 ||
            (*flags & VMK_VM_GROWSDOWN) != 0)
            return -VMK_EINVAL;
        *flags |= VMK_VM_DROPPABLE | VMK_VM_NORESERVE | VMK_VM_WIPEONFORK | VMK_VM_DONTDUMP;
        return 0;
    case VMK_MAP_PRIVATE:
        return 0;
    default:
        return -VMK_EINVAL;
    }
}

/* ---- The area ---- */

/* What lies in [start, end) now, in pages: all of it, and what is charged. */
static void count_overlap(struct vmk_mm *mm, vmk_addr start, vmk_addr end, uint64_t *pages, uint64_t *accounted)
{
    *pages = 0;
    *accounted = 0;
    for (const struct vmk_vma *vma = vmki_seek_area(mm, start); vma != NULL && vma->start < end;
         vma = vmki_find_next(mm, vma->end)) {
        uint64_t part = vmki_pages(mm, vmki_min(vma->end, end) - vmki_max(vma->start, start));

        *pages += part;
        if ((vma->flags & VMK_VM_ACCOUNT) != 0)
            *accounted += part;
    }
}

/* A shared mapping of no file, or of /dev/zero, gets an object of its own, which carries the commit charge. */
static int make_shared_anonymous(struct vmki_plan *plan, struct vmki_mmap_state *state)
{
    struct vmk_mm *mm = plan->mm;
    struct vmk_file *file = vmki_file_new_internal(mm->system, VMK_OBJECT_SHMEM, state->len, "/dev/zero (deleted)");
    int error = 0;

    if (file == NULL)
        return -VMK_ERR_HOST_NOMEM;
    plan->mmap.internal = file;
    if ((state->flags & VMK_VM_NORESERVE) == 0)
        error = vmki_charge(mm, vmki_pages(mm, state->len));
    if (error == 0 && (state->flags & VMK_VM_NORESERVE) == 0)
        file->object->commit_pages = vmki_pages(mm, state->len);
    state->file = file;
    return error;
}

/* Asks a driver's mmap hook, and takes over what it changed. */
static int call_mmap_hook(struct vmki_plan *plan, struct vmki_mmap_state *state)
{
    const vmk_vm_flags fixed = VMK_VM_ACCESS | VMK_VM_SHARED | VMK_VM_LOCKED_MASK;
    struct vmk_mmap_description description = {.mm = plan->mm,
                                               .start = plan->start,
                                               .end = plan->end,
                                               .pgoff = state->pgoff,
                                               .flags = state->flags & VMKI_VM_PUBLIC,
                                               .file = state->file};
    int error = state->file->ops->mmap(state->file, &description);

    if (error != 0)
        return error;
    state->pgoff = description.pgoff;
    state->flags = (description.flags & ~fixed) | (state->flags & fixed);
    if (description.ops == NULL && description.private_data == NULL)
        return 0;
    state->ext = vmki_ext_copy(plan->mm, NULL, 0);
    if (state->ext == NULL)
        return -VMK_ERR_HOST_NOMEM;
    state->ext->ops = description.ops;
    state->ext->private_data = description.private_data;
    return 0;
}

/* What the kind of object adds to, or takes from, the flags. */
static int apply_object_kind(struct vmki_plan *plan, struct vmki_mmap_state *state, uint64_t *pooled)
{
    struct vmk_mm *mm = plan->mm;

    if (state->file == NULL)
        return (state->flags & VMK_VM_SHARED) != 0 ? make_shared_anonymous(plan, state) : 0;
    switch (state->file->object->kind) {
    case VMK_OBJECT_ZERO:
        return (state->flags & VMK_VM_SHARED) != 0 ? make_shared_anonymous(plan, state) : 0;
    case VMK_OBJECT_HUGETLB:
        state->flags |= VMK_VM_HUGETLB | VMK_VM_DONTEXPAND;
        if (!vmki_is_aligned(state->pgoff << mm->page_shift, UINT64_C(1) << state->file->object->huge_shift))
            return -VMK_EINVAL;
        return reserve_huge_pages(plan, state, pooled);
    case VMK_OBJECT_SECRET:
        if ((state->flags & VMK_VM_MAYSHARE) == 0)
            return -VMK_EINVAL;
        if (!vmki_lock_allowed(mm, state->flags | VMK_VM_LOCKED, state->len))
            return -VMK_EAGAIN;
        state->flags |= VMK_VM_LOCKED | VMK_VM_DONTDUMP;
        return 0;
    case VMK_OBJECT_REGULAR:
        /* A disk file system refuses MAP_SYNC, whatever the type of the mapping, unless it is DAX. */
        if ((plan->request.mmap.flags & VMK_MAP_SYNC) != 0)
            return (state->file->mode & VMK_FILE_SYNC) != 0 ? -VMK_ERR_UNSUPPORTED : -VMK_EOPNOTSUPP;
        return state->file->ops != NULL && state->file->ops->mmap != NULL ? call_mmap_hook(plan, state) : 0;
    default:
        return state->file->ops != NULL && state->file->ops->mmap != NULL ? call_mmap_hook(plan, state) : 0;
    }
}

/* Limits and the commit charge of the area at its place. */
static int charge_area(struct vmki_plan *plan, struct vmki_mmap_state *state, uint64_t *charged)
{
    struct vmk_mm *mm = plan->mm;
    uint64_t pages = vmki_pages(mm, state->len), overlap = 0, accounted = 0;
    int error;

    if ((plan->request.mmap.flags & VMK_MAP_FIXED) != 0)
        count_overlap(mm, plan->start, plan->end, &overlap, &accounted);
    if (!vmki_may_expand(mm, state->flags, pages, overlap))
        return -VMK_ENOMEM;
    *charged = 0;
    if (!vmki_is_accountable(state->flags) || (state->file != NULL && state->file->object->kind == VMK_OBJECT_HUGETLB))
        return 0;
    if (pages > accounted) {
        error = vmki_charge(mm, pages - accounted);
        if (error != 0)
            return error;
        *charged = pages - accounted;
    }
    state->flags |= VMK_VM_ACCOUNT;
    return 0;
}

static void mmap_finish(struct vmki_plan *plan)
{
    vmki_ext_put(plan->mm, plan->mmap.ext);
    if (plan->mmap.internal != NULL)
        vmk_file_put(plan->mmap.internal);
}

/* ---- The call ---- */

/* Checks up to the place; *prot is what the personality makes of it. */
static int mmap_check(struct vmki_plan *plan, struct vmk_mmap_request *request, uint64_t *prot)
{
    struct vmk_mm *mm = plan->mm;
    struct vmki_mmap_state *state = &plan->mmap;
    int error;

    if (!vmki_page_aligned(mm, request->offset))
        return -VMK_EINVAL;
    state->pgoff = vmki_pages(mm, request->offset);
    if ((request->flags & VMK_MAP_ANONYMOUS) != 0)
        request->file = NULL;
    else if (request->file_error != 0)
        return request->file_error;
    else if (request->file == NULL || (request->file->mode & VMK_FILE_PATH) != 0)
        return -VMK_EBADF;
    error = prepare_hugetlb(plan, request);
    if (error != 0)
        return error;
    if (request->len == 0)
        return -VMK_EINVAL;
    *prot = request->prot;
    if ((*prot & VMK_PROT_READ) != 0 && (mm->personality & VMK_READ_IMPLIES_EXEC) != 0 &&
        (request->file == NULL || (request->file->mode & VMK_FILE_NOEXEC) == 0))
        *prot |= VMK_PROT_EXEC;
    if ((request->flags & VMK_MAP_FIXED_NOREPLACE) != 0)
        request->flags |= VMK_MAP_FIXED;
    state->len = vmki_page_align(mm, request->len);
    request->len = state->len;
    if (state->len == 0)
        return -VMK_ENOMEM;
    if (state->pgoff + vmki_pages(mm, state->len) < state->pgoff)
        return -VMK_EOVERFLOW;
    return mm->tree.nr_entries > vmki_max_map_count(mm) ? -VMK_ENOMEM : 0;
}

static int mmap_place(struct vmki_plan *plan, const struct vmk_mmap_request *request)
{
    struct vmk_mm *mm = plan->mm;
    struct vmki_place place = {.hint = request->address,
                               .len = plan->mmap.len,
                               .flags = request->flags,
                               .file = request->file,
                               .shared = is_shared_type(mmap_type(request)),
                               .pgoff = plan->mmap.pgoff,
                               .vm_flags = plan->mmap.flags};
    const struct vmk_vma *next;
    int error;

    if ((request->flags & VMK_MAP_FIXED) == 0) {
        place.hint = vmki_align_down(place.hint, mm->page_size);
        if (place.hint != 0 && place.hint < mm->min_addr)
            place.hint = vmki_page_align(mm, mm->min_addr);
    }
    error = vmki_place(mm, &place, &plan->start);
    if (error != 0)
        return error;
    plan->end = plan->start + plan->mmap.len;
    plan->cursor = plan->start;
    if ((request->flags & VMK_MAP_FIXED_NOREPLACE) == 0)
        return 0;
    next = vmki_find_next(mm, plan->start);
    return next != NULL && next->start < plan->end ? -VMK_EEXIST : 0;
}

/* What follows the place, in Linux's order. */
static int mmap_check_flags(struct vmki_plan *plan, const struct vmk_mmap_request *request, uint64_t prot)
{
    struct vmk_mm *mm = plan->mm;
    struct vmki_mmap_state *state = &plan->mmap;
    int error;

    if ((request->flags & VMK_MAP_LOCKED) != 0 && !vmki_can_lock(mm))
        return -VMK_EPERM;
    if (!vmki_lock_allowed(mm, state->flags | mm->def_flags, state->len))
        return -VMK_EAGAIN;
    state->file = request->file;
    error = request->file != NULL ? file_flags(request, prot, state->pgoff, mm->page_shift, &state->flags)
                                  : anonymous_flags(mm, request, &state->pgoff, &state->flags);
    if (error != 0)
        return error;
    if ((request->flags & VMK_MAP_NORESERVE) != 0 &&
        (vmki_sysctl(&mm->system->sysctl.overcommit_memory) != VMK_OVERCOMMIT_NEVER ||
         (request->file != NULL && request->file->object->kind == VMK_OBJECT_HUGETLB)))
        state->flags |= VMK_VM_NORESERVE;
    state->flags |= vmki_default_flags(mm, state->file, state->flags);
    if (vmki_mdwe_denies(mm, state->flags, state->flags))
        return -VMK_EACCES;
    return (state->flags & VMK_VM_MTE) != 0 && (state->flags & VMK_VM_MTE_ALLOWED) == 0 ? -VMK_EINVAL : 0;
}

static int mmap_start(struct vmki_plan *plan)
{
    struct vmk_mmap_request *request = &plan->request.mmap;
    struct vmk_mm *mm = plan->mm;
    unsigned pkey = 0;
    uint64_t prot;
    int error = mmap_check(plan, request, &prot);

    if (error != 0)
        return error;
    if (prot == VMK_PROT_EXEC && mm->settings->nr_pkeys != 0)
        pkey = (unsigned)vmki_exec_only_pkey(mm);
    plan->mmap.flags = request_flags(mm, request, prot, pkey);
    /* All memory first: an embedder's allocator may map memory of its own. */
    error = vmki_edit_reserve(mm, 2, true);
    if (error == 0)
        error = mmap_place(plan, request);
    if (error == 0)
        error = mmap_check_flags(plan, request, prot);
    return error;
}

static bool wants_populate(const struct vmki_plan *plan)
{
    return (plan->request.mmap.flags & (VMK_MAP_POPULATE | VMK_MAP_NONBLOCK)) == VMK_MAP_POPULATE;
}

static void add_edits(struct vmki_plan *plan)
{
    const struct vmki_mmap_state *state = &plan->mmap;
    struct vmk_edit *edit;

    if (plan->area.unmap_start < plan->area.unmap_end)
        vmki_plan_add_edit(plan, VMK_EDIT_UNMAP, plan->area.unmap_start, plan->area.unmap_end);
    edit = vmki_plan_add_edit(plan, VMK_EDIT_MAP, plan->start, plan->end);
    edit->flags = state->flags & VMKI_VM_PUBLIC;
    edit->prot = vmki_flags_to_prot(state->flags);
    edit->file = state->file;
    edit->offset = state->pgoff << plan->mm->page_shift;
}

/* Where a call stands: what remains to be done by the next step. */
enum mmap_phase { MMAP_AREA, MMAP_POPULATE, MMAP_CUT_END, MMAP_END };

/*
 * The call fails after Linux has cut what surrounds the range: the cuts stay visible (facts: nothing is undone). Memory
 * that ran out in the embedder leaves nothing.
 */
static enum vmki_step mmap_fail_cut(struct vmki_plan *plan, int error)
{
    int prepared;

    if (error == -VMK_ERR_HOST_NOMEM || (plan->request.mmap.flags & VMK_MAP_FIXED) == 0)
        return vmki_plan_end(plan, error, 0);
    plan->pending_error = error;
    plan->phase = MMAP_CUT_END;
    prepared = vmki_plan_cut(plan, plan->start);
    if (prepared == 0) {
        plan->phase = MMAP_END;
        prepared = vmki_plan_cut(plan, plan->end);
    }
    return prepared == 1 ? VMKI_STEP_PART : vmki_plan_end(plan, error, 0);
}

/* The object's own hook refuses: by then what was mapped there is gone. */
static enum vmki_step mmap_fail_hook(struct vmki_plan *plan, int error)
{
    int prepared = 0;

    if (error != -VMK_ERR_HOST_NOMEM && (plan->request.mmap.flags & VMK_MAP_FIXED) != 0)
        prepared = vmki_plan_unmap(plan, plan->start, plan->end);
    if (prepared <= 0)
        return vmki_plan_end(plan, error, 0);
    plan->fail_after = error;
    return VMKI_STEP_PART;
}

/* Kinds whose mmap hook Linux calls after it has tried to merge. */
static bool is_legacy_kind(enum vmk_object_kind kind)
{
    return kind == VMK_OBJECT_ZERO || kind == VMK_OBJECT_DEVICE;
}

/*
 * The last word on the flags, once the object has had its say. Memory that is never locked is compared with its neighbours
 * as if it were, with MCL_FUTURE, and stays alone. Returns what a new area gets after merging was tried.
 */
static vmk_vm_flags mmap_settle_flags(const struct vmk_mm *mm, struct vmki_mmap_state *state, bool *may_merge)
{
    const vmk_vm_flags never_locked = VMK_VM_SPECIAL | VMK_VM_HUGETLB | VMK_VM_DROPPABLE;
    vmk_vm_flags late = 0;

    if ((state->flags & VMK_VM_LOCKED) != 0 && (state->flags & never_locked) != 0) {
        state->flags &= ~VMK_VM_LOCKED_MASK;
        *may_merge = false;
    }
    if (!vmki_flags_mergeable(state->flags))
        state->flags &= ~VMK_VM_MERGEABLE;
    if (state->file != NULL && is_legacy_kind(state->file->object->kind))
        late = state->flags & mm->def_flags & VMK_VM_MERGEABLE;
    state->flags &= ~late;
    return late;
}

static enum vmki_step mmap_prepare_area(struct vmki_plan *plan)
{
    struct vmk_mm *mm = plan->mm;
    struct vmki_mmap_state *state = &plan->mmap;
    struct vmki_new_area area = {.start = plan->start, .end = plan->end, .may_merge = true};
    vmk_vm_flags late;
    struct vmk_vma *vma;
    uint64_t charged = 0, pooled = 0;
    int error = 0;

    if ((state->flags & VMK_VM_LOCKED) != 0) /* also where the area will not be: droppable memory, with MCL_FUTURE */
        plan->request.mmap.flags = (plan->request.mmap.flags | VMK_MAP_POPULATE) & ~VMK_MAP_NONBLOCK;
    if ((plan->request.mmap.flags & VMK_MAP_FIXED) != 0)
        error = vmki_plan_unmap_refused(plan, plan->start, plan->end);
    if (error != 0)
        return error > 0 ? VMKI_STEP_PART : vmki_plan_end(plan, error, 0);
    error = charge_area(plan, state, &charged);
    if (error != 0)
        return mmap_fail_cut(plan, error);
    error = apply_object_kind(plan, state, &pooled);
    if (error != 0) {
        vmki_uncharge(mm, charged);
        return mmap_fail_hook(plan, error);
    }
    late = mmap_settle_flags(mm, state, &area.may_merge);
    /* Anonymous memory takes its page offset from its address: the difference is 0. */
    area.identity = (struct vmki_identity){.flags = state->flags, .file = state->file, .ext = state->ext};
    if (state->file != NULL)
        area.identity.bias = state->pgoff - vmki_pages(mm, plan->start);
    error = vmki_edit_map(mm, &area, &plan->area, &vma);
    if (error != 0) {
        vmki_uncharge(mm, charged);
        vmki_pool_uncharge(mm, pooled);
        return vmki_plan_end(plan, error, 0);
    }
    for (unsigned i = 0; i < plan->area.nr_pieces; i++)
        if (plan->area.piece[i].vma == vma && plan->area.piece[i].is_new)
            plan->area.piece[i].flags |= late;
    plan->area.charged = charged;
    plan->area.pooled = pooled;
    plan->has_area = true;
    add_edits(plan);
    return VMKI_STEP_PART;
}

static void mmap_populate(struct vmki_plan *plan)
{
    vmki_populate(plan->mm, plan->start, plan->end);
}

static enum vmki_step mmap_step(struct vmki_plan *plan)
{
    switch ((enum mmap_phase)plan->phase++) {
    case MMAP_AREA:
        return mmap_prepare_area(plan);
    case MMAP_POPULATE:
        plan->cursor = plan->end;
        plan->phase = MMAP_END;
        if (wants_populate(plan)) {
            vmki_plan_add_edit(plan, VMK_EDIT_ADVISE, plan->start, plan->end)->advice = VMK_ADVICE_POPULATE;
            plan->commit = mmap_populate;
            return VMKI_STEP_PART;
        }
        break;
    case MMAP_CUT_END:
        if (vmki_plan_cut(plan, plan->end) == 1)
            return VMKI_STEP_PART;
        break;
    case MMAP_END:
        break;
    }
    return vmki_plan_end(plan, plan->pending_error, plan->pending_error == 0 ? plan->start : 0);
}

const struct vmki_verb vmki_mmap_verb = {
    .start = mmap_start,
    .step = mmap_step,
    .finish = mmap_finish,
    .request_size = sizeof(struct vmk_mmap_request),
    .counter = VMK_EVENT_mmap,
    .has_counter = true,
};

VMKI_DEFINE_QUICK_VERB(mmap, vmki_mmap_verb)
