/* SPDX-License-Identifier: MIT */
/*
 * load.c - address spaces from the text that save writes (report/state.h has the format). The text may be anything: what
 * cannot be is refused with its line, and nothing is left behind.
 */
#include "mm/mm.h"
#include "mm/range.h"
#include "mm/validate.h"
#include "report/numbers.h"
#include "report/state.h"
#include "tree/ranges.h"
#include "vmakit/state.h"

/* A piece of the text: not zero-terminated. */
struct load_word {
    const char *text;
    size_t len;
};

/* NAME, NAME=VALUE or NAME="TEXT" (value then still has its escapes). */
struct load_field {
    struct load_word name, value;
    bool has_value, is_quoted;
};

/* An area as its line describes it. */
struct load_area {
    vmk_addr start, end;
    uint64_t flags, pgoff, file, anon, policy, nodes, uffd, features;
    bool forked, unknown, pooled, driver, has_policy;
    const char *special;
    struct load_word name; /* with its escapes */
    size_t name_len;       /* without them */
};

struct loader {
    struct vmk_system *system;
    vmk_file_finder_fn *finder;
    void *finder_context;
    const char *at, *end;           /* what is not read yet */
    const char *line_at, *line_end; /* what is not read yet of the line */
    size_t line;
    struct vmk_format_error *error;
    struct vmki_numbers files, anon_vmas; /* by number; files: a reference each */
    uint64_t nr_files;
    struct vmk_settings settings;
    struct vmk_mm *mm;                    /* that is being read; NULL before its settings are complete */
    bool is_inside;                       /* of an address space */
    struct vmk_vma *first, **tail, *next; /* areas of mm, by link */
    size_t nr_areas;
    vmk_addr last_end;
};

static int load_bad(struct loader *l, const char *what)
{
    size_t len = vmki_strlen(what);

    if (l->error != NULL) {
        l->error->line = l->line;
        memset(l->error->what, 0, sizeof(l->error->what));
        memcpy(l->error->what, what, vmki_min(len, sizeof(l->error->what) - 1));
    }
    return -VMK_ERR_FORMAT;
}

/* ---- Words ---- */

static bool load_is(struct load_word word, const char *text)
{
    return vmki_strlen(text) == word.len && memcmp(text, word.text, word.len) == 0;
}

/* False at the end of the text. */
static bool load_next_line(struct loader *l)
{
    if (l->at == l->end)
        return false;
    l->line++;
    l->line_at = l->at;
    while (l->at != l->end && *l->at != '\n')
        l->at++;
    l->line_end = l->at;
    if (l->at != l->end)
        l->at++;
    return true;
}

static bool load_is_word_char(char c)
{
    return c > ' ' && c < 0x7f && c != '=' && c != '"';
}

/* Words are parted by one space. False: no word is here. */
static bool load_word(struct loader *l, struct load_word *word)
{
    if (l->line_at != l->line_end && *l->line_at == ' ')
        l->line_at++;
    word->text = l->line_at;
    while (l->line_at != l->line_end && load_is_word_char(*l->line_at))
        l->line_at++;
    word->len = (size_t)(l->line_at - word->text);
    return word->len != 0;
}

static int load_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool load_to_number(struct load_word word, uint64_t *value)
{
    *value = 0;
    if (word.len == 0 || word.len > 16)
        return false;
    for (size_t i = 0; i < word.len; i++) {
        int digit = load_hex_digit(word.text[i]);

        if (digit < 0)
            return false;
        *value = *value << 4 | (uint64_t)digit;
    }
    return true;
}

static bool load_number(struct loader *l, uint64_t *value)
{
    struct load_word word;

    return load_word(l, &word) && load_to_number(word, value);
}

/* The end of the line; -VMK_ERR_FORMAT when there is more. */
static int load_line_end(struct loader *l)
{
    return l->line_at == l->line_end ? 0 : load_bad(l, "more on the line than belongs there");
}

