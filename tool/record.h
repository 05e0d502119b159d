/* SPDX-License-Identifier: MIT */
/*
 * record.h - recorded traces as text: the writer (trace, fuzz) and the reader (replay). docs/trace-format.md
 * describes the lines. A record is a header, settings, files, address spaces with the areas that they have at exec,
 * and one line an event.
 *
 * Numbers of processes are names of address spaces: threads share their leader's. Results may be left out, and an
 * address may be said as "the result of event 12, plus 0x1000", so that a record need not hold any address that a
 * kernel chose.
 */
#ifndef VMAKIT_TOOL_RECORD_H
#define VMAKIT_TOOL_RECORD_H

#include <stdbool.h>
#include <stdio.h>

#include "kview.h"
#include "vmakit/vmakit.h"

enum { RECORD_VERSION = 1, RECORD_ARGS_MAX = 8, RECORD_TEXT_MAX = 4400 };

/*
 * X(call, arguments): what an event may be, and the names of its arguments in the order of record_event.args. An
 * argument named `file` is a file's id, 0 for none, or a negative errno (a bad descriptor); one named `text` is
 * record_event.text.
 *
 * fault: a touch that the engine is told of: access is enum vmk_access, flags enum vmk_fault_flags, the result 0, the
 * signal, RECORD_SIGNAL(signal, code), or -EFAULT where a system call's copy failed (with whichever signal). fork makes an address space of its own, share one that is the same (CLONE_VM). exec is a `process` line.
 * rlimit: which is RECORD_RLIMIT_*, soft and hard are bytes. truncate and seal change a file that areas may map.
 */
#define RECORD_CALLS(X)                                                                                                \
    X(mmap, "addr", "len", "prot", "flags", "file", "offset")                                                          \
    X(munmap, "addr", "len")                                                                                           \
    X(mprotect, "addr", "len", "prot")                                                                                 \
    X(pkey_mprotect, "addr", "len", "prot", "pkey")                                                                    \
    X(mremap, "addr", "old_len", "new_len", "flags", "new_addr")                                                       \
    X(brk, "addr")                                                                                                     \
    X(madvise, "addr", "len", "advice")                                                                                \
    X(process_madvise, "addr", "len", "advice")                                                                        \
    X(mlock, "addr", "len")                                                                                            \
    X(mlock2, "addr", "len", "flags")                                                                                  \
    X(munlock, "addr", "len")                                                                                          \
    X(mlockall, "flags")                                                                                               \
    X(munlockall, NULL)                                                                                                \
    X(mseal, "addr", "len", "flags")                                                                                   \
    X(msync, "addr", "len", "flags")                                                                                   \
    X(mincore, "addr", "len")                                                                                          \
    X(remap_file_pages, "addr", "size", "prot", "pgoff", "flags")                                                      \
    X(shmat, "file", "size", "addr", "flags")                                                                          \
    X(shmdt, "addr")                                                                                                   \
    X(io_setup, "file", "len")                                                                                         \
    X(io_destroy, "context")                                                                                           \
    X(mbind, "addr", "len", "mode", "nodes", "max_node", "flags")                                                      \
    X(set_mempolicy, "mode", "nodes", "max_node")                                                                      \
    X(set_name, "addr", "len", "text")                                                                                 \
    X(set_mm, "field", "value")                                                                                        \
    X(thp_disable, "value")                                                                                            \
    X(mdwe, "value")                                                                                                   \
    X(memory_merge, "value")                                                                                           \
    X(personality, "value")                                                                                            \
    X(pkey_alloc, "flags", "rights")                                                                                   \
    X(pkey_free, "pkey")                                                                                               \
    X(uffd_register, "context", "mode", "addr", "len", "fork", "remap")                                                \
    X(uffd_unregister, "context", "addr", "len")                                                                       \
    X(uffd_close, "context")                                                                                           \
    X(map_special, "addr", "len", "flags", "text")                                                                     \
    X(fault, "addr", "access", "flags")                                                                                \
    X(pin, "pages")                                                                                                    \
    X(fork, "child")                                                                                                   \
    X(share, "child")                                                                                                  \
    X(exit, NULL)                                                                                                      \
    X(rlimit, "which", "soft", "hard")                                                                                 \
    X(capabilities, "value")                                                                                           \
    X(truncate, "file", "size")                                                                                        \
    X(seal, "file", "seals")

