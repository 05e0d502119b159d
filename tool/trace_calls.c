/* SPDX-License-Identifier: MIT */
/*
 * trace_calls.c - from a system call to a request of the engine, and from its end to a comparison of results.
 *
 * `enter` runs the engine when the kernel is about to run the call; `leave` sees what the kernel made of it. Calls that
 * change something that the engine is only told of (limits, personality, capabilities) are applied in `leave`, when the
 * kernel has accepted them.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "commands.h"
#include "trace.h"

struct call_type {
    const char *name;
    unsigned nr_args;
    bool memory; /* the tasks of the address space are held meanwhile */
    void (*enter)(struct tracer *tracer, struct trace_task *task, struct trace_call *call);
    void (*leave)(struct tracer *tracer, struct trace_task *task, struct trace_call *call, int64_t value);
};

static const struct call_type call_types[TRACE_CALL_COUNT];

const char *trace_call_name(enum trace_call_kind kind)
{
    return call_types[kind].name;
}

bool trace_call_is_memory(enum trace_call_kind kind)
{
    return call_types[kind].memory;
}

void trace_cannot(struct tracer *tracer, struct trace_task *task, const char *what)
{
    const char *text = trace_call_text(&task->call);
    fprintf(stderr, "vmakit: %s: %d (%s): %s: %s; from here on %s\n", tracer->mode->name, (int)task->process->tgid,
            task->process->name, text[0] != '\0' ? text : "at execve", what,
            tracer->mode->decides ? "the kernel decides for it" : "it is not mirrored");
    tracer->nr_unmirrored++;
    report_notice(tracer->report, "Process %d (%s): %s: %s; from there on its address space is not shown.",
                  (int)task->process->tgid, task->process->name,
                  task->call.text[0] != '\0' ? task->call.text : "at execve", what);
    if (task->space != NULL)
        task->space->lost = true;
}

/* ---- The pieces that most calls share ---- */

/* The engine has run the call: what the kernel is expected to return. */
static void expect(struct trace_call *call, enum trace_expect what)
{
    call->mirrored = true;
    call->expect = what;
}

/* One call, or in two phases only its first part: then call->result is known unless call->open. */
static void prepared(struct trace_task *task, struct trace_call *call)
{
    call->open = vmk_plan_part(&task->plan, &call->part_error);
    if (!call->open)
        vmk_plan_commit(&task->plan, &call->result);
}

#define ENGINE_VERB(verb)                                                                                              \
    static void engine_##verb(struct trace_task *task, struct trace_call *call,                                        \
                              const struct vmk_##verb##_request *request)                                              \
    {                                                                                                                  \
        if (!call->two_phase) {                                                                                        \
            vmk_##verb(task->space->mm, request, &call->result);                                                       \
            return;                                                                                                    \
        }                                                                                                              \
        vmk_##verb##_prepare(task->space->mm, request, &task->plan);                                                   \
        prepared(task, call);                                                                                          \
    }
#define ENGINE_VERBS(X)                                                                                                \
    X(mmap)                                                                                                            \
    X(munmap)                                                                                                          \
    X(mprotect)                                                                                                        \
    X(mremap)                                                                                                          \
    X(brk)                                                                                                             \
    X(madvise)                                                                                                         \
    X(mlock)                                                                                                           \
    X(munlock)                                                                                                         \
    X(mlockall)                                                                                                        \
    X(munlockall)                                                                                                      \
    X(mseal)                                                                                                           \
    X(msync)                                                                                                           \
    X(mincore)                                                                                                         \
    X(remap_file_pages)                                                                                                \
    X(shmat)                                                                                                           \
    X(shmdt)                                                                                                           \
    X(aio_setup)                                                                                                       \
    X(aio_destroy)                                                                                                     \
    X(mbind)                                                                                                           \
    X(set_mempolicy)                                                                                                   \
    X(name)                                                                                                            \
    X(set_mm)                                                                                                          \
    X(set_option)                                                                                                      \
    X(pkey)                                                                                                            \
    X(uffd)
ENGINE_VERBS(ENGINE_VERB)

/* X(kind, verb, expectation, fields of the request by arguments a[0] ...) */
#define SIMPLE_CALLS(X)                                                                                                \
    X(munmap, munmap, TRACE_EXPECT_STATUS, .address = a[0], .len = a[1])                                               \
    X(mprotect, mprotect, TRACE_EXPECT_STATUS, .address = a[0], .len = a[1], .prot = a[2], .pkey = -1)                 \
    X(pkey_mprotect, mprotect, TRACE_EXPECT_STATUS, .address = a[0], .len = a[1], .prot = a[2], .pkey = (int)a[3])     \
    X(brk, brk, TRACE_EXPECT_BREAK, .address = a[0])                                                                   \
    X(madvise, madvise, TRACE_EXPECT_STATUS, .address = a[0], .len = a[1], .advice = (int)a[2])                        \
    X(mlock, mlock, TRACE_EXPECT_STATUS, .address = a[0], .len = a[1])                                                 \
    X(mlock2, mlock, TRACE_EXPECT_STATUS, .address = a[0], .len = a[1], .flags = (uint32_t)a[2])                       \
    X(munlock, munlock, TRACE_EXPECT_STATUS, .address = a[0], .len = a[1])                                             \
    X(mlockall, mlockall, TRACE_EXPECT_STATUS, .flags = (uint32_t)a[0])                                                \
    X(munlockall, munlockall, TRACE_EXPECT_STATUS, .reserved = 0)                                                      \
    X(mseal, mseal, TRACE_EXPECT_STATUS, .address = a[0], .len = a[1], .flags = a[2])                                  \
    X(msync, msync, TRACE_EXPECT_STATUS, .address = a[0], .len = a[1], .flags = (uint32_t)a[2])                        \
    X(remap_file_pages, remap_file_pages, TRACE_EXPECT_STATUS, .address = a[0], .size = a[1], .prot = a[2],            \
      .pgoff = a[3], .flags = (uint32_t)a[4])                                                                          \
    X(shmdt, shmdt, TRACE_EXPECT_STATUS, .address = a[0])                                                              \
    X(pkey_alloc, pkey, TRACE_EXPECT_VALUE, .flags = a[0], .rights = a[1])                                             \
    X(pkey_free, pkey, TRACE_EXPECT_STATUS, .free = true, .pkey = (int)a[0])

