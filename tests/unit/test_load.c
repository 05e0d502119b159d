/* SPDX-License-Identifier: MIT */
/*
 * Loading, line by line: what a text may say and what then is there; what it may not, with the exact words, line and error;
 * and that a text that is refused leaves nothing behind.
 */
#include "report/state.h"
#include "support.h"
#include "vmakit/state.h"

#define BASE UINT64_C(0x10000000)
#define P(n) ((uint64_t)(n)*VT_PAGE)

/* ---- A space to load into ---- */

static struct vt t;

/* What the finder was asked for, and what it gives: file 1. */
static struct {
    unsigned nr_calls;
    uint64_t file_id, object_id;
    char name[64];
} asked;

static struct vmk_file *find_file(void *context, uint64_t file_id, uint64_t object_id, const char *name)
{
    assert_ptr_equal(context, &t);
    asked.nr_calls++;
    asked.file_id = file_id;
    asked.object_id = object_id;
    snprintf(asked.name, sizeof(asked.name), "%s", name);
    if (t.files[0] != NULL)
        vmk_file_get(t.files[0]);
    return t.files[0];
}

/* What loading may change and a refused text must not. */
struct held {
    long nr_live;
    uint64_t committed, huge_pages, nr_refs;
};

static struct held held_now(void)
{
    struct vmk_sysctl sysctl;

    vmk_system_quiesce(t.system);
    vmk_system_sysctl(t.system, &sysctl);
    return (struct held){.nr_live = atomic_load(&t.nr_live),
                         .committed = vmk_system_committed(t.system),
                         .huge_pages = sysctl.hugetlb_free_pages,
                         .nr_refs = t.files[0] != NULL ? __atomic_load_n(&t.files[0]->refs, __ATOMIC_RELAXED) : 0};
}

static void assert_held(const struct held *before, const char *text)
{
    const struct held now = held_now();

    if (now.nr_live != before->nr_live || now.committed != before->committed || now.huge_pages != before->huge_pages ||
        now.nr_refs != before->nr_refs)
        fail_msg("blocks %ld and before %ld, charge %llu %llu, huge pages %llu %llu, references %llu %llu, by: %s",
                 now.nr_live, before->nr_live, (unsigned long long)now.committed, (unsigned long long)before->committed,
                 (unsigned long long)now.huge_pages, (unsigned long long)before->huge_pages,
                 (unsigned long long)now.nr_refs, (unsigned long long)before->nr_refs, text);
}

