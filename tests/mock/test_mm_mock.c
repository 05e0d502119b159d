/* SPDX-License-Identifier: MIT */
/*
 * Lookups and faults beside mmap, munmap and mprotect, and two writers, under the mock port: every interleaving within a
 * bound, and many at random. Each history of results must have a sequential explanation (linear.h).
 *
 * And the other way round: where an order of memory, the grace period or the locks are left out, a violation is found.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "calls.h"
#include "linear.h"
#include "mm/lane.h"
#include "ports/mock/mock.h"

/* What a thread does: up to four calls. */
enum { MAX_THREAD_CALLS = 4 };

struct plan {
    const char *name;
    const char *pages; /* before: '.', 'r', 'w' */
    unsigned below;    /* other areas below and above: they decide how full the leaves are */
    unsigned above;
    unsigned nr_threads;
    struct lin_call calls[MOCK_MAX_THREADS - 1][MAX_THREAD_CALLS]; /* to == 0 ends the list */
    bool any_bounds;
    bool warm; /* the lanes of all pages are there before the threads begin */
};

/* Calls of threads that ran in a lane, of all runs. */
static unsigned long nr_in_lanes;

static unsigned long count_in_lanes(struct vmk_mm *mm)
{
    unsigned long nr = 0;

    for (unsigned i = 0; i < VMKI_TREE_MAX_PARTS; i++) {
        const struct vmk_mm *lane = vmki_lane(mm, i);

        if (lane != NULL)
            nr += lane->counters.mmap + lane->counters.munmap + lane->counters.mprotect;
    }
    return nr;
}

static long fail_allocation = -1; /* of the threads' */

struct history {
    const struct plan *plan;
    struct vmk_system *system;
    struct vmk_mm *mm;
    struct lin_state before;
    struct lin_call calls[LIN_MAX_CALLS];
    unsigned nr;
};

static void map(struct vmk_mm *mm, vmk_addr address, uint64_t prot)
{
    const struct vmk_mmap_request request = {
        .address = address, .len = PAGE, .prot = prot, .flags = VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED};

    if (vmk_mmap(mm, &request, NULL) != 0)
        mock_violation("a mapping failed");
}

static void begin(void *context)
{
    struct history *history = context;
    const struct plan *plan = history->plan;
    struct vmk_system_options system_options;
    struct vmk_mm_options mm_options;

    vmk_system_options_init(&system_options, mock_port());
    vmk_mm_options_init(&mm_options);
    if (vmk_system_create(&system_options, &history->system) != 0 ||
        vmk_mm_create(history->system, &mm_options, &history->mm) != 0) {
        mock_violation("no address space");
        return;
    }
    for (unsigned i = 0; i < plan->below; i++)
        map(history->mm, LIN_BASE - (2 * (plan->below - i)) * PAGE, VMK_PROT_READ);
    for (unsigned i = 0; i < plan->above; i++)
        map(history->mm, LIN_BASE + (LIN_PAGES + 1 + 2 * i) * PAGE, VMK_PROT_READ);
    for (unsigned i = 0; plan->pages[i] != '\0'; i++)
        if (plan->pages[i] != '.')
            map(history->mm, LIN_BASE + i * PAGE, plan->pages[i] == 'r' ? LIN_READ : LIN_WRITE);
    for (unsigned i = 0; plan->warm && i < 3 * LIN_PAGES; i++) { /* a change and back */
        struct lin_call call = {.kind = LIN_PROTECT, .from = i % LIN_PAGES, .to = i % LIN_PAGES + 1, .page = LIN_READ};

        if (plan->pages[call.from] != 'w')
            continue;
        lin_do(history->mm, &call, mock_point);
        call.page = LIN_WRITE;
        lin_do(history->mm, &call, mock_point);
    }
    nr_in_lanes -= count_in_lanes(history->mm);
    history->before = lin_read(history->mm);
    history->nr = 0;
    mock_fail_allocation(fail_allocation);
}

static void run_thread(void *context, unsigned number)
{
    struct history *history = context;

    for (unsigned i = 0; i < MAX_THREAD_CALLS && history->plan->calls[number][i].to != 0; i++) {
        struct lin_call call = history->plan->calls[number][i];

        lin_do(history->mm, &call, mock_point);
        history->calls[history->nr++] = call;
    }
}

