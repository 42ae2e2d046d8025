// SPDX-License-Identifier: MIT
//
// What flows through the proctor command, with readers and writers that are slow, gone or closed, and the signals that
// it gets meanwhile.
#include <doctest/doctest.h>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <string>
#include <vector>

#include "command_driver.hpp"
#include "support.hpp"

using namespace std::string_literals;
using namespace command_driver;

// --- Streams

TEST_CASE("standard input is empty unless something else is said") {
    support::Pipe in;  // never at its end
    const Collector out;
    Command command(
        {.words = run_script_words({}, "copy 0 1 then print end"), .in = in.read_end.get(), .out = out.fd()});
    CHECK(command.wait() == 0);
    CHECK(out.text() == "end");
}

TEST_CASE("standard input is a file, or proctor's own") {
    const support::TempDir directory;
    const std::string bytes = support::pattern(300'000);
    const std::string file = directory.write("input", bytes);
    CHECK(run_script({"--stdin", file}, "copy 0 1").out == bytes);
    CHECK(run_script({"--stdin", "-"}, "copy 0 1", bytes).out == bytes);

    support::Pipe in;
    const Collector out;
    Command command({.words = run_script_words({"--stdin=-"}, "copy 0 1"), .in = in.read_end.get(), .out = out.fd()});
    in.read_end.reset();
    support::write_all(in.write_end.get(), bytes);
    in.write_end.reset();
    CHECK(command.wait() == 0);
    CHECK(out.text() == bytes);
}

TEST_CASE("a dialogue through proctor does not wait for more than was said") {
    support::Pipe in;
    support::Pipe out;
    Command command({.words = run_script_words({"--stdin", "-"}, "answer-line then answer-line"),
                     .in = in.read_end.get(),
                     .out = out.write_end.get()});
    out.write_end.reset();
    for (const std::string line : {"one\n", "two\n"}) {
        support::write_all(in.write_end.get(), line);
        const std::string expected = "got " + line;
        for (std::size_t i = 0; i < expected.size(); ++i) {
            REQUIRE(support::await_byte(out.read_end.get()));
        }
    }
    CHECK(command.wait() == 0);
}

TEST_CASE("output of any bytes passes unchanged") {
    const Finished done = run_script({}, "fill 1 1048577 then fill 2 300001");
    CHECK(done.status == 0);
    CHECK(done.out == support::pattern(1'048'577));
    CHECK(done.err == support::pattern(300'001));
}

TEST_CASE("output limits let through exactly the first lines or bytes, and the rest is counted") {
    const support::TempDir directory;
    const std::string result = directory.file("result");
    const Finished done = run_script({"--stdout-lines", "2", "--stderr-bytes", "3", "--result", result}, "alternate 4");
    CHECK(done.status == 0);
    CHECK(done.out == "o0\no1\n");
    CHECK(done.err == "e0\n");
    const Json json = Json::of_file(result);
    CHECK(json.number("/streams/stdout/bytes") == 6);
    CHECK(json.number("/streams/stdout/lines") == 2);
    CHECK(json.truth("/streams/stdout/truncated"));
    CHECK(json.number("/streams/stdout/total_bytes") == 12);
    CHECK(json.number("/streams/stdout/total_lines") == 4);
    CHECK(json.number("/streams/stderr/bytes") == 3);
    CHECK(json.truth("/streams/stderr/truncated"));
    CHECK(json.number("/streams/stderr/total_bytes") == 12);

    const Finished ended =
        run_script({"--stderr-lines", "2", "--end-at-output-limit", "--result", result}, "alternate 4 then pause");
    CHECK(ended.status == 124);
    CHECK(ended.err.find("ended at byte 6 of standard error, by --stderr-lines") != std::string::npos);
    const Json told = Json::of_file(result);
    CHECK(told.text("/output_limit/stream") == "stderr");
    CHECK(told.text("/output_limit/limit") == "lines");
    CHECK(told.number("/output_limit/offset") == 6);

    const Finished other = run_script({"--stdout-bytes", "4", "--stderr-lines", "0"}, "alternate 2");
    CHECK(other.out == "o0\no");
    CHECK(other.err.empty());
}

TEST_CASE("a reader that comes late gets everything") {
    constexpr std::size_t size = 8 << 20;
    support::Pipe out;
    Command command({.words = run_script_words({}, "fill 1 " + std::to_string(size)), .out = out.write_end.get()});
    await_full(out.write_end.get());
    out.write_end.reset();
    CHECK(support::read_to_end(out.read_end.get()) == support::pattern(size));
    CHECK(command.wait() == 0);
}

TEST_CASE("the time limit strikes while nobody reads the output") {
    support::Pipe out;
    const Collector err;
    Command command({.words = run_script_words({"--time-limit", "100ms"}, "fill 1 67108864"),
                     .out = out.write_end.get(),
                     .err = err.fd()});
    CHECK(command.wait() == 124);
    CHECK(contains(err.text(), "Time limit exceeded"));
}

TEST_CASE("a signal ends proctor while nobody reads the output") {
    const support::TempDir directory;
    const std::string result = directory.file("result");
    support::Pipe out;
    Command command({.words = run_script_words({"--result", result}, "fill 1 67108864"), .out = out.write_end.get()});
    await_full(out.write_end.get());
    command.kill(SIGTERM);
    CHECK(command.wait() == 128 + SIGTERM);
    CHECK(Json::of_file(result).text("/error/stage") == "cancelled");
}

TEST_CASE("a command whose reader goes away ends as in a pipeline") {
    support::Pipe out;
    const Collector err;
    Command command(
        {.words = run_script_words({}, "fill 1 1000000000000"), .out = out.write_end.get(), .err = err.fd()});
    out.write_end.reset();
    CHECK(support::await_byte(out.read_end.get()));
    out.read_end.reset();
    CHECK(command.wait() == 128 + SIGPIPE);
    CHECK(err.text().empty());
}

TEST_CASE("streams that are closed at the start are not taken for files of proctor's") {
    const support::TempDir directory;
    for (unsigned mask = 0; mask < 8; ++mask) {
        const std::string result = directory.file("result" + std::to_string(mask));
        Command command(
            {.words = run_script_words({"--quiet", "--result", result}, "copy 0 1 then print out then print-to 2 err"),
             .in = (mask & 1) != 0 ? closed : -1,
             .out = (mask & 2) != 0 ? closed : -1,
             .err = (mask & 4) != 0 ? closed : -1});
        INFO("closed: ", mask);
        CHECK(command.wait() == 0);
        const Json json = Json::of_file(result);
        CHECK(json.text("/outcome") == "pass");
        CHECK(json.number("/streams/stdin/bytes") == 0);
        CHECK(json.number("/streams/stdout/bytes") == 3);
        CHECK(json.number("/streams/stderr/bytes") == 3);
    }
    const Collector err;
    CHECK(Command({.words = {"run", "--result", "-", "true"}, .out = closed, .err = err.fd()}).wait() == 125);
    CHECK(contains(err.text(), "closed"));
}

TEST_CASE("a stream that is needed and closed is told before anything runs") {
    struct Case {
        Words words;
        int in;
        int out;
        std::string told;
    };
    const std::vector<Case> cases = {
        {{"run", "--result", "RESULT", "true"}, -1, closed, "standard output is closed"},
        {{"run", "--stdin", "-", "--result", "RESULT", "true"}, closed, -1, "standard input is closed"},
        {{"doctor"}, -1, closed, "standard output is closed"},
        {{"run", "--help"}, -1, closed, "standard output is closed"},
        {{"replay", "-"}, closed, -1, "is closed"},
    };
    const support::TempDir directory;
    const std::string result = directory.file("result");
    for (const Case& each : cases) {
        Words words = each.words;
        std::replace(words.begin(), words.end(), std::string("RESULT"), result);
        const Collector err;
        INFO(each.words.front(), " ", each.told);
        CHECK(Command({.words = words, .in = each.in, .out = each.out, .err = err.fd()}).wait() == 125);
        CHECK(contains(err.text(), each.told));
        if (words != each.words) {
            const Json json = Json::of_file(result);
            CHECK(json.text("/outcome") == "error");
            CHECK(json.number("/error/errno") == EBADF);
        }
    }
}

TEST_CASE("what is left behind is ended after the drain grace") {
    Witness witness;
    const Collector out;
    Command command(
        {.words = witness.words({"--time-limit", "1h"}, "fork [ ready then pause ] then print ok"), .out = out.fd()});
    CHECK(command.wait() == 0);
    CHECK(out.text() == "ok");
    CHECK(witness.all_gone());
}

// --- Signals to proctor

TEST_CASE("SIGINT, SIGTERM and SIGHUP end the command's processes, and the result is written") {
    const support::TempDir directory;
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        const std::string result = directory.file("result" + std::to_string(number));
        Witness witness;
        support::Pipe out;
        const Collector err;
        Command command(
            {.words = witness.words({"--result", result}, "fork [ ready then pause ] then print r then pause"),
             .out = out.write_end.get(),
             .err = err.fd()});
        REQUIRE(support::await_byte(out.read_end.get()));
        CHECK(witness.anybody_left());
        command.kill(number);
        CHECK(command.wait() == 128 + number);
        CHECK(witness.all_gone());
        CHECK(err.text().starts_with("proctor: told to stop by signal " + std::to_string(number)));
        const Json json = Json::of_file(result);
        CHECK(json.text("/outcome") == "error");
        CHECK(json.text("/error/stage") == "cancelled");
        CHECK(json.number("/returncode") == -9);
        CHECK(json.number("/signal") == 9);
        CHECK(json.null("/reason"));
        CHECK(json.real("/usage/wctime") > 0);
        CHECK(json.number("/streams/stdout/bytes") == 1);
    }
}

TEST_CASE("with --kill-after the command gets SIGTERM first") {
    const support::TempDir directory;
    const std::string result = directory.file("result");
    Words words = {"run", "--kill-after", "1h", "--result", result, "--", support::child()};
    words = words + split("on-signal-exit 15 bye 7 then print r then pause");
    support::Pipe out;
    Command command({.words = words, .out = out.write_end.get()});
    out.write_end.reset();
    REQUIRE(support::await_byte(out.read_end.get()));
    command.kill(SIGINT);
    CHECK(support::read_to_end(out.read_end.get()) == "bye");
    CHECK(command.wait() == 128 + SIGINT);
    const Json json = Json::of_file(result);
    CHECK(json.text("/error/stage") == "cancelled");
    CHECK(json.number("/exit_code") == 7);

    const Finished limited =
        run_script({"--kill-after", "1h", "--time-limit", "1"}, "on-signal-exit 15 bye 7 then pause");
    CHECK(limited.status == 124);
    CHECK(limited.out == "bye");
}

TEST_CASE("a second signal does not keep the first from its work") {
    const support::TempDir directory;
    const std::string result = directory.file("result");
    Witness witness;
    support::Pipe out;
    Command command({.words = witness.words({"--kill-after", "1", "--result", result},
                                            "on-signal-print 15 t then print r then pause"),
                     .out = out.write_end.get()});
    REQUIRE(support::await_byte(out.read_end.get()));  // r
    command.kill(SIGTERM);
    REQUIRE(support::await_byte(out.read_end.get()));  // t
    command.kill(SIGINT);
    command.kill(SIGHUP);
    command.kill(SIGTERM);
    CHECK(command.wait() == 128 + SIGTERM);
    CHECK(witness.all_gone());
    const Json json = Json::of_file(result);
    CHECK(json.text("/error/stage") == "cancelled");
    CHECK(json.number("/signal") == 9);
}

TEST_CASE("what a shell does to background commands does not make proctor deaf") {
    support::Pipe out;
    Command command(
        {.words = run_script_words({}, "print r then pause"), .out = out.write_end.get(), .before_exec = [] {
             signal(SIGINT, SIG_IGN);
             sigset_t set;
             sigemptyset(&set);
             sigaddset(&set, SIGINT);
             sigprocmask(SIG_BLOCK, &set, nullptr);
         }});
    REQUIRE(support::await_byte(out.read_end.get()));
    command.kill(SIGINT);
    CHECK(command.wait() == 128 + SIGINT);
}

TEST_CASE("under nohup a hang-up changes nothing") {
    support::Pipe in;
    support::Pipe out;
    Command command({.words = run_script_words({"--stdin", "-"}, "print r then answer-line"),
                     .in = in.read_end.get(),
                     .out = out.write_end.get(),
                     .before_exec = [] { signal(SIGHUP, SIG_IGN); }});
    out.write_end.reset();
    REQUIRE(support::await_byte(out.read_end.get()));
    command.kill(SIGHUP);
    support::write_all(in.write_end.get(), "still there\n");
    CHECK(support::read_to_end(out.read_end.get()) == "got still there\n");
    CHECK(command.wait() == 0);
}

TEST_CASE("ignored signals that proctor inherits reach neither it nor the command") {
    const Finished done = finish(run_script_words({}, "status SigIgn then status SigBlk"), {}, [] {
        signal(SIGCHLD, SIG_IGN);
        signal(SIGPIPE, SIG_IGN);
        signal(SIGUSR1, SIG_IGN);
    });
    CHECK(done.status == 0);
    CHECK(done.out == "0000000000000000\n0000000000000000\n");
}
