// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include <proctor/capture_json.hpp>
#include <proctor/error.hpp>
#include <proctor/job.hpp>
#include <proctor/reactor.hpp>

namespace proctor::cli {

/// `proctor run`. The job is complete but for a COMMAND that may be missing.
struct RunRequest {
    Job job{};
    ReactorOptions reactor{.max_running = 1};
    std::optional<std::string> result_path{};   ///< "-" is standard output
    std::optional<std::string> capture_path{};  ///< "-" is standard output
    JSONCaptureOptions capture_options{};
    std::optional<std::string> replay_path{};  ///< of a capture whose input is given again
    bool quiet = false;
    bool lacks_input = false;   ///< standard input was closed when proctor was started
    bool lacks_output = false;  ///< so was standard output
};

/// `proctor replay`.
struct ReplayRequest {
    std::string path{};             ///< "-" is standard input
    std::optional<double> speed{};  ///< null: in the capture's own time
    bool instant = false;
    std::set<Stream> streams{};  ///< empty: both outputs
};

/// `--help` and `--version`.
struct TextRequest {
    std::string text{};
};

/// `proctor doctor`.
struct DoctorRequest {
    ReactorOptions reactor{};
};

using Request = std::variant<RunRequest, ReplayRequest, DoctorRequest, TextRequest>;

/// What the words after the program's own name ask for. An Error is a misuse: `message` says what is wrong, `cure` what
/// would be right.
[[nodiscard]] Result<Request> read_command_line(const std::vector<std::string>& words);

}  // namespace proctor::cli
