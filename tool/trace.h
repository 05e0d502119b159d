/* SPDX-License-Identifier: MIT */
/*
 * trace.h - inside `vmakit trace` and `vmakit run`: a program under ptrace, each memory call of which goes to the engine.
 * In trace the kernel decides and the engine predicts; in run (run.h) the engine decides. struct trace_mode is the
 * difference.
 *
 *   trace.c          the command trace: options, the summary; the tracer's life
 *   trace_ptrace.c   starting the program, the stop loop, holding threads back
 *   trace_filter.c   the seccomp filter
 *   trace_untraced.c CLONE_UNTRACED
 *   trace_process.c  tasks, processes, address spaces: their coming and going
 *   trace_calls.c    from a system call to an engine request, and its result
 *   trace_files.c    open file descriptions and what they open
 *   trace_pages.c    what the engine cannot know: written pages, grown stacks
 *   trace_access.c   --accesses: memory that the kernel could not reach for the program
 *   trace_check.c    comparing with the kernel, reporting a divergence
 *   trace_report.c   the page of --report, the shadow of --page-size
 *   trace_record.c   the record, and the last calls for a divergence's report
 *   trace_ARCH.c     what differs between architectures: registers, numbers of calls
 *
 * Order of the engine = order of the kernel: of the tasks that share an address space only one at a time is inside a
 * memory call (trace_space.owner), and the others that could touch memory are stopped meanwhile.
 */
#ifndef VMAKIT_TOOL_TRACE_H
#define VMAKIT_TOOL_TRACE_H

#include <linux/audit.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "caller.h"
#include "kview.h"
#include "layout.h"
#include "record.h"
#include "report.h"
#include "shadow.h"
#include "trace_arch.h"
#include "vmakit/vmakit.h"

struct tracer;
struct trace_task;
struct trace_call;

/* ---- System calls ---- */

/* X(kind, name): the calls that the filter stops. The kind travels in the filter's return data. */
#define TRACE_CALLS(X)                                                                                                 \
    X(MMAP, mmap)                                                                                                      \
    X(MUNMAP, munmap)                                                                                                  \
    X(MPROTECT, mprotect)                                                                                              \
    X(PKEY_MPROTECT, pkey_mprotect)                                                                                    \
    X(MREMAP, mremap)                                                                                                  \
    X(BRK, brk)                                                                                                        \
    X(MADVISE, madvise)                                                                                                \
    X(PROCESS_MADVISE, process_madvise)                                                                                \
    X(MLOCK, mlock)                                                                                                    \
    X(MLOCK2, mlock2)                                                                                                  \
    X(MUNLOCK, munlock)                                                                                                \
    X(MLOCKALL, mlockall)                                                                                              \
    X(MUNLOCKALL, munlockall)                                                                                          \
    X(MSEAL, mseal)                                                                                                    \
    X(MSYNC, msync)                                                                                                    \
    X(MINCORE, mincore)                                                                                                \
    X(REMAP_FILE_PAGES, remap_file_pages)                                                                              \
    X(SHMAT, shmat)                                                                                                    \
    X(SHMDT, shmdt)                                                                                                    \
    X(IO_SETUP, io_setup)                                                                                              \
    X(IO_DESTROY, io_destroy)                                                                                          \
    X(MBIND, mbind)                                                                                                    \
    X(SET_MEMPOLICY, set_mempolicy)                                                                                    \
    X(SET_MEMPOLICY_HOME_NODE, set_mempolicy_home_node)                                                                \
    X(PKEY_ALLOC, pkey_alloc)                                                                                          \
    X(PKEY_FREE, pkey_free)                                                                                            \
    X(MAP_SHADOW_STACK, map_shadow_stack)                                                                              \
    X(PRCTL, prctl)                                                                                                    \
    X(ARCH_PRCTL, arch_prctl)                                                                                          \
    X(PERSONALITY, personality)                                                                                        \
    X(SETRLIMIT, setrlimit)                                                                                            \
    X(PRLIMIT64, prlimit64)                                                                                            \
    X(IOCTL, ioctl)                                                                                                    \
    X(TRUNCATE, truncate)                                                                                              \
    X(FTRUNCATE, ftruncate)                                                                                            \
    X(CAPSET, capset)                                                                                                  \
    X(SETUID, setuid)                                                                                                  \
    X(SETREUID, setreuid)                                                                                              \
    X(SETRESUID, setresuid)                                                                                            \
    X(FORK, fork)                                                                                                      \
    X(VFORK, vfork)                                                                                                    \
    X(CLONE, clone)                                                                                                    \
    X(CLONE3, clone3)                                                                                                  \
    X(EXECVE, execve)                                                                                                  \
    X(EXECVEAT, execveat)                                                                                              \
    X(PTRACE, ptrace)                                                                                                  \
    X(GETRLIMIT, getrlimit)                                                                                            \
    X(OPEN, open)                                                                                                      \
    X(OPENAT, openat)                                                                                                  \
    X(OPENAT2, openat2)                                                                                                \
    X(LSEEK, lseek)                                                                                                    \
    X(PREAD64, pread64)                                                                                                \
    X(SCHED_SETAFFINITY, sched_setaffinity)                                                                            \
    X(SCHED_GETAFFINITY, sched_getaffinity)                                                                            \
    X(ACCESS_READ, read)                                                                                               \
    X(ACCESS_WRITE, write)                                                                                             \
    X(ACCESS_PREAD, pread64)                                                                                           \
    X(ACCESS_PWRITE, pwrite64)

