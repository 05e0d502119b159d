/* SPDX-License-Identifier: MIT */
/*
 * vmflags.c - the two-letter names of area flags, as the VmFlags line of smaps has them.
 *
 * The order is the order of Linux's bits, which is not the order of ours: where a flag came later, Linux gave it a bit
 * that another had left, or one of the high ones. docs/limits.md says which names a running kernel has confirmed.
 */
#include "vmakit/report.h"

#include "base/base.h"

struct flag_name {
    vmk_vm_flags flag;
    char name[3];
    bool arm64; /* only there */
};

/* clang-format off */
static const struct flag_name names[] = {
    {VMK_VM_READ, "rd", false},         {VMK_VM_WRITE, "wr", false},       {VMK_VM_EXEC, "ex", false},
    {VMK_VM_SHARED, "sh", false},       {VMK_VM_MAYREAD, "mr", false},     {VMK_VM_MAYWRITE, "mw", false},
    {VMK_VM_MAYEXEC, "me", false},      {VMK_VM_MAYSHARE, "ms", false},    {VMK_VM_GROWSDOWN, "gd", false},
    {VMK_VM_UFFD_MISSING, "um", false}, {VMK_VM_PFNMAP, "pf", false},      {VMK_VM_GUARD_REGION, "gu", false},
    {VMK_VM_UFFD_WP, "uw", false},      {VMK_VM_LOCKED, "lo", false},      {VMK_VM_IO, "io", false},
    {VMK_VM_SEQ_READ, "sr", false},     {VMK_VM_RAND_READ, "rr", false},   {VMK_VM_DONTCOPY, "dc", false},
    {VMK_VM_DONTEXPAND, "de", false},   {VMK_VM_LOCKONFAULT, "lf", false}, {VMK_VM_ACCOUNT, "ac", false},
    {VMK_VM_NORESERVE, "nr", false},    {VMK_VM_HUGETLB, "ht", false},     {VMK_VM_SYNC, "sf", false},
    {VMK_VM_ARCH_PAT, "ar", false},     {VMK_VM_BTI, "bt", true},          {VMK_VM_WIPEONFORK, "wf", false},
    {VMK_VM_DONTDUMP, "dd", false},     {VMK_VM_SOFTDIRTY, "sd", false},   {VMK_VM_MIXEDMAP, "mm", false},
    {VMK_VM_HUGEPAGE, "hg", false},     {VMK_VM_NOHUGEPAGE, "nh", false},  {VMK_VM_MERGEABLE, "mg", false},
    {VMK_VM_MTE, "mt", true},           {VMK_VM_SHADOW_STACK, "ss", false}, {VMK_VM_DROPPABLE, "dp", false},
    {VMK_VM_UFFD_MINOR, "ui", false},   {VMK_VM_SEALED, "sl", false},
};
/* clang-format on */

size_t vmk_vmflags_text(const struct vmk_settings *settings, vmk_vm_flags flags, char *buffer, size_t size)
{
    size_t len = 0;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct flag_name *flag = &names[i];
        if ((flags & flag->flag) == 0 || (flag->arm64 && settings != NULL && settings->arch != VMK_ARCH_ARM64))
            continue;
        const char text[3] = {flag->name[0], flag->name[1], ' '};
        for (size_t j = 0; j < sizeof(text); j++, len++)
            if (len < size)
                buffer[len] = text[j];
    }
    if (size != 0)
        buffer[vmki_min(len, size - 1)] = '\0';
    return len;
}

#define PAIR(a, b) ((unsigned)(a) << 8 | (unsigned)(b))

/* A switch, since a tracer reads thousands of these lines: the compiler makes a search of it. 0 for an unknown name. */
static vmk_vm_flags flag_of(unsigned pair)
{
    /* clang-format off */
    switch (pair) {
    case PAIR('r', 'd'): return VMK_VM_READ;
    case PAIR('w', 'r'): return VMK_VM_WRITE;
    case PAIR('e', 'x'): return VMK_VM_EXEC;
    case PAIR('s', 'h'): return VMK_VM_SHARED;
    case PAIR('m', 'r'): return VMK_VM_MAYREAD;
    case PAIR('m', 'w'): return VMK_VM_MAYWRITE;
    case PAIR('m', 'e'): return VMK_VM_MAYEXEC;
    case PAIR('m', 's'): return VMK_VM_MAYSHARE;
    case PAIR('a', 'c'): return VMK_VM_ACCOUNT;
    default: break;
    }
    /* clang-format on */
    for (size_t i = 8; i < sizeof(names) / sizeof(names[0]); i++)
        if (PAIR(names[i].name[0], names[i].name[1]) == pair)
            return names[i].flag;
    return 0;
}

int vmk_vmflags_parse(const char *text, vmk_vm_flags *flags, const char **bad)
{
    vmk_vm_flags found = 0;

    for (const char *p = text; *p != '\0' && *p != '\n';) {
        if (*p == ' ') {
            p++;
            continue;
        }
        vmk_vm_flags flag = p[1] == '\0' ? 0 : flag_of(PAIR((unsigned char)p[0], (unsigned char)p[1]));
        if (flag == 0 || (p[2] != ' ' && p[2] != '\0' && p[2] != '\n')) {
            if (bad != NULL)
                *bad = p;
            return -VMK_ERR_FORMAT;
        }
        found |= flag;
        p += 2;
    }
    *flags = found;
    return 0;
}
