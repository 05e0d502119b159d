/* SPDX-License-Identifier: MIT */
/*
 * save.c - address spaces as text (report/state.h has the format).
 *
 * Two passes with every mm.lock held: the first gives each file and each anon_vma its number, in the order in which they
 * appear, and refuses what cannot be written; the second writes.
 */
#include "base/format.h"
#include "mm/overlay.h"
#include "mm/reserve.h"
#include "report/numbers.h"
#include "report/state.h"
#include "vmakit/state.h"

static const char *const state_special_names[] = {
    "[vdso]", "[vvar]", "[vvar_vclock]", "[vectors]", "[sigpage]", "[uprobes]", "[aio]", "[vsyscall]", "[shadow_stack]",
};

const char *vmki_special_name(const char *text, size_t len)
{
    for (size_t i = 0; i < VMKI_ARRAY_SIZE(state_special_names); i++)
        if (vmki_strlen(state_special_names[i]) == len && memcmp(state_special_names[i], text, len) == 0)
            return state_special_names[i];
    return NULL;
}

struct saver {
    struct vmki_format format;
    struct vmk_mm *const *mms;
    size_t nr_mms;
    struct vmki_numbers files, anon_vmas; /* by pointer; an item is the number + 1 as a pointer */
    uint64_t nr_files, nr_anon_vmas;
};

/* ---- Pieces of a line ---- */

static void save_field(struct saver *s, const char *name, uint64_t value)
{
    vmki_format_char(&s->format, ' ');
    vmki_format_text(&s->format, name);
    vmki_format_char(&s->format, '=');
    vmki_format_hex(&s->format, value, 1);
}

static void save_number(struct saver *s, uint64_t value)
{
    vmki_format_char(&s->format, ' ');
    vmki_format_hex(&s->format, value, 1);
}

static void save_text(struct saver *s, const char *name, const char *text)
{
    vmki_format_char(&s->format, ' ');
    vmki_format_text(&s->format, name);
    vmki_format_text(&s->format, "=\"");
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;

        if (byte >= ' ' && byte < 0x7f && byte != '"' && byte != '\\') {
            vmki_format_char(&s->format, *text);
        } else {
            vmki_format_char(&s->format, '\\');
            vmki_format_hex(&s->format, byte, 2);
        }
    }
    vmki_format_char(&s->format, '"');
}

static void save_line_end(struct saver *s)
{
    vmki_format_char(&s->format, '\n');
}

/* ---- First pass ---- */

/* The number of a thing, a new one at its first appearance. False: memory is short. */
static bool save_give_number(struct vmki_numbers *numbers, uint64_t *nr, const void *thing)
{
    uint64_t key = vmki_numbers_key(thing);

    if (thing == NULL || vmki_numbers_get(numbers, key) != NULL)
        return true;
    (*nr)++;
    return vmki_numbers_put(numbers, key, (void *)(uintptr_t)*nr);
}

static uint64_t save_number_of(const struct vmki_numbers *numbers, const void *thing)
{
    return (uint64_t)(uintptr_t)vmki_numbers_get(numbers, vmki_numbers_key(thing));
}

/*
 * A driver's operations are found again through its file's mmap hook, those of a special area by its name; nobody knows
 * others. The embedder's private data of a special area cannot be found at all.
 */
static bool save_is_possible(const struct vmk_vma *vma)
{
    const struct vmki_ext *ext = vma->ext;

    if (ext == NULL)
        return true;
    if (ext->special_name != NULL)
        return vmki_special_name(ext->special_name, vmki_strlen(ext->special_name)) != NULL &&
               ext->private_data == NULL;
    return vma->file != NULL || (ext->ops == NULL && ext->private_data == NULL);
}

static int save_look_at(struct saver *s, struct vmk_mm *mm)
{
    struct vmki_cursor cursor;
    struct vmki_tree_entry entry;

    VMKI_FOR_EACH_ENTRY (&cursor, &mm->tree, &entry) {
        const struct vmk_vma *vma = entry.item;

        if (!save_is_possible(vma))
            return -VMK_ERR_UNSUPPORTED;
        if (!save_give_number(&s->files, &s->nr_files, vma->file) ||
            !save_give_number(&s->anon_vmas, &s->nr_anon_vmas, vma->anon_vma))
            return -VMK_ERR_HOST_NOMEM;
    }
    return 0;
}

