/* SPDX-License-Identifier: MIT */
/*
 * mm.h - struct vmk_mm and struct vmk_vma inside, and the primitives that verbs are made of.
 *
 * The way of a verb (edit.h, plan.h): check, charge, reserve, place, prepare an area edit, commit it. Accounting follows
 * from the edit: whatever an edit replaces is taken from the counters and whatever it puts there is added, so that no
 * verb keeps books of its own.
 *
 * Locks: "mm.lock" beside a field means: written with mm.lock held exclusively, read with it held in either way.
 */
#ifndef VMKI_MM_H
#define VMKI_MM_H

#include "base/base.h"
#include "base/sync.h"
#include "object/object.h"
#include "system/system.h"
#include "tree/tree.h"
#include "vmakit/vmakit.h"

/* ---- Flags that live beside the public ones in vma->flags ---- */

/* The anon_vma came through a fork: such an area never joins one without, and never lends its own (facts: Merging 4). */
#define VMKI_VM_FORKED VMK_VM_FLAG(60)
/* Imported without history: whether there is an anon_vma is not known. */
#define VMKI_VM_ANON_UNKNOWN VMK_VM_FLAG(61)
/*
 * In an entry of the tree alone, never in vma->flags: nothing hangs of the area. It has no file, no anon_vma and no ext, and
 * its bias is 0, so that who changes or copies it need not look at it. Most areas are so, but the bit may be missing.
 */
#define VMKI_VM_BARE   VMK_VM_FLAG(62)
#define VMKI_VM_PUBLIC (VMK_VM_FLAG(60) - 1)
/*
 * Private huge pages: the pool has reserved one for each page of the area, touched or not, and gets it back with any part
 * that goes. Fork children hold none.
 */
#define VMKI_VM_POOLED VMK_VM_FLAG(63)
/* What two neighbours may differ in and still merge. */
#define VMKI_VM_MERGE_IGNORED (VMK_VM_SOFTDIRTY | VMK_VM_GUARD_REGION | ~VMKI_VM_PUBLIC)

/* A memory policy, by value; mode VMK_MPOL_DEFAULT with no nodes is none. */
struct vmki_policy {
    uint32_t mode; /* with VMK_MPOL_F_* */
    uint64_t nodes;
};

/*
 * What few areas have: operations, name, policy, userfaultfd context, the embedder's pointer. Shared by the halves of a
 * split and never changed once an area points at it: a change is a new one. Freed, after readers, with the last reference.
 */
struct vmki_ext {
    struct vmki_ext *retired; /* link of a retired one */
    uint32_t refs;            /* atomic */
    uint32_t uffd_features;   /* 1: follows fork, 2: follows mremap */
    const struct vmk_vm_ops *ops;
    void *private_data;
    const char *special_name; /* static text */
    void *user;
    struct vmki_policy policy;
    uint64_t uffd;
    uint32_t name_size; /* bytes in name, its zero included; 0 for no name */
    char name[];        /* PR_SET_VMA */
};

/*
 * An area. start, end and flags stand in the tree's leaf as well, where lock-free readers take them from; the other
 * fields never change while the area is published, but for anon_vma and ext, which are single published pointers.
 */
struct vmk_vma {
    vmk_addr start, end;   /* mm.lock; object.rmap too for an area of a file */
    vmk_vm_flags flags;    /* mm.lock; VMKI_VM_* included */
    struct vmk_vma *link;  /* in a list of spare, new or retired areas; its one owner's */
    uint64_t bias;         /* pgoff - start / page size: the same for every part of it; constant */
    struct vmk_mm *mm;     /* constant */
    struct vmk_file *file; /* constant; a reference */
    struct vmki_anon_vma
        *anon_vma;        /* mm.lock; set from NULL by a fault under mm.lock shared and anon_lock; a reference */
    struct vmki_ext *ext; /* mm.lock; a reference */
};

/* An area of a file: linked to the object's reverse map. */
struct vmki_file_vma {
    struct vmk_vma vma;
    struct vmki_rmap_link rmap;
};

struct vmki_overlay; /* overlay.c */

/*
 * Where the last search of a writer ended: the parts of a call, and of the next call, mostly look at one place, and one
 * descent of the tree serves them all. Right for the addresses of [low, high); until the tree changes in another way.
 */
