/* SPDX-License-Identifier: MIT */
/*
 * calls.h - the memory calls ("verbs"), in one-call form.
 *
 *     int vmk_X(struct vmk_mm *mm, const struct vmk_X_request *request, struct vmk_result *result);
 *
 * Returns 0 or a negative error: Linux's own (-VMK_E*), in Linux's order of precedence, or one of ours (-VMK_ERR_*).
 * `result` may be NULL; otherwise it is always filled in. Takes mm.lock exclusively (mincore: shared). An error leaves the
 * address space as it was, except where Linux itself applies a part: result->done then says how far it came.
 * Addresses and lengths are in bytes and are taken as the system call would take them: any value is allowed.
 * plan.h has the same verbs in two phases.
 */
#ifndef VMAKIT_CALLS_H
#define VMAKIT_CALLS_H

#include "vmakit/mm.h"
#include "vmakit/types.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vmk_result {
    int error;      /* 0 or negative */
    uint64_t value; /* what the system call returns: an address (mmap, mremap, shmat; brk always), a count
                       (process_madvise, mincore); otherwise, and with an error of any but brk and mincore, 0 */
    uint64_t done;  /* bytes, from the start of the request, that a partly applied call has treated */
};

/* X(verb): every verb has struct vmk_<verb>_request, vmk_<verb> and vmk_<verb>_prepare. */
#define VMK_VERBS(X)                                                                                                   \
    X(mmap)                                                                                                            \
    X(munmap)                                                                                                          \
    X(mprotect)                                                                                                        \
    X(mremap)                                                                                                          \
    X(brk)                                                                                                             \
    X(madvise)                                                                                                         \
    X(mlock)                                                                                                           \
    X(munlock)                                                                                                         \
    X(mlockall)                                                                                                        \
    X(munlockall)                                                                                                      \
    X(mseal)                                                                                                           \
    X(msync)                                                                                                           \
    X(mincore)                                                                                                         \
    X(remap_file_pages)                                                                                                \
    X(shmat)                                                                                                           \
    X(shmdt)                                                                                                           \
    X(aio_setup)                                                                                                       \
    X(aio_destroy)                                                                                                     \
    X(mbind)                                                                                                           \
    X(set_mempolicy)                                                                                                   \
    X(name)                                                                                                            \
    X(set_mm)                                                                                                          \
    X(set_option)                                                                                                      \
    X(pkey)                                                                                                            \
    X(uffd)                                                                                                            \
    X(map_special)                                                                                                     \
    X(exec)

/* mmap(2). value: the address. */
struct vmk_mmap_request {
    vmk_addr address;
    uint64_t len;
    uint32_t prot;         /* VMK_PROT_* */
    uint32_t flags;        /* VMK_MAP_* */
    struct vmk_file *file; /* borrowed; NULL without one */
    int file_error;        /* deferred: -VMK_EBADF when the descriptor is not one; has its place in the order */
    uint64_t offset;       /* bytes */
};

/* munmap(2). */
struct vmk_munmap_request {
    vmk_addr address;
    uint64_t len;
};

/* mprotect(2), and pkey_mprotect(2) with pkey from 0 (-1 for mprotect). */
struct vmk_mprotect_request {
    vmk_addr address;
    uint64_t len;
    uint64_t prot;
    int pkey;
};

/* mremap(2). value: the address. */
struct vmk_mremap_request {
    vmk_addr old_address;
    uint64_t old_len, new_len;
    uint64_t flags;
    vmk_addr new_address;
};

/* brk(2). Never fails: value is the break after the call. result->error says why it did not move. */
struct vmk_brk_request {
    vmk_addr address;
};

/* madvise(2), and process_madvise(2) of one range of another process (remote) as the caller's loop sees it. */
struct vmk_madvise_request {
    vmk_addr address;
    uint64_t len;
    int advice;
    bool remote;
};

/* mlock(2) with flags 0, mlock2(2) otherwise. */
struct vmk_mlock_request {
    vmk_addr address;
    uint64_t len;
    uint32_t flags; /* VMK_MLOCK_ONFAULT */
};
struct vmk_munlock_request {
    vmk_addr address;
    uint64_t len;
};
struct vmk_mlockall_request {
    uint32_t flags; /* VMK_MCL_* */
};
struct vmk_munlockall_request {
    uint32_t reserved; /* 0 */
};

/* mseal(2). */
struct vmk_mseal_request {
    vmk_addr address;
    uint64_t len;
    uint64_t flags; /* 0 */
};

/* msync(2): the checks, and the object's hook for each area. */
struct vmk_msync_request {
    vmk_addr address;
    uint64_t len;
    uint32_t flags;
};

/* mincore(2): the checks; pages are the backend's. value: the number of pages that may be reported. */
struct vmk_mincore_request {
    vmk_addr address;
    uint64_t len;
};

/* remap_file_pages(2). */
struct vmk_remap_file_pages_request {
    vmk_addr address;
    uint64_t size;
    uint64_t prot; /* must be 0 */
    uint64_t pgoff;
    uint32_t flags;
};

/*
 * shmat(2): `file` is a new open file description of the segment, made by the embedder for this call, with VMK_FILE_READ
 * alone for VMK_SHM_RDONLY; `size` is the segment's size. Its vm_ops are set by the call unless it has some, which then
 * need a close hook, so that pieces never join. value: the address.
 */
struct vmk_shmat_request {
    struct vmk_file *file;
    uint64_t size;
    vmk_addr address;
    uint32_t flags; /* VMK_SHM_* */
};
/* shmdt(2). */
struct vmk_shmdt_request {
    vmk_addr address;
};

