/* SPDX-License-Identifier: MIT */
/* The validator finds each rule that is broken on purpose; equal states give equal dumps. */
#include "support.h"
#include "tree/node.h"

#include "mm/validate.h"
#include "vmakit/state.h"

#define BASE UINT64_C(0x10000000)
#define P(n) ((uint64_t)(n)*VT_PAGE)

static struct vt_text found;

/* Every broken rule is reported in a line of its own; returns how many. */
static unsigned validate(struct vt *t)
{
    unsigned nr_lines = 0;

    found.len = 0;
    found.text[0] = '\0';
    unsigned nr = vmk_mm_validate(t->mm, vt_sink, &found);
    for (size_t i = 0; i < found.len; i++)
        nr_lines += found.text[i] == '\n';
    assert_int_equal(nr, nr_lines);
    assert_int_equal(nr, vmk_mm_validate(t->mm, NULL, NULL));
    return nr;
}

static void assert_found(struct vt *t, const char *rule)
{
    if (validate(t) == 0 || strstr(found.text, rule) == NULL)
        fail_msg("\"%s\" is not among\n%s", rule, found.text);
}

/* Breaks one word, expects the rule, and mends it. */
#define broken(t, word, value, rule)                                                                                   \
    do {                                                                                                               \
        __typeof__(word) whole = (word);                                                                               \
        (word) = (value);                                                                                              \
        assert_found((t), (rule));                                                                                     \
        (word) = whole;                                                                                                \
        assert_int_equal(validate(t), 0);                                                                              \
    } while (0)

/* The same, and nothing but these lines. */
static void assert_lines(struct vt *t, const char *lines, const char *file, int line)
{
    (void)validate(t);
    if (strcmp(found.text, lines) != 0) {
        print_error("%s:%d: it says\n%sand should say\n%s", file, line, found.text, lines);
        _fail(file, line);
    }
}
#define damaged(t, word, value, lines)                                                                                 \
    do {                                                                                                               \
        __typeof__(word) whole = (word);                                                                               \
        (word) = (value);                                                                                              \
        assert_lines((t), (lines), __FILE__, __LINE__);                                                                \
        (word) = whole;                                                                                                \
        assert_lines((t), "", __FILE__, __LINE__);                                                                     \
    } while (0)

static void some_space(struct vt *t)
{
    vt_setup(t);
    vt_anon(t, BASE, P(4), VT_RW);
    vt_touch(t, BASE);
    assert_ret(vt_mmap_file(t, BASE + P(8), P(4), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, vt_file(t, 1), P(2)),
               BASE + P(8));
    vt_anon(t, BASE + P(16), P(4), VT_R);
}

static void counters(void **state)
{
    struct vt t;

    (void)state;
    some_space(&t);
    assert_int_equal(validate(&t), 0);
    broken(&t, t.mm->total_vm, 3, "total_vm: counted 12, kept 3\n");
    broken(&t, t.mm->locked_vm, 1, "locked_vm: counted 0, kept 1\n");
    broken(&t, t.mm->data_vm, 5, "data_vm: counted 4");
    broken(&t, t.mm->exec_vm, 5, "exec_vm");
    broken(&t, t.mm->stack_vm, 5, "stack_vm");
    broken(&t, t.mm->shared_vm, 0, "shared_vm: counted 4");
    broken(&t, t.mm->accounted_vm, 0, "accounted_vm: counted 4");
    broken(&t, t.mm->nr_spare_anon, t.mm->nr_spare_anon + 1, "spare areas");
    broken(&t, t.mm->nr_spare_file, t.mm->nr_spare_file + 1, "spare file areas");
    broken(&t, t.system->committed, 1, "commit charge");
    broken(&t, t.mm->tree.nr_entries, 7, "tree:");
    vt_teardown(&t);
}

