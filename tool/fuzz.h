/* SPDX-License-Identifier: MIT */
/*
 * fuzz.h - the oracle: random operation sequences, run by a process on the kernel and by the engine, compared
 * after each operation.
 *
 *     fuzz.c          options, the loop, the summary
 *     fuzz_gen.c      what to do next: a weighted random generator that looks at the kernel's map
 *     fuzz_scenes.c   short scenarios that chance seldom brings together
 *     fuzz_range.c    addresses and ranges for it, honest and hostile
 *     fuzz_child.c    the process on the real kernel: starting it, asking it, reading its /proc files
 *     fuzz_worker.c   what runs inside that process: no libc, no writable data of its own
 *     fuzz_files.c    the files, segments and the like that sequences use
 *     fuzz_engine.c   the same operation on the engine
 *     fuzz_compare.c  result, map, flags and status of both
 *     fuzz_record.c   a sequence as a recording for vmakit replay
 *     fuzz_transcript.c  what the kernel's side did, comparable between two runs
 *     fuzz_shrink.c   fewer operations that still diverge
 *     fuzz_table.c    names of calls, text form of sequences, call and errno table
 */
#ifndef VMAKIT_TOOL_FUZZ_H
#define VMAKIT_TOOL_FUZZ_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "vmakit/vmakit.h"

/* ---- Operations ---- */

/* X(id, name, number of arguments, format of each argument): p address, l length, x hex, d decimal, f file. */
#define FUZZ_CALLS(X)                                                                                                  \
    X(MMAP, "mmap", 6, "plxxfx")                                                                                       \
    X(MUNMAP, "munmap", 2, "pl")                                                                                       \
    X(MPROTECT, "mprotect", 3, "plx")                                                                                  \
    X(PKEY_MPROTECT, "pkey_mprotect", 4, "plxd")                                                                       \
    X(PKEY_ALLOC, "pkey_alloc", 2, "xx")                                                                               \
    X(PKEY_FREE, "pkey_free", 1, "d")                                                                                  \
    X(MREMAP, "mremap", 5, "pllxp")                                                                                    \
    X(BRK, "brk", 1, "p")                                                                                              \
    X(MLOCK, "mlock", 2, "pl")                                                                                         \
    X(MLOCK2, "mlock2", 3, "plx")                                                                                      \
    X(MUNLOCK, "munlock", 2, "pl")                                                                                     \
    X(MLOCKALL, "mlockall", 1, "x")                                                                                    \
    X(MUNLOCKALL, "munlockall", 0, "")                                                                                 \
    X(MSEAL, "mseal", 3, "plx")                                                                                        \
    X(MSYNC, "msync", 3, "plx")                                                                                        \
    X(MINCORE, "mincore", 2, "pl")                                                                                     \
    X(MADVISE, "madvise", 3, "pld")                                                                                    \
    X(PROCESS_MADVISE, "process_madvise", 6, "dplplx") /* advice, two ranges, flags */                                 \
    X(REMAP_FILE_PAGES, "remap_file_pages", 5, "plxxx")                                                                \
    X(SHMAT, "shmat", 3, "dpx")                                                                                        \
    X(SHMDT, "shmdt", 1, "p")                                                                                          \
    X(IO_SETUP, "io_setup", 1, "d")                                                                                    \
    X(IO_DESTROY, "io_destroy", 1, "p")                                                                                \
    X(MBIND, "mbind", 6, "plxxxx") /* address, length, mode, nodes, max_node, flags */                                 \
    X(SET_MEMPOLICY, "set_mempolicy", 3, "xxx")                                                                        \
    X(UFFD_OPEN, "uffd_open", 2, "dx") /* slot, features */                                                            \
    X(UFFD_REGISTER, "uffd_register", 4, "dplx")                                                                       \
    X(UFFD_UNREGISTER, "uffd_unregister", 3, "dpl")                                                                    \
    X(UFFD_CLOSE, "uffd_close", 1, "d")                                                                                \
    X(NAME, "prctl_set_vma", 2, "pl")                                                                                  \
    X(SET_MM, "prctl_set_mm", 2, "dp")                                                                                 \
    X(THP_DISABLE, "prctl_thp_disable", 1, "x")                                                                        \
    X(MDWE, "prctl_mdwe", 1, "x")                                                                                      \
    X(MEMORY_MERGE, "prctl_memory_merge", 1, "x")                                                                      \
    X(PERSONALITY, "personality", 1, "x")                                                                              \
    X(SETRLIMIT, "setrlimit", 3, "dll")                                                                                \
    X(TOUCH_READ, "read", 1, "p")                                                                                      \
    X(TOUCH_WRITE, "write", 1, "p")                                                                                    \
    X(TOUCH_EXEC, "execute", 1, "p")                                                                                   \
    X(COPY_OUT, "copy_to", 1, "p")  /* a system call reads a byte of user memory */                                    \
    X(COPY_IN, "copy_from", 1, "p") /* a system call writes a byte to user memory */                                   \
    X(PROC_MEM_READ, "proc_mem_read", 1, "p")                                                                          \
    X(PROC_MEM_WRITE, "proc_mem_write", 1, "p")                                                                        \
    X(FORK_CHILD, "fork_child", 0, "")   /* the child goes on */                                                       \
    X(FORK_PARENT, "fork_parent", 0, "") /* the child exits at once, the parent goes on */                             \
    X(FTRUNCATE, "ftruncate", 2, "fl")                                                                                 \
    X(CAPSET, "drop_cap_ipc_lock", 0, "")                                                                              \
    X(SPLIT, "split_areas", 2, "pd") /* many mprotects: every second page becomes read-only; the result is how many */

