/* SPDX-License-Identifier: MIT */
/* mbind, set_mempolicy, PR_SET_VMA names, PR_SET_MM, options of an address space, protection keys. */
#include "calls.h"

/* ---- Policies ---- */

static int64_t mbind_call(struct vt *t, vmk_addr address, uint64_t len, uint32_t mode, uint64_t nodes,
                          uint64_t max_node, uint32_t flags)
{
    const struct vmk_mbind_request request = {
        .address = address, .len = len, .mode = mode, .nodes = nodes, .max_node = max_node, .flags = flags};

    return vt_return(t, vmk_mbind(t->mm, &request, &t->result));
}

static int64_t set_mempolicy(struct vt *t, uint32_t mode, uint64_t nodes, uint64_t max_node)
{
    const struct vmk_set_mempolicy_request request = {.mode = mode, .nodes = nodes, .max_node = max_node};

    return vt_return(t, vmk_set_mempolicy(t->mm, &request, &t->result));
}

#define BALANCING VMK_MPOL_F_NUMA_BALANCING
#define RELATIVE  VMK_MPOL_F_RELATIVE_NODES
#define STATIC    VMK_MPOL_F_STATIC_NODES

/* Node masks 0, {0}, {1} and {0, 1} on a machine that has node 0: which are accepted, as bits. From Linux 6.18. */
static const struct {
    uint32_t mode;
    unsigned accepted;
} modes[] = {
    {VMK_MPOL_DEFAULT, 1},
    {VMK_MPOL_PREFERRED, 1 | 2 | 8},
    {VMK_MPOL_BIND, 2 | 8},
    {VMK_MPOL_INTERLEAVE, 2 | 8},
    {VMK_MPOL_LOCAL, 1},
    {VMK_MPOL_PREFERRED_MANY, 2 | 8},
    {VMK_MPOL_WEIGHTED_INTERLEAVE, 2 | 8},
    {7, 0},
    {VMK_MPOL_DEFAULT | STATIC, 1},
    {VMK_MPOL_DEFAULT | BALANCING, 0},
    {VMK_MPOL_PREFERRED | STATIC, 2 | 8},
    {VMK_MPOL_PREFERRED | RELATIVE, 2 | 4 | 8},
    {VMK_MPOL_PREFERRED | BALANCING, 0},
    {VMK_MPOL_BIND | STATIC, 2 | 8},
    {VMK_MPOL_BIND | RELATIVE, 2 | 4 | 8},
    {VMK_MPOL_BIND | BALANCING, 2 | 8},
    {VMK_MPOL_BIND | STATIC | RELATIVE, 0},
    {VMK_MPOL_LOCAL | STATIC, 0},
    {VMK_MPOL_PREFERRED_MANY | BALANCING, 2 | 8},
    {VMK_MPOL_INTERLEAVE | BALANCING, 0},
    {0x10000, 0},
};

static void test_policy_modes(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        for (unsigned nodes = 0; nodes < 4; nodes++) {
            int wanted = (modes[i].accepted & 1u << nodes) != 0 ? 0 : -VMK_EINVAL;

            if (mbind_call(&t, BASE, P(2), modes[i].mode, nodes, 64, 0) != wanted)
                fail_msg("mbind of mode %x, nodes %x: not %d", (unsigned)modes[i].mode, nodes, wanted);
            assert_ret(set_mempolicy(&t, modes[i].mode, nodes, 64), wanted);
        }
    vt_teardown(&t);
}

