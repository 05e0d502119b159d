/* SPDX-License-Identifier: MIT */
/*
 * test_fork_whole.c - all that a fork does, beside golden/forks.txt: what the child has that its parent has not, and the other
 * way round; what becomes of the parent; and, in order, what the embedder hears: trace events, charges, hooks, the backend's
 * calls and notices. Then the same where somebody refuses, and for the two other ways to a child: in place, and area by area.
 */
#include "golden.h"
#include "vmakit/backend.h"
#include "world.h"

#define WINDOW UINT64_C(0x600000000)

static struct vt_text heard, before, after;
static struct vmk_mm *parent; /* who speaks: this one or another */
static int calls_left;        /* that are granted; negative: all */

static const char *who(const struct vmk_mm *mm)
{
    return mm == parent ? "parent" : "child";
}

static bool is_refused(void)
{
    return calls_left >= 0 && calls_left-- == 0;
}

/* ---- The embedder ---- */

static void hear_event(void *context, enum vmk_event event, struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    (void)context;
    vt_print(&heard, "event %s %s %llx-%llx\n", vmk_event_name(event), who(mm), (unsigned long long)start,
             (unsigned long long)end);
}

static int hear_charge(void *context, uint64_t pages, bool privileged)
{
    bool refused = is_refused();

    (void)context;
    vt_print(&heard, "charge %llu%s%s\n", (unsigned long long)pages, privileged ? " privileged" : "",
             refused ? ": refused" : "");
    return refused ? -VMK_ENOMEM : 0;
}

static void hear_uncharge(void *context, uint64_t pages)
{
    (void)context;
    vt_print(&heard, "uncharge %llu\n", (unsigned long long)pages);
}

static void hear_edit(const char *what, const struct vmk_mm *mm, const struct vmk_edit *edit)
{
    vt_print(&heard, "%s %s kind %d %llx-%llx from %llx flags %llx prot %x file %llu offset %llx advice %d\n", what,
             who(mm), edit->kind, (unsigned long long)edit->start, (unsigned long long)edit->end,
             (unsigned long long)edit->from, (unsigned long long)edit->flags, edit->prot,
             (unsigned long long)(edit->file == NULL ? 0 : vmk_file_id(edit->file)), (unsigned long long)edit->offset,
             edit->advice);
}

static int hear_prepare(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    bool refused = is_refused();

    assert_ptr_equal(context, &heard);
    hear_edit(refused ? "refuse" : "prepare", mm, edit);
    return refused ? -VMK_ENOSPC : 0;
}

static void hear_cancel(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    assert_ptr_equal(context, &heard);
    hear_edit("cancel", mm, edit);
}

static void hear_apply(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    assert_ptr_equal(context, &heard);
    hear_edit("apply", mm, edit);
}

static void hear_begin(void *context, struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    assert_ptr_equal(context, &heard);
    vt_print(&heard, "invalidate %s %llx-%llx\n", who(mm), (unsigned long long)start, (unsigned long long)end);
}

static void hear_end(void *context, struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    assert_ptr_equal(context, &heard);
    vt_print(&heard, "invalidated %s %llx-%llx\n", who(mm), (unsigned long long)start, (unsigned long long)end);
}

static void hear_release(void *context, struct vmk_mm *mm)
{
    assert_ptr_equal(context, &heard);
    vt_print(&heard, "release %s\n", who(mm));
}

static void hear_open(struct vmk_vma *vma)
{
    vt_print(&heard, "open %llx\n", (unsigned long long)vmk_vma_start(vma));
}

static void hear_close(struct vmk_vma *vma)
{
    vt_print(&heard, "close %llx\n", (unsigned long long)vmk_vma_start(vma));
}

