/* SPDX-License-Identifier: MIT */
/*
 * anon.c - anon_vmas: the identity of private memory that keeps areas apart which look alike.
 *
 * Which one an area gets (facts: Merging 3): that of the neighbour above, else below, when the two differ in nothing but
 * READ, WRITE and EXEC, so that a later mprotect can join them; else a new one.
 */
#include "base/atomic.h"
#include "base/breaks.h"
#include "mm/mm.h"

#define LENDER_IGNORED (VMK_VM_ACCESS | VMKI_VM_MERGE_IGNORED)

/* May `vma` use the anon_vma of `lender`, which touches it? Never one that came through a fork. */
static bool may_lend(const struct vmk_vma *lender, const struct vmk_vma *vma)
{
    return lender->anon_vma != NULL && ((lender->flags & VMKI_VM_FORKED) == 0 || VMKI_BROKEN(fork_lends)) &&
           !VMKI_BROKEN(anon_reuse) && ((lender->flags ^ vma->flags) & ~LENDER_IGNORED) == 0 &&
           lender->file == vma->file && lender->bias == vma->bias && vmki_ext_same_policy(lender->ext, vma->ext);
}

static struct vmki_anon_vma *anon_vma_of_neighbour(const struct vmk_vma *vma)
{
    const struct vmk_vma *next = vmki_find_next(vma->mm, vma->end);
    const struct vmk_vma *prev;

    if (!VMKI_BROKEN(anon_order) && next != NULL && next->start == vma->end && may_lend(next, vma))
        return next->anon_vma;
    prev = vmki_find_prev(vma->mm, vma->start);
    if (prev != NULL && prev->end == vma->start && may_lend(prev, vma))
        return prev->anon_vma;
    if (VMKI_BROKEN(anon_order) && next != NULL && next->start == vma->end && may_lend(next, vma))
        return next->anon_vma;
    return NULL;
}

/* mm->anon_lock makes two faults in one area, or in neighbours, agree. */
int vmki_anon_vma_prepare(struct vmk_vma *vma)
{
    struct vmk_mm *mm = vma->mm;
    struct vmki_anon_vma *anon_vma;
    int error = 0;

    if (VMKI_LIKELY(vmki_load_acquire(&vma->anon_vma) != NULL))
        return 0;
    vmk_sync_mutex_lock(&mm->anon_lock);
    if (vma->anon_vma == NULL) {
        anon_vma = anon_vma_of_neighbour(vma);
        if (anon_vma != NULL) {
            vmki_anon_vma_get(anon_vma);
            VMKI_COUNT(mm, anon_vma_reused, vma->start, vma->end);
        } else {
            anon_vma = vmki_anon_vma_new(mm);
            VMKI_COUNT(mm, anon_vma_new, vma->start, vma->end);
        }
        if (anon_vma == NULL) {
            error = -VMK_ERR_HOST_NOMEM;
        } else {
            vmki_vma_bear(vma);
            vmki_store_release(&vma->anon_vma, anon_vma);
        }
    }
    vmk_sync_mutex_unlock(&mm->anon_lock);
    return error;
}
