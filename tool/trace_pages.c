/* SPDX-License-Identifier: MIT */
/*
 * trace_pages.c - what the engine cannot know of a program: which memory it has written, and how far its stack has
 * grown.
 *
 * Looked at when a call is entered, with every task of the address space stopped. A private page of its own in an area
 * without an anon_vma means that a fault has made one; the engine is given that fault. Several areas first written
 * between two calls are fed in the order of their addresses: the true order cannot be seen. It matters only when three
 * or more adjacent areas that could share an anon_vma are first written in between, from the outside inwards.
 * With very many areas, and in run always, only those around the range of the call are looked at.
 * A page that is gone again (MADV_DONTNEED by another route, truncate) leaves no trace: docs/trace.md. A fault that ended in
 * a signal is repeated when the signal comes.
 */
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include "trace.h"

/* The kernel's interface, for systems whose headers are older than it: Documentation/admin-guide/mm/pagemap.rst. */
struct page_region_abi {
    uint64_t start, end, categories;
};
struct pm_scan_abi {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_FILE        UINT64_C(0x04)
#define SCAN_PRESENT     UINT64_C(0x08)
#define SCAN_SWAPPED     UINT64_C(0x10)
#define SCAN_ZERO        UINT64_C(0x20)
#define SCAN_HUGE        UINT64_C(0x40)
#define SCAN_GUARD       UINT64_C(0x100)
#define SCAN_ANY         (SCAN_PRESENT | SCAN_SWAPPED)
#define PAGEMAP_SCAN_ABI _IOWR('f', 16, struct pm_scan_abi)

struct procmap_query_abi {
    uint64_t size, query_flags, query_addr, vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
    uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
    uint64_t vma_name_addr, build_id_addr;
};
#define QUERY_COVERING_OR_NEXT UINT64_C(0x10) /* its vma_flags: readable, writable, executable, shared from bit 0 on */
#define PROCMAP_QUERY_ABI      _IOWR('f', 17, struct procmap_query_abi)

enum { FEW_AREAS = 48, MANY_AREAS = 2000, FEW_FAULTS = 8 };

#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_SWAPPED (UINT64_C(1) << 62)
#define PAGEMAP_FILE    (UINT64_C(1) << 61)

/* ---- Presence ---- */

/* One pagemap entry a page: before PAGEMAP_SCAN (6.7). The zero page counts as written memory there. */
static bool find_page_by_reading(int fd, vmk_addr start, vmk_addr end, unsigned page_shift, vmk_addr *found)
{
    uint64_t entries[512];
    for (vmk_addr at = start; at < end;) {
        uint64_t nr = (end - at) >> page_shift;
        size_t want = (nr < 512 ? (size_t)nr : 512) * sizeof(entries[0]);
        ssize_t got = pread(fd, entries, want, (off_t)((at >> page_shift) * sizeof(entries[0])));
        if (got <= 0)
            return false;
        for (size_t i = 0; i < (size_t)got / sizeof(entries[0]); i++) {
            if ((entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) != 0 && (entries[i] & PAGEMAP_FILE) == 0) {
                *found = at + ((vmk_addr)i << page_shift);
                return true;
            }
        }
        at += ((vmk_addr)got / sizeof(entries[0])) << page_shift;
    }
    return false;
}

/* Pages of its own that an area has: neither a file's nor the zero page. */
static struct pm_scan_abi written_pages(vmk_addr start, vmk_addr end)
{
    return (struct pm_scan_abi){
        .size = sizeof(struct pm_scan_abi),
        .start = start,
        .end = end,
        .category_inverted = SCAN_FILE | SCAN_ZERO,
        .category_mask = SCAN_FILE | SCAN_ZERO,
        .category_anyof_mask = SCAN_ANY,
        .return_mask = SCAN_PRESENT,
    };
}

/* The first page of [start, end) that has all of `require`, none of `refuse` and, unless it is 0, one of `any`. */
static int find_page(int fd, vmk_addr start, vmk_addr end, uint64_t require, uint64_t refuse, uint64_t any,
                     vmk_addr *found)
{
    struct page_region_abi region = {0};
    struct pm_scan_abi scan = {
        .size = sizeof(scan),
        .start = start,
        .end = end,
        .vec = (uint64_t)(uintptr_t)&region,
        .vec_len = 1,
        .max_pages = 1,
        .category_inverted = refuse,
        .category_mask = require | refuse,
        .category_anyof_mask = any,
        .return_mask = SCAN_PRESENT | require,
    };
    int nr = ioctl(fd, PAGEMAP_SCAN_ABI, &scan);
    if (nr < 0)
        return -errno;
    *found = region.start;
    return nr;
}

static bool could_gain_anon_vma(const struct vmk_vma_info *area)
{
    const vmk_vm_flags never = VMK_VM_SHARED | VMK_VM_MAYSHARE | VMK_VM_HUGETLB | VMK_VM_PFNMAP | VMK_VM_IO;
    return area->anon_vma == 0 && !area->anon_vma_unknown && (area->flags & never) == 0 &&
           (area->flags & VMK_VM_WRITE) != 0;
}

/* Read-only private memory is written through /proc/PID/mem only. */
static bool could_have_been_forced(const struct vmk_vma_info *area)
{
    struct vmk_vma_info writable = *area;
    writable.flags |= VMK_VM_WRITE;
    return (area->flags & VMK_VM_WRITE) == 0 && (area->flags & VMK_VM_MAYWRITE) != 0 && could_gain_anon_vma(&writable);
}

static void feed_fault_with(struct tracer *tracer, struct trace_task *task, const struct vmk_fault_request *request,
                            const int64_t *result)
{
    struct vmk_fault fault;
    vmk_mm_fault(task->space->mm, request, &fault);
    trace_record_fault(tracer, task, request, result);
}

/* One that the kernel has served. */
static void feed_fault(struct tracer *tracer, struct trace_task *task, vmk_addr address, unsigned access,
                       unsigned flags)
{
    const struct vmk_fault_request request = {.address = address, .access = access, .flags = flags};
    feed_fault_with(tracer, task, &request, &(int64_t){0});
}

void trace_pages_feed_kernel_read(struct tracer *tracer, struct trace_task *task, vmk_addr address)
{
    const struct vmk_fault_request request = {
        .address = address, .access = VMK_ACCESS_READ, .flags = VMK_FAULT_HAS_TABLE};
    feed_fault_with(tracer, task, &request, NULL); /* whether it can will be seen by the call's result */
}

/* Has a fault made an anon_vma in the area, going by its pages? That fault. */
static bool find_fault(struct tracer *tracer, const struct trace_space *space, const struct vmk_vma_info *area,
                       struct vmk_fault_request *fault)
{
    vmk_addr page = area->start;
    int nr = find_page(space->pagemap_fd, area->start, area->end, 0, SCAN_FILE | SCAN_ZERO, SCAN_ANY, &page);
    tracer->has_pagemap_scan = nr >= 0;
    if (nr < 0) {
        const struct vmk_settings *settings = vmk_system_settings(tracer->system);
        nr = find_page_by_reading(space->pagemap_fd, area->start, area->end, (unsigned)settings->page_shift, &page);
    }
    unsigned force = (area->flags & VMK_VM_WRITE) != 0 ? 0u : VMK_ACCESS_FOREIGN | VMK_ACCESS_FORCE;
    *fault =
        (struct vmk_fault_request){.access = VMK_ACCESS_WRITE | force, .flags = VMK_FAULT_USER | VMK_FAULT_HAS_TABLE};
    if (nr <= 0 && force == 0) { /* a huge zero page: a read can have made an anon_vma */
        nr = find_page(space->pagemap_fd, area->start, area->end, SCAN_ZERO | SCAN_HUGE, 0, SCAN_ANY, &page);
        *fault = (struct vmk_fault_request){.access = VMK_ACCESS_READ, .flags = VMK_FAULT_USER};
    }
    fault->address = page;
    return nr > 0;
}

static void feed_area(struct tracer *tracer, struct trace_task *task, const struct vmk_vma_info *area)
{
    struct vmk_fault_request fault;
    if (find_fault(tracer, task->space, area, &fault))
        feed_fault_with(tracer, task, &fault, &(int64_t){0});
}

/* Where written pages are, read for many areas at once: ascending runs. */
struct page_runs {
    int fd;
    vmk_addr at, end; /* what is not read yet */
    struct page_region_abi runs[256];
    int nr, next;
};

/* The first page of [start, end) in a run; asked for ascending ranges. */
static bool find_in_runs(struct page_runs *pages, vmk_addr start, vmk_addr end, vmk_addr *found)
{
    for (;;) {
        for (; pages->next < pages->nr; pages->next++) {
            const struct page_region_abi *run = &pages->runs[pages->next];
            if (run->start >= end)
                return false;
            if (run->end > start) {
                *found = run->start > start ? run->start : start;
                return true;
            }
        }
        if (pages->at < start)
            pages->at = start;
        if (pages->at >= end)
            return false;
        struct pm_scan_abi scan = written_pages(pages->at, pages->end);
        scan.vec = (uint64_t)(uintptr_t)pages->runs;
        scan.vec_len = sizeof(pages->runs) / sizeof(pages->runs[0]);
        pages->nr = ioctl(pages->fd, PAGEMAP_SCAN_ABI, &scan);
        pages->next = 0;
        pages->at = pages->nr < 0 ? pages->end : scan.walk_end;
    }
}

/* Many areas without an anon_vma: one walk over all of them instead of a call for each. */
static void feed_writes_at_once(struct tracer *tracer, struct trace_task *task, vmk_addr first, vmk_addr last)
{
    static struct page_runs pages;
    struct vmk_vma_info area = {.size = sizeof(area)};
    vmk_addr cursor = 0, page;
    pages.fd = task->space->pagemap_fd;
    pages.at = first;
    pages.end = last;
    pages.nr = pages.next = 0;
    while (vmk_mm_next(task->space->mm, &cursor, &area) == 0)
        if (could_gain_anon_vma(&area) && find_in_runs(&pages, area.start, area.end, &page))
            feed_fault(tracer, task, page, VMK_ACCESS_WRITE, VMK_FAULT_USER | VMK_FAULT_HAS_TABLE);
}

static void feed_writes(struct tracer *tracer, struct trace_task *task)
{
    const struct trace_space *space = task->space;
    struct vmk_vma_info area = {.size = sizeof(area)};
    vmk_addr cursor = 0, first = 0, last = 0;
    unsigned nr = 0;
    if (space->pagemap_fd < 0)
        return;
    while (vmk_mm_next(space->mm, &cursor, &area) == 0) {
        if (!could_gain_anon_vma(&area))
            continue;
        first = nr++ == 0 ? area.start : first;
        last = area.end;
    }
    if (nr > FEW_AREAS && tracer->has_pagemap_scan) {
        feed_writes_at_once(tracer, task, first, last);
        return;
    }
    cursor = 0;
    while (nr != 0 && vmk_mm_next(space->mm, &cursor, &area) == 0)
        if (could_gain_anon_vma(&area))
            feed_area(tracer, task, &area);
}

/* Guard pages (MADV_GUARD_INSTALL) are pages, not areas: a call that populates stops at one. */
bool trace_pages_has_guard(const struct trace_space *space, vmk_addr start, uint64_t len)
{
    vmk_addr page, limit = vmk_mm_settings(space->mm)->va_bits < 64 ? UINT64_C(1) << vmk_mm_settings(space->mm)->va_bits
                                                                    : UINT64_MAX;
    if (space->pagemap_fd < 0 || start >= limit || len > limit - start)
        return false;
    return find_page(space->pagemap_fd, start, start + len, SCAN_GUARD, 0, 0, &page) > 0;
}

/* ---- Large maps: only what the call can meet ---- */

struct window {
    vmk_addr start, end;
};

/* Where the call will work; false when that is everywhere. */
static bool range_of_call(const struct trace_space *space, const struct trace_call *call, struct window *window)
{
    struct vmk_mm_layout layout;
    window->start = call->args[0];
    uint64_t len = call->args[1];
    switch (call->kind) {
    case TRACE_CALL_MMAP:
        if ((call->args[3] & (VMK_MAP_FIXED | VMK_MAP_FIXED_NOREPLACE)) == 0 &&
            vmk_mm_unmapped_area(space->mm, call->args[0], len, (uint32_t)call->args[3] | VMK_MAP_ANONYMOUS, NULL, 0,
                                 &window->start) != 0)
            return false;
        break;
    case TRACE_CALL_BRK:
        vmk_mm_get_layout(space->mm, &layout);
        window->start = layout.brk < call->args[0] ? layout.brk : call->args[0];
        len = (layout.brk > call->args[0] ? layout.brk : call->args[0]) - window->start;
        break;
    case TRACE_CALL_MUNMAP:
    case TRACE_CALL_MPROTECT:
    case TRACE_CALL_MADVISE:
    case TRACE_CALL_MLOCK:
    case TRACE_CALL_MUNLOCK:
    case TRACE_CALL_MSEAL:
        break;
    default:
        return false;
    }
    window->end = window->start + len;
    return window->end >= window->start;
}

/* Two areas more on each side: a merge meets the first, the anon_vma that one would take comes from the second. */
static void widen(const struct trace_space *space, struct window *window)
{
    struct vmk_vma_info area = {.size = sizeof(area)};
    for (int i = 0; i < 2; i++)
        if (window->start != 0 && vmk_mm_lookup(space->mm, window->start - 1, &area) == 0)
            window->start = area.start;
    for (int i = 0; i < 2; i++)
        if (vmk_mm_lookup(space->mm, window->end, &area) == 0)
            window->end = area.end;
}

static void feed_near(struct tracer *tracer, struct trace_task *task, const struct window *window,
                      bool (*wanted)(const struct vmk_vma_info *area))
{
    struct vmk_vma_info area = {.size = sizeof(area)};
    vmk_addr cursor = window->start;
    while (vmk_mm_next(task->space->mm, &cursor, &area) == 0 && area.start < window->end)
        if (wanted(&area))
            feed_area(tracer, task, &area);
}

/* ---- Stacks ---- */

/* Where the kernel's area that covers `end - 1` starts; 0 when there is none. */
static vmk_addr kernel_start_of(struct tracer *tracer, struct trace_task *task, vmk_addr address)
{
    struct procmap_query_abi query = {.size = sizeof(query), .query_addr = address};
    if (ioctl(task->space->maps_fd, PROCMAP_QUERY_ABI, &query) == 0) {
        tracer->has_procmap_query = true;
        return query.vma_start;
    }
    if (errno != ENOTTY && errno != EINVAL)
        return 0;
    if (kview_read(&tracer->view, task->tid, 0) != 0)
        return 0;
    for (size_t i = 0; i < tracer->view.nr_areas; i++)
        if (tracer->view.areas[i].start <= address && address < tracer->view.areas[i].end)
            return tracer->view.areas[i].start;
    return 0;
}

/* ---- Calls whose end is not seen ---- */

static const vmk_vm_flags shown_flags[] = {VMK_VM_READ, VMK_VM_WRITE, VMK_VM_EXEC, VMK_VM_MAYSHARE};

/* `area` is the first that ends above the sign's start, as a query says it. */
static bool shows(const struct procmap_query_abi *area, const struct trace_sign *sign)
{
    if (!sign->is_mapped)
        return area->vma_start >= sign->end;
    for (unsigned i = 0; i < 4; i++)
        if (((sign->flags & shown_flags[i]) != 0) != ((area->vma_flags >> i & 1) != 0))
            return false;
    if (area->vma_start > sign->start || area->vma_end < sign->end)
        return false;
    return !sign->is_of_map ||
           ((area->inode != 0) == sign->has_file &&
            (!sign->has_file || area->vma_offset + (sign->start - area->vma_start) == sign->offset));
}

enum trace_shown trace_pages_show(const struct trace_space *space, const struct trace_sign *sign)
{
    struct procmap_query_abi query = {
        .size = sizeof(query), .query_flags = QUERY_COVERING_OR_NEXT, .query_addr = sign->start};
    if (ioctl(space->maps_fd, PROCMAP_QUERY_ABI, &query) != 0)
        return errno != ENOENT ? TRACE_SHOWN_GONE : sign->is_mapped ? TRACE_SHOWN_NO : TRACE_SHOWN_YES; /* none above */
    return shows(&query, sign) ? TRACE_SHOWN_YES : TRACE_SHOWN_NO;
}

bool trace_pages_engine_shows(const struct trace_space *space, const struct trace_sign *sign)
{
    const unsigned page_shift = (unsigned)vmk_mm_settings(space->mm)->page_shift;
    struct vmk_vma_info area = {.size = sizeof(area)};
    vmk_addr cursor = sign->start;
    if (vmk_mm_next(space->mm, &cursor, &area) != 0)
        return !sign->is_mapped;
    struct procmap_query_abi query = {.vma_start = area.start,
                                      .vma_end = area.end,
                                      .vma_offset = area.pgoff << page_shift,
                                      .inode = area.file != NULL};
    for (unsigned i = 0; i < 4; i++)
        query.vma_flags |= (uint64_t)((area.flags & shown_flags[i]) != 0) << i;
    return shows(&query, sign);
}

/* ---- Stacks that have grown ---- */

/* A grown stack is a fault at its new end that the engine must allow. */
static void feed_growth(struct tracer *tracer, struct trace_task *task, const struct vmk_vma_info *area)
{
    vmk_addr start = kernel_start_of(tracer, task, area->start);
    if (start == 0 || start >= area->start)
        return;
    /* Linux grows a stack before it looks at its protection: the fault may well end in a signal. */
    struct vmk_fault_request request = {
        .address = start,
        .access = (area->flags & VMK_VM_WRITE) != 0 ? VMK_ACCESS_WRITE : VMK_ACCESS_READ,
        .flags = VMK_FAULT_USER,
    };
    struct vmk_fault fault;
    struct vmk_vma_info grown = {.size = sizeof(grown)};
    char what[160];
    trace_record_fault(tracer, task, &request, NULL);
    vmk_mm_fault(task->space->mm, &request, &fault);
    if (vmk_mm_lookup(task->space->mm, start, &grown) == 0 && grown.start == start)
        return;
    snprintf(what, sizeof(what), "the stack grew down to %llx in the kernel; the engine refused it, case %x",
             (unsigned long long)start, fault.fault_case);
    trace_diverged(tracer, task, what);
}

struct stacks {
    vmk_addr starts[256];
    size_t nr;
};

static bool note_stack(void *context, vmk_addr start, vmk_addr end, vmk_vm_flags flags)
{
    struct stacks *stacks = context;
    (void)end;
    if ((flags & VMK_VM_GROWSDOWN) != 0)
        stacks->starts[stacks->nr++] = start;
    return stacks->nr < sizeof(stacks->starts) / sizeof(stacks->starts[0]);
}

static void feed_stacks(struct tracer *tracer, struct trace_task *task)
{
    struct trace_space *space = task->space;
    struct vmk_vma_info area = {.size = sizeof(area)};
    struct stacks stacks = {.nr = 0};
    vmk_mm_for_each(space->mm, 0, VMK_RLIM_INFINITY, note_stack, &stacks);
    for (size_t i = 0; i < stacks.nr && !space->lost; i++)
        if (vmk_mm_lookup(space->mm, stacks.starts[i], &area) == 0)
            feed_growth(tracer, task, &area);
}

/*
 * A fault that ended in a signal has left no page, but maybe an anon_vma: when it was a growth that a limit refused, a write
 * beyond the end of a file or to memory that a userfaultfd (UFFD_FEATURE_SIGBUS) holds back. The engine is given it too.
 */
void trace_pages_feed_signal(struct tracer *tracer, struct trace_task *task)
{
    siginfo_t info;
    if (task->space == NULL || task->space->lost || ptrace(PTRACE_GETSIGINFO, task->tid, 0, &info) != 0)
        return;
    bool is_fault = info.si_signo == SIGSEGV ? info.si_code == SEGV_MAPERR || info.si_code == SEGV_ACCERR
                                             : info.si_signo == SIGBUS && info.si_code == BUS_ADRERR;
    if (!is_fault)
        return;
    trace_space_use_limits(task->space, task->process);
    feed_stacks(tracer, task);
    if (task->space->lost)
        return;
    vmk_addr address = (vmk_addr)(uintptr_t)info.si_addr;
    bool knows = trace_arch_native.access_of != NULL;
    const struct vmk_fault_request request = {
        .address = address,
        .access = knows ? trace_arch_native.access_of(task, address) : VMK_ACCESS_READ,
        .flags = VMK_FAULT_USER | VMK_FAULT_HAS_TABLE,
    };
    feed_fault_with(tracer, task, &request, knows ? &(int64_t){RECORD_SIGNAL(info.si_signo, info.si_code)} : NULL);
}

/* Does the child of this call inherit pages? */
static bool copies_pages(const struct trace_task *task)
{
    uint64_t flags = task->call.args[0];
    switch (task->call.kind) {
    case TRACE_CALL_FORK:
        return true;
    case TRACE_CALL_CLONE3:
        if (!trace_read_memory(task, task->call.args[0], &flags, sizeof(flags)))
            return true;
        return (flags & CLONE_VM) == 0;
    case TRACE_CALL_CLONE:
        return (flags & CLONE_VM) == 0;
    default:
        return false;
    }
}

static bool concerns_pages(enum trace_call_kind kind)
{
    switch (kind) {
    case TRACE_CALL_VFORK:
    case TRACE_CALL_MINCORE:
    case TRACE_CALL_SET_MEMPOLICY:
    case TRACE_CALL_PKEY_ALLOC:
    case TRACE_CALL_PKEY_FREE:
    case TRACE_CALL_PERSONALITY:
    case TRACE_CALL_SETRLIMIT:
    case TRACE_CALL_PRLIMIT64:
    case TRACE_CALL_TRUNCATE:
    case TRACE_CALL_FTRUNCATE:
    case TRACE_CALL_CAPSET:
    case TRACE_CALL_SETUID:
    case TRACE_CALL_SETREUID:
    case TRACE_CALL_SETRESUID:
        return false;
    default:
        return true;
    }
}

/*
 * One whole area that nobody can reach after the call: pages that it has then were there before. So they can be looked
 * for afterwards.
 */
static bool becomes_inaccessible(const struct trace_task *task, const struct vmk_vma_info *area,
                                 const struct window *window)
{
    return task->call.kind == TRACE_CALL_MPROTECT && task->call.args[2] == VMK_PROT_NONE &&
           area->start == window->start && area->end == window->end && !task->space->uses_uffd;
}

/*
 * An area of the range itself: what it has now decides what it can join, and is forgotten with its pages. munmap joins
 * nothing, and forgets nothing of what goes whole.
 */
static bool range_could_change(struct trace_task *task, const struct window *window)
{
    struct vmk_vma_info area = {.size = sizeof(area)};
    vmk_addr cursor = window->start;
    while (vmk_mm_next(task->space->mm, &cursor, &area) == 0 && area.start < window->end) {
        bool is_whole = area.start >= window->start && area.end <= window->end;
        bool goes = task->call.kind == TRACE_CALL_MUNMAP && is_whole;
        if (goes || !could_gain_anon_vma(&area))
            continue;
        if (!is_whole || !becomes_inaccessible(task, &area, window))
            return true;
        task->call.late_writes = true;
    }
    return false;
}

/* Has the area an anon_vma, or could it have one by now, so that one beside it can have taken it? */
static bool may_have_anon_vma(const struct vmk_vma_info *area)
{
    return area->anon_vma != 0 || area->anon_vma_unknown || could_gain_anon_vma(area);
}

static bool range_may_have_anon_vma(const struct trace_task *task, const struct window *window)
{
    struct vmk_vma_info area = {.size = sizeof(area)};
    vmk_addr cursor = window->start;
    while (vmk_mm_next(task->space->mm, &cursor, &area) == 0 && area.start < window->end)
        if (may_have_anon_vma(&area))
            return true;
    return false;
}

/*
 * A neighbour may have taken the anon_vma of an area that is going. Otherwise what it has matters only where another
 * neighbour, of which it would have taken or could take one afterwards, lies beyond the range: memory without an anon_vma
 * joins an area with or without one, and whoever lay beside a neighbour does so afterwards, but for what a mapping brings
 * together. With mprotect the range may have an anon_vma itself.
 */
static bool neighbours_could_change(const struct trace_task *task, const struct window *window)
{
    struct vmk_vma_info below = {.size = sizeof(below)}, above = {.size = sizeof(above)};
    const struct trace_call *call = &task->call;
    struct vmk_mm *mm = task->space->mm;
    bool has_below = window->start != 0 && vmk_mm_lookup(mm, window->start - 1, &below) == 0;
    bool has_above = vmk_mm_lookup(mm, window->end, &above) == 0;
    bool could_below = has_below && could_gain_anon_vma(&below), could_above = has_above && could_gain_anon_vma(&above);
    bool replaces = call->kind == TRACE_CALL_MUNMAP ||
                    (call->kind == TRACE_CALL_MMAP && (call->args[3] & (VMK_MAP_FIXED | VMK_MAP_FIXED_NOREPLACE)) != 0);
    if (!could_below && !could_above)
        return false;
    if (replaces && range_may_have_anon_vma(task, window))
        return true;
    switch (call->kind) {
    case TRACE_CALL_MUNMAP:
        return false;
    case TRACE_CALL_MPROTECT:
        return has_below && has_above;
    case TRACE_CALL_MMAP:
    case TRACE_CALL_BRK:
        return has_below && has_above && may_have_anon_vma(&below) && may_have_anon_vma(&above);
    default:
        return true;
    }
}

bool trace_pages_matter(struct trace_task *task)
{
    task->call.late_writes = false;
    struct window window;
    bool is_clone = task->call.kind == TRACE_CALL_FORK || task->call.kind == TRACE_CALL_CLONE ||
                    task->call.kind == TRACE_CALL_CLONE3;
    if (is_clone)
        return copies_pages(task);
    if (!concerns_pages(task->call.kind))
        return false;
    if (!range_of_call(task->space, &task->call, &window))
        return true;
    return range_could_change(task, &window) || neighbours_could_change(task, &window);
}

bool trace_pages_wrote_late(struct tracer *tracer, const struct trace_task *task, struct vmk_fault_request *fault)
{
    struct vmk_vma_info area = {.size = sizeof(area)};
    return task->call.late_writes && vmk_mm_lookup(task->space->mm, task->call.args[0], &area) == 0 &&
           could_gain_anon_vma(&area) && find_fault(tracer, task->space, &area, fault);
}

void trace_pages_feed_late(struct tracer *tracer, struct trace_task *task, const struct vmk_fault_request *fault)
{
    feed_fault_with(tracer, task, fault, &(int64_t){0});
}

void trace_pages_feed_for_reader(struct tracer *tracer, struct trace_task *task)
{
    trace_call_notice_closed_uffd(tracer, task);
    trace_space_use_limits(task->space, task->process);
    feed_stacks(tracer, task);
}

static void feed_begin(struct tracer *tracer, struct trace_task *task)
{
    trace_space_use_limits(task->space, task->process);
    trace_record_begin_call(tracer, task);
    feed_stacks(tracer, task);
}

void trace_pages_feed_others(struct tracer *tracer, struct trace_task *task)
{
    struct window window;
    feed_begin(tracer, task);
    if (!tracer->looks_for_forced || task->space->lost || task->space->pagemap_fd < 0 ||
        !concerns_pages(task->call.kind) || !range_of_call(task->space, &task->call, &window))
        return;
    widen(task->space, &window);
    feed_near(tracer, task, &window, could_have_been_forced);
}

bool trace_pages_feed_running(struct tracer *tracer, struct trace_task *task)
{
    struct vmk_vma_info areas[FEW_FAULTS];
    struct vmk_fault_request faults[FEW_FAULTS], fault;
    bool found[FEW_FAULTS];
    struct window window;
    unsigned nr = 0;
    if (task->space->pagemap_fd < 0 || tracer->looks_for_forced || !range_of_call(task->space, &task->call, &window))
        return false;
    feed_begin(tracer, task);
    widen(task->space, &window);
    areas[0].size = sizeof(areas[0]);
    for (vmk_addr cursor = window.start;
         vmk_mm_next(task->space->mm, &cursor, &areas[nr]) == 0 && areas[nr].start < window.end;) {
        if (!could_gain_anon_vma(&areas[nr]))
            continue;
        found[nr] = find_fault(tracer, task->space, &areas[nr], &faults[nr]);
        if (++nr == FEW_FAULTS)
            return false;
        areas[nr].size = sizeof(areas[nr]);
    }
    for (unsigned i = 0; i < nr; i++)
        if (!found[i] && find_fault(tracer, task->space, &areas[i], &fault))
            return false;
    for (unsigned i = 0; i < nr && !task->space->lost; i++)
        if (found[i])
            feed_fault_with(tracer, task, &faults[i], &(int64_t){0});
    return true;
}

void trace_pages_feed(struct tracer *tracer, struct trace_task *task)
{
    struct trace_space *space = task->space;
    struct vmk_mm_stats stats = {.size = sizeof(stats)};
    struct window window;
    feed_begin(tracer, task);
    if (space->lost || space->pagemap_fd < 0)
        return;
    vmk_mm_get_stats(space->mm, &stats);
    bool has_range = range_of_call(space, &task->call, &window);
    if (has_range)
        widen(space, &window);
    if (has_range && (tracer->mode->decides || stats.nr_vmas > MANY_AREAS))
        feed_near(tracer, task, &window, could_gain_anon_vma);
    else
        feed_writes(tracer, task);
    if (task->call.kind == TRACE_CALL_FORK || task->call.kind == TRACE_CALL_CLONE ||
        task->call.kind == TRACE_CALL_CLONE3 || (!has_range && stats.nr_vmas <= MANY_AREAS))
        window = (struct window){0, UINT64_MAX}; /* the child inherits it all */
    else if (!has_range)
        return;
    if (tracer->looks_for_forced)
        feed_near(tracer, task, &window, could_have_been_forced);
}
