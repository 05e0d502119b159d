/* SPDX-License-Identifier: MIT */
/*
 * mprotect and pkey_mprotect against a plain model of pages: two areas of many kinds side by side with holes around them, with
 * every protection, key and range, in processes that differ in what the processor knows, in their personality, in which keys
 * are taken and in what PR_SET_MDWE refuses. The model knows no areas: it goes through the pages, up to the first that refuses.
 */
#include "calls.h"
#include "vmakit/backend.h"
#include "vmakit/state.h"

enum { NR_PAGES = 7, FIRST = 1, BORDER = 4, LAST = 6 }; /* the areas: [1, 4) and [4, 6) */

struct model_page {
    bool is_mapped, is_anon, has_anon_vma, has_hook;
    vmk_vm_flags flags;
    unsigned nr_edits;
    vmk_vm_flags edit_flags;
};

struct model {
    struct vt t;
    struct model_page pages[NR_PAGES];
    uint64_t seed;
    bool bti, mte, has_backend, implies_exec;
    unsigned nr_pkeys, pkeys_allocated;
    int exec_only;
    uint32_t mdwe;
    uint64_t committed;
};

static struct model m;

static uint64_t random_below(uint64_t n)
{
    m.seed = m.seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (m.seed >> 33) % n;
}

/* ---- Areas ---- */

struct area_kind {
    vmk_vm_flags flags;
    bool is_file, has_hook;
};
#define ALL VMK_VM_MAY_ACCESS
#define RW  (VMK_VM_READ | VMK_VM_WRITE)
static const struct area_kind area_kinds[] = {
    {RW | ALL | VMK_VM_ACCOUNT, false, false},
    {VMK_VM_READ | ALL, false, false},
    {VMK_VM_READ | ALL | VMK_VM_NORESERVE, false, false},
    {VMK_VM_READ | VMK_VM_MAYREAD | VMK_VM_MAYWRITE, false, false},
    {0, false, false},
    {VMK_VM_EXEC | ALL, false, false},
    {RW | ALL | VMK_VM_ACCOUNT | VMK_VM_GROWSDOWN, false, false},
    {RW | ALL | VMK_VM_ACCOUNT | VMK_VM_GROWSUP, false, false},
    {RW | ALL | VMK_VM_ACCOUNT | VMK_VM_SEALED, false, false},
    {VMK_VM_READ | ALL | VMK_VM_MTE_ALLOWED, false, false},
    {RW | ALL | VMK_VM_ACCOUNT | VMK_VM_BTI, false, false},
    {VMK_VM_READ | ALL | VMK_VM_LOCKED, false, false},
    {VMK_VM_READ | ALL | VMK_VM_LOCKED | VMK_VM_LOCKONFAULT, false, false},
    {RW | ALL | VMK_VM_LOCKED | VMK_VM_ACCOUNT, false, false},
    {RW | ALL | VMK_VM_ACCOUNT | UINT64_C(3) << VMK_VM_PKEY_SHIFT, false, false},
    {VMK_VM_EXEC | ALL | UINT64_C(2) << VMK_VM_PKEY_SHIFT, false, false},
    {VMK_VM_EXEC | ALL | UINT64_C(1) << VMK_VM_PKEY_SHIFT, false, false},
    {VMK_VM_READ | ALL | VMK_VM_SHARED | VMK_VM_MAYSHARE, true, false},
    {VMK_VM_READ | ALL | VMK_VM_SHARED | VMK_VM_MAYSHARE | VMK_VM_LOCKED, true, false},
    {VMK_VM_READ | ALL | VMK_VM_LOCKED, true, false},
    {RW | ALL | VMK_VM_ACCOUNT, true, false},
    {RW | ALL, false, true},
};
enum { NR_KINDS = sizeof(area_kinds) / sizeof(area_kinds[0]) };

/* Calls of the hook: as they came, and as the model has them. */
struct hook_calls {
    struct {
        vmk_addr start, end;
        vmk_vm_flags flags;
    } call[2];
    unsigned nr;
};
static struct hook_calls asked, to_ask;

