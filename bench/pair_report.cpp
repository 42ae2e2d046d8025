// SPDX-License-Identifier: MIT
//
// How exactly paced lines are written, and what recording the dialogue of two programs costs against pipes between
// them.
//
//     pair_report [pacing] [pairs] [placement]     default: all
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <proctor/proctor.hpp>

#include "machine.hpp"

using namespace std::chrono_literals;
using proctor::Job;
using proctor::PairResult;
using proctor::Placement;
using proctor::Reactor;
using proctor::RunResult;
using proctor::Wiring;
using std::chrono::nanoseconds;

namespace {

std::string directory;

double milliseconds(nanoseconds time) { return static_cast<double>(time.count()) / 1e6; }

double quantile(std::vector<double> values, double at) {
    if (values.empty()) return NAN;
    std::sort(values.begin(), values.end());
    return values[static_cast<std::size_t>(std::lround(at * static_cast<double>(values.size() - 1)))];
}

Reactor make_reactor() {
    auto reactor = Reactor::create();
    if (!reactor) {
        std::fprintf(stderr, "pair_report: %s\n", reactor.error().message.c_str());
        std::exit(1);
    }
    return std::move(*reactor);
}

// --- Pacing

void report_pacing() {
    constexpr int lines = 1000;
    constexpr nanoseconds delay = 5ms;
    std::string text;
    for (int i = 0; i < lines; ++i) text += "line " + std::to_string(i) + '\n';
    const RunResult result = proctor::run({.argv = {"cat"}, .input = proctor::Input::text(text), .input_delay = delay});
    // The second line is the first whose time is told exactly: the first may come before the program's zero.
    std::vector<nanoseconds> times;
    auto playback = result.capture.playback();
    while (const auto record = playback.next(proctor::STDIN)) times.push_back(record->time);
    // The plan's beginning is not told: it is where no line would be early.
    nanoseconds begin = nanoseconds::max();
    for (std::size_t i = 1; i < times.size(); ++i) {
        begin = std::min(begin, times[i] - delay * static_cast<std::int64_t>(i));
    }
    std::vector<double> late;
    for (std::size_t i = 1; i < times.size(); ++i) {
        late.push_back(milliseconds(times[i] - begin - delay * static_cast<std::int64_t>(i)) * 1000);
    }
    std::printf("Pacing: %zu lines at 5 ms, later than planned, in us: median %.1f  p99 %.1f  most %.1f\n",
                times.size(), quantile(late, 0.5), quantile(late, 0.99), quantile(late, 1));
}

// --- Pairs

void pin(const std::vector<unsigned>& processors) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const unsigned each : processors) CPU_SET(each, &set);
    sched_setaffinity(0, sizeof set, &set);
}

struct Dialogue {
    Wiring wiring = Wiring::recorded;
    int round_trips = 0;
    Placement asker{};
    Placement answerer{};
    int work_us = 0;  // processor time for each answer
    int at_once = 1;
};

// The time of a round trip, in microseconds: from the first launch to the last end.
double talk(Reactor& reactor, const Dialogue& dialogue) {
    const std::string count = std::to_string(dialogue.round_trips);
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < dialogue.at_once; ++i) {
        Job first{.argv = {directory + "/busy_child", "ask", count}, .placement = dialogue.asker};
        Job second{.argv = {directory + "/busy_child", "answer", count, std::to_string(dialogue.work_us)},
                   .placement = dialogue.answerer};
        reactor.submit_pair(
            std::move(first), std::move(second),
            [&](const PairResult& result) {
                if (!result.passed()) {
                    std::fprintf(stderr, "pair_report: the pair failed\n");
                    std::exit(1);
                }
            },
            dialogue.wiring);
    }
    (void)reactor.run();
    return milliseconds(std::chrono::steady_clock::now() - began) * 1000 / dialogue.round_trips;
}

std::vector<unsigned> own_processors() {
    cpu_set_t set;
    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof set, &set);
    std::vector<unsigned> found;
    for (unsigned each = 0; each < CPU_SETSIZE; ++each) {
        if (CPU_ISSET(each, &set)) found.push_back(each);
    }
    return found;
}

