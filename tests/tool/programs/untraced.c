/* SPDX-License-Identifier: MIT */
/*
 * Makes children that are not to be traced, by clone and by clone3; they map memory, and what was passed is as it was
 * afterwards, in parent and child. With an argument: the flags of clone3 lie in read-only memory.
 */
#define _GNU_SOURCE
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int failed;

static void check(int good, const char *what)
{
    if (!good)
        printf("FAILED %s\n", what);
    failed |= !good;
}

/* The child's own status: did its memory calls work? */
static void live(int good)
{
    char *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || !good)
        _exit(1);
    memory[5] = 1;
    _exit(munmap(memory, 1 << 20) == 0 ? 7 : 2);
}

static void wait_for(long child, const char *what)
{
    int status;
    check(child > 0 && waitpid((pid_t)child, &status, __WALL) == child, what);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 7, what);
}

int main(int argc, char **argv)
{
    static const struct clone_args fixed = {.flags = CLONE_UNTRACED, .exit_signal = SIGCHLD};
    struct clone_args args = fixed;
    (void)argv;
    fflush(stdout);
    if (argc > 1) {
        long child = syscall(SYS_clone3, &fixed, sizeof(fixed));
        if (child == 0)
            live(1);
        if (child < 0)
            perror("clone3");
        return child < 0 ? 3 : 0;
    }
    unsigned long flags = SIGCHLD | CLONE_UNTRACED, after = flags;
    long child;
#if defined(__x86_64__)
    register long r10 __asm__("r10") = 0;
    register long r8 __asm__("r8") = 0;
    __asm__ volatile("syscall"
                     : "=a"(child), "+D"(after)
                     : "0"(SYS_clone), "S"(0), "d"(0), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
#else
    child = syscall(SYS_clone, flags, 0, 0, 0, 0);
#endif
    if (child == 0)
        live(after == flags);
    check(after == flags, "the register of clone");
    wait_for(child, "clone");
    child = syscall(SYS_clone3, &args, sizeof(args));
    if (child == 0)
        live(args.flags == CLONE_UNTRACED);
    check(args.flags == CLONE_UNTRACED, "the flags of clone3");
    wait_for(child, "clone3");
    args.flags |= CLONE_THREAD; /* without CLONE_SIGHAND: refused */
    check(syscall(SYS_clone3, &args, sizeof(args)) < 0 && args.flags == (CLONE_UNTRACED | CLONE_THREAD), "a refusal");
    puts(failed ? "failed" : "traced all the same");
    return failed;
}
