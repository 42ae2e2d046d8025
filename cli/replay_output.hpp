// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <string>
#include <string_view>

#include <proctor/capture.hpp>
#include <proctor/error.hpp>

namespace proctor::cli {

/// Where a replay's records are shown: standard error for what was standard error, standard output for the others. On
/// a terminal each stream has a colour of its own.
class ReplayOutput {
public:
    ReplayOutput();

    /// Keeps some of it back until the next flush(). Errors: as flush().
    [[nodiscard]] Result<void> show(const CaptureRecord& record);
    /// Errors: EPIPE if nobody reads any more, and others.
    [[nodiscard]] Result<void> flush();

private:
    struct Destination {
        int fd = -1;
        const char* name = "";
        bool terminal = false;
        bool colours = false;
    };

    void append(std::string_view before, std::string_view text);

    std::array<Destination, 2> destinations_;
    const Destination* last_ = nullptr;  // where the kept text goes
    std::string text_{};
};

/// From now on SIGINT, SIGTERM, and SIGHUP unless it is ignored, end the process with 128 and the signal's number, and
/// put the colour of terminals back before.
void end_replay_on_signals();

}  // namespace proctor::cli
