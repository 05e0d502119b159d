/* SPDX-License-Identifier: MIT */
/*
 * vmk_mm_lookup from a timer's signal that interrupts a writer at random moments, and from threads beside it: it always
 * returns, and what it says was true before or after the writer's step.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include "support.h"

#define STABLE UINT64_C(0x10000000) /* never changes */
#define MOVING UINT64_C(0x20000000) /* the writer's */
#define P(n)   ((uint64_t)(n)*VT_PAGE)
enum { NR_STABLE = 64, NR_MOVING = 256, SECONDS = 2 };

static struct vmk_mm *the_mm;
static atomic_long nr_signals, nr_found, nr_bad;
static atomic_bool stop;

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return *seed >> 33;
}

/* Stable areas: one page each, every second page, with flags by their number. */
static bool stable_is_right(unsigned i)
{
    struct vmk_vma_info info = {.size = sizeof(info)};
    vmk_addr start = STABLE + P(2 * i);

    return vmk_mm_lookup(the_mm, start + 7, &info) == 0 && info.start == start && info.end == start + P(1) &&
           (info.flags & VMK_VM_ACCESS) == (i % 2 == 0 ? VMK_VM_READ : VMK_VM_READ | VMK_VM_WRITE) &&
           info.pgoff == start >> 12 && vmk_mm_lookup(the_mm, start + P(1), &info) == -VMK_ENOENT;
}

/* A page of the writer's: nothing, or an area around it whose fields belong together. */
static bool moving_is_right(vmk_addr address)
{
    struct vmk_vma_info info = {.size = sizeof(info)};
    vmk_vm_flags access;

    if (vmk_mm_lookup(the_mm, address, &info) != 0)
        return true;
    access = info.flags & VMK_VM_ACCESS;
    atomic_fetch_add(&nr_found, 1);
    return info.start <= address && info.end > address && info.start >= MOVING && info.end <= MOVING + P(NR_MOVING) &&
           (access == VMK_VM_READ || access == (VMK_VM_READ | VMK_VM_WRITE)) &&
           ((info.flags & VMK_VM_ACCOUNT) != 0 || access == VMK_VM_READ) && info.pgoff == info.start >> 12 &&
           vmk_mm_check_access(the_mm, STABLE, VMK_ACCESS_READ) == 0;
}

static void look(uint64_t *seed)
{
    if (!stable_is_right((unsigned)(next_random(seed) % NR_STABLE)) ||
        !moving_is_right(MOVING + P(next_random(seed) % NR_MOVING) + 5))
        atomic_fetch_add(&nr_bad, 1);
}

static pthread_t writer;

/* The signal may come to another thread of the process: the one that it is for gets it all the same. */
static void on_alarm(int signal)
{
    static uint64_t seed = 99;
    struct itimerval again = {.it_value.tv_usec = 0};
    int saved_errno = errno;

    if (!pthread_equal(pthread_self(), writer)) {
        pthread_kill(writer, signal);
        errno = saved_errno;
        return;
    }
    again.it_value.tv_usec = (suseconds_t)(1 + next_random(&seed) % 100);
    for (unsigned i = 0; i < 8; i++)
        look(&seed);
    atomic_fetch_add(&nr_signals, 1);
    if (!atomic_load(&stop))
        setitimer(ITIMER_REAL, &again, NULL);
    errno = saved_errno;
}

static void *reader(void *context)
{
    uint64_t seed = (uint64_t)(uintptr_t)context;
    vmk_addr last = 0, cursor = 0;
    struct vmk_vma_info info = {.size = sizeof(info)};

    vmk_thread_enter(vmk_mm_system(the_mm));
    while (!atomic_load(&stop)) {
        look(&seed);
        /* Iteration goes up, entry by entry; an area may have grown over the last one in the meantime. */
        if (vmk_mm_next(the_mm, &cursor, &info) != 0) {
            cursor = last = 0;
        } else if (info.end <= last || info.end != cursor) {
            atomic_fetch_add(&nr_bad, 1);
            cursor = last = 0;
        } else {
            last = cursor;
        }
    }
    vmk_thread_leave(vmk_mm_system(the_mm));
    return NULL;
}

/* One random change of the writer's range. */
static void change(uint64_t *seed)
{
    vmk_addr start = MOVING + P(next_random(seed) % NR_MOVING);
    uint64_t len = P(1 + next_random(seed) % 16);
    const struct vmk_mmap_request map = {
        .address = start, .len = vmki_min(len, MOVING + P(NR_MOVING) - start), .prot = VT_RW, .flags = VT_FIXED};
    const struct vmk_munmap_request unmap = {.address = start, .len = map.len};
    const struct vmk_mprotect_request protect = {.address = start, .len = map.len, .prot = VT_R, .pkey = -1};

    switch (next_random(seed) % 4) {
    case 0:
        assert_int_equal(vmk_munmap(the_mm, &unmap, NULL), 0);
        break;
    case 1:
        (void)vmk_mprotect(the_mm, &protect, NULL); /* over a hole: ENOMEM */
        break;
    default:
        assert_int_equal(vmk_mmap(the_mm, &map, NULL), 0);
        break;
    }
}

