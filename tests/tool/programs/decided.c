/* SPDX-License-Identifier: MIT */
/*
 * What a program can see of `vmakit run`, one case an argument: "areas N" makes N areas and says how many came; "limits"
 * sets and reads limits; "registers" checks that a call leaves its argument registers alone; "traceme" wants to be traced;
 * "pause" maps 64 MiB, says where, and waits for a line; "fixed" does that, too, and maps other memory over it afterwards;
 * "children N" forks N at once; "race" has two threads at the same ranges; "late N" takes N areas away from a thread that
 * writes to them; "advise" says what madvise answered and left; "idle N" makes calls that come to nothing in the kernel,
 * six a round; "spread" has two threads that want a processor each.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int areas(int nr)
{
    int made = 0;
    char *base = mmap(NULL, (size_t)nr * 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    while (made < nr && mprotect(base + (size_t)made * 8192, 4096, PROT_READ) == 0)
        made++;
    printf("%s\n", made == nr ? "all" : strerror(errno));
    return made == nr ? 0 : 1;
}

static int limits(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_AS, &limit);
    printf("as %llu\n", (unsigned long long)limit.rlim_cur);
    limit.rlim_cur = 256 << 20;
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        return 1;
    void *area = mmap(NULL, 512 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("large %s\n", area == MAP_FAILED ? strerror(errno) : "mapped");
    limit.rlim_cur = 5;
    limit.rlim_max = 4;
    printf("crossed %s\n", setrlimit(RLIMIT_AS, &limit) != 0 ? strerror(errno) : "accepted");
    prlimit(0, RLIMIT_AS, NULL, &limit);
    printf("now %llu\n", (unsigned long long)limit.rlim_cur);
    return 0;
}

#if defined(__x86_64__)
static int registers(void)
{
    register uint64_t fourth __asm__("r10") = MAP_PRIVATE | MAP_ANONYMOUS;
    register int64_t fifth __asm__("r8") = -1;
    register uint64_t sixth __asm__("r9") = 0;
    uint64_t first = 0, second = 8192, third = PROT_READ;
    int64_t value = SYS_mmap;
    __asm__ volatile("syscall"
                     : "+a"(value), "+D"(first), "+S"(second), "+d"(third), "+r"(fourth), "+r"(fifth), "+r"(sixth)
                     :
                     : "rcx", "r11", "memory");
    bool kept = first == 0 && second == 8192 && third == PROT_READ && fourth == (MAP_PRIVATE | MAP_ANONYMOUS) &&
                fifth == -1 && sixth == 0;
    /* Two areas: carried out as two calls. */
    char *base = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(base, 4096, PROT_NONE);
    first = (uint64_t)base;
    value = SYS_mprotect;
    third = PROT_READ | PROT_WRITE;
    __asm__ volatile("syscall" : "+a"(value), "+D"(first), "+S"(second), "+d"(third) : : "rcx", "r11", "memory");
    base[0] = base[4096] = 1;
    kept = kept && value == 0 && first == (uint64_t)base && second == 8192 && third == (PROT_READ | PROT_WRITE);
    printf("%s\n", kept ? "kept" : "changed");
    return !kept;
}
#else
static int registers(void)
{
    printf("kept\n");
    return 0;
}
#endif

