/* SPDX-License-Identifier: MIT */
/* The two-phase form of verbs, and backends that may refuse. */
#include "support.h"

#define BASE UINT64_C(0x10000000)
#define P(n) ((uint64_t)(n)*VT_PAGE)

/* The edits of the part that is open, one line each. */
static void edits_text(struct vmk_plan *plan, struct vt_text *to)
{
    static const char *const kinds[] = {"unmap", "map", "protect", "move", "advise", "sync"};
    struct vmk_edit edit;

    to->len = 0;
    to->text[0] = '\0';
    while (vmk_plan_next_edit(plan, &edit))
        vt_print(to, "%s %lx-%lx %u\n", kinds[edit.kind], (unsigned long)edit.start, (unsigned long)edit.end,
                 edit.kind == VMK_EDIT_ADVISE ? 0 : edit.prot);
}

static struct vt_text text;

static void assert_edits(struct vmk_plan *plan, const char *expected)
{
    edits_text(plan, &text);
    assert_string_equal(text.text, expected);
}

static void test_commit(void **state)
{
    struct vmk_mmap_request request = {
        .address = BASE + P(1), .len = P(1), .prot = VT_R, .flags = VT_FIXED | VMK_MAP_POPULATE};
    struct vmk_result result;
    struct vmk_plan plan;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(3), VT_RW);
    assert_int_equal(vmk_mmap_prepare(t.mm, &request, &plan), 0);
    assert_true(vmk_plan_part(&plan, NULL));
    assert_edits(&plan, "unmap 10001000-10002000 0\nmap 10001000-10002000 1\n");
    assert_int_equal(vmk_plan_commit(&plan, &result), VMK_PLAN_MORE);
    assert_edits(&plan, "advise 10001000-10002000 0\n");
    assert_int_equal(vmk_plan_commit(&plan, &result), VMK_PLAN_DONE);
    assert_false(vmk_plan_part(&plan, NULL));
    assert_int_equal(result.error, 0);
    assert_int_equal(result.value, BASE + P(1));
    assert_map(&t, "10000000-10001000 rw-p ac\n10001000-10002000 r--p\n10002000-10003000 rw-p ac\n");
    vt_teardown(&t);
}

static void test_abort(void **state)
{
    struct vmk_mmap_request request = {.address = BASE + P(1), .len = P(1), .prot = VT_RW, .flags = VT_FIXED};
    struct vmk_munmap_request unmap = {.address = BASE, .len = P(1)};
    struct vmk_result result;
    struct vmk_plan plan;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(3), VT_R);
    assert_int_equal(vmk_mmap_prepare(t.mm, &request, &plan), 0);
    vmk_plan_abort(&plan, -VMK_EAGAIN, &result);
    assert_int_equal(result.error, -VMK_EAGAIN);
    assert_map(&t, "10000000-10003000 r--p\n");
    assert_int_equal(vmk_system_committed(t.system), 0);
    request.flags |= VMK_MAP_SHARED;
    request.flags &= ~VMK_MAP_PRIVATE;
    assert_int_equal(vmk_mmap_prepare(t.mm, &request, &plan), 0);
    vmk_plan_abort(&plan, -VMK_EAGAIN, &result);
    assert_int_equal(vmk_system_committed(t.system), 0);
    assert_int_equal(vmk_munmap_prepare(t.mm, &unmap, &plan), 0);
    vmk_plan_abort(&plan, -VMK_EAGAIN, NULL);
    assert_map(&t, "10000000-10003000 r--p\n");
    vt_teardown(&t);
}

/* A refusal at once leaves nothing open: the next call does not wait for the lock. */
static void test_refused(void **state)
{
    struct vmk_mprotect_request request = {.address = BASE, .len = P(1), .prot = 0x40, .pkey = -1};
    struct vmk_plan plan;
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_int_equal(vmk_mprotect_prepare(t.mm, &request, &plan), -VMK_EINVAL);
    vt_anon(&t, BASE, P(1), VT_R);
    vt_teardown(&t);
}

/* A length of nothing leaves nothing to do; the result is there at once. */
static void test_nothing_to_do(void **state)
{
    struct vmk_mprotect_request request = {.address = BASE, .len = 0, .prot = VT_R, .pkey = -1};
    struct vmk_result result = {.error = -1};
    struct vmk_plan plan;
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_int_equal(vmk_mprotect_prepare(t.mm, &request, &plan), 0);
    assert_false(vmk_plan_part(&plan, NULL));
    assert_int_equal(vmk_plan_commit(&plan, &result), VMK_PLAN_DONE);
    assert_int_equal(result.error, 0);
    vt_teardown(&t);
}

/* A munmap that a seal stops leaves the cut at its start behind: a part that says how the call ends. */
static void test_cut_left_behind(void **state)
{
    struct vmk_munmap_request request = {.address = BASE + P(1), .len = P(1)};
    struct vmk_mseal_request seal = {.address = BASE + P(2), .len = P(1)};
    struct vmk_plan plan;
    struct vmk_edit edit;
    struct vt t;
    int error = 1;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(3), VT_R);
    assert_int_equal(vmk_munmap_prepare(t.mm, &request, &plan), 0);
    assert_true(vmk_plan_part(&plan, &error));
    assert_int_equal(error, 0);
    vmk_plan_abort(&plan, -VMK_EAGAIN, NULL);
    assert_int_equal(vmk_mseal(t.mm, &seal, NULL), 0);
    request.len = P(2);
    assert_int_equal(vmk_munmap_prepare(t.mm, &request, &plan), 0);
    assert_true(vmk_plan_part(&plan, &error));
    assert_int_equal(error, -VMK_EPERM);
    assert_false(vmk_plan_next_edit(&plan, &edit));
    vmk_plan_abort(&plan, -VMK_EPERM, NULL);
    assert_false(vmk_plan_part(&plan, &error));
    assert_map(&t, "10000000-10002000 r--p\n10002000-10003000 r--p sl\n");
    vt_teardown(&t);
}

