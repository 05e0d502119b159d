/* SPDX-License-Identifier: MIT */
/*
 * Where a huge page may come, against plain rules: which areas want one, at which faults one comes, and where populating a range
 * brings one. With a huge page of zeros, even where it is only read, comes an anon_vma, and that is what an area shows of it.
 */
#include "calls.h"
#include "mm/range.h"
#include "vmakit/fault.h"
#include "vmakit/state.h"

#define HUGE      (UINT64_C(2) << 20)
#define NR(array) (sizeof(array) / sizeof((array)[0]))

static struct vmk_vma *make_area(struct vt *t, vmk_addr start, vmk_addr end, vmk_vm_flags flags)
{
    const struct vmk_import_area area = {
        .start = start, .end = end, .flags = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS | flags};
    struct vmk_vma *vma;

    assert_int_equal(vmk_mm_import(t->mm, &area), 0);
    vmk_mm_lock_read(t->mm);
    vma = vmk_mm_find(t->mm, start);
    vmk_mm_unlock_read(t->mm);
    return vma;
}

static void drop_area(struct vt *t, struct vmk_vma *vma)
{
    vmk_mm_lock_write(t->mm);
    assert_int_equal(vmk_vma_delete(t->mm, vma), 0);
    vmk_mm_unlock_write(t->mm);
}

/* Never special or hugetlb memory, nor what was told not to; else by the machine's setting and the process's. */
static void test_who_wants_one(void **state)
{
    static const vmk_vm_flags flags[] = {VMK_VM_HUGEPAGE, VMK_VM_NOHUGEPAGE, VMK_VM_IO,     VMK_VM_DONTEXPAND,
                                         VMK_VM_PFNMAP,   VMK_VM_MIXEDMAP,   VMK_VM_HUGETLB};
    static const uint32_t disabled[] = {0, 1, VMK_THP_DISABLE_EXCEPT_ADVISED};

    (void)state;
    for (unsigned thp = 0; thp < 3; thp++) {
        struct vt t;

        vt_init(&t);
        t.system_options.settings.thp = thp;
        vt_open(&t);
        struct vmk_vma *vma = make_area(&t, BASE, BASE + HUGE, 0);
        const vmk_vm_flags plain = vma->flags;
        for (unsigned i = 0; i < 1u << NR(flags); i++) {
            vmk_vm_flags all = plain;

            for (unsigned bit = 0; bit < NR(flags); bit++)
                all |= (i >> bit & 1) != 0 ? flags[bit] : 0;
            vma->flags = all;
            for (size_t d = 0; d < NR(disabled); d++) {
                bool advised = (i & 1) != 0, allowed = disabled[d] == 0 || (disabled[d] != 1 && advised);

                t.mm->thp_disable = disabled[d];
                assert_int_equal(vmki_vma_wants_huge(vma), i < 2 && allowed && (thp == 2 || (thp == 1 && advised)));
            }
        }
        vma->flags = plain;
        vt_teardown(&t);
    }
}

/* Places around the borders of three huge pages. */
static vmk_addr place(unsigned i)
{
    static const int pages[] = {0, 1, 511, 512, 513, 1023, 1024, 1025, 1535, 1536};

    return BASE + P(pages[i]);
}
enum { NR_PLACES = 10 };

/* Does the area have a whole huge page of which [start, end) is a part? */
static bool meets_huge(vmk_addr area_start, vmk_addr area_end, vmk_addr start, vmk_addr end)
{
    for (vmk_addr page = BASE; page < BASE + 3 * HUGE; page += HUGE)
        if (page >= area_start && page + HUGE <= area_end && page < end && page + HUGE > start)
            return true;
    return false;
}

static void check_fault(struct vt *t, vmk_addr start, vmk_addr end, vmk_addr address, unsigned access, unsigned flags)
{
    const struct vmk_fault_request request = {.address = address + 0x123, .access = access, .flags = flags};
    bool huge = meets_huge(start, end, address, address + P(1)) && (flags & VMK_FAULT_HAS_TABLE) == 0;
    bool writes = access == VMK_ACCESS_WRITE;
    struct vmk_vma *vma = make_area(t, start, end, VMK_VM_HUGEPAGE);
    struct vmk_fault fault;

    assert_int_equal(vmk_mm_fault(t->mm, &request, &fault), 0);
    assert_int_equal(fault.fault_case, huge ? VMK_FAULT_CASE_8 : writes ? VMK_FAULT_CASE_3B : VMK_FAULT_CASE_3A);
    assert_int_equal(fault.outcome, VMK_FAULT_MINOR);
    assert_int_equal(fault.anon_vma_new, huge || writes);
    drop_area(t, vma);
}

static void check_populate(struct vt *t, vmk_addr start, vmk_addr end, vmk_addr from, vmk_addr to)
{
    struct vmk_vma_info info = {.size = sizeof(info)};
    struct vmk_vma *vma = make_area(t, start, end, VMK_VM_HUGEPAGE);

    assert_ret(
        vmk_madvise(t->mm,
                    &(struct vmk_madvise_request){.address = from, .len = to - from, .advice = VMK_MADV_POPULATE_READ},
                    NULL),
        0);
    assert_int_equal(vmk_mm_lookup(t->mm, start, &info), 0);
    if ((info.anon_vma != 0) != meets_huge(start, end, from, to))
        fail_msg("%llx-%llx populated in %llx-%llx", (unsigned long long)from, (unsigned long long)to,
                 (unsigned long long)start, (unsigned long long)end);
    drop_area(t, vma);
}

static void test_where_one_comes(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    for (unsigned start = 0; start < NR_PLACES; start++)
        for (unsigned end = start + 1; end < NR_PLACES; end++)
            for (unsigned from = start; from < end; from++) {
                check_fault(&t, place(start), place(end), place(from), VMK_ACCESS_READ, 0);
                check_fault(&t, place(start), place(end), place(from), VMK_ACCESS_WRITE, VMK_FAULT_USER);
                check_fault(&t, place(start), place(end), place(from), VMK_ACCESS_READ, VMK_FAULT_HAS_TABLE);
                for (unsigned to = from + 1; to <= end; to++)
                    check_populate(&t, place(start), place(end), place(from), place(to));
            }
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_wants_one),
        cmocka_unit_test(test_where_one_comes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
