// SPDX-License-Identifier: MIT
#pragma once

#include <ctime>

#include <chrono>

namespace proctor::detail {

using Nanoseconds = std::chrono::nanoseconds;

/// A point of CLOCK_MONOTONIC, as the kernel counts it. Not steady_clock: the child stamps with the raw system call,
/// and the two must be the same clock by definition and not by the library's choice.
struct Instant {
    Nanoseconds since_boot{};

    friend constexpr auto operator<=>(const Instant&, const Instant&) = default;
    friend constexpr Nanoseconds operator-(Instant left, Instant right) { return left.since_boot - right.since_boot; }
    friend constexpr Instant operator+(Instant left, Nanoseconds right) { return {left.since_boot + right}; }
};

inline Instant now() noexcept {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return {std::chrono::seconds(time.tv_sec) + Nanoseconds(time.tv_nsec)};
}

/// Processor time of the calling thread: what its work costs, however long it had to wait for a processor.
inline Nanoseconds own_processor_time() noexcept {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) + Nanoseconds(time.tv_nsec);
}

}  // namespace proctor::detail
