/* SPDX-License-Identifier: MIT */
/*
 * mremap.c - mremap(2): shrink, grow in place, move, duplicate.
 *
 * A move that names its destination (FIXED) goes in parts, as Linux applies them; an error leaves those before it:
 *
 *      1  what lies at the destination goes
 *      2  the tail of the source goes, when the new length is smaller
 *      3  the source's pages move; the source goes, or stays empty (DONTUNMAP)
 *
 * and, over several areas (6.17), the same again for each area. Other moves have the third part alone.
 */
#include "base/atomic.h"
#include "base/breaks.h"
#include "mm/overlay.h"
#include "mm/plan.h"
#include "mm/reserve.h"

/* Where a call stands: plan->phase says what the next step does. */
enum {
    MREMAP_FIRST,  /* looks at the area at the old address */
    MREMAP_TAIL,   /* the destination is clear */
    MREMAP_MOVE,   /* the tail is gone */
    MREMAP_MOVED,  /* one area has been moved */
    MREMAP_GROWN,  /* grew in place */
    MREMAP_SHRUNK, /* shrank in place */
};

/* plan->number: the piece of the call that is being treated begins at plan->cursor. */
enum { MREMAP_OLD_LEN, MREMAP_NEW_LEN, MREMAP_DEST, MREMAP_CHARGED };

/* Map counts that Linux wants free: before a destination is cleared, and for the move itself. */
enum { MREMAP_SPARE_TO = 6, MREMAP_SPARE_MOVE = 4 };

enum { MREMAP_UFFD_FOLLOWS = 2 }; /* in ext->uffd_features */

static bool mremap_has_spare(const struct vmk_mm *mm, uint64_t spare)
{
    uint64_t limit = vmki_max_map_count(mm);

    return limit == UINT64_MAX || mm->tree.nr_entries + spare <= limit;
}

static bool mremap_names_place(const struct vmk_mremap_request *request)
{
    return (request->flags & (VMK_MREMAP_FIXED | VMK_MREMAP_DONTUNMAP)) != 0;
}

static bool mremap_keeps_source(const struct vmki_plan *plan)
{
    return (plan->request.mremap.flags & VMK_MREMAP_DONTUNMAP) != 0;
}

/* The checks of FIXED and DONTUNMAP, whose new address is checked even where it is only a hint. */
static int mremap_check_place(const struct vmk_mm *mm, const struct vmk_mremap_request *request)
{
    if ((request->flags & VMK_MREMAP_MAYMOVE) == 0)
        return -VMK_EINVAL;
    if ((request->flags & VMK_MREMAP_DONTUNMAP) != 0 && request->old_len != request->new_len)
        return -VMK_EINVAL;
    if (!vmki_page_aligned(mm, request->new_address) || request->new_address > mm->task_size_max - request->new_len)
        return -VMK_EINVAL;
    if (request->old_address + request->old_len > request->new_address &&
        request->new_address + request->new_len > request->old_address)
        return -VMK_EINVAL;
    return mremap_has_spare(mm, MREMAP_SPARE_TO) ? 0 : -VMK_ENOMEM;
}

static int mremap_start(struct vmki_plan *plan)
{
    const struct vmk_mm *mm = plan->mm;
    struct vmk_mremap_request *request = &plan->request.mremap;

    if ((request->flags & ~(uint64_t)(VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED | VMK_MREMAP_DONTUNMAP)) != 0 ||
        !vmki_page_aligned(mm, request->old_address))
        return -VMK_EINVAL;
    request->old_len = vmki_page_align(mm, request->old_len);
    request->new_len = vmki_page_align(mm, request->new_len);
    if (request->new_len == 0 || request->new_len > mm->task_size_max)
        return -VMK_EINVAL;
    plan->start = plan->cursor = request->old_address;
    plan->end = request->old_address + request->old_len;
    return mremap_names_place(request) ? mremap_check_place(mm, request) : 0;
}

static enum vmki_step mremap_end(struct vmki_plan *plan, int error, vmk_addr value)
{
    if (error == 0)
        plan->cursor = plan->end;
    return vmki_plan_end(plan, error, error == 0 ? value : 0);
}

/* ---- Checks of an area ---- */

/*
 * May a move over several areas take this one along? Not with a userfaultfd context, and not when its file places its
 * mappings itself; of those that Linux knows without a driver /dev/zero and System V shared memory do.
 */