static void note_hook(struct hook_calls *calls, vmk_addr start, vmk_addr end, vmk_vm_flags flags)
{
    assert_true(calls->nr < 2);
    calls->call[calls->nr].start = start;
    calls->call[calls->nr].end = end;
    calls->call[calls->nr++].flags = flags;
}

/* No code in this driver's memory. */
static int refuse_exec(struct vmk_vma *vma, vmk_addr start, vmk_addr end, vmk_vm_flags flags)
{
    (void)vma;
    note_hook(&asked, start, end, flags);
    return (flags & VMK_VM_EXEC) != 0 ? -VMK_ENOSPC : 0;
}

static void make_area(unsigned first, unsigned last, const struct area_kind *kind, bool touched)
{
    static const struct vmk_vm_ops ops = {.size = sizeof(ops), .mprotect = refuse_exec};
    struct vmk_import_area area = {.start = BASE + P(first),
                                   .end = BASE + P(last),
                                   .flags = kind->flags,
                                   .file = kind->is_file ? vt_file(&m.t, 1) : NULL,
                                   .anon_vma = touched ? VMK_ANON_YES : VMK_ANON_NO};

    struct vmk_vma_info info = {.size = sizeof(info)};

    if (kind->has_hook) {
        area.ops = &ops;
        area.special_name = "[driver]";
    }
    assert_int_equal(vmk_mm_import(m.t.mm, &area), 0);
    assert_int_equal(vmk_mm_lookup(m.t.mm, area.start, &info), 0); /* with what an area gets in any case */
    for (unsigned i = first; i < last; i++)
        m.pages[i] = (struct model_page){.is_mapped = true,
                                         .is_anon = !kind->is_file && !kind->has_hook,
                                         .has_anon_vma = info.anon_vma != 0,
                                         .has_hook = kind->has_hook,
                                         .flags = info.flags};
}

static void begin_anew(void)
{
    vmk_mm_put(m.t.mm); /* a sealed area goes no other way */
    assert_int_equal(vmk_mm_create(m.t.system, &m.t.mm_options, &m.t.mm), 0);
    memset(m.pages, 0, sizeof(m.pages));
}

/* ---- The model ---- */

static int model_exec_only(void)
{
    for (int key = 1; m.exec_only < 0 && key < (int)m.nr_pkeys; key++)
        if ((m.pkeys_allocated & 1u << key) == 0) {
            m.pkeys_allocated |= 1u << key;
            m.exec_only = key;
        }
    return m.exec_only;
}

static uint64_t model_key(const struct model_page *page, uint64_t prot, int pkey)
{
    uint64_t own = page->flags >> VMK_VM_PKEY_SHIFT & 15;

    if (m.nr_pkeys == 0)
        return 0;
    if (pkey != -1)
        return (uint64_t)pkey;
    if (prot == VMK_PROT_EXEC && model_exec_only() > 0)
        return (uint64_t)m.exec_only;
    return m.exec_only > 0 && own == (uint64_t)m.exec_only ? 0 : own; /* no longer executable alone */
}

static vmk_vm_flags model_flags(const struct model_page *page, uint64_t prot, int pkey)
{
    const vmk_vm_flags replaced = VMK_VM_ACCESS | VMK_VM_BTI | VMK_VM_MTE | UINT64_C(15) << VMK_VM_PKEY_SHIFT;
    vmk_vm_flags flags = page->flags & ~replaced;

    flags |= model_key(page, prot, pkey) << VMK_VM_PKEY_SHIFT;
    if (m.implies_exec && (prot & VMK_PROT_READ) != 0 && (page->flags & VMK_VM_MAYEXEC) != 0)
        prot |= VMK_PROT_EXEC;
    flags |= prot & 7;
    flags |= (prot & VMK_PROT_BTI) != 0 ? VMK_VM_BTI : 0;
    flags |= (prot & VMK_PROT_MTE) != 0 ? VMK_VM_MTE : 0;
    return flags;
}

