// SPDX-License-Identifier: MIT
//
// Input that is made while the program runs: by a function that is asked for it, or written by whoever embeds the
// reactor; and children that close their input early.
#include "support.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using proctor::CaptureRecord;
using proctor::Input;
using proctor::Job;
using proctor::JobHandle;
using proctor::JobState;
using proctor::Outcome;
using proctor::Reactor;
using proctor::Reason;
using proctor::RunResult;
using proctor::Stage;
using proctor::STDIN;
using proctor::STDOUT;
using support::script;

namespace {

Job fed(std::string_view words, Input input) {
    Job job = script(words);
    job.input = std::move(input);
    return job;
}

int error_of(const proctor::Result<bool>& written) { return written ? 0 : written.error().error_number; }

}  // namespace

TEST_CASE("what a function gives arrives whole and in order, until it gives none") {
    std::string expected;
    int calls = 0;
    const RunResult result =
        proctor::run(fed("copy 0 1", Input::lines([&]() -> std::optional<std::string> {
                             if (++calls > 2000) return std::nullopt;
                             const std::string piece =
                                 calls % 7 == 0 ? "" : support::repeat("line " + std::to_string(calls) + '\n', 20);
                             expected += piece;
                             return piece;
                         })));
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK(calls == 2001);
    CHECK((result.capture.text(STDOUT) == expected));
    CHECK((result.capture.text(STDIN) == expected));
}

TEST_CASE("a function is not asked while the pipe is full") {
    int calls = 0;
    Job job = fed("pause", Input::lines([&]() -> std::optional<std::string> {
                      ++calls;
                      return std::string(4096, 'x');
                  }));
    job.limits.block = 200ms;
    const RunResult result = proctor::run(std::move(job));
    INFO(support::describe(result));
    CHECK(result.reason == Reason::block_limit);
    CHECK(calls == 16);
    CHECK(result.unread == 65536);
}

TEST_CASE("a function may give more than a pipe holds, and cancel the job that it feeds") {
    Reactor reactor = support::make_reactor();
    JobHandle handle;
    int calls = 0;
    handle = reactor.submit(fed("copy 0 1", Input::lines([&]() -> std::optional<std::string> {
                                    if (++calls == 2) handle.cancel();
                                    return support::pattern(1 << 20);
                                })),
                            [&](RunResult&& result) {
                                INFO(support::describe(result));
                                CHECK(result.outcome == Outcome::error);
                                REQUIRE(result.error.has_value());
                                CHECK(result.error->stage == Stage::cancelled);
                                CHECK(result.capture.size(STDIN) >= 1 << 20);
                            });
    REQUIRE(reactor.run());
    CHECK(calls >= 2);
}

TEST_CASE("a reactor that is destroyed inside the function that feeds a job ends the job") {
    auto reactor = std::make_unique<Reactor>(support::make_reactor());
    Reactor& running = *reactor;
    running.submit(fed("copy 0 1", Input::lines([&]() -> std::optional<std::string> {
                           reactor.reset();
                           return "more\n";
                       })),
                   [](RunResult&&) { FAIL_CHECK("an ended reactor tells nothing"); });
    (void)running.run();
    CHECK_FALSE(support::has_children());
}

TEST_CASE("a program can be answered from inside the handler of its output") {
    Reactor reactor = support::make_reactor();
    JobHandle handle;
    std::string output;
    std::size_t after = 0;
    int asked = 0;
    handle = reactor.submit(
        fed("print ask? then answer-line then answer-line then answer-line then await-end 0", Input::live()),
        {.on_record =
             [&](const CaptureRecord& record) {
                 if (record.stream != STDOUT) return;
                 output += record.data;
                 // The helper says "got " before it reads.
                 for (; asked < 3 && output.find("got ", after) != std::string::npos; ++asked) {
                     after = output.find("got ", after) + 1;
                     const auto written = handle.write_input("answer " + std::to_string(asked) + '\n');
                     REQUIRE(written.has_value());
                     CHECK(*written);
                 }
                 if (asked == 3) handle.close_input();
             },
         .on_end =
             [&](RunResult&& result) {
                 INFO(support::describe(result));
                 CHECK(result.passed());
                 CHECK(result.capture.text(STDOUT) == "ask?got answer 0\ngot answer 1\ngot answer 2\n");
                 CHECK(result.capture.text(STDIN) == "answer 0\nanswer 1\nanswer 2\n");
             }});
    REQUIRE(reactor.run());
    CHECK(asked == 3);
}