static bool mremap_several_allowed(const struct vmk_vma *vma)
{
    if (VMKI_BROKEN(move_several))
        return true;
    if ((vma->flags & VMK_VM_UFFD) != 0)
        return false;
    return vma->file == NULL || (vma->file->object->kind != VMK_OBJECT_ZERO && (vma->file->mode & VMK_FILE_SHM) == 0);
}

/* Growth of the area, in place or by a move. */
static int mremap_check_growth(const struct vmk_mm *mm, const struct vmk_vma *vma, uint64_t bytes)
{
    if ((vma->flags & (VMK_VM_DONTEXPAND | VMK_VM_PFNMAP)) != 0)
        return -VMK_EFAULT;
    if (!vmki_lock_allowed(mm, vma->flags, bytes))
        return -VMK_EAGAIN;
    return vmki_may_expand(mm, vma->flags, vmki_pages(mm, bytes), 0) ? 0 : -VMK_ENOMEM;
}

/* Huge pages: lengths are rounded up to them, addresses (both, even one that is not used) aligned, and nothing may grow. */
static int mremap_check_hugetlb(struct vmki_plan *plan, const struct vmk_vma *vma)
{
    struct vmk_mremap_request *request = &plan->request.mremap;
    uint64_t size = UINT64_C(1) << vma->file->object->huge_shift;

    request->old_len = vmki_align_up(request->old_len, size);
    request->new_len = vmki_align_up(request->new_len, size);
    plan->end = plan->start + request->old_len;
    if (!vmki_is_aligned(request->old_address, size) || request->new_len > request->old_len ||
        !vmki_is_aligned(request->new_address, size))
        return -VMK_EINVAL;
    return 0;
}

/* The same for an area that follows in a move of several: its own place and length, before anything of it is done. */
static int mremap_check_next_hugetlb(struct vmki_plan *plan, const struct vmk_vma *vma)
{
    uint64_t size;

    if ((vma->flags & (VMK_VM_HUGETLB | VMK_VM_SEALED)) != VMK_VM_HUGETLB)
        return 0;
    size = UINT64_C(1) << vma->file->object->huge_shift;
    plan->number[MREMAP_OLD_LEN] = vmki_align_up(plan->number[MREMAP_OLD_LEN], size);
    return vmki_is_aligned(plan->cursor, size) && vmki_is_aligned(plan->number[MREMAP_DEST], size) ? 0 : -VMK_EINVAL;
}

/* Does the call reach over the end of its first area in the one way that may be: a move of several to a fixed place? */
static bool mremap_is_several(const struct vmki_plan *plan, const struct vmk_vma *first)
{
    const struct vmk_mremap_request *request = &plan->request.mremap;

    return (request->flags & VMK_MREMAP_FIXED) != 0 && request->old_len == request->new_len &&
           request->old_len > first->end - request->old_address && plan->mm->settings->mremap_several != 0;
}

/* What is checked of each area of a call, the first and those that follow. */
static int mremap_check_area(const struct vmki_plan *plan, const struct vmk_vma *vma, bool is_several)
{
    if (is_several && !mremap_several_allowed(vma))
        return -VMK_EFAULT;
    if ((vma->flags & VMK_VM_SEALED) != 0)
        return -VMK_EPERM;
    if (!mremap_keeps_source(plan))
        return 0;
    if ((vma->flags & (VMK_VM_DONTEXPAND | VMK_VM_PFNMAP)) != 0)
        return -VMK_EINVAL;
    /* Before 5.13 only private anonymous memory could be left behind. */
    return plan->mm->settings->dontunmap_shared != 0 || vmki_vma_is_anonymous(vma) ? 0 : -VMK_EINVAL;
}

/* The first area against the lengths of the request. */
static int mremap_check_lengths(const struct vmki_plan *plan, const struct vmk_vma *vma)
{
    const struct vmk_mremap_request *request = &plan->request.mremap;
    uint64_t rest = vma->end - request->old_address;

    if (request->old_len == 0 && (vma->flags & VMK_VM_MAYSHARE) == 0)
        return -VMK_EINVAL;
    if (request->old_len >= request->new_len && !mremap_names_place(request))
        return 0; /* in place, nothing looks beyond the first area */
    if (vmki_min(request->old_len, request->new_len) > rest && !mremap_is_several(plan, vma))
        return -VMK_EFAULT;
    if (request->old_len >= request->new_len)
        return 0;
    return mremap_check_growth(plan->mm, vma, request->new_len - request->old_len);
}

