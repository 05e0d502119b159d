/* SPDX-License-Identifier: MIT */
/*
 * The small rules of an address space, each over all that it may be asked: what it begins with, default flags, PR_SET_MDWE, the key
 * of what is executable alone, pins, bytes, references, who holds its settings.
 */
#include "calls.h"

#include "mm/plan.h"
#include "vmakit/state.h"

static void open_with(struct vt *t, enum vmk_arch arch)
{
    vt_init(t);
    vmk_settings_init(&t->system_options.settings, VMK_LINUX_VERSION(6, 18), arch);
    vt_open(t);
}

static void what_options_begin_with(void **state)
{
    struct vmk_mm_options options;
    const struct vmk_mm_options expected = {
        .size = sizeof(options),
        .rlimits = {.as = {UINT64_MAX, UINT64_MAX},
                    .data = {UINT64_MAX, UINT64_MAX},
                    .stack = {8388608, UINT64_MAX},
                    .memlock = {8388608, 8388608}},
        .personality = VMK_ADDR_NO_RANDOMIZE,
    };

    (void)state;
    memset(&options, 0, sizeof(options));
    vmk_mm_options_init(&options);
    assert_int_equal(options.size, expected.size);
    assert_memory_equal(&options.rlimits, &expected.rlimits, sizeof(expected.rlimits));
    assert_int_equal(options.personality, expected.personality);
    assert_true(options.settings == NULL && options.backend == NULL && options.user == NULL);
    assert_true(options.capabilities == 0 && options.seed == 0 && options.mmap_base == 0);
    assert_true(options.window_low == 0 && options.window_high == 0);
}

/* What is given is there; a window may be empty, but not the wrong way round. */
static void options_are_taken(void **state)
{
    struct vmk_settings settings;
    struct vmk_mm_layout layout;
    struct vmk_rlimits rlimits;
    struct vmk_mm *mm;
    struct vt t;
    int word;

    (void)state;
    vt_setup(&t);
    for (unsigned i = 0; i < 3; i++) {
        struct vmk_mm_options options = t.mm_options;

        options.window_low = P(16 + i);
        options.window_high = P(17);
        options.mmap_base = i == 0 ? 0 : P(1000);
        options.seed = 77;
        options.capabilities = VMK_CAP_IPC_LOCK;
        options.personality |= VMK_READ_IMPLIES_EXEC;
        options.rlimits.stack.hard = 1;
        options.user = &word;
        assert_ret(vmk_mm_create(t.system, &options, &mm), i == 2 ? -VMK_ERR_MISUSE : 0);
        if (i == 2)
            break;
        assert_int_equal(mm->window_low, P(16 + i));
        assert_int_equal(mm->window_high, P(17));
        assert_int_equal(mm->seed, 77);
        assert_int_equal(vmk_mm_capabilities(mm), VMK_CAP_IPC_LOCK);
        assert_int_equal(mm->personality, VMK_ADDR_NO_RANDOMIZE | VMK_READ_IMPLIES_EXEC);
        vmk_mm_get_rlimits(mm, &rlimits);
        assert_memory_equal(&rlimits, &options.rlimits, sizeof(rlimits));
        vmk_mm_get_layout(mm, &layout);
        assert_int_equal(layout.mmap_base, i == 0 ? UINT64_C(0x7ffff7fff000) : P(1000));
        assert_ptr_equal(vmk_mm_user(mm), &word);
        assert_int_equal(mm->users, 1);
        assert_int_equal(mm->refs, 1);
        assert_int_equal(mm->pkeys_allocated, 1);
        assert_int_equal(mm->pkey_exec_only, -1);
        vmk_mm_put(mm);
    }
    /* Settings that cannot be, or that no library of this kind can have. */
    settings = *vmk_system_settings(t.system);
    t.mm_options.settings = &settings;
    settings.thp = 3;
    assert_ret(vmk_mm_create(t.system, &t.mm_options, &mm), -VMK_ERR_MISUSE);
    settings.thp = 1;
    settings.va_bits = 32;
    assert_ret(vmk_mm_create(t.system, &t.mm_options, &mm), -VMK_ERR_UNSUPPORTED);
    vt_teardown(&t);
}

