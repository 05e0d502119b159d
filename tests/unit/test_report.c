/* SPDX-License-Identifier: MIT */
/* test_report.c - reports, as whole texts; and names of flags both ways. */
#include "support.h"

#include "base/format.h"

static struct vt t;
static struct vt_text text;

static struct vmk_file *named_file(const char *name, uint32_t major, uint32_t minor, uint64_t inode)
{
    struct vmk_object *object;
    struct vmk_file *file;
    const struct vmk_object_options object_options = {.size = sizeof(object_options),
                                                      .kind = VMK_OBJECT_REGULAR,
                                                      .nr_bytes = 1 << 20,
                                                      .dev_major = major,
                                                      .dev_minor = minor,
                                                      .inode = inode};
    assert_int_equal(vmk_object_create(t.system, &object_options, &object), 0);
    const struct vmk_file_options options = {
        .size = sizeof(options), .object = object, .mode = VMK_FILE_READ | VMK_FILE_WRITE, .name = name};
    assert_int_equal(vmk_file_create(t.system, &options, &file), 0);
    vmk_object_put(object);
    return file;
}

static void import(vmk_addr start, vmk_addr end, const char *flags, struct vmk_file *file, uint64_t offset,
                   const char *special)
{
    struct vmk_import_area area = {.start = start, .end = end, .offset = offset, .file = file, .special_name = special};

    assert_int_equal(vmk_vmflags_parse(flags, &area.flags, NULL), 0);
    assert_int_equal(vmk_mm_import(t.mm, &area), 0);
    if (file != NULL)
        vmk_file_put(file);
}

/* A space with every kind of line. */
static void open_space(void)
{
    struct vmk_mm_layout layout;

    vt_setup(&t);
    import(0x10000, 0x11000, "rd mr mw me", NULL, 0, NULL);
    import(UINT64_C(0x555555554000), UINT64_C(0x555555556000), "rd ex mr mw me",
           named_file("/bin/x y", 0xfe, 0, 247134), 0, NULL);
    import(UINT64_C(0x555555556000), UINT64_C(0x555555558000), "rd wr mr mw me ac",
           named_file("/tmp/a\nb (deleted)", 0x103, 0x1a, UINT64_C(12345678901234)), 0x123456000, NULL);
    import(UINT64_C(0x555555558000), UINT64_C(0x555555559000), "rd wr mr mw me ac", NULL, 0, NULL);
    import(UINT64_C(0x7ffff7fc0000), UINT64_C(0x7ffff7fc2000), "rd sh mr me ms", named_file("/dev/shm/s", 0, 0x1b, 3),
           0, NULL);
    import(UINT64_C(0x7ffff7fca000), UINT64_C(0x7ffff7fcc000), "rd ex mr mw me de", NULL, 0, "[vdso]");
    import(UINT64_C(0x7ffffffde000), UINT64_C(0x7ffffffff000), "rd wr mr mw me gd lo ac", NULL, 0, NULL);
    vmk_mm_get_layout(t.mm, &layout);
    layout.start_code = UINT64_C(0x555555554800);
    layout.end_code = UINT64_C(0x555555554801);
    layout.start_brk = UINT64_C(0x555555558000);
    layout.brk = UINT64_C(0x555555559000);
    layout.start_stack = UINT64_C(0x7fffffffe000);
    vmk_mm_set_layout(t.mm, &layout);
    text.len = 0;
    text.text[0] = '\0';
}

