/* SPDX-License-Identifier: MIT */
/* replay_state.c - what a record says before its events: settings, files, address spaces and their areas. */
#include "replay.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "drivers.h"

int replay_complain(const struct replay *replay, const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fprintf(stderr, "%s:%zu: ", replay->options.file, replay->line);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    putc('\n', stderr);
    return EXIT_CANNOT_READ;
}

int replay_out_of_memory(void)
{
    fflush(stdout);
    fputs("vmakit replay: out of memory\n", stderr);
    return EXIT_NO_RESOURCE;
}

/* ---- Settings ---- */

int replay_set_setting(struct replay *replay, const char *name, uint64_t value)
{
    if (replay->system != NULL)
        return replay_complain(replay, "settings come before the first process");
    if (strcmp(name, "arch") == 0 && value > VMK_ARCH_ARM64)
        return replay_complain(replay, "there is no architecture %" PRIu64, value);
    if (strcmp(name, "linux_version") == 0)
        vmk_settings_init(&replay->settings, value, (enum vmk_arch)replay->settings.arch);
    if (vmk_settings_set(&replay->settings, name, value) != 0)
        return replay_complain(replay, "there is no setting '%s'", name);
    return 0;
}

int replay_set_sysctl(struct replay *replay, const char *name, uint64_t value)
{
    bool known = false;
#define SET_SYSCTL(knob)                                                                                               \
    if (strcmp(name, #knob) == 0) {                                                                                    \
        replay->sysctl.knob = value;                                                                                   \
        known = true;                                                                                                  \
    }
    RECORD_SYSCTLS(SET_SYSCTL)
#undef SET_SYSCTL
    if (!known)
        return replay_complain(replay, "there is no sysctl '%s'", name);
    if (replay->options.max_map_count != 0)
        replay->sysctl.max_map_count = replay->options.max_map_count;
    if (replay->system != NULL && vmk_system_set_sysctl(replay->system, &replay->sysctl) != 0)
        return replay_complain(replay, "%s cannot be %" PRIu64, name, value);
    return 0;
}

/* What the command line asks for instead of what was recorded. */
static int apply_what_ifs(struct replay *replay)
{
    const struct replay_options *options = &replay->options;
    char name[64];

    replay->recorded_va_bits = (unsigned)replay->settings.va_bits;
    if (options->max_map_count != 0)
        replay->sysctl.max_map_count = options->max_map_count;
    if (options->page_shift != 0 && options->page_shift != replay->settings.page_shift)
        vmk_settings_set_page_shift(&replay->settings, options->page_shift);
    if (options->va_bits != 0)
        replay->settings.va_bits = replay->settings.va_bits_wide = options->va_bits;
    /* The layout is the recorded one; its random bits only have to fit. */
    uint64_t most = replay->settings.va_bits - replay->settings.page_shift - 4;
    if ((options->va_bits != 0 || options->page_shift != 0) && replay->settings.mmap_rnd_bits > most)
        replay->settings.mmap_rnd_bits = most;
    for (size_t i = 0; i < options->nr_sets; i++) {
        snprintf(name, sizeof(name), "%.*s", (int)options->sets[i].name_len, options->sets[i].name);
        if (vmk_settings_set(&replay->settings, name, options->sets[i].value) == 0)
            continue;
        fprintf(stderr, "vmakit replay: --set: there is no setting '%s'\n", name);
        return EXIT_USAGE;
    }
    return 0;
}

int replay_start(struct replay *replay)
{
    struct vmk_system_options system;

    if (replay->system != NULL)
        return 0;
    int status = apply_what_ifs(replay);
    if (status != 0)
        return status;
    const char *unusable = vmk_settings_check(&replay->settings);
    if (unusable != NULL)
        return replay_complain(replay, "the setting %s has a value that cannot be", unusable);
    vmk_system_options_init(&system, vmk_port_linux());
    system.settings = replay->settings;
    system.sysctl = replay->sysctl;
    int error = vmk_system_create(&system, &replay->system);
    if (error == -VMK_ERR_HOST_NOMEM)
        return replay_out_of_memory();
    return error == 0 ? 0 : replay_complain(replay, "these settings make no system (error %d)", -error);
}

/* ---- Files ---- */

static struct vmk_object *object_of(struct replay *replay, const struct record_file *file)
{
    struct vmk_object *object = file->object == 0 ? NULL : idmap_get(&replay->objects, file->object);
    struct vmk_object_options options = {
        .size = sizeof(options),
        .kind = file->kind,
        .id = file->object,
        .nr_bytes = file->nr_bytes,
        .dev_major = file->dev_major,
        .dev_minor = file->dev_minor,
        .inode = file->inode,
        .huge_shift = file->huge_shift,
    };
    if (object != NULL) {
        vmk_object_get(object);
        return object;
    }
    if (vmk_object_create(replay->system, &options, &object) != 0)
        return NULL;
    if (file->object != 0) {
        if (!idmap_put(&replay->objects, file->object, object)) {
            vmk_object_put(object);
            return NULL;
        }
        vmk_object_get(object); /* the table's */
    }
    return object;
}

int replay_add_file(struct replay *replay, const struct record_file *file)
{
    struct vmk_file_options options = {
        .size = sizeof(options), .mode = file->mode, .seals = file->seals, .name = file->name, .id = file->id};
    struct vmk_file *created;

    if (file->kind == VMK_OBJECT_DEVICE && file->name != NULL)
        options.ops = driver_ops_of(file->name);
    int status = replay_start(replay);
    if (status != 0)
        return status;
    if (idmap_get(&replay->files, file->id) != NULL)
        return replay_complain(replay, "file %" PRIu64 " was there before", file->id);
    options.object = object_of(replay, file);
    if (options.object == NULL)
        return replay_out_of_memory();
    int error = vmk_file_create(replay->system, &options, &created);
    vmk_object_put(options.object);
    if (error != 0 || !idmap_put(&replay->files, file->id, created))
        return replay_out_of_memory();
    return 0;
}

/* ---- Moved memory ---- */

static struct replay_moves *moves_of(struct replay_process *process)
{
    if (process->moves == NULL) {
        process->moves = calloc(1, sizeof(*process->moves));
        if (process->moves != NULL)
            process->moves->nr_users = 1;
    }
    return process->moves;
}

/* Older words on addresses that a new one covers. */
static void drop_covered(struct replay_moves *moves, vmk_addr start, vmk_addr end)
{
    size_t kept = 0;

    for (size_t i = 0; i < moves->nr; i++)
        if (moves->moved[i].start < start || moves->moved[i].end > end)
            moves->moved[kept++] = moves->moved[i];
    moves->nr = kept;
}

int replay_note_moved(struct replay_process *process, vmk_addr start, uint64_t len, uint64_t delta)
{
    struct replay_moves *moves = moves_of(process);

    if (moves == NULL)
        return replay_out_of_memory();
    drop_covered(moves, start, start + len);
    if (moves->nr == moves->room) {
        size_t room = moves->room == 0 ? 16 : moves->room * 2;
        struct replay_moved *moved = realloc(moves->moved, room * sizeof(*moved));
        if (moved == NULL)
            return replay_out_of_memory();
        moves->moved = moved;
        moves->room = room;
    }
    moves->moved[moves->nr++] = (struct replay_moved){start, start + len, delta};
    return 0;
}

static void forget_moves(struct replay_process *process)
{
    if (process->moves != NULL && --process->moves->nr_users == 0) {
        free(process->moves->moved);
        free(process->moves);
    }
    process->moves = NULL;
}

int replay_inherit_moves(struct replay_process *child, struct replay_process *parent, bool shares)
{
    forget_moves(child);
    if (shares) {
        if (moves_of(parent) == NULL)
            return replay_out_of_memory();
        child->moves = parent->moves;
        child->moves->nr_users++;
        return 0;
    }
    for (size_t i = 0; parent->moves != NULL && i < parent->moves->nr; i++) {
        const struct replay_moved *moved = &parent->moves->moved[i];
        int status = replay_note_moved(child, moved->start, moved->end - moved->start, moved->delta);
        if (status != 0)
            return status;
    }
    return 0;
}

/* The latest word on an address counts; its end belongs to it, since calls name ends too. */
vmk_addr replay_where(const struct replay_process *process, vmk_addr recorded)
{
    const struct replay_moves *moves = process->moves;

    for (size_t i = moves == NULL ? 0 : moves->nr; i > 0; i--) {
        const struct replay_moved *moved = &moves->moved[i - 1];
        if (recorded >= moved->start && recorded < moved->end)
            return recorded + moved->delta;
    }
    for (size_t i = moves == NULL ? 0 : moves->nr; i > 0; i--)
        if (recorded == moves->moved[i - 1].end)
            return recorded + moves->moved[i - 1].delta;
    return recorded;
}

/* ---- Processes ---- */

struct replay_process *replay_new_process(struct replay *replay, uint64_t pid)
{
    struct replay_process *process = idmap_get(&replay->processes, pid);
    if (process != NULL)
        return process;
    if (replay->nr_order == replay->order_room) {
        size_t room = replay->order_room == 0 ? 16 : replay->order_room * 2;
        struct replay_process **order = realloc(replay->order, room * sizeof(struct replay_process *));
        if (order == NULL)
            return NULL;
        replay->order = order;
        replay->order_room = room;
    }
    process = calloc(1, sizeof(*process));
    if (process == NULL || !idmap_put(&replay->processes, pid, process)) {
        free(process);
        return NULL;
    }
    process->pid = pid;
    replay->order[replay->nr_order++] = process;
    return process;
}

struct replay_process *replay_process_of(struct replay *replay, uint64_t pid)
{
    struct replay_process *process = idmap_get(&replay->processes, pid);
    if (process != NULL && process->mm != NULL)
        return process;
    replay_complain(replay, "process %" PRIu64 " has no address space here", pid);
    return NULL;
}

static void sink_to_stream(void *context, const char *text, size_t len)
{
    fwrite(text, 1, len, context);
}

static void keep_report(struct replay_process *process)
{
    size_t len;

    free(process->report);
    process->report = NULL;
    FILE *stream = open_memstream(&process->report, &len);
    if (stream == NULL)
        return;
    vmk_report_json(process->mm, sink_to_stream, stream);
    fclose(stream);
}

void replay_end_space(struct replay *replay, struct replay_process *process)
{
    struct vmk_mm_stats stats = {.size = sizeof(stats)};

    if (process->mm == NULL)
        return;
    vmk_mm_get_stats(process->mm, &stats);
    process->areas = stats.nr_vmas;
    if (stats.peak_vmas > process->peak_areas)
        process->peak_areas = stats.peak_vmas;
    if (replay->options.map)
        draw_view_of(process->mm, &process->last);
    if (replay->options.json != NULL)
        keep_report(process);
    vmk_mm_put(process->mm);
    process->mm = NULL;
    forget_moves(process);
}

/*
 * Where recorded memory goes when its addresses do not exist any more: what lies near the top (stack, mmap) keeps its
 * distance to the top, and the program, which Linux puts at two thirds of the address space, its distance to that.
 * Distances that a randomised layout made too large are taken modulo a part of the new address space.
 */
uint64_t replay_shift(const struct replay *replay, vmk_addr address)
{
    const unsigned bits = replay->options.va_bits, recorded = replay->recorded_va_bits;

    if (bits == 0 || bits >= recorded || recorded > 62 || address < UINT64_C(1) << bits)
        return 0;
    const uint64_t top = UINT64_C(1) << bits, recorded_top = UINT64_C(1) << recorded;
    const uint64_t program = top / 3 * 2 & ~UINT64_C(0xffff),
                   recorded_program = recorded_top / 3 * 2 & ~UINT64_C(0xffff);
    if (address >= recorded_top / 4 * 3)
        return top - (recorded_top - address) % (top / 4) - address;
    return program + (address - recorded_program) % (top / 16) - address;
}

static void limit_to(struct vmk_rlimit *limit, const struct replay *replay, size_t which)
{
    if (!replay->options.rlimits[which].given)
        return;
    uint64_t value = replay->options.rlimits[which].value;
    if (limit->soft > value)
        limit->soft = value;
    if (limit->hard > value)
        limit->hard = value;
}

void replay_apply_rlimits(const struct replay *replay, struct vmk_rlimits *limits)
{
    limit_to(&limits->as, replay, RECORD_RLIMIT_AS);
    limit_to(&limits->data, replay, RECORD_RLIMIT_DATA);
    limit_to(&limits->stack, replay, RECORD_RLIMIT_STACK);
    limit_to(&limits->memlock, replay, RECORD_RLIMIT_MEMLOCK);
}

static void set_layout(const struct replay *replay, struct replay_process *process, const struct vmk_mm_layout *marks)
{
    struct vmk_mm_layout layout;

    vmk_mm_get_layout(process->mm, &layout);
#define SET_MARK(name)                                                                                                 \
    if (marks->name != 0)                                                                                              \
        layout.name = marks->name + replay_shift(replay, marks->name);
    RECORD_MARKS(SET_MARK)
#undef SET_MARK
    if (marks->mmap_base != 0)
        layout.top_down = marks->top_down;
    vmk_mm_set_layout(process->mm, &layout);
}

int replay_add_process(struct replay *replay, const struct record_process *recorded)
{
    struct vmk_mm_options options;

    int status = replay_start(replay);
    if (status != 0)
        return status;
    struct replay_process *process = replay_new_process(replay, recorded->pid);
    if (process == NULL)
        return replay_out_of_memory();
    replay_end_space(replay, process);
    vmk_mm_options_init(&options);
    options.rlimits = recorded->rlimits;
    options.capabilities = recorded->capabilities;
    options.personality = recorded->personality | VMK_ADDR_NO_RANDOMIZE; /* the base is given, not drawn */
    replay_apply_rlimits(replay, &options.rlimits);
    if (recorded->layout.mmap_base != 0)
        options.mmap_base = recorded->layout.mmap_base + replay_shift(replay, recorded->layout.mmap_base);
    int error = vmk_mm_create(replay->system, &options, &process->mm);
    if (error == -VMK_ERR_HOST_NOMEM)
        return replay_out_of_memory();
    if (error != 0)
        return replay_complain(replay, "no address space can be made of this (error %d)", -error);
    set_layout(replay, process, &recorded->layout);
    vmk_mm_set_personality(process->mm, recorded->personality);
    process->fresh = true;
    process->base_learned = false;
    replay->current = process;
    replay->expecting = false;
    return 0;
}

/* ---- Areas ---- */

static const char *special_text(const char *name)
{
    static const char *const names[] = {"[vdso]",    "[vvar]",        "[vvar_vclock]", "[vectors]",     "[sigpage]",
                                        "[uprobes]", "[timens_vdso]", "[vdso_data]",   "[shadow_stack]"};
    for (size_t i = 0; name != NULL && i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], name) == 0)
            return names[i];
    return NULL;
}

