/* SPDX-License-Identifier: MIT */
/*
 * trace_files.c - which open file description, and which file, is behind a descriptor of the program.
 *
 * The tracer holds a descriptor of its own (pidfd_getfd) for each description that an area maps: while it is held, kcmp
 * can tell whether a later descriptor is the same one. It is given up with the last area, so that nothing that the
 * program could see (locks, deletion) lasts longer than its mapping. Files that execve maps are opened by the kernel;
 * one description for each inode stands for them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h> /* ST_NOEXEC */
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "drivers.h"
#include "trace.h"

#define SECRETMEM_MAGIC_ABI 0x5345434d
#define PIDFD_THREAD_ABI    O_EXCL

/* A file that has areas: an inode, or something of the kernel's own (dev and inode 0, the shmid as key). */
struct trace_object {
    struct trace_object *next;
    struct trace_files *files;
    uint64_t dev, inode, key;
    struct vmk_object *object;
    struct trace_file *descriptions;
};

/* One open file description. */
struct trace_file {
    struct trace_file *next;
    struct trace_object *object;
    struct vmk_file *file;
    uint32_t mode;
    enum vmk_object_kind kind;
    bool recorded;
    int fd; /* ours; -1: opened by the kernel */
};

/* ---- The table ---- */

static struct trace_object **bucket_of(struct trace_files *files, uint64_t dev, uint64_t inode, uint64_t key)
{
    uint64_t hash = (dev * 31 + inode + key) * UINT64_C(0x9e3779b97f4a7c15);
    return &files->buckets[hash >> 56];
}

/* Runs when the last area of a description is gone. */
static void release_file(struct vmk_file *file)
{
    struct trace_file *description = vmk_file_user(file);
    struct trace_object *object = description->object;
    struct trace_file **link = &object->descriptions;
    while (*link != description)
        link = &(*link)->next;
    *link = description->next;
    if (description->fd >= 0)
        close(description->fd);
    if (object->files->last == description)
        object->files->last = NULL;
    free(description);
    if (object->descriptions != NULL)
        return;
    struct trace_object **at = bucket_of(object->files, object->dev, object->inode, object->key);
    while (*at != object)
        at = &(*at)->next;
    *at = object->next;
    vmk_object_put(object->object);
    free(object);
}

static const struct vmk_file_ops plain_file_ops = {.size = sizeof(plain_file_ops), .release = release_file};

static int mmap_device(struct vmk_file *file, struct vmk_mmap_description *description)
{
    const struct vmk_file_ops *driver = driver_ops_of(vmk_file_name(file));
    return driver != NULL ? driver->mmap(file, description) : 0;
}

static const struct vmk_file_ops device_file_ops = {
    .size = sizeof(device_file_ops), .mmap = mmap_device, .release = release_file};

static struct trace_object *find_object(struct trace_files *files, uint64_t dev, uint64_t inode, uint64_t key)
{
    struct trace_object *object = *bucket_of(files, dev, inode, key);
    while (object != NULL && (object->dev != dev || object->inode != inode || object->key != key))
        object = object->next;
    return object;
}

/* What is to be known of a file. */
struct description_of_file {
    uint64_t dev, inode, key, nr_bytes;
    enum vmk_object_kind kind;
    uint32_t mode, seals;
    unsigned huge_shift;
    const struct vmk_file_ops *ops;
    const char *name;
};

static struct trace_object *new_object(struct tracer *tracer, const struct description_of_file *what)
{
    struct trace_files *files = &tracer->files;
    struct trace_object *object = calloc(1, sizeof(*object));
    if (object == NULL)
        return NULL;
    struct vmk_object_options options = {
        .size = sizeof(options),
        .kind = what->kind,
        .id = ++files->next_id,
        .nr_bytes = what->nr_bytes,
        .dev_major = major(what->dev),
        .dev_minor = minor(what->dev),
        .inode = what->inode,
        .huge_shift = what->huge_shift,
        .user = object,
    };
    object->files = files;
    object->dev = what->dev;
    object->inode = what->inode;
    object->key = what->key;
    if (vmk_object_create(tracer->system, &options, &object->object) != 0) {
        free(object);
        return NULL;
    }
    struct trace_object **bucket = bucket_of(files, what->dev, what->inode, what->key);
    object->next = *bucket;
    *bucket = object;
    return object;
}

