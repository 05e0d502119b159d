/* SPDX-License-Identifier: MIT */
/* fuzz_record.c - the readers of recorded traces, of saved maps and of strace's output, given anything. */
#include <stdlib.h>

#include "kview.h"
#include "record.h"
#include "strace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read can be written, and what was written can be read again. */
static void write_item(struct record_writer *writer, const struct record_item *item)
{
    switch (item->kind) {
    case RECORD_FILE:
        record_file(writer, &item->file);
        break;
    case RECORD_PROCESS:
        record_process(writer, &item->process);
        break;
    case RECORD_AREA:
        record_area(writer, &item->area);
        break;
    case RECORD_EXPECT:
        record_expect(writer, item->process.pid);
        break;
    case RECORD_EVENT:
        record_call(writer, &item->event);
        break;
    default:
        break;
    }
}

static void read_again(const char *text, size_t len)
{
    static struct record_reader reader;
    struct record_item item;
    int got;

    record_reader_init(&reader, text, len);
    while ((got = record_next(&reader, &item)) == 1)
        ;
    if (got != 0)
        abort();
}

static void read_record(const char *text, size_t size)
{
    static struct record_reader reader;
    struct record_item item;
    char *copy = NULL;
    size_t copy_len = 0;
    FILE *stream = open_memstream(&copy, &copy_len);
    struct record_writer *writer = NULL;

    if (stream == NULL || record_open_stream(stream, &writer) != 0)
        abort();
    record_reader_init(&reader, text, size);
    while (record_next(&reader, &item) == 1)
        write_item(writer, &item);
    if (record_close(writer) != 0 || fclose(stream) != 0)
        abort();
    read_again(copy, copy_len);
    free(copy);
}

static void read_strace(const char *text, size_t size)
{
    struct strace_reader *reader = strace_reader_new(text, size);
    struct strace_line line;

    if (reader == NULL)
        return;
    while (strace_next(reader, &line) != 0)
        ;
    strace_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kview view;
    size_t bad_line;

    if (size == 0)
        return 0;
    /* An exact copy, so that a read past the end is seen. */
    char *text = malloc(size - 1 == 0 ? 1 : size - 1);
    if (text == NULL)
        return 0;
    for (size_t i = 1; i < size; i++)
        text[i - 1] = (char)data[i];
    if (data[0] % 4 == 0)
        kview_parse(&view, text, size - 1, &bad_line);
    else if (data[0] % 4 == 1)
        read_strace(text, size - 1);
    else
        read_record(text, size - 1);
    free(text);
    return 0;
}
