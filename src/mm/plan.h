/* SPDX-License-Identifier: MIT */
/*
 * plan.h - what a verb is inside: a list of parts, each prepared, then committed or given up.
 *
 * A verb is a struct vmki_verb. The driver (plan.c) copies the request, takes mm.lock, calls start (checks that need no
 * part), then step until it is done; before each commit the embedder or the backend sees the part's edits. One-call and
 * two-phase forms are both this driver.
 */
#ifndef VMKI_PLAN_H
#define VMKI_PLAN_H

#include "mm/edit.h"
#include "mm/mm.h"
#include "vmakit/backend.h"
#include "vmakit/plan.h"

struct vmki_plan;

enum vmki_step {
    VMKI_STEP_PART = 1, /* a part is prepared: plan->commit, or plan->area when plan->commit is NULL */
    VMKI_STEP_DONE = 0  /* the call is over: plan->result says how */
};

struct vmki_verb {
    /* Checks of the arguments. 0 goes on; negative ends the call with that error before anything is prepared. */
    int (*start)(struct vmki_plan *plan);
    /* Prepares the next part, or ends the call (setting plan->result). May be NULL: start did it all. */
    enum vmki_step (*step)(struct vmki_plan *plan);
    /* Releases what the verb still holds, however the call ended; mm.lock is held. May be NULL. */
    void (*finish)(struct vmki_plan *plan);
    size_t request_size;
    bool shared_lock; /* reads only: mm.lock shared */
    enum vmk_event counter;
    bool has_counter;
};

/* How an mmap stands between its parts. */
struct vmki_mmap_state {
    uint64_t len; /* page aligned */
    uint64_t pgoff;
    vmk_vm_flags flags;
    struct vmk_file *file;
    struct vmk_file *internal; /* made for this call: a reference to drop at its end */
    struct vmki_ext *ext;      /* operations that a driver's hook set: a reference to drop */
};

enum { VMKI_PLAN_EDITS = 4, VMKI_PLAN_REQUEST_SIZE = 96 };

struct vmki_plan {
    struct vmk_mm *mm;
    const struct vmki_verb *verb;
    struct vmk_result result;

    /* The part that is prepared. */
    bool has_area;  /* `area` is to be committed or aborted */
    int fail_after; /* not 0: the call ends with this error once the part is committed */
    /* Runs after `area` (if any) is committed; cannot fail. NULL for none. */
    void (*commit)(struct vmki_plan *plan);
    /* Undoes what the part holds beyond `area`, when the part is given up. NULL for none. */
    void (*abort)(struct vmki_plan *plan);
    unsigned nr_edits, next_edit;
    bool is_open; /* two-phase form: a part waits and mm.lock is held */

    /* The verb's own: where it stands between parts. */
    int phase;
    int pending_error; /* the first error that does not stop the call (madvise over a hole) */
    vmk_addr cursor, start, end;
    vmk_addr part_cursor; /* where the cursor stood before the part */
    vmk_vm_flags flags;
    uint64_t number[4];
    void *pointer[3];
    struct vmki_mmap_state mmap;

    /* From here on nothing is cleared when a plan is opened. */
    union {
        struct vmk_mmap_request mmap;
        struct vmk_munmap_request munmap;
        struct vmk_mprotect_request mprotect;
        struct vmk_mremap_request mremap;
        struct vmk_brk_request brk;
        struct vmk_madvise_request madvise;
        struct vmk_mlock_request mlock;
        struct vmk_munlock_request munlock;
        struct vmk_mlockall_request mlockall;
        struct vmk_munlockall_request munlockall;
        struct vmk_mseal_request mseal;
        struct vmk_msync_request msync;
        struct vmk_mincore_request mincore;
        struct vmk_remap_file_pages_request remap_file_pages;
        struct vmk_shmat_request shmat;
        struct vmk_shmdt_request shmdt;
        struct vmk_aio_setup_request aio_setup;
        struct vmk_aio_destroy_request aio_destroy;
        struct vmk_mbind_request mbind;
        struct vmk_set_mempolicy_request set_mempolicy;
        struct vmk_name_request name;
        struct vmk_set_mm_request set_mm;
        struct vmk_set_option_request set_option;
        struct vmk_pkey_request pkey;
        struct vmk_uffd_request uffd;
        struct vmk_map_special_request map_special;
        struct vmk_exec_request exec;
        unsigned char bytes[VMKI_PLAN_REQUEST_SIZE];
    } request;
    struct vmki_area_edit area;
    struct vmk_edit edits[VMKI_PLAN_EDITS];
};

/* Ends the call: `return vmki_plan_end(plan, error, value);` from a step. */
enum vmki_step vmki_plan_end(struct vmki_plan *plan, int error, uint64_t value);
/* Adds an edit for the embedder; at most VMKI_PLAN_EDITS a part. */
struct vmk_edit *vmki_plan_add_edit(struct vmki_plan *plan, enum vmk_edit_kind kind, vmk_addr start, vmk_addr end);

