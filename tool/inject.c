/* SPDX-License-Identifier: MIT */
#include "inject.h"

#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "trace_arch.h"

static long ask(unsigned request, pid_t tid, uintptr_t address, void *data)
{
    return ptrace((enum __ptrace_request)request, tid, (void *)address, data);
}

uint64_t inject_find(pid_t tid, uint64_t start, uint64_t end)
{
    unsigned char buffer[4096];
    size_t len = trace_call_instruction_len;

    for (uint64_t at = start; at < end; at += sizeof(buffer) - len) {
        struct iovec local = {.iov_base = buffer, .iov_len = sizeof(buffer)};
        struct iovec remote = {.iov_base = (void *)(uintptr_t)at, .iov_len = sizeof(buffer)};
        if (remote.iov_len > end - at)
            remote.iov_len = end - at;
        ssize_t got = process_vm_readv(tid, &local, 1, &remote, 1, 0);
        for (ssize_t i = 0; i + (ssize_t)len <= got; i++)
            if (memcmp(buffer + i, trace_call_instruction, len) == 0)
                return at + (uint64_t)i;
    }
    return 0;
}

/* On to the end of a call. A seccomp stop and the entry lie on the way; any other stop ends the attempt. */
static bool go_to_end(pid_t tid)
{
    struct __ptrace_syscall_info info;

    for (int stops = 0; stops < 4; stops++) {
        int status;
        pid_t got;

        if (ask(PTRACE_SYSCALL, tid, 0, NULL) != 0)
            return false;
        do
            got = waitpid(tid, &status, __WALL);
        while (got < 0 && errno == EINTR);
        if (got != tid || !WIFSTOPPED(status))
            return false;
        int event = (int)((unsigned)status >> 16);
        if (event != PTRACE_EVENT_SECCOMP && (event != 0 || WSTOPSIG(status) != (SIGTRAP | 0x80)))
            return false;
        if (ask(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) > 0 && info.op == PTRACE_SYSCALL_INFO_EXIT)
            return true;
    }
    return false;
}

bool inject_call(pid_t tid, uint64_t at, int64_t number, const uint64_t args[6], int64_t *result)
{
    struct trace_regs saved, regs;
    uint64_t signals = 0, all = UINT64_MAX; /* a signal would be delivered before the call is made */

    if (!trace_regs_read(tid, &saved) || ask(PTRACE_GETSIGMASK, tid, sizeof(signals), &signals) != 0 ||
        ask(PTRACE_SETSIGMASK, tid, sizeof(all), &all) != 0)
        return false;
    regs = saved;
    trace_regs_set_pc(&regs, at);
    trace_regs_begin_call(&regs, number, args);
    if (!trace_regs_write(tid, &regs) || !go_to_end(tid) || !trace_regs_read(tid, &regs))
        return false;
    *result = trace_regs_result(&regs);
    return trace_regs_write(tid, &saved) && ask(PTRACE_SETSIGMASK, tid, sizeof(signals), &signals) == 0;
}
