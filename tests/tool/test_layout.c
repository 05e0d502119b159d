/* SPDX-License-Identifier: MIT */
/* test_layout.c - where the parts of an image go under a policy, and in which order they can be moved there. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "layout.h"

#define GIB(n) ((uint64_t)(n) << 30)

static const char image_text[] = "555555554000-555555556000 r--p 00000000 fe:00 7 /bin/cat\n"
                                 "555555556000-55555555b000 r-xp 00002000 fe:00 7 /bin/cat\n"
                                 "55555555e000-555555560000 rw-p 00009000 fe:00 7 /bin/cat\n"
                                 "555555560000-555555561000 rw-p 00000000 00:00 0 \n"
                                 "7ffff7fc2000-7ffff7fc6000 r--p 00000000 00:00 0 [vvar]\n"
                                 "7ffff7fc6000-7ffff7fc8000 r--p 00000000 00:00 0 [vvar_vclock]\n"
                                 "7ffff7fc8000-7ffff7fca000 r-xp 00000000 00:00 0 [vdso]\n"
                                 "7ffff7fca000-7ffff7fcb000 r--p 00000000 fe:00 9 /lib/ld.so\n"
                                 "7ffff7fcb000-7ffff7ff1000 r-xp 00001000 fe:00 9 /lib/ld.so\n"
                                 "7ffff7ffd000-7ffff7fff000 rw-p 00033000 fe:00 9 /lib/ld.so\n"
                                 "7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0 [stack]\n";

static const struct layout_image image = {.phdr = 0x555555554040, .loader = 0x7ffff7fca000, .stack_limit = 8 << 20};

static struct kview view;
static struct vmk_system *host;

static int setup(void **state)
{
    struct vmk_system_options options;

    (void)state;
    vmk_system_options_init(&options, vmk_port_linux());
    vmk_settings_init(&options.settings, VMK_LINUX_VERSION(6, 18), VMK_ARCH_X86_64);
    assert_int_equal(vmk_system_create(&options, &host), 0);
    assert_int_equal(kview_parse(&view, image_text, strlen(image_text), NULL), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vmk_system_destroy(host);
    kview_free(&view);
    return 0;
}

static const struct layout_block *block_of(const struct layout *layout, enum layout_kind kind)
{
    for (size_t i = 0; i < layout->nr_blocks; i++)
        if (layout->blocks[i].kind == kind)
            return &layout->blocks[i];
    fail_msg("no block of kind %d", (int)kind);
    return NULL;
}

/* Everything inside, nothing on anything else. */
static void assert_sound(const struct layout *layout)
{
    for (size_t i = 0; i < layout->nr_blocks; i++) {
        const struct layout_block *a = &layout->blocks[i];

        assert_true(a->target >= layout->low);
        assert_true(a->target + (a->end - a->start) <= layout->high);
        for (size_t k = 0; k < i; k++) {
            const struct layout_block *b = &layout->blocks[k];

            assert_true(a->target >= b->target + (b->end - b->start) || b->target >= a->target + (a->end - a->start));
        }
    }
}

static void plan(const struct layout_policy *policy, struct layout *layout)
{
    assert_null(layout_check(policy, vmk_system_settings(host)));
    if (layout_plan(host, policy, &image, &view, layout) != 0)
        fail_msg("%s", layout->problem);
    assert_int_equal(layout->nr_blocks, 4);
    assert_sound(layout);
}

static void blocks(void **state)
{
    const struct layout_policy policy = {.va_bits = 39};
    struct layout layout;

    (void)state;
    plan(&policy, &layout);
    assert_int_equal(block_of(&layout, LAYOUT_PROGRAM)->start, 0x555555554000);
    assert_int_equal(block_of(&layout, LAYOUT_PROGRAM)->end, 0x555555561000);
    assert_int_equal(block_of(&layout, LAYOUT_SPECIAL)->start, 0x7ffff7fc2000);
    assert_int_equal(block_of(&layout, LAYOUT_SPECIAL)->end, 0x7ffff7fca000);
    assert_int_equal(block_of(&layout, LAYOUT_LOADER)->end, 0x7ffff7fff000);
    assert_int_equal(block_of(&layout, LAYOUT_STACK)->end, 0x7ffffffff000);
}

