/* SPDX-License-Identifier: MIT */
/* fork, vmk_vma_dup, become_child, exit: the rules for a child, and nothing left after a failure. */
#include "support.h"
#include "vmakit/backend.h"

#define BASE UINT64_C(0x10000000)
#define P(n) ((uint64_t)(n)*VT_PAGE)

static void advise(struct vt *t, vmk_addr start, uint64_t len, int advice)
{
    const struct vmk_madvise_request request = {.address = start, .len = len, .advice = advice};

    assert_int_equal(vmk_madvise(t->mm, &request, NULL), 0);
}

static struct vmk_mm *fork_of(struct vt *t)
{
    struct vmk_mm *child = NULL;

    assert_int_equal(vmk_mm_fork(t->mm, &child), 0);
    assert_non_null(child);
    vt_validate(t);
    vt_validate_mm(child);
    return child;
}

/* The calls of support.h act on t->mm: in the child for a while. */
static struct vmk_mm *swap_mm(struct vt *t, struct vmk_mm *mm)
{
    struct vmk_mm *old = t->mm;

    t->mm = mm;
    return old;
}

static void write_to(struct vt *t, vmk_addr address)
{
    const struct vmk_fault_request request = {.address = address, .access = VMK_ACCESS_WRITE};
    struct vmk_fault fault;

    assert_int_equal(vmk_mm_fault(t->mm, &request, &fault), 0);
    assert_int_equal(fault.outcome, VMK_FAULT_MINOR);
}

static void inherits_areas(void **state)
{
    struct vt t;
    struct vmk_mm *child;
    const struct vmk_mlock_request lock = {.address = BASE + P(10), .len = P(2), .flags = VMK_MLOCK_ONFAULT};

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_anon(&t, BASE + P(4), P(2), VT_R);
    advise(&t, BASE + P(4), P(2), VMK_MADV_DONTFORK);
    assert_ret(vt_mmap_file(&t, BASE + P(7), P(2), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, vt_file(&t, 1), P(3)),
               BASE + P(7));
    vt_anon(&t, BASE + P(10), P(2), VT_RW);
    assert_int_equal(vmk_mlock(t.mm, &lock, NULL), 0);
    vt_touch(&t, BASE);
    child = fork_of(&t);
    assert_map(&t, "10000000-10002000 rw-p ac anon=a1\n10004000-10006000 r--p dc\n"
                   "10007000-10009000 rw-s pgoff=3 file=1\n1000a000-1000c000 rw-p lo lf ac\n");
    assert_map_of(child, "10000000-10002000 rw-p ac anon=a1f\n10007000-10009000 rw-s pgoff=3 file=1\n"
                         "1000a000-1000c000 rw-p ac\n");
    struct vmk_mm_stats stats = {.size = sizeof(stats)};
    vmk_mm_get_stats(child, &stats);
    assert_int_equal(stats.locked_vm, 0);
    assert_int_equal(stats.total_vm, 6);
    assert_int_equal(stats.peak_vm, 6);
    assert_int_equal(vmk_system_committed(t.system), 8);
    vmk_mm_put(child);
    assert_int_equal(vmk_system_committed(t.system), 4);
    vt_teardown(&t);
}

/* Facts, Merging 4: an inherited area neither merges with memory without an anon_vma nor lends its own. */
static void inherited_anon_vma(void **state)
{
    struct vt t;
    struct vmk_mm *child, *parent;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    vt_touch(&t, BASE);
    child = fork_of(&t);
    parent = swap_mm(&t, child);
    vt_anon(&t, BASE + P(1), P(1), VT_RW);
    assert_map(&t, "10000000-10001000 rw-p ac anon=a1f\n10001000-10002000 rw-p ac\n");
    write_to(&t, BASE + P(1));
    assert_map(&t, "10000000-10001000 rw-p ac anon=a1f\n10001000-10002000 rw-p ac anon=a2\n");
    /* Its own splits rejoin. */
    vt_anon(&t, BASE + P(4), P(3), VT_RW);
    swap_mm(&t, parent);
    vt_anon(&t, BASE + P(1), P(1), VT_RW);
    assert_map(&t, "10000000-10002000 rw-p ac anon=a1\n");
    swap_mm(&t, child);
    vmk_mm_put(parent);
    child = fork_of(&t);
    vmk_mm_put(child);
    vt_teardown(&t);
}

