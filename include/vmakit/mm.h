/* SPDX-License-Identifier: MIT */
/*
 * mm.h - struct vmk_mm: an address space.
 *
 * Users and references are counted apart, as Linux's mmput and mmdrop do: with the last user (vmk_mm_put) its areas go;
 * with the last reference (vmk_mm_drop) the structure goes.
 */
#ifndef VMAKIT_MM_H
#define VMAKIT_MM_H

#include "vmakit/settings.h"
#include "vmakit/system.h"
#include "vmakit/types.h"
#include "vmakit/vma.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VMK_RLIM_INFINITY UINT64_MAX

struct vmk_rlimit {
    uint64_t soft, hard; /* bytes, or VMK_RLIM_INFINITY */
};

/* Limits of the process that owns an address space; all in bytes. */
struct vmk_rlimits {
    struct vmk_rlimit as, data, stack, memlock;
};

/* What the process may do. */
enum vmk_capability {
    VMK_CAP_IPC_LOCK = 1u << 0,
    VMK_CAP_SYS_ADMIN = 1u << 1,
    VMK_CAP_SYS_RESOURCE = 1u << 2,
    VMK_CAP_SYS_RAWIO = 1u << 3, /* may map below mmap_min_addr */
    VMK_CAP_SYS_NICE = 1u << 4,
    VMK_CAP_SYS_PTRACE = 1u << 5
};

struct vmk_backend_ops;

struct vmk_mm_options {
    size_t size;                         /* sizeof(struct vmk_mm_options) */
    const struct vmk_settings *settings; /* NULL: the system's; copied */
    struct vmk_rlimits rlimits;
    uint32_t capabilities;                 /* enum vmk_capability */
    uint32_t personality;                  /* VMK_ADDR_NO_RANDOMIZE, VMK_ADDR_COMPAT_LAYOUT, VMK_READ_IMPLIES_EXEC */
    uint64_t seed;                         /* of the randomised layout; used unless VMK_ADDR_NO_RANDOMIZE */
    vmk_addr mmap_base;                    /* 0: from the stack limit, the settings and the seed */
    vmk_addr window_low, window_high;      /* free placement stays inside; 0, 0: the whole address space */
    const struct vmk_backend_ops *backend; /* vmakit/backend.h; NULL: areas only */
    void *backend_context;
    void *user;
};

/* Defaults: the system's settings, Linux's default limits (8 MiB of stack, 8 MiB of locked memory), no randomisation. */
VMK_API void vmk_mm_options_init(struct vmk_mm_options *options);

/*
 * Creates an empty address space with one user and one reference; end it with vmk_mm_put.
 * Errors: -VMK_ERR_MISUSE, -VMK_ERR_UNSUPPORTED (a 32-bit task, ...: as vmk_system_create), -VMK_ERR_HOST_NOMEM.
 */
VMK_API int vmk_mm_create(struct vmk_system *system, const struct vmk_mm_options *options, struct vmk_mm **mm);
VMK_API void vmk_mm_get(struct vmk_mm *mm); /* one more user */
VMK_API void
vmk_mm_put(struct vmk_mm *mm); /* one user less; the last one ends the areas (exit) and drops a reference */
VMK_API void vmk_mm_grab(struct vmk_mm *mm); /* one more reference */
VMK_API void vmk_mm_drop(struct vmk_mm *mm);

VMK_API struct vmk_system *vmk_mm_system(const struct vmk_mm *mm);
VMK_API const struct vmk_settings *vmk_mm_settings(const struct vmk_mm *mm);
VMK_API void *vmk_mm_user(const struct vmk_mm *mm);
VMK_API void vmk_mm_set_user(struct vmk_mm *mm, void *user);

/* Limits and capabilities may change at any time; each call takes mm.lock. */
VMK_API void vmk_mm_get_rlimits(struct vmk_mm *mm, struct vmk_rlimits *rlimits);
VMK_API void vmk_mm_set_rlimits(struct vmk_mm *mm, const struct vmk_rlimits *rlimits);
VMK_API void vmk_mm_set_capabilities(struct vmk_mm *mm, uint32_t capabilities);
VMK_API uint32_t vmk_mm_capabilities(struct vmk_mm *mm);
VMK_API void vmk_mm_set_personality(struct vmk_mm *mm, uint32_t personality);

