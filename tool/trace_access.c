/* SPDX-License-Identifier: MIT */
/*
 * trace_access.c - trace --accesses: memory that the kernel reads or writes for a program, in read, write, pread64 and
 * pwrite64, also of /proc/PID/mem. Where such an access fails there is no page to be seen, but maybe an anon_vma (a write
 * beyond the end of a private mapping's file, a growth that a limit refused). So these calls are stopped too; the end of
 * one that could fail is waited for, beside everything else that happens, and the engine is given the access that failed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trace.h"

static bool writes_memory(enum trace_call_kind kind)
{
    return kind == TRACE_CALL_ACCESS_READ || kind == TRACE_CALL_ACCESS_PREAD;
}

bool trace_access_is(enum trace_call_kind kind)
{
    return kind >= TRACE_CALL_ACCESS_READ && kind <= TRACE_CALL_ACCESS_PWRITE;
}

/* Would the kernel surely find the page at the address? What a file has at its end, or a userfaultfd, is not known here. */
static bool is_sure(const struct vmk_vma_info *area, vmk_addr address, bool write)
{
    const vmk_vm_flags unsure = VMK_VM_UFFD | VMK_VM_IO | VMK_VM_PFNMAP;
    return area->start <= address && area->file == NULL && (area->flags & unsure) == 0 &&
           (area->flags & (write ? VMK_VM_WRITE : VMK_VM_READ)) != 0;
}

static bool could_fail(struct vmk_mm *mm, vmk_addr start, uint64_t len, bool write)
{
    struct vmk_vma_info area = {.size = sizeof(area)};
    vmk_addr cursor = start, end = start + len;
    while (cursor < end) {
        vmk_addr at = cursor;
        if (vmk_mm_next(mm, &cursor, &area) != 0 || !is_sure(&area, at, write))
            return true;
    }
    return end < start;
}

/* The process whose memory a descriptor is, /proc/PID/mem; 0: none. */
static pid_t memory_of(pid_t tid, uint64_t fd)
{
    char path[64], target[64];
    int pid = 0, at = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)tid, (int)fd);
    ssize_t len = readlink(path, target, sizeof(target) - 1);
    target[len > 0 ? len : 0] = '\0';
    if (sscanf(target, "/proc/%d/%n", &pid, &at) != 1 || at == 0)
        return 0;
    (void)sscanf(target + at, "task/%*d/%n", &at);
    len = (ssize_t)strlen(target);
    return len > 4 && strcmp(target + len - 4, "/mem") == 0 ? (pid_t)pid : 0;
}

static uint64_t position_of(pid_t tid, uint64_t fd)
{
    char path[64];
    unsigned long long position = 0;
    snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)tid, (int)fd);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "pos: %llu", &position) != 1)
        position = 0;
    fclose(file);
    return position;
}

bool trace_access_enter(struct tracer *tracer, struct trace_task *task)
{
    const struct trace_call *call = &task->call;
    struct trace_access *access = &task->access;
    bool is_positioned = call->kind == TRACE_CALL_ACCESS_PREAD || call->kind == TRACE_CALL_ACCESS_PWRITE;
    (void)tracer;
    *access = (struct trace_access){.kind = call->kind, .buffer = call->args[1], .len = call->args[2]};
    if (access->len == 0)
        return false;
    access->target = memory_of(task->tid, call->args[0]);
    if (access->target != 0)
        access->position = is_positioned ? call->args[3] : position_of(task->tid, call->args[0]);
    access->buffer_could_fail = could_fail(task->space->mm, access->buffer, access->len, writes_memory(call->kind));
    return access->target != 0 || access->buffer_could_fail;
}

/* Everything that has left pages comes before. */
static void feed(struct tracer *tracer, struct trace_task *task, const struct vmk_fault_request *request)
{
    struct vmk_fault fault;
    task->call.kind = TRACE_CALL_NONE; /* of no range: pages are looked for everywhere */
    trace_pages_feed(tracer, task);
    if (task->space == NULL || task->space->lost)
        return;
    vmk_mm_fault(task->space->mm, request, &fault);
    trace_record_fault(tracer, task, request, &(int64_t){-VMK_EFAULT});
}

static struct trace_task *task_of_process(struct tracer *tracer, pid_t pid)
{
    for (struct trace_task *task = tracer->tasks; task != NULL; task = task->next)
        if (task->process != NULL && (task->process->tgid == pid || task->tid == pid) && task->space != NULL &&
            !task->space->lost && !task->process->ignored)
            return task;
    return NULL;
}

/* The buffer: the first page of which nothing was copied. With a count, that ends at a page, or it was no fault. */
static void leave_buffer(struct tracer *tracer, struct trace_task *task, uint64_t done)
{
    const struct trace_access *access = &task->access;
    const uint64_t page = vmk_system_settings(tracer->system)->page_shift;
    vmk_addr address = access->buffer + done;
    bool write = writes_memory(access->kind);
    if (done != 0 && (address & ((UINT64_C(1) << page) - 1)) != 0)
        return;
    if (!could_fail(task->space->mm, address, 1, write))
        return;
    feed(tracer, task,
         &(struct vmk_fault_request){
             .address = address, .access = write ? VMK_ACCESS_WRITE : VMK_ACCESS_READ, .flags = VMK_FAULT_HAS_TABLE});
}

/* The other side: memory that was reached through /proc, whose owner may be another process. */
static void leave_memory(struct tracer *tracer, struct trace_task *task, uint64_t done)
{
    const struct trace_access *access = &task->access;
    unsigned kind = writes_memory(access->kind) ? VMK_ACCESS_READ : VMK_ACCESS_WRITE;
    struct trace_task *target = task->process->tgid == access->target ? task : task_of_process(tracer, access->target);
    if (target == NULL || target->space->owner != NULL)
        return;
    feed(tracer, target,
         &(struct vmk_fault_request){.address = access->position + done,
                                     .access = kind | VMK_ACCESS_FOREIGN | VMK_ACCESS_FORCE | VMK_ACCESS_REMOTE,
                                     .flags = VMK_FAULT_HAS_TABLE});
}

void trace_access_leave(struct tracer *tracer, struct trace_task *task, int64_t value)
{
    const struct trace_access *access = &task->access;
    uint64_t done = value > 0 ? (uint64_t)value : 0;
    if (value >= 0 && (done == 0 || done >= access->len))
        return; /* all of it, or nothing there: no access failed */
    if (access->target != 0 && (value == -VMK_EIO || value > 0))
        leave_memory(tracer, task, done);
    if (access->buffer_could_fail && (value == -VMK_EFAULT || value > 0) && task->space != NULL && !task->space->lost)
        leave_buffer(tracer, task, done);
}
