/* SPDX-License-Identifier: MIT */
/*
 * test_tree_visits.c - which nodes a lookup or a search for a gap looks into, and which an edit stores to: no others than the
 * answer, or the change, needs.
 *
 * Each node is a page of its own that is protected; a signal says that it was touched.
 *
 * VMKIT_TREE_STEPS sets the number of random steps.
 */
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/tree_world.h"

enum { MAX_PAGES = 1024 };

static struct {
    char *memory;
    size_t page;
    bool is_used[MAX_PAGES], is_allowed[MAX_PAGES];
    size_t next;
    volatile size_t nr_seen;
    volatile unsigned short seen[MAX_PAGES]; /* pages, as they were touched */
    _Alignas(64) char before[MAX_PAGES][VMKI_NODE_SIZE];
} arena;

static size_t page_of(const void *address)
{
    return (size_t)((const char *)address - arena.memory) / arena.page;
}

static void *page_at(size_t page)
{
    return arena.memory + page * arena.page;
}

static void *arena_alloc(void *context, size_t size)
{
    struct memory *memory = context;

    assert_int_equal(size, VMKI_NODE_SIZE);
    if (memory->fail_after == 0)
        return NULL;
    while (arena.is_used[arena.next])
        arena.next = (arena.next + 1) % MAX_PAGES;
    arena.is_used[arena.next] = true;
    memory->nr_live++;
    memory->nr_allocs++;
    memset(page_at(arena.next), 0xa5, size);
    *memory_mark(page_at(arena.next)) = 0;
    return page_at(arena.next);
}

static void arena_free(void *context, void *node, size_t size)
{
    struct memory *memory = context;

    (void)size;
    arena.is_used[page_of(node)] = false;
    memory->nr_live--;
}

/* ---- Who touches what ---- */

static void on_touch(int signal_number, siginfo_t *info, void *context)
{
    size_t page = page_of(info->si_addr);

    (void)context;
    if ((char *)info->si_addr < arena.memory || page >= MAX_PAGES || arena.nr_seen == MAX_PAGES) {
        signal(signal_number, SIG_DFL);
        return;
    }
    arena.seen[arena.nr_seen++] = (unsigned short)page;
    mprotect(page_at(page), arena.page, PROT_READ | PROT_WRITE);
}

/* From now on, until the end, nodes are noted that are looked into, or, with PROT_READ, that are stored to. */
static void watch_begin(int protection)
{
    arena.nr_seen = 0;
    assert_int_equal(mprotect(arena.memory, MAX_PAGES * arena.page, protection), 0);
}

static void watch_end(void)
{
    assert_int_equal(mprotect(arena.memory, MAX_PAGES * arena.page, PROT_READ | PROT_WRITE), 0);
}

static void allow_none(void)
{
    memset(arena.is_allowed, 0, sizeof(arena.is_allowed));
}

/* The way down to the last entry that starts at or below the address, or to the first one. */
static void allow_path(const struct world *world, uint64_t address)
{
    const struct vmki_tree_node *node = world->tree.root;

    for (; node != NULL && node->level > 0;) {
        const struct vmki_tree_inner *inner = vmki_inner_const(node);
        unsigned slot = 0;

        arena.is_allowed[page_of(node)] = true;
        while (slot + 1 < node->count && inner->pivot[slot + 1] <= address)
            slot++;
        node = inner->child[slot];
    }
    if (node != NULL)
        arena.is_allowed[page_of(node)] = true;
}

/* Nothing else was touched. */
static void check_seen(const char *what, uint64_t a, uint64_t b, uint64_t c)
{
    for (size_t i = 0; i < arena.nr_seen; i++)
        if (!arena.is_allowed[arena.seen[i]])
            fail_msg("%s(%#lx, %#lx, %#lx) needs no look at node %u, which came as number %zu of %zu", what,
                     (unsigned long)a, (unsigned long)b, (unsigned long)c, arena.seen[i], i + 1, arena.nr_seen);
}

