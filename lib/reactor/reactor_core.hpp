// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <unordered_map>
#include <vector>

#include <proctor/reactor.hpp>

#include "containment/tree_tools.hpp"
#include "limits/sampler.hpp"
#include "process/guard.hpp"
#include "process/launcher.hpp"
#include "reactor/monitor.hpp"
#include "reactor/pipe_growth.hpp"
#include "reactor/run.hpp"
#include "reactor/stdio_setup.hpp"
#include "ring/engine.hpp"
#include "ring/kernel.hpp"

namespace proctor::detail {

/// A host's descriptor that is watched.
class Watcher {
public:
    Watcher(ReactorCore& core, std::uint64_t id, int fd, std::function<void()> on_readable);

    void start() noexcept;
    /// Ends it; true if it may be destroyed now, else on_ready() sees to that.
    [[nodiscard]] bool stop() noexcept;
    void forsake() noexcept { ready_.forsake(); }

private:
    void on_ready(int result) noexcept;

    ReactorCore& core_;
    std::uint64_t id_;
    std::function<void()> on_readable_;
    bool stopped_ = false;
    bool calling_ = false;
    Bound<Ready, Watcher, &Watcher::on_ready> ready_{*this};
};

/// What is behind a Reactor: owns the engine, the runs and the watchers, and lets as many jobs run as may.
class ReactorCore : public std::enable_shared_from_this<ReactorCore> {
public:
    /// A kernel other than the running one may be pretended, if it offers less.
    [[nodiscard]] static Expected<std::shared_ptr<ReactorCore>> create(const ReactorOptions& options,
                                                                       const KernelFeatures& kernel = probe_kernel());
    /// On an engine that somebody else has made.
    [[nodiscard]] static Expected<std::shared_ptr<ReactorCore>> create(const ReactorOptions& options,
                                                                       const KernelFeatures& kernel,
                                                                       std::unique_ptr<Engine> engine);
    ReactorCore(const ReactorCore&) = delete;
    ReactorCore& operator=(const ReactorCore&) = delete;
    ~ReactorCore();

    JobHandle submit(Job job, Handlers handlers);
    PairHandle submit_pair(Job first, Job second, PairHandlers handlers, Wiring wiring);
    [[nodiscard]] Expected<void> run();
    [[nodiscard]] Expected<void> run_once(Nanoseconds timeout);
    [[nodiscard]] int fd();
    [[nodiscard]] std::size_t size() const noexcept { return live_; }
    void cancel_all();
    [[nodiscard]] Expected<Watch> watch(int descriptor, std::function<void()> on_readable);
    [[nodiscard]] Expected<MonitorHandle> monitor(int pid, int pidfd, const MonitorOptions& options,
                                                  std::function<void(RunResult&&)> on_end);
    [[nodiscard]] Monitor* find_monitor(std::uint64_t id) const noexcept;
    void destroy_monitor(std::uint64_t id);
    void unwatch(std::uint64_t id);
    void destroy_watcher(std::uint64_t id) { watchers_.erase(id); }

    /// The public Reactor is gone. From inside a handler, the end comes after the pass.
    void retire();
    [[nodiscard]] bool retired() const noexcept { return retired_; }

    /// The run that a handle names; null if it has ended.
    [[nodiscard]] Run* find(std::uint64_t id) const noexcept;
    /// Hands over what a handle's call has started, if no pass will.
    void flush_outside_pass() noexcept;

    [[nodiscard]] bool is_forked_copy() const noexcept;

    // The runs' side.
    [[nodiscard]] Engine& engine() noexcept { return *engine_; }
    [[nodiscard]] Launcher& launcher() noexcept { return launcher_; }
    [[nodiscard]] const NullDevice& null_device() const noexcept { return null_; }
    [[nodiscard]] TreeTools& tools() noexcept { return tools_; }
    [[nodiscard]] PipeGrowth& pipe_growth() noexcept { return pipe_growth_; }
    [[nodiscard]] Sampler& sampler() noexcept { return *sampler_; }
    /// Those that the host's thread might run on when the reactor was made; none if that is not known.
    [[nodiscard]] const std::vector<unsigned>& processors() const noexcept { return processors_; }
    /// How many; where that is not known, so many that no prediction comes late.
    [[nodiscard]] unsigned processor_count() const noexcept;
    /// Of the machine, also where this process may not use them all.
    [[nodiscard]] unsigned machine_processor_count() const noexcept { return machine_processor_count_; }
    /// Counts passes; what happens outside belongs to the one before.
    [[nodiscard]] std::uint64_t pass_number() const noexcept { return pass_number_; }
    [[nodiscard]] const KernelFeatures& kernel() const noexcept { return kernel_; }
    /// A run has been launched; it will give its slot back when it is looked at.
    void note_starting(Run& run) { starting_.push_back(run.id()); }
    /// A run has made its result and is clear: its place may be used again.
    void recycle(Run& run, bool was_running);
    /// A child that has been killed and does not die: its run ends without it.
    void reap_later(ChildProcess child);

private:
    ReactorCore(const ReactorOptions& options, const KernelFeatures& kernel);

    [[nodiscard]] Expected<void> claim();
    [[nodiscard]] Expected<void> pass(Nanoseconds timeout);
    [[nodiscard]] Expected<void> find_tools();
    [[nodiscard]] Expected<void> make_groups();
    [[nodiscard]] Expected<std::string> find_usable_keeper() const;
    void start_guard();
    void on_tidy_timer(int result) noexcept;
    /// `in_vain`: the last round got nothing done, as processes have to die first.
    void tidy_soon(bool in_vain) noexcept;
    void launch_waiting();
    void collect_starting();
    void shut_down() noexcept;
    void forsake_all() noexcept;
    /// The index of a run without a job.
    [[nodiscard]] std::uint32_t free_run();
    /// A run without a job, and the id that it gets.
    [[nodiscard]] std::pair<Run*, std::uint64_t> next_run();

    ReactorOptions options_;
    KernelFeatures kernel_;
    pid_t process_;  // a forked copy of the host must not touch our children
    std::unique_ptr<Engine> engine_{};
    Launcher launcher_;
    NullDevice null_{};
    PipeGrowth pipe_growth_{};
    TreeTools tools_{};
    Guard guard_{};
    std::unique_ptr<Sampler> sampler_{};
    std::vector<unsigned> processors_{};
    unsigned machine_processor_count_ = 1;
    std::uint64_t pass_number_ = 0;
    Bound<Timer, ReactorCore, &ReactorCore::on_tidy_timer> tidy_timer_{*this};
    std::thread::id owner_{};
    bool in_pass_ = false;
    bool retired_ = false;

    std::vector<std::unique_ptr<Run>> runs_{};
    std::vector<ChildProcess> undying_{};
    std::vector<std::uint32_t> generations_{};
    std::vector<std::uint32_t> free_{};
    std::deque<std::uint64_t> queue_{};
    std::deque<std::uint64_t> starting_{};
    std::size_t live_ = 0;     // submitted and not ended
    std::size_t running_ = 0;  // launched and not ended
    std::unordered_map<std::uint64_t, std::unique_ptr<Watcher>> watchers_{};
    std::uint64_t next_watcher_ = 1;
    std::unordered_map<std::uint64_t, std::unique_ptr<Monitor>> monitors_{};
    std::uint64_t next_monitor_ = 1;
};

}  // namespace proctor::detail
