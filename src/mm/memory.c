/* SPDX-License-Identifier: MIT */
/*
 * memory.c - memory of an address space: spare areas for the next call, out-of-line properties, and what waits for
 * lock-free readers before it may be freed.
 *
 * Retiring cannot fail: what is retired goes on a list of mm->retired, linked through the thing itself in a word that no
 * reader looks at. When mm.lock is released, a list that has become long is handed to the synchronisation's deferral; when
 * no memory can be had for the next list it goes on growing until a later call. Files are dropped right after the lock
 * is released, so that a release hook comes soon; their memory too waits for readers (object.c).
 */
#include "base/atomic.h"
#include "mm/mm.h"

/* Of a large space more waits before it is handed over, and more is taken from the pool at once. */
enum { SPARE_MAX = 8, RETIRE_BATCH = 32, RETIRE_BATCH_MORE = 224, TAKE_MIN = 1, TAKE_MORE = 15 };

/* What waits for readers: one list a kind. */
struct vmki_retired {
    struct vmk_sync_deferred deferred; /* first: the deferral's callback gets its address */
    struct vmk_system *system;
    struct vmki_chain plain;           /* areas by link, of which nothing else hangs */
    struct vmk_vma *areas;             /* the others, by link; their ext and anon_vma references with them */
    struct vmki_ext *exts;
    struct vmki_anon_vma *anon_vmas;
    struct vmki_chain nodes;           /* their tails */
    struct vmk_vma *drop_files;        /* areas whose file is to be dropped after unlock, by rmap.next */
    unsigned nr;
};

static size_t area_size(bool is_file)
{
    return is_file ? sizeof(struct vmki_file_vma) : sizeof(struct vmk_vma);
}

/* ---- The tree's nodes ---- */

static const struct vmki_shape area_shapes[] = {
    {.size = sizeof(struct vmk_vma), .link = offsetof(struct vmk_vma, link)},
    {.size = sizeof(struct vmki_file_vma), .link = offsetof(struct vmk_vma, link)},
};

/* Nodes are linked by their tails. */
static struct vmki_shape node_shape(size_t size)
{
    return (struct vmki_shape){.size = (uint32_t)size,
                               .base = (uint32_t)(size - sizeof(struct vmki_tree_tail)),
                               .link = offsetof(struct vmki_tree_tail, next)};
}

/* How many things to take from the pool when one is needed. */
static uint32_t take_size(const struct vmk_mm *mm)
{
    return TAKE_MIN + (uint32_t)vmki_min(mm->tree.nr_entries / 64, TAKE_MORE);
}

static void *node_alloc(void *context, size_t size)
{
    struct vmk_mm *mm = context;
    struct vmki_chain chain;
    void *node;

    if (mm->spare_nodes == NULL && vmki_pool_take(mm->system, VMKI_POOL_NODES, take_size(mm), &chain) != 0) {
        mm->spare_nodes = chain.first;
        mm->nr_spare_nodes = chain.nr;
    }
    if (mm->spare_nodes != NULL && mm->spare_nodes->size == size) {
        node = vmki_tree_tail_node(mm->spare_nodes);
        mm->spare_nodes = mm->spare_nodes->next;
        mm->nr_spare_nodes--;
        return node;
    }
    node = vmki_alloc(mm->system, size, 64);
    if (node == NULL)
        mm->counters.alloc_failed++;
    return node;
}

static void node_free(void *context, void *node, size_t size)
{
    struct vmk_mm *mm = context;

    vmki_free(mm->system, node, size);
}

/* Puts a thing, whose link is at `link`, before the others. */
static void chain_push(struct vmki_chain *chain, void *thing, void **link)
{
    *link = chain->first;
    chain->first = thing;
    if (chain->nr++ == 0)
        chain->last = thing;
}

