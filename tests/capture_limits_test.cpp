// SPDX-License-Identifier: MIT
//
// CaptureLimits keep exactly the first N bytes or lines, mark the cut, and go on counting.
#include "support.hpp"

#include <algorithm>
#include <optional>
#include <string>

using proctor::Capture;
using proctor::CaptureLimits;
using proctor::CaptureRecord;
using proctor::Input;
using proctor::Job;
using proctor::RunResult;
using proctor::STDERR;
using proctor::STDIN;
using proctor::STDOUT;
using support::script;

namespace {

std::int64_t count_lines(const std::string& text) {
    const auto newlines = std::count(text.begin(), text.end(), '\n');
    return newlines + (!text.empty() && text.back() != '\n' ? 1 : 0);
}

std::string first_lines(const std::string& text, std::int64_t count) {
    std::size_t end = 0;
    while (count > 0 && end < text.size()) {
        const std::size_t newline = text.find('\n', end);
        end = newline == std::string::npos ? text.size() : newline + 1;
        --count;
    }
    return text.substr(0, end);
}

// The mark stands once, after all else of its stream, and only if something was dropped.
void check_mark(const Capture& capture, proctor::Stream stream, bool expected) {
    int marks = 0;
    for (const CaptureRecord& record : capture.playback()) {
        if (record.stream != stream) continue;
        CHECK(marks == 0);
        if (!record.truncated) continue;
        ++marks;
        CHECK(record.data.empty());
    }
    CHECK(marks == (expected ? 1 : 0));
    CHECK(capture.truncated(stream) == expected);
}

void check_stream(const Capture& capture, proctor::Stream stream, const std::string& kept, const std::string& all) {
    CAPTURE(stream);
    const proctor::StreamTotals& totals = capture.totals(stream);
    CHECK((capture.text(stream) == kept));
    CHECK(totals.bytes == static_cast<proctor::Bytes>(kept.size()));
    CHECK(totals.lines == count_lines(kept));
    CHECK(totals.total_bytes == static_cast<proctor::Bytes>(all.size()));
    CHECK(totals.total_lines == count_lines(all));
    CHECK(totals.truncated == (kept.size() < all.size()));
    check_mark(capture, stream, kept.size() < all.size());
}

// Both outputs are `text`.
Capture capture_of(const std::string& text, const CaptureLimits& limits, bool keep = true) {
    Job job = script("copy-to-both");
    job.input = Input::text(text);
    job.capture.limits = limits;
    job.capture.keep = keep;
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.passed());
    return result.capture;
}

}  // namespace

TEST_CASE("a limit on bytes keeps exactly the first N") {
    const std::string text = "one\ntwo\nthree";
    for (const std::int64_t limit : {0, 1, 3, 4, 5, 12, 13, 14}) {
        CAPTURE(limit);
        const std::string kept = text.substr(0, static_cast<std::size_t>(limit));
        const Capture of_output = capture_of(text, {.max_stdout_bytes = limit});
        check_stream(of_output, STDOUT, kept, text);
        check_stream(of_output, STDERR, text, text);
        const Capture of_error_output = capture_of(text, {.max_stderr_bytes = limit});
        check_stream(of_error_output, STDOUT, text, text);
        check_stream(of_error_output, STDERR, kept, text);
    }
}

TEST_CASE("a limit on lines keeps exactly the first N") {
    for (const std::string text : {"one\ntwo\nthree\n", "one\ntwo\nthree", "\n\n\n", "x"}) {
        CAPTURE(text);
        for (const std::int64_t limit : {0, 1, 2, 3, 4}) {
            CAPTURE(limit);
            const std::string kept = first_lines(text, limit);
            const Capture of_output = capture_of(text, {.max_stdout_lines = limit});
            check_stream(of_output, STDOUT, kept, text);
            check_stream(of_output, STDERR, text, text);
            const Capture of_error_output = capture_of(text, {.max_stderr_lines = limit});
            check_stream(of_error_output, STDOUT, text, text);
            check_stream(of_error_output, STDERR, kept, text);
        }
    }
}

