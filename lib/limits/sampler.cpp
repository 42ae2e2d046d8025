// SPDX-License-Identifier: MIT
#include "limits/sampler.hpp"

#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

namespace proctor::detail {

namespace {

// Looks that are due within this time of each other share one tick, those that have time within an eighth of it.
constexpr Nanoseconds least_slack = std::chrono::microseconds(500);
constexpr int slack_share = 8;

// How long the cost is summed up before the intervals are changed.
constexpr Nanoseconds accounting_period = std::chrono::milliseconds(100);

constexpr int longest_stretch = 64;

// How long looks may keep everything else waiting.
constexpr Nanoseconds longest_turn = std::chrono::microseconds(200);

}  // namespace

Expected<void> Sampler::open() {
    clock_.reset(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    if (!clock_) {
        return failure(Stage::setup, errno, "no timer for looking at the processes",
                       "close descriptors, or raise the limit of open files (ulimit -n)");
    }
    tick_.fd = clock_.get();
    return {};
}

void Sampler::start(Timer& look, Nanoseconds wish) {
    const Instant time = now();
    if (!period_start_) {
        period_start_ = time;
    }
    balance(time);
    const Nanoseconds interval = wish * stretch_;
    const Nanoseconds due = time.since_boot + interval;
    const Nanoseconds slack = std::max(interval / slack_share / least_slack * least_slack, least_slack);
    looks_.start(look, Instant{(due + slack - Nanoseconds(1)) / slack * slack});
    aim();
}

// What was spent at this stretch tells at which one the share would have been kept. A time without looks brings it back
// to one.
void Sampler::balance(Instant time) noexcept {
    const Nanoseconds period = time - *period_start_;
    if (period < accounting_period) {
        return;
    }
    const Nanoseconds allowed = period / budget_share;
    stretch_ = static_cast<int>(std::min<std::int64_t>(stretch_ * spent_ / allowed + 1, longest_stretch));
    spent_ = {};
    period_start_ = time;
}

// The timerfd is moved only when the earliest look has changed; where none is left, it is not: a last tick finds
// nothing.
void Sampler::aim() noexcept {
    const auto earliest = looks_.earliest();
    if (!earliest || stopped_) {
        return;
    }
    if (!aimed_ || *earliest < aimed_at_) {
        aimed_ = true;
        aimed_at_ = *earliest;
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(earliest->since_boot);
        itimerspec time{};
        time.it_value.tv_sec = seconds.count();
        // All zero would disarm it.
        time.it_value.tv_nsec = std::max<long>((earliest->since_boot - seconds).count(), 1);
        ::timerfd_settime(clock_.get(), TFD_TIMER_ABSTIME, &time, nullptr);
    }
    if (!tick_.in_flight()) {
        engine_.start(tick_);
    }
}

// Whatever it was answered: looks that wait for it would else never come.
void Sampler::on_tick(int /*result*/) noexcept {
    if (stopped_) {
        return;
    }
    aimed_ = false;
    // What is left when the turn is over comes with the next tick, which is at once: between two turns the ring and the
    // timers of limits have theirs.
    const Instant time = now();
    const Nanoseconds before = own_processor_time();
    while (looks_.fire_one(time) && now() - time < longest_turn) {
    }
    // All of it, as ten thousand that find nothing are not for nothing.
    spent_ += own_processor_time() - before;
    balance(time);
    aim();
}

bool Sampler::stop() noexcept {
    stopped_ = true;
    engine_.cancel(tick_);
    return !tick_.in_flight();
}

}  // namespace proctor::detail
