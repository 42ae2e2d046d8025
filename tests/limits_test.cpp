// SPDX-License-Identifier: MIT
//
// The limits on what a whole tree uses, by each kind of containment that this machine has.
#include "cgroup_ground.hpp"
#include "hog.hpp"
#include "support.hpp"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace proctor::literals;
using proctor::CaptureRecord;
using proctor::Containment;
using proctor::Job;
using proctor::JobHandle;
using proctor::Outcome;
using proctor::Reactor;
using proctor::Reason;
using proctor::RunLimits;
using proctor::RunResult;
using proctor::Stage;
using proctor::STDOUT;
using support::run_in;
using support::script;

namespace {

// Of the kernel's times: each is cut to a microsecond, of each process or of all.
constexpr auto rounding = 10us;

Job limited(std::string_view words, const RunLimits& limits) {
    Job job = script(words);
    job.limits = limits;
    return job;
}

void check_ended_by(const RunResult& result, Reason reason) {
    CAPTURE(support::describe(result));
    CHECK(result.outcome == Outcome::fail);
    CHECK(result.reason == reason);
    CHECK(result.signal == 9);
    CHECK(result.returncode == -9);
    REQUIRE(result.limit_events.crossed_at);
    REQUIRE(result.limit_events.ended_at);
    CHECK(*result.limit_events.crossed_at > 0ns);
    CHECK(*result.limit_events.crossed_at <= *result.limit_events.ended_at);
    // The kernel may have killed for a limit that it keeps.
    const bool by_kernel = reason == Reason::memory_limit && result.sources.containment == "cgroup" &&
                           (result.sources.mem == "memory.peak" || !support::kernel_is_at_least(5, 19));
    if (by_kernel && !result.limit_events.signalled_at) return;
    REQUIRE(result.limit_events.signalled_at);
    CHECK(*result.limit_events.crossed_at <= *result.limit_events.signalled_at);
    CHECK(*result.limit_events.signalled_at <= *result.limit_events.ended_at);
}

void in_each(const std::function<void(Containment)>& check) {
    for (const Containment kind : support::containments()) {
        CAPTURE(support::name_of(kind));
        check(kind);
    }
}

}  // namespace

TEST_CASE("processor time: one that spins is ended when it has used its limit") {
    in_each([](Containment kind) {
        const RunResult result = run_in(kind, limited("spin", {.time = 1min, .cpu_time = 100ms}));
        check_ended_by(result, Reason::cpu_limit);
        CHECK(result.usage->utime + result.usage->stime >= 100ms - rounding);
        CHECK(result.usage->wctime > 0ns);
    });
}

TEST_CASE("processor time: that of all processes counts") {
    in_each([](Containment kind) {
        const char* const words = "fork [ ready then spin ] then fork [ ready then spin ] then pause";
        const RunResult result = run_in(kind, limited(words, {.time = 1min, .cpu_time = 200ms}));
        check_ended_by(result, Reason::cpu_limit);
    });
}

TEST_CASE("processor time: that of a dead child that was waited for counts") {
    in_each([](Containment kind) {
        const char* const words = "fork [ ready then burn 150 ] then reap then spin";
        const RunResult result = run_in(kind, limited(words, {.time = 1min, .cpu_time = 300ms}));
        check_ended_by(result, Reason::cpu_limit);
        CHECK(result.usage->utime + result.usage->stime >= 300ms - rounding);
    });
}

TEST_CASE("processor time: one that stays below, or sleeps, goes on") {
    in_each([](Containment kind) {
        CHECK(run_in(kind, limited("burn 50", {.cpu_time = 10s})).outcome == Outcome::pass);
        // Its start may take long on a slow processor.
        const RunResult asleep = run_in(kind, limited("pause", {.time = 1500ms, .cpu_time = 1400ms}));
        check_ended_by(asleep, Reason::time_limit);
    });
}