static void test_policy_nodes(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    assert_ret(mbind_call(&t, BASE, P(2), VMK_MPOL_BIND, 1, 1, 0), -VMK_EINVAL); /* the last bit does not count */
    assert_ret(mbind_call(&t, BASE, P(2), VMK_MPOL_BIND, 1, 2, 0), 0);
    assert_ret(mbind_call(&t, BASE, P(2), VMK_MPOL_BIND, 2, 2, 0), -VMK_EINVAL);
    assert_ret(mbind_call(&t, BASE, P(2), VMK_MPOL_LOCAL, 1, 1, 0), 0);
    assert_ret(mbind_call(&t, BASE, P(2), VMK_MPOL_DEFAULT, 0, 0, 0), 0);
    assert_ret(mbind_call(&t, BASE, P(2), VMK_MPOL_BIND, 1, 1024, 0), 0);
    assert_ret(mbind_call(&t, BASE, P(2), VMK_MPOL_BIND, 1, 32770, 0), -VMK_EINVAL);
    vt_teardown(&t);

    vt_init(&t);
    t.system_options.settings.nr_nodes = 0;
    vt_open(&t);
    assert_ret(mbind_call(&t, BASE, P(2), 99, 1, 64, 0), -VMK_ENOSYS);
    assert_ret(set_mempolicy(&t, 99, 0, 0), -VMK_ENOSYS);
    vt_teardown(&t);
}

static void test_policy_arguments(void **state)
{
    const uint32_t all = VMK_MPOL_MF_MOVE_ALL;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    assert_ret(mbind_call(&t, BASE, P(2), VMK_MPOL_BIND, 1, 64, 8), -VMK_EINVAL);
    assert_ret(mbind_call(&t, BASE, 0, VMK_MPOL_BIND, 1, 64, 8), -VMK_EINVAL);
    assert_ret(mbind_call(&t, BASE, 0, VMK_MPOL_BIND, 0, 64, all), -VMK_EPERM);
    assert_ret(mbind_call(&t, BASE, 0, 77, 1, 64, all), -VMK_EINVAL);
    assert_ret(mbind_call(&t, BASE + 1, P(1), VMK_MPOL_BIND, 1, 64, 0), -VMK_EINVAL);
    assert_ret(mbind_call(&t, BASE, 0, VMK_MPOL_BIND, 0, 64, 0), 0); /* before the nodes are looked at */
    assert_ret(mbind_call(&t, BASE, UINT64_MAX, VMK_MPOL_BIND, 1, 64, 0), 0);
    assert_ret(mbind_call(&t, BASE, 0 - P(1), VMK_MPOL_BIND, 1, 64, 0), -VMK_EINVAL);
    vmk_mm_set_capabilities(t.mm, VMK_CAP_SYS_NICE);
    assert_ret(mbind_call(&t, BASE, 1, VMK_MPOL_BIND, 1, 64, all), 0); /* rounded up */
    vt_teardown(&t);
}

static void test_policy_holes(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE + P(2), P(2), VT_RW);
    vt_anon(&t, BASE + P(6), P(2), VT_RW);
    assert_ret(vt_mbind(&t, BASE + P(2), P(6), VMK_MPOL_BIND, 1), -VMK_EFAULT);
    assert_ret(vt_mbind(&t, BASE, P(3), VMK_MPOL_BIND, 1), -VMK_EFAULT);
    assert_ret(vt_mbind(&t, BASE + P(3), P(2), VMK_MPOL_BIND, 1), -VMK_EFAULT);
    assert_map(&t, "10002000-10004000 rw-p ac\n10006000-10008000 rw-p ac\n");
    assert_ret(vt_mbind(&t, BASE + P(3), P(1), VMK_MPOL_BIND, 1), 0);
    assert_map(&t, "10002000-10003000 rw-p ac\n10003000-10004000 rw-p ac\n10006000-10008000 rw-p ac\n");
    assert_ret(vt_mbind(&t, BASE, P(9), VMK_MPOL_DEFAULT, 0), 0); /* the default does not mind holes */
    assert_map(&t, "10002000-10004000 rw-p ac\n10006000-10008000 rw-p ac\n");
    assert_ret(vt_mbind(&t, BASE, P(2), VMK_MPOL_DEFAULT, 0), -VMK_EFAULT); /* but wants an area */
    vt_teardown(&t);
}

