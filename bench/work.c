/* SPDX-License-Identifier: MIT */
/*
 * work.c - see work.h. Beside the operations of workload.h:
 *
 *   fork              vmk_mm_fork of a space with all areas; cost per area
 *   create-empty      vmk_mm_create and vmk_mm_put of a space without an area; cost per pair
 *   create-20         the same with 20 areas mapped in between
 *   bytes-empty, bytes-20   bytes of such a space
 *
 * Bytes are what the library's allocations take from malloc, its own word for each included.
 */
#include "work.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "peers/linux-vma/workload.h"
#include "vmakit/vmakit.h"

enum { MAP_FLAGS = VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED, SMALL_AREAS = 20, SMALL_SPACES = 2000 };
enum { AREAS_AT_A_TIME = 128 };
enum { READ_WRITE = VMK_PROT_READ | VMK_PROT_WRITE };

/* Zero, but not to the compiler: makes one lookup depend on another. */
static volatile uint64_t work_zero;

static struct {
    size_t n;
    bool no_limits;
    struct vmk_system *system;
    struct vmk_mm *mm;
    struct vmk_mm *child;
    bool has_pool; /* the layout is churn's */
    struct wl_layout layout;
    struct wl_pool pool;
    uint64_t *lookups;
    struct wl_gap *gaps;
    struct wl_range *middles;
    struct wl_pair *pairs;
    struct wl_range *in, *out;
    uint64_t nr_bytes; /* taken from malloc and not given back */
} work;

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

/* ---- Memory that is counted ---- */

static void *counting_alloc(void *context, size_t size, size_t align, unsigned flags)
{
    const struct vmk_port *port = vmk_port_linux();
    void *memory = port->alloc(port->context, size, align, flags);

    (void)context;
    if (memory != NULL)
        __atomic_add_fetch(&work.nr_bytes, malloc_usable_size(memory) + sizeof(size_t), __ATOMIC_RELAXED);
    return memory;
}

static void counting_free(void *context, void *memory, size_t size)
{
    const struct vmk_port *port = vmk_port_linux();

    (void)context;
    if (memory != NULL)
        __atomic_sub_fetch(&work.nr_bytes, malloc_usable_size(memory) + sizeof(size_t), __ATOMIC_RELAXED);
    port->free(port->context, memory, size);
}

/* ---- Systems and spaces ---- */

static struct vmk_system *make_system(const struct vmk_port *port)
{
    struct vmk_system_options options;
    struct vmk_system *system;

    vmk_system_options_init(&options, port);
    options.sysctl.max_map_count = UINT64_C(1) << 31;
    if (work.no_limits)
        options.settings.enforce_limits = 0;
    require(vmk_system_create(&options, &system) == 0, "no system");
    return system;
}

static struct vmk_mm *make_space(struct vmk_system *system)
{
    struct vmk_mm_options options;
    struct vmk_mm *mm;

    vmk_mm_options_init(&options);
    require(vmk_mm_create(system, &options, &mm) == 0, "no address space");
    return mm;
}

/* ---- The operations ---- */

static __attribute__((noinline)) void map_range(struct vmk_mm *mm, const struct wl_range *range)
{
    const struct vmk_mmap_request request = {
        .address = range->start, .len = range->len, .prot = READ_WRITE, .flags = MAP_FLAGS};

    require(vmk_mmap(mm, &request, NULL) == 0, "mmap failed");
}

static __attribute__((noinline)) void unmap_range(struct vmk_mm *mm, const struct wl_range *range)
{
    const struct vmk_munmap_request request = {.address = range->start, .len = range->len};

    require(vmk_munmap(mm, &request, NULL) == 0, "munmap failed");
}

static __attribute__((noinline)) void protect_range(struct vmk_mm *mm, const struct wl_range *range, uint64_t prot)
{
    const struct vmk_mprotect_request request = {.address = range->start, .len = range->len, .prot = prot, .pkey = -1};

    require(vmk_mprotect(mm, &request, NULL) == 0, "mprotect failed");
}

static inline uint64_t find_gap(const struct wl_gap *query)
{
    vmk_addr at = 0;

    vmk_mm_gap_highest(work.mm, WL_LOW_LIMIT, query->high, query->length, &at);
    return at;
}

/* Maps n slots in the order given, or ascending where that is NULL, in a new space. */
static struct vmk_mm *build(struct vmk_system *system, const uint32_t *order)
{
    struct vmk_mm *mm = make_space(system);

    for (size_t i = 0; i < work.n; i++)
        map_range(mm, &work.layout.slot[order != NULL ? order[i] : i]);
    return mm;
}

