/* SPDX-License-Identifier: MIT */
/*
 * report_data.c - collecting a report.
 *
 * The events of each process are kept as text, as the page will have them: numbers only, whatever is text is a number of
 * report.texts. A change of an address space is one edit of the list of its areas: so many gone from some place on,
 * these came instead. docs/report.md describes the form.
 */
#include "report_data.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CALLERS_MAX = 20000 };

/* JavaScript's numbers are exact up to here. */
#define EXACT_MAX (UINT64_C(1) << 53)

static void *report_grow(struct report *report, void *array, size_t nr, size_t *room, size_t size)
{
    if (nr < *room)
        return array;
    size_t more = *room == 0 ? 16 : *room * 2;
    void *grown = realloc(array, more * size);
    if (grown == NULL) {
        report->failed = true;
        return NULL;
    }
    *room = more;
    return grown;
}

/* ---- Tables ---- */

static uint64_t hash_of(const void *key, size_t len)
{
    const unsigned char *bytes = key;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 29;
}

static uint32_t *slot_of(const struct report_table *table, const void *key, size_t len)
{
    size_t at = hash_of(key, len) & (table->nr_slots - 1);
    while (table->slots[at] != 0) {
        const struct report_entry *entry = &table->entries[table->slots[at] - 1];
        if (entry->len == len && memcmp(entry->key, key, len) == 0)
            break;
        at = (at + 1) & (table->nr_slots - 1);
    }
    return &table->slots[at];
}

static bool table_spread(struct report *report, struct report_table *table)
{
    size_t nr_slots = table->nr_slots == 0 ? 64 : table->nr_slots * 2;
    uint32_t *slots = calloc(nr_slots, sizeof(*slots));
    if (slots == NULL) {
        report->failed = true;
        return false;
    }
    free(table->slots);
    table->slots = slots;
    table->nr_slots = nr_slots;
    for (size_t i = 0; i < table->nr; i++)
        *slot_of(table, table->entries[i].key, table->entries[i].len) = (uint32_t)i + 1;
    return true;
}

static size_t table_add(struct report *report, struct report_table *table, const void *key, size_t len)
{
    struct report_entry *entries =
        report_grow(report, table->entries, table->nr, &table->room, sizeof(struct report_entry));
    if (entries == NULL)
        return 0;
    table->entries = entries;
    void *copy = malloc(len + 1);
    if (copy == NULL) {
        report->failed = true;
        return 0;
    }
    memcpy(copy, key, len);
    ((char *)copy)[len] = '\0';
    entries[table->nr] = (struct report_entry){.key = copy, .len = len, .first_seq = report->seq};
    return table->nr++;
}

/* The number of a key; 0 when memory ran out. */
static size_t table_number(struct report *report, struct report_table *table, const void *key, size_t len)
{
    if ((table->nr + 1) * 2 > table->nr_slots && !table_spread(report, table))
        return 0;
    uint32_t *slot = slot_of(table, key, len);
    if (*slot != 0)
        return *slot - 1;
    size_t number = table_add(report, table, key, len);
    if (!report->failed)
        *slot = (uint32_t)number + 1;
    return number;
}

static void table_count(struct report *report, struct report_table *table, const void *key, size_t len, bool failed)
{
    size_t number = table_number(report, table, key, len);
    if (report->failed)
        return;
    table->entries[number].nr++;
    table->entries[number].nr_failed += failed;
}

static void table_free(struct report_table *table)
{
    for (size_t i = 0; i < table->nr; i++)
        free(table->entries[i].key);
    free(table->entries);
    free(table->slots);
}

const void *report_key(const struct report_table *table, size_t number)
{
    return table->entries[number].key;
}

static uint32_t text_number(struct report *report, const char *text)
{
    return (uint32_t)table_number(report, &report->texts, text, strlen(text));
}

static uint32_t kind_number(struct report *report, const char *name)
{
    return (uint32_t)table_number(report, &report->kinds, name, strlen(name));
}

