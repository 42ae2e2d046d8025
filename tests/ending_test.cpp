// SPDX-License-Identifier: MIT
//
// How runs end: by themselves, by their time limit, and with others who hold on to what they left.
#include "frozen_group.hpp"
#include "support.hpp"
#include "watched_child.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include <chrono>
#include <csignal>
#include <set>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace proctor::literals;
using proctor::Input;
using proctor::Job;
using proctor::JobHandle;
using proctor::Outcome;
using proctor::Reactor;
using proctor::Reason;
using proctor::RunResult;
using proctor::STDOUT;
using support::script;
using support::Witness;

namespace {

void check_time_limit(const RunResult& result, std::chrono::nanoseconds limit) {
    INFO(support::describe(result));
    CHECK(result.outcome == Outcome::fail);
    CHECK(result.reason == Reason::time_limit);
    CHECK_FALSE(result.error.has_value());
    REQUIRE(result.usage.has_value());
    CHECK(result.usage->wctime >= limit);
    const proctor::LimitEvents& events = result.limit_events;
    REQUIRE(events.crossed_at.has_value());
    REQUIRE(events.signalled_at.has_value());
    REQUIRE(events.ended_at.has_value());
    CHECK(*events.crossed_at >= limit);
    CHECK(*events.signalled_at >= *events.crossed_at);
    CHECK(*events.ended_at >= *events.signalled_at);
}

RunResult run_limited(std::string_view words, std::chrono::nanoseconds limit) {
    Job job = script(words);
    job.limits.time = limit;
    job.input = Input::held_open();
    RunResult result = proctor::run(std::move(job));
    check_time_limit(result, limit);
    return result;
}

// An hour: what waits for it does not end before the suite's own time limit.
constexpr auto for_ever = 1h;

}  // namespace

TEST_CASE("every exit status is told, and 0 alone is a pass") {
    Reactor reactor = support::make_reactor();
    int ended = 0;
    for (int status = 0; status < 256; ++status) {
        reactor.submit(script("exit " + std::to_string(status)), [&, status](RunResult&& result) {
            CAPTURE(status);
            INFO(support::describe(result));
            CHECK(result.outcome == (status == 0 ? Outcome::pass : Outcome::fail));
            CHECK(result.passed() == (status == 0));
            CHECK(result.returncode == status);
            CHECK(result.exit_code == status);
            CHECK_FALSE(result.signal.has_value());
            CHECK_FALSE(result.reason.has_value());
            CHECK_FALSE(result.error.has_value());
            CHECK_FALSE(result.limit_events.crossed_at.has_value());
            ++ended;
        });
    }
    REQUIRE(reactor.run());
    CHECK(ended == 256);
}

TEST_CASE("a program that a signal ends has minus the signal as its return code") {
    for (const int number : {SIGHUP, SIGINT, SIGILL, SIGABRT, SIGFPE, SIGKILL, SIGSEGV, SIGPIPE, SIGTERM, SIGRTMIN}) {
        CAPTURE(number);
        const RunResult result = support::run_script("raise " + std::to_string(number));
        INFO(support::describe(result));
        CHECK(result.outcome == Outcome::fail);
        CHECK(result.returncode == -number);
        CHECK(result.signal == number);
        CHECK_FALSE(result.exit_code.has_value());
        CHECK_FALSE(result.reason.has_value());
    }
}

TEST_CASE("a program that waits, computes or prints without end is killed at its time limit") {
    for (const char* words : {"pause", "spin", "copy 0 1", "fill 1 1000000000000", "print x then pause"}) {
        CAPTURE(words);
        Job job = script(words);
        job.limits.time = 50ms;
        job.input = Input::held_open();
        job.capture.limits.max_stdout_bytes = 1000;
        const RunResult result = proctor::run(job);
        check_time_limit(result, 50ms);
        CHECK(result.returncode == -SIGKILL);
        CHECK(result.signal == SIGKILL);
        CHECK_FALSE(result.exit_code.has_value());
        CHECK(proctor::verbose_reason(*result.reason) == "Time limit exceeded");
    }
}

