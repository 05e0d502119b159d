/* SPDX-License-Identifier: MIT */
/*
 * base.h - what every room uses: arithmetic that cannot wrap unseen, alignment, assertions of our own mistakes.
 */
#ifndef VMKI_BASE_H
#define VMKI_BASE_H

#include "vmakit/flags.h"
#include "vmakit/types.h"

/* The only four functions of a C library that the core may call. */
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *at, int value, size_t n);
int memcmp(const void *a, const void *b, size_t n);

#define VMKI_ARRAY_SIZE(array)                   (sizeof(array) / sizeof((array)[0]))
#define VMKI_CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#if defined(__GNUC__)
#define VMKI_LIKELY(x)   __builtin_expect(!!(x), 1)
#define VMKI_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define VMKI_NOINLINE    __attribute__((noinline))
#define VMKI_INLINE      inline __attribute__((always_inline))
#endif

/*
 * Three tiers by cost, never on a caller's input: CHECK always; ASSERT unless NDEBUG; AUDIT only with VMKI_AUDIT (walks
 * structures). A failed one stops at once: the state cannot be trusted.
 */
#define VMKI_CHECK(condition) (VMKI_LIKELY(condition) ? (void)0 : __builtin_trap())
#if defined(NDEBUG)
#define VMKI_ASSERT(condition) ((void)sizeof(condition))
#else
#define VMKI_ASSERT(condition) VMKI_CHECK(condition)
#endif
#if defined(VMKI_AUDIT)
#define VMKI_AUDIT_THAT(condition) VMKI_CHECK(condition)
#else
#define VMKI_AUDIT_THAT(condition) ((void)sizeof(condition))
#endif

static inline uint64_t vmki_align_down(uint64_t value, uint64_t unit)
{
    return value & ~(unit - 1);
}

/* Wraps to 0 above the last unit, as the kernel's own rounding does: callers test for that. */
static inline uint64_t vmki_align_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) & ~(unit - 1);
}

static inline bool vmki_is_aligned(uint64_t value, uint64_t unit)
{
    return (value & (unit - 1)) == 0;
}

static inline uint64_t vmki_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t vmki_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline size_t vmki_strlen(const char *text)
{
    size_t len = 0;

    while (text[len] != '\0')
        len++;
    return len;
}

#endif
