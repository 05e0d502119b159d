/* SPDX-License-Identifier: MIT */
/*
 * test_area_matrix.c - one area of every kind, and every call that works on areas: on a part of it, on all of it, and beyond
 * its end. What comes of it is in golden/areas.txt, for each call by outcome: error, value and pages treated; then what the
 * backend was told; then the areas, if they changed. Addresses are in pages from the area's start, flags are those that differ
 * from the area's before. golden/ranges.txt has calls on ranges over two areas, a hole and a third area, a line each.
 */
#include "calls.h"
#include "golden.h"
#include "vmakit/backend.h"
#include "vmakit/state.h"

#define RW   (VMK_VM_READ | VMK_VM_WRITE)
#define MAY  VMK_VM_MAY_ACCESS
#define PRIV (RW | MAY | VMK_VM_ACCOUNT)
#define SHAR (VMK_VM_SHARED | VMK_VM_MAYSHARE)
#define HUGE (UINT64_C(2) << 20)
#define MANY 1024
#define FAR  (BASE + P(0x2000))

/* ---- Kinds of areas ---- */

enum { NO_FILE, REGULAR, SHMEM, SEALED_SHMEM, ZERO, SECRET, DEVICE, HUGETLB };
enum { NO_OPS, QUIET_OPS, REFUSING_OPS, VDSO_OPS };

struct kind {
    const char *name;
    vmk_vm_flags flags;
    int file, ops;
    unsigned anon_vma; /* VMK_ANON_YES and the like */
    unsigned pages;    /* 0: six */
};

