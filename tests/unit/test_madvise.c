/* SPDX-License-Identifier: MIT */
/*
 * madvise(2): every advice on every kind of area, holes, seals, guard regions, populating, the two-phase form.
 *
 * The table was recorded on Linux 6.18: for each kind, the advices that do not simply succeed without changing a flag.
 */
#include "calls.h"

/* ---- Every advice on every kind of area ---- */

struct advice_name {
    int advice;
    const char *name;
};

static const struct advice_name advices[] = {
    {VMK_MADV_NORMAL, "NORMAL"},           {VMK_MADV_RANDOM, "RANDOM"},
    {VMK_MADV_SEQUENTIAL, "SEQ"},          {VMK_MADV_WILLNEED, "WILLNEED"},
    {VMK_MADV_DONTNEED, "DONTNEED"},       {VMK_MADV_FREE, "FREE"},
    {VMK_MADV_REMOVE, "REMOVE"},           {VMK_MADV_DONTFORK, "DONTFORK"},
    {VMK_MADV_DOFORK, "DOFORK"},           {VMK_MADV_MERGEABLE, "MERGEABLE"},
    {VMK_MADV_UNMERGEABLE, "UNMERGE"},     {VMK_MADV_HUGEPAGE, "HUGE"},
    {VMK_MADV_NOHUGEPAGE, "NOHUGE"},       {VMK_MADV_DONTDUMP, "DONTDUMP"},
    {VMK_MADV_DODUMP, "DODUMP"},           {VMK_MADV_WIPEONFORK, "WIPE"},
    {VMK_MADV_KEEPONFORK, "KEEP"},         {VMK_MADV_COLD, "COLD"},
    {VMK_MADV_PAGEOUT, "PAGEOUT"},         {VMK_MADV_POPULATE_READ, "POPREAD"},
    {VMK_MADV_POPULATE_WRITE, "POPWRITE"}, {VMK_MADV_DONTNEED_LOCKED, "DNLOCKED"},
    {VMK_MADV_COLLAPSE, "COLLAPSE"},       {VMK_MADV_GUARD_INSTALL, "GINST"},
    {VMK_MADV_GUARD_REMOVE, "GREM"},
};

enum setup { NOTHING, TOUCH_PROTECT, LOCK, LOCK_ONFAULT, UFFD, UFFD_WP, SEAL, LOCK_SEAL, SPECIAL };

struct kind {
    const char *name;
    uint32_t prot, flags;
    int file; /* 0 none, 1 regular, 2 regular read-only, 3 memfd, 4 memfd with a WRITE seal, 5 /dev/zero, 6 secret */
    enum setup setup;
    uint64_t nr_pages;
    vmk_vm_flags special;
    const char *expected;
};

#define PRIV   VMK_MAP_PRIVATE
#define SH     VMK_MAP_SHARED
#define AN     VMK_MAP_ANONYMOUS
#define HINTS  "RANDOM=+rr SEQ=+sr "
#define HUGES  "HUGE=+hg NOHUGE=+nh DONTDUMP=+dd "
#define FILES  HINTS "FREE=EINVAL REMOVE=EACCES DONTFORK=+dc MERGEABLE=+mg " HUGES "WIPE=EINVAL "
#define SHARED HINTS "FREE=EINVAL DONTFORK=+dc " HUGES "WIPE=EINVAL "
#define ANON   HINTS "REMOVE=EINVAL DONTFORK=+dc MERGEABLE=+mg " HUGES "WIPE=+wf "
#define LOCKED                                                                                                         \
    HINTS "DONTNEED=EINVAL FREE=EINVAL REMOVE=EINVAL DONTFORK=+dc MERGEABLE=+mg " HUGES "WIPE=+wf COLD=EINVAL "        \
          "PAGEOUT=EINVAL COLLAPSE=EINVAL GINST=EINVAL "
#define SEALED     HINTS "DONTNEED=EPERM FREE=EPERM REMOVE=EPERM DONTFORK=EPERM MERGEABLE=+mg " HUGES "WIPE=EPERM "
#define SEALED_END "POPWRITE=EINVAL DNLOCKED=EPERM COLLAPSE=EINVAL GINST=EPERM "
#define RD         "POPWRITE=EINVAL "
#define END        "COLLAPSE=EINVAL GINST=+gu "

