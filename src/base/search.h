/* SPDX-License-Identifier: MIT */
/*
 * search.h - steps of a search among keys that another thread may store to, free of branches.
 *
 * On x86-64 the two are written by hand, since compilers make neither a comparison with memory nor a conditional move of
 * an atomic load.
 */
#ifndef VMKI_SEARCH_H
#define VMKI_SEARCH_H

#include "base/atomic.h"
#include "vmakit/types.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(VMKI_THREAD_SANITIZER)
#define VMKI_SEARCH_BY_HAND 1
#endif

/* `to` if the key is at or below the address, else `from`. */
static inline uint64_t vmki_step(uint64_t from, uint64_t to, const uint64_t *key, uint64_t address)
{
#if defined(VMKI_SEARCH_BY_HAND)
    __asm__ volatile("cmpq %[key], %[address]\n\tcmovaeq %[to], %[from]"
                     : [from] "+r"(from)
                     : [key] "m"(*key), [address] "r"(address), [to] "r"(to)
                     : "cc");
#else
    from = vmki_load_relaxed(key) <= address ? to : from;
    vmki_opaque(from);
#endif
    return from;
}

/* One more if the key is at or below the address. */
static inline size_t vmki_rank_add(size_t rank, const uint64_t *key, uint64_t address)
{
#if defined(VMKI_SEARCH_BY_HAND)
    __asm__ volatile("cmpq %[key], %[address]\n\tsbbq $-1, %[rank]"
                     : [rank] "+r"(rank)
                     : [key] "m"(*key), [address] "r"(address)
                     : "cc");
#else
    rank += vmki_load_relaxed(key) <= address;
    vmki_opaque(rank); /* lest several such sums become one long chain */
#endif
    return rank;
}

#endif