TEST_CASE("what a program printed before its time limit is kept") {
    CHECK(run_limited("print before then print-to 2 error then pause", 1s).capture.text(STDOUT) == "before");
}

TEST_CASE("a program that ends within its limit is not told to have crossed it") {
    Job job = script("exit 0");
    job.limits.time = for_ever;
    job.kill_after = for_ever;
    const RunResult result = proctor::run(job);
    CHECK(result.passed());
    CHECK_FALSE(result.limit_events.crossed_at.has_value());
    CHECK_FALSE(result.limit_events.signalled_at.has_value());
}

TEST_CASE("limits of an hour and of a microsecond do not get into each other's way") {
    Reactor reactor = support::make_reactor();
    int over = 0;
    int within = 0;
    for (int i = 0; i < 40; ++i) {
        const bool tight = i % 2 == 0;
        Job job = script(tight ? "pause" : "exit 0");
        job.limits.time = tight ? std::chrono::nanoseconds(1us * (i + 1)) : std::chrono::nanoseconds(for_ever);
        reactor.submit(job, [&, tight](RunResult&& result) {
            INFO(support::describe(result));
            CHECK((result.reason == Reason::time_limit) == tight);
            CHECK(result.passed() == !tight);
            (tight ? over : within) += 1;
        });
    }
    REQUIRE(reactor.run());
    CHECK(over == 20);
    CHECK(within == 20);
}

TEST_CASE("with kill_after a program may clean up after SIGTERM, and has failed all the same") {
    Job job = script("on-signal-exit 15 cleaned 0 then print ready then pause");
    job.limits.time = 1s;
    job.kill_after = for_ever;
    const RunResult result = proctor::run(job);
    check_time_limit(result, 1s);
    CHECK(result.capture.text(STDOUT) == "readycleaned");
    CHECK(result.returncode == 0);
    CHECK(result.exit_code == 0);
    CHECK_FALSE(result.signal.has_value());
}

TEST_CASE("a program that ignores SIGTERM is killed when kill_after is over") {
    Job job = script("ignore 15 then spin");
    job.limits.time = 1s;
    job.kill_after = 100ms;
    const RunResult result = proctor::run(job);
    check_time_limit(result, 1s);
    CHECK(result.signal == SIGKILL);
    CHECK(result.usage->wctime >= 1100ms);
    CHECK(*result.limit_events.ended_at >= 1100ms);
}

TEST_CASE("with kill_after a program without a handler ends by SIGTERM") {
    Job job = script("pause");
    job.limits.time = 50ms;
    job.kill_after = for_ever;
    const RunResult result = proctor::run(job);
    check_time_limit(result, 50ms);
    CHECK(result.signal == SIGTERM);
}

TEST_CASE("SIGTERM goes to every process of the group") {
    Job job = script(
        "fork [ on-signal-exit 15 grandchild 0 then ready then pause ] then on-signal-exit 15 child 0 then "
        "reap then pause");
    job.limits.time = 1s;
    job.kill_after = for_ever;
    job.drain_grace = for_ever;
    const RunResult result = proctor::run(job);
    check_time_limit(result, 1s);
    const std::string text = result.capture.text(STDOUT);
    CHECK(text.size() == std::string("grandchildchild").size());
    CHECK(text.find("grandchild") != std::string::npos);
}

TEST_CASE("a stopped program is killed at its time limit, with and without SIGTERM first") {
    Job job = script("raise 19");
    Witness witness(job);
    job.limits.time = 50ms;
    SUBCASE("at once") {}
    SUBCASE("after a while") { job.kill_after = 50ms; }
    const RunResult result = proctor::run(job);
    check_time_limit(result, 50ms);
    CHECK(witness.all_gone());
}

TEST_CASE("a stopped descendant is killed with the rest") {
    Job job = script("fork [ ready then raise 19 ] then exit 0");
    Witness witness(job);
    CHECK(proctor::run(job).passed());
    CHECK(witness.all_gone());
}

TEST_CASE("a run ends within the drain grace although a grandchild holds its pipes, and the grandchild is killed") {
    Job job = script("fork [ print held then ready then pause ] then print ok then exit 0");
    Witness witness(job);
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK(result.returncode == 0);
    CHECK_FALSE(result.reason.has_value());
    CHECK(result.capture.text(STDOUT) == "heldok");
    CHECK(witness.all_gone());
}

