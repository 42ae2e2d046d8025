// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace proctor::detail {

/// `from` becomes `to` in the child.
struct DescriptorMove {
    int from = -1;
    int to = -1;
};

struct DescriptorRange {
    unsigned first = 0;
    unsigned last = 0;
};

struct RlimitSetting {
    std::uint64_t soft = 0;
    std::uint64_t hard = 0;
    int resource = 0;
    std::int32_t required = 1;
};

/// The step that failed on the way to exec; none if the child got past them all.
enum class ChildStep : std::int32_t {
    none,
    clone,  ///< in a keeper; a clone of the host fails before there is a record to tell of it
    descriptors,
    session,
    directory,
    rlimits,
    nice,
    affinity,
    groups,
    gid,
    uid,
    parent_death_signal,
    no_new_privileges,
    exec,
};

/// All that passes between the host and one child that starts. Everything that it points at lives until `alive` is 0.
/// It has no padding, as a copy of it goes to the keeper.
struct LaunchRecord {
    // Written by the host before clone, read by the child.
    char* const* argv = nullptr;
    char* const* environment = nullptr;
    const char* const* candidates = nullptr;  ///< paths to try in turn, ended by null
    const char* directory = nullptr;
    DescriptorMove* moves = nullptr;  ///< targets all distinct; the child may replace a source by its copy
    const DescriptorRange* closed_ranges = nullptr;  ///< all numbers but the targets
    const RlimitSetting* rlimits = nullptr;
    const unsigned long* affinity = nullptr;
    const unsigned* groups = nullptr;
    const LaunchRecord* peers = nullptr;  ///< the first of all records of this host's launcher, linked by `next_peer`
    const LaunchRecord* next_peer = nullptr;
    unsigned move_count = 0;
    unsigned unshare_from = 0;  ///< not 0: it shares the host's table until it has let go of all from this number on
    int above_targets = 3;      ///< no target is this number or larger
    unsigned closed_range_count = 0;
    unsigned rlimit_count = 0;
    unsigned affinity_bytes = 0;
    unsigned group_count = 0;
    unsigned uid = 0;
    unsigned gid = 0;
    int nice = 0;
    unsigned umask = 0;
    int parent_death_signal = 0;
    int host_pid = 0;
    bool affinity_required = true;
    bool has_user = false;
    bool has_nice = false;
    bool has_umask = false;
    bool new_session = false;
    bool no_new_privileges = false;
    bool signals_stay_blocked = false;  ///< also after exec; then ignored ones stay ignored too
    bool reserved[5] = {};

    // Written by the child.
    std::int64_t stamp_ns = 0;  ///< CLOCK_MONOTONIC, taken immediately before the execve that is tried last
    ChildStep failed_step = ChildStep::none;
    int error_number = 0;
    std::int32_t program_found = 1;
    volatile std::int32_t descriptors_closed = 0;  ///< it holds nothing of the host's any more

    /// 1 from before clone until the kernel clears it (CLONE_CHILD_CLEARTID): the child has left this address space, by
    /// exec or by death; which of the two it does not say.
    volatile std::int32_t alive = 0;
    std::int32_t reserved_too = 0;
};

extern "C" {

/// clone(2) with a stack of its own; the child runs proctor_exec_child(record) and never returns. Gives the pid or
/// -errno; the pidfd is stored through `pidfd`.
long proctor_clone(unsigned long flags, void* stack_top, int* pidfd, volatile std::int32_t* child_tid,
                   LaunchRecord* record);

/// The same by clone3(2), which finds the stack and all else in its arguments.
long proctor_clone3(const void* arguments, unsigned long size, LaunchRecord* record);

[[noreturn]] void proctor_exec_child(LaunchRecord* record);
}

}  // namespace proctor::detail
