/* SPDX-License-Identifier: MIT */
/*
 * trace_filter.c - the seccomp filter: which calls of the program stop it. Every other call costs a fraction of a
 * microsecond. Calls with many uses (prctl, ioctl, arch_prctl) stop only for the arguments that concern memory.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "trace.h"

#if VMAKIT_HAVE_SECCOMP

#include <seccomp.h>

struct rule_argument {
    enum trace_call_kind kind;
    unsigned argument;
    uint32_t value;
    unsigned zero; /* another argument that must be 0, if not 0 itself */
};

/* A call that stands here stops only with one of these arguments. */
static const struct rule_argument rule_arguments[] = {
    {TRACE_CALL_PRCTL, 0, 35, 0},          /* PR_SET_MM */
    {TRACE_CALL_PRCTL, 0, 41, 0},          /* PR_SET_THP_DISABLE */
    {TRACE_CALL_PRCTL, 0, 65, 0},          /* PR_SET_MDWE */
    {TRACE_CALL_PRCTL, 0, 67, 0},          /* PR_SET_MEMORY_MERGE */
    {TRACE_CALL_PRCTL, 0, 0x53564d41, 0},  /* PR_SET_VMA */
    {TRACE_CALL_ARCH_PRCTL, 0, 0x2001, 0}, /* ARCH_MAP_VDSO_X32, _32, _64 */
    {TRACE_CALL_ARCH_PRCTL, 0, 0x2002, 0}, /* */
    {TRACE_CALL_ARCH_PRCTL, 0, 0x2003, 0}, /* */
    {TRACE_CALL_ARCH_PRCTL, 0, 0x5001, 0}, /* ARCH_SHSTK_ENABLE */
    {TRACE_CALL_IOCTL, 1, 0xc018aa3f, 0},  /* UFFDIO_API */
    {TRACE_CALL_IOCTL, 1, 0xc020aa00, 0},  /* UFFDIO_REGISTER */
    {TRACE_CALL_IOCTL, 1, 0x8010aa01, 0},  /* UFFDIO_UNREGISTER */
    {TRACE_CALL_LSEEK, 2, 0, 1},           /* SEEK_SET to 0 */
    {TRACE_CALL_PREAD64, 3, 0, 0},         /* at the beginning */
};

static int number_of(enum trace_call_kind kind)
{
    int number = seccomp_syscall_resolve_name(trace_call_name(kind));
    if (number >= 0)
        return number;
    for (size_t i = 0; trace_arch_native.numbers[i].number != 0; i++)
        if (trace_arch_native.numbers[i].kind == kind)
            return trace_arch_native.numbers[i].number;
    return -1; /* not a call of this architecture */
}

static int add_rules(scmp_filter_ctx filter, enum trace_call_kind kind)
{
    int number = number_of(kind);
    if (number < 0)
        return 0;
    uint32_t action = SCMP_ACT_TRACE((unsigned)kind);
    bool conditional = false;
    for (size_t i = 0; i < sizeof(rule_arguments) / sizeof(rule_arguments[0]); i++) {
        const struct rule_argument *rule = &rule_arguments[i];
        if (rule->kind != kind)
            continue;
        conditional = true;
        struct scmp_arg_cmp compare[] = {
            {.arg = rule->argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = UINT32_MAX, .datum_b = rule->value},
            {.arg = rule->zero, .op = SCMP_CMP_EQ, .datum_a = 0},
        };
        int error = seccomp_rule_add_array(filter, action, number, rule->zero != 0 ? 2 : 1, compare);
        if (error != 0 && error != -EEXIST)
            return error;
    }
    return conditional ? 0 : seccomp_rule_add_array(filter, action, number, 0, NULL);
}

/* Calls that say what the limits are, or read what says how the areas are: the program of run sees the engine's. */
static bool is_wanted(enum trace_call_kind kind, unsigned what)
{
    if (trace_access_is(kind))
        return (what & TRACE_FILTER_ACCESSES) != 0;
    if (kind >= TRACE_CALL_OPEN && kind <= TRACE_CALL_PREAD64)
        return (what & TRACE_FILTER_OPENS) != 0;
    return kind < TRACE_CALL_GETRLIMIT || (what & TRACE_FILTER_RUN) != 0;
}

int trace_filter_load(unsigned what, bool *gave_up_privileges)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (filter == NULL)
        return -ENOMEM;
    int error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_TRACE((unsigned)TRACE_CALL_FOREIGN));
    for (int kind = TRACE_CALL_NONE + 1; error == 0 && kind < TRACE_CALL_FOREIGN; kind++)
        if (is_wanted((enum trace_call_kind)kind, what))
            error = add_rules(filter, (enum trace_call_kind)kind);
    /* With the right to do so the filter comes without no_new_privs, which the program could see. */
    *gave_up_privileges = false;
    if (error == 0)
        error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
    if (error == 0) {
        error = seccomp_load(filter);
        if (error != 0) {
            *gave_up_privileges = true;
            error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 1);
            if (error == 0)
                error = seccomp_load(filter);
        }
    }
    seccomp_release(filter);
    return error;
}

#else

int trace_filter_load(unsigned what, bool *gave_up_privileges)
{
    (void)what;
    *gave_up_privileges = false;
    return -ENOSYS;
}

#endif
