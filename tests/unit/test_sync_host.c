/* SPDX-License-Identifier: MIT */
/*
 * Locks in a test build: who releases what he does not hold, takes what he has, or ends a lock that is held, ends the program. All
 * other tests rely on it: a call that forgets its lock does not return.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static struct vmk_sync_rwlock rwlock;
static struct vmk_sync_mutex mutex;

static void in_order(void)
{
    vmk_sync_read_lock(&rwlock);
    vmk_sync_read_unlock(&rwlock);
    vmk_sync_write_lock(&rwlock);
    vmk_sync_write_unlock(&rwlock);
    vmk_sync_mutex_lock(&mutex);
    vmk_sync_mutex_unlock(&mutex);
    vmk_sync_rwlock_destroy(&rwlock);
    vmk_sync_mutex_destroy(&mutex);
}

static void read_without(void)
{
    vmk_sync_read_unlock(&rwlock);
}

static void write_without(void)
{
    vmk_sync_write_unlock(&rwlock);
}

static void write_for_read(void)
{
    vmk_sync_read_lock(&rwlock);
    vmk_sync_write_unlock(&rwlock);
}

static void mutex_without(void)
{
    vmk_sync_mutex_unlock(&mutex);
}

static void mutex_twice(void)
{
    vmk_sync_mutex_lock(&mutex);
    vmk_sync_mutex_lock(&mutex);
}

static void rwlock_ends_held(void)
{
    vmk_sync_read_lock(&rwlock);
    vmk_sync_rwlock_destroy(&rwlock);
}

static void mutex_ends_held(void)
{
    vmk_sync_mutex_lock(&mutex);
    vmk_sync_mutex_destroy(&mutex);
}

/* Does the program live through it? */
static bool survives(void (*calls)(void))
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGILL, SIG_DFL); /* cmocka's handlers are for its own process */
        signal(SIGTRAP, SIG_DFL);
        vmk_sync_rwlock_init(&rwlock);
        vmk_sync_mutex_init(&mutex);
        calls();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void locks_are_checked(void **state)
{
    void (*const wrong[])(void) = {read_without, write_without,    write_for_read, mutex_without,
                                   mutex_twice,  rwlock_ends_held, mutex_ends_held};

    (void)state;
    assert_true(survives(in_order));
#if defined(VMK_SYNC_CHECKED)
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(survives(wrong[i]));
#else
    (void)wrong;
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(locks_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
