/* SPDX-License-Identifier: MIT */
/* The system: the table of settings, the knobs, the commit charge, counters, trace events, life and end. */
#include "calls.h"
#include "golden.h"

/* ---- Settings ---- */

/* Every default, by version, architecture and page size. */
static void test_defaults(void **state)
{
    static const uint64_t versions[] = {VMK_LINUX_VERSION(6, 1), VMK_LINUX_VERSION(6, 6), VMK_LINUX_VERSION(6, 12),
                                        VMK_LINUX_VERSION(6, 18)};
    static struct vt_text text;
    struct golden golden;

    (void)state;
    golden_open(&golden, "settings.txt");
    for (unsigned i = 0; i < 4 * 2 * 3; i++) {
        unsigned arch = i / 4 % 2, shift = 12 + i / 8 * 2;
        struct vmk_settings settings;
        const struct vmk_setting_info *info;

        vmk_settings_init(&settings, versions[i % 4], (enum vmk_arch)arch);
        assert_int_equal(vmk_settings_set_page_shift(&settings, shift), 0);
        assert_null(vmk_settings_check(&settings));
        text.len = 0;
        vt_print(&text, "# version %llx, architecture %u, pages of 2^%u\n", (unsigned long long)versions[i % 4], arch,
                 shift);
        for (size_t n = 0; (info = vmk_setting_at(n)) != NULL; n++) {
            uint64_t value;

            assert_int_equal(vmk_settings_get(&settings, info->name, &value), 0);
            vt_print(&text, "%s%s=%llx", n == 0 ? "" : n % 6 == 0 ? "\n" : " ", info->name, (unsigned long long)value);
        }
        vt_print(&text, "\n");
        golden_text(&golden, &text);
    }
    golden_close(&golden);
}

static void test_versions(void **state)
{
    static const struct {
        uint64_t version;
        const char *name;
    } since[] = {
        {VMK_LINUX_VERSION(6, 3), "mdwe"},
        {VMK_LINUX_VERSION(6, 7), "thp_align_anon"},
        {VMK_LINUX_VERSION(6, 7), "map_stack_nohuge"},
        {VMK_LINUX_VERSION(6, 10), "mseal"},
        {VMK_LINUX_VERSION(6, 11), "droppable"},
        {VMK_LINUX_VERSION(6, 13), "guard_regions"},
        {VMK_LINUX_VERSION(6, 13), "process_madvise_self"},
        {VMK_LINUX_VERSION(6, 15), "guard_files"},
        {VMK_LINUX_VERSION(6, 17), "mremap_several"},
    };
    struct vmk_settings settings;
    uint64_t value;

    (void)state;
    for (size_t i = 0; i < sizeof(since) / sizeof(since[0]); i++) {
        vmk_settings_init(&settings, since[i].version, VMK_ARCH_X86_64);
        assert_null(vmk_settings_check(&settings));
        assert_ret(vmk_settings_get(&settings, since[i].name, &value), 0);
        assert_int_equal(value, 1);
        vmk_settings_init(&settings, since[i].version - VMK_LINUX_VERSION(0, 1), VMK_ARCH_X86_64);
        assert_ret(vmk_settings_get(&settings, since[i].name, &value), 0);
        assert_int_equal(value, 0);
    }
    vmk_settings_init(&settings, VMK_LINUX_VERSION(6, 9), VMK_ARCH_X86_64);
    assert_int_equal(settings.brk_rnd_bytes, UINT64_C(1) << 30);
    vmk_settings_init(&settings, VMK_LINUX_VERSION(6, 8), VMK_ARCH_X86_64);
    assert_int_equal(settings.brk_rnd_bytes, UINT64_C(1) << 25);
}

static void test_names(void **state)
{
    struct vmk_settings settings, other;
    uint64_t value;
    size_t nr = 0;

    (void)state;
    vmk_settings_init(&settings, VMK_LINUX_VERSION(6, 18), VMK_ARCH_X86_64);
    for (const struct vmk_setting_info *info; (info = vmk_setting_at(nr)) != NULL; nr++) {
        other = settings;
        assert_true(info->judged == 'K' || info->judged == 'M');
        assert_true(info->meaning[0] != '\0');
        assert_ret(vmk_settings_set(&other, info->name, UINT64_C(0x123456789abcdef0) + nr), 0);
        assert_ret(vmk_settings_get(&other, info->name, &value), 0);
        assert_true(value == UINT64_C(0x123456789abcdef0) + nr);
        memcpy((char *)&other + info->offset, (const char *)&settings + info->offset, sizeof(uint64_t));
        assert_memory_equal(&other, &settings, sizeof(settings)); /* and nothing else */
    }
    assert_int_equal(nr * sizeof(uint64_t), sizeof(settings));
    assert_ret(vmk_settings_set(&settings, "va_bit", 1), -VMK_ENOENT);
    assert_ret(vmk_settings_get(&settings, "va_bitsy", &value), -VMK_ENOENT);
}

