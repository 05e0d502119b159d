/* SPDX-License-Identifier: MIT */
/* stack.c - for test_trace.sh: a stack that grows, between memory calls and at the very end; then a signal. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

static int deep(int depth)
{
    volatile char room[16384];
    memset((char *)room, depth, sizeof(room));
    if (depth % 50 == 0)
        free(malloc(300000));
    return depth == 0 ? room[5] : deep(depth - 1) + room[7];
}

int main(int argc, char **argv)
{
    struct rlimit limit = {4 << 20, 4 << 20};
    (void)argv;
    deep(100);
    puts("deep");
    fflush(stdout);
    setrlimit(RLIMIT_STACK, &limit);
    if (argc > 1)
        raise(SIGTERM);
    deep(1000); /* beyond the limit */
    return 0;
}