/* An area of the kernel's own is never split; having a close hook, it never merges. */
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

const struct vmk_vm_ops replay_special_ops = {
    .size = sizeof(struct vmk_vm_ops), .close = special_close, .may_split = special_may_split};

/* Shared memory of no file has an object of its own. */
static int shared_file(struct replay *replay, struct vmk_file **file)
{
    struct vmk_object_options object = {.size = sizeof(object), .kind = VMK_OBJECT_SHMEM, .nr_bytes = INT64_MAX};
    struct vmk_file_options options = {
        .size = sizeof(options), .mode = VMK_FILE_READ | VMK_FILE_WRITE, .name = "/dev/zero (deleted)"};

    if (vmk_object_create(replay->system, &object, &options.object) != 0)
        return replay_out_of_memory();
    int error = vmk_file_create(replay->system, &options, file);
    vmk_object_put(options.object);
    return error == 0 ? 0 : replay_out_of_memory();
}

static int file_of_area(struct replay *replay, const struct record_area *area, struct vmk_file **file)
{
    *file = NULL;
    if (area->file != 0) {
        *file = idmap_get(&replay->files, area->file);
        if (*file == NULL)
            return replay_complain(replay, "there is no file %" PRIu64, area->file);
        vmk_file_get(*file);
    } else if ((area->flags & VMK_VM_MAYSHARE) != 0 && special_text(area->name) == NULL) {
        return shared_file(replay, file);
    }
    return 0;
}

