/* SPDX-License-Identifier: MIT */
/* calls.h - calls that cannot fail in a scenario of the mock port: a failure is a violation. */
#ifndef VMAKIT_TESTS_MOCK_CALLS_H
#define VMAKIT_TESTS_MOCK_CALLS_H

#include <string.h>

#include "ports/mock/mock.h"
#include "vmakit/vmakit.h"

#define PAGE UINT64_C(4096)

static inline void map_pages(struct vmk_mm *mm, vmk_addr address, uint64_t pages)
{
    const struct vmk_mmap_request request = {.address = address,
                                             .len = pages * PAGE,
                                             .prot = VMK_PROT_READ | VMK_PROT_WRITE,
                                             .flags = VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED};

    if (vmk_mmap(mm, &request, NULL) != 0)
        mock_violation("a mapping failed");
}

static inline void unmap_pages(struct vmk_mm *mm, vmk_addr address, uint64_t pages)
{
    const struct vmk_munmap_request request = {.address = address, .len = pages * PAGE};

    if (vmk_munmap(mm, &request, NULL) != 0)
        mock_violation("an unmapping failed");
}

/* For vmk_mm_validate: the first line of what it finds. `context` is a text of KEPT_LINE bytes, empty at first. */
enum { KEPT_LINE = 200 };
static inline void keep_line(void *context, const char *text, size_t len)
{
    char *line = context;

    if (line[0] == '\0' && len < KEPT_LINE)
        memcpy(line, text, len);
}

#endif
