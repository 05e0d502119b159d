/* SPDX-License-Identifier: MIT */
/* linear.c - see linear.h. */
#include "linear.h"

#include <stdio.h>
#include <string.h>

#define PAGE UINT64_C(4096)

/* ---- Making calls ---- */

static vmk_addr page_address(unsigned page)
{
    return LIN_BASE + page * PAGE;
}

static unsigned page_of(vmk_addr address)
{
    return (unsigned)((address - LIN_BASE) / PAGE);
}

static enum lin_page rights_of(vmk_vm_flags flags)
{
    return (flags & VMK_VM_WRITE) != 0 ? LIN_WRITE : LIN_READ;
}

static void do_lookup(struct vmk_mm *mm, struct lin_call *call)
{
    struct vmk_vma_info info = {.size = sizeof(info)};

    call->error = vmk_mm_lookup(mm, page_address(call->from) + 5, &info);
    if (call->error != 0)
        return;
    call->seen_from = page_of(info.start);
    call->seen_to = page_of(info.end);
    call->seen = rights_of(info.flags);
}

static void do_fault(struct vmk_mm *mm, struct lin_call *call)
{
    const struct vmk_fault_request request = {.address = page_address(call->from),
                                              .access = call->page == LIN_WRITE ? VMK_ACCESS_WRITE : VMK_ACCESS_READ};
    struct vmk_fault fault;

    call->error = vmk_mm_fault(mm, &request, &fault);
    if (call->error == 0 && fault.outcome == VMK_FAULT_SIGNAL)
        call->error = fault.code == VMK_SEGV_MAPERR ? -VMK_ENOENT : -VMK_EACCES;
    else if (call->error == 0 && fault.outcome == VMK_FAULT_NO_MEMORY)
        call->error = -VMK_ERR_HOST_NOMEM;
    else if (call->error == 0 && fault.outcome != VMK_FAULT_MINOR)
        call->error = -VMK_EINVAL;
}

static int do_map(struct vmk_mm *mm, const struct lin_call *call)
{
    const struct vmk_mmap_request request = {.address = page_address(call->from),
                                             .len = (call->to - call->from) * PAGE,
                                             .prot = call->page,
                                             .flags = VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED};

    return vmk_mmap(mm, &request, NULL);
}

static int do_unmap(struct vmk_mm *mm, const struct lin_call *call)
{
    const struct vmk_munmap_request request = {.address = page_address(call->from),
                                               .len = (call->to - call->from) * PAGE};

    return vmk_munmap(mm, &request, NULL);
}

static int do_protect(struct vmk_mm *mm, const struct lin_call *call)
{
    const struct vmk_mprotect_request request = {
        .address = page_address(call->from), .len = PAGE, .prot = call->page, .pkey = -1};

    return vmk_mprotect(mm, &request, NULL);
}

void lin_do(struct vmk_mm *mm, struct lin_call *call, uint64_t (*now)(void))
{
    call->begin = now();
    switch (call->kind) {
    case LIN_LOOKUP:
        do_lookup(mm, call);
        break;
    case LIN_CHECK:
        call->error = vmk_mm_check_access(mm, page_address(call->from),
                                          call->page == LIN_WRITE ? VMK_ACCESS_WRITE : VMK_ACCESS_READ);
        break;
    case LIN_FAULT:
        do_fault(mm, call);
        break;
    case LIN_MAP:
        call->error = do_map(mm, call);
        break;
    case LIN_UNMAP:
        call->error = do_unmap(mm, call);
        break;
    default:
        call->error = do_protect(mm, call);
        break;
    }
    call->end = now();
}

struct lin_state lin_read(struct vmk_mm *mm)
{
    struct lin_state state = {{0}};

    for (unsigned i = 0; i < LIN_PAGES; i++) {
        struct vmk_vma_info info = {.size = sizeof(info)};

        if (vmk_mm_lookup(mm, page_address(i), &info) == 0)
            state.page[i] = (uint8_t)rights_of(info.flags);
    }
    return state;
}

/* ---- The sequential rules ---- */

static bool lookup_fits(const struct lin_state *state, const struct lin_call *call, bool bounds)
{
    uint8_t page = state->page[call->from];
    unsigned from = call->from, to = call->from + 1;

    if (page == LIN_HOLE || call->error != 0)
        return page == LIN_HOLE && call->error == -VMK_ENOENT;
    while (from > 0 && state->page[from - 1] == page)
        from--;
    while (to < LIN_PAGES && state->page[to] == page)
        to++;
    return call->seen == page && (!bounds || (call->seen_from == from && call->seen_to == to));
}

