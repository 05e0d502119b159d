/* SPDX-License-Identifier: MIT */
/*
 * fuzz_gen.c - what to do next: weighted random operations.
 *
 * Each sequence prefers a few protections, flags and files, and a small arena, so that neighbours often could merge; it
 * looks at the kernel's map to cut areas where they begin, end or have a middle. A few sequences are about something of
 * their own: stacks, limits, large areas.
 */
#include <string.h>

#include "fuzz.h"

#define COUNT(array)        (sizeof(array) / sizeof((array)[0]))
#define PICK(random, array) ((array)[fuzz_below(random, COUNT(array))])

enum { SCENES = 20 }; /* in a thousand operations begin one */

/* In tenths of a per cent, roughly. */
static const uint16_t base_weight[FUZZ_NR_CALLS] = {
    [FUZZ_MMAP] = 240,           [FUZZ_MUNMAP] = 60,       [FUZZ_MPROTECT] = 120,
    [FUZZ_PKEY_MPROTECT] = 6,    [FUZZ_PKEY_ALLOC] = 2,    [FUZZ_PKEY_FREE] = 2,
    [FUZZ_MREMAP] = 80,          [FUZZ_BRK] = 14,          [FUZZ_MLOCK] = 18,
    [FUZZ_MLOCK2] = 10,          [FUZZ_MUNLOCK] = 16,      [FUZZ_MLOCKALL] = 4,
    [FUZZ_MUNLOCKALL] = 4,       [FUZZ_MSEAL] = 4,         [FUZZ_MSYNC] = 10,
    [FUZZ_MINCORE] = 8,          [FUZZ_MADVISE] = 110,     [FUZZ_PROCESS_MADVISE] = 8,
    [FUZZ_REMAP_FILE_PAGES] = 8, [FUZZ_SHMAT] = 12,        [FUZZ_SHMDT] = 8,
    [FUZZ_IO_SETUP] = 3,         [FUZZ_IO_DESTROY] = 3,    [FUZZ_MBIND] = 16,
    [FUZZ_SET_MEMPOLICY] = 3,    [FUZZ_UFFD_OPEN] = 4,     [FUZZ_UFFD_REGISTER] = 8,
    [FUZZ_UFFD_UNREGISTER] = 5,  [FUZZ_UFFD_CLOSE] = 2,    [FUZZ_NAME] = 3,
    [FUZZ_SET_MM] = 5,           [FUZZ_THP_DISABLE] = 2,   [FUZZ_MDWE] = 1,
    [FUZZ_MEMORY_MERGE] = 2,     [FUZZ_PERSONALITY] = 2,   [FUZZ_SETRLIMIT] = 10,
    [FUZZ_TOUCH_READ] = 36,      [FUZZ_TOUCH_WRITE] = 100, [FUZZ_TOUCH_EXEC] = 8,
    [FUZZ_COPY_OUT] = 5,         [FUZZ_COPY_IN] = 6,       [FUZZ_PROC_MEM_READ] = 5,
    [FUZZ_PROC_MEM_WRITE] = 7,   [FUZZ_FORK_CHILD] = 3,    [FUZZ_FORK_PARENT] = 3,
    [FUZZ_FTRUNCATE] = 2,        [FUZZ_CAPSET] = 1,
};

/* ---- The beginning of a sequence ---- */

void fuzz_generator_config(struct fuzz_config *config, uint64_t seed, uint64_t index)
{
    static const uint64_t memlock[] = {0, 4, 16, 64, 256, 600, 2048};
    struct fuzz_random random = {.state = seed * UINT64_C(0x2545f4914f6cdd1d) + index * UINT64_C(0x9fb21c651e98df25)};

    fuzz_next(&random);
    config->seed = fuzz_next(&random);
    config->drop_ipc_lock = (index & 1) != 0;
    config->limit_as = UINT64_C(512) << 20;
    config->limit_data = fuzz_chance(&random, 10) ? (64 + fuzz_below(&random, 256)) * FUZZ_PAGE : UINT64_MAX;
    config->limit_stack = fuzz_chance(&random, 15) ? (1 + fuzz_below(&random, 64)) * FUZZ_PAGE : UINT64_C(8) << 20;
    config->limit_memlock = PICK(&random, memlock) * FUZZ_PAGE;
}

