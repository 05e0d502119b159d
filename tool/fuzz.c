/* SPDX-License-Identifier: MIT */
/* fuzz.c - vmakit fuzz: options, the loop, the summary. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "fuzz.h"
#include "fuzz_comm.h"

#define MANY_OPS    UINT64_C(1000000) /* a run that must have hit each cell ... */
#define ENOUGH_HITS UINT64_C(100)     /* ... so often */
#define FORK_CHAINS 20                /* and have followed so many fork chains to their full depth */

struct options {
    uint64_t ops, seed, first, length;
    double minutes;
    const char *rule, *replay, *output, *record, *transcript;
    bool calls_given, calls[FUZZ_NR_CALLS];
    bool verbose, kernel_only, keep_long, only_one, check_recordings;
    unsigned max_divergences;
    uint64_t least_hits; /* 0: cells are not checked */
};

enum {
    KEY_CALLS = 0x100,
    KEY_REPLAY,
    KEY_OUTPUT,
    KEY_KERNEL,
    KEY_LONG,
    KEY_SEQUENCE,
    KEY_LENGTH,
    KEY_MAX,
    KEY_BREAK,
    KEY_RECORD,
    KEY_CHECK_RECORDS,
    KEY_CELLS,
    KEY_CHECK_CELLS,
    KEY_TRANSCRIPT
};

static const struct argp_option argp_options[] = {
    {"ops", 'n', "N", 0, "Operations to run (default 100000)", 0},
    {"seed", 's', "S", 0, "Seed of the sequences (default 1): the same seed does the same", 0},
    {"minutes", 'm', "M", 0, "Stop after M minutes, whatever --ops says", 0},
    {"calls", KEY_CALLS, "LIST", 0, "Only these calls, comma-separated; `help' lists them", 0},
    {"length", KEY_LENGTH, "N", 0, "Operations in a sequence (default 100 to 400)", 0},
    {"sequence", KEY_SEQUENCE, "K", 0, "Run sequence K of the seed alone", 0},
    {"replay-seq", KEY_REPLAY, "FILE", 0, "Run one sequence that was written before, on the kernel and the engine", 0},
    {"record", KEY_RECORD, "FILE", 0, "With --replay-seq: write what the kernel answers for `vmakit replay'", 0},
    {"check-recordings", KEY_CHECK_RECORDS, NULL, 0, "Record each sequence, and replay the recording: it must agree",
     0},
    {"cells", KEY_CELLS, NULL, 0, "List the results that each call can come to here", 0},
    {"check-cells", KEY_CHECK_CELLS, "N", OPTION_ARG_OPTIONAL,
     "Fail when one of them was hit fewer than N times (default 100: for a million operations)", 0},
    {"output", 'o', "DIR", 0, "Where failing sequences are written, as .seq and as .trace (default: here)", 0},
    {"max-divergences", KEY_MAX, "N", 0, "Stop after N divergences (default 10)", 0},
    {"no-shrink", KEY_LONG, NULL, 0, "Leave failing sequences as long as they are", 0},
    {"kernel-only", KEY_KERNEL, NULL, 0, "Do not ask the engine: what does the generator reach?", 0},
    {"transcript", KEY_TRANSCRIPT, "FILE", 0,
     "With --kernel-only: write each operation, its result and what it changed; two kernels, or `vmakit run', compare",
     0},
    {"break", KEY_BREAK, "RULE", 0, "Break a rule of the engine (test builds); `help' lists them", 0},
    {"verbose", 'v', NULL, 0, "Print each operation", 0},
    {0},
};

static void list_calls(FILE *out)
{
    for (uint32_t call = 0; call < FUZZ_NR_CALLS; call++)
        fprintf(out, "%s\n", fuzz_call_name(call));
}