static int access_result(const struct lin_state *state, const struct lin_call *call)
{
    uint8_t page = state->page[call->from];

    if (page == LIN_HOLE)
        return -VMK_ENOENT;
    return (call->page & ~page) != 0 ? -VMK_EACCES : 0;
}

/* Whether the call could have had its result in this state, which it changes. */
static bool step(struct lin_state *state, const struct lin_call *call, bool bounds)
{
    if (call->error == -VMK_ERR_HOST_NOMEM && call->kind >= LIN_FAULT)
        return true; /* nothing has changed */
    switch (call->kind) {
    case LIN_LOOKUP:
        return lookup_fits(state, call, bounds);
    case LIN_CHECK:
    case LIN_FAULT:
        return call->error == access_result(state, call);
    case LIN_MAP:
        memset(&state->page[call->from], (int)call->page, call->to - call->from);
        return call->error == 0;
    case LIN_UNMAP:
        memset(&state->page[call->from], LIN_HOLE, call->to - call->from);
        return call->error == 0;
    default:
        if (state->page[call->from] == LIN_HOLE)
            return call->error == -VMK_ENOMEM;
        state->page[call->from] = (uint8_t)call->page;
        return call->error == 0;
    }
}

/* ---- The search for an order ---- */

enum { MEMO_SIZE = 1 << 12 };

struct search {
    const struct lin_call *calls;
    unsigned nr;
    const struct lin_state *after;
    bool bounds;
    unsigned nr_memo;
    struct {
        unsigned done;
        struct lin_state state;
    } memo[MEMO_SIZE]; /* what was tried in vain */
};

static bool was_in_vain(const struct search *search, unsigned done, const struct lin_state *state)
{
    for (unsigned i = 0; i < search->nr_memo; i++)
        if (search->memo[i].done == done && memcmp(&search->memo[i].state, state, sizeof(*state)) == 0)
            return true;
    return false;
}

/* May the call come next: did no other that is not done end before it began? */
static bool may_be_next(const struct search *search, unsigned done, unsigned number)
{
    for (unsigned i = 0; i < search->nr; i++)
        if ((done >> i & 1) == 0 && search->calls[i].end < search->calls[number].begin)
            return false;
    return (done >> number & 1) == 0;
}

struct level {
    unsigned done, next;
    struct lin_state state;
};

static bool find_order(struct search *search, const struct lin_state *before)
{
    struct level levels[LIN_MAX_CALLS + 1] = {{.state = *before}};
    unsigned depth = 0;

    for (;;) {
        struct level *level = &levels[depth];

        if (depth == search->nr && memcmp(&level->state, search->after, sizeof(level->state)) == 0)
            return true;
        while (level->next < search->nr) {
            unsigned number = level->next++;
            struct level *deeper = &levels[depth + 1];

            if (!may_be_next(search, level->done, number))
                continue;
            *deeper = (struct level){.done = level->done | 1u << number, .state = level->state};
            if (step(&deeper->state, &search->calls[number], search->bounds) &&
                !was_in_vain(search, deeper->done, &deeper->state)) {
                depth++;
                break;
            }
        }
        if (level != &levels[depth])
            continue;
        if (search->nr_memo < MEMO_SIZE) {
            search->memo[search->nr_memo].done = level->done;
            search->memo[search->nr_memo++].state = level->state;
        }
        if (depth-- == 0)
            return false;
    }
}

bool lin_explains(const struct lin_call *calls, unsigned nr, const struct lin_state *before,
                  const struct lin_state *after, bool bounds)
{
    static struct search search;

    if (nr > LIN_MAX_CALLS)
        return false;
    search.calls = calls;
    search.nr = nr;
    search.after = after;
    search.bounds = bounds;
    search.nr_memo = 0;
    return find_order(&search, before);
}

void lin_describe(const struct lin_call *call, char *text, unsigned size)
{
    static const char *const names[LIN_KINDS] = {"lookup", "check", "fault", "map", "unmap", "protect"};

    snprintf(text, size, "%s %u..%u %u: %d", names[call->kind], call->from, call->to, (unsigned)call->page,
             call->error);
    if (call->kind == LIN_LOOKUP && call->error == 0)
        snprintf(text, size, "lookup %u: %u..%u %u", call->from, call->seen_from, call->seen_to, (unsigned)call->seen);
}