/* ---- Processes ---- */

/* The last one of that number: numbers come again. */
static struct report_process *find_process(struct report *report, uint64_t pid)
{
    for (size_t i = report->nr_processes; i-- > 0;)
        if (report->processes[i]->pid == pid)
            return report->processes[i];
    return NULL;
}

static struct report_process *new_process(struct report *report, uint64_t pid)
{
    struct report_process **processes = report_grow(report, report->processes, report->nr_processes,
                                                    &report->process_room, sizeof(struct report_process *));
    struct report_process *process = calloc(1, sizeof(*process));
    if (processes != NULL)
        report->processes = processes;
    if (processes == NULL || process == NULL) {
        report->failed = true;
        free(process);
        return NULL;
    }
    process->pid = pid;
    process->number = report->nr_processes;
    process->last_seq = report->seq;
    process->name = text_number(report, "");
    process->stream = open_memstream(&process->text, &process->len);
    if (process->stream == NULL)
        report->failed = true;
    processes[report->nr_processes++] = process;
    return report->failed ? NULL : process;
}

static struct report_process *living_process(struct report *report, uint64_t pid)
{
    struct report_process *process = find_process(report, pid);
    return process != NULL && !process->ended ? process : new_process(report, pid);
}

/* ---- Looking at an address space ---- */

static void format_perms(vmk_vm_flags flags, char perms[5])
{
    perms[0] = (flags & VMK_VM_READ) != 0 ? 'r' : '-';
    perms[1] = (flags & VMK_VM_WRITE) != 0 ? 'w' : '-';
    perms[2] = (flags & VMK_VM_EXEC) != 0 ? 'x' : '-';
    perms[3] = (flags & VMK_VM_MAYSHARE) != 0 ? 's' : 'p';
    perms[4] = '\0';
}

static uint32_t look_of(struct report *report, const struct vmk_vma *vma, const struct vmk_vma_info *info)
{
    char name[RECORD_TEXT_MAX];
    struct kview_area area = {.start = info->start, .end = info->end, .flags = info->flags, .name = name};
    vmk_vma_name(vma, name, sizeof(name));
    format_perms(info->flags, area.perms);
    area.inode = info->file != NULL; /* is it of a file? */
    struct report_look look = {info->flags, text_number(report, name), (uint32_t)draw_kind_of(&area)};
    return (uint32_t)table_number(report, &report->looks, &look, sizeof(look));
}

static bool is_same(const struct report_area *a, const struct report_area *b)
{
    return a->start == b->start && a->end == b->end && a->pgoff == b->pgoff && a->flags == b->flags &&
           a->file_id == b->file_id && a->is_special == b->is_special;
}

/* Takes the areas as they are into report.fresh. Names are asked for only where an area is not as it was. */
static bool take_areas(struct report *report, const struct report_process *process, struct vmk_mm *mm, bool names)
{
    size_t before = 0;
    report->nr_fresh = 0;
    vmk_mm_lock_read(mm);
    for (struct vmk_vma *vma = vmk_mm_find(mm, 0); vma != NULL && !report->failed; vma = vmk_vma_next(vma)) {
        struct vmk_vma_info info = {.size = sizeof(info)};
        struct report_area *grown =
            report_grow(report, report->fresh, report->nr_fresh, &report->fresh_room, sizeof(struct report_area));
        if (grown == NULL)
            break;
        report->fresh = grown;
        vmk_vma_get_info(vma, &info);
        struct report_area *area = &grown[report->nr_fresh++];
        *area = (struct report_area){.start = info.start,
                                     .end = info.end,
                                     .pgoff = info.file != NULL ? info.pgoff : 0,
                                     .flags = info.flags,
                                     .file_id = info.file_id,
                                     .is_special = info.is_special};
        while (before < process->nr_areas && process->areas[before].start < area->start)
            before++;
        bool known = !names && before < process->nr_areas && is_same(area, &process->areas[before]);
        area->look = known ? process->areas[before].look : look_of(report, vma, &info);
    }
    vmk_mm_unlock_read(mm);
    return !report->failed;
}

