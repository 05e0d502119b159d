/* SPDX-License-Identifier: MIT */
/*
 * trace_ptrace.c - starting the program and the stop loop.
 *
 * Tasks are seized, so that a thread can be interrupted without a signal. A stop whose address space has an owner (a
 * task inside a memory call) is held until that call ends: the next one is predicted from the state that it really
 * finds.
 */
#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"

#define TRACE_PTRACE_OPTIONS                                                                                           \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |    \
     PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT)

enum { STOP_PATIENCE = 20 };

/* ---- Small things ---- */

bool trace_read_memory(const struct trace_task *task, uint64_t address, void *buffer, size_t len)
{
    struct iovec local = {.iov_base = buffer, .iov_len = len};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = len};
    return process_vm_readv(task->tid, &local, 1, &remote, 1, 0) == (ssize_t)len;
}

bool trace_read_text(const struct trace_task *task, uint64_t address, char *buffer, size_t size)
{
    enum { STEP = 4096 }; /* never over the end of a page */
    for (size_t len = 0; len < size;) {
        size_t room = STEP - (size_t)(address + len) % STEP;
        room = room < size - len ? room : size - len;
        if (!trace_read_memory(task, address + len, buffer + len, room))
            return false;
        if (memchr(buffer + len, '\0', room) != NULL)
            return true;
        len += room;
    }
    buffer[size - 1] = '\0';
    return true;
}

static long ask(enum __ptrace_request request, pid_t tid, uintptr_t address, uintptr_t data)
{
    return ptrace(request, tid, (void *)address, (void *)data);
}

/* A task that vanished meanwhile reports its death through waitpid. */
static void resume(struct trace_task *task, int signal)
{
    bool at_end =
        (task->state == TRACE_IN_CALL && !task->again) || task->state == TRACE_EXECUTED || task->access.awaited;
    ask(at_end ? PTRACE_SYSCALL : PTRACE_CONT, task->tid, 0, (uintptr_t)signal);
}

static void go_on(struct trace_task *task)
{
    task->state = TRACE_RUNNING;
    resume(task, 0);
}

static bool is_mirrored(const struct trace_task *task)
{
    return task->space != NULL && !task->space->lost && !task->process->ignored;
}

/* ---- Holding back the tasks that share an address space ---- */

static bool must_wait(const struct trace_task *task)
{
    const struct trace_space *space = task->space;
    if (task->waits_for != NULL && task->waits_for->owner != NULL)
        return true;
    return space != NULL && space->owner != NULL && space->owner != task && !space->uses_uffd;
}

/* The letter of /proc/PID/stat: 'R', 'S', 'D', 't' ... */
static char state_of(struct trace_task *task)
{
    char text[256];
    if (task->stat_fd < 0) { /* the thread's own: that of a process adds up all its threads */
        snprintf(text, sizeof(text), "task/%d/stat", (int)task->tid);
        task->stat_fd = trace_proc_open(task->tid, text);
    }
    ssize_t len = pread(task->stat_fd, text, sizeof(text) - 1, 0);
    text[len > 0 ? len : 0] = '\0';
    const char *state = strrchr(text, ')');
    if (state == NULL || state[1] != ' ')
        return 'X';
    return state[2];
}

/* /proc/PID/syscall: "running", or the number of the call that it sleeps in (-1: in none), arguments, stack and program counter. */
bool trace_may_be_in_call(struct trace_task *task)
{
    char text[256], name[64];
    snprintf(name, sizeof(name), "task/%d/syscall", (int)task->tid);
    int fd = trace_proc_open(task->tid, name);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (len <= 0)
        return true;
    text[len] = '\0';
    char *end;
    long long number = strtoll(text, &end, 10);
    return end == text || number == (long long)task->call.number || state_of(task) != 'S'; /* it may have stopped */
}

static void on_stop(struct tracer *tracer, struct trace_task *task, int status);

/*
 * Stops a thread that runs. One asleep in a call cannot touch memory, and to interrupt it could be seen by the program.
 * One that goes to sleep for good meanwhile (the parent of a vfork, until its child executes) is left as well: its stop
 * comes when it wakes.
 */
