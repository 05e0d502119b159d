/* SPDX-License-Identifier: MIT */
/*
 * A program with a leak on a path that is never taken: when the second buffer cannot be had, the first one is kept. It
 * says so itself by counting what it has mapped. `vmakit run --fail` finds it.
 */
#include <stdio.h>
#include <sys/mman.h>

enum { BUFFER = 1 << 20 };

static int mapped;

static void *buffer_new(void)
{
    void *buffer = mmap(NULL, BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED)
        return NULL;
    mapped++;
    return buffer;
}

static void buffer_free(void *buffer)
{
    munmap(buffer, BUFFER);
    mapped--;
}

static int work(void)
{
    void *one = buffer_new();
    if (one == NULL)
        return 1;
    void *other = buffer_new();
    if (other == NULL)
        return 1; /* here `one` is forgotten */
    buffer_free(other);
    buffer_free(one);
    return 0;
}

int main(void)
{
    int failed = work();
    fprintf(stdout, "%s, %d buffers left\n", failed ? "failed" : "done", mapped);
    return mapped != 0 ? 3 : failed;
}