/* Which policies are one: areas that touch show it. */
static void test_policy_equality(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(4), VT_RW);
    assert_ret(vt_mbind(&t, BASE, P(2), VMK_MPOL_BIND, 1), 0);
    assert_ret(vt_mbind(&t, BASE + P(2), P(2), VMK_MPOL_BIND, 3), 0); /* node 1 does not exist */
    assert_map(&t, "10000000-10004000 rw-p ac\n");
    assert_ret(vt_mbind(&t, BASE, P(2), VMK_MPOL_BIND | STATIC, 1), 0);
    assert_ret(vt_mbind(&t, BASE + P(2), P(2), VMK_MPOL_BIND | STATIC, 3), 0); /* kept as it was named */
    assert_map(&t, "10000000-10002000 rw-p ac\n10002000-10004000 rw-p ac\n");
    assert_ret(vt_mbind(&t, BASE, P(2), VMK_MPOL_PREFERRED, 0), 0);
    assert_ret(vt_mbind(&t, BASE + P(2), P(2), VMK_MPOL_LOCAL, 0), 0);
    assert_map(&t, "10000000-10004000 rw-p ac\n");
    assert_ret(vt_mbind(&t, BASE, P(2), VMK_MPOL_PREFERRED, 1), 0);
    assert_map(&t, "10000000-10002000 rw-p ac\n10002000-10004000 rw-p ac\n");
    assert_ret(vt_mbind(&t, BASE, P(4), VMK_MPOL_DEFAULT, 0), 0);
    assert_map(&t, "10000000-10004000 rw-p ac\n");
    vt_special(&t, BASE + P(4), P(2), VT_VDSO);
    assert_ret(vt_mbind(&t, BASE + P(4), P(1), VMK_MPOL_BIND, 1), -VMK_EINVAL); /* cannot be split */
    assert_ret(vt_mbind(&t, BASE + P(4), P(2), VMK_MPOL_BIND, 1), 0);
    vt_teardown(&t);
}

static uint64_t told_policy;
static int tell_policy(struct vmk_vma *vma, uint64_t policy)
{
    (void)vma;
    if (policy == 0 && told_policy != 0)
        return -VMK_EBUSY;
    told_policy = policy;
    return 0;
}

static void test_policy_hook(void **state)
{
    static const struct vmk_vm_ops ops = {.size = sizeof(ops), .set_policy = tell_policy};
    struct vt t;
    struct vmk_vma *vma;
    struct vmk_vma_info info = {.size = sizeof(info)};

    (void)state;
    vt_setup(&t);
    const struct vmk_vma_request request = {
        .start = BASE, .end = BASE + P(2), .flags = VMK_VM_READ | VMK_VM_MAY_ACCESS, .ops = &ops};
    vmk_mm_lock_write(t.mm);
    assert_int_equal(vmk_vma_create_and_insert(t.mm, &request, &vma), 0);
    vmk_mm_unlock_write(t.mm);
    told_policy = 0;
    assert_ret(vt_mbind(&t, BASE, P(2), VMK_MPOL_BIND, 1), 0);
    assert_int_equal(vmk_mm_lookup(t.mm, BASE, &info), 0);
    assert_true(told_policy != 0);
    assert_int_equal(info.policy, told_policy);
    assert_ret(vt_mbind(&t, BASE, P(2), VMK_MPOL_DEFAULT, 0), -VMK_EBUSY);
    vt_teardown(&t);
}

/* ---- Names ---- */

static int64_t set_name(struct vt *t, vmk_addr address, uint64_t len, const char *text)
{
    const struct vmk_name_request request = {.address = address, .len = len, .text = text};

    return vt_return(t, vmk_name(t->mm, &request, &t->result));
}

static void setup_names(struct vt *t)
{
    vt_init(t);
    t->system_options.settings.anon_vma_name = 1;
    vt_open(t);
}

