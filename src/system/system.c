/* SPDX-License-Identifier: MIT */
/* system.c - creation and end of a system, its memory, identities, knobs and counters. */
#include "system/system.h"

#include "base/atomic.h"

void *vmki_alloc(struct vmk_system *system, size_t size, size_t align)
{
    return system->port.alloc(system->port.context, size, align, VMK_ALLOC_MAY_SLEEP);
}

void vmki_free(struct vmk_system *system, void *memory, size_t size)
{
    system->port.free(system->port.context, memory, size);
}

uint64_t vmki_system_new_id(struct vmk_system *system)
{
    return __atomic_add_fetch(&system->next_id, 1, __ATOMIC_RELAXED);
}

struct vmki_settings *vmki_settings_new(struct vmk_system *system, const struct vmk_settings *values)
{
    struct vmki_settings *settings = vmki_alloc(system, sizeof(*settings), _Alignof(struct vmki_settings));

    if (settings == NULL)
        return NULL;
    settings->refs = 1;
    settings->values = *values;
    return settings;
}

struct vmki_settings *vmki_settings_get(struct vmki_settings *settings)
{
    __atomic_add_fetch(&settings->refs, 1, __ATOMIC_RELAXED);
    return settings;
}

void vmki_settings_put(struct vmk_system *system, struct vmki_settings *settings)
{
    if (__atomic_sub_fetch(&settings->refs, 1, __ATOMIC_ACQ_REL) == 0)
        vmki_free(system, settings, sizeof(*settings));
}

void vmk_system_options_init(struct vmk_system_options *options, const struct vmk_port *port)
{
    *options = (struct vmk_system_options){.size = sizeof(*options), .port = port};
    vmk_settings_init(&options->settings, VMK_LINUX_VERSION(6, 18), VMK_ARCH_X86_64);
    options->sysctl = (struct vmk_sysctl){
        .max_map_count = 65530,
        .overcommit_memory = VMK_OVERCOMMIT_GUESS,
        .overcommit_ratio = 50,
        .user_reserve_kbytes = 131072,
        .admin_reserve_kbytes = 8192,
        .total_ram_pages = (UINT64_C(16) << 30) >> 12,
    };
}

/* What Linux can be but this library cannot: an old kernel, a 32-bit task, a mode that no area can judge, many nodes. */
static bool settings_unsupported(const struct vmk_settings *settings)
{
    return settings->linux_version < VMK_LINUX_VERSION(6, 1) || settings->va_bits <= 32 || settings->nr_nodes > 64 ||
           settings->overcommit_guess_one == 0;
}

int vmki_settings_error(const struct vmk_settings *settings)
{
    if (vmk_settings_check(settings) == NULL)
        return 0;
    return settings_unsupported(settings) ? -VMK_ERR_UNSUPPORTED : -VMK_ERR_MISUSE;
}

static bool system_options_usable(const struct vmk_system_options *options)
{
    return options->size == sizeof(*options) && options->port != NULL &&
           options->port->size == sizeof(struct vmk_port) && options->port->alloc != NULL &&
           options->port->free != NULL && options->sysctl.overcommit_memory <= VMK_OVERCOMMIT_NEVER;
}

int vmk_system_create(const struct vmk_system_options *options, struct vmk_system **system)
{
    struct vmk_system *made;

    if (!system_options_usable(options))
        return -VMK_ERR_MISUSE;
    int error = vmki_settings_error(&options->settings);
    if (error != 0)
        return error;
    made =
        options->port->alloc(options->port->context, sizeof(*made), _Alignof(struct vmk_system), VMK_ALLOC_MAY_SLEEP);
    if (made == NULL)
        return -VMK_ERR_HOST_NOMEM;
    memset(made, 0, sizeof(*made));
    made->port = *options->port;
    made->settings = vmki_settings_new(made, &options->settings);
    if (made->settings == NULL) {
        vmki_free(made, made, sizeof(*made));
        return -VMK_ERR_HOST_NOMEM;
    }
    made->sysctl = options->sysctl;
    made->commit = options->commit;
    made->trace = options->trace;
    made->trace_context = options->trace_context;
    made->user = options->user;
    vmk_sync_mutex_init(&made->lock);
    vmk_sync_mutex_init(&made->rmap_lock);
    vmk_sync_mutex_init(&made->pool_lock);
    *system = made;
    return 0;
}

int vmk_system_destroy(struct vmk_system *system)
{
    struct vmk_port port = system->port;

    vmk_sync_barrier();
    if (vmki_load_relaxed(&system->nr_children) != 0)
        return -VMK_EBUSY;
    vmki_pool_trim(system);
    vmki_settings_put(system, system->settings);
    if (system->commit_stripes != NULL)
        vmki_free(system, system->commit_stripes, VMKI_NR_COMMIT_STRIPES * sizeof(struct vmki_commit_stripe));
    vmk_sync_mutex_destroy(&system->lock);
    vmk_sync_mutex_destroy(&system->rmap_lock);
    vmk_sync_mutex_destroy(&system->pool_lock);
    port.free(port.context, system, sizeof(*system));
    return 0;
}

void *vmk_system_user(const struct vmk_system *system)
{
    return system->user;
}

const struct vmk_settings *vmk_system_settings(const struct vmk_system *system)
{
    return &system->settings->values;
}

/* Word by word, so that a call that reads one knob needs no lock. */
void vmk_system_sysctl(const struct vmk_system *system, struct vmk_sysctl *sysctl)
{
    const uint64_t *from = (const uint64_t *)(const void *)&system->sysctl;
    uint64_t *to = (uint64_t *)(void *)sysctl;

    for (size_t i = 0; i < sizeof(*sysctl) / sizeof(*to); i++)
        to[i] = vmki_load_relaxed(&from[i]);
}

