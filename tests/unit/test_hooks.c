/* SPDX-License-Identifier: MIT */
/* A driver that uses each hook of struct vmk_vm_ops, and of its file: the moment, the arguments, and a refusal. */
#include "support.h"
#include "vmakit/fault.h"

#define BASE UINT64_C(0x10000000)
#define P(n) ((uint64_t)(n)*VT_PAGE)

/* What the driver was told, in order, as text. */
static struct vt_text told;

static void tell(const char *hook, const struct vmk_vma *vma)
{
    vt_print(&told, "%s %llx-%llx\n", hook, (unsigned long long)vmk_vma_start(vma),
             (unsigned long long)vmk_vma_end(vma));
}

static void assert_told(const char *expected)
{
    assert_string_equal(told.text, expected);
    told.len = 0;
    told.text[0] = '\0';
}

static int answer; /* what hooks that may refuse return */

static const char *hook_name(const struct vmk_vma *vma)
{
    (void)vma;
    return "[thing]";
}

static void hook_open(struct vmk_vma *vma)
{
    tell("open", vma);
}

static void hook_close(struct vmk_vma *vma)
{
    tell("close", vma);
}

static int hook_may_split(struct vmk_vma *vma, vmk_addr address)
{
    vt_print(&told, "may_split %llx\n", (unsigned long long)address);
    (void)vma;
    return answer;
}

static int hook_mremap(struct vmk_vma *vma)
{
    tell("mremap", vma);
    return answer;
}

static int hook_mprotect(struct vmk_vma *vma, vmk_addr start, vmk_addr end, vmk_vm_flags new_flags)
{
    vt_print(&told, "mprotect %llx-%llx to %llx\n", (unsigned long long)start, (unsigned long long)end,
             (unsigned long long)(new_flags & VMK_VM_ACCESS));
    (void)vma;
    return answer;
}

static int hook_fault(struct vmk_vma *vma, struct vmk_fault *fault)
{
    tell("fault", vma);
    if (answer == 0)
        fault->outcome = VMK_FAULT_MAJOR;
    return answer;
}

static int hook_page_mkwrite(struct vmk_vma *vma, struct vmk_fault *fault)
{
    tell("page_mkwrite", vma);
    (void)fault;
    return answer;
}

static int hook_access(struct vmk_vma *vma, vmk_addr address, void *buffer, size_t len, bool write)
{
    tell(write ? "access write" : "access read", vma);
    (void)address;
    if (answer != 0)
        return answer;
    memset(buffer, 'x', len < 10 ? len : 10);
    return (int)(len < 10 ? len : 10);
}

static int hook_set_policy(struct vmk_vma *vma, uint64_t policy)
{
    tell("set_policy", vma);
    (void)policy;
    return answer;
}

static uint64_t hook_get_policy(struct vmk_vma *vma, vmk_addr address)
{
    (void)vma;
    return address;
}

static int hook_migrate(struct vmk_vma *vma, uint64_t from_nodes, uint64_t to_nodes)
{
    tell("migrate", vma);
    (void)from_nodes;
    (void)to_nodes;
    return answer;
}

static void hook_split(struct vmk_vma *vma, struct vmk_vma *new_half)
{
    tell("split", vma);
    tell("  off", new_half);
}

static bool hook_merge(const struct vmk_vma *stays, const struct vmk_vma *goes)
{
    tell("merge", stays);
    tell("  with", goes);
    return answer == 0;
}

static int hook_madvise(struct vmk_vma *vma, vmk_addr start, vmk_addr end, int advice)
{
    vt_print(&told, "madvise %llx-%llx %d\n", (unsigned long long)start, (unsigned long long)end, advice);
    (void)vma;
    return answer;
}

static int hook_remap_pages(struct vmk_vma *vma, vmk_addr start, uint64_t len, uint64_t pgoff)
{
    vt_print(&told, "remap_pages %llx %llx %llx\n", (unsigned long long)start, (unsigned long long)len,
             (unsigned long long)pgoff);
    (void)vma;
    return answer;
}

/* Each test gives its driver the hooks that it is about. */
static struct vmk_vm_ops ops;
static vmk_vm_flags mmap_sets_flags;
static unsigned nr_released;

static int driver_mmap(struct vmk_file *file, struct vmk_mmap_description *description)
{
    (void)file;
    if (answer != 0)
        return answer;
    description->ops = &ops;
    description->private_data = &told;
    description->flags |= mmap_sets_flags;
    return 0;
}

