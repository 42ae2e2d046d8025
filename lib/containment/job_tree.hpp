// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <proctor/job.hpp>
#include <proctor/result.hpp>

#include "accounting/birth_watch.hpp"
#include "accounting/memory_sample.hpp"
#include "accounting/process_cpu.hpp"
#include "accounting/process_tree.hpp"
#include "base/clock.hpp"
#include "base/failure.hpp"
#include "containment/tree_tools.hpp"
#include "process/child_process.hpp"
#include "process/keeper.hpp"

namespace proctor::detail {

/// What one look at a tree has found.
struct TreeLook {
    std::optional<Bytes> memory{};    ///< held now; none where /proc cannot be read
    bool over_memory = false;         ///< more than the limit, and confirmed by counting shared pages once
    bool unconfirmed_memory = false;  ///< more than the limit, to be confirmed by a later look
    int processes = 0;                ///< alive now, the shell of Job::shell apart
    int tasks = 0;                    ///< threads, and dead processes that nobody has waited for
};

/// The processes of one job and what holds them together: a cgroup, or what /proc and the process group tell. All
/// questions about the whole tree and all signals to it go here; the main process itself is a ChildProcess.
class JobTree {
public:
    enum class Kind : std::uint8_t { none, cgroup, keeper, tree };

    explicit JobTree(TreeTools& tools) noexcept : tools_(tools) {}
    JobTree(const JobTree&) = delete;
    JobTree& operator=(const JobTree&) = delete;
    ~JobTree() = default;

    /// Takes what the job needs before it can be launched, and sets the kernel's limits. Errors: a mechanism that the
    /// job requires cannot be had.
    [[nodiscard]] Expected<void> prepare(const Job& job);
    /// The directory to be born in, or -1.
    [[nodiscard]] int birthplace() const noexcept { return group_ != nullptr ? group_->directory() : -1; }
    /// Whether the kernel keeps the memory limit, so that its killer may come at any moment from the birth on.
    [[nodiscard]] bool memory_by_kernel() const noexcept { return memory_by_kernel_; }
    /// The same of the limit of tasks.
    [[nodiscard]] bool tasks_by_kernel() const noexcept { return tasks_by_kernel_; }
    /// The main process has been cloned.
    void begin(const ChildProcess& child) noexcept;
    /// Whether the job is to be launched in a keeper: there is no group for it.
    [[nodiscard]] bool wants_keeper() const noexcept { return group_ == nullptr && tools_.keeper.has_value(); }
    /// A keeper has been cloned instead, which will tell of the main process.
    void begin_kept(ChildProcess keeper, Keeper control) noexcept;
    /// A tree that somebody else has started, in no group of ours: neither a cgroup nor a process group.
    void adopt(const ChildProcess& child, const RunLimits& limits, bool mem_maps_filter) noexcept;
    /// What looks are to find crossed from now on, of memory and processes.
    void raise_limits(const RunLimits& limits) noexcept;
    /// Gives back what was taken. The main process is reaped, or never was.
    void clear() noexcept;

    [[nodiscard]] Kind kind() const noexcept { return kind_; }
    [[nodiscard]] bool kept() const noexcept { return kind_ == Kind::keeper; }
    /// The keeper, which is a child of ours to watch and reap, and its news.
    [[nodiscard]] ChildProcess& keeper() noexcept { return keeper_; }
    [[nodiscard]] int news_socket() const noexcept { return control_.socket(); }
    [[nodiscard]] Keeper::Received receive(KeeperMessage& message) noexcept;
    /// Whether it has told this (bits of KeeperReport::news) up to now.
    [[nodiscard]] bool told(std::uint32_t news) const noexcept { return (told_ & news) != 0; }
    /// The main process's end, once keeper_main_ended was told.
    [[nodiscard]] ExitStatus told_exit() const noexcept;
    [[nodiscard]] std::string_view containment() const noexcept;
    [[nodiscard]] std::string_view kill_mechanism() const noexcept;

    /// Processor time up to now. Never goes back.
    [[nodiscard]] Nanoseconds cpu() noexcept;
    [[nodiscard]] bool has_cpuset() const noexcept { return group_ != nullptr && tools_.groups->has_cpuset(); }
    /// Whether it has used none since then, which is asked for all jobs of a reactor together; false if that is not
    /// known.
    [[nodiscard]] bool idle_since(Instant time) noexcept;
    /// The same with what its running threads have used since the last tick. A look of its own at every thread.
    [[nodiscard]] Nanoseconds cpu_to_the_moment() noexcept;
    /// Threads that are alive, as far as the last look knows.
    [[nodiscard]] int threads() noexcept;
    [[nodiscard]] TreeLook look() noexcept;
    /// Whether some thread runs, or would if the machine let it. A look of its own at every thread, until one does.
    [[nodiscard]] bool wants_processor() noexcept;
    /// What the tree waits for, in words.
    [[nodiscard]] std::string describe_waits() noexcept;
    void list(std::vector<ChildUsage>& children) noexcept;