static const char *const lines[] = {
    "00010000-00011000 r--p 00000000 00:00 0 \n",
    "555555554000-555555556000 r-xp 00000000 fe:00 247134                     /bin/x y\n",
    "555555556000-555555558000 rw-p 123456000 103:1a 12345678901234           /tmp/a\\012b (deleted)\n",
    "555555558000-555555559000 rw-p 00000000 00:00 0                          [heap]\n",
    "7ffff7fc0000-7ffff7fc2000 r--s 00000000 00:1b 3                          /dev/shm/s\n",
    "7ffff7fca000-7ffff7fcc000 r-xp 00000000 00:00 0                          [vdso]\n",
    "7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0                          [stack]\n",
};
static const char *const flag_lines[] = {
    "VmFlags: rd mr mw me \n",
    "VmFlags: rd ex mr mw me \n",
    "VmFlags: rd wr mr mw me ac \n",
    "VmFlags: rd wr mr mw me ac \n",
    "VmFlags: rd sh mr me ms \n",
    "VmFlags: rd ex mr mw me de \n",
    "VmFlags: rd wr mr mw me gd lo ac \n",
};
enum { NR_LINES = sizeof(lines) / sizeof(lines[0]) };

static void count_pieces(void *context, const char *text_of_it, size_t len)
{
    unsigned *nr = context;

    assert_true(text_of_it != NULL && len != 0);
    ++*nr;
}

/* A sink is given lines or more at a time, not characters. */
static void pieces(void **state)
{
    unsigned nr = 0;

    (void)state;
    open_space();
    vmk_report_maps(t.mm, count_pieces, &nr);
    assert_in_range(nr, 1, NR_LINES);
    vt_teardown(&t);
}

static void maps(void **state)
{
    static struct vt_text expected;

    (void)state;
    open_space();
    vmk_report_maps(t.mm, vt_sink, &text);
    expected.len = 0;
    for (size_t i = 0; i < NR_LINES; i++)
        vt_sink(&expected, lines[i], strlen(lines[i]));
    assert_string_equal(text.text, expected.text);
    vt_teardown(&t);
}

/* A report is made while memory is short. */
static void nothing_is_allocated(void **state)
{
    (void)state;
    open_space();
    atomic_store(&t.failed, false);
    atomic_store(&t.until_fail, 0);
    vmk_report_maps(t.mm, vt_sink, &text);
    vmk_report_vmflags(t.mm, vt_sink, &text);
    vmk_report_statm(t.mm, vt_sink, &text);
    vmk_report_status(t.mm, vt_sink, &text);
    vmk_report_json(t.mm, vt_sink, &text);
    vmk_mm_dump(t.mm, vt_sink, &text);
    vmk_mm_validate(t.mm, vt_sink, &text);
    atomic_store(&t.until_fail, -1);
    assert_false(atomic_load(&t.failed));
    vt_teardown(&t);
}

static void vmflags(void **state)
{
    static struct vt_text expected;

    (void)state;
    open_space();
    vmk_report_vmflags(t.mm, vt_sink, &text);
    expected.len = 0;
    for (size_t i = 0; i < NR_LINES; i++) {
        vt_sink(&expected, lines[i], strlen(lines[i]));
        vt_sink(&expected, flag_lines[i], strlen(flag_lines[i]));
    }
    assert_string_equal(text.text, expected.text);
    vt_teardown(&t);
}

/* total 1+2+2+1+2+2+33 = 43 pages; exec 2+2, of which the program's text is one page. */
static void counters(void **state)
{
    (void)state;
    open_space();
    vmk_report_statm(t.mm, vt_sink, &text);
    assert_string_equal(text.text, "43 0 0 1 0 36 0\n");
    text.len = 0;
    vmk_report_status(t.mm, vt_sink, &text);
    assert_string_equal(text.text,
                        "VmPeak:\t     172 kB\nVmSize:\t     172 kB\nVmLck:\t     132 kB\nVmPin:\t       0 kB\n"
                        "VmData:\t      12 kB\nVmStk:\t     132 kB\nVmExe:\t       4 kB\nVmLib:\t      12 kB\n");
    vt_teardown(&t);
}

/* Marks that lie give no more text than there is executable memory. */
static void text_is_capped(void **state)
{
    struct vmk_mm_layout layout;

    (void)state;
    open_space();
    vmk_mm_get_layout(t.mm, &layout);
    layout.end_code = layout.start_code + (1 << 20);
    vmk_mm_set_layout(t.mm, &layout);
    vmk_report_statm(t.mm, vt_sink, &text);
    assert_string_equal(text.text, "43 0 0 4 0 36 0\n");
    vt_teardown(&t);
}

