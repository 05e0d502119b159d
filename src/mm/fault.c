/* SPDX-License-Identifier: MIT */
/*
 * fault.c - page faults at the level of areas: find -> check -> case. The cases are numbered in docs/faults.md.
 *
 * Pages are somebody else's: the request says what is there (VMK_FAULT_PRESENT, HAS_TABLE, GUARD ...), and the answer says
 * what Linux would do about it. What changes here is what belongs to areas: a stack grows, an anon_vma comes.
 */
#include "mm/fault.h"
#include "base/atomic.h"
#include "base/breaks.h"
#include "mm/overlay.h"
#include "mm/range.h"

#define FAULT_KINDS  ((unsigned)VMK_ACCESS_READ | VMK_ACCESS_WRITE | VMK_ACCESS_EXEC)
#define FAULT_ACCESS (FAULT_KINDS | VMK_ACCESS_FOREIGN | VMK_ACCESS_FORCE | VMK_ACCESS_REMOTE)
#define FAULT_FLAGS  ((VMK_FAULT_CACHED << 1) - 1u)

/* A token is the page and, below it, what of the request counts when it is resumed. */
enum { FAULT_TOKEN_BITS = 12 };
_Static_assert(FAULT_ACCESS < 1u << FAULT_TOKEN_BITS, "an access fits below a page's address");

static void fault_end(struct vmk_fault *fault, unsigned fault_case, enum vmk_fault_outcome outcome)
{
    fault->fault_case = fault_case;
    fault->outcome = outcome;
}

static void fault_signal(struct vmk_fault *fault, unsigned fault_case, int signal, int code)
{
    fault_end(fault, fault_case, VMK_FAULT_SIGNAL);
    fault->signal = signal;
    fault->code = code;
}

static bool fault_is_write(const struct vmk_fault *fault)
{
    return (fault->request.access & VMK_ACCESS_WRITE) != 0;
}

/*
 * What a fault without a lock saw of an area, as an area; it links to itself. Where such a fault comes to something that
 * needs the area itself it ends as FAULT_NEEDS_LOCK, and begins anew with mm.lock.
 */
static bool fault_is_copy(const struct vmk_vma *vma)
{
    return vma->link == vma;
}

enum { FAULT_NEEDS_LOCK = 0xff };

/* The area gets its anon_vma (facts: Merging 2 and 3). False: memory is short, and the fault has ended. */
static bool fault_prepare_anon(struct vmk_vma *vma, struct vmk_fault *fault)
{
    bool had_one = vmki_load_acquire(&vma->anon_vma) != NULL;

    if (had_one)
        return true;
    if (fault_is_copy(vma)) {
        fault_end(fault, FAULT_NEEDS_LOCK, VMK_FAULT_RETRY);
        return false;
    }
    if (vmki_anon_vma_prepare(vma) != 0) {
        fault_end(fault, VMK_FAULT_CASE_7, VMK_FAULT_NO_MEMORY);
        return false;
    }
    fault->anon_vma_new = true;
    return true;
}

/* Somebody else has to do something first; a caller who cannot wait asks again. */
static void fault_pending(struct vmk_vma *vma, struct vmk_fault *fault, unsigned fault_case)
{
    fault_end(fault, fault_case, VMK_FAULT_PENDING);
    fault->token = vmki_align_down(fault->request.address, vma->mm->page_size) | fault->request.access;
    if ((fault->request.flags & VMK_FAULT_NOWAIT) != 0)
        fault->outcome = VMK_FAULT_RETRY;
}

/* What a hook's error means: the fault ends with it. */
static void fault_hook_said(struct vmk_fault *fault, unsigned fault_case, int error)
{
    if (error == 0)
        return;
    if (error == -VMK_ENOMEM || error == -VMK_ERR_HOST_NOMEM)
        fault_end(fault, VMK_FAULT_CASE_7, VMK_FAULT_NO_MEMORY);
    else if (error == -VMK_EAGAIN)
        fault_end(fault, VMK_FAULT_CASE_7, VMK_FAULT_RETRY);
    else if (error == -VMK_EHWPOISON)
        fault_signal(fault, fault_case, VMK_SIGBUS, VMK_BUS_MCEERR_AR);
    else if (error == -VMK_EACCES)
        fault_signal(fault, fault_case, VMK_SIGSEGV, VMK_SEGV_ACCERR);
    else
        fault_signal(fault, fault_case, VMK_SIGBUS, VMK_BUS_ADRERR);
}

