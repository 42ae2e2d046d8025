// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include <proctor/limits.hpp>

#include "base/clock.hpp"
#include "containment/job_tree.hpp"
#include "limits/block_window.hpp"
#include "limits/cpu_prediction.hpp"
#include "limits/sampler.hpp"
#include "ring/engine.hpp"
#include "ring/operation.hpp"

namespace proctor::detail {

class LimitOwner {
public:
    /// A limit was crossed, or seen to be. The others are watched on, so it may be called once more for each.
    virtual void on_limit(Reason reason, Instant crossed_at) noexcept = 0;
    /// When the program began, once that is known: before, it cannot have been blocked.
    [[nodiscard]] virtual std::optional<Instant> began() noexcept = 0;
    /// Whether it waits for input that is still to come at its time: then it is not blocked.
    [[nodiscard]] virtual bool awaits_paced_input() const noexcept { return false; }

protected:
    LimitOwner() = default;
    ~LimitOwner() = default;
};

/// What is watched of one tree.
struct WatchPlan {
    RunLimits limits{};
    bool sample = true;             ///< look at memory and processes also without a limit on them
    bool memory_by_kernel = false;  ///< memory.max stands: nothing has to be looked for
    bool tasks_by_kernel = false;   ///< the same of pids.max
    unsigned processors = 1;        ///< that the tree may run on
    unsigned machine = 1;           ///< processors that there are, which it may run on if it unbinds itself
};

/// Keeps the limits of one tree but the wall time, by three means:
///
/// Processor time by prediction (CpuPrediction): it is looked at when it can be used up at the earliest, and predicted
/// again.
///
/// Blocking by a sliding window over the tree's processor time and its streams' bytes (BlockWindow).
///
/// Memory and processes by looking, as often as the tree could plausibly reach its limit, within the reactor's budget.
/// A tree that has used no processor time since the last look has changed nothing and is not looked at.
class LimitWatch {
public:
    LimitWatch(Engine& engine, Sampler& sampler, JobTree& tree, LimitOwner& owner) noexcept
        : engine_(engine), sampler_(sampler), tree_(tree), owner_(owner) {}
    LimitWatch(const LimitWatch&) = delete;
    LimitWatch& operator=(const LimitWatch&) = delete;
    ~LimitWatch() = default;

    /// From now on, which is when the tree began.
    void start(const WatchPlan& plan);
    /// A byte has passed on one of the streams.
    void note_progress(Instant time) noexcept { window_.note_progress(time); }
    /// The main process is dead: of whoever is left nobody is told to be blocked.
    void leave_blocking() noexcept { engine_.cancel(block_timer_); }
    void stop() noexcept;

    /// Mean time between looks at memory and processes; none if there was none.
    [[nodiscard]] std::optional<Nanoseconds> sample_interval() const noexcept;

private:
    [[nodiscard]] CpuPrediction cpu_prediction() const noexcept;
    void on_cpu_timer(int result) noexcept;
    void on_block_timer(int result) noexcept;
    void on_look(int result) noexcept;
    [[nodiscard]] std::optional<Reason> crossed_by_look(const TreeLook& look) noexcept;
    void raise_limits(const TreeLook& look) noexcept;
    [[nodiscard]] Nanoseconds next_look(const TreeLook& look) const noexcept;
    void look_again(Nanoseconds wish) noexcept;

    Engine& engine_;
    Sampler& sampler_;
    JobTree& tree_;
    LimitOwner& owner_;
    WatchPlan plan_{};

    Nanoseconds cpu_seen_{};
    Nanoseconds cpu_pause_{};  // how long the next look may wait although little is left, since nothing is used

    BlockWindow window_{};

    Instant started_{};
    Instant last_look_{};
    Nanoseconds look_cpu_{-1};
    Instant cpu_read_at_{};  // when that was read
    Nanoseconds look_wish_{};
    int looks_ = 0;

    Bound<Timer, LimitWatch, &LimitWatch::on_cpu_timer> cpu_timer_{*this};
    Bound<Timer, LimitWatch, &LimitWatch::on_block_timer> block_timer_{*this};
    Bound<Timer, LimitWatch, &LimitWatch::on_look> look_timer_{*this};
};

}  // namespace proctor::detail
