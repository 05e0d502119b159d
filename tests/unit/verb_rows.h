/* SPDX-License-Identifier: MIT */
/*
 * verb_rows.h - calls of every verb, to be made in a world (world.h): the table that test_verb_failures.c and
 * test_verb_outcomes.c go through. A verb of VMK_VERBS without rows does not compile.
 */
#ifndef VMAKIT_TESTS_VERB_ROWS_H
#define VMAKIT_TESTS_VERB_ROWS_H

#include "world.h"

/* Stand-ins, replaced by what the world has when a row runs. */
#define FILE_OF_WORLD(id) ((struct vmk_file *)(uintptr_t)(id)) /* 1 ... VT_FILES; 14, 15: lent for one call */
#define RING_OF_WORLD     1

union any_request {
#define REQUEST(verb) struct vmk_##verb##_request verb;
    VMK_VERBS(REQUEST)
#undef REQUEST
};

struct row {
    const char *shape;
    union any_request request;
    int error;      /* in a plain world */
    bool empty;     /* in a world without areas */
    bool populates; /* between parts, or without an error when it fails */
};

/* ---- The rows ---- */

#define ROW(verb, what, ...)                                                                                           \
    {                                                                                                                  \
        .shape = (what), .request.verb = { __VA_ARGS__ }                                                               \
    }
#define REFUSED(verb, what, code, ...)                                                                                 \
    {                                                                                                                  \
        .shape = (what), .request.verb = {__VA_ARGS__}, .error = (code)                                                \
    }
#define FILLS(verb, what, ...)                                                                                         \
    {                                                                                                                  \
        .shape = (what), .request.verb = {__VA_ARGS__}, .populates = true                                              \
    }
#define EMPTY(verb, what, ...)                                                                                         \
    {                                                                                                                  \
        .shape = (what), .request.verb = {__VA_ARGS__}, .empty = true, .populates = true                               \
    }

#define FIXED_SHARED (VMK_MAP_SHARED | VMK_MAP_FIXED)
#define MOVE         (VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED)

