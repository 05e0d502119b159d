/* SPDX-License-Identifier: MIT */
/*
 * report.h - one HTML page of a whole run: the address spaces over time, calls by kind and by caller, findings,
 * divergences. trace, run and replay collect with it; docs/report.md describes the page.
 *
 *   report_data.c  collecting: each change of an address space as an edit of the list of its areas
 *   report_html.c  writing the page; its parts lie in tool/report/
 *
 * An address space is looked at when it begins, after each of its calls, and at its end. Every function does nothing
 * when `report` is NULL, so that callers need not ask. Memory that runs out is remembered, and report_close says so.
 */
#ifndef VMAKIT_TOOL_REPORT_H
#define VMAKIT_TOOL_REPORT_H

#include "caller.h"
#include "record.h"

struct report;

struct report_options {
    const char *path;  /* of the page */
    const char *verb;  /* the subcommand: "trace" */
    char *const *argv; /* what was run, or the file that was read; ends with NULL; copied */
    bool is_what_if;   /* the rules are not those that the recording was made under */
    bool has_clock;    /* the times of calls mean something */
    uint64_t room;     /* how much is kept before the map is kept for some calls only; 0: REPORT_ROOM */
};

/* In units of a call with a small change; a change is worth one more for every 160 bytes, a look for every 250 areas. */
enum { REPORT_ROOM = 200000 };

struct report_call {
    uint64_t pid;
    const char *name;                 /* "mmap" */
    const struct record_event *event; /* its arguments, addresses as numbers; NULL: not known */
    int64_t result;
    bool placed, predicted; /* the kernel chose the address; the engine knew it */
    struct caller caller;
};

/* Creates the file. 0, or -errno: nothing is open then. */
int report_open(const struct report_options *options, struct report **report);

/* A program begins in a process, which need not be known before. `name` may be NULL. */
void report_exec(struct report *report, uint64_t pid, const char *name, struct vmk_mm *mm);
/* A child with an address space of its own (fork), or with its parent's (CLONE_VM). */
void report_child(struct report *report, uint64_t parent, uint64_t child, struct vmk_mm *mm);
/* A call has ended. What changed before it without a call (a stack has grown) is shown with it. */
void report_call(struct report *report, struct vmk_mm *mm, const struct report_call *call);
/* `mm` may be NULL: its last areas are not known. */
void report_exit(struct report *report, uint64_t pid, struct vmk_mm *mm);

/* Belongs to the last event of the process. */
void report_divergence(struct report *report, uint64_t pid, const char *text);
/* Something that the reader must know to read the page rightly. */
void report_notice(struct report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The run is judged by the rules of such pages. */
void report_note_page_size(struct report *report, uint64_t page_size);
/* What a call would have come to with pages of another size. `page_size` in bytes. */
void report_finding(struct report *report, struct vmk_mm *mm, const struct report_call *call, uint64_t page_size,
                    const char *text);

/* Writes the page and frees. 0, or -errno: what is in the file is then no page. */
int report_close(struct report *report);
/* Frees without a page; the file stays as it is. */
void report_drop(struct report *report);

#endif