/* The area of a page is a run of pages that began as one. */
static unsigned model_area_start(unsigned i)
{
    return i < BORDER ? FIRST : BORDER;
}

static unsigned model_area_end(unsigned i)
{
    return i < BORDER ? BORDER : LAST;
}

static int model_refuses(const struct model_page *page, vmk_vm_flags flags, unsigned first, unsigned last)
{
    unsigned i = (unsigned)(page - m.pages), end = model_area_end(i) < last ? model_area_end(i) : last;

    for (unsigned bit = 0; bit < 3; bit++)
        if ((flags >> bit & 1) != 0 && (flags >> (bit + 4) & 1) == 0)
            return -VMK_EACCES;
    if ((m.mdwe & VMK_MDWE_REFUSE_EXEC_GAIN) != 0 && (flags & VMK_VM_EXEC) != 0 &&
        ((flags & VMK_VM_WRITE) != 0 || (page->flags & VMK_VM_EXEC) == 0))
        return -VMK_EACCES;
    if ((flags & VMK_VM_MTE) != 0 && (flags & VMK_VM_MTE_ALLOWED) == 0)
        return -VMK_EINVAL;
    if (page->has_hook && (i == first || i == model_area_start(i)))
        note_hook(&to_ask, BASE + P(i), BASE + P(end), flags);
    if (page->has_hook && (flags & VMK_VM_EXEC) != 0)
        return -VMK_ENOSPC;
    return (page->flags & VMK_VM_SEALED) != 0 ? -VMK_EPERM : 0;
}

static void model_change(struct model_page *page, vmk_vm_flags flags)
{
    const vmk_vm_flags free_of_charge = VMK_VM_WRITE | VMK_VM_SHARED | VMK_VM_NORESERVE | VMK_VM_ACCOUNT;
    bool fills = (flags & VMK_VM_WRITE) != 0 && (page->flags & (VMK_VM_WRITE | VMK_VM_SHARED)) == 0 &&
                 (page->flags & VMK_VM_LOCKED) != 0;

    if ((flags & VMK_VM_WRITE) != 0 && (page->flags & free_of_charge) == 0) {
        flags |= VMK_VM_ACCOUNT;
        m.committed++;
    }
    if ((flags & VMK_VM_WRITE) == 0 && (flags & VMK_VM_ACCOUNT) != 0 && page->is_anon && !page->has_anon_vma) {
        flags &= ~VMK_VM_ACCOUNT;
        m.committed--;
    }
    page->edit_flags = flags;
    page->nr_edits++;
    page->flags = flags;
    if (fills && (flags & VMK_VM_LOCKONFAULT) == 0)
        page->has_anon_vma = true;
}

static bool model_is_bad(uint64_t prot, int pkey)
{
    uint64_t known = 15 | (m.bti ? VMK_PROT_BTI : 0u) | (m.mte ? VMK_PROT_MTE : 0u);

    return (prot & ~known) != 0 ||
           (pkey != -1 && (pkey < 0 || (unsigned)pkey >= m.nr_pkeys || (m.pkeys_allocated & 1u << pkey) == 0));
}

/* [*first, *last): what is to change, as MAP_GROWSDOWN and the like extend it. */
static int model_range(uint64_t grows, unsigned *first, unsigned *last)
{
    unsigned at = *first < FIRST ? FIRST : *first;

    if (*first >= LAST)
        return -VMK_ENOMEM;
    if (grows == VMK_PROT_GROWSDOWN) {
        if (model_area_start(at) >= *last)
            return -VMK_ENOMEM;
        *first = model_area_start(at);
        return (m.pages[at].flags & VMK_VM_GROWSDOWN) != 0 ? 0 : -VMK_EINVAL;
    }
    if (*first < FIRST)
        return -VMK_ENOMEM;
    if (grows == VMK_PROT_GROWSUP) {
        *last = model_area_end(at);
        return (m.pages[at].flags & VMK_VM_GROWSUP) != 0 ? 0 : -VMK_EINVAL;
    }
    return 0;
}

