/* SPDX-License-Identifier: MIT */
/*
 * Placement against a plain model: spaces of few areas around every border there is (the lowest address, the second GiB, 4 GiB,
 * where bottom-up begins, where top-down ends, the end), with stacks and reserved ranges among them, and calls whose hints and
 * lengths lie beside all of that. The model goes through candidates and knows no tree and no short way. And where the layout
 * puts those borders.
 */
#include "calls.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

enum { MAX_SPANS = 32, NR_KINDS = 8 };

enum span_kind { SPAN_AREA, SPAN_STACK, SPAN_SHADOW, SPAN_RESERVED };
struct span {
    vmk_addr start, end;
    enum span_kind kind;
};

/* A space, and what the model knows of it. */
struct place_world {
    struct vt t;
    uint64_t page, huge, guard;
    vmk_addr lowest, privileged, size, size_max, base, legacy_base, window_low, window_high;
    bool top_down, can_32bit, thp_anon, thp_file;
    struct span spans[MAX_SPANS]; /* ascending */
    size_t nr_spans;
    uint64_t seed;
};

enum file_kind { F_NONE, F_NONE_SHARED, F_PLAIN, F_THP, F_ZERO, F_ZERO_SHARED, F_HUGETLB, F_THP_SHARED };

struct place_call {
    vmk_addr hint;
    uint64_t len;
    uint32_t flags;
    enum file_kind kind;
    uint64_t pgoff;
};

static uint64_t random_below(struct place_world *w, uint64_t n)
{
    w->seed = w->seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (w->seed >> 33) % n;
}

/* ---- The model ---- */

static uint64_t up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* What [start, end) shares a byte with: the lowest span of areas, or of reserved ranges. NULL: nothing. */
static const struct span *model_in(const struct place_world *w, vmk_addr start, vmk_addr end, bool reserved)
{
    for (size_t i = 0; i < w->nr_spans; i++)
        if ((w->spans[i].kind == SPAN_RESERVED) == reserved && w->spans[i].start < end && w->spans[i].end > start)
            return &w->spans[i];
    return NULL;
}

/* The first area that ends above an address. */
static const struct span *model_above(const struct place_world *w, vmk_addr address)
{
    return model_in(w, address, UINT64_MAX, false);
}

static vmk_addr model_guarded_start(const struct place_world *w, const struct span *span)
{
    uint64_t gap = span->kind == SPAN_STACK ? w->guard : span->kind == SPAN_SHADOW ? w->page : 0;

    return span->start > gap ? span->start - gap : 0;
}

static bool model_fits(const struct place_world *w, vmk_addr at, uint64_t room, vmk_addr low, vmk_addr high)
{
    return at >= low && at <= high && high - at >= room && model_in(w, at, at + room, false) == NULL;
}

/* The highest place between areas: it ends at the limit or where an area begins. */
static bool model_highest_hole(const struct place_world *w, vmk_addr low, vmk_addr high, uint64_t room, vmk_addr *at)
{
    bool found = high >= room && model_fits(w, high - room, room, low, high);

    *at = high - room;
    for (size_t i = w->nr_spans; i-- > 0 && !found;) {
        const struct span *span = &w->spans[i];

        *at = span->start - room;
        found = span->kind != SPAN_RESERVED && span->start >= room && model_fits(w, *at, room, low, high);
    }
    return found;
}

static bool model_lowest_hole(const struct place_world *w, vmk_addr low, vmk_addr high, uint64_t room, vmk_addr *at)
{
    bool found = model_fits(w, low, room, low, high);

    *at = low;
    for (size_t i = 0; i < w->nr_spans && !found; i++) {
        *at = w->spans[i].end;
        found = w->spans[i].kind != SPAN_RESERVED && model_fits(w, *at, room, low, high);
    }
    return found;
}