static const struct kind kinds[] = {
    {"anon_rw", VT_RW, PRIV | AN, 0, NOTHING, 4, 0, ANON END},
    {"anon_ro", VT_R, PRIV | AN, 0, NOTHING, 4, 0, ANON RD END},
    {"anon_none", 0, PRIV | AN, 0, NOTHING, 4, 0, ANON "POPREAD=EINVAL " RD END},
    {"anon_touched_ro", VT_RW, PRIV | AN, 0, TOUCH_PROTECT, 4, 0, ANON RD END},
    {"anon_lock", VT_RW, PRIV | AN, 0, LOCK, 4, 0, LOCKED},
    {"anon_lof", VT_RW, PRIV | AN, 0, LOCK_ONFAULT, 4, 0, LOCKED},
    {"anon_x", VT_RW | VMK_PROT_EXEC, PRIV | AN, 0, NOTHING, 4, 0, ANON END},
    {"noreserve", VT_RW, PRIV | AN | VMK_MAP_NORESERVE, 0, NOTHING, 4, 0, ANON END},
    {"shanon_rw", VT_RW, SH | AN, 0, NOTHING, 4, 0, SHARED END},
    {"shanon_ro", VT_R, SH | AN, 0, NOTHING, 4, 0, SHARED RD END},
    {"shanon_none", 0, SH | AN, 0, NOTHING, 4, 0, SHARED "POPREAD=EINVAL " RD END},
    {"filepriv_rw", VT_RW, PRIV, 1, NOTHING, 4, 0, FILES END},
    {"filepriv_ro", VT_R, PRIV, 1, NOTHING, 4, 0, FILES RD END},
    {"filepriv_none", 0, PRIV, 1, NOTHING, 4, 0, FILES "POPREAD=EINVAL " RD END},
    {"fileshared_rw", VT_RW, SH, 1, NOTHING, 4, 0, SHARED END},
    {"fileshared_ro_fd", VT_R, SH, 2, NOTHING, 4, 0,
     HINTS "FREE=EINVAL REMOVE=EACCES DONTFORK=+dc " HUGES "WIPE=EINVAL " RD END},
    {"memfd_sh", VT_RW, SH, 3, NOTHING, 4, 0, SHARED END},
    {"memfd_wsealed_sh", VT_R, SH, 4, NOTHING, 4, 0,
     HINTS "FREE=EINVAL REMOVE=EACCES DONTFORK=+dc " HUGES "WIPE=EINVAL " RD END},
    {"memfd_priv", VT_RW, PRIV, 3, NOTHING, 4, 0, FILES END},
    {"droppable", VT_RW, VMK_MAP_DROPPABLE | AN, 0, NOTHING, 4, 0,
     HINTS "REMOVE=EINVAL DONTFORK=+dc HUGE=+hg NOHUGE=+nh DODUMP=EINVAL KEEP=EINVAL " END},
    {"zero_priv", VT_RW, PRIV, 5, NOTHING, 4, 0,
     HINTS "REMOVE=EACCES DONTFORK=+dc MERGEABLE=+mg " HUGES "WIPE=EINVAL " END},
    {"stack", VT_RW, PRIV | AN | VMK_MAP_GROWSDOWN, 0, NOTHING, 4, 0, ANON END},
    {"mapstack", VT_RW, PRIV | AN | VMK_MAP_STACK, 0, NOTHING, 4, 0,
     HINTS "REMOVE=EINVAL DONTFORK=+dc MERGEABLE=+mg HUGE=+hg-nh DONTDUMP=+dd WIPE=+wf " END},
    {"secret", VT_RW, SH, 6, NOTHING, 4, 0,
     HINTS "DONTNEED=EINVAL FREE=EINVAL REMOVE=EINVAL DONTFORK=+dc HUGE=+hg NOHUGE=+nh DODUMP=-dd WIPE=EINVAL "
           "COLD=EINVAL PAGEOUT=EINVAL POPREAD=EINVAL POPWRITE=EINVAL COLLAPSE=EINVAL GINST=EINVAL "},
    {"uffd_m", VT_RW, PRIV | AN, 0, UFFD, 4, 0, ANON END},
    {"uffd_wp", VT_RW, PRIV | AN, 0, UFFD_WP, 4, 0, ANON END},
    {"seal_rw", VT_RW, PRIV | AN, 0, SEAL, 4, 0, ANON END},
    {"seal_ro", VT_R, PRIV | AN, 0, SEAL, 4, 0, SEALED SEALED_END},
    {"seal_ro_locked", VT_R, PRIV | AN, 0, LOCK_SEAL, 4, 0, SEALED "COLD=EINVAL PAGEOUT=EINVAL " SEALED_END},
    {"seal_none", 0, PRIV | AN, 0, SEAL, 4, 0, SEALED "POPREAD=EINVAL " SEALED_END},
    {"seal_filepriv_ro", VT_R, PRIV, 1, SEAL, 4, 0, FILES RD END},
    {"seal_filepriv_rw", VT_RW, PRIV, 1, SEAL, 4, 0, FILES END},
    {"seal_sh_ro", VT_R, SH | AN, 0, SEAL, 4, 0, SHARED RD END},
    {"huge_nr", VT_RW, PRIV | AN | VMK_MAP_HUGETLB | VMK_MAP_NORESERVE, 0, NOTHING, 512, 0,
     HINTS "FREE=EINVAL REMOVE=EACCES DONTFORK=+dc " HUGES "WIPE=EINVAL COLD=EINVAL PAGEOUT=EINVAL POPREAD=EFAULT "
           "POPWRITE=EFAULT COLLAPSE=EINVAL GINST=EINVAL GREM=EINVAL "},
    {"vvar", 0, 0, 0, SPECIAL, 4, VT_VVAR,
     HINTS "DONTNEED=EINVAL FREE=EINVAL REMOVE=EINVAL DONTFORK=+dc DOFORK=EINVAL HUGE=+hg NOHUGE=+nh DODUMP=EINVAL "
           "WIPE=+wf COLD=EINVAL PAGEOUT=EINVAL POPREAD=EINVAL POPWRITE=EINVAL DNLOCKED=EINVAL COLLAPSE=EINVAL "
           "GINST=EINVAL GREM=EINVAL "},
    {"vdso", 0, 0, 0, SPECIAL, 4, VT_VDSO,
     HINTS "FREE=EINVAL REMOVE=EINVAL DONTFORK=+dc HUGE=+hg NOHUGE=+nh DONTDUMP=+dd DODUMP=EINVAL WIPE=+wf "
           "POPWRITE=EINVAL COLLAPSE=EINVAL GINST=EINVAL GREM=EINVAL "},
};

