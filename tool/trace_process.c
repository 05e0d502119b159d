/* SPDX-License-Identifier: MIT */
/* trace_process.c - tasks, processes and address spaces: how they come, change and go. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "commands.h"
#include "trace.h"

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (memory == NULL) {
        fprintf(stderr, "vmakit: out of memory\n");
        exit(EXIT_NO_RESOURCE);
    }
    return memory;
}

/* ---- Reading /proc ---- */

int trace_proc_open(pid_t tid, const char *what)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)tid, what);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* Reads a small file whole, zero-terminated. */
static bool read_proc(pid_t tid, const char *what, char *buffer, size_t size)
{
    int fd = trace_proc_open(tid, what);
    if (fd < 0)
        return false;
    size_t len = 0;
    ssize_t got;
    while (len < size - 1 && (got = read(fd, buffer + len, size - 1 - len)) > 0)
        len += (size_t)got;
    close(fd);
    buffer[len] = '\0';
    return len > 0;
}

/* The number after "NAME:" of status, in the base given; 0 when it is not there. */
static uint64_t status_number(const char *status, const char *name, int base)
{
    const char *line = strstr(status, name);
    return line != NULL ? strtoull(line + strlen(name), NULL, base) : 0;
}

/* One line of /proc/PID/limits: "Max stack size            8388608              unlimited            bytes". */
static bool parse_limit(const char *limits, const char *name, struct vmk_rlimit *limit)
{
    uint64_t values[2];
    const char *at = strstr(limits, name);
    if (at == NULL)
        return false;
    at += strlen(name);
    for (int i = 0; i < 2; i++) {
        char *end;
        at += strspn(at, " ");
        if (strncmp(at, "unlimited", 9) == 0) {
            values[i] = VMK_RLIM_INFINITY;
            at += 9;
            continue;
        }
        values[i] = strtoull(at, &end, 10);
        if (end == at)
            return false;
        at = end;
    }
    *limit = (struct vmk_rlimit){values[0], values[1]};
    return true;
}

/* ---- Tasks ---- */

struct trace_task *trace_task_find(struct tracer *tracer, pid_t tid)
{
    for (struct trace_task *task = tracer->tasks; task != NULL; task = task->next)
        if (task->tid == tid)
            return task;
    return NULL;
}

struct trace_task *trace_task_new(struct tracer *tracer, pid_t tid)
{
    struct trace_task *task = allocate(sizeof(*task));
    task->tid = tid;
    task->state = TRACE_NEW;
    task->pidfd = task->stat_fd = task->sched_fd = -1;
    task->next = tracer->tasks;
    tracer->tasks = task;
    return task;
}

void trace_task_close(struct trace_task *task)
{
    if (task->pidfd >= 0)
        close(task->pidfd);
    if (task->stat_fd >= 0)
        close(task->stat_fd);
    if (task->sched_fd >= 0)
        close(task->sched_fd);
    task->pidfd = task->stat_fd = task->sched_fd = -1;
}

void trace_task_free(struct tracer *tracer, struct trace_task *task)
{
    if (tracer->mode->give_up != NULL)
        tracer->mode->give_up(tracer, task);
    if (tracer->unseen == task)
        tracer->unseen = NULL;
    trace_space_leave(tracer, task);
    trace_task_close(task);
    if (task->process != NULL)
        task->process->nr_tasks--;
    struct trace_task **link = &tracer->tasks;
    while (*link != task)
        link = &(*link)->next;
    *link = task->next;
    free(task);
}

/* ---- Processes ---- */

struct trace_process *trace_process_new(struct tracer *tracer, pid_t tgid)
{
    struct trace_process *process = allocate(sizeof(*process));
    process->tgid = tgid;
    snprintf(process->name, sizeof(process->name), "?");
    *tracer->last_process = process;
    tracer->last_process = &process->next;
    return process;
}

