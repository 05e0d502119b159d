/* SPDX-License-Identifier: MIT */
/*
 * lanes_pair.h - two spaces that get the same calls, one with lanes and one without: what tests of lanes share.
 */
#ifndef VMAKIT_TESTS_LANES_PAIR_H
#define VMAKIT_TESTS_LANES_PAIR_H

#include "mm/lane.h"
#include "support.h"

enum { NR_THREADS = 3, REGION_PAGES = 256, NR_BASE = 40 };
#define REGION(n) (UINT64_C(0x40000000) + (n)*REGION_PAGES * VT_PAGE)

static VT_UNUSED uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return *state >> 33;
}

/* As if writers had waited. */
static VT_UNUSED void want_lanes(struct vmk_mm *mm)
{
    vmki_mm_lock(mm);
    mm->nr_waits = 1000;
    vmki_mm_unlock(mm);
}

static VT_UNUSED unsigned nr_lanes(struct vmk_mm *mm)
{
    unsigned nr = 0;

    for (unsigned i = 0; i < VMKI_MAX_LANES; i++)
        nr += vmki_lane(mm, i) != NULL;
    return nr;
}

/* ---- Calls ---- */

struct one_call {
    unsigned kind;
    vmk_addr address;
    uint64_t len, prot;
};

static VT_UNUSED struct one_call random_call(uint64_t *random, unsigned region)
{
    static const uint64_t prots[] = {VT_R, VT_RW, VT_RW, VT_RX, VMK_PROT_NONE};
    uint64_t page = next_random(random) % REGION_PAGES, len = 1 + next_random(random) % 6;

    return (struct one_call){.kind = (unsigned)(next_random(random) % 12),
                             .address = REGION(region) + page * VT_PAGE,
                             .len = vmki_min(len, REGION_PAGES - page) * VT_PAGE,
                             .prot = prots[next_random(random) % 5]};
}

static VT_UNUSED int make_call(struct vmk_mm *mm, const struct one_call *call, struct vmk_result *result)
{
    const struct vmk_mmap_request map = {
        .address = call->address, .len = call->len, .prot = (uint32_t)call->prot, .flags = VT_FIXED};
    const struct vmk_munmap_request unmap = {.address = call->address, .len = call->len};
    const struct vmk_mprotect_request protect = {
        .address = call->address, .len = call->len, .prot = call->prot, .pkey = -1};
    const struct vmk_fault_request fault = {.address = call->address, .access = VMK_ACCESS_WRITE};
    const struct vmk_madvise_request advise = {
        .address = call->address, .len = call->len, .advice = VMK_MADV_NOHUGEPAGE};
    struct vmk_fault answer;

    if (call->kind < 4)
        return vmk_mmap(mm, &map, result);
    if (call->kind < 7)
        return vmk_munmap(mm, &unmap, result);
    if (call->kind < 10)
        return vmk_mprotect(mm, &protect, result);
    if (call->kind == 10)
        return vmk_mm_fault(mm, &fault, &answer) == 0 && answer.outcome == VMK_FAULT_MINOR ? 0 : -1;
    return vmk_madvise(mm, &advise, result);
}

/* The dump of a space, without what differs between any two: identities of anon_vmas stay, as both count alike. */
static VT_UNUSED void dump(struct vmk_mm *mm, struct vt_text *text)
{
    text->len = 0;
    vmk_mm_dump(mm, vt_sink, text);
}

static VT_UNUSED void compare(struct vt *one, struct vt *two, const struct one_call *call)
{
    static struct vt_text first, second;
    struct vmk_counters counts[2];

    dump(one->mm, &first);
    dump(two->mm, &second);
    if (strcmp(first.text, second.text) != 0)
        fail_msg("call %u at %llx, %llx bytes: without lanes\n%s\nwith lanes\n%s", call->kind,
                 (unsigned long long)call->address, (unsigned long long)call->len, first.text, second.text);
    vmk_mm_get_counters(one->mm, &counts[0]);
    vmk_mm_get_counters(two->mm, &counts[1]);
    counts[0].alloc_failed = counts[1].alloc_failed;
    assert_memory_equal(&counts[0], &counts[1], sizeof(counts[0]));
    assert_int_equal(vmk_system_committed(one->system), vmk_system_committed(two->system));
    vt_validate(two);
}