enum fuzz_call {
#define FUZZ_CALL_ID(id, name, nr, format) FUZZ_##id,
    FUZZ_CALLS(FUZZ_CALL_ID)
#undef FUZZ_CALL_ID
        FUZZ_NR_CALLS
};

enum { FUZZ_MAX_ARGS = 6, FUZZ_MAX_OPS = 1000, FUZZ_MAX_DEPTH = 6, FUZZ_NR_UFFD = 2 };

struct fuzz_op {
    uint32_t call; /* enum fuzz_call */
    uint64_t arg[FUZZ_MAX_ARGS];
};

/*
 * The result of an operation: what the raw system call returns (negative errno), or FUZZ_SIGNAL(signal, si_code) of a
 * touch.
 */
typedef int64_t fuzz_result;
#define FUZZ_SIGNAL(signo, code) (-(int64_t)(0x100000 + (signo)*0x1000 + (code)))
#define FUZZ_HUNG                (-(int64_t)0x200000)
#define FUZZ_UNSUPPORTED         (-(int64_t)0x200001) /* the engine refuses what Linux does */

/* What a sequence starts with. */
struct fuzz_config {
    uint64_t seed;
    bool drop_ipc_lock;
    uint64_t limit_as, limit_data, limit_stack, limit_memlock; /* bytes */
};

/* The hard limits of this process, which stay those of every worker. */
struct fuzz_hard_limits {
    uint64_t as, data, stack, memlock;
};
void fuzz_hard_limits(struct fuzz_hard_limits *limits);

struct fuzz_sequence {
    struct fuzz_config config;
    size_t nr_ops;
    struct fuzz_op ops[FUZZ_MAX_OPS];
};

/* Addresses that every worker has in common. */
#define FUZZ_COMM_ADDRESS UINT64_C(0x700000000000) /* control block, buffers and stacks; shared with the worker */
#define FUZZ_COMM_BYTES   UINT64_C(0x20000)
#define FUZZ_ARENA        UINT64_C(0x200000000)
#define FUZZ_STACKS       UINT64_C(0x300000000) /* areas that grow down live here, far enough from each other */
#define FUZZ_PAGE         UINT64_C(4096)
#define FUZZ_HUGE         UINT64_C(0x200000)

#define FUZZ_AREA_NAME "vmakit" /* what PR_SET_VMA gives */

const char *fuzz_call_name(uint32_t call);
unsigned fuzz_call_nr_args(uint32_t call);
int fuzz_call_find(const char *name); /* -1 for none */
void fuzz_op_print(FILE *out, const struct fuzz_op *op);
void fuzz_result_text(fuzz_result result, char *buffer, size_t size);
/* "ENOMEM" for 12 or -12. */
const char *fuzz_errno_name(int64_t error);

