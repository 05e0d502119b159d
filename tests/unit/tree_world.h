/* SPDX-License-Identifier: MIT */
/*
 * tree_world.h - what the tests of the tree share: a tree, and a plain sorted array beside it that says what is in it.
 *
 * VMKIT_TREE_SEED says where the random numbers begin.
 */
#ifndef VMAKIT_TESTS_TREE_WORLD_H
#define VMAKIT_TESTS_TREE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tree/highest.h"

#define TW_UNUSED __attribute__((unused))

/* ---- Memory that counts, and fails on demand ---- */

struct memory {
    struct vmki_tree_memory table;
    size_t nr_live;
    size_t nr_allocs;
    size_t nr_retired;
    size_t fail_after; /* allocations that still succeed */
    bool keep;         /* retired nodes stay readable, on the list below */
    void **kept;
    size_t nr_kept;
};

static TW_UNUSED uint16_t *memory_mark(void *node)
{
    return (uint16_t *)(void *)((char *)node + VMKI_TREE_MARK);
}

static TW_UNUSED void *memory_alloc(void *context, size_t size)
{
    struct memory *memory = context;
    void *node;

    if (memory->fail_after == 0)
        return NULL;
    memory->fail_after--;
    node = aligned_alloc(64, size);
    assert_non_null(node);
    memset(node, 0xa5, size);
    *memory_mark(node) = 0;
    memory->nr_live++;
    memory->nr_allocs++;
    return node;
}

/* At most five at once, each with its place among them, from 1 on, as its mark; before the first the number of those that live. */
static TW_UNUSED size_t memory_alloc_many(void *context, size_t size, size_t nr, void **first)
{
    struct memory *memory = context;
    char *block;

    nr = nr < 5 ? nr : 5;
    nr = nr < memory->fail_after ? nr : memory->fail_after;
    if (nr < 2)
        return 0;
    block = aligned_alloc(64, 64 + nr * size);
    assert_non_null(block);
    memset(block, 0xa5, 64 + nr * size);
    *(size_t *)(void *)block = nr;
    *first = block + 64;
    for (size_t i = 0; i < nr; i++)
        *memory_mark(block + 64 + i * size) = (uint16_t)(i + 1);
    memory->fail_after -= nr;
    memory->nr_live += nr;
    memory->nr_allocs += nr;
    return nr;
}

static TW_UNUSED void memory_free(void *context, void *node, size_t size)
{
    struct memory *memory = context;

    uint16_t mark = *memory_mark(node);
    char *block = (char *)node - (mark - 1) * (int)size - 64;

    memset(node, 0x5a, size);
    memory->nr_live--;
    if (mark == 0)
        free(node);
    else if (--*(size_t *)(void *)block == 0)
        free(block);
}

static TW_UNUSED void memory_retire(void *context, void *node, size_t size)
{
    struct memory *memory = context;

    memory->nr_retired++;
    if (!memory->keep) {
        memory_free(context, node, size);
        return;
    }
    memory->kept = realloc(memory->kept, (memory->nr_kept + 1) * sizeof(void *));
    memory->kept[memory->nr_kept++] = node;
}

/* ---- The tree and the array beside it ---- */

struct world {
    struct vmki_tree tree;
    struct memory memory;
    struct vmki_tree_entry *model;
    size_t nr;
    size_t room;
    uint64_t random;
};

static TW_UNUSED uint64_t random_next(struct world *world)
{
    uint64_t x = world->random;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return world->random = x;
}

static TW_UNUSED uint64_t random_below(struct world *world, uint64_t limit)
{
    return (random_next(world) >> 11) % limit;
}

static TW_UNUSED size_t env_number(const char *name, size_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoul(text, NULL, 0) : otherwise;
}

