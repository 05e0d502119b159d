/* SPDX-License-Identifier: MIT */
/*
 * kview_probe.c - what the running kernel is: settings and machine-wide limits.
 *
 * Files under /proc and /sys are read; behaviour is tried on memory of our own, which goes afterwards. (Not in a child: this
 * is half of what a short program under `vmakit run' has to wait for.) A
 * setting that cannot be tried (docs/limits.md names them) keeps the default of the kernel's version. MADV_HWPOISON
 * and MADV_SOFT_OFFLINE are never issued.
 */
#include "kview.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

/* Numbers and constants that older headers lack; they are the same on x86-64 and arm64. */
enum {
    NR_PIDFD_OPEN = 434,
    NR_PROCESS_MADVISE = 440,
    NR_MAP_SHADOW_STACK = 453,
    NR_MSEAL = 462,
    TRY_MREMAP_DONTUNMAP = 4,
    TRY_MAP_DROPPABLE = 0x08,
    TRY_MAP_FIXED_NOREPLACE = 0x100000,
    TRY_MADV_GUARD_INSTALL = 102,
    TRY_PR_SET_VMA = 0x53564d41,
    TRY_PR_GET_MDWE = 66
};

#define TRY_UFFD_WP    UINT64_C(0x1)
#define TRY_UFFD_MINOR (UINT64_C(1) << 9 | UINT64_C(1) << 10)

enum { MAPS_MAX = 64, LOW_HINT = 0x10000000 };

/* What a probe works with. */
struct probe {
    struct vmk_settings *settings;
    struct kview view; /* read once, when all maps are there */
    const void *stack_map, *plain_map, *moved_map;
    char *low;         /* where the next of the maps that are looked at is wished for: the view begins there */
    vmk_addr looks_to; /* the end of them all */
    struct {
        void *start;
        size_t len;
    } maps[MAPS_MAX]; /* to be undone */
    size_t nr_maps;
    size_t page;
    char *arena; /* PROT_NONE memory whose pieces probes replace with fixed maps */
    size_t arena_len;
    int exe; /* a regular file to map */
};

/* ---- Small files ---- */

static bool read_text(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, buffer, size - 1);
    close(fd);
    if (len < 0)
        return false;
    buffer[len] = '\0';
    return true;
}

static void read_number(const char *path, uint64_t *value)
{
    char text[64];
    if (!read_text(path, text, sizeof(text)))
        return;
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno == 0 && end != text)
        *value = v;
}

/* A number of /proc/meminfo; `value` stays when it is not there. */
static void meminfo(const char *text, const char *name, uint64_t *value)
{
    const char *line = strstr(text, name);
    if (line != NULL)
        *value = strtoull(line + strlen(name), NULL, 10);
}

