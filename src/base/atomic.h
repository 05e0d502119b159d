/* SPDX-License-Identifier: MIT */
/*
 * atomic.h - the few atomic operations that lock-free readers and their writer share.
 *
 * Words that a reader may read while the writer stores them go through these, also where relaxed: that is what tells
 * the compiler, and the thread sanitizer, that the race is meant.  No libatomic: only words of natural size.
 */
#ifndef VMKI_ATOMIC_H
#define VMKI_ATOMIC_H

/* A test may bring its own (VMK_ATOMIC_HEADER): ports/mock/atomic.h, where each operation is a scheduling point. */
#if defined(VMK_ATOMIC_HEADER)
#include VMK_ATOMIC_HEADER
#else
#define vmki_load_relaxed(word)         __atomic_load_n((word), __ATOMIC_RELAXED)
#define vmki_load_acquire(word)         __atomic_load_n((word), __ATOMIC_ACQUIRE)
#define vmki_store_relaxed(word, value) __atomic_store_n((word), (value), __ATOMIC_RELAXED)
#define vmki_store_release(word, value) __atomic_store_n((word), (value), __ATOMIC_RELEASE)

#endif

/* Hides where a value comes from, so that the compiler keeps a computation in the shape it was written in. */
#define vmki_opaque(value) __asm__("" : "+r"(value))

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VMKI_THREAD_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define VMKI_THREAD_SANITIZER 1
#endif

#if !defined(VMK_ATOMIC_HEADER)
/*
 * Orders this thread's earlier loads before its later loads and stores.  The thread sanitizer does not model fences
 * (gcc refuses them there); as everything around ours is atomic, it needs only the hardware's barrier.
 */
static inline void vmki_fence_acquire(void)
{
#if !defined(VMKI_THREAD_SANITIZER)
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
#elif defined(__aarch64__)
    __asm__ volatile("dmb ishld" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}

/* Orders this thread's earlier loads and stores before its later stores. */
static inline void vmki_fence_release(void)
{
#if !defined(VMKI_THREAD_SANITIZER)
    __atomic_thread_fence(__ATOMIC_RELEASE);
#elif defined(__aarch64__)
    __asm__ volatile("dmb ish" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}

#endif /* VMK_ATOMIC_HEADER */

#endif
