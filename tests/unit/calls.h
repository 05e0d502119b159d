/* SPDX-License-Identifier: MIT */
/* calls.h - short forms of the calls that advise, lock, seal and name memory, for their tests. */
#ifndef VMAKIT_TESTS_CALLS_H
#define VMAKIT_TESTS_CALLS_H

#include "support.h"

#define BASE UINT64_C(0x10000000)
#define P(n) ((uint64_t)(n)*VT_PAGE)

static VT_UNUSED int64_t vt_madvise(struct vt *t, vmk_addr address, uint64_t len, int advice)
{
    const struct vmk_madvise_request request = {.address = address, .len = len, .advice = advice};

    return vt_return(t, vmk_madvise(t->mm, &request, &t->result));
}

static VT_UNUSED int64_t vt_mlock2(struct vt *t, vmk_addr address, uint64_t len, uint32_t flags)
{
    const struct vmk_mlock_request request = {.address = address, .len = len, .flags = flags};

    return vt_return(t, vmk_mlock(t->mm, &request, &t->result));
}

static VT_UNUSED int64_t vt_mlock(struct vt *t, vmk_addr address, uint64_t len)
{
    return vt_mlock2(t, address, len, 0);
}

static VT_UNUSED int64_t vt_munlock(struct vt *t, vmk_addr address, uint64_t len)
{
    const struct vmk_munlock_request request = {.address = address, .len = len};

    return vt_return(t, vmk_munlock(t->mm, &request, &t->result));
}

static VT_UNUSED int64_t vt_mlockall(struct vt *t, uint32_t flags)
{
    const struct vmk_mlockall_request request = {.flags = flags};

    return vt_return(t, vmk_mlockall(t->mm, &request, &t->result));
}

static VT_UNUSED int64_t vt_munlockall(struct vt *t)
{
    const struct vmk_munlockall_request request = {.reserved = 0};

    return vt_return(t, vmk_munlockall(t->mm, &request, &t->result));
}

static VT_UNUSED int64_t vt_mseal(struct vt *t, vmk_addr address, uint64_t len, uint64_t flags)
{
    const struct vmk_mseal_request request = {.address = address, .len = len, .flags = flags};

    return vt_return(t, vmk_mseal(t->mm, &request, &t->result));
}

static VT_UNUSED int64_t vt_msync(struct vt *t, vmk_addr address, uint64_t len, uint32_t flags)
{
    const struct vmk_msync_request request = {.address = address, .len = len, .flags = flags};

    return vt_return(t, vmk_msync(t->mm, &request, &t->result));
}

static VT_UNUSED int64_t vt_mincore(struct vt *t, vmk_addr address, uint64_t len)
{
    const struct vmk_mincore_request request = {.address = address, .len = len};
    int error = vmk_mincore(t->mm, &request, &t->result);

    assert_int_equal(t->result.value, t->result.done / P(1)); /* with an error too */
    return error != 0 ? error : vt_return(t, error);
}

static VT_UNUSED int64_t vt_mbind(struct vt *t, vmk_addr address, uint64_t len, uint32_t mode, uint64_t nodes)
{
    const struct vmk_mbind_request request = {
        .address = address, .len = len, .mode = mode, .nodes = nodes, .max_node = 64};

    return vt_return(t, vmk_mbind(t->mm, &request, &t->result));
}

static VT_UNUSED int64_t vt_option(struct vt *t, enum vmk_option option, uint64_t value)
{
    const struct vmk_set_option_request request = {.option = option, .value = value};

    return vt_return(t, vmk_set_option(t->mm, &request, &t->result));
}

static VT_UNUSED int64_t vt_register(struct vt *t, uint64_t context, vmk_addr address, uint64_t len, uint64_t mode)
{
    const struct vmk_uffd_request request = {
        .action = VMK_UFFD_REGISTER, .context = context, .mode = mode, .address = address, .len = len};

    return vt_return(t, vmk_uffd(t->mm, &request, &t->result));
}

static VT_UNUSED int64_t vt_unregister(struct vt *t, uint64_t context, vmk_addr address, uint64_t len)
{
    const struct vmk_uffd_request request = {
        .action = VMK_UFFD_UNREGISTER, .context = context, .address = address, .len = len};

    return vt_return(t, vmk_uffd(t->mm, &request, &t->result));
}

static VT_UNUSED int64_t vt_uffd_close(struct vt *t, uint64_t context)
{
    const struct vmk_uffd_request request = {.action = VMK_UFFD_CLOSE, .context = context};

    return vt_return(t, vmk_uffd(t->mm, &request, &t->result));
}

/* A file like vt_file_kind's, with a mode and seals of its own. */
static VT_UNUSED struct vmk_file *vt_file_mode(struct vt *t, uint64_t id, enum vmk_object_kind kind, uint32_t mode,
                                               uint32_t seals)
{
    struct vmk_object *object;
    const struct vmk_object_options object_options = {
        .size = sizeof(object_options), .kind = kind, .id = id, .nr_bytes = P(64)};

    assert_int_equal(vmk_object_create(t->system, &object_options, &object), 0);
    const struct vmk_file_options options = {
        .size = sizeof(options), .object = object, .mode = mode, .seals = seals, .name = "/f", .id = id};
    assert_int_equal(vmk_file_create(t->system, &options, &t->files[id - 1]), 0);
    vmk_object_put(object);
    return t->files[id - 1];
}

/* A fixed mapping of a file; must succeed. */
static VT_UNUSED void vt_map_file(struct vt *t, vmk_addr address, uint64_t len, uint32_t prot, uint32_t type,
                                  struct vmk_file *file, uint64_t offset)
{
    assert_ret(vt_mmap_file(t, address, len, prot, type | VMK_MAP_FIXED, file, offset), address);
}

/* One of Linux's special mappings: `ops` may refuse a split, as those of the vdso do. */
static VT_UNUSED int vt_no_split(struct vmk_vma *vma, vmk_addr address)
{
    (void)vma;
    (void)address;
    return -VMK_EINVAL;
}

static VT_UNUSED void vt_special(struct vt *t, vmk_addr address, uint64_t len, vmk_vm_flags flags)
{
    static const struct vmk_vm_ops ops = {.size = sizeof(ops), .may_split = vt_no_split};
    const struct vmk_import_area area = {
        .start = address, .end = address + len, .flags = flags, .special_name = "[vdso]", .ops = &ops};

    assert_int_equal(vmk_mm_import(t->mm, &area), 0);
    vt_validate(t);
}

#define VT_VDSO (VMK_VM_READ | VMK_VM_EXEC | VMK_VM_MAY_ACCESS | VMK_VM_DONTEXPAND)
#define VT_VVAR (VMK_VM_READ | VMK_VM_MAYREAD | VMK_VM_PFNMAP | VMK_VM_IO | VMK_VM_DONTEXPAND | VMK_VM_DONTDUMP)

#endif
