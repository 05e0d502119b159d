/* SPDX-License-Identifier: MIT */
/* strace.h - reads the lines of strace's output; what they mean for an address space is replay_strace.c's. */
#ifndef VMAKIT_TOOL_STRACE_H
#define VMAKIT_TOOL_STRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STRACE_ARGS_MAX = 12 };

struct strace_text {
    const char *text; /* not ended by a zero byte */
    size_t len;
};

enum strace_kind {
    STRACE_CALL,
    STRACE_PENDING,  /* a call that has not returned yet; it comes again as STRACE_CALL when it has */
    STRACE_ATTACHED, /* a new process or thread, `child` */
    STRACE_EXITED,
    STRACE_BAD /* cannot be read, for the reason in `what` */
};

/* One line, or two that belong together; valid until the next strace_next. */
struct strace_line {
    enum strace_kind kind;
    size_t line;  /* the last one that belongs to it */
    uint64_t pid; /* 0: the line does not say */
    uint64_t child;
    struct strace_text name, args[STRACE_ARGS_MAX];
    size_t nr_args;
    bool has_result, failed;
    int64_t result; /* failed: 0 */
    const char *what;
};

struct strace_reader;

/* `text` must live as long as the reader. NULL: out of memory. */
struct strace_reader *strace_reader_new(const char *text, size_t len);
void strace_reader_free(struct strace_reader *reader);
/* 1: *line is filled in; 0: the end; -1: out of memory. Signals and strace's own messages are passed over. */
int strace_next(struct strace_reader *reader, struct strace_line *line);

bool strace_is(struct strace_text text, const char *word);
/* A number or flags, without comments ("0x8" and a comment after it); false when it is neither. */
bool strace_number(struct strace_text text, uint64_t *value);
/* Does "A|B|C" have a word? */
bool strace_has_flag(struct strace_text text, const char *word);

#endif