static TW_UNUSED void world_init(struct world *world)
{
    *world = (struct world){.random = env_number("VMKIT_TREE_SEED", 88172645463325252u)};
    world->memory.table = (struct vmki_tree_memory){memory_alloc, memory_free, memory_retire, &world->memory, NULL};
    world->memory.fail_after = SIZE_MAX;
    world->room = 64;
    world->model = malloc(world->room * sizeof(*world->model));
    vmki_tree_init(&world->tree, &world->memory.table);
}

static TW_UNUSED void world_destroy(struct world *world)
{
    size_t i;

    vmki_tree_destroy(&world->tree);
    assert_null(world->tree.root);
    for (i = 0; i < world->memory.nr_kept; i++)
        memory_free(&world->memory, world->memory.kept[i], VMKI_NODE_SIZE);
    free(world->memory.kept);
    assert_int_equal(world->memory.nr_live, 0);
    free(world->model);
}

/* An entry whose flags and item follow from its ends, so that a mixed one shows. */
static TW_UNUSED struct vmki_tree_entry entry_of(uint64_t start, uint64_t end)
{
    return (struct vmki_tree_entry){start, end, start * 3 + end, (void *)(uintptr_t)((start ^ end << 20) | 1)};
}

static TW_UNUSED bool entry_equal(const struct vmki_tree_entry *a, const struct vmki_tree_entry *b)
{
    return a->start == b->start && a->end == b->end && a->flags == b->flags && a->item == b->item;
}

static TW_UNUSED void check_entry(const struct vmki_tree_entry *got, const struct vmki_tree_entry *want)
{
    if (entry_equal(got, want))
        return;
    print_error("got [%#lx, %#lx), want [%#lx, %#lx)\n", (unsigned long)got->start, (unsigned long)got->end,
                (unsigned long)want->start, (unsigned long)want->end);
    fail();
}

