/* SPDX-License-Identifier: MIT */
/* test_draw.c - drawings as whole texts: kinds, gaps, and what changed between two views; sizes; strace's odd lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "draw.h"
#include "strace.h"

static struct kview before, after;

static void parse(struct kview *view, const char *text)
{
    size_t bad_line = 0;

    if (kview_parse(view, text, strlen(text), &bad_line) != 0)
        fail_msg("line %zu", bad_line);
}

static void assert_drawing(const struct kview *view, const struct kview *old, const char *expected)
{
    char *text = NULL;
    size_t len = 0;
    const struct draw_options options = {.width = 90, .before = old};
    FILE *stream = open_memstream(&text, &len);

    draw_map(stream, view, &options);
    fclose(stream);
    assert_string_equal(text, expected);
    free(text);
}

static void changes(void **state)
{
    (void)state;
    parse(&before, "00010000-00011000 r--p 00000000 00:00 0 \n"   /* goes, before all others */
                   "00020000-00022000 rw-p 00000000 00:00 0 \n"   /* stays */
                   "00030000-00032000 rw-p 00000000 00:00 0 \n"   /* shrinks */
                   "00040000-00041000 rw-p 00000000 00:00 0 \n"   /* goes */
                   "00050000-00051000 rw-p 00000000 00:00 0 \n"   /* becomes read-only */
                   "00060000-00061000 rw-p 00000000 00:00 0 \n"); /* goes, after all others */
    parse(&after, "00020000-00022000 rw-p 00000000 00:00 0 \n"
                  "00030000-00031000 rw-p 00000000 00:00 0 \n"
                  "00045000-00046000 rw-s 00000000 00:01 5                          /dev/zero (deleted)\n"
                  "00050000-00051000 r--p 00000000 00:00 0 \n");
    assert_drawing(&after, &before,
                   "- 00010000-00011000      4K r--p #            anonymous \n"
                   "                        60K free\n"
                   "  00020000-00022000      8K rw-p #            anonymous \n"
                   "                        56K free\n"
                   "~ 00030000-00031000      4K rw-p #            anonymous \n"
                   "- 00040000-00041000      4K rw-p #            anonymous \n"
                   "                        16K free\n"
                   "+ 00045000-00046000      4K rw-s #            shared    /dev/zero (deleted)\n"
                   "                        40K free\n"
                   "~ 00050000-00051000      4K r--p #            anonymous \n"
                   "- 00060000-00061000      4K rw-p #            anonymous \n");
    struct draw_summary sum;
    draw_sum(&after, &before, &sum);
    assert_int_equal(sum.new, 1);
    assert_int_equal(sum.gone, 3);
    assert_int_equal(sum.changed, 2);
    assert_int_equal(sum.nr_gaps, 3);
    assert_int_equal(sum.largest_gap, 0x14000);
    assert_int_equal(sum.largest_at, 0x31000);
    assert_int_equal(sum.free, 0xe000 + 0x14000 + 0xa000);
    assert_int_equal(sum.span, 0x31000);
}

static void nothing(void **state)
{
    (void)state;
    parse(&before, "");
    parse(&after, "00010000-00011000 r--p 00000000 00:00 0 \n");
    assert_drawing(&before, NULL, "");
    assert_drawing(&after, &before, "+ 00010000-00011000      4K r--p #            anonymous \n");
    assert_drawing(&before, &after, "- 00010000-00011000      4K r--p #            anonymous \n");
}

static void kinds(void **state)
{
    static const struct {
        const char *line;
        enum draw_kind kind;
    } rows[] = {
        {"1000-2000 r-xp 0 fe:00 1 /x", DRAW_TEXT},          {"1000-2000 rwxp 0 fe:00 1 /x", DRAW_TEXT},
        {"1000-2000 rw-p 0 fe:00 1 /x", DRAW_DATA},          {"1000-2000 r--p 0 fe:00 1 /x", DRAW_FILE},
        {"1000-2000 rwxp 0 00:00 0 ", DRAW_ANONYMOUS},       {"1000-2000 rw-p 0 00:00 0 [anon:a]", DRAW_ANONYMOUS},
        {"1000-2000 rw-s 0 fe:00 1 /x", DRAW_SHARED},        {"1000-2000 r-xs 0 00:01 1 /SYSV0", DRAW_SHARED},
        {"1000-2000 rw-p 0 00:00 0 [heap]", DRAW_HEAP},      {"1000-2000 rw-p 0 00:00 0 [stack]", DRAW_STACK},
        {"1000-2000 rw-p 0 00:00 0 [stack:17]", DRAW_STACK}, {"1000-2000 rw-p 0 00:00 0 \nVmFlags: rd gd", DRAW_STACK},
        {"1000-2000 r-xp 0 00:00 0 [vdso]", DRAW_SPECIAL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        parse(&after, rows[i].line);
        assert_int_equal(draw_kind_of(&after.areas[0]), rows[i].kind);
    }
}

static void sizes(void **state)
{
    static const struct {
        uint64_t nr_bytes;
        const char *text;
    } rows[] = {
        {0, "0K"},
        {4096, "4K"},
        {1023 << 10, "1023K"},
        {1 << 20, "1M"},
        {1536 << 10, "1.5M"},
        {(1 << 20) + 1, "1.0M"},
        {UINT64_C(127) << 40, "127T"},
        {UINT64_MAX, "16E"},
        {UINT64_C(1) << 50, "1P"},
    };
    char text[16];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        draw_size(rows[i].nr_bytes, text);
        assert_string_equal(text, rows[i].text);
    }
}

