// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <iosfwd>
#include <string_view>

#include <proctor/capture.hpp>
#include <proctor/export.hpp>
#include <proctor/result.hpp>

namespace proctor {

/// How the two programs of a pair are connected, the standard output of each to the standard input of the other.
enum class Wiring : unsigned char {
    /// Through the reactor, which passes on and records what they say to each other.
    recorded,
    /// By two pipes between them. The reactor sees nothing of what they say: nothing is recorded, and only processor
    /// time and standard error count as progress for a block limit.
    direct,
};

/// One program of a pair, or neither.
enum class Side : unsigned char { first, second, tie };

/// "first", "second" or "tie".
PROCTOR_API std::string_view to_string(Side side) noexcept;
PROCTOR_API std::ostream& operator<<(std::ostream& out, Side side);

/// How a pair ended.
struct PairResult {
    /// As of single jobs. Their captures hold standard error; of what passed between them they hold the totals alone,
    /// and whether it was cut, `dialogue` tells.
    RunResult first{};
    RunResult second{};
    /// What they said to each other: stream 1 (STDOUT) is the first program's words, stream 2 (STDERR) the second's, in
    /// the order in which they were passed on. Times count from the launch of the first program. Of the first, by its
    /// CaptureLimits for standard output, and of the second likewise; max_size and spool_directory are those of the
    /// first job. If it cannot be spooled, both end with an error of stage spool. Empty if the wiring was direct.
    Capture dialogue{};
    /// Whose end was seen while the other program still ran; `tie` if both were dead when the first end was seen, or
    /// if they never both ran. Whatever the other one did afterwards, it did to a dead partner.
    Side ended_first = Side::tie;

    [[nodiscard]] bool passed() const noexcept { return first.passed() && second.passed(); }
};

/// What the handlers of a pair are told; the same rules hold as for Handlers.
struct PairHandlers {
    /// Each record of the dialogue as it happens, kept or not, before it is passed on.
    std::function<void(const CaptureRecord&)> on_record{};
    /// The end, once, when both programs have ended, also if they were refused.
    std::function<void(PairResult&&)> on_end{};
};

}  // namespace proctor
