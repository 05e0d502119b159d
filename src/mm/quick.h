/* SPDX-License-Identifier: MIT */
/*
 * quick.h - the short way of the three commonest calls, for plain anonymous memory.
 *
 * Each does the whole call and returns true, or does nothing at all and returns false: then the call takes the long way
 * (plan.h), which knows every rule. Both ways have the same results, counters included; tests/unit/test_quick.c takes both
 * and compares. mm.lock exclusive.
 */
#ifndef VMKI_QUICK_H
#define VMKI_QUICK_H

#include "mm/mm.h"

bool vmki_quick_mmap(struct vmk_mm *mm, const struct vmk_mmap_request *request, struct vmk_result *result);
bool vmki_quick_munmap(struct vmk_mm *mm, const struct vmk_munmap_request *request, struct vmk_result *result);
bool vmki_quick_mprotect(struct vmk_mm *mm, const struct vmk_mprotect_request *request, struct vmk_result *result);

/* What counts as plain: a space without modes and listeners, rights without a key, an area with nothing special about it. */
bool vmki_mm_is_plain(const struct vmk_mm *mm);
bool vmki_prot_is_plain(const struct vmk_mm *mm, uint64_t prot);
bool vmki_area_is_plain(vmk_vm_flags flags, const struct vmk_vma *vma);

/*
 * What new flags of an area mean for the commit charge and RLIMIT_DATA: memory that becomes writable is charged and checked.
 * `keeps` says that it keeps its charge as it becomes read-only. 0, with VMK_VM_ACCOUNT as it will be and the pages charged;
 * or the error.
 */
static inline int vmki_protect_account(struct vmk_mm *mm, vmk_vm_flags old, uint64_t pages, bool keeps,
                                       vmk_vm_flags *flags, uint64_t *charged)
{
    const vmk_vm_flags exempt = VMK_VM_ACCOUNT | VMK_VM_WRITE | VMK_VM_HUGETLB | VMK_VM_SHARED | VMK_VM_NORESERVE;

    *charged = 0;
    if ((*flags & VMK_VM_WRITE) != 0) {
        if (!vmki_may_expand(mm, *flags, pages, 0) && vmki_may_expand(mm, old, pages, 0))
            return -VMK_ENOMEM;
        if ((old & exempt) == 0) {
            int error = vmki_charge(mm, pages);

            if (error != 0)
                return error;
            *charged = pages;
            *flags |= VMK_VM_ACCOUNT;
        }
    } else if ((old & VMK_VM_ACCOUNT) != 0 && !keeps) {
        *flags &= ~VMK_VM_ACCOUNT;
    }
    return 0;
}

#endif
