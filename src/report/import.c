/* SPDX-License-Identifier: MIT */
/* import.c - areas of a process that exists elsewhere, as its /proc files show them. */
#include "mm/plan.h"
#include "mm/validate.h"
#include "report/state.h"
#include "tree/ranges.h"
#include "vmakit/state.h"

/* Private memory alone has pages of its own. */
static bool import_has_anon_vma(const struct vmk_import_area *from)
{
    return (from->anon_vma == VMK_ANON_YES || from->anon_vma == VMK_ANON_INHERITED) &&
           (from->flags & VMK_VM_SHARED) == 0;
}

static vmk_vm_flags import_flags(const struct vmk_mm *mm, const struct vmk_import_area *from)
{
    bool unknown = from->anon_vma == VMK_ANON_UNKNOWN && (from->flags & VMK_VM_SHARED) == 0;
    bool special = from->special_name != NULL || from->ops != NULL;
    bool inherited = from->anon_vma == VMK_ANON_INHERITED && import_has_anon_vma(from);

    return from->flags | (special ? 0 : vmki_tag_flags(mm, from->file)) | (unknown ? VMKI_VM_ANON_UNKNOWN : 0) |
           (inherited ? VMKI_VM_FORKED : 0);
}

/* maps shows 0 for anonymous memory, whose offset is its address unless it has been moved: nobody can tell. */
static uint64_t import_bias(const struct vmk_mm *mm, const struct vmk_import_area *from)
{
    if (from->file == NULL && from->special_name == NULL && from->ops == NULL)
        return 0;
    return (from->offset >> mm->page_shift) - vmki_pages(mm, from->start);
}

static int import_check(const struct vmk_mm *mm, const struct vmk_import_area *from)
{
    if (!vmki_page_aligned(mm, from->start) || !vmki_page_aligned(mm, from->end) || from->start >= from->end ||
        from->end > mm->task_size_max)
        return -VMK_EINVAL;
    if ((from->flags & ~VMKI_VM_PUBLIC) != 0 || from->anon_vma > VMK_ANON_INHERITED ||
        vmki_area_flags_broken(from->flags, import_has_anon_vma(from), from->uffd != 0) != NULL)
        return -VMK_ERR_MISUSE;
    return vmki_ranges_touch(&mm->tree, from->start, from->end) ? -VMK_EEXIST : 0; /* reserved: vmki_edit_map looks */
}

/* What lies out of line: a reference in *ext, NULL when there is nothing. */
static int import_ext(struct vmk_mm *mm, const struct vmk_import_area *from, struct vmki_ext **ext)
{
    *ext = NULL;
    if (from->special_name == NULL && from->ops == NULL && from->uffd == 0)
        return 0;
    *ext = vmki_ext_copy(mm, NULL, 0);
    if (*ext == NULL)
        return -VMK_ERR_HOST_NOMEM;
    (*ext)->special_name = from->special_name;
    (*ext)->ops = from->ops;
    (*ext)->uffd = from->uffd;
    return 0;
}

static int import_map(struct vmk_mm *mm, const struct vmk_import_area *from, struct vmki_new_area *area)
{
    uint64_t pages = (from->flags & VMK_VM_ACCOUNT) != 0 ? vmki_pages(mm, from->end - from->start) : 0;
    struct vmki_area_edit *edit = vmki_mm_edit(mm);
    struct vmk_vma *vma;
    int error = vmki_edit_reserve(mm, 1, from->file != NULL);

    if (error == 0)
        error = vmki_charge(mm, pages);
    if (error != 0)
        return error;
    error = vmki_edit_map(mm, area, edit, &vma);
    if (error != 0) {
        vmki_uncharge(mm, pages);
        return error;
    }
    edit->charged = pages;
    vmki_edit_commit(mm, edit);
    return 0;
}

static int import_locked(struct vmk_mm *mm, const struct vmk_import_area *from)
{
    struct vmki_new_area area = {.start = from->start, .end = from->end};
    int error = import_check(mm, from);

    if (error != 0)
        return error;
    error = import_ext(mm, from, &area.identity.ext);
    if (error != 0)
        return error;
    area.identity.flags = import_flags(mm, from);
    area.identity.file = from->file;
    area.identity.bias = import_bias(mm, from);
    if (import_has_anon_vma(from)) {
        area.identity.anon_vma = vmki_anon_vma_new(mm);
        error = area.identity.anon_vma == NULL ? -VMK_ERR_HOST_NOMEM : 0;
    }
    if (error == 0)
        error = import_map(mm, from, &area);
    /* The area has references of its own now. */
    vmki_anon_vma_put(mm, area.identity.anon_vma);
    vmki_ext_put(mm, area.identity.ext);
    return error;
}

int vmk_mm_import(struct vmk_mm *mm, const struct vmk_import_area *area)
{
    int error;

    vmki_mm_lock(mm);
    error = import_locked(mm, area);
    vmki_mm_unlock(mm);
    return error;
}

uint64_t vmk_mm_unknown_merges(struct vmk_mm *mm)
{
    uint64_t nr;

    vmki_mm_read_lock(mm);
    nr = mm->unknown_merges;
    vmki_mm_read_unlock(mm);
    return nr;
}
