// SPDX-License-Identifier: MIT
#include "soak_crowds.hpp"

#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <utility>
#include <vector>

#include "soak_jobs.hpp"
#include "soak_watch.hpp"

namespace soak {

using namespace std::chrono_literals;
using proctor::RunResult;

namespace {

proctor::Reactor make_reactor(proctor::ReactorOptions options, const Ground& ground, unsigned at_once) {
    options.max_running = at_once;
    if (options.containment <= proctor::Containment::cgroup) options.cgroup = ground.path();
    auto reactor = proctor::Reactor::create(options);
    if (!reactor) throw std::runtime_error(reactor.error().message + ": " + reactor.error().cure);
    return std::move(*reactor);
}

void require(const proctor::Result<void>& result) {
    if (!result) throw std::runtime_error("the reactor cannot go on: " + result.error().message);
}

std::int64_t clock_ns() { return Clock::now().time_since_epoch().count(); }

// --- Short jobs

class ShortJobs {
public:
    explicit ShortJobs(const CrowdOptions& options)
        : options_(options), reactor_(make_reactor(options.reactor, ground_, at_once)) {}

    std::string run() {
        const auto begin = Clock::now();
        std::vector<Holding> seen;
        for (const std::size_t percent : {1U, 50U, 100U}) {
            run_to(std::max<std::size_t>(options_.count * percent / 100, 1));
            // Groups are removed a little later.
            for (const auto until = Clock::now() + 300ms; Clock::now() < until;) require(reactor_.run_once(50ms));
            seen.push_back(look(ground_, files_.path()));
            const std::chrono::duration<double> took = Clock::now() - begin;
            std::printf("%3zu %%: %zu jobs, %.0f a second; %s\n", percent, ended_,
                        static_cast<double>(ended_) / took.count(), to_string(seen.back()).c_str());
        }
        // At 1 % of fewer than that not all was in use yet.
        constexpr std::size_t enough = 20'000;
        if (options_.count < enough || !fault_.empty()) return fault_;
        return compare(seen.front(), seen.back());
    }

private:
    static constexpr std::size_t at_once = 16;

    void run_to(std::size_t count) {
        while (ended_ < count) {
            while (begun_ < count && reactor_.size() < 2 * at_once) submit();
            require(reactor_.run_once());
        }
    }
    void submit() {
        ++begun_;
        reactor_.submit({.argv = {options_.tiny_child}}, [this](RunResult&& result) {
            ++ended_;
            if (result.passed() && result.capture.text(proctor::STDOUT) == "ok\n") return;
            if (fault_.empty()) fault_ = "a short job: " + describe(result);
        });
    }
    static std::string compare(const Holding& first, const Holding& last) {
        if (last.zombies > 0) return "there are dead children";
        if (last.rss_kib > first.rss_kib + first.rss_kib / 10 + 2'048) return "memory grew";
        if (last.descriptors > first.descriptors + 2) return "descriptors grew";
        if (last.children > first.children) return "children grew";
        return {};
    }

    const CrowdOptions& options_;
    Ground ground_{};
    Folder files_{};
    proctor::Reactor reactor_;
    std::size_t begun_ = 0;
    std::size_t ended_ = 0;
    std::string fault_{};
};

// --- Many

// As many as the descriptors allow.
std::size_t affordable(std::size_t wanted) {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    constexpr rlim_t others = 3'000;
    constexpr rlim_t each = 3;
    const std::size_t room = limit.rlim_cur > others ? (limit.rlim_cur - others) / each : 50;
    if (room < wanted)
        std::printf("%zu instead of %zu, as RLIMIT_NOFILE is %zu\n", room, wanted, std::size_t{limit.rlim_cur});
    return std::min(room, wanted);
}

// strace beside this program, which counts its system calls.
class CallCounter {
public:
    CallCounter() {
        const std::string own = std::to_string(getpid());
        std::vector<std::string> words = {"strace", "-c", "-f", "-U", "calls,name", "-o", file_, "-p", own};
        std::vector<char*> argv;
        argv.reserve(words.size() + 1);
        for (std::string& word : words) argv.push_back(word.data());
        argv.push_back(nullptr);
        if (posix_spawnp(&pid_, "strace", nullptr, nullptr, argv.data(), environ) != 0) {
            throw std::runtime_error("strace is not here");
        }
        const auto until = Clock::now() + 10s;
        while (!traced() && Clock::now() < until) usleep(10'000);
    }
    CallCounter(const CallCounter&) = delete;
    CallCounter& operator=(const CallCounter&) = delete;
    ~CallCounter() {
        if (pid_ > 0) stop();
    }

    void report(std::size_t jobs) {
        stop();
        std::ifstream lines(file_);
        std::printf("system calls of the host for each end:\n");
        for (std::string line; std::getline(lines, line);) {
            char name[64] = "";
            unsigned long calls = 0;
            if (std::sscanf(line.c_str(), "%lu %63s", &calls, name) != 2) continue;
            const double each = static_cast<double>(calls) / static_cast<double>(jobs);
            if (each >= 0.01) std::printf("  %8.2f %s\n", each, name);
        }
    }

private:
    static bool traced() {
        std::ifstream status("/proc/self/status");
        for (std::string line; std::getline(status, line);) {
            if (line.rfind("TracerPid:", 0) == 0) return line.find_first_of("123456789") != std::string::npos;
        }
        return false;
    }
    void stop() {
        kill(pid_, SIGINT);
        waitpid(std::exchange(pid_, -1), nullptr, 0);
    }

    Folder folder_{};
    std::string file_ = folder_.path() + "/calls";
    pid_t pid_ = -1;
};

class Many {
public:
    Many(const CrowdOptions& options, std::size_t count)
        : options_(options),
          count_(count),
          reactor_(make_reactor(options.reactor, ground_, static_cast<unsigned>(count))) {}

