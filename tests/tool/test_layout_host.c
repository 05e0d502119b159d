/* SPDX-License-Identifier: MIT */
/* test_layout_host.c - real programs moved by layout_move before their first instruction, as they themselves see it. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "layout.h"

#define GIB(n) ((uint64_t)(n) << 30)

static struct vmk_system *host;
static char output[65536];

static int setup(void **state)
{
    struct vmk_system_options options;

    (void)state;
    vmk_system_options_init(&options, vmk_port_linux());
    assert_int_equal(kview_probe(&options.settings, &options.sysctl), 0);
    assert_int_equal(vmk_system_create(&options, &host), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return vmk_system_destroy(host);
}

static void wait_for(pid_t pid, int wanted)
{
    int status;

    do {
        assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSTOPPED(status));
    } while (status >> 8 != wanted);
}

/* Runs a command moved by a policy; its output and the layout. The exit status. */
static int run(const struct layout_policy *policy, struct layout *layout, char *const argv[])
{
    struct kview view = {0};
    int pipe_[2], status;
    size_t len = 0;
    ssize_t got;

    assert_int_equal(pipe(pipe_), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipe_[1], STDOUT_FILENO);
        close(pipe_[0]);
        personality(ADDR_NO_RANDOMIZE);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(1); /* under another tracer */
        raise(SIGSTOP);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(pipe_[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSTOPPED(status)) {
        close(pipe_[0]);
        skip();
    }
    ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    wait_for(pid, SIGTRAP | PTRACE_EVENT_EXEC << 8);
    wait_for(pid, SIGTRAP | 0x80);
    if (layout_move(pid, host, policy, UINT64_C(8) << 20, &view, layout) != 0)
        fail_msg("%s", layout->problem);
    kview_free(&view);
    ptrace(PTRACE_DETACH, pid, NULL, NULL);
    while ((got = read(pipe_[0], output + len, sizeof(output) - 1 - len)) > 0)
        len += (size_t)got;
    output[len] = '\0';
    close(pipe_[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + status;
}

static const struct kview_area *named(const struct kview *view, const char *name)
{
    for (size_t i = 0; i < view->nr_areas; i++)
        if (strcmp(view->areas[i].name, name) == 0)
            return &view->areas[i];
    fail_msg("no %s in:\n%s", name, output);
    return NULL;
}

static bool starts_at(const struct kview *view, vmk_addr address)
{
    for (size_t i = 0; i < view->nr_areas; i++)
        if (view->areas[i].start == address)
            return true;
    return false;
}

/* The stack, the specials and the heap are where they were wanted; the program works and has its heap behind it. */
static void check_maps(const struct layout_policy *policy)
{
    char *const argv[] = {(char[]){"cat"}, (char[]){"/proc/self/maps"}, NULL};
    struct kview view = {0};
    struct layout layout;

    assert_int_equal(run(policy, &layout, argv), 0);
    assert_int_equal(kview_parse(&view, output, strlen(output), NULL), 0);
    for (size_t i = 0; i < layout.nr_blocks; i++) {
        const struct layout_block *block = &layout.blocks[i];

        if (block->kind == LAYOUT_PROGRAM)
            assert_true(starts_at(&view, block->target));
        if (block->kind == LAYOUT_SPECIAL)
            assert_int_equal(named(&view, "[vvar]")->start, block->target);
        if (block->kind == LAYOUT_STACK)
            assert_int_equal(named(&view, "[stack]")->end, block->target + (block->end - block->start));
    }
    assert_true(named(&view, "[heap]")->start > layout.low && named(&view, "[heap]")->end < layout.high);
    kview_free(&view);
}

static void maps(void **state)
{
    (void)state;
    check_maps(&(const struct layout_policy){.va_bits = 39});
    check_maps(&(const struct layout_policy){.low = GIB(4), .high = GIB(5)});
    check_maps(&(const struct layout_policy){.seeded = true, .seed = 42});
    /* near where it lies already: by way of other places */
    check_maps(&(const struct layout_policy){.low = 0x7ffff0000000, .high = 0x7ffffffff000});
}

/* Arguments, environment, command line, clock (vdso) and threads. */
static void programs(void **state)
{
    char *const shell[] = {(char[]){"sh"}, (char[]){"-c"}, (char[]){"tr '\\0' ' ' </proc/$$/cmdline; echo $HOME$0"},
                           (char[]){"name"}, NULL};
    char *const perl[] = {(char[]){"perl"}, (char[]){"-e"}, (char[]){"print time > 1000 ? 'late' : 'early'"}, NULL};
    const struct layout_policy policy = {.low = GIB(16), .high = GIB(32), .seeded = true, .seed = 7};
    struct layout layout;

    (void)state;
    setenv("HOME", "/somewhere/", 1);
    assert_int_equal(run(&policy, &layout, shell), 0);
    assert_string_equal(output, "sh -c tr '\\0' ' ' </proc/$$/cmdline; echo $HOME$0 name /somewhere/name\n");
    assert_int_equal(run(&policy, &layout, perl), 0);
    assert_string_equal(output, "late");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(maps), cmocka_unit_test(programs)};

    return cmocka_run_group_tests(tests, setup, teardown);
}