static void world_begin(struct world *world, uint64_t random)
{
    struct sigaction action = {.sa_sigaction = on_touch, .sa_flags = SA_SIGINFO | SA_NODEFER};

    arena.page = (size_t)sysconf(_SC_PAGESIZE);
    arena.memory = mmap(NULL, MAX_PAGES * arena.page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(arena.memory != MAP_FAILED);
    memset(arena.is_used, 0, sizeof(arena.is_used));
    assert_int_equal(sigaction(SIGSEGV, &action, NULL), 0);
    assert_int_equal(sigaction(SIGBUS, &action, NULL), 0);
    world_init(world);
    world->random += random;
    world->memory.table.alloc = arena_alloc;
    world->memory.table.free = world->memory.table.retire = arena_free;
}

static void world_end(struct world *world)
{
    world_destroy(world);
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    munmap(arena.memory, MAX_PAGES * arena.page);
}

/* Entries of 1 to 3 units, and holes that are mostly none or short; some are long, and those are far from each other. */
static void next_spaced(void *context, struct vmki_tree_entry *entry)
{
    struct world *world = context;
    uint64_t at = world->nr > 0 ? world->model[world->nr - 1].end : 4096 * random_below(world, 9);
    uint64_t most = random_below(world, 60) == 0 ? 40 : random_below(world, 8) == 0 ? 7 : 2;

    at += 4096 * random_below(world, most);
    *entry = entry_of(at, at + 4096 * (1 + random_below(world, 3)));
    model_splice(world, world->nr, world->nr, entry, 1);
}

static void grow(struct world *world, size_t nr)
{
    assert_true(vmki_tree_build(&world->tree, nr, next_spaced, world));
    for (size_t i = 0; i < nr / 4; i++) { /* leaves differ in how full they are */
        struct vmki_tree_entry gone = world->model[random_below(world, world->nr)];

        splice(world, gone.start, gone.end, NULL, 0);
    }
    check_valid(world);
}

/* ---- Lookups ---- */

static uint64_t some_address(struct world *world)
{
    const struct vmki_tree_entry *entry = &world->model[random_below(world, world->nr)];

    switch (random_below(world, 6)) {
    case 0:
        return entry->start;
    case 1:
        return entry->end;
    case 2:
        return entry->end - 1;
    case 3:
        return entry->start > 0 ? entry->start - 1 : 0;
    case 4:
        return random_below(world, 2) ? VMKI_TREE_MAX_END - 1 : 0;
    default:
        return random_below(world, world->model[world->nr - 1].end + 5000);
    }
}

static void lookup_step(struct world *world)
{
    uint64_t address = some_address(world), flags = 0;
    struct vmki_tree_entry entry;
    struct vmki_tree_hole hole;
    struct vmki_cursor cursor;
    size_t index = model_seek(world, address);

    allow_none();
    allow_path(world, address);
    watch_begin(PROT_NONE);
    vmki_tree_find(&world->tree, address, &entry);
    watch_end();
    check_seen("find", address, 0, 0);
    assert_int_equal(arena.nr_seen, world->tree.height);
    watch_begin(PROT_NONE);
    vmki_tree_find_flags(&world->tree, address, &flags);
    watch_end();
    check_seen("find_flags", address, 0, 0);
    watch_begin(PROT_NONE);
    vmki_cursor_seek_gap(&cursor, &world->tree, address, address + 1, &hole);
    watch_end();
    check_seen("cursor_seek_gap", address, 0, 0);
    if (index < world->nr)
        allow_path(world, world->model[index].start);
    watch_begin(PROT_NONE);
    vmki_tree_next(&world->tree, address, &entry);
    watch_end();
    check_seen("next", address, 0, 0);
    watch_begin(PROT_NONE);
    vmki_cursor_seek(&cursor, &world->tree, address);
    watch_end();
    check_seen("cursor_seek", address, 0, 0);
    allow_none();
    allow_path(world, address > 0 ? address - 1 : 0);
    if (index > 0)
        allow_path(world, world->model[index - 1].start);
    watch_begin(PROT_NONE);
    vmki_tree_prev(&world->tree, address, &entry);
    watch_end();
    check_seen("prev", address, 0, 0);
}

/* From entry to entry: along the ways of the two. */
static void walk_step(struct world *world)
{
    size_t index = random_below(world, world->nr);
    struct vmki_tree_entry entry;
    struct vmki_cursor cursor, moved;

    vmki_cursor_seek(&cursor, &world->tree, world->model[index].start);
    allow_none();
    allow_path(world, world->model[index].start);
    if (index + 1 < world->nr)
        allow_path(world, world->model[index + 1].start);
    moved = cursor;
    watch_begin(PROT_NONE);
    vmki_cursor_advance(&moved);
    vmki_cursor_after(&cursor, &entry);
    vmki_cursor_leaf_limit(&cursor);
    watch_end();
    check_seen("cursor_advance", index, 0, 0);
    allow_none();
    allow_path(world, world->model[index].start);
    if (index > 0)
        allow_path(world, world->model[index - 1].start);
    moved = cursor;
    watch_begin(PROT_NONE);
    vmki_cursor_retreat(&moved);
    vmki_cursor_before(&cursor, &entry);
    watch_end();
    check_seen("cursor_retreat", index, 0, 0);
}

static bool go_on(void *context, vmk_addr start, vmk_addr end, uint64_t flags)
{
    (void)context, (void)start, (void)end, (void)flags;
    return true;
}

/* Many entries: the leaves that they are in, and those at both ends. */
static void list_step(struct world *world)
{
    static struct vmk_area areas[64];
    size_t first = random_below(world, world->nr), nr = 1 + random_below(world, 64), last;
    uint64_t address = world->model[first].start;

    last = first + nr <= world->nr ? first + nr - 1 : world->nr - 1;
    allow_none();
    for (size_t i = first; i <= last; i++)
        allow_path(world, world->model[i].start);
    watch_begin(PROT_NONE);
    vmki_tree_areas(&world->tree, address, 7, areas, nr);
    watch_end();
    check_seen("areas", address, nr, 0);
    if (last + 1 < world->nr)
        allow_path(world, world->model[last + 1].start);
    watch_begin(PROT_NONE);
    vmki_tree_each(&world->tree, address, world->model[last].end, 7, go_on, NULL);
    watch_end();
    check_seen("each", address, nr, 0);
}

/* ---- Gaps ---- */

/* Of the entry below a hole, and the one above. */
static void allow_hole(const struct world *world, size_t index)
{
    allow_path(world, index > 0 ? world->model[index - 1].start : 0);
    if (index < world->nr)
        allow_path(world, world->model[index].start);
}

static bool is_long(const struct world *world, size_t index, uint64_t len)
{
    uint64_t from = index > 0 ? world->model[index - 1].end : 0;

    return world->model[index].start - from >= len;
}

/* Whether a search that goes down to the leaf of the entry is at its end there: it has a long hole, and begins at the lower limit. */
static bool ends_in_leaf_of(struct world *world, size_t index, uint64_t low, uint64_t len)
{
    struct vmki_cursor cursor;

    vmki_cursor_seek(&cursor, &world->tree, world->model[index].start);
    return vmki_leaf_start(vmki_leaf(cursor.node[0]), 0) <= low &&
           vmki_leaf_gap(vmki_leaf(cursor.node[0]), vmki_cursor_leaf_limit(&cursor)) >= len;
}

/* To the upper limit; and to the highest hole below that is long enough, even where the lower limit forbids some of it. */
static void allow_highest(struct world *world, uint64_t low, uint64_t high, uint64_t len)
{
    bool is_bounded = high < world->model[world->nr - 1].end;
    size_t index = world->nr;

    allow_none();
    arena.is_allowed[page_of(world->tree.root)] = true;
    while (index > 0 && world->model[index - 1].start >= high)
        index--;
    if (is_bounded)
        allow_path(world, high - 1);
    if (index < world->nr && index > 0 && high >= world->model[index - 1].end + len)
        allow_hole(world, index); /* the limit is in it */
    if (is_bounded && index > 0 && ends_in_leaf_of(world, index - 1, low, len))
        return;
    if (index == 0 || index-- == world->nr)
        index = world->nr - 1;
    for (; index > 0 && !is_long(world, index, len); index--)
        ;
    if (is_long(world, index, len))
        allow_hole(world, index);
}

/* To the lower limit; to the next hole that is long enough, and to one that is above the upper limit, where the search ends. */
static void allow_lowest(const struct world *world, uint64_t low, uint64_t high, uint64_t len)
{
    size_t index = model_seek(world, low);
    bool is_beyond = false;

    allow_none();
    arena.is_allowed[page_of(world->tree.root)] = true;
    allow_path(world, low);
    if (low <= world->model[0].start)
        allow_path(world, 0);
    for (; index < world->nr && !is_beyond; index++) {
        uint64_t from = index > 0 ? world->model[index - 1].end : 0, to = world->model[index].start;

        if (index == 0 || to - from < len)
            continue;
        allow_hole(world, index);
        from = from > low ? from : low;
        to = to < high ? to : high;
        is_beyond = from >= high || (to > from && to - from >= len);
    }
}

/* The first start of the leaf in which an entry is, and the lengths of the holes there and behind the entry. */
static uint64_t leaf_start(struct world *world, size_t index, uint64_t *len)
{
    struct vmki_cursor cursor;
    unsigned count;

    vmki_cursor_seek(&cursor, &world->tree, world->model[index].start);
    count = vmki_node_count(cursor.node[0]);
    index = index - cursor.slot[0] + random_below(world, count);
    if (index + 1 < world->nr && world->model[index].end < world->model[index + 1].start)
        *len = world->model[index + 1].start - world->model[index].end;
    return vmki_leaf_start(vmki_leaf(cursor.node[0]), 0);
}

static void gap_step(struct world *world)
{
    uint64_t low = random_below(world, 2) ? some_address(world) : 0, high = some_address(world);
    uint64_t len = 4096 * (1 + random_below(world, random_below(world, 2) ? 4 : 45));
    size_t index = random_below(world, world->nr);
    struct vmki_gap gap;

    if (random_below(world, 3) == 0) {
        low = leaf_start(world, index, &len);
        high = random_below(world, 2) ? high : world->model[index].end;
    }
    if (random_below(world, 3) == 0 && index + 1 < world->nr &&
        world->model[index + 1].start > world->model[index].end) { /* the limit is where a hole begins */
        high = world->model[index].end;
        len = world->model[index + 1].start - high;
    }
    if (high == 0 || high > UINT64_MAX / 2)
        high = world->model[world->nr - 1].end;
    allow_highest(world, low, high, len);
    watch_begin(PROT_NONE);
    vmki_tree_gap_highest(&world->tree, low, high, len, &gap);
    watch_end();
    check_seen("gap_highest", low, high, len);
    allow_highest(world, 0, high, len);
    if (high >= world->model[world->nr - 1].end)
        allow_path(world, high); /* the leaf that the tree remembers */
    watch_begin(PROT_NONE);
    vmki_tree_highest(&world->tree, high, len);
    watch_end();
    check_seen("highest", high, len, 0);
    allow_lowest(world, low, high, len);
    watch_begin(PROT_NONE);
    vmki_tree_gap_lowest(&world->tree, low, high, len, &gap);
    watch_end();
    check_seen("gap_lowest", low, high, len);
}

static void test_looks(void **state)
{
    static const size_t sizes[] = {3, 15, 40, 300, 900, 7000};
    size_t steps = env_number("VMKIT_TREE_STEPS", 100000) / 500;

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct world world;

        world_begin(&world, i);
        grow(&world, sizes[i]);
        for (size_t step = 0; step < steps; step++) {
            gap_step(&world);
            if (step % 3 == 0)
                lookup_step(&world);
            if (step % 3 == 1)
                walk_step(&world);
            if (step % 3 == 2)
                list_step(&world);
        }
        world_end(&world);
    }
}

