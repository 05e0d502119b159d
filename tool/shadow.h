/* SPDX-License-Identifier: MIT */
/*
 * shadow.h - what a program's calls would come to on a kernel with larger pages.
 *
 * Beside each address space a second one is kept, with pages of 16 or 64 KiB. Every call that succeeded is made there
 * too, at the place where the memory that it means lies there; what fails is a finding. So is a call that, its length
 * rounded up to a larger page, reaches memory behind that is in use. After a finding the shadow gets what comes closest to
 * what the program wanted, so that one mistake is not found again in all that follow it.
 *
 * Not judged: huge pages of hugetlb, devices, stacks that grow, limits. A program that asks for the page size would have
 * made other calls: the C library does, so findings of its own are counted apart.
 */
#ifndef VMAKIT_TOOL_SHADOW_H
#define VMAKIT_TOOL_SHADOW_H

#include "report.h"

struct shadow;

/* "16K" or "64K" as a shift; 0 for anything else. */
unsigned shadow_parse_page_size(const char *text);

/* `report` may be NULL. 0 or -VMK_ERR_HOST_NOMEM. */
int shadow_open(unsigned page_shift, const struct vmk_settings *settings, struct report *report,
                struct shadow **shadow);
/* All of these do nothing when `shadow` is NULL. `mm` is the address space beside which the shadow is kept. */
void shadow_exec(struct shadow *shadow, uint64_t pid, struct vmk_mm *mm);
void shadow_fork(struct shadow *shadow, const struct vmk_mm *parent, const struct vmk_mm *child);
void shadow_call(struct shadow *shadow, struct vmk_mm *mm, const struct report_call *call);
void shadow_end(struct shadow *shadow, const struct vmk_mm *mm);
/* What was found: one line, then one for each place (at most `most` of them; 0: only that line). */
void shadow_summary(const struct shadow *shadow, FILE *out, size_t most);
void shadow_close(struct shadow *shadow);

#endif
