/* SPDX-License-Identifier: MIT */
/*
 * single.c - operations on one area, as texts on the kernel teach them: create, insert, remove, split, merge, modify,
 * delete, account. Verbs do not use them; both stand on area edits. mm.lock is held exclusively by the caller.
 */
#include "base/atomic.h"
#include "mm/edit.h"
#include "mm/plan.h"

static int request_check(const struct vmk_mm *mm, const struct vmk_vma_request *request)
{
    if (request->start >= request->end || request->end > mm->task_size_max || !vmki_page_aligned(mm, request->start) ||
        !vmki_page_aligned(mm, request->end) || (request->flags & ~VMKI_VM_PUBLIC) != 0)
        return -VMK_EINVAL;
    return 0;
}

/* Does the area need properties out of line? */
static bool request_has_ext(const struct vmk_vma_request *request)
{
    return request->ops != NULL || request->private_data != NULL || request->special_name != NULL;
}

static int create_properties(struct vmk_mm *mm, const struct vmk_vma_request *request, struct vmk_vma *vma)
{
    if (request_has_ext(request)) {
        struct vmki_ext *ext = vmki_ext_copy(mm, NULL, 0);

        if (ext == NULL)
            return -VMK_ERR_HOST_NOMEM;
        ext->ops = request->ops;
        ext->private_data = request->private_data;
        ext->special_name = request->special_name;
        vmki_store_release(&vma->ext, ext);
    }
    if (request->has_anon_vma) {
        struct vmki_anon_vma *anon_vma = vmki_anon_vma_new(mm);

        if (anon_vma == NULL)
            return -VMK_ERR_HOST_NOMEM;
        vmki_store_release(&vma->anon_vma, anon_vma);
    }
    return 0;
}

int vmk_vma_create(struct vmk_mm *mm, const struct vmk_vma_request *request, struct vmk_vma **vma)
{
    bool is_file = request->file != NULL;
    int error = request_check(mm, request);
    struct vmk_vma *made;

    if (error != 0)
        return error;
    if (!vmki_mm_reserve_vmas(mm, is_file ? 0 : 1, is_file ? 1 : 0))
        return -VMK_ERR_HOST_NOMEM;
    made = vmki_mm_take_vma(mm, is_file);
    made->start = request->start;
    made->end = request->end;
    made->flags = request->flags;
    if (request->anon_vma_unknown)
        made->flags |= VMKI_VM_ANON_UNKNOWN;
    if (is_file || request->keep_pgoff) /* its file before anything may fail: it says of what size the area is */
        vmki_vma_set_origin(made, request->pgoff - vmki_pages(mm, request->start), request->file);
    error = create_properties(mm, request, made);
    if (error != 0) {
        vmki_mm_return_vma(mm, made);
        return error;
    }
    *vma = made;
    return 0;
}

void vmk_vma_destroy(struct vmk_vma *vma)
{
    vmki_mm_return_vma(vma->mm, vma);
}

/* The area as an edit of its own, over nothing. */
static void insert_edit(struct vmk_vma *vma, struct vmki_area_edit *edit)
{
    *edit = (struct vmki_area_edit){.from = vma->start,
                                    .until = vma->start,
                                    .nr_pieces = 1,
                                    .new_start = vma->start,
                                    .new_end = vma->end,
                                    .new_flags = vma->flags,
                                    .is_map = true};
    edit->piece[0] = (struct vmki_piece){
        .vma = vma, .start = vma->start, .end = vma->end, .flags = vma->flags, .ext = vma->ext, .is_new = true};
}

int vmk_vma_insert(struct vmk_mm *mm, struct vmk_vma *vma)
{
    const struct vmk_vma *next = vmki_find_next(mm, vma->start);
    struct vmki_area_edit *edit = vmki_mm_edit(mm);
    uint64_t charged = 0;
    int error;

    if (next != NULL && next->start < vma->end)
        return -VMK_EEXIST;
    if (mm->tree.nr_entries > vmki_max_map_count(mm) || !vmki_may_expand(mm, vma->flags, vmki_vma_nr_pages(vma), 0))
        return -VMK_ENOMEM;
    if (!vmki_tree_reserve(&mm->tree, 1))
        return -VMK_ERR_HOST_NOMEM;
    if ((vma->flags & VMK_VM_ACCOUNT) != 0) {
        charged = vmki_vma_nr_pages(vma);
        error = vmki_charge(mm, charged);
        if (error != 0)
            return error;
    }
    insert_edit(vma, edit);
    edit->charged = charged;
    vmki_edit_commit(mm, edit);
    return 0;
}

