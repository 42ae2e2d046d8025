// SPDX-License-Identifier: MIT
#include <proctor/playback.hpp>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <proctor/capture_lines.hpp>

#include "capture/capture_state.hpp"
#include "capture/frame.hpp"

namespace proctor {

namespace {

// Of the temporary file this much is read at once, or a whole record if that is larger.
constexpr std::size_t read_at_once = std::size_t{128} << 10;

CaptureRecord to_record(const detail::FrameHeader& header, std::chrono::nanoseconds time, std::string_view data) {
    return {time, header.stream, data, header.truncated, header.ambiguous};
}

}  // namespace

CapturePlaybackBase::~CapturePlaybackBase() = default;

std::optional<CaptureRecord> CapturePlaybackBase::next() {
    if (error_) {
        return std::nullopt;
    }
    std::optional<CaptureRecord> record = take();
    if (record) {
        note_passed(*record);
    }
    return record;
}

std::optional<CaptureRecord> CapturePlaybackBase::next(Stream stream) {
    std::optional<CaptureRecord> record = next();
    while (record && record->stream != stream) {
        record = next();
    }
    return record;
}

CaptureLines CapturePlaybackBase::lines(std::optional<Stream> stream) & { return CaptureLines(*this, stream); }

std::optional<CaptureRecord> CapturePlaybackBase::take() { return found_ ? std::exchange(found_, {}) : read(); }

// In a file of somebody else's times may decrease.
void CapturePlaybackBase::note_passed(const CaptureRecord& record) {
    behind_ = std::max(behind_.value_or(record.time), record.time);
}

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
        note_passed(*record);
        record = take();
    }
    found_ = record;
}

CapturePlayback::CapturePlayback(std::shared_ptr<const detail::CaptureState> state) noexcept
    : state_(std::move(state)) {}

CapturePlayback::~CapturePlayback() = default;

void CapturePlayback::start_over() {
    time_ = {};
    place_ = 0;
    spool_place_ = 0;
    buffer_.clear();
    buffer_place_ = 0;
}

std::optional<CaptureRecord> CapturePlayback::read() {
    if (!state_) {
        return std::nullopt;
    }
    std::string_view rest = state_->store.memory().substr(place_);
    const bool in_memory = !rest.empty();
    if (!in_memory) {
        if (!buffer(detail::longest_frame_header)) {
            return std::nullopt;
        }
        rest = std::string_view(buffer_).substr(buffer_place_);
        if (rest.empty()) {
            return std::nullopt;  // the end
        }
    }
    const std::size_t size = rest.size();
    const auto header = detail::take_frame_header(rest);
    const std::size_t header_size = size - rest.size();
    if (header && !in_memory && rest.size() < header->length) {
        if (!buffer(header_size + static_cast<std::size_t>(header->length))) {
            return std::nullopt;
        }
        rest = std::string_view(buffer_).substr(buffer_place_ + header_size);
    }
    if (!header || rest.size() < header->length) {
        fail({Stage::spool, EILSEQ, "the temporary file of a large capture was changed by somebody else",
              "look who may write into the memory or the files of this program"});
        return std::nullopt;
    }
    const auto length = static_cast<std::size_t>(header->length);
    (in_memory ? place_ : buffer_place_) += header_size + length;
    time_ += std::chrono::nanoseconds(header->time_delta);
    return to_record(*header, time_, rest.substr(0, length));
}

// Sees to it that the buffer has that much from its place on, or as much as the spool still has.
bool CapturePlayback::buffer(std::size_t wanted) {
    const std::size_t held = buffer_.size() - buffer_place_;
    const std::uint64_t left = state_->store.spool_size() - spool_place_;
    if (held >= wanted || left == 0) {
        return true;
    }
    const std::size_t size =
        static_cast<std::size_t>(std::min<std::uint64_t>(std::max(wanted, read_at_once) - held, left));
    buffer_.erase(0, buffer_place_);
    buffer_place_ = 0;
    buffer_.resize(held + size);
    if (auto filled = state_->store.read_spool(spool_place_, std::span<char>(buffer_).subspan(held)); !filled) {
        buffer_.resize(held);
        fail(std::move(filled.error()));
        return false;
    }
    spool_place_ += size;
    return true;
}

}  // namespace proctor
