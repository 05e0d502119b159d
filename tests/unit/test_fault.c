/* SPDX-License-Identifier: MIT */
/* Faults by their case numbers (docs/faults.md), stack growth, access checks, page protection. */
#include "support.h"
#include "vmakit/backend.h"

#define BASE  UINT64_C(0x10000000)
#define STACK UINT64_C(0x200000000)
#define P(n)  ((uint64_t)(n)*VT_PAGE)
#define R     VMK_ACCESS_READ
#define W     VMK_ACCESS_WRITE
#define X     VMK_ACCESS_EXEC
#define HUGE  UINT64_C(0x200000)

static struct vmk_fault fault;

/* The case of a fault; `fault` has the rest. */
static unsigned at(struct vt *t, vmk_addr address, unsigned access, unsigned flags)
{
    const struct vmk_fault_request request = {.address = address, .access = access, .flags = flags};

    assert_int_equal(vmk_mm_fault(t->mm, &request, &fault), 0);
    assert_memory_equal(&fault.request, &request, sizeof(request));
    vt_validate(t);
    return fault.fault_case;
}

static void assert_signal(int signal, int code)
{
    assert_int_equal(fault.outcome, VMK_FAULT_SIGNAL);
    assert_int_equal(fault.signal, signal);
    assert_int_equal(fault.code, code);
}

static void stack(struct vt *t, vmk_addr start, unsigned pages, uint32_t prot, uint32_t flags)
{
    assert_ret(vt_mmap_file(t, start, P(pages), prot, VT_FIXED | VMK_MAP_GROWSDOWN | flags, NULL, 0), start);
}

static void case_1_no_area(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    assert_int_equal(at(&t, BASE + P(1), R, VMK_FAULT_USER), VMK_FAULT_CASE_1);
    assert_signal(VMK_SIGSEGV, VMK_SEGV_MAPERR);
    assert_int_equal(at(&t, BASE - 1, W, 0), VMK_FAULT_CASE_1);
    assert_signal(VMK_SIGSEGV, VMK_SEGV_MAPERR);
    assert_int_equal(at(&t, UINT64_MAX, W, 0), VMK_FAULT_CASE_1);
    assert_true(fault.start == 0 && fault.end == 0);
    vt_teardown(&t);
}

static void case_2_protection(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(1), VT_R);
    vt_anon(&t, BASE + P(2), P(1), VMK_PROT_NONE);
    vt_anon(&t, BASE + P(4), P(1), VMK_PROT_WRITE);
    vt_anon(&t, BASE + P(6), P(1), VMK_PROT_EXEC);
    const struct {
        vmk_addr address;
        unsigned access;
    } refused[] = {{BASE, W},        {BASE, X},        {BASE + P(2), R}, {BASE + P(2), W},
                   {BASE + P(2), X}, {BASE + P(4), X}, {BASE + P(6), W}};
    for (size_t i = 0; i < VMKI_ARRAY_SIZE(refused); i++) {
        assert_int_equal(at(&t, refused[i].address, refused[i].access, 0), VMK_FAULT_CASE_2);
        assert_signal(VMK_SIGSEGV, VMK_SEGV_ACCERR);
        assert_false(fault.anon_vma_new);
    }
    /* Write implies read, and so does execute. */
    assert_int_equal(at(&t, BASE + P(4), R, 0), VMK_FAULT_CASE_3A);
    assert_int_equal(at(&t, BASE + P(6), R, 0), VMK_FAULT_CASE_3A);
    assert_int_equal(at(&t, BASE + P(6), X, 0), VMK_FAULT_CASE_3A);
    vt_teardown(&t);
}

static void case_2_foreign(void **state)
{
    struct vt t;
    const unsigned remote = VMK_ACCESS_FOREIGN | VMK_ACCESS_REMOTE, force = VMK_ACCESS_FOREIGN | VMK_ACCESS_FORCE;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(1), VMK_PROT_NONE);
    vt_anon(&t, BASE + P(2), P(1), VMK_PROT_WRITE);
    assert_ret(vt_mmap_file(&t, BASE + P(4), P(1), VT_R, VMK_MAP_SHARED | VMK_MAP_FIXED, vt_file(&t, 1), 0),
               BASE + P(4));
    /* process_vm_readv looks at READ alone. */
    assert_int_equal(at(&t, BASE, R | remote, 0), VMK_FAULT_CASE_2);
    assert_int_equal(at(&t, BASE + P(2), R | remote, 0), VMK_FAULT_CASE_2);
    assert_int_equal(at(&t, BASE + P(2), W | remote, 0), VMK_FAULT_CASE_3B);
    /* A debugger reads anything, and writes private memory into a copy, which brings an anon_vma. */
    assert_int_equal(at(&t, BASE, R | force, 0), VMK_FAULT_CASE_3A);
    assert_false(fault.anon_vma_new);
    assert_int_equal(at(&t, BASE, W | force, 0), VMK_FAULT_CASE_3B);
    assert_true(fault.anon_vma_new);
    assert_int_equal(at(&t, BASE + P(4), W | force, 0), VMK_FAULT_CASE_2);
    assert_map(&t, "10000000-10001000 ---p anon=a1\n10002000-10003000 -w-p ac anon=a2\n"
                   "10004000-10005000 r--s pgoff=0 file=1\n");
    vt_teardown(&t);
}

