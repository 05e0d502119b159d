/* SPDX-License-Identifier: MIT */
/* fuzz_engine.c - the operations of the oracle on the engine. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <unistd.h>

#include "fuzz.h"
#include "kview.h"

struct fuzz_engine {
    struct vmk_system *system;
    struct vmk_settings settings;
    const struct fuzz_files *files;
    struct vmk_object *objects[FUZZ_NR_FILES], *segments[FUZZ_NR_SEGMENTS], *aio_object, *comm_object, *program_object;
    struct vmk_file *file[FUZZ_NR_FILES], *comm_file, *program_file;
    struct vmk_mm *mm[FUZZ_MAX_DEPTH + 1]; /* the last one runs */
    struct vmk_mm *others;                 /* what the rest of the machine has charged, where that matters */
    unsigned depth;
    uint64_t uffd[FUZZ_NR_UFFD], next_uffd, next_file; /* identities */
    uint32_t capabilities, personality;
    struct vmk_rlimits rlimits;
    unsigned nr_cpus;
};

struct vmk_mm *fuzz_engine_mm(struct fuzz_engine *engine)
{
    return engine->mm[engine->depth];
}

struct vmk_system *fuzz_engine_system(struct fuzz_engine *engine)
{
    return engine->system;
}

struct vmk_file *fuzz_engine_file(const struct fuzz_engine *engine, int id)
{
    return engine->file[id];
}

/* ---- The world: files and objects ---- */

static struct vmk_object *make_object(struct fuzz_engine *engine, enum vmk_object_kind kind, uint64_t nr_bytes,
                                      uint32_t dev_major, uint32_t dev_minor, uint64_t inode)
{
    struct vmk_object_options options = {
        .size = sizeof(options),
        .kind = kind,
        .id = ++engine->next_file,
        .nr_bytes = nr_bytes,
        .dev_major = dev_major,
        .dev_minor = dev_minor,
        .inode = inode,
    };
    struct vmk_object *object = NULL;

    return vmk_object_create(engine->system, &options, &object) == 0 ? object : NULL;
}

static struct vmk_file *make_file_with(struct fuzz_engine *engine, struct vmk_object *object, const char *name,
                                       uint32_t mode, uint32_t seals, const struct vmk_file_ops *ops)
{
    struct vmk_file_options options = {
        .size = sizeof(options),
        .object = object,
        .mode = mode,
        .seals = seals,
        .name = name,
        .id = ++engine->next_file,
        .ops = ops,
    };
    struct vmk_file *file = NULL;

    return vmk_file_create(engine->system, &options, &file) == 0 ? file : NULL;
}

static struct vmk_file *make_file(struct fuzz_engine *engine, struct vmk_object *object, const char *name,
                                  uint32_t mode, uint32_t seals)
{
    return make_file_with(engine, object, name, mode, seals, NULL);
}

/* Files of one inode share an object, a dup'd descriptor shares the file. */
static void make_files(struct fuzz_engine *engine)
{
    const struct fuzz_files *files = engine->files;

    for (int id = 0; id < FUZZ_FILE_BAD; id++) {
        const struct fuzz_file *file = &files->file[id];
        int same = -1;

        if (!file->usable)
            continue;
        for (int other = 0; other < id && same < 0; other++)
            if (files->file[other].usable && files->file[other].inode == file->inode &&
                files->file[other].dev_major == file->dev_major && files->file[other].dev_minor == file->dev_minor &&
                files->file[other].kind == file->kind)
                same = other;
        if (same >= 0) {
            engine->objects[id] = engine->objects[same];
            vmk_object_get(engine->objects[id]);
        } else {
            engine->objects[id] =
                make_object(engine, file->kind, file->nr_bytes, file->dev_major, file->dev_minor, file->inode);
        }
        if (id == FUZZ_FILE_DISK_DUP) {
            engine->file[id] = engine->file[FUZZ_FILE_DISK];
            vmk_file_get(engine->file[id]);
        } else {
            engine->file[id] = make_file(engine, engine->objects[id], file->path, file->mode, file->seals);
        }
    }
    for (int i = 0; i < FUZZ_NR_SEGMENTS; i++) {
        const struct fuzz_segment *segment = &files->segment[i];

        engine->segments[i] = make_object(engine, VMK_OBJECT_SHMEM, segment->size, segment->dev_major,
                                          segment->dev_minor, segment->inode);
    }
}