/* ---- Cases 2: what the area does not allow ---- */

/* A foreign access goes through the kernel's own view of the pages, which some memory is kept out of. */
static bool fault_is_out_of_reach(const struct vmk_vma *vma, unsigned access)
{
    if ((access & (VMK_ACCESS_FOREIGN | VMK_ACCESS_REMOTE | VMK_ACCESS_FORCE)) == 0)
        return false;
    return (vma->flags & (VMK_VM_IO | VMK_VM_PFNMAP)) != 0 || vmki_vma_is_kind(vma, VMK_OBJECT_SECRET);
}

/* False: the fault has ended. */
static bool fault_is_allowed(struct vmk_vma *vma, struct vmk_fault *fault)
{
    const struct vmk_fault_request *request = &fault->request;
    int tracked;

    if (vmki_check_access(vma->mm->settings, vma->flags, request->access) != 0 ||
        fault_is_out_of_reach(vma, request->access)) {
        bool is_shadow = fault_is_write(fault) && (vma->flags & VMK_VM_SHADOW_STACK) != 0;
        fault_signal(fault, is_shadow ? VMK_FAULT_CASE_2A : VMK_FAULT_CASE_2, VMK_SIGSEGV, VMK_SEGV_ACCERR);
        return false;
    }
    if ((request->flags & VMK_FAULT_PKEY) != 0 && (request->access & (VMK_ACCESS_FOREIGN | VMK_ACCESS_REMOTE)) == 0) {
        fault_signal(fault, VMK_FAULT_CASE_2A, VMK_SIGSEGV, VMK_SEGV_PKUERR);
        return false;
    }
    if ((request->access & (VMK_ACCESS_FOREIGN | VMK_ACCESS_REMOTE)) != 0 && vmki_vma_is_kind(vma, VMK_OBJECT_SECRET)) {
        fault_signal(fault, VMK_FAULT_CASE_2, VMK_SIGSEGV, VMK_SEGV_ACCERR); /* not even a debugger sees it */
        return false;
    }
    if ((request->flags & VMK_FAULT_GUARD) != 0) {
        fault_signal(fault, VMK_FAULT_CASE_2B, VMK_SIGSEGV, VMK_SEGV_MAPERR); /* not ACCERR, as one might think */
        return false;
    }
    tracked = fault_is_write(fault) && !fault_is_copy(vma) ? vmki_overlay_written(vma->mm, request->address) : 0;
    if (tracked != 0)
        fault_end(fault, VMK_FAULT_CASE_7, tracked > 0 ? VMK_FAULT_TRACKED : VMK_FAULT_NO_MEMORY);
    return tracked == 0;
}

/* ---- Cases 3: not present ---- */

/* Could a huge page come here: is one wanted, does the area cover it whole, is no smaller one in the way? */
static bool fault_is_huge(const struct vmk_vma *vma, const struct vmk_fault *fault)
{
    uint64_t size = UINT64_C(1) << vma->mm->settings->pmd_shift;
    vmk_addr start = vmki_align_down(fault->request.address, size);

    return (fault->request.flags & VMK_FAULT_HAS_TABLE) == 0 && vmki_vma_wants_huge(vma) && start >= vma->start &&
           vma->end - start >= size;
}

/*
 * 3a, 3b and their huge forms. The anon_vma comes before anything else is tried, so that a write which userfaultfd
 * holds up has one already; a read has one only where a huge page (of zeros) would come.
 */
static void fault_anonymous(struct vmk_vma *vma, struct vmk_fault *fault)
{
    bool huge = fault_is_huge(vma, fault);

    if (((huge && !VMKI_BROKEN(anon_huge_read)) || fault_is_write(fault)) && !fault_prepare_anon(vma, fault))
        return;
    if ((vma->flags & VMK_VM_UFFD_MISSING) != 0)
        fault_pending(vma, fault, VMK_FAULT_CASE_3H);
    else if (huge)
        fault_end(fault, VMK_FAULT_CASE_8, VMK_FAULT_MINOR);
    else
        fault_end(fault, fault_is_write(fault) ? VMK_FAULT_CASE_3B : VMK_FAULT_CASE_3A, VMK_FAULT_MINOR);
}