/* With guard gaps and reserved ranges: what is in the way moves the limit, and the search begins again. */
static bool model_highest(const struct place_world *w, vmk_addr low, vmk_addr high, uint64_t len, uint64_t align,
                          vmk_addr *found)
{
    uint64_t room = len + align - w->page;
    vmk_addr at;

    low = low > w->lowest ? low : w->lowest;
    while (model_highest_hole(w, low, high, room, &at)) {
        const struct span *reserved = model_in(w, at, at + room, true), *above = model_above(w, at);

        if (reserved != NULL) {
            high = reserved->start;
        } else if (above != NULL && model_guarded_start(w, above) < at + room) {
            high = model_guarded_start(w, above);
        } else {
            *found = (at + room - len) / align * align;
            return true;
        }
    }
    return false;
}

static bool model_lowest(const struct place_world *w, vmk_addr low, vmk_addr high, uint64_t len, uint64_t align,
                         vmk_addr *found)
{
    uint64_t room = len + align - w->page;
    vmk_addr at;

    low = low > w->lowest ? low : w->lowest;
    while (model_lowest_hole(w, low, high, room, &at)) {
        const struct span *reserved = model_in(w, at, at + room, true), *above = model_above(w, at);

        if (reserved != NULL) {
            low = reserved->end;
        } else if (above != NULL && model_guarded_start(w, above) < up(at, align) + room) {
            low = above->end;
        } else {
            *found = up(at, align);
            return true;
        }
    }
    return false;
}

static bool model_is_free(const struct place_world *w, vmk_addr at, uint64_t len)
{
    const struct span *above = model_above(w, at);

    return model_in(w, at, at + len, true) == NULL && (above == NULL || at + len <= model_guarded_start(w, above));
}

static bool model_32bit(const struct place_world *w, const struct place_call *call)
{
    return w->can_32bit && (call->flags & VMK_MAP_32BIT) != 0;
}

static bool model_bottom_up(const struct place_world *w, const struct place_call *call, uint64_t len, vmk_addr *at)
{
    vmk_addr hint = up(call->hint, w->page), low = w->legacy_base, high = call->hint > w->size ? w->size_max : w->size;

    if (w->window_high != 0) {
        low = w->window_low;
        high = w->window_high;
    }
    if (model_32bit(w, call)) {
        low = GIB;
        high = 2 * GIB;
    }
    if (len > high)
        return false;
    *at = hint;
    if (call->hint != 0 && hint + len <= high && hint + len >= hint && model_is_free(w, hint, len))
        return true;
    return model_lowest(w, low, high, len, w->page, at);
}

static bool model_top_down(const struct place_world *w, const struct place_call *call, uint64_t len, vmk_addr *at)
{
    vmk_addr hint = call->hint / w->page * w->page, low = w->page, high = w->base;

    if (model_32bit(w, call))
        return model_bottom_up(w, call, len, at);
    *at = hint;
    if (hint != 0 && hint <= w->size_max - len && (hint + len <= w->size || hint > w->size) &&
        model_is_free(w, hint, len))
        return true;
    if (w->window_high != 0) {
        low = w->window_low;
        high = w->window_high;
    } else if (w->can_32bit && (call->flags & VMK_MAP_ABOVE4G) != 0) {
        low = 4 * GIB;
    }
    if (hint > w->size)
        high += w->size_max - w->size;
    return model_highest(w, low, high, len, w->page, at) || model_bottom_up(w, call, len, at);
}

static bool model_plain(const struct place_world *w, const struct place_call *call, uint64_t len, vmk_addr *at)
{
    if (len > w->size_max)
        return false;
    *at = call->hint;
    if ((call->flags & VMK_MAP_FIXED) != 0)
        return true;
    return w->top_down ? model_top_down(w, call, len, at) : model_bottom_up(w, call, len, at);
}

