/* SPDX-License-Identifier: MIT */
/* fuzz_files.c - the files and segments that sequences map. All their contents are zeros. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fuzz.h"

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

enum { FIRST_FD = 40 }; /* descriptors have the same numbers in each run */

static void leave_out(struct fuzz_files *files, const char *what)
{
    size_t len = strlen(files->left_out);

    snprintf(files->left_out + len, sizeof(files->left_out) - len, "%s%s", len != 0 ? ", " : "", what);
}

/* Files the descriptor under its own number and reads what maps shows of it. */
static void adopt(struct fuzz_files *files, enum fuzz_file_id id, int fd, enum vmk_object_kind kind, uint32_t mode)
{
    struct fuzz_file *file = &files->file[id];
    struct stat status;
    char link[64];
    ssize_t len;

    file->kind = kind;
    file->mode = mode;
    file->fd = -1;
    if (fd < 0)
        return;
    file->fd = dup2(fd, FIRST_FD + (int)id);
    close(fd);
    if (file->fd < 0 || fstat(file->fd, &status) != 0)
        return;
    file->usable = true;
    file->nr_bytes = (uint64_t)status.st_size;
    file->dev_major = major(status.st_dev);
    file->dev_minor = minor(status.st_dev);
    file->inode = status.st_ino;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", file->fd);
    len = readlink(link, file->path, sizeof(file->path) - 1);
    file->path[len > 0 ? len : 0] = '\0';
}

static int reopen(const struct fuzz_files *files, enum fuzz_file_id id, int flags)
{
    char link[64];

    if (!files->file[id].usable)
        return -1;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", files->file[id].fd);
    return open(link, flags | O_CLOEXEC);
}

static int duplicate(const struct fuzz_files *files, enum fuzz_file_id id)
{
    return files->file[id].usable ? dup(files->file[id].fd) : -1;
}

static int make_disk_file(void)
{
    char path[] = "/var/tmp/vmakit-fuzz-XXXXXX";
    int fd = mkstemp(path);

    if (fd >= 0) {
        unlink(path);
        if (ftruncate(fd, 20 * 4096 + 100) != 0 || pwrite(fd, "", 1, 0) != 1) {
            close(fd);
            return -1;
        }
    }
    return fd;
}

static int make_memfd(unsigned seals)
{
    int fd = memfd_create("fuzz", MFD_ALLOW_SEALING | MFD_CLOEXEC);

    if (fd >= 0 && (ftruncate(fd, 24 * 4096) != 0 || (seals != 0 && fcntl(fd, F_ADD_SEALS, seals) != 0))) {
        close(fd);
        return -1;
    }
    return fd;
}

static int make_secret(void)
{
    int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);

    if (fd >= 0 && ftruncate(fd, 16 * 4096) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A file on a tmpfs of our own that nobody else sees, with the noexec attribute or without. */
static int make_tmpfs_file(bool noexec)
{
    int context = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    int mount = -1, fd = -1;

    if (context < 0)
        return -1;
    if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        mount = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, noexec ? MOUNT_ATTR_NOEXEC : 0);
    if (mount >= 0) {
        fd = openat(mount, "fuzz", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0 && ftruncate(fd, 24 * 4096) != 0) {
            close(fd);
            fd = -1;
        }
        close(mount);
    }
    close(context);
    return fd;
}

static void open_disk_family(struct fuzz_files *files)
{
    const uint32_t both = VMK_FILE_READ | VMK_FILE_WRITE;
    const enum vmk_object_kind kind = VMK_OBJECT_REGULAR;

    adopt(files, FUZZ_FILE_DISK, make_disk_file(), kind, both);
    adopt(files, FUZZ_FILE_DISK_DUP, duplicate(files, FUZZ_FILE_DISK), kind, both);
    adopt(files, FUZZ_FILE_DISK_SECOND, reopen(files, FUZZ_FILE_DISK, O_RDWR), kind, both);
    adopt(files, FUZZ_FILE_DISK_RDONLY, reopen(files, FUZZ_FILE_DISK, O_RDONLY), kind, VMK_FILE_READ);
    adopt(files, FUZZ_FILE_DISK_WRONLY, reopen(files, FUZZ_FILE_DISK, O_WRONLY), kind, VMK_FILE_WRITE);
    adopt(files, FUZZ_FILE_PATH, open("/", O_PATH | O_CLOEXEC), kind, VMK_FILE_PATH);
}