static void test_check(void **state)
{
    static const struct {
        const char *name;
        uint64_t value;
        int error;
    } bad[] = {
        {"linux_version", VMK_LINUX_VERSION(6, 0), -VMK_ERR_UNSUPPORTED},
        {"arch", 2, -VMK_ERR_MISUSE},
        {"page_shift", 13, -VMK_ERR_MISUSE},
        {"pmd_shift", 12, -VMK_ERR_MISUSE},
        {"pmd_shift", 31, -VMK_ERR_MISUSE},
        {"va_bits", 32, -VMK_ERR_UNSUPPORTED}, /* a compat task */
        {"va_bits", 58, -VMK_ERR_MISUSE},
        {"va_bits_wide", 46, -VMK_ERR_MISUSE},
        {"va_bits_wide", 58, -VMK_ERR_MISUSE},
        {"mmap_min_addr", UINT64_C(1) << 32, -VMK_ERR_MISUSE},
        {"lsm_min_addr", UINT64_C(1) << 32, -VMK_ERR_MISUSE},
        {"mmap_rnd_bits", 32, -VMK_ERR_MISUSE},
        {"stack_guard_gap", (1 << 20) + 1, -VMK_ERR_MISUSE},
        {"thp", 3, -VMK_ERR_MISUSE},
        {"nr_nodes", 65, -VMK_ERR_UNSUPPORTED},
        {"nr_pkeys", 17, -VMK_ERR_MISUSE},
        {"overcommit_guess_one", 0, -VMK_ERR_UNSUPPORTED},
    };
    struct vmk_settings settings;
    struct vmk_mm *mm;
    struct vt t;

    (void)state;
    vt_setup(&t);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct vmk_system_options system_options = t.system_options;
        struct vmk_mm_options mm_options = t.mm_options;
        struct vmk_system *system;

        vmk_settings_init(&settings, VMK_LINUX_VERSION(6, 18), VMK_ARCH_X86_64);
        assert_ret(vmk_settings_set(&settings, bad[i].name, bad[i].value), 0);
        assert_string_equal(vmk_settings_check(&settings), bad[i].name);
        system_options.settings = settings;
        assert_ret(vmk_system_create(&system_options, &system), bad[i].error);
        mm_options.settings = &settings;
        assert_ret(vmk_mm_create(t.system, &mm_options, &mm), bad[i].error);
    }
    /* One that cannot be beside one that this library cannot. */
    for (uint64_t va_bits = 32; va_bits < 34; va_bits++) {
        vmk_settings_init(&settings, VMK_LINUX_VERSION(6, 18), VMK_ARCH_X86_64);
        settings.page_shift = 13;
        settings.va_bits = va_bits;
        t.mm_options.settings = &settings;
        assert_ret(vmk_mm_create(t.system, &t.mm_options, &mm), va_bits == 32 ? -VMK_ERR_UNSUPPORTED : -VMK_ERR_MISUSE);
    }
    static const struct {
        const char *name;
        uint64_t value;
        int error;
    } beside[] = {
        {"linux_version", VMK_LINUX_VERSION(6, 0), -VMK_ERR_UNSUPPORTED},
        {"linux_version", VMK_LINUX_VERSION(6, 1), -VMK_ERR_MISUSE},
        {"nr_nodes", 65, -VMK_ERR_UNSUPPORTED},
        {"nr_nodes", 64, -VMK_ERR_MISUSE},
        {"overcommit_guess_one", 0, -VMK_ERR_UNSUPPORTED},
        {"overcommit_guess_one", 1, -VMK_ERR_MISUSE},
    };
    for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
        vmk_settings_init(&settings, VMK_LINUX_VERSION(6, 18), VMK_ARCH_X86_64);
        settings.page_shift = 13;
        assert_ret(vmk_settings_set(&settings, beside[i].name, beside[i].value), 0);
        assert_ret(vmk_mm_create(t.system, &t.mm_options, &mm), beside[i].error);
    }
    vt_teardown(&t);
}