static int setup(void **state)
{
    (void)state;
    memset(&asked, 0, sizeof(asked));
    vt_init(&t);
    t.system_options.sysctl.hugetlb_free_pages = 10;
    vt_open(&t);
    vt_file(&t, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vt_teardown(&t);
    return 0;
}

/* ---- What is refused ---- */

static void assert_refused(const char *text, int wanted, size_t line, const char *what)
{
    struct vmk_mm *loaded[2];
    struct vmk_format_error error;
    const struct held before = held_now();
    size_t nr = 2;

    memset(&error, 0x55, sizeof(error));
    int result = vmk_mm_load(t.system, text, strlen(text), find_file, &t, loaded, &nr, &error);
    if (result != wanted || error.line != line || strcmp(error.what, what) != 0)
        fail_msg("%d, line %zu: \"%s\", and not %d, %zu: \"%s\", for: %s", result, error.line, error.what, wanted, line,
                 what, text);
    assert_int_equal(nr, 0);
    assert_held(&before, text);
    for (size_t i = strlen(error.what); i < sizeof(error.what); i++)
        assert_int_equal(error.what[i], 0);
    nr = 2; /* who does not want to know why */
    assert_int_equal(vmk_mm_load(t.system, text, strlen(text), find_file, &t, loaded, &nr, NULL), wanted);
    assert_int_equal(nr, 0);
}

#define HEAD     "vmakit-state 1\nmm\n"
#define AREA     "area 10000000 10001000 "
#define INTERNAL "vmakit-state 1\nfile 1 internal path=\"x\" "
#define FILE_1   "vmakit-state 1\nfile 1 id=1 object=1 path=\"/file1\"\nmm\n"
#define NAME_79  "0123456789012345678901234567890123456789012345678901234567890123456789012345678"

static const struct {
    const char *text;
    size_t line;
    const char *what;
} refused[] = {
    {"hello\n", 1, "not a saved state"},
    {"vmakit-state 2\n", 1, "a version that this library does not know"},
    {"vmakit-state 1 1\n", 1, "a version that this library does not know"},
    {"vmakit-state 1\nwhat\n", 2, "an unknown word"},
    {"vmakit-state 1\n\n", 2, "a line without a word"},
    {"vmakit-state 1\nend\n", 2, "outside of an address space"},
    {"vmakit-state 1\narea 1 2 3 4\n", 2, "outside of an address space"},
    {"vmakit-state 1\nsetting page_shift c\n", 2, "a setting out of order"},
    {"vmakit-state 1\nvalue seed 1\n", 2, "outside of an address space"},
    {"vmakit-state 1\nfile 2 id=1 path=\"x\"\n", 2, "a file out of order"},
    {"vmakit-state 1\nfile 1 id=1 what=1\n", 2, "an unknown field of a file"},
    {"vmakit-state 1\nfile 1 id=1 path=\"x\n", 2, "a text without its end"},
    {"vmakit-state 1\nfile 1 id=1 path=\"\\zz\"\n", 2, "a broken text"},
    {"vmakit-state 1\nfile 1 id=1 path=\"\\00\"\n", 2, "a broken text"},
    {"vmakit-state 1\nfile 1 id=1 path=\"\\4\"\n", 2, "a broken text"},
    {"vmakit-state 1\nfile 1 id=1 kind=9 internal path=\"x\"\n", 2, "an object that cannot be"},
    {"vmakit-state 1\nfile 1 kind=1 bytes=1 pages=ff internal path=\"x\"\n", 2, "an object that cannot be"},
    {"vmakit-state 1\nfile 1 kind=1 bytes=1000 shift=29 internal path=\"x\"\n", 2, "an object that cannot be"},
    {"vmakit-state 1\nfile 1 kind=2 bytes=1000 shift=b internal path=\"x\"\n", 2, "an object that cannot be"},
    {"vmakit-state 1\nfile 1 kind=2 bytes=1000 shift=29 internal path=\"x\"\n", 2, "an object that cannot be"},
    {"vmakit-state 1\nfile 1 kind=1 bytes=1000 huge=1001 internal path=\"x\"\n", 2, "an object that cannot be"},
    {HEAD AREA "73 0 anon=4000000000000000\n", 3, "an anon_vma's number that cannot be"},
    {"vmakit-state 1\nfile 1 kind=1 bytes=ffffffffffffffff internal path=\"x\"\n", 2, "an object that cannot be"},
    {"vmakit-state 1\nfile 1 id= path=\"x\"\n", 2, "a field without its value"},
    {"vmakit-state 1\nfile 1 =1\n", 2, "a field without a name"},
    {HEAD "mm\n", 3, "an address space inside another"},
    {HEAD "mm x\n", 3, "an address space inside another"},
    {HEAD "file 1 id=1 path=\"x\"\n", 3, "a file out of order"},
    {HEAD "setting nonsense 1\n", 3, "an unknown setting"},
    {HEAD "setting page_shift\n", 3, "a broken setting"},
    {HEAD "setting page_shift xyz\n", 3, "a broken setting"},
    {HEAD "setting page_shift 1 2\n", 3, "more on the line than belongs there"},
    {HEAD "setting page_shift 10000000000000000\n", 3, "a broken setting"},
    {HEAD "setting page_shift 3\nend\n", 4, "a setting with a value that cannot be"},
    {HEAD "value seed 1\nsetting page_shift c\n", 4, "a setting out of order"},
    {HEAD "value nonsense 1\n", 3, "an unknown value, or one that cannot be"},
    {HEAD "value seed\n", 3, "an unknown value, or one that cannot be"},
    {HEAD "value personality 100000000\n", 3, "an unknown value, or one that cannot be"},
    {HEAD "value top_down 2\n", 3, "an unknown value, or one that cannot be"},
    {HEAD "value pkey_exec_only 99\n", 3, "an unknown value, or one that cannot be"},
    {HEAD "value def_flags f000000000000000\n", 3, "flags that cannot be"},
    {HEAD "reserved 1000\n", 3, "a range that cannot be"},
    {HEAD "reserved 1001 2000\n", 3, "a range that cannot be"},
    {HEAD "reserved 2000 1000\n", 3, "a range that cannot be"},
    {HEAD "tracked 0 ffffffffffff0000\n", 3, "a range that cannot be"},
    {HEAD "reserved 1000 2000 3\n", 3, "more on the line than belongs there"},
    {HEAD "area 10000000\n", 3, "a broken area"},
    {HEAD "area 10000001 10002000 73 0\n", 3, "an area's range that cannot be"},
    {HEAD "area 10002000 10001000 73 0\n", 3, "an area's range that cannot be"},
    {HEAD "area 0 ffffffffffff0000 73 0\n", 3, "an area's range that cannot be"},
    {HEAD AREA "f000000000000000 0\n", 3, "flags that cannot be"},
    {HEAD AREA "8 0\n", 3, "SHARED without MAYSHARE"},
    {HEAD AREA "88 0 anon=1\n", 3, "a shared area has an anon_vma"},
    {HEAD AREA "73 0 forked\n", 3, "FORKED without an anon_vma"},
    {"vmakit-state 1\nfile 1 kind=1 bytes=1000 internal path=\"x\"\nmm\n" AREA "73 fffffffffffffff file=1\n", 4,
     "an offset that cannot be"},
    {"vmakit-state 1\nfile 1 kind=1 bytes=1000 internal path=\"x\"\nmm\n" AREA "73 8000000000000 file=1\n", 4,
     "an offset that cannot be"},
    {"vmakit-state 1\nfile 1 id=1 path=\"\x01\"\n", 2, "a broken text"},
    {HEAD "setting page_shift 3\nreserved 1000 2000\n", 4, "a setting with a value that cannot be"},
    {HEAD "setting page_shift 3\narea 1000 2000 73 1\n", 4, "a setting with a value that cannot be"},
    {HEAD AREA "73 0 anon=ffffffffffffffff\n", 3, "an anon_vma's number that cannot be"},
    {HEAD AREA "73 0 file=1\n", 3, "a file's number that is not there"},
    {HEAD AREA "73 0 uffd=1\n", 3, "userfaultfd flags without a context, or a context without flags"},
    {HEAD AREA "73 0 features=100000000\n", 3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "73 0 policy=100000000\n", 3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "73 0 special=\"[else]\"\n", 3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "73 0 special\n", 3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "73 0 name=\"\"\n", 3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "73 0 name=\"\\0g\"\n", 3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "73 0 name=\"0123456789012345678901234567890123456789"
               "0123456789012345678901234567890123456789\"\n",
     3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "73 0 driver\n", 3, "a driver's area whose file has no mmap hook"},
    {HEAD AREA "73 0 nonsense\n", 3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "73 0 forked=1\n", 3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "73 0\narea 10000000 10002000 73 0\nend\n", 4, "areas that overlap or are out of order"},
    {HEAD AREA "73 0\nreserved 20000000 20001000\n", 4, "a range that cannot be"},
    {HEAD "reserved 10000000 10001000\n" AREA "73 0\n", 4, "an area on a reserved range"},
    {HEAD "end\nend\n", 4, "outside of an address space"},
    {HEAD "end\nmm\nend\nmm\nend\n", 7, "more address spaces than there is room for"},
    {"vmakit-state\n", 1, "a version that this library does not know"},
    {"vmakit-state x\n", 1, "a version that this library does not know"},
    {"vmakit-stat 1\n", 1, "not a saved state"},
    {HEAD "\x7f\n", 3, "a line without a word"},
    {HEAD "mm\x7f\n", 3, "an address space inside another"},
    {HEAD "area\n", 3, "a broken area"},
    {HEAD "value\n", 3, "an unknown value, or one that cannot be"},
    {HEAD "setting\n", 3, "a broken setting"},
    {HEAD "reserved\n", 3, "a range that cannot be"},
    {HEAD "value seed 1=2\n", 3, "more on the line than belongs there"},
    {HEAD "value seed 1 \n", 3, "more on the line than belongs there"},
    {HEAD "value seed  1\n", 3, "an unknown value, or one that cannot be"},
    {HEAD "value seed 1 2\n", 3, "more on the line than belongs there"},
    {HEAD "value seed 0/\n", 3, "an unknown value, or one that cannot be"},
    {HEAD "value seed 0:\n", 3, "an unknown value, or one that cannot be"},
    {HEAD "value seed 0`\n", 3, "an unknown value, or one that cannot be"},
    {HEAD "value seed 0g\n", 3, "an unknown value, or one that cannot be"},
    {HEAD "value seed A\n", 3, "an unknown value, or one that cannot be"},
    {HEAD "value seed 10000000000000000\n", 3, "an unknown value, or one that cannot be"},
    {HEAD "value pkey_exec_only 11\n", 3, "an unknown value, or one that cannot be"},
    {HEAD "value def_flags 1000000000000000\n", 3, "flags that cannot be"},
    {HEAD "setting 012345678901234567890123456789012345678901234567890123456789012 1\n", 3, "an unknown setting"},
    {HEAD "setting 0123456789012345678901234567890123456789012345678901234567890123 1\n", 3, "a broken setting"},
    {HEAD "setting page_shift c \n", 3, "more on the line than belongs there"},
    {HEAD "setting va_bits 20\n" AREA "73 0\n", 4, "a setting with a value that cannot be"},
    {HEAD "reserved 1000 1000\n", 3, "a range that cannot be"},
    {HEAD "reserved 1000 1800\n", 3, "a range that cannot be"},
    {HEAD "reserved 7fffffffe000 800000000000\n", 3, "a range that cannot be"},
    {HEAD "tracked 1000\n", 3, "a range that cannot be"},
    {HEAD "tracked 1000 2000 3\n", 3, "more on the line than belongs there"},
    {HEAD "tracked 2000 1000\n", 3, "a range that cannot be"},
    {HEAD AREA "73 0\ntracked 20000000 20001000\n", 4, "a range that cannot be"},
    {"vmakit-state 1\nreserved 1000 2000\n", 2, "outside of an address space"},
    {"vmakit-state 1\nfile\n", 2, "a file out of order"},
    {"vmakit-state 1\nfile x\n", 2, "a file out of order"},
    {"vmakit-state 1\nfile 0 id=1\n", 2, "a file out of order"},
    {"vmakit-state 1\nfile 1 id\n", 2, "an unknown field of a file"},
    {"vmakit-state 1\nfile 1 id=\n", 2, "a field without its value"},
    {"vmakit-state 1\nfile 1 id=1g\n", 2, "an unknown field of a file"},
    {"vmakit-state 1\nfile 1 id=\"1\"\n", 2, "an unknown field of a file"},
    {"vmakit-state 1\nfile 1 ID=1\n", 2, "an unknown field of a file"},
    {"vmakit-state 1\nfile 1 path\n", 2, "an unknown field of a file"},
    {"vmakit-state 1\nfile 1 path=x\n", 2, "an unknown field of a file"},
    {"vmakit-state 1\nfile 1 path=\"\n", 2, "a text without its end"},
    {"vmakit-state 1\nfile 1 path=\"x\"  id=1\n", 2, "a field without a name"},
    {"vmakit-state 1\nfile 1 path=\"x\" \n", 2, "a field without a name"},
    {"vmakit-state 1\nfile 1 path=\"x\"=1\n", 2, "a field without a name"},
    {"vmakit-state 1\nfile 1 path=\"x\"\"y\"\n", 2, "a field without a name"},
    {"vmakit-state 1\nfile 1 \"x\"\n", 2, "a field without a name"},
    {"vmakit-state 1\nfile 1 internal=1\n", 2, "an unknown field of a file"},
    {"vmakit-state 1\nfile 1 internal=\"x\"\n", 2, "an unknown field of a file"},
    {"vmakit-state 1\nfile 1 path=\"\x1f\"\n", 2, "a broken text"},
    {"vmakit-state 1\nfile 1 path=\"\x7f\"\n", 2, "a broken text"},
    {"vmakit-state 1\nfile 1 path=\"\xff\"\n", 2, "a broken text"},
    {"vmakit-state 1\nfile 1 path=\"\\g1\"\n", 2, "a broken text"},
    {"vmakit-state 1\nfile 1 path=\"\\1g\"\n", 2, "a broken text"},
    {"vmakit-state 1\nfile 1 path=\"\\\"\n", 2, "a broken text"},
    {INTERNAL "kind=0 bytes=1000\n", 2, "an object that cannot be"},
    {INTERNAL "kind=3 bytes=1000\n", 2, "an object that cannot be"},
    {INTERNAL "kind=1 bytes=100000000000000\n", 2, "an object that cannot be"},
    {INTERNAL "kind=1 bytes=5 pages=6\n", 2, "an object that cannot be"},
    {INTERNAL "kind=1 bytes=5 huge=6\n", 2, "an object that cannot be"},
    {INTERNAL "kind=1 shift=29\n", 2, "an object that cannot be"},
    {INTERNAL "kind=2 shift=29\n", 2, "an object that cannot be"},
    {INTERNAL "kind=2 shift=b\n", 2, "an object that cannot be"},
    {FILE_1 AREA "73 0 file=2\n", 4, "a file's number that is not there"},
    {FILE_1 AREA "73 0 file\n", 4, "an unknown field of an area, or a value that cannot be"},
    {FILE_1 AREA "73 0 file=1 driver\n", 4, "a driver's area whose file has no mmap hook"},
    {HEAD "area 10000000 10001000 73\n", 3, "a broken area"},
    {HEAD "area 10000000 10001000 73 g\n", 3, "a broken area"},
    {HEAD "area 10000000 10001800 73 0\n", 3, "an area's range that cannot be"},
    {HEAD "area 10000000 10000000 73 0\n", 3, "an area's range that cannot be"},
    {HEAD "area 7fffffffe000 800000000000 73 0\n", 3, "an area's range that cannot be"},
    {HEAD "area 10001000 10003000 73 0\narea 10002000 10004000 73 0\n", 4, "areas that overlap or are out of order"},
    {HEAD "area 10001000 10003000 73 0\narea 10000000 10001000 73 0\n", 4, "areas that overlap or are out of order"},
    {HEAD "reserved 10000000 10002000\narea 10001000 10003000 73 0\n", 4, "an area on a reserved range"},
    {HEAD "reserved 10000000 10002000\narea ffff000 10001000 73 0\n", 4, "an area on a reserved range"},
    {HEAD "reserved 10000000 10002000\narea ffff000 10003000 73 0\n", 4, "an area on a reserved range"},
    {HEAD AREA "1000000000000000 0\n", 3, "flags that cannot be"},
    {FILE_1 AREA "73 8000000000000 file=1\n", 4, "an offset that cannot be"},
    {HEAD AREA "100088 0\n", 3, "a shared area is charged"},
    {HEAD AREA "8000000 0\n", 3, "LOCKONFAULT without LOCKED"},
    {HEAD AREA "73 0 pooled\n", 3, "POOLED without private huge pages"},
    {HEAD AREA "400088 0 pooled\n", 3, "POOLED without private huge pages"},
    {HEAD AREA "280000000 0\n", 3, "HUGEPAGE and NOHUGEPAGE"},
    {HEAD AREA "800000000 0\n", 3, "userfaultfd flags without a context, or a context without flags"},
    {HEAD AREA "73 0 pooled=1\n", 3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "73 0 unknown=1\n", 3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "73 0 driver=1\n", 3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "73 0 special=[vdso]\n", 3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "73 0 special=\"[vdso\"\n", 3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "73 0 name=x\n", 3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "73 0 names=\"x\"\n", 3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "73 0 specials=\"[vdso]\"\n", 3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "73 0 name=\"" NAME_79 "9\"\n", 3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "73 0 policy\n", 3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "73 0 anon\n", 3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "73 0 file=1g\n", 3, "an unknown field of an area, or a value that cannot be"},
    {HEAD AREA "100073 0\n" AREA "73 0\n", 4, "areas that overlap or are out of order"},
};

static void what_is_refused(void **state)
{
    char whole[1024];

    (void)state;
    for (size_t i = 0; i < VMKI_ARRAY_SIZE(refused); i++) {
        /* Its end may be there or not: that is not what is wrong. */
        snprintf(whole, sizeof(whole), "%send\n", refused[i].text);
        assert_refused(refused[i].text, -VMK_ERR_FORMAT, refused[i].line, refused[i].what);
        assert_refused(whole, -VMK_ERR_FORMAT, refused[i].line, refused[i].what);
    }
    assert_refused("", -VMK_ERR_FORMAT, 0, "not a saved state");
    assert_refused(HEAD, -VMK_ERR_FORMAT, 2, "the text ends inside an address space");
    assert_refused(HEAD AREA "73 0\n", -VMK_ERR_FORMAT, 3, "the text ends inside an address space");
    assert_refused(HEAD "end\nmm\n", -VMK_ERR_FORMAT, 4, "the text ends inside an address space");
}

/* Every piece of a text that ends too early: the line in which it ends, and nothing is left. */
static void every_prefix(void **state)
{
    static const char text[] =
        "vmakit-state 1\n"
        "file 1 id=1 object=1 path=\"/file1\"\n"
        "file 2 id=0 object=0 kind=1 bytes=3000 pages=3 huge=0 shift=0 inode=9 internal path=\"\\09x\"\n"
        "file 3 id=0 object=0 kind=2 bytes=400000 pages=0 huge=2 shift=15 inode=9 internal path=\"h\"\n"
        "mm\nsetting page_shift c\nvalue seed 7\nreserved 1000 3000\ntracked 4000 6000\n"
        "area 10000000 10001000 100073 10000 anon=1 forked uffd=0 name=\"\\41b\" policy=2 nodes=1\n"
        "area 10002000 10003000 fb 2 file=2\n"
        "area 10400000 10600000 400073 10400 pooled\n"
        "area 10800000 10801000 75 0 special=\"[vdso]\"\n"
        "end\nmm\nend\n";
    struct vmk_mm *loaded[2];
    struct held before;

    (void)state;
    before = held_now();
    for (size_t len = 0; len < sizeof(text); len++) {
        struct vmk_format_error error = {0};
        size_t nr = 2, nr_lines = 0, nr_ends = 0, nr_begins = 0;
        char *piece = malloc(len + 1); /* of its own, so that a look beyond its end is found */

        assert_non_null(piece);
        memcpy(piece, text, len);
        for (size_t i = 0; i < len; i++) {
            nr_lines += i == 0 || text[i - 1] == '\n';
            nr_begins += i + 3 <= len && memcmp(text + i, "\nmm", 3) == 0;
            nr_ends += i + 4 <= len && memcmp(text + i, "\nend", 4) == 0;
        }
        int result = vmk_mm_load(t.system, piece, len, find_file, &t, loaded, &nr, &error);
        if (result == 0) {
            assert_int_equal(nr, nr_ends);
            assert_int_equal(nr, nr_begins);
            assert_int_equal(error.line, 0);
            assert_string_equal(error.what, "");
        } else {
            assert_int_equal(result, -VMK_ERR_FORMAT);
            assert_int_equal(nr, 0);
            assert_int_equal(error.line, nr_lines);
            /* A line that is whole is no error in itself. */
            if (len > 16 && (text[len - 1] == '\n' || text[len] == '\n'))
                assert_string_equal(error.what, "the text ends inside an address space");
        }
        while (nr > 0)
            vmk_mm_put(loaded[--nr]);
        free(piece);
    }
    assert_held(&before, "pieces");
}

/* ---- What is taken ---- */

/* Loads one address space, and its state as save writes it: without the settings and values. */
static struct vmk_mm *load_one(const char *text)
{
    struct vmk_mm *loaded[1] = {NULL};
    struct vmk_format_error error;
    size_t nr = 1;
    int result = vmk_mm_load(t.system, text, strlen(text), find_file, &t, loaded, &nr, &error);

    if (result != 0)
        fail_msg("%d, line %zu: \"%s\" for: %s", result, error.line, error.what, text);
    assert_int_equal(nr, 1);
    assert_int_equal(error.line, 0);
    for (size_t i = 0; i < sizeof(error.what); i++)
        assert_int_equal(error.what[i], 0);
    return loaded[0];
}

static void save_one(struct vmk_mm *mm, struct vt_text *to)
{
    to->len = 0;
    to->text[0] = '\0';
    assert_int_equal(vmk_mm_save(&mm, 1, vt_sink, to), 0);
}

/* Leaves out the lines that begin with the word. */
static void without(struct vt_text *text, const char *word)
{
    char *to = text->text;

    for (const char *line = text->text, *next; *line != '\0'; line = next) {
        next = strchr(line, '\n') + 1;
        if (strncmp(line, word, strlen(word)) == 0)
            continue;
        memmove(to, line, (size_t)(next - line));
        to += next - line;
    }
    *to = '\0';
    text->len = (size_t)(to - text->text);
}

#define X_FILE  "file 1 id=0 object=0 kind=1 bytes=1000 pages=0 huge=0 shift=0 inode=0 internal path=\"x\"\n"
#define X_BEGIN "vmakit-state 1\n" X_FILE "mm\n"

/* What is loaded, and what is saved then where that is another text. */
static const struct {
    const char *text, *saved;
} taken[] = {
    {HEAD "end\n", NULL},
    {HEAD "end", HEAD "end\n"},
    {" vmakit-state 1\n mm\nend\n", HEAD "end\n"},
    {HEAD "reserved 1000 2000\nreserved 7fffffffe000 7ffffffff000\nend\n", NULL},
    {HEAD "reserved 2000 3000\nreserved 1000 2000\nend\n", HEAD "reserved 1000 3000\nend\n"},
    {HEAD "tracked 1000 2000\ntracked 7fffffffe000 7ffffffff000\nend\n", NULL},
    {HEAD "area 0 1000 71 0\narea 7fffffffe000 7ffffffff000 71 7fffffffe\nend\n", NULL},
    {HEAD "area 10000000 10001000 71 10000\narea 10001000 10002000 71 10001\nend\n", NULL}, /* they do not merge */
    {HEAD "reserved 10001000 10002000\narea 10000000 10001000 71 0\narea 10002000 10003000 71 0\nend\n", NULL},
    {HEAD AREA "fffffc77ffffff7 0\nend\n", NULL},
    {HEAD AREA "73 ffffffffffffffff\nend\n", NULL},
    {HEAD AREA "73 0 anon=1\nend\n", NULL},
    {HEAD AREA "73 0 anon=3fffffffffffffff\nend\n", HEAD AREA "73 0 anon=1\nend\n"},
    {HEAD AREA "73 0 anon=0\nend\n", HEAD AREA "73 0\nend\n"},
    {HEAD AREA "73 0 anon=1 forked\nend\n", NULL},
    {HEAD AREA "73 0 unknown\nend\n", NULL},
    {HEAD AREA "73 0 special=\"[vdso]\"\nend\n", NULL},
    {HEAD AREA "73 0 special=\"[shadow_stack]\"\nend\n", NULL},
    {HEAD AREA "73 0 name=\"x\"\nend\n", NULL},
    {HEAD AREA "73 0 name=\"" NAME_79 "\"\nend\n", NULL},
    {HEAD AREA "73 0 name=\" !#[]^~\\22\\5c\\01\\1f\\7f\\80\\ff\"\nend\n", NULL},
    {HEAD AREA "73 0 name=\"\\41\\62z\"\nend\n", HEAD AREA "73 0 name=\"Abz\"\nend\n"},
    {HEAD AREA "73 0 name=\"z\\0a\"\nend\n", NULL},
    {HEAD AREA "70 0 anon=1 forked\nend\n", NULL},
    {HEAD AREA "70 0 unknown\nend\n", NULL},
    {HEAD AREA "0 0\nend\n", NULL},
    {HEAD AREA "73 0 name=\"z\\a0\"\nend\n", NULL},
    {HEAD AREA "73 0 name=\"a=b c\" policy=3 nodes=9\nend\n", NULL},
    {HEAD AREA "73 0 policy=ffffffff nodes=ffffffffffffffff\nend\n", NULL},
    {HEAD AREA "73 0 policy=0 nodes=1\nend\n", NULL},
    {HEAD AREA "73 0 policy=1 nodes=0\nend\n", NULL},
    {HEAD AREA "73 0 policy=0 nodes=0\nend\n", HEAD AREA "73 0\nend\n"},
    {HEAD AREA "800000073 0 uffd=ffffffffffffffff features=ffffffff\nend\n", NULL},
    {HEAD AREA "1000000073 0 features=2 uffd=1\nend\n", HEAD AREA "1000000073 0 uffd=1 features=2\nend\n"},
    {HEAD AREA "2000000073 0 anon=1 special=\"[aio]\" name=\"n\" policy=1 nodes=2 uffd=3 features=0\nend\n", NULL},
    {X_BEGIN AREA "73 7ffffffffffff file=1\nend\n", NULL},
    {X_BEGIN AREA "fb 1 file=1\nend\n", NULL},
    {X_BEGIN AREA "73 0 file=1 anon=1 name=\"x\"\nend\n", NULL},
    {INTERNAL "kind=1 bytes=ffffffffffffff shift=28 inode=ffffffffffffffff\nmm\n" AREA "fb 0 file=1\nend\n",
     "vmakit-state 1\nfile 1 id=0 object=0 kind=1 bytes=ffffffffffffff pages=0 huge=0 shift=28 inode=ffffffffffffffff "
     "internal path=\"x\"\nmm\n" AREA "fb 0 file=1\nend\n"},
    {INTERNAL "kind=1 bytes=5 pages=5 huge=5 id=7 object=8\nmm\n" AREA "fb 0 file=1\nend\n",
     "vmakit-state 1\nfile 1 id=7 object=8 kind=1 bytes=5 pages=5 huge=5 shift=0 inode=0 internal path=\"x\"\nmm\n" AREA
     "fb 0 file=1\nend\n"},
    {INTERNAL "kind=2 bytes=1000 huge=a shift=c\nmm\n" AREA "fb 0 file=1\nend\n",
     "vmakit-state 1\nfile 1 id=0 object=0 kind=2 bytes=1000 pages=0 huge=a shift=c inode=0 internal "
     "path=\"x\"\nmm\n" AREA "fb 0 file=1\nend\n"},
    {INTERNAL "kind=2 shift=28\nmm\n" AREA "fb 0 file=1\nend\n",
     "vmakit-state 1\nfile 1 id=0 object=0 kind=2 bytes=0 pages=0 huge=0 shift=28 inode=0 internal "
     "path=\"x\"\nmm\n" AREA "fb 0 file=1\nend\n"},
    {"vmakit-state 1\nfile 1 internal kind=1 path=\"\"\nmm\n" AREA "fb 0 file=1\nend\n",
     "vmakit-state 1\nfile 1 id=0 object=0 kind=1 bytes=0 pages=0 huge=0 shift=0 inode=0 internal path=\"\"\nmm\n" AREA
     "fb 0 file=1\nend\n"},
    {"vmakit-state 1\nfile 1 internal kind=1 path=\"\\41\\0a\\22 z\"\nmm\n" AREA "fb 0 file=1\nend\n",
     "vmakit-state 1\nfile 1 id=0 object=0 kind=1 bytes=0 pages=0 huge=0 shift=0 inode=0 internal path=\"A\\0a\\22 "
     "z\"\n"
     "mm\n" AREA "fb 0 file=1\nend\n"},
    /* Files are numbered as they appear in areas; those that no area has are gone. */
    {"vmakit-state 1\nfile 1 internal kind=1 path=\"a\"\nfile 2 internal kind=1 path=\"b\"\n"
     "file 3 internal kind=1 path=\"c\"\nmm\narea 1000 2000 fb 0 file=3\narea 2000 3000 fb 0 file=2\n"
     "area 4000 5000 fb 5 file=3\nend\n",
     "vmakit-state 1\n"
     "file 1 id=0 object=0 kind=1 bytes=0 pages=0 huge=0 shift=0 inode=0 internal path=\"c\"\n"
     "file 2 id=0 object=0 kind=1 bytes=0 pages=0 huge=0 shift=0 inode=0 internal path=\"b\"\n"
     "mm\narea 1000 2000 fb 0 file=1\narea 2000 3000 fb 0 file=2\narea 4000 5000 fb 5 file=1\nend\n"},
    {"vmakit-state 1\nfile 1 id=1 object=1 path=\"/file1\"\nmm\n" AREA "73 0 file=1\nend\n", NULL},
};

static void what_is_taken(void **state)
{
    static struct vt_text saved;

    (void)state;
    for (size_t i = 0; i < VMKI_ARRAY_SIZE(taken); i++) {
        const struct held before = held_now();
        struct vmk_mm *mm = load_one(taken[i].text);

        save_one(mm, &saved);
        without(&saved, "setting ");
        without(&saved, "value ");
        assert_string_equal(saved.text, taken[i].saved != NULL ? taken[i].saved : taken[i].text);
        vmk_mm_put(mm);
        assert_held(&before, taken[i].text);
    }
}

/* A name's length is counted without its escapes. */
static void names_of_escapes(void **state)
{
    static struct vt_text text;
    char name[128];

    (void)state;
    for (size_t len = 1; len <= 80; len++) {
        text.len = 0;
        vt_print(&text, HEAD AREA "73 0 name=\"");
        for (size_t i = 0; i < len; i++)
            vt_print(&text, i % 7 == 6 ? "z" : "\\%02x", (unsigned)i + 1);
        vt_print(&text, "\"\n");
        if (len == 80) {
            assert_refused(text.text, -VMK_ERR_FORMAT, 3, "an unknown field of an area, or a value that cannot be");
            return;
        }
        vt_print(&text, "end\n");
        struct vmk_mm *mm = load_one(text.text);
        const struct vmki_ext *ext = vmki_find(mm, BASE)->ext;
        assert_int_equal(ext->name_size, len + 1);
        for (size_t i = 0; i < len; i++)
            name[i] = (char)(i % 7 == 6 ? 'z' : (int)i + 1);
        assert_memory_equal(ext->name, name, len);
        assert_int_equal(ext->name[len], 0);
        vmk_mm_put(mm);
    }
}

/* What it maps is counted. */
static void counters_are_those_of_the_areas(void **state)
{
    struct vmk_mm_stats stats = {.size = sizeof(stats)};
    struct vmk_mm *mm;

    (void)state;
    mm = load_one(HEAD "value locked_leak 3\nvalue peak 5\nvalue peak_areas 2\nvalue pinned 4\n"
                       "area 1000 2000 100073 1 anon=1\narea 4000 8000 75 4\narea a000 c000 2173 a\n"
                       "area d000 e000 f8 d\nend\n");
    vt_validate_mm(mm);
    vmk_mm_get_stats(mm, &stats);
    assert_int_equal(stats.nr_vmas, 4);
    assert_int_equal(stats.peak_vmas, 4);
    assert_int_equal(stats.total_vm, 8);
    assert_int_equal(stats.peak_vm, 8);
    assert_int_equal(stats.locked_vm, 2 + 3);
    assert_int_equal(stats.pinned_vm, 4);
    assert_int_equal(stats.data_vm, 1);
    assert_int_equal(stats.exec_vm, 4);
    assert_int_equal(stats.stack_vm, 2);
    assert_int_equal(stats.shared_vm, 1);
    assert_int_equal(stats.committed, 1);
    assert_int_equal(vmk_system_committed(t.system), 1);
    vmk_mm_put(mm);
    mm = load_one(HEAD "value peak 9\nvalue peak_areas 3\narea 1000 2000 73 1\nend\n");
    vmk_mm_get_stats(mm, &stats);
    assert_int_equal(stats.peak_vm, 9);
    assert_int_equal(stats.peak_vmas, 3);
    assert_int_equal(mm->nr_vmas_peak, 3);
    assert_int_equal(mm->peak_vm, 9);
    vmk_mm_put(mm);
    vmk_system_quiesce(t.system);
    assert_int_equal(vmk_system_committed(t.system), 0);
}

/* Each value by its name: alone, with its least and its greatest number; one more is refused. */
static void values(void **state)
{
    static const struct {
        const char *name;
        uint64_t least, most;
    } all[] = {
#define ROW(name, where) {#name, 0, (uint64_t)(__typeof__(((struct vmk_mm *)NULL)->where))UINT64_MAX},
        VMKI_STATE_VALUES(ROW)
#undef ROW
            {"pkey_exec_only", 0, 16},
    };
    static struct vt_text plain, saved;
    char text[256], line[128];
    struct vmk_mm *mm = load_one(HEAD "end\n");

    (void)state;
    save_one(mm, &plain);
    vmk_mm_put(mm);
    for (size_t i = 0; i < VMKI_ARRAY_SIZE(all); i++) {
        const uint64_t most = strcmp(all[i].name, "def_flags") == 0 ? VMKI_VM_PUBLIC : all[i].most;
        const uint64_t numbers[] = {all[i].least, 1, 9, most};

        for (size_t n = 0; n < 4; n++) {
            char *rest;

            if (numbers[n] > most)
                continue;
            snprintf(line, sizeof(line), "value %s %llx\n", all[i].name, (unsigned long long)numbers[n]);
            snprintf(text, sizeof(text), HEAD "%send\n", line);
            mm = load_one(text);
            save_one(mm, &saved);
            vmk_mm_put(mm);
            /* The one line is there; all others are as they were. */
            rest = strstr(saved.text, line);
            if (rest == NULL || rest[-1] != '\n')
                fail_msg("no %sin %s", line, saved.text);
            snprintf(line, sizeof(line), "value %s ", all[i].name);
            without(&saved, line);
            static struct vt_text others;
            others = plain;
            without(&others, line);
            assert_string_equal(saved.text, others.text);
        }
        if (most != UINT64_MAX) {
            snprintf(text, sizeof(text), HEAD "value %s %llx\n", all[i].name, (unsigned long long)most + 1);
            assert_refused(text, -VMK_ERR_FORMAT, 3,
                           strcmp(all[i].name, "def_flags") == 0 ? "flags that cannot be"
                                                                 : "an unknown value, or one that cannot be");
        }
    }
}

/* Settings: the system's where the text says nothing; they decide what the lines after them may say. */
static void settings(void **state)
{
    const struct vmk_settings *is;
    struct vmk_mm *mm;

    (void)state;
    mm = load_one(HEAD "end\n");
    assert_memory_equal(vmk_mm_settings(mm), vmk_system_settings(t.system), sizeof(struct vmk_settings));
    assert_int_equal(mm->layout.task_size, UINT64_C(0x7ffffffff000));
    assert_in_range(mm->layout.mmap_base, UINT64_C(0x7f0000000000), UINT64_C(0x7ffffffff000));
    vmk_mm_put(mm);
    mm = load_one(HEAD "setting page_shift e\nsetting pmd_shift 19\nsetting va_bits 2a\nsetting mmap_rnd_bits a\n"
                       "setting nr_nodes 3\n"
                       "area 10000000 10004000 73 0\nend\n");
    is = vmk_mm_settings(mm);
    assert_int_equal(is->page_shift, 14);
    assert_int_equal(is->pmd_shift, 25);
    assert_int_equal(is->va_bits, 42);
    assert_int_equal(is->nr_nodes, 3);
    assert_int_equal(mm->page_size, 1 << 14);
    assert_int_equal(mm->total_vm, 1);
    assert_int_equal(mm->layout.task_size, (UINT64_C(1) << 42) - (1 << 14)); /* the layout is that of its settings */
    assert_true(mm->layout.mmap_base < mm->layout.task_size);
    vmk_mm_put(mm);
    assert_refused(HEAD "setting page_shift e\nsetting pmd_shift 19\narea 10000000 10001000 73 0\n", -VMK_ERR_FORMAT, 5,
                   "an area's range that cannot be");
    /* Those of one space are not those of the next. */
    struct vmk_mm *two[2];
    size_t nr = 2;
    static const char text[] = HEAD "setting nr_nodes 3\nend\nmm\nend\n";
    assert_int_equal(vmk_mm_load(t.system, text, strlen(text), NULL, NULL, two, &nr, NULL), 0);
    assert_int_equal(vmk_mm_settings(two[0])->nr_nodes, 3);
    assert_int_equal(vmk_mm_settings(two[1])->nr_nodes, 1);
    vmk_mm_put(two[0]);
    vmk_mm_put(two[1]);
}

/* Numbers of files and anon_vmas go over the whole text; what else is said of one space says nothing of the next. */
static void two_spaces(void **state)
{
    static const char text[] =
        X_BEGIN "value peak 20\nreserved 1000 2000\narea 10000000 10002000 100073 10000 anon=1 forked\n"
                "area 20000000 20001000 fb 0 file=1\nend\n"
                "mm\nreserved 3000 4000\narea 1000 2000 100073 1 anon=1 forked\n"
                "area 10001000 10002000 73 1 anon=2\narea 20000000 20001000 fb 0 file=1\nend\n";
    struct vmk_mm *two[2];
    size_t nr = 2;
    static struct vt_text saved;
    struct held before;

    (void)state;
    before = held_now();
    assert_int_equal(vmk_mm_load(t.system, text, strlen(text), NULL, NULL, two, &nr, NULL), 0);
    assert_int_equal(nr, 2);
    saved.len = 0;
    assert_int_equal(vmk_mm_save(two, 2, vt_sink, &saved), 0);
    without(&saved, "setting ");
    without(&saved, "value ");
    const char *expected = strstr(text, "reserved 1000");
    assert_string_equal(strstr(saved.text, "reserved 1000"), expected);
    assert_ptr_equal(vmki_find(two[0], BASE)->anon_vma, vmki_find(two[1], 0x1000)->anon_vma);
    assert_ptr_not_equal(vmki_find(two[0], BASE)->anon_vma, vmki_find(two[1], BASE + P(1))->anon_vma);
    assert_ptr_equal(vmki_find(two[0], 2 * BASE)->file, vmki_find(two[1], 2 * BASE)->file);
    assert_int_equal(vmki_find(two[0], 2 * BASE)->file->refs, 2);
    assert_int_equal(vmki_find(two[0], BASE)->anon_vma->refs, 2);
    for (size_t i = 0; i < 2; i++) {
        vt_validate_mm(two[i]);
        assert_int_equal(two[i]->total_vm, 3);
        assert_int_equal(two[i]->peak_vm, i == 0 ? 0x20 : 3);
        assert_int_equal(two[i]->nr_vmas_peak, i + 2);
        assert_int_equal(two[i]->users, 1);
        assert_int_equal(two[i]->refs, 1);
    }
    vmk_mm_put(two[0]);
    vmk_mm_put(two[1]);
    assert_held(&before, text);
    /* Room for one only: the first goes too. */
    nr = 1;
    struct vmk_format_error error;
    assert_int_equal(vmk_mm_load(t.system, text, strlen(text), NULL, NULL, two, &nr, &error), -VMK_ERR_FORMAT);
    assert_int_equal(nr, 0);
    assert_string_equal(error.what, "more address spaces than there is room for");
    assert_held(&before, text);
}

/* ---- Files and operations that the embedder gives ---- */

static void files(void **state)
{
    static const char one[] = "vmakit-state 1\nfile 1 id=12 object=34 path=\"/a\\22b\"\nmm\n" AREA "73 0 file=1\nend\n";
    struct vmk_file *file = t.files[0];
    struct held before = held_now();
    struct vmk_mm *mm;

    (void)state;
    mm = load_one(one);
    assert_int_equal(asked.nr_calls, 1);
    assert_int_equal(asked.file_id, 0x12);
    assert_int_equal(asked.object_id, 0x34);
    assert_string_equal(asked.name, "/a\"b");
    assert_ptr_equal(vmki_find(mm, BASE)->file, file);
    assert_int_equal(file->refs, before.nr_refs + 1); /* the area's; the text has given its own back */
    vmk_mm_put(mm);
    assert_held(&before, one);
    /* Nobody to ask, or nobody who knows. */
    struct vmk_mm *loaded[1];
    struct vmk_format_error error;
    for (unsigned i = 0; i < 2; i++) {
        size_t nr = 1;

        t.files[0] = NULL;
        assert_int_equal(vmk_mm_load(t.system, one, strlen(one), i == 0 ? find_file : NULL, &t, loaded, &nr, &error),
                         -VMK_ENOENT);
        t.files[0] = file;
        assert_int_equal(nr, 0);
        assert_int_equal(error.line, 2);
        assert_string_equal(error.what, "a file that was not found");
    }
    assert_held(&before, one);
}

static const struct vmk_vm_ops driver_vm_ops = {.size = sizeof(driver_vm_ops)};
static int driver_error;
static struct vmk_mmap_description described;

static int driver_mmap(struct vmk_file *file, struct vmk_mmap_description *description)
{
    (void)file;
    described = *description;
    description->ops = &driver_vm_ops;
    description->private_data = &driver_error;
    return driver_error;
}

/* The hook of the driver's file is told what it is to map, and may refuse. */
static void drivers(void **state)
{
    static const struct vmk_file_ops no_hook = {.size = sizeof(no_hook)};
    static const struct vmk_file_ops hook = {.size = sizeof(hook), .mmap = driver_mmap};
    static const char text[] = "vmakit-state 1\nfile 1 id=1 object=1 path=\"/file1\"\nmm\narea 10000000 10002000 "
                               "100073 5 file=1 driver\nend\n";
    struct vmk_mm *mm;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_refused(text, -VMK_ERR_FORMAT, 4, "a driver's area whose file has no mmap hook");
        t.files[0]->ops = &no_hook;
    }
    t.files[0]->ops = &hook;
    driver_error = -VMK_EIO;
    assert_refused(text, -VMK_EIO, 0, "");
    driver_error = 0;
    mm = load_one(text);
    assert_int_equal(described.start, BASE);
    assert_int_equal(described.end, BASE + P(2));
    assert_int_equal(described.pgoff, 5);
    assert_int_equal(described.flags, 0x73);
    assert_ptr_equal(described.file, t.files[0]);
    assert_ptr_equal(described.mm, mm);
    assert_ptr_equal(vmk_vma_private_data(vmki_find(mm, BASE)), &driver_error);
    vmk_mm_put(mm);
    t.files[0]->ops = NULL;
}

