/* SPDX-License-Identifier: MIT */
/*
 * test_mmap_matrix.c - mmap of every kind of file and of none, opened in every way, with every type, protection and flag, over
 * the end of memory that is there: golden/mmaps.txt has, for each type and flag, what comes of it, and of which files with
 * which protections. Then processes that may do less, offsets that are too large, and places in the way of a reserved range.
 * Addresses are in pages from the place that is asked for; ^ before flags says: other than the protection that was asked for.
 */
#include "calls.h"
#include "golden.h"
#include "vmakit/backend.h"

#define ALL     (VMK_FILE_READ | VMK_FILE_WRITE)
#define NO_AREA UINT64_MAX

/* ---- Files ---- */

static int hook_agrees(struct vmk_file *file, struct vmk_mmap_description *description)
{
    assert_ptr_equal(description->file, file);
    assert_true(description->start == BASE && description->end > BASE && (description->flags >> 56) == 0);
    return 0;
}

/* Another offset, other flags, some of which are not a hook's to change. */
static int hook_changes(struct vmk_file *file, struct vmk_mmap_description *description)
{
    static const struct vmk_vm_ops ops = {.size = sizeof(ops)};

    (void)file;
    description->pgoff += 7;
    description->flags |= VMK_VM_IO | VMK_VM_DONTEXPAND | VMK_VM_LOCKED | VMK_VM_EXEC;
    description->flags &= ~(VMK_VM_MAYWRITE | VMK_VM_WRITE | VMK_VM_SHARED);
    description->ops = &ops;
    return 0;
}

static int hook_has_data(struct vmk_file *file, struct vmk_mmap_description *description)
{
    description->private_data = file;
    return 0;
}

static int hook_refuses(struct vmk_file *file, struct vmk_mmap_description *description)
{
    (void)file;
    (void)description;
    return -VMK_EBUSY;
}

static const struct vmk_file_ops agrees = {.size = sizeof(agrees), .mmap = hook_agrees};
static const struct vmk_file_ops changes = {.size = sizeof(changes), .mmap = hook_changes};
static const struct vmk_file_ops has_data = {.size = sizeof(has_data), .mmap = hook_has_data};
static const struct vmk_file_ops refuses = {.size = sizeof(refuses), .mmap = hook_refuses};

static const struct file_kind {
    const char *name;
    enum vmk_object_kind kind;
    uint32_t mode, seals;
    const struct vmk_file_ops *ops;
} files[] = {
    {"none", VMK_OBJECT_NONE, 0, 0, NULL}, /* MAP_ANONYMOUS */
    {"file", VMK_OBJECT_REGULAR, ALL, 0, NULL},
    {"file, opened for reading", VMK_OBJECT_REGULAR, VMK_FILE_READ, 0, NULL},
    {"file, opened for writing", VMK_OBJECT_REGULAR, VMK_FILE_WRITE, 0, NULL},
    {"file, noexec", VMK_OBJECT_REGULAR, ALL | VMK_FILE_NOEXEC, 0, NULL},
    {"path", VMK_OBJECT_REGULAR, ALL | VMK_FILE_PATH, 0, NULL},
    {"file on DAX", VMK_OBJECT_REGULAR, ALL | VMK_FILE_SYNC, 0, NULL},
    {"file with a hook", VMK_OBJECT_REGULAR, ALL, 0, &agrees},
    {"memfd", VMK_OBJECT_SHMEM, ALL, 0, NULL},
    {"memfd, sealed", VMK_OBJECT_SHMEM, ALL, VMK_SEAL_WRITE, NULL},
    {"memfd, sealed for the future", VMK_OBJECT_SHMEM, ALL, VMK_SEAL_FUTURE_WRITE, NULL},
    {"memfd, another seal", VMK_OBJECT_SHMEM, ALL, VMK_SEAL_EXEC, NULL},
    {"/dev/zero", VMK_OBJECT_ZERO, ALL, 0, NULL},
    {"secret", VMK_OBJECT_SECRET, ALL, 0, NULL},
    {"device", VMK_OBJECT_DEVICE, ALL, 0, NULL},
    {"device whose hook changes things", VMK_OBJECT_DEVICE, ALL, 0, &changes},
    {"device whose hook leaves data", VMK_OBJECT_DEVICE, ALL, 0, &has_data},
    {"device whose hook refuses", VMK_OBJECT_DEVICE, ALL, 0, &refuses},
    {"huge pages", VMK_OBJECT_HUGETLB, ALL, 0, NULL},
    {"what cannot be mapped", VMK_OBJECT_NONE, ALL, 0, NULL},
};
enum { NR_FILES = sizeof(files) / sizeof(files[0]), NR_PROTS = 8, NR_OUTCOMES = NR_FILES * NR_PROTS };

