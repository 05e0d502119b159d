/* SPDX-License-Identifier: MIT */
/* granule.c - which areas share one host page, for backends that map in larger units than the address space. */
#include "mm/mm.h"
#include "vmakit/backend.h"

size_t vmk_mm_granule(struct vmk_mm *mm, vmk_addr address, uint64_t granule, struct vmk_granule_share *shares,
                      size_t max, uint32_t *prot)
{
    uint64_t unit = granule != 0 ? granule : mm->page_size;
    vmk_addr low = address - address % unit;
    vmk_addr high = unit > UINT64_MAX - low ? UINT64_MAX : low + unit;
    struct vmki_tree_entry entry;
    size_t nr = 0;

    *prot = VMK_PROT_NONE;
    vmk_sync_read_enter();
    for (vmk_addr at = low; vmki_tree_next(&mm->tree, at, &entry) && entry.start < high; at = entry.end) {
        if (nr < max)
            shares[nr] = (struct vmk_granule_share){.start = vmki_max(entry.start, low),
                                                    .end = vmki_min(entry.end, high),
                                                    .flags = entry.flags & VMKI_VM_PUBLIC};
        *prot |= vmki_flags_to_prot(entry.flags);
        nr++;
    }
    vmk_sync_read_exit();
    return nr;
}