enum record_call {
#define RECORD_CALL_ID(call, ...) RECORD_##call,
    RECORD_CALLS(RECORD_CALL_ID)
#undef RECORD_CALL_ID
        RECORD_CALL_COUNT
};

/* The knobs of struct vmk_sysctl and the marks of struct vmk_mm_layout, by name. */
#define RECORD_SYSCTLS(X)                                                                                              \
    X(max_map_count)                                                                                                   \
    X(overcommit_memory)                                                                                               \
    X(overcommit_ratio)                                                                                                \
    X(overcommit_kbytes)                                                                                               \
    X(user_reserve_kbytes)                                                                                             \
    X(admin_reserve_kbytes)                                                                                            \
    X(total_ram_pages)                                                                                                 \
    X(total_swap_pages)                                                                                                \
    X(hugetlb_free_pages)                                                                                              \
    X(legacy_va_layout)                                                                                                \
    X(unprivileged_userfaultfd)                                                                                        \
    X(hugetlb_total_pages)
#define RECORD_MARKS(X)                                                                                                \
    X(start_code)                                                                                                      \
    X(end_code)                                                                                                        \
    X(start_data)                                                                                                      \
    X(end_data)                                                                                                        \
    X(start_brk)                                                                                                       \
    X(brk)                                                                                                             \
    X(start_stack)                                                                                                     \
    X(arg_start)                                                                                                       \
    X(arg_end)                                                                                                         \
    X(env_start)                                                                                                       \
    X(env_end)                                                                                                         \
    X(mmap_base)                                                                                                       \
    X(mmap_legacy_base)

/* The Vm* lines of status that an expectation may name, in kB: fields of struct kview_status. */
#define RECORD_STATUS(X)                                                                                               \
    X(peak)                                                                                                            \
    X(size)                                                                                                            \
    X(lck)                                                                                                             \
    X(pin)                                                                                                             \
    X(data)                                                                                                            \
    X(stk)                                                                                                             \
    X(exe)                                                                                                             \
    X(lib)

/* A signal as the result of a fault, with its si_code; code 0 is any. */
#define RECORD_SIGNAL(signo, code) ((int64_t)(signo) | (int64_t)(code) << 8)

enum { RECORD_RLIMIT_AS, RECORD_RLIMIT_DATA, RECORD_RLIMIT_STACK, RECORD_RLIMIT_MEMLOCK };

/* A number, or the result of an earlier event plus a number. */
struct record_value {
    uint64_t number;
    uint64_t event; /* from 1; 0: a number alone */
};

struct record_event {
    uint64_t number; /* from 1, counted over the whole record; set by reader and writer */
    uint64_t pid;
    enum record_call call;
    struct record_value args[RECORD_ARGS_MAX];
    const char *text; /* NULL for none */
    bool has_result;
    int64_t result; /* an address, a count, 0, or a negative errno (fault: 0 or a signal) */
};

struct record_file {
    uint64_t id;     /* not 0; one for each open file description */
    uint64_t object; /* one for each inode; 0: one of its own */
    enum vmk_object_kind kind;
    uint32_t mode;  /* enum vmk_file_mode */
    uint32_t seals; /* VMK_SEAL_* */
    uint32_t dev_major, dev_minor;
    uint64_t inode, nr_bytes;
    unsigned huge_shift;
    const char *name; /* as maps shows it; NULL for none */
};

/* A fresh address space: at the beginning, and at each exec. Its `area` lines follow. */
struct record_process {
    uint64_t pid;
    struct vmk_rlimits rlimits;
    uint32_t capabilities, personality;
    uint64_t peak_pages; /* VmPeak so far; 0: not known */
    struct vmk_mm_layout layout;
};

/* By VMK_ANON_*. */
enum { RECORD_ANON_WORDS = 4 };
extern const char *const record_anon_words[RECORD_ANON_WORDS];

struct record_area {
    vmk_addr start, end;
    vmk_vm_flags flags;
    uint64_t offset, file; /* bytes; id or 0 */
    int anon_vma;          /* VMK_ANON_* */
    const char *name;      /* of special areas ("[vdso]") and of PR_SET_VMA ("[anon:x]"); NULL for none */
};

/* ---- Writing ---- */

struct record_writer;

