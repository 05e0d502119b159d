/*
 * bench.h - timing, repeats and output, the same for every peer.
 *
 * A peer program is run as `peer-NAME [--quick] [--check] N`.  It prints one
 * line per operation:  peer TAB operation TAB N TAB median TAB min TAB max,
 * in nanoseconds per operation over all repeats.  With --check it measures
 * nothing and prints checksums of its answers instead (see workload.h):
 * check TAB operation TAB N TAB sum.  The live peer also takes --base in place
 * of N.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_NOINLINE __attribute__((__noinline__))
#define BENCH_MAX_REPEATS 11

struct bench_settings {
    const char *peer;       /* first column of the output */
    size_t      n;
    int         check;      /* print checksums only */
    int         base;       /* only what does not depend on N, which is 0 */
    int         repeats;    /* timed runs of each operation */
    int         warmups;    /* runs before that are not counted */
};

extern struct bench_settings bench;

/* Zero, but not to the compiler: makes one lookup depend on another. */
extern volatile uint64_t bench_zero;

/* Reads the command line into `bench`; exits on a bad one. */
void bench_start(const char *peer, int argc, char **argv);

/*
 * Processor time of the whole process, which is repeatable on a machine that
 * others use too; for the live peer, whose calls may wait, the clock's.
 */
double bench_now_ns(void);

/*
 * Times `run`, which does `operations` operations and returns any value that
 * depends on them (so that they are not optimised away).  `prepare`, if not
 * NULL, is called before every run and is not timed.
 */
void bench_measure(const char *operation, size_t operations,
                   void (*prepare)(void), uint64_t (*run)(void));

/* Prints the median and the range of samples taken by the peer itself. */
void bench_report(const char *operation, double *samples, int count);

/* Prints a single figure that is not a time. */
void bench_value(const char *operation, double value);

void bench_check(const char *operation, uint64_t sum);

/* Ends the program with a message. */
void bench_fail(const char *what) __attribute__((__noreturn__));

#ifdef __cplusplus
}
#endif

#endif
