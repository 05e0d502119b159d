/* SPDX-License-Identifier: MIT */
/* count.c - one pass of one operation of work.h, in a function that scripts/check-callgrind.sh has counted. */
#include <stdio.h>
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

    while (argc == 2 && operation->name != NULL && strcmp(operation->name, argv[1]) != 0)
        operation++;
    if (argc != 2 || operation->name == NULL || operation->run == NULL) {
        fprintf(stderr, "usage: count OPERATION\n");
        return 2;
    }
    work_open(AREAS, false);
    if (operation->prepare != NULL)
        operation->prepare();
    counted_pass(operation);
    if (operation->finish != NULL)
        operation->finish();
    work_close();
    return 0;
}