static int pause_with_area(void)
{
    void *area = mmap(NULL, 64 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("%d %p\n", (int)getpid(), area == MAP_FAILED ? NULL : area);
    fflush(stdout);
    getchar();
    return 0;
}

static int fixed(void)
{
    pause_with_area();
    char *area = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *over = mmap(area, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    printf("over it %s\n", over == MAP_FAILED ? strerror(errno) : "mapped");
    return over == MAP_FAILED ? 5 : 0;
}

static int children(int nr)
{
    int good = 0, status;
    for (int i = 0; i < nr; i++) {
        pid_t child = fork();
        if (child == 0) {
            char *area = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            memset(area, 1, 65536);
            usleep(1000);
            _exit(munmap(area, 65536) != 0);
        }
    }
    while (wait(&status) > 0)
        good += status == 0;
    printf("%d good\n", good);
    return good != nr;
}

static char *raced;

static void *race_thread(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    for (int i = 0; i < 2000; i++) {
        size_t from = (size_t)(rand_r(&seed) % 16) * 4096, len = (size_t)(1 + rand_r(&seed) % 8) * 4096;
        switch (rand_r(&seed) % 4) {
        case 0:
            mmap(raced + from, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            break;
        case 1:
            munmap(raced + from, len);
            break;
        case 2:
            mprotect(raced + from, len, rand_r(&seed) % 2 != 0 ? PROT_READ : PROT_NONE);
            break;
        default:
            madvise(raced + from, len, rand_r(&seed) % 2 != 0 ? MADV_RANDOM : MADV_NORMAL);
        }
    }
    return NULL;
}

static int race(void)
{
    pthread_t threads[2];
    raced = mmap(NULL, 32 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (uintptr_t i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, race_thread, (void *)(i + 1));
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    printf("raced\n");
    return 0;
}

static char *volatile written;
static volatile bool is_over;

/* The kernel writes for it: no signal where that is not possible. */
static void *write_late(void *unused)
{
    int zero = open("/dev/zero", O_RDONLY);
    while (!is_over) {
        char *at = written;
        if (at != NULL && read(zero, at, 1) == 1)
            written = NULL;
    }
    close(zero);
    return unused;
}

/*
 * An area between two that have different anon_vmas: once written it has that of the upper one. Without access it joins
 * the one or the other.
 */
static int late(int nr)
{
    const int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    char *base = mmap(NULL, 16384, PROT_NONE, flags, -1, 0);
    pthread_t thread;
    pthread_create(&thread, NULL, write_late, NULL);
    for (int i = 0; i < nr; i++) {
        munmap(base, 16384);
        *(char *)mmap(base, 4096, prot, flags | MAP_FIXED, -1, 0) = 1;
        *(char *)mmap(base + 8192, 4096, prot, flags | MAP_FIXED, -1, 0) = 1;
        mprotect(base, 4096, PROT_NONE);
        mprotect(base + 8192, 4096, PROT_NONE);
        mmap(base + 4096, 4096, prot, flags | MAP_FIXED, -1, 0);
        written = base + 4096;
        for (volatile int wait = 0; wait < i % 50 * 40; wait++)
            ;
        mprotect(base + 4096, 4096, PROT_NONE);
        written = NULL;
    }
    is_over = true;
    pthread_join(thread, NULL);
    printf("late\n");
    return 0;
}

/* Advice over several areas, a hole, a locked one and a file, from each page and to each. */
static int advise(void)
{
    enum { PAGES = 8 };
    const int advice[] = {MADV_DONTNEED, MADV_FREE, MADV_WILLNEED, MADV_RANDOM};
    char *base = mmap(NULL, 4 * PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int file = open("/proc/self/exe", O_RDONLY);
    memset(base, 1, PAGES * 4096);
    mprotect(base + 4096, 4096, PROT_READ);
    munmap(base + 12288, 4096);
    mlock(base + 20480, 4096);
    mmap(base + 24576, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0);
    for (size_t i = 0; i < sizeof(advice) / sizeof(advice[0]); i++) {
        for (size_t at = 0; at < PAGES; at++) {
            for (size_t nr = 1; nr <= PAGES; nr++) {
                int error = madvise(base + at * 4096, nr * 4096, advice[i]) != 0 ? errno : 0;
                printf("%d %zu %zu %d %d\n", advice[i], at, nr, error, at != 3 ? base[at * 4096] : 0);
            }
        }
    }
    return 0;
}

static int idle(int nr)
{
    char *base = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool good = munmap(base + 4096, 4096) == 0;
    for (int i = 0; i < nr; i++) {
        good = good && munmap(base + 4096, 4096) == 0;
        good = good && mprotect(base, 0, PROT_NONE) == 0;
        good = good && mprotect(base, 8192, PROT_READ) != 0; /* refused: the second page is not there */
        good = good && mremap(base, 4096, 4096, 0) == base;
        good = good && mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
        good = good && syscall(SYS_brk, 0) > 0;
    }
    printf("%s\n", good ? "idle" : "unexpected");
    return !good;
}

static void *turn(void *unused)
{
    while (!is_over)
        ;
    return unused;
}

/* The kernel's own list, which nobody changes on the way: is there more than one processor in it? */
static bool has_several(void)
{
    char text[4096] = "";
    int fd = open("/proc/thread-self/status", O_RDONLY);
    ssize_t len = read(fd, text, sizeof(text) - 1);
    close(fd);
    const char *line = len > 0 ? strstr(text, "Cpus_allowed_list:") : NULL;
    return line != NULL && strcspn(line, ",-") < strcspn(line, "\n");
}

static int nr_processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : -1;
}

static int spread(void)
{
    pthread_t thread;
    bool before = has_several(), after = false;
    int alone = nr_processors();
    pthread_create(&thread, NULL, turn, NULL);
    for (time_t end = time(NULL) + 20; !after && time(NULL) < end;)
        after = has_several();
    printf("%s, then %s; %d and %d\n", before ? "several" : "one", after ? "several" : "one", alone, nr_processors());
    is_over = true;
    pthread_join(thread, NULL);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    int nr = argc > 2 ? atoi(argv[2]) : 0;
    if (strcmp(what, "areas") == 0)
        return areas(nr);
    if (strcmp(what, "limits") == 0)
        return limits();
    if (strcmp(what, "advise") == 0)
        return advise();
    if (strcmp(what, "late") == 0)
        return late(nr);
    if (strcmp(what, "registers") == 0)
        return registers();
    if (strcmp(what, "pause") == 0)
        return pause_with_area();
    if (strcmp(what, "fixed") == 0)
        return fixed();
    if (strcmp(what, "children") == 0)
        return children(nr);
    if (strcmp(what, "race") == 0)
        return race();
    if (strcmp(what, "idle") == 0)
        return idle(nr);
    if (strcmp(what, "spread") == 0)
        return spread();
    if (strcmp(what, "traceme") == 0) {
        printf("%s\n", ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0 ? strerror(errno) : "traced");
        return 0;
    }
    return 2;
}
