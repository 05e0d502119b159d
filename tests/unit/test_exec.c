/* SPDX-License-Identifier: MIT */
/* test_exec.c - what exec(2) leaves: the first map is that of a small program on Linux 6.18 under setarch -R. */
#include "calls.h"
#include "support.h"

static struct vt t;

static int setup(void **state)
{
    (void)state;
    vt_setup(&t);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vt_teardown(&t);
    return 0;
}

static int may_not_split(struct vmk_vma *vma, vmk_addr address)
{
    (void)vma;
    (void)address;
    return -VMK_EINVAL;
}

static const struct vmk_vm_ops special_ops = {.size = sizeof(special_ops), .may_split = may_not_split};

#define VVAR (VMK_VM_READ | VMK_VM_MAYREAD | VMK_VM_IO | VMK_VM_PFNMAP | VMK_VM_DONTDUMP)
#define CODE (VMK_VM_READ | VMK_VM_EXEC | VMK_VM_MAY_ACCESS)

static const struct vmk_map_special_request specials[] = {
    {.len = 0x4000, .flags = VVAR, .ops = &special_ops, .special_name = "[vvar]"},
    {.len = 0x2000, .flags = VVAR, .ops = &special_ops, .special_name = "[vvar_vclock]"},
    {.len = 0x2000, .flags = CODE, .ops = &special_ops, .special_name = "[vdso]"},
};

#define EXE    UINT64_C(0x555555554000)
#define LOADER UINT64_C(0x7ffff7fca000)

/* A small program (file 1) with a bss beyond its data, and the dynamic loader (file 2). */
static struct vmk_exec_segment segments[8];

static void fill_segments(struct vt *vt)
{
    struct vmk_file *exe = vt_file(vt, 1), *loader = vt_file(vt, 2);
    const struct vmk_exec_segment filled[8] = {
        {.file = exe, .address = EXE, .len = P(1), .offset = 0, .prot = VT_R},
        {.file = exe, .address = EXE + P(1), .len = P(1), .offset = P(1), .prot = VT_RX},
        {.file = exe, .address = EXE + P(2), .len = P(1), .offset = P(2), .prot = VT_R},
        {.file = exe, .address = EXE + P(3), .len = P(2), .offset = P(2), .prot = VT_RW, .bss_tail = true},
        {.address = EXE + P(5), .len = P(2), .prot = VT_RW},
        {.file = loader, .address = LOADER, .len = P(1), .offset = 0, .prot = VT_R},
        {.file = loader, .address = LOADER + P(1), .len = P(0x30), .offset = P(1), .prot = VT_RX},
        {.file = loader, .address = LOADER + P(0x31), .len = P(4), .offset = P(0x31), .prot = VT_RW, .bss_tail = true},
    };

    memcpy(segments, filled, sizeof(filled));
}

static struct vmk_exec_request program(struct vt *vt)
{
    fill_segments(vt);
    return (struct vmk_exec_request){
        .segments = segments, .nr_segments = 8, .stack_bytes = 1390, .specials = specials, .nr_specials = 3};
}

static int64_t exec(struct vt *vt, const struct vmk_exec_request *request)
{
    return vt_return(vt, vmk_exec(vt->mm, request, &vt->result));
}

#define PROGRAM                                                                                                        \
    "555555554000-555555555000 r--p pgoff=0 file=1\n"                                                                  \
    "555555555000-555555556000 r-xp pgoff=1 file=1\n"                                                                  \
    "555555556000-555555557000 r--p pgoff=2 file=1\n"                                                                  \
    "555555557000-555555559000 rw-p ac anon=a1 pgoff=2 file=1\n"                                                       \
    "555555559000-55555555b000 rw-p ac [heap]\n"
#define LOADER_AND_STACK                                                                                               \
    "7ffff7fca000-7ffff7fcb000 r--p pgoff=0 file=2\n"                                                                  \
    "7ffff7fcb000-7ffff7ffb000 r-xp pgoff=1 file=2\n"                                                                  \
    "7ffff7ffb000-7ffff7fff000 rw-p ac anon=a2 pgoff=31 file=2\n"                                                      \
    "7ffffffde000-7ffffffff000 rw-p gd ac anon=a3 [stack]\n"

