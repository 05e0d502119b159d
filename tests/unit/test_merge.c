/* SPDX-License-Identifier: MIT */
/*
 * Which two ranges may be one area, field by field, and as what a refusal is counted: two identities that differ in one thing,
 * or in two, of which the first in the order of the fields is the reason.
 */
#include <string.h>

#include "mm/edit.h"
#include "support.h"

/* ---- One pair ---- */

#define COUNTERS(X)                                                                                                    \
    X(refuse_special)                                                                                                  \
    X(refuse_flags)                                                                                                    \
    X(refuse_file) X(refuse_pgoff) X(refuse_policy) X(refuse_name) X(refuse_uffd) X(refuse_anon_vma) X(refuse_close)

/* "yes", or the counter that was raised, by one and no other. */
static const char *answer(struct vt *t, const struct vmki_identity *a, const struct vmki_identity *b)
{
    struct vmk_counters before = t->mm->counters, after;
    const char *reason = "yes";
    bool yes = vmki_can_merge(t->mm, a, b);

    after = t->mm->counters;
#define RAISED(name)                                                                                                   \
    if (after.name != before.name) {                                                                                   \
        assert_int_equal(after.name, before.name + 1);                                                                 \
        assert_false(yes);                                                                                             \
        reason = #name;                                                                                                \
        before.name++;                                                                                                 \
    }
    COUNTERS(RAISED)
#undef RAISED
    assert_memory_equal(&before, &after, sizeof(before));
    if (!yes && strcmp(reason, "yes") == 0)
        reason = "no, and nothing says why";
    return reason;
}

static void assert_answer(struct vt *t, const struct vmki_identity *a, const struct vmki_identity *b,
                          const char *expected)
{
    assert_string_equal(answer(t, a, b), expected);
    assert_string_equal(answer(t, b, a), expected);
}

/* ---- The fields ---- */

static struct vmki_ext *ext_of(uint32_t mode, uint64_t nodes, const char *name, uint64_t uffd)
{
    size_t size = name != NULL ? strlen(name) + 1 : 0;
    struct vmki_ext *ext = calloc(1, sizeof(*ext) + size);

    assert_non_null(ext);
    ext->policy.mode = mode;
    ext->policy.nodes = nodes;
    ext->uffd = uffd;
    ext->name_size = (uint32_t)size;
    if (name != NULL)
        memcpy(ext->name, name, size);
    return ext;
}

static const vmk_vm_flags plain = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAYREAD | VMK_VM_MAYWRITE;

static void test_flags(void **state)
{
    struct vmki_identity a = {.flags = plain}, b = a;
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_answer(&t, &a, &b, "yes");
    for (unsigned bit = 0; bit < 64; bit++) {
        vmk_vm_flags flag = UINT64_C(1) << bit;
        bool special = (flag & VMK_VM_SPECIAL) != 0, ignored = (flag & VMKI_VM_MERGE_IGNORED) != 0;

        b.flags = a.flags ^ flag;
        assert_answer(&t, &a, &b, special ? "refuse_special" : ignored ? "yes" : "refuse_flags");
        assert_answer(&t, &b, &b, special ? "refuse_special" : "yes");
    }
    /* of the many flags the reason is asked in this order */
    b.flags = a.flags ^ VMK_VM_WRITE ^ VMK_VM_PFNMAP;
    assert_answer(&t, &a, &b, "refuse_special");
    vt_teardown(&t);
}

static void test_places(void **state)
{
    struct vmki_identity a = {.flags = plain}, b = a;
    struct vt t;

    (void)state;
    vt_setup(&t);
    a.file = b.file = vt_file(&t, 1);
    assert_answer(&t, &a, &b, "yes");
    b.file = vt_file(&t, 2);
    assert_answer(&t, &a, &b, "refuse_file");
    b.file = NULL;
    assert_answer(&t, &a, &b, "refuse_file");
    b.bias = 1;
    assert_answer(&t, &a, &b, "refuse_file");
    b.flags ^= VMK_VM_EXEC;
    assert_answer(&t, &a, &b, "refuse_flags");
    b = a;
    b.bias = a.bias + 1;
    assert_answer(&t, &a, &b, "refuse_pgoff");
    b.bias = a.bias - 1;
    assert_answer(&t, &a, &b, "refuse_pgoff");
    vt_teardown(&t);
}

