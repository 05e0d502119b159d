/* SPDX-License-Identifier: MIT */
/* run_layout.c - where the images of programs lie, when the options ask for another layout than the kernel's. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "inject.h"
#include "run.h"

static bool parse_address(const char *text, char **end, vmk_addr *address)
{
    errno = 0;
    *address = strtoull(text, end, 16);
    return *end != text && *text != '-' && *text != '+' && errno == 0;
}

/* As maps writes a range: both in hexadecimal, 0x or not. */
bool run_parse_window(const char *text, struct layout_policy *policy)
{
    char *end;
    return parse_address(text, &end, &policy->low) && *end == '-' && parse_address(end + 1, &end, &policy->high) &&
           *end == '\0' && policy->high != 0;
}

static void say(const struct trace_task *task, const char *what, const char *why)
{
    fprintf(stderr, "vmakit: run: %d (%s): %s: %s\n", (int)task->process->tgid, task->process->name, what, why);
}

static void say_fixed(const struct trace_task *task, const struct layout *layout)
{
    for (size_t i = 0; i < layout->nr_blocks; i++) {
        const struct layout_block *block = &layout->blocks[i];
        if (block->kind == LAYOUT_PROGRAM && (block->target < layout->low || block->target >= layout->high))
            fprintf(stderr, "vmakit: run: %d (%s) is linked to fixed addresses: its image stays outside, at %llx\n",
                    (int)task->process->tgid, task->process->name, (unsigned long long)block->start);
    }
}

bool run_arrange(struct tracer *tracer, struct trace_task *task, struct layout *layout)
{
    struct layout_policy policy = *tracer->layout;
    policy.seed = layout_draw(&task->process->seed);
    trace_process_read(tracer, task->process, task->tid);
    int error =
        layout_move(task->tid, tracer->system, &policy, task->process->rlimits.stack.soft, &tracer->view, layout);
    if (error == 0) {
        if (!tracer->options.quiet)
            say_fixed(task, layout);
        return true;
    }
    say(task, "its image cannot be moved, and the program is not run", layout->problem);
    kill(task->process->tgid, SIGKILL);
    return false;
}

/* The kernel follows a ring that moves: its context is the new address. */
bool run_move_ring(struct trace_task *task, vmk_addr from, vmk_addr to)
{
    const struct trace_call *call = &task->call;
    const uint64_t args[6] = {from, call->file_size, call->file_size, MREMAP_MAYMOVE | MREMAP_FIXED, to, 0};
    struct trace_regs regs;
    int64_t result;
    return trace_regs_read(task->tid, &regs) &&
           inject_call(task->tid, trace_regs_pc(&regs) - trace_call_instruction_len, SYS_mremap, args, &result) &&
           result == (int64_t)to && run_write_memory(task, call->args[1], &to, sizeof(to));
}
