// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "accounting/process_tree.hpp"
#include "base/clock.hpp"

namespace proctor::detail {

/// The processor time of a process, all its threads and those that have ended included, to the nanosecond: its CPU
/// clock, which needs no right over it and goes on answering until it is reaped. None if there is no such process.
[[nodiscard]] std::optional<Nanoseconds> process_cpu(pid_t pid) noexcept;

/// Has the kernel account what a thread has used that is running now. It does so by itself when the thread is switched
/// out and at each tick (1 to 10 ms), and every clock and file tells what was accounted last. Does nothing for a thread
/// of a policy of its own, and where we may not set its policy: it is another user's, and we are not privileged.
void account_running(pid_t thread) noexcept;

/// Processor time in user mode and in the kernel.
struct CpuTimes {
    Nanoseconds user{};
    Nanoseconds system{};

    [[nodiscard]] Nanoseconds total() const noexcept { return user + system; }
    CpuTimes& operator+=(const CpuTimes& other) noexcept {
        user += other.user;
        system += other.system;
        return *this;
    }
    CpuTimes& operator-=(const CpuTimes& other) noexcept {
        user -= other.user;
        system -= other.system;
        return *this;
    }
};

/// Processor time of a tree, kept together from one look to the next. It never falls, and it never counts anything
/// twice, so it is a lower bound.
///
/// Of a process that lives at the look, or is dead and not yet reaped, everything is known. Of one that went between
/// two looks there are two bounds: what it had used at the last look, and what its parent was charged for it on waiting
/// (told in clock ticks, so up to 20 ms less for each parent). Of all such children of one parent together the greater
/// counts, because the charge does not say for whom it was. What is lost:
///   - what it used after the last look, and all of it if it came and went between two, where nobody in the tree waited
///     for it: its parent ignores SIGCHLD, or died first so that init or a sub-reaper outside the tree reaped it;
///   - the same of children of a parent that itself went between the two looks, where nobody waited for that;
///   - the lesser bound, where a parent waited for some of its children and left others to the kernel;
///   - processes that the tree does not see.
///
/// The total is the clock's. The kernel splits it by what each tick found running (/proc/PID/stat), and so do we: user
/// and system are the total in the proportion of those, and below one tick all is user. At the end the main process's
/// rusage is more exact: see take_rusage().
class TreeCpu {
public:
    /// After each look of the tree.
    void update(const ProcessTree& tree) noexcept;

    /// What the main process and those it waited for used, as waitid(2) tells when it is reaped: the microseconds that
    /// /proc lacks. After the last update(), which has to be before the reaping.
    void take_rusage(pid_t root, const CpuTimes& used) noexcept;

    [[nodiscard]] const CpuTimes& used() const noexcept { return used_; }

private:
    struct Entry {
        pid_t pid = 0;
        pid_t parent = 0;
        std::uint64_t start_time = 0;
        bool seen = false;         // at this look
        CpuTimes own{};            // by its clock
        CpuTimes waited_before{};  // of children, as the kernel had charged it when it was seen first
        CpuTimes waited{};         // the same since then
        CpuTimes departed{};       // of children that went since then, as last seen
        [[nodiscard]] CpuTimes all() const noexcept;
    };

    Entry* find(pid_t pid, std::size_t known) noexcept;
    void see(const Process& process, std::size_t known) noexcept;
    void bury(const Entry& entry, std::size_t known) noexcept;
    void add_up() noexcept;

    std::vector<Entry> entries_{};  // by pid
    CpuTimes orphaned_{};           // of processes that went, where nobody in the tree can have waited for them
    CpuTimes used_{};
};

}  // namespace proctor::detail