/* ---- Edits ---- */

static void remember_nodes(void)
{
    for (size_t page = 0; page < MAX_PAGES; page++)
        if (arena.is_used[page])
            memcpy(arena.before[page], page_at(page), VMKI_NODE_SIZE);
}

static const struct vmki_tree_leaf *leaf_before(size_t page)
{
    return (const struct vmki_tree_leaf *)(const void *)arena.before[page];
}

/* Whether a leaf begins elsewhere now; then the one before it hears of that. */
static bool any_first_start_changed(void)
{
    for (size_t i = 0; i < arena.nr_seen; i++) {
        const struct vmki_tree_leaf *leaf = page_at(arena.seen[i]), *before = leaf_before(arena.seen[i]);

        if (arena.is_used[arena.seen[i]] && leaf->head.level == 0 &&
            vmki_leaf_start(leaf, 0) != vmki_leaf_start(before, 0))
            return true;
    }
    return false;
}

/* What was stored to has changed: each inner node; and each leaf, but for the one before one that begins elsewhere now. */
static void check_stores(bool is_rebuilt)
{
    bool may_refresh = is_rebuilt || any_first_start_changed();

    for (size_t i = 0; i < arena.nr_seen; i++) {
        const struct vmki_tree_node *node = page_at(arena.seen[i]);

        if (!arena.is_used[arena.seen[i]] || (node->level == 0 && may_refresh))
            continue;
        if (memcmp(arena.before[arena.seen[i]], node, VMKI_NODE_SIZE) == 0)
            fail_msg("node %u, of level %u, was stored to for nothing", arena.seen[i], node->level);
    }
}

