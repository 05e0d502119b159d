/* SPDX-License-Identifier: MIT */
/* reserve.h - ranges of a foreign host in an address space: invisible, uncounted, never placed on or touched. */
#ifndef VMKI_RESERVE_H
#define VMKI_RESERVE_H

#include "mm/mm.h"

/* Does a reserved range share a byte with [start, end)? mm.lock in either way. */
bool vmki_reserved_touches(const struct vmk_mm *mm, vmk_addr start, vmk_addr end);
/* The first reserved range that ends above `address`. mm.lock in either way. */
bool vmki_reserved_next(const struct vmk_mm *mm, vmk_addr address, vmk_addr *start, vmk_addr *end);

#endif