int vmk_vma_create_and_insert(struct vmk_mm *mm, const struct vmk_vma_request *request, struct vmk_vma **vma)
{
    struct vmk_vma *made;
    int error = vmk_vma_create(mm, request, &made);

    if (error != 0)
        return error;
    error = vmk_vma_insert(mm, made);
    if (error != 0) {
        vmk_vma_destroy(made);
        return error;
    }
    *vma = made;
    return 0;
}

/* Asks the file's mmap hook, and takes over what it changed. */
static VMKI_NOINLINE int ask_mmap_hook(struct vmk_mm *mm, struct vmk_vma_request *request)
{
    struct vmk_mmap_description description = {.mm = mm,
                                               .start = request->start,
                                               .end = request->end,
                                               .pgoff = request->pgoff,
                                               .flags = request->flags,
                                               .ops = request->ops,
                                               .private_data = request->private_data,
                                               .file = request->file};
    int error;

    if (request->file == NULL || request->file->ops == NULL || request->file->ops->mmap == NULL)
        return 0;
    error = request->file->ops->mmap(request->file, &description);
    request->pgoff = description.pgoff;
    request->flags = description.flags;
    request->ops = description.ops;
    request->private_data = description.private_data;
    return error;
}

int vmk_vma_map_memory(struct vmk_mm *mm, const struct vmk_vma_request *request, struct vmk_vma **vma)
{
    struct vmk_vma_request hooked = *request;
    const struct vmk_vm_ops *ops;
    int error = request_check(mm, request);

    if (error == 0)
        error = ask_mmap_hook(mm, &hooked);
    if (error == 0)
        error = vmk_vma_create_and_insert(mm, &hooked, vma);
    if (error != 0)
        return error;
    ops = vmki_vma_ops(*vma);
    if (ops != NULL && ops->open != NULL)
        ops->open(*vma);
    return 0;
}

/* Takes the area out of the tree, the counters and the commit charge; the area itself stays as it was. */
static int detach(struct vmk_mm *mm, struct vmk_vma *vma)
{
    uint64_t accounted = mm->accounted_vm;

    if (vmki_find(mm, vma->start) != vma)
        return -VMK_EINVAL;
    if (!vmki_tree_reserve(&mm->tree, 1))
        return -VMK_ERR_HOST_NOMEM;
    vmki_count_area(mm, vma->flags, vmki_vma_nr_pages(vma), -1);
    vmki_finger_splice(mm, vma->start, vma->end, NULL, 0);
    vmki_uncharge(mm, accounted - mm->accounted_vm);
    vmki_pool_uncharge(mm, vmki_pooled_pages(vma->flags, vmki_vma_nr_pages(vma)));
    vma->flags &= ~VMKI_VM_POOLED;
    return 0;
}

int vmk_vma_remove(struct vmk_mm *mm, struct vmk_vma *vma)
{
    int error = detach(mm, vma);

    if (error == 0)
        vmki_vma_unlink_object(vma);
    return error;
}

int vmk_vma_delete(struct vmk_mm *mm, struct vmk_vma *vma)
{
    struct vmki_area_edit *edit = vmki_mm_edit(mm);

    if (vmki_find(mm, vma->start) != vma)
        return -VMK_EINVAL;
    if ((vma->flags & VMK_VM_SEALED) != 0)
        return -VMK_EPERM;
    if (!vmki_tree_reserve(&mm->tree, 1))
        return -VMK_ERR_HOST_NOMEM;
    *edit = (struct vmki_area_edit){
        .from = vma->start, .until = vma->end, .unmap_start = vma->start, .unmap_end = vma->end};
    vmki_edit_commit(mm, edit);
    return 0;
}

