// SPDX-License-Identifier: MIT
//
// Reactors on several threads at once know nothing of each other: each thread has one of its own, and all of its jobs
// come out right. Built with ThreadSanitizer it also shows that they share nothing that they should not.
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support.hpp"

using namespace std::chrono_literals;
using namespace proctor;
using support::script;

namespace {

constexpr int thread_count = 4;
constexpr int jobs_each = 50;

#if defined(__SANITIZE_THREAD__)
constexpr bool thread_sanitizer = true;
#elif defined(__has_feature)
constexpr bool thread_sanitizer = __has_feature(thread_sanitizer);
#else
constexpr bool thread_sanitizer = false;
#endif

// doctest's own checks are slow on many threads, so each thread only notes what is wrong.
using Wrong = std::vector<std::string>;

void note(Wrong& wrong, const RunResult& result, bool right, const char* kind) {
    if (!right) wrong.push_back(std::string(kind) + ": " + support::describe(result));
}

void submit_printing(Reactor& reactor, Wrong& wrong, int i) {
    const std::string text(static_cast<std::size_t>(i + 1), 'o');
    reactor.submit(script("print " + text + " then exit " + std::to_string(i % 3)),
                   [&wrong, text, i](const RunResult& result) {
                       note(wrong, result, result.returncode == i % 3 && result.capture.text(STDOUT) == text, "print");
                   });
}

void submit_copying(Reactor& reactor, Wrong& wrong, int i) {
    const std::string text = support::pattern(static_cast<std::size_t>(i) * 1'000);
    Job job = script("copy 0 1");
    job.input = Input::text(text);
    reactor.submit(std::move(job), [&wrong, text](const RunResult& result) {
        note(wrong, result, result.passed() && result.capture.text(STDOUT) == text, "copy");
    });
}

void submit_spooling(Reactor& reactor, Wrong& wrong, int) {
    constexpr std::size_t size = 600'000;
    Job job = script("fill 1 " + std::to_string(size));
    job.capture.max_size = 1'000;
    reactor.submit(std::move(job), [&wrong](const RunResult& result) {
        note(wrong, result, result.passed() && result.capture.text(STDOUT) == support::pattern(size), "spool");
    });
}

void submit_too_slow(Reactor& reactor, Wrong& wrong, int) {
    Job job = script("pause");
    job.limits.time = 20ms;
    reactor.submit(std::move(job), [&wrong](const RunResult& result) {
        note(wrong, result, result.reason == Reason::time_limit, "time limit");
    });
}

void submit_missing(Reactor& reactor, Wrong& wrong, int) {
    reactor.submit({.argv = {"/no/such/program"}}, [&wrong](const RunResult& result) {
        note(wrong, result, result.outcome == Outcome::error && result.error->error_number == ENOENT, "no program");
    });
}

void submit_leaving_others(Reactor& reactor, Wrong& wrong, int) {
    reactor.submit(script("fork [ ready then pause ] then print gone"), [&wrong](const RunResult& result) {
        note(wrong, result, result.passed() && result.capture.text(STDOUT) == "gone", "left behind");
    });
}

void submit_cancelled(Reactor& reactor, Wrong& wrong, int) {
    const JobHandle handle = reactor.submit(script("pause"), [&wrong](const RunResult& result) {
        note(wrong, result, result.error && result.error->stage == Stage::cancelled, "cancel");
    });
    handle.cancel();
}

// On a thread of its own, from the reactor's making to its end.
Wrong run_jobs(const ReactorOptions& options) {
    Wrong wrong;
    auto reactor = Reactor::create(options);
    if (!reactor) {
        wrong.push_back(reactor.error().message);
        return wrong;
    }
    constexpr void (*kinds[])(Reactor&, Wrong&, int) = {submit_printing,      submit_copying, submit_spooling,
                                                        submit_too_slow,      submit_missing, submit_cancelled,
                                                        submit_leaving_others};
    for (int i = 0; i < jobs_each; ++i) {
        kinds[static_cast<std::size_t>(i) % std::size(kinds)](*reactor, wrong, i);
    }
    if (const auto run = reactor->run(); !run) wrong.push_back(run.error().message);
    return wrong;
}

void check_threads(EngineChoice engine, Containment containment) {
    ReactorOptions options{.max_running = 8, .engine = engine, .containment = containment};
    // ThreadSanitizer keeps a shadow of a thread's stack and does not expect another process to go on in it.
    options.suspend_while_starting = thread_sanitizer;
    std::vector<Wrong> wrong(thread_count);
    std::vector<std::thread> threads;
    for (Wrong& own : wrong) {
        threads.emplace_back([&own, &options] { own = run_jobs(options); });
    }
    for (std::thread& thread : threads) thread.join();
    for (const Wrong& own : wrong) {
        for (const std::string& text : own) FAIL_CHECK(text);
    }
}

}  // namespace

TEST_CASE("four threads, each with a reactor of its own, run all jobs rightly on io_uring") {
    const auto possible = Reactor::create({.engine = EngineChoice::io_uring});
    if (!possible) {
        support::skip("io_uring: " + possible.error().message);
        return;
    }
    for (const Containment containment : support::containments()) {
        CAPTURE(support::name_of(containment));
        check_threads(EngineChoice::io_uring, containment);
    }
}

TEST_CASE("four threads, each with a reactor of its own, run all jobs rightly on epoll") {
    for (const Containment containment : support::containments()) {
        CAPTURE(support::name_of(containment));
        check_threads(EngineChoice::poll, containment);
    }
}

TEST_CASE("threads with different engines do not disturb each other") {
    Wrong on_poll;
    Wrong by_itself;
    const auto run = [](Wrong& wrong, EngineChoice engine) {
        wrong = run_jobs({.suspend_while_starting = thread_sanitizer, .engine = engine});
    };
    std::thread first(run, std::ref(on_poll), EngineChoice::poll);
    std::thread second(run, std::ref(by_itself), EngineChoice::automatic);
    first.join();
    second.join();
    for (const std::string& text : on_poll) FAIL_CHECK(text);
    for (const std::string& text : by_itself) FAIL_CHECK(text);
}
