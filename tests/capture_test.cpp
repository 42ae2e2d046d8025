// SPDX-License-Identifier: MIT
//
// Capture by hand: recording, counting, playing back. Each class and function that Capture had in the Python system
// before this one has its counterpart here; JSONCaptureEncoder's is with the JSON tests.
#include <chrono>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <proctor/capture.hpp>
#include <proctor/capture_lines.hpp>
#include <proctor/playback.hpp>
#include <proctor/recorder.hpp>

#include "capture/frame.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using proctor::Capture;
using proctor::CaptureLimits;
using proctor::CaptureLine;
using proctor::CaptureOptions;
using proctor::CapturePlayback;
using proctor::CaptureRecord;
using proctor::CaptureRecorder;
using proctor::CaptureRecorderBase;
using proctor::STDERR;
using proctor::STDIN;
using proctor::STDOUT;
using std::chrono::nanoseconds;

namespace {

// One letter for what each record is: its stream, its data, ! for the mark of a cut, ? for ambiguous.
std::string played(proctor::CapturePlaybackBase& playback) {
    std::string text;
    for (const CaptureRecord& record : playback) {
        text += std::to_string(record.stream) + std::string(record.data) + (record.truncated ? "!" : "") +
                (record.ambiguous ? "?" : "") + " ";
    }
    return text;
}

std::string played(const Capture& capture) {
    CapturePlayback playback = capture.playback();
    return played(playback);
}

Capture dialogue(proctor::Bytes max_size) {
    Capture capture(CaptureOptions{.max_size = max_size});
    CaptureRecorder recorder = capture.record();
    recorder.add(STDOUT, "name?", 1ms);
    recorder.add(STDIN, "Ada\n", 2ms);
    recorder.add(STDERR, "thinking\nst", 3ms);
    recorder.add(STDOUT, " hello Ada\nbye\nno ", 4ms);
    recorder.add(STDERR, "ill\n\n", 4ms);
    recorder.add(STDOUT, "end", 6ms);
    return capture;
}

std::string lines_of(proctor::CaptureLines lines) {
    std::string text;
    for (const CaptureLine& line : lines) {
        text += std::to_string(line.stream) + "@" + std::to_string(line.time / 1ms) + (line.ambiguous ? "?" : "") +
                ":" + std::string(line.text) + "|";
    }
    return text;
}

}  // namespace

TEST_CASE("Capture(): all streams, no limits and 1 MiB in memory, unless other options are given") {
    const CaptureOptions options;
    CHECK(options.input);
    CHECK(options.output);
    CHECK(options.error_output);
    CHECK_FALSE(options.limits.max_stdout_bytes);
    CHECK_FALSE(options.limits.max_stdout_lines);
    CHECK_FALSE(options.limits.max_stderr_bytes);
    CHECK_FALSE(options.limits.max_stderr_lines);
    CHECK(options.max_size == 1'048'576);
    Capture capture;
    CHECK(capture.record_count() == 0);
    CHECK(played(capture).empty());
    CaptureRecorder recorder = capture.record();
    recorder.add(STDOUT, "x", 0ms);
    CHECK(played(capture) == "1x ");
}

TEST_CASE("STDIN, STDOUT and STDERR are the numbers of the descriptors, TIMESTAMP_PRECISION a millisecond") {
    std::ostringstream names;
    names << STDIN << ' ' << STDOUT << ' ' << STDERR;
    CHECK(names.str() == "stdin stdout stderr");
    CHECK(static_cast<int>(STDIN) == 0);
    CHECK(static_cast<int>(STDOUT) == 1);
    CHECK(static_cast<int>(STDERR) == 2);
    static_assert(proctor::TIMESTAMP_PRECISION == 1ms);
}