static const char *end(void *context)
{
    static char text[KEPT_LINE];
    struct history *history = context;
    struct lin_state after = lin_read(history->mm);

    nr_in_lanes += count_in_lanes(history->mm);
    memset(text, 0, sizeof(text));
    if (vmk_mm_validate(history->mm, keep_line, text) != 0)
        return text;
    if (lin_explains(history->calls, history->nr, &history->before, &after, !history->plan->any_bounds))
        return NULL;
    for (unsigned i = 0; i < history->nr; i++) {
        size_t used = strlen(text);

        lin_describe(&history->calls[i], text + used, (unsigned)(sizeof(text) - used));
        strncat(text, "; ", sizeof(text) - strlen(text) - 1);
    }
    return text;
}

#define LOOKUP(page)                                                                                                   \
    {                                                                                                                  \
        LIN_LOOKUP, page, (page) + 1, LIN_HOLE, 0, 0, 0, 0, 0, LIN_HOLE                                                \
    }
#define CHECK(page, rights)                                                                                            \
    {                                                                                                                  \
        LIN_CHECK, page, (page) + 1, rights, 0, 0, 0, 0, 0, LIN_HOLE                                                   \
    }
#define FAULT(page, rights)                                                                                            \
    {                                                                                                                  \
        LIN_FAULT, page, (page) + 1, rights, 0, 0, 0, 0, 0, LIN_HOLE                                                   \
    }
#define MAP(from, to, rights)                                                                                          \
    {                                                                                                                  \
        LIN_MAP, from, to, rights, 0, 0, 0, 0, 0, LIN_HOLE                                                             \
    }
#define UNMAP(from, to)                                                                                                \
    {                                                                                                                  \
        LIN_UNMAP, from, to, LIN_HOLE, 0, 0, 0, 0, 0, LIN_HOLE                                                         \
    }
#define PROTECT(page, rights)                                                                                          \
    {                                                                                                                  \
        LIN_PROTECT, page, (page) + 1, rights, 0, 0, 0, 0, 0, LIN_HOLE                                                 \
    }

static const struct plan plans[] = {
    {"in place: come and go",
     "..ww....",
     3,
     3,
     2,
     {{LOOKUP(2), LOOKUP(4)}, {UNMAP(2, 4), MAP(4, 6, LIN_READ)}},
     false,
     false},
    {"slots used again",
     "w.w.w...",
     2,
     2,
     2,
     {{LOOKUP(2), CHECK(2, LIN_WRITE)}, {UNMAP(2, 3), MAP(6, 7, LIN_READ), MAP(2, 4, LIN_READ)}},
     false,
     false},
    {"one word: grow and shrink",
     "wwww....",
     1,
     1,
     2,
     {{LOOKUP(3), LOOKUP(1)}, {MAP(4, 5, LIN_WRITE), UNMAP(0, 2)}},
     false,
     false},
    {"split and merge",
     "wwwwww..",
     2,
     2,
     2,
     {{LOOKUP(2), LOOKUP(4)}, {PROTECT(2, LIN_READ), PROTECT(2, LIN_WRITE)}},
     false,
     false},
    {"a leaf is divided",
     "w.w.w...",
     6,
     6,
     2,
     {{LOOKUP(2), LOOKUP(6)}, {PROTECT(4, LIN_READ), MAP(5, 7, LIN_READ)}},
     false,
     false},
    {"leaves are joined",
     "r.w.r.w.",
     6,
     6,
     2,
     {{LOOKUP(4), LOOKUP(0)}, {UNMAP(0, 8), MAP(0, 2, LIN_READ)}},
     false,
     false},
    {"the first of a leaf moves",
     "wwww....",
     0,
     3,
     2,
     {{LOOKUP(0), LOOKUP(1)}, {UNMAP(0, 1), MAP(0, 1, LIN_WRITE)}},
     false,
     false},
    {"faults",
     "..ww....",
     2,
     2,
     2,
     {{FAULT(2, LIN_WRITE), FAULT(3, LIN_READ)}, {PROTECT(2, LIN_READ), UNMAP(3, 4)}},
     true,
     false},
    {"two writers",
     "ww..ww..",
     2,
     2,
     2,
     {{UNMAP(0, 1), MAP(2, 3, LIN_WRITE)}, {PROTECT(4, LIN_READ), MAP(3, 4, LIN_WRITE)}},
     false,
     false},
    {"two writers and a reader",
     "ww..ww..",
     2,
     2,
     3,
     {{UNMAP(0, 1)}, {MAP(2, 4, LIN_WRITE)}, {LOOKUP(1), LOOKUP(4)}},
     false,
     false},
    {"two lanes",
     "w.w.w.w.",
     13,
     20,
     2,
     {{UNMAP(2, 3), MAP(2, 3, LIN_WRITE)}, {UNMAP(6, 7), PROTECT(6, LIN_READ)}},
     false,
     true},
    {"two lanes: they grow",
     "w.w.w.w.",
     13,
     20,
     2,
     {{MAP(1, 2, LIN_READ), UNMAP(0, 1)}, {MAP(7, 8, LIN_READ), UNMAP(7, 8)}},
     false,
     true},
    {"two lanes and mm.lock",
     "w.w.w.w.",
     13,
     20,
     2,
     {{UNMAP(2, 3), MAP(3, 4, LIN_WRITE)}, {UNMAP(1, 7), MAP(6, 7, LIN_READ)}},
     false,
     true},
    {"two lanes and a reader",
     "w.w.w.w.",
     13,
     20,
     3,
     {{UNMAP(2, 3)}, {UNMAP(6, 7)}, {LOOKUP(2), LOOKUP(6), LOOKUP(2)}},
     false,
     true},
};
enum { NR_PLANS = sizeof(plans) / sizeof(plans[0]) };

