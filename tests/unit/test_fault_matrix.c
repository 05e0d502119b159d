/* SPDX-License-Identifier: MIT */
/*
 * test_fault_matrix.c - every kind of area, every access, every state of a page: what a fault there is, against
 * golden/faults.txt. docs/faults.md numbers the cases. And what each access needs to be allowed.
 */
#include "golden.h"
#include "vmakit/fault.h"
#include "world.h"

#define HUGE_UNRESERVED W(0x1000, 0) /* the next byte stands for a pool with a page */

struct named {
    const char *name;
    unsigned value;
};

static const struct {
    const char *name;
    vmk_addr address;
} places[] = {
    {"anonymous", W(Z_ANON, 1)},
    {"anonymous, read only", W(Z_ANON, 9)},
    {"anonymous, untouched", W(Z_ANON, 15)},
    {"no area", W(Z_ANON, 16)},
    {"file, private", W(Z_FILE, 7)},
    {"file, shared", W(Z_FILE, 8)},
    {"driver", W(Z_DRIVER, 7)},
    {"shared memory", W(Z_SHARED, 1)},
    {"locked", W(Z_LOCKED, 3)},
    {"registered", W(Z_UFFD, 2)},
    {"registered for write protection", W(Z_FREE, 9)},
    {"registered, shared", W(Z_FREE, 13)},
    {"policy", W(Z_POLICY, 2)},
    {"sealed", W(Z_SEALED, 2)},
    {"vdso", W(Z_VDSO, 1)},
    {"tracked", W(Z_TRACKED, 1)},
    {"reserved", W(Z_RESERVED, 0)},
    {"attached segment", W(Z_SHM, 3)},
    {"huge", W(Z_HUGE, 3)},
    {"huge, not reserved, of an empty pool", HUGE_UNRESERVED},
    {"huge, not reserved, of a pool with a page", HUGE_UNRESERVED + 1},
    {"stack", W(Z_STACK, 0)},
    {"below the stack", W(Z_STACK, -1)},
    {"far below the stack", W(Z_STACK, -0x40)},
    {"heap", W(Z_HEAP, 1)},
    {"write only", W(Z_FREE, 1)},
    {"execute only", W(Z_FREE, 2)},
    {"no access", W(Z_FREE, 3)},
    {"beyond the end of the file", W(Z_FREE, 5)},
    {"beyond the end of the file, shared", W(Z_FREE, 7)},
    {"above all", UINT64_C(0x7fffffffe000)},
};

static const struct named accesses[] = {
    {"read", VMK_ACCESS_READ},
    {"write", VMK_ACCESS_WRITE},
    {"execute", VMK_ACCESS_EXEC},
    {"foreign read", VMK_ACCESS_READ | VMK_ACCESS_FOREIGN},
    {"foreign write", VMK_ACCESS_WRITE | VMK_ACCESS_FOREIGN | VMK_ACCESS_REMOTE},
    {"forced read", VMK_ACCESS_READ | VMK_ACCESS_FORCE | VMK_ACCESS_FOREIGN},
    {"forced write", VMK_ACCESS_WRITE | VMK_ACCESS_FORCE | VMK_ACCESS_FOREIGN},
};

static const struct named states[] = {
    {"", VMK_FAULT_USER},
    {", by the kernel", 0},
    {", present", VMK_FAULT_USER | VMK_FAULT_PRESENT},
    {", table there", VMK_FAULT_USER | VMK_FAULT_HAS_TABLE},
    {", must not wait", VMK_FAULT_USER | VMK_FAULT_NOWAIT},
    {", guard", VMK_FAULT_USER | VMK_FAULT_GUARD},
    {", must not grow", VMK_FAULT_NO_GROW},
    {", key", VMK_FAULT_USER | VMK_FAULT_PKEY},
    {", write-protected by userfaultfd", VMK_FAULT_USER | VMK_FAULT_PRESENT | VMK_FAULT_UFFD_WP},
    {", in the cache", VMK_FAULT_USER | VMK_FAULT_CACHED},
};

#define NR(array) (sizeof(array) / sizeof((array)[0]))

/* What the world lacks. */
static void more_areas(struct vt *t, bool has_pool)
{
    struct vmk_sysctl sysctl;

    vt_anon(t, W(Z_FREE, 1), P(1), VMK_PROT_WRITE);
    vt_anon(t, W(Z_FREE, 2), P(1), VMK_PROT_EXEC);
    vt_anon(t, W(Z_FREE, 3), P(1), 0);
    vt_map_file(t, W(Z_FREE, 4), P(2), VT_RW, VMK_MAP_PRIVATE, t->files[0], P(0xfff));
    vt_map_file(t, W(Z_FREE, 6), P(2), VT_RW, VMK_MAP_SHARED, t->files[0], P(0xfff));
    vt_anon(t, W(Z_FREE, 9), P(1), VT_RW);
    assert_ret(vt_register(t, 6, W(Z_FREE, 9), P(1), VMK_UFFD_MODE_WP), 0);
    vt_map_file(t, W(Z_FREE, 12), P(2), VT_RW, VMK_MAP_SHARED, t->files[2], 0);
    vmk_system_sysctl(t->system, &sysctl);
    sysctl.hugetlb_free_pages = 1;
    assert_int_equal(vmk_system_set_sysctl(t->system, &sysctl), 0);
    assert_ret(
        vt_mmap_file(t, HUGE_UNRESERVED, 2 << 20, VT_RW, VT_FIXED | VMK_MAP_HUGETLB | VMK_MAP_NORESERVE, NULL, 0),
        HUGE_UNRESERVED);
    sysctl.hugetlb_free_pages = has_pool ? 1 : 0;
    assert_int_equal(vmk_system_set_sysctl(t->system, &sysctl), 0);
    assert_ret(vt_register(t, 7, W(Z_FREE, 12), P(2), VMK_UFFD_MODE_MISSING | VMK_UFFD_MODE_MINOR), 0);
}

