/* SPDX-License-Identifier: MIT */
/*
 * lane.h - lanes: writers of one address space that work beside each other (docs/locking.md has the proof).
 *
 * When writers wait for mm.lock time and again, the space is laid out in parts: what lies below each child of the tree's
 * root. Each part belongs to a lane. A lane has a lock and, behind the face of a struct vmk_mm, all that a writer writes to:
 * its parts of the tree, spare areas, a list of what waits for readers, counters, a plan. mmap with MAP_FIXED, munmap and
 * mprotect of plain anonymous memory that lies well inside a part run there, with the lane's lock instead of mm.lock. Whoever
 * takes mm.lock, in either way, first takes the locks of all lanes and adds up what they have counted: for them nothing has
 * changed.
 *
 * Each part has a lane of its own, its home, for all who come by. One that only one thread has used for a while moves to the
 * lane of that thread, which thus works in one warm lane with an idle lock; when another thread comes, it moves back. Where
 * two threads meet in one part, each on its side, the tree is divided between them.
 */
#ifndef VMKI_LANE_H
#define VMKI_LANE_H

#include "mm/plan.h"

/* A lane of each part of the tree, and then those of threads. */
enum { VMKI_MAX_LANES = VMKI_TREE_MAX_PARTS + 16 };
_Static_assert((int)VMKI_MAX_LANES == (int)VMKI_MAX_MORE_LOCKS, "a host's fork takes the lock of each");

/* Like vmk_mmap and its like, with *error 0 before; false: nothing was done, the call needs mm.lock. */
bool vmki_lane_mmap(struct vmk_mm *mm, const struct vmk_mmap_request *request, struct vmk_result *result, int *error);
bool vmki_lane_munmap(struct vmk_mm *mm, const struct vmk_munmap_request *request, struct vmk_result *result,
                      int *error);
bool vmki_lane_mprotect(struct vmk_mm *mm, const struct vmk_mprotect_request *request, struct vmk_result *result,
                        int *error);

/* With mm.lock exclusive, at the end of a call: lays out lanes if writers have waited often enough. May fail to. */
void vmki_lanes_consider(struct vmk_mm *mm);
/*
 * vmki_lanes_stop and vmki_lanes_go (mm.h): with mm.lock just taken, and just before it is given back, while there are lanes.
 */

/* The lock of the n-th lane, or NULL: for a host's fork, and to hand over what waits for readers. */
struct vmk_sync_rwlock *vmki_lane_lock(struct vmki_member *member, unsigned number);
struct vmk_mm *vmki_lane(struct vmk_mm *mm, unsigned number);
void vmki_lanes_add_counters(const struct vmk_mm *mm, struct vmk_counters *sum);
uint64_t vmki_lanes_bytes(const struct vmk_mm *mm);
/* The address space ends: the lanes' spare areas are the space's, which knows where they come from; then the lanes go. */
void vmki_lanes_give_spare(struct vmk_mm *mm);
void vmki_lanes_free(struct vmk_mm *mm);

#endif
