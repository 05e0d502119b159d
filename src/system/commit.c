/* SPDX-License-Identifier: MIT */
/*
 * commit.c - the commit charge (overcommit accounting) of a system.
 *
 * Mode 0 refuses a single charge beyond all memory and swap; mode 1 nothing; mode 2 keeps the sum below a limit, less a
 * reserve for the administrator and one for the user's own recovery (proc_sys_vm(5); facts: Limits and accounting).
 */
#include "base/atomic.h"
#include "system/system.h"

uint64_t vmk_system_commit_limit(const struct vmk_system *system)
{
    const struct vmk_sysctl *sysctl = &system->sysctl;
    unsigned kb_shift = (unsigned)system->settings->values.page_shift - 10;
    uint64_t kbytes = vmki_sysctl(&sysctl->overcommit_kbytes);
    uint64_t ram = vmki_sysctl(&sysctl->total_ram_pages), huge = vmki_sysctl(&sysctl->hugetlb_total_pages);
    uint64_t limit = kbytes >> kb_shift;

    if (kbytes == 0)
        limit = (ram - vmki_min(ram, huge)) * vmki_sysctl(&sysctl->overcommit_ratio) / 100;
    return limit + vmki_sysctl(&sysctl->total_swap_pages);
}

/* Mode 2: is `committed`, the new charge included, within the limit? */
static bool commit_fits(const struct vmk_system *system, uint64_t committed, bool privileged, uint64_t total_vm,
                        unsigned page_shift)
{
    uint64_t allowed = vmk_system_commit_limit(system), user;
    unsigned kb_shift = page_shift - 10;

    if (!privileged) {
        uint64_t admin = vmki_sysctl(&system->sysctl.admin_reserve_kbytes) >> kb_shift;

        allowed -= vmki_min(allowed, admin);
    }
    user = vmki_sysctl(&system->sysctl.user_reserve_kbytes) >> kb_shift;
    allowed -= vmki_min(allowed, vmki_min(total_vm / 32, user));
    return committed < allowed;
}

/* What lanes count. */
static uint64_t commit_apart(const struct vmk_system *system)
{
    const struct vmki_commit_stripe *stripes = vmki_load_acquire(&system->commit_stripes);
    uint64_t pages = 0;

    for (unsigned i = 0; stripes != NULL && i < VMKI_NR_COMMIT_STRIPES; i++)
        pages += vmki_load_relaxed(&stripes[i].pages);
    return pages;
}

void vmki_commit_add_stripes(struct vmk_system *system)
{
    const size_t size = VMKI_NR_COMMIT_STRIPES * sizeof(struct vmki_commit_stripe);
    struct vmki_commit_stripe *stripes, *none = NULL;

    if (vmki_load_relaxed(&system->commit_stripes) != NULL)
        return;
    stripes = vmki_alloc(system, size, 64);
    if (stripes == NULL)
        return;
    memset(stripes, 0, size);
    if (!__atomic_compare_exchange_n(&system->commit_stripes, &none, stripes, false, __ATOMIC_RELEASE,
                                     __ATOMIC_RELAXED))
        vmki_free(system, stripes, size);
}

void vmki_commit_count(struct vmk_system *system, unsigned place, uint64_t pages)
{
    struct vmki_commit_stripe *stripes = vmki_load_acquire(&system->commit_stripes);

    __atomic_add_fetch(stripes != NULL ? &stripes[place % VMKI_NR_COMMIT_STRIPES].pages : &system->committed, pages,
                       __ATOMIC_RELAXED);
}

/* Mode 0 looks at each request alone; in mode 2 the last of many requests is the one that has the least left. */
static bool charge_fits(const struct vmk_system *system, uint64_t committed, uint64_t largest, bool privileged,
                        uint64_t total_vm, unsigned page_shift)
{
    switch (vmki_sysctl(&system->sysctl.overcommit_memory)) {
    case VMK_OVERCOMMIT_ALWAYS:
        return true;
    case VMK_OVERCOMMIT_GUESS:
        return largest <= vmki_sysctl(&system->sysctl.total_ram_pages) + vmki_sysctl(&system->sysctl.total_swap_pages);
    default:
        return commit_fits(system, committed + commit_apart(system), privileged, total_vm, page_shift);
    }
}

static VMKI_INLINE int charge(struct vmk_system *system, uint64_t pages, uint64_t largest, bool privileged,
                              uint64_t total_vm, unsigned page_shift, bool enforce)
{
    uint64_t committed = __atomic_add_fetch(&system->committed, pages, __ATOMIC_RELAXED);

    if (!enforce || charge_fits(system, committed, largest, privileged, total_vm, page_shift))
        return 0;
    __atomic_sub_fetch(&system->committed, pages, __ATOMIC_RELAXED);
    return -VMK_ENOMEM;
}

int vmki_commit_charge_many(struct vmk_system *system, uint64_t pages, uint64_t largest, bool privileged,
                            uint64_t total_vm, unsigned page_shift, bool enforce)
{
    return charge(system, pages, largest, privileged, total_vm, page_shift, enforce);
}

int vmki_commit_charge(struct vmk_system *system, uint64_t pages, bool privileged, uint64_t total_vm,
                       unsigned page_shift, bool enforce)
{
    if (system->commit != NULL)
        return system->commit->charge(system->commit->context, pages, privileged);
    return charge(system, pages, pages, privileged, total_vm, page_shift, enforce);
}

void vmki_commit_uncharge(struct vmk_system *system, uint64_t pages)
{
    if (system->commit != NULL)
        system->commit->uncharge(system->commit->context, pages);
    else
        __atomic_sub_fetch(&system->committed, pages, __ATOMIC_RELAXED);
}

uint64_t vmk_system_committed(const struct vmk_system *system)
{
    return __atomic_load_n(&system->committed, __ATOMIC_RELAXED) + commit_apart(system);
}
