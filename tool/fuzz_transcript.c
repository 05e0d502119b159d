/* SPDX-License-Identifier: MIT */
/*
 * fuzz_transcript.c - what the kernel's side did, as text that is the same in two runs that did the same: each operation
 * with its result, the areas that it changed, and the sizes of status.
 *
 * Numbers that the kernel gives out anew in each run (devices, inodes, the names of temporary files) are replaced by the
 * order in which they are seen.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { LINE_MAX_BYTES = 400 };

struct identity {
    uint64_t inode;
    char device[16];
};

struct lines {
    char (*line)[LINE_MAX_BYTES];
    size_t nr, room;
};

struct fuzz_transcript {
    FILE *out;
    struct identity *identities;
    size_t nr_identities, room;
    struct lines before, now;
    char status[256];
    uint64_t nr_sequences;
};

int fuzz_transcript_open(const char *path, struct fuzz_transcript **result)
{
    struct fuzz_transcript *transcript = calloc(1, sizeof(*transcript));

    if (transcript == NULL)
        return -ENOMEM;
    transcript->out = fopen(path, "we");
    if (transcript->out == NULL) {
        free(transcript);
        return -errno;
    }
    *result = transcript;
    return 0;
}

int fuzz_transcript_close(struct fuzz_transcript *transcript)
{
    int error;

    if (transcript == NULL)
        return 0;
    error = ferror(transcript->out) ? -EIO : 0;
    if (fclose(transcript->out) != 0)
        error = -errno;
    free(transcript->identities);
    free(transcript->before.line);
    free(transcript->now.line);
    free(transcript);
    return error;
}

static void *grow(void *memory, size_t nr, size_t *room, size_t size)
{
    if (nr < *room)
        return memory;
    *room = *room * 2 + 64;
    memory = realloc(memory, *room * size);
    if (memory == NULL)
        abort();
    return memory;
}

/* The order in which this file was first seen, from 1. */
static size_t identify(struct fuzz_transcript *transcript, const char *device, uint64_t inode)
{
    struct identity *identity;
    size_t i;

    for (i = 0; i < transcript->nr_identities; i++) {
        identity = &transcript->identities[i];
        if (identity->inode == inode && strcmp(identity->device, device) == 0)
            return i + 1;
    }
    transcript->identities = grow(transcript->identities, i, &transcript->room, sizeof(*identity));
    identity = &transcript->identities[transcript->nr_identities++];
    identity->inode = inode;
    snprintf(identity->device, sizeof(identity->device), "%s", device);
    return i + 1;
}

/* "/var/tmp/vmakit-fuzz-XXXXXX (deleted)": without the part that is drawn. */
static void write_name(char *to, size_t size, const char *name)
{
    const char *drawn = strstr(name, "/vmakit-fuzz-");

    if (drawn == NULL)
        snprintf(to, size, "%s", name);
    else
        snprintf(to, size, "%.*s*", (int)(drawn + strlen("/vmakit-fuzz-") - name), name);
}

static void describe(struct fuzz_transcript *transcript, const struct fuzz_area *area, char *line)
{
    char device[16] = "", name[200];

    write_name(name, sizeof(name), area->name);
    sscanf(area->line, "%*s %*s %*s %15s", device);
    snprintf(line, LINE_MAX_BYTES, "%012" PRIx64 "-%012" PRIx64 " %s %08" PRIx64 " file %zu %s | %s", area->start,
             area->end, area->perms, area->offset, area->inode == 0 ? 0 : identify(transcript, device, area->inode),
             name, area->flags);
}

/* Both lists are in order of address, which begins each line. */
static void write_changes(struct fuzz_transcript *transcript)
{
    const struct lines *before = &transcript->before, *now = &transcript->now;
    size_t i = 0, j = 0;

    while (i < before->nr || j < now->nr) {
        int order = i == before->nr ? 1 : j == now->nr ? -1 : strcmp(before->line[i], now->line[j]);

        if (order < 0)
            fprintf(transcript->out, "  - %s\n", before->line[i]);
        else if (order > 0)
            fprintf(transcript->out, "  + %s\n", now->line[j]);
        i += order <= 0;
        j += order >= 0;
    }
}

static void write_areas(struct fuzz_transcript *transcript, const struct fuzz_view *view)
{
    struct lines *now = &transcript->now, swapped;

    now->nr = 0;
    for (size_t i = 0; i < view->nr_areas; i++) {
        now->line = grow(now->line, now->nr, &now->room, sizeof(*now->line));
        describe(transcript, &view->areas[i], now->line[now->nr++]);
    }
    write_changes(transcript);
    swapped = transcript->before;
    transcript->before = transcript->now;
    transcript->now = swapped;
}

/* Sizes in kB; those that count pages depend on more than the calls. */
static void write_status(struct fuzz_transcript *transcript, const struct fuzz_view *view)
{
    static const char *const names[] = {"VmPeak", "VmSize", "VmLck", "VmData", "VmStk", "VmExe", "VmLib"};
    char text[sizeof(transcript->status)];
    size_t len = 0;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char pattern[16];
        const char *at;

        snprintf(pattern, sizeof(pattern), "%s:", names[i]);
        at = strstr(view->status, pattern);
        len += (size_t)snprintf(text + len, sizeof(text) - len, " %s %" PRIu64, names[i],
                                at != NULL ? (uint64_t)strtoull(at + strlen(pattern), NULL, 10) : 0);
    }
    if (strcmp(text, transcript->status) == 0)
        return;
    memcpy(transcript->status, text, sizeof(text));
    fprintf(transcript->out, "  %s\n", text + 1);
}

void fuzz_transcript_begin(struct fuzz_transcript *transcript, const struct fuzz_config *config,
                           const struct fuzz_view *view)
{
    fprintf(transcript->out, "sequence %" PRIu64 ": seed %#" PRIx64 "%s\n", transcript->nr_sequences++, config->seed,
            config->drop_ipc_lock ? " without CAP_IPC_LOCK" : "");
    transcript->before.nr = 0;
    transcript->status[0] = '\0';
    write_areas(transcript, view);
    write_status(transcript, view);
}

void fuzz_transcript_step(struct fuzz_transcript *transcript, const struct fuzz_op *op, fuzz_result kernel,
                          const struct fuzz_view *view)
{
    char text[32];

    fuzz_result_text(kernel, text, sizeof(text));
    fuzz_op_print(transcript->out, op);
    fprintf(transcript->out, " = %s\n", text);
    write_areas(transcript, view);
    write_status(transcript, view);
}
