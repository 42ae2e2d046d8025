// SPDX-License-Identifier: MIT
//
// `proctor replay`.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>

#include "command_driver.hpp"
#include "support.hpp"
#include "terminal.hpp"

using namespace std::string_literals;
using namespace command_driver;

namespace {

constexpr std::string_view dialogue =
    "{\"@\":0.0,\"0\":\"ask\\n\"}\n{\"@\":0.05,\"1\":\"out\\n\"}\n{\"@\":0.05,\"2\":\"err\\n\"}\n"
    "{\"@\":0.1,\"1\":{\"base64\":\"//4=\"}}\n{\"@\":0.1,\"1\":false}\n";

Finished replay(const Words& options, std::string_view capture = dialogue) {
    return finish(Words{"replay"} + options + Words{"-"}, capture);
}

std::string replay_on_terminal(const Words& options, const std::function<void()>& environment) {
    const support::TempDir directory;
    const support::Terminal terminal;
    Command command({.words = Words{"replay", "--instant"} + options + Words{directory.write("c", dialogue)},
                     .out = terminal.inside.get(),
                     .err = terminal.inside.get(),
                     .before_exec = environment});
    CHECK(command.wait() == 0);
    return terminal.text();
}

}  // namespace

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
