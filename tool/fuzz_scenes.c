/* SPDX-License-Identifier: MIT */
/*
 * fuzz_scenes.c - short scenarios for rules that chance alone would seldom reach: each needs a few operations on just
 * the right neighbours.
 */
#include <string.h>

#include "fuzz.h"

#define ALONE (FUZZ_ARENA + (UINT64_C(2) << 30)) /* nothing else comes here */

static void queue_args(struct fuzz_generator *generator, uint32_t call, const uint64_t *arg, size_t nr)
{
    struct fuzz_op *op;

    if (generator->nr_queue == sizeof(generator->queue) / sizeof(generator->queue[0]))
        return;
    op = &generator->queue[generator->nr_queue++];
    memset(op, 0, sizeof(*op));
    op->call = call;
    memcpy(op->arg, arg, nr * sizeof(*arg));
}

#define QUEUE(generator, call, ...)                                                                                    \
    queue_args(generator, FUZZ_##call, (const uint64_t[]){__VA_ARGS__},                                                \
               sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void queue(struct fuzz_generator *generator, uint32_t call, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t arg[] = {
        a, b, c, VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED, (uint64_t)(int64_t)FUZZ_FILE_NONE, 0};

    queue_args(generator, call, arg, call == FUZZ_MMAP ? 6 : 3);
}

/* Shared memory of a file; `offset` in pages. */
static void queue_file(struct fuzz_generator *generator, uint64_t address, uint64_t len, uint32_t prot, int file,
                       uint64_t offset)
{
    if (generator->files->file[file].usable)
        QUEUE(generator, MMAP, address, len, prot, VMK_MAP_SHARED | VMK_MAP_FIXED, (uint64_t)file, offset * FUZZ_PAGE);
}

/* The same advice twice: for itself, and through process_madvise. */
static void queue_advice(struct fuzz_generator *generator, uint64_t address, uint64_t len, int advice)
{
    QUEUE(generator, MADVISE, address, len, (uint64_t)advice);
    QUEUE(generator, PROCESS_MADVISE, (uint64_t)advice, address, len);
}

/* A touched page between two touched neighbours: whose anon_vma does it take, and with whom does it merge then? */
static void scene_between(struct fuzz_generator *generator)
{
    uint64_t page = fuzz_pick_page(generator);

    queue(generator, FUZZ_MMAP, page, FUZZ_PAGE, 3);
    queue(generator, FUZZ_TOUCH_WRITE, page, 0, 0);
    queue(generator, FUZZ_MMAP, page + 2 * FUZZ_PAGE, FUZZ_PAGE, 3);
    queue(generator, FUZZ_TOUCH_WRITE, page + 2 * FUZZ_PAGE, 0, 0);
    queue(generator, FUZZ_MMAP, page + FUZZ_PAGE, FUZZ_PAGE, 7);
    queue(generator, FUZZ_TOUCH_WRITE, page + FUZZ_PAGE, 0, 0);
    queue(generator, FUZZ_MPROTECT, page + FUZZ_PAGE, FUZZ_PAGE, 3);
}

/* The heap meets a mapping above it: a page must stay free. */
static void scene_heap_top(struct fuzz_generator *generator)
{
    uint64_t heap = (generator->brk + FUZZ_PAGE - 1) & ~(FUZZ_PAGE - 1);
    uint64_t pages = 2 + fuzz_below(&generator->random, 4);

    queue(generator, FUZZ_MMAP, heap + pages * FUZZ_PAGE, FUZZ_PAGE, 3);
    queue(generator, FUZZ_BRK, heap + pages * FUZZ_PAGE, 0, 0);
    queue(generator, FUZZ_BRK, heap + (pages - 1) * FUZZ_PAGE, 0, 0);
    queue(generator, FUZZ_MUNMAP, heap + pages * FUZZ_PAGE, FUZZ_PAGE, 0);
}

/* A heap that begins, next to an area below it that it could join. */
static void scene_heap_bottom(struct fuzz_generator *generator)
{
    queue(generator, FUZZ_BRK, generator->start_brk, 0, 0);
    queue(generator, FUZZ_MMAP, generator->start_brk - FUZZ_PAGE, FUZZ_PAGE, 3);
    queue(generator, FUZZ_BRK, generator->start_brk + 3 * FUZZ_PAGE, 0, 0);
    queue(generator, FUZZ_MUNMAP, generator->start_brk - FUZZ_PAGE, FUZZ_PAGE, 0);
}

/* A ring is cut by a change of protection, which is taken back: it stays in pieces. */
static void scene_ring(struct fuzz_generator *generator)
{
    for (size_t i = 0; i < sizeof(generator->contexts) / sizeof(generator->contexts[0]); i++)
        if (generator->contexts[i] != 0) {
            queue(generator, FUZZ_MPROTECT, generator->contexts[i], FUZZ_PAGE, 1);
            queue(generator, FUZZ_MPROTECT, generator->contexts[i], FUZZ_PAGE, 3);
            return;
        }
    queue(generator, FUZZ_IO_SETUP, 200, 0, 0);
}

/* A write fault in a child, next to fresh memory: inherited anon_vmas are neither joined nor lent. */
static void scene_inherited(struct fuzz_generator *generator)
{
    uint64_t page = fuzz_pick_page(generator);

    queue(generator, FUZZ_MMAP, page, FUZZ_PAGE, 3);
    queue(generator, FUZZ_TOUCH_WRITE, page, 0, 0);
    if (generator->depth < FUZZ_MAX_DEPTH && fuzz_chance(&generator->random, 30))
        queue(generator, FUZZ_FORK_CHILD, 0, 0, 0);
    queue(generator, FUZZ_MMAP, page + FUZZ_PAGE, FUZZ_PAGE, 3);
    queue(generator, FUZZ_MMAP, page + 2 * FUZZ_PAGE, FUZZ_PAGE, 1);
    queue(generator, FUZZ_MPROTECT, page + 2 * FUZZ_PAGE, FUZZ_PAGE, 3);
    queue(generator, FUZZ_TOUCH_WRITE, page + FUZZ_PAGE, 0, 0);
}

/* Registering again, for other modes. */
static void scene_uffd(struct fuzz_generator *generator)
{
    uint64_t page = fuzz_pick_page(generator);

    if (!generator->guards)
        return;
    if (!generator->uffd_open[0])
        queue(generator, FUZZ_UFFD_OPEN, 0, 0x80, 0);
    queue(generator, FUZZ_MMAP, page, 2 * FUZZ_PAGE, 3);
    QUEUE(generator, UFFD_REGISTER, 0, page, 2 * FUZZ_PAGE, 1 + fuzz_below(&generator->random, 3));
    QUEUE(generator, UFFD_REGISTER, 0, page, FUZZ_PAGE, 1 + fuzz_below(&generator->random, 3));
}

/* Memory that belongs to another context, or that may not be written to. */
static void scene_uffd_refused(struct fuzz_generator *generator)
{
    uint64_t page = fuzz_pick_page(generator);

    if (!generator->guards)
        return;
    for (uint64_t slot = 0; slot < 2; slot++)
        if (!generator->uffd_open[slot])
            QUEUE(generator, UFFD_OPEN, slot, 0x80);
    queue_file(generator, page, FUZZ_PAGE, 1, FUZZ_FILE_MEMFD_RDONLY, 0);
    QUEUE(generator, UFFD_REGISTER, 0, page, FUZZ_PAGE, 1);
    queue(generator, FUZZ_MMAP, page + 2 * FUZZ_PAGE, FUZZ_PAGE, 3);
    QUEUE(generator, UFFD_REGISTER, 0, page + 2 * FUZZ_PAGE, FUZZ_PAGE, 1);
    QUEUE(generator, UFFD_REGISTER, 1, page + 2 * FUZZ_PAGE, FUZZ_PAGE, 1);
    queue(generator, FUZZ_MMAP, page + 3 * FUZZ_PAGE, FUZZ_PAGE, 3);
    QUEUE(generator, UFFD_REGISTER, 1, page + 3 * FUZZ_PAGE, FUZZ_PAGE, 1); /* it does not join its neighbour */
    queue_file(generator, page + 4 * FUZZ_PAGE, FUZZ_PAGE, 3, FUZZ_FILE_DISK, 0);
    QUEUE(generator, UFFD_REGISTER, 1, page + 3 * FUZZ_PAGE, 2 * FUZZ_PAGE, 2);
}

/* Without CAP_IPC_LOCK: what grows, is mapped anew or comes locked stays below the limit. */
static void scene_lock_limit(struct fuzz_generator *generator, const struct fuzz_view *view)
{
    uint64_t locked = fuzz_view_status(view, "VmLck:"), memory = ALONE + 16 * FUZZ_PAGE;

    if (!generator->config.drop_ipc_lock)
        return;
    QUEUE(generator, SETRLIMIT, 8, locked + 4 * FUZZ_PAGE, generator->hard.memlock);
    queue(generator, FUZZ_MMAP, ALONE, FUZZ_PAGE, 3);
    QUEUE(generator, MLOCK, ALONE, FUZZ_PAGE);
    QUEUE(generator, MREMAP, ALONE, FUZZ_PAGE, 16 * FUZZ_PAGE, VMK_MREMAP_MAYMOVE);
    queue_file(generator, memory, 2 * FUZZ_PAGE, 3, FUZZ_FILE_MEMFD, 0);
    QUEUE(generator, MLOCK, memory, 2 * FUZZ_PAGE);
    QUEUE(generator, REMAP_FILE_PAGES, memory, 2 * FUZZ_PAGE, 0, 1, 0);
    QUEUE(generator, MLOCKALL, VMK_MCL_FUTURE);
    QUEUE(generator, SHMAT, 2, 0, 0);
    QUEUE(generator, MUNLOCKALL, 0);
    QUEUE(generator, MUNMAP, ALONE, 32 * FUZZ_PAGE);
    QUEUE(generator, SETRLIMIT, 8, generator->config.limit_memlock, generator->hard.memlock);
}

/* RLIMIT_AS at the page: what a fixed mapping replaces does not count. */
static void scene_size_limit(struct fuzz_generator *generator, const struct fuzz_view *view)
{
    uint64_t size = fuzz_view_status(view, "VmSize:");

    QUEUE(generator, MUNMAP, ALONE, 32 * FUZZ_PAGE);
    queue_file(generator, ALONE, 8 * FUZZ_PAGE, 3, FUZZ_FILE_MEMFD, 0);
    QUEUE(generator, SETRLIMIT, 9, size + 8 * FUZZ_PAGE, generator->hard.as);
    queue_file(generator, ALONE, 8 * FUZZ_PAGE, 3, FUZZ_FILE_MEMFD, 1);
    queue(generator, FUZZ_MMAP, ALONE + 8 * FUZZ_PAGE, FUZZ_PAGE, 3);
    QUEUE(generator, SETRLIMIT, 9, size, generator->hard.as);
    QUEUE(generator, REMAP_FILE_PAGES, ALONE, 2 * FUZZ_PAGE, 0, 4, 0);
    QUEUE(generator, SHMAT, 0, 0, 0);
    QUEUE(generator, IO_SETUP, 20);
    QUEUE(generator, SETRLIMIT, 9, generator->config.limit_as, generator->hard.as);
    QUEUE(generator, MUNMAP, ALONE, 32 * FUZZ_PAGE);
}

/* Limits that cannot be; without CAP_IPC_LOCK one of 0 forbids all locking. */
static void scene_wrong_limit(struct fuzz_generator *generator)
{
    QUEUE(generator, SETRLIMIT, 2, 2 * FUZZ_PAGE, FUZZ_PAGE);
    if (generator->hard.memlock != UINT64_MAX)
        QUEUE(generator, SETRLIMIT, 8, generator->config.limit_memlock, generator->hard.memlock + FUZZ_PAGE);
    if (!generator->config.drop_ipc_lock)
        return;
    QUEUE(generator, SETRLIMIT, 8, 0, generator->hard.memlock);
    QUEUE(generator, MLOCKALL, VMK_MCL_CURRENT);
    QUEUE(generator, MLOCK2, fuzz_pick_page(generator), FUZZ_PAGE, 1);
    QUEUE(generator, SETRLIMIT, 8, generator->config.limit_memlock, generator->hard.memlock);
}

/* Whatever would change sealed memory is refused, by each call in its own way. */
static void scene_sealed(struct fuzz_generator *generator)
{
    uint64_t page = fuzz_pick_page(generator);

    queue(generator, FUZZ_MMAP, page, FUZZ_PAGE, 1);
    QUEUE(generator, MSEAL, page, FUZZ_PAGE, 0);
    queue_advice(generator, page, FUZZ_PAGE, VMK_MADV_DONTNEED);
    QUEUE(generator, PKEY_MPROTECT, page, FUZZ_PAGE, 3, (uint64_t)-1);
    QUEUE(generator, SHMAT, 0, page, VMK_SHM_REMAP);
    queue_file(generator, page + 2 * FUZZ_PAGE, FUZZ_PAGE, 3, FUZZ_FILE_MEMFD, 0);
    QUEUE(generator, MSEAL, page + 2 * FUZZ_PAGE, FUZZ_PAGE, 0);
    QUEUE(generator, REMAP_FILE_PAGES, page + 2 * FUZZ_PAGE, FUZZ_PAGE, 0, 1, 0);
}

/* Shared memory of a file that may only be read. */
static void scene_read_only(struct fuzz_generator *generator)
{
    uint64_t page = fuzz_pick_page(generator);

    queue_file(generator, page, 2 * FUZZ_PAGE, 1, FUZZ_FILE_DISK_RDONLY, 0);
    QUEUE(generator, PKEY_MPROTECT, page, FUZZ_PAGE, 3, (uint64_t)-1);
    queue_advice(generator, page, FUZZ_PAGE, VMK_MADV_REMOVE);
}

/* Once MDWE is set, it stays; what was executable and writable before cannot be mapped again. */
static void scene_mdwe(struct fuzz_generator *generator)
{
    uint64_t page = fuzz_pick_page(generator);

    queue_file(generator, page, FUZZ_PAGE, 7, FUZZ_FILE_MEMFD, 0);
    QUEUE(generator, MDWE, VMK_MDWE_REFUSE_EXEC_GAIN);
    QUEUE(generator, MDWE, 0);
    QUEUE(generator, REMAP_FILE_PAGES, page, FUZZ_PAGE, 0, 1, 0);
    QUEUE(generator, SHMAT, 0, 0, VMK_SHM_EXEC);
}

/* Ranges that wrap, and an offset beyond all files. */
static void scene_wrong_range(struct fuzz_generator *generator)
{
    uint64_t page = fuzz_pick_page(generator);

    QUEUE(generator, MLOCK, page, -page);
    QUEUE(generator, MUNLOCK, page, -page);
    QUEUE(generator, MINCORE, page + 1, FUZZ_PAGE);
    QUEUE(generator, PROC_MEM_READ, UINT64_C(1) << 63);
    QUEUE(generator, PROC_MEM_WRITE, UINT64_C(1) << 63);
    queue_file(generator, page, FUZZ_PAGE, 3, FUZZ_FILE_MEMFD, 0);
    QUEUE(generator, REMAP_FILE_PAGES, page, FUZZ_PAGE, 0, UINT64_C(1) << 52, 0);
}

/* Pages beyond a file's end cannot be brought in; a ring has none that can be punched out. */
static void scene_pages(struct fuzz_generator *generator)
{
    uint64_t page = fuzz_pick_page(generator);

    for (size_t i = 0; i < sizeof(generator->contexts) / sizeof(generator->contexts[0]); i++)
        if (generator->contexts[i] != 0) {
            queue_advice(generator, generator->contexts[i], FUZZ_PAGE, VMK_MADV_REMOVE);
            break;
        }
    if (generator->guards)
        return;
    queue_file(generator, page, FUZZ_PAGE, 1, FUZZ_FILE_MEMFD, 100);
    queue_advice(generator, page, FUZZ_PAGE, VMK_MADV_POPULATE_READ);
}

/* What brings an anon_vma: the page at `page` is treated in one of many ways. */
static void queue_treatment(struct fuzz_generator *generator, uint64_t page, uint64_t kind)
{
    bool guards = generator->guards;

    switch (kind) {
    case 0:
        QUEUE(generator, TOUCH_READ, page);
        break;
    case 1:
        QUEUE(generator, COPY_IN, page);
        break;
    case 2:
        QUEUE(generator, MPROTECT, page, FUZZ_PAGE, 0);
        QUEUE(generator, PROC_MEM_WRITE, page);
        QUEUE(generator, MPROTECT, page, FUZZ_PAGE, 3);
        break;
    case 3:
        QUEUE(generator, TOUCH_WRITE, page);
        QUEUE(generator, MADVISE, page, FUZZ_PAGE, VMK_MADV_DONTNEED);
        break;
    case 4:
        QUEUE(generator, MADVISE, page, FUZZ_PAGE, guards ? VMK_MADV_GUARD_INSTALL : VMK_MADV_POPULATE_READ);
        QUEUE(generator, MADVISE, page, FUZZ_PAGE, guards ? VMK_MADV_GUARD_REMOVE : VMK_MADV_COLD);
        break;
    case 5:
        if (guards)
            break;
        QUEUE(generator, MPROTECT, page, FUZZ_PAGE, 1);
        QUEUE(generator, MLOCK, page, FUZZ_PAGE);
        QUEUE(generator, MPROTECT, page, FUZZ_PAGE, 3);
        QUEUE(generator, MUNLOCK, page, FUZZ_PAGE);
        break;
    default:
        break;
    }
}

static void queue_private(struct fuzz_generator *generator, uint64_t page, int file, uint64_t offset)
{
    if (file == FUZZ_FILE_NONE)
        queue(generator, FUZZ_MMAP, page, FUZZ_PAGE, 3);
    else
        QUEUE(generator, MMAP, page, FUZZ_PAGE, 3, VMK_MAP_PRIVATE | VMK_MAP_FIXED, (uint64_t)file, offset * FUZZ_PAGE);
}

/* Has the page an anon_vma now? Then it does not join a neighbour that got one of its own while the two looked unlike. */
static void scene_identity(struct fuzz_generator *generator)
{
    uint64_t page = fuzz_pick_page(generator), next = page + FUZZ_PAGE, kind = fuzz_below(&generator->random, 8);
    int file = kind < 7 ? FUZZ_FILE_NONE : FUZZ_FILE_MEMFD;

    queue_private(generator, next, file, 101);
    QUEUE(generator, MADVISE, next, FUZZ_PAGE, VMK_MADV_DONTFORK);
    QUEUE(generator, TOUCH_WRITE, next);
    queue_private(generator, page, file, 100);
    if (file == FUZZ_FILE_NONE)
        queue_treatment(generator, page, kind);
    else
        QUEUE(generator, TOUCH_WRITE, page); /* beyond the end of the file */
    QUEUE(generator, MADVISE, next, FUZZ_PAGE, VMK_MADV_DOFORK);
}

/* The same where a huge page could come. */
static void scene_huge(struct fuzz_generator *generator)
{
    uint64_t next = ALONE + FUZZ_HUGE;

    queue(generator, FUZZ_MMAP, ALONE, FUZZ_HUGE, 3);
    QUEUE(generator, MADVISE, ALONE, FUZZ_HUGE, VMK_MADV_HUGEPAGE);
    QUEUE(generator, TOUCH_READ, ALONE + 5 * FUZZ_PAGE);
    queue(generator, FUZZ_MMAP, next, FUZZ_PAGE, 3);
    QUEUE(generator, TOUCH_WRITE, next);
    QUEUE(generator, MADVISE, next, FUZZ_PAGE, VMK_MADV_HUGEPAGE);
    QUEUE(generator, MUNMAP, ALONE, FUZZ_HUGE + FUZZ_PAGE);
}

/* An area that is wiped has no anon_vma in the child, and may join one there. */
static void scene_wiped(struct fuzz_generator *generator)
{
    uint64_t page = fuzz_pick_page(generator);

    if (generator->depth >= FUZZ_MAX_DEPTH)
        return;
    queue(generator, FUZZ_MMAP, page, FUZZ_PAGE, 3);
    QUEUE(generator, TOUCH_WRITE, page);
    QUEUE(generator, MADVISE, page, FUZZ_PAGE, VMK_MADV_WIPEONFORK);
    QUEUE(generator, FORK_CHILD, 0);
    queue(generator, FUZZ_MMAP, page + FUZZ_PAGE, FUZZ_PAGE, 3);
    QUEUE(generator, TOUCH_WRITE, page + FUZZ_PAGE);
    QUEUE(generator, MADVISE, page + FUZZ_PAGE, FUZZ_PAGE, VMK_MADV_WIPEONFORK);
}

/* A context goes where its ring goes. */
static void scene_ring_moves(struct fuzz_generator *generator)
{
    for (size_t i = 0; i < sizeof(generator->contexts) / sizeof(generator->contexts[0]); i++)
        if (generator->contexts[i] != 0) {
            QUEUE(generator, MREMAP, generator->contexts[i], FUZZ_PAGE, FUZZ_PAGE,
                  VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED, ALONE);
            QUEUE(generator, IO_DESTROY, ALONE);
            return;
        }
    QUEUE(generator, IO_SETUP, 20);
}

/* A segment in three pieces; a locked page behind a hole; a stack above memory that nobody can touch. */
static void scene_pieces(struct fuzz_generator *generator)
{
    uint64_t stack = ALONE + 64 * FUZZ_PAGE;

    QUEUE(generator, SHMAT, 2, ALONE, VMK_SHM_REMAP);
    QUEUE(generator, MPROTECT, ALONE + 2 * FUZZ_PAGE, FUZZ_PAGE, 1);
    QUEUE(generator, SHMDT, ALONE);
    if (!generator->guards) {
        queue(generator, FUZZ_MMAP, ALONE, 3 * FUZZ_PAGE, 3);
        QUEUE(generator, MLOCK, ALONE + 2 * FUZZ_PAGE, FUZZ_PAGE);
        QUEUE(generator, MUNMAP, ALONE + FUZZ_PAGE, FUZZ_PAGE);
        QUEUE(generator, MSYNC, ALONE, 3 * FUZZ_PAGE, VMK_MS_INVALIDATE);
    }
    QUEUE(generator, MMAP, stack, FUZZ_PAGE, 3, VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED | VMK_MAP_GROWSDOWN,
          (uint64_t)(int64_t)FUZZ_FILE_NONE, 0);
    queue(generator, FUZZ_MMAP, stack - 8 * FUZZ_PAGE, FUZZ_PAGE, 0);
    QUEUE(generator, TOUCH_WRITE, stack - 4 * FUZZ_PAGE);
    QUEUE(generator, MUNMAP, ALONE, 128 * FUZZ_PAGE);
}

/* A move of several areas, one of which may not come along; and one of untouched memory, whose offset starts afresh. */
static void scene_moves(struct fuzz_generator *generator)
{
    uint64_t page = fuzz_pick_page(generator), fixed = VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED;

    queue(generator, FUZZ_MMAP, page, FUZZ_PAGE, 3);
    QUEUE(generator, MMAP, page + FUZZ_PAGE, FUZZ_PAGE, 3, VMK_MAP_PRIVATE | VMK_MAP_FIXED, FUZZ_FILE_ZERO, 0);
    QUEUE(generator, MREMAP, page, 2 * FUZZ_PAGE, 2 * FUZZ_PAGE, fixed, ALONE);
    queue(generator, FUZZ_MMAP, ALONE + FUZZ_PAGE, FUZZ_PAGE, 3);
    QUEUE(generator, MUNMAP, ALONE, 2 * FUZZ_PAGE);
}

void fuzz_queue_scene(struct fuzz_generator *generator, const struct fuzz_view *view)
{
    static void (*const scenes[])(struct fuzz_generator * generator) = {
        scene_between, scene_heap_top,     scene_heap_bottom, scene_ring,     scene_inherited,
        scene_uffd,    scene_uffd_refused, scene_wrong_limit, scene_sealed,   scene_read_only,
        scene_mdwe,    scene_wrong_range,  scene_pages,       scene_identity, scene_identity,
        scene_huge,    scene_wiped,        scene_ring_moves,  scene_pieces,   scene_moves,
    };
    enum { NR_SCENES = sizeof(scenes) / sizeof(scenes[0]) };
    uint64_t which = fuzz_below(&generator->random, NR_SCENES + 2);

    generator->nr_queue = generator->at_queue = 0;
    if (which < NR_SCENES)
        scenes[which](generator);
    else if (which == NR_SCENES)
        scene_lock_limit(generator, view);
    else
        scene_size_limit(generator, view);
}
