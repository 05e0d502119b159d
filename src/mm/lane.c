/* SPDX-License-Identifier: MIT */
/*
 * lane.c - see lane.h, and docs/locking.md for why it is right.
 *
 * What is decided for the whole address space must not depend on what other lanes are doing:
 *   - limits: a lane takes a call only when the limit could not be reached even if every lane did as much as this one;
 *   - the high marks (VmPeak, the most areas): what there is and all that lanes of threads and processors have as `headroom`
 *     do not exceed them together. What grows takes headroom, what shrinks leaves it; a call that finds too little sets
 *     `above`, and then nothing shrinks before a stop has set the marks;
 *   - the commit charge: where it is only counted (modes 0 and 1), it is counted by lane.
 */
#include "mm/lane.h"

#include "base/atomic.h"
#include "base/search.h"
#include "mm/quick.h"

/* After so many calls that needed mm.lock it is asked whether lanes are worth it; a synchronisation header may say it. */
#if !defined(VMK_SYNC_LANES_WINDOW)
#define VMK_SYNC_LANES_WINDOW 256
#endif
enum { MAX_PARTS = VMKI_TREE_MAX_PARTS, MAX_LANES = VMKI_MAX_LANES, WINDOW = VMK_SYNC_LANES_WINDOW };

/* So many calls of one thread after the other, and a part moves to its lane; twice as many each time that it came back. */
enum { STREAK = WINDOW / 4, MAX_STREAK = 1 << 20 };
/* A thread's lane is another thread's when it was not used between so many stops. */
enum { IDLE_STOPS = 8 };

#if defined(VMK_SYNC_THREAD)
#define THIS_THREAD() VMK_SYNC_THREAD()
#else
#define THIS_THREAD() ((uintptr_t)0) /* no lane is a thread's */
#endif

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

/* Which addresses a thread has used. */
struct use {
    uintptr_t thread; /* 0: none */
    vmk_addr low, high;
};

struct lane {
    struct vmk_mm mm; /* first; its lock is the lane's lock, which guards all */
    struct vmki_lanes *lanes;
    uint64_t epoch;       /* of the last stop; another one: the lane is not laid out anew yet */
    uint32_t part;        /* the one that mm.tree is of now, which is the lane's then; or NO_PART */
    uint32_t changed;     /* a bit for each that it was of since the last stop */
    uintptr_t thread;     /* whose it is (atomic; written with all locks); of a part's home: who was there last */
    uint32_t nr_streak;   /* of a home: that thread's calls, one after the other */
    uint32_t most_streak; /* and how many of them move the part; 0 of a thread's lane */
    vmk_addr low, bound;  /* of calls inside that part; none for NO_PART */
    uint64_t most_vm, most_data, most_vmas; /* how large it may become until the next stop, for the limits' sake */
    uint64_t most[NR_MARKS];    /* sizes that need no more headroom; of a home: what they were at the call */
    int64_t headroom[NR_MARKS]; /* of a thread's lane, while it is not laid out */
    uint64_t nr_calls;
    struct counts before;     /* at the last stop */
    struct vmk_counters kept; /* in a call that may be given up */
    struct use use[2];        /* of a home: the two last threads */
    uint32_t nr_turns;        /* of a home: how often another thread came */
    uint32_t most_turns;      /* and when it is asked whether they would be better apart */
    struct vmki_plan plan;
};
enum { NO_PART = MAX_PARTS };

enum { NR_GUESSES = 64 };

