/* SPDX-License-Identifier: MIT */
/*
 * test_mremap_matrix.c - mremap in spaces of several kinds of areas, with holes between them and something at the destination:
 * a choice of all calls that such addresses, lengths and flags give, the same one each time. golden/mremaps.txt has a line for
 * each: ADDRESS+LENGTH>LENGTH with f(ixed), m(aymove), d(ontunmap) @ADDRESS; result; what changed in the counters; what the
 * backend, the driver's hooks and the notices were told; and the areas, if they changed. Addresses and lengths are in pages
 * (huge ones in the last space), flags those that differ from PROT_READ | PROT_WRITE with all MAY bits.
 */
#include "calls.h"
#include "golden.h"
#include "vmakit/backend.h"
#include "vmakit/state.h"

#define PLAIN (VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS)
#define SHAR  (VMK_VM_SHARED | VMK_VM_MAYSHARE)

static struct vt vt;
static struct vt_text heard;
static uint64_t unit; /* bytes */

static void print_pages(struct vt_text *to, vmk_addr start, vmk_addr end)
{
    vt_print(to, "%lld-%lld", ((long long)start - (long long)BASE) / (long long)unit,
             ((long long)end - (long long)BASE) / (long long)unit);
}

/* ---- Who hears of it ---- */

static int hear_prepare(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    static const char *const names[] = {"unmap", "map", "protect", "move", "advise", "sync"};

    (void)context;
    (void)mm;
    vt_print(&heard, ", %s ", edit->kind < 6 ? names[edit->kind] : "edit");
    print_pages(&heard, edit->start, edit->end);
    if (edit->kind == VMK_EDIT_MOVE)
        vt_print(&heard, " from %lld%s", (long long)(edit->from - BASE) / (long long)unit,
                 edit->keep_source ? " kept" : "");
    if (edit->kind != VMK_EDIT_UNMAP)
        vt_print(&heard, " ^%llx prot %x", (unsigned long long)(edit->flags ^ PLAIN), edit->prot);
    if (edit->file != NULL)
        vt_print(&heard, " file at %llx", (unsigned long long)(edit->offset >> 12));
    return 0;
}

static void hear_notice(void *context, struct vmk_mm *mm, const struct vmk_change *change)
{
    static const char *const names[] = {"mapped", "unmapped", "protected", "moved", "forked"};

    (void)context;
    (void)mm;
    vt_print(&heard, ", %s ", names[change->kind]);
    print_pages(&heard, change->start, change->end);
    if (change->kind == VMK_CHANGE_MOVE)
        vt_print(&heard, " from %lld", (long long)(change->from - BASE) / (long long)unit);
    vt_print(&heard, " ^%llx ^%llx", (unsigned long long)(change->old_flags ^ PLAIN),
             (unsigned long long)(change->new_flags ^ PLAIN));
}

static void hear_hook(const char *name, const struct vmk_vma *vma)
{
    vt_print(&heard, ", %s ", name);
    print_pages(&heard, vmk_vma_start(vma), vmk_vma_end(vma));
}

static void hear_open(struct vmk_vma *vma)
{
    hear_hook("open", vma);
}

static void hear_close(struct vmk_vma *vma)
{
    hear_hook("close", vma);
}

/* The second page cannot be split off, and nothing moves beyond page 40. */
static int hear_split(struct vmk_vma *vma, vmk_addr address)
{
    hear_hook("split", vma);
    vt_print(&heard, " at %lld", (long long)(address - BASE) / (long long)unit);
    return address == BASE + unit ? -VMK_EBUSY : 0;
}

static int hear_move(struct vmk_vma *vma)
{
    hear_hook("moves", vma);
    return vmk_vma_start(vma) >= BASE + 40 * unit ? -VMK_ENOSPC : 0;
}

static const struct vmk_vm_ops driver = {
    .size = sizeof(driver), .open = hear_open, .close = hear_close, .may_split = hear_split, .mremap = hear_move};

/* ---- Spaces ---- */

