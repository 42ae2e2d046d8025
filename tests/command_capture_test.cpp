// SPDX-License-Identifier: MIT
//
// `proctor run --capture` and `--replay-input`.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <proctor/capture_json.hpp>

#include "command_driver.hpp"
#include "support.hpp"
#include "watched_child.hpp"

using namespace std::string_literals;
using namespace command_driver;
using proctor::STDERR;
using proctor::STDIN;
using proctor::STDOUT;

namespace {

// Of a capture without damage.
std::string bytes_of(const std::string& path, proctor::Stream stream) {
    auto playback = proctor::JSONCapturePlayback::file(path);
    std::string bytes;
    for (const proctor::CaptureRecord& record : playback) {
        if (record.stream == stream) bytes += record.data;
    }
    INFO((playback.error() ? playback.error()->message : std::string()));
    CHECK_FALSE(playback.error());
    return bytes;
}

}  // namespace

// --- run --capture

TEST_CASE("a capture has what passed on all streams, and the output is passed on too") {
    const support::TempDir directory;
    const std::string path = directory.file("capture");
    const std::string input = support::pattern(100'000);
    const Finished done = run_script({"--stdin", "-", "--capture", path}, "copy 0 1 then print-to 2 note", input);
    CHECK(done.status == 0);
    CHECK(done.out == input);
    CHECK(done.err == "note");
    CHECK(bytes_of(path, STDIN) == input);
    CHECK(bytes_of(path, STDOUT) == input);
    CHECK(bytes_of(path, STDERR) == "note");
    CHECK(contains(support::read_file(path), ",\"2\":\"note\""));
}

TEST_CASE("a capture has the cut that a limit makes") {
    const support::TempDir directory;
    const std::string path = directory.file("capture");
    CHECK(run_script({"--quiet", "--stdout-lines", "2", "--capture", path}, "alternate 4").status == 0);
    CHECK(bytes_of(path, STDOUT) == "o0\no1\n");
    CHECK(contains(support::read_file(path), "\"1\":false"));
    CHECK_FALSE(contains(support::read_file(path), "\"2\":false"));
}

TEST_CASE("the precision of a capture's times can be chosen") {
    const support::TempDir directory;
    const std::string path = directory.file("capture");
    CHECK(run_script({"--capture", path, "--capture-precision", "0"}, "print x").status == 0);
    CHECK(contains(support::read_file(path), ".0,\"1\":\"x\"}\n"));
    CHECK(run_script({"--capture", path, "--capture-precision=9"}, "print x").status == 0);
    CHECK(support::read_file(path).size() > "{\"@\":0.000,\"1\":\"x\"}\n"s.size());
    for (const std::string wrong : {"10", "-1", "x"}) {
        const Finished done = run_script({"--capture", path, "--capture-precision", wrong}, "print x");
        CHECK(done.status == 125);
        CHECK(contains(done.err, "write 0 to 9"));
    }
}

TEST_CASE("a capture on standard output is alone there") {
    const Finished done =
        run_script({"--capture", "-", "--capture-precision", "0"}, "print hello then print-to 2 oops");
    CHECK(done.status == 0);
    CHECK(contains(done.out, ",\"1\":\"hello\""));
    CHECK(contains(done.out, ",\"2\":\"oops\""));
    CHECK_FALSE(done.out.starts_with("hello"));
    CHECK(done.err.empty());
}

TEST_CASE("capture and result cannot go to one place") {
    const Finished done = run_script({"--capture", "-", "--result", "-"}, "print hello");
    CHECK(done.status == 125);
    CHECK(done.out.empty());
    CHECK(contains(done.err, "both standard output"));

    const Collector err;
    Command command({.words = run_script_words({"--capture", "-"}, "print x"), .out = closed, .err = err.fd()});
    CHECK(command.wait() == 125);
    CHECK(contains(err.text(), "--capture -: standard output is closed"));
}

TEST_CASE("a capture that cannot be opened is told before the launch, and the result is written") {
    const support::TempDir directory;
    const std::string result = directory.file("result");
    const std::string trace = directory.file("trace");
    const Finished done =
        run_script({"--result", result, "--capture", directory.file("no/capture")}, "write-file " + trace + " x");
    CHECK(done.status == 125);
    CHECK(contains(done.err, "--capture: "));
    CHECK(contains(done.err, " — "));
    CHECK(Json::of_file(result).text("/error/stage") == "setup");
    CHECK(access(trace.c_str(), F_OK) != 0);
}

TEST_CASE("a full disk under the capture ends the run, with the cause") {
    const support::TempDir directory;
    const std::string result = directory.file("result");
    // Once while it runs, once only at its end.
    for (const std::string script : {"fill 1 1000000000000", "print x"}) {
        const Finished done = run_script({"--quiet", "--result", result, "--capture", "/dev/full"}, script);
        CHECK(done.status == 125);
        CHECK(contains(done.err, "/dev/full could not be written"));
        CHECK(contains(done.err, "No space left on device"));
        const Json json = Json::of_file(result);
        CHECK(json.text("/outcome") == "error");
        CHECK(json.text("/error/stage") == "io");
        CHECK(json.number("/error/errno") == ENOSPC);
    }
}

TEST_CASE("the limit of file sizes under the capture ends the run, and the command tells of it") {
    const support::TempDir directory;
    const std::string path = directory.file("c");
    const std::string result = directory.file("result");
    const Finished done = finish(
        run_script_words({"--quiet", "--capture", path, "--result", result}, "fill 1 300000 then pause"), {}, [] {
            const rlimit small{1 << 16, 1 << 16};
            setrlimit(RLIMIT_FSIZE, &small);
        });
    CHECK(done.status == 125);
    CHECK(done.err.find("ulimit -f") != std::string::npos);
    const Json json = Json::of_file(result);
    CHECK(json.number("/error/errno") == EFBIG);
}

TEST_CASE("a capture is written also when the run ends badly") {
    const support::TempDir directory;
    const std::string path = directory.file("capture");
    CHECK(run_script({"--capture", path, "--time-limit", "50ms"}, "print hello then pause").status == 124);
    CHECK(bytes_of(path, STDOUT) == "hello");
    CHECK(run_script({"--capture", path}, "print fault then raise 11").status == 139);
    CHECK(bytes_of(path, STDOUT) == "fault");
    CHECK(run_script({"--capture", path, "--stdin", directory.file("missing")}, "print x").status == 125);
    CHECK(support::read_file(path).empty());

    support::Pipe out;
    Command command(
        {.words = run_script_words({"--capture", path}, "print hello then pause"), .out = out.write_end.get()});
    REQUIRE(support::await_byte(out.read_end.get()));
    command.kill(SIGTERM);
    CHECK(command.wait() == 128 + SIGTERM);
    CHECK(bytes_of(path, STDOUT) == "hello");
}

TEST_CASE("limits strike while nobody reads the capture, and little piles up meanwhile") {
    const support::TempDir directory;
    const std::string path = directory.file("pipe");
    REQUIRE(mkfifo(path.c_str(), 0600) == 0);
    const std::string endless = directory.write("endless", "");
    REQUIRE(truncate(endless.c_str(), off_t{1} << 40) == 0);
    for (const bool by_input : {false, true}) {
        CAPTURE(by_input);
        support::Fd reader = support::open_file(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        Witness witness;
        std::vector<std::string> options{"--quiet", "--time-limit", "500ms", "--capture", path};
        if (by_input) options.insert(options.end(), {"--stdin", endless});
        Command command({.words = witness.words(options, by_input ? "await-end 0" : "fill 1 1000000000000")});
        pollfd entry{reader.get(), POLLIN, 0};
        REQUIRE(poll(&entry, 1, 60'000) == 1);
        CHECK(witness.all_gone());
        fcntl(reader.get(), F_SETFL, 0);
        const std::string lines = support::read_to_end(reader.get());
        CHECK(command.wait() == 124);
        CHECK(lines.size() < 64U << 20);
        auto playback = proctor::JSONCapturePlayback::text(lines);
        std::string bytes;
        for (const proctor::CaptureRecord& record : playback) bytes += record.data;
        CHECK_FALSE(playback.error());
        CHECK((bytes == (by_input ? std::string(bytes.size(), '\0') : support::pattern(bytes.size()))));
    }
}

TEST_CASE("a capture is in its file soon, and not at the end alone") {
    const support::TempDir directory;
    const std::string path = directory.write("c", "");
    support::Pipe stay;
    Command command(
        {.words = run_script_words({"--quiet", "--stdin", "-", "--capture", path}, "print hello then await-end 0"),
         .in = stay.read_end.get()});
    const bool there = support::eventually([&] { return support::read_file(path).find("hello") != std::string::npos; });
    CHECK(there);
    stay.write_end.reset();
    CHECK(command.wait() == 0);
}

TEST_CASE("a capture whose reader is slow is whole") {
    const support::TempDir directory;
    const std::string path = directory.file("pipe");
    REQUIRE(mkfifo(path.c_str(), 0600) == 0);
    support::Fd reader = support::open_file(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    constexpr std::size_t size = 6 << 20;
    Command command({.words = run_script_words({"--quiet", "--capture", path}, "fill 1 " + std::to_string(size))});
    pollfd entry{reader.get(), POLLIN, 0};
    REQUIRE(poll(&entry, 1, 60'000) == 1);
    support::Fd full = support::open_file(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    await_full(full.get());
    full.reset();
    fcntl(reader.get(), F_SETFL, 0);
    const std::string lines = support::read_to_end(reader.get());
    CHECK(command.wait() == 0);
    auto playback = proctor::JSONCapturePlayback::text(lines);
    std::string bytes;
    for (const proctor::CaptureRecord& record : playback) bytes += record.data;
    CHECK_FALSE(playback.error());
    CHECK((bytes == support::pattern(size)));
}

namespace {

// What was said, and a number where another stream begins to speak: how often a stream is read is a matter of chance.
std::string protocol_of(const std::string& lines) {
    std::string text;
    std::optional<proctor::Stream> speaker;
    auto playback = proctor::JSONCapturePlayback::text(lines);
    for (const proctor::CaptureRecord& record : playback) {
        if (record.stream != speaker) text += std::to_string(record.stream) + ":";
        speaker = record.stream;
        text += record.data;
    }
    CHECK_FALSE(playback.error());
    return text;
}

constexpr const char* old_dialogue = R"({"@":0.01,"1":"name?got "})"
                                     "\n"
                                     R"({"@":0.02,"0":"Ada\n"})"
                                     "\n"
                                     R"({"@":0.03,"1":"Ada\n","2":"more?"})"
                                     "\n"
                                     R"({"@":0.04,"1":"got "})"
                                     "\n"
                                     R"({"@":0.05,"0":"n"})"
                                     "\n"
                                     R"({"@":0.06,"0":"o\n"})"
                                     "\n"
                                     R"({"@":0.07,"1":"no\n"})"
                                     "\n";
constexpr const char* speaker = "print name? then answer-line then print-to 2 more? then answer-line then await-end 0";

}  // namespace

TEST_CASE("the input of a capture is given again when the program has said what it had said then") {
    const support::TempDir directory;
    const std::string old_one = directory.write("old", old_dialogue);
    for (int i = 0; i < support::rounds(20); ++i) {
        const Finished done = run_script({"--capture", directory.file("new"), "--replay-input", old_one}, speaker);
        CHECK(done.status == 0);
        CHECK(done.out == "name?got Ada\ngot no\n");
        CHECK(done.err == "more?");
        const std::string protocol = protocol_of(support::read_file(directory.file("new")));
        CHECK(protocol.starts_with("1:name?got 0:Ada\n"));
        // The program answers what it has read, and may have read the first piece alone.
        CHECK_MESSAGE((protocol.ends_with("0:no\n1:no\n") || protocol.ends_with("0:n1:n0:o\n1:o\n")), protocol);
    }
}

TEST_CASE("a program that says less than in the capture gets no more input") {
    const support::TempDir directory;
    const std::string old_one = directory.write("old", old_dialogue);
    const Finished done = run_script({"--capture", "-", "--replay-input", old_one, "--block-limit", "300ms"},
                                     "print name then await-end 0");
    CHECK(done.status == 124);
    CHECK(protocol_of(done.out) == "1:name");
}

TEST_CASE("much input of a capture passes, as fast as the program takes it") {
    const support::TempDir directory;
    const std::string text = support::pattern(3 << 20);
    const std::string zeros = directory.write("text", text);
    const Finished first = run_script({"--stdin", zeros, "--capture", directory.file("old")}, "copy 0 1");
    CHECK((first.out == text));
    const Finished again = run_script({"--replay-input", directory.file("old")}, "copy 0 1");
    CHECK(again.status == 0);
    CHECK((again.out == text));
    // A limit hides how much more it says.
    const Finished cut = run_script({"--replay-input", directory.file("old"), "--stdout-bytes", "10"}, "copy 0 1");
    CHECK(cut.status == 0);
    CHECK(cut.out == text.substr(0, 10));
}

TEST_CASE("what is no capture is told before the start, and damage ends the run") {
    const support::TempDir directory;
    const Finished missing = run_script({"--replay-input", directory.file("missing")}, "print x");
    CHECK(missing.status == 125);
    CHECK(missing.out.empty());
    CHECK(missing.err.find("missing") != std::string::npos);
    const Finished no_file = run_script({"--replay-input", directory.path()}, "print x");
    CHECK(no_file.status == 125);
    const Finished wrong = run_script({"--replay-input", directory.write("wrong", "nonsense\n")}, "print x");
    CHECK(wrong.status == 125);
    CHECK(wrong.out.empty());
    const std::string damaged = directory.write("damaged", std::string(old_dialogue) + "{\n");
    const Finished late = run_script({"--replay-input", damaged}, speaker);
    CHECK(late.status == 125);
    CHECK(late.out.starts_with("name?got Ada\n"));
    CHECK(late.err.find("line 8") != std::string::npos);
    const Finished twice = run_script({"--replay-input", damaged, "--stdin", damaged}, "print x");
    CHECK(twice.status == 125);
    const Finished same = run_script({"--replay-input", damaged, "--capture", damaged}, "print x");
    CHECK(same.status == 125);
    CHECK(support::read_file(damaged).starts_with("{"));
    const std::string empty = directory.write("empty", "");
    CHECK(run_script({"--replay-input", empty}, "await-end 0").status == 0);
}
