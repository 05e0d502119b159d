/* SPDX-License-Identifier: MIT */
/* breaks.c - --break RULE of the commands: test builds break one rule of the engine, to show that it is noticed. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "vmakit/testing.h"

bool command_break(const char *command, const char *rule, int *status)
{
#if defined(VMAKIT_TEST_BUILD) && VMAKIT_TEST_BUILD
    const char *name, *meaning;

    *status = EXIT_GOOD;
    if (strcmp(rule, "help") == 0) {
        for (size_t i = 0; (name = vmk_test_break_at(i, &meaning)) != NULL; i++)
            printf("%-18s %s\n", name, meaning);
        return false;
    }
    if (vmk_test_break(rule) == 0)
        return true;
    fprintf(stderr, "vmakit %s: there is no rule '%s'; --break=help lists them\n", command, rule);
#else
    (void)rule;
    fprintf(stderr, "vmakit %s: --break is for test builds (cmake --preset testing)\n", command);
#endif
    *status = EXIT_USAGE;
    return false;
}