static void area(unsigned first, unsigned last, vmk_vm_flags flags, struct vmk_file *file, unsigned pgoff)
{
    const struct vmk_import_area request = {.start = BASE + first * unit,
                                            .end = BASE + last * unit,
                                            .flags = PLAIN ^ flags,
                                            .offset = P(pgoff),
                                            .file = file};

    assert_int_equal(vmk_mm_import(vt.mm, &request), 0);
}

static void make_anonymous(void)
{
    area(0, 4, VMK_VM_ACCOUNT, NULL, 0);
    vt_touch(&vt, BASE);
    area(4, 6, VMK_VM_WRITE, NULL, 0);
    area(8, 10, VMK_VM_ACCOUNT, NULL, 0);
    area(34, 38, VMK_VM_ACCOUNT, NULL, 0);
}

static void make_locked(void)
{
    area(0, 4, VMK_VM_ACCOUNT | VMK_VM_LOCKED, NULL, 0);
    area(4, 6, VMK_VM_ACCOUNT, NULL, 0);
    area(8, 10, VMK_VM_ACCOUNT | VMK_VM_LOCKED_MASK, NULL, 0);
    vt_touch(&vt, BASE + P(8));
    area(34, 38, VMK_VM_ACCOUNT, NULL, 0);
}

static void make_files(void)
{
    area(0, 4, VMK_VM_ACCOUNT, vt.files[0], 16);
    vt_touch(&vt, BASE);
    area(4, 6, SHAR, vt.files[0], 20);
    area(8, 10, SHAR, vt.files[0], 24);
    area(34, 38, SHAR, vt.files[1], 0);
}

static void make_registered(void)
{
    struct vmk_uffd_request request = {
        .action = VMK_UFFD_REGISTER, .context = 7, .mode = VMK_UFFD_MODE_MISSING, .address = BASE, .len = P(4)};

    make_anonymous();
    assert_int_equal(vmk_uffd(vt.mm, &request, NULL), 0);
    request.context = 8;
    request.features_remap = 1;
    request.address = BASE + P(8);
    request.len = P(2);
    assert_int_equal(vmk_uffd(vt.mm, &request, NULL), 0);
    request.features_remap = 0;
    request.context = 7;
    request.address = BASE + P(37);
    request.len = P(1);
    assert_int_equal(vmk_uffd(vt.mm, &request, NULL), 0);
}

static void make_driver(void)
{
    const struct vmk_vma_request request = {.start = BASE, .end = BASE + P(4), .ops = &driver, .flags = PLAIN};
    struct vmk_vma *vma;

    vmk_mm_lock_write(vt.mm);
    assert_int_equal(vmk_vma_create_and_insert(vt.mm, &request, &vma), 0);
    vmk_mm_unlock_write(vt.mm);
    area(4, 6, VMK_VM_DONTEXPAND, NULL, 0);
    area(8, 10, VMK_VM_SEALED, NULL, 0);
    area(34, 38, 0, NULL, 0);
}

static void make_limited(void)
{
    struct vmk_rlimits rlimits;

    make_anonymous();
    vmk_mm_get_rlimits(vt.mm, &rlimits);
    rlimits.as.soft = P(vt.mm->total_vm + 2);
    vmk_mm_set_rlimits(vt.mm, &rlimits);
    vmk_mm_set_capabilities(vt.mm, 0);
}

static void make_reserved(void)
{
    make_anonymous();
    assert_int_equal(vmk_mm_reserve_range(vt.mm, BASE + P(11), BASE + P(12)), 0);
    assert_int_equal(vmk_mm_reserve_range(vt.mm, BASE + P(39), BASE + P(41)), 0);
    assert_int_equal(vmk_mm_track_writes(vt.mm, BASE + P(1), BASE + P(5)), 0);
}

