// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <proctor/job.hpp>

#include "base/clock.hpp"
#include "base/failure.hpp"
#include "base/unique_fd.hpp"
#include "process/keeper.hpp"
#include "process/keeper_protocol.hpp"
#include "process/launch_record.hpp"
#include "process/string_block.hpp"

namespace proctor::detail {

/// What the job executes, as its user named it.
[[nodiscard]] std::string program_of(const Job& job);

/// A program of ours, to be started with these descriptors and nothing else of a job's.
struct OwnProgram {
    std::string path{};
    std::vector<std::string> words{};
    std::vector<DescriptorMove> moves{};
};

/// The host's side of one child that starts: its stack, its launch record and all that the record points at. Must not
/// be touched, and above all not freed, while the child is in this address space.
class LaunchSlot {
public:
    [[nodiscard]] static Expected<std::unique_ptr<LaunchSlot>> create();
    LaunchSlot(const LaunchSlot&) = delete;
    LaunchSlot& operator=(const LaunchSlot&) = delete;
    ~LaunchSlot();

    /// Whether the child is still between clone and exec here.
    [[nodiscard]] bool occupied() const noexcept;

    /// When the job's process came to its execve; none before.
    [[nodiscard]] std::optional<Instant> stamp() const noexcept;

    /// What went wrong in the child. Asked after its death.
    [[nodiscard]] std::optional<Error> child_error(const Job& job) const;

    /// Of a job in a keeper: takes over what the keeper tells of the start, so that stamp() and child_error() speak of
    /// the job's process. Before that child_error() speaks of the keeper, and a slot must be kept until then.
    void adopt(const KeeperReport& report) noexcept;

private:
    friend class Launcher;
    LaunchSlot() = default;

    // The child's frames are a few hundred bytes, and no signal handler runs on this stack.
    static constexpr std::size_t stack_size = std::size_t{16} * 1024;

    [[nodiscard]] void* stack_top() const noexcept;
    [[nodiscard]] Error exec_error(const std::string& program) const;
    [[nodiscard]] Error own_error() const;

    void clear_record();
    void prepare(const Job& job, std::vector<DescriptorMove> moves, std::uint64_t open_files_soft,
                 std::uint64_t open_files_hard);
    void prepare_arguments(const Job& job);
    void prepare_environment(const Job& job);
    void prepare_candidates(const Job& job);
    void prepare_descriptors(std::vector<DescriptorMove> moves);
    void prepare_rlimits(const ResourceLimits& limits, std::uint64_t soft, std::uint64_t hard);
    void prepare_identity(const Job& job);
    void keep_affinity();
    void prepare_own(const OwnProgram& program);

    /// Whom `record_` tells of.
    enum class About { job, own_program, foreign_keeper };

    LaunchRecord record_{};
    About about_ = About::job;
    std::string own_path_{};
    void* stack_ = nullptr;
    StringBlock strings_{};
    std::vector<DescriptorMove> moves_{};
    std::vector<DescriptorRange> closed_ranges_{};
    std::vector<RlimitSetting> rlimits_{};
    std::vector<unsigned long> affinity_{};
    std::vector<unsigned> groups_{};
};

/// The error of a clone(2) that is refused.
[[nodiscard]] Error clone_error(int error_number);

/// Whether a child may be born into a cgroup: seccomp profiles that are older than clone3(2) refuse it.
[[nodiscard]] Expected<void> check_clone_into();

/// A process that has been cloned.
struct Child {
    pid_t pid = -1;
    UniqueFd pidfd{};
};

/// Where and how a process is to begin, besides what its job says.
struct Birth {
    int cgroup = -1;       ///< a cgroup's directory; -1: the host's own
    bool suspend = false;  ///< the host's thread waits until the child has left its memory (CLONE_VFORK)
    /// The cgroup has a cpuset of its own: who is born there gets its processors instead of the host's.
    bool loses_affinity = false;
    /// Whether the child's descriptors may stay open here until the slot is released. So not where somebody may wait
    /// for their end meanwhile.
    bool may_keep_descriptors = false;
};

/// A job's keeper that has been cloned.
struct KeptChild {
    Child keeper{};
    Keeper control{};
};

/// ru_maxrss of this process. A child's begins where it stands at the child's execve, so it is asked after that.
[[nodiscard]] Bytes host_peak() noexcept;

/// Starts processes by clone(CLONE_VM | CLONE_PIDFD) without CLONE_VFORK: the host goes on while the child sets itself
/// up and execs. fork is never used, since its price grows with the host's memory.
class Launcher {
public:
    explicit Launcher(bool always_suspend) noexcept;

    /// For a host that will have very many descriptors: keeps some low numbers, with which a launch does not get dearer
    /// by each of those. To be called early, while there are low ones. Without them all works too.
    void keep_low_numbers();

    /// A slot that is free; slots are made as they are needed and kept.
    [[nodiscard]] Expected<LaunchSlot*> acquire();
    /// To be called when its owner needs the slot no more; it may still be occupied.
    void release(LaunchSlot& slot);

    /// Starts the job's program with these descriptors, which the caller may close afterwards.
    [[nodiscard]] Expected<Child> launch(const Job& job, LaunchSlot& slot, std::vector<DescriptorMove> moves,
                                         const Birth& birth = {});

    /// Starts a keeper, and that the job's program. What the keeper is told of the job
    /// it reports through `control`; see LaunchSlot::adopt().
    [[nodiscard]] Expected<KeptChild> launch_in_keeper(const Job& job, LaunchSlot& slot,
                                                       std::vector<DescriptorMove> moves, const KeeperProgram& keeper);

    /// Starts a program of ours with all signals blocked, waits for its execve, and answers what went wrong.
    [[nodiscard]] Expected<Child> launch_own(const OwnProgram& program);

    /// Waits until no child is in this address space, so that its slots may be freed; after `longest` they are left
    /// for good to the one that does not die.
    void wait_until_unoccupied(Nanoseconds longest) noexcept;

private:
    void leave_slots_behind() noexcept;
    [[nodiscard]] Expected<Child> clone(LaunchSlot& slot, const Birth& birth, bool changes_user);

    /// Low numbers of descriptors that a child may be given from while it shares our table; see lend().
    struct LowNumbers {
        static constexpr std::size_t most = 3;  // what a child gets as a rule: its standard streams
        std::array<UniqueFd, most> numbers{};
        const LaunchSlot* borrower = nullptr;
    };
    [[nodiscard]] LowNumbers* find_low_numbers(int highest) noexcept;
    static void await_departure(const LaunchSlot& slot) noexcept;
    [[nodiscard]] bool lend(LaunchSlot& slot) noexcept;
    void take_back(LowNumbers& low) noexcept;
    void take_back_from(const LaunchSlot& slot) noexcept;

    bool always_suspend_;
    std::vector<char> plan_{};
    std::uint64_t open_files_soft_ = 0;  // RLIMIT_NOFILE as it was when the reactor was made: what children get
    std::uint64_t open_files_hard_ = 0;
    std::vector<std::unique_ptr<LaunchSlot>> slots_{};
    std::vector<LaunchSlot*> free_{};
    std::vector<LaunchSlot*> leaving_{};  // released but still occupied
    std::vector<LaunchSlot*> still_leaving_{};
    UniqueFd placeholder_{};  // keeps the numbers that are not lent
    std::vector<LowNumbers> low_{};
    std::size_t next_low_ = 0;
    unsigned above_low_ = 0;
};

}  // namespace proctor::detail
