/* SPDX-License-Identifier: MIT */
/*
 * report_html.c - writes a report: the page's parts, which the build has turned into two arrays (tool/report/,
 * cmake/embed.cmake), and between them one JSON object with everything that was collected.
 *
 * The page needs nothing else: no other file, no network. Names in it come from programs and may be anything: they are
 * JSON strings in ASCII, without '<', so that none can end the script element that holds them.
 */
#include "report_data.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#if VMAKIT_HAVE_JANSSON
#include <jansson.h>

#include "json_name.h"

extern const unsigned char report_page_head[], report_page_tail[];
extern const size_t report_page_head_len, report_page_tail_len;

/* ---- Into the script element ---- */

static void write_text(FILE *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] == '<')
            fputs("\\u003c", out);
        else
            fputc(text[i], out);
}

/* Takes the value; false: memory ran out. */
static bool write_value(FILE *out, json_t *value)
{
    char *text = value == NULL ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
    json_decref(value);
    if (text == NULL)
        return false;
    write_text(out, text, strlen(text));
    free(text);
    return true;
}

static bool write_member(FILE *out, const char *name, json_t *value)
{
    fprintf(out, ",\n\"%s\":", name);
    return write_value(out, value);
}

/* ---- The parts ---- */

static json_t *json_texts(const struct report_table *table)
{
    json_t *array = json_array();
    for (size_t i = 0; i < table->nr; i++)
        json_array_append_new(array, json_name(table->entries[i].key));
    return array;
}

static json_t *json_looks(const struct report *report)
{
    json_t *array = json_array();
    for (size_t i = 0; i < report->looks.nr; i++) {
        const struct report_look *look = report_key(&report->looks, i);
        char flags[VMK_VMFLAGS_TEXT_MAX];
        size_t len = vmk_vmflags_text(NULL, look->flags, flags, sizeof(flags));
        if (len != 0)
            flags[len - 1] = '\0'; /* a space */
        char perms[] = {(look->flags & VMK_VM_READ) != 0 ? 'r' : '-', (look->flags & VMK_VM_WRITE) != 0 ? 'w' : '-',
                        (look->flags & VMK_VM_EXEC) != 0 ? 'x' : '-', (look->flags & VMK_VM_MAYSHARE) != 0 ? 's' : 'p',
                        '\0'};
        json_array_append_new(array, json_pack("[i, s, s, i]", (int)look->kind, perms, flags, (int)look->name));
    }
    return array;
}

static json_t *json_hex(uint64_t value)
{
    return json_sprintf("0x%" PRIx64, value);
}

static json_t *json_callers(const struct report *report)
{
    json_t *array = json_array();
    for (size_t i = 0; i < report->callers.nr; i++) {
        const struct report_caller *caller = report_key(&report->callers, i);
        json_array_append_new(
            array, json_pack("[i, o, i]", (int)caller->name, json_hex(caller->offset), (int)caller->through));
    }
    return array;
}

static json_t *json_uses(const struct report *report)
{
    json_t *array = json_array();
    for (size_t i = 0; i < report->uses.nr; i++) {
        const struct report_use *use = report_key(&report->uses, i);
        const struct report_entry *entry = &report->uses.entries[i];
        json_array_append_new(array,
                              json_pack("[i, i, I, I, I]", (int)use->process, (int)use->kind, (json_int_t)use->caller,
                                        (json_int_t)entry->nr, (json_int_t)entry->nr_failed));
    }
    return array;
}

static json_t *json_findings(const struct report *report)
{
    json_t *array = json_array();
    for (size_t i = 0; i < report->findings.nr; i++) {
        const struct report_found *found = report_key(&report->findings, i);
        const struct report_entry *entry = &report->findings.entries[i];
        json_array_append_new(array, json_pack("[i, i, i, i, I, I, I]", (int)found->process, (int)found->kind,
                                               (int)found->caller, (int)found->text, (json_int_t)found->page_size,
                                               (json_int_t)entry->nr, (json_int_t)entry->first_seq));
    }
    return array;
}

static json_t *json_divergences(const struct report *report)
{
    json_t *array = json_array();
    for (size_t i = 0; i < report->nr_divergences; i++) {
        const struct report_said *said = &report->divergences[i];
        json_array_append_new(
            array, json_pack("[I, I, o]", (json_int_t)said->seq, (json_int_t)said->process, json_name(said->text)));
    }
    return array;
}

static json_t *json_area_kinds(void)
{
    json_t *array = json_array();
    for (int i = 0; i < DRAW_KINDS; i++)
        json_array_append_new(array, json_string(draw_kind_name((enum draw_kind)i)));
    return array;
}

/* The names of the arguments, for calls that records know. */
static json_t *json_args(const struct report *report)
{
    json_t *object = json_object();
    for (size_t i = 0; i < report->kinds.nr; i++) {
        const struct report_entry *entry = &report->kinds.entries[i];
        int call = record_call_find(entry->key, entry->len);
        json_t *names = json_array();
        for (size_t k = 0; call >= 0 && record_arg_name((enum record_call)call, k) != NULL; k++)
            json_array_append_new(names, json_string(record_arg_name((enum record_call)call, k)));
        json_object_set_new(object, entry->key, names);
    }
    return object;
}