static const struct row rows_mmap[] = {
    ROW(mmap, "placed", .len = P(3), .prot = VT_RW, .flags = VT_ANON),
    ROW(mmap, "placed, shared", .len = P(3), .prot = VT_RW, .flags = VMK_MAP_SHARED | VMK_MAP_ANONYMOUS),
    ROW(mmap, "placed, hint taken", .address = W(Z_FREE, 0), .len = P(3), .prot = VT_RW, .flags = VT_ANON),
    ROW(mmap, "placed, low", .len = P(3), .prot = VT_RW, .flags = VT_ANON | VMK_MAP_32BIT),
    ROW(mmap, "placed, file", .len = P(3), .prot = VT_R, .flags = VMK_MAP_PRIVATE, .file = FILE_OF_WORLD(1)),
    ROW(mmap, "placed, driver", .len = P(3), .prot = VT_R, .flags = VMK_MAP_SHARED, .file = FILE_OF_WORLD(2)),
    ROW(mmap, "placed, huge", .len = 2 << 20, .prot = VT_RW, .flags = VT_ANON | VMK_MAP_HUGETLB),
    FILLS(mmap, "placed, locked", .len = P(3), .prot = VT_RW, .flags = VT_ANON | VMK_MAP_LOCKED),
    ROW(mmap, "placed, droppable", .len = P(3), .prot = VT_RW, .flags = VMK_MAP_DROPPABLE | VMK_MAP_ANONYMOUS),
    FILLS(mmap, "hole, populated", .address = W(Z_FREE, 0), .len = P(3), .prot = VT_RW,
          .flags = VT_FIXED | VMK_MAP_POPULATE),
    ROW(mmap, "stack", .address = W(Z_FREE, 0), .len = P(3), .prot = VT_RW, .flags = VT_FIXED | VMK_MAP_GROWSDOWN),
    ROW(mmap, "middle", .address = W(Z_ANON, 2), .len = P(2), .prot = VT_R, .flags = VT_FIXED),
    ROW(mmap, "several", .address = W(Z_ANON, 6), .len = P(0x24), .prot = VT_R, .flags = VT_FIXED),
    ROW(mmap, "middle of the driver's", .address = W(Z_DRIVER, 2), .len = P(2), .prot = VT_R, .flags = VT_FIXED),
    ROW(mmap, "middle of a file", .address = W(Z_FILE, 2), .len = P(2), .prot = VT_R, .flags = FIXED_SHARED,
        .file = FILE_OF_WORLD(3)),
    ROW(mmap, "merges with previous", .address = W(Z_ANON, 16), .len = P(2), .prot = VT_RW, .flags = VT_FIXED),
    ROW(mmap, "merges with both", .address = W(Z_ANON, 8), .len = P(2), .prot = VT_RW, .flags = VT_FIXED),
    ROW(mmap, "merges with a file", .address = W(Z_FILE, 12), .len = P(2), .prot = VT_RW, .flags = FIXED_SHARED,
        .file = FILE_OF_WORLD(1), .offset = P(12)),
    ROW(mmap, "driver over driver", .address = W(Z_DRIVER, 4), .len = P(8), .prot = VT_RW, .flags = FIXED_SHARED,
        .file = FILE_OF_WORLD(2), .offset = P(4)),
    REFUSED(mmap, "cut, then refused", -VMK_EPERM, .address = W(Z_SHARED, 2), .len = P(Z_VDSO + 1 - Z_SHARED - 2),
            .prot = VT_R, .flags = VT_FIXED),
    EMPTY(mmap, "first in an empty space", .len = P(3), .prot = 0, .flags = VT_ANON),
};
static const struct row rows_munmap[] = {
    ROW(munmap, "whole", .address = W(Z_ANON, 8), .len = P(2)),
    ROW(munmap, "middle", .address = W(Z_ANON, 2), .len = P(2)),
    ROW(munmap, "several", .address = W(Z_ANON, 2), .len = P(0x4a)),
    ROW(munmap, "middle of a file", .address = W(Z_FILE, 2), .len = P(2)),
    ROW(munmap, "middle of the driver's", .address = W(Z_DRIVER, 2), .len = P(2)),
    ROW(munmap, "middle of a stack", .address = W(Z_STACK, 1), .len = P(2)),
    ROW(munmap, "tracked", .address = W(Z_TRACKED, 2), .len = P(1)),
    ROW(munmap, "huge", .address = W(Z_HUGE, 0), .len = 2 << 20),
    ROW(munmap, "nothing", .address = W(Z_FREE, 0), .len = P(2)),
    REFUSED(munmap, "refused split", -VMK_EINVAL, .address = W(Z_VDSO, 1), .len = P(1)),
    REFUSED(munmap, "cut, then refused", -VMK_EPERM, .address = W(Z_UFFD, 2), .len = P(Z_SEALED + 1 - Z_UFFD - 2)),
    REFUSED(munmap, "split, then refused", -VMK_EINVAL, .address = W(Z_SEALED, 4), .len = P(Z_VDSO + 1 - Z_SEALED - 4)),
};
static const struct row rows_mprotect[] = {
    ROW(mprotect, "whole", .address = W(Z_ANON, 8), .len = P(2), .prot = 0, .pkey = -1),
    ROW(mprotect, "middle", .address = W(Z_ANON, 2), .len = P(2), .prot = VT_R, .pkey = -1),
    ROW(mprotect, "merges with both", .address = W(Z_ANON, 8), .len = P(2), .prot = VT_RW, .pkey = -1),
    ROW(mprotect, "merges with next", .address = W(Z_ANON, 4), .len = P(4), .prot = VT_R, .pkey = -1),
    ROW(mprotect, "several", .address = W(Z_ANON, 2), .len = P(10), .prot = VT_RX, .pkey = -1),
    ROW(mprotect, "several files", .address = W(Z_FILE, 2), .len = P(8), .prot = VT_R, .pkey = -1),
    ROW(mprotect, "driver", .address = W(Z_DRIVER, 2), .len = P(2), .prot = VT_R, .pkey = -1),
    ROW(mprotect, "key", .address = W(Z_ANON, 2), .len = P(2), .prot = VT_R, .pkey = 0),
    ROW(mprotect, "stack", .address = W(Z_STACK, 2), .len = P(1), .prot = VT_R | VMK_PROT_GROWSDOWN, .pkey = -1),
    REFUSED(mprotect, "up to a hole", -VMK_ENOMEM, .address = W(Z_ANON, 2), .len = P(20), .prot = VT_R, .pkey = -1),
    REFUSED(mprotect, "up to a sealed area", -VMK_EPERM, .address = W(Z_SEALED, 2), .len = P(2), .prot = VT_R,
            .pkey = -1),
};
static const struct row rows_mremap[] = {
    ROW(mremap, "shrinks", .old_address = W(Z_ANON, 0), .old_len = P(8), .new_len = P(4)),
    ROW(mremap, "shrinks in the middle", .old_address = W(Z_ANON, 2), .old_len = P(4), .new_len = P(2)),
    ROW(mremap, "grows in place", .old_address = W(Z_ANON, 10), .old_len = P(6), .new_len = P(10)),
    ROW(mremap, "grows up to a neighbour", .old_address = W(Z_POLICY, 0), .old_len = P(6), .new_len = P(16)),
    ROW(mremap, "grows, locked", .old_address = W(Z_LOCKED, 0), .old_len = P(4), .new_len = P(8)),
    ROW(mremap, "grows and moves", .old_address = W(Z_ANON, 8), .old_len = P(2), .new_len = P(4),
        .flags = VMK_MREMAP_MAYMOVE),
    ROW(mremap, "a part grows and moves", .old_address = W(Z_ANON, 2), .old_len = P(2), .new_len = P(4),
        .flags = VMK_MREMAP_MAYMOVE),
    ROW(mremap, "moves to a hole", .old_address = W(Z_ANON, 0), .old_len = P(8), .new_len = P(8), .flags = MOVE,
        .new_address = W(Z_FREE, 0)),
    ROW(mremap, "a part moves over others", .old_address = W(Z_ANON, 2), .old_len = P(4), .new_len = P(4),
        .flags = MOVE, .new_address = W(Z_FILE, 6)),
    ROW(mremap, "moves and merges", .old_address = W(Z_ANON, 10), .old_len = P(2), .new_len = P(2), .flags = MOVE,
        .new_address = W(Z_POLICY, 6)),
    ROW(mremap, "moves and shrinks", .old_address = W(Z_FILE, 0), .old_len = P(8), .new_len = P(3), .flags = MOVE,
        .new_address = W(Z_FREE, 0)),
    ROW(mremap, "moves and grows", .old_address = W(Z_SHARED, 0), .old_len = P(6), .new_len = P(8), .flags = MOVE,
        .new_address = W(Z_FREE, 0)),
    ROW(mremap, "driver", .old_address = W(Z_DRIVER, 2), .old_len = P(2), .new_len = P(2), .flags = MOVE,
        .new_address = W(Z_FREE, 0)),
    ROW(mremap, "vdso", .old_address = W(Z_VDSO, 0), .old_len = P(2), .new_len = P(2), .flags = MOVE,
        .new_address = W(Z_FREE, 0)),
    ROW(mremap, "registered", .old_address = W(Z_UFFD, 1), .old_len = P(2), .new_len = P(2), .flags = MOVE,
        .new_address = W(Z_FREE, 0)),
    ROW(mremap, "tracked", .old_address = W(Z_TRACKED, 0), .old_len = P(4), .new_len = P(4), .flags = MOVE,
        .new_address = W(Z_FREE, 0)),
    ROW(mremap, "several", .old_address = W(Z_ANON, 2), .old_len = P(0x24), .new_len = P(0x24), .flags = MOVE,
        .new_address = W(Z_FREE, 0)),
    ROW(mremap, "source stays", .old_address = W(Z_ANON, 0), .old_len = P(8), .new_len = P(8),
        .flags = VMK_MREMAP_MAYMOVE | VMK_MREMAP_DONTUNMAP),
    ROW(mremap, "source stays, locked", .old_address = W(Z_LOCKED, 1), .old_len = P(2), .new_len = P(2),
        .flags = MOVE | VMK_MREMAP_DONTUNMAP, .new_address = W(Z_FREE, 0)),
    ROW(mremap, "duplicates", .old_address = W(Z_SHARED, 0), .old_len = 0, .new_len = P(4),
        .flags = VMK_MREMAP_MAYMOVE),
    ROW(mremap, "ring", .old_address = RING_OF_WORLD, .old_len = P(4), .new_len = P(4), .flags = MOVE,
        .new_address = W(Z_FREE, 0)),
    REFUSED(mremap, "destination cleared, then refused", -VMK_EPERM, .old_address = W(Z_SEALED, 0), .old_len = P(4),
            .new_len = P(4), .flags = MOVE, .new_address = W(Z_ANON, 2)),
};
static const struct row rows_brk[] = {
    ROW(brk, "grows", .address = W(Z_HEAP, 9)),
    ROW(brk, "shrinks", .address = W(Z_HEAP, 2)),
    ROW(brk, "goes", .address = W(Z_HEAP, 0)),
    ROW(brk, "inside the page", .address = W(Z_HEAP, 3) + 1),
};
static const struct row rows_madvise[] = {
    ROW(madvise, "flag, whole", .address = W(Z_ANON, 8), .len = P(2), .advice = VMK_MADV_DONTFORK),
    ROW(madvise, "flag, middle", .address = W(Z_ANON, 2), .len = P(2), .advice = VMK_MADV_RANDOM),
    ROW(madvise, "flag, several", .address = W(Z_ANON, 2), .len = P(10), .advice = VMK_MADV_WIPEONFORK),
    ROW(madvise, "flag, files", .address = W(Z_FILE, 2), .len = P(8), .advice = VMK_MADV_DONTDUMP),
    REFUSED(madvise, "flag, over a hole", -VMK_ENOMEM, .address = W(Z_ANON, 12), .len = P(24),
            .advice = VMK_MADV_SEQUENTIAL),
    ROW(madvise, "huge", .address = W(Z_ANON, 2), .len = P(2), .advice = VMK_MADV_HUGEPAGE),
    ROW(madvise, "mergeable", .address = W(Z_ANON, 2), .len = P(2), .advice = VMK_MADV_MERGEABLE),
    ROW(madvise, "guards", .address = W(Z_ANON, 11), .len = P(2), .advice = VMK_MADV_GUARD_INSTALL),
    ROW(madvise, "guards, several", .address = W(Z_ANON, 7), .len = P(6), .advice = VMK_MADV_GUARD_INSTALL),
    ROW(madvise, "guards go", .address = W(Z_ANON, 2), .len = P(2), .advice = VMK_MADV_GUARD_REMOVE),
    ROW(madvise, "populates", .address = W(Z_ANON, 10), .len = P(6), .advice = VMK_MADV_POPULATE_WRITE),
    ROW(madvise, "populates several", .address = W(Z_HEAP, 0), .len = P(4), .advice = VMK_MADV_POPULATE_WRITE),
    ROW(madvise, "drops", .address = W(Z_ANON, 2), .len = P(10), .advice = VMK_MADV_DONTNEED),
    REFUSED(madvise, "collapses", -VMK_EINVAL, .address = W(Z_ANON, 0), .len = P(8), .advice = VMK_MADV_COLLAPSE),
    ROW(madvise, "driver", .address = W(Z_DRIVER, 2), .len = P(2), .advice = VMK_MADV_WILLNEED),
    ROW(madvise, "remote", .address = W(Z_ANON, 2), .len = P(10), .advice = VMK_MADV_COLD, .remote = true),
};
static const struct row rows_mlock[] = {
    ROW(mlock, "whole", .address = W(Z_ANON, 8), .len = P(2)),
    ROW(mlock, "middle", .address = W(Z_ANON, 12), .len = P(2)),
    ROW(mlock, "several", .address = W(Z_ANON, 2), .len = P(10)),
    ROW(mlock, "on fault", .address = W(Z_FILE, 2), .len = P(8), .flags = VMK_MLOCK_ONFAULT),
    ROW(mlock, "driver", .address = W(Z_DRIVER, 2), .len = P(2)),
    REFUSED(mlock, "up to a hole", -VMK_ENOMEM, .address = W(Z_ANON, 12), .len = P(8)),
};
static const struct row rows_munlock[] = {
    ROW(munlock, "whole", .address = W(Z_LOCKED, 0), .len = P(4)),
    ROW(munlock, "middle", .address = W(Z_LOCKED, 1), .len = P(2)),
    REFUSED(munlock, "up to a hole", -VMK_ENOMEM, .address = W(Z_LOCKED, 1), .len = P(5)),
};
static const struct row rows_mlockall[] = {
    ROW(mlockall, "current", .flags = VMK_MCL_CURRENT),
    ROW(mlockall, "all, on fault", .flags = VMK_MCL_CURRENT | VMK_MCL_FUTURE | VMK_MCL_ONFAULT),
    ROW(mlockall, "future", .flags = VMK_MCL_FUTURE),
};
static const struct row rows_munlockall[] = {
    ROW(munlockall, "all", .reserved = 0),
};
static const struct row rows_mseal[] = {
    ROW(mseal, "whole", .address = W(Z_ANON, 8), .len = P(2)),
    ROW(mseal, "middle", .address = W(Z_ANON, 2), .len = P(2)),
    ROW(mseal, "several", .address = W(Z_ANON, 2), .len = P(10)),
    REFUSED(mseal, "up to a hole", -VMK_ENOMEM, .address = W(Z_ANON, 12), .len = P(8)),
};
static const struct row rows_msync[] = {
    ROW(msync, "several", .address = W(Z_FILE, 2), .len = P(10), .flags = VMK_MS_SYNC),
    REFUSED(msync, "over a hole", -VMK_ENOMEM, .address = W(Z_FILE, 10), .len = P(40), .flags = VMK_MS_ASYNC),
};
static const struct row rows_mincore[] = {
    ROW(mincore, "several", .address = W(Z_ANON, 2), .len = P(10)),
    REFUSED(mincore, "over a hole", -VMK_ENOMEM, .address = W(Z_ANON, 8), .len = P(20)),
};
static const struct row rows_remap_file_pages[] = {
    ROW(remap_file_pages, "whole", .address = W(Z_FILE, 8), .size = P(4), .pgoff = 2),
    ROW(remap_file_pages, "middle", .address = W(Z_FILE, 9), .size = P(2), .pgoff = 2),
    ROW(remap_file_pages, "driver", .address = W(Z_DRIVER, 2), .size = P(2), .pgoff = 6),
};
static const struct row rows_shmat[] = {
    ROW(shmat, "placed", .file = FILE_OF_WORLD(14), .size = P(4)),
    ROW(shmat, "hole", .file = FILE_OF_WORLD(14), .size = P(4), .address = W(Z_FREE, 0), .flags = VMK_SHM_RDONLY),
    ROW(shmat, "over areas", .file = FILE_OF_WORLD(14), .size = P(4), .address = W(Z_ANON, 6), .flags = VMK_SHM_REMAP),
};
static const struct row rows_shmdt[] = {
    ROW(shmdt, "whole", .address = W(Z_SHM, 0)),
};
static const struct row rows_aio_setup[] = {
    ROW(aio_setup, "ring", .file = FILE_OF_WORLD(15), .len = P(4)),
};
static const struct row rows_aio_destroy[] = {
    ROW(aio_destroy, "ring", .context = RING_OF_WORLD),
};
static const struct row rows_mbind[] = {
    ROW(mbind, "whole", .address = W(Z_ANON, 8), .len = P(2), .mode = VMK_MPOL_BIND, .nodes = 1, .max_node = 64),
    ROW(mbind, "middle", .address = W(Z_ANON, 2), .len = P(2), .mode = VMK_MPOL_BIND, .nodes = 1, .max_node = 64),
    ROW(mbind, "several", .address = W(Z_ANON, 2), .len = P(10), .mode = VMK_MPOL_PREFERRED, .nodes = 1,
        .max_node = 64),
    ROW(mbind, "goes in the middle", .address = W(Z_POLICY, 2), .len = P(2), .mode = VMK_MPOL_DEFAULT),
    REFUSED(mbind, "up to a hole", -VMK_EFAULT, .address = W(Z_ANON, 12), .len = P(8), .mode = VMK_MPOL_BIND,
            .nodes = 1, .max_node = 64),
};
static const struct row rows_set_mempolicy[] = {
    ROW(set_mempolicy, "bind", .mode = VMK_MPOL_BIND, .nodes = 1, .max_node = 64),
};
static const struct row rows_name[] = {
    ROW(name, "whole", .address = W(Z_ANON, 8), .len = P(2), .text = "arena"),
    ROW(name, "middle", .address = W(Z_ANON, 2), .len = P(2), .text = "arena"),
    ROW(name, "several", .address = W(Z_ANON, 2), .len = P(10), .text = "arena"),
    ROW(name, "another", .address = W(Z_NAMED, 2), .len = P(2), .text = "arena"),
    ROW(name, "goes", .address = W(Z_NAMED, 2), .len = P(4), .text = NULL),
    REFUSED(name, "over a hole", -VMK_ENOMEM, .address = W(Z_ANON, 12), .len = P(8), .text = "arena"),
};
static const struct row rows_set_mm[] = {
    ROW(set_mm, "start of the stack", .field = VMK_MM_START_STACK, .value = W(Z_STACK, 1)),
    ROW(set_mm, "break", .field = VMK_MM_BRK, .value = W(Z_HEAP, 2)),
};
static const struct row rows_set_option[] = {
    ROW(set_option, "merge", .option = VMK_OPTION_MEMORY_MERGE, .value = 1),
    ROW(set_option, "personality", .option = VMK_OPTION_PERSONALITY, .value = VMK_READ_IMPLIES_EXEC),
    ROW(set_option, "no write and execute", .option = VMK_OPTION_MDWE, .value = VMK_MDWE_REFUSE_EXEC_GAIN),
    ROW(set_option, "no huge pages", .option = VMK_OPTION_THP_DISABLE, .value = 1),
};
static const struct row rows_pkey[] = {
    ROW(pkey, "taken", .rights = 1),
    REFUSED(pkey, "never taken", -VMK_EINVAL, .free = true, .pkey = 3),
};
static const struct row rows_uffd[] = {
    ROW(uffd, "whole", .action = VMK_UFFD_REGISTER, .context = 1, .mode = VMK_UFFD_MODE_MISSING,
        .address = W(Z_ANON, 8), .len = P(2)),
    ROW(uffd, "middle", .action = VMK_UFFD_REGISTER, .context = 1, .mode = VMK_UFFD_MODE_MISSING,
        .address = W(Z_ANON, 2), .len = P(2)),
    ROW(uffd, "several", .action = VMK_UFFD_REGISTER, .context = 1, .mode = VMK_UFFD_MODE_MISSING | VMK_UFFD_MODE_WP,
        .address = W(Z_ANON, 2), .len = P(10)),
    ROW(uffd, "shared", .action = VMK_UFFD_REGISTER, .context = 1, .mode = VMK_UFFD_MODE_MINOR,
        .address = W(Z_SHARED, 2), .len = P(2)),
    ROW(uffd, "another mode", .action = VMK_UFFD_REGISTER, .context = 5, .mode = VMK_UFFD_MODE_WP,
        .address = W(Z_UFFD, 2), .len = P(2)),
    ROW(uffd, "unregisters a part", .action = VMK_UFFD_UNREGISTER, .context = 5, .address = W(Z_UFFD, 2), .len = P(2)),
    ROW(uffd, "closes", .action = VMK_UFFD_CLOSE, .context = 5),
};
static const struct row rows_map_special[] = {
    ROW(map_special, "placed", .len = P(2), .flags = VT_VDSO, .ops = &world_vdso, .special_name = "[vdso]"),
    ROW(map_special, "hole", .address = W(Z_FREE, 0), .len = P(2), .flags = VT_VVAR, .special_name = "[vvar]"),
};

