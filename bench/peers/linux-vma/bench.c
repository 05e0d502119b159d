/* bench.c - see bench.h */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "workload.h"

struct bench_settings bench = { .repeats = BENCH_MAX_REPEATS, .warmups = 2 };
volatile uint64_t bench_zero;

static volatile uint64_t sink;

void bench_fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", bench.peer, what);
    exit(1);
}

static void usage(const char *program)
{
    fprintf(stderr, "usage: %s [--quick] [--check] N   (N >= %u)\n", program,
            WL_MIN_N);
    exit(2);
}

void bench_start(const char *peer, int argc, char **argv)
{
    int i;

    bench.peer = peer;
    for (i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--quick")) {
            bench.repeats = 5;
            bench.warmups = 1;
        } else if (!strcmp(argv[i], "--check")) {
            bench.check = 1;
        } else if (!strcmp(argv[i], "--base")) {
            bench.base = 1;
        } else {
            bench.n = strtoul(argv[i], NULL, 10);
        }
    }
    if (!bench.base && bench.n < WL_MIN_N)
        usage(argv[0]);
    setvbuf(stdout, NULL, _IOLBF, 0);
}

double bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(strcmp(bench.peer, "live") ? CLOCK_PROCESS_CPUTIME_ID
                                             : CLOCK_MONOTONIC_RAW, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

void bench_measure(const char *operation, size_t operations,
                   void (*prepare)(void), uint64_t (*run)(void))
{
    double samples[BENCH_MAX_REPEATS];
    int i;

    for (i = -bench.warmups; i < bench.repeats; i++) {
        double begin, end;

        if (prepare)
            prepare();
        begin = bench_now_ns();
        sink += run();
        end = bench_now_ns();
        if (i >= 0)
            samples[i] = (end - begin) / (double)operations;
    }
    bench_report(operation, samples, bench.repeats);
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

static void print_row(const char *operation, double median, double min,
                      double max)
{
    printf("%s\t%s\t%zu\t%.1f\t%.1f\t%.1f\n", bench.peer, operation, bench.n,
           median, min, max);
}

void bench_report(const char *operation, double *samples, int count)
{
    qsort(samples, (size_t)count, sizeof(*samples), compare_doubles);
    print_row(operation, samples[count / 2], samples[0], samples[count - 1]);
}

void bench_value(const char *operation, double value)
{
    print_row(operation, value, value, value);
}

void bench_check(const char *operation, uint64_t sum)
{
    printf("check\t%s\t%zu\t%016" PRIx64 "\n", operation, bench.n, sum);
}
