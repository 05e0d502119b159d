/* SPDX-License-Identifier: MIT */
/*
 * test_quick.c - the short way of mmap, munmap and mprotect against the long one: two worlds get the same random calls, one
 * of them with a listener, so that it always takes the long way. After each call all that they say must be the same:
 * results, areas, statistics, the commit charge, counters of events.
 *
 * VMKIT_QUICK_STEPS sets the number of calls, VMKIT_QUICK_SEED where they begin.
 */
#include "calls.h"
#include "memory_log.h"
#include "mm/quick.h"

enum { NR_PAGES = 160 };

static uint64_t random_state;

static uint64_t random_below(uint64_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 11) % limit;
}

static uint64_t env_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

static void nobody_listens(void *context, struct vmk_mm *mm, const struct vmk_change *change)
{
    (void)context;
    (void)mm;
    (void)change;
}

/* ---- Two worlds ---- */

static void worlds_open(struct vt *both)
{
    for (int i = 0; i < 2; i++) {
        vt_init(&both[i]);
        both[i].system_options.sysctl.max_map_count = 48;
        both[i].system_options.sysctl.overcommit_memory = random_below(3);
        both[i].system_options.sysctl.total_ram_pages = 100;
        both[i].mm_options.rlimits.data.soft = P(70);
    }
    both[1].system_options.sysctl.overcommit_memory = both[0].system_options.sysctl.overcommit_memory;
    vt_open(&both[0]);
    vt_open(&both[1]);
    vmk_mm_set_notice(both[1].mm, nobody_listens, NULL);
}

static void worlds_close(struct vt *both)
{
    vt_teardown(&both[0]);
    vt_teardown(&both[1]);
}

/* Both go on in a child. */
static void worlds_fork(struct vt *both)
{
    for (int i = 0; i < 2; i++) {
        struct vmk_mm *child;
        int error = vmk_mm_fork(both[i].mm, &child);

        if (error != 0)
            continue;
        vmk_mm_put(both[i].mm);
        both[i].mm = child;
    }
    vmk_mm_set_notice(both[1].mm, nobody_listens, NULL);
}

static void worlds_compare(struct vt *both)
{
    static struct vt_text text[2];
    struct vmk_counters counters[2];

    for (int i = 0; i < 2; i++) {
        text[i].len = 0;
        vmk_mm_dump(both[i].mm, vt_sink, &text[i]);
        vmk_mm_get_counters(both[i].mm, &counters[i]);
    }
    if (strcmp(text[0].text, text[1].text) != 0)
        fail_msg("the short way came to\n%sthe long one to\n%s", text[0].text, text[1].text);
    assert_memory_equal(&counters[0], &counters[1], sizeof(counters[0]));
    assert_int_equal(vmk_system_committed(both[0].system), vmk_system_committed(both[1].system));
    assert_int_equal(both[0].result.value, both[1].result.value);
    assert_int_equal(both[0].result.done, both[1].result.done);
}

/* ---- One call ---- */

static const uint32_t prots[] = {VT_R, VT_RW, VT_RW, VT_RW, VT_RX, VMK_PROT_NONE, VMK_PROT_EXEC, VT_RW | VMK_PROT_EXEC};

/* A range; or the whole of the area there, or a part of it. */
static void choose_range(struct vt *t, vmk_addr *start, uint64_t *len)
{
    struct vmk_vma_info info = {.size = sizeof(info)};
    uint64_t shape = random_below(3);

    *start = BASE + P(random_below(NR_PAGES));
    *len = P(1 + random_below(6)) - (random_below(8) == 0 ? 100 : 0);
    if (shape == 0 || vmk_mm_lookup(t->mm, *start, &info) != 0)
        return;
    *len = info.end - info.start;
    *start = info.start;
    if (shape == 2) {
        *start += P(random_below(*len / P(1)));
        *len = P(1 + random_below((info.end - *start) / P(1)));
    }
}

static int64_t call(struct vt *t, unsigned kind, vmk_addr start, uint64_t len, uint32_t prot)
{
    switch (kind) {
    case 0:
    case 1:
    case 2:
        return vt_mmap_file(t, start, len, prot, VT_FIXED, NULL, 0);
    case 3:
        return vt_mmap_file(t, 0, len, prot, VT_ANON, NULL, 0);
    case 4:
    case 5:
    case 6:
        return vt_munmap(t, start, len);
    case 7:
    case 8:
        return vt_madvise(t, start, len, VMK_MADV_POPULATE_WRITE);
    case 9:
    case 10: /* what was written to keeps the page offset of where it was */
        return vt_mremap(t, start, len, len, VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED,
                         BASE + P(NR_PAGES) - (start - BASE));
    case 11:
        return vt_madvise(t, start, len, prot == VT_R ? VMK_MADV_DONTDUMP : VMK_MADV_DODUMP);
    default:
        return vt_mprotect(t, start, len, prot);
    }
}

