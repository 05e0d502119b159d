/* SPDX-License-Identifier: MIT */
/*
 * memory_log.h - what the library takes from the port during a call, and what of it is still there later, as text:
 *
 *     takes 2 areas, 1 node; keeps 1 area
 *
 * Only what follows from the call alone is told: the log begins where nothing is spare and nothing waits for readers, and
 * what is kept is asked for when that is so again.
 */
#ifndef VMAKIT_TESTS_MEMORY_LOG_H
#define VMAKIT_TESTS_MEMORY_LOG_H

#include <pthread.h>

#include "object/object.h"
#include "support.h"

enum { MEMORY_LOG_SIZES = 32 };
struct memory_log {
    pthread_mutex_t lock; /* what was deferred is freed in another thread */
    struct vt *t;
    bool takes; /* what comes counts as taken */
    unsigned nr;
    struct {
        size_t size;
        unsigned nr_taken;
        int nr_kept;
    } of[MEMORY_LOG_SIZES]; /* by size */
};

static struct memory_log the_memory_log = {.lock = PTHREAD_MUTEX_INITIALIZER};

static VT_UNUSED void memory_log_note(size_t size, bool is_taken)
{
    struct memory_log *log = &the_memory_log;
    unsigned i = 0;

    pthread_mutex_lock(&log->lock);
    while (i < log->nr && log->of[i].size < size)
        i++;
    if (i == log->nr || log->of[i].size != size) {
        if (log->nr == MEMORY_LOG_SIZES)
            abort();
        memmove(&log->of[i + 1], &log->of[i], (log->nr++ - i) * sizeof(log->of[0]));
        memset(&log->of[i], 0, sizeof(log->of[0]));
        log->of[i].size = size;
    }
    log->of[i].nr_taken += is_taken && log->takes;
    log->of[i].nr_kept += is_taken ? 1 : -1;
    pthread_mutex_unlock(&log->lock);
}

static VT_UNUSED void *memory_log_alloc(void *context, size_t size, size_t align, unsigned flags)
{
    void *memory = vt_alloc(context, size, align, flags);

    if (memory != NULL)
        memory_log_note(size, true);
    return memory;
}

static VT_UNUSED void memory_log_free(void *context, void *memory, size_t size)
{
    if (memory != NULL)
        memory_log_note(size, false);
    vt_free(context, memory, size);
}

/* From now on. */
static VT_UNUSED void memory_log_begin(struct vt *t)
{
    vmk_system_quiesce(t->system);
    the_memory_log.nr = 0;
    the_memory_log.takes = true;
    t->system->port.alloc = memory_log_alloc;
    t->system->port.free = memory_log_free;
}

static VT_UNUSED void memory_log_print_nr(struct vt_text *to, int nr, size_t size)
{
    static const struct {
        size_t size;
        const char *name;
    } names[] = {{sizeof(struct vmk_vma), "area"},
                 {sizeof(struct vmki_file_vma), "file's area"},
                 {sizeof(struct vmki_anon_vma), "anon_vma"},
                 {sizeof(struct vmki_ext), "ext"},
                 {512, "node"}};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].size == size) {
            vt_print(to, " %d %s%s", nr, names[i].name, nr == 1 ? "" : "s");
            return;
        }
    if (size < 2048)
        vt_print(to, " %d of %zu bytes", nr, size);
    else /* a space: how large locks are is the host's */
        vt_print(to, " %d large", nr);
}

/* A line of what was taken since memory_log_begin, and what of it, or less than before, is there when all is quiet. */
static VT_UNUSED void memory_log_end(struct vt *t, struct vt_text *to)
{
    struct memory_log *log = &the_memory_log;
    const char *between = "";

    log->takes = false;
    vmk_system_quiesce(t->system);
    vt_print(to, "takes");
    for (unsigned i = 0; i < log->nr; i++)
        if (log->of[i].nr_taken != 0) {
            vt_print(to, "%s", between);
            memory_log_print_nr(to, (int)log->of[i].nr_taken, log->of[i].size);
            between = ",";
        }
    vt_print(to, "%s; keeps", *between == '\0' ? " nothing" : "");
    between = "";
    for (unsigned i = 0; i < log->nr; i++)
        if (log->of[i].nr_kept != 0) {
            vt_print(to, "%s", between);
            memory_log_print_nr(to, log->of[i].nr_kept, log->of[i].size);
            between = ",";
        }
    vt_print(to, "%s\n", *between == '\0' ? " nothing" : "");
    t->system->port.alloc = vt_alloc;
    t->system->port.free = vt_free;
}

#endif
