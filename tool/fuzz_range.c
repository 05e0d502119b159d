/* SPDX-License-Identifier: MIT */
/* fuzz_range.c - addresses and ranges for the generator, honest and hostile, and what must be left alone. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define MINCORE_MOST UINT64_C(0x1000000)

uint64_t fuzz_pick_page(struct fuzz_generator *generator)
{
    return FUZZ_ARENA + fuzz_below(&generator->random, generator->arena_pages) * FUZZ_PAGE;
}

static uint64_t small_len(struct fuzz_random *random)
{
    static const uint8_t pages[] = {1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 8};

    return pages[fuzz_below(random, sizeof(pages))] * FUZZ_PAGE;
}

const struct fuzz_area *fuzz_pick_area(struct fuzz_generator *generator, const struct fuzz_view *view)
{
    for (int i = 0; i < 8 && view->nr_areas != 0; i++) {
        const struct fuzz_area *area = &view->areas[fuzz_below(&generator->random, view->nr_areas)];

        if (fuzz_hurts(generator, area->start, area->end - area->start))
            continue;
        if (area->name[0] == '[' && area->name[1] == 'v' && !fuzz_chance(&generator->random, 10))
            continue;
        return area;
    }
    return NULL;
}

/* A part of [start, end): whole, head, tail or middle. */
static void part_of(struct fuzz_random *random, uint64_t start, uint64_t end, uint64_t *address, uint64_t *len)
{
    uint64_t pages = (end - start) / FUZZ_PAGE, from = 0, to = pages;

    if (pages > 1) {
        switch (fuzz_below(random, 4)) {
        case 0:
            break;
        case 1:
            to = 1 + fuzz_below(random, pages - 1);
            break;
        case 2:
            from = 1 + fuzz_below(random, pages - 1);
            break;
        default:
            from = fuzz_below(random, pages);
            to = from + 1 + fuzz_below(random, pages - from);
            break;
        }
    }
    *address = start + from * FUZZ_PAGE;
    *len = (to - from) * FUZZ_PAGE;
}

/* From somewhere in one area to somewhere in one of the next few. */
static void across(struct fuzz_random *random, const struct fuzz_view *view, const struct fuzz_area *area,
                   uint64_t *address, uint64_t *len)
{
    const struct fuzz_area *last = area, *stop = view->areas + view->nr_areas;
    uint64_t ignored, from;
    uint64_t nr = 1 + fuzz_below(random, 3);

    while (nr-- != 0 && last + 1 < stop && last[1].start - last->end < 64 * FUZZ_PAGE)
        last++;
    part_of(random, area->start, area->end, &from, &ignored);
    if (fuzz_chance(random, 50))
        from = area->start;
    part_of(random, last->start, last->end, &ignored, len);
    *len += ignored;
    if (fuzz_chance(random, 50))
        *len = last->end;
    *address = from;
    *len = *len > from ? *len - from : FUZZ_PAGE;
}

void fuzz_pick_range(struct fuzz_generator *generator, const struct fuzz_view *view, uint64_t *address, uint64_t *len)
{
    struct fuzz_random *random = &generator->random;
    const struct fuzz_area *area;
    uint64_t kind = fuzz_below(random, 100);

    *address = fuzz_pick_page(generator);
    *len = small_len(random);
    if (kind < 15)
        return;
    area = fuzz_pick_area(generator, view);
    if (area == NULL)
        return;
    if (kind < 65) {
        part_of(random, area->start, area->end, address, len);
    } else if (kind < 85) {
        across(random, view, area, address, len);
    } else if (kind < 93) {
        *address = area->end;
    } else {
        *address = area->start - *len;
    }
    if (*len > 64 * FUZZ_PAGE && fuzz_chance(random, 80))
        *len = 64 * FUZZ_PAGE;
}

uint64_t fuzz_pick_touch(struct fuzz_generator *generator, const struct fuzz_view *view)
{
    struct fuzz_random *random = &generator->random;
    const struct fuzz_area *area = fuzz_pick_area(generator, view);
    uint64_t offset = fuzz_chance(random, 70) ? 0 : fuzz_below(random, 4080);

    if (area == NULL || fuzz_chance(random, 8))
        return fuzz_pick_page(generator) + offset;
    for (int i = 0; i < 6 && generator->growing && strstr(area->flags, " gd") == NULL; i++) {
        const struct fuzz_area *other = fuzz_pick_area(generator, view);

        if (other != NULL)
            area = other;
    }
    if (strstr(area->flags, " gd") != NULL && fuzz_chance(random, 60))
        return area->start - (1 + fuzz_below(random, fuzz_chance(random, 70) ? 8 : 600)) * FUZZ_PAGE + offset;
    return area->start + fuzz_below(random, (area->end - area->start) / FUZZ_PAGE) * FUZZ_PAGE + offset;
}

