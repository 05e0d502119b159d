/* SPDX-License-Identifier: MIT */
/*
 * validate.c - recounts an address space from scratch and names every rule that it breaks.
 *
 * Nothing here trusts a counter or a shortcut of the code that it checks: the definitions of the counters are written
 * down a second time, on purpose.
 */
#include "mm/validate.h"
#include "base/format.h"
#include "mm/mm.h"
#include "mm/overlay.h"
#include "mm/reserve.h"

/* Above this many areas references are not counted one by one: that takes time with the square of the number. */
enum { VALIDATE_EXACT_AREAS = 512 };

struct validator {
    struct vmki_format format;
    struct vmk_mm *mm;
    bool has_sink;
    unsigned broken;
    uint64_t total, locked, data, exec, stack, shared, accounted;
    size_t nr_vmas;
};

static void validate_begin_line(struct validator *v, const char *rule)
{
    v->broken++;
    if (v->has_sink)
        vmki_format_text(&v->format, rule);
}

/* One broken rule of the area that starts at `at`. */
static void validate_broken(struct validator *v, const char *rule, vmk_addr at)
{
    validate_begin_line(v, rule);
    if (!v->has_sink)
        return;
    vmki_format_text(&v->format, " at ");
    vmki_format_hex(&v->format, at, 1);
    vmki_format_char(&v->format, '\n');
}

static void validate_that(struct validator *v, bool holds, const char *rule, vmk_addr at)
{
    if (!holds)
        validate_broken(v, rule, at);
}

static void validate_count(struct validator *v, const char *what, uint64_t counted, uint64_t kept)
{
    if (counted == kept)
        return;
    validate_begin_line(v, what);
    if (!v->has_sink)
        return;
    vmki_format_text(&v->format, ": counted ");
    vmki_format_dec(&v->format, counted, 1);
    vmki_format_text(&v->format, ", kept ");
    vmki_format_dec(&v->format, kept, 1);
    vmki_format_char(&v->format, '\n');
}

static void validate_text(struct validator *v, const char *where, const char *broken)
{
    if (broken == NULL)
        return;
    validate_begin_line(v, where);
    if (!v->has_sink)
        return;
    vmki_format_text(&v->format, ": ");
    vmki_format_text(&v->format, broken);
    vmki_format_char(&v->format, '\n');
}

/* The counters as Linux defines them: an executable read-only mapping, else a stack, else private writable memory. */
static void validate_add_area(struct validator *v, vmk_vm_flags flags, uint64_t pages)
{
    v->nr_vmas++;
    v->total += pages;
    if ((flags & (VMK_VM_EXEC | VMK_VM_WRITE | VMK_VM_STACK)) == VMK_VM_EXEC)
        v->exec += pages;
    else if ((flags & (VMK_VM_STACK | VMK_VM_SHADOW_STACK)) != 0)
        v->stack += pages;
    else if ((flags & (VMK_VM_WRITE | VMK_VM_SHARED)) == VMK_VM_WRITE)
        v->data += pages;
    if ((flags & VMK_VM_LOCKED) != 0)
        v->locked += pages;
    if ((flags & VMK_VM_MAYSHARE) != 0)
        v->shared += pages;
    if ((flags & VMK_VM_ACCOUNT) != 0)
        v->accounted += pages;
}

static void validate_range(struct validator *v, const struct vmki_tree_entry *entry)
{
    const struct vmk_vma *vma = entry->item;

    validate_that(v, vma->start == entry->start && vma->end == entry->end, "area and tree differ in the range",
                  entry->start);
    validate_that(v, vma->flags == (entry->flags & ~VMKI_VM_BARE), "area and tree differ in the flags", entry->start);
    validate_that(v, (entry->flags & VMKI_VM_BARE & ~vmki_vma_bare(vma)) == 0,
                  "something hangs of an area that is bare", entry->start);
    validate_that(v, vma->mm == v->mm, "an area belongs to another address space", entry->start);
    validate_that(v, vmki_page_aligned(v->mm, entry->start) && vmki_page_aligned(v->mm, entry->end),
                  "an area is not page aligned", entry->start);
    validate_that(v, entry->start < entry->end, "an area is empty", entry->start);
    validate_that(v, entry->end <= v->mm->task_size_max, "an area ends above the address space", entry->start);
    validate_that(v, !vmki_reserved_touches(v->mm, entry->start, entry->end), "an area is on a reserved range",
                  entry->start);
}

