/* SPDX-License-Identifier: MIT */
/* idmap.h - a table from 64-bit numbers to pointers. */
#ifndef VMAKIT_TOOL_IDMAP_H
#define VMAKIT_TOOL_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct idmap_slot {
    uint64_t id;
    void *value; /* NULL: free */
};

/* A zeroed one is empty. */
struct idmap {
    struct idmap_slot *slots;
    size_t nr_slots, nr_used; /* nr_slots is a power of two */
};

void *idmap_get(const struct idmap *map, uint64_t id); /* NULL for none */
/* Replaces what was there; `value` is not NULL. false: out of memory. */
bool idmap_put(struct idmap *map, uint64_t id, void *value);
void idmap_free(struct idmap *map);

#endif
