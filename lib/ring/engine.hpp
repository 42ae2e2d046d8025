// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <span>

#include "base/clock.hpp"
#include "base/failure.hpp"
#include "base/fork_mark.hpp"
#include "ring/operation.hpp"
#include "ring/timer_queue.hpp"

namespace proctor::detail {

/// What the rooms above ask of the kernel's event machinery, named by meaning. A request that has been started
/// completes exactly once, in a later pass and never inside start(), so handlers do not nest. start() cannot fail: what
/// finds the queue full waits in a list that needs no memory.
///
/// An engine belongs to the thread that calls bind(); before it, nothing may be started. A handler may fork: in the
/// copy, once it returns, nothing is completed, started or cancelled any more, and the pass fails.
class Engine {
public:
    Engine() = default;
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;
    virtual ~Engine() = default;

    [[nodiscard]] virtual Expected<void> bind() = 0;

    virtual void start(Operation& operation) noexcept = 0;
    /// The request still completes: with -ECANCELED, or with its result if that was quicker.
    virtual void cancel(Operation& operation) noexcept = 0;

    /// Writes to a pipe at once, past the queue, what it takes without waiting: for words that somebody waits for.
    /// The count, or -EAGAIN where that cannot be done now, or not at all; other errors are left to a request.
    [[nodiscard]] virtual int write_at_once(int fd, std::span<const char> data) noexcept = 0;

    /// For "in the next pass" the deadline is now(): one that is earlier goes before all others that are due, and who
    /// starts such a timer again and again would keep them from ever firing.
    void start(Timer& timer, Instant deadline) { timers_.start(timer, deadline); }
    void cancel(Timer& timer) noexcept { timers_.cancel(timer); }

    /// Waits until something is ready, a timer is due or `timeout` is over (negative: no such end), then completes what
    /// is ready now and no more, requests first and timers after: an exit is seen before the limit that it just kept.
    [[nodiscard]] virtual Expected<void> pass(Nanoseconds timeout) = 0;

    /// Hands over what has been started, for a host that waits on fd() instead of calling pass().
    [[nodiscard]] virtual Expected<void> flush() = 0;

    /// Polls readable when pass() has something to do. From the first call on, timers wake it too.
    [[nodiscard]] virtual int fd() noexcept = 0;

    /// Gives up all requests without completing them. The last call; their owners must forsake() them.
    virtual void close() noexcept = 0;

    /// Whether the kernel reads our end of a pipe without blocking although O_NONBLOCK is not set on it (6.4).
    [[nodiscard]] virtual bool pipes_need_nonblock() const noexcept = 0;

    [[nodiscard]] virtual const char* name() const noexcept = 0;

protected:
    static constexpr Nanoseconds wait_for_ever = Nanoseconds::max();
    /// How long a pass may sleep that was given this time-out (negative: no such end).
    [[nodiscard]] Nanoseconds wait_at_most(Nanoseconds timeout) const noexcept {
        const Nanoseconds wait = timeout < Nanoseconds::zero() ? wait_for_ever : timeout;
        const auto earliest = timers_.earliest();
        return earliest ? std::min(wait, std::max(*earliest - now(), Nanoseconds::zero())) : wait;
    }

    /// Completes the timers that are due, but never more than were armed when it began: who starts one for the past
    /// again and again must not keep the pass from its end.
    void fire_timers() noexcept {
        const Instant time = now();
        for (std::size_t left = timers_.size(); left > 0 && !fork_.is_copy() && timers_.fire_one(time); --left) {
        }
    }

    /// How a pass ends.
    [[nodiscard]] Expected<void> still_ours() const {
        if (fork_.is_copy()) {
            return failure(Stage::setup, EPERM, "this is a forked copy of the process that made the reactor",
                           "leave the copy from inside the handler that forked it (_exit, execve)");
        }
        return {};
    }

    ForkMark fork_{};
    TimerQueue timers_{};
};

}  // namespace proctor::detail