/* The next leaf, and the one before, which an edit asks that leaves few entries. */
static void allow_siblings(struct world *world, size_t index)
{
    struct vmki_cursor cursor;
    const struct vmki_tree_inner *parent;
    unsigned slot;

    vmki_cursor_seek(&cursor, &world->tree, world->model[index].start);
    if (world->tree.height < 2)
        return;
    parent = vmki_inner(cursor.node[1]);
    slot = cursor.slot[1];
    if (slot > 0)
        arena.is_allowed[page_of(parent->child[slot - 1])] = true;
    if (slot + 1u < parent->head.count)
        arena.is_allowed[page_of(parent->child[slot + 1])] = true;
}

/* For an edit of one leaf: the way to it, and the leaf before where it begins elsewhere afterwards. */
static void allow_edit(struct world *world, const struct vmki_cursor *cursor, size_t index, unsigned removed,
                       unsigned nr_new)
{
    unsigned count = vmki_node_count(cursor->node[0]);

    allow_none();
    for (unsigned level = 0; level < world->tree.height; level++)
        arena.is_allowed[page_of(cursor->node[level])] = true;
    if (cursor->slot[0] == 0 && index > 0)
        allow_path(world, world->model[index - 1].start);
    if (nr_new == 0 && cursor->slot[0] + removed == count && index + removed < world->nr)
        allow_path(world, world->model[index + removed].start); /* where the cursor stands then */
    if (removed > nr_new && count - removed + nr_new <= VMKI_LEAF_LOW)
        allow_siblings(world, index);
}

