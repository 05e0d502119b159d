/* SPDX-License-Identifier: MIT */
/* fault.h - what faults need of each other's files. The cases are numbered in docs/faults.md. */
#ifndef VMKI_FAULT_H
#define VMKI_FAULT_H

#include "mm/mm.h"

/* True when the flags grant all that is asked for, with no rule to look at: vmki_check_access would say 0. */
static inline bool vmki_access_is_plain(vmk_vm_flags flags, unsigned access)
{
    return (access & VMK_VM_ACCESS & ~flags) == 0 && (flags & VMK_VM_SHADOW_STACK) == 0;
}
_Static_assert(VMK_ACCESS_READ == VMK_VM_READ && VMK_ACCESS_WRITE == VMK_VM_WRITE && VMK_ACCESS_EXEC == VMK_VM_EXEC,
               "kinds of access are the flags that grant them");
/* 0 or -VMK_EACCES: may memory with these flags be accessed so (enum vmk_access)? */
int vmki_check_access(const struct vmk_settings *settings, vmk_vm_flags flags, unsigned access);

/*
 * Grows the GROWSDOWN area above `address` so that it contains it. mm.lock exclusive; the address is page aligned and lies
 * below the area, with no other area in between. 0; -VMK_EPERM below mmap_min_addr; -VMK_ENOMEM for a neighbour in the
 * guard gap or a limit (the area may have got an anon_vma all the same, as in Linux); -VMK_ERR_HOST_NOMEM; what a backend
 * says. An error leaves the bounds as they were.
 */
int vmki_stack_grow(struct vmk_mm *mm, struct vmk_vma *vma, vmk_addr address);

#endif