/* "touch" stands for all accesses to memory. */
static bool enable_calls(struct options *options, const char *text)
{
    char *save = NULL, *list = strdup(text); /* the program may be run again with the same arguments */
    bool known = list != NULL;

    options->calls_given = true;
    for (char *word = strtok_r(list, ",", &save); word != NULL; word = strtok_r(NULL, ",", &save)) {
        int call = fuzz_call_find(word);

        if (strcmp(word, "touch") == 0) {
            for (call = FUZZ_TOUCH_READ; call <= FUZZ_PROC_MEM_WRITE; call++)
                options->calls[call] = true;
        } else if (call < 0) {
            known = false;
        } else {
            options->calls[call] = true;
        }
    }
    free(list);
    return known;
}

static uint64_t number(const char *text, struct argp_state *state)
{
    char *end;
    uint64_t value;

    errno = 0;
    value = strtoull(text, &end, 0);
    if (errno != 0 || *end != '\0' || end == text || text[0] == '-')
        argp_error(state, "'%s' is not a number", text);
    return value;
}

static void check_together(const struct options *options, const struct argp_state *state)
{
    if (options->record != NULL && (options->replay == NULL || options->kernel_only))
        argp_error(state, "--record goes with --replay-seq, and not with --kernel-only");
    if (options->transcript != NULL && !options->kernel_only)
        argp_error(state, "--transcript goes with --kernel-only");
    if (options->check_recordings && options->kernel_only)
        argp_error(state, "--check-recordings does not go with --kernel-only");
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
    struct options *options = state->input;
    char *end;

    switch (key) {
    case 'n':
        options->ops = number(text, state);
        break;
    case 's':
        options->seed = number(text, state);
        break;
    case 'm':
        options->minutes = strtod(text, &end);
        if (*end != '\0' || options->minutes <= 0)
            argp_error(state, "'%s' is not a number of minutes", text);
        break;
    case KEY_CALLS:
        if (strcmp(text, "help") == 0) {
            list_calls(stdout);
            exit(EXIT_GOOD);
        }
        if (!enable_calls(options, text))
            argp_error(state, "--calls has an unknown call; --calls=help lists them");
        break;
    case KEY_LENGTH:
        options->length = number(text, state);
        if (options->length == 0 || options->length > FUZZ_MAX_OPS)
            argp_error(state, "--length is 1 to %d", FUZZ_MAX_OPS);
        break;
    case KEY_SEQUENCE:
        options->first = number(text, state);
        options->only_one = true;
        break;
    case KEY_REPLAY:
        options->replay = text;
        break;
    case 'o':
        options->output = text;
        break;
    case KEY_MAX:
        options->max_divergences = (unsigned)number(text, state);
        break;
    case KEY_LONG:
        options->keep_long = true;
        break;
    case KEY_KERNEL:
        options->kernel_only = true;
        break;
    case KEY_BREAK:
        options->rule = text;
        break;
    case KEY_TRANSCRIPT:
        options->transcript = text;
        break;
    case KEY_RECORD:
        options->record = text;
        break;
    case KEY_CELLS:
        fuzz_cells_print(stdout);
        exit(EXIT_GOOD);
    case KEY_CHECK_CELLS:
        options->least_hits = text != NULL ? number(text, state) : ENOUGH_HITS;
        break;
    case KEY_CHECK_RECORDS:
        options->check_recordings = true;
        break;
    case ARGP_KEY_END:
        check_together(options, state);
        break;
    case 'v':
        options->verbose = true;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s': fuzz takes no arguments", text);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* ---- A process whose layout is the same in each run ---- */

/* Runs this program again without randomisation, with the usual stack limit; returns when that is so, or cannot be. */
static void settle_layout(char **argv)
{
    static char name[] = "vmakit", again[] = "fuzz";
    struct rlimit stack = {.rlim_cur = (rlim_t)8 << 20, .rlim_max = RLIM_INFINITY};
    struct rlimit now;
    int current = personality(0xffffffff);
    char *args[64] = {name, again};
    size_t nr = 2;

    getrlimit(RLIMIT_STACK, &now);
    if (current != -1 && (current & ADDR_NO_RANDOMIZE) != 0 && now.rlim_cur == stack.rlim_cur)
        return;
    if (getenv("VMAKIT_FUZZ_AGAIN") != NULL)
        return;
    for (size_t i = 1; argv[i] != NULL && nr < 63; i++)
        args[nr++] = argv[i];
    stack.rlim_max = now.rlim_max;
    setrlimit(RLIMIT_STACK, &stack);
    personality((unsigned long)(current | ADDR_NO_RANDOMIZE));
    setenv("VMAKIT_FUZZ_AGAIN", "1", 1);
    execv("/proc/self/exe", args);
}

/* Both processes on one processor: the hand-over is quickest there. */
static void settle_processor(void)
{
    cpu_set_t set;
    int cpu = sched_getcpu();

    if (cpu < 0)
        return;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    sched_setaffinity(0, sizeof(set), &set);
}

static volatile sig_atomic_t stopped;

static void on_stop(int signo)
{
    (void)signo;
    stopped = 1;
}

/* A sequence takes well below a second: after half a minute the engine will not come back. */
static const struct fuzz_sequence *running;

static void on_alarm(int signo)
{
    static const char path[] = "/tmp/vmakit-fuzz-hung.seq";
    FILE *file = fopen(path, "we");

    (void)signo;
    if (file != NULL && running != NULL)
        fuzz_sequence_write(file, running);
    fprintf(stderr, "vmakit fuzz: the engine hangs; written: %s\n", path);
    if (file != NULL)
        fclose(file);
    _exit(EXIT_DIFFERENT);
}

/* ---- The host's settings ---- */

/*
 * tests/oracle/test_host_settings_alone.sh changes settings of the whole host. It holds both files' locks; a sequence
 * holds the second, and waits at the first, so that it does not keep that test waiting for ever. -1 where there is no
 * such file to be had, and in that test's own runs.
 */
static int lock_host(void)
{
    int turn, held;

    if (getenv("VMAKIT_HOST_LOCKED") != NULL)
        return -1;
    turn = open("/tmp/vmakit-host-settings.turn", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    held = open("/tmp/vmakit-host-settings.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (turn >= 0 && held >= 0) {
        while (!stopped && flock(turn, LOCK_EX) != 0 && errno == EINTR)
            continue;
        while (!stopped && flock(held, LOCK_SH) != 0 && errno == EINTR)
            continue;
    }
    if (turn >= 0)
        close(turn);
    return held;
}

static void unlock_host(int held)
{
    if (held >= 0)
        close(held);
}

/* ---- The loop ---- */

struct session {
    const struct options *options;
    struct fuzz_files files;
    struct fuzz_child child;
    struct fuzz_table table;
    struct fuzz_run *run;
    struct fuzz_sequence *sequence;
    struct fuzz_generator generator;
    uint64_t nr_sequences, nr_divergences;
    uint64_t chains[FUZZ_MAX_DEPTH + 1]; /* sequences by the depth that their fork chain reached */
    struct timespec begun;
};

static double seconds_since(const struct timespec *then)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - then->tv_sec) + (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

/* Where a failing sequence goes. */
static void path_of(const struct session *session, uint64_t index, const char *ending, char *path, size_t size)
{
    snprintf(path, size, "%s/vmakit-fuzz-%" PRIu64 "-%" PRIu64 ".%s",
             session->options->output != NULL ? session->options->output : ".", session->options->seed, index, ending);
}

static void write_sequence(const struct session *session, uint64_t index)
{
    char path[512];
    FILE *file;

    path_of(session, index, "seq", path, sizeof(path));
    file = fopen(path, "we");
    if (file == NULL || fuzz_sequence_write(file, session->sequence) != 0)
        fprintf(stderr, "vmakit fuzz: cannot write %s: %s\n", path, strerror(errno));
    else
        printf("written: %s (vmakit fuzz --replay-seq runs it on the kernel again)\n", path);
    if (file != NULL)
        fclose(file);
}

/* Runs the sequence once more, and writes down what the kernel answers. The outcome of the run. */
static int run_recorded(struct fuzz_run *run, struct fuzz_sequence *sequence, const char *path)
{
    int error = fuzz_record_open(path, &run->record), outcome = 0;

    if (error == 0) {
        outcome = fuzz_run_sequence(run, sequence, NULL, 0);
        error = fuzz_record_close(run->record);
        run->record = NULL;
    }
    if (error != 0)
        fprintf(stderr, "vmakit fuzz: cannot write %s: %s\n", path, strerror(-error));
    return outcome;
}

static void write_recording(const struct session *session, uint64_t index)
{
    uint64_t nr_different = 0;
    char path[512];

    path_of(session, index, "trace", path, sizeof(path));
    if (run_recorded(session->run, session->sequence, path) != 1 || fuzz_record_replay(path, &nr_different) != 0)
        printf("no recording: the sequence does not diverge when it is run again\n");
    else if (nr_different != 0)
        printf("written: %s (vmakit replay shows the same without the kernel)\n", path);
    else
        printf("written: %s (what differs is not part of a recording: vmakit replay agrees)\n", path);
}

/* A sequence diverged: says where, makes it small, prints and writes it. */
static void report(struct session *session, uint64_t index)
{
    struct fuzz_run *run = session->run;
    struct fuzz_table *table = run->table;
    uint64_t nr_ops = run->nr_ops;
    bool verbose = run->verbose;
    int lock = lock_host();

    run->table = NULL;
    session->nr_divergences++;
    printf("\ndivergence in sequence %" PRIu64 ", operation %zu: %s\n", index, run->failed_at, run->difference.what);
    if (run->failed_at + 1 < session->sequence->nr_ops)
        session->sequence->nr_ops = run->failed_at + 1;
    if (!session->options->keep_long) {
        unsigned runs = fuzz_shrink(run, session->sequence);

        printf("%zu operations remain after %u runs; dropped CAP_IPC_LOCK: %s:\n", session->sequence->nr_ops, runs,
               session->sequence->config.drop_ipc_lock ? "yes" : "no");
        run->verbose = true;
        fuzz_run_sequence(run, session->sequence, NULL, 0);
        printf("%s\n", run->difference.what);
    }
    run->verbose = false;
    write_sequence(session, index);
    write_recording(session, index);
    unlock_host(lock);
    run->verbose = verbose;
    run->table = table;
    run->nr_ops = nr_ops;
}

/* One generated sequence; with --check-recordings its recording must replay without a difference. */
static int run_generated(struct session *session, uint64_t index, size_t nr_ops)
{
    struct fuzz_run *run = session->run;
    uint64_t nr_different = 0;
    char path[512];
    int outcome, error = 0, lock;

    path_of(session, index, "trace", path, sizeof(path));
    if (session->options->check_recordings)
        error = fuzz_record_open(path, &run->record);
    lock = lock_host();
    outcome = fuzz_run_sequence(run, session->sequence, &session->generator, nr_ops);
    unlock_host(lock);
    if (run->record != NULL)
        error = fuzz_record_close(run->record);
    run->record = NULL;
    if (!session->options->check_recordings || outcome != 0)
        return outcome;
    if (error == 0)
        error = fuzz_record_replay(path, &nr_different);
    if (error != 0 || nr_different == 0) {
        unlink(path);
        return error;
    }
    printf("sequence %" PRIu64 ": its recording does not replay: %s\n", index, path);
    session->nr_divergences++;
    return 0;
}

static int loop(struct session *session)
{
    const struct options *options = session->options;
    uint64_t shown = 0;

    for (uint64_t index = options->first; !stopped && session->run->nr_ops < options->ops; index++) {
        struct fuzz_random random;
        uint64_t left = options->ops - session->run->nr_ops, length;
        int outcome;

        if (options->minutes > 0 && seconds_since(&session->begun) > options->minutes * 60)
            break;
        fuzz_generator_config(&session->sequence->config, options->seed, index);
        random.state = session->sequence->config.seed ^ UINT64_C(0x5851f42d4c957f2d);
        length = options->length != 0 ? options->length : 100 + fuzz_below(&random, 300);
        fuzz_generator_begin(&session->generator, &session->sequence->config);
        outcome = run_generated(session, index, length < left ? length : left);
        session->nr_sequences++;
        session->chains[session->generator.depth]++;
        if (outcome < 0) {
            fprintf(stderr, "vmakit fuzz: sequence %" PRIu64 ", operation %zu: %s: %s\n", index,
                    session->run->failed_at, session->run->difference.what, strerror(-outcome));
            write_sequence(session, index);
            return EXIT_NO_RESOURCE;
        }
        if (outcome == 1)
            report(session, index);
        if (options->only_one || session->nr_divergences >= options->max_divergences)
            break;
        if (isatty(2) && session->run->nr_ops - shown >= 20000) {
            shown = session->run->nr_ops;
            fprintf(stderr, "\r%" PRIu64 " operations, %.0f a second ", shown,
                    (double)shown / seconds_since(&session->begun));
        }
    }
    return session->nr_divergences != 0 ? EXIT_DIFFERENT : EXIT_GOOD;
}

/* ---- The summary ---- */

static size_t median_areas(const struct fuzz_run *run)
{
    uint64_t sum = 0, half = 0;

    for (size_t i = 0; i <= FUZZ_MAX_AREAS; i++)
        sum += run->areas_seen[i];
    for (size_t i = 0; i <= FUZZ_MAX_AREAS; i++) {
        half += run->areas_seen[i];
        if (half * 2 >= sum)
            return i;
    }
    return 0;
}

static void print_counters(struct session *session)
{
    struct vmk_counters counters;

    if (session->run->engine == NULL)
        return;
    vmk_system_counters(fuzz_engine_system(session->run->engine), &counters);
    printf("merges: previous %" PRIu64 ", next %" PRIu64 ", both %" PRIu64 "; splits %" PRIu64 "\n",
           counters.merge_prev, counters.merge_next, counters.merge_both, counters.split);
    printf("merges refused by: flags %" PRIu64 ", file %" PRIu64 ", page offset %" PRIu64 ", anon_vma %" PRIu64
           ", policy %" PRIu64 ", userfaultfd %" PRIu64 ", name %" PRIu64 ", close hook %" PRIu64 ", special %" PRIu64
           "\n",
           counters.refuse_flags, counters.refuse_file, counters.refuse_pgoff, counters.refuse_anon_vma,
           counters.refuse_policy, counters.refuse_uffd, counters.refuse_name, counters.refuse_close,
           counters.refuse_special);
    printf("anon_vmas: new %" PRIu64 ", reused %" PRIu64 "; stacks grown %" PRIu64 "; forks %" PRIu64 "\n",
           counters.anon_vma_new, counters.anon_vma_reused, counters.stack_growth, counters.fork);
}

/* A chain: a fork whose child goes on, and forks in its turn. */
static void print_chains(const struct session *session)
{
    printf("sequences by depth of their fork chain:");
    for (unsigned depth = 0; depth <= FUZZ_MAX_DEPTH; depth++)
        printf(" %u: %" PRIu64 "%s", depth, session->chains[depth], depth < FUZZ_MAX_DEPTH ? "," : "\n");
}

/* All that is not compared, or is not run at all. */
static void print_left_out(const struct session *session)
{
    static const char *const reasons[FUZZ_NR_LEFT_OUT] = {"",
#define REASON(reason, text) text,
                                                          FUZZ_LEFT_OUT(REASON)
#undef REASON
    };
    const char *here = session->files.left_out;

    printf("not compared: inode numbers that the kernel chooses (only whether they are the same), the vsyscall page, "
           "the lines of smaps and status about pages, mincore's answer\n");
    for (size_t i = 1; i < FUZZ_NR_LEFT_OUT; i++)
        printf("left out, %" PRIu64 " times: %s\n", session->generator.left_out[i], reasons[i]);
    printf(
        "left out: MADV_HWPOISON and MADV_SOFT_OFFLINE, which harm the machine; mlock where guard pages or "
        "userfaultfd may lie; MPOL_MF_STRICT with other nodes or none; userfaultfd's minor faults, events and pages "
        "that it gives; process_madvise of another process; clone with CLONE_VM and exec, which vmakit trace has%s%s\n",
        here[0] != '\0' ? "; not to be had here: " : "", here);
}

/* What a long run must have reached; false when it has not, and was asked to. */
static bool check_reach(const struct session *session)
{
    uint64_t least = session->options->least_hits;
    double success = fuzz_table_success(&session->table);
    size_t median = median_areas(session->run);
    bool good = true;

    if (least == 0 && session->run->nr_ops < MANY_OPS)
        return true;
    good = fuzz_cells_check(stdout, &session->table, least != 0 ? least : ENOUGH_HITS) == 0;
    if (success < 40 || success > 80 || median < 30) {
        printf("40 to 80 %% of calls should succeed, and the median map have 30 areas\n");
        good = false;
    }
    if (session->run->nr_ops >= MANY_OPS && session->chains[FUZZ_MAX_DEPTH] < FORK_CHAINS) {
        printf("%d fork chains should be %d deep\n", FORK_CHAINS, FUZZ_MAX_DEPTH);
        good = false;
    }
    return good || least == 0;
}

/* False when cells were to be checked and are too few. */
static bool summary(struct session *session)
{
    double seconds = seconds_since(&session->begun);
    bool good;

    printf("\n");
    fuzz_table_print(stdout, &session->table);
    print_counters(session);
    print_chains(session);
    printf("%" PRIu64
           " sequences, %.1f %% of calls succeed, median map of %zu areas, %.0f seconds, %.0f us an operation\n",
           session->nr_sequences, fuzz_table_success(&session->table), median_areas(session->run), seconds,
           session->run->nr_ops != 0 ? seconds * 1e6 / (double)session->run->nr_ops : 0.0);
    print_left_out(session);
    good = check_reach(session);
    printf("%" PRIu64 " operations, %" PRIu64 " divergences\n", session->run->nr_ops, session->nr_divergences);
    return good;
}

static int replay(struct session *session)
{
    FILE *file = fopen(session->options->replay, "re");
    size_t bad;
    int outcome, lock;

    if (file == NULL) {
        fprintf(stderr, "vmakit fuzz: %s: %s\n", session->options->replay, strerror(errno));
        return EXIT_CANNOT_READ;
    }
    bad = fuzz_sequence_read(file, session->sequence);
    fclose(file);
    if (bad != 0) {
        fprintf(stderr, "vmakit fuzz: %s:%zu: not an operation\n", session->options->replay, bad);
        return EXIT_CANNOT_READ;
    }
    if (session->sequence->nr_ops == 0) {
        fprintf(stderr, "vmakit fuzz: %s: there is no operation in it\n", session->options->replay);
        return EXIT_CANNOT_READ;
    }
    session->run->verbose = true;
    lock = lock_host();
    outcome = session->options->record == NULL
                  ? fuzz_run_sequence(session->run, session->sequence, NULL, 0)
                  : run_recorded(session->run, session->sequence, session->options->record);
    unlock_host(lock);
    if (outcome != 0)
        printf("%s\n", session->run->difference.what);
    for (size_t i = 0; session->options->kernel_only && i < session->run->view.nr_areas; i++)
        printf("    %s | %s\n", session->run->view.areas[i].line, session->run->view.areas[i].flags);
    session->nr_divergences = outcome == 1;
    return outcome < 0 ? EXIT_NO_RESOURCE : outcome == 1 ? EXIT_DIFFERENT : EXIT_GOOD;
}

/* False after a message. */
static bool close_transcript(struct session *session)
{
    int error = fuzz_transcript_close(session->run->transcript);

    session->run->transcript = NULL;
    if (error != 0)
        fprintf(stderr, "vmakit fuzz: cannot write %s: %s\n", session->options->transcript, strerror(-error));
    return error == 0;
}

static int begin(struct session *session)
{
    int error = fuzz_files_open(&session->files);

    if (error == 0)
        error = fuzz_child_init(&session->child, &session->files);
    if (error != 0) {
        fprintf(stderr, "vmakit fuzz: cannot start a process to experiment with: %s\n", strerror(-error));
        return EXIT_NO_RESOURCE;
    }
    if (session->options->transcript != NULL)
        error = fuzz_transcript_open(session->options->transcript, &session->run->transcript);
    if (error != 0) {
        fprintf(stderr, "vmakit fuzz: cannot write %s: %s\n", session->options->transcript, strerror(-error));
        return EXIT_NO_RESOURCE;
    }
    session->run->child = &session->child;
    session->run->table = &session->table;
    session->run->verbose = session->options->verbose;
    session->run->text_start = session->generator.text_start = session->child.comm->text_start;
    session->run->text_end = session->generator.text_end = session->child.comm->text_end;
    session->generator.files = &session->files;
    session->generator.start_brk = session->child.start_brk;
    session->generator.enabled = session->options->calls_given ? session->options->calls : NULL;
    if (!session->options->kernel_only) {
        int lock = lock_host(); /* the engine asks for the settings */

        session->run->engine = fuzz_engine_create(&session->files);
        unlock_host(lock);
        if (session->run->engine == NULL) {
            fprintf(stderr, "vmakit fuzz: the engine cannot be created\n");
            return EXIT_NO_RESOURCE;
        }
    }
    return EXIT_GOOD;
}

int cmd_fuzz(int argc, char **argv)
{
    static const struct argp argp = {
        .options = argp_options,
        .parser = parse_option,
        .doc = "Runs random memory calls on the running kernel and on the engine, and compares after each one.",
    };
    struct options options = {.ops = 100000, .seed = 1, .max_divergences = 10};
    struct sigaction action = {.sa_handler = on_stop};
    struct session *session;
    int status;

    argp_parse(&argp, argc, argv, 0, NULL, &options);
    if (options.rule != NULL && !command_break("fuzz", options.rule, &status))
        return status;
    settle_layout(argv);
    settle_processor();
    session = calloc(1, sizeof(*session));
    if (session != NULL) {
        session->run = calloc(1, sizeof(*session->run));
        session->sequence = calloc(1, sizeof(*session->sequence));
    }
    if (session == NULL || session->run == NULL || session->sequence == NULL)
        return EXIT_NO_RESOURCE;
    session->options = &options;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = on_alarm;
    sigaction(SIGALRM, &action, NULL);
    running = session->sequence;
    status = begin(session);
    clock_gettime(CLOCK_MONOTONIC, &session->begun);
    if (status == EXIT_GOOD) {
        status = options.replay != NULL ? replay(session) : loop(session);
        fuzz_child_exit(&session->child);
        if (options.replay == NULL && !summary(session) && status == EXIT_GOOD)
            status = EXIT_DIFFERENT;
    }
    fuzz_child_exit(&session->child);
    if (!close_transcript(session) && status == EXIT_GOOD)
        status = EXIT_NO_RESOURCE;
    fuzz_engine_destroy(session->run->engine);
    fuzz_files_close(&session->files);
    fuzz_view_free(&session->run->view);
    free(session->run);
    free(session->sequence);
    free(session);
    return status;
}