static void areas(void **state)
{
    struct vt t;
    struct vmk_vma *vma, *file, *last;

    (void)state;
    some_space(&t);
    vma = vmki_find(t.mm, BASE);
    file = vmki_find(t.mm, BASE + P(8));
    last = vmki_find(t.mm, BASE + P(16));
    broken(&t, vma->start, BASE - P(1), "area and tree differ in the range at 10000000\n");
    broken(&t, vma->end, BASE + P(5), "area and tree differ in the range");
    broken(&t, vma->flags, vma->flags | VMK_VM_EXEC, "area and tree differ in the flags");
    broken(&t, vma->mm, NULL, "belongs to another address space");
    broken(&t, vma->anon_vma->refs, 0, "an anon_vma lacks references");
    broken(&t, file->file->refs, 0, "a file lacks references");
    broken(&t, file->file->object->refs, 0, "an object lacks references");
    broken(&t, t.mm->task_size_max, BASE + P(10), "ends above the address space");
    broken(&t, t.mm->page_size, P(16), "not page aligned");
    broken(&t, vmki_file_vma_of(file)->rmap.start, 0, "the reverse map has another range");
    broken(&t, file->file->object->links, NULL, "missing in its object's reverse map");
    broken(&t, last->flags, last->flags | VMKI_VM_FORKED, "FORKED without an anon_vma");
    broken(&t, last->bias, 1, "something hangs of an area that is bare at 10010000");
    vt_teardown(&t);
}

/* Of a leaf's order: each slot once. */
static void order_of_a_leaf(void **state)
{
    struct vt t;
    struct vmki_tree_leaf *leaf;

    (void)state;
    some_space(&t);
    leaf = vmki_leaf(t.mm->tree.root);
    assert_int_equal(leaf->head.level, 0);
    for (unsigned rank = 0; rank < 3; rank++) {
        unsigned shift = 4 * rank + 4;
        uint64_t next = (leaf->order >> (shift + 4) & 15) << shift;

        broken(&t, leaf->order, (leaf->order & ~(UINT64_C(15) << shift)) | next,
               "tree: a leaf's order is no permutation");
    }
    vt_teardown(&t);
}

static void references_of_an_ext(void **state)
{
    struct vt t;
    struct vmk_vma *vma;

    (void)state;
    some_space(&t);
    vmk_mm_lock_write(t.mm);
    vma = vmki_find(t.mm, BASE);
    assert_int_equal(vmk_vma_set_user(vma, &t), 0);
    vmk_mm_unlock_write(t.mm);
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_R), 0);
    assert_int_equal(vma->ext->refs, 3);
    broken(&t, vma->ext->refs, 2, "an ext lacks references");
    vt_teardown(&t);
}

static void ranges(void **state)
{
    struct vt t;

    (void)state;
    some_space(&t);
    assert_int_equal(vmk_mm_reserve_range(t.mm, BASE + P(32), BASE + P(33)), 0);
    broken(&t, t.mm->reserved.nr_entries, 9, "reserved ranges:");
    struct vmki_tree reserved = t.mm->reserved;
    t.mm->reserved = t.mm->tree;
    assert_found(&t, "an area is on a reserved range at 10008000");
    t.mm->reserved = reserved;
    vt_teardown(&t);
}

/* Each rule of an area's flags by itself, over all that it may look at: the first that is broken is named. */
static void rules_of_flags(void **state)
{
    enum { ANON = 1, UFFD = 2 };
    static const vmk_vm_flags bits[] = {VMK_VM_SHARED,       VMK_VM_MAYSHARE, VMK_VM_ACCOUNT,    VMK_VM_LOCKED,
                                        VMK_VM_LOCKONFAULT,  VMKI_VM_FORKED,  VMKI_VM_POOLED,    VMK_VM_HUGETLB,
                                        VMK_VM_UFFD_MISSING, VMK_VM_UFFD_WP,  VMK_VM_UFFD_MINOR, VMK_VM_HUGEPAGE,
                                        VMK_VM_NOHUGEPAGE};
    static const struct {
        vmk_vm_flags with, without;
        unsigned has, has_not;
        const char *words;
    } rules[] = {
        {VMK_VM_SHARED, VMK_VM_MAYSHARE, 0, 0, "SHARED without MAYSHARE"},
        {VMK_VM_SHARED, 0, ANON, 0, "a shared area has an anon_vma"},
        {VMK_VM_SHARED | VMK_VM_ACCOUNT, 0, 0, 0, "a shared area is charged"},
        {VMK_VM_LOCKONFAULT, VMK_VM_LOCKED, 0, 0, "LOCKONFAULT without LOCKED"},
        {VMKI_VM_FORKED, 0, 0, ANON, "FORKED without an anon_vma"},
        {VMKI_VM_POOLED, VMK_VM_HUGETLB, 0, 0, "POOLED without private huge pages"},
        {VMKI_VM_POOLED | VMK_VM_MAYSHARE, 0, 0, 0, "POOLED without private huge pages"},
        {VMK_VM_UFFD_MISSING, 0, 0, UFFD, "userfaultfd flags without a context, or a context without flags"},
        {VMK_VM_UFFD_WP, 0, 0, UFFD, "userfaultfd flags without a context, or a context without flags"},
        {VMK_VM_UFFD_MINOR, 0, 0, UFFD, "userfaultfd flags without a context, or a context without flags"},
        {0, VMK_VM_UFFD, UFFD, 0, "userfaultfd flags without a context, or a context without flags"},
        {VMK_VM_HUGEPAGE | VMK_VM_NOHUGEPAGE, 0, 0, 0, "HUGEPAGE and NOHUGEPAGE"},
    };

    (void)state;
    for (unsigned set = 0; set < 1u << (VMKI_ARRAY_SIZE(bits) + 2); set++) {
        const unsigned has = set & 3;
        vmk_vm_flags flags = VMK_VM_READ;
        const char *expected = NULL, *is;

        for (size_t i = 0; i < VMKI_ARRAY_SIZE(bits); i++)
            flags |= (set >> (i + 2) & 1) != 0 ? bits[i] : 0;
        for (size_t i = 0; i < VMKI_ARRAY_SIZE(rules) && expected == NULL; i++)
            if ((flags & rules[i].with) == rules[i].with && (flags & rules[i].without) == 0 &&
                (has & rules[i].has) == rules[i].has && (has & rules[i].has_not) == 0)
                expected = rules[i].words;
        is = vmki_area_flags_broken(flags, (has & ANON) != 0, (has & UFFD) != 0);
        if (expected == NULL ? is != NULL : is == NULL || strcmp(is, expected) != 0)
            fail_msg("%llx, %u: \"%s\" and not \"%s\"", (unsigned long long)flags, has, is != NULL ? is : "",
                     expected != NULL ? expected : "");
    }
}

