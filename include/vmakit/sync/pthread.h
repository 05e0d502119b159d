/* SPDX-License-Identifier: MIT */
/*
 * sync/pthread.h - POSIX threads and liburcu (the "bulletproof" flavour: a thread need not register before its first
 * lookup, and a lookup may run in a signal handler). See sync/none.h for the contract.
 */
#ifndef VMAKIT_SYNC_PTHREAD_H
#define VMAKIT_SYNC_PTHREAD_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <urcu/static/urcu-bp.h>
#include <urcu/urcu-bp.h>

/*
 * liburcu itself is not built for the thread sanitizer: what it orders is told by hand. The address is only a name that
 * every file shares.
 */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VMK_SYNC_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define VMK_SYNC_TSAN 1
#endif
#if defined(VMK_SYNC_TSAN)
#include <sanitizer/tsan_interface.h>
#define VMK_SYNC_TSAN_RELEASE(address) __tsan_release(address)
#define VMK_SYNC_TSAN_ACQUIRE(address) __tsan_acquire(address)
#else
#define VMK_SYNC_TSAN_RELEASE(address) ((void)0)
#define VMK_SYNC_TSAN_ACQUIRE(address) ((void)0)
#endif

/* Another number for each thread that runs, and none of them 0. */
#if defined(__x86_64__) && defined(__GLIBC__) && (__GNUC__ >= 11 || defined(__clang__))
#define VMK_SYNC_THREAD() ((uintptr_t)__builtin_thread_pointer())
#else
#define VMK_SYNC_THREAD() ((uintptr_t)pthread_self())
#endif

#if defined(_GNU_SOURCE)
#define VMK_SYNC_PROCESSOR() ((unsigned)sched_getcpu())
#endif

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

/* A lock that its own thread takes once more would never come: the program ends here instead. */
static inline void vmk_sync_taken(int error)
{
    if (__builtin_expect(error != 0, 0))
        __builtin_trap();
}

/*
 * Where VMK_SYNC_CHECKED is defined, as in test builds, a lock that is released without being held, or that goes while it is, ends
 * the program too. Who holds a lock of either kind cannot be given it in the other.
 */
#if defined(VMK_SYNC_CHECKED)
#define VMK_SYNC_TAKEN_IS(try, lock) vmk_sync_taken(pthread_rwlock_##try(lock) == 0)
#else
#define VMK_SYNC_TAKEN_IS(try, lock) ((void)0)
#endif

static inline void vmk_sync_rwlock_destroy(struct vmk_sync_rwlock *lock)
{
#if defined(VMK_SYNC_CHECKED)
    vmk_sync_taken(pthread_rwlock_trywrlock(&lock->lock));
    pthread_rwlock_unlock(&lock->lock);
#endif
    pthread_rwlock_destroy(&lock->lock);
}

static inline void vmk_sync_read_lock(struct vmk_sync_rwlock *lock)
{
    vmk_sync_taken(pthread_rwlock_rdlock(&lock->lock));
}

static inline bool vmk_sync_try_read_lock(struct vmk_sync_rwlock *lock)
{
    return pthread_rwlock_tryrdlock(&lock->lock) == 0;
}

static inline void vmk_sync_read_unlock(struct vmk_sync_rwlock *lock)
{
    VMK_SYNC_TAKEN_IS(trywrlock, &lock->lock);
    pthread_rwlock_unlock(&lock->lock);
}

static inline void vmk_sync_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Who holds one of these locks is mostly done sooner than a sleeper would be woken: some microseconds are waited awake. */
enum { VMK_SYNC_TRIES = 64, VMK_SYNC_PAUSES = 16 };
static inline void vmk_sync_write_lock(struct vmk_sync_rwlock *lock)
{
    for (int i = 0; i < VMK_SYNC_TRIES; i++) {
        if (pthread_rwlock_trywrlock(&lock->lock) == 0)
            return;
        for (int pause = 0; pause < VMK_SYNC_PAUSES; pause++)
            vmk_sync_relax();
    }
    vmk_sync_taken(pthread_rwlock_wrlock(&lock->lock));
}

static inline bool vmk_sync_try_write_lock(struct vmk_sync_rwlock *lock)
{
    return pthread_rwlock_trywrlock(&lock->lock) == 0;
}

static inline void vmk_sync_write_unlock(struct vmk_sync_rwlock *lock)
{
    VMK_SYNC_TAKEN_IS(tryrdlock, &lock->lock);
    pthread_rwlock_unlock(&lock->lock);
}

