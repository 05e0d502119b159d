/* SPDX-License-Identifier: MIT */
/*
 * test_verb_failures.c - memory that runs out at every moment of every verb.
 *
 * A row (verb_rows.h) is a call in a world (world.h). Its two-phase form, given up after 0, 1, 2 ... parts, shows the states
 * that the call goes through; the first is the state before. Then the call runs in both forms with allocation 0, 1, 2 ...
 * refused: it either ends with the result and the state of an untroubled run, or with an error in one of those states, byte
 * for byte in dump form; a call of one part, in the state before. The same for a backend that refuses one edit after the
 * other. The validator is clean after each and nothing leaks.
 */
#include <limits.h>

#include "verb_rows.h"

/* ---- A run ---- */

enum form { ONE_CALL, TWO_PHASES };
enum { MAX_STATES = 64, GIVEN_UP = -VMK_EAGAIN, NEVER = -1 };

/* What a row is known to do: its result and its states, the one before the call first. */
struct known {
    struct vmk_result result;
    unsigned nr_states;
    char *states[MAX_STATES];
};

static struct vt_text state_before, state_after;
static const struct verb *this_verb;
static const struct row *this_row;
static enum world_kind this_kind;

/* Shows the lines in which the two states differ. */
static void fail_row(const char *what, long n)
{
    const char *before = state_before.text, *after = state_after.text;

    print_error("%s, %s, in a %s world: %s %ld\n", this_verb->name, this_row->shape, world_kind_names[this_kind], what,
                n);
    while (*before != '\0' && *after != '\0') {
        size_t len_before = strcspn(before, "\n") + 1, len_after = strcspn(after, "\n") + 1;

        if (len_before != len_after || memcmp(before, after, len_before) != 0)
            print_error("was %.*s\nis  %.*s\n", (int)len_before - 1, before, (int)len_after - 1, after);
        before += len_before;
        after += len_after;
    }
    fail();
}

/*
 * Commits `nr_parts` parts (NEVER gives up for a negative number), then gives up. True when the plan ended before that. A
 * call without parts tells its error alone.
 */
static bool run_plan(const union any_request *request, long nr_parts, struct vmk_result *result)
{
    struct vmk_mm *mm = the_world.t.mm;
    struct vmk_plan plan;
    struct vmk_edit edit;
    int error = this_verb->prepare(mm, request, &plan);

    *result = (struct vmk_result){.error = error};
    if (error != 0)
        return true;
    for (;; nr_parts--) {
        if (nr_parts == 0) {
            vmk_plan_abort(&plan, GIVEN_UP, result);
            return result->error != GIVEN_UP; /* nothing was open: prepare had done it all */
        }
        while (vmk_plan_next_edit(&plan, &edit))
            assert_true(edit.start < edit.end);
        if (vmk_plan_commit(&plan, result) == VMK_PLAN_DONE)
            return true;
    }
}

/* One run in a new world, with allocation `fail_at` refused and given up after `nr_parts`. True: see run_plan. */
static bool run_once(enum form form, long nr_parts, long fail_at, const struct vmk_backend_ops *backend,
                     void *backend_context, struct vmk_result *result)
{
    struct vt *t = world_setup(this_kind, this_row->empty, backend, backend_context);
    union any_request request = fill_in(this_verb, this_row);
    bool ended = true;
    int error;

    world_state(&state_before);
    atomic_store(&t->failed, false);
    atomic_store(&t->until_fail, fail_at);
    if (form == TWO_PHASES)
        ended = run_plan(&request, nr_parts, result);
    else if ((error = this_verb->call(t->mm, &request, result)) != result->error)
        fail_row("returned", error);
    atomic_store(&t->until_fail, NEVER);
    vt_validate(t);
    world_state(&state_after);
    return ended;
}

static bool run_failed(void)
{
    bool failed = atomic_load(&the_world.t.failed);

    world_teardown();
    return failed;
}

static void add_state(struct known *known)
{
    assert_true(known->nr_states < MAX_STATES);
    known->states[known->nr_states] = strdup(state_after.text);
    assert_non_null(known->states[known->nr_states++]);
}

static const char *skip_anon_vma(const char *text)
{
    static const char name[] = " anon_vma=";

    return strncmp(text, name, sizeof(name) - 1) == 0 ? text + sizeof(name) + strcspn(text + sizeof(name), " \n")
                                                      : text;
}

/* Equal, but for anon_vmas where the call does not say whether it populated. */
static bool is_same_state(const char *a, const char *b)
{
    for (;; a++, b++) {
        a = this_row->populates ? skip_anon_vma(a) : a;
        b = this_row->populates ? skip_anon_vma(b) : b;
        if (*a != *b || *a == '\0')
            return *a == *b;
    }
}

static bool is_known_state(const struct known *known)
{
    for (unsigned i = 0; i < known->nr_states; i++)
        if (is_same_state(known->states[i], state_after.text))
            return true;
    return false;
}

/* The error of a call without parts comes alone. */
static bool is_known_result(const struct vmk_result *result, const struct vmk_result *known)
{
    return memcmp(result, known, sizeof(*result)) == 0 ||
           (result->error != 0 && result->error == known->error && result->value == 0 && result->done == 0);
}