static const struct vmk_exec_segment exec_segments[] = {
    {.file = FILE_OF_WORLD(1), .address = BASE, .len = P(1), .prot = VT_R},
    {.file = FILE_OF_WORLD(1), .address = BASE + P(1), .len = P(2), .offset = P(1), .prot = VT_RX},
    {.file = FILE_OF_WORLD(1), .address = BASE + P(3), .len = P(2), .offset = P(2), .prot = VT_RW, .bss_tail = true},
    {.address = BASE + P(5), .len = P(2), .prot = VT_RW},
    {.file = FILE_OF_WORLD(3), .address = BASE + P(0x100), .len = P(2), .prot = VT_RX},
};
static const struct vmk_map_special_request exec_specials[] = {
    {.len = P(4), .flags = VT_VVAR, .ops = &world_vdso, .special_name = "[vvar]"},
    {.len = P(2), .flags = VT_VDSO, .ops = &world_vdso, .special_name = "[vdso]"},
};
static const struct row rows_exec[] = {
    EMPTY(exec, "program", .segments = exec_segments, .nr_segments = 5, .stack_bytes = 1390, .specials = exec_specials,
          .nr_specials = 2),
    EMPTY(exec, "large stack", .segments = exec_segments, .nr_segments = 2, .stack_bytes = 300000,
          .executable_stack = true),
};

