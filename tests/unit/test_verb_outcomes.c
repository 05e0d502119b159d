/* SPDX-License-Identifier: MIT */
/*
 * test_verb_outcomes.c - what every row of verb_rows.h does, to the last bit: result, edits, notices, counters and what
 * becomes of the state, compared with golden/verbs.txt. And hosts that follow the edits, in either form, have the same map
 * afterwards, whatever the verb. What a backend hears is in golden/backend.txt, what memory each takes in golden/memory.txt.
 */
#include "golden.h"
#include "memory_log.h"
#include "verb_rows.h"

static const struct verb *this_verb;
static const struct row *this_row;
static enum world_kind this_kind;

/* ---- A host that follows the edits ---- */

struct host_range {
    vmk_addr start, end;
    uint32_t prot;
    struct vmk_file *file;
    uint64_t offset;
};

struct host {
    struct host_range range[1024];
    unsigned nr;
    vmk_addr invalid_start, invalid_end; /* between begin and end */
    bool follows;                        /* only from the call on: the world is copied */
};

static void host_fail(const char *what, vmk_addr address)
{
    fail_msg("%s, %s, in a %s world: %s at %llx", this_verb->name, this_row->shape, world_kind_names[this_kind], what,
             (unsigned long long)address);
}

static unsigned host_find(const struct host *host, vmk_addr address)
{
    unsigned i = 0;

    while (i < host->nr && host->range[i].end <= address)
        i++;
    return i;
}

static void host_insert(struct host *host, unsigned at, struct host_range range)
{
    assert_true(host->nr < 1024);
    memmove(&host->range[at + 1], &host->range[at], (host->nr - at) * sizeof(range));
    host->range[at] = range;
    host->nr++;
}

/* No range has the address inside it afterwards. The first range from there on. */
static unsigned host_cut(struct host *host, vmk_addr address)
{
    unsigned i = host_find(host, address);
    struct host_range upper;

    if (i == host->nr || host->range[i].start >= address)
        return i;
    upper = host->range[i];
    upper.offset += address - upper.start;
    upper.start = address;
    host->range[i].end = address;
    host_insert(host, i + 1, upper);
    return i + 1;
}

static void host_unmap(struct host *host, vmk_addr start, vmk_addr end)
{
    unsigned first = host_cut(host, start), last = host_cut(host, end);

    memmove(&host->range[first], &host->range[last], (host->nr - last) * sizeof(host->range[0]));
    host->nr -= last - first;
}

static void host_map(struct host *host, struct host_range range)
{
    unsigned at = host_find(host, range.start);

    if (at < host->nr && host->range[at].start < range.end)
        host_fail("mapped over something", range.start);
    host_insert(host, at, range);
}

static void host_protect(struct host *host, const struct vmk_edit *edit)
{
    unsigned first = host_cut(host, edit->start), last = host_cut(host, edit->end);
    vmk_addr at = edit->start;

    for (unsigned i = first; i < last; i++) {
        if (host->range[i].start != at)
            host_fail("protects a hole", at);
        host->range[i].prot = edit->prot;
        at = host->range[i].end;
    }
    if (at != edit->end)
        host_fail("protects a hole", at);
}

static void host_move(struct host *host, const struct vmk_edit *edit)
{
    vmk_addr from_end = edit->from + (edit->end - edit->start);
    unsigned first = host_cut(host, edit->from), nr = host_cut(host, from_end) - first;
    struct host_range moved[64];

    assert_true(nr <= 64);
    memcpy(moved, &host->range[first], nr * sizeof(moved[0]));
    if (!edit->keep_source)
        host_unmap(host, edit->from, from_end);
    for (unsigned i = 0; i < nr; i++) {
        moved[i].start += edit->start - edit->from;
        moved[i].end += edit->start - edit->from;
        moved[i].prot = edit->prot;
        host_map(host, moved[i]);
    }
}

static void host_follow(struct host *host, const struct vmk_edit *edit)
{
    if (edit->start >= edit->end)
        host_fail("an empty edit", edit->start);
    switch (edit->kind) {
    case VMK_EDIT_UNMAP:
        host_unmap(host, edit->start, edit->end);
        break;
    case VMK_EDIT_MAP:
        if (edit->prot != (edit->flags & VMK_VM_ACCESS))
            host_fail("flags and protection differ", edit->start);
        host_map(host, (struct host_range){edit->start, edit->end, edit->prot, edit->file, edit->offset});
        break;
    case VMK_EDIT_PROTECT:
        host_protect(host, edit);
        break;
    case VMK_EDIT_MOVE:
        host_move(host, edit);
        break;
    default:
        break;
    }
}

