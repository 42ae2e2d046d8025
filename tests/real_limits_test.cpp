// SPDX-License-Identifier: MIT
//
// Limits that real programs trip, by each kind of containment. PROCTOR_ROUNDS repeats each case so many times.
#include "support.hpp"

#include <chrono>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace proctor::literals;
using proctor::Containment;
using proctor::Job;
using proctor::Outcome;
using proctor::Reactor;
using proctor::Reason;
using proctor::RunLimits;
using proctor::RunResult;

namespace {

struct Case {
    const char* name;
    std::vector<std::string> argv;
    RunLimits limits;
    Reason reason;
    bool held_open = false;
};

const std::vector<Case>& cases() {
    static const std::vector<Case> all = {
        {"a shell in a loop that ignores SIGTERM",
         {"sh", "-c", "trap '' TERM; while :; do :; done"},
         {.time = 200ms},
         Reason::time_limit},
        {"Python that spins",
         {"python3", "-c", "while True: pass"},
         {.time = 1min, .cpu_time = 150ms},
         Reason::cpu_limit},
        {"C that spins in two processes",
         {support::child(), "fork", "[", "ready", "then", "spin", "]", "then", "spin"},
         {.time = 1min, .cpu_time = 150ms},
         Reason::cpu_limit},
        {"a shell that burns in short-lived children",
         {"sh", "-c", "while :; do (i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done); done"},
         {.time = 1min, .cpu_time = 300ms},
         Reason::cpu_limit},
        {"Node that spins", {"node", "-e", "for(;;);"}, {.time = 1min, .cpu_time = 300ms}, Reason::cpu_limit},
        {"Python that takes memory",
         {"python3", "-c", "x = []\nwhile True: x.append(bytearray(1 << 20))"},
         {.time = 1min, .memory = 64_MiB},
         Reason::memory_limit},
        {"Node that takes memory",
         {"node", "-e", "const a = []; setInterval(() => a.push(Buffer.alloc(1 << 22, 1)), 1)"},
         {.time = 1min, .memory = 256_MiB},
         Reason::memory_limit},
        {"C that takes memory",
         {support::child(), "touch-memory", "209715200", "then", "pause"},
         {.time = 1min, .memory = 64_MiB},
         Reason::memory_limit},
        {"a shell that starts sleeps",
         {"sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 60 & done; wait"},
         {.time = 1min, .processes = 4},
         Reason::process_limit},
        {"Python that forks",
         {"python3", "-c", "import os, time\nfor i in range(8):\n  if os.fork() == 0: time.sleep(60)\ntime.sleep(60)"},
         {.time = 1min, .processes = 4},
         Reason::process_limit},
        {"Python that waits for input",
         {"python3", "-c", "input()"},
         {.time = 1min, .block = 400ms},
         Reason::block_limit,
         true},
        {"Node that waits for a timer",
         {"node", "-e", "setTimeout(() => 1, 60000)"},
         {.time = 1min, .block = 600ms},
         Reason::block_limit},
        {"sleep", {"sleep", "60"}, {.time = 1min, .block = 300ms}, Reason::block_limit},
    };
    return all;
}

bool have(const std::string& program) {
    static std::map<std::string, bool> known;
    if (const auto found = known.find(program); found != known.end()) return found->second;
    const bool there = proctor::run({.argv = {program}, .shell = "command -v \"$1\" >/dev/null"}).passed();
    if (!there) support::skip("there is no " + program);
    return known[program] = there;
}

int rounds() { return std::getenv("PROCTOR_ROUNDS") != nullptr ? support::rounds(1) : 1; }

void check_case(const Case& each, Containment kind) {
    CAPTURE(each.name);
    CAPTURE(support::name_of(kind));
    Reactor reactor = support::make_reactor({.max_running = 2, .containment = kind});
    int right = 0;
    for (int i = 0; i < rounds(); ++i) {
        Job job{.argv = each.argv, .limits = each.limits};
        // The interpreter itself: a version manager's wrapper is a shell with processes and memory of its own.
        job.environment.set = {{"PATH", "/usr/bin:/bin"}};
        if (each.held_open) job.input = proctor::Input::held_open();
        reactor.submit(job, [&](RunResult&& result) {
            CHECK_MESSAGE(result.reason == each.reason, support::describe(result));
            CHECK(result.outcome == Outcome::fail);
            CHECK(result.signal == 9);
            right += result.reason == each.reason && result.signal == 9 ? 1 : 0;
        });
    }
    REQUIRE(reactor.run());
    CHECK(right == rounds());
}

}  // namespace

TEST_CASE("real programs are ended by the limit that they trip") {
    for (const Containment kind : support::containments()) {
        for (const Case& each : cases()) {
            if (have(each.argv[0])) check_case(each, kind);
        }
    }
}
