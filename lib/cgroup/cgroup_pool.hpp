// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/failure.hpp"
#include "base/unique_fd.hpp"
#include "cgroup/cgroup.hpp"
#include "cgroup/cgroup_text.hpp"
#include "cgroup/cgroup_tree.hpp"
#include "cgroup/reactor_group.hpp"

namespace proctor::detail {

/// A reactor's control group and those of its jobs in it, made before they are needed and removed after, in tidy(),
/// away from launches and results. The reactor's own group holds no process, so it may pass controllers on.
///
///     PLACE/proctor-0123456789abcdef/job-1, job-2, …
///
/// Where memory or pids are counted a job's group is used once: peaks and events are not reset, and page cache stays
/// charged. Else only CPU time is, of which the difference can be taken, so it serves one job after another until one
/// has to be killed (see Cgroup::kill).
///
/// A forked copy of the host removes nothing and must not use the pool.
class CgroupPool {
public:
    /// Sweeps what dead hosts have left in `place`, and makes the reactor's group there. At most `ahead_max` groups are
    /// made ahead, and no more than jobs were running at once.
    [[nodiscard]] static Expected<std::unique_ptr<CgroupPool>> create(CgroupPlace place, unsigned ahead_max);
    CgroupPool(const CgroupPool&) = delete;
    CgroupPool& operator=(const CgroupPool&) = delete;
    ~CgroupPool() { shut_down(); }

    /// An empty group, which belongs to the caller until it is given back. `used_once`: nobody has used it or will.
    [[nodiscard]] Expected<Cgroup*> acquire(bool used_once);
    /// Takes it back, empty; one that is not is killed and removed when it can be.
    void give_back(Cgroup& group) noexcept;

    /// Makes a few groups and removes a few. Never waits. Whether it got anything done: if not, call it again only
    /// after a while, as what is left waits for processes to die.
    bool tidy() noexcept;
    [[nodiscard]] bool needs_tidying() const noexcept;

    /// Kills all that is in the reactor's group and removes it with all groups. It waits for the dying, a second at
    /// most; what is left then is swept by the next reactor in the same place.
    void shut_down() noexcept;

    /// The reactor's group, in which are those of all jobs. -1 after shut_down().
    [[nodiscard]] int directory() const noexcept { return own_.directory.get(); }
    /// What groups of jobs have.
    /// The file by which jobs are killed.
    [[nodiscard]] std::string_view kill_file() const noexcept {
        return own_.has_kill_file ? "cgroup.kill" : "cgroup.freeze";
    }
    [[nodiscard]] const Controllers& controllers() const noexcept { return controllers_; }
    /// Of the reactor's group.
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    /// How to get memory and pids; empty if they are there.
    [[nodiscard]] const std::string& cure() const noexcept { return place_.cure; }

    /// Whether jobs get the processors of a cpuset, and not those of whom they come from.
    [[nodiscard]] bool has_cpuset() const noexcept { return has_cpuset_; }

    /// No job's group has used processor time after this moment, as far as the kernel has accounted it by now. One
    /// reading for all jobs of a tick; always now where it cannot be had.
    [[nodiscard]] Instant last_activity(Instant time) noexcept;

private:
    struct LeftOver {
        std::string name{};
        unsigned tries_left = 0;
    };

    CgroupPool(CgroupPlace place, ReactorGroup own, unsigned ahead_max);

    [[nodiscard]] bool uses_once() const noexcept { return controllers_.memory || controllers_.pids; }
    [[nodiscard]] bool wants_more() const noexcept;
    [[nodiscard]] Expected<Cgroup*> make_group();
    [[nodiscard]] Cgroup* take(Cgroup* group, bool once) noexcept;
    Cgroup& blank_group();
    void discard(Cgroup& group) noexcept;
    bool remove_some() noexcept;
    bool make_some() noexcept;
    bool sweep_some() noexcept;
    void await_death() const noexcept;

    CgroupPlace place_;
    ReactorGroup own_;
    std::string path_;
    Controllers controllers_{};
    UniqueFd shared_{};  // of lean groups
    pid_t process_;
    unsigned ahead_max_;
    std::uint64_t last_number_ = 0;

    // All there are. A group is in one of the lists below, or with a job. The lists have room for all, so that moving
    // between them never allocates.
    std::vector<std::unique_ptr<Cgroup>> groups_{};
    std::vector<Cgroup*> fresh_{};
    std::vector<Cgroup*> idle_{};   ///< used, and ready for another job
    std::vector<Cgroup*> spent_{};  ///< to be removed; nothing of them is open
    std::vector<Cgroup*> blank_{};  ///< no group at all
    std::vector<LeftOver> left_overs_{};
    std::size_t taken_ = 0;
    std::size_t taken_most_ = 0;
    std::size_t next_spent_ = 0;  ///< where removing goes on, so that a busy one does not hold up others
    bool making_failed_ = false;

    bool has_cpuset_;
    UniqueFd own_cpu_{};
    std::optional<std::uint64_t> usage_{};  ///< as it was read last
    Instant usage_read_at_{};
    Instant active_at_{};
};

}  // namespace proctor::detail