/* ---- Moving ---- */

/* Which properties the area brings to its new place. */
static struct vmki_identity mremap_identity(const struct vmki_plan *plan, struct vmk_vma *vma)
{
    const struct vmk_mm *mm = plan->mm;
    struct vmki_identity identity = vmki_identity_of(vma);

    identity.bias = vmki_vma_pgoff_at(mm, vma, plan->cursor) - vmki_pages(mm, plan->number[MREMAP_DEST]);
    /* No page knows its offset yet: anonymous memory starts afresh (facts: Merging 5). */
    if (vma->anon_vma == NULL && vmki_vma_is_anonymous(vma) && !VMKI_BROKEN(move_pgoff))
        identity.bias = 0;
    if (mm->settings->soft_dirty != 0)
        identity.flags |= VMK_VM_SOFTDIRTY;
    return identity;
}

/*
 * Without the event feature a userfaultfd context does not follow. Linux drops it from the area that covers the
 * destination once that is made: a neighbour with the same context that it has joined loses it as well, even one that is
 * the source itself, and a neighbour without is not joined.
 */
static int mremap_drop_uffd(struct vmki_plan *plan, const struct vmk_vma *source, struct vmk_vma *covering)
{
    struct vmk_mm *mm = plan->mm;
    struct vmki_piece *piece = plan->area.piece;
    struct vmki_ext *ext;

    if (source->ext == NULL || source->ext->uffd == 0 || (source->ext->uffd_features & MREMAP_UFFD_FOLLOWS) != 0)
        return 0;
    ext = vmki_ext_copy(mm, covering->ext, covering->ext->name_size);
    if (ext == NULL)
        return -VMK_ERR_HOST_NOMEM;
    ext->uffd = 0;
    if (vmki_ext_is_empty(ext)) {
        vmki_ext_put(mm, ext);
        ext = NULL;
    }
    while (piece->vma != covering)
        piece++;
    piece->flags &= ~VMK_VM_UFFD;
    piece->ext = ext;
    plan->area.new_flags &= ~VMK_VM_UFFD;
    if (piece->is_new) {
        vmki_ext_put(mm, covering->ext);
        covering->ext = ext;
        covering->flags = piece->flags;
    }
    return 0;
}

/* Linux's checks of a move, after the destination is clear: *address is the destination. */
static int mremap_check_move(struct vmki_plan *plan, struct vmk_vma *vma, vmk_addr *address)
{
    const struct vmk_mremap_request *request = &plan->request.mremap;
    struct vmk_mm *mm = plan->mm;
    vmk_addr source_end = plan->cursor + plan->number[MREMAP_OLD_LEN];
    const struct vmki_place place = {
        .hint = mremap_names_place(request) ? plan->number[MREMAP_DEST] : 0,
        .len = plan->number[MREMAP_NEW_LEN],
        .flags = (request->flags & VMK_MREMAP_FIXED) != 0 ? VMK_MAP_FIXED : 0,
        .file = vma->file,
        .shared = (vma->flags & VMK_VM_MAYSHARE) != 0,
        .pgoff = vma->file != NULL ? vmki_vma_pgoff_at(mm, vma, plan->cursor) : 0,
    };
    int error;

    if (mremap_keeps_source(plan) && !vmki_may_expand(mm, vma->flags, vmki_pages(mm, plan->number[MREMAP_OLD_LEN]), 0))
        return -VMK_ENOMEM;
    error = vmki_place(mm, &place, address);
    if (error != 0)
        return error;
    if (!mremap_has_spare(mm, MREMAP_SPARE_MOVE))
        return -VMK_ENOMEM;
    if (mremap_keeps_source(plan) || plan->number[MREMAP_OLD_LEN] == 0)
        return 0;
    if (plan->cursor > vma->start)
        error = vmki_vma_may_split(vma, plan->cursor);
    if (error == 0 && source_end < vma->end)
        error = vmki_vma_may_split(vma, source_end);
    return error;
}

