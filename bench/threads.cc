// SPDX-License-Identifier: MIT
/*
 * threads.cc - several threads in one address space beside as many processes with one each.
 *
 *   threads [--threads=N,N...] [--areas=N] [--rounds=N] [--ms=N] [--only=OPERATION] [--realtime] [--tsv]
 *
 * Every worker, thread or process, does the same work on the same layout: a region of its own for each worker, all of them
 * in every space. In a process one worker alone works in its space; in the shared space all do. So the ratio of the two
 * rates is what sharing costs, and what the machine costs (its caches, its other users) falls out. The two take turns, and
 * medians count. Beside the ratio of the rates (operations a second of the clock) stands that of operations a second of
 * processor time, which other users of the machine disturb less, but which does not see a worker that sleeps for a lock.
 * With --realtime (privileged) nothing else runs on a worker's processor while it is measured: short turns on a busy machine.
 *
 *   lookup          vmk_mm_check_access at random addresses of the whole space
 *   lookup-info     vmk_mm_lookup, all that an area says of itself
 *   fault           vmk_mm_fault, a write to private memory that was written before
 *   map-unmap       munmap and mmap of an area in the worker's own region
 *   protect         mprotect of the middle of an area, and back, in the worker's own region
 *   beside-writer   the first worker looks up as in `lookup` in its own region, the others do map-unmap in theirs: the
 *                   reader's rate alone
 */
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include "vmakit/vmakit.h"

namespace
{

constexpr uint64_t PAGE = 4096, AREA_PAGES = 4, STRIDE = 8 * PAGE, LOW = UINT64_C(0x10000000),
                   REGION = UINT64_C(1) << 32;
constexpr uint32_t FIXED = VMK_MAP_PRIVATE | VMK_MAP_ANONYMOUS | VMK_MAP_FIXED;
constexpr uint64_t READ_WRITE = VMK_PROT_READ | VMK_PROT_WRITE;
constexpr unsigned MAX_WORKERS = 64, BATCH = 64;

struct settings {
    std::vector<unsigned> threads;
    unsigned areas = 1000, rounds = 9, ms = 60;
    bool tsv = false, realtime = false;
    const char *only = nullptr; /* an operation's name */
} options;

void require(bool holds, const char *what)
{
    if (holds)
        return;
    std::fprintf(stderr, "threads: %s\n", what);
    std::_Exit(1);
}

uint64_t now_ns(clockid_t clock)
{
    timespec time{};

    clock_gettime(clock, &time);
    return static_cast<uint64_t>(time.tv_sec) * 1000000000 + static_cast<uint64_t>(time.tv_nsec);
}

struct random_numbers {
    uint64_t state;
    uint64_t next()
    {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
        return state >> 33;
    }
};

/* ---- One space ---- */

vmk_addr area_start(unsigned worker, unsigned area)
{
    return LOW + worker * REGION + area * STRIDE;
}

void map_area(vmk_mm *mm, vmk_addr start)
{
    vmk_mmap_request request{};

    request.address = start;
    request.len = AREA_PAGES * PAGE;
    request.prot = READ_WRITE;
    request.flags = FIXED;
    require(vmk_mmap(mm, &request, nullptr) == 0, "mmap failed");
}

void unmap_area(vmk_mm *mm, vmk_addr start)
{
    vmk_munmap_request request{};

    request.address = start;
    request.len = AREA_PAGES * PAGE;
    require(vmk_munmap(mm, &request, nullptr) == 0, "munmap failed");
}

void protect_middle(vmk_mm *mm, vmk_addr start, uint64_t prot)
{
    vmk_mprotect_request request{};

    request.address = start + PAGE;
    request.len = PAGE;
    request.prot = prot;
    request.pkey = -1;
    require(vmk_mprotect(mm, &request, nullptr) == 0, "mprotect failed");
}

void write_fault(vmk_mm *mm, vmk_addr address)
{
    vmk_fault_request request{};
    vmk_fault fault;

    request.address = address;
    request.access = VMK_ACCESS_WRITE;
    require(vmk_mm_fault(mm, &request, &fault) == 0 && fault.outcome == VMK_FAULT_MINOR, "a fault failed");
}

vmk_mm *make_space(unsigned workers)
{
    vmk_system_options system_options;
    vmk_mm_options mm_options;
    vmk_system *system;
    vmk_mm *mm;

    vmk_system_options_init(&system_options, vmk_port_linux());
    system_options.sysctl.max_map_count = UINT64_C(1) << 31;
    require(vmk_system_create(&system_options, &system) == 0, "no system");
    vmk_mm_options_init(&mm_options);
    require(vmk_mm_create(system, &mm_options, &mm) == 0, "no address space");
    for (unsigned worker = 0; worker < workers; worker++)
        for (unsigned i = 0; i < options.areas; i++) {
            map_area(mm, area_start(worker, i));
            write_fault(mm, area_start(worker, i));
        }
    return mm;
}

/* ---- The work ---- */

struct place {
    vmk_mm *mm;
    unsigned worker, workers;
    random_numbers random;