static unsigned fault_object_case(const struct vmk_vma *vma, const struct vmk_fault *fault)
{
    if (vmki_vma_is_hugetlb(vma))
        return VMK_FAULT_CASE_9;
    if (vma->file == NULL || vma->file->object->kind == VMK_OBJECT_DEVICE)
        return VMK_FAULT_CASE_3F;
    if ((vma->flags & VMK_VM_MAYSHARE) != 0)
        return VMK_FAULT_CASE_3E;
    return fault_is_write(fault) ? VMK_FAULT_CASE_3D : VMK_FAULT_CASE_3C;
}

/*
 * Is the page wholly beyond the end of the file's contents, or beyond what the pool of huge pages has? A driver's pages have
 * no end.
 */
static bool fault_is_beyond(const struct vmk_vma *vma, const struct vmk_fault *fault)
{
    const struct vmk_object *object = vma->file != NULL ? vma->file->object : NULL;
    uint64_t nr_bytes, nr_pages;

    if (vmki_vma_is_hugetlb(vma) && (vma->flags & VMK_VM_NORESERVE) != 0 &&
        vmki_pool_free(vma->mm, vmki_vma_huge_shift(vma)) == 0)
        return true;
    if (object == NULL || object->kind == VMK_OBJECT_DEVICE || object->kind == VMK_OBJECT_ZERO)
        return false;
    nr_bytes = vmki_load_relaxed(&object->nr_bytes);
    nr_pages = (nr_bytes >> vma->mm->page_shift) + !vmki_page_aligned(vma->mm, nr_bytes);
    return fault->pgoff >= nr_pages;
}

/* Does a userfaultfd want to hear of the page: because it is missing, or because only the mapping of it is? */
static bool fault_is_for_uffd(const struct vmk_vma *vma, const struct vmk_fault *fault)
{
    if ((fault->request.flags & VMK_FAULT_CACHED) != 0)
        return (vma->flags & VMK_VM_UFFD_MINOR) != 0;
    return (vma->flags & VMK_VM_UFFD_MISSING) != 0;
}

/* 3c to 3f, 6 and 9. A private write has its anon_vma even when SIGBUS follows. */
static void fault_object(struct vmk_vma *vma, struct vmk_fault *fault)
{
    const struct vmk_vm_ops *ops = vmki_vma_ops(vma);
    unsigned fault_case = fault_object_case(vma, fault);
    bool shared = (vma->flags & VMK_VM_SHARED) != 0;

    if (fault_is_write(fault) && !shared && !(VMKI_BROKEN(anon_beyond) && fault_is_beyond(vma, fault)) &&
        !fault_prepare_anon(vma, fault))
        return;
    if (fault_is_beyond(vma, fault)) {
        fault_signal(fault, VMK_FAULT_CASE_6, VMK_SIGBUS, VMK_BUS_ADRERR);
        return;
    }
    if (fault_is_for_uffd(vma, fault)) {
        fault_pending(vma, fault, VMK_FAULT_CASE_3H);
        return;
    }
    fault_end(fault, fault_case, VMK_FAULT_MINOR);
    if (ops != NULL && ops->fault != NULL) {
        fault_hook_said(fault, fault_case, ops->fault(vma, fault));
    } else if (fault_case == VMK_FAULT_CASE_3F && !vmki_vma_is_special(vma)) {
        fault_signal(fault, fault_case, VMK_SIGBUS, VMK_BUS_ADRERR); /* a driver that supplies no pages */
        return;
    }
    if (shared && fault_is_write(fault) && ops != NULL && ops->page_mkwrite != NULL &&
        fault->outcome <= VMK_FAULT_MAJOR)
        fault_hook_said(fault, VMK_FAULT_CASE_4C, ops->page_mkwrite(vma, fault));
}

/* ---- Cases 4 and 5: present ---- */

