/* SPDX-License-Identifier: MIT */
/* The validator finds each rule that is broken on purpose; equal states give equal dumps. */
#include "support.h"
#include "tree/node.h"

#include "mm/validate.h"

#define BASE UINT64_C(0x10000000)
#define P(n) ((uint64_t)(n)*VT_PAGE)

static struct vt_text found;

/* Every broken rule is reported in a line of its own; returns how many. */
static unsigned validate(struct vt *t)
{
    unsigned nr_lines = 0;

    found.len = 0;
    found.text[0] = '\0';
    unsigned nr = vmk_mm_validate(t->mm, vt_sink, &found);
    for (size_t i = 0; i < found.len; i++)
        nr_lines += found.text[i] == '\n';
    assert_int_equal(nr, nr_lines);
    assert_int_equal(nr, vmk_mm_validate(t->mm, NULL, NULL));
    return nr;
}

static void assert_found(struct vt *t, const char *rule)
{
    if (validate(t) == 0 || strstr(found.text, rule) == NULL)
        fail_msg("\"%s\" is not among\n%s", rule, found.text);
}

/* Breaks one word, expects the rule, and mends it. */
#define broken(t, word, value, rule)                                                                                   \
    do {                                                                                                               \
        __typeof__(word) whole = (word);                                                                               \
        (word) = (value);                                                                                              \
        assert_found((t), (rule));                                                                                     \
        (word) = whole;                                                                                                \
        assert_int_equal(validate(t), 0);                                                                              \
    } while (0)

static void some_space(struct vt *t)
{
    vt_setup(t);
    vt_anon(t, BASE, P(4), VT_RW);
    vt_touch(t, BASE);
    assert_ret(vt_mmap_file(t, BASE + P(8), P(4), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, vt_file(t, 1), P(2)),
               BASE + P(8));
    vt_anon(t, BASE + P(16), P(4), VT_R);
}

static void counters(void **state)
{
    struct vt t;

    (void)state;
    some_space(&t);
    assert_int_equal(validate(&t), 0);
    broken(&t, t.mm->total_vm, 3, "total_vm: counted 12, kept 3\n");
    broken(&t, t.mm->locked_vm, 1, "locked_vm: counted 0, kept 1\n");
    broken(&t, t.mm->data_vm, 5, "data_vm: counted 4");
    broken(&t, t.mm->exec_vm, 5, "exec_vm");
    broken(&t, t.mm->stack_vm, 5, "stack_vm");
    broken(&t, t.mm->shared_vm, 0, "shared_vm: counted 4");
    broken(&t, t.mm->accounted_vm, 0, "accounted_vm: counted 4");
    broken(&t, t.mm->nr_spare_anon, t.mm->nr_spare_anon + 1, "spare areas");
    broken(&t, t.mm->nr_spare_file, t.mm->nr_spare_file + 1, "spare file areas");
    broken(&t, t.system->committed, 1, "commit charge");
    broken(&t, t.mm->tree.nr_entries, 7, "tree:");
    vt_teardown(&t);
}

static void areas(void **state)
{
    struct vt t;
    struct vmk_vma *vma, *file, *last;

    (void)state;
    some_space(&t);
    vma = vmki_find(t.mm, BASE);
    file = vmki_find(t.mm, BASE + P(8));
    last = vmki_find(t.mm, BASE + P(16));
    broken(&t, vma->start, BASE - P(1), "area and tree differ in the range at 10000000\n");
    broken(&t, vma->end, BASE + P(5), "area and tree differ in the range");
    broken(&t, vma->flags, vma->flags | VMK_VM_EXEC, "area and tree differ in the flags");
    broken(&t, vma->mm, NULL, "belongs to another address space");
    broken(&t, vma->anon_vma->refs, 0, "an anon_vma lacks references");
    broken(&t, file->file->refs, 0, "a file lacks references");
    broken(&t, file->file->object->refs, 0, "an object lacks references");
    broken(&t, t.mm->task_size_max, BASE + P(10), "ends above the address space");
    broken(&t, t.mm->page_size, P(16), "not page aligned");
    broken(&t, vmki_file_vma_of(file)->rmap.start, 0, "the reverse map has another range");
    broken(&t, file->file->object->links, NULL, "missing in its object's reverse map");
    broken(&t, last->flags, last->flags | VMKI_VM_FORKED, "FORKED without an anon_vma");
    broken(&t, last->bias, 1, "something hangs of an area that is bare at 10010000");
    vt_teardown(&t);
}

/* Of a leaf's order: each slot once. */
static void order_of_a_leaf(void **state)
{
    struct vt t;
    struct vmki_tree_leaf *leaf;

    (void)state;
    some_space(&t);
    leaf = vmki_leaf(t.mm->tree.root);
    assert_int_equal(leaf->head.level, 0);
    for (unsigned rank = 0; rank < 3; rank++) {
        unsigned shift = 4 * rank + 4;
        uint64_t next = (leaf->order >> (shift + 4) & 15) << shift;

        broken(&t, leaf->order, (leaf->order & ~(UINT64_C(15) << shift)) | next,
               "tree: a leaf's order is no permutation");
    }
    vt_teardown(&t);
}

