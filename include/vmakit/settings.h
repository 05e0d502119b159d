/* SPDX-License-Identifier: MIT */
/*
 * settings.h - what differs between Linux versions, configurations, processors and machines: one table.
 *
 * A setting is a 64-bit number with a name. vmk_settings_init fills a set with the defaults of a version and an
 * architecture; change any of them before vmk_mm_create. Switches are 0 or 1. The last column says who judged the
 * behaviour that a setting stands for: K a running kernel (6.18, x86-64), M manual pages and release notes only.
 */
#ifndef VMAKIT_SETTINGS_H
#define VMAKIT_SETTINGS_H

#include "vmakit/types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VMK_LINUX_VERSION(major, minor) (((uint64_t)(major) << 16) | ((uint64_t)(minor) << 8))

enum vmk_arch { VMK_ARCH_X86_64 = 0, VMK_ARCH_ARM64 = 1 };

/* X(name, judged, meaning) */
#define VMK_SETTINGS(X)                                                                                                \
    X(linux_version, 'K', "VMK_LINUX_VERSION of the kernel whose rules apply; 6.1 and later")                          \
    X(arch, 'K', "enum vmk_arch")                                                                                      \
    X(page_shift, 'K', "12, 14 or 16: log2 of the page size")                                                          \
    X(pmd_shift, 'K', "log2 of the size that one entry of the second-lowest table maps (21 for 4 KiB pages)")          \
    X(va_bits, 'K', "width of a user address without asking for more (x86-64: 47)")                                    \
    X(va_bits_wide, 'M', "width that a hint above va_bits opens (x86-64 with LA57: 56); equal to va_bits for none")    \
    X(mmap_min_addr, 'K', "lowest address that may be mapped without privilege, in bytes")                             \
    X(lsm_min_addr, 'K', "where higher: the same for hints, searches and stacks (CONFIG_LSM_MMAP_MIN_ADDR); else 0")   \
    X(stack_guard_gap, 'K', "pages kept free below an area that grows down")                                           \
    X(map_32bit, 'K', "MAP_32BIT places in the second GiB (x86-64); ignored otherwise")                                \
    X(unlimited_stack_legacy, 'K', "an unlimited RLIMIT_STACK gives the bottom-up layout (arm64)")                     \
    X(mmap_rnd_bits, 'M', "random bits of mmap_base, in pages, when the layout is randomised")                         \
    X(stack_rnd_pages, 'K', "pages by which the stack top may be lowered at random; also widens mmap_base's gap")      \
    X(brk_rnd_bytes, 'K', "bytes by which the heap may start later at random (x86-64: more since 6.9)")                \
    X(thp, 'K', "transparent huge pages: 0 never or not built, 1 madvise, 2 always")                                   \
    X(thp_built, 'K', "MADV_HUGEPAGE is known (CONFIG_TRANSPARENT_HUGEPAGE)")                                          \
    X(thp_align_anon, 'K', "anonymous maps of a multiple of the huge size are aligned to it (6.7)")                    \
    X(thp_align_file, 'K', "file maps of a file with VMK_FILE_THP_ALIGN are aligned to the huge size")                 \
    X(map_stack_nohuge, 'K', "MAP_STACK sets NOHUGEPAGE (6.7)")                                                        \
    X(soft_dirty, 'M', "new areas are SOFTDIRTY (CONFIG_MEM_SOFT_DIRTY)")                                              \
    X(anon_vma_name, 'M', "PR_SET_VMA_ANON_NAME is known (CONFIG_ANON_VMA_NAME)")                                      \
    X(ksm, 'K', "MADV_MERGEABLE is known (CONFIG_KSM)")                                                                \
    X(userfaultfd, 'K', "userfaultfd is known (CONFIG_USERFAULTFD)")                                                   \
    X(uffd_wp, 'K', "write-protect tracking on anonymous memory")                                                      \
    X(uffd_minor, 'K', "minor faults on shared memory and hugetlb")                                                    \
    X(memory_failure, 'K', "MADV_HWPOISON and SOFT_OFFLINE are known (CONFIG_MEMORY_FAILURE)")                         \
    X(hugetlb, 'K', "MAP_HUGETLB is known (CONFIG_HUGETLBFS)")                                                         \
    X(hugetlb_sizes, 'K', "bit n set: huge pages of 2^n bytes exist")                                                  \
    X(hugetlb_default_shift, 'K', "log2 of the default huge page size")                                                \
    X(nr_nodes, 'K', "memory nodes for mbind; 0: built without NUMA (ENOSYS in Linux)")                                \
    X(nr_pkeys, 'M', "protection keys of the processor; 0 for none, 16 on x86-64, 8 on arm64 with POE")                \
    X(shadow_stack, 'M', "the processor has user shadow stacks")                                                       \
    X(bti, 'M', "PROT_BTI is accepted (arm64)")                                                                        \
    X(mte, 'M', "PROT_MTE is accepted (arm64)")                                                                        \
    X(write_implies_read, 'K', "writable memory can be read")                                                          \
    X(exec_implies_read, 'K', "executable memory can be read (no EPAN, no protection key)")                            \
    X(mseal, 'K', "mseal is known (6.10)")                                                                             \
    X(seal_system, 'K', "vdso, vvar and the like are born sealed (6.16 with MSEAL_SYSTEM_MAPPINGS)")                   \
    X(droppable, 'K', "MAP_DROPPABLE is known (6.11)")                                                                 \
    X(guard_regions, 'K', "MADV_GUARD_INSTALL is known on private anonymous memory (6.13)")                            \
    X(guard_files, 'K', "guard regions work on file mappings too (6.15)")                                              \
    X(mremap_several, 'K', "a MREMAP_FIXED move may span several areas (6.17)")                                        \
    X(dontunmap_resets_pgoff, 'K', "MREMAP_DONTUNMAP of a whole anonymous area gives the source its own pgoff again")  \
    X(dontunmap_shared, 'K', "MREMAP_DONTUNMAP works on shared memory (5.13)")                                         \
    X(process_madvise_self, 'K', "process_madvise of oneself accepts every advice (6.13)")                             \
    X(mdwe, 'K', "PR_SET_MDWE is known (6.3)")                                                                         \
    X(overcommit_guess_one, 'K', "overcommit mode 0 refuses only what exceeds all memory and swap in one call (5.x)")  \
    X(enforce_limits, 'K',                                                                                             \
      "0 switches RLIMIT_*, max_map_count and the commit charge of areas off, for comparisons only")