TEST_CASE("Capture.record(), CaptureRecorder.add(), Capture.playback(): what was added is played, in its order") {
    Capture capture;
    CaptureRecorder recorder = capture.record();
    const CaptureRecorder::Added added = recorder.add(STDIN, "2 3\n", 12345678ns);
    REQUIRE(added.data);
    CHECK(added.data->data == "2 3\n");
    CHECK_FALSE(added.cut);
    recorder.add(STDOUT, "5\n", 13ms);
    recorder.add(STDERR, std::string("a\0b", 3), 14ms);
    recorder.add(STDOUT, "", 15ms);
    CHECK(capture.record_count() == 3);
    CapturePlayback playback = capture.playback();
    const auto first = playback.next();
    REQUIRE(first);
    CHECK(first->time == 12345678ns);
    CHECK(first->stream == STDIN);
    CHECK(first->data == "2 3\n");
    CHECK_FALSE(first->truncated);
    CHECK_FALSE(first->ambiguous);
    CHECK(playback.next()->data == "5\n");
    CHECK(playback.next()->data == std::string_view("a\0b", 3));
    CHECK_FALSE(playback.next());
    CHECK_FALSE(playback.error());
}

TEST_CASE("what is recorded after a playback has come to its end is played when it is asked again") {
    for (const proctor::Bytes max_size : {1000, 0}) {
        Capture capture(CaptureOptions{.max_size = max_size});
        CaptureRecorder recorder = capture.record();
        CapturePlayback playback = capture.playback();
        CHECK_FALSE(playback.next());
        recorder.add(STDOUT, "a", 1ms);
        CHECK(playback.next()->data == "a");
        CHECK_FALSE(playback.next());
        recorder.add(STDOUT, "b", 2ms);
        CHECK(playback.next()->data == "b");
    }
}

TEST_CASE("time never goes back within a capture") {
    Capture capture;
    CaptureRecorder recorder = capture.record();
    for (const nanoseconds time : {-5ns, 3ns, 2ns, 7ns}) recorder.add(STDOUT, "x", time);
    std::vector<nanoseconds> times;
    for (const CaptureRecord& record : capture.playback()) times.push_back(record.time);
    CHECK(times == std::vector<nanoseconds>{0ns, 3ns, 3ns, 7ns});
}

TEST_CASE("Capture.size(), lines(), text(): each stream for itself") {
    const Capture capture = dialogue(1000);
    CHECK(capture.size(STDIN) == 4);
    CHECK(capture.size(STDOUT) == 26);
    CHECK(capture.size(STDERR) == 16);
    CHECK(capture.lines(STDIN) == 1);
    CHECK(capture.lines(STDOUT) == 3);
    CHECK(capture.lines(STDERR) == 3);
    CHECK(capture.text(STDIN) == "Ada\n");
    CHECK(capture.text(STDOUT) == "name? hello Ada\nbye\nno end");
    CHECK(capture.text(STDERR) == "thinking\nstill\n\n");
}

TEST_CASE("CaptureLimits, Capture.truncated(), any_truncated(), totals(): the cut and what lies behind it") {
    Capture capture(CaptureOptions{.limits = {.max_stdout_lines = 2, .max_stderr_bytes = 5}});
    CaptureRecorder recorder = capture.record();
    recorder.add(STDERR, "12345", 1ms);
    CHECK_FALSE(capture.any_truncated());
    const CaptureRecorder::Added added = recorder.add(STDOUT, "a\nb\nc", 2ms);
    REQUIRE(added.data);
    REQUIRE(added.cut);
    CHECK(added.data->data == "a\nb\n");
    CHECK(added.cut->truncated);
    CHECK(capture.truncated(STDOUT));
    CHECK_FALSE(capture.truncated(STDERR));
    CHECK(capture.any_truncated());
    recorder.add(STDOUT, "\nd", 3ms);
    recorder.add(STDERR, "6", 4ms);
    CHECK(played(capture) == "212345 1a\nb\n 1! 2! ");
    CHECK(capture.size(STDOUT) == 4);
    CHECK(capture.lines(STDOUT) == 2);
    CHECK(capture.totals(STDOUT).total_bytes == 7);
    CHECK(capture.totals(STDOUT).total_lines == 4);
    CHECK(capture.truncated(STDERR));
    CHECK_FALSE(capture.truncated(STDIN));
}

TEST_CASE("a stream that is not captured is counted and nothing more") {
    Capture capture(CaptureOptions{.input = false, .error_output = false});
    CaptureRecorder recorder = capture.record();
    CHECK_FALSE(recorder.add(STDIN, "in\n", 1ms).data);
    recorder.add(STDOUT, "out\n", 1ms);
    CHECK_FALSE(recorder.add(STDERR, "error\n", 1ms).data);
    CHECK(played(capture) == "1out\n ");
    CHECK(capture.size(STDERR) == 0);
    CHECK(capture.totals(STDERR).total_bytes == 6);
    CHECK(capture.totals(STDIN).total_lines == 1);
}

