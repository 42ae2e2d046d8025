// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "accounting/proc_directory.hpp"
#include "accounting/process_stat.hpp"

namespace proctor::detail {

/// A process at the moment of a look.
struct Process {
    pid_t pid = 0;
    ProcessStat stat{};
};

/// The order of tables of processes.
[[nodiscard]] inline bool by_pid(const Process& left, const Process& right) noexcept { return left.pid < right.pid; }

/// In a table in that order; null if it is not there.
[[nodiscard]] const Process* find_process(std::span<const Process> sorted, pid_t pid) noexcept;

/// Whether `child` can be a child of `parent`, by age. When a parent dies and its number is given to another process
/// between two reads, that one looks like a parent that is younger than its child.
[[nodiscard]] inline bool can_be_child(const ProcessStat& child, const ProcessStat& parent) noexcept {
    return child.start_time >= parent.start_time;
}

/// All processes of this pid namespace (threads of the kernel left out), read by one walk for all jobs of a tick.
///
/// A walk is not a snapshot: what begins during it may be missing, and a process whose parent died during it may still
/// name that one.
class ProcessTable {
public:
    /// Walks over /proc. Allocates only if there are more processes than ever before.
    void refresh(const ProcDirectory& proc) noexcept;
    /// The same of those alone that have an id from `first` to `last`, by asking for each: cheap for few ids among
    /// many processes. False, and to be refreshed in the other way, where ids cannot be asked for: no descriptor is
    /// left.
    [[nodiscard]] bool refresh(const ProcDirectory& proc, pid_t first, pid_t last) noexcept;
    /// Whether each process that was come upon could still be read. One that could not may have left a child where the
    /// walk had been already.
    [[nodiscard]] bool complete() const noexcept { return complete_; }

    [[nodiscard]] std::span<const Process> processes() const noexcept { return processes_; }
    /// None if there was no such process at the walk.
    [[nodiscard]] const Process* find(pid_t pid) const noexcept;

    /// A question about some processes and all that descends from them: begin, add what it starts from, close.
    /// `found` gets each process once.
    void begin(std::vector<const Process*>& found) noexcept;
    void add(const Process& process, std::vector<const Process*>& found) noexcept;
    void add_session(pid_t session, std::vector<const Process*>& found) noexcept;
    void add_group(pid_t group, std::vector<const Process*>& found) noexcept;
    /// Of a process that is known to be there and not to be seen.
    void add_children(pid_t parent, std::vector<const Process*>& found) noexcept;
    void close(std::vector<const Process*>& found) noexcept;

private:
    /// Indices of processes by one of their numbers, such as the parent's.
    using Index = std::vector<std::pair<pid_t, std::uint32_t>>;

    void add(const ProcDirectory& proc, pid_t pid) noexcept;
    void build_indices() noexcept;
    void build(Index& index, pid_t ProcessStat::*number) noexcept;
    static std::span<const std::pair<pid_t, std::uint32_t>> equal(const Index& index, pid_t number) noexcept;

    std::vector<Process> processes_{};  // by pid
    bool complete_ = true;
    Index by_parent_{};
    Index by_session_{};
    Index by_group_{};
    // In which question each process was found last: clearing it would cost each question the whole table.
    std::vector<std::uint64_t> found_in_{};
    std::uint64_t question_ = 0;
};

}  // namespace proctor::detail
