// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "contender.hpp"

namespace bench {

/// The baseline: the loop that one writes by hand with posix_spawn, poll and wait4. It does the least that brings home
/// output, exit status and rusage of several children at once. It has no time limit, and waits for ever for a child
/// whose output somebody else holds open.
std::unique_ptr<Contender> make_hand_poll(const Workload& workload);

}  // namespace bench
