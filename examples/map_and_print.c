/* SPDX-License-Identifier: MIT */
/*
 * map_and_print - the shortest program that embeds the library: an address space, a few memory calls, and what
 * /proc/PID/maps would say.
 */
#include <stdio.h>

#include "vmakit/vmakit.h"

static void print(void *context, const char *text, size_t len)
{
    fwrite(text, 1, len, context);
}

static uint64_t map(struct vmk_mm *mm, uint64_t len, uint32_t prot)
{
    const struct vmk_mmap_request request = {.len = len, .prot = prot, .flags = VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS};
    struct vmk_result result;

    return vmk_mmap(mm, &request, &result) == 0 ? result.value : 0;
}

int main(void)
{
    struct vmk_system_options system_options;
    struct vmk_mm_options mm_options;
    struct vmk_system *system;
    struct vmk_mm *mm;

    vmk_system_options_init(&system_options, vmk_port_linux());
    vmk_mm_options_init(&mm_options);
    if (vmk_system_create(&system_options, &system) != 0 || vmk_mm_create(system, &mm_options, &mm) != 0)
        return 1;

    /* Three pages that become one area, since they are alike and touch; then the middle one changes. */
    uint64_t third = map(mm, 0x1000, VMK_PROT_READ | VMK_PROT_WRITE);
    uint64_t second = map(mm, 0x1000, VMK_PROT_READ | VMK_PROT_WRITE);
    uint64_t first = map(mm, 0x1000, VMK_PROT_READ | VMK_PROT_WRITE);
    if (first == 0 || second == 0 || third == 0)
        return 1;
    puts("Three calls of mmap, one area:");
    vmk_report_maps(mm, print, stdout);

    const struct vmk_mprotect_request protect = {.address = second, .len = 0x1000, .prot = VMK_PROT_READ, .pkey = -1};
    if (vmk_mprotect(mm, &protect, NULL) != 0)
        return 1;
    puts("\nmprotect of the middle page splits it:");
    vmk_report_maps(mm, print, stdout);

    /* An error as Linux has it, and nothing changed by it. */
    const struct vmk_munmap_request bad = {.address = second + 1, .len = 0x1000};
    printf("\nmunmap of an unaligned address: %d (EINVAL is %d)\n", vmk_munmap(mm, &bad, NULL), VMK_EINVAL);

    struct vmk_vma_info info = {.size = sizeof(info)};
    if (vmk_mm_lookup(mm, second + 123, &info) != 0 || info.flags & VMK_VM_WRITE)
        return 1;
    printf("The page at %llx: %s\n", (unsigned long long)info.start, info.flags & VMK_VM_READ ? "readable" : "?");

    vmk_mm_put(mm);
    return vmk_system_destroy(system) == 0 ? 0 : 1;
}
