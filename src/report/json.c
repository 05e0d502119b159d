/* SPDX-License-Identifier: MIT */
/* json.c - an address space as one JSON object. Addresses are texts ("0x7f..."), since JSON's numbers end at 2^53. */
#include "report/report.h"

/* Length of the UTF-8 sequence at `text`; 0 when there is none. */
static size_t utf8_len(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t len = p[0] < 0x80                   ? 1
                 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
                 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
                 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                               : 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

static void write_text(struct vmki_format *format, const char *text)
{
    vmki_format_char(format, '"');
    while (*text != '\0') {
        size_t len = utf8_len(text);
        if (len == 0) {
            vmki_format_text(format, "\\ufffd");
            len = 1;
        } else if (*text == '"' || *text == '\\') {
            vmki_format_char(format, '\\');
            vmki_format_char(format, *text);
        } else if (len == 1 && (unsigned char)*text < 0x20) {
            vmki_format_text(format, "\\u");
            vmki_format_hex(format, (unsigned char)*text, 4);
        } else {
            vmki_format_bytes(format, text, len);
        }
        text += len;
    }
    vmki_format_char(format, '"');
}

/* "name": with a comma before it unless it is the first of its object. */
static void write_key(struct vmki_format *format, const char *name, bool first)
{
    if (!first)
        vmki_format_char(format, ',');
    vmki_format_char(format, '"');
    vmki_format_text(format, name);
    vmki_format_text(format, "\":");
}

static void write_address(struct vmki_format *format, const char *name, uint64_t value, bool first)
{
    write_key(format, name, first);
    vmki_format_text(format, "\"0x");
    vmki_format_hex(format, value, 1);
    vmki_format_char(format, '"');
}

static void write_number(struct vmki_format *format, const char *name, uint64_t value, bool first)
{
    write_key(format, name, first);
    vmki_format_dec(format, value, 1);
}

static void write_layout(struct vmki_format *format, struct vmk_mm *mm)
{
    struct vmk_mm_layout layout;

    vmk_mm_get_layout(mm, &layout);
    const struct {
        const char *name;
        vmk_addr value;
    } marks[] = {
        {"task_size", layout.task_size},     {"mmap_base", layout.mmap_base},
        {"start_code", layout.start_code},   {"end_code", layout.end_code},
        {"start_data", layout.start_data},   {"end_data", layout.end_data},
        {"start_brk", layout.start_brk},     {"brk", layout.brk},
        {"start_stack", layout.start_stack}, {"arg_start", layout.arg_start},
        {"arg_end", layout.arg_end},         {"env_start", layout.env_start},
        {"env_end", layout.env_end},
    };
    write_key(format, "layout", false);
    vmki_format_char(format, '{');
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
        write_address(format, marks[i].name, marks[i].value, i == 0);
    write_key(format, "top_down", false);
    vmki_format_text(format, layout.top_down ? "true}" : "false}");
}

static void write_counters(struct vmki_format *format, struct vmk_mm *mm)
{
    struct vmki_report_counts counts;

    vmki_report_count(mm, &counts);
    write_key(format, "pages", false);
    vmki_format_char(format, '{');
    write_number(format, "total", counts.stats.total_vm, true);
    write_number(format, "peak", counts.stats.peak_vm, false);
    write_number(format, "locked", counts.stats.locked_vm, false);
    write_number(format, "pinned", counts.stats.pinned_vm, false);
    write_number(format, "data", counts.stats.data_vm, false);
    write_number(format, "stack", counts.stats.stack_vm, false);
    write_number(format, "exec", counts.stats.exec_vm, false);
    write_number(format, "text", counts.exe, false);
    write_number(format, "lib", counts.lib, false);
    write_number(format, "shared", counts.stats.shared_vm, false);
    write_number(format, "committed", counts.stats.committed, false);
    vmki_format_char(format, '}');
    write_number(format, "nr_areas", counts.stats.nr_vmas, false);
    write_number(format, "peak_areas", counts.stats.peak_vmas, false);
}

static void write_area(struct vmki_format *format, struct vmk_mm *mm, const struct vmki_report_area *area, bool first)
{
    char text[VMK_VMFLAGS_TEXT_MAX];

    if (!first)
        vmki_format_char(format, ',');
    vmki_format_text(format, "\n{");
    write_address(format, "start", area->info.start, true);
    write_address(format, "end", area->info.end, false);
    vmki_report_perms(area->info.flags, text);
    write_key(format, "perms", false);
    write_text(format, text);
    size_t len = vmk_vmflags_text(vmk_mm_settings(mm), area->info.flags, text, sizeof(text));
    if (len != 0)
        text[len - 1] = '\0';
    write_key(format, "flags", false);
    write_text(format, text);
    write_address(format, "offset", area->offset, false);
    if (area->info.file != NULL) {
        write_number(format, "major", area->major, false);
        write_number(format, "minor", area->minor, false);
        write_number(format, "inode", area->inode, false);
    }
    write_number(format, "anon_vma", area->info.anon_vma, false);
    write_key(format, "name", false);
    write_text(format, vmki_report_name(area));
    vmki_format_char(format, '}');
}

void vmk_report_json(struct vmk_mm *mm, vmk_sink_fn *sink, void *context)
{
    struct vmki_format format;
    struct vmki_report_area area;
    vmk_addr cursor = 0;
    bool first = true;

    vmki_format_init(&format, sink, context);
    vmki_format_char(&format, '{');
    write_number(&format, "page_size", UINT64_C(1) << vmk_mm_settings(mm)->page_shift, true);
    write_layout(&format, mm);
    write_counters(&format, mm);
    write_key(&format, "areas", false);
    vmki_format_char(&format, '[');
    while (vmki_report_next(mm, &cursor, &area)) {
        write_area(&format, mm, &area, first);
        vmki_report_done(&area);
        first = false;
    }
    vmki_format_text(&format, "]}\n");
    vmki_format_flush(&format);
}