/* Pages to charge: what is new, or all of it when the source stays. */
static uint64_t mremap_charge_pages(const struct vmki_plan *plan, const struct vmk_vma *vma)
{
    uint64_t len = plan->number[MREMAP_NEW_LEN];

    if ((vma->flags & VMK_VM_ACCOUNT) == 0)
        return 0;
    if (!mremap_keeps_source(plan))
        len -= plan->number[MREMAP_OLD_LEN];
    return vmki_pages(plan->mm, len);
}

/* The new area when the destination is one of its own, NULL when it has become a part of a neighbour. */
static struct vmk_vma *mremap_new_area(const struct vmki_area_edit *edit, const struct vmk_vma *covering)
{
    for (unsigned i = 0; i < edit->nr_pieces; i++)
        if (edit->piece[i].vma == covering && edit->piece[i].is_new)
            return edit->piece[i].vma;
    return NULL;
}

/* Edits for the embedder: the pages that move, and the memory that is new behind them. */
static void mremap_describe_move(struct vmki_plan *plan, const struct vmk_vma *vma, vmk_vm_flags flags)
{
    const struct vmk_mm *mm = plan->mm;
    vmk_addr dest = plan->number[MREMAP_DEST];
    vmk_addr moved_end = dest + plan->number[MREMAP_OLD_LEN];
    vmk_addr end = dest + plan->number[MREMAP_NEW_LEN];
    struct vmk_edit *edit;

    if (moved_end > dest) {
        edit = vmki_plan_add_edit(plan, VMK_EDIT_MOVE, dest, moved_end);
        edit->from = plan->cursor;
        edit->keep_source = mremap_keeps_source(plan);
        edit->flags = flags & VMKI_VM_PUBLIC;
        edit->prot = vmki_flags_to_prot(flags);
    }
    if (end > moved_end) {
        edit = vmki_plan_add_edit(plan, VMK_EDIT_MAP, moved_end, end);
        edit->flags = flags & VMKI_VM_PUBLIC;
        edit->prot = vmki_flags_to_prot(flags);
        edit->file = vma->file;
        edit->offset = vma->file == NULL
                           ? 0
                           : vmki_vma_pgoff_at(mm, vma, plan->cursor + plan->number[MREMAP_OLD_LEN]) << mm->page_shift;
    }
}

/* The move took the pages away: the source's memory goes. Its splits have been agreed to; memory is reserved. */
static void mremap_drop_source(struct vmki_plan *plan, vmk_vm_flags flags)
{
    struct vmk_mm *mm = plan->mm;
    vmk_addr start = plan->cursor, end = plan->cursor + plan->number[MREMAP_OLD_LEN];
    struct vmki_area_edit *edit = &plan->area; /* its own edit is committed: the room is free */
    const struct vmk_vma *source = vmki_find(mm, start);
    uint64_t pooled = vmki_pooled_pages(source->flags, vmki_vma_nr_pages(source));

    /* A driver that changes its mind about a split leaves the source where it is, as in Linux. */
    if (vmki_edit_unmap(mm, start, end, edit) != 0) {
        if ((flags & VMK_VM_ACCOUNT) != 0)
            (void)vmki_charge(mm, vmki_pages(mm, end - start));
        return;
    }
    edit->unmap_end = edit->unmap_start; /* one notice tells of the move */
    if ((flags & VMK_VM_ACCOUNT) != 0)
        edit->charged = 0 - vmki_pages(mm, end - start); /* the charge has moved along */
    /* So has the claim on the pool. Linux forgets that of the parts which stay: the pool never gets it back. */
    edit->pooled = 0 - pooled;
    for (unsigned i = 0; i < edit->nr_pieces; i++)
        edit->piece[i].flags &= ~VMKI_VM_POOLED;
    vmki_edit_commit(mm, edit);
}

/*
 * DONTUNMAP: the source stays, without pages. Linux takes the lock off the whole area that covers it, though not off the
 * counter of locked memory; a whole area loses its anon_vma.
 */