TEST_CASE("a grandchild that holds no pipe is killed too") {
    Job job = script("fork [ close 0 then close 1 then close 2 then ready then pause ] then exit 3");
    Witness witness(job);
    CHECK(proctor::run(job).exit_code == 3);
    CHECK(witness.all_gone());
}

TEST_CASE("a chain of descendants that prints without end is cut at the drain grace") {
    Job job =
        script("fork [ fork [ ready then fill 1 1000000000000 ] then ready then fill 2 1000000000000 ] then exit 0");
    job.capture.keep = false;
    Witness witness(job);
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK(witness.all_gone());
}

TEST_CASE("output that comes from a descendant after the end, but within the drain grace, is captured") {
    Job job = script("fork [ ready then await-orphaned then print late ] then print early then exit 0");
    job.drain_grace = for_ever;
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK(result.capture.text(STDOUT) == "earlylate");
}

TEST_CASE("what is in the pipe when a run ends is read, also without any drain grace") {
    Job job = script("fork [ ready then pause ] then fill 1 60000 then exit 0");
    job.drain_grace = 0ns;
    Witness witness(job);
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK((result.capture.text(STDOUT) == support::pattern(60000)));
    CHECK(witness.all_gone());
}

TEST_CASE("the wall time does not include the drain grace") {
    Job job = script("fork [ ready then pause ] then exit 0");
    job.drain_grace = 300ms;
    const auto before = std::chrono::steady_clock::now();
    const RunResult result = proctor::run(job);
    const auto elapsed = std::chrono::steady_clock::now() - before;
    CHECK(result.passed());
    CHECK(elapsed >= 300ms);
    CHECK(result.usage->wctime <= elapsed - 300ms);
}

TEST_CASE("a time limit that ends while the pipes are drained is not told") {
    Job job = script("fork [ ready then pause ] then exit 0");
    job.limits.time = 1s;
    job.drain_grace = 1500ms;
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK_FALSE(result.reason.has_value());
}

TEST_CASE("a descendant in a session of its own does not keep the run from ending") {
    Job job = script("fork [ new-session then print held then ready then await-end 8 ] then print ok then exit 0");
    Witness witness(job);
    support::Pipe leash;
    job.descriptors.push_back({.from = leash.read_end.get(), .to = 8});
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK(result.capture.text(STDOUT) == "heldok");
    leash.write_end.reset();
    CHECK(witness.all_gone());
}

TEST_CASE("input that is held open is at no end while the program lives, and keeps no run from ending") {
    CHECK(run_limited("copy 0 1 then print end", 100ms).capture.text(STDOUT).empty());
    Job job = script("print done");
    job.input = Input::held_open();
    const RunResult result = proctor::run(job);
    CHECK(result.passed());
    CHECK(result.unread == 0);
}

TEST_CASE("input that is held open ends for a descendant when the main process is dead") {
    Job job = script("fork [ ready then copy 0 1 then print end ] then exit 0");
    job.input = Input::held_open();
    job.drain_grace = for_ever;
    CHECK(support::output_of(job) == "end");
}