void fuzz_make_odd(struct fuzz_generator *generator, unsigned odds, uint64_t *address, uint64_t *len)
{
    static const uint64_t lens[] = {0,
                                    1,
                                    FUZZ_PAGE - 1,
                                    FUZZ_PAGE + 1,
                                    UINT64_C(1) << 30,
                                    UINT64_C(1) << 40,
                                    UINT64_C(0x7ffffffff000),
                                    UINT64_C(1) << 47,
                                    UINT64_C(1) << 63,
                                    UINT64_MAX - FUZZ_PAGE,
                                    UINT64_MAX - 1,
                                    UINT64_MAX};
    static const uint64_t addresses[] = {0,
                                         1,
                                         FUZZ_PAGE,
                                         UINT64_C(0x10000),
                                         UINT64_C(0x7ffffffff000),
                                         UINT64_C(0x7fffffffe000),
                                         UINT64_C(1) << 47,
                                         UINT64_C(0xffffffffff600000),
                                         UINT64_MAX - FUZZ_PAGE + 1,
                                         UINT64_MAX};
    struct fuzz_random *random = &generator->random;

    if (fuzz_below(random, odds) != 0)
        return;
    switch (fuzz_below(random, 6)) {
    case 0:
        *address += 1 + fuzz_below(random, FUZZ_PAGE - 1);
        break;
    case 1:
        *len += fuzz_below(random, FUZZ_PAGE);
        break;
    case 2:
    case 3:
        *len = lens[fuzz_below(random, sizeof(lens) / sizeof(lens[0]))];
        break;
    case 4:
        *address = addresses[fuzz_below(random, sizeof(addresses) / sizeof(addresses[0]))];
        break;
    default:
        *len = -*address + fuzz_below(random, 3) * FUZZ_PAGE - FUZZ_PAGE; /* ends near 2^64 */
        break;
    }
}

uint64_t fuzz_view_status(const struct fuzz_view *view, const char *name)
{
    const char *at = strstr(view->status, name);

    return at != NULL ? strtoull(at + strlen(name) + 1, NULL, 10) * 1024 : 0;
}

/* ---- What the worker itself needs ---- */

bool fuzz_hurts(const struct fuzz_generator *generator, uint64_t address, uint64_t len)
{
    uint64_t end = address + len;

    if (end < address) /* wraps: refused by every call that would look at more than the first page */
        end = address;
    end = end > UINT64_MAX - FUZZ_PAGE ? UINT64_MAX : end + FUZZ_PAGE;
    address &= ~(FUZZ_PAGE - 1);
    return (address < generator->text_end && generator->text_start < end) ||
           (address < FUZZ_COMM_ADDRESS + FUZZ_COMM_BYTES && FUZZ_COMM_ADDRESS < end);
}

static bool advice_is_harmless(uint64_t advice)
{
    static const uint8_t harmless[] = {VMK_MADV_NORMAL,   VMK_MADV_RANDOM,     VMK_MADV_SEQUENTIAL,
                                       VMK_MADV_WILLNEED, VMK_MADV_DONTDUMP,   VMK_MADV_DODUMP,
                                       VMK_MADV_COLD,     VMK_MADV_PAGEOUT,    VMK_MADV_DOFORK,
                                       VMK_MADV_HUGEPAGE, VMK_MADV_NOHUGEPAGE, VMK_MADV_POPULATE_READ};

    for (size_t i = 0; i < sizeof(harmless); i++)
        if (harmless[i] == advice)
            return true;
    return false;
}

/* What a page of the vvar areas does depends on the machine's clocks. */
static bool is_vvar(const struct fuzz_view *view, uint64_t address)
{
    const struct fuzz_area *area = fuzz_view_find(view, address);

    return area != NULL && area->start <= address && strncmp(area->name, "[vv", 3) == 0;
}

/*
 * A context whose ring was unmapped or covered: what io_destroy says depends on the bytes that it finds there. They may be
 * those of a stack that grows there for it; in the arena there are no rings, as a rule.
 */
static bool is_lost_ring(const struct fuzz_view *view, uint64_t address)
{
    const struct fuzz_area *area = fuzz_view_find(view, address);

    if (area != NULL && area->start > address && address >= FUZZ_STACKS && strstr(area->flags, " gd") != NULL)
        return true;
    return area != NULL && area->start <= address &&
           (area->start != address || area->offset != 0 || strstr(area->name, "[aio]") == NULL);
}

/* Bytes in a ring, and pages beyond its own, are the ring's affair. */
static bool is_ring(const struct fuzz_view *view, uint64_t address)
{
    const struct fuzz_area *area = fuzz_view_find(view, address);

    return area != NULL && area->start <= address && strstr(area->name, "[aio]") != NULL;
}

static bool execute_hurts(const struct fuzz_view *view, uint64_t address)
{
    const struct fuzz_area *area = fuzz_view_find(view, address);

    return area != NULL && area->start <= address && (area->name[0] == '[' || strstr(area->name, "[aio]") != NULL);
}

