/* SPDX-License-Identifier: MIT */
/*
 * shadow.c - the address spaces with larger pages, and what is found there. Where the real memory lies in the shadow is
 * kept in pieces; what is in no piece lies at its own address (the image that execve mapped, the heap).
 */
#include "shadow.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "idmap.h"

enum { FINDINGS_MAX = 2000, GROWTH_MAX = 1 << 30 };

/* Real [start, end) lies at the same addresses plus delta. */
struct piece {
    vmk_addr start, end;
    uint64_t delta;
    bool unjudged; /* it has no place in the shadow */
};

struct space {
    struct vmk_mm *mm;
    struct piece *pieces; /* ascending */
    size_t nr, room;
};

struct finding {
    char *text, *place;
    const char *call;
    uint64_t nr;
    bool of_libc;
};

struct shadow {
    unsigned shift;
    struct vmk_settings settings;
    struct vmk_system *system;
    struct report *report;
    struct idmap spaces, objects, files; /* by the address of the real one; of files by its identity */
    struct finding *findings;
    size_t nr_findings, room;
    uint64_t nr_judged, nr_found, nr_lost;
};

/* One call being judged. */
struct judge {
    struct shadow *shadow;
    struct space *space;
    struct vmk_mm *real;
    const struct report_call *call;
    const uint64_t *a; /* its arguments */
};

unsigned shadow_parse_page_size(const char *text)
{
    return strcmp(text, "16K") == 0 ? 14 : strcmp(text, "64K") == 0 ? 16 : 0;
}

/* ---- Findings ---- */

static uint64_t mask_of(const struct shadow *shadow)
{
    return (UINT64_C(1) << shadow->shift) - 1;
}

static bool finding_matches(const struct finding *finding, const char *call, const char *place, const char *text)
{
    return strcmp(finding->call, call) == 0 && strcmp(finding->place, place) == 0 && strcmp(finding->text, text) == 0;
}

static struct finding *finding_of(struct shadow *shadow, const char *call, const char *place, const char *text)
{
    for (size_t i = 0; i < shadow->nr_findings; i++)
        if (finding_matches(&shadow->findings[i], call, place, text))
            return &shadow->findings[i];
    if (shadow->nr_findings == FINDINGS_MAX)
        return NULL;
    if (shadow->nr_findings == shadow->room) {
        size_t room = shadow->room == 0 ? 32 : shadow->room * 2;
        struct finding *findings = realloc(shadow->findings, room * sizeof(*findings));
        if (findings == NULL)
            return NULL;
        shadow->findings = findings;
        shadow->room = room;
    }
    struct finding new = {.call = call, .place = strdup(place), .text = strdup(text)};
    if (new.place == NULL || new.text == NULL) {
        free(new.place);
        free(new.text);
        return NULL;
    }
    shadow->findings[shadow->nr_findings] = new;
    return &shadow->findings[shadow->nr_findings++];
}

static const char *base_of(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash != NULL ? slash + 1 : name;
}

/* Says it of a call: where in the program it was made is part of the finding, unless it is a file's own fault. */
static void found(const struct judge *judge, bool of_file, const char *text)
{
    const struct caller *by = &judge->call->caller;
    char where[512] = "";
    bool of_libc = false;
    if (by->ip != 0) {
        struct caller_place place = caller_place_of(judge->real, by->from != 0 ? by->from : by->ip);
        snprintf(where, sizeof(where), "%s+0x%" PRIx64, base_of(place.name), place.offset);
        of_libc = caller_is_libc(place.name);
    }
    judge->shadow->nr_found++;
    struct finding *finding = finding_of(judge->shadow, judge->call->name, of_file ? "" : where, text);
    if (finding == NULL) {
        judge->shadow->nr_lost++;
    } else {
        finding->nr++;
        finding->of_libc = of_libc && !of_file;
    }
    report_finding(judge->shadow->report, judge->real, judge->call, mask_of(judge->shadow) + 1, text);
}

static const char *size_name(const struct shadow *shadow)
{
    return shadow->shift == 14 ? "16 KiB" : "64 KiB";
}

