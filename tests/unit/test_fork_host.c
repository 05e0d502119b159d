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

/* ---- The locks ---- */

enum { NR_SPACES = 3, LOCKS_OF_A_SYSTEM = 3, LOCKS_OF_A_SPACE = 2 };

static bool mutex_is_free(struct vmk_sync_mutex *mutex)
{
    if (pthread_mutex_trylock(&mutex->mutex) != 0)
        return false;
    pthread_mutex_unlock(&mutex->mutex);
    return true;
}

static bool rwlock_is_free(struct vmk_sync_rwlock *lock)
{
    if (!vmk_sync_try_write_lock(lock))
        return false;
    vmk_sync_write_unlock(lock);
    return true;
}

/* A member of the system that has as many more locks as one may have, though not all of them. */
static struct {
    struct vmki_member member;
    struct vmk_sync_rwlock lock, more[VMKI_MAX_MORE_LOCKS];
    struct vmk_sync_mutex inner;
} guest;
enum { LOCKS_OF_A_GUEST = VMKI_MAX_MORE_LOCKS - 1 + 2 };

static struct vmk_sync_rwlock *guest_lock(struct vmki_member *member, unsigned number)
{
    if (member != &guest.member || number >= VMKI_MAX_MORE_LOCKS)
        abort();
    return number == 5 ? NULL : &guest.more[number];
}

static void guest_counters(struct vmki_member *member, struct vmk_counters *sum)
{
    (void)member;
    (void)sum;
}

static void guest_flush(struct vmki_member *member)
{
    (void)member;
}

static void guest_joins(struct vmk_system *system)
{
    vmk_sync_rwlock_init(&guest.lock);
    vmk_sync_mutex_init(&guest.inner);
    for (unsigned i = 0; i < VMKI_MAX_MORE_LOCKS; i++)
        vmk_sync_rwlock_init(&guest.more[i]);
    guest.member = (struct vmki_member){.lock = &guest.lock,
                                        .inner_lock = &guest.inner,
                                        .more_lock = guest_lock,
                                        .add_counters = guest_counters,
                                        .flush = guest_flush};
    vmki_system_join(system, &guest.member);
}

static int nr_free_guest_locks(void)
{
    int nr = rwlock_is_free(&guest.lock) + mutex_is_free(&guest.inner);

    for (unsigned i = 0; i < VMKI_MAX_MORE_LOCKS; i++)
        nr += i != 5 && rwlock_is_free(&guest.more[i]);
    return nr;
}

/* How many of the system's locks and of its spaces' nobody has. */
static int nr_free_locks(struct vmk_system *system, struct vmk_mm *const spaces[NR_SPACES])
{
    int nr = mutex_is_free(&system->lock) + mutex_is_free(&system->rmap_lock) + mutex_is_free(&system->pool_lock);

    for (unsigned i = 0; i < NR_SPACES; i++)
        nr += rwlock_is_free(&spaces[i]->lock) + mutex_is_free(&spaces[i]->anon_lock);
    return nr + nr_free_guest_locks();
}

/* All are held while the process forks, and free afterwards on both sides. */
static void all_locks_around_a_fork(void **state)
{
    const int all = LOCKS_OF_A_SYSTEM + NR_SPACES * LOCKS_OF_A_SPACE + LOCKS_OF_A_GUEST;
    struct vmk_mm *spaces[NR_SPACES];
    int status;
    struct vt t;

    (void)state;
    vt_setup(&t);
    spaces[0] = t.mm;
    for (unsigned i = 1; i < NR_SPACES; i++)
        assert_int_equal(vmk_mm_create(t.system, &t.mm_options, &spaces[i]), 0);
    guest_joins(t.system);
    assert_int_equal(nr_free_locks(t.system, spaces), all);
    vmk_system_fork_prepare(t.system);
    const int nr_free = nr_free_locks(t.system, spaces);
    const pid_t pid = fork();
    if (pid == 0) {
        vmk_system_fork_child(t.system);
        _exit(nr_free_locks(t.system, spaces));
    }
    vmk_system_fork_parent(t.system);
    assert_int_equal(nr_free, 0);
    assert_int_equal(nr_free_locks(t.system, spaces), all);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), all);
    vmki_system_part(t.system, &guest.member);
    for (unsigned i = 1; i < NR_SPACES; i++)
        vmk_mm_put(spaces[i]);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_locks_around_a_fork), cmocka_unit_test(host_forks)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
