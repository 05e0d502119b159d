/* SPDX-License-Identifier: MIT */
/*
 * replay_strace.c - strace's output as events.
 *
 * strace shows calls, but neither the areas that exec made, nor which files descriptors name, nor page faults. So:
 * - a call that succeeded on memory that the engine does not have proves that it was there: it is assumed (and
 *   counted);
 * - an address that the kernel chose is taken from the output, after asking the engine what it would have chosen (but
 *   for the first one after exec, which shows where mmap begins), except in a what-if, where the engine chooses;
 * - calls that failed are not repeated: why they failed may lie in what strace does not show.
 */
#include "replay.h"
#include "strace.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"

enum { SHM_BYTES = 4096 };

struct strace_run {
    struct replay *replay;
    const struct strace_line *line;
    struct replay_process *process;
    uint64_t main_pid; /* what lines without a process belong to */
    uint64_t last_pid, next_file, nr_events, nr_ignored, nr_failed;
    bool has_end;      /* a process ended */
    bool thread_stack; /* the call before made a stack: a thread is about to begin */
    uint64_t clone_parent;
    int clone_kind; /* of an unfinished clone: 0 none, 1 fork, 2 share */
};

/* How a call of strace's becomes an event. */
enum form {
    FORM_PLAIN, /* arguments as they are; those missing are 0 */
    FORM_RANGE, /* the same, and memory at the first two must be there */
    FORM_MMAP,
    FORM_MREMAP,
    FORM_BRK,
    FORM_SHMAT,
    FORM_NODES_4, /* mbind: the fourth argument is a list of nodes */
    FORM_NODES_2  /* set_mempolicy: the second */
};

static const struct {
    const char *name;
    enum record_call call;
    enum form form;
} forms[] = {
    {"mmap", RECORD_mmap, FORM_MMAP},
    {"mmap2", RECORD_mmap, FORM_MMAP},
    {"munmap", RECORD_munmap, FORM_PLAIN},
    {"mprotect", RECORD_mprotect, FORM_RANGE},
    {"pkey_mprotect", RECORD_pkey_mprotect, FORM_RANGE},
    {"mremap", RECORD_mremap, FORM_MREMAP},
    {"brk", RECORD_brk, FORM_BRK},
    {"madvise", RECORD_madvise, FORM_RANGE},
    {"mlock", RECORD_mlock, FORM_RANGE},
    {"mlock2", RECORD_mlock2, FORM_RANGE},
    {"munlock", RECORD_munlock, FORM_RANGE},
    {"mlockall", RECORD_mlockall, FORM_PLAIN},
    {"munlockall", RECORD_munlockall, FORM_PLAIN},
    {"mseal", RECORD_mseal, FORM_RANGE},
    {"msync", RECORD_msync, FORM_RANGE},
    {"mincore", RECORD_mincore, FORM_RANGE},
    {"remap_file_pages", RECORD_remap_file_pages, FORM_RANGE},
    {"shmat", RECORD_shmat, FORM_SHMAT},
    {"shmdt", RECORD_shmdt, FORM_PLAIN},
    {"mbind", RECORD_mbind, FORM_NODES_4},
    {"set_mempolicy", RECORD_set_mempolicy, FORM_NODES_2},
    {"pkey_alloc", RECORD_pkey_alloc, FORM_PLAIN},
    {"pkey_free", RECORD_pkey_free, FORM_PLAIN},
};

/* ---- Arguments ---- */

static int bad_arg(const struct strace_run *run, size_t i)
{
    struct strace_text text = i < run->line->nr_args ? run->line->args[i] : (struct strace_text){"", 0};
    return replay_complain(run->replay, "argument %zu, '%.*s', is not a number", i + 1,
                           text.len > 40 ? 40 : (int)text.len, text.text);
}

/* A file descriptor may be followed by its path, "3</lib/x.so>". */
static struct strace_text descriptor_path(struct strace_text *descriptor)
{
    const char *open = descriptor->len == 0 ? NULL : memchr(descriptor->text, '<', descriptor->len);

    if (open == NULL || descriptor->text[descriptor->len - 1] != '>')
        return (struct strace_text){"", 0};
    size_t len = (size_t)(open - descriptor->text);
    struct strace_text path = {open + 1, descriptor->len - len - 2};
    descriptor->len = len;
    return path;
}

