/* SPDX-License-Identifier: MIT */
/* prot.c - what an area's flags allow, and the protection that its page-table entries get. */
#include "mm/fault.h"

/*
 * The process itself may read whatever the processor cannot forbid: writable memory, and executable memory without EPAN
 * or a key. A foreign access goes through the kernel, which looks at READ alone (process_vm_readv of write-only memory:
 * EFAULT).
 */
static bool access_may_read(const struct vmk_settings *settings, vmk_vm_flags flags, unsigned access)
{
    if ((flags & VMK_VM_READ) != 0)
        return true;
    if ((access & VMK_ACCESS_FORCE) != 0)
        return (flags & VMK_VM_MAYREAD) != 0;
    if ((access & (VMK_ACCESS_FOREIGN | VMK_ACCESS_REMOTE)) != 0)
        return false;
    return ((flags & VMK_VM_WRITE) != 0 && settings->write_implies_read != 0) ||
           ((flags & VMK_VM_EXEC) != 0 && settings->exec_implies_read != 0);
}

/* A debugger writes private memory even where the process may not: into a copy. */
static bool access_may_write(vmk_vm_flags flags, unsigned access)
{
    if ((flags & VMK_VM_WRITE) != 0)
        return (flags & VMK_VM_SHADOW_STACK) == 0 || (access & VMK_ACCESS_FORCE) != 0;
    return (access & VMK_ACCESS_FORCE) != 0 && (flags & (VMK_VM_SHARED | VMK_VM_MAYWRITE)) == VMK_VM_MAYWRITE;
}

int vmki_check_access(const struct vmk_settings *settings, vmk_vm_flags flags, unsigned access)
{
    if ((access & VMK_ACCESS_WRITE) != 0 && !access_may_write(flags, access))
        return -VMK_EACCES;
    if ((access & VMK_ACCESS_READ) != 0 && !access_may_read(settings, flags, access))
        return -VMK_EACCES;
    if ((access & VMK_ACCESS_EXEC) != 0 && (flags & VMK_VM_EXEC) == 0)
        return -VMK_EACCES;
    return 0;
}

int vmk_vma_check_access(const struct vmk_vma *vma, unsigned access)
{
    return vmki_check_access(vma->mm->settings, vma->flags, access);
}

struct vmk_page_prot vmk_vma_page_prot(const struct vmk_mm *mm, vmk_vm_flags flags)
{
    bool writes = (flags & VMK_VM_WRITE) != 0 && (flags & VMK_VM_SHADOW_STACK) == 0;
    bool shared = (flags & VMK_VM_SHARED) != 0;
    struct vmk_page_prot prot = {
        /* PROT_NONE: present in the tables at most for the kernel. */
        .user = (flags & VMK_VM_ACCESS) != 0,
        .readable = access_may_read(mm->settings, flags, VMK_ACCESS_READ),
        .executable = (flags & VMK_VM_EXEC) != 0,
        .cow = writes && !shared,
        .pkey = (unsigned)((flags & VMK_VM_PKEY_MASK) >> VMK_VM_PKEY_SHIFT),
    };

    /* Shared memory whose writes somebody waits for; a page_mkwrite hook adds to it, which flags do not show. */
    prot.dirty_log =
        writes && shared &&
        ((flags & VMK_VM_UFFD_WP) != 0 || (mm->settings->soft_dirty != 0 && (flags & VMK_VM_SOFTDIRTY) == 0));
    prot.writable = writes && shared && !prot.dirty_log;
    return prot;
}

int64_t vmk_mm_access(struct vmk_mm *mm, vmk_addr address, void *buffer, size_t len, bool write)
{
    size_t done = 0;

    vmki_mm_read_lock(mm);
    while (done < len) {
        struct vmk_vma *vma = vmki_find(mm, address + done);
        const struct vmk_vm_ops *ops = vma != NULL ? vmki_vma_ops(vma) : NULL;
        size_t part;
        int nr;

        if (ops == NULL || ops->access == NULL || (vma->flags & (VMK_VM_IO | VMK_VM_PFNMAP)) == 0)
            break;
        part = (size_t)vmki_min(vmki_min(len - done, vma->end - (address + done)), INT32_MAX);
        nr = ops->access(vma, address + done, (char *)buffer + done, part, write);
        if (nr <= 0)
            break;
        done += (size_t)nr;
    }
    vmki_mm_read_unlock(mm);
    return done != 0 || len == 0 ? (int64_t)done : -VMK_EIO;
}
