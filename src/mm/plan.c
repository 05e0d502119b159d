/* SPDX-License-Identifier: MIT */
/* plan.c - the driver of every verb: one call, or prepare and commit in two phases. */
#include "mm/plan.h"

_Static_assert(sizeof(struct vmki_plan) <= sizeof(struct vmk_plan), "a plan fits into the caller's storage");
_Static_assert(sizeof(((struct vmki_plan *)NULL)->request) == VMKI_PLAN_REQUEST_SIZE, "every request fits");

enum vmki_step vmki_plan_end(struct vmki_plan *plan, int error, uint64_t value)
{
    plan->result.error = error;
    plan->result.value = value;
    plan->result.done = plan->cursor - plan->start;
    return VMKI_STEP_DONE;
}

struct vmk_edit *vmki_plan_add_edit(struct vmki_plan *plan, enum vmk_edit_kind kind, vmk_addr start, vmk_addr end)
{
    struct vmk_edit *edit = &plan->edits[plan->nr_edits++];

    VMKI_CHECK(plan->nr_edits <= VMKI_PLAN_EDITS);
    *edit = (struct vmk_edit){.kind = kind, .start = start, .end = end};
    return edit;
}

static void plan_lock(struct vmk_mm *mm, const struct vmki_verb *verb)
{
    if (verb->shared_lock)
        vmki_mm_read_lock(mm);
    else
        vmki_mm_lock(mm);
}

static void plan_finish(struct vmki_plan *plan)
{
    if (plan->verb->finish != NULL)
        plan->verb->finish(plan);
}

static void plan_unlock(struct vmk_mm *mm, const struct vmki_verb *verb)
{
    if (verb->shared_lock)
        vmki_mm_read_unlock(mm);
    else
        vmki_mm_unlock(mm);
}

static void part_clear(struct vmki_plan *plan)
{
    plan->has_area = false;
    plan->fail_after = 0;
    plan->commit = NULL;
    plan->abort = NULL;
    plan->nr_edits = 0;
    plan->next_edit = 0;
}

static void part_abort(struct vmki_plan *plan, int error)
{
    if (plan->has_area)
        vmki_edit_abort(plan->mm, &plan->area);
    if (plan->abort != NULL)
        plan->abort(plan);
    part_clear(plan);
    plan->cursor = plan->part_cursor;
    vmki_plan_end(plan, error, 0);
}

/* ---- The backend ---- */

/* Asks the backend about each edit; a refusal cancels those that it has agreed to. */
static int backend_prepare(struct vmki_plan *plan)
{
    const struct vmk_backend_ops *backend = plan->mm->backend;
    int error = 0;
    unsigned i;

    if (backend->prepare == NULL)
        return 0;
    for (i = 0; i < plan->nr_edits && error == 0; i++)
        error = backend->prepare(plan->mm->backend_context, plan->mm, &plan->edits[i]);
    if (error == 0 || backend->cancel == NULL)
        return error;
    for (i--; i > 0; i--)
        backend->cancel(plan->mm->backend_context, plan->mm, &plan->edits[i - 1]);
    return error;
}

static void part_range(const struct vmki_plan *plan, vmk_addr *start, vmk_addr *end)
{
    *start = UINT64_MAX;
    *end = 0;
    for (unsigned i = 0; i < plan->nr_edits; i++) {
        const struct vmk_edit *edit = &plan->edits[i];

        *start = vmki_min(*start, edit->start);
        *end = vmki_max(*end, edit->end);
        if (edit->kind == VMK_EDIT_MOVE) {
            *start = vmki_min(*start, edit->from);
            *end = vmki_max(*end, edit->from + (edit->end - edit->start));
        }
    }
}

static void part_commit_areas(struct vmki_plan *plan)
{
    if (plan->has_area)
        vmki_edit_commit(plan->mm, &plan->area);
    if (plan->commit != NULL)
        plan->commit(plan);
}

static VMKI_NOINLINE void backend_commit(struct vmki_plan *plan)
{
    const struct vmk_backend_ops *backend = plan->mm->backend;
    void *context = plan->mm->backend_context;
    vmk_addr start, end;

    part_range(plan, &start, &end);
    if (start < end && backend->invalidate_begin != NULL)
        backend->invalidate_begin(context, plan->mm, start, end);
    part_commit_areas(plan);
    for (unsigned i = 0; i < plan->nr_edits && backend->apply != NULL; i++)
        backend->apply(context, plan->mm, &plan->edits[i]);
    if (start < end && backend->invalidate_end != NULL)
        backend->invalidate_end(context, plan->mm, start, end);
}

/* ---- The way of a call ---- */

/* The next part, or the end. */
static enum vmki_step plan_advance(struct vmki_plan *plan)
{
    enum vmki_step step;

    part_clear(plan);
    plan->part_cursor = plan->cursor;
    step = plan->verb->step != NULL ? plan->verb->step(plan) : VMKI_STEP_DONE;
    if (step == VMKI_STEP_PART && VMKI_UNLIKELY(plan->mm->backend != NULL)) {
        int error = backend_prepare(plan);

        if (error != 0) {
            part_abort(plan, error);
            return VMKI_STEP_DONE;
        }
    }
    return step;
}

