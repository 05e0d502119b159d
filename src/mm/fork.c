/* SPDX-License-Identifier: MIT */
/*
 * fork.c - an address space for a child process, by the rules of fork(2), madvise(2) and mlock(2).
 *
 * Everything that can fail comes first: each area with its entry of the child's tree, in one pass along the parent's leaves,
 * and the charge. Only then do objects, hooks and the embedder hear of the child, so that a failure has nothing to take back
 * from them. The child's anonymous areas are allocated in blocks, which it keeps until it ends.
 */
#include "base/atomic.h"
#include "base/breaks.h"
#include "mm/mm.h"
#include "mm/overlay.h"
#include "vmakit/backend.h"

/* ---- The rules for one area ---- */

static bool fork_leaves_out(const struct vmk_vma *vma)
{
    return (vma->flags & VMK_VM_DONTCOPY) != 0;
}

/* Pages come along, and with them an anon_vma of the child's own (facts: Merging 4); a wiped area begins without. */
static bool fork_needs_anon_vma(const struct vmk_vma *vma)
{
    return vma->anon_vma != NULL && ((vma->flags & VMK_VM_WIPEONFORK) == 0 || VMKI_BROKEN(fork_wipe));
}

/* A userfaultfd follows only when its owner asked for the event. */
static bool fork_drops_uffd(const struct vmk_vma *vma)
{
    return vma->ext != NULL && vma->ext->uffd != 0 && (vma->ext->uffd_features & 1u) == 0;
}

static vmk_vm_flags fork_flags(const struct vmk_vma *vma)
{
    vmk_vm_flags flags = vma->flags & ~(VMK_VM_LOCKED_MASK | VMKI_VM_FORKED | VMKI_VM_POOLED);

    if (VMKI_BROKEN(fork_locked))
        flags |= vma->flags & VMK_VM_LOCKED;
    if (fork_drops_uffd(vma))
        flags &= ~VMK_VM_UFFD;
    if ((flags & VMK_VM_WIPEONFORK) != 0)
        flags &= ~VMKI_VM_ANON_UNKNOWN;
    return fork_needs_anon_vma(vma) ? flags | VMKI_VM_FORKED : flags;
}

/* The ext of the child's area: a reference in *ext, which may be NULL. False: memory is short. */
static bool fork_ext(struct vmk_mm *mm, const struct vmk_vma *vma, struct vmki_ext **ext)
{
    struct vmki_ext *copy;

    *ext = NULL;
    if (!fork_drops_uffd(vma)) {
        *ext = vmki_ext_get(vma->ext);
        return true;
    }
    copy = vmki_ext_copy(mm, vma->ext, vma->ext->name_size);
    if (copy == NULL)
        return false;
    copy->uffd = 0;
    if (vmki_ext_is_empty(copy))
        vmki_ext_put(mm, copy);
    else
        *ext = copy;
    return true;
}

/* Fills the child's area in. False: memory is short; the area may be given back as it is. */
static bool fork_fill(struct vmk_mm *child, const struct vmk_vma *from, struct vmk_vma *to)
{
    to->start = from->start;
    to->end = from->end;
    to->flags = fork_flags(from);
    to->bias = from->bias;
    to->file = from->file;
    if (to->file != NULL)
        vmk_file_get(to->file);
    if (!fork_ext(child, from, &to->ext))
        return false;
    if (!fork_needs_anon_vma(from))
        return true;
    to->anon_vma = vmki_anon_vma_new(child);
    return to->anon_vma != NULL;
}

/* The area is in the child's tree: its object and its driver hear of it. */
static void fork_begin_area(struct vmk_vma *vma)
{
    const struct vmk_vm_ops *ops = vmki_vma_ops(vma);

    vma->link = NULL;
    vmki_vma_link_object(vma);
    if (ops != NULL && ops->open != NULL)
        ops->open(vma);
}

/* ---- The address space ---- */

/* All that is not an area. Notices, write tracking, pins and counters begin anew; the embedder's pointer is copied. */
static void fork_inherit(const struct vmk_mm *parent, struct vmk_mm *child)
{
    child->rlimits = parent->rlimits;
    child->capabilities = parent->capabilities;
    child->personality = parent->personality;
    child->layout = parent->layout;
    child->window_low = parent->window_low;
    child->window_high = parent->window_high;
    child->seed = parent->seed;
    child->def_flags = parent->def_flags & ~VMK_VM_LOCKED_MASK; /* PR_SET_MEMORY_MERGE stays, MCL_FUTURE does not */
    child->mdwe = (parent->mdwe & VMK_MDWE_NO_INHERIT) != 0 ? 0 : parent->mdwe;
    child->thp_disable = parent->thp_disable;
    child->pkeys_allocated = parent->pkeys_allocated;
    child->pkey_exec_only = parent->pkey_exec_only;
    child->user = parent->user;
}

