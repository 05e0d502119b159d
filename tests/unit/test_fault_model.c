/* SPDX-License-Identifier: MIT */
/*
 * Faults against plain models: what a driver's hooks say to each access, in each state of the page; what becomes of a fault
 * that somebody else answers; how far a stack grows, with something below it, near every limit; and by whom faults are counted.
 */
#include <sched.h>

#include "calls.h"
#include "vmakit/fault.h"
#include "vmakit/state.h"

#define R         ((unsigned)VMK_ACCESS_READ)
#define W         ((unsigned)VMK_ACCESS_WRITE)
#define X         ((unsigned)VMK_ACCESS_EXEC)
#define NR(array) (sizeof(array) / sizeof((array)[0]))

/* The outcome that is expected. */
struct expected {
    enum vmk_fault_outcome outcome;
    unsigned fault_case;
    int signal, code;
    bool anon_vma_new;
    unsigned nr_faults, nr_writes; /* calls of the hooks */
};

static void ends(struct expected *e, unsigned fault_case, enum vmk_fault_outcome outcome)
{
    e->fault_case = fault_case;
    e->outcome = outcome;
}

static void signals(struct expected *e, unsigned fault_case, int signal, int code)
{
    ends(e, fault_case, VMK_FAULT_SIGNAL);
    e->signal = signal;
    e->code = code;
}

/* ---- Hooks ---- */

enum { NO_HOOK = 1, DOES_IO = 2 }; /* answers beside 0 and errors */
static const int answers[] = {NO_HOOK,        0,           DOES_IO,    -VMK_ENOMEM, -VMK_ERR_HOST_NOMEM, -VMK_EAGAIN,
                              -VMK_EHWPOISON, -VMK_EACCES, -VMK_EINVAL};

static struct {
    int fault_answer, write_answer;
    unsigned nr_faults, nr_writes;
} driver;

static int give_answer(int answer, struct vmk_fault *fault)
{
    if (answer == DOES_IO)
        fault->outcome = VMK_FAULT_MAJOR;
    return answer == DOES_IO ? 0 : answer;
}

static int driver_fault(struct vmk_vma *vma, struct vmk_fault *fault)
{
    assert_int_equal(fault->pgoff, vmk_vma_start(vma) / P(1) + 1);
    driver.nr_faults++;
    return give_answer(driver.fault_answer, fault);
}

static int driver_write(struct vmk_vma *vma, struct vmk_fault *fault)
{
    (void)vma;
    driver.nr_writes++;
    return give_answer(driver.write_answer, fault);
}

static void model_answer(struct expected *e, unsigned fault_case, int answer)
{
    switch (answer) {
    case 0:
        return;
    case DOES_IO:
        e->outcome = VMK_FAULT_MAJOR;
        return;
    case -VMK_ENOMEM:
    case -VMK_ERR_HOST_NOMEM:
        ends(e, VMK_FAULT_CASE_7, VMK_FAULT_NO_MEMORY);
        return;
    case -VMK_EAGAIN:
        ends(e, VMK_FAULT_CASE_7, VMK_FAULT_RETRY);
        return;
    case -VMK_EHWPOISON:
        signals(e, fault_case, VMK_SIGBUS, VMK_BUS_MCEERR_AR);
        return;
    case -VMK_EACCES:
        signals(e, fault_case, VMK_SIGSEGV, VMK_SEGV_ACCERR);
        return;
    default:
        signals(e, fault_case, VMK_SIGBUS, VMK_BUS_ADRERR);
    }
}

struct hook_case {
    unsigned prot, access, flags;
    bool is_shared, is_special;
    int fault_answer, write_answer;
};

static bool model_refuses(const struct hook_case *c, unsigned access, struct expected *e)
{
    if (((access & W) != 0 && (c->prot & VMK_PROT_WRITE) == 0) || ((access & X) != 0 && (c->prot & VMK_PROT_EXEC) == 0))
        signals(e, VMK_FAULT_CASE_2, VMK_SIGSEGV, VMK_SEGV_ACCERR);
    else if ((c->flags & VMK_FAULT_PKEY) != 0)
        signals(e, VMK_FAULT_CASE_2A, VMK_SIGSEGV, VMK_SEGV_PKUERR);
    else if ((c->flags & VMK_FAULT_GUARD) != 0)
        signals(e, VMK_FAULT_CASE_2B, VMK_SIGSEGV, VMK_SEGV_MAPERR);
    return e->outcome == VMK_FAULT_SIGNAL;
}