static void driver_release(struct vmk_file *file)
{
    (void)file;
    nr_released++;
}

static const struct vmk_file_ops file_ops = {.size = sizeof(file_ops), .mmap = driver_mmap, .release = driver_release};

static struct vmk_file *device(struct vt *t, enum vmk_object_kind kind)
{
    struct vmk_object *object;
    const struct vmk_object_options object_options = {
        .size = sizeof(object_options), .kind = kind, .id = 1, .nr_bytes = P(1024)};

    assert_int_equal(vmk_object_create(t->system, &object_options, &object), 0);
    const struct vmk_file_options options = {.size = sizeof(options),
                                             .object = object,
                                             .name = "/dev/thing",
                                             .id = 1,
                                             .mode = VMK_FILE_READ | VMK_FILE_WRITE,
                                             .ops = &file_ops};
    assert_int_equal(vmk_file_create(t->system, &options, &t->files[0]), 0);
    vmk_object_put(object);
    return t->files[0];
}

static void open_with(struct vt *t, struct vmk_vm_ops hooks, enum vmk_object_kind kind)
{
    ops = hooks;
    ops.size = sizeof(ops);
    answer = 0;
    mmap_sets_flags = 0;
    told.len = 0;
    told.text[0] = '\0';
    vt_setup(t);
    assert_ret(vt_mmap_file(t, BASE, P(4), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, device(t, kind), 0), BASE);
}

static struct vmk_fault fault;

static unsigned at(struct vt *t, vmk_addr address, unsigned access, unsigned flags)
{
    const struct vmk_fault_request request = {.address = address, .access = access, .flags = flags};

    assert_int_equal(vmk_mm_fault(t->mm, &request, &fault), 0);
    return fault.fault_case;
}

static void name_and_private_data(void **state)
{
    struct vt t;
    char name[32];
    struct vmk_vma *vma;

    (void)state;
    open_with(&t, (struct vmk_vm_ops){.name = hook_name}, VMK_OBJECT_DEVICE);
    vmk_mm_lock_read(t.mm);
    vma = vmk_mm_find(t.mm, BASE);
    assert_int_equal(vmk_vma_name(vma, name, sizeof(name)), 7);
    assert_string_equal(name, "[thing]");
    assert_ptr_equal(vmk_vma_private_data(vma), &told);
    assert_ptr_equal(vmk_vma_ops(vma), &ops);
    vmk_mm_unlock_read(t.mm);
    vt_teardown(&t);
}

static void mmap_hook_refuses_and_changes(void **state)
{
    struct vt t;

    (void)state;
    open_with(&t, (struct vmk_vm_ops){0}, VMK_OBJECT_DEVICE);
    answer = -VMK_EAGAIN;
    assert_ret(vt_mmap_file(&t, BASE + P(8), P(4), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, t.files[0], 0), -VMK_EAGAIN);
    answer = 0;
    mmap_sets_flags = VMK_VM_IO | VMK_VM_DONTEXPAND | VMK_VM_DONTDUMP | VMK_VM_PFNMAP;
    assert_ret(vt_mmap_file(&t, BASE + P(8), P(4), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, t.files[0], 0), BASE + P(8));
    assert_map(&t, "10000000-10004000 rw-s pgoff=0 file=1\n10008000-1000c000 rw-s pf io de dd pgoff=0 file=1\n");
    vt_teardown(&t);
}

/* Memory of a device has no pages that could be asked for beforehand, whichever of the two flags says so. */
static void devices_are_not_populated(void **state)
{
    const uint32_t flags = VMK_MAP_SHARED | VMK_MAP_FIXED | VMK_MAP_POPULATE;
    struct vt t;

    (void)state;
    open_with(&t, (struct vmk_vm_ops){.fault = hook_fault}, VMK_OBJECT_DEVICE);
    for (unsigned i = 0; i < 2; i++) {
        mmap_sets_flags = i == 0 ? VMK_VM_IO : VMK_VM_PFNMAP;
        assert_ret(vt_mmap_file(&t, BASE + P(8), P(1), VT_RW, flags, t.files[0], 0), BASE + P(8));
        assert_told("");
    }
    mmap_sets_flags = 0;
    assert_ret(vt_mmap_file(&t, BASE + P(8), P(1), VT_RW, flags, t.files[0], 0), BASE + P(8));
    assert_told("fault 10008000-10009000\n");
    vt_teardown(&t);
}