/* The first and the last value that each setting may have. */
static void test_settings_at_their_bounds(void **state)
{
    static const struct {
        const char *name;
        uint64_t value;
    } good[] = {
        {"linux_version", VMK_LINUX_VERSION(6, 1)},
        {"pmd_shift", 13},
        {"pmd_shift", 30},
        {"va_bits", 33},
        {"va_bits_wide", 47},
        {"va_bits_wide", 57},
        {"mmap_min_addr", (UINT64_C(1) << 32) - 4096},
        {"lsm_min_addr", (UINT64_C(1) << 32) - 1},
        {"mmap_rnd_bits", 31},
        {"stack_guard_gap", 1 << 20},
        {"thp", 2},
        {"nr_nodes", 64},
        {"nr_pkeys", 16},
    };
    struct vmk_settings settings;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        vmk_settings_init(&settings, VMK_LINUX_VERSION(6, 18), VMK_ARCH_X86_64);
        settings.mmap_rnd_bits = 17; /* the most that 33 bits of addresses allow */
        assert_ret(vmk_settings_set(&settings, good[i].name, good[i].value), 0);
        assert_null(vmk_settings_check(&settings));
    }
}

static void test_page_shift(void **state)
{
    static const unsigned shifts[] = {12, 14, 16}, pmd_shifts[] = {21, 25, 29};
    struct vmk_settings settings;

    (void)state;
    for (int arch = VMK_ARCH_X86_64; arch <= VMK_ARCH_ARM64; arch++)
        for (size_t i = 0; i < 3; i++) {
            vmk_settings_init(&settings, VMK_LINUX_VERSION(6, 18), (enum vmk_arch)arch);
            assert_ret(vmk_settings_set_page_shift(&settings, shifts[i]), 0);
            assert_null(vmk_settings_check(&settings));
            assert_int_equal(settings.pmd_shift, pmd_shifts[i]);
            assert_int_equal(settings.hugetlb_default_shift, pmd_shifts[i]);
            assert_true((settings.hugetlb_sizes >> pmd_shifts[i] & 1) != 0);
            assert_true(settings.mmap_min_addr >= UINT64_C(1) << shifts[i]);
        }
    assert_ret(vmk_settings_set_page_shift(&settings, 13), -VMK_EINVAL);
}

/* ---- Life ---- */

static void test_options(void **state)
{
    struct vmk_port port;
    struct vmk_system_options options;
    struct vmk_system *system;
    int word;
    struct vt t;

    (void)state;
    vt_init(&t);
    port = t.port;
    t.system_options.user = &word;
    options = t.system_options;
    options.size--;
    assert_ret(vmk_system_create(&options, &system), -VMK_ERR_MISUSE);
    options = t.system_options;
    options.port = NULL;
    assert_ret(vmk_system_create(&options, &system), -VMK_ERR_MISUSE);
    options.port = &port;
    port.alloc = NULL;
    assert_ret(vmk_system_create(&options, &system), -VMK_ERR_MISUSE);
    port.alloc = vt_alloc;
    port.free = NULL;
    assert_ret(vmk_system_create(&options, &system), -VMK_ERR_MISUSE);
    port.free = vt_free;
    options.sysctl.overcommit_memory = 3;
    assert_ret(vmk_system_create(&options, &system), -VMK_ERR_MISUSE);
    vt_open(&t);
    assert_ptr_equal(vmk_system_user(t.system), &word);
    assert_memory_equal(vmk_system_settings(t.system), &options.settings, sizeof(options.settings));
    vt_teardown(&t);
}

static void test_end_is_busy(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_file(&t, 1);
    assert_ret(vmk_system_destroy(t.system), -VMK_EBUSY); /* an address space and a file */
    vmk_mm_put(t.mm);
    t.mm = NULL;
    vmk_system_quiesce(t.system);
    assert_ret(vmk_system_destroy(t.system), -VMK_EBUSY); /* a file */
    vt_teardown(&t);
}

