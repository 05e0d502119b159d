/* SPDX-License-Identifier: MIT */
/*
 * fuzz_comm.h - the block that the tool and its workers share, at FUZZ_COMM_ADDRESS in each of them.
 *
 * Layout: this structure in the first page, a data buffer in the second, then the stack of the zygote, the stack of the
 * worker and its signal stack. One side writes while the other waits, so nothing but the two states is atomic.
 */
#ifndef VMAKIT_TOOL_FUZZ_COMM_H
#define VMAKIT_TOOL_FUZZ_COMM_H

#include <stdatomic.h>
#include <stdint.h>

#include "fuzz.h"

enum fuzz_state { FUZZ_IDLE, FUZZ_REQUEST };

enum fuzz_worker_request {
    FUZZ_WORKER_SYSCALL,
    FUZZ_WORKER_READ,
    FUZZ_WORKER_WRITE,
    FUZZ_WORKER_EXECUTE,
    FUZZ_WORKER_FORK_CHILD,
    FUZZ_WORKER_FORK_PARENT
};

enum fuzz_zygote_request { FUZZ_ZYGOTE_SPAWN, FUZZ_ZYGOTE_REAP, FUZZ_ZYGOTE_EXIT };

struct fuzz_comm {
    _Atomic uint32_t state;        /* of the worker */
    _Atomic uint32_t zygote_state; /* of the zygote */
    uint32_t request, zygote_request;
    uint64_t nr, arg[FUZZ_MAX_ARGS];
    int64_t result, zygote_result;
    uint32_t touching; /* a signal is expected */
    uint32_t signo;
    int32_t code;
    uint64_t fault_address;
    int64_t pid; /* of the process that answered */
    uint64_t text_start, text_end;
    uint64_t start_brk;
};

#define FUZZ_BUFFER          (FUZZ_COMM_ADDRESS + 0x1000)
#define FUZZ_ZYGOTE_STACK    (FUZZ_COMM_ADDRESS + 0x6000) /* tops */
#define FUZZ_WORKER_STACK    (FUZZ_COMM_ADDRESS + 0xe000)
#define FUZZ_SIGNAL_STACK    (FUZZ_COMM_ADDRESS + 0xe000)
#define FUZZ_SIGNAL_STACK_TO (FUZZ_COMM_ADDRESS + FUZZ_COMM_BYTES)

/* Becomes the zygote: gives up all memory but the program's text and the shared block. Never returns. */
void fuzz_zygote_enter(void);

#endif