static struct vmk_file *kind_file(struct vt *t, int file)
{
    const uint32_t rw = VMK_FILE_READ | VMK_FILE_WRITE;

    switch (file) {
    case 1:
        return vt_file_mode(t, 1, VMK_OBJECT_REGULAR, rw, 0);
    case 2:
        return vt_file_mode(t, 2, VMK_OBJECT_REGULAR, VMK_FILE_READ, 0);
    case 3:
        return vt_file_mode(t, 3, VMK_OBJECT_SHMEM, rw, 0);
    case 4:
        return vt_file_mode(t, 4, VMK_OBJECT_SHMEM, rw, VMK_SEAL_WRITE);
    case 5:
        return vt_file_mode(t, 5, VMK_OBJECT_ZERO, rw, 0);
    case 6:
        return vt_file_mode(t, 6, VMK_OBJECT_SECRET, rw | VMK_FILE_NOEXEC, 0);
    default:
        return NULL;
    }
}

static void kind_make(struct vt *t, const struct kind *kind)
{
    uint64_t len = P(kind->nr_pages);

    if (kind->setup == SPECIAL) {
        vt_special(t, BASE, len, kind->special);
        return;
    }
    vt_map_file(t, BASE, len, kind->prot, kind->flags, kind_file(t, kind->file), 0);
    switch (kind->setup) {
    case TOUCH_PROTECT:
        vt_touch(t, BASE);
        assert_ret(vt_mprotect(t, BASE, len, VT_R), 0);
        break;
    case LOCK:
    case LOCK_SEAL:
        assert_ret(vt_mlock(t, BASE, len), 0);
        break;
    case LOCK_ONFAULT:
        assert_ret(vt_mlock2(t, BASE, len, VMK_MLOCK_ONFAULT), 0);
        break;
    case UFFD:
        assert_ret(vt_register(t, 1, BASE, len, VMK_UFFD_MODE_MISSING), 0);
        break;
    case UFFD_WP:
        assert_ret(vt_register(t, 1, BASE, len, VMK_UFFD_MODE_WP), 0);
        break;
    default:
        break;
    }
    if (kind->setup == SEAL || kind->setup == LOCK_SEAL)
        assert_ret(vt_mseal(t, BASE, len, 0), 0);
}

static const char *error_name(int64_t error)
{
    switch (-error) {
    case 0:
        return "";
    case VMK_EPERM:
        return "EPERM";
    case VMK_EACCES:
        return "EACCES";
    case VMK_EFAULT:
        return "EFAULT";
    case VMK_EINVAL:
        return "EINVAL";
    case VMK_ENODEV:
        return "ENODEV";
    default:
        return "another error";
    }
}

static vmk_vm_flags flags_at_base(struct vt *t)
{
    struct vmk_vma_info info = {.size = sizeof(info)};

    assert_int_equal(vmk_mm_lookup(t->mm, BASE, &info), 0);
    return info.flags;
}

/* "+xx" for each flag of `names`. */
static void print_difference(struct vt_text *to, char sign, vmk_vm_flags flags)
{
    char names[VMK_VMFLAGS_TEXT_MAX];

    vmk_vmflags_text(NULL, flags, names, sizeof(names));
    for (const char *name = names; *name != '\0'; name += 3)
        vt_print(to, "%c%.2s", sign, name);
}

static void advise_kind(const struct kind *kind, const struct advice_name *advice, struct vt_text *to)
{
    static struct vt t;
    vmk_vm_flags before, after;
    int64_t error;

    vt_setup(&t);
    kind_make(&t, kind);
    before = flags_at_base(&t);
    error = vt_madvise(&t, BASE, P(kind->nr_pages), advice->advice);
    after = flags_at_base(&t);
    if (error != 0 || before != after) {
        vt_print(to, "%s=%s", advice->name, error_name(error));
        print_difference(to, '+', after & ~before);
        print_difference(to, '-', before & ~after);
        vt_print(to, " ");
    }
    vt_teardown(&t);
}

static void test_kinds(void **state)
{
    static struct vt_text text;

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        text.len = 0;
        text.text[0] = '\0';
        for (size_t j = 0; j < sizeof(advices) / sizeof(advices[0]); j++)
            advise_kind(&kinds[i], &advices[j], &text);
        if (strcmp(text.text, kinds[i].expected) != 0)
            fail_msg("%s:\n is  %s\n not %s", kinds[i].name, text.text, kinds[i].expected);
    }
}

/* A shared map of /dev/zero may have any offset; the hole that REMOVE makes may not. */
static void test_remove_far(void **state)
{
    const uint64_t last = (UINT64_C(1) << 63) - P(1);
    struct vmk_file *zero;
    struct vt t;

    (void)state;
    vt_setup(&t);
    zero = kind_file(&t, 5);
    vt_map_file(&t, BASE, P(2), VT_RW, SH, zero, last - P(1));
    assert_ret(vt_madvise(&t, BASE, P(2), VMK_MADV_REMOVE), -VMK_EFBIG);
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_REMOVE), 0);
    assert_ret(vt_madvise(&t, BASE + P(1), P(1), VMK_MADV_REMOVE), -VMK_EFBIG);
    vt_map_file(&t, BASE, P(2), VT_RW, SH, zero, last + P(1));
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_REMOVE), -VMK_EINVAL);
    vt_map_file(&t, BASE, P(2), VT_RW, PRIV, zero, last + P(1));
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_REMOVE), -VMK_EACCES);
    vt_teardown(&t);
}