TEST_CASE("limits are exact where they fall between and inside of reads") {
    const std::string text = support::repeat("0123456789abcde\n", 50'000);
    for (const std::int64_t limit : {65'535, 65'536, 65'537, 799'999, 800'000, 800'001}) {
        CAPTURE(limit);
        const std::string kept = text.substr(0, static_cast<std::size_t>(limit));
        const Capture capture = capture_of(text, {.max_stdout_bytes = limit, .max_stderr_lines = limit / 16});
        check_stream(capture, STDOUT, kept, text);
        check_stream(capture, STDERR, first_lines(text, limit / 16), text);
    }
}

TEST_CASE("of a limit on bytes and one on lines the stricter holds") {
    const std::string text = "one\ntwo\nthree\n";
    check_stream(capture_of(text, {.max_stdout_lines = 2, .max_stdout_bytes = 100}), STDOUT, "one\ntwo\n", text);
    check_stream(capture_of(text, {.max_stdout_lines = 2, .max_stdout_bytes = 6}), STDOUT, "one\ntw", text);
    check_stream(capture_of(text, {.max_stdout_lines = 2, .max_stdout_bytes = 8}), STDOUT, "one\ntwo\n", text);
    check_stream(capture_of(text, {.max_stdout_lines = 3, .max_stdout_bytes = 14}), STDOUT, text, text);
}

TEST_CASE("a stream that prints nothing is not cut by a limit of nothing") {
    check_stream(capture_of("", {.max_stdout_lines = 0, .max_stdout_bytes = 0}), STDOUT, "", "");
}

TEST_CASE("a child that prints far past its limit goes on to its end") {
    Job job = script("fill 1 8388608 then exit 5");
    job.capture.limits.max_stdout_bytes = 10;
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.exit_code == 5);
    CHECK_FALSE(result.reason.has_value());
    CHECK(result.capture.size(STDOUT) == 10);
    CHECK(result.capture.totals(STDOUT).total_bytes == 8'388'608);
    CHECK(result.capture.any_truncated());
    check_mark(result.capture, STDOUT, true);
}

TEST_CASE("limits leave the record of stdin alone") {
    const std::string text = support::repeat("line\n", 1000);
    const Capture capture = capture_of(text, {.max_stdout_lines = 0, .max_stderr_bytes = 0});
    CHECK(capture.text(STDIN) == text);
    CHECK_FALSE(capture.truncated(STDIN));
}

TEST_CASE("observers are shown what the limits let through, and the mark") {
    for (const bool keep : {true, false}) {
        CAPTURE(keep);
        Job job = script("fill 1 1000000");
        job.capture.limits.max_stdout_bytes = 70'000;
        job.capture.keep = keep;
        std::string seen;
        int marks = 0;
        RunResult end;
        proctor::Reactor reactor = support::make_reactor();
        reactor.submit(job, {.on_record =
                                 [&](const CaptureRecord& record) {
                                     CHECK(marks == 0);
                                     seen += record.data;
                                     if (record.truncated) ++marks;
                                 },
                             .on_end = [&](RunResult&& result) { end = std::move(result); }});
        REQUIRE(reactor.run());
        CHECK((seen == support::pattern(70'000)));
        CHECK(marks == 1);
        CHECK(end.capture.truncated(STDOUT));
        CHECK(end.capture.totals(STDOUT).bytes == (70'000));
        CHECK(end.capture.totals(STDOUT).total_bytes == 1'000'000);
        CHECK(end.capture.text(STDOUT).size() == (keep ? 70'000U : 0U));
    }
}

TEST_CASE("forwarding passes on what the limits let through") {
    support::Pipe pipe;
    Job job = script("fill 1 100000");
    job.output = proctor::Output::forward(pipe.write_end.get());
    job.capture.limits.max_stdout_bytes = 1'000;
    job.capture.keep = false;
    const RunResult result = proctor::run(job);
    pipe.write_end.reset();
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK(support::read_to_end(pipe.read_end.get()) == support::pattern(1'000));
    CHECK(result.capture.totals(STDOUT).total_bytes == 100'000);
    CHECK(result.capture.truncated(STDOUT));
}
