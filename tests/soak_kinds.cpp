// SPDX-License-Identifier: MIT
//
// The kinds of jobs: how often each comes, and those that end by themselves.
#include <csignal>
#include <memory>
#include <optional>
#include <string>

#include "soak_checks.hpp"
#include "soak_jobs.hpp"

namespace soak {

using namespace proctor::literals;
using proctor::Input;

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

}  // namespace soak
