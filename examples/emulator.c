/* SPDX-License-Identifier: MIT */
/*
 * emulator - the memory calls of a tiny emulator, through the two-phase form, onto real host mmap.
 *
 * Guest addresses live in a window of host memory. Each call is prepared, its edits are done on the host one by one, and
 * then it is committed: the guest sees exactly what Linux would do, and when the host refuses, the call is aborted and the
 * guest's address space is as if it had never been made.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmakit/vmakit.h"

#define WINDOW UINT64_C(0x10000000) /* bytes; guest addresses 0 ... WINDOW */

struct emulator {
    struct vmk_system *system;
    struct vmk_mm *mm;
    char *host;         /* of guest address 0 */
    bool host_is_tired; /* refuses everything, for the demonstration */
};

static char *host_of(const struct emulator *e, vmk_addr guest)
{
    return e->host + guest;
}

/* ---- Edits on the host ---- */

static bool host_fill(char *at, size_t len, int prot, int flags, int fd, uint64_t offset)
{
    return mmap(at, len, prot, flags | MAP_FIXED, fd, (off_t)offset) == at;
}

/* Nothing of the guest: the window stays ours. */
static bool host_empty(char *at, size_t len)
{
    return host_fill(at, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static bool host_map(const struct emulator *e, const struct vmk_edit *edit)
{
    char *at = host_of(e, edit->start);
    size_t len = edit->end - edit->start;
    int sharing = edit->flags & VMK_VM_SHARED ? MAP_SHARED : MAP_PRIVATE;
    const int *fd = edit->file != NULL ? vmk_file_user(edit->file) : NULL;

    /* VMK_PROT_* are Linux's values. A file without a descriptor is shared anonymous memory. */
    if (fd == NULL)
        return host_fill(at, len, (int)edit->prot, sharing | MAP_ANONYMOUS, -1, 0);
    return host_fill(at, len, (int)edit->prot, sharing, *fd, edit->offset);
}

static bool host_move(const struct emulator *e, const struct vmk_edit *edit)
{
    char *to = host_of(e, edit->start), *from = host_of(e, edit->from);
    size_t len = edit->end - edit->start;

    if (mremap(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
        return false;
    return host_empty(from, len);
}

static bool host_does(const struct emulator *e, const struct vmk_edit *edit)
{
    size_t len = edit->end - edit->start;

    if (e->host_is_tired)
        return false;
    switch (edit->kind) {
    case VMK_EDIT_UNMAP:
        return host_empty(host_of(e, edit->start), len);
    case VMK_EDIT_MAP:
        return host_map(e, edit);
    case VMK_EDIT_PROTECT:
        return mprotect(host_of(e, edit->start), len, (int)edit->prot) == 0;
    case VMK_EDIT_MOVE:
        return host_move(e, edit);
    case VMK_EDIT_ADVISE:
        return edit->advice < 0 || madvise(host_of(e, edit->start), len, edit->advice) == 0;
    case VMK_EDIT_SYNC:
        return msync(host_of(e, edit->start), len, MS_SYNC) == 0;
    }
    return false;
}

/* ---- Calls of the guest ---- */

/* What the guest's system call returns. The plan has been prepared; `error` is what prepare said. */
static int64_t run(struct emulator *e, struct vmk_plan *plan, int error)
{
    struct vmk_result result;
    struct vmk_edit edit;

    if (error != 0)
        return error;
    do {
        while (vmk_plan_next_edit(plan, &edit))
            if (!host_does(e, &edit)) {
                vmk_plan_abort(plan, -VMK_ENOMEM, &result);
                return result.error;
            }
    } while (vmk_plan_commit(plan, &result) == VMK_PLAN_MORE);
    return result.error != 0 ? result.error : (int64_t)result.value;
}

static int64_t guest_mmap(struct emulator *e, vmk_addr address, uint64_t len, uint32_t prot, uint32_t flags,
                          struct vmk_file *file)
{
    const struct vmk_mmap_request request = {
        .address = address, .len = len, .prot = prot, .flags = flags, .file = file};
    struct vmk_plan plan;

    return run(e, &plan, vmk_mmap_prepare(e->mm, &request, &plan));
}

static int64_t guest_munmap(struct emulator *e, vmk_addr address, uint64_t len)
{
    const struct vmk_munmap_request request = {.address = address, .len = len};
    struct vmk_plan plan;

    return run(e, &plan, vmk_munmap_prepare(e->mm, &request, &plan));
}

static int64_t guest_mprotect(struct emulator *e, vmk_addr address, uint64_t len, uint64_t prot)
{
    const struct vmk_mprotect_request request = {.address = address, .len = len, .prot = prot, .pkey = -1};
    struct vmk_plan plan;

    return run(e, &plan, vmk_mprotect_prepare(e->mm, &request, &plan));
}

static int64_t guest_mremap(struct emulator *e, vmk_addr address, uint64_t len, uint64_t new_len)
{
    const struct vmk_mremap_request request = {
        .old_address = address, .old_len = len, .new_len = new_len, .flags = VMK_MREMAP_MAYMOVE};
    struct vmk_plan plan;

    return run(e, &plan, vmk_mremap_prepare(e->mm, &request, &plan));
}

/* ---- A guest ---- */

static void print(void *context, const char *text, size_t len)
{
    fwrite(text, 1, len, context);
}

static bool expect(bool holds, const char *what)
{
    printf("%-60s %s\n", what, holds ? "yes" : "NO");
    return holds;
}

static bool guest_runs(struct emulator *e, struct vmk_file *file)
{
    const uint32_t rw = VMK_PROT_READ | VMK_PROT_WRITE, anonymous = VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS;
    int64_t a = guest_mmap(e, 0, 0x4000, rw, anonymous, NULL);
    int64_t f = guest_mmap(e, 0, 0x1000, VMK_PROT_READ, VMK_MAP_PRIVATE, file);
    bool good = expect(a > 0 && f > 0, "mmap of memory and of a file");

    if (!good)
        return false;
    strcpy(host_of(e, (vmk_addr)a), "guest data");
    good &= expect(strcmp(host_of(e, (vmk_addr)f), "file data") == 0, "the guest reads its file");
    good &= expect(guest_mprotect(e, (vmk_addr)a + 0x1000, 0x1000, VMK_PROT_READ) == 0, "mprotect splits the area");
    good &= expect(guest_mprotect(e, (vmk_addr)a + 0x1000, 0x1000, rw) == 0, "and joins it again");
    int64_t b = guest_mremap(e, (vmk_addr)a, 0x4000, 0x40000);
    good &= expect(b > 0 && b != a, "mremap has to move it");
    good &= expect(b > 0 && strcmp(host_of(e, (vmk_addr)b), "guest data") == 0, "its contents came along");
    e->host_is_tired = true;
    good &= expect(guest_munmap(e, (vmk_addr)b, 0x1000) == -VMK_ENOMEM, "the host refuses a munmap: ENOMEM");
    e->host_is_tired = false;
    good &= expect(b > 0 && strcmp(host_of(e, (vmk_addr)b), "guest data") == 0, "and nothing happened");
    good &= expect(guest_munmap(e, (vmk_addr)b + 1, 0x1000) == -VMK_EINVAL, "unaligned: EINVAL, as Linux says");
    vmk_report_maps(e->mm, print, stdout);
    return good;
}

/* ---- Life ---- */

static struct vmk_file *guest_file(struct emulator *e, int *fd)
{
    const struct vmk_object_options inode = {.size = sizeof(inode), .kind = VMK_OBJECT_SHMEM, .nr_bytes = 0x1000};
    struct vmk_file_options options = {
        .size = sizeof(options), .mode = VMK_FILE_READ | VMK_FILE_WRITE, .name = "/guest/file", .user = fd};
    struct vmk_file *file = NULL;

    *fd = memfd_create("guest", MFD_CLOEXEC);
    if (*fd < 0 || ftruncate(*fd, 0x1000) != 0 || pwrite(*fd, "file data", 10, 0) != 10)
        return NULL;
    if (vmk_object_create(e->system, &inode, &options.object) != 0)
        return NULL;
    if (vmk_file_create(e->system, &options, &file) != 0)
        file = NULL;
    vmk_object_put(options.object);
    return file;
}

static bool emulator_open(struct emulator *e)
{
    struct vmk_system_options system_options;
    struct vmk_mm_options mm_options;
    struct vmk_mm_layout layout;

    vmk_system_options_init(&system_options, vmk_port_linux());
    vmk_mm_options_init(&mm_options);
    mm_options.window_low = 0x10000; /* free placement stays inside */
    mm_options.window_high = WINDOW;
    mm_options.mmap_base = WINDOW;
    e->host = mmap(NULL, WINDOW, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (e->host == MAP_FAILED || vmk_system_create(&system_options, &e->system) != 0 ||
        vmk_mm_create(e->system, &mm_options, &e->mm) != 0)
        return false;
    /* What lies above the window is the host's: neither MAP_FIXED nor growth in place may reach it. */
    vmk_mm_get_layout(e->mm, &layout);
    return vmk_mm_reserve_range(e->mm, WINDOW, layout.task_size) == 0;
}

int main(void)
{
    struct emulator e = {.host_is_tired = false};
    struct vmk_file *file;
    bool good;
    int fd;

    if (!emulator_open(&e) || (file = guest_file(&e, &fd)) == NULL)
        return 1;
    good = guest_runs(&e, file);
    vmk_file_put(file);
    vmk_mm_put(e.mm);
    vmk_system_quiesce(e.system);
    close(fd);
    return good && vmk_system_destroy(e.system) == 0 ? 0 : 1;
}
