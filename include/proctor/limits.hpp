// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <iosfwd>
#include <optional>
#include <string_view>

#include <proctor/export.hpp>
#include <proctor/units.hpp>

namespace proctor {

/// What a run may use: the whole tree of its processes together, except for the wall time. A limit that is not set does
/// not exist; zero or negative is an error of stage setup. Times are at most a hundred years.
struct RunLimits {
    /// Wall time from the successful execve of the main process (CLOCK_MONOTONIC: setting the clock changes nothing)
    /// until the reactor saw it dead; a host that is stopped or busy in a handler sees late.
    std::optional<std::chrono::nanoseconds> time{};
    /// Processor time, user and system. Watched by prediction: the tree is looked at when it could have used it up.
    std::optional<std::chrono::nanoseconds> cpu_time{};
    /// No progress for this long. Progress is a byte on stdin, stdout or stderr, or more than 1 % of one processor over
    /// that time. A program that sleeps is blocked; one that would run, and gets no processor, is not (where there is a
    /// /proc to see it in). After a phase of work it may be noticed up to a quarter of the limit late.
    std::optional<std::chrono::nanoseconds> block{};
    /// Memory that the tree holds at once. Kept by the kernel (memory.max) where a cgroup has the memory controller;
    /// else the tree is looked at again and again, and a short peak may pass.
    std::optional<Bytes> memory{};
    /// Processes alive at once, zombies apart, the main one included; with `Job::shell`, the shell is not counted while
    /// it still is the shell. Looked at again and again.
    std::optional<int> processes{};
    /// Threads and processes at once, zombies too. Kept by the kernel (pids.max) where a cgroup has the pids
    /// controller: a fork that is refused ends the run with process_limit. Else looked at again and again, and zombies
    /// are not seen in a cgroup.
    std::optional<int> tasks{};
};

/// An older name.
using Limits [[deprecated("say RunLimits")]] = RunLimits;

/// Why proctor ended a run. The first limit that was crossed wins; of several that are seen at once, memory_limit, then
/// process_limit, output_limit, cpu_limit, time_limit, block_limit.
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