static void say_import_failure(struct replay *replay, const struct record_area *area, const char *why)
{
    replay->import_failures++;
    report_notice(replay->report, "The area %" PRIx64 "-%" PRIx64 " of process %" PRIu64 " is not here: %s.",
                  area->start, area->end, replay->current->pid, why);
    if (replay_may_print(replay))
        printf("%s:%zu: area %" PRIx64 "-%" PRIx64 ": %s\n", replay->options.file, replay->line, area->start, area->end,
               why);
}

/* Larger pages: an area begins and ends with a page, and two areas cannot share one. false: nothing is left of it. */
static bool round_area(struct replay *replay, struct vmk_import_area *import, const struct record_area *area)
{
    const uint64_t mask = (UINT64_C(1) << replay->settings.page_shift) - 1;
    struct vmk_vma_info info = {.size = sizeof(info)};
    struct vmk_mm_layout layout;

    if (((import->start | import->end) & mask) == 0)
        return true;
    vmk_mm_get_layout(replay->current->mm, &layout);
    import->offset &= ~mask;
    import->start &= ~mask;
    import->end = (import->end + mask) & ~mask;
    if (import->end > layout.task_size)
        import->end = layout.task_size & ~mask;
    while (import->start < import->end && vmk_mm_lookup(replay->current->mm, import->start, &info) == 0)
        import->start = (info.end + mask) & ~mask;
    if (import->start < import->end)
        return true;
    say_import_failure(replay, area, "its page is taken by the area before it, which larger pages reach into");
    return false;
}

