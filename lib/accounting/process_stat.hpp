// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/clock.hpp"

namespace proctor::detail {

/// What /proc/PID/stat tells of one process (proc_pid_stat(5)).
struct ProcessStat {
    char state = '?';
    pid_t parent = 0;
    Nanoseconds utime{};  ///< in clock ticks, 10 ms as a rule
    Nanoseconds stime{};
};

/// Fields are counted from the last ')': a process may put any byte into its name.
[[nodiscard]] std::optional<ProcessStat> parse_process_stat(std::string_view text, long ticks_per_second) noexcept;

/// None if the process is gone or /proc is not there.
[[nodiscard]] std::optional<ProcessStat> read_process_stat(pid_t pid) noexcept;

}  // namespace proctor::detail