TEST_CASE("CaptureRecorderBase counts and cuts, and has no data") {
    CaptureRecorderBase recorder(CaptureLimits{.max_stdout_bytes = 3});
    std::string data = "ab";
    const auto added = recorder.add(STDOUT, data, 1ms);
    REQUIRE(added.data);
    CHECK(added.data->data.data() == data.data());
    CHECK(recorder.add(STDOUT, "cd", 2ms).cut);
    CHECK(recorder.totals(STDOUT).bytes == 3);
    CHECK(recorder.totals(STDOUT).truncated);
    CHECK(recorder.totals(STDOUT).total_bytes == 4);
    recorder.count(STDERR, "x\ny");
    CHECK(recorder.totals(STDERR).total_lines == 2);
    CHECK(recorder.totals(STDERR).lines == 0);
    static_assert(std::is_base_of_v<CaptureRecorderBase, CaptureRecorder>);
}

TEST_CASE("a capture that keeps nothing counts") {
    Capture capture(CaptureOptions{.keep = false});
    CaptureRecorder recorder = capture.record();
    CHECK(recorder.add(STDOUT, "a\n", 1ms).data);
    CHECK(capture.record_count() == 0);
    CHECK(capture.text(STDOUT).empty());
    CHECK(capture.size(STDOUT) == 2);
}

TEST_CASE("CapturePlayback: back to the start, to a time, and several of one capture, each in its own place") {
    static_assert(std::is_base_of_v<proctor::CapturePlaybackBase, CapturePlayback>);
    for (const proctor::Bytes max_size : {1000, 30, 0}) {
        CAPTURE(max_size);
        const Capture capture = dialogue(max_size);
        CapturePlayback one = capture.playback();
        CapturePlayback two = capture.playback();
        CHECK(one.next()->data == "name?");
        CHECK(one.next()->data == "Ada\n");
        CHECK(two.next()->data == "name?");
        one.skip_to(4ms);
        CHECK(one.next()->data == " hello Ada\nbye\nno ");
        CHECK(two.next()->data == "Ada\n");
        two.rewind();
        CHECK(played(two) == "1name? 0Ada\n 2thinking\nst 1 hello Ada\nbye\nno  2ill\n\n 1end ");
        CHECK(one.next()->data == "ill\n\n");
        one.skip_to(2ms);
        CHECK(one.next()->data == "Ada\n");
        one.skip_to(7ms);
        CHECK_FALSE(one.next());
    }
}

TEST_CASE("the bytes of one stream come piece by piece") {
    for (const proctor::Bytes max_size : {1000, 30, 0}) {
        const Capture capture = dialogue(max_size);
        CapturePlayback playback = capture.playback();
        std::string text;
        while (const auto record = playback.next(STDERR)) text += std::string(record->data) + "|";
        CHECK(text == "thinking\nst|ill\n\n|");
    }
}

TEST_CASE("lines of one stream are put together over the borders of records, with the time of their first byte") {
    for (const proctor::Bytes max_size : {1000, 30, 0}) {
        const Capture capture = dialogue(max_size);
        CapturePlayback playback = capture.playback();
        CHECK(lines_of(playback.lines(STDOUT)) == "1@1:name? hello Ada\n|1@4:bye\n|1@4:no end|");
        playback.rewind();
        CHECK(lines_of(playback.lines(STDERR)) == "2@3:thinking\n|2@3:still\n|2@4:\n|");
        CHECK(lines_of(playback.lines()).empty());
    }
}

TEST_CASE("lines of all streams come in the order in which they began") {
    const Capture capture = dialogue(1000);
    CapturePlayback playback = capture.playback();
    CHECK(lines_of(playback.lines()) ==
          "1@1:name? hello Ada\n|0@2:Ada\n|2@3:thinking\n|2@3:still\n|1@4:bye\n|1@4:no end|2@4:\n|");
}

TEST_CASE("a line ends at a cut, and is ambiguous if a record of it is") {
    Capture capture(CaptureOptions{.limits = {.max_stdout_bytes = 4}});
    CaptureRecorder recorder = capture.record();
    recorder.add(STDOUT, "ab", 1ms, true);
    recorder.add(STDERR, "x\n", 2ms);
    recorder.add(STDOUT, "cdef", 3ms);
    CapturePlayback playback = capture.playback();
    CHECK(lines_of(playback.lines()) == "1@1?:abcd|2@2:x\n|");
}

