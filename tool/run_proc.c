/* SPDX-License-Identifier: MIT */
/*
 * run_proc.c - /proc/PID/maps, smaps and status as the program reads them: areas, flags and sizes are the engine's, counts
 * of pages the kernel's.
 *
 * When the program opens one of them, the kernel gets a memfd_create instead, with the path as the name of the memory;
 * the tracer writes the text into it and seals it. So nothing is put into the program's memory, and its descriptor is
 * an ordinary one. The kernel makes its text at the first read, and a program may well map memory before that (a buffer to
 * read into): so as long as the descriptor stands at its beginning, each memory call renews the text, and so does going
 * back there.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "run.h"

#define PROC_MAGIC 0x9fa0

enum { PATH_ROOM = 256, RENEWALS_MAX = 200 };

#define TEXT_MAX ((size_t)64 << 20)

/* ---- Which file is it? ---- */

static const char *const names[] = {
    [TRACE_PROC_MAPS] = "maps", [TRACE_PROC_SMAPS] = "smaps", [TRACE_PROC_STATUS] = "status"};

static enum trace_proc_file file_named(const char *name)
{
    for (int i = TRACE_PROC_MAPS; i <= TRACE_PROC_STATUS; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum trace_proc_file)i;
    return TRACE_PROC_NONE;
}

static bool is_ours(const char *name)
{
    return file_named(name) != TRACE_PROC_NONE;
}

static bool is_memory(const char *name)
{
    return strcmp(name, "mem") == 0;
}

/* The path that the program opens, if its last part has that name; most opens end here, after one short read. */
static bool read_path(const struct trace_task *task, uint64_t address, char *path, bool (*wanted)(const char *name))
{
    const uint64_t page = 4096;
    size_t first = (size_t)(page - (address & (page - 1)));
    if (first > PATH_ROOM)
        first = PATH_ROOM;
    if (!trace_read_memory(task, address, path, first))
        return false;
    if (memchr(path, '\0', first) == NULL &&
        (first == PATH_ROOM || !trace_read_memory(task, address + first, path + first, PATH_ROOM - first)))
        return false;
    if (memchr(path, '\0', PATH_ROOM) == NULL)
        return false;
    const char *slash = strrchr(path, '/');
    return wanted(slash != NULL ? slash + 1 : path);
}

/* Puts the directory before a relative path. */
static bool make_absolute(const struct trace_task *task, int directory, char *path)
{
    char link[64], relative[PATH_ROOM], where[PATH_ROOM];
    if (path[0] == '/')
        return true;
    if (directory == AT_FDCWD)
        snprintf(link, sizeof(link), "/proc/%d/cwd", (int)task->tid);
    else
        snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)task->tid, directory);
    ssize_t len = readlink(link, where, sizeof(where) - 1);
    if (len <= 0 || len == (ssize_t)sizeof(where) - 1)
        return false;
    where[len] = '\0';
    memcpy(relative, path, sizeof(relative));
    return snprintf(path, PATH_ROOM, "%s/%s", where, relative) < PATH_ROOM;
}

/* A number that stands before a slash, as the program's /proc counts: only where that is the tracer's own. */
static bool read_number(const struct trace_task *task, const char *text, size_t len, pid_t *number)
{
    struct stat ours, theirs;
    char path[64], *end;
    if (len == 0 || len > 9 || text[0] < '1' || text[0] > '9')
        return false;
    *number = (pid_t)strtol(text, &end, 10);
    snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)task->tid);
    return end == text + len && stat("/proc/self/ns/pid", &ours) == 0 && stat(path, &theirs) == 0 &&
           ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

/* "self", "thread-self", "123", "self/task/123": whose file it is. */
static bool whose(const struct trace_task *task, const char *text, size_t len, pid_t *tid)
{
    const char *part = memmem(text, len, "/task/", 6);
    if (part != NULL) {
        pid_t leader;
        return whose(task, text, (size_t)(part - text), &leader) &&
               read_number(task, part + 6, len - (size_t)(part - text) - 6, tid);
    }
    *tid = task->process->tgid;
    if (len == 4 && memcmp(text, "self", 4) == 0)
        return true;
    *tid = task->tid;
    if (len == 11 && memcmp(text, "thread-self", 11) == 0)
        return true;
    return read_number(task, text, len, tid);
}

