/* SPDX-License-Identifier: MIT */
/* test_record.c - recorded traces: every line written and read again, and every way in which a line can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "record.h"

static struct record_reader reader;
static struct record_item item;

/* ---- Writing and reading back ---- */

static char *written;
static size_t written_len;

static struct record_writer *open_writer(FILE **stream)
{
    struct record_writer *writer;

    *stream = open_memstream(&written, &written_len);
    assert_non_null(*stream);
    assert_int_equal(record_open_stream(*stream, &writer), 0);
    return writer;
}

static void read_written(struct record_writer *writer, FILE *stream)
{
    assert_int_equal(record_close(writer), 0);
    fclose(stream);
    record_reader_init(&reader, written, written_len);
}

static void next(enum record_kind kind)
{
    int got = record_next(&reader, &item);

    if (got != 1)
        fail_msg("line %zu: %s", reader.line, reader.what);
    assert_int_equal(item.kind, kind);
}

static void file_round_trip(void **state)
{
    FILE *stream;
    struct record_writer *writer = open_writer(&stream);
    const struct record_file file = {.id = 7,
                                     .object = 3,
                                     .kind = VMK_OBJECT_HUGETLB,
                                     .mode = VMK_FILE_READ | VMK_FILE_NOEXEC | VMK_FILE_SYNC,
                                     .seals = VMK_SEAL_WRITE | VMK_SEAL_EXEC,
                                     .dev_major = 0xfe,
                                     .dev_minor = 0x1234,
                                     .inode = UINT64_MAX,
                                     .nr_bytes = UINT64_C(1) << 40,
                                     .huge_shift = 21,
                                     .name = "/a \"b\" \\ =\n\x01 \xff'#"};
    (void)state;
    record_file(writer, &file);
    record_file(writer, &(struct record_file){.id = 8});
    read_written(writer, stream);
    next(RECORD_FILE);
    assert_int_equal(item.file.id, 7);
    assert_int_equal(item.file.object, 3);
    assert_int_equal(item.file.kind, VMK_OBJECT_HUGETLB);
    assert_int_equal(item.file.mode, file.mode);
    assert_int_equal(item.file.seals, file.seals);
    assert_int_equal(item.file.dev_major, 0xfe);
    assert_int_equal(item.file.dev_minor, 0x1234);
    assert_true(item.file.inode == UINT64_MAX);
    assert_int_equal(item.file.nr_bytes, file.nr_bytes);
    assert_int_equal(item.file.huge_shift, 21);
    assert_string_equal(item.file.name, file.name);
    next(RECORD_FILE);
    assert_int_equal(item.file.mode, 0);
    assert_null(item.file.name);
    assert_int_equal(record_next(&reader, &item), 0);
    free(written);
}

/* One area of a kernel's, named as the kernel names it. */
static void expect_view(struct record_writer *writer)
{
    struct kview_area area = {.start = 0x1000, .end = 0x2000, .flags = VMK_VM_READ, .name = "[heap]"};
    struct kview view = {.areas = &area, .nr_areas = 1, .status = {.peak = 8, .lib = 3}, .has = KVIEW_STATUS};

    record_expect_view(writer, 7, &view, NULL);
}