static uint32_t own_capabilities(void)
{
    static const struct {
        unsigned bit, capability;
    } map[] = {{14, VMK_CAP_IPC_LOCK},  {21, VMK_CAP_SYS_ADMIN}, {24, VMK_CAP_SYS_RESOURCE},
               {17, VMK_CAP_SYS_RAWIO}, {23, VMK_CAP_SYS_NICE},  {19, VMK_CAP_SYS_PTRACE}};
    FILE *file = fopen("/proc/self/status", "re");
    unsigned long long bits = 0;
    uint32_t capabilities = 0;
    char line[256];

    if (file == NULL)
        return 0;
    while (fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "CapEff: %llx", &bits) == 1)
            break;
    fclose(file);
    for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
        if ((bits >> map[i].bit & 1) != 0)
            capabilities |= map[i].capability;
    return capabilities;
}

struct fuzz_engine *fuzz_engine_create(const struct fuzz_files *files)
{
    struct fuzz_engine *engine = calloc(1, sizeof(*engine));
    struct vmk_system_options options;

    if (engine == NULL)
        return NULL;
    engine->files = files;
    vmk_system_options_init(&options, vmk_port_linux());
    kview_probe(&options.settings, &options.sysctl);
    engine->settings = options.settings;
    if (vmk_system_create(&options, &engine->system) != 0) {
        free(engine);
        return NULL;
    }
    engine->capabilities = own_capabilities();
    engine->nr_cpus = (unsigned)sysconf(_SC_NPROCESSORS_CONF);
    make_files(engine);
    return engine;
}

void fuzz_engine_destroy(struct fuzz_engine *engine)
{
    if (engine == NULL)
        return;
    fuzz_engine_end(engine, NULL, 0);
    for (int id = 0; id < FUZZ_NR_FILES; id++) {
        if (engine->file[id] != NULL)
            vmk_file_put(engine->file[id]);
        if (engine->objects[id] != NULL)
            vmk_object_put(engine->objects[id]);
    }
    for (int i = 0; i < FUZZ_NR_SEGMENTS; i++)
        if (engine->segments[i] != NULL)
            vmk_object_put(engine->segments[i]);
    if (engine->comm_file != NULL) {
        vmk_file_put(engine->comm_file);
        vmk_object_put(engine->comm_object);
    }
    if (engine->program_file != NULL) {
        vmk_file_put(engine->program_file);
        vmk_object_put(engine->program_object);
    }
    vmk_system_quiesce(engine->system);
    vmk_system_destroy(engine->system);
    free(engine);
}

/* ---- The beginning and the end of a sequence ---- */

/* The two files that a worker starts with: the shared block and the program. */
static struct vmk_file *import_file(void *context, const struct kview_area *area)
{
    struct fuzz_engine *engine = context;
    bool is_comm = area->start == FUZZ_COMM_ADDRESS;
    struct vmk_file **file = is_comm ? &engine->comm_file : &engine->program_file;
    struct vmk_object **object = is_comm ? &engine->comm_object : &engine->program_object;

    if (*file == NULL) {
        *object =
            make_object(engine, is_comm ? VMK_OBJECT_SHMEM : VMK_OBJECT_REGULAR,
                        is_comm ? FUZZ_COMM_BYTES : UINT64_C(1) << 40, area->dev_major, area->dev_minor, area->inode);
        *file = make_file(engine, *object, area->name,
                          is_comm ? VMK_FILE_READ | VMK_FILE_WRITE : VMK_FILE_READ | VMK_FILE_THP_ALIGN, 0);
    }
    vmk_file_get(*file);
    return *file;
}

static struct vmk_rlimit limit_of(uint64_t bytes, uint64_t hard)
{
    return (struct vmk_rlimit){.soft = bytes < hard ? bytes : hard, .hard = hard};
}

