// SPDX-License-Identifier: MIT
#include <memory>
#include <utility>

#include <proctor/capture.hpp>
#include <proctor/playback.hpp>
#include <proctor/recorder.hpp>

#include "capture/capture_state.hpp"

namespace proctor {

Capture::Capture(CaptureOptions options) : state_(std::make_shared<detail::CaptureState>(std::move(options))) {}

CaptureRecorder Capture::record() {
    if (!state_ || state_->recorded) {
        state_ = std::make_shared<detail::CaptureState>(state_ ? state_->options : CaptureOptions());
    }
    state_->recorded = true;
    return CaptureRecorder(state_);
}

CapturePlayback Capture::playback() const { return CapturePlayback(state_); }

StreamTotals Capture::totals(Stream stream) const noexcept { return state_ ? state_->totals[stream] : StreamTotals(); }

Bytes Capture::size(Stream stream) const noexcept { return totals(stream).bytes; }

std::int64_t Capture::lines(Stream stream) const noexcept { return totals(stream).lines; }

bool Capture::truncated(Stream stream) const noexcept { return totals(stream).truncated; }

bool Capture::any_truncated() const noexcept { return truncated(STDIN) || truncated(STDOUT) || truncated(STDERR); }

std::string Capture::text(Stream stream) const {
    std::string text;
    if (record_count() > 0) {
        text.reserve(static_cast<std::size_t>(size(stream)));
        CapturePlayback playback(state_);
        while (const auto record = playback.next(stream)) {
            text.append(record->data);
        }
    }
    return text;
}

const std::optional<Error>& Capture::error() const noexcept {
    static const std::optional<Error> none;
    return state_ ? state_->store.error() : none;
}

std::size_t Capture::record_count() const noexcept { return state_ ? state_->store.count() : 0; }

}  // namespace proctor
