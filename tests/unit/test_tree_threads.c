/* SPDX-License-Identifier: MIT */
/*
 * test_tree_threads.c - readers without a lock beside a writer, for the thread sanitizer above all.
 *
 * The writer splices at random between entries that stay.  Readers check that those are always found, that what they
 * see is whole, and that a walk by `next` or `prev` meets all that stay.  Retired nodes are freed at the end.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tree/node.h"

enum { NR_READERS = 2, NR_STABLE = 60, STEP = 128 };

/* Fewer splices where each costs more. */
#if defined(VMKI_THREAD_SANITIZER)
enum { NR_SPLICES = 60000 };
#else
enum { NR_SPLICES = 400000 };
#endif

static struct vmki_tree tree;
static struct vmki_tree_tail *retired;
static int stop;
static size_t nr_wrong[NR_READERS];
static size_t nr_walks[NR_READERS];

static void *node_alloc(void *context, size_t size)
{
    (void)context;
    return aligned_alloc(64, size);
}

static void node_free(void *context, void *node, size_t size)
{
    (void)context;
    (void)size;
    free(node);
}

static void node_retire(void *context, void *node, size_t size)
{
    (void)context;
    retired = vmki_tree_tail_link(node, size, retired);
}

static void free_retired(void)
{
    while (retired) {
        struct vmki_tree_tail *tail = retired;

        retired = tail->next;
        free(vmki_tree_tail_node(tail));
    }
}

static const struct vmki_tree_memory memory = {node_alloc, node_free, node_retire, NULL, NULL};

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 5;
}

/* Flags and item follow from the ends, so that a mixed entry shows. */
static struct vmki_tree_entry entry_of(uint64_t start, uint64_t end)
{
    return (struct vmki_tree_entry){start, end, start * 3 + end, (void *)(uintptr_t)((start ^ end << 20) | 1)};
}

static bool is_whole(const struct vmki_tree_entry *entry)
{
    struct vmki_tree_entry want = entry_of(entry->start, entry->end);

    return entry->flags == want.flags && entry->item == want.item;
}

/* Up the tree: every entry whole, in order, and all that stay among them. */
static size_t walk_up(void)
{
    size_t wrong = 0, stable = 0;
    struct vmki_tree_entry entry;
    uint64_t at = 0;

    for (; vmki_tree_next(&tree, at, &entry); at = entry.end) {
        wrong += !is_whole(&entry) || entry.end <= at;
        stable += entry.start % STEP == 0;
    }
    return wrong + (stable != NR_STABLE);
}

static size_t walk_down(void)
{
    size_t wrong = 0, stable = 0;
    struct vmki_tree_entry entry;
    uint64_t at = UINT64_MAX;

    for (; vmki_tree_prev(&tree, at, &entry); at = entry.start) {
        wrong += !is_whole(&entry) || entry.start >= at;
        stable += entry.start % STEP == 0;
    }
    return wrong + (stable != NR_STABLE);
}

/* A search for a gap in a tree that was not edited meanwhile: a hole inside the limits, on no entry that stays. */
static bool gap_is_right(uint64_t *random)
{
    uint64_t low = random_next(random) % (NR_STABLE * STEP), len = 1 + random_next(random) % 99;
    uint64_t high = low + random_next(random) % (NR_STABLE * STEP);
    uint32_t edits = __atomic_load_n(&tree.edits, __ATOMIC_ACQUIRE);
    struct vmki_gap gap;
    uint64_t end;

    if (!(random_next(random) % 2 ? vmki_tree_gap_highest : vmki_tree_gap_lowest)(&tree, low, high, len, &gap))
        return true;
    if (!vmki_tree_unedited(&tree, edits))
        return true;
    end = gap.start + len;
    if (gap.start < low || end > high || gap.above < end)
        return false;
    if (gap.start >= (NR_STABLE - 1) * STEP + 4)
        return true;
    return gap.start % STEP >= 4 && (end - 1) / STEP == gap.start / STEP;
}