/* The next field: 1; 0 at the end of the line; -VMK_ERR_FORMAT. */
static int load_next_field(struct loader *l, struct load_field *field)
{
    memset(field, 0, sizeof(*field));
    if (l->line_at == l->line_end)
        return 0;
    if (!load_word(l, &field->name))
        return load_bad(l, "a field without a name");
    if (l->line_at == l->line_end || *l->line_at != '=')
        return 1;
    l->line_at++;
    field->has_value = true;
    if (l->line_at == l->line_end || *l->line_at != '"') {
        if (l->line_at == l->line_end || *l->line_at == ' ' || !load_word(l, &field->value))
            return load_bad(l, "a field without its value");
        return 1;
    }
    field->is_quoted = true;
    field->value.text = ++l->line_at;
    while (l->line_at != l->line_end && *l->line_at != '"')
        l->line_at++;
    field->value.len = (size_t)(l->line_at - field->value.text);
    if (l->line_at == l->line_end)
        return load_bad(l, "a text without its end");
    l->line_at++;
    return 1;
}

static bool load_field_number(const struct load_field *field, const char *name, uint64_t *value)
{
    return field->has_value && !field->is_quoted && load_is(field->name, name) && load_to_number(field->value, value);
}

/* Length of a text without its escapes; SIZE_MAX for a broken one, or one with a zero in it. */
static size_t load_text_len(struct load_word word)
{
    size_t len = 0;

    for (size_t i = 0; i < word.len; i++, len++) {
        if (word.text[i] < ' ' || word.text[i] >= 0x7f)
            return SIZE_MAX;
        if (word.text[i] != '\\')
            continue;
        if (i + 2 >= word.len || load_hex_digit(word.text[i + 1]) < 0 || load_hex_digit(word.text[i + 2]) < 0 ||
            (word.text[i + 1] == '0' && word.text[i + 2] == '0'))
            return SIZE_MAX;
        i += 2;
    }
    return len;
}

/* Writes the text without its escapes, and a zero. It has been measured, and there is room. */
static void load_text_copy(struct load_word word, char *to)
{
    for (size_t i = 0; i < word.len; i++) {
        if (word.text[i] == '\\') {
            *to++ = (char)(load_hex_digit(word.text[i + 1]) << 4 | load_hex_digit(word.text[i + 2]));
            i += 2;
        } else {
            *to++ = word.text[i];
        }
    }
    *to = '\0';
}

/* ---- Files ---- */

struct load_file {
    uint64_t id, object, kind, bytes, pages, huge, shift, inode;
    bool internal;
    struct load_word path;
    size_t path_len;
};

static int load_file_fields(struct loader *l, struct load_file *file)
{
    struct load_field field;
    int more;

    memset(file, 0, sizeof(*file));
    while ((more = load_next_field(l, &field)) == 1) {
        if (load_field_number(&field, "id", &file->id) || load_field_number(&field, "object", &file->object) ||
            load_field_number(&field, "kind", &file->kind) || load_field_number(&field, "bytes", &file->bytes) ||
            load_field_number(&field, "pages", &file->pages) || load_field_number(&field, "huge", &file->huge) ||
            load_field_number(&field, "shift", &file->shift) || load_field_number(&field, "inode", &file->inode))
            continue;
        if (load_is(field.name, "internal") && !field.has_value) {
            file->internal = true;
        } else if (load_is(field.name, "path") && field.is_quoted) {
            file->path = field.value;
            file->path_len = load_text_len(field.value);
        } else {
            return load_bad(l, "an unknown field of a file");
        }
    }
    return more;
}