static void choose_preferences(struct fuzz_generator *generator)
{
    static const uint32_t prots[] = {3, 3, 3, 3, 1, 1, 0, 7, 5, 2};
    static const uint32_t flags[] = {0,
                                     0,
                                     0,
                                     0,
                                     0,
                                     0,
                                     VMK_MAP_NORESERVE,
                                     VMK_MAP_POPULATE,
                                     VMK_MAP_LOCKED,
                                     VMK_MAP_STACK,
                                     VMK_MAP_DENYWRITE,
                                     VMK_MAP_POPULATE | VMK_MAP_NONBLOCK};
    static const int files[] = {FUZZ_FILE_DISK,  FUZZ_FILE_DISK, FUZZ_FILE_DISK_DUP, FUZZ_FILE_DISK_SECOND,
                                FUZZ_FILE_MEMFD, FUZZ_FILE_ZERO, FUZZ_FILE_TMPFS,    FUZZ_FILE_DISK_RDONLY};
    struct fuzz_random *random = &generator->random;

    for (size_t i = 0; i < 3; i++) {
        generator->prots[i] = PICK(random, prots);
        generator->map_flags[i] = PICK(random, flags);
        generator->fd[i] = PICK(random, files);
    }
    generator->arena_pages = 64u << fuzz_below(random, 3);
    generator->growing = fuzz_chance(random, 12);
    generator->guards = fuzz_chance(random, 30);
    for (size_t i = 0; i < FUZZ_NR_CALLS; i++) {
        generator->weight[i] = base_weight[i];
        if (base_weight[i] < 40 && fuzz_chance(random, 8))
            generator->weight[i] *= 5; /* this sequence has more of it */
        else if (base_weight[i] < 40 && fuzz_chance(random, 20))
            generator->weight[i] = 0;
        if (generator->guards ? i == FUZZ_MLOCK || i == FUZZ_MLOCK2 || i == FUZZ_MLOCKALL
                              : i >= FUZZ_UFFD_OPEN && i <= FUZZ_UFFD_CLOSE)
            generator->weight[i] = 0;
        else if (generator->guards && i >= FUZZ_UFFD_OPEN && i <= FUZZ_UFFD_CLOSE)
            generator->weight[i] *= 3;
        if (generator->enabled != NULL && !generator->enabled[i])
            generator->weight[i] = 0;
    }
}

void fuzz_generator_begin(struct fuzz_generator *generator, const struct fuzz_config *config)
{
    generator->random.state = config->seed;
    generator->config = *config;
    fuzz_hard_limits(&generator->hard);
    generator->brk = generator->start_brk;
    generator->depth = generator->step = 0;
    generator->nr_queue = generator->at_queue = 0;
    memset(generator->contexts, 0, sizeof(generator->contexts));
    memset(generator->uffd_open, 0, sizeof(generator->uffd_open));
    choose_preferences(generator);
}

/* ---- mmap ---- */

static uint32_t pick_prot(struct fuzz_generator *generator)
{
    static const uint32_t any[] = {0, 1, 2, 3, 4, 5, 6, 7, 1, 3};
    struct fuzz_random *random = &generator->random;

    return fuzz_chance(random, 80) ? PICK(random, generator->prots) : PICK(random, any);
}

static uint32_t extra_flags(struct fuzz_random *random)
{
    static const uint32_t flags[] = {VMK_MAP_32BIT,
                                     VMK_MAP_NORESERVE,
                                     VMK_MAP_LOCKED,
                                     VMK_MAP_POPULATE,
                                     VMK_MAP_NONBLOCK,
                                     VMK_MAP_STACK,
                                     VMK_MAP_SYNC,
                                     VMK_MAP_EXECUTABLE,
                                     VMK_MAP_DENYWRITE,
                                     VMK_MAP_HUGETLB,
                                     VMK_MAP_GROWSDOWN,
                                     VMK_MAP_UNINITIALIZED,
                                     0x400,
                                     0x80,
                                     VMK_MAP_FIXED_NOREPLACE,
                                     0x1000000};

    return PICK(random, flags);
}

/* Where: arg[0], and the flags that belong to it. */
static void map_where(struct fuzz_generator *generator, const struct fuzz_view *view, struct fuzz_op *op)
{
    struct fuzz_random *random = &generator->random;
    uint64_t kind = fuzz_below(random, 100);

    fuzz_pick_range(generator, view, &op->arg[0], &op->arg[1]);
    if (generator->step < 24 || kind < 45) { /* fill the arena first */
        uint64_t pages = 1 + fuzz_below(random, 4);

        op->arg[0] = fuzz_pick_page(generator);
        op->arg[1] = pages * FUZZ_PAGE;
        op->arg[3] |= VMK_MAP_FIXED;
    } else if (kind < 62) {
        op->arg[3] |= VMK_MAP_FIXED;
    } else if (kind < 70) {
        op->arg[3] |= VMK_MAP_FIXED_NOREPLACE;
    } else if (kind < 88) {
        op->arg[0] = 0;
        if (fuzz_chance(random, 6))
            op->arg[1] = (1 + fuzz_below(random, 6)) * FUZZ_HUGE + (fuzz_chance(random, 40) ? FUZZ_PAGE : 0);
    } else if (kind < 91) {
        op->arg[0] = fuzz_next(random) >> (fuzz_below(random, 48) + 8);
    }
    if (fuzz_chance(random, 2))
        op->arg[3] ^= VMK_MAP_FIXED;
}