static struct vt vt;
static struct vmk_file *opened[NR_FILES];

static void open_files(void)
{
    for (unsigned i = 1; i < NR_FILES; i++) {
        const struct vmk_object_options object_options = {.size = sizeof(object_options),
                                                          .kind = files[i].kind,
                                                          .id = i,
                                                          .nr_bytes = P(1024),
                                                          .inode = i,
                                                          .huge_shift = files[i].kind == VMK_OBJECT_HUGETLB ? 21 : 0};
        struct vmk_file_options options = {.size = sizeof(options),
                                           .mode = files[i].mode,
                                           .seals = files[i].seals,
                                           .ops = files[i].ops,
                                           .name = "/file",
                                           .id = i};

        assert_int_equal(vmk_object_create(vt.system, &object_options, &options.object), 0);
        assert_int_equal(vmk_file_create(vt.system, &options, &opened[i]), 0);
        vmk_object_put(options.object);
    }
}

static void close_all(void)
{
    for (unsigned i = 1; i < NR_FILES; i++)
        vmk_file_put(opened[i]);
    vt.mm = NULL;
    vt_teardown(&vt);
}

/* ---- What comes of a call ---- */

static struct vt_text edits;
static uint32_t asked_prot; /* flags are shown without it where they are the new area's */

static void print_pages(struct vt_text *to, vmk_addr start, vmk_addr end)
{
    vt_print(to, "%lld-%lld", (long long)(start - BASE) / (long long)P(1), (long long)(end - BASE) / (long long)P(1));
}

static int note_edit(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    static const char *const names[] = {"unmap", "map", "protect", "move", "advise", "sync"};

    (void)context;
    (void)mm;
    vt_print(&edits, ", %s ", edit->kind < 6 ? names[edit->kind] : "edit");
    print_pages(&edits, edit->start, edit->end);
    if (edit->kind == VMK_EDIT_MAP)
        vt_print(&edits, " ^%llx prot ^%x at %llx%s", (unsigned long long)(edit->flags ^ asked_prot),
                 edit->prot ^ asked_prot, (unsigned long long)(edit->offset >> 12),
                 edit->file != NULL ? " of a file" : "");
    if (edit->advice != 0)
        vt_print(&edits, " advice %d", edit->advice);
    return 0;
}

static void print_areas(struct vt_text *to, vmk_addr new_area)
{
    struct vmk_vma_info info = {.size = sizeof(info)};
    vmk_addr cursor = 0;

    for (; vmk_mm_next(vt.mm, &cursor, &info) == 0; info.size = sizeof(info)) {
        bool is_new = new_area != NO_AREA && info.start == new_area;

        vt_print(to, "; ");
        print_pages(to, info.start, info.end);
        vt_print(to, " %s%llx%s", is_new ? "^" : "",
                 (unsigned long long)(is_new ? info.flags ^ asked_prot : info.flags),
                 info.anon_vma != 0 ? " anon" : "");
        if (info.pgoff != info.start / P(1))
            vt_print(to, " at %llx", (unsigned long long)info.pgoff);
    }
}

static struct {
    char text[700];
    uint8_t prots[NR_FILES]; /* a bit for each protection */
} outcomes[NR_OUTCOMES];
static size_t nr_outcomes;

static void note_outcome(const struct vt_text *text, size_t file, unsigned prot)
{
    size_t i = 0;

    while (i < nr_outcomes && strcmp(outcomes[i].text, text->text) != 0)
        i++;
    assert_true(i < NR_OUTCOMES && text->len < sizeof(outcomes[i].text));
    if (i == nr_outcomes) {
        memset(&outcomes[i], 0, sizeof(outcomes[i]));
        memcpy(outcomes[i].text, text->text, text->len + 1);
        nr_outcomes++;
    }
    outcomes[i].prots[file] |= (uint8_t)(1u << prot);
}

