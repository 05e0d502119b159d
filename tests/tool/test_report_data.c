/* SPDX-License-Identifier: MIT */
/* A report's data: hostile names, edits that lead to the engine's areas, long runs. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "report.h"

#if VMAKIT_HAVE_JANSSON
#include <jansson.h>

struct fixture {
    struct vmk_system *system;
    struct vmk_mm *mm;
    char path[64];
    struct report *report;
    json_t *data;
};

static void start(struct fixture *f, uint64_t room)
{
    struct vmk_system_options options;
    struct vmk_mm_options mm_options;
    char *argv[] = {(char[]){"</script><b>"}, (char[]){"\xff\"\\"}, NULL};
    *f = (struct fixture){.path = "/tmp/vmakit-report-XXXXXX"};
    int fd = mkstemp(f->path);
    assert_true(fd >= 0);
    close(fd);
    vmk_system_options_init(&options, vmk_port_linux());
    assert_int_equal(vmk_system_create(&options, &f->system), 0);
    vmk_mm_options_init(&mm_options);
    assert_int_equal(vmk_mm_create(f->system, &mm_options, &f->mm), 0);
    const struct report_options wanted = {.path = f->path, .verb = "test", .argv = argv, .room = room};
    assert_int_equal(report_open(&wanted, &f->report), 0);
    report_exec(f->report, 1, "</script>", f->mm);
}

/* Closes the report and reads its data back. */
static void finish(struct fixture *f)
{
    static const char begin[] = "<script type=\"application/json\" id=\"data\">";
    char *text = NULL;
    size_t len = 0;
    json_error_t error;
    assert_int_equal(report_close(f->report), 0);
    FILE *page = fopen(f->path, "r");
    assert_non_null(page);
    assert_true(getdelim(&text, &len, '\0', page) > 0);
    fclose(page);
    unlink(f->path);
    char *data = strstr(text, begin);
    assert_non_null(data);
    data += sizeof(begin) - 1;
    char *end = strstr(data, "</script>"); /* no name in the data may end it */
    assert_non_null(end);
    assert_memory_equal(end, "</script>\n<script>\n", 19);
    f->data = json_loadb(data, (size_t)(end - data), 0, &error);
    if (f->data == NULL)
        fail_msg("line %d, column %d: %s", error.line, error.column, error.text);
    free(text);
}

static void end(struct fixture *f)
{
    json_decref(f->data);
    vmk_mm_put(f->mm);
    assert_int_equal(vmk_system_destroy(f->system), 0);
}

