// SPDX-License-Identifier: MIT
//
// Input that goes line by line: no line before its time, none lost or joined, no bursts, and the end right after the
// last.
#include "support.hpp"

#include <unistd.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using proctor::Capture;
using proctor::CaptureRecord;
using proctor::Input;
using proctor::Job;
using proctor::JobHandle;
using proctor::Outcome;
using proctor::Pacing;
using proctor::Reactor;
using proctor::Reason;
using proctor::RunResult;
using proctor::STDIN;
using proctor::STDOUT;
using std::chrono::steady_clock;
using support::script;

namespace {

struct Written {
    std::chrono::nanoseconds time{};
    std::string data{};
};

std::vector<Written> input_records(const Capture& capture) {
    std::vector<Written> found;
    auto playback = capture.playback();
    while (const auto record = playback.next(STDIN)) found.push_back({record->time, std::string(record->data)});
    return found;
}

Job paced(std::string_view words, Input input, std::chrono::nanoseconds delay) {
    Job job = script(words);
    job.input = std::move(input);
    job.input_delay = delay;
    return job;
}

std::function<std::optional<std::string>()> giving(std::vector<std::string> pieces) {
    return [pieces = std::move(pieces), next = std::size_t{0}]() mutable {
        return next < pieces.size() ? std::optional(pieces[next++]) : std::nullopt;
    };
}

// The same text by each source that can be paced. What they need is kept until the test ends.
class Sources {
public:
    explicit Sources(const std::string& text) {
        named_.emplace_back("text", Input::text(text));
        named_.emplace_back("file", Input::file(dir_.write("input", text)));
        file_ = support::open_file(dir_.file("input"), 0);
        named_.emplace_back("descriptor", Input::descriptor(file_.get()));
        std::vector<std::string> pieces;
        for (std::size_t at = 0; at < text.size(); at += 5) pieces.push_back(text.substr(at, 5));
        named_.emplace_back("pieces of five bytes", Input::lines(giving(pieces)));
    }
    [[nodiscard]] const std::vector<std::pair<std::string, Input>>& all() const { return named_; }

private:
    support::TempDir dir_{};
    support::Fd file_{};
    std::vector<std::pair<std::string, Input>> named_{};
};

}  // namespace

TEST_CASE("each line is a record of its own, and none is written before it is due") {
    constexpr auto delay = 20ms;
    const std::string text = "first\nsecond\n\nfourth\nno newline";
    const std::vector<std::string> lines = {"first\n", "second\n", "\n", "fourth\n", "no newline"};
    const Sources sources(text);
    for (const auto& source : sources.all()) {
        const auto& input = source.second;
        for (const Pacing pacing : {Pacing::fixed, Pacing::quiet}) {
            CAPTURE(source.first);
            CAPTURE(static_cast<int>(pacing));
            if (source.first == "descriptor") lseek(input.descriptor(), 0, SEEK_SET);
            Job job = paced("copy 0 1",
                            source.first == "pieces of five bytes" ? Sources(text).all().back().second : input, delay);
            job.input_pacing = pacing;
            Reactor reactor = support::make_reactor();
            std::vector<std::string> seen;
            const auto begin = steady_clock::now();
            reactor.submit(std::move(job), {.on_record =
                                                [&](const CaptureRecord& record) {
                                                    if (record.stream != STDIN) return;
                                                    CHECK(steady_clock::now() - begin >= delay * seen.size());
                                                    seen.emplace_back(record.data);
                                                },
                                            .on_end =
                                                [&](RunResult&& result) {
                                                    INFO(support::describe(result));
                                                    CHECK(result.passed());
                                                    CHECK(result.capture.text(STDOUT) == text);
                                                    CHECK(result.unread == 0);
                                                }});
            REQUIRE(reactor.run());
            CHECK(seen == lines);
        }
    }
}

TEST_CASE("the first line comes at once, and end of file right after the last") {
    const Sources sources("only one\n");
    for (const auto& source : sources.all()) {
        const auto& input = source.second;
        CAPTURE(source.first);
        const RunResult result = proctor::run(paced(
            "copy 0 1", source.first == "pieces of five bytes" ? Input::lines(giving({"only one\n"})) : input, 24h));
        INFO(support::describe(result));
        CHECK(result.passed());
        CHECK(result.capture.text(STDOUT) == "only one\n");
    }
}