#define SIMPLE_ENTER(name, verb, what, ...)                                                                            \
    static void enter_##name(struct tracer *tracer, struct trace_task *task, struct trace_call *call)                  \
    {                                                                                                                  \
        (void)tracer;                                                                                                  \
        const uint64_t *a = call->args;                                                                                \
        (void)a;                                                                                                       \
        struct vmk_##verb##_request request = {__VA_ARGS__};                                                           \
        engine_##verb(task, call, &request);                                                                           \
        expect(call, what);                                                                                            \
    }
SIMPLE_CALLS(SIMPLE_ENTER)

/* May the kernel write there for the program? */
static bool is_writable(struct vmk_mm *mm, vmk_addr start, uint64_t len)
{
    struct vmk_vma_info area = {.size = sizeof(area)};
    for (vmk_addr at = start; at < start + len; at = area.end)
        if (vmk_mm_lookup(mm, at, &area) != 0 || (area.flags & VMK_VM_WRITE) == 0)
            return false;
    return true;
}

/* What it says of pages is the kernel's; it says it of the mapped ones before a hole, too. */
static void enter_mincore(struct tracer *tracer, struct trace_task *task, struct trace_call *call)
{
    const uint64_t *a = call->args;
    struct vmk_mincore_request request = {.address = a[0], .len = a[1]};
    struct vmk_mm_layout layout;
    (void)tracer;
    engine_mincore(task, call, &request);
    expect(call, TRACE_EXPECT_STATUS);
    vmk_mm_get_layout(task->space->mm, &layout);
    uint64_t page = UINT64_C(1) << vmk_mm_settings(task->space->mm)->page_shift, most = (a[1] + page - 1) / page;
    bool is_refused = call->result.error != 0 && call->result.done == 0;
    bool is_outside = most > layout.task_size || a[2] > layout.task_size - most;
    if (is_refused && (call->result.error == -VMK_EINVAL || a[1] > layout.task_size ||
                       a[0] > layout.task_size - a[1])) /* looked at before the vector is */
        return;
    if (is_outside || !is_writable(task->space->mm, a[2], call->result.done / page))
        call->result.error = -VMK_EFAULT;
}

/* ---- mmap and its like ---- */

/* The call is prepared where Linux would place it; prepared once more, at the place that the mode prefers. */
static void place_mmap(struct tracer *tracer, struct trace_task *task, const struct vmk_mmap_request *request)
{
    struct trace_call *call = &task->call;
    struct vmk_mmap_request fixed = *request;
    struct trace_place place = {.hint = request->address,
                                .len = request->len,
                                .flags = request->flags,
                                .file = request->file,
                                .pgoff = request->offset >> vmk_mm_settings(task->space->mm)->page_shift};
    if (!tracer->has_places)
        return;
    vmk_plan_abort(&task->plan, -VMK_ENOMEM, NULL);
    if (tracer->mode->place(tracer, task, &place, &fixed.address)) {
        bool validates = (request->flags & VMK_MAP_TYPE) == VMK_MAP_SHARED_VALIDATE;
        fixed.flags |= validates ? VMK_MAP_FIXED : VMK_MAP_FIXED_NOREPLACE;
        engine_mmap(task, call, &fixed);
        if (call->open)
            return;
    }
    engine_mmap(task, call, request);
}

static void run_mmap(struct tracer *tracer, struct trace_task *task, struct trace_call *call,
                     const struct vmk_mmap_request *request)
{
    engine_mmap(task, call, request);
    if (call->open && call->placed)
        place_mmap(tracer, task, request);
    expect(call, TRACE_EXPECT_VALUE);
    if (request->file == NULL)
        return;
    trace_record_file(tracer, task, request->file);
    if (call->result.error == 0 && vmk_object_kind_of(vmk_file_object(request->file)) == VMK_OBJECT_DEVICE &&
        !trace_files_device_is_known(request->file))
        trace_cannot(tracer, task, "maps a device whose driver is not known");
}

static bool is_fixed(const struct vmk_mmap_request *request)
{
    return (request->flags & (VMK_MAP_FIXED | VMK_MAP_FIXED_NOREPLACE)) != 0;
}

/*
 * With a randomised layout the kernel draws where its search for MAP_32BIT begins, anew for each call: nobody can
 * predict that. Such a call is run at its end, at the address that the kernel drew, and is not counted as predicted.
 */
static bool is_drawn(const struct trace_space *space, const struct vmk_mmap_request *request)
{
    return (request->flags & VMK_MAP_32BIT) != 0 && request->address == 0 && !is_fixed(request) &&
           (space->personality & VMK_ADDR_NO_RANDOMIZE) == 0 && vmk_mm_settings(space->mm)->map_32bit != 0;
}

static struct vmk_mmap_request mmap_request(const struct trace_call *call)
{
    return (struct vmk_mmap_request){
        .address = call->args[0],
        .len = call->args[1],
        .prot = (uint32_t)call->args[2],
        .flags = (uint32_t)call->args[3],
        .offset = call->args[5],
    };
}

