/* SPDX-License-Identifier: MIT */
/*
 * What is delicate about lanes, under the mock port: they are laid out while other calls look for one, and a search for a gap
 * runs without a lock meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "calls.h"
#include "mm/lane.h"
#include "ports/mock/mock.h"
#include "ports/mock/sync.h"

#define BASE UINT64_C(0x40000000)

/* 40 areas of a page, each with STEP pages to the next one: some leaves, and so some lanes. */
enum { NR_AREAS = 40, STEP = 3 };
static vmk_addr area(unsigned number)
{
    return BASE + number * STEP * PAGE;
}

static struct {
    struct vmk_system *system;
    struct vmk_mm *mm;
} world;

/* Nothing that lanes may do; often enough, they are closed. */
static void need_mm_lock(void)
{
    struct vmk_rlimits rlimits;

    vmk_mm_get_rlimits(world.mm, &rlimits);
    vmk_mm_set_rlimits(world.mm, &rlimits);
}

static void close_lanes(void)
{
    for (unsigned i = 0; vmki_lanes_are_open(world.mm); i++) {
        if (i == 1000) {
            mock_violation("lanes do not close");
            return;
        }
        need_mm_lock();
    }
}

/* A space whose lanes were all used, and are closed. */
static void begin(void *context)
{
    struct vmk_system_options system_options;
    struct vmk_mm_options mm_options;

    (void)context;
    vmk_system_options_init(&system_options, mock_port());
    vmk_mm_options_init(&mm_options);
    if (vmk_system_create(&system_options, &world.system) != 0 ||
        vmk_mm_create(world.system, &mm_options, &world.mm) != 0) {
        mock_violation("no address space");
        return;
    }
    for (unsigned i = 0; i < NR_AREAS; i++)
        map_pages(world.mm, area(i), 1);
    for (unsigned i = 0; i < 3 * NR_AREAS; i++) {
        unmap_pages(world.mm, area(i % NR_AREAS), 1);
        map_pages(world.mm, area(i % NR_AREAS), 1);
    }
    close_lanes();
}

static const char *end(void *context)
{
    static char text[KEPT_LINE];

    (void)context;
    memset(text, 0, sizeof(text));
    return vmk_mm_validate(world.mm, keep_line, text) != 0 ? text : NULL;
}

/* At most so many runs, unless there is more time. */
enum { MANY = 12000, SOME = 6000 };

static void explore(const char *name, unsigned nr_runs, void (*start)(void *context),
                    void (*thread)(void *context, unsigned number), const char *(*check)(void *context))
{
    const struct mock_scenario scenario = {.nr_threads = 2, .begin = start, .thread = thread, .end = check};
    const char *factor = getenv("VMAKIT_STRESS");
    const struct mock_options options = {
        .preemptions = 2, .old_values = 1, .max_runs = nr_runs * (factor != NULL ? strtoul(factor, NULL, 10) : 1)};
    struct mock_report report;

    if (!mock_explore(&scenario, &options, &report))
        fail_msg("%s: %s (run %lu)", name, report.violation, report.nr_runs);
    print_message("%-28s %7lu runs%s, %lu points\n", name, report.nr_runs, report.is_complete ? "" : " (not all)",
                  report.nr_points);
}

/* ---- Lanes are laid out anew while a call looks for one ---- */

/* The first call takes most children of the root away, with mm.lock, and opens the lanes; the others run in one. */
static void run_while_opened(void *context, unsigned number)
{
    (void)context;
    if (number == 0) {
        unmap_pages(world.mm, area(8), (area(32) - area(8)) / PAGE);
    } else {
        unmap_pages(world.mm, area(34), 1);
        map_pages(world.mm, area(20), 1);
    }
}

static void test_opened_beside_a_call(void **state)
{
    (void)state;
    explore("opened beside a call", MANY, begin, run_while_opened, end);
}

/* ---- A search for a gap beside calls in lanes ---- */

/*
 * Between areas there are two pages, but for holes: one that stays at the bottom, one in the middle, then one at the top as
 * well, then no longer the one in the middle. The one at the bottom is never the highest.
 */
enum { BOTTOM = 2, MIDDLE = 6, TOP = 36 };

static vmk_addr hole(unsigned number)
{
    return area(number + 1) - 4 * PAGE;
}

static void run_search(void *context, unsigned number)
{
    vmk_addr found = 0;

    (void)context;
    if (number == 0) {
        map_pages(world.mm, area(20), 1); /* with mm.lock: opens the lanes */
        unmap_pages(world.mm, area(TOP), 1);
        map_pages(world.mm, area(MIDDLE), 1);
    } else if (vmk_mm_gap_highest(world.mm, area(0), area(NR_AREAS - 1), 4 * PAGE, &found) != 0) {
        mock_violation("no hole found");
    } else if (found != hole(MIDDLE) && found != hole(TOP)) {
        mock_violation("not the highest hole: %#llx", (unsigned long long)found);
    }
}

/* All areas at one moment: the hole in the middle goes before the one at the top comes. */
static void run_walk(void *context, unsigned number)
{
    struct vmk_area areas[NR_AREAS + 1];
    bool has_middle = false, has_top = false;
    vmk_addr cursor = 0;
    size_t nr;

    (void)context;
    if (number == 0) {
        map_pages(world.mm, area(20), 1); /* with mm.lock: opens the lanes */
        map_pages(world.mm, area(MIDDLE), 1);
        unmap_pages(world.mm, area(TOP), 1);
        return;
    }
    nr = vmk_mm_next_areas(world.mm, &cursor, areas, NR_AREAS + 1);
    for (size_t i = 0; i < nr; i++) {
        has_middle |= areas[i].start == area(MIDDLE);
        has_top |= areas[i].start == area(TOP);
    }
    if (!has_middle && !has_top)
        mock_violation("areas of two moments");
}

