// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include "base/clock.hpp"
#include "base/failure.hpp"
#include "base/unique_fd.hpp"
#include "ring/engine.hpp"
#include "ring/operation.hpp"
#include "ring/timer_queue.hpp"

namespace proctor::detail {

/// When trees are looked at: one timerfd, read by the ring, for all jobs of a reactor. Looks that are due nearly at
/// once share a tick. Together they may take a share of one processor (1 %), measured as they go: if they take more,
/// all intervals are stretched, so the budget wins over the wish.
class Sampler {
public:
    explicit Sampler(Engine& engine) noexcept : engine_(engine) {}
    Sampler(const Sampler&) = delete;
    Sampler& operator=(const Sampler&) = delete;
    ~Sampler() = default;

    /// Takes its descriptor. Before anything else.
    [[nodiscard]] Expected<void> open();

    /// Looks again after `wish`, or later if the budget says so.
    void start(Timer& look, Nanoseconds wish);
    void cancel(Timer& look) noexcept { looks_.cancel(look); }

    /// How much longer than wished intervals are now; 1 while the budget suffices.
    [[nodiscard]] int stretch() const noexcept { return stretch_; }

    /// Ends the ticking; true once no request is in flight.
    [[nodiscard]] bool stop() noexcept;
    void forsake() noexcept { tick_.forsake(); }

    static constexpr int budget_share = 100;  ///< one in so many

private:
    void on_tick(int result) noexcept;
    void aim() noexcept;
    void balance(Instant time) noexcept;

    Engine& engine_;
    UniqueFd clock_{};
    TimerQueue looks_{};
    bool stopped_ = false;
    Instant aimed_at_{};
    bool aimed_ = false;
    int stretch_ = 1;
    Nanoseconds spent_{};
    std::optional<Instant> period_start_{};
    Bound<Read, Sampler, &Sampler::on_tick> tick_{*this};
};

}  // namespace proctor::detail