TEST_CASE("who was killed and does not die is told of, be it a job or watched, and keeps no run from ending") {
    const support::FrozenGroup frozen;
    if (!frozen) return support::skip("no cgroup v1 freezer, whose members do not die of SIGKILL, is mounted here");
    support::WatchedChild stranger("pause");
    std::vector<Reactor> reactors;
    std::vector<RunResult> results;
    std::vector<JobHandle> handles;
    const auto keep = [&](RunResult&& end) { results.push_back(std::move(end)); };
    for (const proctor::Containment kind : support::containments()) {
        reactors.push_back(support::make_reactor({.containment = kind}));
        Job job = script("print x then pause");
        job.limits.time = 1s;
        handles.push_back(reactors.back().submit(job, keep));
    }
    const auto watched = reactors.back().monitor(stranger.pid(), {.limits = {.time = 1s}}, keep);
    REQUIRE(watched);
    const std::size_t all = handles.size() + 1;
    std::set<int> taken{stranger.pid()};
    frozen.take(stranger.pid());
    while (results.size() < all) {
        for (Reactor& reactor : reactors) REQUIRE(reactor.run_once(10ms));
        for (const JobHandle& handle : handles) {
            const auto pid = handle.pid();
            if (handle.state() == proctor::JobState::running && pid && taken.insert(*pid).second) frozen.take(*pid);
        }
    }
    for (const RunResult& result : results) {
        CAPTURE(support::describe(result));
        CHECK(result.outcome == Outcome::error);
        CHECK(result.reason == Reason::time_limit);
        REQUIRE(result.error.has_value());
        CHECK(result.error->stage == proctor::Stage::wait);
        CHECK_FALSE(result.returncode.has_value());
    }
    frozen.thaw();
    stranger.reap();
    // They are reaped by and by, when they can be.
    CHECK(support::eventually([&] {
        for (Reactor& reactor : reactors) {
            reactor.submit(script("exit 0"));
            REQUIRE(reactor.run());
        }
        return !support::has_children();
    }));
}

TEST_CASE("descendants that were killed and do not die are told of, and keep no run from ending") {
    const support::FrozenGroup frozen;
    if (!frozen) return support::skip("no cgroup v1 freezer, whose members do not die of SIGKILL, is mounted here");
    for (const proctor::Containment kind : support::containments()) {
        if (kind == proctor::Containment::tree) continue;  // which does not know who lives
        CAPTURE(support::name_of(kind));
        Reactor reactor = support::make_reactor({.containment = kind});
        JobHandle handle;
        RunResult result;
        Job job = script("fork [ ready then pause ] then print x then await-byte 0");
        job.input = Input::held_open();
        job.drain_grace = 1ms;
        handle = reactor.submit(job, {.on_record =
                                          [&](const auto& record) {
                                              if (record.stream != STDOUT) return;
                                              const auto processes = handle.processes();
                                              REQUIRE(processes.size() == 2);
                                              frozen.take(processes[1].pid);
                                              CHECK(handle.signal(SIGKILL));
                                          },
                                      .on_end = [&](RunResult&& end) { result = std::move(end); }});
        REQUIRE(reactor.run());
        CAPTURE(support::describe(result));
        CHECK(result.outcome == Outcome::error);
        REQUIRE(result.error.has_value());
        CHECK(result.error->stage == proctor::Stage::wait);
        CHECK(result.signal == 9);
        frozen.thaw();
    }
}

TEST_CASE("a program that closes all of its streams is waited for") {
    support::Pipe leash;
    support::Pipe report;
    Job job = script("close 0 then close 1 then close 2 then print-to 8 r then await-end 7 then exit 4");
    job.descriptors = {{.from = leash.read_end.get(), .to = 7}, {.from = report.write_end.get(), .to = 8}};
    Reactor reactor = support::make_reactor();
    auto watch = reactor.watch(report.read_end.get(), [&] {
        CHECK(support::await_byte(report.read_end.get()));
        leash.write_end.reset();
    });
    REQUIRE(watch);
    int status = -1;
    reactor.submit(job, [&](RunResult&& result) { status = result.exit_code.value_or(-1); });
    REQUIRE(reactor.run());
    CHECK(status == 4);
}

TEST_CASE("the usage counts processor time of the program and of those it waited for") {
    const auto run = [](const char* words) {
        Reactor reactor = support::make_reactor({.containment = proctor::Containment::tree});
        RunResult result;
        reactor.submit(script(words), [&](RunResult&& ended) { result = std::move(ended); });
        REQUIRE(reactor.run());
        return result;
    };
    const RunResult alone = run("burn 100");
    REQUIRE(alone.usage.has_value());
    CHECK(alone.usage->utime + alone.usage->stime >= 90ms);
    const RunResult with_child = run("fork [ ready then burn 100 ] then reap");
    REQUIRE(with_child.usage.has_value());
    CHECK(with_child.usage->utime + with_child.usage->stime >= 90ms);
    CHECK(with_child.usage->wctime >= 90ms);
    CHECK(with_child.sources.cpu == "rusage");
    CHECK_FALSE(with_child.sources.cpu_complete);
}