/* The result; *done: how many pages from the start on were treated. */
static int model_mprotect(vmk_addr address, uint64_t len, uint64_t prot, int pkey, unsigned *done)
{
    const uint64_t both = VMK_PROT_GROWSDOWN | VMK_PROT_GROWSUP;
    uint64_t grows = prot & both;
    unsigned first, last;
    int error;

    *done = 0;
    if (grows == both || address % P(1) != 0)
        return -VMK_EINVAL;
    if (len == 0)
        return 0;
    first = (unsigned)((address - BASE) / P(1));
    last = first + (unsigned)((len + P(1) - 1) / P(1));
    prot &= ~both;
    if (model_is_bad(prot, pkey))
        return -VMK_EINVAL;
    error = model_range(grows, &first, &last);
    for (unsigned i = first; error == 0 && i < last; i++) {
        struct model_page *page = &m.pages[i];
        vmk_vm_flags flags;

        if (i >= NR_PAGES || !page->is_mapped)
            return -VMK_ENOMEM;
        flags = model_flags(page, prot, pkey);
        error = model_refuses(page, flags, first, last);
        if (error != 0)
            return error;
        if (flags != page->flags)
            model_change(page, flags);
        ++*done;
    }
    return error;
}

/* ---- The engine beside it ---- */

static int note_edit(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    (void)context;
    (void)mm;
    if (edit->kind != VMK_EDIT_PROTECT)
        return 0;
    assert_int_equal(edit->prot, edit->flags & 7);
    for (vmk_addr at = edit->start; at < edit->end; at += P(1)) {
        struct model_page *page = &m.pages[(at - BASE) / P(1)];

        page->nr_edits -= 1; /* the model has counted it */
        assert_true(page->edit_flags == edit->flags);
    }
    return 0;
}

/* An area has one as soon as one of its pages has: two that merge share it. */
static bool model_has_anon_vma(vmk_addr start, vmk_addr end)
{
    bool has_one = false;

    for (vmk_addr at = start; at < end; at += P(1))
        has_one |= m.pages[(at - BASE) / P(1)].has_anon_vma;
    return has_one;
}

static void check_pages(const char *call)
{
    struct vmk_mm_stats stats = {.size = sizeof(stats)};
    uint64_t locked = 0, accounted = 0;

    for (unsigned i = 0; i < NR_PAGES; i++) {
        struct vmk_vma_info info = {.size = sizeof(info)};
        const struct model_page *page = &m.pages[i];
        bool mapped = vmk_mm_lookup(m.t.mm, BASE + P(i), &info) == 0;

        if (mapped != page->is_mapped || (mapped && info.flags != page->flags))
            fail_msg("%s: page %u has flags %llx, not %llx", call, i, (unsigned long long)info.flags,
                     (unsigned long long)page->flags);
        if (mapped && model_has_anon_vma(info.start, info.end) != (info.anon_vma != 0))
            fail_msg("%s: page %u has an anon_vma: %d", call, i, info.anon_vma != 0);
        if (m.has_backend && page->nr_edits != 0)
            fail_msg("%s: page %u: the backend heard of it %d times too often", call, i, -(int)page->nr_edits);
        locked += mapped && (page->flags & VMK_VM_LOCKED) != 0;
        accounted += mapped && (page->flags & VMK_VM_ACCOUNT) != 0;
    }
    vmk_mm_get_stats(m.t.mm, &stats);
    assert_int_equal(stats.locked_vm, locked);
    assert_int_equal(m.t.mm->accounted_vm, accounted);
    assert_int_equal(vmk_system_committed(m.t.system), accounted);
}

