/* SPDX-License-Identifier: MIT */
/* test_kview_host.c - a process's map read from the kernel, put into the engine, and printed again byte for byte. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "kview.h"

static struct vmk_system *host;
static struct vmk_mm *mm;
static pid_t child;
static struct kview view;

/* ---- A child with a map of some variety ---- */

static void map_things(void)
{
    char *p = mmap(NULL, 16 << 12, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int memory = memfd_create("a\nb \\ c", 0);

    memset(p, 1, 8 << 12);
    mprotect(p + (2 << 12), 1 << 12, PROT_NONE);
    madvise(p + (4 << 12), 1 << 12, MADV_DONTFORK);
    madvise(p + (6 << 12), 1 << 12, MADV_DONTDUMP);
    mlock(p + (8 << 12), 1 << 12);
    if (ftruncate(memory, 1 << 20) == 0) {
        mmap(NULL, 2 << 12, PROT_READ, MAP_SHARED, memory, 4 << 12);
        mmap(NULL, 2 << 12, PROT_READ | PROT_WRITE, MAP_PRIVATE, memory, 0);
    }
    mmap(NULL, 3 << 12, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    mmap(NULL, 1 << 12, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_GROWSDOWN, -1, 0);
    if (sbrk(1 << 16) == NULL)
        _exit(1);
}

static int start_child(void **state)
{
    int ready[2];
    char byte;

    (void)state;
    if (pipe(ready) != 0)
        return -1;
    child = fork();
    if (child == 0) {
        map_things();
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    int error = read(ready[0], &byte, 1) != 1;
    close(ready[0]);
    return error;
}

static int end_child(void **state)
{
    (void)state;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    kview_free(&view);
    return 0;
}

/* ---- The engine ---- */

/* Names of /proc with \012 for a newline, back as they were. */
static void unescape(const char *from, char *to)
{
    while (*from != '\0') {
        bool newline = strncmp(from, "\\012", 4) == 0;
        *to++ = newline ? '\n' : *from;
        from += newline ? 4 : 1;
    }
    *to = '\0';
}

static struct vmk_file *file_of(void *context, const struct kview_area *area)
{
    char name[4096];
    struct vmk_object *object;
    struct vmk_file *file;
    const struct vmk_object_options object_options = {.size = sizeof(object_options),
                                                      .kind = VMK_OBJECT_REGULAR,
                                                      .dev_major = area->dev_major,
                                                      .dev_minor = area->dev_minor,
                                                      .inode = area->inode,
                                                      .nr_bytes = 1 << 30};
    (void)context;
    unescape(area->name, name);
    assert_int_equal(vmk_object_create(host, &object_options, &object), 0);
    const struct vmk_file_options options = {
        .size = sizeof(options), .object = object, .mode = VMK_FILE_READ | VMK_FILE_WRITE, .name = name};
    assert_int_equal(vmk_file_create(host, &options, &file), 0);
    vmk_object_put(object);
    return file;
}

/* The marks that give [heap], [stack] and VmExe: fields of /proc/PID/stat. */
static void set_marks(void)
{
    char path[64], line[2048];
    struct vmk_mm_layout layout;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)child);
    FILE *stat = fopen(path, "r");
    assert_non_null(stat);
    assert_non_null(fgets(line, sizeof(line), stat));
    fclose(stat);
    vmk_mm_get_layout(mm, &layout);
    const char *at = strrchr(line, ')') + 2;
    for (int field = 3; field <= 51; field++) {
        uint64_t value = strtoull(at, NULL, 10);
        if (field == 26)
            layout.start_code = value;
        if (field == 27)
            layout.end_code = value;
        if (field == 28)
            layout.start_stack = value;
        if (field == 47)
            layout.start_brk = value;
        at = strchr(at, ' ');
        if (at == NULL)
            break;
        at++;
    }
    layout.brk = layout.start_brk;
    for (size_t i = 0; i < view.nr_areas; i++)
        if (strcmp(view.areas[i].name, "[heap]") == 0)
            layout.brk = view.areas[i].end;
    vmk_mm_set_layout(mm, &layout);
}

static void open_engine(void)
{
    struct vmk_system_options options;
    struct vmk_mm_options mm_options;

    vmk_system_options_init(&options, vmk_port_linux());
    assert_int_equal(kview_probe(&options.settings, &options.sysctl), 0);
    assert_int_equal(vmk_system_create(&options, &host), 0);
    vmk_mm_options_init(&mm_options);
    assert_int_equal(vmk_mm_create(host, &mm_options, &mm), 0);
    assert_int_equal(kview_read(&view, child, KVIEW_FLAGS | KVIEW_STATUS), 0);
    assert_int_equal(kview_import(&view, mm, file_of, NULL), 0);
    set_marks();
}

static void close_engine(void)
{
    vmk_mm_put(mm);
    vmk_system_quiesce(host);
    assert_int_equal(vmk_system_destroy(host), 0);
}

struct collected {
    char text[65536];
    size_t len;
};

static void collect(void *context, const char *text, size_t len)
{
    struct collected *to = context;

    assert_true(to->len + len < sizeof(to->text));
    memcpy(to->text + to->len, text, len);
    to->len += len;
    to->text[to->len] = '\0';
}

/* /proc/PID/maps without the vsyscall page, which belongs to no address space. */
static void read_kernel(struct collected *to)
{
    char path[64], line[8192];

    snprintf(path, sizeof(path), "/proc/%d/maps", (int)child);
    FILE *maps = fopen(path, "r");
    assert_non_null(maps);
    to->len = 0;
    while (fgets(line, sizeof(line), maps) != NULL)
        if (strstr(line, "[vsyscall]") == NULL)
            collect(to, line, strlen(line));
    fclose(maps);
}

/* ---- Tests ---- */

static void prints_the_kernels_text(void **state)
{
    static struct collected kernel, engine;

    (void)state;
    open_engine();
    read_kernel(&kernel);
    vmk_report_maps(mm, collect, &engine);
    assert_string_equal(engine.text, kernel.text);
    close_engine();
}

static void is_equal(void **state)
{
    struct kview_difference difference;

    (void)state;
    open_engine();
    if (!kview_equal(&view, mm, KVIEW_FLAGS, &difference)) {
        kview_print_side_by_side(stderr, &view, mm, &difference);
        fail_msg("%s", difference.what);
    }
    close_engine();
}

/* Everything that can differ is found, and said. */
static void differences_are_named(void **state)
{
    struct kview_difference difference;
    struct kview_area *area;
    char *side = NULL;
    size_t len = 0;

    (void)state;
    open_engine();
    area = &view.areas[2];
    const struct kview_area good = *area;
#define CHANGED(change, word)                                                                                          \
    do {                                                                                                               \
        change;                                                                                                        \
        assert_false(kview_equal(&view, mm, KVIEW_FLAGS, &difference));                                                \
        assert_non_null(strstr(difference.what, word));                                                                \
        assert_int_equal(difference.index, 2);                                                                         \
        *area = good;                                                                                                  \
    } while (0)
    CHANGED(area->end -= 4096, "end: kernel ");
    CHANGED(area->start += 4096, "start: kernel ");
    CHANGED(area->perms[1] = area->perms[1] == 'w' ? '-' : 'w', "permissions: kernel ");
    CHANGED(area->offset += 4096, "offset: kernel ");
    CHANGED(area->inode++, "file: kernel ");
    CHANGED(area->dev_minor++, "file: kernel ");
    CHANGED(area->name = "/other", "name: kernel '/other' engine '");
    CHANGED(area->flags |= VMK_VM_DROPPABLE, "VmFlags: only kernel: dp only engine: -");
    CHANGED(area->flags &= ~VMK_VM_MAYREAD, "VmFlags: only kernel: - only engine: mr");
#undef CHANGED
    size_t nr_areas = view.nr_areas;
    view.nr_areas--;
    assert_false(kview_equal(&view, mm, 0, &difference));
    assert_non_null(strstr(difference.what, "only the engine has it"));
    view.nr_areas = nr_areas;
    FILE *stream = open_memstream(&side, &len);
    area->end -= 4096;
    assert_false(kview_equal(&view, mm, 0, &difference));
    kview_print_side_by_side(stream, &view, mm, &difference);
    fclose(stream);
    assert_non_null(strstr(side, "\n* "));
    free(side);
    close_engine();
}

static void status_is_compared(void **state)
{
    struct kview_difference difference;
    struct vmk_mm_stats stats = {.size = sizeof(stats)};

    (void)state;
    open_engine();
    vmk_mm_get_stats(mm, &stats);
    view.status.peak = stats.peak_vm * (uint64_t)(sysconf(_SC_PAGESIZE) / 1024); /* its history is not imported */
    if (!kview_equal(&view, mm, KVIEW_FLAGS | KVIEW_STATUS, &difference))
        fail_msg("%s", difference.what);
    view.status.lck += 4;
    assert_false(kview_equal(&view, mm, KVIEW_FLAGS | KVIEW_STATUS, &difference));
    assert_non_null(strstr(difference.what, "VmLck: kernel "));
    close_engine();
}

static void probe_finds_this_kernel(void **state)
{
    struct vmk_settings settings;
    struct vmk_sysctl sysctl;

    (void)state;
    assert_int_equal(kview_probe(&settings, &sysctl), 0);
    assert_null(vmk_settings_check(&settings));
    assert_int_equal(UINT64_C(1) << settings.page_shift, sysconf(_SC_PAGESIZE));
    assert_true(settings.linux_version >= VMK_LINUX_VERSION(4, 0));
    assert_true(settings.va_bits >= 30 && settings.va_bits <= settings.va_bits_wide);
    assert_true(sysctl.max_map_count > 100);
    assert_true(sysctl.total_ram_pages > 100);
}

/* What programs show of their layout is what the table says of this version and architecture. */
static void layout_is_seen(void **state)
{
    struct vmk_settings table, seen;
    struct vmk_sysctl sysctl;
    FILE *file = fopen("/proc/sys/kernel/randomize_va_space", "r");
    int randomize = 0;

    (void)state;
    if (file != NULL) {
        (void)fscanf(file, "%d", &randomize);
        fclose(file);
    }
    assert_int_equal(kview_probe(&seen, &sysctl), 0);
    vmk_settings_init(&table, seen.linux_version, (enum vmk_arch)seen.arch);
    if (seen.page_shift != 12)
        skip();
    seen.unlimited_stack_legacy = 2; /* whatever was there is looked at again */
    seen.brk_rnd_bytes = seen.stack_rnd_pages = 1;
    kview_probe_image(&seen);
    assert_int_equal(seen.unlimited_stack_legacy, table.unlimited_stack_legacy);
    assert_int_equal(seen.brk_rnd_bytes, randomize == 2 ? table.brk_rnd_bytes : 0);
    assert_int_equal(seen.stack_rnd_pages, randomize != 0 ? table.stack_rnd_pages : 1);
}

static void no_such_process(void **state)
{
    struct kview none = {0};

    (void)state;
    assert_int_equal(kview_read(&none, 0x3fffffff, KVIEW_FLAGS), -VMK_ENOENT);
    kview_free(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_the_kernels_text), cmocka_unit_test(is_equal),
        cmocka_unit_test(differences_are_named),   cmocka_unit_test(status_is_compared),
        cmocka_unit_test(probe_finds_this_kernel), cmocka_unit_test(layout_is_seen),
        cmocka_unit_test(no_such_process),
    };
    return cmocka_run_group_tests(tests, start_child, end_child);
}
