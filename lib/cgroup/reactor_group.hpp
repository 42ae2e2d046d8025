// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/failure.hpp"
#include "base/unique_fd.hpp"
#include "cgroup/cgroup_text.hpp"

// A reactor's group is a directory `proctor-` and 16 random hexadecimal digits, with a lock (flock) that the host holds
// on it. The kernel drops the lock when the last copy of the descriptor is closed, so a group that can be locked is
// that of a dead host. No process id is in the name: ids come again.
//
// The protocol: whoever holds the lock may remove the group, and nobody else does. Between mkdir and flock a new group
// can be locked by somebody who sweeps. Its maker then finds it locked, or gone; it leaves the group to the sweeper and
// makes another of a new name. After the lock is taken the maker looks whether the group is still there, as the sweeper
// may have come and gone between open and flock. From then on it is safe. Nobody waits for anybody. A sweeper that
// dies leaves a group that the next one finds unlocked.
//
// A copy of the host that was forked and lives on holds the lock too. Then the group stays until that one is dead.

namespace proctor::detail {

struct ReactorGroup {
    UniqueFd directory{};  ///< holds the lock
    std::string name{};
    bool has_kill_file = true;  ///< cgroup.kill (5.14); else it is frozen to be killed
};

/// Whether the name is one that make_reactor_group gives.
[[nodiscard]] bool is_reactor_group(std::string_view name) noexcept;

/// Makes a group with a name of its own in `place` and locks it. `path` is for the message.
[[nodiscard]] Expected<ReactorGroup> make_reactor_group(int place, const std::string& path);

/// Makes a group without processes pass on what it has of the controllers that are of use. Answers what it passes on.
Controllers enable_controllers(int directory) noexcept;

enum class Removal {
    done,     ///< it is gone, whoever removed it
    busy,     ///< a process is in it, or the work allowed is used up; worth another try
    refused,  ///< it is not ours to remove, or somebody uses it
};

/// Removes a group and those in it. It never waits: processes are not killed here. `work_left` is the number of system
/// calls that remove something, and counts down.
[[nodiscard]] Removal remove_group(int parent, const char* name, unsigned& work_left) noexcept;

/// SIGKILL to all in the group `name` in `parent` and below. 0, or an errno value.
int kill_group(int parent, const char* name) noexcept;

/// Kills and removes a group of a dead host.
[[nodiscard]] Removal sweep_group(int place, const char* name, unsigned& work_left) noexcept;

/// Sweeps all groups of dead hosts in `place`. Answers the names of those that are still busy.
[[nodiscard]] std::vector<std::string> sweep_left_overs(int place);

/// The errno of a call on a group, in words. `path` is that of the group.
[[nodiscard]] Error explain_failure(int error_number, const std::string& path);

}  // namespace proctor::detail