static bool stop_running(struct tracer *tracer, struct trace_task *task, int *status)
{
    if (state_of(task) != 'R' || ask(PTRACE_INTERRUPT, task->tid, 0, 0) != 0)
        return false;
    for (int asleep = 0; asleep < STOP_PATIENCE;) {
        pid_t got = waitpid(task->tid, status, __WALL | WNOHANG);
        if (got != 0) {
            tracer->nr_stops++;
            return got == task->tid;
        }
        if (state_of(task) == 'D')
            asleep++;
        sched_yield();
    }
    return false;
}

/* One look at the tasks beside `task`; true when one had to be stopped. */
static bool stop_others_once(struct tracer *tracer, struct trace_task *task)
{
    bool stopped = false;
    struct trace_task *next;
    for (struct trace_task *other = tracer->tasks; other != NULL; other = next) {
        next = other->next;
        int status;
        if (other->space == task->space && other->state == TRACE_RUNNING && other != task &&
            stop_running(tracer, other, &status)) {
            on_stop(tracer, other, status);
            stopped = true;
        }
    }
    return stopped;
}

/*
 * Stops whatever could touch the memory of `task`, which owns its space. Before it stops, a thread may wake one that
 * was seen asleep: looked at again until all are still.
 */
void trace_stop_others(struct tracer *tracer, struct trace_task *task)
{
    if (task->space->nr_tasks < 2 || task->space->uses_uffd)
        return;
    while (stop_others_once(tracer, task))
        ;
}

/*
 * Makes `task` the owner of its space, alone with it, and lets the engine know of pages and stacks. In run, which is to be
 * fast, other threads go on unless what they write could matter to the call. Mostly it no longer does once the engine
 * knows what they have written before.
 */
static void take_space(struct tracer *tracer, struct trace_task *task)
{
    task->space->owner = task;
    if (tracer->mode->decides && !trace_pages_matter(task) && !task->call.late_writes) {
        trace_pages_feed_others(tracer, task);
        return;
    }
    if (tracer->mode->decides && task->space->nr_tasks > 1 && trace_pages_feed_running(tracer, task) &&
        (task->space->lost || !trace_pages_matter(task)))
        return;
    trace_stop_others(tracer, task);
    trace_pages_feed(tracer, task);
}

static void give_space(struct trace_task *task)
{
    if (task->space != NULL && task->space->owner == task)
        task->space->owner = NULL;
}

static struct trace_task *next_ready(struct tracer *tracer)
{
    for (struct trace_task *task = tracer->tasks; task != NULL; task = task->next)
        if (task->state == TRACE_HELD && !must_wait(task))
            return task;
    return NULL;
}

/* ---- The ends of a call ---- */

static void go(struct tracer *tracer, struct trace_task *task, enum trace_way way, int status)
{
    if (tracer->stop)
        return;
    task->again = way == TRACE_AGAIN;
    switch (way) {
    case TRACE_SEE_END:
    case TRACE_AGAIN:
        task->state = TRACE_IN_CALL;
        resume(task, 0);
        return;
    case TRACE_WAIT:
        if (tracer->unseen != NULL && tracer->unseen->space == task->waits_for)
            ask(PTRACE_INTERRUPT, tracer->unseen->tid, 0, 0);
        give_space(task);
        task->held_status = status;
        task->state = TRACE_HELD;
        return;
    case TRACE_UNSEEN: /* the space stays its own until then */
        tracer->unseen = task;
        go_on(task);
        return;
    case TRACE_GO_ON:
        give_space(task);
        go_on(task);
    }
}

/* Before anything else at a stop: what has become of the call whose end nobody sees? */
static void settle(struct tracer *tracer, const struct trace_task *stopped, int event)
{
    struct trace_task *task = tracer->unseen;
    if (tracer->mode->settle(tracer, stopped, event)) {
        tracer->unseen = NULL;
        give_space(task);
    } else if (stopped->space == task->space) {
        ask(PTRACE_INTERRUPT, task->tid, 0, 0); /* it runs, and this will be its next stop: the call is over then */
    }
}

static bool read_for_caller(void *task, uint64_t address, void *buffer, size_t len)
{
    return trace_read_memory(task, address, buffer, len);
}

static void skip_call(struct trace_task *task, int64_t value)
{
    struct trace_regs regs;
    if (trace_regs_read(task->tid, &regs)) {
        trace_regs_set_call(&regs, -1);
        trace_regs_set_result(&regs, value);
        trace_regs_write(task->tid, &regs);
    }
    go_on(task);
}

