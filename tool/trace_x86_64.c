/* SPDX-License-Identifier: MIT */
/* trace_x86_64.c - what tracing needs to know of x86-64. The arguments of a call come from PTRACE_GET_SYSCALL_INFO. */
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

#else
typedef int trace_not_x86_64;
#endif
