/* SPDX-License-Identifier: MIT */
/* fuzz_table.c - names of calls, sequences as text, the table of calls and errnos, random numbers. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

struct call_info {
    const char *name, *format;
    unsigned nr_args;
};
static const struct call_info calls[FUZZ_NR_CALLS] = {
#define FUZZ_CALL_INFO(id, name, nr, format) {name, format, nr},
    FUZZ_CALLS(FUZZ_CALL_INFO)
#undef FUZZ_CALL_INFO
};

static const char *const file_names[FUZZ_NR_FILES] = {
    "disk",      "disk_dup",     "disk_second", "disk_rdonly",   "disk_wronly", "o_path",
    "memfd",     "memfd_rdonly", "sealed",      "sealed_future", "zero",        "null",
    "directory", "pipe",         "secret",      "tmpfs",         "noexec",      "bad",
};

const char *fuzz_call_name(uint32_t call)
{
    return call < FUZZ_NR_CALLS ? calls[call].name : "?";
}

unsigned fuzz_call_nr_args(uint32_t call)
{
    return call < FUZZ_NR_CALLS ? calls[call].nr_args : 0;
}

int fuzz_call_find(const char *name)
{
    for (int i = 0; i < FUZZ_NR_CALLS; i++)
        if (strcmp(calls[i].name, name) == 0)
            return i;
    return -1;
}

const char *fuzz_errno_name(int64_t error)
{
    const char *name;

    if (error < 0)
        error = -error;
    name = error > 0 && error < FUZZ_MAX_ERRNO ? strerrorname_np((int)error) : NULL;
    return name != NULL ? name : "E?";
}

static void print_arg(FILE *out, char format, uint64_t value)
{
    if (format == 'f')
        fputs(value < FUZZ_NR_FILES ? file_names[value] : "none", out);
    else if (format == 'd')
        fprintf(out, "%" PRId64, (int64_t)value);
    else
        fprintf(out, "0x%" PRIx64, value);
}

void fuzz_op_print(FILE *out, const struct fuzz_op *op)
{
    const struct call_info *call = &calls[op->call];

    fprintf(out, "%s(", call->name);
    for (unsigned i = 0; i < call->nr_args; i++) {
        fputs(i != 0 ? ", " : "", out);
        print_arg(out, call->format[i], op->arg[i]);
    }
    fputs(")", out);
}

void fuzz_result_text(fuzz_result result, char *buffer, size_t size)
{
    if (result >= 0)
        snprintf(buffer, size, "0x%" PRIx64, (uint64_t)result);
    else if (result == FUZZ_HUNG)
        snprintf(buffer, size, "no answer");
    else if (result == FUZZ_UNSUPPORTED)
        snprintf(buffer, size, "unsupported");
    else if (result <= -0x100000)
        snprintf(buffer, size, "%s code %d", -result / 0x1000 % 0x100 == SIGSEGV ? "SIGSEGV" : "SIGBUS",
                 (int)(-result % 0x1000));
    else if (result >= -FUZZ_MAX_ERRNO)
        snprintf(buffer, size, "%s", fuzz_errno_name(result));
    else
        snprintf(buffer, size, "error %" PRId64, result);
}

/* ---- Sequences as text: one operation a line, "name argument ..." ---- */

int fuzz_sequence_write(FILE *out, const struct fuzz_sequence *sequence)
{
    const struct fuzz_config *config = &sequence->config;

    fprintf(out, "# vmakit fuzz sequence 1\n");
    fprintf(out,
            "config seed 0x%" PRIx64 " drop_ipc_lock %d as 0x%" PRIx64 " data 0x%" PRIx64 " stack 0x%" PRIx64
            " memlock 0x%" PRIx64 "\n",
            config->seed, config->drop_ipc_lock, config->limit_as, config->limit_data, config->limit_stack,
            config->limit_memlock);
    for (size_t i = 0; i < sequence->nr_ops; i++) {
        const struct fuzz_op *op = &sequence->ops[i];

        fputs(calls[op->call].name, out);
        for (unsigned j = 0; j < calls[op->call].nr_args; j++) {
            fputc(' ', out);
            print_arg(out, calls[op->call].format[j], op->arg[j]);
        }
        fputc('\n', out);
    }
    return ferror(out) != 0 ? -EIO : 0;
}

static bool read_arg(const char *word, char format, uint64_t *value)
{
    char *end;

    if (format == 'f') {
        *value = UINT64_MAX;
        for (uint64_t i = 0; i < FUZZ_NR_FILES; i++)
            if (strcmp(file_names[i], word) == 0)
                *value = i;
        return *value != UINT64_MAX || strcmp(word, "none") == 0;
    }
    errno = 0;
    *value = word[0] == '-' ? (uint64_t)strtoll(word, &end, 0) : strtoull(word, &end, 0);
    return *end == '\0' && errno == 0 && end != word;
}

static bool read_config(char *line, struct fuzz_config *config)
{
    int drop;

    if (sscanf(line,
               "config seed %" SCNx64 " drop_ipc_lock %d as %" SCNx64 " data %" SCNx64 " stack %" SCNx64
               " memlock %" SCNx64,
               &config->seed, &drop, &config->limit_as, &config->limit_data, &config->limit_stack,
               &config->limit_memlock) != 6)
        return false;
    config->drop_ipc_lock = drop != 0;
    return true;
}