static void one_call(void)
{
    static const uint64_t prots[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 0x10, 0x11, 0x20, 0x21, 0x30, 0x40, 1u << 31};
    static const int pkeys[] = {-1, -1, -1, -1, 0, 1, 2, 3, 15, 16, -2, INT32_MIN};
    vmk_addr address = BASE + P(random_below(NR_PAGES));
    uint64_t len = P(1 + random_below(4)), prot = prots[random_below(17)];
    int pkey = pkeys[random_below(12)], wanted;
    struct vmk_mprotect_request request;
    unsigned done;
    char call[160];

    if (random_below(4) == 0)
        prot |= random_below(4) == 0 ? 3u << 24 : random_below(2) == 0 ? VMK_PROT_GROWSDOWN : VMK_PROT_GROWSUP;
    if (random_below(30) == 0)
        address++;
    if (random_below(10) == 0)
        len = random_below(2) == 0 ? 0 : len - 1;
    snprintf(call, sizeof(call), "%llx len %llx prot %llx pkey %d", (unsigned long long)address,
             (unsigned long long)len, (unsigned long long)prot, pkey);
    memset(&asked, 0, sizeof(asked));
    memset(&to_ask, 0, sizeof(to_ask));
    wanted = model_mprotect(address, len, prot, pkey, &done);
    request = (struct vmk_mprotect_request){.address = address, .len = len, .prot = prot, .pkey = pkey};
    int error = vmk_mprotect(m.t.mm, &request, &m.t.result);
    if (error != wanted)
        fail_msg("%s: returns %d, not %d", call, error, wanted);
    if (m.t.result.done != P(done) || m.t.result.error != error || m.t.result.value != 0)
        fail_msg("%s: done %llx, not %llx", call, (unsigned long long)m.t.result.done, (unsigned long long)P(done));
    check_pages(call);
    assert_int_equal(m.t.mm->pkeys_allocated, m.pkeys_allocated);
    assert_int_equal(m.t.mm->pkey_exec_only, m.exec_only);
    assert_memory_equal(&asked, &to_ask, sizeof(asked));
}

/* Which keys are taken, and by whom. */
static void set_keys(void)
{
    static const struct {
        unsigned allocated;
        int exec_only;
    } keys[] = {{1, -1}, {9, -1}, {13, 2}, {11, 1}, {0xffff, -1}, {0xffff, 2}};
    size_t i = random_below(6);

    m.pkeys_allocated = m.nr_pkeys == 0 ? 1 : keys[i].allocated;
    m.exec_only = m.nr_pkeys == 0 ? -1 : keys[i].exec_only;
    m.t.mm->pkeys_allocated = m.pkeys_allocated;
    m.t.mm->pkey_exec_only = m.exec_only;
}

static void open_process(unsigned i)
{
    static const struct vmk_backend_ops backend = {.size = sizeof(backend), .granule = 4096, .prepare = note_edit};

    memset(&m, 0, sizeof(m));
    m.seed = i;
    m.nr_pkeys = i % 2 == 0 ? 16 : 0;
    m.bti = i / 2 % 2 == 0;
    m.mte = i / 4 % 2 == 0;
    m.has_backend = i / 8 % 2 == 0;
    vt_init(&m.t);
    m.t.system_options.settings.nr_pkeys = m.nr_pkeys;
    m.t.system_options.settings.bti = m.bti;
    m.t.system_options.settings.mte = m.mte;
    m.t.mm_options.backend = m.has_backend ? &backend : NULL;
    vt_open(&m.t);
}

static void test_against_model(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        open_process(i);
        for (unsigned n = 0; n < 3000; n++) {
            begin_anew();
            m.implies_exec = random_below(4) == 0;
            m.mdwe = random_below(4) == 0 ? VMK_MDWE_REFUSE_EXEC_GAIN : 0;
            vmk_mm_set_personality(m.t.mm, VMK_ADDR_NO_RANDOMIZE | (m.implies_exec ? VMK_READ_IMPLIES_EXEC : 0u));
            m.t.mm->mdwe = m.mdwe;
            set_keys();
            make_area(FIRST, BORDER, &area_kinds[random_below(NR_KINDS)], random_below(2) == 0);
            make_area(BORDER, LAST, &area_kinds[random_below(NR_KINDS)], random_below(2) == 0);
            one_call();
        }
        vt_teardown(&m.t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
