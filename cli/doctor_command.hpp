// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "options.hpp"

namespace proctor::cli {

struct Diagnosis {
    std::string text{};
    int status = 0;
};

/// What `proctor doctor` prints, a line for each capability.
[[nodiscard]] Diagnosis diagnose(const DoctorRequest& request);

}  // namespace proctor::cli
