/* SPDX-License-Identifier: MIT */
/* fuzz_child.c - the process on the real kernel: starting it, asking it, reading its files in /proc. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuzz_comm.h"

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
enum { COMM_FD = 39, PIDFD_OF_SELF = -10001, SCRATCH_OFFSET = 0x5f00, RSEQ_SIGNATURE = 0x53053053 };

static long wake(_Atomic uint32_t *word)
{
    return syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Puts a request and waits for the answer. False when none comes. */
static bool ask(_Atomic uint32_t *state)
{
    struct timespec timeout = {.tv_sec = 3};

    atomic_store(state, FUZZ_REQUEST);
    wake(state);
    for (int i = 0; i < 2 && atomic_load(state) == FUZZ_REQUEST; i++)
        while (atomic_load(state) == FUZZ_REQUEST)
            if (syscall(SYS_futex, state, FUTEX_WAIT, FUZZ_REQUEST, &timeout, NULL, 0) != 0 && errno == ETIMEDOUT)
                break;
    return atomic_load(state) != FUZZ_REQUEST;
}

static int64_t worker_call(struct fuzz_child *child, long nr, const uint64_t *arg)
{
    struct fuzz_comm *comm = child->comm;

    comm->request = FUZZ_WORKER_SYSCALL;
    comm->nr = (uint64_t)nr;
    for (size_t i = 0; i < FUZZ_MAX_ARGS; i++)
        comm->arg[i] = arg[i];
    return ask(&comm->state) ? comm->result : FUZZ_HUNG;
}

#define CALL(child, nr, ...) worker_call(child, nr, (const uint64_t[FUZZ_MAX_ARGS]){__VA_ARGS__})

/* ---- The zygote ---- */

/* Where the program's text and constants and the kernel's own areas lie in this process. */
static int find_own_areas(struct fuzz_comm *comm)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    uint64_t anchor = (uint64_t)(uintptr_t)fuzz_zygote_enter;
    char line[512], perms[5], name[256], program[256] = "";
    unsigned long start, end, offset;

    if (maps == NULL)
        return -errno;
    comm->arg[0] = comm->arg[1] = 0;
    while (fgets(line, sizeof(line), maps) != NULL) {
        name[0] = '\0';
        if (sscanf(line, "%lx-%lx %4s %lx %*s %*s %255[^\n]", &start, &end, perms, &offset, name) < 4)
            continue;
        if (start <= anchor && anchor < end) {
            comm->text_start = start;
            comm->text_end = end;
            snprintf(program, sizeof(program), "%s", name);
        } else if (start == comm->text_end && strcmp(name, program) == 0 && strcmp(perms, "r--p") == 0) {
            comm->text_end = end; /* constants */
            program[0] = '\0';
        }
        if (strcmp(name, "[vvar]") == 0 || strcmp(name, "[vvar_vclock]") == 0 || strcmp(name, "[vdso]") == 0) {
            if (comm->arg[0] == 0)
                comm->arg[0] = start;
            comm->arg[1] = end;
        }
    }
    fclose(maps);
    comm->arg[2] = UINT64_C(0x7ffffffff000);
    if (comm->arg[0] == 0)
        comm->arg[0] = comm->arg[1] = FUZZ_COMM_ADDRESS + FUZZ_COMM_BYTES;
    return comm->text_start != 0 ? 0 : -ENOENT;
}

static uint64_t stat_field(pid_t pid, unsigned wanted)
{
    char path[64], text[2048], *at;
    FILE *file;
    size_t len;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    len = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[len] = '\0';
    at = strrchr(text, ')');
    for (unsigned field = 2; at != NULL && field < wanted; field++)
        at = strchr(at + 1, ' ');
    return at != NULL ? strtoull(at, NULL, 10) : 0;
}

/* libc has registered a rseq area, which the kernel would write to after it is gone. */
static void forget_rseq(void)
{
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 35)
    extern const ptrdiff_t __rseq_offset;

    syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, 32, 1, RSEQ_SIGNATURE);
