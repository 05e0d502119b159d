/* SPDX-License-Identifier: MIT */
/*
 * policy.c - mbind(2) and set_mempolicy(2), as far as areas go: a policy is a part of what decides a merge.
 *
 * Two policies are equal when mode, flags and nodes are: for STATIC and RELATIVE nodes those that the caller named, else those
 * of them that exist. A preferred policy without nodes is the local one.
 */
#include "base/breaks.h"
#include "mm/range.h"

#define POLICY_FLAGS      (VMK_MPOL_F_NUMA_BALANCING | VMK_MPOL_F_RELATIVE_NODES | VMK_MPOL_F_STATIC_NODES)
#define POLICY_USER_NODES (VMK_MPOL_F_RELATIVE_NODES | VMK_MPOL_F_STATIC_NODES)

/* Mode and flags alone: what is asked before anything else. */
static int policy_check_mode(const struct vmk_mm *mm, uint32_t mode)
{
    uint32_t flags = mode & POLICY_FLAGS;
    uint32_t kind = mode & ~POLICY_FLAGS;
    bool weighted = mm->settings->linux_version >= VMK_LINUX_VERSION(6, 9);

    if (kind > (weighted ? VMK_MPOL_WEIGHTED_INTERLEAVE : VMK_MPOL_PREFERRED_MANY))
        return -VMK_EINVAL;
    if ((flags & POLICY_USER_NODES) == POLICY_USER_NODES)
        return -VMK_EINVAL;
    if ((flags & VMK_MPOL_F_NUMA_BALANCING) != 0 && kind != VMK_MPOL_BIND && kind != VMK_MPOL_PREFERRED_MANY)
        return -VMK_EINVAL;
    return 0;
}

/* The last bit of a mask is not looked at; max_node 0 stands for no mask (a NULL pointer). */
static int policy_take_nodes(const struct vmk_mm *mm, uint64_t max_node, uint64_t *nodes)
{
    if (max_node <= 1) {
        *nodes = 0;
        return 0;
    }
    if (max_node - 1 > mm->page_size * 8)
        return -VMK_EINVAL;
    if (max_node - 1 < 64)
        *nodes &= (UINT64_C(1) << (max_node - 1)) - 1;
    return 0;
}

/* Brings a checked mode and its nodes into the form that is compared. 0 or -VMK_EINVAL. */
static int policy_make(const struct vmk_mm *mm, uint32_t mode, uint64_t nodes, struct vmki_policy *policy)
{
    uint64_t nr_nodes = mm->settings->nr_nodes;
    uint64_t existing = nr_nodes >= 64 ? UINT64_MAX : (UINT64_C(1) << nr_nodes) - 1;
    uint32_t flags = mode & POLICY_FLAGS;
    uint32_t kind = mode & ~POLICY_FLAGS;

    *policy = (struct vmki_policy){.mode = VMK_MPOL_DEFAULT};
    if (kind == VMK_MPOL_DEFAULT)
        return nodes != 0 ? -VMK_EINVAL : 0;
    if (nodes == 0) {
        if ((kind != VMK_MPOL_PREFERRED && kind != VMK_MPOL_LOCAL) || (flags & POLICY_USER_NODES) != 0)
            return -VMK_EINVAL;
        policy->mode = VMK_MPOL_LOCAL;
        return 0;
    }
    if (kind == VMK_MPOL_LOCAL || ((flags & VMK_MPOL_F_RELATIVE_NODES) == 0 && (nodes & existing) == 0))
        return -VMK_EINVAL;
    if ((flags & POLICY_USER_NODES) == 0) {
        nodes &= existing;
        if (kind == VMK_MPOL_PREFERRED)
            nodes &= 0 - nodes; /* one node only: the first */
    }
    policy->mode = mode;
    policy->nodes = nodes;
    return 0;
}

/* ---- mbind ---- */

/* Where there is nothing at all, or, but for the default policy, a hole, nothing is done: EFAULT. */
static int mbind_check_range(struct vmki_plan *plan, bool is_default)
{
    const struct vmk_vma *vma = vmki_find_next(plan->mm, plan->start);

    if (vma == NULL || vma->start >= plan->end)
        return -VMK_EFAULT;
    return is_default || VMKI_BROKEN(policy_hole) || vmki_range_is_covered(plan->mm, plan->start, plan->end)
               ? 0
               : -VMK_EFAULT;
}