/* The program's text, in whole pages on both sides of its marks; the rest of what is executable is its libraries'. */
static void pages_of_text(void **state)
{
    static const struct {
        vmk_addr start, end;
        unsigned text;
    } marks[] = {{0, 0, 0},           {0, 1, 1},           {0x1000, 0x2000, 1}, {0x1000, 0x2001, 2},
                 {0x1fff, 0x2000, 1}, {0x1fff, 0x2001, 2}, {0x2000, 0x4000, 2}, {0x3000, 0x5000, 2},
                 {0x1000, 0x5000, 4}, {0x1000, 0x5001, 4}};

    (void)state;
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        struct vmk_mm_layout layout;
        char expected[64];

        open_space();
        vmk_mm_get_layout(t.mm, &layout);
        layout.start_code = marks[i].start;
        layout.end_code = marks[i].end;
        vmk_mm_set_layout(t.mm, &layout);
        vmk_report_statm(t.mm, vt_sink, &text);
        snprintf(expected, sizeof(expected), "43 0 0 %u 0 36 0\n", marks[i].text);
        assert_string_equal(text.text, expected);
        text.len = 0;
        vmk_report_status(t.mm, vt_sink, &text);
        snprintf(expected, sizeof(expected), "VmExe:\t%8u kB\nVmLib:\t%8u kB\n", 4 * marks[i].text,
                 4 * (4 - marks[i].text));
        assert_non_null(strstr(text.text, expected));
        vt_teardown(&t);
    }
}

static void json(void **state)
{
    (void)state;
    vt_setup(&t);
    text.len = 0;
    import(0x10000, 0x11000, "rd mr mw me", named_file("/a\"\\\x01\xc3\xa9\xff\xed\xa0\x80", 1, 2, 3), 0x2000, NULL);
    vmk_report_json(t.mm, vt_sink, &text);
    const char *areas = strstr(text.text, "\"areas\":");
    assert_non_null(areas);
    assert_string_equal(areas,
                        "\"areas\":[\n{\"start\":\"0x10000\",\"end\":\"0x11000\",\"perms\":\"r--p\",\"flags\":"
                        "\"rd mr mw me\",\"offset\":\"0x2000\",\"major\":1,\"minor\":2,\"inode\":3,\"anon_vma\":0,"
                        "\"name\":\"/a\\\"\\\\\\u0001\xc3\xa9\\ufffd\\ufffd\\ufffd\\ufffd\"}]}\n");
    assert_non_null(strstr(text.text, "{\"page_size\":4096,\"layout\":{\"task_size\":\"0x7ffffffff000\","));
    assert_non_null(strstr(text.text, "\"pages\":{\"total\":1,\"peak\":1,\"locked\":0,"));
    assert_non_null(strstr(text.text, "\"nr_areas\":1,\"peak_areas\":1,"));
    vt_teardown(&t);
}

/* The first and the last sequence of each length, and those that stand just beside them. */
static void json_utf8(void **state)
{
    static const struct {
        const char *bytes;
        unsigned nr_bad; /* bytes that are replaced; 0: the name stays as it is */
    } names[] = {{"\x7f", 0},
                 {"\x80", 1},
                 {"\xc1\xbf", 2},
                 {"\xc2\x80", 0},
                 {"\xdf\xbf", 0},
                 {"\xdf\xc0", 2},
                 {"\xe0\x9f\xbf", 3},
                 {"\xe0\xa0\x80", 0},
                 {"\xed\x9f\xbf", 0},
                 {"\xed\xa0\x80", 3},
                 {"\xee\x80\x80", 0},
                 {"\xef\xbf\xbf", 0},
                 {"\xef\xbf", 2},
                 {"\xf0\x8f\xbf\xbf", 4},
                 {"\xf0\x90\x80\x80", 0},
                 {"\xf4\x8f\xbf\xbf", 0},
                 {"\xf4\x90\x80\x80", 4},
                 {"\xf5\x80\x80\x80", 4}};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char expected[64] = "\"name\":\"";

        vt_setup(&t);
        text.len = 0;
        import(0x10000, 0x11000, "rd mr mw me", named_file(names[i].bytes, 1, 2, 3), 0, NULL);
        vmk_report_json(t.mm, vt_sink, &text);
        for (unsigned n = 0; n < names[i].nr_bad; n++)
            strcat(expected, "\\ufffd");
        strcat(strcat(expected, names[i].nr_bad == 0 ? names[i].bytes : ""), "\"}");
        assert_non_null(strstr(text.text, expected));
        vt_teardown(&t);
    }
}