/* x86-64 leaves out the last page below its hole, arm64 does not; the least address is the greater of two. */
static void sizes(void **state)
{
    (void)state;
    for (int arch = VMK_ARCH_X86_64; arch <= VMK_ARCH_ARM64; arch++)
        for (unsigned lsm = 0; lsm < 2; lsm++) {
            const uint64_t hole = arch == VMK_ARCH_X86_64 ? VT_PAGE : 0;
            struct vt t;

            vt_init(&t);
            vmk_settings_init(&t.system_options.settings, VMK_LINUX_VERSION(6, 18), (enum vmk_arch)arch);
            t.system_options.settings.va_bits_wide = 52;
            t.system_options.settings.lsm_min_addr = lsm * P(32);
            vt_open(&t);
            assert_int_equal(t.mm->task_size, (UINT64_C(1) << (arch == VMK_ARCH_X86_64 ? 47 : 48)) - hole);
            assert_int_equal(t.mm->task_size_max, (UINT64_C(1) << 52) - hole);
            assert_int_equal(t.mm->min_addr, lsm != 0 ? P(32) : P(16));
            assert_int_equal(t.mm->page_size, VT_PAGE);
            assert_int_equal(t.mm->page_shift, 12);
            vt_teardown(&t);
        }
}

/* ---- Flags of what is new ---- */

static void default_flags(void **state)
{
    const vmk_vm_flags unmergeable = VMK_VM_SHARED | VMK_VM_MAYSHARE | VMK_VM_IO | VMK_VM_DONTEXPAND | VMK_VM_PFNMAP |
                                     VMK_VM_MIXEDMAP | VMK_VM_HUGETLB | VMK_VM_DROPPABLE | VMK_VM_SAO |
                                     VMK_VM_MERGEABLE;

    (void)state;
    for (unsigned soft_dirty = 0; soft_dirty < 2; soft_dirty++) {
        const vmk_vm_flags dirty = soft_dirty != 0 ? VMK_VM_SOFTDIRTY : 0;
        struct vt t;

        vt_init(&t);
        t.system_options.settings.soft_dirty = soft_dirty;
        vt_open(&t);
        for (unsigned bit = 0; bit < 60; bit++) {
            const vmk_vm_flags flag = VMK_VM_FLAG(bit);

            t.mm->def_flags = 0;
            assert_true(vmki_default_flags(t.mm, NULL, flag) == dirty);
            t.mm->def_flags = VMK_VM_MERGEABLE | VMK_VM_LOCKED;
            assert_true(vmki_default_flags(t.mm, NULL, flag) ==
                        (dirty | VMK_VM_LOCKED | ((flag & unmergeable) == 0 ? VMK_VM_MERGEABLE : 0)));
        }
        t.mm->def_flags = 0;
        vt_teardown(&t);
    }
}

/* Tags are for memory that has no file, or whose file is memory. */
static void tag_flags(void **state)
{
    (void)state;
    for (unsigned mte = 0; mte < 2; mte++) {
        struct vt t;

        open_with(&t, VMK_ARCH_ARM64);
        ((struct vmk_settings *)(uintptr_t)t.mm->settings)->mte = mte;
        assert_true(vmki_tag_flags(t.mm, NULL) == (mte != 0 ? VMK_VM_MTE_ALLOWED : 0));
        assert_true(vmki_default_flags(t.mm, NULL, 0) == (mte != 0 ? VMK_VM_MTE_ALLOWED : 0));
        for (int kind = VMK_OBJECT_REGULAR; kind <= VMK_OBJECT_NONE; kind++) {
            const struct vmk_file *file = vt_file_kind(&t, (uint64_t)kind + 1, (enum vmk_object_kind)kind, P(1));
            const bool is_memory = kind == VMK_OBJECT_SHMEM || kind == VMK_OBJECT_HUGETLB;

            assert_true(vmki_tag_flags(t.mm, file) == (mte != 0 && is_memory ? VMK_VM_MTE_ALLOWED : 0));
        }
        vt_teardown(&t);
    }
}