TEST_CASE("tasks and processes: limits beyond what the kernel can count are none") {
    in_each([](Containment kind) {
        CHECK(run_in(kind, limited("exit 0", {.processes = 100'000})).passed());
        CHECK(run_in(kind, limited("exit 0", {.tasks = std::numeric_limits<int>::max()})).passed());
    });
}

TEST_CASE("a start that hangs is told of, and however short the limit is, is not asked after without a pause") {
    const auto group = ground::Group::make();
    if (!group) return;
    REQUIRE(ground::write_to(group->file("cgroup.freeze"), "1"));
    Reactor reactor = support::make_reactor({.containment = Containment::cgroup, .cgroup = group->path()});
    std::optional<RunResult> result;
    Job job = limited("exit 0", {.time = 1ns});
    job.sample = false;
    reactor.submit(job, [&](RunResult&& ended) { result = std::move(ended); });
    int passes = 0;
    for (; !result; ++passes) REQUIRE(reactor.run_once(1min));
    CAPTURE(support::describe(*result));
    REQUIRE(result->error);
    CHECK(result->error->stage == Stage::start);
    CHECK(passes < 2000);  // 10 s, at every 10 ms after a while
}

TEST_CASE("memory: one that takes more than its limit is ended") {
    in_each([](Containment kind) {
        const Job job = limited("touch-memory 209715200 then pause", {.time = 1min, .memory = 64_MiB});
        const RunResult result = run_in(kind, job);
        check_ended_by(result, Reason::memory_limit);
        REQUIRE(result.usage->mem.has_value());
        CHECK(*result.usage->mem >= 60_MiB);
    });
}

TEST_CASE("memory: looks at earlier jobs do not make a later one's late") {
    in_each([](Containment kind) {
        Reactor reactor = support::make_reactor({.containment = kind});
        for (int i = 0; i < 4; ++i) {
            reactor.submit(limited("spin", {.time = 300ms, .processes = 3}));
        }
        RunResult result;
        reactor.submit(limited("touch-memory 209715200 then pause", {.time = 1min, .memory = 64_MiB}),
                       [&](RunResult&& ended) { result = std::move(ended); });
        REQUIRE(reactor.run());
        check_ended_by(result, Reason::memory_limit);
    });
}

TEST_CASE("memory: what the host holds is not the job's, though a starting child shares it") {
    CHECK(support::in_host([]() -> std::string {
              const std::vector<char> memory(std::size_t{100} << 20, 'x');
              for (const Containment kind : support::containments()) {
                  Reactor reactor = support::make_reactor({.max_running = 8, .containment = kind});
                  int passed = 0;
                  const int jobs = support::rounds(200);
                  for (int i = 0; i < jobs; ++i) {
                      reactor.submit(limited("exit 0", {.memory = 16_MiB}),
                                     [&](RunResult&& result) { passed += result.passed() ? 1 : 0; });
                  }
                  HOST_CHECK(reactor.run());
                  HOST_CHECK(passed == jobs);
              }
              HOST_CHECK(memory.back() == 'x');
              return {};
          }) == "");
}

TEST_CASE("tiny limits are the job's failure, whether it had begun or not") {
    in_each([](Containment kind) {
        for (const RunLimits& limits : {RunLimits{.cpu_time = 1ns}, RunLimits{.block = 1ns}, RunLimits{.memory = 1}}) {
            // The kernel refuses to make a process at all in a group of no memory.
            if (limits.memory && kind == Containment::cgroup) continue;
            const RunResult result = run_in(kind, limited("pause", limits));
            CHECK_MESSAGE(result.outcome == Outcome::fail, support::describe(result));
            CHECK(result.reason.has_value());
        }
    });
}

TEST_CASE("memory: who is killed for the limit of a group above has not crossed his own") {
    const auto group = ground::Group::make();
    if (!group) return;
    if (!ground::write_to(group->file("memory.max"), "67108864"))
        return support::skip("the kernel keeps no limit of memory for groups here");
    (void)ground::write_to(group->file("memory.swap.max"), "0");
    Reactor reactor = support::make_reactor({.containment = Containment::cgroup, .cgroup = group->path()});
    RunResult result;
    reactor.submit(limited("touch-memory 209715200 then pause", {.time = 1min, .memory = 1_GiB}),
                   [&](RunResult&& ended) { result = std::move(ended); });
    REQUIRE(reactor.run());
    CAPTURE(support::describe(result));
    CHECK(result.outcome == Outcome::fail);
    CHECK_FALSE(result.reason);
    CHECK(result.signal == 9);
}

TEST_CASE("memory: that of all processes counts together") {
    in_each([](Containment kind) {
        const char* const words =
            "fork [ touch-memory 41943040 then ready then pause ] then touch-memory 41943040 then pause";
        check_ended_by(run_in(kind, limited(words, {.time = 1min, .memory = 64_MiB})), Reason::memory_limit);
    });
}

TEST_CASE("memory: pages that processes share count once") {
    in_each([](Containment kind) {
        const char* const words =
            "touch-memory 41943040 then fork [ ready then pause ] then fork [ ready then pause ] then "
            "fork [ ready then pause ] then sleep 1";
        const RunResult result = run_in(kind, limited(words, {.memory = 64_MiB}));
        CHECK_MESSAGE(result.outcome == Outcome::pass, support::describe(result));
    });
}

TEST_CASE("memory: pages that are no longer shared count, also when nobody does anything any more") {
    in_each([](Containment kind) {
        const char* const words =
            "touch-memory 41943040 then fork [ ready then await-byte 8 then rewrite-memory then pause ] then "
            "fork [ ready then await-byte 8 then rewrite-memory then pause ] then pause";
        for (int i = 0; i < 5; ++i) {
            support::Pipe go;
            Job job = limited(words, {.time = 1min, .memory = 100_MiB});
            job.descriptors.push_back({.from = go.read_end.get(), .to = 8});
            support::write_all(go.write_end.get(), "12");
            check_ended_by(run_in(kind, job), Reason::memory_limit);
        }
    });
}

TEST_CASE("memory: one that stays below goes on") {
    in_each([](Containment kind) {
        const Job job = limited("touch-memory 33554432 then burn 50", {.memory = 64_MiB});
        const RunResult result = run_in(kind, job);
        CHECK_MESSAGE(result.outcome == Outcome::pass, support::describe(result));
    });
}

TEST_CASE("processes: one more than allowed ends the run, and not one less") {
    in_each([](Containment kind) {
        std::string words;
        for (int i = 0; i < 3; ++i) words += "fork [ ready then pause ] then ";
        const RunResult enough = run_in(kind, limited(words + "sleep 1", {.processes = 4}));
        CHECK_MESSAGE(enough.outcome == Outcome::pass, support::describe(enough));
        CHECK(enough.usage->proc == 4);
        check_ended_by(run_in(kind, limited(words + "pause", {.time = 1min, .processes = 3})), Reason::process_limit);
    });
}

TEST_CASE("processes: a tree that is far from its limit is looked at seldom") {
    in_each([](Containment kind) {
        const RunResult result = run_in(kind, limited("burn 800", {.processes = 4001}));
        CAPTURE(support::describe(result));
        CHECK(result.passed());
        // 4000 forks take 200 ms or more.
        REQUIRE(result.sources.sample_interval);
        CHECK(*result.sources.sample_interval >= 190ms);
    });
}

TEST_CASE("processes: a shell is not counted while it is one") {
    in_each([](Containment kind) {
        Job job;
        job.shell = "sleep 60 & sleep 60; :";
        job.limits = {.time = 400ms, .processes = 2};
        check_ended_by(run_in(kind, job), Reason::time_limit);
        job.limits = {.time = 1min, .processes = 1};
        check_ended_by(run_in(kind, job), Reason::process_limit);
        job.shell = "exec sleep 0.3";
        job.limits = {.processes = 1};
        const RunResult replaced = run_in(kind, job);
        CHECK_MESSAGE(replaced.outcome == Outcome::pass, support::describe(replaced));
        CHECK(replaced.usage->proc == 1);
    });
}

TEST_CASE("processes: zombies are not counted") {
    in_each([](Containment kind) {
        std::string words;
        for (int i = 0; i < 5; ++i) words += "fork [ exit 0 ] then await-dead then ";
        const RunResult result = run_in(kind, limited(words + "sleep 1", {.processes = 2}));
        CHECK_MESSAGE(result.outcome == Outcome::pass, support::describe(result));
    });
}

TEST_CASE("tasks: more than allowed end the run, whether the kernel refuses it or it is seen") {
    in_each([](Containment kind) {
        std::string words;
        for (int i = 0; i < 3; ++i) words += "fork [ exit 0 ] then await-dead then ";
        const RunResult few = run_in(kind, limited(words + "sleep 1", {.tasks = 5}));
        CHECK_MESSAGE(few.outcome == Outcome::pass, support::describe(few));
        for (int i = 0; i < 6; ++i) words += "fork [ ready then pause ] then ";
        const RunResult result = run_in(kind, limited(words + "pause", {.time = 1min, .tasks = 5}));
        CHECK_MESSAGE(result.reason == Reason::process_limit, support::describe(result));
        CHECK(result.outcome == Outcome::fail);
    });
}

TEST_CASE("blocked: one that does nothing is ended at its limit, and the words say what it waits for") {
    in_each([](Containment kind) {
        const RunResult asleep = run_in(kind, limited("pause", {.time = 1min, .block = 300ms}));
        check_ended_by(asleep, Reason::block_limit);
        CHECK(asleep.usage->wctime >= 300ms);
        CHECK_FALSE(asleep.blocked_in.empty());
        Job job = limited("read 1", {.time = 1min, .block = 300ms});
        job.input = proctor::Input::held_open();
        const RunResult reading = run_in(kind, job);
        check_ended_by(reading, Reason::block_limit);
        CHECK_MESSAGE(reading.blocked_in.find("reading stdin") != std::string::npos, reading.blocked_in);
    });
}

TEST_CASE("blocked: one that works, or prints once in a while, is not") {
    in_each([](Containment kind) {
        check_ended_by(run_in(kind, limited("spin", {.time = 1s, .block = 200ms})), Reason::time_limit);
        Job job;
        job.argv = {"/bin/sh", "-c", "while :; do echo x; sleep 0.1; done"};
        job.limits = {.time = 3s, .block = 1500ms};
        check_ended_by(run_in(kind, job), Reason::time_limit);
    });
}

TEST_CASE("blocked: one that a busy machine does not let run is not") {
    cpu_set_t allowed;
    REQUIRE(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
    if (CPU_COUNT(&allowed) < 2) return support::skip("there is one processor, which this test needs itself");
    unsigned processor = CPU_SETSIZE - 1;
    while (!CPU_ISSET(processor, &allowed)) --processor;
    in_each([&](Containment kind) {
        Reactor reactor = support::make_reactor({.containment = kind});
        // A real-time program takes the processor from when the job computes, but for 5 % at the end of each second.
        std::optional<support::Hog> hog;
        Job job = limited("print r then thread [ spin ] then pause", {.time = 2s, .block = 200ms});
        job.affinity = {processor};
        std::optional<RunResult> result;
        reactor.submit(job, {.on_record = [&](const CaptureRecord&) { hog.emplace(processor); },
                             .on_end = [&](RunResult&& ended) { result = std::move(ended); }});
        REQUIRE(reactor.run());
        if (hog && !hog->runs()) return support::skip("no real-time program may be run here");
        check_ended_by(*result, Reason::time_limit);
    });
}

TEST_CASE("output: a limit may end the run, with the first bytes kept") {
    in_each([](Containment kind) {
        Job job = limited("fill 1 100000 then pause", {.time = 1min});
        job.capture.limits.max_stdout_bytes = 10;
        job.capture.limit_ends_run = true;
        const RunResult result = run_in(kind, job);
        check_ended_by(result, Reason::output_limit);
        CHECK(result.capture.text(STDOUT) == support::pattern(10));
        CHECK(result.capture.totals(STDOUT).truncated);
    });
}

TEST_CASE("output: it is told which limit of which stream ended the run, and where") {
    using proctor::CaptureLimit;
    struct Case {
        proctor::CaptureLimits limits;
        proctor::Stream stream;
        CaptureLimit limit;
        proctor::Bytes offset;
    };
    const std::vector<Case> cases = {
        {{.max_stdout_bytes = 10}, STDOUT, CaptureLimit::bytes, 10},
        {{.max_stdout_bytes = 0}, STDOUT, CaptureLimit::bytes, 0},
        {{.max_stderr_lines = 3}, proctor::STDERR, CaptureLimit::lines, 9},
        {{.max_stdout_lines = 2, .max_stdout_bytes = 6}, STDOUT, CaptureLimit::bytes, 6},
        {{.max_stdout_lines = 2, .max_stdout_bytes = 7}, STDOUT, CaptureLimit::lines, 6},
    };
    for (const Case& each : cases) {
        Job job = script("alternate 100 then pause");
        job.capture.limits = each.limits;
        job.capture.limit_ends_run = true;
        const RunResult result = proctor::run(std::move(job));
        INFO(support::describe(result));
        CHECK(result.reason == Reason::output_limit);
        REQUIRE(result.output_limit);
        CHECK(result.output_limit->stream == each.stream);
        CHECK(result.output_limit->limit == each.limit);
        CHECK(result.output_limit->offset == each.offset);
        CHECK(result.capture.totals(each.stream).cut_by == each.limit);
    }
}

TEST_CASE("memory: a limit that does not even hold the arguments harms the job and not the host") {
    Reactor reactor = support::make_reactor({.containment = support::containments().front()});
    const int rounds = support::rounds(20);
    int ended = 0;
    bool without_kernel = false;
    for (int i = 0; i < rounds; ++i) {
        Job job{.argv = {support::child(), "print", "ok"}, .limits = {.time = 1min, .memory = 256_KiB}};
        job.argv.insert(job.argv.end(), 10, std::string(100'000, 'x'));
        job.require.memory = true;
        reactor.submit(std::move(job), [&](const RunResult& result) {
            CAPTURE(support::describe(result));
            without_kernel = result.error && result.error->stage == proctor::Stage::cgroup;
            const bool refused = result.error && result.error->stage == proctor::Stage::exec;
            ended += refused || result.reason == Reason::memory_limit ? 1 : 0;
        });
    }
    REQUIRE(reactor.run());
    if (without_kernel) return support::skip("the kernel keeps no memory limits here");
    CHECK(ended == rounds);
    CHECK(proctor::run(script("print alive")).capture.text(STDOUT) == "alive");
}

TEST_CASE("output: a limit that may end the run does so also where the program was quicker") {
    in_each([](Containment kind) {
        Job job = script("fill 1 1000");
        job.capture.limits.max_stdout_bytes = 10;
        job.capture.limit_ends_run = true;
        Reactor reactor = support::make_reactor({.containment = kind});
        int crossed = 0;
        for (int i = 0; i < 100; ++i) {
            reactor.submit(job, [&](const RunResult& result) {
                crossed += result.reason == Reason::output_limit && result.outcome == Outcome::fail ? 1 : 0;
            });
        }
        REQUIRE(reactor.run());
        CHECK(crossed == 100);
    });
}

TEST_CASE("a limit asks by SIGTERM first where the job wants that, and every process is asked") {
    in_each([](Containment kind) {
        const char* const words =
            "fork [ new-session then on-signal-exit 15 child 0 then ready then spin ] then on-signal-print 15 main "
            "then await-dead then exit 7";
        Job job = limited(words, {.time = 1min, .cpu_time = 100ms});
        job.kill_after = 1min;
        const RunResult result = run_in(kind, job);
        CAPTURE(support::describe(result));
        CHECK(result.reason == Reason::cpu_limit);
        CHECK(result.exit_code == 7);
        CHECK(result.capture.text(STDOUT).find("main") != std::string::npos);
        CHECK(result.capture.text(STDOUT).find("child") != std::string::npos);
    });
}

TEST_CASE("what is required and missing is an error before the start") {
    for (const auto member : {&proctor::Require::cgroup, &proctor::Require::cpu, &proctor::Require::memory,
                              &proctor::Require::tasks, &proctor::Require::kill}) {
        Job job = script("print ran");
        job.require.*member = true;
        const RunResult result = run_in(Containment::tree, job);
        CHECK(result.outcome == Outcome::error);
        REQUIRE(result.error.has_value());
        CHECK(result.error->stage == Stage::cgroup);
        CHECK(result.error->message.find("required") != std::string::npos);
        CHECK(result.capture.text(STDOUT).empty());
    }
}

TEST_CASE("live usage and the list of processes while a job runs") {
    in_each([](Containment kind) {
        Reactor reactor = support::make_reactor({.containment = kind});
        Job job = script("fork [ ready then pause ] then touch-memory 8388608 then burn 30 then print up then pause");
        JobHandle handle;
        RunResult result;
        bool seen = false;
        handle = reactor.submit(job, {.on_record =
                                          [&](const CaptureRecord&) {
                                              const auto usage = handle.usage();
                                              const auto processes = handle.processes();
                                              REQUIRE(usage.has_value());
                                              CHECK(usage->utime + usage->stime >= 25ms);
                                              CHECK(usage->proc == 2);
                                              // A look in between may have seen nearly all: see TreeMemory::peak().
                                              CHECK(usage->mem.value_or(0) >= 8_MiB - 1_MiB - 8_MiB / 16);
                                              REQUIRE(processes.size() == 2);
                                              CHECK(processes[0].pid == handle.pid());
                                              CHECK(processes[0].mem >= 8_MiB);
                                              seen = true;
                                              handle.cancel();
                                          },
                                      .on_end = [&](RunResult&& ended) { result = std::move(ended); }});
        REQUIRE(reactor.run());
        CHECK(seen);
        CHECK(result.error.has_value());
        CHECK(handle.processes().empty());
    });
}

TEST_CASE("many jobs with limits of every kind at once, each gets its own") {
    struct Wanted {
        const char* words;
        RunLimits limits;
        Reason reason;
    };
    const std::vector<Wanted> kinds = {
        {"spin", {.time = 1min, .cpu_time = 30ms}, Reason::cpu_limit},
        {"touch-memory 67108864 then pause", {.time = 1min, .memory = 32_MiB}, Reason::memory_limit},
        {"fork [ ready then pause ] then fork [ ready then pause ] then pause",
         {.time = 1min, .processes = 2},
         Reason::process_limit},
        {"pause", {.time = 1min, .block = 100ms}, Reason::block_limit},
        {"pause", {.time = 100ms}, Reason::time_limit},
    };
    in_each([&](Containment kind) {
        Reactor reactor = support::make_reactor({.max_running = 10, .containment = kind});
        const int each = support::rounds(10);
        int right = 0;
        for (int i = 0; i < each; ++i) {
            for (const Wanted& wanted : kinds) {
                reactor.submit(limited(wanted.words, wanted.limits), [&](RunResult&& result) {
                    CHECK_MESSAGE(result.reason == wanted.reason, support::describe(result));
                    right += result.reason == wanted.reason ? 1 : 0;
                });
            }
        }
        REQUIRE(reactor.run());
        CHECK(right == each * static_cast<int>(kinds.size()));
    });
}
