// SPDX-License-Identifier: MIT
//
// The kinds of jobs that meet a limit or are cancelled, pairs, and processes that somebody else has started.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "soak_checks.hpp"
#include "soak_jobs.hpp"

namespace soak {

using namespace proctor::literals;

namespace {

// The helper, started by the host itself. It waits for a byte.
struct Stranger {
    Stranger(const std::string& child, int status) {
        std::array<int, 2> ends{-1, -1};
        if (pipe2(ends.data(), O_CLOEXEC) != 0) return;
        std::vector<std::string> words = {child, "await-byte", "0", "then", "exit", std::to_string(status)};
        std::vector<char*> argv;
        argv.reserve(words.size() + 1);
        for (std::string& word : words) argv.push_back(word.data());
        argv.push_back(nullptr);
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, ends[0], 0);
        if (posix_spawn(&pid, child.c_str(), &actions, nullptr, argv.data(), environ) != 0) pid = -1;
        posix_spawn_file_actions_destroy(&actions);
        close(ends[0]);
        wake = ends[1];
    }
    Stranger(const Stranger&) = delete;
    Stranger& operator=(const Stranger&) = delete;
    ~Stranger() {
        if (wake >= 0) close(wake);
        if (pid > 0) reap();
    }
    int reap() {
        int status = -1;
        while (waitpid(std::exchange(pid, -1), &status, 0) < 0 && errno == EINTR) {
        }
        return status;
    }
    pid_t pid = -1;
    int wake = -1;
};

}  // namespace

// --- Those that meet a limit

void Jobs::time_limit() {
    const auto limit = random_.millis(1, 100);
    Job job = script(random_.one_in(2) ? "pause" : "fork [ ready then pause ] then pause");
    job.limits.time = limit;
    const bool gently = random_.one_in(3);
    if (gently) job.kill_after = 200ms;
    const auto witness = std::make_shared<Witness>(job);
    start(std::move(job), [=](const RunResult& result) -> std::string {
        SOAK_CHECK(result.signal == SIGKILL || (gently && result.signal == SIGTERM));
        SOAK_CHECK(result.usage && result.usage->wctime >= limit);
        SOAK_CHECK(witness->all_gone());
        return check_limit(result, Reason::time_limit);
    });
}

void Jobs::cpu_limit() {
    const auto limit = random_.millis(2, 40);
    Job job = script("spin");
    job.limits.cpu_time = limit;
    start(std::move(job), [=](const RunResult& result) -> std::string {
        SOAK_CHECK(result.usage && result.usage->utime + result.usage->stime >= limit);
        return check_limit(result, Reason::cpu_limit);
    });
}

void Jobs::block_limit() {
    Job job = script("print x then pause");
    job.limits.block = random_.millis(10, 50);
    start(std::move(job), [=](const RunResult& result) { return check_limit(result, Reason::block_limit); });
}

void Jobs::memory_limit() {
    Job job = script("touch-memory 33554432 then pause");
    job.limits.memory = 16_MiB;
    start(std::move(job), [=](const RunResult& result) { return check_limit(result, Reason::memory_limit); });
}

void Jobs::process_limit() {
    Job job = script("multiply 3");
    job.limits.processes = random_.between(2, 8);
    const auto witness = std::make_shared<Witness>(job);
    start(std::move(job), [=](const RunResult& result) -> std::string {
        SOAK_CHECK(witness->all_gone());
        return check_limit(result, Reason::process_limit);
    });
}