    std::string run() {
        // They end evenly over so long, when all of them live.
        const std::int64_t span = 1'000'000 * static_cast<std::int64_t>(std::max<std::size_t>(count_, 500));
        const std::int64_t begin = clock_ns() + 1'000'000'000 + 2 * span;
        const auto launched = Clock::now();
        for (std::size_t i = 0; i < count_; ++i) {
            submit(begin + span * static_cast<std::int64_t>(i) / static_cast<std::int64_t>(count_));
        }
        while (handles_.back().state() < proctor::JobState::running) require(reactor_.run_once());
        const std::chrono::duration<double> took = Clock::now() - launched;
        std::printf("%zu children live after %.2f s; %s\n", reactor_.size(), took.count(),
                    to_string(look(ground_, files_.path())).c_str());
        if (reactor_.size() < count_ || clock_ns() > begin) return "some ended before all had begun";

        std::optional<CallCounter> calls;
        if (options_.count_calls) calls.emplace();
        while (ended_ < count_) require(reactor_.run_once());
        if (calls) calls->report(count_);
        report();
        return fault_;
    }

private:
    void submit(std::int64_t end) {
        proctor::Job job{.argv = {options_.child, "sleep-until", std::to_string(end), "then", "print-clock"}};
        handles_.push_back(reactor_.submit(std::move(job), [this](RunResult&& result) {
            const std::int64_t heard = clock_ns();
            ++ended_;
            const std::int64_t said = std::strtoll(result.capture.text(proctor::STDOUT).c_str(), nullptr, 10);
            late_.push_back(static_cast<double>(heard - said) / 1e3);
            if ((!result.passed() || said == 0) && fault_.empty()) fault_ = "one of many: " + describe(result);
        }));
    }
    void report() {
        std::sort(late_.begin(), late_.end());
        const auto quantile = [&](std::size_t percent) { return late_[(late_.size() - 1) * percent / 100]; };
        std::printf("from a child's last act to the callback: median %.0f us, p95 %.0f, p99 %.0f, most %.0f%s\n",
                    quantile(50), quantile(95), quantile(99), late_.back(),
                    options_.count_calls ? " (slowed by strace)" : "");
    }

    const CrowdOptions& options_;
    std::size_t count_;
    Ground ground_{};
    Folder files_{};
    proctor::Reactor reactor_;
    std::vector<proctor::JobHandle> handles_{};
    std::vector<double> late_{};
    std::size_t ended_ = 0;
    std::string fault_{};
};

}  // namespace

std::string run_short_jobs(const CrowdOptions& options) { return ShortJobs(options).run(); }

std::string run_many(const CrowdOptions& options) { return Many(options, affordable(options.count)).run(); }

}  // namespace soak