/* "[0x0000000000000003, 0x0000000000000000]": its first word; "NULL": none. */
static bool read_nodes(struct strace_text text, uint64_t *nodes)
{
    *nodes = 0;
    if (text.len < 2 || *text.text != '[')
        return strace_number(text, nodes);
    const char *end = memchr(text.text, ',', text.len);
    size_t len = end == NULL ? text.len - 2 : (size_t)(end - text.text) - 1;
    return strace_number((struct strace_text){text.text + 1, len}, nodes);
}

static int read_args(struct strace_run *run, struct record_event *event, enum form form)
{
    for (size_t i = 0; record_arg_name(event->call, i) != NULL && i < run->line->nr_args; i++) {
        struct strace_text arg = run->line->args[i];
        bool is_nodes = (form == FORM_NODES_4 && i == 3) || (form == FORM_NODES_2 && i == 1);
        if (form == FORM_MMAP && i == 4)
            continue; /* the descriptor */
        if (is_nodes ? !read_nodes(arg, &event->args[i].number) : !strace_number(arg, &event->args[i].number))
            return bad_arg(run, i);
    }
    return 0;
}

/* ---- Memory that must have been there ---- */

static int assume(struct strace_run *run, vmk_addr start, vmk_addr end)
{
    struct vmk_import_area area = {
        .start = start,
        .end = end,
        .flags = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAYREAD | VMK_VM_MAYWRITE | VMK_VM_MAYEXEC | VMK_VM_ACCOUNT,
        .anon_vma = VMK_ANON_UNKNOWN,
    };
    int error = vmk_mm_import(run->process->mm, &area);
    if (error == -VMK_ERR_HOST_NOMEM)
        return replay_out_of_memory();
    run->process->nr_assumed += error == 0;
    return 0; /* beyond the address space, or the like: the call's own result will tell */
}

/* Memory that lies beyond a smaller address space and that nobody has mentioned yet. */
static int move_down(struct strace_run *run, vmk_addr start, uint64_t len)
{
    uint64_t delta = replay_shift(run->replay, start);

    if (delta == 0 || replay_where(run->process, start) != start)
        return 0;
    return replay_note_moved(run->process, start, len, delta);
}

/* Fills the holes of a range. */
static int assume_range(struct strace_run *run, vmk_addr start, uint64_t len)
{
    int moved = move_down(run, start, len);
    if (moved != 0)
        return moved;
    start = replay_where(run->process, start);

    const uint64_t mask = (UINT64_C(1) << run->replay->settings.page_shift) - 1;
    struct vmk_vma_info info = {.size = sizeof(info)};
    vmk_addr end = (start + len + mask) & ~mask, cursor;

    start &= ~mask;
    if (len == 0 || end <= start)
        return 0;
    while (start < end) {
        cursor = start;
        bool found = vmk_mm_next(run->process->mm, &cursor, &info) == 0;
        vmk_addr hole_end = !found || info.start > end ? end : info.start;
        if (hole_end > start) {
            int status = assume(run, start, hole_end);
            if (status != 0)
                return status;
        }
        if (!found || info.start >= end)
            break;
        start = info.end;
    }
    return 0;
}

/* ---- Calls with a form of their own ---- */

static bool is_error_result(int64_t value)
{
    return value < 0 && value > -4096;
}

/* A file for a descriptor: strace does not say which opens are the same, so a fixed map goes on with the one before. */
static int mmap_file(struct strace_run *run, struct record_event *event)
{
    char name[512];
    uint64_t number;

    if (run->line->nr_args < 5)
        return bad_arg(run, 4);
    struct strace_text descriptor = run->line->args[4], path = descriptor_path(&descriptor);
    if (!strace_number(descriptor, &number))
        return bad_arg(run, 4);
    if ((int32_t)number < 0 || (event->args[3].number & VMK_MAP_ANONYMOUS) != 0)
        return 0;
    bool goes_on = (event->args[3].number & VMK_MAP_FIXED) != 0 && run->next_file != 0;
    if (!goes_on) {
        snprintf(name, sizeof(name), "%.*s", path.len > 500 ? 500 : (int)path.len, path.text);
        struct record_file file = {
            .id = ++run->next_file,
            .kind = VMK_OBJECT_REGULAR,
            .mode = VMK_FILE_READ | VMK_FILE_WRITE,
            .nr_bytes = INT64_MAX,
            .dev_minor = 1,
            .inode = run->next_file,
            .name = name,
        };
        if (path.len == 0)
            snprintf(name, sizeof(name), "(descriptor %d)", (int)number);
        int status = replay_add_file(run->replay, &file);
        if (status != 0)
            return status;
    }
    event->args[4].number = run->next_file;
    return 0;
}

