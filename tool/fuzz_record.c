/* SPDX-License-Identifier: MIT */
/*
 * fuzz_record.c - a sequence as a recording (docs/trace-format.md): what the kernel answered, operation by operation,
 * and how its map and status looked at the end. `vmakit replay` asks the engine the same without any kernel.
 *
 * What the harness answers by itself (a closed userfaultfd, a vector that does not lie in the address space) is left
 * out: the engine is not asked there.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <unistd.h>

#include "fuzz.h"
#include "record.h"
#include "replay.h"

enum { FIRST_PID = 1, NEW_FILES = 1 << 20 /* ids of files that calls bring along: segments and rings */ };

struct fuzz_record {
    struct record_writer *writer;
    struct fuzz_engine *engine;
    const struct fuzz_files *files;
    uint64_t pid, last_pid, last_file;
    uint64_t uffd[FUZZ_NR_UFFD], last_uffd;
    bool has_file[FUZZ_NR_FILES]; /* its line is written */
};

/* ---- The beginning ---- */

static void write_file(struct fuzz_record *record, struct vmk_file *file, uint32_t mode)
{
    struct record_file line;

    record_file_of(&line, file, mode);
    record_file(record->writer, &line);
}

/* The shared block and the program, which the first areas map. */
static void write_first_files(struct fuzz_record *record, struct vmk_mm *mm)
{
    struct vmk_vma_info area = {.size = sizeof(area)};
    uint64_t last = 0;

    for (vmk_addr cursor = 0; vmk_mm_next(mm, &cursor, &area) == 0;) {
        if (area.file == NULL || area.file_id == last)
            continue;
        last = area.file_id;
        write_file(record, area.file,
                   area.start == FUZZ_COMM_ADDRESS ? VMK_FILE_READ | VMK_FILE_WRITE
                                                   : VMK_FILE_READ | VMK_FILE_THP_ALIGN);
    }
}

int fuzz_record_open(const char *path, struct fuzz_record **record)
{
    struct fuzz_record *new = calloc(1, sizeof(*new));
    int error = new != NULL ? record_open(path, &new->writer) : -ENOMEM;

    if (error != 0) {
        free(new);
        return error;
    }
    *record = new;
    return 0;
}

void fuzz_record_begin(struct fuzz_record *record, struct fuzz_engine *engine, const struct fuzz_files *files)
{
    struct vmk_mm *mm = fuzz_engine_mm(engine);
    struct record_process process;
    struct vmk_sysctl sysctl;

    record->engine = engine;
    record->files = files;
    record->pid = record->last_pid = FIRST_PID;
    record->last_file = NEW_FILES;
    vmk_system_sysctl(fuzz_engine_system(engine), &sysctl);
    record_settings(record->writer, vmk_system_settings(fuzz_engine_system(engine)), &sysctl);
    write_first_files(record, mm);
    record_process_of(&process, record->pid, mm);
    process.personality = (uint32_t)personality(0xffffffff);
    record_process(record->writer, &process);
    record_areas_of(record->writer, mm);
}

int fuzz_record_close(struct fuzz_record *record)
{
    int error = record_close(record->writer);

    free(record);
    return error;
}

void fuzz_record_end(struct fuzz_record *record, const struct fuzz_child *child)
{
    struct kview view = {0};

    if (record->engine == NULL) /* it never began */
        return;
    if (kview_read(&view, child->chain[child->depth], KVIEW_FLAGS | KVIEW_STATUS) == 0)
        record_expect_view(record->writer, record->pid, &view, fuzz_engine_mm(record->engine));
    kview_free(&view);
}

/* ---- Events ---- */

/* Without a result when `result` is NULL. */
static void write_event(struct fuzz_record *record, enum record_call call, const uint64_t *args, size_t nr_args,
                        const fuzz_result *result)
{
    struct record_event event = {.pid = record->pid, .call = call, .has_result = result != NULL};

    for (size_t i = 0; i < nr_args && i < RECORD_ARGS_MAX; i++)
        event.args[i].number = args[i];
    if (result != NULL)
        event.result = *result;
    if (call == RECORD_set_name)
        event.text = FUZZ_AREA_NAME;
    record_call(record->writer, &event);
}

