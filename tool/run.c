/* SPDX-License-Identifier: MIT */
/* run.c - the command `vmakit run`: options, the summary. */
#include "run.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"

enum {
    OPTION_BASE = 0x100,
    OPTION_BOTTOM_UP,
    OPTION_CHECK,
    OPTION_FAIL,
    OPTION_GUARD,
    OPTION_KERNEL_PROC,
    OPTION_MAX_MAP_COUNT,
    OPTION_OVERCOMMIT,
    OPTION_OVERCOMMIT_RATIO,
    OPTION_PAGE_SIZE,
    OPTION_RAM,
    OPTION_RANDOM,
    OPTION_REPORT,
    OPTION_RLIMIT,
    OPTION_SEED,
    OPTION_UNTOUCHED,
    OPTION_VA_BITS,
    OPTION_WINDOW
};

static const struct argp_option run_option_table[] = {
    {"base", OPTION_BASE, "ADDRESS", 0, "Where free placement ends (with --bottom-up: begins); hexadecimal", 0},
    {"bottom-up", OPTION_BOTTOM_UP, NULL, 0, "Free placement from below", 0},
    {"check", OPTION_CHECK, "every|N|exit|none", 0,
     "Compare the engine's areas with the kernel's after every call, every N calls, at the end of each process "
     "(default), "
     "or never",
     0},
    {"fail", OPTION_FAIL, "N|P", 0,
     "Let the Nth memory call fail, or each with probability P (0.01 or 1%), with the error that Linux would give", 0},
    {"guard", OPTION_GUARD, NULL, 0, "Leave a page free behind every mapping that the engine places", 0},
    {"kernel-proc", OPTION_KERNEL_PROC, NULL, 0,
     "Leave maps, smaps and status of /proc to the kernel: opening files is faster then", 0},
    {"max-map-count", OPTION_MAX_MAP_COUNT, "N", 0, "Areas that an address space may have (vm.max_map_count)", 0},
    {"overcommit", OPTION_OVERCOMMIT, "0|1|2", 0, "vm.overcommit_memory of the pretended machine", 0},
    {"overcommit-ratio", OPTION_OVERCOMMIT_RATIO, "PERCENT", 0, "vm.overcommit_ratio, for mode 2", 0},
    {"page-size", OPTION_PAGE_SIZE, "16K|64K", 0,
     "Say which calls would fail on a kernel with larger pages, and where; nothing else changes", 0},
    {"quiet", 'q', NULL, 0, "Print only divergences", 0},
    {"ram", OPTION_RAM, "SIZE", 0, "Memory of the pretended machine, without swap: 512M, 16G", 0},
    {"random", OPTION_RANDOM, NULL, 0, "Leave the layout randomised", 0},
    {"report", OPTION_REPORT, "FILE", 0, "Write a page that shows the whole run (HTML, one file)", 0},
    {"rlimit", OPTION_RLIMIT, "NAME=SIZE,...", 0,
     "Limits that CMD has: AS, DATA, STACK, MEMLOCK; SIZE as in 64K, 1G, or unlimited", 0},
    {"seed", OPTION_SEED, "N", 0,
     "A layout at random, the same for the same N; N also draws the calls of --fail (default: 1)", 0},
    {"untouched", OPTION_UNTOUCHED, NULL, 0,
     "Run setuid and 32-bit programs that CMD executes, the kernel deciding for them, instead of refusing them", 0},
    {"va-bits", OPTION_VA_BITS, "N", 0, "Width of an address: 39 for that of small arm64 kernels", 0},
    {"window", OPTION_WINDOW, "LOW-HIGH", 0, "Everything lies in this range; hexadecimal, as in maps", 0},
    {0},
};

/* ---- Options ---- */

static bool parse_number(const char *text, uint64_t low, uint64_t high, uint64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 0);
    return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *number >= low && *number <= high;
}

static bool parse_check(const char *text, struct trace_options *options)
{
    if (strcmp(text, "none") == 0) {
        options->check = TRACE_CHECK_NONE;
        return true;
    }
    return trace_parse_check(text, options) == 0;
}

static bool parse_ram(const char *text, uint64_t *ram)
{
    return run_parse_size(text, ram) && *ram != 0 && *ram != VMK_RLIM_INFINITY;
}

static bool parse_base(const char *text, vmk_addr *base)
{
    char *end;
    errno = 0;
    *base = strtoull(text, &end, 16);
    return errno == 0 && *text != '-' && end != text && *end == '\0' && *base != 0;
}