/* ---- The order of errors, holes, parts ---- */

static void test_arguments(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    assert_ret(vt_madvise(&t, BASE + 1, P(1), 99), -VMK_EINVAL);
    assert_ret(vt_madvise(&t, BASE + 1, 0, VMK_MADV_DONTNEED), -VMK_EINVAL);
    assert_ret(vt_madvise(&t, BASE, 0, 99), -VMK_EINVAL);
    for (int advice = 5; advice <= 7; advice++)
        assert_ret(vt_madvise(&t, BASE, P(1), advice), -VMK_EINVAL);
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_COLLAPSE + 1), -VMK_EINVAL);
    assert_ret(vt_madvise(&t, BASE, P(1), -1), -VMK_EINVAL);
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_HWPOISON), -VMK_EPERM);
    assert_ret(vt_madvise(&t, BASE, 0, VMK_MADV_HWPOISON), 0);
    assert_ret(vt_madvise(&t, BASE, UINT64_MAX, VMK_MADV_DONTNEED), -VMK_EINVAL);
    assert_ret(vt_madvise(&t, BASE, 0 - P(1), VMK_MADV_DONTNEED), -VMK_EINVAL);
    assert_ret(vt_madvise(&t, BASE, 0 - BASE, VMK_MADV_DONTNEED), -VMK_EINVAL); /* ends at 2^64 */
    assert_ret(vt_madvise(&t, UINT64_C(1) << 47, 0, VMK_MADV_DONTNEED), 0);
    assert_ret(vt_madvise(&t, UINT64_C(1) << 63, P(1), VMK_MADV_DONTNEED), -VMK_ENOMEM);
    assert_ret(vt_madvise(&t, BASE, 1, VMK_MADV_DONTDUMP), 0); /* rounded up */
    assert_map(&t, "10000000-10001000 rw-p ac dd\n10001000-10002000 rw-p ac\n");
    vmk_mm_set_capabilities(t.mm, VMK_CAP_SYS_ADMIN);
    assert_ret(vt_madvise(&t, BASE, P(2), VMK_MADV_SOFT_OFFLINE), 0);
    assert_ret(vt_madvise(&t, BASE, P(3), VMK_MADV_SOFT_OFFLINE), -VMK_EFAULT);
    vt_teardown(&t);
}

static void test_holes(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_anon(&t, BASE + P(3), P(3), VT_RW);
    assert_ret(vt_madvise(&t, BASE, P(4), VMK_MADV_DONTDUMP), -VMK_ENOMEM); /* and yet all of it is done */
    assert_map(&t, "10000000-10002000 rw-p ac dd\n10003000-10004000 rw-p ac dd\n10004000-10006000 rw-p ac\n");
    assert_ret(vt_madvise(&t, BASE + P(2), P(1), VMK_MADV_DODUMP), -VMK_ENOMEM);
    assert_ret(vt_madvise(&t, BASE + P(2), P(5), VMK_MADV_DODUMP), -VMK_ENOMEM); /* at the start and at the end */
    assert_map(&t, "10000000-10002000 rw-p ac dd\n10003000-10006000 rw-p ac\n");
    assert_ret(vt_mlock(&t, BASE + P(4), P(1)), 0);
    assert_ret(vt_madvise(&t, BASE, P(6), VMK_MADV_DONTNEED), -VMK_EINVAL); /* an area's own error wins */
    assert_int_equal(t.result.done, P(4));
    vt_teardown(&t);
}

static void test_split_and_merge(void **state)
{
    struct vt t;
    struct vmk_sysctl sysctl;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(6), VT_RW);
    assert_ret(vt_madvise(&t, BASE + P(2), P(2), VMK_MADV_RANDOM), 0);
    assert_map(&t, "10000000-10002000 rw-p ac\n10002000-10004000 rw-p rr ac\n10004000-10006000 rw-p ac\n");
    assert_ret(vt_madvise(&t, BASE + P(3), P(2), VMK_MADV_SEQUENTIAL), 0);
    assert_map(&t, "10000000-10002000 rw-p ac\n10002000-10003000 rw-p rr ac\n"
                   "10003000-10005000 rw-p sr ac\n10005000-10006000 rw-p ac\n");
    assert_ret(vt_madvise(&t, BASE, P(6), VMK_MADV_NORMAL), 0);
    assert_map(&t, "10000000-10006000 rw-p ac\n");

    /* A split that the map count forbids is EAGAIN; the first of two has been made. */
    vmk_system_sysctl(t.system, &sysctl);
    sysctl.max_map_count = 2;
    assert_int_equal(vmk_system_set_sysctl(t.system, &sysctl), 0);
    assert_ret(vt_madvise(&t, BASE + P(2), P(2), VMK_MADV_DONTFORK), -VMK_EAGAIN);
    assert_map(&t, "10000000-10002000 rw-p ac\n10002000-10006000 rw-p ac\n");
    assert_ret(vt_madvise(&t, BASE + P(1), P(1), VMK_MADV_DONTFORK), -VMK_EAGAIN);
    assert_map(&t, "10000000-10002000 rw-p ac\n10002000-10006000 rw-p ac\n");
    vt_teardown(&t);
}

