// SPDX-License-Identifier: MIT
#include <proctor/playback.hpp>

#include <utility>

namespace proctor {

CapturePlaybackBase::~CapturePlaybackBase() = default;

std::optional<CaptureRecord> CapturePlaybackBase::next() {
    if (error_) {
        return std::nullopt;
    }
    std::optional<CaptureRecord> record = take();
    if (record) {
        behind_ = record->time;
    }
    return record;
}

std::optional<CaptureRecord> CapturePlaybackBase::take() { return found_ ? std::exchange(found_, {}) : read(); }

void CapturePlaybackBase::rewind() {
    found_.reset();
    behind_.reset();
    error_.reset();
    start_over();
}

void CapturePlaybackBase::skip_to(std::chrono::nanoseconds time) {
    if (behind_ && *behind_ >= time) {
        rewind();
    }
    if (error_) {
        return;
    }
    std::optional<CaptureRecord> record = take();
    while (record && record->time < time) {
        behind_ = record->time;
        record = take();
    }
    found_ = record;
}

}  // namespace proctor
