/* SPDX-License-Identifier: MIT */
/*
 * flags.h - the constants of the memory calls.
 *
 * VMK_PROT_*, VMK_MAP_*, VMK_MADV_*, VMK_MREMAP_*, VMK_MS_*, VMK_MCL_* and VMK_MLOCK_* have the values of the Linux ABI
 * (x86-64 and arm64 agree on all of them, but for VMK_MAP_32BIT, which only x86-64 has).
 * VMK_VM_* up to bit 31 have the values that kernel texts teach; flags that came later take bits of our own above 31,
 * since Linux numbers those by configuration. /proc's two-letter names are in vmakit/report.h.
 */
#ifndef VMAKIT_FLAGS_H
#define VMAKIT_FLAGS_H

#include "vmakit/types.h"

/* ---- Protection: mmap(2), mprotect(2), pkey_mprotect(2) ---- */
#define VMK_PROT_NONE      0x0u
#define VMK_PROT_READ      0x1u
#define VMK_PROT_WRITE     0x2u
#define VMK_PROT_EXEC      0x4u
#define VMK_PROT_SEM       0x8u  /* accepted, no effect */
#define VMK_PROT_BTI       0x10u /* arm64 */
#define VMK_PROT_MTE       0x20u /* arm64 */
#define VMK_PROT_GROWSDOWN 0x01000000u
#define VMK_PROT_GROWSUP   0x02000000u

/* ---- mmap(2) ---- */
#define VMK_MAP_SHARED          0x01u
#define VMK_MAP_PRIVATE         0x02u
#define VMK_MAP_SHARED_VALIDATE 0x03u
#define VMK_MAP_DROPPABLE       0x08u
#define VMK_MAP_TYPE            0x0fu
#define VMK_MAP_FIXED           0x10u
#define VMK_MAP_ANONYMOUS       0x20u
#define VMK_MAP_32BIT           0x40u
#define VMK_MAP_ABOVE4G         0x80u
#define VMK_MAP_GROWSDOWN       0x0100u
#define VMK_MAP_DENYWRITE       0x0800u
#define VMK_MAP_EXECUTABLE      0x1000u
#define VMK_MAP_LOCKED          0x2000u
#define VMK_MAP_NORESERVE       0x4000u
#define VMK_MAP_POPULATE        0x8000u
#define VMK_MAP_NONBLOCK        0x10000u
#define VMK_MAP_STACK           0x20000u
#define VMK_MAP_HUGETLB         0x40000u
#define VMK_MAP_SYNC            0x80000u
#define VMK_MAP_FIXED_NOREPLACE 0x100000u
#define VMK_MAP_UNINITIALIZED   0x4000000u
#define VMK_MAP_HUGE_SHIFT      26
#define VMK_MAP_HUGE_MASK       0x3fu

/* ---- mremap(2) ---- */
#define VMK_MREMAP_MAYMOVE   1u
#define VMK_MREMAP_FIXED     2u
#define VMK_MREMAP_DONTUNMAP 4u

/* ---- msync(2), mlock2(2), mlockall(2), remap_file_pages(2) ---- */
#define VMK_MS_ASYNC      1u
#define VMK_MS_INVALIDATE 2u
#define VMK_MS_SYNC       4u
#define VMK_MLOCK_ONFAULT 1u
#define VMK_MCL_CURRENT   1u
#define VMK_MCL_FUTURE    2u
#define VMK_MCL_ONFAULT   4u

/* ---- shmat(2) ---- */
#define VMK_SHM_RDONLY 010000u
#define VMK_SHM_RND    020000u
#define VMK_SHM_REMAP  040000u
#define VMK_SHM_EXEC   0100000u

/* ---- madvise(2), process_madvise(2), as of Linux 6.18 ---- */
#define VMK_MADV_NORMAL          0
#define VMK_MADV_RANDOM          1
#define VMK_MADV_SEQUENTIAL      2
#define VMK_MADV_WILLNEED        3
#define VMK_MADV_DONTNEED        4
#define VMK_MADV_FREE            8
#define VMK_MADV_REMOVE          9
#define VMK_MADV_DONTFORK        10
#define VMK_MADV_DOFORK          11
#define VMK_MADV_MERGEABLE       12
#define VMK_MADV_UNMERGEABLE     13
#define VMK_MADV_HUGEPAGE        14
#define VMK_MADV_NOHUGEPAGE      15
#define VMK_MADV_DONTDUMP        16
#define VMK_MADV_DODUMP          17
#define VMK_MADV_WIPEONFORK      18
#define VMK_MADV_KEEPONFORK      19
#define VMK_MADV_COLD            20
#define VMK_MADV_PAGEOUT         21
#define VMK_MADV_POPULATE_READ   22
#define VMK_MADV_POPULATE_WRITE  23
#define VMK_MADV_DONTNEED_LOCKED 24
#define VMK_MADV_COLLAPSE        25
#define VMK_MADV_HWPOISON        100
#define VMK_MADV_SOFT_OFFLINE    101
#define VMK_MADV_GUARD_INSTALL   102
#define VMK_MADV_GUARD_REMOVE    103

