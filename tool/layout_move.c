/* SPDX-License-Identifier: MIT */
/* layout_move.c - moving a fresh image: mremap in the task's name, then every pointer that exec left is set right. */
#include <elf.h>
#include <errno.h>
#include <linux/prctl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "inject.h"
#include "layout.h"
#include "trace.h"

/* The image of a stopped task. */
struct image {
    pid_t tid;
    struct trace_regs regs;
    uint64_t *words; /* from the stack pointer up: argc, argv, environment, auxiliary vector, strings */
    size_t nr_words, arguments_end, environment_end, auxv, auxv_end; /* indices */
    uint64_t sp;
    uint64_t call; /* address of an instruction that makes a system call */
};

static int transfer(pid_t tid, bool write, uint64_t address, void *buffer, size_t len)
{
    struct iovec local = {.iov_base = buffer, .iov_len = len};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = len};
    ssize_t done =
        write ? process_vm_writev(tid, &local, 1, &remote, 1, 0) : process_vm_readv(tid, &local, 1, &remote, 1, 0);
    return done == (ssize_t)len ? 0 : -EIO;
}

/* ---- What exec left ---- */

static const struct kview_area *area_of(const struct kview *view, vmk_addr address)
{
    for (size_t i = 0; i < view->nr_areas; i++)
        if (address >= view->areas[i].start && address < view->areas[i].end)
            return &view->areas[i];
    return NULL;
}

/* The index after the 0 that ends a list of pointers; past the end when there is none. */
static size_t after_zero(const struct image *image, size_t i)
{
    while (i < image->nr_words && image->words[i] != 0)
        i++;
    return i + 1;
}

static int read_stack(struct image *image, const struct kview *view)
{
    const struct kview_area *stack = area_of(view, image->sp);
    if (stack == NULL)
        return -EIO;
    size_t len = (size_t)(stack->end - image->sp);
    image->words = malloc(len);
    if (image->words == NULL)
        return -ENOMEM;
    int error = transfer(image->tid, false, image->sp, image->words, len);
    image->nr_words = len / sizeof(uint64_t);
    image->arguments_end = after_zero(image, 1);
    image->environment_end = image->auxv = after_zero(image, image->arguments_end);
    for (image->auxv_end = image->auxv; image->auxv_end + 1 < image->nr_words; image->auxv_end += 2)
        if (image->words[image->auxv_end] == AT_NULL)
            return error;
    return error != 0 ? error : -EIO;
}

static uint64_t auxv_value(const struct image *image, uint64_t type)
{
    for (size_t i = image->auxv; i < image->auxv_end; i += 2)
        if (image->words[i] == type)
            return image->words[i + 1];
    return 0;
}

/* A header that cannot be read where it usually lies is taken for one of fixed addresses. */
static bool is_fixed(const struct image *image, vmk_addr phdr)
{
    Elf64_Ehdr header;
    vmk_addr page = phdr & ~UINT64_C(4095);
    return transfer(image->tid, false, page, &header, sizeof(header)) != 0 ||
           memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_phoff != phdr - page || header.e_type != ET_DYN;
}

static void find_call(struct image *image, const struct kview *view)
{
    for (size_t i = 0; i < view->nr_areas && image->call == 0; i++)
        if (view->areas[i].perms[2] == 'x')
            image->call = inject_find(image->tid, view->areas[i].start, view->areas[i].end);
}

static int read_image(struct image *image, struct kview *view, struct layout_image *facts)
{
    if (!trace_regs_read(image->tid, &image->regs) || kview_read(view, image->tid, 0) != 0)
        return -EIO;
    image->sp = trace_regs_sp(&image->regs);
    int error = read_stack(image, view);
    if (error != 0)
        return error;
    facts->phdr = auxv_value(image, AT_PHDR);
    facts->loader = auxv_value(image, AT_BASE);
    facts->stack = image->sp;
    facts->fixed = is_fixed(image, facts->phdr);
    find_call(image, view);
    return image->call != 0 ? 0 : -EIO;
}

/* ---- Moving it ---- */

static int move(struct image *image, const struct layout_step *step)
{
    const uint64_t args[6] = {step->from, step->len, step->len, MREMAP_MAYMOVE | MREMAP_FIXED, step->to, 0};
    int64_t result;
    if (!inject_call(image->tid, image->call, SYS_mremap, args, &result))
        return -EIO;
    if (result != (int64_t)step->to)
        return -EFAULT;
    if (image->call - step->from < step->len)
        image->call += step->to - step->from;
    return 0;
}

