// SPDX-License-Identifier: MIT
#include "ring/timer_queue.hpp"

#include <algorithm>

namespace proctor::detail {

void TimerQueue::start(Timer& timer, Instant deadline) {
    timer.deadline_ = deadline;
    if (!timer.armed()) {
        heap_.push_back(&timer);
        timer.place_ = heap_.size() - 1;
    }
    sift_up(timer.place_);
    sift_down(timer.place_);
}

void TimerQueue::cancel(Timer& timer) noexcept {
    if (!timer.armed()) {
        return;
    }
    const std::size_t index = timer.place_;
    timer.place_ = Timer::none;
    Timer* const last = heap_.back();
    heap_.pop_back();
    if (last != &timer) {
        place(index, last);
        sift_up(index);
        sift_down(last->place_);
    }
}

std::optional<Instant> TimerQueue::earliest() const noexcept {
    if (heap_.empty()) {
        return std::nullopt;
    }
    return heap_.front()->deadline_;
}

bool TimerQueue::fire_one(Instant time) noexcept {
    if (heap_.empty() || heap_.front()->deadline_ > time) {
        return false;
    }
    Timer& timer = *heap_.front();
    cancel(timer);
    timer.complete(0);
    return true;
}

void TimerQueue::place(std::size_t index, Timer* timer) noexcept {
    heap_[index] = timer;
    timer->place_ = index;
}

void TimerQueue::sift_up(std::size_t index) noexcept {
    Timer* const timer = heap_[index];
    while (index > 0) {
        const std::size_t parent = (index - 1) / 2;
        if (heap_[parent]->deadline_ <= timer->deadline_) {
            break;
        }
        place(index, heap_[parent]);
        index = parent;
    }
    place(index, timer);
}

void TimerQueue::sift_down(std::size_t index) noexcept {
    Timer* const timer = heap_[index];
    for (;;) {
        std::size_t child = 2 * index + 1;
        if (child >= heap_.size()) {
            break;
        }
        if (child + 1 < heap_.size() && heap_[child + 1]->deadline_ < heap_[child]->deadline_) {
            ++child;
        }
        if (timer->deadline_ <= heap_[child]->deadline_) {
            break;
        }
        place(index, heap_[child]);
        index = child;
    }
    place(index, timer);
}

}  // namespace proctor::detail
