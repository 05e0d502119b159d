/* SPDX-License-Identifier: MIT */
/*
 * trace_x86_64.c - what tracing needs to know of x86-64. The arguments of a call come from PTRACE_GET_SYSCALL_INFO. Whether
 * a fault that ended in a signal was a write is told by the instruction alone: the kernel's error code is not shown.
 */
#include "trace.h"

#if defined(__x86_64__)

#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>

/* Is a byte among those of a text? */
static bool is_among(uint8_t byte, const char *set, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((uint8_t)set[i] == byte)
            return true;
    return false;
}
#define IS_AMONG(byte, set) is_among(byte, set, sizeof(set) - 1)

/* Opcodes with a memory operand as their destination; `reg` is the field of the ModRM byte that tells some apart. */
static bool one_byte_stores(uint8_t opcode, unsigned reg)
{
    if (opcode < 0x38)
        return (opcode & 7) < 2; /* add or adc sbb and sub xor */
    if (opcode >= 0x80 && opcode <= 0x83)
        return reg != 7; /* all but cmp */
    if (opcode == 0xf6 || opcode == 0xf7)
        return reg == 2 || reg == 3; /* not neg */
    if (opcode == 0xfe || opcode == 0xff)
        return reg < 2 || (opcode == 0xff && (reg == 2 || reg == 6)); /* inc dec; call and push, to the stack */
    /* push, call; xchg, mov, movs, stos; shifts */
    return IS_AMONG(opcode, "\x50\x51\x52\x53\x54\x55\x56\x57\x68\x6a\xe8\x86\x87\x88\x89\xa4\xa5\xaa\xab\xc6\xc7"
                            "\xc0\xc1\xd0\xd1\xd2\xd3");
}

static bool two_byte_stores(uint8_t opcode)
{
    if (opcode >= 0x90 && opcode <= 0x9f)
        return true; /* setcc */
    /* vector moves; bts btr btc, shld shrd, cmpxchg, xadd, movnti */
    return IS_AMONG(opcode, "\x11\x13\x17\x29\x2b\x7e\x7f\xd6\xe7\xab\xb3\xbb\xa4\xa5\xac\xad\xb0\xb1\xc0\xc1\xc3\xc7");
}

static bool instruction_stores(const uint8_t *at)
{
    while (IS_AMONG(*at, "\x66\x67\xf2\xf3\xf0\x2e\x36\x3e\x26\x64\x65"))
        at++;
    if ((*at & 0xf0) == 0x40) /* REX */
        at++;
    if (*at == 0x0f)
        return two_byte_stores(at[1]);
    if (*at == 0xc5) /* VEX of two and of three bytes */
        return two_byte_stores(at[2]);
    if (*at == 0xc4)
        return (at[1] & 0x1f) == 1 && two_byte_stores(at[3]);
    return one_byte_stores(*at, at[1] >> 3 & 7);
}

static unsigned access_of(const struct trace_task *task, vmk_addr address)
{
    uint8_t bytes[32] = {0}; /* an instruction has at most 15; what cannot be read is zero */
    uint64_t at = (uint64_t)ptrace(PTRACE_PEEKUSER, task->tid, offsetof(struct user_regs_struct, rip), 0);
    size_t in_page = 4096 - (size_t)(at & 4095);

    if (address - at < 15)
        return VMK_ACCESS_EXEC; /* the instruction itself */
    if (!trace_read_memory(task, at, bytes, in_page < 16 ? in_page : 16))
        return VMK_ACCESS_READ;
    return instruction_stores(bytes) ? VMK_ACCESS_WRITE : VMK_ACCESS_READ;
}

const struct trace_arch trace_arch_native = {
    .audit_arch = AUDIT_ARCH_X86_64,
    .name = "x86-64",
    .numbers =
        {
            {TRACE_CALL_PROCESS_MADVISE, 440},
            {TRACE_CALL_SET_MEMPOLICY_HOME_NODE, 450},
            {TRACE_CALL_MAP_SHADOW_STACK, 453},
            {TRACE_CALL_MSEAL, 462},
            {TRACE_CALL_NONE, 0},
        },
    .access_of = access_of,
};

/* syscall */
const unsigned char trace_call_instruction[] = {0x0f, 0x05};
const size_t trace_call_instruction_len = sizeof(trace_call_instruction);

uint64_t trace_regs_pc(const struct trace_regs *regs)
{
    return regs->native.rip;
}

void trace_regs_set_pc(struct trace_regs *regs, uint64_t pc)
{
    regs->native.rip = pc;
}

uint64_t trace_regs_sp(const struct trace_regs *regs)
{
    return regs->native.rsp;
}

void trace_regs_set_sp(struct trace_regs *regs, uint64_t sp)
{
    regs->native.rsp = sp;
}

void trace_regs_begin_call(struct trace_regs *regs, int64_t number, const uint64_t args[6])
{
    regs->native.rax = (uint64_t)number;
    regs->native.orig_rax = UINT64_MAX; /* nothing to restart */
    regs->native.rdi = args[0];
    regs->native.rsi = args[1];
    regs->native.rdx = args[2];
    regs->native.r10 = args[3];
    regs->native.r8 = args[4];
    regs->native.r9 = args[5];
}

int64_t trace_regs_result(const struct trace_regs *regs)
{
    return (int64_t)regs->native.rax;
}

enum { CALL_INSTRUCTION_BYTES = 2 }; /* syscall: 0f 05 */

bool trace_regs_read(pid_t tid, struct trace_regs *regs)
{
    return ptrace(PTRACE_GETREGS, tid, NULL, &regs->native) == 0;
}

bool trace_regs_write(pid_t tid, const struct trace_regs *regs)
{
    return ptrace(PTRACE_SETREGS, tid, NULL, &regs->native) == 0;
}

const bool trace_argument_survives = true;

void trace_regs_set_argument(struct trace_regs *regs, unsigned index, uint64_t value)
{
    struct user_regs_struct *native = &regs->native;
    unsigned long long *const arguments[] = {&native->rdi, &native->rsi, &native->rdx,
                                             &native->r10, &native->r8,  &native->r9};
    *arguments[index] = value;
}

void trace_regs_set_call(struct trace_regs *regs, long number)
{
    regs->native.orig_rax = (unsigned long long)number;
}

void trace_regs_set_result(struct trace_regs *regs, int64_t value)
{
    regs->native.rax = (unsigned long long)value;
}

/* Between calls there is no number of one: a signal must not try to restart it. */
void trace_regs_rewind(struct trace_regs *regs)
{
    regs->native.rip -= CALL_INSTRUCTION_BYTES;
    regs->native.rax = regs->native.orig_rax;
    regs->native.orig_rax = (unsigned long long)-1;
}

#else
typedef int trace_not_x86_64;
#endif
