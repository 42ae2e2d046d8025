// SPDX-License-Identifier: MIT
//
// scale_report [MOST] [--json FILE]: one reactor with ever more children that sleep, 1, 10, 100 and so on up to MOST
// (10,000), each with limits of all kinds. At each step: what a launch took, what a tiny job takes beside them, what
// they cost while nothing happens, and at last how long it takes to learn of the end of all.
#include <dirent.h>
#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <proctor/proctor.hpp>

#include "machine.hpp"

namespace {

using namespace std::chrono_literals;
using namespace proctor::literals;
using Clock = std::chrono::steady_clock;

double micros(std::chrono::nanoseconds time) { return static_cast<double>(time.count()) / 1e3; }

std::chrono::nanoseconds own_cpu() {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

std::size_t open_descriptors() {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir("/proc/self/fd"), &closedir);
    std::size_t count = 0;
    while (directory && readdir(directory.get()) != nullptr) {
        ++count;
    }
    return count;
}

double heap_bytes() {
    const struct mallinfo2 info = mallinfo2();
    return static_cast<double>(info.uordblks + info.hblkhd);
}

std::string beside_this(const char* name) { return std::filesystem::canonical("/proc/self/exe").parent_path() / name; }

proctor::Job limited(const char* program) {
    return {.argv = {beside_this(program)}, .limits = {.time = 24h, .cpu_time = 60s, .memory = 1_GiB, .processes = 32}};
}

void require(bool holds, const std::string& what) {
    if (!holds) {
        throw std::runtime_error(what);
    }
}

template <typename Value>
Value must(proctor::Result<Value> result) {
    require(result.has_value(), result ? "" : result.error().message + " — " + result.error().cure);
    return std::move(*result);
}

struct Level {
    std::size_t live = 0;
    double launch_us = 0;
    double job_us = 0;
    double job_own_us = 0;
    double idle_percent = 0;
    double heap_bytes_per_job = 0;
    double descriptors_per_job = 0;
};

class Crowd {
public:
    explicit Crowd(unsigned most)
        : max_live_(most),
          reactor_(must(proctor::Reactor::create({.max_running = most + 1}))),
          heap_before_(heap_bytes()),
          descriptors_before_(open_descriptors()) {
        handles_.reserve(most);
    }

    Level reach(std::size_t live) {
        Level level{.live = live};
        const std::size_t more = live - handles_.size();
        const auto begin = Clock::now();
        while (handles_.size() < live) {
            handles_.push_back(reactor_.submit(limited("tiny_sleeper"), [this](proctor::RunResult&& result) {
                ++ended_;
                well_ = well_ && result.outcome == proctor::Outcome::fail && result.signal == SIGTERM;
            }));
        }
        run_until([this] { return handles_.back().state() == proctor::JobState::running; });
        level.launch_us = micros(Clock::now() - begin) / static_cast<double>(more);
        level.heap_bytes_per_job = (heap_bytes() - heap_before_) / static_cast<double>(live);
        level.descriptors_per_job =
            static_cast<double>(open_descriptors() - descriptors_before_) / static_cast<double>(live);
        measure_idleness(level);
        measure_jobs(level);
        require(ended_ == 0, "a child ended that should sleep");
        return level;
    }

    // The time from the first signal to the last callback, for each child.
    double end_all() {
        const auto begin = Clock::now();
        for (const proctor::JobHandle& each : handles_) {
            require(each.signal(SIGTERM).has_value(), "a child cannot be signalled");
        }
        run_until([this] { return ended_ == handles_.size(); });
        require(well_, "a child ended otherwise than by its signal");
        return micros(Clock::now() - begin) / static_cast<double>(handles_.size());
    }

private:
    void run_until(const std::function<bool()>& done) {
        while (!done()) {
            require(reactor_.run_once().has_value(), "the reactor cannot go on");
        }
    }

    void measure_jobs(Level& level) {
        constexpr int count = 300;
        std::vector<double> times;
        const auto own = own_cpu();
        for (int i = 0; i < count; ++i) {
            bool over = false;
            bool passed = false;
            const auto begin = Clock::now();
            reactor_.submit(limited("tiny_child"), [&](proctor::RunResult&& result) {
                passed = result.passed();
                over = true;
            });
            run_until([&] { return over; });
            require(passed, "a tiny job failed");
            times.push_back(micros(Clock::now() - begin));
        }
        level.job_own_us = micros(own_cpu() - own) / count;
        std::nth_element(times.begin(), times.begin() + count / 2, times.end());
        level.job_us = times[count / 2];
    }

