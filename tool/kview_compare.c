/* SPDX-License-Identifier: MIT */
/* kview_compare.c - the kernel's view against the engine's: import once, compare, print both. */
#include "kview.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_ROOM = 4200, CONTEXT_LINES = 4, SIDE_WIDTH = 62 };

/* Flags that VmFlags never shows. */
#define HIDDEN_FLAGS                                                                                                   \
    (VMK_VM_PKEY_MASK | VMK_VM_MTE_ALLOWED | VMK_VM_SHM | VMK_VM_DENYWRITE | VMK_VM_EXECUTABLE | VMK_VM_RESERVED |     \
     VMK_VM_NONLINEAR | VMK_VM_SAO | VMK_VM_GROWSUP | VMK_VM_ARM64_SPECIFIC | VMK_VM_RK3588_SPECIFIC)

/* One area as the engine has it. */
struct engine_area {
    struct vmk_vma_info info;
    char perms[5];
    uint64_t offset, inode;
    uint32_t dev_major, dev_minor;
    char name[NAME_ROOM];
};

/* ---- Import ---- */

/* Areas that the kernel made for itself: they are never split, and never merge since they have a close hook. */
static int special_may_split(struct vmk_vma *vma, vmk_addr address)
{
    (void)vma;
    (void)address;
    return -VMK_EINVAL;
}

static void special_close(struct vmk_vma *vma)
{
    (void)vma;
}

static const struct vmk_vm_ops special_ops = {
    .size = sizeof(struct vmk_vm_ops),
    .close = special_close,
    .may_split = special_may_split,
};

