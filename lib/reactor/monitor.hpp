// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <proctor/monitor.hpp>
#include <proctor/result.hpp>

#include "containment/job_tree.hpp"
#include "limits/limit_watch.hpp"
#include "process/child_process.hpp"
#include "ring/engine.hpp"

namespace proctor::detail {

class ReactorCore;

/// What is left for the handles of a process that was watched.
struct MonitorRecord {
    bool ended = false;
    std::optional<Usage> usage{};
    std::optional<Reason> reason{};
};

/// A process that somebody else has started, with its descendants: watched and limited, but neither launched nor
/// reaped.
class Monitor final : private LimitOwner {
public:
    Monitor(ReactorCore& core, std::uint64_t id, ChildProcess child, const MonitorOptions& options,
            std::function<void(RunResult&&)> on_end);
    Monitor(const Monitor&) = delete;
    Monitor& operator=(const Monitor&) = delete;
    ~Monitor() = default;

    /// Starts its requests; when the reactor has its thread.
    void begin();
    void stop();
    /// Lets it go without a word: the reactor is being destroyed. True if it may be destroyed now.
    [[nodiscard]] bool abandon() noexcept;
    /// The engine is gone. `kill`: whether it is ours to end who is being asked to.
    void forsake(bool kill) noexcept;

    [[nodiscard]] std::optional<Usage> usage();
    [[nodiscard]] std::vector<ChildUsage> processes();
    [[nodiscard]] const std::shared_ptr<MonitorRecord>& record() const noexcept { return record_; }

private:
    void on_limit(Reason reason, Instant crossed_at) noexcept override;
    [[nodiscard]] std::optional<Instant> began() noexcept override { return started_at_; }
    void on_exit(int result) noexcept;
    void on_wall_timer(int result) noexcept;
    void on_kill_timer(int result) noexcept;
    void on_settle(int result) noexcept;

    void terminate() noexcept;
    Instant kill_tree() noexcept;
    void judge_at_exit() noexcept;
    [[nodiscard]] Nanoseconds since_start(Instant time) const noexcept { return time - started_at_; }
    [[nodiscard]] RunResult make_result();

    ReactorCore& core_;
    std::uint64_t id_;
    Engine& engine_;
    ChildProcess child_;
    MonitorOptions options_;
    std::function<void(RunResult&&)> on_end_;
    std::shared_ptr<MonitorRecord> record_ = std::make_shared<MonitorRecord>();
    bool begun_ = false;
    Instant started_at_{};
    std::optional<Instant> exited_at_{};
    std::optional<Instant> signalled_at_{};
    bool killed_ = false;
    std::optional<ExitStatus> status_{};
    std::optional<Nanoseconds> crossed_at_{};
    std::optional<Error> error_{};
    std::string blocked_in_{};

    JobTree tree_;
    LimitWatch watch_;
    Bound<Ready, Monitor, &Monitor::on_exit> exit_watch_{*this};
    Bound<Timer, Monitor, &Monitor::on_wall_timer> wall_timer_{*this};
    Bound<Timer, Monitor, &Monitor::on_kill_timer> kill_timer_{*this};
    Bound<Timer, Monitor, &Monitor::on_settle> settle_timer_{*this};
};

}  // namespace proctor::detail
