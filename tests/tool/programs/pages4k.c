/* SPDX-License-Identifier: MIT */
/*
 * What works with pages of 4 KiB only (with the argument "small"), or with larger ones too. Each mistake stands in a
 * function of its own, so that the places differ.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LARGE = 65536 };

static char *block(size_t len)
{
    return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int offset_of_a_file(void) /* EINVAL: the offset */
{
    int fd = memfd_create("file", 0);
    return fd < 0 || ftruncate(fd, LARGE) != 0 || mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 4096) == MAP_FAILED;
}

static int guard_in_the_middle(char *memory) /* EINVAL: the address */
{
    return mprotect(memory + 4096, 4096, PROT_NONE);
}

static int trim(char *memory) /* what lies behind goes too */
{
    return munmap(memory, 4096);
}

static int fixed(char *memory) /* EINVAL: the address */
{
    return mmap(memory + 8192, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED;
}

static int forget(char *memory) /* what lies behind is zeroed too */
{
    return madvise(memory, 4096, MADV_DONTNEED);
}

static int move(char *memory) /* EINVAL: the address */
{
    return mremap(memory + 12288, 4096, 8192, MREMAP_MAYMOVE) == MAP_FAILED;
}

static int whole_pages(void) /* nothing wrong with any of it */
{
    char *memory = block(4 * LARGE), *small = block(4096);
    memset(memory, 1, 4 * LARGE);
    return mprotect(memory + LARGE, LARGE, PROT_NONE) || munmap(memory + 3 * LARGE, LARGE) ||
           madvise(memory, LARGE, MADV_DONTNEED) || munmap(small, 4096) ||
           mremap(memory + 2 * LARGE, LARGE, 2 * LARGE, MREMAP_MAYMOVE) == MAP_FAILED;
}

int main(int argc, char **argv)
{
    int failed = whole_pages();
    if (argc > 1 && strcmp(argv[1], "small") == 0) {
        char *memory = block(LARGE);
        failed |= offset_of_a_file() || guard_in_the_middle(memory) || fixed(memory) || move(memory);
        failed |= forget(block(LARGE)) || trim(block(LARGE));
    }
    puts(failed ? "failed" : "worked");
    return failed;
}