/* The operations of a special area are those of a file that the embedder gives for its name. */
static void special_operations(void **state)
{
    static const struct vmk_vm_ops ops = {.size = sizeof(ops)};
    static const char text[] = HEAD AREA "75 0 special=\"[vdso]\" driver\nend\n";
    struct held before = held_now();
    struct vmk_file *file = t.files[0];
    struct vmk_mm *mm, *loaded[1];

    (void)state;
    file->vm_ops = &ops;
    mm = load_one(text);
    assert_int_equal(asked.nr_calls, 1);
    assert_true(asked.file_id == 0 && asked.object_id == 0);
    assert_string_equal(asked.name, "[vdso]");
    assert_ptr_equal(vmk_vma_ops(vmki_find(mm, BASE)), &ops);
    assert_int_equal(file->refs, before.nr_refs);
    vmk_mm_put(mm);
    for (unsigned i = 0; i < 2; i++) {
        struct vmk_format_error error;
        size_t nr = 1;

        t.files[0] = NULL;
        assert_int_equal(vmk_mm_load(t.system, text, strlen(text), i == 0 ? find_file : NULL, &t, loaded, &nr, &error),
                         -VMK_ENOENT);
        t.files[0] = file;
        assert_int_equal(error.line, 3);
        assert_string_equal(error.what, "a special area whose operations were not found");
    }
    assert_held(&before, text);
    file->vm_ops = NULL;
}

