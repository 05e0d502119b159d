/* SPDX-License-Identifier: MIT */
/*
 * run_decide.c - what becomes of a memory call.
 *
 * The engine prepares it. Refused, or nothing to do: it never reaches the kernel. Otherwise the kernel runs it at the
 * place that the engine has chosen, and the engine commits when the kernel has agreed. Calls over a range that Linux
 * applies area by area are carried out part by part, as the plan has them, so that the engine can stop in the middle;
 * all others are one call of the kernel, however many parts the plan has.
 *
 * In an address space with a userfaultfd a call may wait for another thread of it, which has calls of its own: there the
 * engine's part is over before the kernel begins, and cannot be given up.
 */
#include <inttypes.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/ptrace.h>

#include "run.h"

enum { EDITS_MAX = 8, RESTART_FIRST = -516, RESTART_LAST = -512 };

/* ---- Divergences ---- */

/* The kernel did not do what the engine decided. What is left is compared: the address space may still be equal. */
static void say_diverged(struct tracer *tracer, struct trace_task *task, int64_t wanted, const char *answer)
{
    struct trace_call *call = &task->call;
    char engine[80];
    trace_say_value(engine, sizeof(engine), wanted);
    fprintf(stderr,
            "vmakit: run: divergence in %d (%s), call %" PRIu64 " of it\n  %s: the engine decided %s, the kernel %s\n",
            (int)task->process->tgid, task->process->name, task->process->nr_calls, trace_call_text(call), engine,
            answer);
    report_divergence(tracer->report, (uint64_t)task->process->tgid, trace_call_text(call));
    tracer->divergences++;
    task->process->divergences++;
    if (!task->space->lost && tracer->options.check != TRACE_CHECK_NONE)
        trace_check_map(tracer, task, "after");
}

static void diverged(struct tracer *tracer, struct trace_task *task, int64_t wanted, int64_t got)
{
    char kernel[80], answer[96];
    trace_say_value(kernel, sizeof(kernel), got);
    snprintf(answer, sizeof(answer), "answered %s", kernel);
    say_diverged(tracer, task, wanted, answer);
}

/* ---- Parts ---- */

/* Can the kernel be brought to fail where the engine does? Its map count and its commit charge cannot be changed here. */
static bool can_fail_alike(const struct run *run)
{
    return !run->other_areas_limit && !run->other_charge;
}

/*
 * Calls whose parts are calls of their own to the kernel. mlock populates when all its parts are done, and not when one of
 * them fails: it goes as a whole unless the engine alone can stop it.
 */
static bool goes_part_by_part(const struct run *run, const struct trace_call *call)
{
    switch (call->kind) {
    case TRACE_CALL_MPROTECT:
    case TRACE_CALL_PKEY_MPROTECT:
    case TRACE_CALL_MUNLOCK:
        return true;
    case TRACE_CALL_MADVISE: /* these change no area, so that no limit stops them */
        return call->args[2] != VMK_MADV_DONTNEED && call->args[2] != VMK_MADV_FREE;
    case TRACE_CALL_MLOCK:
    case TRACE_CALL_MLOCK2:
        return !can_fail_alike(run);
    default:
        return false;
    }
}

static void commit_part(struct trace_task *task)
{
    struct trace_call *call = &task->call;
    call->part_error = 0;
    call->open = vmk_plan_commit(&task->plan, &call->result) == VMK_PLAN_MORE;
    if (call->open)
        vmk_plan_part(&task->plan, &call->part_error);
}

static void commit_all(struct trace_task *task)
{
    while (task->call.open)
        commit_part(task);
}

static void abort_part(struct trace_task *task, int error)
{
    if (task->call.open)
        vmk_plan_abort(&task->plan, error, &task->call.result);
    task->call.open = false;
}

static unsigned read_edits(struct trace_task *task, struct vmk_edit *edits)
{
    unsigned nr = 0;
    while (nr < EDITS_MAX && vmk_plan_next_edit(&task->plan, &edits[nr]))
        nr++;
    return nr;
}

static bool is_whole_range(const struct trace_task *task, const struct vmk_edit *edit)
{
    const struct trace_call *call = &task->call;
    uint64_t page = UINT64_C(1) << vmk_mm_settings(task->space->mm)->page_shift;
    return edit->start == (call->args[0] & ~(page - 1)) &&
           edit->end == ((call->args[0] + call->args[1] + page - 1) & ~(page - 1));
}