static void test_program(void **state)
{
    struct vmk_exec_request request = program(&t);
    struct vmk_mm_stats stats = {.size = sizeof(stats)};
    struct vmk_mm_layout layout;

    (void)state;
    request.start_brk = EXE + P(5) + 0x10;
    assert_ret(exec(&t, &request), UINT64_C(0x7fffffffea90));
    assert_map(&t, PROGRAM "7ffff7fc2000-7ffff7fc6000 r--p pf io de dd !mw !me pgoff=0 [vvar]\n"
                           "7ffff7fc6000-7ffff7fc8000 r--p pf io de dd !mw !me pgoff=0 [vvar_vclock]\n"
                           "7ffff7fc8000-7ffff7fca000 r-xp de pgoff=0 [vdso]\n" LOADER_AND_STACK);
    vmk_mm_get_layout(t.mm, &layout);
    assert_int_equal(layout.start_code, EXE + P(1));
    assert_int_equal(layout.end_code, EXE + P(2));
    assert_int_equal(layout.start_data, EXE + P(3));
    assert_int_equal(layout.end_data, EXE + P(5));
    assert_int_equal(layout.start_brk, EXE + P(5) + 0x10);
    assert_int_equal(layout.brk, EXE + P(5) + 0x10);
    assert_int_equal(layout.start_stack, 0x7fffffffea90);
    vmk_mm_get_stats(t.mm, &stats);
    assert_int_equal(stats.stack_vm, 33);
    assert_int_equal(vmk_system_committed(t.system), 2 + 2 + 4 + 33);
}

/* Where a kernel marks what is new as written, the stack is new too. */
static void test_soft_dirty_stack(void **state)
{
    struct vmk_exec_request request = program(&t);

    (void)state;
    vt_teardown(&t);
    vt_init(&t);
    t.system_options.settings.soft_dirty = 1;
    vt_open(&t);
    request = program(&t);
    assert_true(exec(&t, &request) > 0);
    for (struct vmk_vma *vma = vmki_find_next(t.mm, 0); vma != NULL; vma = vmki_find_next(t.mm, vma->end))
        assert_true((vma->flags & VMK_VM_SOFTDIRTY) != 0);
}

/* Without a break: after the program's own segments; the loader's are another file's. */
static void test_break(void **state)
{
    struct vmk_exec_request request = program(&t);
    struct vmk_mm_layout layout;

    (void)state;
    request.randomize_brk = true; /* though the personality forbids it */
    assert_true(exec(&t, &request) > 0);
    vmk_mm_get_layout(t.mm, &layout);
    assert_int_equal(layout.start_brk, EXE + P(7));
    const struct vmk_brk_request brk = {.address = EXE + P(9)};
    assert_ret(vt_return(&t, vmk_brk(t.mm, &brk, &t.result)), EXE + P(9));
    /* The heap does not become a part of the bss below it. */
    vt_expect_range(t.mm, EXE + P(5), EXE + P(0x10),
                    "555555559000-55555555b000 rw-p ac\n"
                    "55555555b000-55555555d000 rw-p ac [heap]\n",
                    __FILE__, __LINE__);
}

static vmk_addr stack_start(struct vt *vt, uint64_t bytes, uint64_t limit)
{
    const struct vmk_exec_request request = {.stack_bytes = bytes};
    struct vmk_vma_info info = {.size = sizeof(info)};
    struct vmk_rlimits limits;

    vt_teardown(vt);
    vt_setup(vt);
    vmk_mm_get_rlimits(vt->mm, &limits);
    limits.stack.soft = limit;
    vmk_mm_set_rlimits(vt->mm, &limits);
    assert_true(exec(vt, &request) > 0);
    assert_int_equal(vmk_mm_lookup(vt->mm, UINT64_C(0x7fffffffe000), &info), 0);
    assert_int_equal(info.end, UINT64_C(0x7ffffffff000));
    assert_true(info.anon_vma != 0);
    return info.start;
}

