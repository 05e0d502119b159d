/* SPDX-License-Identifier: MIT */
/*
 * lane.c - see lane.h, and docs/locking.md for why it is right.
 *
 * What is decided for the whole address space must not depend on what other lanes are doing:
 *   - limits: a lane takes a call only when the limit could not be reached even if every lane did as much as this one;
 *   - the high marks (VmPeak, the most areas): what there is and all that processors have as `headroom` do not exceed them
 *     together. What grows takes headroom, what shrinks leaves it; a call that finds too little sets `above`, and then
 *     nothing shrinks before a stop has set the marks;
 *   - the commit charge: where it is only counted (modes 0 and 1), it is counted by processor.
 */
#include "mm/lane.h"

#include "base/atomic.h"
#include "mm/quick.h"

/* After so many calls that needed mm.lock it is asked whether lanes are worth it; a synchronisation header may say it. */
#if !defined(VMK_SYNC_LANES_WINDOW)
#define VMK_SYNC_LANES_WINDOW 256
#endif
enum { MAX_LANES = VMKI_TREE_MAX_PARTS, WINDOW = VMK_SYNC_LANES_WINDOW };

/* Counters that a lane continues from those of the space. */
#define LANE_COUNTS(X)                                                                                                 \
    X(total_vm) X(locked_vm) X(data_vm) X(exec_vm) X(stack_vm) X(shared_vm) X(accounted_vm) X(unknown_merges)

struct counts {
#define COUNT_FIELD(name) uint64_t name;
    LANE_COUNTS(COUNT_FIELD)
#undef COUNT_FIELD
    uint64_t nr_vmas;
};

/* What high marks are kept of. */
enum { MARK_VM, MARK_VMAS, NR_MARKS };

/* By how much calls on one processor may grow the space without a new mark. */
enum { NR_HEADROOMS = 16 };
struct headroom {
    int64_t mark[NR_MARKS]; /* atomic */
    uint64_t unused[6];
};

struct lane {
    struct vmk_mm mm; /* first; its lock is the lane's lock, which guards all */
    struct vmki_plan plan;
    struct counts before;                  /* at the last stop */
    uint64_t epoch;                        /* of that stop; another one: the lane is not laid out anew yet */
    int64_t room_vm, room_data, room_vmas; /* by how much it may grow until the next stop, for the limits' sake */
    uint64_t nr_calls;
    uint64_t vm_at_call, vmas_at_call;
    struct vmk_counters kept; /* in a call that may be given up */
};

/* All written with mm.lock exclusive, or with all lanes' locks; words that others read before they have a lock are atomic. */
struct vmki_lanes {
    struct headroom headroom[NR_HEADROOMS];
    bool above;                /* atomic; set with one lane's lock */
    int64_t missing[NR_MARKS]; /* atomic; a hint: the headroom that a call would have needed */
    uint32_t nr;               /* atomic */
    uint32_t wanted;           /* atomic; a hint: a lane that there is not yet, plus 1 */
    uint64_t epoch;
    uint64_t max_map_count;          /* at the last stop */
    uint64_t nr_exclusive, nr_calls; /* of a window, for the decision to go on */
    vmk_addr bound[MAX_LANES + 1];   /* atomic */
    struct lane *lane[MAX_LANES];    /* atomic; what is there stays */
};

/* ---- Counting ---- */

static struct counts counts_of(const struct vmk_mm *mm)
{
    struct counts counts = {.nr_vmas = mm->tree.nr_entries};

#define COUNT_COPY(name) counts.name = mm->name;
    LANE_COUNTS(COUNT_COPY)
#undef COUNT_COPY
    return counts;
}

static int64_t grown(const struct lane *lane, unsigned mark)
{
    return mark == MARK_VM ? (int64_t)(lane->mm.total_vm - lane->before.total_vm)
                           : (int64_t)(lane->mm.tree.nr_entries - lane->before.nr_vmas);
}

void vmki_lanes_add_counters(const struct vmk_mm *mm, struct vmk_counters *sum)
{
    const struct vmki_lanes *lanes = vmki_load_acquire(&mm->lanes);

    for (unsigned i = 0; lanes != NULL && i < MAX_LANES; i++) {
        const struct lane *lane = vmki_load_acquire(&lanes->lane[i]);

        if (lane != NULL)
            vmki_counters_add(sum, &lane->mm.counters);
    }
}

