// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>

#include <proctor/job.hpp>
#include <proctor/result.hpp>

namespace proctor::cli {

/// The statuses that are not COMMAND's own.
inline constexpr int limit_status = 124;
inline constexpr int failure_status = 125;
inline constexpr int cannot_run_status = 126;
inline constexpr int not_found_status = 127;
inline constexpr int signal_status_base = 128;

/// `stopped_by` is the signal that told proctor itself to stop.
[[nodiscard]] int exit_status(const RunResult& result, std::optional<int> stopped_by);

/// What a job was bounded by.
struct GivenLimits {
    RunLimits limits{};
    ResourceLimits resources{};
};

/// What to tell of a run that proctor did its part for; empty if there is nothing to tell.
[[nodiscard]] std::string describe_ending(const RunResult& result, std::optional<int> stopped_by,
                                          const GivenLimits& given = {});

}  // namespace proctor::cli
