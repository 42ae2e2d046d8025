// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include <proctor/capture.hpp>

#include "base/clock.hpp"

namespace proctor::detail {

/// A point of CLOCK_REALTIME, by which the kernel stamps messages.
using Stamp = Nanoseconds;

/// Brings the messages of two queues, STDOUT's and STDERR's, into the order of their stamps. It holds the next message
/// of each at most, and knows no descriptor: its user asks the queues and tells it what they said.
///
/// In each queue the order is the queue's own. Between the two stamps decide, but only up to a horizon, a time that was
/// taken before the queues are looked at. For whatever was written by then is in its queue by then. So a held message
/// that is older than the horizon is the next one, if of the other queue an older one is held not, and either a
/// younger one is or the queue was found empty since the horizon was taken. Without the horizon, a message that is
/// written between the two looks would overtake what stands before it.
///
///     order.begin(now);
///     while (auto queue = order.wants()) → offer(), or found_empty()
///     while (auto queue = order.next()) → take(), then wants() again
///
/// What has no order in truth (writes that overlap) gets some order, and what is told stays told.
class StampOrder {
public:
    /// Begins a round: nothing is known any more of what is not held.
    void begin(Stamp horizon) noexcept;
    /// The queue that has to be asked next, if any.
    [[nodiscard]] std::optional<Stream> wants() const noexcept;
    void offer(Stream stream, Stamp stamp, std::size_t size) noexcept;
    /// Now or for ever.
    void found_empty(Stream stream) noexcept;

    /// Whose held message is the next one; none if nothing is held that is older than the horizon. Only if
    /// nothing is wanted.
    [[nodiscard]] std::optional<Stream> next() const noexcept;
    /// Takes the next one out; answers whether its order to the other queue's is unknown.
    bool take(Stream stream) noexcept;
    /// Forgets what is held of a queue.
    void drop(Stream stream) noexcept { queue(stream).held.reset(); }

    /// The stamps of what is held, and of so many bytes in the queues, may not be comparable with each other: all that
    /// comes first and is unordered, and nothing else comes before the next round.
    void clock_jumped(std::size_t output_bytes, std::size_t error_bytes) noexcept;

    [[nodiscard]] bool holds(Stream stream) const noexcept { return queue(stream).held.has_value(); }
    [[nodiscard]] Stamp stamp(Stream stream) const noexcept { return queue(stream).held->stamp; }
    /// Whether its stamp is of a clock that has jumped since.
    [[nodiscard]] bool in_doubt(Stream stream) const noexcept { return queue(stream).held->in_doubt; }
    [[nodiscard]] Stamp horizon() const noexcept { return horizon_; }

private:
    struct Held {
        Stamp stamp{};
        bool in_doubt = false;
    };
    struct Queue {
        std::optional<Held> held{};
        bool empty = false;              // found so since the horizon was taken
        std::size_t bytes_in_doubt = 0;  // of what comes next
    };

    [[nodiscard]] Queue& queue(Stream stream) noexcept { return queues_[stream == STDERR ? 1 : 0]; }
    [[nodiscard]] const Queue& queue(Stream stream) const noexcept { return queues_[stream == STDERR ? 1 : 0]; }

    std::array<Queue, 2> queues_{};
    Stamp horizon_{};
    std::optional<Stamp> tie_{};  // a stamp that both queues have
};

/// The distance of CLOCK_REALTIME to CLOCK_MONOTONIC, which changes by jumps alone: both are slewed together. Each look
/// bounds it from both sides, as narrowly as the looking was quick.
class ClockOffset {
public:
    /// The real time, read between two readings of the other clock. False if the distance is another than before; the
    /// new one then counts.
    bool add(Nanoseconds monotonic_before, Stamp real, Nanoseconds monotonic_after) noexcept;

    [[nodiscard]] Instant to_instant(Stamp stamp) const noexcept { return {stamp - high_}; }
    [[nodiscard]] Stamp to_stamp(Instant instant) const noexcept { return instant.since_boot + low_; }

private:
    bool known_ = false;
    Nanoseconds low_{};
    Nanoseconds high_{};
};

}  // namespace proctor::detail
