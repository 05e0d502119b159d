/* SPDX-License-Identifier: MIT */
/*
 * placement.c - where a new area goes: hints, the highest or lowest gap, guard gaps of stacks, huge-page alignment
 * (facts: Placement).
 */
#include "base/atomic.h"
#include "base/breaks.h"
#include "mm/mm.h"
#include "mm/reserve.h"
#include "tree/highest.h"

#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

/* splitmix64: one step of the layout's random numbers. */
uint64_t vmki_mm_random(struct vmk_mm *mm)
{
    uint64_t x = mm->seed += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* The gap kept for the stack below task_size, within 128 MiB and five sixths of the address space. */
static uint64_t stack_gap(const struct vmk_mm *mm, bool randomize)
{
    uint64_t gap = mm->rlimits.stack.soft;
    uint64_t pad = mm->settings->stack_guard_gap << mm->page_shift;

    if (randomize)
        pad += mm->settings->stack_rnd_pages << mm->page_shift;
    if (gap + pad > gap)
        gap += pad;
    return vmki_min(vmki_max(gap, MIB(128)), mm->task_size / 6 * 5);
}

void vmki_layout_init(struct vmk_mm *mm)
{
    const struct vmk_settings *settings = mm->settings;
    struct vmk_mm_layout *layout = &mm->layout;
    bool randomize = (mm->personality & VMK_ADDR_NO_RANDOMIZE) == 0;
    uint64_t random = 0;

    if (randomize && settings->mmap_rnd_bits != 0)
        random = (vmki_mm_random(mm) & ((UINT64_C(1) << settings->mmap_rnd_bits) - 1)) << mm->page_shift;
    layout->task_size = mm->task_size;
    layout->mmap_base = vmki_page_align(mm, mm->task_size - stack_gap(mm, randomize) - random);
    layout->mmap_legacy_base = vmki_page_align(mm, mm->task_size / (settings->arch == VMK_ARCH_ARM64 ? 4 : 3)) + random;
    layout->top_down = (mm->personality & VMK_ADDR_COMPAT_LAYOUT) == 0 &&
                       vmki_sysctl(&mm->system->sysctl.legacy_va_layout) == 0 &&
                       !(settings->unlimited_stack_legacy != 0 && mm->rlimits.stack.soft == VMK_RLIM_INFINITY);
}

vmk_addr vmki_vma_start_gap(const struct vmk_mm *mm, vmk_addr start, vmk_vm_flags flags)
{
    uint64_t gap = 0;

    if ((flags & VMK_VM_GROWSDOWN) != 0)
        gap = mm->settings->stack_guard_gap << mm->page_shift;
    else if ((flags & VMK_VM_SHADOW_STACK) != 0)
        gap = mm->page_size;
    if (VMKI_BROKEN(place_guard))
        gap = 0;
    return start - vmki_min(start, gap);
}

/* ---- The two searches ---- */

struct search {
    vmk_addr low, high;
    uint64_t len;   /* what is asked for */
    uint64_t align; /* 0 or a power of two */
};

/* Skips a reserved range in the way of [at, at + len): false when none is. */
static bool reserved_in_way(const struct vmk_mm *mm, vmk_addr at, uint64_t len, vmk_addr *start, vmk_addr *end)
{
    return VMKI_UNLIKELY(vmki_load_relaxed(&mm->reserved.root) != NULL) && vmki_reserved_next(mm, at, start, end) &&
           *start < at + len;
}

/* Where the entry above a hole begins with its guard gap; UINT64_MAX where there is none. */
static inline vmk_addr guarded_above(const struct vmk_mm *mm, const struct vmki_gap *gap)
{
    if (VMKI_LIKELY((gap->flags & (VMK_VM_GROWSDOWN | VMK_VM_SHADOW_STACK)) == 0))
        return gap->above;
    return vmki_vma_start_gap(mm, gap->above, gap->flags);
}

/* What the tree is asked for: room for the alignment is part of the length. */
static inline struct search first_search(const struct vmk_mm *mm, const struct search *search)
{
    struct search first = *search;

    first.low = vmki_max(search->low, mm->min_addr);
    if (search->align != 0)
        first.len += search->align - mm->page_size;
    return first;
}

/*
 * The highest gap. A stack above the gap keeps its guard gap: the limit moves below that and the search starts again,
 * which skips gaps in between, as Linux's does.
 */
static bool place_highest(struct vmk_mm *mm, const struct search *search, vmk_addr *found)
{
    struct search query = first_search(mm, search);
    struct vmki_gap gap;
    vmk_addr at, start, end;

    while (vmki_tree_gap_highest(&mm->tree, query.low, query.high, query.len, &gap)) {
        vmk_addr gap_end = gap.start + query.len, above = guarded_above(mm, &gap);

        if (reserved_in_way(mm, gap.start, query.len, &start, &end)) {
            query.high = start;
            continue;
        }
        if (VMKI_UNLIKELY(above < gap_end)) {
            query.high = above;
            continue;
        }
        at = gap_end - search->len;
        if (search->align != 0)
            at = vmki_align_down(at, search->align);
        *found = at;
        return true;
    }
    return false;
}

static bool place_lowest(struct vmk_mm *mm, const struct search *search, vmk_addr *found)
{
    struct search query = first_search(mm, search);
    struct vmki_gap gap;
    vmk_addr start, end;

    while (vmki_tree_gap_lowest(&mm->tree, query.low, query.high, query.len, &gap)) {
        vmk_addr at = gap.start;

        if (reserved_in_way(mm, at, query.len, &start, &end)) {
            query.low = end;
            continue;
        }
        if (search->align != 0)
            at = vmki_align_up(at, search->align);
        if (VMKI_UNLIKELY(guarded_above(mm, &gap) < at + query.len)) {
            query.low = gap.above + 1; /* no hole begins before that entry's end */
            continue;
        }
        *found = at;
        return true;
    }
    return false;
}

/*
 * The usual case of the two calls below without mm.lock: the tree is not edited meanwhile, there are no reserved ranges, and
 * the first hole that is long enough will do.
 */
static VMKI_INLINE bool search_unlocked(struct vmk_mm *mm, vmk_addr low, vmk_addr high, uint64_t len, vmk_addr *address,
                                        bool (*find)(const struct vmki_tree *tree, vmk_addr low, vmk_addr high,
                                                     uint64_t len, struct vmki_gap *gap))
{
    struct vmki_gap gap;
    uint32_t edits;
    bool found;

    low = vmki_max(low, mm->min_addr);
    vmk_sync_read_enter();
    edits = vmki_load_acquire(&mm->tree.edits);
    found = !vmki_lanes_are_open(mm) && find(&mm->tree, low, high, len, &gap) &&
            vmki_load_relaxed(&mm->reserved.root) == NULL && vmki_tree_unedited(&mm->tree, edits);
    vmk_sync_read_exit();
    if (VMKI_UNLIKELY(!found || guarded_above(mm, &gap) < gap.start + len))
        return false;
    *address = gap.start;
    return true;
}

static VMKI_NOINLINE int search_locked(struct vmk_mm *mm, vmk_addr low, vmk_addr high, uint64_t len, vmk_addr *address,
                                       bool (*place)(struct vmk_mm *mm, const struct search *search, vmk_addr *found))
{
    const struct search search = {.low = low, .high = high, .len = len};
    bool found;

    if (len == 0)
        return -VMK_EINVAL;
    vmki_mm_read_lock(mm);
    found = place(mm, &search, address);
    vmki_mm_read_unlock(mm);
    return found ? 0 : -VMK_ENOMEM;
}

static VMKI_NOINLINE int highest_at_length(struct vmk_mm *mm, vmk_addr low, vmk_addr high, uint64_t len,
                                           vmk_addr *address)
{
    if (VMKI_LIKELY(search_unlocked(mm, low, high, len, address, vmki_tree_gap_highest)))
        return 0;
    return search_locked(mm, low, high, len, address, place_highest);
}

/* The short way, in a reader's section; false where it does not know. */
static VMKI_INLINE bool highest_in_short(const struct vmk_mm *mm, vmk_addr low, vmk_addr high, uint64_t len,
                                         vmk_addr *address)
{
    uint32_t edits = vmki_load_acquire(&mm->tree.edits);
    struct vmki_highest place;

    if (VMKI_UNLIKELY(vmki_lanes_are_open(mm)))
        return false;
    place = vmki_tree_highest(&mm->tree, high, len);
    if (VMKI_UNLIKELY((place.flags & (VMK_VM_GROWSDOWN | VMK_VM_SHADOW_STACK)) != 0 || place.start < low ||
                      place.start < mm->min_addr || vmki_load_relaxed(&mm->reserved.root) != NULL ||
                      !vmki_tree_unedited(&mm->tree, edits)))
        return false;
    *address = place.start;
    return true;
}

int vmk_mm_gap_highest(struct vmk_mm *mm, vmk_addr low, vmk_addr high, uint64_t len, vmk_addr *address)
{
    vmk_addr found;

    len = vmki_page_align(mm, len);
    vmk_sync_read_enter();
    if (VMKI_LIKELY(highest_in_short(mm, low, high, len, &found))) {
        vmk_sync_read_exit();
        *address = found;
        return 0;
    }
    vmk_sync_read_exit();
    return highest_at_length(mm, low, high, len, address);
}

int vmk_mm_gap_lowest(struct vmk_mm *mm, vmk_addr low, vmk_addr high, uint64_t len, vmk_addr *address)
{
    len = vmki_page_align(mm, len);
    if (VMKI_LIKELY(search_unlocked(mm, low, high, len, address, vmki_tree_gap_lowest)))
        return 0;
    return search_locked(mm, low, high, len, address, place_lowest);
}

/* ---- Hints and layouts ---- */

/* Is [hint, hint + len) free, with the guard gap of what lies above it? */
static bool hint_is_free(struct vmk_mm *mm, vmk_addr hint, uint64_t len)
{
    struct vmki_tree_entry next;
    vmk_addr start, end;

    if (VMKI_BROKEN(place_hint) || reserved_in_way(mm, hint, len, &start, &end))
        return false;
    return !vmki_tree_next(&mm->tree, hint, &next) || hint + len <= vmki_vma_start_gap(mm, next.start, next.flags);
}

static bool has_window(const struct vmk_mm *mm)
{
    return mm->window_high != 0;
}

static bool wants_32bit(const struct vmk_mm *mm, const struct vmki_place *place)
{
    return (place->flags & VMK_MAP_32BIT) != 0 && mm->settings->map_32bit != 0 && !VMKI_BROKEN(place_32bit);
}

/* Bottom-up: the legacy layout, MAP_32BIT, and what is left when top-down finds nothing. */
static int place_bottom_up(struct vmk_mm *mm, const struct vmki_place *place, uint64_t len, vmk_addr *address)
{
    struct search search = {.low = mm->layout.mmap_legacy_base,
                            .high = place->hint > mm->task_size ? mm->task_size_max : mm->task_size,
                            .len = len};
    vmk_addr hint = vmki_page_align(mm, place->hint);

    if (wants_32bit(mm, place)) {
        search.low = GIB(1);
        search.high = GIB(2);
    } else if (has_window(mm)) {
        search.low = mm->window_low;
        search.high = mm->window_high;
    }
    if (len > search.high)
        return -VMK_ENOMEM;
    if (place->hint != 0 && hint <= search.high - len && hint_is_free(mm, hint, len)) {
        *address = hint;
        return 0;
    }
    return place_lowest(mm, &search, address) ? 0 : -VMK_ENOMEM;
}

/* A hint may not straddle the border of the ordinary window. */
static bool hint_is_valid(const struct vmk_mm *mm, vmk_addr hint, uint64_t len)
{
    return hint <= mm->task_size_max - len && (hint > mm->task_size) == (hint + len > mm->task_size);
}

static int place_top_down(struct vmk_mm *mm, const struct vmki_place *place, uint64_t len, vmk_addr *address)
{
    struct search search = {.low = mm->page_size, .high = mm->layout.mmap_base, .len = len};
    vmk_addr hint = vmki_align_down(place->hint, mm->page_size);

    if (wants_32bit(mm, place))
        return place_bottom_up(mm, place, len, address);
    if (hint != 0 && hint_is_valid(mm, hint, len) && hint_is_free(mm, hint, len)) {
        *address = hint;
        return 0;
    }
    if (has_window(mm)) {
        search.low = mm->window_low;
        search.high = mm->window_high;
    } else if ((place->flags & VMK_MAP_ABOVE4G) != 0 && mm->settings->map_32bit != 0) {
        search.low = GIB(4);
    }
    if (hint > mm->task_size)
        search.high += mm->task_size_max - mm->task_size;
    if (place_highest(mm, &search, address))
        return 0;
    return place_bottom_up(mm, place, len, address);
}

static int place_plain(struct vmk_mm *mm, const struct vmki_place *place, uint64_t len, vmk_addr *address)
{
    if (len > mm->task_size_max)
        return -VMK_ENOMEM;
    if ((place->flags & VMK_MAP_FIXED) != 0) {
        *address = place->hint;
        return 0;
    }
    return mm->layout.top_down ? place_top_down(mm, place, len, address) : place_bottom_up(mm, place, len, address);
}

/* ---- Huge-page alignment ---- */

/*
 * Searches for room for one huge page more and aligns up in it, so that the offset and the address agree modulo the huge
 * size. False when the range holds no aligned huge page, or there is no room: the plain search decides then.
 */
static bool place_huge_aligned(struct vmk_mm *mm, const struct vmki_place *place, vmk_addr *address)
{
    uint64_t size = UINT64_C(1) << mm->settings->pmd_shift;
    uint64_t offset = place->file != NULL ? place->pgoff << mm->page_shift : 0; /* anonymous memory has none */
    uint64_t first_aligned = vmki_align_up(offset, size);
    uint64_t padded = place->len + size;
    vmk_addr at;
    uint64_t shift;

    /* As signed numbers, as file offsets are: at the very end there is no huge page. */
    if ((int64_t)(offset + place->len) <= (int64_t)first_aligned || offset + place->len - first_aligned < size)
        return false;
    if (place_plain(mm, place, padded, &at) != 0)
        return false;
    if (at == place->hint && place->hint != 0) {
        *address = at; /* the hint was free: no alignment */
        return true;
    }
    shift = offset - at - vmki_align_down(offset - at, size);
    *address = shift == 0 && mm->layout.top_down && !VMKI_BROKEN(place_again) ? at + size : at + shift;
    return true;
}

static int place_hugetlb(struct vmk_mm *mm, const struct vmki_place *place, vmk_addr *address)
{
    uint64_t size = UINT64_C(1) << place->file->object->huge_shift;
    struct search search = {.low = mm->page_size, .high = mm->layout.mmap_base, .len = place->len, .align = size};
    vmk_addr hint = vmki_align_up(place->hint, size);

    if (!vmki_is_aligned(place->len, size))
        return -VMK_EINVAL;
    if ((place->flags & VMK_MAP_FIXED) != 0) {
        *address = place->hint;
        return vmki_is_aligned(place->hint, size) ? 0 : -VMK_EINVAL;
    }
    if (hint != 0 && hint <= mm->task_size_max - place->len && hint_is_free(mm, hint, place->len)) {
        *address = hint;
        return 0;
    }
    if (mm->layout.top_down && place_highest(mm, &search, address))
        return 0;
    search.low = mm->layout.mmap_legacy_base;
    search.high = mm->task_size;
    return place_lowest(mm, &search, address) ? 0 : -VMK_ENOMEM;
}

/* Does this kind of mapping ask for huge-page alignment? */
static bool wants_huge_alignment(const struct vmk_mm *mm, const struct vmki_place *place)
{
    uint64_t size = UINT64_C(1) << mm->settings->pmd_shift;

    if (VMKI_BROKEN(place_huge))
        return false;
    if (place->file != NULL && place->file->object->kind == VMK_OBJECT_ZERO)
        return mm->settings->thp_align_file != 0 && !place->shared;
    if (place->file != NULL)
        return mm->settings->thp_align_file != 0 && (place->file->mode & VMK_FILE_THP_ALIGN) != 0;
    return mm->settings->thp_align_anon != 0 && !place->shared && place->hint == 0 && vmki_is_aligned(place->len, size);
}

int vmki_place(struct vmk_mm *mm, const struct vmki_place *place, vmk_addr *address)
{
    int error = 0;

    if (place->len > mm->task_size_max)
        return -VMK_ENOMEM;
    if (place->file != NULL && place->file->object->kind == VMK_OBJECT_HUGETLB)
        error = place_hugetlb(mm, place, address);
    else if ((place->flags & VMK_MAP_FIXED) != 0 || !wants_huge_alignment(mm, place) ||
             !place_huge_aligned(mm, place, address))
        error = place_plain(mm, place, place->len, address);
    if (error != 0)
        return error;
    if (*address > UINT64_MAX - 4095) /* taken for an error number, and returned as such */
        return (int)(int64_t)*address;
    if (*address > mm->task_size_max - place->len)
        return -VMK_ENOMEM;
    if (!vmki_page_aligned(mm, *address))
        return -VMK_EINVAL;
    if (*address < mm->settings->mmap_min_addr && !vmki_capable(mm, VMK_CAP_SYS_RAWIO))
        return -VMK_EPERM;
    return 0;
}