static void begin_search(void *context)
{
    begin(context);
    unmap_pages(world.mm, area(BOTTOM), 1);
    unmap_pages(world.mm, area(MIDDLE), 1);
    close_lanes();
}

static void test_search_beside_lanes(void **state)
{
    (void)state;
    explore("a search beside lanes", MANY, begin_search, run_search, end);
    explore("a walk beside lanes", SOME, begin_search, run_walk, end);
}

/* The same with lanes that are open, and close. */
static void begin_closing(void *context)
{
    begin_search(context);
    map_pages(world.mm, area(20), 1);
    for (unsigned i = 0; i + 2 < VMK_SYNC_LANES_WINDOW; i++)
        need_mm_lock();
}

static void run_closing(void *context, unsigned number)
{
    if (number != 0) {
        run_search(context, number);
        return;
    }
    if (!vmki_lanes_are_open(world.mm))
        mock_violation("lanes closed too soon");
    unmap_pages(world.mm, area(TOP), 1);
    map_pages(world.mm, area(MIDDLE), 1);
    need_mm_lock();
    if (vmki_lanes_are_open(world.mm))
        mock_violation("lanes did not close");
}

static void test_search_while_closed(void **state)
{
    (void)state;
    explore("a search while lanes close", MANY, begin_closing, run_closing, end);
}

/* ---- A part moves from the lane of a thread to its home, and on; it is divided; and calls need mm.lock meanwhile ---- */

static void again(unsigned number, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        unmap_pages(world.mm, area(number), 1);
        map_pages(world.mm, area(number), 1);
    }
}

static uint64_t nr_calls_of_threads(void)
{
    uint64_t nr = 0;

    for (unsigned i = VMKI_TREE_MAX_PARTS; i < VMKI_MAX_LANES; i++)
        nr += vmki_lane(world.mm, i) != NULL ? vmki_lane(world.mm, i)->counters.mmap : 0;
    return nr;
}

/* The part of areas 2 to 7 is the first thread's. */
static void begin_moving(void *context)
{
    begin(context);
    map_pages(world.mm, area(20), 1); /* opens the lanes */
    again(4, VMK_SYNC_LANES_WINDOW);
    if (!vmki_lanes_are_open(world.mm) || nr_calls_of_threads() == 0)
        mock_violation("no part moved to its thread");
}

static void run_moving(void *context, unsigned number)
{
    (void)context;
    if (number == 0) {
        again(4, 1);
        need_mm_lock();
        again(5, 1);
    } else {
        again(6, 2);
    }
}

static void test_part_moves(void **state)
{
    (void)state;
    explore("a part moves", SOME, begin_moving, run_moving, end);
}

/* The same while lanes close: so often must mm.lock be needed. */
enum { TO_CLOSE = 31 };
static void begin_closing_moving(void *context)
{
    begin_moving(context);
    for (unsigned i = 0; i + 1 < TO_CLOSE; i++)
        need_mm_lock();
    if (!vmki_lanes_are_open(world.mm))
        mock_violation("lanes closed too soon");
}

static void run_closing_moving(void *context, unsigned number)
{
    (void)context;
    if (number == 0) {
        need_mm_lock(); /* they close; any call after it may open them again */
        again(5, 1);
    } else {
        unmap_pages(world.mm, area(6), 1);
    }
}

static void test_part_moves_while_closed(void **state)
{
    (void)state;
    explore("a part moves while lanes close", MANY, begin_closing_moving, run_closing_moving, end);
}

/* By turns, each on its side: as often as it takes for a division, in some orders. */
static void run_sides(void *context, unsigned number)
{
    (void)context;
    again(number == 0 ? 3 : 6, 3);
}

static void test_part_is_divided(void **state)
{
    (void)state;
    explore("a part is divided", SOME, begin_moving, run_sides, end);
}

/* What one has below the marks goes from its lane to a home that it uses, and both stay below them. */
static void run_marks(void *context, unsigned number)
{
    (void)context;
    if (number == 0) {
        unmap_pages(world.mm, area(4), 1);
        map_pages(world.mm, area(34), 1);
        unmap_pages(world.mm, area(34), 1);
        map_pages(world.mm, area(4), 1);
    } else {
        unmap_pages(world.mm, area(35), 1);
        map_pages(world.mm, area(35), 1);
    }
}

static struct vmk_mm_stats at_start;

static void begin_marks(void *context)
{
    begin_moving(context);
    unmap_pages(world.mm, area(34), 1);
    at_start = (struct vmk_mm_stats){.size = sizeof(at_start)};
    vmk_mm_get_stats(world.mm, &at_start);
}

static const char *end_marks(void *context)
{
    struct vmk_mm_stats stats = {.size = sizeof(stats)};

    vmk_mm_get_stats(world.mm, &stats);
    if (stats.total_vm != at_start.total_vm || stats.peak_vm != at_start.peak_vm ||
        stats.peak_vmas != at_start.peak_vmas)
        return "a mark that was not reached";
    return end(context);
}

static void test_marks(void **state)
{
    (void)state;
    explore("marks while a part moves", SOME, begin_marks, run_marks, end_marks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opened_beside_a_call),
        cmocka_unit_test(test_search_beside_lanes),
        cmocka_unit_test(test_search_while_closed),
        cmocka_unit_test(test_part_moves),
        cmocka_unit_test(test_part_moves_while_closed),
        cmocka_unit_test(test_part_is_divided),
        cmocka_unit_test(test_marks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