static void enter_mmap(struct tracer *tracer, struct trace_task *task, struct trace_call *call)
{
    struct vmk_mmap_request request = mmap_request(call);
    call->drawn = !tracer->mode->decides && is_drawn(task->space, &request);
    if (call->drawn)
        return;
    if ((request.flags & VMK_MAP_ANONYMOUS) == 0)
        request.file = trace_files_get(tracer, task, (int)call->args[4], &request.file_error);
    if (task->space->lost)
        return;
    call->placed = !is_fixed(&request);
    /* The rings of io_uring have places of their own and refuse MAP_FIXED. */
    call->drawn = tracer->mode->decides && call->placed && request.file != NULL &&
                  vmk_object_kind_of(vmk_file_object(request.file)) == VMK_OBJECT_DEVICE;
    if (call->drawn) {
        vmk_file_put(request.file);
        return;
    }
    call->file = request.file != NULL ? vmk_file_id(request.file) : 0;
    call->file_error = request.file_error;
    run_mmap(tracer, task, call, &request);
    if (request.file != NULL)
        vmk_file_put(request.file);
}

static void leave_mmap(struct tracer *tracer, struct trace_task *task, struct trace_call *call, int64_t value)
{
    struct vmk_mmap_request request = mmap_request(call);
    if (!call->drawn)
        return;
    call->two_phase = false;
    if ((request.flags & VMK_MAP_ANONYMOUS) == 0)
        request.file = trace_files_get(tracer, task, (int)call->args[4], &request.file_error);
    if (value > 0) {
        request.address = (vmk_addr)value;
        request.flags = (request.flags & ~VMK_MAP_32BIT) | VMK_MAP_FIXED_NOREPLACE;
        call->args[0] = request.address; /* for the record */
        call->args[3] = request.flags;
    }
    call->file = request.file != NULL ? vmk_file_id(request.file) : 0;
    call->file_error = request.file_error;
    if (!task->space->lost)
        run_mmap(tracer, task, call, &request);
    if (request.file != NULL)
        vmk_file_put(request.file);
}

/* As place_mmap, when the plan moves the area. */
static void place_mremap(struct tracer *tracer, struct trace_task *task, const struct vmk_mremap_request *request)
{
    struct trace_call *call = &task->call;
    struct vmk_mremap_request fixed = *request;
    struct trace_place place = {.len = request->new_len, .flags = VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS};
    struct vmk_edit edit;
    bool moves = request->old_len == 0;
    if (!tracer->has_places)
        return;
    while (vmk_plan_next_edit(&task->plan, &edit))
        moves |= edit.kind == VMK_EDIT_MOVE;
    vmk_plan_abort(&task->plan, -VMK_ENOMEM, NULL);
    if (moves && tracer->mode->place(tracer, task, &place, &fixed.new_address)) {
        fixed.flags |= VMK_MREMAP_FIXED | VMK_MREMAP_MAYMOVE;
        engine_mremap(task, call, &fixed);
        if (call->open)
            return;
    }
    engine_mremap(task, call, request);
}

static void enter_mremap(struct tracer *tracer, struct trace_task *task, struct trace_call *call)
{
    struct vmk_mremap_request request = {
        .old_address = call->args[0],
        .old_len = call->args[1],
        .new_len = call->args[2],
        .flags = call->args[3],
        .new_address = call->args[4],
    };
    engine_mremap(task, call, &request);
    if (call->open && (request.flags & VMK_MREMAP_FIXED) == 0)
        place_mremap(tracer, task, &request);
    call->placed =
        (request.flags & VMK_MREMAP_FIXED) == 0 && call->result.error == 0 && call->result.value != request.old_address;
    expect(call, TRACE_EXPECT_VALUE);
}

/* As place_mmap. */
static void place_shmat(struct tracer *tracer, struct trace_task *task, const struct vmk_shmat_request *request)
{
    struct trace_call *call = &task->call;
    struct vmk_shmat_request fixed = *request;
    struct trace_place place = {.len = request->size, .flags = VMK_MAP_SHARED, .file = request->file};
    if (!tracer->has_places)
        return;
    vmk_plan_abort(&task->plan, -VMK_ENOMEM, NULL);
    if (tracer->mode->place(tracer, task, &place, &fixed.address)) {
        engine_shmat(task, call, &fixed);
        if (call->open)
            return;
    }
    engine_shmat(task, call, request);
}

static void enter_shmat(struct tracer *tracer, struct trace_task *task, struct trace_call *call)
{
    struct vmk_shmat_request request = {.address = call->args[1], .flags = (uint32_t)call->args[2]};
    request.file = trace_files_shm(tracer, (int)call->args[0], (request.flags & VMK_SHM_RDONLY) != 0, &request.size);
    if (request.file == NULL)
        return; /* no such segment: the kernel refuses it too */
    call->placed = call->args[1] == 0;
    call->file = vmk_file_id(request.file);
    call->file_size = request.size;
    engine_shmat(task, call, &request);
    if (call->open && call->placed)
        place_shmat(tracer, task, &request);
    trace_record_file(tracer, task, request.file);
    vmk_file_put(request.file);
    expect(call, TRACE_EXPECT_VALUE);
}

/* The ring's size, from the number of events that the caller asks for. */
static uint64_t aio_ring_bytes(uint64_t nr_events, uint64_t page)
{
    uint64_t cpus = (uint64_t)sysconf(_SC_NPROCESSORS_CONF);
    if (nr_events < cpus * 4)
        nr_events = cpus * 4;
    nr_events = nr_events * 2 + 2;
    uint64_t bytes = 32 + nr_events * 32;
    return (bytes + page - 1) & ~(page - 1);
}