static void open_memory_files(struct fuzz_files *files)
{
    const uint32_t both = VMK_FILE_READ | VMK_FILE_WRITE;

    adopt(files, FUZZ_FILE_MEMFD, make_memfd(0), VMK_OBJECT_SHMEM, both);
    adopt(files, FUZZ_FILE_MEMFD_RDONLY, reopen(files, FUZZ_FILE_MEMFD, O_RDONLY), VMK_OBJECT_SHMEM, VMK_FILE_READ);
    adopt(files, FUZZ_FILE_SEALED, make_memfd(F_SEAL_WRITE), VMK_OBJECT_SHMEM, both);
    adopt(files, FUZZ_FILE_SEALED_FUTURE, make_memfd(F_SEAL_FUTURE_WRITE), VMK_OBJECT_SHMEM, both);
    files->file[FUZZ_FILE_SEALED].seals = VMK_SEAL_WRITE;
    files->file[FUZZ_FILE_SEALED_FUTURE].seals = VMK_SEAL_FUTURE_WRITE;
    adopt(files, FUZZ_FILE_SECRET, make_secret(), VMK_OBJECT_SECRET, both | VMK_FILE_NOEXEC);
    adopt(files, FUZZ_FILE_TMPFS, make_tmpfs_file(false), VMK_OBJECT_SHMEM, both);
    adopt(files, FUZZ_FILE_NOEXEC, make_tmpfs_file(true), VMK_OBJECT_SHMEM, both | VMK_FILE_NOEXEC);
}

static void open_odd_files(struct fuzz_files *files)
{
    const uint32_t both = VMK_FILE_READ | VMK_FILE_WRITE;
    int ends[2] = {-1, -1};

    adopt(files, FUZZ_FILE_ZERO, open("/dev/zero", O_RDWR | O_CLOEXEC), VMK_OBJECT_ZERO, both);
    adopt(files, FUZZ_FILE_NULL, open("/dev/null", O_RDWR | O_CLOEXEC), VMK_OBJECT_NONE, both);
    adopt(files, FUZZ_FILE_DIRECTORY, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), VMK_OBJECT_NONE, VMK_FILE_READ);
    if (pipe2(ends, O_CLOEXEC) == 0)
        close(ends[1]);
    adopt(files, FUZZ_FILE_PIPE, ends[0], VMK_OBJECT_NONE, VMK_FILE_READ | VMK_FILE_NOEXEC);
    files->file[FUZZ_FILE_BAD].fd = FIRST_FD + FUZZ_NR_FILES + 7;
    files->file[FUZZ_FILE_BAD].usable = true;
}

/* Device numbers that maps shows for an address, in this process. */
static void device_at(const void *address, uint32_t *dev_major, uint32_t *dev_minor, uint64_t *inode, char *path,
                      size_t path_size)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512], name[256];
    unsigned long start, end, number;
    unsigned high, low;

    if (maps == NULL)
        return;
    while (fgets(line, sizeof(line), maps) != NULL) {
        name[0] = '\0';
        if (sscanf(line, "%lx-%lx %*s %*x %x:%x %lu %255[^\n]", &start, &end, &high, &low, &number, name) < 5)
            continue;
        if (start <= (uintptr_t)address && (uintptr_t)address < end) {
            *dev_major = high;
            *dev_minor = low;
            if (inode != NULL)
                *inode = number;
            if (path != NULL)
                snprintf(path, path_size, "%s", name);
        }
    }
    fclose(maps);
}