/* ---- Second pass ---- */

static void save_file(struct saver *s, const struct vmk_file *file, uint64_t number)
{
    const struct vmk_object *object = file->object;

    vmki_format_text(&s->format, "file");
    save_number(s, number);
    save_field(s, "id", file->id);
    save_field(s, "object", object->id);
    if (object->is_internal) {
        save_field(s, "kind", (uint64_t)object->kind);
        save_field(s, "bytes", __atomic_load_n(&object->nr_bytes, __ATOMIC_RELAXED));
        save_field(s, "pages", object->commit_pages);
        save_field(s, "huge", object->huge_pages);
        save_field(s, "shift", object->huge_shift);
        save_field(s, "inode", object->inode);
        vmki_format_text(&s->format, " internal");
    }
    save_text(s, "path", file->name);
    save_line_end(s);
}

/* Files by number: the first area with a file of the next number is where it appeared. */
static void save_files_of(struct saver *s, struct vmk_mm *mm, uint64_t *written)
{
    struct vmki_cursor cursor;
    struct vmki_tree_entry entry;

    VMKI_FOR_EACH_ENTRY (&cursor, &mm->tree, &entry) {
        const struct vmk_vma *vma = entry.item;

        if (vma->file != NULL && save_number_of(&s->files, vma->file) == *written + 1)
            save_file(s, vma->file, ++*written);
    }
}

static void save_settings(struct saver *s, const struct vmk_settings *settings)
{
    const struct vmk_setting_info *info;

    for (size_t i = 0; (info = vmk_setting_at(i)) != NULL; i++) {
        uint64_t value = 0;

        (void)vmk_settings_get(settings, info->name, &value);
        vmki_format_text(&s->format, "setting ");
        vmki_format_text(&s->format, info->name);
        save_number(s, value);
        save_line_end(s);
    }
}

static void save_value(struct saver *s, const char *name, uint64_t value)
{
    vmki_format_text(&s->format, "value ");
    vmki_format_text(&s->format, name);
    save_number(s, value);
    save_line_end(s);
}

static void save_values(struct saver *s, const struct vmk_mm *mm)
{
#define SAVE_VALUE(name, where) save_value(s, #name, (uint64_t)mm->where);
    VMKI_STATE_VALUES(SAVE_VALUE)
#undef SAVE_VALUE
    save_value(s, "pkey_exec_only", (uint64_t)mm->pkey_exec_only + 1); /* 0: none */
}

static void save_range(struct saver *s, const char *kind, vmk_addr start, vmk_addr end)
{
    vmki_format_text(&s->format, kind);
    save_number(s, start);
    save_number(s, end);
    save_line_end(s);
}

static void save_ranges(struct saver *s, struct vmk_mm *mm)
{
    vmk_addr start, end;

    for (vmk_addr at = 0; vmki_reserved_next(mm, at, &start, &end); at = end)
        save_range(s, "reserved", start, end);
    for (vmk_addr at = 0; vmki_overlay_next(mm, &at, &start, &end);)
        save_range(s, "tracked", start, end);
}

static void save_ext(struct saver *s, const struct vmk_vma *vma)
{
    const struct vmki_ext *ext = vma->ext;

    if (ext->special_name != NULL)
        save_text(s, "special", ext->special_name);
    if (ext->name_size != 0)
        save_text(s, "name", ext->name);
    if (ext->policy.mode != VMK_MPOL_DEFAULT || ext->policy.nodes != 0) {
        save_field(s, "policy", ext->policy.mode);
        save_field(s, "nodes", ext->policy.nodes);
    }
    if (ext->uffd != 0) {
        save_field(s, "uffd", ext->uffd);
        save_field(s, "features", ext->uffd_features);
    }
    if (ext->ops != NULL || ext->private_data != NULL)
        vmki_format_text(&s->format, " driver");
}

