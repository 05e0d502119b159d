/* SPDX-License-Identifier: MIT */
/* accounting.c - what an address space may have, and what it has: RLIMIT_*, the commit charge, max_map_count. */
#include "base/atomic.h"
#include "base/breaks.h"
#include "mm/mm.h"

/* A limit in bytes as a number of pages. */
static uint64_t limit_pages(const struct vmk_mm *mm, uint64_t limit)
{
    return limit == VMK_RLIM_INFINITY ? UINT64_MAX : limit >> mm->page_shift;
}

bool vmki_may_expand_to(const struct vmk_mm *mm, vmk_vm_flags flags, uint64_t pages, uint64_t overlap)
{
    const struct vmk_rlimit *data = &mm->rlimits.data;

    if (mm->settings->enforce_limits == 0)
        return true;
    if (VMKI_BROKEN(limit_as_net))
        overlap = 0;
    if (mm->total_vm + pages - overlap > limit_pages(mm, mm->rlimits.as.soft))
        return false;
    if (!vmki_is_data(flags) || VMKI_BROKEN(limit_data) || mm->data_vm + pages - overlap <= limit_pages(mm, data->soft))
        return true;
    /* A soft limit of 0 is checked against the hard one (facts: Limits and accounting). */
    return data->soft == 0 && !VMKI_BROKEN(limit_data_hard) &&
           mm->data_vm + pages - overlap <= limit_pages(mm, data->hard);
}

bool vmki_can_lock(const struct vmk_mm *mm)
{
    return mm->rlimits.memlock.soft != 0 || VMKI_BROKEN(lock_zero) || vmki_capable(mm, VMK_CAP_IPC_LOCK) ||
           mm->settings->enforce_limits == 0;
}

bool vmki_may_lock_in_all(const struct vmk_mm *mm, uint64_t pages)
{
    if (vmki_capable(mm, VMK_CAP_IPC_LOCK) || mm->settings->enforce_limits == 0 || VMKI_BROKEN(limit_memlock))
        return true;
    return pages <= limit_pages(mm, mm->rlimits.memlock.soft);
}

bool vmki_lock_allowed(const struct vmk_mm *mm, vmk_vm_flags flags, uint64_t bytes)
{
    return (flags & VMK_VM_LOCKED) == 0 || vmki_may_lock_in_all(mm, mm->locked_vm + (bytes >> mm->page_shift));
}

int vmki_charge_to(struct vmk_mm *mm, uint64_t pages)
{
    if (mm->whole != mm) { /* a lane, which has asked whether it can be refused */
        vmki_commit_count(mm->system, mm->place, pages);
        return 0;
    }
    return vmki_commit_charge(mm->system, pages, vmki_capable(mm, VMK_CAP_SYS_ADMIN), mm->total_vm, mm->page_shift,
                              true);
}

void vmki_uncharge_from(struct vmk_mm *mm, uint64_t pages)
{
    if (mm->whole != mm)
        vmki_commit_count(mm->system, mm->place, 0 - pages);
    else
        vmki_commit_uncharge(mm->system, pages);
}

/* ---- Huge pages ---- */

static unsigned pool_shift(const struct vmk_mm *mm)
{
    return (unsigned)(mm->settings->hugetlb_default_shift - mm->page_shift);
}

uint64_t vmki_pool_free(const struct vmk_mm *mm, unsigned huge_shift)
{
    uint64_t free = vmki_sysctl(&mm->system->sysctl.hugetlb_free_pages);

    if (huge_shift != mm->settings->hugetlb_default_shift)
        return 0;
    return free > UINT64_MAX >> pool_shift(mm) ? UINT64_MAX : free << pool_shift(mm);
}

bool vmki_pool_charge(struct vmk_mm *mm, unsigned huge_shift, uint64_t pages)
{
    uint64_t *pool = &mm->system->sysctl.hugetlb_free_pages;
    uint64_t free = vmki_load_relaxed(pool), wanted = pages >> pool_shift(mm);

    if (pages == 0)
        return true;
    if (huge_shift != mm->settings->hugetlb_default_shift)
        return false;
    do {
        if (free < wanted)
            return false;
    } while (!__atomic_compare_exchange_n(pool, &free, free - wanted, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return true;
}

void vmki_pool_uncharge(struct vmk_mm *mm, uint64_t pages)
{
    if (pages != 0)
        __atomic_add_fetch(&mm->system->sysctl.hugetlb_free_pages, pages >> pool_shift(mm), __ATOMIC_RELAXED);
}