static int move_all(struct image *image, const struct layout *layout, const struct kview *view)
{
    struct layout_step *steps = calloc(2 * view->nr_areas + 1, sizeof(*steps));
    if (steps == NULL)
        return -ENOMEM;
    size_t nr_steps = layout_steps(layout, view, steps);
    int error = 0;
    for (size_t i = 0; i < nr_steps && error == 0; i++)
        error = move(image, &steps[i]);
    free(steps);
    return error;
}

/* ---- Setting pointers right ---- */

static bool is_address(uint64_t type)
{
    switch (type) {
    case AT_PHDR:
    case AT_BASE:
    case AT_ENTRY:
    case AT_PLATFORM:
    case AT_BASE_PLATFORM:
    case AT_RANDOM:
    case AT_EXECFN:
    case AT_SYSINFO_EHDR:
        return true;
    default:
        return false;
    }
}

static int fix_stack(struct image *image, const struct layout *layout)
{
    uint64_t *words = image->words;
    for (size_t i = 1; i < image->environment_end; i++)
        words[i] = layout_translate(layout, words[i]); /* the zeros between stay zeros */
    for (size_t i = image->auxv; i < image->auxv_end; i += 2)
        if (is_address(words[i]))
            words[i + 1] = layout_translate(layout, words[i + 1]);
    image->sp = layout_translate(layout, image->sp);
    return transfer(image->tid, true, image->sp, words, (image->auxv_end + 2) * sizeof(uint64_t));
}

/* The kernel's own marks: it answers brk and shows the command line by them. */
static int fix_marks(struct image *image, const struct layout *layout, const struct vmk_mm_layout *marks)
{
    struct prctl_mm_map map = {
        .start_code = layout_translate(layout, marks->start_code),
        .end_code = layout_translate(layout, marks->end_code),
        .start_data = layout_translate(layout, marks->start_data),
        .end_data = layout_translate(layout, marks->end_data),
        .start_brk = layout_translate(layout, marks->start_brk) + layout->heap_shift,
        .brk = layout_translate(layout, marks->start_brk) + layout->heap_shift,
        .start_stack = layout_translate(layout, marks->start_stack),
        .arg_start = layout_translate(layout, marks->arg_start),
        .arg_end = layout_translate(layout, marks->arg_end),
        .env_start = layout_translate(layout, marks->env_start),
        .env_end = layout_translate(layout, marks->env_end),
        .auxv = (void *)(uintptr_t)(image->sp + image->auxv * sizeof(uint64_t)),
        .auxv_size = (uint32_t)((image->auxv_end + 2 - image->auxv) * sizeof(uint64_t)),
        .exe_fd = UINT32_MAX,
    };
    uint64_t scratch = image->sp - 1024; /* nobody has run yet: nothing lies below */
    const uint64_t args[6] = {PR_SET_MM, PR_SET_MM_MAP, scratch, sizeof(map), 0, 0};
    int64_t result;
    if (transfer(image->tid, true, scratch, &map, sizeof(map)) != 0 ||
        !inject_call(image->tid, image->call, SYS_prctl, args, &result))
        return -EIO;
    memset(&map, 0, sizeof(map));
    return result != 0 ? (int)result : transfer(image->tid, true, scratch, &map, sizeof(map));
}

static int fix_pointers(struct image *image, struct layout *layout, const struct vmk_mm_layout *marks)
{
    int error = fix_stack(image, layout);
    if (error != 0)
        return error;
    error = fix_marks(image, layout, marks);
    if (error != 0) {
        layout->problem = "the kernel does not let its marks be set (PR_SET_MM_MAP)";
        return -EPERM;
    }
    trace_regs_set_sp(&image->regs, image->sp);
    trace_regs_set_pc(&image->regs, layout_translate(layout, trace_regs_pc(&image->regs)));
    return trace_regs_write(image->tid, &image->regs) ? 0 : -EIO;
}

int layout_move(pid_t tid, struct vmk_system *system, const struct layout_policy *policy, uint64_t stack_limit,
                struct kview *view, struct layout *layout)
{
    struct image image = {.tid = tid};
    struct layout_image facts = {.stack_limit = stack_limit};
    struct vmk_mm_layout marks;

    memset(layout, 0, sizeof(*layout));
    int error = read_image(&image, view, &facts);
    if (error == 0 && !trace_read_marks(tid, &marks))
        error = -EIO;
    if (error == 0)
        error = layout_plan(system, policy, &facts, view, layout);
    if (error == 0) {
        error = move_all(&image, layout, view);
        if (error == 0)
            error = fix_pointers(&image, layout, &marks);
        if (error == -EINVAL || error == -ENOMEM)
            error = -EIO;
    }
    if (error != 0 && layout->problem == NULL)
        layout->problem = error == -EFAULT ? "the kernel did not move a part of the image" : "the image cannot be read";
    free(image.words);
    return error;
}
