/* SPDX-License-Identifier: MIT */
/*
 * run_fail.c - memory calls that fail on purpose: the nth one, or each with a probability. Only calls that Linux itself
 * can refuse for want of memory are counted, and each fails as Linux would let it.
 */
#include <errno.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

bool run_parse_fail(const char *text, struct run_options *options)
{
    char *end;
    errno = 0;
    if (*text < '0' || *text > '9')
        return false;
    if (strpbrk(text, ".%") == NULL) {
        options->fail_nth = strtoull(text, &end, 10);
        return errno == 0 && *end == '\0' && options->fail_nth != 0;
    }
    options->fail_probability = strtod(text, &end);
    if (*end == '%') {
        options->fail_probability /= 100;
        end++;
    }
    return errno == 0 && *end == '\0' && options->fail_probability > 0 && options->fail_probability <= 1;
}

/* Linux needs memory to unmap only where an area is split in two. */
static bool splits(struct vmk_mm *mm, vmk_addr start, uint64_t len)
{
    struct vmk_vma_info area = {.size = sizeof(area)};
    return vmk_mm_lookup(mm, start, &area) == 0 && area.start < start && len < area.end - start;
}

bool run_advice_changes_areas(uint64_t advice)
{
    switch (advice) {
    case VMK_MADV_WILLNEED:
    case VMK_MADV_DONTNEED:
    case VMK_MADV_FREE:
    case VMK_MADV_REMOVE:
    case VMK_MADV_COLD:
    case VMK_MADV_PAGEOUT:
    case VMK_MADV_DONTNEED_LOCKED:
        return false;
    default:
        return true;
    }
}

/* What Linux says when it has no memory for this call; 0: it needs none. */
static int error_of(const struct trace_task *task)
{
    const struct trace_call *call = &task->call;
    switch (call->kind) {
    case TRACE_CALL_MUNMAP:
        return splits(task->space->mm, call->args[0], call->args[1]) ? -VMK_ENOMEM : 0;
    case TRACE_CALL_MADVISE:
        return run_advice_changes_areas(call->args[2]) ? -VMK_EAGAIN : 0;
    case TRACE_CALL_BRK: {
        struct vmk_mm_layout layout;
        vmk_mm_get_layout(task->space->mm, &layout);
        return call->args[0] > layout.brk ? -VMK_ENOMEM : 0;
    }
    case TRACE_CALL_PKEY_ALLOC:
        return -VMK_ENOSPC;
    case TRACE_CALL_FORK:
        return -VMK_ENOMEM;
    case TRACE_CALL_CLONE:
    case TRACE_CALL_CLONE3:
        return (call->clone_flags & CLONE_VM) == 0 ? -VMK_ENOMEM : 0;
    case TRACE_CALL_MMAP:
    case TRACE_CALL_MPROTECT:
    case TRACE_CALL_PKEY_MPROTECT:
    case TRACE_CALL_MREMAP:
    case TRACE_CALL_MLOCK:
    case TRACE_CALL_MLOCK2:
    case TRACE_CALL_MSEAL:
    case TRACE_CALL_SHMAT:
    case TRACE_CALL_IO_SETUP:
    case TRACE_CALL_MBIND:
        return -VMK_ENOMEM;
    default:
        return 0;
    }
}

/* xorshift64*: the same calls fail with the same seed. */
static double draw(struct run *run)
{
    run->random ^= run->random >> 12;
    run->random ^= run->random << 25;
    run->random ^= run->random >> 27;
    return (double)((run->random * UINT64_C(0x2545f4914f6cdd1d)) >> 11) / (double)(UINT64_C(1) << 53);
}

bool run_fails(struct tracer *tracer, struct trace_task *task, int *error)
{
    struct run *run = tracer->run;
    if (run->options.fail_nth == 0 && run->options.fail_probability <= 0)
        return false;
    *error = error_of(task);
    if (*error == 0)
        return false;
    run->nr_failable++;
    bool fails = run->nr_failable == run->options.fail_nth ||
                 (run->options.fail_probability > 0 && draw(run) < run->options.fail_probability);
    if (!fails)
        return false;
    run->nr_failed++;
    if (!tracer->options.quiet)
        fprintf(stderr, "vmakit: run: call %llu, %s of %d (%s), fails on purpose: %s\n",
                (unsigned long long)run->nr_failable, trace_call_text(&task->call), (int)task->process->tgid,
                task->process->name, strerror(-*error));
    return true;
}
