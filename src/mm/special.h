/* SPDX-License-Identifier: MIT */
/* special.h - areas that the kernel makes for itself. */
#ifndef VMKI_SPECIAL_H
#define VMKI_SPECIAL_H

#include "mm/plan.h"

/*
 * Prepares plan->area, with its edit for the embedder, for the area that `request` asks for, at `address`, whose place has
 * been chosen. 0 or negative; allocates.
 */
int vmki_special_prepare(struct vmki_plan *plan, const struct vmk_map_special_request *request, vmk_addr address);

#endif
