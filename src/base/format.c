/* SPDX-License-Identifier: MIT */
#include "base/format.h"

#include "base/base.h"

void vmki_format_init(struct vmki_format *format, vmk_sink_fn *sink, void *context)
{
    format->sink = sink;
    format->context = context;
    format->used = 0;
    format->column = 0;
}

void vmki_format_flush(struct vmki_format *format)
{
    if (format->used != 0)
        format->sink(format->context, format->buffer, format->used);
    format->used = 0;
}

void vmki_format_char(struct vmki_format *format, char c)
{
    if (format->used == sizeof(format->buffer))
        vmki_format_flush(format);
    format->buffer[format->used++] = c;
    format->column = c == '\n' ? 0 : format->column + 1;
}

void vmki_format_bytes(struct vmki_format *format, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        vmki_format_char(format, text[i]);
}

void vmki_format_text(struct vmki_format *format, const char *text)
{
    while (*text != '\0')
        vmki_format_char(format, *text++);
}

/* Digits in `base`, least significant first; returns their number. */
static unsigned digits_of(uint64_t value, unsigned base, char digits[20])
{
    unsigned nr = 0;
    do {
        digits[nr++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    return nr;
}

static void number(struct vmki_format *format, uint64_t value, unsigned base, unsigned width, char fill)
{
    char digits[20];
    unsigned nr = digits_of(value, base, digits);

    for (unsigned i = nr; i < width; i++)
        vmki_format_char(format, fill);
    while (nr != 0)
        vmki_format_char(format, digits[--nr]);
}

void vmki_format_hex(struct vmki_format *format, uint64_t value, unsigned width)
{
    number(format, value, 16, width, '0');
}

void vmki_format_dec(struct vmki_format *format, uint64_t value, unsigned width)
{
    number(format, value, 10, width, ' ');
}

void vmki_format_pad(struct vmki_format *format, size_t column)
{
    while (format->column < column)
        vmki_format_char(format, ' ');
}