static void splits_of_an_inherited_area_rejoin(void **state)
{
    struct vt t;
    struct vmk_mm *parent;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(3), VT_RW);
    vt_touch(&t, BASE);
    parent = swap_mm(&t, fork_of(&t));
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_R), 0);
    assert_map(&t, "10000000-10001000 rw-p ac anon=a1f\n10001000-10002000 r--p ac anon=a1f\n"
                   "10002000-10003000 rw-p ac anon=a1f\n");
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_RW), 0);
    assert_map(&t, "10000000-10003000 rw-p ac anon=a1f\n");
    vmk_mm_put(parent);
    vt_teardown(&t);
}

/* What was split before the fork has an anon_vma each afterwards, and stays apart. */
static void siblings_stay_apart(void **state)
{
    struct vt t;
    struct vmk_mm *parent;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_touch(&t, BASE);
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_R), 0);
    parent = swap_mm(&t, fork_of(&t));
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_RW), 0);
    assert_map(&t, "10000000-10001000 rw-p ac anon=a1f\n10001000-10002000 rw-p ac anon=a2f\n");
    vmk_mm_put(parent);
    vt_teardown(&t);
}

static void wipe_on_fork(void **state)
{
    struct vt t;
    struct vmk_mm *parent;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    advise(&t, BASE, P(1), VMK_MADV_WIPEONFORK);
    vt_touch(&t, BASE);
    parent = swap_mm(&t, fork_of(&t));
    assert_map(&t, "10000000-10001000 rw-p ac wf\n");
    vt_anon(&t, BASE + P(1), P(1), VT_RW);
    advise(&t, BASE + P(1), P(1), VMK_MADV_WIPEONFORK);
    assert_map(&t, "10000000-10002000 rw-p ac wf\n");
    vmk_mm_put(parent);
    vt_teardown(&t);
}

static void userfaultfd_follows_when_asked(void **state)
{
    struct vt t;
    struct vmk_mm *child;
    struct vmk_uffd_request request = {
        .action = VMK_UFFD_REGISTER, .context = 7, .mode = VMK_UFFD_MODE_MISSING, .address = BASE, .len = P(1)};

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(4), VT_RW);
    assert_int_equal(vmk_uffd(t.mm, &request, NULL), 0);
    request.address = BASE + P(2);
    request.context = 8;
    request.features_fork = 1;
    assert_int_equal(vmk_uffd(t.mm, &request, NULL), 0);
    child = fork_of(&t);
    assert_map_of(child, "10000000-10001000 rw-p ac\n10001000-10002000 rw-p ac\n"
                         "10002000-10003000 rw-p um ac uffd=8\n10003000-10004000 rw-p ac\n");
    vmk_mm_put(child);
    vt_teardown(&t);
}