/* Memory that the kernel itself has no pages of, or keeps its hands off: vvar, a device's, secret memory. */
static void case_2_foreign_out_of_reach(void **state)
{
    struct vt t;
    const unsigned force = VMK_ACCESS_FOREIGN | VMK_ACCESS_FORCE;
    struct vmk_vma *vma;
    const struct vmk_vma_request vvar = {.start = BASE,
                                         .end = BASE + P(1),
                                         .special_name = "[vvar]",
                                         .flags = VMK_VM_READ | VMK_VM_MAYREAD | VMK_VM_IO | VMK_VM_PFNMAP};

    (void)state;
    vt_setup(&t);
    vmk_mm_lock_write(t.mm);
    assert_int_equal(vmk_vma_create_and_insert(t.mm, &vvar, &vma), 0);
    vmk_mm_unlock_write(t.mm);
    assert_int_equal(at(&t, BASE, R, 0), VMK_FAULT_CASE_3F);
    assert_int_equal(fault.outcome, VMK_FAULT_MINOR);
    assert_int_equal(at(&t, BASE, R | force, 0), VMK_FAULT_CASE_2);
    assert_int_equal(at(&t, BASE, R | VMK_ACCESS_REMOTE, 0), VMK_FAULT_CASE_2);
    assert_ret(vt_mmap_file(&t, BASE + P(4), P(1), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED,
                            vt_file_kind(&t, 1, VMK_OBJECT_SECRET, P(4)), 0),
               BASE + P(4));
    assert_int_equal(at(&t, BASE + P(4), W, 0), VMK_FAULT_CASE_3E);
    assert_int_equal(at(&t, BASE + P(4), W | force, 0), VMK_FAULT_CASE_2);
    vt_teardown(&t);
}

static void case_2a_key_and_shadow_stack(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    assert_int_equal(at(&t, BASE, R, VMK_FAULT_PKEY), VMK_FAULT_CASE_2A);
    assert_signal(VMK_SIGSEGV, VMK_SEGV_PKUERR);
    assert_int_equal(at(&t, BASE, R | VMK_ACCESS_REMOTE, VMK_FAULT_PKEY), VMK_FAULT_CASE_3A);
    assert_int_equal(vmki_pages(t.mm, P(1)), 1);
    const struct vmk_vma_request request = {.start = BASE + P(4),
                                            .end = BASE + P(5),
                                            .flags = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAYREAD | VMK_VM_MAYWRITE |
                                                     VMK_VM_SHADOW_STACK};
    struct vmk_vma *vma;
    vmk_mm_lock_write(t.mm);
    assert_int_equal(vmk_vma_create_and_insert(t.mm, &request, &vma), 0);
    vmk_mm_unlock_write(t.mm);
    assert_int_equal(at(&t, BASE + P(4), W, 0), VMK_FAULT_CASE_2A);
    assert_signal(VMK_SIGSEGV, VMK_SEGV_ACCERR);
    vt_teardown(&t);
}

static void case_2b_guard_region(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    assert_int_equal(at(&t, BASE, R, VMK_FAULT_GUARD), VMK_FAULT_CASE_2B);
    assert_signal(VMK_SIGSEGV, VMK_SEGV_MAPERR);
    vt_teardown(&t);
}

static void case_3a_and_3b_anonymous(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(4), VT_RW);
    assert_int_equal(at(&t, BASE + P(1) + 5, R, 0), VMK_FAULT_CASE_3A);
    assert_int_equal(fault.outcome, VMK_FAULT_MINOR);
    assert_true(fault.start == BASE && fault.end == BASE + P(4) && fault.pgoff == (BASE >> 12) + 1);
    assert_map(&t, "10000000-10004000 rw-p ac\n");
    assert_int_equal(at(&t, BASE + P(2), W, 0), VMK_FAULT_CASE_3B);
    assert_true(fault.anon_vma_new);
    assert_int_equal(at(&t, BASE + P(3), W, 0), VMK_FAULT_CASE_3B);
    assert_false(fault.anon_vma_new);
    assert_map(&t, "10000000-10004000 rw-p ac anon=a1\n");
    vt_teardown(&t);
}

/* Merging 3: the next neighbour's anon_vma is reused, then the previous one's. */
static void anon_vma_of_a_neighbour(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(3), VT_RW);
    assert_int_equal(at(&t, BASE, W, 0), VMK_FAULT_CASE_3B);
    vt_anon(&t, BASE + P(3), P(1), VT_RW | VMK_PROT_EXEC);
    assert_int_equal(at(&t, BASE + P(3), W, 0), VMK_FAULT_CASE_3B);
    assert_true(fault.anon_vma_new);
    assert_map(&t, "10000000-10003000 rw-p ac anon=a1\n10003000-10004000 rwxp ac anon=a1\n");
    assert_ret(vt_mprotect(&t, BASE + P(3), P(1), VT_RW), 0);
    assert_map(&t, "10000000-10004000 rw-p ac anon=a1\n");
    vt_teardown(&t);
}