/* Finds out what the call does when nothing is refused, in both forms, and its states between parts. */
static void know(struct known *known)
{
    struct vmk_result result;
    bool ended = false;

    known->nr_states = 0;
    for (long nr_parts = 0; !ended; nr_parts++) {
        ended = run_once(TWO_PHASES, nr_parts, NEVER, NULL, NULL, &result);
        if (!ended && result.error != GIVEN_UP)
            fail_row("parts, then given up", nr_parts);
        if (nr_parts == 0 && !ended && strcmp(state_before.text, state_after.text) != 0)
            fail_row("given up at once, error", result.error);
        add_state(known);
        run_failed();
    }
    run_once(ONE_CALL, 0, NEVER, NULL, NULL, &known->result);
    if (!is_known_result(&result, &known->result) || strcmp(known->states[known->nr_states - 1], state_after.text) != 0)
        fail_row("the one-call form differs, error", known->result.error);
    run_failed();
}

/* ---- Refusals ---- */

static unsigned refuse_allocations(enum form form, const struct known *known)
{
    struct vmk_result result;
    unsigned nr_refused = 0;

    for (long n = 0;; n++) {
        assert_true(n < 2000);
        run_once(form, -1, n, NULL, NULL, &result);
        if (result.error == -VMK_ERR_HOST_NOMEM) {
            nr_refused++;
            if (result.value != 0 && strcmp(this_verb->name, "brk") != 0)
                fail_row("a value with the error after allocation", n);
            if (!is_known_state(known))
                fail_row("an unknown state after allocation", n);
        } else if (!is_known_result(&result, &known->result)) {
            fail_row("another result after allocation", n);
        } else if (!is_same_state(known->states[known->nr_states - 1], state_after.text)) {
            fail_row("another state after allocation", n);
        }
        if (!run_failed())
            return nr_refused;
    }
}

/* A backend that refuses one edit. */
struct refusal {
    long until;      /* edits that it still agrees to; negative: all */
    long nr_pending; /* agreed to, neither applied nor cancelled */
    bool refused;
};

static int refusal_prepare(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    struct refusal *refusal = context;

    (void)mm;
    (void)edit;
    if (refusal->until >= 0 && refusal->until-- == 0) {
        refusal->refused = true;
        return GIVEN_UP;
    }
    refusal->nr_pending++;
    return 0;
}

static void refusal_settle(void *context, struct vmk_mm *mm, const struct vmk_edit *edit)
{
    struct refusal *refusal = context;

    (void)mm;
    (void)edit;
    refusal->nr_pending--;
}

static void refuse_edits(const struct known *known)
{
    static const struct vmk_backend_ops ops = {
        .size = sizeof(ops), .prepare = refusal_prepare, .cancel = refusal_settle, .apply = refusal_settle};
    struct vmk_result result;
    struct refusal refusal = {.until = -1};
    long nr_before;

    /* How many edits it takes to make the world. */
    refusal.until = LONG_MAX;
    world_setup(this_kind, this_row->empty, &ops, &refusal);
    nr_before = LONG_MAX - refusal.until;
    world_teardown();
    for (long n = 0;; n++) {
        refusal = (struct refusal){.until = nr_before + n};
        run_once(ONE_CALL, 0, NEVER, &ops, &refusal, &result);
        assert_int_equal(refusal.nr_pending, 0);
        run_failed();
        if (!refusal.refused)
            return;
        if (!is_known_state(known))
            fail_row("an unknown state after edit", n);
    }
}

/* ---- The tests ---- */

static unsigned run_row(void)
{
    static struct known known;
    unsigned nr_refused;

    know(&known);
    if (this_kind == WORLD_PLAIN)
        if (known.result.error != this_row->error)
            fail_row("error", known.result.error);
    nr_refused = refuse_allocations(ONE_CALL, &known);
    nr_refused += refuse_allocations(TWO_PHASES, &known);
    if (this_kind == WORLD_PLAIN)
        refuse_edits(&known);
    for (unsigned i = 0; i < known.nr_states; i++)
        free(known.states[i]);
    return nr_refused;
}

/* mlockall and the like have a part for each area; the many of a tall world add nothing. */
static bool is_worthwhile(void)
{
    bool all = strstr(this_verb->name, "lockall") != NULL || strcmp(this_verb->name, "set_option") == 0;

    if (this_row->empty)
        return this_kind == WORLD_PLAIN || this_kind == WORLD_QUIET;
    return !all || this_kind != WORLD_TALL;
}

static void test_verb(void **state)
{
    unsigned nr_refused = 0;

    this_verb = *state;
    for (size_t i = 0; i < this_verb->nr_rows; i++)
        for (this_kind = WORLD_PLAIN; this_kind < WORLD_KINDS; this_kind++) {
            this_row = &this_verb->rows[i];
            if (is_worthwhile())
                nr_refused += run_row();
        }
    printf("%s: %u refusals\n", this_verb->name, nr_refused);
}

int main(void)
{
    struct CMUnitTest tests[NR_VERBS];

    for (size_t i = 0; i < NR_VERBS; i++)
        tests[i] = (struct CMUnitTest){
            .name = verbs[i].name, .test_func = test_verb, .initial_state = (void *)(uintptr_t)&verbs[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
