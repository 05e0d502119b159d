/* SPDX-License-Identifier: MIT */
/*
 * lesson - every function of a lesson on VMA management, under the name that the lesson gives it. linux_names.h maps those
 * names onto the library; docs/lesson.md says for each what is right where lessons are loose.
 */
#include <stdio.h>

#include "vmakit/linux_names.h"

enum { PAGE = 4096 };
#define BASE UINT64_C(0x10000000)

static int nr_failed;

static void step(const char *what, bool good)
{
    printf("  %-72s %s\n", what, good ? "yes" : "NO");
    nr_failed += !good;
}

static void print(void *context, const char *text, size_t len)
{
    fwrite(text, 1, len, context);
}

static struct vmk_vma_request memory(vmk_addr start, unsigned pages)
{
    return (struct vmk_vma_request){.start = start,
                                    .end = start + (vmk_addr)pages * PAGE,
                                    .flags = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | VM_ACCOUNT};
}

/* Areas are made, linked, found, unlinked. */
static void creating(struct mm_struct *mm)
{
    struct vmk_vma_request request = memory(BASE, 4);
    struct vm_area_struct *vma, *second;

    puts("Creating:");
    step("create_vma makes an area that is in no address space yet",
         create_vma(mm, &request, &vma) == 0 && find_vma(mm, BASE) == NULL);
    step("insert_vma links it", insert_vma(mm, vma) == 0 && find_vma(mm, BASE) == vma);
    step("create_and_init_vma refuses an overlap and leaves everything as it was",
         create_and_init_vma(mm, &request, &second) == -VMK_EEXIST && find_vma(mm, BASE) == vma);
    request = memory(BASE + 8 * PAGE, 2);
    step("create_and_init_vma is both, with one way to fail",
         create_and_init_vma(mm, &request, &second) == 0 && vm_next(vma) == second && vm_prev(second) == vma);
    step("find_vma finds the next area above a hole", find_vma(mm, vm_end(vma)) == second);
    step("remove_vma unlinks one, which is ours again", remove_vma(mm, second) == 0 && vm_next(vma) == NULL);
    vmk_vma_destroy(second);
}

static void splitting(struct mm_struct *mm)
{
    struct vm_area_struct *lower = find_vma(mm, BASE), *upper, *merged;
    uint64_t pgoff = vm_pgoff(lower);

    puts("Splitting and merging:");
    step("split_vma cuts at an address inside", split_vma(mm, lower, BASE + PAGE, &upper) == 0);
    step("the upper half's page offset follows", vm_pgoff(upper) == pgoff + 1 && vm_end(lower) == vm_start(upper));
    step("split_vma refuses an address outside or unaligned",
         split_vma(mm, lower, BASE, &merged) == -VMK_EINVAL &&
             split_vma(mm, upper, BASE + PAGE + 5, &merged) == -VMK_EINVAL);
    step("can_merge_vma: alike and touching", can_merge_vma(lower, upper));
    step("merge_vma makes them one again",
         merge_vma(mm, upper, &merged) == 0 && vm_start(merged) == BASE && vm_end(merged) == BASE + 4 * PAGE);
}

static void protection(struct mm_struct *mm)
{
    struct vm_area_struct *vma = find_vma(mm, BASE), *modified, *upper;
    struct vmk_page_prot prot;

    puts("Protection:");
    step("check_vma_access allows a write", check_vma_access(vma, VMK_ACCESS_WRITE) == 0);
    step("check_vma_access refuses to execute", check_vma_access(vma, VMK_ACCESS_EXEC) == -VMK_EACCES);
    prot = get_vma_page_prot(mm, vm_flags(vma));
    step("get_vma_page_prot: private writable pages begin read-only (copy on write)", prot.cow && !prot.writable);
    prot = get_vma_page_prot(mm, VM_WRITE | VM_SHARED);
    step("get_vma_page_prot: shared ones do not, and write implies read", prot.writable && prot.readable);
    step("modify_vma of a part splits it off",
         modify_vma(mm, vma, BASE + PAGE, BASE + 2 * PAGE, VMK_PROT_READ, &modified) == 0 &&
             vm_start(modified) == BASE + PAGE && (vm_flags(modified) & VM_WRITE) == 0);
    upper = vm_next(modified);
    step("can_merge_vma: not with other flags", upper != NULL && !can_merge_vma(modified, upper));
    step("modify_vma back merges all three",
         modify_vma(mm, modified, BASE + PAGE, BASE + 2 * PAGE, VMK_PROT_READ | VMK_PROT_WRITE, &modified) == 0 &&
             vm_end(modified) - vm_start(modified) == 4 * PAGE);
}

