/* SPDX-License-Identifier: MIT */
/*
 * test_other_failures.c - memory that runs out at every moment of what is no verb: fork, faults, single areas, ranges that
 * are tracked or reserved, states that are saved and loaded, and the creation of everything. An operation either ends as
 * it does untroubled, which golden/others.txt has, or says that memory is short and leaves the state of before.
 */
#include "golden.h"
#include "memory_log.h"
#include "vmakit/fault.h"
#include "vmakit/state.h"
#include "world.h"

static struct vt_text saved_text;

/* ---- The operations: 0, a positive number, or a negative error ---- */

static size_t nr_areas_to_copy(struct vmk_mm *mm)
{
    struct vmk_vma_info info = {.size = sizeof(info)};
    vmk_addr cursor = 0;
    size_t nr = 0;

    while (vmk_mm_next(mm, &cursor, &info) == 0)
        nr += (info.flags & VMK_VM_DONTCOPY) == 0;
    return nr;
}

static int op_fork(struct vt *t)
{
    struct vmk_mm *child;
    int error = vmk_mm_fork(t->mm, &child);

    if (error == 0) {
        vt_validate_mm(child);
        assert_int_equal(nr_areas_to_copy(child), nr_areas_to_copy(t->mm));
        vmk_mm_put(child);
    }
    return error;
}

static int op_become_child(struct vt *t)
{
    return vmk_mm_become_child(t->mm);
}

static int op_exit(struct vt *t)
{
    vmk_mm_exit(t->mm);
    return 0;
}

static int op_create_mm(struct vt *t)
{
    struct vmk_mm_options options = t->mm_options;
    struct vmk_settings settings = *vmk_system_settings(t->system);
    struct vmk_mm *mm;

    settings.stack_guard_gap++; /* settings of its own */
    options.settings = &settings;
    int error = vmk_mm_create(t->system, &options, &mm);
    if (error == 0)
        vmk_mm_put(mm);
    return error;
}

static int op_create_system(struct vt *t)
{
    struct vmk_system *system;
    int error = vmk_system_create(&t->system_options, &system);

    return error == 0 ? vmk_system_destroy(system) : error;
}

static int op_create_file(struct vt *t)
{
    const struct vmk_object_options object_options = {.size = sizeof(object_options), .id = 77};
    struct vmk_file_options options = {.size = sizeof(options), .name = "/some/name", .mode = VMK_FILE_READ};
    struct vmk_file *file;
    int error = vmk_object_create(t->system, &object_options, &options.object);

    if (error != 0)
        return error;
    error = vmk_file_create(t->system, &options, &file);
    vmk_object_put(options.object);
    if (error == 0)
        vmk_file_put(file);
    return error;
}

static int op_track(struct vt *t)
{
    return vmk_mm_track_writes(t->mm, W(Z_ANON, 1), W(Z_ANON, 3));
}

static int op_track_more(struct vt *t)
{
    return vmk_mm_track_writes(t->mm, W(Z_TRACKED, 0), W(Z_TRACKED, 2));
}

static int op_untrack_middle(struct vt *t)
{
    return vmk_mm_untrack_writes(t->mm, W(Z_TRACKED, 2), W(Z_TRACKED, 3));
}

static int op_reserve(struct vt *t)
{
    return vmk_mm_reserve_range(t->mm, W(Z_FREE, 0), W(Z_FREE, 4));
}

static int op_unreserve_middle(struct vt *t)
{
    return vmk_mm_unreserve_range(t->mm, W(Z_RESERVED, 1), W(Z_RESERVED, 2));
}

static int op_save(struct vt *t)
{
    saved_text.len = 0;
    return vmk_mm_save(&t->mm, 1, vt_sink, &saved_text);
}

/* What the untroubled run of op_save has left. */
static int op_load(struct vt *t)
{
    struct vmk_mm *mm;
    size_t nr = 1;
    int error = vmk_mm_load(t->system, saved_text.text, saved_text.len, world_find, t, &mm, &nr, NULL);

    if (error == 0)
        vmk_mm_put(mm);
    return error;
}

