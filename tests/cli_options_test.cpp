// SPDX-License-Identifier: MIT
//
// The command's words, without running anything: where they go, and that what makes no sense is refused with a sentence
// that says what would be right. And how an ending becomes an exit status.
#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "exit_status.hpp"
#include "options.hpp"
#include "support.hpp"
#include "values.hpp"

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace proctor::literals;
using namespace proctor::cli;
using proctor::Error;
using proctor::Stage;

namespace {

// The part that a run asks for; fails the test if it is anything else.
RunRequest run_request(std::vector<std::string> words) {
    words.insert(words.begin(), "run");
    const auto request = read_command_line(words);
    REQUIRE_MESSAGE(request, request.error().message);
    REQUIRE(std::holds_alternative<RunRequest>(*request));
    return std::get<RunRequest>(*request);
}

Error misuse(std::vector<std::string> words) {
    words.insert(words.begin(), "run");
    const auto request = read_command_line(words);
    REQUIRE_FALSE(request);
    return request.error();
}

std::string text_of(const std::vector<std::string>& words) {
    const auto request = read_command_line(words);
    REQUIRE(request);
    REQUIRE(std::holds_alternative<TextRequest>(*request));
    return std::get<TextRequest>(*request).text;
}

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("options stop at COMMAND, and what follows is COMMAND's") {
    const std::vector<std::pair<Words, Words>> table = {
        {{"echo", "x"}, {"echo", "x"}},
        {{"--", "echo", "x"}, {"echo", "x"}},
        {{"echo", "--", "x"}, {"echo", "--", "x"}},
        {{"--", "--", "x"}, {"--", "x"}},
        {{"--quiet", "echo", "--quiet", "--help", "-h", "--no-such"}, {"echo", "--quiet", "--help", "-h", "--no-such"}},
        {{"--time-limit", "1", "echo", "--time-limit"}, {"echo", "--time-limit"}},
        {{"--time-limit=1", "--", "--weird-name"}, {"--weird-name"}},
        {{"-", "x"}, {"-", "x"}},
        {{"", "x"}, {"", "x"}},
        {{"--result=--", "true"}, {"true"}},
        {{"--quiet", "--"}, {}},
        {{"--quiet"}, {}},
        {{}, {}},
    };
    for (const auto& [words, command] : table) {
        CHECK(run_request(words).job.argv == command);
    }
}

TEST_CASE("both forms of an option's value mean the same") {
    for (const Words& words : {Words{"--time-limit", "200ms", "--result", "r.json", "--env", "A=b=c", "--", "true"},
                               Words{"--time-limit=200ms", "--result=r.json", "--env=A=b=c", "true"}}) {
        const RunRequest request = run_request(words);
        CHECK(request.job.limits.time->count() == (200ms / 1ns));
        CHECK(request.result_path == "r.json");
        REQUIRE(request.job.environment.set.size() == 1);
        CHECK(request.job.environment.set[0] == std::pair("A"s, "b=c"s));
        CHECK(request.job.argv == Words{"true"});
    }
}

TEST_CASE("each option lands in the job") {
    const RunRequest request = run_request({"--stdin",
                                            "in.txt",
                                            "--stdout-lines",
                                            "1",
                                            "--stdout-bytes",
                                            "2k",
                                            "--stderr-lines",
                                            "3",
                                            "--stderr-bytes",
                                            "4KiB",
                                            "--cwd",
                                            "/tmp",
                                            "--env",
                                            "A=1",
                                            "--env",
                                            "B=",
                                            "--clear-env",
                                            "--kill-after",
                                            "2",
                                            "--drain-grace",
                                            "1ms",
                                            "--user",
                                            "7:8",
                                            "--placement",
                                            "slot:3",
                                            "--file-size",
                                            "1M",
                                            "--open-files",
                                            "64",
                                            "--stack",
                                            "1GiB",
                                            "--allow-new-privileges",
                                            "prog",
                                            "arg"});
    const proctor::Job& job = request.job;
    CHECK(job.input.source() == proctor::Input::Source::file);
    CHECK(job.input.value() == "in.txt");
    CHECK(job.capture.limits.max_stdout_lines == 1);
    CHECK(job.capture.limits.max_stdout_bytes == 2000);
    CHECK(job.capture.limits.max_stderr_lines == 3);
    CHECK(job.capture.limits.max_stderr_bytes == 4096);
    CHECK(job.cwd == "/tmp");
    CHECK_FALSE(job.environment.inherit);
    REQUIRE(job.environment.set.size() == 2);
    CHECK(job.environment.set[1] == std::pair("B"s, ""s));
    CHECK(job.kill_after->count() == (2s / 1ns));
    CHECK(job.drain_grace.count() == (1ms / 1ns));
    REQUIRE(job.user);
    CHECK(job.user->uid == 7);
    CHECK(job.user->gid == 8U);
    CHECK(job.placement == proctor::Placement::slot(3));
    CHECK(job.resource_limits.file_size == 1'000'000);
    CHECK(job.resource_limits.open_files == 64);
    CHECK(job.resource_limits.stack == proctor::Bytes{1} << 30);
    CHECK(job.allow_new_privileges);
    CHECK(job.argv == Words{"prog", "arg"});
    CHECK_FALSE(request.quiet);
    CHECK_FALSE(request.result_path);
}

TEST_CASE("without options the job is the library's default") {
    const RunRequest request = run_request({"true"});
    CHECK(request.job.input.source() == proctor::Input::Source::empty);
    CHECK_FALSE(request.job.limits.time);
    CHECK_FALSE(request.job.kill_after);
    CHECK_FALSE(request.job.capture.limits.max_stdout_bytes);
    CHECK(request.job.environment.inherit);
    CHECK(request.job.drain_grace.count() == (100ms / 1ns));
    CHECK_FALSE(request.job.user);
    CHECK_FALSE(request.job.allow_new_privileges);
    CHECK(request.job.shell.empty());
}

TEST_CASE("input can be paced") {
    CHECK_FALSE(run_request({"true"}).job.input_delay.has_value());
    const RunRequest request =
        run_request({"--stdin", "f", "--input-delay", "50ms", "--input-pacing", "quiet", "true"});
    CHECK(request.job.input_delay == 50ms);
    CHECK(request.job.input_pacing == proctor::Pacing::quiet);
    CHECK(run_request({"--stdin", "f", "--input-delay=1", "--input-pacing=fixed", "true"}).job.input_pacing ==
          proctor::Pacing::fixed);
}

TEST_CASE("a dash is proctor's own stream") {
    CHECK(run_request({"--stdin", "-", "true"}).job.input.source() == proctor::Input::Source::descriptor);
    CHECK(run_request({"--stdin=-", "true"}).job.input.descriptor() == 0);
    const RunRequest request = run_request({"--result", "-", "true"});
    CHECK(request.result_path == "-");
    CHECK(request.quiet);
}

TEST_CASE("an option that is given twice counts by its last value") {
    CHECK(run_request({"--time-limit", "1", "--time-limit", "2", "true"}).job.limits.time->count() == (2s / 1ns));
}

TEST_CASE("values keep their odd characters") {
    const RunRequest request = run_request({"--env=A=[1,2]", "--env", "B=\"q\" 'q' {} %%", "--cwd=[a,b]", "true"});
    REQUIRE(request.job.environment.set.size() == 2);
    CHECK(request.job.environment.set[0].second == "[1,2]");
    CHECK(request.job.environment.set[1].second == "\"q\" 'q' {} %%");
    CHECK(request.job.cwd == "[a,b]");
    CHECK(*run_request({"--result=[x]", "true"}).result_path == "[x]");
}

TEST_CASE("with --shell the first word is the text and the others its arguments") {
    const RunRequest request = run_request({"--shell", "echo $1", "a", "b"});
    CHECK(request.job.shell == "echo $1");
    CHECK(request.job.argv == Words{"a", "b"});
    CHECK(misuse({"--shell", ""}).message.find("empty") != std::string::npos);
    CHECK(run_request({"--shell"}).job.shell.empty());
}

TEST_CASE("misuse is told, with what would be right") {
    struct Row {
        Words words;
        const char* message;
        const char* cure;
    };
    const std::vector<Row> table = {
        {{"--time-limit=", "true"}, "--time-limit: its value is missing", "--time-limit VALUE"},
        {{"--time-limit", "", "true"}, "--time-limit: its value is missing", "--time-limit VALUE"},
        {{"--result=", "--", "true"}, "--result: its value is missing", "--result VALUE"},
        {{"--result", "--", "true"}, "--result: its value is missing", "--result=VALUE if the value begins with --"},
        {{"--stdin", "--quiet", "true"}, "--stdin: its value is missing", "--stdin=VALUE"},
        {{"--input-delay", "0", "true"}, "--input-delay: '0' is zero", "input that is not paced"},
        {{"--input-delay", "1", "true"}, "--input-delay does nothing here", "--stdin or --replay-input"},
        {{"--stdin", "f", "--input-pacing", "quiet", "true"}, "--input-pacing does nothing here", "--input-delay"},
        {{"--capture-precision", "3", "true"}, "--capture-precision does nothing here", "--capture"},
        {{"--end-at-output-limit", "true"}, "--end-at-output-limit does nothing here", "--stdout-bytes"},
        {{"--input-pacing", "slow", "true"}, "--input-pacing: 'slow' is not a pacing", "write fixed or quiet"},
        {{"--cwd"}, "--cwd: its value is missing", "--cwd VALUE"},
        {{"--env=", "true"}, "--env: its value is missing", "--env VALUE"},
        {{"--quiet=yes", "true"}, "--quiet: it takes no value", "write --quiet alone"},
        {{"--quiet=", "true"}, "--quiet: it takes no value", "write --quiet alone"},
        {{"--help=x", "true"}, "--help: it takes no value", "write --help alone"},
        {{"--timelimit", "1", "true"}, "--timelimit: there is no such option", "did you mean --time-limit?"},
        {{"--time_limit=1", "true"}, "--time_limit: there is no such option", "did you mean --time-limit?"},
        {{"-quiet", "true"}, "-quiet: there is no such option", "did you mean --quiet?"},
        {{"--qiet", "true"}, "--qiet: there is no such option", "did you mean --quiet?"},
        {{"--no-such-thing", "true"}, "--no-such-thing: there is no such option", "proctor run --help"},
        {{"-x", "true"}, "-x: there is no such option", "-- before it"},
        {{"---", "true"}, "---: there is no such option", "proctor run --help"},
        {{"--=1", "true"}, "--: there is no such option", "proctor run --help"},
        {{"-=1", "true"}, "-: there is no such option", "proctor run --help"},
        {{"--time", "1", "true"}, "--time: there is no such option", "proctor run --help"},
        {{"--time-limit", "soon", "true"}, "--time-limit: 'soon' is not a duration", "1.5"},
        {{"--time-limit", "-1", "true"}, "--time-limit: '-1' is negative", "1.5"},
        {{"--kill-after=1x", "true"}, "--kill-after: '1x' is not a duration", "1.5"},
        {{"--stdout-bytes=1Q", "true"}, "--stdout-bytes: '1Q' is not a size", "KiB"},
        {{"--stderr-lines=1.5", "true"}, "--stderr-lines: '1.5' is not a whole number", "whole number"},
        {{"--process-limit=3000000000", "true"}, "--process-limit: '3000000000' is too large", "1 to 2147483647"},
        {{"--task-limit=99999999999999999999", "true"},
         "--task-limit: '99999999999999999999' is too large",
         "1 to 2147483647"},
        {{"--env", "A", "true"}, "--env: 'A' is not a variable with its value", "NAME=VALUE"},
        {{"--placement=slot:x", "true"}, "--placement: 'slot:x' is not a placement", "slot:N"},
        {{"--user", "root", "true"}, "--user: 'root' is not a user", "id -u"},
        {{"--time-limit=1", "--time-limit=x", "true"}, "--time-limit: 'x' is not a duration", "1.5"},
    };
    for (const Row& row : table) {
        const Error error = misuse(row.words);
        INFO(error.message, " — ", error.cure);
        CHECK(error.message == row.message);
        CHECK(error.cure.find(row.cure) != std::string::npos);
    }
}

TEST_CASE("the first word has to be run, --help or --version") {
    CHECK(text_of({"--version"}) == "proctor " PROCTOR_VERSION "\n");
    CHECK(text_of({"--help"}).find("Usage: proctor run [options] [--] COMMAND [ARG...]") != std::string::npos);
    CHECK(text_of({"-h"}) == text_of({"--help"}));
    for (const Words& words : {Words{}, Words{""}, Words{"rum"}, Words{"--verbose"}, Words{"--", "run"}}) {
        const auto request = read_command_line(words);
        REQUIRE_FALSE(request);
        CHECK(request.error().cure.find("proctor run [options]") != std::string::npos);
    }
}

TEST_CASE("the help names every option, fits a screen's width, and ends with examples") {
    const std::string help = text_of({"run", "--help"});
    CHECK(text_of({"run", "--quiet", "-h", "true"}) == help);
    for (const char* option : {"--time-limit D",
                               "--cpu-limit D",
                               "--block-limit D",
                               "--memory-limit SIZE",
                               "--process-limit N",
                               "--task-limit N",
                               "--require LIST",
                               "--containment KIND",
                               "--cgroup DIR",
                               "--stdin FILE",
                               "--stdout-lines N",
                               "--stdout-bytes SIZE",
                               "--stderr-lines N",
                               "--stderr-bytes SIZE",
                               "--result FILE",
                               "--quiet",
                               "--cwd DIR",
                               "--env NAME=VALUE",
                               "--clear-env",
                               "--kill-after D",
                               "--drain-grace D",
                               "--shell",
                               "--user UID[:GID]",
                               "--file-size SIZE",
                               "--open-files N",
                               "--stack SIZE",
                               "--allow-new-privileges",
                               "--order ORDER",
                               "--placement WHERE",
                               "-h,--help",
                               "--input-delay D",
                               "--input-pacing HOW",
                               "--end-at-output-limit",
                               "--replay-input CAPTURE"}) {
        INFO(option);
        CHECK(help.find("\n  "s + option + " ") != std::string::npos);
    }
    std::size_t begin = 0;
    std::size_t lines = 0;
    for (std::size_t end = 0; (end = help.find('\n', begin)) != std::string::npos; begin = end + 1, ++lines) {
        std::size_t columns = 0;
        for (const char byte : help.substr(begin, end - begin)) {
            columns += (byte & 0xc0) == 0x80 ? 0 : 1;
        }
        INFO(help.substr(begin, end - begin));
        CHECK(columns <= 80);
    }
    CHECK(begin == help.size());
    CHECK(lines <= 100);
    const std::string examples = help.substr(help.find("\nExamples:\n"));
    CHECK(examples.find("proctor run --time-limit 2 -- ./solution") != std::string::npos);
}

TEST_CASE("exit status: 124 if and only if there is a reason") {
    proctor::RunResult result;
    result.outcome = proctor::Outcome::fail;
    result.signal = 9;
    result.returncode = -9;
    CHECK(exit_status(result, std::nullopt) == 137);
    CHECK(exit_status(result, 2) == 130);
    result.reason = proctor::Reason::time_limit;
    CHECK(exit_status(result, std::nullopt) == 124);
    CHECK(exit_status(result, 2) == 124);

    result = {};
    result.outcome = proctor::Outcome::fail;
    result.exit_code = 124;
    CHECK(exit_status(result, std::nullopt) == 124);  // COMMAND's own; the result tells them apart
    result.exit_code = 3;
    CHECK(exit_status(result, std::nullopt) == 3);
    result.exit_code = 0;
    CHECK(exit_status(result, std::nullopt) == 0);
    CHECK(exit_status(result, 15) == 143);
}

TEST_CASE("exit status of what proctor could not do") {
    struct Row {
        Stage stage;
        int error_number;
        bool program_found;
        int status;
    };
    const std::vector<Row> table = {
        {Stage::exec, ENOENT, false, 127}, {Stage::exec, ENOTDIR, true, 127}, {Stage::exec, ENOENT, true, 126},
        {Stage::exec, EACCES, true, 126},  {Stage::exec, ENOEXEC, true, 126}, {Stage::exec, EISDIR, true, 126},
        {Stage::exec, ETXTBSY, true, 126}, {Stage::exec, ELOOP, true, 126},   {Stage::exec, E2BIG, true, 125},
        {Stage::exec, ENOMEM, true, 125},  {Stage::chdir, ENOENT, true, 125}, {Stage::chdir, EACCES, true, 125},
        {Stage::setup, EINVAL, true, 125}, {Stage::io, ENOENT, true, 125},    {Stage::spawn, EAGAIN, true, 125},
        {Stage::cancelled, 0, true, 125},  {Stage::wait, ECHILD, true, 125},
    };
    for (const Row& row : table) {
        proctor::RunResult result;
        result.error = Error{row.stage, row.error_number, "m", "c", row.program_found};
        INFO(proctor::to_string(row.stage), " ", row.error_number);
        CHECK(exit_status(result, std::nullopt) == row.status);
    }
}

TEST_CASE("every ending but success and SIGPIPE has something to tell") {
    proctor::RunResult result;
    result.outcome = proctor::Outcome::pass;
    result.exit_code = 0;
    CHECK(describe_ending(result, std::nullopt).empty());
    result.outcome = proctor::Outcome::fail;
    result.exit_code = 3;
    CHECK(describe_ending(result, std::nullopt).find("status 3") != std::string::npos);
    result.exit_code.reset();
    result.signal = 11;
    CHECK(describe_ending(result, std::nullopt).find("signal 11 (Segmentation fault)") != std::string::npos);
    result.signal = 13;
    CHECK(describe_ending(result, std::nullopt).empty());
    result.signal = 15;
    CHECK(describe_ending(result, std::nullopt).find("signal 15") != std::string::npos);
    result.signal = 9;
    CHECK(describe_ending(result, std::nullopt).find("out of memory") != std::string::npos);
    result.reason = proctor::Reason::time_limit;
    result.usage =
        proctor::Usage{.wctime = 2001ms, .utime = 1s, .stime = 500ms, .mem = 9999, .proc = 7, .mem_anon = 4096};
    result.blocked_in = "1 process reading stdin";
    proctor::cli::GivenLimits given{.limits = {.processes = 5}};
    const auto ends = [&](proctor::Reason reason, std::string_view text) {
        result.reason = reason;
        CHECK(describe_ending(result, std::nullopt, given).starts_with(text));
    };
    ends(proctor::Reason::time_limit, "Time limit exceeded: COMMAND was ended by --time-limit, after 2.001 s — ");
    ends(proctor::Reason::cpu_limit,
         "CPU time limit exceeded: COMMAND was ended by --cpu-limit, after 1.500 s of processor time — ");
    ends(proctor::Reason::block_limit,
         "Blocked or deadlocked: COMMAND was ended by --block-limit (1 process reading stdin) — ");
    ends(proctor::Reason::memory_limit,
         "Memory usage limit exceeded: COMMAND was ended by --memory-limit, at 4096 bytes — ");
    ends(proctor::Reason::process_limit,
         "Too many processes started: COMMAND was ended by --process-limit, with 7 processes at once — ");
    given.limits.tasks = 6;
    ends(proctor::Reason::process_limit,
         "Too many processes started: COMMAND was ended by --process-limit or --task-limit — ");
    given.limits.processes.reset();
    ends(proctor::Reason::process_limit, "Too many processes started: COMMAND was ended by --task-limit — ");
    result.sources.mem = "memory.peak";
    ends(proctor::Reason::memory_limit,
         "Memory usage limit exceeded: COMMAND was ended by --memory-limit, at 9999 bytes — ");
    result.reason.reset();
    given.resources = {.file_size = 10, .stack = 20};
    result.signal = SIGSEGV;
    CHECK(describe_ending(result, std::nullopt, given).find("--stack") != std::string::npos);
    CHECK(describe_ending(result, std::nullopt).find("--stack") == std::string::npos);
    result.signal = SIGXFSZ;
    CHECK(describe_ending(result, std::nullopt, given).find("raise --file-size") != std::string::npos);
    CHECK(describe_ending(result, std::nullopt).find("ulimit -f") != std::string::npos);
    CHECK(describe_ending(result, 2).find("signal 2 (Interrupt)") != std::string::npos);
    result.signal.reset();
    CHECK(describe_ending(result, std::nullopt, given).empty());
    result.limit_in_grace = proctor::Reason::cpu_limit;
    CHECK(describe_ending(result, std::nullopt, given) ==
          "what COMMAND left behind was ended by --cpu-limit, and COMMAND has passed");
}
