/* SPDX-License-Identifier: MIT */
/*
 * vma.cc - times the operations of work.h with Google Benchmark. One sample is one pass; a repetition is a sample, and the
 * times shown are nanoseconds an operation (bytes-*: bytes).
 *
 *   vma [--areas=N,N...] [--samples=N] [--in-order] [--no-limits] [--check] [Google Benchmark's options]
 *
 * --check prints the checksums of workload.h and measures nothing. scripts/bench.sh runs this beside the peers;
 * With --no-limits limits and the commit charge are off (the setting enforce_limits), as they are in the peer rbtree.
 * scripts/bench-scale.sh runs it for 10 to 10^8 areas, the largest mapped --in-order, which takes less time than at random.
 */
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "work.h"

namespace
{

std::vector<size_t> areas = {1000, 65536};
int samples = 5;
bool check_only = false;
bool in_order = false;
bool no_limits = false;
size_t open_areas = 0;

void open_for(size_t n)
{
    if (n != open_areas)
        work_open(n, in_order, no_limits);
    open_areas = n;
}

double pass_ns(const work_operation &operation)
{
    double ns;

    if (operation.prepare != nullptr)
        operation.prepare();
    if (operation.run_ns != nullptr) {
        ns = static_cast<double>(operation.run_ns());
    } else {
        const uint64_t begin = work_now_ns();
        const uint64_t value = operation.run();
        const uint64_t end = work_now_ns();

        benchmark::DoNotOptimize(value);
        ns = operation.is_bytes ? static_cast<double>(value) : static_cast<double>(end - begin);
    }
    if (operation.finish != nullptr)
        operation.finish();
    return ns / static_cast<double>(operation.nr());
}

void measure(benchmark::State &state, const work_operation &operation, size_t n, bool *is_warm)
{
    open_for(n);
    if (!*is_warm && !operation.is_bytes)
        pass_ns(operation);
    *is_warm = true;
    for (auto _ : state)
        state.SetIterationTime(pass_ns(operation) * 1e-9);
}

void add_benchmarks(size_t n, bool first)
{
    for (const work_operation *operation = work_operations; operation->name != nullptr; operation++) {
        const size_t shown = operation->once ? 0 : n;
        bool *is_warm = new bool(false); /* lives as long as the benchmark, which is the program */

        if (operation->once && !first)
            continue;
        benchmark::RegisterBenchmark(
            (std::string(operation->name) + "/" + std::to_string(shown)).c_str(),
            [operation, n, is_warm](benchmark::State &state) { measure(state, *operation, n, is_warm); })
            ->Iterations(1)
            ->Repetitions(operation->is_bytes ? 1 : samples)
            ->UseManualTime();
    }
}

/* Takes our own options out of the arguments. */
void take_options(int *argc, char **argv)
{
    int kept = 1;

    for (int i = 1; i < *argc; i++) {
        if (std::strncmp(argv[i], "--areas=", 8) == 0) {
            areas.clear();
            for (char *text = argv[i] + 8; *text != '\0';) {
                areas.push_back(std::strtoul(text, &text, 10));
                if (*text != ',' && *text != '\0')
                    areas.push_back(0), text++;
                else if (*text == ',')
                    text++;
            }
        } else if (std::strncmp(argv[i], "--samples=", 10) == 0) {
            samples = std::atoi(argv[i] + 10);
        } else if (std::strcmp(argv[i], "--check") == 0) {
            check_only = true;
        } else if (std::strcmp(argv[i], "--in-order") == 0) {
            in_order = true;
        } else if (std::strcmp(argv[i], "--no-limits") == 0) {
            no_limits = true;
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
}

bool options_usable()
{
    for (size_t n : areas)
        if (n < 10)
            return false;
    return samples > 0 && !areas.empty();
}

} // namespace

int main(int argc, char **argv)
{
    take_options(&argc, argv);
    benchmark::Initialize(&argc, argv);
    if (!options_usable() || benchmark::ReportUnrecognizedArguments(argc, argv)) {
        std::fprintf(stderr,
                     "usage: vma [--areas=N,N...] [--samples=N] [--in-order] [--no-limits] [--check], N from 10 up\n");
        return 2;
    }
    if (check_only) {
        for (size_t n : areas) {
            open_for(n);
            work_print_checksums();
        }
    } else {
        for (size_t i = 0; i < areas.size(); i++)
            add_benchmarks(areas[i], i == 0);
        benchmark::RunSpecifiedBenchmarks();
    }
    work_close();
    return 0;
}