/* ---- Charges ---- */

static struct {
    uint64_t pages, refuse_at;
    unsigned nr_charges, nr_uncharges, nr_privileged;
} keeper;

static int charge(void *context, uint64_t pages, bool privileged)
{
    assert_ptr_equal(context, &keeper);
    assert_true(pages != 0);
    if (keeper.nr_charges++ == keeper.refuse_at)
        return -VMK_ENOMEM;
    keeper.nr_privileged += privileged;
    keeper.pages += pages;
    return 0;
}

static void uncharge(void *context, uint64_t pages)
{
    assert_ptr_equal(context, &keeper);
    assert_true(pages != 0 && pages <= keeper.pages);
    keeper.nr_uncharges++;
    keeper.pages -= pages;
}

#define CHARGED                                                                                                        \
    "vmakit-state 1\nfile 1 internal kind=1 bytes=9000 pages=9 path=\"x\"\nfile 2 internal kind=1 bytes=9000 "         \
    "path=\"y\"\n"                                                                                                     \
    "mm\narea 10000000 10002000 100073 10000\narea 10002000 10005000 fb 0 file=1\narea 10005000 10008000 fb 0 "        \
    "file=2\n"                                                                                                         \
    "area 20000000 20004000 100073 20000\nend\n"

/* As privileged: the memory was there once. Each object and each area that is charged by one call, and no other. */
static void charges(void **state)
{
    static const struct vmk_commit_ops ops = {.charge = charge, .uncharge = uncharge, .context = &keeper};
    struct vmk_mm *mm, *loaded[1];

    teardown(state);
    vt_init(&t);
    t.system_options.commit = &ops;
    vt_open(&t);
    memset(&keeper, 0, sizeof(keeper));
    keeper.refuse_at = UINT64_MAX;
    mm = load_one(CHARGED);
    assert_int_equal(keeper.nr_charges, 3);
    assert_int_equal(keeper.nr_privileged, 3);
    assert_int_equal(keeper.pages, 9 + 2 + 4);
    vmk_mm_put(mm);
    vmk_system_quiesce(t.system);
    assert_int_equal(keeper.pages, 0);
    assert_int_equal(keeper.nr_uncharges, 2); /* of the areas together, and of the object */
    for (uint64_t at = 0; at < 3; at++) {
        const struct held before = held_now();
        struct vmk_format_error error;
        size_t nr = 1;

        memset(&keeper, 0, sizeof(keeper));
        keeper.refuse_at = at;
        assert_int_equal(vmk_mm_load(t.system, CHARGED, strlen(CHARGED), NULL, NULL, loaded, &nr, &error), -VMK_ENOMEM);
        assert_int_equal(nr, 0);
        assert_int_equal(error.line, 0);
        assert_held(&before, CHARGED);
        assert_int_equal(keeper.pages, 0);
        assert_int_equal(keeper.nr_charges, at + 1);
    }
}