static void both_ways_agree(void **state)
{
    static struct vt both[2];
    uint64_t steps = env_number("VMKIT_QUICK_STEPS", 15000);

    (void)state;
    random_state = env_number("VMKIT_QUICK_SEED", 88172645463325252u);
    worlds_open(both);
    for (uint64_t step = 0; step < steps; step++) {
        unsigned kind = (unsigned)random_below(20);
        uint32_t prot = prots[random_below(8)];
        int64_t value[2];
        vmk_addr start;
        uint64_t len;

        if (step % 2000 == 1999) {
            worlds_close(both);
            worlds_open(both);
        }
        choose_range(&both[0], &start, &len);
        for (int i = 0; i < 2; i++)
            value[i] = call(&both[i], kind, start, len, prot);
        assert_int_equal(value[0], value[1]);
        if (random_below(200) == 0)
            worlds_fork(both);
        worlds_compare(both);
    }
    worlds_close(both);
}

/* ---- Every strip of three pages ---- */

enum { STRIP = 3 };
enum page_kind { HOLE, READABLE, WRITABLE, TOUCHED, MOVED, TOUCHED_LATER, PAGE_KINDS };

static vmk_addr strip_page(unsigned number)
{
    return BASE + P(1 + number);
}

static vmk_addr origin_of(enum page_kind kind, unsigned number)
{
    return kind == MOVED ? BASE + P(40 + number) : strip_page(number);
}

/* What was touched is so before the fork. What was moved keeps the page offset of where it was, together if in one piece. */
static void strip_fill(struct vt *t, const enum page_kind *kinds)
{
    for (unsigned i = 0; i < STRIP; i++)
        if (kinds[i] != HOLE)
            vt_anon(t, origin_of(kinds[i], i), P(1), kinds[i] == READABLE ? VT_R : VT_RW);
    for (unsigned i = 0; i < STRIP; i++)
        if (kinds[i] == TOUCHED || kinds[i] == MOVED)
            vt_touch(t, origin_of(kinds[i], i));
    for (unsigned i = 0; i < STRIP; i++)
        if (kinds[i] == MOVED)
            assert_ret(
                vt_mremap(t, origin_of(MOVED, i), P(1), P(1), VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED, strip_page(i)),
                strip_page(i));
}

static int strip_call(struct vmk_mm *mm, unsigned kind, vmk_addr start, uint64_t len, struct vmk_result *result)
{
    static const uint32_t strip_prots[] = {VT_R, VT_RW, VMK_PROT_NONE};
    const struct vmk_munmap_request unmap = {.address = start, .len = len};
    const struct vmk_mmap_request map = {.address = start, .len = len, .prot = VT_RW, .flags = VT_FIXED};
    struct vmk_mprotect_request protect = {.address = start, .len = len, .pkey = -1};

    if (kind == 0)
        return vmk_munmap(mm, &unmap, result);
    if (kind == 1)
        return vmk_mmap(mm, &map, result);
    protect.prot = strip_prots[kind - 2];
    return vmk_mprotect(mm, &protect, result);
}
enum { STRIP_CALLS = 5 };

/* In children of both spaces, one with a listener. */
static void strip_case(struct vt *both, const enum page_kind *kinds, unsigned kind, vmk_addr start, uint64_t len)
{
    struct vmk_mm *parents[2] = {both[0].mm, both[1].mm};
    int errors[2];

    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(vmk_mm_fork(parents[i], &both[i].mm), 0);
        if (i == 1)
            vmk_mm_set_notice(both[i].mm, nobody_listens, NULL);
        for (unsigned page = 0; page < STRIP; page++)
            if (kinds[page] == TOUCHED_LATER)
                vt_touch(&both[i], strip_page(page));
        errors[i] = strip_call(both[i].mm, kind, start, len, &both[i].result);
    }
    assert_int_equal(errors[0], errors[1]);
    worlds_compare(both);
    vt_validate(&both[0]);
    for (unsigned i = 0; i < 2; i++) {
        vmk_mm_put(both[i].mm);
        both[i].mm = parents[i];
    }
}