static bool explore(const struct plan *plan, const struct mock_options *options, struct mock_report *report)
{
    static struct history history;
    const struct mock_scenario scenario = {
        .nr_threads = plan->nr_threads, .begin = begin, .thread = run_thread, .end = end, .context = &history};

    history = (struct history){.plan = plan};
    return mock_explore(&scenario, options, report);
}

static unsigned long runs_wanted(unsigned long usual)
{
    const char *factor = getenv("VMAKIT_STRESS");

    return factor != NULL ? usual * strtoul(factor, NULL, 10) : usual;
}

static void test_all_within_bounds(void **state)
{
    const struct mock_options options = {.preemptions = 2, .old_values = 1, .max_runs = runs_wanted(12000)};

    (void)state;
    for (unsigned i = 0; i < NR_PLANS; i++) {
        struct mock_report report;

        nr_in_lanes = 0;
        if (!explore(&plans[i], &options, &report))
            fail_msg("%s: %s (run %lu)", plans[i].name, report.violation, report.nr_runs);
        assert_true(!plans[i].warm || nr_in_lanes > report.nr_runs); /* at least one a run */
        print_message("%-28s %7lu runs%s, %lu points\n", plans[i].name, report.nr_runs,
                      report.is_complete ? "" : " (not all)", report.nr_points);
        assert_true(report.nr_runs > 100);
    }
}

static void test_at_random(void **state)
{
    const struct mock_options options = {.seed = 20240607, .max_runs = runs_wanted(3000)};

    (void)state;
    for (unsigned i = 0; i < NR_PLANS; i++) {
        struct mock_report report;

        if (!explore(&plans[i], &options, &report))
            fail_msg("%s: %s (run %lu)", plans[i].name, report.violation, report.nr_runs);
    }
}

/* Memory runs out in the middle: the call has not happened. */
static void test_without_memory(void **state)
{
    const struct mock_options options = {.preemptions = 1, .old_values = 1, .max_runs = 1500};

    (void)state;
    for (fail_allocation = 0; fail_allocation < 6; fail_allocation++)
        for (unsigned i = 0; i < NR_PLANS; i++) {
            struct mock_report report;

            if (!explore(&plans[i], &options, &report))
                fail_msg("%s, allocation %ld: %s (run %lu)", plans[i].name, fail_allocation, report.violation,
                         report.nr_runs);
        }
    fail_allocation = -1;
}

/* Whether any scenario shows that this is missing. */
static bool is_noticed(unsigned weakness)
{
    const struct mock_options all = {.preemptions = 2, .old_values = 2, .max_runs = 20000, .weaknesses = weakness};

    for (unsigned i = 0; i < NR_PLANS; i++) {
        struct mock_report report;

        if (!explore(&plans[i], &all, &report)) {
            print_message("%#x: %s: %s (run %lu)\n", weakness, plans[i].name, report.violation, report.nr_runs);
            return true;
        }
    }
    return false;
}

static void test_what_is_missing_is_noticed(void **state)
{
    (void)state;
    assert_true(is_noticed(MOCK_WEAK_GRACE));
    assert_true(is_noticed(MOCK_WEAK_RELEASE));
    assert_true(is_noticed(MOCK_WEAK_ACQUIRE));
    assert_true(is_noticed(MOCK_WEAK_FENCE_RELEASE));
    assert_true(is_noticed(MOCK_WEAK_FENCE_ACQUIRE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_within_bounds),
        cmocka_unit_test(test_at_random),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_what_is_missing_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
