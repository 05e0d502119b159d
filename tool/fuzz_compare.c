/* SPDX-License-Identifier: MIT */
/*
 * fuzz_compare.c - map, flags and status of the kernel and of the engine, as text: every column and every flag.
 *
 * What the kernel numbers by itself (the inodes of shared anonymous memory and of rings) is compared by identity: equal
 * where the engine's objects are the same, different where they are not.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

/* A text that a report is written to. */
struct text {
    char *bytes;
    size_t len, room;
};

static void collect(void *context, const char *bytes, size_t len)
{
    struct text *text = context;

    if (text->len + len + 1 > text->room) {
        size_t room = text->room * 2 + len + 65536;
        char *grown = realloc(text->bytes, room);

        if (grown == NULL)
            abort();
        text->bytes = grown;
        text->room = room;
    }
    memcpy(text->bytes + text->len, bytes, len);
    text->len += len;
    text->bytes[text->len] = '\0';
}

/* Reused from call to call; this program has one thread. */
static struct text report;

enum { MAX_PAIRS = FUZZ_MAX_OPS }; /* an operation makes one at most */
static struct {
    uint64_t kernel, engine; /* inodes */
} pairs[MAX_PAIRS];
static size_t nr_pairs;

void fuzz_compare_begin(void)
{
    nr_pairs = 0;
}

/* Is this inode of the kernel that one of the engine, as it was before? */
static bool same_identity(uint64_t kernel, uint64_t engine)
{
    for (size_t i = 0; i < nr_pairs; i++)
        if (pairs[i].kernel == kernel && pairs[i].engine == engine)
            return true;
    for (size_t i = 0; i < nr_pairs; i++)
        if (pairs[i].engine == engine) /* a number of the kernel's may come again, one of the engine's does not */
            return false;
    if (nr_pairs == MAX_PAIRS)
        return false;
    pairs[nr_pairs].kernel = kernel;
    pairs[nr_pairs++].engine = engine;
    return true;
}

static bool is_numbered_by_kernel(const struct fuzz_area *area)
{
    return strcmp(area->name, "/dev/zero (deleted)") == 0 || strcmp(area->name, "/[aio] (deleted)") == 0 ||
           strcmp(area->name, "/anon_hugepage (deleted)") == 0;
}

/* The part of a header line behind the device and the inode. */
static const char *name_of(const char *line)
{
    const char *at = line;

    for (int i = 0; i < 5 && at != NULL; i++) {
        at = strchr(at, ' ');
        at = at != NULL ? at + 1 : NULL;
    }
    while (at != NULL && *at == ' ')
        at++;
    return at != NULL ? at : "";
}

static bool same_line(const struct fuzz_area *area, const char *line)
{
    const char *at = line;
    size_t head;

    if (strcmp(area->line, line) == 0 && !is_numbered_by_kernel(area))
        return true;
    if (!is_numbered_by_kernel(area))
        return false;
    for (int i = 0; i < 3 && at != NULL; i++) /* range, permissions, offset */
        at = strchr(at + 1, ' ');
    if (at == NULL)
        return false;
    head = (size_t)(at - line);
    if (strncmp(area->line, line, head) != 0 || strcmp(area->name, name_of(line)) != 0)
        return false;
    at = strchr(at + 1, ' '); /* behind the device */
    return at != NULL && same_identity(area->inode, strtoull(at, NULL, 10));
}

/* Cuts a line off; NULL at the end. */
static char *next_line(char **at)
{
    char *line = *at, *end;

    if (*line == '\0')
        return NULL;
    end = strchr(line, '\n');
    if (end != NULL) {
        *at = end + 1;
        *end = '\0';
        while (end > line && end[-1] == ' ' && strncmp(line, "VmFlags", 7) == 0)
            *--end = '\0';
    } else {
        *at = line + strlen(line);
    }
    return line;
}