static void every_strip(void **state)
{
    static struct vt both[2];
    enum page_kind kinds[STRIP];

    (void)state;
    for (unsigned number = 0; number < PAGE_KINDS * PAGE_KINDS * PAGE_KINDS; number++) {
        for (unsigned i = 0, rest = number; i < STRIP; i++, rest /= PAGE_KINDS)
            kinds[i] = (enum page_kind)(rest % PAGE_KINDS);
        for (unsigned i = 0; i < 2; i++) {
            vt_setup(&both[i]);
            strip_fill(&both[i], kinds);
        }
        for (unsigned from = 0; from < STRIP; from++)
            for (unsigned until = from + 1; until <= STRIP; until++)
                for (unsigned kind = 0; kind < STRIP_CALLS; kind++)
                    strip_case(both, kinds, kind, strip_page(from), P(until - from));
        worlds_close(both);
    }
}

/* ---- The short way is taken ---- */

static void plain_calls_are_short(void **state)
{
    const struct vmk_mmap_request map = {.address = BASE + P(9), .len = P(4), .prot = VT_RW, .flags = VT_FIXED};
    const struct vmk_mprotect_request part = {.address = BASE + P(10), .len = P(1), .prot = VT_R, .pkey = -1};
    const struct vmk_mprotect_request back = {.address = BASE + P(10), .len = P(1), .prot = VT_RW, .pkey = -1};
    const struct vmk_munmap_request unmap = {.address = BASE + P(9), .len = P(4)};
    struct vmk_result result;
    struct vt t;

    (void)state;
    vt_setup(&t);
    for (unsigned i = 0; i < 4; i++)
        vt_anon(&t, BASE + P(7 * i), P(1), VT_RW);
    vmk_mm_lock_write(t.mm);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(vmki_quick_mmap(t.mm, &map, &result));
        assert_int_equal(result.value, BASE + P(9));
        assert_true(vmki_quick_mprotect(t.mm, &part, &result));
        assert_true(vmki_quick_mprotect(t.mm, &back, NULL));
        assert_true(vmki_quick_munmap(t.mm, &unmap, &result));
        assert_int_equal(result.done, P(4));
    }
    vmk_mm_unlock_write(t.mm);
    vt_validate(&t);
    vt_teardown(&t);
}

/* Pages [8, 12) rw and bare, [12, 14) r; [20, 26) rw, with an anon_vma. Nothing is spare. */
static void short_setup(struct vt *t)
{
    vt_setup(t);
    vt_anon(t, BASE + P(8), P(4), VT_RW);
    vt_anon(t, BASE + P(12), P(2), VT_R);
    vt_anon(t, BASE + P(20), P(6), VT_RW);
    vt_touch(t, BASE + P(20));
}

struct short_call {
    unsigned kind;     /* of quick_call */
    uint64_t from, nr; /* in pages */
    uint32_t prot;
    unsigned nr_new; /* areas that there are more */
    const char *memory;
};

enum { SHORT_MMAP, SHORT_PLACED, SHORT_MUNMAP, SHORT_MPROTECT };

static bool quick_call(struct vmk_mm *mm, const struct short_call *call)
{
    const vmk_addr at = BASE + P(call->from);
    struct vmk_mmap_request map = {.address = at, .len = P(call->nr), .prot = call->prot, .flags = VT_FIXED};
    const struct vmk_munmap_request unmap = {.address = at, .len = P(call->nr)};
    const struct vmk_mprotect_request protect = {.address = at, .len = P(call->nr), .prot = call->prot, .pkey = -1};

    if (call->kind == SHORT_PLACED) {
        map.flags = VT_ANON;
        map.address = 0;
    }
    if (call->kind == SHORT_MUNMAP)
        return vmki_quick_munmap(mm, &unmap, NULL);
    return call->kind == SHORT_MPROTECT ? vmki_quick_mprotect(mm, &protect, NULL) : vmki_quick_mmap(mm, &map, NULL);
}

static void set_map_count(struct vt *t, uint64_t count)
{
    struct vmk_sysctl sysctl;

    vmk_system_sysctl(t->system, &sysctl);
    sysctl.max_map_count = count;
    assert_int_equal(vmk_system_set_sysctl(t->system, &sysctl), 0);
}