static void make_huge(void)
{
    const struct vmk_mmap_request request = {
        .address = BASE, .len = 4 * unit, .prot = VT_RW, .flags = VT_FIXED | VMK_MAP_HUGETLB};

    assert_int_equal(vmk_mmap(vt.mm, &request, NULL), 0);
    area(4, 6, VMK_VM_ACCOUNT, NULL, 0);
    area(34, 38, VMK_VM_ACCOUNT, NULL, 0);
}

static const struct space {
    const char *name;
    void (*make)(void);
    bool is_old, little_memory, tight_count;
    unsigned huge;
} spaces[] = {
    {"anonymous memory", make_anonymous, false, false, false, 1},
    {"anonymous memory, before 6.17", make_anonymous, true, false, false, 1},
    {"anonymous memory, with little left to charge", make_anonymous, false, true, false, 1},
    {"anonymous memory, with few areas more", make_anonymous, false, false, true, 1},
    {"anonymous memory, limited", make_limited, false, false, false, 1},
    {"reserved ranges, tracked pages", make_reserved, false, false, false, 1},
    {"locked memory", make_locked, false, false, false, 1},
    {"files", make_files, false, false, false, 1},
    {"registered memory", make_registered, false, false, false, 1},
    {"a driver, and what does not grow or move", make_driver, false, false, false, 1},
    {"huge pages", make_huge, false, false, false, 512},
};

static void limit_system(const struct space *space)
{
    struct vmk_sysctl sysctl;

    vmk_system_sysctl(vt.system, &sysctl);
    if (space->little_memory) {
        sysctl.overcommit_memory = VMK_OVERCOMMIT_NEVER;
        sysctl.overcommit_kbytes = 4 * 14;
        sysctl.total_swap_pages = sysctl.admin_reserve_kbytes = sysctl.user_reserve_kbytes = 0;
    }
    if (space->tight_count)
        sysctl.max_map_count = 9;
    assert_int_equal(vmk_system_set_sysctl(vt.system, &sysctl), 0);
}

static void open_space(const struct space *space)
{
    static const struct vmk_backend_ops backend = {.size = sizeof(backend), .granule = 4096, .prepare = hear_prepare};

    unit = P(space->huge);
    vt_init(&vt);
    if (space->is_old)
        vmk_settings_init(&vt.system_options.settings, VMK_LINUX_VERSION(6, 16), VMK_ARCH_X86_64);
    vt.system_options.sysctl.hugetlb_free_pages = 8;
    vt.mm_options.backend = &backend;
    vt.mm_options.capabilities = 0;
    vt.mm_options.rlimits.memlock.soft = P(9);
    vt_open(&vt);
    vt_file(&vt, 1);
    vt_file(&vt, 2);
    space->make();
    limit_system(space);
    vmk_mm_set_notice(vt.mm, hear_notice, NULL);
    vt_validate(&vt);
    heard.len = 0;
    heard.text[0] = '\0';
}

static void close_space(void)
{
    vmk_mm_set_notice(vt.mm, NULL, NULL);
    vt_teardown(&vt);
}

/* ---- Calls ---- */

static void print_areas(struct vt_text *to)
{
    struct vmk_vma_info info = {.size = sizeof(info)};
    vmk_addr cursor = 0;

    for (; vmk_mm_next(vt.mm, &cursor, &info) == 0; info.size = sizeof(info)) {
        vt_print(to, "; ");
        print_pages(to, info.start, info.end);
        vt_print(to, " ^%llx%s", (unsigned long long)(info.flags ^ PLAIN), info.anon_vma != 0 ? " anon" : "");
        if (info.pgoff != info.start / P(1))
            vt_print(to, " at %llx", (unsigned long long)info.pgoff);
        if (info.uffd != 0)
            vt_print(to, " uffd %llu", (unsigned long long)info.uffd);
    }
}

/* Counters and the charge; what changed of them is told. */
struct sums {
    uint64_t total, locked, committed, peak, pool;
};

static struct sums count_sums(void)
{
    struct vmk_sysctl sysctl;

    vmk_system_sysctl(vt.system, &sysctl);
    return (struct sums){vt.mm->total_vm, vt.mm->locked_vm, vmk_system_committed(vt.system), vt.mm->peak_vm,
                         vmki_pool_free(vt.mm, 21)};
}