/* A huge page's worth of room more, and the start moved up in it; false where the plain search is to decide. */
static bool model_huge(const struct place_world *w, const struct place_call *call, vmk_addr *at)
{
    bool is_anon = call->kind == F_NONE || call->kind == F_NONE_SHARED;
    uint64_t offset = is_anon ? 0 : call->pgoff * w->page, first = up(offset, w->huge);

    if (call->kind == F_NONE ? !w->thp_anon || call->hint != 0 || call->len % w->huge != 0 : !w->thp_file)
        return false;
    if (call->kind == F_NONE_SHARED || call->kind == F_PLAIN || call->kind == F_ZERO_SHARED)
        return false;
    if ((int64_t)(offset + call->len) < (int64_t)(first + w->huge))
        return false;
    if (!model_plain(w, call, call->len + w->huge, at))
        return false;
    if (call->hint != 0 && *at == call->hint)
        return true;
    if (*at % w->huge == offset % w->huge)
        *at += w->top_down ? w->huge : 0;
    else
        *at += (offset - *at) % w->huge;
    return true;
}

static int model_hugetlb(const struct place_world *w, const struct place_call *call, vmk_addr *at)
{
    vmk_addr hint = up(call->hint, w->huge);

    if (call->len % w->huge != 0)
        return -VMK_EINVAL;
    *at = call->hint;
    if ((call->flags & VMK_MAP_FIXED) != 0)
        return call->hint % w->huge == 0 ? 0 : -VMK_EINVAL;
    *at = hint;
    if (hint != 0 && hint <= w->size_max - call->len && model_is_free(w, hint, call->len))
        return 0;
    return (w->top_down && model_highest(w, w->page, w->base, call->len, w->huge, at)) ||
                   model_lowest(w, w->legacy_base, w->size, call->len, w->huge, at)
               ? 0
               : -VMK_ENOMEM;
}

/* What the call is to return: the address, or a negative error. */
static int64_t model_place(const struct place_world *w, const struct place_call *call)
{
    bool is_fixed = (call->flags & VMK_MAP_FIXED) != 0;
    vmk_addr at;
    int error = 0;

    if (call->len > w->size_max)
        return -VMK_ENOMEM;
    if (call->kind == F_HUGETLB)
        error = model_hugetlb(w, call, &at);
    else if ((is_fixed || !model_huge(w, call, &at)) && !model_plain(w, call, call->len, &at))
        error = -VMK_ENOMEM;
    if (error != 0)
        return error;
    if (at > UINT64_MAX - 4095)
        return (int64_t)at;
    if (at > w->size_max - call->len)
        return -VMK_ENOMEM;
    if (at % w->page != 0)
        return -VMK_EINVAL;
    return at < w->privileged ? -VMK_EPERM : (int64_t)at;
}

/* ---- The engine ---- */

static int64_t engine_place(struct place_world *w, const struct place_call *call)
{
    static const int file_of[NR_KINDS] = {-1, -1, 0, 1, 2, 2, 3, 1};
    bool shared = call->kind == F_NONE_SHARED || call->kind == F_ZERO_SHARED || call->kind == F_THP_SHARED;
    uint32_t flags = call->flags | (shared ? VMK_MAP_SHARED : VMK_MAP_PRIVATE);
    struct vmk_file *file = file_of[call->kind] < 0 ? NULL : w->t.files[file_of[call->kind]];
    vmk_addr at = 0x1234567;
    int error = vmk_mm_unmapped_area(w->t.mm, call->hint, call->len, flags, file, call->pgoff, &at);

    return error != 0 ? error : (int64_t)at;
}

/* ---- Worlds ---- */

/* Puts a span in, if its place is free and within what may be mapped. */
static void add_span(struct place_world *w, vmk_addr start, uint64_t len, enum span_kind kind)
{
    static const vmk_vm_flags flags[] = {0, VMK_VM_GROWSDOWN, VMK_VM_SHADOW_STACK};
    size_t i = w->nr_spans;

    start = start / w->page * w->page;
    if (i == MAX_SPANS || start < w->privileged || start >= w->size_max || w->size_max - start < len ||
        model_in(w, start, start + len, false) != NULL || model_in(w, start, start + len, true) != NULL)
        return;
    if (kind == SPAN_RESERVED) {
        assert_ret(vmk_mm_reserve_range(w->t.mm, start, start + len), 0);
    } else {
        const struct vmk_import_area area = {
            .start = start, .end = start + len, .flags = VMK_VM_READ | VMK_VM_WRITE | VMK_VM_MAY_ACCESS | flags[kind]};

        assert_ret(vmk_mm_import(w->t.mm, &area), 0);
    }
    for (; i > 0 && w->spans[i - 1].start > start; i--)
        w->spans[i] = w->spans[i - 1];
    w->spans[i] = (struct span){start, start + len, kind};
    w->nr_spans++;
}