static void model_write(const struct hook_case *c, struct expected *e)
{
    e->nr_writes++;
    model_answer(e, VMK_FAULT_CASE_4C, c->write_answer);
}

static void model_present(const struct hook_case *c, unsigned access, struct expected *e)
{
    ends(e, VMK_FAULT_CASE_5, VMK_FAULT_MINOR);
    if ((access & W) == 0)
        return;
    if (!c->is_shared) {
        e->anon_vma_new = true;
        e->fault_case = VMK_FAULT_CASE_4B;
    } else if (c->write_answer != NO_HOOK) {
        e->fault_case = VMK_FAULT_CASE_4C;
        model_write(c, e);
    }
}

static void model_missing(const struct hook_case *c, unsigned access, struct expected *e)
{
    ends(e, VMK_FAULT_CASE_3F, VMK_FAULT_MINOR);
    e->anon_vma_new = (access & W) != 0 && !c->is_shared;
    if (c->fault_answer != NO_HOOK) {
        e->nr_faults++;
        model_answer(e, VMK_FAULT_CASE_3F, c->fault_answer);
    } else if (!c->is_special) {
        signals(e, VMK_FAULT_CASE_3F, VMK_SIGBUS, VMK_BUS_ADRERR);
    }
    if ((access & W) != 0 && c->is_shared && c->write_answer != NO_HOOK && e->outcome <= VMK_FAULT_MAJOR)
        model_write(c, e);
}

/* An x86-64 finds out that it may not execute when the page is there: it reads first. */
static struct expected model_hooks(const struct hook_case *c)
{
    bool is_there = (c->flags & VMK_FAULT_PRESENT) != 0;
    bool reads_first = c->access == X && (c->prot & VMK_PROT_EXEC) == 0 && c->prot != 0 && !is_there;
    unsigned access = reads_first ? R : c->access;
    struct expected e = {.outcome = VMK_FAULT_MINOR};

    if (model_refuses(c, access, &e))
        return e;
    if (is_there)
        model_present(c, access, &e);
    else
        model_missing(c, access, &e);
    if (reads_first && e.outcome <= VMK_FAULT_MAJOR)
        signals(&e, VMK_FAULT_CASE_2, VMK_SIGSEGV, VMK_SEGV_ACCERR);
    return e;
}

static void make_driver_area(struct vt *t, const struct hook_case *c)
{
    static struct vmk_vm_ops ops;
    const vmk_vm_flags shared = c->is_shared ? VMK_VM_SHARED | VMK_VM_MAYSHARE : 0;
    const struct vmk_import_area area = {.start = BASE,
                                         .end = BASE + P(2),
                                         .flags = c->prot | VMK_VM_MAY_ACCESS | shared,
                                         .offset = BASE,
                                         .special_name = c->is_special ? "[driver]" : NULL,
                                         .ops = &ops};

    ops = (struct vmk_vm_ops){.size = sizeof(ops),
                              .fault = c->fault_answer == NO_HOOK ? NULL : driver_fault,
                              .page_mkwrite = c->write_answer == NO_HOOK ? NULL : driver_write};
    driver.fault_answer = c->fault_answer;
    driver.write_answer = c->write_answer;
    driver.nr_faults = driver.nr_writes = 0;
    assert_int_equal(vmk_mm_import(t->mm, &area), 0);
}