static bool read_op(char *line, struct fuzz_op *op)
{
    char *save = NULL, *word = strtok_r(line, " \t\n", &save);
    int call = word != NULL ? fuzz_call_find(word) : -1;

    if (call < 0)
        return false;
    memset(op, 0, sizeof(*op));
    op->call = (uint32_t)call;
    for (unsigned i = 0; i < calls[call].nr_args; i++) {
        word = strtok_r(NULL, " \t\n", &save);
        if (word == NULL || !read_arg(word, calls[call].format[i], &op->arg[i]))
            return false;
    }
    return strtok_r(NULL, " \t\n", &save) == NULL;
}

size_t fuzz_sequence_read(FILE *in, struct fuzz_sequence *sequence)
{
    char line[512];
    size_t nr = 0;

    memset(sequence, 0, sizeof(*sequence));
    while (fgets(line, sizeof(line), in) != NULL) {
        nr++;
        if (line[0] == '#' || line[0] == '\n')
            continue;
        if (strncmp(line, "config ", 7) == 0) {
            if (!read_config(line, &sequence->config))
                return nr;
            continue;
        }
        if (sequence->nr_ops == FUZZ_MAX_OPS || !read_op(line, &sequence->ops[sequence->nr_ops]))
            return nr;
        sequence->nr_ops++;
    }
    return 0;
}

/* ---- The table ---- */

static enum fuzz_cell cell_of(fuzz_result result)
{
    if (result >= 0)
        return FUZZ_CELL_OK;
    if (result > -FUZZ_MAX_ERRNO)
        return (enum fuzz_cell) - result;
    if (result == FUZZ_SIGNAL(SIGSEGV, SEGV_MAPERR))
        return FUZZ_CELL_MAPERR;
    if (result == FUZZ_SIGNAL(SIGSEGV, SEGV_ACCERR))
        return FUZZ_CELL_ACCERR;
    return result == FUZZ_SIGNAL(SIGBUS, BUS_ADRERR) ? FUZZ_CELL_BUS : FUZZ_CELL_OTHER_SIGNAL;
}

static const char *cell_name(unsigned cell)
{
    static const char *const signals[] = {"SEGV_MAPERR", "SEGV_ACCERR", "BUS_ADRERR", "another signal"};

    return cell == FUZZ_CELL_OK ? "ok" : cell < FUZZ_MAX_ERRNO ? fuzz_errno_name(cell) : signals[cell - FUZZ_MAX_ERRNO];
}

void fuzz_table_count(struct fuzz_table *table, uint32_t call, fuzz_result result)
{
    table->hits[call][cell_of(result)]++;
}

void fuzz_table_print(FILE *out, const struct fuzz_table *table)
{
    fprintf(out, "%-18s %9s  otherwise\n", "call", "succeeds");
    for (uint32_t call = 0; call < FUZZ_NR_CALLS; call++) {
        fprintf(out, "%-18s %9" PRIu64 " ", fuzz_call_name(call), table->hits[call][FUZZ_CELL_OK]);
        for (unsigned cell = FUZZ_CELL_OK + 1; cell < FUZZ_NR_CELLS; cell++)
            if (table->hits[call][cell] != 0)
                fprintf(out, " %s %" PRIu64, cell_name(cell), table->hits[call][cell]);
        fputc('\n', out);
    }
}

double fuzz_table_success(const struct fuzz_table *table)
{
    uint64_t ok = 0, all = 0;

    for (uint32_t call = 0; call < FUZZ_NR_CALLS; call++) {
        ok += table->hits[call][FUZZ_CELL_OK];
        for (unsigned cell = 0; cell < FUZZ_NR_CELLS; cell++)
            all += table->hits[call][cell];
    }
    return all != 0 ? 100.0 * (double)ok / (double)all : 0.0;
}

/* ---- The cells that can be reached ---- */