static void file_faults(void **state)
{
    struct vt t;
    struct vmk_file *file;

    (void)state;
    vt_setup(&t);
    file = vt_file_kind(&t, 1, VMK_OBJECT_REGULAR, P(2) + 10);
    assert_ret(vt_mmap_file(&t, BASE, P(4), VT_RW, VMK_MAP_PRIVATE | VMK_MAP_FIXED, file, 0), BASE);
    assert_ret(vt_mmap_file(&t, BASE + P(8), P(4), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, file, 0), BASE + P(8));
    assert_int_equal(at(&t, BASE, R, 0), VMK_FAULT_CASE_3C);
    assert_int_equal(at(&t, BASE + P(8), R, 0), VMK_FAULT_CASE_3E);
    assert_int_equal(at(&t, BASE + P(8), W, 0), VMK_FAULT_CASE_3E);
    assert_int_equal(fault.pgoff, 0);
    /* Case 6: the last page may be partly beyond the end, not wholly. */
    assert_int_equal(at(&t, BASE + P(2) + 100, R, 0), VMK_FAULT_CASE_3C);
    assert_int_equal(at(&t, BASE + P(3), R, 0), VMK_FAULT_CASE_6);
    assert_signal(VMK_SIGBUS, VMK_BUS_ADRERR);
    assert_int_equal(at(&t, BASE + P(11), W, 0), VMK_FAULT_CASE_6);
    assert_false(fault.anon_vma_new);
    /* A private write beyond the end leaves an anon_vma behind. */
    assert_int_equal(at(&t, BASE + P(3), W, 0), VMK_FAULT_CASE_6);
    assert_true(fault.anon_vma_new);
    assert_int_equal(at(&t, BASE, W, 0), VMK_FAULT_CASE_3D);
    vmk_object_set_nr_bytes(vmk_file_object(file), P(4));
    assert_int_equal(at(&t, BASE + P(3), R, 0), VMK_FAULT_CASE_3C);
    assert_map(&t, "10000000-10004000 rw-p ac anon=a1 pgoff=0 file=1\n10008000-1000c000 rw-s pgoff=0 file=1\n");
    vt_teardown(&t);
}

static void case_4_and_5_present(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    assert_ret(vt_mmap_file(&t, BASE + P(4), P(1), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, vt_file(&t, 1), 0),
               BASE + P(4));
    assert_int_equal(at(&t, BASE, R, VMK_FAULT_PRESENT), VMK_FAULT_CASE_5);
    assert_false(fault.anon_vma_new);
    assert_int_equal(at(&t, BASE, W, VMK_FAULT_PRESENT), VMK_FAULT_CASE_4B);
    assert_true(fault.anon_vma_new);
    assert_int_equal(at(&t, BASE + P(4), W, VMK_FAULT_PRESENT), VMK_FAULT_CASE_5);
    vt_teardown(&t);
}

/* Does a read of an aligned huge range bring an anon_vma? */
static bool huge_read(struct vt *t, vmk_addr start, uint64_t len, int advice, unsigned flags)
{
    const struct vmk_madvise_request advise = {.address = start, .len = len, .advice = advice};

    vt_anon(t, start, len, VT_RW);
    if (advice >= 0)
        assert_int_equal(vmk_madvise(t->mm, &advise, NULL), 0);
    unsigned fault_case = at(t, start + len / 2, R, flags);
    assert_true(fault_case == (fault.anon_vma_new ? VMK_FAULT_CASE_8 : VMK_FAULT_CASE_3A));
    bool has_anon_vma = fault.anon_vma_new;
    assert_ret(vt_munmap(t, start, len), 0);
    return has_anon_vma;
}

static void case_8_huge_read(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_true(huge_read(&t, STACK, HUGE, VMK_MADV_HUGEPAGE, 0));
    assert_true(huge_read(&t, STACK, 4 * HUGE, VMK_MADV_HUGEPAGE, 0));
    assert_false(huge_read(&t, STACK, HUGE, -1, 0));
    assert_false(huge_read(&t, STACK, HUGE, VMK_MADV_NOHUGEPAGE, 0));
    assert_false(huge_read(&t, STACK, HUGE - P(1), VMK_MADV_HUGEPAGE, 0));
    assert_false(huge_read(&t, STACK + P(1), HUGE, VMK_MADV_HUGEPAGE, 0));
    assert_false(huge_read(&t, STACK, HUGE, VMK_MADV_HUGEPAGE, VMK_FAULT_HAS_TABLE));
    const struct vmk_set_option_request disable = {.option = VMK_OPTION_THP_DISABLE, .value = 1};
    assert_int_equal(vmk_set_option(t.mm, &disable, NULL), 0);
    assert_false(huge_read(&t, STACK, HUGE, VMK_MADV_HUGEPAGE, 0));
    vt_teardown(&t);
    vt_init(&t);
    t.system_options.settings.thp = 2;
    vt_open(&t);
    assert_true(huge_read(&t, STACK, HUGE, -1, 0));
    assert_false(huge_read(&t, STACK, HUGE, VMK_MADV_NOHUGEPAGE, 0));
    vt_teardown(&t);
}

static void uffd(struct vt *t, vmk_addr start, uint64_t len, uint64_t mode)
{
    const struct vmk_uffd_request request = {
        .action = VMK_UFFD_REGISTER, .context = 7, .mode = mode, .address = start, .len = len};

    assert_int_equal(vmk_uffd(t->mm, &request, NULL), 0);
}