/* ---- The verbs ---- */

struct verb {
    const char *name;
    const struct row *rows;
    size_t nr_rows;
    int (*call)(struct vmk_mm *mm, const union any_request *request, struct vmk_result *result);
    int (*prepare)(struct vmk_mm *mm, const union any_request *request, struct vmk_plan *plan);
};

#define FORMS(verb)                                                                                                    \
    static int call_##verb(struct vmk_mm *mm, const union any_request *request, struct vmk_result *result)             \
    {                                                                                                                  \
        return vmk_##verb(mm, &request->verb, result);                                                                 \
    }                                                                                                                  \
    static int prepare_##verb(struct vmk_mm *mm, const union any_request *request, struct vmk_plan *plan)              \
    {                                                                                                                  \
        return vmk_##verb##_prepare(mm, &request->verb, plan);                                                         \
    }
VMK_VERBS(FORMS)

#define VERB(verb) {#verb, rows_##verb, sizeof(rows_##verb) / sizeof(rows_##verb[0]), call_##verb, prepare_##verb},
static const struct verb verbs[] = {VMK_VERBS(VERB)};
enum { NR_VERBS = sizeof(verbs) / sizeof(verbs[0]) };

static struct vmk_file *world_file_of(struct vmk_file *stand_in)
{
    uintptr_t id = (uintptr_t)stand_in;

