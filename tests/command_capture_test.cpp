// SPDX-License-Identifier: MIT
//
// `proctor run --capture` and `proctor replay`.
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

constexpr std::string_view dialogue =
    "{\"@\":0.0,\"0\":\"ask\\n\"}\n{\"@\":0.05,\"1\":\"out\\n\"}\n{\"@\":0.05,\"2\":\"err\\n\"}\n"
    "{\"@\":0.1,\"1\":{\"base64\":\"//4=\"}}\n{\"@\":0.1,\"1\":false}\n";

Finished replay(const Words& options, std::string_view capture = dialogue) {
    return finish(Words{"replay"} + options + Words{"-"}, capture);
}

// Both ends of a terminal that changes nothing of what passes.
struct Terminal {
    Terminal() {
        const int number = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        REQUIRE(number >= 0);
        outside = support::Fd(number);
        REQUIRE(grantpt(number) == 0);
        REQUIRE(unlockpt(number) == 0);
        inside = support::open_file(ptsname(number), O_RDWR | O_NOCTTY | O_CLOEXEC);
        termios state{};
        REQUIRE(tcgetattr(inside.get(), &state) == 0);
        cfmakeraw(&state);
        REQUIRE(tcsetattr(inside.get(), TCSANOW, &state) == 0);
    }

    // What has been written to it: call it when the writer has ended.
    [[nodiscard]] std::string text() const {
        std::string text(4096, '\0');
        pollfd entry{outside.get(), POLLIN, 0};
        if (poll(&entry, 1, 0) <= 0) return {};
        const ssize_t count = read(outside.get(), text.data(), text.size());
        text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
        return text;
    }

    support::Fd outside{};
    support::Fd inside{};
};