static void references_of_an_ext(void **state)
{
    struct vt t;
    struct vmk_vma *vma;

    (void)state;
    some_space(&t);
    vmk_mm_lock_write(t.mm);
    vma = vmki_find(t.mm, BASE);
    assert_int_equal(vmk_vma_set_user(vma, &t), 0);
    vmk_mm_unlock_write(t.mm);
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_R), 0);
    assert_int_equal(vma->ext->refs, 3);
    broken(&t, vma->ext->refs, 2, "an ext lacks references");
    vt_teardown(&t);
}

static void ranges(void **state)
{
    struct vt t;

    (void)state;
    some_space(&t);
    assert_int_equal(vmk_mm_reserve_range(t.mm, BASE + P(32), BASE + P(33)), 0);
    broken(&t, t.mm->reserved.nr_entries, 9, "reserved ranges:");
    struct vmki_tree reserved = t.mm->reserved;
    t.mm->reserved = t.mm->tree;
    assert_found(&t, "an area is on a reserved range at 10008000");
    t.mm->reserved = reserved;
    vt_teardown(&t);
}

static void rules_of_flags(void **state)
{
    const vmk_vm_flags shared = VMK_VM_SHARED | VMK_VM_MAYSHARE;

    (void)state;
    assert_null(vmki_area_flags_broken(VMK_VM_READ, true, false));
    assert_null(vmki_area_flags_broken(shared, false, false));
    assert_non_null(vmki_area_flags_broken(VMK_VM_SHARED, false, false));
    assert_non_null(vmki_area_flags_broken(shared, true, false));
    assert_non_null(vmki_area_flags_broken(shared | VMK_VM_ACCOUNT, false, false));
    assert_non_null(vmki_area_flags_broken(VMK_VM_LOCKONFAULT, false, false));
    assert_null(vmki_area_flags_broken(VMK_VM_LOCKED_MASK, false, false));
    assert_non_null(vmki_area_flags_broken(VMKI_VM_FORKED, false, false));
    assert_non_null(vmki_area_flags_broken(VMK_VM_UFFD_WP, false, false));
    assert_non_null(vmki_area_flags_broken(VMK_VM_READ, false, true));
    assert_non_null(vmki_area_flags_broken(VMK_VM_HUGEPAGE | VMK_VM_NOHUGEPAGE, false, false));
}

/* The same state reached on two ways; identities and spare memory differ, the text does not. */
static void dumps_are_equal(void **state)
{
    struct vt a, b;
    static struct vt_text first, second;

    (void)state;
    vt_setup(&a);
    vt_anon(&a, BASE + P(64), P(1), VT_RW); /* an identity that the other does not use up */
    vt_touch(&a, BASE + P(64));
    assert_ret(vt_munmap(&a, BASE + P(64), P(1)), 0);
    vt_anon(&a, BASE, P(2), VT_RW);
    vt_touch(&a, BASE);
    vt_anon(&a, BASE + P(4), P(1), VT_RW);
    vt_setup(&b);
    vt_anon(&b, BASE, P(5), VT_RW);
    vt_touch(&b, BASE);
    assert_ret(vt_munmap(&b, BASE + P(2), P(3)), 0);
    vt_anon(&b, BASE + P(4), P(1), VT_RW);
    a.mm->peak_vm = b.mm->peak_vm;
    a.mm->nr_vmas_peak = b.mm->nr_vmas_peak;
    first.len = second.len = 0;
    vmk_mm_dump(a.mm, vt_sink, &first);
    vmk_mm_dump(b.mm, vt_sink, &second);
    assert_string_equal(first.text, second.text);
    assert_non_null(strstr(first.text, "\narea 10000000-10002000 flags=100073 pgoff=10000 anon_vma=10000000\n"));
    vt_teardown(&a);
    vt_teardown(&b);
}

static void dump_names_everything(void **state)
{
    struct vt t;
    static struct vt_text text;
    const char *const wanted[] = {"layout start_code=0",
                                  " mmap_base=7ffff7fff000",
                                  "limits as=ffffffffffffffff:ffffffffffffffff",
                                  " stack=800000:",
                                  "process capabilities=0",
                                  "counters areas=3 total=12 locked=0",
                                  " file=10008000",
                                  " object=10008000 file_id=1 object_id=1 path=\"/file1\"",
                                  "reserved 20000000-20001000\n",
                                  "tracked 10000000-10001000\n"};

    (void)state;
    some_space(&t);
    assert_int_equal(vmk_mm_reserve_range(t.mm, 2 * BASE, 2 * BASE + P(1)), 0);
    assert_int_equal(vmk_mm_track_writes(t.mm, BASE, BASE + P(1)), 0);
    vmk_mm_lock_write(t.mm);
    assert_int_equal(vmk_vma_set_user(vmki_find(t.mm, BASE), &t), 0);
    vmk_mm_unlock_write(t.mm);
    text.len = 0;
    vmk_mm_dump(t.mm, vt_sink, &text);
    for (size_t i = 0; i < VMKI_ARRAY_SIZE(wanted); i++)
        if (strstr(text.text, wanted[i]) == NULL)
            fail_msg("no \"%s\" in\n%s", wanted[i], text.text);
    assert_non_null(strstr(text.text, " user=10000000"));
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters),        cmocka_unit_test(areas),
        cmocka_unit_test(order_of_a_leaf), cmocka_unit_test(references_of_an_ext),
        cmocka_unit_test(ranges),          cmocka_unit_test(rules_of_flags),
        cmocka_unit_test(dumps_are_equal), cmocka_unit_test(dump_names_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