static void enter_io_setup(struct tracer *tracer, struct trace_task *task, struct trace_call *call)
{
    uint64_t context;
    if (!trace_read_memory(task, call->args[1], &context, sizeof(context)) || context != 0 ||
        (uint32_t)call->args[0] == 0)
        return; /* refused before any area comes */
    const struct vmk_settings *settings = vmk_mm_settings(task->space->mm);
    struct vmk_aio_setup_request request = {
        .file = trace_files_aio(tracer),
        .len = aio_ring_bytes((uint32_t)call->args[0], UINT64_C(1) << settings->page_shift),
    };
    call->placed = true;
    call->file = vmk_file_id(request.file);
    call->file_size = request.len;
    engine_aio_setup(task, call, &request);
    trace_record_file(tracer, task, request.file);
    vmk_file_put(request.file);
    expect(call, TRACE_EXPECT_AIO);
}

/* The kernel reads the ring before it knows whether it is one, and may grow a stack doing so. */
static void enter_io_destroy(struct tracer *tracer, struct trace_task *task, struct trace_call *call)
{
    struct vmk_aio_destroy_request request = {.context = call->args[0]};
    trace_pages_feed_kernel_read(tracer, task, call->args[0]);
    engine_aio_destroy(task, call, &request);
    expect(call, TRACE_EXPECT_STATUS);
}

/* ---- Advice to another process ---- */

enum { PIDFD_SELF_THREAD_ABI = -10000, PIDFD_SELF_GROUP_ABI = -10001 }; /* instead of a descriptor, from 6.14 */

static struct trace_task *task_of_pidfd(struct tracer *tracer, struct trace_task *task, int fd)
{
    char what[32], text[1024];
    if (fd == PIDFD_SELF_THREAD_ABI || fd == PIDFD_SELF_GROUP_ABI)
        return task;
    snprintf(what, sizeof(what), "fdinfo/%d", fd);
    int info = trace_proc_open(task->tid, what);
    if (info < 0)
        return NULL;
    ssize_t len = read(info, text, sizeof(text) - 1);
    close(info);
    text[len > 0 ? len : 0] = '\0';
    const char *line = strstr(text, "\nPid:");
    return line != NULL ? trace_task_find(tracer, (pid_t)strtol(line + 5, NULL, 10)) : NULL;
}

#define MAX_VECTOR UINT64_C(0x7ffff000) /* bytes of one vector; a longer one is cut */

/* The vector is checked as a whole before any range of it is treated. */
static int check_ranges(const struct vmk_settings *settings, const struct iovec *ranges, uint64_t nr)
{
    uint64_t end = (UINT64_C(1) << settings->va_bits) - (UINT64_C(1) << settings->page_shift);
    for (uint64_t i = 0; i < nr; i++)
        if ((int64_t)ranges[i].iov_len < 0)
            return -VMK_EINVAL;
    for (uint64_t i = 0; i < nr; i++)
        if (ranges[i].iov_len > end || (uintptr_t)ranges[i].iov_base > end - ranges[i].iov_len)
            return -VMK_EFAULT;
    return 0;
}

/* One range; all its parts. The plan is the caller's own, in the target's address space. */
static void advise(struct trace_task *task, struct trace_task *target, const struct vmk_madvise_request *request)
{
    struct trace_call *call = &task->call;
    vmk_madvise_prepare(target->space->mm, request, &task->plan);
    call->touched |= vmk_plan_part(&task->plan, NULL);
    while (vmk_plan_commit(&task->plan, &call->result) == VMK_PLAN_MORE)
        ;
}

static void enter_process_madvise(struct tracer *tracer, struct trace_task *task, struct trace_call *call)
{
    struct iovec ranges[64];
    uint64_t nr = call->args[2], total = 0;
    bool any = false;
    struct trace_task *target = task_of_pidfd(tracer, task, (int)call->args[0]);
    if (target == NULL || target->space == NULL || nr == 0 || nr > 64 || call->args[4] != 0 ||
        !trace_read_memory(task, call->args[1], ranges, nr * sizeof(ranges[0])))
        return;
    const struct vmk_settings *settings = vmk_mm_settings(target->space->mm);
    call->two_phase = false;
    if (target->space != task->space && target->space->owner != NULL && tracer->mode->decides) {
        task->waits_for = target->space;
        return;
    }
    if (target->space != task->space)
        trace_pages_feed(tracer, target);
    if (nr == 1 && (ssize_t)ranges[0].iov_len >= 0 && ranges[0].iov_len > MAX_VECTOR)
        ranges[0].iov_len = MAX_VECTOR; /* one range is cut before it is checked, several are after */
    call->result.error = check_ranges(settings, ranges, nr);
    for (uint64_t i = 0; i < nr; i++)
        any |= ranges[i].iov_len != 0; /* a vector of nothing is good whatever the advice */
    for (uint64_t i = 0; any && i < nr && call->result.error == 0 && !target->space->lost; i++) {
        struct vmk_madvise_request request = {
            .address = (uintptr_t)ranges[i].iov_base,
            .len = ranges[i].iov_len < MAX_VECTOR - total ? ranges[i].iov_len : MAX_VECTOR - total,
            .advice = (int)call->args[3],
            .remote = target->space != task->space || settings->process_madvise_self == 0,
        };
        advise(task, target, &request);
        trace_record_advice(tracer, target, &request, call->result.error);
        if (call->result.error != 0)
            break;
        total += request.len;
    }
    if (total != 0) {
        call->result.error = 0;
        call->result.value = total;
    }
    expect(call, TRACE_EXPECT_VALUE);
}

/* ---- Memory policy ---- */

static uint64_t read_nodes(struct trace_task *task, uint64_t address, uint64_t max_node)
{
    uint64_t nodes = 0;
    if (address != 0 && max_node > 1)
        trace_read_memory(task, address, &nodes, sizeof(nodes));
    return nodes;
}

