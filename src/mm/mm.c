/* SPDX-License-Identifier: MIT */
/* mm.c - address spaces: their life, their limits and marks, lookup and iteration. */
#include "mm/mm.h"

#include "base/atomic.h"
#include "mm/fault.h"
#include "mm/lane.h"
#include "mm/overlay.h"
#include "mm/plan.h"

void vmk_mm_options_init(struct vmk_mm_options *options)
{
    *options = (struct vmk_mm_options){
        .size = sizeof(*options),
        .rlimits = {.as = {VMK_RLIM_INFINITY, VMK_RLIM_INFINITY},
                    .data = {VMK_RLIM_INFINITY, VMK_RLIM_INFINITY},
                    .stack = {UINT64_C(8) << 20, VMK_RLIM_INFINITY},
                    .memlock = {UINT64_C(8) << 20, UINT64_C(8) << 20}},
        .personality = VMK_ADDR_NO_RANDOMIZE,
    };
}

static bool mm_options_usable(const struct vmk_mm_options *options)
{
    return options->size == sizeof(*options) && options->window_low <= options->window_high;
}

static void mm_set_settings(struct vmk_mm *mm, struct vmki_settings *settings)
{
    const struct vmk_settings *values = &settings->values;
    uint64_t hole = values->arch == VMK_ARCH_X86_64 ? UINT64_C(1) << values->page_shift : 0;

    mm->shared_settings = settings;
    mm->settings = values;
    mm->page_shift = (uint32_t)values->page_shift;
    mm->page_size = UINT64_C(1) << values->page_shift;
    mm->min_addr = vmki_max(values->mmap_min_addr, values->lsm_min_addr);
    /* x86-64 keeps the last page below the canonical hole unmapped. */
    mm->task_size = (UINT64_C(1) << values->va_bits) - hole;
    mm->task_size_max = (UINT64_C(1) << values->va_bits_wide) - hole;
}

/* An address space in memory: with the plan of its calls, which is too large for the stack. */
struct mm_block {
    struct vmk_mm mm;
    struct vmki_plan plan;
};
_Static_assert(sizeof(struct mm_block) <= 3072, "an empty address space stays small");

void vmki_mm_add_counters(const struct vmk_mm *mm, struct vmk_counters *sum)
{
    const struct vmki_stripe *stripes = vmki_load_acquire(&mm->fault_stripes);

    vmki_counters_add(sum, &mm->counters);
    vmki_lanes_add_counters(mm, sum);
    for (unsigned i = 0; stripes != NULL && i < VMKI_NR_STRIPES; i++)
        sum->fault += vmki_load_relaxed(&stripes[i].nr_faults);
}

static void mm_add_counters(struct vmki_member *member, struct vmk_counters *sum)
{
    vmki_mm_add_counters(VMKI_CONTAINER_OF(member, struct vmk_mm, member), sum);
}

struct vmk_mm *vmki_mm_new(struct vmk_system *system, struct vmki_settings *settings)
{
    struct mm_block *block = vmki_alloc(system, sizeof(*block), 64);
    struct vmk_mm *mm;

    if (block == NULL)
        return NULL;
    mm = &block->mm;
    memset(mm, 0, sizeof(*mm));
    mm->call = &block->plan;
    mm->retired = vmki_retired_new(system);
    if (mm->retired == NULL) {
        vmki_free(system, block, sizeof(*block));
        return NULL;
    }
    mm->system = system;
    mm->whole = mm;
    mm_set_settings(mm, vmki_settings_get(settings));
    mm->tree_memory = vmki_mm_tree_memory(mm);
    vmki_tree_init(&mm->tree, &mm->tree_memory);
    vmki_tree_init(&mm->reserved, &mm->tree_memory);
    vmk_sync_rwlock_init(&mm->lock);
    vmk_sync_mutex_init(&mm->anon_lock);
    mm->users = 1;
    mm->refs = 1;
    mm->pkeys_allocated = 1;
    mm->pkey_exec_only = -1;
    mm->member = (struct vmki_member){.lock = &mm->lock,
                                      .inner_lock = &mm->anon_lock,
                                      .more_lock = vmki_lane_lock,
                                      .add_counters = mm_add_counters,
                                      .flush = vmki_mm_flush};
    vmki_system_join(system, &mm->member);
    return mm;
}