/* A narrower address is the same layout, smaller: the stack at the top, free placement 128 MiB below it. */
static void va_bits(void **state)
{
    const struct layout_policy policy = {.va_bits = 39};
    struct layout layout;

    (void)state;
    plan(&policy, &layout);
    assert_int_equal(layout.high, 0x7ffffff000);
    assert_int_equal(layout_translate(&layout, 0x7ffffffff000), 0x7ffffff000);
    assert_int_equal(layout.mmap_base, 0x7ffffff000 - 0x8000000);
    assert_int_equal(block_of(&layout, LAYOUT_LOADER)->target, layout.mmap_base - 0x35000);
    assert_int_equal(block_of(&layout, LAYOUT_SPECIAL)->target, layout.mmap_base - 0x35000 - 0x8000);
    assert_int_equal(layout.heap_shift, 0);
}

static void window(void **state)
{
    const struct layout_policy policy = {.low = GIB(4), .high = GIB(5)};
    struct layout layout;

    (void)state;
    plan(&policy, &layout);
    assert_int_equal(layout.low, GIB(4));
    assert_int_equal(layout.high, GIB(5));
    assert_true(layout.mmap_base > layout.low && layout.mmap_base < layout.high);
}

static void smallest_window(void **state)
{
    const struct layout_policy policy = {.low = 0x10000000, .high = 0x14000000, .seeded = true, .seed = 5};
    struct layout layout;

    (void)state;
    plan(&policy, &layout);
}

static void bottom_up(void **state)
{
    const struct layout_policy policy = {.bottom_up = true, .base = GIB(64)};
    struct layout layout;

    (void)state;
    plan(&policy, &layout);
    assert_int_equal(block_of(&layout, LAYOUT_LOADER)->target, GIB(64));
    assert_int_equal(block_of(&layout, LAYOUT_SPECIAL)->target, GIB(64) + 0x35000);
}

static void seeds(void **state)
{
    struct layout layouts[3];

    (void)state;
    for (size_t i = 0; i < 3; i++)
        plan(&(const struct layout_policy){.seeded = true, .seed = i / 2}, &layouts[i]);
    assert_memory_equal(&layouts[0], &layouts[1], sizeof(layouts[0]));
    for (size_t i = 0; i < layouts[0].nr_blocks; i++)
        assert_int_not_equal(layouts[0].blocks[i].target, layouts[2].blocks[i].target);
    for (uint64_t seed = 2; seed < 500; seed++)
        plan(&(const struct layout_policy){.seeded = true, .seed = seed, .low = GIB(1), .high = GIB(3)}, &layouts[0]);
}

/* A program linked to fixed addresses stays; the others go. */
static void fixed(void **state)
{
    const struct layout_policy policy = {.low = GIB(4), .high = GIB(5)};
    struct layout_image fixed_image = image;
    struct layout_step steps[32];
    struct layout layout;

    (void)state;
    fixed_image.fixed = true;
    assert_int_equal(layout_plan(host, &policy, &fixed_image, &view, &layout), 0);
    assert_int_equal(block_of(&layout, LAYOUT_PROGRAM)->target, 0x555555554000);
    assert_int_equal(layout_steps(&layout, &view, steps), 7);
}