TEST_CASE("input without a line ends at once") {
    for (const Input& input : {Input::text(""), Input::file("/dev/null"), Input::lines(giving({})), Input::empty()}) {
        const RunResult result = proctor::run(paced("copy 0 1", input, 24h));
        INFO(support::describe(result));
        CHECK(result.passed());
        CHECK(result.capture.text(STDIN).empty());
    }
}

TEST_CASE("lines that lie across the pieces in which a file is read stay whole") {
    std::string text;
    for (int i = 0; i < 200; ++i) text += std::to_string(i) + std::string(990, 'x') + '\n';
    const Sources sources(text);
    for (const auto& source : sources.all()) {
        const auto& input = source.second;
        CAPTURE(source.first);
        const RunResult result = proctor::run(paced("copy 0 1", input, 100us));
        INFO(support::describe(result));
        CHECK(result.passed());
        CHECK((result.capture.text(STDIN) == text));
        CHECK((result.capture.text(STDOUT) == text));
        const auto records = input_records(result.capture);
        CHECK(records.size() == 200);
        for (const Written& record : records) CHECK(record.data.find('\n') == record.data.size() - 1);
    }
}

TEST_CASE("a line longer than any buffer passes, and the next one waits for its time") {
    const std::string text = std::string(1 << 20, 'x') + "\nend\n";
    const Sources sources(text);
    for (const auto& source : sources.all()) {
        const auto& input = source.second;
        CAPTURE(source.first);
        const RunResult result = proctor::run(paced("copy 0 1", input, 400ms));
        INFO(support::describe(result));
        CHECK(result.passed());
        CHECK((result.capture.text(STDOUT) == text));
        const auto records = input_records(result.capture);
        REQUIRE(records.size() >= 2);
        CHECK(records.back().data == "end\n");
        // Planned from when the long line was due, which is a little before it was written.
        CHECK(records.back().time - records.front().time >= 200ms);
    }
}

TEST_CASE("where the pipe was full the plan begins anew: no bursts") {
    constexpr auto delay = 10ms;
    const std::string line = std::string(4095, 'x') + '\n';
    constexpr std::size_t held = 16;  // lines that a pipe takes
    constexpr std::size_t lines = held + 10;
    support::Pipe go;
    Job job = paced("await-byte 7 then copy 0 1", Input::text(support::repeat(line, lines)), delay);
    job.descriptors.push_back({.from = go.read_end.get(), .to = 7});
    Reactor reactor = support::make_reactor();
    std::vector<std::chrono::nanoseconds> times;
    reactor.submit(std::move(job), {.on_record =
                                        [&](const CaptureRecord& record) {
                                            if (record.stream != STDIN) return;
                                            times.push_back(record.time);
                                            if (times.size() < held) return;
                                            if (times.size() > held) return;
                                            // Ten lines' time passes before the child begins to read.
                                            Job clock = script("sleep 1");
                                            reactor.submit(std::move(clock), [&](RunResult&&) {
                                                CHECK(times.size() == held);
                                                support::write_all(go.write_end.get(), "x");
                                            });
                                        },
                                    .on_end =
                                        [&](RunResult&& result) {
                                            INFO(support::describe(result));
                                            CHECK(result.passed());
                                        }});
    REQUIRE(reactor.run());
    REQUIRE(times.size() == lines);
    for (std::size_t i = held + 1; i < lines; ++i) {
        CHECK(times[i] - times[held] >= delay * (i - held));
    }
}