static bool is_protection(enum trace_call_kind kind)
{
    return kind == TRACE_CALL_MPROTECT || kind == TRACE_CALL_PKEY_MPROTECT;
}

/* The arguments that make the kernel do one part of a range. */
static void use_range(struct trace_task *task, const struct vmk_edit *edit)
{
    struct trace_apply *apply = &task->apply;
    memcpy(apply->args, task->call.args, sizeof(apply->args));
    apply->wanted = 0;
    apply->is_plain = is_protection(task->call.kind);
    apply->sign = (struct trace_sign){.start = edit->start, .end = edit->end, .is_mapped = true, .flags = edit->flags};
    apply->cursor = edit->end;
    if (is_whole_range(task, edit))
        return;
    apply->args[0] = edit->start;
    apply->args[1] = edit->end - edit->start;
    if (is_protection(task->call.kind)) /* the range is as far as it grows already */
        apply->args[2] &= ~(uint64_t)(VMK_PROT_GROWSDOWN | VMK_PROT_GROWSUP);
}

/* Anonymous private memory, or private memory of an ordinary file: nothing that a driver or a pool could refuse. */
static bool is_plain_map(const struct vmk_edit *map)
{
    return map->file == NULL || (vmk_object_kind_of(vmk_file_object(map->file)) == VMK_OBJECT_REGULAR &&
                                 (map->flags & VMK_VM_MAYSHARE) == 0);
}

/* A mapping at a fixed place, an unmapping, a heap that grows or shrinks: how they look when they have been done. */
static bool has_sign(const struct trace_task *task, const struct vmk_edit *edits, unsigned nr, struct trace_sign *sign)
{
    const struct trace_call *call = &task->call;
    const struct vmk_edit *last = nr != 0 ? &edits[nr - 1] : NULL;
    const uint64_t page = UINT64_C(1) << vmk_mm_settings(task->space->mm)->page_shift;
    switch (call->kind) {
    case TRACE_CALL_MUNMAP:
        *sign = (struct trace_sign){.start = call->args[0],
                                    .end = (call->args[0] + call->args[1] + page - 1) & ~(page - 1)};
        return true;
    case TRACE_CALL_BRK:
    case TRACE_CALL_MMAP:
        if (last == NULL || (call->kind == TRACE_CALL_MMAP && last->kind != VMK_EDIT_MAP))
            return false;
        *sign = (struct trace_sign){.start = last->start,
                                    .end = last->end,
                                    .is_mapped = last->kind == VMK_EDIT_MAP,
                                    .flags = last->flags,
                                    .is_of_map = true,
                                    .has_file = last->file != NULL,
                                    .offset = last->offset};
        return !sign->is_mapped || is_plain_map(last);
    default:
        return false;
    }
}

/* The arguments that make the kernel do a whole call where the engine wants it. */
static void use_place(struct trace_task *task, const struct vmk_edit *edits, unsigned nr)
{
    struct trace_apply *apply = &task->apply;
    const struct trace_call *call = &task->call;
    const struct vmk_edit *map = NULL, *move = NULL;
    apply->wanted = 0;
    for (unsigned i = 0; i < nr; i++) {
        if (edits[i].kind == VMK_EDIT_MAP)
            map = &edits[i];
        if (edits[i].kind == VMK_EDIT_MOVE)
            move = &edits[i];
    }
    apply->is_plain = has_sign(task, edits, nr, &apply->sign);
    switch (call->kind) {
    case TRACE_CALL_MMAP:
        apply->wanted = (int64_t)map->start;
        if ((call->args[3] & (VMK_MAP_FIXED | VMK_MAP_FIXED_NOREPLACE)) != 0)
            break;
        apply->args[0] = map->start;
        /* MAP_SHARED_VALIDATE knows no NOREPLACE; the engine has chosen a free place. */
        apply->args[3] |=
            (call->args[3] & VMK_MAP_TYPE) == VMK_MAP_SHARED_VALIDATE ? VMK_MAP_FIXED : VMK_MAP_FIXED_NOREPLACE;
        break;
    case TRACE_CALL_SHMAT:
        apply->wanted = (int64_t)map->start;
        if (call->args[1] == 0)
            apply->args[1] = map->start;
        break;
    case TRACE_CALL_BRK:
        apply->wanted = (int64_t)call->args[0];
        break;
    case TRACE_CALL_MREMAP:
        if ((call->args[3] & VMK_MREMAP_FIXED) != 0) {
            apply->wanted = (int64_t)call->args[4];
        } else if (move != NULL || (call->args[1] == 0 && map != NULL)) {
            apply->args[3] |= VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED;
            apply->args[4] = move != NULL ? move->start : map->start;
            apply->wanted = (int64_t)apply->args[4];
        } else {
            apply->args[3] &= ~(uint64_t)VMK_MREMAP_MAYMOVE;
            apply->wanted = (int64_t)call->args[0];
        }
        break;
    default:
        break;
    }
}