static const struct kind kinds[] = {
    {"anonymous", PRIV, 0, 0, 0, 0},
    {"anonymous, touched", PRIV, 0, 0, VMK_ANON_YES, 0},
    {"anonymous, inherited", PRIV, 0, 0, VMK_ANON_INHERITED, 0},
    {"anonymous, read only", VMK_VM_READ | MAY, 0, 0, 0, 0},
    {"anonymous, no access", MAY, 0, 0, 0, 0},
    {"anonymous, write only", VMK_VM_WRITE | MAY | VMK_VM_ACCOUNT, 0, 0, 0, 0},
    {"anonymous, no MAYWRITE", VMK_VM_READ | VMK_VM_MAYREAD, 0, 0, 0, 0},
    {"locked", PRIV | VMK_VM_LOCKED, 0, 0, VMK_ANON_YES, 0},
    {"locked on fault", PRIV | VMK_VM_LOCKED_MASK, 0, 0, 0, 0},
    {"locked, read only", VMK_VM_READ | MAY | VMK_VM_LOCKED, 0, 0, 0, 0},
    {"stack", PRIV | VMK_VM_GROWSDOWN, 0, 0, 0, 0},
    {"sealed", PRIV | VMK_VM_SEALED, 0, 0, 0, 0},
    {"sealed, read only", VMK_VM_READ | MAY | VMK_VM_SEALED, 0, 0, 0, 0},
    {"not charged", RW | MAY | VMK_VM_NORESERVE, 0, 0, 0, 0},
    {"random, not copied, not dumped", PRIV | VMK_VM_RAND_READ | VMK_VM_DONTCOPY | VMK_VM_DONTDUMP | VMK_VM_MERGEABLE,
     0, 0, 0, 0},
    {"sequential, wiped, huge pages", PRIV | VMK_VM_SEQ_READ | VMK_VM_WIPEONFORK | VMK_VM_HUGEPAGE, 0, 0, 0, 0},
    {"no huge pages", PRIV | VMK_VM_NOHUGEPAGE, 0, 0, VMK_ANON_YES, 0},
    {"droppable", RW | MAY | VMK_VM_DROPPABLE | VMK_VM_NORESERVE | VMK_VM_WIPEONFORK | VMK_VM_DONTDUMP, 0, 0, 0, 0},
    {"guarded", PRIV | VMK_VM_GUARD_REGION, 0, 0, VMK_ANON_YES, 0},
    {"with a key", PRIV | UINT64_C(1) << VMK_VM_PKEY_SHIFT, 0, 0, 0, 0},
    {"shadow stack", PRIV | VMK_VM_SHADOW_STACK, 0, 0, 0, 0},
    {"two huge pages long", PRIV, 0, 0, 0, MANY},
    {"two huge pages long, touched", PRIV, 0, 0, VMK_ANON_YES, MANY},
    {"file, private", PRIV, REGULAR, 0, 0, 0},
    {"file, private, touched", PRIV, REGULAR, 0, VMK_ANON_YES, 0},
    {"file, private, read only", VMK_VM_READ | MAY, REGULAR, 0, 0, 0},
    {"file, shared", RW | MAY | SHAR, REGULAR, 0, 0, 0},
    {"file, shared, locked", RW | MAY | SHAR | VMK_VM_LOCKED, REGULAR, 0, 0, 0},
    {"file, shared, read only", VMK_VM_READ | MAY | SHAR, REGULAR, 0, 0, 0},
    {"file, opened for reading", VMK_VM_READ | VMK_VM_MAYREAD | VMK_VM_MAYEXEC | VMK_VM_MAYSHARE, REGULAR, 0, 0, 0},
    {"shared memory", RW | MAY | SHAR, SHMEM, 0, 0, 0},
    {"shared memory, two huge pages long", RW | MAY | SHAR, SHMEM, 0, 0, MANY},
    {"shared memory, its file sealed", RW | MAY | SHAR, SEALED_SHMEM, 0, 0, 0},
    {"shared memory, private map", PRIV, SHMEM, 0, 0, 0},
    {"/dev/zero, private", PRIV, ZERO, 0, 0, 0},
    {"secret", RW | MAY | SHAR | VMK_VM_LOCKED | VMK_VM_DONTDUMP, SECRET, 0, 0, 0},
    {"device", RW | MAY | SHAR, DEVICE, 0, 0, 0},
    {"device, hooks that agree", RW | MAY | SHAR, DEVICE, QUIET_OPS, 0, 0},
    {"device, hooks that refuse", RW | MAY | SHAR, DEVICE, REFUSING_OPS, 0, 0},
    {"device memory", RW | MAY | SHAR | VMK_VM_IO | VMK_VM_DONTEXPAND | VMK_VM_DONTDUMP, DEVICE, QUIET_OPS, 0, 0},
    {"device pages without structure", RW | MAY | SHAR | VMK_VM_PFNMAP, DEVICE, QUIET_OPS, 0, 0},
    {"device, mixed", RW | MAY | SHAR | VMK_VM_MIXEDMAP, DEVICE, QUIET_OPS, 0, 0},
    {"private, not to be expanded", PRIV | VMK_VM_DONTEXPAND, 0, 0, 0, 0},
    {"vdso", VMK_VM_READ | VMK_VM_EXEC | MAY | VMK_VM_DONTEXPAND, 0, VDSO_OPS, 0, 0},
    {"huge pages, private", RW | MAY | VMK_VM_HUGETLB | VMK_VM_DONTEXPAND | VMK_VM_NORESERVE, HUGETLB, 0, 0, MANY},
    {"huge pages, shared", RW | MAY | SHAR | VMK_VM_HUGETLB | VMK_VM_DONTEXPAND, HUGETLB, 0, 0, MANY},
};

static int agree_to_split(struct vmk_vma *vma, vmk_addr address)
{
    (void)vma;
    (void)address;
    return 0;
}

static int refuse_mremap(struct vmk_vma *vma)
{
    (void)vma;
    return -VMK_EBUSY;
}

static int refuse_protection(struct vmk_vma *vma, vmk_addr start, vmk_addr end, vmk_vm_flags flags)
{
    (void)vma;
    (void)start;
    (void)end;
    (void)flags;
    return -VMK_ENOSPC;
}