/* Every kind of area, each of another size: what is counted twice here is what the space keeps. */
static void counters_of_every_kind(void **state)
{
    static const vmk_vm_flags bits[] = {VMK_VM_WRITE,
                                        VMK_VM_EXEC,
                                        VMK_VM_GROWSDOWN,
                                        VMK_VM_SHADOW_STACK,
                                        VMK_VM_LOCKED,
                                        VMK_VM_ACCOUNT,
                                        VMK_VM_SHARED | VMK_VM_MAYSHARE,
                                        VMK_VM_MAYSHARE};
    uint64_t total = 0, locked = 0, data = 0, exec = 0, stack = 0, shared = 0, charged = 0;
    vmk_addr at = BASE;
    struct vt t;

    (void)state;
    vt_setup(&t);
    for (unsigned set = 0; set < 1u << VMKI_ARRAY_SIZE(bits); set++) {
        const uint64_t pages = 1 + set * 37 % 101;
        struct vmk_import_area area = {.start = at, .end = at + P(pages), .flags = VMK_VM_READ};

        for (size_t i = 0; i < VMKI_ARRAY_SIZE(bits); i++)
            area.flags |= (set >> i & 1) != 0 ? bits[i] : 0;
        if (vmk_mm_import(t.mm, &area) != 0)
            continue; /* shared, and charged */
        const bool writes = (area.flags & VMK_VM_WRITE) != 0, grows = (area.flags & VMK_VM_GROWSDOWN) != 0;
        const bool shadow = (area.flags & VMK_VM_SHADOW_STACK) != 0;
        total += pages;
        if ((area.flags & VMK_VM_EXEC) != 0 && !writes && !grows)
            exec += pages;
        else if (grows || shadow)
            stack += pages;
        else if (writes && (area.flags & VMK_VM_SHARED) == 0)
            data += pages;
        locked += (area.flags & VMK_VM_LOCKED) != 0 ? pages : 0;
        shared += (area.flags & VMK_VM_MAYSHARE) != 0 ? pages : 0;
        charged += (area.flags & VMK_VM_ACCOUNT) != 0 ? pages : 0;
        at = area.end + P(1);
    }
    assert_lines(&t, "", __FILE__, __LINE__);
    assert_int_equal(t.mm->total_vm, total);
    assert_int_equal(t.mm->exec_vm, exec);
    assert_int_equal(t.mm->stack_vm, stack);
    assert_int_equal(t.mm->data_vm, data);
    assert_int_equal(t.mm->locked_vm, locked);
    assert_int_equal(t.mm->shared_vm, shared);
    assert_int_equal(t.mm->accounted_vm, charged);
    assert_int_equal(vmk_system_committed(t.system), charged);
    vt_teardown(&t);
}