static int make_mm(struct fuzz_engine *engine, const struct fuzz_config *config)
{
    struct vmk_mm_options options;

    vmk_mm_options_init(&options);
    options.capabilities = engine->capabilities & ~(config->drop_ipc_lock ? (uint32_t)VMK_CAP_IPC_LOCK : 0u);
    engine->personality = (uint32_t)personality(0xffffffff);
    options.personality = engine->personality;
    options.rlimits.stack = limit_of(UINT64_C(8) << 20, VMK_RLIM_INFINITY); /* as at exec: it decides about mmap_base */
    options.rlimits.as = options.rlimits.data = limit_of(VMK_RLIM_INFINITY, VMK_RLIM_INFINITY);
    return vmk_mm_create(engine->system, &options, &engine->mm[0]);
}

/* Pages of /proc/meminfo's Committed_AS. */
static uint64_t committed_pages(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    unsigned long long kb = 0;
    char line[128];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "Committed_AS: %llu", &kb) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return kb / (FUZZ_PAGE / 1024);
}

/* Overcommit mode 2 counts what all processes have charged: an address space of its own stands for the others. */
static int charge_others(struct fuzz_engine *engine)
{
    struct vmk_mmap_request request = {.prot = 3, .flags = VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS};
    struct vmk_mm_options options;
    struct vmk_sysctl sysctl, open;
    struct vmk_result result;
    int error;

    vmk_system_sysctl(engine->system, &sysctl);
    if (sysctl.overcommit_memory != VMK_OVERCOMMIT_NEVER)
        return 0;
    open = sysctl;
    open.overcommit_memory = VMK_OVERCOMMIT_ALWAYS;
    request.len = committed_pages() * FUZZ_PAGE;
    vmk_mm_options_init(&options);
    options.rlimits.as = options.rlimits.data = limit_of(VMK_RLIM_INFINITY, VMK_RLIM_INFINITY);
    error = vmk_mm_create(engine->system, &options, &engine->others);
    if (error == 0)
        error = vmk_system_set_sysctl(engine->system, &open);
    if (error == 0)
        error = vmk_mmap(engine->others, &request, &result);
    if (error == 0)
        error = vmk_system_set_sysctl(engine->system, &sysctl);
    return error;
}

int fuzz_engine_begin(struct fuzz_engine *engine, const struct fuzz_config *config, struct fuzz_child *child,
                      const struct fuzz_view *view)
{
    struct vmk_mm_layout layout, marks;
    struct fuzz_hard_limits hard;
    struct kview kernel = {0};
    int error;

    (void)view;
    for (int id = 0; id < FUZZ_FILE_BAD; id++)
        if (engine->objects[id] != NULL)
            vmk_object_set_nr_bytes(engine->objects[id], engine->files->file[id].nr_bytes);
    memset(engine->uffd, 0, sizeof(engine->uffd));
    engine->depth = 0;
    error = charge_others(engine);
    if (error == 0)
        error = make_mm(engine, config);
    if (error != 0)
        return error;
    error = kview_read(&kernel, child->chain[0], KVIEW_FLAGS);
    if (error == 0)
        error = kview_import(&kernel, engine->mm[0], import_file, engine);
    kview_free(&kernel);
    if (error == 0)
        error = fuzz_child_layout(child, &marks);
    if (error != 0)
        return error;
    vmk_mm_get_layout(engine->mm[0], &layout);
    marks.mmap_base = layout.mmap_base;
    marks.mmap_legacy_base = layout.mmap_legacy_base;
    marks.top_down = layout.top_down;
    marks.task_size = layout.task_size;
    vmk_mm_set_layout(engine->mm[0], &marks);
    fuzz_hard_limits(&hard);
    engine->rlimits.as = limit_of(config->limit_as, hard.as);
    engine->rlimits.data = limit_of(config->limit_data, hard.data);
    engine->rlimits.stack = limit_of(config->limit_stack, hard.stack);
    engine->rlimits.memlock = limit_of(config->limit_memlock, hard.memlock);
    vmk_mm_set_rlimits(engine->mm[0], &engine->rlimits);
    return 0;
}