/* ---- mbind(2), set_mempolicy(2) ---- */
#define VMK_MPOL_DEFAULT             0
#define VMK_MPOL_PREFERRED           1
#define VMK_MPOL_BIND                2
#define VMK_MPOL_INTERLEAVE          3
#define VMK_MPOL_LOCAL               4
#define VMK_MPOL_PREFERRED_MANY      5
#define VMK_MPOL_WEIGHTED_INTERLEAVE 6
#define VMK_MPOL_F_NUMA_BALANCING    (1u << 13)
#define VMK_MPOL_F_RELATIVE_NODES    (1u << 14)
#define VMK_MPOL_F_STATIC_NODES      (1u << 15)
#define VMK_MPOL_MF_STRICT           1u
#define VMK_MPOL_MF_MOVE             2u
#define VMK_MPOL_MF_MOVE_ALL         4u

/* ---- personality(2), prctl(2) ---- */
#define VMK_ADDR_NO_RANDOMIZE          0x0040000u
#define VMK_MMAP_PAGE_ZERO             0x0100000u
#define VMK_ADDR_COMPAT_LAYOUT         0x0200000u
#define VMK_READ_IMPLIES_EXEC          0x0400000u
#define VMK_MDWE_REFUSE_EXEC_GAIN      1u
#define VMK_MDWE_NO_INHERIT            2u
#define VMK_THP_DISABLE_EXCEPT_ADVISED 3u /* as PR_GET_THP_DISABLE shows it; Linux 6.18 */

/* ---- Area flags (vm_flags) ---- */
#define VMK_VM_FLAG(bit) (UINT64_C(1) << (bit))

#define VMK_VM_NONE            UINT64_C(0)
#define VMK_VM_READ            UINT64_C(0x1)
#define VMK_VM_WRITE           UINT64_C(0x2)
#define VMK_VM_EXEC            UINT64_C(0x4)
#define VMK_VM_SHARED          UINT64_C(0x8)
#define VMK_VM_MAYREAD         UINT64_C(0x10) /* mprotect may set READ; WRITE, EXEC and SHARED likewise */
#define VMK_VM_MAYWRITE        UINT64_C(0x20)
#define VMK_VM_MAYEXEC         UINT64_C(0x40)
#define VMK_VM_MAYSHARE        UINT64_C(0x80)
#define VMK_VM_GROWSDOWN       UINT64_C(0x100)  /* a stack: grows at a fault below it */
#define VMK_VM_GROWSUP         UINT64_C(0x200)  /* no supported architecture grows upwards */
#define VMK_VM_SHM             UINT64_C(0x400)  /* retired by Linux: stored, never set, no effect */
#define VMK_VM_DENYWRITE       UINT64_C(0x800)  /* retired: MAP_DENYWRITE is ignored */
#define VMK_VM_EXECUTABLE      UINT64_C(0x1000) /* retired: MAP_EXECUTABLE is ignored */
#define VMK_VM_LOCKED          UINT64_C(0x2000)
#define VMK_VM_IO              UINT64_C(0x4000)
#define VMK_VM_SEQ_READ        UINT64_C(0x8000)
#define VMK_VM_RAND_READ       UINT64_C(0x10000)
#define VMK_VM_DONTCOPY        UINT64_C(0x20000)
#define VMK_VM_DONTEXPAND      UINT64_C(0x40000)
#define VMK_VM_RESERVED        UINT64_C(0x80000)  /* retired: split into DONTEXPAND and DONTDUMP */
#define VMK_VM_ACCOUNT         UINT64_C(0x100000) /* charged to the commit limit */
#define VMK_VM_HUGETLB         UINT64_C(0x400000)
#define VMK_VM_NONLINEAR       UINT64_C(0x800000) /* retired: remap_file_pages makes an area of its own */
#define VMK_VM_MIXEDMAP        UINT64_C(0x1000000)
#define VMK_VM_SAO             UINT64_C(0x2000000) /* powerpc only: stored, no effect */
#define VMK_VM_PFNMAP          UINT64_C(0x4000000)
#define VMK_VM_LOCKONFAULT     UINT64_C(0x8000000)
#define VMK_VM_WIPEONFORK      UINT64_C(0x10000000)
#define VMK_VM_DONTDUMP        UINT64_C(0x20000000)
#define VMK_VM_SOFTDIRTY       UINT64_C(0x40000000)
#define VMK_VM_HUGEPAGE        UINT64_C(0x80000000)
#define VMK_VM_NORESERVE       VMK_VM_FLAG(32)
#define VMK_VM_NOHUGEPAGE      VMK_VM_FLAG(33)
#define VMK_VM_MERGEABLE       VMK_VM_FLAG(34)
#define VMK_VM_UFFD_MISSING    VMK_VM_FLAG(35)
#define VMK_VM_UFFD_WP         VMK_VM_FLAG(36)
#define VMK_VM_UFFD_MINOR      VMK_VM_FLAG(37)
#define VMK_VM_SYNC            VMK_VM_FLAG(38)
#define VMK_VM_DROPPABLE       VMK_VM_FLAG(39)
#define VMK_VM_SEALED          VMK_VM_FLAG(40)
#define VMK_VM_SHADOW_STACK    VMK_VM_FLAG(41)
#define VMK_VM_MTE             VMK_VM_FLAG(42)
#define VMK_VM_MTE_ALLOWED     VMK_VM_FLAG(43)
#define VMK_VM_BTI             VMK_VM_FLAG(44)
#define VMK_VM_ARCH_PAT        VMK_VM_FLAG(45) /* x86-64: memory type recorded for a PFN mapping */
#define VMK_VM_PKEY_SHIFT      46
#define VMK_VM_PKEY_MASK       (UINT64_C(0xf) << VMK_VM_PKEY_SHIFT)
#define VMK_VM_GUARD_REGION    VMK_VM_FLAG(50) /* guard pages were installed; excluded from the merge identity */
#define VMK_VM_ARM64_SPECIFIC  VMK_VM_FLAG(51) /* asks a port for ARM64-specific fault handling */
#define VMK_VM_RK3588_SPECIFIC VMK_VM_FLAG(52) /* asks a board for RK3588-specific fault handling */