static void enter_mbind(struct tracer *tracer, struct trace_task *task, struct trace_call *call)
{
    (void)tracer;
    struct vmk_mbind_request request = {
        .address = call->args[0],
        .len = call->args[1],
        .mode = (uint32_t)call->args[2],
        .nodes = call->nodes = read_nodes(task, call->args[3], call->args[4]),
        .max_node = call->args[4],
        .flags = (uint32_t)call->args[5],
    };
    engine_mbind(task, call, &request);
    expect(call, TRACE_EXPECT_STATUS);
}

static void enter_set_mempolicy(struct tracer *tracer, struct trace_task *task, struct trace_call *call)
{
    (void)tracer;
    struct vmk_set_mempolicy_request request = {
        .mode = (uint32_t)call->args[0],
        .nodes = call->nodes = read_nodes(task, call->args[1], call->args[2]),
        .max_node = call->args[2],
    };
    engine_set_mempolicy(task, call, &request);
    expect(call, TRACE_EXPECT_STATUS);
}

/* ---- prctl ---- */

enum { PRCTL_SET_MM = 35, PRCTL_THP_DISABLE = 41, PRCTL_MDWE = 65, PRCTL_MEMORY_MERGE = 67, PRCTL_VMA = 0x53564d41 };

static void enter_vma_name(struct trace_task *task, struct trace_call *call)
{
    char text[VMK_VMA_NAME_MAX + 1];
    struct vmk_name_request request = {.address = call->args[2], .len = call->args[3]};
    if (call->args[1] != 0)
        return; /* no other attribute is known */
    if (call->args[4] != 0) {
        if (!trace_read_text(task, call->args[4], text, sizeof(text)))
            return;
        request.text = text;
        snprintf(call->name, sizeof(call->name), "%.*s", (int)sizeof(call->name) - 1, text);
    }
    engine_name(task, call, &request);
    expect(call, TRACE_EXPECT_STATUS);
}

static void enter_option(struct trace_task *task, struct trace_call *call, enum vmk_option option)
{
    struct vmk_set_option_request request = {.option = option, .value = call->args[1]};
    if (option != VMK_OPTION_MDWE)
        request.value = request.value != 0; /* a switch, whatever the number */
    if (call->args[2] != 0 || call->args[3] != 0 || call->args[4] != 0)
        return; /* refused, or a form that is not known: leave_prctl decides */
    engine_set_option(task, call, &request);
    expect(call, TRACE_EXPECT_STATUS);
}

static void enter_prctl(struct tracer *tracer, struct trace_task *task, struct trace_call *call)
{
    (void)tracer;
    switch ((uint32_t)call->args[0]) {
    case PRCTL_VMA:
        enter_vma_name(task, call);
        break;
    case PRCTL_THP_DISABLE:
        enter_option(task, call, VMK_OPTION_THP_DISABLE);
        break;
    case PRCTL_MDWE:
        enter_option(task, call, VMK_OPTION_MDWE);
        break;
    case PRCTL_MEMORY_MERGE:
        enter_option(task, call, VMK_OPTION_MEMORY_MERGE);
        break;
    default: {
        struct vmk_set_mm_request request = {.field = (int)call->args[1], .value = call->args[2]};
        if (request.field < VMK_MM_START_CODE || request.field > VMK_MM_ENV_END)
            return;
        engine_set_mm(task, call, &request);
        expect(call, TRACE_EXPECT_STATUS);
    }
    }
}

static void leave_prctl(struct tracer *tracer, struct trace_task *task, struct trace_call *call, int64_t value)
{
    /* The auxiliary vector, the executable's name and questions change no area. */
    bool harmless =
        (uint32_t)call->args[0] == PRCTL_SET_MM && (call->args[1] == 12 || call->args[1] == 13 || call->args[1] == 15);
    if (!call->mirrored && value >= 0 && !harmless)
        trace_cannot(tracer, task, "a form of prctl that is not known");
}

/* ---- userfaultfd ---- */

enum { UFFD_API_NUMBER = 0x3f, UFFD_REGISTER_NUMBER = 0, UFFD_EVENT_FORK = 1 << 1, UFFD_EVENT_REMAP = 1 << 2 };

/* A context is named by the inode of its file, which is its own. 0: not a userfaultfd (any more). */
static uint64_t uffd_context(pid_t tgid, int fd)
{
    char path[64], target[64];
    struct stat status;
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)tgid, fd);
    ssize_t len = readlink(path, target, sizeof(target) - 1);
    target[len > 0 ? len : 0] = '\0';
    return strstr(target, "userfaultfd") != NULL && stat(path, &status) == 0 ? status.st_ino : 0;
}

static void note_uffd(struct trace_space *space, uint64_t context, pid_t tgid, int fd)
{
    const size_t room = sizeof(space->uffds) / sizeof(space->uffds[0]);
    size_t place = room;
    space->uses_uffd = true;
    for (size_t i = 0; i < room; i++) {
        if (space->uffds[i].context == context)
            return;
        if (space->uffds[i].context == 0 && place == room)
            place = i;
    }
    if (place == room)
        return;
    space->uffds[place].context = context;
    space->uffds[place].tgid = tgid;
    space->uffds[place].fd = fd;
}

