// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
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
    /// Processor time in user mode and in the kernel, from clone on, of all descendants that the mechanism knows; see
    /// Sources::cpu and cpu_complete.
    std::chrono::nanoseconds utime{};
    std::chrono::nanoseconds stime{};
    /// Peak of memory held at once, by Sources::mem; null where nothing can be said about it.
    std::optional<Bytes> mem{};
    /// Most processes alive at once, by Sources::proc; where it was only looked at from time to time, a lower bound.
    std::optional<int> proc{};
    /// Peak of anonymous and shared memory and what of it was swapped out, page cache apart, as far as it was looked
    /// at; null if it was not.
    std::optional<Bytes> mem_anon{};
    /// Of the main process and of those that it waited for (getrusage(2)); null in a live snapshot.
    std::optional<std::int64_t> voluntary_switches{};
    std::optional<std::int64_t> involuntary_switches{};
    std::optional<std::int64_t> minor_faults{};
    std::optional<std::int64_t> major_faults{};
    std::optional<Bytes> read_bytes{};     ///< from storage
    std::optional<Bytes> written_bytes{};  ///< to storage
};

/// One living process of a tree.
struct ChildUsage {
    int pid = 0;
    std::chrono::nanoseconds utime{};
    std::chrono::nanoseconds stime{};
    Bytes mem = 0;
};

/// By which mechanism each number and each act came about. Null where there is none.
struct Sources {
    std::string_view engine = "none";  ///< io_uring, poll; none if no reactor could be made
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

/// Which limit on output ended a run, and where.
struct OutputLimit {
    Stream stream = STDOUT;
    CaptureLimit limit = CaptureLimit::bytes;
    Bytes offset = 0;  ///< of the first byte that was too many
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
    /// The limit that was crossed in drain_grace, by who was left when the main process had ended, and was killed for
    /// it then. The verdict had been settled, so `outcome` and `reason` say nothing of it; `usage` has what was used.
    std::optional<Reason> limit_in_grace{};
    /// Bytes that the pipe accepted for the child's stdin and nobody read; null where that cannot be known.
    std::optional<Bytes> unread{};
    Capture capture{};
    std::optional<Error> error{};  ///< set if and only if outcome is `error`
    /// With block_limit: what the tree was waiting for then, in words, such as "reading stdin".
    std::string blocked_in{};
    std::optional<OutputLimit> output_limit{};  ///< set if and only if that is the reason

    [[nodiscard]] bool passed() const noexcept { return outcome == Outcome::pass; }
};

}  // namespace proctor
