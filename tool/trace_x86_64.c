/* SPDX-License-Identifier: MIT */
/* trace_x86_64.c - what tracing needs to know of x86-64. The arguments of a call come from PTRACE_GET_SYSCALL_INFO. */
#include "inject.h"
#include "trace.h"

#if defined(__x86_64__)

const struct trace_arch trace_arch_native = {
    .audit_arch = AUDIT_ARCH_X86_64,
    .name = "x86-64",
    .numbers =
        {
            {TRACE_CALL_PROCESS_MADVISE, 440},
            {TRACE_CALL_SET_MEMPOLICY_HOME_NODE, 450},
            {TRACE_CALL_MAP_SHADOW_STACK, 453},
            {TRACE_CALL_MSEAL, 462},
            {TRACE_CALL_NONE, 0},
        },
};

/* syscall */
const unsigned char inject_instruction[] = {0x0f, 0x05};
const size_t inject_instruction_len = sizeof(inject_instruction);

uint64_t inject_pc(const struct user_regs_struct *regs)
{
    return regs->rip;
}

void inject_set_pc(struct user_regs_struct *regs, uint64_t pc)
{
    regs->rip = pc;
}

uint64_t inject_sp(const struct user_regs_struct *regs)
{
    return regs->rsp;
}

void inject_set_sp(struct user_regs_struct *regs, uint64_t sp)
{
    regs->rsp = sp;
}

void inject_set_call(struct user_regs_struct *regs, int64_t number, const uint64_t args[6])
{
    regs->rax = (uint64_t)number;
    regs->orig_rax = UINT64_MAX; /* nothing to restart */
    regs->rdi = args[0];
    regs->rsi = args[1];
    regs->rdx = args[2];
    regs->r10 = args[3];
    regs->r8 = args[4];
    regs->r9 = args[5];
}

int64_t inject_result(const struct user_regs_struct *regs)
{
    return (int64_t)regs->rax;
}

#else
typedef int trace_not_x86_64;
#endif