static void fault_present(struct vmk_vma *vma, struct vmk_fault *fault)
{
    const struct vmk_vm_ops *ops = vmki_vma_ops(vma);

    fault_end(fault, VMK_FAULT_CASE_5, VMK_FAULT_MINOR);
    if (!fault_is_write(fault))
        return;
    if ((fault->request.flags & VMK_FAULT_UFFD_WP) != 0 && (vma->flags & VMK_VM_UFFD_WP) != 0) {
        fault_pending(vma, fault, VMK_FAULT_CASE_4E);
    } else if ((vma->flags & VMK_VM_SHARED) == 0) {
        if (fault_prepare_anon(vma, fault))
            fault->fault_case = VMK_FAULT_CASE_4B;
    } else if (ops != NULL && ops->page_mkwrite != NULL) {
        fault->fault_case = VMK_FAULT_CASE_4C;
        fault_hook_said(fault, VMK_FAULT_CASE_4C, ops->page_mkwrite(vma, fault));
    }
}

/* ---- Find ---- */

static void fault_describe_area(const struct vmk_vma *vma, struct vmk_fault *fault)
{
    fault->start = vma->start;
    fault->end = vma->end;
    fault->flags = vma->flags & VMKI_VM_PUBLIC;
    fault->pgoff = vmki_vma_pgoff_at(vma->mm, vma, fault->request.address);
}

/*
 * x86-64 looks at the right to execute only once the page is there: a fetch from accessible memory first brings the page in
 * as a read would, with all that may happen then, and is refused when it is tried again.
 */
static bool fault_fetch_reads_first(const struct vmk_vma *vma, const struct vmk_fault *fault)
{
    return (fault->request.access & FAULT_KINDS) == VMK_ACCESS_EXEC && vma->mm->settings->arch == VMK_ARCH_X86_64 &&
           (fault->request.access & (VMK_ACCESS_FOREIGN | VMK_ACCESS_REMOTE)) == 0 &&
           (fault->request.flags & VMK_FAULT_PRESENT) == 0 && (vma->flags & VMK_VM_EXEC) == 0 &&
           (vma->flags & VMK_VM_ACCESS) != 0;
}

static void fault_by_case(struct vmk_vma *vma, struct vmk_fault *fault)
{
    if (!fault_is_allowed(vma, fault))
        return;
    if ((fault->request.flags & VMK_FAULT_PRESENT) != 0)
        fault_present(vma, fault);
    else if (vmki_vma_is_anonymous(vma) && !vmki_vma_is_hugetlb(vma))
        fault_anonymous(vma, fault);
    else
        fault_object(vma, fault);
}

/* The address lies in the area. mm.lock in either way. */
static void fault_in_area(struct vmk_vma *vma, struct vmk_fault *fault)
{
    bool reads_first = fault_fetch_reads_first(vma, fault);

    fault_describe_area(vma, fault);
    if (reads_first)
        fault->request.access ^= VMK_ACCESS_EXEC | VMK_ACCESS_READ;
    fault_by_case(vma, fault);
    if (!reads_first)
        return;
    fault->request.access ^= VMK_ACCESS_EXEC | VMK_ACCESS_READ;
    if (fault->outcome <= VMK_FAULT_MAJOR)
        fault_signal(fault, VMK_FAULT_CASE_2, VMK_SIGSEGV, VMK_SEGV_ACCERR);
}

/* The area that would grow down to the address, or NULL. mm.lock in either way. */
static struct vmk_vma *fault_stack_above(struct vmk_mm *mm, const struct vmk_fault *fault)
{
    struct vmk_vma *vma = vmki_find_next(mm, fault->request.address);

    if (vma == NULL || (vma->flags & VMK_VM_GROWSDOWN) == 0 || (fault->request.flags & VMK_FAULT_NO_GROW) != 0)
        return NULL;
    return vma;
}

/* 1, 1a and 1b. mm.lock exclusive: everything is looked up again. */
static void fault_below_stack(struct vmk_mm *mm, struct vmk_fault *fault)
{
    struct vmk_vma *vma = vmki_find(mm, fault->request.address);
    vmk_addr old_start;
    bool had_anon_vma;
    int error;

    if (vma != NULL) {
        fault_in_area(vma, fault); /* another thread was faster */
        return;
    }
    vma = fault_stack_above(mm, fault);
    if (vma == NULL) {
        fault_signal(fault, VMK_FAULT_CASE_1, VMK_SIGSEGV, VMK_SEGV_MAPERR);
        return;
    }
    old_start = vma->start;
    had_anon_vma = vma->anon_vma != NULL;
    error = vmki_stack_grow(mm, vma, vmki_align_down(fault->request.address, mm->page_size));
    fault->anon_vma_new = !had_anon_vma && vma->anon_vma != NULL;
    if (error == -VMK_ERR_HOST_NOMEM) {
        fault_end(fault, VMK_FAULT_CASE_7, VMK_FAULT_NO_MEMORY);
    } else if (error != 0) {
        fault_signal(fault, VMK_FAULT_CASE_1B, VMK_SIGSEGV, VMK_SEGV_MAPERR);
    } else {
        fault->grown = vmki_pages(mm, old_start - vma->start);
        fault_in_area(vma, fault);
        if (fault->outcome <= VMK_FAULT_MAJOR)
            fault->fault_case = VMK_FAULT_CASE_1A;
    }
}