enum trace_call_kind {
    TRACE_CALL_NONE,
#define TRACE_CALL_KIND(kind, name) TRACE_CALL_##kind,
    TRACE_CALLS(TRACE_CALL_KIND)
#undef TRACE_CALL_KIND
        TRACE_CALL_FOREIGN, /* of another architecture's table: int 0x80, x32 */
    TRACE_CALL_COUNT
};

const char *trace_call_name(enum trace_call_kind kind);

/* What the return value of a call is compared with. */
enum trace_expect {
    TRACE_EXPECT_ANY,    /* the engine does not say */
    TRACE_EXPECT_STATUS, /* 0 or the error */
    TRACE_EXPECT_VALUE,  /* the value, or the error */
    TRACE_EXPECT_BREAK,  /* brk: always the value */
    TRACE_EXPECT_AIO     /* status, and the context written to memory */
};

/* run: a file of /proc that the program opens, and whose. */
enum trace_proc_file { TRACE_PROC_NONE, TRACE_PROC_MAPS, TRACE_PROC_SMAPS, TRACE_PROC_STATUS };
struct trace_proc {
    enum trace_proc_file file;
    pid_t tid;
};

/* What the kernel's areas show when a call has been done: [start, end) is nothing, or of one area like this. */
struct trace_sign {
    vmk_addr start, end;
    bool is_mapped;
    vmk_vm_flags flags; /* those that maps shows */
    bool is_of_map;     /* these two count as well */
    bool has_file;
    uint64_t offset; /* in the file, of start; bytes */
};

/* A call in progress. */
struct trace_call {
    enum trace_call_kind kind;
    uint64_t number, pc; /* the kernel's number of it, and where it returns to */
    uint64_t args[6];
    struct caller caller; /* --report, --page-size */
    uint64_t clone_flags, uffd_features;
    uint64_t file, file_size; /* for the record: id of the file, size of a segment or ring */
    int file_error;
    uint64_t nodes, uffd[3], uffd_context;
    char name[VMK_VMA_NAME_MAX];
    struct trace_proc proc;
    bool mirrored; /* the engine ran it: counted */
    bool placed;   /* the kernel chooses the address */
    bool drawn;    /* only the kernel can know the address: the engine runs the call when it has ended */
    enum trace_expect expect;
    bool late_writes; /* of others are looked for at its end, to its range; it leaves nothing there to write to */
    bool two_phase;   /* asked for: the engine only prepares the call, in task->plan */
    bool touched;     /* run: the engine has changed something already, whatever the result */
    bool open;        /* a part is prepared there: otherwise the result is there */
    int part_error;   /* of vmk_plan_part */
    int page_error;   /* what a guard page in the way makes the kernel return */
    struct vmk_result result;
    char text[160]; /* "mmap(0, 8192, 3, 34, -1, 0)" */
};

/* ---- Files ---- */

struct trace_object;
struct trace_file;

/* Open file descriptions that are mapped somewhere, by device and inode. */
struct trace_files {
    struct trace_object *buckets[256];
    struct trace_file *last; /* that was asked for by descriptor; NULL: none that is still mapped */
    uint64_t next_id;
    bool kcmp_missing;
};

/* ---- Address spaces, processes, tasks ---- */