static const struct vmk_commit_ops commit = {.charge = hear_charge, .uncharge = hear_uncharge};
static const struct vmk_vm_ops hooks = {.size = sizeof(hooks), .open = hear_open, .close = hear_close};
static const struct vmk_vm_ops no_hooks = {.size = sizeof(no_hooks)};
static const struct vmk_backend_ops asked = {.size = sizeof(asked), .granule = 4096, .prepare = hear_prepare};
static const struct vmk_backend_ops silent = {.size = sizeof(silent), .granule = 4096};
static const struct vmk_backend_ops backend = {.size = sizeof(backend),
                                               .granule = 4096,
                                               .prepare = hear_prepare,
                                               .cancel = hear_cancel,
                                               .apply = hear_apply,
                                               .invalidate_begin = hear_begin,
                                               .invalidate_end = hear_end,
                                               .release = hear_release};

/* ---- The parent ---- */

static void driver_area(struct vt *t, vmk_addr start, const struct vmk_vm_ops *ops, vmk_vm_flags flags)
{
    const struct vmk_vma_request request = {.start = start,
                                            .end = start + P(2),
                                            .ops = ops,
                                            .private_data = &heard,
                                            .flags = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS | flags};
    struct vmk_vma *vma;

    vmk_mm_lock_write(t->mm);
    assert_int_equal(vmk_vma_create_and_insert(t->mm, &request, &vma), 0);
    vmk_mm_unlock_write(t->mm);
}

static void uffd_area(struct vt *t, unsigned page, bool with_fork, const char *name)
{
    const struct vmk_uffd_request request = {.action = VMK_UFFD_REGISTER,
                                             .context = with_fork ? 8 : 7,
                                             .mode = VMK_UFFD_MODE_MISSING,
                                             .features_fork = with_fork,
                                             .features_remap = true,
                                             .address = W(Z_FREE, page),
                                             .len = P(1)};
    const struct vmk_name_request named = {.address = request.address, .len = P(1), .text = name};

    vt_anon(t, request.address, P(1), VT_RW);
    if (name != NULL)
        assert_ret(vt_return(t, vmk_name(t->mm, &named, &t->result)), 0);
    assert_ret(vt_return(t, vmk_uffd(t->mm, &request, &t->result)), 0);
}

/* To the world: what a child does not get, or gets in another form. */
static void add_areas(struct vt *t)
{
    const struct vmk_import_area unknown = {.start = W(Z_FREE, 0x40),
                                            .end = W(Z_FREE, 0x42),
                                            .flags = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS | VMK_VM_ACCOUNT,
                                            .anon_vma = VMK_ANON_UNKNOWN};

    uffd_area(t, 0, false, NULL);
    uffd_area(t, 2, false, "left");
    uffd_area(t, 4, true, NULL);
    uffd_area(t, 6, false, "right");
    uffd_area(t, 8, false, NULL);
    driver_area(t, W(Z_FREE, 0x10), &hooks, 0);
    driver_area(t, W(Z_FREE, 0x14), &hooks, VMK_VM_DONTCOPY);
    driver_area(t, W(Z_FREE, 0x18), &no_hooks, 0);
    driver_area(t, W(Z_FREE, 0x1c), &no_hooks, VMK_VM_DONTCOPY);
    vt_anon(t, W(Z_FREE, 0x20), P(3), VT_RW);
    assert_ret(vt_madvise(t, W(Z_FREE, 0x20), P(3), VMK_MADV_DONTFORK), 0);
    vt_anon(t, W(Z_ANON, -4), P(2), VT_RW); /* the first area */
    assert_ret(vt_madvise(t, W(Z_ANON, -4), P(2), VMK_MADV_DONTFORK), 0);
    vt_anon(t, UINT64_C(0x7fffffff0000), P(2), VT_RW); /* the last one */
    assert_ret(vt_madvise(t, UINT64_C(0x7fffffff0000), P(2), VMK_MADV_DONTFORK), 0);
    vt_anon(t, W(Z_FREE, 0x28), P(3), VT_R);
    assert_ret(vt_madvise(t, W(Z_FREE, 0x28), P(3), VMK_MADV_DONTFORK), 0);
    vt_anon(t, W(Z_FREE, 0x30), P(3), VT_RW);
    assert_ret(vt_madvise(t, W(Z_FREE, 0x30), P(3), VMK_MADV_WIPEONFORK), 0);
    vt_touch(t, W(Z_FREE, 0x30));
    vt_map_file(t, W(Z_FREE, 0x38), P(2), VT_RW, VMK_MAP_PRIVATE, t->files[0], P(3));
    assert_ret(vt_madvise(t, W(Z_FREE, 0x38), P(2), VMK_MADV_DONTFORK), 0);
    assert_int_equal(vmk_mm_import(t->mm, &unknown), 0);
    vt_anon(t, W(Z_FREE, 0x50), P(3), VT_RW);
    assert_ret(vt_mlock2(t, W(Z_FREE, 0x50), P(3), VMK_MLOCK_ONFAULT), 0);
    vt_anon(t, W(Z_FREE, 0x60), P(1), VT_RW);
    assert_ret(vt_mprotect(t, W(Z_FREE, 0x60), P(1), VMK_PROT_EXEC), 0); /* takes a key */
}