static void case_3h_userfaultfd(void **state)
{
    struct vt t;
    uint64_t token;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    uffd(&t, BASE, P(2), VMK_UFFD_MODE_MISSING);
    assert_int_equal(at(&t, BASE + 77, R, 0), VMK_FAULT_CASE_3H);
    assert_int_equal(fault.outcome, VMK_FAULT_PENDING);
    assert_false(fault.anon_vma_new);
    token = fault.token;
    assert_true(token != 0);
    assert_int_equal(vmk_fault_complete(t.mm, token, VMK_FAULT_WOKEN, &fault), 0);
    assert_int_equal(fault.outcome, VMK_FAULT_RETRY);
    assert_int_equal(vmk_fault_complete(t.mm, token, VMK_FAULT_POISONED, &fault), 0);
    assert_signal(VMK_SIGBUS, VMK_BUS_MCEERR_AR);
    assert_int_equal(vmk_fault_complete(t.mm, token, VMK_FAULT_FILLED, &fault), 0);
    assert_int_equal(fault.outcome, VMK_FAULT_MINOR);
    assert_true(fault.anon_vma_new); /* UFFDIO_COPY brings it */
    assert_int_equal(fault.request.address, BASE);
    assert_ret(vt_munmap(&t, BASE, P(2)), 0);
    assert_int_equal(vmk_fault_complete(t.mm, token, VMK_FAULT_FILLED, &fault), 0);
    assert_int_equal(fault.outcome, VMK_FAULT_RETRY);
    assert_int_equal(vmk_fault_complete(t.mm, BASE, VMK_FAULT_FILLED, &fault), -VMK_ERR_MISUSE);
    assert_int_equal(vmk_fault_complete(t.mm, token, (enum vmk_fault_answer)9, &fault), -VMK_ERR_MISUSE);
    vt_teardown(&t);
}

static void case_3h_write_has_its_anon_vma(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    uffd(&t, BASE, P(2), VMK_UFFD_MODE_MISSING);
    assert_int_equal(at(&t, BASE, W, 0), VMK_FAULT_CASE_3H);
    assert_int_equal(fault.outcome, VMK_FAULT_PENDING);
    assert_true(fault.anon_vma_new);
    assert_int_equal(at(&t, BASE, W, VMK_FAULT_NOWAIT), VMK_FAULT_CASE_3H);
    assert_int_equal(fault.outcome, VMK_FAULT_RETRY);
    /* And so has a read where a huge page could come. */
    const struct vmk_madvise_request huge = {.address = STACK, .len = HUGE, .advice = VMK_MADV_HUGEPAGE};
    vt_anon(&t, STACK, HUGE, VT_RW);
    assert_int_equal(vmk_madvise(t.mm, &huge, NULL), 0);
    uffd(&t, STACK, HUGE, VMK_UFFD_MODE_MISSING);
    assert_int_equal(at(&t, STACK, R, 0), VMK_FAULT_CASE_3H);
    assert_true(fault.anon_vma_new);
    vt_teardown(&t);
}

static void case_4e_userfaultfd_wp_and_minor(void **state)
{
    struct vt t;
    struct vmk_file *file;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    uffd(&t, BASE, P(2), VMK_UFFD_MODE_WP);
    assert_int_equal(at(&t, BASE, W, VMK_FAULT_PRESENT | VMK_FAULT_UFFD_WP), VMK_FAULT_CASE_4E);
    assert_int_equal(fault.outcome, VMK_FAULT_PENDING);
    assert_int_equal(vmk_fault_complete(t.mm, fault.token, VMK_FAULT_UNPROTECTED, &fault), 0);
    assert_int_equal(fault.outcome, VMK_FAULT_RETRY);
    assert_int_equal(at(&t, BASE, W, VMK_FAULT_PRESENT), VMK_FAULT_CASE_4B);
    file = vt_file_kind(&t, 1, VMK_OBJECT_SHMEM, P(4));
    assert_ret(vt_mmap_file(&t, BASE + P(8), P(4), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, file, 0), BASE + P(8));
    uffd(&t, BASE + P(8), P(4), VMK_UFFD_MODE_MINOR);
    assert_int_equal(at(&t, BASE + P(8), R, VMK_FAULT_CACHED), VMK_FAULT_CASE_3H);
    assert_int_equal(at(&t, BASE + P(8), R, 0), VMK_FAULT_CASE_3E);
    vt_teardown(&t);
}

static void case_7_no_memory(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    atomic_store(&t.until_fail, 0);
    assert_int_equal(at(&t, BASE, W, 0), VMK_FAULT_CASE_7);
    assert_int_equal(fault.outcome, VMK_FAULT_NO_MEMORY);
    atomic_store(&t.until_fail, -1);
    assert_int_equal(at(&t, BASE, W, 0), VMK_FAULT_CASE_3B);
    vt_teardown(&t);
}

static void tracked_write(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(4), VT_RW);
    assert_int_equal(vmk_mm_track_writes(t.mm, BASE, BASE + P(4)), 0);
    assert_int_equal(at(&t, BASE + P(1), R, 0), VMK_FAULT_CASE_3A);
    at(&t, BASE + P(1), W, 0);
    assert_int_equal(fault.outcome, VMK_FAULT_TRACKED);
    assert_false(fault.anon_vma_new);
    assert_int_equal(at(&t, BASE + P(1), W, 0), VMK_FAULT_CASE_3B);
    assert_true(vmk_mm_is_tracked(t.mm, BASE));
    assert_false(vmk_mm_is_tracked(t.mm, BASE + P(1)));
    vt_teardown(&t);
}

static void fault_of_one_area(void **state)
{
    struct vt t;
    struct vmk_vma *vma;
    struct vmk_fault_request request = {.address = BASE + P(1), .access = W};

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vmk_mm_lock_write(t.mm);
    vma = vmk_mm_find(t.mm, BASE);
    assert_int_equal(vmk_vma_fault(vma, &request, &fault), 0);
    assert_int_equal(fault.fault_case, VMK_FAULT_CASE_3B);
    request.address = BASE + P(2);
    assert_int_equal(vmk_vma_fault(vma, &request, &fault), -VMK_ERR_MISUSE);
    request.address = BASE - 1;
    assert_int_equal(vmk_vma_fault(vma, &request, &fault), -VMK_ERR_MISUSE);
    vmk_mm_unlock_write(t.mm);
    request.access = 0;
    assert_int_equal(vmk_mm_fault(t.mm, &request, &fault), -VMK_ERR_MISUSE);
    request.access = R | 1u << 20;
    assert_int_equal(vmk_mm_fault(t.mm, &request, &fault), -VMK_ERR_MISUSE);
    request.access = R;
    request.flags = 1u << 20;
    assert_int_equal(vmk_mm_fault(t.mm, &request, &fault), -VMK_ERR_MISUSE);
    vt_teardown(&t);
}