static void on_entry(struct tracer *tracer, struct trace_task *task, int status)
{
    struct __ptrace_syscall_info info;
    struct trace_call *call = &task->call;
    if (task->again) {
        go(tracer, task, tracer->mode->enter_again(tracer, task), status);
        return;
    }
    task->waits_for = NULL;
    memset(call, 0, sizeof(*call));
    if (ask(PTRACE_GET_SYSCALL_INFO, task->tid, sizeof(info), (uintptr_t)&info) <= 0 ||
        info.op != PTRACE_SYSCALL_INFO_SECCOMP || info.seccomp.ret_data >= TRACE_CALL_COUNT) {
        go_on(task);
        return;
    }
    call->kind = (enum trace_call_kind)info.seccomp.ret_data;
    call->number = info.seccomp.nr;
    call->pc = info.instruction_pointer;
    for (int i = 0; i < 6; i++)
        call->args[i] = info.seccomp.args[i];
    if (!trace_untraced_hide(task)) {
        skip_call(task, -VMK_EPERM);
        return;
    }
    bool is_first_exec = tracer->mode->decides && call->kind == TRACE_CALL_EXECVE;
    if ((task->space == NULL && !is_first_exec) || task->process->ignored) {
        if (task->hidden_flags != 0)
            go(tracer, task, TRACE_SEE_END, status);
        else
            go_on(task);
        return;
    }
    if (trace_access_is(call->kind)) {
        task->access.awaited = is_mirrored(task) && trace_access_enter(tracer, task);
        go_on(task);
        return;
    }
    if (is_mirrored(task) && trace_call_is_memory(call->kind)) {
        take_space(tracer, task);
    }
    if (!tracer->stop && trace_report_is_wanted(tracer) && is_mirrored(task) && trace_call_is_memory(call->kind))
        call->caller =
            caller_find(task->space->mm, info.instruction_pointer, info.stack_pointer, read_for_caller, task);
    if (tracer->stop)
        return;
    enum trace_way way = tracer->mode->enter(tracer, task);
    if (task->hidden_flags != 0 && way == TRACE_GO_ON) /* the event of the child, or the end, is where they come back */
        way = TRACE_SEE_END;
    go(tracer, task, way, status);
}

/* Beside the calls that own the space: the task may have been held back at this stop meanwhile. */
static void on_access_end(struct tracer *tracer, struct trace_task *task)
{
    struct __ptrace_syscall_info info;
    task->access.awaited = false;
    if (is_mirrored(task) && ask(PTRACE_GET_SYSCALL_INFO, task->tid, sizeof(info), (uintptr_t)&info) > 0 &&
        info.op == PTRACE_SYSCALL_INFO_EXIT)
        trace_access_leave(tracer, task, info.exit.rval);
    if (!tracer->stop)
        go_on(task);
}

static void on_leave(struct tracer *tracer, struct trace_task *task)
{
    struct __ptrace_syscall_info info;
    enum trace_way way = TRACE_GO_ON;
    if (task->state == TRACE_IN_CALL && !task->process->ignored &&
        ask(PTRACE_GET_SYSCALL_INFO, task->tid, sizeof(info), (uintptr_t)&info) > 0 &&
        info.op == PTRACE_SYSCALL_INFO_EXIT && (is_mirrored(task) || tracer->mode->decides))
        way = tracer->mode->leave(tracer, task, info.exit.rval);
    trace_untraced_show(task);
    go(tracer, task, way, 0);
}

/* The task will not come to the end of its call. */
static void give_call_up(struct tracer *tracer, struct trace_task *task)
{
    if (tracer->mode->give_up != NULL)
        tracer->mode->give_up(tracer, task);
    task->again = false;
}

/* ---- Tasks come and go ---- */

static void start_child(struct tracer *tracer, struct trace_task *child)
{
    trace_untraced_show(child);
    if (is_mirrored(child) && child->space->nr_tasks == 1 && tracer->interval == 1)
        trace_check_map(tracer, child, "in the child after fork");
    if (!tracer->stop)
        go_on(child);
}