/* A file, with offsets that continue from neighbour to neighbour. */
static void map_file(struct fuzz_generator *generator, struct fuzz_op *op)
{
    struct fuzz_random *random = &generator->random;
    uint64_t file = (uint64_t)PICK(random, generator->fd);

    if (fuzz_chance(random, 12))
        file = fuzz_below(random, FUZZ_NR_FILES);
    op->arg[4] = generator->files->file[file].usable ? file : (uint64_t)FUZZ_FILE_DISK;
    op->arg[5] = ((op->arg[0] - FUZZ_ARENA) % (32 * FUZZ_PAGE)) & ~(FUZZ_PAGE - 1);
    if (fuzz_chance(random, 15))
        op->arg[5] = fuzz_below(random, 8) * FUZZ_PAGE;
    if (fuzz_chance(random, 2))
        op->arg[5] =
            fuzz_chance(random, 50) ? op->arg[5] + 1 : (uint64_t) - (int64_t)(fuzz_below(random, 4) * FUZZ_PAGE);
}

static void generate_mmap(struct fuzz_generator *generator, const struct fuzz_view *view, struct fuzz_op *op)
{
    struct fuzz_random *random = &generator->random;
    uint64_t kind = fuzz_below(random, 100);

    op->arg[2] = pick_prot(generator);
    op->arg[3] = PICK(random, generator->map_flags);
    map_where(generator, view, op);
    op->arg[4] = (uint64_t)(int64_t)FUZZ_FILE_NONE;
    if (kind < 60) {
        op->arg[3] |= VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS;
    } else if (kind < 66) {
        op->arg[3] |= VMK_MAP_SHARED | VMK_MAP_ANONYMOUS;
    } else if (kind < 69) {
        op->arg[3] |= VMK_MAP_DROPPABLE | VMK_MAP_ANONYMOUS;
    } else if (kind < 97) {
        op->arg[3] |= kind < 84 ? VMK_MAP_PRIVATE : kind < 94 ? VMK_MAP_SHARED : VMK_MAP_SHARED_VALIDATE;
        map_file(generator, op);
    } else {
        op->arg[3] |= fuzz_below(random, 16) | (fuzz_chance(random, 50) ? VMK_MAP_ANONYMOUS : 0);
        map_file(generator, op);
    }
    if (generator->growing && kind < 60 && fuzz_chance(random, 40)) {
        op->arg[3] |= VMK_MAP_GROWSDOWN;
        if (fuzz_chance(random, 70))
            op->arg[0] = FUZZ_STACKS + fuzz_below(random, 12) * 100 * FUZZ_PAGE + fuzz_below(random, 4) * FUZZ_PAGE;
    }
    if (fuzz_chance(random, 6))
        op->arg[3] |= extra_flags(random);
    if (fuzz_chance(random, 2))
        op->arg[2] |= UINT64_C(1) << fuzz_below(random, 32);
    if ((op->arg[3] & (VMK_MAP_LOCKED | VMK_MAP_POPULATE)) == 0 || fuzz_chance(random, 20))
        fuzz_make_odd(generator, 40, &op->arg[0], &op->arg[1]);
}

/* ---- Other calls ---- */

static void generate_mprotect(struct fuzz_generator *generator, const struct fuzz_view *view, struct fuzz_op *op)
{
    struct fuzz_random *random = &generator->random;

    fuzz_pick_range(generator, view, &op->arg[0], &op->arg[1]);
    op->arg[2] = pick_prot(generator);
    if (fuzz_chance(random, generator->growing ? 15 : 2))
        op->arg[2] |= VMK_PROT_GROWSDOWN;
    if (fuzz_chance(random, 1))
        op->arg[2] |= VMK_PROT_GROWSUP;
    if (fuzz_chance(random, 1))
        op->arg[2] |= UINT64_C(1) << fuzz_below(random, 34);
    if (op->call == FUZZ_PKEY_MPROTECT)
        op->arg[3] = fuzz_chance(random, 60) ? (uint64_t)-1 : fuzz_below(random, 6) - 2;
    fuzz_make_odd(generator, 40, &op->arg[0], &op->arg[1]);
}

