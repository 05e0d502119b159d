/* SPDX-License-Identifier: MIT */
/* overlay.h - write tracking: ranges of pages beside the areas, which they never split. */
#ifndef VMKI_OVERLAY_H
#define VMKI_OVERLAY_H

#include "mm/mm.h"

/*
 * [start, end) is gone or has been moved away: its pages are tracked no longer. Cannot fail. mm.lock exclusive.
 * Called by the commit of an edit when mm->overlay is not NULL.
 */
void vmki_overlay_unmapped(struct vmk_mm *mm, vmk_addr start, vmk_addr end);
/*
 * A page is about to be written: its tracking ends. 1: it was tracked; 0: it was not; -VMK_ERR_HOST_NOMEM: it was, and
 * still is. mm.lock in either way.
 */
int vmki_overlay_written(struct vmk_mm *mm, vmk_addr address);
/* The first tracked range that ends above *cursor; moves *cursor to its end. mm.lock in either way. */
bool vmki_overlay_next(struct vmk_mm *mm, vmk_addr *cursor, vmk_addr *start, vmk_addr *end);
/* NULL, or the invariant that is broken. mm.lock in either way. */
const char *vmki_overlay_validate(struct vmk_mm *mm);
/* The address space ends: nothing is tracked in it any more. mm.lock exclusive, or the last reference. */
void vmki_overlay_free(struct vmk_mm *mm);

#endif