/* A new description of a file; takes `fd`. NULL when there is no memory. */
static struct vmk_file *new_file(struct tracer *tracer, const struct description_of_file *what, int fd)
{
    struct trace_object *object = find_object(&tracer->files, what->dev, what->inode, what->key);
    struct trace_file *description = calloc(1, sizeof(*description));
    if (object == NULL)
        object = new_object(tracer, what);
    struct vmk_file *file = NULL;
    if (description != NULL && object != NULL) {
        struct vmk_file_options options = {
            .size = sizeof(options),
            .object = object->object,
            .mode = what->mode,
            .seals = what->seals,
            .ops = what->ops != NULL ? what->ops : &plain_file_ops,
            .name = what->name,
            .id = ++tracer->files.next_id,
            .user = description,
        };
        *description = (struct trace_file){.next = object->descriptions, .object = object, .fd = fd};
        if (vmk_file_create(tracer->system, &options, &file) == 0) {
            description->file = file;
            object->descriptions = description;
            description->mode = options.mode;
            description->kind = what->kind;
            return file;
        }
    }
    fprintf(stderr, "vmakit: out of memory\n");
    exit(EXIT_FAILURE);
}

bool trace_files_device_is_known(const struct vmk_file *file)
{
    return driver_ops_of(vmk_file_name(file)) != NULL;
}

uint32_t trace_files_mode(const struct vmk_file *file)
{
    const struct trace_file *description = vmk_file_user(file);
    return description->mode;
}

bool trace_files_recorded(const struct vmk_file *file)
{
    struct trace_file *description = vmk_file_user(file);
    bool before = description->recorded;
    description->recorded = true;
    return before;
}

void trace_files_for_each(const struct tracer *tracer, void (*visit)(void *context, struct vmk_file *file),
                          void *context)
{
    for (size_t i = 0; i < sizeof(tracer->files.buckets) / sizeof(tracer->files.buckets[0]); i++)
        for (const struct trace_object *object = tracer->files.buckets[i]; object != NULL; object = object->next)
            for (const struct trace_file *file = object->descriptions; file != NULL; file = file->next)
                visit(context, file->file);
}

/* ---- What a descriptor is ---- */

static bool asks_for_huge_alignment(long type)
{
    switch ((unsigned long)type) {
    case EXT4_SUPER_MAGIC: /* ext2, ext3 and ext4 share it */
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case 0xF2F52010: /* f2fs */
    case 0xca451a4e: /* bcachefs */
        return true;
    default:
        return false;
    }
}

/* Pseudo file systems: nothing on them can be mapped executable, whatever their mount says. */
static bool allows_no_execution(long type)
{
    switch ((unsigned long)type) {
    case PIPEFS_MAGIC:
    case SOCKFS_MAGIC:
    case ANON_INODE_FS_MAGIC:
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
    case NSFS_MAGIC:
    case SECRETMEM_MAGIC_ABI:
    case 0x50494446: /* pidfd */
    case 0x19800202: /* mqueue */
        return true;
    default:
        return false;
    }
}

static enum vmk_object_kind kind_of_regular(long type)
{
    switch ((unsigned long)type) {
    case TMPFS_MAGIC:
        return VMK_OBJECT_SHMEM;
    case HUGETLBFS_MAGIC:
        return VMK_OBJECT_HUGETLB;
    case SECRETMEM_MAGIC_ABI:
        return VMK_OBJECT_SECRET;
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case CGROUP2_SUPER_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case NSFS_MAGIC:
    case 0x50494446: /* pidfd */
    case 0x19800202: /* mqueue */
        return VMK_OBJECT_NONE;
    default:
        return VMK_OBJECT_REGULAR;
    }
}

static enum vmk_object_kind kind_of_device(dev_t device)
{
    if (device == makedev(1, 5))
        return VMK_OBJECT_ZERO;
    /* Memory devices and terminals that cannot be mapped: null, port, full, random, urandom, kmsg. */
    if ((major(device) == 1 && minor(device) != 1) || major(device) == 4 || major(device) == 5 ||
        (major(device) >= 136 && major(device) <= 143))
        return VMK_OBJECT_NONE;
    return VMK_OBJECT_DEVICE;
}

static void describe_unnamed(struct description_of_file *what, const char *name)
{
    static const char *const mappable[] = {"[perf_event]", "bpf-map", "kvm-vcpu", "dmabuf"};
    what->kind = VMK_OBJECT_NONE;
    if (driver_ops_of(name) != NULL) {
        what->kind = VMK_OBJECT_DEVICE;
        what->ops = &device_file_ops;
    }
    for (size_t i = 0; i < sizeof(mappable) / sizeof(mappable[0]); i++)
        if (strstr(name, mappable[i]) != NULL)
            what->kind = VMK_OBJECT_DEVICE;
}

