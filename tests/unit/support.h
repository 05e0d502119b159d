/* SPDX-License-Identifier: MIT */
/*
 * support.h - what the unit tests of verbs share: a space to work in, whole expected maps, and allocations that fail.
 *
 * Every helper that makes a call validates the address space afterwards. A map is written one line an area:
 *
 *     START-END PERMS [flag ...] [!may ...] [anon=aN[f]] [pgoff=HEX] [file=ID] [uffd=N] [NAME]
 *
 * in hexadecimal; flags are those of /proc/PID/smaps without rd wr ex sh and the mr mw me ms that go with them; a MAY bit
 * that is missing is shown as !mw and so on. anon_vmas are numbered a1, a2 ... as they appear, `f` marks an inherited
 * one, `?` an unknown one. pgoff is shown for files, and for anonymous memory only where it is not its address. [heap] and
 * [stack] are shown by name when the layout gives them.
 */
#ifndef VMAKIT_TESTS_SUPPORT_H
#define VMAKIT_TESTS_SUPPORT_H

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "mm/mm.h"
#include "vmakit/vmakit.h"

#if defined(__GNUC__)
#define VT_UNUSED __attribute__((unused))
#else
#define VT_UNUSED
#endif

#define VT_PAGE UINT64_C(0x1000)
enum { VT_TEXT = 1 << 16, VT_FILES = 8 };

/* An address space of its own in a system of its own, on an allocator that counts and can be told to fail. */
struct vt {
    struct vmk_port port;
    struct vmk_system_options system_options;
    struct vmk_mm_options mm_options;
    struct vmk_system *system;
    struct vmk_mm *mm;
    struct vmk_file *files[VT_FILES];
    struct vmk_result result; /* of the last call */
    atomic_long nr_live;      /* allocations not yet freed */
    atomic_long until_fail;   /* allocations that still succeed; negative: all do */
    atomic_bool failed;       /* one was refused */
};

/* Text that a sink collects. */
struct vt_text {
    size_t len;
    char text[VT_TEXT];
};

/* ---- Time ---- */

/*
 * The thread of liburcu that runs what was deferred polls nothing for 10 ms at a time, and every vt_teardown waits for it.
 * Here it sleeps for less, which makes the tests ten times as fast and changes nothing else.
 */
__attribute__((visibility("default"))) int poll(struct pollfd *fds, nfds_t nr_fds, int timeout)
{
    struct timespec time = {timeout / 1000, timeout % 1000 * 1000000L};

    if (nr_fds == 0 && timeout == 10)
        time.tv_nsec = 20000;
    return ppoll(fds, nr_fds, timeout < 0 ? NULL : &time, NULL);
}

/* ---- The allocator ---- */

/*
 * Before each block stands its size: what was asked for must be what is given back, and the alignment one that port.h allows. After
 * it stand some bytes that nobody writes.
 */
enum { VT_BLOCK_ALIGN = 64 };
static const char vt_after[8] = {'a', 'f', 't', 'e', 'r', ' ', 'i', 't'};

static VT_UNUSED void vt_port_misused(const char *what, size_t is)
{
    fprintf(stderr, "the library %s: %zu\n", what, is);
    abort(); /* perhaps in a thread that cmocka does not know */
}

static VT_UNUSED void *vt_alloc(void *context, size_t size, size_t align, unsigned flags)
{
    struct vt *t = context;

    (void)flags;
    if (align == 0 || align > VT_BLOCK_ALIGN || (align & (align - 1)) != 0)
        vt_port_misused("asks for an alignment that is none", align);
    if (atomic_load(&t->until_fail) >= 0 && atomic_fetch_sub(&t->until_fail, 1) <= 0) {
        atomic_store(&t->failed, true);
        return NULL;
    }
    char *block = aligned_alloc(VT_BLOCK_ALIGN, VT_BLOCK_ALIGN + ((size + sizeof(vt_after) + 63) & ~(size_t)63));
    if (block == NULL)
        return NULL;
    memcpy(block, &size, sizeof(size));
    memset(block + VT_BLOCK_ALIGN, 0xa5, size);
    memcpy(block + VT_BLOCK_ALIGN + size, vt_after, sizeof(vt_after));
    atomic_fetch_add(&t->nr_live, 1);
    return block + VT_BLOCK_ALIGN;
}

static VT_UNUSED void vt_free(void *context, void *memory, size_t size)
{
    struct vt *t = context;
    char *block = (char *)memory - VT_BLOCK_ALIGN;

    if (memory == NULL)
        return;
    if (memcmp(block, &size, sizeof(size)) != 0)
        vt_port_misused("gives back a block with another size than it took it with", size);
    if (memcmp((char *)memory + size, vt_after, sizeof(vt_after)) != 0)
        vt_port_misused("has written beyond the end of a block", size);
    memset(memory, 0x5a, size);
    free(block);
    atomic_fetch_sub(&t->nr_live, 1);
}

