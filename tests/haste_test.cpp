// SPDX-License-Identifier: MIT
//
// Handlers that interfere with the stream that they are told of, and forwards that nobody takes: the run still ends,
// once and with the right result.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <vector>

#include <proctor/proctor.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using proctor::CaptureRecord;
using proctor::Job;
using proctor::JobHandle;
using proctor::JobState;
using proctor::Output;
using proctor::Reactor;
using proctor::RunResult;
using proctor::STDOUT;
using support::script;

namespace {

// A pipe of one page that nobody reads.
struct StuckTarget {
    StuckTarget() { REQUIRE(fcntl(pipe.write_end.get(), F_SETPIPE_SZ, 4096) == 4096); }
    support::Pipe pipe{};
};

}  // namespace

TEST_CASE("a handler may pause and resume the stream that it is told of, at every record") {
    Reactor reactor = support::make_reactor();
    JobHandle handle;
    std::size_t bytes = 0;
    RunResult end;
    handle = reactor.submit(script("fill 1 3000000"), {.on_record =
                                                           [&](const CaptureRecord& record) {
                                                               bytes += record.data.size();
                                                               handle.pause_output(STDOUT);
                                                               handle.resume_output(STDOUT);
                                                           },
                                                       .on_end = [&](RunResult&& result) { end = std::move(result); }});
    REQUIRE(reactor.run());
    CHECK(end.passed());
    CHECK(bytes == 3'000'000);
    CHECK(end.capture.size(STDOUT) == 3'000'000);
}

TEST_CASE("a handler may cancel while it is told of output after the main process's death") {
    Reactor reactor = support::make_reactor();
    support::Pipe leash;
    Job job = script("fork [ ready then await-end 8 then print a then pause ] then exit 0");
    job.descriptors = {{.from = leash.read_end.get(), .to = 8}};
    job.drain_grace = 1h;
    JobHandle handle;
    int ends = 0;
    handle = reactor.submit(job, {.on_record = [&](const CaptureRecord&) { handle.cancel(); },
                                  .on_end =
                                      [&](RunResult&& result) {
                                          CHECK(result.passed());
                                          CHECK(result.capture.text(STDOUT) == "a");
                                          ++ends;
                                      }});
    while (handle.state() != JobState::draining) REQUIRE(reactor.run_once());
    leash.write_end.reset();
    REQUIRE(reactor.run());
    CHECK(ends == 1);
}

