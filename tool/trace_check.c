/* SPDX-License-Identifier: MIT */
/* trace_check.c - is the engine's map the kernel's? And if not: what a reader needs to see why. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "commands.h"
#include "draw.h"
#include "trace.h"

#if VMAKIT_HAVE_JANSSON
#include <jansson.h>
#endif

enum {
    AUTO_AREAS = 1000000, /* so many areas compared, the automatic choice looks more rarely */
    AUTO_INTERVAL = 64
};

/* ---- Comparing ---- */

/*
 * What no memory call says, taken over from one side to the other: a file that was renamed or deleted after its mapping
 * shows its new name; and a shared-anonymous map is a file of the kernel's own (device 0:1), whose inode is a number
 * that only the kernel gives out.
 */
static void take_what_is_not_told(struct kview *view, struct vmk_mm *mm)
{
    for (size_t i = 0; i < view->nr_areas; i++) {
        struct kview_area *area = &view->areas[i];
        struct vmk_vma_info info = {.size = sizeof(info)};
        if (area->inode == 0 || vmk_mm_lookup(mm, area->start, &info) != 0 || info.file == NULL)
            continue;
        uint32_t dev_major, dev_minor;
        const struct vmk_object *object = vmk_file_object(info.file);
        vmk_object_device(object, &dev_major, &dev_minor);
        if (vmk_file_user(info.file) == NULL &&
            area->dev_major == 0) { /* the engine's own; huge pages have another minor */
            area->inode = vmk_object_inode(object);
            area->dev_minor = dev_minor;
        }
        if (dev_major != area->dev_major || dev_minor != area->dev_minor)
            continue;
        if (vmk_object_inode(object) == area->inode)
            area->name = vmk_file_name(info.file);
    }
}

static bool is_equal(struct tracer *tracer, struct trace_space *space, struct kview_difference *difference)
{
    struct kview *view = &tracer->view;
    struct vmk_mm_stats stats = {.size = sizeof(stats)};
    const unsigned kb_shift = (unsigned)vmk_mm_settings(space->mm)->page_shift - 10;
    vmk_mm_get_stats(space->mm, &stats);
    if (view->status.peak == space->imported_peak && stats.peak_vm << kb_shift <= view->status.peak)
        view->status.peak = stats.peak_vm << kb_shift; /* of the temporary stack of execve */
    if (kview_equal(view, space->mm, KVIEW_FLAGS | KVIEW_STATUS, difference))
        return true;
    if (strncmp(difference->what, "name:", 5) != 0 && strncmp(difference->what, "file:", 5) != 0)
        return false;
    take_what_is_not_told(view, space->mm);
    return kview_equal(view, space->mm, KVIEW_FLAGS | KVIEW_STATUS, difference);
}

/*
 * A thread that slept when the call was entered may have been woken by a timer or a device, and have grown its stack or
 * written during the call. Both are given to the engine, as before any call, which must allow them.
 */
static bool is_equal_after_late_faults(struct tracer *tracer, struct trace_task *task,
                                       struct kview_difference *difference)
{
    if (task->space->nr_tasks < 2)
        return false;
    trace_stop_others(tracer, task);
    trace_pages_feed(tracer, task);
    return !task->space->lost && kview_read(&tracer->view, task->tid, KVIEW_FLAGS | KVIEW_STATUS) == 0 &&
           is_equal(tracer, task->space, difference);
}

/*
 * The kernel walks all pages for smaps: 20 times as long as for maps, and 3 ms for a java that does nothing. A process of
 * run that only ended, and set no flag but those of maps, is compared without.
 */
static unsigned what_to_compare(const struct tracer *tracer, const struct trace_space *space)
{
    bool without_flags = tracer->mode->decides && tracer->options.check == TRACE_CHECK_EXIT && !space->has_other_flags;
    return without_flags ? KVIEW_STATUS : KVIEW_FLAGS | KVIEW_STATUS;
}

