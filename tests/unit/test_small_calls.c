/* SPDX-License-Identifier: MIT */
/*
 * Calls that answer by rules over few numbers, asked with all numbers that matter, against the rules written down once more: prctl's
 * marks, names and options, keys, policies, modes of userfaultfd.
 */
#include "calls.h"

/* The value or the error. */
#define CALL(verb, t, request) result_of((t), vmk_##verb((t)->mm, (request), &(t)->result))
static int64_t result_of(const struct vt *t, int error)
{
    assert_int_equal(error, t->result.error);
    return error != 0 ? error : (int64_t)t->result.value;
}

/* ---- PR_SET_MM ---- */

static vmk_addr *mark_of(struct vmk_mm_layout *layout, int field)
{
    vmk_addr *const marks[] = {&layout->start_code,  &layout->end_code,  &layout->start_data, &layout->end_data,
                               &layout->start_stack, &layout->start_brk, &layout->brk,        &layout->arg_start,
                               &layout->arg_end,     &layout->env_start, &layout->env_end};

    return field >= 1 && field <= 11 ? marks[field - 1] : NULL;
}

/* As prctl(2) has it: the capability, the range, all marks together, then an area above. */
static int set_mm_model(struct vt *t, int field, vmk_addr value, vmk_addr last_end, uint64_t limit)
{
    struct vmk_mm_layout l = t->mm->layout;
    const vmk_addr low = P(16), high = UINT64_C(0x7ffffffff000);

    if (t->mm->capabilities != VMK_CAP_SYS_RESOURCE)
        return -VMK_EPERM;
    if (value < low || value >= high || mark_of(&l, field) == NULL)
        return -VMK_EINVAL;
    *mark_of(&l, field) = value;
    for (int i = 1; i <= 11; i++)
        if (*mark_of(&l, i) < low || *mark_of(&l, i) >= high)
            return -VMK_EINVAL;
    if (l.start_code >= l.end_code || l.start_data > l.end_data || l.start_brk > l.brk || l.arg_start > l.arg_end ||
        l.env_start > l.env_end)
        return -VMK_EINVAL;
    if (limit != UINT64_MAX && (l.brk - l.start_brk) + (l.end_data - l.start_data) > limit)
        return -VMK_EINVAL;
    const bool needs_area = field == VMK_MM_START_STACK || field == VMK_MM_ARG_START || field == VMK_MM_ARG_END ||
                            field == VMK_MM_ENV_START || field == VMK_MM_ENV_END;
    return needs_area && value >= last_end ? -VMK_EFAULT : 0;
}

