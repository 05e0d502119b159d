/* SPDX-License-Identifier: MIT */
/*
 * memory.c - memory of an address space: spare areas for the next call, out-of-line properties, and what waits for
 * lock-free readers before it may be freed.
 *
 * Anonymous areas need not wait: readers that look into one ask the tree afterwards whether it was there all the while
 * (docs/locking.md), so the space uses their memory again at once. Only before it goes to the port, or to another space,
 * it waits like everything else.
 *
 * Retiring cannot fail: what is retired goes on a list of mm->retired, linked through the thing itself in a word that no
 * reader looks at. When mm.lock is released, a list that has become long is handed to the synchronisation's deferral; when
 * no memory can be had for the next list it goes on growing until a later call. Files are dropped right after the lock
 * is released, so that a release hook comes soon; their memory too waits for readers (object.c).
 */
#include "base/atomic.h"
#include "mm/lane.h"
#include "mm/mm.h"

enum { BLOCK_MIN = 8, BLOCK_MAX = 448 };
/* A wait for mm.lock counts as much as so many times without one. */
enum { WAIT_WEIGHT = 256 };

/* A synchronisation header may say when a list is long. */
#if !defined(VMK_SYNC_RETIRE_BATCH)
#define VMK_SYNC_RETIRE_BATCH 32
#endif
enum { RETIRE_BATCH = VMK_SYNC_RETIRE_BATCH, BATCH_AREAS = 28, BATCH_NODES = 12 };

/*
 * What waits for readers, and afterwards carries memory to the next call that needs some (pool.c). Areas of which nothing
 * else hangs and nodes stand in arrays, so that who takes them can fetch them ahead; the rest is in lists.
 */
struct vmki_retired {
    struct vmk_sync_deferred deferred; /* first: the deferral's callback gets its address */
    struct vmki_pooled pooled;
    struct vmk_system *system;
    struct vmk_vma *areas; /* by link; their ext and anon_vma references with them */
    struct vmki_ext *exts;
    struct vmki_anon_vma *anon_vmas;
    struct vmki_tree_tail *nodes; /* for which the array has no room */
    struct vmki_area_block *blocks;
    struct vmk_vma *drop_files; /* areas whose file is to be dropped after unlock, by rmap.next */
    unsigned nr;
    uint16_t nr_plain, nr_nodes; /* in the arrays */
    uint32_t node_size;
    struct vmk_vma *plain[BATCH_AREAS];
    void *node[BATCH_NODES];
};

static size_t block_size(uint32_t nr)
{
    return sizeof(struct vmki_area_block) + nr * sizeof(struct vmk_vma);
}

static size_t area_size(bool is_file)
{
    return is_file ? sizeof(struct vmki_file_vma) : sizeof(struct vmk_vma);
}

/* ---- Nodes of the tree that were allocated together ---- */

/*
 * A node's mark says which one of a block it is, from 1 on; 0 for one of its own. The block goes with the last of its nodes. They go
 * into no batch: one that waits there would keep all the block.
 */
struct node_block {
    _Alignas(64) uint32_t nr;
    uint32_t nr_left; /* atomic */
};
enum { NODES_MIN = 8, NODES_MAX = 16 };

static uint16_t *node_mark(void *node)
{
    return (uint16_t *)(void *)((char *)node + VMKI_TREE_MARK);
}

static size_t node_alloc_many(void *context, size_t size, size_t nr, void **first)
{
    const struct vmk_mm *mm = context;
    struct node_block *block;

    nr = vmki_min(nr, NODES_MAX);
    block = nr < NODES_MIN ? NULL : vmki_alloc(mm->system, sizeof(*block) + nr * size, 64);
    if (block == NULL)
        return 0;
    block->nr = (uint32_t)nr;
    block->nr_left = (uint32_t)nr;
    *first = block + 1;
    for (size_t i = 0; i < nr; i++)
        *node_mark((char *)*first + i * size) = (uint16_t)(i + 1);
    return nr;
}

