/* SPDX-License-Identifier: MIT */
/*
 * trace_arm64.c - what tracing needs to know of arm64: it has no fork, vfork and arch_prctl calls; x0 is both the first
 * argument and the result, x8 the number, which a tracer changes through a register set of its own.
 */
#include "trace.h"

#if defined(__aarch64__)

#include <elf.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#ifndef NT_ARM_SYSTEM_CALL
#define NT_ARM_SYSTEM_CALL 0x404
#endif

const struct trace_arch trace_arch_native = {
    .audit_arch = AUDIT_ARCH_AARCH64,
    .name = "arm64",
    .numbers =
        {
            {TRACE_CALL_PROCESS_MADVISE, 440},
            {TRACE_CALL_SET_MEMPOLICY_HOME_NODE, 450},
            {TRACE_CALL_MAP_SHADOW_STACK, 453},
            {TRACE_CALL_MSEAL, 462},
            {TRACE_CALL_NONE, 0},
        },
};

enum { CALL_INSTRUCTION_BYTES = 4, NUMBER_REGISTER = 8 };

/* svc #0 */
const unsigned char trace_call_instruction[] = {0x01, 0x00, 0x00, 0xd4};
const size_t trace_call_instruction_len = sizeof(trace_call_instruction);

uint64_t trace_regs_pc(const struct trace_regs *regs)
{
    return regs->pc;
}

void trace_regs_set_pc(struct trace_regs *regs, uint64_t pc)
{
    regs->pc = pc;
}

uint64_t trace_regs_sp(const struct trace_regs *regs)
{
    return regs->sp;
}

void trace_regs_set_sp(struct trace_regs *regs, uint64_t sp)
{
    regs->sp = sp;
}

void trace_regs_begin_call(struct trace_regs *regs, int64_t number, const uint64_t args[6])
{
    regs->x[NUMBER_REGISTER] = (uint64_t)number;
    for (size_t i = 0; i < 6; i++)
        regs->x[i] = args[i];
}

int64_t trace_regs_result(const struct trace_regs *regs)
{
    return (int64_t)regs->x[0];
}

_Static_assert(offsetof(struct trace_regs, number) == 34 * sizeof(uint64_t), "the general registers come first");

bool trace_regs_read(pid_t tid, struct trace_regs *regs)
{
    struct iovec general = {.iov_base = regs, .iov_len = offsetof(struct trace_regs, number)};
    regs->number_changed = false;
    if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &general) != 0)
        return false;
    regs->number = (int32_t)regs->x[NUMBER_REGISTER];
    return true;
}

bool trace_regs_write(pid_t tid, const struct trace_regs *regs)
{
    struct trace_regs copy = *regs;
    struct iovec general = {.iov_base = &copy, .iov_len = offsetof(struct trace_regs, number)};
    struct iovec number = {.iov_base = &copy.number, .iov_len = sizeof(copy.number)};
    return ptrace(PTRACE_SETREGSET, tid, (void *)NT_PRSTATUS, &general) == 0 &&
           (!copy.number_changed || ptrace(PTRACE_SETREGSET, tid, (void *)NT_ARM_SYSTEM_CALL, &number) == 0);
}

const bool trace_argument_survives = false;

void trace_regs_set_argument(struct trace_regs *regs, unsigned index, uint64_t value)
{
    regs->x[index] = value;
}

void trace_regs_set_call(struct trace_regs *regs, long number)
{
    regs->number = (int32_t)number;
    regs->number_changed = true;
}

void trace_regs_set_result(struct trace_regs *regs, int64_t value)
{
    regs->x[0] = (uint64_t)value;
}

void trace_regs_rewind(struct trace_regs *regs)
{
    regs->pc -= CALL_INSTRUCTION_BYTES;
    regs->x[NUMBER_REGISTER] = (uint64_t)(uint32_t)regs->number;
}

#else
typedef int trace_not_arm64;
#endif