void Jobs::output_limit() {
    const std::size_t limit = random_.below(100'000);
    const bool errors = random_.one_in(2);
    const Stream stream = errors ? STDERR : STDOUT;
    Job job = script("fill " + std::to_string(stream) + " " + text(limit + 1 + random_.below(500'000)) + " then pause");
    (errors ? job.capture.limits.max_stderr_bytes : job.capture.limits.max_stdout_bytes) = limit;
    job.capture.limit_ends_run = true;
    start(std::move(job), [=](const RunResult& result) -> std::string {
        SOAK_CHECK(is_filled(result, stream, limit));
        SOAK_CHECK(result.output_limit && result.output_limit->stream == stream);
        SOAK_CHECK(static_cast<std::size_t>(result.output_limit->offset) == limit);
        return check_limit(result, Reason::output_limit);
    });
}

void Jobs::output_cut() {
    const std::size_t limit = random_.below(100'000);
    const std::size_t size = limit + 1 + random_.below(300'000);
    Job job = script("fill 1 " + text(size));
    job.capture.limits.max_stdout_bytes = limit;
    start(std::move(job), [=](const RunResult& result) -> std::string {
        const proctor::StreamTotals totals = result.capture.totals(STDOUT);
        SOAK_CHECK(is_filled(result, STDOUT, limit));
        SOAK_CHECK(totals.truncated && static_cast<std::size_t>(totals.total_bytes) == size);
        return check_exit(result, 0);
    });
}

// --- Those that never run, or not to their end

void Jobs::not_found() {
    start({.argv = {"/nonexistent/program"}}, [](const RunResult& result) -> std::string {
        SOAK_CHECK(result.outcome == Outcome::error && !result.returncode);
        SOAK_CHECK(result.error && result.error->stage == Stage::exec);
        return {};
    });
}

void Jobs::refused() {
    Job job = script("pause");
    job.limits.time = -1s;
    start(std::move(job), [](const RunResult& result) -> std::string {
        SOAK_CHECK(result.outcome == Outcome::error && !result.returncode);
        SOAK_CHECK(result.error && result.error->stage == Stage::setup);
        return {};
    });
}

void Jobs::cancel() {
    static const std::vector<std::string> scripts = {"pause", "spin", "fill 1 1000000000 then pause",
                                                     "fork [ ready then pause ] then pause"};
    Job job = script(random_.choose(scripts));
    job.capture.keep = false;
    if (random_.one_in(4)) job.kill_after = 20ms;
    const auto witness = std::make_shared<Witness>(job);
    const auto handle = start(std::move(job), [=](const RunResult& result) -> std::string {
        SOAK_CHECK(witness->all_gone());
        return check_cancelled(result);
    });
    if (random_.one_in(5)) return handle.cancel();
    later(std::chrono::microseconds(random_.between(0, 30'000)), [=] { handle.cancel(); });
}

// --- Pairs and strangers

void Jobs::pair() {
    const int rounds = random_.between(1, 30);
    const bool direct = random_.one_in(3);
    std::string words;
    for (int i = 0; i < rounds; ++i) words += "ping\n";
    const auto close = [this, id = open_job(), words, direct](proctor::PairResult&& both) {
        close_job(id, both.first, [&](const RunResult& result) -> std::string {
            // All may have been cancelled when only one had ended.
            const auto& error = both.second.error;
            if (forgiving_ && error && error->stage == Stage::cancelled) return {};
            SOAK_CHECK(both.ended_first != proctor::Side::second);
            SOAK_CHECK(direct || both.dialogue.text(STDOUT) == words);
            SOAK_CHECK(direct || both.dialogue.text(STDERR) == words);
            const std::string second = check_exit(both.second, 0);
            return second.empty() ? check_exit(result, 0) : "the second: " + second;
        });
    };
    reactor_.submit_pair(script("ask " + std::to_string(rounds)), script("copy 0 1"), close,
                         direct ? proctor::Wiring::direct : proctor::Wiring::recorded);
}

void Jobs::monitor_limit() {
    const auto stranger = std::make_shared<Stranger>(places_.child, 0);
    const auto monitored = reactor_.monitor(stranger->pid, {.limits = {.time = random_.millis(1, 50)}},
                                            [this, stranger, id = open_job()](RunResult&& end) {
                                                close_job(id, end, [&](const RunResult& result) -> std::string {
                                                    const int status = stranger->reap();
                                                    SOAK_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
                                                    return check_limit(result, Reason::time_limit);
                                                });
                                            });
    if (!monitored) tally_.blame("a process cannot be watched: " + monitored.error().message);
}

void Jobs::monitor_exit() {
    const int status = random_.between(0, 90);
    const auto stranger = std::make_shared<Stranger>(places_.child, status);
    const auto monitored =
        reactor_.monitor(stranger->pid, {}, [this, status, stranger, id = open_job()](RunResult&& end) {
            close_job(id, end, [&](const RunResult& result) -> std::string {
                SOAK_CHECK(WEXITSTATUS(stranger->reap()) == status);
                return check_exit(result, status);
            });
        });
    if (!monitored) tally_.blame("a process cannot be watched: " + monitored.error().message);
    later(random_.millis(0, 20), [stranger] { (void)!write(stranger->wake, "x", 1); });
}

}  // namespace soak