/* A name that is longer than any buffer inside. */
static void long_names(void **state)
{
    static char name[2000], expected[2200];

    (void)state;
    vt_setup(&t);
    memset(name, 'n', sizeof(name) - 1);
    name[0] = '/';
    name[1990] = '\n';
    import(0x10000, 0x11000, "rd mr mw me", named_file(name, 0xfe, 0, 1), 0, NULL);
    text.len = 0;
    vmk_report_maps(t.mm, vt_sink, &text);
    int len = snprintf(expected, sizeof(expected), "%-73s%.1990s\\012%s\n", "00010000-00011000 r--p 00000000 fe:00 1 ",
                       name, name + 1991);
    assert_int_equal(text.len, len);
    assert_string_equal(text.text, expected);
    vt_teardown(&t);
}

static void empty(void **state)
{
    (void)state;
    vt_setup(&t);
    text.len = 0;
    text.text[0] = '\0';
    vmk_report_maps(t.mm, vt_sink, &text);
    vmk_report_vmflags(t.mm, vt_sink, &text);
    assert_string_equal(text.text, "");
    vmk_report_statm(t.mm, vt_sink, &text);
    assert_string_equal(text.text, "0 0 0 0 0 0 0\n");
    vt_teardown(&t);
}

/* ---- Names of flags ---- */

/* The order was seen on Linux 6.18: areas made with many flags at once. */
static const char all_names[] =
    "rd wr ex sh mr mw me ms gd um pf gu uw lo io sr rr dc de lf ac nr ht sf ar wf dd sd mm hg "
    "nh mg ss dp ui sl ";

static void flags_round_trip(void **state)
{
    char buffer[VMK_VMFLAGS_TEXT_MAX];
    struct vmk_settings settings;
    vmk_vm_flags flags;

    (void)state;
    vmk_settings_init(&settings, VMK_LINUX_VERSION(6, 18), VMK_ARCH_X86_64);
    assert_int_equal(vmk_vmflags_parse(all_names, &flags, NULL), 0);
    assert_int_equal(vmk_vmflags_text(&settings, flags, buffer, sizeof(buffer)), sizeof(all_names) - 1);
    assert_string_equal(buffer, all_names);
    for (unsigned bit = 0; bit < 64; bit++) {
        vmk_vm_flags back = 0;
        if (vmk_vmflags_text(NULL, UINT64_C(1) << bit, buffer, sizeof(buffer)) == 0)
            continue;
        assert_int_equal(vmk_vmflags_parse(buffer, &back, NULL), 0);
        assert_true(back == UINT64_C(1) << bit);
    }
}

static void flags_of_an_architecture(void **state)
{
    char buffer[VMK_VMFLAGS_TEXT_MAX];
    struct vmk_settings settings;

    (void)state;
    vmk_settings_init(&settings, VMK_LINUX_VERSION(6, 18), VMK_ARCH_ARM64);
    vmk_vmflags_text(&settings, VMK_VM_READ | VMK_VM_BTI | VMK_VM_MTE, buffer, sizeof(buffer));
    assert_string_equal(buffer, "rd bt mt ");
    settings.arch = VMK_ARCH_X86_64;
    vmk_vmflags_text(&settings, VMK_VM_READ | VMK_VM_BTI | VMK_VM_MTE, buffer, sizeof(buffer));
    assert_string_equal(buffer, "rd ");
}

