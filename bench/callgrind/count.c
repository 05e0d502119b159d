/* SPDX-License-Identifier: MIT */
/*
 * count.c - one pass of one operation of work.h, in a function that scripts/check-callgrind.sh has counted; prints how many
 * operations that was.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "work.h"

enum { AREAS = 1000 };

__attribute__((noinline)) uint64_t counted_pass(const struct work_operation *operation);

uint64_t counted_pass(const struct work_operation *operation)
{
    return operation->run();
}

int main(int argc, char **argv)
{
    const struct work_operation *operation = work_operations;

    while (argc >= 2 && operation->name != NULL && strcmp(operation->name, argv[1]) != 0)
        operation++;
    if (argc < 2 || argc > 3 || operation->name == NULL || operation->run == NULL) {
        fprintf(stderr, "usage: count OPERATION [AREAS]\n");
        return 2;
    }
    work_open(argc == 3 ? strtoul(argv[2], NULL, 10) : AREAS, false, false);
    if (operation->prepare != NULL)
        operation->prepare();
    counted_pass(operation);
    printf("%zu\n", operation->nr());
    if (operation->finish != NULL)
        operation->finish();
    work_close();
    return 0;
}