bool trace_check_map(struct tracer *tracer, struct trace_task *task, const char *when)
{
    struct trace_space *space = task->space;
    struct kview_difference difference;
    int error = kview_read(&tracer->view, task->tid, what_to_compare(tracer, space));
    if (error != 0 || tracer->view.nr_areas == 0)
        return true; /* it is being killed */
    space->changed = false;
    space->since_check = 0;
    tracer->nr_checks++;
    tracer->areas_read += tracer->view.nr_areas;
    if (tracer->options.check == TRACE_CHECK_AUTO && tracer->areas_read > AUTO_AREAS)
        tracer->interval = AUTO_INTERVAL;
    if (is_equal(tracer, space, &difference) || is_equal_after_late_faults(tracer, task, &difference))
        return true;
    char what[512];
    const char *text = trace_call_text(&task->call);
    snprintf(what, sizeof(what), "%s%s%s: %s", when, text[0] != '\0' ? " " : "", text, difference.what);
    trace_diverged(tracer, task, what);
    return false;
}

void trace_check_after_call(struct tracer *tracer, struct trace_task *task)
{
    struct trace_space *space = task->space;
    struct vmk_mm_stats stats = {.size = sizeof(stats)};
    space->since_check++;
    vmk_mm_get_stats(space->mm, &stats);
    if (stats.nr_vmas > task->process->peak_areas)
        task->process->peak_areas = stats.nr_vmas;
    task->process->areas = stats.nr_vmas;
    if (tracer->interval != 0 && space->since_check >= tracer->interval)
        trace_check_map(tracer, task, "after");
}

/* ---- A divergence ---- */

void trace_diverged(struct tracer *tracer, struct trace_task *task, const char *what)
{
    struct trace_space *space = task->space;
    struct kview_difference difference;
    FILE *out = stderr;
    bool first = tracer->divergences == 0;
    space->lost = true; /* it is never resynchronised: what follows could not be compared */
    tracer->divergences++;
    task->process->divergences++;
    report_divergence(tracer->report, (uint64_t)task->process->tgid, what);
    fprintf(out, "vmakit: %s: divergence in %d (%s), call %" PRIu64 " of it\n  %s\n", tracer->mode->name,
            (int)task->process->tgid, task->process->name, task->process->nr_calls, what);
    if (!first && !tracer->options.keep_going)
        return;
    if (kview_read(&tracer->view, task->tid, KVIEW_FLAGS | KVIEW_STATUS) != 0)
        tracer->view.nr_areas = 0;
    else if (!is_equal(tracer, space, &difference))
        kview_print_side_by_side(out, &tracer->view, space->mm, &difference);
    trace_record_print_recent(task, &tracer->view, out);
    if (!tracer->options.keep_going)
        trace_end(tracer, EXIT_TRACE_DIVERGED);
}

/* ---- The summary ---- */

static void say_kinds(const struct trace_process *process, FILE *out)
{
    const char *separator = " (";
    for (int kind = 0; kind < TRACE_CALL_COUNT; kind++) {
        if (process->calls[kind] == 0)
            continue;
        fprintf(out, "%s%s %" PRIu64, separator, trace_call_name((enum trace_call_kind)kind), process->calls[kind]);
        separator = ", ";
    }
    if (process->nr_calls != 0)
        fputc(')', out);
}

void trace_summary(struct tracer *tracer, FILE *out)
{
    for (const struct trace_process *process = tracer->processes; process != NULL; process = process->next) {
        if (process->ignored || tracer->options.quiet)
            continue;
        fprintf(out, "%d %s: %" PRIu64 " calls", (int)process->tgid, process->name, process->nr_calls);
        say_kinds(process, out);
        fprintf(out,
                ", %" PRIu64 " areas, %" PRIu64 " at peak, %" PRIu64 " of %" PRIu64 " addresses predicted, %" PRIu64
                " divergences\n",
                process->areas, process->peak_areas, process->nr_predicted, process->nr_placed, process->divergences);
    }
    if (tracer->options.check == TRACE_CHECK_AUTO && tracer->interval == AUTO_INTERVAL)
        fprintf(out,
                "The maps are large: after a while they were compared every %d calls and at exit (--check=every "
                "compares after each)\n",
                AUTO_INTERVAL);
    if (tracer->nr_unmirrored != 0)
        fprintf(out, "%" PRIu64 " address spaces could not be mirrored to the end, as said above\n",
                tracer->nr_unmirrored);
    fprintf(out, "%" PRIu64 " calls mirrored, %" PRIu64 " divergences\n", tracer->nr_calls, tracer->divergences);
}