/* All written with mm.lock exclusive, or with all lanes' locks; words that others read before they have a lock are atomic. */
struct vmki_lanes {
    struct headroom headroom[NR_HEADROOMS];
    bool above;                /* atomic; set with one lane's lock */
    int64_t missing[NR_MARKS]; /* atomic; a hint: the headroom that a call would have needed */
    uint32_t nr;               /* of parts */
    uint32_t wanted;           /* atomic; a hint: a part that has no home yet, plus 1 */
    uintptr_t wanted_thread;   /* atomic; a hint: a thread that is to have a lane */
    vmk_addr divide_at;        /* atomic; a hint: where a part is to be divided, or 0 */
    uint64_t epoch;
    uint64_t max_map_count;          /* at the last stop */
    uint64_t nr_exclusive, nr_calls; /* of a window, for the decision to go on */
    vmk_addr bound[MAX_PARTS + 1];   /* atomic, as the next one; where parts begin, and the last ends */
    vmk_addr low[MAX_PARTS];         /* from where on calls may change something */
    struct lane *owner[MAX_PARTS]; /* atomic; of a part: written with all locks, or with those of the old and the new */
    struct lane *guess[NR_GUESSES]; /* atomic; by thread: perhaps its lane */
    struct lane *lane[MAX_LANES];   /* atomic; homes, then lanes of threads; what is there stays */
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

static uint64_t size_of(const struct lane *lane, unsigned mark)
{
    return mark == MARK_VM ? lane->mm.total_vm : lane->mm.tree.nr_entries;
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

static void forget_part(struct lane *lane)
{
    lane->part = NO_PART;
    lane->low = lane->bound = 0;
}

/* What the lane has done is the space's. Which parts it was of, as bits. The lane's lock is held. */
static uint32_t lane_settle(struct vmk_mm *mm, struct lane *lane)
{
    if (lane->epoch != mm->lanes->epoch)
        return 0;
#define COUNT_ADD(name) mm->name += lane->mm.name - lane->before.name;
    LANE_COUNTS(COUNT_ADD)
#undef COUNT_ADD
    vmki_tree_part_close(&lane->mm.tree, &mm->tree, (size_t)lane->before.nr_vmas);
    mm->lanes->nr_calls += lane->nr_calls;
    lane->nr_calls = 0;
    for (unsigned mark = 0; mark < NR_MARKS; mark++)
        lane->headroom[mark] =
            lane->most[mark] > size_of(lane, mark) ? (int64_t)(lane->most[mark] - size_of(lane, mark)) : 0;
    forget_part(lane);
    return lane->changed;
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
            changed |= lane_settle(mm, lanes->lane[i]);
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

static int64_t take_from(int64_t *left, int64_t wanted)
{
    int64_t part = *left < wanted ? *left : wanted;

    *left -= part;
    return part;
}

/* Takes up to `wanted` of what processors have, and then lanes of threads. */
static int64_t take_headroom(struct vmki_lanes *lanes, unsigned mark, int64_t wanted)
{
    int64_t taken = 0;

    for (unsigned i = 0; i < NR_HEADROOMS && taken < wanted; i++)
        taken += take_from(&lanes->headroom[i].mark[mark], wanted - taken);
    for (unsigned i = MAX_PARTS; i < MAX_LANES && taken < wanted; i++)
        if (lanes->lane[i] != NULL)
            taken += take_from(&lanes->lane[i]->headroom[mark], wanted - taken);
    return taken;
}

/*
 * All headroom and the size keep below the mark; what is left goes to this processor, whose call needed mm.lock. Where a
 * call found too little, it is taken from others: it may lie where nobody is any more.
 */
static void share_headroom(struct vmki_lanes *lanes, unsigned mark, uint64_t size, uint64_t peak)
{
    int64_t left = (int64_t)(peak - size), missing = vmki_load_relaxed(&lanes->missing[mark]);

    for (unsigned i = 0; i < NR_HEADROOMS; i++)
        left -= lanes->headroom[i].mark[mark];
    for (unsigned i = MAX_PARTS; i < MAX_LANES; i++)
        left -= lanes->lane[i] != NULL ? lanes->lane[i]->headroom[mark] : 0;
    if (missing > left)
        left += take_headroom(lanes, mark, missing - left);
    own_headroom(lanes)->mark[mark] += left;
    vmki_store_relaxed(&lanes->missing[mark], 0);
}

static bool is_threads(const struct lane *lane)
{
    return lane->most_streak == 0;
}

/* Whose part it is: its thread's if it has moved, for all that is known; else the home's. */
static struct lane *owner_of(const struct vmki_lanes *lanes, unsigned number)
{
    struct lane *owner = lanes->owner[number];

    return owner != NULL && is_threads(owner) ? owner : lanes->lane[number];
}

/* `nr`: of parts, or 0 when lanes are closed. */
static void lay_out(struct vmk_mm *mm, unsigned nr)
{
    struct vmki_lanes *lanes = mm->lanes;

    lanes->nr = nr;
    for (unsigned i = 0; i < nr; i++) {
        vmki_store_relaxed(&lanes->bound[i], vmki_tree_part_bound(&mm->tree, i));
        vmki_store_relaxed(&lanes->low[i], vmki_tree_part_low(&mm->tree, i));
        vmki_store_release(&lanes->owner[i], owner_of(lanes, i));
    }
    vmki_store_relaxed(&lanes->bound[nr], VMKI_TREE_MAX_END);
    for (unsigned i = nr; i < MAX_PARTS; i++) {
        vmki_store_relaxed(&lanes->bound[i + 1], UINT64_MAX);
        vmki_store_relaxed(&lanes->owner[i], NULL);
    }
    lanes->max_map_count = vmki_max_map_count(mm);
    vmki_store_relaxed(&lanes->above, false);
}

/* At the end of a window: do lanes do enough? */
static void close_idle(struct vmk_mm *mm, unsigned nr_parts)
{
    struct vmki_lanes *lanes = mm->lanes;

    if (lanes->nr_calls < WINDOW || nr_parts == 0) {
        vmki_store_release(&mm->lanes_open, false);
        mm->nr_waits = 0;
    }
    lanes->nr_exclusive = lanes->nr_calls = 0;
}

void vmki_lanes_go(struct vmk_mm *mm, bool exclusive)
{
    struct vmki_lanes *lanes = mm->lanes;
    unsigned nr_parts = vmki_tree_nr_parts(&mm->tree);

    note_marks(mm);
    share_headroom(lanes, MARK_VM, mm->total_vm, mm->peak_vm);
    share_headroom(lanes, MARK_VMAS, mm->tree.nr_entries, mm->nr_vmas_peak);
    vmki_store_relaxed(&lanes->wanted, 0);
    vmki_store_relaxed(&lanes->wanted_thread, 0);
    vmki_store_relaxed(&lanes->divide_at, 0);
    if (exclusive && ++lanes->nr_exclusive == WINDOW)
        close_idle(mm, nr_parts);
    lay_out(mm, vmki_lanes_are_open(mm) ? nr_parts : 0);
    for (unsigned i = MAX_LANES; i > 0; i--)
        if (lanes->lane[i - 1] != NULL)
            vmk_sync_write_unlock(&lanes->lane[i - 1]->mm.lock);
}

/* ---- Making lanes ---- */

static struct lane *lane_new(struct vmk_mm *mm, uint32_t most_streak)
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
    lane->mm.place = (uint32_t)((uintptr_t)lane >> 12);
    lane->lanes = mm->lanes;
    forget_part(lane);
    lane->most_streak = most_streak;
    lane->most_turns = STREAK;
    return lane;
}

/* A lane comes at that place; locked, as all lanes are now. */
static void add_lane(struct vmk_mm *mm, unsigned number, uint32_t most_streak, uintptr_t thread)
{
    struct lane *lane = lane_new(mm, most_streak);

    if (lane == NULL || !vmk_sync_try_write_lock(&lane->mm.lock)) /* nobody knows it yet, so it is free */
        return;
    lane->thread = thread;
    lane->mm.place += number;
    vmki_store_release(&mm->lanes->lane[number], lane);
}

static struct lane **guess_of(struct vmki_lanes *lanes, uintptr_t thread)
{
    return &lanes->guess[(thread * UINT64_C(0x9e3779b97f4a7c15)) >> 58];
}
_Static_assert(NR_GUESSES == 1 << (64 - 58), "a place for each hash");

static void add_home(struct vmk_mm *mm)
{
    unsigned wanted = vmki_load_relaxed(&mm->lanes->wanted);

    if (wanted != 0 && mm->lanes->lane[wanted - 1] == NULL)
        add_lane(mm, wanted - 1, STREAK, 0);
}

static struct lane *lane_of_thread(const struct vmki_lanes *lanes, uintptr_t thread)
{
    for (unsigned i = MAX_PARTS; i < MAX_LANES; i++) {
        struct lane *lane = vmki_load_acquire(&lanes->lane[i]);

        if (lane != NULL && vmki_load_relaxed(&lane->thread) == thread)
            return lane;
    }
    return NULL;
}

/* A thread is to have a lane: a new one, or one that nobody uses any more. */
static void add_lane_of_thread(struct vmk_mm *mm)
{
    struct vmki_lanes *lanes = mm->lanes;
    uintptr_t thread = vmki_load_relaxed(&lanes->wanted_thread);
    struct lane *lane;

    if (thread == 0 || lane_of_thread(lanes, thread) != NULL)
        return;
    for (unsigned i = MAX_PARTS; i < MAX_LANES; i++) {
        if (lanes->lane[i] == NULL)
            add_lane(mm, i, 0, thread);
        lane = lanes->lane[i];
        if (lane == NULL)
            return;
        if (lane->thread == thread || lane->epoch + IDLE_STOPS < lanes->epoch) {
            vmki_store_relaxed(&lane->thread, thread);
            lane->epoch = lanes->epoch - 1; /* not idle, though not laid out */
            vmki_store_release(guess_of(lanes, thread), lane);
            return;
        }
    }
}

static struct vmki_lanes *lanes_new(struct vmk_mm *mm)
{
    struct vmki_lanes *lanes = vmki_alloc(mm->system, sizeof(*lanes), 64);

    if (lanes == NULL)
        return NULL;
    memset(lanes, 0, sizeof(*lanes));
    lanes->epoch = 1;
    lanes->lane[0] =
        lane_new(mm, STREAK); /* there is always one: its lock is for all who stop lanes with mm.lock shared */
    if (lanes->lane[0] == NULL) {
        vmki_free(mm->system, lanes, sizeof(*lanes));
        return NULL;
    }
    lanes->lane[0]->lanes = lanes;
    vmki_commit_add_stripes(mm->system);
    return lanes;
}

/* The last part that begins at or below the address. */
static unsigned part_at(const struct vmki_lanes *lanes, vmk_addr address)
{
    const vmk_addr *bound = lanes->bound;
    uint64_t third = vmki_step((uintptr_t)&bound[0], (uintptr_t)&bound[7], &bound[7], address);
    size_t rank = 0;

    bound = (const vmk_addr *)(uintptr_t)vmki_step(third, (uintptr_t)&bound[14], &bound[14], address);
    rank = vmki_rank_add(rank, &bound[1], address);
    rank = vmki_rank_add(rank, &bound[2], address);
    rank = vmki_rank_add(rank, &bound[3], address);
    rank = vmki_rank_add(rank, &bound[4], address);
    rank = vmki_rank_add(rank, &bound[5], address);
    rank = vmki_rank_add(rank, &bound[6], address);
    return (unsigned)((size_t)(bound - lanes->bound) + rank);
}
_Static_assert(MAX_PARTS == 3 * 7, "the search goes by thirds of seven");

/* The part from there on is another one; who had which is kept in mind. */
static void divide_part(struct vmk_mm *mm)
{
    struct vmki_lanes *lanes = mm->lanes;
    vmk_addr at = vmki_load_relaxed(&lanes->divide_at);
    unsigned part = part_at(lanes, at);

    if (at == 0 || lanes->nr != vmki_tree_nr_parts(&mm->tree) || !vmki_tree_divide_part(&mm->tree, at))
        return;
    vmki_finger_forget(mm);
    for (unsigned i = lanes->nr; i > part + 1; i--)
        vmki_store_release(&lanes->owner[i], lanes->owner[i - 1]);
}

void vmki_lanes_consider(struct vmk_mm *mm)
{
    if (vmki_lanes_are_open(mm)) {
        add_home(mm);
        add_lane_of_thread(mm);
        divide_part(mm);
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

/* ---- Laying out a lane ---- */

/*
 * Of the space's settings and modes what calls at a fixed place ask for: they do not change while a lane's lock is held. Where
 * the space would place something itself is not asked in a lane.
 */
static void copy_modes(struct vmk_mm *lane, const struct vmk_mm *mm)
{
    lane->settings = mm->settings;
    lane->page_shift = mm->page_shift;
    lane->page_size = mm->page_size;
    lane->min_addr = mm->min_addr;
    lane->task_size_max = mm->task_size_max;
    lane->capabilities = mm->capabilities;
    lane->personality = mm->personality;
    lane->rlimits = mm->rlimits;
    lane->def_flags = mm->def_flags;
    lane->mdwe = mm->mdwe;
    lane->pkey_exec_only = mm->pkey_exec_only;
    lane->overlay = mm->overlay;
    lane->notice = mm->notice;
    lane->reserved.nr_entries = mm->reserved.nr_entries;
    lane->backend = mm->backend;
    lane->peak_vm = UINT64_MAX; /* the marks are the space's */
    lane->nr_vmas_peak = UINT64_MAX;
#define COUNT_COPY(name) lane->name = mm->name;
    LANE_COUNTS(COUNT_COPY)
#undef COUNT_COPY
}

/* Up to where each lane may go: what is free below the limit is for all of them. */
static uint64_t share_of(uint64_t limit, uint64_t now, unsigned nr_lanes)
{
    return now + vmki_min(limit - vmki_min(limit, now), (uint64_t)INT64_MAX) / (nr_lanes + 1);
}

static uint64_t pages_of_limit(const struct vmk_mm *mm, uint64_t bytes)
{
    return mm->settings->enforce_limits == 0 || bytes == VMK_RLIM_INFINITY ? UINT64_MAX : bytes >> mm->page_shift;
}

static VMKI_NOINLINE void lane_lay_out(struct vmk_mm *mm, struct lane *lane)
{
    unsigned nr = mm->lanes->nr + MAX_LANES - MAX_PARTS; /* that may grow: homes, and lanes of threads */

    copy_modes(&lane->mm, mm);
    vmki_tree_part_begin(&lane->mm.tree, &mm->tree);
    lane->changed = 0;
    lane->before = counts_of(mm);
    lane->most_vm = share_of(pages_of_limit(mm, mm->rlimits.as.soft), mm->total_vm, nr);
    lane->most_data = share_of(pages_of_limit(mm, mm->rlimits.data.soft), mm->data_vm, nr);
    lane->most_vmas = share_of(mm->lanes->max_map_count, mm->tree.nr_entries, nr);
    for (unsigned mark = 0; mark < NR_MARKS; mark++)
        lane->most[mark] = size_of(lane, mark) + (uint64_t)lane->headroom[mark];
    lane->epoch = mm->lanes->epoch;
}

/* ---- Which lane ---- */

/* Of a call: what it may change, which part that is, and who calls. */
struct where {
    vmk_addr start, end;
    unsigned part;
    uintptr_t thread;
};

/* Strictly inside a part: then no area of another part touches it, nor can one come to touch it. */
static inline bool lies_inside(const struct vmki_lanes *lanes, const struct where *where)
{
    return vmki_load_relaxed(&lanes->low[where->part]) <= where->start &&
           where->end < vmki_load_relaxed(&lanes->bound[where->part + 1]);
}

/* Is the part the lane's, and the range inside it? With the lane's lock: so it stays until that is given back. */
static inline bool lane_has(const struct lane *lane, const struct where *where)
{
    return vmki_load_relaxed(&lane->lanes->owner[where->part]) == lane && lies_inside(lane->lanes, where);
}

/* The part is another lane's from now on; the locks of both are held. */
static void part_moves(struct vmki_lanes *lanes, unsigned part, struct lane *from, struct lane *to)
{
    if (from->part == part)
        forget_part(from);
    vmki_store_release(&lanes->owner[part], to);
}

static uint32_t twice(uint32_t streak)
{
    return streak < MAX_STREAK ? 2 * streak : streak;
}

/* The part goes back home, as another thread came. The home, locked in place of the thread's lane; or NULL, and neither is. */
static struct lane *move_home(struct vmk_mm *mm, struct lane *lane, const struct where *where)
{
    struct lane *home = vmki_load_acquire(&mm->lanes->lane[where->part]);

    vmk_sync_write_unlock(&lane->mm.lock); /* in order: homes first */
    if (home == NULL) {
        vmki_store_relaxed(&mm->lanes->wanted, where->part + 1);
        return NULL;
    }
    vmk_sync_write_lock(&home->mm.lock);
    vmk_sync_write_lock(&lane->mm.lock);
    if (!lane_has(lane, where)) {
        vmk_sync_write_unlock(&lane->mm.lock);
        vmk_sync_write_unlock(&home->mm.lock);
        return NULL;
    }
    part_moves(mm->lanes, where->part, lane, home);
    vmk_sync_write_unlock(&lane->mm.lock);
    home->thread = where->thread;
    home->nr_streak = 0;
    home->most_streak = twice(home->most_streak);
    return home;
}

/* The part moves to its thread's lane, which is locked then in place of the home; or NULL, and neither is. */
static struct lane *move_to_thread(struct vmk_mm *mm, struct lane *home, const struct where *where)
{
    struct lane *lane = lane_of_thread(mm->lanes, where->thread);

    home->nr_streak = 0;
    if (lane == NULL) {
        home->most_streak = twice(home->most_streak);
        vmki_store_relaxed(&mm->lanes->wanted_thread, where->thread);
        vmk_sync_write_unlock(&home->mm.lock);
        return NULL;
    }
    vmk_sync_write_lock(&lane->mm.lock);
    part_moves(mm->lanes, where->part, home, lane);
    vmk_sync_write_unlock(&home->mm.lock);
    return lane;
}

/* A thread has used the part, in its home. */
static void note_use(struct lane *home, const struct where *where)
{
    struct use *use = &home->use[home->use[0].thread == where->thread ? 0 : 1];

    if (use->thread != where->thread) {
        home->use[0] = home->use[1];
        *use = (struct use){where->thread, where->start, where->end};
    }
    use->low = vmki_min(use->low, where->start);
    use->high = vmki_max(use->high, where->end);
}

/*
 * Two threads have taken turns in a part for a while. True when each kept to a side of its own: then the part is to be divided
 * between them.
 */
static bool want_division(struct vmki_lanes *lanes, struct lane *home)
{
    const struct use *below = &home->use[home->use[0].low < home->use[1].low ? 0 : 1];
    const struct use *above = &home->use[below == home->use];
    bool apart = below->thread != 0 && above->thread != 0 && below->high <= above->low;

    if (apart)
        vmki_store_relaxed(&lanes->divide_at, below->high + (above->low - below->high) / 2);
    home->use[0].thread = home->use[1].thread = 0;
    home->nr_turns = 0;
    home->most_turns = twice(home->most_turns);
    return apart;
}

/* Another thread than the last one came, or the same one often enough. */
static VMKI_NOINLINE struct lane *change_lane(struct vmk_mm *mm, struct lane *lane, const struct where *where)
{
    if (is_threads(lane))
        return lane->thread == where->thread ? lane : move_home(mm, lane, where);
    if (lane->thread == where->thread)
        return where->thread != 0 ? move_to_thread(mm, lane, where) : lane;
    lane->thread = where->thread;
    lane->nr_streak = 0;
    if (++lane->nr_turns < lane->most_turns || !want_division(mm->lanes, lane))
        return lane;
    vmk_sync_write_unlock(&lane->mm.lock);
    return NULL;
}

/* ---- A call in a lane ---- */

/* The lane that has the part, locked; NULL when mm.lock is needed. */
static VMKI_NOINLINE struct lane *lane_of_part(struct vmk_mm *mm, const struct where *where)
{
    struct vmki_lanes *lanes = mm->lanes;
    struct lane *lane;

    if (!lies_inside(lanes, where))
        return NULL;
    lane = vmki_load_acquire(&lanes->owner[where->part]);
    if (lane == NULL) {
        vmki_store_relaxed(&lanes->wanted, where->part + 1);
        return NULL;
    }
    vmk_sync_write_lock(&lane->mm.lock);
    if (!lane_has(lane, where)) {
        vmk_sync_write_unlock(&lane->mm.lock);
        return NULL;
    }
    if ((lane->thread != where->thread || ++lane->nr_streak == lane->most_streak) &&
        (lane = change_lane(mm, lane, where)) == NULL)
        return NULL;
    if (!is_threads(lane))
        note_use(lane, where);
    return lane;
}

/*
 * The same, where it is this thread's. Its lock is taken before it is known which part is meant, since what is looked up after
 * that, though not before it, goes on beside all that follows.
 */
static inline struct lane *own_lane(struct vmki_lanes *lanes, struct where *where)
{
    struct lane *lane = vmki_load_acquire(guess_of(lanes, where->thread));

    if (lane == NULL || vmki_load_relaxed(&lane->thread) != where->thread)
        return NULL;
    vmk_sync_write_lock(&lane->mm.lock);
    where->part = lane->part;
    if (VMKI_LIKELY(lane->low <= where->start && where->end < lane->bound && lane->thread == where->thread))
        return lane;
    where->part = part_at(lanes, where->start);
    if (lane_has(lane, where) && lane->thread == where->thread)
        return lane;
    vmk_sync_write_unlock(&lane->mm.lock);
    return NULL;
}

/* The lane of [start, end) with its lock, laid out; NULL when mm.lock is needed. */
static struct lane *lane_enter(struct vmk_mm *mm, vmk_addr start, uint64_t len)
{
    struct vmki_lanes *lanes = vmki_load_acquire(&mm->lanes);
    struct where where = {.start = start, .end = start + len, .thread = THIS_THREAD()};
    struct lane *lane;

    if (lanes == NULL || where.end <= start)
        return NULL;
    lane = own_lane(lanes, &where);
    if (VMKI_UNLIKELY(lane == NULL)) {
        where.part = part_at(lanes, start);
        lane = lane_of_part(mm, &where);
        if (lane == NULL)
            return NULL;
    }
    if (VMKI_UNLIKELY(lane->epoch != lanes->epoch))
        lane_lay_out(mm, lane);
    if (lane->part != where.part) {
        lane->part = where.part;
        lane->low = vmki_load_relaxed(&lanes->low[where.part]);
        lane->bound = vmki_load_relaxed(&lanes->bound[where.part + 1]);
        lane->changed |= UINT32_C(1) << where.part;
        vmki_tree_part_open(&lane->mm.tree, &mm->tree, where.part);
        vmki_finger_forget(&lane->mm);
    }
    lane->nr_calls++;
    if (VMKI_UNLIKELY(!is_threads(lane)))
        for (unsigned mark = 0; mark < NR_MARKS; mark++)
            lane->most[mark] = size_of(lane, mark);
    return lane;
}

/* Takes headroom from this processor, or leaves it there. False when there is too little. */
static bool use_processors_headroom(struct vmki_lanes *lanes, unsigned mark, int64_t change)
{
    int64_t *left = &own_headroom(lanes)->mark[mark], now = vmki_load_relaxed(left);

    do {
        if (change > now)
            return false;
    } while (!__atomic_compare_exchange_n(left, &now, now - change, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return true;
}

/* What this thread's lane has, for a call in a home, which is locked. */
static bool use_threads_headroom(struct lane *home, unsigned mark, uint64_t change)
{
    struct lane *lane = lane_of_thread(home->lanes, home->thread);
    bool enough;

    if (lane == NULL)
        return false;
    vmk_sync_write_lock(&lane->mm.lock);
    if (lane->epoch != lane->lanes->epoch)
        lane_lay_out(home->mm.whole, lane);
    enough = size_of(lane, mark) + change <= lane->most[mark];
    lane->most[mark] -= enough ? change : 0;
    vmk_sync_write_unlock(&lane->mm.lock);
    return enough;
}

/* A call has changed sizes, and a thread's lane has too little headroom: takes some, or leaves it. */
static VMKI_NOINLINE void use_headroom(struct lane *lane)
{
    struct vmki_lanes *lanes = lane->lanes;

    for (unsigned mark = 0; mark < NR_MARKS; mark++) {
        int64_t change = (int64_t)(size_of(lane, mark) - lane->most[mark]);

        if (change == 0 || (is_threads(lane) && change < 0))
            continue;
        if (use_processors_headroom(lanes, mark, change)) {
            lane->most[mark] += (uint64_t)change;
        } else if (is_threads(lane) || !use_threads_headroom(lane, mark, (uint64_t)change)) {
            vmki_store_relaxed(&lanes->missing[mark], change);
            vmki_store_relaxed(&lanes->above, true);
        }
    }
}

static inline bool lane_leave(struct lane *lane, bool done)
{
    if (VMKI_UNLIKELY(!is_threads(lane) || lane->mm.total_vm > lane->most[MARK_VM] ||
                      lane->mm.tree.nr_entries > lane->most[MARK_VMAS]))
        use_headroom(lane);
    lane->nr_calls -= !done;
    vmki_mm_unlock(&lane->mm);
    return done;
}

/* Can no limit be reached, nor the charge refused, whatever the other lanes do? `pages` is the most that comes. */
static inline bool has_room(const struct lane *lane, uint64_t pages)
{
    const struct vmk_sysctl *sysctl = &lane->mm.system->sysctl;
    uint64_t ram = vmki_sysctl(&sysctl->total_ram_pages) + vmki_sysctl(&sysctl->total_swap_pages);

    return lane->mm.system->commit == NULL && vmki_sysctl(&sysctl->overcommit_memory) != VMK_OVERCOMMIT_NEVER &&
           pages <= ram && vmki_max_map_count(&lane->mm) == lane->lanes->max_map_count &&
           (int64_t)(lane->most_vmas - lane->mm.tree.nr_entries) > 2 &&
           (int64_t)(lane->most_vm - lane->mm.total_vm) >= (int64_t)pages &&
           (int64_t)(lane->most_data - lane->mm.data_vm) >= (int64_t)pages;
}

static bool may_shrink(const struct lane *lane)
{
    return !vmki_load_relaxed(&lane->lanes->above);
}

/*
 * May the long way be taken: no modes, no listeners, no ranges of somebody else, and is everything that touches [start, end)
 * plain, and not much of it? (The short way asks the same of what it does.)
 */
static bool is_plain_around(struct vmk_mm *mm, vmk_addr start, vmk_addr end, unsigned most)
{
    struct vmki_cursor cursor;
    struct vmki_tree_entry entry;

    if (!vmki_mm_is_plain(mm))
        return false;
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

    if (request->flags != (VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED) || request->offset != 0 ||
        !vmki_page_aligned(mm, request->address) || len < request->len ||
        (lane = lane_enter(mm, request->address, len)) == NULL)
        return false;
    done = has_room(lane, vmki_pages(mm, len)) &&
           (vmki_quick_mmap(&lane->mm, request, result) ||
            (may_shrink(lane) && vmki_prot_is_plain(&lane->mm, request->prot) &&
             is_plain_around(&lane->mm, request->address, request->address + len, MOST_AROUND) &&
             lane_call(lane, &vmki_mmap_verb, request, result, error)));
    return lane_leave(lane, done);
}

bool vmki_lane_munmap(struct vmk_mm *mm, const struct vmk_munmap_request *request, struct vmk_result *result,
                      int *error)
{
    uint64_t len = vmki_page_align(mm, request->len);
    struct lane *lane;
    bool done;

    if (!vmki_page_aligned(mm, request->address) || len < request->len ||
        (lane = lane_enter(mm, request->address, len)) == NULL)
        return false;
    done = has_room(lane, 0) && may_shrink(lane) &&
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

    if (request->pkey != -1 || !vmki_page_aligned(mm, request->address) || len < request->len ||
        (lane = lane_enter(mm, request->address, len)) == NULL)
        return false;
    done = has_room(lane, vmki_pages(mm, len)) && may_shrink(lane) &&
           (vmki_quick_mprotect(&lane->mm, request, result) ||
            (vmki_prot_is_plain(&lane->mm, request->prot) && vmki_tree_find(&lane->mm.tree, request->address, &entry) &&
             entry.end >= request->address + len &&
             is_plain_around(&lane->mm, request->address, request->address + len, MOST_AROUND) &&
             lane_call(lane, &vmki_mprotect_verb, request, result, error)));
    return lane_leave(lane, done);
}
