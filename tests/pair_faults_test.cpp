// SPDX-License-Identifier: MIT
//
// Two programs that talk to each other: for each way in which either can fail, who ended first and why.
#include "support.hpp"

#include <chrono>
#include <csignal>
#include <optional>
#include <set>
#include <string>

using namespace std::chrono_literals;
using proctor::Containment;
using proctor::Job;
using proctor::PairResult;
using proctor::Reactor;
using proctor::Reason;
using proctor::RunLimits;
using proctor::RunResult;
using proctor::Side;
using proctor::Wiring;
using support::describe;
using support::ended_before;
using support::script;

namespace {

// What is expected of one side. Whom the other's death meets between two words may be reading or writing.
struct Expected {
    std::optional<int> returncode{};
    std::optional<int> or_returncode{};
    std::optional<Reason> reason{};
};

Expected status(int code) { return {.returncode = code, .or_returncode = code}; }
Expected either(int code, int other) { return {.returncode = code, .or_returncode = other}; }
Expected limit(Reason reason) { return {.reason = reason}; }

void check_side(const RunResult& result, const Expected& expected) {
    CHECK_FALSE(result.error.has_value());
    CHECK(result.reason == expected.reason);
    if (expected.returncode) {
        const bool as_expected =
            result.returncode == expected.returncode || result.returncode == expected.or_returncode;
        CHECK(as_expected);
    }
}

struct Fault {
    const char* name;
    const char* first;
    const char* second;
    Expected first_expected;
    Expected second_expected;
    Side ended_first;
    RunLimits first_limits{};
    RunLimits second_limits{};
    std::optional<proctor::Bytes> second_output{};  // a limit that ends the run
    bool recorded_only = false;
};

const RunLimits blocked{.block = 300ms};
const RunLimits timed{.time = 500ms};
const RunLimits computing{.cpu_time = 100ms};
// Of one that waits on after the other has ended, for which there must be time.
const RunLimits patient{.time = 10s};

// The first is the judge, the second the solution. Status 97 is the helper's at an unexpected end of its input; a
// program that writes to a dead one is ended by SIGPIPE.
const Fault faults[] = {
    {"none", "ask 10", "copy 0 1", status(0), status(0), Side::first},
    {"the solution exits early", "await-byte 0", "exit 0", status(97), status(0), Side::second},
    {"the judge exits early", "exit 3", "await-byte 0", status(3), status(97), Side::first},
    {"the solution exits early, the judge writes", "fill 1 10000000", "exit 0", status(-SIGPIPE), status(0),
     Side::second},
    {"the judge exits early, the solution writes", "exit 0", "fill 1 10000000", status(0), status(-SIGPIPE),
     Side::first},
    {"the solution closes its input, the judge writes",
     "fill 1 10000000",
     "close 0 then pause",
     status(-SIGPIPE),
     limit(Reason::time_limit),
     Side::first,
     {},
     patient},
    {"the judge closes its input, the solution writes",
     "close 0 then pause",
     "fill 1 10000000",
     limit(Reason::time_limit),
     status(-SIGPIPE),
     Side::second,
     patient,
     {}},
    {"the solution closes its output, the judge reads", "await-byte 0", "close 1 then await-end 0", status(97),
     status(0), Side::first},
    {"the judge closes its output, the solution reads", "close 1 then await-end 0", "await-byte 0", status(0),
     status(97), Side::second},
    {"the solution closes both and goes on",
     "await-end 0",
     "close 0 then close 1 then pause",
     status(0),
     limit(Reason::time_limit),
     Side::first,
     {},
     patient},
    {"the solution never reads",
     "fill 1 10000000",
     "pause",
     status(-SIGPIPE),
     limit(Reason::block_limit),
     Side::second,
     {},
     blocked},
    {"the judge never reads",
     "pause",
     "fill 1 10000000",
     limit(Reason::block_limit),
     status(-SIGPIPE),
     Side::first,
     blocked,
     {}},
    {"the solution never writes",
     "await-byte 0",
     "pause",
     status(97),
     limit(Reason::block_limit),
     Side::second,
     {},
     blocked},
    {"the judge never writes", "pause", "await-byte 0", limit(Reason::time_limit), status(97), Side::first, timed, {}},
    {"the solution loops",
     "ask 10",
     "answer-line then spin",
     either(97, -SIGPIPE),
     limit(Reason::cpu_limit),
     Side::second,
     {},
     computing},
    {"the judge loops", "spin", "await-byte 0", limit(Reason::cpu_limit), status(97), Side::first, computing, {}},
    {"both read: the solution is limited",
     "await-byte 0",
     "await-byte 0",
     status(97),
     limit(Reason::block_limit),
     Side::second,
     {},
     blocked},
    {"both read: the judge is limited",
     "await-byte 0",
     "await-byte 0",
     limit(Reason::block_limit),
     status(97),
     Side::first,
     blocked,
     {}},
    {"both pipes full: the solution is limited",
     "fill 1 10000000 then await-end 0",
     "fill 1 10000000 then await-end 0",
     status(-SIGPIPE),
     limit(Reason::block_limit),
     Side::second,
     {},
     blocked},
    {"both pipes full: the judge is limited",
     "fill 1 10000000 then await-end 0",
     "fill 1 10000000 then await-end 0",
     limit(Reason::time_limit),
     status(-SIGPIPE),
     Side::first,
     timed,
     {}},
    {"the solution crashes", "await-byte 0", "raise 11", status(97), status(-SIGSEGV), Side::second},
    {"the judge crashes", "raise 6", "await-byte 0", status(-SIGABRT), status(97), Side::first},
    {"the solution is out of time amid traffic",
     "ask 1000000000",
     "copy 0 1",
     either(97, -SIGPIPE),
     limit(Reason::time_limit),
     Side::second,
     {},
     timed},
    {"the judge is out of time amid traffic",
     "ask 1000000000",
     "copy 0 1",
     limit(Reason::time_limit),
     either(0, -SIGPIPE),
     Side::first,
     timed,
     {}},
    {"the solution says too much",
     "await-end 0",
     "fill 1 10000000",
     status(0),
     limit(Reason::output_limit),
     Side::second,
     {},
     {},
     1000,
     true},
    {"the solution leaves a child that holds its output", "await-byte 0", "fork [ ready then pause ] then exit 0",
     status(97), status(0), Side::second},
    {"the judge stops itself",
     "raise 19",
     "await-byte 0",
     limit(Reason::time_limit),
     status(97),
     Side::first,
     timed,
     {}},
};

Job limited(const char* words, const RunLimits& limits) {
    Job job = script(words);
    job.limits = limits;
    return job;
}

bool has_patience(const Fault& fault) {
    return fault.first_limits.time == patient.time || fault.second_limits.time == patient.time;
}

void check_faults(Containment containment, bool patience) {
    Reactor reactor = support::make_reactor({.containment = containment});
    std::size_t ended = 0;
    std::size_t submitted = 0;
    for (const Fault& fault : faults) {
        if (has_patience(fault) != patience) continue;
        for (const Wiring wiring : {Wiring::recorded, Wiring::direct}) {
            if (fault.recorded_only && wiring == Wiring::direct) continue;
            Job first = limited(fault.first, fault.first_limits);
            Job second = limited(fault.second, fault.second_limits);
            second.capture.limits.max_stdout_bytes = fault.second_output;
            second.capture.limit_ends_run = fault.second_output.has_value();
            ++submitted;
            const auto check = [&, wiring](PairResult&& result) {
                CAPTURE(std::string(support::name_of(containment)));
                CAPTURE(std::string(wiring == Wiring::direct ? "direct" : "recorded"));
                INFO(std::string(fault.name));
                INFO(describe(result));
                check_side(result.first, fault.first_expected);
                check_side(result.second, fault.second_expected);
                CHECK(ended_before(result, fault.ended_first, wiring));
                ++ended;
            };
            reactor.submit_pair(std::move(first), std::move(second), check, wiring);
        }
    }
    REQUIRE(reactor.run());
    CHECK(ended == submitted);
}

}  // namespace

TEST_CASE("for each fault the verdicts, their causes, and who ended first") {
    const std::set<int> descriptors = support::open_descriptors();
    for (int i = 0; i < support::rounds(2) / 2; ++i) {
        for (const Containment containment : support::containments()) {
            check_faults(containment, false);
            check_faults(containment, true);  // by themselves: a hundred others would take their time
        }
    }
    CHECK(support::open_descriptors() == descriptors);
    CHECK_FALSE(support::has_children());
}
