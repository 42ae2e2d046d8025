// SPDX-License-Identifier: MIT
#include "workloads.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "support.hpp"

namespace compare {

namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t mib = std::uint64_t{1} << 20;

std::string directory() { return std::filesystem::canonical("/proc/self/exe").parent_path(); }

std::string tiny_child() { return std::filesystem::canonical(directory() + "/../tiny_child"); }

std::vector<std::string> child(std::vector<std::string> words) {
    words.insert(words.begin(), directory() + "/compare_child");
    return words;
}

// --- The state of this process

std::vector<int> own_processors() {
    cpu_set_t set;
    CPU_ZERO(&set);
    ::sched_getaffinity(0, sizeof set, &set);
    std::vector<int> found;
    for (int each = 0; each < CPU_SETSIZE; ++each) {
        if (CPU_ISSET(each, &set)) {
            found.push_back(each);
        }
    }
    return found;
}

// The children inherit it.
void pin_to(int processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    ::sched_setaffinity(0, sizeof set, &set);
}

void pin(bool /*quick*/) { pin_to(own_processors().back()); }

// It stays until the process ends.
void hold_memory(bool quick) {
    const std::size_t size = (quick ? 16 : 1'024) * mib;
    static std::unique_ptr<char[]> held;
    held.reset(new char[size]);
    std::memset(held.get(), 1, size);
}

double peak_memory_kib() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.rfind("VmHWM:", 0) == 0) {
            return std::stod(line.substr(6));
        }
    }
    return 0;
}

// --- What is measured from outside. A peer that runs in another process has told it itself.

template <typename Work>
Figures with_own_use(double jobs, const Work& work) {
    const double before = own_cpu_seconds();
    Figures figures = work();
    figures.emplace("own_cpu_s", (own_cpu_seconds() - before) / jobs);
    figures.emplace("rss_kib", peak_memory_kib());
    return figures;
}

// --- The workloads

using Prepare = void (*)(bool quick);

Workload spawn(
    std::string name, std::size_t at_once, std::size_t jobs, Prepare prepare = [](bool) {}) {
    return {.name = std::move(name), .measure = [=](Peer& peer, bool quick) {
                prepare(quick);
                const SpawnWork work{.program = tiny_child(),
                                     .jobs = quick ? std::max<std::size_t>(at_once, 50) : jobs,
                                     .at_once = at_once,
                                     .expected_output = "ok\n"};
                return with_own_use(static_cast<double>(work.jobs), [&] { return peer.spawn(work); });
            }};
}

Workload spawn_true() {
    return {.name = "spawn_true_16", .measure = [](Peer& peer, bool quick) {
                const SpawnWork work{.program = "/bin/true", .jobs = quick ? 50u : 2'000u, .at_once = 16};
                return with_own_use(static_cast<double>(work.jobs), [&] { return peer.spawn(work); });
            }};
}

Workload flood(std::string name, Keep keep, std::uint64_t bytes) {
    return {.name = std::move(name), .measure = [=](Peer& peer, bool quick) {
                const std::uint64_t size = quick ? std::min(bytes, 16 * mib) : bytes;
                const FloodWork work{child({"flood", std::to_string(size)}), size, keep};
                return with_own_use(1, [&] { return peer.flood(work); });
            }};
}

Workload lines() {
    return {.name = "lines",
            .measure =
                [](Peer& peer, bool quick) {
                    const std::size_t count = quick ? 10'000 : 200'000;
                    return peer.lines({child({"lines", std::to_string(count)}), count});
                },
            .of_lines = true};
}

Workload echo() {
    return {.name = "echo", .measure = [](Peer& peer, bool quick) {
                const EchoWork work{{"/bin/cat"}, (quick ? 4 : 64) * mib};
                return with_own_use(1, [&] { return peer.echo(work); });
            }};
}

// Where the two processes of a round trip run.
enum class Placement { apart, together, left };

std::vector<std::string> place(Placement placement) {
    const std::vector<int> processors = own_processors();
    switch (placement) {
        case Placement::apart:
            if (processors.size() < 2) {
                throw Unavailable("there is one processor");
            }
            pin_to(processors.front());
            return child({"echo", std::to_string(processors.back())});
        case Placement::together: pin_to(processors.back()); break;
        case Placement::left: break;
    }
    return child({"echo"});
}

Workload round_trips(std::string name, Placement placement) {
    return {.name = std::move(name), .measure = [=](Peer& peer, bool quick) {
                return peer.round_trips({place(placement), quick ? 500u : 20'000u});
            }};
}

Workload overshoot(std::string name, const char* verb, std::size_t sleepers) {
    return {.name = std::move(name), .measure = [=](Peer& peer, bool quick) {
                return peer.overshoot({.argv = child({verb}),
                                       .limit = quick ? 20ms : 200ms,
                                       .runs = quick ? 2u : 10u,
                                       .sleeper_argv = child({"sleep"}),
                                       .sleepers = quick ? std::min<std::size_t>(sleepers, 20) : sleepers});
            }};
}

Workload idle(std::string name, std::size_t children) {
    return {.name = std::move(name), .measure = [=](Peer& peer, bool quick) {
                Figures figures = peer.idle({.argv = child({"sleep"}),
                                             .children = quick ? children / 100 : children,
                                             .time = quick ? 50ms : 5'000ms});
                figures.emplace("rss_kib", peak_memory_kib());
                return figures;
            }};
}

Workload burst() {
    return {.name = "burst_1000", .measure = [](Peer& peer, bool quick) {
                return peer.burst({.argv = child({"wait3"}), .children = quick ? 20u : 1'000u});
            }};
}

}  // namespace

const std::vector<Workload>& all_workloads() {
    static const std::vector<Workload> all = {
        spawn("spawn_static_1", 1, 4'000),
        spawn("spawn_static_16", 16, 6'000),
        spawn("spawn_static_256", 256, 6'000),
        spawn("spawn_static_1_pinned", 1, 4'000, pin),
        spawn("spawn_static_16_pinned", 16, 4'000, pin),
        spawn("spawn_static_1_host_1gib", 1, 4'000, hold_memory),
        spawn("spawn_static_16_host_1gib", 16, 6'000, hold_memory),
        spawn_true(),
        flood("flood_discard", Keep::nothing, 1'024 * mib),
        flood("flood_keep", Keep::memory, 256 * mib),
        flood("flood_spool", Keep::disk, 256 * mib),
        lines(),
        echo(),
        round_trips("roundtrip_apart", Placement::apart),
        round_trips("roundtrip_together", Placement::together),
        round_trips("roundtrip_left", Placement::left),
        overshoot("overshoot_200ms", "spin", 0),
        overshoot("overshoot_500_sleepers", "sleep", 500),
        idle("idle_1000", 1'000),
        idle("idle_10000", 10'000),
        burst(),
    };
    return all;
}

}  // namespace compare