static int name_area(struct replay *replay, const struct vmk_import_area *import, const char *name)
{
    char text[VMK_VMA_NAME_MAX];
    struct vmk_name_request request = {.address = import->start, .len = import->end - import->start, .text = text};
    size_t len = name == NULL ? 0 : strlen(name);

    if (len < 7 || strncmp(name, "[anon:", 6) != 0 || name[len - 1] != ']' || len - 7 >= sizeof(text))
        return 0;
    memcpy(text, name + 6, len - 7);
    text[len - 7] = '\0';
    return vmk_name(replay->current->mm, &request, NULL);
}

static int import_area(struct replay *replay, const struct record_area *area)
{
    const uint64_t delta = replay_shift(replay, area->start);
    struct vmk_import_area import = {
        .start = area->start + delta,
        .end = area->end + delta,
        .flags = area->flags,
        .offset = area->offset,
        .special_name = special_text(area->name),
    };
    if (area->anon_vma == VMK_ANON_YES)
        import.anon_vma = VMK_ANON_YES;
    else if (area->anon_vma == VMK_ANON_INHERITED)
        import.anon_vma = VMK_ANON_INHERITED;
    else if (area->anon_vma == VMK_ANON_UNKNOWN)
        import.anon_vma = VMK_ANON_UNKNOWN;
    else
        import.anon_vma = VMK_ANON_NO;
    if (import.special_name != NULL)
        import.ops = &replay_special_ops;
    int status = delta == 0 ? 0 : replay_note_moved(replay->current, area->start, area->end - area->start, delta);
    if (status != 0 || !round_area(replay, &import, area))
        return status;
    status = file_of_area(replay, area, &import.file);
    if (status != 0)
        return status;
    int error = vmk_mm_import(replay->current->mm, &import);
    if (import.file != NULL)
        vmk_file_put(import.file);
    if (error == 0)
        error = name_area(replay, &import, area->name);
    if (error == 0)
        return 0;
    if (error == -VMK_ERR_HOST_NOMEM)
        return replay_out_of_memory();
    if (!replay->what_if)
        return replay_complain(replay, "the area cannot be there: %s",
                               record_errno_name(-error) != NULL ? record_errno_name(-error) : "refused");
    say_import_failure(replay, area, "cannot be there");
    return 0;
}

