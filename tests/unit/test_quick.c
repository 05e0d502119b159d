/* SPDX-License-Identifier: MIT */
/*
 * test_quick.c - the short way of mmap, munmap and mprotect against the long one: two worlds get the same random calls, one
 * of them with a listener, so that it always takes the long way. After each call all that they say must be the same:
 * results, areas, statistics, the commit charge, counters of events.
 *
 * VMKIT_QUICK_STEPS sets the number of calls, VMKIT_QUICK_SEED where they begin.
 */
#include "calls.h"
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

/* A range, or the whole of the area at its start. */
static void choose_range(struct vt *t, vmk_addr *start, uint64_t *len)
{
    struct vmk_vma_info info = {.size = sizeof(info)};

    *start = BASE + P(random_below(NR_PAGES));
    *len = P(1 + random_below(6)) - (random_below(8) == 0 ? 100 : 0);
    if (random_below(2) == 0 && vmk_mm_lookup(t->mm, *start, &info) == 0) {
        *start = info.start;
        *len = info.end - info.start;
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
        return vt_madvise(t, start, len, VMK_MADV_POPULATE_WRITE);
    case 8: /* what was written to keeps the page offset of where it was */
        if (prot == VT_RX || prot == VT_RW)
            return vt_mremap(t, start, len, len, VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED,
                             BASE + P(NR_PAGES) - (start - BASE));
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
        unsigned kind = (unsigned)random_below(16);
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
        cmocka_unit_test(both_ways_agree),
        cmocka_unit_test(plain_calls_are_short),
        cmocka_unit_test(refusals_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
