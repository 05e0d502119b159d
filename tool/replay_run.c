/* SPDX-License-Identifier: MIT */
/* replay_run.c - events of a record: each is a call of the engine's, and its result is compared. */
#include "replay.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"

/* An event with its addresses worked out. */
struct run {
    struct replay *replay;
    struct replay_process *process;
    const struct record_event *event;
    uint64_t a[RECORD_ARGS_MAX];
    struct vmk_file *file; /* of the argument named file; borrowed */
    int file_error;
    uint64_t failed; /* an event before it, which it builds upon and which failed; 0 for none */
    struct vmk_result result;
    struct replay_outcome *outcome;
};

static bool is_error(int64_t value)
{
    return value < 0 && value > -8192;
}

/* ---- Addresses ---- */

static bool is_address_arg(const char *name)
{
    return strcmp(name, "addr") == 0 || strcmp(name, "old_addr") == 0 || strcmp(name, "new_addr") == 0 ||
           strcmp(name, "context") == 0;
}

static int resolve_file(struct run *run, uint64_t value)
{
    int64_t number = (int64_t)value;

    if (number < 0)
        run->file_error = number > -4096 ? (int)number : -VMK_EBADF;
    if (number <= 0)
        return 0;
    run->file = idmap_get(&run->replay->files, value);
    return run->file != NULL ? 0 : replay_complain(run->replay, "there is no file %" PRIu64, value);
}

static int resolve_args(struct run *run)
{
    const struct record_event *event = run->event;

    for (size_t i = 0; record_arg_name(event->call, i) != NULL; i++) {
        const char *name = record_arg_name(event->call, i);
        uint64_t value = event->args[i].number;
        if (event->args[i].event != 0) {
            int64_t result = run->replay->results[event->args[i].event - 1];
            run->failed = is_error(result) ? event->args[i].event : run->failed;
            value += (uint64_t)result;
        } else if (is_address_arg(name)) {
            vmk_addr where = replay_where(run->process, value);
            value = where != value ? where : value + replay_shift(run->replay, value);
        }
        run->a[i] = value;
        if (strcmp(name, "file") == 0 && resolve_file(run, value) != 0)
            return EXIT_CANNOT_READ;
    }
    return 0;
}

/* ---- Calls whose request is their arguments ---- */

enum gives { GIVES_STATUS, GIVES_VALUE, GIVES_BREAK };

