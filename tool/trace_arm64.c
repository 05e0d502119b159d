/* SPDX-License-Identifier: MIT */
/* trace_arm64.c - what tracing needs to know of arm64: it has no fork, vfork and arch_prctl calls. */
#include "inject.h"
#include "trace.h"

#if defined(__aarch64__)

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

/* svc #0 */
const unsigned char inject_instruction[] = {0x01, 0x00, 0x00, 0xd4};
const size_t inject_instruction_len = sizeof(inject_instruction);

enum { X_ARGUMENT = 0, X_NUMBER = 8 };

uint64_t inject_pc(const struct user_regs_struct *regs)
{
    return regs->pc;
}

void inject_set_pc(struct user_regs_struct *regs, uint64_t pc)
{
    regs->pc = pc;
}

uint64_t inject_sp(const struct user_regs_struct *regs)
{
    return regs->sp;
}

void inject_set_sp(struct user_regs_struct *regs, uint64_t sp)
{
    regs->sp = sp;
}

void inject_set_call(struct user_regs_struct *regs, int64_t number, const uint64_t args[6])
{
    regs->regs[X_NUMBER] = (uint64_t)number;
    for (size_t i = 0; i < 6; i++)
        regs->regs[X_ARGUMENT + i] = args[i];
}

int64_t inject_result(const struct user_regs_struct *regs)
{
    return (int64_t)regs->regs[X_ARGUMENT];
}

#else
typedef int trace_not_arm64;
#endif