static struct vmk_mm *build_at_random(struct vmk_system *system)
{
    uint32_t *order = wl_build_order(work.n);
    struct vmk_mm *mm = build(system, order);

    free(order);
    return mm;
}

/* ---- Lookups and iteration ---- */

static size_t nr_lookups(void)
{
    return WL_LOOKUPS;
}

static uint64_t run_lookup(void)
{
    struct vmk_mm *mm = work.mm;
    uint64_t sum = 0;

    for (size_t i = 0; i < WL_LOOKUPS; i++)
        sum += (uint64_t)vmk_mm_check_access(mm, work.lookups[i], VMK_ACCESS_READ);
    require(sum == 0, "a lookup failed");
    return sum;
}

static uint64_t run_lookup_dependent(void)
{
    struct vmk_mm *mm = work.mm;
    uint64_t zero = work_zero, last = 0;

    for (size_t i = 0; i < WL_LOOKUPS; i++)
        last = (uint64_t)vmk_mm_check_access(mm, work.lookups[i] + (last & zero), VMK_ACCESS_READ);
    return last;
}

/* Through the call that takes a cursor, which copies all that an area says of itself. */
static uint64_t run_lookup_next(void)
{
    struct vmk_vma_info info = {.size = sizeof(info)};
    struct vmk_mm *mm = work.mm;
    uint64_t sum = 0;

    for (size_t i = 0; i < WL_LOOKUPS; i++) {
        vmk_addr cursor = work.lookups[i];

        vmk_mm_next(mm, &cursor, &info);
        sum += info.flags;
    }
    return sum;
}

static size_t nr_visits(void)
{
    return work.n * wl_iterate_passes(work.n);
}

static uint64_t run_iterate(void)
{
    struct vmk_area areas[AREAS_AT_A_TIME];
    uint64_t sum = 0;

    for (size_t passes = wl_iterate_passes(work.n); passes > 0; passes--) {
        vmk_addr cursor = 0;
        size_t nr;

        do {
            nr = vmk_mm_next_areas(work.mm, &cursor, areas, AREAS_AT_A_TIME);
#pragma GCC unroll 4
            for (size_t i = 0; i < nr; i++)
                sum += areas[i].end;
        } while (nr == AREAS_AT_A_TIME);
    }
    return sum;
}

/* ---- Searching holes, changing protection ---- */

static size_t nr_gaps(void)
{
    return WL_GAPS;
}

static void prepare_gap_random(void)
{
    wl_gaps(&work.layout, WL_GAP_RANDOM, work.gaps, WL_GAPS);
}

static void prepare_gap_top(void)
{
    wl_gaps(&work.layout, WL_GAP_TOP, work.gaps, WL_GAPS);
}

static void prepare_gap_deep(void)
{
    wl_gaps(&work.layout, WL_GAP_DEEP, work.gaps, WL_GAPS);
}

static uint64_t run_gaps(void)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < WL_GAPS; i++)
        sum += find_gap(&work.gaps[i]);
    return sum;
}

static size_t nr_cycles(void)
{
    return wl_protect_cycles(work.n);
}

static void prepare_protect(void)
{
    wl_protects(&work.layout, work.middles, nr_cycles());
}

static uint64_t run_protect(void)
{
    struct vmk_mm *mm = work.mm;
    size_t cycles = nr_cycles();

    for (size_t i = 0; i < cycles; i++) {
        protect_range(mm, &work.middles[i], VMK_PROT_READ);
        protect_range(mm, &work.middles[i], READ_WRITE);
    }
    return cycles;
}

/* ---- fork ---- */

static size_t nr_areas(void)
{
    return work.n;
}

static uint64_t run_fork(void)
{
    require(vmk_mm_fork(work.mm, &work.child) == 0, "fork failed");
    return work.n;
}

static void finish_fork(void)
{
    vmk_mm_put(work.child);
    work.child = NULL;
    vmk_system_quiesce(work.system);
}

/* ---- churn, map, unmap: on a layout with an eighth more slots ---- */

static void ensure_pool(void)
{
    if (work.has_pool)
        return;
    vmk_mm_put(work.mm);
    vmk_system_quiesce(work.system);
    wl_layout_free(&work.layout);
    wl_layout_make(&work.layout, wl_pool_slots(work.n));
    wl_pool_make(&work.pool, work.n);
    work.has_pool = true;
    work.mm = build(work.system, work.pool.slot);
}

static size_t nr_pairs(void)
{
    return WL_CHURN_PAIRS;
}

static void prepare_churn(void)
{
    ensure_pool();
    wl_churn(&work.pool, &work.layout, work.pairs, WL_CHURN_PAIRS);
}