/* Nothing of the process is as it is by default. */
static void set_process(struct vt *t, uint64_t mdwe)
{
    const struct vmk_pkey_request key = {.rights = 1};
    struct vmk_rlimits rlimits;

    vmk_mm_get_rlimits(t->mm, &rlimits);
    rlimits.as.soft = P(100000);
    rlimits.data.hard = P(90000);
    vmk_mm_set_rlimits(t->mm, &rlimits);
    vmk_mm_set_capabilities(t->mm, VMK_CAP_SYS_ADMIN | VMK_CAP_IPC_LOCK);
    vmk_mm_set_personality(t->mm, VMK_ADDR_NO_RANDOMIZE | VMK_READ_IMPLIES_EXEC);
    t->mm->window_low = WINDOW;
    t->mm->window_high = WINDOW + P(1000);
    t->mm->seed = 99;
    vmk_mm_set_user(t->mm, &heard);
    vt_anon(t, W(Z_FREE, 0x70), P(64), VT_RW); /* a peak */
    assert_ret(vt_munmap(t, W(Z_FREE, 0x70), P(64)), 0);
    assert_ret(vt_option(t, VMK_OPTION_MEMORY_MERGE, 1), 0);
    assert_ret(vt_option(t, VMK_OPTION_THP_DISABLE, 1), 0);
    assert_true(vt_return(t, vmk_pkey(t->mm, &key, &t->result)) > 0);
    assert_ret(vt_mlockall(t, VMK_MCL_FUTURE | VMK_MCL_ONFAULT), 0);
    assert_int_equal(vmk_mm_pin(t->mm, 3), 0);
    t->mm->locked_leak = 2; /* as move_charge of a locked area with MREMAP_DONTUNMAP leaves it */
    t->mm->locked_vm += 2;
    if (mdwe != 0)
        assert_ret(vt_option(t, VMK_OPTION_MDWE, mdwe), 0);
}

/* Who hears what, besides notices and hooks. */
enum { HEAR_BACKEND = 1, HEAR_SILENT = 2, HEAR_CHARGES = 4, HEAR_EVENTS = 8, NO_INHERIT = 16, HEAR_PREPARE = 32 };

static struct vt *open_parent(enum world_kind kind, unsigned how)
{
    uint64_t mdwe = VMK_MDWE_REFUSE_EXEC_GAIN | ((how & NO_INHERIT) != 0 ? VMK_MDWE_NO_INHERIT : 0u);
    const struct vmk_backend_ops *ops;
    struct vt *t;

    calls_left = -1;
    heard.len = 0;
    ops = (how & HEAR_BACKEND) != 0 ? &backend : (how & HEAR_SILENT) != 0 ? &silent : NULL;
    t = world_setup(kind, false, (how & HEAR_PREPARE) != 0 ? &asked : ops, &heard);
    parent = t->mm;
    add_areas(t);
    set_process(t, mdwe);
    if ((how & HEAR_EVENTS) != 0)
        t->system->trace = hear_event;
    if ((how & HEAR_CHARGES) != 0)
        t->system->commit = &commit;
    heard.len = 0;
    the_world.log.len = 0;
    world_state(&before);
    return t;
}