/* ---- strace's lines ---- */

static void assert_line(const char *text, enum strace_kind kind, uint64_t pid, size_t nr_args, int64_t result)
{
    char whole[256];
    int len = snprintf(whole, sizeof(whole), "%s\n", text);
    struct strace_line line;
    struct strace_reader *reader = strace_reader_new(whole, (size_t)len);

    assert_in_range(len, 1, sizeof(whole) - 1);
    assert_int_equal(strace_next(reader, &line), 1);
    if (line.kind != kind)
        fail_msg("%s: %s", text, line.kind == STRACE_BAD ? line.what : "another kind");
    assert_int_equal(line.pid, pid);
    assert_int_equal(line.nr_args, nr_args);
    assert_true(line.result == result);
    strace_reader_free(reader);
}

static void strace_lines(void **state)
{
    (void)state;
    assert_line("brk(NULL) = 0x5000", STRACE_CALL, 0, 1, 0x5000);
    assert_line("munlockall() = 0", STRACE_CALL, 0, 0, 0);
    assert_line("7 brk(NULL) = 0x5000 <0.000012>", STRACE_CALL, 7, 1, 0x5000);
    assert_line("[pid     7] brk(NULL)                = 0x5000", STRACE_CALL, 7, 1, 0x5000);
    assert_line("7 12:00:00 brk(NULL) = 0", STRACE_CALL, 7, 1, 0);
    assert_line("7 1700000000.123456 brk(NULL) = 0", STRACE_CALL, 7, 1, 0);
    assert_line("     0.000012 brk(NULL) = 0", STRACE_CALL, 0, 1, 0);
    assert_line("mmap(NULL, 1, 0, 0, -1, 0) = -1 ENOMEM (Cannot allocate memory)", STRACE_CALL, 0, 6, -VMK_ENOMEM);
    assert_line("x(\"a, b) = 3\\\"\", {a=[1, 2], b=(3)}, 4</a, (>, 1<<2 /* c, */) = 5", STRACE_CALL, 0, 4, 5);
    assert_line("exit_group(0) = ?", STRACE_CALL, 0, 1, 0);
    assert_line("9 mmap(NULL, 4096 <unfinished ...>", STRACE_PENDING, 9, 2, 0);
    assert_line("9 +++ exited with 0 +++", STRACE_EXITED, 9, 0, 0);
    assert_line("9 +++ killed by SIGKILL +++", STRACE_EXITED, 9, 0, 0);
    assert_line("strace: Process 12 attached", STRACE_ATTACHED, 0, 0, 0);
    assert_line("--- SIGCHLD {} ---\n\nstrace: Can't stat\nbrk(0) = 1", STRACE_CALL, 0, 1, 1);
    assert_line("brk(0)", STRACE_BAD, 0, 1, 0);
    assert_line("brk(0", STRACE_BAD, 0, 0, 0);
    assert_line("a b c", STRACE_BAD, 0, 0, 0);
    assert_line("brk(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13) = 0", STRACE_BAD, 0, 12, 0);
}

static void strace_flags(void **state)
{
    const struct strace_text flags = {"CLONE_VM|SIGCHLD|0x5 /* a */", 28};
    uint64_t value;

    (void)state;
    assert_true(strace_has_flag(flags, "CLONE_VM"));
    assert_true(strace_has_flag(flags, "SIGCHLD"));
    assert_false(strace_has_flag(flags, "CLONE"));
    assert_true(strace_number((struct strace_text){"PROT_READ|0x8 /* PROT_??? */", 28}, &value));
    assert_int_equal(value, 9);
    assert_false(strace_number((struct strace_text){"/* x */", 7}, &value));
    assert_false(strace_number((struct strace_text){"", 0}, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes), cmocka_unit_test(nothing),      cmocka_unit_test(kinds),
        cmocka_unit_test(sizes),   cmocka_unit_test(strace_lines), cmocka_unit_test(strace_flags),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kview_free(&before);
    kview_free(&after);
    return failed;
}