/* An entry goes, comes, or gives way to one or two; nothing is looked at, or stored to, but what changes. */
static void splice_step(struct world *world, int protection)
{
    size_t index = random_below(world, world->nr), allocs, retired;
    struct vmki_tree_entry was = world->model[index], entries[2] = {was, was};
    uint64_t length = was.end - was.start;
    unsigned removed = 1, nr_new = length < 4 ? 0 : (unsigned)random_below(world, 3);
    struct vmki_cursor cursor;
    bool is_rebuilt;

    if (nr_new == 1) {
        entries[0].end -= random_below(world, 2) * (length / 4);
        entries[0].start += random_below(world, 2) * (length / 4);
        entries[0].flags += random_below(world, 2);
    } else if (nr_new == 2) {
        entries[0].end = entries[1].start = was.start + length / 2;
        entries[0].end -= random_below(world, 2) * (length / 4);
    }
    vmki_cursor_seek(&cursor, &world->tree, was.start);
    assert_true(vmki_tree_reserve(&world->tree, 1));
    allow_edit(world, &cursor, index, removed, nr_new);
    allocs = world->tree.nr_spare;
    retired = world->tree.nr_nodes_bytes;
    remember_nodes();
    watch_begin(protection);
    vmki_cursor_splice(&cursor, was.start + 1, entries, nr_new);
    watch_end();
    model_splice(world, index, index + removed, entries, nr_new);
    is_rebuilt = world->tree.nr_spare != allocs || world->tree.nr_nodes_bytes != retired;
    check_valid(world);
    if (protection == PROT_READ)
        check_stores(is_rebuilt);
    else if (!is_rebuilt)
        check_seen("splice", was.start, removed, nr_new);
}

/* One comes where there is a hole, if it fits into the leaf there. */
static void insert_step(struct world *world, int protection)
{
    size_t index = random_below(world, world->nr);
    uint64_t start = world->model[index].end + 4096 * random_below(world, 3);
    struct vmki_tree_entry entry = entry_of(start, start + 4096);
    struct vmki_tree_hole hole;
    struct vmki_cursor cursor;

    if (!vmki_cursor_seek_gap(&cursor, &world->tree, entry.start, entry.end, &hole))
        return;
    index = model_seek(world, start);
    allow_none();
    for (unsigned level = 0; level < world->tree.height; level++)
        arena.is_allowed[page_of(cursor.node[level])] = true;
    remember_nodes();
    watch_begin(protection);
    vmki_cursor_insert(&cursor, &entry, &hole);
    watch_end();
    model_splice(world, index, index, &entry, 1);
    check_valid(world);
    if (protection == PROT_READ)
        check_stores(false);
    else
        check_seen("insert", entry.start, entry.end, 0);
}