static void open_close_split(void **state)
{
    struct vt t;

    (void)state;
    open_with(&t, (struct vmk_vm_ops){.open = hook_open, .close = hook_close, .split = hook_split}, VMK_OBJECT_DEVICE);
    assert_told(""); /* mmap's own area: the mmap hook was its beginning */
    assert_ret(vt_munmap(&t, BASE + P(1), P(1)), 0);
    assert_told("open 10002000-10004000\nsplit 10000000-10001000\n  off 10002000-10004000\n");
    assert_ret(vt_munmap(&t, BASE, P(8)), 0);
    assert_told("close 10000000-10001000\nclose 10002000-10004000\n");
    vt_teardown(&t);
}

static void may_split(void **state)
{
    struct vt t;

    (void)state;
    open_with(&t, (struct vmk_vm_ops){.may_split = hook_may_split}, VMK_OBJECT_DEVICE);
    answer = -VMK_EINVAL;
    assert_ret(vt_munmap(&t, BASE + P(1), P(1)), -VMK_EINVAL);
    assert_told("may_split 10001000\n");
    assert_ret(vt_mprotect(&t, BASE + P(3), P(1), VT_R), -VMK_EINVAL);
    assert_told("may_split 10003000\n");
    answer = 0;
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_R), 0);
    assert_told("may_split 10001000\nmay_split 10002000\n");
    /* Also when the embedder splits. */
    struct vmk_vma *upper;
    told.len = 0;
    told.text[0] = '\0';
    answer = -VMK_EINVAL;
    vmk_mm_lock_write(t.mm);
    assert_ret(vmk_vma_split(t.mm, vmk_mm_find(t.mm, BASE + P(2)), BASE + P(3), &upper), -VMK_EINVAL);
    vmk_mm_unlock_write(t.mm);
    assert_told("may_split 10003000\n");
    vt_validate(&t);
    vt_teardown(&t);
}

static void close_keeps_a_merge_from_removing_it(void **state)
{
    struct vt t;

    (void)state;
    open_with(&t, (struct vmk_vm_ops){.close = hook_close}, VMK_OBJECT_REGULAR);
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_R), 0);
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_RW), 0);
    assert_map(&t, "10000000-10001000 rw-s pgoff=0 file=1\n10001000-10002000 rw-s pgoff=1 file=1\n"
                   "10002000-10004000 rw-s pgoff=2 file=1\n");
    vt_teardown(&t);
}

static void merge(void **state)
{
    struct vt t;

    (void)state;
    open_with(&t, (struct vmk_vm_ops){.merge = hook_merge}, VMK_OBJECT_REGULAR);
    assert_ret(vt_mprotect(&t, BASE + P(2), P(2), VT_R), 0);
    assert_told("");
    answer = -1;
    assert_ret(vt_mprotect(&t, BASE + P(2), P(2), VT_RW), 0);
    assert_told("merge 10000000-10002000\n  with 10002000-10004000\n");
    assert_map(&t, "10000000-10002000 rw-s pgoff=0 file=1\n10002000-10004000 rw-s pgoff=2 file=1\n");
    assert_ret(vt_mprotect(&t, BASE + P(2), P(2), VT_R), 0);
    told.len = 0;
    answer = 0;
    assert_ret(vt_mprotect(&t, BASE + P(2), P(2), VT_RW), 0);
    assert_map(&t, "10000000-10004000 rw-s pgoff=0 file=1\n");
    vt_teardown(&t);
}

static void mremap(void **state)
{
    struct vt t;
    const uint64_t move = VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED;

    (void)state;
    open_with(&t, (struct vmk_vm_ops){.mremap = hook_mremap, .open = hook_open}, VMK_OBJECT_DEVICE);
    answer = -VMK_EINVAL;
    assert_ret(vt_mremap(&t, BASE, P(4), P(4), move, BASE + P(16)), -VMK_EINVAL);
    assert_map(&t, "10000000-10004000 rw-s pgoff=0 file=1\n");
    told.len = 0;
    answer = 0;
    assert_ret(vt_mremap(&t, BASE, P(4), P(4), move, BASE + P(16)), BASE + P(16));
    assert_non_null(strstr(told.text, "mremap 10010000-10014000\n"));
    assert_map(&t, "10010000-10014000 rw-s pgoff=0 file=1\n");
    vt_teardown(&t);
}

static unsigned nr_agreed;