static bool is_on_proc(const struct trace_task *task)
{
    char path[64];
    struct statfs system;
    snprintf(path, sizeof(path), "/proc/%d/root/proc", (int)task->tid);
    return statfs(path, &system) == 0 && system.f_type == PROC_MAGIC;
}

/* An absolute path to somewhere else, as most are: told by one word, which costs a third of reading it all. */
static bool is_elsewhere(const struct trace_task *task, uint64_t address)
{
    char begin[sizeof(long)];
    errno = 0;
    long word =
        ptrace(PTRACE_PEEKDATA, task->tid, (void *)(uintptr_t)address, NULL); // NOLINT(performance-no-int-to-ptr)
    if (word == -1 && errno != 0)
        return false; /* it may end just before memory that cannot be read */
    memcpy(begin, &word, sizeof(begin));
    return begin[0] == '/' && memcmp(begin, "/proc/", sizeof(begin) < 6 ? sizeof(begin) : 6) != 0;
}

static bool recognise(const struct trace_task *task, int directory, uint64_t address, struct trace_proc *proc)
{
    char path[PATH_ROOM];
    if (is_elsewhere(task, address) || !read_path(task, address, path, is_ours) ||
        !make_absolute(task, directory, path) || strncmp(path, "/proc/", 6) != 0)
        return false;
    const char *name = strrchr(path, '/') + 1;
    proc->file = file_named(name);
    return name > path + 6 && whose(task, path + 6, (size_t)(name - 1 - path - 6), &proc->tid) && is_on_proc(task);
}

/* ---- The texts ---- */

/* One area in a text of maps or smaps: its first line, and what follows up to the next one. */
struct entry {
    const char *head, *body, *end;
    vmk_addr start, stop;
};

static const char *end_of_line(const char *at, const char *end)
{
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    return newline != NULL ? newline + 1 : end;
}

/* Heads begin with a hexadecimal digit in lower case, other lines with a capital. */
static bool is_head(const char *at)
{
    return (*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'f');
}

static bool next_entry(const char **at, const char *end, struct entry *entry)
{
    if (*at >= end || sscanf(*at, "%" SCNx64 "-%" SCNx64, &entry->start, &entry->stop) != 2)
        return false;
    entry->head = *at;
    entry->body = end_of_line(*at, end);
    for (*at = entry->body; *at < end && !is_head(*at);)
        *at = end_of_line(*at, end);
    entry->end = *at;
    return true;
}

/* Are permissions and offset the same? What follows them is not told by any call: names that change, inodes. */
static bool is_told_alike(const struct entry *one, const struct entry *other)
{
    char perms[2][8], offset[2][24];
    return sscanf(one->head, "%*s %7s %23s", perms[0], offset[0]) == 2 &&
           sscanf(other->head, "%*s %7s %23s", perms[1], offset[1]) == 2 && strcmp(perms[0], perms[1]) == 0 &&
           strcmp(offset[0], offset[1]) == 0;
}

static void write_piece(FILE *out, const char *from, const char *to)
{
    fwrite(from, 1, (size_t)(to - from), out);
}

static void write_flags(FILE *out, const struct entry *engine)
{
    for (const char *line = engine->body; line < engine->end; line = end_of_line(line, engine->end))
        if (strncmp(line, "VmFlags:", 8) == 0)
            write_piece(out, line, end_of_line(line, engine->end));
}

/* The kernel's counts, and the engine's flags. */
static void write_body(FILE *out, const struct entry *engine, const struct entry *kernel)
{
    if (kernel == NULL) {
        fprintf(out, "Size:           %8" PRIu64 " kB\nRss:                   0 kB\n",
                (engine->stop - engine->start) >> 10);
    } else {
        for (const char *line = kernel->body; line < kernel->end; line = end_of_line(line, kernel->end))
            if (strncmp(line, "VmFlags:", 8) != 0)
                write_piece(out, line, end_of_line(line, kernel->end));
    }
    write_flags(out, engine);
}