static enum vmki_step plan_begin(struct vmki_plan *plan, struct vmk_mm *mm, const struct vmki_verb *verb,
                                 const void *request)
{
    int error;

    memset(plan, 0, offsetof(struct vmki_plan, request));
    plan->mm = mm;
    plan->verb = verb;
    memcpy(&plan->request, request, verb->request_size);
    if (verb->has_counter)
        ((uint64_t *)(void *)&mm->counters)[verb->counter]++;
    error = verb->start(plan);
    if (VMKI_UNLIKELY(mm->system->trace != NULL) && verb->has_counter)
        vmki_event(mm, verb->counter, plan->start, plan->end);
    if (error != 0)
        return vmki_plan_end(plan, error, plan->result.value);
    return plan_advance(plan);
}

/* Commits the part and prepares the next. */
static enum vmki_step plan_continue(struct vmki_plan *plan)
{
    int fail_after = plan->fail_after;

    if (VMKI_UNLIKELY(plan->mm->backend != NULL))
        backend_commit(plan);
    else
        part_commit_areas(plan);
    if (fail_after != 0)
        return vmki_plan_end(plan, fail_after, 0);
    return plan_advance(plan);
}

static int plan_run(struct vmki_plan *plan, struct vmk_mm *mm, const struct vmki_verb *verb, const void *request,
                    struct vmk_result *result)
{
    enum vmki_step step = plan_begin(plan, mm, verb, request);

    while (step == VMKI_STEP_PART)
        step = plan_continue(plan);
    plan_finish(plan);
    if (result != NULL)
        *result = plan->result;
    return plan->result.error;
}

/* With mm.lock exclusive there is one call at a time, which uses the address space's own plan: it is large. */
int vmki_call_locked(struct vmk_mm *mm, const struct vmki_verb *verb, const void *request, struct vmk_result *result)
{
    return plan_run(mm->call, mm, verb, request, result);
}

/* A verb that only reads has no parts. */
static VMKI_NOINLINE int call_shared(struct vmk_mm *mm, const struct vmki_verb *verb, const void *request,
                                     struct vmk_result *result)
{
    struct vmki_plan plan;
    enum vmki_step step = plan_begin(&plan, mm, verb, request);

    VMKI_CHECK(step == VMKI_STEP_DONE);
    if (result != NULL)
        *result = plan.result;
    return plan.result.error;
}

bool vmki_call_if(struct vmk_mm *mm, const struct vmki_verb *verb, const void *request, struct vmk_result *result,
                  bool (*fits)(struct vmk_mm *mm, const struct vmki_area_edit *edit), int *error)
{
    struct vmki_plan *plan = mm->call;
    enum vmki_step step = plan_begin(plan, mm, verb, request);
    bool good = step == VMKI_STEP_DONE || (plan->has_area && plan->fail_after == 0 && fits(mm, &plan->area));

    if (!good)
        part_abort(plan, 0);
    else if (step == VMKI_STEP_PART)
        VMKI_CHECK(plan_continue(plan) == VMKI_STEP_DONE);
    plan_finish(plan);
    if (good && result != NULL)
        *result = plan->result;
    *error = good ? plan->result.error : 0;
    return good;
}

struct vmki_area_edit *vmki_mm_edit(struct vmk_mm *mm)
{
    return &mm->call->area;
}

int vmki_call(struct vmk_mm *mm, const struct vmki_verb *verb, const void *request, struct vmk_result *result)
{
    int error;

    plan_lock(mm, verb);
    error = verb->shared_lock ? call_shared(mm, verb, request, result) : vmki_call_locked(mm, verb, request, result);
    plan_unlock(mm, verb);
    return error;
}

int vmki_plan_open(struct vmk_mm *mm, const struct vmki_verb *verb, const void *request, struct vmk_plan *storage)
{
    struct vmki_plan *plan = (struct vmki_plan *)(void *)storage;
    enum vmki_step step;

    plan_lock(mm, verb);
    step = plan_begin(plan, mm, verb, request);
    plan->is_open = step == VMKI_STEP_PART;
    if (step == VMKI_STEP_PART)
        return 0;
    plan_finish(plan);
    plan_unlock(mm, verb);
    return plan->result.error;
}

bool vmk_plan_part(const struct vmk_plan *storage, int *error)
{
    const struct vmki_plan *plan = (const struct vmki_plan *)(const void *)storage;

    if (error != NULL)
        *error = plan->is_open ? plan->fail_after : 0;
    return plan->is_open;
}

bool vmk_plan_next_edit(struct vmk_plan *storage, struct vmk_edit *edit)
{
    struct vmki_plan *plan = (struct vmki_plan *)(void *)storage;

    if (!plan->is_open || plan->next_edit == plan->nr_edits)
        return false;
    *edit = plan->edits[plan->next_edit++];
    return true;
}

static void plan_close(struct vmki_plan *plan, struct vmk_result *result)
{
    if (plan->is_open) {
        plan_finish(plan);
        plan_unlock(plan->mm, plan->verb);
    }
    plan->is_open = false;
    if (result != NULL)
        *result = plan->result;
}

int vmk_plan_commit(struct vmk_plan *storage, struct vmk_result *result)
{
    struct vmki_plan *plan = (struct vmki_plan *)(void *)storage;

    if (plan->is_open && plan_continue(plan) == VMKI_STEP_PART)
        return VMK_PLAN_MORE;
    plan_close(plan, result);
    return VMK_PLAN_DONE;
}

void vmk_plan_abort(struct vmk_plan *storage, int error, struct vmk_result *result)
{
    struct vmki_plan *plan = (struct vmki_plan *)(void *)storage;

    if (plan->is_open)
        part_abort(plan, error);
    plan_close(plan, result);
}
