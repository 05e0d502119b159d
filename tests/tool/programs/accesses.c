/* SPDX-License-Identifier: MIT */
/*
 * accesses.c - the kernel cannot reach memory for the program, and leaves an anon_vma all the same: a read beyond the end of a
 * mapping's file, a write there through /proc/self/mem. What shows it: in a child such an area joins no neighbour.
 * An argument leaves one of them out.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096 };

static void need(int good)
{
    if (!good)
        _exit(99);
}

/* Six pages of a file that has one; the upper three are mapped in the child, where they join only an area without. */
static void with_file(int prot, void (*access)(char *beyond))
{
    int file = memfd_create("accesses", 0), status = -1;
    char *p = mmap(NULL, 6 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    need(file >= 0 && p != MAP_FAILED && ftruncate(file, PAGE) == 0);
    need(mmap(p, 3 * PAGE, prot, MAP_PRIVATE | MAP_FIXED, file, 0) == p);
    access(p + 2 * PAGE);
    pid_t child = fork();
    if (child == 0) {
        need(mmap(p + 3 * PAGE, 3 * PAGE, prot, MAP_PRIVATE | MAP_FIXED, file, 3 * PAGE) == p + 3 * PAGE);
        _exit(0);
    }
    need(waitpid(child, &status, 0) == child && status == 0);
    munmap(p, 6 * PAGE);
    close(file);
}

static void read_into(char *beyond)
{
    int zero = open("/dev/zero", O_RDONLY);

    need(read(zero, beyond - PAGE, 0) == 0);
    need(pread(zero, beyond, 1, 0) == -1 && errno == EFAULT);
    close(zero);
}

static void write_forced(char *beyond)
{
    int memory = open("/proc/self/mem", O_RDWR);

    need(pwrite(memory, "x", 1, (off_t)(uintptr_t)beyond) == -1 && errno == EIO);
    need(lseek(memory, (off_t)(uintptr_t)beyond, SEEK_SET) == (off_t)(uintptr_t)beyond);
    need(write(memory, "x", 1) == -1 && errno == EIO);
    close(memory);
}

/* Nothing fails here, although it could. */
static void end_of_data(char *beyond)
{
    int ends[2];

    need(pipe(ends) == 0 && write(ends[1], "abc", 3) == 3);
    need(read(ends[0], beyond - 2 * PAGE + 10, 3 * PAGE - 10) == 3);
    close(ends[1]);
    need(read(ends[0], beyond, PAGE) == 0);
    close(ends[0]);
}

int main(int argc, char **argv)
{
    const char *without = argc > 1 ? argv[1] : "";

    if (strcmp(without, "read") != 0)
        with_file(PROT_READ | PROT_WRITE, read_into);
    if (strcmp(without, "write") != 0)
        with_file(PROT_READ, write_forced);
    with_file(PROT_READ | PROT_WRITE, end_of_data);
    return 0;
}
