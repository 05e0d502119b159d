/* SPDX-License-Identifier: MIT */
/*
 * What an area's flags mean for its pages, for every combination of the flags that count and every kind of processor; and
 * access to a driver's memory through its hook, which may give less than was asked for.
 */
#include "calls.h"
#include "vmakit/fault.h"
#include "vmakit/state.h"

/* ---- Protection of pages ---- */

static vmk_vm_flags flags_of(unsigned i)
{
    static const vmk_vm_flags flags[] = {VMK_VM_READ,
                                         VMK_VM_WRITE,
                                         VMK_VM_EXEC,
                                         VMK_VM_SHARED,
                                         VMK_VM_UFFD_WP,
                                         VMK_VM_SHADOW_STACK,
                                         VMK_VM_SOFTDIRTY,
                                         VMK_VM_MAY_ACCESS,
                                         UINT64_C(5) << VMK_VM_PKEY_SHIFT,
                                         UINT64_C(10) << VMK_VM_PKEY_SHIFT};
    vmk_vm_flags all = 0;

    for (unsigned bit = 0; bit < 10; bit++)
        if ((i >> bit & 1) != 0)
            all |= flags[bit];
    return all;
}

static void check_page_prot(const struct vmk_mm *mm, vmk_vm_flags flags)
{
    const struct vmk_settings *settings = vmk_mm_settings(mm);
    const struct vmk_page_prot prot = vmk_vma_page_prot(mm, flags);
    bool reads = (flags & VMK_VM_READ) != 0, writes = (flags & VMK_VM_WRITE) != 0, runs = (flags & VMK_VM_EXEC) != 0;
    bool shared = (flags & VMK_VM_SHARED) != 0, is_shadow = (flags & VMK_VM_SHADOW_STACK) != 0;
    bool is_logged = (flags & VMK_VM_UFFD_WP) != 0 || (settings->soft_dirty != 0 && (flags & VMK_VM_SOFTDIRTY) == 0);

    assert_int_equal(prot.user, reads || writes || runs);
    assert_int_equal(prot.readable, reads || (writes && settings->write_implies_read != 0) ||
                                        (runs && settings->exec_implies_read != 0));
    assert_int_equal(prot.executable, runs);
    assert_int_equal(prot.cow, writes && !shared && !is_shadow);
    assert_int_equal(prot.dirty_log, writes && shared && !is_shadow && is_logged);
    assert_int_equal(prot.writable, writes && shared && !is_shadow && !is_logged);
    assert_int_equal(prot.pkey, flags >> VMK_VM_PKEY_SHIFT & 15);
}

static void test_page_prot(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 8; kind++) {
        struct vt t;

        vt_init(&t);
        t.system_options.settings.write_implies_read = kind & 1;
        t.system_options.settings.exec_implies_read = kind >> 1 & 1;
        t.system_options.settings.soft_dirty = kind >> 2;
        vt_open(&t);
        for (unsigned i = 0; i < 1024; i++)
            check_page_prot(t.mm, flags_of(i));
        vt_teardown(&t);
    }
}

/* ---- Access through a driver ---- */

enum { MOST = 3000 }; /* bytes that the driver gives at once */

static struct {
    unsigned nr_calls;
    bool refuses, gives_none;
} driver;

/* Gives each byte of its memory the lower bits of its address, times two where it is written. */
static int give_bytes(struct vmk_vma *vma, vmk_addr address, void *buffer, size_t len, bool write)
{
    unsigned char *bytes = buffer;
    size_t part = len < MOST ? len : MOST;

    assert_true(address >= vmk_vma_start(vma) && len > 0 && address + len <= vmk_vma_end(vma));
    driver.nr_calls++;
    if (driver.refuses || driver.gives_none)
        return driver.gives_none ? 0 : -VMK_EIO;
    for (size_t i = 0; i < part; i++) {
        assert_int_equal(bytes[i], write ? 0x55 : 0);
        bytes[i] = (unsigned char)((address + i) * (write ? 2 : 1));
    }
    return (int)part;
}

static void io_area(struct vt *t, unsigned first, unsigned last, vmk_vm_flags flags, bool has_hook)
{
    static const struct vmk_vm_ops ops = {.size = sizeof(ops), .access = give_bytes}, none = {.size = sizeof(none)};
    const struct vmk_import_area area = {.start = BASE + P(first),
                                         .end = BASE + P(last),
                                         .flags = VMK_VM_READ | VMK_VM_MAY_ACCESS | flags,
                                         .special_name = "[io]",
                                         .ops = has_hook ? &ops : &none};

    assert_int_equal(vmk_mm_import(t->mm, &area), 0);
}

/* Bytes that come from `address` on: up to a page that is no I/O memory with a hook. */
static size_t bytes_from(vmk_addr address)
{
    vmk_addr end = BASE + P(5);

    return address >= BASE && address < end ? end - address : 0;
}

static void check_access(struct vt *t, vmk_addr address, size_t len, bool write)
{
    static unsigned char buffer[P(8)];
    size_t there = bytes_from(address), wanted = len < there ? len : there;

    memset(buffer, write ? 0x55 : 0, sizeof(buffer));
    driver.nr_calls = 0;
    assert_ret(vmk_mm_access(t->mm, address, buffer, len, write), wanted == 0 && len != 0 ? -VMK_EIO : (int64_t)wanted);
    for (size_t i = 0; i < wanted; i++)
        assert_int_equal(buffer[i], (unsigned char)((address + i) * (write ? 2 : 1)));
    for (size_t i = wanted; i < sizeof(buffer); i += 7)
        assert_int_equal(buffer[i], write ? 0x55 : 0);
    if (wanted == 0)
        assert_int_equal(driver.nr_calls, 0);
}

static void test_access(void **state)
{
    static const size_t lens[] = {0, 1, 100, MOST, MOST + 1, P(1), P(1) + 1, P(4), P(8)};
    unsigned char byte;
    struct vt t;

    (void)state;
    vt_setup(&t);
    io_area(&t, 0, 2, VMK_VM_IO, true);
    io_area(&t, 2, 3, VMK_VM_PFNMAP, true);
    io_area(&t, 3, 5, VMK_VM_IO | VMK_VM_PFNMAP, true);
    io_area(&t, 5, 6, VMK_VM_IO, false);
    io_area(&t, 6, 7, VMK_VM_DONTEXPAND, true);
    vt_anon(&t, BASE + P(7), P(1), VT_RW);
    for (unsigned page = 0; page < 9; page++)
        for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
            for (unsigned offset = 0; offset < 4096; offset += 1365) {
                check_access(&t, BASE + P(page) + offset, lens[i], false);
                check_access(&t, BASE + P(page) + offset, lens[i], true);
            }
    check_access(&t, BASE - 1, 10, false);
    driver.refuses = true;
    assert_ret(vmk_mm_access(t.mm, BASE, &byte, 1, false), -VMK_EIO);
    driver.gives_none = true;
    assert_ret(vmk_mm_access(t.mm, BASE, &byte, 1, false), -VMK_EIO);
    driver.refuses = driver.gives_none = false;
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_prot),
        cmocka_unit_test(test_access),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