static void test_memory_runs_out(void **state)
{
    struct vmk_settings settings;
    struct vmk_object *object;
    struct vmk_file *file;
    struct vt t;
    long n;

    (void)state;
    vt_init(&t);
    for (n = 0; n < 100; n++) {
        atomic_store(&t.until_fail, n);
        int error = vmk_system_create(&t.system_options, &t.system);
        atomic_store(&t.until_fail, -1);
        if (error == 0)
            break;
        assert_ret(error, -VMK_ERR_HOST_NOMEM);
        assert_int_equal(atomic_load(&t.nr_live), 0);
    }
    assert_int_equal(n, 2);
    settings = t.system_options.settings;
    t.mm_options.settings = &settings;
    for (n = 0; n < 100; n++) {
        long nr_live = atomic_load(&t.nr_live);

        atomic_store(&t.until_fail, n);
        int error = vmk_mm_create(t.system, &t.mm_options, &t.mm);
        atomic_store(&t.until_fail, -1);
        if (error == 0)
            break;
        assert_ret(error, -VMK_ERR_HOST_NOMEM);
        assert_int_equal(atomic_load(&t.nr_live), nr_live);
    }
    assert_int_equal(n, 3);
    vt_validate(&t);
    const struct vmk_object_options object_options = {.size = sizeof(object_options), .kind = VMK_OBJECT_SHMEM};
    atomic_store(&t.until_fail, 0);
    assert_ret(vmk_object_create(t.system, &object_options, &object), -VMK_ERR_HOST_NOMEM);
    atomic_store(&t.until_fail, 1);
    assert_ret(vmk_object_create(t.system, &object_options, &object), 0);
    const struct vmk_file_options file_options = {.size = sizeof(file_options), .object = object};
    atomic_store(&t.until_fail, 0);
    assert_ret(vmk_file_create(t.system, &file_options, &file), -VMK_ERR_HOST_NOMEM);
    atomic_store(&t.until_fail, -1);
    vmk_object_put(object);
    vt_teardown(&t);
}

/* ---- Knobs and the commit charge ---- */

static int64_t map(struct vt *t, uint64_t pages)
{
    return vt_mmap_file(t, 0, P(pages), VT_RW, VT_ANON, NULL, 0);
}

static void test_sysctl(void **state)
{
    struct vmk_sysctl sysctl, again;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vmk_system_sysctl(t.system, &sysctl);
    assert_memory_equal(&sysctl, &t.system_options.sysctl, sizeof(sysctl));
    assert_int_equal(sysctl.max_map_count, 65530);
    sysctl.overcommit_memory = 3;
    assert_ret(vmk_system_set_sysctl(t.system, &sysctl), -VMK_ERR_MISUSE);
    vmk_system_sysctl(t.system, &again);
    assert_memory_equal(&again, &t.system_options.sysctl, sizeof(sysctl));
    sysctl.overcommit_memory = VMK_OVERCOMMIT_NEVER;
    sysctl.max_map_count = 7;
    sysctl.legacy_va_layout = 1;
    assert_ret(vmk_system_set_sysctl(t.system, &sysctl), 0);
    vmk_system_sysctl(t.system, &again);
    assert_memory_equal(&again, &sysctl, sizeof(sysctl));
    vt_teardown(&t);
}

static void open_commit(struct vt *t, enum vmk_overcommit mode)
{
    vt_init(t);
    t->system_options.sysctl.overcommit_memory = mode;
    t->system_options.sysctl.total_ram_pages = 1000;
    t->system_options.sysctl.total_swap_pages = 100;
    t->system_options.sysctl.overcommit_ratio = 50;
    t->system_options.sysctl.user_reserve_kbytes = 0;
    t->system_options.sysctl.admin_reserve_kbytes = 40; /* 10 pages */
    vt_open(t);
}

static void test_commit_modes(void **state)
{
    struct vt t;

    (void)state;
    open_commit(&t, VMK_OVERCOMMIT_GUESS);
    assert_ret(map(&t, 1101), -VMK_ENOMEM);
    assert_true(map(&t, 1100) > 0);
    assert_true(map(&t, 1100) > 0); /* only one call is looked at */
    assert_int_equal(vmk_system_committed(t.system), 2200);
    vt_teardown(&t);
    open_commit(&t, VMK_OVERCOMMIT_ALWAYS);
    assert_true(map(&t, 100000) > 0);
    assert_int_equal(vmk_system_committed(t.system), 100000);
    vt_teardown(&t);
    open_commit(&t, VMK_OVERCOMMIT_NEVER);
    assert_int_equal(vmk_system_commit_limit(t.system), 600);
    assert_ret(map(&t, 590), -VMK_ENOMEM); /* 600 less 10 for the administrator, and below that */
    assert_true(map(&t, 589) > 0);
    assert_ret(map(&t, 1), -VMK_ENOMEM);
    vmk_mm_set_capabilities(t.mm, VMK_CAP_SYS_ADMIN);
    assert_int_equal(vmk_mm_capabilities(t.mm), VMK_CAP_SYS_ADMIN);
    assert_true(map(&t, 10) > 0);
    assert_ret(map(&t, 1), -VMK_ENOMEM);
    assert_int_equal(vmk_system_committed(t.system), 599);
    vt_teardown(&t);
    vt_init(&t);
    t.system_options.sysctl =
        (struct vmk_sysctl){.total_ram_pages = 1000, .overcommit_ratio = 50, .hugetlb_total_pages = 400};
    vt_open(&t);
    assert_int_equal(vmk_system_commit_limit(t.system), 300); /* memory in pools of huge pages does not count */
    t.system_options.sysctl.hugetlb_total_pages = 1001;
    assert_ret(vmk_system_set_sysctl(t.system, &t.system_options.sysctl), 0);
    assert_int_equal(vmk_system_commit_limit(t.system), 0);
    t.system_options.sysctl.overcommit_kbytes = 800;
    assert_ret(vmk_system_set_sysctl(t.system, &t.system_options.sysctl), 0);
    assert_int_equal(vmk_system_commit_limit(t.system), 200);
    vt_teardown(&t);
}

