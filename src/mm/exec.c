/* SPDX-License-Identifier: MIT */
/*
 * exec.c - exec(2): what a new program finds in its address space.
 *
 * The stack is as exec leaves it: it was a temporary one at the very top of the address space, into which the strings were
 * copied, so that it has an anon_vma; then it was moved down to its place, which leaves its page offsets what they were,
 * and grown by 128 KiB. Each segment is a part of its own, and so is each special mapping.
 */
#include "mm/special.h"

enum { EXEC_STACK, EXEC_SEGMENTS, EXEC_CLEAR_TAIL, EXEC_SPECIALS, EXEC_MARKS };

/* plan->number; plan->flags holds the old default flags, plan->end the new start of the stack. */
enum { EXEC_INDEX, EXEC_BLOCK, EXEC_NEXT_SPECIAL, EXEC_SEED };

#define EXEC_STACK_GROWTH UINT64_C(131072)

/* Segments that touch nothing that is mapped before them; `i` is one of them. */
static int exec_check_segment(const struct vmki_plan *plan, size_t i)
{
    const struct vmk_exec_segment *segment = &plan->request.exec.segments[i];
    struct vmk_mm *mm = plan->mm;
    const struct vmk_vma *next;

    if (segment->len == 0 || !vmki_page_aligned(mm, segment->address | segment->len | segment->offset) ||
        !vmki_range_fits(mm, segment->address, segment->len))
        return -VMK_ERR_MISUSE;
    next = vmki_find_next(mm, segment->address);
    return next != NULL && next->start < segment->address + segment->len ? -VMK_ERR_MISUSE : 0;
}

static int exec_start(struct vmki_plan *plan)
{
    const struct vmk_exec_request *request = &plan->request.exec;
    struct vmk_mm *mm = plan->mm;

    if (mm->tree.nr_entries != 0 || request->stack_bytes > mm->task_size / 2 ||
        request->stack_top > mm->task_size_max || (request->segments == NULL && request->nr_segments != 0) ||
        (request->specials == NULL && request->nr_specials != 0))
        return -VMK_ERR_MISUSE;
    plan->flags = mm->def_flags;
    plan->number[EXEC_SEED] = mm->seed;
    mm->def_flags = 0; /* mlockall(MCL_FUTURE) and PR_SET_MEMORY_MERGE end with the old program */
    return 0;
}

static bool exec_randomizes(const struct vmk_mm *mm)
{
    return (mm->personality & VMK_ADDR_NO_RANDOMIZE) == 0;
}

/* Limits, charge and the edit of one area, whose memory is reserved. 0 or negative; plan->area and an edit are prepared. */
static int exec_prepare_area(struct vmki_plan *plan, struct vmki_new_area *area)
{
    struct vmk_mm *mm = plan->mm;
    uint64_t pages = vmki_pages(mm, area->end - area->start), charged = 0;
    struct vmk_vma *vma;
    struct vmk_edit *edit;
    int error = vmki_may_expand(mm, area->identity.flags, pages, 0) ? 0 : -VMK_ENOMEM;

    if (error == 0 && mm->tree.nr_entries > vmki_max_map_count(mm))
        error = -VMK_ENOMEM;
    if (error == 0 && vmki_is_accountable(area->identity.flags)) {
        area->identity.flags |= VMK_VM_ACCOUNT;
        error = vmki_charge(mm, pages);
        charged = error == 0 ? pages : 0;
    }
    if (error == 0)
        error = vmki_edit_map(mm, area, &plan->area, &vma);
    if (error != 0) {
        vmki_uncharge(mm, charged);
        return error;
    }
    plan->area.charged = charged;
    plan->has_area = true;
    edit = vmki_plan_add_edit(plan, VMK_EDIT_MAP, area->start, area->end);
    edit->flags = area->identity.flags & VMKI_VM_PUBLIC;
    edit->prot = vmki_flags_to_prot(area->identity.flags);
    edit->file = area->identity.file;
    edit->offset = area->identity.file != NULL ? (area->identity.bias << mm->page_shift) + area->start : 0;
    return 0;
}

/* ---- The stack ---- */

static vmk_addr exec_stack_top(struct vmk_mm *mm, const struct vmk_exec_request *request)
{
    uint64_t pages = mm->settings->stack_rnd_pages;
    vmk_addr top = request->stack_top != 0 ? request->stack_top : mm->task_size;

    if (request->stack_top == 0 && exec_randomizes(mm) && pages != 0)
        top -= (vmki_mm_random(mm) % (pages + 1)) << mm->page_shift;
    return vmki_align_down(top, mm->page_size);
}

