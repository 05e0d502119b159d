/* SPDX-License-Identifier: MIT */
/*
 * breaks.h - rules that test builds can break, each at the one place that keeps it.
 *
 *     if (VMKI_BROKEN(merge_file) || a->file == b->file)
 *
 * is `a->file == b->file` in every other build.
 */
#ifndef VMKI_BREAKS_H
#define VMKI_BREAKS_H

#include "base/base.h"

/* X(rule, what the library does once it is broken) */
#define VMKI_BREAKS(X)                                                                                                 \
    X(merge_flags, "neighbours that differ in LOCKED merge")                                                           \
    X(merge_file, "neighbours of different open files merge")                                                          \
    X(merge_pgoff, "neighbours merge whatever their page offsets")                                                     \
    X(merge_anon_vma, "different anon_vmas do not keep neighbours apart")                                              \
    X(merge_bridge, "a bridge between two anon_vmas joins neither")                                                    \
    X(merge_special, "DONTEXPAND and the like do not keep neighbours apart")                                           \
    X(merge_close, "a close hook does not keep an area from being absorbed")                                           \
    X(merge_policy, "neighbours of different memory policies merge")                                                   \
    X(merge_uffd, "neighbours of different userfaultfd contexts merge")                                                \
    X(merge_guard, "guard regions keep neighbours apart")                                                              \
    X(fork_identity, "inherited anon_vmas merge with areas that have none")                                            \
    X(fork_lends, "inherited anon_vmas are lent to neighbours")                                                        \
    X(fork_wipe, "an area that is wiped on fork inherits an anon_vma")                                                 \
    X(fork_locked, "a child's memory is locked as its parent's")                                                       \
    X(fork_peak, "a child inherits VmPeak")                                                                            \
    X(anon_reuse, "a fault never takes a neighbour's anon_vma")                                                        \
    X(anon_order, "the previous neighbour's anon_vma is preferred")                                                    \
    X(anon_huge_read, "a read where a huge page could come brings no anon_vma")                                        \
    X(anon_beyond, "a write beyond a file's end brings no anon_vma")                                                   \
    X(account_kept, "written memory that becomes read-only gives its charge back")                                     \
    X(account_dropped, "unwritten memory that becomes read-only keeps its charge")                                     \
    X(protect_same, "an mprotect that changes nothing merges")                                                         \
    X(protect_partial, "mprotect over a hole changes nothing")                                                         \
    X(place_guard, "no guard gap is kept below stacks")                                                                \
    X(place_huge, "huge-page alignment is left out")                                                                   \
    X(place_hint, "a hint is never honoured")                                                                          \
    X(place_again, "a huge-aligned place that was aligned already is taken as it is")                                  \
    X(place_32bit, "MAP_32BIT is not looked at")                                                                       \
    X(map_cut, "a fixed mapping that fails leaves no cuts")                                                            \
    X(unmap_cut, "an munmap that is refused leaves no cut")                                                            \
    X(move_pgoff, "untouched anonymous memory keeps its page offset when it moves")                                    \
    X(move_several, "a move of several areas takes along whatever there is")                                           \
    X(move_keeps_lock, "DONTUNMAP leaves the source locked")                                                           \
    X(brk_gap, "the heap may touch the mapping above it")                                                              \
    X(brk_alone, "a heap that begins joins the area below it")                                                         \
    X(limit_as_net, "RLIMIT_AS does not take off what a fixed mapping replaces")                                       \
    X(limit_data, "RLIMIT_DATA is not looked at")                                                                      \
    X(limit_data_hard, "a soft RLIMIT_DATA of 0 is not checked against the hard one")                                  \
    X(limit_memlock, "RLIMIT_MEMLOCK is not looked at")                                                                \
    X(lock_zero, "RLIMIT_MEMLOCK of 0 is a limit like others")                                                         \
    X(stack_limit, "RLIMIT_STACK is not looked at")                                                                    \
    X(stack_gap, "a stack grows up to its neighbour")                                                                  \
    X(stack_closed, "a stack keeps its distance to what nobody can touch, too")                                        \
    X(advise_hole, "madvise stops at a hole")                                                                          \
    X(advise_refused, "madvise passes over an area that refuses")                                                      \
    X(guard_identity, "guard regions bring no anon_vma")                                                               \
    X(populate_identity, "bringing pages in brings no anon_vma")                                                       \
    X(lock_hole, "mlock and munlock pass over holes")                                                                  \
    X(lock_twice, "pages that are locked already count again")                                                         \
    X(lock_skips, "special and droppable memory is locked too")                                                        \
    X(sync_hole, "msync stops at a hole")                                                                              \
    X(seal_hole, "mseal seals what lies below a hole")                                                                 \
    X(seal_advice, "sealed read-only memory can be thrown away")                                                       \
    X(seal_unmap, "sealed memory can be unmapped")                                                                     \
    X(uffd_replaces, "registering for other modes adds to those that there are")                                       \
    X(uffd_first, "userfaultfd looks at the first area only")                                                          \
    X(uffd_fewer, "registering for fewer modes takes the others away")                                                 \
    X(policy_hole, "mbind passes over holes")                                                                          \
    X(shm_pieces, "shmdt takes the first piece away only")                                                             \
    X(ring_moves, "a ring that moves leaves its context behind")                                                       \
    X(mdwe_fixed, "MDWE can be taken back")

#if defined(VMAKIT_TEST_BUILD) && VMAKIT_TEST_BUILD
enum vmki_break {
    VMKI_BREAK_NONE,
#define VMKI_BREAK_ID(rule, meaning) VMKI_BREAK_##rule,
    VMKI_BREAKS(VMKI_BREAK_ID)
#undef VMKI_BREAK_ID
};

extern enum vmki_break vmki_broken;
#define VMKI_BROKEN(rule) VMKI_UNLIKELY(vmki_broken == VMKI_BREAK_##rule)
#define VMKI_ANY_BROKEN   VMKI_UNLIKELY(vmki_broken != VMKI_BREAK_NONE)
#else
#define VMKI_BROKEN(rule) false
#define VMKI_ANY_BROKEN   false
#endif

#endif