void trace_process_read(struct tracer *tracer, struct trace_process *process, pid_t tid)
{
    char name[sizeof(process->name)];
    if (read_proc(tid, "comm", name, sizeof(name))) {
        name[strcspn(name, "\n")] = '\0';
        memcpy(process->name, name, sizeof(name));
    }
    if (!tracer->mode->decides) /* there the limits are the engine's own */
        trace_process_read_limits(process, tid);
}

void trace_process_read_limits(struct trace_process *process, pid_t tid)
{
    char limits[4096];
    struct vmk_rlimits *rlimits = &process->rlimits;
    if (read_proc(tid, "limits", limits, sizeof(limits)) &&
        !(parse_limit(limits, "Max address space", &rlimits->as) &&
          parse_limit(limits, "Max data size", &rlimits->data) &&
          parse_limit(limits, "Max stack size", &rlimits->stack) &&
          parse_limit(limits, "Max locked memory", &rlimits->memlock)))
        fprintf(stderr, "vmakit: /proc/%d/limits cannot be understood\n", (int)tid);
    process->limits_generation++;
}

void trace_process_note_areas(struct tracer *tracer, struct trace_process *process, struct trace_space *space)
{
    (void)tracer;
    struct vmk_mm_stats stats = {.size = sizeof(stats)};
    vmk_mm_get_stats(space->mm, &stats);
    process->areas = stats.nr_vmas;
    if (stats.peak_vmas > process->peak_areas)
        process->peak_areas = stats.peak_vmas;
}

/* ---- Address spaces ---- */

static struct trace_space *space_new(struct tracer *tracer, struct vmk_mm *mm, pid_t tid)
{
    struct trace_space *space = allocate(sizeof(*space));
    space->mm = mm;
    space->maps_fd = trace_proc_open(tid, "maps");
    space->pagemap_fd = trace_proc_open(tid, "pagemap");
    space->next = tracer->spaces;
    tracer->spaces = space;
    return space;
}

static void space_free(struct tracer *tracer, struct trace_space *space)
{
    struct trace_space **link = &tracer->spaces;
    while (*link != space)
        link = &(*link)->next;
    *link = space->next;
    for (struct trace_task *task = tracer->tasks; task != NULL; task = task->next)
        if (task->waits_for == space)
            task->waits_for = NULL;
    if (space->maps_fd >= 0)
        close(space->maps_fd);
    if (space->pagemap_fd >= 0)
        close(space->pagemap_fd);
    trace_record_space_end(space);
    shadow_end(tracer->shadow, space->mm);
    if (tracer->mode->space_ends != NULL)
        tracer->mode->space_ends(tracer, space);
    vmk_mm_put(space->mm);
    free(space);
}

void trace_space_enter(struct trace_space *space, struct trace_task *task)
{
    task->space = space;
    space->nr_tasks++;
}

void trace_space_leave(struct tracer *tracer, struct trace_task *task)
{
    struct trace_space *space = task->space;
    task->space = NULL;
    if (space != NULL && --space->nr_tasks == 0)
        space_free(tracer, space);
}

/* Is this the last task that keeps the address space alive? */
bool trace_space_is_last(const struct tracer *tracer, const struct trace_task *task)
{
    if (task->space == NULL)
        return false;
    for (const struct trace_task *other = tracer->tasks; other != NULL; other = other->next)
        if (other != task && other->space == task->space && other->state != TRACE_EXITING)
            return false;
    return true;
}

/* Tasks of different processes may share an address space (vfork): the limits are the caller's. */
void trace_space_use_limits(struct trace_space *space, const struct trace_process *process)
{
    if (space->limits == process && space->limits_generation == process->limits_generation)
        return;
    vmk_mm_set_rlimits(space->mm, &process->rlimits);
    space->limits = process;
    space->limits_generation = process->limits_generation;
}