/* Its size: the strings and 128 KiB, cut to RLIMIT_STACK, though never into the strings. */
static uint64_t exec_stack_len(const struct vmk_mm *mm, const struct vmk_exec_request *request)
{
    uint64_t strings = vmki_max(vmki_page_align(mm, request->stack_bytes), mm->page_size);
    uint64_t limit = vmki_align_down(mm->rlimits.stack.soft, mm->page_size);
    uint64_t len = strings + vmki_page_align(mm, EXEC_STACK_GROWTH);

    if (mm->settings->enforce_limits != 0 && len > limit)
        len = vmki_max(strings, limit);
    return len;
}

static void exec_stack_commit(struct vmki_plan *plan)
{
    plan->mm->layout.start_stack = plan->end;
}

/* Nothing is mapped yet: the old program goes on. */
static void exec_undo(struct vmki_plan *plan)
{
    plan->mm->def_flags = plan->flags;
    plan->mm->seed = plan->number[EXEC_SEED];
}

static enum vmki_step exec_stack_end(struct vmki_plan *plan, int error)
{
    exec_undo(plan);
    return vmki_plan_end(plan, error, 0);
}

static enum vmki_step exec_stack(struct vmki_plan *plan)
{
    const struct vmk_exec_request *request = &plan->request.exec;
    struct vmk_mm *mm = plan->mm;
    vmk_addr top = exec_stack_top(mm, request);
    struct vmki_new_area area = {.start = top - exec_stack_len(mm, request), .end = top};
    struct vmki_anon_vma *anon_vma;
    int error = vmki_edit_reserve(mm, 1, false);

    if (error != 0)
        return exec_stack_end(plan, error);
    anon_vma = vmki_anon_vma_new(mm);
    if (anon_vma == NULL)
        return exec_stack_end(plan, -VMK_ERR_HOST_NOMEM);
    area.identity.flags = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS | VMK_VM_GROWSDOWN;
    if (request->executable_stack || (mm->personality & VMK_READ_IMPLIES_EXEC) != 0)
        area.identity.flags |= VMK_VM_EXEC;
    area.identity.flags |= vmki_default_flags(mm, NULL, area.identity.flags);
    area.identity.anon_vma = anon_vma;
    area.identity.bias = vmki_pages(mm, vmki_page_align(mm, mm->task_size) - top);
    error = exec_prepare_area(plan, &area);
    vmki_anon_vma_put(mm, anon_vma); /* the area has its own reference */
    if (error != 0)
        return exec_stack_end(plan, error);
    plan->end = vmki_align_down(top - request->stack_bytes, 16);
    plan->commit = exec_stack_commit;
    plan->abort = exec_undo;
    plan->phase = EXEC_SEGMENTS;
    return VMKI_STEP_PART;
}

/* ---- Segments ---- */

static vmk_vm_flags exec_segment_flags(const struct vmk_mm *mm, const struct vmk_exec_segment *segment)
{
    const struct vmk_file *file = segment->file;
    bool no_exec = file != NULL && (file->mode & VMK_FILE_NOEXEC) != 0;
    uint64_t prot = segment->prot;
    vmk_vm_flags flags = VMK_VM_MAY_ACCESS;

    if ((prot & VMK_PROT_READ) != 0 && (mm->personality & VMK_READ_IMPLIES_EXEC) != 0 && !no_exec)
        prot |= VMK_PROT_EXEC;
    if (no_exec)
        flags &= ~VMK_VM_MAYEXEC;
    flags |= vmki_prot_to_flags(mm, prot, 0);
    return flags | vmki_default_flags(mm, file, flags);
}

static enum vmki_step exec_segment(struct vmki_plan *plan, size_t i)
{
    const struct vmk_exec_segment *segment = &plan->request.exec.segments[i];
    struct vmk_mm *mm = plan->mm;
    struct vmki_new_area area = {.start = segment->address, .end = segment->address + segment->len, .may_merge = true};
    int error = exec_check_segment(plan, i);

    if (error == 0)
        error = vmki_edit_reserve(mm, 1, segment->file != NULL);
    if (error != 0)
        return vmki_plan_end(plan, error, 0);
    area.identity.flags = exec_segment_flags(mm, segment);
    area.identity.file = segment->file;
    if (segment->file != NULL)
        area.identity.bias = vmki_pages(mm, segment->offset) - vmki_pages(mm, area.start);
    error = exec_prepare_area(plan, &area);
    if (error != 0)
        return vmki_plan_end(plan, error, 0);
    plan->phase = EXEC_CLEAR_TAIL;
    return VMKI_STEP_PART;
}

/* The kernel clears the rest of the last page: a write, of which memory that is not writable is spared. */
static int exec_clear_tail(struct vmki_plan *plan)
{
    const struct vmk_exec_segment *segment = &plan->request.exec.segments[plan->number[EXEC_INDEX]];
    struct vmk_vma *vma;

    if (!segment->bss_tail || (segment->prot & VMK_PROT_WRITE) == 0)
        return 0;
    vma = vmki_find(plan->mm, segment->address + segment->len - 1);
    return vma != NULL ? vmki_anon_vma_prepare(vma) : 0;
}

