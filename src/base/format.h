/* SPDX-License-Identifier: MIT */
/*
 * format.h - writes text to a sink without libc: pieces are gathered in a small buffer and handed on when it is full or
 * flushed.
 */
#ifndef VMKI_BASE_FORMAT_H
#define VMKI_BASE_FORMAT_H

#include "vmakit/mm.h"

enum { VMKI_FORMAT_BUFFER = 256 };

struct vmki_format {
    vmk_sink_fn *sink;
    void *context;
    size_t used;
    size_t column; /* bytes since the last newline */
    char buffer[VMKI_FORMAT_BUFFER];
};

void vmki_format_init(struct vmki_format *format, vmk_sink_fn *sink, void *context);
/* Hands on what is gathered; call it at the end. */
void vmki_format_flush(struct vmki_format *format);
void vmki_format_char(struct vmki_format *format, char c);
void vmki_format_bytes(struct vmki_format *format, const char *text, size_t len);
void vmki_format_text(struct vmki_format *format, const char *text);
/* At least `width` characters: zeros in front (hex), spaces in front (dec). */
void vmki_format_hex(struct vmki_format *format, uint64_t value, unsigned width);
void vmki_format_dec(struct vmki_format *format, uint64_t value, unsigned width);
/* Spaces up to a column of the line. */
void vmki_format_pad(struct vmki_format *format, size_t column);

#endif