static void refused(void **state)
{
    const struct layout_policy policies[] = {
        {.va_bits = 20},
        {.va_bits = 48},
        {.base = 0x1234},
        {.base = UINT64_C(1) << 50},
        {.low = 0, .high = GIB(1)},
        {.low = GIB(2), .high = GIB(1)},
        {.low = GIB(1), .high = GIB(1) + 0x1000},
        {.low = GIB(1), .high = UINT64_C(1) << 48},
        {.low = GIB(1), .high = GIB(2), .base = GIB(3)},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(policies) / sizeof(*policies); i++)
        assert_non_null(layout_check(&policies[i], vmk_system_settings(host)));
}

static void stranger(void **state)
{
    const struct layout_policy policy = {.va_bits = 39};
    struct layout_image other = image;
    struct layout layout;

    (void)state;
    other.loader = 0;
    assert_int_equal(layout_plan(host, &policy, &other, &view, &layout), -EINVAL);
    assert_string_equal(layout.problem, "the image has an area that belongs to neither the program nor its loader");
}

/* Runs the steps on a list of ranges: nothing ever moves onto something. */
static void play(const struct layout_step *steps, size_t nr_steps, const struct layout *layout)
{
    struct layout_step now[32];
    size_t nr = view.nr_areas;

    for (size_t i = 0; i < nr; i++)
        now[i] = (struct layout_step){.from = view.areas[i].start, .len = view.areas[i].end - view.areas[i].start};
    for (size_t i = 0; i < nr_steps; i++) {
        size_t found = nr;

        for (size_t k = 0; k < nr; k++) {
            if (now[k].from == steps[i].from && now[k].len == steps[i].len)
                found = k;
            assert_true(steps[i].to >= now[k].from + now[k].len || now[k].from >= steps[i].to + steps[i].len);
        }
        assert_true(found < nr);
        now[found].from = steps[i].to;
    }
    for (size_t k = 0; k < nr; k++)
        assert_int_equal(now[k].from, layout_translate(layout, view.areas[k].start));
}

static void steps(void **state)
{
    struct layout_step list[32];
    struct layout layout;

    (void)state;
    plan(&(const struct layout_policy){.va_bits = 39}, &layout);
    assert_int_equal(layout_steps(&layout, &view, list), view.nr_areas);
    play(list, view.nr_areas, &layout);
    for (size_t i = 0; i < layout.nr_blocks; i++) /* a page further: each onto the one before */
        layout.blocks[i].target = layout.blocks[i].start + 0x1000;
    assert_int_equal(layout_steps(&layout, &view, list), 2 * view.nr_areas);
    play(list, 2 * view.nr_areas, &layout);
}

static void take_over(void **state)
{
    const struct layout_policy policy = {.low = GIB(4), .high = GIB(5), .seeded = true, .seed = 1};
    struct vmk_mm_options options;
    struct vmk_mmap_request request = {
        .len = 0x1000, .prot = VMK_PROT_READ, .flags = VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS};
    struct vmk_result result;
    struct layout layout;
    struct vmk_mm *mm;

    (void)state;
    plan(&policy, &layout);
    vmk_mm_options_init(&options);
    assert_int_equal(vmk_mm_create(host, &options, &mm), 0);
    assert_int_equal(layout_take_over(&layout, &policy, mm), 0);
    assert_int_equal(vmk_mmap(mm, &request, &result), 0);
    assert_int_equal(result.value, layout.mmap_base - 0x1000);
    request.address = GIB(20); /* a hint outside counts for nothing */
    assert_int_equal(vmk_mmap(mm, &request, &result), 0);
    assert_int_equal(result.value, layout.mmap_base - 0x2000);
    request.flags |= VMK_MAP_FIXED;
    assert_true(vmk_mmap(mm, &request, &result) < 0);
    vmk_mm_put(mm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks),    cmocka_unit_test(va_bits),   cmocka_unit_test(window),
        cmocka_unit_test(bottom_up), cmocka_unit_test(seeds),     cmocka_unit_test(smallest_window),
        cmocka_unit_test(fixed),     cmocka_unit_test(refused),   cmocka_unit_test(stranger),
        cmocka_unit_test(steps),     cmocka_unit_test(take_over),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