/* The log and what became of the parent. */
static void show_parent(struct golden *golden)
{
    static struct vt_text lines;

    lines.len = 0;
    world_state(&after);
    world_difference(&before, &after, &lines);
    golden_text(golden, &heard);
    golden_text(golden, &the_world.log);
    golden_text(golden, &lines);
}

/* What a dump has not: limits, places, counters. */
static void print_rest(struct vmk_mm *mm, struct vt_text *to)
{
    struct vmk_counters counters;
    struct vmk_rlimits rlimits;

    vmk_mm_get_rlimits(mm, &rlimits);
    vmk_mm_get_counters(mm, &counters);
    vt_print(to, "limits %lld %lld %lld %lld, window %llx-%llx, seed %llu, user %d, backend %d, notice %d\n",
             (long long)rlimits.as.soft, (long long)rlimits.data.hard, (long long)rlimits.stack.soft,
             (long long)rlimits.memlock.soft, (unsigned long long)mm->window_low, (unsigned long long)mm->window_high,
             (unsigned long long)mm->seed, vmk_mm_user(mm) == &heard, mm->backend != NULL, mm->notice != NULL);
    vt_print(to, "mapped %llx-%llx, reserved %zu, counted:", (unsigned long long)mm->tree.first_start,
             (unsigned long long)mm->tree.last_end, mm->reserved.nr_entries);
    for (unsigned i = 0; i < VMK_EVENT_COUNT; i++)
        if (((const uint64_t *)&counters)[i] != 0)
            vt_print(to, " %s %llu", vmk_event_name((enum vmk_event)i),
                     (unsigned long long)((const uint64_t *)&counters)[i]);
    vt_print(to, "\n");
}

/* The child beside its parent. */
static void show_child(struct golden *golden, struct vmk_mm *child)
{
    static struct vt_text mine, its, lines;

    mine.len = its.len = lines.len = 0;
    vmk_mm_dump(parent, vt_sink, &mine);
    vmk_mm_dump(child, vt_sink, &its);
    world_difference(&mine, &its, &lines);
    print_rest(child, &lines);
    golden_text(golden, &lines);
}

static void close_parent(struct vt *t)
{
    t->mm->locked_leak = 0;
    t->mm->locked_vm -= t->mm->locked_vm >= 2 ? 2 : 0;
    t->system->trace = NULL;
    t->system->commit = NULL;
    world_teardown();
}

/* ---- fork ---- */

static void golden_topic(struct golden *golden, const char *what, enum world_kind kind, unsigned how, int left)
{
    char topic[160];
    int len =
        snprintf(topic, sizeof(topic), "# %s in a %s world:%s%s%s%s%s%s, %d granted", what, world_kind_names[kind],
                 (how & HEAR_BACKEND) != 0 ? " backend" : "", (how & HEAR_SILENT) != 0 ? " silent" : "",
                 (how & HEAR_CHARGES) != 0 ? " charges" : "", (how & HEAR_EVENTS) != 0 ? " events" : "",
                 (how & NO_INHERIT) != 0 ? " no-inherit" : "", (how & HEAR_PREPARE) != 0 ? " prepare-alone" : "", left);

    golden_line(golden, topic, (size_t)len);
}

static int fork_once(struct golden *golden, enum world_kind kind, unsigned how, int left)
{
    struct vt *t = open_parent(kind, how);
    struct vmk_mm *child;
    int error;

    golden_topic(golden, "fork", kind, how, left);
    calls_left = left;
    error = vmk_mm_fork(t->mm, &child);
    calls_left = -1;
    vt_print(&heard, "= %d\n", error);
    show_parent(golden);
    if (error == 0) {
        vt_validate_mm(child);
        show_child(golden, child);
        heard.len = 0;
        vmk_mm_put(child);
        golden_text(golden, &heard);
    } else {
        assert_null(child);
    }
    close_parent(t);
    return error;
}