    vmk_addr anywhere()
    {
        const uint64_t number = random.next();

        return area_start(static_cast<unsigned>(number % workers),
                          static_cast<unsigned>(number / workers % options.areas)) +
               (number >> 20) % (AREA_PAGES * PAGE);
    }
    vmk_addr own_area()
    {
        return area_start(worker, static_cast<unsigned>(random.next() % options.areas));
    }
};

void do_lookup(place &at)
{
    require(vmk_mm_check_access(at.mm, at.anywhere(), VMK_ACCESS_READ) == 0, "a lookup failed");
}

void do_own_lookup(place &at)
{
    require(vmk_mm_check_access(at.mm, at.own_area(), VMK_ACCESS_READ) == 0, "a lookup failed");
}

void do_lookup_info(place &at)
{
    vmk_vma_info info;

    info.size = sizeof(info);
    require(vmk_mm_lookup(at.mm, at.anywhere(), &info) == 0, "a lookup failed");
}

void do_fault(place &at)
{
    write_fault(at.mm, at.anywhere());
}

void do_map_unmap(place &at)
{
    const vmk_addr start = at.own_area();

    unmap_area(at.mm, start);
    map_area(at.mm, start);
}

void do_protect(place &at)
{
    const vmk_addr start = at.own_area();

    protect_middle(at.mm, start, VMK_PROT_READ);
    protect_middle(at.mm, start, READ_WRITE);
}

struct operation {
    const char *name;
    void (*first)(place &at); /* of the first worker, and of the others */
    void (*other)(place &at);
    bool first_counts_alone;
};

const operation operations[] = {
    {"lookup", do_lookup, do_lookup, false},    {"lookup-info", do_lookup_info, do_lookup_info, false},
    {"fault", do_fault, do_fault, false},       {"map-unmap", do_map_unmap, do_map_unmap, false},
    {"protect", do_protect, do_protect, false}, {"beside-writer", do_own_lookup, do_map_unmap, true},
};

/* ---- Workers ---- */

/* What the workers of one measurement share, also when they are processes. */
struct board {
    std::atomic<unsigned> nr_ready, nr_running;
    std::atomic<bool> go, stop;
    struct {
        uint64_t nr, clock_ns, processor_ns;
    } result[MAX_WORKERS];
};

struct job {
    board *shared;
    const operation *what;
    vmk_mm *mm;
    unsigned worker, workers;
};

std::vector<int> processors;

void pin(unsigned worker)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(processors[worker % processors.size()], &set);
    sched_setaffinity(0, sizeof(set), &set);
}

/* The one who ends a turn comes before those who work in it. */
void be_realtime(int priority)
{
    sched_param parameter{};

    parameter.sched_priority = priority;
    require(!options.realtime || sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameter) == 0,
            "--realtime is not permitted");
}

