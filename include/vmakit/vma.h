/* SPDX-License-Identifier: MIT */
/*
 * vma.h - areas: what they are, what a driver may do with them, and the operations on a single one.
 *
 * A struct vmk_vma is opaque and lives as long as its area is in the address space. Pointers to one are valid while
 * mm.lock is held (in a hook, or between vmk_mm_lock_read and vmk_mm_unlock_read); information by value (vmk_vma_info) is
 * valid for ever.
 *
 * User pointers: an area's `user` starts as NULL; a split gives both halves the same one; a merge keeps that of the area
 * that stays; fork copies it.
 */
#ifndef VMAKIT_VMA_H
#define VMAKIT_VMA_H

#include "vmakit/flags.h"
#include "vmakit/object.h"
#include "vmakit/types.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VMK_VMA_NAME_MAX = 80 }; /* of a PR_SET_VMA name, its zero included */

/* What an area says of itself, by value. */
struct vmk_vma_info {
    size_t size; /* sizeof(struct vmk_vma_info); set by the caller */
    vmk_addr start, end;
    vmk_vm_flags flags;
    uint64_t pgoff;        /* in pages: of the file, or start / page size for anonymous memory */
    struct vmk_file *file; /* borrowed: valid while mm.lock is held or a reference is known to exist */
    uint64_t file_id, object_id;
    uint64_t anon_vma;       /* identity of its anon_vma; 0 for none */
    bool anon_vma_inherited; /* it came through a fork: never merges with areas that have none */
    bool anon_vma_unknown;   /* imported without history */
    bool is_special;         /* vdso, vvar and the like: named by the kernel */
    uint64_t uffd;           /* identity of its userfaultfd context; 0 for none */
    uint64_t policy;         /* identity of its memory policy; 0 for the task's */
    void *user;
};

struct vmk_fault;

/*
 * Operations of an area, usually a driver's. docs/hooks.md has, for each, the moment, the locks, and what it may do.
 * Each may be NULL. Errors are negative (-VMK_E*). Hooks run with mm.lock held exclusively unless it says otherwise and
 * must not call a verb on the same address space.
 */
struct vmk_vm_ops {
    size_t size;                                    /* sizeof(struct vmk_vm_ops) */
    const char *(*name)(const struct vmk_vma *vma); /* shown in maps instead of the file's */
    void (*open)(struct vmk_vma *vma);              /* a new area shares the mapping: split, fork, a move */
    void (*close)(struct vmk_vma *vma);             /* an area goes; its presence keeps merges from removing it */
    int (*may_split)(struct vmk_vma *vma, vmk_addr address);
    int (*mremap)(struct vmk_vma *vma); /* a move is about to happen: the new area */
    int (*mprotect)(struct vmk_vma *vma, vmk_addr start, vmk_addr end, vmk_vm_flags new_flags);
    int (*fault)(struct vmk_vma *vma, struct vmk_fault *fault); /* mm.lock shared or the area's lock */
    int (*page_mkwrite)(struct vmk_vma *vma, struct vmk_fault *fault);
    int (*access)(struct vmk_vma *vma, vmk_addr address, void *buffer, size_t len,
                  bool write); /* ptrace of I/O memory */
    int (*set_policy)(struct vmk_vma *vma, uint64_t policy);
    uint64_t (*get_policy)(struct vmk_vma *vma, vmk_addr address);
    int (*migrate)(struct vmk_vma *vma, uint64_t from_nodes, uint64_t to_nodes);
    /* Of our own making, for hooks that Linux has no longer: docs/hooks.md. */
    void (*split)(struct vmk_vma *vma, struct vmk_vma *new_half);
    bool (*merge)(const struct vmk_vma *stays, const struct vmk_vma *goes); /* false refuses the merge */
    int (*madvise)(struct vmk_vma *vma, vmk_addr start, vmk_addr end, int advice);
    int (*remap_pages)(struct vmk_vma *vma, vmk_addr start, uint64_t len, uint64_t pgoff);
    uint64_t page_size; /* of its page tables, for reports; 0 for the address space's */
};

/* ---- Accessors ---- */

VMK_API vmk_addr vmk_vma_start(const struct vmk_vma *vma);
VMK_API vmk_addr vmk_vma_end(const struct vmk_vma *vma);
VMK_API vmk_vm_flags vmk_vma_flags(const struct vmk_vma *vma);
VMK_API uint64_t vmk_vma_pgoff(const struct vmk_vma *vma);
VMK_API struct vmk_mm *vmk_vma_mm(const struct vmk_vma *vma);
VMK_API struct vmk_file *vmk_vma_file(const struct vmk_vma *vma);
VMK_API const struct vmk_vm_ops *vmk_vma_ops(const struct vmk_vma *vma);
VMK_API void *vmk_vma_private_data(const struct vmk_vma *vma);
VMK_API void *vmk_vma_user(const struct vmk_vma *vma);
/* -VMK_ERR_HOST_NOMEM: rare properties live out of line. mm.lock exclusive. */
VMK_API int vmk_vma_set_user(struct vmk_vma *vma, void *user);
VMK_API struct vmk_vma *vmk_vma_next(const struct vmk_vma *vma); /* NULL after the last; mm.lock */
VMK_API struct vmk_vma *vmk_vma_prev(const struct vmk_vma *vma);
VMK_API void vmk_vma_get_info(const struct vmk_vma *vma, struct vmk_vma_info *info);
/* What maps shows in its last column ("[heap]", a path, ""): copied, cut at `size`. Returns the full length. */
VMK_API size_t vmk_vma_name(const struct vmk_vma *vma, char *buffer, size_t size);

