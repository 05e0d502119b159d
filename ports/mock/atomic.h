/* SPDX-License-Identifier: MIT */
/*
 * atomic.h - the atomic operations of src/base/atomic.h for the mock port (VMK_ATOMIC_HEADER): each is a scheduling point,
 * and goes through a memory that shows a thread no more than the orders of the operations promise (views.c).
 */
#ifndef MOCK_ATOMIC_H
#define MOCK_ATOMIC_H

#include <stdint.h>

enum mock_order { MOCK_RELAXED, MOCK_ORDERED };

uint64_t mock_load(const void *word, unsigned size, enum mock_order order);
void mock_store(void *word, unsigned size, uint64_t value, enum mock_order order);
void mock_fence_acquire(void);
void mock_fence_release(void);

#define MOCK_TYPE(word) __typeof__(__atomic_load_n((word), __ATOMIC_RELAXED))

#define vmki_load_relaxed(word)         ((MOCK_TYPE(word))mock_load((word), sizeof(*(word)), MOCK_RELAXED))
#define vmki_load_acquire(word)         ((MOCK_TYPE(word))mock_load((word), sizeof(*(word)), MOCK_ORDERED))
#define vmki_store_relaxed(word, value) mock_store((word), sizeof(*(word)), (uint64_t)(value), MOCK_RELAXED)
#define vmki_store_release(word, value) mock_store((word), sizeof(*(word)), (uint64_t)(value), MOCK_ORDERED)
#define vmki_fence_acquire()            mock_fence_acquire()
#define vmki_fence_release()            mock_fence_release()

#endif
