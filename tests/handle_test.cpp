// SPDX-License-Identifier: MIT
//
// What can be done to a job by its handle: cancel it in every state, signal it, ask what it has used.
#include "support.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using proctor::CaptureRecord;
using proctor::Job;
using proctor::JobHandle;
using proctor::JobState;
using proctor::Outcome;
using proctor::Reactor;
using proctor::RunResult;
using proctor::Stage;
using proctor::STDOUT;
using support::script;
using support::Witness;

namespace {

void check_cancelled(const RunResult& result) {
    INFO(support::describe(result));
    CHECK(result.outcome == Outcome::error);
    REQUIRE(result.error.has_value());
    CHECK(result.error->stage == Stage::cancelled);
    CHECK_FALSE(result.reason.has_value());
    CHECK_FALSE(result.limit_events.crossed_at.has_value());
}

}  // namespace

TEST_CASE("a job that is cancelled before its turn never runs") {
    const support::TempDir dir;
    Reactor reactor = support::make_reactor({.max_running = 1});
    int ends = 0;
    JobHandle waiting;
    reactor.submit(script("print x then pause"), {.on_record =
                                                      [&](const CaptureRecord&) {
                                                          CHECK(waiting.state() == JobState::queued);
                                                          CHECK_FALSE(waiting.pid().has_value());
                                                          waiting.cancel();
                                                          reactor.cancel_all();
                                                      },
                                                  .on_end =
                                                      [&](RunResult&& result) {
                                                          check_cancelled(result);
                                                          ++ends;
                                                      }});
    waiting = reactor.submit(script("write-file " + dir.file("ran") + " x"), [&](RunResult&& result) {
        check_cancelled(result);
        CHECK_FALSE(result.usage.has_value());
        CHECK_FALSE(result.returncode.has_value());
        ++ends;
    });
    REQUIRE(reactor.run());
    CHECK(ends == 2);
    CHECK(access(dir.file("ran").c_str(), F_OK) != 0);
}

TEST_CASE("a job that is cancelled right after submit ends as cancelled") {
    Reactor reactor = support::make_reactor();
    int ends = 0;
    reactor
        .submit(script("pause"),
                [&](RunResult&& result) {
                    check_cancelled(result);
                    ++ends;
                })
        .cancel();
    CHECK(ends == 0);
    REQUIRE(reactor.run());
    CHECK(ends == 1);
}

TEST_CASE("a job that is cancelled while it starts ends as cancelled, and nothing of it is left") {
    Reactor reactor = support::make_reactor();
    REQUIRE(reactor.fd() >= 0);  // from here on a submit launches
    int ends = 0;
    for (int i = 0; i < 50; ++i) {
        Job job = script("pause");
        Witness witness(job);
        const JobHandle handle = reactor.submit(job, [&](RunResult&& result) {
            check_cancelled(result);
            ++ends;
        });
        if (i % 2 == 0) REQUIRE(reactor.run_once(0ns));
        CHECK(handle.state() != JobState::ended);
        handle.cancel();
        REQUIRE(reactor.run());
        CHECK(handle.state() == JobState::ended);
        CHECK(witness.all_gone());
    }
    CHECK(ends == 50);
}

TEST_CASE("a running job that is cancelled keeps its return code, usage and output") {
    Reactor reactor = support::make_reactor();
    JobHandle handle;
    RunResult end;
    Job job = script("burn 50 then print output then pause");
    Witness witness(job);
    handle = reactor.submit(job, {.on_record = [&](const CaptureRecord&) { handle.cancel(); },
                                  .on_end = [&](RunResult&& result) { end = std::move(result); }});
    REQUIRE(reactor.run());
    check_cancelled(end);
    CHECK(end.returncode == -SIGKILL);
    CHECK(end.signal == SIGKILL);
    REQUIRE(end.usage.has_value());
    CHECK(end.usage->utime + end.usage->stime >= 40ms);
    CHECK(end.usage->wctime >= 40ms);
    CHECK(end.capture.text(STDOUT) == "output");
    CHECK(witness.all_gone());
}

TEST_CASE("cancel sends SIGTERM first if the job has kill_after") {
    Reactor reactor = support::make_reactor();
    JobHandle handle;
    RunResult end;
    Job job = script("on-signal-exit 15 cleaned 3 then print ready then pause");
    SUBCASE("and that is enough") { job.kill_after = 1h; }
    SUBCASE("and SIGKILL when it is ignored") {
        job = script("ignore 15 then print ready then pause");
        job.kill_after = 50ms;
    }
    handle = reactor.submit(job, {.on_record = [&](const CaptureRecord&) { handle.cancel(); },
                                  .on_end = [&](RunResult&& result) { end = std::move(result); }});
    REQUIRE(reactor.run());
    check_cancelled(end);
    if (*job.kill_after == 1h) {
        CHECK(end.exit_code == 3);
        CHECK(end.capture.text(STDOUT) == "readycleaned");
    } else {
        CHECK(end.signal == SIGKILL);
        CHECK(end.usage->wctime >= 50ms);
    }
}

