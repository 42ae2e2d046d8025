// SPDX-License-Identifier: MIT
//
// How late limits are, what watching costs, and how true the accounting is: tables, one after another, in one run.
//
//     limits_report [overshoot] [wall] [watching] [spawning] [accounting] [blocking]     default: all
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <proctor/proctor.hpp>

using namespace std::chrono_literals;
using namespace proctor::literals;
using proctor::Containment;
using proctor::Job;
using proctor::Reactor;
using proctor::RunResult;
using std::chrono::nanoseconds;

namespace {

std::string directory;

Job busy(std::vector<std::string> words) {
    words.insert(words.begin(), directory + "/busy_child");
    return {.argv = std::move(words)};
}

double milliseconds(nanoseconds time) { return static_cast<double>(time.count()) / 1e6; }

double quantile(std::vector<double> values, double at) {
    if (values.empty()) return NAN;
    std::sort(values.begin(), values.end());
    return values[static_cast<std::size_t>(std::lround(at * static_cast<double>(values.size() - 1)))];
}

const char* name_of(Containment kind) {
    switch (kind) {
        case Containment::automatic: return "automatic";
        case Containment::cgroup: return "cgroup";
        case Containment::keeper: return "keeper";
        case Containment::tree: return "tree";
    }
    return "";
}

std::vector<Containment> kinds() {
    std::vector<Containment> found;
    for (const Containment kind : {Containment::cgroup, Containment::keeper, Containment::tree}) {
        if (const auto reactor = Reactor::create({.containment = kind})) {
            found.push_back(kind);
        } else {
            std::printf("skipped: %s: %s\n", name_of(kind), reactor.error().message.c_str());
        }
    }
    return found;
}

Reactor make_reactor(Containment kind, unsigned most = 1) {
    auto reactor = Reactor::create({.max_running = most, .containment = kind});
    if (!reactor) {
        std::fprintf(stderr, "limits_report: %s\n", reactor.error().message.c_str());
        std::exit(1);
    }
    return std::move(*reactor);
}

RunResult run_in(Containment kind, const Job& job) {
    Reactor reactor = make_reactor(kind);
    RunResult result;
    reactor.submit(job, [&](RunResult&& ended) { result = std::move(ended); });
    (void)reactor.run();
    return result;
}

struct Own {
    nanoseconds cpu{};
    long sleeps = 0;
};

Own own_use() {
    rusage usage{};
    getrusage(RUSAGE_THREAD, &usage);
    const auto time = [](const timeval& value) { return value.tv_sec * 1s + value.tv_usec * 1us; };
    return {time(usage.ru_utime) + time(usage.ru_stime), usage.ru_nvcsw};
}

nanoseconds cpu_of(const RunResult& result) { return result.usage ? result.usage->utime + result.usage->stime : 0ns; }

// --- How late the processor time limit is

RunResult limit_by_polling(Containment kind, Job job, nanoseconds limit) {
    Reactor reactor = make_reactor(kind);
    RunResult result;
    bool ended = false;
    job.sample = false;
    const auto handle = reactor.submit(std::move(job), [&](RunResult&& end) {
        result = std::move(end);
        ended = true;
    });
    auto next = std::chrono::steady_clock::now() + 100ms;
    while (!ended) {
        (void)reactor.run_once(next - std::chrono::steady_clock::now());
        if (std::chrono::steady_clock::now() < next) continue;
        next += 100ms;
        if (const auto usage = handle.usage(); usage && usage->utime + usage->stime >= limit) handle.cancel();
    }
    return result;
}

void report_overshoot() {
    constexpr nanoseconds limit = 200ms;
    constexpr int runs = 50;
    std::printf("\nProcessor time limit of 200 ms: overshoot in ms, %d runs each; wake-ups of the host a run\n", runs);
    std::printf("%-28s %-8s %8s %8s %8s %10s   by a 100 ms poll: %8s %8s\n", "what", "held by", "median", "p95", "most",
                "wake-ups", "median", "p95");
    const std::vector<std::pair<const char*, std::vector<std::string>>> loads = {
        {"1 spinning thread", {"threads", "1"}},
        {"2 spinning threads", {"threads", "2"}},
        {"8 short-lived spinners", {"short-lived", "8"}},
    };
    for (const Containment kind : kinds()) {
        for (const auto& [name, words] : loads) {
            std::vector<double> predicted;
            std::vector<double> polled;
            std::vector<double> sleeps;
            int wrong = 0;
            for (int i = 0; i < runs; ++i) {
                Job job = busy(words);
                job.limits.cpu_time = limit;
                const Own before = own_use();
                const RunResult result = run_in(kind, job);
                sleeps.push_back(static_cast<double>(own_use().sleeps - before.sleeps));
                wrong += result.reason == proctor::Reason::cpu_limit ? 0 : 1;
                predicted.push_back(milliseconds(cpu_of(result) - limit));
                if (i % 5 == 0)
                    polled.push_back(milliseconds(cpu_of(limit_by_polling(kind, busy(words), limit)) - limit));
            }
            std::printf("%-28s %-8s %8.2f %8.2f %8.2f %10.0f                     %8.1f %8.1f%s\n", name, name_of(kind),
                        quantile(predicted, 0.5), quantile(predicted, 0.95), quantile(predicted, 1.0),
                        quantile(sleeps, 0.5), quantile(polled, 0.5), quantile(polled, 0.95),
                        wrong > 0 ? "   WRONG REASONS" : "");
        }
    }
}

// --- How late the wall time limit is

struct Company {
    const char* name;
    int count;
    std::vector<std::string> words;
    std::optional<int> nice{};
    proctor::Placement placement{};
};

// Else the scheduler moves this thread between two launches, and what is apart from one place is not from the next.
void bind_to_current_processor() {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
}

// One begins every 20 ms, so that a launch seldom falls on the moment of another's limit.
std::vector<double> late_beside(Containment kind, const Company& company) {
    constexpr int runs = 200;
    Reactor reactor = make_reactor(kind, 600);
    const bool placed = company.placement != proctor::Placement::any();
    cpu_set_t before;
    sched_getaffinity(0, sizeof before, &before);
    if (placed) bind_to_current_processor();
    std::vector<proctor::JobHandle> others;
    for (int i = 0; i < company.count; ++i) {
        Job job = busy(company.words);
        job.nice = company.nice;
        job.placement = company.placement;
        others.push_back(reactor.submit(std::move(job)));
    }
    const auto run_until = [&](std::chrono::steady_clock::time_point time) {
        for (auto left = time - std::chrono::steady_clock::now(); left > 0s;
             left = time - std::chrono::steady_clock::now()) {
            (void)reactor.run_once(left);
        }
    };
    auto next = std::chrono::steady_clock::now() + 2s;
    run_until(next);
    std::vector<double> late;
    int ended = 0;
    for (int i = 0; i < runs; ++i) {
        Job job = busy({"sleep", "60000"});
        job.limits.time = 200ms;
        reactor.submit(std::move(job), [&](const RunResult& result) {
            ++ended;
            if (result.limit_events.signalled_at) {
                late.push_back(milliseconds(*result.limit_events.signalled_at - 200ms));
            }
        });
        next += 20ms;
        run_until(next);
    }
    while (ended < runs) (void)reactor.run_once(1s);
    for (const auto& other : others) other.cancel();
    (void)reactor.run();
    if (placed) sched_setaffinity(0, sizeof before, &before);
    return late;
}

void report_wall() {
    std::printf("\nWall time limit of 200 ms, 200 runs: from the crossing to the signal, in ms\n");
    std::printf("%-38s %-8s %8s %8s %8s\n", "beside", "held by", "median", "p99", "most");
    const std::vector<Company> companies = {
        {"nobody", 0, {}},
        {"500 sleeping children", 500, {"sleep", "60000"}},
        {"200 spinning children", 200, {"threads", "1"}},
        {"200 spinning children of nice 19", 200, {"threads", "1"}, 19},
        {"200 spinning children, apart, host bound", 200, {"threads", "1"}, {}, proctor::Placement::apart()}};
    for (const Containment kind : kinds()) {
        for (const Company& company : companies) {
            const std::vector<double> late = late_beside(kind, company);
            std::printf("%-38s %-8s %8.3f %8.3f %8.3f\n", company.name, name_of(kind), quantile(late, 0.5),
                        quantile(late, 0.99), quantile(late, 1.0));
        }
    }
}

// --- What watching costs

void report_watching() {
    std::printf("\nWatching with all limits for 10 s: the host's processor time, in percent of one processor\n");
    for (const auto& [name, count, words] :
         {std::tuple("1,000 sleeping children", 1000, std::vector<std::string>{"sleep", "60000"}),
          std::tuple("100 busy children", 100, std::vector<std::string>{"threads", "1"})}) {
        for (const Containment kind : kinds()) {
            Reactor reactor = make_reactor(kind, 1100);
            for (int i = 0; i < count; ++i) {
                Job job = busy(words);
                job.limits = {.time = 1h, .cpu_time = 1h, .block = 1h, .memory = 1_GiB, .processes = 100};
                reactor.submit(job);
            }
            const auto settled = std::chrono::steady_clock::now() + 3s;
            while (std::chrono::steady_clock::now() < settled) (void)reactor.run_once(100ms);
            const Own before = own_use();
            const auto end = std::chrono::steady_clock::now() + 10s;
            while (std::chrono::steady_clock::now() < end)
                (void)reactor.run_once(end - std::chrono::steady_clock::now());
            const Own after = own_use();
            std::printf("%-34s %-8s %8.2f   %ld wake-ups/s\n", name, name_of(kind),
                        milliseconds(after.cpu - before.cpu) / 100.0, (after.sleeps - before.sleeps) / 10);
        }
    }
}

// --- What containment adds to a launch

void report_spawning() {
    constexpr int jobs = 1000;
    constexpr int rounds = 11;
    std::printf("\nA tiny job from launch to result, %d jobs a round, %d rounds in turn: time relative to `tree`\n",
                jobs, rounds);
    for (const unsigned at_once : {1U, 16U}) {
        std::map<Containment, std::vector<double>> times;
        for (int round = 0; round < rounds; ++round) {
            for (const Containment kind : kinds()) {
                Reactor reactor = make_reactor(kind, at_once);
                const Job job{.argv = {directory + "/tiny_child"}};
                const auto run = [&](int count) {
                    for (int i = 0; i < count; ++i) reactor.submit(job);
                    (void)reactor.run();
                };
                run(100);
                const auto start = std::chrono::steady_clock::now();
                run(jobs);
                times[kind].push_back(milliseconds(std::chrono::steady_clock::now() - start) / jobs * 1000);
            }
        }
        const double base = quantile(times[Containment::tree], 0.5);
        for (const auto& [kind, each] : times) {
            std::printf("%2u at once  %-8s %5.2f (%.2f - %.2f)   %+6.0f us a job\n", at_once, name_of(kind),
                        quantile(each, 0.5) / base, quantile(each, 0) / base, quantile(each, 1) / base,
                        quantile(each, 0.5) - base);
        }
    }
}

// --- How true the numbers are

void print_memory(const char* name, double truth, const RunResult& result, Containment kind) {
    const double told = result.usage && result.usage->mem ? static_cast<double>(*result.usage->mem) / (1 << 20) : NAN;
    const double anonymous =
        result.usage && result.usage->mem_anon ? static_cast<double>(*result.usage->mem_anon) / (1 << 20) : NAN;
    std::printf("%-44s %-8s truth %7.1f  mem %7.1f (%s)  mem_anon %7.1f  proc %d\n", name, name_of(kind), truth, told,
                result.sources.mem ? std::string(*result.sources.mem).c_str() : "unknown", anonymous,
                result.usage && result.usage->proc ? *result.usage->proc : -1);
}

void report_accounting() {
    std::printf("\nAccounting. Memory in MiB; nan: not known\n");
    for (const Containment kind : kinds()) {
        const RunResult result = run_in(kind, busy({"children", "2000"}));
        std::printf("%-44s %-8s truth >= 2000 ms  told %7.0f ms (%s, %s)\n",
                    "2,000 grandchildren of 1 ms, half not waited for", name_of(kind), milliseconds(cpu_of(result)),
                    result.sources.cpu ? std::string(*result.sources.cpu).c_str() : "unknown",
                    result.sources.cpu_complete ? "complete" : "not complete");
    }
    std::vector<char> large;
    for (const Containment kind : kinds()) {
        print_memory("200 MiB held for 5 ms", 200, run_in(kind, busy({"spike-5ms", "200"})), kind);
        print_memory("64 MiB held, 3 forks (copy on write)", 64, run_in(kind, busy({"fork-copy", "64"})), kind);
        print_memory("64 MiB shared by 4 processes", 64, run_in(kind, busy({"shared", "64"})), kind);
        const std::string file = directory + "/limits_report.data";
        (void)run_in(kind, {.argv = {"/bin/sh", "-c", "head -c 536870912 /dev/zero > " + file}});
        print_memory("512 MiB of a file read by cat", 1,
                     run_in(kind, {.argv = {"cat", file}, .output = proctor::Output::null()}), kind);
        ::unlink(file.c_str());
        large.assign(std::size_t{2} << 30, 'x');
        print_memory("1 MiB child of a host that holds 2 GiB", 1, run_in(kind, busy({"hold", "1"})), kind);
        large = {};
        large.shrink_to_fit();
    }
}

// --- Who is blocked

void report_blocking() {
    std::printf("\nBlock limit of 2 s\n");
    const std::string deadlock =
        "import threading, time\n"
        "a, b = threading.Lock(), threading.Lock()\n"
        "def f(x, y):\n"
        "    with x:\n"
        "        time.sleep(0.2)\n"
        "        with y: pass\n"
        "t = [threading.Thread(target=f, args=p) for p in ((a, b), (b, a))]\n"
        "[x.start() for x in t]; [x.join() for x in t]\n";
    struct Case {
        const char* name;
        Job job;
        bool blocked;
    };
    std::vector<Case> cases;
    cases.push_back({"two threads in a deadlock (Python)", {.argv = {"/usr/bin/python3", "-c", deadlock}}, true});
    cases.push_back({"read of stdin for ever",
                     {.argv = {"/usr/bin/python3", "-c", "input()"}, .input = proctor::Input::held_open()},
                     true});
    cases.push_back({"sleep 60", {.argv = {"sleep", "60"}}, true});
    cases.push_back({"a shell that prints every 0.5 s",
                     {.argv = {"/bin/sh", "-c", "while :; do echo x; sleep 0.5; done"}, .limits = {.time = 6s}},
                     false});
    Job burner = busy({"threads", "1"});
    burner.limits.time = 6s;
    cases.push_back({"one that spins", burner, false});
    const std::string java = directory + "/Idle.java";
    if (std::FILE* const file = std::fopen(java.c_str(), "w");
        file != nullptr && ::access("/usr/bin/java", X_OK) == 0) {
        std::fputs(
            "public class Idle { public static void main(String[] a) throws Exception { Thread.sleep(60000); } }",
            file);
        std::fclose(file);
        cases.push_back({"an idle Java machine", {.argv = {"/usr/bin/java", java}, .limits = {.time = 60s}}, true});
    }
    for (Case& each : cases) {
        each.job.limits.block = 2s;
        for (const Containment kind : kinds()) {
            const RunResult result = run_in(kind, each.job);
            const bool blocked = result.reason == proctor::Reason::block_limit;
            std::printf("%-36s %-8s %-12s after %6.2f s  %s%s\n", each.name, name_of(kind),
                        blocked ? "blocked" : "not blocked",
                        result.usage ? milliseconds(result.usage->wctime) / 1000 : NAN, result.blocked_in.c_str(),
                        blocked == each.blocked ? "" : "   WRONG");
        }
    }
}

}  // namespace

int main(int count, char** words) {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    char path[4096];
    const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
    directory.assign(path, static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
    directory.resize(directory.rfind('/'));
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    const std::vector<std::pair<std::string_view, void (*)()>> reports = {
        {"overshoot", report_overshoot},   {"wall", report_wall},
        {"watching", report_watching},     {"spawning", report_spawning},
        {"accounting", report_accounting}, {"blocking", report_blocking}};
    const std::vector<std::string_view> wanted(words + 1, words + count);
    for (const auto& [name, report] : reports) {
        if (wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end()) report();
    }
    return 0;
}
