/* SPDX-License-Identifier: MIT */
/*
 * run_limits.c - the limits of memory as the program sees and sets them. They live in the engine, which answers; the
 * kernel's soft limits follow them as far as its hard ones allow: it grows stacks and executes programs by itself, and
 * where a call fails half-way both are to fail at the same place.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "run.h"

static const struct {
    const char *name;
    __rlimit_resource_t resource;
} limit_names[RUN_LIMITS] = {
    [RUN_LIMIT_AS] = {"AS", RLIMIT_AS},
    [RUN_LIMIT_DATA] = {"DATA", RLIMIT_DATA},
    [RUN_LIMIT_STACK] = {"STACK", RLIMIT_STACK},
    [RUN_LIMIT_MEMLOCK] = {"MEMLOCK", RLIMIT_MEMLOCK},
};

/* ---- Options ---- */

bool run_parse_size(const char *text, uint64_t *size)
{
    static const char units[] = "KMGT";
    char *end;
    if (strcmp(text, "unlimited") == 0) {
        *size = VMK_RLIM_INFINITY;
        return true;
    }
    errno = 0;
    *size = strtoull(text, &end, 10);
    if (errno != 0 || *text < '0' || *text > '9')
        return false;
    const char *unit = *end != '\0' ? strchr(units, *end >= 'a' ? *end - 'a' + 'A' : *end) : NULL;
    if (unit == NULL)
        return *end == '\0';
    unsigned shift = 10 * (unsigned)(unit - units + 1);
    if (end[1] != '\0' || *size > UINT64_MAX >> shift)
        return false;
    *size <<= shift;
    return true;
}

/* "AS=1G,DATA=64M" */
bool run_parse_limits(const char *text, struct run_options *options)
{
    char copy[256], *rest = copy;
    if (strlen(text) >= sizeof(copy))
        return false;
    strcpy(copy, text);
    for (char *word; (word = strsep(&rest, ",")) != NULL;) {
        char *value = strchr(word, '=');
        unsigned which = 0;
        if (value == NULL)
            return false;
        *value++ = '\0';
        while (which < RUN_LIMITS && strcasecmp(word, limit_names[which].name) != 0)
            which++;
        if (which == RUN_LIMITS || !run_parse_size(value, &options->limits[which]))
            return false;
        options->has_limit[which] = true;
    }
    return true;
}

/* ---- At the start ---- */

static struct vmk_rlimit *limit_of(struct vmk_rlimits *rlimits, enum run_limit which)
{
    struct vmk_rlimit *const limits[] = {&rlimits->as, &rlimits->data, &rlimits->stack, &rlimits->memlock};
    return limits[which];
}

static uint64_t from_rlim(rlim_t value)
{
    return value == RLIM_INFINITY ? VMK_RLIM_INFINITY : value;
}

void run_limits_read(struct run *run)
{
    for (unsigned i = 0; i < RUN_LIMITS; i++) {
        struct vmk_rlimit *limit = limit_of(&run->rlimits, (enum run_limit)i);
        struct rlimit now;
        getrlimit(limit_names[i].resource, &now);
        *limit = (struct vmk_rlimit){from_rlim(now.rlim_cur), from_rlim(now.rlim_max)};
        if (!run->options.has_limit[i])
            continue;
        run->is_narrow = run->is_narrow || run->options.limits[i] > limit->hard;
        limit->soft = run->options.limits[i];
        limit->hard =
            run->options.limits[i] > limit->hard || i != RUN_LIMIT_STACK ? run->options.limits[i] : limit->hard;
    }
}

/* The kernel's own soft limit: the engine's, as far as its hard limit goes (otherwise false). */
static bool tell_kernel(pid_t tid, const struct vmk_rlimits *rlimits, enum run_limit which)
{
    __rlimit_resource_t resource = limit_names[which].resource;
    struct vmk_rlimits copy = *rlimits;
    struct rlimit now;
    if (prlimit(tid, resource, NULL, &now) != 0)
        return false;
    uint64_t soft = limit_of(&copy, which)->soft, most = from_rlim(now.rlim_max);
    now.rlim_cur = soft > most || soft == VMK_RLIM_INFINITY ? now.rlim_max : soft;
    return prlimit(tid, resource, &now, NULL) == 0 && soft <= most;
}

void run_limits_in_child(const struct tracer *tracer)
{
    for (unsigned i = 0; i < RUN_LIMITS; i++)
        (void)tell_kernel(0, &tracer->run->rlimits, (enum run_limit)i); /* run_limits_read has seen to the rest */
}

/* ---- The program's calls ---- */

/* As the calls pass them. */
struct limit_abi {
    uint64_t soft, hard;
};

static bool is_ours(uint64_t resource, enum run_limit *which)
{
    for (unsigned i = 0; i < RUN_LIMITS; i++) {
        if ((uint64_t)limit_names[i].resource == resource) {
            *which = (enum run_limit)i;
            return true;
        }
    }
    return false;
}

static int check_change(const struct trace_task *task, const struct vmk_rlimit *old, const struct limit_abi *new)
{
    if (new->soft > new->hard)
        return -VMK_EINVAL;
    bool may_raise = (vmk_mm_capabilities(task->space->mm) & VMK_CAP_SYS_RESOURCE) != 0;
    return new->hard > old->hard && !may_raise ? -VMK_EPERM : 0;
}

/* Reads `address`, writes the old limit to `old_address`: either may be 0. The result of the call. */
static int answer(struct run *run, struct trace_task *task, struct trace_process *process, enum run_limit which,
                  uint64_t address, uint64_t old_address)
{
    struct vmk_rlimit *limit = limit_of(&process->rlimits, which);
    struct limit_abi new, old = {limit->soft, limit->hard};
    if (address != 0) {
        if (!trace_read_memory(task, address, &new, sizeof(new)))
            return -VMK_EFAULT;
        int error = check_change(task, limit, &new);
        if (error != 0)
            return error;
        *limit = (struct vmk_rlimit){new.soft, new.hard};
        process->limits_generation++;
        run->is_narrow = !tell_kernel(process->tgid, &process->rlimits, which) || run->is_narrow;
    }
    return old_address != 0 && !run_write_memory(task, old_address, &old, sizeof(old)) ? -VMK_EFAULT : 0;
}

enum trace_way run_limits_enter(struct tracer *tracer, struct trace_task *task)
{
    const struct trace_call *call = &task->call;
    bool is_prlimit = call->kind == TRACE_CALL_PRLIMIT64;
    uint64_t resource = (uint32_t)call->args[is_prlimit ? 1 : 0], new = 0, old = 0;
    struct trace_task *target = task;
    enum run_limit which;
    if (is_prlimit && call->args[0] != 0)
        target = trace_task_find(tracer, (pid_t)call->args[0]);
    if (!is_ours(resource, &which) || target == NULL || target->process == NULL || target->process->ignored)
        return TRACE_GO_ON;
    if (is_prlimit) {
        new = call->args[2];
        old = call->args[3];
    } else {
        *(call->kind == TRACE_CALL_SETRLIMIT ? &new : &old) = call->args[1];
        if (call->args[1] == 0)
            return run_apply_skip(task, -VMK_EFAULT);
    }
    return run_apply_skip(task, answer(tracer->run, task, target->process, which, new, old));
}
