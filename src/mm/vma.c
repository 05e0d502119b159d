/* SPDX-License-Identifier: MIT */
/* vma.c - areas: finding them, their accessors, and what one says of itself. */
#include "base/atomic.h"
#include "mm/mm.h"

struct vmk_vma *vmki_find(struct vmk_mm *mm, vmk_addr address)
{
    struct vmki_tree_entry entry;

    return vmki_tree_find(&mm->tree, address, &entry) ? entry.item : NULL;
}

struct vmk_vma *vmki_find_next(struct vmk_mm *mm, vmk_addr address)
{
    struct vmki_tree_entry entry;

    return vmki_tree_next(&mm->tree, address, &entry) ? entry.item : NULL;
}

struct vmk_vma *vmki_find_prev(struct vmk_mm *mm, vmk_addr address)
{
    struct vmki_tree_entry entry;

    return vmki_tree_prev(&mm->tree, address, &entry) ? entry.item : NULL;
}

/* ---- The finger ---- */

/*
 * The addresses for which the finger is where it is: those of its entry, if it stands on one, and, in the gap below, those from
 * `from` on.
 */
static void finger_mark(struct vmki_finger *finger, vmk_addr from, bool is_there)
{
    if (VMKI_LIKELY(is_there)) {
        finger->low = vmki_min(from, finger->entry.start);
        finger->high = finger->entry.end;
    } else {
        finger->entry.item = NULL;
        finger->low = from;
        finger->high = UINT64_MAX;
    }
}

/* How far below the finger an address may lie for a look at the entry before: it is in vain for one from anywhere. */
enum { NEAR_BELOW = 1 << 17 };

/*
 * Merges look at the area before the place, and the next part of a call at the one after: the address is where the finger ends, or
 * a little below it. True when the finger is there now.
 */
static VMKI_NOINLINE bool finger_step(struct vmki_finger *finger, vmk_addr address)
{
    struct vmki_tree_entry entry;

    if (finger->low == finger->high || finger->entry.item == NULL)
        return false;
    if (address == finger->high)
        return vmki_cursor_advance(&finger->at);
    return finger->at.slot[0] != 0 && vmki_cursor_before(&finger->at, &entry) && entry.start <= address &&
           address < entry.end && vmki_cursor_retreat(&finger->at);
}

const struct vmki_finger *vmki_seek_far(struct vmk_mm *mm, vmk_addr address)
{
    struct vmki_finger *finger = &mm->finger;
    bool is_there;

    if (VMKI_UNLIKELY(address == finger->high || finger->low - address <= NEAR_BELOW) && finger_step(finger, address))
        is_there = vmki_cursor_entry(&finger->at, &finger->entry);
    else
        is_there = vmki_cursor_seek_entry(&finger->at, &mm->tree, address, &finger->entry);
    finger_mark(finger, address, is_there);
    __builtin_prefetch(finger->entry.item); /* most calls go on to the area itself */
    return finger;
}

void vmki_finger_splice(struct vmk_mm *mm, vmk_addr from, vmk_addr until, const struct vmki_tree_entry *entries,
                        unsigned nr)
{
    vmki_seek(mm, from);
    vmki_cursor_splice(&mm->finger.at, until, entries, nr);
    finger_mark(&mm->finger, nr != 0 ? entries[0].start : from, vmki_cursor_entry(&mm->finger.at, &mm->finger.entry));
}

bool vmki_range_is_sealed(struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    const struct vmki_finger *finger = vmki_seek(mm, start);
    struct vmki_tree_entry entry;
    struct vmki_cursor cursor;

    if (finger->entry.item == NULL || finger->entry.start >= end)
        return false;
    if ((finger->entry.flags & VMK_VM_SEALED) != 0)
        return true;
    if (finger->entry.end >= end)
        return false;
    cursor = finger->at;
    while (vmki_cursor_advance(&cursor) && vmki_cursor_entry(&cursor, &entry) && entry.start < end)
        if ((entry.flags & VMK_VM_SEALED) != 0)
            return true;
    return false;
}

bool vmki_range_is_covered(struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    while (start < end) {
        const struct vmk_vma *vma = vmki_find(mm, start);

        if (vma == NULL)
            return false;
        start = vma->end;
    }
    return true;
}

int vmki_vma_may_split(struct vmk_vma *vma, vmk_addr address)
{
    const struct vmk_vm_ops *ops = vmki_vma_ops(vma);

    if (vmki_vma_is_hugetlb(vma) && vma->file != NULL && vma->file->object->huge_shift != 0 &&
        !vmki_is_aligned(address, UINT64_C(1) << vma->file->object->huge_shift))
        return -VMK_EINVAL;
    if (ops != NULL && ops->may_split != NULL)
        return ops->may_split(vma, address);
    return 0;
}

