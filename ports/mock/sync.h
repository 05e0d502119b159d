/* SPDX-License-Identifier: MIT */
/*
 * sync.h - the synchronisation header of the mock port: threads that take turns (sched.c). Every operation is a scheduling
 * point; locks know their names, so that their order is checked; what is deferred is called as early as it may be.
 */
#ifndef MOCK_SYNC_H
#define MOCK_SYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What was retired goes to the deferral at the end of each call, and its memory is given back at once. */
#define VMK_SYNC_RETIRE_BATCH 1
#define VMK_SYNC_POOL_BYTES   0
/* Writers work beside each other as soon as the tree is large enough. */
#define VMK_SYNC_LANES_AFTER  0
#define VMK_SYNC_LANES_WINDOW 16

struct vmk_sync_rwlock {
    const char *name;
    unsigned id;
};
struct vmk_sync_mutex {
    const char *name;
    unsigned id;
};
struct vmk_sync_deferred {
    struct vmk_sync_deferred *next;
};

unsigned mock_lock_new(const char *name);
const char *mock_rwlock_name(const char *expression); /* mm.lock or a lane's: both are the lock of a struct vmk_mm */
void mock_lock(unsigned id, bool shared);
bool mock_try_lock(unsigned id, bool shared);
void mock_unlock(unsigned id);
unsigned mock_current(void); /* the thread whose turn it is */

#define VMK_SYNC_THREAD() ((uintptr_t)mock_current() + 1)

#define vmk_sync_rwlock_init(lock) vmk_sync_rwlock_named((lock), mock_rwlock_name(#lock))
#define vmk_sync_mutex_init(mutex) vmk_sync_mutex_named((mutex), #mutex)

static inline void vmk_sync_rwlock_named(struct vmk_sync_rwlock *lock, const char *name)
{
    *lock = (struct vmk_sync_rwlock){name, mock_lock_new(name)};
}
static inline void vmk_sync_rwlock_destroy(struct vmk_sync_rwlock *lock)
{
    lock->name = NULL;
}
static inline void vmk_sync_read_lock(struct vmk_sync_rwlock *lock)
{
    mock_lock(lock->id, true);
}
static inline bool vmk_sync_try_read_lock(struct vmk_sync_rwlock *lock)
{
    return mock_try_lock(lock->id, true);
}
static inline void vmk_sync_read_unlock(struct vmk_sync_rwlock *lock)
{
    mock_unlock(lock->id);
}
static inline void vmk_sync_write_lock(struct vmk_sync_rwlock *lock)
{
    mock_lock(lock->id, false);
}
static inline bool vmk_sync_try_write_lock(struct vmk_sync_rwlock *lock)
{
    return mock_try_lock(lock->id, false);
}
static inline void vmk_sync_write_unlock(struct vmk_sync_rwlock *lock)
{
    mock_unlock(lock->id);
}

static inline void vmk_sync_mutex_named(struct vmk_sync_mutex *mutex, const char *name)
{
    *mutex = (struct vmk_sync_mutex){name, mock_lock_new(name)};
}
static inline void vmk_sync_mutex_destroy(struct vmk_sync_mutex *mutex)
{
    mutex->name = NULL;
}
static inline void vmk_sync_mutex_lock(struct vmk_sync_mutex *mutex)
{
    mock_lock(mutex->id, false);
}
static inline void vmk_sync_mutex_unlock(struct vmk_sync_mutex *mutex)
{
    mock_unlock(mutex->id);
}

void vmk_sync_read_enter(void);
void vmk_sync_read_exit(void);
void vmk_sync_defer(struct vmk_sync_deferred *head, void (*function)(struct vmk_sync_deferred *head));
void vmk_sync_barrier(void);

static inline void vmk_sync_thread_enter(void) {}
static inline void vmk_sync_thread_leave(void) {}
static inline void vmk_sync_fork_prepare(void) {}
static inline void vmk_sync_fork_parent(void) {}
static inline void vmk_sync_fork_child(void) {}

#endif