static void generate_mremap(struct fuzz_generator *generator, const struct fuzz_view *view, struct fuzz_op *op)
{
    static const uint8_t flags[] = {0, 0, 1, 1, 1, 3, 3, 3, 5, 5, 7, 7};
    struct fuzz_random *random = &generator->random;
    uint64_t ignored;

    fuzz_pick_range(generator, view, &op->arg[0], &op->arg[1]);
    op->arg[2] = op->arg[1];
    if (fuzz_chance(random, 40))
        op->arg[2] = (1 + fuzz_below(random, op->arg[1] / FUZZ_PAGE + 6)) * FUZZ_PAGE;
    op->arg[3] = fuzz_chance(random, 98) ? PICK(random, flags) : fuzz_below(random, 16);
    fuzz_pick_range(generator, view, &op->arg[4], &ignored);
    if (fuzz_chance(random, 50))
        op->arg[4] = fuzz_pick_page(generator);
    if (fuzz_chance(random, 6))
        op->arg[4] = op->arg[0]; /* back to where its pgoff belongs */
    if (fuzz_chance(random, 4))
        op->arg[1] = 0;
    fuzz_make_odd(generator, 50, &op->arg[0], &op->arg[1]);
    fuzz_make_odd(generator, 60, &op->arg[4], &op->arg[2]);
}

static void generate_advice(struct fuzz_generator *generator, const struct fuzz_view *view, struct fuzz_op *op)
{
    static const int common[] = {VMK_MADV_DONTFORK,    VMK_MADV_DOFORK,     VMK_MADV_DONTDUMP,   VMK_MADV_DODUMP,
                                 VMK_MADV_RANDOM,      VMK_MADV_NORMAL,     VMK_MADV_SEQUENTIAL, VMK_MADV_HUGEPAGE,
                                 VMK_MADV_NOHUGEPAGE,  VMK_MADV_WIPEONFORK, VMK_MADV_KEEPONFORK, VMK_MADV_MERGEABLE,
                                 VMK_MADV_UNMERGEABLE, VMK_MADV_DONTNEED,   VMK_MADV_NORMAL,     VMK_MADV_DOFORK};
    static const int rare[] = {VMK_MADV_WILLNEED,
                               VMK_MADV_FREE,
                               VMK_MADV_REMOVE,
                               VMK_MADV_COLD,
                               VMK_MADV_PAGEOUT,
                               VMK_MADV_POPULATE_READ,
                               VMK_MADV_POPULATE_WRITE,
                               VMK_MADV_DONTNEED_LOCKED,
                               VMK_MADV_COLLAPSE,
                               VMK_MADV_GUARD_INSTALL,
                               VMK_MADV_GUARD_REMOVE,
                               5,
                               7,
                               26,
                               104,
                               -1};
    struct fuzz_random *random = &generator->random;
    unsigned first = op->call == FUZZ_MADVISE ? 0 : 1;
    int advice = fuzz_chance(random, 65) ? PICK(random, common) : PICK(random, rare);

    fuzz_pick_range(generator, view, &op->arg[first], &op->arg[first + 1]);
    fuzz_make_odd(generator, 50, &op->arg[first], &op->arg[first + 1]);
    if (generator->guards ? advice == VMK_MADV_POPULATE_READ || advice == VMK_MADV_POPULATE_WRITE
                          : advice == VMK_MADV_GUARD_INSTALL) {
        advice = VMK_MADV_WILLNEED;
        generator->left_out[FUZZ_LEFT_GUARDS]++;
    }
    if (first == 0) {
        op->arg[2] = (uint64_t)(int64_t)advice;
        return;
    }
    op->arg[0] = (uint64_t)(int64_t)advice;
    op->arg[3] = op->arg[4] = 0;
    if (fuzz_chance(random, 50))
        fuzz_pick_range(generator, view, &op->arg[3], &op->arg[4]);
    op->arg[5] = fuzz_chance(random, 5);
}