static int refuse_advice(struct vmk_vma *vma, vmk_addr start, vmk_addr end, int advice)
{
    (void)vma;
    (void)start;
    (void)end;
    (void)advice;
    return -VMK_EIO;
}

static int refuse_remap(struct vmk_vma *vma, vmk_addr start, uint64_t len, uint64_t pgoff)
{
    (void)vma;
    (void)start;
    (void)len;
    (void)pgoff;
    return -VMK_EFAULT;
}

static int agree_to_advice(struct vmk_vma *vma, vmk_addr start, vmk_addr end, int advice)
{
    (void)vma;
    (void)advice;
    return start < end ? 0 : -VMK_EIO;
}

static const struct vmk_vm_ops area_ops[] = {
    {.size = sizeof(struct vmk_vm_ops)},
    {.size = sizeof(struct vmk_vm_ops), .may_split = agree_to_split, .madvise = agree_to_advice},
    {.size = sizeof(struct vmk_vm_ops),
     .may_split = vt_no_split,
     .mremap = refuse_mremap,
     .mprotect = refuse_protection,
     .madvise = refuse_advice,
     .remap_pages = refuse_remap},
    {.size = sizeof(struct vmk_vm_ops), .may_split = vt_no_split},
};

/* ---- Calls ---- */

/* On [start, start + len), with a number of its own. */
typedef int call_fn(struct vt *t, vmk_addr start, uint64_t len, uint64_t number);

static int call_madvise(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    const struct vmk_madvise_request request = {.address = start, .len = len, .advice = (int)number};

    return vmk_madvise(t->mm, &request, &t->result);
}

static int call_process_madvise(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    const struct vmk_madvise_request request = {.address = start, .len = len, .advice = (int)number, .remote = true};

    return vmk_madvise(t->mm, &request, &t->result);
}

static int call_mlock(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    const struct vmk_mlock_request request = {.address = start, .len = len, .flags = (uint32_t)number};

    return vmk_mlock(t->mm, &request, &t->result);
}

static int call_munlock(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    const struct vmk_munlock_request request = {.address = start, .len = len};

    (void)number;
    return vmk_munlock(t->mm, &request, &t->result);
}

static int call_mlockall(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    const struct vmk_mlockall_request request = {.flags = (uint32_t)number};

    (void)start;
    (void)len;
    return vmk_mlockall(t->mm, &request, &t->result);
}

static int call_munlockall(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    const struct vmk_munlockall_request request = {.reserved = (uint32_t)number};

    (void)start;
    (void)len;
    return vmk_munlockall(t->mm, &request, &t->result);
}

static int call_mseal(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    const struct vmk_mseal_request request = {.address = start, .len = len, .flags = number};

    return vmk_mseal(t->mm, &request, &t->result);
}

static int call_msync(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    const struct vmk_msync_request request = {.address = start, .len = len, .flags = (uint32_t)number};

    return vmk_msync(t->mm, &request, &t->result);
}

static int call_mincore(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    const struct vmk_mincore_request request = {.address = start, .len = len};

    (void)number;
    return vmk_mincore(t->mm, &request, &t->result);
}

static int call_munmap(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    const struct vmk_munmap_request request = {.address = start, .len = len};

    (void)number;
    return vmk_munmap(t->mm, &request, &t->result);
}

static int call_mprotect(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    const struct vmk_mprotect_request request = {.address = start, .len = len, .prot = number, .pkey = -1};

    return vmk_mprotect(t->mm, &request, &t->result);
}

static int call_remap_pages(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    const struct vmk_remap_file_pages_request request = {
        .address = start, .size = len, .pgoff = number, .flags = number == 5 ? VMK_MAP_NONBLOCK : 0};

    return vmk_remap_file_pages(t->mm, &request, &t->result);
}

static int call_mbind(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    const struct vmk_mbind_request request = {
        .address = start, .len = len, .mode = (uint32_t)number, .nodes = number == 0 ? 0 : 1, .max_node = 64};

    return vmk_mbind(t->mm, &request, &t->result);
}

