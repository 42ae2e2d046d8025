// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace compare {

/// Does one measurement in this process and prints it on stdout: a JSON object of figures, or of "unavailable" and the
/// reason. The answer is the exit status; what went wrong is told on stderr.
int measure(const std::string& workload, const std::string& peer, bool quick);

/// As many descriptors as may be had.
void raise_descriptor_limit();

}  // namespace compare
