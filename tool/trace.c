/* SPDX-License-Identifier: MIT */
/* trace.c - the command `vmakit trace`: options, the tracer's life, the summary. */
#include "trace.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "commands.h"

enum {
    OPTION_RANDOM = 0x100,
    OPTION_RECORD,
    OPTION_REPORT,
    OPTION_PAGE_SIZE,
    OPTION_JSON,
    OPTION_MAP,
    OPTION_FOLLOW,
    OPTION_CHECK,
    OPTION_KEEP_GOING,
    OPTION_BARE,
    OPTION_BREAK,
    OPTION_ACCESSES
};

static const struct argp_option trace_option_table[] = {
    {"accesses", OPTION_ACCESSES, NULL, 0,
     "Stop at read, write, pread64 and pwrite64 too: memory that they could not reach may have an anon_vma", 0},
    {"break", OPTION_BREAK, "RULE", 0, "Break a rule of the engine (test builds); `help' lists them", 0},
    {"check", OPTION_CHECK, "every|N|exit", 0,
     "Compare the maps after every call, every N calls, or at exit only (default: every, less often once the maps are "
     "large)",
     0},
    {"follow", OPTION_FOLLOW, "yes|no", 0, "Mirror the children of CMD too (default: yes)", 0},
    {"json", OPTION_JSON, "FILE", 0, "Write the summary and the last maps as JSON", 0},
    {"keep-going", OPTION_KEEP_GOING, NULL, 0,
     "After a divergence go on with the other address spaces; the diverged one is no longer mirrored", 0},
    {"map", OPTION_MAP, NULL, 0, "Draw the map that CMD has at its end", 0},
    {"quiet", 'q', NULL, 0, "Print only divergences and the last line", 0},
    {"random", OPTION_RANDOM, NULL, 0, "Leave the layout randomised", 0},
    {"record", OPTION_RECORD, "FILE", 0, "Write a trace that vmakit replay reads (-: standard output)", 0},
    {"page-size", OPTION_PAGE_SIZE, "16K|64K", 0, "Say which calls would fail on a kernel with larger pages, and where",
     0},
    {"report", OPTION_REPORT, "FILE", 0, "Write a page that shows the whole run (HTML, one file)", 0},
    {"bare", OPTION_BARE, NULL, 0, "Leave results out of the record", 0},
    {0},
};

int trace_parse_check(const char *text, struct trace_options *options)
{
    char *end;
    if (strcmp(text, "every") == 0) {
        options->check = TRACE_CHECK_EVERY;
        return 0;
    }
    if (strcmp(text, "exit") == 0) {
        options->check = TRACE_CHECK_EXIT;
        return 0;
    }
    errno = 0;
    options->check = TRACE_CHECK_SOME;
    options->check_interval = strtoull(text, &end, 10);
    if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || options->check_interval == 0)
        return EINVAL;
    return 0;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct trace_options *options = state->input;
    int status;

    switch (key) {
    case OPTION_ACCESSES:
        options->accesses = true;
        return 0;
    case OPTION_RANDOM:
        options->random = true;
        return 0;
    case OPTION_RECORD:
        options->record = argument;
        return 0;
    case OPTION_PAGE_SIZE:
        options->page_shift = shadow_parse_page_size(argument);
        if (options->page_shift == 0)
            argp_error(state, "--page-size=%s: it is 16K or 64K", argument);
        return 0;
    case OPTION_REPORT:
        if (!VMAKIT_HAVE_JANSSON)
            argp_error(state, "--report: this vmakit was built without jansson");
        options->report = argument;
        return 0;
    case OPTION_JSON:
        options->json = argument;
        return 0;
    case OPTION_MAP:
        options->map = true;
        return 0;
    case OPTION_BARE:
        options->bare = true;
        return 0;
    case OPTION_BREAK:
        if (!command_break("trace", argument, &status))
            exit(status);
        return 0;
    case OPTION_KEEP_GOING:
        options->keep_going = true;
        return 0;
    case 'q':
        options->quiet = true;
        return 0;
    case OPTION_FOLLOW:
        options->no_follow = strcmp(argument, "no") == 0;
        if (!options->no_follow && strcmp(argument, "yes") != 0)
            argp_error(state, "--follow=%s: it is yes or no", argument);
        return 0;
    case OPTION_CHECK:
        if (trace_parse_check(argument, options) != 0)
            argp_error(state, "--check=%s: it is every, a number of calls from 1, or exit", argument);
        return 0;
    case ARGP_KEY_ARG:
        options->command = &state->argv[state->next - 1];
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "no command to trace");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp trace_argp = {
    .options = trace_option_table,
    .parser = parse_option,
    .args_doc = "CMD [ARGUMENT...]",
    .doc = "Runs CMD and mirrors every memory call into the engine: its result is predicted when the call is entered, "
           "and the areas are compared with the kernel's."
           "\vThe summary goes to standard error. The exit status is CMD's own (128 + N for signal N); 120 after a "
           "divergence, 121 when CMD cannot be traced or mirrored, 126 and 127 when it cannot be executed or found.",
};

