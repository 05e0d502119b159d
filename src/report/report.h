/* SPDX-License-Identifier: MIT */
/* report.h - what the reports share: one area by value, and how its columns are written. */
#ifndef VMKI_REPORT_REPORT_H
#define VMKI_REPORT_REPORT_H

#include "base/format.h"
#include "vmakit/report.h"

enum { VMKI_REPORT_NAME = 256 };

/* An area as maps shows it, with a reference on its file: give it back with vmki_report_done. */
struct vmki_report_area {
    struct vmk_vma_info info;
    uint64_t offset, inode;
    uint32_t major, minor;
    const char *long_name; /* the file's name when `name` is too small for it, else NULL */
    char name[VMKI_REPORT_NAME];
};

/* The first area that ends above *cursor, which moves to its end; false after the last. */
bool vmki_report_next(struct vmk_mm *mm, vmk_addr *cursor, struct vmki_report_area *area);
void vmki_report_done(struct vmki_report_area *area);
const char *vmki_report_name(const struct vmki_report_area *area);
/* "rw-p" */
void vmki_report_perms(vmk_vm_flags flags, char perms[5]);
/* The line of maps, with its newline. */
void vmki_report_maps_line(struct vmki_format *format, const struct vmki_report_area *area);

/* The counters as status shows them, in pages. */
struct vmki_report_counts {
    struct vmk_mm_stats stats;
    uint64_t exe, lib;
};
void vmki_report_count(struct vmk_mm *mm, struct vmki_report_counts *counts);

#endif
