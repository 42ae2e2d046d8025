// SPDX-License-Identifier: MIT
//
// Two programs that talk to each other: what passes between them, and how pairs come and go among other jobs.
#include "support.hpp"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using proctor::CaptureRecord;
using proctor::Containment;
using proctor::Input;
using proctor::Job;
using proctor::JobState;
using proctor::Outcome;
using proctor::PairHandle;
using proctor::PairResult;
using proctor::Reactor;
using proctor::Reason;
using proctor::RunLimits;
using proctor::RunResult;
using proctor::Side;
using proctor::Stage;
using proctor::STDERR;
using proctor::STDIN;
using proctor::STDOUT;
using proctor::Stream;
using proctor::Wiring;
using support::describe;
using support::ended_before;
using support::script;

namespace {

PairResult run_pair(Job first, Job second, Wiring wiring = Wiring::recorded) {
    Reactor reactor = support::make_reactor();
    std::optional<PairResult> result;
    reactor.submit_pair(
        std::move(first), std::move(second), [&](PairResult&& ended) { result = std::move(ended); }, wiring);
    REQUIRE(reactor.run());
    REQUIRE(result.has_value());
    return std::move(*result);
}

}  // namespace

TEST_CASE("limits of words that nobody records are refused") {
    for (const bool by_first : {true, false}) {
        Job first = script("exit 0");
        Job second = script("exit 0");
        (by_first ? first : second).capture.limits.max_stdout_bytes = 10;
        const PairResult result = run_pair(std::move(first), std::move(second), Wiring::direct);
        INFO(support::describe(result));
        const RunResult& refused = by_first ? result.first : result.second;
        REQUIRE(refused.error);
        CHECK(refused.error->stage == proctor::Stage::setup);
    }
}

TEST_CASE("the dialogue tells who said what, in order, with times that never decrease") {
    constexpr std::size_t rounds = 200;
    std::vector<std::string> observed;
    Reactor reactor = support::make_reactor();
    reactor.submit_pair(
        script("print-to 2 hello then ask 200"), script("copy 0 1 then print-to 2 bye"),
        {.on_record =
             [&](const CaptureRecord& record) { observed.push_back(std::to_string(record.stream) += record.data); },
         .on_end =
             [&](PairResult&& result) {
                 INFO(describe(result));
                 CHECK(result.passed());
                 REQUIRE(result.dialogue.record_count() == 2 * rounds);
                 std::chrono::nanoseconds last{};
                 Stream expected = STDOUT;
                 auto playback = result.dialogue.playback();
                 for (const CaptureRecord& record : playback) {
                     CHECK(record.stream == expected);
                     CHECK(record.data == "ping\n");
                     CHECK(record.time >= last);
                     last = record.time;
                     expected = expected == STDOUT ? STDERR : STDOUT;
                 }
                 CHECK(last > 0ns);
                 CHECK(result.dialogue.lines(STDOUT) == rounds);
                 CHECK(result.first.capture.text(STDERR) == "hello");
                 CHECK(result.second.capture.text(STDERR) == "bye");
                 for (const RunResult* each : {&result.first, &result.second}) {
                     CHECK(each->capture.text(STDOUT).empty());
                     CHECK(each->capture.totals(STDOUT).total_bytes == 5 * rounds);
                     CHECK(each->capture.totals(STDIN).total_lines == rounds);
                     CHECK(each->unread == 0);
                 }
             }});
    CHECK(reactor.size() == 2);
    REQUIRE(reactor.run());
    CHECK(observed.size() == 2 * rounds);
    CHECK(observed[0] == "1ping\n");
    CHECK(observed[1] == "2ping\n");
}

