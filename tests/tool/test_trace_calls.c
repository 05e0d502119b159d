/* SPDX-License-Identifier: MIT */
/*
 * test_trace_calls.c - from system calls to engine requests and back, without a traced process: the part of the tracer
 * that is the same wherever it runs.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "commands.h"
#include "trace.h"

struct fixture {
    struct tracer tracer;
    struct trace_process process;
    struct trace_space space;
    struct trace_task task;
};

static int setup(void **state)
{
    static struct fixture fixture;
    struct vmk_system_options system;
    struct vmk_mm_options options;
    memset(&fixture, 0, sizeof(fixture));
    fixture.tracer.mode = &trace_mode_trace;
    vmk_system_options_init(&system, vmk_port_linux());
    if (vmk_system_create(&system, &fixture.tracer.system) != 0)
        return -1;
    vmk_mm_options_init(&options);
    options.personality = VMK_ADDR_NO_RANDOMIZE;
    if (vmk_mm_create(fixture.tracer.system, &options, &fixture.space.mm) != 0)
        return -1;
    fixture.process.rlimits = options.rlimits;
    fixture.process.tgid = fixture.task.tid = getpid();
    fixture.space.maps_fd = fixture.space.pagemap_fd = fixture.task.pidfd = fixture.task.stat_fd = -1;
    fixture.space.personality = VMK_ADDR_NO_RANDOMIZE;
    fixture.task.process = &fixture.process;
    fixture.task.space = &fixture.space;
    fixture.space.nr_tasks = 1;
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    trace_record_space_end(&fixture->space);
    vmk_mm_put(fixture->space.mm);
    kview_free(&fixture->tracer.view);
    return vmk_system_destroy(fixture->tracer.system);
}

static void begin(struct fixture *fixture, enum trace_call_kind kind, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    struct trace_call *call = &fixture->task.call;
    memset(call, 0, sizeof(*call));
    call->kind = kind;
    call->args[0] = a;
    call->args[1] = b;
    call->args[2] = c;
    call->args[3] = d;
    call->args[4] = UINT64_MAX;
}

/* Runs a call of which the kernel is said to return what the engine does. */
static int64_t run(struct fixture *fixture, enum trace_call_kind kind, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    struct trace_call *call = &fixture->task.call;
    begin(fixture, kind, a, b, c, d);
    assert_true(trace_call_enter(&fixture->tracer, &fixture->task));
    assert_true(call->mirrored);
    int64_t value = call->expect == TRACE_EXPECT_BREAK    ? (int64_t)call->result.value
                    : call->result.error != 0             ? call->result.error
                    : call->expect == TRACE_EXPECT_STATUS ? 0
                                                          : (int64_t)call->result.value;
    trace_call_leave(&fixture->tracer, &fixture->task, value);
    return value;
}

static void test_names(void **state)
{
    (void)state;
    for (int kind = TRACE_CALL_NONE; kind < TRACE_CALL_COUNT; kind++) {
        assert_non_null(trace_call_name((enum trace_call_kind)kind));
        if (kind == TRACE_CALL_ACCESS_PREAD)
            continue; /* run has the same call for other reasons */
        for (int other = TRACE_CALL_NONE; other < kind; other++)
            assert_string_not_equal(trace_call_name((enum trace_call_kind)kind),
                                    trace_call_name((enum trace_call_kind)other));
    }
    assert_string_equal(trace_call_name(TRACE_CALL_PKEY_MPROTECT), "pkey_mprotect");
    assert_true(trace_call_is_memory(TRACE_CALL_MUNMAP));
    assert_false(trace_call_is_memory(TRACE_CALL_EXECVE));
}

static void test_calls(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t anonymous = VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS;
    int64_t area = run(fixture, TRACE_CALL_MMAP, 0, 0x8000, VMK_PROT_READ | VMK_PROT_WRITE, anonymous);
    assert_true(area > 0);
    assert_string_equal(fixture->task.call.text, "mmap(0x0, 0x8000, 0x3, 0x22, 0xffffffffffffffff, 0x0)");
    uint64_t at = (uint64_t)area;
    assert_int_equal(run(fixture, TRACE_CALL_MPROTECT, at + 0x2000, 0x1000, VMK_PROT_READ, 0), 0);
    assert_int_equal(run(fixture, TRACE_CALL_MADVISE, at, 0x1000, VMK_MADV_DONTFORK, 0), 0);
    assert_int_equal(run(fixture, TRACE_CALL_MUNMAP, at + 1, 0x1000, 0, 0), -EINVAL);
    assert_int_equal(run(fixture, TRACE_CALL_MUNMAP, at + 0x7000, 0x1000, 0, 0), 0);
    assert_true(run(fixture, TRACE_CALL_MREMAP, at + 0x4000, 0x3000, 0x9000, VMK_MREMAP_MAYMOVE) > 0);
    assert_int_equal(run(fixture, TRACE_CALL_MLOCK, at, 0x1000, 0, 0), 0);
    assert_int_equal(run(fixture, TRACE_CALL_MUNLOCK, at, 0x1000, 0, 0), 0);
    assert_int_equal(fixture->tracer.nr_calls, 8);
    assert_int_equal(fixture->process.calls[TRACE_CALL_MUNMAP], 2);
    assert_int_equal(fixture->tracer.divergences, 0);
    assert_true(fixture->process.nr_placed >= 1);
    assert_int_equal(fixture->process.nr_placed, fixture->process.nr_predicted);
    assert_int_equal(vmk_mm_validate(fixture->space.mm, NULL, NULL), 0);
}

static void test_interrupted_call_does_not_count(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, TRACE_CALL_MADVISE, 0x10000, 0x1000, VMK_MADV_WILLNEED, 0);
    assert_true(trace_call_enter(&fixture->tracer, &fixture->task));
    trace_call_leave(&fixture->tracer, &fixture->task, -513); /* ERESTARTNOINTR: it comes again */
    assert_int_equal(fixture->tracer.nr_calls, 0);
}

static void test_divergence(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, TRACE_CALL_MMAP, 0, 0x1000, VMK_PROT_READ, VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS);
    assert_true(trace_call_enter(&fixture->tracer, &fixture->task));
    trace_call_leave(&fixture->tracer, &fixture->task, 0x1234000);
    assert_int_equal(fixture->tracer.divergences, 1);
    assert_int_equal(fixture->process.divergences, 1);
    assert_true(fixture->space.lost);
    assert_true(fixture->tracer.stop);
    assert_int_equal(fixture->tracer.exit_status, EXIT_TRACE_DIVERGED);
    /* A diverged space is let run. */
    begin(fixture, TRACE_CALL_MUNMAP, 0x1234000, 0x1000, 0, 0);
    assert_false(trace_call_enter(&fixture->tracer, &fixture->task));
}

static void test_another_tracer(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, TRACE_CALL_PTRACE, 0, 0, 0, 0);
    trace_call_enter(&fixture->tracer, &fixture->task);
    assert_true(fixture->tracer.stop);
    assert_int_equal(fixture->tracer.exit_status, EXIT_TRACE_FAILED);
}

static void test_foreign_call(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, TRACE_CALL_FOREIGN, 0, 0, 0, 0);
    assert_false(trace_call_enter(&fixture->tracer, &fixture->task));
    assert_true(fixture->space.lost);
    assert_int_equal(fixture->tracer.nr_unmirrored, 1);
    assert_int_equal(fixture->tracer.divergences, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test_setup_teardown(test_calls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_interrupted_call_does_not_count, setup, teardown),
        cmocka_unit_test_setup_teardown(test_divergence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_tracer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_call, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
