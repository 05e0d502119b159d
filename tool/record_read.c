/* SPDX-License-Identifier: MIT */
/*
 * record_read.c - reads recorded traces, which may be hostile: every number is checked for overflow, every text for its
 * room, and an event may only name results of events before it. docs/trace-format.md describes the lines.
 */
#include "record.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

enum { WORDS_MAX = 40 };

static const char magic[] = "vmakit-trace ";

struct slice {
    const char *text;
    size_t len;
};

/* name=value; the name is empty for a bare word. */
struct word {
    struct slice name, value;
    bool used;
};

struct line {
    struct word words[WORDS_MAX];
    size_t nr_words;
};

static int bad(struct record_reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int bad(struct record_reader *reader, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reader->what, sizeof(reader->what), format, arguments);
    va_end(arguments);
    for (char *p = reader->what; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    return -1;
}

/* For "%.*s" of a text that may be long. */
static int shown(struct slice slice)
{
    return slice.len > 40 ? 40 : (int)slice.len;
}

static bool is(struct slice slice, const char *text)
{
    return strlen(text) == slice.len && memcmp(text, slice.text, slice.len) == 0;
}

/* ---- Words ---- */

/* The end of a text between quotes that starts at `at`; 0 when it does not end on this line. */
static size_t quote_end(const char *text, size_t len, size_t at)
{
    for (size_t i = at + 1; i < len; i++) {
        if (text[i] == '\\')
            i++;
        else if (text[i] == '"')
            return i + 1;
    }
    return 0;
}

static int split_word(struct record_reader *reader, const char *text, size_t len, size_t *at, struct word *word)
{
    size_t start = *at, i = start, equals = 0;
    bool has_equals = false;

    while (i < len && text[i] != ' ') {
        if (text[i] == '"') {
            i = quote_end(text, len, i);
            if (i == 0)
                return bad(reader, "a text without its closing quote");
            continue;
        }
        if (text[i] == '=' && !has_equals) {
            has_equals = true;
            equals = i;
        }
        i++;
    }
    *word = (struct word){.value = {text + start, i - start}};
    if (has_equals && equals != start) {
        word->name = (struct slice){text + start, equals - start};
        word->value = (struct slice){text + equals + 1, i - equals - 1};
    }
    *at = i;
    return 0;
}

static int split_line(struct record_reader *reader, const char *text, size_t len, struct line *line)
{
    line->nr_words = 0;
    for (size_t i = 0; i < len;) {
        if (text[i] == ' ') {
            i++;
            continue;
        }
        if (line->nr_words == WORDS_MAX)
            return bad(reader, "more than %d words", WORDS_MAX);
        if (split_word(reader, text, len, &i, &line->words[line->nr_words]) != 0)
            return -1;
        line->nr_words++;
    }
    return 0;
}

/* Marks the word of a name as used; NULL when there is none. */
static struct word *take(struct line *line, const char *name)
{
    for (size_t i = 0; i < line->nr_words; i++) {
        struct word *word = &line->words[i];
        if (!word->used && word->name.len != 0 && is(word->name, name)) {
            word->used = true;
            return word;
        }
    }
    return NULL;
}

static int check_all_used(struct record_reader *reader, const struct line *line)
{
    for (size_t i = 0; i < line->nr_words; i++) {
        struct slice word = line->words[i].name.len != 0 ? line->words[i].name : line->words[i].value;
        if (!line->words[i].used)
            return bad(reader, "'%.*s' is not known here", shown(word), word.text);
    }
    return 0;
}

/* ---- Values ---- */

static int read_number(struct record_reader *reader, struct slice text, const char *what, uint64_t max, uint64_t *value)
{
    if (!record_parse_flags(text.text, text.len, value, NULL))
        return bad(reader, "%s: '%.*s' is not a number", what, shown(text), text.text);
    if (*value > max)
        return bad(reader, "%s: %.*s is too large", what, shown(text), text.text);
    return 0;
}

/* An optional number: `value` stays when the name is not there. */
static int take_number(struct record_reader *reader, struct line *line, const char *name, uint64_t max, uint64_t *value)
{
    const struct word *word = take(line, name);
    return word == NULL ? 0 : read_number(reader, word->value, name, max, value);
}

static int take_u32(struct record_reader *reader, struct line *line, const char *name, uint32_t *value)
{
    uint64_t wide = *value;
    if (take_number(reader, line, name, UINT32_MAX, &wide) != 0)
        return -1;
    *value = (uint32_t)wide;
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The character that an escape stands for; moves *at to its last byte. -1: not an escape. */
static int unescape(struct slice text, size_t *at)
{
    size_t i = *at + 1;

    if (i + 1 >= text.len)
        return -1;
    *at = i;
    switch (text.text[i]) {
    case 'n':
        return '\n';
    case '"':
    case '\\':
        return text.text[i];
    case 'x':
        if (i + 3 >= text.len || hex_digit(text.text[i + 1]) < 0 || hex_digit(text.text[i + 2]) < 0)
            return -1;
        *at = i + 2;
        return hex_digit(text.text[i + 1]) * 16 + hex_digit(text.text[i + 2]);
    default:
        return -1;
    }
}

/* An optional text: NULL when it is not there. It goes to reader->name_text: one a line. */
static int take_text(struct record_reader *reader, struct line *line, const char *name, const char **result)
{
    const struct word *word = take(line, name);
    size_t used = 0;

    *result = NULL;
    if (word == NULL)
        return 0;
    struct slice text = word->value;
    if (text.len < 2 || text.text[0] != '"' || text.text[text.len - 1] != '"')
        return bad(reader, "%s: a text between quotes is wanted", name);
    for (size_t i = 1; i + 1 < text.len; i++) {
        int c = (unsigned char)text.text[i];
        if (c == '\\')
            c = unescape(text, &i);
        if (c <= 0)
            return bad(reader, "%s: an escape that is not known", name);
        if (used + 1 == sizeof(reader->name_text))
            return bad(reader, "%s: longer than %zu bytes", name, sizeof(reader->name_text) - 1);
        reader->name_text[used++] = (char)c;
    }
    reader->name_text[used] = '\0';
    *result = reader->name_text;
    return 0;
}

/* One of some words, as its index. */
static int take_choice(struct record_reader *reader, struct line *line, const char *name, const char *const *choices,
                       int nr_choices, int *choice)
{
    const struct word *word = take(line, name);
    if (word == NULL)
        return 0;
    for (int i = 0; i < nr_choices; i++) {
        if (is(word->value, choices[i])) {
            *choice = i;
            return 0;
        }
    }
    return bad(reader, "%s: '%.*s' is not known", name, shown(word->value), word->value.text);
}

static int read_id(struct record_reader *reader, struct line *line, size_t i, const char *what, uint64_t *id)
{
    if (i >= line->nr_words || line->words[i].name.len != 0)
        return bad(reader, "%s: a number is wanted", what);
    line->words[i].used = true;
    return read_number(reader, line->words[i].value, what, INT64_MAX, id);
}

/* ---- Lines of one setting ---- */

static int read_named_value(struct record_reader *reader, struct line *line, struct record_item *item)
{
    if (line->nr_words != 2 || line->words[1].name.len == 0)
        return bad(reader, "NAME=VALUE is wanted");
    struct word *word = &line->words[1];
    word->used = true;
    if (word->name.len >= sizeof(reader->name_text))
        return bad(reader, "a name that is too long");
    memcpy(reader->name_text, word->name.text, word->name.len);
    reader->name_text[word->name.len] = '\0';
    item->name = reader->name_text;
    return read_number(reader, word->value, "the value", UINT64_MAX, &item->value);
}

/* ---- file ---- */

static int take_mode(struct record_reader *reader, struct line *line, uint32_t *mode)
{
    static const char *const names[] = {"read", "write", "path", "noexec", "thp_align", "sync"};
    const struct word *word = take(line, "mode");

    if (word == NULL || is(word->value, "0"))
        return 0;
    for (struct slice rest = word->value; rest.len != 0;) {
        const char *bar = memchr(rest.text, '|', rest.len);
        struct slice one = {rest.text, bar == NULL ? rest.len : (size_t)(bar - rest.text)};
        size_t i = 0;
        while (i < sizeof(names) / sizeof(names[0]) && !is(one, names[i]))
            i++;
        if (i == sizeof(names) / sizeof(names[0]))
            return bad(reader, "mode: '%.*s' is not known", shown(one), one.text);
        *mode |= 1u << i;
        size_t skip = one.len + (bar != NULL);
        rest = (struct slice){rest.text + skip, rest.len - skip};
    }
    return 0;
}

/* "fe:00", in hexadecimal. */
static int take_device(struct record_reader *reader, struct line *line, uint32_t *major, uint32_t *minor)
{
    const struct word *word = take(line, "dev");
    uint32_t numbers[2] = {0, 0};
    size_t which = 0, digits = 0;

    if (word == NULL)
        return 0;
    for (size_t i = 0; i < word->value.len; i++) {
        int digit = hex_digit(word->value.text[i]);
        if (word->value.text[i] == ':' && which == 0 && digits != 0) {
            which = 1;
            digits = 0;
        } else if (digit >= 0 && ++digits <= 8) {
            numbers[which] = numbers[which] << 4 | (uint32_t)digit;
        } else {
            digits = 0;
            break;
        }
    }
    if (which != 1 || digits == 0)
        return bad(reader, "dev: MAJOR:MINOR in hexadecimal is wanted");
    *major = numbers[0];
    *minor = numbers[1];
    return 0;
}

static int read_file(struct record_reader *reader, struct line *line, struct record_file *file)
{
    static const char *const kinds[] = {"regular", "shmem", "hugetlb", "zero", "secret", "device", "none"};
    int kind = 0;
    uint32_t huge_shift = 0;

    *file = (struct record_file){0};
    if (read_id(reader, line, 1, "the file's number", &file->id) != 0)
        return -1;
    if (file->id == 0)
        return bad(reader, "a file's number must not be 0");
    if (take_number(reader, line, "object", INT64_MAX, &file->object) != 0 ||
        take_choice(reader, line, "kind", kinds, 7, &kind) != 0 || take_mode(reader, line, &file->mode) != 0 ||
        take_number(reader, line, "size", INT64_MAX, &file->nr_bytes) != 0 ||
        take_u32(reader, line, "seals", &file->seals) != 0 || take_u32(reader, line, "huge_shift", &huge_shift) != 0 ||
        take_device(reader, line, &file->dev_major, &file->dev_minor) != 0 ||
        take_number(reader, line, "inode", UINT64_MAX, &file->inode) != 0 ||
        take_text(reader, line, "name", &file->name) != 0)
        return -1;
    file->kind = (enum vmk_object_kind)kind;
    file->huge_shift = huge_shift;
    return 0;
}

/* ---- process ---- */

/* "soft:hard", each a number or "unlimited". */
static int take_limit(struct record_reader *reader, struct line *line, const char *name, struct vmk_rlimit *limit)
{
    const struct word *word = take(line, name);
    if (word == NULL)
        return 0;
    const char *colon = memchr(word->value.text, ':', word->value.len);
    if (colon == NULL)
        return bad(reader, "%s: SOFT:HARD is wanted", name);
    struct slice soft = {word->value.text, (size_t)(colon - word->value.text)};
    struct slice hard = {colon + 1, word->value.len - soft.len - 1};
    if (read_number(reader, soft, name, UINT64_MAX, &limit->soft) != 0)
        return -1;
    return read_number(reader, hard, name, UINT64_MAX, &limit->hard);
}

static int read_process(struct record_reader *reader, struct line *line, struct record_process *process)
{
    const struct vmk_rlimit unlimited = {VMK_RLIM_INFINITY, VMK_RLIM_INFINITY};
    uint64_t top_down = 1;

    *process =
        (struct record_process){.rlimits = {unlimited, unlimited, {8 << 20, VMK_RLIM_INFINITY}, {8 << 20, 8 << 20}}};
    if (read_id(reader, line, 1, "the process", &process->pid) != 0 ||
        take_limit(reader, line, "as", &process->rlimits.as) != 0 ||
        take_limit(reader, line, "data", &process->rlimits.data) != 0 ||
        take_limit(reader, line, "stack", &process->rlimits.stack) != 0 ||
        take_limit(reader, line, "memlock", &process->rlimits.memlock) != 0 ||
        take_u32(reader, line, "capabilities", &process->capabilities) != 0 ||
        take_u32(reader, line, "personality", &process->personality) != 0 ||
        take_number(reader, line, "peak", UINT64_MAX >> 16, &process->peak_pages) != 0 ||
        take_number(reader, line, "top_down", 1, &top_down) != 0)
        return -1;
#define READ_MARK(name)                                                                                                \
    if (take_number(reader, line, #name, UINT64_MAX, &process->layout.name) != 0)                                      \
        return -1;
    RECORD_MARKS(READ_MARK)
#undef READ_MARK
    process->layout.top_down = top_down != 0;
    return 0;
}

/* ---- area ---- */

static bool read_hex(struct slice text, uint64_t *value)
{
    uint64_t v = 0;

    if (text.len == 0 || text.len > 16)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        int digit = hex_digit(text.text[i]);
        if (digit < 0)
            return false;
        v = v << 4 | (uint64_t)digit;
    }
    *value = v;
    return true;
}

static int read_range(struct record_reader *reader, struct line *line, struct record_area *area)
{
    const char *dash = NULL;
    struct slice range = {0};

    if (line->nr_words > 1 && line->words[1].name.len == 0) {
        range = line->words[1].value;
        line->words[1].used = true;
        dash = memchr(range.text, '-', range.len);
    }
    if (dash == NULL)
        return bad(reader, "START-END in hexadecimal is wanted");
    struct slice start = {range.text, (size_t)(dash - range.text)};
    struct slice end = {dash + 1, range.len - start.len - 1};
    if (!read_hex(start, &area->start) || !read_hex(end, &area->end))
        return bad(reader, "START-END in hexadecimal is wanted");
    if (area->start >= area->end)
        return bad(reader, "an area that ends before it starts");
    return 0;
}

static int take_flags(struct record_reader *reader, struct line *line, vmk_vm_flags *flags)
{
    const char *text, *unknown;

    if (take_text(reader, line, "flags", &text) != 0)
        return -1;
    *flags = 0;
    if (text != NULL && vmk_vmflags_parse(text, flags, &unknown) != 0)
        return bad(reader, "flags: '%.2s' is not known", unknown);
    return 0;
}

static int read_area(struct record_reader *reader, struct line *line, struct record_area *area)
{
    int choice = VMK_ANON_UNKNOWN;

    *area = (struct record_area){0};
    if (read_range(reader, line, area) != 0 || take_flags(reader, line, &area->flags) != 0 ||
        take_number(reader, line, "offset", UINT64_MAX, &area->offset) != 0 ||
        take_number(reader, line, "file", INT64_MAX, &area->file) != 0 ||
        take_choice(reader, line, "anon_vma", record_anon_words, RECORD_ANON_WORDS, &choice) != 0 ||
        take_text(reader, line, "name", &area->name) != 0)
        return -1;
    area->anon_vma = choice;
    return 0;
}

static int read_expect(struct record_reader *reader, struct line *line, struct record_item *item)
{
    if (read_id(reader, line, 1, "the process", &item->process.pid) != 0)
        return -1;
#define READ_STATUS(name)                                                                                              \
    item->status.name = UINT64_MAX;                                                                                    \
    if (take_number(reader, line, #name, UINT64_MAX, &item->status.name) != 0)                                         \
        return -1;
    RECORD_STATUS(READ_STATUS)
#undef READ_STATUS
    return 0;
}

/* ---- Events ---- */

/* "r12", "r12+0x1000", "r12-0x1000": true when it is one of them. */
static bool looks_symbolic(struct slice text)
{
    return text.len > 1 && text.text[0] == 'r' && text.text[1] >= '0' && text.text[1] <= '9';
}

static int read_symbolic(struct record_reader *reader, struct slice text, struct record_value *value)
{
    size_t i = 1;
    uint64_t event = 0, offset = 0;

    for (; i < text.len && text.text[i] >= '0' && text.text[i] <= '9'; i++) {
        event = event * 10 + (uint64_t)(text.text[i] - '0');
        if (event > reader->nr_events)
            break;
    }
    if (event == 0 || event > reader->nr_events)
        return bad(reader, "%.*s: there is no such event before this one", shown(text), text.text);
    if (i < text.len) {
        struct slice rest = {text.text + i + 1, text.len - i - 1};
        if (text.text[i] != '+' && text.text[i] != '-')
            return bad(reader, "%.*s: + or - is wanted after the event", shown(text), text.text);
        if (read_number(reader, rest, "the offset", UINT64_MAX, &offset) != 0)
            return -1;
        if (text.text[i] == '-')
            offset = UINT64_C(0) - offset;
    }
    *value = (struct record_value){.number = offset, .event = event};
    return 0;
}

/* "none", 3 or -EBADF. */
static int read_file_arg(struct record_reader *reader, struct slice text, struct record_value *value)
{
    if (is(text, "none"))
        return 0;
    if (text.len > 1 && text.text[0] == '-') {
        int number = record_errno_find(text.text + 1, text.len - 1);
        if (number != 0) {
            value->number = (uint64_t) - (int64_t)number;
            return 0;
        }
    }
    return read_number(reader, text, "file", UINT64_MAX, &value->number);
}

static int read_arg(struct record_reader *reader, struct line *line, struct record_event *event, size_t i)
{
    const char *name = record_arg_name(event->call, i);

    if (strcmp(name, "text") == 0)
        return take_text(reader, line, name, &event->text);
    const struct word *word = take(line, name);
    if (word == NULL)
        return bad(reader, "%s is missing", name);
    if (strcmp(name, "file") == 0)
        return read_file_arg(reader, word->value, &event->args[i]);
    if (looks_symbolic(word->value))
        return read_symbolic(reader, word->value, &event->args[i]);
    return read_number(reader, word->value, name, UINT64_MAX, &event->args[i].number);
}

/* "= 0x7f..", "= -ENOMEM", "= SIGBUS", "= ?", or nothing at all. */
static int read_result(struct record_reader *reader, struct line *line, struct record_event *event)
{
    size_t at = line->nr_words;
    uint64_t number;

    for (size_t i = 2; i < line->nr_words; i++)
        if (line->words[i].name.len == 0 && is(line->words[i].value, "="))
            at = i;
    if (at == line->nr_words)
        return 0;
    if (at + 2 != line->nr_words || line->words[at + 1].name.len != 0)
        return bad(reader, "one result is wanted after =");
    struct slice text = line->words[at + 1].value;
    line->words[at].used = line->words[at + 1].used = true;
    if (is(text, "?"))
        return 0;
    event->has_result = true;
    if (text.len > 1 && text.text[0] == '-' && (event->result = -record_errno_find(text.text + 1, text.len - 1)) != 0)
        return 0;
    if (read_number(reader, text, "the result", UINT64_MAX, &number) != 0)
        return -1;
    event->result = (int64_t)number;
    return 0;
}

static int read_event(struct record_reader *reader, struct line *line, struct record_event *event)
{
    *event = (struct record_event){0};
    if (read_id(reader, line, 0, "the process", &event->pid) != 0)
        return -1;
    if (line->nr_words < 2 || line->words[1].name.len != 0)
        return bad(reader, "the name of a call is wanted after the process");
    struct slice name = line->words[1].value;
    int call = record_call_find(name.text, name.len);
    if (call < 0)
        return bad(reader, "'%.*s' is not a call that can be replayed", shown(name), name.text);
    line->words[1].used = true;
    event->call = (enum record_call)call;
    for (size_t i = 0; record_arg_name(event->call, i) != NULL; i++)
        if (read_arg(reader, line, event, i) != 0)
            return -1;
    if (read_result(reader, line, event) != 0)
        return -1;
    event->number = reader->nr_events + 1;
    return 0;
}

/* ---- The whole ---- */

void record_reader_init(struct record_reader *reader, const char *text, size_t len)
{
    reader->text = text;
    reader->len = len;
    reader->at = reader->line = 0;
    reader->nr_events = 0;
    reader->what[0] = reader->name_text[0] = '\0';
}

bool record_is_record(const char *text, size_t len)
{
    return len >= sizeof(magic) - 1 && memcmp(text, magic, sizeof(magic) - 1) == 0;
}

/* Gives the next line without its newline; false at the end. */
static bool next_line(struct record_reader *reader, struct slice *line)
{
    if (reader->at >= reader->len)
        return false;
    line->text = reader->text + reader->at;
    const char *newline = memchr(line->text, '\n', reader->len - reader->at);
    line->len = newline == NULL ? reader->len - reader->at : (size_t)(newline - line->text);
    reader->at += line->len + (newline != NULL);
    reader->line++;
    if (line->len != 0 && line->text[line->len - 1] == '\r')
        line->len--;
    return true;
}

static int check_header(struct record_reader *reader, struct slice line)
{
    if (!record_is_record(line.text, line.len))
        return bad(reader, "the first line must be 'vmakit-trace %d'", RECORD_VERSION);
    if (line.len != sizeof(magic) || line.text[sizeof(magic) - 1] != '0' + RECORD_VERSION)
        return bad(reader, "this version of the format is not known; %d is", RECORD_VERSION);
    return 0;
}

static int check_characters(struct record_reader *reader, struct slice line)
{
    for (size_t i = 0; i < line.len; i++)
        if ((unsigned char)line.text[i] < 0x20 || line.text[i] == 0x7f)
            return bad(reader, "a control character (byte %zu)", i + 1);
    return 0;
}

static int read_line(struct record_reader *reader, struct line *line, struct record_item *item)
{
    struct slice first = line->words[0].value;
    int error;

    item->line = reader->line;
    if (line->words[0].name.len == 0 && first.text[0] >= '0' && first.text[0] <= '9') {
        item->kind = RECORD_EVENT;
        error = read_event(reader, line, &item->event);
        if (error == 0)
            error = check_all_used(reader, line);
        if (error == 0)
            reader->nr_events++;
        return error;
    }
    line->words[0].used = true;
    if (is(first, "setting") || is(first, "sysctl")) {
        item->kind = is(first, "setting") ? RECORD_SETTING : RECORD_SYSCTL;
        error = read_named_value(reader, line, item);
    } else if (is(first, "file")) {
        item->kind = RECORD_FILE;
        error = read_file(reader, line, &item->file);
    } else if (is(first, "process")) {
        item->kind = RECORD_PROCESS;
        error = read_process(reader, line, &item->process);
    } else if (is(first, "area")) {
        item->kind = RECORD_AREA;
        error = read_area(reader, line, &item->area);
    } else if (is(first, "expect")) {
        item->kind = RECORD_EXPECT;
        error = read_expect(reader, line, item);
    } else {
        return bad(reader, "'%.*s' begins no line of this format", shown(first), first.text);
    }
    return error != 0 ? error : check_all_used(reader, line);
}

int record_next(struct record_reader *reader, struct record_item *item)
{
    struct slice text;
    struct line line;

    while (next_line(reader, &text)) {
        if (reader->text[reader->at - 1] != '\n')
            return bad(reader, "the line has no end: the file is cut off");
        if (check_characters(reader, text) != 0)
            return -1;
        if (reader->line == 1) {
            if (check_header(reader, text) != 0)
                return -1;
            continue;
        }
        while (text.len != 0 && *text.text == ' ')
            text = (struct slice){text.text + 1, text.len - 1};
        if (text.len == 0 || *text.text == '#')
            continue;
        if (split_line(reader, text.text, text.len, &line) != 0)
            return -1;
        return read_line(reader, &line, item) != 0 ? -1 : 1;
    }
    if (reader->line == 0) {
        reader->line = 1;
        return bad(reader, "the file is empty");
    }
    return 0;
}
