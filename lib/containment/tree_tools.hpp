// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <proctor/error.hpp>

#include "accounting/proc_directory.hpp"
#include "accounting/process_table.hpp"
#include "base/clock.hpp"
#include "cgroup/cgroup_pool.hpp"

namespace proctor::detail {

/// What a reactor has to hold trees together with, the same for all of its jobs.
struct TreeTools {
    std::unique_ptr<CgroupPool> groups{};  ///< null: no cgroups
    std::optional<Error> no_groups{};      ///< why not
    std::optional<std::string> keeper{};   ///< path of the keeper; none: no keepers
    std::optional<ProcDirectory> proc{};   ///< none: /proc is not mounted, and nothing is looked at
    std::optional<ProcessTable> table{};   ///< of all processes, where lists of children do not do
    Instant table_time{};                  ///< when that was read
    std::vector<pid_t> pids{};             ///< to be used by one look at a time
    std::vector<Process> processes{};      ///< the same
};

}  // namespace proctor::detail