static void enter_ioctl(struct tracer *tracer, struct trace_task *task, struct trace_call *call)
{
    uint64_t words[4] = {0};
    bool is_register = (call->args[1] & 0xff) == UFFD_REGISTER_NUMBER;
    if ((call->args[1] & 0xff) == UFFD_API_NUMBER ||
        !trace_read_memory(task, call->args[2], words, is_register ? sizeof(words) : 2 * sizeof(words[0])))
        return;
    (void)tracer;
    struct vmk_uffd_request request = {
        .action = is_register ? VMK_UFFD_REGISTER : VMK_UFFD_UNREGISTER,
        .context = uffd_context(task->process->tgid, (int)call->args[0]),
        .features_fork = (task->space->uffd_features & UFFD_EVENT_FORK) != 0,
        .features_remap = (task->space->uffd_features & UFFD_EVENT_REMAP) != 0,
        .mode = is_register ? words[2] : 0,
        .address = words[0],
        .len = words[1],
    };
    if (request.context == 0)
        return; /* another kind of file: refused */
    note_uffd(task->space, request.context, task->process->tgid, (int)call->args[0]);
    call->uffd_context = request.context;
    memcpy(call->uffd, words, sizeof(call->uffd));
    engine_uffd(task, call, &request);
    expect(call, TRACE_EXPECT_STATUS);
}

static void leave_ioctl(struct tracer *tracer, struct trace_task *task, struct trace_call *call, int64_t value)
{
    uint64_t words[3];
    (void)tracer;
    if ((call->args[1] & 0xff) == UFFD_API_NUMBER && value == 0 &&
        trace_read_memory(task, call->args[2], words, sizeof(words)))
        task->space->uffd_features = call->uffd_features;
}

/* The features asked for stand in memory before the call, those that exist after it. */
static void note_uffd_features(struct trace_task *task, struct trace_call *call)
{
    uint64_t words[3];
    if (call->kind == TRACE_CALL_IOCTL && (call->args[1] & 0xff) == UFFD_API_NUMBER &&
        trace_read_memory(task, call->args[2], words, sizeof(words)))
        call->uffd_features = words[1];
}

/* A closed userfaultfd takes its registrations along; close itself is not traced. */
void trace_call_notice_closed_uffd(struct tracer *tracer, struct trace_task *task)
{
    struct trace_space *space = task->space;
    if (!space->uses_uffd)
        return;
    space->uses_uffd = false;
    for (size_t i = 0; i < sizeof(space->uffds) / sizeof(space->uffds[0]); i++) {
        uint64_t context = space->uffds[i].context;
        if (context == 0)
            continue;
        if (uffd_context(space->uffds[i].tgid, space->uffds[i].fd) == context) {
            space->uses_uffd = true;
            continue;
        }
        struct vmk_uffd_request request = {.action = VMK_UFFD_CLOSE, .context = context};
        vmk_uffd(space->mm, &request, NULL);
        trace_record_told(tracer, task, RECORD_uffd_close, &context, 1);
        space->uffds[i].context = 0;
    }
}

/* ---- What the engine is told when the kernel has agreed ---- */

static void leave_personality(struct tracer *tracer, struct trace_task *task, struct trace_call *call, int64_t value)
{
    if (value < 0 || (uint32_t)call->args[0] == UINT32_MAX)
        return;
    vmk_mm_set_personality(task->space->mm, (uint32_t)call->args[0]);
    task->space->personality = (uint32_t)call->args[0];
    trace_record_told(tracer, task, RECORD_personality, call->args, 1);
}

static void leave_limits(struct tracer *tracer, struct trace_task *task, struct trace_call *call, int64_t value)
{
    pid_t target = call->kind == TRACE_CALL_PRLIMIT64 ? (pid_t)call->args[0] : 0;
    struct trace_task *other = target != 0 ? trace_task_find(tracer, target) : task;
    if (value != 0 || other == NULL || other->process == NULL)
        return;
    trace_process_read_limits(other->process, other->tid);
    if (other->space == NULL)
        return;
    const struct vmk_rlimits *now = &other->process->rlimits;
    const struct vmk_rlimit limits[] = {now->as, now->data, now->stack, now->memlock};
    for (uint64_t which = RECORD_RLIMIT_AS; which <= RECORD_RLIMIT_MEMLOCK; which++)
        trace_record_told(tracer, other, RECORD_rlimit, (uint64_t[]){which, limits[which].soft, limits[which].hard}, 3);
}

static void leave_capabilities(struct tracer *tracer, struct trace_task *task, struct trace_call *call, int64_t value)
{
    (void)call;
    if (value != 0)
        return;
    trace_space_read_capabilities(task->space, task->tid);
    uint64_t capabilities = vmk_mm_capabilities(task->space->mm);
    trace_record_told(tracer, task, RECORD_capabilities, &capabilities, 1);
}

static void leave_unknown(struct tracer *tracer, struct trace_task *task, struct trace_call *call, int64_t value)
{
    (void)call;
    if (value >= 0)
        trace_cannot(tracer, task, "maps or changes memory in a way that is not mirrored");
}

/* ---- Tasks and programs ---- */

static void enter_clone(struct tracer *tracer, struct trace_task *task, struct trace_call *call)
{
    (void)tracer;
    switch (call->kind) {
    case TRACE_CALL_CLONE:
        call->clone_flags = call->args[0];
        break;
    case TRACE_CALL_CLONE3:
        trace_read_memory(task, call->args[0], &call->clone_flags, sizeof(call->clone_flags));
        break;
    case TRACE_CALL_VFORK:
        call->clone_flags = CLONE_VM | CLONE_VFORK;
        break;
    default:
        break;
    }
}

static void enter_ptrace(struct tracer *tracer, struct trace_task *task, struct trace_call *call)
{
    (void)call;
    fprintf(stderr,
            "vmakit: trace: %d (%s) wants to trace a process itself (ptrace). A process can have one tracer only, and "
            "vmakit is it already: debuggers and strace cannot be traced\n",
            (int)task->process->tgid, task->process->name);
    trace_end(tracer, EXIT_TRACE_FAILED);
}

