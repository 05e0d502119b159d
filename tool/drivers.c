/* SPDX-License-Identifier: MIT */
/* drivers.c - drivers whose mmap is known. */
#include "drivers.h"

#include <string.h>

/* An io_uring ring: the kernel inserts pages of its own and forbids growth. */
static int mmap_ring(struct vmk_file *file, struct vmk_mmap_description *description)
{
    (void)file;
    description->flags |= VMK_VM_DONTEXPAND | VMK_VM_MIXEDMAP;
    return 0;
}

/* The ring of io_setup cannot grow either; remap_file_pages maps it anew. */
static int mmap_aio(struct vmk_file *file, struct vmk_mmap_description *description)
{
    (void)file;
    description->flags |= VMK_VM_DONTEXPAND;
    return 0;
}

static const struct vmk_file_ops aio_ops = {.size = sizeof(aio_ops), .mmap = mmap_aio};
static const struct vmk_file_ops ring_ops = {.size = sizeof(ring_ops), .mmap = mmap_ring};

const struct vmk_file_ops *driver_ops_of(const char *name)
{
    return strstr(name, "[io_uring]") != NULL ? &ring_ops : strstr(name, "/[aio]") != NULL ? &aio_ops : NULL;
}