static void first_line(void *context, const char *text, size_t len)
{
    char *why = context;
    size_t used = strlen(why);

    if (used + len < 400) {
        memcpy(why + used, text, len);
        why[used + len] = '\0';
    }
}

unsigned fuzz_engine_end(struct fuzz_engine *engine, char *why, size_t size)
{
    char text[512] = "";
    unsigned broken = 0;

    for (unsigned i = 0; i <= engine->depth; i++) {
        if (engine->mm[i] == NULL)
            continue;
        broken += vmk_mm_validate(engine->mm[i], first_line, text);
        vmk_mm_put(engine->mm[i]);
        engine->mm[i] = NULL;
    }
    if (engine->others != NULL)
        vmk_mm_put(engine->others);
    engine->others = NULL;
    engine->depth = 0;
    if (why != NULL)
        snprintf(why, size, "%s", text);
    return broken;
}

/* ---- Operations ---- */

static fuzz_result of_error(int error)
{
    if (error == -VMK_ERR_UNSUPPORTED)
        return FUZZ_UNSUPPORTED;
    return error;
}

static fuzz_result of_result(const struct vmk_result *result)
{
    return result->error != 0 ? of_error(result->error) : (fuzz_result)result->value;
}

void fuzz_engine_access(const struct fuzz_op *op, const struct fuzz_presence *presence,
                        struct vmk_fault_request *request)
{
    *request = (struct vmk_fault_request){.address = op->arg[0], .access = VMK_ACCESS_READ, .flags = VMK_FAULT_USER};
    if (op->call == FUZZ_TOUCH_WRITE || op->call == FUZZ_COPY_IN || op->call == FUZZ_PROC_MEM_WRITE)
        request->access = VMK_ACCESS_WRITE;
    else if (op->call == FUZZ_TOUCH_EXEC)
        request->access = VMK_ACCESS_EXEC;
    if (op->call == FUZZ_COPY_IN || op->call == FUZZ_COPY_OUT || op->call == FUZZ_IO_DESTROY)
        request->flags = 0;
    if (op->call == FUZZ_PROC_MEM_READ || op->call == FUZZ_PROC_MEM_WRITE) {
        request->access |= VMK_ACCESS_FOREIGN | VMK_ACCESS_FORCE | VMK_ACCESS_REMOTE;
        request->flags = 0; /* a debugger's access grows a stack */
    }
    request->flags |= (presence->present ? VMK_FAULT_PRESENT : 0u) | (presence->has_table ? VMK_FAULT_HAS_TABLE : 0u) |
                      (presence->guard ? VMK_FAULT_GUARD : 0u) | (presence->cached ? VMK_FAULT_CACHED : 0u);
}

static fuzz_result touch(struct fuzz_engine *engine, const struct fuzz_op *op, const struct fuzz_presence *presence)
{
    struct vmk_fault_request request;
    struct vmk_fault fault;
    int error;

    fuzz_engine_access(op, presence, &request);
    error = vmk_mm_fault(fuzz_engine_mm(engine), &request, &fault);
    if (error != 0)
        return of_error(error);
    switch (fault.outcome) {
    case VMK_FAULT_MINOR:
    case VMK_FAULT_MAJOR:
        return op->call == FUZZ_TOUCH_READ || op->call == FUZZ_TOUCH_WRITE || op->call == FUZZ_TOUCH_EXEC ? 0 : 1;
    case VMK_FAULT_PENDING: /* our contexts have UFFD_FEATURE_SIGBUS */
        fault.signal = SIGBUS;
        fault.code = BUS_ADRERR;
        break;
    case VMK_FAULT_SIGNAL:
        break;
    default:
        return -EIO - 10000;
    }
    if (op->call == FUZZ_COPY_IN || op->call == FUZZ_COPY_OUT)
        return -EFAULT;
    if (op->call == FUZZ_PROC_MEM_READ || op->call == FUZZ_PROC_MEM_WRITE)
        return (int64_t)op->arg[0] < 0 ? -EINVAL : -EIO; /* a file has no negative offset */
    return FUZZ_SIGNAL(fault.signal, fault.code);
}