static int op_import(struct vt *t)
{
    const struct vmk_import_area area = {.start = W(Z_FREE, 0),
                                         .end = W(Z_FREE, 2),
                                         .flags = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS,
                                         .offset = P(4),
                                         .file = t->files[0],
                                         .anon_vma = VMK_ANON_YES};

    return vmk_mm_import(t->mm, &area);
}

static int op_import_special(struct vt *t)
{
    const struct vmk_import_area area = {
        .start = W(Z_FREE, 0), .end = W(Z_FREE, 2), .flags = VT_VVAR, .special_name = "[vvar]", .ops = &world_vdso};

    return vmk_mm_import(t->mm, &area);
}

static int op_pin(struct vt *t)
{
    return vmk_mm_pin(t->mm, 3);
}

static int op_reports(struct vt *t)
{
    static struct vt_text text;

    text.len = 0;
    vmk_report_maps(t->mm, vt_sink, &text);
    vmk_report_json(t->mm, vt_sink, &text);
    return 0;
}

/* ---- Single areas ---- */

static struct vmk_vma_request free_area(void)
{
    return (struct vmk_vma_request){.start = W(Z_FREE, 0),
                                    .end = W(Z_FREE, 4),
                                    .flags = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS,
                                    .ops = &world_driver,
                                    .special_name = "[one]"};
}

static int op_create_and_insert(struct vt *t)
{
    const struct vmk_vma_request request = free_area();
    struct vmk_vma *vma;

    vmk_mm_lock_write(t->mm);
    int error = vmk_vma_create_and_insert(t->mm, &request, &vma);
    vmk_mm_unlock_write(t->mm);
    return error;
}

static int op_map_memory(struct vt *t)
{
    struct vmk_vma_request request = free_area();
    struct vmk_vma *vma;

    request.file = t->files[1];
    request.ops = NULL;
    request.special_name = NULL;
    vmk_mm_lock_write(t->mm);
    int error = vmk_vma_map_memory(t->mm, &request, &vma);
    vmk_mm_unlock_write(t->mm);
    return error;
}

static int op_split(struct vt *t)
{
    struct vmk_vma *second;

    vmk_mm_lock_write(t->mm);
    int error = vmk_vma_split(t->mm, vmk_mm_find(t->mm, W(Z_FILE, 0)), W(Z_FILE, 3), &second);
    vmk_mm_unlock_write(t->mm);
    return error;
}

static int op_split_driver(struct vt *t)
{
    struct vmk_vma *second;

    vmk_mm_lock_write(t->mm);
    int error = vmk_vma_split(t->mm, vmk_mm_find(t->mm, W(Z_DRIVER, 0)), W(Z_DRIVER, 3), &second);
    vmk_mm_unlock_write(t->mm);
    return error;
}

static int op_modify(struct vt *t)
{
    struct vmk_vma *modified;

    vmk_mm_lock_write(t->mm);
    int error = vmk_vma_modify(t->mm, vmk_mm_find(t->mm, W(Z_ANON, 0)), W(Z_ANON, 2), W(Z_ANON, 4), VT_R, &modified);
    vmk_mm_unlock_write(t->mm);
    return error;
}

static int op_merge(struct vt *t)
{
    struct vmk_vma *merged;

    vmk_mm_lock_write(t->mm);
    int error = vmk_vma_merge(t->mm, vmk_mm_find(t->mm, W(Z_ANON, 0)), &merged);
    vmk_mm_unlock_write(t->mm);
    return error;
}

static int op_delete(struct vt *t)
{
    vmk_mm_lock_write(t->mm);
    int error = vmk_vma_delete(t->mm, vmk_mm_find(t->mm, W(Z_DRIVER, 0)));
    vmk_mm_unlock_write(t->mm);
    return error;
}