int fuzz_sequence_write(FILE *out, const struct fuzz_sequence *sequence);
/* 0, or the number of the line that cannot be read. */
size_t fuzz_sequence_read(FILE *in, struct fuzz_sequence *sequence);

/* What a call may come to: success, an errno, a signal with its code. */
enum fuzz_cell {
    FUZZ_CELL_OK = 0,
    FUZZ_MAX_ERRNO = 136, /* 1 to 135 */
    FUZZ_CELL_MAPERR = FUZZ_MAX_ERRNO,
    FUZZ_CELL_ACCERR,
    FUZZ_CELL_BUS,
    FUZZ_CELL_OTHER_SIGNAL,
    FUZZ_NR_CELLS
};
struct fuzz_table {
    uint64_t hits[FUZZ_NR_CALLS][FUZZ_NR_CELLS];
};
void fuzz_table_count(struct fuzz_table *table, uint32_t call, fuzz_result result);
void fuzz_table_print(FILE *out, const struct fuzz_table *table);
/* Per cent of operations that succeed. */
double fuzz_table_success(const struct fuzz_table *table);
/* The cells that the generator reaches on this kernel, as rows of a Markdown table: that of docs/testing.md. */
void fuzz_cells_print(FILE *out);
/* Names each of these cells that has fewer hits than `least`; returns how many there are. */
unsigned fuzz_cells_check(FILE *out, const struct fuzz_table *table, uint64_t least);

/* ---- Random numbers ---- */

struct fuzz_random {
    uint64_t state;
};
uint64_t fuzz_next(struct fuzz_random *random);
/* 0 .. bound - 1 */
uint64_t fuzz_below(struct fuzz_random *random, uint64_t bound);
/* True in `percent` of 100 cases. */
bool fuzz_chance(struct fuzz_random *random, unsigned percent);

/* ---- Files ---- */

enum fuzz_file_id {
    FUZZ_FILE_NONE = -1,
    FUZZ_FILE_DISK = 0,    /* a file on disk, read and write */
    FUZZ_FILE_DISK_DUP,    /* dup of it */
    FUZZ_FILE_DISK_SECOND, /* a second open */
    FUZZ_FILE_DISK_RDONLY,
    FUZZ_FILE_DISK_WRONLY,
    FUZZ_FILE_PATH,
    FUZZ_FILE_MEMFD,
    FUZZ_FILE_MEMFD_RDONLY,
    FUZZ_FILE_SEALED,        /* F_SEAL_WRITE */
    FUZZ_FILE_SEALED_FUTURE, /* F_SEAL_FUTURE_WRITE */
    FUZZ_FILE_ZERO,
    FUZZ_FILE_NULL,
    FUZZ_FILE_DIRECTORY,
    FUZZ_FILE_PIPE,
    FUZZ_FILE_SECRET,
    FUZZ_FILE_TMPFS,
    FUZZ_FILE_NOEXEC,
    FUZZ_FILE_BAD, /* no such descriptor */
    FUZZ_NR_FILES
};
enum { FUZZ_NR_SEGMENTS = 3 };

struct fuzz_file {
    int fd;
    bool usable;
    uint64_t nr_bytes; /* at the start of each sequence */
    uint32_t dev_major, dev_minor;
    uint64_t inode;
    char path[160]; /* as maps shows it */
    uint32_t mode;  /* enum vmk_file_mode */
    uint32_t seals;
    enum vmk_object_kind kind;
};

struct fuzz_segment {
    int id;
    uint64_t size;
    uint32_t dev_major, dev_minor;
    uint64_t inode;
    char path[64];
};

struct fuzz_files {
    struct fuzz_file file[FUZZ_NR_FILES];
    struct fuzz_segment segment[FUZZ_NR_SEGMENTS];
    uint32_t aio_major, aio_minor;
    uint32_t anon_major, anon_minor; /* of shared anonymous memory */
    char left_out[512];              /* what cannot be had here */
};
/* Opens everything; what cannot be had is noted in left_out. 0 or -errno. */
int fuzz_files_open(struct fuzz_files *files);
void fuzz_files_close(struct fuzz_files *files);
/* Sizes and contents as at the start. */
void fuzz_files_reset(const struct fuzz_files *files);

