/* SPDX-License-Identifier: MIT */
/*
 * report.h - an address space as an observer reads it: /proc formats and JSON. Written to a sink, piece by piece; nothing
 * is allocated and no lock is held between areas.
 */
#ifndef VMAKIT_REPORT_H
#define VMAKIT_REPORT_H

#include "vmakit/mm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The lines of /proc/PID/maps, byte for byte (but for the vsyscall page, which belongs to no address space). */
VMK_API void vmk_report_maps(struct vmk_mm *mm, vmk_sink_fn *sink, void *context);
/* The header line of maps and the VmFlags line, for each area, as /proc/PID/smaps has them. */
VMK_API void vmk_report_vmflags(struct vmk_mm *mm, vmk_sink_fn *sink, void *context);
/* /proc/PID/statm: size and shared and text and data in pages; resident is 0 without a backend. */
VMK_API void vmk_report_statm(struct vmk_mm *mm, vmk_sink_fn *sink, void *context);
/* The lines VmPeak, VmSize, VmLck, VmPin, VmData, VmStk, VmExe and VmLib of /proc/PID/status. */
VMK_API void vmk_report_status(struct vmk_mm *mm, vmk_sink_fn *sink, void *context);
/* One JSON object: layout, counters and areas. */
VMK_API void vmk_report_json(struct vmk_mm *mm, vmk_sink_fn *sink, void *context);

enum { VMK_VMFLAGS_TEXT_MAX = 256 };
/* The two-letter names of /proc/PID/smaps, each followed by a space. Returns the length. */
VMK_API size_t vmk_vmflags_text(const struct vmk_settings *settings, vmk_vm_flags flags, char *buffer, size_t size);
/* Reads such names; -VMK_ERR_FORMAT for one that is not known (*bad, if not NULL, points at it). */
VMK_API int vmk_vmflags_parse(const char *text, vmk_vm_flags *flags, const char **bad);

#ifdef __cplusplus
}
#endif

#endif
