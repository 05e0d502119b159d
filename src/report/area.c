/* SPDX-License-Identifier: MIT */
#include "report/report.h"

#include "base/base.h"

bool vmki_report_next(struct vmk_mm *mm, vmk_addr *cursor, struct vmki_report_area *area)
{
    memset(area, 0, sizeof(*area));
    area->info.size = sizeof(area->info);

    vmk_mm_lock_read(mm);
    const struct vmk_vma *vma = vmk_mm_find(mm, *cursor);
    if (vma != NULL) {
        vmk_vma_get_info(vma, &area->info);
        size_t len = vmk_vma_name(vma, area->name, sizeof(area->name));
        if (area->info.file != NULL) {
            vmk_file_get(area->info.file);
            if (len >= sizeof(area->name))
                area->long_name = vmk_file_name(area->info.file);
        }
    }
    vmk_mm_unlock_read(mm);
    if (vma == NULL)
        return false;

    *cursor = area->info.end;
    if (area->info.file != NULL) {
        const struct vmk_object *object = vmk_file_object(area->info.file);
        area->offset = area->info.pgoff << vmk_mm_settings(mm)->page_shift;
        area->inode = vmk_object_inode(object);
        vmk_object_device(object, &area->major, &area->minor);
    }
    return true;
}

void vmki_report_done(struct vmki_report_area *area)
{
    if (area->info.file != NULL)
        vmk_file_put(area->info.file);
    area->info.file = NULL;
    area->long_name = NULL;
}

const char *vmki_report_name(const struct vmki_report_area *area)
{
    return area->long_name != NULL ? area->long_name : area->name;
}

void vmki_report_perms(vmk_vm_flags flags, char perms[5])
{
    perms[0] = flags & VMK_VM_READ ? 'r' : '-';
    perms[1] = flags & VMK_VM_WRITE ? 'w' : '-';
    perms[2] = flags & VMK_VM_EXEC ? 'x' : '-';
    perms[3] = flags & VMK_VM_MAYSHARE ? 's' : 'p';
    perms[4] = '\0';
}

/*
 * VmExe is the program's text by its marks, but no more than there is of executable memory; VmLib is the rest of
 * that.
 */
void vmki_report_count(struct vmk_mm *mm, struct vmki_report_counts *counts)
{
    const uint64_t shift = vmk_mm_settings(mm)->page_shift;
    const uint64_t mask = (UINT64_C(1) << shift) - 1;
    struct vmk_mm_layout layout;

    memset(counts, 0, sizeof(*counts));
    counts->stats.size = sizeof(counts->stats);
    vmk_mm_get_stats(mm, &counts->stats);
    vmk_mm_get_layout(mm, &layout);
    counts->exe = (((layout.end_code + mask) & ~mask) - (layout.start_code & ~mask)) >> shift;
    if (counts->exe > counts->stats.exec_vm)
        counts->exe = counts->stats.exec_vm;
    counts->lib = counts->stats.exec_vm - counts->exe;
}
