// SPDX-License-Identifier: MIT
//
// Nobody escapes: after the result no process of the job lives.
#include "support.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using proctor::Containment;
using proctor::Job;
using proctor::JobHandle;
using proctor::Outcome;
using proctor::Reactor;
using proctor::RunResult;
using proctor::STDOUT;
using support::run_in;
using support::script;
using support::Witness;

namespace {

// Each ends with a main process that has gone or waits; what it left behind would live for ever.
const std::vector<std::string> fugitives = {
    "fork [ new-session then ready then pause ] then exit 0",
    "fork [ fork [ new-session then ready then pause ] then ready ] then exit 0",
    "fork [ new-session then fork [ ignore 1 then ignore 15 then ready then pause ] then ready ] then exit 0",
    "fork [ new-session then ready then raise 19 ] then exit 0",
    "fork [ new-session then ignore 15 then ready then pause ] then exit 0",
    "fork [ new-session then ready then pause ] then pause",
    "fork [ fork [ new-session then ready then raise 19 ] then ready ] then raise 19",
};

std::vector<Containment> without_escape() {
    std::vector<Containment> kinds = support::containments();
    std::erase(kinds, Containment::tree);
    return kinds;
}

}  // namespace

TEST_CASE("after the result nobody lives, whatever he did to escape") {
    for (const Containment kind : without_escape()) {
        CAPTURE(support::name_of(kind));
        for (const std::string& words : fugitives) {
            CAPTURE(words);
            int left = 0;
            const int rounds = support::rounds(50);
            for (int round = 0; round < rounds; ++round) {
                Job job = script(words);
                job.limits.time = 50ms;
                job.drain_grace = 1ms;
                job.output = job.error_output = proctor::Output::null();
                Witness witness(job);
                const RunResult result = run_in(kind, job);
                REQUIRE_MESSAGE(result.outcome != Outcome::error, support::describe(result));
                left += witness.anybody_left() ? 1 : 0;
            }
            CHECK(left == 0);
        }
    }
}

TEST_CASE("a process whose first thread has ended dies with its job, too") {
    for (const Containment kind : support::containments()) {
        CAPTURE(support::name_of(kind));
        Job job = script("thread [ pause ] then end-thread");
        job.limits.time = 100ms;
        Witness witness(job);
        const RunResult result = run_in(kind, job);
        CHECK_MESSAGE(result.reason == proctor::Reason::time_limit, support::describe(result));
        CHECK_FALSE(witness.anybody_left());
    }
}

TEST_CASE("processes that fork on after their first thread has ended are overtaken") {
    for (const Containment kind : without_escape()) {
        CAPTURE(support::name_of(kind));
        for (int round = 0; round < support::rounds(5); ++round) {
            Job job = script("fork [ ready then chain 200 ] then exit 0");
            job.output = job.error_output = proctor::Output::null();
            Witness witness(job);
            const RunResult result = run_in(kind, job);
            CHECK_MESSAGE(result.passed(), support::describe(result));
            CHECK_FALSE(witness.anybody_left());
        }
    }
}

TEST_CASE("one that escaped and traces the main process keeps only its own run from ending") {
    for (const Containment kind : support::containments()) {
        CAPTURE(support::name_of(kind));
        Reactor reactor = support::make_reactor({.containment = kind});
        support::Pipe release;
        Job traced = script("fork [ new-session then trace-parent then ready then await-end 8 ] then exit 7");
        traced.sample = false;
        traced.drain_grace = 1ms;
        traced.descriptors.push_back({.from = release.read_end.get(), .to = 8});
        std::optional<int> exit_code;
        reactor.submit(traced, [&](const RunResult& result) { exit_code = result.exit_code; });
        Job other = script("pause");
        other.limits.time = 200ms;
        reactor.submit(other, [&](const RunResult&) { release.write_end.reset(); });
        REQUIRE(reactor.run());
        CHECK(exit_code == 7);
    }
}

TEST_CASE("a bomb that forks as fast as it can is ended, and nothing of it is left") {
    for (const Containment kind : without_escape()) {
        CAPTURE(support::name_of(kind));
        const int rounds = support::rounds(20);
        for (int round = 0; round < rounds; ++round) {
            Job job = script("bomb 200");
            job.limits = {.time = 20s, .processes = 16};
            job.output = job.error_output = proctor::Output::null();
            Witness witness(job);
            const RunResult result = run_in(kind, job);
            CHECK_MESSAGE(result.reason == proctor::Reason::process_limit, support::describe(result));
            CHECK_FALSE(witness.anybody_left());
        }
    }
}

TEST_CASE("without containment orphans in the job's group are counted and killed, too") {
    Job job = script("fork [ fork [ ready then pause ] then fork [ ready then pause ] then ready ] then pause");
    job.limits = {.time = 1min, .processes = 2};
    Witness witness(job);
    const RunResult result = run_in(Containment::tree, job);
    CHECK_MESSAGE(result.reason == proctor::Reason::process_limit, support::describe(result));
    CHECK(witness.all_gone());
}

