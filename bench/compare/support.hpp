// SPDX-License-Identifier: MIT
//
// What several peers need.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "peer.hpp"

namespace compare {

/// Since it was made.
class Stopwatch {
public:
    [[nodiscard]] double seconds() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    }

private:
    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

inline double gib(std::uint64_t bytes) { return static_cast<double>(bytes) / (1 << 30); }

/// Opens an unnamed file for what was captured, in $TMPDIR or /tmp. Throws std::system_error.
int open_spool();
/// All of it. Throws std::system_error.
void write_all(int fd, const char* bytes, std::size_t count);

/// Throws std::runtime_error with this text unless it holds.
void require(bool holds, const std::string& what);

/// median_us and p99_us of times in microseconds, median_ms and p99_ms of times in milliseconds.
Figures round_trip_figures(const std::vector<double>& microseconds);
Figures overshoot_figures(const std::vector<double>& milliseconds);

/// Round trips before those that are measured: processors wake up, caches fill.
constexpr std::size_t warm_up_round_trips = 100;

/// After which children that were started wait.
constexpr std::chrono::milliseconds settling_time{50};

}  // namespace compare