/* The strings' pages and 32 more, within RLIMIT_STACK. */
static void test_stack_size(void **state)
{
    const uint64_t mib8 = UINT64_C(8) << 20;

    (void)state;
    assert_int_equal(stack_start(&t, 0, mib8), UINT64_C(0x7ffffffde000));
    assert_int_equal(stack_start(&t, 4096, mib8), UINT64_C(0x7ffffffde000));
    assert_int_equal(stack_start(&t, 4097, mib8), UINT64_C(0x7ffffffdd000));
    assert_int_equal(stack_start(&t, 101000, mib8), UINT64_C(0x7ffffffc6000));
    assert_int_equal(stack_start(&t, 1000, 64 << 10), UINT64_C(0x7ffffffef000));
    assert_int_equal(stack_start(&t, 1000, (16 << 10) + 100), UINT64_C(0x7fffffffb000));
    assert_int_equal(stack_start(&t, 31000, 160 << 10), UINT64_C(0x7ffffffd7000));
    assert_int_equal(stack_start(&t, 9000, 4 << 10), UINT64_C(0x7fffffffc000)); /* never into the strings */
    assert_int_equal(stack_start(&t, 1000, VMK_RLIM_INFINITY), UINT64_C(0x7ffffffde000));
}

/* Lowered, it keeps the page offsets that it had at the top of the address space. */
static void test_lowered_stack(void **state)
{
    const struct vmk_exec_request request = {
        .stack_top = UINT64_C(0x7ffffff00000), .stack_bytes = 1, .executable_stack = true};

    (void)state;
    assert_ret(exec(&t, &request), UINT64_C(0x7fffffeffff0));
    assert_map(&t, "7fffffedf000-7ffffff00000 rwxp gd ac anon=a1 pgoff=7ffffffde [stack]\n");
    /* So that a mapping right above it does not become a part of it. */
    assert_ret(
        vt_mmap_file(&t, UINT64_C(0x7ffffff00000), P(1), VT_RW | VMK_PROT_EXEC, VT_FIXED | VMK_MAP_GROWSDOWN, NULL, 0),
        UINT64_C(0x7ffffff00000));
    assert_map(&t, "7fffffedf000-7ffffff00000 rwxp gd ac anon=a1 pgoff=7ffffffde [stack]\n"
                   "7ffffff00000-7ffffff01000 rwxp gd ac\n");
}

static void test_random_layout(void **state)
{
    struct vmk_exec_request request;
    struct vmk_mm_layout layout;
    vmk_addr start, cursor = UINT64_C(0x7ff000000000);
    struct vmk_vma_info info = {.size = sizeof(info)};

    teardown(state);
    vt_init(&t);
    t.mm_options.personality &= ~VMK_ADDR_NO_RANDOMIZE;
    t.mm_options.seed = 1;
    t.system_options.settings.stack_rnd_pages = 0xff;
    t.system_options.settings.brk_rnd_bytes = UINT64_C(1) << 25;
    vt_open(&t);
    request = program(&t);
    request.nr_segments = 5;
    request.nr_specials = 0;
    request.randomize_brk = true;
    assert_true(exec(&t, &request) > 0);
    assert_int_equal(vmk_mm_next(t.mm, &cursor, &info), 0);
    start = info.start;
    assert_true(info.end <= UINT64_C(0x7ffffffff000) && info.end >= UINT64_C(0x7ffffff00000));
    assert_int_equal(info.end - start, P(33));
    assert_int_equal(info.pgoff, UINT64_C(0x7ffffffde));
    vmk_mm_get_layout(t.mm, &layout);
    assert_true(layout.start_brk >= EXE + P(7) && layout.start_brk < EXE + P(7) + (UINT64_C(1) << 25));
    assert_int_equal(layout.start_brk % P(1), 0);
}

static void test_personality(void **state)
{
    struct vmk_exec_request request = program(&t);

    (void)state;
    vmk_mm_set_personality(t.mm, VMK_ADDR_NO_RANDOMIZE | VMK_READ_IMPLIES_EXEC);
    assert_ret(vt_mlockall(&t, VMK_MCL_FUTURE), 0); /* ends with the old program */
    request.nr_segments = 4;
    request.nr_specials = 0;
    assert_true(exec(&t, &request) > 0);
    assert_map(&t, "555555554000-555555557000 r-xp pgoff=0 file=1\n"
                   "555555557000-555555559000 rwxp ac anon=a1 pgoff=2 file=1\n"
                   "7ffffffde000-7ffffffff000 rwxp gd ac anon=a2 [stack]\n");
}

