/* SPDX-License-Identifier: MIT */
/*
 * types.h - the types that every public header shares.
 *
 * Addresses are byte addresses.  A virtual and a physical address are distinct types by name, so that a
 * signature says which one it wants.  `end` is exclusive, `last` inclusive, `len` in bytes, `nr_` a count.
 */
#ifndef VMAKIT_TYPES_H
#define VMAKIT_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A virtual address of an address space, in bytes. */
typedef uint64_t vmk_addr;

/* A physical address, in bytes. */
typedef uint64_t vmk_paddr;

/* A number of pages, or an index of a page, in units of the address space's page size. */
typedef uint64_t vmk_pages;

/* VMK_VM_* bits (vmakit/flags.h). */
typedef uint64_t vmk_vm_flags;

/* An area as walks over many see it: [start, end) and its flags. */
struct vmk_area {
    vmk_addr start, end;
    vmk_vm_flags flags;
};

/* Opaque objects; each is created, and its life is described, in the header named beside it. */
struct vmk_system; /* vmakit/system.h: what address spaces share */
struct vmk_mm;     /* vmakit/mm.h: an address space */
struct vmk_vma;    /* vmakit/vma.h: an area of an address space */
struct vmk_object; /* vmakit/object.h: what supplies the pages behind an area */
struct vmk_file;   /* vmakit/object.h: an open file description of the embedder's */

/* Marks what the shared library exports; everything else has hidden visibility. */
#if defined(__GNUC__)
#define VMK_API __attribute__((visibility("default")))
#else
#define VMK_API
#endif

#ifdef __cplusplus
}
#endif

#endif