/* The segments stay attached here, and are marked for removal at once, so that none outlives this process. */
static void open_segments(struct fuzz_files *files)
{
    static const uint64_t pages[FUZZ_NR_SEGMENTS] = {1, 4, 9};

    for (size_t i = 0; i < FUZZ_NR_SEGMENTS; i++) {
        struct fuzz_segment *segment = &files->segment[i];
        void *where;

        segment->size = pages[i] * FUZZ_PAGE - (i == 2 ? 100 : 0);
        /* SHM_EXEC asks for the right to execute, which only root has without it. */
        segment->id = shmget(IPC_PRIVATE, segment->size, IPC_CREAT | 0700);
        if (segment->id < 0) {
            leave_out(files, "System V shared memory");
            return;
        }
        where = shmat(segment->id, NULL, 0);
        shmctl(segment->id, IPC_RMID, NULL);
        if ((intptr_t)where == -1) {
            segment->id = -1;
            continue;
        }
        device_at(where, &segment->dev_major, &segment->dev_minor, &segment->inode, segment->path,
                  sizeof(segment->path));
    }
}

static void find_devices(struct fuzz_files *files)
{
    unsigned long context = 0;
    void *shared = mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared != MAP_FAILED) {
        device_at(shared, &files->anon_major, &files->anon_minor, NULL, NULL, 0);
        munmap(shared, 4096);
    }
    if (syscall(SYS_io_setup, 1, &context) == 0) {
        device_at((void *)(uintptr_t)context, &files->aio_major, &files->aio_minor, NULL, NULL, 0);
        syscall(SYS_io_destroy, context);
    } else {
        leave_out(files, "io_setup");
    }
}

int fuzz_files_open(struct fuzz_files *files)
{
    static const struct {
        enum fuzz_file_id id;
        const char *what;
    } optional[] = {
        {FUZZ_FILE_SECRET, "memfd_secret"}, {FUZZ_FILE_NOEXEC, "noexec mounts"}, {FUZZ_FILE_TMPFS, "tmpfs files"},
        {FUZZ_FILE_SEALED, "seals"},        {FUZZ_FILE_ZERO, "/dev/zero"},
    };

    memset(files, 0, sizeof(*files));
    open_disk_family(files);
    open_memory_files(files);
    open_odd_files(files);
    open_segments(files);
    find_devices(files);
    for (size_t i = 0; i < sizeof(optional) / sizeof(optional[0]); i++)
        if (!files->file[optional[i].id].usable)
            leave_out(files, optional[i].what);
    if (!files->file[FUZZ_FILE_DISK].usable || !files->file[FUZZ_FILE_MEMFD].usable)
        return -EIO;
    if (files->file[FUZZ_FILE_DISK].mode != 0) {
        struct stat root;

        /* Disk file systems that give huge-page alignment; tmpfs does not. */
        if (stat("/var/tmp", &root) == 0 && files->file[FUZZ_FILE_DISK].dev_major != 0)
            for (int id = FUZZ_FILE_DISK; id <= FUZZ_FILE_DISK_WRONLY; id++)
                files->file[id].mode |= VMK_FILE_THP_ALIGN;
    }
    return 0;
}

void fuzz_files_close(struct fuzz_files *files)
{
    for (int id = 0; id < FUZZ_FILE_BAD; id++)
        if (files->file[id].usable)
            close(files->file[id].fd);
}

void fuzz_files_reset(const struct fuzz_files *files)
{
    static const enum fuzz_file_id changed[] = {FUZZ_FILE_DISK, FUZZ_FILE_MEMFD, FUZZ_FILE_TMPFS, FUZZ_FILE_NOEXEC};

    for (size_t i = 0; i < sizeof(changed) / sizeof(changed[0]); i++) {
        const struct fuzz_file *file = &files->file[changed[i]];
        struct stat status;

        if (file->usable && fstat(file->fd, &status) == 0 && (uint64_t)status.st_size != file->nr_bytes)
            if (ftruncate(file->fd, (off_t)file->nr_bytes) != 0)
                continue;
    }
}