static void test_names(void **state)
{
    struct vt t;

    (void)state;
    setup_names(&t);
    vt_anon(&t, BASE, P(6), VT_RW);
    assert_ret(set_name(&t, BASE + P(2), P(2), "arena"), 0);
    assert_map(&t, "10000000-10002000 rw-p ac\n10002000-10004000 rw-p ac [anon:arena]\n10004000-10006000 rw-p ac\n");
    assert_ret(set_name(&t, BASE + P(4), P(1), "arena"), 0);
    assert_map(&t, "10000000-10002000 rw-p ac\n10002000-10005000 rw-p ac [anon:arena]\n10005000-10006000 rw-p ac\n");
    assert_ret(set_name(&t, BASE, P(1), "other"), 0);
    assert_ret(set_name(&t, BASE, P(6), NULL), 0);
    assert_map(&t, "10000000-10006000 rw-p ac\n");
    assert_ret(set_name(&t, BASE, P(6), ""), 0);
    assert_map(&t, "10000000-10006000 rw-p ac [anon:]\n");
    vt_teardown(&t);
}

static void test_name_errors(void **state)
{
    char longest[VMK_VMA_NAME_MAX + 1];
    struct vt t;

    (void)state;
    setup_names(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_map_file(&t, BASE + P(4), P(2), VT_RW, VMK_MAP_PRIVATE, vt_file(&t, 1), 0);
    memset(longest, 'x', sizeof(longest));
    longest[VMK_VMA_NAME_MAX] = '\0';
    assert_ret(set_name(&t, BASE, P(1), longest), -VMK_EINVAL);
    longest[VMK_VMA_NAME_MAX - 1] = '\0';
    assert_ret(set_name(&t, BASE, P(1), longest), 0);
    for (const char *bad = "[]\\$`\n\x7f"; *bad != '\0'; bad++) {
        const char text[2] = {*bad, '\0'};

        assert_ret(set_name(&t, BASE, P(1), text), -VMK_EINVAL);
    }
    assert_ret(set_name(&t, BASE + 1, P(1), "x"), -VMK_EINVAL);
    assert_ret(set_name(&t, BASE, 0 - P(1), "x"), -VMK_EINVAL);
    assert_ret(set_name(&t, BASE, 0, "x"), 0);
    assert_ret(set_name(&t, BASE, P(3), "x"), -VMK_ENOMEM); /* what is mapped gets it */
    assert_ret(set_name(&t, BASE, P(5), "y"), -VMK_EBADF);
    assert_map(&t, "10000000-10002000 rw-p ac [anon:y]\n10004000-10006000 rw-p ac pgoff=0 file=1\n");
    assert_ret(vt_mmap_file(&t, BASE, P(2), VT_RW, VMK_MAP_SHARED | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED, NULL, 0), BASE);
    assert_ret(set_name(&t, BASE, P(2), "shared"), 0);
    vt_teardown(&t);

    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    assert_ret(set_name(&t, BASE, P(2), "x"), t.system_options.settings.anon_vma_name != 0 ? 0 : -VMK_EINVAL);
    vt_teardown(&t);
}

static void test_name_map_count(void **state)
{
    struct vt t;
    struct vmk_sysctl sysctl;

    (void)state;
    setup_names(&t);
    vt_anon(&t, BASE, P(6), VT_RW);
    vmk_system_sysctl(t.system, &sysctl);
    sysctl.max_map_count = 2;
    assert_int_equal(vmk_system_set_sysctl(t.system, &sysctl), 0);
    assert_ret(set_name(&t, BASE + P(2), P(2), "x"), -VMK_EAGAIN);
    assert_ret(set_name(&t, BASE + P(3), P(1), "x"), -VMK_EAGAIN);
    vt_teardown(&t);
}

/* ---- PR_SET_MM ---- */

static int64_t set_mm(struct vt *t, int field, uint64_t value)
{
    const struct vmk_set_mm_request request = {.field = field, .value = value};

    return vt_return(t, vmk_set_mm(t->mm, &request, &t->result));
}

static const struct vmk_mm_layout marks = {
    .start_code = 0x400000,
    .end_code = 0x401000,
    .start_data = 0x402000,
    .end_data = 0x403000,
    .start_brk = 0x500000,
    .brk = 0x510000,
    .start_stack = 0x7ffffffde000,
    .arg_start = 0x7ffffffde100,
    .arg_end = 0x7ffffffde200,
    .env_start = 0x7ffffffde200,
    .env_end = 0x7ffffffde300,
};

static void setup_marks(struct vt *t)
{
    vt_setup(t);
    vmk_mm_set_layout(t->mm, &marks);
    vmk_mm_set_capabilities(t->mm, VMK_CAP_SYS_RESOURCE);
    vt_anon(t, 0x7ffffffde000, P(1), VT_RW);
}

static void test_set_mm(void **state)
{
    const uint64_t top = (UINT64_C(1) << 47) - P(1);
    struct vt t;
    struct vmk_mm_layout layout;

    (void)state;
    setup_marks(&t);
    assert_ret(set_mm(&t, VMK_MM_END_CODE, top - 1), 0);
    assert_ret(set_mm(&t, VMK_MM_END_CODE, top), -VMK_EINVAL);
    assert_ret(set_mm(&t, VMK_MM_END_CODE, 0x400000), -VMK_EINVAL); /* code must not be empty, all else may */
    assert_ret(set_mm(&t, VMK_MM_START_DATA, 0x403000), 0);
    assert_ret(set_mm(&t, VMK_MM_START_DATA, 0x403001), -VMK_EINVAL);
    assert_ret(set_mm(&t, VMK_MM_END_DATA, 0x404000), 0);
    assert_ret(set_mm(&t, VMK_MM_START_CODE, 0xffff), -VMK_EINVAL);
    assert_ret(set_mm(&t, VMK_MM_START_CODE, 0x10000), 0);
    assert_ret(set_mm(&t, VMK_MM_START_BRK, 0x510001), -VMK_EINVAL);
    assert_ret(set_mm(&t, VMK_MM_START_BRK, 0x402000), 0); /* may lie in the data */
    assert_ret(set_mm(&t, VMK_MM_BRK, 0x600000), 0);
    assert_ret(set_mm(&t, VMK_MM_ARG_START, marks.arg_end + 1), -VMK_EINVAL);
    assert_ret(set_mm(&t, VMK_MM_ARG_START, marks.arg_end), 0);
    assert_ret(set_mm(&t, VMK_MM_ARG_END, marks.env_start), 0);
    assert_ret(set_mm(&t, VMK_MM_ENV_END, marks.env_start), 0);
    assert_ret(set_mm(&t, VMK_MM_ENV_START, marks.env_start), 0);
    assert_ret(set_mm(&t, VMK_MM_START_STACK, 0x20000), 0);
    assert_ret(set_mm(&t, VMK_MM_START_STACK, 0x7ffffffdf000), -VMK_EFAULT); /* nothing at or above it */
    assert_ret(set_mm(&t, 0, 0x20000), -VMK_EINVAL);
    assert_ret(set_mm(&t, 12, 0x20000), -VMK_EINVAL);
    vmk_mm_get_layout(t.mm, &layout);
    assert_int_equal(layout.end_code, top - 1);
    assert_int_equal(layout.start_code, 0x10000);
    assert_int_equal(layout.brk, 0x600000);
    assert_int_equal(layout.start_stack, 0x20000);
    vmk_mm_set_capabilities(t.mm, 0);
    assert_ret(set_mm(&t, 99, 0), -VMK_EPERM);
    vt_teardown(&t);
}

static void test_set_mm_limit(void **state)
{
    struct vt t;
    struct vmk_rlimits rlimits;

    (void)state;
    setup_marks(&t);
    vmk_mm_get_rlimits(t.mm, &rlimits);
    rlimits.data.soft = 0x11000 + 0x1000;
    vmk_mm_set_rlimits(t.mm, &rlimits);
    assert_ret(set_mm(&t, VMK_MM_BRK, 0x511000), 0);
    assert_ret(set_mm(&t, VMK_MM_BRK, 0x511001), -VMK_EINVAL); /* heap and data together, in bytes */
    assert_ret(set_mm(&t, VMK_MM_START_DATA, 0x401fff), -VMK_EINVAL);
    vt_teardown(&t);
}

/* ---- Options ---- */

static void test_options(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(vt_option(&t, VMK_OPTION_THP_DISABLE, 2), -VMK_EINVAL);
    assert_ret(vt_option(&t, VMK_OPTION_THP_DISABLE, VMK_THP_DISABLE_EXCEPT_ADVISED), 0);
    assert_ret(vt_option(&t, VMK_OPTION_THP_DISABLE, 0), 0);
    assert_ret(vt_option(&t, VMK_OPTION_PERSONALITY, VMK_READ_IMPLIES_EXEC), VMK_ADDR_NO_RANDOMIZE); /* the old one */
    assert_ret(vt_option(&t, VMK_OPTION_PERSONALITY, 0), VMK_READ_IMPLIES_EXEC);
    assert_int_equal(vt_option(&t, (enum vmk_option)99, 0), -VMK_ERR_MISUSE);
    vt_teardown(&t);
}

static void test_mdwe(void **state)
{
    const uint64_t gain = VMK_MDWE_REFUSE_EXEC_GAIN, all = VMK_MDWE_REFUSE_EXEC_GAIN | VMK_MDWE_NO_INHERIT;
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(vt_option(&t, VMK_OPTION_MDWE, VMK_MDWE_NO_INHERIT), -VMK_EINVAL);
    assert_ret(vt_option(&t, VMK_OPTION_MDWE, 4), -VMK_EINVAL);
    assert_ret(vt_option(&t, VMK_OPTION_MDWE, 0), 0);
    assert_ret(vt_option(&t, VMK_OPTION_MDWE, all), 0);
    assert_ret(vt_option(&t, VMK_OPTION_MDWE, all), 0);
    assert_ret(vt_option(&t, VMK_OPTION_MDWE, 0), -VMK_EPERM);
    assert_ret(vt_option(&t, VMK_OPTION_MDWE, gain), -VMK_EPERM);
    vt_anon(&t, BASE, P(2), VT_R);
    assert_ret(vt_mprotect(&t, BASE, P(1), VT_RX), -VMK_EACCES);
    assert_ret(vt_mmap_file(&t, BASE, P(2), VT_RW | VMK_PROT_EXEC, VT_FIXED, NULL, 0), -VMK_EACCES);
    vt_teardown(&t);

    vt_init(&t);
    t.system_options.settings.mdwe = 0;
    vt_open(&t);
    assert_ret(vt_option(&t, VMK_OPTION_MDWE, gain), -VMK_EINVAL);
    vt_teardown(&t);
}

/* Flags change where areas stand: those that come to look alike do not merge. */
static void test_memory_merge(void **state)
{
    const uint32_t shared = VMK_MAP_SHARED | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_MERGEABLE), 0);
    assert_ret(vt_mmap_file(&t, BASE + P(2), P(2), VT_RW, shared, NULL, 0), BASE + P(2));
    vt_map_file(&t, BASE + P(4), P(2), VT_R, VMK_MAP_PRIVATE, vt_file(&t, 1), 0);
    assert_ret(vt_option(&t, VMK_OPTION_MEMORY_MERGE, 0), 0); /* as it is: nothing is visited */
    assert_map(&t, "10000000-10001000 rw-p ac mg\n10001000-10002000 rw-p ac\n"
                   "10002000-10004000 rw-s pgoff=0 file=0\n10004000-10006000 r--p pgoff=0 file=1\n");
    assert_ret(vt_option(&t, VMK_OPTION_MEMORY_MERGE, 1), 0);
    assert_map(&t, "10000000-10001000 rw-p ac mg\n10001000-10002000 rw-p ac mg\n"
                   "10002000-10004000 rw-s pgoff=0 file=0\n10004000-10006000 r--p mg pgoff=0 file=1\n");
    vt_anon(&t, BASE + P(6), P(2), VT_RW);
    assert_ret(vt_madvise(&t, BASE + P(6), P(1), VMK_MADV_UNMERGEABLE), 0);
    assert_ret(vt_option(&t, VMK_OPTION_MEMORY_MERGE, 7), 0); /* on already */
    assert_map(&t, "10000000-10001000 rw-p ac mg\n10001000-10002000 rw-p ac mg\n"
                   "10002000-10004000 rw-s pgoff=0 file=0\n10004000-10006000 r--p mg pgoff=0 file=1\n"
                   "10006000-10007000 rw-p ac\n10007000-10008000 rw-p ac mg\n");
    assert_ret(vt_option(&t, VMK_OPTION_MEMORY_MERGE, 0), 0);
    assert_map(&t, "10000000-10001000 rw-p ac\n10001000-10002000 rw-p ac\n"
                   "10002000-10004000 rw-s pgoff=0 file=0\n10004000-10006000 r--p pgoff=0 file=1\n"
                   "10006000-10007000 rw-p ac\n10007000-10008000 rw-p ac\n");
    vt_teardown(&t);

    vt_init(&t);
    t.system_options.settings.ksm = 0;
    vt_open(&t);
    assert_ret(vt_option(&t, VMK_OPTION_MEMORY_MERGE, 1), -VMK_EINVAL);
    vt_teardown(&t);
}