/* PR_MDWE_REFUSE_EXEC_GAIN: nothing is writable and executable, and nothing becomes executable. */
static void memory_deny_write_execute(void **state)
{
    static const vmk_vm_flags flags[] = {0,
                                         VMK_VM_READ,
                                         VMK_VM_WRITE,
                                         VMK_VM_EXEC,
                                         VMK_VM_READ | VMK_VM_WRITE,
                                         VMK_VM_READ | VMK_VM_EXEC,
                                         VMK_VM_WRITE | VMK_VM_EXEC,
                                         VMK_VM_READ | VMK_VM_WRITE | VMK_VM_EXEC};
    struct vt t;

    (void)state;
    vt_setup(&t);
    for (unsigned mdwe = 0; mdwe < 4; mdwe++)
        for (size_t from = 0; from < 8; from++)
            for (size_t to = 0; to < 8; to++) {
                const bool runs = (flags[to] & VMK_VM_EXEC) != 0, writes = (flags[to] & VMK_VM_WRITE) != 0;
                const bool ran = (flags[from] & VMK_VM_EXEC) != 0;

                t.mm->mdwe = (__typeof__(t.mm->mdwe))mdwe;
                assert_true(vmki_mdwe_denies(t.mm, flags[from], flags[to]) ==
                            ((mdwe & 1) != 0 && runs && (writes || !ran)));
            }
    vt_teardown(&t);
}

/* The lowest key that is free, once and for all; none where there are no keys or all are taken. */
static void key_of_what_is_executable_alone(void **state)
{
    (void)state;
    for (unsigned nr_keys = 0; nr_keys <= 4; nr_keys++)
        for (unsigned taken = 1; taken < 32; taken += 2) {
            unsigned expected = 0;
            struct vt t;

            vt_init(&t);
            t.system_options.settings.nr_pkeys = nr_keys;
            vt_open(&t);
            t.mm->pkeys_allocated = (__typeof__(t.mm->pkeys_allocated))taken;
            for (unsigned key = nr_keys; key-- > 1;)
                if ((taken >> key & 1) == 0)
                    expected = key;
            for (unsigned again = 0; again < 2; again++) {
                assert_int_equal(vmki_exec_only_pkey(t.mm), expected);
                assert_int_equal(t.mm->pkeys_allocated, expected != 0 ? taken | 1u << expected : taken);
                assert_int_equal(t.mm->pkey_exec_only, expected != 0 ? (int)expected : -1);
            }
            vt_teardown(&t);
        }
}

/* ---- Pins ---- */

static void pins(void **state)
{
    static const struct {
        uint64_t limit;
        uint32_t capabilities;
        unsigned enforced;
        int64_t before, change;
        int error;
    } cases[] = {
        {P(3), 0, 1, 0, 3, 0},
        {P(3), 0, 1, 0, 4, -VMK_ENOMEM},
        {P(3), 0, 1, 2, 1, 0},
        {P(3), 0, 1, 2, 2, -VMK_ENOMEM},
        {P(4) - 1, 0, 1, 2, 1, 0},
        {P(4) - 1, 0, 1, 3, 1, -VMK_ENOMEM},
        {P(3), VMK_CAP_IPC_LOCK, 1, 0, 4, 0},
        {P(3), (uint32_t)~VMK_CAP_IPC_LOCK, 1, 0, 4, -VMK_ENOMEM},
        {P(3), 0, 0, 0, 4, 0},
        {VMK_RLIM_INFINITY, 0, 1, 0, INT64_MAX, 0},
        {0, 0, 1, 0, 0, 0},
        {0, 0, 1, 0, 1, -VMK_ENOMEM},
        {P(3), 0, 1, 2, -1, 0},
        {P(3), 0, 1, 2, -2, 0},
        {P(3), 0, 1, 2, -3, -VMK_EINVAL},
        {0, 0, 1, 2, 0, 0}, /* nothing more: the limit may have come down */
        {0, 0, 1, 2, -1, 0},
    };

    (void)state;
    for (size_t i = 0; i < VMKI_ARRAY_SIZE(cases); i++) {
        struct vmk_mm_stats stats = {.size = sizeof(stats)};
        struct vmk_rlimits rlimits;
        struct vt t;

        vt_init(&t);
        t.system_options.settings.enforce_limits = cases[i].enforced;
        vt_open(&t);
        assert_ret(vmk_mm_pin(t.mm, cases[i].before), 0);
        vmk_mm_get_rlimits(t.mm, &rlimits);
        rlimits.memlock.soft = cases[i].limit;
        vmk_mm_set_rlimits(t.mm, &rlimits);
        vmk_mm_set_capabilities(t.mm, cases[i].capabilities);
        assert_ret(vmk_mm_pin(t.mm, cases[i].change), cases[i].error);
        vmk_mm_get_stats(t.mm, &stats);
        assert_int_equal(stats.pinned_vm, cases[i].before + (cases[i].error == 0 ? cases[i].change : 0));
        vt_teardown(&t);
    }
}