uint64_t vmki_lanes_bytes(const struct vmk_mm *mm)
{
    uint64_t nr_bytes = mm->lanes != NULL ? sizeof(*mm->lanes) : 0;

    for (unsigned i = 0; mm->lanes != NULL && i < MAX_LANES; i++) {
        const struct lane *lane = mm->lanes->lane[i];

        if (lane != NULL)
            nr_bytes += sizeof(*lane) +
                        (lane->mm.nr_spare_anon + vmki_mm_nr_leaving(&lane->mm)) * sizeof(struct vmk_vma) +
                        (uint64_t)lane->mm.tree.nr_spare * 512 + vmki_mm_carried_bytes(&lane->mm);
    }
    return nr_bytes;
}

/* ---- Stop and go ---- */

/* What the lane has done is the space's; true when it has done something. The lane's lock is held. */
static bool lane_settle(struct vmk_mm *mm, struct lane *lane)
{
    if (lane->epoch != mm->lanes->epoch)
        return false;
#define COUNT_ADD(name) mm->name += lane->mm.name - lane->before.name;
    LANE_COUNTS(COUNT_ADD)
#undef COUNT_ADD
    vmki_tree_part_close(&lane->mm.tree, &mm->tree, (size_t)lane->before.nr_vmas);
    mm->lanes->nr_calls += lane->nr_calls;
    lane->nr_calls = 0;
    return true;
}

static void note_marks(struct vmk_mm *mm)
{
    mm->peak_vm = vmki_max(mm->peak_vm, mm->total_vm);
    mm->nr_vmas_peak = vmki_max(mm->nr_vmas_peak, mm->tree.nr_entries);
}

void vmki_lanes_stop(struct vmk_mm *mm)
{
    struct vmki_lanes *lanes = mm->lanes;
    uint32_t changed = 0;

    /* All of them before anything changes: a lane that lays itself out reads what the others have not changed. */
    for (unsigned i = 0; i < MAX_LANES; i++)
        if (lanes->lane[i] != NULL)
            vmk_sync_write_lock(&lanes->lane[i]->mm.lock);
    for (unsigned i = 0; i < MAX_LANES; i++)
        if (lanes->lane[i] != NULL)
            changed |= (uint32_t)lane_settle(mm, lanes->lane[i]) << i;
    lanes->epoch++;
    if (changed == 0)
        return;
    vmki_tree_parts_settle(&mm->tree, changed);
    vmki_finger_forget(mm);
    note_marks(mm);
}

static struct headroom *own_headroom(struct vmki_lanes *lanes)
{
#if defined(VMK_SYNC_PROCESSOR)
    return &lanes->headroom[VMK_SYNC_PROCESSOR() % NR_HEADROOMS];
#else
    return &lanes->headroom[0];
#endif
}

/* Takes up to `wanted` of what other processors have. */
static int64_t take_headroom(struct vmki_lanes *lanes, unsigned mark, int64_t wanted)
{
    int64_t taken = 0;

    for (unsigned i = 0; i < NR_HEADROOMS && taken < wanted; i++) {
        int64_t *left = &lanes->headroom[i].mark[mark], part = *left < wanted - taken ? *left : wanted - taken;

        *left -= part;
        taken += part;
    }
    return taken;
}

/*
 * All headroom and the size keep below the mark; what is left goes to this processor, whose call needed mm.lock. Where a
 * call found too little, it is taken from others: it may lie where nobody is any more.
 */
static void share_headroom(struct vmki_lanes *lanes, unsigned mark, uint64_t size, uint64_t peak)
{
    struct headroom *own = own_headroom(lanes);
    int64_t left = (int64_t)(peak - size), missing = vmki_load_relaxed(&lanes->missing[mark]);

    for (unsigned i = 0; i < NR_HEADROOMS; i++)
        left -= lanes->headroom[i].mark[mark];
    for (unsigned i = 0; left < 0 && i < NR_HEADROOMS; i++) {
        left += lanes->headroom[i].mark[mark];
        lanes->headroom[i].mark[mark] = 0;
    }
    if (missing > left)
        left += take_headroom(lanes, mark, missing - left);
    own->mark[mark] += left;
    vmki_store_relaxed(&lanes->missing[mark], 0);
}

