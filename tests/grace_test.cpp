// SPDX-License-Identifier: MIT
//
// Who is left when the main process is dead: by itself, or of the SIGTERM that it was asked to end by. The limits hold
// for them as long as they may go on.
#include "support.hpp"

#include <chrono>
#include <csignal>
#include <functional>
#include <optional>
#include <string>

using namespace std::chrono_literals;
using namespace proctor::literals;
using proctor::CaptureRecord;
using proctor::Containment;
using proctor::Job;
using proctor::JobHandle;
using proctor::Reactor;
using proctor::Reason;
using proctor::RunLimits;
using proctor::RunResult;
using proctor::STDOUT;
using support::run_in;
using support::script;
using support::Witness;

namespace {

constexpr auto for_ever = 1h;

void in_each(const std::function<void(Containment)>& check) {
    for (const Containment kind : support::containments()) {
        CAPTURE(support::name_of(kind));
        check(kind);
    }
}

// Its main process ends at once by itself, and who is left may go on as long as he keeps to the limits.
// He begins a little later, when the host has seen the main process's end: what a look finds in between is told as if
// it still lived.
Job leaving(const std::string& words, const RunLimits& limits) {
    Job job = script("fork [ ready then await-orphaned then burn 100 then " + words +
                     " then pause ] then print main then exit 0");
    job.limits = limits;
    job.drain_grace = for_ever;
    return job;
}

void check_killed_in_grace(Containment kind, Job job, Reason limit) {
    Witness witness(job);
    const RunResult result = run_in(kind, job);
    CAPTURE(support::describe(result));
    CHECK(result.passed());
    CHECK_FALSE(result.reason);
    CHECK_FALSE(result.limit_events.crossed_at);
    CHECK(result.limit_in_grace == limit);
    CHECK(result.capture.text(STDOUT) == "main");
    CHECK(witness.all_gone());
}

// Its main process is asked to end as soon as it has come so far, and dies of it.
Job asked_after(const std::string& words) {
    Job job = script(words + " then fill 1 100 then pause");
    job.capture.limits.max_stdout_bytes = 10;
    job.capture.limit_ends_run = true;
    job.kill_after = for_ever;
    return job;
}

RunResult run_asked(Containment kind, Job job) {
    Witness witness(job);
    RunResult result = run_in(kind, std::move(job));
    CAPTURE(support::describe(result));
    CHECK(result.reason == Reason::output_limit);
    CHECK_FALSE(result.limit_in_grace);
    CHECK(witness.all_gone());
    return result;
}

}  // namespace

TEST_CASE("in the grace: the limit of processor time holds, and the verdict stays") {
    in_each(
        [](Containment kind) { check_killed_in_grace(kind, leaving("spin", {.cpu_time = 500ms}), Reason::cpu_limit); });
}

TEST_CASE("in the grace: the limit of processes holds, and the verdict stays") {
    in_each([](Containment kind) {
        const char* const words =
            "fork [ ready then pause ] then fork [ ready then pause ] then fork [ ready then pause ]";
        check_killed_in_grace(kind, leaving(words, {.processes = 3}), Reason::process_limit);
    });
}

TEST_CASE("in the grace: the limit of memory holds, and the verdict stays") {
    in_each([](Containment kind) {
        check_killed_in_grace(kind, leaving("touch-memory 200000000", {.memory = 100_MiB}), Reason::memory_limit);
    });
}

TEST_CASE("in the grace: who keeps to the limits may go on, and is counted") {
    in_each([](Containment kind) {
        const RunLimits limits{.cpu_time = 1h, .block = 1h, .memory = 1_GiB, .processes = 10};
        Job job = script("fork [ ready then await-orphaned then burn 50 then print left ] then print main then exit 0");
        job.limits = limits;
        job.drain_grace = for_ever;
        const RunResult result = run_in(kind, job);
        CAPTURE(support::describe(result));
        CHECK(result.passed());
        CHECK_FALSE(result.limit_in_grace);
        CHECK(result.capture.text(STDOUT) == "mainleft");
        if (result.sources.cpu_complete) CHECK(result.usage->utime + result.usage->stime >= 50ms);
    });
}

TEST_CASE("asked to end: those whom the main process leaves behind have their time, too") {
    in_each([](Containment kind) {
        const support::TempDir directory;
        const RunResult result = run_asked(
            kind, asked_after("fork [ close 1 then close 2 then ignore 15 then ready then await-orphaned then burn 50 "
                              "then write-file " +
                              directory.file("saved") + " text ]"));
        CHECK(result.signal == SIGTERM);
        CHECK(support::read_file(directory.file("saved")) == "text");
    });
}

