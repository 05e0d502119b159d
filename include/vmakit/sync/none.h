/* SPDX-License-Identifier: MIT */
/*
 * sync/none.h - one thread (signal handlers and interrupts may still look up): locks cost nothing.
 *
 * This file is also the contract of a synchronisation header; a core is compiled with
 * -DVMK_SYNC_HEADER='"vmakit/sync/none.h"' (the default), '"vmakit/sync/pthread.h"' or the embedder's own:
 *
 *   vmk_sync_rwlock      many readers or one writer, may sleep
 *   vmk_sync_mutex       short critical sections, no sleeping inside
 *   vmk_sync_read_enter/exit     a lock-free reader's section (RCU); nests; callable in a signal handler
 *   vmk_sync_defer(head, function)   calls function(head) when every section that was open at the call has ended
 *   vmk_sync_barrier()   returns when every deferred function has been called
 *   VMK_SYNC_PROCESSOR() (may be missing)  a small number, most often another one for each thread that runs at the same
 *                        time: for counters that threads would otherwise share
 *   VMK_SYNC_THREAD()    (may be missing)  a number that no other living thread has, not 0 and cheap: then a writer that others
 *                        write beside comes to work in a lane of its own (docs/locking.md)
 *   vmk_sync_thread_enter/leave  a thread begins or ends using the library
 *
 * Each try function returns true when it took the lock. No thread takes a lock that it holds, in whichever way.
 */
#ifndef VMAKIT_SYNC_NONE_H
#define VMAKIT_SYNC_NONE_H

#include <stdbool.h>

/* Defined where a deferred function is called at once: nothing then needs to wait. */
#define VMK_SYNC_IMMEDIATE 1

struct vmk_sync_rwlock {
    int unused;
};
struct vmk_sync_mutex {
    int unused;
};
struct vmk_sync_deferred {
    struct vmk_sync_deferred *next;
};

static inline void vmk_sync_rwlock_init(struct vmk_sync_rwlock *lock)
{
    lock->unused = 0;
}
static inline void vmk_sync_rwlock_destroy(struct vmk_sync_rwlock *lock)
{
    (void)lock;
}
static inline void vmk_sync_read_lock(struct vmk_sync_rwlock *lock)
{
    (void)lock;
}
static inline bool vmk_sync_try_read_lock(struct vmk_sync_rwlock *lock)
{
    (void)lock;
    return true;
}
static inline void vmk_sync_read_unlock(struct vmk_sync_rwlock *lock)
{
    (void)lock;
}
static inline void vmk_sync_write_lock(struct vmk_sync_rwlock *lock)
{
    (void)lock;
}
static inline bool vmk_sync_try_write_lock(struct vmk_sync_rwlock *lock)
{
    (void)lock;
    return true;
}
static inline void vmk_sync_write_unlock(struct vmk_sync_rwlock *lock)
{
    (void)lock;
}

static inline void vmk_sync_mutex_init(struct vmk_sync_mutex *mutex)
{
    mutex->unused = 0;
}
static inline void vmk_sync_mutex_destroy(struct vmk_sync_mutex *mutex)
{
    (void)mutex;
}
static inline void vmk_sync_mutex_lock(struct vmk_sync_mutex *mutex)
{
    (void)mutex;
}
static inline void vmk_sync_mutex_unlock(struct vmk_sync_mutex *mutex)
{
    (void)mutex;
}

static inline void vmk_sync_read_enter(void) {}
static inline void vmk_sync_read_exit(void) {}
static inline void vmk_sync_defer(struct vmk_sync_deferred *head, void (*function)(struct vmk_sync_deferred *head))
{
    function(head);
}
static inline void vmk_sync_barrier(void) {}
static inline void vmk_sync_thread_enter(void) {}
static inline void vmk_sync_thread_leave(void) {}
static inline void vmk_sync_fork_prepare(void) {}
static inline void vmk_sync_fork_parent(void) {}
static inline void vmk_sync_fork_child(void) {}

#endif