/* No reader is left. */
static void node_put(struct vmk_system *system, void *node, size_t size)
{
    unsigned mark = *node_mark(node);
    struct node_block *block;

    if (mark == 0) {
        vmki_free(system, node, size);
        return;
    }
    block = (struct node_block *)(void *)((char *)node - (mark - 1) * size) - 1;
    if (__atomic_sub_fetch(&block->nr_left, 1, __ATOMIC_ACQ_REL) == 0)
        vmki_free(system, block, sizeof(*block) + block->nr * size);
}

/* ---- Batches that carry memory ---- */

static size_t batch_bytes(const struct vmki_retired *batch)
{
    return sizeof(*batch) + batch->nr_plain * sizeof(struct vmk_vma) + batch->nr_nodes * (size_t)batch->node_size;
}

/* To be written soon. */
static void batch_fetch_area(const struct vmki_retired *batch, unsigned nr)
{
    if (nr != 0) {
        __builtin_prefetch(batch->plain[nr - 1], 1);
        __builtin_prefetch((const char *)batch->plain[nr - 1] + sizeof(struct vmk_vma) - 1, 1);
    }
}

static void batch_fetch_node(const struct vmki_retired *batch, unsigned nr)
{
    for (uint32_t at = 0; nr != 0 && at < batch->node_size; at += 64)
        __builtin_prefetch((const char *)batch->node[nr - 1] + at, 1);
}

/* Gives what it carries, and itself, to the port. */
static void batch_free(struct vmk_system *system, struct vmki_retired *batch)
{
    for (unsigned i = 0; i < batch->nr_plain; i++)
        vmki_free(system, batch->plain[i], sizeof(struct vmk_vma));
    for (unsigned i = 0; i < batch->nr_nodes; i++)
        node_put(system, batch->node[i], batch->node_size);
    vmki_free(system, batch, sizeof(*batch));
}

static void batch_free_pooled(struct vmk_system *system, struct vmki_pooled *pooled)
{
    batch_free(system, VMKI_CONTAINER_OF(pooled, struct vmki_retired, pooled));
}

/* Keeps a batch for whoever needs it, or frees it. */
static void batch_give(struct vmk_system *system, struct vmki_retired *batch)
{
    batch->pooled = (struct vmki_pooled){.nr_bytes = batch_bytes(batch), .free = batch_free_pooled};
    if (batch->nr_plain + batch->nr_nodes == 0 || !vmki_pool_put(system, &batch->pooled))
        batch_free(system, batch);
}

/* Moves what the old batch still has to the new one, as far as there is room; the rest stays. */
static void batch_merge(struct vmki_retired *batch, struct vmki_retired *old)
{
    while (old->nr_plain != 0 && batch->nr_plain < BATCH_AREAS)
        batch->plain[batch->nr_plain++] = old->plain[--old->nr_plain];
    if (batch->nr_nodes == 0)
        batch->node_size = old->node_size;
    while (old->nr_nodes != 0 && batch->nr_nodes < BATCH_NODES && old->node_size == batch->node_size)
        batch->node[batch->nr_nodes++] = old->node[--old->nr_nodes];
}

/* Takes a batch out of the pool for this space's next calls. */
static bool batch_load(struct vmk_mm *mm)
{
    struct vmki_pooled *pooled = vmki_pool_take(mm->system);
    struct vmki_retired *batch, *old = mm->carried;

    if (pooled == NULL)
        return false;
    batch = VMKI_CONTAINER_OF(pooled, struct vmki_retired, pooled);
    if (old != NULL) {
        batch_merge(batch, old);
        batch_free(mm->system, old);
    }
    mm->carried = batch;
    batch_fetch_area(batch, batch->nr_plain);
    batch_fetch_area(batch, batch->nr_plain != 0 ? batch->nr_plain - 1u : 0);
    batch_fetch_node(batch, batch->nr_nodes);
    return true;
}