struct trace_space {
    struct trace_space *next;
    struct vmk_mm *mm;
    unsigned nr_tasks;
    struct trace_task *owner;           /* inside a memory call; others wait */
    const struct trace_process *limits; /* whose limits the engine has now */
    unsigned limits_generation;
    int maps_fd, pagemap_fd; /* of /proc; they follow the address space, not the process */
    bool lost;               /* diverged, or something that cannot be mirrored: let run, no longer compared */
    bool unfinished;         /* a task was killed inside a call: nobody knows whether it happened */
    bool uses_uffd;
    uint64_t uffd_features;
    struct {
        uint64_t context; /* the inode of its file; 0: a free place */
        pid_t tgid;
        int fd;
    } uffds[8];
    struct trace_origin *origins;
    uint32_t personality;
    uint64_t imported_peak;              /* VmPeak at execve, kB: it may be higher than what was mapped */
    struct trace_short *recent, *before; /* trace_record.c: the last calls, for a divergence */
    struct record_event modes[5]; /* there too: what the areas do not show, as the calls that set it; no pid: not set */
    bool changed;                 /* since the last comparison */
    bool has_other_flags;         /* run: a call may have set flags that maps does not show */
    uint64_t since_check;
};

struct trace_process {
    struct trace_process *next;
    pid_t tgid;
    char name[32];
    unsigned nr_tasks;
    uint64_t seed; /* of the next layout */
    bool ignored;  /* --follow=no: a child that only has to be kept going */
    struct vmk_rlimits rlimits;
    unsigned limits_generation;
    uint64_t calls[TRACE_CALL_COUNT], nr_calls;
    uint64_t nr_placed, nr_predicted, divergences;
    uint64_t areas, peak_areas;
    char *report; /* --json: the last map, as text */
};

/* run: a call whose decision is being carried out. */
struct trace_apply {
    struct trace_regs before; /* at the entry */
    bool known;               /* they have been read */
    bool changed;             /* the task has others now */
    bool repeated;            /* a second call has been put in; signals are blocked, and were `signals` */
    bool is_cut;              /* the kernel is to fail as the engine will */
    bool is_plain;            /* it is to do nothing that it could fail at by itself */
    struct trace_sign sign;   /* of its having been done; only where is_plain */
    uint64_t signals;
    uint64_t args[6]; /* what the kernel gets */
    int64_t wanted;   /* what it should return */
    int kernel_error; /* of a part that counts nevertheless (mlock) */
    vmk_addr cursor;  /* end of the last part */
};

enum trace_state {
    TRACE_NEW, /* stopped at its first stop, its parent's event has not come yet */
    TRACE_RUNNING,
    TRACE_HELD,     /* stopped; its stop waits until the owner of its space is done */
    TRACE_IN_CALL,  /* the owner, on its way to the end of a call */
    TRACE_EXECUTED, /* on its way to the end of execve: its image is moved there */
    TRACE_EXITING,
    TRACE_ENDED
};

/* --accesses: a call that copies from or to memory, on its way to its end, and not alone with its space. */
struct trace_access {
    bool awaited;
    enum trace_call_kind kind;
    bool buffer_could_fail;
    vmk_addr buffer;
    uint64_t len;
    pid_t target; /* whose memory the file is (/proc/PID/mem), or 0 */
    vmk_addr position;
};

struct trace_task {
    struct trace_task *next;
    pid_t tid;
    struct trace_process *process;
    struct trace_space *space;
    enum trace_state state;
    bool known;         /* its parent's event came */
    bool stopped_early; /* its first stop came before that */
    int held_status;
    bool is_vforked; /* its parent slept until it executed a program */
    int pidfd;
    int stat_fd, sched_fd; /* of /proc */
    uint64_t waited;       /* run: for a processor, when it was looked at last; ns */
    struct trace_call call;
    struct trace_access access;
    struct vmk_plan plan;  /* run: of the call in progress */
    struct vmk_mm *forked; /* run: the child's address space, until the child is there */
    struct trace_apply apply;
    bool leaves;                      /* run: what it executes now is left to the kernel */
    bool again;                       /* run: the next stop is the entry of a call of ours */
    uint64_t hidden_flags, hidden_at; /* trace_untraced.c: of its clone, 0 for none; where, 0 for a register */
    struct trace_space *waits_for;    /* an address space, not its own, that has an owner */
};

