/* SPDX-License-Identifier: MIT */
/* replay.c - vmakit replay: options, reading, the summary. */
#include "replay.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"

#if VMAKIT_HAVE_JANSSON
#include <jansson.h>
#endif

enum {
    KEY_MAX_MAP_COUNT = 256,
    KEY_RLIMIT,
    KEY_VA_BITS,
    KEY_PAGE_SIZE,
    KEY_SET,
    KEY_MAP,
    KEY_JSON,
    KEY_REPORT,
    KEY_COLOR,
    KEY_BREAK
};

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "What if:", 1},
    {"max-map-count", KEY_MAX_MAP_COUNT, "N", 0, "vm.max_map_count had been N", 1},
    {"rlimit", KEY_RLIMIT, "NAME=V", 0, "A limit had been V: as, data, stack or memlock, in bytes (K, M, G, unlimited)",
     1},
    {"va-bits", KEY_VA_BITS, "N", 0, "User addresses had N bits (30 to 56); memory above is moved down", 1},
    {"page-size", KEY_PAGE_SIZE, "N", 0, "Pages had been of N bytes: 4K, 16K or 64K", 1},
    {"break", KEY_BREAK, "RULE", 0, "Break a rule of the engine (test builds); `help' lists them", 1},
    {"set", KEY_SET, "NAME=V", 0, "A setting of the address space had been V (vmakit/settings.h lists them)", 1},
    {NULL, 0, NULL, 0, "Output:", 2},
    {"map", KEY_MAP, NULL, 0, "Draw the map that each process has at its end", 2},
    {"json", KEY_JSON, "FILE", 0, "Write the summary and the last maps as JSON (-: standard output)", 2},
    {"report", KEY_REPORT, "FILE", 0, "Write a page that shows the whole run (HTML, one file)", 2},
    {"quiet", 'q', NULL, 0, "Print differences and the last line only", 2},
    {"color", KEY_COLOR, "WHEN", 0, "Use colours: auto (on a terminal), always or never", 2},
    {0},
};

static const char doc[] = "Run a recorded trace, or the output of `strace -f -e trace=memory', through the engine, and "
                          "compare each result with "
                          "the recorded one."
                          "\vFILE may be - for standard input. strace's output does not show the areas that a program "
                          "began with, so these are "
                          "assumed where a call needs them, and placements are taken from it. Exit status: 0 all "
                          "results agree, 1 some differ "
                          "(in a what-if: some calls have another outcome), 2 usage, 3 FILE cannot be read or a line "
                          "of it is not understood, 4 "
                          "out of memory or cannot write.";

/* ---- Options ---- */

/* "8M", "4096", "unlimited" */
static bool parse_size(const char *text, uint64_t *value)
{
    static const char units[] = "KMGT";
    char *end;

    if (strcmp(text, "unlimited") == 0) {
        *value = VMK_RLIM_INFINITY;
        return true;
    }
    errno = 0;
    unsigned long long number = strtoull(text, &end, 0);
    if (*text < '0' || *text > '9' || errno != 0)
        return false;
    if (*end != '\0') {
        const char *unit = strchr(units, *end);
        if (unit == NULL || end[1] != '\0')
            return false;
        unsigned shift = 10 * (unsigned)(unit - units + 1);
        if (number > UINT64_MAX >> shift)
            return false;
        number <<= shift;
    }
    *value = number;
    return true;
}

static void parse_rlimit(struct replay_options *wanted, const char *text, struct argp_state *state)
{
    static const char *const names[] = {"as", "data", "stack", "memlock"};
    const char *equals = strchr(text, '=');

    for (size_t i = 0; equals != NULL && i < 4; i++) {
        if (strlen(names[i]) != (size_t)(equals - text) || strncmp(names[i], text, strlen(names[i])) != 0)
            continue;
        wanted->rlimits[i].given = true;
        if (!parse_size(equals + 1, &wanted->rlimits[i].value))
            argp_error(state, "--rlimit: '%s' is not a size", equals + 1);
        return;
    }
    argp_error(state, "--rlimit: '%s' is not as=V, data=V, stack=V or memlock=V", text);
}

static void parse_set(struct replay_options *wanted, const char *text, struct argp_state *state)
{
    const char *equals = strchr(text, '=');

    if (wanted->nr_sets == REPLAY_SETS_MAX)
        argp_error(state, "--set: at most %d of them", REPLAY_SETS_MAX);
    if (equals == NULL || equals == text || !parse_size(equals + 1, &wanted->sets[wanted->nr_sets].value))
        argp_error(state, "--set: '%s' is not NAME=NUMBER", text);
    wanted->sets[wanted->nr_sets].name = text;
    wanted->sets[wanted->nr_sets].name_len = (size_t)(equals - text);
    wanted->nr_sets++;
}

