/* SPDX-License-Identifier: MIT */
/*
 * fuzz_replay.c - whole records, and strace's output, run through the engine: hostile settings, areas, calls and what-ifs.
 * After each the address spaces are validated.
 */
#include <stdlib.h>

#include "replay.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    if (freopen("/dev/null", "w", stdout) == NULL)
        abort();
    return 0;
}

static void set_what_if(struct replay_options *options, unsigned which)
{
    if (which & 1)
        options->page_shift = 14;
    if (which & 2)
        options->va_bits = 39;
    if (which & 4)
        options->max_map_count = 30;
    if (which & 8) {
        options->rlimits[RECORD_RLIMIT_DATA].given = true;
        options->rlimits[RECORD_RLIMIT_DATA].value = 1 << 20;
    }
    options->map = (which & 16) != 0;
    options->json = (which & 32) != 0 ? "/dev/null" : NULL;
}

static void say(void *context, const char *text, size_t len)
{
    (void)context;
    fwrite(text, 1, len, stderr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct replay replay = {.options = {.file = "input", .quiet = true, .color = "never"}};

    if (size == 0)
        return 0;
    char *text = malloc(size - 1 == 0 ? 1 : size - 1);
    if (text == NULL)
        return 0;
    for (size_t i = 1; i < size; i++)
        text[i - 1] = (char)data[i];
    set_what_if(&replay.options, data[0]);
    replay_init(&replay);
    replay.nr_printed = REPLAY_PRINTED_MAX; /* nobody reads it */
    replay_text(&replay, text, size - 1);
    for (size_t i = 0; i < replay.nr_order; i++) {
        if (replay.order[i]->mm != NULL && vmk_mm_validate(replay.order[i]->mm, say, NULL) != 0)
            abort();
        replay_end_space(&replay, replay.order[i]);
    }
    replay_free(&replay);
    free(text);
    return 0;
}
