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

/* Address of an instruction that makes a system call, in [start, end) of the task's memory; 0: none. */
uint64_t inject_find(pid_t tid, uint64_t start, uint64_t end);
/*
 * Makes one call. The task is stopped outside a system call or at the end of one (a syscall-exit stop), and is stopped so
 * afterwards, with the registers that it had. `at` is the address of the instruction. False: the task died, or was
 * stopped by something else (a fatal signal); *result is undefined.
 */
bool inject_call(pid_t tid, uint64_t at, int64_t number, const uint64_t args[6], int64_t *result);

#endif