static int op_remove(struct vt *t)
{
    vmk_mm_lock_write(t->mm);
    struct vmk_vma *vma = vmk_mm_find(t->mm, W(Z_FILE, 0));
    int error = vmk_vma_remove(t->mm, vma);
    if (error == 0)
        vmk_vma_destroy(vma);
    vmk_mm_unlock_write(t->mm);
    return error;
}

/* ---- Faults ---- */

static int fault(struct vt *t, vmk_addr address, unsigned access, unsigned flags)
{
    const struct vmk_fault_request request = {.address = address, .access = access, .flags = flags | VMK_FAULT_USER};
    struct vmk_fault fault;

    assert_int_equal(vmk_mm_fault(t->mm, &request, &fault), 0);
    return fault.outcome == VMK_FAULT_NO_MEMORY ? -VMK_ERR_HOST_NOMEM : (int)(fault.outcome << 8 | fault.fault_case);
}

static int op_fault_new(struct vt *t)
{
    return fault(t, W(Z_POLICY, 1), VMK_ACCESS_WRITE, 0);
}

static int op_fault_reuse(struct vt *t)
{
    return fault(t, W(Z_ANON, 12), VMK_ACCESS_WRITE, 0);
}

static int op_fault_file(struct vt *t)
{
    return fault(t, W(Z_FILE, 2), VMK_ACCESS_WRITE, VMK_FAULT_PRESENT);
}

static int op_fault_growth(struct vt *t)
{
    return fault(t, W(Z_STACK, -2), VMK_ACCESS_WRITE, 0);
}

static int op_fault_tracked(struct vt *t)
{
    return fault(t, W(Z_TRACKED, 1), VMK_ACCESS_WRITE, 0);
}

static int op_fault_pending(struct vt *t)
{
    return fault(t, W(Z_UFFD, 1), VMK_ACCESS_READ, 0);
}

/* ---- The table ---- */

struct operation {
    const char *name;
    int (*run)(struct vt *t);
};

#define OPERATION(name)                                                                                                \
    {                                                                                                                  \
#name, op_##name                                                                                               \
    }
static const struct operation operations[] = {
    OPERATION(fork),
    OPERATION(become_child),
    OPERATION(exit),
    OPERATION(create_mm),
    OPERATION(create_system),
    OPERATION(create_file),
    OPERATION(track),
    OPERATION(track_more),
    OPERATION(untrack_middle),
    OPERATION(reserve),
    OPERATION(unreserve_middle),
    OPERATION(save),
    OPERATION(load),
    OPERATION(import),
    OPERATION(import_special),
    OPERATION(pin),
    OPERATION(reports),
    OPERATION(create_and_insert),
    OPERATION(map_memory),
    OPERATION(split),
    OPERATION(split_driver),
    OPERATION(modify),
    OPERATION(merge),
    OPERATION(delete),
    OPERATION(remove),
    OPERATION(fault_new),
    OPERATION(fault_reuse),
    OPERATION(fault_file),
    OPERATION(fault_growth),
    OPERATION(fault_tracked),
    OPERATION(fault_pending),
};
enum { NR_OPERATIONS = sizeof(operations) / sizeof(operations[0]) };

static struct vt_text before, after, untroubled;

static void fail_operation(const struct operation *operation, enum world_kind kind, long n, int value)
{
    fail_msg("%s in a %s world: allocation %ld refused, result %d: another state", operation->name,
             world_kind_names[kind], n, value);
}

/* One run; allocation n is refused (-1: none). Its result; *failed whether one was. */
static int run_once(const struct operation *operation, enum world_kind kind, long n, bool *failed)
{
    struct vt *t = world_setup(kind, false, NULL, NULL);

    world_state(&before);
    atomic_store(&t->failed, false);
    atomic_store(&t->until_fail, n);
    int value = operation->run(t);
    atomic_store(&t->until_fail, -1);
    *failed = atomic_load(&t->failed);
    if (operation->run != op_exit)
        vt_validate(t);
    world_state(&after);
    world_teardown();
    return value;
}