/* ---- The process on the real kernel ---- */

struct fuzz_area {
    uint64_t start, end, offset, inode;
    char perms[5];
    const char *line;  /* start-end perms offset dev inode name, without newline */
    const char *flags; /* the VmFlags, without trailing blank */
    const char *name;
};
enum { FUZZ_MAX_AREAS = 70000 };

/* What /proc shows of the process: smaps and status. */
struct fuzz_view {
    char *text;
    size_t text_room;
    char status[4096];
    struct fuzz_area *areas;
    size_t nr_areas, room;
};

struct fuzz_comm;
struct fuzz_child {
    struct fuzz_comm *comm;
    int comm_fd;
    uint32_t comm_major, comm_minor;
    uint64_t comm_inode;
    pid_t zygote;
    pid_t chain[FUZZ_MAX_DEPTH + 1]; /* the worker and its descendants; the last one runs */
    unsigned depth;
    int smaps_fd, status_fd, pagemap_fd; /* of the one that runs */
    uint64_t start_brk;
    int uffd[FUZZ_NR_UFFD];
    const struct fuzz_files *files;
};

/* Starts the zygote; call once, with no threads. 0 or -errno. */
int fuzz_child_init(struct fuzz_child *child, const struct fuzz_files *files);
void fuzz_child_exit(struct fuzz_child *child);
/* A fresh worker under `config`; ends the one before. 0 or -errno. */
int fuzz_child_begin(struct fuzz_child *child, const struct fuzz_config *config);
/* Ends the worker and its descendants. */
void fuzz_child_end(struct fuzz_child *child);
fuzz_result fuzz_child_run(struct fuzz_child *child, const struct fuzz_op *op);
int fuzz_child_read(struct fuzz_child *child, struct fuzz_view *view);
void fuzz_view_free(struct fuzz_view *view);
/* The area that ends above an address, or NULL. */
const struct fuzz_area *fuzz_view_find(const struct fuzz_view *view, uint64_t address);

/* Presence of pages before an operation: the only thing that the engine is told besides the arguments. */
struct fuzz_presence {
    bool present, swapped, guard; /* of the page touched */
    bool has_table;               /* some page of the same huge page is present */
    bool cached;                  /* in the page cache; asked for areas of userfaultfd only */
};
void fuzz_child_presence(struct fuzz_child *child, const struct fuzz_view *view, uint64_t address,
                         struct fuzz_presence *presence);

/* Marks of the layout from /proc/PID/stat. */
int fuzz_child_layout(struct fuzz_child *child, struct vmk_mm_layout *layout);

/* ---- The engine ---- */

struct fuzz_engine;
struct fuzz_engine *fuzz_engine_create(const struct fuzz_files *files);
void fuzz_engine_destroy(struct fuzz_engine *engine);
/* Begins with what the kernel shows now. 0 or negative. */
int fuzz_engine_begin(struct fuzz_engine *engine, const struct fuzz_config *config, struct fuzz_child *child,
                      const struct fuzz_view *view);
/* Ends a sequence; returns the number of broken invariants, the first named in `why`. */
unsigned fuzz_engine_end(struct fuzz_engine *engine, char *why, size_t size);
fuzz_result fuzz_engine_run(struct fuzz_engine *engine, const struct fuzz_op *op, const struct fuzz_presence *presence,
                            fuzz_result kernel);
struct vmk_mm *fuzz_engine_mm(struct fuzz_engine *engine);
struct vmk_system *fuzz_engine_system(struct fuzz_engine *engine);
/* The open file of an enum fuzz_file_id, borrowed; NULL when it cannot be had. */
struct vmk_file *fuzz_engine_file(const struct fuzz_engine *engine, int id);
/* The access that a touch is. */
void fuzz_engine_access(const struct fuzz_op *op, const struct fuzz_presence *presence,
                        struct vmk_fault_request *request);
