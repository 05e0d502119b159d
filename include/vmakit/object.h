/* SPDX-License-Identifier: MIT */
/*
 * object.h - what lies behind an area: files (open file descriptions) and the objects (inodes) that they open.
 *
 * Areas merge only when they map the same struct vmk_file: one for each open file description, as Linux has it. Files of
 * one inode share a struct vmk_object, which knows every area that maps it (rmap).
 */
#ifndef VMAKIT_OBJECT_H
#define VMAKIT_OBJECT_H

#include "vmakit/flags.h"
#include "vmakit/types.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vmk_vm_ops;

enum vmk_object_kind {
    VMK_OBJECT_REGULAR, /* a file of a disk file system */
    VMK_OBJECT_SHMEM,   /* memfd, tmpfs, shared anonymous memory, System V shared memory */
    VMK_OBJECT_HUGETLB, /* a file of hugetlbfs, or memory from MAP_HUGETLB */
    VMK_OBJECT_ZERO,    /* /dev/zero: a private mapping is anonymous with the file kept */
    VMK_OBJECT_SECRET,  /* memfd_secret: born locked and not dumped */
    VMK_OBJECT_DEVICE,  /* a driver: its mmap hook decides */
    VMK_OBJECT_NONE     /* cannot be mapped (directory, pipe, socket, /dev/null): ENODEV */
};

struct vmk_object_options {
    size_t size; /* sizeof(struct vmk_object_options) */
    enum vmk_object_kind kind;
    uint64_t id;        /* the embedder's name for it; kept by save and load */
    uint64_t nr_bytes;  /* size of the contents, for SIGBUS beyond the end */
    uint64_t max_bytes; /* largest size that its file system allows (EOVERFLOW); 0: 2^63 - 1 */
    uint32_t dev_major, dev_minor;
    uint64_t inode;
    unsigned huge_shift; /* VMK_OBJECT_HUGETLB: log2 of its page size */
    void *user;
};

/* Seals of a memfd that mappings feel; values of the Linux ABI (fcntl(2)). */
#define VMK_SEAL_WRITE        0x0008u
#define VMK_SEAL_FUTURE_WRITE 0x0010u
#define VMK_SEAL_EXEC         0x0020u

enum vmk_file_mode {
    VMK_FILE_READ = 1u << 0,
    VMK_FILE_WRITE = 1u << 1,
    VMK_FILE_PATH = 1u << 2,      /* O_PATH: EBADF */
    VMK_FILE_NOEXEC = 1u << 3,    /* on a noexec mount: PROT_EXEC is EPERM, MAYEXEC is cleared */
    VMK_FILE_THP_ALIGN = 1u << 4, /* its file system asks for huge-page alignment (ext4, xfs, ...) */
    VMK_FILE_SYNC = 1u << 5,      /* MAP_SYNC is possible (DAX): refused as unsupported, docs/limits.md */
    VMK_FILE_SHM = 1u << 6        /* an attachment of System V shared memory: shmat sets it, shmdt knows it by it */
};

/* What a driver's mmap hook may change: commit installs it. Merging with neighbours is tried again afterwards. */
struct vmk_mmap_description {
    struct vmk_mm *mm; /* where it will live; for identity only */
    vmk_addr start, end;
    uint64_t pgoff;               /* may be changed */
    vmk_vm_flags flags;           /* may be changed, but not READ|WRITE|EXEC|SHARED|LOCKED */
    const struct vmk_vm_ops *ops; /* may be set */
    void *private_data;           /* may be set */
    struct vmk_file *file;
};

struct vmk_file_ops {
    size_t size;
    /* Asked before anything is changed; an error ends the mmap with it. mm.lock is held. NULL: default operations. */
    int (*mmap)(struct vmk_file *file, struct vmk_mmap_description *description);
    /* The last reference is gone. Runs after mm.lock is released. */
    void (*release)(struct vmk_file *file);
};

struct vmk_file_options {
    size_t size;
    struct vmk_object *object;       /* a reference is taken */
    uint32_t mode;                   /* enum vmk_file_mode */
    uint32_t seals;                  /* VMK_SEAL_* */
    const struct vmk_file_ops *ops;  /* may be NULL; must outlive the file */
    const struct vmk_vm_ops *vm_ops; /* operations of its areas unless the mmap hook sets others; may be NULL */
    const char *name;                /* as maps shows it; copied; may be NULL */
    uint64_t id;                     /* the embedder's name for this open file description; kept by save and load */
    void *user;
};

/*
 * Both return 0, -VMK_ERR_MISUSE or -VMK_ERR_HOST_NOMEM; the caller owns one reference. An object or file is freed with
 * its last reference; areas hold references of their own.
 */
VMK_API int vmk_object_create(struct vmk_system *system, const struct vmk_object_options *options,
                              struct vmk_object **object);
VMK_API int vmk_file_create(struct vmk_system *system, const struct vmk_file_options *options, struct vmk_file **file);
VMK_API void vmk_object_get(struct vmk_object *object);
VMK_API void vmk_object_put(struct vmk_object *object);
VMK_API void vmk_file_get(struct vmk_file *file);
VMK_API void vmk_file_put(struct vmk_file *file);

VMK_API void *vmk_object_user(const struct vmk_object *object);
VMK_API uint64_t vmk_object_id(const struct vmk_object *object);
VMK_API enum vmk_object_kind vmk_object_kind_of(const struct vmk_object *object);
/* Device and inode as maps shows them; 0:0 and 0 when the embedder did not say. */
VMK_API void vmk_object_device(const struct vmk_object *object, uint32_t *major, uint32_t *minor);
VMK_API uint64_t vmk_object_inode(const struct vmk_object *object);
/* The size for SIGBUS beyond the end; set it when the file is truncated or extended. */
VMK_API uint64_t vmk_object_nr_bytes(const struct vmk_object *object);
VMK_API void vmk_object_set_nr_bytes(struct vmk_object *object, uint64_t nr_bytes);

VMK_API struct vmk_object *vmk_file_object(const struct vmk_file *file);
VMK_API void *vmk_file_user(const struct vmk_file *file);
VMK_API uint64_t vmk_file_id(const struct vmk_file *file);
VMK_API const char *vmk_file_name(const struct vmk_file *file); /* "" for none; valid while the file lives */
VMK_API uint32_t vmk_file_seals(const struct vmk_file *file);
VMK_API void vmk_file_set_seals(struct vmk_file *file, uint32_t seals);

/* One area that maps a part of an object. */
struct vmk_mapping {
    struct vmk_mm *mm;
    vmk_addr start, end; /* the part of the area that maps the range asked for */
    uint64_t offset;     /* in the object, of `start`, in bytes */
    vmk_vm_flags flags;
};

/*
 * Every area, in any address space of the system, that maps a byte of [start, end) of the object. Calls `found` for each, in no particular order, with object.rmap held: it must not call back. Stops when `found` returns
 * false. Returns the number of calls.
 */
VMK_API size_t vmk_object_mappings(struct vmk_object *object, uint64_t start, uint64_t end,
                                   bool (*found)(void *context, const struct vmk_mapping *mapping), void *context);

#ifdef __cplusplus
}
#endif

#endif
