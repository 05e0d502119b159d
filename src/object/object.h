/* SPDX-License-Identifier: MIT */
/*
 * object.h - objects, files, anon_vmas and the reverse map, inside.
 *
 * The reverse map knows a struct vmki_rmap_link, which a file's area embeds; it never sees an area. Lock: object.rmap
 * (system->rmap_lock).
 */
#ifndef VMKI_OBJECT_H
#define VMKI_OBJECT_H

#include "base/base.h"
#include "system/system.h"
#include "vmakit/object.h"

/* What an area is to its object: a range of the object's bytes. Linked in object->links. */
struct vmki_rmap_link {
    struct vmki_rmap_link *next, *prev; /* object.rmap */
    uint64_t start, end;                /* bytes of the object; object.rmap */
    const struct vmki_rmap_ops *ops;
};

/* What the reverse map asks of the owner of a link. */
struct vmki_rmap_ops {
    void (*describe)(const struct vmki_rmap_link *link, uint64_t start, uint64_t end, struct vmk_mapping *mapping);
};

struct vmk_object {
    struct vmk_system *system;
    uint32_t refs; /* atomic */
    enum vmk_object_kind kind;
    uint64_t id;
    uint64_t nr_bytes; /* atomic */
    uint64_t max_bytes;
    uint32_t dev_major, dev_minor;
    uint64_t inode;
    unsigned huge_shift;
    bool is_internal;      /* shared anonymous memory or MAP_HUGETLB: made by mmap itself */
    uint64_t commit_pages; /* charged for this object; given back with it */
    uint64_t huge_pages;   /* reserved from the pool for it */
    void *user;
    struct vmki_rmap_link *links; /* object.rmap */
};

struct vmk_file {
    struct vmk_sync_deferred deferred; /* first; its memory waits for readers of its areas */
    struct vmk_object *object;         /* a reference */
    uint32_t refs;                     /* atomic */
    uint32_t mode;                     /* enum vmk_file_mode */
    uint32_t seals;                    /* atomic */
    const struct vmk_file_ops *ops;
    const struct vmk_vm_ops *vm_ops;
    uint64_t id;
    void *user;
    struct vmk_mm *aio_mm; /* the ring of an aio context of this address space, or NULL; mm.lock, as the next two */
    vmk_addr aio_base;     /* where the context is: the start of what was moved last */
    uint64_t aio_len;      /* of its pages, 0 once the context is gone; faults of fork children read it, with no lock */
    size_t name_size;      /* with its zero */
    char name[];
};

/* Shared anonymous memory: an object and file of its own, named as Linux names it. NULL when memory is short. */
struct vmk_file *vmki_file_new_internal(struct vmk_system *system, enum vmk_object_kind kind, uint64_t nr_bytes,
                                        const char *name);

/*
 * The identity that tells private pages apart: shared by the areas that were one, or that a fault let share. Freed, after
 * readers, with its last area.
 */
struct vmki_anon_vma {
    struct vmki_anon_vma *retired; /* link of a retired one */
    uint32_t refs;                 /* atomic: areas, in any address space */
    uint64_t id;
};

void vmki_rmap_insert(struct vmk_object *object, struct vmki_rmap_link *link);
void vmki_rmap_remove(struct vmk_object *object, struct vmki_rmap_link *link);

#endif