/* As fuzz_hurts, for calls that refuse a range longer than the address space, or stop at the first hole. */
static enum fuzz_left_out range_hurts(const struct fuzz_generator *generator, uint64_t address, uint64_t len)
{
    if (fuzz_hurts(generator, address, len > UINT64_C(0x7ffffffff000) ? 1 : len))
        return FUZZ_LEFT_WORKER;
    return FUZZ_LEFT_NONE;
}

static enum fuzz_left_out advice_left_out(const struct fuzz_generator *generator, uint64_t advice, uint64_t address,
                                          uint64_t len)
{
    if (advice == VMK_MADV_COLLAPSE && len >= FUZZ_HUGE) /* whether one can be made depends on the pages there */
        return FUZZ_LEFT_COLLAPSE;
    return !advice_is_harmless(advice) && fuzz_hurts(generator, address, len) ? FUZZ_LEFT_WORKER : FUZZ_LEFT_NONE;
}

static enum fuzz_left_out touch_left_out(const struct fuzz_generator *generator, const struct fuzz_view *view,
                                         const struct fuzz_op *op)
{
    bool writes = op->call == FUZZ_TOUCH_WRITE || op->call == FUZZ_COPY_IN || op->call == FUZZ_PROC_MEM_WRITE;
    uint64_t address = op->arg[0];

    if (op->call == FUZZ_TOUCH_EXEC)
        return fuzz_hurts(generator, address, 1) ? FUZZ_LEFT_WORKER
               : execute_hurts(view, address)    ? FUZZ_LEFT_EXECUTE
                                                 : FUZZ_LEFT_NONE;
    if (writes && fuzz_hurts(generator, address, 1))
        return FUZZ_LEFT_WORKER;
    if (address == 0 && op->call == FUZZ_COPY_OUT)
        return FUZZ_LEFT_PAGE_0;
    if (is_vvar(view, address))
        return FUZZ_LEFT_VVAR;
    return writes && is_ring(view, address) ? FUZZ_LEFT_RING : FUZZ_LEFT_NONE;
}

static enum fuzz_left_out either(enum fuzz_left_out a, enum fuzz_left_out b)
{
    return a != FUZZ_LEFT_NONE ? a : b;
}

enum fuzz_left_out fuzz_op_left_out(const struct fuzz_generator *generator, const struct fuzz_view *view,
                                    const struct fuzz_op *op)
{
    const uint64_t *arg = op->arg;

    if (fuzz_op_touches(op->call) && op->call != FUZZ_IO_DESTROY)
        return touch_left_out(generator, view, op);
    switch (op->call) {
    case FUZZ_MMAP:
        return (arg[3] & VMK_MAP_FIXED) != 0 ? range_hurts(generator, arg[0], arg[1]) : FUZZ_LEFT_NONE;
    case FUZZ_MREMAP:
        return either(range_hurts(generator, arg[0], arg[1] > arg[2] ? arg[1] : arg[2]),
                      range_hurts(generator, arg[4], arg[1] > arg[2] ? arg[1] : arg[2]));
    case FUZZ_MUNMAP:
    case FUZZ_MPROTECT:
    case FUZZ_PKEY_MPROTECT:
    case FUZZ_MSEAL:
        return range_hurts(generator, arg[0], arg[1]);
    case FUZZ_SHMAT:
        return range_hurts(generator, arg[1], 65536);
    case FUZZ_REMAP_FILE_PAGES:
        return either(range_hurts(generator, arg[0], arg[1]),
                      is_ring(view, arg[0] & ~(FUZZ_PAGE - 1)) ? FUZZ_LEFT_RING : FUZZ_LEFT_NONE);
    case FUZZ_SHMDT:
        return range_hurts(generator, arg[0], 65536);
    case FUZZ_MADVISE:
        return advice_left_out(generator, arg[2], arg[0], arg[1]);
    case FUZZ_PROCESS_MADVISE:
        return either(advice_left_out(generator, arg[0], arg[1], arg[2]),
                      advice_left_out(generator, arg[0], arg[3], arg[4]));
    case FUZZ_UFFD_REGISTER:
        return fuzz_hurts(generator, arg[1], arg[2]) ? FUZZ_LEFT_WORKER : FUZZ_LEFT_NONE;
    case FUZZ_IO_DESTROY:
        return is_lost_ring(view, arg[0]) ? FUZZ_LEFT_LOST_RING : FUZZ_LEFT_NONE;
    case FUZZ_MINCORE: /* its answer must fit into the shared block */
        return arg[1] > MINCORE_MOST && arg[1] < UINT64_C(1) << 47 ? FUZZ_LEFT_MINCORE : FUZZ_LEFT_NONE;
    default:
        return FUZZ_LEFT_NONE;
    }
}
