// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "base/clock.hpp"

namespace proctor::detail {

/// Decides when a tree has made no progress for as long as its limit, from looks at its processor time and the times of
/// its streams' bytes. Progress is a byte, or more than 1 % of one processor over the limit's length (an idle Java
/// machine takes 0.6 %). Pure: it knows no clock and reads nothing.
///
/// Looks are dense while the tree works, since the end of its work is known only as lying between two looks, and sparse
/// while it rests.
class BlockWindow {
public:
    void start(Instant time, Nanoseconds limit) noexcept;
    /// A byte has passed. A time before the last one changes nothing.
    void note_progress(Instant time) noexcept { progress_ = std::max(progress_, time); }

    struct Verdict {
        bool blocked = false;
        Instant next_look{};  ///< when to look again, if it is not
    };
    /// A look: at this time the tree had used so much. Neither ever goes back.
    [[nodiscard]] Verdict look(Instant time, Nanoseconds used) noexcept;

    /// Looks at a tree that works, and at one that rests, per length of the limit.
    static constexpr int dense = 32;
    static constexpr int sparse = 4;
    static constexpr int progress_share = 100;

private:
    struct Point {
        Instant time{};
        Nanoseconds used{};
    };

    // Of the points that are as old as the limit only the youngest is kept.
    static constexpr std::size_t most_points = dense + 2;

    [[nodiscard]] const Point& point(std::size_t index) const noexcept {
        return points_[(first_ + index) % most_points];
    }
    void add(Point point) noexcept;
    void forget_before(Instant time) noexcept;
    [[nodiscard]] Instant end_of_work(Nanoseconds used) const noexcept;

    std::array<Point, most_points> points_{};
    std::size_t first_ = 0;
    std::size_t count_ = 0;
    Instant progress_{};
    Nanoseconds limit_{};
};

}  // namespace proctor::detail
