/* SPDX-License-Identifier: MIT */
/*
 * fuzz_worker.c - what runs in the process whose address space is experimented on.
 *
 * The code here has given up every area but the program's text, its constants and the shared block: it must not use
 * libc, thread-local storage, writable or relocated data, or a stack protector, and there is no instrumentation. It
 * makes raw system calls and touches memory, as the tool asks. A zygote of the same kind forks the workers, so that
 * each begins with the same few areas, none of which has an anon_vma.
 */
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "fuzz_comm.h"

#if defined(__clang__)
#define BARE        __attribute__((noinline, no_sanitize("address", "thread", "undefined")))
#define BARE_INLINE __attribute__((always_inline))
#else
#define BARE                                                                                                           \
    __attribute__((noinline, no_sanitize("address", "thread", "undefined"), no_profile_instrument_function,            \
                   no_stack_protector))
/* Without the second, gcc would not put it into functions that are not counted. */
#define BARE_INLINE __attribute__((always_inline, no_profile_instrument_function))
#endif
#define HIDDEN __attribute__((visibility("hidden")))

HIDDEN long fuzz_raw(long nr, const uint64_t *arg);
HIDDEN long fuzz_touch_read(uint64_t address);
HIDDEN long fuzz_touch_write(uint64_t address);
HIDDEN long fuzz_touch_execute(uint64_t address);
HIDDEN void fuzz_touch_end(void);
HIDDEN long fuzz_fork_child(void);
HIDDEN long fuzz_fork_parent(void);
HIDDEN long fuzz_spawn(uint64_t stack, void (*body)(void));
HIDDEN void fuzz_on_stack(uint64_t stack, void (*body)(void));
HIDDEN void fuzz_restorer(void);

/*
 * fuzz_raw(nr, arg): a system call with six arguments.
 * fuzz_touch_*(address): one access; a signal handler goes on at fuzz_touch_end, which returns. Executed pages hold
 *   zeros: an instruction that faults in a way of its own, which tells the handler that the fetch succeeded.
 * fuzz_fork_child(): the parent stops for ever, without touching the stack that both share; the child returns 0.
 * fuzz_fork_parent(): the child ends at once, the parent returns.
 * fuzz_spawn(stack, body): a child that calls body on another stack.
 */
#if defined(__x86_64__)
__asm__(".text\n"
        ".globl fuzz_raw, fuzz_touch_read, fuzz_touch_write, fuzz_touch_execute, fuzz_touch_end, fuzz_fork_child,"
        "       fuzz_fork_parent, fuzz_spawn, fuzz_on_stack, fuzz_restorer\n"
        "fuzz_raw:\n"
        "    movq %rdi, %rax\n"
        "    movq %rsi, %r11\n"
        "    movq (%r11), %rdi\n"
        "    movq 8(%r11), %rsi\n"
        "    movq 16(%r11), %rdx\n"
        "    movq 24(%r11), %r10\n"
        "    movq 32(%r11), %r8\n"
        "    movq 40(%r11), %r9\n"
        "    syscall\n"
        "    ret\n"
        "fuzz_touch_read:\n"
        "    movb (%rdi), %al\n"
        "    ret\n"
        "fuzz_touch_write:\n"
        "    movb $0, (%rdi)\n"
        "    ret\n"
        "fuzz_touch_execute:\n"
        "    movabsq $0x8000000000000000, %rax\n" /* not canonical: a write there faults with SI_KERNEL */
        "    jmp *%rdi\n"
        "fuzz_touch_end:\n"
        "    ret\n"
        "fuzz_fork_child:\n"
        "    movl $57, %eax\n"
        "    syscall\n"
        "    testq %rax, %rax\n"
        "    jg 1f\n"
        "    ret\n"
        "1:  movl $34, %eax\n"
        "    syscall\n"
        "    jmp 1b\n"
        "fuzz_fork_parent:\n"
        "    movl $57, %eax\n"
        "    syscall\n"
        "    testq %rax, %rax\n"
        "    jz 1f\n"
        "    ret\n"
        "1:  xorl %edi, %edi\n"
        "    movl $231, %eax\n"
        "    syscall\n"
        "    hlt\n"
        "fuzz_spawn:\n"
        "    movq %rsi, %r9\n"
        "    movq %rdi, %rsi\n"
        "    movl $17, %edi\n"
        "    xorl %edx, %edx\n"
        "    xorl %r10d, %r10d\n"
        "    xorl %r8d, %r8d\n"
        "    movl $56, %eax\n"
        "    syscall\n"
        "    testq %rax, %rax\n"
        "    jz 1f\n"
        "    ret\n"
        "1:  xorl %ebp, %ebp\n"
        "    call *%r9\n"
        "    hlt\n"
        "fuzz_on_stack:\n"
        "    movq %rdi, %rsp\n"
        "    xorl %ebp, %ebp\n"
        "    call *%rsi\n"
        "    hlt\n"
        "fuzz_restorer:\n"
        "    movl $15, %eax\n"
        "    syscall\n");