/* X(call, verb, what the system call returns, fields of the request by a[0] ...) */
#define PLAIN_CALLS(X)                                                                                                 \
    X(munmap, munmap, GIVES_STATUS, .address = a[0], .len = a[1])                                                      \
    X(mprotect, mprotect, GIVES_STATUS, .address = a[0], .len = a[1], .prot = a[2], .pkey = -1)                        \
    X(pkey_mprotect, mprotect, GIVES_STATUS, .address = a[0], .len = a[1], .prot = a[2], .pkey = (int)a[3])            \
    X(madvise, madvise, GIVES_STATUS, .address = a[0], .len = a[1], .advice = (int)a[2])                               \
    X(process_madvise, madvise, GIVES_STATUS, .address = a[0], .len = a[1], .advice = (int)a[2], .remote = true)       \
    X(mlock, mlock, GIVES_STATUS, .address = a[0], .len = a[1])                                                        \
    X(mlock2, mlock, GIVES_STATUS, .address = a[0], .len = a[1], .flags = (uint32_t)a[2])                              \
    X(munlock, munlock, GIVES_STATUS, .address = a[0], .len = a[1])                                                    \
    X(mlockall, mlockall, GIVES_STATUS, .flags = (uint32_t)a[0])                                                       \
    X(munlockall, munlockall, GIVES_STATUS, .reserved = 0)                                                             \
    X(mseal, mseal, GIVES_STATUS, .address = a[0], .len = a[1], .flags = a[2])                                         \
    X(msync, msync, GIVES_STATUS, .address = a[0], .len = a[1], .flags = (uint32_t)a[2])                               \
    X(mincore, mincore, GIVES_STATUS, .address = a[0], .len = a[1])                                                    \
    X(remap_file_pages, remap_file_pages, GIVES_STATUS, .address = a[0], .size = a[1], .prot = a[2], .pgoff = a[3],    \
      .flags = (uint32_t)a[4])                                                                                         \
    X(shmdt, shmdt, GIVES_STATUS, .address = a[0])                                                                     \
    X(io_destroy, aio_destroy, GIVES_STATUS, .context = a[0])                                                          \
    X(mbind, mbind, GIVES_STATUS, .address = a[0], .len = a[1], .mode = (uint32_t)a[2], .nodes = a[3],                 \
      .max_node = a[4], .flags = (uint32_t)a[5])                                                                       \
    X(set_mempolicy, set_mempolicy, GIVES_STATUS, .mode = (uint32_t)a[0], .nodes = a[1], .max_node = a[2])             \
    X(set_name, name, GIVES_STATUS, .address = a[0], .len = a[1], .text = run->event->text)                            \
    X(set_mm, set_mm, GIVES_STATUS, .field = (int)a[0], .value = a[1])                                                 \
    X(thp_disable, set_option, GIVES_STATUS, .option = VMK_OPTION_THP_DISABLE, .value = a[0])                          \
    X(mdwe, set_option, GIVES_STATUS, .option = VMK_OPTION_MDWE, .value = a[0])                                        \
    X(memory_merge, set_option, GIVES_STATUS, .option = VMK_OPTION_MEMORY_MERGE, .value = a[0])                        \
    X(pkey_alloc, pkey, GIVES_VALUE, .flags = a[0], .rights = a[1])                                                    \
    X(pkey_free, pkey, GIVES_STATUS, .free = true, .pkey = (int)a[0])                                                  \
    X(uffd_register, uffd, GIVES_STATUS, .action = VMK_UFFD_REGISTER, .context = a[0], .mode = a[1], .address = a[2],  \
      .len = a[3], .features_fork = a[4] != 0, .features_remap = a[5] != 0)                                            \
    X(uffd_unregister, uffd, GIVES_STATUS, .action = VMK_UFFD_UNREGISTER, .context = a[0], .address = a[1],            \
      .len = a[2])                                                                                                     \
    X(uffd_close, uffd, GIVES_STATUS, .action = VMK_UFFD_CLOSE, .context = a[0])

static int finish_call(struct run *run, int error, enum gives gives)
{
    run->outcome->is_call = true;
    if (gives == GIVES_BREAK)
        run->outcome->value = (int64_t)run->result.value;
    else if (error != 0)
        run->outcome->value = error;
    else
        run->outcome->value = gives == GIVES_VALUE ? (int64_t)run->result.value : 0;
    return 0;
}