const char *vmki_area_flags_broken(vmk_vm_flags flags, bool has_anon_vma, bool has_uffd)
{
    bool shared = (flags & VMK_VM_SHARED) != 0;

    if (shared && (flags & VMK_VM_MAYSHARE) == 0)
        return "SHARED without MAYSHARE";
    if (shared && has_anon_vma)
        return "a shared area has an anon_vma";
    if (shared && (flags & VMK_VM_ACCOUNT) != 0)
        return "a shared area is charged";
    if ((flags & VMK_VM_LOCKONFAULT) != 0 && (flags & VMK_VM_LOCKED) == 0)
        return "LOCKONFAULT without LOCKED";
    if ((flags & VMKI_VM_FORKED) != 0 && !has_anon_vma)
        return "FORKED without an anon_vma";
    if ((flags & VMKI_VM_POOLED) != 0 && (flags & (VMK_VM_HUGETLB | VMK_VM_MAYSHARE)) != VMK_VM_HUGETLB)
        return "POOLED without private huge pages";
    if (((flags & VMK_VM_UFFD) != 0) != has_uffd)
        return "userfaultfd flags without a context, or a context without flags";
    if ((flags & VMK_VM_HUGEPAGE) != 0 && (flags & VMK_VM_NOHUGEPAGE) != 0)
        return "HUGEPAGE and NOHUGEPAGE";
    return NULL;
}

static void validate_flags(struct validator *v, const struct vmk_vma *vma)
{
    const char *broken =
        vmki_area_flags_broken(vma->flags, vma->anon_vma != NULL, vma->ext != NULL && vma->ext->uffd != 0);

    if (broken != NULL)
        validate_broken(v, broken, vma->start);
}

/* How many areas of this address space have the same file, ext or anon_vma; each holds a reference. */
static void validate_users(struct vmk_mm *mm, const struct vmk_vma *vma, uint64_t users[3])
{
    struct vmki_cursor cursor;
    struct vmki_tree_entry entry;

    VMKI_FOR_EACH_ENTRY (&cursor, &mm->tree, &entry) {
        const struct vmk_vma *other = entry.item;
        users[0] += vma->file != NULL && other->file == vma->file;
        users[1] += vma->ext != NULL && other->ext == vma->ext;
        users[2] += vma->anon_vma != NULL && other->anon_vma == vma->anon_vma;
    }
}

static void validate_references(struct validator *v, const struct vmk_vma *vma)
{
    uint64_t users[3] = {vma->file != NULL, vma->ext != NULL, vma->anon_vma != NULL};

    if (v->mm->tree.nr_entries <= VALIDATE_EXACT_AREAS) {
        memset(users, 0, sizeof(users));
        validate_users(v->mm, vma, users);
    }
    if (vma->file != NULL)
        validate_that(v, __atomic_load_n(&vma->file->refs, __ATOMIC_RELAXED) >= users[0], "a file lacks references",
                      vma->start);
    if (vma->file != NULL)
        validate_that(v, __atomic_load_n(&vma->file->object->refs, __ATOMIC_RELAXED) >= 1, "an object lacks references",
                      vma->start);
    if (vma->ext != NULL)
        validate_that(v, __atomic_load_n(&vma->ext->refs, __ATOMIC_RELAXED) >= users[1], "an ext lacks references",
                      vma->start);
    if (vma->anon_vma != NULL)
        validate_that(v, __atomic_load_n(&vma->anon_vma->refs, __ATOMIC_RELAXED) >= users[2],
                      "an anon_vma lacks references", vma->start);
}

