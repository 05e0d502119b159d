/* SPDX-License-Identifier: MIT */
/*
 * pkey.c - pkey_alloc(2) and pkey_free(2). From the manual only, but for a processor without keys: there the first
 * allocation takes the one key there is, fails with EINVAL since it has no rights, and later ones find no key.
 */
#include "mm/range.h"

enum { PKEY_RIGHTS = 3 }; /* PKEY_DISABLE_ACCESS | PKEY_DISABLE_WRITE */

/* The lowest key that is free; key 0 is everybody's from the start. */
static int pkey_find_free(const struct vmk_mm *mm)
{
    for (int key = 0; key < (int)mm->settings->nr_pkeys; key++)
        if ((mm->pkeys_allocated >> key & 1) == 0)
            return key;
    return -VMK_ENOSPC;
}

/* The key that PROT_EXEC alone took for itself is not the caller's to free. */
static bool pkey_may_free(const struct vmk_mm *mm, int key)
{
    return key >= 0 && (uint64_t)key < mm->settings->nr_pkeys && key != mm->pkey_exec_only &&
           (mm->pkeys_allocated >> key & 1) != 0;
}

static int pkey_alloc_without_keys(struct vmk_mm *mm)
{
    bool taken = (mm->pkeys_allocated & 2) != 0; /* bit 0 is set from the start */

    mm->pkeys_allocated |= 2;
    return taken ? -VMK_ENOSPC : -VMK_EINVAL;
}

static int pkey_start(struct vmki_plan *plan)
{
    const struct vmk_pkey_request *request = &plan->request.pkey;
    int key = request->pkey;

    if (request->free) {
        if (!pkey_may_free(plan->mm, key))
            return -VMK_EINVAL;
    } else {
        if (request->flags != 0 || (request->rights & ~(uint64_t)PKEY_RIGHTS) != 0)
            return -VMK_EINVAL;
        if (plan->mm->settings->nr_pkeys == 0)
            return pkey_alloc_without_keys(plan->mm);
        key = pkey_find_free(plan->mm);
        if (key < 0)
            return key;
    }
    plan->number[0] = (uint64_t)key;
    return 0;
}

static void pkey_commit(struct vmki_plan *plan)
{
    uint32_t bit = UINT32_C(1) << plan->number[0];

    if (plan->request.pkey.free)
        plan->mm->pkeys_allocated &= ~bit;
    else
        plan->mm->pkeys_allocated |= bit;
}

static enum vmki_step pkey_step(struct vmki_plan *plan)
{
    if (plan->phase++ != 0)
        return vmki_plan_end(plan, 0, plan->request.pkey.free ? 0 : plan->number[0]);
    plan->commit = pkey_commit;
    return VMKI_STEP_PART;
}

static const struct vmki_verb pkey_verb = {
    .start = pkey_start,
    .step = pkey_step,
    .request_size = sizeof(struct vmk_pkey_request),
};

VMKI_DEFINE_VERB(pkey, pkey_verb)