int vmk_vma_split(struct vmk_mm *mm, struct vmk_vma *vma, vmk_addr address, struct vmk_vma **second)
{
    struct vmki_area_edit *edit = vmki_mm_edit(mm);
    struct vmk_vma *upper;
    int error;

    if (address <= vma->start || address >= vma->end || !vmki_page_aligned(mm, address))
        return -VMK_EINVAL;
    if (mm->tree.nr_entries >= vmki_max_map_count(mm))
        return -VMK_ENOMEM;
    error = vmki_edit_reserve(mm, 1, vma->file != NULL);
    if (error == 0)
        error = vmki_vma_may_split(vma, address);
    if (error != 0)
        return error;
    upper = vmki_mm_take_vma(mm, vma->file != NULL);
    vmki_vma_copy_properties(upper, vma, address, vma->end);
    insert_edit(upper, edit);
    edit->from = vma->start;
    edit->until = vma->end;
    edit->new_start = edit->new_end;
    edit->piece[1] = edit->piece[0];
    edit->piece[1].split_from = vma;
    edit->piece[0] =
        (struct vmki_piece){.vma = vma, .start = vma->start, .end = address, .flags = vma->flags, .ext = vma->ext};
    edit->nr_pieces = 2;
    vmki_edit_commit(mm, edit);
    *second = upper;
    return 0;
}

bool vmk_vma_can_merge(const struct vmk_vma *lower, const struct vmk_vma *upper)
{
    struct vmki_identity a = vmki_identity_of(lower), b = vmki_identity_of(upper);

    return lower->mm == upper->mm && lower->end == upper->start && vmki_can_merge(lower->mm, &a, &b) &&
           vmki_may_absorb(lower, upper);
}

/* An edit that changes nothing joins whatever would join. */
int vmk_vma_merge(struct vmk_mm *mm, struct vmk_vma *vma, struct vmk_vma **merged)
{
    vmk_addr start = vma->start;
    struct vmki_area_edit *edit = vmki_mm_edit(mm);
    bool partial;
    int error = vmki_edit_reserve(mm, 2, vma->file != NULL);

    if (error != 0)
        return error;
    error = vmki_edit_modify(vma->mm, vma, vma->start, vma->end, vma->flags, vmki_ext_get(vma->ext), edit, &partial);
    if (error != 0)
        return error;
    edit->new_start = edit->new_end; /* nothing to tell */
    vmki_edit_commit(mm, edit);
    *merged = vmki_find(mm, start);
    return 0;
}

int vmk_vma_modify(struct vmk_mm *mm, struct vmk_vma *vma, vmk_addr start, vmk_addr end, uint32_t prot,
                   struct vmk_vma **modified)
{
    struct vmk_mprotect_request request = {.address = start, .len = end - start, .prot = prot, .pkey = -1};
    int error;

    if (start < vma->start || end > vma->end || start >= end || !vmki_page_aligned(mm, start) ||
        !vmki_page_aligned(mm, end))
        return -VMK_EINVAL;
    error = vmki_mprotect_locked(mm, &request);
    if (error == 0)
        *modified = vmki_find(mm, start);
    return error;
}

int vmk_vma_account(struct vmk_mm *mm, const struct vmk_vma *vma)
{
    uint64_t pages = vmki_vma_nr_pages(vma);
    int error = 0;

    if (!vmki_may_expand(mm, vma->flags, pages, 0))
        return -VMK_ENOMEM;
    if (!vmki_lock_allowed(mm, vma->flags, vma->end - vma->start))
        return -VMK_EAGAIN;
    if ((vma->flags & VMK_VM_ACCOUNT) != 0)
        error = vmki_charge(mm, pages);
    if (error == 0)
        vmki_count_area(mm, vma->flags, pages, 1);
    return error;
}

void vmk_vma_unaccount(struct vmk_mm *mm, const struct vmk_vma *vma)
{
    uint64_t pages = vmki_vma_nr_pages(vma);

    vmki_count_area(mm, vma->flags, pages, -1);
    if ((vma->flags & VMK_VM_ACCOUNT) != 0)
        vmki_uncharge(mm, pages);
}