static void inherits_the_rest(void **state)
{
    struct vt t;
    struct vmk_mm *child;
    const struct vmk_mlockall_request future = {.flags = VMK_MCL_FUTURE};
    struct vmk_set_option_request option = {.option = VMK_OPTION_MDWE, .value = VMK_MDWE_REFUSE_EXEC_GAIN};
    struct vmk_mm_layout layout;

    (void)state;
    vt_setup(&t);
    assert_int_equal(vmk_mlockall(t.mm, &future, NULL), 0);
    assert_int_equal(vmk_set_option(t.mm, &option, NULL), 0);
    option = (struct vmk_set_option_request){.option = VMK_OPTION_MEMORY_MERGE, .value = 1};
    assert_int_equal(vmk_set_option(t.mm, &option, NULL), 0);
    option = (struct vmk_set_option_request){.option = VMK_OPTION_THP_DISABLE, .value = 1};
    assert_int_equal(vmk_set_option(t.mm, &option, NULL), 0);
    vmk_mm_get_layout(t.mm, &layout);
    layout.start_brk = layout.brk = 0x555555556000;
    vmk_mm_set_layout(t.mm, &layout);
    assert_int_equal(vmk_mm_reserve_range(t.mm, BASE, BASE + P(1)), 0);
    assert_int_equal(vmk_mm_reserve_range(t.mm, BASE + P(8), BASE + P(9)), 0);
    assert_int_equal(vmk_mm_track_writes(t.mm, BASE + P(2), BASE + P(3)), 0);
    assert_int_equal(vmk_mm_pin(t.mm, 3), 0);
    vmk_mm_set_user(t.mm, &t);
    child = fork_of(&t);
    assert_true((t.mm->def_flags & VMK_VM_LOCKED) != 0);
    assert_true(child->def_flags == VMK_VM_MERGEABLE);
    assert_int_equal(child->mdwe, VMK_MDWE_REFUSE_EXEC_GAIN);
    assert_int_equal(child->thp_disable, 1);
    assert_int_equal(child->pinned_vm, 0);
    assert_int_equal(child->layout.brk, 0x555555556000);
    assert_int_equal(child->reserved.nr_entries, 2);
    assert_false(vmk_mm_is_tracked(child, BASE + P(2)));
    assert_ptr_equal(vmk_mm_user(child), &t);
    assert_ptr_equal(vmk_mm_settings(child), vmk_mm_settings(t.mm));
    vmk_mm_put(child);
    t.mm->mdwe = VMK_MDWE_REFUSE_EXEC_GAIN | VMK_MDWE_NO_INHERIT;
    child = fork_of(&t);
    assert_int_equal(child->mdwe, 0);
    vmk_mm_put(child);
    vt_teardown(&t);
}

/* ---- Failure ---- */

static int64_t call_fork(struct vt *t)
{
    struct vmk_mm *child;
    int error = vmk_mm_fork(t->mm, &child);

    if (error == 0)
        vmk_mm_put(child);
    else
        assert_null(child);
    return error;
}

static void many_areas(struct vt *t)
{
    const struct vmk_uffd_request request = {
        .action = VMK_UFFD_REGISTER, .context = 7, .mode = VMK_UFFD_MODE_MISSING, .address = BASE + P(90), .len = P(1)};

    for (unsigned i = 0; i < 40; i++) {
        vt_anon(t, BASE + P(2 * i), P(1), VT_RW);
        if (i % 2 == 0)
            vt_touch(t, BASE + P(2 * i));
    }
    vt_mmap_file(t, BASE + P(100), P(2), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, vt_file(t, 1), 0);
    vt_anon(t, BASE + P(90), P(1), VT_RW);
    assert_int_equal(vmk_uffd(t->mm, &request, NULL), 0);
    assert_int_equal(vmk_mm_reserve_range(t->mm, BASE + P(200), BASE + P(201)), 0);
}

static void each_allocation_fails(void **state)
{
    (void)state;
    assert_true(vt_fail_each(many_areas, call_fork, false) > 20);
}

static void charge_is_refused(void **state)
{
    struct vt t;
    struct vmk_mm *child = NULL;
    struct vmk_sysctl sysctl;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(600), VT_RW);
    vmk_system_sysctl(t.system, &sysctl);
    sysctl.overcommit_memory = VMK_OVERCOMMIT_NEVER;
    sysctl.overcommit_kbytes = 4 * 1100;
    sysctl.total_swap_pages = 0;
    sysctl.admin_reserve_kbytes = sysctl.user_reserve_kbytes = 0;
    assert_int_equal(vmk_system_set_sysctl(t.system, &sysctl), 0);
    assert_int_equal(vmk_mm_fork(t.mm, &child), -VMK_ENOMEM);
    assert_null(child);
    assert_int_equal(vmk_system_committed(t.system), 600);
    vt_teardown(&t);
}

/* ---- Backend and notices ---- */

static unsigned nr_prepared, nr_cancelled, nr_applied, refuse_at, nr_released;

