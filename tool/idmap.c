/* SPDX-License-Identifier: MIT */
#include "idmap.h"

#include <stdlib.h>
#include <string.h>

/* Where an id is, or would be. */
static struct idmap_slot *find_slot(const struct idmap *map, uint64_t id)
{
    size_t i = (size_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (map->nr_slots - 1);

    while (map->slots[i].value != NULL && map->slots[i].id != id)
        i = (i + 1) & (map->nr_slots - 1);
    return &map->slots[i];
}

void *idmap_get(const struct idmap *map, uint64_t id)
{
    return map->nr_slots == 0 ? NULL : find_slot(map, id)->value;
}

static bool grow(struct idmap *map)
{
    struct idmap bigger = {.nr_slots = map->nr_slots == 0 ? 64 : map->nr_slots * 2, .nr_used = map->nr_used};

    bigger.slots = calloc(bigger.nr_slots, sizeof(*bigger.slots));
    if (bigger.slots == NULL)
        return false;
    for (size_t i = 0; i < map->nr_slots; i++)
        if (map->slots[i].value != NULL)
            *find_slot(&bigger, map->slots[i].id) = map->slots[i];
    free(map->slots);
    *map = bigger;
    return true;
}

bool idmap_put(struct idmap *map, uint64_t id, void *value)
{
    if (map->nr_used * 4 >= map->nr_slots * 3 && !grow(map))
        return false;
    struct idmap_slot *slot = find_slot(map, id);
    map->nr_used += slot->value == NULL;
    slot->id = id;
    slot->value = value;
    return true;
}

void idmap_free(struct idmap *map)
{
    free(map->slots);
    memset(map, 0, sizeof(*map));
}
