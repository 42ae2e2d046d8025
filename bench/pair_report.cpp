// SPDX-License-Identifier: MIT
//
// How exactly paced lines are written, and what recording the dialogue of two programs costs against pipes between
// them.
//
//     pair_report [pacing] [pairs]     default: both
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <proctor/proctor.hpp>

#include "machine.hpp"

using namespace std::chrono_literals;
using proctor::Job;
using proctor::PairResult;
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

nanoseconds talk(Reactor& reactor, Wiring wiring, int round_trips, const std::vector<unsigned>& processors) {
    const std::string count = std::to_string(round_trips);
    Job first{.argv = {directory + "/busy_child", "ask", count}, .affinity = processors};
    Job second{.argv = {directory + "/busy_child", "answer", count}, .affinity = processors};
    nanoseconds took{};
    reactor.submit_pair(
        std::move(first), std::move(second),
        [&](const PairResult& result) {
            if (!result.passed()) {
                std::fprintf(stderr, "pair_report: the pair failed\n");
                std::exit(1);
            }
            took = result.first.usage->wctime;
        },
        wiring);
    (void)reactor.run();
    return took;
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

void report_pairs() {
    constexpr int round_trips = 100'000;
    constexpr int rounds = 7;
    const std::vector<unsigned> all = own_processors();
    std::printf("Pairs: %d one-line round trips, %d rounds in turn: time of a round trip in us\n", round_trips, rounds);
    for (const bool pinned : {true, false}) {
        const std::vector<unsigned> processors = pinned ? std::vector<unsigned>{all.front()} : all;
        pin(processors);
        Reactor reactor = make_reactor();
        talk(reactor, Wiring::recorded, round_trips / 10, processors);
        std::vector<double> recorded;
        std::vector<double> direct;
        std::vector<double> ratios;
        for (int round = 0; round < rounds; ++round) {
            recorded.push_back(milliseconds(talk(reactor, Wiring::recorded, round_trips, processors)) * 1000 /
                               round_trips);
            direct.push_back(milliseconds(talk(reactor, Wiring::direct, round_trips, processors)) * 1000 / round_trips);
            ratios.push_back(recorded.back() / direct.back());
        }
        std::printf("%-22s recorded %6.2f (%.2f - %.2f)  direct %6.2f (%.2f - %.2f)  ratio %.2f (%.2f - %.2f)\n",
                    pinned ? "on one processor" : "on all processors", quantile(recorded, 0.5), quantile(recorded, 0),
                    quantile(recorded, 1), quantile(direct, 0.5), quantile(direct, 0), quantile(direct, 1),
                    quantile(ratios, 0.5), quantile(ratios, 0), quantile(ratios, 1));
        pin(all);
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
    const std::vector<std::pair<std::string_view, void (*)()>> reports = {{"pacing", report_pacing},
                                                                          {"pairs", report_pairs}};
    const std::vector<std::string_view> wanted(words + 1, words + count);
    for (const auto& [name, report] : reports) {
        if (wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end()) report();
    }
    if (const auto percent = disturbance.percent()) std::printf("taken by other programs: %d %%\n", *percent);
    return 0;
}