/* The vdso cannot be split. */
static void test_no_split(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_special(&t, BASE, P(2), VT_VDSO);
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_DONTFORK), -VMK_EINVAL);
    assert_ret(vt_madvise(&t, BASE, P(2), VMK_MADV_DONTFORK), 0);
    assert_map(&t, "10000000-10002000 r-xp dc de pgoff=0 [vdso]\n");
    vt_teardown(&t);
}

static void test_seals(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_anon(&t, BASE + P(2), P(2), VT_R);
    vt_anon(&t, BASE + P(4), P(2), VT_RW);
    assert_ret(vt_mseal(&t, BASE + P(2), P(2), 0), 0);
    assert_ret(vt_madvise(&t, BASE, P(6), VMK_MADV_DONTFORK), -VMK_EPERM); /* what came before is done */
    assert_map(&t, "10000000-10002000 rw-p dc ac\n10002000-10004000 r--p sl\n10004000-10006000 rw-p ac\n");
    assert_ret(vt_madvise(&t, BASE, P(6), VMK_MADV_RANDOM), 0);
    assert_map(&t, "10000000-10002000 rw-p rr dc ac\n10002000-10004000 r--p rr sl\n10004000-10006000 rw-p rr ac\n");
    vt_teardown(&t);
}

/* ---- Guard regions ---- */

static void test_guard(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(4), VT_RW);
    assert_ret(vt_madvise(&t, BASE + P(1), P(1), VMK_MADV_GUARD_INSTALL), 0); /* no split; an anon_vma */
    assert_map(&t, "10000000-10004000 rw-p gu ac anon=a1\n");
    assert_ret(vt_mprotect(&t, BASE + P(2), P(1), VT_R), 0);
    assert_map(&t, "10000000-10002000 rw-p gu ac anon=a1\n10002000-10003000 r--p gu ac anon=a1\n"
                   "10003000-10004000 rw-p gu ac anon=a1\n");
    assert_ret(vt_mprotect(&t, BASE + P(2), P(1), VT_RW), 0);
    vt_anon(&t, BASE + P(6), P(2), VT_RW);
    vt_anon(&t, BASE + P(4), P(2), VT_RW); /* between one with and one without: the flag sticks */
    assert_map(&t, "10000000-10008000 rw-p gu ac anon=a1\n");
    assert_ret(vt_madvise(&t, BASE, P(8), VMK_MADV_GUARD_REMOVE), 0); /* and stays */
    assert_map(&t, "10000000-10008000 rw-p gu ac anon=a1\n");
    assert_ret(vt_munmap(&t, BASE, P(8)), 0);

    vt_anon(&t, BASE, P(2), VT_RW);
    vt_anon(&t, BASE + P(2), P(2), VT_R);
    vt_anon(&t, BASE + P(6), P(2), VT_RW);
    assert_ret(vt_madvise(&t, BASE, P(8), VMK_MADV_GUARD_INSTALL), -VMK_ENOMEM);
    assert_map(&t, "10000000-10002000 rw-p gu ac anon=a1\n10002000-10004000 r--p gu anon=a2\n"
                   "10006000-10008000 rw-p gu ac anon=a3\n");
    vt_teardown(&t);
}

/* A file's area gets no anon_vma for a guard region; before 6.15 it could have none at all. */
static void test_guard_files(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_map_file(&t, BASE, P(2), VT_RW, VMK_MAP_PRIVATE, vt_file(&t, 1), 0);
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_GUARD_INSTALL), 0);
    assert_map(&t, "10000000-10002000 rw-p gu ac pgoff=0 file=1\n");
    vt_teardown(&t);

    vt_init(&t);
    t.system_options.settings.guard_files = 0;
    vt_open(&t);
    vt_map_file(&t, BASE, P(2), VT_RW, VMK_MAP_PRIVATE, vt_file(&t, 1), 0);
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_GUARD_INSTALL), -VMK_EINVAL);
    vt_anon(&t, BASE, P(2), VT_RW);
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_GUARD_INSTALL), 0);
    vt_teardown(&t);
}

/* Flags that stick come from whichever part has them. */
static void test_guard_sticks(void **state)
{
    const uint32_t flags = VT_FIXED | VMK_MAP_NORESERVE;
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(vt_mmap_file(&t, BASE, P(4), VT_R, flags, NULL, 0), BASE);
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_GUARD_INSTALL), 0);
    assert_ret(vt_mmap_file(&t, BASE + P(4), P(4), VT_RW, flags, NULL, 0), BASE + P(4));
    assert_ret(vt_mprotect(&t, BASE + P(2), P(2), VT_RW), 0); /* joins the next one */
    assert_map(&t, "10000000-10002000 r--p gu nr anon=a1\n10002000-10008000 rw-p gu nr anon=a1\n");
    vt_teardown(&t);
}

/* ---- Populating ---- */