static void process_round_trip(void **state)
{
    FILE *stream;
    struct record_writer *writer = open_writer(&stream);
    struct record_process process = {.pid = 100, .capabilities = 3, .personality = 0x40000, .peak_pages = 12};
    uint64_t number = 0x1000;

    (void)state;
    process.rlimits.as = (struct vmk_rlimit){VMK_RLIM_INFINITY, VMK_RLIM_INFINITY};
    process.rlimits.data = (struct vmk_rlimit){1, 2};
    process.rlimits.stack = (struct vmk_rlimit){0, VMK_RLIM_INFINITY};
    process.rlimits.memlock = (struct vmk_rlimit){3, 4};
#define SET_MARK(name) process.layout.name = number++;
    RECORD_MARKS(SET_MARK)
#undef SET_MARK
    process.layout.top_down = false;
    record_process(writer, &process);
    record_expect(writer, 100);
    expect_view(writer);
    read_written(writer, stream);
    next(RECORD_PROCESS);
    assert_int_equal(item.process.pid, 100);
    assert_memory_equal(&item.process.rlimits, &process.rlimits, sizeof(process.rlimits));
    assert_memory_equal(&item.process.layout, &process.layout, sizeof(process.layout));
    assert_int_equal(item.process.capabilities, 3);
    assert_int_equal(item.process.personality, 0x40000);
    assert_int_equal(item.process.peak_pages, 12);
    next(RECORD_EXPECT);
    assert_int_equal(item.process.pid, 100);
    assert_int_equal(item.status.peak, UINT64_MAX);
    assert_int_equal(item.status.lib, UINT64_MAX);
    next(RECORD_EXPECT);
    assert_int_equal(item.process.pid, 7);
    assert_int_equal(item.status.peak, 8);
    assert_int_equal(item.status.lck, 0);
    assert_int_equal(item.status.lib, 3);
    next(RECORD_AREA);
    assert_int_equal(item.area.start, 0x1000);
    assert_int_equal(item.area.flags, VMK_VM_READ);
    assert_int_equal(item.area.anon_vma, VMK_ANON_UNKNOWN);
    assert_null(item.area.name); /* which follows from where the heap is */
    assert_int_equal(record_next(&reader, &item), 0);
    free(written);
}

static void area_round_trip(void **state)
{
    FILE *stream;
    struct record_writer *writer = open_writer(&stream);

    (void)state;
    record_area(writer, &(struct record_area){.start = 0x1000,
                                              .end = UINT64_C(0xffffffffff600000),
                                              .flags = VMK_VM_READ | VMK_VM_SEALED,
                                              .offset = 0x3000,
                                              .file = 9,
                                              .anon_vma = VMK_ANON_YES,
                                              .name = "[anon:x y]"});
    record_area(writer, &(struct record_area){.start = 0x1000, .end = 0x2000, .anon_vma = VMK_ANON_NO});
    record_area(writer, &(struct record_area){.start = 0x1000, .end = 0x2000, .anon_vma = VMK_ANON_UNKNOWN});
    read_written(writer, stream);
    next(RECORD_AREA);
    assert_true(item.area.start == 0x1000 && item.area.end == UINT64_C(0xffffffffff600000));
    assert_true(item.area.flags == (VMK_VM_READ | VMK_VM_SEALED));
    assert_int_equal(item.area.offset, 0x3000);
    assert_int_equal(item.area.file, 9);
    assert_int_equal(item.area.anon_vma, VMK_ANON_YES);
    assert_string_equal(item.area.name, "[anon:x y]");
    next(RECORD_AREA);
    assert_int_equal(item.area.anon_vma, VMK_ANON_NO);
    next(RECORD_AREA);
    assert_int_equal(item.area.anon_vma, VMK_ANON_UNKNOWN);
    free(written);
}

