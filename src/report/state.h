/* SPDX-License-Identifier: MIT */
/*
 * state.h - what save and load agree on: the text format, version 1. One line a fact; numbers in hexadecimal.
 *
 *     vmakit-state 1
 *     file NUMBER id=N object=N [kind=N mode=N bytes=N pages=N huge=N shift=N inode=N internal] path="..."
 *     mm
 *     setting NAME VALUE                     all of them, in the order of the table
 *     value NAME VALUE                       VMKI_STATE_VALUES
 *     reserved START END
 *     tracked START END
 *     area START END FLAGS PGOFF [file=N] [anon=N] [forked] [unknown] [special="..."] [name="..."] [policy=MODE nodes=N]
 *          [uffd=N features=N] [driver]      (on one line)
 *     end
 *
 * Files have numbers of their own over the whole text, and so have anon_vmas: that is how a fork family stays one. In
 * "..." a byte that is not printable ASCII, or is " or \, is written \xx.
 */
#ifndef VMKI_REPORT_STATE_H
#define VMKI_REPORT_STATE_H

#include "mm/mm.h"

/* X(name, where it is in struct vmk_mm): numbers of an address space. */
#define VMKI_STATE_VALUES(X)                                                                                           \
    X(capabilities, capabilities)                                                                                      \
    X(personality, personality)                                                                                        \
    X(seed, seed)                                                                                                      \
    X(def_flags, def_flags)                                                                                            \
    X(mdwe, mdwe)                                                                                                      \
    X(thp_disable, thp_disable)                                                                                        \
    X(pkeys, pkeys_allocated)                                                                                          \
    X(pinned, pinned_vm)                                                                                               \
    X(locked_leak, locked_leak)                                                                                        \
    X(peak, peak_vm)                                                                                                   \
    X(peak_areas, nr_vmas_peak)                                                                                        \
    X(unknown_merges, unknown_merges)                                                                                  \
    X(window_low, window_low)                                                                                          \
    X(window_high, window_high)                                                                                        \
    X(as_soft, rlimits.as.soft)                                                                                        \
    X(as_hard, rlimits.as.hard)                                                                                        \
    X(data_soft, rlimits.data.soft)                                                                                    \
    X(data_hard, rlimits.data.hard)                                                                                    \
    X(stack_soft, rlimits.stack.soft)                                                                                  \
    X(stack_hard, rlimits.stack.hard)                                                                                  \
    X(memlock_soft, rlimits.memlock.soft)                                                                              \
    X(memlock_hard, rlimits.memlock.hard)                                                                              \
    X(start_code, layout.start_code)                                                                                   \
    X(end_code, layout.end_code)                                                                                       \
    X(start_data, layout.start_data)                                                                                   \
    X(end_data, layout.end_data)                                                                                       \
    X(start_brk, layout.start_brk)                                                                                     \
    X(brk, layout.brk)                                                                                                 \
    X(start_stack, layout.start_stack)                                                                                 \
    X(arg_start, layout.arg_start)                                                                                     \
    X(arg_end, layout.arg_end)                                                                                         \
    X(env_start, layout.env_start)                                                                                     \
    X(env_end, layout.env_end)                                                                                         \
    X(mmap_base, layout.mmap_base)                                                                                     \
    X(mmap_legacy_base, layout.mmap_legacy_base)                                                                       \
    X(top_down, layout.top_down)

/* The names of special mappings: they are static text in an address space, and so load needs to know them. */
const char *vmki_special_name(const char *text, size_t len);

#endif