static void test_populate(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_anon(&t, BASE + P(2), P(2), VMK_PROT_NONE);
    vt_anon(&t, BASE + P(6), P(2), VT_RW);
    assert_ret(vt_madvise(&t, BASE, P(8), VMK_MADV_POPULATE_READ), -VMK_EINVAL);
    assert_ret(vt_madvise(&t, BASE + P(4), P(3), VMK_MADV_POPULATE_WRITE), -VMK_ENOMEM);
    assert_map(&t, "10000000-10002000 rw-p ac\n10002000-10004000 ---p\n10006000-10008000 rw-p ac\n");
    assert_ret(vt_madvise(&t, BASE, P(8), VMK_MADV_POPULATE_WRITE), -VMK_EINVAL); /* up to there it is done */
    assert_map(&t, "10000000-10002000 rw-p ac anon=a1\n10002000-10004000 ---p\n10006000-10008000 rw-p ac\n");
    assert_ret(vt_madvise(&t, BASE + P(6), P(3), VMK_MADV_POPULATE_WRITE), -VMK_ENOMEM);
    assert_map(&t, "10000000-10002000 rw-p ac anon=a1\n10002000-10004000 ---p\n10006000-10008000 rw-p ac anon=a2\n");
    assert_ret(vt_munmap(&t, BASE, P(8)), 0);

    vt_map_file(&t, BASE, P(4), VT_RW, VMK_MAP_PRIVATE, vt_file_kind(&t, 1, VMK_OBJECT_REGULAR, P(2) + 1), 0);
    assert_ret(vt_madvise(&t, BASE, P(3), VMK_MADV_POPULATE_READ), 0);
    assert_ret(vt_madvise(&t, BASE, P(4), VMK_MADV_POPULATE_READ), -VMK_EFAULT); /* beyond the end of the file */
    assert_map(&t, "10000000-10004000 rw-p ac pgoff=0 file=1\n");
    assert_ret(vt_madvise(&t, BASE + P(3), P(1), VMK_MADV_POPULATE_WRITE), -VMK_EFAULT);
    assert_map(&t, "10000000-10004000 rw-p ac anon=a1 pgoff=0 file=1\n");
    vt_teardown(&t);
}

/* Reading brings an anon_vma where a huge page would come, and only there. */
static void test_populate_huge(void **state)
{
    const uint64_t huge = UINT64_C(1) << 21;
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(vt_option(&t, VMK_OPTION_THP_DISABLE, 1), 0);
    vt_anon(&t, BASE - P(4), huge + P(8), VT_R);
    assert_ret(vt_madvise(&t, BASE - P(4), huge + P(8), VMK_MADV_HUGEPAGE), 0);
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_POPULATE_READ), 0);
    assert_map(&t, "fffc000-10204000 r--p hg\n");
    assert_ret(vt_option(&t, VMK_OPTION_THP_DISABLE, VMK_THP_DISABLE_EXCEPT_ADVISED), 0);
    assert_ret(vt_madvise(&t, BASE - P(4), P(4), VMK_MADV_POPULATE_READ), 0);
    assert_ret(vt_madvise(&t, BASE + huge, P(4), VMK_MADV_POPULATE_READ), 0);
    assert_map(&t, "fffc000-10204000 r--p hg\n");
    assert_ret(vt_madvise(&t, BASE + huge - P(1), P(2), VMK_MADV_POPULATE_READ), 0);
    assert_map(&t, "fffc000-10204000 r--p hg anon=a1\n");
    vt_teardown(&t);
}

/* ---- The rest ---- */

static void test_collapse(void **state)
{
    const uint64_t huge = UINT64_C(1) << 21;
    struct vt t;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, 2 * huge, VT_RW);
    assert_ret(vt_madvise(&t, BASE, huge, VMK_MADV_COLLAPSE), -VMK_EINVAL); /* not a page there */
    vt_touch(&t, BASE);
    assert_ret(vt_madvise(&t, BASE, huge, VMK_MADV_COLLAPSE), 0);
    assert_ret(vt_madvise(&t, BASE, P(100), VMK_MADV_COLLAPSE), 0);
    assert_ret(vt_madvise(&t, BASE + P(1), huge, VMK_MADV_COLLAPSE), 0);
    assert_ret(vt_madvise(&t, BASE + P(600), P(100), VMK_MADV_COLLAPSE),
               -VMK_EINVAL); /* no whole page, nor an end of one */
    assert_ret(vt_madvise(&t, BASE, huge, VMK_MADV_NOHUGEPAGE), 0);
    assert_ret(vt_madvise(&t, BASE, huge, VMK_MADV_COLLAPSE), -VMK_EINVAL);
    assert_ret(vt_option(&t, VMK_OPTION_THP_DISABLE, 1), 0);
    assert_ret(vt_madvise(&t, BASE + huge, huge, VMK_MADV_COLLAPSE), -VMK_EINVAL);
    assert_ret(vt_option(&t, VMK_OPTION_THP_DISABLE, 0), 0);
    vt_map_file(&t, BASE, huge, VT_RW, VMK_MAP_SHARED, vt_file_kind(&t, 1, VMK_OBJECT_SHMEM, huge), 0);
    assert_ret(vt_madvise(&t, BASE, huge, VMK_MADV_COLLAPSE), 0);
    vt_map_file(&t, BASE, huge, VT_RW, VMK_MAP_SHARED, vt_file_kind(&t, 1, VMK_OBJECT_SHMEM, huge), P(1));
    assert_ret(vt_madvise(&t, BASE, huge, VMK_MADV_COLLAPSE), -VMK_EINVAL);
    vt_map_file(&t, BASE, huge, VT_R, VMK_MAP_PRIVATE, vt_file(&t, 2), 0);
    assert_ret(vt_madvise(&t, BASE, huge, VMK_MADV_COLLAPSE), -VMK_EINVAL);
    vt_teardown(&t);
}

