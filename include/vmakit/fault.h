/* SPDX-License-Identifier: MIT */
/*
 * fault.h - page faults, at the level of areas: which area, which case, which signal, and the moment an anon_vma comes.
 */
#ifndef VMAKIT_FAULT_H
#define VMAKIT_FAULT_H

#include "vmakit/mm.h"
#include "vmakit/types.h"
#include "vmakit/vma.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The numbered cases of docs/faults.md; the number is case * 16 + letter (a = 1). */
enum vmk_fault_case {
    VMK_FAULT_CASE_NONE = 0,
    VMK_FAULT_CASE_1 = 0x10,  /* no area */
    VMK_FAULT_CASE_1A = 0x11, /* stack growth */
    VMK_FAULT_CASE_1B = 0x12, /* stack gap or limit */
    VMK_FAULT_CASE_2 = 0x20,  /* protection */
    VMK_FAULT_CASE_2A = 0x21, /* key, tag or shadow stack */
    VMK_FAULT_CASE_2B = 0x22, /* guard region */
    VMK_FAULT_CASE_3A = 0x31, /* not present: anonymous read */
    VMK_FAULT_CASE_3B = 0x32, /* anonymous write */
    VMK_FAULT_CASE_3C = 0x33, /* file private read */
    VMK_FAULT_CASE_3D = 0x34, /* file private write */
    VMK_FAULT_CASE_3E = 0x35, /* shared */
    VMK_FAULT_CASE_3F = 0x36, /* device */
    VMK_FAULT_CASE_3H = 0x38, /* userfaultfd */
    VMK_FAULT_CASE_4B = 0x42, /* present and write-protected: COW copy */
    VMK_FAULT_CASE_4C = 0x43, /* shared notify (page_mkwrite) */
    VMK_FAULT_CASE_4E = 0x45, /* userfaultfd write protection */
    VMK_FAULT_CASE_5 = 0x50,  /* access or dirty bit only */
    VMK_FAULT_CASE_6 = 0x60,  /* beyond the object */
    VMK_FAULT_CASE_7 = 0x70,  /* retry, pending, out of memory */
    VMK_FAULT_CASE_8 = 0x80,  /* huge forms of 3 and 4 */
    VMK_FAULT_CASE_9 = 0x90   /* hugetlb */
};

enum vmk_fault_outcome {
    VMK_FAULT_MINOR,   /* handled */
    VMK_FAULT_MAJOR,   /* handled, with I/O by the object */
    VMK_FAULT_SIGNAL,  /* the process gets `signal` with `code` */
    VMK_FAULT_RETRY,   /* ask again */
    VMK_FAULT_PENDING, /* somebody else completes it: userfaultfd */
    VMK_FAULT_NO_MEMORY,
    VMK_FAULT_TRACKED /* the page was write-tracked (vmk_mm_track_writes); tracking has ended, ask again */
};

enum vmk_signal { VMK_SIGNAL_NONE = 0, VMK_SIGBUS = 7, VMK_SIGSEGV = 11 };
enum vmk_signal_code {
    VMK_SEGV_MAPERR = 1,
    VMK_SEGV_ACCERR = 2,
    VMK_SEGV_PKUERR = 4,
    VMK_BUS_ADRERR = 2,
    VMK_BUS_MCEERR_AR = 4
};

enum vmk_fault_flags {
    VMK_FAULT_USER = 1u << 0,      /* from user mode; a kernel copy otherwise (both may grow a stack) */
    VMK_FAULT_NOWAIT = 1u << 1,    /* return RETRY rather than wait */
    VMK_FAULT_PRESENT = 1u << 2,   /* the page is present: a write is a protection fault (case 4) */
    VMK_FAULT_HAS_TABLE = 1u << 3, /* a page table exists below the huge-page entry: no huge page can come */
    VMK_FAULT_GUARD = 1u << 4,     /* the page is a guard page (MADV_GUARD_INSTALL) */
    VMK_FAULT_NO_GROW = 1u << 5,   /* never grow a stack (process_vm_writev, MADV_POPULATE_*, mlock) */
    VMK_FAULT_PKEY = 1u << 6,      /* the processor reports a violation of the area's protection key */
    VMK_FAULT_UFFD_WP = 1u << 7,   /* the present page is write-protected through userfaultfd */
    VMK_FAULT_CACHED = 1u << 8     /* the object holds the page: a userfaultfd minor fault, not a missing one */
};

struct vmk_fault_request {
    vmk_addr address; /* any byte of the page */
    unsigned access;  /* enum vmk_access: READ, WRITE or EXEC, with FOREIGN, FORCE, REMOTE */
    unsigned flags;   /* enum vmk_fault_flags */
};

/* A fault as hooks and callers see it. */
struct vmk_fault {
    struct vmk_fault_request request;
    enum vmk_fault_outcome outcome;
    unsigned fault_case; /* enum vmk_fault_case */
    int signal, code;    /* for VMK_FAULT_SIGNAL */
    vmk_addr start, end; /* the area, after any growth; 0, 0 for none */
    vmk_vm_flags flags;
    uint64_t pgoff;    /* of the page in the object, in pages */
    vmk_pages grown;   /* pages by which a stack grew */
    bool anon_vma_new; /* an anon_vma came into being (or was taken from a neighbour) */
    uint64_t token;    /* for VMK_FAULT_PENDING */
};

/*
 * Handles a fault at the level of areas; with a backend the page is installed too. Returns 0 and fills *fault in; the
 * return value is negative only for -VMK_ERR_MISUSE. Takes mm.lock shared, or exclusive to grow a stack.
 */
VMK_API int vmk_mm_fault(struct vmk_mm *mm, const struct vmk_fault_request *request, struct vmk_fault *fault);
/*
 * The same for an area that the caller has found, with mm.lock held in either way: never grows a stack.
 * -VMK_ERR_MISUSE too when the address does not lie in the area.
 */
VMK_API int vmk_vma_fault(struct vmk_vma *vma, const struct vmk_fault_request *request, struct vmk_fault *fault);

/* How a userfaultfd's owner has answered a fault that was PENDING. */
enum vmk_fault_answer {
    VMK_FAULT_FILLED,      /* UFFDIO_COPY, ZEROPAGE, CONTINUE, MOVE: the page is there now */
    VMK_FAULT_UNPROTECTED, /* UFFDIO_WRITEPROTECT without the WP mode */
    VMK_FAULT_WOKEN,       /* UFFDIO_WAKE, unregistered or closed: nothing was done, the fault comes again */
    VMK_FAULT_POISONED     /* UFFDIO_POISON: SIGBUS */
};
/*
 * Resumes a fault by its token: 0 and *fault as vmk_mm_fault fills it in (RETRY: ask again), or -VMK_ERR_MISUSE for what is no
 * token. The area may have changed or gone in the meantime. Takes mm.lock shared.
 */
VMK_API int vmk_fault_complete(struct vmk_mm *mm, uint64_t token, enum vmk_fault_answer answer,
                               struct vmk_fault *fault);

/*
 * A debugger's access to memory without pages of its own (IO, PFNMAP): calls the `access` hook of each area. Returns the
 * bytes done, which may be fewer, or -VMK_EIO when there are none: other memory's contents are the embedder's.
 */
VMK_API int64_t vmk_mm_access(struct vmk_mm *mm, vmk_addr address, void *buffer, size_t len, bool write);

#ifdef __cplusplus
}
#endif

#endif
