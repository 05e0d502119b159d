/* SPDX-License-Identifier: MIT */
/*
 * commit.c - publishing an area edit: counters, the tree, the reverse map, hooks and notices. Nothing here can fail.
 *
 * The order: areas that go leave the counters, pieces get their bounds, the tree's splice shows it to readers; only then
 * are the gone ones unlinked, closed and retired.
 */
#include "base/atomic.h"
#include "mm/edit.h"
#include "mm/overlay.h"

/* ---- The reverse map ---- */

static uint64_t object_offset(const struct vmk_vma *vma, vmk_addr address)
{
    return vmki_vma_pgoff_at(vma->mm, vma, address) << vma->mm->page_shift;
}

static void rmap_describe(const struct vmki_rmap_link *link, uint64_t start, uint64_t end, struct vmk_mapping *mapping)
{
    const struct vmki_file_vma *area =
        (const struct vmki_file_vma *)(const void *)((const char *)link - offsetof(struct vmki_file_vma, rmap));
    const struct vmk_vma *vma = &area->vma;

    *mapping = (struct vmk_mapping){.mm = vma->mm,
                                    .start = vma->start + (start - link->start),
                                    .end = vma->start + (end - link->start),
                                    .offset = start,
                                    .flags = vmki_load_relaxed(&vma->flags) & VMKI_VM_PUBLIC};
}

static const struct vmki_rmap_ops area_rmap_ops = {.describe = rmap_describe};

void vmki_vma_link_object(struct vmk_vma *vma)
{
    struct vmki_file_vma *area = vmki_file_vma_of(vma);

    if (vma->file == NULL)
        return;
    area->rmap.start = object_offset(vma, vma->start);
    area->rmap.end = area->rmap.start + (vma->end - vma->start);
    area->rmap.ops = &area_rmap_ops;
    vmki_rmap_insert(vma->file->object, &area->rmap);
}

void vmki_vma_unlink_object(struct vmk_vma *vma)
{
    if (vma->file != NULL)
        vmki_rmap_remove(vma->file->object, &vmki_file_vma_of(vma)->rmap);
}

/* New bounds, under object.rmap for an area of a file, since mappings of an object are listed from there. */
static void set_bounds(struct vmk_vma *vma, vmk_addr start, vmk_addr end)
{
    struct vmk_sync_mutex *lock = vma->file != NULL ? &vma->mm->system->rmap_lock : NULL;

    if (lock != NULL)
        vmk_sync_mutex_lock(lock);
    vma->start = start;
    vma->end = end;
    if (lock != NULL) {
        struct vmki_rmap_link *link = &vmki_file_vma_of(vma)->rmap;

        link->start = object_offset(vma, start);
        link->end = link->start + (end - start);
        vmk_sync_mutex_unlock(lock);
    }
}

/* ---- Detaching ---- */

static bool is_piece(const struct vmki_area_edit *edit, const struct vmk_vma *vma)
{
    for (unsigned i = 0; i < edit->nr_pieces; i++)
        if (edit->piece[i].vma == vma)
            return true;
    return false;
}

static void detach_one(struct vmk_mm *mm, struct vmki_area_edit *edit, struct vmk_vma *vma, struct vmk_vma ***tail)
{
    if (!edit->is_change) {
        vmki_count_area(mm, vma->flags, vmki_vma_nr_pages(vma), -1);
        edit->pooled += vmki_pooled_pages(vma->flags, vmki_vma_nr_pages(vma));
    }
    if (is_piece(edit, vma))
        return;
    **tail = vma;
    *tail = &vma->link;
}

/* Takes the old run out of the counters, and lists, in order, the areas that are no piece. */
static VMKI_NOINLINE struct vmk_vma *detach_run(struct vmk_mm *mm, struct vmki_area_edit *edit)
{
    const struct vmki_finger *finger = vmki_seek(mm, edit->from);
    struct vmki_cursor cursor;
    struct vmki_tree_entry entry;
    struct vmk_vma *gone = NULL, **tail = &gone;

    if (finger->entry.item == NULL || finger->entry.start >= edit->until)
        return NULL;
    detach_one(mm, edit, finger->entry.item, &tail);
    if (finger->entry.end < edit->until) {
        cursor = finger->at;
        while (vmki_cursor_advance(&cursor) && vmki_cursor_entry(&cursor, &entry) && entry.start < edit->until)
            detach_one(mm, edit, entry.item, &tail);
    }
    *tail = NULL;
    return gone;
}

void vmki_end_areas(struct vmk_mm *mm, struct vmk_vma *gone)
{
    for (struct vmk_vma *vma = gone, *next; vma != NULL; vma = next) {
        const struct vmk_vm_ops *ops = vmki_vma_ops(vma);

        next = vma->link;
        vmki_vma_unlink_object(vma);
        if (ops != NULL && ops->close != NULL)
            ops->close(vma);
        vmki_mm_retire_vma(mm, vma);
    }
}

/* ---- Attaching ---- */

static void piece_apply(struct vmk_mm *mm, const struct vmki_piece *piece, struct vmki_tree_entry *entry)
{
    struct vmk_vma *vma = piece->vma;
    struct vmki_ext *old_ext = vma->ext;

    if (piece->is_new) {
        vma->start = piece->start;
        vma->end = piece->end;
        vma->flags = piece->flags;
        vmki_vma_link_object(vma);
    } else {
        if (piece->start != vma->start || piece->end != vma->end)
            set_bounds(vma, piece->start, piece->end);
        vmki_store_relaxed(&vma->flags, piece->flags);
        if (piece->ext != old_ext) {
            vmki_store_release(&vma->ext, piece->ext);
            vmki_ext_put(mm, old_ext);
        }
    }
    *entry = (struct vmki_tree_entry){
        .start = piece->start, .end = piece->end, .flags = piece->flags | vmki_vma_bare(vma), .item = vma};
}

