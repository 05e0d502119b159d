/* SPDX-License-Identifier: MIT */
#include "layout.h"

#include <errno.h>
#include <string.h>

#define MIB(n) ((uint64_t)(n) << 20)

/* What a window may not be smaller than: a program, its loader, a stack and some room. */
#define SMALLEST_WINDOW MIB(64)

/* splitmix64 */
uint64_t layout_draw(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

bool layout_is_wanted(const struct layout_policy *policy)
{
    return policy->seeded || policy->bottom_up || policy->base != 0 || policy->va_bits != 0 || policy->high != 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void layout_settings(const struct layout_policy *policy, struct vmk_settings *settings)
{
    if (policy->va_bits == 0)
        return;
    settings->va_bits = settings->va_bits_wide = policy->va_bits;
    settings->mmap_rnd_bits = least(settings->mmap_rnd_bits, policy->va_bits - settings->page_shift - 4);
}

static uint64_t page_size(const struct vmk_settings *settings)
{
    return UINT64_C(1) << settings->page_shift;
}

/* Where free placement ends below. */
static vmk_addr lowest(const struct vmk_settings *settings)
{
    return settings->mmap_min_addr > settings->lsm_min_addr ? settings->mmap_min_addr : settings->lsm_min_addr;
}

/* A user address space ends a page before its last address on x86-64. */
static vmk_addr task_size(const struct vmk_settings *settings, unsigned va_bits)
{
    vmk_addr size = UINT64_C(1) << va_bits;

    return settings->arch == VMK_ARCH_X86_64 ? size - page_size(settings) : size;
}

const char *layout_check(const struct layout_policy *policy, const struct vmk_settings *settings)
{
    unsigned va_bits = policy->va_bits != 0 ? policy->va_bits : (unsigned)settings->va_bits;
    uint64_t page = page_size(settings);

    if (va_bits < 33 || va_bits > settings->va_bits)
        return "the width of an address must be from 33 bits to the kernel's";
    if (((policy->low | policy->high | policy->base) & (page - 1)) != 0)
        return "addresses of a layout must be multiples of the page size";
    if (policy->high == 0)
        return policy->base >= task_size(settings, va_bits) ? "the base lies outside the address space" : NULL;
    if (policy->low < lowest(settings))
        return "the window begins below vm.mmap_min_addr, or what a security module allows";
    if (policy->high > task_size(settings, va_bits))
        return "the window ends outside the address space";
    if (policy->low >= policy->high || policy->high - policy->low < SMALLEST_WINDOW)
        return "the window must have 64 MiB or more";
    if (policy->base != 0 && (policy->base <= policy->low || policy->base >= policy->high))
        return "the base lies outside the window";
    return NULL;
}

/* ---- Blocks ---- */

static enum layout_kind kind_of(const struct kview_area *area)
{
    if (strcmp(area->name, "[stack]") == 0)
        return LAYOUT_STACK;
    if (strncmp(area->name, "[v", 2) == 0)
        return LAYOUT_SPECIAL;
    return LAYOUT_PROGRAM; /* or the loader: told apart by what lies in them */
}

/* Does an area go on with the block before it? An image may have holes; its bss follows without one. */
static bool belongs(const struct layout_block *block, uint64_t inode, const struct kview_area *area)
{
    if (kind_of(area) != block->kind || block->kind == LAYOUT_STACK)
        return false;
    if (block->kind == LAYOUT_PROGRAM && area->inode != 0)
        return area->inode == inode;
    return area->start == block->end;
}

static bool block_has(const struct layout_block *block, vmk_addr address)
{
    return address >= block->start && address < block->end;
}

static int find_blocks(const struct layout_image *image, const struct kview *view, struct layout *layout)
{
    struct layout_block *block = NULL;
    uint64_t inode = 0;

    layout->nr_blocks = 0;
    for (size_t i = 0; i < view->nr_areas; i++) {
        const struct kview_area *area = &view->areas[i];

        if (block == NULL || !belongs(block, inode, area)) {
            if (layout->nr_blocks == LAYOUT_MAX_BLOCKS) {
                layout->problem = "the image has more parts than can be moved";
                return -EINVAL;
            }
            block = &layout->blocks[layout->nr_blocks++];
            *block = (struct layout_block){.kind = kind_of(area), .start = area->start};
            inode = area->inode;
        }
        block->end = area->end;
    }
    for (size_t i = 0; i < layout->nr_blocks; i++) {
        block = &layout->blocks[i];
        block->target = block->start;
        if (block->kind != LAYOUT_PROGRAM || block_has(block, image->phdr))
            continue;
        if (image->loader == 0 || !block_has(block, image->loader)) {
            layout->problem = "the image has an area that belongs to neither the program nor its loader";
            return -EINVAL;
        }
        block->kind = LAYOUT_LOADER;
    }
    return 0;
}

/* ---- Where they go ---- */

struct planner {
    const struct layout_policy *policy;
    const struct layout_image *image;
    struct layout *layout;
    struct vmk_mm *mm; /* empty; what has its place is reserved in it */
    uint64_t page, span, state;
};

static vmk_addr page_down(const struct planner *planner, vmk_addr address)
{
    return address & ~(planner->page - 1);
}

/* A multiple of the page size below `bytes`, 0 without a seed. */
static uint64_t draw_bytes(struct planner *planner, uint64_t bytes)
{
    uint64_t pages = bytes / planner->page;

    return planner->policy->seeded && pages != 0 ? layout_draw(&planner->state) % pages * planner->page : 0;
}

/* Room kept for the stack: its limit and a guard gap, as Linux does, and in a small window not more than a quarter. */
static uint64_t stack_room(const struct planner *planner, uint64_t len)
{
    uint64_t guard = vmk_mm_settings(planner->mm)->stack_guard_gap * planner->page;
    uint64_t room = least(planner->image->stack_limit, planner->span / 4) + guard;

    if (room < MIB(128))
        room = least(MIB(128), planner->span / 8);
    return room < len + guard ? len + guard : room;
}

static int reserve(struct planner *planner, const struct layout_block *block)
{
    int error = vmk_mm_reserve_range(planner->mm, block->target, block->target + (block->end - block->start));

    if (error != 0)
        planner->layout->problem = "two parts of the image would lie on each other";
    return error != 0 ? -ENOMEM : 0;
}

static int place_stack(struct planner *planner, struct layout_block *block)
{
    struct layout *layout = planner->layout;
    uint64_t len = block->end - block->start;
    vmk_addr top = page_down(planner, layout->high - draw_bytes(planner, least(MIB(16384), planner->span / 64)));
    uint64_t room = stack_room(planner, len);

    block->target = top - len;
    if (planner->policy->base == 0 || planner->policy->bottom_up)
        layout->mmap_base = page_down(planner, top - room - draw_bytes(planner, planner->span / 16));
    return reserve(planner, block);
}

/* As a position-independent program lies: two thirds up. */
static int place_program(struct planner *planner, struct layout_block *block)
{
    struct layout *layout = planner->layout;

    if (!planner->image->fixed)
        block->target =
            page_down(planner, layout->low + planner->span / 3 * 2) + draw_bytes(planner, planner->span / 16);
    layout->heap_shift = draw_bytes(planner, least(MIB(32), planner->span / 64));
    if (block->target < layout->low || block->target + (block->end - block->start) > layout->high)
        return planner->image->fixed ? 0 : -ENOMEM; /* one that cannot move lies outside */
    return reserve(planner, block);
}

static int place_free(struct planner *planner, struct layout_block *block)
{
    if (vmk_mm_unmapped_area(planner->mm, 0, block->end - block->start, 0, NULL, 0, &block->target) != 0) {
        planner->layout->problem = "no room for the loader and the vdso";
        return -ENOMEM;
    }
    return reserve(planner, block);
}

typedef int place_fn(struct planner *planner, struct layout_block *block);

static int place_kind(struct planner *planner, enum layout_kind kind, place_fn *place)
{
    for (size_t i = 0; i < planner->layout->nr_blocks; i++) {
        struct layout_block *block = &planner->layout->blocks[i];
        int error = block->kind == kind ? place(planner, block) : 0;

        if (error != 0)
            return error;
    }
    return 0;
}

static void set_bases(struct planner *planner)
{
    struct vmk_mm_layout marks;

    vmk_mm_get_layout(planner->mm, &marks);
    marks.mmap_base = planner->layout->mmap_base;
    marks.mmap_legacy_base = planner->layout->legacy_base;
    marks.top_down = !planner->policy->bottom_up;
    vmk_mm_set_layout(planner->mm, &marks);
}

/* Reserves what is free of [low, high): areas of a program that cannot move may lie there. */
static int reserve_free(struct vmk_mm *mm, vmk_addr low, vmk_addr high)
{
    struct vmk_vma_info info;
    vmk_addr cursor = low;
    int error = 0;

    while (error == 0 && low < high) {
        bool last = vmk_mm_next(mm, &cursor, &info) != 0 || info.start >= high;
        vmk_addr end = last ? high : info.start;

        if (low < end)
            error = vmk_mm_reserve_range(mm, low, end);
        low = last ? high : info.end;
    }
    return error;
}

static int reserve_outside(const struct layout *layout, struct vmk_mm *mm)
{
    struct vmk_mm_layout marks;
    int error = 0;

    vmk_mm_get_layout(mm, &marks);
    if (layout->low > lowest(vmk_mm_settings(mm)))
        error = reserve_free(mm, 0, layout->low);
    return error == 0 ? reserve_free(mm, layout->high, marks.task_size) : error;
}

static int place_all(struct planner *planner)
{
    struct layout *layout = planner->layout;
    const struct layout_policy *policy = planner->policy;
    int error = reserve_outside(layout, planner->mm);

    layout->mmap_base = policy->base;
    if (error == 0)
        error = place_kind(planner, LAYOUT_STACK, place_stack);
    layout->legacy_base = policy->bottom_up && policy->base != 0 ? policy->base
                                                                 : page_down(planner, layout->low + planner->span / 3) +
                                                                       draw_bytes(planner, planner->span / 16);
    set_bases(planner);
    if (error == 0)
        error = place_kind(planner, LAYOUT_PROGRAM, place_program);
    if (error == 0)
        error = place_kind(planner, LAYOUT_LOADER, place_free);
    return error == 0 ? place_kind(planner, LAYOUT_SPECIAL, place_free) : error;
}

int layout_plan(struct vmk_system *system, const struct layout_policy *policy, const struct layout_image *image,
                const struct kview *view, struct layout *layout)
{
    struct vmk_mm_options options;
    struct vmk_settings settings = *vmk_system_settings(system);
    struct planner planner = {.policy = policy, .image = image, .layout = layout, .state = policy->seed};
    int error;

    memset(layout, 0, sizeof(*layout));
    vmk_mm_options_init(&options);
    layout_settings(policy, &settings);
    options.settings = &settings;
    options.personality = VMK_ADDR_NO_RANDOMIZE;
    layout->low = policy->high != 0 ? policy->low : lowest(&settings);
    layout->high = policy->high != 0 ? policy->high : task_size(&settings, (unsigned)settings.va_bits);
    planner.page = page_size(&settings);
    planner.span = layout->high - layout->low;
    error = find_blocks(image, view, layout);
    if (error != 0)
        return error;
    error = vmk_mm_create(system, &options, &planner.mm);
    if (error != 0) {
        layout->problem = "no memory";
        return -ENOMEM;
    }
    error = place_all(&planner);
    vmk_mm_put(planner.mm);
    if (error != 0 && layout->problem == NULL)
        layout->problem = "no room for the program";
    return error != 0 ? -ENOMEM : 0;
}

vmk_addr layout_translate(const struct layout *layout, vmk_addr address)
{
    for (size_t i = 0; i < layout->nr_blocks; i++) {
        const struct layout_block *block = &layout->blocks[i];

        /* The end counts: marks and the stack's top point there. */
        if (address >= block->start && address <= block->end &&
            (address < block->end || i + 1 == layout->nr_blocks || layout->blocks[i + 1].start != address))
            return address - block->start + block->target;
    }
    return address;
}

/* ---- The moves ---- */

static bool overlap(vmk_addr a, vmk_addr b, uint64_t len_a, uint64_t len_b)
{
    return a < b + len_b && b < a + len_a;
}

/* The end of what `len` bytes at `at` would touch of an area, as it is or where it goes; 0 for nothing. */
static vmk_addr in_way_of(const struct layout *layout, const struct kview_area *area, vmk_addr at, uint64_t len)
{
    uint64_t area_len = area->end - area->start;
    vmk_addr to = layout_translate(layout, area->start);

    if (overlap(at, area->start, len, area_len))
        return area->end;
    return overlap(at, to, len, area_len) ? to + area_len : 0;
}

/* Room for `len` bytes that touches neither an area as it is nor where one goes. */
static vmk_addr scratch_room(const struct layout *layout, const struct kview *view, uint64_t len)
{
    vmk_addr at = MIB(16);

    for (size_t i = 0; i < view->nr_areas;) {
        vmk_addr end = in_way_of(layout, &view->areas[i++], at, len);

        if (end != 0) {
            at = end;
            i = 0;
        }
    }
    return at;
}

static bool is_in_way(const struct layout_step *steps, size_t nr_steps)
{
    for (size_t i = 0; i < nr_steps; i++)
        for (size_t k = 0; k < nr_steps; k++)
            if (overlap(steps[i].to, steps[k].from, steps[i].len, steps[k].len))
                return true;
    return false;
}

size_t layout_steps(const struct layout *layout, const struct kview *view, struct layout_step *steps)
{
    size_t nr = 0;
    uint64_t total = 0;
    vmk_addr room;

    for (size_t i = 0; i < view->nr_areas; i++) {
        const struct kview_area *area = &view->areas[i];
        vmk_addr to = layout_translate(layout, area->start);

        if (to == area->start)
            continue;
        steps[nr++] = (struct layout_step){.from = area->start, .to = to, .len = area->end - area->start};
        total += area->end - area->start;
    }
    if (!is_in_way(steps, nr))
        return nr;
    room = scratch_room(layout, view, total);
    for (size_t i = 0; i < nr; i++) { /* by way of the scratch room */
        steps[nr + i] = (struct layout_step){.from = room, .to = steps[i].to, .len = steps[i].len};
        steps[i].to = room;
        room += steps[i].len;
    }
    return 2 * nr;
}

int layout_take_over(const struct layout *layout, const struct layout_policy *policy, struct vmk_mm *mm)
{
    struct vmk_mm_layout marks;

    vmk_mm_get_layout(mm, &marks);
    marks.mmap_base = layout->mmap_base;
    marks.mmap_legacy_base = layout->legacy_base;
    marks.top_down = !policy->bottom_up;
    vmk_mm_set_layout(mm, &marks);
    return reserve_outside(layout, mm);
}
