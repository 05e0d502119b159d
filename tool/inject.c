/* SPDX-License-Identifier: MIT */
#include "inject.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

static long ask(unsigned request, pid_t tid, uintptr_t address, void *data)
{
    return ptrace((enum __ptrace_request)request, tid, (void *)address, data);
}

bool inject_read_regs(pid_t tid, struct user_regs_struct *regs)
{
    struct iovec iov = {.iov_base = regs, .iov_len = sizeof(*regs)};

    return ask(PTRACE_GETREGSET, tid, NT_PRSTATUS, &iov) == 0 && iov.iov_len == sizeof(*regs);
}

bool inject_write_regs(pid_t tid, const struct user_regs_struct *regs)
{
    struct user_regs_struct copy = *regs;
    struct iovec iov = {.iov_base = &copy, .iov_len = sizeof(copy)};

    return ask(PTRACE_SETREGSET, tid, NT_PRSTATUS, &iov) == 0;
}

uint64_t inject_find(pid_t tid, uint64_t start, uint64_t end)
{
    unsigned char buffer[4096];
    size_t len = inject_instruction_len;

    for (uint64_t at = start; at < end; at += sizeof(buffer) - len) {
        struct iovec local = {.iov_base = buffer, .iov_len = sizeof(buffer)};
        struct iovec remote = {.iov_base = (void *)(uintptr_t)at, .iov_len = sizeof(buffer)};
        if (remote.iov_len > end - at)
            remote.iov_len = end - at;
        ssize_t got = process_vm_readv(tid, &local, 1, &remote, 1, 0);
        for (ssize_t i = 0; i + (ssize_t)len <= got; i++)
            if (memcmp(buffer + i, inject_instruction, len) == 0)
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
    struct user_regs_struct saved, regs;

    if (!inject_read_regs(tid, &saved))
        return false;
    regs = saved;
    inject_set_pc(&regs, at);
    inject_set_call(&regs, number, args);
    if (!inject_write_regs(tid, &regs) || !go_to_end(tid) || !inject_read_regs(tid, &regs))
        return false;
    *result = inject_result(&regs);
    return inject_write_regs(tid, &saved);
}