/* Numbers that are hard to write, in each argument of each call. */
static void events_round_trip(void **state)
{
    static const uint64_t numbers[] = {0,
                                       1,
                                       2,
                                       3,
                                       7,
                                       9,
                                       10,
                                       11,
                                       0x32,
                                       0x1022,
                                       4096,
                                       0x0400000f,
                                       0x54000022,
                                       UINT64_MAX,
                                       UINT64_MAX - 4095,
                                       UINT64_MAX - 4096,
                                       UINT64_C(1) << 63,
                                       0x7fffffff,
                                       102,
                                       0x4003};
    const size_t nr_numbers = sizeof(numbers) / sizeof(numbers[0]);

    (void)state;
    for (int call = 0; call < RECORD_CALL_COUNT; call++) {
        for (size_t n = 0; n < nr_numbers; n++) {
            FILE *stream;
            struct record_writer *writer = open_writer(&stream);
            struct record_event event = {.pid = 5, .call = (enum record_call)call, .has_result = true};
            event.result = (int64_t)numbers[n];
            for (size_t i = 0; i < RECORD_ARGS_MAX; i++)
                event.args[i].number = numbers[(n + i) % nr_numbers];
            assert_int_equal(record_call(writer, &event), 1);
            read_written(writer, stream);
            next(RECORD_EVENT);
            assert_int_equal(item.event.call, call);
            assert_int_equal(item.event.number, 1);
            assert_true(item.event.has_result && item.event.result == event.result);
            for (size_t i = 0; record_arg_name(event.call, i) != NULL; i++)
                if (strcmp(record_arg_name(event.call, i), "text") != 0 &&
                    (item.event.args[i].number != event.args[i].number || item.event.args[i].event != 0))
                    fail_msg("%s", written);
            free(written);
        }
    }
}

static void symbolic_addresses(void **state)
{
    FILE *stream;
    struct record_writer *writer = open_writer(&stream);
    struct record_event event = {.pid = 1, .call = RECORD_munmap};

    (void)state;
    assert_int_equal(record_call(writer, &event), 1);
    event.args[0] = (struct record_value){.event = 1};
    assert_int_equal(record_call(writer, &event), 2);
    event.args[0] = (struct record_value){.event = 2, .number = 0x1000};
    record_call(writer, &event);
    event.args[0] = (struct record_value){.event = 1, .number = UINT64_C(0) - 0x2000};
    record_call(writer, &event);
    read_written(writer, stream);
    assert_non_null(strstr(written, "addr=r2+0x1000 len=0 = ?\n"));
    assert_non_null(strstr(written, "addr=r1-0x2000 len=0 = ?\n"));
    next(RECORD_EVENT);
    assert_false(item.event.has_result);
    next(RECORD_EVENT);
    assert_true(item.event.args[0].event == 1 && item.event.args[0].number == 0);
    next(RECORD_EVENT);
    assert_true(item.event.args[0].event == 2 && item.event.args[0].number == 0x1000);
    next(RECORD_EVENT);
    assert_true(item.event.args[0].event == 1 && item.event.args[0].number == UINT64_C(0) - 0x2000);
    free(written);
}

static void settings_round_trip(void **state)
{
    FILE *stream;
    struct record_writer *writer = open_writer(&stream);
    struct vmk_settings settings, back;
    struct vmk_sysctl sysctl = {.max_map_count = 77};
    size_t nr_sysctls = 0;

    (void)state;
    vmk_settings_init(&settings, VMK_LINUX_VERSION(6, 1), VMK_ARCH_ARM64);
    vmk_settings_init(&back, VMK_LINUX_VERSION(6, 18), VMK_ARCH_X86_64);
    record_strip_results(writer, true);
    record_comment(writer, "two\nlines");
    record_settings(writer, &settings, &sysctl);
    read_written(writer, stream);
    while (record_next(&reader, &item) == 1) {
        if (item.kind == RECORD_SETTING) {
            assert_int_equal(vmk_settings_set(&back, item.name, item.value), 0);
        } else {
            nr_sysctls++;
            if (strcmp(item.name, "max_map_count") == 0)
                assert_int_equal(item.value, 77);
        }
    }
    assert_memory_equal(&back, &settings, sizeof(back));
    assert_int_equal(nr_sysctls, sizeof(sysctl) / sizeof(uint64_t)); /* each of them */
    free(written);
}

/* ---- Lines as people write them ---- */

static void read_line(const char *line)
{
    static char text[16384];

    snprintf(text, sizeof(text), "vmakit-trace 1\n%s\n", line);
    record_reader_init(&reader, text, strlen(text));
}