TEST_CASE("a host that has given up its user's rights ends its reactor all the same") {
    if (geteuid() != 0) return support::skip("not root");
    for (const Containment kind : support::containments()) {
        CAPTURE(support::name_of(kind));
        CHECK(support::in_host([&]() -> std::string {
                  Reactor reactor = support::make_reactor({.containment = kind});
                  reactor.submit(script("print x"));
                  HOST_CHECK(reactor.run().has_value());
                  HOST_CHECK(setuid(65534) == 0);
                  return {};
              }) == "");
    }
}

TEST_CASE("a directory for groups that is named and cannot be used is an error") {
    const auto reactor = Reactor::create({.cgroup = "/nonexistent"});
    REQUIRE_FALSE(reactor.has_value());
    CHECK(reactor.error().stage == proctor::Stage::cgroup);
}

TEST_CASE("without containment those that were seen are killed, too") {
    Job job = script("fork [ new-session then ready then pause ] then pause");
    job.limits = {.time = 600ms};
    Witness witness(job);
    const RunResult result = run_in(Containment::tree, job);
    CHECK(result.reason == proctor::Reason::time_limit);
    CHECK(result.usage->proc == 2);
    CHECK(witness.all_gone());
}

TEST_CASE("who left the group and ignores the SIGTERM that ends the main process is killed when kill_after is over") {
    for (const Containment kind : support::containments()) {
        CAPTURE(support::name_of(kind));
        Job job =
            script("fork [ close 1 then new-group then ignore 15 then ready then pause ] then fill 1 100 then pause");
        job.capture.limits.max_stdout_bytes = 10;
        job.capture.limit_ends_run = true;
        job.kill_after = 200ms;
        job.sample = false;  // so that nothing was looked at before
        job.error_output = proctor::Output::null();
        Witness witness(job);
        const RunResult result = run_in(kind, job);
        CHECK_MESSAGE(result.reason == proctor::Reason::output_limit, support::describe(result));
        CHECK(result.signal == 15);
        CHECK(*result.limit_events.ended_at - *result.limit_events.signalled_at >= 200ms);
        CHECK(witness.all_gone());
    }
}

TEST_CASE("a sibling of the same user survives") {
    for (const Containment kind : support::containments()) {
        CAPTURE(support::name_of(kind));
        Reactor reactor = support::make_reactor({.containment = kind});
        JobHandle sibling;
        bool alive = false;
        RunResult of_sibling;
        Job killed = script("fork [ new-session then ready then pause ] then pause");
        killed.limits.time = 50ms;
        sibling = reactor.submit(script("print up then pause"),
                                 {.on_record =
                                      [&](auto&&) {
                                          reactor.submit(killed, [&](RunResult&&) {
                                              alive = sibling.signal(0).has_value();
                                              sibling.cancel();
                                          });
                                      },
                                  .on_end = [&](RunResult&& result) { of_sibling = std::move(result); }});
        REQUIRE(reactor.run());
        CHECK(alive);
        CHECK(of_sibling.signal == 9);
    }
}

TEST_CASE("no group, descriptor or zombie is left by many jobs in one reactor, of any containment") {
    const auto descriptors = support::open_descriptors();
    for (const Containment kind : support::containments()) {
        CAPTURE(support::name_of(kind));
        {
            Reactor reactor = support::make_reactor({.max_running = 16, .containment = kind});
            int passed = 0;
            const int jobs = support::rounds(500);
            for (int i = 0; i < jobs; ++i) {
                const char* const words = i % 3 == 0 && kind != Containment::tree
                                              ? "fork [ new-session then ready then pause ] then print ok"
                                              : "print ok";
                Job job = script(words);
                job.drain_grace = 1ms;
                reactor.submit(job, [&](RunResult&& result) {
                    passed += result.passed() && result.capture.text(STDOUT) == "ok" ? 1 : 0;
                });
            }
            REQUIRE(reactor.run());
            CHECK(passed == jobs);
        }
        CHECK(support::open_descriptors() == descriptors);
        CHECK_FALSE(support::has_children());
    }
}

TEST_CASE("processor time of descendants that nobody waited for is known where it can be") {
    for (const Containment kind : support::containments()) {
        CAPTURE(support::name_of(kind));
        Job job = script("ignore 17 then fork [ burn 40 ] then fork [ burn 40 ] then fork [ burn 40 ] then exit 0");
        const RunResult result = run_in(kind, job);
        REQUIRE(result.usage.has_value());
        CHECK(result.sources.cpu_complete == (kind == Containment::cgroup));
        if (result.sources.cpu_complete) CHECK(result.usage->utime + result.usage->stime >= 110ms);
    }
}
