/* SPDX-License-Identifier: MIT */
/* threads.c - for test_trace.sh: threads that map, write and unmap beside each other. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, THREADS = 6, ROUNDS = 60 };

static void *work(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    char *areas[8] = {0};
    for (int round = 0; round < ROUNDS; round++) {
        unsigned i = (unsigned)rand_r(&seed) % 8;
        size_t len = (1 + i % 3) * PAGE;
        if (areas[i] == NULL) {
            areas[i] = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (rand_r(&seed) % 2)
                areas[i][0] = 1;
        } else if (rand_r(&seed) % 3 == 0) {
            mprotect(areas[i], len, rand_r(&seed) % 2 ? PROT_READ : PROT_READ | PROT_WRITE);
        } else {
            munmap(areas[i], len);
            areas[i] = NULL;
        }
        free(malloc(1000 * (size_t)(rand_r(&seed) % 300)));
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, (void *)(i + 1));
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    puts("joined");
    return 0;
}