static void run_hook_case(struct vt *t, const struct hook_case *c, bool found)
{
    const struct vmk_fault_request request = {.address = BASE + P(1) + 5, .access = c->access, .flags = c->flags};
    const struct expected e = model_hooks(c);
    struct vmk_fault fault;

    make_driver_area(t, c);
    if (found) {
        vmk_mm_lock_read(t->mm);
        assert_int_equal(vmk_vma_fault(vmk_mm_find(t->mm, BASE), &request, &fault), 0);
        vmk_mm_unlock_read(t->mm);
    } else {
        assert_int_equal(vmk_mm_fault(t->mm, &request, &fault), 0);
    }
    if (fault.outcome != e.outcome || fault.fault_case != e.fault_case || fault.signal != e.signal ||
        fault.code != e.code || fault.anon_vma_new != e.anon_vma_new || driver.nr_faults != e.nr_faults ||
        driver.nr_writes != e.nr_writes)
        fail_msg(
            "prot %u access %u flags %x shared %d special %d answers %d %d: %d case %x signal %d %d, not %d %x %d %d",
            c->prot, c->access, c->flags, c->is_shared, c->is_special, c->fault_answer, c->write_answer, fault.outcome,
            fault.fault_case, fault.signal, fault.code, e.outcome, e.fault_case, e.signal, e.code);
    assert_memory_equal(&fault.request, &request, sizeof(request));
    assert_true(fault.start == BASE && fault.end == BASE + P(2) && fault.grown == 0 && fault.token == 0);
    assert_true((fault.flags & VMK_VM_ACCESS) == c->prot && fault.pgoff == BASE / P(1) + 1);
    assert_ret(vt_munmap(t, BASE, P(2)), 0);
}

static void test_hooks(void **state)
{
    static const unsigned prots[] = {VMK_PROT_READ, VT_RW, VT_RX, VT_RW | VMK_PROT_EXEC};
    static const unsigned accesses[] = {R, W, X, R | W, X | W};
    static const unsigned flags[] = {VMK_FAULT_USER, VMK_FAULT_PRESENT, VMK_FAULT_PRESENT | VMK_FAULT_UFFD_WP,
                                     VMK_FAULT_PKEY, VMK_FAULT_GUARD,   VMK_FAULT_CACHED | VMK_FAULT_NOWAIT};
    struct vt t;

    (void)state;
    vt_setup(&t);
    for (unsigned i = 0; i < NR(prots) * NR(accesses) * NR(flags) * 4; i++)
        for (unsigned j = 0; j < NR(answers) * NR(answers); j += 1 + (i % 3)) {
            const struct hook_case c = {.prot = prots[i % NR(prots)],
                                        .access = accesses[i / NR(prots) % NR(accesses)],
                                        .flags = flags[i / (NR(prots) * NR(accesses)) % NR(flags)],
                                        .is_shared = i / (NR(prots) * NR(accesses) * NR(flags)) % 2 != 0,
                                        .is_special = i / (NR(prots) * NR(accesses) * NR(flags)) / 2 != 0,
                                        .fault_answer = answers[j % NR(answers)],
                                        .write_answer = answers[j / NR(answers)]};

            run_hook_case(&t, &c, (i + j) % 2 != 0);
        }
    vt_teardown(&t);
}

/* ---- What is no request ---- */

static void expect_misuse(struct vt *t, vmk_addr address, unsigned access, unsigned flags, bool in_area_too)
{
    const struct vmk_fault_request request = {.address = address, .access = access, .flags = flags};
    struct vmk_counters counters;
    struct vmk_fault fault;

    if (in_area_too)
        assert_int_equal(vmk_mm_fault(t->mm, &request, &fault), -VMK_ERR_MISUSE);
    vmk_mm_lock_read(t->mm);
    assert_int_equal(vmk_vma_fault(vmk_mm_find(t->mm, BASE), &request, &fault), -VMK_ERR_MISUSE);
    vmk_mm_unlock_read(t->mm);
    vmk_mm_get_counters(t->mm, &counters);
    assert_int_equal(counters.fault, 0);
}

static void test_misuse(void **state)
{
    const struct vmk_fault_request last = {.address = BASE + P(2) - 1, .access = R, .flags = 0x1ff & ~VMK_FAULT_GUARD};
    struct vmk_fault fault;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    expect_misuse(&t, BASE, 0, 0, true);
    expect_misuse(&t, BASE, VMK_ACCESS_FOREIGN, 0, true);
    expect_misuse(&t, BASE, VMK_ACCESS_FORCE | VMK_ACCESS_REMOTE, 0, true);
    for (unsigned bit = 6; bit < 32; bit++)
        expect_misuse(&t, BASE, R | 1u << bit, 0, true);
    for (unsigned bit = 9; bit < 32; bit++)
        expect_misuse(&t, BASE, R, 1u << bit, true);
    expect_misuse(&t, BASE - 1, R, 0, false);
    expect_misuse(&t, BASE + P(2), R, 0, false);
    vmk_mm_lock_read(t.mm);
    assert_int_equal(vmk_vma_fault(vmk_mm_find(t.mm, BASE), &last, &fault), 0);
    vmk_mm_unlock_read(t.mm);
    vt_teardown(&t);
}