/* ---- All areas ---- */

/*
 * What a fork of the areas has come to. The child's areas are listed by link, all of them for when it fails; those of which
 * somebody is to hear, an object or a driver, in a list of their own.
 */
struct fork_work {
    struct vmk_mm *parent, *child;
    struct vmk_vma *quiet;         /* in no order */
    struct vmk_vma *first, **tail; /* ascending */
    size_t nr;
    uint64_t pages, largest, charged;
    /* Bare areas that followed each other with the same flags and are still to be counted: their pages, and the most of one. */
    vmk_vm_flags run_flags;
    uint64_t run_pages, run_largest;
    bool is_unheard; /* nobody is to hear of each area's charge, or of events */
    int error;
};

/*
 * Charges one area, as Linux does it: overcommit mode 0 looks at each alone. Without an embedder who is to hear of each, they
 * are only summed up, and fork_charge charges them all.
 */
static int fork_charge_one(struct fork_work *work, const struct vmk_vma *vma)
{
    uint64_t pages = (vma->flags & VMK_VM_ACCOUNT) != 0 ? vmki_vma_nr_pages(vma) : 0;

    work->pages += pages;
    work->largest = vmki_max(work->largest, pages);
    if (VMKI_LIKELY(work->parent->system->commit == NULL))
        return 0;
    if (vmki_charge(work->parent, pages) != 0)
        return -VMK_ENOMEM;
    work->charged += pages;
    return 0;
}

static int fork_charge(struct fork_work *work)
{
    struct vmk_mm *mm = work->parent;
    int error = 0;

    if (work->pages != work->charged && mm->settings->enforce_limits != 0)
        error = vmki_commit_charge_many(mm->system, work->pages, work->largest, vmki_capable(mm, VMK_CAP_SYS_ADMIN),
                                        mm->total_vm, mm->page_shift, true);
    if (error == 0)
        work->charged = work->pages;
    return error;
}

static void fork_relax(const struct fork_work *work)
{
    const struct vmk_port *port = &work->parent->system->port;

    if (work->nr % 1024 == 0 && port->relax != NULL)
        port->relax(port->context);
}

/* Anonymous memory that nobody has touched or marked: most of it. */
static bool fork_is_quiet(const struct vmk_vma *vma)
{
    return vma->file == NULL && vma->ext == NULL;
}

static void fork_count_run(struct fork_work *work)
{
    if ((work->run_flags & VMK_VM_ACCOUNT) != 0) {
        work->pages += work->run_pages;
        work->largest = vmki_max(work->largest, work->run_largest);
    }
    vmki_count_area(work->child, work->run_flags, work->run_pages, 1);
    work->run_pages = 0;
    work->run_largest = 0;
}

/*
 * A bare area is copied from its entry: the parent's area is not looked at. The copy lies in a block, which goes with the child,
 * so that it need not be listed for when the fork fails.
 */
static VMKI_INLINE enum vmki_tree_take fork_take_bare(struct fork_work *work, struct vmki_tree_entry *entry)
{
    vmk_vm_flags flags = entry->flags & ~(VMKI_VM_BARE | (VMKI_BROKEN(fork_locked) ? 0 : VMK_VM_LOCKED_MASK));
    vmk_addr start = vmki_load_relaxed(&entry->start),
             end = vmki_load_relaxed(&entry->end); /* by words, as they came */
    uint64_t pages = vmki_pages(work->child, end - start);
    struct vmk_vma *copy = vmki_mm_take_from_block(work->child);

    *copy = (struct vmk_vma){.start = start, .end = end, .flags = flags, .mm = work->child};
    if (VMKI_UNLIKELY(flags != work->run_flags)) {
        fork_count_run(work);
        work->run_flags = flags;
    }
    work->run_pages += pages;
    work->run_largest = vmki_max(work->run_largest, pages);
    work->nr++;
    fork_relax(work);
    entry->flags = flags | VMKI_VM_BARE;
    entry->item = copy;
    return VMKI_TREE_TAKE;
}