/* Each mark at, just below and just above each other one, and at the bounds of the address space. */
static void set_mm(void **state)
{
    static const uint64_t limits[] = {UINT64_MAX, 0, 12, 13};
    struct vmk_mm_layout layout;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    vt_anon(&t, BASE + P(7), P(1), VT_RW);
    for (unsigned privileged = 0; privileged < 2; privileged++)
        for (size_t n = 0; n < VMKI_ARRAY_SIZE(limits); n++)
            for (int field = 0; field <= 12; field++)
                for (unsigned v = 0; v < 3 * 12 + 4; v++) {
                    struct vmk_rlimits rlimits;
                    vmk_addr value;

                    vmk_mm_get_layout(t.mm, &layout);
                    for (int i = 1; i <= 11; i++)
                        *mark_of(&layout, i) = BASE + 7 * (unsigned)i;
                    layout.end_data = layout.start_data + 5;
                    vmk_mm_set_layout(t.mm, &layout);
                    vmk_mm_get_rlimits(t.mm, &rlimits);
                    rlimits.data.soft = limits[n];
                    vmk_mm_set_rlimits(t.mm, &rlimits);
                    vmk_mm_set_capabilities(t.mm, privileged != 0 ? VMK_CAP_SYS_RESOURCE : 0);
                    if (v < 33)
                        value = *mark_of(&layout, (int)(v / 3) + 1) + v % 3 - 1;
                    else if (v < 36)
                        value = BASE + P(8) + v % 3 - 1;
                    else
                        value = v < 38 ? P(16) - v % 2 : t.mm->task_size - v % 2;
                    const int expected = set_mm_model(&t, field, value, BASE + P(8), limits[n]);
                    const struct vmk_set_mm_request request = {.field = field, .value = value};
                    assert_ret(CALL(set_mm, &t, &request), expected);
                    if (expected == 0)
                        *mark_of(&layout, field) = value;
                    assert_memory_equal(&t.mm->layout, &layout, sizeof(layout));
                }
    /* One mark that is out of range is enough, whichever it is. */
    for (int wrong = 0; wrong <= 11; wrong++)
        for (unsigned above = 0; above < 2; above++) {
            const int field = wrong == VMK_MM_START_STACK ? VMK_MM_BRK : VMK_MM_START_STACK;
            const struct vmk_set_mm_request request = {.field = field, .value = BASE + 7 * (unsigned)field};
            struct vmk_rlimits rlimits;

            vmk_mm_get_rlimits(t.mm, &rlimits);
            rlimits.data.soft = VMK_RLIM_INFINITY;
            vmk_mm_set_rlimits(t.mm, &rlimits);
            for (int i = 1; i <= 11; i++)
                *mark_of(&layout, i) = BASE + 7 * (unsigned)i;
            if (wrong != 0)
                *mark_of(&layout, wrong) = above != 0 ? t.mm->task_size : P(16) - 1;
            vmk_mm_set_layout(t.mm, &layout);
            assert_ret(CALL(set_mm, &t, &request), wrong != 0 ? -VMK_EINVAL : 0);
        }
    vt_teardown(&t);
    /* RLIMIT_DATA is none where limits are switched off. */
    vt_init(&t);
    t.system_options.settings.enforce_limits = 0;
    t.mm_options.capabilities = VMK_CAP_SYS_RESOURCE;
    t.mm_options.rlimits.data.soft = 1;
    vt_open(&t);
    vmk_mm_set_layout(t.mm, &layout);
    for (int i = 1; i <= 11; i++)
        *mark_of(&t.mm->layout, i) = BASE + 7 * (unsigned)i;
    assert_ret(vmk_set_mm(t.mm, &(const struct vmk_set_mm_request){.field = VMK_MM_BRK, .value = BASE + P(1)}, NULL),
               0);
    vt_teardown(&t);
}

/* ---- Keys ---- */

struct keys {
    unsigned nr, taken;
    int exec_only;
};

static int64_t key_model(struct keys *keys, bool frees, int key, uint64_t flags, uint64_t rights)
{
    if (frees) {
        if (key < 0 || key >= (int)keys->nr || key == keys->exec_only || (keys->taken >> key & 1) == 0)
            return -VMK_EINVAL;
        keys->taken &= ~(1u << key);
        return 0;
    }
    if (flags != 0 || rights > 3)
        return -VMK_EINVAL;
    if (keys->nr == 0) { /* a processor without keys: the second call finds none left */
        const bool again = (keys->taken & 2) != 0;
        keys->taken |= 2;
        return again ? -VMK_ENOSPC : -VMK_EINVAL;
    }
    for (key = 0; key < (int)keys->nr; key++)
        if ((keys->taken >> key & 1) == 0) {
            keys->taken |= 1u << key;
            return key;
        }
    return -VMK_ENOSPC;
}