/*
 * The first placement after exec lies below whatever exec mapped there: from then on the engine can choose as Linux
 * does.
 */
static void learn_base(struct strace_run *run, const struct record_event *event)
{
    const uint64_t mask = (UINT64_C(1) << run->replay->settings.page_shift) - 1;
    struct vmk_mm_layout layout;

    vmk_mm_get_layout(run->process->mm, &layout);
    layout.mmap_base = ((uint64_t)event->result + event->args[1].number + mask) & ~mask;
    vmk_mm_set_layout(run->process->mm, &layout);
    run->process->base_learned = true;
}

/* The engine is asked where it would go, and then told where it went. */
static int force_mmap(struct strace_run *run, struct record_event *event)
{
    vmk_addr chosen = 0;
    uint64_t flags = event->args[3].number;
    struct vmk_file *file = event->args[4].number == 0 ? NULL : idmap_get(&run->replay->files, event->args[4].number);

    if (run->replay->what_if || (flags & (VMK_MAP_FIXED | VMK_MAP_FIXED_NOREPLACE)) != 0)
        return 0;
    run->process->nr_placed++;
    if (!run->process->base_learned)
        learn_base(run, event);
    else if (vmk_mm_unmapped_area(run->process->mm, event->args[0].number, event->args[1].number, (uint32_t)flags, file,
                                  event->args[5].number >> run->replay->settings.page_shift, &chosen) == 0)
        run->process->nr_predicted += (int64_t)chosen == event->result;
    event->args[0].number = (uint64_t)event->result;
    event->args[3].number = flags | VMK_MAP_FIXED;
    return 0;
}

static int prepare_mremap(struct strace_run *run, struct record_event *event)
{
    int status = assume_range(run, event->args[0].number, event->args[1].number);

    if (status != 0 || run->replay->what_if || event->result == (int64_t)event->args[0].number ||
        (event->args[3].number & VMK_MREMAP_FIXED) != 0)
        return status;
    run->process->nr_placed++;
    event->args[3].number |= VMK_MREMAP_FIXED | VMK_MREMAP_MAYMOVE;
    event->args[4].number = (uint64_t)event->result;
    return 0;
}

static int fresh_space(struct strace_run *run, uint64_t pid)
{
    const struct vmk_rlimit unlimited = {VMK_RLIM_INFINITY, VMK_RLIM_INFINITY};
    struct record_process process = {
        .pid = pid,
        .rlimits = {unlimited, unlimited, {8 << 20, VMK_RLIM_INFINITY}, unlimited},
        .capabilities = VMK_CAP_IPC_LOCK,
    };
    int status = replay_add_process(run->replay, &process);

    run->process = idmap_get(&run->replay->processes, pid);
    return status != 0 ? status : replay_end_areas(run->replay);
}

/* A break that the engine does not have is the first one of a program that strace did not show being executed. */
static int prepare_brk(struct strace_run *run, const struct record_event *event)
{
    struct vmk_mm_layout layout;

    vmk_mm_get_layout(run->process->mm, &layout);
    if (event->args[0].number != 0 || layout.brk == (uint64_t)event->result)
        return 0;
    if (layout.start_brk != 0 && run->replay->what_if)
        return 0; /* the break may well be elsewhere now */
    if (layout.start_brk != 0) {
        int status = fresh_space(run, run->process->pid);
        if (status != 0)
            return status;
        vmk_mm_get_layout(run->process->mm, &layout);
    }
    int status = move_down(run, (vmk_addr)event->result, UINT64_C(1) << 32);
    if (status != 0)
        return status;
    layout.start_brk = layout.brk = replay_where(run->process, (vmk_addr)event->result);
    vmk_mm_set_layout(run->process->mm, &layout);
    return 0;
}