static int call_register(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    const struct vmk_uffd_request request = {
        .action = VMK_UFFD_REGISTER, .context = 5, .mode = number, .address = start, .len = len};

    return vmk_uffd(t->mm, &request, &t->result);
}

static int call_name(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    const struct vmk_name_request request = {.address = start, .len = len, .text = number == 0 ? NULL : "pool"};

    return vmk_name(t->mm, &request, &t->result);
}

static int remap(struct vt *t, vmk_addr from, uint64_t old_len, uint64_t new_len, uint64_t flags, vmk_addr to)
{
    const struct vmk_mremap_request request = {
        .old_address = from, .old_len = old_len, .new_len = new_len, .flags = flags, .new_address = to};

    return vmk_mremap(t->mm, &request, &t->result);
}

/* Another size: this much more, or less. */
static int call_resize(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    return remap(t, start, len, len + (uint64_t)((int64_t)number * (int64_t)(len / 2)), 0, 0);
}

static int call_grow_or_move(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    return remap(t, start, len, len + number * len, VMK_MREMAP_MAYMOVE, 0);
}

static int call_move(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    return remap(t, start, len, len, number | VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED, FAR);
}

static int call_move_more(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    return remap(t, start, len, len + len / 2 * number, VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED, FAR);
}

static int call_duplicate(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    return remap(t, start, 0, len, VMK_MREMAP_MAYMOVE | number, FAR);
}

static int call_map_over(struct vt *t, vmk_addr start, uint64_t len, uint64_t number)
{
    const struct vmk_mmap_request request = {
        .address = start, .len = len, .prot = VT_R, .flags = VT_FIXED | (uint32_t)number};

    return vmk_mmap(t->mm, &request, &t->result);
}