static bool parse_own(int key, const char *argument, struct run_options *options)
{
    uint64_t number;
    switch (key) {
    case OPTION_MAX_MAP_COUNT:
        return parse_number(argument, 1, UINT32_MAX, &options->max_map_count);
    case OPTION_OVERCOMMIT:
        if (!parse_number(argument, 0, 2, &number))
            return false;
        options->overcommit = (int)number;
        return true;
    case OPTION_OVERCOMMIT_RATIO:
        return parse_number(argument, 1, 10000, &options->overcommit_ratio);
    case OPTION_RAM:
        return parse_ram(argument, &options->ram);
    case OPTION_RLIMIT:
        return run_parse_limits(argument, options);
    case OPTION_SEED:
        options->layout.seeded = true;
        return parse_number(argument, 0, UINT64_MAX, &options->seed);
    case OPTION_BASE:
        return parse_base(argument, &options->layout.base);
    case OPTION_VA_BITS:
        if (!parse_number(argument, 1, 64, &number))
            return false;
        options->layout.va_bits = (unsigned)number;
        return true;
    case OPTION_WINDOW:
        return run_parse_window(argument, &options->layout);
    default:
        return run_parse_fail(argument, options);
    }
}

static const char *name_of(int key)
{
    for (size_t i = 0; run_option_table[i].name != NULL; i++)
        if (run_option_table[i].key == key)
            return run_option_table[i].name;
    return "";
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct tracer *tracer = state->input;
    switch (key) {
    case 'q':
        tracer->options.quiet = true;
        return 0;
    case OPTION_RANDOM:
        tracer->options.random = true;
        return 0;
    case OPTION_GUARD:
        tracer->run->options.guard = true;
        return 0;
    case OPTION_BOTTOM_UP:
        tracer->run->options.layout.bottom_up = true;
        return 0;
    case OPTION_KERNEL_PROC:
        tracer->options.kernel_proc = true;
        return 0;
    case OPTION_UNTOUCHED:
        tracer->run->options.untouched = true;
        return 0;
    case OPTION_CHECK:
        if (!parse_check(argument, &tracer->options))
            argp_error(state, "--check=%s: it is every, a number of calls from 1, exit or none", argument);
        return 0;
    case OPTION_PAGE_SIZE:
        tracer->options.page_shift = shadow_parse_page_size(argument);
        if (tracer->options.page_shift == 0)
            argp_error(state, "--page-size=%s: it is 16K or 64K", argument);
        return 0;
    case OPTION_REPORT:
        if (!VMAKIT_HAVE_JANSSON)
            argp_error(state, "--report: this vmakit was built without jansson");
        tracer->options.report = argument;
        return 0;
    case OPTION_BASE:
    case OPTION_FAIL:
    case OPTION_MAX_MAP_COUNT:
    case OPTION_OVERCOMMIT:
    case OPTION_OVERCOMMIT_RATIO:
    case OPTION_RAM:
    case OPTION_RLIMIT:
    case OPTION_SEED:
    case OPTION_VA_BITS:
    case OPTION_WINDOW:
        if (!parse_own(key, argument, &tracer->run->options))
            argp_error(state, "--%s=%s: not understood; see --help", name_of(key), argument);
        return 0;
    case ARGP_KEY_ARG:
        tracer->options.command = &state->argv[state->next - 1];
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "no command to run");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp run_argp = {
    .options = run_option_table,
    .parser = parse_option,
    .args_doc = "CMD [ARGUMENT...]",
    .doc = "Runs CMD with the engine as its memory manager: the engine decides every memory call of it and of its "
           "children, "
           "and the kernel carries the decision out at the place that the engine chose."
           "\vThe summary goes to standard error. The exit status is CMD's own (128 + N for signal N), also after a "
           "divergence; 121 when CMD cannot be traced, 126 and 127 when it cannot be executed or found.",
};

/* ---- The system ---- */

static void adjust_sysctl(struct tracer *tracer, struct vmk_sysctl *sysctl)
{
    struct run *run = tracer->run;
    const struct run_options *options = &run->options;
    run->is_narrow = run->is_narrow || sysctl->overcommit_memory == 2; /* what others have taken counts there */
    if (options->max_map_count != 0) {
        run->other_areas_limit = options->max_map_count != sysctl->max_map_count;
        sysctl->max_map_count = options->max_map_count;
    }
    if (options->overcommit >= 0) {
        run->other_charge = (uint64_t)options->overcommit != sysctl->overcommit_memory;
        sysctl->overcommit_memory = (uint64_t)options->overcommit;
    }
    if (options->overcommit_ratio != 0) {
        sysctl->overcommit_ratio = options->overcommit_ratio;
        sysctl->overcommit_kbytes = 0;
        run->other_charge = true;
    }
    if (options->ram != 0) {
        sysctl->total_ram_pages = options->ram / (uint64_t)sysconf(_SC_PAGESIZE);
        sysctl->total_swap_pages = 0;
        sysctl->hugetlb_total_pages = 0;
        run->other_charge = true;
    }
}

static void choose_interval(struct tracer *tracer)
{
    switch (tracer->options.check) {
    case TRACE_CHECK_EVERY:
        tracer->interval = 1;
        break;
    case TRACE_CHECK_SOME:
        tracer->interval = tracer->options.check_interval;
        break;
    default:
        tracer->interval = 0;
    }
}

/* ---- The summary ---- */

static void say_kinds(const struct tracer *tracer, FILE *out)
{
    uint64_t calls[TRACE_CALL_COUNT] = {0};
    unsigned nr_processes = 0;
    for (const struct trace_process *process = tracer->processes; process != NULL; process = process->next) {
        nr_processes += !process->ignored;
        for (int kind = 0; kind < TRACE_CALL_COUNT; kind++)
            calls[kind] += process->calls[kind];
    }
    fprintf(out, "%u process%s:", nr_processes, nr_processes == 1 ? "" : "es");
    const char *separator = " ";
    for (int kind = 0; kind < TRACE_CALL_COUNT; kind++) {
        if (calls[kind] == 0)
            continue;
        fprintf(out, "%s%s %" PRIu64, separator, trace_call_name((enum trace_call_kind)kind), calls[kind]);
        separator = ", ";
    }
    fputc('\n', out);
}

static void summary(struct tracer *tracer, FILE *out)
{
    const struct run *run = tracer->run;
    if (tracer->options.quiet)
        return;
    say_kinds(tracer, out);
    fprintf(out, "%" PRIu64 " refused", run->nr_refused);
    if (run->nr_failed != 0)
        fprintf(out, ", %" PRIu64 " of them on purpose", run->nr_failed);
    fprintf(out, "; %" PRIu64 " never reached the kernel", run->nr_skipped);
    if (run->nr_mirrored != 0)
        fprintf(out, "; %" PRIu64 " placed by the kernel, which alone can place them", run->nr_mirrored);
    fprintf(out, "; %" PRIu64 " stops\n", tracer->nr_stops);
    trace_report_summary(tracer, out);
    if (tracer->nr_unmirrored != 0)
        fprintf(out, "%" PRIu64 " address spaces were left to the kernel, as said above\n", tracer->nr_unmirrored);
    fprintf(out, "%" PRIu64 " calls decided, %" PRIu64 " divergences\n", tracer->nr_calls, tracer->divergences);
}

/* The status stays the program's own: what it did is what counts. Only a page that cannot be written says otherwise. */
static int finish(struct tracer *tracer, int status)
{
    summary(tracer, stderr);
    return trace_report_close(tracer) == 0 ? status : EXIT_NO_RESOURCE;
}

static void process_begins(struct tracer *tracer, struct trace_process *process)
{
    process->rlimits = tracer->run->rlimits;
    process->limits_generation = 1;
    process->seed = tracer->run->options.seed;
}

static void space_ends(struct tracer *tracer, struct trace_space *space)
{
    run_proc_space_ends(tracer->run, space);
}

static const struct trace_mode mode = {
    .name = "run",
    .decides = true,
    .enter = run_enter,
    .enter_again = run_enter_again,
    .leave = run_leave,
    .give_up = run_give_up,
    .settle = run_settle,
    .in_child = run_limits_in_child,
    .process_begins = process_begins,
    .space_ends = space_ends,
    .place = run_place,
    .arrange = run_arrange,
    .tasks_changed = run_pin_review,
    .child_begins = run_pin_child,
    .wait = run_pin_wait,
};

int cmd_run(int argc, char **argv)
{
    struct run run = {.options = {.overcommit = -1, .seed = 1}};
    struct tracer tracer = {.mode = &mode, .run = &run, .options = {.check = TRACE_CHECK_EXIT, .keep_going = true}};
    if (argp_parse(&run_argp, argc, argv, ARGP_IN_ORDER, NULL, &tracer) != 0)
        return EXIT_USAGE;
    choose_interval(&tracer);
    run.random = run.options.seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    run_limits_read(&run);
    tracer.has_places = run.options.guard;
    tracer.looks_for_forced = tracer.options.kernel_proc; /* nobody sees then what is opened */
    tracer.options.lays_out = layout_is_wanted(&run.options.layout);
    if (trace_create_system(&tracer, adjust_sysctl) != 0)
        return EXIT_TRACE_FAILED;
    if (tracer.options.lays_out) {
        const char *problem = layout_check(&run.options.layout, vmk_system_settings(tracer.system));
        if (problem != NULL) {
            fprintf(stderr, "vmakit: run: %s\n", problem);
            trace_free(&tracer);
            return EXIT_USAGE;
        }
        tracer.layout = &run.options.layout;
    }
    if (trace_report_open(&tracer) != 0) {
        trace_free(&tracer);
        return EXIT_NO_RESOURCE;
    }
    run_pin_begin(&tracer);
    return trace_live(&tracer, finish);
}
