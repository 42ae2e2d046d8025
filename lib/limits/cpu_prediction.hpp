// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>

#include "base/clock.hpp"

namespace proctor::detail {

/// When a tree's processor time has to be looked at again, so that its limit is met soon after it is crossed. Pure: it
/// knows no clock and reads nothing.
///
/// What is left can be used up at the earliest by as many processors as the tree may run on and has threads for. But it
/// may start threads a moment after the look, and one that was bound to some processors may unbind itself
/// (sched_setaffinity asks for no right). So a look comes also before all processors of the machine together could have
/// taken it further than a share of the limit beyond. On a machine with many processors that would be all the time, for
/// trees of one thread and those that rest, too; there whoever surprises us may take a larger share of each processor.
struct CpuPrediction {
    Nanoseconds limit{};
    unsigned usable = 1;   ///< processors that the tree may run on, as it was bound
    unsigned machine = 1;  ///< all that there are

    /// The least time between two looks: what is left may be less, but a timer is not more exact.
    static constexpr Nanoseconds shortest = std::chrono::microseconds(200);
    /// Whoever surprises us is seen before he has taken one in so many of the limit more,
    static constexpr int surplus_share = 16;
    /// or one in so many of each processor: nor are there more looks for his sake while the limit is used up by one.
    static constexpr int surprise_looks = 8;

    /// After a look that found so much used, by so many threads that live.
    [[nodiscard]] Nanoseconds wait(Nanoseconds used, int threads) const noexcept {
        const Nanoseconds left = limit - used;
        const unsigned at_once = std::min(usable, static_cast<unsigned>(std::max(threads, 1)));
        const Nanoseconds by_surprise =
            std::max((left + limit / surplus_share) / std::max(machine, usable), limit / surprise_looks);
        return std::max(std::min(left / at_once, by_surprise), shortest);
    }
};

}  // namespace proctor::detail
