/* SPDX-License-Identifier: MIT */
/*
 * What address spaces share: objects and files, who maps an object, the system's list of its spaces, its counters, the memory that it
 * keeps for the next call, and the commit charge, each against a plain count.
 */
#include <errno.h>
#include <pthread.h>

#include "calls.h"

#include "mm/plan.h"
#include "system/system.h"

/* ---- Objects and files ---- */

static struct vmk_object *object_of(struct vt *t, uint64_t nr_bytes)
{
    const struct vmk_object_options options = {
        .size = sizeof(options), .kind = VMK_OBJECT_REGULAR, .nr_bytes = nr_bytes};
    struct vmk_object *object;

    assert_int_equal(vmk_object_create(t->system, &options, &object), 0);
    return object;
}

static struct vmk_file *file_of(struct vt *t, struct vmk_object *object)
{
    const struct vmk_file_options options = {
        .size = sizeof(options), .object = object, .mode = VMK_FILE_READ | VMK_FILE_WRITE, .name = "/f"};
    struct vmk_file *file;

    assert_int_equal(vmk_file_create(t->system, &options, &file), 0);
    return file;
}

static void what_an_object_is(void **state)
{
    struct vmk_object_options options = {
        .size = sizeof(options), .kind = VMK_OBJECT_NONE, .huge_shift = 21, .max_bytes = 9};
    struct vmk_file_options file_options = {
        .size = sizeof(file_options), .seals = VMK_SEAL_EXEC, .mode = 7, .name = "abc"};
    struct vmk_object *object;
    struct vmk_file *file;
    struct vt t, other;

    (void)state;
    vt_setup(&t);
    vt_setup(&other);
    const uint64_t before = t.system->nr_children;
    assert_int_equal(vmk_object_create(t.system, &options, &object), 0);
    assert_int_equal(object->max_bytes, 9);
    assert_int_equal(object->huge_shift, 21);
    assert_int_equal(object->refs, 1);
    assert_false(object->is_internal);
    assert_null(object->links);
    assert_int_equal(t.system->nr_children, before + 1);
    file_options.object = object;
    assert_int_equal(vmk_file_create(other.system, &file_options, &file), -VMK_ERR_MISUSE);
    file_options.size++;
    assert_int_equal(vmk_file_create(t.system, &file_options, &file), -VMK_ERR_MISUSE);
    assert_int_equal(object->refs, 1);
    file_options.size--;
    assert_int_equal(vmk_file_create(t.system, &file_options, &file), 0);
    assert_int_equal(object->refs, 2);
    assert_int_equal(file->refs, 1);
    assert_int_equal(file->mode, 7);
    assert_int_equal(vmk_file_seals(file), VMK_SEAL_EXEC);
    assert_int_equal(file->name_size, 4);
    assert_int_equal(t.system->nr_children, before + 2);
    vmk_file_get(file);
    vmk_file_put(file);
    vmk_file_put(file);
    vmk_system_quiesce(t.system);
    assert_int_equal(t.system->nr_children, before + 1);
    assert_int_equal(object->refs, 1);
    vmk_object_put(object);
    assert_int_equal(t.system->nr_children, before);
    options.max_bytes = 0;
    assert_int_equal(vmk_object_create(t.system, &options, &object), 0);
    assert_true(object->max_bytes == INT64_MAX);
    vmk_object_put(object);
    options.kind = (enum vmk_object_kind)(VMK_OBJECT_NONE + 1);
    assert_int_equal(vmk_object_create(t.system, &options, &object), -VMK_ERR_MISUSE);
    assert_int_equal(t.system->nr_children, before);
    vt_teardown(&other);
    vt_teardown(&t);
}