/* ---- Faults that somebody else answers ---- */

enum { A_NONE, A_FRESH, A_TOUCHED, A_SHARED };

/* The token says which page and which access; a fault that must not wait has one too, but is to come again. */
static uint64_t pending_token(struct vt *t, unsigned access, unsigned flags, unsigned page)
{
    const struct vmk_fault_request request = {.address = BASE + P(page) + 0x777, .access = access, .flags = flags};
    struct vmk_fault fault;

    assert_int_equal(vmk_mm_fault(t->mm, &request, &fault), 0);
    assert_int_equal(fault.outcome, (flags & VMK_FAULT_NOWAIT) != 0 ? VMK_FAULT_RETRY : VMK_FAULT_PENDING);
    assert_int_equal(fault.fault_case, VMK_FAULT_CASE_3H);
    assert_int_equal(fault.token, (BASE + P(page)) | access);
    return fault.token;
}

static void run_answer(struct vt *t, uint64_t token, enum vmk_fault_answer answer, unsigned area)
{
    struct expected e = {.outcome = VMK_FAULT_RETRY, .fault_case = VMK_FAULT_CASE_7};
    bool found = area != A_NONE, is_filled = found && answer == VMK_FAULT_FILLED;
    struct vmk_fault fault;

    memset(&fault, 0x77, sizeof(fault));
    if (found && answer == VMK_FAULT_POISONED)
        signals(&e, VMK_FAULT_CASE_3H, VMK_SIGBUS, VMK_BUS_MCEERR_AR);
    if (is_filled)
        ends(&e, VMK_FAULT_CASE_3H, VMK_FAULT_MINOR);
    assert_int_equal(vmk_fault_complete(t->mm, token, answer, &fault), 0);
    assert_int_equal(fault.outcome, e.outcome);
    assert_int_equal(fault.fault_case, e.fault_case);
    assert_int_equal(fault.signal, e.signal);
    assert_int_equal(fault.code, e.code);
    assert_int_equal(fault.anon_vma_new, is_filled && area == A_FRESH);
    assert_true(fault.request.address == (token & ~UINT64_C(0xfff)) && fault.request.access == (token & 0xfff) &&
                fault.request.flags == 0);
    assert_true(fault.start == (is_filled ? BASE : 0) && fault.end == (is_filled ? BASE + P(4) : 0));
    assert_int_equal(fault.pgoff, !is_filled ? 0 : area == A_SHARED ? 2 : (BASE >> 12) + 2);
    assert_true(fault.token == 0 && fault.grown == 0);
}

static void test_answers(void **state)
{
    static const unsigned accesses[] = {R, W, R | W, R | VMK_ACCESS_FOREIGN};
    struct vt t;

    (void)state;
    for (unsigned i = 0; i < NR(accesses) * 4 * 4; i++) {
        unsigned area = i % 4, access = accesses[i / 16];
        enum vmk_fault_answer answer = (enum vmk_fault_answer)(i / 4 % 4);
        uint64_t token;

        vt_setup(&t);
        if (area == A_SHARED)
            vt_map_file(&t, BASE, P(4), VT_RW, VMK_MAP_SHARED, vt_file_kind(&t, 1, VMK_OBJECT_SHMEM, P(4)), 0);
        else
            vt_anon(&t, BASE, P(4), VT_RW);
        assert_ret(vt_register(&t, 5, BASE, P(4), VMK_UFFD_MODE_MISSING), 0);
        token = pending_token(&t, access, (i & 1) != 0 ? VMK_FAULT_NOWAIT : VMK_FAULT_USER, 2);
        if (area == A_TOUCHED)
            vt_touch(&t, BASE);
        if (area == A_NONE)
            assert_ret(vt_munmap(&t, BASE, P(4)), 0);
        run_answer(&t, token, answer, area == A_FRESH && (access & W) != 0 ? A_TOUCHED : area);
        vt_teardown(&t);
    }
}