/*
 * The call ends after a cut that Linux leaves behind. The kernel does the same where its limits are the engine's; where
 * they cannot be, there is no call that cuts alone: the cut is left out, so that both stay equal.
 */
static bool leave_cut(struct tracer *tracer, struct trace_task *task)
{
    struct trace_call *call = &task->call;
    struct trace_apply *apply = &task->apply;
    int error = call->part_error != 0 ? call->part_error : -VMK_ENOMEM;
    if (!can_fail_alike(tracer->run)) {
        abort_part(task, error);
        return false;
    }
    memcpy(apply->args, call->args, sizeof(apply->args));
    if (apply->cursor != 0) {
        apply->args[0] = apply->cursor;
        apply->args[1] = call->args[0] + call->args[1] - apply->cursor;
    }
    apply->is_cut = true;
    return true;
}

/* The engine is done before the kernel begins, which runs the call as a whole. */
static void commit_early(const struct run *run, struct trace_task *task)
{
    struct trace_call *call = &task->call;
    struct vmk_edit edits[EDITS_MAX];
    unsigned nr = read_edits(task, edits);
    if (nr != 0 && call->part_error == 0 && !goes_part_by_part(run, call)) /* it maps, and does not only make room */
        use_place(task, edits, nr);
    call->touched = true;
    commit_all(task);
}

/* Goes on until the kernel has something to do (true: apply.args are its arguments) or the call is over. */
static bool next_action(struct tracer *tracer, struct trace_task *task)
{
    struct trace_call *call = &task->call;
    struct vmk_edit edits[EDITS_MAX];
    while (call->open) {
        unsigned nr = read_edits(task, edits);
        if (call->part_error != 0 || (nr == 0 && call->kind == TRACE_CALL_MMAP))
            return leave_cut(tracer, task);
        if (!goes_part_by_part(tracer->run, call)) {
            use_place(task, edits, nr);
            return true;
        }
        bool is_own = nr != 0 && (edits[0].kind != VMK_EDIT_ADVISE || edits[0].advice != VMK_ADVICE_POPULATE);
        if (is_own) { /* mlock populates by itself */
            use_range(task, &edits[0]);
            return true;
        }
        commit_part(task);
    }
    return false;
}

/* ---- Flags ---- */

static bool sets_flags(uint64_t advice)
{
    return run_advice_changes_areas(advice) && advice != VMK_MADV_POPULATE_READ && advice != VMK_MADV_POPULATE_WRITE;
}

/* Can a call set flags of areas that maps does not show, other than those that every new area has? */
static bool sets_other_flags(const struct trace_call *call)
{
    const uint64_t plain = VMK_MAP_TYPE | VMK_MAP_FIXED | VMK_MAP_FIXED_NOREPLACE | VMK_MAP_ANONYMOUS |
                           VMK_MAP_DENYWRITE | VMK_MAP_NORESERVE | VMK_MAP_STACK | VMK_MAP_POPULATE;
    switch (call->kind) {
    case TRACE_CALL_MMAP:
        return (call->args[3] & ~plain) != 0 || (call->args[3] & VMK_MAP_TYPE) > VMK_MAP_PRIVATE;
    case TRACE_CALL_MADVISE:
        return sets_flags(call->args[2]);
    case TRACE_CALL_MUNMAP:
    case TRACE_CALL_MPROTECT:
    case TRACE_CALL_BRK:
    case TRACE_CALL_MSYNC:
    case TRACE_CALL_MINCORE:
    case TRACE_CALL_PKEY_ALLOC:
    case TRACE_CALL_PKEY_FREE:
    case TRACE_CALL_TRUNCATE:
    case TRACE_CALL_FTRUNCATE:
        return false;
    default:
        return trace_call_is_memory(call->kind);
    }
}