static uint32_t capabilities_of(const char *status)
{
    static const struct {
        unsigned bit;
        uint32_t capability;
    } table[] = {
        {14, VMK_CAP_IPC_LOCK},  {21, VMK_CAP_SYS_ADMIN}, {24, VMK_CAP_SYS_RESOURCE},
        {17, VMK_CAP_SYS_RAWIO}, {23, VMK_CAP_SYS_NICE},  {19, VMK_CAP_SYS_PTRACE},
    };
    uint32_t capabilities = 0;
    uint64_t effective = status_number(status, "\nCapEff:", 16);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if ((effective >> table[i].bit & 1) != 0)
            capabilities |= table[i].capability;
    return capabilities;
}

void trace_space_read_capabilities(struct trace_space *space, pid_t tid)
{
    char status[8192];
    bool known = read_proc(tid, "status", status, sizeof(status));
    vmk_mm_set_capabilities(space->mm, known ? capabilities_of(status) : 0);
}

/* The numbered fields of /proc/PID/stat; field 1 is the pid. The name in brackets may contain anything. */
static bool read_stat_fields(pid_t tid, uint64_t *fields, size_t nr_fields)
{
    char text[2048];
    if (!read_proc(tid, "stat", text, sizeof(text)))
        return false;
    char *at = strrchr(text, ')');
    if (at == NULL || at[1] != ' ')
        return false;
    at += 3; /* past the state, field 3 */
    for (size_t i = 4; i < nr_fields; i++)
        fields[i] = strtoull(at, &at, 10);
    return true;
}

bool trace_read_marks(pid_t tid, struct vmk_mm_layout *layout)
{
    uint64_t fields[52] = {0};
    if (!read_stat_fields(tid, fields, 52))
        return false;
    layout->start_code = fields[26];
    layout->end_code = fields[27];
    layout->start_stack = fields[28];
    layout->start_data = fields[45];
    layout->end_data = fields[46];
    layout->start_brk = layout->brk = fields[47]; /* the heap is empty at exec */
    layout->arg_start = fields[48];
    layout->arg_end = fields[49];
    layout->env_start = fields[50];
    layout->env_end = fields[51];
    return true;
}

/*
 * /proc does not show mmap_base. What the kernel places itself at exec (the interpreter or a static PIE, then vvar and
 * vdso) goes to the highest gap below it: the end of the highest area below the stack is mmap_base.
 */
static vmk_addr observed_mmap_base(const struct kview *view)
{
    vmk_addr base = 0;
    for (size_t i = 0; i < view->nr_areas; i++) {
        if (strcmp(view->areas[i].name, "[stack]") == 0)
            break;
        base = view->areas[i].end;
    }
    return base;
}

/* The bottom-up layout begins a third up the address space, or later at random: where the interpreter lies lowest. */
static vmk_addr observed_legacy_base(const struct kview *view, vmk_addr task_size)
{
    for (size_t i = 0; i < view->nr_areas; i++)
        if (view->areas[i].start >= task_size / 3)
            return view->areas[i].start;
    return 0;
}

static int exec_options(struct trace_task *task, struct vmk_mm_options *options, char *status, size_t size)
{
    char text[32];
    vmk_mm_options_init(options);
    if (!read_proc(task->tid, "status", status, size))
        return -ESRCH;
    options->rlimits = task->process->rlimits;
    options->capabilities = capabilities_of(status);
    if (read_proc(task->tid, "personality", text, sizeof(text)))
        options->personality = (uint32_t)strtoul(text, NULL, 16);
    return 0;
}

/* Options of prctl that an address space keeps from before exec. */
static void import_switches(struct vmk_mm *mm, const char *status)
{
    const char *thp = strstr(status, "\nTHP_enabled:");
    if (thp != NULL && status_number(status, "\nTHP_enabled:", 10) == 0) {
        struct vmk_set_option_request request = {.option = VMK_OPTION_THP_DISABLE, .value = 1};
        vmk_set_option(mm, &request, NULL);
    }
}

static int import(struct tracer *tracer, struct trace_task *task, struct vmk_mm *mm)
{
    struct trace_exec_files files = {.tracer = tracer};
    int error = kview_import(&tracer->view, mm, trace_files_of_image, &files);
    trace_exec_files_end(&files);
    if (error != 0)
        fprintf(stderr, "vmakit: %s: %d (%s): its areas at execve cannot be taken over: error %d\n", tracer->mode->name,
                (int)task->tid, task->process->name, -error);
    return error;
}

