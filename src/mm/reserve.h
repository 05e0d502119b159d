/* SPDX-License-Identifier: MIT */
/* reserve.h - ranges of a foreign host in an address space: invisible, uncounted, never placed on or touched. */
#ifndef VMKI_RESERVE_H
#define VMKI_RESERVE_H

#include "mm/mm.h"
#include "tree/ranges.h"

/* Does a reserved range share a byte with [start, end)? mm.lock in either way. */
static inline bool vmki_reserved_touches(const struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    return VMKI_UNLIKELY(mm->reserved.nr_entries != 0) && vmki_ranges_touch(&mm->reserved, start, end);
}
/* The first reserved range that ends above `address`. mm.lock in either way. */
bool vmki_reserved_next(const struct vmk_mm *mm, vmk_addr address, vmk_addr *start, vmk_addr *end);

#endif