static struct vmk_vma *carried_area(struct vmk_mm *mm)
{
    struct vmki_retired *batch = mm->carried;

    if ((batch == NULL || batch->nr_plain == 0) && (!batch_load(mm) || mm->carried->nr_plain == 0))
        return NULL;
    batch = mm->carried;
    if (batch->nr_plain > 2)
        batch_fetch_area(batch, batch->nr_plain - 2u);
    return batch->plain[--batch->nr_plain];
}

static void *carried_node(struct vmk_mm *mm, size_t size)
{
    struct vmki_retired *batch = mm->carried;

    if ((batch == NULL || batch->nr_nodes == 0) && (!batch_load(mm) || mm->carried->nr_nodes == 0))
        return NULL;
    batch = mm->carried;
    if (batch->node_size != size)
        return NULL;
    batch_fetch_node(batch, batch->nr_nodes - 1u);
    return batch->node[--batch->nr_nodes];
}

/* Where nobody can be reading, what was retired can be used at once. */
#if defined(VMK_SYNC_IMMEDIATE)
static void *retired_node(struct vmk_mm *mm, size_t size)
{
    struct vmki_retired *retired = mm->retired;

    return retired->nr_nodes != 0 && retired->node_size == size ? retired->node[--retired->nr_nodes]
                                                                : carried_node(mm, size);
}
#define NODE_FROM retired_node
#else
#define NODE_FROM carried_node
#endif

uint64_t vmki_mm_carried_bytes(const struct vmk_mm *mm)
{
    return mm->carried != NULL ? batch_bytes(mm->carried) : 0;
}

/* ---- The tree's nodes ---- */

static void *node_alloc(void *context, size_t size)
{
    struct vmk_mm *mm = context;
    void *node = NODE_FROM(mm, size);

    if (node == NULL)
        node = vmki_alloc(mm->system, size, 64);
    if (node == NULL)
        mm->counters.alloc_failed++;
    else
        *node_mark(node) = 0;
    return node;
}

static void node_free(void *context, void *node, size_t size)
{
    struct vmk_mm *mm = context;

    node_put(mm->system, node, size);
}

static void node_retire(void *context, void *node, size_t size)
{
    struct vmk_mm *mm = context;
    struct vmki_retired *retired = mm->retired;

    retired->nr++;
    if (*node_mark(node) == 0 && retired->nr_nodes < BATCH_NODES &&
        (retired->nr_nodes == 0 || retired->node_size == size)) {
        retired->node[retired->nr_nodes++] = node;
        retired->node_size = (uint32_t)size;
        return;
    }
    retired->nodes = vmki_tree_tail_link(node, size, retired->nodes);
}

struct vmki_tree_memory vmki_mm_tree_memory(struct vmk_mm *mm)
{
    return (struct vmki_tree_memory){
        .alloc = node_alloc, .free = node_free, .retire = node_retire, .context = mm, .alloc_many = node_alloc_many};
}

/* ---- Properties out of line ---- */

struct vmki_ext *vmki_ext_get(struct vmki_ext *ext)
{
    if (ext != NULL)
        __atomic_add_fetch(&ext->refs, 1, __ATOMIC_RELAXED);
    return ext;
}

static void ext_free(struct vmk_system *system, struct vmki_ext *ext)
{
    vmki_free(system, ext, sizeof(*ext) + ext->name_size);
}

