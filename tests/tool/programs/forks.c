/* SPDX-License-Identifier: MIT */
/* forks.c - for test_trace.sh: a chain of forks, each child changing what it inherited; vfork; exec, by a thread too. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, DEPTH = 5 };

static void chain(char *area, int depth)
{
    area[depth * PAGE] = (char)depth;
    mprotect(area + 8 * PAGE, PAGE, PROT_READ);
    madvise(area + 12 * PAGE, PAGE, depth % 2 ? MADV_DONTFORK : MADV_DOFORK);
    if (depth == DEPTH)
        return;
    pid_t child = fork();
    if (child == 0) {
        mprotect(area + 8 * PAGE, PAGE, PROT_READ | PROT_WRITE);
        area[9 * PAGE] = 1;
        munmap(area + 10 * PAGE, PAGE);
        mmap(area + 10 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        free(malloc(200000));
        chain(area, depth + 1);
        _exit(depth);
    }
    mprotect(area + 8 * PAGE, PAGE, PROT_READ | PROT_WRITE);
    mremap(area + 14 * PAGE, PAGE, 3 * PAGE, MREMAP_MAYMOVE);
    waitpid(child, NULL, 0);
    munmap(area + 14 * PAGE, PAGE);
}

static char *self;

static void *exec_from_thread(void *unused)
{
    (void)unused;
    execl(self, self, "end", (char *)NULL);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        puts("executed");
        return 3;
    }
    self = argv[0];
    char *area = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    area[0] = 1;
    chain(area, 0);
    if (vfork() == 0)
        execl("/bin/true", "true", (char *)NULL);
    wait(NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, exec_from_thread, NULL);
    pthread_join(thread, NULL);
    return 1;
}