static vmk_addr random_border(struct place_world *w)
{
    const vmk_addr borders[] = {w->lowest, GIB,     2 * GIB,       4 * GIB,       w->legacy_base,
                                w->base,   w->size, w->size_max,   w->window_low, w->window_high,
                                GIB << 15, 8 * GIB, w->base - GIB, w->privileged};

    return borders[random_below(w, sizeof(borders) / sizeof(borders[0]))];
}

static uint64_t random_len(struct place_world *w)
{
    const uint64_t lens[] = {w->page,          w->page,           2 * w->page,       3 * w->page, w->guard,
                             w->huge,          w->huge,           w->huge + w->page, 2 * w->huge, GIB,
                             GIB << 16,        w->size - w->base, w->size,           w->size_max, w->size_max - w->huge,
                             w->huge - w->page};

    return lens[random_below(w, sizeof(lens) / sizeof(lens[0]))];
}

static void add_random_spans(struct place_world *w)
{
    if (random_below(w, 3) == 0) /* no room in the middle */
        add_span(w, random_below(w, 2) == 0 ? w->legacy_base : 4 * GIB, w->base - w->legacy_base, SPAN_AREA);
    if (random_below(w, 3) == 0)
        add_span(w, w->lowest, w->base - w->lowest - random_below(w, 3) * w->huge, SPAN_AREA);
    for (unsigned i = 0; i < 24; i++) {
        static const uint64_t longest[] = {4, 4, 4, 300, 1 << 18, 1 << 22};
        uint64_t len = (1 + random_below(w, longest[random_below(w, 6)])) * w->page;
        vmk_addr from = random_border(w);
        enum span_kind kind = (enum span_kind)(random_below(w, 2) == 0 ? 0 : random_below(w, 4));

        if (w->nr_spans > 0 && random_below(w, 2) == 0)
            from = w->spans[random_below(w, w->nr_spans)].end + random_below(w, 4) * w->page;
        if (random_below(w, 2) == 0)
            from += random_below(w, 600) * w->page;
        add_span(w, random_below(w, 3) == 0 ? from - len : from, len, kind);
    }
}

/* Which space of the table below. */
struct place_case {
    enum vmk_arch arch;
    unsigned page_shift, wide;
    bool compat, window, no_thp, odd_lowest, no_32bit;
};

