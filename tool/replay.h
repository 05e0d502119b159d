/* SPDX-License-Identifier: MIT */
/*
 * replay.h - inside `vmakit replay`:
 *   replay.c         the command: options, reading, summary, JSON
 *   replay_state.c   files, processes, address spaces as a record describes them
 *   replay_run.c     events
 *   replay_strace.c  strace's output as events
 */
#ifndef VMAKIT_TOOL_REPLAY_H
#define VMAKIT_TOOL_REPLAY_H

#include "draw.h"
#include "idmap.h"
#include "record.h"
#include "report.h"

enum { REPLAY_SETS_MAX = 16, REPLAY_PRINTED_MAX = 20 };

struct replay_options {
    const char *file, *json, *report, *rule;
    bool map, quiet;
    const char *color;
    uint64_t max_map_count;       /* 0: as recorded */
    unsigned va_bits, page_shift; /* 0: as recorded */
    struct {
        bool given;
        uint64_t value;
    } rlimits[4]; /* by RECORD_RLIMIT_* */
    struct {
        const char *name; /* not ended by a zero byte */
        size_t name_len;
        uint64_t value;
    } sets[REPLAY_SETS_MAX];
    size_t nr_sets;
};

/* Where memory has come to lie elsewhere than recorded, in a what-if. */
struct replay_moved {
    vmk_addr start, end; /* as recorded */
    uint64_t delta;      /* added to it */
};

/* Of one address space, which several processes may share. */
struct replay_moves {
    size_t nr_users, nr, room;
    struct replay_moved *moved;
};

struct replay_process {
    uint64_t pid;
    struct vmk_mm *mm; /* NULL before its first line and after exit */
    uint64_t calls[RECORD_CALL_COUNT], nr_calls;
    uint64_t nr_placed, nr_predicted, divergences;
    uint64_t areas, peak_areas; /* of the last address space, and of all */
    uint64_t nr_assumed;        /* strace: areas that must have been there */
    struct replay_moves *moves; /* NULL: nothing has moved */
    struct kview first, last;   /* --map: after exec, at the end */
    char *report;               /* --json: the last map */
    bool fresh;                 /* its `area` lines may follow */
    bool base_learned;          /* strace: the first placement has shown where mmap begins */
};

struct replay {
    struct replay_options options;
    bool what_if, is_strace;
    unsigned recorded_va_bits;
    struct vmk_settings settings;
    struct vmk_sysctl sysctl;
    struct vmk_system *system; /* from the first process on */
    struct idmap files, objects, processes;
    struct replay_process **order; /* by appearance */
    size_t nr_order, order_room;
    int64_t *results; /* of the engine, by event number */
    uint64_t nr_results, results_room;
    const int64_t *baseline; /* what-if: results without it, by event number; NULL for none */
    uint64_t nr_baseline;
    bool silent;                    /* nothing is printed but why a line cannot be read */
    size_t line;                    /* of the record */
    struct report *report;          /* --report */
    struct replay_process *current; /* whose areas are being read */
    bool expecting;
    vmk_addr expected; /* the engine's areas up to here were named */
    uint64_t nr_calls, divergences, nr_faults, nr_printed, nr_moved, nr_skipped;
    uint64_t import_failures;
};

/* What one event came to. */
struct replay_outcome {
    int64_t value;
    bool is_call; /* counted as one, and compared */
    bool placed;  /* the kernel chose the address */
    bool is_address;
    uint64_t len; /* is_address: of what lies there */
};

/* ---- replay_state.c: 0 or an exit status, after a message ---- */

int replay_complain(const struct replay *replay, const char *format, ...) __attribute__((format(printf, 2, 3)));
int replay_out_of_memory(void);
int replay_set_setting(struct replay *replay, const char *name, uint64_t value);
int replay_set_sysctl(struct replay *replay, const char *name, uint64_t value);
/* The system comes into being with the first process; what-ifs are applied to it then. */
int replay_start(struct replay *replay);
int replay_add_file(struct replay *replay, const struct record_file *file);
int replay_add_process(struct replay *replay, const struct record_process *process);
int replay_add_area(struct replay *replay, const struct record_area *area);
int replay_begin_expect(struct replay *replay, uint64_t pid, const struct kview_status *status);
int replay_end_areas(struct replay *replay); /* a line of another kind comes */
/* The process of an event, or NULL after a message. */
struct replay_process *replay_process_of(struct replay *replay, uint64_t pid);
struct replay_process *replay_new_process(struct replay *replay, uint64_t pid);
/* Its address space ends; counters and maps are kept. */
void replay_end_space(struct replay *replay, struct replay_process *process);
int replay_note_moved(struct replay_process *process, vmk_addr start, uint64_t len, uint64_t delta);
/* Where recorded memory that nobody has mentioned yet goes, when the address space is smaller: added to its address. */
uint64_t replay_shift(const struct replay *replay, vmk_addr address);
/* A child that shares its parent's address space shares what is known of moves; another gets a copy. */
int replay_inherit_moves(struct replay_process *child, struct replay_process *parent, bool shares);
vmk_addr replay_where(const struct replay_process *process, vmk_addr recorded);
/* What-ifs lower limits, and never raise them. */
void replay_apply_rlimits(const struct replay *replay, struct vmk_rlimits *limits);
void replay_free(struct replay *replay);

extern const struct vmk_vm_ops replay_special_ops; /* of areas of the kernel's own */

/* ---- replay_run.c ---- */

int replay_event(struct replay *replay, const struct record_event *event);
/* A difference between the engine and the record: counted, and a part of the report. */
void replay_differs(struct replay *replay, struct replay_process *process, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Room for what is printed of one divergence is left? Counts it. */
bool replay_may_print(struct replay *replay);

/* ---- replay.c ---- */

/* A zeroed one with the defaults, options set, becomes ready for replay_text. */
void replay_init(struct replay *replay);
/* Runs a whole text, of either form. 0 or an exit status, after a message. */
int replay_text(struct replay *replay, const char *text, size_t len);

/* ---- replay_strace.c ---- */

int replay_strace(struct replay *replay, const char *text, size_t len);

#endif