static void open_space(struct vt *t)
{
    vt_setup(t);
    the_mm = t->mm;
    for (unsigned i = 0; i < NR_STABLE; i++)
        vt_anon(t, STABLE + P(2 * i), P(1), i % 2 == 0 ? VT_R : VT_RW);
    atomic_store(&nr_signals, 0);
    atomic_store(&nr_found, 0);
    atomic_store(&nr_bad, 0);
    atomic_store(&stop, false);
    vmk_thread_enter(t->system);
}

static void write_for(int seconds)
{
    time_t end = time(NULL) + seconds;
    uint64_t seed = 4711;

    while (time(NULL) < end)
        for (unsigned i = 0; i < 200; i++)
            change(&seed);
}

static void lookup_in_a_signal(void **state)
{
    struct vt t;
    struct sigaction action = {.sa_handler = on_alarm};

    (void)state;
    open_space(&t);
    writer = pthread_self();
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    on_alarm(SIGALRM); /* starts the timer */
    write_for(SECONDS);
    atomic_store(&stop, true);
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value.tv_usec = 0}, NULL);
    signal(SIGALRM, SIG_IGN);
    assert_true(atomic_load(&nr_signals) > 100);
    assert_true(atomic_load(&nr_found) > 100);
    assert_int_equal(atomic_load(&nr_bad), 0);
    vt_validate(&t);
    vmk_thread_leave(t.system);
    vt_teardown(&t);
}

static void lookup_in_threads(void **state)
{
    struct vt t;
    pthread_t readers[2];

    (void)state;
    open_space(&t);
    for (uintptr_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, reader, (void *)(i + 1)), 0);
    write_for(SECONDS);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    assert_true(atomic_load(&nr_found) > 100);
    assert_int_equal(atomic_load(&nr_bad), 0);
    vt_validate(&t);
    vmk_thread_leave(t.system);
    vt_teardown(&t);
}

/* Faults of several threads in one area, and at one stack: one anon_vma, one growth each. */
static void *faulter(void *context)
{
    uint64_t seed = (uint64_t)(uintptr_t)context;
    struct vmk_fault fault;

    vmk_thread_enter(vmk_mm_system(the_mm));
    for (unsigned i = 0; i < 20000; i++) {
        bool in_stack = i % 16 == 0;
        const struct vmk_fault_request request = {.address = in_stack ? MOVING - P(1 + i / 16)
                                                                      : MOVING + P(next_random(&seed) % 64),
                                                  .access = i % 3 == 0 ? VMK_ACCESS_READ : VMK_ACCESS_WRITE};
        if (vmk_mm_fault(the_mm, &request, &fault) != 0 || fault.outcome != VMK_FAULT_MINOR)
            atomic_fetch_add(&nr_bad, 1);
    }
    vmk_thread_leave(vmk_mm_system(the_mm));
    return NULL;
}

static void faults_in_threads(void **state)
{
    struct vt t;
    pthread_t threads[3];

    (void)state;
    open_space(&t);
    assert_ret(vt_mmap_file(&t, MOVING, P(64), VT_RW, VT_FIXED | VMK_MAP_GROWSDOWN, NULL, 0), MOVING);
    for (uintptr_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, faulter, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&nr_bad), 0);
    vt_expect_range(t.mm, MOVING - P(2000), MOVING + P(64), "1fb1e000-20040000 rw-p gd ac anon=a1\n", __FILE__,
                    __LINE__);
    struct vmk_counters counters;
    vmk_mm_get_counters(t.mm, &counters);
    assert_int_equal(counters.fault, 60000);
    assert_true(counters.stack_growth <= 1250 && counters.stack_growth > 0);
    vmk_thread_leave(t.system);
    vt_teardown(&t);
}

/* fork beside faults: each child is whole, whatever moment it was taken at. */
static void forks_beside_faults(void **state)
{
    struct vt t;
    pthread_t threads[2];

    (void)state;
    open_space(&t);
    assert_ret(vt_mmap_file(&t, MOVING, P(64), VT_RW, VT_FIXED | VMK_MAP_GROWSDOWN, NULL, 0), MOVING);
    for (uintptr_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, faulter, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < 100; i++) {
        struct vmk_mm *child;
        assert_int_equal(vmk_mm_fork(t.mm, &child), 0);
        assert_int_equal(vmk_mm_validate(child, NULL, NULL), 0);
        vmk_mm_put(child);
    }
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&nr_bad), 0);
    vt_validate(&t);
    vmk_thread_leave(t.system);
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookup_in_a_signal),
        cmocka_unit_test(lookup_in_threads),
        cmocka_unit_test(faults_in_threads),
        cmocka_unit_test(forks_beside_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