/* ---- Ends ---- */

/* Another thread has written to the range before the kernel ran the call: it is prepared once more, after that. */
static void know_late_writes(struct tracer *tracer, struct trace_task *task)
{
    struct vmk_fault_request fault;
    if (!task->call.open || !trace_pages_wrote_late(tracer, task, &fault))
        return;
    abort_part(task, -VMK_EAGAIN);
    trace_pages_feed_late(tracer, task, &fault);
    trace_call_ask(tracer, task);
}

static enum trace_way end(struct tracer *tracer, struct trace_task *task, int64_t got, int64_t value)
{
    trace_call_count(tracer, task);
    trace_report_call(tracer, task, value, true);
    if (!task->space->lost)
        trace_check_after_call(tracer, task);
    if (tracer->run->nr_served != 0 && !task->space->lost)
        run_proc_renew(tracer, task);
    return run_apply_return(task, got, value);
}

/* ---- Calls whose end is not seen ---- */

/*
 * A call that goes to the kernel as it is, and after which the areas look other than before, needs no stop at its end: the
 * areas say whether the kernel has done it, and nobody else can have done that, as calls of one address space come one
 * after the other. So the plan stays open and the space the task's own until the next stop of any task; then, before
 * anything else, one question (PROCMAP_QUERY) is asked about the range:
 *
 * - They look as they should: it has been done. It is one call on one range, in one area or to one area, which the kernel
 *   either does or does not, and what shows is what it does last: it has no way left to fail. The engine commits.
 * - They do not, and the call is over, as its task has stopped or sleeps in another one: the kernel has refused it. The
 *   plan is aborted, engine and kernel stay equal, and that is a divergence by name, as at an end.
 * - They do not, and it may be on its way: if the others of the space have to wait for it, its task is interrupted, which
 *   ends no memory call and stops it after this one.
 */
static bool may_go_unseen(const struct tracer *tracer, const struct trace_task *task)
{
    const struct run *run = tracer->run;
    if (!tracer->has_procmap_query || tracer->unseen != NULL || tracer->interval != 0 || run->nr_served != 0 ||
        run->is_narrow || !can_fail_alike(run))
        return false;
    /* A thread that is held back would find the call on its way. */
    for (const struct trace_task *other = tracer->tasks; other != NULL; other = other->next)
        if (other->state == TRACE_HELD && (other->space == task->space || other->waits_for == task->space))
            return false;
    return true;
}

/* The part that is open is the whole call. */
static bool leave_unseen(const struct tracer *tracer, const struct trace_task *task)
{
    const struct trace_call *call = &task->call;
    const struct trace_apply *apply = &task->apply;
    return call->page_error == 0 && apply->is_plain && !apply->is_cut &&
           memcmp(apply->args, call->args, sizeof(apply->args)) == 0 && may_go_unseen(tracer, task) &&
           !trace_pages_engine_shows(task->space, &apply->sign);
}

static void settle_done(struct tracer *tracer, struct trace_task *task)
{
    struct trace_call *call = &task->call;
    int64_t wanted = task->apply.wanted, value;
    know_late_writes(tracer, task);
    commit_all(task);
    value = trace_call_value(call);
    if (value != wanted)
        diverged(tracer, task, value, wanted);
    end(tracer, task, wanted, wanted);
}

/* What the call returned, where it is the last thing that its task has done; 0: not known. */
static int64_t answer_of(const struct trace_task *task)
{
    struct trace_regs regs;
    if (!trace_regs_read(task->tid, &regs))
        return RESTART_FIRST; /* it vanishes: nobody sees an answer */
    return trace_regs_pc(&regs) == task->call.pc ? trace_regs_result(&regs) : 0;
}

static void settle_refused(struct tracer *tracer, struct trace_task *task, int64_t got)
{
    bool says = got < 0 && got > -4096;
    int error = says ? (int)got : -VMK_ENOMEM;
    abort_part(task, error);
    trace_call_count(tracer, task);
    trace_report_call(tracer, task, error, false);
    if (says)
        diverged(tracer, task, task->apply.wanted, got);
    else
        say_diverged(tracer, task, task->apply.wanted, "did not do it");
}