static void faults(struct mm_struct *mm)
{
    struct vm_area_struct *vma = find_vma(mm, BASE);
    struct vmk_fault_request request = {.address = BASE + 5, .access = VMK_ACCESS_WRITE, .flags = VMK_FAULT_USER};
    struct vm_fault fault;

    puts("Faults:");
    step("handle_vma_fault: a write is minor, and brings the anon_vma",
         handle_vma_fault(vma, &request, &fault) == 0 && fault.outcome == VM_FAULT_MINOR && fault.anon_vma_new);
    request.access = VMK_ACCESS_EXEC;
    step("handle_vma_fault: to execute is SIGSEGV with SEGV_ACCERR",
         handle_vma_fault(vma, &request, &fault) == 0 && fault.signal == VMK_SIGSEGV && fault.code == VMK_SEGV_ACCERR);
    request.address = vm_end(vma);
    step("handle_vma_fault: the address must lie in the area", handle_vma_fault(vma, &request, &fault) < 0);
}

/* Files and objects behind an area. */
static void files(struct vmk_system *system, struct mm_struct *mm)
{
    const struct vmk_object_options inode = {.size = sizeof(inode), .kind = VMK_OBJECT_REGULAR, .nr_bytes = 100};
    struct vmk_file_options options = {.size = sizeof(options), .mode = VMK_FILE_READ, .name = "/a/file"};
    struct vmk_vma_request request = {
        .start = BASE + 16 * PAGE, .end = BASE + 18 * PAGE, .flags = VM_READ | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC};
    struct vmk_fault_request beyond = {.address = BASE + 17 * PAGE, .access = VMK_ACCESS_READ};
    struct vm_fault fault;
    struct vm_area_struct *vma;

    puts("Files:");
    if (vmk_object_create(system, &inode, &options.object) != 0 ||
        vmk_file_create(system, &options, &request.file) != 0) {
        step("an object and a file", false);
        return;
    }
    vmk_object_put(options.object);
    step("map_vma_memory takes a reference, asks the file, inserts", map_vma_memory(mm, &request, &vma) == 0);
    fput(request.file);
    step("the area still has its file", vm_file(vma) == request.file);
    step("handle_vma_fault: beyond the file's end is SIGBUS",
         handle_vma_fault(vma, &beyond, &fault) == 0 && fault.signal == VMK_SIGBUS);
    step("delete_vma: close hook, pages, counters, file, all gone",
         delete_vma(mm, vma) == 0 && find_vma(mm, BASE + 16 * PAGE) == NULL);
}

static void accounting(struct mm_struct *mm)
{
    struct vm_area_struct *vma = find_vma(mm, BASE);
    struct vmk_mm_stats before = {.size = sizeof(before)}, with = before, after = before;

    puts("Accounting:");
    mmap_write_unlock(mm); /* figures are read without the lock held */
    vmk_mm_get_stats(mm, &before);
    mmap_write_lock(mm);
    bool counted = account_vma(mm, vma) == 0;
    mmap_write_unlock(mm);
    vmk_mm_get_stats(mm, &with);
    mmap_write_lock(mm);
    unaccount_vma(mm, vma);
    mmap_write_unlock(mm);
    vmk_mm_get_stats(mm, &after);
    mmap_write_lock(mm);
    step("account_vma adds an area's pages to the counters", counted && with.total_vm == before.total_vm + 4);
    step("unaccount_vma takes them away", after.total_vm == before.total_vm && after.data_vm == before.data_vm);
}

static void forking(struct vmk_system *system, struct mm_struct *mm)
{
    struct vmk_mm_options options;
    struct mm_struct *child;
    struct vm_area_struct *copy;
    struct vmk_vma_info info = {.size = sizeof(info)};

    puts("Fork:");
    vmk_mm_options_init(&options);
    if (vmk_mm_create(system, &options, &child) != 0) {
        step("an address space for the child", false);
        return;
    }
    mmap_write_lock(child);
    step("dup_vma copies an area by the rules of fork", dup_vma(find_vma(mm, BASE), child, &copy) == 0 && copy != NULL);
    vmk_vma_get_info(copy, &info);
    step("the child's copy has an anon_vma of its own", info.anon_vma != 0 && info.anon_vma_inherited);
    mmap_write_unlock(child);
    step("the child is valid", validate_mm(child) == 0);
    mmput(child);
}

int main(void)
{
    struct vmk_system_options system_options;
    struct vmk_mm_options options;
    struct vmk_system *system;
    struct mm_struct *mm;

    vmk_system_options_init(&system_options, vmk_port_linux());
    vmk_mm_options_init(&options);
    if (vmk_system_create(&system_options, &system) != 0 || vmk_mm_create(system, &options, &mm) != 0)
        return 1;
    mmap_write_lock(mm);
    creating(mm);
    splitting(mm);
    protection(mm);
    faults(mm);
    files(system, mm);
    accounting(mm);
    forking(system, mm);
    mmap_write_unlock(mm);
    step("the address space is valid", validate_mm(mm) == 0);
    vmk_report_maps(mm, print, stdout);
    mmput(mm);
    vmk_system_quiesce(system);
    return nr_failed == 0 && vmk_system_destroy(system) == 0 ? 0 : 1;
}
