/* SPDX-License-Identifier: MIT */
/* settings.c - the table of settings: names, defaults by version and architecture, and what values make sense. */
#include "vmakit/settings.h"
#include "base/base.h"

static const struct vmk_setting_info setting_table[] = {
#define SETTING_ROW(name, judged, meaning) {#name, meaning, offsetof(struct vmk_settings, name), judged},
    VMK_SETTINGS(SETTING_ROW)
#undef SETTING_ROW
};

const struct vmk_setting_info *vmk_setting_at(size_t i)
{
    return i < VMKI_ARRAY_SIZE(setting_table) ? &setting_table[i] : NULL;
}

/* What every version, architecture and common configuration agrees on. */
static void settings_common(struct vmk_settings *settings)
{
    settings->page_shift = 12;
    settings->pmd_shift = 21;
    settings->mmap_min_addr = 65536;
    settings->stack_guard_gap = 256;
    settings->stack_rnd_pages = 0x3fffff;
    settings->thp = 1;
    settings->thp_built = 1;
    settings->thp_align_file = 1;
    settings->ksm = 1;
    settings->userfaultfd = 1;
    settings->uffd_wp = 1;
    settings->uffd_minor = 1;
    settings->memory_failure = 1;
    settings->hugetlb = 1;
    settings->hugetlb_default_shift = 21;
    settings->nr_nodes = 1;
    settings->write_implies_read = 1;
    settings->exec_implies_read = 1;
    settings->dontunmap_shared = 1;
    settings->overcommit_guess_one = 1;
    settings->enforce_limits = 1;
}

/* What came with a version. */
static void settings_of_version(struct vmk_settings *settings, uint64_t version)
{
    settings->mdwe = version >= VMK_LINUX_VERSION(6, 3);
    settings->thp_align_anon = version >= VMK_LINUX_VERSION(6, 7);
    settings->map_stack_nohuge = version >= VMK_LINUX_VERSION(6, 7);
    settings->mseal = version >= VMK_LINUX_VERSION(6, 10);
    settings->droppable = version >= VMK_LINUX_VERSION(6, 11);
    settings->guard_regions = version >= VMK_LINUX_VERSION(6, 13);
    settings->process_madvise_self = version >= VMK_LINUX_VERSION(6, 13);
    settings->guard_files = version >= VMK_LINUX_VERSION(6, 15);
    settings->mremap_several = version >= VMK_LINUX_VERSION(6, 17);
}

static void settings_of_arch(struct vmk_settings *settings, enum vmk_arch arch)
{
    if (arch == VMK_ARCH_ARM64) {
        settings->va_bits = 48;
        settings->va_bits_wide = 48;
        settings->unlimited_stack_legacy = 1;
        settings->mmap_rnd_bits = 18;
        settings->brk_rnd_bytes = UINT64_C(1) << 30;
        settings->hugetlb_sizes = UINT64_C(1) << 16 | UINT64_C(1) << 21 | UINT64_C(1) << 25 | UINT64_C(1) << 30;
    } else {
        settings->va_bits = 47;
        settings->va_bits_wide = 47;
        settings->map_32bit = 1;
        settings->mmap_rnd_bits = 28;
        settings->brk_rnd_bytes = UINT64_C(1) << (settings->linux_version >= VMK_LINUX_VERSION(6, 9) ? 30 : 25);
        settings->hugetlb_sizes = UINT64_C(1) << 21 | UINT64_C(1) << 30;
    }
}

void vmk_settings_init(struct vmk_settings *settings, uint64_t linux_version, enum vmk_arch arch)
{
    *settings = (struct vmk_settings){.linux_version = linux_version, .arch = (uint64_t)arch};
    settings_common(settings);
    settings_of_version(settings, linux_version);
    settings_of_arch(settings, arch);
}

int vmk_settings_set_page_shift(struct vmk_settings *settings, unsigned page_shift)
{
    if (page_shift != 12 && page_shift != 14 && page_shift != 16)
        return -VMK_EINVAL;
    settings->page_shift = page_shift;
    settings->pmd_shift = page_shift + (page_shift - 3); /* a table of 8-byte entries fills one page */
    settings->hugetlb_default_shift = settings->pmd_shift;
    settings->hugetlb_sizes |= UINT64_C(1) << settings->pmd_shift;
    settings->mmap_min_addr = vmki_max(settings->mmap_min_addr, UINT64_C(1) << page_shift);
    settings->mmap_rnd_bits = vmki_min(settings->mmap_rnd_bits, settings->va_bits - page_shift - 4);
    return 0;
}

const char *vmk_settings_check(const struct vmk_settings *settings)
{
    if (settings->linux_version < VMK_LINUX_VERSION(6, 1))
        return "linux_version";
    if (settings->arch > VMK_ARCH_ARM64)
        return "arch";
    if (settings->page_shift != 12 && settings->page_shift != 14 && settings->page_shift != 16)
        return "page_shift";
    if (settings->pmd_shift <= settings->page_shift || settings->pmd_shift > 30)
        return "pmd_shift";
    if (settings->va_bits < 33 || settings->va_bits > 57)
        return "va_bits";
    if (settings->va_bits_wide < settings->va_bits || settings->va_bits_wide > 57)
        return "va_bits_wide";
    if (settings->mmap_min_addr >= UINT64_C(1) << 32)
        return "mmap_min_addr";
    if (settings->lsm_min_addr >= UINT64_C(1) << 32)
        return "lsm_min_addr";
    if (settings->stack_guard_gap > UINT64_C(1) << 20)
        return "stack_guard_gap";
    if (settings->mmap_rnd_bits > settings->va_bits - settings->page_shift - 4)
        return "mmap_rnd_bits";
    if (settings->thp > 2)
        return "thp";
    if (settings->nr_nodes > 64)
        return "nr_nodes";
    if (settings->nr_pkeys > 16)
        return "nr_pkeys";
    if (settings->overcommit_guess_one == 0) /* mode 0 that looks at free pages: no area knows them */
        return "overcommit_guess_one";
    return NULL;
}

static bool setting_names_match(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static const struct vmk_setting_info *setting_find(const char *name)
{
    for (size_t i = 0; i < VMKI_ARRAY_SIZE(setting_table); i++)
        if (setting_names_match(setting_table[i].name, name))
            return &setting_table[i];
    return NULL;
}

int vmk_settings_set(struct vmk_settings *settings, const char *name, uint64_t value)
{
    const struct vmk_setting_info *info = setting_find(name);

    if (info == NULL)
        return -VMK_ENOENT;
    memcpy((char *)settings + info->offset, &value, sizeof(value));
    return 0;
}

int vmk_settings_get(const struct vmk_settings *settings, const char *name, uint64_t *value)
{
    const struct vmk_setting_info *info = setting_find(name);

    if (info == NULL)
        return -VMK_ENOENT;
    memcpy(value, (const char *)settings + info->offset, sizeof(*value));
    return 0;
}