static void generate_lock(struct fuzz_generator *generator, const struct fuzz_view *view, struct fuzz_op *op)
{
    static const uint32_t sync_flags[] = {0, 1, 2, 4, 5, 6, 3, 8};
    struct fuzz_random *random = &generator->random;

    fuzz_pick_range(generator, view, &op->arg[0], &op->arg[1]);
    fuzz_make_odd(generator, 30, &op->arg[0], &op->arg[1]);
    if (op->call == FUZZ_MLOCK2)
        op->arg[2] = fuzz_chance(random, 5) ? 2 : fuzz_below(random, 2);
    if (op->call == FUZZ_MSYNC)
        op->arg[2] = PICK(random, sync_flags);
    if (op->call == FUZZ_MSEAL)
        op->arg[2] = fuzz_chance(random, 5);
}

static void generate_whole(struct fuzz_generator *generator, struct fuzz_op *op)
{
    static const uint64_t personalities[] = {0x0400000, 0x0040000, 0x0440000, 0, 0xffffffff};
    struct fuzz_random *random = &generator->random;

    switch (op->call) {
    case FUZZ_MLOCKALL:
        op->arg[0] = fuzz_chance(random, 95) ? 1 + fuzz_below(random, 7) : fuzz_below(random, 10);
        break;
    case FUZZ_PERSONALITY:
        op->arg[0] = PICK(random, personalities);
        break;
    case FUZZ_MDWE:
        op->arg[0] = fuzz_below(random, 5);
        break;
    case FUZZ_PKEY_ALLOC:
        op->arg[0] = fuzz_chance(random, 10);
        op->arg[1] = fuzz_below(random, 5);
        break;
    case FUZZ_PKEY_FREE:
        op->arg[0] = fuzz_below(random, 18) - 1;
        break;
    default: /* switches */
        op->arg[0] = fuzz_chance(random, 95) ? fuzz_below(random, 2) : fuzz_next(random);
        break;
    }
}

static void generate_brk(struct fuzz_generator *generator, const struct fuzz_view *view, struct fuzz_op *op)
{
    struct fuzz_random *random = &generator->random;
    const struct fuzz_area *above = fuzz_view_find(view, generator->brk);

    op->arg[0] = generator->brk + (fuzz_below(random, 24) - 10) * FUZZ_PAGE;
    if (fuzz_chance(random, 25))
        op->arg[0] += fuzz_below(random, FUZZ_PAGE);
    if (fuzz_chance(random, 5) && above != NULL && above->start > generator->brk &&
        above->start - generator->brk < FUZZ_HUGE)
        op->arg[0] = above->start - fuzz_below(random, 3) * FUZZ_PAGE;
    if (op->arg[0] > generator->start_brk + FUZZ_HUGE)
        op->arg[0] = generator->start_brk + fuzz_below(random, 64) * FUZZ_PAGE;
    if (fuzz_chance(random, 3))
        op->arg[0] = fuzz_chance(random, 50) ? fuzz_next(random) : 0;
    if (op->arg[0] < generator->text_end && op->arg[0] != 0) {
        op->arg[0] = generator->text_start - FUZZ_PAGE; /* refused, whatever it is */
        generator->left_out[FUZZ_LEFT_BRK]++;
    }
}

static void generate_set_mm(struct fuzz_generator *generator, const struct fuzz_view *view, struct fuzz_op *op)
{
    struct fuzz_random *random = &generator->random;

    op->arg[0] = fuzz_chance(random, 95) ? 1 + fuzz_below(random, 11) : fuzz_chance(random, 50) ? 0 : 77;
    if (op->arg[0] == VMK_MM_START_BRK || op->arg[0] == VMK_MM_BRK) {
        op->arg[1] = generator->start_brk + fuzz_below(random, 64) * FUZZ_PAGE + fuzz_below(random, 2);
        return;
    }
    op->arg[1] = fuzz_pick_touch(generator, view);
    if (fuzz_chance(random, 10))
        op->arg[1] = fuzz_next(random) >> fuzz_below(random, 64);
}

static void generate_limit(struct fuzz_generator *generator, const struct fuzz_view *view, struct fuzz_op *op)
{
    /* as, data, stack, memlock */
    static const uint8_t which[] = {9, 2, 3, 8};
    static const char *const line[] = {"VmSize:", "VmData:", "VmStk:", "VmLck:"};
    const uint64_t hard[] = {generator->hard.as, generator->hard.data, generator->hard.stack, generator->hard.memlock};
    struct fuzz_random *random = &generator->random;
    size_t i = fuzz_below(random, COUNT(which));

    op->arg[0] = which[i];
    op->arg[2] = hard[i];
    op->arg[1] = fuzz_view_status(view, line[i]) + (fuzz_below(random, 48) - 4) * FUZZ_PAGE;
    if (i == 2)
        op->arg[1] = (1 + fuzz_below(random, 300)) * FUZZ_PAGE;
    if (fuzz_chance(random, 45) || (int64_t)op->arg[1] < 0)
        op->arg[1] = i == 0 ? UINT64_C(512) << 20 : i == 2 ? UINT64_C(8) << 20 : UINT64_MAX;
    if (i == 3 && fuzz_chance(random, 10))
        op->arg[1] = 0;
    if (i == 1 && fuzz_chance(random, 5)) {
        op->arg[1] = 0;
        if (fuzz_chance(random, 30))
            op->arg[2] = fuzz_view_status(view, line[i]) + fuzz_below(random, 30) * FUZZ_PAGE;
    }
    if (fuzz_chance(random, 5))
        op->arg[1] += fuzz_below(random, FUZZ_PAGE);
    if (op->arg[1] > op->arg[2] && !fuzz_chance(random, 5))
        op->arg[1] = op->arg[2];
}