/* One of everything that an area can have, and each word of it wrong: one line a rule, with the area's start. */
static void each_word_of_an_area(void **state)
{
    struct vmk_vma *vma, *file, *bare;
    struct vmk_file *open;
    struct vt t;

    (void)state;
    some_space(&t);
    vma = vmki_find(t.mm, BASE);
    file = vmki_find(t.mm, BASE + P(8));
    bare = vmki_find(t.mm, BASE + P(16));
    open = file->file;
    damaged(&t, vma->start, BASE + P(1), "area and tree differ in the range at 10000000\n");
    damaged(&t, vma->end, BASE + P(3), "area and tree differ in the range at 10000000\n");
    damaged(&t, vma->mm, NULL, "an area belongs to another address space at 10000000\n");
    damaged(&t, bare->flags, bare->flags ^ VMK_VM_MAYEXEC, "area and tree differ in the flags at 10010000\n");
    damaged(&t, bare->bias, 1, "something hangs of an area that is bare at 10010000\n");
    damaged(&t, bare->ext, vma->ext, "");
    damaged(&t, bare->anon_vma, vma->anon_vma,
            "an anon_vma lacks references at 10000000\nsomething hangs of an area that is bare at 10010000\n"
            "an anon_vma lacks references at 10010000\n");
    damaged(&t, vma->anon_vma->refs, 0, "an anon_vma lacks references at 10000000\n");
    damaged(&t, t.mm->task_size_max, BASE + P(20), "");
    damaged(&t, t.mm->task_size_max, BASE + P(20) - 1, "an area ends above the address space at 10010000\n");
    damaged(&t, t.mm->page_size, P(8),
            "an area is not page aligned at 10000000\nan area is not page aligned at 10008000\n"
            "an area is not page aligned at 10010000\n");
    /* The file is held by the one who opened it, too. */
    damaged(&t, open->refs, 1, "");
    damaged(&t, open->refs, 0, "a file lacks references at 10008000\n");
    damaged(&t, open->object->refs, 1, "");
    damaged(&t, open->object->refs, 0, "an object lacks references at 10008000\n");
    damaged(&t, vmki_file_vma_of(file)->rmap.start, P(3), "the reverse map has another range at 10008000\n");
    damaged(&t, vmki_file_vma_of(file)->rmap.end, P(5), "the reverse map has another range at 10008000\n");
    damaged(&t, open->object->links, NULL, "an area is missing in its object's reverse map at 10008000\n");
    damaged(&t, t.mm->locked_leak, 1, "locked_vm: counted 1, kept 0\n");
    vt_teardown(&t);
}

/* Three areas of one file, with an ext that two of them share. */
static void each_link_of_a_file(void **state)
{
    struct vmki_rmap_link *low, *middle, *high;
    struct vmk_vma *vma;
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_ret(vt_mmap_file(&t, BASE, P(4), VT_RW, VMK_MAP_SHARED | VMK_MAP_FIXED, vt_file(&t, 1), 0), BASE);
    vmk_mm_lock_write(t.mm);
    vma = vmki_find(t.mm, BASE);
    assert_int_equal(vmk_vma_set_user(vma, &t), 0);
    vmk_mm_unlock_write(t.mm);
    assert_ret(vt_mprotect(&t, BASE + P(1), P(1), VT_R), 0);
    high = vma->file->object->links;
    middle = high->next;
    low = middle->next;
    assert_null(low->next);
    assert_null(high->prev);
    damaged(&t, low->prev, NULL,
            "a reverse map's list is broken at 10000000\nan area is missing in its object's reverse map at 10001000\n");
    damaged(&t, middle->prev, NULL,
            "an area is missing in its object's reverse map at 10000000\na reverse map's list is broken at 10002000\n");
    damaged(&t, middle->next, NULL, "an area is missing in its object's reverse map at 10001000\n");
    damaged(&t, high->next, low,
            "an area is missing in its object's reverse map at 10000000\na reverse map's list is broken at 10002000\n");
    damaged(&t, high->prev, low, "an area is missing in its object's reverse map at 10002000\n");
    damaged(&t, vma->file->object->links, middle, "an area is missing in its object's reverse map at 10002000\n");
    damaged(&t, vma->file->refs, 3, "");
    damaged(&t, vma->file->refs, 2,
            "a file lacks references at 10000000\na file lacks references at 10001000\n"
            "a file lacks references at 10002000\n");
    damaged(&t, vma->ext->refs, 2,
            "an ext lacks references at 10000000\nan ext lacks references at 10001000\n"
            "an ext lacks references at 10002000\n");
    vt_teardown(&t);
}

