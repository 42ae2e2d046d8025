// SPDX-License-Identifier: MIT
#pragma once

#include "options.hpp"

namespace proctor::cli {

/// Runs what was asked for, writes the result, tells the ending, and answers the exit status.
[[nodiscard]] int run_command(RunRequest request);

}  // namespace proctor::cli
