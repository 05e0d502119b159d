/* SPDX-License-Identifier: MIT */
/* calls.c - for test_trace.sh: every memory call at least once, with results that are good and bad. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096 };

static char *map(size_t pages, int prot, int flags)
{
    return mmap(NULL, pages * PAGE, prot, flags | MAP_ANONYMOUS, -1, 0);
}

static void anonymous(void)
{
    char *area = map(16, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    memset(area, 1, 16 * PAGE);
    mprotect(area + 4 * PAGE, 4 * PAGE, PROT_READ);
    mprotect(area + 4 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE);
    mprotect(area + 4 * PAGE, 4 * PAGE, PROT_NONE);
    munmap(area + 6 * PAGE, PAGE);
    mprotect(area + 5 * PAGE, 3 * PAGE, PROT_READ); /* up to the hole: ENOMEM */
    munmap(area + 1, PAGE);
    munmap(area, 0);
    char *grown = mremap(area, 4 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
    grown[40 * PAGE] = 1;
    mremap(grown, 64 * PAGE, 2 * PAGE, 0);
    mremap(area + 10 * PAGE, PAGE, 2 * PAGE, 0); /* ENOMEM: in the middle */
    char *target = map(8, PROT_NONE, MAP_PRIVATE);
    mremap(area + 10 * PAGE, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + 2 * PAGE);
    mremap(area + 14 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | 4 /* DONTUNMAP */);
    mmap(area, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    mmap(target, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | 0x100000 /* FIXED_NOREPLACE */, -1, 0);
    map(1, PROT_READ, MAP_PRIVATE | 0x40 /* 32BIT */);
    map(600, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    map(1024, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);
    map(2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_STACK);
    map(2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_GROWSDOWN);
    map(2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE);
    map(4, PROT_READ | PROT_WRITE, MAP_SHARED);
    map(4, PROT_READ | PROT_WRITE, MAP_SHARED);
    map((size_t)1 << 50, PROT_READ, MAP_PRIVATE);
}

static void advice(void)
{
    char *area = map(32, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    memset(area, 1, 32 * PAGE);
    static const int all[] = {MADV_RANDOM,
                              MADV_SEQUENTIAL,
                              MADV_NORMAL,
                              MADV_DONTNEED,
                              MADV_FREE,
                              MADV_DONTFORK,
                              MADV_DOFORK,
                              MADV_DONTDUMP,
                              MADV_DODUMP,
                              MADV_HUGEPAGE,
                              MADV_NOHUGEPAGE,
                              18,
                              19,
                              102,
                              103,
                              MADV_WILLNEED,
                              20,
                              22,
                              23,
                              9,
                              77};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        madvise(area + (i % 7) * PAGE, (3 + i % 5) * PAGE, all[i]);
    mlock(area + 3 * PAGE, 4 * PAGE);
    syscall(SYS_mlock2, area + 9 * PAGE, 4 * PAGE, 1);
    munlock(area + 4 * PAGE, PAGE);
    mlockall(MCL_FUTURE);
    map(3, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    munlockall();
    msync(area, PAGE, MS_ASYNC | MS_SYNC);
    syscall(462 /* mseal */, area + 20 * PAGE, 2 * PAGE, 0);
    munmap(area + 19 * PAGE, 2 * PAGE);
    mprotect(area + 19 * PAGE, 2 * PAGE, PROT_READ);
}

static void files(void)
{
    int fd = open("/proc/self/exe", O_RDONLY), again = open("/proc/self/exe", O_RDONLY), copy = dup(fd);
    char *area = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    mmap(area + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, copy, PAGE);
    mmap(area + 2 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, again, 2 * PAGE);
    mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 999, 0);
    mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 1);
    char *data = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    data[1] = 1;
    mprotect(data, PAGE, PROT_READ);
    int memory = memfd_create("test", 0);
    ftruncate(memory, 8 * PAGE);
    char *shared = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    mprotect(shared + PAGE, PAGE, PROT_READ);
    syscall(SYS_remap_file_pages, shared + 4 * PAGE, 2 * PAGE, 0, 6, 0);
    int zero = open("/dev/zero", O_RDWR), null = open("/dev/null", O_RDWR);
    mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
    mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0);
    mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, null, 0);
    close(memory);
    close(fd);
}

static void others(void)
{
    int id = shmget(IPC_PRIVATE, 5 * PAGE, IPC_CREAT | 0600);
    char *segment = shmat(id, NULL, 0);
    char *second = shmat(id, NULL, SHM_RDONLY);
    munmap(segment + PAGE, PAGE);
    shmdt(segment);
    shmdt(second);
    shmctl(id, IPC_RMID, NULL);
    unsigned long context = 0;
    syscall(SYS_io_setup, 200, &context);
    syscall(SYS_io_destroy, context);
    syscall(SYS_mbind, segment, PAGE, 0, NULL, 0, 0);
    prctl(41 /* PR_SET_THP_DISABLE */, 1, 0, 0, 0);
    map(512, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    prctl(41, 0, 0, 0, 0);
    prctl(0x53564d41 /* PR_SET_VMA */, 0, segment, PAGE, "name");
    personality(personality(0xffffffff) | READ_IMPLIES_EXEC);
    map(3, PROT_READ, MAP_PRIVATE);
    struct rlimit limit = {512 * 1024 * 1024, 512 * 1024 * 1024};
    setrlimit(RLIMIT_AS, &limit);
    map((size_t)600 * 1024 * 1024 / PAGE, PROT_READ, MAP_PRIVATE);
    void *top = sbrk(0);
    sbrk(100 * PAGE);
    sbrk(-50 * PAGE);
    brk(top);
}

/* What mincore says of pages, it says of those before a hole too. */
static int mincore_answers(void)
{
    char *area = map(4, PROT_READ | PROT_WRITE, MAP_PRIVATE), *constant = map(1, PROT_READ, MAP_PRIVATE);
    unsigned char vector[8];
    int good = 1;
    area[0] = 1;
    munmap(area + 2 * PAGE, PAGE);
    memset(vector, 77, sizeof(vector));
    good &= mincore(area, 2 * PAGE, vector) == 0 && (vector[0] & 1) == 1 && vector[2] == 77;
    memset(vector, 77, sizeof(vector));
    good &= mincore(area, 4 * PAGE, vector) == -1 && errno == ENOMEM && (vector[0] & 1) == 1 && vector[2] == 77;
    good &= mincore(area + 2 * PAGE, PAGE, vector) == -1 && errno == ENOMEM;
    good &= mincore(area + 1, PAGE, vector) == -1 && errno == EINVAL;
    good &= mincore(area, PAGE, (unsigned char *)constant) == -1 && errno == EFAULT;
    good &= mincore(area, PAGE, (unsigned char *)-4096L) == -1 && errno == EFAULT;
    good &= mincore((void *)-4096L, PAGE, vector) == -1 && errno == ENOMEM;
    good &= mincore(area, 0, (unsigned char *)8) == 0;
    return good;
}

/* maps writes a newline as \012, also where a mapping of nobody's file makes the numbers of files be looked at. */
static void odd_name(void)
{
    int fd = (int)syscall(SYS_memfd_create, "a\nb \\ c", 0);
    ftruncate(fd, 4 * PAGE);
    mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

int main(void)
{
    if (!mincore_answers())
        puts("mincore FAILED");
    odd_name();
    anonymous();
    advice();
    files();
    others();
    puts("called");
    return 42;
}