static int prepare_shmat(struct strace_run *run, struct record_event *event)
{
    uint64_t segment = event->args[0].number, address = event->args[1].number, flags = event->args[2].number;
    struct record_file file = {
        .id = ++run->next_file,
        .kind = VMK_OBJECT_SHMEM,
        .mode = VMK_FILE_READ | VMK_FILE_WRITE,
        .nr_bytes = SHM_BYTES,
        .dev_minor = 1,
        .inode = segment,
        .name = "/SYSV00000000 (deleted)",
    };
    event->args[0].number = file.id;
    event->args[1].number = SHM_BYTES;
    event->args[2].number = run->replay->what_if ? address : (uint64_t)event->result;
    event->args[3].number = run->replay->what_if ? flags : flags & ~(uint64_t)VMK_SHM_RND;
    return replay_add_file(run->replay, &file);
}

static int prepare(struct strace_run *run, struct record_event *event, enum form form)
{
    int status;

    switch (form) {
    case FORM_RANGE:
        return assume_range(run, event->args[0].number, event->args[1].number);
    case FORM_MMAP:
        status = mmap_file(run, event);
        return status != 0 ? status : force_mmap(run, event);
    case FORM_MREMAP:
        return prepare_mremap(run, event);
    case FORM_BRK:
        return prepare_brk(run, event);
    case FORM_SHMAT:
        return prepare_shmat(run, event);
    default:
        return 0;
    }
}

/* ---- Processes ---- */

static int add_child(struct strace_run *run, uint64_t parent, uint64_t child, bool shares)
{
    struct record_event event = {
        .pid = parent, .call = shares ? RECORD_share : RECORD_fork, .args = {{.number = child}}};
    const struct replay_process *known = idmap_get(&run->replay->processes, child);

    if (known != NULL && known->mm != NULL)
        return 0; /* its own lines came first */
    return replay_event(run->replay, &event);
}

/* The process of a line. One that nobody has seen being made is a copy of the one that was active, or its thread. */
static int find_process(struct strace_run *run, uint64_t pid, bool is_child)
{
    struct replay *replay = run->replay;
    int status = 0;

    run->process = idmap_get(&replay->processes, pid);
    if (run->process == NULL && !is_child && run->main_pid == 0 && replay->nr_order != 0 &&
        replay->order[0]->pid == 0) {
        /* The first process, which had no number so far, gets one when the second one appears. */
        run->main_pid = pid;
        run->process = replay->order[0];
        run->process->pid = pid;
        return idmap_put(&replay->processes, pid, run->process) ? 0 : replay_out_of_memory();
    }
    if (run->process != NULL && run->process->mm != NULL)
        return 0;
    const struct replay_process *parent = idmap_get(&replay->processes, run->last_pid);
    if (run->clone_kind != 0)
        parent = idmap_get(&replay->processes, run->clone_parent);
    if (parent == NULL || parent->mm == NULL || parent->pid == pid) {
        status = fresh_space(run, pid);
    } else {
        status = add_child(run, parent->pid, pid, run->clone_kind == 2 || (run->clone_kind == 0 && run->thread_stack));
        run->clone_kind = 0;
    }
    run->process = idmap_get(&replay->processes, pid);
    if (status == 0 && run->process->mm == NULL)
        status = fresh_space(run, pid);
    return status;
}

/* Lines without a number belong to the first process, or to the one that is left when it has ended. */
static uint64_t pid_of(const struct strace_run *run, const struct strace_line *line)
{
    if (line->pid != 0)
        return line->pid;
    const struct replay_process *first = idmap_get(&run->replay->processes, run->main_pid);
    return first != NULL && first->mm == NULL && run->last_pid != 0 ? run->last_pid : run->main_pid;
}

static bool is_clone(struct strace_text name)
{
    return strace_is(name, "clone") || strace_is(name, "clone3") || strace_is(name, "fork") || strace_is(name, "vfork");
}