/* Shared anonymous memory: an object of the library's own making, with its charge, which goes with the last area. */
static void objects_of_our_own(void **state)
{
    struct vmk_sysctl sysctl;
    uint32_t major, minor;
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.sysctl.hugetlb_free_pages = 3;
    vt_open(&t);
    for (unsigned huge = 0; huge < 2; huge++) {
        const uint64_t len = huge != 0 ? UINT64_C(0x400000) : P(5);
        const int64_t at = vt_mmap_file(
            &t, 0, len, VT_RW, VMK_MAP_SHARED | VMK_MAP_ANONYMOUS | (huge != 0 ? VMK_MAP_HUGETLB : 0), NULL, 0);
        assert_true(at > 0);
        const struct vmk_object *object = vmki_find(t.mm, (vmk_addr)at)->file->object;
        assert_true(object->is_internal);
        /* Who keeps the object may open it once more: the charge goes with the file that came with it, and only once. */
        struct vmk_object *kept = vmki_find(t.mm, (vmk_addr)at)->file->object;
        vmk_object_get(kept);
        assert_int_equal(object->kind, huge != 0 ? VMK_OBJECT_HUGETLB : VMK_OBJECT_SHMEM);
        assert_int_equal(vmk_object_nr_bytes(object), len);
        assert_int_equal(object->commit_pages, huge != 0 ? 0 : 5);
        assert_int_equal(object->huge_pages, huge != 0 ? 2 : 0);
        vmk_object_device(object, &major, &minor);
        assert_true(major == 0 && minor == 1 && vmk_object_inode(object) != 0);
        assert_int_equal(vmki_find(t.mm, (vmk_addr)at)->file->mode & 3, VMK_FILE_READ | VMK_FILE_WRITE);
        assert_int_equal(vmk_system_committed(t.system), huge != 0 ? 0 : 5);
        vmk_system_sysctl(t.system, &sysctl);
        assert_int_equal(sysctl.hugetlb_free_pages, huge != 0 ? 1 : 3);
        assert_ret(vt_munmap(&t, (vmk_addr)at, len / 2 & ~(VT_PAGE - 1)), 0); /* one part keeps all of it */
        assert_int_equal(vmk_system_committed(t.system), huge != 0 ? 0 : 5);
        assert_ret(vt_munmap(&t, (vmk_addr)at, len), 0);
        assert_int_equal(vmk_system_committed(t.system), 0);
        vmk_system_sysctl(t.system, &sysctl);
        assert_int_equal(sysctl.hugetlb_free_pages, 3);
        vmk_file_put(file_of(&t, kept));
        vmk_object_put(kept);
        assert_int_equal(vmk_system_committed(t.system), 0);
        vmk_system_sysctl(t.system, &sysctl);
        assert_int_equal(sysctl.hugetlb_free_pages, 3);
    }
    vt_teardown(&t);
}

/* ---- Who maps an object ---- */

struct collected {
    unsigned nr, stop_after;
    struct vmk_mapping mapping[8];
};

static bool collect(void *context, const struct vmk_mapping *mapping)
{
    struct collected *collected = context;

    assert_true(collected->nr < 8);
    collected->mapping[collected->nr++] = *mapping;
    return collected->nr != collected->stop_after;
}

/* Every range of an object that three areas map, one of them in another space: those that have a byte of it, cut to it. */
static void mappings(void **state)
{
    struct vmk_object *object;
    struct vmk_file *file;
    struct vmk_mm *child;
    struct vt t;
    struct {
        struct vmk_mm *mm;
        vmk_addr start;
        uint64_t first, last; /* pages of the object */
    } areas[3];

    (void)state;
    vt_setup(&t);
    object = object_of(&t, P(20));
    file = file_of(&t, object);
    assert_int_equal(vmk_mm_create(t.system, &t.mm_options, &child), 0);
    areas[0].mm = areas[1].mm = t.mm;
    areas[2].mm = child;
    for (unsigned i = 0; i < 3; i++) {
        const struct vmk_mmap_request request = {.address = BASE + P(16 * i),
                                                 .len = P(2 + i),
                                                 .prot = VT_R,
                                                 .flags = VMK_MAP_SHARED | VMK_MAP_FIXED,
                                                 .file = file,
                                                 .offset = P(3 * i + 1)};

        areas[i].start = request.address;
        areas[i].first = 3 * i + 1;
        areas[i].last = areas[i].first + 2 + i;
        assert_int_equal(vmk_mmap(areas[i].mm, &request, NULL), 0);
    }
    for (uint64_t start = 0; start < P(14); start += VT_PAGE / 2)
        for (uint64_t end = start; end < P(14); end += VT_PAGE / 2) {
            struct collected is = {0};
            unsigned expected = 0;

            const size_t nr = vmk_object_mappings(object, start, end, collect, &is);
            assert_int_equal(nr, is.nr);
            for (unsigned i = 0; i < 3; i++) {
                const uint64_t from = vmki_max(start, P(areas[i].first)), to = vmki_min(end, P(areas[i].last));
                bool found = false;

                if (P(areas[i].first) >= end || P(areas[i].last) <= start || start == end)
                    continue;
                expected++;
                for (unsigned n = 0; n < is.nr; n++)
                    found |= is.mapping[n].mm == areas[i].mm && is.mapping[n].offset == from &&
                             is.mapping[n].start == areas[i].start + from - P(areas[i].first) &&
                             is.mapping[n].end - is.mapping[n].start == to - from &&
                             (is.mapping[n].flags & VMK_VM_ACCESS) == VMK_VM_READ;
                assert_true(found);
            }
            assert_int_equal(is.nr, expected);
        }
    for (unsigned stop = 1; stop < 4; stop++) {
        struct collected is = {.stop_after = stop};

        assert_int_equal(vmk_object_mappings(object, 0, UINT64_MAX, collect, &is), stop);
    }
    vmk_mm_put(child);
    vmk_object_put(object);
    vmk_file_put(file);
    vt_teardown(&t);
}

