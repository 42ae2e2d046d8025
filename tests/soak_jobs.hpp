// SPDX-License-Identifier: MIT
//
// Random jobs of every kind for one reactor, each of which knows how it has to end.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <proctor/proctor.hpp>

namespace soak {

using Clock = std::chrono::steady_clock;

/// All decisions come from one seed.
class Random {
public:
    explicit Random(std::uint64_t seed) : engine_(seed) {}

    std::uint64_t below(std::uint64_t end) { return engine_() % end; }
    int between(int least, int most) {
        return least + static_cast<int>(below(static_cast<std::uint64_t>(most - least) + 1));
    }
    std::chrono::milliseconds millis(int least, int most) { return std::chrono::milliseconds(between(least, most)); }
    bool one_in(std::uint64_t count) { return below(count) == 0; }
    template <typename Value>
    const Value& choose(const std::vector<Value>& values) {
        return values[below(values.size())];
    }

private:
    std::mt19937_64 engine_;
};

/// What the helper's command `fill` writes, up to some MiB.
std::string_view pattern(std::size_t size);

/// All that a report of a failure should show.
std::string describe(const proctor::RunResult& result);

/// How many jobs of each kind have ended, and how many of them otherwise than they should.
class Tally {
public:
    void note(const std::string& kind, std::string_view containment, const std::string& fault);
    /// What is wrong with no single job.
    void blame(const std::string& fault);

    [[nodiscard]] std::size_t jobs() const { return jobs_; }
    [[nodiscard]] std::size_t failures() const { return failures_; }
    /// "none", or "KIND 2, KIND 1".
    [[nodiscard]] std::string failed_kinds() const;
    /// "KIND 120, KIND 80", of all that ended.
    [[nodiscard]] std::string all_kinds() const;

private:
    std::map<std::string, std::pair<std::size_t, std::size_t>> kinds_{};
    std::size_t jobs_ = 0;
    std::size_t failures_ = 0;
};

struct Places {
    std::string child{};  ///< the helper program
    std::string input{};  ///< a file to be given as input, which holds pattern(input_size)
    std::string spool{};  ///< a directory that is empty whenever one looks
};
constexpr std::size_t input_size = 200'000;

/// The jobs of one reactor. The host runs the reactor, and calls act() from time to time.
class Jobs {
public:
    Jobs(proctor::Reactor& reactor, proctor::Containment containment, Random& random, Tally& tally,
         const Places& places)
        : reactor_(reactor), containment_(containment), random_(random), tally_(tally), places_(places) {}
    Jobs(const Jobs&) = delete;
    Jobs& operator=(const Jobs&) = delete;

    void submit_one();
    /// Does what was to be done by now beside the jobs: cancels, resumes, writes to strangers.
    void act();
    /// From now on until none is left it is right for a job to be cancelled.
    void cancel_all();

    [[nodiscard]] std::size_t open() const { return open_.size(); }
    /// The kinds of those that have not ended.
    [[nodiscard]] std::string open_kinds() const;
    [[nodiscard]] Clock::time_point next_act() const;

private:
    using Check = std::function<std::string(const proctor::RunResult&)>;
    struct Kind {
        const char* name;
        unsigned weight;
        void (Jobs::*submit)();
    };
    static const std::vector<Kind>& kinds();

    [[nodiscard]] proctor::Job script(std::string_view words) const;
    std::uint64_t open_job();
    void close_job(std::uint64_t id, const proctor::RunResult& result, const Check& check);
    proctor::JobHandle start(proctor::Job job, Check check, proctor::Handlers handlers = {});
    void later(std::chrono::nanoseconds delay, std::function<void()> what);
    void start_echo(proctor::Job job, std::size_t size);

    // soak_kinds.cpp, soak_kinds_ended.cpp
    void print();
    void exit();
    void signal();
    void shell();
    void echo_text();
    void echo_file();
    void echo_lines();
    void echo_live();
    void time_limit();
    void cpu_limit();
    void block_limit();
    void memory_limit();
    void process_limit();
    void output_limit();
    void output_cut();
    void lingering();
    void spool();
    void exact_order();
    void not_found();
    void refused();
    void cancel();
    void pause();
    void pair();
    void monitor_limit();
    void monitor_exit();

    struct Open {
        const char* kind;
        Clock::time_point since;
    };

    proctor::Reactor& reactor_;
    proctor::Containment containment_;
    Random& random_;
    Tally& tally_;
    const Places& places_;
    const char* kind_ = "";
    std::uint64_t last_id_ = 0;
    std::map<std::uint64_t, Open> open_{};
    std::multimap<Clock::time_point, std::function<void()>> acts_{};
    bool forgiving_ = false;
};

std::string_view name_of(proctor::Containment containment);

}  // namespace soak