static void open_world(struct place_world *w, const struct place_case *kind, uint64_t seed)
{
    struct vmk_settings *settings = &w->t.system_options.settings;
    struct vmk_mm_layout layout;

    memset(w, 0, sizeof(*w));
    w->seed = seed;
    vt_init(&w->t);
    vmk_settings_init(settings, VMK_LINUX_VERSION(6, 18), kind->arch);
    assert_ret(vmk_settings_set_page_shift(settings, kind->page_shift), 0);
    if (kind->wide != 0)
        settings->va_bits_wide = kind->wide;
    if (kind->no_thp)
        settings->thp_align_anon = settings->thp_align_file = 0;
    if (kind->no_32bit)
        settings->map_32bit = 0;
    if (kind->odd_lowest) {
        settings->mmap_min_addr = UINT64_C(3) << kind->page_shift;
        settings->lsm_min_addr = UINT64_C(40) << kind->page_shift;
        settings->stack_guard_gap = 5;
    }
    if (kind->compat)
        w->t.mm_options.personality |= VMK_ADDR_COMPAT_LAYOUT;
    if (kind->window) {
        w->t.mm_options.window_low = 6 * GIB;
        w->t.mm_options.window_high = 6 * GIB + 8 * MIB;
    }
    w->t.mm_options.capabilities = 0;
    vt_open(&w->t);
    vmk_mm_get_layout(w->t.mm, &layout);
    w->page = UINT64_C(1) << settings->page_shift;
    w->huge = UINT64_C(1) << settings->pmd_shift;
    w->guard = settings->stack_guard_gap * w->page;
    w->privileged = settings->mmap_min_addr;
    w->lowest = settings->mmap_min_addr > settings->lsm_min_addr ? settings->mmap_min_addr : settings->lsm_min_addr;
    w->size = (UINT64_C(1) << settings->va_bits) - (kind->arch == VMK_ARCH_X86_64 ? w->page : 0);
    w->size_max = (UINT64_C(1) << settings->va_bits_wide) - (kind->arch == VMK_ARCH_X86_64 ? w->page : 0);
    w->base = layout.mmap_base;
    w->legacy_base = layout.mmap_legacy_base;
    w->top_down = layout.top_down;
    w->window_low = w->t.mm_options.window_low;
    w->window_high = w->t.mm_options.window_high;
    w->can_32bit = kind->arch == VMK_ARCH_X86_64 && !kind->no_32bit;
    w->thp_anon = w->thp_file = !kind->no_thp;
    assert_int_equal(w->top_down, !kind->compat);
    vt_file(&w->t, 1);
    vt_file_mode(&w->t, 2, VMK_OBJECT_REGULAR, VMK_FILE_READ | VMK_FILE_THP_ALIGN, 0);
    vt_file_kind(&w->t, 3, VMK_OBJECT_ZERO, 0);
    const struct vmk_object_options object_options = {.size = sizeof(object_options),
                                                      .kind = VMK_OBJECT_HUGETLB,
                                                      .id = 4,
                                                      .nr_bytes = GIB,
                                                      .huge_shift = (uint8_t)settings->pmd_shift};
    struct vmk_file_options file_options = {.size = sizeof(file_options), .mode = VMK_FILE_READ, .name = "/h", .id = 4};
    assert_ret(vmk_object_create(w->t.system, &object_options, &file_options.object), 0);
    assert_ret(vmk_file_create(w->t.system, &file_options, &w->t.files[3]), 0);
    vmk_object_put(file_options.object);
}

static struct place_call random_call(struct place_world *w)
{
    static const uint32_t flags[] = {0, 0, 0, VMK_MAP_32BIT, VMK_MAP_ABOVE4G, VMK_MAP_FIXED};
    const uint64_t offsets[] = {0, 1, w->huge / w->page, w->huge / w->page - 1, (UINT64_C(1) << 63) / w->page - 2};
    struct place_call call = {.len = random_len(w),
                              .flags = flags[random_below(w, 6)],
                              .kind = (enum file_kind)random_below(w, NR_KINDS),
                              .pgoff = offsets[random_below(w, 5)]};

    switch (random_below(w, 5)) {
    case 0:
        break;
    case 1:
        call.hint = random_border(w) + (random_below(w, 5) - 2) * w->page;
        break;
    case 2:
        call.hint = random_border(w) - call.len + (random_below(w, 5) - 2) * w->page;
        break;
    default: /* beside something that is there */
        call.hint = w->nr_spans == 0 ? w->page : w->spans[random_below(w, w->nr_spans)].start;
        call.hint += (random_below(w, 11) - 5) * w->page;
        call.hint -= random_below(w, 2) * call.len + random_below(w, 3) / 2 * w->guard;
    }
    if (random_below(w, 8) == 0)
        call.hint += 1 + random_below(w, w->page - 1);
    return call;
}

static void show_world(const struct place_world *w)
{
    static const char *const kinds[] = {"area", "stack", "shadow stack", "reserved"};

    print_error("base %llx legacy %llx size %llx max %llx lowest %llx window %llx-%llx\n", (unsigned long long)w->base,
                (unsigned long long)w->legacy_base, (unsigned long long)w->size, (unsigned long long)w->size_max,
                (unsigned long long)w->lowest, (unsigned long long)w->window_low, (unsigned long long)w->window_high);
    for (size_t i = 0; i < w->nr_spans; i++)
        print_error("%llx-%llx %s\n", (unsigned long long)w->spans[i].start, (unsigned long long)w->spans[i].end,
                    kinds[w->spans[i].kind]);
}