static void on_new_child(struct tracer *tracer, struct trace_task *parent)
{
    unsigned long message = 0;
    ask(PTRACE_GETEVENTMSG, parent->tid, 0, (uintptr_t)&message);
    pid_t tid = (pid_t)message;
    struct trace_task *child = trace_task_find(tracer, tid);
    if (child == NULL)
        child = trace_task_new(tracer, tid);
    uint64_t flags = parent->call.clone_flags;
    trace_untraced_inherit(parent, child);
    trace_untraced_show(parent);
    child->known = true;
    child->is_vforked = (flags & CLONE_VFORK) != 0;
    if ((flags & CLONE_THREAD) != 0) {
        child->process = parent->process;
    } else {
        child->process = trace_process_new(tracer, tid);
        memcpy(child->process->name, parent->process->name, sizeof(child->process->name));
        child->process->rlimits = parent->process->rlimits;
        child->process->limits_generation = 1;
        child->process->seed = layout_draw(&parent->process->seed);
        child->process->ignored = parent->process->ignored || tracer->options.no_follow;
    }
    child->process->nr_tasks++;
    if (parent->space != NULL && !child->process->ignored) {
        if ((flags & CLONE_VM) != 0)
            trace_space_share(tracer, parent, child);
        else
            trace_space_fork(tracer, parent, child);
    }
    give_call_up(tracer, parent);
    give_space(parent);
    if (tracer->mode->child_begins != NULL)
        tracer->mode->child_begins(tracer, child);
    if (tracer->mode->tasks_changed != NULL)
        tracer->mode->tasks_changed(tracer);
    if (tracer->stop)
        return;
    go_on(parent);
    if (child->stopped_early)
        start_child(tracer, child);
}

static void begin_program(struct tracer *tracer, struct trace_task *task, const struct layout *moved)
{
    int status = trace_space_exec(tracer, task, moved);
    if (status != 0)
        trace_end(tracer, status);
    else if (!tracer->stop)
        go_on(task);
}

/* The end of execve, before the first instruction. */
static void on_executed(struct tracer *tracer, struct trace_task *task)
{
    struct layout layout;
    if (tracer->mode->arrange(tracer, task, &layout))
        begin_program(tracer, task, layout.nr_blocks != 0 ? &layout : NULL);
}

static void on_exec(struct tracer *tracer, struct trace_task *task)
{
    unsigned long message = 0;
    ask(PTRACE_GETEVENTMSG, task->tid, 0, (uintptr_t)&message);
    pid_t former = (pid_t)message;
    if (former != task->tid) { /* another thread called execve and took the leader's number */
        struct trace_task *caller = trace_task_find(tracer, former);
        if (caller != NULL)
            trace_task_free(tracer, caller);
    }
    give_call_up(tracer, task);
    give_space(task);
    trace_space_leave(tracer, task);
    task->process->ignored |= task->leaves;
    trace_task_close(task); /* they may be of a thread that is no more */
    if (task->process->ignored) {
        go_on(task);
        return;
    }
    if (tracer->layout == NULL) {
        begin_program(tracer, task, NULL);
        return;
    }
    task->state = TRACE_EXECUTED;
    resume(task, 0);
}

/* The address space is still there: the last moment to compare it. */
static void on_exit_event(struct tracer *tracer, struct trace_task *task)
{
    if (task->space != NULL && task->space->owner == task) {
        task->space->unfinished = true;
        give_call_up(tracer, task);
        give_space(task);
    }
    bool last = trace_space_is_last(tracer, task);
    task->state = TRACE_EXITING;
    if (last && is_mirrored(task)) {
        if (!task->space->unfinished) {
            if (tracer->mode->decides) /* what is written decides nothing any more */
                trace_pages_feed_for_reader(tracer, task);
            else
                trace_pages_feed(tracer, task);
            if (!tracer->stop && !task->space->lost && task->space->changed &&
                tracer->options.check != TRACE_CHECK_NONE)
                trace_check_map(tracer, task, "at exit");
        }
        trace_process_note_areas(tracer, task->process, task->space);
        trace_keep_map(tracer, task);
        trace_record_exit(tracer, task);
    }
    if (last || task->process->nr_tasks == 1)
        trace_report_exit(tracer, task, last && is_mirrored(task));
    if (!tracer->stop)
        ask(PTRACE_CONT, task->tid, 0, 0);
}

static void on_death(struct tracer *tracer, struct trace_task *task, int status)
{
    if (task->space != NULL && task->space->owner == task)
        task->space->unfinished = true;
    give_call_up(tracer, task);
    give_space(task);
    if (task->tid == tracer->first)
        tracer->first_status = status;
    trace_task_free(tracer, task);
    if (tracer->mode->tasks_changed != NULL)
        tracer->mode->tasks_changed(tracer);
}