static void found_misaligned(const struct judge *judge, int error, const char *what)
{
    char text[128];
    const char *name = record_errno_name(-error);
    snprintf(text, sizeof(text), "%s: the %s is not a multiple of %s", name != NULL ? name : "refused", what,
             size_name(judge->shadow));
    found(judge, false, text);
}

static void found_error(const struct judge *judge, int error)
{
    char text[128];
    const char *name = record_errno_name(-error);
    snprintf(text, sizeof(text), "%s", name != NULL ? name : "refused");
    found(judge, false, text);
}

static void found_reach(const struct judge *judge)
{
    char text[160];
    snprintf(text, sizeof(text), "its end is rounded up to %s and reaches memory in use behind it",
             size_name(judge->shadow));
    found(judge, false, text);
}

/* ---- Pieces ---- */

static bool pieces_insert(struct space *space, size_t at, struct piece piece)
{
    if (space->nr == space->room) {
        size_t room = space->room == 0 ? 16 : space->room * 2;
        struct piece *pieces = realloc(space->pieces, room * sizeof(*pieces));
        if (pieces == NULL)
            return false;
        space->pieces = pieces;
        space->room = room;
    }
    memmove(&space->pieces[at + 1], &space->pieces[at], (space->nr - at) * sizeof(piece));
    space->pieces[at] = piece;
    space->nr++;
    return true;
}