static void mremap_keep_source(struct vmki_plan *plan)
{
    struct vmk_mm *mm = plan->mm;
    struct vmk_vma *vma = vmki_find(mm, plan->cursor);
    bool is_whole = vma->start == plan->cursor && vma->end == plan->cursor + plan->number[MREMAP_OLD_LEN];
    struct vmki_anon_vma *dropped = is_whole ? vma->anon_vma : NULL;
    struct vmki_area_edit *edit = &plan->area; /* free again, as above */
    struct vmki_piece *piece = &edit->piece[0];

    *edit = (struct vmki_area_edit){.from = vma->start, .until = vma->end, .nr_pieces = 1};
    *piece = (struct vmki_piece){
        .vma = vma, .start = vma->start, .end = vma->end, .flags = vma->flags & ~VMK_VM_LOCKED_MASK, .ext = vma->ext};
    if (VMKI_BROKEN(move_keeps_lock)) {
        piece->flags = vma->flags;
    } else if ((vma->flags & VMK_VM_LOCKED) != 0) {
        mm->locked_vm += vmki_vma_nr_pages(vma);
        mm->locked_leak += vmki_vma_nr_pages(vma);
    }
    if (is_whole)
        piece->flags &= ~(VMKI_VM_FORKED | VMKI_VM_ANON_UNKNOWN);
    if (is_whole && mm->settings->dontunmap_resets_pgoff != 0 && vma->bias != 0 && vmki_vma_is_anonymous(vma)) {
        /* Another area in its place: pgoff is constant while an area is in the tree. */
        piece->vma = vmki_mm_take_vma(mm, vma->file != NULL);
        piece->is_new = true;
        vmki_vma_copy_properties(piece->vma, vma, vma->start, vma->end);
        vmki_store_relaxed(&piece->vma->bias, 0);
        vmki_anon_vma_put(mm, piece->vma->anon_vma);
        vmki_store_relaxed(&piece->vma->anon_vma, NULL);
        dropped = NULL;
    }
    if (piece->is_new || piece->flags != vma->flags)
        vmki_edit_commit(mm, edit);
    if (dropped != NULL) {
        vmki_store_release(&vma->anon_vma, (struct vmki_anon_vma *)NULL);
        vmki_anon_vma_put(mm, dropped);
    }
}

static void mremap_notice(struct vmki_plan *plan, vmk_vm_flags new_flags)
{
    struct vmk_mm *mm = plan->mm;
    vmk_addr dest = plan->number[MREMAP_DEST];
    const struct vmk_change change = {.kind = VMK_CHANGE_MOVE,
                                      .start = dest,
                                      .end = dest + plan->number[MREMAP_OLD_LEN],
                                      .old_flags = plan->flags & VMKI_VM_PUBLIC,
                                      .new_flags = new_flags & VMKI_VM_PUBLIC,
                                      .from = plan->cursor};

    if (mm->overlay != NULL)
        vmki_overlay_unmapped(mm, plan->cursor, plan->cursor + plan->number[MREMAP_OLD_LEN]);
    if (mm->notice != NULL)
        mm->notice(mm->notice_context, mm, &change);
}

/* plan->pointer[0] is the new area, if it is one; plan->flags are the source's. */
static void mremap_commit_move(struct vmki_plan *plan)
{
    struct vmk_mm *mm = plan->mm;
    struct vmk_vma *new_vma = plan->pointer[0];
    uint64_t peak = mm->peak_vm, old_len = plan->number[MREMAP_OLD_LEN];
    vmk_vm_flags new_flags = plan->area.new_flags;
    const struct vmk_vm_ops *ops;

    /* Both edits together need what was charged: the commit is not to give the moved part back. */
    if ((plan->flags & VMK_VM_ACCOUNT) != 0)
        plan->area.charged = vmki_pages(mm, plan->number[MREMAP_NEW_LEN]);
    plan->area.pooled = vmki_pooled_pages(plan->flags, vmki_pages(mm, plan->number[MREMAP_NEW_LEN]));
    plan->area.new_start += old_len;
    vmki_edit_commit(mm, &plan->area);
    ops = new_vma != NULL ? vmki_vma_ops(new_vma) : NULL;
    if (ops != NULL && ops->open != NULL)
        ops->open(new_vma);
    if (old_len == 0)
        return;
    if (mremap_keeps_source(plan))
        mremap_keep_source(plan);
    else
        mremap_drop_source(plan, plan->flags);
    mm->peak_vm = vmki_max(peak, mm->total_vm); /* the moment with both does not count */
    mremap_notice(plan, new_flags);
}

static void mremap_abort_move(struct vmki_plan *plan)
{
    plan->area.charged = plan->number[MREMAP_CHARGED];
    vmki_edit_abort(plan->mm, &plan->area);
}

