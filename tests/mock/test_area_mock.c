/* SPDX-License-Identifier: MIT */
/*
 * Lookups that look into an area whose memory is used again at once, under the mock port: what they say of it must be what
 * it was while it was there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "calls.h"
#include "mm/mm.h"
#include "ports/mock/mock.h"
#include "tree/node.h"
#include "vmakit/vmakit.h"

/* Three pages that were written to, and moved; one that was neither; areas below, so that none is the first of its leaf. */
#define BEFORE    UINT64_C(0x40030000)
#define WRITTEN   UINT64_C(0x40010000)
#define UNTOUCHED UINT64_C(0x40020000)
#define FURTHER   UINT64_C(0x40040000)

static struct {
    struct vmk_system *system;
    struct vmk_mm *mm;
    uint64_t anon_vma; /* of the written area */
} world;

static void protect(vmk_addr address)
{
    const struct vmk_mprotect_request request = {.address = address, .len = PAGE, .prot = VMK_PROT_READ, .pkey = -1};

    if (vmk_mprotect(world.mm, &request, NULL) != 0)
        mock_violation("a protection failed");
}

static void begin(void *context)
{
    const struct vmk_fault_request write = {.address = BEFORE, .access = VMK_ACCESS_WRITE};
    const struct vmk_mremap_request move = {.old_address = BEFORE,
                                            .old_len = 3 * PAGE,
                                            .new_len = 3 * PAGE,
                                            .flags = VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED,
                                            .new_address = WRITTEN};
    struct vmk_vma_info info = {.size = sizeof(info)};
    struct vmk_system_options system_options;
    struct vmk_mm_options mm_options;
    struct vmk_fault fault;

    (void)context;
    vmk_system_options_init(&system_options, mock_port());
    vmk_mm_options_init(&mm_options);
    if (vmk_system_create(&system_options, &world.system) != 0 ||
        vmk_mm_create(world.system, &mm_options, &world.mm) != 0) {
        mock_violation("no address space");
        return;
    }
    for (unsigned i = 0; i < 3; i++)
        map_pages(world.mm, UINT64_C(0x40000000) + 2 * i * PAGE, 1);
    map_pages(world.mm, BEFORE, 3);
    for (unsigned i = 0; i < 5; i++)
        map_pages(world.mm, UNTOUCHED + 2 * i * PAGE, 1);
    if (vmk_mm_fault(world.mm, &write, &fault) != 0 || vmk_mremap(world.mm, &move, NULL) != 0 ||
        vmk_mm_lookup(world.mm, WRITTEN, &info) != 0)
        mock_violation("no written area");
    world.anon_vma = info.anon_vma;
}

/* The same with a leaf that is full. */
static void begin_full(void *context)
{
    begin(context);
    for (unsigned i = (unsigned)world.mm->tree.nr_entries; i < VMKI_LEAF_MAX; i++)
        map_pages(world.mm, FURTHER + 2 * i * PAGE, 1);
    if (world.mm->tree.height != 1)
        mock_violation("more than a leaf");
}

/* What a lookup says of an area that may go meanwhile. */
static void look(vmk_addr address, uint64_t anon_vma, uint64_t pgoff)
{
    struct vmk_vma_info info = {.size = sizeof(info)};

    if (vmk_mm_lookup(world.mm, address, &info) == 0 && (info.anon_vma != anon_vma || info.pgoff != pgoff))
        mock_violation("another area: anon_vma %llu, page offset %#llx", (unsigned long long)info.anon_vma,
                       (unsigned long long)info.pgoff);
}

/* The written area loses what hangs of it when it goes. */
static void run_loses(void *context, unsigned number)
{
    (void)context;
    if (number == 0)
        unmap_pages(world.mm, WRITTEN, 3);
    else
        look(WRITTEN, world.anon_vma, BEFORE / PAGE);
}

/* The memory of the untouched one becomes a part of the written one. (Two areas go at once: one alone would wait for its turn.) */
static void run_becomes(void *context, unsigned number)
{
    (void)context;
    if (number == 0) {
        unmap_pages(world.mm, UNTOUCHED, 3);
        protect(WRITTEN + PAGE);
    } else {
        look(UNTOUCHED, 0, UNTOUCHED / PAGE);
    }
}

/* The same for one alone, which waits until others have gone. */
static void run_becomes_later(void *context, unsigned number)
{
    (void)context;
    if (number != 0) {
        look(UNTOUCHED, 0, UNTOUCHED / PAGE);
        return;
    }
    for (unsigned i = 0; i < 5; i++)
        unmap_pages(world.mm, UNTOUCHED + 2 * i * PAGE, 1);
    protect(WRITTEN + PAGE);
}

/* The same, once its leaf has made way for two others: who stands in the old one finds nothing there any more. */
static void run_becomes_in_another_leaf(void *context, unsigned number)
{
    if (number == 0) {
        map_pages(world.mm, FURTHER, 1);
        if (world.mm->tree.height != 2)
            mock_violation("no other leaf");
    }
    run_becomes(context, number);
}

static bool explore(void (*begin_with)(void *context), void (*thread)(void *context, unsigned number),
                    unsigned weaknesses, struct mock_report *report)
{
    const struct mock_scenario scenario = {.nr_threads = 2, .begin = begin_with, .thread = thread};
    const struct mock_options options = {
        .preemptions = 2, .old_values = 2, .max_runs = 30000, .weaknesses = weaknesses};

    return mock_explore(&scenario, &options, report);
}

static void test_area(void (*thread)(void *context, unsigned number))
{
    struct mock_report report;

    if (!explore(begin, thread, MOCK_WEAK_NOTHING, &report))
        fail_msg("%s (run %lu)", report.violation, report.nr_runs);
    print_message("%7lu runs%s\n", report.nr_runs, report.is_complete ? "" : " (not all)");
    assert_false(explore(begin, thread, MOCK_WEAK_FENCE_RELEASE, &report));
}

static void test_area_loses_what_hangs_of_it(void **state)
{
    (void)state;
    test_area(run_loses);
}

static void test_area_becomes_another(void **state)
{
    (void)state;
    test_area(run_becomes);
}

static void test_area_becomes_another_later(void **state)
{
    (void)state;
    test_area(run_becomes_later);
}

static void test_area_of_a_leaf_that_went(void **state)
{
    struct mock_report report;

    (void)state;
    if (!explore(begin_full, run_becomes_in_another_leaf, MOCK_WEAK_NOTHING, &report))
        fail_msg("%s (run %lu)", report.violation, report.nr_runs);
    print_message("%7lu runs%s\n", report.nr_runs, report.is_complete ? "" : " (not all)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_area_loses_what_hangs_of_it),
        cmocka_unit_test(test_area_becomes_another),
        cmocka_unit_test(test_area_becomes_another_later),
        cmocka_unit_test(test_area_of_a_leaf_that_went),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
