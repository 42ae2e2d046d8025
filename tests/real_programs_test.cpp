// SPDX-License-Identifier: MIT
//
// The programs that users run: interpreters with buffers, threads and signal handling of their own.
#include "support.hpp"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using proctor::Input;
using proctor::Job;
using proctor::Outcome;
using proctor::RunResult;
using proctor::STDERR;
using proctor::STDOUT;

namespace {

bool have(const std::string& program) {
    const RunResult result = proctor::run({.argv = {program}, .shell = "command -v \"$1\" >/dev/null"});
    if (result.passed()) return true;
    support::skip("there is no " + program);
    return false;
}

}  // namespace

TEST_CASE("python3 adds two numbers") {
    if (!have("python3")) return;
    Job job{.argv = {"python3", "-c", "a, b = map(int, input().split()); print(a + b)"}};
    job.input = Input::text("2 3\n");
    CHECK(support::output_of(job) == "5\n");
}

TEST_CASE("python3 that fails shows its trace and its status") {
    if (!have("python3")) return;
    const RunResult result = proctor::run({.argv = {"python3", "-c", "print('before'); raise ValueError('why')"}});
    INFO(support::describe(result));
    CHECK(result.outcome == Outcome::fail);
    CHECK(result.exit_code == 1);
    CHECK(result.capture.text(STDOUT) == "before\n");
    CHECK(result.capture.text(STDERR).find("ValueError: why") != std::string::npos);
}

TEST_CASE("python3 in a loop without end is ended by its time limit, with its threads") {
    if (!have("python3")) return;
    Job job{.argv = {"python3", "-c",
                     "import threading\n"
                     "def turn():\n"
                     "    while True: pass\n"
                     "threading.Thread(target=turn).start()\n"
                     "turn()\n"}};
    job.limits.time = 500ms;
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.reason == proctor::Reason::time_limit);
    CHECK(result.signal == SIGKILL);
}

TEST_CASE("python3 sees signals as at a terminal, so that it may die of a broken pipe") {
    if (!have("python3")) return;
    Job job{.argv = {
                "python3", "-c",
                "import signal\n"
                "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.pthread_sigmask(0, []))"}};
    CHECK(support::output_of(job) == "True set()\n");
}

TEST_CASE("cat passes 64 MiB on unchanged") {
    if (!have("cat")) return;
    const support::TempDir dir;
    const std::string content = support::pattern(64 << 20);
    Job job{.argv = {"cat"}};
    job.input = Input::file(dir.write("large", content));
    const RunResult result = proctor::run(job);
    CHECK(result.passed());
    CHECK((result.capture.text(STDOUT) == content));
}

TEST_CASE("sort, which reads all before it writes, sorts 200,000 lines") {
    if (!have("sort")) return;
    std::string input;
    std::string expected;
    for (int i = 0; i < 200'000; ++i) {
        input += std::to_string(999'999 - i) + "\n";
        expected += std::to_string(800'000 + i) + "\n";
    }
    Job job{.argv = {"sort", "-n"}};
    job.input = Input::text(input);
    const RunResult result = proctor::run(job);
    CHECK(result.passed());
    CHECK((result.capture.text(STDOUT) == expected));
}

TEST_CASE("a shell's background job does not hold the run up, and is killed") {
    if (!have("sleep")) return;
    Job job{.shell = "sleep 300 & echo ok"};
    job.limits.time = 1h;
    support::Witness witness(job);
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK(result.capture.text(STDOUT) == "ok\n");
    CHECK(witness.all_gone());
}

TEST_CASE("a shell that ignores SIGTERM is killed at its time limit") {
    Job job{.shell = "trap '' TERM; while :; do :; done"};
    job.limits.time = 200ms;
    job.kill_after = 50ms;
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.outcome == Outcome::fail);
    CHECK(result.reason == proctor::Reason::time_limit);
}

TEST_CASE("a shell's pipeline, whose writer dies of SIGPIPE, ends as in a terminal") {
    if (!have("head") || !have("yes")) return;
    CHECK(support::output_of({.shell = "yes | head -n 2"}) == "y\ny\n");
}

TEST_CASE("a script with an interpreter line is run by its interpreter") {
    const support::TempDir dir;
    const std::string path = dir.write("script", "#!/bin/sh\necho \"$0|$1\"\n", 0755);
    CHECK(support::output_of({.argv = {path, "a b"}}) == path + "|a b\n");
}

TEST_CASE("a program by its name is found where the host would find it") {
    CHECK(support::output_of({.argv = {"sh", "-c", "echo found"}}) == "found\n");
}
