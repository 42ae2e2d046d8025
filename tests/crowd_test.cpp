// SPDX-License-Identifier: MIT
//
// More jobs at once than may have the descriptors of their groups open. Those beyond are read by one descriptor that
// they share, and all that holds for a few holds for them.
#include <doctest/doctest.h>

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <proctor/proctor.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using namespace proctor;

namespace {

constexpr std::size_t crowd_size = 300;
constexpr std::size_t roomy = 256;  // as lib/cgroup/cgroup_pool.cpp has it

// Whether so many descriptors may be open as the crowd takes: 7 of the first jobs, 3 of each more.
bool may_open_enough() {
    constexpr rlim_t enough = 7 * roomy + 3 * (crowd_size - roomy) + 200;
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < enough) {
        support::skip("fewer than " + std::to_string(enough) + " descriptors may be open here (ulimit -Hn)");
        return false;
    }
    limit.rlim_cur = std::max<rlim_t>(limit.rlim_cur, enough);
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

// Jobs that sleep until they are signalled, in a reactor with this containment.
class Crowd {
public:
    explicit Crowd(Containment containment)
        : reactor_(support::make_reactor({.max_running = crowd_size + 8, .containment = containment})) {}

    void grow_to(std::size_t size) {
        while (handles_.size() < size) {
            handles_.push_back(reactor_.submit(support::script("pause"), [this](RunResult&& result) {
                ++ended_;
                well_ +=
                    result.signal == SIGTERM && result.usage && result.usage->utime + result.usage->stime > 0ns ? 1 : 0;
            }));
        }
        for (const JobHandle& each : handles_) {
            run_until([&] { return each.state() == JobState::running; });
        }
    }
    RunResult run_beside(Job job) {
        RunResult answer;
        bool over = false;
        reactor_.submit(std::move(job), [&](RunResult&& result) {
            answer = std::move(result);
            over = true;
        });
        run_until([&] { return over; });
        return answer;
    }
    void signal_all() {
        for (const JobHandle& each : handles_) {
            CHECK(each.signal(SIGTERM));
        }
        run_until([&] { return ended_ == handles_.size(); });
    }
    [[nodiscard]] std::size_t well() const { return well_; }
    [[nodiscard]] const std::vector<JobHandle>& handles() const { return handles_; }

private:
    template <typename Done>
    void run_until(Done done) {
        while (!done()) {
            REQUIRE(reactor_.run_once());
        }
    }

    Reactor reactor_;
    std::vector<JobHandle> handles_{};
    std::size_t ended_ = 0;
    std::size_t well_ = 0;
};

}  // namespace

TEST_CASE("beyond a number of jobs each has three descriptors, and limits, usage and kills hold for it") {
    if (support::containments().front() != Containment::cgroup) return support::skip("there are no cgroups here");
    if (!may_open_enough()) return;
    Crowd crowd(Containment::cgroup);
    crowd.grow_to(roomy + 1);
    const std::size_t before = support::open_descriptors().size();
    crowd.grow_to(crowd_size);
    const std::size_t more = crowd_size - roomy - 1;
    constexpr std::size_t made_ahead = 16;  // groups that nobody has yet
    CHECK(support::open_descriptors().size() <= before + 3 * more + made_ahead);

    CHECK(crowd.handles().back().usage());
    CHECK(crowd.handles().back().processes().size() == 1);
    const RunResult passed = crowd.run_beside(support::script("print hello"));
    CHECK_MESSAGE(passed.passed(), support::describe(passed));
    CHECK(passed.sources.cpu == "cpu.stat");

    Job spinning = support::script("spin");
    spinning.limits.cpu_time = 50ms;
    const RunResult spun = crowd.run_beside(std::move(spinning));
    CHECK_MESSAGE(spun.reason == Reason::cpu_limit, support::describe(spun));

    Job forking = support::script(support::repeat("fork [ ready then pause ] then ", 6) + "pause");
    forking.limits.processes = 4;
    const RunResult forked = crowd.run_beside(std::move(forking));
    CHECK_MESSAGE(forked.reason == Reason::process_limit, support::describe(forked));

    crowd.signal_all();
    CHECK(crowd.well() == crowd_size);
    CHECK(crowd.run_beside(support::script("print again")).passed());
}

TEST_CASE("a crowd that is cancelled leaves nobody") {
    if (!may_open_enough()) return;
    for (const Containment containment : support::containments()) {
        if (containment == Containment::keeper) continue;  // two processes for each
        CAPTURE(support::name_of(containment));
        Reactor reactor = support::make_reactor({.max_running = crowd_size, .containment = containment});
        std::size_t ended = 0;
        std::vector<JobHandle> handles;
        for (std::size_t i = 0; i < crowd_size; ++i) {
            handles.push_back(reactor.submit(support::script("pause"), [&](RunResult&& result) {
                CHECK(result.outcome == Outcome::error);
                ++ended;
            }));
        }
        while (handles.back().state() != JobState::running) REQUIRE(reactor.run_once());
        reactor.cancel_all();
        REQUIRE(reactor.run());
        CHECK(ended == crowd_size);
        CHECK_FALSE(reactor.size() > 0);
    }
}
