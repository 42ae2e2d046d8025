// SPDX-License-Identifier: MIT
#pragma once

#include <cassert>
#include <cstddef>
#include <optional>
#include <vector>

#include "base/clock.hpp"

namespace proctor::detail {

class TimerQueue;

/// One deadline, embedded in its owner. Unlike an Operation it is known to this process alone, so cancelling it is
/// immediate and its `complete` is not called then.
class Timer {
public:
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    [[nodiscard]] bool armed() const noexcept { return place_ != none; }
    [[nodiscard]] Instant deadline() const noexcept { return deadline_; }

protected:
    Timer() = default;
    ~Timer() { assert(!armed()); }

private:
    friend class TimerQueue;
    static constexpr std::size_t none = static_cast<std::size_t>(-1);

    /// Called with 0 at the deadline or later; the timer is not armed any more.
    virtual void complete(int result) noexcept = 0;

    Instant deadline_{};
    std::size_t place_ = none;
};

/// All deadlines of one reactor, the earliest first: a binary heap whose members know their places, so that starting
/// and cancelling are O(log n) and a timer that never fires costs no system call.
class TimerQueue {
public:
    /// Moves the deadline if it is armed already.
    void start(Timer& timer, Instant deadline);
    void cancel(Timer& timer) noexcept;

    [[nodiscard]] std::optional<Instant> earliest() const noexcept;

    [[nodiscard]] std::size_t size() const noexcept { return heap_.size(); }
    /// Completes the earliest, if it is due; whether it was.
    bool fire_one(Instant time) noexcept;

private:
    void place(std::size_t index, Timer* timer) noexcept;
    void sift_up(std::size_t index) noexcept;
    void sift_down(std::size_t index) noexcept;

    std::vector<Timer*> heap_{};
};

}  // namespace proctor::detail