static bool host_range_of(struct vmk_mm *mm, vmk_addr *cursor, struct host_range *range)
{
    struct vmk_vma_info info = {.size = sizeof(info)};

    if (vmk_mm_next(mm, cursor, &info) != 0)
        return false;
    *range = (struct host_range){info.start, info.end, info.flags & VMK_VM_ACCESS, info.file, info.pgoff * VT_PAGE};
    return true;
}

static void host_copy(struct host *host, struct vmk_mm *mm)
{
    vmk_addr cursor = 0;

    *host = (struct host){.follows = true};
    while (host_range_of(mm, &cursor, &host->range[host->nr]))
        host->nr++;
}

/* Pieces may differ: a host need not know where areas are split. */
static void host_compare(struct host *host, struct vmk_mm *mm)
{
    struct host_range area;
    vmk_addr cursor = 0;
    unsigned i = 0;

    while (host_range_of(mm, &cursor, &area)) {
        host_cut(host, area.end);
        for (vmk_addr at = area.start; at < area.end; at = host->range[i++].end) {
            const struct host_range *range = &host->range[i];

            if (i == host->nr || range->start != at || range->end > area.end)
                host_fail("the host has another range", at);
            if (range->prot != area.prot || range->file != area.file)
                host_fail("the host has another protection or file", at);
            if (area.file != NULL && range->offset != area.offset + (at - area.start))
                host_fail("the host has another offset", at);
        }
    }
    if (i != host->nr)
        host_fail("the host has more", host->range[i].start);
}

/* ---- The host as a backend ---- */

static struct host the_host;

static void host_apply(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    struct host *host = context;

    (void)mm;
    if (!host->follows)
        return;
    if (edit->start < host->invalid_start || edit->end > host->invalid_end)
        host_fail("was not invalidated", edit->start);
    if (edit->kind == VMK_EDIT_MOVE &&
        (edit->from < host->invalid_start || edit->from + (edit->end - edit->start) > host->invalid_end))
        host_fail("was not invalidated", edit->from);
    host_follow(host, edit);
}

static void host_begin(void *context, struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    struct host *host = context;

    (void)mm;
    assert_int_equal(host->invalid_end, 0);
    host->invalid_start = start;
    host->invalid_end = end;
}

static void host_end(void *context, struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    struct host *host = context;

    (void)mm;
    assert_int_equal(host->invalid_start, start);
    assert_int_equal(host->invalid_end, end);
    host->invalid_start = host->invalid_end = 0;
}

static void follow_as_backend(void)
{
    static const struct vmk_backend_ops ops = {
        .size = sizeof(ops), .apply = host_apply, .invalidate_begin = host_begin, .invalidate_end = host_end};
    struct vt *t;

    the_host.follows = false;
    t = world_setup(this_kind, this_row->empty, &ops, &the_host);
    union any_request request = fill_in(this_verb, this_row);

    host_copy(&the_host, t->mm);
    this_verb->call(t->mm, &request, NULL);
    host_compare(&the_host, t->mm);
    the_host.follows = false;
    world_teardown();
}

/* ---- What a row does, as text ---- */

static struct vt_text outcome;

static void print_edit(const struct vmk_edit *edit)
{
    static const char *const kinds[] = {"unmap", "map", "protect", "move", "advise", "sync"};

    vt_print(&outcome, "  %s %llx-%llx", kinds[edit->kind], (unsigned long long)edit->start,
             (unsigned long long)edit->end);
    if (edit->kind == VMK_EDIT_MOVE)
        vt_print(&outcome, " from %llx%s", (unsigned long long)edit->from, edit->keep_source ? ", which stays" : "");
    if (edit->kind == VMK_EDIT_ADVISE)
        vt_print(&outcome, " advice %d", edit->advice);
    vt_print(&outcome, " prot %x flags %llx", edit->prot, (unsigned long long)edit->flags);
    if (edit->file != NULL)
        vt_print(&outcome, " file %llu at %llx", (unsigned long long)vmk_file_id(edit->file),
                 (unsigned long long)edit->offset);
    vt_print(&outcome, "\n");
}

static void run_parts(const union any_request *request, struct vmk_result *result)
{
    struct vmk_plan plan;
    struct vmk_edit edit;
    int more = VMK_PLAN_MORE;

    result->error = this_verb->prepare(the_world.t.mm, request, &plan);
    if (result->error != 0)
        return;
    for (unsigned part = 1; more == VMK_PLAN_MORE; part++) {
        vt_print(&outcome, "part %u\n", part);
        while (vmk_plan_next_edit(&plan, &edit)) {
            print_edit(&edit);
            host_follow(&the_host, &edit);
        }
        more = vmk_plan_commit(&plan, result);
    }
}

/* How often areas were taken and freed is the library's own business. */
static bool is_told(enum vmk_event event)
{
    return event != VMK_EVENT_vma_new && event != VMK_EVENT_vma_freed && event != VMK_EVENT_alloc_failed;
}