static bool compare_areas(const struct fuzz_view *view, struct vmk_mm *mm, struct fuzz_difference *difference)
{
    static char empty[1];
    char *at;

    report.len = 0;
    vmk_report_vmflags(mm, collect, &report);
    at = report.len != 0 ? report.bytes : empty;
    for (size_t i = 0; i < view->nr_areas; i++) {
        const struct fuzz_area *area = &view->areas[i];
        const char *line = next_line(&at), *flags = line != NULL ? next_line(&at) : NULL;

        if (line == NULL || flags == NULL) {
            snprintf(difference->what, sizeof(difference->what), "area %zu: only the kernel has %.200s", i, area->line);
            return false;
        }
        if (!same_line(area, line)) {
            snprintf(difference->what, sizeof(difference->what), "area %zu:\n  kernel %.200s\n  engine %.200s", i,
                     area->line, line);
            return false;
        }
        if (strcmp(area->flags, strlen(flags) > 9 ? flags + 9 : "") != 0) {
            snprintf(difference->what, sizeof(difference->what), "flags of %.30s:\n  kernel %.150s\n  engine %.150s",
                     area->line, area->flags, flags + 9);
            return false;
        }
    }
    if (*at != '\0') {
        snprintf(difference->what, sizeof(difference->what), "only the engine has %.200s", next_line(&at));
        return false;
    }
    return true;
}

static bool compare_status(const struct fuzz_view *view, struct vmk_mm *mm, struct fuzz_difference *difference)
{
    const char *kernel = strstr(view->status, "VmPeak:");
    char *at, *line;

    report.len = 0;
    vmk_report_status(mm, collect, &report);
    at = report.bytes;
    while ((line = next_line(&at)) != NULL) {
        const char *found, *name_end = strchr(line, ':');
        size_t name_len = name_end != NULL ? (size_t)(name_end - line) + 1 : 0;

        for (found = kernel; found != NULL && strncmp(found, line, name_len) != 0;) {
            found = strchr(found, '\n');
            found = found != NULL ? found + 1 : NULL;
        }
        if (found == NULL || strtoull(found + name_len, NULL, 10) != strtoull(line + name_len, NULL, 10)) {
            snprintf(difference->what, sizeof(difference->what), "status: kernel %.*s, engine %s",
                     found != NULL ? (int)strcspn(found, "\n") : 1, found != NULL ? found : "-", line);
            return false;
        }
    }
    return true;
}

bool fuzz_compare(const struct fuzz_view *view, struct vmk_mm *mm, struct fuzz_difference *difference)
{
    return compare_areas(view, mm, difference) && compare_status(view, mm, difference);
}

/* Both maps as one list: lines of one side alone are marked K or E. */
void fuzz_print_both(FILE *out, const struct fuzz_view *view, struct vmk_mm *mm)
{
    static char empty[1];
    char *at, *line, *flags = NULL;
    size_t i = 0;

    report.len = 0;
    vmk_report_vmflags(mm, collect, &report);
    at = report.len != 0 ? report.bytes : empty;
    line = next_line(&at);
    flags = line != NULL ? next_line(&at) : NULL;
    while (i < view->nr_areas || line != NULL) {
        const struct fuzz_area *area = i < view->nr_areas ? &view->areas[i] : NULL;
        uint64_t start = line != NULL ? strtoull(line, NULL, 16) : UINT64_MAX;

        if (area != NULL && line != NULL && flags != NULL && same_line(area, line) &&
            strcmp(area->flags, strlen(flags) > 9 ? flags + 9 : "") == 0) {
            fprintf(out, "    %s | %s\n", area->line, area->flags);
        } else {
            if (area != NULL && area->start <= start)
                fprintf(out, "  K %s | %s\n", area->line, area->flags);
            if (line != NULL && (area == NULL || start <= area->start))
                fprintf(out, "  E %s | %s\n", line, flags != NULL && strlen(flags) > 9 ? flags + 9 : "");
        }
        if (area != NULL && area->start <= start)
            i++;
        if (line != NULL && (area == NULL || start <= area->start)) {
            line = next_line(&at);
            flags = line != NULL ? next_line(&at) : NULL;
        }
    }
}