/* ---- Text ---- */

static VT_UNUSED void vt_sink(void *context, const char *text, size_t len)
{
    struct vt_text *to = context;

    assert_true(to->len + len < VT_TEXT);
    memcpy(to->text + to->len, text, len);
    to->len += len;
    to->text[to->len] = '\0';
}

static VT_UNUSED void vt_print(struct vt_text *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
static VT_UNUSED void vt_print(struct vt_text *to, const char *format, ...)
{
    char line[512];
    va_list arguments;

    va_start(arguments, format);
    int len = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    vt_sink(to, line, (size_t)len);
}

static VT_UNUSED void vt_validate_mm(struct vmk_mm *mm)
{
    static struct vt_text text;

    text.len = 0;
    text.text[0] = '\0';
    if (vmk_mm_validate(mm, vt_sink, &text) != 0) {
        vmk_mm_dump(mm, vt_sink, &text);
        fail_msg("invalid address space:\n%s", text.text);
    }
}

static VT_UNUSED void vt_validate(struct vt *t)
{
    vt_validate_mm(t->mm);
}

/* ---- Life ---- */

/* Change t->system_options and t->mm_options between vt_init and vt_open. */
static VT_UNUSED void vt_init(struct vt *t)
{
    memset(t, 0, sizeof(*t));
    atomic_store(&t->until_fail, -1);
    t->port = (struct vmk_port){.size = sizeof(t->port), .context = t, .alloc = vt_alloc, .free = vt_free};
    vmk_system_options_init(&t->system_options, &t->port);
    vmk_mm_options_init(&t->mm_options);
}

static VT_UNUSED void vt_open(struct vt *t)
{
    assert_int_equal(vmk_system_create(&t->system_options, &t->system), 0);
    assert_int_equal(vmk_mm_create(t->system, &t->mm_options, &t->mm), 0);
    vt_validate(t);
}

static VT_UNUSED void vt_setup(struct vt *t)
{
    vt_init(t);
    vt_open(t);
}

/* Ends everything and finds leaks. */
static VT_UNUSED void vt_teardown(struct vt *t)
{
    atomic_store(&t->until_fail, -1);
    if (t->mm != NULL)
        vmk_mm_put(t->mm);
    for (size_t i = 0; i < VT_FILES; i++)
        if (t->files[i] != NULL)
            vmk_file_put(t->files[i]);
    vmk_system_quiesce(t->system);
    assert_int_equal(vmk_system_destroy(t->system), 0);
    assert_int_equal(atomic_load(&t->nr_live), 0);
}

/* File `id` (1 ... VT_FILES): one open file description of an object of its own, readable and writable. */
static VT_UNUSED struct vmk_file *vt_file_kind(struct vt *t, uint64_t id, enum vmk_object_kind kind, uint64_t nr_bytes)
{
    char name[32];
    struct vmk_object *object;
    struct vmk_file **file = &t->files[id - 1];

    if (*file != NULL)
        return *file;
    snprintf(name, sizeof(name), "/file%d", (int)id);
    const struct vmk_object_options object_options = {.size = sizeof(object_options),
                                                      .kind = kind,
                                                      .id = id,
                                                      .nr_bytes = nr_bytes,
                                                      .dev_minor = 1,
                                                      .inode = id,
                                                      .huge_shift = kind == VMK_OBJECT_HUGETLB ? 21 : 0};
    assert_int_equal(vmk_object_create(t->system, &object_options, &object), 0);
    const struct vmk_file_options options = {
        .size = sizeof(options), .object = object, .mode = VMK_FILE_READ | VMK_FILE_WRITE, .name = name, .id = id};
    assert_int_equal(vmk_file_create(t->system, &options, file), 0);
    vmk_object_put(object);
    return *file;
}

static VT_UNUSED struct vmk_file *vt_file(struct vt *t, uint64_t id)
{
    return vt_file_kind(t, id, VMK_OBJECT_REGULAR, UINT64_C(1) << 30);
}

/* ---- Maps ---- */

struct vt_anon_numbers {
    uint64_t id[256];
    size_t nr;
};

static VT_UNUSED size_t vt_anon_number(struct vt_anon_numbers *numbers, uint64_t id)
{
    size_t i = 0;

    while (i < numbers->nr && numbers->id[i] != id)
        i++;
    assert_true(i < 256);
    if (i == numbers->nr)
        numbers->id[numbers->nr++] = id;
    return i + 1;
}

static VT_UNUSED void vt_print_flags(struct vmk_mm *mm, vmk_vm_flags flags, struct vt_text *to)
{
    static const struct {
        vmk_vm_flags flag;
        const char *name;
    } may[] = {{VMK_VM_MAYREAD, "mr"}, {VMK_VM_MAYWRITE, "mw"}, {VMK_VM_MAYEXEC, "me"}};
    char names[VMK_VMFLAGS_TEXT_MAX];
    vmk_vm_flags rest = flags & ~(VMK_VM_ACCESS | VMK_VM_MAY_ACCESS | VMK_VM_SHARED | VMK_VM_MAYSHARE);

    vt_print(to, " %c%c%c%c", flags & VMK_VM_READ ? 'r' : '-', flags & VMK_VM_WRITE ? 'w' : '-',
             flags & VMK_VM_EXEC ? 'x' : '-', flags & VMK_VM_MAYSHARE ? 's' : 'p');
    size_t len = vmk_vmflags_text(vmk_mm_settings(mm), rest, names, sizeof(names));
    while (len > 0 && names[len - 1] == ' ')
        len--;
    if (len > 0)
        vt_print(to, " %.*s", (int)len, names);
    for (size_t i = 0; i < 3; i++)
        if ((flags & may[i].flag) == 0)
            vt_print(to, " !%s", may[i].name);
    if ((flags & VMK_VM_MAYSHARE) != 0 && (flags & VMK_VM_SHARED) == 0)
        vt_print(to, " !sh");
}

/* The text form of all areas in [start, end). */
static VT_UNUSED void vt_map_text(struct vmk_mm *mm, vmk_addr start, vmk_addr end, struct vt_text *to)
{
    static struct vt_anon_numbers numbers;
    struct vmk_vma_info info = {.size = sizeof(info)};
    vmk_addr cursor = start;

    numbers.nr = 0;
    to->len = 0;
    to->text[0] = '\0';
    while (vmk_mm_next(mm, &cursor, &info) == 0 && info.start < end) {
        char name[128] = "";

        vt_print(to, "%llx-%llx", (unsigned long long)info.start, (unsigned long long)info.end);
        vt_print_flags(mm, info.flags, to);
        if (info.anon_vma != 0)
            vt_print(to, " anon=a%zu%s", vt_anon_number(&numbers, info.anon_vma), info.anon_vma_inherited ? "f" : "");
        if (info.anon_vma_unknown)
            vt_print(to, " anon=?");
        if (info.file != NULL || info.pgoff != info.start >> mm->page_shift)
            vt_print(to, " pgoff=%llx", (unsigned long long)info.pgoff);
        if (info.file != NULL)
            vt_print(to, " file=%llu", (unsigned long long)info.file_id);
        if (info.uffd != 0)
            vt_print(to, " uffd=%llu", (unsigned long long)info.uffd);
        vmk_mm_lock_read(mm);
        struct vmk_vma *vma = vmk_mm_find(mm, info.start);
        if (vma != NULL)
            vmk_vma_name(vma, name, sizeof(name));
        vmk_mm_unlock_read(mm);
        if (info.file == NULL && name[0] != '\0')
            vt_print(to, " %s", name);
        vt_print(to, "\n");
        info.size = sizeof(info);
    }
}

/* Fails, showing both, unless the areas of `mm` in [start, end) are exactly `expected`. */
static VT_UNUSED void vt_expect_range(struct vmk_mm *mm, vmk_addr start, vmk_addr end, const char *expected,
                                      const char *file, int line)
{
    static struct vt_text text;

    vt_validate_mm(mm);
    vt_map_text(mm, start, end, &text);
    if (strcmp(text.text, expected) != 0) {
        print_error("%s:%d: the map is\n%sand should be\n%s", file, line, text.text, expected);
        _fail(file, line);
    }
}

/* The whole map. Lines end with \n. */
#define assert_map_of(mm, expected) vt_expect_range((mm), 0, UINT64_MAX, (expected), __FILE__, __LINE__)
#define assert_map(t, expected)     assert_map_of((t)->mm, (expected))

static VT_UNUSED void vt_expect_value(int64_t is, int64_t wanted, const char *what, const char *file, int line)
{
    if (is != wanted) {
        print_error("%s:%d: %s is %lld (0x%llx), not %lld (0x%llx)\n", file, line, what, (long long)is,
                    (unsigned long long)is, (long long)wanted, (unsigned long long)wanted);
        _fail(file, line);
    }
}
/* Compares results as system calls give them: a value, or a negative error. */
#define assert_ret(call, wanted) vt_expect_value((int64_t)(call), (int64_t)(wanted), #call, __FILE__, __LINE__)

/* ---- Calls: the value, or a negative error, as a system call would return it ---- */

static VT_UNUSED int64_t vt_return(struct vt *t, int error)
{
    vt_validate(t);
    assert_int_equal(error, t->result.error);
    if (error != 0)
        assert_int_equal(t->result.value, 0);
    return error != 0 ? error : (int64_t)t->result.value;
}

static VT_UNUSED int64_t vt_mmap_file(struct vt *t, vmk_addr address, uint64_t len, uint32_t prot, uint32_t flags,
                                      struct vmk_file *file, uint64_t offset)
{
    const struct vmk_mmap_request request = {
        .address = address, .len = len, .prot = prot, .flags = flags, .file = file, .offset = offset};

    return vt_return(t, vmk_mmap(t->mm, &request, &t->result));
}

#define VT_R     VMK_PROT_READ
#define VT_RW    (VMK_PROT_READ | VMK_PROT_WRITE)
#define VT_RX    (VMK_PROT_READ | VMK_PROT_EXEC)
#define VT_ANON  (VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS)
#define VT_FIXED (VT_ANON | VMK_MAP_FIXED)

/* Anonymous memory at a fixed place; must succeed. */
static VT_UNUSED void vt_anon(struct vt *t, vmk_addr address, uint64_t len, uint32_t prot)
{
    assert_ret(vt_mmap_file(t, address, len, prot, VT_FIXED, NULL, 0), address);
}

static VT_UNUSED int64_t vt_munmap(struct vt *t, vmk_addr address, uint64_t len)
{
    const struct vmk_munmap_request request = {.address = address, .len = len};

    return vt_return(t, vmk_munmap(t->mm, &request, &t->result));
}

static VT_UNUSED int64_t vt_mprotect(struct vt *t, vmk_addr address, uint64_t len, uint64_t prot)
{
    const struct vmk_mprotect_request request = {.address = address, .len = len, .prot = prot, .pkey = -1};

    return vt_return(t, vmk_mprotect(t->mm, &request, &t->result));
}

static VT_UNUSED int64_t vt_mremap(struct vt *t, vmk_addr old_address, uint64_t old_len, uint64_t new_len,
                                   uint64_t flags, vmk_addr new_address)
{
    const struct vmk_mremap_request request = {
        .old_address = old_address, .old_len = old_len, .new_len = new_len, .flags = flags, .new_address = new_address};

    return vt_return(t, vmk_mremap(t->mm, &request, &t->result));
}

/* What a write fault does to an area that exists: its anon_vma comes, a neighbour's or a new one. */
static VT_UNUSED void vt_touch(struct vt *t, vmk_addr address)
{
    vmk_mm_lock_write(t->mm);
    struct vmk_vma *vma = vmki_find(t->mm, address);
    assert_non_null(vma);
    assert_int_equal(vmki_anon_vma_prepare(vma), 0);
    vmk_mm_unlock_write(t->mm);
    vt_validate(t);
}

/* ---- Failing allocations ---- */

/*
 * Runs `call` in a fresh space made by `prepare`, with allocation 0, 1, 2 ... refused in turn, until a run meets no
 * refusal. A run that fails with our own out-of-memory error must leave the dump as it was, and a call that succeeds
 * all the same must leave the map of the run without refusals. `partial`: earlier parts of the call stay applied, as Linux
 * has it, so that only validity is checked.
 */
static VT_UNUSED unsigned vt_fail_each(void (*prepare)(struct vt *t), int64_t (*call)(struct vt *t), bool partial)
{
    static struct vt_text before, after;
    static struct vt t;
    unsigned nr_failed = 0;

    for (long n = 0;; n++) {
        assert_true(n < 10000);
        vt_setup(&t);
        if (prepare != NULL)
            prepare(&t);
        before.len = after.len = 0;
        vmk_mm_dump(t.mm, vt_sink, &before);
        atomic_store(&t.failed, false);
        atomic_store(&t.until_fail, n);
        int64_t value = call(&t);
        bool failed = atomic_load(&t.failed);
        atomic_store(&t.until_fail, -1);
        vt_validate(&t);
        if (failed && value == -VMK_ERR_HOST_NOMEM) {
            nr_failed++;
            vmk_mm_dump(t.mm, vt_sink, &after);
            if (!partial && strcmp(before.text, after.text) != 0)
                fail_msg("allocation %ld refused: the state was\n%sand became\n%s", n, before.text, after.text);
        } else if (value < 0) {
            fail_msg("allocation %ld refused: the call returned %lld", n, (long long)value);
        }
        vt_teardown(&t);
        if (!failed)
            return nr_failed;
    }
}

#endif