/* A fresh address space: the only time that areas are read from the kernel into the mirror. */
int trace_space_exec(struct tracer *tracer, struct trace_task *task, const struct layout *moved)
{
    struct vmk_settings settings = *vmk_system_settings(tracer->system);
    struct vmk_mm_options options;
    struct vmk_mm_layout layout;
    char status[8192];
    trace_process_read(tracer, task->process, task->tid);
    if (exec_options(task, &options, status, sizeof(status)) != 0 ||
        kview_read(&tracer->view, task->tid, KVIEW_FLAGS) != 0)
        return 0; /* it vanished; its death is reported next */
    kview_take_status(&tracer->view, status);
    if ((options.personality & VMK_ADDR_NO_RANDOMIZE) == 0)
        options.mmap_base = observed_mmap_base(&tracer->view);
    if (tracer->layout != NULL)
        layout_settings(tracer->layout, &settings);
    options.settings = &settings;
    struct vmk_mm *mm;
    int error = vmk_mm_create(tracer->system, &options, &mm);
    if (error != 0) {
        fprintf(stderr, "vmakit: %s: no mirror for process %d: error %d\n", tracer->mode->name, (int)task->tid, -error);
        return EXIT_NO_RESOURCE;
    }
    struct trace_space *space = space_new(tracer, mm, task->tid);
    trace_space_enter(space, task);
    vmk_mm_get_layout(mm, &layout);
    if (!layout.top_down && (options.personality & VMK_ADDR_NO_RANDOMIZE) == 0)
        layout.mmap_legacy_base = observed_legacy_base(&tracer->view, layout.task_size);
    if (trace_read_marks(task->tid, &layout))
        vmk_mm_set_layout(mm, &layout);
    if (import(tracer, task, mm) != 0 || (moved != NULL && layout_take_over(moved, tracer->layout, mm) != 0))
        return EXIT_NO_RESOURCE;
    import_switches(mm, status);
    space->personality = options.personality;
    space->imported_peak = tracer->view.status.peak;
    trace_record_exec(tracer, task);
    trace_report_exec(tracer, task);
    trace_keep_first_map(tracer, task);
    space->changed = true;
    if (tracer->interval == 1)
        trace_check_map(tracer, task, "after execve");
    return 0;
}

/* A thread, or a child between vfork and execve. */
void trace_space_share(struct tracer *tracer, struct trace_task *parent, struct trace_task *child)
{
    trace_space_enter(parent->space, child);
    if (child->process == parent->process || parent->space->lost)
        return;
    trace_record_child(tracer, parent, child, true);
    trace_report_child(tracer, parent, child);
}

/* At the event of fork: the child's copy is made, and nobody has run since the parent's pages were looked at. */
int trace_space_fork(struct tracer *tracer, struct trace_task *parent, struct trace_task *child)
{
    struct vmk_mm *mm = parent->forked;
    parent->forked = NULL;
    trace_space_use_limits(parent->space, parent->process);
    int error = mm != NULL ? 0 : vmk_mm_fork(parent->space->mm, &mm);
    if (error != 0) {
        char what[96];
        snprintf(what, sizeof(what), "fork succeeded in the kernel, error %d in the engine", -error);
        trace_diverged(tracer, parent, what);
        return error;
    }
    struct trace_space *space = space_new(tracer, mm, child->tid);
    space->lost = parent->space->lost;
    space->unfinished = parent->space->unfinished;
    space->changed = true;
    space->has_other_flags = parent->space->has_other_flags;
    space->personality = parent->space->personality;
    trace_record_modes_fork(parent->space, space);
    space->imported_peak = parent->space->imported_peak;
    trace_space_enter(space, child);
    trace_record_child(tracer, parent, child, false);
    if (!space->lost)
        trace_report_child(tracer, parent, child);
    trace_call_count(tracer, parent);
    return 0;
}
