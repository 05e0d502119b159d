/* SPDX-License-Identifier: MIT */
/*
 * port.h - what the library asks of the place where it runs.
 *
 * Function tables, given to vmk_system_create and used until vmk_system_destroy. `context` is handed back in each call.
 * Locks, atomics and RCU are not here: they are on the hot path and are chosen when compiling (VMK_SYNC_HEADER, see
 * vmakit/sync/none.h for the contract).
 */
#ifndef VMAKIT_PORT_H
#define VMAKIT_PORT_H

#include "vmakit/types.h"

#ifdef __cplusplus
extern "C" {
#endif

enum vmk_alloc_flags {
    VMK_ALLOC_MAY_SLEEP = 1u << 0, /* absent: the caller holds a lock from object.rmap inwards */
};

struct vmk_port {
    size_t size; /* sizeof(struct vmk_port), for versions to come */
    void *context;

    /*
     * Memory for the library's own structures: aligned to `align` (a power of two, at most 64), not cleared; NULL when
     * there is none. Must not re-enter an address space of this system.
     */
    void *(*alloc)(void *context, size_t size, size_t align, unsigned flags);
    void (*free)(void *context, void *memory, size_t size);

    /* 64 random bits for layouts; may be NULL: the seed of the address space alone decides. */
    uint64_t (*random)(void *context);
    /* Called between the batches of long work, without locks below mm.lock; may be NULL. */
    void (*relax)(void *context);
    /* A line for the log, without newline; may be NULL. */
    void (*log)(void *context, const char *line);
    /* A broken invariant of the library itself: must not return. May be NULL: the library then traps. */
    void (*panic)(void *context, const char *what, const char *file, unsigned line);
};

/* The hosted port: malloc, getrandom, standard error, abort. In ports/linux; not part of the core. */
VMK_API const struct vmk_port *vmk_port_linux(void);

#ifdef __cplusplus
}
#endif

#endif
