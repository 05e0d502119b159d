/* SPDX-License-Identifier: MIT */
/*
 * trace_record.c - what is written down: the record that --record asks for, and the last calls of each address space,
 * so that a divergence can be shown with a short record that reproduces it.
 *
 * In the record of --record an address inside what an earlier call returned is said as that call's result plus an
 * offset. Stripped of results it still replays to the same map.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace.h"

enum { SHORT_EVENTS = 24, FILES_MAX = 64 };

/* The areas of an address space at some moment, and the calls since then. */
struct trace_short {
    FILE *stream;
    char *text;
    size_t len;
    struct record_writer *writer;
    unsigned nr_events;
    size_t events_at; /* where the calls begin in the text */
    uint64_t files[FILES_MAX];
    size_t nr_files;
};

/* What a recorded call returned. */
struct trace_origin {
    struct trace_origin *next;
    vmk_addr start, end;
    uint64_t event;
};

/* ---- Files ---- */

static void write_file(struct record_writer *writer, struct vmk_file *file)
{
    struct record_file line;

    record_file_of(&line, file, trace_files_mode(file));
    record_file(writer, &line);
}

static void write_to_main(void *context, struct vmk_file *file)
{
    struct tracer *tracer = context;
    if (trace_files_recorded(file))
        return;
    write_file(tracer->record, file);
}

static void write_to_short(void *context, struct vmk_file *file)
{
    struct trace_short *recent = context;
    for (size_t i = 0; i < recent->nr_files; i++)
        if (recent->files[i] == vmk_file_id(file))
            return;
    if (recent->nr_files < FILES_MAX)
        recent->files[recent->nr_files++] = vmk_file_id(file);
    write_file(recent->writer, file);
}

/* Before the call that maps it. */
void trace_record_file(struct tracer *tracer, struct trace_task *task, struct vmk_file *file)
{
    if (task->space->recent != NULL)
        write_to_short(task->space->recent, file);
    if (tracer->record != NULL)
        write_to_main(tracer, file);
}

/* ---- The last calls ---- */

static void short_free(struct trace_short *recent)
{
    if (recent == NULL)
        return;
    record_close(recent->writer);
    fclose(recent->stream);
    free(recent->text);
    free(recent);
}

static void write_process(struct record_writer *writer, const struct trace_task *task)
{
    struct record_process process;
    record_process_of(&process, (uint64_t)task->process->tgid, task->space->mm);
    process.personality = task->space->personality;
    record_process(writer, &process);
    record_areas_of(writer, task->space->mm);
}

static void write_file_of_area(struct trace_short *recent, const struct vmk_vma_info *area)
{
    if (area->file != NULL && vmk_file_user(area->file) != NULL)
        write_to_short(recent, area->file);
}

/* ---- Modes: calls whose effect on later ones no area shows ---- */

enum { MODE_MEMORY_MERGE, MODE_MDWE, MODE_THP_DISABLE, MODE_MLOCKALL, MODE_POLICY };

static void note_mode(struct trace_space *space, const struct record_event *event)
{
    struct record_event kept = *event;
    int mode;

    switch (event->call) {
    case RECORD_memory_merge:
        mode = MODE_MEMORY_MERGE;
        break;
    case RECORD_mdwe:
        mode = MODE_MDWE;
        break;
    case RECORD_thp_disable:
        mode = MODE_THP_DISABLE;
        break;
    case RECORD_set_mempolicy:
        mode = MODE_POLICY;
        break;
    case RECORD_mlockall:
    case RECORD_munlockall:
        mode = MODE_MLOCKALL;
        kept.args[0].number &= ~UINT64_C(1); /* MCL_CURRENT: the areas have it */
        if (event->call == RECORD_munlockall || (kept.args[0].number & 2) == 0)
            kept.pid = 0;
        break;
    default:
        return;
    }
    kept.has_result = false;
    space->modes[mode] = kept;
}

void trace_record_modes_fork(const struct trace_space *from, struct trace_space *to)
{
    memcpy(to->modes, from->modes, sizeof(to->modes));
    to->modes[MODE_MLOCKALL].pid = 0;
    if ((to->modes[MODE_MDWE].args[0].number & 2) != 0) /* PR_MDWE_NO_INHERIT */
        to->modes[MODE_MDWE].pid = 0;
}

static void write_modes(struct record_writer *writer, const struct trace_task *task)
{
    for (size_t i = 0; i < sizeof(task->space->modes) / sizeof(task->space->modes[0]); i++) {
        struct record_event event = task->space->modes[i];
        if (event.pid == 0)
            continue;
        event.pid = (uint64_t)task->process->tgid;
        record_call(writer, &event);
    }
}