#define ARGS(...) (const uint64_t[]){__VA_ARGS__}, sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)

/* The number of a file, whose line comes before the first event that names it. */
static uint64_t file_arg(struct fuzz_record *record, uint64_t id)
{
    struct vmk_file *file = id < FUZZ_FILE_BAD ? fuzz_engine_file(record->engine, (int)id) : NULL;

    if (file == NULL)
        return (uint64_t)-VMK_EBADF;
    if (id == FUZZ_FILE_DISK_DUP) /* the same open file */
        id = FUZZ_FILE_DISK;
    if (!record->has_file[id])
        write_file(record, file, record->files->file[id].mode);
    record->has_file[id] = true;
    return vmk_file_id(file);
}

/* The result of a touch: a signal with its code; a copy of the kernel's own only tells that it failed. */
static fuzz_result touch_result(const struct fuzz_op *op, fuzz_result kernel)
{
    if (kernel >= 0)
        return 0;
    if (op->call == FUZZ_TOUCH_READ || op->call == FUZZ_TOUCH_WRITE || op->call == FUZZ_TOUCH_EXEC)
        return RECORD_SIGNAL(-kernel / 0x1000 % 0x100, -kernel % 0x1000);
    return -VMK_EFAULT;
}

static void write_touch(struct fuzz_record *record, const struct fuzz_op *op, const struct fuzz_presence *presence,
                        fuzz_result kernel)
{
    struct vmk_fault_request request;
    fuzz_result result = touch_result(op, kernel);

    fuzz_engine_access(op, presence, &request);
    write_event(record, RECORD_fault, ARGS(request.address, request.access, request.flags),
                op->call == FUZZ_IO_DESTROY ? NULL : &result);
}

static void write_mmap(struct fuzz_record *record, const uint64_t *arg, fuzz_result kernel)
{
    bool anonymous = (arg[3] & VMK_MAP_ANONYMOUS) != 0 && arg[4] >= FUZZ_NR_FILES;

    write_event(record, RECORD_mmap,
                ARGS(arg[0], arg[1], arg[2], arg[3], anonymous ? 0 : file_arg(record, arg[4]), arg[5]), &kernel);
}

static void write_shmat(struct fuzz_record *record, const uint64_t *arg, fuzz_result kernel)
{
    struct record_file line = {.id = ++record->last_file, .kind = VMK_OBJECT_SHMEM};
    const struct fuzz_segment *segment;

    if (arg[0] >= FUZZ_NR_SEGMENTS)
        return;
    segment = &record->files->segment[arg[0]];
    line.mode = (arg[2] & VMK_SHM_RDONLY) != 0 ? VMK_FILE_READ : VMK_FILE_READ | VMK_FILE_WRITE;
    line.dev_major = segment->dev_major;
    line.dev_minor = segment->dev_minor;
    line.inode = segment->inode;
    line.nr_bytes = segment->size;
    line.name = segment->path;
    record_file(record->writer, &line);
    write_event(record, RECORD_shmat, ARGS(line.id, segment->size, arg[1], arg[2]), &kernel);
}

static void write_io_setup(struct fuzz_record *record, const uint64_t *arg, fuzz_result kernel)
{
    struct record_file line = {.id = ++record->last_file,
                               .kind = VMK_OBJECT_DEVICE,
                               .mode = VMK_FILE_READ | VMK_FILE_WRITE | VMK_FILE_NOEXEC,
                               .dev_major = record->files->aio_major,
                               .dev_minor = record->files->aio_minor,
                               .name = "/[aio] (deleted)"};

    if (arg[0] == 0)
        return;
    line.nr_bytes = fuzz_engine_ring_bytes(record->engine, arg[0]);
    record_file(record->writer, &line);
    write_event(record, RECORD_io_setup, ARGS(line.id, line.nr_bytes), &kernel);
}

/*
 * One event a range. The kernel's result is the sum of those that succeeded, so that what a later one failed with is
 * not known.
 */