/* mmap.c: for calls that are an mmap at heart; their start rewrites the request, then start, step and finish go on. */
extern const struct vmki_verb vmki_mmap_verb;
/* munmap.c, mprotect.c: for lanes. */
extern const struct vmki_verb vmki_munmap_verb, vmki_mprotect_verb;

/* The driver. */
int vmki_plan_open(struct vmk_mm *mm, const struct vmki_verb *verb, const void *request, struct vmk_plan *storage);
int vmki_call(struct vmk_mm *mm, const struct vmki_verb *verb, const void *request, struct vmk_result *result);
/* The same for a caller that holds mm.lock. */
int vmki_call_locked(struct vmk_mm *mm, const struct vmki_verb *verb, const void *request, struct vmk_result *result);
/*
 * The same if the first part is none or `fits`, and there is no other one: false when not, and nothing has happened but to
 * counters of events. The locks of `mm`, perhaps a lane, are held.
 */
bool vmki_call_if(struct vmk_mm *mm, const struct vmki_verb *verb, const void *request, struct vmk_result *result,
                  bool (*fits)(struct vmk_mm *mm, const struct vmki_area_edit *edit), int *error);
/* Room for an area edit that is too large for the stack: with mm.lock exclusive, outside a call. */
struct vmki_area_edit *vmki_mm_edit(struct vmk_mm *mm);
int vmki_mprotect_locked(struct vmk_mm *mm, const struct vmk_mprotect_request *request);

/* Defines the two public forms of a verb from its struct vmki_verb. */
#define VMKI_DEFINE_VERB(name, verb)                                                                                   \
    int vmk_##name(struct vmk_mm *mm, const struct vmk_##name##_request *request, struct vmk_result *result)           \
    {                                                                                                                  \
        return vmki_call(mm, &(verb), request, result);                                                                \
    }                                                                                                                  \
    int vmk_##name##_prepare(struct vmk_mm *mm, const struct vmk_##name##_request *request, struct vmk_plan *plan)     \
    {                                                                                                                  \
        return vmki_plan_open(mm, &(verb), request, plan);                                                             \
    }

/* The same for a verb that has a short way (quick.h) and runs in lanes (lane.h). */
#define VMKI_DEFINE_QUICK_VERB(name, verb)                                                                             \
    int vmk_##name(struct vmk_mm *mm, const struct vmk_##name##_request *request, struct vmk_result *result)           \
    {                                                                                                                  \
        int error = 0;                                                                                                 \
                                                                                                                       \
        if (VMKI_UNLIKELY(vmki_lanes_are_open(mm)) && vmki_lane_##name(mm, request, result, &error))                   \
            return error;                                                                                              \
        vmki_mm_lock(mm);                                                                                              \
        if (!vmki_quick_##name(mm, request, result))                                                                   \
            error = vmki_call_locked(mm, &(verb), request, result);                                                    \
        if (VMKI_UNLIKELY(vmki_lanes_matter(mm)))                                                                      \
            vmki_lanes_consider(mm);                                                                                   \
        vmki_mm_unlock(mm);                                                                                            \
        return error;                                                                                                  \
    }                                                                                                                  \
    int vmk_##name##_prepare(struct vmk_mm *mm, const struct vmk_##name##_request *request, struct vmk_plan *plan)     \
    {                                                                                                                  \
        return vmki_plan_open(mm, &(verb), request, plan);                                                             \
    }

/*
 * Prepares the part that unmaps what is mapped in [start, end), page aligned, with plan->area. 1: the part is prepared; 0:
 * nothing is mapped there; negative: refused. Where Linux leaves a first cut visible, the part is that cut alone and
 * plan->fail_after holds the error. Allocates. Defined in unmap.c.
 */
int vmki_plan_unmap(struct vmki_plan *plan, vmk_addr start, vmk_addr end);
/*
 * Would vmki_plan_unmap be refused? 0: no. 1: yes, and the part that stays visible is prepared, with plan->fail_after.
 * Negative: yes, and nothing changes.
 */
int vmki_plan_unmap_refused(struct vmki_plan *plan, vmk_addr start, vmk_addr end);
/* Prepares the cut of the area that has `address` inside it. 1: prepared; 0: there is none; negative: no memory. */
int vmki_plan_cut(struct vmki_plan *plan, vmk_addr address);

/*
 * Shared by verbs that change flags area by area over a range (mprotect, madvise, mlock, mseal, ...): prepares the edit
 * that gives [max(plan->cursor, vma->start), min(part_end, vma->end)) other flags and another ext (a reference that is
 * always taken over), and moves plan->cursor to its end. A split that fails ends the call with its error; the first of two
 * splits stays visible, as in Linux. plan->area.charged may be set afterwards. Defined in walk.c.
 */
enum vmki_step vmki_plan_modify(struct vmki_plan *plan, struct vmk_vma *vma, vmk_vm_flags flags, struct vmki_ext *ext,
                                vmk_addr part_end);

#endif