/* Areas leave an object's list in every order. */
static void mappings_go_in_every_order(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 24; order++) {
        unsigned left = 15, rest = order;
        struct vt t;

        vt_setup(&t);
        for (unsigned i = 0; i < 4; i++)
            assert_ret(
                vt_mmap_file(&t, BASE + P(2 * i), P(1), VT_R, VMK_MAP_SHARED | VMK_MAP_FIXED, vt_file(&t, 1), P(i)),
                BASE + P(2 * i));
        for (unsigned nr = 4; nr > 0; rest /= nr, nr--) {
            struct collected is = {0};
            unsigned skip = rest % nr, i = 0;

            while ((left >> i & 1) == 0 || skip-- > 0)
                i++;
            left &= ~(1u << i);
            assert_ret(vt_munmap(&t, BASE + P(2 * i), P(1)), 0); /* which validates the list */
            assert_int_equal(vmk_object_mappings(vmk_file_object(vt_file(&t, 1)), 0, P(9), collect, &is), nr - 1);
            assert_int_equal(is.nr, nr - 1);
            for (unsigned n = 0; n < is.nr; n++)
                assert_true((left >> is.mapping[n].offset / VT_PAGE & 1) != 0);
        }
        assert_null(vmk_file_object(vt_file(&t, 1))->links);
        vt_teardown(&t);
    }
}

/* ---- The system's spaces ---- */

/* The list, looked at both ways. */
static unsigned nr_members(const struct vmk_system *system)
{
    const struct vmki_member *before = NULL;
    unsigned nr = 0;

    for (const struct vmki_member *member = system->members; member != NULL;
         before = member, member = member->next, nr++)
        assert_ptr_equal(member->prev, before);
    return nr;
}

/* Spaces end in every order: the list is whole, no counter is lost, and the last ones are there for what asks all of them. */
static void spaces_end_in_every_order(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 24; order++) {
        struct vmk_mm *spaces[4] = {NULL};
        unsigned rest = order;
        struct vmk_counters sum;
        struct vt t;

        vt_setup(&t);
        for (unsigned i = 0; i < 4; i++) {
            assert_int_equal(vmk_mm_create(t.system, &t.mm_options, &spaces[i]), 0);
            for (unsigned n = 0; n <= i; n++) {
                const struct vmk_munmap_request request = {.address = BASE, .len = P(1)};
                assert_int_equal(vmk_munmap(spaces[i], &request, NULL), 0);
            }
        }
        for (unsigned nr = 4; nr > 0; rest /= nr, nr--) {
            unsigned skip = rest % nr, i = 0;

            assert_int_equal(nr_members(t.system), nr + 1);
            vmk_system_counters(t.system, &sum);
            assert_int_equal(sum.munmap, 10);
            while (spaces[i] == NULL || skip-- > 0)
                i++;
            vmk_mm_put(spaces[i]);
            spaces[i] = NULL;
        }
        assert_int_equal(nr_members(t.system), 1);
        assert_ptr_equal(t.system->members, &t.mm->member);
        vmk_system_counters(t.system, &sum);
        assert_int_equal(sum.munmap, 10);
        vt_teardown(&t);
    }
}

/* A mutex that has been ended cannot be had any more. */
static bool is_ended(struct vmk_sync_mutex *mutex)
{
    const int error = pthread_mutex_trylock(&mutex->mutex);

    return error != 0 && error != EBUSY;
}

static unsigned nr_ended;

static void free_and_look(void *context, void *memory, size_t size)
{
    struct vmk_system *system = memory;
    struct vmk_mm *mm = memory;

    if (size == sizeof(*system))
        nr_ended += (unsigned)is_ended(&system->lock) + is_ended(&system->rmap_lock) + is_ended(&system->pool_lock);
    else if (size == (sizeof(struct vmk_mm) + sizeof(struct vmki_plan) + 63) / 64 * 64)
        nr_ended += is_ended(&mm->anon_lock);
    vt_free(context, memory, size);
}

