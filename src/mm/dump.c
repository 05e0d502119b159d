/* SPDX-License-Identifier: MIT */
/*
 * dump.c - everything that an address space is, as text that is equal for equal states.
 *
 * Pointers never show: what has an identity (a file, an anon_vma, operations, the embedder's pointers) is named by the
 * start of the first area that has it. Counts of events, spare memory and the identities' own numbers are left out,
 * since a call that fails may change them.
 */
#include "base/format.h"
#include "mm/mm.h"
#include "mm/overlay.h"
#include "mm/reserve.h"

struct dumper {
    struct vmki_format format;
    struct vmk_mm *mm;
};

static void dump_hex(struct dumper *d, const char *name, uint64_t value)
{
    vmki_format_char(&d->format, ' ');
    vmki_format_text(&d->format, name);
    vmki_format_char(&d->format, '=');
    vmki_format_hex(&d->format, value, 1);
}

static void dump_dec(struct dumper *d, const char *name, uint64_t value)
{
    vmki_format_char(&d->format, ' ');
    vmki_format_text(&d->format, name);
    vmki_format_char(&d->format, '=');
    vmki_format_dec(&d->format, value, 1);
}

static void dump_end(struct dumper *d)
{
    vmki_format_char(&d->format, '\n');
}

/* ---- What an area may share with others ---- */

enum dump_key { DUMP_FILE, DUMP_OBJECT, DUMP_ANON_VMA, DUMP_OPS, DUMP_PRIVATE, DUMP_USER };

static const void *dump_key_of(const struct vmk_vma *vma, enum dump_key key)
{
    switch (key) {
    case DUMP_FILE:
        return vma->file;
    case DUMP_OBJECT:
        return vma->file != NULL ? vma->file->object : NULL;
    case DUMP_ANON_VMA:
        return vma->anon_vma;
    case DUMP_OPS:
        return vma->ext != NULL ? (const void *)vma->ext->ops : NULL;
    case DUMP_PRIVATE:
        return vma->ext != NULL ? vma->ext->private_data : NULL;
    case DUMP_USER:
        return vma->ext != NULL ? vma->ext->user : NULL;
    }
    return NULL;
}

/* The start of the first area with the same key. An anon_vma of one reference needs no search, and they are most. */
static vmk_addr dump_first_with(struct dumper *d, const struct vmk_vma *vma, enum dump_key key)
{
    const void *wanted = dump_key_of(vma, key);
    struct vmki_cursor cursor;
    struct vmki_tree_entry entry;

    if (key == DUMP_ANON_VMA && __atomic_load_n(&vma->anon_vma->refs, __ATOMIC_RELAXED) == 1)
        return vma->start;
    VMKI_FOR_EACH_ENTRY (&cursor, &d->mm->tree, &entry) {
        if (dump_key_of(entry.item, key) == wanted)
            return entry.start;
    }
    return vma->start;
}

static void dump_identity(struct dumper *d, const char *name, const struct vmk_vma *vma, enum dump_key key)
{
    if (dump_key_of(vma, key) != NULL)
        dump_hex(d, name, dump_first_with(d, vma, key));
}

static void dump_quoted(struct dumper *d, const char *name, const char *text)
{
    vmki_format_char(&d->format, ' ');
    vmki_format_text(&d->format, name);
    vmki_format_text(&d->format, "=\"");
    vmki_format_text(&d->format, text);
    vmki_format_char(&d->format, '"');
}

static void dump_file(struct dumper *d, const struct vmk_vma *vma)
{
    dump_identity(d, "file", vma, DUMP_FILE);
    dump_identity(d, "object", vma, DUMP_OBJECT);
    dump_dec(d, "file_id", vma->file->id);
    dump_dec(d, "object_id", vma->file->object->id);
    dump_quoted(d, "path", vma->file->name);
}

static void dump_ext(struct dumper *d, const struct vmk_vma *vma)
{
    const struct vmki_ext *ext = vma->ext;

    dump_identity(d, "ops", vma, DUMP_OPS);
    dump_identity(d, "private", vma, DUMP_PRIVATE);
    dump_identity(d, "user", vma, DUMP_USER);
    if (ext->special_name != NULL)
        dump_quoted(d, "special", ext->special_name);
    if (ext->name_size != 0)
        dump_quoted(d, "name", ext->name);
    if (ext->policy.mode != VMK_MPOL_DEFAULT || ext->policy.nodes != 0) {
        dump_hex(d, "policy", ext->policy.mode);
        dump_hex(d, "nodes", ext->policy.nodes);
    }
    if (ext->uffd != 0) {
        dump_dec(d, "uffd", ext->uffd);
        dump_hex(d, "uffd_features", ext->uffd_features);
    }
}

static void dump_area(struct dumper *d, const struct vmk_vma *vma)
{
    vmki_format_text(&d->format, "area ");
    vmki_format_hex(&d->format, vma->start, 1);
    vmki_format_char(&d->format, '-');
    vmki_format_hex(&d->format, vma->end, 1);
    dump_hex(d, "flags", vma->flags & VMKI_VM_PUBLIC);
    dump_hex(d, "pgoff", vmki_vma_pgoff_at(d->mm, vma, vma->start));
    dump_identity(d, "anon_vma", vma, DUMP_ANON_VMA);
    if ((vma->flags & VMKI_VM_FORKED) != 0)
        vmki_format_text(&d->format, " forked");
    if ((vma->flags & VMKI_VM_ANON_UNKNOWN) != 0)
        vmki_format_text(&d->format, " unknown");
    if ((vma->flags & VMKI_VM_POOLED) != 0)
        vmki_format_text(&d->format, " pooled");
    if (vma->file != NULL)
        dump_file(d, vma);
    if (vma->ext != NULL)
        dump_ext(d, vma);
    dump_end(d);
}