    /// Kernel's verdicts on its limits: whether it has killed for memory, or refused a task.
    [[nodiscard]] bool memory_refused() noexcept;
    [[nodiscard]] bool task_refused() noexcept;
    /// To be polled with POLLPRI for a refused task; -1 if there is none.
    [[nodiscard]] int task_events() noexcept;

    /// To every process that is known. Answers when the first was sent.
    Instant signal(int number) noexcept;
    /// SIGKILL to every process; they die a little later. While the main process lives, those who have left its group
    /// are found below it. Answers when the first was sent.
    Instant kill(bool main_lives) noexcept;
    /// SIGKILL to those that were seen by looks: the keeper is gone, and its orphans went to somebody else.
    void kill_seen() noexcept;
    /// Whether anybody of the tree lives, the main process apart once it is a zombie; none where that is not known.
    [[nodiscard]] std::optional<bool> populated() noexcept;
    /// Whether anybody but the dead main process is known to live. In a tree a look of its own.
    [[nodiscard]] bool lingers() noexcept;

    /// The last look before the main process is reaped.
    void look_before_reaping() noexcept;
    /// Puts what is known into a result's usage and sources, the main process's status included.
    void conclude(const ExitStatus& status, Bytes host_peak, Usage& usage, Sources& sources) noexcept;
    /// The same for an adopted tree, whose main process is dead, and perhaps reaped.
    void conclude_adopted(Usage& usage, Sources& sources) noexcept;
    /// As far as known while the tree lives.
    void snapshot(Usage& usage) noexcept;

private:
    [[nodiscard]] Expected<void> take_group(const Job& job);
    [[nodiscard]] Expected<void> check_without_proc(const RunLimits& limits) const;
    [[nodiscard]] std::optional<Error> missing(const Require& require) const;
    /// How new what is found has to be.
    enum class Age : std::uint8_t {
        recent,  ///< what another look has read a moment ago will do
        none,    ///< who is there now is found
    };
    bool find_processes(Age oldest = Age::recent) noexcept;
    void find_by_group(Age oldest) noexcept;
    [[nodiscard]] bool is_alone() noexcept;
    [[nodiscard]] bool was_always_alone() noexcept;
    [[nodiscard]] bool table_covers_this() const noexcept;
    [[nodiscard]] bool table_will_do() const noexcept;
    [[nodiscard]] bool alone_since(const std::optional<BirthWatch::Moment>& moment) const noexcept;
    [[nodiscard]] bool left_alone() const noexcept;
    [[nodiscard]] bool table_tells_all(const BirthWatch::Moment& moment) const noexcept;
    void refresh_table(const std::optional<BirthWatch::Moment>& moment) noexcept;
    void find_in_group() noexcept;
    void find_threads() noexcept;
    [[nodiscard]] int shells() noexcept;
    [[nodiscard]] bool sees_keeper() const noexcept;
    [[nodiscard]] Nanoseconds seen_by_looks() const noexcept;
    void signal_main(int number) noexcept;
    void conclude_cpu(const ExitStatus& status, Usage& usage, Sources& sources) noexcept;
    void conclude_memory(const ExitStatus& status, Bytes host_peak, Usage& usage, Sources& sources) noexcept;

    TreeTools& tools_;
    Kind kind_ = Kind::none;
    Cgroup* group_ = nullptr;
    bool memory_by_kernel_ = false;
    bool tasks_by_kernel_ = false;
    bool has_shell_ = false;
    std::optional<int> process_limit_{};
    bool adopted_ = false;
    const ChildProcess* child_ = nullptr;

    ChildProcess keeper_{};
    Keeper control_{};
    KeeperReport report_{};  // the last, which has all that is known
    std::uint32_t told_ = 0;

    // Of a tree in a process group. When the main process was born; and since when it is known to be alone, if nobody
    // was born since then: from the beginning, or again when it was dead and a walk found nobody else.
    std::optional<BirthWatch::Moment> birth_{};
    std::optional<BirthWatch::Moment> alone_at_{};

    std::optional<ProcessTree> processes_{};
    std::optional<TreeMemory> memory_{};
    TreeCpu cpu_{};
    Nanoseconds cpu_seen_{};
    int most_processes_ = 0;
    int tasks_ = 1;
    bool looked_ = false;
    bool asked_to_end_ = false;  ///< by signals, which some may have missed or ignored
    bool empty_ = false;         // of a group: nobody was in it any more
};

}  // namespace proctor::detail
