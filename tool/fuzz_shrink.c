/* SPDX-License-Identifier: MIT */
/* fuzz_shrink.c - runs a sequence, and makes one that diverges smaller: chunks of operations, then single ones. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

bool fuzz_op_touches(uint32_t call)
{
    return (call >= FUZZ_TOUCH_READ && call <= FUZZ_PROC_MEM_WRITE) || call == FUZZ_IO_DESTROY;
}

static void say(struct fuzz_run *run, const struct fuzz_op *op, fuzz_result kernel, fuzz_result engine)
{
    char text[2][32];

    if (!run->verbose)
        return;
    fuzz_result_text(kernel, text[0], sizeof(text[0]));
    fuzz_result_text(engine, text[1], sizeof(text[1]));
    printf("  ");
    fuzz_op_print(stdout, op);
    printf(" = %s", text[0]);
    if (kernel != engine)
        printf("  engine %s", text[1]);
    printf("\n");
    fflush(stdout);
}

/* The result, the map, the flags and the status after one operation. */
static int compare_step(struct fuzz_run *run, const struct fuzz_op *op, fuzz_result kernel, fuzz_result engine)
{
    int error = fuzz_child_read(run->child, &run->view);

    if (error != 0 || run->view.nr_areas == 0 || kernel == FUZZ_HUNG) {
        snprintf(run->difference.what, sizeof(run->difference.what), "the process on the kernel is gone (%s)",
                 fuzz_call_name(op->call));
        return error != 0 ? error : -ECHILD;
    }
    if (run->transcript != NULL)
        fuzz_transcript_step(run->transcript, op, kernel, &run->view);
    run->areas_seen[run->view.nr_areas <= FUZZ_MAX_AREAS ? run->view.nr_areas : FUZZ_MAX_AREAS]++;
    if (run->engine == NULL)
        return 0;
    if (kernel != engine) {
        char text[2][32];

        fuzz_result_text(kernel, text[0], sizeof(text[0]));
        fuzz_result_text(engine, text[1], sizeof(text[1]));
        snprintf(run->difference.what, sizeof(run->difference.what), "result of %s: kernel %s, engine %s",
                 fuzz_call_name(op->call), text[0], text[1]);
        return 1;
    }
    return fuzz_compare(&run->view, fuzz_engine_mm(run->engine), &run->difference) ? 0 : 1;
}

static int run_step(struct fuzz_run *run, const struct fuzz_op *op, struct fuzz_generator *generator)
{
    struct fuzz_presence presence = {0};
    fuzz_result kernel, engine;

    if (run->engine != NULL && fuzz_op_touches(op->call))
        fuzz_child_presence(run->child, &run->view, op->arg[0], &presence);
    kernel = fuzz_child_run(run->child, op);
    engine = kernel;
    if (run->engine != NULL && kernel != FUZZ_HUNG)
        engine = fuzz_engine_run(run->engine, op, &presence, kernel);
    if (run->record != NULL)
        fuzz_record_step(run->record, op, &presence, kernel);
    if (generator != NULL)
        fuzz_generator_learn(generator, op, kernel);
    if (run->table != NULL)
        fuzz_table_count(run->table, op->call, kernel);
    run->nr_ops++;
    say(run, op, kernel, engine);
    return compare_step(run, op, kernel, engine);
}

static int begin(struct fuzz_run *run, const struct fuzz_config *config)
{
    int error = fuzz_child_begin(run->child, config);

    if (error == 0)
        error = fuzz_child_read(run->child, &run->view);
    fuzz_compare_begin();
    if (error == 0 && run->transcript != NULL)
        fuzz_transcript_begin(run->transcript, config, &run->view);
    if (error != 0 || run->engine == NULL)
        return error;
    error = fuzz_engine_begin(run->engine, config, run->child, &run->view);
    if (error == 0 && !fuzz_compare(&run->view, fuzz_engine_mm(run->engine), &run->difference))
        return 1;
    return error;
}