static fuzz_result run_fork(struct fuzz_engine *engine, bool child_goes_on)
{
    struct vmk_mm *child = NULL;
    int error;

    if (child_goes_on && engine->depth >= FUZZ_MAX_DEPTH)
        return -EAGAIN;
    error = vmk_mm_fork(fuzz_engine_mm(engine), &child);
    if (error != 0)
        return of_error(error);
    if (!child_goes_on) {
        vmk_mm_put(child);
        return 0;
    }
    engine->mm[++engine->depth] = child;
    memset(engine->uffd, 0, sizeof(engine->uffd));
    return 0;
}

static fuzz_result run_mmap(struct fuzz_engine *engine, const uint64_t *arg, struct vmk_result *result)
{
    struct vmk_mmap_request request = {
        .address = arg[0],
        .len = arg[1],
        .prot = (uint32_t)arg[2],
        .flags = (uint32_t)arg[3],
        .offset = arg[5],
    };

    if (arg[4] < FUZZ_FILE_BAD)
        request.file = engine->file[arg[4]];
    if (request.file == NULL)
        request.file_error = -VMK_EBADF;
    vmk_mmap(fuzz_engine_mm(engine), &request, result);
    return of_result(result);
}

static fuzz_result run_shmat(struct fuzz_engine *engine, const uint64_t *arg, struct vmk_result *result)
{
    const struct fuzz_segment *segment;
    struct vmk_shmat_request request = {.address = arg[1], .flags = (uint32_t)arg[2]};

    if (arg[0] >= FUZZ_NR_SEGMENTS)
        return -EINVAL;
    segment = &engine->files->segment[arg[0]];
    request.size = segment->size;
    request.file = make_file(engine, engine->segments[arg[0]], segment->path,
                             (arg[2] & VMK_SHM_RDONLY) != 0 ? VMK_FILE_READ : VMK_FILE_READ | VMK_FILE_WRITE, 0);
    vmk_shmat(fuzz_engine_mm(engine), &request, result);
    vmk_file_put(request.file);
    return of_result(result);
}

/* A ring cannot grow; remap_file_pages maps one anew. */
static int map_ring(struct vmk_file *file, struct vmk_mmap_description *description)
{
    (void)file;
    description->flags |= VMK_VM_DONTEXPAND;
    return 0;
}

static const struct vmk_file_ops ring_ops = {.size = sizeof(ring_ops), .mmap = map_ring};

#define RING_INODES (UINT64_C(1) << 40) /* apart from those that the engine counts itself */

/* The ring of io_setup has room for at least four events a processor, twice over, and a header. */
uint64_t fuzz_engine_ring_bytes(const struct fuzz_engine *engine, uint64_t nr_events)
{
    uint64_t events = nr_events > engine->nr_cpus * 4u ? nr_events : engine->nr_cpus * 4u;

    return (32 + (events * 2 + 2) * 32 + FUZZ_PAGE - 1) & ~(FUZZ_PAGE - 1);
}

static fuzz_result run_io_setup(struct fuzz_engine *engine, const uint64_t *arg, struct vmk_result *result)
{
    struct vmk_aio_setup_request request = {.len = fuzz_engine_ring_bytes(engine, arg[0])};
    struct vmk_object *object;

    if (arg[0] == 0)
        return -EINVAL;
    object = make_object(engine, VMK_OBJECT_DEVICE, request.len, engine->files->aio_major, engine->files->aio_minor,
                         RING_INODES + ++engine->next_file);
    request.file = make_file_with(engine, object, "/[aio] (deleted)", VMK_FILE_READ | VMK_FILE_WRITE | VMK_FILE_NOEXEC,
                                  0, &ring_ops);
    vmk_aio_setup(fuzz_engine_mm(engine), &request, result);
    vmk_file_put(request.file);
    vmk_object_put(object);
    return of_result(result);
}

