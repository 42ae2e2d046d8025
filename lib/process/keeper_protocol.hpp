// SPDX-License-Identifier: MIT
//
// What the host and the keeper (keeper/keeper.cpp) tell each other.
//
// The host makes a socket pair (SOCK_STREAM) and a file in memory that holds the job's plan, and starts the keeper
// with the job's descriptors under their final numbers and these two above them. The keeper maps the plan where it was
// made for, starts the job's process, closes all that is the job's, and reports. The socket is the lifeline too: at its
// end of file the keeper kills its tree and exits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "process/launch_record.hpp"

namespace proctor::detail {

/// Raised with every change of what is below or of LaunchRecord.
inline constexpr std::uint32_t keeper_protocol = 2;
inline constexpr std::uint32_t keeper_plan_magic = 0x504c414e;

/// Where the keeper maps the plan (MAP_FIXED_NOREPLACE), so that the host can write the pointers in it ready for use.
/// The keeper is linked to a fixed address far below, and stack and mmap areas of x86-64 and aarch64 (39 bits at least)
/// lie far above.
inline constexpr std::uintptr_t keeper_plan_address = std::uintptr_t{1} << 36;

/// The beginning of the plan; behind it is what the record points at.
struct KeeperPlan {
    // These three stay where they are in every version.
    std::uint32_t magic = keeper_plan_magic;
    std::uint32_t protocol = keeper_protocol;
    std::int32_t control = -1;  ///< the number of the keeper's end of the socket

    std::uint32_t record_size = sizeof(LaunchRecord);
    std::int32_t host_pid = 0;
    std::int32_t without_children_files = 0;  ///< for tests: as on a kernel without CONFIG_PROC_CHILDREN
    LaunchRecord record{};
};

/// What the keeper gets when the thread that started it ends. If the host has ended with it, that is a cut lifeline,
/// also where a forked copy of the host still holds the socket; else it is the job's own parent death signal that has
/// to be passed on. SIGRTMAX: nobody sends it by accident.
inline constexpr int keeper_parent_death_signal = 64;

/// Bits of KeeperReport::news.
inline constexpr std::uint32_t keeper_started = 1U << 0;     ///< the job's program runs
inline constexpr std::uint32_t keeper_failed = 1U << 1;      ///< it does not, see failed_step; nothing follows
inline constexpr std::uint32_t keeper_main_ended = 1U << 2;  ///< the main process is dead, and has been reaped
inline constexpr std::uint32_t keeper_empty = 1U << 3;       ///< no process of the job is left; nothing follows
inline constexpr std::uint32_t keeper_refused = 1U << 4;     ///< host and keeper are of different versions

/// What rusage tells of processes that have been reaped.
struct KeeperUsage {
    std::int64_t user_ns = 0;
    std::int64_t system_ns = 0;
    std::int64_t peak_bytes = 0;  ///< the largest single process
    std::int64_t minor_faults = 0;
    std::int64_t major_faults = 0;
    std::int64_t blocks_in = 0;
    std::int64_t blocks_out = 0;
    std::int64_t voluntary_switches = 0;
    std::int64_t involuntary_switches = 0;
};

/// One message of the keeper. All that is known so far is in each, so that news of one moment are one message; with
/// `keeper_started` the pidfd of the main process comes as SCM_RIGHTS.
struct KeeperReport {
    std::uint32_t protocol = keeper_protocol;
    std::uint32_t news = 0;  ///< what this message is the first to tell
    std::int32_t pid = 0;
    std::int32_t wait_status = 0;  ///< of the main process, as wait(2) gives it

    std::int64_t stamp_ns = 0;  ///< LaunchRecord::stamp_ns
    ChildStep failed_step = ChildStep::none;
    std::int32_t error_number = 0;
    std::int32_t program_found = 1;
    std::int32_t reserved = 0;

    std::int64_t main_ended_ns = 0;  ///< CLOCK_MONOTONIC, when the keeper saw it
    KeeperUsage main{};              ///< with the children that it waited for
    /// Of all that the keeper reaped, the main process too, each with the children that it waited for. What a process
    /// that ignores SIGCHLD had for children is in nobody's rusage (wait(2)), so this is a lower bound.
    KeeperUsage tree{};
    std::uint64_t reaped = 0;
};

enum class KeeperOrder : std::uint32_t {
    kill = 1,    ///< SIGKILL to every descendant until none is left
    signal = 2,  ///< `number` to every descendant that is there now
};

struct KeeperCommand {
    KeeperOrder order{};
    std::int32_t number = 0;
};

}  // namespace proctor::detail