/* ---- One area at a time: the functions that texts on the kernel teach; mm.lock exclusive ---- */

/* What a new area is to be. */
struct vmk_vma_request {
    vmk_addr start, end; /* page aligned, start < end */
    vmk_vm_flags flags;
    uint64_t pgoff; /* in pages; ignored for anonymous memory unless keep_pgoff */
    bool keep_pgoff;
    struct vmk_file *file;        /* NULL for anonymous memory; a reference is taken */
    const struct vmk_vm_ops *ops; /* NULL: the file's */
    void *private_data;
    const char *special_name; /* "[vdso]" and the like; static text; NULL for none */
    bool has_anon_vma;        /* an imported area whose private pages exist */
    bool anon_vma_unknown;    /* imported, and nobody knows */
};

/* Creates an area that is not in the address space yet. The caller owns it: insert it, or vmk_vma_destroy. */
VMK_API int vmk_vma_create(struct vmk_mm *mm, const struct vmk_vma_request *request, struct vmk_vma **vma);
VMK_API void vmk_vma_destroy(struct vmk_vma *vma);
/* Links it: -VMK_EEXIST when it overlaps an area, -VMK_ENOMEM beyond the map count or a limit; then nothing changed. */
VMK_API int vmk_vma_insert(struct vmk_mm *mm, struct vmk_vma *vma);
/* create and insert with one failure path. */
VMK_API int vmk_vma_create_and_insert(struct vmk_mm *mm, const struct vmk_vma_request *request, struct vmk_vma **vma);
/* Takes a reference on the file, calls its mmap hook, creates, inserts (without merging), then calls open. */
VMK_API int vmk_vma_map_memory(struct vmk_mm *mm, const struct vmk_vma_request *request, struct vmk_vma **vma);
/* Unlinks an area from the tree and the rmaps without calling its close hook; it belongs to the caller again. */
VMK_API int vmk_vma_remove(struct vmk_mm *mm, struct vmk_vma *vma);
/* Close hook, unmap of its pages, accounting, removal, end. */
VMK_API int vmk_vma_delete(struct vmk_mm *mm, struct vmk_vma *vma);
/* Splits at `address`; *second is the upper half. -VMK_EINVAL outside or unaligned, may_split's error, -VMK_ENOMEM. */
VMK_API int vmk_vma_split(struct vmk_mm *mm, struct vmk_vma *vma, vmk_addr address, struct vmk_vma **second);
/* May two neighbours (lower, upper) become one? */
VMK_API bool vmk_vma_can_merge(const struct vmk_vma *lower, const struct vmk_vma *upper);
/* Merges an area with those neighbours that allow it; *merged is what stays (the area itself when nothing merged). */
VMK_API int vmk_vma_merge(struct vmk_mm *mm, struct vmk_vma *vma, struct vmk_vma **merged);
/* Changes READ, WRITE and EXEC of [start, end) of one area, with splits, merges, accounting and limits. */
VMK_API int vmk_vma_modify(struct vmk_mm *mm, struct vmk_vma *vma, vmk_addr start, vmk_addr end, uint32_t prot,
                           struct vmk_vma **modified);
/* Copies an area into another address space by the rules of fork; *copy is NULL when fork leaves it out. */
VMK_API int vmk_vma_dup(struct vmk_vma *vma, struct vmk_mm *child, struct vmk_vma **copy);
/* Adds an area's pages to, or takes them from, the counters of its address space. account checks the limits first. */
VMK_API int vmk_vma_account(struct vmk_mm *mm, const struct vmk_vma *vma);
VMK_API void vmk_vma_unaccount(struct vmk_mm *mm, const struct vmk_vma *vma);

/*
 * get_mempolicy(2) of an address: the identity of the policy (0 for the task's), as the area's get_policy hook has it or as
 * mbind set it. -VMK_EFAULT when no area is there. Takes mm.lock.
 */
VMK_API int vmk_mm_policy_at(struct vmk_mm *mm, vmk_addr address, uint64_t *policy);
/*
 * migrate_pages(2): tells the migrate hook of each area, in order, to move its pages between nodes. Ends with the first
 * error. Takes mm.lock.
 */
VMK_API int vmk_mm_migrate(struct vmk_mm *mm, uint64_t from_nodes, uint64_t to_nodes);

/* Kinds of access to memory (vmakit/fault.h has the rest). */
enum vmk_access {
    VMK_ACCESS_READ = 1u << 0,
    VMK_ACCESS_WRITE = 1u << 1,
    VMK_ACCESS_EXEC = 1u << 2,
    VMK_ACCESS_FOREIGN = 1u << 3, /* not the process itself: protection keys do not apply */
    VMK_ACCESS_FORCE = 1u << 4,   /* a debugger: may break private read-only memory by COW (MAYWRITE) */
    VMK_ACCESS_REMOTE = 1u << 5   /* process_vm_readv and the like */
};

/* 0 when the flags allow the access, else -VMK_EACCES. */
VMK_API int vmk_vma_check_access(const struct vmk_vma *vma, unsigned access);

/* The protection that page-table entries of an area get, for the address space's architecture. */
struct vmk_page_prot {
    bool readable, writable, executable, user;
    bool cow;       /* private and writable: written entries start read-only */
    bool dirty_log; /* shared and writable with page_mkwrite: likewise, to be told */
    unsigned pkey;
};
VMK_API struct vmk_page_prot vmk_vma_page_prot(const struct vmk_mm *mm, vmk_vm_flags flags);

#ifdef __cplusplus
}
#endif

#endif