/* A machine that counts by itself refuses nothing here, however full it is. */
static void charges_are_not_refused_here(void **state)
{
    struct vmk_sysctl sysctl;
    struct vmk_mm *mm;

    (void)state;
    vmk_system_sysctl(t.system, &sysctl);
    sysctl.overcommit_memory = VMK_OVERCOMMIT_NEVER;
    sysctl.total_ram_pages = 1;
    assert_int_equal(vmk_system_set_sysctl(t.system, &sysctl), 0);
    mm = load_one(CHARGED);
    assert_int_equal(vmk_system_committed(t.system), 9 + 2 + 4);
    vmk_mm_put(mm);
    /* A space without limits charges nothing of its own. */
    mm = load_one(HEAD "setting enforce_limits 0\narea 10000000 10002000 100073 0\nend\n");
    vmk_system_quiesce(t.system);
    assert_int_equal(vmk_system_committed(t.system), 0);
    assert_int_equal(mm->accounted_vm, 2);
    vmk_mm_put(mm);
    vmk_system_quiesce(t.system);
    assert_int_equal(vmk_system_committed(t.system), 0);
}

/* Memory may be short anywhere: nothing is left of what was read. */
static void memory_is_short(void **state)
{
    const struct held before = held_now();
    struct vmk_mm *loaded[1];
    struct vmk_format_error error;
    long nth = 0;

    (void)state;
    for (;; nth++) {
        size_t nr = 1;

        memset(&error, 0, sizeof(error));
        atomic_store(&t.until_fail, nth);
        int result = vmk_mm_load(t.system, CHARGED, strlen(CHARGED), NULL, NULL, loaded, &nr, &error);
        atomic_store(&t.until_fail, -1);
        if (result == 0)
            break;
        assert_int_equal(result, -VMK_ERR_HOST_NOMEM);
        assert_int_equal(nr, 0);
        assert_int_equal(error.line, 0);
        assert_held(&before, CHARGED);
    }
    vmk_mm_put(loaded[0]);
    assert_held(&before, CHARGED);

    assert_true(nth > 15);
}