static void adopt_anon_vma(struct vmki_area_edit *edit)
{
    struct vmki_piece *piece = &edit->piece[edit->adopter];

    vmki_anon_vma_get(edit->adopt);
    vmki_store_release(&piece->vma->anon_vma, edit->adopt);
    piece->flags |= edit->adopt_flags;
}

/* The halves that were split off begin: after they are in the tree, while the area that they came from is whole again. */
static void open_new_halves(struct vmk_mm *mm, const struct vmki_area_edit *edit)
{
    for (unsigned i = 0; i < edit->nr_pieces; i++) {
        const struct vmki_piece *piece = &edit->piece[i];
        const struct vmk_vm_ops *ops;

        if (piece->split_from == NULL)
            continue;
        VMKI_COUNT(mm, split, piece->start, piece->end);
        ops = vmki_vma_ops(piece->vma);
        if (ops != NULL && ops->open != NULL)
            ops->open(piece->vma);
        if (ops != NULL && ops->split != NULL)
            ops->split(piece->split_from, piece->vma);
    }
}

static void send_notices(struct vmk_mm *mm, const struct vmki_area_edit *edit)
{
    struct vmk_change change = {.old_flags = edit->old_flags & VMKI_VM_PUBLIC,
                                .new_flags = edit->new_flags & VMKI_VM_PUBLIC};

    if (edit->unmap_start < edit->unmap_end) {
        change.kind = VMK_CHANGE_UNMAP;
        change.start = edit->unmap_start;
        change.end = edit->unmap_end;
        mm->notice(mm->notice_context, mm, &change);
    }
    if (edit->new_start < edit->new_end) {
        change.kind = edit->is_map ? VMK_CHANGE_MAP : VMK_CHANGE_PROTECT;
        change.start = edit->new_start;
        change.end = edit->new_end;
        mm->notice(mm->notice_context, mm, &change);
    }
}

static void update_peaks(struct vmk_mm *mm)
{
    if (mm->total_vm > mm->peak_vm)
        mm->peak_vm = mm->total_vm;
    if (mm->tree.nr_entries > mm->nr_vmas_peak)
        mm->nr_vmas_peak = mm->tree.nr_entries;
}

/* What changes its flags leaves the counters as what it was, and enters them as what it is. */
static void count_change(struct vmk_mm *mm, const struct vmki_area_edit *edit)
{
    uint64_t pages = vmki_pages(mm, edit->new_end - edit->new_start);

    vmki_count_area(mm, edit->old_flags, pages, -1);
    vmki_count_area(mm, edit->new_flags, pages, 1);
}

/* The splice. In a frame of its own: stack that later steps of a commit need not have below them. */
static VMKI_NOINLINE void publish(struct vmk_mm *mm, struct vmki_area_edit *edit)
{
    struct vmki_tree_entry *entries = mm->splice;

    for (unsigned i = 0; i < edit->nr_pieces; i++) {
        const struct vmki_piece *piece = &edit->piece[i];

        piece_apply(mm, piece, &entries[i]);
        if (!edit->is_change) {
            vmki_count_area(mm, piece->flags, vmki_pages(mm, piece->end - piece->start), 1);
            edit->pooled -= vmki_pooled_pages(piece->flags, vmki_pages(mm, piece->end - piece->start));
        }
    }
    vmki_finger_splice(mm, edit->from, edit->until, entries, edit->nr_pieces);
}

void vmki_edit_commit(struct vmk_mm *mm, struct vmki_area_edit *edit)
{
    uint64_t accounted = mm->accounted_vm, needed;
    struct vmk_vma *gone = detach_run(mm, edit);

    if (edit->is_change)
        count_change(mm, edit);
    if (edit->adopt != NULL)
        adopt_anon_vma(edit);
    publish(mm, edit);
    open_new_halves(mm, edit);
    update_peaks(mm);

    /* The charge covers what the edit added to the accounted pages; the rest, and what it took away, goes back. */
    needed = mm->accounted_vm - accounted;
    if (edit->charged != needed)
        vmki_uncharge(mm, edit->charged - needed);
    vmki_pool_uncharge(mm, edit->pooled); /* what was taken and what went, less what came */
    if (mm->overlay != NULL && edit->unmap_start < edit->unmap_end)
        vmki_overlay_unmapped(mm, edit->unmap_start, edit->unmap_end);
    if (mm->notice != NULL)
        send_notices(mm, edit);
    if (gone != NULL)
        vmki_end_areas(mm, gone);
}

void vmki_edit_abort(struct vmk_mm *mm, struct vmki_area_edit *edit)
{
    for (unsigned i = 0; i < edit->nr_pieces; i++) {
        struct vmki_piece *piece = &edit->piece[i];

        if (piece->is_new)
            vmki_mm_return_vma(mm, piece->vma);
        else if (piece->ext != piece->vma->ext)
            vmki_ext_put(mm, piece->ext);
    }
    if (edit->charged != 0)
        vmki_uncharge(mm, edit->charged);
    vmki_pool_uncharge(mm, edit->pooled);
    vmki_edit_clear(edit);
}