int vmk_mm_create(struct vmk_system *system, const struct vmk_mm_options *options, struct vmk_mm **mm)
{
    struct vmki_settings *settings;
    struct vmk_mm *made;

    if (!mm_options_usable(options))
        return -VMK_ERR_MISUSE;
    int error = options->settings == NULL ? 0 : vmki_settings_error(options->settings);
    if (error != 0)
        return error;
    settings =
        options->settings != NULL ? vmki_settings_new(system, options->settings) : vmki_settings_get(system->settings);
    if (settings == NULL)
        return -VMK_ERR_HOST_NOMEM;
    made = vmki_mm_new(system, settings);
    vmki_settings_put(system, settings);
    if (made == NULL)
        return -VMK_ERR_HOST_NOMEM;
    made->rlimits = options->rlimits;
    made->capabilities = options->capabilities;
    made->personality = options->personality;
    made->seed = options->seed;
    made->window_low = options->window_low;
    made->window_high = options->window_high;
    made->backend = options->backend;
    made->backend_context = options->backend_context;
    made->user = options->user;
    vmki_layout_init(made);
    if (options->mmap_base != 0)
        made->layout.mmap_base = options->mmap_base;
    *mm = made;
    return 0;
}

void vmk_mm_get(struct vmk_mm *mm)
{
    __atomic_add_fetch(&mm->users, 1, __ATOMIC_RELAXED);
}

void vmk_mm_grab(struct vmk_mm *mm)
{
    __atomic_add_fetch(&mm->refs, 1, __ATOMIC_RELAXED);
}