static void print_counters(const struct vmk_counters *before, const struct vmk_counters *after)
{
    const uint64_t *old = (const uint64_t *)(const void *)before, *new = (const uint64_t *)(const void *)after;

    vt_print(&outcome, "counted");
    for (enum vmk_event event = 0; event < VMK_EVENT_COUNT; event++)
        if (is_told(event) && new[event] != old[event])
            vt_print(&outcome, " %s %llu", vmk_event_name(event), (unsigned long long)(new[event] - old[event]));
    vt_print(&outcome, "\n");
}

static void follow_and_print(struct golden *golden)
{
    static struct vt_text before, after;
    struct vmk_counters counters_before, counters_after;
    struct vmk_result result = {.error = 0};
    struct vt *t = world_setup(this_kind, this_row->empty, NULL, NULL);
    union any_request request = fill_in(this_verb, this_row);

    outcome.len = 0;
    vt_print(&outcome, "# %s, %s, in a %s world\n", this_verb->name, this_row->shape, world_kind_names[this_kind]);
    host_copy(&the_host, t->mm);
    world_state(&before);
    vmk_mm_get_counters(t->mm, &counters_before);
    the_world.log.len = 0;
    the_world.log.text[0] = '\0';
    run_parts(&request, &result);
    vt_validate(t);
    host_compare(&the_host, t->mm);
    vmk_mm_get_counters(t->mm, &counters_after);
    world_state(&after);
    vt_print(&outcome, "= error %d, value %llx, done %llx\n", result.error, (unsigned long long)result.value,
             (unsigned long long)result.done);
    vt_sink(&outcome, the_world.log.text, the_world.log.len);
    print_counters(&counters_before, &counters_after);
    world_difference(&before, &after, &outcome);
    if (golden != NULL)
        golden_text(golden, &outcome);
    world_teardown();
}

static void test_verbs(void **state)
{
    struct golden golden;

    (void)state;
    golden_open(&golden, "verbs.txt");
    for (unsigned v = 0; v < NR_VERBS; v++)
        for (unsigned i = 0; i < verbs[v].nr_rows; i++)
            for (this_kind = WORLD_PLAIN; this_kind < WORLD_KINDS; this_kind++) {
                this_verb = &verbs[v];
                this_row = &verbs[v].rows[i];
                if (this_row->empty && this_kind != WORLD_PLAIN)
                    continue;
                follow_and_print(this_kind == WORLD_PLAIN ? &golden : NULL);
                if (this_kind != WORLD_LOADED)
                    follow_as_backend();
            }
    golden_close(&golden);
}

/* ---- What a backend hears, and what it hears when it refuses the second edit ---- */

struct listener {
    unsigned nr_until_refusal; /* 0: refuses none */
    bool listens;
};

static int listener_prepare(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    struct listener *listener = context;
    bool refuses = listener->listens && listener->nr_until_refusal != 0 && --listener->nr_until_refusal == 0;

    (void)mm;
    if (!listener->listens)
        return 0;
    vt_print(&outcome, refuses ? " refuse" : " prepare");
    print_edit(edit);
    return refuses ? -VMK_EBUSY : 0;
}

static void listener_cancel(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    (void)context;
    (void)mm;
    vt_print(&outcome, " cancel");
    print_edit(edit);
}

static void listener_apply(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    const struct listener *listener = context;

    (void)mm;
    if (listener->listens)
        vt_print(&outcome, " apply %llx-%llx\n", (unsigned long long)edit->start, (unsigned long long)edit->end);
}

static void listener_begin(void *context, struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    const struct listener *listener = context;

    if (listener->listens)
        vt_print(&outcome, " begin %llx-%llx, %zu areas\n", (unsigned long long)start, (unsigned long long)end,
                 (size_t)mm->tree.nr_entries);
}

static void listener_end(void *context, struct vmk_mm *mm, vmk_addr start, vmk_addr end)
{
    const struct listener *listener = context;

    if (listener->listens)
        vt_print(&outcome, " end %llx-%llx, %zu areas\n", (unsigned long long)start, (unsigned long long)end,
                 (size_t)mm->tree.nr_entries);
}

