// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <proctor/error.hpp>
#include <proctor/job.hpp>
#include <proctor/reactor.hpp>

namespace proctor::cli {

/// `proctor run`. The job is complete but for a COMMAND that may be missing.
struct RunRequest {
    Job job{};
    ReactorOptions reactor{.max_running = 1};
    std::optional<std::string> result_path{};  ///< "-" is standard output
    bool quiet = false;
};

/// `--help` and `--version`.
struct TextRequest {
    std::string text{};
};

/// `proctor doctor`.
struct DoctorRequest {
    ReactorOptions reactor{};
};

using Request = std::variant<RunRequest, DoctorRequest, TextRequest>;

/// What the words after the program's own name ask for. An Error is a misuse: `message` says what is wrong, `cure` what
/// would be right.
[[nodiscard]] Result<Request> read_command_line(const std::vector<std::string>& words);

}  // namespace proctor::cli
