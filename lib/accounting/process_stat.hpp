// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "accounting/proc_directory.hpp"
#include "base/clock.hpp"

namespace proctor::detail {

/// What /proc/PID/stat tells of one process, /proc/PID/task/TID/stat of one thread (proc_pid_stat(5)).
struct ProcessStat {
    char state = '?';  ///< of a process: of its first thread
    pid_t parent = 0;
    pid_t group = 0;
    pid_t session = 0;
    std::uint32_t flags = 0;
    Nanoseconds utime{};  ///< all four in clock ticks, 10 ms as a rule, and rounded down to one
    Nanoseconds stime{};
    Nanoseconds waited_utime{};  ///< of children that it has waited for, and those that they had waited for
    Nanoseconds waited_stime{};
    int threads = 0;               ///< the first one included, also where that is dead
    std::uint64_t start_time = 0;  ///< in clock ticks since boot: with the pid, what a process is known by

    /// Has not called execve since its clone, so it may share the memory of its parent (PF_FORKNOEXEC).
    [[nodiscard]] bool never_executed() const noexcept { return (flags & 0x40U) != 0; }
    /// On its way out, before it lets go of its descriptors (PF_EXITING).
    [[nodiscard]] bool exiting() const noexcept { return (flags & 0x4U) != 0; }
    /// A worker thread of io_uring, which is in the kernel only (PF_IO_WORKER).
    [[nodiscard]] bool is_io_worker() const noexcept { return (flags & 0x10U) != 0; }
    /// PF_KTHREAD. Not by the parent, which is process 2 outside of containers alone.
    [[nodiscard]] bool is_kernel_thread() const noexcept { return (flags & 0x00200000U) != 0; }
    [[nodiscard]] bool first_thread_dead() const noexcept { return state == 'Z' || state == 'X'; }
    /// Nothing of it runs any more: it waits for its parent to take the exit status. A process whose first thread alone
    /// has ended shows the same state.
    [[nodiscard]] bool dead() const noexcept { return first_thread_dead() && threads <= 1; }
};

/// Fields are counted from the last ')': a process may put any byte into its name.
[[nodiscard]] std::optional<ProcessStat> parse_process_stat(std::string_view text, long ticks_per_second) noexcept;

/// None if the process is gone or may not be seen.
[[nodiscard]] std::optional<ProcessStat> read_process_stat(const ProcDirectory& proc, pid_t pid) noexcept;
[[nodiscard]] std::optional<ProcessStat> read_thread_stat(const ProcDirectory& proc, pid_t pid, pid_t thread) noexcept;
/// The same without a directory at hand.
[[nodiscard]] std::optional<ProcessStat> read_process_stat(pid_t pid) noexcept;

}  // namespace proctor::detail
