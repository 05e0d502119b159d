/* SPDX-License-Identifier: MIT */
/* name.c - prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME): names of anonymous memory. From the manual only. */
#include "mm/range.h"

/* Printable ASCII, but for what the format of maps and a shell would stumble over. 0: not a name. */
static uint32_t name_check(const char *text)
{
    uint32_t size;

    for (size = 0; text[size] != '\0'; size++) {
        char c = text[size];

        if (size + 1 >= VMK_VMA_NAME_MAX || c < ' ' || c > '~' || c == '[' || c == ']' || c == '\\' || c == '$' ||
            c == '`')
            return 0;
    }
    return size + 1;
}

/* number[0]: bytes of the name with its zero; 0 removes names. The text is the caller's while the plan is open. */
static int name_start(struct vmki_plan *plan)
{
    const struct vmk_name_request *request = &plan->request.name;

    if (plan->mm->settings->anon_vma_name == 0)
        return -VMK_EINVAL;
    if (request->text != NULL) {
        plan->number[0] = name_check(request->text);
        if (plan->number[0] == 0)
            return -VMK_EINVAL;
    }
    return vmki_plan_range(plan, request->address, request->len);
}

static bool name_is_set(const struct vmki_plan *plan, const struct vmk_vma *vma)
{
    uint32_t size = (uint32_t)plan->number[0];
    uint32_t has = vma->ext != NULL ? vma->ext->name_size : 0;

    return has == size && (size == 0 || memcmp(vma->ext->name, plan->request.name.text, size) == 0);
}

/* Shared anonymous memory can have one too; a file cannot. */
static bool name_is_possible(const struct vmk_vma *vma)
{
    return vma->file == NULL || (vma->file->object->is_internal && vmki_vma_is_kind(vma, VMK_OBJECT_SHMEM));
}

static enum vmki_step name_area(struct vmki_plan *plan, struct vmk_vma *vma)
{
    uint32_t size = (uint32_t)plan->number[0];
    struct vmki_ext *ext = vmki_ext_copy(plan->mm, vma->ext, size);
    enum vmki_step step;

    if (ext == NULL)
        return vmki_plan_end(plan, -VMK_ERR_HOST_NOMEM, 0);
    if (size != 0)
        memcpy(ext->name, plan->request.name.text, size);
    step = vmki_plan_modify(plan, vma, vma->flags, vmki_ext_or_null(plan->mm, ext), plan->end);
    if (step == VMKI_STEP_DONE && plan->result.error == -VMK_ENOMEM)
        plan->result.error = -VMK_EAGAIN;
    if (step == VMKI_STEP_PART && plan->fail_after == -VMK_ENOMEM)
        plan->fail_after = -VMK_EAGAIN;
    return step;
}

/* As madvise: a hole is ENOMEM at the end, an area that cannot have a name ends the call. */
static enum vmki_step name_step(struct vmki_plan *plan)
{
    while (plan->cursor < plan->end) {
        struct vmk_vma *vma = vmki_find_next(plan->mm, plan->cursor);

        if (vma == NULL || vma->start >= plan->end)
            return vmki_plan_end(plan, -VMK_ENOMEM, 0);
        if (vma->start > plan->cursor) {
            plan->pending_error = -VMK_ENOMEM;
            plan->cursor = vma->start;
        }
        if (!name_is_possible(vma))
            return vmki_plan_end(plan, -VMK_EBADF, 0);
        if (!name_is_set(plan, vma))
            return name_area(plan, vma);
        plan->cursor = vmki_min(vma->end, plan->end);
    }
    return vmki_plan_end(plan, plan->pending_error, 0);
}

static const struct vmki_verb name_verb = {
    .start = name_start,
    .step = name_step,
    .request_size = sizeof(struct vmk_name_request),
};

VMKI_DEFINE_VERB(name, name_verb)
