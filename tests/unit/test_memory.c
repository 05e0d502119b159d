/* SPDX-License-Identifier: MIT */
/*
 * test_memory.c - where the memory of an address space is: in its areas, kept spare, on its way past the readers, in the pool
 * for whoever needs it next, or back at the port; and that the space's statistics tell it to the byte. golden/space_memory.txt
 * has the numbers.
 */
#include "base/sync.h"
#include "calls.h"
#include "golden.h"
#include "memory_log.h"

static struct vt_text told;
static struct golden golden;

/* What calls in lanes may grow by lies with the processors: always the same one here. */
__attribute__((visibility("default"))) int sched_getcpu(void)
{
    return 0;
}

/*
 * Areas of a page that cannot merge. No reader is left after each call: what it retired has gone on, and is never still on its
 * way when the next one asks.
 */
static void map_areas(struct vmk_mm *mm, unsigned nr, unsigned distance)
{
    for (unsigned i = 0; i < nr; i++) {
        const struct vmk_mmap_request request = {
            .address = BASE + P(i * distance), .len = P(1), .prot = i % 2 == 0 ? VT_R : VT_RW, .flags = VT_FIXED};

        assert_int_equal(vmk_mmap(mm, &request, NULL), 0);
        vmk_sync_barrier();
    }
}

static void unmap_areas(struct vmk_mm *mm, unsigned from, unsigned nr, unsigned distance)
{
    for (unsigned i = from; i < from + nr; i++) {
        const struct vmk_munmap_request request = {.address = BASE + P(i * distance), .len = P(1)};

        assert_int_equal(vmk_munmap(mm, &request, NULL), 0);
        vmk_sync_barrier();
    }
}

static long port_bytes(void)
{
    long bytes = 0;

    for (unsigned i = 0; i < the_memory_log.nr; i++)
        bytes += (long)the_memory_log.of[i].size * the_memory_log.of[i].nr_kept;
    return bytes;
}

static uint64_t space_bytes(struct vmk_mm *mm)
{
    struct vmk_mm_stats stats = {.size = sizeof(stats)};

    vmk_mm_get_stats(mm, &stats);
    return stats.nr_bytes;
}

static long rest_at_first;

/* Where it is when no reader is left; `rest` is what neither the space nor the pool counts as its own: lists, and what hangs of areas. */
static void tell(struct vt *t, const char *when)
{
    long space, pool;

    vmk_sync_barrier();
    space = (long)space_bytes(t->mm);
    pool = (long)t->system->pool_bytes;
    vt_print(&told, "%s: %zu areas, spare %u + %u, leaving %u, carried %u, pool %ld, rest %ld\n", when,
             (size_t)t->mm->tree.nr_entries, t->mm->nr_spare_anon, t->mm->nr_spare_file,
             (unsigned)vmki_mm_nr_leaving(t->mm), (unsigned)vmki_mm_carried_bytes(t->mm), pool,
             port_bytes() - space - pool - rest_at_first);
}

/* From here on. */
static void begin_to_tell(struct vt *t, const char *what)
{
    memory_log_begin(t);
    rest_at_first = -(long)space_bytes(t->mm);
    told.len = 0;
    vt_print(&told, "# %s\n", what);
}

static void begin(struct vt *t, const char *what)
{
    vt_setup(t);
    begin_to_tell(t, what);
}

/* Under AddressSanitizer nothing is kept for others. */
static void compare_told(void)
{
    if (VMKI_POOL_BYTES != 0)
        golden_text(&golden, &told);
}

static void end(struct vt *t)
{
    t->system->port.alloc = vt_alloc;
    t->system->port.free = vt_free;
    compare_told();
    vt_validate(t);
    vt_teardown(t);
}

static void test_round(void **state)
{
    struct vt t;

    (void)state;
    begin(&t, "there and back");
    tell(&t, "empty");
    map_areas(t.mm, 1, 2);
    tell(&t, "one");
    map_areas(t.mm, 200, 2);
    tell(&t, "200");
    unmap_areas(t.mm, 0, 3, 2);
    tell(&t, "197");
    unmap_areas(t.mm, 3, 2, 2);
    tell(&t, "195");
    unmap_areas(t.mm, 5, 60, 2);
    tell(&t, "135");
    unmap_areas(t.mm, 65, 135, 2);
    tell(&t, "none");
    map_areas(t.mm, 40, 2);
    tell(&t, "40 again");
    map_areas(t.mm, 120, 2);
    tell(&t, "120 again");
    vmk_system_quiesce(t.system);
    tell(&t, "quiet");
    end(&t);
}

/* What hangs of areas goes with the last one. */
static void test_what_hangs_of_areas(void **state)
{
    const struct vmk_name_request name = {.address = BASE, .len = P(4), .text = "some name"};
    struct vmk_file *file;
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.settings.anon_vma_name = 1;
    vt_open(&t);
    file = vt_file(&t, 1);
    begin_to_tell(&t, "what hangs of areas");
    vt_anon(&t, BASE, P(4), VT_RW);
    vt_touch(&t, BASE);
    tell(&t, "touched");
    assert_ret(vt_return(&t, vmk_name(t.mm, &name, &t.result)), 0);
    tell(&t, "named");
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_R), 0);
    tell(&t, "cut");
    assert_ret(vt_mmap_file(&t, BASE + P(10), P(3), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, file, 0), BASE + P(10));
    tell(&t, "a file");
    assert_ret(vt_munmap(&t, BASE + P(11), P(1)), 0);
    tell(&t, "a file's rests");
    assert_ret(vt_munmap(&t, BASE, P(2)), 0);
    tell(&t, "a part");
    assert_ret(vt_munmap(&t, BASE, P(20)), 0);
    tell(&t, "nothing");
    vmk_system_quiesce(t.system);
    tell(&t, "quiet");
    end(&t);
}

