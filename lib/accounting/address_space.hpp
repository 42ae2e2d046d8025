// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>
#include <vector>

#include "accounting/proc_directory.hpp"
#include "accounting/process_table.hpp"

namespace proctor::detail {

/// Finds the address spaces of the processes that live, and one id (a process's or a thread's) for each, into `ids`.
/// Two processes have one in common between vfork and execve, and after clone(CLONE_VM). `processes` is in order of
/// pids.
void find_address_spaces(const ProcDirectory& proc, std::span<const Process> processes,
                         std::vector<pid_t>& ids) noexcept;

/// Whether two processes have one address space, by kcmp(2). None where that is not allowed (it takes the right to
/// trace both, and containers without CAP_SYS_PTRACE often refuse the call itself) or not there.
[[nodiscard]] std::optional<bool> same_address_space(pid_t left, pid_t right) noexcept;

/// The same by looks alone, for a child that has not called execve and its parent: if they have one address space, the
/// child's numbers lie between those of the parent before and after it, and while the parent waits for a vfork child
/// one of its threads is in an uninterruptible sleep. After clone(CLONE_VM) without CLONE_VFORK nobody waits: not
/// found.
[[nodiscard]] bool looks_like_vfork(const ProcDirectory& proc, pid_t child, pid_t parent) noexcept;

}  // namespace proctor::detail