static void free_form(void **state)
{
    (void)state;
    read_line("\n  # comment \"\n\r\n   12   mmap  offset=010 file=-EBADF flags=MAP_PRIVATE|0x20|21<<MAP_HUGE_SHIFT "
              "len=4096   prot=PROT_READ|PROT_EXEC addr=NULL  =   -ENOMEM  \r\n"
              "12 fault addr=r1 access=read|foreign flags=user = SIGBUS\n"
              "12 rlimit which=stack soft=unlimited hard=-1\n"
              "12 set_name addr=0 len=0 text=\"\\x41\\n\\\"\" = 0");
    next(RECORD_EVENT);
    assert_int_equal(item.line, 5);
    assert_int_equal(item.event.pid, 12);
    assert_int_equal(item.event.args[2].number, 5);
    assert_int_equal(item.event.args[3].number, 0x22 + (UINT64_C(21) << 26));
    assert_true((int64_t)item.event.args[4].number == -VMK_EBADF);
    assert_int_equal(item.event.args[5].number, 8);
    assert_int_equal(item.event.result, -VMK_ENOMEM);
    next(RECORD_EVENT);
    assert_int_equal(item.event.args[1].number, VMK_ACCESS_READ | VMK_ACCESS_FOREIGN);
    assert_int_equal(item.event.result, VMK_SIGBUS);
    next(RECORD_EVENT);
    assert_int_equal(item.event.args[0].number, RECORD_RLIMIT_STACK);
    assert_true(item.event.args[1].number == UINT64_MAX && item.event.args[2].number == UINT64_MAX);
    assert_false(item.event.has_result);
    next(RECORD_EVENT);
    assert_string_equal(item.event.text, "A\n\"");
    assert_int_equal(record_next(&reader, &item), 0);
}