static void check_calls(struct place_world *w, unsigned nr)
{
    while (nr-- > 0) {
        const struct place_call call = random_call(w);
        int64_t is = engine_place(w, &call), wanted = model_place(w, &call);

        if (is == wanted)
            continue;
        show_world(w);
        fail_msg("hint %llx len %llx flags %x kind %d pgoff %llx gives %llx, not %llx", (unsigned long long)call.hint,
                 (unsigned long long)call.len, call.flags, call.kind, (unsigned long long)call.pgoff,
                 (unsigned long long)is, (unsigned long long)wanted);
    }
}

/* The two searches as callers have them, between borders of their own. */
static void check_searches(struct place_world *w, unsigned nr)
{
    while (nr-- > 0) {
        vmk_addr low = random_border(w), high = random_border(w), is = 1, wanted = 1;
        uint64_t len = random_len(w);

        if (w->nr_spans > 0 && random_below(w, 2) == 0)
            low = w->spans[random_below(w, w->nr_spans)].start - random_below(w, 5) * w->page;
        if (w->nr_spans > 0 && random_below(w, 2) == 0)
            high = w->spans[random_below(w, w->nr_spans)].end + random_below(w, 5) * w->page;
        bool found = vmk_mm_gap_highest(w->t.mm, low, high, len - random_below(w, w->page), &is) == 0;
        assert_int_equal(found, model_highest(w, low, high, len, w->page, &wanted));
        if (found)
            assert_int_equal(is, wanted);
        found = vmk_mm_gap_lowest(w->t.mm, low, high, len - random_below(w, w->page), &is) == 0;
        assert_int_equal(found, model_lowest(w, low, high, len, w->page, &wanted));
        if (found)
            assert_int_equal(is, wanted);
    }
}

static void test_against_model(void **state)
{
    static const struct place_case cases[] = {
        {.arch = VMK_ARCH_X86_64, .page_shift = 12},
        {.arch = VMK_ARCH_X86_64, .page_shift = 12, .compat = true},
        {.arch = VMK_ARCH_X86_64, .page_shift = 12, .wide = 56},
        {.arch = VMK_ARCH_X86_64, .page_shift = 12, .wide = 56, .compat = true, .odd_lowest = true},
        {.arch = VMK_ARCH_X86_64, .page_shift = 12, .window = true},
        {.arch = VMK_ARCH_X86_64, .page_shift = 12, .window = true, .compat = true},
        {.arch = VMK_ARCH_X86_64, .page_shift = 12, .no_thp = true, .odd_lowest = true},
        {.arch = VMK_ARCH_X86_64, .page_shift = 12, .no_32bit = true},
        {.arch = VMK_ARCH_ARM64, .page_shift = 12},
        {.arch = VMK_ARCH_ARM64, .page_shift = 14, .odd_lowest = true},
        {.arch = VMK_ARCH_ARM64, .page_shift = 16, .compat = true},
    };
    static struct place_world w;

    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++)
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            open_world(&w, &cases[i], seed * 100 + i);
            if (seed > 1)
                add_random_spans(&w);
            vt_validate(&w.t);
            check_calls(&w, 2000);
            check_searches(&w, 500);
            vt_teardown(&w.t);
        }
}

/* ---- Layouts ---- */

/* splitmix64, as its authors publish it. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Seed 1234567 gives these numbers everywhere. */
static void test_random_numbers(void **state)
{
    static const uint64_t wanted[] = {UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),
                                      UINT64_C(9817491932198370423), UINT64_C(4593380528125082431)};
    struct vt t;

    (void)state;
    vt_setup(&t);
    t.mm->seed = 1234567;
    for (size_t i = 0; i < 4; i++)
        assert_true(vmki_mm_random(t.mm) == wanted[i]);
    vt_teardown(&t);
}

