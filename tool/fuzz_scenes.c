/* SPDX-License-Identifier: MIT */
/*
 * fuzz_scenes.c - short scenarios for rules that chance alone would seldom reach: each needs a few operations on just
 * the right neighbours.
 */
#include <string.h>

#include "fuzz.h"

static void queue(struct fuzz_generator *generator, uint32_t call, uint64_t a, uint64_t b, uint64_t c)
{
    struct fuzz_op *op = &generator->queue[generator->nr_queue++];

    memset(op, 0, sizeof(*op));
    op->call = call;
    op->arg[0] = a;
    op->arg[1] = b;
    op->arg[2] = c;
    if (call == FUZZ_MMAP) {
        op->arg[3] = VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED;
        op->arg[4] = (uint64_t)(int64_t)FUZZ_FILE_NONE;
    }
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
    queue(generator, FUZZ_UFFD_REGISTER, 0, page, 2 * FUZZ_PAGE);
    generator->queue[generator->nr_queue - 1].arg[3] = 1 + fuzz_below(&generator->random, 2);
    queue(generator, FUZZ_UFFD_REGISTER, 0, page, FUZZ_PAGE);
    generator->queue[generator->nr_queue - 1].arg[3] = 1 + fuzz_below(&generator->random, 3);
}

void fuzz_queue_scene(struct fuzz_generator *generator)
{
    generator->nr_queue = generator->at_queue = 0;
    switch (fuzz_below(&generator->random, 6)) {
    case 0:
        scene_between(generator);
        break;
    case 1:
        scene_heap_top(generator);
        break;
    case 2:
        scene_heap_bottom(generator);
        break;
    case 3:
        scene_ring(generator);
        break;
    case 4:
        scene_uffd(generator);
        break;
    default:
        scene_inherited(generator);
        break;
    }
}
