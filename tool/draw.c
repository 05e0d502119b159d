/* SPDX-License-Identifier: MIT */
#include "draw.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR_WIDTH = 12, DEFAULT_WIDTH = 100, LEAST_WIDTH = 80 };

/* ---- Kinds ---- */

static const struct {
    const char *name, *color;
} kinds[DRAW_KINDS] = {
    [DRAW_TEXT] = {"text", "\033[32m"},           [DRAW_DATA] = {"data", "\033[33m"},
    [DRAW_HEAP] = {"heap", "\033[35m"},           [DRAW_STACK] = {"stack", "\033[31m"},
    [DRAW_ANONYMOUS] = {"anonymous", "\033[36m"}, [DRAW_FILE] = {"file", "\033[34m"},
    [DRAW_SHARED] = {"shared", "\033[1;34m"},     [DRAW_SPECIAL] = {"special", "\033[90m"},
};

const char *draw_kind_name(enum draw_kind kind)
{
    return kinds[kind].name;
}

static bool is_of_file(const struct kview_area *area)
{
    return area->inode != 0 || area->dev_major != 0 || area->dev_minor != 0 || area->name[0] == '/';
}

enum draw_kind draw_kind_of(const struct kview_area *area)
{
    const char *name = area->name;

    if (strcmp(name, "[heap]") == 0)
        return DRAW_HEAP;
    if (strncmp(name, "[stack", 6) == 0 || (area->flags & VMK_VM_GROWSDOWN) != 0)
        return DRAW_STACK;
    if (name[0] == '[' && strncmp(name, "[anon", 5) != 0)
        return DRAW_SPECIAL;
    if (area->perms[3] == 's')
        return DRAW_SHARED;
    if (!is_of_file(area))
        return DRAW_ANONYMOUS;
    if (area->perms[2] == 'x')
        return DRAW_TEXT;
    return area->perms[1] == 'w' ? DRAW_DATA : DRAW_FILE;
}

/* ---- What changed ---- */

static bool same_area(const struct kview_area *a, const struct kview_area *b)
{
    return a->start == b->start && a->end == b->end && a->flags == b->flags && a->offset == b->offset &&
           memcmp(a->perms, b->perms, 4) == 0 && a->inode == b->inode && strcmp(a->name, b->name) == 0;
}