/* The static text of a special area's name; NULL when the area is not special. */
static const char *special_name(const char *name)
{
    static const char *const names[] = {
        "[vdso]",    "[vvar]",      "[vvar_vclock]", "[vectors]",      "[sigpage]",
        "[uprobes]", "[vdso_data]", "[timens_vdso]", "[shadow_stack]",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return names[i];
    return NULL;
}

static bool has_file(const struct kview_area *area)
{
    return area->inode != 0 || area->dev_major != 0 || area->dev_minor != 0 || area->name[0] == '/';
}

/* "[anon:NAME]" -> a PR_SET_VMA name. */
static int import_name(const struct kview_area *area, struct vmk_mm *mm)
{
    static const char prefix[] = "[anon:";
    size_t len = strlen(area->name);
    if (strncmp(area->name, prefix, sizeof(prefix) - 1) != 0 || len < sizeof(prefix) || area->name[len - 1] != ']')
        return 0;
    char text[VMK_VMA_NAME_MAX];
    size_t text_len = len - sizeof(prefix);
    if (text_len >= sizeof(text))
        return 0;
    memcpy(text, area->name + sizeof(prefix) - 1, text_len);
    text[text_len] = '\0';
    struct vmk_name_request request = {.address = area->start, .len = area->end - area->start, .text = text};
    return vmk_name(mm, &request, NULL);
}

static int import_area(const struct kview *view, const struct kview_area *area, struct vmk_mm *mm, kview_file_fn *file,
                       void *context)
{
    struct vmk_import_area import = {
        .start = area->start,
        .end = area->end,
        .flags = area->flags,
        .offset = area->offset,
        .special_name = special_name(area->name),
    };
    if (import.special_name != NULL)
        import.ops = &special_ops;
    else if (has_file(area) && file != NULL)
        import.file = file(context, area);
    if (area->anonymous_kb != 0)
        import.anon_vma = VMK_ANON_YES;
    else if ((view->has & KVIEW_FLAGS) == 0 && area->perms[3] == 'p')
        import.anon_vma = VMK_ANON_UNKNOWN;
    else
        import.anon_vma = VMK_ANON_NO;
    int error = vmk_mm_import(mm, &import);
    if (import.file != NULL)
        vmk_file_put(import.file);
    return error;
}

int kview_import(const struct kview *view, struct vmk_mm *mm, kview_file_fn *file, void *context)
{
    for (size_t i = 0; i < view->nr_areas; i++) {
        int error = import_area(view, &view->areas[i], mm, file, context);
        if (error != 0)
            return error;
    }
    for (size_t i = 0; i < view->nr_areas; i++) {
        int error = import_name(&view->areas[i], mm);
        if (error != 0)
            return error;
    }
    return 0;
}

/* ---- The engine's areas, as maps would show them ---- */

static void set_perms(char perms[5], vmk_vm_flags flags)
{
    perms[0] = flags & VMK_VM_READ ? 'r' : '-';
    perms[1] = flags & VMK_VM_WRITE ? 'w' : '-';
    perms[2] = flags & VMK_VM_EXEC ? 'x' : '-';
    perms[3] = flags & VMK_VM_MAYSHARE ? 's' : 'p';
    perms[4] = '\0';
}

/* The first area that ends above *cursor. */
static bool next_engine_area(struct vmk_mm *mm, vmk_addr *cursor, struct engine_area *area)
{
    vmk_mm_lock_read(mm);
    struct vmk_vma *vma = vmk_mm_find(mm, *cursor);
    if (vma != NULL) {
        area->info.size = sizeof(area->info);
        vmk_vma_get_info(vma, &area->info);
        vmk_vma_name(vma, area->name, sizeof(area->name));
        area->offset = area->inode = 0;
        area->dev_major = area->dev_minor = 0;
        if (area->info.file != NULL) {
            const struct vmk_object *object = vmk_file_object(area->info.file);
            area->offset = area->info.pgoff << vmk_mm_settings(mm)->page_shift;
            area->inode = vmk_object_inode(object);
            vmk_object_device(object, &area->dev_major, &area->dev_minor);
        }
    }
    vmk_mm_unlock_read(mm);
    if (vma == NULL)
        return false;
    set_perms(area->perms, area->info.flags);
    *cursor = area->info.end;
    return true;
}

/* Compares a name with one of /proc, where a newline is written as \012, or with one that was taken over from the engine. */
static bool same_name(const char *engine, const char *kernel)
{
    for (; *engine != '\0'; engine++) {
        if (*engine == '\n' && *kernel == '\n') {
            kernel++;
        } else if (*engine == '\n') {
            if (strncmp(kernel, "\\012", 4) != 0)
                return false;
            kernel += 4;
        } else if (*engine != *kernel++) {
            return false;
        }
    }
    return *kernel == '\0';
}

/* ---- Comparison ---- */

static void say_number(struct kview_difference *difference, const char *what, bool hex, uint64_t kernel,
                       uint64_t engine)
{
    if (hex)
        snprintf(difference->what, sizeof(difference->what), "%s: kernel %" PRIx64 " engine %" PRIx64, what, kernel,
                 engine);
    else
        snprintf(difference->what, sizeof(difference->what), "%s: kernel %" PRIu64 " engine %" PRIu64, what, kernel,
                 engine);
}

/* The flags that one of them has and the other has not. */
static void say_flags(struct kview_difference *difference, const struct vmk_settings *settings, vmk_vm_flags kernel,
                      vmk_vm_flags engine)
{
    char only_kernel[VMK_VMFLAGS_TEXT_MAX], only_engine[VMK_VMFLAGS_TEXT_MAX];

    vmk_vmflags_text(settings, kernel & ~engine, only_kernel, sizeof(only_kernel));
    vmk_vmflags_text(settings, engine & ~kernel, only_engine, sizeof(only_engine));
    snprintf(difference->what, sizeof(difference->what), "VmFlags: only kernel: %.60sonly engine: %.60s",
             only_kernel[0] == '\0' ? "- " : only_kernel, only_engine[0] == '\0' ? "-" : only_engine);
}

/*
 * An object whose device and inode are both 0 is one that the kernel made (shared anonymous memory, a ring): nobody
 * could know its inode beforehand.
 */
static bool same_inode(const struct kview_area *kernel, const struct engine_area *engine)
{
    if (engine->info.file != NULL && engine->inode == 0 && engine->dev_major == 0 && engine->dev_minor == 0)
        return true;
    return kernel->inode == engine->inode && kernel->dev_major == engine->dev_major &&
           kernel->dev_minor == engine->dev_minor;
}

static bool equal_flags(const struct kview *view, const struct kview_area *kernel, const struct engine_area *engine,
                        const struct vmk_settings *settings, struct kview_difference *difference)
{
    if ((view->has & KVIEW_FLAGS) == 0)
        return true;
    vmk_vm_flags hidden = HIDDEN_FLAGS;
    if (settings->linux_version < VMK_LINUX_VERSION(6, 18))
        hidden |= VMK_VM_GUARD_REGION;
    vmk_vm_flags kernel_flags = kernel->flags & ~hidden, engine_flags = engine->info.flags & ~hidden;
    if (kernel_flags == engine_flags)
        return true;
    say_flags(difference, settings, kernel_flags, engine_flags);
    return false;
}

static bool equal_area(const struct kview *view, const struct kview_area *kernel, const struct engine_area *engine,
                       const struct vmk_settings *settings, struct kview_difference *difference)
{
    if (kernel->start != engine->info.start) {
        say_number(difference, "start", true, kernel->start, engine->info.start);
    } else if (kernel->end != engine->info.end) {
        say_number(difference, "end", true, kernel->end, engine->info.end);
    } else if (strcmp(kernel->perms, engine->perms) != 0) {
        snprintf(difference->what, sizeof(difference->what), "permissions: kernel %s engine %s", kernel->perms,
                 engine->perms);
    } else if (kernel->offset != engine->offset) {
        say_number(difference, "offset", true, kernel->offset, engine->offset);
    } else if (!same_inode(kernel, engine)) {
        snprintf(difference->what, sizeof(difference->what),
                 "file: kernel %02x:%02x %" PRIu64 " engine %02x:%02x %" PRIu64, kernel->dev_major, kernel->dev_minor,
                 kernel->inode, engine->dev_major, engine->dev_minor, engine->inode);
    } else if (!same_name(engine->name, kernel->name)) {
        snprintf(difference->what, sizeof(difference->what), "name: kernel '%.60s' engine '%.60s'", kernel->name,
                 engine->name);
    } else {
        return equal_flags(view, kernel, engine, settings, difference);
    }
    return false;
}

static bool equal_areas(const struct kview *view, struct vmk_mm *mm, struct kview_difference *difference)
{
    const struct vmk_settings *settings = vmk_mm_settings(mm);
    struct engine_area engine;
    vmk_addr cursor = 0;
    size_t i = 0;

    while (next_engine_area(mm, &cursor, &engine)) {
        difference->index = i;
        difference->address = engine.info.start;
        if (i == view->nr_areas) {
            snprintf(difference->what, sizeof(difference->what), "area %" PRIx64 "-%" PRIx64 ": only the engine has it",
                     engine.info.start, engine.info.end);
            return false;
        }
        if (view->areas[i].start < engine.info.start)
            difference->address = view->areas[i].start;
        if (!equal_area(view, &view->areas[i], &engine, settings, difference))
            return false;
        i++;
    }
    if (i == view->nr_areas)
        return true;
    difference->index = i;
    difference->address = view->areas[i].start;
    snprintf(difference->what, sizeof(difference->what), "area %" PRIx64 "-%" PRIx64 ": only the kernel has it",
             view->areas[i].start, view->areas[i].end);
    return false;
}

/* VmExe and VmLib are made of the marks of the program's text and of the executable areas. */
void kview_status_of(struct vmk_mm *mm, struct kview_status *status)
{
    struct vmk_mm_stats stats = {.size = sizeof(stats)};
    struct vmk_mm_layout layout;
    const unsigned kb_shift = (unsigned)vmk_mm_settings(mm)->page_shift - 10;
    const uint64_t page = UINT64_C(1) << vmk_mm_settings(mm)->page_shift;

    vmk_mm_get_stats(mm, &stats);
    vmk_mm_get_layout(mm, &layout);
    uint64_t exec = stats.exec_vm << kb_shift;
    uint64_t text = (((layout.end_code + page - 1) & ~(page - 1)) - (layout.start_code & ~(page - 1))) >> 10;
    status->peak = stats.peak_vm << kb_shift;
    status->size = stats.total_vm << kb_shift;
    status->lck = stats.locked_vm << kb_shift;
    status->pin = stats.pinned_vm << kb_shift;
    status->data = stats.data_vm << kb_shift;
    status->stk = stats.stack_vm << kb_shift;
    status->exe = text < exec ? text : exec;
    status->lib = exec - status->exe;
}

static bool equal_status(const struct kview *view, struct vmk_mm *mm, struct kview_difference *difference)
{
    struct kview_status engine;
    const struct kview_status *kernel = &view->status;

    kview_status_of(mm, &engine);
    const struct {
        const char *name;
        uint64_t kernel, engine;
    } rows[] = {
        {"VmPeak", kernel->peak, engine.peak}, {"VmSize", kernel->size, engine.size},
        {"VmLck", kernel->lck, engine.lck},    {"VmPin", kernel->pin, engine.pin},
        {"VmData", kernel->data, engine.data}, {"VmStk", kernel->stk, engine.stk},
        {"VmExe", kernel->exe, engine.exe},    {"VmLib", kernel->lib, engine.lib},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].kernel == rows[i].engine)
            continue;
        difference->index = view->nr_areas;
        difference->address = 0;
        say_number(difference, rows[i].name, false, rows[i].kernel, rows[i].engine);
        return false;
    }
    return true;
}

