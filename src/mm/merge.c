/* SPDX-License-Identifier: MIT */
/*
 * merge.c - when two neighbours may be one area: the full identity that Linux compares (facts: Merging 1 to 6).
 */
#include "base/breaks.h"
#include "mm/edit.h"

struct vmki_identity vmki_identity_of(const struct vmk_vma *vma)
{
    return (struct vmki_identity){
        .flags = vma->flags, .file = vma->file, .bias = vma->bias, .anon_vma = vma->anon_vma, .ext = vma->ext};
}

static vmk_vm_flags flags_ignored(void)
{
    if (VMKI_BROKEN(merge_flags))
        return VMKI_VM_MERGE_IGNORED | VMK_VM_LOCKED;
    return VMKI_BROKEN(merge_guard) ? VMKI_VM_MERGE_IGNORED & ~VMK_VM_GUARD_REGION : VMKI_VM_MERGE_IGNORED;
}

/*
 * Both none, both the same, or one none and the other not from a fork. What an import does not know is taken as none, and
 * counted when the other side has one.
 */
static bool anon_vmas_agree(struct vmk_mm *mm, const struct vmki_identity *a, const struct vmki_identity *b)
{
    if (((a->flags | b->flags) & VMKI_VM_ANON_UNKNOWN) != 0 && a->anon_vma != b->anon_vma)
        mm->unknown_merges++;
    if (a->anon_vma == b->anon_vma || VMKI_BROKEN(merge_anon_vma))
        return true;
    if (VMKI_BROKEN(fork_identity) && (a->anon_vma == NULL || b->anon_vma == NULL))
        return true;
    if (a->anon_vma == NULL)
        return (b->flags & VMKI_VM_FORKED) == 0;
    if (b->anon_vma == NULL)
        return (a->flags & VMKI_VM_FORKED) == 0;
    return false;
}

/* Test builds: which difference of the two is passed over. */
static bool exts_may_differ(const struct vmki_ext *a, const struct vmki_ext *b)
{
    if (VMKI_BROKEN(merge_policy))
        return !vmki_ext_same_policy(a, b);
    return VMKI_BROKEN(merge_uffd) && a != NULL && b != NULL && a->uffd != b->uffd;
}

bool vmki_can_merge(struct vmk_mm *mm, const struct vmki_identity *a, const struct vmki_identity *b)
{
    if (((a->flags | b->flags) & VMK_VM_SPECIAL) != 0 && !VMKI_BROKEN(merge_special)) {
        mm->counters.refuse_special++;
        return false;
    }
    if (((a->flags ^ b->flags) & ~flags_ignored()) != 0) {
        mm->counters.refuse_flags++;
        return false;
    }
    if (a->file != b->file && !VMKI_BROKEN(merge_file)) {
        mm->counters.refuse_file++;
        return false;
    }
    if (a->bias != b->bias && !VMKI_BROKEN(merge_pgoff)) {
        mm->counters.refuse_pgoff++;
        return false;
    }
    if (a->ext != b->ext && !vmki_ext_same_identity(a->ext, b->ext) && !exts_may_differ(a->ext, b->ext)) {
        if (!vmki_ext_same_policy(a->ext, b->ext))
            mm->counters.refuse_policy++;
        else if (!vmki_ext_same_name(a->ext, b->ext))
            mm->counters.refuse_name++;
        else
            mm->counters.refuse_uffd++;
        return false;
    }
    if (!anon_vmas_agree(mm, a, b)) {
        mm->counters.refuse_anon_vma++;
        return false;
    }
    return true;
}

bool vmki_may_absorb(const struct vmk_vma *stays, const struct vmk_vma *goes)
{
    const struct vmk_vm_ops *ops = vmki_vma_ops(goes);

    if (ops == NULL)
        return true;
    if (ops->close != NULL && !VMKI_BROKEN(merge_close)) {
        goes->mm->counters.refuse_close++;
        return false;
    }
    return ops->merge == NULL || ops->merge(stays, goes);
}