vmk_vm_flags vmki_prot_to_flags(const struct vmk_mm *mm, uint64_t prot, unsigned pkey)
{
    vmk_vm_flags flags = prot & (VMK_PROT_READ | VMK_PROT_WRITE | VMK_PROT_EXEC);

    if (mm->settings->bti != 0 && (prot & VMK_PROT_BTI) != 0)
        flags |= VMK_VM_BTI;
    if (mm->settings->mte != 0 && (prot & VMK_PROT_MTE) != 0)
        flags |= VMK_VM_MTE;
    return flags | ((vmk_vm_flags)pkey << VMK_VM_PKEY_SHIFT & VMK_VM_PKEY_MASK);
}
_Static_assert(VMK_VM_READ == VMK_PROT_READ && VMK_VM_WRITE == VMK_PROT_WRITE && VMK_VM_EXEC == VMK_PROT_EXEC,
               "protection bits are the lowest flags");

uint32_t vmki_flags_to_prot(vmk_vm_flags flags)
{
    return (uint32_t)(flags & VMK_VM_ACCESS);
}

void vmki_vma_set_origin(struct vmk_vma *vma, uint64_t bias, struct vmk_file *file)
{
    vmki_store_relaxed(&vma->bias, bias);
    if (file == NULL)
        return;
    vmki_store_relaxed(&vma->file, file);
    vmk_file_get(file);
}

void vmki_vma_set_refs(struct vmk_vma *vma, struct vmki_anon_vma *anon_vma, struct vmki_ext *ext)
{
    if (anon_vma != NULL) {
        vmki_anon_vma_get(anon_vma);
        vmki_store_release(&vma->anon_vma, anon_vma);
    }
    if (ext != NULL)
        vmki_store_release(&vma->ext, vmki_ext_get(ext));
}

void vmki_vma_bear(struct vmk_vma *vma)
{
    struct vmk_mm *mm = vma->mm;

    if (vmki_tree_clear_flags(&mm->tree, vma->start, vma, VMKI_VM_BARE))
        vmki_finger_forget(mm);
}

void vmki_vma_copy_properties(struct vmk_vma *to, const struct vmk_vma *vma, vmk_addr start, vmk_addr end)
{
    to->start = start;
    to->end = end;
    to->flags = vma->flags;
    vmki_vma_set_origin(to, vma->bias, vma->file);
    vmki_vma_set_refs(to, vma->anon_vma, vma->ext);
}

/* ---- Accessors ---- */

vmk_addr vmk_vma_start(const struct vmk_vma *vma)
{
    return vma->start;
}

vmk_addr vmk_vma_end(const struct vmk_vma *vma)
{
    return vma->end;
}

vmk_vm_flags vmk_vma_flags(const struct vmk_vma *vma)
{
    return vma->flags & VMKI_VM_PUBLIC;
}

uint64_t vmk_vma_pgoff(const struct vmk_vma *vma)
{
    return vmki_vma_pgoff_at(vma->mm, vma, vma->start);
}

struct vmk_mm *vmk_vma_mm(const struct vmk_vma *vma)
{
    return vma->mm;
}

struct vmk_file *vmk_vma_file(const struct vmk_vma *vma)
{
    return vma->file;
}

const struct vmk_vm_ops *vmk_vma_ops(const struct vmk_vma *vma)
{
    return vmki_vma_ops(vma);
}

void *vmk_vma_private_data(const struct vmk_vma *vma)
{
    return vma->ext != NULL ? vma->ext->private_data : NULL;
}

void *vmk_vma_user(const struct vmk_vma *vma)
{
    return vma->ext != NULL ? vma->ext->user : NULL;
}

int vmk_vma_set_user(struct vmk_vma *vma, void *user)
{
    struct vmki_ext *old = vma->ext;
    struct vmki_ext *ext = vmki_ext_copy(vma->mm, old, old != NULL ? old->name_size : 0);

    if (ext == NULL)
        return -VMK_ERR_HOST_NOMEM;
    ext->user = user;
    vmki_vma_bear(vma);
    vmki_store_release(&vma->ext, ext);
    vmki_ext_put(vma->mm, old);
    return 0;
}

struct vmk_vma *vmk_vma_next(const struct vmk_vma *vma)
{
    return vmki_find_next(vma->mm, vma->end);
}

struct vmk_vma *vmk_vma_prev(const struct vmk_vma *vma)
{
    return vmki_find_prev(vma->mm, vma->start);
}

uint64_t vmki_policy_identity(const struct vmki_policy *policy)
{
    if (policy->mode == VMK_MPOL_DEFAULT && policy->nodes == 0)
        return 0;
    return ((uint64_t)policy->mode + 1) << 48 ^ policy->nodes;
}

/*
 * From the leaf's own start, end and flags, which belong together, and from fields of the area that never change while it
 * is in the tree, or are single pointers. A lock-free reader believes it only if its look at the leaf still holds.
 */