TEST_CASE("a line that never ends does not make the others slow") {
    Capture capture;
    CaptureRecorder recorder = capture.record();
    recorder.add(STDERR, "prompt", 1ms);
    constexpr int count = 100'000;
    for (int i = 0; i < count; ++i) recorder.add(STDOUT, "x\n", 2ms);
    CapturePlayback playback = capture.playback();
    proctor::CaptureLines lines = playback.lines();
    CHECK(lines.next()->text == "prompt");
    int seen = 0;
    while (lines.next()) ++seen;
    CHECK(seen == count);
}

TEST_CASE("what is ambiguous is so when it is played, wherever it was kept") {
    for (const proctor::Bytes max_size : {1000, 8, 0}) {
        CAPTURE(max_size);
        Capture capture(CaptureOptions{.max_size = max_size});
        CaptureRecorder recorder = capture.record();
        recorder.add(STDOUT, "a", 1ms);
        recorder.add(STDERR, "b", 1ms, true);
        recorder.add(STDOUT, "c", 1ms);
        recorder.add(STDERR, "d", 1ms, true);
        CHECK(played(capture) == "1a 2b? 1c 2d? ");
    }
}

TEST_CASE("a capture is as small as a pointer, its copies share, and it moves") {
    static_assert(sizeof(Capture) <= 2 * sizeof(void*));
    static_assert(std::is_nothrow_move_constructible_v<Capture>);
    Capture capture = dialogue(30);
    const Capture copy = capture;
    const Capture moved = std::move(capture);
    CHECK(played(copy) == played(moved));
    capture = Capture();
    CHECK(played(capture).empty());
    CHECK(copy.size(STDOUT) == 26);
}

TEST_CASE("a playback outlives its capture, and a second recording is another one") {
    for (const proctor::Bytes max_size : {1000, 0}) {
        Capture capture = dialogue(max_size);
        CapturePlayback playback = capture.playback();
        {
            CaptureRecorder recorder = capture.record();
            recorder.add(STDOUT, "new", 1ms);
        }
        CHECK(played(capture) == "1new ");
        CHECK(capture.size(STDIN) == 0);
        capture = Capture();
        CHECK(playback.next()->data == "name?");
    }
}

TEST_CASE("a recorder goes on where it has moved to") {
    Capture capture;
    CaptureRecorder first = capture.record();
    first.add(STDOUT, "a", 1ms);
    CaptureRecorder second = std::move(first);
    second.add(STDOUT, "b", 2ms);
    CHECK(played(capture) == "1a 1b ");
    CHECK(capture.size(STDOUT) == 2);
}

TEST_CASE("a frame's header reads back as it was, and a part of one is none") {
    using namespace proctor::detail;
    for (const std::uint64_t length : {0UL, 1UL, 127UL, 128UL, 65536UL, 1UL << 35, ~0UL}) {
        for (const std::uint64_t delta : {0UL, 127UL, 128UL, 1'000'000'000UL, ~0UL}) {
            for (const unsigned flags : {0U, 1U, 2U, 3U}) {
                const FrameHeader header{STDERR, (flags & 1) != 0, (flags & 2) != 0, length, delta};
                const EncodedHeader encoded(header);
                CHECK(encoded.view().size() <= longest_frame_header);
                const std::string bytes = std::string(encoded.view()) + "rest";
                std::string_view left = bytes;
                const auto read = take_frame_header(left);
                REQUIRE(read);
                CHECK(left == "rest");
                CHECK(read->stream == STDERR);
                CHECK(read->truncated == header.truncated);
                CHECK(read->ambiguous == header.ambiguous);
                CHECK(read->length == length);
                CHECK(read->time_delta == delta);
                for (std::size_t size = 0; size < encoded.view().size(); ++size) {
                    std::string_view part = encoded.view().substr(0, size);
                    CHECK_FALSE(take_frame_header(part));
                }
            }
        }
    }
    std::string_view no_stream("\3\0\0", 3);
    CHECK_FALSE(take_frame_header(no_stream));
}