/* ---- Stack growth ---- */

static void case_1a_stack_grows(void **state)
{
    struct vt t;
    struct vmk_mm_stats stats = {.size = sizeof(stats)};

    (void)state;
    vt_setup(&t);
    stack(&t, STACK, 4, VT_RW, 0);
    assert_int_equal(at(&t, STACK - P(3) + 1, R, 0), VMK_FAULT_CASE_1A);
    assert_int_equal(fault.outcome, VMK_FAULT_MINOR);
    assert_int_equal(fault.grown, 3);
    assert_true(fault.start == STACK - P(3) && fault.anon_vma_new);
    assert_map(&t, "1ffffd000-200004000 rw-p gd ac anon=a1\n");
    vmk_mm_get_stats(t.mm, &stats);
    assert_int_equal(stats.stack_vm, 7);
    assert_int_equal(stats.committed, 7);
    assert_int_equal(at(&t, STACK - P(4), W, VMK_FAULT_NO_GROW), VMK_FAULT_CASE_1);
    vt_teardown(&t);
}

/* Grows even where the access is refused afterwards. */
static void stack_grows_then_refuses(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    stack(&t, STACK, 4, VMK_PROT_NONE, 0);
    assert_int_equal(at(&t, STACK - P(1), W, 0), VMK_FAULT_CASE_2);
    assert_signal(VMK_SIGSEGV, VMK_SEGV_ACCERR);
    assert_int_equal(fault.grown, 1);
    assert_map(&t, "1fffff000-200004000 ---p gd anon=a1\n");
    vt_teardown(&t);
}

/* Pages by which a stack can grow over `gap` free pages above a neighbour. */
static unsigned growth_towards(unsigned gap, uint32_t prot, uint32_t flags)
{
    struct vt t;
    unsigned grown = 0;

    vt_setup(&t);
    stack(&t, STACK, 4, VT_RW, 0);
    assert_ret(vt_mmap_file(&t, STACK - P(gap + 2), P(2), prot, VT_FIXED | flags, NULL, 0), STACK - P(gap + 2));
    while (grown < 3 && at(&t, STACK - P(grown + 1), W, 0) == VMK_FAULT_CASE_1A)
        grown++;
    if (grown < 3)
        assert_signal(VMK_SIGSEGV, VMK_SEGV_MAPERR);
    vt_teardown(&t);
    return grown;
}

static void case_1b_guard_gap(void **state)
{
    (void)state;
    assert_int_equal(growth_towards(300, VT_RW, 0), 3);
    assert_int_equal(growth_towards(258, VT_RW, 0), 2);
    assert_int_equal(growth_towards(257, VT_RW, 0), 1);
    assert_int_equal(growth_towards(256, VT_RW, 0), 0);
    assert_int_equal(growth_towards(3, VT_R, 0), 0);
    assert_int_equal(growth_towards(3, VMK_PROT_EXEC, 0), 0);
    assert_int_equal(growth_towards(3, VMK_PROT_NONE, 0), 3);
    assert_int_equal(growth_towards(3, VT_RW, VMK_MAP_GROWSDOWN), 3);
}

static void case_1b_limits(void **state)
{
    struct vt t;
    struct vmk_rlimits limits;

    (void)state;
    vt_setup(&t);
    stack(&t, STACK, 4, VT_RW, 0);
    vmk_mm_get_rlimits(t.mm, &limits);
    limits.stack.soft = P(8);
    vmk_mm_set_rlimits(t.mm, &limits);
    assert_int_equal(at(&t, STACK - P(5), R, 0), VMK_FAULT_CASE_1B);
    assert_signal(VMK_SIGSEGV, VMK_SEGV_MAPERR);
    assert_true(fault.anon_vma_new); /* a limit refuses only after that */
    assert_int_equal(at(&t, STACK - P(4), R, 0), VMK_FAULT_CASE_1A);
    limits.stack.soft = P(9) - 1;
    vmk_mm_set_rlimits(t.mm, &limits);
    assert_int_equal(at(&t, STACK - P(5), R, 0), VMK_FAULT_CASE_1B);
    limits.stack.soft = VMK_RLIM_INFINITY;
    limits.as.soft = P(9);
    limits.data.soft = limits.data.hard = 0; /* does not count stacks */
    vmk_mm_set_rlimits(t.mm, &limits);
    assert_int_equal(at(&t, STACK - P(6), R, 0), VMK_FAULT_CASE_1B);
    assert_int_equal(at(&t, STACK - P(5), R, 0), VMK_FAULT_CASE_1A);
    vt_teardown(&t);
}