/* ---- JSON ---- */

static void sink_to_stream(void *context, const char *text, size_t len)
{
    fwrite(text, 1, len, context);
}

/* After an execve of CMD: what --map compares its last map with. */
void trace_keep_first_map(struct tracer *tracer, struct trace_task *task)
{
    if (!tracer->options.map || task->process->tgid != tracer->first)
        return;
    kview_free(&tracer->at_exec);
    draw_view_of(task->space->mm, &tracer->at_exec);
}

void trace_draw(struct tracer *tracer, FILE *out)
{
    if (!tracer->options.map || tracer->at_exit.nr_areas == 0)
        return;
    struct draw_options options = {.color = draw_wants_color("auto", out), .before = &tracer->at_exec};
    struct vmk_sysctl sysctl;
    vmk_system_sysctl(tracer->system, &sysctl);
    draw_map(out, &tracer->at_exit, &options);
    draw_summary(out, &tracer->at_exit, &options, sysctl.max_map_count);
}

/* At the end of a process: its map, as text for --json and as a view for --map. */
void trace_keep_map(struct tracer *tracer, struct trace_task *task)
{
    size_t len;
    if (tracer->options.map && task->process->tgid == tracer->first) {
        kview_free(&tracer->at_exit);
        draw_view_of(task->space->mm, &tracer->at_exit);
    }
    if (tracer->options.json == NULL)
        return;
    free(task->process->report);
    task->process->report = NULL;
    FILE *stream = open_memstream(&task->process->report, &len);
    if (stream == NULL)
        return;
    vmk_report_json(task->space->mm, sink_to_stream, stream);
    fclose(stream);
}

#if VMAKIT_HAVE_JANSSON

static json_t *json_of_process(const struct trace_process *process)
{
    json_t *calls = json_object();
    for (int kind = 0; kind < TRACE_CALL_COUNT; kind++)
        if (process->calls[kind] != 0)
            json_object_set_new(calls, trace_call_name((enum trace_call_kind)kind),
                                json_integer((json_int_t)process->calls[kind]));
    json_t *map = process->report != NULL ? json_loads(process->report, 0, NULL) : NULL;
    return json_pack("{s:i, s:s, s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:o}", "pid", (int)process->tgid, "name",
                     process->name, "nr_calls", (json_int_t)process->nr_calls, "calls", calls, "areas",
                     (json_int_t)process->areas, "peak_areas", (json_int_t)process->peak_areas, "addresses_chosen",
                     (json_int_t)process->nr_placed, "addresses_predicted", (json_int_t)process->nr_predicted,
                     "divergences", (json_int_t)process->divergences, "map", map != NULL ? map : json_null());
}

int trace_write_json(struct tracer *tracer)
{
    json_t *processes = json_array();
    for (const struct trace_process *process = tracer->processes; process != NULL; process = process->next)
        if (!process->ignored)
            json_array_append_new(processes, json_of_process(process));
    json_t *root =
        json_pack("{s:o, s:I, s:I, s:I}", "processes", processes, "calls_mirrored", (json_int_t)tracer->nr_calls,
                  "divergences", (json_int_t)tracer->divergences, "maps_compared", (json_int_t)tracer->nr_checks);
    int error = root == NULL ? ENOMEM : json_dumpf(root, tracer->json, JSON_INDENT(2)) != 0 ? EIO : 0;
    json_decref(root);
    if (ferror(tracer->json) != 0)
        error = errno;
    if (fclose(tracer->json) != 0 && error == 0)
        error = errno;
    tracer->json = NULL;
    if (error != 0)
        fprintf(stderr, "vmakit: trace: %s: %s\n", tracer->options.json, strerror(error));
    return error;
}

#else

int trace_write_json(struct tracer *tracer)
{
    fprintf(stderr, "vmakit: trace: %s: built without jansson\n", tracer->options.json);
    return -1;
}

#endif