/* Locks are ended before their memory goes. */
static void locks_are_ended(void **state)
{
    struct vt t;

    (void)state;
    vt_init(&t);
    t.port.free = free_and_look;
    vt_open(&t);
    nr_ended = 0;
    vmk_mm_put(t.mm);
    t.mm = NULL;
    assert_int_equal(nr_ended, 1);
    vt_teardown(&t);
    assert_int_equal(nr_ended, 4);
}

static void names_of_events(void **state)
{
    static const char *const names[] = {
#define NAME(name) #name,
        VMK_COUNTERS(NAME)
#undef NAME
    };

    (void)state;
    for (int i = 0; i < VMK_EVENT_COUNT; i++)
        assert_string_equal(vmk_event_name((enum vmk_event)i), names[i]);
    assert_null(vmk_event_name(VMK_EVENT_COUNT));
    assert_null(vmk_event_name((enum vmk_event) - 1));
}

/* Linux 6.18 on x86-64 with 16 GiB, and the knobs as Linux has them. */
static void what_system_options_begin_with(void **state)
{
    const struct vmk_sysctl knobs = {.max_map_count = 65530,
                                     .overcommit_memory = VMK_OVERCOMMIT_GUESS,
                                     .overcommit_ratio = 50,
                                     .user_reserve_kbytes = 131072,
                                     .admin_reserve_kbytes = 8192,
                                     .total_ram_pages = 4194304};
    struct vmk_system_options options;
    struct vmk_settings settings;
    struct vt t;

    (void)state;
    vt_init(&t);
    memset(&options, 0x55, sizeof(options));
    vmk_system_options_init(&options, &t.port);
    vmk_settings_init(&settings, 0x61200, VMK_ARCH_X86_64);
    assert_int_equal(options.size, sizeof(options));
    assert_ptr_equal(options.port, &t.port);
    assert_memory_equal(&options.settings, &settings, sizeof(settings));
    assert_memory_equal(&options.sysctl, &knobs, sizeof(knobs));
    assert_true(options.commit == NULL && options.trace == NULL && options.trace_context == NULL &&
                options.user == NULL);
}

/* A port of another version is none. */
static void ports(void **state)
{
    struct vmk_system *system;
    struct vt t;

    (void)state;
    vt_init(&t);
    for (int change = -1; change <= 1; change += 2) {
        t.port.size = sizeof(t.port) + (size_t)change;
        assert_int_equal(vmk_system_create(&t.system_options, &system), -VMK_ERR_MISUSE);
    }
    t.port.size = sizeof(t.port);
    t.system_options.sysctl.overcommit_memory = VMK_OVERCOMMIT_NEVER;
    vt_open(&t);
    vt_teardown(&t);
}

/* ---- Memory that is kept ---- */

struct batch {
    struct vmki_pooled pooled;
    unsigned *nr_freed;
};

static void batch_end(struct vmk_system *system, struct vmki_pooled *batch)
{
    (void)system;
    ++*((struct batch *)(void *)batch)->nr_freed;
}

/* Batches come back last first; no more is kept than there is room for, to the byte. */
static void pool(void **state)
{
    unsigned nr_freed = 0;
    struct batch batches[3] = {{.nr_freed = &nr_freed}, {.nr_freed = &nr_freed}, {.nr_freed = &nr_freed}};
    struct vt t;

    (void)state;
    vt_setup(&t);
    vmk_system_quiesce(t.system);
    assert_null(vmki_pool_take(t.system));
    for (unsigned i = 0; i < 3; i++) {
        batches[i].pooled.free = batch_end;
        batches[i].pooled.nr_bytes = i == 0 ? VMKI_POOL_BYTES : 0;
    }
    assert_true(vmki_pool_put(t.system, &batches[0].pooled));
    assert_true(vmki_pool_put(t.system, &batches[1].pooled));
    batches[2].pooled.nr_bytes = 1;
    assert_false(vmki_pool_put(t.system, &batches[2].pooled));
    assert_int_equal(t.system->pool_bytes, VMKI_POOL_BYTES);
    assert_ptr_equal(vmki_pool_take(t.system), &batches[1].pooled);
    assert_ptr_equal(vmki_pool_take(t.system), &batches[0].pooled);
    assert_null(vmki_pool_take(t.system));
    assert_int_equal(t.system->pool_bytes, 0);
    for (unsigned i = 0; i < 2; i++)
        assert_true(vmki_pool_put(t.system, &batches[i].pooled));
    vmki_pool_trim(t.system);
    assert_int_equal(nr_freed, 2);
    assert_int_equal(t.system->pool_bytes, 0);
    assert_null(vmki_pool_take(t.system));
    vt_teardown(&t);
}

