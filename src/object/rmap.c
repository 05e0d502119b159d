/* SPDX-License-Identifier: MIT */
/* rmap.c - the reverse map: which areas map a range of an object. */
#include "object/object.h"

void vmki_rmap_insert(struct vmk_object *object, struct vmki_rmap_link *link)
{
    vmk_sync_mutex_lock(&object->system->rmap_lock);
    link->prev = NULL;
    link->next = object->links;
    if (object->links != NULL)
        object->links->prev = link;
    object->links = link;
    vmk_sync_mutex_unlock(&object->system->rmap_lock);
}

void vmki_rmap_remove(struct vmk_object *object, struct vmki_rmap_link *link)
{
    vmk_sync_mutex_lock(&object->system->rmap_lock);
    if (link->next != NULL)
        link->next->prev = link->prev;
    if (link->prev != NULL)
        link->prev->next = link->next;
    else
        object->links = link->next;
    vmk_sync_mutex_unlock(&object->system->rmap_lock);
}

size_t vmk_object_mappings(struct vmk_object *object, uint64_t start, uint64_t end,
                           bool (*found)(void *context, const struct vmk_mapping *mapping), void *context)
{
    size_t nr_found = 0;
    bool more = true;

    vmk_sync_mutex_lock(&object->system->rmap_lock);
    for (const struct vmki_rmap_link *link = object->links; link != NULL && more; link = link->next) {
        const uint64_t from = vmki_max(start, link->start), to = vmki_min(end, link->end);
        struct vmk_mapping mapping;

        if (from >= to)
            continue;
        link->ops->describe(link, from, to, &mapping);
        more = found(context, &mapping);
        nr_found++;
    }
    vmk_sync_mutex_unlock(&object->system->rmap_lock);
    return nr_found;
}
