/* SPDX-License-Identifier: MIT */
/* rings.c - for test_trace.sh: maps that drivers make (io_setup, io_uring), and a userfaultfd served by a thread. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096 };
static int uffd;

static void contexts(void)
{
    for (unsigned nr = 1; nr < 1200; nr = nr * 3 + 1) {
        unsigned long context = 0;
        if (syscall(SYS_io_setup, nr, &context) == 0 && nr % 2)
            syscall(SYS_io_destroy, context);
    }
}

static void uring(void)
{
    struct io_uring_params params;
    memset(&params, 0, sizeof(params));
    int fd = (int)syscall(SYS_io_uring_setup, 8, &params);
    if (fd < 0)
        return; /* not everywhere allowed */
    size_t len = params.sq_off.array + params.sq_entries * sizeof(unsigned);
    mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQ_RING);
    mmap(NULL, params.sq_entries * 64, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQES);
    mmap(NULL, len, PROT_READ | PROT_EXEC, MAP_SHARED, fd, IORING_OFF_SQ_RING);
}

static void *serve(void *unused)
{
    static char page[PAGE];
    struct uffd_msg message;
    for (int i = 0; i < 3; i++) {
        if (read(uffd, &message, sizeof(message)) != sizeof(message))
            return unused;
        struct uffdio_copy copy = {
            .dst = message.arg.pagefault.address & ~(PAGE - 1ul), .src = (unsigned long)page, .len = PAGE};
        ioctl(uffd, UFFDIO_COPY, &copy);
    }
    return unused;
}

static void faults(void)
{
    struct uffdio_api api = {.api = UFFD_API};
    pthread_t thread;
    uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) != 0)
        return;
    char *area = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_register range = {.range = {(unsigned long)area, 8 * PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    if (ioctl(uffd, UFFDIO_REGISTER, &range) != 0)
        return;
    pthread_create(&thread, NULL, serve, NULL);
    area[0] = area[PAGE] = area[2 * PAGE] = 1;
    pthread_join(thread, NULL);
    mprotect(area + 4 * PAGE, PAGE, PROT_READ);
    mprotect(area + 4 * PAGE, PAGE, PROT_READ | PROT_WRITE);
    struct uffdio_range part = {(unsigned long)area + 4 * PAGE, 2 * PAGE};
    ioctl(uffd, UFFDIO_UNREGISTER, &part);
    close(uffd);
    mprotect(area + 12 * PAGE, PAGE, PROT_READ);
}

int main(void)
{
    contexts();
    uring();
    faults();
    puts("mapped");
    return 0;
}
