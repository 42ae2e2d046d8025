// SPDX-License-Identifier: MIT
//
// Compiles and grades every submission to every problem in a directory: one thread, one reactor, at most N programs at
// once. See problem.hpp for what is in the directory.
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <iomanip>
#include <iostream>
#include <thread>

#include <proctor/proctor.hpp>

#include "problem.hpp"

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using namespace proctor::literals;

// OK, wrong answer, time limit, run-time error, signal, compile error; and ERR, which is the judge's failure.
struct Verdict {
    std::string word;
    std::string why{};
};

struct Submission {
    const Problem& problem;
    fs::path source;
    std::string expected;             // empty if its name does not tell
    std::vector<Verdict> verdicts{};  // one for each test, or the compiler's alone
    std::chrono::nanoseconds slowest{};
};

Verdict judge_failure(const proctor::Error& error) {
    std::ostringstream text;
    text << error;  // the stage, what happened, and what to do about it
    return {"ERR", text.str()};
}

Verdict judge_compiler(const proctor::RunResult& run) {
    if (run.error) return judge_failure(*run.error);
    if (run.reason) return {"CE", std::string(verbose_reason(*run.reason))};
    if (run.passed()) return {"OK"};
    const std::string messages = run.capture.text(proctor::STDERR);
    const std::size_t first = std::min(messages.find("error: "), messages.size());
    return {"CE", messages.substr(first, messages.find('\n', first) - first)};
}

Verdict judge(const proctor::RunResult& run, const Test& test) {
    const std::string where = "test " + test.name + ": ";
    if (run.error) return judge_failure(*run.error);
    if (run.reason) return {"TLE", where + std::string(verbose_reason(*run.reason))};
    if (run.signal) return {"SIG", where + strsignal(*run.signal)};
    if (run.exit_code != 0) return {"RE", where + "exit status " + std::to_string(*run.exit_code)};
    if (run.capture.truncated(proctor::STDOUT)) return {"WA", where + "printed too much"};
    if (!same_words(run.capture.text(proctor::STDOUT), test.answer)) return {"WA", where + "printed something else"};
    return {"OK"};
}

void run_tests(proctor::Reactor& reactor, Submission& submission, const std::vector<std::string>& command) {
    const Problem& problem = submission.problem;
    submission.verdicts.assign(problem.tests.size(), {"ERR", "was not run to its end"});
    const auto limit = problem.time_limit;
    for (std::size_t i = 0; i < problem.tests.size(); ++i) {
        const Test& test = problem.tests[i];
        reactor.submit({.argv = command,
                        .input = problem.held_open ? proctor::Input::held_open() : proctor::Input::file(test.input),
                        .error_output = proctor::Output::null(),
                        .limits = {.time = 4 * limit, .cpu_time = limit, .block = limit},
                        .capture = {.input = false, .limits = {.max_stdout_bytes = 64_KiB}}},
                       [&submission, &test, i](const proctor::RunResult& run) {
                           submission.verdicts[i] = judge(run, test);
                           if (run.usage) submission.slowest = std::max(submission.slowest, run.usage->wctime);
                       });
    }
}

void compile_and_run_tests(proctor::Reactor& reactor, Submission& submission, const fs::path& program) {
    reactor.submit({.argv = {"g++", "-std=c++20", "-O2", "-o", program, submission.source},
                    .environment = {.set = {{"TMPDIR", program.parent_path()}}},
                    .limits = {.time = 60s},
                    .capture = {.limits = {.max_stderr_bytes = 64_KiB}}},
                   [&reactor, &submission, program](const proctor::RunResult& run) {
                       submission.verdicts = {judge_compiler(run)};
                       if (run.passed()) run_tests(reactor, submission, {program});
                   });
}

void grade(proctor::Reactor& reactor, Submission& submission, const fs::path& program) {
    const fs::path kind = submission.source.extension();
    if (kind == ".cpp") return compile_and_run_tests(reactor, submission, program);
    if (kind == ".py") return run_tests(reactor, submission, {"python3", submission.source});
    if (kind == ".sh") return run_tests(reactor, submission, {"sh", submission.source});
    run_tests(reactor, submission, {submission.source});  // has to know itself what runs it
}