/* The engine's areas, each beside the kernel's of the same place. A stack may have grown since: without a call. */
static void merge_areas(FILE *out, const char *ours, size_t our_len, const char *theirs, size_t their_len, bool bodies)
{
    const char *our_end = ours + our_len, *their_end = theirs + their_len;
    struct entry engine, kernel = {0};
    bool has_kernel = next_entry(&theirs, their_end, &kernel);
    while (next_entry(&ours, our_end, &engine)) {
        while (has_kernel && kernel.stop <= engine.start)
            has_kernel = next_entry(&theirs, their_end, &kernel);
        bool same = has_kernel && kernel.stop == engine.stop && kernel.start <= engine.start;
        if (same && kernel.start != engine.start &&
            memmem(engine.head, (size_t)(engine.body - engine.head), "[stack]", 7) == NULL)
            same = false;
        const struct entry *head = same && is_told_alike(&engine, &kernel) ? &kernel : &engine;
        write_piece(out, head->head, head->body);
        if (bodies)
            write_body(out, &engine, same ? &kernel : NULL);
    }
    while (has_kernel) { /* the vsyscall page belongs to no address space */
        if (memmem(kernel.head, (size_t)(kernel.body - kernel.head), "[vsyscall]", 10) != NULL)
            write_piece(out, kernel.head, bodies ? kernel.end : kernel.body);
        has_kernel = next_entry(&theirs, their_end, &kernel);
    }
}

/* The Vm lines that the engine knows take the place of the kernel's. VmPeak may be from before execve. */
static void merge_status(FILE *out, const char *ours, size_t our_len, const char *theirs, size_t their_len,
                         uint64_t imported_peak)
{
    const char *end = theirs + their_len;
    for (const char *line = theirs; line < end; line = end_of_line(line, end)) {
        const char *colon = memchr(line, ':', (size_t)(end_of_line(line, end) - line));
        size_t len = colon != NULL ? (size_t)(colon - line) + 1 : 0;
        const char *mine = len == 0 || strncmp(line, "Vm", 2) != 0 ? NULL : memmem(ours, our_len, line, len);
        uint64_t peak = 0;
        if (mine != NULL && strncmp(line, "VmPeak:", 7) == 0)
            sscanf(mine, "VmPeak: %" SCNu64, &peak);
        if (mine == NULL || (peak != 0 && peak < imported_peak))
            write_piece(out, line, end_of_line(line, end));
        else
            write_piece(out, mine, end_of_line(mine, ours + our_len));
    }
}

static void to_stream(void *stream, const char *text, size_t len)
{
    fwrite(text, 1, len, stream);
}

/* The whole file of the kernel. The caller frees *text. */
static bool read_kernel(const struct trace_proc *proc, char **text, size_t *len)
{
    int fd = trace_proc_open(proc->tid, names[proc->file]);
    FILE *in = fd < 0 ? NULL : fdopen(fd, "r");
    size_t room = 0;
    if (in == NULL) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    ssize_t got = getdelim(text, &room, '\0', in);
    fclose(in);
    *len = got > 0 ? (size_t)got : 0;
    return got > 0;
}

/* What the program is to read; the caller frees *text. */
static bool make_text(const struct trace_space *space, const struct trace_proc *proc, char **text, size_t *len)
{
    char *theirs = NULL, *ours = NULL;
    size_t their_len, our_len;
    bool is_status = proc->file == TRACE_PROC_STATUS, good = read_kernel(proc, &theirs, &their_len);
    FILE *engine = good ? open_memstream(&ours, &our_len) : NULL, *out = NULL;
    if (engine != NULL) {
        if (is_status)
            vmk_report_status(space->mm, to_stream, engine);
        else
            vmk_report_vmflags(space->mm, to_stream, engine);
        good = fclose(engine) == 0;
        out = good ? open_memstream(text, len) : NULL;
    }
    if (out != NULL) {
        if (is_status)
            merge_status(out, ours, our_len, theirs, their_len, space->imported_peak);
        else
            merge_areas(out, ours, our_len, theirs, their_len, proc->file == TRACE_PROC_SMAPS);
        good = fclose(out) == 0;
    }
    free(ours);
    free(theirs);
    return good && out != NULL;
}