/* A program on a noexec mount, which exec itself refuses before: its memory can never become executable. */
static void test_noexec(void **state)
{
    struct vmk_exec_request request = program(&t);
    struct vmk_file *exe = vt_file(&t, 1);
    const struct vmk_file_options options = {.size = sizeof(options),
                                             .object = vmk_file_object(exe),
                                             .mode = VMK_FILE_READ | VMK_FILE_NOEXEC,
                                             .name = "/noexec",
                                             .id = 9};
    struct vmk_file *noexec;

    (void)state;
    assert_int_equal(vmk_file_create(t.system, &options, &noexec), 0);
    segments[0].file = noexec;
    request.nr_segments = 1;
    request.nr_specials = 0;
    vmk_mm_set_personality(t.mm, VMK_ADDR_NO_RANDOMIZE | VMK_READ_IMPLIES_EXEC);
    assert_true(exec(&t, &request) > 0);
    assert_ret(vt_mprotect(&t, EXE, P(1), VT_RX), -VMK_EACCES);
    assert_map(&t, "555555554000-555555555000 r--p !me pgoff=0 file=9\n"
                   "7ffffffde000-7ffffffff000 rwxp gd ac anon=a1 [stack]\n");
    vmk_file_put(noexec);
}

/* What the kernel maps for itself is born sealed where it is built so. */
static void test_sealed_specials(void **state)
{
    struct vmk_exec_request request;

    teardown(state);
    vt_init(&t);
    t.system_options.settings.seal_system = 1;
    vt_open(&t);
    request = program(&t);
    request.nr_segments = 0;
    assert_true(exec(&t, &request) > 0);
    assert_map(&t, "7ffff7ff7000-7ffff7ffb000 r--p pf io de dd sl !mw !me pgoff=0 [vvar]\n"
                   "7ffff7ffb000-7ffff7ffd000 r--p pf io de dd sl !mw !me pgoff=0 [vvar_vclock]\n"
                   "7ffff7ffd000-7ffff7fff000 r-xp de sl pgoff=0 [vdso]\n"
                   "7ffffffde000-7ffffffff000 rw-p gd ac anon=a1 [stack]\n");
}

static void test_fixed_specials(void **state)
{
    struct vmk_map_special_request vdso = specials[2];
    struct vmk_exec_request request = {.specials = &vdso, .nr_specials = 1};

    (void)state;
    vdso.address = UINT64_C(0x7ffff0000000);
    assert_true(exec(&t, &request) > 0);
    assert_map(&t, "7ffff0000000-7ffff0002000 r-xp de pgoff=0 [vdso]\n"
                   "7ffffffde000-7ffffffff000 rw-p gd ac anon=a1 [stack]\n");
}

static void test_misuse(void **state)
{
    struct vmk_exec_request request = program(&t);

    (void)state;
    request.nr_specials = 0;
    segments[1].address = EXE; /* overlaps the first: what came before it stays, as in Linux */
    assert_ret(exec(&t, &request), -VMK_ERR_MISUSE);
    assert_map(&t, "555555554000-555555555000 r--p pgoff=0 file=1\n"
                   "7ffffffde000-7ffffffff000 rw-p gd ac anon=a1 [stack]\n");
    assert_ret(exec(&t, &request), -VMK_ERR_MISUSE); /* not empty */
    setup((teardown(state), state));
    request = program(&t);
    segments[0].len = 0;
    request.nr_segments = 1;
    assert_ret(exec(&t, &request), -VMK_ERR_MISUSE);
    setup((teardown(state), state));
    request = program(&t);
    segments[0].address++;
    request.nr_segments = 1;
    assert_ret(exec(&t, &request), -VMK_ERR_MISUSE);
    setup((teardown(state), state));
    request = program(&t);
    request.segments = NULL;
    assert_ret(exec(&t, &request), -VMK_ERR_MISUSE);
    assert_map(&t, "");
    /* Strings may take half of the address space; the machine has less. */
    request = program(&t);
    request.stack_bytes = UINT64_C(0x7ffffffff000) / 2;
    assert_ret(exec(&t, &request), -VMK_ENOMEM);
    request.stack_bytes++;
    assert_ret(exec(&t, &request), -VMK_ERR_MISUSE);
    assert_map(&t, "");
}