/* The size of io_setup's ring. */
uint64_t fuzz_engine_ring_bytes(const struct fuzz_engine *engine, uint64_t nr_events);
struct fuzz_range {
    uint64_t address, len;
};
/* The ranges of a process_madvise as the kernel looks at them; 0 when it refuses them before. */
size_t fuzz_engine_vector(const uint64_t *arg, struct fuzz_range ranges[2]);

/* ---- Comparison ---- */

struct fuzz_difference {
    char what[640];
};
/* Forgets which inode of the kernel is which of the engine. */
void fuzz_compare_begin(void);
/* True when map, flags and status agree. */
bool fuzz_compare(const struct fuzz_view *view, struct vmk_mm *mm, struct fuzz_difference *difference);
void fuzz_print_both(FILE *out, const struct fuzz_view *view, struct vmk_mm *mm);

/* ---- Generator ---- */

/* X(reason, text): operations that were chosen and are then not run; the summary counts them. */
#define FUZZ_LEFT_OUT(X)                                                                                               \
    X(WORKER, "changes to the text, the constants and the shared block of the worker itself")                          \
    X(VVAR, "accesses to [vvar]: they depend on the machine's clocks")                                                 \
    X(PAGE_0, "a system call's reads at address 0: the kernel takes it for none before it looks")                      \
    X(RING, "writes into an aio ring, and remap_file_pages of one: its bytes are the kernel's")                        \
    X(LOST_RING, "io_destroy of a ring that was covered: it depends on the bytes that lie there")                      \
    X(EXECUTE, "execution of the kernel's own areas and of rings: they hold no zeros")                                 \
    X(COLLAPSE, "MADV_COLLAPSE of whole huge pages: it depends on the pages")                                          \
    X(MINCORE, "mincore of more than 16 MiB and less than all: its answer has no room")                                \
    X(GUARDS,                                                                                                          \
      "MADV_POPULATE where guard pages or userfaultfd may lie, and guard pages elsewhere: they stop at a page")        \
    X(BRK, "a break below the program: it would change the worker")

enum fuzz_left_out {
    FUZZ_LEFT_NONE,
#define FUZZ_LEFT_ID(reason, text) FUZZ_LEFT_##reason,
    FUZZ_LEFT_OUT(FUZZ_LEFT_ID)
#undef FUZZ_LEFT_ID
        FUZZ_NR_LEFT_OUT
};

struct fuzz_generator {
    struct fuzz_random random;
    const struct fuzz_files *files;
    const bool *enabled; /* by call; NULL: all */
    struct fuzz_config config;
    struct fuzz_hard_limits hard;
    unsigned arena_pages;
    uint64_t start_brk, brk;
    uint64_t text_start, text_end;   /* of the worker: nothing may change it */
    uint32_t prots[3], map_flags[3]; /* what this sequence prefers, so that neighbours often could merge */
    int fd[3];
    uint64_t contexts[4]; /* of io_setup */
    unsigned depth, step, nr_ops;
    unsigned weight[FUZZ_NR_CALLS];
    struct fuzz_op queue[20]; /* a small scenario, to be done before anything else */
    unsigned nr_queue, at_queue;
    bool uffd_open[FUZZ_NR_UFFD];
    bool growing; /* this sequence is about stacks */
    bool guards;  /* it has guard pages and userfaultfd, and nothing that fails at a page */
    uint64_t left_out[FUZZ_NR_LEFT_OUT];
};
void fuzz_generator_config(struct fuzz_config *config, uint64_t seed, uint64_t index);
void fuzz_generator_begin(struct fuzz_generator *generator, const struct fuzz_config *config);
void fuzz_generate(struct fuzz_generator *generator, const struct fuzz_view *view, struct fuzz_op *op);
/* The generator learns how its operation went. */
void fuzz_generator_learn(struct fuzz_generator *generator, const struct fuzz_op *op, fuzz_result result);

/* Queues, now and then, a few operations that chance alone would seldom bring together; from fuzz_scenes.c. */
void fuzz_queue_scene(struct fuzz_generator *generator, const struct fuzz_view *view);