#define PLAIN_RUN(call, verb, gives, ...)                                                                              \
    static int run_##call(struct run *run)                                                                             \
    {                                                                                                                  \
        const uint64_t *a = run->a;                                                                                    \
        (void)a;                                                                                                       \
        const struct vmk_##verb##_request request = {__VA_ARGS__};                                                     \
        return finish_call(run, vmk_##verb(run->process->mm, &request, &run->result), gives);                          \
    }
PLAIN_CALLS(PLAIN_RUN)

/* ---- Calls that give an address ---- */

static int finish_address(struct run *run, int error, uint64_t len)
{
    run->outcome->is_address = true;
    run->outcome->len = len;
    return finish_call(run, error, GIVES_VALUE);
}

static int run_mmap(struct run *run)
{
    const struct vmk_mmap_request request = {
        .address = run->a[0],
        .len = run->a[1],
        .prot = (uint32_t)run->a[2],
        .flags = (uint32_t)run->a[3],
        .file = run->file,
        .file_error = run->file_error,
        .offset = run->a[5],
    };
    run->outcome->placed = (request.flags & (VMK_MAP_FIXED | VMK_MAP_FIXED_NOREPLACE)) == 0;
    return finish_address(run, vmk_mmap(run->process->mm, &request, &run->result), request.len);
}

static int run_mremap(struct run *run)
{
    const struct vmk_mremap_request request = {
        .old_address = run->a[0],
        .old_len = run->a[1],
        .new_len = run->a[2],
        .flags = run->a[3],
        .new_address = run->a[4],
    };
    int error = vmk_mremap(run->process->mm, &request, &run->result);
    run->outcome->placed =
        (request.flags & VMK_MREMAP_FIXED) == 0 && error == 0 && run->result.value != request.old_address;
    return finish_address(run, error, request.new_len);
}

static int run_shmat(struct run *run)
{
    const struct vmk_shmat_request request = {
        .file = run->file, .size = run->a[1], .address = run->a[2], .flags = (uint32_t)run->a[3]};
    if (run->file == NULL)
        return replay_complain(run->replay, "shmat needs a file");
    run->outcome->placed = run->a[2] == 0;
    return finish_address(run, vmk_shmat(run->process->mm, &request, &run->result), request.size);
}

static int run_io_setup(struct run *run)
{
    const struct vmk_aio_setup_request request = {.file = run->file, .len = run->a[1]};
    if (run->file == NULL)
        return replay_complain(run->replay, "io_setup needs a file");
    run->outcome->placed = true;
    return finish_address(run, vmk_aio_setup(run->process->mm, &request, &run->result), request.len);
}

/* Where the break was first asked for, all later ones are not far. */
static int run_brk(struct run *run)
{
    const struct vmk_brk_request request = {.address = run->a[0]};
    int error = vmk_brk(run->process->mm, &request, &run->result);

    run->outcome->is_address = run->a[0] == 0;
    run->outcome->len = UINT64_C(1) << 36;
    return finish_call(run, error, GIVES_BREAK);
}

static int run_map_special(struct run *run)
{
    const struct vmk_map_special_request request = {.address = run->a[0],
                                                    .len = run->a[1],
                                                    .flags = run->a[2],
                                                    .ops = &replay_special_ops,
                                                    .special_name = "[vdso]"};
    run->outcome->placed = run->a[0] == 0;
    return finish_address(run, vmk_map_special(run->process->mm, &request, &run->result), request.len);
}

/* ---- What the engine is told ---- */

static int run_fault(struct run *run)
{
    const struct vmk_fault_request request = {
        .address = run->a[0], .access = (unsigned)run->a[1], .flags = (unsigned)run->a[2]};
    struct vmk_fault fault;

    int error = vmk_mm_fault(run->process->mm, &request, &fault);
    if (error != 0)
        return replay_complain(run->replay, "this is no access (error %d)", -error);
    if (fault.outcome == VMK_FAULT_SIGNAL)
        run->outcome->value = RECORD_SIGNAL(fault.signal, fault.code);
    else if (fault.outcome == VMK_FAULT_PENDING && run->event->has_result && run->event->result != 0)
        run->outcome->value = RECORD_SIGNAL(VMK_SIGBUS, VMK_BUS_ADRERR); /* a context with UFFD_FEATURE_SIGBUS */
    run->replay->nr_faults++;
    return 0;
}

static int run_personality(struct run *run)
{
    vmk_mm_set_personality(run->process->mm, (uint32_t)run->a[0]);
    run->outcome->value = run->event->has_result ? run->event->result : 0;
    return 0;
}

static int run_rlimit(struct run *run)
{
    struct vmk_rlimits limits;
    struct vmk_rlimit *which[4] = {&limits.as, &limits.data, &limits.stack, &limits.memlock};

    if (run->a[0] >= 4)
        return replay_complain(run->replay, "there is no such limit");
    vmk_mm_get_rlimits(run->process->mm, &limits);
    *which[run->a[0]] = (struct vmk_rlimit){.soft = run->a[1], .hard = run->a[2]};
    replay_apply_rlimits(run->replay, &limits);
    vmk_mm_set_rlimits(run->process->mm, &limits);
    return 0;
}

static int run_capabilities(struct run *run)
{
    vmk_mm_set_capabilities(run->process->mm, (uint32_t)run->a[0]);
    return 0;
}

static int run_pin(struct run *run)
{
    run->outcome->value = vmk_mm_pin(run->process->mm, (int64_t)run->a[0]);
    return 0;
}

static int run_truncate(struct run *run)
{
    if (run->file == NULL)
        return replay_complain(run->replay, "truncate needs a file");
    vmk_object_set_nr_bytes(vmk_file_object(run->file), run->a[1]);
    return 0;
}

static int run_seal(struct run *run)
{
    if (run->file == NULL)
        return replay_complain(run->replay, "seal needs a file");
    vmk_file_set_seals(run->file, (uint32_t)run->a[1]);
    return 0;
}

/* ---- Processes ---- */

/* The child of fork and share: an earlier process of that number has ended by now. */
static int new_child(struct run *run, struct replay_process **child, bool shares)
{
    if (run->a[0] == run->event->pid)
        return replay_complain(run->replay, "a process cannot be its own child");
    *child = replay_new_process(run->replay, run->a[0]);
    if (*child == NULL)
        return replay_out_of_memory();
    replay_end_space(run->replay, *child);
    (*child)->base_learned = run->process->base_learned;
    return replay_inherit_moves(*child, run->process, shares);
}

static int run_fork(struct run *run)
{
    struct replay_process *child = NULL;
    int status = new_child(run, &child, false);

    run->outcome->is_call = !run->replay->is_strace; /* strace's may be a guess */
    if (status != 0)
        return status;
    int error = vmk_mm_fork(run->process->mm, &child->mm);
    if (error == -VMK_ERR_HOST_NOMEM)
        return replay_out_of_memory();
    if (error != 0)
        child->mm = NULL;
    run->outcome->value = error;
    if (error == 0 && run->replay->options.map && draw_view_of(child->mm, &child->first) != 0)
        return replay_out_of_memory();
    return 0;
}

static int run_share(struct run *run)
{
    struct replay_process *child = NULL;
    int status = new_child(run, &child, true);

    if (status != 0)
        return status;
    child->mm = run->process->mm;
    vmk_mm_get(child->mm);
    report_child(run->replay->report, run->event->pid, run->a[0], child->mm);
    return 0;
}

static int run_exit(struct run *run)
{
    report_exit(run->replay->report, run->process->pid, run->process->mm);
    replay_end_space(run->replay, run->process);
    return 0;
}

static int (*const runs[RECORD_CALL_COUNT])(struct run *run) = {
#define PLAIN_ENTRY(call, ...) [RECORD_##call] = run_##call,
    PLAIN_CALLS(PLAIN_ENTRY)
#undef PLAIN_ENTRY
        [RECORD_mmap] = run_mmap,
    [RECORD_mremap] = run_mremap,
    [RECORD_brk] = run_brk,
    [RECORD_shmat] = run_shmat,
    [RECORD_io_setup] = run_io_setup,
    [RECORD_map_special] = run_map_special,
    [RECORD_fault] = run_fault,
    [RECORD_personality] = run_personality,
    [RECORD_rlimit] = run_rlimit,
    [RECORD_capabilities] = run_capabilities,
    [RECORD_pin] = run_pin,
    [RECORD_truncate] = run_truncate,
    [RECORD_seal] = run_seal,
    [RECORD_fork] = run_fork,
    [RECORD_share] = run_share,
    [RECORD_exit] = run_exit,
};

/* ---- Comparison ---- */

bool replay_may_print(struct replay *replay)
{
    if (replay->silent)
        return false;
    replay->nr_printed++;
    if (replay->nr_printed == REPLAY_PRINTED_MAX + 1)
        puts("(more differences are counted but not printed)");
    return replay->nr_printed <= REPLAY_PRINTED_MAX;
}

void replay_differs(struct replay *replay, struct replay_process *process, const char *format, ...)
{
    char text[1024];
    va_list arguments;

    process->divergences++;
    replay->divergences++;
    if (replay->report == NULL)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    report_divergence(replay->report, process->pid, text);
}

static void print_value(const struct run *run, int64_t value, FILE *out)
{
    const char *name = is_error(value) ? record_errno_name((int)-value) : NULL;

    if (value == -VMK_ERR_UNSUPPORTED)
        fputs("'not supported by the engine'", out);
    else if (run->event->call == RECORD_fault && record_signal_name(value) != NULL)
        fputs(record_signal_name(value), out);
    else if (name != NULL)
        fprintf(out, "-%s", name);
    else if (is_error(value) || (value >= 0 && value < 10))
        fprintf(out, "%" PRId64, value);
    else
        fprintf(out, "0x%" PRIx64, (uint64_t)value);
}

static void print_call(const struct run *run, FILE *out)
{
    char text[256];
    const char *separator = "";

    fprintf(out, "%s:%zu: %" PRIu64 " %s(", run->replay->options.file, run->replay->line, run->event->pid,
            record_call_name(run->event->call));
    for (size_t i = 0; record_arg_name(run->event->call, i) != NULL; i++) {
        const char *name = record_arg_name(run->event->call, i);
        if (strcmp(name, "text") == 0)
            continue;
        record_format_arg(run->event->call, i, (struct record_value){.number = run->a[i]}, text, sizeof(text));
        fprintf(out, "%s%s=%s", separator, name, text);
        separator = ", ";
    }
    fputs("): ", out);
}

/* brk never fails: it gives the break that stays. */
static bool break_refused(const struct run *run)
{
    return run->event->call == RECORD_brk && run->a[0] != 0 && (uint64_t)run->outcome->value != run->a[0];
}

static bool break_was_refused(const struct run *run, int64_t recorded)
{
    const struct record_value *asked = &run->event->args[0];
    return run->event->call == RECORD_brk && asked->event == 0 && asked->number != 0 &&
           asked->number != (uint64_t)recorded;
}

/* A record may say less of a signal than the engine: without its code, or only that the access failed. */
static bool same_result(const struct run *run, int64_t recorded)
{
    int64_t engine = run->outcome->value;

    if (run->event->call == RECORD_fault && engine > 0 && (recorded == -VMK_EFAULT || (recorded > 0 && recorded < 256)))
        return recorded < 0 || (engine & 0xff) == recorded;
    return recorded == engine;
}

static void print_difference(struct run *run, int64_t recorded, FILE *out)
{
    int64_t engine = run->outcome->value;

    print_call(run, out);
    if (run->replay->what_if && break_refused(run))
        fputs("fails now, the break stays at ", out);
    else if (run->replay->what_if && run->event->call == RECORD_fault)
        fputs("ends now in ", out);
    else if (run->replay->what_if && is_error(engine) && !is_error(recorded))
        fputs("fails now with ", out);
    else if (run->replay->what_if && is_error(recorded) && !is_error(engine))
        fputs("succeeds now with ", out);
    else
        fputs("the engine gives ", out);
    print_value(run, engine, out);
    fputs(", recorded was ", out);
    print_value(run, recorded, out);
}

static void say_difference(struct run *run, int64_t recorded)
{
    char *text = NULL;
    size_t len;

    if (run->replay->silent)
        return;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        return;
    print_difference(run, recorded, out);
    fclose(out);
    report_divergence(run->replay->report, run->process->pid, text);
    if (replay_may_print(run->replay))
        puts(text);
    free(text);
}

/* A call that was stripped of its result is compared with what it gives without the what-if. */
static bool recorded_result(const struct run *run, int64_t *result)
{
    const struct record_event *event = run->event;

    if (event->has_result)
        *result = event->result;
    else if (event->number != 0 && event->number <= run->replay->nr_baseline)
        *result = run->replay->baseline[event->number - 1];
    else
        return false;
    return true;
}

/* In a what-if addresses may move; what matters then is whether a call fails. */
static int compare_result(struct run *run)
{
    struct replay *replay = run->replay;
    int64_t recorded, engine = run->outcome->value;

    if (!recorded_result(run, &recorded))
        return 0;
    if (run->outcome->placed && !is_error(recorded)) {
        run->process->nr_placed++;
        run->process->nr_predicted += recorded == engine;
    }
    if (same_result(run, recorded))
        return 0;
    if (replay->what_if && run->event->call != RECORD_fault && !is_error(recorded) && !is_error(engine) &&
        break_refused(run) == break_was_refused(run, recorded)) {
        replay->nr_moved++;
        uint64_t delta = (uint64_t)engine - (uint64_t)recorded;
        return run->outcome->is_address ? replay_note_moved(run->process, (vmk_addr)recorded, run->outcome->len, delta)
                                        : 0;
    }
    run->process->divergences++;
    replay->divergences++;
    say_difference(run, recorded);
    return 0;
}

static int keep_result(struct replay *replay, int64_t value)
{
    if (replay->nr_results == replay->results_room) {
        uint64_t room = replay->results_room == 0 ? 256 : replay->results_room * 2;
        int64_t *results = realloc(replay->results, room * sizeof(*results));
        if (results == NULL)
            return replay_out_of_memory();
        replay->results = results;
        replay->results_room = room;
    }
    replay->results[replay->nr_results++] = value;
    return 0;
}

/* Its address is the result of a call that failed here. Whatever builds upon it is left out in turn. */
static int skip_event(struct run *run)
{
    run->replay->nr_skipped++;
    if (replay_may_print(run->replay))
        printf("%s:%zu: %" PRIu64 " %s: left out, since it builds upon event %" PRIu64 ", which failed\n",
               run->replay->options.file, run->replay->line, run->event->pid, record_call_name(run->event->call),
               run->failed);
    return keep_result(run->replay, -VMK_EINVAL);
}

/* For the report; the addresses are those of this run. */
static void report(const struct run *run)
{
    struct record_event event = *run->event;
    int64_t recorded;

    if (run->replay->report == NULL || run->process->mm == NULL)
        return;
    for (size_t i = 0; i < RECORD_ARGS_MAX; i++)
        event.args[i] = (struct record_value){.number = run->a[i]};
    const struct report_call call = {
        .pid = event.pid,
        .name = record_call_name(event.call),
        .event = &event,
        .result = run->outcome->value,
        .placed = run->outcome->placed && recorded_result(run, &recorded),
        .predicted = recorded_result(run, &recorded) && recorded == run->outcome->value,
    };
    report_call(run->replay->report, run->process->mm, &call);
}

int replay_event(struct replay *replay, const struct record_event *event)
{
    struct replay_outcome outcome = {0};
    struct run run = {.replay = replay, .event = event, .outcome = &outcome};

    run.process = replay_process_of(replay, event->pid);
    if (run.process == NULL)
        return EXIT_CANNOT_READ;
    int status = resolve_args(&run);
    if (status == 0 && run.failed != 0)
        return skip_event(&run);
    if (status == 0)
        status = runs[event->call](&run);
    if (status != 0)
        return status;
    if (outcome.value == -VMK_ERR_HOST_NOMEM)
        return replay_out_of_memory();
    if (outcome.is_call) {
        run.process->calls[event->call]++;
        run.process->nr_calls++;
        replay->nr_calls++;
        report(&run);
    }
    if (event->call == RECORD_fork && outcome.value == 0)
        report_child(replay->report, event->pid, run.a[0], replay_process_of(replay, run.a[0])->mm);
    status = compare_result(&run);
    return status != 0 ? status : keep_result(replay, outcome.value);
}