/* False: there was no edit to refuse. */
static bool row_heard(const struct verb *verb, const struct row *row, unsigned refused)
{
    static const struct vmk_backend_ops ops = {.size = sizeof(ops),
                                               .prepare = listener_prepare,
                                               .cancel = listener_cancel,
                                               .apply = listener_apply,
                                               .invalidate_begin = listener_begin,
                                               .invalidate_end = listener_end};
    struct listener listener = {.nr_until_refusal = refused};
    struct vmk_result result = {.error = 0};
    struct vt *t = world_setup(WORLD_PLAIN, row->empty, &ops, &listener);
    union any_request request = fill_in(verb, row);

    outcome.len = 0;
    vt_print(&outcome, "# %s, %s%s\n", verb->name, row->shape, refused != 0 ? ", the second edit refused" : "");
    listener.listens = true;
    verb->call(t->mm, &request, &result);
    listener.listens = false;
    vt_print(&outcome, "= error %d, value %llx, done %llx\n", result.error, (unsigned long long)result.value,
             (unsigned long long)result.done);
    vt_validate(t);
    world_teardown();
    return listener.nr_until_refusal == 0;
}

static void test_backend(void **state)
{
    struct golden golden;

    (void)state;
    golden_open(&golden, "backend.txt");
    for (unsigned v = 0; v < NR_VERBS; v++)
        for (unsigned i = 0; i < verbs[v].nr_rows; i++) {
            row_heard(&verbs[v], &verbs[v].rows[i], 0);
            golden_text(&golden, &outcome);
            if (row_heard(&verbs[v], &verbs[v].rows[i], 2))
                golden_text(&golden, &outcome);
        }
    golden_close(&golden);
}

/* ---- What memory a row takes, where nothing is spare, and keeps ---- */

static void row_memory(const struct verb *verb, const struct row *row, unsigned nr_times, struct vt_text *to)
{
    struct vt *t = world_setup(WORLD_QUIET, row->empty, NULL, NULL);
    union any_request request = fill_in(verb, row);

    memory_log_begin(t);
    for (unsigned i = 0; i < nr_times; i++)
        verb->call(t->mm, &request, NULL);
    to->len = 0;
    memory_log_end(t, to);
    vt_validate(t);
    world_teardown();
}

/* Made twice, a call finds what was spare after the first time: told where that is another amount. */
static void test_memory(void **state)
{
    static struct vt_text once, twice;
    struct golden golden;

    (void)state;
    golden_open(&golden, "memory.txt");
    for (unsigned v = 0; v < NR_VERBS; v++)
        for (unsigned i = 0; i < verbs[v].nr_rows; i++) {
            row_memory(&verbs[v], &verbs[v].rows[i], 1, &once);
            row_memory(&verbs[v], &verbs[v].rows[i], 2, &twice);
            outcome.len = 0;
            vt_print(&outcome, "%s, %s: %s", verbs[v].name, verbs[v].rows[i].shape, once.text);
            if (strcmp(once.text, twice.text) != 0)
                vt_print(&outcome, "    twice: %s", twice.text);
            golden_text(&golden, &outcome);
        }
    golden_close(&golden);
}

/* ---- What observers see of the worlds ---- */

typedef void report_fn(struct vmk_mm *mm, vmk_sink_fn *sink, void *context);

static void save_report(struct vmk_mm *mm, vmk_sink_fn *sink, void *context)
{
    assert_int_equal(vmk_mm_save(&mm, 1, sink, context), 0);
}

static void test_reports(void **state)
{
    static const struct {
        const char *name;
        report_fn *report;
    } reports[] = {{"dump", vmk_mm_dump},       {"maps", vmk_report_maps},     {"vmflags", vmk_report_vmflags},
                   {"statm", vmk_report_statm}, {"status", vmk_report_status}, {"json", vmk_report_json},
                   {"saved state", save_report}};
    static const enum world_kind kinds[] = {WORLD_PLAIN, WORLD_CHILD, WORLD_LOADED};
    static struct vt_text text;
    struct golden golden;

    (void)state;
    golden_open(&golden, "reports.txt");
    for (unsigned k = 0; k < 3; k++) {
        struct vt *t = world_setup(kinds[k], false, NULL, NULL);

        for (unsigned i = 0; i < sizeof(reports) / sizeof(reports[0]); i++) {
            text.len = 0;
            vt_print(&text, "# %s, in a %s world\n", reports[i].name, world_kind_names[kinds[k]]);
            reports[i].report(t->mm, vt_sink, &text);
            if (text.text[text.len - 1] != '\n')
                vt_print(&text, "\n");
            golden_text(&golden, &text);
        }
        world_teardown();
    }
    golden_close(&golden);
}

/* A space that is loaded is the one that was saved. */
static void test_loaded(void **state)
{
    static struct vt_text saved, loaded;

    (void)state;
    world_setup(WORLD_QUIET, false, NULL, NULL);
    world_state(&saved);
    world_teardown();
    world_setup(WORLD_LOADED, false, NULL, NULL);
    world_state(&loaded);
    world_teardown();
    assert_string_equal(strstr(saved.text, "area "), strstr(loaded.text, "area "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verbs),   cmocka_unit_test(test_backend), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_reports), cmocka_unit_test(test_loaded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
