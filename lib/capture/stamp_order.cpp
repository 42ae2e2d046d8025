// SPDX-License-Identifier: MIT
#include "capture/stamp_order.hpp"

#include <algorithm>
#include <cassert>

namespace proctor::detail {

namespace {

constexpr Stream other_than(Stream stream) noexcept { return stream == STDERR ? STDOUT : STDERR; }

// The two clocks are rounded to nanoseconds apart.
constexpr Nanoseconds rounding{20};

}  // namespace

void StampOrder::begin(Stamp horizon) noexcept {
    horizon_ = horizon;
    for (Queue& each : queues_) {
        each.empty = false;
    }
}

std::optional<Stream> StampOrder::wants() const noexcept {
    for (const Stream stream : {STDOUT, STDERR}) {
        if (!queue(stream).held && !queue(stream).empty) {
            return stream;
        }
    }
    return std::nullopt;
}

void StampOrder::offer(Stream stream, Stamp stamp, std::size_t size) noexcept {
    Queue& its = queue(stream);
    assert(!its.held);
    its.held = Held{stamp, its.bytes_in_doubt > 0};
    its.bytes_in_doubt -= std::min(its.bytes_in_doubt, size);
}

void StampOrder::found_empty(Stream stream) noexcept {
    queue(stream).empty = true;
    queue(stream).bytes_in_doubt = 0;
}

std::optional<Stream> StampOrder::next() const noexcept {
    assert(!wants());
    const auto& output = queue(STDOUT).held;
    const auto& error = queue(STDERR).held;
    if (!output && !error) {
        return std::nullopt;
    }
    Stream first = !error ? STDOUT : !output ? STDERR : error->stamp < output->stamp ? STDERR : STDOUT;
    if (output && error && output->in_doubt != error->in_doubt) {
        first = output->in_doubt ? STDOUT : STDERR;  // the other one was written after the jump
    }
    const Held& held = *queue(first).held;
    return held.in_doubt || held.stamp < horizon_ ? std::optional(first) : std::nullopt;
}

bool StampOrder::take(Stream stream) noexcept {
    assert(next() == stream);
    const Held held = *queue(stream).held;
    queue(stream).held.reset();
    const auto& beside = queue(other_than(stream)).held;
    if (beside && beside->stamp == held.stamp) {
        tie_ = held.stamp;
    }
    return held.in_doubt || tie_ == held.stamp;
}

void StampOrder::clock_jumped(std::size_t output_bytes, std::size_t error_bytes) noexcept {
    horizon_ = Stamp::min();  // of the clock as it was; the next round has another
    queue(STDOUT).bytes_in_doubt = output_bytes;
    queue(STDERR).bytes_in_doubt = error_bytes;
    for (Queue& each : queues_) {
        if (each.held) {
            each.held->in_doubt = true;
        }
        each.empty = false;
    }
}

bool ClockOffset::add(Nanoseconds monotonic_before, Stamp real, Nanoseconds monotonic_after) noexcept {
    const Nanoseconds low = real - monotonic_after;
    const Nanoseconds high = real - monotonic_before;
    const bool same = !known_ || (low <= high_ + rounding && low_ <= high + rounding);
    if (!known_ || !same) {
        low_ = low;
        high_ = high;
    } else {
        low_ = std::max(low_, low);
        high_ = std::max(std::min(high_, high), low_);
    }
    known_ = true;
    return same;
}

}  // namespace proctor::detail
