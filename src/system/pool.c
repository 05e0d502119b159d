/* SPDX-License-Identifier: MIT */
/*
 * pool.c - memory that readers have let go, kept for the next call of any address space.
 *
 * What a space retires comes back, after its readers, in another thread; giving it to the port there and taking as much
 * from the port here costs more than the edit that it is for. So it waits here, in the batches in which it was retired, up
 * to a limit. vmk_system_quiesce gives everything back to the port.
 */
#include "system/system.h"

#include "base/atomic.h"

bool vmki_pool_put(struct vmk_system *system, struct vmki_pooled *batch)
{
    bool kept;

    vmk_sync_mutex_lock(&system->pool_lock);
    kept = system->pool_bytes + batch->nr_bytes <= VMKI_POOL_BYTES;
    if (kept) {
        system->pool_bytes += batch->nr_bytes;
        batch->next = system->pool;
        vmki_store_relaxed(&system->pool, batch);
    }
    vmk_sync_mutex_unlock(&system->pool_lock);
    return kept;
}

struct vmki_pooled *vmki_pool_take(struct vmk_system *system)
{
    struct vmki_pooled *batch;

    if (vmki_load_relaxed(&system->pool) == NULL)
        return NULL;
    vmk_sync_mutex_lock(&system->pool_lock);
    batch = system->pool;
    if (batch != NULL) {
        system->pool_bytes -= batch->nr_bytes;
        vmki_store_relaxed(&system->pool, batch->next);
    }
    vmk_sync_mutex_unlock(&system->pool_lock);
    return batch;
}

void vmki_pool_trim(struct vmk_system *system)
{
    for (struct vmki_pooled *batch = vmki_pool_take(system); batch != NULL; batch = vmki_pool_take(system))
        batch->free(system, batch);
}