/* What each takes where nothing is spare; and it is taken up to the last area that is allowed. */
static void what_the_short_way_takes(void **state)
{
    static const struct short_call calls[] = {
        {SHORT_MMAP, 2, 3, VT_RW, 1, "takes 1 area; keeps 1 area\n"},
        {SHORT_MMAP, 2, 3, VMK_PROT_NONE, 1, "takes 1 area; keeps 1 area\n"},
        {SHORT_PLACED, 0, 3, VT_RW, 1, "takes 1 area; keeps 1 area\n"},
        {SHORT_MUNMAP, 8, 4, 0, 0, "takes nothing; keeps -1 areas\n"},
        {SHORT_MUNMAP, 20, 6, 0, 0, "takes nothing; keeps -1 anon_vmas, -1 areas\n"},
        {SHORT_MPROTECT, 9, 2, VT_R, 2, "takes 3 areas; keeps 2 areas\n"},
        {SHORT_MPROTECT, 8, 2, VT_R, 1, "takes 1 area; keeps 1 area\n"},
        {SHORT_MPROTECT, 8, 4, VMK_PROT_NONE, 0, "takes nothing; keeps nothing\n"},
        {SHORT_MPROTECT, 8, 4, VT_R, 0, "takes nothing; keeps -1 areas\n"},
        {SHORT_MPROTECT, 10, 2, VT_R, 0, "takes nothing; keeps nothing\n"},
        {SHORT_MPROTECT, 12, 1, VT_RW, 0, "takes nothing; keeps nothing\n"},
        {SHORT_MPROTECT, 13, 1, VT_RW, 1, "takes 1 area; keeps 1 area\n"},
        {SHORT_MPROTECT, 20, 6, VT_R, 0, "takes nothing; keeps nothing\n"},
        {SHORT_MPROTECT, 20, 2, VT_R, 1, "takes 1 area; keeps 1 area\n"},
        {SHORT_MPROTECT, 22, 4, VT_R, 1, "takes 1 area; keeps 1 area\n"},
        {SHORT_MPROTECT, 22, 2, VT_R, 2, "takes 2 areas; keeps 2 areas\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        for (unsigned too_few = 0; too_few < 2; too_few++) {
            static struct vt_text memory;
            uint64_t allowed;
            bool done;
            struct vt t;

            if (too_few && calls[i].nr_new == 0)
                continue;
            short_setup(&t);
            /* mmap counts what there is before it, a split what there is afterwards */
            allowed = t.mm->tree.nr_entries + (calls[i].kind == SHORT_MPROTECT ? calls[i].nr_new : 0);
            set_map_count(&t, allowed - too_few);
            memory.len = 0;
            memory_log_begin(&t);
            vmk_mm_lock_write(t.mm);
            done = quick_call(t.mm, &calls[i]);
            vmk_mm_unlock_write(t.mm);
            memory_log_end(&t, &memory);
            assert_int_equal(done, !too_few);
            if (done)
                assert_string_equal(memory.text, calls[i].memory);
            vt_validate(&t);
            vt_teardown(&t);
        }
}

/* Where memory may lie: from the lowest address to the end of all. */
static void the_short_way_at_the_ends(void **state)
{
    struct vmk_mmap_request map = {.len = P(2), .prot = VT_RW, .flags = VT_FIXED};
    struct vt t;

    (void)state;
    vt_setup(&t);
    vmk_mm_lock_write(t.mm);
    map.address = t.mm->min_addr - P(1);
    assert_false(vmki_quick_mmap(t.mm, &map, NULL));
    map.address = t.mm->min_addr;
    assert_true(vmki_quick_mmap(t.mm, &map, NULL));
    map.address = t.mm->task_size_max - P(1);
    assert_false(vmki_quick_mmap(t.mm, &map, NULL));
    map.address = t.mm->task_size_max - P(2);
    assert_true(vmki_quick_mmap(t.mm, &map, NULL));
    vmk_mm_unlock_write(t.mm);
    vt_validate(&t);
    vt_teardown(&t);
}

/* What is left to the long way: the short one says no, and has done nothing. */
static void left_to_the_long_way(void **state)
{
    static const struct vmk_mmap_request maps[] = {
        {.address = BASE, .len = P(1), .prot = VT_RW, .flags = VMK_MAP_PRIVATE | VMK_MAP_FIXED},
        {.address = BASE, .len = P(1), .prot = VT_RW, .flags = VMK_MAP_ANONYMOUS | VMK_MAP_FIXED},
        {.address = BASE, .len = P(1), .prot = VT_RW, .flags = VT_FIXED | VMK_MAP_LOCKED},
        {.address = BASE, .len = P(1), .prot = VT_RW, .flags = VT_FIXED | VMK_MAP_NORESERVE},
        {.address = BASE, .len = P(1), .prot = VT_RW | 8, .flags = VT_FIXED},
        {.address = BASE, .len = P(1), .prot = VT_RW, .flags = VT_FIXED, .offset = P(1)},
        {.address = BASE + 1, .len = P(1), .prot = VT_RW, .flags = VT_FIXED},
        {.address = BASE, .len = 0, .prot = VT_RW, .flags = VT_FIXED},
        {.address = BASE, .len = P(1), .prot = VT_RW, .flags = VT_ANON},
        {.address = BASE + P(8), .len = P(1), .prot = VT_RW, .flags = VT_FIXED}, /* over something */
        {.address = BASE + P(7), .len = P(1), .prot = VT_R, .flags = VT_FIXED},  /* touches something */
        {.address = BASE + P(14), .len = P(1), .prot = VT_R, .flags = VT_FIXED},
    };
    static const struct vmk_munmap_request unmaps[] = {
        {.address = BASE + P(8), .len = P(3)},  {.address = BASE + P(9), .len = P(3)},
        {.address = BASE + P(8), .len = P(6)},  {.address = BASE + P(2), .len = P(1)},
        {.address = BASE + P(8), .len = 0},     {.address = BASE + P(7), .len = P(5)},
        {.address = BASE + P(40), .len = P(1)},
    };
    static const struct vmk_mprotect_request protects[] = {
        {.address = BASE + P(8), .len = P(5), .prot = VT_R, .pkey = -1},
        {.address = BASE + P(7), .len = P(2), .prot = VT_R, .pkey = -1},
        {.address = BASE + P(8), .len = 0, .prot = VT_R, .pkey = -1},
        {.address = BASE + P(8) + 1, .len = P(1), .prot = VT_R, .pkey = -1},
        {.address = BASE + P(8), .len = P(1), .prot = VT_R, .pkey = 0},
        {.address = BASE + P(8), .len = P(1), .prot = VT_R | VMK_PROT_GROWSUP, .pkey = -1},
        {.address = BASE + P(40), .len = P(1), .prot = VT_R, .pkey = -1},
    };
    static struct vt_text before, after;
    struct vt t;

    (void)state;
    short_setup(&t);
    before.len = after.len = 0;
    vmk_mm_dump(t.mm, vt_sink, &before);
    vmk_mm_lock_write(t.mm);
    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
        assert_false(vmki_quick_mmap(t.mm, &maps[i], NULL));
    for (size_t i = 0; i < sizeof(unmaps) / sizeof(unmaps[0]); i++)
        assert_false(vmki_quick_munmap(t.mm, &unmaps[i], NULL));
    for (size_t i = 0; i < sizeof(protects) / sizeof(protects[0]); i++)
        assert_false(vmki_quick_mprotect(t.mm, &protects[i], NULL));
    vmk_mm_unlock_write(t.mm);
    vmk_mm_dump(t.mm, vt_sink, &after);
    assert_string_equal(before.text, after.text);
    assert_int_equal(t.mm->counters.mprotect + t.mm->counters.munmap, 0);
    vt_teardown(&t);
}

/* Areas that touch and agree in their flags, but not in their page offsets or anon_vmas: what kept them apart is counted. */
static void refusals_are_counted(void **state)
{
    const struct vmk_mprotect_request close = {.address = BASE + P(2), .len = P(1), .prot = VT_R, .pkey = -1};
    const struct vmk_mprotect_request open = {.address = BASE + P(2), .len = P(1), .prot = VT_RW, .pkey = -1};
    struct vmk_counters before, after;
    struct vt t;

    (void)state;
    vt_setup(&t);
    for (unsigned i = 0; i < 4; i++)
        vt_anon(&t, BASE + P(10 * i), P(1), VT_RW);
    vt_touch(&t, BASE + P(20));
    assert_ret(vt_mremap(&t, BASE + P(20), P(1), P(1), VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED, BASE + P(2)),
               BASE + P(2));
    vt_anon(&t, BASE + P(1), P(1), VT_RW);
    vt_anon(&t, BASE + P(3), P(1), VT_RW);
    vmk_mm_get_counters(t.mm, &before);
    vmk_mm_lock_write(t.mm);
    assert_true(vmki_quick_mprotect(t.mm, &close, NULL) && vmki_quick_mprotect(t.mm, &open, NULL));
    vmk_mm_unlock_write(t.mm);
    vmk_mm_get_counters(t.mm, &after);
    assert_int_equal(after.refuse_flags - before.refuse_flags, 2);
    assert_int_equal(after.refuse_pgoff - before.refuse_pgoff, 2);
    assert_int_equal(after.refuse_anon_vma - before.refuse_anon_vma, 0);
    vt_validate(&t);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways_agree),           cmocka_unit_test(every_strip),
        cmocka_unit_test(plain_calls_are_short),     cmocka_unit_test(what_the_short_way_takes),
        cmocka_unit_test(the_short_way_at_the_ends), cmocka_unit_test(left_to_the_long_way),
        cmocka_unit_test(refusals_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