enum trace_check { TRACE_CHECK_AUTO, TRACE_CHECK_EVERY, TRACE_CHECK_SOME, TRACE_CHECK_EXIT, TRACE_CHECK_NONE };

struct trace_options {
    bool random, map, no_follow, quiet, keep_going, bare, accesses;
    enum trace_check check;
    uint64_t check_interval;
    const char *record, *json, *report;
    unsigned page_shift; /* --page-size; 0: none */
    bool kernel_proc;    /* run: /proc is left to the kernel */
    bool lays_out;       /* run: programs get another layout than the kernel's */
    char **command;
};

/* How the stop at an end of a call goes on. */
enum trace_way {
    TRACE_GO_ON,   /* the program runs */
    TRACE_SEE_END, /* the kernel runs the call; stop at its end */
    TRACE_AGAIN,   /* a call of ours comes next: stop at its entry */
    TRACE_UNSEEN,  /* the kernel runs the call; whether it has is asked at the next stop of any task (tracer.unseen) */
    TRACE_WAIT     /* come back to this stop when task->waits_for has no owner */
};

/* A mapping that may go anywhere. */
struct trace_place {
    vmk_addr hint;
    uint64_t len;   /* bytes */
    uint32_t flags; /* VMK_MAP_* */
    struct vmk_file *file;
    uint64_t pgoff;
};

/* What differs between trace and run. */
struct trace_mode {
    const char *name; /* of the command, for messages */
    bool decides;     /* the engine does, the kernel follows */
    enum trace_way (*enter)(struct tracer *tracer, struct trace_task *task);
    /* Once more at the entry, after TRACE_AGAIN; NULL where that never is. */
    enum trace_way (*enter_again)(struct tracer *tracer, struct trace_task *task);
    enum trace_way (*leave)(struct tracer *tracer, struct trace_task *task, int64_t value);
    /* The task dies inside a call, or the call ended without an end (fork's event). May be NULL. */
    void (*give_up)(struct tracer *tracer, struct trace_task *task);
    /*
     * After TRACE_UNSEEN: has the kernel done the call? `stopped` is the task that stopped, with this event; when that is
     * the one whose call it is, the call is over. False: it may still be on its way, or that does not concern `stopped`.
     * NULL where there is no TRACE_UNSEEN.
     */
    bool (*settle)(struct tracer *tracer, const struct trace_task *stopped, int event);
    /* At the end of execve, where tracer.layout is set: moves the image. False: the task is as good as dead. */
    bool (*arrange)(struct tracer *tracer, struct trace_task *task, struct layout *layout);
    void (*in_child)(const struct tracer *tracer); /* before CMD is executed; may be NULL */
    void (*process_begins)(struct tracer *tracer, struct trace_process *process); /* CMD's; may be NULL */
    void (*space_ends)(struct tracer *tracer, struct trace_space *space);         /* may be NULL */
    void (*tasks_changed)(struct tracer *tracer);                                /* one has come or gone; may be NULL */
    void (*child_begins)(struct tracer *tracer, const struct trace_task *child); /* before that; may be NULL */
    pid_t (*wait)(struct tracer *tracer, int *status);                           /* instead of waitpid; may be NULL */
    /* Another place for a mapping than Linux's; false: none. NULL unless tracer.has_places. */
    bool (*place)(struct tracer *tracer, struct trace_task *task, const struct trace_place *wanted, vmk_addr *address);
};

extern const struct trace_mode trace_mode_trace;

struct run;

struct tracer {
    const struct trace_mode *mode;
    struct run *run;                    /* run: what it holds beside this */
    bool has_places;                    /* mode->place is to be asked */
    const struct layout_policy *layout; /* NULL: programs stay where the kernel lays them */
    struct trace_options options;
    struct vmk_system *system;
    struct trace_files files;
    struct trace_task *tasks;
    struct trace_process *processes, **last_process;
    struct trace_space *spaces;
    struct trace_task *unseen; /* run: the owner of its space, whose call may be over; nobody was told */
    struct kview view;
    struct kview at_exec, at_exit; /* --map: CMD's areas, as the engine has them */
    struct record_writer *record;
    FILE *json;            /* --json, open from the beginning */
    struct report *report; /* --report */
    struct shadow *shadow; /* --page-size */
    uint64_t nr_calls, divergences, nr_unmirrored, nr_checks, areas_read;
    uint64_t nr_stops;         /* of all tasks */
    uint64_t interval;         /* compare every so many calls; 0: only at the end */
    struct rlimit descriptors; /* RLIMIT_NOFILE as CMD is to have it */
    pid_t first;               /* CMD itself */
    int first_status;          /* its wait status */
    int failure_fd;            /* tells why CMD could not be started */
    bool has_pagemap_scan;     /* seen to work (6.7) */
    bool has_procmap_query;    /* the same (6.11) */
    bool looks_for_forced;     /* something may have written to read-only memory, through /proc/PID/mem */
    bool stop;                 /* kill everything and end */
    int exit_status;           /* when stop */
};