/* ---- Specials ---- */

/* Room for all specials without an address, together. 0 or negative. */
static int exec_place_block(struct vmki_plan *plan)
{
    const struct vmk_exec_request *request = &plan->request.exec;
    struct vmk_mm *mm = plan->mm;
    struct vmki_place place = {.len = 0};

    for (size_t i = 0; i < request->nr_specials; i++) {
        if (vmki_page_align(mm, request->specials[i].len) == 0)
            return -VMK_ERR_MISUSE;
        if (request->specials[i].address == 0)
            place.len += vmki_page_align(mm, request->specials[i].len);
    }
    return place.len == 0 ? 0 : vmki_place(mm, &place, &plan->number[EXEC_BLOCK]);
}

static enum vmki_step exec_special(struct vmki_plan *plan, size_t i)
{
    const struct vmk_map_special_request *special = &plan->request.exec.specials[i];
    struct vmk_mm *mm = plan->mm;
    struct vmki_place place = {.hint = special->address, .len = vmki_page_align(mm, special->len)};
    vmk_addr address = plan->number[EXEC_BLOCK];
    int error = 0;

    if (special->address != 0)
        error = vmki_place(mm, &place, &address);
    else
        plan->number[EXEC_BLOCK] += place.len;
    if (error == 0)
        error = vmki_special_prepare(plan, special, address);
    return error == 0 ? VMKI_STEP_PART : vmki_plan_end(plan, error, 0);
}

/* ---- Marks ---- */

/* How many segments, from the first, are the program's own; what follows is its loader. */
static size_t exec_program_segments(const struct vmk_exec_request *request)
{
    size_t i = 0;

    while (i < request->nr_segments &&
           (request->segments[i].file == NULL || request->segments[i].file == request->segments[0].file))
        i++;
    return i;
}

static void exec_set_marks(struct vmki_plan *plan)
{
    const struct vmk_exec_request *request = &plan->request.exec;
    struct vmk_mm *mm = plan->mm;
    struct vmk_mm_layout *layout = &mm->layout;
    size_t nr = exec_program_segments(request);
    vmk_addr end = 0;

    layout->start_code = layout->end_code = layout->start_data = layout->end_data = 0;
    for (size_t i = 0; i < nr; i++) {
        const struct vmk_exec_segment *segment = &request->segments[i];

        end = vmki_max(end, segment->address + segment->len);
        if (segment->file == NULL)
            continue;
        if ((segment->prot & VMK_PROT_EXEC) != 0) {
            if (layout->start_code == 0)
                layout->start_code = segment->address;
            layout->end_code = segment->address + segment->len;
        }
        layout->start_data = segment->address;
        layout->end_data = segment->address + segment->len;
    }
    layout->start_brk = request->start_brk != 0 ? request->start_brk : end;
    if (request->randomize_brk && exec_randomizes(mm) && mm->settings->brk_rnd_bytes >= mm->page_size)
        layout->start_brk = vmki_page_align(mm, layout->start_brk) +
                            vmki_align_down(vmki_mm_random(mm) % mm->settings->brk_rnd_bytes, mm->page_size);
    layout->brk = layout->start_brk;
}

static enum vmki_step exec_step(struct vmki_plan *plan)
{
    const struct vmk_exec_request *request = &plan->request.exec;
    int error;

    switch (plan->phase) {
    case EXEC_STACK:
        return exec_stack(plan);
    case EXEC_CLEAR_TAIL:
        error = exec_clear_tail(plan);
        if (error != 0)
            return vmki_plan_end(plan, error, 0);
        plan->number[EXEC_INDEX]++;
        plan->phase = EXEC_SEGMENTS;
        break;
    default:
        break;
    }
    if (plan->phase == EXEC_SEGMENTS) {
        if (plan->number[EXEC_INDEX] < request->nr_segments)
            return exec_segment(plan, plan->number[EXEC_INDEX]);
        error = exec_place_block(plan);
        if (error != 0)
            return vmki_plan_end(plan, error, 0);
        plan->phase = EXEC_SPECIALS;
    }
    if (plan->number[EXEC_NEXT_SPECIAL] < request->nr_specials)
        return exec_special(plan, plan->number[EXEC_NEXT_SPECIAL]++);
    exec_set_marks(plan);
    return vmki_plan_end(plan, 0, plan->mm->layout.start_stack);
}

static const struct vmki_verb exec_verb = {
    .start = exec_start,
    .step = exec_step,
    .request_size = sizeof(struct vmk_exec_request),
};

VMKI_DEFINE_VERB(exec, exec_verb)