/* "flags=CLONE_VM|CLONE_FS", alone or within "{...}". */
static bool clone_shares(const struct strace_line *line)
{
    if (strace_is(line->name, "vfork"))
        return true;
    for (size_t i = 0; i < line->nr_args; i++) {
        struct strace_text arg = line->args[i];
        for (size_t at = 0; at + 8 <= arg.len; at++)
            if (memcmp(arg.text + at, "CLONE_VM", 8) == 0 && (at + 8 == arg.len || arg.text[at + 8] != 'F'))
                return true;
    }
    return false;
}

static int run_exit(struct strace_run *run, uint64_t pid)
{
    struct record_event event = {.pid = pid, .call = RECORD_exit};
    const struct replay_process *process = idmap_get(&run->replay->processes, pid);

    if (process == NULL || process->mm == NULL)
        return 0;
    if (process->pid != pid)
        event.pid = process->pid;
    return replay_event(run->replay, &event);
}

/* ---- Lines ---- */

static int run_known_call(struct strace_run *run, enum record_call call, enum form form)
{
    struct record_event event = {
        .pid = run->process->pid, .call = call, .has_result = true, .result = run->line->result};
    int status = read_args(run, &event, form);

    if (status != 0)
        return status;
    if (run->line->failed || is_error_result(event.result)) {
        run->nr_failed++;
        return 0;
    }
    run->thread_stack = call == RECORD_mmap ? (event.args[3].number & VMK_MAP_STACK) != 0
                                            : run->thread_stack && (call == RECORD_mprotect || call == RECORD_madvise);
    status = prepare(run, &event, form);
    if (status != 0)
        return status;
    return replay_event(run->replay, &event);
}

static int run_call(struct strace_run *run)
{
    const struct strace_line *line = run->line;
    uint64_t pid = pid_of(run, line);

    if (!line->has_result)
        return 0; /* it never returned */
    int status = find_process(run, pid, false);
    if (status != 0)
        return status;
    run->last_pid = run->process->pid;
    if (is_clone(line->name)) {
        run->clone_kind = 0;
        return line->failed || line->result <= 0
                   ? 0
                   : add_child(run, run->process->pid, (uint64_t)line->result, clone_shares(line));
    }
    if (strace_is(line->name, "execve") || strace_is(line->name, "execveat"))
        return line->failed ? 0 : fresh_space(run, run->process->pid);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        if (strace_is(line->name, forms[i].name))
            return run_known_call(run, forms[i].call, forms[i].form);
    run->nr_ignored++;
    return 0;
}

static int run_line(struct strace_run *run)
{
    const struct strace_line *line = run->line;
    uint64_t pid = pid_of(run, line);

    switch (line->kind) {
    case STRACE_CALL:
        return run_call(run);
    case STRACE_PENDING:
        if (is_clone(line->name)) {
            run->clone_kind = clone_shares(line) ? 2 : 1;
            run->clone_parent = pid;
        }
        return 0;
    case STRACE_ATTACHED:
        return run->replay->nr_order == 0 ? 0 : find_process(run, line->child, true);
    case STRACE_EXITED:
        run->has_end = true;
        return run_exit(run, pid);
    default:
        return replay_complain(run->replay, "%s", line->what);
    }
}

int replay_strace(struct replay *replay, const char *text, size_t len)
{
    struct strace_reader *reader = strace_reader_new(text, len);
    struct strace_line line;
    struct strace_run run = {.replay = replay, .line = &line};
    int got, status = 0;

    if (reader == NULL)
        return replay_out_of_memory();
    replay->line = 1;
    replay->sysctl.overcommit_memory = VMK_OVERCOMMIT_ALWAYS; /* of a machine that is not known */
    while (status == 0 && (got = strace_next(reader, &line)) != 0) {
        replay->line = line.line;
        status = got < 0 ? replay_out_of_memory() : run_line(&run);
    }
    strace_reader_free(reader);
    if (status == 0 && replay->nr_order == 0)
        return replay_complain(
            replay, run.has_end ? "no call is in it (strace -Z writes those that failed, which are not repeated)"
                                : "this is neither a recorded trace nor strace's output");
    if (status == 0 && !replay->options.quiet && (run.nr_failed != 0 || run.nr_ignored != 0))
        printf("%" PRIu64 " calls that failed were not repeated, %" PRIu64
               " that are no memory calls were passed over\n",
               run.nr_failed, run.nr_ignored);
    return status;
}