/* ---- The loop ---- */

/* On the way to the end of a call: what comes between does not change that. */
static bool is_inside(const struct trace_task *task)
{
    return task->state == TRACE_IN_CALL || task->state == TRACE_EXECUTED;
}

static void on_event(struct tracer *tracer, struct trace_task *task, int event, int status)
{
    int signal = WSTOPSIG(status);
    switch (event) {
    case PTRACE_EVENT_SECCOMP:
        on_entry(tracer, task, status);
        break;
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_CLONE:
        on_new_child(tracer, task);
        break;
    case PTRACE_EVENT_EXEC:
        on_exec(tracer, task);
        break;
    case PTRACE_EVENT_STOP:
        if (signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU) {
            if (!is_inside(task))
                task->state = TRACE_RUNNING;
            ask(PTRACE_LISTEN, task->tid, 0, 0);
            break;
        }
        if (!is_inside(task))
            task->state = TRACE_RUNNING;
        resume(task, 0);
        break;
    default:
        resume(task, 0);
    }
}

static void on_stop(struct tracer *tracer, struct trace_task *task, int status)
{
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
        on_death(tracer, task, status);
        return;
    }
    if (!WIFSTOPPED(status))
        return;
    int event = (int)((unsigned)status >> 16), signal = WSTOPSIG(status);
    if (tracer->unseen != NULL)
        settle(tracer, task, event);
    if (event == PTRACE_EVENT_EXIT) { /* may be on the way to a SIGKILL: never waits */
        on_exit_event(tracer, task);
        return;
    }
    if (task->state == TRACE_NEW && !task->known) {
        task->stopped_early = true;
        return;
    }
    if (must_wait(task)) {
        task->held_status = status;
        task->state = TRACE_HELD;
        return;
    }
    if (task->state == TRACE_NEW) {
        start_child(tracer, task);
        return;
    }
    if (task->state == TRACE_HELD)
        task->state = TRACE_RUNNING;
    if (event != 0) {
        on_event(tracer, task, event, status);
    } else if (signal == (SIGTRAP | 0x80)) {
        if (task->access.awaited)
            on_access_end(tracer, task);
        else if (task->state == TRACE_EXECUTED)
            on_executed(tracer, task);
        else
            on_leave(tracer, task);
    } else {
        if (!is_inside(task))
            task->state = TRACE_RUNNING;
        if (signal == SIGSEGV || signal == SIGBUS)
            trace_pages_feed_signal(tracer, task);
        resume(task, signal);
    }
}

int trace_loop(struct tracer *tracer)
{
    while (!tracer->stop) {
        struct trace_task *task = next_ready(tracer);
        if (task != NULL) {
            on_stop(tracer, task, task->held_status);
            continue;
        }
        int status;
        pid_t tid = tracer->mode->wait != NULL ? tracer->mode->wait(tracer, &status) : waitpid(-1, &status, __WALL);
        if (tid < 0 && errno == EINTR)
            continue;
        if (tid < 0)
            break; /* no child is left */
        task = trace_task_find(tracer, tid);
        tracer->nr_stops += WIFSTOPPED(status);
        if (task == NULL && WIFSTOPPED(status))
            task = trace_task_new(tracer, tid);
        if (task != NULL)
            on_stop(tracer, task, status);
    }
    if (tracer->stop) {
        for (struct trace_task *task = tracer->tasks; task != NULL; task = task->next)
            kill(task->tid, SIGKILL);
        int status;
        pid_t tid;
        while ((tid = waitpid(-1, &status, __WALL)) > 0 || (tid < 0 && errno == EINTR))
            if (tid > 0 && WIFSTOPPED(status))
                ask(PTRACE_CONT, tid, 0, 0);
        return tracer->exit_status;
    }
    if (WIFSIGNALED(tracer->first_status))
        return 128 + WTERMSIG(tracer->first_status);
    return WEXITSTATUS(tracer->first_status);
}

void trace_end(struct tracer *tracer, int exit_status)
{
    if (!tracer->stop)
        tracer->exit_status = exit_status;
    tracer->stop = true;
}

/* ---- Starting the program ---- */