/* ---- The call ---- */

/* What an open is about. */
static bool arguments_of(const struct trace_task *task, int *directory, uint64_t *path, uint64_t *flags)
{
    const struct trace_call *call = &task->call;
    unsigned at = call->kind == TRACE_CALL_OPEN ? 0 : 1;
    *directory = at == 0 ? AT_FDCWD : (int)call->args[0];
    *path = call->args[at];
    *flags = call->args[at + 1];
    return call->kind != TRACE_CALL_OPENAT2 || trace_read_memory(task, call->args[2], flags, sizeof(*flags));
}

/* One for writing: who opens a file called mem may write to read-only memory of whomever. */
static void note_writer(struct tracer *tracer, const struct trace_task *task, uint64_t address)
{
    char path[PATH_ROOM];
    if (!tracer->looks_for_forced && read_path(task, address, path, is_memory))
        tracer->looks_for_forced = true;
}

/* Whose areas are to be shown: nobody's when they are the kernel's. */
static struct trace_space *space_of(struct tracer *tracer, const struct trace_task *task, const struct trace_proc *proc)
{
    const struct trace_task *target = trace_task_find(tracer, proc->tid);
    if (target == NULL || target->space == NULL || target->space->lost || target->process == NULL ||
        target->process->ignored || target->state == TRACE_EXITING || target->state == TRACE_ENDED)
        return NULL;
    (void)task;
    return target->space;
}

/* Grown stacks and written pages enter the mirror, as at a memory call. */
static void know_all(struct tracer *tracer, struct trace_task *task, const struct trace_proc *proc)
{
    struct trace_task *target = trace_task_find(tracer, proc->tid);
    if (target == NULL || target->space == NULL || target->space->lost)
        return;
    if (target->space == task->space) {
        task->space->owner = task;
        trace_stop_others(tracer, task);
        trace_pages_feed(tracer, task);
    } else if (target->space->owner == NULL) { /* not inside a memory call */
        trace_pages_feed_for_reader(tracer, target);
    }
}

enum trace_way run_proc_enter(struct tracer *tracer, struct trace_task *task)
{
    struct trace_proc *proc = &task->call.proc;
    uint64_t path, flags;
    int directory;
    if (!arguments_of(task, &directory, &path, &flags))
        return TRACE_GO_ON;
    if ((flags & O_ACCMODE) != O_RDONLY && (flags & O_CREAT) == 0)
        note_writer(tracer, task, path);
    if ((flags & (O_ACCMODE | O_PATH | O_DIRECTORY | O_TMPFILE | O_CREAT)) != O_RDONLY ||
        !recognise(task, directory, path, proc))
        return TRACE_GO_ON;
    struct trace_space *space = space_of(tracer, task, proc);
    if (space == NULL)
        return TRACE_GO_ON;
    know_all(tracer, task, proc);
    if (tracer->stop || space->lost)
        return TRACE_GO_ON;
    task->apply.args[0] = path;
    task->apply.args[1] = MFD_ALLOW_SEALING | ((flags & O_CLOEXEC) != 0 ? MFD_CLOEXEC : 0);
    return run_apply_other(task, SYS_memfd_create);
}

/* ---- Descriptors that the program holds ---- */

static void drop(struct run *run, struct run_served *served)
{
    if (served->text != NULL)
        munmap(served->text, TEXT_MAX);
    if (served->fd >= 0)
        close(served->fd);
    *served = (struct run_served){.fd = -1};
    run->nr_served--;
}

/* A free one; when there is none, the text of the oldest is renewed no more. */
static struct run_served *new_served(struct run *run)
{
    struct run_served *oldest = &run->served[0];
    for (unsigned i = 0; i < RUN_SERVED; i++) {
        struct run_served *served = &run->served[i];
        if (served->space == NULL) {
            run->nr_served++;
            return served;
        }
        if (served->age < oldest->age)
            oldest = served;
    }
    drop(run, oldest);
    run->nr_served++;
    return oldest;
}

