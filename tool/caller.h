/* SPDX-License-Identifier: MIT */
/* caller.h - who made a call: the instruction itself, and, where that is a wrapper of a library, who called the wrapper. */
#ifndef VMAKIT_TOOL_CALLER_H
#define VMAKIT_TOOL_CALLER_H

#include "vmakit/vmakit.h"

struct caller {
    uint64_t ip;   /* the instruction of the call; 0: not known */
    uint64_t from; /* where the function that holds it returns to; 0: not known, or ip is not in a shared library */
};

/* Reads the memory of a stopped task; false when some of it cannot be read. */
typedef bool caller_read_fn(void *context, uint64_t address, void *buffer, size_t len);

/*
 * Looks for the return address among the words at the stack pointer `sp`: the first that points behind a call
 * instruction. Wrappers of system calls keep little or nothing on the stack, so this is the wrapper's own nearly always;
 * a stale word could pass for it. x86-64; elsewhere `from` stays 0.
 */
struct caller caller_find(struct vmk_mm *mm, uint64_t ip, uint64_t sp, caller_read_fn *read, void *context);

/* A place in a file that is mapped, or in another area. */
struct caller_place {
    const char *name; /* of the file; "[anonymous]" and the like without one; valid as long as the area */
    uint64_t offset;  /* in the file; in the area without one */
};
struct caller_place caller_place_of(struct vmk_mm *mm, uint64_t address);

/* Is a file the C library or its dynamic loader? Those ask for the page size. */
bool caller_is_libc(const char *name);

#endif