/* What the child tells its parent when it cannot become CMD. */
struct child_failure {
    int error;
    enum { CHILD_FILTER, CHILD_EXEC } where;
};

static void tell(int fd, struct child_failure failure)
{
    ssize_t written = write(fd, &failure, sizeof(failure));
    _exit(written == (ssize_t)sizeof(failure) ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

static void child_main(const struct tracer *tracer, int go, int failure)
{
    const struct trace_options *options = &tracer->options;
    char byte;
    while (read(go, &byte, 1) < 0 && errno == EINTR)
        ;
    close(go);
    unsigned long persona = (unsigned long)personality(0xffffffff);
    persona = options->random ? persona & ~(unsigned long)ADDR_NO_RANDOMIZE : persona | ADDR_NO_RANDOMIZE;
    personality(persona);
    setrlimit(RLIMIT_NOFILE, &tracer->descriptors);
    bool gave_up;
    if (tracer->mode->in_child != NULL)
        tracer->mode->in_child(tracer);
    unsigned what = tracer->mode->decides ? TRACE_FILTER_RUN : 0;
    if (tracer->mode->decides && !options->kernel_proc)
        what |= TRACE_FILTER_OPENS;
    if (options->accesses)
        what |= TRACE_FILTER_ACCESSES;
    int error = trace_filter_load(what, &gave_up);
    if (error != 0)
        tell(failure, (struct child_failure){-error, CHILD_FILTER});
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    execvp(options->command[0], options->command);
    tell(failure, (struct child_failure){errno, CHILD_EXEC});
}

static int seize_failed(const struct tracer *tracer, int error, pid_t pid)
{
    fprintf(stderr, "vmakit: %s: cannot trace process %d: %s%s\n", tracer->mode->name, (int)pid, strerror(error),
            error == EPERM ? " (no ptrace right: a tracer above this one, a container's policy or "
                             "/proc/sys/kernel/yama/ptrace_scope forbids it)"
                           : "");
    return EXIT_TRACE_FAILED;
}

int trace_start(struct tracer *tracer)
{
    int go[2], failure[2];
    if (pipe2(go, O_CLOEXEC) != 0 || pipe2(failure, O_CLOEXEC) != 0) {
        perror("vmakit: pipe");
        return EXIT_NO_RESOURCE;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        perror("vmakit: fork");
        return EXIT_NO_RESOURCE;
    }
    if (pid == 0) {
        close(go[1]);
        close(failure[0]);
        child_main(tracer, go[0], failure[1]);
    }
    close(go[0]);
    close(failure[1]);
    /* Whatever there is to hear of stops, waitpid says. */
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP}, NULL);
    signal(SIGINT, SIG_IGN); /* the terminal sends both to CMD, which decides */
    signal(SIGQUIT, SIG_IGN);
    if (ask(PTRACE_SEIZE, pid, 0, TRACE_PTRACE_OPTIONS) != 0) {
        int error = errno, status;
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        return seize_failed(tracer, error, pid);
    }
    struct trace_task *task = trace_task_new(tracer, pid);
    task->process = trace_process_new(tracer, pid);
    task->process->nr_tasks = 1;
    if (tracer->mode->process_begins != NULL)
        tracer->mode->process_begins(tracer, task->process);
    task->known = true;
    task->state = TRACE_RUNNING;
    tracer->first = pid;
    tracer->failure_fd = failure[0];
    close(go[1]);
    return 0;
}

/* After the loop: did CMD ever start? 0, or an exit status after a message. */
int trace_start_failed(struct tracer *tracer)
{
    struct child_failure failure;
    ssize_t len = read(tracer->failure_fd, &failure, sizeof(failure));
    close(tracer->failure_fd);
    if (len != (ssize_t)sizeof(failure))
        return 0;
    if (failure.where == CHILD_FILTER) {
        fprintf(stderr, "vmakit: %s: the seccomp filter cannot be installed: %s\n", tracer->mode->name,
                failure.error == ENOSYS ? "built without libseccomp" : strerror(failure.error));
        return failure.error == EPERM || failure.error == EACCES ? EXIT_TRACE_FAILED : EXIT_NO_RESOURCE;
    }
    fprintf(stderr, "vmakit: %s: %s: %s\n", tracer->mode->name, tracer->options.command[0], strerror(failure.error));
    return failure.error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}