static uint64_t run_churn(void)
{
    struct vmk_mm *mm = work.mm;

    for (size_t i = 0; i < WL_CHURN_PAIRS; i++) {
        unmap_range(mm, &work.pairs[i].unmap);
        map_range(mm, &work.pairs[i].map);
    }
    return WL_CHURN_PAIRS;
}

static size_t nr_batched(void)
{
    return wl_batch_rounds(work.n) * wl_batch_size(work.n);
}

uint64_t work_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Batches that map free slots and unmap as many; the time of one half of the work. */
static uint64_t run_batches(bool time_map)
{
    size_t size = wl_batch_size(work.n);
    uint64_t sum = 0;

    for (size_t round = wl_batch_rounds(work.n); round > 0; round--) {
        uint64_t begin, middle;

        wl_batch(&work.pool, &work.layout, work.in, work.out, size);
        begin = work_now_ns();
        for (size_t i = 0; i < size; i++)
            map_range(work.mm, &work.in[i]);
        middle = work_now_ns();
        for (size_t i = 0; i < size; i++)
            unmap_range(work.mm, &work.out[i]);
        sum += time_map ? middle - begin : work_now_ns() - middle;
    }
    return sum;
}

static uint64_t time_map(void)
{
    return run_batches(true);
}

static uint64_t time_unmap(void)
{
    return run_batches(false);
}

/* ---- Small spaces ---- */

static size_t nr_spaces(void)
{
    return SMALL_SPACES;
}

static size_t nr_one(void)
{
    return 1;
}

/* A space with the first areas of the layout. */
static struct vmk_mm *small_space(struct vmk_system *system, size_t nr)
{
    struct vmk_mm *mm = make_space(system);

    for (size_t i = 0; i < nr; i++)
        map_range(mm, &work.layout.slot[i]);
    return mm;
}

static uint64_t run_create_empty(void)
{
    for (size_t i = 0; i < SMALL_SPACES; i++)
        vmk_mm_put(small_space(work.system, 0));
    return SMALL_SPACES;
}

static uint64_t run_create_20(void)
{
    for (size_t i = 0; i < SMALL_SPACES; i++)
        vmk_mm_put(small_space(work.system, SMALL_AREAS));
    return SMALL_SPACES;
}

/* ---- Bytes ---- */

enum bytes_kind { BYTES_SMALL, BYTES_RANDOM, BYTES_SEQUENTIAL };

/* What a space of that kind takes, in a system of its own. */
static uint64_t bytes_of(enum bytes_kind kind, size_t nr_small)
{
    struct vmk_port port = *vmk_port_linux();
    uint32_t *order = kind == BYTES_RANDOM ? wl_build_order(work.n) : NULL;
    struct vmk_system *system;
    struct vmk_mm *mm;
    uint64_t before, bytes;

    port.alloc = counting_alloc;
    port.free = counting_free;
    system = make_system(&port);
    before = work.nr_bytes;
    mm = kind == BYTES_SMALL ? small_space(system, nr_small) : build(system, order);
    vmk_system_quiesce(system);
    bytes = __atomic_load_n(&work.nr_bytes, __ATOMIC_RELAXED) - before;
    vmk_mm_put(mm);
    vmk_system_quiesce(system);
    require(vmk_system_destroy(system) == 0, "the system is in use");
    free(order);
    return bytes;
}

static uint64_t run_bytes_empty(void)
{
    return bytes_of(BYTES_SMALL, 0);
}

static uint64_t run_bytes_20(void)
{
    return bytes_of(BYTES_SMALL, SMALL_AREAS);
}

static uint64_t run_bytes_sequential(void)
{
    return bytes_of(BYTES_SEQUENTIAL, 0);
}

static uint64_t run_bytes_random(void)
{
    return bytes_of(BYTES_RANDOM, 0);
}

/* ---- Checksums ---- */

static bool visit_mix(void *context, vmk_addr start, vmk_addr end, vmk_vm_flags flags)
{
    uint64_t *sum = context;

    (void)flags;
    *sum = wl_mix(wl_mix(*sum, start), end);
    return true;
}

static uint64_t sum_of_areas(void)
{
    uint64_t sum = 0;

    vmk_mm_for_each(work.mm, 0, UINT64_MAX, visit_mix, &sum);
    return sum;
}

static uint64_t sum_of_lookups(void)
{
    struct vmk_vma_info info = {.size = sizeof(info)};
    uint64_t sum = 0;

    for (size_t i = 0; i < WL_LOOKUPS; i++) {
        require(vmk_mm_lookup(work.mm, work.lookups[i], &info) == 0, "a lookup failed");
        sum = wl_mix(sum, info.start);
    }
    return sum;
}

static uint64_t sum_of_gaps(void)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < WL_GAPS; i++)
        sum = wl_mix(sum, find_gap(&work.gaps[i]));
    return sum;
}

