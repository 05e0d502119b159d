/* SPDX-License-Identifier: MIT */
/*
 * run_apply.c - what the engine has decided, put into the registers of a stopped task.
 *
 * A call that goes to the kernel as it is costs no change of registers at all. After one that was changed the argument
 * registers are as before: a program may rely on them. A second call at the end of the first runs the same instruction
 * again; meanwhile signals are blocked, as a handler would see the registers half-way.
 */
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "run.h"

void run_apply_begin(struct trace_task *task)
{
    struct trace_apply *apply = &task->apply;
    apply->known = apply->changed = apply->repeated = apply->is_cut = apply->is_plain = false;
    apply->kernel_error = 0;
    apply->cursor = 0;
    memcpy(apply->args, task->call.args, sizeof(apply->args));
}

bool run_write_memory(const struct trace_task *task, uint64_t address, const void *buffer, size_t len)
{
    struct iovec local = {.iov_base = (void *)(uintptr_t)buffer, .iov_len = len};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = len};
    return process_vm_writev(task->tid, &local, 1, &remote, 1, 0) == (ssize_t)len;
}

/* The registers at the entry of the call: read once. */
static bool know_registers(struct trace_task *task)
{
    struct trace_apply *apply = &task->apply;
    if (!apply->known)
        apply->known = trace_regs_read(task->tid, &apply->before);
    return apply->known;
}

static void put_arguments(const struct trace_apply *apply, const struct trace_call *call, struct trace_regs *regs)
{
    for (unsigned i = 0; i < 6; i++)
        if (apply->args[i] != call->args[i])
            trace_regs_set_argument(regs, i, apply->args[i]);
}

enum trace_way run_apply_skip(struct trace_task *task, int64_t value)
{
    if (know_registers(task)) {
        struct trace_regs regs = task->apply.before;
        trace_regs_set_call(&regs, -1);
        trace_regs_set_result(&regs, value);
        trace_regs_write(task->tid, &regs);
    }
    return TRACE_GO_ON;
}

enum trace_way run_apply_send(struct trace_task *task)
{
    struct trace_apply *apply = &task->apply;
    if (memcmp(apply->args, task->call.args, sizeof(apply->args)) == 0 || !know_registers(task))
        return TRACE_SEE_END;
    struct trace_regs regs = apply->before;
    put_arguments(apply, &task->call, &regs);
    apply->changed = trace_regs_write(task->tid, &regs);
    return TRACE_SEE_END;
}

enum trace_way run_apply_other(struct trace_task *task, int number)
{
    struct trace_apply *apply = &task->apply;
    if (!know_registers(task))
        return TRACE_GO_ON;
    struct trace_regs regs = apply->before;
    put_arguments(apply, &task->call, &regs);
    trace_regs_set_call(&regs, number);
    apply->changed = trace_regs_write(task->tid, &regs);
    return TRACE_SEE_END;
}

/* What was known at the entry is gone when the registers were not read there. */
static bool know_registers_at_end(struct trace_task *task)
{
    struct trace_apply *apply = &task->apply;
    if (apply->known)
        return true;
    if (!know_registers(task))
        return false;
    for (unsigned i = 0; i < 6; i++)
        trace_regs_set_argument(&apply->before, i, task->call.args[i]);
    return true;
}

enum trace_way run_apply_repeat(struct trace_task *task)
{
    struct trace_apply *apply = &task->apply;
    const uint64_t all = ~UINT64_C(0);
    if (!know_registers_at_end(task))
        return TRACE_GO_ON;
    if (!apply->repeated) {
        ptrace(PTRACE_GETSIGMASK, task->tid, sizeof(apply->signals), &apply->signals);
        ptrace(PTRACE_SETSIGMASK, task->tid, sizeof(all), &all);
    }
    apply->repeated = apply->changed = true;
    struct trace_regs regs = apply->before;
    put_arguments(apply, &task->call, &regs);
    trace_regs_rewind(&regs);
    trace_regs_write(task->tid, &regs);
    return TRACE_AGAIN;
}

enum trace_way run_apply_return(struct trace_task *task, int64_t got, int64_t value)
{
    struct trace_apply *apply = &task->apply;
    if (apply->repeated)
        ptrace(PTRACE_SETSIGMASK, task->tid, sizeof(apply->signals), &apply->signals);
    if ((apply->changed || got != value) && know_registers_at_end(task)) {
        struct trace_regs regs = apply->before;
        trace_regs_set_result(&regs, value);
        trace_regs_write(task->tid, &regs);
    }
    return TRACE_GO_ON;
}