struct vmk_settings {
#define VMK_SETTING_FIELD(name, judged, meaning) uint64_t name;
    VMK_SETTINGS(VMK_SETTING_FIELD)
#undef VMK_SETTING_FIELD
};

/* One row of the table above. */
struct vmk_setting_info {
    const char *name;
    const char *meaning;
    size_t offset; /* of its uint64_t in struct vmk_settings */
    char judged;   /* 'K' or 'M' */
};

/* Fills in the defaults of a Linux version (VMK_LINUX_VERSION) on an architecture with 4 KiB pages. */
VMK_API void vmk_settings_init(struct vmk_settings *settings, uint64_t linux_version, enum vmk_arch arch);
/* Changes the page size and all that follows from it (pmd_shift, huge sizes). VMK_EINVAL negative: not 12, 14 or 16. */
VMK_API int vmk_settings_set_page_shift(struct vmk_settings *settings, unsigned page_shift);
/* NULL when every value is usable, else the name of the first that is not. */
VMK_API const char *vmk_settings_check(const struct vmk_settings *settings);
/* Row i of the table; NULL past the last. */
VMK_API const struct vmk_setting_info *vmk_setting_at(size_t i);
/* By name: -VMK_ENOENT when there is none of that name. */
VMK_API int vmk_settings_set(struct vmk_settings *settings, const char *name, uint64_t value);
VMK_API int vmk_settings_get(const struct vmk_settings *settings, const char *name, uint64_t *value);

#ifdef __cplusplus
}
#endif

#endif