void vmki_ext_put(struct vmk_mm *mm, struct vmki_ext *ext)
{
    if (ext == NULL || __atomic_sub_fetch(&ext->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    ext->retired = mm->retired->exts;
    mm->retired->exts = ext;
    mm->retired->nr++;
}

struct vmki_ext *vmki_ext_copy(struct vmk_mm *mm, const struct vmki_ext *base, uint32_t name_size)
{
    struct vmki_ext *ext = vmki_alloc(mm->system, sizeof(*ext) + name_size, _Alignof(struct vmki_ext));

    if (ext == NULL) {
        mm->counters.alloc_failed++;
        return NULL;
    }
    if (base != NULL)
        memcpy(ext, base, sizeof(*ext));
    else
        memset(ext, 0, sizeof(*ext));
    if (base != NULL && name_size == base->name_size)
        memcpy(ext->name, base->name, name_size);
    ext->refs = 1;
    ext->name_size = name_size;
    return ext;
}

bool vmki_ext_is_empty(const struct vmki_ext *ext)
{
    return ext == NULL ||
           (ext->ops == NULL && ext->private_data == NULL && ext->special_name == NULL && ext->user == NULL &&
            ext->policy.mode == VMK_MPOL_DEFAULT && ext->policy.nodes == 0 && ext->uffd == 0 && ext->name_size == 0);
}

bool vmki_ext_same_identity(const struct vmki_ext *a, const struct vmki_ext *b)
{
    static const struct vmki_ext none;

    if (a == b)
        return true;
    a = a != NULL ? a : &none;
    b = b != NULL ? b : &none;
    return vmki_ext_same_policy(a, b) && a->uffd == b->uffd && vmki_ext_same_name(a, b);
}

bool vmki_ext_same_policy(const struct vmki_ext *a, const struct vmki_ext *b)
{
    static const struct vmki_policy none;
    const struct vmki_policy *first = a != NULL ? &a->policy : &none;
    const struct vmki_policy *second = b != NULL ? &b->policy : &none;

    return first->mode == second->mode && first->nodes == second->nodes;
}

bool vmki_ext_same_name(const struct vmki_ext *a, const struct vmki_ext *b)
{
    uint32_t first = a != NULL ? a->name_size : 0;
    uint32_t second = b != NULL ? b->name_size : 0;

    return first == second && (first == 0 || memcmp(a->name, b->name, first) == 0);
}

/* ---- anon_vmas ---- */

struct vmki_anon_vma *vmki_anon_vma_new(struct vmk_mm *mm)
{
    struct vmki_anon_vma *anon_vma = vmki_alloc(mm->system, sizeof(*anon_vma), _Alignof(struct vmki_anon_vma));

    if (anon_vma == NULL) {
        mm->counters.alloc_failed++;
        return NULL;
    }
    *anon_vma = (struct vmki_anon_vma){.refs = 1, .id = vmki_system_new_id(mm->system)};
    return anon_vma;
}

void vmki_anon_vma_get(struct vmki_anon_vma *anon_vma)
{
    if (anon_vma != NULL)
        __atomic_add_fetch(&anon_vma->refs, 1, __ATOMIC_RELAXED);
}

void vmki_anon_vma_put(struct vmk_mm *mm, struct vmki_anon_vma *anon_vma)
{
    if (anon_vma == NULL || __atomic_sub_fetch(&anon_vma->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    anon_vma->retired = mm->retired->anon_vmas;
    mm->retired->anon_vmas = anon_vma;
    mm->retired->nr++;
}

/* ---- Areas ---- */

void vmki_mm_expect_vmas(struct vmk_mm *mm, size_t nr)
{
    mm->nr_expected = nr;
}

bool vmki_mm_new_block(struct vmk_mm *mm)
{
    uint32_t nr = (uint32_t)vmki_min(mm->nr_expected, BLOCK_MAX);
    struct vmki_area_block *block;

    if (nr < BLOCK_MIN)
        return false;
    block = vmki_alloc(mm->system, block_size(nr), _Alignof(struct vmki_area_block));
    if (block == NULL)
        return false;
    block->nr = nr;
    block->nr_used = 0;
    block->next = mm->blocks;
    mm->blocks = block;
    mm->nr_expected -= nr;
    return true;
}

/* Readers may look on: they see single words change, and find out afterwards. */
static void vma_clear(struct vmk_mm *mm, struct vmk_vma *vma)
{
    vmki_store_relaxed(&vma->bias, 0);
    vmki_store_relaxed(&vma->mm, mm->whole);
    vmki_store_relaxed(&vma->file, NULL);
    vmki_store_relaxed(&vma->anon_vma, NULL);
    vmki_store_relaxed(&vma->ext, NULL);
}

/* One more spare area. */
static bool reserve_area(struct vmk_mm *mm, bool is_file)
{
    struct vmk_vma **list = is_file ? &mm->spare_file : &mm->spare_anon, *vma = NULL;

    if (!is_file)
        vma = vmki_mm_has_block(mm) ? &mm->blocks->area[mm->blocks->nr_used++] : carried_area(mm);
    if (vma == NULL)
        vma = vmki_alloc(mm->system, area_size(is_file), _Alignof(struct vmki_file_vma));
    if (vma == NULL) {
        mm->counters.alloc_failed++;
        return false;
    }
    vma_clear(mm, vma);
    vma->link = *list;
    *list = vma;
    *(is_file ? &mm->nr_spare_file : &mm->nr_spare_anon) += 1;
    return true;
}

bool vmki_mm_reserve_more(struct vmk_mm *mm, unsigned nr_anon, unsigned nr_file)
{
    while (mm->nr_spare_anon < nr_anon)
        if (!reserve_area(mm, false))
            return false;
    while (mm->nr_spare_file < nr_file)
        if (!reserve_area(mm, true))
            return false;
    return true;
}

struct vmk_vma *vmki_mm_take_vma(struct vmk_mm *mm, bool is_file)
{
    struct vmk_vma **list = is_file ? &mm->spare_file : &mm->spare_anon;
    struct vmk_vma *vma = *list;

    VMKI_CHECK(vma != NULL);
    *list = vma->link;
    __builtin_prefetch(*list, 1); /* the next call's */
    if (is_file)
        mm->nr_spare_file--;
    else
        mm->nr_spare_anon--;
    vmki_fence_release(); /* as in area_put_refs: what hangs of it is written next */
    vma->start = 0;
    vma->end = 0;
    vma->flags = 0;
    vma->link = NULL;
    if (is_file)
        memset(&vmki_file_vma_of(vma)->rmap, 0, sizeof(struct vmki_rmap_link));
    VMKI_COUNT(mm, vma_new, 0, 0);
    return vma;
}

/* An anonymous area without references. */
static void retired_add(struct vmki_retired *retired, struct vmk_vma *vma)
{
    retired->nr++;
    if (retired->nr_plain < BATCH_AREAS) {
        retired->plain[retired->nr_plain++] = vma;
        return;
    }
    vma->link = retired->areas;
    retired->areas = vma;
}

/* An anonymous area without references: for the next call, unless there are enough. */
static void area_recycle(struct vmk_mm *mm, struct vmk_vma *vma)
{
    if (vmki_mm_keeps_spare(mm))
        vmki_mm_put_spare(mm, vma);
    else
        retired_add(mm->retired, vma);
}

void vmki_mm_retire_bare(struct vmk_mm *mm, struct vmk_vma *vma)
{
    retired_add(mm->retired, vma);
}

void vmki_mm_settle_leaving(struct vmk_mm *mm)
{
    for (unsigned i = 0; i < VMKI_NR_LEAVING; i++) {
        if (mm->leaving[i] != NULL)
            vmki_mm_put_spare(mm, mm->leaving[i]);
        mm->leaving[i] = NULL;
    }
}

uint64_t vmki_mm_nr_leaving(const struct vmk_mm *mm)
{
    uint64_t nr = 0;

    for (unsigned i = 0; i < VMKI_NR_LEAVING; i++)
        nr += mm->leaving[i] != NULL;
    return nr;
}

/*
 * Drops what hangs of an anonymous area; each waits for readers by itself. The area is bare then. Readers may look on: the
 * fence makes who sees one of these stores see also that the leaf no longer has the area. (Its version may be odd since
 * before, and its order come late otherwise.)
 */
static void area_put_refs(struct vmk_mm *mm, struct vmk_vma *vma)
{
    struct vmki_anon_vma *anon_vma = vma->anon_vma;
    struct vmki_ext *ext = vma->ext;

    vmki_fence_release();
    vmki_store_relaxed(&vma->bias, 0);
    if (anon_vma == NULL && ext == NULL)
        return;
    vmki_store_relaxed(&vma->anon_vma, NULL);
    vmki_store_relaxed(&vma->ext, NULL);
    vmki_anon_vma_put(mm, anon_vma);
    vmki_ext_put(mm, ext);
}

void vmki_mm_return_vma(struct vmk_mm *mm, struct vmk_vma *vma)
{
    area_put_refs(mm, vma);
    if (vma->file != NULL) { /* its file is dropped after unlock, so its memory waits as a retired area's does */
        vmki_mm_retire_vma(mm, vma);
        return;
    }
    VMKI_COUNT(mm, vma_freed, 0, 0);
    area_recycle(mm, vma);
}

void vmki_mm_retire_vma(struct vmk_mm *mm, struct vmk_vma *vma)
{
    struct vmki_retired *retired = mm->retired;

    VMKI_COUNT(mm, vma_freed, vma->start, vma->end);
    if (VMKI_LIKELY(vma->file == NULL)) {
        area_put_refs(mm, vma);
        area_recycle(mm, vma);
    } else {
        struct vmki_file_vma *area = vmki_file_vma_of(vma);

        vma->link = retired->areas;
        retired->areas = vma;
        retired->nr++;
        area->rmap.next = retired->drop_files != NULL ? &vmki_file_vma_of(retired->drop_files)->rmap : NULL;
        retired->drop_files = vma;
    }
}

/* ---- After the readers ---- */

/* Frees an anon_vma or ext reference when no reader can be left. */
static void put_now(struct vmk_system *system, struct vmki_anon_vma *anon_vma, struct vmki_ext *ext)
{
    if (anon_vma != NULL && __atomic_sub_fetch(&anon_vma->refs, 1, __ATOMIC_ACQ_REL) == 0)
        vmki_free(system, anon_vma, sizeof(*anon_vma));
    if (ext != NULL && __atomic_sub_fetch(&ext->refs, 1, __ATOMIC_ACQ_REL) == 0)
        ext_free(system, ext);
}

/* Empties the lists, as no reader is left: only the arrays hold something afterwards. */
static void retired_settle(struct vmki_retired *retired)
{
    struct vmk_system *system = retired->system;

    for (struct vmk_vma *vma = retired->areas, *next; vma != NULL; vma = next) {
        next = vma->link;
        put_now(system, vma->anon_vma, vma->ext);
        vmki_free(system, vma, area_size(vma->file != NULL));
    }
    for (struct vmki_ext *ext = retired->exts, *next; ext != NULL; ext = next) {
        next = ext->retired;
        ext_free(system, ext);
    }
    for (struct vmki_anon_vma *anon_vma = retired->anon_vmas, *next; anon_vma != NULL; anon_vma = next) {
        next = anon_vma->retired;
        vmki_free(system, anon_vma, sizeof(*anon_vma));
    }
    for (struct vmki_tree_tail *tail = retired->nodes, *next; tail != NULL; tail = next) {
        size_t size = tail->size;

        next = tail->next;
        node_put(system, vmki_tree_tail_node(tail), size);
    }
    for (struct vmki_area_block *block = retired->blocks, *next; block != NULL; block = next) {
        next = block->next;
        vmki_free(system, block, block_size(block->nr));
    }
    retired->blocks = NULL;
    retired->areas = NULL;
    retired->exts = NULL;
    retired->anon_vmas = NULL;
    retired->nodes = NULL;
    retired->nr = 0;
}

static void retired_deferred(struct vmk_sync_deferred *deferred)
{
    struct vmki_retired *retired = (struct vmki_retired *)(void *)deferred;
    struct vmk_system *system = retired->system;

    retired_settle(retired);
    batch_give(system, retired);
    __atomic_sub_fetch(&system->nr_children, 1, __ATOMIC_RELAXED);
}

/* A batch counts as one of the system's, so that the system outlives it. NULL when memory is short. */
struct vmki_retired *vmki_retired_new(struct vmk_system *system)
{
    struct vmki_retired *retired = vmki_alloc(system, sizeof(*retired), _Alignof(struct vmki_retired));

    if (retired == NULL)
        return NULL;
    memset(retired, 0, offsetof(struct vmki_retired, plain));
    retired->system = system;
    __atomic_add_fetch(&system->nr_children, 1, __ATOMIC_RELAXED);
    return retired;
}

void vmki_retired_defer(struct vmki_retired *retired)
{
    vmk_sync_defer(&retired->deferred, retired_deferred);
}

static void drop_files(struct vmk_vma *first)
{
    for (struct vmk_vma *vma = first, *next; vma != NULL; vma = next) {
        struct vmki_rmap_link *link = vmki_file_vma_of(vma)->rmap.next;

        next = link != NULL ? &VMKI_CONTAINER_OF(link, struct vmki_file_vma, rmap)->vma : NULL;
        vmk_file_put(vma->file);
    }
}

#if defined(VMK_SYNC_IMMEDIATE)
/* Nobody else can be reading: what was retired is free at once, for the next call to use. */
void vmki_mm_unlock(struct vmk_mm *mm)
{
    struct vmki_retired *retired = mm->retired;
    struct vmk_vma *drop = retired->drop_files;

    retired->drop_files = NULL;
    if (VMKI_UNLIKELY(vmki_lanes_are_open(mm)))
        vmki_lanes_go(mm, true);
    vmk_sync_write_unlock(&mm->lock);
    if (VMKI_UNLIKELY(drop != NULL))
        drop_files(drop);
    if (retired->nr == 0)
        return;
    retired_settle(retired);
    while (retired->nr_plain != 0)
        vmki_free(mm->system, retired->plain[--retired->nr_plain], sizeof(struct vmk_vma));
}
#else
static bool retired_is_full(const struct vmki_retired *retired)
{
    return retired->nr >= RETIRE_BATCH || retired->nr_plain == BATCH_AREAS || retired->nr_nodes == BATCH_NODES;
}

/*
 * The areas of `drop` wait on a list that another thread may hand to the deferral as soon as the lock is free: the
 * reader's section keeps their memory until the files are dropped.
 */
static VMKI_NOINLINE void unlock_late(struct vmk_mm *mm)
{
    struct vmki_retired *full = NULL, *empty;
    struct vmk_vma *drop = mm->retired->drop_files;

    mm->retired->drop_files = NULL;
    if (retired_is_full(mm->retired) && (empty = vmki_retired_new(mm->system)) != NULL) {
        full = mm->retired;
        mm->retired = empty;
    }
    if (drop != NULL)
        vmk_sync_read_enter();
    if (VMKI_UNLIKELY(vmki_lanes_are_open(mm)))
        vmki_lanes_go(mm, true);
    vmk_sync_write_unlock(&mm->lock);
    if (drop != NULL) {
        drop_files(drop);
        vmk_sync_read_exit();
    }
    if (full != NULL)
        vmki_retired_defer(full);
}

void vmki_mm_unlock(struct vmk_mm *mm)
{
    const struct vmki_retired *retired = mm->retired;

    if (VMKI_UNLIKELY(retired->drop_files != NULL || retired_is_full(retired) || vmki_lanes_are_open(mm)))
        unlock_late(mm);
    else
        vmk_sync_write_unlock(&mm->lock);
}
#endif

/* What is spare beyond `keep` goes, after its readers. */
static void spare_trim(struct vmk_mm *mm, uint32_t keep)
{
    struct vmk_vma *vma;

    while (mm->nr_spare_anon > keep && mm->whole->blocks == NULL && (vma = mm->spare_anon) != NULL) {
        mm->spare_anon = vma->link;
        mm->nr_spare_anon--;
        retired_add(mm->retired, vma);
    }
}

/* Spare areas of files were never in the tree, so they have no readers. */
static void spare_files_free(struct vmk_mm *mm)
{
    for (struct vmk_vma *vma = mm->spare_file, *next; vma != NULL; vma = next) {
        next = vma->link;
        vmki_free(mm->system, vma, area_size(true));
    }
    mm->spare_file = NULL;
    mm->nr_spare_file = 0;
}

/* Of a space, or of a lane of it. */
static void flush(struct vmk_mm *mm)
{
    struct vmki_retired *full = NULL, *empty, *carried;

    vmk_sync_write_lock(&mm->lock);
    carried = mm->carried;
    mm->carried = NULL;
    vmki_mm_settle_leaving(mm);
    spare_trim(mm, 0);
    spare_files_free(mm);
    vmki_tree_release_spare(&mm->tree, 0);
    vmki_tree_release_spare(&mm->reserved, 0);
    if (mm->retired->nr != 0 && mm->retired->drop_files == NULL && (empty = vmki_retired_new(mm->system)) != NULL) {
        full = mm->retired;
        mm->retired = empty;
    }
    vmk_sync_write_unlock(&mm->lock);
    if (carried != NULL)
        batch_free(mm->system, carried);
    if (full != NULL)
        vmki_retired_defer(full);
}

void vmki_mm_flush(struct vmki_member *member)
{
    struct vmk_mm *mm = VMKI_CONTAINER_OF(member, struct vmk_mm, member);

    flush(mm);
    for (unsigned i = 0; i < VMKI_MAX_LANES; i++)
        if (vmki_lane(mm, i) != NULL)
            flush(vmki_lane(mm, i));
}

#if !defined(VMK_SYNC_IMMEDIATE)
void vmki_mm_lock_wait(struct vmk_mm *mm)
{
    vmk_sync_write_lock(&mm->lock);
    mm->nr_waits += WAIT_WEIGHT;
}
#endif

bool vmki_mm_try_lock(struct vmk_mm *mm)
{
    if (!vmk_sync_try_write_lock(&mm->lock))
        return false;
    if (vmki_lanes_are_open(mm))
        vmki_lanes_stop(mm);
    return true;
}

/*
 * The blocks go, and with them those of the spare areas that lie in one; the others stay spare. No area is left in the tree,
 * so the spare ones are all that there are.
 */
static void blocks_end(struct vmk_mm *mm)
{
    struct vmk_vma *vma, **tail = &mm->spare_anon;
    struct vmki_area_block **last = &mm->retired->blocks;

    if (mm->blocks == NULL)
        return;
    for (vma = mm->spare_anon; vma != NULL; vma = vma->link)
        vma->start = 0;
    for (struct vmki_area_block *block = mm->blocks; block != NULL; block = block->next)
        for (uint32_t i = 0; i < block->nr_used; i++)
            block->area[i].start = 1;
    for (vma = mm->spare_anon; vma != NULL; vma = vma->link) {
        if (vma->start != 0) {
            mm->nr_spare_anon--;
            continue;
        }
        *tail = vma;
        tail = &vma->link;
    }
    *tail = NULL;
    while (*last != NULL)
        last = &(*last)->next;
    *last = mm->blocks;
    mm->blocks = NULL;
    mm->retired->nr++;
}

/* The address space ends: spare areas and the list of what waits go; no verb can run any more. */
void vmki_mm_memory_end(struct vmk_mm *mm)
{
    vmki_mm_settle_leaving(mm);
    blocks_end(mm);
    spare_trim(mm, 0);
    spare_files_free(mm);
    if (mm->carried != NULL)
        batch_give(mm->system, mm->carried);
    mm->carried = NULL;
    vmki_retired_defer(mm->retired);
    mm->retired = NULL;
}