/* ---- trace.c ---- */
/* The system with the running kernel's settings; `adjust` (may be NULL) changes its knobs first. 0 or negative. */
int trace_create_system(struct tracer *tracer, void (*adjust)(struct tracer *tracer, struct vmk_sysctl *sysctl));
/* From here to the end of CMD: an exit status. Frees what the tracer holds. */
void trace_free(struct tracer *tracer);
int trace_live(struct tracer *tracer, int (*finish)(struct tracer *tracer, int status));
int trace_parse_check(const char *text, struct trace_options *options);

/* ---- Architecture ---- */

struct trace_arch {
    uint32_t audit_arch;
    const char *name;
    /* Numbers of calls that the installed libseccomp may not know; 0 ends. */
    struct {
        enum trace_call_kind kind;
        int number;
    } numbers[8];
    /* VMK_ACCESS_* of a fault at an address, by the instruction that the stopped task would go on with. NULL: reads. */
    unsigned (*access_of)(const struct trace_task *task, vmk_addr address);
};
extern const struct trace_arch trace_arch_native;

/* ---- trace_filter.c ---- */
/* In the child, before exec: 0 or -errno. `decides`: with the calls that only run stops at. */
/* The calls of run; opening files too; those of --accesses. */
enum { TRACE_FILTER_RUN = 1, TRACE_FILTER_OPENS = 2, TRACE_FILTER_ACCESSES = 4 };
int trace_filter_load(unsigned what, bool *gave_up_privileges);

/* ---- trace_ptrace.c ---- */
int trace_start(struct tracer *tracer); /* 0, or an exit status after a message */
int trace_loop(struct tracer *tracer);
int trace_start_failed(struct tracer *tracer);
void trace_stop_others(struct tracer *tracer, struct trace_task *task);
/* Is the task still in the call that it entered last, or has it stopped after it? False: it sleeps in another one. */
bool trace_may_be_in_call(struct trace_task *task);
void trace_end(struct tracer *tracer, int exit_status); /* give up: everything is killed */
bool trace_read_memory(const struct trace_task *task, uint64_t address, void *buffer, size_t len);
bool trace_read_text(const struct trace_task *task, uint64_t address, char *buffer, size_t size);

/* ---- trace_untraced.c ---- */
/* At the entry of a call. False: the child would escape, and nothing can be done about it. */
bool trace_untraced_hide(struct trace_task *task);
/* The flags as they were: at the end of the call, and in a child at its first stop. */
void trace_untraced_show(struct trace_task *task);
void trace_untraced_inherit(const struct trace_task *parent, struct trace_task *child);

/* ---- trace_process.c ---- */
struct trace_task *trace_task_find(struct tracer *tracer, pid_t tid);
struct trace_task *trace_task_new(struct tracer *tracer, pid_t tid);
void trace_task_close(struct trace_task *task); /* its descriptors */
void trace_task_free(struct tracer *tracer, struct trace_task *task);
struct trace_process *trace_process_new(struct tracer *tracer, pid_t tgid);
void trace_process_read(struct tracer *tracer, struct trace_process *process, pid_t tid); /* name, in trace limits */
void trace_process_read_limits(struct trace_process *process, pid_t tid);
void trace_process_note_areas(struct tracer *tracer, struct trace_process *process, struct trace_space *space);
void trace_space_enter(struct trace_space *space, struct trace_task *task);
void trace_space_share(struct tracer *tracer, struct trace_task *parent, struct trace_task *child);
void trace_space_leave(struct tracer *tracer, struct trace_task *task);
/* `moved`: where the image lies now; NULL: where the kernel laid it. */
int trace_space_exec(struct tracer *tracer, struct trace_task *task, const struct layout *moved);
int trace_space_fork(struct tracer *tracer, struct trace_task *parent, struct trace_task *child);
void trace_space_use_limits(struct trace_space *space, const struct trace_process *process);
void trace_space_read_capabilities(struct trace_space *space, pid_t tid);
bool trace_space_is_last(const struct tracer *tracer, const struct trace_task *task);
int trace_proc_open(pid_t tid, const char *what);
/* The marks of a fresh image (code, data, heap, stack, arguments, environment) from /proc/PID/stat. */
bool trace_read_marks(pid_t tid, struct vmk_mm_layout *layout);