static fuzz_result run_uffd(struct fuzz_engine *engine, const struct fuzz_op *op, struct vmk_result *result)
{
    uint64_t *context = &engine->uffd[op->arg[0] % FUZZ_NR_UFFD];
    struct vmk_uffd_request request = {.address = op->arg[1], .len = op->arg[2], .context = *context};

    if (op->call == FUZZ_UFFD_OPEN) {
        if (*context != 0)
            return -EBUSY;
        *context = ++engine->next_uffd;
        return 0;
    }
    if (*context == 0)
        return -EBADF;
    request.action = op->call == FUZZ_UFFD_REGISTER     ? VMK_UFFD_REGISTER
                     : op->call == FUZZ_UFFD_UNREGISTER ? VMK_UFFD_UNREGISTER
                                                        : VMK_UFFD_CLOSE;
    if (op->call == FUZZ_UFFD_REGISTER)
        request.mode = op->arg[3];
    if (op->call == FUZZ_UFFD_CLOSE)
        *context = 0;
    vmk_uffd(fuzz_engine_mm(engine), &request, result);
    return of_result(result);
}

#define MAX_VECTOR UINT64_C(0x7ffff000) /* bytes of one vector; a longer one is cut */

/* What the kernel makes of the vector before it looks at the first range: an error, or the ranges as they are cut. */
static int check_vector(const uint64_t *arg, struct fuzz_range *ranges, size_t nr)
{
    uint64_t total = 0;

    if ((uint32_t)arg[5] != 0)
        return -EINVAL;
    for (size_t i = 0; i < nr; i++)
        if ((int64_t)arg[2 + 2 * i] < 0)
            return -EINVAL;
    for (size_t i = 0; i < nr; i++) {
        uint64_t len = nr == 1 && arg[2] > MAX_VECTOR ? MAX_VECTOR : arg[2 + 2 * i];

        if (arg[1 + 2 * i] > UINT64_C(0x7ffffffff000) || len > UINT64_C(0x7ffffffff000) - arg[1 + 2 * i])
            return -EFAULT;
        ranges[i].address = arg[1 + 2 * i];
        ranges[i].len = arg[2 + 2 * i] < MAX_VECTOR - total ? arg[2 + 2 * i] : MAX_VECTOR - total;
        total += ranges[i].len;
    }
    return 0;
}

size_t fuzz_engine_vector(const uint64_t *arg, struct fuzz_range ranges[2])
{
    size_t nr = arg[4] != 0 ? 2 : 1;

    return check_vector(arg, ranges, nr) == 0 ? nr : 0;
}

/* The loop of process_madvise over its vector: whole ranges count, an error after the first is not reported. */
static fuzz_result run_process_madvise(struct fuzz_engine *engine, const uint64_t *arg, struct vmk_result *result)
{
    uint64_t total = 0;
    size_t nr = arg[4] != 0 ? 2 : 1;
    struct fuzz_range ranges[2];
    int error = check_vector(arg, ranges, nr);

    if (error != 0)
        return error;
    if (ranges[0].len == 0 && (nr == 1 || ranges[1].len == 0))
        return 0; /* nothing to advise: not even the advice is looked at */
    for (size_t i = 0; i < nr; i++) {
        struct vmk_madvise_request request = {
            .address = ranges[i].address, .len = ranges[i].len, .advice = (int)arg[0]};

        request.remote = engine->settings.process_madvise_self == 0; /* a process may advise itself as it likes */
        vmk_madvise(fuzz_engine_mm(engine), &request, result);
        if (result->error != 0)
            return total != 0 ? (fuzz_result)total : of_result(result);
        total += request.len;
    }
    return (fuzz_result)total;
}

static fuzz_result run_setrlimit(struct fuzz_engine *engine, const uint64_t *arg)
{
    struct vmk_rlimit limit = {.soft = arg[1], .hard = arg[2]};
    struct vmk_rlimit *which = arg[0] == 9   ? &engine->rlimits.as
                               : arg[0] == 2 ? &engine->rlimits.data
                               : arg[0] == 3 ? &engine->rlimits.stack
                                             : &engine->rlimits.memlock;

    if (limit.soft > limit.hard)
        return -EINVAL;
    if (limit.hard > which->hard && (engine->capabilities & VMK_CAP_SYS_RESOURCE) == 0)
        return -EPERM;
    *which = limit;
    vmk_mm_set_rlimits(fuzz_engine_mm(engine), &engine->rlimits);
    return 0;
}