static void probe_sysctl(struct vmk_sysctl *sysctl)
{
    char text[8192];
    uint64_t ram_kb = 0, swap_kb = 0, huge_kb = 0, huge_reserved = 0;
    const uint64_t page_kb = (uint64_t)sysconf(_SC_PAGESIZE) / 1024;

    read_number("/proc/sys/vm/max_map_count", &sysctl->max_map_count);
    read_number("/proc/sys/vm/overcommit_memory", &sysctl->overcommit_memory);
    read_number("/proc/sys/vm/overcommit_ratio", &sysctl->overcommit_ratio);
    read_number("/proc/sys/vm/overcommit_kbytes", &sysctl->overcommit_kbytes);
    read_number("/proc/sys/vm/user_reserve_kbytes", &sysctl->user_reserve_kbytes);
    read_number("/proc/sys/vm/admin_reserve_kbytes", &sysctl->admin_reserve_kbytes);
    read_number("/proc/sys/vm/legacy_va_layout", &sysctl->legacy_va_layout);
    read_number("/proc/sys/vm/unprivileged_userfaultfd", &sysctl->unprivileged_userfaultfd);
    if (!read_text("/proc/meminfo", text, sizeof(text)))
        return;
    meminfo(text, "MemTotal:", &ram_kb);
    meminfo(text, "SwapTotal:", &swap_kb);
    meminfo(text, "HugePages_Free:", &sysctl->hugetlb_free_pages);
    meminfo(text, "HugePages_Rsvd:", &huge_reserved); /* free still, but promised to somebody */
    sysctl->hugetlb_free_pages -=
        huge_reserved < sysctl->hugetlb_free_pages ? huge_reserved : sysctl->hugetlb_free_pages;
    meminfo(text, "Hugetlb:", &huge_kb);
    sysctl->hugetlb_total_pages = huge_kb / page_kb;
    if (ram_kb != 0)
        sysctl->total_ram_pages = ram_kb / page_kb;
    sysctl->total_swap_pages = swap_kb / page_kb;
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

static void probe_thp_files(struct vmk_settings *settings)
{
    char text[128];
    uint64_t pmd_size = 0;

    if (!read_text("/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof(text)))
        settings->thp = 0;
    else
        settings->thp = strstr(text, "[always]") != NULL ? 2 : strstr(text, "[madvise]") != NULL ? 1 : 0;
    read_number("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", &pmd_size);
    if (pmd_size != 0)
        settings->pmd_shift = log2_of(pmd_size);
}

static void probe_hugetlb_files(struct vmk_settings *settings)
{
    char text[8192];
    uint64_t default_kb = 0;

    DIR *directory = opendir("/sys/kernel/mm/hugepages");
    settings->hugetlb = directory != NULL;
    if (directory == NULL)
        return;
    settings->hugetlb_sizes = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        uint64_t kb;
        char *end;
        if (strncmp(entry->d_name, "hugepages-", 10) != 0)
            continue;
        kb = strtoull(entry->d_name + 10, &end, 10);
        if (strcmp(end, "kB") == 0 && kb != 0 && log2_of(kb) + 10 < 64)
            settings->hugetlb_sizes |= UINT64_C(1) << (log2_of(kb) + 10);
    }
    closedir(directory);
    if (read_text("/proc/meminfo", text, sizeof(text)))
        meminfo(text, "Hugepagesize:", &default_kb);
    if (default_kb != 0)
        settings->hugetlb_default_shift = log2_of(default_kb) + 10;
}

/* "0-1,3": one more than the highest node. */
static void probe_nodes(struct vmk_settings *settings)
{
    char text[256];
    uint64_t highest = 0;

    if (syscall(SYS_get_mempolicy, NULL, NULL, 0UL, NULL, 0UL) != 0 && errno == ENOSYS) {
        settings->nr_nodes = 0;
        return;
    }
    settings->nr_nodes = 1;
    if (!read_text("/sys/devices/system/node/has_memory", text, sizeof(text)))
        return;
    for (char *p = text; *p >= '0' && *p <= '9';) {
        highest = strtoull(p, &p, 10);
        if (*p == '-' || *p == ',')
            p++;
    }
    settings->nr_nodes = highest + 1;
}

static void probe_files(struct vmk_settings *settings)
{
    read_number("/proc/sys/vm/mmap_min_addr", &settings->mmap_min_addr);
    read_number("/proc/sys/vm/mmap_rnd_bits", &settings->mmap_rnd_bits);
    settings->memory_failure = access("/proc/sys/vm/memory_failure_early_kill", F_OK) == 0;
    probe_thp_files(settings);
    probe_hugetlb_files(settings);
    probe_nodes(settings);
}

/* ---- Maps ---- */

/* What a probe has mapped goes at the end. */
static void *keep(struct probe *probe, void *start, size_t len)
{
    if (start == MAP_FAILED)
        return start;
    if (probe->nr_maps == MAPS_MAX) {
        munmap(start, len);
        return MAP_FAILED;
    }
    probe->maps[probe->nr_maps].start = start;
    probe->maps[probe->nr_maps++].len = len;
    return start;
}

static void undo(struct probe *probe)
{
    while (probe->nr_maps != 0) {
        probe->nr_maps--;
        munmap(probe->maps[probe->nr_maps].start, probe->maps[probe->nr_maps].len);
    }
}

static void *map(struct probe *probe, size_t len, int prot, int flags)
{
    return keep(probe, mmap(NULL, len, prot, flags | MAP_ANONYMOUS, -1, 0), len);
}

/* One to look at in probe_view. */
static void *map_low(struct probe *probe, size_t len, int prot, int flags)
{
    void *p = keep(probe, mmap(probe->low, len, prot, flags | MAP_ANONYMOUS, -1, 0), len);
    if (p == MAP_FAILED)
        return p;
    probe->low += len + probe->page;
    if ((uintptr_t)p + len > probe->looks_to)
        probe->looks_to = (uintptr_t)p + len;
    return p;
}

static void *map_at(void *at, size_t len, int prot, int flags)
{
    return mmap(at, len, prot, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

/* The area that contains an address; NULL for none. */
static const struct kview_area *area_at(const struct probe *probe, const void *address)
{
    const vmk_addr at = (vmk_addr)(uintptr_t)address;

    for (size_t i = 0; address != NULL && i < probe->view.nr_areas; i++)
        if (at >= probe->view.areas[i].start && at < probe->view.areas[i].end)
            return &probe->view.areas[i];
    return NULL;
}

static bool has_flag(const struct probe *probe, const void *address, vmk_vm_flags flag)
{
    const struct kview_area *area = area_at(probe, address);
    return area != NULL && (area->flags & flag) != 0;
}

/* Is advice known for private anonymous memory, or for a private map of a file? */
static bool accepts_advice(struct probe *probe, int advice, bool file)
{
    void *p = file ? mmap(NULL, probe->page, PROT_READ, MAP_PRIVATE, probe->exe, 0)
                   : mmap(NULL, probe->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return false;
    bool known = madvise(p, probe->page, advice) == 0;
    munmap(p, probe->page);
    return known;
}

/* Do three maps of a huge page's length land on its alignment, with odd pages between them? */
static bool aligns(struct probe *probe, int fd)
{
    const size_t len = (size_t)1 << probe->settings->pmd_shift;

    for (unsigned i = 0; i < 3; i++) {
        if (map(probe, probe->page, PROT_NONE, MAP_PRIVATE) == MAP_FAILED)
            return false;
        void *p =
            keep(probe, mmap(NULL, len, PROT_READ, fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_PRIVATE, fd, 0), len);
        if (p == MAP_FAILED || ((uintptr_t)p & (len - 1)) != 0)
            return false;
    }
    return true;
}

static void probe_thp(struct probe *probe)
{
    probe->settings->thp_built = accepts_advice(probe, MADV_HUGEPAGE, false);
    if (probe->settings->pmd_shift < 30) {
        probe->settings->thp_align_anon = aligns(probe, -1);
        if (probe->exe >= 0 && aligns(probe, probe->exe))
            probe->settings->thp_align_file = 1;
    }
    void *p = map_low(probe, probe->page, PROT_READ, MAP_PRIVATE | MAP_STACK);
    probe->stack_map = p != MAP_FAILED ? p : NULL;
}

/* Widths: of the stack's end without asking; the highest fixed address with asking. */
static void probe_width(struct probe *probe)
{
    struct vmk_settings *settings = probe->settings;
    int local = 0;

    settings->va_bits = log2_of((uintptr_t)&local) + 1;
    settings->va_bits_wide = settings->va_bits;
    for (unsigned bits = (unsigned)settings->va_bits + 1; bits < 58; bits++) {
        void *want = (void *)(uintptr_t)(UINT64_C(1) << (bits - 1));
        void *p = mmap(want, probe->page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | TRY_MAP_FIXED_NOREPLACE, -1, 0);
        if (keep(probe, p, probe->page) != want)
            break;
        settings->va_bits_wide = bits;
    }
}

/* A security module may ask for more than the sysctl says: where does the lowest hint go? */
static void probe_lowest_hint(struct probe *probe)
{
    char *p = mmap((void *)probe->page, probe->page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return;
    if ((uintptr_t)p > probe->settings->mmap_min_addr && (uintptr_t)p <= 0x100000)
        probe->settings->lsm_min_addr = (uintptr_t)p;
    munmap(p, probe->page);
}

/* A hint below an area that grows down is honoured only when the gap fits between. */
static bool hint_honoured(struct probe *probe, char *stack, size_t pages_between)
{
    char *want = stack - (pages_between + 1) * probe->page;
    void *p = mmap(want, probe->page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return false;
    munmap(p, probe->page);
    return p == want;
}

static void probe_guard_gap(struct probe *probe)
{
    const size_t most = 2048;
    char *hole = mmap(NULL, (most + 8) * probe->page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (hole == MAP_FAILED)
        return;
    munmap(hole, (most + 8) * probe->page);
    char *stack = hole + (most + 4) * probe->page;
    if (map_at(stack, probe->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_GROWSDOWN) == MAP_FAILED)
        return;
    size_t low = 0, high = most; /* the answer lies in [low, high] */
    (void)keep(probe, stack, probe->page);
    if (!hint_honoured(probe, stack, high))
        return;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (hint_honoured(probe, stack, middle))
            high = middle;
        else
            low = middle + 1;
    }
    probe->settings->stack_guard_gap = low;
}

static void probe_map_flags(struct probe *probe)
{
    struct vmk_settings *settings = probe->settings;
#ifdef MAP_32BIT
    void *low = map(probe, probe->page, PROT_NONE, MAP_PRIVATE | MAP_32BIT);
    settings->map_32bit = low != MAP_FAILED && (uintptr_t)low < UINT64_C(0x80000000);
#else
    settings->map_32bit = 0;
#endif
    void *p = map(probe, probe->page, PROT_READ | PROT_WRITE, TRY_MAP_DROPPABLE);
    settings->droppable = p != MAP_FAILED;
    p = map_low(probe, probe->page, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    probe->plain_map = p != MAP_FAILED ? p : NULL;
}

/* ---- Advice, names, sealing ---- */

static void probe_process_madvise(struct probe *probe)
{
    long pidfd = syscall(NR_PIDFD_OPEN, getpid(), 0);
    void *p = map(probe, probe->page, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    struct iovec range = {p, probe->page};

    if (pidfd < 0 || p == MAP_FAILED)
        return;
    probe->settings->process_madvise_self =
        syscall(NR_PROCESS_MADVISE, (int)pidfd, &range, 1UL, MADV_DONTNEED, 0U) == (long)probe->page;
    close((int)pidfd);
}

static void probe_advice(struct probe *probe)
{
    struct vmk_settings *settings = probe->settings;

    settings->ksm = accepts_advice(probe, MADV_MERGEABLE, false);
    settings->guard_regions = accepts_advice(probe, TRY_MADV_GUARD_INSTALL, false);
    settings->guard_files =
        settings->guard_regions && probe->exe >= 0 && accepts_advice(probe, TRY_MADV_GUARD_INSTALL, true);
    probe_process_madvise(probe);
}

static void probe_names_and_seals(struct probe *probe)
{
    struct vmk_settings *settings = probe->settings;
    void *p = map(probe, probe->page, PROT_READ | PROT_WRITE, MAP_PRIVATE);

    settings->anon_vma_name = p != MAP_FAILED && prctl(TRY_PR_SET_VMA, 0UL, p, probe->page, "vmakit") == 0;
    settings->mdwe = prctl(TRY_PR_GET_MDWE, 0UL, 0UL, 0UL, 0UL) >= 0;
    settings->mseal = syscall(NR_MSEAL, p, 0UL, 0UL) == 0;
}

static void probe_uffd(struct vmk_settings *settings)
{
    long fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == EPERM)
        fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | 1 /* UFFD_USER_MODE_ONLY */);
    settings->userfaultfd = fd >= 0 || errno != ENOSYS;
    if (!settings->userfaultfd)
        settings->uffd_wp = settings->uffd_minor = 0;
    if (fd < 0)
        return;
    struct uffdio_api api = {.api = UFFD_API, .features = 0};
    if (ioctl((int)fd, UFFDIO_API, &api) == 0) {
        settings->uffd_wp = (api.features & TRY_UFFD_WP) != 0;
        settings->uffd_minor = (api.features & TRY_UFFD_MINOR) != 0;
    }
    close((int)fd);
}

/* ---- mremap ---- */

/* Two neighbours that cannot be one area, moved by one call. */
static void probe_mremap_several(struct probe *probe)
{
    char *from = probe->arena, *to = probe->arena + 16 * probe->page;
    const size_t page = probe->page;

    if (map_at(from, page, PROT_READ, MAP_PRIVATE) == MAP_FAILED ||
        map_at(from + page, page, PROT_READ | PROT_WRITE, MAP_PRIVATE) == MAP_FAILED)
        return;
    probe->settings->mremap_several = mremap(from, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, to) == (void *)to;
}

/*
 * An area that was written to is moved, so that its pgoff is that of its first place, and then moved on with DONTUNMAP.
 * What stays has no anon_vma; a fresh neighbour merges with it only when its pgoff is that of its address again.
 */
static void probe_dontunmap_pgoff(struct probe *probe)
{
    const size_t page = probe->page;
    char *first = probe->arena + 32 * page, *second = probe->arena + 48 * page, *third = probe->arena + 64 * page;

    if (map_at(first, page, PROT_READ | PROT_WRITE, MAP_PRIVATE) == MAP_FAILED)
        return;
    *(volatile char *)first = 1;
    if (mremap(first, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, second) != (void *)second ||
        mremap(second, page, page, MREMAP_MAYMOVE | MREMAP_FIXED | TRY_MREMAP_DONTUNMAP, third) != (void *)third ||
        map_at(second + page, page, PROT_READ | PROT_WRITE, MAP_PRIVATE) == MAP_FAILED)
        return;
    probe->moved_map = second;
}

static void probe_dontunmap_shared(struct probe *probe)
{
    void *p = map(probe, probe->page, PROT_READ | PROT_WRITE, MAP_SHARED);
    if (p == MAP_FAILED)
        return;
    void *moved = mremap(p, probe->page, probe->page, MREMAP_MAYMOVE | TRY_MREMAP_DONTUNMAP, NULL);
    probe->settings->dontunmap_shared = keep(probe, moved, probe->page) != MAP_FAILED;
}

/* ---- The processor ---- */

static sigjmp_buf read_failed;

static void on_fault(int number)
{
    siglongjmp(read_failed, number);
}

/* Can memory with such a protection be read? */
static bool readable(struct probe *probe, int prot)
{
    volatile const char *p = map(probe, probe->page, prot, MAP_PRIVATE);
    struct sigaction action = {.sa_handler = on_fault}, old;

    if (p == MAP_FAILED)
        return false;
    sigaction(SIGSEGV, &action, &old);
    volatile bool good = false;
    if (sigsetjmp(read_failed, 1) == 0) {
        (void)*p;
        good = true;
    }
    sigaction(SIGSEGV, &old, NULL);
    return good;
}

static void probe_processor(struct probe *probe)
{
    struct vmk_settings *settings = probe->settings;
    void *p = map(probe, probe->page, PROT_READ, MAP_PRIVATE);

    settings->write_implies_read = readable(probe, PROT_WRITE);
    settings->exec_implies_read = readable(probe, PROT_EXEC);
#if defined(__aarch64__)
    settings->bti = mprotect(p, probe->page, PROT_READ | (int)VMK_PROT_BTI) == 0;
    settings->mte = mprotect(p, probe->page, PROT_READ | (int)VMK_PROT_MTE) == 0;
    const uint64_t most_keys = 8;
#else
    (void)p;
    const uint64_t most_keys = 16;
#endif
    long key = syscall(SYS_pkey_alloc, 0UL, 0UL);
    settings->nr_pkeys = key > 0 ? most_keys : 0;
    if (key > 0)
        syscall(SYS_pkey_free, key);
    void *shadow = (void *)syscall(NR_MAP_SHADOW_STACK, 0UL, probe->page, 0U); // NOLINT(performance-no-int-to-ptr)
    settings->shadow_stack = keep(probe, shadow, probe->page) != MAP_FAILED;
}

/* Asking for the permissions that it has changes nothing, and is refused where it is sealed. */
static bool vdso_is_sealed(const struct probe *probe)
{
    void *vdso = (void *)getauxval(AT_SYSINFO_EHDR); // NOLINT(performance-no-int-to-ptr)
    return vdso != NULL && mprotect(vdso, probe->page, PROT_READ | PROT_EXEC) != 0 && errno == EPERM;
}

/* What the maps that the probes have left show, all in one look. */
static void probe_view(struct probe *probe)
{
    struct vmk_settings *settings = probe->settings;

    settings->seal_system = vdso_is_sealed(probe);
    if (kview_read_below(&probe->view, getpid(), KVIEW_FLAGS, probe->looks_to) != 0)
        return;
    if (probe->stack_map != NULL)
        settings->map_stack_nohuge = has_flag(probe, probe->stack_map, VMK_VM_NOHUGEPAGE);
    settings->soft_dirty = has_flag(probe, probe->plain_map, VMK_VM_SOFTDIRTY);
    const struct kview_area *moved = area_at(probe, probe->moved_map);
    if (moved != NULL)
        settings->dontunmap_resets_pgoff = moved->end == (uintptr_t)probe->moved_map + 2 * probe->page;
}

/* False: there is no memory to try anything on. */
static bool probe_behaviour(struct vmk_settings *settings)
{
    struct probe probe = {.settings = settings, .page = (size_t)sysconf(_SC_PAGESIZE)};

    probe.exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    probe.arena_len = 128 * probe.page;
    probe.low = (char *)(uintptr_t)LOW_HINT; // NOLINT(performance-no-int-to-ptr)
    probe.arena = map_low(&probe, probe.arena_len, PROT_NONE, MAP_PRIVATE);
    if (probe.arena != MAP_FAILED) {
        probe_lowest_hint(&probe);
        probe_thp(&probe);
        probe_map_flags(&probe);
        probe_guard_gap(&probe);
        probe_advice(&probe);
        probe_names_and_seals(&probe);
        probe_uffd(settings);
        probe_mremap_several(&probe);
        probe_dontunmap_pgoff(&probe);
        probe_dontunmap_shared(&probe);
        probe_processor(&probe);
        probe_view(&probe);
        probe_width(&probe);
    }
    undo(&probe);
    kview_free(&probe.view);
    if (probe.exe >= 0)
        close(probe.exe);
    return probe.arena != MAP_FAILED;
}

/* ---- The whole ---- */

static void init_settings(struct vmk_settings *settings)
{
    struct utsname name;
    unsigned major = 6, minor = 18;
#if defined(__aarch64__)
    const enum vmk_arch arch = VMK_ARCH_ARM64;
#else
    const enum vmk_arch arch = VMK_ARCH_X86_64;
#endif
    if (uname(&name) == 0)
        (void)sscanf(name.release, "%u.%u", &major, &minor);
    vmk_settings_init(settings, VMK_LINUX_VERSION(major, minor), arch);
    long page = sysconf(_SC_PAGESIZE);
    if (page > 4096)
        vmk_settings_set_page_shift(settings, log2_of((uint64_t)page));
}

int kview_probe(struct vmk_settings *settings, struct vmk_sysctl *sysctl)
{
    struct vmk_system_options defaults;

    init_settings(settings);
    vmk_system_options_init(&defaults, vmk_port_linux());
    *sysctl = defaults.sysctl;
    probe_sysctl(sysctl);
    probe_files(settings);

    return probe_behaviour(settings) ? 0 : -ENOMEM;
}