/* Each open file description that is mapped costs the tracer a descriptor. */
static void raise_descriptor_limit(struct tracer *tracer)
{
    getrlimit(RLIMIT_NOFILE, &tracer->descriptors);
    struct rlimit limit = tracer->descriptors;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* Only then does anything depend on what kview_probe_image sees: other layouts are read from the program itself. */
static bool stack_is_unlimited(void)
{
    struct rlimit stack;
    return getrlimit(RLIMIT_STACK, &stack) == 0 && stack.rlim_cur == RLIM_INFINITY;
}

int trace_create_system(struct tracer *tracer, void (*adjust)(struct tracer *tracer, struct vmk_sysctl *sysctl))
{
    struct vmk_system_options options;
    vmk_system_options_init(&options, vmk_port_linux());
    int error = kview_probe(&options.settings, &options.sysctl);
    if (error == 0 && (tracer->options.lays_out || stack_is_unlimited()))
        kview_probe_image(&options.settings);
    if (error == 0 && adjust != NULL)
        adjust(tracer, &options.sysctl);
    if (error == 0)
        error = vmk_system_create(&options, &tracer->system);
    if (error != 0)
        fprintf(stderr, "vmakit: %s: this kernel cannot be mirrored: error %d\n", tracer->mode->name, -error);
    return error;
}

/* Before CMD runs: what it does may not be done twice. */
static int open_json(struct tracer *tracer)
{
    const char *path = tracer->options.json;
    if (path == NULL)
        return 0;
    tracer->json = fopen(path, "we");
    if (tracer->json == NULL)
        fprintf(stderr, "vmakit: trace: %s: %s\n", path, strerror(errno));
    return tracer->json == NULL ? -1 : 0;
}

static int open_record(struct tracer *tracer)
{
    const char *path = tracer->options.record;
    if (path == NULL)
        return 0;
    int error = record_open(path, &tracer->record);
    if (error != 0) {
        fprintf(stderr, "vmakit: trace: %s: %s\n", path, strerror(-error));
        return error;
    }
    struct vmk_sysctl sysctl;
    vmk_system_sysctl(tracer->system, &sysctl);
    record_strip_results(tracer->record, tracer->options.bare);
    record_settings(tracer->record, vmk_system_settings(tracer->system), &sysctl);
    return 0;
}

static void choose_interval(struct tracer *tracer)
{
    switch (tracer->options.check) {
    case TRACE_CHECK_SOME:
        tracer->interval = tracer->options.check_interval;
        break;
    case TRACE_CHECK_EXIT:
        tracer->interval = 0;
        break;
    default:
        tracer->interval = 1;
    }
}

/*
 * The system is not destroyed: this process ends now, and destroying would wait for what is deferred, up to the 10 ms that
 * liburcu's thread sleeps. A search for leaks finds it here (volatile: else nobody would store what nobody reads).
 */
static struct vmk_system *volatile left;

void trace_free(struct tracer *tracer)
{
    while (tracer->tasks != NULL)
        trace_task_free(tracer, tracer->tasks);
    while (tracer->processes != NULL) {
        struct trace_process *next = tracer->processes->next;
        free(tracer->processes->report);
        free(tracer->processes);
        tracer->processes = next;
    }
    if (tracer->record != NULL)
        record_close(tracer->record);
    if (tracer->json != NULL)
        fclose(tracer->json);
    trace_report_free(tracer);
    kview_free(&tracer->view);
    kview_free(&tracer->at_exec);
    kview_free(&tracer->at_exit);
    left = tracer->system;
}

/* Everything that is written at the end; an exit status when that fails. */
static int finish(struct tracer *tracer, int status)
{
    int failed = 0;
    if (tracer->record != NULL) {
        int error = record_close(tracer->record);
        tracer->record = NULL;
        if (error != 0) {
            fprintf(stderr, "vmakit: trace: %s: %s\n", tracer->options.record, strerror(-error));
            failed = EXIT_NO_RESOURCE;
        }
    }
    if (trace_report_close(tracer) != 0)
        failed = EXIT_NO_RESOURCE;
    if (tracer->json != NULL && trace_write_json(tracer) != 0)
        failed = EXIT_NO_RESOURCE;
    trace_draw(tracer, stderr);
    trace_report_summary(tracer, stderr);
    trace_summary(tracer, stderr);
    if (tracer->divergences != 0)
        return EXIT_TRACE_DIVERGED;
    if (tracer->nr_unmirrored != 0)
        return EXIT_TRACE_FAILED;
    return failed != 0 ? failed : status;
}

int trace_live(struct tracer *tracer, int (*finish_with)(struct tracer *tracer, int status))
{
    raise_descriptor_limit(tracer);
    tracer->last_process = &tracer->processes;
    int status = trace_start(tracer);
    if (status == 0) {
        status = trace_loop(tracer);
        int failed = trace_start_failed(tracer);
        status = failed != 0 ? failed : finish_with(tracer, status);
    }
    trace_free(tracer);
    return status;
}

static enum trace_way enter(struct tracer *tracer, struct trace_task *task)
{
    return trace_call_enter(tracer, task) ? TRACE_SEE_END : TRACE_GO_ON;
}

static enum trace_way leave(struct tracer *tracer, struct trace_task *task, int64_t value)
{
    trace_call_leave(tracer, task, value);
    return TRACE_GO_ON;
}

const struct trace_mode trace_mode_trace = {.name = "trace", .enter = enter, .leave = leave};

int cmd_trace(int argc, char **argv)
{
    struct tracer tracer = {
        .mode = &trace_mode_trace, .looks_for_forced = true, .options = {.check = TRACE_CHECK_AUTO}};
    if (argp_parse(&trace_argp, argc, argv, ARGP_IN_ORDER, NULL, &tracer.options) != 0)
        return EXIT_USAGE;
    choose_interval(&tracer);
    if (trace_create_system(&tracer, NULL) != 0)
        return EXIT_TRACE_FAILED;
    if (open_record(&tracer) != 0 || open_json(&tracer) != 0 || trace_report_open(&tracer) != 0) {
        trace_free(&tracer);
        return EXIT_NO_RESOURCE;
    }
    return trace_live(&tracer, finish);
}
