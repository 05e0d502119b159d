/* SPDX-License-Identifier: MIT */
/*
 * stack.c - a GROWSDOWN area grows to an address that was touched below it.
 *
 *      [ prev ]      <- guard gap ->  [new pages][ vma ]
 *             prev->end          address        vma->start
 *
 * The order of the checks shows: a neighbour in the gap or mmap_min_addr leave everything as it was, while a limit that
 * refuses comes after the area got its anon_vma (both seen on a running kernel).
 */
#include "base/breaks.h"
#include "mm/fault.h"
#include "mm/plan.h"
#include "mm/reserve.h"
#include "vmakit/backend.h"

/* An accessible area keeps its distance; one that nobody can touch, or that is a stack itself, does not. */
static bool stack_gap_is_free(struct vmk_mm *mm, const struct vmk_vma *vma, vmk_addr address)
{
    const struct vmk_vma *prev = vmki_find_prev(mm, vma->start);

    if (vmki_reserved_touches(mm, address, vma->start))
        return false;
    if (VMKI_BROKEN(stack_gap) || prev == NULL || (prev->flags & VMK_VM_GROWSDOWN) != 0 ||
        ((prev->flags & VMK_VM_ACCESS) == 0 && !VMKI_BROKEN(stack_closed)))
        return true;
    return address - prev->end >= mm->settings->stack_guard_gap << mm->page_shift;
}

/* RLIMIT_STACK, RLIMIT_AS, RLIMIT_MEMLOCK; a moved stack may also run out of page offsets. */
static bool stack_limits_allow(const struct vmk_mm *mm, const struct vmk_vma *vma, vmk_addr address)
{
    uint64_t grow = vma->start - address;

    if (vmki_vma_pgoff_at(mm, vma, vma->start) < vmki_pages(mm, grow))
        return false;
    if (!vmki_may_expand(mm, vma->flags, vmki_pages(mm, grow), 0))
        return false;
    if (mm->settings->enforce_limits != 0 && !VMKI_BROKEN(stack_limit) && vma->end - address > mm->rlimits.stack.soft)
        return false;
    return vmki_lock_allowed(mm, vma->flags, grow);
}

static void stack_grow_edit(struct vmk_vma *vma, vmk_addr address, struct vmki_area_edit *edit)
{
    *edit = (struct vmki_area_edit){.from = vma->start,
                                    .until = vma->end,
                                    .nr_pieces = 1,
                                    .new_start = address,
                                    .new_end = vma->start,
                                    .new_flags = vma->flags,
                                    .is_map = true};
    edit->piece[0] =
        (struct vmki_piece){.vma = vma, .start = address, .end = vma->end, .flags = vma->flags, .ext = vma->ext};
}

/* Commits, with a backend told of the new pages. */
static int stack_commit(struct vmk_mm *mm, struct vmki_area_edit *edit)
{
    const struct vmk_backend_ops *backend = mm->backend;
    const struct vmk_edit map = {.kind = VMK_EDIT_MAP,
                                 .start = edit->new_start,
                                 .end = edit->new_end,
                                 .flags = edit->new_flags & VMKI_VM_PUBLIC,
                                 .prot = vmki_flags_to_prot(edit->new_flags)};
    int error = 0;

    if (backend != NULL && backend->prepare != NULL)
        error = backend->prepare(mm->backend_context, mm, &map);
    if (error != 0) {
        vmki_edit_abort(mm, edit);
        return error;
    }
    vmki_edit_commit(mm, edit);
    if (backend == NULL)
        return 0;
    if (backend->invalidate_begin != NULL)
        backend->invalidate_begin(mm->backend_context, mm, map.start, map.end);
    if (backend->apply != NULL)
        backend->apply(mm->backend_context, mm, &map);
    if (backend->invalidate_end != NULL)
        backend->invalidate_end(mm->backend_context, mm, map.start, map.end);
    return 0;
}

int vmki_stack_grow(struct vmk_mm *mm, struct vmk_vma *vma, vmk_addr address)
{
    uint64_t pages = vmki_pages(mm, vma->start - address);
    struct vmki_area_edit *edit = vmki_mm_edit(mm);
    int error;

    if (address < mm->min_addr)
        return -VMK_EPERM; /* for everybody: CAP_SYS_RAWIO does not help a stack */
    if (!stack_gap_is_free(mm, vma, address))
        return -VMK_ENOMEM;
    error = vmki_edit_reserve(mm, 0, false);
    if (error == 0)
        error = vmki_anon_vma_prepare(vma);
    if (error != 0)
        return error;
    if (!stack_limits_allow(mm, vma, address) || vmki_charge(mm, pages) != 0)
        return -VMK_ENOMEM;
    stack_grow_edit(vma, address, edit);
    /*
     * Linux charges every growth and gives back, when the area goes, only what is marked ACCOUNT: growth of a NORESERVE or
     * read-only stack stays charged for ever. The edit is told of the charge only where it comes back.
     */
    if ((vma->flags & VMK_VM_ACCOUNT) != 0)
        edit->charged = pages;
    error = stack_commit(mm, edit);
    if (error != 0 && (vma->flags & VMK_VM_ACCOUNT) == 0)
        vmki_uncharge(mm, pages);
    if (error == 0)
        VMKI_COUNT(mm, stack_growth, address, vma->end);
    return error;
}
