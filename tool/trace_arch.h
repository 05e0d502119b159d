/* SPDX-License-Identifier: MIT */
/*
 * trace_arch.h - the registers of a stopped task, as system calls use them: the file trace_ARCH.c of the architecture that
 * is built for has these functions. All but read and write only work on the copy.
 */
#ifndef VMAKIT_TOOL_TRACE_ARCH_H
#define VMAKIT_TOOL_TRACE_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

struct trace_regs {
#if defined(__aarch64__)
    uint64_t x[31], sp, pc, pstate; /* NT_PRSTATUS, in its order */
    int32_t number;                 /* NT_ARM_SYSTEM_CALL */
    bool number_changed;
#else
    struct user_regs_struct native;
#endif
};

/* By ptrace; false when the task has vanished. */
bool trace_regs_read(pid_t tid, struct trace_regs *regs);
bool trace_regs_write(pid_t tid, const struct trace_regs *regs);

/* At the entry of a call. */
void trace_regs_set_argument(struct trace_regs *regs, unsigned index, uint64_t value);
void trace_regs_set_call(struct trace_regs *regs, long number); /* another call; -1: none, the result stands */
/* At its end, or with set_call(-1). */
void trace_regs_set_result(struct trace_regs *regs, int64_t value);
int64_t trace_regs_result(const struct trace_regs *regs);
/* At the end of a call whose registers were `regs` at its entry: the same call instruction runs once more. */
void trace_regs_rewind(struct trace_regs *regs);

/* Does a program find its first argument again after a call? Otherwise the result is there. */
extern const bool trace_argument_survives;

/* Where the program is. */
uint64_t trace_regs_pc(const struct trace_regs *regs);
void trace_regs_set_pc(struct trace_regs *regs, uint64_t pc);
uint64_t trace_regs_sp(const struct trace_regs *regs);
void trace_regs_set_sp(struct trace_regs *regs, uint64_t sp);
/* Outside a call: the registers with which the program counter's instruction makes one. */
void trace_regs_begin_call(struct trace_regs *regs, int64_t number, const uint64_t args[6]);
/* That instruction. */
extern const unsigned char trace_call_instruction[];
extern const size_t trace_call_instruction_len;

#endif
