/* SPDX-License-Identifier: MIT */
/*
 * populate.c - what bringing pages in does to areas: MAP_POPULATE, MAP_LOCKED, mlock, MADV_POPULATE_*.
 *
 * Pages are somebody else's. What belongs to areas is the anon_vma that a write (or a huge page) brings, and the error for
 * a page that cannot come.
 */
#include "base/atomic.h"
#include "mm/range.h"

bool vmki_vma_wants_huge(const struct vmk_vma *vma)
{
    const struct vmk_mm *mm = vma->mm;
    bool advised = (vma->flags & VMK_VM_HUGEPAGE) != 0;
    uint32_t disabled = vmki_load_relaxed(&mm->thp_disable); /* a fault without a lock asks, too */

    if ((vma->flags & (VMK_VM_NOHUGEPAGE | VMK_VM_SPECIAL | VMK_VM_HUGETLB)) != 0)
        return false;
    if (disabled != 0 && (disabled != VMK_THP_DISABLE_EXCEPT_ADVISED || !advised))
        return false;
    return mm->settings->thp == 2 || (mm->settings->thp == 1 && advised);
}

/* Does the area hold a whole huge page of which [start, end) is a part? */
static bool populate_meets_huge(const struct vmk_vma *vma, vmk_addr start, vmk_addr end)
{
    uint64_t size = UINT64_C(1) << vma->mm->settings->pmd_shift;
    vmk_addr first = vmki_align_up(vmki_max(vma->start, vmki_align_down(start, size)), size);

    return first < end && first < vma->end && vma->end - first >= size;
}

/* Asks a driver, who alone knows which pages it has, for each; those that are present may be asked for again. */
static bool populate_device(struct vmk_vma *vma, vmk_addr start, vmk_addr end, bool write)
{
    const struct vmk_vm_ops *ops = vmki_vma_ops(vma);
    struct vmk_fault fault = {
        .request = {.access = write ? VMK_ACCESS_WRITE : VMK_ACCESS_READ, .flags = VMK_FAULT_NO_GROW},
        .fault_case = VMK_FAULT_CASE_3F,
        .start = vma->start,
        .end = vma->end,
        .flags = vma->flags & VMKI_VM_PUBLIC};

    if (ops == NULL || ops->fault == NULL)
        return false;
    for (vmk_addr page = start; page < end; page += vma->mm->page_size) {
        fault.request.address = page;
        fault.pgoff = vmki_vma_pgoff_at(vma->mm, vma, page);
        fault.outcome = VMK_FAULT_MINOR;
        if (ops->fault(vma, &fault) != 0 || fault.outcome > VMK_FAULT_MAJOR)
            return false;
    }
    return true;
}

/* Can every page come? A file ends, a pool runs dry, a driver may have no pages to give. */
static bool populate_is_backed(struct vmk_vma *vma, vmk_addr start, vmk_addr end, bool write)
{
    const struct vmk_mm *mm = vma->mm;
    const struct vmk_object *object = vma->file != NULL ? vma->file->object : NULL;
    uint64_t nr_bytes;

    if (object == NULL || object->kind == VMK_OBJECT_ZERO)
        return true;
    if (object->kind == VMK_OBJECT_DEVICE)
        return populate_device(vma, start, end, write);
    if (object->kind == VMK_OBJECT_SECRET)
        return false; /* the kernel itself must not touch it */
    if (object->kind == VMK_OBJECT_HUGETLB && (vma->flags & VMK_VM_NORESERVE) != 0 &&
        vmki_pool_free(mm, object->huge_shift) == 0)
        return false;
    nr_bytes = vmki_load_relaxed(&object->nr_bytes);
    return vmki_vma_pgoff_at(mm, vma, end) <= (nr_bytes >> mm->page_shift) + !vmki_page_aligned(mm, nr_bytes);
}

int vmki_populate_part(struct vmk_vma *vma, vmk_addr start, vmk_addr end, bool write)
{
    bool brings_anon_vma = write && (vma->flags & VMK_VM_SHARED) == 0;

    if (!write && vmki_vma_is_private_memory(vma) && vmki_vma_wants_huge(vma) && populate_meets_huge(vma, start, end))
        brings_anon_vma = true; /* the huge zero page brings one too */
    if (brings_anon_vma && !VMKI_BROKEN(populate_identity)) {
        int error = vmki_anon_vma_prepare(vma);

        if (error != 0)
            return error;
    }
    return populate_is_backed(vma, start, end, write) ? 0 : -VMK_EFAULT;
}

/* Private memory is written where it may be, everything else is read, whatever its flags. */
int vmki_populate(struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    struct vmk_vma *vma = vmki_find(mm, start);

    if ((vma->flags & (VMK_VM_IO | VMK_VM_PFNMAP | VMK_VM_LOCKONFAULT)) != 0 || (vma->flags & VMK_VM_ACCESS) == 0)
        return -VMK_EFAULT;
    return vmki_populate_part(vma, start, end, (vma->flags & (VMK_VM_WRITE | VMK_VM_SHARED)) == VMK_VM_WRITE);
}

enum vmki_step vmki_plan_set_flags(struct vmki_plan *plan, struct vmk_vma *vma, vmk_vm_flags flags)
{
    int error = vmki_edit_reserve(plan->mm, 0, false);

    if (error != 0)
        return vmki_plan_end(plan, error, 0);
    plan->area = (struct vmki_area_edit){
        .from = vma->start,
        .until = vma->end,
        .piece = {{.vma = vma, .start = vma->start, .end = vma->end, .flags = flags, .ext = vma->ext}},
        .nr_pieces = 1,
        .new_start = vma->start,
        .new_end = vma->end,
        .old_flags = vma->flags,
        .new_flags = flags,
    };
    plan->has_area = true;
    return VMKI_STEP_PART;
}