/*
 * The area of io_setup(2): `file` is the ring's own file, whose vm_ops the call sets; `len` the ring's length in bytes.
 * value: the context's address, which follows a move of the ring.
 */
struct vmk_aio_setup_request {
    struct vmk_file *file;
    uint64_t len;
};
struct vmk_aio_destroy_request {
    vmk_addr context;
};

/* mbind(2) and set_mempolicy(2), as far as areas go. Node masks: one 64-bit word, bit n for node n. */
struct vmk_mbind_request {
    vmk_addr address;
    uint64_t len;
    uint32_t mode; /* VMK_MPOL_*, with VMK_MPOL_F_* */
    uint64_t nodes;
    uint64_t max_node; /* as the system call takes it */
    uint32_t flags;    /* VMK_MPOL_MF_* */
};
struct vmk_set_mempolicy_request {
    uint32_t mode;
    uint64_t nodes;
    uint64_t max_node;
};

/* prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME): `text` NULL removes the name. */
struct vmk_name_request {
    vmk_addr address;
    uint64_t len;
    const char *text;
};

/* prctl(PR_SET_MM, which, value). */
enum vmk_mm_field {
    VMK_MM_START_CODE = 1,
    VMK_MM_END_CODE = 2,
    VMK_MM_START_DATA = 3,
    VMK_MM_END_DATA = 4,
    VMK_MM_START_STACK = 5,
    VMK_MM_START_BRK = 6,
    VMK_MM_BRK = 7,
    VMK_MM_ARG_START = 8,
    VMK_MM_ARG_END = 9,
    VMK_MM_ENV_START = 10,
    VMK_MM_ENV_END = 11
};
struct vmk_set_mm_request {
    int field;
    uint64_t value;
};

/* Options of a whole address space, from prctl(2) and personality(2). */
enum vmk_option {
    VMK_OPTION_THP_DISABLE,  /* PR_SET_THP_DISABLE: 0, 1 or VMK_THP_DISABLE_EXCEPT_ADVISED */
    VMK_OPTION_MDWE,         /* PR_SET_MDWE: VMK_MDWE_* */
    VMK_OPTION_MEMORY_MERGE, /* PR_SET_MEMORY_MERGE: 0 or 1 */
    VMK_OPTION_PERSONALITY   /* VMK_READ_IMPLIES_EXEC, ... */
};
struct vmk_set_option_request {
    enum vmk_option option;
    uint64_t value;
};

/* pkey_alloc(2) (value: the key) and pkey_free(2). */
struct vmk_pkey_request {
    bool free;
    int pkey;        /* to free */
    uint64_t flags;  /* alloc: 0 */
    uint64_t rights; /* alloc: 0..3 */
};

/* Registration with a userfaultfd context, which is an identity of the embedder's (not 0). */
enum vmk_uffd_action { VMK_UFFD_REGISTER, VMK_UFFD_UNREGISTER, VMK_UFFD_CLOSE };
#define VMK_UFFD_MODE_MISSING 1u
#define VMK_UFFD_MODE_WP      2u
#define VMK_UFFD_MODE_MINOR   4u
struct vmk_uffd_request {
    enum vmk_uffd_action action;
    uint64_t context;
    uint32_t features_fork, features_remap; /* 1: the context follows fork or mremap (UFFD_FEATURE_EVENT_*) */
    uint32_t features_wp_async; /* 1: UFFD_FEATURE_WP_ASYNC: WP alone works on any file; for UNREGISTER too */
    uint64_t mode;              /* REGISTER: VMK_UFFD_MODE_* */
    vmk_addr address;           /* not for CLOSE, which treats the whole address space */
    uint64_t len;
};

/* A mapping that the kernel makes for itself (vdso, vvar, aio, uprobes, shadow stack). value: the address. */
struct vmk_map_special_request {
    vmk_addr address; /* 0: the highest place that is free */
    uint64_t len;
    vmk_vm_flags flags;
    const struct vmk_vm_ops *ops;
    void *private_data;
    const char *special_name; /* static text: "[vdso]" */
};

/*
 * exec(2): fills an empty address space, in Linux's order: the stack, the segments, the specials. The marks of the layout
 * are set as far as whole pages tell them; vmk_mm_set_layout sets them exactly. An error leaves what was mapped before it,
 * as in Linux, where the process ends then; -VMK_ERR_MISUSE: areas exist, or a segment is empty, unaligned or overlaps.
 */
struct vmk_exec_segment {
    struct vmk_file *file; /* NULL: anonymous (bss) */
    vmk_addr address;      /* page aligned */
    uint64_t len;          /* page aligned */
    uint64_t offset;
    uint32_t prot;
    bool bss_tail; /* the kernel clears the rest of its last page: a private file page is written, an anon_vma comes */
};
struct vmk_exec_request {
    const struct vmk_exec_segment *segments;
    size_t nr_segments;
    vmk_addr stack_top;   /* end of the stack area; 0: the architecture's, lowered at random */
    uint64_t stack_bytes; /* of the strings of arguments and environment, at the top of the stack */
    bool executable_stack;
    vmk_addr start_brk; /* 0: after the program, that is the segments before the first one of another file */
    bool randomize_brk;
    const struct vmk_map_special_request
        *specials; /* vvar, vdso: those without an address lie together, in this order */
    size_t nr_specials;
};

#define VMK_VERB_DECLARE(verb)                                                                                         \
    VMK_API int vmk_##verb(struct vmk_mm *mm, const struct vmk_##verb##_request *request, struct vmk_result *result);
VMK_VERBS(VMK_VERB_DECLARE)
#undef VMK_VERB_DECLARE

#ifdef __cplusplus
}
#endif

#endif