/* Huge pages: what is in the pool, to the last one. */
static void huge_pages(void **state)
{
    static const char pooled[] = HEAD "area 40000000 40600000 400073 40000 pooled\nend\n";
    struct vmk_mm *mm;

    (void)state;
    for (uint64_t nr = 0; nr <= 11; nr++) {
        char text[256];

        snprintf(text, sizeof(text), INTERNAL "kind=2 bytes=ffff shift=15 huge=%llx\nmm\nend\n",
                 (unsigned long long)nr);
        if (nr == 11) {
            assert_refused(text, -VMK_ENOMEM, 0, "");
            continue;
        }
        mm = load_one(text);
        assert_int_equal(held_now().huge_pages, 10); /* no area has the file: it is gone */
        vmk_mm_put(mm);
    }
    struct vmk_sysctl sysctl;
    vmk_system_sysctl(t.system, &sysctl);
    for (sysctl.hugetlb_free_pages = 0; sysctl.hugetlb_free_pages < 5; sysctl.hugetlb_free_pages++) {
        assert_int_equal(vmk_system_set_sysctl(t.system, &sysctl), 0);
        if (sysctl.hugetlb_free_pages < 3) {
            assert_refused(pooled, -VMK_ENOMEM, 0, "");
            continue;
        }
        mm = load_one(pooled);
        vt_validate_mm(mm);
        assert_int_equal(held_now().huge_pages, sysctl.hugetlb_free_pages - 3);
        vmk_mm_put(mm);
        assert_int_equal(held_now().huge_pages, sysctl.hugetlb_free_pages);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(every_prefix, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(names_of_escapes, setup, teardown),
        cmocka_unit_test_setup_teardown(counters_are_those_of_the_areas, setup, teardown),
        cmocka_unit_test_setup_teardown(values, setup, teardown),
        cmocka_unit_test_setup_teardown(settings, setup, teardown),
        cmocka_unit_test_setup_teardown(two_spaces, setup, teardown),
        cmocka_unit_test_setup_teardown(files, setup, teardown),
        cmocka_unit_test_setup_teardown(drivers, setup, teardown),
        cmocka_unit_test_setup_teardown(special_operations, setup, teardown),
        cmocka_unit_test_setup_teardown(charges, setup, teardown),
        cmocka_unit_test_setup_teardown(charges_are_not_refused_here, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_is_short, setup, teardown),
        cmocka_unit_test_setup_teardown(huge_pages, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