static void print_checksum(const char *operation, uint64_t sum)
{
    printf("check\t%s\t%zu\t%016" PRIx64 "\n", operation, work.n, sum);
}

void work_print_checksums(void)
{
    print_checksum("lookup", sum_of_lookups());
    print_checksum("iterate", sum_of_areas());
    prepare_gap_random();
    print_checksum("gap-random", sum_of_gaps());
    prepare_gap_top();
    print_checksum("gap-top", sum_of_gaps());
    prepare_gap_deep();
    print_checksum("gap-deep", sum_of_gaps());
    prepare_protect();
    run_protect();
    print_checksum("protect", sum_of_areas());
    prepare_gap_random();
    print_checksum("gap-after-protect", sum_of_gaps());
    prepare_churn();
    run_churn();
    print_checksum("churn", sum_of_areas());
    prepare_gap_random();
    print_checksum("gap-after-churn", sum_of_gaps());
    require(vmk_mm_validate(work.mm, NULL, NULL) == 0, "the address space is not valid");
}

/* ---- The table ---- */

#define TIMED(operation, before, pass, after, count)                                                                   \
    {                                                                                                                  \
        .name = (operation), .prepare = (before), .run = (pass), .finish = (after), .nr = (count)                      \
    }

const struct work_operation work_operations[] = {
    {.name = "bytes-empty", .run = run_bytes_empty, .nr = nr_one, .is_bytes = true, .once = true},
    {.name = "bytes-20", .run = run_bytes_20, .nr = nr_one, .is_bytes = true, .once = true},
    {.name = "create-empty", .run = run_create_empty, .nr = nr_spaces, .once = true},
    {.name = "create-20", .run = run_create_20, .nr = nr_spaces, .once = true},
    {.name = "bytes-per-vma-seq", .run = run_bytes_sequential, .nr = nr_areas, .is_bytes = true},
    {.name = "bytes-per-vma", .run = run_bytes_random, .nr = nr_areas, .is_bytes = true},
    TIMED("lookup", NULL, run_lookup, NULL, nr_lookups),
    TIMED("lookup-dependent", NULL, run_lookup_dependent, NULL, nr_lookups),
    TIMED("lookup-next", NULL, run_lookup_next, NULL, nr_lookups),
    TIMED("iterate", NULL, run_iterate, NULL, nr_visits),
    TIMED("gap-random", prepare_gap_random, run_gaps, NULL, nr_gaps),
    TIMED("gap-top", prepare_gap_top, run_gaps, NULL, nr_gaps),
    TIMED("gap-deep", prepare_gap_deep, run_gaps, NULL, nr_gaps),
    TIMED("protect", prepare_protect, run_protect, NULL, nr_cycles),
    TIMED("fork", NULL, run_fork, finish_fork, nr_areas),
    TIMED("churn", prepare_churn, run_churn, NULL, nr_pairs),
    {.name = "map", .prepare = ensure_pool, .run_ns = time_map, .nr = nr_batched},
    {.name = "unmap", .prepare = ensure_pool, .run_ns = time_unmap, .nr = nr_batched},
    {.name = NULL},
};

void work_open(size_t n, bool in_order, bool no_limits)
{
    work_close();
    work.n = n;
    work.no_limits = no_limits;
    work.lookups = wl_alloc(WL_LOOKUPS * sizeof(*work.lookups));
    work.gaps = wl_alloc(WL_GAPS * sizeof(*work.gaps));
    work.middles = wl_alloc(nr_cycles() * sizeof(*work.middles));
    work.pairs = wl_alloc(WL_CHURN_PAIRS * sizeof(*work.pairs));
    work.in = wl_alloc(wl_batch_size(n) * sizeof(*work.in));
    work.out = wl_alloc(wl_batch_size(n) * sizeof(*work.out));
    wl_layout_make(&work.layout, n);
    wl_lookups(&work.layout, work.lookups, WL_LOOKUPS);
    work.system = make_system(vmk_port_linux());
    vmk_thread_enter(work.system);
    work.mm = in_order ? build(work.system, NULL) : build_at_random(work.system);
}

void work_close(void)
{
    if (work.n == 0)
        return;
    vmk_mm_put(work.mm);
    vmk_system_quiesce(work.system);
    vmk_thread_leave(work.system);
    require(vmk_system_destroy(work.system) == 0, "the system is in use");
    wl_layout_free(&work.layout);
    if (work.has_pool)
        wl_pool_free(&work.pool);
    work.has_pool = false;
    free(work.lookups);
    free(work.gaps);
    free(work.middles);
    free(work.pairs);
    free(work.in);
    free(work.out);
    work.n = 0;
}