// Returns whether every submission got the verdict that it was written to get.
bool print_table(const std::deque<Submission>& submissions) {
    std::size_t surprises = 0;
    const Problem* problem = nullptr;
    std::cout << std::left << std::fixed << std::setprecision(3);
    for (const Submission& submission : submissions) {
        if (problem != &submission.problem) {
            problem = &submission.problem;
            std::cout << '\n' << std::setw(30) << problem->name << "expected  got  tests  slowest  why\n";
        }
        Verdict verdict{"OK"};
        std::size_t passed = 0;
        for (const Verdict& each : submission.verdicts) {
            if (verdict.word == "OK") verdict = each;  // the first test that went wrong decides
            if (each.word == "OK") ++passed;
        }
        const bool surprise = !submission.expected.empty() && submission.expected != verdict.word;
        if (surprise) ++surprises;
        std::cout << std::setw(30) << submission.source.filename().string() << std::setw(10) << submission.expected
                  << std::setw(5) << verdict.word << std::setw(7)
                  << std::to_string(passed) + "/" + std::to_string(problem->tests.size())
                  << std::chrono::duration<double>(submission.slowest).count() << " s  " << verdict.why
                  << (surprise ? "  <-- NOT EXPECTED\n" : "\n");
    }
    std::cout << '\n' << surprises << " unexpected verdicts\n";
    return surprises == 0;
}

volatile std::sig_atomic_t interrupted = 0;

int grade_all(const fs::path& directory, unsigned programs_at_once, const fs::path& build) {
    std::deque<Problem> problems;  // in deques nothing moves, and handlers refer to what is in them
    std::deque<Submission> submissions;
    auto reactor = proctor::Reactor::create({.max_running = programs_at_once});
    if (!reactor) {
        std::cerr << "grader: " << reactor.error() << '\n';
        return 2;
    }

    for (const fs::path& entry : sorted_entries(directory)) {
        if (!fs::exists(entry / "problem.txt")) continue;
        const Problem& problem = problems.emplace_back(read_problem(entry));
        for (const fs::path& source : sorted_entries(entry / "submissions")) {
            const std::string expected = source.stem().extension().string().erase(0, 1);
            submissions.push_back({.problem = problem, .source = source, .expected = expected});
            grade(*reactor, submissions.back(), build / std::to_string(submissions.size()));
        }
    }

    std::cout << submissions.size() << " submissions, " << programs_at_once << " programs at once" << std::endl;
    std::signal(SIGINT, [](int) { interrupted = 1; });
    while (reactor->size() > 0 && interrupted == 0) reactor->run_once(100ms);
    if (interrupted != 0) return 130;  // the reactor's destructor ends what still runs
    return print_table(submissions) ? 0 : 1;
}

int main(int argc, char** argv) {
    std::vector<std::string> words(argv + 1, argv + argc);
    unsigned programs_at_once = std::max(1U, std::thread::hardware_concurrency());
    if (words.size() > 1 && words[0] == "-j") {
        programs_at_once = static_cast<unsigned>(std::atoi(words[1].c_str()));
        words.erase(words.begin(), words.begin() + 2);
    }
    if (words.size() != 1 || words[0].starts_with("-")) {
        std::cerr << "Usage: grader [-j PROGRAMS_AT_ONCE] PROBLEMS_DIR\n";
        return 2;
    }

    std::string build = (fs::temp_directory_path() / "grader-XXXXXX").string();
    if (mkdtemp(build.data()) == nullptr) {
        std::cerr << "grader: cannot make " << build << ": " << std::strerror(errno) << '\n';
        return 2;
    }
    int status = 2;
    try {
        status = grade_all(words[0], programs_at_once, build);
    } catch (const std::exception& failure) {
        std::cerr << "grader: " << failure.what() << '\n';
    }
    fs::remove_all(build);
    return status;
}