TEST_CASE("much passes both ways at once, unchanged") {
    constexpr std::size_t size = 16 << 20;
    for (const Wiring wiring : {Wiring::recorded, Wiring::direct}) {
        // Each has a child that writes while it reads.
        const char* const words = "fork [ ready then fill 1 16777216 ] then close 1 then copy 0 2";
        Job first = script(words);
        Job second = script(words);
        first.drain_grace = second.drain_grace = 60s;
        first.capture.keep = second.capture.keep = true;
        const PairResult result = run_pair(std::move(first), std::move(second), wiring);
        INFO(describe(result));
        CHECK(result.passed());
        const std::string expected = support::pattern(size);
        CHECK((result.first.capture.text(STDERR) == expected));
        CHECK((result.second.capture.text(STDERR) == expected));
        if (wiring == Wiring::recorded) {
            CHECK((result.dialogue.text(STDOUT) == expected));
            CHECK((result.dialogue.text(STDERR) == expected));
        } else {
            CHECK(result.dialogue.record_count() == 0);
        }
    }
}

TEST_CASE("a dialogue that is too large for memory and cannot be spooled ends both, and what was recorded is there") {
    const support::TempDir dir;
    Job first = script("fill 1 100000000 then pause");
    first.capture.max_size = 100'000;
    first.capture.spool_directory = dir.file("missing");
    const PairResult result = run_pair(std::move(first), script("fill 1 100000000 then pause"));
    INFO(describe(result));
    for (const RunResult* each : {&result.first, &result.second}) {
        REQUIRE(each->error.has_value());
        CHECK(each->error->stage == Stage::spool);
        CHECK(each->error->error_number == ENOENT);
    }
    for (const Stream stream : {STDOUT, STDERR}) {
        const std::string text = result.dialogue.text(stream);
        CHECK((text == support::pattern(text.size())));
        CHECK(static_cast<proctor::Bytes>(text.size()) == result.dialogue.size(stream));
    }
    CHECK(result.dialogue.size(STDOUT) + result.dialogue.size(STDERR) > 90'000);
}

TEST_CASE("limits of the capture bound what is recorded, not what is passed on") {
    Job first = script("fill 1 100000");
    first.capture.limits.max_stdout_bytes = 1000;
    const PairResult result = run_pair(std::move(first), script("copy 0 2"));
    INFO(describe(result));
    CHECK(result.passed());
    CHECK(result.dialogue.size(STDOUT) == 1000);
    CHECK(result.dialogue.truncated(STDOUT));
    CHECK(result.dialogue.totals(STDOUT).total_bytes == 100'000);
    CHECK((result.second.capture.text(STDERR) == support::pattern(100'000)));
}

TEST_CASE("an output limit that ends the run passes on exactly what is kept") {
    Job first = script("fill 1 100000");
    first.capture.limits.max_stdout_bytes = 1000;
    first.capture.limit_ends_run = true;
    const PairResult result = run_pair(std::move(first), script("copy 0 2"));
    INFO(describe(result));
    CHECK(result.first.reason == Reason::output_limit);
    CHECK((result.second.capture.text(STDERR) == support::pattern(1000)));
}

TEST_CASE("what was written before its writer ended arrives before the end of file") {
    for (const Wiring wiring : {Wiring::recorded, Wiring::direct}) {
        const PairResult result = run_pair(script("fill 1 50000"), script("burn 20 then copy 0 2"), wiring);
        INFO(describe(result));
        CHECK(result.passed());
        CHECK((result.second.capture.text(STDERR) == support::pattern(50'000)));
        CHECK(ended_before(result, Side::first, wiring));
    }
}

TEST_CASE("what is said to one that does not listen any more is recorded, and never read") {
    const PairResult result = run_pair(script("print 12345 then await-end 0"), script("read 2 then exit 0"));
    INFO(describe(result));
    CHECK(result.passed());
    CHECK(result.dialogue.text(STDOUT) == "12345");
    CHECK(result.second.unread == 3);
}

TEST_CASE("the one that only followed is never taken for the first") {
    // It is told of the other's end as soon as it can be, and ends at once.
    const int rounds = support::rounds(500);
    Reactor reactor = support::make_reactor({.max_running = 8});
    int right = 0;
    for (int i = 0; i < rounds; ++i) {
        const bool first_ends = i % 2 == 0;
        const char* const ends = i % 4 < 2 ? "exit 0" : "print x then exit 0";
        const char* const follows = i % 4 < 2 ? "await-byte 0" : "await-end 0";
        reactor.submit_pair(script(first_ends ? ends : follows), script(first_ends ? follows : ends),
                            [&right, first_ends](PairResult&& result) {
                                INFO(describe(result));
                                const Side expected = first_ends ? Side::first : Side::second;
                                CHECK(result.ended_first == expected);
                                right += result.ended_first == expected ? 1 : 0;
                            });
    }
    REQUIRE(reactor.run());
    CHECK(right == rounds);
}

TEST_CASE("two that are dead when the reactor looks ended in a tie") {
    for (const Wiring wiring : {Wiring::recorded, Wiring::direct}) {
        Reactor reactor = support::make_reactor();
        std::optional<PairResult> result;
        REQUIRE(reactor.run_once(0ns));
        const PairHandle handle = reactor.submit_pair(
            script("exit 0"), script("exit 0"), [&](PairResult&& ended) { result = std::move(ended); }, wiring);
        REQUIRE(handle.first().pid().has_value());
        REQUIRE(handle.second().pid().has_value());
        for (const auto& side : {handle.first(), handle.second()}) {
            siginfo_t info{};
            CHECK(waitid(P_PID, static_cast<id_t>(*side.pid()), &info, WEXITED | WNOWAIT) == 0);
        }
        REQUIRE(reactor.run());
        REQUIRE(result.has_value());
        INFO(describe(*result));
        CHECK(result->passed());
        CHECK(result->ended_first == Side::tie);
    }
}

TEST_CASE("where one never ran there is no first") {
    for (const bool first_is_missing : {true, false}) {
        Job missing{.argv = {"/nonexistent/program"}};
        Job there = script("await-end 0");
        const PairResult result = first_is_missing ? run_pair(missing, there) : run_pair(there, missing);
        INFO(describe(result));
        CHECK(result.ended_first == Side::tie);
    }
}

TEST_CASE("if one cannot be started, the other is cancelled and says why") {
    for (const Wiring wiring : {Wiring::recorded, Wiring::direct}) {
        for (const bool first_is_missing : {true, false}) {
            for (const char* words : {"pause", "exit 0", "await-end 0"}) {
                Job missing{.argv = {"/no/such/program"}};
                Job other = script(words);
                const PairResult result =
                    first_is_missing ? run_pair(missing, other, wiring) : run_pair(other, missing, wiring);
                INFO(describe(result));
                const RunResult& failed = first_is_missing ? result.first : result.second;
                const RunResult& spared = first_is_missing ? result.second : result.first;
                CHECK(failed.outcome == Outcome::error);
                REQUIRE(failed.error.has_value());
                CHECK(failed.error->stage == Stage::exec);
                CHECK(spared.outcome == Outcome::error);
                REQUIRE(spared.error.has_value());
                CHECK(spared.error->stage == Stage::cancelled);
                CHECK(spared.error->message.find("other program") != std::string::npos);
            }
        }
    }
}

TEST_CASE("a pair that cannot be is refused, both of it, before anything is started") {
    const support::TempDir dir;
    struct Case {
        const char* what;
        std::function<void(Job&)> spoil;
        unsigned max_running = 2;
    };
    const std::vector<Case> cases = {
        {"an input of its own", [](Job& job) { job.input = Input::text("x"); }},
        {"an output of its own", [](Job& job) { job.output = proctor::Output::null(); }},
        {"a pace", [](Job& job) { job.input_delay = 1s; }},
        {"an exact order", [](Job& job) { job.order = proctor::Order::exact; }},
        {"no program", [](Job& job) { job.argv.clear(); }},
        {"a directory that is not there", [](Job& job) { job.error_output = proctor::Output::file("/no/such/file"); }},
        {"one place", [](Job&) {}, 1},
    };
    for (const Case& each : cases) {
        for (const bool first_is_wrong : {true, false}) {
            INFO(std::string(each.what));
            Job right = script("write-file " + dir.file("ran") + " x");
            Job wrong = right;
            each.spoil(wrong);
            Reactor reactor = support::make_reactor({.max_running = each.max_running});
            int ends = 0;
            reactor.submit_pair(first_is_wrong ? wrong : right, first_is_wrong ? right : wrong,
                                [&](PairResult&& result) {
                                    INFO(describe(result));
                                    ++ends;
                                    CHECK(result.first.outcome == Outcome::error);
                                    CHECK(result.second.outcome == Outcome::error);
                                    CHECK(result.ended_first == Side::tie);
                                });
            REQUIRE(reactor.run());
            CHECK(ends == 1);
            // Where the launch of the second fails, the first may have run for a moment.
            if (std::string(each.what) != "a directory that is not there" || first_is_wrong) {
                CHECK(access(dir.file("ran").c_str(), F_OK) != 0);
            }
            ::unlink(dir.file("ran").c_str());
        }
    }
}

TEST_CASE("a pair is two of max_running and waits for both places, with those behind it") {
    Reactor reactor = support::make_reactor({.max_running = 3});
    std::vector<proctor::JobHandle> jobs;
    std::ptrdiff_t most = 0;
    const auto count = [&](const CaptureRecord&) {
        most = std::max(most, std::count_if(jobs.begin(), jobs.end(), [](const proctor::JobHandle& job) {
                            return job.state() != JobState::queued && job.state() != JobState::ended;
                        }));
    };
    int passed = 0;
    for (int i = 0; i < 6; ++i) {
        jobs.push_back(reactor.submit(script("print x"), {.on_record = count}));
        const PairHandle pair = reactor.submit_pair(script("ask 1"), script("copy 0 1"),
                                                    {.on_record = count, .on_end = [&](PairResult&& result) {
                                                         INFO(describe(result));
                                                         CHECK(result.passed());
                                                         passed += result.passed() ? 1 : 0;
                                                     }});
        jobs.push_back(pair.first());
        jobs.push_back(pair.second());
    }
    REQUIRE(reactor.run());
    CHECK(passed == 6);
    CHECK(most == 3);
}

TEST_CASE("a pair for which descriptors are short waits until others have ended, as a job does") {
    for (const rlim_t spare : {rlim_t{30}, rlim_t{36}, rlim_t{44}}) {
        CAPTURE(spare);
        CHECK(support::in_host([spare]() -> std::string {
                  Reactor reactor = support::make_reactor();
                  HOST_CHECK(reactor.fd() >= 0);
                  rlimit limit{};
                  HOST_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
                  limit.rlim_cur = support::open_descriptors().size() + spare;
                  HOST_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
                  std::string complaint;
                  for (int i = 0; i < 2; ++i) {
                      reactor.submit(script("burn 20"), [&](RunResult&& result) {
                          if (!result.passed()) complaint += support::describe(result);
                      });
                  }
                  for (int i = 0; i < 5; ++i) {
                      reactor.submit_pair(script("ask 10"), script("copy 0 1"), [&](PairResult&& result) {
                          if (!result.passed()) complaint += describe(result);
                      });
                  }
                  HOST_CHECK(reactor.run());
                  return complaint;
              }) == "");
    }
}

TEST_CASE("cancelling the pair's handle cancels both, in every state") {
    const auto check_cancelled = [](const PairResult& result) {
        INFO(describe(result));
        for (const RunResult* each : {&result.first, &result.second}) {
            CHECK(each->outcome == Outcome::error);
            REQUIRE(each->error.has_value());
            CHECK(each->error->stage == Stage::cancelled);
        }
    };
    SUBCASE("queued") {
        Reactor reactor = support::make_reactor();
        int ends = 0;
        const PairHandle handle = reactor.submit_pair(script("pause"), script("pause"), [&](PairResult&& result) {
            check_cancelled(result);
            ++ends;
        });
        SUBCASE("both") { handle.cancel(); }
        SUBCASE("by the first alone") { handle.first().cancel(); }
        SUBCASE("by the second alone") { handle.second().cancel(); }
        REQUIRE(reactor.run());
        CHECK(ends == 1);
    }
    SUBCASE("running, from inside the handler of its records") {
        Reactor reactor = support::make_reactor();
        PairHandle handle;
        int ends = 0;
        handle = reactor.submit_pair(script("ask 1000000000"), script("copy 0 1"),
                                     {.on_record = [&](const CaptureRecord&) { handle.cancel(); },
                                      .on_end =
                                          [&](PairResult&& result) {
                                              check_cancelled(result);
                                              ++ends;
                                          }});
        REQUIRE(reactor.run());
        CHECK(ends == 1);
    }
    SUBCASE("one alone ends the other's input") {
        Reactor reactor = support::make_reactor();
        PairHandle handle;
        handle = reactor.submit_pair(script("await-end 0"), script("print x then pause"),
                                     {.on_record = [&](const CaptureRecord&) { handle.second().cancel(); },
                                      .on_end =
                                          [&](PairResult&& result) {
                                              INFO(describe(result));
                                              CHECK(result.first.passed());
                                              CHECK(result.second.outcome == Outcome::error);
                                              CHECK(result.ended_first == Side::second);
                                          }});
        REQUIRE(reactor.run());
    }
}

TEST_CASE("a reactor that is destroyed ends its pairs without a word") {
    for (const Wiring wiring : {Wiring::recorded, Wiring::direct}) {
        const std::set<int> descriptors = support::open_descriptors();
        {
            Reactor reactor = support::make_reactor({.max_running = 2});
            int records = 0;
            Job first = script("print-to 2 x then ask 1000000000");
            const auto forbidden = [](PairResult&&) { FAIL_CHECK("an ended reactor tells nothing"); };
            reactor.submit_pair(std::move(first), script("copy 0 1"),
                                {.on_record = [&](const CaptureRecord&) { ++records; }, .on_end = forbidden}, wiring);
            reactor.submit_pair(script("pause"), script("pause"), forbidden);
            REQUIRE(reactor.run_once());
        }
        CHECK_FALSE(support::has_children());
        CHECK(support::open_descriptors() == descriptors);
    }
}

TEST_CASE("a reactor may be destroyed inside the handler of a pair's records") {
    auto reactor = std::make_unique<Reactor>(support::make_reactor());
    Reactor& running = *reactor;
    running.submit_pair(script("ask 1000000000"), script("copy 0 1"),
                        {.on_record = [&](const CaptureRecord&) { reactor.reset(); }});
    (void)running.run();
    CHECK_FALSE(support::has_children());
}

TEST_CASE("2,000 pairs, one after another and several at once, leave nothing behind") {
    const std::set<int> descriptors = support::open_descriptors();
    {
        Reactor reactor = support::make_reactor({.max_running = 7});
        const int wanted = support::rounds(2000);
        int passed = 0;
        for (int i = 0; i < wanted; ++i) {
            const Wiring wiring = i % 2 == 0 ? Wiring::recorded : Wiring::direct;
            reactor.submit_pair(
                script("ask 3"), script("copy 0 1"),
                [&passed, wiring](PairResult&& result) {
                    INFO(describe(result));
                    CHECK(result.passed());
                    CHECK(ended_before(result, Side::first, wiring));
                    passed += result.passed() ? 1 : 0;
                },
                wiring);
        }
        REQUIRE(reactor.run());
        CHECK(passed == wanted);
    }
    CHECK(support::open_descriptors() == descriptors);
    CHECK_FALSE(support::has_children());
}