TEST_CASE("what is written before the job starts is the beginning of its input") {
    Reactor reactor = support::make_reactor({.max_running = 1});
    reactor.submit(script("print x"));
    std::string output;
    const JobHandle handle = reactor.submit(fed("copy 0 1", Input::live()), [&](RunResult&& result) {
        INFO(support::describe(result));
        CHECK(result.passed());
        output = result.capture.text(STDOUT);
    });
    CHECK(handle.state() == JobState::queued);
    for (const char* piece : {"one ", "two ", "", "three"}) REQUIRE(handle.write_input(piece));
    CHECK(handle.pending_input() == 13);
    handle.close_input();
    handle.close_input();
    CHECK(error_of(handle.write_input("late")) == EPIPE);
    REQUIRE(reactor.run());
    CHECK(output == "one two three");
    CHECK(handle.pending_input() == 0);
    CHECK(error_of(handle.write_input("late")) == ESRCH);
}

TEST_CASE("a writer is told to wait at the high-water mark, and told to go on below it") {
    Reactor reactor = support::make_reactor();
    const std::string piece = support::pattern(10'000);
    constexpr int pieces = 400;
    int written = 0;
    int ready = 0;
    int told_to_wait = 0;
    JobHandle handle;
    const auto write_on = [&] {
        while (written < pieces) {
            const auto more = handle.write_input(piece);
            REQUIRE(more.has_value());
            ++written;
            CHECK(*more == (handle.pending_input() < JobHandle::input_high_water));
            if (!*more) {
                ++told_to_wait;
                return;
            }
        }
        handle.close_input();
    };
    handle = reactor.submit(fed("copy 0 1", Input::live()),
                            {.on_end =
                                 [&](RunResult&& result) {
                                     INFO(support::describe(result));
                                     CHECK(result.passed());
                                     CHECK((result.capture.text(STDOUT) == support::repeat(piece, pieces)));
                                 },
                             .on_input_ready =
                                 [&] {
                                     ++ready;
                                     CHECK(handle.pending_input() < JobHandle::input_high_water);
                                     write_on();
                                 }});
    write_on();
    CHECK(written == 7);  // 70,000 bytes wait
    REQUIRE(reactor.run());
    CHECK(written == pieces);
    CHECK(ready == told_to_wait);
    CHECK(ready > 0);
}

TEST_CASE("a child that closes its input early is told of once, and is no error") {
    Reactor reactor = support::make_reactor();
    support::Pipe go;
    int closings = 0;
    JobHandle handle;
    Job job = fed("close 0 then await-byte 7", Input::live());
    job.descriptors.push_back({.from = go.read_end.get(), .to = 7});
    handle = reactor.submit(std::move(job), {.on_end =
                                                 [&](RunResult&& result) {
                                                     INFO(support::describe(result));
                                                     CHECK(result.passed());
                                                 },
                                             .on_input_closed =
                                                 [&] {
                                                     ++closings;
                                                     CHECK(error_of(handle.write_input("x")) == EPIPE);
                                                     CHECK(handle.state() != JobState::ended);
                                                     support::write_all(go.write_end.get(), "x");
                                                 }});
    REQUIRE(reactor.run());
    CHECK(closings == 1);
}

TEST_CASE("every source tells of a child that closes its input before the end") {
    const support::TempDir dir;
    const std::string large = support::pattern(1 << 20);
    const std::vector<std::pair<const char*, Input>> sources = {
        {"text", Input::text(large)},
        {"file", Input::file(dir.write("large", large))},
        {"lines", Input::lines([] { return std::optional<std::string>("line\n"); })}};
    for (const auto& source : sources) {
        const auto& input = source.second;
        CAPTURE(source.first);
        Reactor reactor = support::make_reactor();
        support::Pipe go;
        int closings = 0;
        Job job = fed("read 5 then close 0 then await-byte 7 then print on", input);
        job.descriptors.push_back({.from = go.read_end.get(), .to = 7});
        reactor.submit(std::move(job), {.on_end =
                                            [&](RunResult&& result) {
                                                INFO(support::describe(result));
                                                CHECK(result.passed());
                                                CHECK(result.capture.text(STDOUT) == "on");
                                            },
                                        .on_input_closed =
                                            [&] {
                                                ++closings;
                                                support::write_all(go.write_end.get(), "x");
                                            }});
        REQUIRE(reactor.run());
        CHECK(closings == 1);
    }
}

TEST_CASE("paused input stops, and goes on where it was") {
    const std::string text = support::pattern(10 << 20);
    for (const auto delay : {std::optional<std::chrono::nanoseconds>(), std::optional<std::chrono::nanoseconds>(1ns)}) {
        Job job = script("copy 0 1");
        job.input = Input::text(text);
        job.input_delay = delay;
        Reactor reactor = support::make_reactor();
        JobHandle handle;
        proctor::Bytes given = 0;
        std::optional<RunResult> result;
        handle = reactor.submit(std::move(job), {.on_record =
                                                     [&](const CaptureRecord& record) {
                                                         if (record.stream != STDIN) return;
                                                         if (given == 0) handle.pause_input();
                                                         given += static_cast<proctor::Bytes>(record.data.size());
                                                     },
                                                 .on_end = [&](RunResult&& ended) { result = std::move(ended); }});
        while (given == 0) REQUIRE(reactor.run_once());
        for (int i = 0; i < 20; ++i) REQUIRE(reactor.run_once(1ms));
        CHECK(given < static_cast<proctor::Bytes>(text.size()) / 2);
        CHECK_FALSE(result);
        handle.resume_input();
        REQUIRE(reactor.run());
        CHECK(result->passed());
        CHECK((result->capture.text(STDOUT) == text));
    }
}

TEST_CASE("a child that dies while its input is paused has an end") {
    Job job = script("read 1 then exit 0");
    job.input = Input::text(support::pattern(1 << 20));
    Reactor reactor = support::make_reactor();
    JobHandle handle;
    std::optional<RunResult> result;
    handle = reactor.submit(std::move(job), {.on_record = [&](const CaptureRecord&) { handle.pause_input(); },
                                             .on_end = [&](RunResult&& ended) { result = std::move(ended); }});
    REQUIRE(reactor.run());
    CHECK(result->passed());
    CHECK(result->unread > 0);
}

TEST_CASE("a child that reads all its input does not close it early") {
    Reactor reactor = support::make_reactor();
    reactor.submit(fed("copy 0 1", Input::text("all of it")),
                   {.on_input_closed = [] { FAIL_CHECK("nothing was left to write"); }});
    REQUIRE(reactor.run());
}

TEST_CASE("what was written and never read is told as unread") {
    Reactor reactor = support::make_reactor();
    JobHandle handle = reactor.submit(fed("read 3 then exit 0", Input::live()), [&](RunResult&& result) {
        INFO(support::describe(result));
        CHECK(result.passed());
        CHECK(result.capture.text(STDIN) == "0123456789");
        CHECK(result.unread == 7);
    });
    REQUIRE(handle.write_input("0123456789"));
    REQUIRE(reactor.run());
}

TEST_CASE("open input without a writer keeps a program waiting") {
    Job job = fed("copy 0 1", Input::live());
    job.limits.block = 200ms;
    const RunResult result = proctor::run(std::move(job));
    INFO(support::describe(result));
    CHECK(result.reason == Reason::block_limit);
    CHECK(result.unread == 0);
}

TEST_CASE("writing to a job that cannot be written to says why") {
    Reactor reactor = support::make_reactor();
    CHECK(error_of(JobHandle().write_input("x")) == ESRCH);
    const JobHandle other = reactor.submit(fed("copy 0 1", Input::text("own")));
    CHECK(error_of(other.write_input("x")) == EINVAL);
    const JobHandle refused = reactor.submit({.argv = {}, .input = Input::live()});
    CHECK(error_of(refused.write_input("x")) == ESRCH);
    const JobHandle lines = reactor.submit({.argv = {"true"}, .input = Input::lines({})}, [](RunResult&& result) {
        REQUIRE(result.error.has_value());
        CHECK(result.error->stage == Stage::setup);
    });
    REQUIRE(reactor.run());
}

TEST_CASE("a place that served one written job serves the next, with nothing left of the first") {
    Reactor reactor = support::make_reactor({.max_running = 1});
    for (int i = 0; i < 50; ++i) {
        const std::string word = "job " + std::to_string(i);
        const JobHandle handle =
            reactor.submit(fed(i % 2 == 0 ? "copy 0 1" : "close 0", Input::live()), [&](RunResult&& result) {
                INFO(support::describe(result));
                if (i % 2 == 0) CHECK(result.capture.text(STDOUT) == word);
            });
        REQUIRE(handle.write_input(word));
        if (i % 2 == 0) handle.close_input();
        REQUIRE(reactor.run());
    }
}