/* In a space of many areas not every reference is counted: there is one at least. */
static void references_among_many(void **state)
{
    struct vmk_vma *vma;
    struct vt t;

    (void)state;
    vt_setup(&t);
    for (unsigned nr = 0; nr < 514; nr++) {
        vmk_addr at = BASE + P(2 * (uint64_t)nr);

        assert_int_equal(vmk_mmap(t.mm,
                                  &(const struct vmk_mmap_request){.address = at,
                                                                   .len = P(1),
                                                                   .prot = VT_R,
                                                                   .flags = VMK_MAP_SHARED | VMK_MAP_FIXED,
                                                                   .file = vt_file(&t, 1)},
                                  NULL),
                         0);
        if (nr < 509)
            continue;
        vma = vmki_find(t.mm, at);
        const uint64_t refs = vma->file->refs;
        vma->file->refs = 1;
        assert_int_equal(validate(&t), nr + 1 <= 512 ? nr + 1 : 0);
        vma->file->refs = 0;
        assert_int_equal(validate(&t), nr + 1);
        vma->file->refs = (__typeof__(vma->file->refs))refs;
        /* A link that is its own neighbour, out of the object's list: found where each is looked up. */
        struct vmki_rmap_link *first = vma->file->object->links, *out = first->next, *after = out->next;
        first->next = after;
        after->prev = first;
        out->next = out->prev = out;
        assert_int_equal(validate(&t), nr + 1 <= 512 ? 1 : 0);
        first->next = out;
        after->prev = out;
        out->prev = first;
        out->next = after;
        assert_int_equal(validate(&t), 0);
    }
    vt_teardown(&t);
}

/* Who only wants to know how many rules are broken gives no sink, however many they are. */
static void many_lines_for_nobody(void **state)
{
    struct vt t;

    (void)state;
    vt_setup(&t);
    for (unsigned i = 0; i < 300; i++)
        vt_anon(&t, BASE + P(2 * i), P(1), VT_RW);
    for (unsigned i = 0; i < 300; i++)
        vmki_find(t.mm, BASE + P(2 * i))->mm = NULL;
    t.mm->total_vm++;
    t.mm->data_vm++;
    t.mm->exec_vm++;
    assert_int_equal(validate(&t), 303);
    assert_string_equal(found.text + found.len - strlen("exec_vm: counted 0, kept 1\n"),
                        "exec_vm: counted 0, kept 1\n");
    t.mm->total_vm--;
    t.mm->data_vm--;
    t.mm->exec_vm--;
    for (unsigned i = 0; i < 300; i++)
        vmki_find(t.mm, BASE + P(2 * i))->mm = t.mm;
    vt_teardown(&t);
}

/* The charge of the system: at least that of the space; who keeps it elsewhere, or charges nothing, is not asked. */
static void charge_of_the_system(void **state)
{
    static const struct vmk_commit_ops ops;
    struct vt t;

    (void)state;
    some_space(&t);
    damaged(&t, t.system->committed, 4, "");
    damaged(&t, t.system->committed, 3, "the system's commit charge is below this address space's at 0\n");
    const uint64_t committed = t.system->committed;
    t.system->committed = 3;
    t.system->commit = &ops;
    assert_lines(&t, "", __FILE__, __LINE__);
    t.system->commit = NULL;
    ((struct vmk_settings *)(uintptr_t)t.mm->settings)->enforce_limits = 0;
    assert_lines(&t, "", __FILE__, __LINE__);
    ((struct vmk_settings *)(uintptr_t)t.mm->settings)->enforce_limits = 1;
    t.system->committed = committed;
    vt_teardown(&t);
}

/* A tree that is broken is not walked; what else there is has its own words. */
static void broken_trees(void **state)
{
    struct vt t;

    (void)state;
    some_space(&t);
    assert_int_equal(vmk_mm_reserve_range(t.mm, BASE + P(32), BASE + P(33)), 0);
    assert_int_equal(vmk_mm_track_writes(t.mm, BASE, BASE + P(1)), 0);
    vmki_find(t.mm, BASE)->mm = NULL;
    t.mm->total_vm++;
    const size_t nr = t.mm->tree.nr_entries;
    t.mm->tree.nr_entries = 9;
    assert_int_equal(validate(&t), 1);
    t.mm->tree.nr_entries = nr;
    vmki_find(t.mm, BASE)->mm = t.mm;
    t.mm->total_vm--;
    assert_lines(&t, "", __FILE__, __LINE__);
    vt_teardown(&t);
}