/* The edit that puts the area at its destination, with the charge; the driver may refuse. */
static int mremap_prepare_move(struct vmki_plan *plan, struct vmk_vma *vma)
{
    struct vmk_mm *mm = plan->mm;
    struct vmki_new_area area = {.start = plan->number[MREMAP_DEST],
                                 .end = plan->number[MREMAP_DEST] + plan->number[MREMAP_NEW_LEN],
                                 .may_merge = true};
    const struct vmk_vm_ops *ops = vmki_vma_ops(vma);
    struct vmk_vma *covering = NULL;
    int error;

    area.identity = mremap_identity(plan, vma);
    plan->number[MREMAP_CHARGED] = mremap_charge_pages(plan, vma);
    error = vmki_charge(mm, plan->number[MREMAP_CHARGED]);
    if (error != 0)
        return error;
    error = vmki_edit_map(mm, &area, &plan->area, &covering);
    if (error != 0) {
        vmki_uncharge(mm, plan->number[MREMAP_CHARGED]);
        return error;
    }
    plan->pointer[0] = mremap_new_area(&plan->area, covering);
    plan->flags = vma->flags;
    error = mremap_drop_uffd(plan, vma, covering);
    if (error == 0 && ops != NULL && ops->mremap != NULL)
        error = ops->mremap(covering);
    if (error != 0) {
        mremap_abort_move(plan);
        return error;
    }
    mremap_describe_move(plan, vma, plan->area.new_flags);
    return 0;
}

/*
 * A fixed move that shrinks is charged for its old length, although the tail is gone by then: it fails when that is more
 * than the machine has.
 */
static int mremap_check_charge(const struct vmki_plan *plan, const struct vmk_vma *vma)
{
    const struct vmk_mremap_request *request = &plan->request.mremap;
    uint64_t pages = vmki_pages(plan->mm, request->old_len);
    int error;

    if (request->old_len <= request->new_len || (vma->flags & VMK_VM_ACCOUNT) == 0)
        return 0;
    error = vmki_charge(plan->mm, pages);
    if (error == 0)
        vmki_uncharge(plan->mm, pages);
    return error;
}

/* The source may have gone with the destination when its length was given as 0. */
static enum vmki_step mremap_move(struct vmki_plan *plan)
{
    struct vmk_mm *mm = plan->mm;
    struct vmk_vma *vma = vmki_find(mm, plan->cursor);
    int error;

    error = vma == NULL ? -VMK_EFAULT : mremap_check_charge(plan, vma);
    if (error != 0)
        return mremap_end(plan, error, 0);
    /* One area for each of the two edits; allocated before the place is chosen, as an allocator may map memory. */
    if (!vmki_mm_reserve_vmas(mm, vma->file == NULL ? 2 : 0, vma->file != NULL ? 2 : 0) ||
        !vmki_tree_reserve(&mm->tree, 2))
        return mremap_end(plan, -VMK_ERR_HOST_NOMEM, 0);
    error = mremap_check_move(plan, vma, &plan->number[MREMAP_DEST]);
    if (error == 0)
        error = mremap_prepare_move(plan, vma);
    if (error != 0)
        return mremap_end(plan, error, 0);
    plan->commit = mremap_commit_move;
    plan->abort = mremap_abort_move;
    plan->phase = MREMAP_MOVED;
    return VMKI_STEP_PART;
}

/* Cuts the source to its new length once the destination is clear. */
static enum vmki_step mremap_tail(struct vmki_plan *plan)
{
    const struct vmk_mm *mm = plan->mm;
    uint64_t old_len = plan->number[MREMAP_OLD_LEN], new_len = plan->number[MREMAP_NEW_LEN];
    vmk_addr tail = plan->cursor + new_len;
    int prepared;

    if (old_len <= new_len)
        return mremap_move(plan);
    if (vmki_find(plan->mm, plan->cursor) == NULL) /* an old length that wraps let the destination be the source */
        return mremap_end(plan, -VMK_EFAULT, 0);
    if (!vmki_range_fits(mm, tail, old_len - new_len))
        return mremap_end(plan, -VMK_EINVAL, 0);
    prepared = vmki_plan_unmap(plan, tail, tail + (old_len - new_len));
    if (prepared < 0)
        return mremap_end(plan, prepared, 0);
    plan->number[MREMAP_OLD_LEN] = new_len;
    if (prepared == 0)
        return mremap_move(plan);
    plan->phase = MREMAP_MOVE;
    return VMKI_STEP_PART;
}

