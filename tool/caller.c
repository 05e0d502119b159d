/* SPDX-License-Identifier: MIT */
#include "caller.h"

#include <string.h>

enum { WORDS = 16, LONGEST_CALL = 7 }; /* mremap keeps 11 words below its return address */

struct caller_place caller_place_of(struct vmk_mm *mm, uint64_t address)
{
    struct vmk_vma_info info = {.size = sizeof(info)};
    if (vmk_mm_lookup(mm, address, &info) != 0)
        return (struct caller_place){"[no area]", address};
    if (info.file == NULL)
        return (struct caller_place){info.is_special ? "[kernel's own]" : "[anonymous]", address - info.start};
    const char *name = vmk_file_name(info.file);
    return (struct caller_place){name != NULL ? name : "[no name]",
                                 address - info.start + (info.pgoff << vmk_mm_settings(mm)->page_shift)};
}

bool caller_is_libc(const char *name)
{
    static const char *const beginnings[] = {"libc.so", "libc-", "ld-linux", "ld-musl", "ld-", "libpthread"};
    const char *slash = strrchr(name, '/');
    const char *base = slash != NULL ? slash + 1 : name;
    for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++)
        if (strncmp(base, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    return false;
}

/* Do the bytes end with x86-64's call? e8 and four bytes; or ff /2 with its address, of 2, 3, 4, 6 or 7 bytes. */
static bool ends_with_x86_call(const unsigned char *bytes)
{
    static const int lengths[] = {2, 3, 4, 6, 7};
    if (bytes[LONGEST_CALL - 5] == 0xe8)
        return true;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        const unsigned char *at = bytes + LONGEST_CALL - lengths[i];
        if (at[0] == 0xff && (at[1] >> 3 & 7) == 2)
            return true;
    }
    return false;
}

/* With arm64's bl or blr? */
static bool ends_with_arm64_call(const unsigned char *bytes)
{
    const unsigned char *at = bytes + LONGEST_CALL - 4;
    uint32_t instruction = at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
    return (instruction & 0xfc000000) == 0x94000000 || (instruction & 0xfffffc1f) == 0xd63f0000;
}

static bool ends_with_call(const struct vmk_mm *mm, const unsigned char *bytes)
{
    return vmk_mm_settings(mm)->arch == VMK_ARCH_ARM64 ? ends_with_arm64_call(bytes) : ends_with_x86_call(bytes);
}

static bool is_return_address(struct vmk_mm *mm, uint64_t address, caller_read_fn *read, void *context)
{
    unsigned char before[LONGEST_CALL];
    return address > LONGEST_CALL && vmk_mm_check_access(mm, address, VMK_ACCESS_EXEC) == 0 &&
           read(context, address - LONGEST_CALL, before, sizeof(before)) && ends_with_call(mm, before);
}

struct caller caller_find(struct vmk_mm *mm, uint64_t ip, uint64_t sp, caller_read_fn *read, void *context)
{
    struct caller caller = {.ip = ip};
    uint64_t words[WORDS];
    if (!caller_is_libc(caller_place_of(mm, ip).name) || !read(context, sp, words, sizeof(words)))
        return caller;
    for (int i = 0; i < WORDS && caller.from == 0; i++)
        if (is_return_address(mm, words[i], read, context))
            caller.from = words[i];
    return caller;
}
