// SPDX-License-Identifier: MIT
//
// What the kinds of jobs do, and how each has to end.
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <memory>
#include <optional>
#include <string>

#include "soak_jobs.hpp"

namespace soak {

using namespace std::chrono_literals;
using namespace proctor::literals;
using proctor::Input;
using proctor::Job;
using proctor::Outcome;
using proctor::Reason;
using proctor::RunResult;
using proctor::Stage;
using proctor::STDERR;
using proctor::STDIN;
using proctor::STDOUT;
using proctor::Stream;

namespace {

#define SOAK_CHECK(condition)                                                     \
    do {                                                                          \
        if (!(condition)) return "not true: " #condition ": " + describe(result); \
    } while (false)

std::string text(std::size_t number) { return std::to_string(number); }

// Whether the stream holds the beginning of the pattern, so much of it and whole.
bool is_filled(const RunResult& result, Stream stream, std::size_t size) {
    auto playback = result.capture.playback();
    std::size_t at = 0;
    while (const auto record = playback.next(stream)) {
        if (record->data != pattern(size).substr(std::min(at, size), record->data.size())) return false;
        at += record->data.size();
    }
    const proctor::StreamTotals totals = result.capture.totals(stream);
    return at == size && !playback.error() && static_cast<std::size_t>(totals.bytes) == size;
}

bool is_whole(const RunResult& result, Stream stream, std::size_t size) {
    const proctor::StreamTotals totals = result.capture.totals(stream);
    return is_filled(result, stream, size) && static_cast<std::size_t>(totals.total_bytes) == size && !totals.truncated;
}

std::string check_exit(const RunResult& result, int status) {
    SOAK_CHECK(!result.error);
    SOAK_CHECK(!result.reason);
    SOAK_CHECK(result.outcome == (status == 0 ? Outcome::pass : Outcome::fail));
    SOAK_CHECK(result.returncode == status && result.exit_code == status && !result.signal);
    SOAK_CHECK(result.usage && result.usage->wctime > 0ns);
    return {};
}

std::string check_limit(const RunResult& result, Reason reason) {
    SOAK_CHECK(!result.error);
    SOAK_CHECK(result.outcome == Outcome::fail);
    SOAK_CHECK(result.reason == reason);
    SOAK_CHECK(result.usage);
    const auto& events = result.limit_events;
    SOAK_CHECK(events.crossed_at && events.ended_at && *events.crossed_at <= *events.ended_at);
    return {};
}

std::string check_cancelled(const RunResult& result) {
    SOAK_CHECK(result.outcome == Outcome::error);
    SOAK_CHECK(result.error && result.error->stage == Stage::cancelled);
    return {};
}

// A pipe whose write end is a job's descriptor 9: it shows whether any process of that job is left.
class Witness {
public:
    explicit Witness(Job& job) {
        if (pipe2(ends_.data(), O_CLOEXEC) == 0) job.descriptors.push_back({.from = ends_[1], .to = 9});
    }
    Witness(const Witness&) = delete;
    Witness& operator=(const Witness&) = delete;
    ~Witness() {
        drop(ends_[0]);
        drop(ends_[1]);
    }
    bool all_gone() {
        drop(ends_[1]);
        // One that is just being launched may hold a copy for a moment.
        pollfd entry{ends_[0], POLLIN, 0};
        return poll(&entry, 1, 10'000) == 1;
    }

private:
    static void drop(int& end) {
        if (end >= 0) close(end);
        end = -1;
    }
    std::array<int, 2> ends_{-1, -1};
};

// The helper, started by the host itself. It waits for a byte.
struct Stranger {
    Stranger(const std::string& child, int status) {
        std::array<int, 2> ends{-1, -1};
        if (pipe2(ends.data(), O_CLOEXEC) != 0) return;
        std::vector<std::string> words = {child, "await-byte", "0", "then", "exit", std::to_string(status)};
        std::vector<char*> argv;
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

const std::vector<Jobs::Kind>& Jobs::kinds() {
    static const std::vector<Kind> all = {
        {"print", 8, &Jobs::print},
        {"exit", 8, &Jobs::exit},
        {"signal", 8, &Jobs::signal},
        {"shell", 4, &Jobs::shell},
        {"echo text", 4, &Jobs::echo_text},
        {"echo file", 4, &Jobs::echo_file},
        {"echo lines", 4, &Jobs::echo_lines},
        {"echo live", 4, &Jobs::echo_live},
        {"time limit", 4, &Jobs::time_limit},
        {"cpu limit", 2, &Jobs::cpu_limit},
        {"block limit", 2, &Jobs::block_limit},
        {"memory limit", 1, &Jobs::memory_limit},
        {"process limit", 2, &Jobs::process_limit},
        {"output limit", 4, &Jobs::output_limit},
        {"output cut", 4, &Jobs::output_cut},
        {"lingering", 6, &Jobs::lingering},
        {"spool", 2, &Jobs::spool},
        {"exact order", 4, &Jobs::exact_order},
        {"not found", 2, &Jobs::not_found},
        {"refused", 1, &Jobs::refused},
        {"cancel", 6, &Jobs::cancel},
        {"pause", 3, &Jobs::pause},
        {"pair", 4, &Jobs::pair},
        {"monitor limit", 2, &Jobs::monitor_limit},
        {"monitor exit", 2, &Jobs::monitor_exit},
    };
    return all;
}

// --- Those that end by themselves

void Jobs::print() {
    const std::size_t out = random_.below(150'000);
    const std::size_t err = random_.one_in(2) ? random_.below(100'000) : 0;
    start(script("fill 1 " + text(out) + " then fill 2 " + text(err)), [=](const RunResult& result) -> std::string {
        SOAK_CHECK(is_whole(result, STDOUT, out));
        SOAK_CHECK(is_whole(result, STDERR, err));
        return check_exit(result, 0);
    });
}

void Jobs::exit() {
    const int status = random_.between(0, 255);
    start(script("exit " + std::to_string(status)),
          [=](const RunResult& result) { return check_exit(result, status); });
}

void Jobs::signal() {
    static const std::vector<int> signals = {SIGTERM, SIGKILL, SIGSEGV, SIGABRT,
                                             SIGUSR1, SIGPIPE, SIGHUP,  SIGRTMIN + 3};
    const int number = random_.choose(signals);
    start(script("print x then raise " + std::to_string(number)), [=](const RunResult& result) -> std::string {
        SOAK_CHECK(result.outcome == Outcome::fail && !result.reason && !result.error);
        SOAK_CHECK(result.signal == number && result.returncode == -number && !result.exit_code);
        SOAK_CHECK(result.capture.text(STDOUT) == "x");
        return {};
    });
}

void Jobs::shell() {
    const int status = random_.between(0, 120);
    const int count = random_.between(1, 50);
    Job job{.argv = {std::to_string(count), std::to_string(status)},
            .shell = "i=0; while [ $i -lt $1 ]; do i=$((i + 1)); echo $i >&2; done; (exit $2) || exit $2"};
    start(std::move(job), [=](const RunResult& result) -> std::string {
        SOAK_CHECK(result.capture.lines(STDERR) == count);
        return check_exit(result, status);
    });
}

void Jobs::start_echo(Job job, std::size_t size) {
    job.argv = script("copy 0 1").argv;
    start(std::move(job), [=](const RunResult& result) -> std::string {
        SOAK_CHECK(is_whole(result, STDIN, size));
        SOAK_CHECK(is_whole(result, STDOUT, size));
        SOAK_CHECK(result.unread.value_or(0) == 0);
        return check_exit(result, 0);
    });
}

void Jobs::echo_text() {
    const std::size_t size = random_.below(200'000);
    start_echo({.input = Input::text(std::string(pattern(size)))}, size);
}

void Jobs::echo_file() { start_echo({.input = Input::file(places_.input)}, input_size); }

void Jobs::echo_lines() {
    const std::size_t size = random_.below(100'000);
    const std::size_t piece = 1 + random_.below(20'000);
    auto at = std::make_shared<std::size_t>(0);
    auto next = [=]() -> std::optional<std::string> {
        if (*at == size) return std::nullopt;
        const std::string_view part = pattern(size).substr(*at, piece);
        *at += part.size();
        return std::string(part);
    };
    start_echo({.input = Input::lines(next)}, size);
}

void Jobs::echo_live() {
    struct Writer {
        proctor::JobHandle job{};
        std::size_t size = 0;
        std::size_t at = 0;
        void go_on() {
            while (at < size) {
                const std::string_view part = pattern(size).substr(at, 10'000);
                const auto more = job.write_input(std::string(part));
                if (!more) return;
                at += part.size();
                if (!*more) return;
            }
            job.close_input();
        }
    };
    auto writer = std::make_shared<Writer>();
    const std::size_t size = random_.below(200'000);
    writer->size = size;
    Job job = script("copy 0 1");
    job.input = Input::live();
    proctor::Handlers handlers;
    handlers.on_input_ready = [writer] { writer->go_on(); };
    writer->job = start(
        std::move(job),
        [=](const RunResult& result) -> std::string {
            SOAK_CHECK(is_whole(result, STDIN, size));
            SOAK_CHECK(is_whole(result, STDOUT, size));
            return check_exit(result, 0);
        },
        std::move(handlers));
    later(random_.millis(0, 10), [writer] { writer->go_on(); });
}

void Jobs::lingering() {
    const int status = random_.between(0, 90);
    const bool leaves = containment_ != proctor::Containment::tree && random_.one_in(2);
    std::string words;
    for (int left = random_.between(1, 3); left > 0; --left) {
        words += leaves ? "fork [ new-session then ready then pause ] then " : "fork [ ready then pause ] then ";
    }
    Job job = script(words + "exit " + std::to_string(status));
    job.drain_grace = random_.millis(1, 30);
    const auto witness = std::make_shared<Witness>(job);
    start(std::move(job), [=](const RunResult& result) -> std::string {
        SOAK_CHECK(witness->all_gone());
        return check_exit(result, status);
    });
}

void Jobs::spool() {
    const std::size_t size = 300'000 + random_.below(4'000'000);
    Job job = script("fill 1 " + text(size));
    job.capture.max_size = 64_KiB;
    job.capture.spool_directory = places_.spool;
    start(std::move(job), [=](const RunResult& result) -> std::string {
        SOAK_CHECK(is_whole(result, STDOUT, size));
        return check_exit(result, 0);
    });
}

void Jobs::exact_order() {
    const int count = random_.between(1, 200);
    Job job = script("alternate " + std::to_string(count));
    job.order = proctor::Order::exact;
    start(std::move(job), [=](const RunResult& result) -> std::string {
        int records = 0;
        bool ordered = true;
        bool known = true;
        auto playback = result.capture.playback();
        while (const auto record = playback.next()) {
            const std::string expected = (records % 2 == 0 ? "o" : "e") + std::to_string(records / 2) + "\n";
            ordered = ordered && record->data == expected;
            known = known && !record->ambiguous;
            ++records;
        }
        SOAK_CHECK(records == 2 * count);
        SOAK_CHECK(ordered || !known);
        return check_exit(result, 0);
    });
}

void Jobs::pause() {
    const std::size_t size = 50'000 + random_.below(300'000);
    const auto stream = random_.one_in(2) ? STDOUT : STDERR;
    const auto job =
        start(script("fill " + std::to_string(stream) + " " + text(size)), [=](const RunResult& result) -> std::string {
            SOAK_CHECK(is_whole(result, stream, size));
            return check_exit(result, 0);
        });
    later(random_.millis(0, 5), [=] { job.pause_output(stream); });
    later(random_.millis(6, 25), [=] { job.resume_output(stream); });
}

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
