/* SPDX-License-Identifier: MIT */
/* test_trace_arch.c - the registers of a stopped task: what the architecture's file does with a copy of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "trace.h"

#if defined(__aarch64__)
#define REGS_PC(regs)          ((regs)->pc)
#define REGS_RESULT(regs)      ((regs)->x[0])
#define REGS_ARGUMENT(regs, i) ((regs)->x[i])
enum { CALL_BYTES = 4 };
#else
#define REGS_PC(regs)     ((regs)->native.rip)
#define REGS_RESULT(regs) ((regs)->native.rax)
#define REGS_ARGUMENT(regs, i)                                                                                         \
    (((const unsigned long long[]){(regs)->native.rdi, (regs)->native.rsi, (regs)->native.rdx, (regs)->native.r10,     \
                                   (regs)->native.r8, (regs)->native.r9})[i])
enum { CALL_BYTES = 2 };
#endif

static struct trace_regs filled(void)
{
    struct trace_regs regs;
    memset(&regs, 0x5a, sizeof(regs));
    return regs;
}

static void test_arguments(void **state)
{
    struct trace_regs regs = filled();
    (void)state;
    for (unsigned i = 0; i < 6; i++)
        trace_regs_set_argument(&regs, i, 100 + i);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(REGS_ARGUMENT(&regs, i), 100 + i);
    assert_int_equal(REGS_PC(&regs), UINT64_C(0x5a5a5a5a5a5a5a5a));
}

/* A call that is left out returns what was set. */
static void test_skip(void **state)
{
    struct trace_regs regs = filled();
    (void)state;
    trace_regs_set_call(&regs, -1);
    trace_regs_set_result(&regs, -12);
    assert_int_equal((int64_t)REGS_RESULT(&regs), -12);
#if defined(__aarch64__)
    assert_int_equal(regs.number, -1);
    assert_true(regs.number_changed);
#else
    assert_int_equal((int64_t)regs.native.orig_rax, -1);
#endif
}

/* The same call once more: back by one instruction, with the number where the processor looks for it. */
static void test_rewind(void **state)
{
    struct trace_regs regs = filled();
    (void)state;
#if defined(__aarch64__)
    regs.number = 222;
    trace_regs_rewind(&regs);
    assert_int_equal(regs.x[8], 222);
#else
    regs.native.orig_rax = 9;
    trace_regs_rewind(&regs);
    assert_int_equal(regs.native.rax, 9);
    assert_int_equal((int64_t)regs.native.orig_rax, -1);
#endif
    assert_int_equal(REGS_PC(&regs), UINT64_C(0x5a5a5a5a5a5a5a5a) - CALL_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_skip),
        cmocka_unit_test(test_rewind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