/* Every row of four calls, with and without a key that PROT_EXEC has taken. */
static void keys(void **state)
{
    static const struct vmk_pkey_request calls[] = {{.rights = 0},
                                                    {.rights = 3},
                                                    {.rights = 4},
                                                    {.flags = 1},
                                                    {.free = true, .pkey = -1},
                                                    {.free = true, .pkey = 0},
                                                    {.free = true, .pkey = 1},
                                                    {.free = true, .pkey = 2},
                                                    {.free = true, .pkey = 3},
                                                    {.free = true, .pkey = 0, .flags = 1, .rights = 9}};
    enum { NR = sizeof(calls) / sizeof(calls[0]) };
    static const unsigned nr_keys[] = {0, 1, 3, 16};

    (void)state;
    for (size_t k = 0; k < 4; k++) {
        struct vt t;

        vt_init(&t);
        t.system_options.settings.nr_pkeys = nr_keys[k];
        vt_open(&t);
        for (int exec_only = -1; exec_only < 2; exec_only += 2)
            for (unsigned row = 0; row < NR * NR * NR * NR; row++) {
                struct keys model = {.nr = nr_keys[k], .taken = exec_only < 0 ? 1 : 3, .exec_only = exec_only};

                t.mm->pkeys_allocated = model.taken;
                t.mm->pkey_exec_only = exec_only;
                for (unsigned i = 0, rest = row; i < 4; i++, rest /= NR) {
                    const struct vmk_pkey_request *call = &calls[rest % NR];
                    struct vmk_result result;
                    const int error = vmk_pkey(t.mm, call, &result);
                    const int64_t is = error != 0 ? error : (int64_t)result.value;

                    assert_int_equal(is, key_model(&model, call->free, call->pkey, call->flags, call->rights));
                    assert_int_equal(t.mm->pkeys_allocated, model.taken);
                }
            }
        t.mm->pkey_exec_only = -1;
        vt_teardown(&t);
    }
}

/* ---- Policies ---- */

struct policy {
    uint32_t mode;
    uint64_t nodes;
};

static uint64_t lowest_bit(uint64_t nodes)
{
    uint64_t bit = 1;

    while ((nodes & bit) == 0)
        bit <<= 1;
    return bit;
}

/* As set_mempolicy(2) has it: `existing` are the nodes of the machine. */
static int policy_model(uint32_t mode, uint64_t nodes, uint64_t max_node, uint64_t existing, bool weighted,
                        struct policy *policy)
{
    const bool balances = (mode & VMK_MPOL_F_NUMA_BALANCING) != 0;
    const bool is_static = (mode & VMK_MPOL_F_STATIC_NODES) != 0, is_relative = (mode & VMK_MPOL_F_RELATIVE_NODES) != 0;
    const uint32_t kind = mode & ~(VMK_MPOL_F_NUMA_BALANCING | VMK_MPOL_F_STATIC_NODES | VMK_MPOL_F_RELATIVE_NODES);

    *policy = (struct policy){0, 0};
    if (kind > (weighted ? 6u : 5u) || (is_static && is_relative))
        return -VMK_EINVAL;
    if (balances && kind != VMK_MPOL_BIND && kind != VMK_MPOL_PREFERRED_MANY)
        return -VMK_EINVAL;
    if (max_node > 8 * 4096 + 1)
        return -VMK_EINVAL;
    if (max_node <= 1)
        nodes = 0;
    else if (max_node <= 64) /* the last bit does not count */
        nodes &= UINT64_MAX >> (65 - max_node);
    if (kind == VMK_MPOL_DEFAULT)
        return nodes == 0 ? 0 : -VMK_EINVAL;
    if (nodes == 0) {
        if ((kind != VMK_MPOL_LOCAL && kind != VMK_MPOL_PREFERRED) || is_static || is_relative)
            return -VMK_EINVAL;
        policy->mode = VMK_MPOL_LOCAL;
        return 0;
    }
    if (kind == VMK_MPOL_LOCAL || (!is_relative && (nodes & existing) == 0))
        return -VMK_EINVAL;
    policy->mode = mode;
    policy->nodes = nodes;
    if (!is_static && !is_relative) {
        policy->nodes &= existing;
        if (kind == VMK_MPOL_PREFERRED)
            policy->nodes = lowest_bit(policy->nodes);
    }
    return 0;
}

