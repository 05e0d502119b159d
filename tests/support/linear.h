/* SPDX-License-Identifier: MIT */
/*
 * linear.h - is there an order of these calls, made by several threads at once, that explains all results?
 *
 * The space is LIN_PAGES pages at LIN_BASE with nothing beside them that they could merge with; anonymous private memory
 * that nobody has written to, so that areas are the longest runs of pages with the same rights. The calls of a history
 * overlap in time; an order explains them when it keeps every call before those that began after its end, and each result
 * is what the sequential rules give (after Wing and Gong).
 */
#ifndef TESTS_LINEAR_H
#define TESTS_LINEAR_H

#include <stdbool.h>
#include <stdint.h>

#include "vmakit/vmakit.h"

enum { LIN_PAGES = 8, LIN_MAX_CALLS = 12 };
#define LIN_BASE UINT64_C(0x40000000)

enum lin_kind { LIN_LOOKUP, LIN_CHECK, LIN_FAULT, LIN_MAP, LIN_UNMAP, LIN_PROTECT, LIN_KINDS };

/* A page's rights: none is a hole. */
enum lin_page { LIN_HOLE = 0, LIN_READ = 1, LIN_WRITE = 3 };

struct lin_call {
    enum lin_kind kind;
    unsigned from, to;   /* pages; LOOKUP, CHECK and FAULT: page `from`; PROTECT: one page */
    enum lin_page page;  /* MAP, PROTECT: the rights; CHECK, FAULT: LIN_READ or LIN_WRITE, the access */
    uint64_t begin, end; /* times: of any clock that all threads share */
    /* The result. */
    int error;
    unsigned seen_from, seen_to; /* LOOKUP: the area, in pages */
    enum lin_page seen;
};

struct lin_state {
    uint8_t page[LIN_PAGES];
};

/* Makes the call and fills in its result; `now` gives the times. */
void lin_do(struct vmk_mm *mm, struct lin_call *call, uint64_t (*now)(void));
/* The pages as they are, through lookups; nobody may be writing. */
struct lin_state lin_read(struct vmk_mm *mm);
/*
 * Whether an order explains all calls and leads from `before` to `after`. With `bounds` false an area's bounds do not count
 * (written memory does not always merge).
 */
bool lin_explains(const struct lin_call *calls, unsigned nr, const struct lin_state *before,
                  const struct lin_state *after, bool bounds);
/* A line for a call. */
void lin_describe(const struct lin_call *call, char *text, unsigned size);

#endif