#endif
}

static int make_comm(struct fuzz_child *child)
{
    int fd = memfd_create("fuzz-comm", MFD_CLOEXEC);
    struct stat status;
    void *at;

    if (fd < 0)
        return -errno;
    child->comm_fd = dup2(fd, COMM_FD);
    close(fd);
    if (child->comm_fd < 0 || ftruncate(child->comm_fd, (off_t)FUZZ_COMM_BYTES) != 0 ||
        fstat(child->comm_fd, &status) != 0)
        return -errno;
    at = mmap((void *)(uintptr_t)FUZZ_COMM_ADDRESS, FUZZ_COMM_BYTES, PROT_READ | PROT_WRITE,
              MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, child->comm_fd, 0);
    if (at == MAP_FAILED)
        return -errno;
    child->comm = at;
    child->comm_major = major(status.st_dev);
    child->comm_minor = minor(status.st_dev);
    child->comm_inode = status.st_ino;
    return 0;
}

int fuzz_child_init(struct fuzz_child *child, const struct fuzz_files *files)
{
    int error;

    memset(child, 0, sizeof(*child));
    child->files = files;
    child->smaps_fd = child->status_fd = child->pagemap_fd = -1;
    error = make_comm(child);
    if (error == 0)
        error = find_own_areas(child->comm);
    if (error != 0)
        return error;
    child->comm->start_brk = child->start_brk = stat_field(getpid(), 47);
    atomic_store(&child->comm->zygote_state, FUZZ_REQUEST);
    fflush(NULL);
    child->zygote = fork();
    if (child->zygote < 0)
        return -errno;
    if (child->zygote == 0) {
        setpgid(0, 0); /* the terminal's signals are for the tool */
        forget_rseq();
        fuzz_zygote_enter();
    }
    for (int i = 0; i < 3000 && atomic_load(&child->comm->zygote_state) == FUZZ_REQUEST; i++)
        usleep(1000);
    return atomic_load(&child->comm->zygote_state) == FUZZ_IDLE ? 0 : -ECHILD;
}

static int64_t ask_zygote(struct fuzz_child *child, enum fuzz_zygote_request request)
{
    child->comm->zygote_request = request;
    return ask(&child->comm->zygote_state) ? child->comm->zygote_result : -ECHILD;
}

void fuzz_child_exit(struct fuzz_child *child)
{
    if (child->zygote <= 0)
        return;
    fuzz_child_end(child);
    kill(child->zygote, SIGKILL);
    waitpid(child->zygote, NULL, 0);
    child->zygote = 0;
}

/* ---- Workers ---- */

static void close_proc(struct fuzz_child *child)
{
    int *fds[] = {&child->smaps_fd, &child->status_fd, &child->pagemap_fd};

    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

static int open_proc_file(pid_t pid, const char *name, int flags)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    return open(path, flags | O_CLOEXEC);
}

static int open_proc(struct fuzz_child *child)
{
    pid_t pid = child->chain[child->depth];

    close_proc(child);
    child->smaps_fd = open_proc_file(pid, "smaps", O_RDONLY);
    child->status_fd = open_proc_file(pid, "status", O_RDONLY);
    child->pagemap_fd = open_proc_file(pid, "pagemap", O_RDONLY);
    return child->smaps_fd >= 0 && child->status_fd >= 0 && child->pagemap_fd >= 0 ? 0 : -errno;
}

void fuzz_child_end(struct fuzz_child *child)
{
    close_proc(child);
    if (child->chain[0] == 0)
        return;
    for (unsigned i = 0; i <= child->depth; i++) {
        kill(child->chain[i], SIGKILL);
        child->chain[i] = 0;
    }
    child->depth = 0;
    ask_zygote(child, FUZZ_ZYGOTE_REAP);
}