static void flags_in_small_buffers(void **state)
{
    char buffer[8] = "zzzzzzz";

    (void)state;
    assert_int_equal(vmk_vmflags_text(NULL, VMK_VM_READ | VMK_VM_WRITE | VMK_VM_EXEC, buffer, 5), 9);
    assert_string_equal(buffer, "rd w");
    assert_int_equal(vmk_vmflags_text(NULL, VMK_VM_READ, buffer, 0), 3);
    assert_int_equal(vmk_vmflags_text(NULL, 0, buffer, sizeof(buffer)), 0);
    assert_string_equal(buffer, "");
}

static void flags_that_are_none(void **state)
{
    static const char *const texts[] = {"xx", "rd r", "rdwr", "rd  Rd", "r", "rd\twr", "??"};
    vmk_vm_flags flags = 77;
    const char *bad;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        bad = NULL;
        assert_int_equal(vmk_vmflags_parse(texts[i], &flags, &bad), -VMK_ERR_FORMAT);
        assert_non_null(bad);
        assert_int_equal(vmk_vmflags_parse(texts[i], &flags, NULL), -VMK_ERR_FORMAT);
    }
    assert_true(flags == 77);
    assert_int_equal(vmk_vmflags_parse("", &flags, NULL), 0);
    assert_true(flags == 0);
    assert_int_equal(vmk_vmflags_parse(" rd  wr \nxx", &flags, NULL), 0);
    assert_true(flags == (VMK_VM_READ | VMK_VM_WRITE));
}

/* ---- The writer ---- */

static void numbers_and_columns(void **state)
{
    struct vmki_format format;

    (void)state;
    text.len = 0;
    vmki_format_init(&format, vt_sink, &text);
    vmki_format_flush(&format);
    vmki_format_hex(&format, 0, 1);
    vmki_format_char(&format, ' ');
    vmki_format_hex(&format, UINT64_MAX, 8);
    vmki_format_char(&format, ' ');
    vmki_format_dec(&format, UINT64_MAX, 1);
    vmki_format_pad(&format, 45);
    vmki_format_dec(&format, 7, 3);
    vmki_format_pad(&format, 10);
    vmki_format_bytes(&format, "\nab", 3);
    vmki_format_pad(&format, 3);
    vmki_format_text(&format, "|");
    vmki_format_flush(&format);
    assert_string_equal(text.text, "0 ffffffffffffffff 18446744073709551615        7\nab |");
}

static void longer_than_the_buffer(void **state)
{
    struct vmki_format format;

    (void)state;
    text.len = 0;
    vmki_format_init(&format, vt_sink, &text);
    for (size_t i = 0; i < 3 * VMKI_FORMAT_BUFFER + 1; i++)
        vmki_format_char(&format, (char)('a' + i % 26));
    vmki_format_flush(&format);
    assert_int_equal(text.len, 3 * VMKI_FORMAT_BUFFER + 1);
    for (size_t i = 0; i < text.len; i++)
        assert_int_equal(text.text[i], 'a' + i % 26);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps),
        cmocka_unit_test(nothing_is_allocated),
        cmocka_unit_test(pieces),
        cmocka_unit_test(vmflags),
        cmocka_unit_test(counters),
        cmocka_unit_test(text_is_capped),
        cmocka_unit_test(pages_of_text),
        cmocka_unit_test(json),
        cmocka_unit_test(json_utf8),
        cmocka_unit_test(long_names),
        cmocka_unit_test(empty),
        cmocka_unit_test(flags_round_trip),
        cmocka_unit_test(flags_of_an_architecture),
        cmocka_unit_test(flags_in_small_buffers),
        cmocka_unit_test(flags_that_are_none),
        cmocka_unit_test(numbers_and_columns),
        cmocka_unit_test(longer_than_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
