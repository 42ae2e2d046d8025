// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <proctor/error.hpp>

#include "accounting/birth_watch.hpp"
#include "accounting/proc_directory.hpp"
#include "accounting/process_table.hpp"
#include "base/clock.hpp"
#include "cgroup/cgroup_pool.hpp"

namespace proctor::detail {

/// What a reactor has to hold trees together with, the same for all of its jobs.
struct TreeTools {
    std::unique_ptr<CgroupPool> groups{};              ///< null: no cgroups
    std::optional<Error> no_groups{};                  ///< why not
    std::optional<std::string> keeper{};               ///< path of the keeper; none: no keepers
    std::optional<ProcDirectory> proc{};               ///< none: /proc is not mounted, and nothing is looked at
    BirthWatch births{};                               ///< spares walks; knows nothing where no tree needs them
    std::optional<ProcessTable> table{};               ///< of processes, where lists of children do not do
    Instant table_time{};                              ///< when that was read
    std::optional<BirthWatch::Moment> table_from{};    ///< it has who was born since then; none: everybody
    std::optional<BirthWatch::Moment> table_moment{};  ///< immediately before it was read; none: not known
    std::uint64_t walks = 0;                           ///< how often it was read of all processes
    std::vector<pid_t> pids{};                         ///< to be used by one look at a time
    std::vector<Process> processes{};                  ///< the same
};

}  // namespace proctor::detail