TEST_CASE("quiet pacing counts from the last byte in either direction") {
    constexpr auto delay = 30ms;
    Job job =
        paced("answer-line then print-to 2 noise then answer-line then answer-line", Input::text("a\nb\nc\n"), delay);
    job.input_pacing = Pacing::quiet;
    const RunResult result = proctor::run(std::move(job));
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK(result.capture.text(STDOUT) == "got a\ngot b\ngot c\n");
    int inputs = 0;
    std::chrono::nanoseconds before{};
    auto playback = result.capture.playback();
    for (const CaptureRecord& record : playback) {
        // What was written before the program was there has no time but 0.
        if (record.stream == STDIN && ++inputs > 1 && before > 0ns) CHECK(record.time - before >= delay);
        before = record.time;
    }
    CHECK(inputs == 3);
}

TEST_CASE("a program that waits for a line that is not yet due is not blocked, and after the last it may be") {
    Job job = paced("read 2 then print read then read 2 then print both then pause", Input::text("1\n2\n"), 1500ms);
    job.limits.block = 300ms;
    const RunResult result = proctor::run(std::move(job));
    INFO(support::describe(result));
    CHECK(result.reason == Reason::block_limit);
    CHECK(result.capture.text(STDIN) == "1\n2\n");
    CHECK(result.capture.text(STDOUT) == "readboth");
    CHECK(result.usage->wctime >= 1500ms);
}

TEST_CASE("a program that does not read is blocked, paced input or not") {
    const std::string line = std::string(4095, 'x') + '\n';
    Job job = paced("pause", Input::text(support::repeat(line, 100)), 1ms);
    job.limits.block = 200ms;
    const RunResult result = proctor::run(std::move(job));
    INFO(support::describe(result));
    CHECK(result.reason == Reason::block_limit);
    CHECK(result.capture.size(STDIN) < 4096 * 100);
    CHECK(result.unread == result.capture.size(STDIN));
}

TEST_CASE("a program that ends, and a job that is cancelled, do not wait for the lines that are due later") {
    SUBCASE("it ends") {
        const RunResult result = proctor::run(paced("read 2", Input::text("1\n2\n3\n"), 24h));
        INFO(support::describe(result));
        CHECK(result.passed());
        CHECK(result.capture.text(STDIN) == "1\n");
    }
    SUBCASE("it is cancelled") {
        Reactor reactor = support::make_reactor();
        JobHandle handle;
        handle = reactor.submit(paced("copy 0 1", Input::text("1\n2\n3\n"), 24h),
                                {.on_record =
                                     [&](const CaptureRecord& record) {
                                         if (record.stream == STDOUT) handle.cancel();
                                     },
                                 .on_end =
                                     [&](RunResult&& result) {
                                         INFO(support::describe(result));
                                         CHECK(result.outcome == Outcome::error);
                                         CHECK(result.capture.text(STDIN) == "1\n");
                                     }});
        REQUIRE(reactor.run());
    }
    SUBCASE("the reactor is destroyed") {
        Reactor reactor = support::make_reactor();
        bool wrote = false;
        reactor.submit(paced("copy 0 1", Input::text("1\n2\n3\n"), 24h),
                       {.on_record = [&](const CaptureRecord&) { wrote = true; }});
        while (!wrote) REQUIRE(reactor.run_once());
    }
}

TEST_CASE("lines that are written at run time are paced too") {
    constexpr auto delay = 20ms;
    Reactor reactor = support::make_reactor();
    Job job = paced("copy 0 1", Input::live(), delay);
    std::vector<std::string> seen;
    const auto begin = steady_clock::now();
    JobHandle handle =
        reactor.submit(std::move(job), {.on_record =
                                            [&](const CaptureRecord& record) {
                                                if (record.stream != STDIN) return;
                                                CHECK(steady_clock::now() - begin >= delay * seen.size());
                                                seen.emplace_back(record.data);
                                            },
                                        .on_end =
                                            [&](RunResult&& result) {
                                                INFO(support::describe(result));
                                                CHECK(result.passed());
                                                CHECK(result.capture.text(STDOUT) == "one\ntwo\nthree");
                                            }});
    REQUIRE(handle.write_input("one\ntw"));
    REQUIRE(handle.write_input("o\nthr"));
    REQUIRE(handle.write_input("ee"));
    handle.close_input();
    REQUIRE(reactor.run());
    CHECK(seen == std::vector<std::string>{"one\n", "two\n", "three"});
}
