/* SPDX-License-Identifier: MIT */
#include "strace.h"

#include <stdlib.h>
#include <string.h>

#include "idmap.h"
#include "record.h"

struct strace_reader {
    const char *text;
    size_t len, at, line;
    struct idmap pending; /* process -> text of its unfinished call */
    char *joined;         /* of the call returned last */
    char *broken;         /* the beginning of the next line, which a message of strace's own stood in; or NULL */
    uint64_t attached;    /* what that message said */
    bool split;           /* the line before was an unfinished call, of process `split_pid` */
    uint64_t split_pid;
    char *whole; /* such a line put together, while it is in use */
};

/* ---- Texts ---- */

bool strace_is(struct strace_text text, const char *word)
{
    return strlen(word) == text.len && memcmp(text.text, word, text.len) == 0;
}

static bool begins(struct strace_text text, const char *word)
{
    return strlen(word) <= text.len && memcmp(text.text, word, strlen(word)) == 0;
}

static struct strace_text skip(struct strace_text text, size_t len)
{
    return (struct strace_text){text.text + len, text.len - len};
}

static struct strace_text trim(struct strace_text text)
{
    while (text.len != 0 && *text.text == ' ')
        text = skip(text, 1);
    while (text.len != 0 && text.text[text.len - 1] == ' ')
        text.len--;
    return text;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool strace_has_flag(struct strace_text text, const char *word)
{
    for (;;) {
        const char *bar = text.len == 0 ? NULL : memchr(text.text, '|', text.len);
        struct strace_text one = {text.text, bar == NULL ? text.len : (size_t)(bar - text.text)};
        if (strace_is(one, word))
            return true;
        if (bar == NULL)
            return false;
        text = skip(text, one.len + 1);
    }
}

bool strace_number(struct strace_text text, uint64_t *value)
{
    for (size_t i = 0; i + 1 < text.len; i++)
        if (text.text[i] == '/' && text.text[i + 1] == '*')
            text.len = i;
    text = trim(text);
    return text.len != 0 && record_parse_flags(text.text, text.len, value, NULL);
}

/* ---- What stands before a call ---- */

/* "1234" up to something else; 0 when there is none or it is too large. */
static uint64_t take_digits(struct strace_text *text)
{
    uint64_t value = 0;

    while (text->len != 0 && is_digit(*text->text)) {
        value = value < UINT32_MAX ? value * 10 + (uint64_t)(*text->text - '0') : UINT32_MAX;
        *text = skip(*text, 1);
    }
    return value;
}

/* "[00007f90ce301c47] " and "[  12] ", as -i and -n write them. */
static void skip_brackets(struct strace_text *text)
{
    while (begins(*text, "[")) {
        size_t i = 1;
        while (i < text->len && (is_digit(text->text[i]) || text->text[i] == ' ' || text->text[i] == '?' ||
                                 (text->text[i] >= 'a' && text->text[i] <= 'f')))
            i++;
        if (i == text->len || text->text[i] != ']')
            return;
        *text = trim(skip(*text, i + 1));
    }
}

/* "[pid 123] " and "123 ", then times as -t, -tt, -ttt and -r write them. */
static uint64_t take_prefix(struct strace_text *text)
{
    uint64_t pid = 0;

    *text = trim(*text);
    if (begins(*text, "[pid ")) {
        *text = trim(skip(*text, 5));
        pid = take_digits(text);
        if (text->len != 0 && *text->text == ']')
            *text = trim(skip(*text, 1));
    }
    while (text->len != 0 && is_digit(*text->text)) {
        struct strace_text word = *text;
        while (word.len != 0 && *word.text != ' ')
            word = skip(word, 1);
        struct strace_text number = {text->text, text->len - word.len};
        bool is_time = memchr(number.text, ':', number.len) != NULL || memchr(number.text, '.', number.len) != NULL;
        if (!is_time && pid == 0)
            pid = take_digits(&number);
        *text = trim(word);
    }
    skip_brackets(text);
    return pid;
}

/* ---- Arguments ---- */

/* The byte after a quoted text, a comment or a path in angle brackets that starts at `i`; `i` when none does. */
static size_t skip_opaque(struct strace_text text, size_t i)
{
    char stop;
    size_t at = i;

    if (text.text[i] == '"') {
        stop = '"';
    } else if (text.text[i] == '<' && i > 0 && is_digit(text.text[i - 1]) && i + 1 < text.len &&
               text.text[i + 1] != '<' && text.text[i + 1] != ' ') {
        stop = '>';
    } else if (text.text[i] == '/' && i + 1 < text.len && text.text[i + 1] == '*') {
        for (at = i + 2; at + 1 < text.len; at++)
            if (text.text[at] == '*' && text.text[at + 1] == '/')
                return at + 2;
        return text.len;
    } else {
        return i;
    }
    for (at = i + 1; at < text.len; at++) {
        if (text.text[at] == '\\')
            at++;
        else if (text.text[at] == stop)
            return at + 1;
    }
    return text.len;
}

/* Splits "a, b, c) = 0" at its commas; *after is what follows the bracket. false: it does not close. */
static bool split_args(struct strace_text text, struct strace_line *line, struct strace_text *after)
{
    size_t start = 0, depth = 0;

    line->nr_args = 0;
    for (size_t i = 0; i < text.len;) {
        size_t past = skip_opaque(text, i);
        if (past != i) {
            i = past;
            continue;
        }
        char c = text.text[i];
        bool closes = depth == 0 && c == ')';
        if (closes || (depth == 0 && c == ',')) {
            struct strace_text arg = trim((struct strace_text){text.text + start, i - start});
            if (arg.len != 0 || !closes) {
                if (line->nr_args == STRACE_ARGS_MAX)
                    return false;
                line->args[line->nr_args++] = arg;
            }
            start = i + 1;
        }
        if (closes) {
            *after = skip(text, i + 1);
            return true;
        }
        if (c == '(' || c == '[' || c == '{')
            depth++;
        if ((c == ')' || c == ']' || c == '}') && depth != 0)
            depth--;
        i++;
    }
    return false;
}

/* " = 0x7f..", " = -1 ENOMEM (Cannot allocate memory)", " = ?" */
static bool read_result(struct strace_text text, struct strace_line *line)
{
    uint64_t value;

    text = trim(text);
    if (text.len == 0 || *text.text != '=')
        return false;
    text = trim(skip(text, 1));
    size_t len = 0;
    while (len < text.len && text.text[len] != ' ' && text.text[len] != '<')
        len++;
    struct strace_text number = {text.text, len}, rest = trim(skip(text, len));
    if (strace_is(number, "?"))
        return true;
    if (len == 0 || !record_parse_flags(number.text, number.len, &value, NULL))
        return false;
    line->has_result = true;
    line->result = (int64_t)value;
    if (line->result == -1 && rest.len != 0 && *rest.text == 'E') {
        size_t name_len = 0;
        while (name_len < rest.len && rest.text[name_len] != ' ')
            name_len++;
        int number_of = record_errno_find(rest.text, name_len);
        line->failed = true;
        line->result = number_of != 0 ? -number_of : -VMK_EIO;
    }
    return true;
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || is_digit(c) || c == '_';
}

static void set_bad(struct strace_line *line, const char *what)
{
    line->kind = STRACE_BAD;
    line->what = what;
}

/* "mmap(NULL, 4096, ...) = 0x7f.."; what strace wrote of an unfinished call ends where it breaks off. */
static void read_call(struct strace_text text, struct strace_line *line)
{
    struct strace_text after;
    size_t len = 0;

    while (len < text.len && is_name_byte(text.text[len]))
        len++;
    if (len == 0 || len == text.len || text.text[len] != '(') {
        set_bad(line, "this is neither a system call, nor a signal, nor the end of a process");
        return;
    }
    line->name = (struct strace_text){text.text, len};
    if (!split_args(skip(text, len + 1), line, &after)) {
        set_bad(line, "the arguments have no end");
        return;
    }
    line->kind = STRACE_CALL;
    if (!read_result(after, line))
        set_bad(line, "the call has no result");
}

/* ---- Calls in two lines ---- */

static const char unfinished[] = "<unfinished ...>";

/* Is it "call(args <unfinished ...>"? Then *text loses the mark. */
static bool take_unfinished(struct strace_text *text)
{
    size_t len = sizeof(unfinished) - 1;

    if (text->len < len || memcmp(text->text + text->len - len, unfinished, len) != 0)
        return false;
    text->len -= len;
    *text = trim(*text);
    return true;
}

static int keep_pending(struct strace_reader *reader, struct strace_text text, struct strace_line *line)
{
    char *copy = malloc(text.len + 2), *old = idmap_get(&reader->pending, line->pid);

    if (copy == NULL)
        return -1;
    /* As if the bracket closed here, so that the arguments so far can be read. */
    memcpy(copy, text.text, text.len);
    copy[text.len] = ')';
    copy[text.len + 1] = '\0';
    if (!idmap_put(&reader->pending, line->pid, copy)) {
        free(copy);
        return -1;
    }
    free(old);
    struct strace_text after;
    size_t name_len = 0;
    while (name_len < text.len && is_name_byte(copy[name_len]))
        name_len++;
    line->kind = STRACE_PENDING;
    line->name = (struct strace_text){copy, name_len};
    if (name_len < text.len)
        split_args((struct strace_text){copy + name_len + 1, text.len - name_len}, line, &after);
    return 1;
}

/* A line that does not name its process, since there is one only: whose call of that name has not returned? */
static char *find_pending(struct strace_reader *reader, struct strace_text text, struct strace_line *line)
{
    char *found = idmap_get(&reader->pending, line->pid);

    if ((found != NULL && *found != '\0') || line->pid != 0)
        return found;
    text = skip(text, 5);
    for (size_t i = 0; i < reader->pending.nr_slots; i++) {
        char *first = reader->pending.slots[i].value;
        size_t len = first == NULL ? 0 : strcspn(first, "(");
        if (len != 0 && len < text.len && memcmp(first, text.text, len) == 0 && text.text[len] == ' ') {
            line->pid = reader->pending.slots[i].id;
            return first;
        }
    }
    return NULL;
}

/* `first` is what is kept of a call, or NULL; *first is 0 when it has returned. */
static int join(struct strace_reader *reader, char *first, struct strace_text rest, struct strace_line *line)
{
    if (first == NULL || *first == '\0') {
        set_bad(line, "a call is resumed that was never begun");
        return 1;
    }
    size_t first_len = strlen(first) - 1; /* without the bracket that keep_pending added */
    free(reader->joined);
    reader->joined = malloc(first_len + rest.len + 1);
    if (reader->joined == NULL)
        return -1;
    memcpy(reader->joined, first, first_len);
    memcpy(reader->joined + first_len, rest.text, rest.len);
    first[0] = '\0';
    read_call((struct strace_text){reader->joined, first_len + rest.len}, line);
    return 1;
}

/* "<... mmap resumed>) = 0x7f..": joined with what came before. */
static int join_pending(struct strace_reader *reader, struct strace_text text, struct strace_line *line)
{
    const char *mark = memchr(text.text, '>', text.len);
    char *first = mark == NULL ? NULL : find_pending(reader, text, line);

    return join(reader, first, skip(text, mark == NULL ? 0 : (size_t)(mark - text.text) + 1), line);
}

/* ") = 0x7f.." alone, below its unfinished call: so -z and -Z write what they have kept. */
static int join_split(struct strace_reader *reader, struct strace_text text, struct strace_line *line)
{
    line->pid = reader->split_pid;
    return join(reader, idmap_get(&reader->pending, line->pid), text, line);
}

/* ---- Lines ---- */

/* "strace: Process 123 attached" */
static bool read_attached(struct strace_text text, struct strace_line *line)
{
    if (!begins(text, "strace: Process "))
        return false;
    text = skip(text, 16);
    line->child = take_digits(&text);
    line->kind = STRACE_ATTACHED;
    return begins(text, " attached") && line->child != 0;
}

/*
 * "clone(child_stack=NULL, flags=SIGCHLDstrace: Process 17 attached": strace's message stands in the middle of a
 * line, which goes on below. The first half is an unfinished call for now.
 */
static int read_broken(struct strace_reader *reader, struct strace_text text, struct strace_line *line)
{
    static const char message[] = "strace: Process ";
    struct strace_text rest = text;

    while (rest.len > sizeof(message) && !begins(rest, message))
        rest = skip(rest, 1);
    if (rest.len == text.len || !read_attached(rest, line))
        return 0;
    reader->attached = line->child;
    size_t len = text.len - rest.len;
    reader->broken = malloc(len + 1);
    if (reader->broken == NULL)
        return -1;
    memcpy(reader->broken, text.text, len);
    reader->broken[len] = '\0';
    struct strace_text first = {reader->broken, len};
    *line = (struct strace_line){.line = reader->line};
    line->pid = take_prefix(&first);
    return keep_pending(reader, first, line);
}

/* 1: a line; 0: one that says nothing; -1: out of memory. */
static int read_line(struct strace_reader *reader, struct strace_text text, struct strace_line *line)
{
    const struct strace_text whole = text;
    bool split = reader->split;

    *line = (struct strace_line){.line = reader->line};
    reader->split = false;
    if (split && (begins(text, ")") || begins(text, ", ")))
        return join_split(reader, text, line);
    if (begins(text, "strace: "))
        return read_attached(text, line);
    if (begins(text, " > "))
        return 0; /* -k: who called */
    line->pid = take_prefix(&text);
    if (text.len == 0 || begins(text, "---"))
        return 0;
    if (begins(text, "strace: "))
        return read_attached(text, line);
    if (begins(text, "+++ exited") || begins(text, "+++ killed")) {
        line->kind = STRACE_EXITED;
        return 1;
    }
    if (begins(text, "+++ superseded") || begins(text, "???"))
        return 0;
    if (begins(text, "<... "))
        return join_pending(reader, text, line);
    if (take_unfinished(&text)) {
        reader->split = true;
        reader->split_pid = line->pid;
        return keep_pending(reader, text, line);
    }
    if (text.len > 9 && memcmp(text.text + text.len - 9, " attached", 9) == 0) {
        int got = read_broken(reader, whole, line);
        if (got != 0)
            return got;
    }
    read_call(text, line);
    return 1;
}

/* A line whose beginning came before a message of strace's. */
static int mend_line(struct strace_reader *reader, struct strace_text *text)
{
    size_t len = strlen(reader->broken);

    free(reader->whole);
    reader->whole = malloc(len + text->len + 1);
    if (reader->whole == NULL)
        return -1;
    memcpy(reader->whole, reader->broken, len);
    memcpy(reader->whole + len, text->text, text->len);
    free(reader->broken);
    reader->broken = NULL;
    *text = (struct strace_text){reader->whole, len + text->len};
    return 0;
}

int strace_next(struct strace_reader *reader, struct strace_line *line)
{
    if (reader->attached != 0) {
        *line = (struct strace_line){.kind = STRACE_ATTACHED, .line = reader->line, .child = reader->attached};
        reader->attached = 0;
        return 1;
    }
    while (reader->at < reader->len) {
        const char *start = reader->text + reader->at;
        const char *newline = memchr(start, '\n', reader->len - reader->at);
        size_t len = newline == NULL ? reader->len - reader->at : (size_t)(newline - start);
        reader->at += len + (newline != NULL);
        reader->line++;
        if (begins((struct strace_text){start, len}, "% time")) {
            reader->at = reader->len; /* -C: a table ends it */
            return 0;
        }
        if (newline == NULL) {
            *line = (struct strace_line){.line = reader->line};
            set_bad(line, "the line has no end: the file is cut off");
            return 1;
        }
        if (len != 0 && start[len - 1] == '\r')
            len--;
        struct strace_text text = {start, len};
        if (reader->broken != NULL && mend_line(reader, &text) != 0)
            return -1;
        int got = read_line(reader, text, line);
        if (got != 0)
            return got;
    }
    return 0;
}

struct strace_reader *strace_reader_new(const char *text, size_t len)
{
    struct strace_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL)
        return NULL;
    reader->text = text;
    reader->len = len;
    return reader;
}

void strace_reader_free(struct strace_reader *reader)
{
    for (size_t i = 0; i < reader->pending.nr_slots; i++)
        free(reader->pending.slots[i].value);
    idmap_free(&reader->pending);
    free(reader->joined);
    free(reader->broken);
    free(reader->whole);
    free(reader);
}