void vmki_vma_describe(const struct vmk_vma *vma, const struct vmki_tree_entry *entry, struct vmk_vma_info *info)
{
    const struct vmki_anon_vma *anon_vma = vmki_load_acquire(&vma->anon_vma);
    const struct vmki_ext *ext = vmki_load_acquire(&vma->ext);
    const struct vmk_mm *mm = vmki_load_relaxed(&vma->mm);
    struct vmk_file *file = vmki_load_relaxed(&vma->file);
    size_t size = info->size;

    *info = (struct vmk_vma_info){
        .size = size,
        .start = entry->start,
        .end = entry->end,
        .flags = entry->flags & VMKI_VM_PUBLIC,
        .pgoff = vmki_load_relaxed(&vma->bias) + (entry->start >> mm->page_shift),
        .file = file,
        .file_id = file != NULL ? file->id : 0,
        .object_id = file != NULL ? file->object->id : 0,
        .anon_vma = anon_vma != NULL ? anon_vma->id : 0,
        .anon_vma_inherited = (entry->flags & VMKI_VM_FORKED) != 0,
        .anon_vma_unknown = (entry->flags & VMKI_VM_ANON_UNKNOWN) != 0,
    };
    if (ext != NULL) {
        info->is_special = ext->special_name != NULL;
        info->uffd = ext->uffd;
        info->policy = vmki_policy_identity(&ext->policy);
        info->user = ext->user;
    }
}

void vmk_vma_get_info(const struct vmk_vma *vma, struct vmk_vma_info *info)
{
    struct vmki_tree_entry entry = {.start = vma->start, .end = vma->end, .flags = vma->flags};

    vmki_vma_describe(vma, &entry, info);
}

/* Copies text as far as it fits, with a zero; adds its full length to *len. */
static void name_append(char *buffer, size_t size, size_t *len, const char *text)
{
    for (; *text != '\0'; text++, (*len)++)
        if (*len + 1 < size)
            buffer[*len] = *text;
}

/* [heap] and [stack] are names by position (facts: Merging 8). */
static const char *name_by_place(const struct vmk_vma *vma)
{
    const struct vmk_mm_layout *layout = &vma->mm->layout;

    if (vma->start < layout->brk && vma->end > layout->start_brk)
        return "[heap]";
    if (vma->start <= layout->start_stack && vma->end >= layout->start_stack && layout->start_stack != 0)
        return "[stack]";
    return "";
}

size_t vmk_vma_name(const struct vmk_vma *vma, char *buffer, size_t size)
{
    const struct vmk_vm_ops *ops = vmki_vma_ops(vma);
    const struct vmki_ext *ext = vma->ext;
    const char *name = NULL;
    size_t len = 0;

    if (ops != NULL && ops->name != NULL)
        name = ops->name(vma);
    if (name == NULL && ext != NULL)
        name = ext->special_name;
    if (name != NULL) {
        name_append(buffer, size, &len, name);
    } else if (vma->file != NULL) {
        if (ext != NULL && ext->name_size != 0 && vma->file->object->is_internal) {
            name_append(buffer, size, &len, "[anon_shmem:");
            name_append(buffer, size, &len, ext->name);
            name_append(buffer, size, &len, "]");
        } else {
            name_append(buffer, size, &len, vma->file->name);
        }
    } else if (*(name = name_by_place(vma)) != '\0') {
        name_append(buffer, size, &len, name);
    } else if (ext != NULL && ext->name_size != 0) {
        name_append(buffer, size, &len, "[anon:");
        name_append(buffer, size, &len, ext->name);
        name_append(buffer, size, &len, "]");
    }
    if (size != 0)
        buffer[vmki_min(len, size - 1)] = '\0';
    return len;
}

/* Without mm.lock; false where the areas were edited meanwhile. */
static inline bool areas_unlocked(const struct vmk_mm *mm, vmk_addr from, struct vmk_area *areas, size_t nr,
                                  size_t *nr_found)
{
    uint32_t edits = vmki_load_acquire(&mm->tree.edits);

    if (VMKI_UNLIKELY(vmki_lanes_are_open(mm)))
        return false;
    *nr_found = vmki_tree_areas(&mm->tree, from, VMKI_VM_PUBLIC, areas, nr);
    return vmki_tree_unedited(&mm->tree, edits);
}

size_t vmk_mm_next_areas(struct vmk_mm *mm, vmk_addr *cursor, struct vmk_area *areas, size_t nr)
{
    size_t nr_found;
    bool is_found;

    vmk_sync_read_enter();
    is_found = areas_unlocked(mm, *cursor, areas, nr, &nr_found);
    vmk_sync_read_exit();
    if (VMKI_UNLIKELY(!is_found)) {
        vmki_mm_read_lock(mm);
        nr_found = vmki_tree_areas(&mm->tree, *cursor, VMKI_VM_PUBLIC, areas, nr);
        vmki_mm_read_unlock(mm);
    }
    if (nr_found > 0)
        *cursor = areas[nr_found - 1].end;
    return nr_found;
}

/* The vmk_mm_for_each callers want bounds and flags only: straight from the leaves. */
size_t vmk_mm_for_each(struct vmk_mm *mm, vmk_addr start, vmk_addr end,
                       bool (*visit)(void *context, vmk_addr start, vmk_addr end, vmk_vm_flags flags), void *context)
{
    size_t nr;

    vmki_mm_read_lock(mm);
    nr = vmki_tree_each(&mm->tree, start, end, VMKI_VM_PUBLIC, visit, context);
    vmki_mm_read_unlock(mm);
    return nr;
}