static void case_1b_memlock(void **state)
{
    struct vt t;
    struct vmk_rlimits limits;
    const struct vmk_mlock_request lock = {.address = STACK, .len = P(4)};

    (void)state;
    vt_setup(&t);
    stack(&t, STACK, 4, VT_RW, 0);
    stack(&t, STACK + P(1024), 4, VT_RW, 0);
    assert_int_equal(vmk_mlock(t.mm, &lock, NULL), 0);
    vmk_mm_get_rlimits(t.mm, &limits);
    limits.memlock.soft = P(6);
    vmk_mm_set_rlimits(t.mm, &limits);
    assert_int_equal(at(&t, STACK - P(2), R, 0), VMK_FAULT_CASE_1A);
    assert_int_equal(at(&t, STACK - P(3), R, 0), VMK_FAULT_CASE_1B);
    assert_int_equal(at(&t, STACK + P(1023), R, 0), VMK_FAULT_CASE_1A);
    vmk_mm_set_capabilities(t.mm, VMK_CAP_IPC_LOCK);
    assert_int_equal(at(&t, STACK - P(3), R, 0), VMK_FAULT_CASE_1A);
    vt_teardown(&t);
}

static void case_1b_mmap_min_addr(void **state)
{
    struct vt t;

    (void)state;
    vt_init(&t);
    t.mm_options.capabilities = VMK_CAP_SYS_RAWIO;
    vt_open(&t);
    stack(&t, 0x12000, 4, VT_RW, 0);
    assert_int_equal(at(&t, 0xf000, W, 0), VMK_FAULT_CASE_1B);
    assert_false(fault.anon_vma_new);
    assert_int_equal(at(&t, 0x10000, W, 0), VMK_FAULT_CASE_1A);
    vt_teardown(&t);
}

/* A stack moved up with its old page offsets cannot grow below offset 0. */
static void case_1b_page_offset(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    stack(&t, 0x100000, 4, VT_RW, 0);
    assert_int_equal(at(&t, 0x100000, W, 0), VMK_FAULT_CASE_3B);
    assert_ret(vt_mremap(&t, 0x100000, P(4), P(4), VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED, STACK), STACK);
    assert_int_equal(at(&t, STACK - P(0x101), W, 0), VMK_FAULT_CASE_1B);
    assert_int_equal(at(&t, STACK - P(0x100), W, 0), VMK_FAULT_CASE_1A);
    assert_map(&t, "1fff00000-200004000 rw-p gd ac anon=a1 pgoff=0\n");
    vt_teardown(&t);
}

/* Linux charges every growth, and gives back only what is marked. */
static void stack_growth_is_charged(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    stack(&t, STACK, 4, VT_RW, 0);
    assert_int_equal(at(&t, STACK - P(10), W, 0), VMK_FAULT_CASE_1A);
    assert_int_equal(vmk_system_committed(t.system), 14);
    assert_ret(vt_munmap(&t, STACK - P(10), P(14)), 0);
    assert_int_equal(vmk_system_committed(t.system), 0);
    stack(&t, STACK, 4, VT_RW, VMK_MAP_NORESERVE);
    assert_int_equal(at(&t, STACK - P(10), W, 0), VMK_FAULT_CASE_1A);
    assert_int_equal(vmk_system_committed(t.system), 10);
    assert_ret(vt_munmap(&t, STACK - P(10), P(14)), 0);
    assert_int_equal(vmk_system_committed(t.system), 10);
    vt_teardown(&t);
}

static void case_1b_overcommit(void **state)
{
    struct vt t;
    struct vmk_rlimits limits;

    (void)state;
    vt_setup(&t);
    stack(&t, UINT64_C(0x500000000000), 4, VT_RW, VMK_MAP_NORESERVE);
    vmk_mm_get_rlimits(t.mm, &limits);
    limits.stack.soft = VMK_RLIM_INFINITY;
    vmk_mm_set_rlimits(t.mm, &limits);
    assert_int_equal(at(&t, UINT64_C(0x500000000000) - (UINT64_C(1) << 40), W, 0), VMK_FAULT_CASE_1B);
    assert_int_equal(vmk_system_committed(t.system), 0);
    assert_int_equal(at(&t, UINT64_C(0x500000000000) - (UINT64_C(1) << 30), W, 0), VMK_FAULT_CASE_1A);
    vt_teardown(&t);
}

static void stack_growth_without_memory(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    stack(&t, STACK, 4, VT_RW, 0);
    for (long n = 0;; n++) {
        atomic_store(&t.until_fail, n);
        unsigned fault_case = at(&t, STACK - P(1), W, 0);
        atomic_store(&t.until_fail, -1);
        if (fault_case == VMK_FAULT_CASE_1A)
            break;
        assert_int_equal(fault_case, VMK_FAULT_CASE_7);
        assert_int_equal(fault.outcome, VMK_FAULT_NO_MEMORY);
        assert_true(n < 20);
    }
    vt_teardown(&t);
}

static void stack_growth_respects_reserved_ranges(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    stack(&t, STACK, 4, VT_RW, 0);
    assert_int_equal(vmk_mm_reserve_range(t.mm, STACK - P(3), STACK - P(2)), 0);
    assert_int_equal(at(&t, STACK - P(3), W, 0), VMK_FAULT_CASE_1B);
    assert_int_equal(at(&t, STACK - P(2), W, 0), VMK_FAULT_CASE_1A);
    vt_teardown(&t);
}

static unsigned nr_prepared, nr_begun, nr_applied, nr_ended;
static int backend_answer;
static vmk_vm_flags applied_flags;

static int backend_prepare(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    (void)context;
    (void)mm;
    (void)edit;
    nr_prepared++;
    return backend_answer;
}

static void backend_apply(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    (void)context;
    (void)mm;
    assert_int_equal(edit->kind, VMK_EDIT_MAP);
    assert_true(edit->prot == VT_RW || edit->prot == 0);
    applied_flags = edit->flags;
    nr_applied++;
}

