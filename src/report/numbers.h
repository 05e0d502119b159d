/* SPDX-License-Identifier: MIT */
/* numbers.h - a map from numbers to pointers, for save and load: the tree with ranges of length one. */
#ifndef VMKI_NUMBERS_H
#define VMKI_NUMBERS_H

#include "system/system.h"
#include "tree/tree.h"

struct vmki_numbers {
    struct vmki_tree tree;
    struct vmki_tree_memory memory;
    struct vmk_system *system;
};

/* Must not move afterwards. */
void vmki_numbers_init(struct vmki_numbers *numbers, struct vmk_system *system);
void vmki_numbers_end(struct vmki_numbers *numbers);
/* The item of a key below 2^62; NULL for none. */
void *vmki_numbers_get(const struct vmki_numbers *numbers, uint64_t key);
/* A key that is not there yet; the item is not NULL. False: memory is short. */
bool vmki_numbers_put(struct vmki_numbers *numbers, uint64_t key, void *item);
/* A key that tells pointers apart: those of one half of the address space, as a kernel's and a program's are. */
uint64_t vmki_numbers_key(const void *pointer);

#endif