/* Areas of /dev/zero get MERGEABLE only after merging was tried; huge pages never do. */
static void test_memory_merge_late(void **state)
{
    const uint32_t huge = VT_FIXED | VMK_MAP_HUGETLB | VMK_MAP_NORESERVE;
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(vt_option(&t, VMK_OPTION_MEMORY_MERGE, 1), 0);
    vt_map_file(&t, BASE, P(2), VT_RW, VMK_MAP_PRIVATE, vt_file_kind(&t, 1, VMK_OBJECT_ZERO, 0), 0);
    vt_map_file(&t, BASE + P(2), P(2), VT_RW, VMK_MAP_PRIVATE, t.files[0], P(2));
    assert_map(&t, "10000000-10002000 rw-p ac mg pgoff=0 file=1\n10002000-10004000 rw-p ac mg pgoff=2 file=1\n");
    assert_ret(vt_madvise(&t, BASE, P(2), VMK_MADV_UNMERGEABLE), 0);
    vt_map_file(&t, BASE + P(2), P(2), VT_RW, VMK_MAP_PRIVATE, t.files[0], P(2));
    assert_map(&t, "10000000-10004000 rw-p ac pgoff=0 file=1\n");
    assert_ret(vt_mmap_file(&t, BASE, P(512), VT_RW, huge, NULL, 0), BASE);
    assert_map(&t, "10000000-10200000 rw-p de nr ht pgoff=0 file=0\n");
    vt_teardown(&t);
}