struct vmki_finger {
    vmk_addr low, high;
    struct vmki_tree_entry entry; /* the one it stands on; item is NULL past the last */
    struct vmki_cursor at;
};

struct vmki_lanes; /* lane.h */

enum { VMKI_NR_LEAVING = 4 };

struct vmk_mm {
    /* Read by all, written by none: with the root of the tree, but without what every edit writes, in one line. */
    struct vmk_system *system;             /* constant */
    struct vmki_settings *shared_settings; /* a reference */
    const struct vmk_settings *settings;   /* shared_settings->values */
    uint32_t page_shift;                   /* from settings, as the next two */
    uint64_t page_size;
    vmk_addr task_size;     /* end of what a hint below va_bits can reach */
    vmk_addr task_size_max; /* end of all: with va_bits_wide */

    struct vmki_tree tree;               /* mm.lock; lock-free readers */
    struct vmki_tree_memory tree_memory; /* constant */
    struct vmk_sync_rwlock lock;         /* mm.lock */
    struct vmk_sync_mutex anon_lock;     /* lets faults under mm.lock shared set anon_vma */
    uint32_t nr_waits;                   /* mm.lock exclusive: how much writers wait for it, of late */

    /* Read by faults, and by calls that look for a lane; seldom written. */
    _Alignas(64) struct vmki_lanes *lanes; /* atomic; NULL until writers wait for each other; what is there stays */
    struct vmk_mm *whole;                  /* constant: itself; of a lane the address space that it is of */
    struct vmki_stripe *fault_stripes;     /* counts of faults by processor; NULL until several fault at once */
    uint32_t fault_processor; /* of the last fault that was counted here, and how often it was another one */
    uint32_t nr_fault_moves;
    struct vmki_overlay *overlay; /* write tracking; NULL for most */
    const struct vmk_backend_ops *backend;
    void *backend_context;
    bool lanes_open; /* atomic; written with mm.lock exclusive */
    uint32_t place;  /* of a lane, constant: where it counts the commit charge */

    uint32_t users, refs;               /* atomic */
    uint32_t capabilities, personality; /* mm.lock, as all that follows */
    struct vmk_rlimits rlimits;
    struct vmk_mm_layout layout; /* marks; brk */
    vmk_addr min_addr;           /* constant: mmap_min_addr or lsm_min_addr, the higher one */
    vmk_addr window_low, window_high;
    uint64_t seed; /* state of the layout's random numbers */

    vmk_vm_flags def_flags; /* of MCL_FUTURE and PR_SET_MEMORY_MERGE */
    uint32_t mdwe;          /* VMK_MDWE_* */
    uint32_t thp_disable;   /* 0, 1 or VMK_THP_DISABLE_EXCEPT_ADVISED */
    bool is_exiting;
    uint32_t pkeys_allocated; /* bit n: key n */
    int pkey_exec_only;       /* -1: none yet */

    /* Counters, in pages; all follow from the areas (edit.c), but for pinned_vm and the high marks. */
    uint64_t nr_vmas_peak, peak_vm;
    uint64_t total_vm, locked_vm, pinned_vm, data_vm, exec_vm, stack_vm, shared_vm, accounted_vm;
    uint64_t locked_leak; /* part of locked_vm that no area has: Linux's DONTUNMAP moves leave it (mremap.c) */
    uint64_t unknown_merges;
    struct vmk_counters counters;

    /* Memory kept for the next call, and what waits for readers. */
    struct vmk_vma *spare_anon, *spare_file;
    uint32_t nr_spare_anon, nr_spare_file;
    struct vmk_vma *leaving[VMKI_NR_LEAVING]; /* bare areas that go, by turns: vmki_mm_end_bare */
    uint32_t next_leaving;
    struct vmki_area_block *blocks; /* of spare and used anonymous areas; they go with the space. NULL for most */
    size_t nr_expected;             /* areas that are still to come in blocks */
    struct vmki_retired *carried;   /* memory that was retired and has no reader any more; NULL for none */
    struct vmki_retired *retired;   /* memory.c */
    struct vmki_tree_entry splice[VMKI_TREE_SPLICE_MAX]; /* of the edit that is being committed */
    struct vmki_finger finger;                           /* mm.lock exclusive */
    struct vmki_plan *call; /* the plan of a one-call verb: with mm.lock exclusive there is one at a time */