TEST_CASE("asked to end: who takes more memory or processes than he may is killed at once") {
    in_each([](Containment kind) {
        for (const char* const words :
             {"touch-memory 200000000", "fork [ ready then pause ] then fork [ ready then pause ]"}) {
            CAPTURE(words);
            Job job = asked_after("fork [ ignore 15 then ready then await-orphaned then " + std::string(words) +
                                  " then pause ]");
            job.limits.memory = 100_MiB;
            job.limits.processes = 2;
            CHECK(run_asked(kind, job).signal == SIGTERM);
        }
    });
}

TEST_CASE("asked to end: the main process that takes more memory than it may is killed at once") {
    in_each([](Containment kind) {
        Job job = asked_after("ignore 15 then fill 1 100 then await-byte 0 then touch-memory 200000000");
        job.input = proctor::Input::live();
        job.limits.memory = 100_MiB;
        Reactor reactor = support::make_reactor({.containment = kind});
        std::optional<RunResult> result;
        JobHandle handle;
        // The record of the cut comes when the signal has been sent.
        const auto go_on = [&](const CaptureRecord& record) {
            if (record.truncated) CHECK(handle.write_input("x"));
        };
        handle = reactor.submit(job, {.on_record = go_on, .on_end = [&](RunResult&& ended) { result = ended; }});
        REQUIRE(reactor.run());
        REQUIRE(result);
        CAPTURE(support::describe(*result));
        CHECK(result->reason == Reason::output_limit);
        CHECK(result->signal == SIGKILL);
    });
}

TEST_CASE("asked to end: who was asked for his memory or his processes and takes more is killed at once") {
    struct Case {
        const char* first;
        const char* then;
        Reason reason;
    };
    // A little over the limit, so that most of an eighth is left when that is seen.
    constexpr const char* memory = "touch-memory 110000000";
    constexpr const char* one_fork = "fork [ ready then pause ]";
    constexpr const char* two_forks = "fork [ ready then pause ] then fork [ ready then pause ]";
    in_each([&](Containment kind) {
        for (const Case& each :
             {Case{memory, memory, Reason::memory_limit}, Case{memory, two_forks, Reason::memory_limit},
              Case{two_forks, one_fork, Reason::process_limit}, Case{two_forks, memory, Reason::process_limit}}) {
            CAPTURE(each.first);
            CAPTURE(each.then);
            Job job = script("on-signal-print 15 asked then " + std::string(each.first) + " then await-byte 0 then " +
                             each.then + " then pause");
            job.input = proctor::Input::live();
            job.limits = {.memory = 100_MiB, .processes = 2};
            job.kill_after = for_ever;
            Witness witness(job);
            Reactor reactor = support::make_reactor({.containment = kind});
            std::optional<RunResult> result;
            JobHandle handle;
            const auto go_on = [&](const CaptureRecord&) { (void)handle.write_input("x"); };
            handle = reactor.submit(job, {.on_record = go_on, .on_end = [&](RunResult&& ended) { result = ended; }});
            REQUIRE(reactor.run());
            REQUIRE(result);
            CAPTURE(support::describe(*result));
            CHECK(result->reason == each.reason);
            CHECK(result->signal == SIGKILL);
            CHECK(witness.all_gone());
        }
    });
}

TEST_CASE("asked to end: who was asked for his memory or his processes has his time, if he takes no more") {
    in_each([](Containment kind) {
        for (const char* const words : {"touch-memory 110000000",
                                        "fork [ ignore 15 then ready then await-orphaned ] then "
                                        "fork [ ignore 15 then ready then await-orphaned ]"}) {
            CAPTURE(words);
            Job job = script("on-signal-print 15 asked then " + std::string(words) +
                             " then await-byte 0 then burn 300 then exit 7");
            job.input = proctor::Input::live();
            job.limits = {.memory = 100_MiB, .processes = 2};
            job.kill_after = for_ever;
            Reactor reactor = support::make_reactor({.containment = kind});
            std::optional<RunResult> result;
            bool asked = false;
            JobHandle handle;
            const auto go_on = [&](const CaptureRecord& record) {
                asked = asked || record.stream == STDOUT;
                (void)handle.write_input("x");
                handle.close_input();
            };
            handle = reactor.submit(job, {.on_record = go_on, .on_end = [&](RunResult&& ended) { result = ended; }});
            REQUIRE(reactor.run());
            REQUIRE(result);
            CAPTURE(support::describe(*result));
            CHECK(result->reason.has_value());
            if (asked) CHECK(result->exit_code == 7);  // else the kernel has killed it, who asks nobody
        }
    });
}