/* ---- Protection keys ---- */

static int64_t pkey_alloc(struct vt *t, uint64_t flags, uint64_t rights)
{
    const struct vmk_pkey_request request = {.flags = flags, .rights = rights};

    return vt_return(t, vmk_pkey(t->mm, &request, &t->result));
}

static int64_t pkey_free(struct vt *t, int key)
{
    const struct vmk_pkey_request request = {.free = true, .pkey = key};

    return vt_return(t, vmk_pkey(t->mm, &request, &t->result));
}

static void test_pkeys(void **state)
{
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.settings.nr_pkeys = 16;
    vt_open(&t);
    assert_ret(pkey_alloc(&t, 1, 0), -VMK_EINVAL);
    assert_ret(pkey_alloc(&t, 0, 4), -VMK_EINVAL);
    for (int key = 1; key < 16; key++)
        assert_ret(pkey_alloc(&t, 0, 3), key);
    assert_ret(pkey_alloc(&t, 0, 0), -VMK_ENOSPC);
    /* With no key left for PROT_EXEC alone an area keeps its own. */
    const struct vmk_mprotect_request keyed = {.address = BASE, .len = P(1), .prot = VT_RW, .pkey = 3};
    const struct vmk_mprotect_request exec = {.address = BASE, .len = P(1), .prot = VMK_PROT_EXEC, .pkey = -1};
    vt_anon(&t, BASE, P(1), VT_RW);
    assert_int_equal(vmk_mprotect(t.mm, &keyed, NULL), 0);
    assert_int_equal(vmk_mprotect(t.mm, &exec, NULL), 0);
    assert_int_equal((vmki_find(t.mm, BASE)->flags & VMK_VM_PKEY_MASK) >> VMK_VM_PKEY_SHIFT, 3);
    assert_ret(pkey_free(&t, 16), -VMK_EINVAL);
    assert_ret(pkey_free(&t, -1), -VMK_EINVAL);
    assert_ret(pkey_free(&t, 7), 0);
    assert_ret(pkey_free(&t, 7), -VMK_EINVAL);
    vt_anon(&t, BASE, P(1), VMK_PROT_EXEC); /* takes the free key for itself */
    assert_ret(pkey_free(&t, 7), -VMK_EINVAL);
    assert_ret(pkey_alloc(&t, 0, 0), -VMK_ENOSPC);
    vt_teardown(&t);

    vt_setup(&t);
    assert_ret(pkey_alloc(&t, 0, 0), -VMK_EINVAL); /* a processor without keys */
    assert_ret(pkey_free(&t, 0), -VMK_EINVAL);
    vt_teardown(&t);
}