static int backend_prepare(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    (void)context;
    (void)mm;
    assert_int_equal(edit->kind, VMK_EDIT_MAP);
    if (nr_prepared == refuse_at)
        return -VMK_ENOSPC;
    nr_prepared++;
    return 0;
}

static void backend_cancel(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    (void)context;
    (void)mm;
    /* In reverse. */
    assert_int_equal(edit->start, BASE + P(2) * (nr_prepared - nr_cancelled - 1));
    nr_cancelled++;
}

static void backend_apply(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    (void)context;
    (void)mm;
    (void)edit;
    nr_applied++;
}

static void backend_release(void *context, struct vmk_mm *mm)
{
    (void)context;
    (void)mm;
    nr_released++;
}

static unsigned nr_notices;

static void forked_notice(void *context, struct vmk_mm *mm, const struct vmk_change *change)
{
    (void)context;
    (void)mm;
    if (change->kind == VMK_CHANGE_FORK)
        nr_notices++;
}

static void backend_hears_of_the_child(void **state)
{
    static const struct vmk_backend_ops ops = {.size = sizeof(ops),
                                               .granule = 4096,
                                               .prepare = backend_prepare,
                                               .cancel = backend_cancel,
                                               .apply = backend_apply,
                                               .release = backend_release};
    struct vt t;
    struct vmk_mm *child;

    (void)state;
    vt_init(&t);
    t.mm_options.backend = &ops;
    refuse_at = 100;
    vt_open(&t);
    for (unsigned i = 0; i < 4; i++)
        vt_anon(&t, BASE + P(2 * i), P(1), VT_RW);
    nr_prepared = nr_applied = 0;
    vmk_mm_set_notice(t.mm, forked_notice, NULL);
    child = fork_of(&t);
    assert_int_equal(nr_prepared, 4);
    assert_int_equal(nr_applied, 4);
    assert_int_equal(nr_notices, 1);
    vmk_mm_put(child);
    assert_int_equal(nr_released, 1);
    nr_prepared = nr_applied = 0;
    refuse_at = 3;
    assert_int_equal(vmk_mm_fork(t.mm, &child), -VMK_ENOSPC);
    assert_int_equal(nr_cancelled, 3);
    assert_int_equal(nr_applied, 0);
    assert_int_equal(nr_notices, 1);
    assert_int_equal(nr_released, 1);
    refuse_at = 100;
    vt_teardown(&t);
}

/* An ext that has more than the userfaultfd keeps the rest of it. */
static void drops_the_userfaultfd_alone(void **state)
{
    struct vt t;
    struct vmk_mm *child;
    const struct vmk_uffd_request request = {
        .action = VMK_UFFD_REGISTER, .context = 7, .mode = VMK_UFFD_MODE_MISSING, .address = BASE, .len = P(1)};

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    vmk_mm_lock_write(t.mm);
    assert_int_equal(vmk_vma_set_user(vmki_find(t.mm, BASE), &t), 0);
    vmk_mm_unlock_write(t.mm);
    assert_int_equal(vmk_uffd(t.mm, &request, NULL), 0);
    child = fork_of(&t);
    struct vmk_vma_info info = {.size = sizeof(info)};
    assert_int_equal(vmk_mm_lookup(child, BASE, &info), 0);
    assert_int_equal(info.uffd, 0);
    assert_ptr_equal(info.user, &t);
    vmk_mm_put(child);
    assert_int_equal(vmk_mm_become_child(t.mm), 0);
    vt_validate(&t);
    assert_int_equal(vmk_mm_lookup(t.mm, BASE, &info), 0);
    assert_true(info.uffd == 0 && info.user == &t && (info.flags & VMK_VM_UFFD) == 0);
    vt_teardown(&t);
}

static unsigned nr_relaxed;

static void relax(void *context)
{
    (void)context;
    nr_relaxed++;
}