static void test_hugetlb(void **state)
{
    const uint32_t flags = VT_FIXED | VMK_MAP_HUGETLB | VMK_MAP_NORESERVE;
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(vt_mmap_file(&t, BASE, P(1024), VT_RW, flags, NULL, 0), BASE);
    assert_ret(vt_madvise(&t, BASE, P(100), VMK_MADV_DONTNEED), 0); /* rounded down to nothing */
    assert_ret(vt_madvise(&t, BASE, P(600), VMK_MADV_DONTNEED), 0);
    assert_ret(vt_madvise(&t, BASE + P(1), P(511), VMK_MADV_DONTNEED), -VMK_EINVAL);
    assert_ret(vt_madvise(&t, BASE, P(100), VMK_MADV_DONTFORK), -VMK_EINVAL);
    assert_ret(vt_madvise(&t, BASE, P(512), VMK_MADV_DONTFORK), 0);
    assert_ret(vt_madvise(&t, BASE, P(1024), VMK_MADV_DODUMP), 0);
    vt_teardown(&t);
}

static void test_remote(void **state)
{
    struct vt t;
    struct vmk_madvise_request request = {.address = BASE, .len = P(2), .remote = true};

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_touch(&t, BASE);
    for (int advice = 0; advice < 110; advice++) {
        bool allowed = advice == VMK_MADV_COLD || advice == VMK_MADV_PAGEOUT || advice == VMK_MADV_WILLNEED;

        request.advice = advice;
        assert_ret(vt_return(&t, vmk_madvise(t.mm, &request, &t.result)), allowed ? (int64_t)P(2) : -VMK_EINVAL);
    }
    request.advice = VMK_MADV_COLD;
    request.len = P(3);
    assert_ret(vt_return(&t, vmk_madvise(t.mm, &request, &t.result)), -VMK_ENOMEM);
    vt_teardown(&t);
}

/* What the machine was not built for is unknown. */
static void test_settings(void **state)
{
    struct vt t;

    (void)state;
    vt_init(&t);
    t.system_options.settings.thp_built = 0;
    t.system_options.settings.thp = 0;
    t.system_options.settings.ksm = 0;
    t.system_options.settings.guard_regions = 0;
    t.system_options.settings.guard_files = 0;
    t.system_options.settings.memory_failure = 0;
    vt_open(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vmk_mm_set_capabilities(t.mm, VMK_CAP_SYS_ADMIN);
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_HUGEPAGE), -VMK_EINVAL);
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_NOHUGEPAGE), -VMK_EINVAL);
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_MERGEABLE), -VMK_EINVAL);
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_UNMERGEABLE), -VMK_EINVAL);
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_GUARD_INSTALL), -VMK_EINVAL);
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_HWPOISON), -VMK_EINVAL);
    vt_teardown(&t);
}

static int hook_advice;
static int hook_refuse(struct vmk_vma *vma, vmk_addr start, vmk_addr end, int advice)
{
    assert_int_equal(vmk_vma_start(vma), BASE);
    assert_int_equal(start, BASE + P(1));
    assert_int_equal(end, BASE + P(2));
    hook_advice = advice;
    return advice == VMK_MADV_COLD || advice == VMK_MADV_POPULATE_WRITE ? -VMK_EBUSY : 0;
}

/* The hook of an area is asked last, and may refuse; a device without one has no holes to punch. */
static void test_hook(void **state)
{
    static const struct vmk_vm_ops ops = {.size = sizeof(ops), .madvise = hook_refuse};
    struct vt t;
    struct vmk_vma *vma;

    (void)state;
    vt_setup(&t);
    const struct vmk_vma_request request = {
        .start = BASE, .end = BASE + P(2), .flags = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS, .ops = &ops};
    vmk_mm_lock_write(t.mm);
    assert_int_equal(vmk_vma_create_and_insert(t.mm, &request, &vma), 0);
    vmk_mm_unlock_write(t.mm);
    assert_ret(vt_madvise(&t, BASE + P(1), P(1), VMK_MADV_COLD), -VMK_EBUSY);
    assert_int_equal(hook_advice, VMK_MADV_COLD);
    assert_ret(vt_madvise(&t, BASE + P(1), P(1), VMK_MADV_PAGEOUT), 0);
    assert_int_equal(hook_advice, VMK_MADV_PAGEOUT);
    assert_ret(vt_madvise(&t, BASE + P(1), P(1), VMK_MADV_FREE), -VMK_EINVAL); /* not anonymous: not asked */
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_DONTDUMP), 0);              /* a flag alone: not asked */
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_DODUMP), 0);
    assert_int_equal(hook_advice, VMK_MADV_PAGEOUT);
    assert_ret(vt_madvise(&t, BASE + P(1), P(1), VMK_MADV_POPULATE_READ), 0);
    assert_int_equal(hook_advice, VMK_MADV_POPULATE_READ);
    assert_ret(vt_madvise(&t, BASE + P(1), P(1), VMK_MADV_POPULATE_WRITE), -VMK_EBUSY);
    vt_map_file(&t, BASE, P(2), VT_RW, VMK_MAP_SHARED, vt_file_mode(&t, 1, VMK_OBJECT_DEVICE, 3, 0), 0);
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_REMOVE), -VMK_ENODEV);
    vt_teardown(&t);
}