/* Is the link in its object's list? Seen from its neighbours, and, where there are few areas, by looking it up. */
static bool validate_is_linked(const struct validator *v, const struct vmk_object *object,
                               const struct vmki_rmap_link *link)
{
    const struct vmki_rmap_link *at = object->links;

    if ((link->prev != NULL ? link->prev->next : object->links) != link)
        return false;
    if (v->mm->tree.nr_entries > VALIDATE_EXACT_AREAS)
        return true;
    while (at != NULL && at != link)
        at = at->next;
    return at == link;
}

/* The link of a file's area: in its object's list, with the bytes of the file that the area maps. */
static void validate_rmap(struct validator *v, struct vmk_vma *vma)
{
    const struct vmki_rmap_link *link = &vmki_file_vma_of(vma)->rmap;
    uint64_t first = vmki_vma_pgoff_at(v->mm, vma, vma->start) << v->mm->page_shift;

    vmk_sync_mutex_lock(&v->mm->system->rmap_lock);
    validate_that(v, validate_is_linked(v, vma->file->object, link), "an area is missing in its object's reverse map",
                  vma->start);
    validate_that(v, link->next == NULL || link->next->prev == link, "a reverse map's list is broken", vma->start);
    validate_that(v, link->start == first && link->end == first + (vma->end - vma->start),
                  "the reverse map has another range", vma->start);
    vmk_sync_mutex_unlock(&v->mm->system->rmap_lock);
}

static void validate_areas(struct validator *v)
{
    struct vmki_cursor cursor;
    struct vmki_tree_entry entry;
    vmk_addr below = 0;

    VMKI_FOR_EACH_ENTRY (&cursor, &v->mm->tree, &entry) {
        struct vmk_vma *vma = entry.item;
        validate_that(v, entry.start >= below, "areas overlap", entry.start);
        below = entry.end;
        validate_range(v, &entry);
        validate_flags(v, vma);
        validate_references(v, vma);
        if (vma->file != NULL)
            validate_rmap(v, vma);
        validate_add_area(v, vma->flags, (entry.end - entry.start) >> v->mm->page_shift);
    }
}

static uint64_t validate_list_len(const struct vmk_vma *vma)
{
    uint64_t nr = 0;

    for (; vma != NULL; vma = vma->link)
        nr++;
    return nr;
}

static void validate_counters(struct validator *v)
{
    const struct vmk_mm *mm = v->mm;

    validate_count(v, "number of areas", v->nr_vmas, mm->tree.nr_entries);
    validate_count(v, "total_vm", v->total, mm->total_vm);
    validate_count(v, "locked_vm", v->locked + mm->locked_leak, mm->locked_vm);
    validate_count(v, "data_vm", v->data, mm->data_vm);
    validate_count(v, "exec_vm", v->exec, mm->exec_vm);
    validate_count(v, "stack_vm", v->stack, mm->stack_vm);
    validate_count(v, "shared_vm", v->shared, mm->shared_vm);
    validate_count(v, "accounted_vm", v->accounted, mm->accounted_vm);
    validate_count(v, "spare areas", validate_list_len(mm->spare_anon), mm->nr_spare_anon);
    validate_count(v, "spare file areas", validate_list_len(mm->spare_file), mm->nr_spare_file);
    if (mm->system->commit == NULL && mm->settings->enforce_limits != 0)
        validate_that(v, vmk_system_committed(mm->system) >= v->accounted,
                      "the system's commit charge is below this address space's", 0);
}

unsigned vmk_mm_validate(struct vmk_mm *mm, vmk_sink_fn *sink, void *context)
{
    struct validator v;
    const char *broken_tree;

    memset(&v, 0, sizeof(v));
    v.mm = mm;
    v.has_sink = sink != NULL;
    vmki_format_init(&v.format, sink, context);
    vmki_mm_read_lock(mm);
    broken_tree = vmki_tree_validate(&mm->tree);
    validate_text(&v, "tree", broken_tree);
    validate_text(&v, "reserved ranges", vmki_tree_validate(&mm->reserved));
    if (broken_tree == NULL) {
        validate_areas(&v);
        validate_counters(&v);
        validate_text(&v, "write tracking", vmki_overlay_validate(mm));
    }
    vmki_mm_read_unlock(mm);
    if (v.has_sink)
        vmki_format_flush(&v.format);
    return v.broken;
}
