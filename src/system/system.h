/* SPDX-License-Identifier: MIT */
/* system.h - struct vmk_system inside: memory, identities, commit charge. */
#ifndef VMKI_SYSTEM_H
#define VMKI_SYSTEM_H

#include "base/atomic.h"
#include "base/base.h"
#include "base/sync.h"
#include "vmakit/system.h"

/* A set of settings that address spaces share; a reference each. */
struct vmki_settings {
    uint32_t refs; /* atomic */
    struct vmk_settings values;
};

/* What a system needs of each of its address spaces, which embed one. */
struct vmki_member {
    struct vmki_member *next, *prev; /* system->lock */
    struct vmk_sync_rwlock *lock;    /* mm.lock, and the one inside it */
    struct vmk_sync_mutex *inner_lock;
    struct vmk_sync_rwlock *(*more_lock)(struct vmki_member *member, unsigned number); /* its lanes', or NULL */
    void (*add_counters)(struct vmki_member *member, struct vmk_counters *sum);
    void (*flush)(struct vmki_member *member); /* hands what waits for readers to the deferral */
};

/* A batch of memory that waits to be used again (pool.c). */
struct vmki_pooled {
    struct vmki_pooled *next;
    size_t nr_bytes; /* its own and those of what it carries */
    void (*free)(struct vmk_system *system, struct vmki_pooled *batch);
};

/* The most bytes that are kept: what a busy writer retires while one grace period passes. */
#if defined(VMK_SYNC_POOL_BYTES) /* the synchronisation header's */
enum { VMKI_POOL_BYTES = VMK_SYNC_POOL_BYTES };
#elif defined(__SANITIZE_ADDRESS__)
enum { VMKI_POOL_BYTES = 0 }; /* so that a use after the end is seen */
#elif defined(VMK_SYNC_IMMEDIATE)
enum { VMKI_POOL_BYTES = 8 << 10 };
#else
enum { VMKI_POOL_BYTES = 4 << 20 };
#endif

/* What is charged where nothing depends on the sum: by processor, so that writers share no memory that they write. */
enum { VMKI_NR_COMMIT_STRIPES = 16, VMKI_MAX_MORE_LOCKS = 37 };
struct vmki_commit_stripe {
    uint64_t pages; /* atomic; modulo 2^64 */
    uint64_t unused[7];
};

struct vmk_system {
    struct vmk_port port;
    struct vmki_settings *settings;
    struct vmk_sysctl sysctl;                  /* each word read and written atomically */
    uint64_t committed;                        /* pages, atomic; without those of the stripes */
    struct vmki_commit_stripe *commit_stripes; /* atomic; NULL until writers run beside each other */
    uint64_t next_id;                          /* identities of anon_vmas, atomic */
    uint64_t nr_children;                      /* address spaces, objects and files that are alive, atomic */
    struct vmk_sync_mutex lock;                /* guards gone and members */
    struct vmk_counters gone;                  /* sums of address spaces that have ended */
    struct vmki_member *members;               /* all address spaces */
    struct vmk_sync_mutex rmap_lock;           /* guards the list of areas of every object (object.rmap) */
    struct vmk_sync_mutex pool_lock;           /* innermost */
    struct vmki_pooled *pool;                  /* pool_lock; read without it too */
    size_t pool_bytes;                         /* pool_lock */
    const struct vmk_commit_ops *commit;
    vmk_trace_fn *trace;
    void *trace_context;
    void *user;
};

/* NULL when memory is short. Not cleared. */
void *vmki_alloc(struct vmk_system *system, size_t size, size_t align);
void vmki_free(struct vmk_system *system, void *memory, size_t size);

/* Keeps a batch for a later take; false when there is enough. */
bool vmki_pool_put(struct vmk_system *system, struct vmki_pooled *batch);
/* NULL when there is none. */
struct vmki_pooled *vmki_pool_take(struct vmk_system *system);
/* Gives everything to the port. */
void vmki_pool_trim(struct vmk_system *system);

/* A number that no other anon_vma of this system has; never 0. */
uint64_t vmki_system_new_id(struct vmk_system *system);
static inline uint64_t vmki_sysctl(const uint64_t *word)
{
    return vmki_load_relaxed(word);
}

/*
 * Charges pages to the commit limit: 0 or -VMK_ENOMEM. `privileged` may use the administrator's reserve; `total_vm` is
 * the size of the address space that asks, for the reserve that mode 2 keeps for users. Without `enforce` it only counts.
 */
int vmki_commit_charge(struct vmk_system *system, uint64_t pages, bool privileged, uint64_t total_vm,
                       unsigned page_shift, bool enforce);
/*
 * The same for many areas at once, `pages` in all: as if each were charged by itself, the largest of them of `largest` pages.
 * Not with an embedder's own commit operations, who is to hear of each.
 */
int vmki_commit_charge_many(struct vmk_system *system, uint64_t pages, uint64_t largest, bool privileged,
                            uint64_t total_vm, unsigned page_shift, bool enforce);
/*
 * Counts `pages` (modulo 2^64) with no question asked: in modes 0 and 1, and no more than there are in all. Who counts beside
 * others passes another `place`, any number.
 */
void vmki_commit_count(struct vmk_system *system, unsigned place, uint64_t pages);
/* Makes room to count in several places; without memory all is counted in one. */
void vmki_commit_add_stripes(struct vmk_system *system);
void vmki_commit_uncharge(struct vmk_system *system, uint64_t pages);

/* Adds every counter of `more` to `sum`; `more` may be counting. */
void vmki_counters_add(struct vmk_counters *sum, const struct vmk_counters *more);

void vmki_system_join(struct vmk_system *system, struct vmki_member *member);
void vmki_system_part(struct vmk_system *system, struct vmki_member *member);

struct vmki_settings *vmki_settings_get(struct vmki_settings *settings);
void vmki_settings_put(struct vmk_system *system, struct vmki_settings *settings);
/* 0; -VMK_ERR_UNSUPPORTED for what Linux can be but this library cannot, -VMK_ERR_MISUSE for what nothing can be. */
int vmki_settings_error(const struct vmk_settings *settings);
struct vmki_settings *vmki_settings_new(struct vmk_system *system, const struct vmk_settings *values);

#endif
