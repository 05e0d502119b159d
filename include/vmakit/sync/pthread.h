/* SPDX-License-Identifier: MIT */
/*
 * sync/pthread.h - POSIX threads and liburcu (the "bulletproof" flavour: a thread need not register before its first
 * lookup, and a lookup may run in a signal handler). See sync/none.h for the contract.
 */
#ifndef VMAKIT_SYNC_PTHREAD_H
#define VMAKIT_SYNC_PTHREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <urcu/urcu-bp.h>

struct vmk_sync_rwlock {
    pthread_rwlock_t lock;
};
struct vmk_sync_mutex {
    pthread_mutex_t mutex;
};
struct vmk_sync_deferred {
    struct rcu_head head;
    void (*function)(struct vmk_sync_deferred *head);
};

static inline void vmk_sync_rwlock_init(struct vmk_sync_rwlock *lock)
{
    pthread_rwlock_init(&lock->lock, NULL);
}

static inline void vmk_sync_rwlock_destroy(struct vmk_sync_rwlock *lock)
{
    pthread_rwlock_destroy(&lock->lock);
}

static inline void vmk_sync_read_lock(struct vmk_sync_rwlock *lock)
{
    pthread_rwlock_rdlock(&lock->lock);
}

static inline bool vmk_sync_try_read_lock(struct vmk_sync_rwlock *lock)
{
    return pthread_rwlock_tryrdlock(&lock->lock) == 0;
}

static inline void vmk_sync_read_unlock(struct vmk_sync_rwlock *lock)
{
    pthread_rwlock_unlock(&lock->lock);
}

static inline void vmk_sync_write_lock(struct vmk_sync_rwlock *lock)
{
    pthread_rwlock_wrlock(&lock->lock);
}

static inline bool vmk_sync_try_write_lock(struct vmk_sync_rwlock *lock)
{
    return pthread_rwlock_trywrlock(&lock->lock) == 0;
}

static inline void vmk_sync_write_unlock(struct vmk_sync_rwlock *lock)
{
    pthread_rwlock_unlock(&lock->lock);
}

static inline void vmk_sync_mutex_init(struct vmk_sync_mutex *mutex)
{
    pthread_mutex_init(&mutex->mutex, NULL);
}

static inline void vmk_sync_mutex_destroy(struct vmk_sync_mutex *mutex)
{
    pthread_mutex_destroy(&mutex->mutex);
}

static inline void vmk_sync_mutex_lock(struct vmk_sync_mutex *mutex)
{
    pthread_mutex_lock(&mutex->mutex);
}

static inline void vmk_sync_mutex_unlock(struct vmk_sync_mutex *mutex)
{
    pthread_mutex_unlock(&mutex->mutex);
}

static inline void vmk_sync_read_enter(void)
{
    urcu_bp_read_lock();
}

static inline void vmk_sync_read_exit(void)
{
    urcu_bp_read_unlock();
}

static inline void vmk_sync_deferred_call(struct rcu_head *head)
{
    struct vmk_sync_deferred *deferred = (struct vmk_sync_deferred *)(void *)head; /* its first member */

    deferred->function(deferred);
}

static inline void vmk_sync_defer(struct vmk_sync_deferred *head, void (*function)(struct vmk_sync_deferred *head))
{
    head->function = function;
    urcu_bp_call_rcu(&head->head, vmk_sync_deferred_call);
}

static inline void vmk_sync_barrier(void)
{
    urcu_bp_barrier();
}

static inline void vmk_sync_thread_enter(void)
{
    urcu_bp_register_thread();
}

static inline void vmk_sync_thread_leave(void)
{
}

static inline void vmk_sync_fork_prepare(void)
{
    urcu_bp_call_rcu_before_fork();
    urcu_bp_before_fork();
}

static inline void vmk_sync_fork_parent(void)
{
    urcu_bp_after_fork_parent();
    urcu_bp_call_rcu_after_fork_parent();
}

static inline void vmk_sync_fork_child(void)
{
    urcu_bp_after_fork_child();
    urcu_bp_call_rcu_after_fork_child();
}

#endif