static void write_process_madvise(struct fuzz_record *record, const uint64_t *arg, fuzz_result kernel)
{
    bool self = vmk_system_settings(fuzz_engine_system(record->engine))->process_madvise_self != 0;
    struct fuzz_range ranges[2];
    size_t nr = fuzz_engine_vector(arg, ranges);
    uint64_t left = kernel > 0 ? (uint64_t)kernel : 0;

    for (size_t i = 0; i < nr; i++) {
        fuzz_result result = kernel < 0 ? kernel : 0;
        bool known = kernel < 0 || ranges[i].len <= left;

        write_event(record, self ? RECORD_madvise : RECORD_process_madvise,
                    ARGS(ranges[i].address, ranges[i].len, arg[0]), known ? &result : NULL);
        if (kernel < 0 || !known)
            break;
        left -= ranges[i].len;
    }
}

static void write_uffd(struct fuzz_record *record, const struct fuzz_op *op, fuzz_result kernel)
{
    uint64_t *context = &record->uffd[op->arg[0] % FUZZ_NR_UFFD];
    const uint64_t *arg = op->arg;

    if (op->call == FUZZ_UFFD_OPEN && *context == 0 && kernel == 0)
        *context = ++record->last_uffd;
    else if (op->call == FUZZ_UFFD_OPEN || *context == 0)
        return;
    else if (op->call == FUZZ_UFFD_REGISTER)
        write_event(record, RECORD_uffd_register, ARGS(*context, arg[3], arg[1], arg[2], 0, 0), &kernel);
    else if (op->call == FUZZ_UFFD_UNREGISTER)
        write_event(record, RECORD_uffd_unregister, ARGS(*context, arg[1], arg[2]), &kernel);
    else {
        write_event(record, RECORD_uffd_close, ARGS(*context), &kernel);
        *context = 0;
    }
}

static void write_limit(struct fuzz_record *record, const uint64_t *arg, fuzz_result kernel)
{
    uint64_t which = arg[0] == 9   ? RECORD_RLIMIT_AS
                     : arg[0] == 2 ? RECORD_RLIMIT_DATA
                     : arg[0] == 3 ? RECORD_RLIMIT_STACK
                                   : RECORD_RLIMIT_MEMLOCK;

    if (kernel == 0)
        write_event(record, RECORD_rlimit, ARGS(which, arg[1], arg[2]), &kernel);
}

static void write_fork(struct fuzz_record *record, const struct fuzz_op *op, fuzz_result kernel)
{
    const fuzz_result zero = 0;
    uint64_t parent = record->pid;

    if (kernel == -EAGAIN) /* the chain is long enough */
        return;
    write_event(record, RECORD_fork, ARGS(++record->last_pid), &kernel);
    if (kernel != 0)
        return;
    record->pid = record->last_pid;
    if (op->call == FUZZ_FORK_CHILD) {
        memset(record->uffd, 0, sizeof(record->uffd));
        return;
    }
    write_event(record, RECORD_exit, ARGS(0), &zero);
    record->pid = parent;
}

/* Those that succeeded; what the next one failed with is not known. */
static void write_split(struct fuzz_record *record, const uint64_t *arg, fuzz_result kernel)
{
    const fuzz_result zero = 0;

    for (uint64_t i = 0; i < arg[1] && i <= (uint64_t)kernel; i++)
        write_event(record, RECORD_mprotect, ARGS(arg[0] + (2 * i + 1) * FUZZ_PAGE, FUZZ_PAGE, 1),
                    i < (uint64_t)kernel ? &zero : NULL);
}

static void write_other(struct fuzz_record *record, const struct fuzz_op *op, fuzz_result kernel)
{
    const uint64_t *arg = op->arg;

    switch (op->call) {
    case FUZZ_THP_DISABLE:
        write_event(record, RECORD_thp_disable, ARGS(arg[0] != 0), &kernel);
        break;
    case FUZZ_PERSONALITY:
        if ((uint32_t)arg[0] != 0xffffffff)
            write_event(record, RECORD_personality, ARGS((uint32_t)arg[0]), &kernel);
        break;
    case FUZZ_FTRUNCATE:
        if (kernel == 0)
            write_event(record, RECORD_truncate, ARGS(file_arg(record, arg[0]), arg[1]), &kernel);
        break;
    case FUZZ_CAPSET:
        write_event(record, RECORD_capabilities, ARGS(vmk_mm_capabilities(fuzz_engine_mm(record->engine))), &kernel);
        break;
    case FUZZ_SPLIT:
        write_split(record, arg, kernel);
        break;
    case FUZZ_SETRLIMIT:
        write_limit(record, arg, kernel);
        break;
    case FUZZ_FORK_CHILD:
    case FUZZ_FORK_PARENT:
        write_fork(record, op, kernel);
        break;
    default:
        write_uffd(record, op, kernel);
        break;
    }
}