static VMKI_NOINLINE enum vmki_tree_take fork_take_any(struct fork_work *work, struct vmki_tree_entry *entry)
{
    struct vmk_vma *vma = entry->item, *copy;
    bool is_file = vma->file != NULL;

    if (fork_leaves_out(vma))
        return VMKI_TREE_LEAVE;
    work->error = fork_charge_one(work, vma);
    if (work->error != 0)
        return VMKI_TREE_STOP;
    work->error = -VMK_ERR_HOST_NOMEM;
    if (!vmki_mm_reserve_vmas(work->child, !is_file, is_file))
        return VMKI_TREE_STOP;
    copy = vmki_mm_take_vma(work->child, is_file);
    if (fork_is_quiet(vma)) {
        copy->link = work->quiet;
        work->quiet = copy;
    } else {
        *work->tail = copy;
        work->tail = &copy->link;
    }
    work->nr++;
    if (!fork_fill(work->child, vma, copy))
        return VMKI_TREE_STOP;
    work->error = 0;
    vmki_count_area(work->child, copy->flags, vmki_vma_nr_pages(copy), 1);
    fork_relax(work);
    entry->flags = copy->flags | vmki_vma_bare(copy);
    entry->item = copy;
    return VMKI_TREE_TAKE;
}

/* Makes the child's area of one of the parent's: the tree's copy calls it for each, ascending. */
static enum vmki_tree_take fork_take(void *context, struct vmki_tree_entry *entry)
{
    const vmk_vm_flags kinds = VMKI_VM_BARE | VMK_VM_DONTCOPY | VMKI_VM_FORKED | VMKI_VM_ANON_UNKNOWN;
    struct fork_work *work = context;

    if ((entry->flags & kinds) == VMKI_VM_BARE && work->is_unheard && vmki_mm_has_block(work->child))
        return fork_take_bare(work, entry);
    return fork_take_any(work, entry);
}

static int fork_copy_areas(struct fork_work *work)
{
    vmki_mm_expect_vmas(work->child, work->parent->tree.nr_entries);
    if (!vmki_tree_copy(&work->child->tree, &work->parent->tree, VMKI_VM_BARE, fork_take, work) && work->error == 0)
        work->error = -VMK_ERR_HOST_NOMEM;
    fork_count_run(work);
    vmki_mm_expect_vmas(work->child, 0);
    return work->error;
}

static void fork_next_range(void *context, struct vmki_tree_entry *entry)
{
    struct vmki_cursor *cursor = context;

    vmki_cursor_entry(cursor, entry);
    vmki_cursor_advance(cursor);
}

/* The host's ranges are in the child's way as much as in the parent's. */
static int fork_copy_reserved(struct fork_work *work)
{
    struct vmki_cursor cursor;
    size_t nr = work->parent->reserved.nr_entries;

    if (nr == 0)
        return 0;
    vmki_cursor_first(&cursor, &work->parent->reserved);
    return vmki_tree_build(&work->child->reserved, nr, fork_next_range, &cursor) ? 0 : -VMK_ERR_HOST_NOMEM;
}

/* ---- The backend ---- */

static struct vmk_edit fork_map_edit(const struct vmk_vma *vma)
{
    return (struct vmk_edit){.kind = VMK_EDIT_MAP,
                             .start = vma->start,
                             .end = vma->end,
                             .flags = vma->flags & VMKI_VM_PUBLIC,
                             .prot = vmki_flags_to_prot(vma->flags),
                             .file = vma->file,
                             .offset = vmki_vma_pgoff_at(vma->mm, vma, vma->start) << vma->mm->page_shift};
}

/* Tells the backend that what was prepared up to `refused` will not come. */
static void fork_backend_cancel(const struct fork_work *work, const struct vmk_vma *refused)
{
    const struct vmk_backend_ops *backend = work->child->backend;
    struct vmki_cursor cursor;
    struct vmki_tree_entry entry;

    if (backend->cancel == NULL)
        return;
    vmki_cursor_seek(&cursor, &work->child->tree, refused->start);
    while (vmki_cursor_retreat(&cursor) && vmki_cursor_entry(&cursor, &entry)) {
        const struct vmk_edit edit = fork_map_edit(entry.item);

        backend->cancel(work->child->backend_context, work->child, &edit);
    }
}