/* Clears the destination of the piece in plan->number, when it is a fixed one. */
static enum vmki_step mremap_clear(struct vmki_plan *plan)
{
    vmk_addr dest = plan->number[MREMAP_DEST];
    int prepared = 0;

    if ((plan->request.mremap.flags & VMK_MREMAP_FIXED) != 0)
        prepared = vmki_plan_unmap(plan, dest, dest + plan->number[MREMAP_NEW_LEN]);
    if (prepared < 0)
        return mremap_end(plan, prepared, 0);
    if (prepared == 0)
        return mremap_tail(plan);
    plan->phase = MREMAP_TAIL;
    return VMKI_STEP_PART;
}

/* New memory of a locked area is populated; what fails then is nobody's business. */
static void mremap_populate(struct vmki_plan *plan, vmk_addr start, vmk_addr end)
{
    const struct vmk_vma *vma = start < end ? vmki_find(plan->mm, start) : NULL;

    if (vma != NULL && (vma->flags & VMK_VM_LOCKED) != 0)
        vmki_populate(plan->mm, start, end);
}

/* One area has been moved: on to the next one of the range, if any. The holes stay holes. */
static enum vmki_step mremap_moved(struct vmki_plan *plan)
{
    const struct vmk_mremap_request *request = &plan->request.mremap;
    vmk_addr dest = plan->number[MREMAP_DEST];
    const struct vmk_vma *vma;
    int error;

    mremap_populate(plan, dest + plan->number[MREMAP_OLD_LEN], dest + plan->number[MREMAP_NEW_LEN]);
    if ((request->flags & VMK_MREMAP_FIXED) == 0)
        return mremap_end(plan, 0, dest);
    plan->cursor += plan->number[MREMAP_OLD_LEN];
    vma = plan->cursor < plan->end && request->old_len == request->new_len ? vmki_find_next(plan->mm, plan->cursor)
                                                                           : NULL;
    if (vma == NULL || vma->start >= plan->end)
        return mremap_end(plan, 0, request->new_address);
    plan->cursor = vmki_max(plan->cursor, vma->start);
    plan->number[MREMAP_DEST] = request->new_address + (plan->cursor - plan->start);
    plan->number[MREMAP_OLD_LEN] = vmki_min(vma->end, plan->end) - plan->cursor;
    error = mremap_check_next_hugetlb(plan, vma);
    if (error == 0)
        error = mremap_check_area(plan, vma, true);
    if (error != 0)
        return mremap_end(plan, error, 0);
    plan->number[MREMAP_NEW_LEN] = plan->number[MREMAP_OLD_LEN];
    return mremap_clear(plan);
}

/* ---- In place ---- */

static enum vmki_step mremap_shrink(struct vmki_plan *plan)
{
    const struct vmk_mremap_request *request = &plan->request.mremap;
    const struct vmk_mm *mm = plan->mm;
    vmk_addr tail = request->old_address + request->new_len;
    uint64_t len = request->old_len - request->new_len;
    int prepared = -VMK_EINVAL;

    if (vmki_range_fits(mm, tail, len))
        prepared = vmki_plan_unmap(plan, tail, tail + len);
    if (prepared <= 0)
        return mremap_end(plan, prepared, request->old_address);
    plan->phase = MREMAP_SHRUNK;
    return VMKI_STEP_PART;
}

/* Is there room for `bytes` more right behind the area, of which the request reaches the end? */
static bool mremap_has_room(struct vmki_plan *plan, const struct vmk_vma *vma, uint64_t bytes)
{
    struct vmk_mm *mm = plan->mm;
    const struct vmk_vma *next;

    if (vma->end != plan->end || bytes > mm->task_size_max - vma->end)
        return false;
    if (vmki_reserved_touches(mm, vma->end, vma->end + bytes))
        return false;
    next = vmki_find_next(mm, vma->end);
    return next == NULL || next->start >= vma->end + bytes;
}