/* The first area that ends above an address; nr_areas for none. */
static size_t find_area(const struct kview *view, vmk_addr address)
{
    size_t low = 0, high = view->nr_areas;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (view->areas[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* ' ' the same in `other`, '~' something else is there, `alone` nothing is. */
static char mark_of(const struct kview_area *area, const struct kview *other, char alone)
{
    if (other == NULL)
        return ' ';
    size_t i = find_area(other, area->start);
    if (i == other->nr_areas || other->areas[i].start >= area->end)
        return alone;
    return same_area(area, &other->areas[i]) ? ' ' : '~';
}

void draw_sum(const struct kview *view, const struct kview *before, struct draw_summary *summary)
{
    memset(summary, 0, sizeof(*summary));
    for (size_t i = 0; i < view->nr_areas; i++) {
        const struct kview_area *area = &view->areas[i];
        enum draw_kind kind = draw_kind_of(area);
        summary->kinds[kind].nr_areas++;
        summary->kinds[kind].nr_bytes += area->end - area->start;
        summary->nr_bytes += area->end - area->start;
        summary->anonymous_kb += area->anonymous_kb;
        char mark = mark_of(area, before, '+');
        summary->new += mark == '+';
        summary->changed += mark == '~';
        if (i == 0 || view->areas[i - 1].end == area->start)
            continue;
        uint64_t gap = area->start - view->areas[i - 1].end;
        summary->nr_gaps++;
        summary->free += gap;
        if (gap > summary->largest_gap) {
            summary->largest_gap = gap;
            summary->largest_at = view->areas[i - 1].end;
        }
    }
    for (size_t i = 0; before != NULL && i < before->nr_areas; i++)
        summary->gone += mark_of(&before->areas[i], view, '-') == '-';
    if (view->nr_areas != 0)
        summary->span = view->areas[view->nr_areas - 1].end - view->areas[0].start;
}

/* ---- Words and numbers ---- */

void draw_size(uint64_t nr_bytes, char text[16])
{
    static const char units[] = "KMGTPE";
    double value = (double)nr_bytes / 1024;
    size_t unit = 0;

    while (value >= 1024 && unit < 5) {
        value /= 1024;
        unit++;
    }
    bool whole = value >= 100 || value == (double)(uint64_t)value;
    snprintf(text, 16, whole ? "%.0f%c" : "%.1f%c", value, units[unit]);
}

bool draw_is_color_word(const char *when)
{
    return strcmp(when, "auto") == 0 || strcmp(when, "always") == 0 || strcmp(when, "never") == 0;
}

bool draw_wants_color(const char *when, FILE *out)
{
    if (strcmp(when, "auto") != 0)
        return strcmp(when, "always") == 0;
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fileno(out)) == 1 && (no_color == NULL || *no_color == '\0') &&
           (term == NULL || strcmp(term, "dumb") != 0);
}

static unsigned width_of(const struct draw_options *options, FILE *out)
{
    struct winsize size;
    unsigned width = options->width;

    if (width == 0)
        width = ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col != 0 ? size.ws_col : DEFAULT_WIDTH;
    return width < LEAST_WIDTH ? LEAST_WIDTH : width;
}

/* One '#' for 4 KiB and one more for each further factor of 8: what is small stays visible beside what is huge. */
static void format_bar(uint64_t nr_bytes, char bar[BAR_WIDTH + 1])
{
    size_t len = 1;

    for (uint64_t size = nr_bytes >> 12; size >= 8 && len < BAR_WIDTH; size >>= 3)
        len++;
    memset(bar, '#', len);
    memset(bar + len, ' ', BAR_WIDTH - len);
    bar[BAR_WIDTH] = '\0';
}

/* A name cut in front to its room; what a terminal would obey is not let through. */
static void print_name(FILE *out, const char *name, size_t room)
{
    size_t len = strlen(name);

    if (len > room && room > 2) {
        fputs("..", out);
        name += len - (room - 2);
    }
    for (; *name != '\0'; name++)
        putc((unsigned char)*name < 0x20 || *name == 0x7f ? '?' : *name, out);
}

/* ---- Lines ---- */

struct drawing {
    FILE *out;
    const struct draw_options *options;
    unsigned width;
    int digits; /* of an address */
};

static void start_color(const struct drawing *drawing, const char *color)
{
    if (drawing->options->color)
        fputs(color, drawing->out);
}

static void end_color(const struct drawing *drawing)
{
    start_color(drawing, "\033[0m");
}

static const char *mark_color(char mark)
{
    return mark == '+' ? "\033[1;32m" : mark == '-' ? "\033[1;31m" : mark == '~' ? "\033[1;33m" : "";
}

static void draw_area(const struct drawing *drawing, const struct kview_area *area, char mark)
{
    enum draw_kind kind = draw_kind_of(area);
    char size[16], bar[BAR_WIDTH + 1];
    FILE *out = drawing->out;

    draw_size(area->end - area->start, size);
    format_bar(area->end - area->start, bar);
    if (drawing->options->before != NULL) {
        start_color(drawing, mark_color(mark));
        fprintf(out, "%c ", mark);
        end_color(drawing);
    }
    int used = fprintf(out, "%0*" PRIx64 "-%0*" PRIx64 " %7s %s ", drawing->digits, area->start, drawing->digits,
                       area->end, size, area->perms);
    start_color(drawing, kinds[kind].color);
    used += fprintf(out, "%s %-9s ", bar, kinds[kind].name);
    end_color(drawing);
    used += drawing->options->before != NULL ? 2 : 0;
    print_name(out, area->name, drawing->width > (unsigned)used ? drawing->width - (unsigned)used : 0);
    putc('\n', out);
}

static void draw_gap(const struct drawing *drawing, uint64_t nr_bytes)
{
    char size[16];

    draw_size(nr_bytes, size);
    start_color(drawing, "\033[90m");
    fprintf(drawing->out, "%s%*s%7s free", drawing->options->before != NULL ? "  " : "", 2 * drawing->digits + 2, "",
            size);
    end_color(drawing);
    putc('\n', drawing->out);
}

static int digits_of(const struct kview *view, const struct kview *before)
{
    vmk_addr highest = view->nr_areas == 0 ? 0 : view->areas[view->nr_areas - 1].end;
    int digits = 8;

    if (before != NULL && before->nr_areas != 0 && before->areas[before->nr_areas - 1].end > highest)
        highest = before->areas[before->nr_areas - 1].end;
    while (digits < 16 && highest >> (4 * digits) != 0)
        digits++;
    return digits;
}

void draw_map(FILE *out, const struct kview *view, const struct draw_options *options)
{
    const struct kview *before = options->before;
    struct drawing drawing = {out, options, width_of(options, out), digits_of(view, before)};
    size_t j = 0;
    vmk_addr end = 0; /* of what has been drawn */

    for (size_t i = 0; i <= view->nr_areas; i++) {
        const struct kview_area *area = i < view->nr_areas ? &view->areas[i] : NULL;
        for (; before != NULL && j < before->nr_areas; j++) {
            const struct kview_area *old = &before->areas[j];
            if (area != NULL && old->start >= area->start)
                break;
            if (mark_of(old, view, '-') == '-') {
                draw_area(&drawing, old, '-');
                end = old->end;
            }
        }
        if (area == NULL)
            break;
        if (end != 0 && area->start > end)
            draw_gap(&drawing, area->start - end);
        draw_area(&drawing, area, mark_of(area, before, '+'));
        end = area->end;
    }
}

/* ---- The sums below ---- */

void draw_summary(FILE *out, const struct kview *view, const struct draw_options *options, uint64_t max_map_count)
{
    struct drawing drawing = {out, options, 0, 0};
    struct draw_summary sum;
    char size[16], largest[16], span[16];

    draw_sum(view, options->before, &sum);
    for (size_t i = 0; i < DRAW_KINDS; i++) {
        if (sum.kinds[i].nr_areas == 0)
            continue;
        draw_size(sum.kinds[i].nr_bytes, size);
        start_color(&drawing, kinds[i].color);
        fprintf(out, "%-10s", kinds[i].name);
        end_color(&drawing);
        fprintf(out, "%6zu areas %8s\n", sum.kinds[i].nr_areas, size);
    }
    draw_size(sum.nr_bytes, size);
    fprintf(out, "%-10s%6zu areas %8s", "all", view->nr_areas, size);
    if (view->has & KVIEW_FLAGS) {
        draw_size(sum.anonymous_kb << 10, size);
        fprintf(out, ", %s of it private pages", size);
    }
    draw_size(sum.largest_gap, largest);
    draw_size(sum.free, size);
    draw_size(sum.span, span);
    fprintf(out, "\ngaps      %6zu, the largest %s at %" PRIx64 "; %s of %s between first and last area are free\n",
            sum.nr_gaps, largest, sum.largest_at, size, span);
    if (options->before != NULL)
        fprintf(out, "changes   %6zu new, %zu gone, %zu changed\n", sum.new, sum.gone, sum.changed);
    if (max_map_count != 0)
        fprintf(out, "limit     %6zu of %" PRIu64 " areas (vm.max_map_count): %.1f %%\n", view->nr_areas, max_map_count,
                100.0 * (double)view->nr_areas / (double)max_map_count);
}

/* ---- The engine's areas as a view ---- */

struct text_sink {
    char *text;
    size_t len, room;
    bool failed;
};

static void append(void *context, const char *text, size_t len)
{
    struct text_sink *sink = context;

    if (sink->len + len > sink->room) {
        size_t room = (sink->len + len) * 2;
        char *more = realloc(sink->text, room);
        if (more == NULL) {
            sink->failed = true;
            return;
        }
        sink->text = more;
        sink->room = room;
    }
    memcpy(sink->text + sink->len, text, len);
    sink->len += len;
}

int draw_view_of(struct vmk_mm *mm, struct kview *view)
{
    struct text_sink sink = {0};

    vmk_report_vmflags(mm, append, &sink);
    int error = sink.failed ? -ENOMEM : kview_parse(view, sink.text == NULL ? "" : sink.text, sink.len, NULL);
    free(sink.text);
    return error;
}