static void test_fork(void **state)
{
    struct golden golden;

    (void)state;
    golden_open(&golden, "forks.txt");
    fork_once(&golden, WORLD_PLAIN, 0, -1);
    fork_once(&golden, WORLD_PLAIN, NO_INHERIT, -1);
    fork_once(&golden, WORLD_PLAIN, HEAR_BACKEND | HEAR_CHARGES | HEAR_EVENTS, -1);
    fork_once(&golden, WORLD_CHILD, HEAR_SILENT | HEAR_CHARGES, -1);
    fork_once(&golden, WORLD_FILLED, HEAR_EVENTS, -1);
    fork_once(&golden, WORLD_TALL, HEAR_PREPARE, 3);
    for (int left = 0; left < 4; left++) {
        assert_int_equal(fork_once(&golden, WORLD_PLAIN, HEAR_BACKEND, left * 13), left < 3 ? -VMK_ENOSPC : 0);
        assert_int_equal(fork_once(&golden, WORLD_PLAIN, HEAR_CHARGES | HEAR_EVENTS, left * 9),
                         left < 3 ? -VMK_ENOMEM : 0);
    }
    golden_close(&golden);
}

/* ---- In place, and one by one ---- */

static void become_once(struct golden *golden, enum world_kind kind, unsigned how)
{
    struct vt *t = open_parent(kind, how);

    golden_topic(golden, "become_child", kind, how, -1);
    assert_int_equal(vmk_mm_become_child(t->mm), 0);
    show_parent(golden);
    show_child(golden, t->mm);
    /* Places, and what the last call remembered, are of the new tree. */
    assert_ret(vt_munmap(t, W(Z_ANON, 0), P(1)), 0);
    vt_anon(t, W(Z_ANON, 0), P(1), VT_R);
    vt_validate(t);
    close_parent(t);
}

static void test_become_child(void **state)
{
    struct golden golden;

    (void)state;
    golden_open(&golden, "becomes.txt");
    become_once(&golden, WORLD_PLAIN, HEAR_BACKEND | HEAR_CHARGES | HEAR_EVENTS);
    become_once(&golden, WORLD_PLAIN, NO_INHERIT);
    become_once(&golden, WORLD_CHILD, HEAR_CHARGES);
    become_once(&golden, WORLD_TALL, 0);
    golden_close(&golden);
}

/* vmk_vma_dup of every area makes what a fork makes. */
static void test_each_area(void **state)
{
    static struct vt_text forked, copied, lines;
    struct vt *t = open_parent(WORLD_PLAIN, 0);
    struct vmk_mm *child, *made;
    vmk_addr cursor = 0;
    struct vmk_vma_info info = {.size = sizeof(info)};
    long nr_open;

    (void)state;
    assert_int_equal(vmk_mm_fork(t->mm, &child), 0);
    assert_int_equal(vmk_mm_create(t->system, &t->mm_options, &made), 0);
    nr_open = the_world.opened;
    heard.len = 0;
    while (vmk_mm_next(t->mm, &cursor, &info) == 0) {
        struct vmk_vma *copy;

        vmk_mm_lock_write(t->mm);
        vmk_mm_lock_write(made);
        assert_int_equal(vmk_vma_dup(vmk_mm_find(t->mm, info.start), made, &copy), 0);
        assert_true((copy == NULL) == ((info.flags & VMK_VM_DONTCOPY) != 0));
        if (copy != NULL)
            assert_ptr_equal(vmk_mm_find(made, info.start), copy);
        vmk_mm_unlock_write(made);
        vmk_mm_unlock_write(t->mm);
        info.size = sizeof(info);
    }
    vt_validate_mm(made);
    assert_int_equal(the_world.opened, nr_open + 1);
    assert_string_equal(heard.text, "open 10110000\n");
    forked.len = copied.len = lines.len = 0;
    vmk_mm_dump(child, vt_sink, &forked);
    vmk_mm_dump(made, vt_sink, &copied);
    world_difference(&forked, &copied, &lines);
    if (strstr(lines.text, " area ") != NULL)
        fail_msg("other areas:\n%s", lines.text);
    vmk_mm_put(child);
    vmk_mm_put(made);
    close_parent(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_become_child),
        cmocka_unit_test(test_each_area),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
