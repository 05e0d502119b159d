/* SPDX-License-Identifier: MIT */
/* breaks.c - which rule is broken; nothing in an ordinary build. */
#include "base/breaks.h"

#include "vmakit/testing.h"

#if defined(VMAKIT_TEST_BUILD) && VMAKIT_TEST_BUILD
enum vmki_break vmki_broken;

static const struct break_row {
    const char *name, *meaning;
} break_rows[] = {
#define BREAK_ROW(rule, meaning) {#rule, meaning},
    VMKI_BREAKS(BREAK_ROW)
#undef BREAK_ROW
};

const char *vmk_test_break_at(size_t i, const char **meaning)
{
    if (i >= VMKI_ARRAY_SIZE(break_rows))
        return NULL;
    *meaning = break_rows[i].meaning;
    return break_rows[i].name;
}

int vmk_test_break(const char *rule)
{
    vmki_broken = VMKI_BREAK_NONE;
    if (rule == NULL)
        return 0;
    for (size_t i = 0; i < VMKI_ARRAY_SIZE(break_rows); i++) {
        size_t len = vmki_strlen(break_rows[i].name);

        if (vmki_strlen(rule) == len && memcmp(rule, break_rows[i].name, len) == 0) {
            vmki_broken = (enum vmki_break)(i + 1);
            return 0;
        }
    }
    return -VMK_ENOENT;
}
#endif
