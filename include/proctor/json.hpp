// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include <proctor/export.hpp>
#include <proctor/result.hpp>

namespace proctor {

/// The result as one line of JSON, without a newline at its end. All keys are always there; what is unknown is null.
/// Times are seconds, truncated to nanoseconds.
[[nodiscard]] PROCTOR_API std::string to_json(const RunResult& result);

}  // namespace proctor
