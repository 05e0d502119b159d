/* SPDX-License-Identifier: MIT */
/*
 * run_exec.c - programs that cannot be run here: setuid ones, which the kernel would give no privileges under a tracer, and
 * those of another architecture, whose address spaces the engine does not know. With --untouched they are run all the
 * same, and the kernel decides for them.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "run.h"

enum { INTERPRETERS_MAX = 4 };

/* A descriptor of the file that execve would execute; -1 when it cannot be looked at: the kernel says why. */
static int open_program(const struct trace_task *task, int directory, const char *path, uint64_t flags)
{
    char full[5000];
    if (path[0] == '/')
        snprintf(full, sizeof(full), "/proc/%d/root%s", (int)task->tid, path);
    else if (directory == AT_FDCWD)
        snprintf(full, sizeof(full), "/proc/%d/cwd/%s", (int)task->tid, path);
    else if (path[0] == '\0' && (flags & AT_EMPTY_PATH) != 0)
        snprintf(full, sizeof(full), "/proc/%d/fd/%d", (int)task->tid, directory);
    else
        snprintf(full, sizeof(full), "/proc/%d/fd/%d/%s", (int)task->tid, directory, path);
    return open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static bool read_ids(pid_t tid, unsigned *uid, unsigned *gid)
{
    char text[4096];
    int fd = trace_proc_open(tid, "status");
    if (fd < 0)
        return false;
    ssize_t len = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[len > 0 ? len : 0] = '\0';
    const char *uids = strstr(text, "\nUid:"), *gids = strstr(text, "\nGid:");
    return uids != NULL && gids != NULL && sscanf(uids, "\nUid: %*u %u", uid) == 1 &&
           sscanf(gids, "\nGid: %*u %u", gid) == 1;
}

static bool gains_privileges(const struct trace_task *task, int fd)
{
    struct stat status;
    unsigned uid, gid;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return false;
    bool by_capabilities = fgetxattr(fd, "security.capability", NULL, 0) > 0;
    if ((status.st_mode & (S_ISUID | S_ISGID)) == 0 && !by_capabilities)
        return false;
    if (!read_ids(task->tid, &uid, &gid))
        return true;
    return ((status.st_mode & S_ISUID) != 0 && status.st_uid != uid) ||
           ((status.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && status.st_gid != gid) ||
           (by_capabilities && uid != 0);
}

static bool is_foreign(const unsigned char *head, ssize_t len)
{
    return len >= EI_NIDENT && memcmp(head, ELFMAG, SELFMAG) == 0 && head[EI_CLASS] != ELFCLASS64;
}

/* The interpreter of a script's first line; false: it is none. */
static bool interpreter_of(char *head, char *path, size_t size)
{
    if (head[0] != '#' || head[1] != '!')
        return false;
    char *at = head + 2 + strspn(head + 2, " \t");
    at[strcspn(at, " \t\n")] = '\0';
    snprintf(path, size, "%s", at);
    return path[0] != '\0';
}

/* Why the program cannot be run; NULL: it can. */
static const char *objection(const struct trace_task *task, int directory, char *path, size_t size, uint64_t flags,
                             int *error)
{
    for (int depth = 0; depth < INTERPRETERS_MAX; depth++) {
        char head[256] = {0};
        int fd = open_program(task, directory, path, flags);
        if (fd < 0)
            return NULL;
        ssize_t len = read(fd, head, sizeof(head) - 1);
        bool gains = gains_privileges(task, fd);
        close(fd);
        *error = -VMK_EPERM;
        if (gains)
            return "it gains privileges (setuid, setgid or file capabilities), which no program does under a tracer";
        *error = -ENOEXEC;
        if (is_foreign((const unsigned char *)head, len))
            return "it is a 32-bit program, whose address spaces the engine does not know";
        if (!interpreter_of(head, path, size))
            return NULL;
    }
    return NULL;
}

enum trace_way run_exec_enter(struct tracer *tracer, struct trace_task *task)
{
    struct trace_call *call = &task->call;
    bool is_at = call->kind == TRACE_CALL_EXECVEAT;
    char path[4096], program[4096];
    int error;
    if (!trace_read_text(task, call->args[is_at ? 1 : 0], path, sizeof(path)))
        return TRACE_GO_ON;
    memcpy(program, path, sizeof(program));
    const char *why =
        objection(task, is_at ? (int)call->args[0] : AT_FDCWD, path, sizeof(path), is_at ? call->args[4] : 0, &error);
    if (why == NULL)
        return TRACE_GO_ON;
    if (tracer->run->options.untouched) {
        task->leaves = true;
        return TRACE_SEE_END;
    }
    fprintf(stderr, "vmakit: run: %d (%s) wants to execute %s: refused: %s (--untouched runs it, undecided)\n",
            (int)task->process->tgid, task->process->name, program, why);
    return run_apply_skip(task, error);
}