static unsigned parse_page_size(const char *text, struct argp_state *state)
{
    uint64_t size;

    if (parse_size(text, &size))
        for (unsigned shift = 12; shift <= 16; shift += 2)
            if (size == UINT64_C(1) << shift)
                return shift;
    argp_error(state, "--page-size: '%s' is not 4K, 16K or 64K", text);
    return 0;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct replay_options *wanted = state->input;
    uint64_t number;

    switch (key) {
    case KEY_MAX_MAP_COUNT:
        if (!parse_size(argument, &wanted->max_map_count) || wanted->max_map_count == 0 ||
            wanted->max_map_count > INT32_MAX)
            argp_error(state, "--max-map-count: '%s' is not a number from 1 to 2147483647", argument);
        return 0;
    case KEY_RLIMIT:
        parse_rlimit(wanted, argument, state);
        return 0;
    case KEY_VA_BITS:
        if (!parse_size(argument, &number) || number < 30 || number > 56)
            argp_error(state, "--va-bits: '%s' is not a number from 30 to 56", argument);
        wanted->va_bits = (unsigned)number;
        return 0;
    case KEY_PAGE_SIZE:
        wanted->page_shift = parse_page_size(argument, state);
        return 0;
    case KEY_SET:
        parse_set(wanted, argument, state);
        return 0;
    case KEY_MAP:
        wanted->map = true;
        return 0;
    case KEY_JSON:
        wanted->json = argument;
        return 0;
    case KEY_REPORT:
        if (!VMAKIT_HAVE_JANSSON)
            argp_error(state, "--report: this vmakit was built without jansson");
        wanted->report = argument;
        return 0;
    case 'q':
        wanted->quiet = true;
        return 0;
    case KEY_BREAK:
        wanted->rule = argument;
        return 0;
    case KEY_COLOR:
        if (!draw_is_color_word(argument))
            argp_error(state, "--color: '%s' is not auto, always or never", argument);
        wanted->color = argument;
        return 0;
    case ARGP_KEY_ARG:
        if (wanted->file != NULL)
            argp_error(state, "one file at a time");
        wanted->file = argument;
        return 0;
    case ARGP_KEY_END:
        if (wanted->file == NULL && (wanted->rule == NULL || strcmp(wanted->rule, "help") != 0))
            argp_error(state, "which file?");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {.options = options, .parser = parse_option, .args_doc = "FILE", .doc = doc};

/* ---- Reading ---- */

static int cannot_read(const struct replay *replay, int error)
{
    fprintf(stderr, "vmakit replay: %s: %s\n", replay->options.file, strerror(error));
    return EXIT_CANNOT_READ;
}

static int read_descriptor(const struct replay *replay, int fd, char **text, size_t *len)
{
    size_t room = 65536, used = 0;
    char *buffer = malloc(room);

    while (buffer != NULL) {
        ssize_t got = read(fd, buffer + used, room - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int error = errno;
            free(buffer);
            return cannot_read(replay, error);
        }
        if (got == 0)
            break;
        used += (size_t)got;
        if (used < room)
            continue;
        room *= 2;
        char *more = realloc(buffer, room);
        if (more == NULL)
            free(buffer);
        buffer = more;
    }
    *text = buffer;
    *len = used;
    return buffer == NULL ? replay_out_of_memory() : 0;
}

static int read_whole(struct replay *replay, char **text, size_t *len)
{
    if (strcmp(replay->options.file, "-") == 0)
        return read_descriptor(replay, STDIN_FILENO, text, len);
    int fd = open(replay->options.file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cannot_read(replay, errno);
    int status = read_descriptor(replay, fd, text, len);
    close(fd);
    return status;
}

static int run_item(struct replay *replay, const struct record_item *item)
{
    int status = item->kind == RECORD_AREA ? 0 : replay_end_areas(replay);

    if (status != 0)
        return status;
    switch (item->kind) {
    case RECORD_SETTING:
        return replay_set_setting(replay, item->name, item->value);
    case RECORD_SYSCTL:
        return replay_set_sysctl(replay, item->name, item->value);
    case RECORD_FILE:
        return replay_add_file(replay, &item->file);
    case RECORD_PROCESS:
        return replay_add_process(replay, &item->process);
    case RECORD_AREA:
        return replay_add_area(replay, &item->area);
    case RECORD_EXPECT:
        return replay_begin_expect(replay, item->process.pid, &item->status);
    default:
        return replay_event(replay, &item->event);
    }
}

static int run_record(struct replay *replay, const char *text, size_t len)
{
    struct record_reader *reader = malloc(sizeof(*reader));
    struct record_item item;
    int got, status = 0;

    if (reader == NULL)
        return replay_out_of_memory();
    record_reader_init(reader, text, len);
    while (status == 0 && (got = record_next(reader, &item)) != 0) {
        replay->line = reader->line;
        status = got < 0 ? replay_complain(replay, "%s", reader->what) : run_item(replay, &item);
    }
    free(reader);
    return status != 0 ? status : replay_end_areas(replay);
}

/* ---- The summary ---- */

static void print_process(const struct replay_process *process)
{
    const char *separator = " (";

    printf("%" PRIu64 ": %" PRIu64 " calls", process->pid, process->nr_calls);
    for (int call = 0; call < RECORD_CALL_COUNT; call++) {
        if (process->calls[call] == 0)
            continue;
        printf("%s%s %" PRIu64, separator, record_call_name((enum record_call)call), process->calls[call]);
        separator = ", ";
    }
    if (process->nr_calls != 0)
        putchar(')');
    printf(", %" PRIu64 " areas, %" PRIu64 " at peak, %" PRIu64 " of %" PRIu64 " addresses predicted, %" PRIu64
           " divergences\n",
           process->areas, process->peak_areas, process->nr_predicted, process->nr_placed, process->divergences);
    if (process->nr_assumed != 0)
        printf("    %" PRIu64 " areas that the trace does not show were assumed\n", process->nr_assumed);
}

static void print_maps(const struct replay *replay)
{
    struct draw_options draw = {.color = draw_wants_color(replay->options.color, stdout)};

    for (size_t i = 0; i < replay->nr_order; i++) {
        const struct replay_process *process = replay->order[i];
        if (process->last.nr_areas == 0)
            continue;
        draw.before = process->first.nr_areas == 0 ? NULL : &process->first;
        printf("process %" PRIu64 ":\n", process->pid);
        draw_map(stdout, &process->last, &draw);
        draw_summary(stdout, &process->last, &draw, replay->sysctl.max_map_count);
        putchar('\n');
    }
}

static void print_summary(const struct replay *replay)
{
    if (replay->options.map)
        print_maps(replay);
    for (size_t i = 0; !replay->options.quiet && i < replay->nr_order; i++)
        print_process(replay->order[i]);
    if (replay->what_if)
        printf("What if: %" PRIu64 " calls have another outcome than recorded, %" PRIu64
               " give another address, %" PRIu64 " areas could not be as recorded\n",
               replay->divergences, replay->nr_moved, replay->import_failures);
    if (replay->nr_skipped != 0)
        printf("%" PRIu64 " calls were left out, since they build upon others that failed\n", replay->nr_skipped);
    printf("%" PRIu64 " calls mirrored, %" PRIu64 " divergences\n", replay->nr_calls, replay->divergences);
}

/* ---- JSON ---- */

#if VMAKIT_HAVE_JANSSON
static json_t *json_process(const struct replay_process *process)
{
    json_t *calls = json_object();

    for (int call = 0; call < RECORD_CALL_COUNT; call++)
        if (process->calls[call] != 0)
            json_object_set_new(calls, record_call_name((enum record_call)call),
                                json_integer((json_int_t)process->calls[call]));
    json_t *map = process->report == NULL ? NULL : json_loads(process->report, 0, NULL);
    return json_pack("{s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:o}", "pid", (json_int_t)process->pid, "calls", calls,
                     "areas", (json_int_t)process->areas, "peak_areas", (json_int_t)process->peak_areas, "addresses",
                     (json_int_t)process->nr_placed, "predicted", (json_int_t)process->nr_predicted, "divergences",
                     (json_int_t)process->divergences, "map", map == NULL ? json_null() : map);
}

static int write_json(const struct replay *replay)
{
    json_t *processes = json_array();
    const char *path = replay->options.json;

    for (size_t i = 0; i < replay->nr_order; i++)
        json_array_append_new(processes, json_process(replay->order[i]));
    json_t *root =
        json_pack("{s:b, s:I, s:I, s:I, s:I, s:o}", "what_if", replay->what_if, "calls", (json_int_t)replay->nr_calls,
                  "faults", (json_int_t)replay->nr_faults, "divergences", (json_int_t)replay->divergences, "moved",
                  (json_int_t)replay->nr_moved, "processes", processes);
    if (root == NULL)
        return replay_out_of_memory();
    bool is_stdout = strcmp(path, "-") == 0;
    FILE *out = is_stdout ? stdout : fopen(path, "we");
    int error = out == NULL ? errno : json_dumpf(root, out, JSON_INDENT(1) | JSON_PRESERVE_ORDER) != 0 ? EIO : 0;
    if (out != NULL)
        putc('\n', out);
    if (out != NULL && !is_stdout && fclose(out) != 0)
        error = errno;
    json_decref(root);
    if (error == 0)
        return 0;
    fprintf(stderr, "vmakit replay: %s: %s\n", path, strerror(error));
    return EXIT_NO_RESOURCE;
}
#else
static int write_json(const struct replay *replay)
{
    (void)replay;
    fputs("vmakit replay: --json: this vmakit was built without jansson\n", stderr);
    return EXIT_USAGE;
}
#endif

/* ---- The whole ---- */

static bool is_what_if(const struct replay_options *wanted)
{
    bool rlimit = false;

    for (size_t i = 0; i < 4; i++)
        rlimit |= wanted->rlimits[i].given;
    return rlimit || wanted->max_map_count != 0 || wanted->va_bits != 0 || wanted->page_shift != 0 ||
           wanted->nr_sets != 0;
}

static int cannot_report(const struct replay *replay, int error)
{
    fprintf(stderr, "vmakit replay: %s: %s\n", replay->options.report, strerror(error));
    return EXIT_NO_RESOURCE;
}

static int open_report(struct replay *replay)
{
    char *const what[] = {(char *)(uintptr_t)replay->options.file, NULL};
    const struct report_options wanted = {
        .path = replay->options.report, .verb = "replay", .argv = what, .is_what_if = replay->what_if};

    if (wanted.path == NULL)
        return 0;
    int error = report_open(&wanted, &replay->report);
    return error == 0 ? 0 : cannot_report(replay, -error);
}

static int close_report(struct replay *replay)
{
    struct report *report = replay->report;

    replay->report = NULL;
    if (replay->nr_skipped != 0)
        report_notice(report, "%" PRIu64 " calls were left out, since they build upon others that failed.",
                      replay->nr_skipped);
    int error = report_close(report);
    return error == 0 ? 0 : cannot_report(replay, -error);
}

static int finish(struct replay *replay)
{
    for (size_t i = 0; i < replay->nr_order; i++)
        replay_end_space(replay, replay->order[i]);
    print_summary(replay);
    int status = replay->options.json == NULL ? 0 : write_json(replay);
    int unwritten = close_report(replay);
    status = status != 0 ? status : unwritten;
    if (status != 0)
        return status;
    return replay->divergences == 0 && replay->import_failures == 0 && replay->nr_skipped == 0 ? EXIT_GOOD
                                                                                               : EXIT_DIFFERENT;
}

void replay_init(struct replay *replay)
{
    struct vmk_system_options defaults;

    vmk_system_options_init(&defaults, vmk_port_linux());
    replay->settings = defaults.settings;
    replay->sysctl = defaults.sysctl;
    replay->what_if = is_what_if(&replay->options);
}

/* Runs a record as it is, so that what it gives in a what-if can be compared even where it has no results. */
static int run_baseline(struct replay *replay, struct replay *baseline, const char *text, size_t len)
{
    baseline->options.file = replay->options.file;
    baseline->silent = true;
    replay_init(baseline);
    int status = run_record(baseline, text, len);
    replay->baseline = baseline->results;
    replay->nr_baseline = baseline->nr_results;
    return status;
}

int replay_text(struct replay *replay, const char *text, size_t len)
{
    struct replay baseline = {0};
    int status = 0;

    replay->is_strace = !record_is_record(text, len);
    if (replay->is_strace)
        return replay_strace(replay, text, len);
    if (replay->what_if)
        status = run_baseline(replay, &baseline, text, len);
    if (status == 0)
        status = run_record(replay, text, len);
    replay->baseline = NULL;
    replay->nr_baseline = 0;
    replay_free(&baseline);
    return status;
}

int cmd_replay(int argc, char **argv)
{
    struct replay replay = {.options = {.color = "auto"}};
    char *text = NULL;
    size_t len = 0;

    if (argp_parse(&parser, argc, argv, 0, NULL, &replay.options) != 0)
        return EXIT_USAGE;
    int status = 0;
    if (replay.options.rule != NULL && !command_break("replay", replay.options.rule, &status))
        return status;
    replay_init(&replay);
    status = read_whole(&replay, &text, &len);
    if (status == 0)
        status = open_report(&replay);
    if (status == 0)
        status = replay_text(&replay, text, len);
    if (status == 0)
        status = finish(&replay);
    report_drop(replay.report);
    replay_free(&replay);
    free(text);
    return status;
}