static void test_limits(void **state)
{
    struct vmk_exec_request request = program(&t);
    struct vmk_rlimits limits;

    (void)state;
    vmk_mm_get_rlimits(t.mm, &limits);
    limits.as.soft = P(35);
    vmk_mm_set_rlimits(t.mm, &limits);
    assert_ret(exec(&t, &request), -VMK_ENOMEM);
    assert_map(&t, "555555554000-555555555000 r--p pgoff=0 file=1\n"
                   "555555555000-555555556000 r-xp pgoff=1 file=1\n"
                   "7ffffffde000-7ffffffff000 rw-p gd ac anon=a1 [stack]\n");
}

/* Each area is a part of its own, which a host may refuse. */
static void test_two_phases(void **state)
{
    struct vmk_exec_request request = program(&t);
    struct vmk_result result;
    struct vmk_plan plan;
    struct vmk_edit edit;
    unsigned nr = 0;

    (void)state;
    assert_int_equal(vmk_exec_prepare(t.mm, &request, &plan), 0);
    do {
        assert_true(vmk_plan_next_edit(&plan, &edit));
        assert_int_equal(edit.kind, VMK_EDIT_MAP);
        assert_false(vmk_plan_next_edit(&plan, &edit));
        if (nr == 2) {
            assert_int_equal(edit.start, EXE + P(1));
            assert_int_equal(edit.offset, P(1));
            assert_ptr_equal(edit.file, vt_file(&t, 1));
        }
        nr++;
    } while (vmk_plan_commit(&plan, &result) == VMK_PLAN_MORE);
    assert_int_equal(nr, 1 + 8 + 3);
    assert_int_equal(result.error, 0);
    assert_int_equal(result.value, 0x7fffffffea90);
}

/* What the host is told of each area. */
static void test_edits(void **state)
{
    struct vmk_exec_request request = program(&t);
    const vmk_vm_flags may = VMK_VM_MAY_ACCESS, rw = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_ACCOUNT;
    const struct {
        vmk_addr start, end, offset;
        unsigned file;
        uint32_t prot;
        vmk_vm_flags flags;
    } expected[] = {
        {UINT64_C(0x7ffffffde000), UINT64_C(0x7ffffffff000), 0, 0, VT_RW, rw | may | VMK_VM_GROWSDOWN},
        {EXE, EXE + P(1), 0, 1, VT_R, VMK_VM_READ | may},
        {EXE + P(1), EXE + P(2), P(1), 1, VT_RX, VMK_VM_READ | VMK_VM_EXEC | may},
        {EXE + P(2), EXE + P(3), P(2), 1, VT_R, VMK_VM_READ | may},
        {EXE + P(3), EXE + P(5), P(2), 1, VT_RW, rw | may},
        {EXE + P(5), EXE + P(7), 0, 0, VT_RW, rw | may},
        {LOADER, LOADER + P(1), 0, 2, VT_R, VMK_VM_READ | may},
        {LOADER + P(1), LOADER + P(0x31), P(1), 2, VT_RX, VMK_VM_READ | VMK_VM_EXEC | may},
        {LOADER + P(0x31), LOADER + P(0x35), P(0x31), 2, VT_RW, rw | may},
        {LOADER - P(8), LOADER - P(4), 0, 0, VT_R, VVAR | VMK_VM_DONTEXPAND},
        {LOADER - P(4), LOADER - P(2), 0, 0, VT_R, VVAR | VMK_VM_DONTEXPAND},
        {LOADER - P(2), LOADER, 0, 0, VT_RX, CODE | VMK_VM_DONTEXPAND},
    };
    struct vmk_result result;
    struct vmk_plan plan;
    struct vmk_edit edit;

    (void)state;
    assert_int_equal(vmk_exec_prepare(t.mm, &request, &plan), 0);
    for (size_t i = 0; i < VMKI_ARRAY_SIZE(expected); i++) {
        assert_true(vmk_plan_next_edit(&plan, &edit));
        assert_int_equal(edit.kind, VMK_EDIT_MAP);
        assert_int_equal(edit.start, expected[i].start);
        assert_int_equal(edit.end, expected[i].end);
        assert_int_equal(edit.offset, expected[i].offset);
        assert_ptr_equal(edit.file, expected[i].file != 0 ? vt_file(&t, expected[i].file) : NULL);
        assert_int_equal(edit.prot, expected[i].prot);
        assert_int_equal(edit.flags, expected[i].flags);
        assert_false(vmk_plan_next_edit(&plan, &edit));
        assert_int_equal(vmk_plan_commit(&plan, &result), i + 1 < VMKI_ARRAY_SIZE(expected) ? VMK_PLAN_MORE : 0);
    }
    assert_int_equal(result.error, 0);
    vt_validate(&t);
}