static int fork_backend_prepare(const struct fork_work *work)
{
    const struct vmk_backend_ops *backend = work->parent->backend;
    struct vmki_tree_entry entry;
    struct vmki_cursor cursor;

    work->child->backend = backend;
    work->child->backend_context = work->parent->backend_context;
    if (backend == NULL || backend->prepare == NULL)
        return 0;
    VMKI_FOR_EACH_ENTRY (&cursor, &work->child->tree, &entry) {
        const struct vmk_edit edit = fork_map_edit(entry.item);
        int error = backend->prepare(work->child->backend_context, work->child, &edit);

        if (error != 0) {
            fork_backend_cancel(work, entry.item);
            return error;
        }
    }
    return 0;
}

/* The parent's private pages become read-only for copy on write: whoever caches them is told, around it all. */
static void fork_invalidate(struct vmk_mm *mm, bool begin)
{
    const struct vmk_backend_ops *backend = mm->backend;
    void (*tell)(void *context, struct vmk_mm *mm, vmk_addr start, vmk_addr end);

    if (backend == NULL)
        return;
    tell = begin ? backend->invalidate_begin : backend->invalidate_end;
    if (tell != NULL)
        tell(mm->backend_context, mm, 0, mm->task_size_max);
}

/* ---- Commit, or undo ---- */

static void fork_send_notice(struct vmk_mm *parent)
{
    const struct vmk_change change = {.kind = VMK_CHANGE_FORK, .start = 0, .end = parent->task_size_max};

    if (parent->notice != NULL)
        parent->notice(parent->notice_context, parent, &change);
}

static void fork_backend_apply(const struct fork_work *work)
{
    const struct vmk_backend_ops *backend = work->child->backend;
    struct vmki_tree_entry entry;
    struct vmki_cursor cursor;

    if (backend == NULL || backend->apply == NULL)
        return;
    VMKI_FOR_EACH_ENTRY (&cursor, &work->child->tree, &entry) {
        const struct vmk_edit edit = fork_map_edit(entry.item);

        backend->apply(work->child->backend_context, work->child, &edit);
    }
}

static void fork_commit(struct fork_work *work)
{
    struct vmk_mm *child = work->child;

    fork_invalidate(work->parent, true);
    for (struct vmk_vma *vma = work->first, *next; vma != NULL; vma = next) {
        next = vma->link;
        fork_begin_area(vma);
    }
    fork_backend_apply(work);
    fork_invalidate(work->parent, false);
    child->peak_vm = VMKI_BROKEN(fork_peak) ? work->parent->peak_vm : child->total_vm;
    child->nr_vmas_peak = child->tree.nr_entries;
    VMKI_COUNT(work->parent, fork, 0, work->parent->task_size_max);
    fork_send_notice(work->parent);
}

static void fork_return_areas(struct vmk_mm *child, struct vmk_vma *first)
{
    for (struct vmk_vma *vma = first, *next; vma != NULL; vma = next) {
        next = vma->link;
        vmki_mm_return_vma(child, vma);
    }
}

/* The child's areas were seen by nobody: they go back, and the tree is empty again. */
static void fork_undo(struct fork_work *work)
{
    struct vmk_mm *child = work->child;

    child->backend = NULL; /* it was never told of the child, or of everything's end */
    vmki_tree_clear(&child->tree);
    fork_return_areas(child, work->first);
    fork_return_areas(child, work->quiet);
    child->total_vm = child->exec_vm = child->stack_vm = child->data_vm = 0;
    child->locked_vm = child->shared_vm = child->accounted_vm = 0;
    vmki_uncharge(work->parent, work->charged);
}

/* Both mm.locks exclusive. */
static int fork_areas(struct vmk_mm *parent, struct vmk_mm *child)
{
    struct fork_work work = {.parent = parent, .child = child};
    const struct vmk_system *system = parent->system;
    int error;

    work.tail = &work.first;
    work.is_unheard = system->commit == NULL && system->trace == NULL;
    error = fork_copy_areas(&work);
    if (error == 0)
        error = fork_charge(&work);
    if (error == 0)
        error = fork_copy_reserved(&work);
    if (error == 0)
        error = fork_backend_prepare(&work);
    if (error == 0)
        fork_commit(&work);
    else
        fork_undo(&work);
    return error;
}

/*
 * The child is made before any lock is held, since the list of address spaces has a lock outside mm.lock; and its own lock
 * comes first, since that is their order in that list, newest first, by which vmk_system_fork_prepare takes them all.
 */