static bool is_equal(const struct report_area *a, const struct report_area *b)
{
    return a->look == b->look && is_same(a, b);
}

/* One place where the list of areas has changed: `at` in the new list. */
struct hunk {
    size_t before, gone, at, new;
};

/* The next place from there on. Both lists are in order of address: what ends first is looked at first. */
static bool next_hunk(const struct report *report, const struct report_process *process, struct hunk *hunk)
{
    const struct report_area *old = process->areas, *now = report->fresh;
    size_t i = hunk->before + hunk->gone, j = hunk->at + hunk->new;
    while (i < process->nr_areas && j < report->nr_fresh && is_equal(&old[i], &now[j])) {
        i++;
        j++;
    }
    *hunk = (struct hunk){.before = i, .at = j};
    while ((i < process->nr_areas || j < report->nr_fresh) &&
           (i == process->nr_areas || j == report->nr_fresh || !is_equal(&old[i], &now[j])))
        if (j == report->nr_fresh || (i < process->nr_areas && old[i].end <= now[j].end))
            i++;
        else
            j++;
    hunk->gone = i - hunk->before;
    hunk->new = j - hunk->at;
    return hunk->gone != 0 || hunk->new != 0;
}

/* Writes `at, gone, new, and for each new one: gap, pages, look, page offset`; a gap is from the end of the area before. */
static void write_hunk(const struct report *report, FILE *out, const struct hunk *hunk)
{
    const unsigned shift = (unsigned)report->page_shift;
    const struct report_area *fresh = report->fresh;
    vmk_addr at = hunk->at == 0 ? 0 : fresh[hunk->at - 1].end;
    fprintf(out, "%zu,%zu,%zu", hunk->at, hunk->gone, hunk->new);
    for (size_t i = hunk->at; i < hunk->at + hunk->new; i++) {
        fprintf(out, ",%" PRIu64 ",%" PRIu64 ",%" PRIu32 ",%" PRIu64, (fresh[i].start - at) >> shift,
                (fresh[i].end - fresh[i].start) >> shift, fresh[i].look, fresh[i].pgoff);
        at = fresh[i].end;
    }
}

static void keep_fresh(struct report *report, struct report_process *process)
{
    struct report_area *areas = realloc(process->areas, (report->nr_fresh + 1) * sizeof(*areas));
    if (areas == NULL) {
        report->failed = true;
        return;
    }
    memcpy(areas, report->fresh, report->nr_fresh * sizeof(*areas));
    process->areas = areas;
    process->nr_areas = report->nr_fresh;
}

/* What has changed since the last look goes into the event that is being written. */
static void write_change(struct report *report, struct report_process *process, struct vmk_mm *mm, bool names)
{
    struct hunk hunk = {0};
    if (!take_areas(report, process, mm, names))
        return;
    report->used += report->nr_fresh / 250;
    if (report->nr_fresh > process->peak_areas)
        process->peak_areas = report->nr_fresh;
    if (!next_hunk(report, process, &hunk))
        return;
    const char *separator = ",[";
    do {
        fputs(separator, process->stream);
        write_hunk(report, process->stream, &hunk);
        separator = ",";
    } while (next_hunk(report, process, &hunk));
    fputc(']', process->stream);
    keep_fresh(report, process);
}

static void note_peak(struct report_process *process, struct vmk_mm *mm)
{
    struct vmk_mm_stats stats = {.size = sizeof(stats)};
    vmk_mm_get_stats(mm, &stats);
    if (stats.peak_vmas > process->peak_areas)
        process->peak_areas = stats.peak_vmas;
}

static void note_rules(struct report *report, struct vmk_mm *mm)
{
    struct vmk_sysctl sysctl;
    vmk_system_sysctl(vmk_mm_system(mm), &sysctl);
    report->max_map_count = sysctl.max_map_count;
    report->page_shift = vmk_mm_settings(mm)->page_shift;
}