/* Creates a file ("-": standard output) and writes the header. 0 or -errno. */
int record_open(const char *path, struct record_writer **writer);
/* The same on a stream, which stays the caller's. */
int record_open_stream(FILE *stream, struct record_writer **writer);
/* Flushes, closes and frees. 0, or the first error of any write (-errno). */
int record_close(struct record_writer *writer);
/* Leaves results out ("= ?"), as if nobody had seen them. */
void record_strip_results(struct record_writer *writer, bool strip);

void record_comment(struct record_writer *writer, const char *text); /* one line: "# text" */
void record_settings(struct record_writer *writer, const struct vmk_settings *settings,
                     const struct vmk_sysctl *sysctl);
void record_file(struct record_writer *writer, const struct record_file *file);
void record_process(struct record_writer *writer, const struct record_process *process);
/* The areas of the process (or expectation) written last, ascending. */
void record_area(struct record_writer *writer, const struct record_area *area);
/* What follows as areas is what the address space must look like at this point; replay checks it. */
void record_expect(struct record_writer *writer, uint64_t pid);
/*
 * The same with the areas of a kernel's view; files by where `mm` has them. With KVIEW_STATUS in view->has the Vm* lines
 * are part of it.
 */
void record_expect_view(struct record_writer *writer, uint64_t pid, const struct kview *view, struct vmk_mm *mm);
/* Returns the event's number, for record_value.event of later ones. */
uint64_t record_call(struct record_writer *writer, const struct record_event *event);
/* All areas of an address space as it is, for record_process and record_expect; files by vmk_file_id. */
void record_areas_of(struct record_writer *writer, struct vmk_mm *mm);
/* All that an open file shows of itself; its mode is known to whoever made it. Texts are the file's. */
void record_file_of(struct record_file *line, struct vmk_file *file, uint32_t mode);
/* Fills in limits, marks and the rest from an address space. */
void record_process_of(struct record_process *process, uint64_t pid, struct vmk_mm *mm);

/* ---- Reading ---- */

enum record_kind {
    RECORD_SETTING, /* name, value */
    RECORD_SYSCTL,  /* name, value */
    RECORD_FILE,
    RECORD_PROCESS,
    RECORD_AREA,
    RECORD_EXPECT, /* pid in process.pid, status: what is not given is UINT64_MAX */
    RECORD_EVENT
};

/* One line. Texts belong to the reader and are valid until the next record_next. */
struct record_item {
    enum record_kind kind;
    size_t line;
    const char *name;
    uint64_t value;
    struct record_file file;
    struct record_process process;
    struct record_area area;
    struct record_event event;
    struct kview_status status;
};

struct record_reader {
    const char *text;
    size_t len, at, line;
    uint64_t nr_events;
    char what[200];                  /* why the line cannot be read */
    char name_text[RECORD_TEXT_MAX]; /* texts of the current item */
};

/* `text` must live as long as the reader. */
void record_reader_init(struct record_reader *reader, const char *text, size_t len);
/* Does the text begin with this format's header (of any version)? Otherwise it may be strace's output. */
bool record_is_record(const char *text, size_t len);
/* 1: *item is filled in; 0: the end; -1: reader->line cannot be read, for the reason in reader->what. */
int record_next(struct record_reader *reader, struct record_item *item);

/* ---- Names ---- */

const char *record_call_name(enum record_call call);
/* Name of argument i; NULL past the last. */
const char *record_arg_name(enum record_call call, size_t i);
/* By name: -1 when there is none of that name. */
int record_call_find(const char *name, size_t len);
/*
 * A value of an argument as text: names of flags where the argument has some ("PROT_READ|PROT_WRITE"), else a number.
 * Returns the length that it would have.
 */
size_t record_format_arg(enum record_call call, size_t i, struct record_value value, char *buffer, size_t size);
/* Names, numbers and '|' between them, as strace and this format write them; false: *bad points at what is unknown. */
bool record_parse_flags(const char *text, size_t len, uint64_t *value, const char **bad);
/* "SIGBUS", "SEGV_MAPERR" for the result of a fault; NULL for what is no signal. */
const char *record_signal_name(int64_t result);
/* "ENOMEM" for 12; NULL for an unknown one. */
const char *record_errno_name(int number);
int record_errno_find(const char *name, size_t len); /* 0 when unknown */

#endif