static unsigned run_operation(const struct operation *operation, enum world_kind kind)
{
    bool failed;
    unsigned nr_refused = 0;
    int expected = run_once(operation, kind, -1, &failed);

    assert_true(expected >= 0);
    memcpy(&untroubled, &after, sizeof(after));
    for (long n = 0;; n++) {
        int value = run_once(operation, kind, n, &failed);

        assert_true(n < 5000);
        if (value == -VMK_ERR_HOST_NOMEM) {
            nr_refused++;
            if (strcmp(before.text, after.text) != 0)
                fail_operation(operation, kind, n, value);
        } else if (value != expected || strcmp(untroubled.text, after.text) != 0) {
            fail_operation(operation, kind, n, value);
        }
        if (!failed)
            return nr_refused;
    }
}

static void test_operation(void **state)
{
    const struct operation *operation = *state;
    unsigned nr_refused = 0;

    for (enum world_kind kind = WORLD_PLAIN; kind < WORLD_KINDS; kind++) {
        bool failed;

        if (operation->run == op_load) /* something to load, and untroubled */
            run_once(&(struct operation){"save", op_save}, kind, -1, &failed);
        nr_refused += run_operation(operation, kind);
    }
    printf("%s: %u refusals\n", operation->name, nr_refused);
}

/* What each does when nothing fails. */
static void test_outcomes(void **state)
{
    static struct vt_text outcome;
    struct golden golden;

    (void)state;
    golden_open(&golden, "others.txt");
    for (size_t i = 0; i < NR_OPERATIONS; i++)
        for (enum world_kind kind = WORLD_PLAIN; kind <= WORLD_CHILD; kind += WORLD_CHILD - WORLD_PLAIN) {
            bool failed;

            if (operations[i].run == op_load)
                run_once(&(struct operation){"save", op_save}, kind, -1, &failed);
            outcome.len = 0;
            vt_print(&outcome, "# %s in a %s world", operations[i].name, world_kind_names[kind]);
            vt_print(&outcome, ": %x\n", (unsigned)run_once(&operations[i], kind, -1, &failed));
            world_difference(&before, &after, &outcome);
            golden_text(&golden, &outcome);
        }
    golden_close(&golden);
}

/* What memory each takes, where nothing is spare, and keeps. */
static void test_memory(void **state)
{
    static struct vt_text outcome;
    struct golden golden;

    (void)state;
    if (sizeof(struct vmk_sync_mutex) != 40) /* the file is of x86-64: overlays have a lock, whose size is the host's */
        skip();
    golden_open(&golden, "other_memory.txt");
    for (size_t i = 0; i < NR_OPERATIONS; i++) {
        bool failed;

        if (operations[i].run == op_load)
            run_once(&(struct operation){"save", op_save}, WORLD_PLAIN, -1, &failed);
        struct vt *t = world_setup(WORLD_QUIET, false, NULL, NULL);
        outcome.len = 0;
        vt_print(&outcome, "%s: ", operations[i].name);
        memory_log_begin(t);
        assert_true(operations[i].run(t) >= 0);
        memory_log_end(t, &outcome);
        world_teardown();
        golden_text(&golden, &outcome);
    }
    golden_close(&golden);
}

int main(void)
{
    struct CMUnitTest tests[NR_OPERATIONS + 2];

    for (size_t i = 0; i < NR_OPERATIONS; i++)
        tests[i] = (struct CMUnitTest){.name = operations[i].name,
                                       .test_func = test_operation,
                                       .initial_state = (void *)(uintptr_t)&operations[i]};
    tests[NR_OPERATIONS] = (struct CMUnitTest)cmocka_unit_test(test_outcomes);
    tests[NR_OPERATIONS + 1] = (struct CMUnitTest)cmocka_unit_test(test_memory);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