bool kview_equal(const struct kview *view, struct vmk_mm *mm, unsigned what, struct kview_difference *difference)
{
    struct kview_difference unwanted;

    if (difference == NULL)
        difference = &unwanted;
    difference->index = 0;
    difference->address = 0;
    difference->what[0] = '\0';
    return equal_areas(view, mm, difference) &&
           ((what & view->has & KVIEW_STATUS) == 0 || equal_status(view, mm, difference));
}

/* ---- Side by side ---- */

/* "55e8-55e9 rw-p 1000 name" in a column; the name is cut in front, where paths differ least. */
static void format_side(char *line, size_t size, vmk_addr start, vmk_addr end, const char *perms, uint64_t offset,
                        const char *name)
{
    int len = snprintf(line, size, "%" PRIx64 "-%" PRIx64 " %s %" PRIx64 " ", start, end, perms, offset);
    size_t room = len < SIDE_WIDTH ? (size_t)(SIDE_WIDTH - len) : 0;
    size_t name_len = strlen(name);
    if (name_len > room)
        snprintf(line + len, size - (size_t)len, "%s%s", room > 2 ? ".." : "",
                 name + name_len - (room > 2 ? room - 2 : 0));
    else
        snprintf(line + len, size - (size_t)len, "%s", name);
}