/* Index of the first entry that ends above the address. */
static TW_UNUSED size_t model_seek(const struct world *world, uint64_t address)
{
    size_t low = 0, high = world->nr;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (world->model[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static TW_UNUSED void model_splice(struct world *world, size_t from, size_t to, const struct vmki_tree_entry *entries,
                                   unsigned nr)
{
    if (world->nr + nr > world->room) {
        world->room = 2 * world->room + nr;
        world->model = realloc(world->model, world->room * sizeof(*world->model));
    }
    memmove(world->model + from + nr, world->model + to, (world->nr - to) * sizeof(*world->model));
    if (nr)
        memcpy(world->model + from, entries, nr * sizeof(*entries));
    world->nr = world->nr - (to - from) + nr;
}

static TW_UNUSED void check_valid(const struct world *world)
{
    const char *broken = vmki_tree_validate(&world->tree);

    if (broken)
        fail_msg("the tree is not valid: %s", broken);
    assert_int_equal(world->tree.nr_entries, world->nr);
    assert_int_equal(world->tree.nr_nodes_bytes, (world->memory.nr_live - world->memory.nr_kept) * VMKI_NODE_SIZE);
}

/* A walk that has come to the model's entry `next` and is to end after `left` more. */
struct walk {
    const struct world *world;
    size_t next, left;
};

static TW_UNUSED bool visit(void *context, vmk_addr start, vmk_addr end, uint64_t flags)
{
    struct walk *walk = context;
    const struct vmki_tree_entry *want = &walk->world->model[walk->next++];

    assert_true(start == want->start && end == want->end && flags == (want->flags & 5));
    return --walk->left > 0;
}

/* The entries from one index up to another, by their borders and by borders inside them; and one that ends early. */
static TW_UNUSED void check_each(struct world *world, size_t from, size_t to)
{
    const struct vmki_tree_entry *first = &world->model[from], *last = &world->model[to - 1];
    struct walk walk = {world, from, SIZE_MAX};

    assert_int_equal(vmki_tree_each(&world->tree, first->start, last->end, 5, visit, &walk), to - from);
    walk = (struct walk){world, from, SIZE_MAX};
    assert_int_equal(vmki_tree_each(&world->tree, first->end - 1, last->start + 1, 5, visit, &walk), to - from);
    walk = (struct walk){world, from, SIZE_MAX};
    assert_int_equal(vmki_tree_each(&world->tree, first->start, last->start, 5, visit, &walk), to - from - 1);
    walk = (struct walk){world, from, (to - from + 1) / 2};
    assert_int_equal(vmki_tree_each(&world->tree, first->start, last->end, 5, visit, &walk), (to - from + 1) / 2);
}

/* Everything, in both directions. */
static TW_UNUSED void check_all(struct world *world)
{
    struct vmki_cursor cursor;
    struct vmki_tree_entry entry;
    size_t i;
    bool there = vmki_cursor_seek(&cursor, &world->tree, 0);

    check_valid(world);
    for (i = 0; i < world->nr; i++) {
        assert_true(there && vmki_cursor_entry(&cursor, &entry));
        check_entry(&entry, &world->model[i]);
        there = vmki_cursor_advance(&cursor);
    }
    assert_false(there);
    assert_false(vmki_cursor_entry(&cursor, &entry));
    while (i-- > 0) {
        assert_true(vmki_cursor_retreat(&cursor));
        assert_true(vmki_cursor_entry(&cursor, &entry));
        check_entry(&entry, &world->model[i]);
    }
    assert_false(vmki_cursor_retreat(&cursor));
    assert_int_equal(vmki_tree_each(&world->tree, VMKI_TREE_MAX_END, UINT64_MAX, 5, visit, NULL), 0);
    for (i = 0; i + i / 2 < world->nr; i += 1 + i / 4)
        check_each(world, i, world->nr - i / 2);
}

/* What stands under the cursor and beside it. */
static TW_UNUSED void check_cursor(const struct world *world, const struct vmki_cursor *cursor, size_t index)
{
    struct vmki_tree_entry entry;

    assert_int_equal(vmki_cursor_entry(cursor, &entry), index < world->nr);
    if (index < world->nr)
        check_entry(&entry, &world->model[index]);
    assert_int_equal(vmki_cursor_before(cursor, &entry), index > 0);
    if (index > 0)
        check_entry(&entry, &world->model[index - 1]);
    assert_int_equal(vmki_cursor_after(cursor, &entry), index + 1 < world->nr);
    if (index + 1 < world->nr)
        check_entry(&entry, &world->model[index + 1]);
}

/* The lookups that say what they saw: it is so still. */
static TW_UNUSED void check_looks(const struct world *world, uint64_t address, bool found)
{
    size_t index = model_seek(world, address);
    const struct vmki_tree_look none = {NULL, 0, VMKI_VERSION_DEAD};
    struct vmki_tree_entry mark = {1, 2, 3, NULL}, entry = mark;
    struct vmki_tree_look look = none;

    assert_int_equal(vmki_tree_look_at(&world->tree, address, &entry, &look), found);
    check_entry(&entry, found ? &world->model[index] : &mark);
    assert_true(!found || vmki_tree_holds(&look));
    entry = mark;
    look = none;
    assert_int_equal(vmki_tree_look_next(&world->tree, address, &entry, &look), index < world->nr);
    check_entry(&entry, index < world->nr ? &world->model[index] : &mark);
    assert_true(index == world->nr || vmki_tree_holds(&look));
}

static TW_UNUSED void check_lookups(const struct world *world, uint64_t address)
{
    size_t index = model_seek(world, address), before = index;
    struct vmki_tree_entry mark = {1, 2, 3, NULL}, entry = mark;
    bool found = index < world->nr && world->model[index].start <= address;
    uint64_t flags;

    assert_int_equal(vmki_tree_find_flags(&world->tree, address, &flags), found);
    if (found)
        assert_int_equal(flags, world->model[index].flags);
    assert_int_equal(vmki_tree_find(&world->tree, address, &entry), found);
    check_entry(&entry, found ? &world->model[index] : &mark);
    entry = mark;
    assert_int_equal(vmki_tree_next(&world->tree, address, &entry), index < world->nr);
    check_entry(&entry, index < world->nr ? &world->model[index] : &mark);
    check_looks(world, address, found);
    if (before < world->nr && world->model[before].start < address)
        before++;
    entry = mark;
    assert_int_equal(vmki_tree_prev(&world->tree, address, &entry), before > 0);
    check_entry(&entry, before > 0 ? &world->model[before - 1] : &mark);
}

/* One splice on both sides, with the cursor's promise checked, and no more memory than either way of reserving takes. */
static TW_UNUSED void splice(struct world *world, uint64_t address, uint64_t until,
                             const struct vmki_tree_entry *entries, unsigned nr)
{
    struct vmki_cursor cursor;
    size_t from = model_seek(world, address), to = from;

    while (to < world->nr && world->model[to].start < until)
        to++;
    assert_int_equal(vmki_cursor_seek(&cursor, &world->tree, address), from < world->nr);
    if (random_below(world, 2)) {
        assert_true(vmki_tree_reserve(&world->tree, 1));
    } else {
        vmki_tree_release_spare(&world->tree, 0);
        assert_true(vmki_cursor_reserve(&cursor, until, nr));
    }
    world->memory.fail_after = 0;
    vmki_cursor_splice(&cursor, until, entries, nr);
    world->memory.fail_after = SIZE_MAX;
    model_splice(world, from, to, entries, nr);
    check_cursor(world, &cursor, from);
}

static TW_UNUSED void insert(struct world *world, uint64_t start, uint64_t end)
{
    struct vmki_tree_entry entry = entry_of(start, end);

    splice(world, start, 0, &entry, 1);
}

/* n entries [10i+2, 10i+6), in random order. */
static TW_UNUSED void fill(struct world *world, unsigned n)
{
    unsigned *order = malloc((n + 1) * sizeof(*order)), i;

    for (i = 0; i < n; i++) {
        unsigned other = (unsigned)random_below(world, i + 1);

        order[i] = order[other];
        order[other] = i;
    }
    for (i = 0; i < n; i++)
        insert(world, order[i] * 10u + 2, order[i] * 10u + 6);
    free(order);
}

/* Entries [20i+8, 20i+12 to 14). */
static TW_UNUSED void build_next(void *context, struct vmki_tree_entry *entry)
{
    struct world *world = context;
    size_t i = world->nr++;

    *entry = entry_of(i * 20 + 8, i * 20 + 12 + i % 3);
    world->nr--;
    model_splice(world, i, i, entry, 1);
}

/* ---- Gaps, by looking at each ---- */

struct gap_query {
    uint64_t low, high, len;
};

/* The highest and the lowest place by looking at each gap. */
static TW_UNUSED bool model_gap(const struct world *world, const struct gap_query *query, uint64_t *highest,
                                uint64_t *lowest)
{
    bool found = false;
    size_t i;

    for (i = 0; i <= world->nr && query->len; i++) {
        uint64_t from = i ? world->model[i - 1].end : 0, to = i < world->nr ? world->model[i].start : UINT64_MAX;

        from = from < query->low ? query->low : from;
        to = to > query->high ? query->high : to;
        if (to <= from || to - from < query->len)
            continue;
        *highest = to - query->len;
        if (!found)
            *lowest = from;
        found = true;
    }
    return found;
}

/* What is said of the entry above a place. */
static TW_UNUSED void check_above(const struct world *world, const struct gap_query *query, const struct vmki_gap *gap)
{
    size_t index = model_seek(world, gap->start);

    assert_int_equal(gap->above, index < world->nr ? world->model[index].start : UINT64_MAX);
    assert_int_equal(gap->flags, index < world->nr ? world->model[index].flags : 0);
    assert_true(gap->above >= gap->start + query->len);
}

#endif