static void print_sums(struct vt_text *to, const struct sums *a, const struct sums *b)
{
    const struct {
        const char *name;
        int64_t change;
    } changes[] = {{"mapped", (int64_t)(b->total - a->total)},
                   {"locked", (int64_t)(b->locked - a->locked)},
                   {"charged", (int64_t)(b->committed - a->committed)},
                   {"peak", (int64_t)(b->peak - a->peak)},
                   {"pool", (int64_t)(b->pool - a->pool)}};

    for (size_t i = 0; i < 5; i++)
        if (changes[i].change != 0)
            vt_print(to, " %s %lld", changes[i].name, (long long)changes[i].change);
}

static void run_call(struct golden *golden, const struct space *space, const struct vmk_mremap_request *pages)
{
    static struct vt_text before, after, line;
    const struct vmk_mremap_request request = {.old_address = BASE + pages->old_address * P(space->huge),
                                               .old_len = pages->old_len * P(space->huge),
                                               .new_len = pages->new_len * P(space->huge),
                                               .flags = pages->flags,
                                               .new_address = BASE + pages->new_address * P(space->huge)};

    open_space(space);
    before.len = after.len = line.len = 0;
    print_areas(&before);
    const struct sums old_sums = count_sums();
    int error = vmk_mremap(vt.mm, &request, &vt.result);
    const struct sums new_sums = count_sums();
    vt_validate(&vt);
    print_areas(&after);
    vt_print(&line, "%llu+%llu>%llu %s%s%s @%llu: %d", (unsigned long long)pages->old_address,
             (unsigned long long)pages->old_len, (unsigned long long)pages->new_len,
             (pages->flags & VMK_MREMAP_FIXED) != 0 ? "f" : "", (pages->flags & VMK_MREMAP_MAYMOVE) != 0 ? "m" : "",
             (pages->flags & VMK_MREMAP_DONTUNMAP) != 0 ? "d" : "", (unsigned long long)pages->new_address, error);
    if (error == 0)
        vt_print(&line, " value %lld", ((long long)vt.result.value - (long long)BASE) / (long long)unit);
    vt_print(&line, " done %lld", (long long)vt.result.done / (long long)unit);
    print_sums(&line, &old_sums, &new_sums);
    vt_print(&line, "%s%s", heard.text, strcmp(before.text, after.text) != 0 ? after.text : "");
    golden_line(golden, line.text, line.len);
    close_space();
}

static void run_space(struct golden *golden, const struct space *space, unsigned nr)
{
    static const unsigned addresses[] = {0, 0, 0, 1, 3, 4, 8}, old_lens[] = {4, 4, 2, 0, 1, 6, 10, 12},
                          new_lens[] = {4, 2, 5, 6, 1, 10, 12}, places[] = {33, 30, 2, 36, 37};
    static const uint64_t flags[] = {3, 1, 5, 3, 7, 0, 2, 1};
    uint64_t seed = 1;

    golden_line(golden, space->name, strlen(space->name));
    while (nr-- > 0) {
        uint64_t r = (seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u) >> 20;
        struct vmk_mremap_request pages = {.old_address = addresses[r % 7],
                                           .old_len = old_lens[r / 7 % 8],
                                           .new_len = new_lens[r / 56 % 7],
                                           .flags = flags[r / 392 % 8],
                                           .new_address = places[r / 3136 % 5]};

        if (r / 15680 % 3 != 0 && (pages.flags & 4) != 0) /* mostly what DONTUNMAP can do */
            pages.new_len = pages.old_len;
        if (r / 47040 % 3 == 0)
            pages.old_len = pages.new_len;
        run_call(golden, space, &pages);
    }
}

static void test_matrix(void **state)
{
    struct golden golden;

    (void)state;
    golden_open(&golden, "mremaps.txt");
    for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++)
        run_space(&golden, &spaces[i], 110);
    golden_close(&golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matrix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
