/* SPDX-License-Identifier: MIT */
/* libFuzzer: any text for vmk_mm_load. What it accepts must be valid, save again, and load again as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmakit/vmakit.h"

struct text {
    size_t len;
    char bytes[1 << 18];
};

static struct text saved[2];

static void gather(void *context, const char *bytes, size_t len)
{
    struct text *to = context;

    if (to->len + len > sizeof(to->bytes))
        abort();
    memcpy(to->bytes + to->len, bytes, len);
    to->len += len;
}

/* Every file is the same one. */
static struct vmk_file *find_file(void *context, uint64_t file_id, uint64_t object_id, const char *name)
{
    struct vmk_file *file = context;

    (void)object_id;
    (void)name;
    if (file_id == 0)
        return NULL;
    vmk_file_get(file);
    return file;
}

static struct vmk_file *make_file(struct vmk_system *system)
{
    const struct vmk_object_options object_options = {.size = sizeof(object_options), .nr_bytes = 1 << 20, .id = 1};
    struct vmk_file_options options = {.size = sizeof(options), .mode = VMK_FILE_READ | VMK_FILE_WRITE, .id = 1};
    struct vmk_file *file;

    if (vmk_object_create(system, &object_options, &options.object) != 0 ||
        vmk_file_create(system, &options, &file) != 0)
        abort();
    vmk_object_put(options.object);
    return file;
}

static void check(struct vmk_system *system, struct vmk_file *file, struct vmk_mm **mms, size_t nr)
{
    struct vmk_mm *second[4];
    size_t nr_second = 4;

    for (size_t i = 0; i < nr; i++)
        if (vmk_mm_validate(mms[i], NULL, NULL) != 0)
            abort();
    saved[0].len = saved[1].len = 0;
    if (nr == 0)
        return;
    if (vmk_mm_save(mms, nr, gather, &saved[0]) != 0)
        abort();
    if (vmk_mm_load(system, saved[0].bytes, saved[0].len, find_file, file, second, &nr_second, NULL) != 0 ||
        nr_second != nr)
        abort();
    if (vmk_mm_save(second, nr, gather, &saved[1]) != 0 || saved[0].len != saved[1].len ||
        memcmp(saved[0].bytes, saved[1].bytes, saved[0].len) != 0)
        abort();
    for (size_t i = 0; i < nr; i++)
        vmk_mm_put(second[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vmk_system_options options;
    struct vmk_system *system;
    struct vmk_file *file;
    struct vmk_mm *mms[4];
    size_t nr = 4;

    if (size > 1 << 15)
        return 0;
    vmk_system_options_init(&options, vmk_port_linux());
    if (vmk_system_create(&options, &system) != 0)
        abort();
    file = make_file(system);
    if (vmk_mm_load(system, (const char *)data, size, find_file, file, mms, &nr, NULL) == 0) {
        check(system, file, mms, nr);
        for (size_t i = 0; i < nr; i++)
            vmk_mm_put(mms[i]);
    }
    vmk_file_put(file);
    vmk_system_quiesce(system);
    if (vmk_system_destroy(system) != 0)
        abort();
    return 0;
}