static void generate_policy(struct fuzz_generator *generator, const struct fuzz_view *view, struct fuzz_op *op)
{
    static const uint32_t modes[] = {0, 1, 2, 2, 2, 3, 4, 5, 6, 7, 0x4002, 0x8002, 0x2002, 0xc002};
    static const uint64_t nodes[] = {1, 1, 1, 1, 0, 2, 3};
    static const uint64_t bits[] = {64, 64, 64, 2, 1, 0, 65};
    struct fuzz_random *random = &generator->random;
    uint64_t mode = fuzz_chance(random, 60) ? (fuzz_chance(random, 50) ? 2 : 0) : PICK(random, modes);
    uint64_t mask = mode == 0 || mode == 4 ? 0 : PICK(random, nodes);
    uint64_t max_node = mask == 0 && fuzz_chance(random, 70) ? 0 : PICK(random, bits);

    if (op->call == FUZZ_SET_MEMPOLICY) {
        op->arg[0] = mode;
        op->arg[1] = mask;
        op->arg[2] = max_node;
        return;
    }
    fuzz_pick_range(generator, view, &op->arg[0], &op->arg[1]);
    fuzz_make_odd(generator, 40, &op->arg[0], &op->arg[1]);
    op->arg[2] = mode;
    op->arg[3] = mask;
    op->arg[4] = max_node;
    /* MF_STRICT asks where the pages are, which no area knows: only with the one node that there is; the kernel takes
       one bit less than it is told */
    op->arg[5] = fuzz_chance(random, 85)     ? 0
                 : mask == 1 && max_node > 1 ? fuzz_below(random, 10)
                                             : 8 + fuzz_below(random, 8);
}

static void generate_uffd(struct fuzz_generator *generator, const struct fuzz_view *view, struct fuzz_op *op)
{
    static const uint8_t modes[] = {1, 1, 1, 2, 3, 2, 0, 8};
    struct fuzz_random *random = &generator->random;

    op->arg[0] = fuzz_below(random, FUZZ_NR_UFFD);
    if (op->call != FUZZ_UFFD_OPEN && !generator->uffd_open[op->arg[0]])
        op->call = FUZZ_UFFD_OPEN;
    if (op->call == FUZZ_UFFD_OPEN) {
        op->arg[1] = 0x80; /* UFFD_FEATURE_SIGBUS: a fault must not block */
        return;
    }
    if (op->call == FUZZ_UFFD_CLOSE)
        return;
    fuzz_pick_range(generator, view, &op->arg[1], &op->arg[2]);
    fuzz_make_odd(generator, 40, &op->arg[1], &op->arg[2]);
    if (op->call == FUZZ_UFFD_REGISTER)
        op->arg[3] = PICK(random, modes);
}

static void generate_shared(struct fuzz_generator *generator, const struct fuzz_view *view, struct fuzz_op *op)
{
    static const uint32_t flags[] = {
        0, VMK_SHM_RDONLY, VMK_SHM_RND, VMK_SHM_REMAP, VMK_SHM_EXEC, VMK_SHM_REMAP | VMK_SHM_RND};
    struct fuzz_random *random = &generator->random;
    uint64_t ignored;

    if (op->call == FUZZ_SHMAT) {
        op->arg[0] = fuzz_chance(random, 97) ? fuzz_below(random, FUZZ_NR_SEGMENTS) : 99;
        op->arg[1] = fuzz_chance(random, 35) ? 0 : fuzz_pick_page(generator);
        op->arg[2] = PICK(random, flags);
        if (fuzz_chance(random, 20))
            op->arg[1] += fuzz_below(random, FUZZ_PAGE);
        return;
    }
    for (size_t i = 0; i < view->nr_areas; i++) /* an attached one, as a rule */
        if (strncmp(view->areas[i].name, "/SYSV", 5) == 0) {
            op->arg[0] = view->areas[i].start - view->areas[i].offset;
            if (fuzz_chance(random, 50))
                break;
        }
    if (op->arg[0] == 0 || fuzz_chance(random, 15))
        fuzz_pick_range(generator, view, &op->arg[0], &ignored);
}