/* Many entries of a tree that was not edited meanwhile: whole, in order, and all that stay among them. */
static bool areas_are_right(uint64_t *random)
{
    uint64_t at = random_next(random) % (NR_STABLE * STEP);
    uint32_t edits = __atomic_load_n(&tree.edits, __ATOMIC_ACQUIRE);
    struct vmk_area areas[40];
    size_t nr = vmki_tree_areas(&tree, at, UINT64_MAX, areas, 40), stable = 0, i;

    if (!vmki_tree_unedited(&tree, edits))
        return true;
    for (i = 0; i < nr; i++) {
        if (areas[i].end <= at || (i > 0 && areas[i].start < at) || areas[i].flags != areas[i].start * 3 + areas[i].end)
            return false;
        at = areas[i].end;
        stable += areas[i].start % STEP == 0 && areas[i].start < NR_STABLE * STEP;
    }
    if (nr == 0 || areas[0].start >= NR_STABLE * STEP)
        return true;
    at = areas[nr - 1].start < NR_STABLE * STEP ? areas[nr - 1].start : NR_STABLE * STEP - 1;
    return stable == at / STEP - (areas[0].start + STEP - 1) / STEP + 1;
}

static void *reader(void *argument)
{
    size_t me = (size_t)(uintptr_t)argument, i;
    uint64_t random = 1234567 + me;

    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        nr_wrong[me] += me % 2 ? walk_up() : walk_down();
        for (i = 0; i < 50; i++) {
            uint64_t stable = random_next(&random) % NR_STABLE * STEP;
            struct vmki_tree_entry entry;

            nr_wrong[me] += !vmki_tree_find(&tree, stable + 3, &entry) || entry.start != stable || !is_whole(&entry);
            if (vmki_tree_find(&tree, random_next(&random) % (NR_STABLE * STEP), &entry))
                nr_wrong[me] += !is_whole(&entry);
            nr_wrong[me] += !gap_is_right(&random) || !areas_are_right(&random);
        }
        nr_walks[me]++;
    }
    return NULL;
}

/* Writes anew what is between two that stay. */
static void splice_between(uint64_t *random)
{
    uint64_t base = random_next(random) % NR_STABLE * STEP, low = base + 4 + random_next(random) % (STEP - 4), until;
    struct vmki_tree_entry entries[VMKI_TREE_SPLICE_MAX], there;
    struct vmki_cursor cursor;
    unsigned want = (unsigned)(random_next(random) % (VMKI_TREE_SPLICE_MAX + 1)), nr = 0;

    assert_true(vmki_tree_reserve(&tree, 1));
    until = low + random_next(random) % (base + STEP - low);
    if (vmki_cursor_seek(&cursor, &tree, low) && vmki_cursor_entry(&cursor, &there) && there.start < low)
        low = there.start;
    if (vmki_tree_prev(&tree, until, &there) && there.end > until)
        until = there.end;
    for (; nr < want && low + 3 <= until; nr++, low += 3)
        entries[nr] = entry_of(low, low + 1 + random_next(random) % 3);
    vmki_cursor_splice(&cursor, until, entries, nr);
}

/* Many whole subtrees at once, and back. */
static void splice_far(uint64_t *random)
{
    struct vmki_tree_entry entry;
    struct vmki_cursor cursor;
    uint64_t base = NR_STABLE * STEP;
    unsigned i;

    for (i = 0; i < 300; i++) {
        uint64_t start = base + i * 10 + 1;

        entry = entry_of(start, start + 1 + random_next(random) % 9);
        assert_true(vmki_tree_reserve(&tree, 1));
        vmki_cursor_seek(&cursor, &tree, start);
        vmki_cursor_splice(&cursor, 0, &entry, 1);
    }
    assert_true(vmki_tree_reserve(&tree, 1));
    vmki_cursor_seek(&cursor, &tree, base + random_next(random) % 20);
    vmki_cursor_splice(&cursor, UINT64_MAX, NULL, 0);
    if (vmki_cursor_seek(&cursor, &tree, base))
        vmki_cursor_splice(&cursor, UINT64_MAX, NULL, 0);
}