static void test_bad_answers(void **state)
{
    struct vmk_fault fault;
    struct vt t;

    (void)state;
    vt_init(&t);
    vmk_settings_init(&t.system_options.settings, VMK_LINUX_VERSION(6, 18), VMK_ARCH_ARM64);
    assert_int_equal(vmk_settings_set_page_shift(&t.system_options.settings, 14), 0);
    vt_open(&t);
    vt_anon(&t, BASE, P(8), VT_RW);
    assert_int_equal(vmk_fault_complete(t.mm, BASE | R, VMK_FAULT_FILLED, &fault), 0);
    assert_int_equal(vmk_fault_complete(t.mm, (BASE + P(1)) | R, VMK_FAULT_FILLED, &fault), -VMK_ERR_MISUSE);
    assert_int_equal(vmk_fault_complete(t.mm, (BASE + P(4)) | R, VMK_FAULT_FILLED, &fault), 0);
    assert_int_equal(vmk_fault_complete(t.mm, BASE | R | 64, VMK_FAULT_FILLED, &fault), -VMK_ERR_MISUSE);
    assert_int_equal(vmk_fault_complete(t.mm, BASE | 2048, VMK_FAULT_FILLED, &fault), -VMK_ERR_MISUSE);
    assert_int_equal(vmk_fault_complete(t.mm, BASE | R, VMK_FAULT_POISONED, &fault), 0);
    assert_int_equal(vmk_fault_complete(t.mm, BASE | R, (enum vmk_fault_answer)(VMK_FAULT_POISONED + 1), &fault),
                     -VMK_ERR_MISUSE);
    vt_teardown(&t);
}

/* ---- Stacks ---- */

enum below { B_NOTHING, B_AREA, B_CLOSED, B_STACK, B_RESERVED, NR_BELOW };

struct stack_case {
    enum below below;
    unsigned gap, grow;          /* pages between what is below and the stack, and from the stack down to the fault */
    unsigned stack, as, memlock; /* limits: pages more than the stack has; 0: none */
    unsigned low;                /* pages between the stack and the lowest address; 0: far away */
    bool is_locked, is_touched, may_wait;
};
enum { STACK_PAGES = 4, GUARD = 6 };

static void make_stack(struct vt *t, const struct stack_case *c, vmk_addr start)
{
    static const uint32_t prots[NR_BELOW] = {0, VT_R, 0, VT_RW, 0};
    vmk_addr below = start - P(c->gap + 1);

    assert_ret(vt_mmap_file(t, start, P(STACK_PAGES), VT_RW, VT_FIXED | VMK_MAP_GROWSDOWN, NULL, 0), start);
    if (c->is_locked)
        assert_ret(vt_mlock2(t, start, P(STACK_PAGES), VMK_MLOCK_ONFAULT), 0);
    if (c->is_touched)
        vt_touch(t, start);
    if (c->below == B_RESERVED)
        assert_int_equal(vmk_mm_reserve_range(t->mm, below, below + P(1)), 0);
    else if (c->below != B_NOTHING)
        assert_ret(vt_mmap_file(t, below, P(1), prots[c->below],
                                VT_FIXED | (c->below == B_STACK ? VMK_MAP_GROWSDOWN : 0u), NULL, 0),
                   below);
}

static void set_limits(struct vt *t, const struct stack_case *c)
{
    struct vmk_rlimits rlimits;

    vmk_mm_get_rlimits(t->mm, &rlimits);
    rlimits.stack.soft = c->stack != 0 ? P(STACK_PAGES + c->stack) : VMK_RLIM_INFINITY;
    rlimits.as.soft = c->as != 0 ? (t->mm->total_vm + c->as) * P(1) : VMK_RLIM_INFINITY;
    rlimits.memlock.soft = c->memlock != 0 ? P(STACK_PAGES + c->memlock) : VMK_RLIM_INFINITY;
    vmk_mm_set_rlimits(t->mm, &rlimits);
}

/* What is below keeps its distance from an area that can be touched; nothing may lie in between. */
static bool model_has_room(const struct stack_case *c)
{
    if (c->low != 0 && c->grow > c->low)
        return false;
    switch (c->below) {
    case B_AREA:
        return c->gap - c->grow >= GUARD;
    default:
        return true; /* the fault is above it */
    }
}