/* Compares with the next area of the engine's. */
static int expect_area(struct replay *replay, const struct record_area *area)
{
    struct vmk_vma_info info = {.size = sizeof(info)};
    const unsigned page_shift = (unsigned)vmk_mm_settings(replay->current->mm)->page_shift;
    char theirs[VMK_VMFLAGS_TEXT_MAX], ours[VMK_VMFLAGS_TEXT_MAX];

    if (vmk_mm_next(replay->current->mm, &replay->expected, &info) != 0) {
        info.start = info.end = 0;
        info.flags = 0;
    }
    uint64_t offset = info.file == NULL ? 0 : info.pgoff << page_shift;
    if (info.start == area->start && info.end == area->end && info.flags == area->flags && offset == area->offset)
        return 0;
    replay_differs(replay, replay->current, "The area %" PRIx64 "-%" PRIx64 " is not as expected (line %zu).",
                   area->start, area->end, replay->line);
    if (!replay_may_print(replay))
        return 0;
    vmk_vmflags_text(NULL, area->flags, theirs, sizeof(theirs));
    vmk_vmflags_text(NULL, info.flags, ours, sizeof(ours));
    printf("%s:%zu: process %" PRIu64 ": expected area %" PRIx64 "-%" PRIx64 " %" PRIx64 " %s\n", replay->options.file,
           replay->line, replay->current->pid, area->start, area->end, area->offset, theirs);
    if (info.end == 0)
        printf("    the engine has no more areas\n");
    else
        printf("    the engine has %" PRIx64 "-%" PRIx64 " %" PRIx64 " %s\n", info.start, info.end, offset, ours);
    return 0;
}

