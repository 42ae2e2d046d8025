// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace proctor::cli {

/// `proctor --help`
[[nodiscard]] std::string general_help();

/// `proctor run --help`; the options and their groups are read from `app`.
[[nodiscard]] std::string run_help(const CLI::App& app);

/// `proctor replay --help`
[[nodiscard]] std::string replay_help(const CLI::App& app);

/// `proctor doctor --help`
[[nodiscard]] std::string doctor_help(const CLI::App& app);

}  // namespace proctor::cli