/* Where mmap begins, from the limit of the stack, the guard gap, the settings and the seed. */
static void check_layout(struct vt *t, uint64_t task_size)
{
    const struct vmk_settings *settings = vmk_mm_settings(t->mm);
    const struct vmk_mm_options *options = &t->mm_options;
    bool randomize = (options->personality & VMK_ADDR_NO_RANDOMIZE) == 0;
    uint64_t page = UINT64_C(1) << settings->page_shift, gap = options->rlimits.stack.soft, seed = options->seed;
    uint64_t pad = settings->stack_guard_gap * page, most = task_size / 6 * 5, random = 0;
    uint64_t legacy = task_size / (settings->arch == VMK_ARCH_ARM64 ? 4 : 3);
    bool unlimited = gap == VMK_RLIM_INFINITY;
    struct vmk_mm_layout layout;

    if (randomize) {
        pad += settings->stack_rnd_pages * page;
        random = next_random(&seed) % (UINT64_C(1) << settings->mmap_rnd_bits) * page;
    }
    if (gap <= UINT64_MAX - pad)
        gap += pad;
    gap = gap < 128 * MIB ? 128 * MIB : gap > most ? most : gap;
    vmk_mm_get_layout(t->mm, &layout);
    assert_int_equal(layout.mmap_base, up(task_size - gap - random, page));
    assert_int_equal(layout.mmap_legacy_base, up(legacy, page) + random);
    assert_int_equal(layout.task_size, task_size);
    assert_int_equal(layout.top_down, (options->personality & VMK_ADDR_COMPAT_LAYOUT) == 0 &&
                                          t->system_options.sysctl.legacy_va_layout == 0 &&
                                          (!unlimited || settings->unlimited_stack_legacy == 0));
}

static void test_layouts(void **state)
{
    static const uint64_t stacks[] = {0,
                                      8 * MIB,
                                      127 * MIB - 4096,
                                      127 * MIB,
                                      127 * MIB + 4096,
                                      GIB + 1,
                                      UINT64_C(0x7ffffffff000) / 6 * 5 - MIB,
                                      UINT64_C(0x7ffffffff000) / 6 * 5 - MIB + 4096,
                                      UINT64_MAX - MIB,
                                      UINT64_MAX - 16 * GIB,
                                      UINT64_MAX - 1,
                                      VMK_RLIM_INFINITY};
    static const uint32_t personalities[] = {0, VMK_ADDR_NO_RANDOMIZE, VMK_ADDR_COMPAT_LAYOUT,
                                             VMK_ADDR_NO_RANDOMIZE | VMK_ADDR_COMPAT_LAYOUT};
    struct vt t;

    (void)state;
    for (unsigned i = 0; i < 12 * 4 * 2 * 4; i++) {
        enum vmk_arch arch = i % 2 == 0 ? VMK_ARCH_X86_64 : VMK_ARCH_ARM64;
        struct vmk_settings *settings = &t.system_options.settings;

        vt_init(&t);
        vmk_settings_init(settings, VMK_LINUX_VERSION(6, 18), arch);
        assert_ret(vmk_settings_set_page_shift(settings, arch == VMK_ARCH_ARM64 && i % 3 == 0 ? 16 : 12), 0);
        settings->stack_guard_gap = i % 5 == 0 ? 0 : 256;
        settings->mmap_rnd_bits = i % 7 == 0 ? 0 : i % 7 == 1 ? 1 : settings->mmap_rnd_bits;
        t.system_options.sysctl.legacy_va_layout = i / 2 % 4 == 3;
        t.mm_options.seed = i;
        t.mm_options.personality = personalities[i / 8 % 4];
        t.mm_options.rlimits.stack.soft = stacks[i / 32 % 12];
        vt_open(&t);
        check_layout(&t, arch == VMK_ARCH_ARM64 ? UINT64_C(1) << 48 : UINT64_C(0x7ffffffff000));
        vt_teardown(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_random_numbers),
        cmocka_unit_test(test_layouts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