int vmk_mm_fork(struct vmk_mm *parent, struct vmk_mm **child)
{
    struct vmk_mm *made = vmki_mm_new(parent->system, parent->shared_settings);
    int error;

    *child = NULL;
    if (made == NULL)
        return -VMK_ERR_HOST_NOMEM;
    vmki_mm_lock(made);
    vmki_mm_lock(parent);
    fork_inherit(parent, made);
    error = fork_areas(parent, made);
    vmki_mm_unlock(parent);
    vmki_mm_unlock(made);
    if (error == 0)
        *child = made;
    else
        vmk_mm_put(made);
    return error;
}

/* ---- One area ---- */

int vmk_vma_dup(struct vmk_vma *vma, struct vmk_mm *child, struct vmk_vma **copy)
{
    const struct vmk_vm_ops *ops;
    struct vmk_vma *made;
    int error;

    *copy = NULL;
    if (fork_leaves_out(vma))
        return 0;
    if (!vmki_mm_reserve_vmas(child, vma->file == NULL, vma->file != NULL))
        return -VMK_ERR_HOST_NOMEM;
    made = vmki_mm_take_vma(child, vma->file != NULL);
    error = fork_fill(child, vma, made) ? vmk_vma_insert(child, made) : -VMK_ERR_HOST_NOMEM;
    if (error != 0) {
        vmki_mm_return_vma(child, made);
        return error;
    }
    ops = vmki_vma_ops(made);
    if (ops != NULL && ops->open != NULL)
        ops->open(made);
    *copy = made;
    return 0;
}

/* ---- In place ---- */

/* What the areas of a space that becomes its own child need, in the order of the areas. */
struct fork_place {
    struct vmk_mm *mm;
    struct vmki_tree tree;                        /* the new one */
    struct vmki_cursor cursor;                    /* in the old one */
    struct vmki_anon_vma *anon_vmas, **anon_tail; /* by retired */
    struct vmki_ext *exts, **ext_tail; /* by retired; for areas that lose a userfaultfd; an empty one means none */
    size_t nr;
};

static bool fork_place_alloc(struct fork_place *place, const struct vmk_vma *vma)
{
    if (fork_needs_anon_vma(vma)) {
        struct vmki_anon_vma *anon_vma = vmki_anon_vma_new(place->mm);

        if (anon_vma == NULL)
            return false;
        anon_vma->retired = NULL;
        *place->anon_tail = anon_vma;
        place->anon_tail = &anon_vma->retired;
    }
    if (fork_drops_uffd(vma)) {
        struct vmki_ext *ext = vmki_ext_copy(place->mm, vma->ext, vma->ext->name_size);

        if (ext == NULL)
            return false;
        ext->uffd = 0;
        ext->retired = NULL;
        *place->ext_tail = ext;
        place->ext_tail = &ext->retired;
    }
    place->nr++;
    return true;
}

/* Moves the cursor to the next area of the old tree that stays; NULL after the last. */
static struct vmk_vma *fork_place_next(struct fork_place *place)
{
    struct vmki_tree_entry entry;

    while (vmki_cursor_entry(&place->cursor, &entry)) {
        vmki_cursor_advance(&place->cursor);
        if (!fork_leaves_out(entry.item))
            return entry.item;
    }
    return NULL;
}

static void fork_place_entry(void *context, struct vmki_tree_entry *entry)
{
    const struct vmk_vma *vma = fork_place_next(context);

    *entry = (struct vmki_tree_entry){
        .start = vma->start, .end = vma->end, .flags = fork_flags(vma), .item = (void *)(uintptr_t)vma};
}

static bool fork_place_prepare(struct fork_place *place)
{
    struct vmki_tree *old = &place->mm->tree;

    vmki_cursor_first(&place->cursor, old);
    for (const struct vmk_vma *vma; (vma = fork_place_next(place)) != NULL;)
        if (!fork_place_alloc(place, vma))
            return false;
    vmki_cursor_first(&place->cursor, old);
    return vmki_tree_build(&place->tree, place->nr, fork_place_entry, place);
}

static void fork_place_undo(struct fork_place *place)
{
    for (struct vmki_anon_vma *anon_vma = place->anon_vmas, *next; anon_vma != NULL; anon_vma = next) {
        next = anon_vma->retired;
        vmki_anon_vma_put(place->mm, anon_vma);
    }
    for (struct vmki_ext *ext = place->exts, *next; ext != NULL; ext = next) {
        next = ext->retired;
        vmki_ext_put(place->mm, ext);
    }
}