static void save_area(struct saver *s, struct vmk_mm *mm, const struct vmk_vma *vma)
{
    vmki_format_text(&s->format, "area");
    save_number(s, vma->start);
    save_number(s, vma->end);
    save_number(s, vma->flags & VMKI_VM_PUBLIC);
    save_number(s, vmki_vma_pgoff_at(mm, vma, vma->start));
    if (vma->file != NULL)
        save_field(s, "file", save_number_of(&s->files, vma->file));
    if (vma->anon_vma != NULL)
        save_field(s, "anon", save_number_of(&s->anon_vmas, vma->anon_vma));
    if ((vma->flags & VMKI_VM_FORKED) != 0)
        vmki_format_text(&s->format, " forked");
    if ((vma->flags & VMKI_VM_ANON_UNKNOWN) != 0)
        vmki_format_text(&s->format, " unknown");
    if ((vma->flags & VMKI_VM_POOLED) != 0)
        vmki_format_text(&s->format, " pooled");
    if (vma->ext != NULL)
        save_ext(s, vma);
    save_line_end(s);
}

static void save_mm(struct saver *s, struct vmk_mm *mm)
{
    struct vmki_cursor cursor;
    struct vmki_tree_entry entry;

    vmki_format_text(&s->format, "mm\n");
    save_settings(s, mm->settings);
    save_values(s, mm);
    save_ranges(s, mm);
    VMKI_FOR_EACH_ENTRY (&cursor, &mm->tree, &entry)
        save_area(s, mm, entry.item);
    vmki_format_text(&s->format, "end\n");
}

static void save_all(struct saver *s)
{
    uint64_t written = 0;

    vmki_format_text(&s->format, "vmakit-state 1\n");
    for (size_t i = 0; i < s->nr_mms; i++)
        save_files_of(s, s->mms[i], &written);
    for (size_t i = 0; i < s->nr_mms; i++)
        save_mm(s, s->mms[i]);
    vmki_format_flush(&s->format);
}

static bool is_one_of(const struct vmk_mm *mm, struct vmk_mm *const *mms, size_t nr)
{
    for (size_t i = 0; i < nr; i++)
        if (mms[i] == mm)
            return true;
    return false;
}

/* Each once, and all of one system. */
static bool can_lock_all(struct vmk_mm *const *mms, size_t nr)
{
    for (size_t i = 1; i < nr; i++)
        if (mms[i]->system != mms[0]->system || is_one_of(mms[i], mms, i))
            return false;
    return true;
}

/* In the order of the system's list, as everybody who takes several: while lanes are open, shared locks exclude each other. */
static void lock_all(struct vmk_mm *const *mms, size_t nr)
{
    struct vmk_system *system = mms[0]->system;

    vmk_sync_mutex_lock(&system->lock);
    for (struct vmki_member *member = system->members; member != NULL; member = member->next) {
        struct vmk_mm *mm = VMKI_CONTAINER_OF(member, struct vmk_mm, member);

        if (is_one_of(mm, mms, nr))
            vmki_mm_read_lock(mm);
    }
    vmk_sync_mutex_unlock(&system->lock);
}

int vmk_mm_save(struct vmk_mm *const *mms, size_t nr_mms, vmk_sink_fn *sink, void *context)
{
    struct vmk_system *system;
    struct saver *s;
    int error = 0;

    if (nr_mms == 0 || !can_lock_all(mms, nr_mms))
        return -VMK_ERR_MISUSE;
    system = mms[0]->system;
    s = vmki_alloc(system, sizeof(*s), _Alignof(struct saver)); /* too large for the stack */
    if (s == NULL)
        return -VMK_ERR_HOST_NOMEM;
    memset(s, 0, sizeof(*s));
    vmki_format_init(&s->format, sink, context);
    s->mms = mms;
    s->nr_mms = nr_mms;
    vmki_numbers_init(&s->files, mms[0]->system);
    vmki_numbers_init(&s->anon_vmas, mms[0]->system);
    lock_all(mms, nr_mms);
    for (size_t i = 0; i < nr_mms && error == 0; i++)
        error = save_look_at(s, mms[i]);
    if (error == 0)
        save_all(s);
    for (size_t i = nr_mms; i > 0; i--)
        vmki_mm_read_unlock(mms[i - 1]);
    vmki_numbers_end(&s->files);
    vmki_numbers_end(&s->anon_vmas);
    vmki_free(system, s, sizeof(*s));
    return error;
}
