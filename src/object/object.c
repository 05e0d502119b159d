/* SPDX-License-Identifier: MIT */
/* object.c - objects (inodes) and files (open file descriptions): their life and what the embedder may ask of them. */
#include "object/object.h"

#include "base/atomic.h"

int vmk_object_create(struct vmk_system *system, const struct vmk_object_options *options, struct vmk_object **object)
{
    struct vmk_object *made;

    if (options->size != sizeof(*options) || options->kind > VMK_OBJECT_NONE)
        return -VMK_ERR_MISUSE;
    made = vmki_alloc(system, sizeof(*made), _Alignof(struct vmk_object));
    if (made == NULL)
        return -VMK_ERR_HOST_NOMEM;
    *made = (struct vmk_object){
        .system = system,
        .refs = 1,
        .kind = options->kind,
        .id = options->id,
        .nr_bytes = options->nr_bytes,
        .max_bytes = options->max_bytes != 0 ? options->max_bytes : INT64_MAX,
        .dev_major = options->dev_major,
        .dev_minor = options->dev_minor,
        .inode = options->inode,
        .huge_shift = options->huge_shift,
        .user = options->user,
    };
    __atomic_add_fetch(&system->nr_children, 1, __ATOMIC_RELAXED);
    *object = made;
    return 0;
}

void vmk_object_get(struct vmk_object *object)
{
    __atomic_add_fetch(&object->refs, 1, __ATOMIC_RELAXED);
}

void vmk_object_put(struct vmk_object *object)
{
    struct vmk_system *system = object->system;

    if (__atomic_sub_fetch(&object->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    VMKI_CHECK(object->links == NULL);
    vmki_free(system, object, sizeof(*object));
    __atomic_sub_fetch(&system->nr_children, 1, __ATOMIC_RELAXED);
}

int vmk_file_create(struct vmk_system *system, const struct vmk_file_options *options, struct vmk_file **file)
{
    const char *name = options->name != NULL ? options->name : "";
    size_t name_size = vmki_strlen(name) + 1;
    struct vmk_file *made;

    if (options->size != sizeof(*options) || options->object == NULL || options->object->system != system)
        return -VMK_ERR_MISUSE;
    made = vmki_alloc(system, sizeof(*made) + name_size, _Alignof(struct vmk_file));
    if (made == NULL)
        return -VMK_ERR_HOST_NOMEM;
    *made = (struct vmk_file){
        .object = options->object,
        .refs = 1,
        .mode = options->mode,
        .seals = options->seals,
        .ops = options->ops,
        .vm_ops = options->vm_ops,
        .id = options->id,
        .user = options->user,
        .name_size = name_size,
    };
    memcpy(made->name, name, name_size);
    vmk_object_get(made->object);
    __atomic_add_fetch(&system->nr_children, 1, __ATOMIC_RELAXED);
    *file = made;
    return 0;
}

void vmk_file_get(struct vmk_file *file)
{
    __atomic_add_fetch(&file->refs, 1, __ATOMIC_RELAXED);
}

/* No reader can look at the file any more. */
static void file_free(struct vmk_sync_deferred *deferred)
{
    struct vmk_file *file = (struct vmk_file *)(void *)deferred;
    struct vmk_object *object = file->object;
    struct vmk_system *system = object->system;

    vmki_free(system, file, sizeof(*file) + file->name_size);
    vmk_object_put(object);
    __atomic_sub_fetch(&system->nr_children, 1, __ATOMIC_RELAXED);
}

/* What an object of our own making holds goes with its one file, before the memory does. */
static void object_give_back(struct vmk_object *object)
{
    struct vmk_system *system = object->system;

    if (object->commit_pages != 0)
        vmki_commit_uncharge(system, object->commit_pages);
    if (object->huge_pages != 0)
        __atomic_add_fetch(&system->sysctl.hugetlb_free_pages, object->huge_pages, __ATOMIC_RELAXED);
    object->commit_pages = 0;
    object->huge_pages = 0;
}

void vmk_file_put(struct vmk_file *file)
{
    if (__atomic_sub_fetch(&file->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    if (file->ops != NULL && file->ops->release != NULL)
        file->ops->release(file);
    if (file->object->is_internal)
        object_give_back(file->object);
    vmk_sync_defer(&file->deferred, file_free);
}

/*
 * The file's own reference keeps the object; the object counts as one of the system's until it goes. Linux gives each
 * shared anonymous mapping an inode of its own; ours are numbered from the system's identities.
 */
struct vmk_file *vmki_file_new_internal(struct vmk_system *system, enum vmk_object_kind kind, uint64_t nr_bytes,
                                        const char *name)
{
    struct vmk_object_options object_options = {.size = sizeof(object_options),
                                                .kind = kind,
                                                .nr_bytes = nr_bytes,
                                                .inode = vmki_system_new_id(system),
                                                .dev_minor = 1};
    struct vmk_file_options file_options = {
        .size = sizeof(file_options), .mode = VMK_FILE_READ | VMK_FILE_WRITE, .name = name};
    struct vmk_object *object;
    struct vmk_file *file;

    if (vmk_object_create(system, &object_options, &object) != 0)
        return NULL;
    object->is_internal = true;
    file_options.object = object;
    if (vmk_file_create(system, &file_options, &file) != 0)
        file = NULL;
    vmk_object_put(object);
    return file;
}

void *vmk_object_user(const struct vmk_object *object)
{
    return object->user;
}

uint64_t vmk_object_id(const struct vmk_object *object)
{
    return object->id;
}

enum vmk_object_kind vmk_object_kind_of(const struct vmk_object *object)
{
    return object->kind;
}

uint64_t vmk_object_nr_bytes(const struct vmk_object *object)
{
    return vmki_load_relaxed(&object->nr_bytes);
}

void vmk_object_set_nr_bytes(struct vmk_object *object, uint64_t nr_bytes)
{
    vmki_store_relaxed(&object->nr_bytes, nr_bytes);
}

void vmk_object_device(const struct vmk_object *object, uint32_t *major, uint32_t *minor)
{
    *major = object->dev_major;
    *minor = object->dev_minor;
}

uint64_t vmk_object_inode(const struct vmk_object *object)
{
    return object->inode;
}

struct vmk_object *vmk_file_object(const struct vmk_file *file)
{
    return file->object;
}

void *vmk_file_user(const struct vmk_file *file)
{
    return file->user;
}

uint64_t vmk_file_id(const struct vmk_file *file)
{
    return file->id;
}

const char *vmk_file_name(const struct vmk_file *file)
{
    return file->name;
}

uint32_t vmk_file_seals(const struct vmk_file *file)
{
    return vmki_load_relaxed(&file->seals);
}

void vmk_file_set_seals(struct vmk_file *file, uint32_t seals)
{
    vmki_store_relaxed(&file->seals, seals);
}