/* " 3 5:13": file 3 with every protection, file 5 with 1 and 3. */
static void print_outcomes(struct golden *golden)
{
    static struct vt_text lines;

    lines.len = 0;
    for (size_t i = 0; i < nr_outcomes; i++) {
        vt_print(&lines, "%s  <-", outcomes[i].text);
        for (unsigned file = 0; file < NR_FILES; file++) {
            if (outcomes[i].prots[file] == 0)
                continue;
            vt_print(&lines, " %u%s", file, outcomes[i].prots[file] != 0xff ? ":" : "");
            for (unsigned prot = 0; prot < NR_PROTS && outcomes[i].prots[file] != 0xff; prot++)
                if ((outcomes[i].prots[file] >> prot & 1) != 0)
                    vt_print(&lines, "%u", prot);
        }
        vt_print(&lines, "\n");
    }
    golden_text(golden, &lines);
    nr_outcomes = 0;
}

/* ---- Processes ---- */

enum process { ANY, NO_EXEC_GAIN, LOCKS_ALL, MERGES, EXECUTES, LOCKS_LITTLE, MAY_NOT_LOCK, NR_PROCESSES };
static const char *const process_names[NR_PROCESSES] = {"",
                                                        ", no gain of PROT_EXEC",
                                                        ", MCL_FUTURE",
                                                        ", merges",
                                                        ", reading implies executing",
                                                        ", five pages to lock",
                                                        ", may not lock"};

static void set_process(enum process process)
{
    struct vmk_rlimits rlimits;

    vmk_mm_get_rlimits(vt.mm, &rlimits);
    if (process == NO_EXEC_GAIN)
        assert_ret(vt_option(&vt, VMK_OPTION_MDWE, VMK_MDWE_REFUSE_EXEC_GAIN), 0);
    if (process == LOCKS_ALL)
        assert_ret(vt_mlockall(&vt, VMK_MCL_FUTURE), 0);
    if (process == MERGES)
        assert_ret(vt_option(&vt, VMK_OPTION_MEMORY_MERGE, 1), 0);
    if (process == EXECUTES)
        vmk_mm_set_personality(vt.mm, VMK_ADDR_NO_RANDOMIZE | VMK_READ_IMPLIES_EXEC);
    if (process == LOCKS_LITTLE || process == MAY_NOT_LOCK) {
        vmk_mm_set_capabilities(vt.mm, 0);
        rlimits.memlock.soft = process == LOCKS_LITTLE ? P(3) : 0;
        vmk_mm_set_rlimits(vt.mm, &rlimits);
    }
}

static void begin(enum process process)
{
    assert_int_equal(vmk_mm_create(vt.system, &vt.mm_options, &vt.mm), 0);
    vt_anon(&vt, BASE - P(3), P(5), VT_RW);
    vt_touch(&vt, BASE);
    set_process(process);
    edits.len = 0;
    edits.text[0] = '\0';
}

static void run_map(const struct vmk_mmap_request *request, size_t file, enum process process)
{
    static struct vt_text before, after, text;
    uint64_t committed;

    begin(process);
    before.len = after.len = text.len = 0;
    asked_prot = request->prot;
    print_areas(&before, NO_AREA);
    committed = vmk_system_committed(vt.system);
    int error = vmk_mmap(vt.mm, request, &vt.result);
    vt_validate(&vt);
    print_areas(&after, error == 0 ? vt.result.value : NO_AREA);
    assert_int_equal(vt.result.error, error);
    vt_print(&text, "%d", error);
    if (error == 0 && vt.result.value != BASE)
        vt_print(&text, " value %lld", (long long)(vt.result.value - BASE) / (long long)P(1));
    vt_print(&text, " done %lld", (long long)vt.result.done / (long long)P(1));
    if (committed != vmk_system_committed(vt.system))
        vt_print(&text, " charged %lld", (long long)(vmk_system_committed(vt.system) - committed));
    vt_print(&text, "%s%s", edits.text, strcmp(before.text, after.text) != 0 ? after.text : "");
    note_outcome(&text, file, request->prot & 7);
    vmk_mm_put(vt.mm);
}