static void backend_begin(void *context, struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    (void)context;
    (void)mm;
    assert_true(start < end);
    nr_begun++;
}

static void backend_end(void *context, struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    (void)context;
    (void)mm;
    assert_true(start < end);
    nr_ended++;
}

static void stack_growth_with_a_backend(void **state)
{
    static const struct vmk_backend_ops ops = {.size = sizeof(ops),
                                               .granule = 4096,
                                               .prepare = backend_prepare,
                                               .apply = backend_apply,
                                               .invalidate_begin = backend_begin,
                                               .invalidate_end = backend_end};
    struct vt t;

    (void)state;
    vt_init(&t);
    t.mm_options.backend = &ops;
    backend_answer = 0;
    vt_open(&t);
    stack(&t, STACK, 4, VT_RW, 0);
    stack(&t, STACK + P(1024), 4, VT_RW, VMK_MAP_NORESERVE);
    nr_prepared = nr_begun = nr_applied = nr_ended = 0;
    assert_int_equal(at(&t, STACK - P(2), W, 0), VMK_FAULT_CASE_1A);
    assert_true(nr_prepared == 1 && nr_begun == 1 && nr_applied == 1 && nr_ended == 1);
    assert_true(applied_flags == fault.flags && fault.flags != 0);
    backend_answer = -VMK_ENOSPC;
    assert_int_equal(at(&t, STACK - P(3), W, 0), VMK_FAULT_CASE_1B);
    assert_int_equal(at(&t, STACK + P(1023), W, 0), VMK_FAULT_CASE_1B);
    assert_int_equal(vmk_system_committed(t.system), 6);
    assert_true(nr_prepared == 3 && nr_applied == 1);
    backend_answer = -VMK_ERR_HOST_NOMEM;
    assert_int_equal(at(&t, STACK - P(3), W, 0), VMK_FAULT_CASE_7);
    backend_answer = 0;
    vt_teardown(&t);
}

/* The lock that growth needs is held by somebody: ask again. */
static void case_7_must_not_wait(void **state)
{
    struct vt t;
    const struct vmk_fault_request request = {.address = STACK - 1, .access = W, .flags = VMK_FAULT_NOWAIT};

    (void)state;
    vt_setup(&t);
    stack(&t, STACK, 4, VT_RW, 0);
#if !defined(VMK_SYNC_IMMEDIATE)
    vmk_mm_lock_read(t.mm);
    assert_int_equal(vmk_mm_fault(t.mm, &request, &fault), 0);
    assert_int_equal(fault.outcome, VMK_FAULT_RETRY);
    assert_int_equal(fault.fault_case, VMK_FAULT_CASE_7);
    vmk_mm_unlock_read(t.mm);
#endif
    assert_int_equal(vmk_mm_fault(t.mm, &request, &fault), 0);
    assert_int_equal(fault.fault_case, VMK_FAULT_CASE_1A);
    vt_teardown(&t);
}

static void case_9_hugetlb(void **state)
{
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.sysctl.hugetlb_free_pages = 8;
    vt_open(&t);
    assert_ret(vt_mmap_file(&t, STACK, 2 * HUGE, VT_RW, VT_FIXED | VMK_MAP_HUGETLB, NULL, 0), STACK);
    assert_int_equal(at(&t, STACK + HUGE, R, 0), VMK_FAULT_CASE_9);
    assert_false(fault.anon_vma_new);
    assert_int_equal(at(&t, STACK + HUGE, W, 0), VMK_FAULT_CASE_9);
    assert_true(fault.anon_vma_new);
    vt_teardown(&t);
}

static unsigned nr_fault_events;

static void trace(void *context, enum vmk_event event, struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    (void)context;
    (void)mm;
    (void)end;
    if (event == VMK_EVENT_fault) {
        assert_true(start == BASE + 5);
        nr_fault_events++;
    }
}