static int64_t number_at(json_t *array, size_t i)
{
    json_t *value = json_array_get(array, i);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static const char *text_of(json_t *data, int64_t number)
{
    return json_string_value(json_array_get(json_object_get(data, "texts"), (size_t)number));
}

/* ---- The areas that the edits lead to ---- */

struct area {
    uint64_t start, end;
    int64_t look;
};

static size_t apply(struct area *areas, size_t nr, json_t *edit)
{
    for (size_t i = 0; i < json_array_size(edit);) {
        size_t at = (size_t)number_at(edit, i), gone = (size_t)number_at(edit, i + 1);
        size_t new = (size_t)number_at(edit, i + 2);
        i += 3;
        assert_true(at + gone <= nr && nr - gone + new <= 256);
        memmove(&areas[at + new], &areas[at + gone], (nr - at - gone) * sizeof(*areas));
        nr = nr - gone + new;
        for (size_t k = at; k < at + new; k++, i += 4) {
            uint64_t start = (k == 0 ? 0 : areas[k - 1].end) + ((uint64_t)number_at(edit, i) << 12);
            areas[k] = (struct area){start, start + ((uint64_t)number_at(edit, i + 1) << 12), number_at(edit, i + 2)};
        }
    }
    return nr;
}

static size_t replay(json_t *process, struct area *areas)
{
    size_t nr = 0;
    json_t *events = json_object_get(process, "events");
    for (size_t i = 0; i < json_array_size(events); i++) {
        json_t *edit = json_array_get(json_array_get(events, i), 6);
        if (edit != NULL)
            nr = apply(areas, nr, edit);
    }
    return nr;
}

static void assert_areas(struct fixture *f, const struct area *areas, size_t nr)
{
    vmk_addr cursor = 0;
    struct vmk_vma_info info = {.size = sizeof(info)};
    size_t i = 0;
    for (; vmk_mm_next(f->mm, &cursor, &info) == 0; i++) {
        char flags[VMK_VMFLAGS_TEXT_MAX];
        vmk_vmflags_text(NULL, info.flags, flags, sizeof(flags));
        assert_true(i < nr);
        assert_int_equal(areas[i].start, info.start);
        assert_int_equal(areas[i].end, info.end);
        json_t *look = json_array_get(json_object_get(f->data, "looks"), (size_t)areas[i].look);
        assert_memory_equal(json_string_value(json_array_get(look, 2)), flags, strlen(flags) - 1);
    }
    assert_int_equal(i, nr);
}

/* ---- Calls ---- */

static void call(struct fixture *f, enum record_call kind, const uint64_t *args, size_t nr, int64_t result)
{
    struct record_event event = {.call = kind};
    for (size_t i = 0; i < nr; i++)
        event.args[i].number = args[i];
    const struct report_call reported = {.pid = 1,
                                         .name = record_call_name(kind),
                                         .event = &event,
                                         .result = result,
                                         .caller = {.ip = (uint64_t)result}};
    report_call(f->report, f->mm, &reported);
}

static vmk_addr map(struct fixture *f, uint64_t len, struct vmk_file *file)
{
    const struct vmk_mmap_request request = {.len = len,
                                             .prot = VMK_PROT_READ,
                                             .flags =
                                                 file != NULL ? VMK_MAP_PRIVATE : VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS,
                                             .file = file};
    struct vmk_result result;
    assert_int_equal(vmk_mmap(f->mm, &request, &result), 0);
    call(f, RECORD_mmap, (uint64_t[]){0, len, request.prot, request.flags, file != NULL ? vmk_file_id(file) : 0, 0}, 6,
         (int64_t)result.value);
    return result.value;
}

static void protect(struct fixture *f, vmk_addr address, uint64_t len, uint32_t prot)
{
    const struct vmk_mprotect_request request = {.address = address, .len = len, .prot = prot, .pkey = -1};
    int error = vmk_mprotect(f->mm, &request, NULL);
    call(f, RECORD_mprotect, (uint64_t[]){address, len, prot}, 3, error);
}

static void unmap(struct fixture *f, vmk_addr address, uint64_t len)
{
    const struct vmk_munmap_request request = {.address = address, .len = len};
    int error = vmk_munmap(f->mm, &request, NULL);
    call(f, RECORD_munmap, (uint64_t[]){address, len}, 2, error);
}

static struct vmk_file *file_named(struct fixture *f, const char *name)
{
    const struct vmk_object_options options = {
        .size = sizeof(options), .kind = VMK_OBJECT_REGULAR, .nr_bytes = 1 << 20};
    struct vmk_object *object;
    struct vmk_file *file;
    assert_int_equal(vmk_object_create(f->system, &options, &object), 0);
    const struct vmk_file_options file_options = {
        .size = sizeof(file_options), .object = object, .mode = VMK_FILE_READ, .name = name};
    assert_int_equal(vmk_file_create(f->system, &file_options, &file), 0);
    vmk_object_put(object);
    return file;
}

/* ---- Tests ---- */

static void test_hostile_names(void **state)
{
    static const char name[] = "/a</script><script>alert('\"\\\xff\x01')<!--";
    struct fixture f;
    (void)state;
    start(&f, 0);
    struct vmk_file *file = file_named(&f, name);
    map(&f, 4096, file);
    vmk_file_put(file);
    report_divergence(f.report, 1, "<!-- </script> \xfe");
    report_notice(f.report, "%s", "</script>");
    finish(&f);
    json_t *meta = json_object_get(f.data, "meta");
    assert_string_equal(json_string_value(json_array_get(json_object_get(meta, "command"), 0)), "</script><b>");
    assert_string_equal(json_string_value(json_array_get(json_object_get(meta, "command"), 1)), "\xc3\xbf\"\\");
    json_t *look = json_array_get(json_object_get(f.data, "looks"), 0);
    assert_string_equal(text_of(f.data, number_at(look, 3)), "/a</script><script>alert('\"\\\xc3\xbf\x01')<!--");
    json_t *said = json_array_get(json_object_get(f.data, "divergences"), 0);
    assert_int_equal(number_at(said, 0), 2);
    assert_string_equal(json_string_value(json_array_get(said, 2)), "<!-- </script> \xc3\xbe");
    end(&f);
}

static void test_edits(void **state)
{
    struct fixture f;
    struct area areas[256];
    uint32_t random = 1;
    vmk_addr blocks[16];
    (void)state;
    start(&f, 0);
    for (int i = 0; i < 16; i++)
        blocks[i] = map(&f, 16 * 4096, NULL);
    for (int i = 0; i < 400; i++) {
        random = random * 1664525 + 1013904223;
        vmk_addr address = blocks[random >> 28] + ((random >> 16 & 15) << 12);
        uint64_t len = (1 + (random >> 20 & 7)) << 12;
        if ((random >> 24 & 7) == 0)
            unmap(&f, address, len);
        else
            protect(&f, address, len, random >> 12 & 3);
    }
    map(&f, 4096, NULL);
    report_exit(f.report, 1, f.mm);
    finish(&f);
    json_t *process = json_array_get(json_object_get(f.data, "processes"), 0);
    assert_int_equal(json_array_size(json_object_get(process, "events")), 1 + 16 + 400 + 1 + 1);
    assert_areas(&f, areas, replay(process, areas));
    assert_int_equal(json_array_size(json_object_get(f.data, "notices")), 0);
    assert_true(json_integer_value(json_object_get(process, "failed")) > 0);
    end(&f);
}

/* A run beyond the room: fewer maps, every call counted, a notice, the last map still right. */
static void test_long_run(void **state)
{
    struct fixture f;
    struct area areas[256];
    (void)state;
    start(&f, 100);
    vmk_addr at = map(&f, 8 * 4096, NULL);
    for (uint32_t i = 0; i < 2000; i++)
        protect(&f, at + (i % 7 << 12), 4096, i % 3);
    report_exit(f.report, 1, f.mm);
    finish(&f);
    json_t *process = json_array_get(json_object_get(f.data, "processes"), 0);
    size_t nr = json_array_size(json_object_get(process, "events"));
    assert_true(nr > 100 && nr < 600);
    assert_int_equal(json_integer_value(json_object_get(process, "calls")), 2001);
    json_t *meta = json_object_get(f.data, "meta");
    assert_int_equal(json_integer_value(json_object_get(meta, "skipped")), 2001 + 2 - (int)nr);
    assert_int_equal(json_array_size(json_object_get(f.data, "notices")), 1);
    int64_t counted = 0;
    json_t *uses = json_object_get(f.data, "uses");
    for (size_t i = 0; i < json_array_size(uses); i++)
        counted += number_at(json_array_get(uses, i), 3);
    assert_int_equal(counted, 2001);
    assert_areas(&f, areas, replay(process, areas));
    end(&f);
}

/* A child begins with its parent's areas, which are not written again; a number may come a second time. */
static void test_children(void **state)
{
    struct fixture f;
    struct vmk_mm *child;
    (void)state;
    start(&f, 0);
    map(&f, 4096, NULL);
    assert_int_equal(vmk_mm_fork(f.mm, &child), 0);
    report_child(f.report, 1, 2, child);
    report_exit(f.report, 2, child);
    report_child(f.report, 1, 2, child);
    vmk_mm_put(child);
    finish(&f);
    json_t *processes = json_object_get(f.data, "processes");
    assert_int_equal(json_array_size(processes), 3);
    for (size_t i = 1; i < 3; i++) {
        json_t *process = json_array_get(processes, i);
        assert_int_equal(json_integer_value(json_object_get(process, "pid")), 2);
        assert_int_equal(number_at(json_object_get(process, "parent"), 0), 0);
        assert_int_equal(number_at(json_object_get(process, "parent"), 1), 2);
        assert_null(json_array_get(json_array_get(json_object_get(process, "events"), 0), 6));
    }
    end(&f);
}

static void test_nothing(void **state)
{
    struct report *report = NULL;
    const struct report_options options = {.path = "/nonexistent/page.html", .verb = "test"};
    (void)state;
    assert_int_equal(report_open(&options, &report), -ENOENT);
    assert_null(report);
    report_exec(NULL, 1, NULL, NULL);
    report_exit(NULL, 1, NULL);
    report_divergence(NULL, 1, "");
    report_notice(NULL, "%d", 1);
    assert_int_equal(report_close(NULL), 0);
    report_drop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_names), cmocka_unit_test(test_edits),   cmocka_unit_test(test_long_run),
        cmocka_unit_test(test_children),      cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    puts("built without jansson: there is no report");
    return 0;
}

#endif