void fuzz_hard_limits(struct fuzz_hard_limits *limits)
{
    static const int resources[] = {RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_MEMLOCK};
    uint64_t *const fields[] = {&limits->as, &limits->data, &limits->stack, &limits->memlock};

    for (size_t i = 0; i < sizeof(resources) / sizeof(resources[0]); i++) {
        struct rlimit limit = {.rlim_max = RLIM_INFINITY};

        getrlimit((__rlimit_resource_t)resources[i], &limit);
        *fields[i] = limit.rlim_max;
    }
}

static int set_limit(struct fuzz_child *child, int resource, uint64_t bytes)
{
    struct rlimit *limit = (struct rlimit *)((char *)child->comm + 0x1000);
    struct rlimit own = {.rlim_max = RLIM_INFINITY};

    getrlimit((__rlimit_resource_t)resource, &own);
    limit->rlim_cur = bytes < own.rlim_max ? bytes : own.rlim_max;
    limit->rlim_max = own.rlim_max;
    return (int)CALL(child, SYS_prlimit64, 0, (uint64_t)resource, FUZZ_BUFFER, 0);
}

static int64_t drop_ipc_lock(struct fuzz_child *child)
{
    struct __user_cap_header_struct *header = (struct __user_cap_header_struct *)((char *)child->comm + 0x1000);
    struct __user_cap_data_struct *data = (struct __user_cap_data_struct *)((char *)child->comm + 0x1040);
    int64_t result;

    header->version = _LINUX_CAPABILITY_VERSION_3;
    header->pid = 0;
    result = CALL(child, SYS_capget, FUZZ_BUFFER, FUZZ_BUFFER + 0x40);
    if (result != 0)
        return result;
    data[0].effective &= ~(1u << CAP_IPC_LOCK);
    data[0].permitted &= ~(1u << CAP_IPC_LOCK);
    data[0].inheritable &= ~(1u << CAP_IPC_LOCK);
    return CALL(child, SYS_capset, FUZZ_BUFFER, FUZZ_BUFFER + 0x40);
}

int fuzz_child_begin(struct fuzz_child *child, const struct fuzz_config *config)
{
    int64_t pid;
    int error;

    fuzz_child_end(child);
    fuzz_files_reset(child->files);
    for (size_t i = 0; i < FUZZ_NR_UFFD; i++)
        child->uffd[i] = -1;
    atomic_store(&child->comm->state, FUZZ_IDLE);
    pid = ask_zygote(child, FUZZ_ZYGOTE_SPAWN);
    if (pid <= 0)
        return (int)pid;
    child->chain[0] = (pid_t)pid;
    error = open_proc(child);
    if (error == 0)
        error = set_limit(child, RLIMIT_AS, config->limit_as);
    if (error == 0)
        error = set_limit(child, RLIMIT_DATA, config->limit_data);
    if (error == 0)
        error = set_limit(child, RLIMIT_STACK, config->limit_stack);
    if (error == 0)
        error = set_limit(child, RLIMIT_MEMLOCK, config->limit_memlock);
    if (error == 0 && config->drop_ipc_lock)
        error = (int)drop_ipc_lock(child);
    return error;
}

/* ---- Operations ---- */

static int64_t run_touch(struct fuzz_child *child, enum fuzz_worker_request request, uint64_t address)
{
    struct fuzz_comm *comm = child->comm;

    comm->request = request;
    comm->arg[0] = address;
    if (!ask(&comm->state))
        return FUZZ_HUNG;
    if (comm->signo == 0)
        return 0;
    if (request == FUZZ_WORKER_EXECUTE && comm->signo == SIGSEGV && comm->code == SI_KERNEL)
        return 0; /* the fetch succeeded: see fuzz_touch_execute */
    return FUZZ_SIGNAL((int64_t)comm->signo, comm->code);
}

