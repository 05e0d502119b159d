/* SPDX-License-Identifier: MIT */
/* validate.h - rules that hold for every area, for those who make one from what they are told. */
#ifndef VMKI_VALIDATE_H
#define VMKI_VALIDATE_H

#include "mm/mm.h"

/* NULL, or the rule that an area with these flags (VMKI_VM_* included) breaks. */
const char *vmki_area_flags_broken(vmk_vm_flags flags, bool has_anon_vma, bool has_uffd);

#endif