/* The area becomes what it would be in a child. */
static void fork_place_area(struct fork_place *place, struct vmk_vma *vma)
{
    struct vmki_anon_vma *old_anon = vma->anon_vma, *anon_vma = NULL;
    struct vmki_ext *old_ext = vma->ext;
    vmk_vm_flags flags = fork_flags(vma);

    if (fork_needs_anon_vma(vma)) {
        anon_vma = place->anon_vmas;
        place->anon_vmas = anon_vma->retired;
    }
    if (fork_drops_uffd(vma)) {
        struct vmki_ext *ext = place->exts;

        place->exts = ext->retired;
        if (vmki_ext_is_empty(ext)) {
            vmki_ext_put(place->mm, ext);
            ext = NULL;
        }
        vmki_store_release(&vma->ext, ext);
        vmki_ext_put(place->mm, old_ext);
    }
    vmki_store_release(&vma->anon_vma, anon_vma);
    vmki_anon_vma_put(place->mm, old_anon);
    vmki_count_area(place->mm, vma->flags, vmki_vma_nr_pages(vma), -1);
    vmki_store_relaxed(&vma->flags, flags);
    vmki_count_area(place->mm, flags, vmki_vma_nr_pages(vma), 1);
}

static void fork_place_gone(struct fork_place *place, struct vmk_vma *vma)
{
    const struct vmk_vm_ops *ops = vmki_vma_ops(vma);
    uint64_t pages = vmki_vma_nr_pages(vma);

    vmki_count_area(place->mm, vma->flags, pages, -1);
    if ((vma->flags & VMK_VM_ACCOUNT) != 0)
        vmki_uncharge(place->mm, pages);
    vmki_vma_unlink_object(vma);
    if (ops != NULL && ops->close != NULL)
        ops->close(vma);
    vmki_mm_retire_vma(place->mm, vma);
}

/*
 * Publishes the new tree, then ends what it leaves out. A reader can only be a signal handler of this very thread, the one
 * that a forked process has, and so has returned before the next line runs: the old nodes can go at once.
 */
static void fork_place_commit(struct fork_place *place)
{
    struct vmk_mm *mm = place->mm;
    struct vmki_tree old;
    struct vmki_tree_entry entry;

    vmki_tree_release_spare(&mm->tree, 0);
    old = mm->tree;
    vmki_finger_forget(mm);
    vmki_store_release(&mm->tree.root, place->tree.root);
    mm->tree.nr_entries = place->tree.nr_entries;
    mm->tree.first_start = place->tree.first_start;
    mm->tree.last_end = place->tree.last_end;
    vmki_store_release(&mm->tree.last_leaf, place->tree.last_leaf);
    mm->tree.height = place->tree.height;
    mm->tree.nr_nodes_bytes = place->tree.nr_nodes_bytes;
    VMKI_FOR_EACH_ENTRY (&place->cursor, &old, &entry) {
        if (fork_leaves_out(entry.item))
            fork_place_gone(place, entry.item);
        else
            fork_place_area(place, entry.item);
    }
    vmki_tree_destroy(&old);
}

int vmk_mm_become_child(struct vmk_mm *mm)
{
    struct fork_place place = {.mm = mm};
    bool done;

    place.anon_tail = &place.anon_vmas;
    place.ext_tail = &place.exts;
    vmki_mm_lock(mm);
    vmki_tree_init(&place.tree, &mm->tree_memory);
    done = fork_place_prepare(&place);
    if (done) {
        fork_place_commit(&place);
        vmki_overlay_free(mm);
        mm->def_flags &= ~VMK_VM_LOCKED_MASK;
        mm->mdwe = (mm->mdwe & VMK_MDWE_NO_INHERIT) != 0 ? 0 : mm->mdwe;
        mm->pinned_vm = 0;
        mm->locked_vm -= mm->locked_leak;
        mm->locked_leak = 0;
        mm->peak_vm = mm->total_vm;
        mm->nr_vmas_peak = mm->tree.nr_entries;
        fork_send_notice(mm);
    } else {
        fork_place_undo(&place);
    }
    vmki_mm_unlock(mm);
    return done ? 0 : -VMK_ERR_HOST_NOMEM;
}