static void test_readers_and_writer(void **state)
{
    pthread_t thread[NR_READERS];
    uint64_t random = 88172645463325252u;
    size_t i;

    (void)state;
    vmki_tree_init(&tree, &memory);
    for (i = 0; i < NR_STABLE; i++) {
        struct vmki_tree_entry entry = entry_of(i * STEP, i * STEP + 4);
        struct vmki_cursor cursor;

        assert_true(vmki_tree_reserve(&tree, 1));
        vmki_cursor_seek(&cursor, &tree, entry.start);
        vmki_cursor_splice(&cursor, 0, &entry, 1);
    }
    for (i = 0; i < NR_READERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, reader, (void *)(uintptr_t)i), 0);
    for (i = 0; i < NR_SPLICES; i++) {
        splice_between(&random);
        if (i % 2000 == 0) {
            splice_far(&random);
            assert_null(vmki_tree_validate(&tree));
        }
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (i = 0; i < NR_READERS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(nr_wrong[i], 0);
        assert_true(nr_walks[i] > 0);
    }
    assert_null(vmki_tree_validate(&tree));
    vmki_tree_destroy(&tree);
    free_retired();
}

/* ---- One word at a time ---- */

enum { NR_COUNTERS = 100, TURN = 32 };

/*
 * Entry i holds three counters modulo TURN, in its start, its end and its flags.  The writer adds one to each in this
 * order, one word at a time, so each is as large as the next or one ahead: what a reader sees must be so too.
 */
static struct vmki_tree_entry counters_entry(size_t i, uint64_t start, uint64_t end, uint64_t flags)
{
    return (struct vmki_tree_entry){i * STEP + start % TURN, i * STEP + 64 + end % TURN, flags % TURN, &tree};
}

static bool counters_fit(const struct vmki_tree_entry *entry)
{
    uint64_t start = entry->start % STEP, end = entry->end % STEP - 64;

    return (start - end) % TURN <= 1 && (end - entry->flags) % TURN <= 1 && (start - entry->flags) % TURN <= 1;
}

static void *counter_reader(void *argument)
{
    size_t me = (size_t)(uintptr_t)argument;
    uint64_t random = 987654 + me;

    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        uint64_t base = random_next(&random) % NR_COUNTERS * STEP;
        struct vmki_tree_entry entry;

        nr_wrong[me] +=
            !vmki_tree_find(&tree, base + 40, &entry) || entry.start / STEP != base / STEP || !counters_fit(&entry);
        nr_wrong[me] +=
            !vmki_tree_next(&tree, base + 10, &entry) || entry.start / STEP != base / STEP || !counters_fit(&entry);
        nr_wrong[me] +=
            !vmki_tree_prev(&tree, base + 100, &entry) || entry.start / STEP != base / STEP || !counters_fit(&entry);
        if (vmki_tree_find(&tree, base + 16, &entry))
            nr_wrong[me] += entry.start > base + 16 || !counters_fit(&entry);
        nr_walks[me]++;
    }
    return NULL;
}

static void replace(struct vmki_tree_entry entry)
{
    struct vmki_cursor cursor;

    assert_true(vmki_tree_reserve(&tree, 1));
    vmki_cursor_seek(&cursor, &tree, entry.end / STEP * STEP + 40);
    vmki_cursor_splice(&cursor, entry.end / STEP * STEP + 41, &entry, 1);
}

static void test_one_word_at_a_time(void **state)
{
    pthread_t thread[NR_READERS];
    size_t i, n;

    (void)state;
    stop = 0;
    vmki_tree_init(&tree, &memory);
    for (i = 0; i < NR_COUNTERS; i++)
        replace(counters_entry(i, 0, 0, 0));
    free_retired();
    for (i = 0; i < NR_READERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, counter_reader, (void *)(uintptr_t)i), 0);
    for (n = 0; n < NR_SPLICES / 50; n++) {
        for (i = n % 3; i < NR_COUNTERS; i += 3) {
            uint64_t turn = n / 3;

            replace(counters_entry(i, turn + 1, turn, turn));
            replace(counters_entry(i, turn + 1, turn + 1, turn));
            replace(counters_entry(i, turn + 1, turn + 1, turn + 1));
        }
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (i = 0; i < NR_READERS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(nr_wrong[i], 0);
        assert_true(nr_walks[i] > 0);
    }
    assert_null(vmki_tree_validate(&tree));
    assert_null(retired);
    vmki_tree_destroy(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers_and_writer),
        cmocka_unit_test(test_one_word_at_a_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