static int64_t call_dup(struct vt *t)
{
    struct vmk_mm *child = t->mm_options.user;
    struct vmk_vma *copy;

    vmk_mm_lock_write(t->mm);
    vmk_mm_lock_write(child);
    int error = vmk_vma_dup(vmk_mm_find(t->mm, BASE), child, &copy);
    assert_true((error == 0) == (copy != NULL));
    vmk_mm_unlock_write(child);
    vmk_mm_unlock_write(t->mm);
    vt_validate_mm(child);
    vmk_mm_put(child);
    return error;
}

static void a_touched_area_and_a_child(struct vt *t)
{
    struct vmk_mm *child;

    vt_anon(t, BASE, P(1), VT_RW);
    vt_touch(t, BASE);
    assert_int_equal(vmk_mm_create(t->system, &t->mm_options, &child), 0);
    t->mm_options.user = child;
}

static void each_allocation_of_a_copy_fails(void **state)
{
    (void)state;
    assert_true(vt_fail_each(a_touched_area_and_a_child, call_dup, false) > 1);
}

/* ---- One area, and in place ---- */

static void one_area(void **state)
{
    struct vt t;
    struct vmk_mm *child;
    struct vmk_vma *copy;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_touch(&t, BASE);
    vt_anon(&t, BASE + P(4), P(1), VT_RW);
    advise(&t, BASE + P(4), P(1), VMK_MADV_DONTFORK);
    assert_int_equal(vmk_mm_create(t.system, &t.mm_options, &child), 0);
    vmk_mm_lock_write(t.mm);
    vmk_mm_lock_write(child);
    assert_int_equal(vmk_vma_dup(vmk_mm_find(t.mm, BASE), child, &copy), 0);
    assert_non_null(copy);
    assert_int_equal(vmk_vma_dup(vmk_mm_find(t.mm, BASE + P(4)), child, &copy), 0);
    assert_null(copy);
    assert_int_equal(vmk_vma_dup(vmk_mm_find(t.mm, BASE), child, &copy), -VMK_EEXIST);
    assert_null(copy);
    vmk_mm_unlock_write(child);
    vmk_mm_unlock_write(t.mm);
    assert_map_of(child, "10000000-10002000 rw-p ac anon=a1f\n");
    assert_int_equal(vmk_system_committed(t.system), 5);
    vmk_mm_put(child);
    vt_teardown(&t);
}

/* become_child leaves what fork gives to a child, with this mode of PR_SET_MDWE. */
static void becomes_as_forked(uint64_t mode)
{
    struct vt t;
    struct vmk_mm *child;
    static struct vt_text forked, became;
    const struct vmk_mlockall_request lock = {.flags = VMK_MCL_FUTURE};
    const struct vmk_set_option_request mdwe = {.option = VMK_OPTION_MDWE, .value = mode};

    vt_setup(&t);
    many_areas(&t);
    advise(&t, BASE + P(4), P(1), VMK_MADV_DONTFORK);
    advise(&t, BASE + P(8), P(1), VMK_MADV_WIPEONFORK);
    assert_int_equal(vmk_mm_track_writes(t.mm, BASE, BASE + P(1)), 0);
    assert_int_equal(vmk_mm_pin(t.mm, 3), 0);
    assert_int_equal(vmk_mlockall(t.mm, &lock, NULL), 0);
    assert_int_equal(vmk_set_option(t.mm, &mdwe, NULL), 0);
    child = fork_of(&t);
    assert_int_equal(vmk_mm_become_child(t.mm), 0);
    vt_validate(&t);
    forked.len = became.len = 0;
    vmk_mm_dump(child, vt_sink, &forked);
    vmk_mm_dump(t.mm, vt_sink, &became);
    assert_string_equal(became.text, forked.text);
    vmk_mm_put(child);
    assert_int_equal(vmk_system_committed(t.system), 40);
    vt_teardown(&t);
}

static void in_place(void **state)
{
    (void)state;
    becomes_as_forked(VMK_MDWE_REFUSE_EXEC_GAIN);
    becomes_as_forked(VMK_MDWE_REFUSE_EXEC_GAIN | VMK_MDWE_NO_INHERIT);
}

