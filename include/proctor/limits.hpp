// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <iosfwd>
#include <optional>
#include <string_view>

#include <proctor/export.hpp>

namespace proctor {

/// What a run may use. A limit that is not set does not exist; zero or negative is an error of stage setup.
struct RunLimits {
    /// Wall time from the successful execve of the main process (CLOCK_MONOTONIC: setting the clock changes nothing)
    /// until the reactor saw it dead; a host that is stopped or busy in a handler sees late. At most a hundred years.
    std::optional<std::chrono::nanoseconds> time{};
};

/// An older name.
using Limits [[deprecated("say RunLimits")]] = RunLimits;

/// Why proctor ended a run. The first limit that was crossed wins. In this version only time_limit occurs; the other
/// names are fixed already, so that a switch over them stays complete.
enum class Reason : unsigned char {
    time_limit,
    cpu_limit,
    block_limit,
    memory_limit,
    process_limit,
    output_limit,
};

/// The word that the JSON form uses, such as "time_limit".
PROCTOR_API std::string_view to_string(Reason reason) noexcept;

/// A sentence for reports, such as "Time limit exceeded".
PROCTOR_API std::string_view verbose_reason(Reason reason) noexcept;

PROCTOR_API std::ostream& operator<<(std::ostream& out, Reason reason);

}  // namespace proctor