/* ---- Events ---- */

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Is the event that comes now one whose map is kept? */
static bool is_kept(struct report *report)
{
    if (report->used >= report->next_thinning) {
        report->every *= 2;
        report->next_thinning += report->options.room / 2 + 1;
        if (report->thinned_at == 0)
            report->thinned_at = report->seq;
    }
    return report->seq % report->every == 0;
}

/* Everything of an event but its change: `[seq, time, kind`, both times since the last kept one of this process. */
static void begin_event(struct report *report, struct report_process *process, uint32_t kind)
{
    uint64_t time = report->options.has_clock ? now_us() - report->start : 0;
    fprintf(process->stream, "%s[%" PRIu64 ",%" PRIu64 ",%" PRIu32, process->nr_events == 0 ? "" : ",\n",
            report->seq - process->last_seq, time - process->last_time, kind);
    process->last_seq = report->seq;
    process->last_time = time;
    process->nr_events++;
}

static void end_event(struct report *report, struct report_process *process, long from)
{
    fputc(']', process->stream);
    report->used += 1 + (uint64_t)(ftell(process->stream) - from) / 160;
    if (ferror(process->stream))
        report->failed = true;
}

/* An event that is no call: always kept. */
static void write_mark(struct report *report, struct report_process *process, const char *name, struct vmk_mm *mm)
{
    long from = ftell(process->stream);
    report->seq++;
    process->seq = report->seq;
    begin_event(report, process, kind_number(report, name));
    fputs(",0,0,[]", process->stream);
    if (mm != NULL) {
        note_rules(report, mm);
        write_change(report, process, mm, true);
    }
    end_event(report, process, from);
}

void report_exec(struct report *report, uint64_t pid, const char *name, struct vmk_mm *mm)
{
    if (report == NULL || report->failed)
        return;
    struct report_process *process = living_process(report, pid);
    if (process == NULL)
        return;
    if (name != NULL)
        process->name = text_number(report, name);
    write_mark(report, process, "exec", mm);
}

void report_child(struct report *report, uint64_t parent, uint64_t child, struct vmk_mm *mm)
{
    if (report == NULL || report->failed)
        return;
    struct report_process *process = new_process(report, child), *from = find_process(report, parent);
    if (process == NULL)
        return;
    if (from != NULL && from != process) {
        process->has_parent = true;
        process->name = from->name;
        process->parent = from->number;
        process->parent_events = from->nr_events;
        process->areas = malloc((from->nr_areas + 1) * sizeof(*process->areas));
        process->nr_areas = process->areas != NULL ? from->nr_areas : 0;
        report->failed = process->areas == NULL;
        if (from->nr_areas != 0 && process->areas != NULL)
            memcpy(process->areas, from->areas, from->nr_areas * sizeof(*process->areas));
    }
    if (!report->failed)
        write_mark(report, process, "begins", mm);
}

void report_exit(struct report *report, uint64_t pid, struct vmk_mm *mm)
{
    struct report_process *process = report == NULL || report->failed ? NULL : find_process(report, pid);
    if (process == NULL || process->ended)
        return;
    process->ended = true;
    if (mm != NULL)
        note_peak(process, mm);
    write_mark(report, process, "ends", mm);
}

/* ---- Calls ---- */

/* A number, or as a text what JavaScript could not hold exactly. */
static void write_number(FILE *out, uint64_t value)
{
    fprintf(out, value < EXACT_MAX ? "%" PRIu64 : "\"0x%" PRIx64 "\"", value);
}

static bool is_failure(int64_t result)
{
    return result < 0 && result >= -4095;
}

static const char *file_name_at(struct vmk_mm *mm, int64_t address, uint64_t id)
{
    struct vmk_vma_info info = {.size = sizeof(info)};
    if (is_failure(address) || vmk_mm_lookup(mm, (vmk_addr)address, &info) != 0 || info.file == NULL ||
        info.file_id != id)
        return NULL;
    return vmk_file_name(info.file);
}