/* The first piece that ends above an address; nr for none. */
static size_t pieces_find(const struct space *space, vmk_addr address)
{
    size_t low = 0, high = space->nr;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (space->pieces[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void pieces_clear(struct space *space, vmk_addr start, vmk_addr end)
{
    size_t i = pieces_find(space, start);
    while (i < space->nr && space->pieces[i].start < end) {
        struct piece *piece = &space->pieces[i], above = *piece;
        if (piece->start < start && piece->end > end) {
            piece->end = start;
            above.start = end;
            pieces_insert(space, i + 1, above);
            return;
        }
        if (piece->start < start) {
            piece->end = start;
            i++;
        } else if (piece->end > end) {
            piece->start = end;
            return;
        } else {
            memmove(piece, piece + 1, (space->nr - i - 1) * sizeof(*piece));
            space->nr--;
        }
    }
}

static void pieces_set(struct space *space, struct piece piece)
{
    if (piece.start >= piece.end)
        return;
    pieces_clear(space, piece.start, piece.end);
    pieces_insert(space, pieces_find(space, piece.start), piece);
}

/* What holds for an address, and up to where. */
static struct piece piece_at(const struct space *space, vmk_addr address)
{
    size_t i = pieces_find(space, address);
    if (i < space->nr && space->pieces[i].start <= address)
        return space->pieces[i];
    return (struct piece){.start = address, .end = i < space->nr ? space->pieces[i].start : UINT64_MAX};
}

/* ---- Files ---- */

static struct vmk_object *object_of(struct shadow *shadow, struct vmk_object *real)
{
    struct vmk_object *object = idmap_get(&shadow->objects, vmk_object_id(real));
    enum vmk_object_kind kind = vmk_object_kind_of(real);
    const struct vmk_object_options options = {
        .size = sizeof(options),
        .kind = kind == VMK_OBJECT_SHMEM ? kind : VMK_OBJECT_REGULAR,
        .nr_bytes = vmk_object_nr_bytes(real),
    };
    if (object != NULL || vmk_object_create(shadow->system, &options, &object) != 0)
        return object;
    if (idmap_put(&shadow->objects, vmk_object_id(real), object))
        return object;
    vmk_object_put(object);
    return NULL;
}

/* One that allows everything: what it does not was judged by the real call. Borrowed. */
static struct vmk_file *file_of(struct shadow *shadow, struct vmk_file *real)
{
    struct vmk_file *file = idmap_get(&shadow->files, vmk_file_id(real));
    if (file != NULL)
        return file;
    struct vmk_file_options options = {.size = sizeof(options),
                                       .object = object_of(shadow, vmk_file_object(real)),
                                       .mode = VMK_FILE_READ | VMK_FILE_WRITE,
                                       .name = vmk_file_name(real)};
    if (options.object == NULL || vmk_file_create(shadow->system, &options, &file) != 0)
        return NULL;
    if (idmap_put(&shadow->files, vmk_file_id(real), file))
        return file;
    vmk_file_put(file);
    return NULL;
}

/* Can the rules of larger pages be applied to it? */
static bool is_judged(struct vmk_file *file)
{
    enum vmk_object_kind kind = vmk_object_kind_of(vmk_file_object(file));
    return kind == VMK_OBJECT_REGULAR || kind == VMK_OBJECT_SHMEM || kind == VMK_OBJECT_ZERO;
}

/* ---- Calls for a range ---- */

static int apply_range(const struct judge *judge, vmk_addr at, uint64_t len)
{
    struct vmk_mm *mm = judge->space->mm;
    const uint64_t *a = judge->a;
    switch (judge->call->event->call) {
    case RECORD_munmap:
        return vmk_munmap(mm, &(struct vmk_munmap_request){.address = at, .len = len}, NULL);
    case RECORD_mprotect:
    case RECORD_pkey_mprotect:
        return vmk_mprotect(mm, &(struct vmk_mprotect_request){.address = at, .len = len, .prot = a[2], .pkey = -1},
                            NULL);
    case RECORD_madvise:
        return vmk_madvise(mm, &(struct vmk_madvise_request){.address = at, .len = len, .advice = (int)a[2]}, NULL);
    case RECORD_mlock:
    case RECORD_mlock2:
        return vmk_mlock(mm, &(struct vmk_mlock_request){.address = at, .len = len}, NULL);
    case RECORD_munlock:
        return vmk_munlock(mm, &(struct vmk_munlock_request){.address = at, .len = len}, NULL);
    case RECORD_msync:
        return vmk_msync(mm, &(struct vmk_msync_request){.address = at, .len = len, .flags = (uint32_t)a[2]}, NULL);
    case RECORD_mseal:
        return vmk_mseal(mm, &(struct vmk_mseal_request){.address = at, .len = len, .flags = a[2]}, NULL);
    default:
        return vmk_mincore(mm, &(struct vmk_mincore_request){.address = at, .len = len}, NULL);
    }
}

/* Only the whole larger pages of the range. */
static void apply_inside(const struct judge *judge, vmk_addr at, uint64_t len)
{
    const uint64_t mask = mask_of(judge->shadow);
    vmk_addr start = (at + mask) & ~mask, end = (at + len) & ~mask;
    if (start < end)
        apply_range(judge, start, end - start);
}

/* Would more than the range be changed in a way that can be noticed? */
static bool loses_what_is_behind(const struct judge *judge, vmk_addr end, uint64_t more)
{
    struct vmk_vma_info behind = {.size = sizeof(behind)}, inside = {.size = sizeof(inside)};
    vmk_addr cursor = end;
    enum record_call call = judge->call->event->call;
    if (call == RECORD_madvise && judge->a[2] != VMK_MADV_DONTNEED && judge->a[2] != VMK_MADV_FREE)
        return false;
    if (call != RECORD_madvise && call != RECORD_munmap && call != RECORD_mprotect && call != RECORD_pkey_mprotect)
        return false;
    if (vmk_mm_next(judge->real, &cursor, &behind) != 0 || behind.start >= end + more)
        return false;
    if (call == RECORD_munmap || call == RECORD_madvise)
        return true;
    const vmk_vm_flags access = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_EXEC;
    return vmk_mm_lookup(judge->real, end - 1, &inside) != 0 || ((inside.flags ^ behind.flags) & access) != 0;
}

/* A part of the range that lies in one piece. false: something was found, and the rest is not judged again. */
static bool judge_part(const struct judge *judge, vmk_addr start, vmk_addr end, const struct piece *piece)
{
    const uint64_t mask = mask_of(judge->shadow);
    vmk_addr at = start + piece->delta;
    uint64_t len = end - start, more = -(at + len) & mask;
    if (more > piece->end - end)
        more = piece->end - end;
    if (more != 0 && (at & mask) == 0 && loses_what_is_behind(judge, end, more)) {
        found_reach(judge);
        apply_inside(judge, at, len);
        return false;
    }
    int error = apply_range(judge, at, len);
    if (error == 0)
        return true;
    if ((at & mask) != 0 && error == -VMK_EINVAL)
        found_misaligned(judge, error, "address");
    else
        found_error(judge, error);
    apply_inside(judge, at, len);
    return false;
}

static void judge_range(const struct judge *judge)
{
    const uint64_t page = UINT64_C(1) << vmk_mm_settings(judge->real)->page_shift;
    vmk_addr at = judge->a[0], end = at + ((judge->a[1] + page - 1) & ~(page - 1));
    bool good = true;
    while (at < end) {
        struct piece piece = piece_at(judge->space, at);
        vmk_addr until = piece.end < end ? piece.end : end;
        if (!piece.unjudged && good)
            good = judge_part(judge, at, until, &piece);
        else if (!piece.unjudged)
            apply_inside(judge, at + piece.delta, until - at);
        at = until;
    }
    if (judge->call->event->call == RECORD_munmap)
        pieces_clear(judge->space, judge->a[0], end);
}

/* ---- mmap ---- */

static bool is_of_elf(const struct judge *judge, const struct vmk_mmap_request *request)
{
    return request->file != NULL && (request->flags & VMK_MAP_FIXED) != 0 && judge->call->caller.ip != 0 &&
           strncmp(base_of(caller_place_of(judge->real, judge->call->caller.ip).name), "ld-", 3) == 0;
}

static void found_segments(const struct judge *judge, const char *name)
{
    char text[512];
    snprintf(text, sizeof(text), "%s cannot be loaded: its segments are not aligned to %s", base_of(name),
             size_name(judge->shadow));
    found(judge, true, text);
}

static void found_mmap(const struct judge *judge, const struct vmk_mmap_request *request, int error)
{
    const uint64_t mask = mask_of(judge->shadow);
    const char *name = request->file != NULL ? vmk_file_name(request->file) : NULL;
    bool is_fixed = (request->flags & (VMK_MAP_FIXED | VMK_MAP_FIXED_NOREPLACE)) != 0;
    if (error == -VMK_EINVAL && is_of_elf(judge, request))
        found_segments(judge, name != NULL ? name : "a file");
    else if (error == -VMK_EINVAL && is_fixed && (request->address & mask) != 0)
        found_misaligned(judge, error, "address");
    else if (error == -VMK_EINVAL && (request->offset & mask) != 0)
        found_misaligned(judge, error, "offset");
    else
        found_error(judge, error);
}

/* The same with whole larger pages. */
static int map_rounded(const struct judge *judge, struct vmk_mmap_request request, struct vmk_result *result)
{
    const uint64_t mask = mask_of(judge->shadow);
    request.flags &= ~(uint32_t)VMK_MAP_FIXED_NOREPLACE;
    if (request.flags & VMK_MAP_FIXED) {
        request.len += request.address & mask;
        request.address &= ~mask;
    }
    request.offset &= ~mask;
    return vmk_mmap(judge->space->mm, &request, result);
}

static void map_fixed(const struct judge *judge, struct vmk_mmap_request *request, vmk_addr real, vmk_addr real_end)
{
    const uint64_t mask = mask_of(judge->shadow);
    struct piece piece = piece_at(judge->space, real);
    struct vmk_result result;
    uint64_t delta = piece.unjudged ? 0 : piece.delta;
    request->address = real + delta;
    request->flags |= VMK_MAP_FIXED;
    request->flags &= ~(uint32_t)VMK_MAP_FIXED_NOREPLACE;
    int error = vmk_mmap(judge->space->mm, request, &result);
    if (error != 0) {
        found_mmap(judge, request, error);
        map_rounded(judge, *request, &result);
    } else {
        struct vmk_vma_info behind = {.size = sizeof(behind)};
        vmk_addr cursor = real_end;
        uint64_t more = -(real_end + delta) & mask;
        if (more > piece.end - real_end)
            more = piece.end < real_end ? 0 : piece.end - real_end;
        if (more != 0 && vmk_mm_next(judge->real, &cursor, &behind) == 0 && behind.start < real_end + more)
            found_reach(judge);
    }
    if (delta == 0)
        pieces_clear(judge->space, real, real_end);
    else
        pieces_set(judge->space, (struct piece){.start = real, .end = real_end, .delta = delta});
}

static void map_placed(const struct judge *judge, struct vmk_mmap_request *request, vmk_addr real, vmk_addr real_end)
{
    struct vmk_result result;
    if (request->address != 0)
        request->address += piece_at(judge->space, request->address).delta;
    int error = vmk_mmap(judge->space->mm, request, &result);
    if (error != 0) {
        found_mmap(judge, request, error);
        error = map_rounded(judge, *request, &result);
    }
    pieces_set(judge->space, (struct piece){.start = real,
                                            .end = real_end,
                                            .delta = error == 0 ? result.value - real : 0,
                                            .unjudged = error != 0});
}

static void judge_mmap(const struct judge *judge)
{
    const uint64_t page = UINT64_C(1) << vmk_mm_settings(judge->real)->page_shift;
    vmk_addr real = (vmk_addr)judge->call->result, end = real + ((judge->a[1] + page - 1) & ~(page - 1));
    struct vmk_vma_info info = {.size = sizeof(info)};
    struct vmk_mmap_request request = {.address = judge->a[0],
                                       .len = judge->a[1],
                                       .prot = (uint32_t)judge->a[2],
                                       .flags = (uint32_t)judge->a[3],
                                       .offset = judge->a[5]};
    bool anonymous = (request.flags & VMK_MAP_ANONYMOUS) != 0;
    bool known = vmk_mm_lookup(judge->real, real, &info) == 0 && (anonymous || info.file != NULL);
    if (known && !anonymous)
        request.file = is_judged(info.file) ? file_of(judge->shadow, info.file) : NULL;
    if (!known || (request.flags & (VMK_MAP_HUGETLB | VMK_MAP_GROWSDOWN)) != 0 ||
        (!anonymous && request.file == NULL)) {
        pieces_set(judge->space, (struct piece){.start = real, .end = end, .unjudged = true});
        return;
    }
    request.flags &= ~(uint32_t)(VMK_MAP_LOCKED | VMK_MAP_POPULATE | VMK_MAP_SYNC);
    if ((request.flags & (VMK_MAP_FIXED | VMK_MAP_FIXED_NOREPLACE)) != 0)
        map_fixed(judge, &request, real, end);
    else
        map_placed(judge, &request, real, end);
}

/* ---- The other calls ---- */

static void judge_mremap(const struct judge *judge)
{
    const uint64_t *a = judge->a, page = UINT64_C(1) << vmk_mm_settings(judge->real)->page_shift;
    struct piece old = piece_at(judge->space, a[0]);
    vmk_addr real = (vmk_addr)judge->call->result;
    uint64_t old_len = (a[1] + page - 1) & ~(page - 1), new_len = (a[2] + page - 1) & ~(page - 1);
    struct vmk_mremap_request request = {
        .old_address = a[0] + old.delta, .old_len = a[1], .new_len = a[2], .flags = a[3], .new_address = a[4]};
    struct vmk_result result;
    int error = 0;
    if ((a[3] & VMK_MREMAP_FIXED) != 0)
        request.new_address += piece_at(judge->space, a[4]).delta;
    if (!old.unjudged) {
        error = vmk_mremap(judge->space->mm, &request, &result);
        if (error == -VMK_EINVAL && ((request.old_address | request.new_address) & mask_of(judge->shadow)) != 0)
            found_misaligned(judge, error, "address");
        else if (error != 0)
            found_error(judge, error);
    }
    if ((a[3] & VMK_MREMAP_DONTUNMAP) == 0)
        pieces_clear(judge->space, a[0], a[0] + old_len);
    bool lost = old.unjudged || error != 0;
    pieces_set(judge->space,
               (struct piece){
                   .start = real, .end = real + new_len, .delta = lost ? 0 : result.value - real, .unjudged = lost});
}

static void judge_brk(const struct judge *judge)
{
    const struct vmk_brk_request request = {.address = judge->a[0]};
    struct vmk_result result;
    if (request.address == 0 || (uint64_t)judge->call->result != request.address)
        return; /* asked, or refused anyway */
    vmk_brk(judge->space->mm, &request, &result);
    if (result.value != request.address)
        found(judge, false, "the break cannot move there");
}

static void judge_shmat(const struct judge *judge)
{
    enum { RND = 020000 };
    const uint64_t page = UINT64_C(1) << vmk_mm_settings(judge->real)->page_shift;
    vmk_addr real = (vmk_addr)judge->call->result;
    vmk_addr wanted = judge->a[2] == 0 ? 0 : judge->a[2] + piece_at(judge->space, judge->a[2]).delta;
    if ((wanted & mask_of(judge->shadow)) != 0 && (judge->a[3] & RND) == 0)
        found_misaligned(judge, -VMK_EINVAL, "address");
    const struct vmk_mmap_request request = {
        .len = judge->a[1], .prot = VMK_PROT_READ | VMK_PROT_WRITE, .flags = VMK_MAP_SHARED | VMK_MAP_ANONYMOUS};
    struct vmk_result result;
    bool lost = vmk_mmap(judge->space->mm, &request, &result) != 0;
    pieces_set(judge->space, (struct piece){.start = real,
                                            .end = real + ((judge->a[1] + page - 1) & ~(page - 1)),
                                            .delta = lost ? 0 : result.value - real,
                                            .unjudged = lost});
}

static void judge_shmdt(const struct judge *judge)
{
    struct piece piece = piece_at(judge->space, judge->a[0]);
    const struct vmk_munmap_request request = {.address = piece.start + piece.delta, .len = piece.end - piece.start};
    if (piece.start != judge->a[0] || piece.end == UINT64_MAX || piece.unjudged)
        return;
    vmk_munmap(judge->space->mm, &request, NULL);
    pieces_clear(judge->space, piece.start, piece.end);
}

static void judge_call(const struct judge *judge)
{
    judge->shadow->nr_judged++;
    switch (judge->call->event->call) {
    case RECORD_mmap:
        judge_mmap(judge);
        break;
    case RECORD_mremap:
        judge_mremap(judge);
        break;
    case RECORD_brk:
        judge_brk(judge);
        break;
    case RECORD_shmat:
        judge_shmat(judge);
        break;
    case RECORD_shmdt:
        judge_shmdt(judge);
        break;
    case RECORD_munmap:
    case RECORD_mprotect:
    case RECORD_pkey_mprotect:
    case RECORD_madvise:
    case RECORD_mlock:
    case RECORD_mlock2:
    case RECORD_munlock:
    case RECORD_msync:
    case RECORD_mseal:
    case RECORD_mincore:
        judge_range(judge);
        break;
    default: /* the page size does not matter to it */
        judge->shadow->nr_judged--;
    }
}

static struct space *space_of(struct shadow *shadow, const struct vmk_mm *mm)
{
    struct space *space = shadow == NULL ? NULL : idmap_get(&shadow->spaces, (uintptr_t)mm);
    return space != NULL && space->mm != NULL ? space : NULL;
}

void shadow_call(struct shadow *shadow, struct vmk_mm *mm, const struct report_call *call)
{
    uint64_t a[RECORD_ARGS_MAX];
    struct space *space = space_of(shadow, mm);
    if (space == NULL || call->event == NULL || (call->result < 0 && call->result >= -4095))
        return;
    for (size_t i = 0; i < RECORD_ARGS_MAX; i++)
        a[i] = call->event->args[i].number;
    judge_call(&(struct judge){.shadow = shadow, .space = space, .real = mm, .call = call, .a = a});
}

/* ---- Address spaces ---- */

static void space_free(struct space *space)
{
    if (space->mm != NULL)
        vmk_mm_put(space->mm);
    free(space->pieces);
    free(space);
}

static void keep_space(struct shadow *shadow, const struct vmk_mm *mm, struct space *space)
{
    struct space *before = idmap_get(&shadow->spaces, (uintptr_t)mm);
    if (before != NULL)
        space_free(before);
    if (!idmap_put(&shadow->spaces, (uintptr_t)mm, space))
        space_free(space);
}

/* An area of the image, in whole larger pages. What an area before it has taken, it does not get. */
static void import_area(struct shadow *shadow, struct space *space, const struct vmk_vma_info *info)
{
    const uint64_t mask = mask_of(shadow);
    struct vmk_vma_info before = {.size = sizeof(before)};
    struct vmk_mmap_request request = {.address = info->start & ~mask,
                                       .len = ((info->end + mask) & ~mask) - (info->start & ~mask),
                                       .flags = VMK_MAP_FIXED | VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS};
    request.prot = (uint32_t)(info->flags & (VMK_VM_READ | VMK_VM_WRITE | VMK_VM_EXEC));
    while (request.len != 0 && vmk_mm_lookup(space->mm, request.address, &before) == 0) {
        request.address += mask + 1;
        request.len -= mask + 1;
    }
    if (request.len != 0)
        vmk_mmap(space->mm, &request, NULL);
}

/* The stack grows without a call, and the areas of the kernel's own would lie right there too. */
static void leave_out(struct space *space, const struct vmk_vma_info *info, const struct vmk_rlimits *limits)
{
    uint64_t most = limits->stack.soft < GROWTH_MAX ? limits->stack.soft : GROWTH_MAX;
    vmk_addr start = info->start;
    if ((info->flags & VMK_VM_GROWSDOWN) != 0 && info->end - start < most)
        start = info->end - most;
    pieces_set(space, (struct piece){.start = start, .end = info->end, .unjudged = true});
}

/* The image that execve mapped: segments whose file is not aligned to the larger page cannot be mapped. */
static void import_image(struct shadow *shadow, struct space *space, uint64_t pid, struct vmk_mm *mm)
{
    const struct report_call exec = {.pid = pid, .name = "execve"};
    const struct judge judge = {.shadow = shadow, .space = space, .real = mm, .call = &exec};
    struct vmk_vma_info info = {.size = sizeof(info)};
    struct vmk_rlimits limits;
    vmk_addr cursor = 0;
    uint64_t said = 0;
    vmk_mm_get_rlimits(mm, &limits);
    while (vmk_mm_next(mm, &cursor, &info) == 0) {
        if (info.is_special || (info.flags & VMK_VM_GROWSDOWN) != 0) {
            leave_out(space, &info, &limits);
            continue;
        }
        if (info.file != NULL && info.object_id != said && (info.start & mask_of(shadow)) != 0) {
            const char *name = vmk_file_name(info.file);
            said = info.object_id;
            found_segments(&judge, name != NULL ? name : "the program");
        }
        import_area(shadow, space, &info);
    }
}

static struct vmk_mm *new_mm(struct shadow *shadow, struct vmk_mm *real)
{
    struct vmk_mm_options options;
    struct vmk_mm_layout layout, ours;
    struct vmk_mm *mm;
    vmk_mm_options_init(&options);
    options.capabilities = UINT32_MAX; /* limits are not judged here */
    options.personality = VMK_ADDR_NO_RANDOMIZE;
    options.rlimits.as = options.rlimits.data = options.rlimits.memlock =
        (struct vmk_rlimit){VMK_RLIM_INFINITY, VMK_RLIM_INFINITY};
    vmk_mm_get_layout(real, &layout);
    options.mmap_base = layout.mmap_base & ~mask_of(shadow);
    if (vmk_mm_create(shadow->system, &options, &mm) != 0)
        return NULL;
    vmk_mm_get_layout(mm, &ours);
    layout.mmap_base = options.mmap_base;
    layout.top_down = ours.top_down;
    vmk_mm_set_layout(mm, &layout);
    return mm;
}

void shadow_exec(struct shadow *shadow, uint64_t pid, struct vmk_mm *mm)
{
    if (shadow == NULL)
        return;
    struct space *space = calloc(1, sizeof(*space));
    if (space == NULL)
        return;
    space->mm = new_mm(shadow, mm);
    if (space->mm == NULL) {
        free(space);
        return;
    }
    import_image(shadow, space, pid, mm);
    keep_space(shadow, mm, space);
}

void shadow_fork(struct shadow *shadow, const struct vmk_mm *parent, const struct vmk_mm *child)
{
    const struct space *from = space_of(shadow, parent);
    struct space *space = from == NULL ? NULL : calloc(1, sizeof(*space));
    if (space == NULL)
        return;
    for (size_t i = 0; i < from->nr; i++)
        pieces_insert(space, i, from->pieces[i]);
    if (space->nr != from->nr || vmk_mm_fork(from->mm, &space->mm) != 0) {
        space->mm = NULL;
        space_free(space);
        return;
    }
    keep_space(shadow, child, space);
}

void shadow_end(struct shadow *shadow, const struct vmk_mm *mm)
{
    struct space *space = space_of(shadow, mm);
    if (space == NULL)
        return;
    vmk_mm_put(space->mm);
    space->mm = NULL; /* the address may come again */
    free(space->pieces);
    space->pieces = NULL;
    space->nr = space->room = 0;
}

/* ---- Life ---- */

int shadow_open(unsigned page_shift, const struct vmk_settings *settings, struct report *report, struct shadow **shadow)
{
    struct vmk_system_options options;
    struct shadow *new = calloc(1, sizeof(*new));
    if (new == NULL)
        return -VMK_ERR_HOST_NOMEM;
    vmk_system_options_init(&options, vmk_port_linux());
    options.settings = *settings;
    int error = vmk_settings_set_page_shift(&options.settings, page_shift);
    uint64_t most = options.settings.va_bits - page_shift - 4;
    if (options.settings.mmap_rnd_bits > most)
        options.settings.mmap_rnd_bits = most;
    options.sysctl.overcommit_memory = 1;
    options.sysctl.max_map_count = INT32_MAX;
    new->shift = page_shift;
    new->report = report;
    if (error == 0)
        error = vmk_system_create(&options, &new->system);
    if (error != 0) {
        free(new);
        return error;
    }
    *shadow = new;
    report_note_page_size(report, UINT64_C(1) << page_shift);
    return 0;
}

static void say_place(const struct finding *finding, FILE *out)
{
    fprintf(out, "    %s: %s", finding->call, finding->text);
    if (finding->place[0] != '\0')
        fprintf(out, ", from %s", finding->place);
    if (finding->nr > 1)
        fprintf(out, " (%" PRIu64 " times)", finding->nr);
    fputc('\n', out);
}

static size_t say_places(const struct shadow *shadow, bool of_libc, FILE *out, size_t most)
{
    size_t nr = 0;
    for (size_t i = 0; i < shadow->nr_findings; i++)
        if (shadow->findings[i].of_libc == of_libc && ++nr <= most)
            say_place(&shadow->findings[i], out);
    if (nr > most)
        fprintf(out, "    (and at %zu places more)\n", nr - most);
    return nr;
}

void shadow_summary(const struct shadow *shadow, FILE *out, size_t most)
{
    uint64_t calls = 0;
    size_t of_libc = 0;
    if (shadow == NULL)
        return;
    for (size_t i = 0; i < shadow->nr_findings; i++) {
        of_libc += shadow->findings[i].of_libc;
        calls += shadow->findings[i].of_libc ? shadow->findings[i].nr : 0;
    }
    fprintf(out, "With pages of %s: %" PRIu64 " findings in %" PRIu64 " calls judged\n", size_name(shadow),
            shadow->nr_found, shadow->nr_judged);
    if (most == 0)
        return;
    say_places(shadow, false, out, most);
    if (of_libc != 0)
        fprintf(out,
                "    (%" PRIu64 " more at %zu places of the C library, which asks for the page size and would have "
                "called otherwise)\n",
                calls, of_libc);
    if (shadow->nr_lost != 0)
        fprintf(out, "    (%" PRIu64 " more were not kept)\n", shadow->nr_lost);
}

static void free_space(void *space)
{
    space_free(space);
}
static void free_file(void *file)
{
    vmk_file_put(file);
}
static void free_object(void *object)
{
    vmk_object_put(object);
}

static void free_map(struct idmap *map, void (*end)(void *value))
{
    for (size_t i = 0; i < map->nr_slots; i++)
        if (map->slots[i].value != NULL)
            end(map->slots[i].value);
    idmap_free(map);
}

void shadow_close(struct shadow *shadow)
{
    if (shadow == NULL)
        return;
    free_map(&shadow->spaces, free_space);
    free_map(&shadow->files, free_file);
    free_map(&shadow->objects, free_object);
    vmk_system_destroy(shadow->system);
    for (size_t i = 0; i < shadow->nr_findings; i++) {
        free(shadow->findings[i].text);
        free(shadow->findings[i].place);
    }
    free(shadow->findings);
    free(shadow);
}
