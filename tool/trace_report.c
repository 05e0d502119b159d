/* SPDX-License-Identifier: MIT */
/* trace_report.c - what trace and run tell the page of --report, and the shadow of --page-size. */
#include <string.h>

#include "trace.h"

enum { PLACES_PRINTED = 20 };

static int cannot(const struct tracer *tracer, int error)
{
    fprintf(stderr, "vmakit: %s: %s: %s\n", tracer->mode->name, tracer->options.report, strerror(error));
    return -1;
}

bool trace_report_is_wanted(const struct tracer *tracer)
{
    return tracer->report != NULL || tracer->shadow != NULL;
}

int trace_report_open(struct tracer *tracer)
{
    const struct trace_options *options = &tracer->options;
    const struct report_options wanted = {
        .path = options->report, .verb = tracer->mode->name, .argv = options->command, .has_clock = true};
    int error = options->report == NULL ? 0 : report_open(&wanted, &tracer->report);
    if (error != 0)
        return cannot(tracer, -error);
    if (options->page_shift == 0)
        return 0;
    error = shadow_open(options->page_shift, vmk_system_settings(tracer->system), tracer->report, &tracer->shadow);
    if (error != 0)
        fprintf(stderr, "vmakit: %s: --page-size: error %d\n", tracer->mode->name, -error);
    return error;
}

int trace_report_close(struct tracer *tracer)
{
    struct report *report = tracer->report;
    tracer->report = NULL;
    int error = report_close(report);
    return error == 0 ? 0 : cannot(tracer, -error);
}

void trace_report_free(struct tracer *tracer)
{
    report_drop(tracer->report);
    shadow_close(tracer->shadow);
    tracer->report = NULL;
    tracer->shadow = NULL;
}

void trace_report_summary(const struct tracer *tracer, FILE *out)
{
    shadow_summary(tracer->shadow, out, tracer->options.quiet ? 0 : PLACES_PRINTED);
}

void trace_report_exec(struct tracer *tracer, const struct trace_task *task)
{
    const struct trace_process *process = task->process;
    report_exec(tracer->report, (uint64_t)process->tgid, process->name, task->space->mm);
    shadow_exec(tracer->shadow, (uint64_t)process->tgid, task->space->mm);
}

/* A child that the parent's call has made, with areas of its own or with the parent's. */
void trace_report_child(struct tracer *tracer, const struct trace_task *parent, const struct trace_task *child)
{
    const struct report_call call = {
        .pid = (uint64_t)parent->process->tgid,
        .name = trace_call_name(parent->call.kind),
        .result = child->tid,
        .caller = parent->call.caller,
    };
    if (!trace_report_is_wanted(tracer))
        return;
    report_call(tracer->report, parent->space->mm, &call);
    report_child(tracer->report, call.pid, (uint64_t)child->process->tgid, child->space->mm);
    if (child->space != parent->space)
        shadow_fork(tracer->shadow, parent->space->mm, child->space->mm);
}

void trace_report_call(struct tracer *tracer, struct trace_task *task, int64_t value, bool predicted)
{
    const struct trace_call *call = &task->call;
    struct record_event event = {.has_result = true, .result = value};
    if (!trace_report_is_wanted(tracer))
        return;
    const struct report_call reported = {
        .pid = (uint64_t)task->process->tgid,
        .name = trace_call_name(call->kind),
        .event = trace_record_event_of(task, &event) ? &event : NULL,
        .result = value,
        .placed = call->placed,
        .predicted = predicted,
        .caller = call->caller,
    };
    report_call(tracer->report, task->space->mm, &reported);
    shadow_call(tracer->shadow, task->space->mm, &reported);
}

/* `with_areas`: its address space is still known. */
void trace_report_exit(struct tracer *tracer, const struct trace_task *task, bool with_areas)
{
    report_exit(tracer->report, (uint64_t)task->process->tgid, with_areas ? task->space->mm : NULL);
}