/* Takes huge pages from the pool, to go back with the object. */
static bool load_take_huge_pages(struct vmk_system *system, uint64_t nr)
{
    uint64_t *pool = &system->sysctl.hugetlb_free_pages;
    uint64_t is_free = __atomic_load_n(pool, __ATOMIC_RELAXED);

    while (is_free >= nr)
        if (__atomic_compare_exchange_n(pool, &is_free, is_free - nr, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return true;
    return false;
}

/* Shared anonymous memory and the like: the object is made again, with its charge. */
static int load_internal_file(struct loader *l, const struct load_file *from, const char *path, struct vmk_file **file)
{
    struct vmk_object *object;
    bool is_huge = from->kind == VMK_OBJECT_HUGETLB;

    if ((from->kind != VMK_OBJECT_SHMEM && !is_huge) || from->shift > 40 || (is_huge && from->shift < 12) ||
        from->bytes >> 56 != 0 || from->pages > from->bytes || from->huge > from->bytes)
        return load_bad(l, "an object that cannot be");
    *file = vmki_file_new_internal(l->system, (enum vmk_object_kind)from->kind, from->bytes, path);
    if (*file == NULL)
        return -VMK_ERR_HOST_NOMEM;
    object = (*file)->object;
    object->inode = from->inode;
    object->huge_shift = (unsigned)from->shift;
    object->id = from->object;
    (*file)->id = from->id;
    if (from->pages != 0 && vmki_commit_charge(l->system, from->pages, true, 0,
                                               (unsigned)l->system->settings->values.page_shift, false) != 0) {
        vmk_file_put(*file);
        return -VMK_ENOMEM;
    }
    object->commit_pages = from->pages;
    if (!load_take_huge_pages(l->system, from->huge)) {
        vmk_file_put(*file);
        return -VMK_ENOMEM;
    }
    object->huge_pages = from->huge;
    return 0;
}

static int load_find_file(struct loader *l, const struct load_file *from, const char *path, struct vmk_file **file)
{
    if (from->internal)
        return load_internal_file(l, from, path, file);
    *file = l->finder != NULL ? l->finder(l->finder_context, from->id, from->object, path) : NULL;
    if (*file == NULL) {
        (void)load_bad(l, "a file that was not found");
        return -VMK_ENOENT;
    }
    return 0;
}

static int load_file(struct loader *l)
{
    struct load_file from;
    struct vmk_file *file = NULL;
    uint64_t number;
    char *path;
    int error;

    if (l->is_inside || !load_number(l, &number) || number != l->nr_files + 1)
        return load_bad(l, "a file out of order");
    error = load_file_fields(l, &from);
    if (error != 0)
        return error;
    if (from.path_len == SIZE_MAX)
        return load_bad(l, "a broken text");
    path = vmki_alloc(l->system, from.path_len + 1, 1);
    if (path == NULL)
        return -VMK_ERR_HOST_NOMEM;
    load_text_copy(from.path, path);
    error = load_find_file(l, &from, path, &file);
    vmki_free(l->system, path, from.path_len + 1);
    if (error != 0)
        return error;
    if (!vmki_numbers_put(&l->files, number, file)) {
        vmk_file_put(file);
        return -VMK_ERR_HOST_NOMEM;
    }
    l->nr_files++;
    return 0;
}

/* ---- An address space ---- */

static int load_mm_begin(struct loader *l)
{
    if (l->is_inside)
        return load_bad(l, "an address space inside another");
    l->is_inside = true;
    l->settings = *vmk_system_settings(l->system);
    l->first = NULL;
    l->tail = &l->first;
    l->nr_areas = 0;
    l->last_end = 0;
    return load_line_end(l);
}

/* The settings are complete when the first other line comes: the address space is made with them. */
static int load_settle(struct loader *l)
{
    struct vmki_settings *settings;

    if (!l->is_inside)
        return load_bad(l, "outside of an address space");
    if (l->mm != NULL)
        return 0;
    if (vmk_settings_check(&l->settings) != NULL)
        return load_bad(l, "a setting with a value that cannot be");
    settings = vmki_settings_new(l->system, &l->settings);
    if (settings == NULL)
        return -VMK_ERR_HOST_NOMEM;
    l->mm = vmki_mm_new(l->system, settings);
    vmki_settings_put(l->system, settings);
    if (l->mm == NULL)
        return -VMK_ERR_HOST_NOMEM;
    vmki_layout_init(l->mm); /* for what the text does not say */
    return 0;
}

enum { LOAD_NAME_MAX = 64 };

static int load_setting(struct loader *l)
{
    struct load_word name;
    char text[LOAD_NAME_MAX];
    uint64_t value;

    if (!l->is_inside || l->mm != NULL)
        return load_bad(l, "a setting out of order");
    if (!load_word(l, &name) || name.len >= sizeof(text) || !load_number(l, &value))
        return load_bad(l, "a broken setting");
    memcpy(text, name.text, name.len);
    text[name.len] = '\0';
    if (vmk_settings_set(&l->settings, text, value) != 0)
        return load_bad(l, "an unknown setting");
    return load_line_end(l);
}

/* X(name, where): stores the value when it is this one and fits. */
#define LOAD_VALUE(name, where)                                                                                        \
    if (load_is(word, #name)) {                                                                                        \
        __typeof__(mm->where) as_stored = (__typeof__(mm->where))value;                                                \
        if ((uint64_t)as_stored != value)                                                                              \
            return false;                                                                                              \
        mm->where = as_stored;                                                                                         \
        return true;                                                                                                   \
    }

static bool load_store_value(struct vmk_mm *mm, struct load_word word, uint64_t value)
{
    VMKI_STATE_VALUES(LOAD_VALUE)
    if (load_is(word, "pkey_exec_only") && value <= 16) {
        mm->pkey_exec_only = (int)value - 1;
        return true;
    }
    return false;
}

static int load_value(struct loader *l)
{
    struct load_word name;
    uint64_t value;
    int error = load_settle(l);

    if (error != 0)
        return error;
    if (!load_word(l, &name) || !load_number(l, &value) || !load_store_value(l->mm, name, value))
        return load_bad(l, "an unknown value, or one that cannot be");
    if ((l->mm->def_flags & ~VMKI_VM_PUBLIC) != 0)
        return load_bad(l, "flags that cannot be");
    return load_line_end(l);
}

static bool load_range_is_valid(const struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    return start < end && end <= mm->task_size_max && vmki_page_aligned(mm, start) && vmki_page_aligned(mm, end);
}

static int load_range(struct loader *l, int (*take)(struct vmk_mm *mm, vmk_addr start, vmk_addr end))
{
    vmk_addr start, end;
    int error = load_settle(l);

    if (error != 0)
        return error;
    if (!load_number(l, &start) || !load_number(l, &end) || !load_range_is_valid(l->mm, start, end) || l->nr_areas != 0)
        return load_bad(l, "a range that cannot be");
    error = take(l->mm, start, end);
    return error == 0 ? load_line_end(l) : error;
}

/* ---- Areas ---- */

static bool load_area_texts(struct load_area *area, const struct load_field *field)
{
    if (load_is(field->name, "special") && field->is_quoted)
        return (area->special = vmki_special_name(field->value.text, field->value.len)) != NULL;
    if (!load_is(field->name, "name") || !field->is_quoted)
        return false;
    area->name = field->value;
    area->name_len = load_text_len(field->value);
    return area->name_len != 0 && area->name_len < VMK_VMA_NAME_MAX;
}

static bool load_area_field(struct load_area *area, const struct load_field *field)
{
    if (load_field_number(field, "policy", &area->policy))
        return area->has_policy = area->policy <= UINT32_MAX;
    if (load_field_number(field, "file", &area->file) || load_field_number(field, "anon", &area->anon) ||
        load_field_number(field, "nodes", &area->nodes) || load_field_number(field, "uffd", &area->uffd) ||
        load_field_number(field, "features", &area->features))
        return area->features <= UINT32_MAX;
    if (!field->has_value && load_is(field->name, "forked"))
        return area->forked = true;
    if (!field->has_value && load_is(field->name, "unknown"))
        return area->unknown = true;
    if (!field->has_value && load_is(field->name, "pooled"))
        return area->pooled = true;
    if (!field->has_value && load_is(field->name, "driver"))
        return area->driver = true;
    return load_area_texts(area, field);
}

/* Its flags, but for those that it has only when the pages that they stand for are its own. */
static vmk_vm_flags load_area_flags(const struct load_area *area)
{
    return area->flags | (area->forked ? VMKI_VM_FORKED : 0) | (area->unknown ? VMKI_VM_ANON_UNKNOWN : 0);
}

/* What an area's own line may say: the rules that validate checks. */
static const char *load_area_is_broken(const struct loader *l, const struct load_area *area)
{
    if (!load_range_is_valid(l->mm, area->start, area->end))
        return "an area's range that cannot be";
    if (area->start < l->last_end)
        return "areas that overlap or are out of order";
    if ((area->flags & ~VMKI_VM_PUBLIC) != 0)
        return "flags that cannot be";
    if (vmki_ranges_touch(&l->mm->reserved, area->start, area->end))
        return "an area on a reserved range";
    if (area->file != 0 && (area->pgoff > UINT64_MAX >> 1 >> l->mm->page_shift))
        return "an offset that cannot be";
    return vmki_area_flags_broken(load_area_flags(area) | (area->pooled ? VMKI_VM_POOLED : 0), area->anon != 0,
                                  area->uffd != 0);
}

static int load_area_line(struct loader *l, struct load_area *area)
{
    struct load_field field;
    const char *broken;
    int more;

    memset(area, 0, sizeof(*area));
    if (!load_number(l, &area->start) || !load_number(l, &area->end) || !load_number(l, &area->flags) ||
        !load_number(l, &area->pgoff))
        return load_bad(l, "a broken area");
    while ((more = load_next_field(l, &field)) == 1)
        if (!load_area_field(area, &field))
            return load_bad(l, "an unknown field of an area, or a value that cannot be");
    if (more != 0)
        return more;
    broken = load_area_is_broken(l, area);
    return broken != NULL ? load_bad(l, broken) : 0;
}

static int load_area_ext(struct loader *l, const struct load_area *from, struct vmk_vma *vma)
{
    uint32_t name_size = from->name_len != 0 ? (uint32_t)from->name_len + 1 : 0;
    struct vmki_ext *ext;

    if (from->special == NULL && name_size == 0 && !from->has_policy && from->uffd == 0 && !from->driver)
        return 0;
    ext = vmki_ext_copy(l->mm, NULL, name_size);
    if (ext == NULL)
        return -VMK_ERR_HOST_NOMEM;
    vma->ext = ext;
    ext->special_name = from->special;
    ext->policy = (struct vmki_policy){.mode = (uint32_t)from->policy, .nodes = from->nodes};
    ext->uffd = from->uffd;
    ext->uffd_features = (uint32_t)from->features;
    if (name_size != 0)
        load_text_copy(from->name, ext->name);
    return 0;
}

/* The operations of a special area: those of the file that the embedder gives for its name. */
static int load_area_special(struct loader *l, struct vmk_vma *vma)
{
    struct vmk_file *file = l->finder != NULL ? l->finder(l->finder_context, 0, 0, vma->ext->special_name) : NULL;

    if (file == NULL) {
        (void)load_bad(l, "a special area whose operations were not found");
        return -VMK_ENOENT;
    }
    vma->ext->ops = file->vm_ops;
    vmk_file_put(file);
    return 0;
}

/* A driver's operations come from its file's mmap hook, as they did the first time. */
static int load_area_driver(struct loader *l, struct vmk_vma *vma)
{
    struct vmk_mmap_description description = {.mm = l->mm,
                                               .start = vma->start,
                                               .end = vma->end,
                                               .pgoff = vmki_vma_pgoff_at(l->mm, vma, vma->start),
                                               .flags = vma->flags & VMKI_VM_PUBLIC,
                                               .file = vma->file};
    int error;

    if (vma->ext->special_name != NULL)
        return load_area_special(l, vma);
    if (vma->file == NULL || vma->file->ops == NULL || vma->file->ops->mmap == NULL)
        return load_bad(l, "a driver's area whose file has no mmap hook");
    error = vma->file->ops->mmap(vma->file, &description);
    if (error != 0)
        return error;
    vma->ext->ops = description.ops;
    vma->ext->private_data = description.private_data;
    return 0;
}

static int load_area_anon(struct loader *l, uint64_t number, struct vmk_vma *vma)
{
    struct vmki_anon_vma *anon_vma;

    if (number == 0)
        return 0;
    if (number >> 62 != 0)
        return load_bad(l, "an anon_vma's number that cannot be");
    anon_vma = vmki_numbers_get(&l->anon_vmas, number);
    if (anon_vma != NULL) {
        vmki_anon_vma_get(anon_vma);
    } else {
        anon_vma = vmki_anon_vma_new(l->mm);
        if (anon_vma == NULL)
            return -VMK_ERR_HOST_NOMEM;
        if (!vmki_numbers_put(&l->anon_vmas, number, anon_vma)) {
            vmki_anon_vma_put(l->mm, anon_vma);
            return -VMK_ERR_HOST_NOMEM;
        }
    }
    vma->anon_vma = anon_vma;
    return 0;
}

/* The area is on the list already: whoever gives up gives it back with the others. */
static int load_area_fill(struct loader *l, const struct load_area *from, struct vmk_vma *vma)
{
    uint64_t pages = vmki_pages(l->mm, from->end - from->start);
    int error;

    vma->start = from->start;
    vma->end = from->end;
    vma->flags = load_area_flags(from) & ~VMK_VM_ACCOUNT;
    vma->bias = from->pgoff - vmki_pages(l->mm, from->start);
    error = load_area_ext(l, from, vma);
    if (error == 0)
        error = load_area_anon(l, from->anon, vma);
    if (error == 0 && from->driver)
        error = load_area_driver(l, vma);
    if (error == 0 && from->pooled) {
        if (!vmki_pool_charge(l->mm, vmki_vma_huge_shift(vma), pages))
            return -VMK_ENOMEM;
        vma->flags |= VMKI_VM_POOLED; /* from here on they are the area's */
    }
    if (error != 0 || (from->flags & VMK_VM_ACCOUNT) == 0)
        return error;
    if (l->mm->settings->enforce_limits != 0 &&
        vmki_commit_charge(l->system, pages, true, 0, l->mm->page_shift, false) != 0)
        return -VMK_ENOMEM;
    vma->flags |= VMK_VM_ACCOUNT; /* from here on the charge is the area's */
    return 0;
}

static int load_area(struct loader *l)
{
    struct load_area from;
    struct vmk_file *file = NULL;
    struct vmk_vma *vma;
    int error = load_settle(l);

    if (error == 0)
        error = load_area_line(l, &from);
    if (error != 0)
        return error;
    if (from.file != 0 && (from.file > l->nr_files || (file = vmki_numbers_get(&l->files, from.file)) == NULL))
        return load_bad(l, "a file's number that is not there");
    if (!vmki_mm_reserve_vmas(l->mm, file == NULL, file != NULL))
        return -VMK_ERR_HOST_NOMEM;
    vma = vmki_mm_take_vma(l->mm, file != NULL);
    vma->file = file;
    if (file != NULL)
        vmk_file_get(file);
    *l->tail = vma;
    l->tail = &vma->link;
    l->nr_areas++;
    l->last_end = from.end;
    return load_area_fill(l, &from, vma);
}

/* ---- The end of an address space ---- */

static void load_next_entry(void *context, struct vmki_tree_entry *entry)
{
    struct loader *l = context;
    struct vmk_vma *vma = l->next;

    l->next = vma->link;
    *entry = (struct vmki_tree_entry){.start = vma->start, .end = vma->end, .flags = vma->flags, .item = vma};
}

static int load_mm_end(struct loader *l, struct vmk_mm **mm)
{
    uint64_t peak, peak_areas;
    int error = load_settle(l);

    if (error != 0)
        return error;
    l->next = l->first;
    if (!vmki_tree_build(&l->mm->tree, l->nr_areas, load_next_entry, l))
        return -VMK_ERR_HOST_NOMEM;
    peak = l->mm->peak_vm;
    peak_areas = l->mm->nr_vmas_peak;
    for (struct vmk_vma *vma = l->first; vma != NULL; vma = vma->link) {
        const struct vmk_vm_ops *ops = vmki_vma_ops(vma);

        vmki_vma_link_object(vma);
        vmki_count_area(l->mm, vma->flags, vmki_vma_nr_pages(vma), 1);
        if (ops != NULL && ops->open != NULL)
            ops->open(vma);
    }
    l->mm->locked_vm += l->mm->locked_leak;
    l->mm->peak_vm = vmki_max(peak, l->mm->total_vm);
    l->mm->nr_vmas_peak = vmki_max(peak_areas, l->nr_areas);
    *mm = l->mm;
    l->mm = NULL;
    l->is_inside = false;
    return 0;
}

/* The end, with an address space in hand: gives back what was read of it. */
static void load_give_up(struct loader *l)
{
    if (l->mm == NULL)
        return;
    vmki_mm_lock(l->mm);
    for (struct vmk_vma *vma = l->first, *next; vma != NULL; vma = next) {
        next = vma->link;
        if ((vma->flags & VMK_VM_ACCOUNT) != 0)
            vmki_uncharge(l->mm, vmki_vma_nr_pages(vma));
        vmki_pool_uncharge(l->mm, vmki_pooled_pages(vma->flags, vmki_vma_nr_pages(vma)));
        vmki_mm_return_vma(l->mm, vma);
    }
    vmki_mm_unlock(l->mm);
    vmk_mm_put(l->mm);
}

/* ---- The text ---- */

static int load_line(struct loader *l)
{
    struct load_word word;

    if (!load_word(l, &word))
        return load_bad(l, "a line without a word");
    if (load_is(word, "area"))
        return load_area(l);
    if (load_is(word, "value"))
        return load_value(l);
    if (load_is(word, "setting"))
        return load_setting(l);
    if (load_is(word, "file"))
        return load_file(l);
    if (load_is(word, "mm"))
        return load_mm_begin(l);
    if (load_is(word, "reserved"))
        return load_range(l, vmk_mm_reserve_range);
    if (load_is(word, "tracked"))
        return load_range(l, vmk_mm_track_writes);
    return load_bad(l, "an unknown word");
}

static int load_text(struct loader *l, struct vmk_mm **mms, size_t room, size_t *nr)
{
    struct load_word word;
    uint64_t version;

    if (!load_next_line(l) || !load_word(l, &word) || !load_is(word, "vmakit-state"))
        return load_bad(l, "not a saved state");
    if (!load_number(l, &version) || version != 1 || load_line_end(l) != 0)
        return load_bad(l, "a version that this library does not know");
    while (load_next_line(l)) {
        bool ends = (size_t)(l->line_end - l->line_at) == 3 && memcmp(l->line_at, "end", 3) == 0;
        int error;

        if (ends && *nr == room)
            return load_bad(l, "more address spaces than there is room for");
        error = ends ? load_mm_end(l, &mms[*nr]) : load_line(l);
        if (error != 0)
            return error;
        *nr += ends;
    }
    return l->is_inside ? load_bad(l, "the text ends inside an address space") : 0;
}

static void load_put_files(struct loader *l)
{
    for (uint64_t number = 1; number <= l->nr_files; number++)
        vmk_file_put(vmki_numbers_get(&l->files, number));
}

int vmk_mm_load(struct vmk_system *system, const char *text, size_t len, vmk_file_finder_fn *finder, void *context,
                struct vmk_mm **mms, size_t *nr_mms, struct vmk_format_error *error)
{
    struct loader *l = vmki_alloc(system, sizeof(*l), _Alignof(struct loader)); /* too large for the stack */
    size_t nr = 0;
    int result;

    if (l == NULL) {
        *nr_mms = 0;
        return -VMK_ERR_HOST_NOMEM;
    }
    memset(l, 0, sizeof(*l));
    l->system = system;
    l->finder = finder;
    l->finder_context = context;
    l->at = text;
    l->end = text + len;
    l->error = error;
    if (error != NULL)
        memset(error, 0, sizeof(*error));
    vmki_numbers_init(&l->files, system);
    vmki_numbers_init(&l->anon_vmas, system);
    result = load_text(l, mms, *nr_mms, &nr);
    load_give_up(l);
    for (; result != 0 && nr > 0; nr--)
        vmk_mm_put(mms[nr - 1]);
    *nr_mms = nr;
    load_put_files(l);
    vmki_numbers_end(&l->files);
    vmki_numbers_end(&l->anon_vmas);
    vmki_free(system, l, sizeof(*l));
    return result;
}
