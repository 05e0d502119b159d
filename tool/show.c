/* SPDX-License-Identifier: MIT */
/* show.c - vmakit show: a live process's map, or a saved one, drawn and summed up. */
#include "commands.h"
#include "draw.h"
#include "record.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#if VMAKIT_HAVE_JANSSON
#include <jansson.h>

#include "json_name.h"
#endif

enum { KEY_JSON = 256, KEY_COLOR, KEY_WIDTH, KEY_SUMMARY, KEY_SETTINGS };

struct show {
    const char *what; /* the argument */
    pid_t pid;        /* 0: a file */
    bool json, summary_only, settings;
    unsigned width;
    const char *color;
    struct kview view;
    uint64_t max_map_count; /* 0: not known */
};

static const struct argp_option options[] = {
    {"json", KEY_JSON, NULL, 0, "Print one JSON object instead of a drawing", 0},
    {"width", KEY_WIDTH, "N", 0, "Draw for N columns (80 to 1000; default: the terminal's)", 0},
    {"color", KEY_COLOR, "WHEN", 0, "Use colours: auto (on a terminal), always or never", 0},
    {"summary", KEY_SUMMARY, NULL, 0, "Print the sums only", 0},
    {"settings", KEY_SETTINGS, NULL, 0, "Print the settings of the running kernel, as trace and fuzz use them", 0},
    {0},
};

static const char doc[] =
    "Draw the address space of a process, or of a saved /proc/PID/maps or smaps, and sum it up by kind, with its "
    "fragmentation and its distance to vm.max_map_count."
    "\vA number is a process unless a file of that name exists in the current directory and is written ./NUMBER. Exit "
    "status: 0 good, 2 usage, 3 the process or file cannot be read, 4 out of memory.";

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct show *show = state->input;
    char *end;

    switch (key) {
    case KEY_JSON:
        show->json = true;
        return 0;
    case KEY_SUMMARY:
        show->summary_only = true;
        return 0;
    case KEY_SETTINGS:
        show->settings = true;
        return 0;
    case KEY_WIDTH:
        errno = 0;
        show->width = (unsigned)strtoul(argument, &end, 10);
        if (*argument < '0' || *argument > '9' || *end != '\0' || errno != 0 || show->width < 80 || show->width > 1000)
            argp_error(state, "--width: '%s' is not a number from 80 to 1000", argument);
        return 0;
    case KEY_COLOR:
        if (!draw_is_color_word(argument))
            argp_error(state, "--color: '%s' is not auto, always or never", argument);
        show->color = argument;
        return 0;
    case ARGP_KEY_ARG:
        if (show->what != NULL)
            argp_error(state, "one process or file at a time");
        show->what = argument;
        return 0;
    case ARGP_KEY_END:
        if (show->what == NULL && !show->settings)
            argp_error(state, "which process or file?");
        if (show->what != NULL && show->settings)
            argp_error(state, "--settings are the kernel's: they go without a process or file");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    .options = options, .parser = parse_option, .args_doc = "PID|FILE\n--settings", .doc = doc};

/* ---- Reading ---- */

static bool is_pid(const char *text, pid_t *pid)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value <= 0 || value > INT32_MAX)
        return false;
    *pid = (pid_t)value;
    return true;
}

static int complain(const struct show *show, const char *why)
{
    fprintf(stderr, "vmakit show: %s: %s\n", show->what, why);
    return EXIT_CANNOT_READ;
}

static int read_process(struct show *show)
{
    int error = kview_read(&show->view, show->pid, KVIEW_FLAGS | KVIEW_STATUS);
    if (error == -EACCES || error == -EPERM)
        return complain(show,
                        "no right to read this process's map (it belongs to another user; ptrace(2) rules apply)");
    if (error == -ENOENT || error == -ESRCH)
        return complain(show, "there is no such process");
    if (error == -ENOMEM)
        return EXIT_NO_RESOURCE;
    if (error == -EINVAL)
        return complain(show, "its map has a line that is not understood");
    if (error != 0)
        return complain(show, strerror(-error));
    if (show->view.nr_areas == 0)
        return complain(show, "it has no address space (it has ended, or is a thread of the kernel)");
    FILE *limit = fopen("/proc/sys/vm/max_map_count", "re");
    if (limit != NULL) {
        if (fscanf(limit, "%" SCNu64, &show->max_map_count) != 1)
            show->max_map_count = 0;
        fclose(limit);
    }
    return EXIT_GOOD;
}

static int read_saved(struct show *show)
{
    size_t bad_line = 0;
    struct stat status;

    if (stat(show->what, &status) == 0 && S_ISDIR(status.st_mode))
        return complain(show, "is a directory");
    int error = kview_read_file(&show->view, show->what, &bad_line);
    if ((error == -EINVAL || error == -ENODATA) && bad_line != 0) {
        fprintf(stderr, "vmakit show: %s:%zu: %s\n", show->what, bad_line,
                error == -EINVAL ? "not a line of maps or smaps" : "the line has no end: the file is cut off");
        return EXIT_CANNOT_READ;
    }
    if (error == -ENOMEM)
        return EXIT_NO_RESOURCE;
    if (error != 0)
        return complain(show, strerror(-error));
    return show->view.nr_areas == 0 ? complain(show, "there is no area in it") : EXIT_GOOD;
}

/* ---- JSON ---- */

#if VMAKIT_HAVE_JANSSON
static json_t *json_hex(uint64_t value)
{
    return json_sprintf("0x%" PRIx64, value);
}