/* ---- Giving up, and failing allocations ---- */

static void test_abort(void **state)
{
    struct vt t;
    struct vmk_plan plan;
    struct vmk_mm_layout layout;
    const struct vmk_set_mm_request set_mm_request = {.field = VMK_MM_BRK, .value = 0x520000};
    const struct vmk_set_option_request option_request = {.option = VMK_OPTION_PERSONALITY, .value = 5};

    (void)state;
    setup_marks(&t);
    assert_int_equal(vmk_set_mm_prepare(t.mm, &set_mm_request, &plan), 0);
    vmk_plan_abort(&plan, -VMK_ENOMEM, &t.result);
    vmk_mm_get_layout(t.mm, &layout);
    assert_int_equal(layout.brk, marks.brk);
    assert_int_equal(vmk_set_option_prepare(t.mm, &option_request, &plan), 0);
    vmk_plan_abort(&plan, -VMK_ENOMEM, &t.result);
    assert_ret(vt_option(&t, VMK_OPTION_PERSONALITY, 0), VMK_ADDR_NO_RANDOMIZE);
    vt_teardown(&t);
}

static void prepare_area(struct vt *t)
{
    vt_anon(t, BASE, P(8), VT_RW);
}

static int64_t call_mbind(struct vt *t)
{
    return vt_mbind(t, BASE + P(2), P(2), VMK_MPOL_BIND, 1);
}

static int64_t call_merge(struct vt *t)
{
    return vt_option(t, VMK_OPTION_MEMORY_MERGE, 1);
}

static void test_failing_allocations(void **state)
{
    (void)state;
    assert_true(vt_fail_each(prepare_area, call_mbind, false) > 0);
    vt_fail_each(prepare_area, call_merge, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policy_modes),
        cmocka_unit_test(test_policy_nodes),
        cmocka_unit_test(test_policy_arguments),
        cmocka_unit_test(test_policy_holes),
        cmocka_unit_test(test_policy_equality),
        cmocka_unit_test(test_policy_hook),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_name_errors),
        cmocka_unit_test(test_name_map_count),
        cmocka_unit_test(test_set_mm),
        cmocka_unit_test(test_set_mm_limit),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_mdwe),
        cmocka_unit_test(test_memory_merge),
        cmocka_unit_test(test_memory_merge_late),
        cmocka_unit_test(test_pkeys),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_failing_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