/* ---- Numbers ---- */

/* Bytes: the space itself, its areas, the nodes above them, and what it keeps for the next call. */
static void bytes(void **state)
{
    const uint64_t empty = (sizeof(struct vmk_mm) + sizeof(struct vmki_plan) + 63) & ~UINT64_C(63);
    struct vmk_mm_stats stats = {.size = sizeof(stats)};
    struct vt t;

    (void)state;
    vt_setup(&t);
    vmk_mm_get_stats(t.mm, &stats);
    assert_int_equal(stats.nr_bytes, empty);
    for (unsigned i = 0; i < 100; i++) {
        if (i % 3 == 0)
            assert_true(vt_mmap_file(&t, 0, P(1), VT_R, VMK_MAP_SHARED, vt_file(&t, 1), P(2 * i)) > 0);
        else
            vt_anon(&t, BASE + P(2 * i), P(1), VT_RW);
        vmk_mm_get_stats(t.mm, &stats);
        uint64_t expected = empty + t.mm->tree.nr_nodes_bytes + vmki_mm_carried_bytes(t.mm);
        expected += (t.mm->tree.nr_entries + t.mm->nr_spare_anon + vmki_mm_nr_leaving(t.mm)) * sizeof(struct vmk_vma);
        expected += t.mm->nr_spare_file * sizeof(struct vmki_file_vma);
        assert_int_equal(stats.nr_bytes, expected);
        assert_int_equal(stats.nr_vmas, i + 1);
        assert_int_equal(stats.peak_vmas, i + 1);
        assert_int_equal(stats.total_vm, i + 1);
        assert_int_equal(stats.size, sizeof(stats));
    }
    vt_teardown(&t);
}

/*
 * Faults are counted in stripes from the 64th on that came from another processor than the one before, if there is memory for them:
 * none is lost, and the stripes are bytes of the space.
 */
static void stripes_of_faults(void **state)
{
    const struct vmk_fault_request request = {.address = BASE, .access = VMK_ACCESS_READ};
    struct vmk_mm_stats stats = {.size = sizeof(stats)};
    struct vmk_counters counters;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    vmk_mm_get_stats(t.mm, &stats);
    const uint64_t before = stats.nr_bytes;
    for (unsigned nr = 1; nr <= 200; nr++) {
        struct vmk_fault fault;

        t.mm->fault_processor = UINT32_MAX; /* as if another had been here */
        atomic_store(&t.until_fail, nr == 64 ? 0 : -1);
        assert_int_equal(vmk_mm_fault(t.mm, &request, &fault), 0);
        atomic_store(&t.until_fail, -1);
        vmk_mm_get_counters(t.mm, &counters);
        assert_int_equal(counters.fault, nr);
        assert_true((t.mm->fault_stripes != NULL) == (nr >= 128));
        vmk_mm_get_stats(t.mm, &stats);
        assert_int_equal(stats.nr_bytes, before + (nr >= 128 ? VMKI_NR_STRIPES * sizeof(struct vmki_stripe) : 0));
    }
    uint64_t in_stripes = 0;
    for (unsigned i = 0; i < VMKI_NR_STRIPES; i++)
        in_stripes += t.mm->fault_stripes[i].nr_faults;
    assert_int_equal(in_stripes, 200 - 128);
    vmk_system_counters(t.system, &counters);
    assert_int_equal(counters.fault, 200);
    for (unsigned i = 0; i < VMKI_NR_STRIPES; i++) { /* whichever processor it is */
        t.mm->fault_stripes[i].nr_faults += 1000;
        vmk_mm_get_counters(t.mm, &counters);
        assert_int_equal(counters.fault, 200 + 1000 * (i + 1));
    }
    vt_teardown(&t);
}

/* Another thread brings them while this one asks for memory: its own go back, and no fault is lost. */
static struct vmk_mm *racing;

