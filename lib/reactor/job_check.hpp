// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>

#include <proctor/error.hpp>
#include <proctor/job.hpp>

namespace proctor::detail {

/// What is wrong with a job, as far as its fields alone tell; none if nothing is.
[[nodiscard]] std::optional<Error> check_job(const Job& job);

/// The same of limits, and of the time between SIGTERM and SIGKILL.
[[nodiscard]] std::optional<Error> check_limits(const RunLimits& limits,
                                                std::optional<std::chrono::nanoseconds> kill_after);

}  // namespace proctor::detail