static void node_retire(void *context, void *node, size_t size)
{
    struct vmk_mm *mm = context;
    struct vmki_tree_tail *tail = vmki_tree_tail(node, size);

    tail->size = size;
    chain_push(&mm->retired->nodes, tail, (void **)(void *)&tail->next);
    mm->retired->nr++;
}

struct vmki_tree_memory vmki_mm_tree_memory(struct vmk_mm *mm)
{
    return (struct vmki_tree_memory){.alloc = node_alloc, .free = node_free, .retire = node_retire, .context = mm};
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
    memset(ext->name, 0, name_size);
    if (base != NULL && name_size >= base->name_size)
        memcpy(ext->name, base->name, base->name_size);
    ext->refs = 1;
    ext->name_size = name_size;
    return ext;
}

bool vmki_ext_is_empty(const struct vmki_ext *ext)
{
    return ext == NULL || (ext->ops == NULL && ext->private_data == NULL && ext->special_name == NULL &&
                           ext->user == NULL && ext->policy.mode == VMK_MPOL_DEFAULT && ext->policy.nodes == 0 &&
                           ext->uffd == 0 && ext->name_size == 0);
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

/* Takes some that have come back from their readers. */
static bool areas_from_pool(struct vmk_mm *mm, bool is_file)
{
    struct vmk_vma **list = is_file ? &mm->spare_file : &mm->spare_anon;
    struct vmki_chain chain;
    uint32_t nr = vmki_pool_take(mm->system, is_file ? VMKI_POOL_FILE_AREAS : VMKI_POOL_AREAS, take_size(mm), &chain);

    if (nr == 0)
        return false;
    ((struct vmk_vma *)chain.last)->link = *list;
    *list = chain.first;
    if (is_file)
        mm->nr_spare_file += nr;
    else
        mm->nr_spare_anon += nr;
    return true;
}

/* Tops up one list of spare areas. */
static bool reserve_areas(struct vmk_mm *mm, bool is_file, unsigned nr)
{
    struct vmk_vma **list = is_file ? &mm->spare_file : &mm->spare_anon;
    uint32_t *nr_spare = is_file ? &mm->nr_spare_file : &mm->nr_spare_anon;

    while (*nr_spare < nr) {
        struct vmk_vma *vma;

        if (areas_from_pool(mm, is_file))
            continue;
        vma = vmki_alloc(mm->system, area_size(is_file), _Alignof(struct vmki_file_vma));

        if (vma == NULL) {
            mm->counters.alloc_failed++;
            return false;
        }
        vma->link = *list;
        *list = vma;
        (*nr_spare)++;
    }
    return true;
}

bool vmki_mm_reserve_vmas(struct vmk_mm *mm, unsigned nr_anon, unsigned nr_file)
{
    return (mm->nr_spare_anon >= nr_anon || reserve_areas(mm, false, nr_anon)) &&
           (mm->nr_spare_file >= nr_file || reserve_areas(mm, true, nr_file));
}

struct vmk_vma *vmki_mm_take_vma(struct vmk_mm *mm, bool is_file)
{
    struct vmk_vma **list = is_file ? &mm->spare_file : &mm->spare_anon;
    struct vmk_vma *vma = *list;

    VMKI_CHECK(vma != NULL);
    *list = vma->link;
    if (is_file)
        mm->nr_spare_file--;
    else
        mm->nr_spare_anon--;
    memset(vma, 0, area_size(is_file));
    vma->mm = mm;
    VMKI_COUNT(mm, vma_new, 0, 0);
    return vma;
}

/* An area's memory goes to the spare ones, or back to the port when there are enough. */
static void area_recycle(struct vmk_mm *mm, struct vmk_vma *vma, bool is_file)
{
    struct vmk_vma **list = is_file ? &mm->spare_file : &mm->spare_anon;
    uint32_t *nr_spare = is_file ? &mm->nr_spare_file : &mm->nr_spare_anon;

    if (*nr_spare >= SPARE_MAX) {
        vmki_free(mm->system, vma, area_size(is_file));
        return;
    }
    vma->link = *list;
    *list = vma;
    (*nr_spare)++;
}

void vmki_mm_return_vma(struct vmk_mm *mm, struct vmk_vma *vma)
{
    bool is_file = vma->file != NULL;

    vmki_anon_vma_put(mm, vma->anon_vma);
    vmki_ext_put(mm, vma->ext);
    if (is_file) {
        /* Its file is dropped after unlock, so its memory waits as a retired area's does. */
        vma->anon_vma = NULL;
        vma->ext = NULL;
        vmki_mm_retire_vma(mm, vma);
        return;
    }
    VMKI_COUNT(mm, vma_freed, 0, 0);
    area_recycle(mm, vma, false);
}

void vmki_mm_retire_vma(struct vmk_mm *mm, struct vmk_vma *vma)
{
    struct vmki_retired *retired = mm->retired;

    VMKI_COUNT(mm, vma_freed, vma->start, vma->end);
    if (vma->file == NULL && vma->anon_vma == NULL && vma->ext == NULL) {
        chain_push(&retired->plain, vma, (void **)(void *)&vma->link);
    } else {
        vma->link = retired->areas;
        retired->areas = vma;
    }
    retired->nr++;
    if (vma->file != NULL) {
        struct vmki_file_vma *area = vmki_file_vma_of(vma);

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

/* Areas of one kind whose references are gone. */
static void areas_give(struct vmk_system *system, struct vmki_chain *chain, bool is_file)
{
    vmki_pool_put(system, is_file ? VMKI_POOL_FILE_AREAS : VMKI_POOL_AREAS, &area_shapes[is_file], chain);
    *chain = (struct vmki_chain){NULL, NULL, 0};
}

/* Areas with references: these go first. */
static void retired_give_areas(struct vmki_retired *retired)
{
    struct vmki_chain files = {NULL, NULL, 0};

    for (struct vmk_vma *vma = retired->areas, *next; vma != NULL; vma = next) {
        next = vma->link;
        put_now(retired->system, vma->anon_vma, vma->ext);
        chain_push(vma->file != NULL ? &files : &retired->plain, vma, (void **)(void *)&vma->link);
    }
    retired->areas = NULL;
    areas_give(retired->system, &retired->plain, false);
    areas_give(retired->system, &files, true);
}

static void nodes_give(struct vmk_system *system, struct vmki_chain *chain)
{
    struct vmki_shape shape;

    if (chain->nr == 0)
        return;
    shape = node_shape(((struct vmki_tree_tail *)chain->first)->size);
    vmki_pool_put(system, VMKI_POOL_NODES, &shape, chain);
    *chain = (struct vmki_chain){NULL, NULL, 0};
}

/* Gives everything on the lists to the pool or to the port: no reader is left. */
static void retired_free_all(struct vmki_retired *retired)
{
    struct vmk_system *system = retired->system;

    retired_give_areas(retired);
    for (struct vmki_ext *ext = retired->exts, *next; ext != NULL; ext = next) {
        next = ext->retired;
        ext_free(system, ext);
    }
    for (struct vmki_anon_vma *anon_vma = retired->anon_vmas, *next; anon_vma != NULL; anon_vma = next) {
        next = anon_vma->retired;
        vmki_free(system, anon_vma, sizeof(*anon_vma));
    }
    nodes_give(system, &retired->nodes);
    retired->exts = NULL;
    retired->anon_vmas = NULL;
    retired->nr = 0;
}

static void retired_deferred(struct vmk_sync_deferred *deferred)
{
    struct vmki_retired *retired = (struct vmki_retired *)(void *)deferred;
    struct vmk_system *system = retired->system;

    retired_free_all(retired);
    vmki_free(system, retired, sizeof(*retired));
    __atomic_sub_fetch(&system->nr_children, 1, __ATOMIC_RELAXED);
}

/* A batch counts as one of the system's, so that the system outlives it. NULL when memory is short. */
struct vmki_retired *vmki_retired_new(struct vmk_system *system)
{
    struct vmki_retired *retired = vmki_alloc(system, sizeof(*retired), _Alignof(struct vmki_retired));

    if (retired == NULL)
        return NULL;
    memset(retired, 0, sizeof(*retired));
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

static unsigned retire_batch(const struct vmk_mm *mm)
{
    return RETIRE_BATCH + (unsigned)vmki_min(mm->tree.nr_entries / 16, RETIRE_BATCH_MORE);
}

#if defined(VMK_SYNC_IMMEDIATE)
/* Nobody else can be reading: what was retired is free at once. */
void vmki_mm_unlock(struct vmk_mm *mm)
{
    struct vmki_retired *retired = mm->retired;
    struct vmk_vma *drop = retired->drop_files;

    retired->drop_files = NULL;
    vmk_sync_write_unlock(&mm->lock);
    if (VMKI_UNLIKELY(drop != NULL))
        drop_files(drop);
    if (retired->nr != 0)
        retired_free_all(retired);
}
#else
/*
 * The areas of `drop` wait on a list that another thread may hand to the deferral as soon as the lock is free: the
 * reader's section keeps their memory until the files are dropped.
 */
void vmki_mm_unlock(struct vmk_mm *mm)
{
    struct vmki_retired *full = NULL, *empty;
    struct vmk_vma *drop = mm->retired->drop_files;

    mm->retired->drop_files = NULL;
    if (mm->retired->nr >= retire_batch(mm) && (empty = vmki_retired_new(mm->system)) != NULL) {
        full = mm->retired;
        mm->retired = empty;
    }
    if (drop != NULL)
        vmk_sync_read_enter();
    vmk_sync_write_unlock(&mm->lock);
    if (drop != NULL) {
        drop_files(drop);
        vmk_sync_read_exit();
    }
    if (full != NULL)
        vmki_retired_defer(full);
}
#endif

void vmki_mm_flush(struct vmki_member *member)
{
    struct vmk_mm *mm = VMKI_CONTAINER_OF(member, struct vmk_mm, member);
    struct vmki_retired *full = NULL, *empty;

    vmk_sync_write_lock(&mm->lock);
    if (mm->retired->nr != 0 && mm->retired->drop_files == NULL &&
        (empty = vmki_retired_new(mm->system)) != NULL) {
        full = mm->retired;
        mm->retired = empty;
    }
    vmk_sync_write_unlock(&mm->lock);
    if (full != NULL)
        vmki_retired_defer(full);
}

void vmki_mm_lock(struct vmk_mm *mm)
{
    vmk_sync_write_lock(&mm->lock);
}

static void spare_areas_end(struct vmk_mm *mm, struct vmk_vma *first, bool is_file)
{
    struct vmki_chain chain = {NULL, NULL, 0};

    for (struct vmk_vma *vma = first, *next; vma != NULL; vma = next) {
        next = vma->link;
        chain_push(&chain, vma, (void **)(void *)&vma->link);
    }
    areas_give(mm->system, &chain, is_file);
}

/* The address space ends: spare areas and the list of what waits go; no verb can run any more. */
void vmki_mm_memory_end(struct vmk_mm *mm)
{
    spare_areas_end(mm, mm->spare_anon, false);
    spare_areas_end(mm, mm->spare_file, true);
    for (struct vmki_tree_tail *tail = mm->spare_nodes, *next; tail != NULL; tail = next) {
        next = tail->next;
        chain_push(&mm->retired->nodes, tail, (void **)(void *)&tail->next);
    }
    mm->spare_nodes = NULL;
    mm->nr_spare_nodes = 0;
    mm->spare_anon = NULL;
    mm->spare_file = NULL;
    mm->nr_spare_anon = 0;
    mm->nr_spare_file = 0;
    vmki_retired_defer(mm->retired);
    mm->retired = NULL;
}