static void fault_from_elsewhere(struct vmk_mm *mm)
{
    const struct vmk_fault_request request = {.address = BASE, .access = VMK_ACCESS_READ};
    struct vmk_fault fault;

    mm->fault_processor = UINT32_MAX;
    mm->nr_fault_moves = 63;
    assert_int_equal(vmk_mm_fault(mm, &request, &fault), 0);
}

static void *alloc_late(void *context, size_t size, size_t align, unsigned flags)
{
    struct vmk_mm *mm = racing;

    racing = NULL;
    if (mm != NULL)
        fault_from_elsewhere(mm);
    return vt_alloc(context, size, align, flags);
}

static void stripes_come_once(void **state)
{
    struct vmk_counters counters;
    struct vt t;

    (void)state;
    vt_init(&t);
    t.port.alloc = alloc_late;
    vt_open(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    const long before = atomic_load(&t.nr_live);
    racing = t.mm;
    fault_from_elsewhere(t.mm);
    assert_null(racing);
    assert_non_null(t.mm->fault_stripes);
    assert_int_equal(atomic_load(&t.nr_live), before + 1);
    vmk_mm_get_counters(t.mm, &counters);
    assert_int_equal(counters.fault, 2);
    vt_teardown(&t);
}

/* The peaks: what was reached, or is there now. */
static void peaks(void **state)
{
    struct vmk_mm_stats stats = {.size = sizeof(stats)};
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(5), VT_RW);
    vmk_mm_get_stats(t.mm, &stats);
    assert_int_equal(stats.peak_vm, 5);
    assert_ret(vt_munmap(&t, BASE + P(1), P(1)), 0);
    assert_ret(vt_munmap(&t, BASE, P(1)), 0);
    vmk_mm_get_stats(t.mm, &stats);
    assert_int_equal(stats.peak_vm, 5);
    assert_int_equal(stats.peak_vmas, 2);
    assert_int_equal(stats.total_vm, 3);
    vt_teardown(&t);
}

/* Where a placement would go: rounded as mmap rounds, and nothing is mapped. */
static void unmapped_area(void **state)
{
    const vmk_addr top = UINT64_C(0x7ffff7fff000);
    vmk_addr address = 0;
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(vmk_mm_unmapped_area(t.mm, 0, 0, VT_ANON, NULL, 0, &address), -VMK_EINVAL);
    assert_ret(vmk_mm_unmapped_area(t.mm, 0, UINT64_MAX, VT_ANON, NULL, 0, &address), -VMK_EINVAL);
    assert_int_equal(address, 0);
    assert_ret(vmk_mm_unmapped_area(t.mm, 0, 1, VT_ANON, NULL, 0, &address), 0);
    assert_int_equal(address, top - P(1));
    assert_ret(vmk_mm_unmapped_area(t.mm, 0, P(1) + 1, VT_ANON, NULL, 0, &address), 0);
    assert_int_equal(address, top - P(2));
    assert_ret(vmk_mm_unmapped_area(t.mm, BASE, P(1), VT_ANON, NULL, 0, &address), 0);
    assert_int_equal(address, BASE);
    assert_ret(vmk_mm_unmapped_area(t.mm, 0, UINT64_C(1) << 47, VT_ANON, NULL, 0, &address), -VMK_ENOMEM);
    assert_map(&t, "");
    vt_teardown(&t);
}

/* ---- Marks and rules that the embedder sets ---- */

static void marks_are_set(void **state)
{
    struct vmk_mm_layout layout, again;
    struct vt t;

    (void)state;
    vt_setup(&t);
    memset(&layout, 0, sizeof(layout));
    layout.start_code = 1;
    layout.env_end = 14;
    layout.brk = 7;
    layout.mmap_base = P(100);
    layout.task_size = 99; /* is not the embedder's to say */
    vmk_mm_set_layout(t.mm, &layout);
    vmk_mm_get_layout(t.mm, &again);
    layout.task_size = t.mm->task_size;
    assert_memory_equal(&again, &layout, sizeof(layout));
    vmk_mm_set_personality(t.mm, VMK_ADDR_COMPAT_LAYOUT);
    assert_int_equal(t.mm->personality, VMK_ADDR_COMPAT_LAYOUT);
    vmk_mm_set_capabilities(t.mm, 5);
    assert_int_equal(vmk_mm_capabilities(t.mm), 5);
    vt_teardown(&t);
}

