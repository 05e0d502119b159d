/* SPDX-License-Identifier: MIT */
/*
 * inject.h - system calls made in a stopped task's name: its registers are set up as if it made them, and put back.
 */
#ifndef VMAKIT_TOOL_INJECT_H
#define VMAKIT_TOOL_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

/* ---- Architecture: trace_ARCH.c ---- */

/* The instruction that makes a system call. */
extern const unsigned char inject_instruction[];
extern const size_t inject_instruction_len;
uint64_t inject_pc(const struct user_regs_struct *regs);
void inject_set_pc(struct user_regs_struct *regs, uint64_t pc);
uint64_t inject_sp(const struct user_regs_struct *regs);
void inject_set_sp(struct user_regs_struct *regs, uint64_t sp);
/* Number and arguments of a call that is about to be made. */
void inject_set_call(struct user_regs_struct *regs, int64_t number, const uint64_t args[6]);
int64_t inject_result(const struct user_regs_struct *regs);

/* ---- inject.c ---- */

bool inject_read_regs(pid_t tid, struct user_regs_struct *regs);
bool inject_write_regs(pid_t tid, const struct user_regs_struct *regs);
/* Address of an instruction that makes a system call, in [start, end) of the task's memory; 0: none. */
uint64_t inject_find(pid_t tid, uint64_t start, uint64_t end);
/*
 * Makes one call. The task is stopped outside a system call or at the end of one (a syscall-exit stop), and is stopped so
 * afterwards, with the registers that it had. `at` is the address of the instruction. False: the task died, or was
 * stopped by something else (a fatal signal); *result is undefined.
 */
bool inject_call(pid_t tid, uint64_t at, int64_t number, const uint64_t args[6], int64_t *result);

#endif