static int hook_changes_its_mind(struct vmk_vma *vma, vmk_addr address)
{
    (void)vma;
    (void)address;
    return nr_agreed++ < 2 ? 0 : -VMK_EINVAL;
}

/* A driver agrees to both splits and refuses them once the pages have moved: the source stays, with a charge if it had one. */
static void mremap_and_a_driver_that_changes_its_mind(void **state)
{
    const uint64_t move = VMK_MREMAP_MAYMOVE | VMK_MREMAP_FIXED;
    struct vt t;

    (void)state;
    open_with(&t, (struct vmk_vm_ops){.may_split = hook_changes_its_mind}, VMK_OBJECT_DEVICE);
    for (unsigned i = 0; i < 2; i++) {
        const uint32_t prot = i == 0 ? VT_R : VT_RW;
        const uint64_t pages = i == 0 ? 0 : 6;

        assert_ret(vt_mmap_file(&t, BASE, P(4), prot, VMK_MAP_PRIVATE | VMK_MAP_FIXED, t.files[0], 0), BASE);
        nr_agreed = 0;
        assert_ret(vt_mremap(&t, BASE + P(1), P(2), P(2), move, BASE + P(16)), BASE + P(16));
        assert_int_equal(nr_agreed, 3);
        assert_map(&t, i == 0 ? "10000000-10004000 r--p pgoff=0 file=1\n10010000-10012000 r--p pgoff=1 file=1\n"
                              : "10000000-10004000 rw-p ac pgoff=0 file=1\n10010000-10012000 rw-p ac pgoff=1 file=1\n");
        assert_int_equal(vmk_system_committed(t.system), pages);
        nr_agreed = 0;
        assert_ret(vt_munmap(&t, BASE, P(32)), 0);
        assert_int_equal(vmk_system_committed(t.system), 0);
    }
    vt_teardown(&t);
}

static void mprotect(void **state)
{
    struct vt t;

    (void)state;
    open_with(&t, (struct vmk_vm_ops){.mprotect = hook_mprotect}, VMK_OBJECT_DEVICE);
    answer = -VMK_EACCES;
    assert_ret(vt_mprotect(&t, BASE + P(1), P(2), VT_R), -VMK_EACCES);
    assert_told("mprotect 10001000-10003000 to 1\n");
    answer = 0;
    assert_ret(vt_mprotect(&t, BASE + P(1), P(2), VMK_PROT_NONE), 0);
    assert_told("mprotect 10001000-10003000 to 0\n");
    vt_teardown(&t);
}

static void fault_and_page_mkwrite(void **state)
{
    struct vt t;

    (void)state;
    open_with(&t, (struct vmk_vm_ops){.fault = hook_fault, .page_mkwrite = hook_page_mkwrite}, VMK_OBJECT_DEVICE);
    assert_int_equal(at(&t, BASE, VMK_ACCESS_READ, 0), VMK_FAULT_CASE_3F);
    assert_int_equal(fault.outcome, VMK_FAULT_MAJOR);
    assert_told("fault 10000000-10004000\n");
    assert_int_equal(at(&t, BASE, VMK_ACCESS_WRITE, 0), VMK_FAULT_CASE_3F);
    assert_told("fault 10000000-10004000\npage_mkwrite 10000000-10004000\n");
    assert_int_equal(at(&t, BASE, VMK_ACCESS_WRITE, VMK_FAULT_PRESENT), VMK_FAULT_CASE_4C);
    assert_told("page_mkwrite 10000000-10004000\n");
    assert_int_equal(at(&t, BASE, VMK_ACCESS_READ, VMK_FAULT_PRESENT), VMK_FAULT_CASE_5);
    assert_told("");
    static const struct {
        int answer;
        enum vmk_fault_outcome outcome;
        int signal, code;
    } refusals[] = {
        {-VMK_ENOMEM, VMK_FAULT_NO_MEMORY, 0, 0},
        {-VMK_EAGAIN, VMK_FAULT_RETRY, 0, 0},
        {-VMK_EFAULT, VMK_FAULT_SIGNAL, VMK_SIGBUS, VMK_BUS_ADRERR},
        {-VMK_ENOSPC, VMK_FAULT_SIGNAL, VMK_SIGBUS, VMK_BUS_ADRERR},
        {-VMK_EHWPOISON, VMK_FAULT_SIGNAL, VMK_SIGBUS, VMK_BUS_MCEERR_AR},
        {-VMK_EACCES, VMK_FAULT_SIGNAL, VMK_SIGSEGV, VMK_SEGV_ACCERR},
    };
    for (size_t i = 0; i < VMKI_ARRAY_SIZE(refusals); i++)
        for (unsigned present = 0; present < 2; present++) {
            answer = refusals[i].answer;
            at(&t, BASE, VMK_ACCESS_WRITE, present ? VMK_FAULT_PRESENT : 0);
            assert_int_equal(fault.outcome, refusals[i].outcome);
            assert_int_equal(fault.signal, refusals[i].signal);
            assert_int_equal(fault.code, refusals[i].code);
        }
    vt_teardown(&t);
}

