// SPDX-License-Identifier: MIT
#include "limits/block_window.hpp"

#include <algorithm>

namespace proctor::detail {

void BlockWindow::start(Instant time, Nanoseconds limit) noexcept {
    first_ = count_ = 0;
    limit_ = limit;
    progress_ = time;
    add({time, {}});
}

void BlockWindow::add(Point point) noexcept {
    if (count_ == most_points) {
        // Looks came closer than planned. Losing the oldest makes the window shorter and the verdict later.
        first_ = (first_ + 1) % most_points;
        --count_;
    }
    points_[(first_ + count_) % most_points] = point;
    ++count_;
}

void BlockWindow::forget_before(Instant time) noexcept {
    while (count_ > 1 && point(1).time <= time) {
        first_ = (first_ + 1) % most_points;
        --count_;
    }
}

// The oldest point since which no more was used than may be without progress.
Instant BlockWindow::end_of_work(Nanoseconds used) const noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
        if (used - point(i).used <= limit_ / progress_share) {
            return point(i).time;
        }
    }
    return point(count_ - 1).time;
}

BlockWindow::Verdict BlockWindow::look(Instant time, Nanoseconds used) noexcept {
    const bool works = used > point(count_ - 1).used;
    add({time, used});
    forget_before(time + -limit_);
    const Instant earliest = std::max(end_of_work(used), progress_) + limit_;
    if (earliest <= time) {
        return {true, {}};
    }
    // Not sooner than the dense looks: bytes move `earliest` without a look.
    const Nanoseconds step = std::max(limit_ / (works ? dense : sparse), Nanoseconds(1));
    return {false, std::min(earliest, time + step)};
}

}  // namespace proctor::detail