static struct trace_short *short_new(struct tracer *tracer, const struct trace_task *task)
{
    struct trace_short *recent = calloc(1, sizeof(*recent));
    if (recent == NULL)
        return NULL;
    recent->stream = open_memstream(&recent->text, &recent->len);
    if (recent->stream == NULL || record_open_stream(recent->stream, &recent->writer) != 0) {
        if (recent->stream != NULL)
            fclose(recent->stream);
        free(recent->text);
        free(recent);
        return NULL;
    }
    struct vmk_sysctl sysctl;
    vmk_system_sysctl(tracer->system, &sysctl);
    record_settings(recent->writer, vmk_system_settings(tracer->system), &sysctl);
    struct vmk_vma_info area = {.size = sizeof(area)};
    for (vmk_addr cursor = 0; vmk_mm_next(task->space->mm, &cursor, &area) == 0;)
        write_file_of_area(recent, &area);
    write_process(recent->writer, task);
    write_modes(recent->writer, task);
    fflush(recent->stream);
    recent->events_at = recent->len;
    return recent;
}

/* Before a call or what belongs to it: begins anew from time to time, keeping what came before. */
void trace_record_begin_call(struct tracer *tracer, struct trace_task *task)
{
    struct trace_space *space = task->space;
    if (tracer->interval != 1 || (space->recent != NULL && space->recent->nr_events < SHORT_EVENTS))
        return;
    short_free(space->before);
    space->before = space->recent;
    space->recent = short_new(tracer, task);
}

void trace_record_print_recent(struct trace_task *task, const struct kview *kernel, FILE *out)
{
    struct trace_short *before = task->space->before, *recent = task->space->recent;
    struct kview areas = *kernel;

    areas.has &= ~(unsigned)KVIEW_STATUS; /* a record that begins in the middle does not know VmPeak */
    if (recent == NULL) {
        fprintf(out, "(no short record: only --check=every keeps one)\n");
        return;
    }
    if (kernel->nr_areas != 0)
        record_expect_view(recent->writer, (uint64_t)task->process->tgid, &areas, task->space->mm);
    fprintf(out, "A record that leads there (vmakit replay FILE):\n");
    fflush(recent->stream);
    size_t from = 0;
    if (before != NULL && recent->nr_events < SHORT_EVENTS / 2) {
        fflush(before->stream);
        fwrite(before->text, 1, before->len, out);
        from = recent->events_at;
    }
    fwrite(recent->text + from, 1, recent->len - from, out);
}

void trace_record_space_end(struct trace_space *space)
{
    short_free(space->before);
    short_free(space->recent);
    space->before = space->recent = NULL;
    while (space->origins != NULL) {
        struct trace_origin *next = space->origins->next;
        free(space->origins);
        space->origins = next;
    }
}

/* ---- Addresses that come from earlier calls ---- */

static struct record_value value_of(const struct trace_space *space, uint64_t number)
{
    for (const struct trace_origin *origin = space->origins; origin != NULL; origin = origin->next)
        if (number >= origin->start && number <= origin->end)
            return (struct record_value){.number = number - origin->start, .event = origin->event};
    return (struct record_value){.number = number};
}

static void note_origin(struct trace_space *space, vmk_addr start, uint64_t len, uint64_t event)
{
    struct trace_origin *origin = malloc(sizeof(*origin));
    if (origin == NULL)
        return;
    *origin = (struct trace_origin){.next = space->origins, .start = start, .end = start + len, .event = event};
    space->origins = origin;
}

static void inherit_origins(struct trace_space *child, const struct trace_space *parent)
{
    struct trace_origin **last = &child->origins;
    for (const struct trace_origin *origin = parent->origins; origin != NULL; origin = origin->next) {
        struct trace_origin *copy = malloc(sizeof(*copy));
        if (copy == NULL)
            return;
        *copy = *origin;
        copy->next = NULL;
        *last = copy;
        last = &copy->next;
    }
}

/* ---- Events ---- */

/* Writes an event to both; the addresses are replaced in the record only. Returns its number there. */
static uint64_t write_event(struct tracer *tracer, struct trace_task *task, struct record_event *event)
{
    struct trace_space *space = task->space;
    event->pid = (uint64_t)task->process->tgid;
    if (space->recent != NULL) {
        record_call(space->recent->writer, event);
        space->recent->nr_events++;
    }
    if (tracer->record == NULL)
        return 0;
    for (size_t i = 0; i < RECORD_ARGS_MAX; i++) {
        const char *name = record_arg_name(event->call, i);
        if (name == NULL)
            break;
        if (strcmp(name, "addr") == 0 || strcmp(name, "old_addr") == 0 || strcmp(name, "new_addr") == 0 ||
            strcmp(name, "context") == 0)
            event->args[i] = value_of(space, event->args[i].number);
    }
    return record_call(tracer->record, event);
}