static void enter_foreign(struct tracer *tracer, struct trace_task *task, struct trace_call *call)
{
    (void)call;
    trace_cannot(tracer, task,
                 "a system call of another architecture (32-bit or x32), whose address spaces are not "
                 "supported");
}

/* ---- The table ---- */

#define CALL(KIND, name, nr_args, memory, enter, leave) [TRACE_CALL_##KIND] = {#name, nr_args, memory, enter, leave}
static const struct call_type call_types[TRACE_CALL_COUNT] = {
    CALL(NONE, none, 0, false, NULL, NULL),
    CALL(MMAP, mmap, 6, true, enter_mmap, leave_mmap),
    CALL(MUNMAP, munmap, 2, true, enter_munmap, NULL),
    CALL(MPROTECT, mprotect, 3, true, enter_mprotect, NULL),
    CALL(PKEY_MPROTECT, pkey_mprotect, 4, true, enter_pkey_mprotect, NULL),
    CALL(MREMAP, mremap, 5, true, enter_mremap, NULL),
    CALL(BRK, brk, 1, true, enter_brk, NULL),
    CALL(MADVISE, madvise, 3, true, enter_madvise, NULL),
    CALL(PROCESS_MADVISE, process_madvise, 5, true, enter_process_madvise, NULL),
    CALL(MLOCK, mlock, 2, true, enter_mlock, NULL),
    CALL(MLOCK2, mlock2, 3, true, enter_mlock2, NULL),
    CALL(MUNLOCK, munlock, 2, true, enter_munlock, NULL),
    CALL(MLOCKALL, mlockall, 1, true, enter_mlockall, NULL),
    CALL(MUNLOCKALL, munlockall, 0, true, enter_munlockall, NULL),
    CALL(MSEAL, mseal, 3, true, enter_mseal, NULL),
    CALL(MSYNC, msync, 3, true, enter_msync, NULL),
    CALL(MINCORE, mincore, 3, true, enter_mincore, NULL),
    CALL(REMAP_FILE_PAGES, remap_file_pages, 5, true, enter_remap_file_pages, NULL),
    CALL(SHMAT, shmat, 3, true, enter_shmat, NULL),
    CALL(SHMDT, shmdt, 1, true, enter_shmdt, NULL),
    CALL(IO_SETUP, io_setup, 2, true, enter_io_setup, NULL),
    CALL(IO_DESTROY, io_destroy, 1, true, enter_io_destroy, NULL),
    CALL(MBIND, mbind, 6, true, enter_mbind, NULL),
    CALL(SET_MEMPOLICY, set_mempolicy, 3, true, enter_set_mempolicy, NULL),
    CALL(SET_MEMPOLICY_HOME_NODE, set_mempolicy_home_node, 4, true, NULL, leave_unknown),
    CALL(PKEY_ALLOC, pkey_alloc, 2, true, enter_pkey_alloc, NULL),
    CALL(PKEY_FREE, pkey_free, 1, true, enter_pkey_free, NULL),
    CALL(MAP_SHADOW_STACK, map_shadow_stack, 3, true, NULL, leave_unknown),
    CALL(PRCTL, prctl, 5, true, enter_prctl, leave_prctl),
    CALL(ARCH_PRCTL, arch_prctl, 2, true, NULL, leave_unknown),
    CALL(PERSONALITY, personality, 1, true, NULL, leave_personality),
    CALL(SETRLIMIT, setrlimit, 2, true, NULL, leave_limits),
    CALL(PRLIMIT64, prlimit64, 4, true, NULL, leave_limits),
    CALL(IOCTL, ioctl, 3, true, enter_ioctl, leave_ioctl),
    CALL(TRUNCATE, truncate, 2, true, NULL, NULL),
    CALL(FTRUNCATE, ftruncate, 2, true, NULL, NULL),
    CALL(CAPSET, capset, 2, true, NULL, leave_capabilities),
    CALL(SETUID, setuid, 1, true, NULL, leave_capabilities),
    CALL(SETREUID, setreuid, 2, true, NULL, leave_capabilities),
    CALL(SETRESUID, setresuid, 3, true, NULL, leave_capabilities),
    CALL(FORK, fork, 0, true, enter_clone, NULL),
    CALL(VFORK, vfork, 0, true, enter_clone, NULL),
    CALL(CLONE, clone, 5, true, enter_clone, NULL),
    CALL(CLONE3, clone3, 2, true, enter_clone, NULL),
    CALL(EXECVE, execve, 3, false, NULL, NULL),
    CALL(EXECVEAT, execveat, 5, false, NULL, NULL),
    CALL(PTRACE, ptrace, 4, false, enter_ptrace, NULL),
    CALL(GETRLIMIT, getrlimit, 2, false, NULL, NULL),
    CALL(OPEN, open, 3, false, NULL, NULL),
    CALL(OPENAT, openat, 4, false, NULL, NULL),
    CALL(OPENAT2, openat2, 4, false, NULL, NULL),
    CALL(LSEEK, lseek, 3, false, NULL, NULL),
    CALL(PREAD64, pread64, 4, false, NULL, NULL),
    CALL(SCHED_SETAFFINITY, sched_setaffinity, 3, false, NULL, NULL),
    CALL(SCHED_GETAFFINITY, sched_getaffinity, 3, false, NULL, NULL),
    CALL(ACCESS_READ, read, 3, false, NULL, NULL),
    CALL(ACCESS_WRITE, write, 3, false, NULL, NULL),
    CALL(ACCESS_PREAD, pread64, 4, false, NULL, NULL),
    CALL(ACCESS_PWRITE, pwrite64, 4, false, NULL, NULL),
    CALL(FOREIGN, foreign, 6, false, enter_foreign, NULL),
};