static void test_commit_reserves(void **state)
{
    struct vmk_sysctl sysctl;
    struct vt t;

    (void)state;
    open_commit(&t, VMK_OVERCOMMIT_NEVER);
    vmk_system_sysctl(t.system, &sysctl);
    sysctl.overcommit_kbytes = 400; /* 100 pages, and swap */
    sysctl.user_reserve_kbytes = 8; /* 2 pages at most, a 32nd of what is there */
    assert_ret(vmk_system_set_sysctl(t.system, &sysctl), 0);
    assert_int_equal(vmk_system_commit_limit(t.system), 200);
    assert_true(map(&t, 96) > 0);
    assert_ret(map(&t, 92), -VMK_ENOMEM); /* 200 - 10 - 2 is not more than 188 */
    assert_true(map(&t, 91) > 0);
    sysctl.admin_reserve_kbytes = 1 << 20; /* more than there is: nothing is left, but nothing wraps */
    assert_ret(vmk_system_set_sysctl(t.system, &sysctl), 0);
    assert_ret(map(&t, 1), -VMK_ENOMEM);
    /* MAP_NORESERVE means nothing in this mode. */
    assert_ret(vt_mmap_file(&t, 0, P(1), VT_RW, VT_ANON | VMK_MAP_NORESERVE, NULL, 0), -VMK_ENOMEM);
    vt_teardown(&t);
}

struct elsewhere {
    uint64_t charged;
    unsigned nr_privileged;
};

static int charge_elsewhere(void *context, uint64_t pages, bool privileged)
{
    struct elsewhere *elsewhere = context;

    elsewhere->nr_privileged += privileged;
    if (elsewhere->charged + pages > 10)
        return -VMK_ENOMEM;
    elsewhere->charged += pages;
    return 0;
}

static void uncharge_elsewhere(void *context, uint64_t pages)
{
    struct elsewhere *elsewhere = context;

    assert_true(elsewhere->charged >= pages);
    elsewhere->charged -= pages;
}

static void test_commit_callbacks(void **state)
{
    struct elsewhere elsewhere = {0};
    const struct vmk_commit_ops ops = {
        .charge = charge_elsewhere, .uncharge = uncharge_elsewhere, .context = &elsewhere};
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.commit = &ops;
    vt_open(&t);
    vt_anon(&t, BASE, P(10), VT_RW);
    assert_int_equal(elsewhere.charged, 10);
    assert_ret(map(&t, 1), -VMK_ENOMEM);
    assert_ret(vt_munmap(&t, BASE, P(4)), 0);
    assert_int_equal(elsewhere.charged, 6);
    assert_int_equal(elsewhere.nr_privileged, 0);
    vmk_mm_set_capabilities(t.mm, VMK_CAP_SYS_ADMIN);
    assert_true(map(&t, 1) > 0);
    assert_int_equal(elsewhere.nr_privileged, 1);
    assert_int_equal(vmk_system_committed(t.system), 0);
    vt_teardown(&t);
    assert_int_equal(elsewhere.charged, 0);
}

/* ---- Counters and trace events ---- */

struct events {
    uint64_t nr[VMK_EVENT_COUNT];
    vmk_addr start, end; /* of the last mmap */
    vmk_addr fork_start, fork_end;
    bool forked;
    struct vmk_mm *mm;
};