/* Refused before anything is mapped, the old program goes on with its default flags and its random numbers. */
static void test_refused_stack(void **state)
{
    struct vmk_exec_request request = program(&t);
    struct vmk_rlimits limits, all;
    struct vmk_plan plan;

    teardown(state);
    vt_init(&t);
    t.mm_options.personality = 0;
    t.mm_options.seed = 5;
    vt_open(&t);
    request = program(&t);
    assert_ret(vt_mlockall(&t, VMK_MCL_FUTURE), 0);
    const vmk_vm_flags def_flags = t.mm->def_flags;
    const uint64_t seed = t.mm->seed;
    const vmk_addr start_stack = t.mm->layout.start_stack;
    assert_int_equal(def_flags, VMK_VM_LOCKED);
    vmk_mm_get_rlimits(t.mm, &limits);
    all = limits;
    limits.as.soft = P(32);
    vmk_mm_set_rlimits(t.mm, &limits);
    assert_ret(exec(&t, &request), -VMK_ENOMEM);
    assert_int_equal(t.mm->def_flags, def_flags);
    assert_int_equal(t.mm->seed, seed);
    vmk_mm_set_rlimits(t.mm, &all);
    /* The same when the host gives the first part up. */
    assert_int_equal(vmk_exec_prepare(t.mm, &request, &plan), 0);
    assert_int_equal(t.mm->nr_spare_file, 0); /* the stack has no file: nothing is taken for one */
    assert_int_equal(t.mm->def_flags, 0);
    vmk_plan_abort(&plan, -VMK_EIO, NULL);
    assert_int_equal(t.mm->def_flags, def_flags);
    assert_int_equal(t.mm->seed, seed);
    assert_int_equal(t.mm->layout.start_stack, start_stack);
    assert_map(&t, "");
    assert_int_equal(vmk_system_committed(t.system), 0);
    limits = all;
    limits.as.soft = P(33);
    vmk_mm_set_rlimits(t.mm, &limits);
    request.nr_segments = request.nr_specials = 0;
    assert_true(exec(&t, &request) > 0);
    assert_int_equal(t.mm->def_flags, 0);
}

/* One area after the other, as long as max_map_count allows. */
static void test_number_of_areas(void **state)
{
    (void)state;
    for (uint64_t most = 0; most < 14; most++) {
        struct vmk_exec_request request;
        struct vmk_mm_stats stats = {.size = sizeof(stats)};

        teardown(state);
        vt_init(&t);
        t.system_options.sysctl.max_map_count = most;
        vt_open(&t);
        request = program(&t);
        /* The stack and eight segments; what the kernel maps for itself is outside the limits. */
        const int64_t result = exec(&t, &request);
        vmk_mm_get_stats(t.mm, &stats);
        assert_int_equal(result > 0, most >= 8);
        assert_int_equal(stats.nr_vmas, most >= 8 ? 12 : most + 1);
    }
}