/* A call has changed a size: takes headroom or leaves it. */
static void use_headroom(struct vmki_lanes *lanes, unsigned mark, int64_t change)
{
    int64_t *left = &own_headroom(lanes)->mark[mark], now = vmki_load_relaxed(left);

    if (change == 0)
        return;
    do {
        if (change > now) {
            vmki_store_relaxed(&lanes->missing[mark], change);
            vmki_store_relaxed(&lanes->above, true);
            return;
        }
    } while (!__atomic_compare_exchange_n(left, &now, now - change, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

static void lay_out(struct vmk_mm *mm)
{
    struct vmki_lanes *lanes = mm->lanes;
    unsigned nr = vmki_tree_nr_parts(&mm->tree);

    vmki_store_relaxed(&lanes->nr, nr);
    for (unsigned i = 0; nr != 0 && i <= nr; i++)
        vmki_store_relaxed(&lanes->bound[i], vmki_tree_part_bound(&mm->tree, i));
    lanes->max_map_count = vmki_max_map_count(mm);
    vmki_store_relaxed(&lanes->above, false);
}

void vmki_lanes_go(struct vmk_mm *mm, bool exclusive)
{
    struct vmki_lanes *lanes = mm->lanes;

    lay_out(mm);
    note_marks(mm);
    share_headroom(lanes, MARK_VM, mm->total_vm, mm->peak_vm);
    share_headroom(lanes, MARK_VMAS, mm->tree.nr_entries, mm->nr_vmas_peak);
    vmki_store_relaxed(&lanes->wanted, 0);
    if (exclusive && ++lanes->nr_exclusive == WINDOW) {
        if (lanes->nr_calls < WINDOW || lanes->nr == 0) {
            vmki_store_release(&mm->lanes_open, false);
            mm->nr_waits = 0;
        }
        lanes->nr_exclusive = lanes->nr_calls = 0;
    }
    for (unsigned i = MAX_LANES; i > 0; i--)
        if (lanes->lane[i - 1] != NULL)
            vmk_sync_write_unlock(&lanes->lane[i - 1]->mm.lock);
}

/* ---- Making lanes ---- */

static struct lane *lane_new(struct vmk_mm *mm)
{
    struct lane *lane = vmki_alloc(mm->system, sizeof(*lane), 64);

    if (lane == NULL)
        return NULL;
    memset(lane, 0, sizeof(*lane));
    lane->mm.retired = vmki_retired_new(mm->system);
    if (lane->mm.retired == NULL) {
        vmki_free(mm->system, lane, sizeof(*lane));
        return NULL;
    }
    lane->mm.whole = mm;
    lane->mm.system = mm->system;
    lane->mm.call = &lane->plan;
    lane->mm.tree_memory = vmki_mm_tree_memory(&lane->mm);
    vmki_tree_init(&lane->mm.tree, &lane->mm.tree_memory);
    vmki_tree_init(&lane->mm.reserved, &lane->mm.tree_memory);
    vmk_sync_rwlock_init(&lane->mm.lock);
    return lane;
}

/* The lane that was wanted comes; locked, as all lanes are now. */
static void add_wanted_lane(struct vmk_mm *mm)
{
    struct vmki_lanes *lanes = mm->lanes;
    unsigned wanted = vmki_load_relaxed(&lanes->wanted);
    struct lane *lane;

    if (wanted == 0 || lanes->lane[wanted - 1] != NULL)
        return;
    lane = lane_new(mm);
    if (lane == NULL || !vmk_sync_try_write_lock(&lane->mm.lock)) /* nobody knows it yet, so it is free */
        return;
    vmki_store_release(&lanes->lane[wanted - 1], lane);
}

static struct vmki_lanes *lanes_new(struct vmk_mm *mm)
{
    struct vmki_lanes *lanes = vmki_alloc(mm->system, sizeof(*lanes), 64);

    if (lanes == NULL)
        return NULL;
    memset(lanes, 0, sizeof(*lanes));
    lanes->epoch = 1;
    lanes->lane[0] = lane_new(mm); /* there is always one: its lock is for all who stop lanes with mm.lock shared */
    if (lanes->lane[0] == NULL) {
        vmki_free(mm->system, lanes, sizeof(*lanes));
        return NULL;
    }
    vmki_commit_add_stripes(mm->system);
    return lanes;
}

void vmki_lanes_consider(struct vmk_mm *mm)
{
    if (vmki_lanes_are_open(mm)) {
        add_wanted_lane(mm);
        return;
    }
    if (mm->nr_waits + 1 <= VMKI_LANES_AFTER || vmki_tree_nr_parts(&mm->tree) < 2)
        return;
    if (mm->lanes == NULL) {
        struct vmki_lanes *lanes = lanes_new(mm);

        if (lanes == NULL)
            return;
        vmki_store_release(&mm->lanes, lanes);
    }
    /*
     * Closed lanes have an old layout: nobody may enter one before there is a new one. And a search for gaps that is under way
     * is in vain: one that sees the new count sees that lanes are open as well.
     */
    vmki_lanes_stop(mm);
    vmki_store_relaxed(&mm->lanes_open, true);
    vmki_store_release(&mm->tree.edits, mm->tree.edits + 2);
}

struct vmk_mm *vmki_lane(struct vmk_mm *mm, unsigned number)
{
    struct vmki_lanes *lanes = vmki_load_acquire(&mm->lanes);
    struct lane *lane = lanes != NULL && number < MAX_LANES ? vmki_load_acquire(&lanes->lane[number]) : NULL;

    return lane != NULL ? &lane->mm : NULL;
}

struct vmk_sync_rwlock *vmki_lane_lock(struct vmki_member *member, unsigned number)
{
    struct vmk_mm *lane = vmki_lane(VMKI_CONTAINER_OF(member, struct vmk_mm, member), number);

    return lane != NULL ? &lane->lock : NULL;
}

void vmki_lanes_give_spare(struct vmk_mm *mm)
{
    for (unsigned i = 0; mm->lanes != NULL && i < MAX_LANES; i++) {
        struct vmk_mm *lane = vmki_lane(mm, i);

        if (lane != NULL)
            vmki_mm_settle_leaving(lane);
        while (lane != NULL && lane->spare_anon != NULL) {
            struct vmk_vma *vma = lane->spare_anon;

            lane->spare_anon = vma->link;
            lane->nr_spare_anon--;
            vmki_mm_put_spare(mm, vma);
        }
    }
}

void vmki_lanes_free(struct vmk_mm *mm)
{
    for (unsigned i = 0; mm->lanes != NULL && i < MAX_LANES; i++) {
        struct lane *lane = mm->lanes->lane[i];

        if (lane == NULL)
            continue;
        vmki_tree_release_spare(&lane->mm.tree, 0);
        vmki_mm_memory_end(&lane->mm);
        vmk_sync_rwlock_destroy(&lane->mm.lock);
        vmki_free(mm->system, lane, sizeof(*lane));
    }
    if (mm->lanes != NULL)
        vmki_free(mm->system, mm->lanes, sizeof(*mm->lanes));
    mm->lanes = NULL;
}

/* ---- A call in a lane ---- */

/* The space's settings and modes as they are: they do not change while a lane's lock is held. */
static void copy_modes(struct vmk_mm *lane, const struct vmk_mm *mm)
{
    lane->shared_settings = mm->shared_settings;
    lane->settings = mm->settings;
    lane->page_shift = mm->page_shift;
    lane->page_size = mm->page_size;
    lane->task_size = mm->task_size;
    lane->min_addr = mm->min_addr;
    lane->task_size_max = mm->task_size_max;
    lane->capabilities = mm->capabilities;
    lane->personality = mm->personality;
    lane->rlimits = mm->rlimits;
    lane->layout = mm->layout;
    lane->window_low = mm->window_low;
    lane->window_high = mm->window_high;
    lane->def_flags = mm->def_flags;
    lane->mdwe = mm->mdwe;
    lane->thp_disable = mm->thp_disable;
    lane->pkeys_allocated = mm->pkeys_allocated;
    lane->pkey_exec_only = mm->pkey_exec_only;
    lane->overlay = mm->overlay;
    lane->notice = mm->notice;
    lane->backend = mm->backend;
    lane->peak_vm = UINT64_MAX; /* the marks are the space's */
    lane->nr_vmas_peak = UINT64_MAX;
#define COUNT_COPY(name) lane->name = mm->name;
    LANE_COUNTS(COUNT_COPY)
#undef COUNT_COPY
}

static int64_t room_of(uint64_t limit, uint64_t now, unsigned nr_lanes)
{
    return limit <= now ? 0 : (int64_t)(vmki_min(limit - now, (uint64_t)INT64_MAX) / (nr_lanes + 1));
}

static uint64_t pages_of_limit(const struct vmk_mm *mm, uint64_t bytes)
{
    return mm->settings->enforce_limits == 0 || bytes == VMK_RLIM_INFINITY ? UINT64_MAX : bytes >> mm->page_shift;
}

static void lane_lay_out(struct vmk_mm *mm, struct lane *lane, unsigned number)
{
    unsigned nr = mm->lanes->nr;

    copy_modes(&lane->mm, mm);
    vmki_tree_part_open(&lane->mm.tree, &mm->tree, number);
    vmki_finger_forget(&lane->mm);
    lane->before = counts_of(mm);
    lane->room_vm = room_of(pages_of_limit(mm, mm->rlimits.as.soft), mm->total_vm, nr);
    lane->room_data = room_of(pages_of_limit(mm, mm->rlimits.data.soft), mm->data_vm, nr);
    lane->room_vmas = room_of(mm->lanes->max_map_count, mm->tree.nr_entries, nr);
    lane->epoch = mm->lanes->epoch;
}

static bool lies_inside(const struct vmki_lanes *lanes, unsigned number, vmk_addr start, vmk_addr end)
{
    return number < vmki_load_relaxed(&lanes->nr) && vmki_load_relaxed(&lanes->bound[number]) < start &&
           end < vmki_load_relaxed(&lanes->bound[number + 1]);
}

/* The lane of [start, end) with its lock, laid out; NULL when mm.lock is needed. */
static struct lane *lane_enter(struct vmk_mm *mm, vmk_addr start, uint64_t len)
{
    struct vmki_lanes *lanes = vmki_load_acquire(&mm->lanes);
    unsigned number = 0, nr;
    struct lane *lane;

    if (lanes == NULL || !vmki_lanes_are_open(mm) || len == 0 || start + len < start)
        return NULL;
    nr = vmki_load_relaxed(&lanes->nr);
    while (number + 1 < nr && vmki_load_relaxed(&lanes->bound[number + 1]) <= start)
        number++;
    if (!lies_inside(lanes, number, start, start + len))
        return NULL;
    lane = vmki_load_acquire(&lanes->lane[number]);
    if (lane == NULL) {
        vmki_store_relaxed(&lanes->wanted, number + 1);
        return NULL;
    }
    vmk_sync_write_lock(&lane->mm.lock);
    if (!vmki_lanes_are_open(mm) || !lies_inside(lanes, number, start, start + len)) {
        vmk_sync_write_unlock(&lane->mm.lock);
        return NULL;
    }
    if (lane->epoch != lanes->epoch)
        lane_lay_out(mm, lane, number);
    lane->nr_calls++;
    lane->vm_at_call = lane->mm.total_vm;
    lane->vmas_at_call = lane->mm.tree.nr_entries;
    return lane;
}

static bool lane_leave(struct lane *lane, bool done)
{
    struct vmki_lanes *lanes = lane->mm.whole->lanes;

    use_headroom(lanes, MARK_VM, (int64_t)(lane->mm.total_vm - lane->vm_at_call));
    use_headroom(lanes, MARK_VMAS, (int64_t)(lane->mm.tree.nr_entries - lane->vmas_at_call));
    lane->nr_calls -= !done;
    vmki_mm_unlock(&lane->mm);
    return done;
}

/* Can no limit be reached, nor the charge refused, whatever the other lanes do? `pages` is the most that comes. */
static bool has_room(const struct lane *lane, uint64_t pages)
{
    const struct vmk_sysctl *sysctl = &lane->mm.system->sysctl;
    uint64_t ram = vmki_sysctl(&sysctl->total_ram_pages) + vmki_sysctl(&sysctl->total_swap_pages);
    int64_t more = (int64_t)pages;

    return lane->mm.system->commit == NULL && vmki_sysctl(&sysctl->overcommit_memory) != VMK_OVERCOMMIT_NEVER &&
           pages <= ram && vmki_max_map_count(&lane->mm) == lane->mm.whole->lanes->max_map_count &&
           grown(lane, MARK_VMAS) + 2 < lane->room_vmas && grown(lane, MARK_VM) + more <= lane->room_vm &&
           (int64_t)(lane->mm.data_vm - lane->before.data_vm) + more <= lane->room_data;
}

/* The space, too, has no modes, no listeners and no ranges of somebody else. */
static bool is_plain(const struct lane *lane)
{
    return vmki_mm_is_plain(&lane->mm) && lane->mm.whole->reserved.nr_entries == 0;
}

static bool may_shrink(const struct lane *lane)
{
    return !vmki_load_relaxed(&lane->mm.whole->lanes->above);
}

/* Is everything that touches [start, end) plain, and not much of it? */
static bool is_plain_around(struct vmk_mm *mm, vmk_addr start, vmk_addr end, unsigned most)
{
    struct vmki_cursor cursor;
    struct vmki_tree_entry entry;

    for (vmki_cursor_seek(&cursor, &mm->tree, start - 1); vmki_cursor_entry(&cursor, &entry) && entry.start <= end;
         vmki_cursor_advance(&cursor))
        if (most-- == 0 || !vmki_area_is_plain(entry.flags, entry.item))
            return false;
    return true;
}

static bool edit_keeps_root(struct vmk_mm *mm, const struct vmki_area_edit *edit)
{
    return vmki_cursor_keeps_root(&vmki_seek(mm, edit->from)->at, edit->until, edit->nr_pieces);
}

/* The long way (plan.h) of a call that has one part. False: given up, and nothing has happened. */
static bool lane_call(struct lane *lane, const struct vmki_verb *verb, const void *request, struct vmk_result *result,
                      int *error)
{
    lane->kept = lane->mm.counters;
    if (vmki_call_if(&lane->mm, verb, request, result, edit_keeps_root, error))
        return true;
    lane->mm.counters = lane->kept;
    return false;
}

enum { MOST_AROUND = 8 };

bool vmki_lane_mmap(struct vmk_mm *mm, const struct vmk_mmap_request *request, struct vmk_result *result, int *error)
{
    uint64_t len = vmki_page_align(mm, request->len);
    struct lane *lane;
    bool done;

    *error = 0;
    if (request->flags != (VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED) || request->offset != 0 ||
        !vmki_page_aligned(mm, request->address) || len < request->len ||
        (lane = lane_enter(mm, request->address, len)) == NULL)
        return false;
    done = is_plain(lane) && vmki_prot_is_plain(&lane->mm, request->prot) && has_room(lane, vmki_pages(mm, len)) &&
           (vmki_quick_mmap(&lane->mm, request, result) ||
            (may_shrink(lane) && is_plain_around(&lane->mm, request->address, request->address + len, MOST_AROUND) &&
             lane_call(lane, &vmki_mmap_verb, request, result, error)));
    return lane_leave(lane, done);
}

bool vmki_lane_munmap(struct vmk_mm *mm, const struct vmk_munmap_request *request, struct vmk_result *result,
                      int *error)
{
    uint64_t len = vmki_page_align(mm, request->len);
    struct lane *lane;
    bool done;

    *error = 0;
    if (!vmki_page_aligned(mm, request->address) || len < request->len ||
        (lane = lane_enter(mm, request->address, len)) == NULL)
        return false;
    done = is_plain(lane) && has_room(lane, 0) && may_shrink(lane) &&
           (vmki_quick_munmap(&lane->mm, request, result) ||
            (is_plain_around(&lane->mm, request->address, request->address + len, MOST_AROUND) &&
             lane_call(lane, &vmki_munmap_verb, request, result, error)));
    return lane_leave(lane, done);
}

/* The long way only within one area: then the call has one part. */
bool vmki_lane_mprotect(struct vmk_mm *mm, const struct vmk_mprotect_request *request, struct vmk_result *result,
                        int *error)
{
    uint64_t len = vmki_page_align(mm, request->len);
    struct vmki_tree_entry entry;
    struct lane *lane;
    bool done;

    *error = 0;
    if (request->pkey != -1 || !vmki_page_aligned(mm, request->address) || len < request->len ||
        (lane = lane_enter(mm, request->address, len)) == NULL)
        return false;
    done = is_plain(lane) && vmki_prot_is_plain(&lane->mm, request->prot) && has_room(lane, vmki_pages(mm, len)) &&
           may_shrink(lane) &&
           (vmki_quick_mprotect(&lane->mm, request, result) ||
            (vmki_tree_find(&lane->mm.tree, request->address, &entry) && entry.end >= request->address + len &&
             is_plain_around(&lane->mm, request->address, request->address + len, MOST_AROUND) &&
             lane_call(lane, &vmki_mprotect_verb, request, result, error)));
    return lane_leave(lane, done);
}