/* A signal of a fault, with its code and without. */
static void signals_round_trip(void **state)
{
    static const struct {
        int64_t result;
        const char *text;
    } rows[] = {
        {VMK_SIGSEGV, "= SIGSEGV\n"},
        {VMK_SIGBUS, "= SIGBUS\n"},
        {RECORD_SIGNAL(VMK_SIGSEGV, VMK_SEGV_MAPERR), "= SEGV_MAPERR\n"},
        {RECORD_SIGNAL(VMK_SIGSEGV, VMK_SEGV_ACCERR), "= SEGV_ACCERR\n"},
        {RECORD_SIGNAL(VMK_SIGBUS, VMK_BUS_ADRERR), "= BUS_ADRERR\n"},
        {-VMK_EFAULT, "= -EFAULT\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        FILE *stream;
        struct record_writer *writer = open_writer(&stream);
        struct record_event event = {.pid = 1, .call = RECORD_fault, .has_result = true, .result = rows[i].result};

        event.args[2].number = VMK_FAULT_CACHED | VMK_FAULT_PKEY | VMK_FAULT_UFFD_WP;
        record_call(writer, &event);
        read_written(writer, stream);
        assert_non_null(strstr(written, " flags=pkey|uffd_wp|cached "));
        assert_non_null(strstr(written, rows[i].text));
        next(RECORD_EVENT);
        assert_int_equal(item.event.result, rows[i].result);
        assert_int_equal(item.event.args[2].number, event.args[2].number);
        free(written);
    }
}

static void wrong_lines(void **state)
{
    static const struct {
        const char *line, *why;
    } rows[] = {
        {"12", "the name of a call is wanted"},
        {"12 a=b", "the name of a call is wanted"},
        {"12 mmapp", "'mmapp' is not a call"},
        {"12 munmap addr=0", "len is missing"},
        {"12 munmap addr=0 len=0 prot=0", "'prot' is not known here"},
        {"12 munmap addr=0 addr=0 len=0", "'addr' is not known here"},
        {"12 munmap addr=0 len=x", "len: 'x' is not a number"},
        {"12 munmap addr=0 len=", "len: '' is not a number"},
        {"12 munmap addr=0 len=0x10000000000000000", "is not a number"},
        {"12 munmap addr=0 len=18446744073709551616", "is not a number"},
        {"12 munmap addr=0 len=1<<64", "is not a number"},
        {"12 munmap addr=0 len=08", "is not a number"},
        {"12 munmap addr=r1 len=0", "there is no such event before this one"},
        {"12 munmap addr=r0 len=0", "there is no such event"},
        {"12 munmap addr=0 len=0 =", "one result is wanted"},
        {"12 munmap addr=0 len=0 = 0 0", "one result is wanted"},
        {"12 munmap addr=0 len=0 = -EBLAH", "the result: '-EBLAH' is not a number"},
        {"12 munmap addr=0 len=0 5", "'5' is not known here"},
        {"99999999999999999999 exit", "is not a number"},
        {"9999999999999999999 exit", "is too large"},
        {"12 set_name addr=0 len=0 text=abc", "a text between quotes"},
        {"12 set_name addr=0 len=0 text=\"abc", "closing quote"},
        {"12 set_name addr=0 len=0 text=\"a\\qc\"", "an escape that is not known"},
        {"12 set_name addr=0 len=0 text=\"a\\x00\"", "an escape that is not known"},
        {"12 set_name addr=0 len=0 text=\"a\\x4\"", "an escape that is not known"},
        {"setting", "NAME=VALUE is wanted"},
        {"setting a=b c=d", "NAME=VALUE is wanted"},
        {"setting a=b", "the value: 'b' is not a number"},
        {"file", "a number is wanted"},
        {"file 0", "must not be 0"},
        {"file 1 kind=what", "kind: 'what' is not known"},
        {"file 1 mode=read|x", "mode: 'x' is not known"},
        {"file 1 dev=fe", "MAJOR:MINOR"},
        {"file 1 dev=fe:", "MAJOR:MINOR"},
        {"file 1 dev=:1", "MAJOR:MINOR"},
        {"file 1 dev=1:2:3", "MAJOR:MINOR"},
        {"file 1 dev=123456789:1", "MAJOR:MINOR"},
        {"file 1 size=-1", "is too large"},
        {"file 1 blah", "'blah' is not known here"},
        {"process x", "the process: 'x' is not a number"},
        {"process 1 as=5", "SOFT:HARD"},
        {"process 1 as=5:z", "'z' is not a number"},
        {"process 1 top_down=2", "is too large"},
        {"area", "START-END"},
        {"area 1000", "START-END"},
        {"area 1000-", "START-END"},
        {"area 1000-10000000000000000", "START-END"},
        {"area 2000-1000", "ends before it starts"},
        {"area 1000-2000 flags=\"rd zz\"", "flags: 'zz' is not known"},
        {"area 1000-2000 anon_vma=maybe", "anon_vma: 'maybe' is not known"},
        {"expect", "a number is wanted"},
        {"expect 1 lck=x", "lck"},
        {"strange 1", "'strange' begins no line"},
        {"x=y", "begins no line"},
        {"=", "begins no line"},
        {"12 exit\ta", "a control character (byte 8)"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        read_line(rows[i].line);
        assert_int_equal(record_next(&reader, &item), -1);
        if (strstr(reader.what, rows[i].why) == NULL)
            fail_msg("%s: %s, not %s", rows[i].line, reader.what, rows[i].why);
        assert_int_equal(reader.line, 2);
    }
}

static void wrong_headers(void **state)
{
    static const char *const texts[] = {
        "", "\n", "vmakit-trace", "vmakit-trace 2\n", "vmakit-trace 11\n", "12 exit\n", "vmakit-trace 1 \n"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        record_reader_init(&reader, texts[i], strlen(texts[i]));
        assert_int_equal(record_next(&reader, &item), -1);
        assert_int_equal(reader.line, 1);
        assert_int_not_equal(strlen(reader.what), 0);
    }
    assert_false(record_is_record("vmakit", 6));
    assert_true(record_is_record("vmakit-trace 9", 14));
}

/* However a file is cut off: its last line has no end, even where what is left could be read. */
static void cut_off(void **state)
{
    static const char text[] = "vmakit-trace 1\n12 munmap addr=0x1000 len=0x1000 = 0\n12 exit\n";

    (void)state;
    for (size_t len = 0; len < sizeof(text); len++) {
        int got;

        record_reader_init(&reader, text, len);
        while ((got = record_next(&reader, &item)) == 1)
            ;
        assert_int_equal(got, len != 0 && text[len - 1] == '\n' ? 0 : -1);
        if (got == 0 || len == 0)
            continue;
        assert_int_equal(reader.line, len < 15 ? 1 : len < sizeof(text) - 9 ? 2 : 3);
        assert_non_null(strstr(reader.what, "the line has no end: the file is cut off"));
    }
}

/* Beyond every limit. */
static void too_long(void **state)
{
    static char line[16000];
    size_t len = 0;

    (void)state;
    for (int i = 0; i < 60; i++)
        len += (size_t)snprintf(line + len, sizeof(line) - len, "a%d=1 ", i);
    read_line(line);
    assert_int_equal(record_next(&reader, &item), -1);
    assert_non_null(strstr(reader.what, "more than 40 words"));
    len = (size_t)snprintf(line, sizeof(line), "file 1 name=\"");
    memset(line + len, 'n', RECORD_TEXT_MAX);
    snprintf(line + len + RECORD_TEXT_MAX, 3, "\"");
    read_line(line);
    assert_int_equal(record_next(&reader, &item), -1);
    assert_non_null(strstr(reader.what, "longer than 4399 bytes"));
    memset(line, 'z', 5000);
    line[5000] = '\0';
    read_line(line);
    assert_int_equal(record_next(&reader, &item), -1);
    len = (size_t)snprintf(line, sizeof(line), "setting ");
    memset(line + len, 'n', 5000);
    snprintf(line + len + 5000, 4, "=1");
    read_line(line);
    assert_int_equal(record_next(&reader, &item), -1);
    assert_non_null(strstr(reader.what, "too long"));
}

/* ---- Names ---- */

static void errors_have_names(void **state)
{
    (void)state;
    for (int i = -5; i < 200; i++) {
        const char *name = record_errno_name(i);
        if (name != NULL)
            assert_int_equal(record_errno_find(name, strlen(name)), i);
    }
    assert_string_equal(record_errno_name(VMK_ENOMEM), "ENOMEM");
    assert_null(record_errno_name(0));
    assert_int_equal(record_errno_find("E", 1), 0);
}

static void small_buffers(void **state)
{
    char buffer[6] = "zzzzz";
    const struct record_value value = {.number = VMK_PROT_READ | VMK_PROT_WRITE};

    (void)state;
    assert_int_equal(record_format_arg(RECORD_mprotect, 2, value, buffer, sizeof(buffer)), 20);
    assert_string_equal(buffer, "PROT_");
    assert_int_equal(record_format_arg(RECORD_mprotect, 2, value, NULL, 0), 20);
}

static void cannot_write(void **state)
{
    struct record_writer *writer;

    (void)state;
    assert_true(record_open("/nonexistent/directory/file", &writer) < 0);
    if (record_open("/dev/full", &writer) == 0) {
        record_comment(writer, "no room");
        assert_true(record_close(writer) < 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_round_trip),    cmocka_unit_test(process_round_trip),
        cmocka_unit_test(area_round_trip),    cmocka_unit_test(events_round_trip),
        cmocka_unit_test(symbolic_addresses), cmocka_unit_test(settings_round_trip),
        cmocka_unit_test(free_form),          cmocka_unit_test(wrong_lines),
        cmocka_unit_test(wrong_headers),      cmocka_unit_test(cut_off),
        cmocka_unit_test(too_long),           cmocka_unit_test(errors_have_names),
        cmocka_unit_test(small_buffers),      cmocka_unit_test(cannot_write),
        cmocka_unit_test(signals_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
