// SPDX-License-Identifier: MIT
//
// When processor time has to be looked at: pure arithmetic.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "limits/cpu_prediction.hpp"

using namespace std::chrono_literals;
using proctor::detail::CpuPrediction;
using proctor::detail::Nanoseconds;

namespace {

/// A tree that uses as many processors as it can from its beginning: what it had used when that was seen to be more
/// than its limit. The looks are told that it has so many threads.
struct Run {
    Nanoseconds used{};
    int looks = 0;
};

Run watch(const CpuPrediction& prediction, unsigned processors, int threads) {
    Run run;
    while (run.used <= prediction.limit) {
        run.used += prediction.wait(run.used, threads) * processors;
        ++run.looks;
    }
    return run;
}

}  // namespace

TEST_CASE("a program of one thread is seen at once when its limit is crossed, after few looks") {
    for (const unsigned machine : {1U, 2U, 8U, 64U}) {
        CAPTURE(machine);
        const Run run = watch({.limit = 1s, .usable = machine, .machine = machine}, 1, 1);
        CHECK(run.used <= 1s + CpuPrediction::shortest);
        CHECK(run.looks <= CpuPrediction::surprise_looks + 2);
    }
}

TEST_CASE("who has a thread for each processor is seen as soon, or a look later for each processor") {
    for (const unsigned machine : {1U, 2U, 8U, 64U}) {
        CAPTURE(machine);
        const Run run = watch({.limit = 1s, .usable = machine, .machine = machine}, machine, 1000);
        CHECK(run.used <= 1s + CpuPrediction::shortest * machine);
    }
}

TEST_CASE("threads that are started behind a look, on processors that the tree was not bound to, gain a little") {
    for (const Nanoseconds limit : {Nanoseconds(100ms), Nanoseconds(1s), Nanoseconds(10min)}) {
        for (const unsigned machine : {2U, 8U, 64U, 1024U}) {
            for (const unsigned usable : {1U, 2U, machine}) {
                CAPTURE(machine);
                CAPTURE(usable);
                const Nanoseconds most =
                    std::max({limit / CpuPrediction::surplus_share, CpuPrediction::shortest * machine,
                              limit / CpuPrediction::surprise_looks * machine});
                CHECK(watch({.limit = limit, .usable = usable, .machine = machine}, machine, 1).used <= limit + most);
            }
        }
    }
}

TEST_CASE("no limit overflows, and none is looked at without a pause") {
    constexpr Nanoseconds longest = std::chrono::hours(24 * 365 * 100);
    for (const Nanoseconds limit : {Nanoseconds(1ns), Nanoseconds(longest)}) {
        for (const int threads : {0, 1, std::numeric_limits<int>::max()}) {
            const CpuPrediction prediction{.limit = limit, .usable = 8192, .machine = 1};
            CHECK(prediction.wait({}, threads) >= CpuPrediction::shortest);
            CHECK(prediction.wait({}, threads) <= std::max(limit, CpuPrediction::shortest));
        }
    }
}
