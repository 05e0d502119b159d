/* SPDX-License-Identifier: MIT */
#include "report/numbers.h"

static void *numbers_alloc(void *context, size_t size)
{
    struct vmki_numbers *numbers = context;

    return vmki_alloc(numbers->system, size, 64);
}

/* One thread uses the map: nobody reads a node that is replaced. */
static void numbers_free(void *context, void *node, size_t size)
{
    struct vmki_numbers *numbers = context;

    vmki_free(numbers->system, node, size);
}

void vmki_numbers_init(struct vmki_numbers *numbers, struct vmk_system *system)
{
    numbers->system = system;
    numbers->memory = (struct vmki_tree_memory){
        .alloc = numbers_alloc, .free = numbers_free, .retire = numbers_free, .context = numbers};
    vmki_tree_init(&numbers->tree, &numbers->memory);
}

void vmki_numbers_end(struct vmki_numbers *numbers)
{
    vmki_tree_destroy(&numbers->tree);
}

void *vmki_numbers_get(const struct vmki_numbers *numbers, uint64_t key)
{
    struct vmki_tree_entry entry;

    return vmki_tree_find(&numbers->tree, key, &entry) ? entry.item : NULL;
}

bool vmki_numbers_put(struct vmki_numbers *numbers, uint64_t key, void *item)
{
    const struct vmki_tree_entry entry = {.start = key, .end = key + 1, .item = item};
    struct vmki_cursor cursor;

    if (!vmki_tree_reserve(&numbers->tree, 1))
        return false;
    vmki_cursor_seek(&cursor, &numbers->tree, key);
    vmki_cursor_splice(&cursor, key, &entry, 1);
    return true;
}

uint64_t vmki_numbers_key(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer & ((UINT64_C(1) << 62) - 1);
}
