// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include <proctor/error.hpp>

namespace proctor::cli {

/// SIGINT, SIGTERM and SIGHUP, blocked for the rest of the process's life and readable from a descriptor instead. One
/// of them that was ignored stays so only if it is SIGHUP, as nohup(1) has it: shells without job control start
/// background commands with SIGINT ignored, and those have to hear it when it is sent to them.
class StopSignals {
public:
    [[nodiscard]] static Result<StopSignals> create();

    StopSignals(StopSignals&& other) noexcept;
    StopSignals& operator=(StopSignals&&) = delete;
    ~StopSignals();

    /// Readable when one is waiting.
    [[nodiscard]] int descriptor() const noexcept { return fd_; }

    /// The next one that is waiting.
    [[nodiscard]] std::optional<int> take() noexcept;

private:
    explicit StopSignals(int fd) noexcept : fd_(fd) {}

    int fd_ = -1;
};

}  // namespace proctor::cli