/* The same state reached on two ways; identities and spare memory differ, the text does not. */
static void dumps_are_equal(void **state)
{
    struct vt a, b;
    static struct vt_text first, second;

    (void)state;
    vt_setup(&a);
    vt_anon(&a, BASE + P(64), P(1), VT_RW); /* an identity that the other does not use up */
    vt_touch(&a, BASE + P(64));
    assert_ret(vt_munmap(&a, BASE + P(64), P(1)), 0);
    vt_anon(&a, BASE, P(2), VT_RW);
    vt_touch(&a, BASE);
    vt_anon(&a, BASE + P(4), P(1), VT_RW);
    vt_setup(&b);
    vt_anon(&b, BASE, P(5), VT_RW);
    vt_touch(&b, BASE);
    assert_ret(vt_munmap(&b, BASE + P(2), P(3)), 0);
    vt_anon(&b, BASE + P(4), P(1), VT_RW);
    a.mm->peak_vm = b.mm->peak_vm;
    a.mm->nr_vmas_peak = b.mm->nr_vmas_peak;
    first.len = second.len = 0;
    vmk_mm_dump(a.mm, vt_sink, &first);
    vmk_mm_dump(b.mm, vt_sink, &second);
    assert_string_equal(first.text, second.text);
    assert_non_null(strstr(first.text, "\narea 10000000-10002000 flags=100073 pgoff=10000 anon_vma=10000000\n"));
    vt_teardown(&a);
    vt_teardown(&b);
}

/* The first page of all, and numbers of one digit. */
static void dump_of_the_first_page(void **state)
{
    const struct vmk_import_area area = {.start = 0, .end = P(1), .flags = VMK_VM_READ, .anon_vma = VMK_ANON_INHERITED};
    static struct vt_text text;
    struct vt t;

    (void)state;
    vt_setup(&t);
    assert_int_equal(vmk_mm_import(t.mm, &area), 0);
    text.len = 0;
    vmk_mm_dump(t.mm, vt_sink, &text);
    assert_string_equal(strstr(text.text, "area "), "area 0-1000 flags=1 pgoff=0 anon_vma=0 forked\n");
    assert_lines(&t, "", __FILE__, __LINE__);
    vt_teardown(&t);
}

static void dump_names_everything(void **state)
{
    struct vt t;
    static struct vt_text text;
    const char *const wanted[] = {"layout start_code=0",
                                  " mmap_base=7ffff7fff000",
                                  "limits as=ffffffffffffffff:ffffffffffffffff",
                                  " stack=800000:",
                                  "process capabilities=0",
                                  "counters areas=3 total=12 locked=0",
                                  " file=10008000",
                                  " object=10008000 file_id=1 object_id=1 path=\"/file1\"",
                                  "reserved 20000000-20001000\n",
                                  "tracked 10000000-10001000\n"};

    (void)state;
    some_space(&t);
    assert_int_equal(vmk_mm_reserve_range(t.mm, 2 * BASE, 2 * BASE + P(1)), 0);
    assert_int_equal(vmk_mm_track_writes(t.mm, BASE, BASE + P(1)), 0);
    vmk_mm_lock_write(t.mm);
    assert_int_equal(vmk_vma_set_user(vmki_find(t.mm, BASE), &t), 0);
    vmk_mm_unlock_write(t.mm);
    text.len = 0;
    vmk_mm_dump(t.mm, vt_sink, &text);
    for (size_t i = 0; i < VMKI_ARRAY_SIZE(wanted); i++)
        if (strstr(text.text, wanted[i]) == NULL)
            fail_msg("no \"%s\" in\n%s", wanted[i], text.text);
    assert_non_null(strstr(text.text, " user=10000000"));
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters),
        cmocka_unit_test(areas),
        cmocka_unit_test(order_of_a_leaf),
        cmocka_unit_test(references_of_an_ext),
        cmocka_unit_test(ranges),
        cmocka_unit_test(rules_of_flags),
        cmocka_unit_test(counters_of_every_kind),
        cmocka_unit_test(each_word_of_an_area),
        cmocka_unit_test(each_link_of_a_file),
        cmocka_unit_test(references_among_many),
        cmocka_unit_test(many_lines_for_nobody),
        cmocka_unit_test(charge_of_the_system),
        cmocka_unit_test(broken_trees),
        cmocka_unit_test(dumps_are_equal),
        cmocka_unit_test(dump_names_everything),
        cmocka_unit_test(dump_of_the_first_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