/* Flags and the like are shown by name: a text, as -1 - its number. */
static void write_args(struct report *report, FILE *out, struct vmk_mm *mm, const struct report_call *call)
{
    const struct record_event *event = call->event;
    const char *arg, *name;
    char text[512];
    fputs(",[", out);
    for (size_t i = 0; event != NULL && (arg = record_arg_name(event->call, i)) != NULL; i++) {
        if (strcmp(arg, "text") == 0)
            break;
        struct record_value value = event->args[i];
        if (i != 0)
            fputc(',', out);
        record_format_arg(event->call, i, value, text, sizeof(text));
        if (strcmp(arg, "file") == 0 && (name = file_name_at(mm, call->result, value.number)) != NULL)
            snprintf(text, sizeof(text), "%s", name);
        if (text[0] >= '0' && text[0] <= '9')
            write_number(out, value.number);
        else
            fprintf(out, "-%" PRIu32, text_number(report, text) + 1);
    }
    fputc(']', out);
}

/* The number of who called, + 1; 0 when it is not known. */
static size_t caller_of(struct report *report, struct vmk_mm *mm, const struct caller *by)
{
    if (by->ip == 0 || mm == NULL)
        return 0;
    struct caller_place place = caller_place_of(mm, by->from != 0 ? by->from : by->ip);
    if (report->callers.nr >= CALLERS_MAX) /* a program that makes its code as it runs */
        place = (struct caller_place){"[others]", 0};
    struct report_caller caller = {.offset = place.offset, .name = text_number(report, place.name)};
    if (by->from != 0)
        caller.through = text_number(report, caller_place_of(mm, by->ip).name) + 1;
    return table_number(report, &report->callers, &caller, sizeof(caller)) + 1;
}

static void count_call(struct report *report, struct report_process *process, const struct report_call *call,
                       const struct report_use *use)
{
    bool failed = is_failure(call->result);
    report->nr_calls++;
    report->nr_failed += failed;
    process->nr_calls++;
    process->nr_failed += failed;
    process->nr_placed += call->placed && !failed;
    process->nr_predicted += call->placed && !failed && call->predicted;
    table_count(report, &report->uses, use, sizeof(*use), failed);
}

static struct report_use use_of(struct report *report, const struct report_process *process, struct vmk_mm *mm,
                                const struct report_call *call)
{
    return (struct report_use){.process = (uint32_t)process->number,
                               .kind = kind_number(report, call->name),
                               .caller = caller_of(report, mm, &call->caller)};
}

/* Some calls change names alone. */
static bool may_rename(const struct report_call *call)
{
    return call->event != NULL && (call->event->call == RECORD_set_name || call->event->call == RECORD_set_mm ||
                                   call->event->call == RECORD_brk);
}

void report_call(struct report *report, struct vmk_mm *mm, const struct report_call *call)
{
    if (report == NULL || report->failed)
        return;
    struct report_process *process = living_process(report, call->pid);
    if (process == NULL)
        return;
    report->seq++;
    process->seq = report->seq;
    note_rules(report, mm);
    struct report_use use = use_of(report, process, mm, call);
    count_call(report, process, call, &use);
    if (!is_kept(report)) {
        report->nr_skipped++;
        return;
    }
    long from = ftell(process->stream);
    begin_event(report, process, use.kind);
    fputc(',', process->stream);
    if (is_failure(call->result))
        fprintf(process->stream, "%" PRId64, call->result);
    else
        write_number(process->stream, (uint64_t)call->result);
    fprintf(process->stream, ",%" PRIu64, use.caller);
    write_args(report, process->stream, mm, call);
    write_change(report, process, mm, may_rename(call));
    end_event(report, process, from);
}

/* ---- What is said of them ---- */