/* What the calls of a space depend on, besides its areas: from the beginning, or set while lanes are open. */
struct mode {
    void (*open)(struct vt *t);
    void (*set)(struct vt *t);
    const char *use; /* how many calls each lane has: another number is no mistake, but a change to be looked at */
};

static VT_UNUSED void open_compared(struct vt *t, const struct mode *mode)
{
    vt_init(t);
    if (mode->open != NULL)
        mode->open(t);
    vt_open(t);
}

static struct vt without, with;

/* ---- Modes ---- */

static VT_UNUSED void open_high(struct vt *t)
{
    t->system_options.settings.mmap_min_addr = REGION(1);
    t->mm_options.capabilities = 0;
}

static VT_UNUSED void open_high_privileged(struct vt *t)
{
    t->system_options.settings.mmap_min_addr = REGION(1);
    t->mm_options.capabilities = VMK_CAP_SYS_RAWIO;
}

static VT_UNUSED void open_with_keys(struct vt *t)
{
    t->system_options.settings.nr_pkeys = 16;
}

static VT_UNUSED void set_option(struct vt *t, enum vmk_option option, uint64_t value)
{
    const struct vmk_set_option_request request = {.option = option, .value = value};

    assert_int_equal(vmk_set_option(t->mm, &request, NULL), 0);
}

static VT_UNUSED void set_mdwe(struct vt *t)
{
    set_option(t, VMK_OPTION_MDWE, VMK_MDWE_REFUSE_EXEC_GAIN);
}

static VT_UNUSED void set_memory_merge(struct vt *t)
{
    set_option(t, VMK_OPTION_MEMORY_MERGE, 1);
}

static VT_UNUSED void set_personality(struct vt *t)
{
    vmk_mm_set_personality(t->mm, VMK_READ_IMPLIES_EXEC);
}

static VT_UNUSED void set_locked(struct vt *t)
{
    const struct vmk_mlockall_request request = {.flags = VMK_MCL_FUTURE};
    struct vmk_rlimits rlimits;

    vmk_mm_set_capabilities(t->mm, 0);
    vmk_mm_get_rlimits(t->mm, &rlimits);
    rlimits.memlock.soft = 100 * VT_PAGE;
    vmk_mm_set_rlimits(t->mm, &rlimits);
    assert_int_equal(vmk_mlockall(t->mm, &request, NULL), 0);
}

static VT_UNUSED void set_data_limit(struct vt *t)
{
    struct vmk_rlimits rlimits;

    vmk_mm_get_rlimits(t->mm, &rlimits);
    rlimits.data.soft = 150 * VT_PAGE;
    vmk_mm_set_rlimits(t->mm, &rlimits);
}

static VT_UNUSED void set_tracking(struct vt *t)
{
    assert_int_equal(vmk_mm_track_writes(t->mm, REGION(0), REGION(2)), 0);
}

static VT_UNUSED void set_reserved(struct vt *t)
{
    const struct vmk_munmap_request unmap = {.address = REGION(1), .len = 8 * VT_PAGE};

    assert_int_equal(vmk_munmap(t->mm, &unmap, NULL), 0);
    assert_int_equal(vmk_mm_reserve_range(t->mm, REGION(1), REGION(1) + 8 * VT_PAGE), 0);
}

static VT_UNUSED void set_exec_only(struct vt *t)
{
    const vmk_addr at = REGION(NR_THREADS);
    const struct vmk_mprotect_request request = {.address = at, .len = VT_PAGE, .prot = VMK_PROT_EXEC, .pkey = -1};

    vt_anon(t, at, VT_PAGE, VT_RW);
    assert_int_equal(vmk_mprotect(t->mm, &request, NULL), 0);
}

#endif