/* The mapping of ours stays writable when the seal forbids everybody else to write. */
static bool put_text(const struct run_served *served, const char *text, size_t len)
{
    if (len > TEXT_MAX || ftruncate(served->fd, (off_t)len) != 0)
        return false;
    memcpy(served->text, text, len);
    return true;
}

static bool make_and_put(const struct run_served *served)
{
    char *text = NULL;
    size_t len = 0;
    bool good = make_text(served->shown, &served->proc, &text, &len) && put_text(served, text, len);
    free(text);
    return good;
}

static bool serve(struct run *run, struct trace_task *task, struct trace_space *shown, int fd)
{
    struct run_served *served = new_served(run);
    *served = (struct run_served){.space = task->space,
                                  .shown = shown,
                                  .tid = task->tid,
                                  .number = fd,
                                  .proc = task->call.proc,
                                  .age = ++run->served_age,
                                  .fd = (int)syscall(SYS_pidfd_getfd, trace_task_pidfd(task), fd, 0)};
    void *text = served->fd < 0
                     ? MAP_FAILED
                     : mmap(NULL, TEXT_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, served->fd, 0);
    served->text = text != MAP_FAILED ? text : NULL;
    if (served->text == NULL || !make_and_put(served) ||
        fcntl(served->fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0) {
        drop(run, served);
        return false;
    }
    return true;
}

static bool is_same(pid_t tid, int number, const struct run_served *served)
{
    return syscall(SYS_kcmp, tid, getpid(), KCMP_FILE, number, served->fd) == 0;
}

/* Does the program still hold it? */
static bool is_held(struct run *run, struct run_served *served)
{
    if (is_same(served->tid, served->number, served))
        return true;
    drop(run, served);
    return false;
}

/* The areas of others are not renewed here: their reader is not stopped while they change. */
void run_proc_renew(struct tracer *tracer, const struct trace_task *task)
{
    struct run *run = tracer->run;
    for (unsigned i = 0; run->nr_served != 0 && i < RUN_SERVED; i++) {
        struct run_served *served = &run->served[i];
        if (served->space != task->space || served->shown != served->space || !is_held(run, served) ||
            lseek(served->fd, 0, SEEK_CUR) != 0)
            continue;
        if (!make_and_put(served) || ++served->nr_renewals == RENEWALS_MAX)
            drop(run, served);
    }
}

void run_proc_begins_again(struct tracer *tracer, struct trace_task *task)
{
    struct run *run = tracer->run;
    for (unsigned i = 0; run->nr_served != 0 && i < RUN_SERVED; i++) {
        struct run_served *served = &run->served[i];
        if (served->space == NULL || !is_same(task->tid, (int)task->call.args[0], served))
            continue;
        know_all(tracer, task, &served->proc);
        if (!tracer->stop)
            make_and_put(served);
        return;
    }
}

void run_proc_space_ends(struct run *run, const struct trace_space *space)
{
    for (unsigned i = 0; run->nr_served != 0 && i < RUN_SERVED; i++)
        if (run->served[i].space == space || run->served[i].shown == space)
            drop(run, &run->served[i]);
}

/* The call as the program made it, when no memory can be had for it: the kernel's text is better than none. */
static enum trace_way as_it_was(struct trace_task *task)
{
    memcpy(task->apply.args, task->call.args, sizeof(task->apply.args));
    return run_apply_repeat(task);
}

enum trace_way run_proc_leave(struct tracer *tracer, struct trace_task *task, int64_t got)
{
    const struct trace_proc *proc = &task->call.proc;
    struct trace_space *space = space_of(tracer, task, proc);
    if (task->apply.repeated || got == -EMFILE || got == -ENFILE)
        return run_apply_return(task, got, got);
    if (got < 0)
        return as_it_was(task);
    if (space == NULL || !serve(tracer->run, task, space, (int)got))
        fprintf(stderr, "vmakit: run: %d (%s): what it reads as /proc/%d/%s cannot be made: it is empty\n",
                (int)task->process->tgid, task->process->name, (int)proc->tid, names[proc->file]);
    return run_apply_return(task, got, got);
}