/* Ranges, from fuzz_range.c. */
uint64_t fuzz_pick_page(struct fuzz_generator *generator);
void fuzz_pick_range(struct fuzz_generator *generator, const struct fuzz_view *view, uint64_t *address, uint64_t *len);
/* An area that the worker does not need; NULL when there is none. */
const struct fuzz_area *fuzz_pick_area(struct fuzz_generator *generator, const struct fuzz_view *view);
/* An address to touch: in or near an area. */
uint64_t fuzz_pick_touch(struct fuzz_generator *generator, const struct fuzz_view *view);
/* Makes one of the two hostile in one of `odds` cases: unaligned, wrapping, huge, zero. */
void fuzz_make_odd(struct fuzz_generator *generator, unsigned odds, uint64_t *address, uint64_t *len);
/* A number of the kB lines of status, in bytes. */
uint64_t fuzz_view_status(const struct fuzz_view *view, const char *name);
/* Would a call that changes [address, address + len) hurt the worker itself? */
bool fuzz_hurts(const struct fuzz_generator *generator, uint64_t address, uint64_t len);
/* Why an operation is not run, if so. */
enum fuzz_left_out fuzz_op_left_out(const struct fuzz_generator *generator, const struct fuzz_view *view,
                                    const struct fuzz_op *op);

/* ---- Recordings ---- */

struct fuzz_record;
/* 0 or -errno. */
int fuzz_record_open(const char *path, struct fuzz_record **record);
/* When the first map is known to be the same. */
void fuzz_record_begin(struct fuzz_record *record, struct fuzz_engine *engine, const struct fuzz_files *files);
/* An operation, after both have run it. */
void fuzz_record_step(struct fuzz_record *record, const struct fuzz_op *op, const struct fuzz_presence *presence,
                      fuzz_result kernel);
/* The kernel's map and status, as they are now. */
void fuzz_record_end(struct fuzz_record *record, const struct fuzz_child *child);
/* 0, or the first error of any write (-errno). */
int fuzz_record_close(struct fuzz_record *record);
/* Replays a recording in this process: in how many places the engine differs. 0 or -errno. */
int fuzz_record_replay(const char *path, uint64_t *nr_different);

/* ---- Transcripts ---- */

struct fuzz_transcript;
/* 0 or -errno. */
int fuzz_transcript_open(const char *path, struct fuzz_transcript **transcript);
/* The map that a sequence begins with. */
void fuzz_transcript_begin(struct fuzz_transcript *transcript, const struct fuzz_config *config,
                           const struct fuzz_view *view);
/* An operation, and the map after it. */
void fuzz_transcript_step(struct fuzz_transcript *transcript, const struct fuzz_op *op, fuzz_result kernel,
                          const struct fuzz_view *view);
/* 0, or an error of any write (-errno). NULL is allowed. */
int fuzz_transcript_close(struct fuzz_transcript *transcript);

/* ---- One sequence ---- */

/* Is it an access to memory, about whose page the engine is told? */
bool fuzz_op_touches(uint32_t call);

struct fuzz_run {
    struct fuzz_child *child;
    struct fuzz_engine *engine;         /* NULL: the kernel only */
    struct fuzz_table *table;           /* NULL: do not count */
    struct fuzz_record *record;         /* NULL: none is written */
    struct fuzz_transcript *transcript; /* the same */
    struct fuzz_view view;
    uint64_t nr_ops;
    uint64_t areas_seen[FUZZ_MAX_AREAS + 1]; /* how often a map had so many areas */
    bool verbose;
    bool broken;                       /* the harness itself failed */
    uint64_t text_start, text_end;     /* of the worker */
    struct fuzz_difference difference; /* of the last divergence */
    size_t failed_at;                  /* index of the operation */
};
/*
 * Runs a sequence: generated by `generator` into `sequence`, or as it stands when that is NULL. Returns 1 for a
 * divergence (run->difference), 0 for none, negative errno when the harness itself fails.
 */
int fuzz_run_sequence(struct fuzz_run *run, struct fuzz_sequence *sequence, struct fuzz_generator *generator,
                      size_t nr_ops);
/* Makes `sequence` smaller while it still diverges. Returns the number of runs. */
unsigned fuzz_shrink(struct fuzz_run *run, struct fuzz_sequence *sequence);

#endif
