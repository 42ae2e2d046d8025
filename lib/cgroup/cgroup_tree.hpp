// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>

#include "base/failure.hpp"
#include "base/unique_fd.hpp"
#include "cgroup/cgroup_text.hpp"

namespace proctor::detail {

/// A directory of the cgroup v2 hierarchy in which groups for jobs can be made.
struct CgroupPlace {
    UniqueFd directory{};
    std::string path{};
    Controllers controllers{};  ///< those that it passes on to groups in it
    std::string cure{};         ///< how to get memory and pids passed on; empty if they are
};

/// The place that the caller gives, or one that is found. The host is never moved.
///
/// A given directory is made to pass controllers on as far as the kernel allows that, which is not at all while a
/// process is in it. Nothing is looked for beside it.
///
/// Else there are two candidates. The first is the group above our own, if it is ours to write, passes controllers on
/// and belongs to nobody else: a delegated group with the host in a leaf of it. A group of systemd's (a slice, or the
/// root where it reigns) belongs to somebody else also where root may write it. So does a reactor's group, in which we
/// are if the host is itself a job: its groups beside its own would escape the outer reactor's kill. The second is our
/// own group. What is made in it has no controllers as a rule (the kernel passes none on from a group that has
/// processes), yet cgroup.kill, cgroup.freeze, cgroup.events and cpu.stat need none. Nothing is enabled in either.
///
/// Errors: no cgroup v2, or nothing writable (systemd-run … -p Delegate=yes); a directory of another kind.
[[nodiscard]] Expected<CgroupPlace> find_place(const std::optional<std::string>& given);

}  // namespace proctor::detail