static void set_args(struct record_event *event, const uint64_t *args, size_t nr)
{
    for (size_t i = 0; i < nr && i < RECORD_ARGS_MAX; i++)
        event->args[i].number = args[i];
}

/* Calls whose arguments go into the record as the kernel got them. */
static const struct {
    enum trace_call_kind kind;
    enum record_call call;
    size_t nr_args;
} plain_calls[] = {
    {TRACE_CALL_MUNMAP, RECORD_munmap, 2},
    {TRACE_CALL_MPROTECT, RECORD_mprotect, 3},
    {TRACE_CALL_PKEY_MPROTECT, RECORD_pkey_mprotect, 4},
    {TRACE_CALL_MREMAP, RECORD_mremap, 5},
    {TRACE_CALL_BRK, RECORD_brk, 1},
    {TRACE_CALL_MADVISE, RECORD_madvise, 3},
    {TRACE_CALL_MLOCK, RECORD_mlock, 2},
    {TRACE_CALL_MLOCK2, RECORD_mlock2, 3},
    {TRACE_CALL_MUNLOCK, RECORD_munlock, 2},
    {TRACE_CALL_MLOCKALL, RECORD_mlockall, 1},
    {TRACE_CALL_MUNLOCKALL, RECORD_munlockall, 0},
    {TRACE_CALL_MSEAL, RECORD_mseal, 3},
    {TRACE_CALL_MSYNC, RECORD_msync, 3},
    {TRACE_CALL_MINCORE, RECORD_mincore, 2},
    {TRACE_CALL_REMAP_FILE_PAGES, RECORD_remap_file_pages, 5},
    {TRACE_CALL_SHMDT, RECORD_shmdt, 1},
    {TRACE_CALL_IO_DESTROY, RECORD_io_destroy, 1},
    {TRACE_CALL_PKEY_ALLOC, RECORD_pkey_alloc, 2},
    {TRACE_CALL_PKEY_FREE, RECORD_pkey_free, 1},
};

static bool set_mapping_args(struct record_event *event, const struct trace_call *call)
{
    const uint64_t *a = call->args;
    uint64_t file = call->file != 0 ? call->file : (uint64_t)(int64_t)call->file_error;
    switch (call->kind) {
    case TRACE_CALL_MMAP:
        event->call = RECORD_mmap;
        set_args(event, (uint64_t[]){a[0], a[1], a[2], a[3], file, a[5]}, 6);
        return true;
    case TRACE_CALL_SHMAT:
        event->call = RECORD_shmat;
        set_args(event, (uint64_t[]){file, call->file_size, a[1], a[2]}, 4);
        return true;
    case TRACE_CALL_IO_SETUP:
        event->call = RECORD_io_setup;
        set_args(event, (uint64_t[]){file, call->file_size}, 2);
        return true;
    case TRACE_CALL_MBIND:
        event->call = RECORD_mbind;
        set_args(event, (uint64_t[]){a[0], a[1], a[2], call->nodes, a[4], a[5]}, 6);
        return true;
    case TRACE_CALL_SET_MEMPOLICY:
        event->call = RECORD_set_mempolicy;
        set_args(event, (uint64_t[]){a[0], call->nodes, a[2]}, 3);
        return true;
    default:
        return false;
    }
}

static bool set_option_args(struct record_event *event, const struct trace_call *call)
{
    const uint64_t *a = call->args;
    if (call->kind != TRACE_CALL_PRCTL)
        return false;
    switch ((uint32_t)a[0]) {
    case 41:
        event->call = RECORD_thp_disable;
        break;
    case 65:
        event->call = RECORD_mdwe;
        break;
    case 67:
        event->call = RECORD_memory_merge;
        break;
    case 35:
        event->call = RECORD_set_mm;
        set_args(event, &a[1], 2);
        return true;
    default:
        event->call = RECORD_set_name;
        event->text = call->name[0] != '\0' ? call->name : NULL;
        set_args(event, &a[2], 2);
        return true;
    }
    set_args(event, &a[1], 1);
    return true;
}

static bool set_plain_args(struct record_event *event, const struct trace_call *call)
{
    if (call->kind == TRACE_CALL_MINCORE && call->result.error == -VMK_EFAULT)
        return false; /* a record has no vector */
    for (size_t i = 0; i < sizeof(plain_calls) / sizeof(plain_calls[0]); i++) {
        if (plain_calls[i].kind != call->kind)
            continue;
        event->call = plain_calls[i].call;
        set_args(event, call->args, plain_calls[i].nr_args);
        return true;
    }
    return false;
}

