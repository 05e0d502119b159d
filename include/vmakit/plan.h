/* SPDX-License-Identifier: MIT */
/*
 * plan.h - the memory calls in two phases, for hosts whose own mapping call may refuse.
 *
 *     struct vmk_plan plan;
 *     int error = vmk_mmap_prepare(mm, &request, &plan);
 *     if (error != 0)
 *         return error;                              // refused: nothing is open, nothing changed
 *     do {
 *         while (vmk_plan_next_edit(&plan, &edit))
 *             if (host_refuses(&edit)) {
 *                 vmk_plan_abort(&plan, -ENOMEM, &result);
 *                 return result.error;
 *             }
 *     } while (vmk_plan_commit(&plan, &result) == VMK_PLAN_MORE);
 *     return result.error;
 *
 * A verb that Linux applies partly comes in several parts: commit applies one and prepares the next. Abort gives the
 * current part up; parts already committed stay, as after a partial failure of the call. mm.lock is held exclusively from
 * prepare to the last commit or abort, by the calling thread.
 */
#ifndef VMAKIT_PLAN_H
#define VMAKIT_PLAN_H

#include "vmakit/calls.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VMK_PLAN_DONE = 0, VMK_PLAN_MORE = 1 };

/* The caller's storage for a plan; its contents are the library's. Must not move while it is open. */
struct vmk_plan {
    uint64_t opaque[144];
};

enum vmk_edit_kind {
    VMK_EDIT_UNMAP,   /* [start, end) goes */
    VMK_EDIT_MAP,     /* [start, end) comes, over nothing: an UNMAP came before */
    VMK_EDIT_PROTECT, /* [start, end) gets `prot` */
    VMK_EDIT_MOVE,    /* the pages of [from, from + len) move to [start, end), len = end - start */
    VMK_EDIT_ADVISE,  /* `advice` applies to [start, end); also -1: populate, -2: lock, -3: unlock */
    VMK_EDIT_SYNC     /* msync */
};
enum { VMK_ADVICE_POPULATE = -1, VMK_ADVICE_LOCK = -2, VMK_ADVICE_UNLOCK = -3 };

/* One thing that a backend does, in application order. */
struct vmk_edit {
    enum vmk_edit_kind kind;
    vmk_addr start, end;
    vmk_addr from;         /* MOVE */
    bool keep_source;      /* MOVE: MREMAP_DONTUNMAP, the source stays mapped and empty */
    vmk_vm_flags flags;    /* of the area after the edit */
    uint32_t prot;         /* VMK_PROT_* */
    struct vmk_file *file; /* MAP; borrowed */
    uint64_t offset;       /* MAP of a file, in bytes */
    int advice;
};

#define VMK_VERB_PREPARE(verb)                                                                                         \
    VMK_API int vmk_##verb##_prepare(struct vmk_mm *mm, const struct vmk_##verb##_request *request,                    \
                                     struct vmk_plan *plan);
VMK_VERBS(VMK_VERB_PREPARE)
#undef VMK_VERB_PREPARE

/*
 * Is a part prepared? False: nothing is to be done, and vmk_plan_commit gives the result. *error (may be NULL): not 0 when
 * the call ends with this error after the part, which is then but the cut that Linux leaves behind.
 */
VMK_API bool vmk_plan_part(const struct vmk_plan *plan, int *error);
/* The next edit of the part that is prepared; false after its last. */
VMK_API bool vmk_plan_next_edit(struct vmk_plan *plan, struct vmk_edit *edit);
/*
 * Applies the part. VMK_PLAN_DONE: the call is over and *result (may be NULL) is its result. VMK_PLAN_MORE: the next part
 * is prepared. Cannot fail; result->error is what the system call would return.
 */
VMK_API int vmk_plan_commit(struct vmk_plan *plan, struct vmk_result *result);
/* Gives the part up with `error` (negative), which becomes the call's result. */
VMK_API void vmk_plan_abort(struct vmk_plan *plan, int error, struct vmk_result *result);

#ifdef __cplusplus
}
#endif

#endif
