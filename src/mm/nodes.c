/* SPDX-License-Identifier: MIT */
/* nodes.c - memory nodes, as far as areas and their drivers have a part in them: get_mempolicy(2), migrate_pages(2). */
#include "mm/mm.h"

static uint64_t nodes_policy_of(struct vmk_vma *vma, vmk_addr address)
{
    const struct vmk_vm_ops *ops = vmki_vma_ops(vma);
    struct vmk_vma_info info = {.size = sizeof(info)};

    if (ops != NULL && ops->get_policy != NULL)
        return ops->get_policy(vma, address);
    vmk_vma_get_info(vma, &info);
    return info.policy;
}

int vmk_mm_policy_at(struct vmk_mm *mm, vmk_addr address, uint64_t *policy)
{
    struct vmk_vma *vma;

    vmki_mm_read_lock(mm);
    vma = vmki_find(mm, address);
    if (vma != NULL)
        *policy = nodes_policy_of(vma, address);
    vmki_mm_read_unlock(mm);
    return vma != NULL ? 0 : -VMK_EFAULT;
}

int vmk_mm_migrate(struct vmk_mm *mm, uint64_t from_nodes, uint64_t to_nodes)
{
    struct vmki_cursor cursor;
    struct vmki_tree_entry entry;
    int error = 0;

    vmki_mm_lock(mm);
    VMKI_FOR_EACH_ENTRY (&cursor, &mm->tree, &entry) {
        struct vmk_vma *vma = entry.item;
        const struct vmk_vm_ops *ops = vmki_vma_ops(vma);

        if (ops != NULL && ops->migrate != NULL)
            error = ops->migrate(vma, from_nodes, to_nodes);
        if (error != 0)
            break;
    }
    vmki_mm_unlock(mm);
    return error;
}