TEST_CASE("a forward that nobody takes can be cancelled after a normal end") {
    const StuckTarget target;
    Reactor reactor = support::make_reactor();
    Job job = script("fill 1 20000");
    job.output = Output::forward(target.pipe.write_end.get());
    job.drain_grace = 1ms;
    int ends = 0;
    const JobHandle handle = reactor.submit(job, [&](RunResult&& result) {
        CHECK(result.passed());
        CHECK(result.capture.size(STDOUT) == 20'000);
        ++ends;
    });
    while (handle.state() != JobState::draining) REQUIRE(reactor.run_once());
    for (int pass = 0; pass < 5; ++pass) REQUIRE(reactor.run_once(5ms));
    CHECK(ends == 0);
    handle.cancel();
    REQUIRE(reactor.run());
    CHECK(ends == 1);
}

TEST_CASE("a reactor with a forward that nobody takes can be destroyed") {
    const StuckTarget target;
    {
        Reactor reactor = support::make_reactor();
        Job job = script("fill 1 20000");
        job.output = Output::forward(target.pipe.write_end.get());
        job.drain_grace = 1ms;
        const JobHandle handle = reactor.submit(job);
        while (handle.state() != JobState::draining) REQUIRE(reactor.run_once());
        for (int pass = 0; pass < 5; ++pass) REQUIRE(reactor.run_once(5ms));
    }
    CHECK_FALSE(support::has_children());
}

TEST_CASE("a forward that nobody takes does not keep a time limit from its verdict") {
    const StuckTarget target;
    Reactor reactor = support::make_reactor();
    Job job = script("fill 1 20000 then pause");
    job.output = Output::forward(target.pipe.write_end.get());
    job.limits.time = 200ms;
    bool pauses = false;
    SUBCASE("stuck from the first record on") {}
    SUBCASE("paused first, so that the forward begins at the end") { pauses = true; }
    JobHandle handle;
    RunResult end;
    handle = reactor.submit(job, {.on_record =
                                      [&](const CaptureRecord&) {
                                          if (pauses) handle.pause_output(STDOUT);
                                      },
                                  .on_end = [&](RunResult&& result) { end = std::move(result); }});
    REQUIRE(reactor.run());
    INFO(support::describe(end));
    CHECK(end.reason == proctor::Reason::time_limit);
}

TEST_CASE("output that is paused before the launch waits until it is resumed") {
    Reactor reactor = support::make_reactor();
    std::string text;
    Job job = script("print x then await-end 0");
    job.input = proctor::Input::held_open();
    const JobHandle handle =
        reactor.submit(job, {.on_record = [&](const CaptureRecord& record) { text += record.data; }});
    handle.pause_output(STDOUT);
    for (int pass = 0; pass < 20; ++pass) REQUIRE(reactor.run_once(5ms));
    CHECK(text.empty());
    handle.resume_output(STDOUT);
    while (text.empty()) REQUIRE(reactor.run_once());
    CHECK(text == "x");
    handle.cancel();
    REQUIRE(reactor.run());
}

TEST_CASE("a forked copy of the host can use and destroy its copies without harm to the host") {
    Reactor reactor = support::make_reactor();
    const support::Pipe watched;
    std::vector<proctor::Watch> watches;
    for (int i = 0; i < 20; ++i) {
        auto watch = reactor.watch(watched.read_end.get(), [] {});
        REQUIRE(watch);
        watches.push_back(std::move(*watch));
    }
    int ended = 0;
    for (int i = 0; i < 50; ++i) {
        const JobHandle handle = reactor.submit(script("print x"), [&](RunResult&& result) {
            CHECK(result.passed());
            ++ended;
        });
        REQUIRE(reactor.run_once(0ns));
        const pid_t copy = fork();
        REQUIRE(copy >= 0);
        if (copy == 0) {
            handle.cancel();
            reactor.submit(script("print y"));
            const bool refused = !reactor.run();
            watches.clear();
            { const Reactor gone = std::move(reactor); }
            support::leave(refused ? 0 : 1);
        }
        int status = -1;
        CHECK(waitpid(copy, &status, 0) == copy);
        CHECK(status == 0);
    }
    REQUIRE(reactor.run());
    CHECK(ended == 50);
}

TEST_CASE("a copy that a handler forks is told nothing more when it returns, and takes nothing from the host") {
    const pid_t host = getpid();
    Reactor reactor = support::make_reactor();
    int right = 0;
    for (int i = 0; i < 20; ++i) {
        reactor.submit(script("print x"),
                       [&](RunResult&& result) { right += result.passed() && result.capture.text(STDOUT) == "x"; });
    }
    const support::Pipe watched;
    support::write_all(watched.write_end.get(), "both are due in one pass");
    std::vector<proctor::Watch> watches;
    int calls = 0;
    int right_before = 0;
    int status = -1;
    for (int i = 0; i < 2; ++i) {
        auto watch = reactor.watch(watched.read_end.get(), [&] {
            if (++calls > 1) return;
            right_before = right;
            const pid_t copy = fork();
            if (copy > 0) waitpid(copy, &status, 0);  // it has done all that it ever will
        });
        REQUIRE(watch);
        watches.push_back(std::move(*watch));
    }
    proctor::Result<void> passed = reactor.run_once();
    while (passed && calls == 0) passed = reactor.run_once();
    if (getpid() != host) {
        const bool told_nothing = calls == 1 && right == right_before;
        const bool refused = !passed && passed.error().error_number == EPERM && !reactor.run();
        watches.clear();
        { const Reactor gone = std::move(reactor); }
        _exit(told_nothing && refused ? 0 : 1);
    }
    REQUIRE(passed);
    CHECK(status == 0);
    while (calls < 2) REQUIRE(reactor.run_once());
    watches.clear();
    REQUIRE(reactor.run());
    CHECK(right == 20);
}

TEST_CASE("an id that means \"leave as it is\" is refused") {
    for (const proctor::User& user : {proctor::User{.uid = ~0U}, proctor::User{.uid = 1000, .gid = ~0U},
                                      proctor::User{.uid = 1000, .groups = {~0U}}}) {
        Job job = script("exit 0");
        job.user = user;
        const RunResult result = proctor::run(job);
        REQUIRE(result.error.has_value());
        CHECK(result.error->stage == proctor::Stage::setup);
    }
}