static void policies_of(unsigned nr_nodes, bool weighted)
{
    static const uint64_t masks[] = {0, 1, 2, 3, 6, 8, UINT64_C(1) << 62, UINT64_C(1) << 63, UINT64_MAX};
    static const uint64_t max_nodes[] = {0, 1, 2, 3, 4, 63, 64, 65, 66, 8 * 4096 + 1, 8 * 4096 + 2};
    const uint64_t existing = nr_nodes == 64 ? UINT64_MAX : (UINT64_C(1) << nr_nodes) - 1;
    struct vt t;

    vt_init(&t);
    vmk_settings_init(&t.system_options.settings, weighted ? VMK_LINUX_VERSION(6, 9) : VMK_LINUX_VERSION(6, 8),
                      VMK_ARCH_X86_64);
    t.system_options.settings.nr_nodes = nr_nodes;
    vt_open(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    for (uint32_t kind = 0; kind < 9; kind++)
        for (uint32_t flags = 0; flags < 8; flags++)
            for (size_t m = 0; m < VMKI_ARRAY_SIZE(masks); m++)
                for (size_t x = 0; x < VMKI_ARRAY_SIZE(max_nodes); x++) {
                    const struct vmk_set_mempolicy_request whole = {
                        .mode = kind | flags << 13, .nodes = masks[m], .max_node = max_nodes[x]};
                    const struct vmk_mbind_request bind = {.address = BASE,
                                                           .len = P(1),
                                                           .mode = whole.mode,
                                                           .nodes = whole.nodes,
                                                           .max_node = whole.max_node};
                    const struct vmk_mbind_request none = {.address = BASE, .len = P(1)};
                    struct policy policy;
                    int expected = policy_model(whole.mode, whole.nodes, whole.max_node, existing, weighted, &policy);

                    assert_ret(CALL(set_mempolicy, &t, &whole), expected);
                    assert_ret(CALL(mbind, &t, &bind), expected);
                    const struct vmki_ext *ext = vmki_find(t.mm, BASE)->ext;
                    if (expected != 0 || (policy.mode == 0 && policy.nodes == 0)) {
                        assert_null(ext);
                        continue;
                    }
                    assert_int_equal(ext->policy.mode, policy.mode);
                    assert_int_equal(ext->policy.nodes, policy.nodes);
                    assert_ret(CALL(mbind, &t, &none), 0);
                }
    vt_teardown(&t);
}

/* mbind's flags: three that are known, of which the last is for who may do so. */
static void policy_flags(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    for (unsigned privileged = 0; privileged < 2; privileged++)
        for (uint32_t flags = 0; flags < 16; flags++) {
            const struct vmk_mbind_request request = {.address = BASE, .len = P(1), .flags = flags};
            const int allowed = (flags & VMK_MPOL_MF_MOVE_ALL) == 0 || privileged != 0 ? 0 : -VMK_EPERM;

            vmk_mm_set_capabilities(t.mm, privileged != 0 ? VMK_CAP_SYS_NICE : 0);
            assert_ret(CALL(mbind, &t, &request), flags < 8 ? allowed : -VMK_EINVAL);
        }
    vt_teardown(&t);
}

static void policies(void **state)
{
    (void)state;
    policies_of(1, true);
    policies_of(2, true);
    policies_of(3, false);
    policies_of(64, true);
}

/* ---- Names ---- */

/* Each byte by itself, first and last; and each length. */
static void names(void **state)
{
    char text[96];
    struct vmk_name_request request = {.address = BASE, .len = P(1), .text = text};
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.settings.anon_vma_name = 1;
    vt_open(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    for (unsigned byte = 1; byte < 256; byte++)
        for (unsigned last = 0; last < 2; last++) {
            const bool good = byte >= ' ' && byte <= '~' && strchr("[]\\$`", (int)byte) == NULL;
            char is[128] = "";

            snprintf(text, sizeof(text), last != 0 ? "x%c" : "%cx", (int)byte);
            assert_ret(CALL(name, &t, &request), good ? 0 : -VMK_EINVAL);
            if (!good)
                continue;
            assert_string_equal(vmki_find(t.mm, BASE)->ext->name, text);
            vmk_vma_name(vmki_find(t.mm, BASE), is, sizeof(is));
            assert_non_null(strstr(is, text));
        }
    for (size_t len = 0; len < 90; len++) {
        memset(text, 'n', len);
        text[len] = '\0';
        assert_ret(CALL(name, &t, &request), len < VMK_VMA_NAME_MAX ? 0 : -VMK_EINVAL);
        if (len < VMK_VMA_NAME_MAX) {
            assert_int_equal(vmki_find(t.mm, BASE)->ext->name_size, len + 1);
            assert_string_equal(vmki_find(t.mm, BASE)->ext->name, text);
        }
    }
    request.text = NULL;
    assert_ret(CALL(name, &t, &request), 0);
    assert_null(vmki_find(t.mm, BASE)->ext);
    vt_teardown(&t);
}

/* ---- Options ---- */

static int option_model(struct vmk_mm *mm, uint64_t version, enum vmk_option option, uint64_t value)
{
    switch (option) {
    case VMK_OPTION_THP_DISABLE:
        return value <= 1 || (value == 3 && version >= VMK_LINUX_VERSION(6, 18)) ? 0 : -VMK_EINVAL;
    case VMK_OPTION_MDWE:
        if (version < VMK_LINUX_VERSION(6, 3) || (value != 0 && value != 1 && value != 3) ||
            (value == 3 && version < VMK_LINUX_VERSION(6, 6)))
            return -VMK_EINVAL;
        return mm->mdwe != 0 && value != mm->mdwe ? -VMK_EPERM : 0;
    case VMK_OPTION_MEMORY_MERGE:
        return version >= VMK_LINUX_VERSION(6, 4) ? 0 : -VMK_EINVAL;
    case VMK_OPTION_PERSONALITY:
        return 0;
    }
    return -VMK_ERR_MISUSE;
}

static void options(void **state)
{
    static const unsigned minors[] = {1, 2, 3, 4, 5, 6, 17, 18};
    static const uint32_t before[] = {0, 1, 3};

    (void)state;
    for (size_t i = 0; i < VMKI_ARRAY_SIZE(minors); i++) {
        const uint64_t version = VMK_LINUX_VERSION(6, minors[i]);
        struct vt t;

        vt_init(&t);
        vmk_settings_init(&t.system_options.settings, version, VMK_ARCH_X86_64);
        vt_open(&t);
        for (int option = 0; option < 5; option++)
            for (uint64_t value = 0; value < 6; value++)
                for (size_t b = 0; b < 3; b++) {
                    const struct vmk_set_option_request request = {.option = (enum vmk_option)option, .value = value};
                    struct vmk_result result;

                    t.mm->mdwe = before[b];
                    t.mm->thp_disable = 7;
                    t.mm->personality = 0x40000;
                    t.mm->def_flags = VMK_VM_LOCKED;
                    const int expected = option_model(t.mm, version, request.option, value);
                    const bool done = expected == 0;
                    assert_ret(vmk_set_option(t.mm, &request, &result), expected);
                    assert_int_equal(result.value, done && option == VMK_OPTION_PERSONALITY ? 0x40000 : 0);
                    assert_int_equal(t.mm->mdwe, done && option == VMK_OPTION_MDWE ? value : before[b]);
                    assert_int_equal(t.mm->thp_disable, done && option == VMK_OPTION_THP_DISABLE ? value : 7);
                    assert_int_equal(t.mm->personality, done && option == VMK_OPTION_PERSONALITY ? value : 0x40000);
                    assert_int_equal(
                        t.mm->def_flags,
                        VMK_VM_LOCKED |
                            (done && option == VMK_OPTION_MEMORY_MERGE && value != 0 ? VMK_VM_MERGEABLE : 0));
                }
        t.mm->def_flags = 0;
        vt_teardown(&t);
    }
}

/* ---- Special mappings ---- */

/* Named or not, with operations or not, in every setting that counts: flags, charge, limits, and what hangs of it. */
static void specials(void **state)
{
    static const struct vmk_vm_ops ops = {.size = sizeof(ops)};
    static const vmk_vm_flags asked[] = {VMK_VM_READ | VMK_VM_EXEC | VMK_VM_MAY_ACCESS,
                                         VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS,
                                         VMK_VM_READ | VMK_VM_WRITE | VMK_VM_NORESERVE};

    (void)state;
    for (unsigned set = 0; set < 64; set++)
        for (size_t f = 0; f < VMKI_ARRAY_SIZE(asked); f++) {
            const bool has_name = (set & 1) != 0, has_ops = (set & 2) != 0, named = has_name || has_ops;
            const bool sealed = (set & 8) != 0, merges = (set & 16) != 0, limited = (set & 32) != 0;
            const bool charged = !named && f == 1;
            struct vmk_map_special_request request = {.address = BASE, .len = P(3) - 1, .flags = asked[f]};
            vmk_vm_flags expected = asked[f] | VMK_VM_SOFTDIRTY;
            struct vmk_rlimits rlimits;
            struct vmk_plan plan;
            struct vmk_edit edit;
            struct vt t;

            vt_init(&t);
            t.system_options.settings.arch = VMK_ARCH_ARM64;
            t.system_options.settings.mte = 1;
            t.system_options.settings.soft_dirty = 1;
            t.system_options.settings.seal_system = sealed;
            vt_open(&t);
            t.mm->def_flags = VMK_VM_LOCKED | VMK_VM_LOCKONFAULT | (merges ? VMK_VM_MERGEABLE : 0);
            request.special_name = has_name ? "[x]" : NULL;
            request.ops = has_ops ? &ops : NULL;
            request.private_data = (set & 4) != 0 ? &t : NULL;
            vmk_mm_get_rlimits(t.mm, &rlimits);
            rlimits.as.soft = limited ? P(3) - 1 : P(3);
            vmk_mm_set_rlimits(t.mm, &rlimits);
            if (named)
                expected |=
                    VMK_VM_DONTEXPAND | (sealed && has_name ? VMK_VM_SEALED : 0) | (merges ? VMK_VM_MERGEABLE : 0);
            else
                expected |= VMK_VM_LOCKED_MASK | VMK_VM_MTE_ALLOWED | (merges ? VMK_VM_MERGEABLE : 0) |
                            (charged ? VMK_VM_ACCOUNT : 0);
            if (limited && !named) {
                assert_ret(CALL(map_special, &t, &request), -VMK_ENOMEM);
                assert_map(&t, "");
                assert_int_equal(vmk_system_committed(t.system), 0);
                t.mm->def_flags = 0;
                vt_teardown(&t);
                continue;
            }
            assert_int_equal(vmk_map_special_prepare(t.mm, &request, &plan), 0);
            assert_true(vmk_plan_next_edit(&plan, &edit));
            assert_int_equal(edit.kind, VMK_EDIT_MAP);
            assert_int_equal(edit.start, BASE);
            assert_int_equal(edit.end, BASE + P(3));
            assert_int_equal(edit.prot, f == 0 ? VT_RX : VT_RW);
            assert_false(vmk_plan_next_edit(&plan, &edit));
            assert_int_equal(vmk_plan_commit(&plan, &t.result), VMK_PLAN_DONE);
            assert_int_equal(t.result.value, BASE);
            struct vmk_vma *vma = vmki_find(t.mm, BASE);
            assert_int_equal(vma->end, BASE + P(3));
            /* MERGEABLE is not for what is special. */
            if (named)
                expected &= ~VMK_VM_MERGEABLE;
            assert_int_equal(vma->flags, expected);
            assert_int_equal(vmki_vma_pgoff_at(t.mm, vma, BASE), named ? 0 : BASE / VT_PAGE);
            assert_ptr_equal(vmk_vma_ops(vma), request.ops);
            assert_ptr_equal(vmk_vma_private_data(vma), request.private_data);
            assert_true((vma->ext != NULL) == (named || request.private_data != NULL));
            assert_int_equal(vmk_system_committed(t.system), charged ? 3 : 0);
            t.mm->def_flags = 0;
            vt_validate(&t);
            vt_teardown(&t);
        }
}

/* ---- shmat ---- */

/* Where a segment goes, page by page and between them, beside an area and at the ends of the address space. */
static void shmat_addresses(void **state)
{
    const vmk_addr top = UINT64_C(0x7ffffffff000);
    const vmk_addr bases[] = {0, P(16), BASE, top - P(4), UINT64_MAX - P(8) + 1};

    (void)state;
    for (size_t b = 0; b < VMKI_ARRAY_SIZE(bases); b++)
        for (unsigned half = 0; half < 16; half++)
            for (unsigned flags = 0; flags < 4; flags++) {
                const bool rounds = (flags & 1) != 0, replaces = (flags & 2) != 0;
                vmk_addr address = bases[b] + half * (VT_PAGE / 2);
                const vmk_addr rounded = address / VT_PAGE * VT_PAGE, end = rounded + P(2);
                const bool covers = rounded < BASE + P(5) && end > BASE + P(4);
                struct vmk_shmat_request request = {.address = address,
                                                    .size = P(2),
                                                    .flags =
                                                        (rounds ? VMK_SHM_RND : 0) | (replaces ? VMK_SHM_REMAP : 0)};
                int64_t expected = (int64_t)rounded;
                struct vt t;

                vt_setup(&t);
                vt_anon(&t, BASE + P(4), P(1), VT_RW);
                request.file = vt_file_kind(&t, 1, VMK_OBJECT_SHMEM, P(2));
                if (address == 0)
                    expected = replaces ? -VMK_EINVAL : (int64_t)(UINT64_C(0x7ffff7fff000) - P(2));
                else if (rounded != address && !rounds)
                    expected = -VMK_EINVAL;
                else if (rounded == 0)
                    expected = replaces ? -VMK_EINVAL : -VMK_EPERM; /* below the least address */
                else if (!replaces && (end < rounded || covers))
                    expected = -VMK_EINVAL;
                else if (rounded > top - P(2))
                    expected = -VMK_ENOMEM;
                else if (rounded < P(16))
                    expected = -VMK_EPERM;
                assert_ret(vt_return(&t, vmk_shmat(t.mm, &request, &t.result)), expected);
                assert_int_equal(t.mm->tree.nr_entries, expected < 0 || covers ? 1 : 2);
                vt_teardown(&t);
            }
}

/* ---- Modes of userfaultfd ---- */

static void uffd_modes(void **state)
{
    (void)state;
    for (unsigned has = 0; has < 8; has++) {
        struct vt t;

        vt_init(&t);
        t.system_options.settings.userfaultfd = has & 1;
        t.system_options.settings.uffd_wp = has >> 1 & 1;
        t.system_options.settings.uffd_minor = has >> 2 & 1;
        vt_open(&t);
        assert_ret(vt_mmap_file(&t, BASE, P(2), VT_RW, VMK_MAP_SHARED | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED, NULL, 0),
                   BASE);
        for (uint64_t mode = 0; mode < 16; mode++) {
            struct vmk_uffd_request request = {
                .action = VMK_UFFD_REGISTER, .context = 3, .mode = mode, .address = BASE, .len = P(1)};
            const bool good = (has & 1) != 0 && mode != 0 && mode < 8 &&
                              ((mode & VMK_UFFD_MODE_WP) == 0 || (has & 2) != 0) &&
                              ((mode & VMK_UFFD_MODE_MINOR) == 0 || (has & 4) != 0);

            assert_ret(CALL(uffd, &t, &request), good ? 0 : -VMK_EINVAL);
            const struct vmk_vma *vma = vmki_find(t.mm, BASE);
            const vmk_vm_flags flags = ((mode & VMK_UFFD_MODE_MISSING) != 0 ? VMK_VM_UFFD_MISSING : 0) |
                                       ((mode & VMK_UFFD_MODE_WP) != 0 ? VMK_VM_UFFD_WP : 0) |
                                       ((mode & VMK_UFFD_MODE_MINOR) != 0 ? VMK_VM_UFFD_MINOR : 0);
            assert_int_equal(vma->flags & VMK_VM_UFFD, good ? flags : 0);
            request.action = VMK_UFFD_UNREGISTER;
            assert_ret(CALL(uffd, &t, &request), 0);
            assert_int_equal(vmki_find(t.mm, BASE)->flags & VMK_VM_UFFD, 0);
            assert_int_equal(t.mm->tree.nr_entries, 1);
        }
        vt_teardown(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_mm),       cmocka_unit_test(keys),     cmocka_unit_test(policies),
        cmocka_unit_test(policy_flags), cmocka_unit_test(names),    cmocka_unit_test(options),
        cmocka_unit_test(uffd_modes),   cmocka_unit_test(specials), cmocka_unit_test(shmat_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