static void print_flags_side(FILE *out, const struct kview *view, const struct kview_area *kernel,
                             const struct engine_area *engine, const struct vmk_settings *settings)
{
    char left[VMK_VMFLAGS_TEXT_MAX] = "", right[VMK_VMFLAGS_TEXT_MAX] = "";

    if ((view->has & KVIEW_FLAGS) == 0)
        return;
    if (kernel != NULL)
        vmk_vmflags_text(settings, kernel->flags & ~HIDDEN_FLAGS, left, sizeof(left));
    if (engine != NULL)
        vmk_vmflags_text(settings, engine->info.flags & ~HIDDEN_FLAGS, right, sizeof(right));
    fprintf(out, "    %-*s |   %s\n", SIDE_WIDTH - 2, left, right);
}

static void print_row(FILE *out, const struct kview *view, const struct kview_area *kernel,
                      const struct engine_area *engine, const struct vmk_settings *settings)
{
    char left[256] = "", right[256] = "";
    struct kview_difference unwanted;
    bool same = kernel != NULL && engine != NULL && equal_area(view, kernel, engine, settings, &unwanted);
    char mark = same ? ' ' : engine == NULL ? '<' : kernel == NULL ? '>' : '*';

    if (kernel != NULL)
        format_side(left, sizeof(left), kernel->start, kernel->end, kernel->perms, kernel->offset, kernel->name);
    if (engine != NULL)
        format_side(right, sizeof(right), engine->info.start, engine->info.end, engine->perms, engine->offset,
                    engine->name);
    fprintf(out, "%c %-*s | %s\n", mark, SIDE_WIDTH, left, right);
    if (!same)
        print_flags_side(out, view, kernel, engine, settings);
}

void kview_print_side_by_side(FILE *out, const struct kview *view, struct vmk_mm *mm,
                              const struct kview_difference *difference)
{
    const struct vmk_settings *settings = vmk_mm_settings(mm);
    struct engine_area engine;
    size_t shown_after = 0, i = difference->index > CONTEXT_LINES ? difference->index - CONTEXT_LINES : 0;
    vmk_addr cursor = i < view->nr_areas && i != 0 ? view->areas[i].start : 0;
    bool has_engine = next_engine_area(mm, &cursor, &engine);

    fprintf(out, "  %-*s | %s\n", SIDE_WIDTH, "kernel", "engine");
    while ((i < view->nr_areas || has_engine) && shown_after < 2 * CONTEXT_LINES) {
        const struct kview_area *kernel = i < view->nr_areas ? &view->areas[i] : NULL;
        bool take_kernel = kernel != NULL && (!has_engine || kernel->start <= engine.info.start);
        bool take_engine = has_engine && (kernel == NULL || engine.info.start <= kernel->start);
        print_row(out, view, take_kernel ? kernel : NULL, take_engine ? &engine : NULL, settings);
        if ((take_kernel ? kernel->start : engine.info.start) >= difference->address)
            shown_after++;
        i += take_kernel;
        if (take_engine)
            has_engine = next_engine_area(mm, &cursor, &engine);
    }
    fprintf(out, "%s\n", difference->what);
}
