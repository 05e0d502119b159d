/* SPDX-License-Identifier: MIT */
/*
 * system.h - struct vmk_system: what address spaces share (the machine's limits, the commit charge, counters).
 */
#ifndef VMAKIT_SYSTEM_H
#define VMAKIT_SYSTEM_H

#include "vmakit/port.h"
#include "vmakit/settings.h"
#include "vmakit/types.h"

#ifdef __cplusplus
extern "C" {
#endif

enum vmk_overcommit { VMK_OVERCOMMIT_GUESS = 0, VMK_OVERCOMMIT_ALWAYS = 1, VMK_OVERCOMMIT_NEVER = 2 };

/* The machine-wide knobs of /proc/sys/vm, and the sizes that they are compared with; all in pages or as Linux has them. */
struct vmk_sysctl {
    uint64_t max_map_count;        /* 65530 */
    uint64_t overcommit_memory;    /* enum vmk_overcommit */
    uint64_t overcommit_ratio;     /* per cent, 50 */
    uint64_t overcommit_kbytes;    /* 0: use the ratio */
    uint64_t user_reserve_kbytes;  /* 131072 */
    uint64_t admin_reserve_kbytes; /* 8192 */
    uint64_t total_ram_pages;
    uint64_t total_swap_pages;
    uint64_t hugetlb_free_pages; /* of the default size: what the pool can still reserve */
    uint64_t legacy_va_layout;   /* 1: bottom-up for new address spaces */
    uint64_t unprivileged_userfaultfd;
    uint64_t
        hugetlb_total_pages; /* what all pools of huge pages hold, in pages of the ordinary size: the ratio leaves it out */
};

/*
 * Keeps the commit charge elsewhere, for hosts whose address spaces live in several processes. charge returns 0 or
 * -VMK_ENOMEM; both are called with mm.lock held and must neither sleep nor call back.
 */
struct vmk_commit_ops {
    int (*charge)(void *context, uint64_t pages, bool privileged);
    void (*uncharge)(void *context, uint64_t pages);
    void *context;
};

/* Counters of a system or of one address space, from one list. */
#define VMK_COUNTERS(X)                                                                                                \
    X(mmap)                                                                                                            \
    X(munmap)                                                                                                          \
    X(mprotect)                                                                                                        \
    X(mremap)                                                                                                          \
    X(brk)                                                                                                             \
    X(madvise)                                                                                                         \
    X(mlock)                                                                                                           \
    X(fork)                                                                                                            \
    X(fault)                                                                                                           \
    X(stack_growth)                                                                                                    \
    X(split)                                                                                                           \
    X(merge_prev)                                                                                                      \
    X(merge_next)                                                                                                      \
    X(merge_both)                                                                                                      \
    X(refuse_flags)                                                                                                    \
    X(refuse_file)                                                                                                     \
    X(refuse_pgoff)                                                                                                    \
    X(refuse_anon_vma)                                                                                                 \
    X(refuse_policy)                                                                                                   \
    X(refuse_uffd)                                                                                                     \
    X(refuse_name)                                                                                                     \
    X(refuse_close)                                                                                                    \
    X(refuse_special)                                                                                                  \
    X(anon_vma_new)                                                                                                    \
    X(anon_vma_reused)                                                                                                 \
    X(vma_new)                                                                                                         \
    X(vma_freed)                                                                                                       \
    X(alloc_failed)

struct vmk_counters {
#define VMK_COUNTER_FIELD(name) uint64_t name;
    VMK_COUNTERS(VMK_COUNTER_FIELD)
#undef VMK_COUNTER_FIELD
};

/*
 * One id a counter; a trace event of that name is sent where the counter is raised. refuse_* and alloc_failed are only
 * counted: a refused merge has no range of its own.
 */
enum vmk_event {
#define VMK_EVENT_ID(name) VMK_EVENT_##name,
    VMK_COUNTERS(VMK_EVENT_ID)
#undef VMK_EVENT_ID
        VMK_EVENT_COUNT
};

/*
 * Receives trace events; called with mm.lock held, must not call back. start and end are the range concerned, as far as it
 * is known at that moment; 0 and 0 otherwise.
 */
typedef void vmk_trace_fn(void *context, enum vmk_event event, struct vmk_mm *mm, vmk_addr start, vmk_addr end);

/* Name of an event and its counter, e.g. "merge_prev"; NULL for a bad id. */
VMK_API const char *vmk_event_name(enum vmk_event event);

struct vmk_system_options {
    size_t size;                  /* sizeof(struct vmk_system_options) */
    const struct vmk_port *port;  /* required; must outlive the system */
    struct vmk_settings settings; /* default of its address spaces */
    struct vmk_sysctl sysctl;
    const struct vmk_commit_ops *commit; /* NULL: counted here; must outlive the system */
    vmk_trace_fn *trace;                 /* NULL for none */
    void *trace_context;
    void *user; /* the embedder's */
};

/* Defaults: Linux 6.18 on x86-64, 16 GiB of memory, no swap, the Linux defaults of /proc/sys/vm. */
VMK_API void vmk_system_options_init(struct vmk_system_options *options, const struct vmk_port *port);

/*
 * Creates a system. Errors: -VMK_ERR_MISUSE (size, port, a setting or sysctl that cannot be), -VMK_ERR_UNSUPPORTED (a
 * 32-bit task, a Linux before 6.1, ...: docs/limits.md; vmk_settings_check names the setting), -VMK_ERR_HOST_NOMEM.
 * The caller owns *system and gives it back with vmk_system_destroy after its last address space and file are gone
 * (-VMK_EBUSY before; nothing is destroyed then).
 */
VMK_API int vmk_system_create(const struct vmk_system_options *options, struct vmk_system **system);
VMK_API int vmk_system_destroy(struct vmk_system *system);

VMK_API void *vmk_system_user(const struct vmk_system *system);
VMK_API const struct vmk_settings *vmk_system_settings(const struct vmk_system *system);
/* Reads or replaces the knobs. set: -VMK_ERR_MISUSE for a mode that does not exist. Safe at any time. */
VMK_API void vmk_system_sysctl(const struct vmk_system *system, struct vmk_sysctl *sysctl);
VMK_API int vmk_system_set_sysctl(struct vmk_system *system, const struct vmk_sysctl *sysctl);
/* Pages charged to the commit limit now (0 with commit callbacks), and the limit that mode 2 compares with. */
VMK_API uint64_t vmk_system_committed(const struct vmk_system *system);
VMK_API uint64_t vmk_system_commit_limit(const struct vmk_system *system);
/* Sums of all address spaces, those that are gone included. */
VMK_API void vmk_system_counters(struct vmk_system *system, struct vmk_counters *counters);

/*
 * A thread begins, or stops, using the system's address spaces. With the pthread synchronisation the first lookup of a
 * thread does the same by itself; with others see the synchronisation header.
 */
VMK_API void vmk_thread_enter(struct vmk_system *system);
VMK_API void vmk_thread_leave(struct vmk_system *system);
/*
 * Waits until everything that readers held back is freed, with what address spaces keep for their next call. Not from a
 * reader, a hook or with a plan open.
 */
VMK_API void vmk_system_quiesce(struct vmk_system *system);

/*
 * Around the host's own fork(2): prepare takes every lock of the system, parent and child release them in their process.
 * No plan may be open in the calling thread.
 */
VMK_API void vmk_system_fork_prepare(struct vmk_system *system);
VMK_API void vmk_system_fork_parent(struct vmk_system *system);
VMK_API void vmk_system_fork_child(struct vmk_system *system);

#ifdef __cplusplus
}
#endif

#endif
