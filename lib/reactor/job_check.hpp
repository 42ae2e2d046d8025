// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include <proctor/error.hpp>
#include <proctor/job.hpp>

namespace proctor::detail {

/// What is wrong with a job, as far as its fields alone tell; none if nothing is.
[[nodiscard]] std::optional<Error> check_job(const Job& job);

}  // namespace proctor::detail
