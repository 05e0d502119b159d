/* SPDX-License-Identifier: MIT */
/*
 * layout.h - another layout for a program that has just been executed: `vmakit run` with --seed, --window, --base ...
 *
 * The kernel lays a program out by its own rules. Before the program's first instruction its blocks (its image, its
 * loader, the specials, the stack) are moved to where the engine wants them: layout_plan decides, layout_move does it.
 * From then on every address is the engine's choice anyway.
 */
#ifndef VMAKIT_TOOL_LAYOUT_H
#define VMAKIT_TOOL_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "kview.h"
#include "vmakit/vmakit.h"

/* What the user asks for; all zero: the kernel's layout. */
struct layout_policy {
    bool seeded; /* random places, from `seed` */
    uint64_t seed;
    bool bottom_up;     /* free placement from below */
    vmk_addr base;      /* 0, or where free placement begins (bottom-up) or ends (top-down) */
    unsigned va_bits;   /* 0: the kernel's */
    vmk_addr low, high; /* the window; 0, 0: everything */
};

enum layout_kind { LAYOUT_PROGRAM, LAYOUT_LOADER, LAYOUT_SPECIAL, LAYOUT_STACK };

/* Areas that belong together and move together. */
struct layout_block {
    enum layout_kind kind;
    vmk_addr start, end, target;
};

/* The entries of the auxiliary vector that tell the blocks apart; 0: not there. */
struct layout_image {
    vmk_addr phdr, loader, stack;
    bool fixed;           /* linked to fixed addresses: the program's block cannot move */
    uint64_t stack_limit; /* RLIMIT_STACK, bytes */
};

enum { LAYOUT_MAX_BLOCKS = 8 };

struct layout {
    struct layout_block blocks[LAYOUT_MAX_BLOCKS];
    size_t nr_blocks;
    vmk_addr low, high; /* where everything is to lie */
    vmk_addr mmap_base, legacy_base;
    uint64_t heap_shift; /* bytes by which the heap starts later */
    const char *problem; /* why there is no layout */
};

/* The next number of a seed: of a child's layouts, or of one layout. */
uint64_t layout_draw(uint64_t *state);
bool layout_is_wanted(const struct layout_policy *policy);
/* What the settings of the address space become. */
void layout_settings(const struct layout_policy *policy, struct vmk_settings *settings);
/* NULL, or what is wrong with a policy. */
const char *layout_check(const struct layout_policy *policy, const struct vmk_settings *settings);

/* Where the blocks of an image go. 0, -EINVAL (areas that belong to no block), -ENOMEM (no room); layout->problem says it. */
int layout_plan(struct vmk_system *system, const struct layout_policy *policy, const struct layout_image *image,
                const struct kview *view, struct layout *layout);
/* Where an address of the image is after the move; one that is in no block stays. */
vmk_addr layout_translate(const struct layout *layout, vmk_addr address);

/* One area's move; done in order. */
struct layout_step {
    vmk_addr from, to;
    uint64_t len;
};
/* Steps that never move onto something that has not moved away; `steps` has room for two an area. Returns their number. */
size_t layout_steps(const struct layout *layout, const struct kview *view, struct layout_step *steps);

/*
 * Plans and moves the image of a task that is stopped at the end of execve (layout_move.c); `view` is scratch. 0, or
 * negative with layout->problem: -EINVAL and -ENOMEM come before anything was moved, after any other error the task can
 * only be killed.
 */
int layout_move(pid_t tid, struct vmk_system *system, const struct layout_policy *policy, uint64_t stack_limit,
                struct kview *view, struct layout *layout);

/* The engine's address space of the moved image: its marks, and everything outside the window reserved. 0 or negative. */
int layout_take_over(const struct layout *layout, const struct layout_policy *policy, struct vmk_mm *mm);

#endif
