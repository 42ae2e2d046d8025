// SPDX-License-Identifier: MIT
//
// Reactors on several threads at once know nothing of each other: each thread has one of its own, and all of its jobs
// come out right. Built with ThreadSanitizer it also shows that they share nothing that they should not.
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <iterator>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support.hpp"

using namespace std::chrono_literals;
using namespace proctor;
using support::script;

namespace {

constexpr std::size_t thread_count = 4;
constexpr int jobs_each = 50;

// doctest's own checks are slow on many threads, so each thread only notes what is wrong.
struct Notes {
    int ended = 0;
    std::vector<std::string> wrong{};
};

void note(Notes& notes, const RunResult& result, bool right, const char* kind) {
    ++notes.ended;
    if (!right) notes.wrong.push_back(std::string(kind) + ": " + support::describe(result));
}

void submit_printing(Reactor& reactor, Notes& notes, int i) {
    const std::string text(static_cast<std::size_t>(i + 1), 'o');
    reactor.submit(script("print " + text + " then exit " + std::to_string(i % 3)),
                   [&notes, text, i](const RunResult& result) {
                       note(notes, result, result.returncode == i % 3 && result.capture.text(STDOUT) == text, "print");
                   });
}

void submit_copying(Reactor& reactor, Notes& notes, int i) {
    const std::string text = support::pattern(static_cast<std::size_t>(i) * 1'000);
    Job job = script("copy 0 1");
    job.input = Input::text(text);
    reactor.submit(std::move(job), [&notes, text](const RunResult& result) {
        note(notes, result, result.passed() && result.capture.text(STDOUT) == text, "copy");
    });
}

void submit_spooling(Reactor& reactor, Notes& notes, int) {
    constexpr std::size_t size = 600'000;
    Job job = script("fill 1 " + std::to_string(size));
    job.capture.max_size = 1'000;
    reactor.submit(std::move(job), [&notes](const RunResult& result) {
        note(notes, result, result.passed() && result.capture.text(STDOUT) == support::pattern(size), "spool");
    });
}

void submit_too_slow(Reactor& reactor, Notes& notes, int) {
    Job job = script("pause");
    job.limits.time = 20ms;
    reactor.submit(std::move(job), [&notes](const RunResult& result) {
        note(notes, result, result.reason == Reason::time_limit, "time limit");
    });
}

void submit_missing(Reactor& reactor, Notes& notes, int) {
    reactor.submit({.argv = {"/no/such/program"}}, [&notes](const RunResult& result) {
        note(notes, result, result.outcome == Outcome::error && result.error->error_number == ENOENT, "no program");
    });
}

void submit_leaving_others(Reactor& reactor, Notes& notes, int) {
    reactor.submit(script("fork [ ready then pause ] then print gone"), [&notes](const RunResult& result) {
        note(notes, result, result.passed() && result.capture.text(STDOUT) == "gone", "left behind");
    });
}

void submit_cancelled(Reactor& reactor, Notes& notes, int) {
    const JobHandle handle = reactor.submit(script("pause"), [&notes](const RunResult& result) {
        note(notes, result, result.error && result.error->stage == Stage::cancelled, "cancel");
    });
    handle.cancel();
}

// On a thread of its own, from the reactor's making to its end.
Notes run_jobs(ReactorOptions options) {
    Notes notes;
    // Where the tests have been moved, as into the virtual machine, it is not where the build left it.
    if (const char* const built = std::getenv("PROCTOR_KEEPER"); built != nullptr) options.keeper = built;
    auto reactor = Reactor::create(options);
    if (!reactor) {
        notes.wrong.push_back(reactor.error().message);
        return notes;
    }
    constexpr void (*kinds[])(Reactor&, Notes&, int) = {submit_printing,      submit_copying, submit_spooling,
                                                        submit_too_slow,      submit_missing, submit_cancelled,
                                                        submit_leaving_others};
    for (int i = 0; i < jobs_each; ++i) {
        kinds[static_cast<std::size_t>(i) % std::size(kinds)](*reactor, notes, i);
    }
    if (const auto run = reactor->run(); !run) notes.wrong.push_back(run.error().message);
    return notes;
}

void check(const Notes& notes) {
    CHECK(notes.ended == jobs_each);
    for (const std::string& wrong : notes.wrong) FAIL_CHECK(wrong);
}

void check_threads(const std::vector<ReactorOptions>& options) {
    std::vector<Notes> notes(options.size());
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < options.size(); ++i) {
        threads.emplace_back([&, i] { notes[i] = run_jobs(options[i]); });
    }
    for (std::thread& thread : threads) thread.join();
    for (const Notes& own : notes) check(own);
}

void check_engine(EngineChoice engine) {
    for (const Containment containment : support::containments()) {
        CAPTURE(support::name_of(containment));
        check_threads(std::vector<ReactorOptions>(thread_count,
                                                  {.max_running = 8, .engine = engine, .containment = containment}));
    }
}

}  // namespace

TEST_CASE("four threads, each with a reactor of its own, run all jobs rightly on io_uring") {
    const auto possible = Reactor::create({.engine = EngineChoice::io_uring});
    if (!possible) {
        support::skip("io_uring: " + possible.error().message);
        return;
    }
    check_engine(EngineChoice::io_uring);
}

TEST_CASE("four threads, each with a reactor of its own, run all jobs rightly on epoll") {
    check_engine(EngineChoice::poll);
}

TEST_CASE("threads with different engines do not disturb each other") {
    check_threads({{.engine = EngineChoice::poll},
                   {.engine = EngineChoice::automatic},
                   {.suspend_while_starting = true, .engine = EngineChoice::automatic}});
}