    if (id >= 14)
        return the_world.lent[id - 14];
    return id == 0 ? NULL : the_world.t.files[id - 1];
}

/* The request with what the world has in the place of stand-ins. */
static union any_request fill_in(const struct verb *verb, const struct row *row)
{
    static struct vmk_exec_segment segments[sizeof(exec_segments) / sizeof(exec_segments[0])];
    union any_request request = row->request;

    if (strcmp(verb->name, "mmap") == 0)
        request.mmap.file = world_file_of(request.mmap.file);
    if (strcmp(verb->name, "shmat") == 0)
        request.shmat.file = world_file_of(request.shmat.file);
    if (strcmp(verb->name, "aio_setup") == 0)
        request.aio_setup.file = world_file_of(request.aio_setup.file);
    if (strcmp(verb->name, "aio_destroy") == 0)
        request.aio_destroy.context = the_world.aio_context;
    if (strcmp(verb->name, "mremap") == 0 && request.mremap.old_address == RING_OF_WORLD)
        request.mremap.old_address = the_world.aio_context;
    if (strcmp(verb->name, "exec") == 0) {
        memcpy(segments, exec_segments, sizeof(segments));
        for (size_t i = 0; i < request.exec.nr_segments; i++)
            segments[i].file = world_file_of(segments[i].file);
        request.exec.segments = segments;
    }
    return request;
}

#endif