/* The rest of a last page is cleared by a write: not where nothing may be written, or nothing is to be cleared. */
static void test_tails(void **state)
{
    static const uint32_t prots[] = {0, VT_R, VT_RX, VT_RW, VMK_PROT_WRITE};

    for (size_t i = 0; i < VMKI_ARRAY_SIZE(prots); i++)
        for (unsigned tail = 0; tail < 2; tail++) {
            struct vmk_exec_request request;
            struct vmk_vma_info info = {.size = sizeof(info)};

            teardown(state);
            setup(state);
            request = program(&t);
            segments[0].prot = prots[i];
            segments[0].bss_tail = tail != 0;
            request.nr_segments = 1;
            request.nr_specials = 0;
            assert_true(exec(&t, &request) > 0);
            assert_int_equal(vmk_mm_lookup(t.mm, EXE, &info), 0);
            assert_int_equal(info.anon_vma != 0, tail != 0 && (prots[i] & VMK_PROT_WRITE) != 0);
        }
}

/* READ_IMPLIES_EXEC: what can be read. */
static void test_read_implies_exec(void **state)
{
    static const uint32_t prots[] = {0, VT_R, VMK_PROT_WRITE, VT_RW, VMK_PROT_EXEC, VT_RX};

    for (size_t i = 0; i < VMKI_ARRAY_SIZE(prots); i++)
        for (unsigned implies = 0; implies < 2; implies++) {
            struct vmk_exec_request request;
            struct vmk_vma_info info = {.size = sizeof(info)};

            teardown(state);
            setup(state);
            vmk_mm_set_personality(t.mm, VMK_ADDR_NO_RANDOMIZE | (implies != 0 ? VMK_READ_IMPLIES_EXEC : 0));
            request = program(&t);
            segments[0].prot = prots[i];
            request.nr_segments = 1;
            request.nr_specials = 0;
            assert_true(exec(&t, &request) > 0);
            assert_int_equal(vmk_mm_lookup(t.mm, EXE, &info), 0);
            const bool runs = (prots[i] & VMK_PROT_EXEC) != 0 || (implies != 0 && (prots[i] & VMK_PROT_READ) != 0);
            assert_int_equal((info.flags & VMK_VM_EXEC) != 0, runs);
            assert_int_equal(vmk_mm_lookup(t.mm, UINT64_C(0x7fffffffe000), &info), 0);
            assert_int_equal((info.flags & VMK_VM_EXEC) != 0, implies != 0);
        }
}

/* The stack lies by 0 ... stack_rnd_pages pages lower, each of them at times; a break by whole pages below its bound. */
static void test_all_random_places(void **state)
{
    static const uint64_t most[] = {0, 1, 3};

    for (size_t i = 0; i < VMKI_ARRAY_SIZE(most); i++) {
        unsigned tops = 0, breaks = 0;

        for (uint64_t seed = 0; seed < 60; seed++) {
            struct vmk_exec_request request;
            struct vmk_mm_layout layout;
            vmk_addr cursor = UINT64_C(0x7ff000000000);
            struct vmk_vma_info info = {.size = sizeof(info)};

            teardown(state);
            vt_init(&t);
            t.mm_options.personality = 0;
            t.mm_options.seed = seed;
            t.system_options.settings.stack_rnd_pages = most[i];
            t.system_options.settings.brk_rnd_bytes = most[i] * VT_PAGE;
            vt_open(&t);
            request = program(&t);
            request.nr_segments = 5;
            request.nr_specials = 0;
            request.start_brk = EXE + P(7) - 5;
            request.randomize_brk = true;
            assert_true(exec(&t, &request) > 0);
            assert_int_equal(vmk_mm_next(t.mm, &cursor, &info), 0);
            vmk_mm_get_layout(t.mm, &layout);
            assert_int_equal(layout.brk, layout.start_brk);
            const uint64_t lower = (UINT64_C(0x7ffffffff000) - info.end) / VT_PAGE;
            assert_true(lower <= most[i]);
            tops |= 1u << lower;
            if (most[i] == 0) {
                assert_int_equal(layout.start_brk, EXE + P(7) - 5);
                continue;
            }
            assert_int_equal(layout.start_brk % VT_PAGE, 0);
            assert_in_range(layout.start_brk, EXE + P(7), EXE + P(7) + (most[i] - 1) * VT_PAGE);
            breaks |= 1u << ((layout.start_brk - EXE) / VT_PAGE - 7);
        }
        assert_int_equal(tops, (2u << most[i]) - 1);
        assert_int_equal(breaks, (1u << most[i]) - 1);
    }
}