/* The call is over and has not been done. Interrupted it comes again; killed, its task has not come to it. */
static void settle_undone(struct tracer *tracer, struct trace_task *task, int event)
{
    int64_t got = event == PTRACE_EVENT_SECCOMP ? 0 : answer_of(task);
    bool comes_again = got >= RESTART_FIRST && got <= RESTART_LAST;
    bool is_killed = event == PTRACE_EVENT_EXIT && (got == -VMK_EINTR || got == -VMK_ENOSYS);
    if (comes_again || is_killed)
        abort_part(task, -VMK_EAGAIN);
    else
        settle_refused(tracer, task, got);
}

bool run_settle(struct tracer *tracer, const struct trace_task *stopped, int event)
{
    struct trace_task *task = tracer->unseen;
    const struct trace_sign *sign = &task->apply.sign;
    bool is_over = stopped == task;
    enum trace_shown shown = trace_pages_show(task->space, sign);
    if (shown == TRACE_SHOWN_NO && !is_over) {
        if (stopped->space != task->space || trace_may_be_in_call(task))
            return false;
        is_over = true; /* but it was not a moment ago */
        event = PTRACE_EVENT_SECCOMP;
        shown = trace_pages_show(task->space, sign);
    }
    if (shown == TRACE_SHOWN_GONE && !is_over)
        return false; /* its death will be reported */
    if (shown == TRACE_SHOWN_YES)
        settle_done(tracer, task);
    else if (shown == TRACE_SHOWN_NO)
        settle_undone(tracer, task, event);
    else
        abort_part(task, -VMK_EAGAIN);
    return true;
}

/* ---- The entry ---- */

/* No part, no error: is it certain that the kernel has nothing to do either? */
static bool is_nothing(const struct trace_call *call)
{
    switch (call->kind) {
    case TRACE_CALL_MUNMAP:
        return true;
    case TRACE_CALL_MPROTECT:
    case TRACE_CALL_PKEY_MPROTECT:
        return call->args[1] == 0;
    case TRACE_CALL_MREMAP:
        return call->args[1] == call->args[2];
    case TRACE_CALL_BRK:
        return call->result.value != call->args[0];
    default:
        return false;
    }
}

/* brk(0), and any other address below the heap, only asks. */
static bool is_question(const struct trace_call *call)
{
    return call->kind == TRACE_CALL_BRK && call->result.error == -VMK_EINVAL;
}

static enum trace_way skip(struct tracer *tracer, struct trace_task *task, int64_t value)
{
    struct run *run = tracer->run;
    if (task->call.result.error != 0 && !is_question(&task->call))
        run->nr_refused++;
    run->nr_skipped++;
    trace_call_count(tracer, task);
    trace_report_call(tracer, task, value, true);
    return run_apply_skip(task, value);
}

/* Made to fail: what the program sees. */
static int64_t failed_value(const struct trace_task *task, int error)
{
    struct vmk_mm_layout layout;
    if (task->call.kind != TRACE_CALL_BRK)
        return error;
    vmk_mm_get_layout(task->space->mm, &layout);
    return (int64_t)layout.brk;
}

static enum trace_way enter_clone(struct tracer *tracer, struct trace_task *task)
{
    struct trace_call *call = &task->call;
    int error;
    trace_call_ask(tracer, task);
    if ((call->clone_flags & CLONE_VM) == 0 && !task->space->lost) {
        if (run_fails(tracer, task, &error))
            return run_apply_skip(task, error);
        trace_space_use_limits(task->space, task->process);
        error = vmk_mm_fork(task->space->mm, &task->forked);
        if (error != 0) {
            call->result.error = error;
            return skip(tracer, task, error);
        }
    }
    return run_apply_send(task);
}

static enum trace_way enter_ptrace(struct trace_task *task)
{
    fprintf(
        stderr,
        "vmakit: run: %d (%s) wants to trace a process itself (ptrace): refused. A process can have one tracer only, "
        "and vmakit is it already\n",
        (int)task->process->tgid, task->process->name);
    return run_apply_skip(task, -VMK_EPERM);
}

