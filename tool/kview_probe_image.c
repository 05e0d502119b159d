/* SPDX-License-Identifier: MIT */
/*
 * kview_probe_image.c - how the running kernel lays a program out: looked at in programs of a moment (cat, of its own
 * maps). With fixed addresses and an unlimited stack one look tells the layout's direction. What is random can only be
 * bounded: of the widths that kernels are known to have, the smallest that holds all that was seen in a few looks. A
 * wider one passes for the next narrower (a sixteenth or less) once in 16^5.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kview.h"

enum { NR_LOOKS = 5 };

/* Of a program that has just begun. */
struct image {
    vmk_addr program_end, heap, stack_end, loader; /* 0: not seen; the loader: any file but the program */
};

static void note_line(struct image *image, const char *line)
{
    unsigned long long start, end;
    char name[256] = "", program[] = "/cat";

    if (sscanf(line, "%llx-%llx %*s %*s %*s %*s %255s", &start, &end, name) < 2)
        return;
    size_t len = strlen(name);
    if (strcmp(name, "[heap]") == 0)
        image->heap = start;
    else if (strcmp(name, "[stack]") == 0)
        image->stack_end = end;
    else if (len >= sizeof(program) - 1 && strcmp(name + len - (sizeof(program) - 1), program) == 0)
        image->program_end = end;
    else if (name[0] == '/' && image->loader == 0)
        image->loader = start;
}

/* In the child. */
static void become_image(int out, bool fixed)
{
    unsigned long persona = (unsigned long)personality(0xffffffff);
    struct rlimit stack = {0};

    if (fixed) {
        (void)getrlimit(RLIMIT_STACK, &stack);
        stack.rlim_cur = RLIM_INFINITY;
        if (setrlimit(RLIMIT_STACK, &stack) != 0)
            _exit(1);
    }
    persona = fixed ? persona | ADDR_NO_RANDOMIZE : persona & ~(unsigned long)ADDR_NO_RANDOMIZE;
    if (personality(persona) == -1 || dup2(out, STDOUT_FILENO) < 0)
        _exit(1);
    (void)dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
    execle("/bin/cat", "cat", "/proc/self/maps", (char *)NULL, (char *[]){NULL});
    _exit(1);
}

/* False: nothing is known of it. */
static bool look(struct image *image, bool fixed)
{
    char line[512];
    int ends[2], status = -1;

    *image = (struct image){0};
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    pid_t child = fork();
    if (child == 0)
        become_image(ends[1], fixed);
    close(ends[1]);
    FILE *maps = fdopen(ends[0], "re");
    while (child > 0 && maps != NULL && fgets(line, sizeof(line), maps) != NULL)
        note_line(image, line);
    if (maps != NULL)
        fclose(maps);
    else
        close(ends[0]);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0 && image->stack_end != 0;
}

/* The bottom-up layout begins at a third of the address space, the top-down one ends at a sixth when stacks are unlimited. */
static void probe_unlimited(struct vmk_settings *settings, vmk_addr task_size)
{
    struct image image;

    if (look(&image, true) && image.loader != 0)
        settings->unlimited_stack_legacy = image.loader >= task_size / 4 && image.loader < task_size / 2;
}

static uint64_t narrowest(const uint64_t *widths, size_t nr, uint64_t seen)
{
    size_t i = 0;

    while (i + 1 < nr && widths[i] <= seen)
        i++;
    return widths[i];
}

static void probe_widths(struct vmk_settings *settings, vmk_addr task_size)
{
    static const uint64_t heaps[] = {UINT64_C(1) << 25, UINT64_C(1) << 30}, stacks[] = {0x3ffff, 0x3fffff};
    uint64_t heap = 0, stack = 0;
    struct image image;

    for (int i = 0; i < NR_LOOKS; i++) {
        if (!look(&image, false) || image.heap < image.program_end || image.program_end == 0 ||
            image.stack_end > task_size)
            return;
        if (image.heap - image.program_end > heap)
            heap = image.heap - image.program_end;
        if ((task_size - image.stack_end) >> settings->page_shift > stack)
            stack = (task_size - image.stack_end) >> settings->page_shift;
    }
    /* kernel.randomize_va_space of 1 leaves the heap alone, 0 everything: then nothing is known. */
    settings->brk_rnd_bytes = heap >> settings->page_shift <= 1 ? 0 : narrowest(heaps, 2, heap);
    if (stack != 0)
        settings->stack_rnd_pages = narrowest(stacks, 2, stack);
}

void kview_probe_image(struct vmk_settings *settings)
{
    /* The end of an address space is a page short of the power of two on x86-64. */
    vmk_addr task_size = UINT64_C(1) << settings->va_bits;

    if (settings->arch == VMK_ARCH_X86_64)
        task_size -= UINT64_C(1) << settings->page_shift;
    probe_unlimited(settings, task_size);
    probe_widths(settings, task_size);
}