static bool model_is_within(const struct stack_case *c)
{
    return (c->stack == 0 || c->grow <= c->stack) && (c->as == 0 || c->grow <= c->as) &&
           (!c->is_locked || c->memlock == 0 || c->grow <= c->memlock);
}

static void run_stack(const struct stack_case *c)
{
    vmk_addr start = c->low != 0 ? UINT64_C(65536) + P(c->low) : BASE;
    const struct vmk_fault_request request = {
        .address = start - P(c->grow) + 9, .access = W, .flags = c->may_wait ? VMK_FAULT_USER : VMK_FAULT_NOWAIT};
    bool has_room = model_has_room(c), grows = has_room && model_is_within(c);
    struct vmk_counters counters;
    uint64_t total, locked, committed;
    struct vmk_fault fault;
    struct vt t;

    vt_init(&t);
    t.system_options.settings.stack_guard_gap = GUARD;
    vt_open(&t);
    make_stack(&t, c, start);
    set_limits(&t, c);
    total = t.mm->total_vm;
    locked = t.mm->locked_vm;
    committed = vmk_system_committed(t.system);
    assert_int_equal(vmk_mm_fault(t.mm, &request, &fault), 0);
    vt_validate(&t);
    vmk_mm_get_counters(t.mm, &counters);
    if (fault.outcome != (grows ? VMK_FAULT_MINOR : VMK_FAULT_SIGNAL))
        fail_msg("below %d gap %u grow %u limits %u %u %u low %u: outcome %d", c->below, c->gap, c->grow, c->stack,
                 c->as, c->memlock, c->low, fault.outcome);
    assert_int_equal(fault.fault_case, grows ? VMK_FAULT_CASE_1A : VMK_FAULT_CASE_1B);
    assert_int_equal(fault.signal, grows ? 0 : VMK_SIGSEGV);
    assert_int_equal(fault.code, grows ? 0 : VMK_SEGV_MAPERR);
    assert_int_equal(fault.grown, grows ? c->grow : 0);
    assert_int_equal(fault.start, grows ? start - P(c->grow) : 0);
    assert_int_equal(fault.end, grows ? start + P(STACK_PAGES) : 0);
    assert_int_equal(fault.anon_vma_new, has_room && !c->is_touched); /* it comes before the limits are asked */
    assert_int_equal(t.mm->total_vm, total + (grows ? c->grow : 0));
    assert_int_equal(t.mm->locked_vm, locked + (grows && c->is_locked ? c->grow : 0));
    assert_int_equal(vmk_system_committed(t.system), committed + (grows ? c->grow : 0));
    assert_int_equal(counters.stack_growth, grows ? 1 : 0);
    vt_teardown(&t);
}

static void test_stacks(void **state)
{
    (void)state;
    for (unsigned below = 0; below < NR_BELOW; below++)
        for (unsigned gap = 1; gap < 16; gap += 1 + gap / 10)
            for (unsigned grow = 1; grow <= gap; grow++)
                run_stack(&(struct stack_case){.below = (enum below)below,
                                               .gap = gap,
                                               .grow = grow,
                                               .is_touched = gap % 2 == 0,
                                               .may_wait = true});
    for (unsigned grow = 1; grow < 8; grow++) {
        run_stack(&(struct stack_case){.grow = grow, .stack = 4, .may_wait = true});
        run_stack(&(struct stack_case){.grow = grow, .as = 4});
        run_stack(&(struct stack_case){.grow = grow, .memlock = 4, .is_locked = true});
        run_stack(&(struct stack_case){.grow = grow, .memlock = 4, .is_touched = true, .may_wait = true});
        run_stack(&(struct stack_case){.grow = grow, .low = 4});
    }
}