std::string spread(const std::vector<double>& values) {
    char text[64];
    std::snprintf(text, sizeof text, "%7.2f (%.2f - %.2f)", quantile(values, 0.5), quantile(values, 0),
                  quantile(values, 1));
    return text;
}

void report_pairs() {
    constexpr int round_trips = 100'000;
    constexpr int rounds = 7;
    const std::vector<unsigned> all = own_processors();
    std::printf("Pairs: %d one-line round trips, %d rounds in turn: time of a round trip in us\n", round_trips, rounds);
    for (const bool pinned : {true, false}) {
        pin(pinned ? std::vector<unsigned>{all.front()} : all);
        Reactor reactor = make_reactor();
        talk(reactor, {.round_trips = round_trips / 10});
        std::vector<double> recorded;
        std::vector<double> direct;
        std::vector<double> ratios;
        for (int round = 0; round < rounds; ++round) {
            recorded.push_back(talk(reactor, {.round_trips = round_trips}));
            direct.push_back(talk(reactor, {.wiring = Wiring::direct, .round_trips = round_trips}));
            ratios.push_back(recorded.back() / direct.back());
        }
        std::printf("%-22s recorded %s  direct %s  ratio %s\n", pinned ? "on one processor" : "on all processors",
                    spread(recorded).c_str(), spread(direct).c_str(), spread(ratios).c_str());
        pin(all);
    }
}

// --- Placement

// Each row is a host of its own kind, all in turn in each round, as what else the machine does changes meanwhile.
void report_placement() {
    struct Row {
        const char* name;
        bool bound;  // the reactor's thread, to one processor, after the reactor is made
        Placement asker;
        Placement answerer;
    };
    const Row rows[] = {
        {"any", false, Placement::any(), Placement::any()},
        {"with_reactor", false, Placement::with_reactor(), Placement::with_reactor()},
        {"with_reactor, bound", true, Placement::with_reactor(), Placement::with_reactor()},
        {"apart", false, Placement::apart(), Placement::apart()},
        {"apart, bound", true, Placement::apart(), Placement::apart()},
        {"judge with, bound", true, Placement::with_reactor(), Placement::apart()},
    };
    struct Load {
        const char* name;
        Dialogue dialogue;
        int rounds;
    };
    const Load loads[] = {
        {"one pair that computes nothing", {.round_trips = 100'000}, 3},
        {"one pair, an answer takes 1 ms of computing", {.round_trips = 1'000, .work_us = 1000}, 5},
        {"four pairs that compute nothing", {.round_trips = 5'000, .at_once = 4}, 5},
        {"four pairs, an answer takes 1 ms of computing", {.round_trips = 250, .work_us = 1000, .at_once = 4}, 5},
    };
    const std::vector<unsigned> all = own_processors();
    for (const Load& load : loads) {
        std::printf("Placement: %s, %d round trips, %d rounds in turn: time of a round trip in us\n", load.name,
                    load.dialogue.round_trips, load.rounds);
        std::vector<std::vector<double>> times(std::size(rows));
        for (int round = 0; round < load.rounds; ++round) {
            for (std::size_t i = 0; i < std::size(rows); ++i) {
                Reactor reactor = make_reactor();
                if (rows[i].bound) pin({all.front()});
                Dialogue dialogue = load.dialogue;
                dialogue.asker = rows[i].asker;
                dialogue.answerer = rows[i].answerer;
                times[i].push_back(talk(reactor, dialogue));
                pin(all);
            }
        }
        for (std::size_t i = 0; i < std::size(rows); ++i) {
            std::printf("  %-22s %s\n", rows[i].name, spread(times[i]).c_str());
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
    std::printf("%s\n", bench::describe_machine().c_str());
    const bench::Disturbance disturbance;
    const std::vector<std::pair<std::string_view, void (*)()>> reports = {
        {"pacing", report_pacing}, {"pairs", report_pairs}, {"placement", report_placement}};
    const std::vector<std::string_view> wanted(words + 1, words + count);
    for (const auto& [name, report] : reports) {
        if (wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end()) report();
    }
    if (const auto percent = disturbance.percent()) std::printf("taken by other programs: %d %%\n", *percent);
    return 0;
}