static fuzz_result run_option(struct fuzz_engine *engine, const struct fuzz_op *op, struct vmk_result *result)
{
    struct vmk_set_option_request request = {.value = op->arg[0]};
    uint32_t old = engine->personality;

    switch (op->call) {
    case FUZZ_PERSONALITY:
        if ((uint32_t)op->arg[0] == 0xffffffff)
            return old;
        request.option = VMK_OPTION_PERSONALITY;
        request.value = engine->personality = (uint32_t)op->arg[0];
        vmk_set_option(fuzz_engine_mm(engine), &request, result);
        return result->error != 0 ? of_result(result) : (fuzz_result)old;
    case FUZZ_THP_DISABLE:
        request.option = VMK_OPTION_THP_DISABLE;
        request.value = op->arg[0] != 0;
        break;
    case FUZZ_MDWE:
        request.option = VMK_OPTION_MDWE;
        break;
    default:
        request.option = VMK_OPTION_MEMORY_MERGE;
        break;
    }
    vmk_set_option(fuzz_engine_mm(engine), &request, result);
    return of_result(result);
}

static fuzz_result run_truncate(struct fuzz_engine *engine, const uint64_t *arg)
{
    if (arg[0] >= FUZZ_FILE_BAD || engine->objects[arg[0]] == NULL)
        return -EBADF;
    vmk_object_set_nr_bytes(engine->objects[arg[0]], arg[1]);
    return 0;
}

static fuzz_result run_split(struct fuzz_engine *engine, const uint64_t *arg)
{
    struct vmk_result result;
    uint64_t i = 0;

    for (; i < arg[1]; i++) {
        const struct vmk_mprotect_request request = {
            .address = arg[0] + (2 * i + 1) * FUZZ_PAGE, .len = FUZZ_PAGE, .prot = 1, .pkey = -1};

        if (vmk_mprotect(fuzz_engine_mm(engine), &request, &result) != 0)
            break;
    }
    return (fuzz_result)i;
}

#define VERB(verb, ...)                                                                                                \
    do {                                                                                                               \
        const struct vmk_##verb##_request request = {__VA_ARGS__};                                                     \
        vmk_##verb(mm, &request, &result);                                                                             \
        return of_result(&result);                                                                                     \
    } while (0)

static fuzz_result run_rare(struct fuzz_engine *engine, const struct fuzz_op *op)
{
    struct vmk_mm *mm = fuzz_engine_mm(engine);
    struct vmk_result result = {0};
    const uint64_t *arg = op->arg;

    switch (op->call) {
    case FUZZ_PKEY_ALLOC:
        VERB(pkey, .flags = arg[0], .rights = arg[1]);
    case FUZZ_PKEY_FREE:
        VERB(pkey, .free = true, .pkey = (int)arg[0]);
    case FUZZ_REMAP_FILE_PAGES:
        VERB(remap_file_pages, .address = arg[0], .size = arg[1], .prot = arg[2], .pgoff = arg[3],
             .flags = (uint32_t)arg[4]);
    case FUZZ_SHMAT:
        return run_shmat(engine, arg, &result);
    case FUZZ_SHMDT:
        VERB(shmdt, .address = arg[0]);
    case FUZZ_IO_SETUP:
        return run_io_setup(engine, arg, &result);
    case FUZZ_MBIND:
        VERB(mbind, .address = arg[0], .len = arg[1], .mode = (uint32_t)arg[2], .nodes = arg[3], .max_node = arg[4],
             .flags = (uint32_t)arg[5]);
    case FUZZ_SET_MEMPOLICY:
        VERB(set_mempolicy, .mode = (uint32_t)arg[0], .nodes = arg[1], .max_node = arg[2]);
    case FUZZ_NAME:
        VERB(name, .address = arg[0], .len = arg[1], .text = FUZZ_AREA_NAME);
    case FUZZ_SET_MM:
        VERB(set_mm, .field = (int)arg[0], .value = arg[1]);
    case FUZZ_SETRLIMIT:
        return run_setrlimit(engine, arg);
    case FUZZ_FTRUNCATE:
        return run_truncate(engine, arg);
    case FUZZ_SPLIT:
        return run_split(engine, arg);
    case FUZZ_CAPSET:
        vmk_mm_set_capabilities(mm, vmk_mm_capabilities(mm) & ~(uint32_t)VMK_CAP_IPC_LOCK);
        return 0;
    case FUZZ_FORK_CHILD:
    case FUZZ_FORK_PARENT:
        return run_fork(engine, op->call == FUZZ_FORK_CHILD);
    case FUZZ_UFFD_OPEN:
    case FUZZ_UFFD_REGISTER:
    case FUZZ_UFFD_UNREGISTER:
    case FUZZ_UFFD_CLOSE:
        return run_uffd(engine, op, &result);
    default:
        return run_option(engine, op, &result);
    }
}

