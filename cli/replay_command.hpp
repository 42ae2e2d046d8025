// SPDX-License-Identifier: MIT
#pragma once

#include "options.hpp"

namespace proctor::cli {

/// Plays a capture, tells what is wrong with it, and answers the exit status.
[[nodiscard]] int replay_command(const ReplayRequest& request);

}  // namespace proctor::cli