static void erase_step(struct world *world, int protection)
{
    size_t index = random_below(world, world->nr);
    struct vmki_cursor cursor;
    uint64_t start = world->model[index].start;
    bool fits;

    vmki_cursor_seek(&cursor, &world->tree, start);
    allow_edit(world, &cursor, index, 1, 0);
    watch_begin(protection);
    fits = vmki_cursor_erase_fits(&cursor);
    watch_end();
    if (protection == PROT_READ)
        assert_int_equal(arena.nr_seen, 0);
    else
        check_seen("erase_fits", start, 0, 0);
    if (!fits)
        return;
    remember_nodes();
    watch_begin(protection);
    vmki_cursor_erase(&cursor);
    watch_end();
    model_splice(world, index, index + 1, NULL, 0);
    check_valid(world);
    if (protection == PROT_READ)
        check_stores(false);
    else
        check_seen("erase", start, 0, 0);
}

static void test_edits(void **state)
{
    static const size_t sizes[] = {12, 40, 300, 900, 5000};
    size_t steps = env_number("VMKIT_TREE_STEPS", 100000) / 300;

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct world world;

        world_begin(&world, i);
        grow(&world, sizes[i]);
        for (size_t step = 0; step < steps; step++) {
            int protection = step % 2 ? PROT_READ : PROT_NONE;

            splice_step(&world, protection);
            insert_step(&world, protection);
            insert_step(&world, protection);
            if (world.nr > sizes[i] / 2)
                erase_step(&world, protection);
        }
        world_end(&world);
    }
}

/* ---- Parts ---- */

/* The way to the first entry of a part, and to its last. */
static void allow_part(const struct world *world, unsigned number)
{
    size_t first = model_seek(world, vmki_tree_part_bound(&world->tree, number)), last = world->nr;

    if (number + 1 < vmki_tree_nr_parts(&world->tree))
        last = model_seek(world, vmki_tree_part_bound(&world->tree, number + 1));
    allow_path(world, world->model[first].start);
    allow_path(world, world->model[last - 1].start);
}

/* Parts that have changed are settled, and those before them, whose last hole ends there: along their edges. */
static void settle_step(struct world *world)
{
    unsigned nr_parts = vmki_tree_nr_parts(&world->tree), number = (unsigned)random_below(world, nr_parts);
    uint32_t changed = UINT32_C(1) << number | UINT32_C(1) << random_below(world, nr_parts);
    uint64_t low = 0;

    allow_none();
    allow_path(world, world->model[world->nr - 1].start);
    for (unsigned i = 0; i < nr_parts; i++)
        if (changed >> i & 1) {
            allow_part(world, i);
            if (i > 0)
                allow_part(world, i - 1);
        }
    watch_begin(PROT_NONE);
    vmki_tree_parts_settle(&world->tree, changed);
    watch_end();
    check_seen("parts_settle", changed, 0, 0);
    check_valid(world);
    allow_none();
    if (number > 0)
        allow_part(world, number - 1);
    arena.is_allowed[page_of(world->tree.root)] = true;
    watch_begin(PROT_NONE);
    low = vmki_tree_part_low(&world->tree, number);
    vmki_tree_part_bound(&world->tree, number);
    watch_end();
    assert_true(low >= 1);
    check_seen("part_low", number, 0, 0);
}

static void test_parts(void **state)
{
    static const size_t sizes[] = {40, 300, 900, 5000};
    size_t steps = env_number("VMKIT_TREE_STEPS", 100000) / 1000;

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct world world;

        world_begin(&world, i);
        grow(&world, sizes[i]);
        assert_true(vmki_tree_nr_parts(&world.tree) > 1);
        for (size_t step = 0; step < steps; step++)
            settle_step(&world);
        world_end(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_looks),
        cmocka_unit_test(test_edits),
        cmocka_unit_test(test_parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
