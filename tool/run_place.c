/* SPDX-License-Identifier: MIT */
/* run_place.c - where a mapping goes when it is not where Linux would put it. */
#include "run.h"

bool run_place(struct tracer *tracer, struct trace_task *task, const struct trace_place *wanted, vmk_addr *address)
{
    uint64_t page = UINT64_C(1) << vmk_mm_settings(task->space->mm)->page_shift;
    if (!tracer->run->options.guard)
        return false;
    return vmk_mm_unmapped_area(task->space->mm, wanted->hint, wanted->len + page, wanted->flags, wanted->file,
                                wanted->pgoff, address) == 0;
}