static const char *const reachable[FUZZ_NR_CALLS] = {
    [FUZZ_MMAP] = "ok EPERM EBADF EAGAIN ENOMEM EACCES EEXIST ENODEV EINVAL EOVERFLOW EOPNOTSUPP",
    [FUZZ_MUNMAP] = "ok EPERM EINVAL",
    [FUZZ_MPROTECT] = "ok EPERM ENOMEM EACCES EINVAL",
    [FUZZ_PKEY_MPROTECT] = "ok EPERM ENOMEM EACCES EINVAL",
    [FUZZ_PKEY_ALLOC] = "EINVAL ENOSPC",
    [FUZZ_PKEY_FREE] = "EINVAL",
    [FUZZ_MREMAP] = "ok EPERM EAGAIN ENOMEM EFAULT EINVAL",
    [FUZZ_BRK] = "ok",
    [FUZZ_MLOCK] = "ok EPERM ENOMEM EINVAL",
    [FUZZ_MLOCK2] = "ok EPERM ENOMEM EINVAL",
    [FUZZ_MUNLOCK] = "ok ENOMEM EINVAL",
    [FUZZ_MLOCKALL] = "ok EPERM ENOMEM EINVAL",
    [FUZZ_MUNLOCKALL] = "ok",
    [FUZZ_MSEAL] = "ok ENOMEM EINVAL",
    [FUZZ_MSYNC] = "ok ENOMEM EBUSY EINVAL",
    [FUZZ_MINCORE] = "ok ENOMEM EINVAL",
    [FUZZ_MADVISE] = "ok EPERM ENOMEM EACCES EFAULT ENODEV EINVAL",
    [FUZZ_PROCESS_MADVISE] = "ok EPERM ENOMEM EACCES EFAULT ENODEV EINVAL",
    [FUZZ_REMAP_FILE_PAGES] = "ok EPERM EAGAIN ENOMEM EACCES EINVAL EOVERFLOW",
    [FUZZ_SHMAT] = "ok EPERM EAGAIN ENOMEM EACCES EINVAL",
    [FUZZ_SHMDT] = "ok EINVAL",
    [FUZZ_IO_SETUP] = "ok ENOMEM EINVAL",
    [FUZZ_IO_DESTROY] = "ok EINVAL",
    [FUZZ_MBIND] = "ok EFAULT EINVAL",
    [FUZZ_SET_MEMPOLICY] = "ok EINVAL",
    [FUZZ_UFFD_OPEN] = "ok EBUSY",
    [FUZZ_UFFD_REGISTER] = "ok EPERM EBUSY EINVAL",
    [FUZZ_UFFD_UNREGISTER] = "ok EINVAL",
    [FUZZ_UFFD_CLOSE] = "ok",
    [FUZZ_NAME] = "EINVAL",
    [FUZZ_SET_MM] = "EPERM",
    [FUZZ_THP_DISABLE] = "ok",
    [FUZZ_MDWE] = "ok EPERM EINVAL",
    [FUZZ_MEMORY_MERGE] = "ok",
    [FUZZ_PERSONALITY] = "ok",
    [FUZZ_SETRLIMIT] = "ok EPERM EINVAL",
    [FUZZ_TOUCH_READ] = "ok SEGV_MAPERR SEGV_ACCERR BUS_ADRERR",
    [FUZZ_TOUCH_WRITE] = "ok SEGV_MAPERR SEGV_ACCERR BUS_ADRERR",
    [FUZZ_TOUCH_EXEC] = "ok SEGV_MAPERR SEGV_ACCERR BUS_ADRERR",
    [FUZZ_COPY_OUT] = "ok EFAULT",
    [FUZZ_COPY_IN] = "ok EFAULT",
    [FUZZ_PROC_MEM_READ] = "ok EIO EINVAL",
    [FUZZ_PROC_MEM_WRITE] = "ok EIO EINVAL",
    [FUZZ_FORK_CHILD] = "ok",
    [FUZZ_FORK_PARENT] = "ok",
    [FUZZ_FTRUNCATE] = "ok",
    [FUZZ_CAPSET] = "ok",
    [FUZZ_SPLIT] = "", /* of sequences that are written by hand */
};

static bool is_reachable(uint32_t call, unsigned cell)
{
    const char *name = cell_name(cell);
    size_t len = strlen(name);

    for (const char *at = reachable[call]; (at = strstr(at, name)) != NULL; at += len)
        if ((at == reachable[call] || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
            return true;
    return false;
}

void fuzz_cells_print(FILE *out)
{
    for (uint32_t call = 0; call < FUZZ_NR_CALLS; call++)
        if (reachable[call][0] != '\0')
            fprintf(out, "| %s | %s |\n", fuzz_call_name(call), reachable[call]);
}

unsigned fuzz_cells_check(FILE *out, const struct fuzz_table *table, uint64_t least)
{
    unsigned nr_listed = 0, nr_short = 0;

    for (uint32_t call = 0; call < FUZZ_NR_CALLS; call++)
        for (unsigned cell = 0; cell < FUZZ_NR_CELLS; cell++) {
            uint64_t hits = table->hits[call][cell];
            bool listed = is_reachable(call, cell);

            nr_listed += listed;
            nr_short += listed && hits < least;
            if (listed && hits < least)
                fprintf(out, "cell %s %s: %" PRIu64 " of %" PRIu64 "\n", fuzz_call_name(call), cell_name(cell), hits,
                        least);
            else if (!listed && hits != 0)
                fprintf(out, "cell %s %s: %" PRIu64 ", and not listed as one that can be reached\n",
                        fuzz_call_name(call), cell_name(cell), hits);
        }
    fprintf(out, "%u of %u cells hit %" PRIu64 " times or more\n", nr_listed - nr_short, nr_listed, least);
    return nr_short;
}

/* ---- Random numbers: splitmix64 ---- */

uint64_t fuzz_next(struct fuzz_random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t fuzz_below(struct fuzz_random *random, uint64_t bound)
{
    return bound != 0 ? fuzz_next(random) % bound : 0;
}

bool fuzz_chance(struct fuzz_random *random, unsigned percent)
{
    return fuzz_below(random, 100) < percent;
}
