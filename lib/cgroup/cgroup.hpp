// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <proctor/units.hpp>

#include "base/clock.hpp"
#include "base/failure.hpp"
#include "base/unique_fd.hpp"
#include "cgroup/cgroup_text.hpp"

namespace proctor::detail {

/// CPU time of a group and all below it, dead processes included, since it was acquired.
struct GroupCpu {
    Nanoseconds user{};  ///< `user` and `system` are the kernel's split of `usage` by its clock ticks
    Nanoseconds system{};
    Nanoseconds usage{};  ///< counted, not sampled; shown in microseconds
};

/// memory.events, of the group and all below it.
struct GroupMemoryEvents {
    std::uint64_t max = 0;             ///< how often memory was wanted beyond the limit, before anything was reclaimed
    std::uint64_t oom = 0;             ///< how often reclaiming did not help
    std::uint64_t oom_kill = 0;        ///< processes killed for that, or for want of memory above this group
    std::uint64_t oom_group_kill = 0;  ///< how often the whole group was; kernel 5.17
};

/// The control group of one job. Its pool makes and removes it.
///
/// A reading is one pread into the stack and none where it cannot be had: the controller is not there, or somebody has
/// removed the group. A file is opened when it is first read and kept open until the group is given back, so a job
/// costs the directory, cgroup.events, and one descriptor for each file that is looked at. Where many live at once
/// that would be most of the host's descriptors: such a group is *lean*, which keeps none once its job has started, and
/// opens what is read in one descriptor that all lean groups share.
class Cgroup {
public:
    Cgroup() = default;
    Cgroup(const Cgroup&) = delete;
    Cgroup& operator=(const Cgroup&) = delete;
    ~Cgroup() = default;

    /// For CLONE_INTO_CGROUP, which says ENODEV or ENOENT if somebody has removed the group.
    [[nodiscard]] int directory() const noexcept { return directory_.get(); }
    [[nodiscard]] std::string path() const;

    /// Opens what is read of every job, so that a lack of descriptors is told before the launch and not met while
    /// limits have to be kept.
    [[nodiscard]] Expected<void> open_for_watching();

    /// memory.max, which the kernel rounds down to whole pages; no swap; at an OOM the kernel kills all of the group.
    [[nodiscard]] Expected<void> limit_memory(Bytes most);
    /// The job has been born into the group.
    void note_started() noexcept;

    /// pids.max: threads count, and zombies until they are reaped.
    [[nodiscard]] Expected<void> limit_tasks(std::uint64_t most);

    /// SIGKILL to all processes in the group and below, frozen ones and those being forked included (kernel 5.14). They
    /// die a little later: see populated(). The group is then not used again: since 6.14 (and in stable branches) the
    /// kernel takes a process that CLONE_INTO_CGROUP puts into a group for one that was being forked during the kill,
    /// and kills it at birth, if that group was killed more often than ours (it compares their `kill_seq`).
    bool kill() noexcept;
    /// Stops all processes, or lets them go on. It takes effect a little later: see frozen().
    bool freeze(bool on) noexcept;

    /// Whether a process lives in the group or below, now. Zombies do not count.
    [[nodiscard]] std::optional<bool> populated() noexcept;
    /// Whether all processes have stopped for freeze(), now.
    [[nodiscard]] std::optional<bool> frozen() noexcept;
    /// cgroup.events, to be polled with POLLPRI alone (POLLIN is always there). It becomes ready when something has
    /// changed since it was last read, so call populated() first. The kernel may tell 10 ms late: read at once where a
    /// change is expected, and poll for the rest. -1 if it cannot be had.
    [[nodiscard]] int events() noexcept { return file(File::events); }

    [[nodiscard]] std::optional<GroupCpu> cpu() noexcept;
    /// The most there was; page cache included. Kernel 5.19.
    [[nodiscard]] std::optional<Bytes> memory_peak() noexcept;
    /// Page cache included.
    [[nodiscard]] std::optional<Bytes> memory_current() noexcept;
    /// Without page cache: memory.stat's anon and shmem. Files of a tmpfs are shmem.
    [[nodiscard]] std::optional<Bytes> memory_anon() noexcept;
    [[nodiscard]] std::optional<GroupMemoryEvents> memory_events() noexcept;
    /// How many forks were refused. Since 6.11 the refusals for this group's pids.max are counted, also below it.
    /// Before, it is the refusals met by processes in this very group, for whichever limit at or above it. So it is
    /// zero, then and now, if none was refused; before 6.11 a limit above, or groups that the job makes, blur it.
    [[nodiscard]] std::optional<std::uint64_t> pids_refused() noexcept;
    /// pids.events, to be polled with POLLPRI as events() is. -1 if it cannot be had.
    [[nodiscard]] int task_events() noexcept { return file(File::pids_events); }
    /// Most tasks at once. Kernel 6.1.
    [[nodiscard]] std::optional<std::uint64_t> pids_peak() noexcept;

    /// Appends the ids of all processes in the group, not below it; false if they cannot be read. In no order; one that
    /// goes while we read may come twice. A dead process is not in it, but a main thread that has exited while others
    /// of its process live is.
    bool processes(std::vector<pid_t>& pids) noexcept;
    /// The same for threads.
    bool threads(std::vector<pid_t>& tids) noexcept;

private:
    friend class CgroupPool;

    enum class File : std::uint8_t {
        events,
        cpu,
        processes,
        threads,
        memory_current,
        memory_peak,
        memory_stat,
        memory_events,
        pids_events,
        pids_peak,
    };
    static constexpr std::size_t file_count = 10;
    /// Those that are read of every job. They stay open for the next one.
    static constexpr std::array watched{File::events, File::cpu, File::processes};
    static const char* name_of(File file) noexcept;

    // --- For the pool

    /// A new group in the directory `parent`. 0, or an errno value; then there is none.
    int make(int parent, std::uint64_t number) noexcept;
    /// Makes it ready for a job. 0, or an errno value. Fresh, it has used nothing; else its CPU time counts from here.
    int begin(bool fresh) noexcept;
    /// Whether it can serve another job: nobody is in it, it is not frozen, and no groups were made in it.
    [[nodiscard]] bool is_clean() noexcept;
    /// Closes what another job may not need.
    void close_most() noexcept;
    void close_all() noexcept;

    [[nodiscard]] int file(File which) noexcept;
    [[nodiscard]] int open(const char* file_name, int flags) const noexcept;
    [[nodiscard]] int open_shared(const char* file_name, int flags) noexcept;
    [[nodiscard]] std::optional<Bytes> read_bytes(File which) noexcept;
    [[nodiscard]] std::optional<GroupCpu> read_cpu() noexcept;
    [[nodiscard]] std::optional<bool> read_event(std::string_view key) noexcept;
    [[nodiscard]] Expected<void> limit(const char* file_name, std::uint64_t most, bool controller_is_there,
                                       const char* controller);

    UniqueFd directory_{};
    std::array<UniqueFd, file_count> files_{};
    GroupCpu baseline_{};
    char name_[32] = {};
    // Of the pool.
    const std::string* parent_path_ = nullptr;
    const Controllers* controllers_ = nullptr;
    UniqueFd* shared_ = nullptr;  // what lean groups read by
    int parent_ = -1;
    bool lean_ = false;
    bool once_ = false;  ///< it will not be used again
};

}  // namespace proctor::detail