#elif defined(__aarch64__)
__asm__(".text\n"
        ".globl fuzz_raw, fuzz_touch_read, fuzz_touch_write, fuzz_touch_execute, fuzz_touch_end, fuzz_fork_child,"
        "       fuzz_fork_parent, fuzz_spawn, fuzz_on_stack, fuzz_restorer\n"
        "fuzz_raw:\n"
        "    mov x8, x0\n"
        "    mov x9, x1\n"
        "    ldp x0, x1, [x9]\n"
        "    ldp x2, x3, [x9, #16]\n"
        "    ldp x4, x5, [x9, #32]\n"
        "    svc #0\n"
        "    ret\n"
        "fuzz_touch_read:\n"
        "    ldrb w0, [x0]\n"
        "    ret\n"
        "fuzz_touch_write:\n"
        "    strb wzr, [x0]\n"
        "    ret\n"
        "fuzz_touch_execute:\n"
        "    br x0\n"
        "fuzz_touch_end:\n"
        "    ret\n"
        "fuzz_fork_child:\n"
        "    mov x8, #220\n"
        "    mov x0, #17\n"
        "    mov x1, xzr\n"
        "    mov x2, xzr\n"
        "    mov x3, xzr\n"
        "    mov x4, xzr\n"
        "    svc #0\n"
        "    cmp x0, #0\n"
        "    b.gt 1f\n"
        "    ret\n"
        "1:  mov x8, #101\n" /* nanosleep(NULL, ..): fails at once, for ever; the process is killed soon */
        "    mov x0, xzr\n"
        "    svc #0\n"
        "    b 1b\n"
        "fuzz_fork_parent:\n"
        "    mov x8, #220\n"
        "    mov x0, #17\n"
        "    mov x1, xzr\n"
        "    mov x2, xzr\n"
        "    mov x3, xzr\n"
        "    mov x4, xzr\n"
        "    svc #0\n"
        "    cbz x0, 1f\n"
        "    ret\n"
        "1:  mov x8, #94\n"
        "    svc #0\n"
        "    brk #0\n"
        "fuzz_spawn:\n"
        "    mov x9, x1\n"
        "    mov x1, x0\n"
        "    mov x8, #220\n"
        "    mov x0, #17\n"
        "    mov x2, xzr\n"
        "    mov x3, xzr\n"
        "    mov x4, xzr\n"
        "    svc #0\n"
        "    cbz x0, 1f\n"
        "    ret\n"
        "1:  blr x9\n"
        "    brk #0\n"
        "fuzz_on_stack:\n"
        "    mov sp, x0\n"
        "    blr x1\n"
        "    brk #0\n"
        "fuzz_restorer:\n"
        "    mov x8, #139\n"
        "    svc #0\n");
#else
#error "the oracle's worker is written for x86-64 and arm64"
#endif

/* The kernel's own layout of a signal action. */
struct bare_sigaction {
    uint64_t handler, flags, restorer, mask;
};
#define BARE_SA_FLAGS (SA_SIGINFO | SA_ONSTACK | SA_NODEFER | 0x04000000u /* SA_RESTORER */)

/* Not a constant expression for the compiler: it would fold field addresses into memory it thinks is not there. */
static inline BARE_INLINE struct fuzz_comm *comm_block(void)
{
    uintptr_t address = (uintptr_t)FUZZ_COMM_ADDRESS;
    __asm__("" : "+r"(address));
    return (struct fuzz_comm *)address;
}

BARE static long bare_call(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    uint64_t arg[6];
    arg[0] = a;
    arg[1] = b;
    arg[2] = c;
    arg[3] = d;
    arg[4] = 0;
    arg[5] = 0;
    return fuzz_raw(nr, arg);
}

BARE static void wait_for_request(_Atomic uint32_t *state)
{
    while (atomic_load(state) != FUZZ_REQUEST)
        bare_call(SYS_futex, (uint64_t)(uintptr_t)state, 0 /* FUTEX_WAIT */, FUZZ_IDLE, 0);
}

BARE static void answer(_Atomic uint32_t *state)
{
    atomic_store(state, FUZZ_IDLE);
    bare_call(SYS_futex, (uint64_t)(uintptr_t)state, 1 /* FUTEX_WAKE */, 1, 0);
}

BARE static void on_signal(int signo, siginfo_t *info, void *context)
{
    struct fuzz_comm *comm = comm_block();
    ucontext_t *user = context;

    comm->signo = (uint32_t)signo;
    comm->code = info->si_code;
    comm->fault_address = (uint64_t)(uintptr_t)info->si_addr;
    if (!comm->touching)
        bare_call(SYS_exit_group, 99, 0, 0, 0);
#if defined(__x86_64__)
    user->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)fuzz_touch_end;
