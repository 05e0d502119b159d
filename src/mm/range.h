/* SPDX-License-Identifier: MIT */
/* range.h - what the verbs that walk a range share: the range itself, kinds of areas, populating. */
#ifndef VMKI_RANGE_H
#define VMKI_RANGE_H

#include "base/breaks.h"
#include "mm/plan.h"

/* arm64 ignores the top byte of a user address in the calls that manage memory, but for mmap, brk and mremap's new one. */
static inline vmk_addr vmki_untag(const struct vmk_mm *mm, vmk_addr address)
{
    if (mm->settings->arch != VMK_ARCH_ARM64 || (address >> 55 & 1) != 0)
        return address;
    return address & ((UINT64_C(1) << 56) - 1);
}

/*
 * Sets plan->start, cursor and end from what a call was given: the start must be aligned, the length is rounded up to pages.
 * -VMK_EINVAL when it is not, or when length or end wrap. An empty range is one.
 */
static inline int vmki_plan_range(struct vmki_plan *plan, vmk_addr address, uint64_t len)
{
    uint64_t rounded = vmki_page_align(plan->mm, len);
    vmk_addr start = vmki_untag(plan->mm, address);

    if (!vmki_page_aligned(plan->mm, start) || (len != 0 && rounded == 0) || start + rounded < start)
        return -VMK_EINVAL;
    plan->start = start;
    plan->cursor = start;
    plan->end = start + rounded;
    return 0;
}

static inline bool vmki_vma_is_kind(const struct vmk_vma *vma, enum vmk_object_kind kind)
{
    return vma->file != NULL && vma->file->object->kind == kind;
}

/* log2 of the size of a hugetlb area's pages; an imported one may have no file. */
static inline unsigned vmki_vma_huge_shift(const struct vmk_vma *vma)
{
    if (vma->file != NULL && vma->file->object->huge_shift != 0)
        return vma->file->object->huge_shift;
    return (unsigned)vma->mm->settings->hugetlb_default_shift;
}

static inline uint64_t vmki_vma_huge_size(const struct vmk_vma *vma)
{
    return UINT64_C(1) << vmki_vma_huge_shift(vma);
}

/* Anonymous to the page fault handler: /dev/zero's private mappings are, the vdso and its like are not. */
static inline bool vmki_vma_is_private_memory(const struct vmk_vma *vma)
{
    return vmki_vma_is_anonymous(vma) && (vma->ext == NULL || vma->ext->special_name == NULL);
}

/* May KSM scan it: what MADV_MERGEABLE and PR_SET_MEMORY_MERGE silently leave out otherwise. */
static inline bool vmki_flags_mergeable(vmk_vm_flags flags)
{
    return (flags & (VMK_VM_SHARED | VMK_VM_MAYSHARE | VMK_VM_SPECIAL | VMK_VM_HUGETLB | VMK_VM_DROPPABLE)) == 0;
}

/* A private copy of an area's ext, to be changed; NULL when memory is short. */
static inline struct vmki_ext *vmki_vma_copy_ext(const struct vmk_vma *vma)
{
    return vmki_ext_copy(vma->mm, vma->ext, vma->ext != NULL ? vma->ext->name_size : 0);
}

/* Gives a copy back when it has come to say nothing: NULL then. */
static inline struct vmki_ext *vmki_ext_or_null(struct vmk_mm *mm, struct vmki_ext *ext)
{
    if (!vmki_ext_is_empty(ext))
        return ext;
    vmki_ext_put(mm, ext);
    return NULL;
}

/*
 * Prepares other flags for a whole area where it stands: neither split nor merged. Ends the call with
 * -VMK_ERR_HOST_NOMEM when memory is short. populate.c.
 */
enum vmki_step vmki_plan_set_flags(struct vmki_plan *plan, struct vmk_vma *vma, vmk_vm_flags flags);

/*
 * What touching each page of [start, end), a part of the area, does to it: reading or writing. 0, -VMK_EFAULT for a page
 * that nobody can supply (the area may have got its anon_vma all the same), -VMK_ERR_HOST_NOMEM. mm.lock. populate.c.
 */
int vmki_populate_part(struct vmk_vma *vma, vmk_addr start, vmk_addr end, bool write);

/* Is a huge page allowed in the area: by the machine, by the address space and by the area's own flags? populate.c. */
bool vmki_vma_wants_huge(const struct vmk_vma *vma);

#endif
