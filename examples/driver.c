/* SPDX-License-Identifier: MIT */
/*
 * driver - a driver with its own vm_ops: a frame buffer that a process maps. The mmap hook describes the mapping, open and
 * close count it, fault supplies pages, page_mkwrite learns which are dirty, access lets a debugger in.
 */
#include <stdio.h>
#include <string.h>

#include "vmakit/vmakit.h"

enum { NR_PAGES = 8, PAGE = 4096 };

struct frame_buffer {
    unsigned char memory[NR_PAGES][PAGE];
    unsigned nr_mappings;
    unsigned nr_faults;
    unsigned dirty; /* a bit a page */
};

static struct frame_buffer *frame_buffer_of(const struct vmk_vma *vma)
{
    return vmk_vma_private_data(vma);
}

static void fb_open(struct vmk_vma *vma)
{
    frame_buffer_of(vma)->nr_mappings++;
}

static void fb_close(struct vmk_vma *vma)
{
    frame_buffer_of(vma)->nr_mappings--;
}

static int fb_fault(struct vmk_vma *vma, struct vmk_fault *fault)
{
    if (fault->pgoff >= NR_PAGES)
        return -VMK_EFAULT; /* SIGBUS */
    frame_buffer_of(vma)->nr_faults++;
    return 0;
}

static int fb_page_mkwrite(struct vmk_vma *vma, struct vmk_fault *fault)
{
    frame_buffer_of(vma)->dirty |= 1u << fault->pgoff;
    return 0;
}

static int fb_access(struct vmk_vma *vma, vmk_addr address, void *buffer, size_t len, bool write)
{
    unsigned char *at = frame_buffer_of(vma)->memory[vmk_vma_pgoff(vma)] + (address - vmk_vma_start(vma));

    if (write)
        memcpy(at, buffer, len);
    else
        memcpy(buffer, at, len);
    return (int)len;
}

static const struct vmk_vm_ops fb_vm_ops = {
    .size = sizeof(fb_vm_ops),
    .open = fb_open,
    .close = fb_close,
    .fault = fb_fault,
    .page_mkwrite = fb_page_mkwrite,
    .access = fb_access,
};

/* What a mapping of the device is: commit installs it. The hook itself is the mapping's beginning: no open follows. */
static int fb_mmap(struct vmk_file *file, struct vmk_mmap_description *description)
{
    struct frame_buffer *fb = vmk_file_user(file);

    if (description->pgoff + (description->end - description->start) / PAGE > NR_PAGES)
        return -VMK_EINVAL;
    description->flags |= VMK_VM_IO | VMK_VM_PFNMAP | VMK_VM_DONTEXPAND | VMK_VM_DONTDUMP;
    description->ops = &fb_vm_ops;
    description->private_data = fb;
    fb->nr_mappings++;
    return 0;
}

static const struct vmk_file_ops fb_file_ops = {.size = sizeof(fb_file_ops), .mmap = fb_mmap};

static struct vmk_file *open_device(struct vmk_system *system, struct frame_buffer *fb)
{
    const struct vmk_object_options inode = {.size = sizeof(inode), .kind = VMK_OBJECT_DEVICE};
    struct vmk_file_options options = {.size = sizeof(options),
                                       .mode = VMK_FILE_READ | VMK_FILE_WRITE,
                                       .ops = &fb_file_ops,
                                       .name = "/dev/fb0",
                                       .user = fb};
    struct vmk_file *file = NULL;

    if (vmk_object_create(system, &inode, &options.object) != 0)
        return NULL;
    if (vmk_file_create(system, &options, &file) != 0)
        file = NULL;
    vmk_object_put(options.object); /* the file has its own reference */
    return file;
}

static void print(void *context, const char *text, size_t len)
{
    fwrite(text, 1, len, context);
}

static void touch(struct vmk_mm *mm, vmk_addr address, unsigned access)
{
    const struct vmk_fault_request request = {.address = address, .access = access, .flags = VMK_FAULT_USER};
    struct vmk_fault fault;

    if (vmk_mm_fault(mm, &request, &fault) == 0 && fault.outcome == VMK_FAULT_SIGNAL)
        printf("  signal %d, code %d\n", fault.signal, fault.code);
}

static bool use_device(struct vmk_mm *mm, struct vmk_file *file, struct frame_buffer *fb)
{
    const struct vmk_mmap_request map = {
        .len = 4 * PAGE, .prot = VMK_PROT_READ | VMK_PROT_WRITE, .flags = VMK_MAP_SHARED, .file = file, .offset = PAGE};
    struct vmk_result result;
    struct vmk_mm *child;
    char text[6] = "";

    if (vmk_mmap(mm, &map, &result) != 0)
        return false;
    vmk_report_maps(mm, print, stdout);
    touch(mm, result.value, VMK_ACCESS_READ);
    touch(mm, result.value + PAGE, VMK_ACCESS_WRITE);
    printf("mapped once: %u mapping, %u faults, dirty pages 0x%x\n", fb->nr_mappings, fb->nr_faults, fb->dirty);
    if (fb->nr_mappings != 1 || fb->nr_faults != 2 || fb->dirty != 1u << 2)
        return false;

    if (vmk_mm_access(mm, result.value, "hello", 5, true) != 5 || vmk_mm_access(mm, result.value, text, 5, false) != 5)
        return false;
    printf("a debugger wrote and read: %s\n", text);

    /* A hole in the middle makes two mappings of one, and fork doubles them. */
    const struct vmk_munmap_request hole = {.address = result.value + PAGE, .len = PAGE};
    if (vmk_munmap(mm, &hole, NULL) != 0 || fb->nr_mappings != 2 || vmk_mm_fork(mm, &child) != 0)
        return false;
    printf("after a hole and a fork: %u mappings\n", fb->nr_mappings);
    vmk_mm_put(child);
    return fb->nr_mappings == 2;
}

int main(void)
{
    static struct frame_buffer fb;
    struct vmk_system_options system_options;
    struct vmk_mm_options mm_options;
    struct vmk_system *system;
    struct vmk_file *file;
    struct vmk_mm *mm;
    bool good;

    vmk_system_options_init(&system_options, vmk_port_linux());
    vmk_mm_options_init(&mm_options);
    if (vmk_system_create(&system_options, &system) != 0 || vmk_mm_create(system, &mm_options, &mm) != 0)
        return 1;
    file = open_device(system, &fb);
    if (file == NULL)
        return 1;
    good = use_device(mm, file, &fb);
    vmk_file_put(file); /* the areas still hold it */
    vmk_mm_put(mm);
    printf("at the end: %u mappings\n", fb.nr_mappings);
    vmk_system_quiesce(system);
    return good && fb.nr_mappings == 0 && vmk_system_destroy(system) == 0 ? 0 : 1;
}