void *run_worker(void *context)
{
    const job *mine = static_cast<const job *>(context);
    void (*const step)(place & at) = mine->worker == 0 ? mine->what->first : mine->what->other;
    place at{mine->mm, mine->worker, mine->workers, {mine->worker * 77 + 1}};
    uint64_t nr = 0;

    pin(mine->worker);
    vmk_thread_enter(vmk_mm_system(mine->mm));
    for (unsigned i = 0; i < 2 * options.areas; i++)
        step(at);
    mine->shared->nr_ready++;
    while (!mine->shared->go.load(std::memory_order_acquire))
        sched_yield();
    be_realtime(1);
    mine->shared->nr_running++;
    while (mine->shared->nr_running < mine->workers)
        ;
    const uint64_t clock = now_ns(CLOCK_MONOTONIC), processor = now_ns(CLOCK_THREAD_CPUTIME_ID);
    for (; !mine->shared->stop.load(std::memory_order_relaxed); nr += BATCH)
        for (unsigned i = 0; i < BATCH; i++)
            step(at);
    mine->shared->result[mine->worker] = {nr, now_ns(CLOCK_MONOTONIC) - clock,
                                          now_ns(CLOCK_THREAD_CPUTIME_ID) - processor};
    vmk_thread_leave(vmk_mm_system(mine->mm));
    return nullptr;
}

/* A process that has the workers from..to-1 as threads in one space. */
pid_t start_process(board *shared, const operation *what, unsigned from, unsigned to, unsigned workers)
{
    const pid_t pid = fork();

    if (pid != 0)
        return pid;
    std::vector<pthread_t> threads(to - from);
    std::vector<job> jobs(to - from);
    vmk_mm *mm = make_space(workers);

    for (unsigned i = from; i < to; i++) {
        jobs[i - from] = {shared, what, mm, i, workers};
        require(pthread_create(&threads[i - from], nullptr, run_worker, &jobs[i - from]) == 0, "no thread");
    }
    for (pthread_t thread : threads)
        pthread_join(thread, nullptr);
    std::_Exit(0);
}

struct rates {
    double clock, processor; /* operations a microsecond, of all workers that count */
};