/* The marks of prctl(PR_SET_MM) and of /proc/PID/stat; bytes. */
struct vmk_mm_layout {
    vmk_addr start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
    vmk_addr arg_start, arg_end, env_start, env_end;
    vmk_addr mmap_base; /* top-down: placements end below it; bottom-up: they start at mmap_legacy_base */
    vmk_addr mmap_legacy_base;
    bool top_down;
    vmk_addr task_size;
};
VMK_API void vmk_mm_get_layout(struct vmk_mm *mm, struct vmk_mm_layout *layout);
/* Sets all marks without the checks of PR_SET_MM (a loader's call): task_size is read only and ignored. */
VMK_API void vmk_mm_set_layout(struct vmk_mm *mm, const struct vmk_mm_layout *layout);

/* Counters of statm and status, in pages, and the high marks. */
struct vmk_mm_stats {
    size_t size;
    uint64_t nr_vmas, peak_vmas;
    uint64_t total_vm, peak_vm, locked_vm, pinned_vm, data_vm, exec_vm, stack_vm, shared_vm;
    uint64_t committed; /* charged to the commit limit for this address space */
    uint64_t nr_bytes;  /* of memory that the library itself spends on this address space */
};
VMK_API void vmk_mm_get_stats(struct vmk_mm *mm, struct vmk_mm_stats *stats);
VMK_API void vmk_mm_get_counters(struct vmk_mm *mm, struct vmk_counters *counters);
/* Pins are the embedder's (VmPin): adds `pages`, negative to take away. -VMK_ENOMEM: beyond RLIMIT_MEMLOCK. */
VMK_API int vmk_mm_pin(struct vmk_mm *mm, int64_t pages);

/*
 * The area that contains an address, by value. Neither allocates nor locks nor waits for a writer; may be called from a
 * signal handler or an interrupt. -VMK_ENOENT when there is none. With the pthread synchronisation the thread should
 * have entered (vmk_thread_enter) before a signal handler asks.
 */
VMK_API int vmk_mm_lookup(struct vmk_mm *mm, vmk_addr address, struct vmk_vma_info *info);
/* The same with a permission check alone: 0, -VMK_ENOENT (no area) or -VMK_EACCES. `access` is enum vmk_access. */
VMK_API int vmk_mm_check_access(struct vmk_mm *mm, vmk_addr address, unsigned access);

/*
 * Iteration by a resumable cursor, the address: gives the first area that ends above *cursor and moves *cursor to its
 * end. No lock is held between calls. Start with 0; -VMK_ENOENT after the last.
 */
VMK_API int vmk_mm_next(struct vmk_mm *mm, vmk_addr *cursor, struct vmk_vma_info *info);
/*
 * The same for many areas at a time: writes the first areas that end above *cursor into `areas`, at most `nr`, ascending, and
 * moves *cursor to the end of the last of them. Returns how many; where fewer than nr, they were the last ones, and where
 * none, *cursor stays. What lies behind them in `areas` may have been written to. The areas of one call were all there at one
 * moment; between calls the space may change. Allocates nothing; takes mm.lock, shared, only where the areas are being
 * changed meanwhile. The fastest way to see all areas.
 */
VMK_API size_t vmk_mm_next_areas(struct vmk_mm *mm, vmk_addr *cursor, struct vmk_area *areas, size_t nr);
/* Visits all areas of [start, end) under one shared lock: fast; `visit` returns false to stop. Returns the number visited. */
VMK_API size_t vmk_mm_for_each(struct vmk_mm *mm, vmk_addr start, vmk_addr end,
                               bool (*visit)(void *context, vmk_addr start, vmk_addr end, vmk_vm_flags flags),
                               void *context);
/* The first area that ends above an address, or NULL. Needs one of the locks below. */
VMK_API struct vmk_vma *vmk_mm_find(struct vmk_mm *mm, vmk_addr address);
/*
 * Shared: reports, vmk_mm_find, and all that takes no lock may be called, but nothing that takes mm.lock itself, not even
 * shared (vmk_mm_for_each does): a second time traps, or waits for ever.
 */
VMK_API void vmk_mm_lock_read(struct vmk_mm *mm);
VMK_API void vmk_mm_unlock_read(struct vmk_mm *mm);
VMK_API void vmk_mm_lock_write(struct vmk_mm *mm);
VMK_API void vmk_mm_unlock_write(struct vmk_mm *mm);