TEST_CASE("cancelling kills the whole group") {
    Reactor reactor = support::make_reactor();
    JobHandle handle;
    Job job = script("fork [ ready then pause ] then fork [ ready then ignore 15 then spin ] then print up then pause");
    Witness witness(job);
    handle = reactor.submit(job, {.on_record = [&](const CaptureRecord&) { handle.cancel(); }});
    REQUIRE(reactor.run());
    CHECK(witness.all_gone());
}

TEST_CASE("cancelling a job whose main process is dead ends the wait for its output, and its verdict stands") {
    Reactor reactor = support::make_reactor();
    RunResult end;
    Job job = script("print output then fork [ ready then pause ] then exit 0");
    Witness witness(job);
    job.drain_grace = 1h;
    const JobHandle handle = reactor.submit(job, [&](RunResult&& result) { end = std::move(result); });
    while (handle.state() != JobState::draining) REQUIRE(reactor.run_once());
    handle.cancel();
    REQUIRE(reactor.run());
    INFO(support::describe(end));
    CHECK(end.passed());
    CHECK(end.capture.text(STDOUT) == "output");
    CHECK(witness.all_gone());
    handle.cancel();
    CHECK(handle.state() == JobState::ended);
}

TEST_CASE("cancelling twice is cancelling once") {
    Reactor reactor = support::make_reactor();
    JobHandle handle;
    int ends = 0;
    handle = reactor.submit(script("print x then pause"), {.on_record =
                                                               [&](const CaptureRecord&) {
                                                                   handle.cancel();
                                                                   handle.cancel();
                                                               },
                                                           .on_end =
                                                               [&](RunResult&&) {
                                                                   ++ends;
                                                                   handle.cancel();
                                                               }});
    REQUIRE(reactor.run());
    CHECK(ends == 1);
}

TEST_CASE("cancel_all ends every job, queued or not, once") {
    Reactor reactor = support::make_reactor({.max_running = 5});
    int ends = 0;
    for (int i = 0; i < 20; ++i) {
        reactor.submit(script("pause"), [&](RunResult&& result) {
            check_cancelled(result);
            ++ends;
        });
    }
    CHECK(reactor.size() == 20);
    REQUIRE(reactor.run_once(0ns));
    reactor.cancel_all();
    CHECK(ends == 0);
    REQUIRE(reactor.run());
    CHECK(ends == 20);
    CHECK(reactor.size() == 0);
}

TEST_CASE("a handle tells the reason as soon as a limit is crossed") {
    Reactor reactor = support::make_reactor();
    JobHandle handle;
    RunResult end;
    Job job = script("on-signal-print 15 told then print ready then pause");
    job.limits.time = 1s;
    job.kill_after = 1s;
    std::optional<proctor::Reason> before;
    std::optional<proctor::Reason> after;
    handle = reactor.submit(
        job,
        {.on_record = [&](const CaptureRecord& record) { (record.data == "told" ? after : before) = handle.reason(); },
         .on_end = [&](RunResult&& result) { end = std::move(result); }});
    REQUIRE(reactor.run());
    INFO(support::describe(end));
    CHECK(end.capture.text(STDOUT) == "readytold");
    CHECK(before == std::nullopt);
    CHECK(after == proctor::Reason::time_limit);
    CHECK(end.reason == proctor::Reason::time_limit);
}

TEST_CASE("a signal reaches the main process") {
    Reactor reactor = support::make_reactor();
    JobHandle handle;
    RunResult end;
    handle = reactor.submit(script("on-signal-exit 10 received 6 then print ready then pause"),
                            {.on_record =
                                 [&](const CaptureRecord& record) {
                                     if (record.data != "ready") return;
                                     CHECK(handle.signal(SIGUSR1));
                                 },
                             .on_end = [&](RunResult&& result) { end = std::move(result); }});
    const auto too_early = handle.signal(SIGUSR1);
    REQUIRE_FALSE(too_early);
    CHECK(too_early.error().error_number == ESRCH);
    REQUIRE(reactor.run());
    CHECK(end.exit_code == 6);
    CHECK(end.capture.text(STDOUT) == "readyreceived");
    const auto too_late = handle.signal(SIGUSR1);
    REQUIRE_FALSE(too_late);
    CHECK(too_late.error().error_number == ESRCH);
}

TEST_CASE("a number that is no signal's is refused") {
    Reactor reactor = support::make_reactor();
    JobHandle handle;
    int refused = 0;
    handle = reactor.submit(script("print ready then pause"), {.on_record = [&](const CaptureRecord&) {
                                for (const int number : {-1, 65, 1000}) {
                                    const auto sent = handle.signal(number);
                                    if (!sent && sent.error().error_number == EINVAL) ++refused;
                                }
                                handle.cancel();
                            }});
    REQUIRE(reactor.run());
    CHECK(refused == 3);
}

