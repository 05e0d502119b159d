/* SPDX-License-Identifier: MIT */
/* maps.c - the texts of /proc/PID/maps, smaps (header and VmFlags), statm and status. */
#include "report/report.h"

enum { NAME_COLUMN = 73 }; /* bytes before a name, unless the columns before it are wider */

/* A newline would end the line. */
static void write_name(struct vmki_format *format, const char *name)
{
    for (; *name != '\0'; name++) {
        if (*name == '\n')
            vmki_format_text(format, "\\012");
        else
            vmki_format_char(format, *name);
    }
}

void vmki_report_maps_line(struct vmki_format *format, const struct vmki_report_area *area)
{
    const char *name = vmki_report_name(area);
    char perms[5];

    vmki_report_perms(area->info.flags, perms);
    vmki_format_hex(format, area->info.start, 8);
    vmki_format_char(format, '-');
    vmki_format_hex(format, area->info.end, 8);
    vmki_format_char(format, ' ');
    vmki_format_text(format, perms);
    vmki_format_char(format, ' ');
    vmki_format_hex(format, area->offset, 8);
    vmki_format_char(format, ' ');
    vmki_format_hex(format, area->major, 2);
    vmki_format_char(format, ':');
    vmki_format_hex(format, area->minor, 2);
    vmki_format_char(format, ' ');
    vmki_format_dec(format, area->inode, 1);
    vmki_format_char(format, ' ');
    if (*name != '\0') {
        vmki_format_pad(format, NAME_COLUMN);
        write_name(format, name);
    }
    vmki_format_char(format, '\n');
}

void vmk_report_maps(struct vmk_mm *mm, vmk_sink_fn *sink, void *context)
{
    struct vmki_format format;
    struct vmki_report_area area;
    vmk_addr cursor = 0;

    vmki_format_init(&format, sink, context);
    while (vmki_report_next(mm, &cursor, &area)) {
        vmki_report_maps_line(&format, &area);
        vmki_report_done(&area);
    }
    vmki_format_flush(&format);
}

void vmk_report_vmflags(struct vmk_mm *mm, vmk_sink_fn *sink, void *context)
{
    char flags[VMK_VMFLAGS_TEXT_MAX];
    struct vmki_format format;
    struct vmki_report_area area;
    vmk_addr cursor = 0;

    vmki_format_init(&format, sink, context);
    while (vmki_report_next(mm, &cursor, &area)) {
        vmki_report_maps_line(&format, &area);
        vmk_vmflags_text(vmk_mm_settings(mm), area.info.flags, flags, sizeof(flags));
        vmki_format_text(&format, "VmFlags: ");
        vmki_format_text(&format, flags);
        vmki_format_char(&format, '\n');
        vmki_report_done(&area);
    }
    vmki_format_flush(&format);
}

/*
 * size, resident, shared, text, lib, data, dirty: resident and shared (which is resident too) are a backend's to
 * know.
 */
void vmk_report_statm(struct vmk_mm *mm, vmk_sink_fn *sink, void *context)
{
    struct vmki_report_counts counts;
    struct vmki_format format;

    vmki_report_count(mm, &counts);
    const uint64_t columns[7] = {
        counts.stats.total_vm, 0, 0, counts.exe, 0, counts.stats.data_vm + counts.stats.stack_vm, 0};
    vmki_format_init(&format, sink, context);
    for (size_t i = 0; i < 7; i++) {
        vmki_format_dec(&format, columns[i], 1);
        vmki_format_char(&format, i == 6 ? '\n' : ' ');
    }
    vmki_format_flush(&format);
}

void vmk_report_status(struct vmk_mm *mm, vmk_sink_fn *sink, void *context)
{
    struct vmki_report_counts counts;
    struct vmki_format format;

    vmki_report_count(mm, &counts);
    const unsigned kb_shift = (unsigned)vmk_mm_settings(mm)->page_shift - 10;
    const struct {
        const char *name;
        uint64_t pages;
    } lines[] = {
        {"VmPeak:\t", counts.stats.peak_vm},
        {"VmSize:\t", counts.stats.total_vm},
        {"VmLck:\t", counts.stats.locked_vm},
        {"VmPin:\t", counts.stats.pinned_vm},
        {"VmData:\t", counts.stats.data_vm},
        {"VmStk:\t", counts.stats.stack_vm},
        {"VmExe:\t", counts.exe},
        {"VmLib:\t", counts.lib},
    };
    vmki_format_init(&format, sink, context);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        vmki_format_text(&format, lines[i].name);
        vmki_format_dec(&format, lines[i].pages << kb_shift, 8);
        vmki_format_text(&format, " kB\n");
    }
    vmki_format_flush(&format);
}