static const struct call {
    const char *name;
    call_fn *call;
    uint64_t number;
    bool once; /* for all ranges */
} calls[] = {
#define ADVISE(n)                                                                                                      \
    {                                                                                                                  \
        "madvise " #n, call_madvise, n, false                                                                          \
    }
    ADVISE(0),
    ADVISE(1),
    ADVISE(2),
    ADVISE(3),
    ADVISE(4),
    ADVISE(5),
    ADVISE(7),
    ADVISE(8),
    ADVISE(9),
    ADVISE(10),
    ADVISE(11),
    ADVISE(12),
    ADVISE(13),
    ADVISE(14),
    ADVISE(15),
    ADVISE(16),
    ADVISE(17),
    ADVISE(18),
    ADVISE(19),
    ADVISE(20),
    ADVISE(21),
    ADVISE(22),
    ADVISE(23),
    ADVISE(24),
    ADVISE(25),
    ADVISE(26),
    ADVISE(99),
    ADVISE(100),
    ADVISE(101),
    ADVISE(102),
    ADVISE(103),
    ADVISE(104),
    {"madvise -1", call_madvise, UINT64_MAX, false},
#undef ADVISE
    {"process_madvise 3", call_process_madvise, 3, false},
    {"process_madvise 4", call_process_madvise, 4, false},
    {"process_madvise 20", call_process_madvise, 20, false},
    {"process_madvise 21", call_process_madvise, 21, false},
    {"process_madvise 25", call_process_madvise, 25, false},
    {"mlock", call_mlock, 0, false},
    {"mlock on fault", call_mlock, VMK_MLOCK_ONFAULT, false},
    {"munlock", call_munlock, 0, false},
    {"mlockall 1", call_mlockall, 1, true},
    {"mlockall 2", call_mlockall, 2, true},
    {"mlockall 7", call_mlockall, 7, true},
    {"munlockall", call_munlockall, 0, true},
    {"mseal", call_mseal, 0, false},
    {"msync 0", call_msync, 0, false},
    {"msync 1", call_msync, 1, false},
    {"msync 2", call_msync, 2, false},
    {"msync 4", call_msync, 4, false},
    {"msync 6", call_msync, 6, false},
    {"mincore", call_mincore, 0, false},
    {"munmap", call_munmap, 0, false},
    {"mprotect 0", call_mprotect, 0, false},
    {"mprotect 1", call_mprotect, 1, false},
    {"mprotect 3", call_mprotect, 3, false},
    {"mprotect 5", call_mprotect, 5, false},
    {"remap_file_pages 0", call_remap_pages, 0, false},
    {"remap_file_pages 5", call_remap_pages, 5, false},
    {"mbind 2", call_mbind, VMK_MPOL_BIND, false},
    {"mbind 0", call_mbind, VMK_MPOL_DEFAULT, false},
    {"register missing", call_register, VMK_UFFD_MODE_MISSING, false},
    {"register wp", call_register, VMK_UFFD_MODE_WP, false},
    {"register minor", call_register, VMK_UFFD_MODE_MINOR, false},
    {"name", call_name, 1, false},
    {"mremap grow", call_resize, 1, false},
    {"mremap shrink", call_resize, UINT64_MAX, false},
    {"mremap same", call_resize, 0, false},
    {"mremap grow or move", call_grow_or_move, 1, false},
    {"mremap move", call_move, 0, false},
    {"mremap move, keep", call_move, VMK_MREMAP_DONTUNMAP, false},
    {"mremap move and grow", call_move_more, 1, false},
    {"mremap move and shrink", call_move_more, UINT64_MAX, false},
    {"mremap duplicate", call_duplicate, VMK_MREMAP_FIXED, false},
    {"mremap duplicate, keep", call_duplicate, VMK_MREMAP_DONTUNMAP, false},
    {"mmap over", call_map_over, 0, false},
    {"mmap over, noreplace", call_map_over, VMK_MAP_FIXED_NOREPLACE, false},
};
enum { NR_CALLS = sizeof(calls) / sizeof(calls[0]), NR_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* ---- What comes of a call ---- */

static struct vt vt;
static vmk_vm_flags flags_before;
static struct vt_text edits;

static void print_pages(struct vt_text *to, vmk_addr start, vmk_addr end)
{
    vt_print(to, "%lld-%lld", (long long)(start - BASE) / (long long)P(1), (long long)(end - BASE) / (long long)P(1));
}

static int note_edit(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    static const char *const names[] = {"unmap", "map", "protect", "move", "advise", "sync"};

    (void)context;
    (void)mm;
    vt_print(&edits, ", %s ", edit->kind < 6 ? names[edit->kind] : "edit");
    print_pages(&edits, edit->start, edit->end);
    if (edit->kind == VMK_EDIT_MOVE)
        vt_print(&edits, " from %lld%s", (long long)(edit->from - BASE) / (long long)P(1),
                 edit->keep_source ? " which stays" : "");
    if (edit->kind != VMK_EDIT_UNMAP)
        vt_print(&edits, " ^%llx", (unsigned long long)(edit->flags ^ flags_before));
    if (edit->kind != VMK_EDIT_UNMAP && edit->prot != (edit->flags & 7))
        vt_print(&edits, " prot %x", edit->prot);
    if (edit->advice != 0)
        vt_print(&edits, " advice %d", edit->advice);
    if (edit->file != NULL)
        vt_print(&edits, " file at %llx", (unsigned long long)(edit->offset >> 12));
    return 0;
}

static void print_areas(struct vt_text *to)
{
    struct vmk_vma_info info = {.size = sizeof(info)};
    vmk_addr cursor = 0;

    for (; vmk_mm_next(vt.mm, &cursor, &info) == 0; info.size = sizeof(info)) {
        uint64_t straight = (info.start - BASE) / P(1) + (info.file != NULL ? 16 : BASE / P(1));

        vt_print(to, "; ");
        print_pages(to, info.start, info.end);
        vt_print(to, " ^%llx%s%s", (unsigned long long)(info.flags ^ flags_before), info.anon_vma != 0 ? " anon" : "",
                 info.anon_vma_inherited ? " inherited" : "");
        if (info.pgoff != straight && !info.is_special)
            vt_print(to, " at %llx", (unsigned long long)info.pgoff);
        if (info.uffd != 0 || info.policy != 0)
            vt_print(to, "%s%s", info.uffd != 0 ? " uffd" : "", info.policy != 0 ? " policy" : "");
    }
}

/* The part, all of it, and two pages with what follows: counted in pages, or huge pages. */
static const struct {
    const char *name;
    unsigned first, nr;
} ranges[] = {{"part", 1, 2}, {"all", 0, 6}, {"beyond", 4, 4}};
static const struct {
    const char *name;
    unsigned first, nr;
} huge_ranges[] = {{"part", 1, 2}, {"all", 0, MANY}, {"beyond", 512, MANY}};

/* One outcome, and the kinds of areas that have it. */
static struct {
    char text[600];
    uint64_t kinds; /* a bit each */
} outcomes[NR_KINDS];
static size_t nr_outcomes;
_Static_assert(NR_KINDS <= 64, "a bit for each kind");

static void note_outcome(const struct vt_text *text, size_t kind)
{
    size_t i = 0;

    while (i < nr_outcomes && strcmp(outcomes[i].text, text->text) != 0)
        i++;
    assert_true(i < NR_KINDS && text->len < sizeof(outcomes[i].text));
    if (i == nr_outcomes) {
        memcpy(outcomes[i].text, text->text, text->len + 1);
        outcomes[i].kinds = 0;
        nr_outcomes++;
    }
    outcomes[i].kinds |= UINT64_C(1) << kind;
}

static void make_area(const struct kind *kind, unsigned first, unsigned last)
{
    const struct vmk_import_area area = {.start = BASE + P(first),
                                         .end = BASE + P(last),
                                         .flags = kind->flags,
                                         .offset = kind->file == NO_FILE   ? 0
                                                   : kind->file == HUGETLB ? 0
                                                                           : P(16 + first),
                                         .file = kind->file == NO_FILE ? NULL : vt.files[kind->file],
                                         .special_name = kind->ops == VDSO_OPS ? "[vdso]" : NULL,
                                         .ops = kind->ops == NO_OPS ? NULL : &area_ops[kind->ops],
                                         .anon_vma = kind->anon_vma};

    assert_int_equal(vmk_mm_import(vt.mm, &area), 0);
}

/* The outcome of a call in the space that there is, which ends with it. */
static void run(const struct call *call, vmk_addr start, uint64_t len, struct vt_text *text)
{
    static struct vt_text before, after;
    uint64_t committed = vmk_system_committed(vt.system);

    before.len = after.len = edits.len = 0;
    edits.text[0] = '\0';
    print_areas(&before);
    int error = call->call(&vt, start, len, call->number);
    vt_validate(&vt);
    print_areas(&after);
    vt_print(text, "%d", error);
    if (vt.result.value != 0)
        vt_print(text, " value %lld",
                 (long long)(vt.result.value >= BASE ? (vt.result.value - BASE) / P(1) : vt.result.value));
    vt_print(text, " done %lld", (long long)vt.result.done / (long long)P(1));
    if (committed != vmk_system_committed(vt.system))
        vt_print(text, " charged %lld", (long long)(vmk_system_committed(vt.system) - committed));
    vt_print(text, "%s%s", edits.text, strcmp(before.text, after.text) != 0 ? after.text : "");
    vmk_mm_put(vt.mm);
}

static void run_call(size_t nr, const struct call *call, size_t range)
{
    static struct vt_text text;
    const struct kind *kind = &kinds[nr];
    struct vmk_vma_info info = {.size = sizeof(info)};

    text.len = 0;
    assert_int_equal(vmk_mm_create(vt.system, &vt.mm_options, &vt.mm), 0);
    make_area(kind, 0, kind->pages != 0 ? kind->pages : 6);
    assert_int_equal(vmk_mm_lookup(vt.mm, BASE, &info), 0);
    flags_before = info.flags;
    if (kind->pages != 0)
        run(call, BASE + P(huge_ranges[range].first), P(huge_ranges[range].nr), &text);
    else
        run(call, BASE + P(ranges[range].first), P(ranges[range].nr), &text);
    note_outcome(&text, nr);
}

/* "0-3 7": numbers of kinds. */
static void print_kinds(struct vt_text *to, uint64_t bits)
{
    for (unsigned i = 0; i < NR_KINDS; i++) {
        unsigned last = i;

        if ((bits >> i & 1) == 0)
            continue;
        while (last + 1 < NR_KINDS && (bits >> (last + 1) & 1) != 0)
            last++;
        vt_print(to, i == last ? " %u" : " %u-%u", i, last);
        i = last;
    }
}

static void print_call(struct golden *golden, const struct call *call, size_t range, uint64_t which)
{
    static struct vt_text lines;

    nr_outcomes = 0;
    for (size_t i = 0; i < NR_KINDS; i++)
        if ((which >> i & 1) != 0)
            run_call(i, call, range);
    lines.len = 0;
    vt_print(&lines, call->once ? "# %s\n" : "# %s, %s\n", call->name, ranges[range].name);
    for (size_t i = 0; i < nr_outcomes; i++) {
        vt_print(&lines, "%s  <-", outcomes[i].text);
        print_kinds(&lines, outcomes[i].kinds);
        vt_print(&lines, "\n");
    }
    golden_text(golden, &lines);
}

/* ---- Worlds ---- */

static void make_file(unsigned id, enum vmk_object_kind kind, uint32_t seals)
{
    struct vmk_object_options object_options = {
        .size = sizeof(object_options), .kind = kind, .id = id, .nr_bytes = P(2048), .inode = id};
    struct vmk_file_options options = {
        .size = sizeof(options), .mode = VMK_FILE_READ | VMK_FILE_WRITE, .seals = seals, .name = "/file", .id = id};

    if (kind == VMK_OBJECT_HUGETLB)
        object_options.huge_shift = 21;
    assert_int_equal(vmk_object_create(vt.system, &object_options, &options.object), 0);
    assert_int_equal(vmk_file_create(vt.system, &options, &vt.files[id]), 0);
    vmk_object_put(options.object);
}

static void open_world(uint64_t version, enum vmk_arch arch)
{
    static const struct vmk_backend_ops backend = {.size = sizeof(backend), .granule = 4096, .prepare = note_edit};

    vt_init(&vt);
    vmk_settings_init(&vt.system_options.settings, version, arch);
    vt.system_options.settings.anon_vma_name = version > VMK_LINUX_VERSION(6, 6);
    vt.system_options.settings.nr_pkeys = 16;
    vt.system_options.sysctl.hugetlb_free_pages = 8;
    vt.mm_options.backend = &backend;
    vt.mm_options.capabilities = UINT32_MAX;
    vt.mm_options.rlimits.memlock.soft = VMK_RLIM_INFINITY;
    assert_int_equal(vmk_system_create(&vt.system_options, &vt.system), 0);
    make_file(REGULAR, VMK_OBJECT_REGULAR, 0);
    make_file(SHMEM, VMK_OBJECT_SHMEM, 0);
    make_file(SEALED_SHMEM, VMK_OBJECT_SHMEM, VMK_SEAL_FUTURE_WRITE);
    make_file(ZERO, VMK_OBJECT_ZERO, 0);
    make_file(SECRET, VMK_OBJECT_SECRET, 0);
    make_file(DEVICE, VMK_OBJECT_DEVICE, 0);
    make_file(HUGETLB, VMK_OBJECT_HUGETLB, 0);
}

static void close_world(void)
{
    vt.mm = NULL;
    vt_teardown(&vt);
}

static void run_world(struct golden *golden, uint64_t version, const char *topic, uint64_t which)
{
    golden_line(golden, topic, strlen(topic));
    open_world(version, VMK_ARCH_X86_64);
    for (size_t i = 0; i < NR_CALLS; i++)
        for (size_t range = 0; range < (calls[i].once ? 1 : 3); range++)
            print_call(golden, &calls[i], range, which);
    close_world();
}

static void print_names(struct golden *golden)
{
    static struct vt_text text;

    text.len = 0;
    for (unsigned i = 0; i < NR_KINDS; i++)
        vt_print(&text, "%u: %s\n", i, kinds[i].name);
    golden_text(golden, &text);
}

static void test_matrix(void **state)
{
    struct golden golden;

    (void)state;
    golden_open(&golden, "areas.txt");
    print_names(&golden);
    run_world(&golden, VMK_LINUX_VERSION(6, 18), "# Linux 6.18", UINT64_MAX);
    run_world(&golden, VMK_LINUX_VERSION(6, 6), "# Linux 6.6", UINT64_C(0x400110011101));
    golden_close(&golden);
}

/* ---- Several areas ---- */

static uint64_t random_below(uint64_t *seed, uint64_t n)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (*seed >> 33) % n;
}