#if defined(VMK_SYNC_CHECKED)
static inline void vmk_sync_mutex_init(struct vmk_sync_mutex *mutex)
{
    pthread_mutexattr_t checked;

    pthread_mutexattr_init(&checked);
    pthread_mutexattr_settype(&checked, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&mutex->mutex, &checked);
    pthread_mutexattr_destroy(&checked);
}

#define VMK_SYNC_MUTEX(call, mutex) vmk_sync_taken(pthread_mutex_##call(mutex))
#else
static inline void vmk_sync_mutex_init(struct vmk_sync_mutex *mutex)
{
    pthread_mutex_init(&mutex->mutex, NULL);
}

#define VMK_SYNC_MUTEX(call, mutex) ((void)pthread_mutex_##call(mutex))
#endif

static inline void vmk_sync_mutex_destroy(struct vmk_sync_mutex *mutex)
{
    VMK_SYNC_MUTEX(destroy, &mutex->mutex);
}

static inline void vmk_sync_mutex_lock(struct vmk_sync_mutex *mutex)
{
    VMK_SYNC_MUTEX(lock, &mutex->mutex);
}

static inline void vmk_sync_mutex_unlock(struct vmk_sync_mutex *mutex)
{
    VMK_SYNC_MUTEX(unlock, &mutex->mutex);
}

/*
 * Inlined: a lookup takes little more time than two calls into another library. Without a sanitizer they are written out, since
 * liburcu's own (which are meant for any program, whatever its licence) look for the thread's reader twice each.
 */
#if defined(VMK_SYNC_TSAN) || defined(__SANITIZE_ADDRESS__) /* liburcu's readers are not aligned as their type says */
static inline void vmk_sync_read_enter(void)
{
    urcu_bp_read_lock();
}

static inline void vmk_sync_read_exit(void)
{
#if defined(VMK_SYNC_TSAN)
    __tsan_release((void *)(uintptr_t)urcu_bp_call_rcu);
#endif
    urcu_bp_read_unlock();
}
#else
static inline void vmk_sync_read_enter(void)
{
    struct urcu_bp_reader *reader = URCU_TLS(urcu_bp_reader);
    unsigned long count;

    if (__builtin_expect(reader == NULL, 0)) {
        urcu_bp_register();
        reader = URCU_TLS(urcu_bp_reader);
    }
    cmm_barrier();
    count = reader->ctr;
    if (__builtin_expect((count & URCU_BP_GP_CTR_NEST_MASK) == 0, 1)) {
        _CMM_STORE_SHARED(reader->ctr, _CMM_LOAD_SHARED(urcu_bp_gp.ctr));
        urcu_bp_smp_mb_slave();
    } else {
        _CMM_STORE_SHARED(reader->ctr, count + URCU_BP_GP_COUNT);
    }
}

static inline void vmk_sync_read_exit(void)
{
    struct urcu_bp_reader *reader = URCU_TLS(urcu_bp_reader);

    urcu_bp_smp_mb_slave();
    _CMM_STORE_SHARED(reader->ctr, reader->ctr - URCU_BP_GP_COUNT);
    cmm_barrier();
}
#endif

static inline void vmk_sync_deferred_call(struct rcu_head *head)
{
    struct vmk_sync_deferred *deferred = (struct vmk_sync_deferred *)(void *)head; /* its first member */

    VMK_SYNC_TSAN_ACQUIRE(head);
    VMK_SYNC_TSAN_ACQUIRE((void *)(uintptr_t)urcu_bp_call_rcu);
    deferred->function(deferred);
    VMK_SYNC_TSAN_RELEASE((void *)(uintptr_t)urcu_bp_barrier);
}

static inline void vmk_sync_defer(struct vmk_sync_deferred *head, void (*function)(struct vmk_sync_deferred *head))
{
    head->function = function;
    VMK_SYNC_TSAN_RELEASE(&head->head);
    urcu_bp_call_rcu(&head->head, vmk_sync_deferred_call);
}

static inline void vmk_sync_barrier(void)
{
    urcu_bp_barrier();
    VMK_SYNC_TSAN_ACQUIRE((void *)(uintptr_t)urcu_bp_barrier);
}

static inline void vmk_sync_thread_enter(void)
{
    urcu_bp_register_thread();
}

static inline void vmk_sync_thread_leave(void) {}

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