static void a_driver_without_fault_gives_sigbus(void **state)
{
    struct vt t;

    (void)state;
    open_with(&t, (struct vmk_vm_ops){.close = hook_close}, VMK_OBJECT_DEVICE);
    assert_int_equal(at(&t, BASE, VMK_ACCESS_READ, 0), VMK_FAULT_CASE_3F);
    assert_int_equal(fault.signal, VMK_SIGBUS);
    vt_teardown(&t);
}

static void access_hook(void **state)
{
    struct vt t;
    char buffer[64] = "";

    (void)state;
    open_with(&t, (struct vmk_vm_ops){.access = hook_access}, VMK_OBJECT_DEVICE);
    assert_int_equal(vmk_mm_access(t.mm, BASE, buffer, 4, false), -VMK_EIO); /* ordinary memory */
    mmap_sets_flags = VMK_VM_IO | VMK_VM_PFNMAP;
    assert_ret(vt_mmap_file(&t, BASE + P(8), P(1), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, t.files[0], 0), BASE + P(8));
    assert_int_equal(vmk_mm_access(t.mm, BASE + P(8), buffer, 4, false), 4);
    assert_told("access read 10008000-10009000\n");
    assert_string_equal(buffer, "xxxx");
    /* Ten bytes at a time, up to the end of the area. */
    assert_int_equal(vmk_mm_access(t.mm, BASE + P(9) - 15, buffer, 30, true), 15);
    assert_told("access write 10008000-10009000\naccess write 10008000-10009000\n");
    answer = -VMK_EINVAL;
    assert_int_equal(vmk_mm_access(t.mm, BASE + P(8), buffer, 4, false), -VMK_EIO);
    assert_int_equal(vmk_mm_access(t.mm, BASE + P(8), buffer, 0, false), 0);
    vt_teardown(&t);
}

static void policies(void **state)
{
    struct vt t;
    struct vmk_mbind_request bind = {.address = BASE, .len = P(4), .mode = VMK_MPOL_BIND, .nodes = 1, .max_node = 65};
    uint64_t policy = 0;

    (void)state;
    open_with(&t, (struct vmk_vm_ops){.set_policy = hook_set_policy, .get_policy = hook_get_policy}, VMK_OBJECT_DEVICE);
    assert_int_equal(vmk_mbind(t.mm, &bind, NULL), 0);
    assert_told("set_policy 10000000-10004000\n");
    answer = -VMK_ENOMEM;
    bind.mode = VMK_MPOL_PREFERRED;
    assert_int_equal(vmk_mbind(t.mm, &bind, NULL), -VMK_ENOMEM);
    assert_int_equal(vmk_mm_policy_at(t.mm, BASE + 5, &policy), 0);
    assert_int_equal(policy, BASE + 5);
    assert_int_equal(vmk_mm_policy_at(t.mm, BASE - 5, &policy), -VMK_EFAULT);
    vt_anon(&t, BASE + P(8), P(1), VT_RW);
    assert_int_equal(vmk_mm_policy_at(t.mm, BASE + P(8), &policy), 0);
    assert_int_equal(policy, 0);
    vt_teardown(&t);
}

static void migrate(void **state)
{
    struct vt t;

    (void)state;
    open_with(&t, (struct vmk_vm_ops){.migrate = hook_migrate}, VMK_OBJECT_DEVICE);
    vt_anon(&t, BASE - P(1), P(1), VT_RW);
    assert_int_equal(vmk_mm_migrate(t.mm, 1, 2), 0);
    assert_told("migrate 10000000-10004000\n");
    answer = -VMK_EIO;
    assert_int_equal(vmk_mm_migrate(t.mm, 1, 2), -VMK_EIO);
    vt_teardown(&t);
}