/* ---- trace_calls.c ---- */
/* Runs the engine; false when the call does not need its end to be seen. */
bool trace_call_enter(struct tracer *tracer, struct trace_task *task);
/* The same for run, which sees the end if it wants to: prepares where call.two_phase says so. False: nothing was decided. */
bool trace_call_ask(struct tracer *tracer, struct trace_task *task);
/* What leave does for calls that the engine is told of when the kernel has agreed. */
void trace_call_tell(struct tracer *tracer, struct trace_task *task, int64_t value);
int64_t trace_call_value(const struct trace_call *call); /* what the engine says that the call returns */
const char *trace_call_text(struct trace_call *call);    /* "mmap(0x0, ...)" */
void trace_call_count(struct tracer *tracer, struct trace_task *task);
void trace_say_value(char *text, size_t size, int64_t value); /* "0x..." or "error 12 (...)" */
void trace_call_leave(struct tracer *tracer, struct trace_task *task, int64_t value);
/* A closed userfaultfd takes its registrations along; close itself is not traced. */
void trace_call_notice_closed_uffd(struct tracer *tracer, struct trace_task *task);
bool trace_call_is_memory(enum trace_call_kind kind);
/* Something that the engine cannot follow: says so and stops mirroring. */
void trace_cannot(struct tracer *tracer, struct trace_task *task, const char *what);

/* ---- trace_files.c ---- */
/* A reference to the description behind a descriptor; NULL with *error (-VMK_EBADF) when there is none. */
struct vmk_file *trace_files_get(struct tracer *tracer, struct trace_task *task, int fd, int *error);
struct vmk_file *trace_files_shm(struct tracer *tracer, int shmid, bool read_only, uint64_t *size);
struct vmk_file *trace_files_aio(struct tracer *tracer);
/* Is it known what the driver's mmap does? */
bool trace_files_device_is_known(const struct vmk_file *file);
void trace_files_for_each(const struct tracer *tracer, void (*visit)(void *context, struct vmk_file *file),
                          void *context);
uint32_t trace_files_mode(const struct vmk_file *file);
bool trace_files_recorded(const struct vmk_file *file); /* is it in the record already? Then it is from now on */
/* The files of an image just executed: kview_import's callback; one description for each inode. */
struct trace_exec_files {
    struct tracer *tracer;
    struct vmk_file *files[8];
    uint64_t devices[8], inodes[8];
    size_t nr_files;
};
struct vmk_file *trace_files_of_image(void *context, const struct kview_area *area);
void trace_exec_files_end(struct trace_exec_files *image);
/* The size of a file has changed, by truncate or otherwise. */
void trace_files_refresh(struct tracer *tracer);
int trace_task_pidfd(struct trace_task *task);

/* ---- trace_record.c ---- */
void trace_record_file(struct tracer *tracer, struct trace_task *task, struct vmk_file *file);
void trace_record_exec(struct tracer *tracer, struct trace_task *task);
void trace_record_begin_call(struct tracer *tracer, struct trace_task *task);
void trace_record_call(struct tracer *tracer, struct trace_task *task, int64_t value);
void trace_record_advice(struct tracer *tracer, struct trace_task *task, const struct vmk_madvise_request *request,
                         int64_t value);
void trace_record_told(struct tracer *tracer, struct trace_task *task, enum record_call call, const uint64_t *args,
                       size_t nr_args);
/* `result` as a record has it: 0, RECORD_SIGNAL, -VMK_EFAULT; NULL: not known. */
void trace_record_fault(struct tracer *tracer, struct trace_task *task, const struct vmk_fault_request *request,
                        const int64_t *result);