static void fault_text(const struct vmk_fault *fault, char *to, size_t size)
{
    static const char *const outcomes[] = {"minor", "major", "signal", "retry", "pending", "no memory", "tracked"};
    int len = snprintf(to, size, "%s, case %x", outcomes[fault->outcome], fault->fault_case);

    if (fault->outcome == VMK_FAULT_SIGNAL)
        len += snprintf(to + len, size - (size_t)len, ", signal %d code %d", fault->signal, fault->code);
    len += snprintf(to + len, size - (size_t)len, ", %llx-%llx %llx at %llx", (unsigned long long)fault->start,
                    (unsigned long long)fault->end, (unsigned long long)fault->flags, (unsigned long long)fault->pgoff);
    if (fault->grown != 0)
        len += snprintf(to + len, size - (size_t)len, " grown %llu", (unsigned long long)fault->grown);
    snprintf(to + len, size - (size_t)len, "%s%s", fault->anon_vma_new ? " anon_vma" : "",
             fault->token != 0 ? " token" : "");
}

static void run_fault(vmk_addr address, unsigned access, unsigned flags, char *text, size_t size)
{
    struct vt *t = world_setup(WORLD_PLAIN, false, NULL, NULL);
    const struct vmk_fault_request request = {.address = address, .access = access, .flags = flags};
    struct vmk_fault fault;

    more_areas(t, address % 2 == 0);
    assert_int_equal(vmk_mm_fault(t->mm, &request, &fault), 0);
    vt_validate(t);
    fault_text(&fault, text, size);
    world_teardown();
}

/* The first state of a page has a line; the others only where they make a difference. */
static void print_place(struct golden *golden, size_t place)
{
    static struct vt_text text;
    char first[256], other[256];

    text.len = 0;
    vt_print(&text, "# %s\n", places[place].name);
    for (size_t a = 0; a < NR(accesses); a++)
        for (size_t s = 0; s < NR(states); s++) {
            char *to = s == 0 ? first : other;

            run_fault(places[place].address + 0x123, accesses[a].value, states[s].value, to, sizeof(first));
            if (s == 0 || strcmp(first, other) != 0)
                vt_print(&text, "%s%s: %s\n", accesses[a].name, states[s].name, to);
        }
    golden_text(golden, &text);
}

static void test_faults(void **state)
{
    struct golden golden;

    (void)state;
    golden_open(&golden, "faults.txt");
    for (size_t place = 0; place < NR(places); place++)
        print_place(&golden, place);
    golden_close(&golden);
}

/* A stack that has its anon_vma grows with it. */
static void test_growth(void **state)
{
    struct vt *t = world_setup(WORLD_PLAIN, false, NULL, NULL);
    const struct vmk_fault_request request = {.address = W(Z_STACK, -1), .access = VMK_ACCESS_WRITE};
    struct vmk_fault fault;

    (void)state;
    vt_touch(t, W(Z_STACK, 0));
    assert_int_equal(vmk_mm_fault(t->mm, &request, &fault), 0);
    assert_int_equal(fault.outcome, VMK_FAULT_MINOR);
    assert_int_equal(fault.grown, 1);
    assert_false(fault.anon_vma_new);
    world_teardown();
}

/* Each protection, private and shared, with and without the MAY bit, on processors that can and cannot forbid reads. */
static void test_accesses(void **state)
{
    static const vmk_vm_flags kinds[] = {0,
                                         VMK_VM_MAY_ACCESS,
                                         VMK_VM_SHARED | VMK_VM_MAYSHARE,
                                         VMK_VM_SHARED | VMK_VM_MAYSHARE | VMK_VM_MAY_ACCESS,
                                         VMK_VM_MAY_ACCESS | VMK_VM_IO,
                                         VMK_VM_MAYREAD};
    static struct vt_text text;
    struct golden golden;

    (void)state;
    golden_open(&golden, "accesses.txt");
    for (unsigned implies = 0; implies < 4; implies++) {
        struct vt t;

        vt_init(&t);
        t.system_options.settings.write_implies_read = implies & 1;
        t.system_options.settings.exec_implies_read = implies >> 1;
        vt_open(&t);
        for (vmk_vm_flags prot = 0; prot < 8; prot++)
            for (size_t kind = 0; kind < NR(kinds); kind++) {
                const struct vmk_vma_request request = {.start = BASE, .end = BASE + P(1), .flags = prot | kinds[kind]};
                struct vmk_vma *vma;

                text.len = 0;
                vmk_mm_lock_write(t.mm);
                assert_int_equal(vmk_vma_create_and_insert(t.mm, &request, &vma), 0);
                vt_print(&text, "%u %llx ", implies, (unsigned long long)request.flags);
                for (unsigned access = 0; access < 64; access++)
                    vt_print(&text, "%c", vmk_vma_check_access(vma, access) == 0 ? 'y' : 'n');
                vt_print(&text, "\n");
                assert_int_equal(vmk_vma_delete(t.mm, vma), 0);
                vmk_mm_unlock_write(t.mm);
                golden_text(&golden, &text);
            }
        vt_teardown(&t);
    }
    golden_close(&golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults), cmocka_unit_test(test_growth),
                                       cmocka_unit_test(test_accesses)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