static int device_fault(struct vmk_vma *vma, struct vmk_fault *fault)
{
    (void)vma;
    return fault->pgoff < 2 ? 0 : -VMK_EFAULT;
}

static const struct vmk_vm_ops device_ops = {.size = sizeof(device_ops), .fault = device_fault};
static int device_mmap(struct vmk_file *file, struct vmk_mmap_description *description)
{
    (void)file;
    description->ops = &device_ops;
    return 0;
}

/* A driver is asked for each page; one that supplies none has none. */
static void test_populate_device(void **state)
{
    static const struct vmk_file_ops ops = {.size = sizeof(ops), .mmap = device_mmap};
    struct vmk_object *object;
    struct vt t;

    (void)state;
    vt_setup(&t);
    const struct vmk_object_options object_options = {
        .size = sizeof(object_options), .kind = VMK_OBJECT_DEVICE, .id = 1};
    assert_int_equal(vmk_object_create(t.system, &object_options, &object), 0);
    const struct vmk_file_options options = {
        .size = sizeof(options), .object = object, .mode = VMK_FILE_READ | VMK_FILE_WRITE, .id = 1, .ops = &ops};
    assert_int_equal(vmk_file_create(t.system, &options, &t.files[0]), 0);
    vmk_object_put(object);
    vt_map_file(&t, BASE, P(4), VT_RW, VMK_MAP_SHARED, t.files[0], 0);
    assert_ret(vt_madvise(&t, BASE, P(2), VMK_MADV_POPULATE_WRITE), 0);
    assert_ret(vt_madvise(&t, BASE, P(3), VMK_MADV_POPULATE_READ), -VMK_EFAULT);
    vt_map_file(&t, BASE, P(2), VT_RW, VMK_MAP_SHARED, vt_file_mode(&t, 2, VMK_OBJECT_DEVICE, 3, 0), 0);
    assert_ret(vt_madvise(&t, BASE, P(1), VMK_MADV_POPULATE_READ), -VMK_EFAULT);
    vt_teardown(&t);
}

static void test_two_phases(void **state)
{
    struct vt t;
    struct vmk_plan plan;
    struct vmk_edit edit;
    const struct vmk_madvise_request request = {.address = BASE, .len = P(4), .advice = VMK_MADV_COLD};

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(2), VT_RW);
    vt_anon(&t, BASE + P(2), P(2), VT_R);
    assert_int_equal(vmk_madvise_prepare(t.mm, &request, &plan), 0);
    assert_true(vmk_plan_next_edit(&plan, &edit));
    assert_int_equal(edit.kind, VMK_EDIT_ADVISE);
    assert_int_equal(edit.advice, VMK_MADV_COLD);
    assert_int_equal(edit.start, BASE);
    assert_int_equal(edit.end, BASE + P(2));
    assert_int_equal(edit.prot, VT_RW);
    assert_false(vmk_plan_next_edit(&plan, &edit));
    assert_int_equal(vmk_plan_commit(&plan, NULL), VMK_PLAN_MORE);
    assert_true(vmk_plan_next_edit(&plan, &edit));
    assert_int_equal(edit.start, BASE + P(2));
    vmk_plan_abort(&plan, -VMK_ENOMEM, &t.result);
    assert_int_equal(t.result.error, -VMK_ENOMEM);
    vt_validate(&t);
    vt_teardown(&t);
}

/* ---- Failing allocations ---- */

static void prepare_areas(struct vt *t)
{
    vt_anon(t, BASE, P(8), VT_RW);
}

static int64_t call_flag(struct vt *t)
{
    return vt_madvise(t, BASE + P(2), P(2), VMK_MADV_DONTFORK);
}

static int64_t call_guard(struct vt *t)
{
    return vt_madvise(t, BASE + P(2), P(2), VMK_MADV_GUARD_INSTALL);
}

static int64_t call_populate(struct vt *t)
{
    return vt_madvise(t, BASE, P(2), VMK_MADV_POPULATE_WRITE);
}

static void test_failing_allocations(void **state)
{
    (void)state;
    vt_fail_each(prepare_areas, call_flag, false);
    assert_true(vt_fail_each(prepare_areas, call_guard, true) > 0);
    assert_true(vt_fail_each(prepare_areas, call_populate, false) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_remove_far),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_holes),
        cmocka_unit_test(test_split_and_merge),
        cmocka_unit_test(test_no_split),
        cmocka_unit_test(test_seals),
        cmocka_unit_test(test_guard),
        cmocka_unit_test(test_guard_files),
        cmocka_unit_test(test_guard_sticks),
        cmocka_unit_test(test_populate),
        cmocka_unit_test(test_populate_huge),
        cmocka_unit_test(test_collapse),
        cmocka_unit_test(test_hugetlb),
        cmocka_unit_test(test_remote),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_hook),
        cmocka_unit_test(test_populate_device),
        cmocka_unit_test(test_two_phases),
        cmocka_unit_test(test_failing_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