int vmk_system_set_sysctl(struct vmk_system *system, const struct vmk_sysctl *sysctl)
{
    const uint64_t *from = (const uint64_t *)(const void *)sysctl;
    uint64_t *to = (uint64_t *)(void *)&system->sysctl;

    if (sysctl->overcommit_memory > VMK_OVERCOMMIT_NEVER)
        return -VMK_ERR_MISUSE;
    for (size_t i = 0; i < sizeof(*sysctl) / sizeof(*to); i++)
        vmki_store_relaxed(&to[i], from[i]);
    return 0;
}

const char *vmk_event_name(enum vmk_event event)
{
    static const char *const names[] = {
#define EVENT_NAME(name) #name,
        VMK_COUNTERS(EVENT_NAME)
#undef EVENT_NAME
    };

    return (unsigned)event < VMKI_ARRAY_SIZE(names) ? names[event] : NULL;
}

/* Adds every counter of `more` to `sum`: the structure is nothing but 64-bit words. */
void vmki_counters_add(struct vmk_counters *sum, const struct vmk_counters *more)
{
    uint64_t *to = (uint64_t *)(void *)sum;
    const uint64_t *from = (const uint64_t *)(const void *)more;

    for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
        to[i] += vmki_load_relaxed(&from[i]);
}

void vmk_system_counters(struct vmk_system *system, struct vmk_counters *counters)
{
    vmk_sync_mutex_lock(&system->lock);
    *counters = system->gone;
    for (struct vmki_member *member = system->members; member != NULL; member = member->next)
        member->add_counters(member, counters);
    vmk_sync_mutex_unlock(&system->lock);
}

void vmki_system_join(struct vmk_system *system, struct vmki_member *member)
{
    __atomic_add_fetch(&system->nr_children, 1, __ATOMIC_RELAXED);
    vmk_sync_mutex_lock(&system->lock);
    member->prev = NULL;
    member->next = system->members;
    if (system->members != NULL)
        system->members->prev = member;
    system->members = member;
    vmk_sync_mutex_unlock(&system->lock);
}

void vmki_system_part(struct vmk_system *system, struct vmki_member *member)
{
    vmk_sync_mutex_lock(&system->lock);
    member->add_counters(member, &system->gone);
    if (member->next != NULL)
        member->next->prev = member->prev;
    if (member->prev != NULL)
        member->prev->next = member->next;
    else
        system->members = member->next;
    vmk_sync_mutex_unlock(&system->lock);
    __atomic_sub_fetch(&system->nr_children, 1, __ATOMIC_RELAXED);
}

void vmk_thread_enter(struct vmk_system *system)
{
    (void)system;
    vmk_sync_thread_enter();
}

void vmk_thread_leave(struct vmk_system *system)
{
    (void)system;
    vmk_sync_thread_leave();
}

void vmk_system_quiesce(struct vmk_system *system)
{
    vmk_sync_mutex_lock(&system->lock);
    for (struct vmki_member *member = system->members; member != NULL; member = member->next)
        member->flush(member);
    vmk_sync_mutex_unlock(&system->lock);
    vmk_sync_barrier();
    vmki_pool_trim(system);
}

/*
 * All locks of the system, in their order: the address spaces', then the inner ones. The list of address spaces cannot
 * change meanwhile, since its lock is taken first and no call that creates or ends one holds an mm.lock while it waits.
 */
void vmk_system_fork_prepare(struct vmk_system *system)
{
    vmk_sync_mutex_lock(&system->lock);
    for (struct vmki_member *member = system->members; member != NULL; member = member->next) {
        vmk_sync_write_lock(member->lock);
        for (unsigned i = 0; i < VMKI_MAX_MORE_LOCKS; i++)
            if (member->more_lock(member, i) != NULL)
                vmk_sync_write_lock(member->more_lock(member, i));
        vmk_sync_mutex_lock(member->inner_lock);
    }
    vmk_sync_mutex_lock(&system->rmap_lock);
    vmk_sync_fork_prepare();
    vmk_sync_mutex_lock(&system->pool_lock); /* a deferred function takes it: after they have been stopped */
}

static void system_fork_unlock(struct vmk_system *system)
{
    vmk_sync_mutex_unlock(&system->rmap_lock);
    for (struct vmki_member *member = system->members; member != NULL; member = member->next) {
        vmk_sync_mutex_unlock(member->inner_lock);
        for (unsigned i = 0; i < VMKI_MAX_MORE_LOCKS; i++)
            if (member->more_lock(member, i) != NULL)
                vmk_sync_write_unlock(member->more_lock(member, i));
        vmk_sync_write_unlock(member->lock);
    }
    vmk_sync_mutex_unlock(&system->lock);
}

void vmk_system_fork_parent(struct vmk_system *system)
{
    vmk_sync_mutex_unlock(&system->pool_lock);
    vmk_sync_fork_parent();
    system_fork_unlock(system);
}

void vmk_system_fork_child(struct vmk_system *system)
{
    /*
     * Made anew rather than unlocked: a lock may remember its owner, and the thread that goes on in the child is another
     * one. Nobody waits for them: a forked process has one thread.
     */
    vmk_sync_mutex_init(&system->pool_lock);
    vmk_sync_fork_child();
    vmk_sync_mutex_init(&system->rmap_lock);
    for (struct vmki_member *member = system->members; member != NULL; member = member->next) {
        vmk_sync_mutex_init(member->inner_lock);
        for (unsigned i = 0; i < VMKI_MAX_MORE_LOCKS; i++)
            if (member->more_lock(member, i) != NULL)
                vmk_sync_rwlock_init(member->more_lock(member, i));
        vmk_sync_rwlock_init(member->lock);
    }
    vmk_sync_mutex_init(&system->lock);
}