/* ---- In and out ---- */

const char *trace_call_text(struct trace_call *call)
{
    const struct call_type *type = &call_types[call->kind];
    if (call->text[0] != '\0' || call->kind == TRACE_CALL_NONE)
        return call->text;
    int len = snprintf(call->text, sizeof(call->text), "%s(", type->name);
    for (unsigned i = 0; i < type->nr_args; i++)
        len += snprintf(call->text + len, sizeof(call->text) - (size_t)len, "%s0x%" PRIx64, i != 0 ? ", " : "",
                        call->args[i]);
    snprintf(call->text + len, sizeof(call->text) - (size_t)len, ")");
    return call->text;
}

static bool needs_file_sizes(enum trace_call_kind kind, const struct trace_call *call)
{
    return kind == TRACE_CALL_MLOCK || kind == TRACE_CALL_MLOCK2 || kind == TRACE_CALL_MLOCKALL ||
           (kind == TRACE_CALL_MADVISE && call->args[2] >= VMK_MADV_POPULATE_READ);
}

/* The engine knows areas, not pages: a guard page in the way makes a call that populates fail, without other effect. */
static void expect_guard(const struct trace_space *space, struct trace_call *call)
{
    int error = 0;
    if (call->kind == TRACE_CALL_MADVISE &&
        (call->args[2] == VMK_MADV_POPULATE_READ || call->args[2] == VMK_MADV_POPULATE_WRITE))
        error = -VMK_EFAULT;
    else if (call->kind == TRACE_CALL_MLOCK || (call->kind == TRACE_CALL_MLOCK2 && call->args[2] == 0))
        error = -VMK_ENOMEM;
    if (error != 0 && call->result.error == 0 && trace_pages_has_guard(space, call->args[0], call->args[1])) {
        call->page_error = error;
        if (!call->open)
            call->result.error = error;
    }
}

bool trace_call_ask(struct tracer *tracer, struct trace_task *task)
{
    struct trace_call *call = &task->call;
    const struct call_type *type = &call_types[call->kind];
    if (task->space->lost && type->memory && type->enter != enter_clone)
        return false;
    if (type->memory) {
        trace_space_use_limits(task->space, task->process);
        trace_call_notice_closed_uffd(tracer, task);
        note_uffd_features(task, call);
        if (needs_file_sizes(call->kind, call))
            trace_files_refresh(tracer);
    }
    if (type->enter != NULL)
        type->enter(tracer, task, call);
    if (task->space->lost && type->enter != enter_clone)
        return false;
    if (call->mirrored)
        expect_guard(task->space, call);
    if (call->mirrored && call->result.error <= -VMK_ERR_UNSUPPORTED) {
        char what[80];
        snprintf(what, sizeof(what), "the engine cannot do this (error %d of its own)", -call->result.error);
        trace_cannot(tracer, task, what);
        return false;
    }
    return true;
}

bool trace_call_enter(struct tracer *tracer, struct trace_task *task)
{
    trace_call_text(&task->call);
    return trace_call_ask(tracer, task) && trace_call_is_memory(task->call.kind);
}

int64_t trace_call_value(const struct trace_call *call)
{
    if (call->expect == TRACE_EXPECT_BREAK)
        return (int64_t)call->result.value;
    if (call->result.error != 0)
        return call->result.error;
    return call->expect == TRACE_EXPECT_VALUE ? (int64_t)call->result.value : 0;
}

void trace_say_value(char *text, size_t size, int64_t value)
{
    if (value < 0 && value > -4096)
        snprintf(text, size, "error %d (%s)", (int)-value, strerror((int)-value));
    else
        snprintf(text, size, "0x%" PRIx64, (uint64_t)value);
}

static bool compare_result(struct tracer *tracer, struct trace_task *task, int64_t value)
{
    struct trace_call *call = &task->call;
    int64_t wanted = trace_call_value(call), got = value;
    if (call->expect == TRACE_EXPECT_AIO && value == 0 && wanted == 0) {
        trace_read_memory(task, call->args[1], &got, sizeof(got));
        wanted = (int64_t)call->result.value;
    }
    trace_record_call(tracer, task, got);
    trace_report_call(tracer, task, got, got == wanted);
    if (call->placed && (value >= 0 || value < -4095)) {
        task->process->nr_placed++;
        task->process->nr_predicted += got == wanted;
    }
    if (got == wanted)
        return true;
    char kernel[80], engine[80], what[400];
    trace_say_value(kernel, sizeof(kernel), got);
    trace_say_value(engine, sizeof(engine), wanted);
    snprintf(what, sizeof(what), "%s: the kernel returned %s, the engine %s", call->text, kernel, engine);
    trace_diverged(tracer, task, what);
    return false;
}

void trace_call_count(struct tracer *tracer, struct trace_task *task)
{
    task->process->calls[task->call.kind]++;
    task->process->nr_calls++;
    tracer->nr_calls++;
    task->space->changed = true;
}

void trace_call_tell(struct tracer *tracer, struct trace_task *task, int64_t value)
{
    const struct call_type *type = &call_types[task->call.kind];
    if (type->leave != NULL)
        type->leave(tracer, task, &task->call, value);
}

void trace_call_leave(struct tracer *tracer, struct trace_task *task, int64_t value)
{
    struct trace_call *call = &task->call;
    const struct call_type *type = &call_types[call->kind];
    if (type->enter == enter_clone || (value <= -512 && value >= -516))
        return; /* forks count at their event; an interrupted call comes again */
    trace_call_tell(tracer, task, value);
    if (task->space->lost || !call->mirrored)
        return;
    trace_call_count(tracer, task);
    if (compare_result(tracer, task, value))
        trace_check_after_call(tracer, task);
}