/* Parts that are committed stay when a later one is given up. */
static void test_parts(void **state)
{
    struct vmk_mprotect_request request = {.address = BASE, .len = P(4), .prot = VT_RX, .pkey = -1};
    struct vmk_result result;
    struct vmk_plan plan;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_R);
    vt_anon(&t, BASE + P(2), P(2), VT_RW);
    assert_int_equal(vmk_mprotect_prepare(t.mm, &request, &plan), 0);
    assert_edits(&plan, "protect 10000000-10002000 5\n");
    assert_int_equal(vmk_plan_commit(&plan, &result), VMK_PLAN_MORE);
    assert_edits(&plan, "protect 10002000-10004000 5\n");
    vmk_plan_abort(&plan, -VMK_ENOMEM, &result);
    assert_int_equal(result.error, -VMK_ENOMEM);
    assert_int_equal(result.done, P(2));
    assert_map(&t, "10000000-10002000 r-xp\n10002000-10004000 rw-p ac\n");
    vt_teardown(&t);
}

/* What a backend is told, as text. */
struct told {
    struct vt_text text;
    unsigned refuse_at; /* the prepare that is refused, from 1; 0: none */
    unsigned nr_prepares;
};

static int told_prepare(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    struct told *told = context;

    (void)mm;
    vt_print(&told->text, "?%d ", (int)edit->kind);
    return ++told->nr_prepares == told->refuse_at ? -VMK_ENOSPC : 0;
}

static void told_cancel(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    struct told *told = context;

    (void)mm;
    vt_print(&told->text, "!%d ", (int)edit->kind);
}

static void told_apply(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    struct told *told = context;

    (void)mm;
    vt_print(&told->text, "=%d ", (int)edit->kind);
}

static void told_invalidate_begin(void *context, struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    struct told *told = context;

    (void)mm;
    vt_print(&told->text, "[%lx-%lx ", (unsigned long)start, (unsigned long)end);
}

static void told_invalidate_end(void *context, struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    struct told *told = context;

    (void)mm;
    (void)start;
    (void)end;
    vt_print(&told->text, "] ");
}

static void told_release(void *context, struct vmk_mm *mm)
{
    struct told *told = context;

    (void)mm;
    vt_print(&told->text, "release ");
}

static void test_backend(void **state)
{
    static const struct vmk_backend_ops ops = {.size = sizeof(ops),
                                               .granule = 4096,
                                               .prepare = told_prepare,
                                               .cancel = told_cancel,
                                               .apply = told_apply,
                                               .invalidate_begin = told_invalidate_begin,
                                               .invalidate_end = told_invalidate_end,
                                               .release = told_release};
    static struct told told;
    struct vt t;

    (void)state;
    vt_init(&t);
    t.mm_options.backend = &ops;
    t.mm_options.backend_context = &told;
    vt_open(&t);
    vt_anon(&t, BASE, P(3), VT_R);
    assert_string_equal(told.text.text, "?1 [10000000-10003000 =1 ] ");
    told = (struct told){.refuse_at = 2};
    assert_ret(vt_mmap_file(&t, BASE + P(1), P(1), VT_RW, VT_FIXED, NULL, 0), -VMK_ENOSPC);
    assert_string_equal(told.text.text, "?0 ?1 !0 ");
    assert_map(&t, "10000000-10003000 r--p\n");
    assert_int_equal(vmk_system_committed(t.system), 0);
    told = (struct told){.refuse_at = 0};
    assert_ret(vt_munmap(&t, BASE, P(3)), 0);
    assert_string_equal(told.text.text, "?0 [10000000-10003000 =0 ] ");
    told = (struct told){.refuse_at = 0};
    vt_teardown(&t);
    assert_string_equal(told.text.text, "release ");
}

static void notice(void *context, struct vmk_mm *mm, const struct vmk_change *change)
{
    struct vt_text *to = context;

    (void)mm;
    vt_print(to, "%d %lx-%lx %lx %lx\n", (int)change->kind, (unsigned long)change->start, (unsigned long)change->end,
             (unsigned long)(change->old_flags & 7), (unsigned long)(change->new_flags & 7));
}

static void test_notices(void **state)
{
    static struct vt_text told;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vmk_mm_set_notice(t.mm, notice, &told);
    vt_anon(&t, BASE, P(3), VT_R);
    vt_anon(&t, BASE + P(1), P(1), VT_RW);
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_RW), 0);
    assert_ret(vt_munmap(&t, BASE, P(3)), 0);
    assert_string_equal(told.text, "0 10000000-10003000 0 1\n1 10001000-10002000 0 3\n0 10001000-10002000 0 3\n"
                                   "2 10000000-10001000 1 3\n1 10000000-10003000 0 0\n");
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commit),        cmocka_unit_test(test_abort),           cmocka_unit_test(test_refused),
        cmocka_unit_test(test_parts),         cmocka_unit_test(test_backend),         cmocka_unit_test(test_notices),
        cmocka_unit_test(test_nothing_to_do), cmocka_unit_test(test_cut_left_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