int fuzz_run_sequence(struct fuzz_run *run, struct fuzz_sequence *sequence, struct fuzz_generator *generator,
                      size_t nr_ops)
{
    struct fuzz_generator guard = {.text_start = run->text_start, .text_end = run->text_end};
    int outcome;
    size_t i;

    run->failed_at = 0;
    alarm(30);
    if (generator != NULL)
        sequence->nr_ops = 0;
    outcome = begin(run, &sequence->config);
    if (outcome == 0 && run->record != NULL)
        fuzz_record_begin(run->record, run->engine, run->child->files);
    for (i = 0; outcome == 0 && i < (generator != NULL ? nr_ops : sequence->nr_ops); i++) {
        struct fuzz_op *op = &sequence->ops[i];

        run->failed_at = i;
        if (generator != NULL) {
            fuzz_generate(generator, &run->view, op);
            sequence->nr_ops = i + 1;
        } else if (fuzz_op_left_out(&guard, &run->view, op) != FUZZ_LEFT_NONE) {
            continue;
        }
        outcome = run_step(run, op, generator);
    }
    alarm(0);
    if (outcome >= 0 && run->record != NULL)
        fuzz_record_end(run->record, run->child);
    if (outcome == 1 && run->verbose && run->engine != NULL)
        fuzz_print_both(stdout, &run->view, fuzz_engine_mm(run->engine));
    if (run->engine != NULL) {
        char why[400] = "";
        unsigned broken = fuzz_engine_end(run->engine, why, sizeof(why));

        if (outcome == 0 && broken != 0) {
            snprintf(run->difference.what, sizeof(run->difference.what), "%u broken invariants: %s", broken, why);
            outcome = 1;
        }
    }
    return outcome;
}

/* Takes [from, from + nr) out; true when the rest still diverges, and then keeps it so. */
static bool try_without(struct fuzz_run *run, struct fuzz_sequence *sequence, struct fuzz_sequence *trial, size_t from,
                        size_t nr)
{
    int outcome;

    trial->config = sequence->config;
    memcpy(trial->ops, sequence->ops, from * sizeof(trial->ops[0]));
    memcpy(trial->ops + from, sequence->ops + from + nr, (sequence->nr_ops - from - nr) * sizeof(trial->ops[0]));
    trial->nr_ops = sequence->nr_ops - nr;
    outcome = fuzz_run_sequence(run, trial, NULL, 0);
    run->broken = outcome < 0;
    if (outcome != 1)
        return false;
    trial->nr_ops = run->failed_at + 1 < trial->nr_ops ? run->failed_at + 1 : trial->nr_ops;
    memcpy(sequence, trial, sizeof(*sequence));
    return true;
}

/* Settings as plain as they can be. */
static unsigned simplify_config(struct fuzz_run *run, struct fuzz_sequence *sequence)
{
    struct fuzz_config before = sequence->config;
    unsigned runs = 0;

    for (int i = 0; i < 4; i++) {
        struct fuzz_config kept = sequence->config;

        if (i == 0)
            sequence->config.drop_ipc_lock = false;
        else if (i == 1)
            sequence->config.limit_data = UINT64_MAX;
        else if (i == 2)
            sequence->config.limit_stack = UINT64_C(8) << 20;
        else
            sequence->config.limit_memlock = UINT64_MAX;
        if (memcmp(&kept, &sequence->config, sizeof(kept)) == 0)
            continue;
        runs++;
        if (fuzz_run_sequence(run, sequence, NULL, 0) != 1)
            sequence->config = kept;
    }
    (void)before;
    return runs;
}

unsigned fuzz_shrink(struct fuzz_run *run, struct fuzz_sequence *sequence)
{
    struct fuzz_sequence *trial = malloc(sizeof(*trial));
    struct fuzz_table *table = run->table;
    uint64_t nr_ops = run->nr_ops;
    bool verbose = run->verbose, again = true;
    unsigned runs = 0;

    if (trial == NULL)
        return 0;
    run->table = NULL;
    run->verbose = run->broken = false;
    for (size_t chunk = (sequence->nr_ops + 1) / 2; chunk >= 1 && runs < 1500 && !run->broken;
         chunk = chunk > 1 || again ? (chunk + 1) / 2 : 0) {
        again = false;
        for (size_t end = sequence->nr_ops; end > 0 && runs < 1500 && !run->broken;) {
            size_t from = end > chunk ? end - chunk : 0;

            runs++;
            if (try_without(run, sequence, trial, from, end - from)) {
                again = true;
                end = from < sequence->nr_ops ? from : sequence->nr_ops;
            } else {
                end = from;
            }
        }
    }
    runs += simplify_config(run, sequence);
    run->table = table;
    run->nr_ops = nr_ops;
    run->verbose = verbose;
    free(trial);
    return runs;
}