static void generate_ring(struct fuzz_generator *generator, struct fuzz_op *op)
{
    struct fuzz_random *random = &generator->random;

    if (op->call == FUZZ_IO_SETUP) {
        op->arg[0] = fuzz_chance(random, 8) ? 0 : 1 + fuzz_below(random, 300);
        for (size_t i = 0; i < COUNT(generator->contexts); i++)
            if (generator->contexts[i] == 0)
                return;
        op->call = FUZZ_IO_DESTROY;
        op->arg[0] = 0;
    }
    for (size_t i = 0; i < 4 && op->arg[0] == 0; i++)
        op->arg[0] = PICK(random, generator->contexts);
    if (op->arg[0] == 0 || fuzz_chance(random, 5))
        op->arg[0] = fuzz_pick_page(generator);
}

static void generate_file_call(struct fuzz_generator *generator, const struct fuzz_view *view, struct fuzz_op *op)
{
    static const int files[] = {FUZZ_FILE_DISK, FUZZ_FILE_MEMFD, FUZZ_FILE_TMPFS};
    struct fuzz_random *random = &generator->random;

    if (op->call == FUZZ_FTRUNCATE) {
        op->arg[0] = (uint64_t)PICK(random, files);
        op->arg[1] = fuzz_below(random, 30 * FUZZ_PAGE);
        if (!generator->files->file[op->arg[0]].usable)
            op->arg[0] = FUZZ_FILE_MEMFD;
        return;
    }
    fuzz_pick_range(generator, view, &op->arg[0], &op->arg[1]);
    for (size_t i = 0; i < 10; i++) {
        const struct fuzz_area *area = fuzz_pick_area(generator, view);

        if (area != NULL && strstr(area->flags, " sh") != NULL) {
            op->arg[0] = area->start + fuzz_below(random, (area->end - area->start) / FUZZ_PAGE) * FUZZ_PAGE;
            break;
        }
    }
    op->arg[2] = fuzz_chance(random, 5);
    op->arg[3] = fuzz_below(random, 24);
    op->arg[4] = fuzz_chance(random, 5) ? VMK_MAP_NONBLOCK : 0;
    fuzz_make_odd(generator, 30, &op->arg[0], &op->arg[1]);
}

/* ---- Choosing ---- */

static uint32_t choose_call(struct fuzz_generator *generator, const struct fuzz_view *view)
{
    unsigned sum = 0, at;

    if (view->nr_areas < 28 && generator->weight[FUZZ_MMAP] != 0 && fuzz_chance(&generator->random, 60))
        return FUZZ_MMAP;
    for (size_t i = 0; i < FUZZ_NR_CALLS; i++)
        sum += generator->weight[i];
    at = (unsigned)fuzz_below(&generator->random, sum);
    for (uint32_t i = 0; i < FUZZ_NR_CALLS; i++) {
        if (at < generator->weight[i])
            return i;
        at -= generator->weight[i];
    }
    return FUZZ_MMAP;
}