static unsigned log2_of(uint64_t value)
{
    unsigned shift = 0;
    while (value > 1) {
        value >>= 1;
        shift++;
    }
    return shift;
}

static uint32_t seals_of(int fd, enum vmk_object_kind kind)
{
    if (kind != VMK_OBJECT_SHMEM && kind != VMK_OBJECT_HUGETLB)
        return 0;
    int seals = fcntl(fd, F_GET_SEALS);
    return seals > 0 ? (uint32_t)seals & (VMK_SEAL_WRITE | VMK_SEAL_FUTURE_WRITE | VMK_SEAL_EXEC) : 0;
}

/* Fills *what in from a descriptor of ours; `name` is room for the path. */
static bool describe(int fd, struct description_of_file *what, char *name, size_t size)
{
    struct stat status;
    struct statfs file_system;
    char path[32];
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fstat(fd, &status) != 0 || fstatfs(fd, &file_system) != 0)
        return false;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(path, name, size - 1);
    name[len > 0 ? len : 0] = '\0';
    *what = (struct description_of_file){
        .dev = status.st_dev, .inode = status.st_ino, .nr_bytes = (uint64_t)status.st_size, .name = name};
    int access = flags & O_ACCMODE;
    if ((flags & O_PATH) != 0)
        what->mode = VMK_FILE_PATH;
    else
        what->mode = (access != O_WRONLY ? VMK_FILE_READ : 0u) | (access != O_RDONLY ? VMK_FILE_WRITE : 0u);
    if (allows_no_execution((long)file_system.f_type) || ((unsigned long)file_system.f_flags & ST_NOEXEC) != 0)
        what->mode |= VMK_FILE_NOEXEC;
    if (S_ISREG(status.st_mode)) {
        what->kind = kind_of_regular((long)file_system.f_type);
        if (asks_for_huge_alignment((long)file_system.f_type))
            what->mode |= VMK_FILE_THP_ALIGN;
        if (what->kind == VMK_OBJECT_HUGETLB)
            what->huge_shift = log2_of((uint64_t)file_system.f_bsize);
        what->seals = seals_of(fd, what->kind);
    } else if (S_ISCHR(status.st_mode)) {
        what->kind = kind_of_device(status.st_rdev);
    } else if (S_ISBLK(status.st_mode)) {
        what->kind = VMK_OBJECT_REGULAR;
    } else if ((status.st_mode & S_IFMT) == 0) {
        describe_unnamed(what, name);
    } else {
        what->kind = VMK_OBJECT_NONE;
    }
    return true;
}

/* ---- From a descriptor of the program ---- */

int trace_task_pidfd(struct trace_task *task)
{
    if (task->pidfd < 0)
        task->pidfd = (int)syscall(SYS_pidfd_open, task->tid, PIDFD_THREAD_ABI);
    if (task->pidfd < 0) /* before 6.9 only of a whole process */
        task->pidfd = (int)syscall(SYS_pidfd_open, task->process->tgid, 0);
    return task->pidfd;
}

static bool same_description(struct trace_files *files, int one, int other)
{
    long order = syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, one, other);
    if (order < 0 && !files->kcmp_missing) {
        files->kcmp_missing = true;
        fprintf(stderr, "vmakit: this kernel has no kcmp: descriptors of one file count as different, which may "
                        "show as a divergence of merges\n");
    }
    return order == 0;
}

/* A loader maps one file several times: the last description that was asked for is asked about first. */
static struct vmk_file *get_last(struct trace_files *files, const struct trace_task *task, int fd)
{
    struct trace_file *last = files->last;
    struct stat status;
    if (last == NULL || fd < 0 || syscall(SYS_kcmp, task->tid, getpid(), KCMP_FILE, fd, last->fd) != 0 ||
        fstat(last->fd, &status) != 0)
        return NULL;
    vmk_object_set_nr_bytes(last->object->object, (uint64_t)status.st_size);
    vmk_file_set_seals(last->file, seals_of(last->fd, last->kind));
    vmk_file_get(last->file);
    return last->file;
}