/* Grows the area by `bytes`; the new part merges with the area above where it can. */
static enum vmki_step mremap_extend(struct vmki_plan *plan, struct vmk_vma *vma, uint64_t bytes)
{
    struct vmk_mm *mm = plan->mm;
    struct vmki_new_area area = {
        .start = vma->end, .end = vma->end + bytes, .identity = vmki_identity_of(vma), .may_merge = true};
    uint64_t pages = (vma->flags & VMK_VM_ACCOUNT) != 0 ? vmki_pages(mm, bytes) : 0;
    struct vmk_vma *covering = NULL;
    struct vmk_edit *edit;
    int error = vmki_edit_reserve(mm, 1, vma->file != NULL);

    area.identity.flags &= ~VMKI_VM_FORKED; /* Linux forgets it here: an inherited anon_vma joins one without above */
    if (error == 0)
        error = vmki_charge(mm, pages);
    if (error != 0)
        return mremap_end(plan, error, 0);
    error = vmki_edit_map(mm, &area, &plan->area, &covering);
    if (error != 0) {
        vmki_uncharge(mm, pages);
        return mremap_end(plan, error, 0);
    }
    plan->area.charged = pages;
    if (covering != vma) { /* an area that merges with nothing, not even itself */
        vmki_edit_abort(mm, &plan->area);
        return mremap_end(plan, -VMK_ENOMEM, 0);
    }
    plan->has_area = true;
    plan->phase = MREMAP_GROWN;
    edit = vmki_plan_add_edit(plan, VMK_EDIT_MAP, area.start, area.end);
    edit->flags = vma->flags & VMKI_VM_PUBLIC;
    edit->prot = vmki_flags_to_prot(vma->flags);
    edit->file = vma->file;
    edit->offset = vma->file == NULL ? 0 : vmki_vma_pgoff_at(mm, vma, area.start) << mm->page_shift;
    return VMKI_STEP_PART;
}

/* ---- The way of a call ---- */

static enum vmki_step mremap_first(struct vmki_plan *plan)
{
    const struct vmk_mremap_request *request = &plan->request.mremap;
    struct vmk_vma *vma = vmki_find(plan->mm, request->old_address);
    int error = vma == NULL ? -VMK_EFAULT : 0;
    bool is_several;

    if (error == 0 && (vma->flags & (VMK_VM_HUGETLB | VMK_VM_SEALED)) == VMK_VM_HUGETLB)
        error = mremap_check_hugetlb(plan, vma);
    if (error != 0)
        return mremap_end(plan, error, 0);
    is_several = mremap_is_several(plan, vma);
    error = mremap_check_area(plan, vma, is_several);
    if (error == 0)
        error = mremap_check_lengths(plan, vma);
    if (error != 0)
        return mremap_end(plan, error, 0);
    if (!mremap_names_place(request)) {
        if (request->new_len == request->old_len)
            return mremap_end(plan, 0, request->old_address);
        if (request->new_len < request->old_len)
            return mremap_shrink(plan);
        if (mremap_has_room(plan, vma, request->new_len - request->old_len))
            return mremap_extend(plan, vma, request->new_len - request->old_len);
        if ((request->flags & VMK_MREMAP_MAYMOVE) == 0)
            return mremap_end(plan, -VMK_ENOMEM, 0);
    }
    plan->number[MREMAP_OLD_LEN] = is_several ? vma->end - request->old_address : request->old_len;
    plan->number[MREMAP_NEW_LEN] = is_several ? vma->end - request->old_address : request->new_len;
    plan->number[MREMAP_DEST] = request->new_address;
    return mremap_clear(plan);
}

static enum vmki_step mremap_step(struct vmki_plan *plan)
{
    const struct vmk_mremap_request *request = &plan->request.mremap;

    switch (plan->phase) {
    case MREMAP_FIRST:
        return mremap_first(plan);
    case MREMAP_TAIL:
        return mremap_tail(plan);
    case MREMAP_MOVE:
        return mremap_move(plan);
    case MREMAP_MOVED:
        return mremap_moved(plan);
    case MREMAP_GROWN:
        mremap_populate(plan, plan->end, request->old_address + request->new_len);
        break;
    default:
        break;
    }
    return mremap_end(plan, 0, request->old_address);
}

static const struct vmki_verb mremap_verb = {
    .start = mremap_start,
    .step = mremap_step,
    .request_size = sizeof(struct vmk_mremap_request),
    .counter = VMK_EVENT_mremap,
    .has_counter = true,
};

VMKI_DEFINE_VERB(mremap, mremap_verb)