/* Where a free placement of `len` bytes would go now, without mapping it; `flags` are VMK_MAP_*. */
VMK_API int vmk_mm_unmapped_area(struct vmk_mm *mm, vmk_addr hint, uint64_t len, uint32_t flags, struct vmk_file *file,
                                 uint64_t pgoff, vmk_addr *address);
/*
 * The highest, or lowest, free range of `len` bytes inside [low, high), which is what a placement searches for: not below
 * mmap_min_addr or lsm_min_addr, not in a stack's guard gap, not on a reserved range. -VMK_ENOMEM when there is none;
 * -VMK_EINVAL for a length of 0. Takes mm.lock, shared, only where the areas are being changed meanwhile.
 */
VMK_API int vmk_mm_gap_highest(struct vmk_mm *mm, vmk_addr low, vmk_addr high, uint64_t len, vmk_addr *address);
VMK_API int vmk_mm_gap_lowest(struct vmk_mm *mm, vmk_addr low, vmk_addr high, uint64_t len, vmk_addr *address);

/*
 * A range of the host process that shares the address space: invisible, uncounted, never placed on, and refused with
 * -VMK_EEXIST wherever a call would touch it. -VMK_EEXIST when an area is there; -VMK_EINVAL unaligned.
 */
VMK_API int vmk_mm_reserve_range(struct vmk_mm *mm, vmk_addr start, vmk_addr end);
VMK_API int vmk_mm_unreserve_range(struct vmk_mm *mm, vmk_addr start, vmk_addr end);

/*
 * fork: a new address space by the rules of fork(2) and MADV_*FORK. The child has one user. Takes parent's mm.lock.
 * -VMK_ENOMEM (commit charge), -VMK_ERR_HOST_NOMEM; the parent is unchanged then.
 */
VMK_API int vmk_mm_fork(struct vmk_mm *parent, struct vmk_mm **child);
/* Applies fork's child rules in place: for a process that was forked with its embedder inside. */
VMK_API int vmk_mm_become_child(struct vmk_mm *mm);
/* Ends all areas now (exit_mmap); the address space stays usable for nothing but its last put. */
VMK_API void vmk_mm_exit(struct vmk_mm *mm);

/* ---- Notices and write tracking ---- */

enum vmk_change_kind { VMK_CHANGE_MAP, VMK_CHANGE_UNMAP, VMK_CHANGE_PROTECT, VMK_CHANGE_MOVE, VMK_CHANGE_FORK };

struct vmk_change {
    enum vmk_change_kind kind;
    vmk_addr start, end;
    vmk_vm_flags old_flags, new_flags;
    vmk_addr from; /* MOVE: where it was */
};

/* After-the-fact notices; called after the change is published, with mm.lock held; must not call back. NULL: none. */
typedef void vmk_change_fn(void *context, struct vmk_mm *mm, const struct vmk_change *change);
VMK_API void vmk_mm_set_notice(struct vmk_mm *mm, vmk_change_fn *notice, void *context);

/*
 * Write tracking for code caches and snapshots: page-granular, never splits an area, never shows in maps. A tracked page
 * makes a write fault return VMK_FAULT_TRACKED once (vmakit/fault.h) until it is tracked again. Unmapping untracks.
 * -VMK_EINVAL unaligned, -VMK_ERR_HOST_NOMEM.
 */
VMK_API int vmk_mm_track_writes(struct vmk_mm *mm, vmk_addr start, vmk_addr end);
VMK_API int vmk_mm_untrack_writes(struct vmk_mm *mm, vmk_addr start, vmk_addr end);
VMK_API bool vmk_mm_is_tracked(struct vmk_mm *mm, vmk_addr address);

/* ---- Checking ---- */

/* Receives text; `text` is not zero-terminated. */
typedef void vmk_sink_fn(void *context, const char *text, size_t len);

/* Recounts everything from scratch. 0, or the number of broken rules, each named in one line to `sink` (may be NULL). */
VMK_API unsigned vmk_mm_validate(struct vmk_mm *mm, vmk_sink_fn *sink, void *context);
/* Everything there is, as text that is equal for equal states: areas, identities, counters, limits. */
VMK_API void vmk_mm_dump(struct vmk_mm *mm, vmk_sink_fn *sink, void *context);

#ifdef __cplusplus
}
#endif

#endif