    struct vmki_tree reserved; /* ranges of a foreign host; empty for most */
    vmk_change_fn *notice;
    void *notice_context;
    struct vmki_member member; /* of the system */
    void *user;
};

/* From how many waits on lanes are laid out (vmki_mm_lock counts); a synchronisation header may say it. */
#if !defined(VMK_SYNC_LANES_AFTER)
#define VMK_SYNC_LANES_AFTER 768
#endif
enum { VMKI_LANES_AFTER = VMK_SYNC_LANES_AFTER };

/* Do writers work beside each other (lane.h)? */
static inline bool vmki_lanes_are_open(const struct vmk_mm *mm)
{
#if defined(VMK_SYNC_IMMEDIATE) /* one thread */
    (void)mm;
    return false;
#else
    return vmki_load_acquire(&mm->lanes_open); /* closed: what lanes have done is seen */
#endif
}
/* Is there something to decide about lanes, at the end of a call? */
static inline bool vmki_lanes_matter(const struct vmk_mm *mm)
{
#if defined(VMK_SYNC_IMMEDIATE)
    (void)mm;
    return false;
#else
    return mm->nr_waits + 1 > VMKI_LANES_AFTER || mm->lanes != NULL;
#endif
}

/* ---- Small helpers ---- */

static inline uint64_t vmki_pages(const struct vmk_mm *mm, uint64_t bytes)
{
    return bytes >> mm->page_shift;
}

static inline bool vmki_page_aligned(const struct vmk_mm *mm, uint64_t value)
{
    return (value & (mm->page_size - 1)) == 0;
}

/* Wraps to 0 for the last page, as the kernel's PAGE_ALIGN does. */
static inline uint64_t vmki_page_align(const struct vmk_mm *mm, uint64_t value)
{
    return (value + mm->page_size - 1) & ~(mm->page_size - 1);
}

/* Does the range end at or below the end of all addresses? */
static inline bool vmki_range_fits(const struct vmk_mm *mm, vmk_addr start, uint64_t len)
{
    return len <= mm->task_size_max && start <= mm->task_size_max - len;
}

static inline bool vmki_capable(const struct vmk_mm *mm, uint32_t capability)
{
    return (mm->capabilities & capability) != 0;
}

static inline uint64_t vmki_vma_pgoff_at(const struct vmk_mm *mm, const struct vmk_vma *vma, vmk_addr address)
{
    return vma->bias + (address >> mm->page_shift);
}

static inline const struct vmk_vm_ops *vmki_vma_ops(const struct vmk_vma *vma)
{
    if (vma->ext != NULL && vma->ext->ops != NULL)
        return vma->ext->ops;
    return vma->file != NULL ? vma->file->vm_ops : NULL;
}

/* A mapping of the kernel's own (vdso, vvar): Linux gives each operations, whether or not the embedder did. */
static inline bool vmki_vma_is_special(const struct vmk_vma *vma)
{
    return vma->ext != NULL && vma->ext->special_name != NULL;
}

/* Private memory without a file's pages behind it (a private /dev/zero mapping counts). */
static inline bool vmki_vma_is_anonymous(const struct vmk_vma *vma)
{
    return (vma->file == NULL && vmki_vma_ops(vma) == NULL && !vmki_vma_is_special(vma)) ||
           (vma->file != NULL && vma->file->object->kind == VMK_OBJECT_ZERO && (vma->flags & VMK_VM_SHARED) == 0);
}

static inline bool vmki_vma_is_hugetlb(const struct vmk_vma *vma)
{
    return (vma->flags & VMK_VM_HUGETLB) != 0;
}

static inline uint64_t vmki_vma_nr_pages(const struct vmk_vma *vma)
{
    return (vma->end - vma->start) >> vma->mm->page_shift;
}

static inline struct vmki_file_vma *vmki_file_vma_of(struct vmk_vma *vma)
{
    return VMKI_CONTAINER_OF(vma, struct vmki_file_vma, vma);
}

/* Private and writable now, or able to become so without a new charge: what VM_ACCOUNT stands for. */
static inline bool vmki_is_accountable(vmk_vm_flags flags)
{
    return (flags & (VMK_VM_NORESERVE | VMK_VM_SHARED | VMK_VM_WRITE)) == VMK_VM_WRITE;
}