TEST_CASE("a handle tells state, process id and usage while the job runs, and nothing after it") {
    Reactor reactor = support::make_reactor();
    JobHandle handle;
    bool looked = false;
    int pid = 0;
    handle =
        reactor.submit(script("burn 50 then print ready then await-end 0"),
                       {.on_record =
                            [&](const CaptureRecord& record) {
                                if (record.stream != STDOUT) return;
                                looked = true;
                                CHECK((handle.state() == JobState::running || handle.state() == JobState::draining));
                                CHECK_FALSE(handle.reason().has_value());
                                pid = handle.pid().value_or(0);
                                const auto usage = handle.usage();
                                REQUIRE(usage.has_value());
                                CHECK(usage->wctime >= 40ms);
                                CHECK(usage->utime + usage->stime >= 20ms);
                            },
                        .on_end = [&](RunResult&&) { CHECK(handle.state() == JobState::ended); }});
    CHECK(handle.state() == JobState::queued);
    CHECK_FALSE(handle.pid().has_value());
    CHECK_FALSE(handle.usage().has_value());
    REQUIRE(reactor.run());
    CHECK(looked);
    CHECK(pid > 1);
    CHECK(handle.state() == JobState::ended);
    CHECK_FALSE(handle.pid().has_value());
    CHECK_FALSE(handle.usage().has_value());
    CHECK_FALSE(handle.reason().has_value());
}

TEST_CASE("a handle that names nothing answers as one whose job has ended") {
    const JobHandle handle;
    CHECK(handle.state() == JobState::ended);
    CHECK_FALSE(handle.pid().has_value());
    CHECK_FALSE(handle.usage().has_value());
    CHECK_FALSE(handle.reason().has_value());
    handle.cancel();
    handle.pause_output(STDOUT);
    handle.resume_output(STDOUT);
    const auto sent = handle.signal(SIGTERM);
    REQUIRE_FALSE(sent);
    CHECK(sent.error().error_number == ESRCH);
}

TEST_CASE("memory is told only where it exceeds what the host had at the start of the job") {
    const RunResult small = support::run_in(proctor::Containment::tree, script("exit 0"));
    REQUIRE(small.usage.has_value());
    CHECK_FALSE(small.usage->mem.has_value());
    CHECK_FALSE(small.sources.mem.has_value());

    rusage ours{};
    getrusage(RUSAGE_SELF, &ours);
    const proctor::Bytes wanted = static_cast<proctor::Bytes>(ours.ru_maxrss) * 1024 + (64 << 20);
    const RunResult large =
        support::run_in(proctor::Containment::tree, script("touch-memory " + std::to_string(wanted)));
    REQUIRE(large.usage.has_value());
    REQUIRE(large.usage->mem.has_value());
    CHECK(*large.usage->mem >= wanted);
    CHECK(large.sources.mem == "maxrss");
}

TEST_CASE("memory that the host takes while its jobs start is not told as theirs") {
    Reactor reactor = support::make_reactor({.max_running = 16, .containment = proctor::Containment::tree});
    std::vector<RunResult> kept;
    for (int i = 0; i < 500; ++i) {
        reactor.submit(script("fill 1 100000"), [&](RunResult&& result) { kept.push_back(std::move(result)); });
    }
    REQUIRE(reactor.run());
    int told = 0;
    rusage ours{};
    getrusage(RUSAGE_SELF, &ours);
    INFO("the host's own peak in the end: ", ours.ru_maxrss, " KiB");
    std::string memories;
    for (const RunResult& result : kept) {
        // One that was slow enough to be looked at has its own.
        if (!result.usage || !result.usage->mem || result.sources.mem != "maxrss") continue;
        ++told;
        memories += " " + std::to_string(*result.usage->mem / 1024);
    }
    INFO("told, in KiB:", memories);
    CHECK(kept.size() == 500);
    CHECK(told == 0);
}

TEST_CASE("the result names its mechanisms") {
    Reactor reactor = support::make_reactor({.containment = proctor::Containment::tree});
    RunResult result;
    reactor.submit(script("exit 0"), [&](RunResult&& ended) { result = std::move(ended); });
    REQUIRE(reactor.run());
    CHECK(result.sources.engine == support::engine());
    CHECK(result.sources.containment == "tree");
    CHECK(result.sources.cpu == "rusage");
    CHECK_FALSE(result.sources.cpu_complete);
    CHECK(result.sources.kill == "group");
    CHECK_FALSE(result.sources.proc.has_value());
    CHECK_FALSE(result.usage->proc.has_value());
}