static enum trace_way enter_memory(struct tracer *tracer, struct trace_task *task)
{
    task->space->has_other_flags = task->space->has_other_flags || sets_other_flags(&task->call);
    struct trace_call *call = &task->call;
    int error;
    if (!task->space->lost && run_fails(tracer, task, &error)) {
        call->result.error = error;
        return skip(tracer, task, failed_value(task, error));
    }
    call->two_phase = true;
    if (!trace_call_ask(tracer, task)) {
        abort_part(task, -VMK_ENOMEM);
        return TRACE_GO_ON;
    }
    if (task->waits_for != NULL)
        return TRACE_WAIT;
    if (!call->mirrored)
        return TRACE_SEE_END;
    if (call->open && task->space->uses_uffd)
        commit_early(tracer->run, task);
    if (call->touched || (call->open && next_action(tracer, task))) {
        if (!call->touched && leave_unseen(tracer, task))
            return TRACE_UNSEEN;
        return run_apply_send(task);
    }
    bool is_told = call->kind == TRACE_CALL_MINCORE && call->result.done != 0; /* of the pages before the hole */
    if ((call->result.error != 0 && !is_told) || is_nothing(call))
        return skip(tracer, task, trace_call_value(call));
    return TRACE_SEE_END;
}

enum trace_way run_enter(struct tracer *tracer, struct trace_task *task)
{
    run_apply_begin(task);
    switch (task->call.kind) {
    case TRACE_CALL_EXECVE:
    case TRACE_CALL_EXECVEAT:
        return run_exec_enter(tracer, task);
    case TRACE_CALL_PTRACE:
        return enter_ptrace(task);
    case TRACE_CALL_GETRLIMIT:
    case TRACE_CALL_SETRLIMIT:
    case TRACE_CALL_PRLIMIT64:
        return run_limits_enter(tracer, task);
    case TRACE_CALL_SCHED_SETAFFINITY:
        return run_pin_set(tracer);
    case TRACE_CALL_SCHED_GETAFFINITY:
        return run_pin_answer(tracer, task);
    case TRACE_CALL_FORK:
    case TRACE_CALL_VFORK:
    case TRACE_CALL_CLONE:
    case TRACE_CALL_CLONE3:
        return enter_clone(tracer, task);
    case TRACE_CALL_OPEN:
    case TRACE_CALL_OPENAT:
    case TRACE_CALL_OPENAT2:
        return run_proc_enter(tracer, task);
    case TRACE_CALL_LSEEK:
    case TRACE_CALL_PREAD64:
        run_proc_begins_again(tracer, task);
        return TRACE_GO_ON;
    default:
        return enter_memory(tracer, task);
    }
}

/* The stop at the entry of a call of ours: its arguments are there already. */
enum trace_way run_enter_again(struct tracer *tracer, struct trace_task *task)
{
    (void)tracer;
    (void)task;
    return TRACE_SEE_END;
}

/* ---- The end ---- */

/* The kernel has refused what the engine allowed: nobody has done it. */
static enum trace_way refused(struct tracer *tracer, struct trace_task *task, int64_t got)
{
    const struct trace_call *call = &task->call;
    bool is_of_pages = (call->page_error != 0 && call->page_error == got) ||
                       (call->kind == TRACE_CALL_MADVISE && call->args[2] == VMK_MADV_COLLAPSE);
    int64_t wanted = task->apply.wanted;
    abort_part(task, got < 0 && got > -4096 ? (int)got : -VMK_ENOMEM);
    trace_call_count(tracer, task);
    trace_report_call(tracer, task, got, is_of_pages);
    if (!is_of_pages)
        diverged(tracer, task, wanted, got);
    return run_apply_return(task, got, got);
}

/* The whole call has been run, with the errors that its later parts may have had. */
static enum trace_way leave_whole(struct tracer *tracer, struct trace_task *task, int64_t got)
{
    struct trace_call *call = &task->call;
    commit_all(task);
    int64_t wanted = trace_call_value(call), value = got;
    if (call->expect == TRACE_EXPECT_AIO && got == 0 && wanted == 0) {
        trace_read_memory(task, call->args[1], &value, sizeof(value));
        wanted = (int64_t)call->result.value;
        if (value != wanted && tracer->layout != NULL && run_move_ring(task, (vmk_addr)value, (vmk_addr)wanted))
            value = wanted;
    }
    if (value != wanted && (call->page_error == 0 || got != call->page_error))
        diverged(tracer, task, wanted, value);
    return end(tracer, task, got, got);
}

