/* SPDX-License-Identifier: MIT */
/* modes.c - what the areas do not show is set, many calls before something that a broken rule makes different. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, SET_MEMORY_MERGE = 67, MCL_LATER = 2 };

static int work(void)
{
    for (int i = 0; i < 300; i++)
        munmap(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), PAGE);
    char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return 1;
    p[0] = 1;
    return mprotect(p, PAGE, PROT_READ) != 0;
}

int main(int argc, char **argv)
{
    int status = -1;

    (void)argv;
    prctl(SET_MEMORY_MERGE, 1, 0, 0, 0);
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    mlockall(MCL_LATER);
    if (argc == 1)
        return work();
    pid_t child = fork();
    if (child == 0)
        _exit(work());
    return waitpid(child, &status, 0) != child || status != 0;
}