static int64_t call_become_child(struct vt *t)
{
    return vmk_mm_become_child(t->mm);
}

static void each_allocation_fails_in_place(void **state)
{
    (void)state;
    assert_true(vt_fail_each(many_areas, call_become_child, false) > 20);
}

static void chain(void **state)
{
    struct vt t;
    struct vmk_mm *generation[7];

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(8), VT_RW);
    generation[0] = t.mm;
    for (unsigned i = 1; i < 7; i++) {
        write_to(&t, BASE + P(i));
        t.mm = generation[i - 1];
        generation[i] = fork_of(&t);
        t.mm = generation[i];
        assert_map(&t, "10000000-10008000 rw-p ac anon=a1f\n");
    }
    for (unsigned i = 0; i < 6; i++)
        vmk_mm_put(generation[i]);
    vt_teardown(&t);
}

static void many_areas_at_once(void **state)
{
    struct vt t;
    struct vmk_mm *child;

    (void)state;
    vt_init(&t);
    t.port.relax = relax;
    vt_open(&t);
    for (unsigned i = 0; i < 3000; i++) {
        const struct vmk_mmap_request request = {
            .address = BASE + P(2 * i), .len = P(1), .prot = VT_RW, .flags = VT_FIXED};
        assert_int_equal(vmk_mmap(t.mm, &request, NULL), 0);
    }
    child = fork_of(&t);
    assert_int_equal(child->tree.nr_entries, 3000);
    assert_int_equal(nr_relaxed, 2); /* every 1,024 areas */
    vmk_mm_exit(child);
    assert_map_of(child, "");
    vmk_mm_put(child);
    /* Areas with a file go another way. */
    for (unsigned i = 0; i < 3000; i++)
        assert_ret(vt_mmap_file(&t, BASE + P(2 * i), P(1), VT_R, VMK_MAP_PRIVATE | VMK_MAP_FIXED, vt_file(&t, 1), 0),
                   BASE + P(2 * i));
    nr_relaxed = 0;
    child = fork_of(&t);
    assert_int_equal(nr_relaxed, 2);
    vmk_mm_put(child);
    vt_teardown(&t);
}

/* The nodes of a copied tree are allocated together, and go when all of a block have gone: long before the child ends. */
static void nodes_of_a_copy_go(void **state)
{
    struct vt t;
    struct vmk_mm *child;
    long live;

    (void)state;
    vt_setup(&t);
    for (unsigned i = 0; i < 3000; i++)
        vt_anon(&t, BASE + P(2 * i), P(1), VT_RW);
    child = fork_of(&t);
    vmk_system_quiesce(t.system);
    live = atomic_load(&t.nr_live);
    for (unsigned i = 0; i < 3000; i++) {
        const struct vmk_munmap_request request = {.address = BASE + P(2 * (i * 7 % 3000)), .len = P(1)};
        assert_int_equal(vmk_munmap(child, &request, NULL), 0);
        if (i % 500 == 0)
            vt_validate_mm(child);
    }
    vmk_system_quiesce(t.system);
    assert_map_of(child, "");
    assert_true(atomic_load(&t.nr_live) <= live - 3000 / 15 / 16);
    vmk_mm_put(child);
    vt_teardown(&t);
}

/* Areas that are copied from their entries are counted by runs with the same flags: each run for itself, and the last one too. */
static void runs_of_areas(void **state)
{
    static const uint32_t prots[] = {VT_RW, VT_RW, VT_R, VT_RW, VT_RX, VMK_PROT_NONE, VT_RW};
    struct vmk_sysctl sysctl;
    struct vmk_mm *child;
    struct vt t;

    (void)state;
    vt_setup(&t);
    for (unsigned i = 0; i < 60; i++) /* what is not charged is longer than all memory, once that is asked for */
        vt_anon(&t, BASE + P(1000 * i), P(prots[i % 7] == VT_RW ? 1 + i % 5 : 300), prots[i % 7]);
    vmk_system_sysctl(t.system, &sysctl);
    sysctl.overcommit_memory = VMK_OVERCOMMIT_GUESS;
    sysctl.total_swap_pages = 0;
    sysctl.total_ram_pages = 5;
    assert_int_equal(vmk_system_set_sysctl(t.system, &sysctl), 0);
    child = fork_of(&t);
    vt_validate_mm(child);
    assert_int_equal(vmk_system_committed(t.system), 2 * t.mm->accounted_vm);
    vmk_mm_put(child);
    sysctl.total_ram_pages = 4;
    assert_int_equal(vmk_system_set_sysctl(t.system, &sysctl), 0);
    assert_int_equal(vmk_mm_fork(t.mm, &child), -VMK_ENOMEM);
    assert_int_equal(vmk_system_committed(t.system), t.mm->accounted_vm);
    vt_teardown(&t);
}