/* ---- The commit charge ---- */

/* Mode 2 to the last page: memory and swap, less a reserve for the administrator and one for the caller. */
static void commit_to_the_last_page(void **state)
{
    static const struct {
        uint64_t ram, huge, swap, ratio, kbytes, admin_kb, user_kb, total_vm;
        bool privileged;
        uint64_t limit, most; /* pages */
    } cases[] = {
        {1000, 0, 0, 50, 0, 0, 0, 0, false, 500, 499},
        {1000, 0, 7, 50, 0, 0, 0, 0, false, 507, 506},
        {1000, 100, 7, 50, 0, 0, 0, 0, false, 457, 456},
        {1000, 2000, 7, 50, 0, 0, 0, 0, false, 7, 6},
        {1000, 0, 7, 50, 83, 0, 0, 0, false, 27, 26},
        {1000, 0, 0, 50, 0, 43, 0, 0, false, 500, 489},
        {1000, 0, 0, 50, 0, 43, 0, 0, true, 500, 499},
        {1000, 0, 0, 50, 0, 0, 43, 3200, false, 500, 489},
        {1000, 0, 0, 50, 0, 0, 43, 320, false, 500, 489},
        {1000, 0, 0, 50, 0, 0, 43, 319, false, 500, 490},
        {1000, 0, 0, 50, 0, 0, 43, 31, false, 500, 499},
        {1000, 0, 0, 50, 0, 0, 43, 320, true, 500, 489},
        {1000, 0, 0, 50, 0, 43, 43, 320, false, 500, 479},
        {30, 0, 0, 50, 0, 40, 40, 320, false, 15, UINT64_MAX}, /* nothing is left: not even nothing may be charged */
        {30, 0, 0, 50, 0, 80, 0, 0, false, 15, UINT64_MAX},
    };

    (void)state;
    for (size_t i = 0; i < VMKI_ARRAY_SIZE(cases); i++) {
        struct vt t;

        vt_init(&t);
        t.system_options.sysctl = (struct vmk_sysctl){.max_map_count = 9,
                                                      .overcommit_memory = VMK_OVERCOMMIT_NEVER,
                                                      .overcommit_ratio = cases[i].ratio,
                                                      .overcommit_kbytes = cases[i].kbytes,
                                                      .user_reserve_kbytes = cases[i].user_kb,
                                                      .admin_reserve_kbytes = cases[i].admin_kb,
                                                      .total_ram_pages = cases[i].ram,
                                                      .total_swap_pages = cases[i].swap,
                                                      .hugetlb_total_pages = cases[i].huge};
        vt_open(&t);
        assert_int_equal(vmk_system_commit_limit(t.system), cases[i].limit);
        for (uint64_t pages = 0; pages < 510; pages++) {
            const bool fits = cases[i].most != UINT64_MAX && pages <= cases[i].most;

            assert_int_equal(vmki_commit_charge(t.system, pages, cases[i].privileged, cases[i].total_vm, 12, true),
                             fits ? 0 : -VMK_ENOMEM);
            assert_int_equal(vmk_system_committed(t.system), fits ? pages : 0);
            if (fits)
                vmki_commit_uncharge(t.system, pages);
            assert_int_equal(
                vmki_commit_charge_many(t.system, pages, 1, cases[i].privileged, cases[i].total_vm, 12, true),
                fits ? 0 : -VMK_ENOMEM);
            if (fits)
                vmki_commit_uncharge(t.system, pages);
            assert_int_equal(vmki_commit_charge(t.system, pages, cases[i].privileged, cases[i].total_vm, 12, false), 0);
            vmki_commit_uncharge(t.system, pages);
        }
        assert_int_equal(vmk_system_committed(t.system), 0);
        vt_teardown(&t);
    }
}

