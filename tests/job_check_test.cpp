// SPDX-License-Identifier: MIT
//
// Jobs that contradict themselves are refused before anything is started: by their handler, as an error of stage setup.
#include "support.hpp"

#include <unistd.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace std::string_literals;
using proctor::Job;
using proctor::Outcome;
using proctor::RunResult;
using proctor::Stage;

namespace {

struct Case {
    std::string what;
    std::function<void(Job&)> spoil;
};

void check_refused(const std::vector<Case>& cases, Stage stage = Stage::setup) {
    for (const Case& entry : cases) {
        CAPTURE(entry.what);
        const support::TempDir dir;
        Job job = support::script("write-file " + dir.file("ran") + " x");
        entry.spoil(job);
        const RunResult result = proctor::run(std::move(job));
        INFO(support::describe(result));
        CHECK(result.outcome == Outcome::error);
        REQUIRE(result.error.has_value());
        CHECK(result.error->stage == stage);
        CHECK_FALSE(result.error->message.empty());
        CHECK_FALSE(result.usage.has_value());
        CHECK(access(dir.file("ran").c_str(), F_OK) != 0);
    }
}

}  // namespace

TEST_CASE("the job that the others are spoilt from runs") {
    const support::TempDir dir;
    const RunResult result = support::run_script("write-file " + dir.file("ran") + " x");
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK(access(dir.file("ran").c_str(), F_OK) == 0);
}

TEST_CASE("words that no program can be given are refused") {
    check_refused({
        {"neither argv nor shell", [](Job& job) { job.argv.clear(); }},
        {"a NUL in the program", [](Job& job) { job.argv[0] += "\0x"s; }},
        {"a NUL in an argument", [](Job& job) { job.argv.push_back("a\0b"s); }},
        {"a NUL in the shell text", [](Job& job) { job.shell = "echo \0"s; }},
        {"a NUL in the working directory", [](Job& job) { job.cwd = "/\0tmp"s; }},
        {"an environment name with =",
         [](Job& job) {
             job.environment.set = {{"A=B", "c"}};
         }},
        {"an empty environment name",
         [](Job& job) {
             job.environment.set = {{"", "c"}};
         }},
        {"a NUL in an environment name",
         [](Job& job) {
             job.environment.set = {{"A\0B"s, "c"}};
         }},
        {"a NUL in an environment value",
         [](Job& job) {
             job.environment.set = {{"A", "b\0c"s}};
         }},
        {"a NUL in the input's path", [](Job& job) { job.input = proctor::Input::file("/etc\0/passwd"s); }},
        {"a NUL in the output's path", [](Job& job) { job.output = proctor::Output::file("/tmp\0/x"s); }},
    });
}

TEST_CASE("a program without a name is one that is not found, as execve(2) has it") {
    check_refused({{"an empty name", [](Job& job) { job.argv = {""}; }}}, Stage::exec);
}