void trace_record_child(struct tracer *tracer, struct trace_task *parent, struct trace_task *child, bool shares);
void trace_record_exit(struct tracer *tracer, struct trace_task *task);
/* A call that the engine has run, as a record has it; false for one that records leave out. */
bool trace_record_event_of(const struct trace_task *task, struct record_event *event);
void trace_record_space_end(struct trace_space *space);
/* Modes that a child inherits. */
void trace_record_modes_fork(const struct trace_space *from, struct trace_space *to);
/* The last calls of an address space, with its areas before them, as a record. */
void trace_record_print_recent(struct trace_task *task, const struct kview *kernel, FILE *out);

/* ---- trace_report.c ---- */
int trace_report_open(struct tracer *tracer); /* 0, or after a message another number */
int trace_report_close(struct tracer *tracer);
void trace_report_free(struct tracer *tracer); /* without a page */
void trace_report_summary(const struct tracer *tracer, FILE *out);
bool trace_report_is_wanted(const struct tracer *tracer);
void trace_report_exec(struct tracer *tracer, const struct trace_task *task);
void trace_report_child(struct tracer *tracer, const struct trace_task *parent, const struct trace_task *child);
/* A call has ended with this value; `predicted`: it is the engine's. */
void trace_report_call(struct tracer *tracer, struct trace_task *task, int64_t value, bool predicted);
void trace_report_exit(struct tracer *tracer, const struct trace_task *task, bool with_areas);

/* ---- trace_pages.c ---- */
void trace_pages_feed(struct tracer *tracer, struct trace_task *task);
/*
 * The same around the range of the call while other threads run: what they had written at one moment, which two looks
 * agree about. False: nothing of it was fed (they do not agree, or it cannot be told).
 */
bool trace_pages_feed_running(struct tracer *tracer, struct trace_task *task);
/* What no thread of the program does by itself in passing: stacks that have grown, writes through /proc/PID/mem. */
void trace_pages_feed_others(struct tracer *tracer, struct trace_task *task);
/* Somebody else looks at the areas of `task`, which goes on: its stacks, closed userfaultfds. */
void trace_pages_feed_for_reader(struct tracer *tracer, struct trace_task *task);
/* Could pages that a thread writes now change what the call does to the areas? */
bool trace_pages_matter(struct trace_task *task);
/* Where call.late_writes says so, when the kernel has run the call: has a thread written there before that? */
bool trace_pages_wrote_late(struct tracer *tracer, const struct trace_task *task, struct vmk_fault_request *fault);
void trace_pages_feed_late(struct tracer *tracer, struct trace_task *task, const struct vmk_fault_request *fault);
/* Do the kernel's areas show that a call has been done? Only where tracer.has_procmap_query. */
enum trace_shown { TRACE_SHOWN_YES, TRACE_SHOWN_NO, TRACE_SHOWN_GONE /* it has ended */ };
enum trace_shown trace_pages_show(const struct trace_space *space, const struct trace_sign *sign);
/* The same of the engine's areas. */
bool trace_pages_engine_shows(const struct trace_space *space, const struct trace_sign *sign);
/* At the stop of a signal. */
void trace_pages_feed_signal(struct tracer *tracer, struct trace_task *task);
/* A call reads memory at an address that may be a stack's still to grow. */
void trace_pages_feed_kernel_read(struct tracer *tracer, struct trace_task *task, vmk_addr address);
bool trace_pages_has_guard(const struct trace_space *space, vmk_addr start, uint64_t len);

/* ---- trace_access.c ---- */
bool trace_access_is(enum trace_call_kind kind);
/* True: the end of the call is to be seen. */
bool trace_access_enter(struct tracer *tracer, struct trace_task *task);
void trace_access_leave(struct tracer *tracer, struct trace_task *task, int64_t value);

/* ---- trace_check.c ---- */
/* Compares the map; false after a divergence, which has been reported. `when` is "after", "at the end of" ... */
bool trace_check_map(struct tracer *tracer, struct trace_task *task, const char *when);
void trace_check_after_call(struct tracer *tracer, struct trace_task *task);
void trace_diverged(struct tracer *tracer, struct trace_task *task, const char *what);
void trace_keep_first_map(struct tracer *tracer, struct trace_task *task);
void trace_keep_map(struct tracer *tracer, struct trace_task *task); /* for --map and --json */
void trace_draw(struct tracer *tracer, FILE *out);
void trace_summary(struct tracer *tracer, FILE *out);
int trace_write_json(
    struct tracer *tracer); /* to tracer->json, which it closes; 0, or after a message another number */

#endif