    void measure_idleness(Level& level) {
        // A few are a run to see whether it works.
        const auto rest = max_live_ > 100 ? 2s : 0s;
        const auto settled = Clock::now() + rest + 100ms;
        while (Clock::now() < settled) {
            require(reactor_.run_once(50ms).has_value(), "the reactor cannot go on");
        }
        const auto begin = Clock::now();
        const auto own = own_cpu();
        while (Clock::now() < begin + rest + 100ms) {
            require(reactor_.run_once(begin + rest + 100ms - Clock::now()).has_value(), "the reactor cannot go on");
        }
        level.idle_percent = 100 * micros(own_cpu() - own) / micros(Clock::now() - begin);
    }

    unsigned max_live_;
    proctor::Reactor reactor_;
    double heap_before_;
    std::size_t descriptors_before_;
    std::vector<proctor::JobHandle> handles_{};
    std::size_t ended_ = 0;
    bool well_ = true;
};

// Of the time of a tiny job, in µs for each 1,000 children more: least squares.
double slope(const std::vector<Level>& levels) {
    double mean_live = 0;
    double mean_time = 0;
    for (const Level& each : levels) {
        mean_live += static_cast<double>(each.live) / static_cast<double>(levels.size());
        mean_time += each.job_us / static_cast<double>(levels.size());
    }
    double products = 0;
    double squares = 0;
    for (const Level& each : levels) {
        const double away = static_cast<double>(each.live) - mean_live;
        products += away * (each.job_us - mean_time);
        squares += away * away;
    }
    return squares > 0 ? 1'000 * products / squares : 0;
}

void write_json(const std::string& file, const std::vector<Level>& levels, double end_us) {
    std::ofstream out(file);
    out << "{\"levels\": [";
    const char* comma = "\n";
    for (const Level& each : levels) {
        out << comma << R"({"live": )" << each.live << R"(, "launch_us": )" << each.launch_us << R"(, "job_us": )"
            << each.job_us << R"(, "job_own_us": )" << each.job_own_us << R"(, "idle_percent": )" << each.idle_percent
            << R"(, "heap_bytes_per_job": )" << each.heap_bytes_per_job << R"(, "descriptors_per_job": )"
            << each.descriptors_per_job << "}";
        comma = ",\n";
    }
    out << "],\n\"slope_us_per_1000\": " << slope(levels) << ", \"end_us\": " << end_us << "}\n";
    require(out.flush().good(), file + " cannot be written");
}

// As many as three descriptors each, and what else is open, leave room for.
std::size_t affordable(std::size_t wanted) {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    constexpr rlim_t others = 3'000;
    const std::size_t room = limit.rlim_cur > others ? (limit.rlim_cur - others) / 3 : 10;
    if (room < wanted) {
        std::printf("%zu instead of %zu: RLIMIT_NOFILE is %zu\n", room, wanted,
                    static_cast<std::size_t>(limit.rlim_cur));
    }
    return std::min(room, wanted);
}

void report(std::size_t wanted, const std::string& json) {
    const std::size_t most = affordable(wanted);
    std::printf("%s\n", bench::describe_machine().c_str());
    const bench::Disturbance disturbance;
    Crowd crowd(static_cast<unsigned>(most));
    std::vector<Level> levels;
    std::printf("%8s %10s %10s %10s %8s %10s %12s\n", "live", "launch us", "job us", "own us", "idle %", "heap B",
                "descriptors");
    for (std::size_t live = 1;; live = std::min(live * 10, most)) {
        levels.push_back(crowd.reach(live));
        const Level& level = levels.back();
        std::printf("%8zu %10.1f %10.1f %10.1f %8.3f %10.0f %12.2f\n", level.live, level.launch_us, level.job_us,
                    level.job_own_us, level.idle_percent, level.heap_bytes_per_job, level.descriptors_per_job);
        std::fflush(stdout);
        if (live == most) {
            break;
        }
    }
    const double end_us = crowd.end_all();
    std::printf("slope %.2f us a job for each 1,000 more; the end of all: %.1f us for each\n", slope(levels), end_us);
    if (const auto percent = disturbance.percent()) {
        std::printf("Other programs took %d %% of the processors' time.\n", *percent);
    }
    if (!json.empty()) {
        write_json(json, levels, end_us);
    }
}

}  // namespace

int main(int count, char** words) {
    try {
        std::size_t most = 10'000;
        std::string json;
        for (int i = 1; i < count; ++i) {
            if (std::string(words[i]) == "--json" && i + 1 < count) {
                json = words[++i];
            } else {
                most = std::max<std::size_t>(1, std::strtoul(words[i], nullptr, 10));
            }
        }
        report(most, json);
    } catch (const std::exception& wrong) {
        std::fprintf(stderr, "scale_report: %s\n", wrong.what());
        return 1;
    }
    return 0;
}