int replay_add_area(struct replay *replay, const struct record_area *area)
{
    if (replay->current == NULL)
        return replay_complain(replay, "an area belongs to a process or expect line before it");
    if (!replay->expecting)
        return import_area(replay, area);
    return replay->what_if ? 0 : expect_area(replay, area);
}

static void expect_line(struct replay *replay, const char *name, uint64_t expected, uint64_t engine)
{
    if (expected == UINT64_MAX || expected == engine)
        return;
    replay->current->divergences++;
    replay->divergences++;
    if (replay_may_print(replay))
        printf("%s:%zu: process %" PRIu64 ": expected Vm%c%s of %" PRIu64 " kB, the engine has %" PRIu64 "\n",
               replay->options.file, replay->line, replay->current->pid, name[0] - 'a' + 'A', name + 1, expected,
               engine);
}

static void expect_status(struct replay *replay, const struct kview_status *expected)
{
    struct kview_status engine;

    kview_status_of(replay->current->mm, &engine);
#define EXPECT_STATUS(name) expect_line(replay, #name, expected->name, engine.name);
    RECORD_STATUS(EXPECT_STATUS)
#undef EXPECT_STATUS
}

int replay_begin_expect(struct replay *replay, uint64_t pid, const struct kview_status *status)
{
    struct replay_process *process = replay_process_of(replay, pid);
    if (process == NULL)
        return EXIT_CANNOT_READ;
    replay->current = process;
    replay->expecting = true;
    replay->expected = 0;
    if (!replay->what_if)
        expect_status(replay, status);
    return 0;
}

int replay_end_areas(struct replay *replay)
{
    struct replay_process *process = replay->current;
    struct vmk_vma_info info = {.size = sizeof(info)};

    if (process == NULL)
        return 0;
    if (replay->expecting && !replay->what_if && vmk_mm_next(process->mm, &replay->expected, &info) == 0) {
        replay_differs(replay, process, "The engine has one more area, %" PRIx64 "-%" PRIx64 ".", info.start, info.end);
        if (replay_may_print(replay))
            printf("%s:%zu: process %" PRIu64 ": the engine has one more area, %" PRIx64 "-%" PRIx64 "\n",
                   replay->options.file, replay->line, process->pid, info.start, info.end);
    }
    if (process->fresh && replay->options.map && draw_view_of(process->mm, &process->first) != 0)
        return replay_out_of_memory();
    if (process->fresh)
        report_exec(replay->report, process->pid, NULL, process->mm);
    process->fresh = false;
    replay->current = NULL;
    replay->expecting = false;
    return 0;
}

/* ---- The end ---- */

static void free_files(struct replay *replay)
{
    for (size_t i = 0; i < replay->files.nr_slots; i++)
        if (replay->files.slots[i].value != NULL)
            vmk_file_put(replay->files.slots[i].value);
    for (size_t i = 0; i < replay->objects.nr_slots; i++)
        if (replay->objects.slots[i].value != NULL)
            vmk_object_put(replay->objects.slots[i].value);
    idmap_free(&replay->files);
    idmap_free(&replay->objects);
}

void replay_free(struct replay *replay)
{
    for (size_t i = 0; i < replay->nr_order; i++) {
        struct replay_process *process = replay->order[i];
        if (process->mm != NULL)
            vmk_mm_put(process->mm);
        kview_free(&process->first);
        kview_free(&process->last);
        forget_moves(process);
        free(process->report);
        free(process);
    }
    idmap_free(&replay->processes);
    free(replay->order);
    free(replay->results);
    free_files(replay);
    if (replay->system != NULL)
        vmk_system_destroy(replay->system);
}