static void generate_args(struct fuzz_generator *generator, const struct fuzz_view *view, struct fuzz_op *op)
{
    switch (op->call) {
    case FUZZ_MMAP:
        generate_mmap(generator, view, op);
        break;
    case FUZZ_MPROTECT:
    case FUZZ_PKEY_MPROTECT:
        generate_mprotect(generator, view, op);
        break;
    case FUZZ_MREMAP:
        generate_mremap(generator, view, op);
        break;
    case FUZZ_MADVISE:
    case FUZZ_PROCESS_MADVISE:
        generate_advice(generator, view, op);
        break;
    case FUZZ_MUNMAP:
    case FUZZ_MLOCK:
    case FUZZ_MLOCK2:
    case FUZZ_MUNLOCK:
    case FUZZ_MSEAL:
    case FUZZ_MSYNC:
    case FUZZ_MINCORE:
    case FUZZ_NAME:
        generate_lock(generator, view, op);
        break;
    case FUZZ_BRK:
        generate_brk(generator, view, op);
        break;
    case FUZZ_SET_MM:
        generate_set_mm(generator, view, op);
        break;
    case FUZZ_SETRLIMIT:
        generate_limit(generator, view, op);
        break;
    case FUZZ_MBIND:
    case FUZZ_SET_MEMPOLICY:
        generate_policy(generator, view, op);
        break;
    case FUZZ_UFFD_OPEN:
    case FUZZ_UFFD_REGISTER:
    case FUZZ_UFFD_UNREGISTER:
    case FUZZ_UFFD_CLOSE:
        generate_uffd(generator, view, op);
        break;
    case FUZZ_SHMAT:
    case FUZZ_SHMDT:
        generate_shared(generator, view, op);
        break;
    case FUZZ_IO_SETUP:
    case FUZZ_IO_DESTROY:
        generate_ring(generator, op);
        break;
    case FUZZ_FTRUNCATE:
    case FUZZ_REMAP_FILE_PAGES:
        generate_file_call(generator, view, op);
        break;
    case FUZZ_TOUCH_READ:
    case FUZZ_TOUCH_WRITE:
    case FUZZ_TOUCH_EXEC:
    case FUZZ_COPY_OUT:
    case FUZZ_COPY_IN:
    case FUZZ_PROC_MEM_READ:
    case FUZZ_PROC_MEM_WRITE:
        op->arg[0] = fuzz_pick_touch(generator, view);
        break;
    case FUZZ_FORK_CHILD:
        if (generator->depth >= FUZZ_MAX_DEPTH)
            op->call = FUZZ_FORK_PARENT;
        break;
    case FUZZ_MUNLOCKALL:
    case FUZZ_FORK_PARENT:
    case FUZZ_CAPSET:
        break;
    default:
        generate_whole(generator, op);
        break;
    }
}

static bool may_run(struct fuzz_generator *generator, const struct fuzz_view *view, const struct fuzz_op *op)
{
    enum fuzz_left_out why = fuzz_op_left_out(generator, view, op);

    generator->left_out[why]++;
    return why == FUZZ_LEFT_NONE;
}

/* The next operation of a scenario; false when there is none. */
static bool next_of_scene(struct fuzz_generator *generator, const struct fuzz_view *view, struct fuzz_op *op)
{
    if (generator->at_queue >= generator->nr_queue && generator->enabled == NULL &&
        fuzz_below(&generator->random, 1000) < SCENES)
        fuzz_queue_scene(generator, view);
    while (generator->at_queue < generator->nr_queue) {
        *op = generator->queue[generator->at_queue++];
        if (may_run(generator, view, op))
            return true;
    }
    return false;
}

void fuzz_generate(struct fuzz_generator *generator, const struct fuzz_view *view, struct fuzz_op *op)
{
    if (next_of_scene(generator, view, op)) {
        generator->step++;
        return;
    }
    for (int i = 0; i < 20; i++) {
        memset(op, 0, sizeof(*op));
        op->call = choose_call(generator, view);
        generate_args(generator, view, op);
        if (may_run(generator, view, op)) {
            generator->step++;
            return;
        }
    }
    memset(op, 0, sizeof(*op));
    op->call = FUZZ_BRK;
    generator->step++;
}

void fuzz_generator_learn(struct fuzz_generator *generator, const struct fuzz_op *op, fuzz_result result)
{
    switch (op->call) {
    case FUZZ_BRK:
        generator->brk = (uint64_t)result;
        break;
    case FUZZ_FORK_CHILD:
        if (result == 0) {
            generator->depth++;
            memset(generator->uffd_open, 0, sizeof(generator->uffd_open));
            memset(generator->contexts, 0, sizeof(generator->contexts));
        }
        break;
    case FUZZ_UFFD_OPEN:
    case FUZZ_UFFD_CLOSE:
        if (result == 0)
            generator->uffd_open[op->arg[0]] = op->call == FUZZ_UFFD_OPEN;
        break;
    case FUZZ_IO_SETUP:
        for (size_t i = 0; i < COUNT(generator->contexts) && result > 0; i++)
            if (generator->contexts[i] == 0) {
                generator->contexts[i] = (uint64_t)result;
                break;
            }
        break;
    case FUZZ_MREMAP:
        for (size_t i = 0; i < COUNT(generator->contexts) && result > 0; i++)
            if (generator->contexts[i] == op->arg[0])
                generator->contexts[i] = (uint64_t)result;
        break;
    case FUZZ_IO_DESTROY:
        for (size_t i = 0; i < COUNT(generator->contexts) && result == 0; i++)
            if (generator->contexts[i] == op->arg[0])
                generator->contexts[i] = 0;
        break;
    default:
        break;
    }
}
