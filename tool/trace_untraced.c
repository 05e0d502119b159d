/* SPDX-License-Identifier: MIT */
/*
 * trace_untraced.c - CLONE_UNTRACED: a child made with it would escape, and as the filter goes along with it, each of its
 * memory calls would fail with ENOSYS. The kernel gets the flags without it; parent and child see them as they were.
 *
 * clone has them in a register, clone3 in memory: there they are other ones for as long as the call lasts.
 */
#include <linux/sched.h>
#include <stdio.h>
#include <sys/uio.h>

#include "trace.h"

static bool write_flags(const struct trace_task *task, uint64_t flags)
{
    struct iovec local = {.iov_base = &flags, .iov_len = sizeof(flags)};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)task->hidden_at, .iov_len = sizeof(flags)};
    return process_vm_writev(task->tid, &local, 1, &remote, 1, 0) == (ssize_t)sizeof(flags);
}

static bool write_register(const struct trace_task *task, uint64_t flags)
{
    struct trace_regs regs;
    if (!trace_regs_read(task->tid, &regs))
        return false;
    trace_regs_set_argument(&regs, 0, flags);
    return trace_regs_write(task->tid, &regs);
}

bool trace_untraced_hide(struct trace_task *task)
{
    const struct trace_call *call = &task->call;
    uint64_t flags = call->args[0];
    if (call->kind != TRACE_CALL_CLONE && call->kind != TRACE_CALL_CLONE3)
        return true;
    task->hidden_at = call->kind == TRACE_CALL_CLONE3 ? call->args[0] : 0;
    if (task->hidden_at != 0 && !trace_read_memory(task, task->hidden_at, &flags, sizeof(flags)))
        return true;
    if ((flags & CLONE_UNTRACED) == 0)
        return true;
    task->hidden_flags = flags;
    flags &= ~(uint64_t)CLONE_UNTRACED;
    if (task->hidden_at != 0 ? write_flags(task, flags) : write_register(task, flags))
        return true;
    task->hidden_flags = 0;
    fprintf(stderr,
            "vmakit: %d makes a child with CLONE_UNTRACED, and its flags cannot be changed (they lie in read-only "
            "memory): refused\n",
            (int)task->tid);
    return false;
}

void trace_untraced_show(struct trace_task *task)
{
    if (task->hidden_flags == 0)
        return;
    if (task->hidden_at != 0)
        write_flags(task, task->hidden_flags);
    else if (trace_argument_survives)
        write_register(task, task->hidden_flags);
    task->hidden_flags = 0;
}

void trace_untraced_inherit(const struct trace_task *parent, struct trace_task *child)
{
    child->hidden_flags = parent->hidden_flags;
    child->hidden_at = parent->hidden_at;
}