fuzz_result fuzz_engine_run(struct fuzz_engine *engine, const struct fuzz_op *op, const struct fuzz_presence *presence,
                            fuzz_result kernel)
{
    struct vmk_mm *mm = fuzz_engine_mm(engine);
    struct vmk_result result = {0};
    const uint64_t *arg = op->arg;

    (void)kernel;
    switch (op->call) {
    case FUZZ_MMAP:
        return run_mmap(engine, arg, &result);
    case FUZZ_MUNMAP:
        VERB(munmap, .address = arg[0], .len = arg[1]);
    case FUZZ_MPROTECT:
        VERB(mprotect, .address = arg[0], .len = arg[1], .prot = arg[2], .pkey = -1);
    case FUZZ_PKEY_MPROTECT:
        VERB(mprotect, .address = arg[0], .len = arg[1], .prot = arg[2], .pkey = (int)arg[3]);
    case FUZZ_MREMAP:
        VERB(mremap, .old_address = arg[0], .old_len = arg[1], .new_len = arg[2], .flags = arg[3],
             .new_address = arg[4]);
    case FUZZ_BRK: {
        const struct vmk_brk_request request = {.address = arg[0]};

        vmk_brk(mm, &request, &result);
        return (fuzz_result)result.value;
    }
    case FUZZ_MLOCK:
        VERB(mlock, .address = arg[0], .len = arg[1]);
    case FUZZ_MLOCK2:
        VERB(mlock, .address = arg[0], .len = arg[1], .flags = (uint32_t)arg[2]);
    case FUZZ_MUNLOCK:
        VERB(munlock, .address = arg[0], .len = arg[1]);
    case FUZZ_MLOCKALL:
        VERB(mlockall, .flags = (uint32_t)arg[0]);
    case FUZZ_MUNLOCKALL:
        VERB(munlockall, .reserved = 0);
    case FUZZ_MSEAL:
        VERB(mseal, .address = arg[0], .len = arg[1], .flags = arg[2]);
    case FUZZ_MSYNC:
        VERB(msync, .address = arg[0], .len = arg[1], .flags = (uint32_t)arg[2]);
    case FUZZ_MINCORE: {
        const struct vmk_mincore_request request = {.address = arg[0], .len = arg[1]};

        vmk_mincore(mm, &request, &result);
        return of_error(result.error);
    }
    case FUZZ_MADVISE:
        VERB(madvise, .address = arg[0], .len = arg[1], .advice = (int)arg[2]);
    case FUZZ_PROCESS_MADVISE:
        return run_process_madvise(engine, arg, &result);
    case FUZZ_IO_DESTROY:
        touch(engine, op, presence); /* the kernel reads the ring, which may grow a stack */
        VERB(aio_destroy, .context = arg[0]);
    case FUZZ_TOUCH_READ:
    case FUZZ_TOUCH_WRITE:
    case FUZZ_TOUCH_EXEC:
    case FUZZ_COPY_OUT:
    case FUZZ_COPY_IN:
    case FUZZ_PROC_MEM_READ:
    case FUZZ_PROC_MEM_WRITE:
        return touch(engine, op, presence);
    default:
        return run_rare(engine, op);
    }
}
