/* SPDX-License-Identifier: MIT */
/*
 * linux_names.h - optional: the names that kernel texts and lessons on VMA management use, for this library's API.
 *
 * Macros only, so that the names cost nothing and clash with nothing unless this header is included. A name stands for the
 * function or type of ours that does what the text says; where the arguments differ, the comment says how. Fields are
 * read through functions: vm_start(vma), not vma->vm_start.
 */
#ifndef VMAKIT_LINUX_NAMES_H
#define VMAKIT_LINUX_NAMES_H

#include "vmakit/vmakit.h"

/* ---- Structures: struct vm_area_struct *vma; ---- */
#define vm_area_struct       vmk_vma
#define mm_struct            vmk_mm
#define vm_operations_struct vmk_vm_ops
#define vm_fault             vmk_fault

/* ---- Fields ---- */
#define vm_start        vmk_vma_start
#define vm_end          vmk_vma_end
#define vm_flags        vmk_vma_flags
#define vm_pgoff        vmk_vma_pgoff
#define vm_mm           vmk_vma_mm
#define vm_file         vmk_vma_file
#define vm_ops          vmk_vma_ops
#define vm_private_data vmk_vma_private_data
#define vm_next         vmk_vma_next
#define vm_prev         vmk_vma_prev

/* ---- One area ---- */
#define create_vma          vmk_vma_create /* (mm, &request, &vma) */
#define insert_vma          vmk_vma_insert /* (mm, vma) */
#define insert_vm_struct    vmk_vma_insert
#define remove_vma          vmk_vma_remove /* (mm, vma) */
#define create_and_init_vma vmk_vma_create_and_insert
#define map_vma_memory      vmk_vma_map_memory /* (mm, &request, &vma) */
#define modify_vma          vmk_vma_modify     /* (mm, vma, start, end, prot, &modified) */
#define delete_vma          vmk_vma_delete     /* (mm, vma) */
#define split_vma           vmk_vma_split      /* (mm, vma, address, &upper) */
#define merge_vma           vmk_vma_merge      /* (mm, vma, &merged) */
#define vma_merge           vmk_vma_merge
#define can_merge_vma       vmk_vma_can_merge    /* (lower, upper) */
#define dup_vma             vmk_vma_dup          /* (vma, child, &copy) */
#define check_vma_access    vmk_vma_check_access /* (vma, access) */
#define get_vma_page_prot   vmk_vma_page_prot    /* (mm, flags) */
#define vm_get_page_prot    vmk_vma_page_prot
#define handle_vma_fault    vmk_vma_fault     /* (vma, &request, &fault) */
#define account_vma         vmk_vma_account   /* (mm, vma) */
#define unaccount_vma       vmk_vma_unaccount /* (mm, vma) */

/* ---- An address space ---- */
#define find_vma          vmk_mm_find  /* (mm, address): with mm.lock held */
#define handle_mm_fault   vmk_mm_fault /* (mm, &request, &fault) */
#define do_mmap           vmk_mmap     /* (mm, &request, &result); the others alike */
#define do_munmap         vmk_munmap
#define do_mprotect       vmk_mprotect
#define do_mremap         vmk_mremap
#define do_brk            vmk_brk
#define do_madvise        vmk_madvise
#define do_mlock          vmk_mlock
#define do_mseal          vmk_mseal
#define get_unmapped_area vmk_mm_unmapped_area
#define dup_mm            vmk_mm_fork
#define dup_mmap          vmk_mm_fork
#define exit_mmap         vmk_mm_exit
#define mmget             vmk_mm_get
#define mmput             vmk_mm_put
#define mmgrab            vmk_mm_grab
#define mmdrop            vmk_mm_drop
#define mmap_read_lock    vmk_mm_lock_read
#define mmap_read_unlock  vmk_mm_unlock_read
#define mmap_write_lock   vmk_mm_lock_write
#define mmap_write_unlock vmk_mm_unlock_write
#define validate_mm(mm)   vmk_mm_validate((mm), NULL, NULL)
#define get_file          vmk_file_get
#define fput              vmk_file_put

/* ---- Flags ---- */
#define VM_READ            VMK_VM_READ
#define VM_WRITE           VMK_VM_WRITE
#define VM_EXEC            VMK_VM_EXEC
#define VM_SHARED          VMK_VM_SHARED
#define VM_MAYREAD         VMK_VM_MAYREAD
#define VM_MAYWRITE        VMK_VM_MAYWRITE
#define VM_MAYEXEC         VMK_VM_MAYEXEC
#define VM_MAYSHARE        VMK_VM_MAYSHARE
#define VM_GROWSDOWN       VMK_VM_GROWSDOWN
#define VM_GROWSUP         VMK_VM_GROWSUP
#define VM_SHM             VMK_VM_SHM
#define VM_DENYWRITE       VMK_VM_DENYWRITE
#define VM_EXECUTABLE      VMK_VM_EXECUTABLE
#define VM_LOCKED          VMK_VM_LOCKED
#define VM_IO              VMK_VM_IO
#define VM_SEQ_READ        VMK_VM_SEQ_READ
#define VM_RAND_READ       VMK_VM_RAND_READ
#define VM_DONTCOPY        VMK_VM_DONTCOPY
#define VM_DONTEXPAND      VMK_VM_DONTEXPAND
#define VM_RESERVED        VMK_VM_RESERVED
#define VM_ACCOUNT         VMK_VM_ACCOUNT
#define VM_HUGETLB         VMK_VM_HUGETLB
#define VM_NONLINEAR       VMK_VM_NONLINEAR
#define VM_MIXEDMAP        VMK_VM_MIXEDMAP
#define VM_SAO             VMK_VM_SAO
#define VM_PFNMAP          VMK_VM_PFNMAP
#define VM_LOCKONFAULT     VMK_VM_LOCKONFAULT
#define VM_WIPEONFORK      VMK_VM_WIPEONFORK
#define VM_DONTDUMP        VMK_VM_DONTDUMP
#define VM_SOFTDIRTY       VMK_VM_SOFTDIRTY
#define VM_HUGEPAGE        VMK_VM_HUGEPAGE
#define VM_NORESERVE       VMK_VM_NORESERVE
#define VM_NOHUGEPAGE      VMK_VM_NOHUGEPAGE
#define VM_MERGEABLE       VMK_VM_MERGEABLE
#define VM_UFFD_MISSING    VMK_VM_UFFD_MISSING
#define VM_UFFD_WP         VMK_VM_UFFD_WP
#define VM_UFFD_MINOR      VMK_VM_UFFD_MINOR
#define VM_SYNC            VMK_VM_SYNC
#define VM_DROPPABLE       VMK_VM_DROPPABLE
#define VM_SEALED          VMK_VM_SEALED
#define VM_SHADOW_STACK    VMK_VM_SHADOW_STACK
#define VM_ARM64_SPECIFIC  VMK_VM_ARM64_SPECIFIC
#define VM_RK3588_SPECIFIC VMK_VM_RK3588_SPECIFIC

/* ---- What a fault comes to ---- */
#define VM_FAULT_MINOR  VMK_FAULT_MINOR
#define VM_FAULT_MAJOR  VMK_FAULT_MAJOR
#define VM_FAULT_RETRY  VMK_FAULT_RETRY
#define VM_FAULT_OOM    VMK_FAULT_NO_MEMORY
#define VM_FAULT_SIGNAL VMK_FAULT_SIGNAL /* SIGSEGV or SIGBUS: fault.signal and fault.code */

#endif