/* What hangs of an area: its policy comes before its name, that before the userfaultfd, and all before the anon_vma. */
static void test_exts(void **state)
{
    static const struct {
        uint32_t mode;
        uint64_t nodes;
        const char *name;
        uint64_t uffd;
        const char *expected[3]; /* beside all, beside one that says nothing, beside none at all */
    } rows[] = {
        {2, 1, "name", 7, {"yes", "refuse_policy", "refuse_policy"}},
        {3, 1, "name", 7, {"refuse_policy", "refuse_policy", "refuse_policy"}},
        {2, 3, "name", 7, {"refuse_policy", "refuse_policy", "refuse_policy"}},
        {0, 0, "name", 7, {"refuse_policy", "refuse_name", "refuse_name"}},
        {2, 1, "nama", 7, {"refuse_name", "refuse_policy", "refuse_policy"}},
        {2, 1, "nam", 7, {"refuse_name", "refuse_policy", "refuse_policy"}},
        {2, 1, NULL, 7, {"refuse_name", "refuse_policy", "refuse_policy"}},
        {0, 0, NULL, 7, {"refuse_policy", "refuse_uffd", "refuse_uffd"}},
        {2, 1, "name", 8, {"refuse_uffd", "refuse_policy", "refuse_policy"}},
        {2, 1, "name", 0, {"refuse_uffd", "refuse_policy", "refuse_policy"}},
        {0, 0, NULL, 0, {"refuse_policy", "yes", "yes"}},
        {3, 1, "other", 8, {"refuse_policy", "refuse_policy", "refuse_policy"}},
        {2, 1, "other", 8, {"refuse_name", "refuse_policy", "refuse_policy"}},
    };
    struct vmki_identity a = {.flags = plain}, b = a;
    struct vmki_ext *beside[3] = {ext_of(2, 1, "name", 7), ext_of(0, 0, NULL, 0), NULL};
    struct vt t;

    (void)state;
    vt_setup(&t);
    struct vmki_anon_vma *anon_vmas[2] = {vmki_anon_vma_new(t.mm), vmki_anon_vma_new(t.mm)};
    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        a.ext = ext_of(rows[row].mode, rows[row].nodes, rows[row].name, rows[row].uffd);
        for (unsigned i = 0; i < 3; i++) {
            const char *expected = rows[row].expected[i];

            b = (struct vmki_identity){.flags = plain, .ext = beside[i]};
            assert_answer(&t, &a, &b, expected);
            a.anon_vma = anon_vmas[0];
            b.anon_vma = anon_vmas[1];
            assert_answer(&t, &a, &b, strcmp(expected, "yes") == 0 ? "refuse_anon_vma" : expected);
            a.anon_vma = b.anon_vma = NULL;
            b.bias = 1;
            assert_answer(&t, &a, &b, "refuse_pgoff");
        }
        free(a.ext);
    }
    for (unsigned i = 0; i < 2; i++) {
        vmki_anon_vma_put(t.mm, anon_vmas[i]);
        free(beside[i]);
    }
    vt_teardown(&t);
}

/* ---- anon_vmas ---- */

/* Both none, both the same, or one none and the other not from a fork. */
static void test_anon_vmas(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    struct vmki_anon_vma *anon_vma[3] = {NULL, vmki_anon_vma_new(t.mm), vmki_anon_vma_new(t.mm)};
    for (unsigned i = 0; i < 3 * 3 * 4 * 4; i++) {
        struct vmki_identity a = {.flags = plain, .anon_vma = anon_vma[i % 3]},
                             b = {.flags = plain, .anon_vma = anon_vma[i / 3 % 3]};
        unsigned forked = i / 9 % 4, unknown = i / 36;
        bool agree = a.anon_vma == b.anon_vma || (a.anon_vma == NULL && (forked & 2) == 0) ||
                     (b.anon_vma == NULL && (forked & 1) == 0);
        uint64_t before = t.mm->unknown_merges;

        a.flags |= (forked & 1 ? VMKI_VM_FORKED : 0) | (unknown & 1 ? VMKI_VM_ANON_UNKNOWN : 0);
        b.flags |= (forked & 2 ? VMKI_VM_FORKED : 0) | (unknown & 2 ? VMKI_VM_ANON_UNKNOWN : 0);
        assert_string_equal(answer(&t, &a, &b), agree ? "yes" : "refuse_anon_vma");
        assert_int_equal(t.mm->unknown_merges - before, unknown != 0 && a.anon_vma != b.anon_vma);
    }
    vmki_anon_vma_put(t.mm, anon_vma[1]);
    vmki_anon_vma_put(t.mm, anon_vma[2]);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_exts),
        cmocka_unit_test(test_anon_vmas),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