/* A space with lanes: each has memory of its own, and the statistics have that too. */
static void test_lanes(void **state)
{
    struct vt t;

    (void)state;
    begin(&t, "lanes");
    map_areas(t.mm, 120, 4);
    tell(&t, "areas");
    t.mm->nr_waits = 1000;
    unmap_areas(t.mm, 40, 1, 4);
    tell(&t, "open");
    unmap_areas(t.mm, 41, 1, 4);
    tell(&t, "a home");
    unmap_areas(t.mm, 42, 2, 4);
    tell(&t, "in it");
    unmap_areas(t.mm, 4, 30, 4);
    tell(&t, "in others");
    map_areas(t.mm, 120, 4);
    tell(&t, "mapped again");
    unmap_areas(t.mm, 2, 100, 4);
    tell(&t, "unmapped again");
    map_areas(t.mm, 120, 2);
    tell(&t, "nearer");
    vmk_system_quiesce(t.system);
    tell(&t, "quiet");
    end(&t);
}

/* A child's areas lie in blocks, which go with it. */
static void test_child(void **state)
{
    struct vmk_mm *parent;
    long rest_of_parent;
    struct vt t;

    (void)state;
    begin(&t, "a child");
    parent = t.mm;
    map_areas(parent, 100, 2);
    tell(&t, "parent");
    rest_of_parent = rest_at_first;
    rest_at_first = port_bytes() - (long)t.system->pool_bytes;
    assert_int_equal(vmk_mm_fork(parent, &t.mm), 0);
    tell(&t, "child");
    unmap_areas(t.mm, 0, 60, 2);
    tell(&t, "less");
    map_areas(t.mm, 100, 2);
    tell(&t, "mapped again");
    vmk_system_quiesce(t.system);
    tell(&t, "quiet");
    vmk_mm_put(t.mm);
    t.mm = parent;
    rest_at_first = rest_of_parent;
    tell(&t, "parent alone");
    end(&t);
}

/* ---- Refusals: what a call says when allocation 0, 1, 2 ... is refused, and how many are counted ---- */

static int refused_mmap(struct vt *t)
{
    const struct vmk_mmap_request request = {.address = BASE + P(20), .len = P(1), .prot = VT_R, .flags = VT_FIXED};

    return vmk_mmap(t->mm, &request, NULL);
}

static int refused_file(struct vt *t)
{
    const struct vmk_mmap_request request = {.address = BASE + P(20),
                                             .len = P(1),
                                             .prot = VT_R,
                                             .flags = VMK_MAP_SHARED | VMK_MAP_FIXED,
                                             .file = t->files[0]};

    return vmk_mmap(t->mm, &request, NULL);
}

static int refused_mprotect(struct vt *t)
{
    const struct vmk_mprotect_request request = {.address = BASE + P(1), .len = P(1), .prot = VT_R, .pkey = -1};

    return vmk_mprotect(t->mm, &request, NULL);
}

static int refused_name(struct vt *t)
{
    const struct vmk_name_request request = {.address = BASE + P(1), .len = P(1), .text = "a name"};

    return vmk_name(t->mm, &request, NULL);
}

static int refused_touch(struct vt *t)
{
    int error;

    vmk_mm_lock_write(t->mm);
    error = vmki_anon_vma_prepare(vmki_find(t->mm, BASE));
    vmk_mm_unlock_write(t->mm);
    return error;
}

static void test_refusals(void **state)
{
    static const struct {
        const char *name;
        int (*call)(struct vt *t);
    } calls[] = {{"mmap", refused_mmap},
                 {"mmap of a file", refused_file},
                 {"mprotect", refused_mprotect},
                 {"name", refused_name},
                 {"touch", refused_touch}};

    (void)state;
    told.len = 0;
    vt_print(&told, "# refusals\n");
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        bool failed = true;

        vt_print(&told, "%s:", calls[i].name);
        for (long n = 0; failed; n++) {
            struct vt t;
            int error;

            vt_init(&t);
            t.system_options.settings.anon_vma_name = 1;
            vt_open(&t);
            vt_file(&t, 1);
            vt_anon(&t, BASE, P(4), VT_RW);
            vmk_system_quiesce(t.system);
            atomic_store(&t.failed, false);
            atomic_store(&t.until_fail, n);
            error = calls[i].call(&t);
            failed = atomic_load(&t.failed);
            vt_print(&told, " %d (%u)", error, (unsigned)t.mm->counters.alloc_failed);
            vt_validate(&t);
            vt_teardown(&t);
        }
        vt_print(&told, "\n");
    }
    compare_told();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round), cmocka_unit_test(test_what_hangs_of_areas),
                                       cmocka_unit_test(test_lanes), cmocka_unit_test(test_child),
                                       cmocka_unit_test(test_refusals)};
    int nr_failed;

    golden_open(&golden, "space_memory.txt");
    nr_failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (nr_failed == 0 && VMKI_POOL_BYTES != 0)
        golden_close(&golden);
    return nr_failed;
}
