// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <iosfwd>
#include <optional>
#include <string_view>

#include <proctor/capture.hpp>
#include <proctor/error.hpp>
#include <proctor/limits.hpp>
#include <proctor/units.hpp>

namespace proctor {

/// The judgement on one run.
enum class Outcome : unsigned char {
    pass,   ///< exit status 0, no limit crossed
    fail,   ///< another status, a signal, or a limit
    error,  ///< proctor could not do its part: not the child's fault
};

/// "pass", "fail" or "error".
PROCTOR_API std::string_view to_string(Outcome outcome) noexcept;
PROCTOR_API std::ostream& operator<<(std::ostream& out, Outcome outcome);

/// What a run has used.
struct Usage {
    /// From the stamp before execve until the reactor saw the main process dead.
    std::chrono::nanoseconds wctime{};
    /// Processor time in user mode and in the kernel, of the main process and of those it waited for, from clone on.
    std::chrono::nanoseconds utime{};
    std::chrono::nanoseconds stime{};
    /// Peak of resident memory; null where nothing can be said about it. A child's ru_maxrss begins at the host's own
    /// peak when it was started, so only a child that exceeded that (by 1 MiB, since the kernel counts inexactly) has a
    /// number.
    std::optional<Bytes> mem{};
    /// Most processes alive at once; null, since nothing counts them yet.
    std::optional<int> proc{};
};

/// By which mechanism each number and each act came about. Null where there is none.
struct Sources {
    std::string_view engine = "io_uring";
    std::string_view containment = "none";
    std::optional<std::string_view> cpu{};
    bool cpu_complete = false;  ///< whether every descendant's time is included
    std::optional<std::string_view> mem{};
    std::optional<std::string_view> proc{};
    std::optional<std::string_view> kill{};
    std::optional<std::chrono::nanoseconds> sample_interval{};
};

/// When a limit was crossed, when the first signal was sent for it, and when the run's processes were gone.
struct LimitEvents {
    std::optional<std::chrono::nanoseconds> crossed_at{};
    std::optional<std::chrono::nanoseconds> signalled_at{};
    std::optional<std::chrono::nanoseconds> ended_at{};
};

/// How one job ended. Every submitted job gets exactly one.
struct RunResult {
    Outcome outcome = Outcome::error;
    std::optional<Reason> reason{};   ///< the limit that ended it
    std::optional<int> returncode{};  ///< as in Python: exit status, or minus the signal; null if it never ran
    std::optional<int> exit_code{};
    std::optional<int> signal{};
    std::optional<Usage> usage{};  ///< null if it never ran
    Sources sources{};
    LimitEvents limit_events{};
    /// Bytes that the pipe accepted for the child's stdin and nobody read; null where that cannot be known.
    std::optional<Bytes> unread{};
    Capture capture{};
    std::optional<Error> error{};  ///< set if and only if outcome is `error`

    [[nodiscard]] bool passed() const noexcept { return outcome == Outcome::pass; }
};

}  // namespace proctor