static void run_topic(struct golden *golden, uint32_t flags, uint64_t offset, uint64_t len, enum process process,
                      unsigned nr_prots)
{
    char topic[160];
    int topic_len = snprintf(topic, sizeof(topic), "# flags %x, offset %llx, length %llx%s", flags,
                             (unsigned long long)offset, (unsigned long long)len, process_names[process]);

    golden_line(golden, topic, (size_t)topic_len);
    for (unsigned file = 0; file < NR_FILES; file++)
        for (unsigned prot = NR_PROTS - nr_prots; prot < NR_PROTS; prot++) {
            const struct vmk_mmap_request request = {.address = BASE,
                                                     .len = len,
                                                     .prot = prot,
                                                     .flags = flags | (file == 0 ? VMK_MAP_ANONYMOUS : 0u),
                                                     .file = opened[file],
                                                     .offset = offset};

            run_map(&request, file, process);
        }
    print_outcomes(golden);
}

static void open_world(void)
{
    static const struct vmk_backend_ops backend = {.size = sizeof(backend), .granule = 4096, .prepare = note_edit};

    vt_init(&vt);
    vt.system_options.sysctl.hugetlb_free_pages = 2;
    vt.system_options.settings.nr_pkeys = 16;
    vt.mm_options.backend = &backend;
    vt.mm_options.capabilities = UINT32_MAX;
    assert_int_equal(vmk_system_create(&vt.system_options, &vt.system), 0);
    open_files();
}

static void test_flags(void **state)
{
    static const uint32_t types[] = {VMK_MAP_SHARED, VMK_MAP_PRIVATE, VMK_MAP_SHARED_VALIDATE, VMK_MAP_DROPPABLE, 0};
    static const uint32_t extras[] = {0,
                                      VMK_MAP_GROWSDOWN,
                                      VMK_MAP_LOCKED,
                                      VMK_MAP_NORESERVE,
                                      VMK_MAP_POPULATE,
                                      VMK_MAP_POPULATE | VMK_MAP_NONBLOCK,
                                      VMK_MAP_STACK,
                                      VMK_MAP_HUGETLB,
                                      VMK_MAP_HUGETLB | VMK_MAP_NORESERVE,
                                      VMK_MAP_HUGETLB | 16u << VMK_MAP_HUGE_SHIFT,
                                      VMK_MAP_SYNC,
                                      VMK_MAP_FIXED_NOREPLACE,
                                      VMK_MAP_DENYWRITE | VMK_MAP_EXECUTABLE | VMK_MAP_UNINITIALIZED | VMK_MAP_32BIT,
                                      0x200};
    struct golden golden;

    (void)state;
    open_world();
    golden_open(&golden, "mmaps.txt");
    for (unsigned i = 0; i < NR_FILES; i++) {
        char line[100];

        golden_line(&golden, line, (size_t)snprintf(line, sizeof(line), "%u: %s", i, files[i].name));
    }
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        for (size_t j = 0; j < (types[i] == 0 ? 1 : sizeof(extras) / sizeof(extras[0])); j++)
            run_topic(&golden, VMK_MAP_FIXED | types[i] | extras[j], 0, P(4), ANY, NR_PROTS);
    for (unsigned process = ANY + 1; process < NR_PROCESSES; process++)
        for (size_t i = 0; i < 2; i++) {
            run_topic(&golden, VMK_MAP_FIXED | types[i], P(512), P(4), (enum process)process, NR_PROTS);
            run_topic(&golden, VMK_MAP_FIXED | types[i] | VMK_MAP_LOCKED, P(512), P(4), (enum process)process,
                      NR_PROTS);
        }
    golden_close(&golden);
    close_all();
}

/* ---- Sizes and places ---- */

static void test_sizes(void **state)
{
    static const uint64_t lens[] = {0, 1, 4097, 1 << 21, (1 << 21) + 1, UINT64_MAX - 4095, UINT64_MAX};
    static const uint64_t offsets[] = {
        0, 1, 4096, 1 << 21, INT64_MAX - 4095 - 4096, INT64_MAX - 4095, UINT64_MAX - 4095 - 4096, UINT64_MAX - 4095};
    struct golden golden;

    (void)state;
    open_world();
    golden_open(&golden, "mmap_sizes.txt");
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
        for (size_t j = 0; j < sizeof(offsets) / sizeof(offsets[0]); j++) {
            run_topic(&golden, VMK_MAP_FIXED | VMK_MAP_PRIVATE, offsets[j], lens[i], ANY, 1);
            if (lens[i] == 1 || lens[i] == UINT64_MAX)
                run_topic(&golden, VMK_MAP_FIXED | VMK_MAP_PRIVATE | VMK_MAP_HUGETLB, offsets[j], lens[i], ANY, 1);
        }
    golden_close(&golden);
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_sizes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
