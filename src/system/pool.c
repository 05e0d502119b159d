/* SPDX-License-Identifier: MIT */
/*
 * pool.c - memory that readers have let go, kept for the next call of any address space.
 *
 * What a space retires comes back, after its readers, in another thread; giving it to the port there and taking as much
 * from the port here costs more than the edit that it is for. So it waits here, up to a limit for each kind of thing.
 * vmk_system_quiesce gives everything back to the port.
 */
#include "system/system.h"

#include "base/atomic.h"

static void **chain_link(const struct vmki_shape *shape, void *thing)
{
    return (void **)(void *)((char *)thing + shape->link);
}

static void chain_free(struct vmk_system *system, const struct vmki_shape *shape, void *first)
{
    for (void *thing = first, *next; thing != NULL; thing = next) {
        next = *chain_link(shape, thing);
        vmki_free(system, (char *)thing - shape->base, shape->size);
    }
}

void vmki_pool_put(struct vmk_system *system, enum vmki_pool_kind kind, const struct vmki_shape *shape,
                   const struct vmki_chain *chain)
{
    struct vmki_pool *pool = &system->pools[kind];
    bool kept;

    if (chain->nr == 0)
        return;
    vmk_sync_mutex_lock(&system->pool_lock);
    kept = pool->nr + chain->nr <= VMKI_POOL_BYTES / shape->size && (pool->nr == 0 || pool->shape.size == shape->size);
    if (kept) {
        *chain_link(shape, chain->last) = pool->first;
        pool->first = chain->first;
        pool->shape = *shape;
        vmki_store_relaxed(&pool->nr, pool->nr + chain->nr);
    }
    vmk_sync_mutex_unlock(&system->pool_lock);
    if (!kept) {
        *chain_link(shape, chain->last) = NULL;
        chain_free(system, shape, chain->first);
    }
}

uint32_t vmki_pool_take(struct vmk_system *system, enum vmki_pool_kind kind, uint32_t nr, struct vmki_chain *chain)
{
    struct vmki_pool *pool = &system->pools[kind];

    *chain = (struct vmki_chain){NULL, NULL, 0};
    if (vmki_load_relaxed(&pool->nr) == 0)
        return 0;
    vmk_sync_mutex_lock(&system->pool_lock);
    chain->first = pool->first;
    for (void *thing = pool->first; thing != NULL && chain->nr < nr; thing = *chain_link(&pool->shape, thing)) {
        chain->last = thing;
        chain->nr++;
    }
    if (chain->nr != 0) {
        pool->first = *chain_link(&pool->shape, chain->last);
        *chain_link(&pool->shape, chain->last) = NULL;
        vmki_store_relaxed(&pool->nr, pool->nr - chain->nr);
    }
    vmk_sync_mutex_unlock(&system->pool_lock);
    return chain->nr;
}

void vmki_pool_trim(struct vmk_system *system)
{
    for (unsigned kind = 0; kind < VMKI_POOL_KINDS; kind++) {
        struct vmki_pool *pool = &system->pools[kind], taken;

        vmk_sync_mutex_lock(&system->pool_lock);
        taken = *pool;
        pool->first = NULL;
        vmki_store_relaxed(&pool->nr, 0);
        vmk_sync_mutex_unlock(&system->pool_lock);
        chain_free(system, &taken.shape, taken.first);
    }
}
