/* SPDX-License-Identifier: MIT */
/* port.c - the hosted port: the C library's memory, the kernel's random numbers, standard error. */
#define _GNU_SOURCE
#include "vmakit/port.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static void *linux_alloc(void *context, size_t size, size_t align, unsigned flags)
{
    void *memory;

    (void)context;
    (void)flags;
    if (align <= _Alignof(max_align_t))
        return malloc(size);
    return posix_memalign(&memory, align, size) == 0 ? memory : NULL;
}

static void linux_free(void *context, void *memory, size_t size)
{
    (void)context;
    (void)size;
    free(memory);
}

static uint64_t linux_random(void *context)
{
    uint64_t value = 0;

    (void)context;
    if (getrandom(&value, sizeof(value), 0) != (ssize_t)sizeof(value))
        abort();
    return value;
}

static void linux_relax(void *context)
{
    (void)context;
    sched_yield();
}

static void linux_log(void *context, const char *line)
{
    (void)context;
    fprintf(stderr, "%s\n", line);
}

static void linux_panic(void *context, const char *what, const char *file, unsigned line)
{
    (void)context;
    fprintf(stderr, "vmakit: %s:%u: %s\n", file, line, what);
    abort();
}

const struct vmk_port *vmk_port_linux(void)
{
    static const struct vmk_port port = {
        .size = sizeof(port),
        .alloc = linux_alloc,
        .free = linux_free,
        .random = linux_random,
        .relax = linux_relax,
        .log = linux_log,
        .panic = linux_panic,
    };

    return &port;
}