void vmk_mm_put(struct vmk_mm *mm)
{
    if (__atomic_sub_fetch(&mm->users, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    vmk_mm_exit(mm);
    vmk_mm_drop(mm);
}

void vmk_mm_drop(struct vmk_mm *mm)
{
    struct vmk_system *system = mm->system;

    if (__atomic_sub_fetch(&mm->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    vmki_tree_destroy(&mm->tree);
    vmki_tree_destroy(&mm->reserved);
    vmki_overlay_free(mm);
    vmki_lanes_give_spare(mm);
    vmki_mm_memory_end(mm);
    vmk_sync_rwlock_destroy(&mm->lock);
    vmk_sync_mutex_destroy(&mm->anon_lock);
    vmki_settings_put(system, mm->shared_settings);
    vmki_system_part(system, &mm->member);
    vmki_lanes_free(mm);
    if (mm->fault_stripes != NULL)
        vmki_free(system, mm->fault_stripes, VMKI_NR_STRIPES * sizeof(struct vmki_stripe));
    vmki_free(system, mm, sizeof(struct mm_block));
}

/*
 * exit_mmap: every area is unlinked, closed and retired in ascending order; the tree goes at once, without an allocation.
 */
void vmk_mm_exit(struct vmk_mm *mm)
{
    struct vmki_cursor cursor;
    struct vmki_tree_entry entry;
    struct vmk_vma *gone = NULL, **tail = &gone;
    uint64_t accounted, pooled = 0;

    vmki_mm_lock(mm);
    accounted = mm->accounted_vm;
    mm->is_exiting = true;
    VMKI_FOR_EACH_ENTRY (&cursor, &mm->tree, &entry) {
        struct vmk_vma *vma = entry.item;

        vmki_count_area(mm, vma->flags, vmki_vma_nr_pages(vma), -1);
        pooled += vmki_pooled_pages(vma->flags, vmki_vma_nr_pages(vma));
        *tail = vma;
        tail = &vma->link;
    }
    *tail = NULL;
    vmki_finger_forget(mm);
    vmki_tree_clear(&mm->tree);
    vmki_end_areas(mm, gone);
    vmki_uncharge(mm, accounted);
    vmki_pool_uncharge(mm, pooled);
    if (mm->backend != NULL && mm->backend->release != NULL)
        mm->backend->release(mm->backend_context, mm);
    mm->backend = NULL;
    vmki_mm_unlock(mm);
}

/* Memory that may carry tags: what has no file, and files that live in memory (Linux's memory-tagging-extension document). */
vmk_vm_flags vmki_tag_flags(const struct vmk_mm *mm, const struct vmk_file *file)
{
    if (mm->settings->mte == 0)
        return 0;
    return file == NULL || file->object->kind == VMK_OBJECT_SHMEM || file->object->kind == VMK_OBJECT_HUGETLB
               ? VMK_VM_MTE_ALLOWED
               : 0;
}

vmk_vm_flags vmki_default_flags(const struct vmk_mm *mm, const struct vmk_file *file, vmk_vm_flags flags)
{
    const vmk_vm_flags unmergeable = VMK_VM_SHARED | VMK_VM_MAYSHARE | VMK_VM_SPECIAL | VMK_VM_HUGETLB |
                                     VMK_VM_DROPPABLE | VMK_VM_SAO | VMK_VM_MERGEABLE;
    vmk_vm_flags result = mm->def_flags | vmki_tag_flags(mm, file);

    if ((flags & unmergeable) != 0)
        result &= ~VMK_VM_MERGEABLE;
    if (mm->settings->soft_dirty != 0)
        result |= VMK_VM_SOFTDIRTY;
    return result;
}

bool vmki_mdwe_denies(const struct vmk_mm *mm, vmk_vm_flags old_flags, vmk_vm_flags new_flags)
{
    if ((mm->mdwe & VMK_MDWE_REFUSE_EXEC_GAIN) == 0 || (new_flags & VMK_VM_EXEC) == 0)
        return false;
    if ((new_flags & VMK_VM_WRITE) != 0)
        return true;
    return (old_flags & VMK_VM_EXEC) == 0;
}

int vmki_exec_only_pkey(struct vmk_mm *mm)
{
    if (mm->settings->nr_pkeys == 0)
        return 0;
    for (int key = 1; mm->pkey_exec_only < 0 && key < (int)mm->settings->nr_pkeys; key++)
        if ((mm->pkeys_allocated >> key & 1) == 0) {
            mm->pkeys_allocated |= UINT32_C(1) << key;
            mm->pkey_exec_only = key;
        }
    return mm->pkey_exec_only > 0 ? mm->pkey_exec_only : 0;
}

void vmki_event(struct vmk_mm *mm, enum vmk_event event, vmk_addr start, vmk_addr end)
{
    mm->system->trace(mm->system->trace_context, event, mm, start, end);
}

/* ---- What the embedder may ask and set ---- */

struct vmk_system *vmk_mm_system(const struct vmk_mm *mm)
{
    return mm->system;
}

const struct vmk_settings *vmk_mm_settings(const struct vmk_mm *mm)
{
    return mm->settings;
}

void *vmk_mm_user(const struct vmk_mm *mm)
{
    return mm->user;
}

void vmk_mm_set_user(struct vmk_mm *mm, void *user)
{
    mm->user = user;
}

void vmk_mm_get_rlimits(struct vmk_mm *mm, struct vmk_rlimits *rlimits)
{
    vmki_mm_read_lock(mm);
    *rlimits = mm->rlimits;
    vmki_mm_read_unlock(mm);
}

void vmk_mm_set_rlimits(struct vmk_mm *mm, const struct vmk_rlimits *rlimits)
{
    vmki_mm_lock(mm);
    mm->rlimits = *rlimits;
    vmki_mm_unlock(mm);
}

void vmk_mm_set_capabilities(struct vmk_mm *mm, uint32_t capabilities)
{
    vmki_mm_lock(mm);
    mm->capabilities = capabilities;
    vmki_mm_unlock(mm);
}

uint32_t vmk_mm_capabilities(struct vmk_mm *mm)
{
    return vmki_load_relaxed(&mm->capabilities);
}

void vmk_mm_set_personality(struct vmk_mm *mm, uint32_t personality)
{
    vmki_mm_lock(mm);
    mm->personality = personality;
    vmki_mm_unlock(mm);
}

void vmk_mm_get_layout(struct vmk_mm *mm, struct vmk_mm_layout *layout)
{
    vmki_mm_read_lock(mm);
    *layout = mm->layout;
    vmki_mm_read_unlock(mm);
}

void vmk_mm_set_layout(struct vmk_mm *mm, const struct vmk_mm_layout *layout)
{
    vmki_mm_lock(mm);
    mm->layout = *layout;
    mm->layout.task_size = mm->task_size;
    vmki_mm_unlock(mm);
}

/* Areas, their share of the tree, and what is kept for the next call; what is shared or waits for readers is not here. */
static uint64_t mm_bytes(const struct vmk_mm *mm)
{
    return sizeof(struct mm_block) + vmki_lanes_bytes(mm) +
           (mm->fault_stripes != NULL ? VMKI_NR_STRIPES * sizeof(struct vmki_stripe) : 0) + mm->tree.nr_nodes_bytes +
           vmki_mm_carried_bytes(mm) + mm->tree.nr_entries * sizeof(struct vmk_vma) +
           (mm->nr_spare_anon + vmki_mm_nr_leaving(mm)) * sizeof(struct vmk_vma) +
           mm->nr_spare_file * sizeof(struct vmki_file_vma);
}

void vmk_mm_get_stats(struct vmk_mm *mm, struct vmk_mm_stats *stats)
{
    size_t size = stats->size;

    vmki_mm_read_lock(mm);
    *stats = (struct vmk_mm_stats){
        .size = size,
        .nr_vmas = mm->tree.nr_entries,
        .peak_vmas = mm->nr_vmas_peak,
        .total_vm = mm->total_vm,
        .peak_vm = vmki_max(mm->peak_vm, mm->total_vm),
        .locked_vm = mm->locked_vm,
        .pinned_vm = mm->pinned_vm,
        .data_vm = mm->data_vm,
        .exec_vm = mm->exec_vm,
        .stack_vm = mm->stack_vm,
        .shared_vm = mm->shared_vm,
        .committed = mm->accounted_vm,
        .nr_bytes = mm_bytes(mm),
    };
    vmki_mm_read_unlock(mm);
}

void vmk_mm_get_counters(struct vmk_mm *mm, struct vmk_counters *counters)
{
    vmki_mm_read_lock(mm);
    *counters = (struct vmk_counters){0};
    vmki_mm_add_counters(mm, counters);
    vmki_mm_read_unlock(mm);
}

int vmk_mm_pin(struct vmk_mm *mm, int64_t pages)
{
    uint64_t limit = mm->rlimits.memlock.soft;
    uint64_t pinned;
    int error = 0;

    vmki_mm_lock(mm);
    pinned = mm->pinned_vm + (uint64_t)pages;
    if (pages < 0 && (uint64_t)-pages > mm->pinned_vm)
        error = -VMK_EINVAL;
    else if (pages > 0 && limit != VMK_RLIM_INFINITY && !vmki_capable(mm, VMK_CAP_IPC_LOCK) &&
             mm->settings->enforce_limits != 0 && pinned > limit >> mm->page_shift)
        error = -VMK_ENOMEM;
    else
        mm->pinned_vm = pinned;
    vmki_mm_unlock(mm);
    return error;
}

void vmk_mm_set_notice(struct vmk_mm *mm, vmk_change_fn *notice, void *context)
{
    vmki_mm_lock(mm);
    mm->notice = notice;
    mm->notice_context = context;
    vmki_mm_unlock(mm);
}

int vmk_mm_unmapped_area(struct vmk_mm *mm, vmk_addr hint, uint64_t len, uint32_t flags, struct vmk_file *file,
                         uint64_t pgoff, vmk_addr *address)
{
    struct vmki_place place = {.hint = hint,
                               .len = vmki_page_align(mm, len),
                               .flags = flags,
                               .file = file,
                               .shared = (flags & VMK_MAP_SHARED) != 0,
                               .pgoff = pgoff};
    int error;

    if (place.len == 0)
        return -VMK_EINVAL;
    vmki_mm_read_lock(mm);
    error = vmki_place(mm, &place, address);
    vmki_mm_read_unlock(mm);
    return error;
}

/*
 * ---- Lookup: no lock ----
 *
 * An area's memory may be used again while it is looked at: what was read counts if the look at the leaf still holds.
 */

int vmk_mm_lookup(struct vmk_mm *mm, vmk_addr address, struct vmk_vma_info *info)
{
    struct vmki_tree_entry entry;
    struct vmki_tree_look look;
    bool found;

    vmk_sync_read_enter();
    do {
        found = vmki_tree_look_at(&mm->tree, address, &entry, &look);
        if (found)
            vmki_vma_describe(entry.item, &entry, info);
    } while (found && VMKI_UNLIKELY(!vmki_tree_holds(&look)));
    vmk_sync_read_exit();
    return found ? 0 : -VMK_ENOENT;
}

int vmk_mm_next(struct vmk_mm *mm, vmk_addr *cursor, struct vmk_vma_info *info)
{
    struct vmki_tree_entry entry;
    struct vmki_tree_look look;
    bool found;

    vmk_sync_read_enter();
    do {
        found = vmki_tree_look_next(&mm->tree, *cursor, &entry, &look);
        if (found)
            vmki_vma_describe(entry.item, &entry, info);
    } while (found && VMKI_UNLIKELY(!vmki_tree_holds(&look)));
    vmk_sync_read_exit();
    if (!found)
        return -VMK_ENOENT;
    *cursor = entry.end;
    return 0;
}

int vmk_mm_check_access(struct vmk_mm *mm, vmk_addr address, unsigned access)
{
    vmk_vm_flags flags;
    bool found;

    vmk_sync_read_enter();
    found = vmki_tree_find_flags(&mm->tree, address, &flags);
    vmk_sync_read_exit();
    if (!found)
        return -VMK_ENOENT;
    if (VMKI_LIKELY(vmki_access_is_plain(flags, access)))
        return 0;
    return vmki_check_access(mm->settings, flags, access);
}

struct vmk_vma *vmk_mm_find(struct vmk_mm *mm, vmk_addr address)
{
    return vmki_find_next(mm, address);
}

void vmk_mm_lock_read(struct vmk_mm *mm)
{
    vmki_mm_read_lock(mm);
}

void vmk_mm_unlock_read(struct vmk_mm *mm)
{
    vmki_mm_read_unlock(mm);
}

void vmk_mm_lock_write(struct vmk_mm *mm)
{
    vmki_mm_lock(mm);
}

void vmk_mm_unlock_write(struct vmk_mm *mm)
{
    vmki_mm_unlock(mm);
}