/* Marks: from the first executable segment of the program to the last, and of the last segment; a bss is none. */
static void test_marks(void **state)
{
    struct vmk_exec_request request = program(&t);
    struct vmk_mm_layout layout;

    (void)state;
    vmk_mm_get_layout(t.mm, &layout);
    layout.start_code = layout.end_code = layout.start_data = layout.end_data = 0xee;
    vmk_mm_set_layout(t.mm, &layout);
    segments[3].prot = VT_RX;
    assert_true(exec(&t, &request) > 0);
    vmk_mm_get_layout(t.mm, &layout);
    assert_int_equal(layout.start_code, EXE + P(1));
    assert_int_equal(layout.end_code, EXE + P(5));
    assert_int_equal(layout.start_data, EXE + P(3));
    assert_int_equal(layout.end_data, EXE + P(5));
    assert_int_equal(layout.start_brk, EXE + P(7));
    teardown(state);
    setup(state);
    request = program(&t);
    segments[0].file = NULL; /* of no file at all */
    request.nr_segments = 1;
    request.nr_specials = 0;
    vmk_mm_get_layout(t.mm, &layout);
    layout.start_code = layout.end_code = layout.start_data = layout.end_data = 0xee;
    vmk_mm_set_layout(t.mm, &layout);
    assert_true(exec(&t, &request) > 0);
    vmk_mm_get_layout(t.mm, &layout);
    assert_true(layout.start_code == 0 && layout.end_code == 0 && layout.start_data == 0 && layout.end_data == 0);
    assert_int_equal(layout.start_brk, EXE + P(1));
}

/* What a segment or a special may not be: each by itself. */
static void test_misuse_by_itself(void **state)
{
    const vmk_addr top = UINT64_C(0x7ffffffff000);

    for (unsigned i = 0; i < 12; i++) {
        struct vmk_exec_request request;
        struct vmk_map_special_request special = specials[2];
        int error = -VMK_ERR_MISUSE;

        teardown(state);
        setup(state);
        request = program(&t);
        request.nr_segments = 1;
        request.specials = &special;
        request.nr_specials = 1;
        switch (i) {
        case 0:
            segments[0].address += 1;
            break;
        case 1:
            segments[0].len += 1;
            break;
        case 2:
            segments[0].offset += 1;
            break;
        case 3:
            segments[0].len = 0;
            break;
        case 4:
            segments[0].address = top;
            break;
        case 5:
            segments[0].len = UINT64_C(0) - P(1);
            break;
        case 6:
            segments[0].address = top - P(34);
            segments[0].len = P(2);
            break; /* one page into the stack */
        case 7:
            segments[0].address = top - P(34);
            error = 0;
            break;
        case 8:
            request.stack_top = top + 1;
            break;
        case 9:
            special.len = 0;
            break;
        case 10:
            special.len = 1;
            error = 0;
            break;
        default:
            request.specials = NULL;
            break;
        }
        const int64_t result = exec(&t, &request);
        if (error == 0)
            assert_true(result > 0);
        else
            assert_ret(result, error);
    }
}

static struct vmk_exec_request prepared;

static void prepare(struct vt *vt)
{
    prepared = program(vt);
}

static int64_t call_exec(struct vt *vt)
{
    return exec(vt, &prepared);
}

static void test_failing_allocations(void **state)
{
    (void)state;
    assert_true(vt_fail_each(prepare, call_exec, true) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_program, setup, teardown),
        cmocka_unit_test_setup_teardown(test_soft_dirty_stack, setup, teardown),
        cmocka_unit_test_setup_teardown(test_break, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stack_size, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lowered_stack, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_layout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_personality, setup, teardown),
        cmocka_unit_test_setup_teardown(test_noexec, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sealed_specials, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fixed_specials, setup, teardown),
        cmocka_unit_test_setup_teardown(test_misuse, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_phases, setup, teardown),
        cmocka_unit_test_setup_teardown(test_edits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_stack, setup, teardown),
        cmocka_unit_test_setup_teardown(test_number_of_areas, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_implies_exec, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_random_places, setup, teardown),
        cmocka_unit_test_setup_teardown(test_marks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_misuse_by_itself, setup, teardown),
        cmocka_unit_test(test_failing_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
