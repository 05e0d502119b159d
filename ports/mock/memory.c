/* SPDX-License-Identifier: MIT */
/*
 * memory.c - memory of the mock port: an arena, from its beginning in every run, so that addresses repeat. What is freed is
 * poisoned and stays so until the run ends; an atomic operation on it is a violation (a plain read gets the poison).
 */
#include "mock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_SIZE = 1 << 20, UNIT = 64, NR_UNITS = ARENA_SIZE / UNIT, POISON = 0xdb };
enum unit_state { UNIT_NEVER, UNIT_USED, UNIT_FREED };

static _Alignas(64) unsigned char arena[ARENA_SIZE];
static unsigned char state[NR_UNITS];
static bool freed_once[NR_UNITS]; /* in any run of the scenario */
static bool grew;
static size_t used;
static long until_fail = -1;

void mock_memory_reset(void)
{
    memset(state, UNIT_NEVER, used / UNIT + 1);
    used = 0;
    until_fail = -1;
}

void mock_memory_forget(void)
{
    memset(freed_once, 0, sizeof(freed_once));
}

void mock_fail_allocation(long n)
{
    until_fail = n;
}

static bool unit_of(const void *address, size_t *unit)
{
    uintptr_t offset = (uintptr_t)address - (uintptr_t)arena;

    *unit = offset / UNIT;
    return offset < ARENA_SIZE;
}

static void *arena_alloc(void *context, size_t size, size_t align, unsigned flags)
{
    size_t unit = used / UNIT, nr = (size + UNIT - 1) / UNIT;

    (void)context;
    (void)align;
    (void)flags;
    if (until_fail >= 0 && until_fail-- == 0)
        return NULL;
    if (used + nr * UNIT > ARENA_SIZE) {
        mock_violation("the arena is too small");
        return NULL;
    }
    memset(state + unit, UNIT_USED, nr);
    memset(arena + used, POISON, nr * UNIT);
    used += nr * UNIT;
    return arena + unit * UNIT;
}

static void arena_free(void *context, void *memory, size_t size)
{
    size_t unit;

    (void)context;
    if (memory == NULL)
        return;
    if (!unit_of(memory, &unit)) {
        mock_violation("%p was freed, and is not from the arena", memory);
        return;
    }
    for (size_t i = unit; i < unit + (size + UNIT - 1) / UNIT; i++) {
        if (state[i] != UNIT_USED)
            mock_violation("%p was freed twice", memory);
        state[i] = UNIT_FREED;
        grew = grew || !freed_once[i];
        freed_once[i] = true;
    }
    memset(memory, POISON, size);
}

void mock_memory_check(const void *address, unsigned size)
{
    size_t unit;

    if (unit_of(address, &unit) && state[unit] != UNIT_USED)
        mock_violation("%u bytes at %#zx of the arena are used after they were freed", size, unit * UNIT);
}

bool mock_memory_was_freed_once(const void *address)
{
    size_t unit;

    return unit_of(address, &unit) && freed_once[unit];
}

bool mock_memory_grew(void)
{
    bool result = grew;

    grew = false;
    return result;
}

static void mock_log(void *context, const char *line)
{
    (void)context;
    fprintf(stderr, "%s\n", line);
}

static void mock_panic(void *context, const char *what, const char *file, unsigned line)
{
    (void)context;
    mock_violation("%s:%u: %s", file, line, what);
    abort();
}

const struct vmk_port *mock_port(void)
{
    static const struct vmk_port port = {
        .size = sizeof(port), .alloc = arena_alloc, .free = arena_free, .log = mock_log, .panic = mock_panic};

    return &port;
}