static void trace(void *context, enum vmk_event event, struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    struct events *events = context;

    events->nr[event]++;
    events->mm = mm;
    if (event == VMK_EVENT_mmap) {
        events->start = start;
        events->end = end;
    }
    if (event == VMK_EVENT_fork) {
        events->forked = true;
        events->fork_start = start;
        events->fork_end = end;
    }
}

static void test_events(void **state)
{
    static struct events events;
    struct vmk_counters counters, sum;
    struct vmk_mm *other;
    struct vt t;

    (void)state;
    memset(&events, 0, sizeof(events));
    vt_init(&t);
    t.system_options.trace = trace;
    t.system_options.trace_context = &events;
    vt_open(&t);
    vt_anon(&t, BASE, P(3), VT_RW);
    assert_ptr_equal(events.mm, t.mm);
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_R), 0);
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_RW), 0);
    assert_ret(vt_munmap(&t, BASE, P(1)), 0);
    vmk_mm_get_counters(t.mm, &counters);
    assert_int_equal(counters.mmap, 1);
    assert_int_equal(counters.mprotect, 2);
    assert_int_equal(counters.munmap, 1);
    assert_int_equal(counters.merge_both, 1);
    for (size_t i = 0; i < VMK_EVENT_COUNT; i++) {
        uint64_t counter;

        memcpy(&counter, (const char *)&counters + i * sizeof(counter), sizeof(counter));
        if (events.nr[i] != 0)
            assert_int_equal(events.nr[i], counter);
    }
    assert_int_equal(events.nr[VMK_EVENT_mprotect], 2);
    assert_int_equal(events.nr[VMK_EVENT_mmap], 1);
    assert_int_equal(events.nr[VMK_EVENT_merge_both], 1);
    assert_int_equal(events.start, BASE);
    assert_int_equal(events.end, BASE + P(3));
    assert_string_equal(vmk_event_name(VMK_EVENT_merge_prev), "merge_prev");
    assert_string_equal(vmk_event_name(VMK_EVENT_alloc_failed), "alloc_failed");
    assert_null(vmk_event_name(VMK_EVENT_COUNT));
    /* A second address space: the system's counters are the sum, and stay when it goes. */
    assert_ret(vmk_mm_create(t.system, &t.mm_options, &other), 0);
    const struct vmk_munmap_request request = {.address = BASE, .len = P(1)};
    assert_ret(vmk_munmap(other, &request, NULL), 0);
    vmk_system_counters(t.system, &sum);
    assert_int_equal(sum.munmap, 2);
    vmk_mm_put(other);
    /* A fork is of the whole space. */
    assert_ret(vmk_mm_fork(t.mm, &other), 0);
    assert_true(events.forked && events.fork_start == 0 && events.fork_end == t.mm->task_size_max);
    vmk_mm_put(other);
    vmk_system_counters(t.system, &sum);
    assert_int_equal(sum.munmap, 2);
    assert_int_equal(sum.mmap, 1);
    vt_teardown(&t);
}

/* ---- Threads and the host's fork ---- */

static void test_around_fork(void **state)
{
    struct vmk_mm *other;
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(vmk_mm_create(t.system, &t.mm_options, &other), 0);
    vmk_thread_enter(t.system);
    vt_anon(&t, BASE, P(1), VT_RW);
    vmk_system_fork_prepare(t.system);
    vmk_system_fork_parent(t.system);
    vt_anon(&t, BASE + P(1), P(1), VT_RW); /* the locks are free again */
    vmk_thread_leave(t.system);
    vmk_mm_put(other);
    assert_map(&t, "10000000-10002000 rw-p ac\n");
    vt_teardown(&t);
}

static void test_quiesce(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vmk_system_quiesce(t.system);
    long nr_live = atomic_load(&t.nr_live);
    for (unsigned i = 0; i < 500; i++) {
        vt_anon(&t, BASE, P(3), VT_RW);
        vt_anon(&t, BASE + P(1), P(1), VT_R);
        assert_ret(vt_munmap(&t, BASE, P(3)), 0);
    }
    vmk_system_quiesce(t.system);
    vmk_system_quiesce(t.system);
    assert_true(atomic_load(&t.nr_live) < nr_live + 32);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_settings_at_their_bounds),
        cmocka_unit_test(test_page_shift),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_end_is_busy),
        cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_sysctl),
        cmocka_unit_test(test_commit_modes),
        cmocka_unit_test(test_commit_reserves),
        cmocka_unit_test(test_commit_callbacks),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_around_fork),
        cmocka_unit_test(test_quiesce),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