void report_divergence(struct report *report, uint64_t pid, const char *text)
{
    struct report_process *process = report == NULL || report->failed ? NULL : living_process(report, pid);
    if (process == NULL)
        return;
    struct report_said *said = report_grow(report, report->divergences, report->nr_divergences,
                                           &report->divergence_room, sizeof(struct report_said));
    if (said == NULL)
        return;
    report->divergences = said;
    char *copy = strdup(text);
    if (copy == NULL) {
        report->failed = true;
        return;
    }
    said[report->nr_divergences++] =
        (struct report_said){.seq = process->seq, .process = process->number, .text = copy};
}

void report_notice(struct report *report, const char *format, ...)
{
    char text[512];
    va_list arguments;
    if (report == NULL || report->failed)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    table_number(report, &report->notices, text, strlen(text));
}

void report_note_page_size(struct report *report, uint64_t page_size)
{
    if (report != NULL)
        report->judged_page_size = page_size;
}

void report_finding(struct report *report, struct vmk_mm *mm, const struct report_call *call, uint64_t page_size,
                    const char *text)
{
    struct report_process *process = report == NULL || report->failed ? NULL : living_process(report, call->pid);
    if (process == NULL)
        return;
    note_rules(report, mm);
    struct report_found found = {.process = (uint32_t)process->number,
                                 .kind = kind_number(report, call->name),
                                 .text = text_number(report, text),
                                 .caller = (uint32_t)caller_of(report, mm, &call->caller),
                                 .page_size = page_size};
    table_count(report, &report->findings, &found, sizeof(found), false);
}

/* ---- Life ---- */

static void free_words(char *const *words)
{
    for (size_t i = 0; words != NULL && words[i] != NULL; i++)
        free(words[i]);
    free((void *)(uintptr_t)words);
}

static char **copy_words(char *const *words)
{
    size_t nr = 0;
    while (words != NULL && words[nr] != NULL)
        nr++;
    char **copy = calloc(nr + 1, sizeof(*copy));
    for (size_t i = 0; copy != NULL && i < nr; i++) {
        copy[i] = strdup(words[i]);
        if (copy[i] == NULL) {
            free_words(copy);
            return NULL;
        }
    }
    return copy;
}

static uint64_t default_room(void)
{
    const char *wanted = getenv("VMAKIT_REPORT_ROOM");
    uint64_t room = wanted != NULL ? strtoull(wanted, NULL, 10) : 0;
    return room != 0 ? room : REPORT_ROOM;
}

int report_open(const struct report_options *options, struct report **report)
{
    struct report *new = calloc(1, sizeof(*new));
    if (new == NULL)
        return -ENOMEM;
    new->options = *options;
    new->options.argv = copy_words(options->argv);
    if (new->options.argv == NULL) {
        free(new);
        return -ENOMEM;
    }
    if (options->room == 0)
        new->options.room = default_room();
    new->out = fopen(options->path, "we");
    if (new->out == NULL) {
        int error = errno;
        free_words(new->options.argv);
        free(new);
        return -error;
    }
    new->start = now_us();
    new->every = 1;
    new->next_thinning = new->options.room;
    *report = new;
    return 0;
}

void report_drop(struct report *report)
{
    if (report == NULL)
        return;
    for (size_t i = 0; i < report->nr_processes; i++) {
        struct report_process *process = report->processes[i];
        if (process->stream != NULL)
            fclose(process->stream);
        free(process->text);
        free(process->areas);
        free(process);
    }
    free(report->processes);
    for (size_t i = 0; i < report->nr_divergences; i++)
        free(report->divergences[i].text);
    free(report->divergences);
    struct report_table *const tables[] = {&report->texts, &report->looks,    &report->callers, &report->kinds,
                                           &report->uses,  &report->findings, &report->notices};
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        table_free(tables[i]);
    free(report->fresh);
    free_words(report->options.argv);
    if (report->out != NULL)
        fclose(report->out);
    free(report);
}