static bool set_uffd_args(struct record_event *event, const struct trace_space *space, const struct trace_call *call)
{
    if (call->kind != TRACE_CALL_IOCTL)
        return false;
    uint64_t fork = space->uffd_features >> 1 & 1, remap = space->uffd_features >> 2 & 1;
    if ((call->args[1] & 0xff) == 0) {
        event->call = RECORD_uffd_register;
        set_args(event, (uint64_t[]){call->uffd_context, call->uffd[2], call->uffd[0], call->uffd[1], fork, remap}, 6);
    } else {
        event->call = RECORD_uffd_unregister;
        set_args(event, (uint64_t[]){call->uffd_context, call->uffd[0], call->uffd[1]}, 3);
    }
    return true;
}

static uint64_t length_of(const struct trace_call *call)
{
    return call->kind == TRACE_CALL_MREMAP ? call->args[2] : call->file_size != 0 ? call->file_size : call->args[1];
}

bool trace_record_event_of(const struct trace_task *task, struct record_event *event)
{
    const struct trace_call *call = &task->call;
    return set_plain_args(event, call) || set_mapping_args(event, call) || set_option_args(event, call) ||
           set_uffd_args(event, task->space, call);
}

/* A call that the engine has run, with what the kernel returned. */
void trace_record_call(struct tracer *tracer, struct trace_task *task, int64_t value)
{
    const struct trace_call *call = &task->call;
    /* A guard page in the way is no matter of areas: who has only the record could not know. */
    struct record_event event = {.has_result = call->page_error == 0, .result = value};
    if (!trace_record_event_of(task, &event))
        return;
    uint64_t number = write_event(tracer, task, &event);
    if (value == 0) {
        event.pid = (uint64_t)task->process->tgid;
        note_mode(task->space, &event);
    }
    bool is_address = call->expect == TRACE_EXPECT_VALUE || call->expect == TRACE_EXPECT_AIO;
    if (number != 0 && is_address && (value > 0 || value < -4095))
        note_origin(task->space, (vmk_addr)value, length_of(call), number);
}

void trace_record_advice(struct tracer *tracer, struct trace_task *task, const struct vmk_madvise_request *request,
                         int64_t value)
{
    struct record_event event = {
        .call = request->remote ? RECORD_process_madvise : RECORD_madvise, .has_result = true, .result = value};
    set_args(&event, (uint64_t[]){request->address, request->len, (uint64_t)request->advice}, 3);
    write_event(tracer, task, &event);
}

void trace_record_fault(struct tracer *tracer, struct trace_task *task, const struct vmk_fault_request *request,
                        const int64_t *result)
{
    struct record_event event = {
        .call = RECORD_fault, .has_result = result != NULL, .result = result != NULL ? *result : 0};
    set_args(&event, (uint64_t[]){request->address, request->access, request->flags}, 3);
    write_event(tracer, task, &event);
}

/* Something that the engine is told of: a limit, a capability, the personality. */
void trace_record_told(struct tracer *tracer, struct trace_task *task, enum record_call call, const uint64_t *args,
                       size_t nr_args)
{
    struct record_event event = {.call = call, .has_result = true};
    set_args(&event, args, nr_args);
    write_event(tracer, task, &event);
}

/* ---- Processes ---- */

void trace_record_exec(struct tracer *tracer, struct trace_task *task)
{
    trace_record_begin_call(tracer, task);
    if (tracer->record == NULL)
        return;
    trace_files_for_each(tracer, write_to_main, tracer);
    write_process(tracer->record, task);
}

void trace_record_child(struct tracer *tracer, struct trace_task *parent, struct trace_task *child, bool shares)
{
    struct record_event event = {.call = shares ? RECORD_share : RECORD_fork, .has_result = true};
    event.args[0].number = (uint64_t)child->process->tgid;
    write_event(tracer, parent, &event);
    if (!shares && tracer->record != NULL)
        inherit_origins(child->space, parent->space);
}

void trace_record_exit(struct tracer *tracer, struct trace_task *task)
{
    struct record_event event = {.call = RECORD_exit, .has_result = true};
    if (task->space->lost)
        return;
    if (tracer->record != NULL) { /* what replay must arrive at */
        record_expect(tracer->record, (uint64_t)task->process->tgid);
        record_areas_of(tracer->record, task->space->mm);
    }
    write_event(tracer, task, &event);
}