static json_t *json_area(const struct show *show, const struct kview_area *area)
{
    char flags[VMK_VMFLAGS_TEXT_MAX];
    json_t *object =
        json_pack("{s:o, s:o, s:I, s:s, s:s, s:o, s:o}", "start", json_hex(area->start), "end", json_hex(area->end),
                  "bytes", (json_int_t)(area->end - area->start), "perms", area->perms, "kind",
                  draw_kind_name(draw_kind_of(area)), "offset", json_hex(area->offset), "name", json_name(area->name));
    if (object == NULL)
        return NULL;
    json_object_set_new(object, "dev", json_sprintf("%02x:%02x", area->dev_major, area->dev_minor));
    json_object_set_new(object, "inode", json_integer((json_int_t)area->inode));
    if (show->view.has & KVIEW_FLAGS) {
        size_t len = vmk_vmflags_text(NULL, area->flags, flags, sizeof(flags));
        if (len != 0)
            flags[len - 1] = '\0';
        json_object_set_new(object, "flags", json_string(flags));
        json_object_set_new(object, "anonymous_kb", json_integer((json_int_t)area->anonymous_kb));
    }
    return object;
}

static json_t *json_kinds(const struct draw_summary *sum)
{
    json_t *kinds = json_object();

    for (int i = 0; i < DRAW_KINDS; i++)
        json_object_set_new(kinds, draw_kind_name((enum draw_kind)i),
                            json_pack("{s:I, s:I}", "areas", (json_int_t)sum->kinds[i].nr_areas, "bytes",
                                      (json_int_t)sum->kinds[i].nr_bytes));
    return kinds;
}

static int print_json(const struct show *show)
{
    struct draw_summary sum;
    json_t *areas = json_array();

    draw_sum(&show->view, NULL, &sum);
    for (size_t i = 0; i < show->view.nr_areas; i++)
        json_array_append_new(areas, json_area(show, &show->view.areas[i]));
    json_t *root = json_pack("{s:o, s:I, s:I, s:o, s:{s:I, s:I, s:o, s:I, s:I}, s:o}", "source", json_name(show->what),
                             "nr_areas", (json_int_t)show->view.nr_areas, "bytes", (json_int_t)sum.nr_bytes, "kinds",
                             json_kinds(&sum), "gaps", "count", (json_int_t)sum.nr_gaps, "largest_bytes",
                             (json_int_t)sum.largest_gap, "largest_at", json_hex(sum.largest_at), "free_bytes",
                             (json_int_t)sum.free, "span_bytes", (json_int_t)sum.span, "areas", areas);
    if (root == NULL)
        return EXIT_NO_RESOURCE;
    if (show->max_map_count != 0)
        json_object_set_new(root, "max_map_count", json_integer((json_int_t)show->max_map_count));
    int error = json_dumpf(root, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(root);
    return error == 0 ? EXIT_GOOD : EXIT_NO_RESOURCE;
}
#else
static int print_json(const struct show *show)
{
    (void)show;
    fputs("vmakit show: --json: this vmakit was built without jansson\n", stderr);
    return EXIT_USAGE;
}
#endif

/* ---- The kernel ---- */

/* Each line can be given to replay's --set, or stand in a record after "setting" or "sysctl". */
static int print_settings(void)
{
    struct vmk_settings settings;
    struct vmk_sysctl sysctl;
    const struct vmk_setting_info *info;

    int error = kview_probe(&settings, &sysctl);
    if (error != 0) {
        fprintf(stderr, "vmakit show: the kernel cannot be asked: %s\n", strerror(-error));
        return EXIT_CANNOT_READ;
    }
    kview_probe_image(&settings);
    for (size_t i = 0; (info = vmk_setting_at(i)) != NULL; i++) {
        uint64_t value = 0;
        vmk_settings_get(&settings, info->name, &value);
        printf("%s=%" PRIu64 "\t# %s\n", info->name, value, info->meaning);
    }
#define PRINT_SYSCTL(knob) printf(#knob "=%" PRIu64 "\n", sysctl.knob);
    RECORD_SYSCTLS(PRINT_SYSCTL)
#undef PRINT_SYSCTL
    return EXIT_GOOD;
}

/* ---- The whole ---- */

static void print_status(const struct kview_status *status)
{
    const struct {
        const char *name;
        uint64_t kb;
    } rows[] = {
        {"peak", status->peak}, {"size", status->size}, {"locked", status->lck}, {"pinned", status->pin},
        {"data", status->data}, {"stack", status->stk}, {"text", status->exe},   {"lib", status->lib},
    };
    char size[16];

    fputs("counters ", stdout);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        draw_size(rows[i].kb << 10, size);
        printf("%s %s %s", i == 0 ? "" : ",", rows[i].name, size);
    }
    putchar('\n');
}

static int print_drawing(const struct show *show)
{
    struct draw_options draw = {.width = show->width, .color = draw_wants_color(show->color, stdout)};

    if (!show->summary_only) {
        draw_map(stdout, &show->view, &draw);
        putchar('\n');
    }
    draw_summary(stdout, &show->view, &draw, show->max_map_count);
    if (show->view.has & KVIEW_STATUS)
        print_status(&show->view.status);
    return EXIT_GOOD;
}

int cmd_show(int argc, char **argv)
{
    struct show show = {.color = "auto"};

    if (argp_parse(&parser, argc, argv, 0, NULL, &show) != 0)
        return EXIT_USAGE;
    if (show.settings)
        return print_settings();
    int status = is_pid(show.what, &show.pid) ? read_process(&show) : read_saved(&show);
    if (status == EXIT_GOOD)
        status = show.json ? print_json(&show) : print_drawing(&show);
    else if (status == EXIT_NO_RESOURCE)
        fputs("vmakit show: out of memory\n", stderr);
    kview_free(&show.view);
    return status;
}
