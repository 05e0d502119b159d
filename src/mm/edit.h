/* SPDX-License-Identifier: MIT */
/*
 * edit.h - the one way in which the list of areas changes.
 *
 * An area edit replaces a run of neighbouring areas by at most VMKI_TREE_SPLICE_MAX pieces, in one splice of the tree:
 *
 *        from                                 until
 *          |  prev  |      V      |   next  |           areas that start in [from, until) are replaced
 *          |  prev ...   | middle |  rest   |           pieces: areas that stay, resized, and new ones
 *
 * Preparing an edit decides merges and takes new areas and references; nothing that a reader sees changes. Commit cannot
 * fail. Areas of the run that are no piece are detached, and end after the commit: unlinked from the rmap, closed, freed
 * after readers. Counters follow from the difference.
 */
#ifndef VMKI_EDIT_H
#define VMKI_EDIT_H

#include "mm/mm.h"

struct vmki_piece {
    struct vmk_vma *vma;
    vmk_addr start, end;
    vmk_vm_flags flags;
    struct vmki_ext *ext;       /* a reference that commit gives to vma when it differs from vma->ext */
    bool is_new;                /* not in the tree yet: abort returns it */
    struct vmk_vma *split_from; /* the area that this new piece was a part of: open and split hooks are called */
};

struct vmki_area_edit {
    vmk_addr from, until;
    unsigned nr_pieces;
    struct vmki_anon_vma *adopt; /* piece `adopter` gets this anon_vma (a reference is taken at commit); NULL: none */
    unsigned adopter;
    vmk_vm_flags adopt_flags;        /* VMKI_VM_FORKED and ANON_UNKNOWN that go with it */
    uint64_t charged;                /* commit charge taken for this edit; commit gives back what it did not need */
    uint64_t pooled;                 /* the same of the pool of huge pages, in pages of the ordinary size */
    vmk_addr unmap_start, unmap_end; /* memory that goes, for notices and write tracking; empty for none */
    vmk_addr new_start, new_end;     /* memory that comes or changes its flags */
    vmk_vm_flags old_flags, new_flags;
    bool is_change; /* no memory comes or goes: counted by new_start..new_end, not area by area */
    bool is_map;    /* new_start..new_end comes; otherwise it changes from old_flags to new_flags */
    struct vmki_piece piece[VMKI_TREE_SPLICE_MAX]; /* nr_pieces of them count; the others are not even cleared */
};

static inline void vmki_edit_clear(struct vmki_area_edit *edit)
{
    memset(edit, 0, offsetof(struct vmki_area_edit, piece));
}

/* The properties that decide a merge. For an area that exists: vmki_identity_of. */
struct vmki_identity {
    vmk_vm_flags flags; /* VMKI_VM_FORKED and ANON_UNKNOWN belong to anon_vma */
    struct vmk_file *file;
    uint64_t bias;
    struct vmki_anon_vma *anon_vma;
    struct vmki_ext *ext; /* borrowed */
};
struct vmki_identity vmki_identity_of(const struct vmk_vma *vma);

/* May two touching ranges with these properties be one area (close hooks apart)? Counts a refusal by its reason. */
bool vmki_can_merge(struct vmk_mm *mm, const struct vmki_identity *a, const struct vmki_identity *b);
/* May the area be removed by a merge: no close hook, and its merge hook agrees? */
bool vmki_may_absorb(const struct vmk_vma *stays, const struct vmk_vma *goes);

/*
 * Each prepares one edit. `mm` has the memory, the tree and the counters: the areas' own, or a lane of it (lane.h).
 * `reserved` memory: vmki_edit_reserve must have succeeded since the last edit. A negative return
 * leaves nothing to abort.
 */

/* Memory for one edit of areas: nr_new areas (both kinds when `any_file`), and a splice. -VMK_ERR_HOST_NOMEM. */
int vmki_edit_reserve(struct vmk_mm *mm, unsigned nr_new, bool any_file);

/*
 * Gives [start, end), a part of `vma`, new flags and a new ext (a reference is taken over, on failure too; pass
 * vmki_ext_get(vma->ext) to keep it): merges with the neighbours where it can, splits where it must. Splits respect may_split and
 * max_map_count (-VMK_ENOMEM). Like Linux, a second split that fails leaves the first one visible: then *partial is set,
 * the edit holds that first split alone, and the caller commits it before it returns the error.
 */
int vmki_edit_modify(struct vmk_mm *mm, struct vmk_vma *vma, vmk_addr start, vmk_addr end, vmk_vm_flags flags,
                     struct vmki_ext *ext, struct vmki_area_edit *edit, bool *partial);

/* May what surrounds [start, end) be cut off `first` and `last`, the areas at its ends? -VMK_ENOMEM for the map count. */
int vmki_unmap_may_split(const struct vmk_mm *mm, struct vmk_vma *first, struct vmk_vma *last, vmk_addr start,
                         vmk_addr end);

/* Takes [start, end) out. Splits respect may_split (its error) and max_map_count (-VMK_ENOMEM). */
int vmki_edit_unmap(struct vmk_mm *mm, vmk_addr start, vmk_addr end, struct vmki_area_edit *edit);

/*
 * Puts a new area at [start, end), replacing what is there, merging with the neighbours where it can. `ext` and `file`
 * are borrowed. `anon_vma` (borrowed, may be NULL) is what a move brings along. *vma is the area that covers the range
 * afterwards. With `may_merge` false it always stands alone.
 */
struct vmki_new_area {
    vmk_addr start, end;
    struct vmki_identity identity;
    bool may_merge;
};
int vmki_edit_map(struct vmk_mm *mm, const struct vmki_new_area *area, struct vmki_area_edit *edit,
                  struct vmk_vma **vma);

/* Publishes the edit. Cannot fail. */
void vmki_edit_commit(struct vmk_mm *mm, struct vmki_area_edit *edit);
/* Returns new areas, references and the charge. */
void vmki_edit_abort(struct vmk_mm *mm, struct vmki_area_edit *edit);

#endif