/* Faults that take no lock are counted apart from each other, so that they share no memory that they write. */
enum { VMKI_NR_STRIPES = 16 };
struct vmki_stripe {
    uint64_t nr_faults; /* atomic */
    uint64_t unused[7];
};
/* Adds all that this address space has counted. */
void vmki_mm_add_counters(const struct vmk_mm *mm, struct vmk_counters *sum);

/* Counts an event and traces it. */
void vmki_event(struct vmk_mm *mm, enum vmk_event event, vmk_addr start, vmk_addr end);
#define VMKI_COUNT(mm, name, from, to)                                                                                 \
    do {                                                                                                               \
        (mm)->counters.name++;                                                                                         \
        if (VMKI_UNLIKELY((mm)->system->trace != NULL))                                                                \
            vmki_event((mm), VMK_EVENT_##name, (from), (to));                                                          \
    } while (0)

/* ---- memory.c: memory of an address space, and what waits for its readers ---- */

/* Makes sure of `nr_anon` and `nr_file` spare areas. False: memory is short. */
bool vmki_mm_reserve_more(struct vmk_mm *mm, unsigned nr_anon, unsigned nr_file);
static inline bool vmki_mm_reserve_vmas(struct vmk_mm *mm, unsigned nr_anon, unsigned nr_file)
{
    return VMKI_LIKELY(mm->nr_spare_anon >= nr_anon && mm->nr_spare_file >= nr_file) ||
           vmki_mm_reserve_more(mm, nr_anon, nr_file);
}
/* Many anonymous areas are to be reserved one by one: allocates them together. The space keeps them until it ends. */
void vmki_mm_expect_vmas(struct vmk_mm *mm, size_t nr);
/*
 * Anonymous areas that were allocated together and are freed together, when their space ends. While so many are expected that
 * a block is worth its while, the next one can be taken from it, as raw memory; nobody need give it back.
 */
struct vmki_area_block {
    struct vmki_area_block *next;
    uint32_t nr, nr_used; /* areas; those from nr_used on were never handed out */
    struct vmk_vma area[];
};
/* Is there another area in a block, or memory for one? */
bool vmki_mm_new_block(struct vmk_mm *mm);
static inline bool vmki_mm_has_block(struct vmk_mm *mm)
{
    return (mm->blocks != NULL && mm->blocks->nr_used != mm->blocks->nr) || vmki_mm_new_block(mm);
}
static inline struct vmk_vma *vmki_mm_take_from_block(struct vmk_mm *mm)
{
    mm->counters.vma_new++;
    return &mm->blocks->area[mm->blocks->nr_used++];
}
/* A cleared area for `file` (NULL: anonymous), from the spare ones: cannot fail after a reserve. */
struct vmk_vma *vmki_mm_take_vma(struct vmk_mm *mm, bool is_file);
/*
 * ---- The short ways, for areas of which nothing hangs (VMKI_VM_BARE); they count no event. Spare anonymous areas are bare: who
 * takes one has its start, end and flags to write.
 *
 * An area that goes is the next that comes. Most likely it is in no near cache: so it is asked for, and becomes a spare one, which
 * writes to it, only some calls later.
 */
static inline struct vmk_vma *vmki_mm_take_bare(struct vmk_mm *mm)
{
    struct vmk_vma *vma = mm->spare_anon;

    mm->spare_anon = vma->link;
    mm->nr_spare_anon--;
    return vma;
}

static inline void vmki_mm_put_spare(struct vmk_mm *mm, struct vmk_vma *vma)
{
    vma->link = mm->spare_anon;
    mm->spare_anon = vma;
    mm->nr_spare_anon++;
}

/* Spare areas that a space keeps: so many, and an eighth of those that it has. */
enum { VMKI_SPARE_MIN = 32, VMKI_SPARE_SHARE = 8 };
static inline bool vmki_mm_keeps_spare(const struct vmk_mm *mm)
{
    return mm->nr_spare_anon < VMKI_SPARE_MIN || mm->whole->blocks != NULL ||
           mm->nr_spare_anon < VMKI_SPARE_MIN + mm->tree.nr_entries / VMKI_SPARE_SHARE;
}

/* There are enough spare ones: it waits for readers. */
void vmki_mm_retire_bare(struct vmk_mm *mm, struct vmk_vma *vma);
static inline void vmki_mm_end_bare(struct vmk_mm *mm, struct vmk_vma *vma)
{
    struct vmk_vma **place = &mm->leaving[mm->next_leaving++ % VMKI_NR_LEAVING], *before = *place;

    *place = vma;
    __builtin_prefetch(vma, 1);
    if (before == NULL)
        return;
    if (VMKI_LIKELY(vmki_mm_keeps_spare(mm)))
        vmki_mm_put_spare(mm, before);
    else
        vmki_mm_retire_bare(mm, before);
}
/* All that go become spare ones. */
void vmki_mm_settle_leaving(struct vmk_mm *mm);
uint64_t vmki_mm_nr_leaving(const struct vmk_mm *mm);

/* Gives back an area that no reader ever saw; drops its references. */
void vmki_mm_return_vma(struct vmk_mm *mm, struct vmk_vma *vma);
/* An area that readers may still look at goes, with its references; its file is dropped after unlock. */
void vmki_mm_retire_vma(struct vmk_mm *mm, struct vmk_vma *vma);
/*
 * Takes mm.lock exclusively; and releases it, drops files and lets retired memory go. Verbs use nothing else. How often it is not
 * free at once decides about lanes.
 */
void vmki_mm_lock_wait(struct vmk_mm *mm);
void vmki_lanes_stop(struct vmk_mm *mm);
static inline void vmki_mm_lock(struct vmk_mm *mm)
{
#if defined(VMK_SYNC_IMMEDIATE)
    vmk_sync_write_lock(&mm->lock);
#else
    if (VMKI_UNLIKELY(!vmk_sync_try_write_lock(&mm->lock)))
        vmki_mm_lock_wait(mm);
    else if (VMKI_UNLIKELY(mm->nr_waits != 0))
        mm->nr_waits--;
    if (VMKI_UNLIKELY(vmki_lanes_are_open(mm)))
        vmki_lanes_stop(mm);
#endif
}
bool vmki_mm_try_lock(struct vmk_mm *mm);
void vmki_mm_unlock(struct vmk_mm *mm);
/*
 * Takes and releases mm.lock shared; nothing uses anything else. That there are lanes changes only with mm.lock exclusive:
 * what the one does, the other undoes.
 */
void vmki_lanes_go(struct vmk_mm *mm, bool exclusive);
static inline void vmki_mm_read_lock(struct vmk_mm *mm)
{
    vmk_sync_read_lock(&mm->lock);
    if (VMKI_UNLIKELY(vmki_lanes_are_open(mm)))
        vmki_lanes_stop(mm);
}
static inline void vmki_mm_read_unlock(struct vmk_mm *mm)
{
    if (VMKI_UNLIKELY(vmki_lanes_are_open(mm)))
        vmki_lanes_go(mm, false);
    vmk_sync_read_unlock(&mm->lock);
}
struct vmki_tree_memory vmki_mm_tree_memory(struct vmk_mm *mm);
struct vmki_retired *vmki_retired_new(struct vmk_system *system);
void vmki_retired_defer(struct vmki_retired *retired);
void vmki_mm_flush(struct vmki_member *member);
void vmki_mm_memory_end(struct vmk_mm *mm);
uint64_t vmki_mm_carried_bytes(const struct vmk_mm *mm);

struct vmki_ext *vmki_ext_get(struct vmki_ext *ext);        /* NULL stays NULL */
void vmki_ext_put(struct vmk_mm *mm, struct vmki_ext *ext); /* may be NULL */
/*
 * A changed copy of `base` (may be NULL): the caller changes it before an area points at it. `name_size` is the room for
 * a name with its zero: the base's name if that has as much, otherwise the caller writes all of it. NULL when memory is
 * short. One reference.
 */
struct vmki_ext *vmki_ext_copy(struct vmk_mm *mm, const struct vmki_ext *base, uint32_t name_size);
/* True when it says nothing that a NULL ext would not say. */
bool vmki_ext_is_empty(const struct vmki_ext *ext);
/* The parts that count for merging: name, policy, userfaultfd context. */
bool vmki_ext_same_identity(const struct vmki_ext *a, const struct vmki_ext *b);
bool vmki_ext_same_policy(const struct vmki_ext *a, const struct vmki_ext *b);
bool vmki_ext_same_name(const struct vmki_ext *a, const struct vmki_ext *b);

struct vmki_anon_vma *vmki_anon_vma_new(struct vmk_mm *mm); /* one reference; NULL when memory is short */
void vmki_anon_vma_get(struct vmki_anon_vma *anon_vma);
void vmki_anon_vma_put(struct vmk_mm *mm, struct vmki_anon_vma *anon_vma); /* may be NULL */

/* ---- vma.c ---- */

/*
 * What the memory of a fresh area says: where its pages come from, and what hangs of it. References are taken. Readers may
 * still look at what the memory was before.
 */
void vmki_vma_set_origin(struct vmk_vma *vma, uint64_t bias, struct vmk_file *file);
void vmki_vma_set_refs(struct vmk_vma *vma, struct vmki_anon_vma *anon_vma, struct vmki_ext *ext);

/* VMKI_VM_BARE for an area of which nothing hangs, else 0. */
static inline vmk_vm_flags vmki_vma_bare(const struct vmk_vma *vma)
{
    return ((uintptr_t)vma->file | (uintptr_t)vma->anon_vma | (uintptr_t)vma->ext | vma->bias) == 0 ? VMKI_VM_BARE : 0;
}
/*
 * Something is to hang of the area, which may be in the tree: its entry is no longer bare. mm.lock exclusive; or shared, with
 * mm->anon_lock.
 */
void vmki_vma_bear(struct vmk_vma *vma);

/* Fills a fresh area with the properties of `vma` for [start, end): references are taken; nothing is published. */
void vmki_vma_copy_properties(struct vmk_vma *to, const struct vmk_vma *vma, vmk_addr start, vmk_addr end);
/* A policy as one number: 0 for none. */
uint64_t vmki_policy_identity(const struct vmki_policy *policy);
/* Fills in what an area says of itself; start, end and flags come from the tree's entry. Lock-free. */
void vmki_vma_describe(const struct vmk_vma *vma, const struct vmki_tree_entry *entry, struct vmk_vma_info *info);
/* The area that contains the address / the first that ends above it, or NULL; mm.lock. */
struct vmk_vma *vmki_find(struct vmk_mm *mm, vmk_addr address);
struct vmk_vma *vmki_find_next(struct vmk_mm *mm, vmk_addr address);
/* The last area that starts below the address, or NULL. */
struct vmk_vma *vmki_find_prev(struct vmk_mm *mm, vmk_addr address);
/*
 * The position of the first area that ends above the address, as vmki_cursor_seek has it; mm.lock exclusive, as for the
 * functions below it. Valid until the next seek or edit.
 */
const struct vmki_finger *vmki_seek_far(struct vmk_mm *mm, vmk_addr address);
static inline const struct vmki_finger *vmki_seek(struct vmk_mm *mm, vmk_addr address)
{
    if (VMKI_LIKELY(address - mm->finger.low < mm->finger.high - mm->finger.low))
        return &mm->finger;
    return vmki_seek_far(mm, address);
}
/* The first area that ends above the address, or NULL. */
static inline struct vmk_vma *vmki_seek_area(struct vmk_mm *mm, vmk_addr address)
{
    return vmki_seek(mm, address)->entry.item;
}
/* Splices at the position of vmki_seek(from), which moves with it. */
void vmki_finger_splice(struct vmk_mm *mm, vmk_addr from, vmk_addr until, const struct vmki_tree_entry *entries,
                        unsigned nr);
/* The tree has changed in another way. */
static inline void vmki_finger_forget(struct vmk_mm *mm)
{
    mm->finger.low = 0;
    mm->finger.high = 0;
}
/* True when any part of [start, end) is sealed; holes do not matter. */
bool vmki_range_is_sealed(struct vmk_mm *mm, vmk_addr start, vmk_addr end);
/* True when no hole is in [start, end). */
bool vmki_range_is_covered(struct vmk_mm *mm, vmk_addr start, vmk_addr end);
/* may_split of its operations (and hugetlb's alignment): 0 or negative. */
int vmki_vma_may_split(struct vmk_vma *vma, vmk_addr address);
/* The VM flags of VMK_PROT_* bits and of a key. */
vmk_vm_flags vmki_prot_to_flags(const struct vmk_mm *mm, uint64_t prot, unsigned pkey);
/* VMK_PROT_* of VM flags. */
uint32_t vmki_flags_to_prot(vmk_vm_flags flags);

/* Links an area of a file to, or takes it from, the reverse map of its object; nothing for anonymous memory. */
void vmki_vma_link_object(struct vmk_vma *vma);
void vmki_vma_unlink_object(struct vmk_vma *vma);

/* Unlinks, closes and retires areas that are out of the tree, a list by vma->link. mm.lock exclusive. */
void vmki_end_areas(struct vmk_mm *mm, struct vmk_vma *gone);

/* ---- anon.c: when an anon_vma comes, and which ---- */

/* Gives a private area its anon_vma: a neighbour's or a new one. 0 or -VMK_ERR_HOST_NOMEM. mm.lock in either way. */
int vmki_anon_vma_prepare(struct vmk_vma *vma);
/*
 * Populates [start, end), a part of one area, as the kernel does for MAP_POPULATE, MAP_LOCKED and mlock: touches writable private
 * memory, which gives it an anon_vma. 0, -VMK_EFAULT where it is not to be touched or nobody can supply a page,
 * -VMK_ERR_HOST_NOMEM. mm.lock.
 */
int vmki_populate(struct vmk_mm *mm, vmk_addr start, vmk_addr end);

/* ---- accounting.c ---- */

/* -VMK_ENOMEM when `pages` more, net of `overlap`, with `flags` would exceed RLIMIT_AS or RLIMIT_DATA. */
bool vmki_may_expand_to(const struct vmk_mm *mm, vmk_vm_flags flags, uint64_t pages, uint64_t overlap);
static inline bool vmki_may_expand(const struct vmk_mm *mm, vmk_vm_flags flags, uint64_t pages, uint64_t overlap)
{
    return VMKI_LIKELY((mm->rlimits.as.soft & mm->rlimits.data.soft) == VMK_RLIM_INFINITY) ||
           vmki_may_expand_to(mm, flags, pages, overlap);
}
/* May the process lock memory at all (RLIMIT_MEMLOCK is not 0, or CAP_IPC_LOCK)? */
bool vmki_can_lock(const struct vmk_mm *mm);
/* Would `bytes` more of locked memory be within RLIMIT_MEMLOCK? Always, without LOCKED in `flags`. */
bool vmki_lock_allowed(const struct vmk_mm *mm, vmk_vm_flags flags, uint64_t bytes);
/* Would it be within RLIMIT_MEMLOCK to have this many pages locked in all? */
bool vmki_may_lock_in_all(const struct vmk_mm *mm, uint64_t pages);
/* max_map_count now; UINT64_MAX when limits are switched off. */
static inline uint64_t vmki_max_map_count(const struct vmk_mm *mm)
{
    return mm->settings->enforce_limits == 0 ? UINT64_MAX : vmki_sysctl(&mm->system->sysctl.max_map_count);
}
/* 0 or -VMK_ENOMEM; the commit charge of a private area that is accountable. */
int vmki_charge_to(struct vmk_mm *mm, uint64_t pages);
static inline int vmki_charge(struct vmk_mm *mm, uint64_t pages)
{
    return pages == 0 || mm->settings->enforce_limits == 0 ? 0 : vmki_charge_to(mm, pages);
}
void vmki_uncharge_from(struct vmk_mm *mm, uint64_t pages);
static inline void vmki_uncharge(struct vmk_mm *mm, uint64_t pages)
{
    if (pages != 0 && mm->settings->enforce_limits != 0)
        vmki_uncharge_from(mm, pages);
}
/* What the pool has for huge pages of this size (there is one, of the default size), in pages of the ordinary size. */
uint64_t vmki_pool_free(const struct vmk_mm *mm, unsigned huge_shift);
/* Takes ordinary pages' worth of it: false when that is not there. Or gives them back. */
bool vmki_pool_charge(struct vmk_mm *mm, unsigned huge_shift, uint64_t pages);
void vmki_pool_uncharge(struct vmk_mm *mm, uint64_t pages);
static inline uint64_t vmki_pooled_pages(vmk_vm_flags flags, uint64_t pages)
{
    return (flags & VMKI_VM_POOLED) != 0 ? pages : 0;
}

/* What RLIMIT_DATA counts, and the two other kinds that statistics tell apart. */
static inline bool vmki_is_data(vmk_vm_flags flags)
{
    return (flags & (VMK_VM_WRITE | VMK_VM_SHARED | VMK_VM_STACK | VMK_VM_SHADOW_STACK)) == VMK_VM_WRITE;
}

static inline bool vmki_is_stack(vmk_vm_flags flags)
{
    return (flags & (VMK_VM_STACK | VMK_VM_SHADOW_STACK)) != 0;
}

static inline bool vmki_is_exec(vmk_vm_flags flags)
{
    return (flags & (VMK_VM_EXEC | VMK_VM_WRITE | VMK_VM_STACK)) == VMK_VM_EXEC;
}

/* Adds an area of these flags to the counters (sign 1), or takes it away (-1). */
static inline void vmki_count_area(struct vmk_mm *mm, vmk_vm_flags flags, uint64_t pages, int sign)
{
    uint64_t change = sign > 0 ? pages : 0 - pages;

    mm->total_vm += change;
    if (vmki_is_exec(flags))
        mm->exec_vm += change;
    else if (vmki_is_stack(flags))
        mm->stack_vm += change;
    else if (vmki_is_data(flags))
        mm->data_vm += change;
    if ((flags & VMK_VM_LOCKED) != 0)
        mm->locked_vm += change;
    if ((flags & VMK_VM_MAYSHARE) != 0)
        mm->shared_vm += change;
    if ((flags & VMK_VM_ACCOUNT) != 0)
        mm->accounted_vm += change;
}

/* ---- placement.c ---- */

/* What a free or fixed placement is asked for. */
struct vmki_place {
    vmk_addr hint;
    uint64_t len;          /* page aligned, not 0 */
    uint32_t flags;        /* VMK_MAP_* : FIXED, 32BIT, ... */
    struct vmk_file *file; /* NULL: anonymous */
    bool shared;
    uint64_t pgoff;
    vmk_vm_flags vm_flags; /* GROWSDOWN and SHADOW_STACK matter */
};
/* 0 and *address, or -VMK_ENOMEM, -VMK_EINVAL, -VMK_EPERM. */
int vmki_place(struct vmk_mm *mm, const struct vmki_place *place, vmk_addr *address);
/* Sets mmap_base, mmap_legacy_base and top_down of the layout from limits, settings, personality and seed. */
void vmki_layout_init(struct vmk_mm *mm);
/* The lowest address that an area above a gap allows: its start, less the guard gap for one that grows down. */
vmk_addr vmki_vma_start_gap(const struct vmk_mm *mm, vmk_addr start, vmk_vm_flags flags);
/* The next of the layout's random numbers. */
uint64_t vmki_mm_random(struct vmk_mm *mm);

/* ---- mm.c ---- */

/* An empty address space without layout, one user, one reference; takes a reference on settings. NULL: no memory. */
struct vmk_mm *vmki_mm_new(struct vmk_system *system, struct vmki_settings *settings);

/* MTE_ALLOWED where PROT_MTE is known and memory of this file, or of none, may carry tags; else 0. */
vmk_vm_flags vmki_tag_flags(const struct vmk_mm *mm, const struct vmk_file *file);
/*
 * The flags that a new area of this address space gets beside its own: those of MCL_FUTURE, MERGEABLE where it applies
 * (PR_SET_MEMORY_MERGE), SOFTDIRTY, and MTE_ALLOWED.
 */
vmk_vm_flags vmki_default_flags(const struct vmk_mm *mm, const struct vmk_file *file, vmk_vm_flags flags);
/* Does PR_SET_MDWE forbid a change from old to new flags (equal for a new area)? */
bool vmki_mdwe_denies(const struct vmk_mm *mm, vmk_vm_flags old_flags, vmk_vm_flags new_flags);
/* The key of PROT_EXEC alone, allocated at its first use; 0 when there is none. */
int vmki_exec_only_pkey(struct vmk_mm *mm);

#endif