/* Calls whose arguments are an event's, in the same order; the others are 0, which is mmap. */
static const uint8_t plain_calls[FUZZ_NR_CALLS] = {
    [FUZZ_MUNMAP] = RECORD_munmap,
    [FUZZ_MPROTECT] = RECORD_mprotect,
    [FUZZ_PKEY_MPROTECT] = RECORD_pkey_mprotect,
    [FUZZ_PKEY_ALLOC] = RECORD_pkey_alloc,
    [FUZZ_PKEY_FREE] = RECORD_pkey_free,
    [FUZZ_MREMAP] = RECORD_mremap,
    [FUZZ_BRK] = RECORD_brk,
    [FUZZ_MLOCK] = RECORD_mlock,
    [FUZZ_MLOCK2] = RECORD_mlock2,
    [FUZZ_MUNLOCK] = RECORD_munlock,
    [FUZZ_MLOCKALL] = RECORD_mlockall,
    [FUZZ_MUNLOCKALL] = RECORD_munlockall,
    [FUZZ_MSEAL] = RECORD_mseal,
    [FUZZ_MSYNC] = RECORD_msync,
    [FUZZ_MINCORE] = RECORD_mincore,
    [FUZZ_MADVISE] = RECORD_madvise,
    [FUZZ_REMAP_FILE_PAGES] = RECORD_remap_file_pages,
    [FUZZ_SHMDT] = RECORD_shmdt,
    [FUZZ_IO_DESTROY] = RECORD_io_destroy,
    [FUZZ_MBIND] = RECORD_mbind,
    [FUZZ_SET_MEMPOLICY] = RECORD_set_mempolicy,
    [FUZZ_NAME] = RECORD_set_name,
    [FUZZ_SET_MM] = RECORD_set_mm,
    [FUZZ_MDWE] = RECORD_mdwe,
    [FUZZ_MEMORY_MERGE] = RECORD_memory_merge,
};

void fuzz_record_step(struct fuzz_record *record, const struct fuzz_op *op, const struct fuzz_presence *presence,
                      fuzz_result kernel)
{
    bool touches = fuzz_op_touches(op->call);

    if (kernel == FUZZ_HUNG)
        return;
    if (touches)
        write_touch(record, op, presence, kernel);
    if (plain_calls[op->call] != 0)
        write_event(record, (enum record_call)plain_calls[op->call], op->arg, fuzz_call_nr_args(op->call), &kernel);
    else if (op->call == FUZZ_MMAP)
        write_mmap(record, op->arg, kernel);
    else if (op->call == FUZZ_SHMAT)
        write_shmat(record, op->arg, kernel);
    else if (op->call == FUZZ_IO_SETUP)
        write_io_setup(record, op->arg, kernel);
    else if (op->call == FUZZ_PROCESS_MADVISE)
        write_process_madvise(record, op->arg, kernel);
    else if (!touches)
        write_other(record, op, kernel);
}

/* ---- Is it worth something? ---- */

int fuzz_record_replay(const char *path, uint64_t *nr_different)
{
    struct replay replay = {.options = {.file = path, .quiet = true}, .silent = true};
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t room = 0;
    ssize_t len;
    int status;

    if (file == NULL)
        return -errno;
    len = getdelim(&text, &room, '\0', file);
    fclose(file);
    replay_init(&replay);
    status = len > 0 ? replay_text(&replay, text, (size_t)len) : -EIO;
    *nr_different = replay.divergences + replay.nr_skipped;
    replay_free(&replay);
    free(text);
    return status == 0 ? 0 : -EINVAL;
}