static void dump_areas(struct dumper *d)
{
    struct vmki_cursor cursor;
    struct vmki_tree_entry entry;

    VMKI_FOR_EACH_ENTRY (&cursor, &d->mm->tree, &entry)
        dump_area(d, entry.item);
}

/* ---- What belongs to the whole ---- */

static void dump_layout(struct dumper *d)
{
    const struct vmk_mm_layout *layout = &d->mm->layout;

    vmki_format_text(&d->format, "layout");
    dump_hex(d, "start_code", layout->start_code);
    dump_hex(d, "end_code", layout->end_code);
    dump_hex(d, "start_data", layout->start_data);
    dump_hex(d, "end_data", layout->end_data);
    dump_hex(d, "start_brk", layout->start_brk);
    dump_hex(d, "brk", layout->brk);
    dump_hex(d, "start_stack", layout->start_stack);
    dump_hex(d, "arg_start", layout->arg_start);
    dump_hex(d, "arg_end", layout->arg_end);
    dump_hex(d, "env_start", layout->env_start);
    dump_hex(d, "env_end", layout->env_end);
    dump_hex(d, "mmap_base", layout->mmap_base);
    dump_hex(d, "mmap_legacy_base", layout->mmap_legacy_base);
    dump_dec(d, "top_down", layout->top_down);
    dump_hex(d, "task_size", d->mm->task_size);
    dump_hex(d, "window_low", d->mm->window_low);
    dump_hex(d, "window_high", d->mm->window_high);
    dump_hex(d, "seed", d->mm->seed);
    dump_end(d);
}

static void dump_limit(struct dumper *d, const char *name, const struct vmk_rlimit *limit)
{
    dump_hex(d, name, limit->soft);
    vmki_format_char(&d->format, ':');
    vmki_format_hex(&d->format, limit->hard, 1);
}

static void dump_process(struct dumper *d)
{
    const struct vmk_mm *mm = d->mm;

    vmki_format_text(&d->format, "limits");
    dump_limit(d, "as", &mm->rlimits.as);
    dump_limit(d, "data", &mm->rlimits.data);
    dump_limit(d, "stack", &mm->rlimits.stack);
    dump_limit(d, "memlock", &mm->rlimits.memlock);
    dump_end(d);
    vmki_format_text(&d->format, "process");
    dump_hex(d, "capabilities", mm->capabilities);
    dump_hex(d, "personality", mm->personality);
    dump_hex(d, "def_flags", mm->def_flags);
    dump_hex(d, "mdwe", mm->mdwe);
    dump_dec(d, "thp_disable", mm->thp_disable);
    dump_dec(d, "exiting", mm->is_exiting);
    dump_hex(d, "pkeys", mm->pkeys_allocated);
    dump_dec(d, "pkey_exec_only", (uint64_t)mm->pkey_exec_only + 1); /* 0 for none */
    dump_end(d);
}

static void dump_counters(struct dumper *d)
{
    const struct vmk_mm *mm = d->mm;

    vmki_format_text(&d->format, "counters");
    dump_dec(d, "areas", mm->tree.nr_entries);
    dump_dec(d, "total", mm->total_vm);
    dump_dec(d, "locked", mm->locked_vm);
    dump_dec(d, "locked_leak", mm->locked_leak);
    dump_dec(d, "pinned", mm->pinned_vm);
    dump_dec(d, "data", mm->data_vm);
    dump_dec(d, "exec", mm->exec_vm);
    dump_dec(d, "stack", mm->stack_vm);
    dump_dec(d, "shared", mm->shared_vm);
    dump_dec(d, "accounted", mm->accounted_vm);
    dump_dec(d, "peak", vmki_max(mm->peak_vm, mm->total_vm));
    dump_dec(d, "peak_areas", vmki_max(mm->nr_vmas_peak, mm->tree.nr_entries));
    dump_dec(d, "unknown_merges", mm->unknown_merges);
    dump_end(d);
}

static void dump_range(struct dumper *d, const char *kind, vmk_addr start, vmk_addr end)
{
    vmki_format_text(&d->format, kind);
    vmki_format_hex(&d->format, start, 1);
    vmki_format_char(&d->format, '-');
    vmki_format_hex(&d->format, end, 1);
    dump_end(d);
}

static void dump_ranges(struct dumper *d)
{
    vmk_addr start, end;

    for (vmk_addr at = 0; vmki_reserved_next(d->mm, at, &start, &end); at = end)
        dump_range(d, "reserved ", start, end);
    for (vmk_addr at = 0; vmki_overlay_next(d->mm, &at, &start, &end);)
        dump_range(d, "tracked ", start, end);
}

void vmk_mm_dump(struct vmk_mm *mm, vmk_sink_fn *sink, void *context)
{
    struct dumper d;

    d.mm = mm;
    vmki_format_init(&d.format, sink, context);
    vmki_mm_read_lock(mm);
    dump_layout(&d);
    dump_process(&d);
    dump_counters(&d);
    dump_areas(&d);
    dump_ranges(&d);
    vmki_mm_read_unlock(mm);
    vmki_format_flush(&d.format);
}
