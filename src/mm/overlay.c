/* SPDX-License-Identifier: MIT */
/*
 * overlay.c - write tracking: which pages are to announce their next write.
 *
 * A set of ranges beside the tree of areas. A page leaves it when it is written, unmapped or moved away. That may cut a
 * range in two, for which there must be memory even though neither a commit nor a write may be refused for it: a stock of
 * nodes is kept, and filled up again at every use. Should it run dry all the same, a write is answered with "no memory"
 * (and comes again), and an unmapped page stays tracked: a notice too many later, but never one too few.
 */
#include "mm/overlay.h"
#include "base/atomic.h"

#include "tree/ranges.h"

/* Splices that can be done without memory. */
enum { OVERLAY_STOCK = 8 };

struct vmki_overlay {
    struct vmk_system *system;  /* constant */
    struct vmk_sync_mutex lock; /* guards ranges: faults write them under mm.lock shared; innermost */
    struct vmki_tree ranges;
    struct vmki_tree_memory memory; /* constant */
};

/* Not vmki_alloc: that may sleep, and faults come here with the overlay's lock held. */
static void *overlay_alloc(void *context, size_t size)
{
    struct vmk_system *system = context;

    return system->port.alloc(system->port.context, size, 64, 0);
}

/* Readers hold the lock: a node that is replaced has none. */
static void overlay_free_node(void *context, void *node, size_t size)
{
    vmki_free(context, node, size);
}

static struct vmki_overlay *overlay_new(struct vmk_system *system)
{
    struct vmki_overlay *overlay = vmki_alloc(system, sizeof(*overlay), _Alignof(struct vmki_overlay));

    if (overlay == NULL)
        return NULL;
    overlay->system = system;
    overlay->memory = (struct vmki_tree_memory){
        .alloc = overlay_alloc, .free = overlay_free_node, .retire = overlay_free_node, .context = system};
    vmk_sync_mutex_init(&overlay->lock);
    vmki_tree_init(&overlay->ranges, &overlay->memory);
    return overlay;
}

void vmki_overlay_free(struct vmk_mm *mm)
{
    struct vmki_overlay *overlay = mm->overlay;

    if (overlay == NULL)
        return;
    vmki_store_relaxed(&mm->overlay, NULL);
    vmki_tree_destroy(&overlay->ranges);
    vmk_sync_mutex_destroy(&overlay->lock);
    vmki_free(overlay->system, overlay, sizeof(*overlay));
}

/* Is there memory for one splice? Tries to fill the stock up first. The overlay's lock is held. */
static bool overlay_can_splice(struct vmki_overlay *overlay)
{
    return vmki_tree_reserve(&overlay->ranges, OVERLAY_STOCK) || vmki_tree_reserve(&overlay->ranges, 1);
}

void vmki_overlay_unmapped(struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    struct vmki_overlay *overlay = mm->overlay;

    if (overlay == NULL)
        return;
    vmk_sync_mutex_lock(&overlay->lock);
    if (vmki_ranges_touch(&overlay->ranges, start, end) && overlay_can_splice(overlay))
        vmki_ranges_remove(&overlay->ranges, start, end);
    vmk_sync_mutex_unlock(&overlay->lock);
}

int vmki_overlay_written(struct vmk_mm *mm, vmk_addr address)
{
    struct vmki_overlay *overlay = mm->overlay;
    vmk_addr page = vmki_align_down(address, mm->page_size);
    int result = 0;

    if (VMKI_LIKELY(overlay == NULL))
        return 0;
    vmk_sync_mutex_lock(&overlay->lock);
    if (vmki_ranges_touch(&overlay->ranges, page, page + mm->page_size)) {
        result = overlay_can_splice(overlay) ? 1 : -VMK_ERR_HOST_NOMEM;
        if (result == 1)
            vmki_ranges_remove(&overlay->ranges, page, page + mm->page_size);
    }
    vmk_sync_mutex_unlock(&overlay->lock);
    return result;
}

bool vmki_overlay_next(struct vmk_mm *mm, vmk_addr *cursor, vmk_addr *start, vmk_addr *end)
{
    struct vmki_overlay *overlay = mm->overlay;
    struct vmki_tree_entry entry;
    bool found;

    if (overlay == NULL)
        return false;
    vmk_sync_mutex_lock(&overlay->lock);
    found = vmki_tree_next(&overlay->ranges, *cursor, &entry);
    vmk_sync_mutex_unlock(&overlay->lock);
    if (found) {
        *start = entry.start;
        *end = *cursor = entry.end;
    }
    return found;
}

const char *vmki_overlay_validate(struct vmk_mm *mm)
{
    struct vmki_overlay *overlay = mm->overlay;
    const char *broken;

    if (overlay == NULL)
        return NULL;
    vmk_sync_mutex_lock(&overlay->lock);
    broken = vmki_tree_validate(&overlay->ranges);
    vmk_sync_mutex_unlock(&overlay->lock);
    return broken;
}

/* mm.lock exclusive; the range is valid. All or nothing: what may fail comes first. */
static int overlay_change(struct vmk_mm *mm, vmk_addr start, vmk_addr end, bool track)
{
    struct vmki_overlay *overlay = mm->overlay;
    int error = 0;

    if (overlay == NULL) {
        if (!track)
            return 0;
        overlay = overlay_new(mm->system);
        if (overlay == NULL)
            return -VMK_ERR_HOST_NOMEM;
        vmki_store_release(&mm->overlay, overlay);
    }
    vmk_sync_mutex_lock(&overlay->lock);
    if (!vmki_tree_reserve(&overlay->ranges, OVERLAY_STOCK))
        error = -VMK_ERR_HOST_NOMEM;
    else if (track)
        vmki_ranges_add(&overlay->ranges, start, end, overlay);
    else
        vmki_ranges_remove(&overlay->ranges, start, end);
    vmk_sync_mutex_unlock(&overlay->lock);
    return error;
}

static int overlay_call(struct vmk_mm *mm, vmk_addr start, vmk_addr end, bool track)
{
    int error;

    if (!vmki_page_aligned(mm, start) || !vmki_page_aligned(mm, end) || end < start || end > mm->task_size_max)
        return -VMK_EINVAL;
    if (start == end)
        return 0;
    vmki_mm_lock(mm);
    error = overlay_change(mm, start, end, track);
    vmki_mm_unlock(mm);
    return error;
}

int vmk_mm_track_writes(struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    return overlay_call(mm, start, end, true);
}

int vmk_mm_untrack_writes(struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    return overlay_call(mm, start, end, false);
}

bool vmk_mm_is_tracked(struct vmk_mm *mm, vmk_addr address)
{
    vmk_addr cursor = address, start, end;
    bool tracked;

    vmki_mm_read_lock(mm);
    tracked = vmki_overlay_next(mm, &cursor, &start, &end) && start <= address;
    vmki_mm_read_unlock(mm);
    return tracked;
}