static size_t largest_taken;

static void *note_size(void *context, size_t size, size_t align, unsigned flags)
{
    if (size > largest_taken)
        largest_taken = size;
    return vt_alloc(context, size, align, flags);
}

/* A fork takes memory for all areas at once; later the child takes it area by area, however many it did not get. */
static void a_child_takes_what_it_needs(void **state)
{
    struct vmk_mm *parent;
    struct vt t;

    (void)state;
    vt_init(&t);
    t.port.alloc = note_size;
    vt_open(&t);
    for (unsigned i = 0; i < 100; i++)
        vt_anon(&t, BASE + P(2 * i), P(1), VT_RW);
    for (unsigned i = 20; i < 100; i++)
        advise(&t, BASE + P(2 * i), P(1), VMK_MADV_DONTFORK);
    parent = swap_mm(&t, fork_of(&t));
    assert_int_equal(t.mm->tree.nr_entries, 20);
    for (unsigned i = 0; i < 100; i++) {
        largest_taken = 0;
        vt_anon(&t, BASE + P(1000 + 2 * i), P(1), VT_RW);
        assert_true(largest_taken < 8 * sizeof(struct vmk_vma));
    }
    vmk_mm_put(parent);
    vt_teardown(&t);
}

/* A system that enforces no limits charges nothing, and so refuses nothing. */
static void nothing_is_charged(void **state)
{
    struct vmk_sysctl sysctl;
    struct vmk_mm *child;
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.settings.enforce_limits = 0;
    vt_open(&t);
    vt_anon(&t, BASE, P(600), VT_RW);
    vmk_system_sysctl(t.system, &sysctl);
    sysctl.overcommit_memory = VMK_OVERCOMMIT_GUESS;
    sysctl.total_swap_pages = sysctl.total_ram_pages = 1;
    assert_int_equal(vmk_system_set_sysctl(t.system, &sysctl), 0);
    child = fork_of(&t);
    assert_int_equal(vmk_system_committed(t.system), 0);
    vmk_mm_put(child);
    assert_int_equal(vmk_system_committed(t.system), 0);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inherits_areas),
        cmocka_unit_test(inherited_anon_vma),
        cmocka_unit_test(splits_of_an_inherited_area_rejoin),
        cmocka_unit_test(siblings_stay_apart),
        cmocka_unit_test(wipe_on_fork),
        cmocka_unit_test(userfaultfd_follows_when_asked),
        cmocka_unit_test(inherits_the_rest),
        cmocka_unit_test(each_allocation_fails),
        cmocka_unit_test(charge_is_refused),
        cmocka_unit_test(backend_hears_of_the_child),
        cmocka_unit_test(drops_the_userfaultfd_alone),
        cmocka_unit_test(each_allocation_of_a_copy_fails),
        cmocka_unit_test(one_area),
        cmocka_unit_test(in_place),
        cmocka_unit_test(each_allocation_fails_in_place),
        cmocka_unit_test(chain),
        cmocka_unit_test(many_areas_at_once),
        cmocka_unit_test(nodes_of_a_copy_go),
        cmocka_unit_test(runs_of_areas),
        cmocka_unit_test(a_child_takes_what_it_needs),
        cmocka_unit_test(nothing_is_charged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
