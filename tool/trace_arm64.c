/* SPDX-License-Identifier: MIT */
/* trace_arm64.c - what tracing needs to know of arm64: it has no fork, vfork and arch_prctl calls. */
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

#else
typedef int trace_not_arm64;
#endif