TEST_CASE("limits that make no sense are refused") {
    check_refused({
        {"no time", [](Job& job) { job.limits.time = 0ns; }},
        {"negative time", [](Job& job) { job.limits.time = -1ns; }},
        {"negative kill_after", [](Job& job) { job.kill_after = -1ns; }},
        {"negative drain_grace", [](Job& job) { job.drain_grace = -1ns; }},
        {"no input_delay", [](Job& job) { job.input_delay = 0ns; }},
        {"negative input_delay", [](Job& job) { job.input_delay = -1ns; }},
        {"a pace for input that the child reads itself",
         [](Job& job) {
             job.input = proctor::Input::inherit(0);
             job.input_delay = 1s;
         }},
        {"a function of lines that is none", [](Job& job) { job.input = proctor::Input::lines({}); }},
        {"negative stdout lines", [](Job& job) { job.capture.limits.max_stdout_lines = -1; }},
        {"negative stdout bytes", [](Job& job) { job.capture.limits.max_stdout_bytes = -1; }},
        {"negative stderr lines", [](Job& job) { job.capture.limits.max_stderr_lines = -1; }},
        {"negative stderr bytes", [](Job& job) { job.capture.limits.max_stderr_bytes = -1; }},
        {"a limit of output that is not recorded",
         [](Job& job) {
             job.capture.output = false;
             job.capture.limits.max_stdout_bytes = 1;
         }},
        {"a limit of output that goes to a file",
         [](Job& job) {
             job.output = proctor::Output::file("/dev/null");
             job.capture.limits.max_stdout_bytes = 1;
         }},
        {"a limit of error output that goes with the other",
         [](Job& job) {
             job.error_output = proctor::Output::with_output();
             job.capture.limits.max_stderr_lines = 1;
         }},
        {"a limit of error output that goes nowhere",
         [](Job& job) {
             job.error_output = proctor::Output::null();
             job.capture.limits.max_stderr_bytes = 1;
         }},
        {"a limit of error output that is not recorded",
         [](Job& job) {
             job.capture.error_output = false;
             job.capture.limits.max_stderr_lines = 1;
         }},
        {"negative max_size", [](Job& job) { job.capture.max_size = -1; }},
        {"NUL in the spool directory", [](Job& job) { job.capture.spool_directory = std::string("/tmp\0x", 6); }},
        {"negative core size", [](Job& job) { job.resource_limits.core = -1; }},
        {"negative file size", [](Job& job) { job.resource_limits.file_size = -1; }},
        {"negative open files", [](Job& job) { job.resource_limits.open_files = -1; }},
        {"negative stack", [](Job& job) { job.resource_limits.stack = -1; }},
    });
}

TEST_CASE("numbers outside of their range are refused") {
    check_refused({
        {"nice above 19", [](Job& job) { job.nice = 20; }},
        {"nice below -20", [](Job& job) { job.nice = -21; }},
        {"umask above 0777", [](Job& job) { job.umask = 01000; }},
        {"no such parent death signal", [](Job& job) { job.parent_death_signal = 65; }},
        {"negative parent death signal", [](Job& job) { job.parent_death_signal = -1; }},
    });
}

TEST_CASE("descriptors that cannot be passed are refused") {
    check_refused({
        {"passed as standard input", [](Job& job) { job.descriptors = {{.from = 0, .to = 0}}; }},
        {"passed as standard output", [](Job& job) { job.descriptors = {{.from = 0, .to = 1}}; }},
        {"passed as standard error", [](Job& job) { job.descriptors = {{.from = 0, .to = 2}}; }},
        {"negative number in the child", [](Job& job) { job.descriptors = {{.from = 0, .to = -1}}; }},
        {"negative number in the host", [](Job& job) { job.descriptors = {{.from = -1, .to = 5}}; }},
        {"two under one number",
         [](Job& job) {
             job.descriptors = {{.from = 0, .to = 5}, {.from = 1, .to = 5}};
         }},
        {"standard output with itself", [](Job& job) { job.output = proctor::Output::with_output(); }},
        {"negative descriptor to inherit", [](Job& job) { job.output = proctor::Output::inherit(-1); }},
        {"negative descriptor to forward to", [](Job& job) { job.output = proctor::Output::forward(-1); }},
        {"negative descriptor as input", [](Job& job) { job.input = proctor::Input::descriptor(-1); }},
    });
}

TEST_CASE("a refused submit is told by the handler, later, and once") {
    proctor::Reactor reactor = support::make_reactor();
    int ends = 0;
    const proctor::JobHandle handle = reactor.submit({}, [&](RunResult&& result) {
        ++ends;
        CHECK(result.outcome == Outcome::error);
    });
    CHECK(ends == 0);
    CHECK(reactor.size() == 1);
    REQUIRE(reactor.run());
    CHECK(ends == 1);
    CHECK(reactor.size() == 0);
    CHECK(handle.state() == proctor::JobState::ended);
}
