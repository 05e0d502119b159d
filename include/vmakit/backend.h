/* SPDX-License-Identifier: MIT */
/*
 * backend.h - what makes a plan real: page tables, host mmap, KVM memory slots, or nothing (areas only).
 *
 * For each part of a call the library asks `prepare` for every edit in order. If one refuses, `cancel` is told of those
 * that were prepared, in reverse, and the part is given up with the error (parts before it stay). Then the part is
 * committed and `apply`, which cannot fail, is called for every edit in order, between invalidate_begin and
 * invalidate_end over the part's range. Frames may be freed only after invalidate_end. All with mm.lock held exclusively.
 */
#ifndef VMAKIT_BACKEND_H
#define VMAKIT_BACKEND_H

#include "vmakit/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vmk_backend_ops {
    size_t size;      /* sizeof(struct vmk_backend_ops) */
    uint64_t granule; /* bytes that the backend maps at once; may be larger or smaller than the page size */
    int (*prepare)(void *context, struct vmk_mm *mm, const struct vmk_edit *edit);
    void (*cancel)(void *context, struct vmk_mm *mm, const struct vmk_edit *edit);
    void (*apply)(void *context, struct vmk_mm *mm, const struct vmk_edit *edit);
    void (*invalidate_begin)(void *context, struct vmk_mm *mm, vmk_addr start, vmk_addr end);
    void (*invalidate_end)(void *context, struct vmk_mm *mm, vmk_addr start, vmk_addr end);
    void (*release)(void *context, struct vmk_mm *mm); /* the address space ends */
};

/* The part of an area that shares a host page of a backend whose granule is larger than the page size. */
struct vmk_granule_share {
    vmk_addr start, end;
    vmk_vm_flags flags;
};

/*
 * The areas that share the host page around `address`, and the union of their protections (VMK_PROT_*). Fills at most
 * `max` shares and returns how many there are. Lock-free, as vmk_mm_next.
 */
VMK_API size_t vmk_mm_granule(struct vmk_mm *mm, vmk_addr address, uint64_t granule, struct vmk_granule_share *shares,
                              size_t max, uint32_t *prot);

#ifdef __cplusplus
}
#endif

#endif
