/* SPDX-License-Identifier: MIT */
/*
 * Reads its own map in every way that there is, and looks for what it has mapped. With an argument it prints one file
 * instead: through open, openat below a directory, or the number of a thread.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int failed;

static void check(int good, const char *what)
{
    if (!good)
        printf("FAILED %s\n", what);
    failed |= !good;
}

/* Into memory that it maps only now when `text` is NULL: the map is to have it. */
static char *read_fd(int fd, char *text)
{
    size_t room = 1 << 20, used = 0;
    ssize_t got;
    if (text == NULL)
        text = malloc(room);
    while (fd >= 0 && (got = read(fd, text + used, room - used - 1)) > 0)
        used += (size_t)got;
    text[used] = '\0';
    if (fd >= 0)
        close(fd);
    return text;
}

/* The line of an area, as maps and smaps begin it. */
static int has_area(const char *text, const void *start, size_t len, const char *perms)
{
    char line[80];
    snprintf(line, sizeof(line), "%lx-%lx %s ", (unsigned long)start, (unsigned long)start + len, perms);
    return strstr(text, line) != NULL;
}

static long number(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at != NULL ? atol(at + strlen(name)) : -1;
}

static int open_everyhow(int how, const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "/proc/self/%s", name);
    switch (how) {
    case 0:
        return (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);
#ifdef SYS_open
    case 1:
        return (int)syscall(SYS_open, path, O_RDONLY | O_CLOEXEC);
#endif
    case 2:
        return openat(open("/proc/self", O_RDONLY | O_DIRECTORY), name, O_RDONLY);
    case 3:
        snprintf(path, sizeof(path), "/proc/%d/%s", (int)getpid(), name);
        return open(path, O_RDONLY);
    case 4:
        snprintf(path, sizeof(path), "/proc/thread-self/%s", name);
        return open(path, O_RDONLY);
    case 5:
        snprintf(path, sizeof(path), "/proc/self/task/%d/%s", (int)syscall(SYS_gettid), name);
        return open(path, O_RDONLY);
    default:
        check(chdir("/proc/self") == 0, "chdir");
        return open(name, O_RDONLY);
    }
}

static void *in_a_thread(void *argument)
{
    char *status = read_fd(open("/proc/thread-self/status", O_RDONLY), NULL);
    (void)argument;
    check(number(status, "\nPid:") == syscall(SYS_gettid), "thread-self is the thread");
    check(number(status, "\nTgid:") == getpid(), "of this process");
    return NULL;
}

static void check_sizes(const char *status, const char *smaps)
{
    long sum = 0;
    for (const char *at = smaps; (at = strstr(at, "\nSize:")) != NULL; at++)
        sum += atol(at + 6);
    check(number(status, "\nVmSize:") == sum || number(status, "\nVmSize:") == sum - 4, "VmSize is the sum of smaps");
    check(number(status, "\nVmPeak:") >= number(status, "\nVmSize:"), "VmPeak");
    check(number(status, "\nVmLck:") == 16, "VmLck");
    check(number(smaps, "\nLocked:") >= 0 && strstr(smaps, "\nVmFlags: ") != NULL, "lines of smaps");
    check(number(status, "\nVmRSS:") > 0 && number(status, "\nThreads:") == 1, "the kernel's lines of status");
}