std::string replay_on_terminal(const Words& options, const std::function<void()>& environment) {
    const support::TempDir directory;
    const Terminal terminal;
    Command command({.words = Words{"replay", "--instant"} + options + Words{directory.write("c", dialogue)},
                     .out = terminal.inside.get(),
                     .err = terminal.inside.get(),
                     .before_exec = environment});
    CHECK(command.wait() == 0);
    return terminal.text();
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
    CHECK(contains(done.err, "two files"));

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
        CHECK(protocol.ends_with("0:no\n1:no\n"));
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

// --- replay

TEST_CASE("a replay writes each output stream where it was") {
    for (const Words& options : {Words{}, Words{"--instant"}, Words{"--speed", "10"}, Words{"--speed=0.5"}}) {
        const Finished done = replay(options);
        CHECK(done.status == 0);
        CHECK(done.out == "out\n\xff\xfe");
        CHECK(done.err == "err\n");
    }
}

TEST_CASE("a replay plays the streams that are asked for") {
    const Finished input = replay({"--instant", "--stream", "0"});
    CHECK(input.out == "ask\n");
    CHECK(input.err.empty());
    const Finished both = replay({"--instant", "--stream", "2", "--stream=0"});
    CHECK(both.out == "ask\n");
    CHECK(both.err == "err\n");
    CHECK(replay({"--instant", "--stream=1"}).err.empty());
}

TEST_CASE("a replay takes its own time, or another") {
    const std::string_view capture = "{\"@\":0.2,\"1\":\"x\"}\n{\"@\":0.1,\"1\":\"late\"}\n";
    const auto seconds = [&](const Words& options) {
        const auto start = std::chrono::steady_clock::now();
        CHECK(replay(options, capture).out == "xlate");
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    CHECK(seconds({}) >= 0.2);
    CHECK(seconds({"--speed", "0.5"}) >= 0.4);
    CHECK(seconds({"--speed", "2"}) >= 0.1);
    // A record that is due in a hundred years, at once.
    CHECK(replay({"--instant"}, "{\"@\":3e9,\"1\":\"x\"}").out == "x");
    CHECK(replay({"--speed", "1e9"}, "").status == 125);
    CHECK(replay({"--speed", "999999999"}, "{\"@\":3e6,\"1\":\"x\"}").out == "x");
}

TEST_CASE("a replay shows what has come while its input goes on") {
    for (const Words& options : {Words{}, Words{"--instant"}}) {
        support::Pipe in;
        support::Pipe out;
        Command command(
            {.words = Words{"replay"} + options + Words{"-"}, .in = in.read_end.get(), .out = out.write_end.get()});
        support::write_all(in.write_end.get(), "{\"@\":0.0,\"1\":\"x\"}\n");
        CHECK(support::await_byte(out.read_end.get()));
        in.write_end.reset();
        CHECK(command.wait() == 0);
    }
}

TEST_CASE("a damaged capture is played up to the damage, which is told") {
    const Finished done = replay({"--instant"}, std::string(dialogue) + "{\"@\":0.2,\"1\":\"lost\n");
    CHECK(done.status == 125);
    CHECK(done.out == "out\n\xff\xfe");
    CHECK(contains(done.err, "standard input: line 6, column 19: "));
    CHECK(contains(done.err, " — "));
    const Finished missing = finish({"replay", "/no/such/capture"});
    CHECK(missing.status == 125);
    CHECK(contains(missing.err, "/no/such/capture"));
}

TEST_CASE("a replay that is asked for wrongly says what would be right") {
    for (const Words& words : std::vector<Words>{{"replay"},
                                                 {"replay", "a", "b"},
                                                 {"replay", "--speed", "0", "a"},
                                                 {"replay", "--speed", "-1", "a"},
                                                 {"replay", "--speed", "fast", "a"},
                                                 {"replay", "--stream", "3", "a"},
                                                 {"replay", "--instant", "--speed", "2", "a"},
                                                 {"replay", "--quiet", "a"}}) {
        const Finished done = finish(words);
        CHECK(done.status == 125);
        CHECK(contains(done.err, " — "));
    }
    const Finished help = finish({"replay", "--help"});
    CHECK(help.status == 0);
    CHECK(contains(help.out, "--speed"));
    CHECK(contains(finish({"--help"}).out, "proctor replay"));
}

TEST_CASE("a signal ends a replay") {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        const support::TempDir directory;
        support::Pipe out;
        Command command({.words = {"replay", directory.write("c", "{\"@\":0,\"1\":\"x\"}\n{\"@\":9999,\"1\":\"y\"}\n")},
                         .out = out.write_end.get()});
        REQUIRE(support::await_byte(out.read_end.get()));
        command.kill(signal);
        CHECK(command.wait() == 128 + signal);
    }
}

TEST_CASE("a replay whose reader goes away ends as in a pipeline") {
    const support::TempDir directory;
    support::Pipe out;
    const Collector err;
    out.read_end.reset();
    Command command({.words = {"replay", "--instant", directory.write("c", dialogue)},
                     .out = out.write_end.get(),
                     .err = err.fd()});
    CHECK(command.wait() == 128 + SIGPIPE);
    CHECK(err.text() == "");
    const Finished full =
        finish({"replay", "--instant", directory.file("c")}, {}, [] { dup2(open("/dev/full", O_WRONLY), 1); });
    CHECK(full.status == 125);
    CHECK(contains(full.err, "standard output could not be written"));
}

TEST_CASE("on a terminal the streams are told apart by colour") {
    const std::string text = replay_on_terminal({"--stream=0", "--stream=1", "--stream=2"}, [] {
        setenv("TERM", "xterm", 1);
        unsetenv("NO_COLOR");
    });
    CHECK(text == "\033[36mask\n\033[0mout\n\033[31merr\n\033[0m\xff\xfe\033[2m[the rest was not recorded]\n\033[0m");
    const std::string plain = "out\nerr\n\xff\xfe[the rest was not recorded]\n";
    CHECK(replay_on_terminal({}, [] {
              setenv("TERM", "xterm", 1);
              setenv("NO_COLOR", "1", 1);
          }) == plain);
    CHECK(replay_on_terminal({}, [] {
              setenv("TERM", "dumb", 1);
              unsetenv("NO_COLOR");
          }) == plain);
}

TEST_CASE("what was captured is what is replayed") {
    const support::TempDir directory;
    const std::string path = directory.file("capture");
    REQUIRE(run_script({"--quiet", "--capture", path}, "fill 1 1048577 then fill 2 300001").status == 0);
    const Finished done = finish({"replay", "--instant", path});
    CHECK(done.status == 0);
    CHECK((done.out == support::pattern(1'048'577)));
    CHECK((done.err == support::pattern(300'001)));
}