struct vmk_file *trace_files_get(struct tracer *tracer, struct trace_task *task, int fd, int *error)
{
    struct vmk_file *last = get_last(&tracer->files, task, fd);
    *error = last != NULL ? 0 : -VMK_EBADF;
    if (last != NULL)
        return last;
    int own = (int)syscall(SYS_pidfd_getfd, trace_task_pidfd(task), fd, 0);
    if (own < 0) {
        if (errno != EBADF)
            trace_cannot(tracer, task,
                         errno == EMFILE ? "the tracer has too few descriptors (ulimit -n)"
                                         : "its descriptors cannot be looked at (pidfd_getfd)");
        return NULL;
    }
    struct description_of_file what;
    char name[4096];
    if (!describe(own, &what, name, sizeof(name))) {
        close(own);
        return NULL;
    }
    *error = 0;
    struct trace_object *object = find_object(&tracer->files, what.dev, what.inode, 0);
    if (object != NULL) {
        vmk_object_set_nr_bytes(object->object, what.nr_bytes);
        for (struct trace_file *known = object->descriptions; known != NULL; known = known->next) {
            if (known->fd < 0 || !same_description(&tracer->files, known->fd, own))
                continue;
            close(own);
            vmk_file_set_seals(known->file, what.seals);
            vmk_file_get(known->file);
            tracer->files.last = known;
            return known->file;
        }
    }
    struct vmk_file *file = new_file(tracer, &what, own);
    tracer->files.last = vmk_file_user(file);
    return file;
}

/* Each attachment of a System V segment is an open file description of its own. */
struct vmk_file *trace_files_shm(struct tracer *tracer, int shmid, bool read_only, uint64_t *size)
{
    struct shmid_ds segment;
    char name[32];
    if (shmctl(shmid, IPC_STAT, &segment) != 0)
        return NULL;
    *size = segment.shm_segsz;
    snprintf(name, sizeof(name), "/SYSV%08x (deleted)", (unsigned)segment.shm_perm.__key);
    struct description_of_file what = {
        .key = (uint64_t)(unsigned)shmid + 1,
        .nr_bytes = segment.shm_segsz,
        .kind = VMK_OBJECT_SHMEM,
        .mode = read_only ? VMK_FILE_READ : VMK_FILE_READ | VMK_FILE_WRITE,
        .name = name,
    };
    return new_file(tracer, &what, -1);
}

/* The ring of io_setup: a file of its own for each context. */
struct vmk_file *trace_files_aio(struct tracer *tracer)
{
    struct description_of_file what = {
        .key = (UINT64_C(1) << 40) + tracer->files.next_id,
        .kind = VMK_OBJECT_DEVICE,
        .mode = VMK_FILE_READ | VMK_FILE_WRITE | VMK_FILE_NOEXEC,
        .name = "/[aio] (deleted)",
    };
    return new_file(tracer, &what, -1);
}

/* ---- The files of an image ---- */

struct vmk_file *trace_files_of_image(void *context, const struct kview_area *area)
{
    struct trace_exec_files *image = context;
    uint64_t dev = makedev(area->dev_major, area->dev_minor);
    for (size_t i = 0; i < image->nr_files; i++) {
        if (image->devices[i] == dev && image->inodes[i] == area->inode) {
            vmk_file_get(image->files[i]);
            return image->files[i];
        }
    }
    struct description_of_file what = {.dev = dev, .inode = area->inode, .name = area->name};
    struct stat status;
    struct statfs file_system = {0};
    statfs(area->name, &file_system);
    what.nr_bytes = stat(area->name, &status) == 0 ? (uint64_t)status.st_size : UINT64_MAX >> 1;
    what.kind = kind_of_regular((long)file_system.f_type);
    what.mode = VMK_FILE_READ | (asks_for_huge_alignment((long)file_system.f_type) ? VMK_FILE_THP_ALIGN : 0u);
    struct vmk_file *file = new_file(image->tracer, &what, -1);
    if (image->nr_files < sizeof(image->files) / sizeof(image->files[0])) {
        image->devices[image->nr_files] = dev;
        image->inodes[image->nr_files] = area->inode;
        image->files[image->nr_files++] = file;
        vmk_file_get(file);
    }
    return file;
}

void trace_exec_files_end(struct trace_exec_files *image)
{
    for (size_t i = 0; i < image->nr_files; i++)
        vmk_file_put(image->files[i]);
    image->nr_files = 0;
}

/* Files grow and shrink by calls that are not traced: their sizes are read again before a call that depends on them. */
void trace_files_refresh(struct tracer *tracer)
{
    for (size_t i = 0; i < sizeof(tracer->files.buckets) / sizeof(tracer->files.buckets[0]); i++) {
        for (struct trace_object *object = tracer->files.buckets[i]; object != NULL; object = object->next) {
            struct stat status;
            for (struct trace_file *file = object->descriptions; file != NULL; file = file->next) {
                if (file->fd >= 0 && fstat(file->fd, &status) == 0) {
                    vmk_object_set_nr_bytes(object->object, (uint64_t)status.st_size);
                    break;
                }
            }
        }
    }
}