/* Descriptors that stay open: what is read again is what is then. */
static void read_again(size_t page)
{
    static char text[1 << 20];
    int fd = open("/proc/self/maps", O_RDONLY);
    ssize_t got = read(fd, text, sizeof(text) - 1);
    char *later = mmap(NULL, 5 * page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(got > 0 && lseek(fd, 0, SEEK_SET) == 0 && read(fd, text, sizeof(text) - 1) > got, "it is longer now");
    check(has_area(text, later, 5 * page, "r--s"), "what was mapped before lseek");
    mprotect(later, page, PROT_NONE);
    int copy = dup(fd);
    got = pread(copy, text, sizeof(text) - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    check(has_area(text, later, page, "---s"), "what was changed before pread");
    close(fd);
    close(copy);
}

/* A child grows its stack and maps memory while its file of areas is held open here. */
static void read_a_child(size_t page)
{
    static char text[1 << 20], path[64];
    int go[2], done[2];
    char byte = 0, *later = (char *)0x200000000;
    check(pipe(go) == 0 && pipe(done) == 0, "pipes");
    pid_t child = fork();
    if (child == 0) {
        volatile char deep[600000];
        read(go[0], &byte, 1);
        deep[0] = 1;
        mmap(later, 7 * page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        write(done[1], &byte, 1);
        read(go[0], &byte, 1);
        _exit(deep[0]);
    }
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)child);
    int fd = open(path, O_RDONLY);
    check(read(fd, text, sizeof(text) - 1) > 0 && !has_area(text, later, 7 * page, "r--s"), "a child's areas");
    write(go[1], &byte, 1);
    read(done[0], &byte, 1);
    check(lseek(fd, 0, SEEK_SET) == 0 && read(fd, text, sizeof(text) - 1) > 0, "a child's areas once more");
    check(has_area(text, later, 7 * page, "r--s"), "what a child has mapped");
    const char *stack = strstr(text, "[stack]");
    unsigned long start, end;
    while (stack > text && stack[-1] != '\n')
        stack--;
    check(sscanf(stack, "%lx-%lx", &start, &end) == 2 && end - start > 600000, "a child's stack");
    write(go[1], &byte, 1);
    close(fd);
    check(wait(NULL) == child, "wait");
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"maps", "smaps", "status"};
    const size_t page = 4096;
    if (argc > 1) {
        char *text = read_fd(open(argv[1], O_RDONLY), NULL);
        fputs(text, stdout);
        return 0;
    }
    char *a = mmap(NULL, 16 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(a + 4 * page, 4 * page, PROT_READ);
    mlock(a + 8 * page, 4 * page);
    memset(a, 1, page);
    volatile char deep[400000]; /* the stack grows */
    deep[0] = 1;
    for (int how = 0; how < 7; how++) {
        static char texts[3][1 << 20];
        for (int i = 0; i < 3; i++) {
            read_fd(open_everyhow(how, names[i]), texts[i]);
            check(strlen(texts[i]) > 500, names[i]);
        }
        for (int i = 0; i < 2; i++) {
            check(has_area(texts[i], a + 4 * page, 4 * page, "r--p"), "the area that mprotect made");
            check(has_area(texts[i], a + 8 * page, 4 * page, "rw-p"), "the area that mlock made");
            check(strstr(texts[i], "[stack]") != NULL && strstr(texts[i], "/proc\n") != NULL, "stack and program");
        }
        if (how == 0)
            check_sizes(texts[2], texts[1]);
    }
    pthread_t thread;
    pthread_create(&thread, NULL, in_a_thread, NULL);
    pthread_join(thread, NULL);
    struct stat status;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    check((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0, "O_CLOEXEC");
    check(write(fd, "x", 1) < 0, "it cannot be written");
    char *later = mmap(NULL, page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *text = read_fd(dup(fd), NULL);
    check(has_area(text, later, page, "r--s"), "what was mapped between open and read");
    munmap(later, page);
    check(lseek(fd, 0, SEEK_SET) == 0, "lseek");
    later = mmap(NULL, 3 * page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    text = read_fd(fd, text);
    check(has_area(text, later, 3 * page, "r--s"), "read again from the beginning");
    check(open("/proc/self/maps", O_RDONLY | O_DIRECTORY) < 0, "it is no directory");
    check(open("/proc/self/nothing/maps", O_RDONLY) < 0 && open("/proc/99999999/maps", O_RDONLY) < 0,
          "what is not there");
    check(stat("/proc/self/maps", &status) == 0, "stat");
    read_again(page);
    read_a_child(page);
    puts(failed ? "failed" : "read");
    return failed;
}