/* A look at the areas, with the flags that count: 0 where memory may be used so, an error else, and nothing changes. */
static void access_is_checked(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(1), VT_R);
    vt_anon(&t, BASE + P(1), P(1), VT_RW);
    vt_anon(&t, BASE + P(2), P(1), 0);
    assert_ret(vmk_mm_check_access(t.mm, BASE - 1, VMK_ACCESS_READ), -VMK_ENOENT);
    assert_ret(vmk_mm_check_access(t.mm, BASE, VMK_ACCESS_READ), 0);
    assert_ret(vmk_mm_check_access(t.mm, BASE + P(1) - 1, VMK_ACCESS_WRITE), -VMK_EACCES);
    assert_ret(vmk_mm_check_access(t.mm, BASE + P(1), VMK_ACCESS_WRITE), 0);
    assert_ret(vmk_mm_check_access(t.mm, BASE + P(2), VMK_ACCESS_READ), -VMK_EACCES);
    assert_ret(vmk_mm_check_access(t.mm, BASE + P(3), VMK_ACCESS_READ), -VMK_ENOENT);
    vt_teardown(&t);
}

/* ---- Life ---- */

static unsigned nr_released;
static struct vmk_mm *released;
static void *released_context;

static void release(void *context, struct vmk_mm *mm)
{
    nr_released++;
    released = mm;
    released_context = context;
}

/* The end: areas, charges, huge pages and the backend go once, with the last user; the structure with the last reference. */
static void ends(void **state)
{
    static const struct vmk_backend_ops ops = {.size = sizeof(ops), .release = release};
    struct vmk_sysctl sysctl;
    struct vmk_mm *mm;
    struct vt t;

    (void)state;
    nr_released = 0;
    vt_init(&t);
    t.system_options.sysctl.hugetlb_free_pages = 4;
    t.mm_options.backend = &ops;
    t.mm_options.backend_context = &t;
    vt_open(&t);
    mm = t.mm;
    assert_true(vt_mmap_file(&t, 0, UINT64_C(0x400000), VT_RW, VT_ANON | VMK_MAP_HUGETLB, NULL, 0) > 0);
    vt_anon(&t, BASE, P(3), VT_RW);
    vmk_mm_get(mm);
    vmk_mm_put(mm);
    assert_int_equal(nr_released, 0);
    vmk_system_sysctl(t.system, &sysctl);
    assert_int_equal(sysctl.hugetlb_free_pages, 2);
    vmk_mm_grab(mm);
    assert_false(mm->is_exiting);
    vmk_mm_put(mm);
    assert_int_equal(nr_released, 1);
    assert_ptr_equal(released, mm);
    assert_ptr_equal(released_context, &t);
    assert_true(mm->is_exiting);
    vmk_system_sysctl(t.system, &sysctl);
    assert_int_equal(sysctl.hugetlb_free_pages, 4);
    assert_int_equal(vmk_system_committed(t.system), 0);
    assert_int_equal(mm->total_vm | mm->data_vm | mm->accounted_vm | mm->tree.nr_entries, 0);
    vmk_mm_exit(mm); /* a second time: nothing is left to end */
    assert_int_equal(nr_released, 1);
    vmk_mm_grab(mm);
    vmk_mm_drop(mm);
    assert_int_equal(vmk_system_destroy(t.system), -VMK_EBUSY);
    vmk_mm_drop(mm);
    t.mm = NULL;
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_options_begin_with),
        cmocka_unit_test(options_are_taken),
        cmocka_unit_test(sizes),
        cmocka_unit_test(default_flags),
        cmocka_unit_test(tag_flags),
        cmocka_unit_test(memory_deny_write_execute),
        cmocka_unit_test(key_of_what_is_executable_alone),
        cmocka_unit_test(pins),
        cmocka_unit_test(bytes),
        cmocka_unit_test(stripes_of_faults),
        cmocka_unit_test(stripes_come_once),
        cmocka_unit_test(peaks),
        cmocka_unit_test(unmapped_area),
        cmocka_unit_test(marks_are_set),
        cmocka_unit_test(access_is_checked),
        cmocka_unit_test(ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