/* Verbs whose kernel call may fail after some of the plan's parts, as the engine's will. */
static bool may_end_early(const struct trace_call *call)
{
    return call->kind == TRACE_CALL_MLOCKALL || call->kind == TRACE_CALL_MLOCK || call->kind == TRACE_CALL_MLOCK2 ||
           call->kind == TRACE_CALL_MSEAL || call->kind == TRACE_CALL_MSYNC ||
           call->kind == TRACE_CALL_REMAP_FILE_PAGES || call->kind == TRACE_CALL_MBIND ||
           call->kind == TRACE_CALL_MADVISE ||
           (call->kind == TRACE_CALL_MREMAP && (call->args[3] & VMK_MREMAP_FIXED) != 0);
}

static bool only_populates(const struct trace_call *call)
{
    return call->kind == TRACE_CALL_MADVISE &&
           (call->args[2] == VMK_MADV_POPULATE_READ || call->args[2] == VMK_MADV_POPULATE_WRITE);
}

/* mlock sets the flags and then populates, which may fail: the flags stay. Where it stops the commit says, too. */
static bool is_late_failure(const struct trace_call *call, int64_t got)
{
    if (only_populates(call))
        return got < 0;
    return (call->kind == TRACE_CALL_MLOCK || call->kind == TRACE_CALL_MLOCK2) &&
           (got == -VMK_ENOMEM || got == -VMK_EAGAIN);
}

static enum trace_way leave_part(struct tracer *tracer, struct trace_task *task, int64_t got)
{
    struct trace_call *call = &task->call;
    struct trace_apply *apply = &task->apply;
    if (apply->is_cut)
        return leave_whole(tracer, task, got);
    if (is_late_failure(call, got))
        apply->kernel_error = (int)got;
    else if (got != 0)
        return refused(tracer, task, got);
    know_late_writes(tracer, task);
    commit_part(task);
    if (apply->kernel_error != 0 && only_populates(call))
        abort_part(task, 0); /* the engine would have gone on: see below */
    if (next_action(tracer, task))
        return run_apply_repeat(task);
    int64_t value = trace_call_value(call);
    if (apply->kernel_error != 0 && value == 0) {
        value = apply->kernel_error;
        if (call->page_error != value)
            diverged(tracer, task, 0, value);
    }
    return end(tracer, task, got, value);
}

static enum trace_way leave_told(struct tracer *tracer, struct trace_task *task, int64_t got)
{
    struct trace_call *call = &task->call;
    trace_call_tell(tracer, task, got);
    if (!call->mirrored || task->space->lost)
        return run_apply_return(task, got, got);
    tracer->run->nr_mirrored++;
    return leave_whole(tracer, task, got);
}

static enum trace_way leave_forked(struct tracer *tracer, struct trace_task *task, int64_t got)
{
    run_give_up(tracer, task);
    return run_apply_return(task, got, got);
}

enum trace_way run_leave(struct tracer *tracer, struct trace_task *task, int64_t got)
{
    struct trace_call *call = &task->call;
    switch (call->kind) {
    case TRACE_CALL_EXECVE:
    case TRACE_CALL_EXECVEAT:
        task->leaves = false; /* it failed */
        return TRACE_GO_ON;
    case TRACE_CALL_FORK:
    case TRACE_CALL_VFORK:
    case TRACE_CALL_CLONE:
    case TRACE_CALL_CLONE3:
        return leave_forked(tracer, task, got);
    case TRACE_CALL_OPEN:
    case TRACE_CALL_OPENAT:
    case TRACE_CALL_OPENAT2:
        return run_proc_leave(tracer, task, got);
    default:
        break;
    }
    if (got >= RESTART_FIRST && got <= RESTART_LAST) { /* interrupted: it comes again */
        abort_part(task, -VMK_EAGAIN);
        return run_apply_return(task, got, got);
    }
    if (!call->mirrored)
        return leave_told(tracer, task, got);
    if (!call->open)
        return leave_whole(tracer, task, got);
    if (goes_part_by_part(tracer->run, call))
        return leave_part(tracer, task, got);
    if (task->apply.is_cut || got == task->apply.wanted || may_end_early(call))
        return leave_whole(tracer, task, got);
    return refused(tracer, task, got);
}

void run_give_up(struct tracer *tracer, struct trace_task *task)
{
    (void)tracer;
    if (task->call.open)
        abort_part(task, -VMK_ENOMEM);
    if (task->forked != NULL)
        vmk_mm_put(task->forked);
    task->forked = NULL;
}