#define VMK_VM_ACCESS      (VMK_VM_READ | VMK_VM_WRITE | VMK_VM_EXEC)
#define VMK_VM_MAY_ACCESS  (VMK_VM_MAYREAD | VMK_VM_MAYWRITE | VMK_VM_MAYEXEC)
#define VMK_VM_STACK       VMK_VM_GROWSDOWN
#define VMK_VM_LOCKED_MASK (VMK_VM_LOCKED | VMK_VM_LOCKONFAULT)
#define VMK_VM_SPECIAL     (VMK_VM_IO | VMK_VM_DONTEXPAND | VMK_VM_PFNMAP | VMK_VM_MIXEDMAP)
#define VMK_VM_UFFD        (VMK_VM_UFFD_MISSING | VMK_VM_UFFD_WP | VMK_VM_UFFD_MINOR)

/* ---- Errors: Linux's values ---- */
#define VMK_EPERM      1
#define VMK_ENOENT     2
#define VMK_ESRCH      3
#define VMK_EINTR      4
#define VMK_EIO        5
#define VMK_E2BIG      7
#define VMK_ENOEXEC    8
#define VMK_EBADF      9
#define VMK_EAGAIN     11
#define VMK_ENOMEM     12
#define VMK_EACCES     13
#define VMK_EFAULT     14
#define VMK_EBUSY      16
#define VMK_EEXIST     17
#define VMK_ENODEV     19
#define VMK_EINVAL     22
#define VMK_EFBIG      27
#define VMK_ENOSPC     28
#define VMK_ENOSYS     38
#define VMK_EIDRM      43
#define VMK_EOVERFLOW  75
#define VMK_EOPNOTSUPP 95
#define VMK_EHWPOISON  133

/* ---- Errors of our own: never Linux's, so that a caller can tell them apart ---- */
#define VMK_ERR_UNSUPPORTED 4097 /* Linux does this, this library does not: docs/limits.md */
#define VMK_ERR_HOST_NOMEM  4098 /* the embedder's allocator returned NULL; Linux would say ENOMEM */
#define VMK_ERR_MISUSE      4099 /* the embedder broke the API's rules (a NULL, a size, a reserved bit) */
#define VMK_ERR_FORMAT      4100 /* a saved state or a map that cannot be read */
#define VMK_ERR_UNKNOWN     4101 /* the answer depends on history that an imported space does not have */

#endif
