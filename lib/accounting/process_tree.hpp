// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "accounting/proc_directory.hpp"
#include "accounting/process_table.hpp"

namespace proctor::detail {

/// The processes of one job as far as /proc tells: its main process, what descends from it, and what was seen to
/// descend from it before, also where the parent has died and init or a sub-reaper has taken it over.
///
/// What it cannot see: a process that made a session of its own and lost its parent between two looks, and what that
/// one starts. Such a one belongs to no tree any more.
///
/// A process is known by its pid and its start time, so a number that is used again is somebody else. The main process
/// must not be reaped before the last look: its number is what session and group are known by.
class ProcessTree {
public:
    /// Whether the root may be kept from our eyes: a keeper lets nobody trace it, and where /proc is mounted with
    /// `hidepid` an ordinary user sees only whom he may trace.
    enum class Root : bool { seen, perhaps_hidden };

    explicit ProcessTree(pid_t root, Root kind = Root::seen) noexcept
        : root_(root), root_may_hide_(kind == Root::perhaps_hidden) {}

    /// Looks by the kernel's lists of children: cheap for a small tree in a big system. False where the kernel has no
    /// such lists, or the root's is hidden: refresh a table and look there.
    bool scan(const ProcDirectory& proc) noexcept;

    /// Looks in a table that was just refreshed: cheap where one walk serves many trees. Besides descendants it finds
    /// the members of the root's session and group, where these are the root's own. Of a hidden root the children name
    /// it as their parent.
    void scan(ProcessTable& table) noexcept;

    /// Looks again at those that are known, for when nobody else can have come.
    void refresh(const ProcDirectory& proc) noexcept;

    /// By pid; dead ones that nobody has waited for included.
    [[nodiscard]] std::span<const Process> members() const noexcept { return members_; }
    [[nodiscard]] const Process* find(pid_t pid) const noexcept;
    [[nodiscard]] pid_t root() const noexcept { return root_; }

    /// Thread groups that live.
    [[nodiscard]] int process_count() const noexcept;
    /// Threads, dead processes that nobody has waited for included: what the kernel counts against pids.max.
    [[nodiscard]] int task_count() const noexcept;

private:
    void add_children(const ProcDirectory& proc, Process parent, std::size_t known, std::uint64_t began) noexcept;
    void add_children_of_thread(const ProcDirectory& proc, const Process& parent, pid_t thread, std::size_t known,
                                std::uint64_t began) noexcept;
    void add_child(const ProcDirectory& proc, const Process& parent, pid_t pid, std::size_t known,
                   std::uint64_t began) noexcept;

    pid_t root_;
    bool root_may_hide_;
    std::optional<std::uint64_t> root_start_time_{};
    std::vector<Process> members_{};
    std::vector<const Process*> found_{};
};

/// Signals a process if it is still the one that was seen; its number may have been given to another since. 0 or
/// -errno, -ESRCH if it is gone.
int signal_if_same(const ProcDirectory& proc, const Process& process, int signal) noexcept;

}  // namespace proctor::detail