/* A stack does not grow through what the host has reserved, nor where a caller says that it must not. */
static void test_what_does_not_grow(void **state)
{
    struct vmk_fault_request request = {.address = BASE - P(3), .access = W, .flags = VMK_FAULT_USER};
    struct vmk_fault fault;
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(vt_mmap_file(&t, BASE, P(2), VT_RW, VT_FIXED | VMK_MAP_GROWSDOWN, NULL, 0), BASE);
    assert_int_equal(vmk_mm_reserve_range(t.mm, BASE - P(2), BASE - P(1)), 0);
    assert_int_equal(vmk_mm_fault(t.mm, &request, &fault), 0);
    assert_int_equal(fault.fault_case, VMK_FAULT_CASE_1B);
    request.address = BASE - P(1);
    request.flags = VMK_FAULT_NO_GROW;
    assert_int_equal(vmk_mm_fault(t.mm, &request, &fault), 0);
    assert_int_equal(fault.fault_case, VMK_FAULT_CASE_1);
    assert_int_equal(fault.code, VMK_SEGV_MAPERR);
    assert_map(&t, "10000000-10002000 rw-p gd ac\n");
    request.flags = 0;
    assert_int_equal(vmk_mm_fault(t.mm, &request, &fault), 0);
    assert_int_equal(fault.fault_case, VMK_FAULT_CASE_1A);
    vt_teardown(&t);
}

/* ---- How faults are counted ---- */

static int processor;

/* Where the library believes that it runs. */
__attribute__((visibility("default"))) int sched_getcpu(void)
{
    return processor;
}

static void fault_on(struct vt *t, int where)
{
    const struct vmk_fault_request request = {.address = BASE, .access = R, .flags = VMK_FAULT_USER};
    struct vmk_fault fault;

    processor = where;
    assert_int_equal(vmk_mm_fault(t->mm, &request, &fault), 0);
}

static void expect_faults(struct vt *t, uint64_t nr)
{
    struct vmk_counters counters;

    vmk_mm_get_counters(t->mm, &counters);
    assert_int_equal(counters.fault, nr);
}

/* One counter serves until the last fault was another processor's 64 times; then there are sixteen. */
static void test_counters(void **state)
{
    const struct vmk_fault_request request = {.address = BASE, .access = R, .flags = VMK_FAULT_USER};
    struct vmk_fault fault;
    struct vt t;
    long nr_live;

    (void)state;
    processor = 0;
    vt_setup(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    nr_live = atomic_load(&t.nr_live);
    for (unsigned i = 0; i < 100; i++)
        fault_on(&t, 0);
    for (int i = 1; i < 64; i++) {
        fault_on(&t, i % 3);
        fault_on(&t, i % 3);
    }
    expect_faults(&t, 226);
    vmk_mm_lock_read(t.mm); /* in an area that was found before, they count as well */
    assert_int_equal(vmk_vma_fault(vmk_mm_find(t.mm, BASE), &request, &fault), 0);
    vmk_mm_unlock_read(t.mm);
    expect_faults(&t, 227);
    assert_int_equal(atomic_load(&t.nr_live), nr_live);
    fault_on(&t, 1);
    expect_faults(&t, 228);
    assert_int_equal(atomic_load(&t.nr_live), nr_live + 1);
    for (int i = 0; i < 20; i++)
        for (int nr = 0; nr <= i; nr++)
            fault_on(&t, i);
    expect_faults(&t, 228 + 210);
    assert_int_equal(t.mm->counters.fault, 228);
    for (unsigned i = 0; i < VMKI_NR_STRIPES; i++)
        assert_int_equal(t.mm->fault_stripes[i].nr_faults, i + 1 + (i < 4 ? i + 17 : 0));
    assert_int_equal(atomic_load(&t.nr_live), nr_live + 1);
    vt_teardown(&t);
}

/* Without memory for them it goes on as it was, and is tried again after as many times. */
static void test_counters_without_memory(void **state)
{
    struct vt t;

    (void)state;
    processor = 0;
    vt_setup(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    atomic_store(&t.until_fail, 0);
    for (int i = 1; i <= 127; i++)
        fault_on(&t, i % 2);
    assert_null(t.mm->fault_stripes);
    assert_true(atomic_load(&t.failed));
    atomic_store(&t.until_fail, -1);
    fault_on(&t, 0);
    assert_non_null(t.mm->fault_stripes);
    expect_faults(&t, 128);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hooks),    cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_answers),  cmocka_unit_test(test_bad_answers),
        cmocka_unit_test(test_stacks),   cmocka_unit_test(test_what_does_not_grow),
        cmocka_unit_test(test_counters), cmocka_unit_test(test_counters_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