/* Mode 0: each charge by itself, and of many the largest; mode 1 anything. */
static void commit_by_guess(void **state)
{
    (void)state;
    for (unsigned mode = VMK_OVERCOMMIT_GUESS; mode <= VMK_OVERCOMMIT_ALWAYS; mode++) {
        const int refused = mode == VMK_OVERCOMMIT_ALWAYS ? 0 : -VMK_ENOMEM;
        struct vt t;

        vt_init(&t);
        t.system_options.sysctl.overcommit_memory = mode;
        t.system_options.sysctl.total_ram_pages = 10;
        t.system_options.sysctl.total_swap_pages = 3;
        vt_open(&t);
        assert_int_equal(vmki_commit_charge(t.system, 13, false, 0, 12, true), 0);
        assert_int_equal(vmki_commit_charge(t.system, 14, false, 0, 12, true), refused);
        assert_int_equal(vmki_commit_charge_many(t.system, 26, 13, false, 0, 12, true), 0);
        assert_int_equal(vmki_commit_charge_many(t.system, 26, 14, false, 0, 12, true), refused);
        const uint64_t sum = refused == 0 ? 13 + 14 + 26 + 26 : 13 + 26;
        assert_int_equal(vmk_system_committed(t.system), sum);
        vmki_commit_uncharge(t.system, sum);
        vt_teardown(&t);
    }
}

/* What lanes count apart is a part of the sum, wherever they count it, before there are stripes and after. */
static void commit_in_stripes(void **state)
{
    uint64_t sum = 0;
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.sysctl.overcommit_memory = VMK_OVERCOMMIT_NEVER;
    t.system_options.sysctl.total_ram_pages = 1 << 20;
    t.system_options.sysctl.admin_reserve_kbytes = 0;
    t.system_options.sysctl.user_reserve_kbytes = 0;
    vt_open(&t);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned place = 0; place < 3 * VMKI_NR_COMMIT_STRIPES; place++) {
            vmki_commit_count(t.system, place, place + 1);
            sum += place + 1;
            assert_int_equal(vmk_system_committed(t.system), sum);
        }
        atomic_store(&t.until_fail, round == 0 ? 0 : -1);
        vmki_commit_add_stripes(t.system); /* the first time there is no memory, the last time they are there already */
        atomic_store(&t.until_fail, -1);
        assert_true((t.system->commit_stripes != NULL) == (round > 0));
    }
    uint64_t apart = 0;
    for (unsigned i = 0; i < VMKI_NR_COMMIT_STRIPES; i++) {
        assert_true(t.system->commit_stripes[i].pages != 0);
        apart += t.system->commit_stripes[i].pages;
    }
    assert_int_equal(apart, sum / 3);
    /* What is left is what all of them leave. */
    const uint64_t left = vmk_system_commit_limit(t.system) - sum - 1;
    assert_int_equal(vmki_commit_charge(t.system, left + 1, false, 0, 12, true), -VMK_ENOMEM);
    assert_int_equal(vmki_commit_charge(t.system, left, false, 0, 12, true), 0);
    vmki_commit_uncharge(t.system, left);
    vmki_commit_count(t.system, 0, 0 - sum);
    assert_int_equal(vmk_system_committed(t.system), 0);
    vt_teardown(&t);
}

/* Another thread has brought the stripes while this one asked for memory: its own go back. */
static struct vmk_system *racing;

static void *alloc_late(void *context, size_t size, size_t align, unsigned flags)
{
    struct vmk_system *system = racing;

    racing = NULL;
    if (system != NULL)
        vmki_commit_add_stripes(system);
    return vt_alloc(context, size, align, flags);
}

static void commit_stripes_come_once(void **state)
{
    struct vt t;

    (void)state;
    vt_init(&t);
    t.port.alloc = alloc_late;
    vt_open(&t);
    const long before = atomic_load(&t.nr_live);
    racing = t.system;
    vmki_commit_add_stripes(t.system);
    assert_null(racing);
    assert_non_null(t.system->commit_stripes);
    assert_int_equal(atomic_load(&t.nr_live), before + 1);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_an_object_is),
        cmocka_unit_test(objects_of_our_own),
        cmocka_unit_test(mappings),
        cmocka_unit_test(mappings_go_in_every_order),
        cmocka_unit_test(spaces_end_in_every_order),
        cmocka_unit_test(locks_are_ended),
        cmocka_unit_test(names_of_events),
        cmocka_unit_test(what_system_options_begin_with),
        cmocka_unit_test(ports),
        cmocka_unit_test(pool),
        cmocka_unit_test(commit_to_the_last_page),
        cmocka_unit_test(commit_by_guess),
        cmocka_unit_test(commit_in_stripes),
        cmocka_unit_test(commit_stripes_come_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