static void madvise(void **state)
{
    struct vt t;
    struct vmk_madvise_request request = {.address = BASE + P(1), .len = P(2), .advice = VMK_MADV_WILLNEED};

    (void)state;
    open_with(&t, (struct vmk_vm_ops){.madvise = hook_madvise}, VMK_OBJECT_DEVICE);
    assert_int_equal(vmk_madvise(t.mm, &request, NULL), 0);
    assert_told("madvise 10001000-10003000 3\n");
    answer = -VMK_EIO;
    assert_int_equal(vmk_madvise(t.mm, &request, NULL), -VMK_EIO);
    vt_teardown(&t);
}

static void remap_pages(void **state)
{
    struct vt t;
    const struct vmk_remap_file_pages_request request = {.address = BASE, .size = P(1), .pgoff = 2};

    (void)state;
    open_with(&t, (struct vmk_vm_ops){.remap_pages = hook_remap_pages}, VMK_OBJECT_REGULAR);
    assert_int_equal(vmk_remap_file_pages(t.mm, &request, NULL), 0);
    assert_told("remap_pages 10000000 1000 2\n");
    const struct vmk_remap_file_pages_request nothing = {.address = BASE, .size = P(1) - 1, .pgoff = 2};
    assert_int_equal(vmk_remap_file_pages(t.mm, &nothing, NULL), -VMK_EINVAL);
    assert_told("");
    vt_teardown(&t);
}

static void fork_opens_and_release_is_last(void **state)
{
    struct vt t;
    struct vmk_mm *child;

    (void)state;
    open_with(&t, (struct vmk_vm_ops){.open = hook_open, .close = hook_close}, VMK_OBJECT_DEVICE);
    assert_int_equal(vmk_mm_fork(t.mm, &child), 0);
    assert_told("open 10000000-10004000\n");
    vmk_mm_put(child);
    assert_told("close 10000000-10004000\n");
    nr_released = 0;
    vmk_file_put(t.files[0]);
    t.files[0] = NULL;
    assert_int_equal(nr_released, 0); /* the area holds it */
    assert_ret(vt_munmap(&t, BASE, P(4)), 0);
    assert_told("close 10000000-10004000\n");
    assert_int_equal(nr_released, 1);
    vt_teardown(&t);
}

static void hooks_of_a_copy_and_in_place(void **state)
{
    struct vt t;
    struct vmk_mm *child;
    struct vmk_vma *copy;
    const struct vmk_madvise_request dontfork = {.address = BASE, .len = P(1), .advice = VMK_MADV_DONTFORK};

    (void)state;
    open_with(&t, (struct vmk_vm_ops){.open = hook_open, .close = hook_close}, VMK_OBJECT_REGULAR);
    assert_int_equal(vmk_mm_create(t.system, &t.mm_options, &child), 0);
    vmk_mm_lock_write(t.mm);
    vmk_mm_lock_write(child);
    assert_int_equal(vmk_vma_dup(vmk_mm_find(t.mm, BASE), child, &copy), 0);
    vmk_mm_unlock_write(child);
    vmk_mm_unlock_write(t.mm);
    assert_told("open 10000000-10004000\n");
    vmk_mm_put(child);
    assert_told("close 10000000-10004000\n");
    assert_int_equal(vmk_madvise(t.mm, &dontfork, NULL), 0);
    told.len = 0;
    assert_int_equal(vmk_mm_become_child(t.mm), 0);
    assert_told("close 10000000-10001000\n");
    vt_validate(&t);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_and_private_data),
        cmocka_unit_test(mmap_hook_refuses_and_changes),
        cmocka_unit_test(devices_are_not_populated),
        cmocka_unit_test(open_close_split),
        cmocka_unit_test(may_split),
        cmocka_unit_test(close_keeps_a_merge_from_removing_it),
        cmocka_unit_test(merge),
        cmocka_unit_test(mremap),
        cmocka_unit_test(mremap_and_a_driver_that_changes_its_mind),
        cmocka_unit_test(mprotect),
        cmocka_unit_test(fault_and_page_mkwrite),
        cmocka_unit_test(a_driver_without_fault_gives_sigbus),
        cmocka_unit_test(access_hook),
        cmocka_unit_test(policies),
        cmocka_unit_test(migrate),
        cmocka_unit_test(madvise),
        cmocka_unit_test(remap_pages),
        cmocka_unit_test(fork_opens_and_release_is_last),
        cmocka_unit_test(hooks_of_a_copy_and_in_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