static int64_t run_fork(struct fuzz_child *child, bool child_goes_on)
{
    struct fuzz_comm *comm = child->comm;

    if (child_goes_on && child->depth >= FUZZ_MAX_DEPTH)
        return -EAGAIN;
    comm->request = child_goes_on ? FUZZ_WORKER_FORK_CHILD : FUZZ_WORKER_FORK_PARENT;
    if (!ask(&comm->state))
        return FUZZ_HUNG;
    if (comm->result < 0)
        return comm->result;
    if (child_goes_on) {
        child->chain[++child->depth] = (pid_t)comm->pid;
        for (size_t i = 0; i < FUZZ_NR_UFFD; i++)
            child->uffd[i] = -1; /* they belong to the parent's address space */
        return open_proc(child);
    }
    return 0;
}

static int64_t run_uffd(struct fuzz_child *child, const struct fuzz_op *op)
{
    uint64_t *buffer = (uint64_t *)((char *)child->comm + 0x1000);
    size_t slot = op->arg[0] % FUZZ_NR_UFFD;
    int64_t result;

    if (op->call == FUZZ_UFFD_OPEN) {
        if (child->uffd[slot] >= 0)
            return -EBUSY;
        result = CALL(child, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
        if (result == -EPERM) /* vm.unprivileged_userfaultfd; with SIGBUS the kernel's own faults fail either way */
            result = CALL(child, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
        if (result < 0)
            return result;
        child->uffd[slot] = (int)result;
        *(struct uffdio_api *)buffer = (struct uffdio_api){.api = UFFD_API, .features = op->arg[1]};
        return CALL(child, SYS_ioctl, (uint64_t)child->uffd[slot], UFFDIO_API, FUZZ_BUFFER);
    }
    if (child->uffd[slot] < 0)
        return -EBADF;
    if (op->call == FUZZ_UFFD_CLOSE) {
        result = CALL(child, SYS_close, (uint64_t)child->uffd[slot]);
        child->uffd[slot] = -1;
        return result;
    }
    buffer[0] = op->arg[1];
    buffer[1] = op->arg[2];
    buffer[2] = op->arg[3];
    buffer[3] = 0;
    return CALL(child, SYS_ioctl, (uint64_t)child->uffd[slot],
                op->call == FUZZ_UFFD_REGISTER ? UFFDIO_REGISTER : UFFDIO_UNREGISTER, FUZZ_BUFFER);
}

static uint64_t fd_of(const struct fuzz_child *child, uint64_t file)
{
    int fd = file < FUZZ_NR_FILES ? child->files->file[file].fd : -1;

    return (uint64_t)(int64_t)fd;
}

static int64_t run_process_madvise(struct fuzz_child *child, const uint64_t *arg)
{
    uint64_t *vector = (uint64_t *)((char *)child->comm + 0x1000);

    memcpy(vector, arg + 1, 4 * sizeof(*arg));
    return CALL(child, SYS_process_madvise, (uint64_t)(int64_t)PIDFD_OF_SELF, FUZZ_BUFFER, arg[4] != 0 ? 2 : 1, arg[0],
                arg[5]);
}

static int64_t run_memory_policy(struct fuzz_child *child, const struct fuzz_op *op)
{
    uint64_t *mask = (uint64_t *)((char *)child->comm + 0x1000);

    if (op->call == FUZZ_MBIND) {
        mask[0] = op->arg[3];
        return CALL(child, SYS_mbind, op->arg[0], op->arg[1], op->arg[2], op->arg[4] != 0 ? FUZZ_BUFFER : 0, op->arg[4],
                    op->arg[5]);
    }
    mask[0] = op->arg[1];
    return CALL(child, SYS_set_mempolicy, op->arg[0], op->arg[2] != 0 ? FUZZ_BUFFER : 0, op->arg[2]);
}

/* A byte of /proc/self/mem: opened by the worker itself, whose limits count when a stack grows. */
static int64_t run_own_memory(struct fuzz_child *child, const struct fuzz_op *op)
{
    char *buffer = (char *)child->comm + 0x1000;
    int64_t fd, result;

    memset(buffer, 0, 64);
    memcpy(buffer, "/proc/self/mem", 15);
    fd = CALL(child, SYS_openat, 0, FUZZ_BUFFER, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    buffer[0] = '\0';
    result = CALL(child, op->call == FUZZ_PROC_MEM_READ ? SYS_pread64 : SYS_pwrite64, (uint64_t)fd, FUZZ_BUFFER, 1,
                  op->arg[0]);
    CALL(child, SYS_close, (uint64_t)fd);
    return result;
}

/* The inode of the ring that is mapped at `wanted`, or, with an inode given, where a piece of that ring is; 0 for none. */
static uint64_t find_ring(const struct fuzz_child *child, uint64_t wanted, uint64_t inode)
{
    char path[64], line[512];
    unsigned long start, end, number;
    uint64_t found = 0;
    FILE *maps;

    snprintf(path, sizeof(path), "/proc/%d/maps", child->chain[child->depth]);
    maps = fopen(path, "re");
    while (maps != NULL && found == 0 && fgets(line, sizeof(line), maps) != NULL) {
        if (strstr(line, "/[aio]") == NULL || sscanf(line, "%lx-%lx %*s %*x %*s %lu", &start, &end, &number) != 3)
            continue;
        if (inode == 0 && start <= wanted && wanted < end)
            found = number;
        else if (inode != 0 && number == inode)
            found = start;
    }
    if (maps != NULL)
        fclose(maps);
    return found;
}

/* The ring of a context that ends loses its pages a little later: when some of it is still mapped, that is waited for. */
static int64_t run_io_destroy(struct fuzz_child *child, const struct fuzz_op *op)
{
    uint8_t *vector = (uint8_t *)child->comm + 0x1000;
    uint64_t inode = find_ring(child, op->arg[0], 0), left;
    int64_t result = CALL(child, SYS_io_destroy, op->arg[0]);

    if (result != 0 || inode == 0)
        return result;
    left = find_ring(child, 0, inode);
    for (int i = 0; i < 10000 && left != 0; i++) {
        if (CALL(child, SYS_mincore, left, FUZZ_PAGE, FUZZ_BUFFER) != 0 || (vector[0] & 1) == 0)
            break;
        usleep(200);
    }
    return result;
}

/* For sequences that are written by hand: one comparison for all of it. */
static int64_t run_split(struct fuzz_child *child, const uint64_t *arg)
{
    uint64_t i = 0;

    while (i < arg[1] && CALL(child, SYS_mprotect, arg[0] + (2 * i + 1) * FUZZ_PAGE, FUZZ_PAGE, 1) == 0)
        i++;
    return (int64_t)i;
}

static int64_t run_with_buffer(struct fuzz_child *child, const struct fuzz_op *op)
{
    uint64_t *buffer = (uint64_t *)((char *)child->comm + 0x1000);
    const uint64_t *arg = op->arg;
    int64_t result;

    switch (op->call) {
    case FUZZ_IO_SETUP:
        buffer[0] = 0;
        result = CALL(child, SYS_io_setup, arg[0], FUZZ_BUFFER);
        return result == 0 ? (int64_t)buffer[0] : result;
    case FUZZ_NAME:
        memcpy(buffer, FUZZ_AREA_NAME, sizeof(FUZZ_AREA_NAME));
        return CALL(child, SYS_prctl, 0x53564d41, 0, arg[0], arg[1], FUZZ_BUFFER);
    case FUZZ_SETRLIMIT:
        buffer[0] = arg[1];
        buffer[1] = arg[2];
        return CALL(child, SYS_prlimit64, 0, arg[0], FUZZ_BUFFER, 0);
    case FUZZ_PROC_MEM_READ:
    case FUZZ_PROC_MEM_WRITE:
        return run_own_memory(child, op);
    default:
        return -ENOSYS;
    }
}

static int64_t run_prctl(struct fuzz_child *child, const struct fuzz_op *op)
{
    switch (op->call) {
    case FUZZ_SET_MM:
        return CALL(child, SYS_prctl, 35, op->arg[0], op->arg[1]);
    case FUZZ_THP_DISABLE:
        return CALL(child, SYS_prctl, 41, op->arg[0]);
    case FUZZ_MDWE:
        return CALL(child, SYS_prctl, 65, op->arg[0]);
    default:
        return CALL(child, SYS_prctl, 67, op->arg[0]);
    }
}

static int64_t run_other(struct fuzz_child *child, const struct fuzz_op *op)
{
    const uint64_t *arg = op->arg;

    switch (op->call) {
    case FUZZ_MMAP:
        return CALL(child, SYS_mmap, arg[0], arg[1], arg[2], arg[3], fd_of(child, arg[4]), arg[5]);
    case FUZZ_MINCORE:
        return CALL(child, SYS_mincore, arg[0], arg[1], FUZZ_BUFFER);
    case FUZZ_SHMAT:
        return CALL(child, SYS_shmat,
                    arg[0] < FUZZ_NR_SEGMENTS ? (uint64_t)child->files->segment[arg[0]].id : UINT64_C(0x7fffffff),
                    arg[1], arg[2]);
    case FUZZ_PROCESS_MADVISE:
        return run_process_madvise(child, arg);
    case FUZZ_MBIND:
    case FUZZ_SET_MEMPOLICY:
        return run_memory_policy(child, op);
    case FUZZ_UFFD_OPEN:
    case FUZZ_UFFD_REGISTER:
    case FUZZ_UFFD_UNREGISTER:
    case FUZZ_UFFD_CLOSE:
        return run_uffd(child, op);
    case FUZZ_SET_MM:
    case FUZZ_THP_DISABLE:
    case FUZZ_MDWE:
    case FUZZ_MEMORY_MERGE:
        return run_prctl(child, op);
    case FUZZ_COPY_OUT:
        return CALL(child, SYS_pwrite64, COMM_FD, arg[0], 1, SCRATCH_OFFSET);
    case FUZZ_COPY_IN:
        return CALL(child, SYS_pread64, fd_of(child, FUZZ_FILE_ZERO), arg[0], 1, 0);
    case FUZZ_FTRUNCATE:
        return CALL(child, SYS_ftruncate, fd_of(child, arg[0]), arg[1]);
    case FUZZ_CAPSET:
        return drop_ipc_lock(child);
    case FUZZ_SPLIT:
        return run_split(child, arg);
    case FUZZ_IO_DESTROY:
        return run_io_destroy(child, op);
    default:
        return run_with_buffer(child, op);
    }
}

fuzz_result fuzz_child_run(struct fuzz_child *child, const struct fuzz_op *op)
{
    /* Calls whose arguments go to the kernel as they are. */
    static const long plain[FUZZ_NR_CALLS] = {
        [FUZZ_MUNMAP] = SYS_munmap,
        [FUZZ_MPROTECT] = SYS_mprotect,
        [FUZZ_PKEY_MPROTECT] = SYS_pkey_mprotect,
        [FUZZ_PKEY_ALLOC] = SYS_pkey_alloc,
        [FUZZ_PKEY_FREE] = SYS_pkey_free,
        [FUZZ_MREMAP] = SYS_mremap,
        [FUZZ_BRK] = SYS_brk,
        [FUZZ_MLOCK] = SYS_mlock,
        [FUZZ_MLOCK2] = SYS_mlock2,
        [FUZZ_MUNLOCK] = SYS_munlock,
        [FUZZ_MLOCKALL] = SYS_mlockall,
        [FUZZ_MUNLOCKALL] = SYS_munlockall,
        [FUZZ_MSEAL] = SYS_mseal,
        [FUZZ_MSYNC] = SYS_msync,
        [FUZZ_MADVISE] = SYS_madvise,
        [FUZZ_REMAP_FILE_PAGES] = SYS_remap_file_pages,
        [FUZZ_SHMDT] = SYS_shmdt,
        [FUZZ_PERSONALITY] = SYS_personality,
    };

    switch (op->call) {
    case FUZZ_TOUCH_READ:
        return run_touch(child, FUZZ_WORKER_READ, op->arg[0]);
    case FUZZ_TOUCH_WRITE:
        return run_touch(child, FUZZ_WORKER_WRITE, op->arg[0]);
    case FUZZ_TOUCH_EXEC:
        return run_touch(child, FUZZ_WORKER_EXECUTE, op->arg[0]);
    case FUZZ_FORK_CHILD:
    case FUZZ_FORK_PARENT:
        return run_fork(child, op->call == FUZZ_FORK_CHILD);
    default:
        if (op->call < FUZZ_NR_CALLS && plain[op->call] != 0)
            return worker_call(child, plain[op->call], op->arg);
        return run_other(child, op);
    }
}

/* ---- What /proc shows ---- */

static int read_smaps(struct fuzz_child *child, struct fuzz_view *view, size_t *len)
{
    *len = 0;
    if (lseek(child->smaps_fd, 0, SEEK_SET) != 0)
        return -errno;
    for (;;) {
        ssize_t nr;

        if (view->text_room - *len < 65536) {
            size_t room = view->text_room * 2 + 262144;
            char *text = realloc(view->text, room);

            if (text == NULL)
                return -ENOMEM;
            view->text = text;
            view->text_room = room;
        }
        nr = read(child->smaps_fd, view->text + *len, view->text_room - *len - 1);
        if (nr < 0)
            return -errno;
        if (nr == 0)
            break;
        *len += (size_t)nr;
    }
    view->text[*len] = '\0';
    return 0;
}

static uint64_t read_hex(const char **at)
{
    uint64_t value = 0;

    for (;; (*at)++) {
        char c = **at;

        if (c >= '0' && c <= '9')
            value = value * 16 + (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value * 16 + (uint64_t)(c - 'a' + 10);
        else
            return value;
    }
}

/* One header line, zero-terminated by the caller. */
static void parse_header(struct fuzz_area *area, const char *line)
{
    const char *at = line;

    area->line = line;
    area->start = read_hex(&at);
    at++;
    area->end = read_hex(&at);
    at++;
    memcpy(area->perms, at, 4);
    area->perms[4] = '\0';
    at += 5;
    area->offset = read_hex(&at);
    at = strchr(at + 1, ' '); /* behind the device */
    area->inode = at != NULL ? strtoull(at, NULL, 10) : 0;
    at = at != NULL ? strchr(at + 1, ' ') : NULL;
    while (at != NULL && *at == ' ')
        at++;
    area->name = at != NULL ? at : "";
}

static int parse_smaps(struct fuzz_view *view, size_t len)
{
    char *at = view->text, *stop = view->text + len;
    size_t distance = 0; /* from the end of a header to its flags: nearly always the same */

    view->nr_areas = 0;
    while (at < stop) {
        struct fuzz_area *area;
        char *line = at, *newline = memchr(at, '\n', (size_t)(stop - at)), *flags, *end;

        if (newline == NULL)
            return -EIO;
        flags = newline + distance;
        if (distance == 0 || flags + 8 > stop || memcmp(flags, "VmFlags:", 8) != 0)
            flags = memmem(newline, (size_t)(stop - newline), "VmFlags:", 8);
        if (flags == NULL)
            return -EIO;
        distance = (size_t)(flags - newline);
        end = memchr(flags, '\n', (size_t)(stop - flags));
        if (end == NULL)
            return -EIO;
        at = end + 1;
        *newline = '\0';
        while (end > flags && end[-1] == ' ')
            end--;
        *end = '\0';
        if (view->nr_areas == view->room) {
            size_t room = view->room * 2 + 256;
            struct fuzz_area *areas = realloc(view->areas, room * sizeof(*areas));

            if (areas == NULL)
                return -ENOMEM;
            view->areas = areas;
            view->room = room;
        }
        area = &view->areas[view->nr_areas];
        parse_header(area, line);
        area->flags = flags + 9;
        if (strcmp(area->name, "[vsyscall]") != 0)
            view->nr_areas++;
    }
    return 0;
}

int fuzz_child_read(struct fuzz_child *child, struct fuzz_view *view)
{
    size_t len;
    ssize_t nr;
    int error = read_smaps(child, view, &len);

    if (error != 0)
        return error;
    nr = pread(child->status_fd, view->status, sizeof(view->status) - 1, 0);
    if (nr <= 0)
        return -EIO;
    view->status[nr] = '\0';
    return parse_smaps(view, len);
}

void fuzz_view_free(struct fuzz_view *view)
{
    free(view->text);
    free(view->areas);
    memset(view, 0, sizeof(*view));
}

const struct fuzz_area *fuzz_view_find(const struct fuzz_view *view, uint64_t address)
{
    size_t low = 0, high = view->nr_areas;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (view->areas[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low < view->nr_areas ? &view->areas[low] : NULL;
}

/* mincore tells of the page cache behind a page that is not mapped. */
static bool is_cached(struct fuzz_child *child, uint64_t page)
{
    uint8_t *vector = (uint8_t *)child->comm + 0x1000;

    return CALL(child, SYS_mincore, page * FUZZ_PAGE, FUZZ_PAGE, FUZZ_BUFFER) == 0 && (vector[0] & 1) != 0;
}

void fuzz_child_presence(struct fuzz_child *child, const struct fuzz_view *view, uint64_t address,
                         struct fuzz_presence *presence)
{
    const struct fuzz_area *area = fuzz_view_find(view, address);
    uint64_t entries[FUZZ_HUGE / FUZZ_PAGE] = {0}; /* the address space ends a page before its last huge page does */
    uint64_t page = address / FUZZ_PAGE, first = address / FUZZ_HUGE * (FUZZ_HUGE / FUZZ_PAGE);

    memset(presence, 0, sizeof(*presence));
    if (address >= UINT64_C(1) << 47 || pread(child->pagemap_fd, entries, sizeof(entries), (off_t)(first * 8)) < 0)
        return;
    presence->present = (entries[page - first] >> 63) & 1;
    presence->swapped = (entries[page - first] >> 62) & 1;
    presence->guard = (entries[page - first] >> 58) & 1;
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
        if ((entries[i] >> 62) != 0 || ((entries[i] >> 58) & 1) != 0)
            presence->has_table = true;
    if (area != NULL && area->start <= address && !presence->present &&
        (strstr(area->flags, " um") != NULL || strstr(area->flags, " uw") != NULL ||
         strstr(area->flags, " ui") != NULL))
        presence->cached = is_cached(child, page);
}

int fuzz_child_layout(struct fuzz_child *child, struct vmk_mm_layout *layout)
{
    pid_t pid = child->chain[child->depth];

    memset(layout, 0, sizeof(*layout));
    layout->start_code = stat_field(pid, 26);
    layout->end_code = stat_field(pid, 27);
    layout->start_stack = stat_field(pid, 28);
    layout->start_data = stat_field(pid, 45);
    layout->end_data = stat_field(pid, 46);
    layout->start_brk = stat_field(pid, 47);
    layout->arg_start = stat_field(pid, 48);
    layout->arg_end = stat_field(pid, 49);
    layout->env_start = stat_field(pid, 50);
    layout->env_end = stat_field(pid, 51);
    layout->brk = (uint64_t)CALL(child, SYS_brk, 0);
    return layout->start_code != 0 ? 0 : -EIO;
}
