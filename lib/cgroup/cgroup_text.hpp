// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace proctor::detail {

/// The controllers that jobs are limited and accounted by. Others are never touched.
struct Controllers {
    bool cpu = false;
    bool memory = false;
    bool pids = false;

    friend bool operator==(const Controllers&, const Controllers&) = default;
};

/// The content of cgroup.controllers or cgroup.subtree_control.
[[nodiscard]] Controllers parse_controllers(std::string_view text) noexcept;

/// Where a part of the cgroup v2 hierarchy is mounted.
struct CgroupMount {
    std::string root{};   ///< the group that is seen at `point`
    std::string point{};  ///< a directory

    friend bool operator==(const CgroupMount&, const CgroupMount&) = default;
};

/// The mounts of type cgroup2 in /proc/PID/mountinfo, less those that a later mount at the same point hides.
[[nodiscard]] std::vector<CgroupMount> parse_cgroup_mounts(std::string_view mountinfo);

/// The v2 group in /proc/PID/cgroup, the line that begins with "0::". None where the kernel has no cgroup v2.
[[nodiscard]] std::optional<std::string> parse_own_group(std::string_view text);

/// The directory of a group below a mount; none where the mount does not show it.
[[nodiscard]] std::optional<std::string> path_of_group(const CgroupMount& mount, std::string_view group);

/// The group of a canonical path below a mount; none where the path is not below it.
[[nodiscard]] std::optional<std::string> group_of_path(const CgroupMount& mount, std::string_view path);

/// The group above `group`; none above the root.
[[nodiscard]] std::optional<std::string> parent_group(std::string_view group);

/// The nearest group that is, or is above, both.
[[nodiscard]] std::string common_ancestor(std::string_view left, std::string_view right);

/// The number in the line "KEY NUMBER", which must be whole: what was cut off at its end is no number.
[[nodiscard]] std::optional<std::uint64_t> find_value(std::string_view text, std::string_view key) noexcept;

/// A file that holds one number and a newline; none for "max".
[[nodiscard]] std::optional<std::uint64_t> parse_count(std::string_view text) noexcept;

/// Takes cgroup.procs or cgroup.threads in pieces, as reads happen to cut it.
class PidListParser {
public:
    explicit PidListParser(std::vector<pid_t>& pids) noexcept : pids_(pids) {}

    void take(std::string_view piece);

private:
    std::vector<pid_t>& pids_;
    std::int64_t number_ = 0;
};

}  // namespace proctor::detail