#else
    user->uc_mcontext.pc = (uintptr_t)fuzz_touch_end;
#endif
}

BARE static void handle_signals(void)
{
    struct bare_sigaction action;
    struct {
        uint64_t base;
        uint64_t flags;
        uint64_t size;
    } stack;

    stack.base = FUZZ_SIGNAL_STACK;
    stack.flags = 0;
    stack.size = FUZZ_SIGNAL_STACK_TO - FUZZ_SIGNAL_STACK;
    bare_call(SYS_sigaltstack, (uint64_t)(uintptr_t)&stack, 0, 0, 0);
    action.handler = (uint64_t)(uintptr_t)on_signal;
    action.flags = BARE_SA_FLAGS;
    action.restorer = (uint64_t)(uintptr_t)fuzz_restorer;
    action.mask = 0;
    bare_call(SYS_rt_sigaction, SIGSEGV, (uint64_t)(uintptr_t)&action, 0, 8);
    bare_call(SYS_rt_sigaction, SIGBUS, (uint64_t)(uintptr_t)&action, 0, 8);
    bare_call(SYS_rt_sigaction, SIGILL, (uint64_t)(uintptr_t)&action, 0, 8);
    bare_call(SYS_rt_sigaction, SIGTRAP, (uint64_t)(uintptr_t)&action, 0, 8);
}

BARE static void touch(struct fuzz_comm *comm)
{
    comm->signo = 0;
    comm->touching = 1;
    __asm__ volatile("" ::: "memory");
    if (comm->request == FUZZ_WORKER_READ)
        fuzz_touch_read(comm->arg[0]);
    else if (comm->request == FUZZ_WORKER_WRITE)
        fuzz_touch_write(comm->arg[0]);
    else
        fuzz_touch_execute(comm->arg[0]);
    __asm__ volatile("" ::: "memory");
    comm->touching = 0;
    comm->result = 0;
}

BARE static void worker_body(void)
{
    struct fuzz_comm *comm = comm_block();

    bare_call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0);
    for (;;) {
        wait_for_request(&comm->state);
        if (comm->request == FUZZ_WORKER_SYSCALL) {
            comm->result = fuzz_raw((long)comm->nr, comm->arg);
        } else if (comm->request == FUZZ_WORKER_FORK_CHILD) {
            comm->result = fuzz_fork_child();
            bare_call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0);
            comm->pid = bare_call(SYS_getpid, 0, 0, 0, 0);
        } else if (comm->request == FUZZ_WORKER_FORK_PARENT) {
            comm->result = fuzz_fork_parent();
        } else {
            touch(comm);
        }
        answer(&comm->state);
    }
}

/* Waits for every child that there is; they have all been killed. */
BARE static long reap(void)
{
    long nr = 0;

    while (bare_call(SYS_wait4, (uint64_t)-1, 0, 0x40000000 /* __WALL */, 0) > 0)
        nr++;
    return nr;
}

/* Unmaps [from, to), which may be large. */
BARE static void drop(uint64_t from, uint64_t to)
{
    if (from < to)
        bare_call(SYS_munmap, from, to - from, 0, 0);
}

/* The vdso and its data stay: they are part of what is tested. */
BARE static void zygote_body(void)
{
    struct fuzz_comm *comm = comm_block();
    long brk;

    drop(0x1000, comm->text_start);
    drop(comm->text_end, FUZZ_COMM_ADDRESS);
    drop(FUZZ_COMM_ADDRESS + FUZZ_COMM_BYTES, comm->arg[0]); /* up to the vvar and vdso */
    drop(comm->arg[1], comm->arg[2]);                        /* behind them, to the end */
    brk = bare_call(SYS_brk, comm->start_brk, 0, 0, 0);
    comm->zygote_result = brk;
    handle_signals();
    bare_call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0);
    bare_call(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0);
    answer(&comm->zygote_state);
    for (;;) {
        wait_for_request(&comm->zygote_state);
        if (comm->zygote_request == FUZZ_ZYGOTE_SPAWN)
            comm->zygote_result = fuzz_spawn(FUZZ_WORKER_STACK, worker_body);
        else if (comm->zygote_request == FUZZ_ZYGOTE_REAP)
            comm->zygote_result = reap();
        else
            bare_call(SYS_exit_group, 0, 0, 0, 0);
        answer(&comm->zygote_state);
    }
}

void fuzz_zygote_enter(void)
{
    fuzz_on_stack(FUZZ_ZYGOTE_STACK, zygote_body);
    __builtin_unreachable();
}