static json_t *json_command(char *const *argv)
{
    json_t *array = json_array();
    for (size_t i = 0; argv != NULL && argv[i] != NULL; i++)
        json_array_append_new(array, json_name(argv[i]));
    return array;
}

static json_t *json_meta(const struct report *report)
{
    struct utsname host = {0};
    char when[40];
    struct tm day;
    time_t now = time(NULL);
    uname(&host);
    strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&now, &day));
    return json_pack("{s:s, s:s, s:o, s:s, s:s, s:s, s:I, s:I, s:I, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "version",
                     VMAKIT_VERSION, "verb", report->options.verb, "command", json_command(report->options.argv),
                     "kernel", host.release, "machine", host.machine, "when", when, "page_shift",
                     (json_int_t)report->page_shift, "page_check", (json_int_t)report->judged_page_size,
                     "max_map_count", (json_int_t)report->max_map_count, "clock", (int)report->options.has_clock,
                     "what_if", (int)report->options.is_what_if, "events", (json_int_t)report->seq, "calls",
                     (json_int_t)report->nr_calls, "failed", (json_int_t)report->nr_failed, "skipped",
                     (json_int_t)report->nr_skipped, "thinned_at", (json_int_t)report->thinned_at, "every",
                     (json_int_t)report->every);
}

/* An object with the list of events, which is text already, as its last member. */
static bool write_process(FILE *out, const struct report_process *process)
{
    json_t *parent = process->has_parent
                         ? json_pack("[I, I]", (json_int_t)process->parent, (json_int_t)process->parent_events)
                         : json_null();
    json_t *object = json_pack("{s:I, s:i, s:b, s:o, s:I, s:I, s:I, s:I, s:I}", "pid", (json_int_t)process->pid, "name",
                               (int)process->name, "ended", (int)process->ended, "parent", parent, "peak",
                               (json_int_t)process->peak_areas, "calls", (json_int_t)process->nr_calls, "failed",
                               (json_int_t)process->nr_failed, "placed", (json_int_t)process->nr_placed, "predicted",
                               (json_int_t)process->nr_predicted);
    char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (text == NULL)
        return false;
    write_text(out, text, strlen(text) - 1);
    free(text);
    fputs(",\"events\":[", out);
    fwrite(process->text, 1, process->len, out);
    fputs("]}", out);
    return true;
}

static bool write_data(struct report *report)
{
    FILE *out = report->out;
    fputs("{\"format\":1", out);
    bool good = write_member(out, "meta", json_meta(report)) && write_member(out, "areaKinds", json_area_kinds()) &&
                write_member(out, "texts", json_texts(&report->texts)) &&
                write_member(out, "looks", json_looks(report)) && write_member(out, "callers", json_callers(report)) &&
                write_member(out, "calls", json_texts(&report->kinds)) &&
                write_member(out, "args", json_args(report)) && write_member(out, "uses", json_uses(report)) &&
                write_member(out, "findings", json_findings(report)) &&
                write_member(out, "divergences", json_divergences(report)) &&
                write_member(out, "notices", json_texts(&report->notices));
    fputs(",\n\"processes\":[", out);
    for (size_t i = 0; good && i < report->nr_processes; i++) {
        if (i != 0)
            fputs(",\n", out);
        good = write_process(out, report->processes[i]);
    }
    fputs("]}", out);
    return good;
}

static void say_what_was_thinned(struct report *report)
{
    if (report->nr_skipped != 0)
        report_notice(report,
                      "This run was too long to keep the map after every call: from event %" PRIu64
                      " on it was kept less and less often, at last after every %" PRIu64 " events. %" PRIu64
                      " calls are not among those that can be looked at one by one; all counts include them.",
                      report->thinned_at, report->every, report->nr_skipped);
}

static int write_page(struct report *report)
{
    say_what_was_thinned(report);
    for (size_t i = 0; i < report->nr_processes; i++)
        if (fflush(report->processes[i]->stream) != 0)
            return -ENOMEM;
    if (report->failed)
        return -ENOMEM;
    errno = 0;
    fwrite(report_page_head, 1, report_page_head_len, report->out);
    if (!write_data(report))
        return -ENOMEM;
    fwrite(report_page_tail, 1, report_page_tail_len, report->out);
    if (fflush(report->out) != 0 || ferror(report->out))
        return errno != 0 ? -errno : -EIO;
    return 0;
}

#else

static int write_page(struct report *report)
{
    (void)report;
    return -ENOSYS; /* options refuse it before */
}

#endif

int report_close(struct report *report)
{
    if (report == NULL)
        return 0;
    int error = write_page(report);
    if (fclose(report->out) != 0 && error == 0)
        error = -errno;
    report->out = NULL;
    report_drop(report);
    return error;
}