static void faults_are_counted_and_traced(void **state)
{
    struct vt t;
    struct vmk_counters counters;

    (void)state;
    vt_init(&t);
    t.system_options.trace = trace;
    vt_open(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    at(&t, BASE + 5, R, 0);
    at(&t, BASE + 5, W, 0);
    vmk_mm_get_counters(t.mm, &counters);
    assert_int_equal(counters.fault, 2);
    assert_int_equal(counters.anon_vma_new, 1);
    assert_int_equal(nr_fault_events, 2);
    vt_teardown(&t);
}

/* Completing a fault needs memory too. */
static void completion_without_memory(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    uffd(&t, BASE, P(2), VMK_UFFD_MODE_MISSING);
    assert_int_equal(at(&t, BASE, R, 0), VMK_FAULT_CASE_3H);
    uint64_t token = fault.token;
    atomic_store(&t.until_fail, 0);
    assert_int_equal(vmk_fault_complete(t.mm, token, VMK_FAULT_FILLED, &fault), 0);
    atomic_store(&t.until_fail, -1);
    assert_int_equal(fault.outcome, VMK_FAULT_NO_MEMORY);
    assert_ret(vt_mmap_file(&t, BASE + P(4), P(1), VT_RW, VMK_MAP_PRIVATE | VMK_MAP_FIXED, vt_file(&t, 1), 0),
               BASE + P(4));
    atomic_store(&t.until_fail, 0);
    assert_int_equal(at(&t, BASE + P(4), W, 0), VMK_FAULT_CASE_7);
    atomic_store(&t.until_fail, -1);
    vt_teardown(&t);
}

/* Pages of 16 KiB: growth, offsets and ends of files are counted in them. */
static void large_pages(void **state)
{
    const uint64_t page = UINT64_C(0x4000);
    struct vt t;
    struct vmk_file *file;

    (void)state;
    vt_init(&t);
    assert_int_equal(vmk_settings_set_page_shift(&t.system_options.settings, 14), 0);
    vt_open(&t);
    assert_ret(vt_mmap_file(&t, STACK, 4 * page, VT_RW, VT_FIXED | VMK_MAP_GROWSDOWN, NULL, 0), STACK);
    assert_int_equal(at(&t, STACK - page - 1, W, 0), VMK_FAULT_CASE_1A);
    assert_int_equal(fault.grown, 2);
    assert_int_equal(fault.pgoff, (STACK >> 14) - 2);
    file = vt_file_kind(&t, 1, VMK_OBJECT_REGULAR, page + 1);
    assert_ret(vt_mmap_file(&t, BASE, 4 * page, VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, file, 0), BASE);
    assert_int_equal(at(&t, BASE + 2 * page - 1, W, 0), VMK_FAULT_CASE_3E);
    assert_int_equal(at(&t, BASE + 2 * page, W, 0), VMK_FAULT_CASE_6);
    assert_int_equal(vmk_mm_track_writes(t.mm, BASE, BASE + page), 0);
    at(&t, BASE + page - 1, W, 0);
    assert_int_equal(fault.outcome, VMK_FAULT_TRACKED);
    assert_int_equal(vmk_mm_track_writes(t.mm, BASE, BASE + P(1)), -VMK_EINVAL);
    vt_teardown(&t);
}

/* ---- Access and protection ---- */

static void access_and_page_protection(void **state)
{
    struct vt t;
    struct vmk_page_prot prot;
    struct vmk_vma *vma;

    (void)state;
    vt_init(&t);
    t.system_options.settings.exec_implies_read = 0;
    vt_open(&t);
    prot = vmk_vma_page_prot(t.mm, VMK_VM_WRITE);
    assert_true(prot.readable && prot.cow && prot.user && !prot.writable && !prot.executable);
    prot = vmk_vma_page_prot(t.mm, VMK_VM_WRITE | VMK_VM_SHARED);
    assert_true(prot.writable && !prot.cow && !prot.dirty_log);
    prot = vmk_vma_page_prot(t.mm, VMK_VM_WRITE | VMK_VM_SHARED | VMK_VM_UFFD_WP);
    assert_true(!prot.writable && prot.dirty_log);
    prot = vmk_vma_page_prot(t.mm, VMK_VM_EXEC | UINT64_C(5) << VMK_VM_PKEY_SHIFT);
    assert_true(prot.executable && !prot.readable && prot.user && prot.pkey == 5);
    prot = vmk_vma_page_prot(t.mm, VMK_VM_NONE);
    assert_true(!prot.user && !prot.readable);
    vt_anon(&t, BASE, P(1), VMK_PROT_EXEC);
    vmk_mm_lock_read(t.mm);
    vma = vmk_mm_find(t.mm, BASE);
    assert_int_equal(vmk_vma_check_access(vma, R), -VMK_EACCES);
    assert_int_equal(vmk_vma_check_access(vma, X), 0);
    assert_int_equal(vmk_vma_check_access(vma, W | VMK_ACCESS_FORCE), 0);
    vmk_mm_unlock_read(t.mm);
    assert_int_equal(vmk_mm_check_access(t.mm, BASE, R), -VMK_EACCES);
    assert_int_equal(vmk_mm_check_access(t.mm, BASE + P(1), R), -VMK_ENOENT);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_1_no_area),
        cmocka_unit_test(case_2_protection),
        cmocka_unit_test(case_2_foreign),
        cmocka_unit_test(case_2_foreign_out_of_reach),
        cmocka_unit_test(case_2a_key_and_shadow_stack),
        cmocka_unit_test(case_2b_guard_region),
        cmocka_unit_test(case_3a_and_3b_anonymous),
        cmocka_unit_test(anon_vma_of_a_neighbour),
        cmocka_unit_test(file_faults),
        cmocka_unit_test(case_4_and_5_present),
        cmocka_unit_test(case_8_huge_read),
        cmocka_unit_test(case_3h_userfaultfd),
        cmocka_unit_test(case_3h_write_has_its_anon_vma),
        cmocka_unit_test(case_4e_userfaultfd_wp_and_minor),
        cmocka_unit_test(case_7_no_memory),
        cmocka_unit_test(tracked_write),
        cmocka_unit_test(fault_of_one_area),
        cmocka_unit_test(case_1a_stack_grows),
        cmocka_unit_test(stack_grows_then_refuses),
        cmocka_unit_test(case_1b_guard_gap),
        cmocka_unit_test(case_1b_limits),
        cmocka_unit_test(case_1b_memlock),
        cmocka_unit_test(case_1b_mmap_min_addr),
        cmocka_unit_test(case_1b_page_offset),
        cmocka_unit_test(stack_growth_is_charged),
        cmocka_unit_test(case_1b_overcommit),
        cmocka_unit_test(stack_growth_without_memory),
        cmocka_unit_test(stack_growth_respects_reserved_ranges),
        cmocka_unit_test(stack_growth_with_a_backend),
        cmocka_unit_test(case_7_must_not_wait),
        cmocka_unit_test(case_9_hugetlb),
        cmocka_unit_test(faults_are_counted_and_traced),
        cmocka_unit_test(completion_without_memory),
        cmocka_unit_test(large_pages),
        cmocka_unit_test(access_and_page_protection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
