/* SPDX-License-Identifier: MIT */
/*
 * special.c - mappings that the kernel makes for itself: vdso, vvar, uprobes' page, a shadow stack.
 *
 * Those with a name or operations of their own are outside the limits, never locked by MCL_FUTURE, never merged, cannot
 * grow, and are born sealed where the kernel is built so (seal_system). A shadow stack is ordinary private memory that is
 * placed by the kernel: limits and commit charge apply.
 */
#include "mm/special.h"

static bool special_is_named(const struct vmk_map_special_request *request)
{
    return request->special_name != NULL || request->ops != NULL;
}

static vmk_vm_flags special_flags(const struct vmk_mm *mm, const struct vmk_map_special_request *request)
{
    vmk_vm_flags flags = request->flags;

    if (!special_is_named(request)) {
        flags |= vmki_default_flags(mm, NULL, flags);
        return vmki_is_accountable(flags) ? flags | VMK_VM_ACCOUNT : flags;
    }
    flags |= VMK_VM_DONTEXPAND;
    flags |= vmki_default_flags(mm, NULL, flags) & ~(VMK_VM_LOCKED_MASK | VMK_VM_MTE_ALLOWED);
    if (mm->settings->seal_system != 0 && request->special_name != NULL)
        flags |= VMK_VM_SEALED;
    return flags;
}

/* Operations, name and private data of a named one. NULL with *error when memory is short. */
static struct vmki_ext *special_ext(struct vmk_mm *mm, const struct vmk_map_special_request *request, int *error)
{
    struct vmki_ext *ext = NULL;

    *error = 0;
    if (!special_is_named(request) && request->private_data == NULL)
        return NULL;
    ext = vmki_ext_copy(mm, NULL, 0);
    if (ext == NULL) {
        *error = -VMK_ERR_HOST_NOMEM;
        return NULL;
    }
    ext->ops = request->ops;
    ext->private_data = request->private_data;
    ext->special_name = request->special_name;
    return ext;
}

int vmki_special_prepare(struct vmki_plan *plan, const struct vmk_map_special_request *request, vmk_addr address)
{
    struct vmk_mm *mm = plan->mm;
    uint64_t len = vmki_page_align(mm, request->len), charged = 0;
    struct vmki_new_area area = {.start = address, .end = address + len, .may_merge = !special_is_named(request)};
    struct vmk_vma *vma;
    struct vmk_edit *edit;
    int error = vmki_edit_reserve(mm, 1, false);
    struct vmki_ext *ext = error == 0 ? special_ext(mm, request, &error) : NULL;

    if (error != 0)
        return error;
    area.identity = (struct vmki_identity){.flags = special_flags(mm, request), .ext = ext};
    if (special_is_named(request))
        area.identity.bias = 0 - vmki_pages(mm, address); /* offsets count from its start */
    if (!special_is_named(request) && !vmki_may_expand(mm, area.identity.flags, vmki_pages(mm, len), 0))
        error = -VMK_ENOMEM;
    if (error == 0 && (area.identity.flags & VMK_VM_ACCOUNT) != 0) {
        charged = vmki_pages(mm, len);
        error = vmki_charge(mm, charged);
        charged = error == 0 ? charged : 0;
    }
    if (error == 0)
        error = vmki_edit_map(mm, &area, &plan->area, &vma);
    vmki_ext_put(mm, ext);
    if (error != 0) {
        vmki_uncharge(mm, charged);
        return error;
    }
    plan->area.charged = charged;
    plan->has_area = true;
    edit = vmki_plan_add_edit(plan, VMK_EDIT_MAP, area.start, area.end);
    edit->flags = area.identity.flags & VMKI_VM_PUBLIC;
    edit->prot = vmki_flags_to_prot(area.identity.flags);
    return 0;
}

static int map_special_start(struct vmki_plan *plan)
{
    const struct vmk_map_special_request *request = &plan->request.map_special;
    struct vmk_mm *mm = plan->mm;
    const struct vmki_place place = {
        .hint = request->address, .len = vmki_page_align(mm, request->len), .vm_flags = request->flags};

    if (place.len == 0)
        return -VMK_EINVAL;
    if ((request->flags & ~VMKI_VM_PUBLIC) != 0 || request->len > mm->task_size_max)
        return -VMK_ERR_MISUSE;
    return vmki_place(mm, &place, &plan->start);
}

static enum vmki_step map_special_step(struct vmki_plan *plan)
{
    int error;

    plan->cursor = plan->start;
    if (plan->phase++ != 0) {
        plan->cursor = plan->start + vmki_page_align(plan->mm, plan->request.map_special.len);
        return vmki_plan_end(plan, 0, plan->start);
    }
    error = vmki_special_prepare(plan, &plan->request.map_special, plan->start);
    return error == 0 ? VMKI_STEP_PART : vmki_plan_end(plan, error, 0);
}

static const struct vmki_verb map_special_verb = {
    .start = map_special_start,
    .step = map_special_step,
    .request_size = sizeof(struct vmk_map_special_request),
};

VMKI_DEFINE_VERB(map_special, map_special_verb)