/* A kind of six pages. */
static unsigned random_kind(uint64_t *seed)
{
    unsigned i = (unsigned)random_below(seed, NR_KINDS);

    return kinds[i].pages == 0 ? i : 0;
}

/*
 * Two areas that touch, a hole, and a third one; a call somewhere in it, now and then not by whole pages, with a length that is
 * none, or on arm64 with a tag in the address.
 */
static void run_range(struct golden *golden, uint64_t *seed, bool has_tags)
{
    static const uint64_t lens[] = {P(1), P(2), P(3), P(5), P(6), P(9), P(14), 0, UINT64_MAX - P(1)};
    static struct vt_text line;
    unsigned a = random_kind(seed), b = random_kind(seed), c = random_kind(seed);
    const struct call *call = &calls[random_below(seed, NR_CALLS)];
    vmk_addr start = BASE + P(random_below(seed, 14));
    uint64_t len = lens[random_below(seed, random_below(seed, 6) == 0 ? 9 : 7)];

    start += random_below(seed, 10) == 0 ? 5 : 0;
    len += random_below(seed, 4) == 0 ? 1 : 0;
    len -= random_below(seed, 4) == 0 ? 1 : 0;
    start |= has_tags && random_below(seed, 2) == 0 ? UINT64_C(0x5a) << 56 : 0;
    line.len = 0;
    vt_print(&line, "%u %u - %u, %s, %llx+%llx: ", a, b, c, call->name, (unsigned long long)(start - BASE),
             (unsigned long long)len);
    assert_int_equal(vmk_mm_create(vt.system, &vt.mm_options, &vt.mm), 0);
    make_area(&kinds[a], 0, 6);
    make_area(&kinds[b], 6, 9);
    make_area(&kinds[c], 11, 14);
    flags_before = PRIV;
    run(call, start, len, &line);
    golden_line(golden, line.text, line.len);
}

static void test_ranges(void **state)
{
    struct golden golden;
    uint64_t seed = 1;

    (void)state;
    golden_open(&golden, "ranges.txt");
    print_names(&golden);
    open_world(VMK_LINUX_VERSION(6, 18), VMK_ARCH_X86_64);
    for (unsigned i = 0; i < 450; i++)
        run_range(&golden, &seed, false);
    close_world();
    open_world(VMK_LINUX_VERSION(6, 18), VMK_ARCH_ARM64);
    for (unsigned i = 0; i < 250; i++)
        run_range(&golden, &seed, true);
    close_world();
    golden_close(&golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matrix),
        cmocka_unit_test(test_ranges),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