rates measure(const operation *what, unsigned workers, bool shared_space)
{
    auto *shared =
        static_cast<board *>(mmap(nullptr, sizeof(board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    const timespec wait{0, 1000000}, length{options.ms / 1000, options.ms % 1000 * 1000000L};
    std::vector<pid_t> children;
    rates sum{0, 0};
    int status = 0;

    require(shared != MAP_FAILED, "no memory");
    if (shared_space)
        children.push_back(start_process(shared, what, 0, workers, workers));
    for (unsigned i = 0; i < workers && !shared_space; i++)
        children.push_back(start_process(shared, what, i, i + 1, workers));
    while (shared->nr_ready < workers) {
        require(waitpid(-1, &status, WNOHANG) == 0, "a worker ended");
        nanosleep(&wait, nullptr);
    }
    shared->go = true;
    while (shared->nr_running < workers)
        nanosleep(&wait, nullptr);
    nanosleep(&length, nullptr);
    shared->stop = true;
    for (pid_t child : children)
        require(waitpid(child, &status, 0) == child && status == 0, "a worker failed");
    for (unsigned i = 0; i < (what->first_counts_alone ? 1 : workers); i++) {
        sum.clock += 1e3 * static_cast<double>(shared->result[i].nr) / static_cast<double>(shared->result[i].clock_ns);
        sum.processor +=
            1e3 * static_cast<double>(shared->result[i].nr) / static_cast<double>(shared->result[i].processor_ns);
    }
    munmap(shared, sizeof(board));
    return sum;
}

double median(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    return values.size() % 2 != 0 ? values[values.size() / 2]
                                  : (values[values.size() / 2 - 1] + values[values.size() / 2]) / 2;
}

/* What one row is made of: the samples of both sides, in turns. */
struct samples {
    std::vector<double> space, processes, ratio, processor_ratio;
};

void print_row(const operation *what, unsigned workers, const samples &taken)
{
    const auto ends = std::minmax_element(taken.ratio.begin(), taken.ratio.end());

    std::printf(options.tsv ? "%s\t%u\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\n"
                            : "%-14s %7u  %9.2f  %9.2f  %6.2f (%.2f..%.2f)  %6.2f\n",
                what->name, workers, median(taken.space), median(taken.processes), median(taken.ratio), *ends.first,
                *ends.second, median(taken.processor_ratio));
    std::fflush(stdout);
}

void run(const operation *what, unsigned workers)
{
    samples taken;

    for (unsigned round = 0; round < options.rounds; round++) {
        const bool space_first = round % 2 == 0;
        const rates first = measure(what, workers, space_first), second = measure(what, workers, !space_first);
        const rates space = space_first ? first : second, processes = space_first ? second : first;

        taken.space.push_back(space.clock);
        taken.processes.push_back(processes.clock);
        taken.ratio.push_back(space.clock / processes.clock);
        taken.processor_ratio.push_back(space.processor / processes.processor);
    }
    print_row(what, workers, taken);
}

/* ---- The program ---- */

void find_processors()
{
    cpu_set_t set;

    sched_getaffinity(0, sizeof(set), &set);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &set))
            processors.push_back(i);
}

/* 2, 4, 8 ... and all. */
void default_threads()
{
    const auto all = static_cast<unsigned>(std::min<size_t>(processors.size(), MAX_WORKERS));

    for (unsigned n = 2; n < all; n *= 2)
        options.threads.push_back(n);
    options.threads.push_back(std::max(all, 2u));
}

bool take_option(char *argument)
{
    if (std::strcmp(argument, "--tsv") == 0) {
        options.tsv = true;
    } else if (std::strcmp(argument, "--realtime") == 0) {
        options.realtime = true;
    } else if (std::strncmp(argument, "--areas=", 8) == 0) {
        options.areas = static_cast<unsigned>(std::strtoul(argument + 8, nullptr, 10));
    } else if (std::strncmp(argument, "--only=", 7) == 0) {
        options.only = argument + 7;
    } else if (std::strncmp(argument, "--rounds=", 9) == 0) {
        options.rounds = static_cast<unsigned>(std::strtoul(argument + 9, nullptr, 10));
    } else if (std::strncmp(argument, "--ms=", 5) == 0) {
        options.ms = static_cast<unsigned>(std::strtoul(argument + 5, nullptr, 10));
    } else if (std::strncmp(argument, "--threads=", 10) == 0) {
        for (char *number = std::strtok(argument + 10, ","); number != nullptr; number = std::strtok(nullptr, ","))
            options.threads.push_back(static_cast<unsigned>(std::strtoul(number, nullptr, 10)));
    } else {
        return false;
    }
    return true;
}

bool options_usable()
{
    for (unsigned n : options.threads)
        if (n < 1 || n > MAX_WORKERS)
            return false;
    return options.areas >= 10 && options.areas < REGION / STRIDE && options.rounds > 0 && options.ms > 0;
}

} // namespace

int main(int argc, char **argv)
{
    find_processors();
    for (int i = 1; i < argc; i++)
        if (!take_option(argv[i]))
            options.rounds = 0;
    if (!options_usable()) {
        std::fprintf(
            stderr,
            "usage: threads [--threads=N,N...] [--areas=N] [--rounds=N] [--ms=N] [--only=OPERATION] [--realtime] "
            "[--tsv]\n");
        return 2;
    }
    be_realtime(2);
    if (options.threads.empty())
        default_threads();
    if (!options.tsv)
        std::printf("%-14s %7s  %9s  %9s  %22s  %s\n", "operation", "threads", "one space", "processes", "ratio",
                    "by processor time");
    for (unsigned n : options.threads)
        for (const operation &what : operations)
            if (options.only == nullptr || std::strcmp(options.only, what.name) == 0)
                run(&what, n);
    return 0;
}
