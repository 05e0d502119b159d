/* SPDX-License-Identifier: MIT */
/* The host's own fork(2), with the library inside: locks, RCU, and the child's rules in place. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define BASE UINT64_C(0x10000000)
#define P(n) ((uint64_t)(n)*VT_PAGE)

static struct vmk_mm *the_mm;
static atomic_bool stop;

/* Keeps the locks busy while the process forks. */
static void *mapper(void *context)
{
    const vmk_addr base = 4 * BASE * (uint64_t)(uintptr_t)context;
    unsigned n = 0;

    vmk_thread_enter(vmk_mm_system(the_mm));
    while (!atomic_load(&stop)) {
        const vmk_addr start = base + P(2 * (n++ % 64));
        const struct vmk_mmap_request map = {.address = start, .len = P(1), .prot = VT_RW, .flags = VT_FIXED};
        const struct vmk_fault_request write = {.address = start, .access = VMK_ACCESS_WRITE};
        const struct vmk_munmap_request unmap = {.address = start, .len = P(1)};
        struct vmk_fault fault;

        (void)vmk_mmap(the_mm, &map, NULL);
        (void)vmk_mm_fault(the_mm, &write, &fault);
        (void)vmk_munmap(the_mm, &unmap, NULL);
    }
    vmk_thread_leave(vmk_mm_system(the_mm));
    return NULL;
}

/* In the child process: 0 when all is well. */
static int child_is_well(struct vmk_mm *mm)
{
    struct vmk_vma_info info = {.size = sizeof(info)};
    struct vmk_mm_stats stats = {.size = sizeof(stats)};
    const struct vmk_mmap_request map = {.address = BASE + P(1), .len = P(1), .prot = VT_RW, .flags = VT_FIXED};

    if (vmk_mm_become_child(mm) != 0 || vmk_mm_validate(mm, NULL, NULL) != 0)
        return 1;
    if (vmk_mm_lookup(mm, BASE, &info) != 0 || !info.anon_vma_inherited)
        return 2;
    if (vmk_mm_lookup(mm, BASE + P(8), &info) != -VMK_ENOENT)
        return 3;
    for (unsigned i = 0; i < 100; i++)
        if (vmk_mmap(mm, &map, NULL) != 0)
            return 4;
    if (vmk_mm_lookup(mm, BASE + P(1), &info) != 0 || info.start != BASE + P(1)) /* does not merge with the inherited */
        return 5;
    vmk_mm_get_stats(mm, &stats);
    if (stats.pinned_vm != 0) /* pages that a device works on are the parent's */
        return 7;
    vmk_system_quiesce(vmk_mm_system(mm));
    return vmk_mm_validate(mm, NULL, NULL) != 0 ? 6 : 0;
}

static void fork_once(struct vt *t)
{
    int status;
    pid_t pid;

    vmk_system_fork_prepare(t->system);
    pid = fork();
    if (pid == 0) {
        vmk_system_fork_child(t->system);
        _exit(child_is_well(t->mm));
    }
    vmk_system_fork_parent(t->system);
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void host_forks(void **state)
{
    struct vt t;
    pthread_t threads[2];
    const struct vmk_madvise_request dontfork = {.address = BASE + P(8), .len = P(1), .advice = VMK_MADV_DONTFORK};

    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    skip(); /* a thread may hold a lock of its allocator at the fork, which the child then waits for */
#endif
    vt_setup(&t);
    the_mm = t.mm;
    vt_anon(&t, BASE, P(1), VT_RW);
    vt_touch(&t, BASE);
    vt_anon(&t, BASE + P(8), P(1), VT_RW);
    assert_int_equal(vmk_madvise(t.mm, &dontfork, NULL), 0);
    assert_int_equal(vmk_mm_pin(t.mm, 1), 0);
    fork_once(&t);
    atomic_store(&stop, false);
    for (uintptr_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, mapper, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < 50; i++)
        fork_once(&t);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    vt_validate(&t);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(host_forks)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