static int mbind_start(struct vmki_plan *plan)
{
    struct vmk_mbind_request *request = &plan->request.mbind;
    struct vmk_mm *mm = plan->mm;
    struct vmki_policy policy;
    vmk_addr start = vmki_untag(mm, request->address);
    int error;

    if (mm->settings->nr_nodes == 0)
        return -VMK_ENOSYS;
    error = policy_check_mode(mm, request->mode);
    if (error == 0)
        error = policy_take_nodes(mm, request->max_node, &request->nodes);
    if (error != 0)
        return error;
    if ((request->flags & ~(VMK_MPOL_MF_STRICT | VMK_MPOL_MF_MOVE | VMK_MPOL_MF_MOVE_ALL)) != 0)
        return -VMK_EINVAL;
    if ((request->flags & VMK_MPOL_MF_MOVE_ALL) != 0 && !vmki_capable(mm, VMK_CAP_SYS_NICE))
        return -VMK_EPERM;
    plan->end = start + vmki_page_align(mm, request->len);
    if (!vmki_page_aligned(mm, start) || plan->end < start)
        return -VMK_EINVAL;
    plan->start = start;
    plan->cursor = start;
    if (plan->end == start)
        return 0;
    error = policy_make(mm, request->mode, request->nodes, &policy);
    if (error == 0)
        error = mbind_check_range(plan, policy.mode == VMK_MPOL_DEFAULT);
    request->mode = policy.mode;
    request->nodes = policy.nodes;
    return error;
}

/* The operations of an area are told its policy as one number, 0 for none, before the area changes. */
static int mbind_tell(struct vmk_vma *vma, const struct vmki_policy *policy)
{
    const struct vmk_vm_ops *ops = vmki_vma_ops(vma);

    if (ops == NULL || ops->set_policy == NULL)
        return 0;
    return ops->set_policy(vma, vmki_policy_identity(policy));
}

static enum vmki_step mbind_area(struct vmki_plan *plan, struct vmk_vma *vma, const struct vmki_policy *policy)
{
    struct vmki_ext *ext;
    int error = mbind_tell(vma, policy);

    if (error != 0)
        return vmki_plan_end(plan, error, 0);
    ext = vmki_vma_copy_ext(vma);
    if (ext == NULL)
        return vmki_plan_end(plan, -VMK_ERR_HOST_NOMEM, 0);
    ext->policy = *policy;
    return vmki_plan_modify(plan, vma, vma->flags, vmki_ext_or_null(plan->mm, ext), plan->end);
}

static enum vmki_step mbind_step(struct vmki_plan *plan)
{
    const struct vmki_ext wanted = {.policy = {.mode = plan->request.mbind.mode, .nodes = plan->request.mbind.nodes}};

    while (plan->cursor < plan->end) {
        struct vmk_vma *vma = vmki_find_next(plan->mm, plan->cursor);

        if (vma == NULL || vma->start >= plan->end)
            break;
        plan->cursor = vmki_max(plan->cursor, vma->start);
        if (!vmki_ext_same_policy(vma->ext, &wanted))
            return mbind_area(plan, vma, &wanted.policy);
        plan->cursor = vmki_min(vma->end, plan->end);
    }
    return vmki_plan_end(plan, 0, 0);
}

/* ---- set_mempolicy: the task's own policy is the embedder's; no area has it ---- */

static int set_mempolicy_start(struct vmki_plan *plan)
{
    struct vmk_set_mempolicy_request *request = &plan->request.set_mempolicy;
    struct vmki_policy policy;
    int error;

    if (plan->mm->settings->nr_nodes == 0)
        return -VMK_ENOSYS;
    error = policy_check_mode(plan->mm, request->mode);
    if (error == 0)
        error = policy_take_nodes(plan->mm, request->max_node, &request->nodes);
    return error != 0 ? error : policy_make(plan->mm, request->mode, request->nodes, &policy);
}

static const struct vmki_verb mbind_verb = {
    .start = mbind_start,
    .step = mbind_step,
    .request_size = sizeof(struct vmk_mbind_request),
};
static const struct vmki_verb set_mempolicy_verb = {
    .start = set_mempolicy_start,
    .request_size = sizeof(struct vmk_set_mempolicy_request),
};

VMKI_DEFINE_VERB(mbind, mbind_verb)
VMKI_DEFINE_VERB(set_mempolicy, set_mempolicy_verb)