static bool fault_request_is_valid(const struct vmk_fault_request *request)
{
    return (request->access & ~FAULT_ACCESS) == 0 && (request->access & FAULT_KINDS) != 0 &&
           (request->flags & ~FAULT_FLAGS) == 0;
}

static void fault_begin(struct vmk_fault *fault, const struct vmk_fault_request *request)
{
    const struct vmk_fault_request copy = *request; /* which may lie in *fault */

    memset(fault, 0, sizeof(*fault));
    fault->request = copy;
}

#if defined(VMK_SYNC_PROCESSOR)
/* Several processors fault at once when the last fault was another one's time and again. */
enum { STRIPES_AFTER_MOVES = 64 };

/* Takes no lock; without memory all goes on counting in one place. */
static void fault_add_stripes(struct vmk_mm *mm)
{
    const size_t size = VMKI_NR_STRIPES * sizeof(struct vmki_stripe);
    struct vmki_stripe *stripes = vmki_alloc(mm->system, size, 64), *none = NULL;

    if (stripes == NULL)
        return;
    memset(stripes, 0, size);
    if (!__atomic_compare_exchange_n(&mm->fault_stripes, &none, stripes, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        vmki_free(mm->system, stripes, size);
}

/* The word that counts this processor's faults. */
static uint64_t *fault_counter(struct vmk_mm *mm)
{
    uint32_t processor = VMK_SYNC_PROCESSOR();
    struct vmki_stripe *stripes = vmki_load_acquire(&mm->fault_stripes);

    if (stripes != NULL)
        return &stripes[processor % VMKI_NR_STRIPES].nr_faults;
    if (vmki_load_relaxed(&mm->fault_processor) != processor) {
        uint32_t nr_moves = vmki_load_relaxed(&mm->nr_fault_moves) + 1;

        vmki_store_relaxed(&mm->fault_processor, processor);
        vmki_store_relaxed(&mm->nr_fault_moves, nr_moves);
        if (nr_moves % STRIPES_AFTER_MOVES == 0)
            fault_add_stripes(mm);
    }
    return &mm->counters.fault;
}
#else
static uint64_t *fault_counter(struct vmk_mm *mm)
{
    return &mm->counters.fault;
}
#endif

/* Counts it: beside others, hence not by VMKI_COUNT. */
static void fault_count(struct vmk_mm *mm, vmk_addr address)
{
    __atomic_add_fetch(fault_counter(mm), 1, __ATOMIC_RELAXED);
    if (VMKI_UNLIKELY(mm->system->trace != NULL))
        vmki_event(mm, VMK_EVENT_fault, address, address);
}

/*
 * A copy of the area at the address, as it was at one moment. False: there is none, or it is changing. In a reader's
 * section, which keeps what the copy points at.
 */
static bool fault_look(struct vmk_mm *mm, vmk_addr address, struct vmk_vma *seen)
{
    struct vmki_tree_entry entry;
    struct vmki_tree_look look;
    const struct vmk_vma *vma;

    if (!vmki_tree_look_at(&mm->tree, address, &entry, &look))
        return false;
    vma = entry.item;
    *seen = (struct vmk_vma){.start = entry.start,
                             .end = entry.end,
                             .flags = entry.flags & ~VMKI_VM_BARE,
                             .bias = vmki_load_relaxed(&vma->bias),
                             .mm = mm,
                             .file = vmki_load_relaxed(&vma->file),
                             .anon_vma = vmki_load_acquire(&vma->anon_vma),
                             .ext = vmki_load_acquire(&vma->ext),
                             .link = seen};
    return vmki_tree_holds(&look);
}

/*
 * The usual fault: no lock. The area is what it was when the look at it still held, and nothing of it changes. False: it
 * must be tried with mm.lock: nothing is mapped there, an anon_vma is to come, a hook to be called, writes are tracked.
 */
static bool fault_without_lock(struct vmk_mm *mm, struct vmk_fault *fault)
{
    struct vmk_vma seen;
    bool good;

    vmk_sync_read_enter();
    good = vmki_load_relaxed(&mm->overlay) == NULL && fault_look(mm, fault->request.address, &seen) &&
           vmki_vma_ops(&seen) == NULL;
    if (good)
        fault_in_area(&seen, fault);
    vmk_sync_read_exit();
    if (good && fault->fault_case != FAULT_NEEDS_LOCK)
        return true;
    fault_begin(fault, &fault->request);
    return false;
}

int vmk_mm_fault(struct vmk_mm *mm, const struct vmk_fault_request *request, struct vmk_fault *fault)
{
    struct vmk_vma *vma;
    bool may_grow;

    if (!fault_request_is_valid(request))
        return -VMK_ERR_MISUSE;
    fault_begin(fault, request);
    fault_count(mm, fault->request.address);
    if (fault_without_lock(mm, fault))
        return 0;
    vmki_mm_read_lock(mm);
    vma = vmki_find(mm, fault->request.address);
    may_grow = vma == NULL && fault_stack_above(mm, fault) != NULL;
    if (vma != NULL)
        fault_in_area(vma, fault);
    else if (!may_grow)
        fault_signal(fault, VMK_FAULT_CASE_1, VMK_SIGSEGV, VMK_SEGV_MAPERR);
    vmki_mm_read_unlock(mm);
    if (!may_grow)
        return 0;
    if ((fault->request.flags & VMK_FAULT_NOWAIT) == 0) {
        vmki_mm_lock(mm);
    } else if (!vmki_mm_try_lock(mm)) {
        fault_end(fault, VMK_FAULT_CASE_7, VMK_FAULT_RETRY);
        return 0;
    }
    fault_below_stack(mm, fault);
    vmki_mm_unlock(mm);
    return 0;
}

int vmk_vma_fault(struct vmk_vma *vma, const struct vmk_fault_request *request, struct vmk_fault *fault)
{
    if (!fault_request_is_valid(request) || request->address < vma->start || request->address >= vma->end)
        return -VMK_ERR_MISUSE;
    fault_begin(fault, request);
    fault_count(vma->mm, fault->request.address);
    fault_in_area(vma, fault);
    return 0;
}

/* ---- Pending faults ---- */

/* The page came while nobody held the lock: the area may be another one by now. */
static void fault_filled(struct vmk_vma *vma, struct vmk_fault *fault)
{
    fault_describe_area(vma, fault);
    if ((vma->flags & VMK_VM_SHARED) == 0 && !fault_prepare_anon(vma, fault))
        return;
    fault_end(fault, VMK_FAULT_CASE_3H, VMK_FAULT_MINOR);
}

int vmk_fault_complete(struct vmk_mm *mm, uint64_t token, enum vmk_fault_answer answer, struct vmk_fault *fault)
{
    const struct vmk_fault_request request = {.address = vmki_align_down(token, 1u << FAULT_TOKEN_BITS),
                                              .access = (unsigned)token & ((1u << FAULT_TOKEN_BITS) - 1)};
    struct vmk_vma *vma;

    if (!fault_request_is_valid(&request) || !vmki_page_aligned(mm, request.address) || answer > VMK_FAULT_POISONED)
        return -VMK_ERR_MISUSE;
    fault_begin(fault, &request);
    vmki_mm_read_lock(mm);
    vma = vmki_find(mm, request.address);
    if (vma == NULL || answer == VMK_FAULT_WOKEN || answer == VMK_FAULT_UNPROTECTED)
        fault_end(fault, VMK_FAULT_CASE_7, VMK_FAULT_RETRY);
    else if (answer == VMK_FAULT_POISONED)
        fault_signal(fault, VMK_FAULT_CASE_3H, VMK_SIGBUS, VMK_BUS_MCEERR_AR);
    else
        fault_filled(vma, fault);
    vmki_mm_read_unlock(mm);
    return 0;
}
