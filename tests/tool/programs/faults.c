/* SPDX-License-Identifier: MIT */
/*
 * faults.c - for test_trace.sh: what faults leave behind although no page comes, seen in whether areas merge and stay
 * accounted afterwards.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PAGE = 4096 };
static sigjmp_buf back;

static void on_signal(int signo)
{
    siglongjmp(back, signo);
}

static void touch(volatile char *at)
{
    if (sigsetjmp(back, 1) == 0)
        *at = 1;
}

static char *map(char *at, size_t pages, int prot, int flags, int fd)
{
    return mmap(at, pages * PAGE, prot, MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS : 0) | flags, fd, 0);
}

/* Writes beyond the end of a file: two anon_vmas that keep three areas from becoming one. */
static void beyond(char *at)
{
    char name[] = "/var/tmp/vmakit-test-XXXXXX";
    int fd = mkstemp(name);
    unlink(name);
    map(at, 3, PROT_READ | PROT_WRITE, MAP_FIXED, fd);
    mprotect(at + PAGE, PAGE, PROT_NONE);
    touch(at);
    touch(at + 2 * PAGE);
    mprotect(at + PAGE, PAGE, PROT_READ | PROT_WRITE);
}

/* A stack that may not grow has an anon_vma all the same: read-only, it stays accounted. */
static void refused(char *at)
{
    struct rlimit limit, small = {0};
    getrlimit(RLIMIT_STACK, &limit);
    small.rlim_max = limit.rlim_max;
    small.rlim_cur = 8 * PAGE;
    map(at, 1, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_GROWSDOWN, -1);
    setrlimit(RLIMIT_STACK, &small);
    touch(at - 20 * PAGE);
    setrlimit(RLIMIT_STACK, &limit);
    mprotect(at, PAGE, PROT_READ);
}

/* The kernel reads what may be a ring, below a stack. */
static void no_ring(char *at)
{
    map(at, 1, PROT_READ, MAP_FIXED | MAP_GROWSDOWN, -1);
    syscall(SYS_io_destroy, at - 5 * PAGE);
}

/* A forced write, whose page is covered by a move before anything else looks; the page beside it has the anon_vma. */
static void forced(char *at)
{
    int fd = open("/proc/self/mem", O_RDWR);
    char *other = map(NULL, 1, PROT_READ | PROT_WRITE, 0, -1);
    map(at, 2, PROT_NONE, MAP_FIXED, -1);
    pwrite(fd, "", 1, (off_t)(unsigned long)at);
    mremap(other, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at);
    mprotect(at + PAGE, PAGE, PROT_READ | PROT_WRITE);
    mprotect(at + PAGE, PAGE, PROT_READ);
}

/* One range that is too long is cut, to 2 GiB, and not refused. */
static void long_range(void)
{
    struct iovec range = {map((char *)0x200000000, 1, PROT_READ | PROT_WRITE, 0, -1), 1ul << 47};
    long fd = syscall(434 /* pidfd_open */, getpid(), 0);
    syscall(440 /* process_madvise */, fd, &range, 1, MADV_HUGEPAGE, 0);
    range.iov_len = 0; /* nothing to advise: whatever the advice */
    syscall(440, fd, &range, 1, 5, 0);
}

int main(void)
{
    char *at = mmap(NULL, 4096 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_NODEFER};
    munmap(at, 4096 * PAGE);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    beyond(at + 512 * PAGE);
    refused(at + 1024 * PAGE);
    no_ring(at + 2048 * PAGE);
    forced(at + 2560 * PAGE);
    long_range();
    return 0;
}
