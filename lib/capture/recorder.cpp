// SPDX-License-Identifier: MIT
#include <algorithm>
#include <utility>

#include <proctor/recorder.hpp>

#include "capture/capture_state.hpp"
#include "capture/count_newlines.hpp"

namespace proctor {

using detail::count_newlines;

namespace {

std::int64_t length(std::string_view text) { return static_cast<std::int64_t>(text.size()); }

// The part of `text` that ends with its nth newline; there are that many.
std::string_view first_lines(std::string_view text, std::int64_t count) {
    std::size_t end = 0;
    for (; count > 0; --count) {
        end = text.find('\n', end) + 1;
    }
    return text.substr(0, end);
}

}  // namespace

CaptureRecorderBase::CaptureRecorderBase(const CaptureLimits& limits) noexcept {
    counters_[STDOUT].max_bytes = limits.max_stdout_bytes;
    counters_[STDOUT].max_lines = limits.max_stdout_lines;
    counters_[STDERR].max_bytes = limits.max_stderr_bytes;
    counters_[STDERR].max_lines = limits.max_stderr_lines;
}

CaptureRecorderBase::~CaptureRecorderBase() = default;

std::string_view CaptureRecorderBase::Counter::cut(std::string_view data, std::int64_t newlines_in_data) noexcept {
    std::string_view kept = data;
    if (max_bytes && length(data) > *max_bytes - bytes) {
        kept = data.substr(0, static_cast<std::size_t>(*max_bytes - bytes));
        cut_by = CaptureLimit::bytes;
    }
    // A byte after the last line that may be kept begins one too many, newline or not.
    if (max_lines && newlines + newlines_in_data >= *max_lines) {
        const std::string_view lines = first_lines(data, *max_lines - newlines);
        if (lines.size() < kept.size()) {
            kept = lines;
            cut_by = CaptureLimit::lines;
        }
    }
    return kept;
}

CaptureRecorderBase::Added CaptureRecorderBase::add(Stream stream, std::string_view data, std::chrono::nanoseconds time,
                                                    bool ambiguous) {
    Added added;
    if (data.empty()) {
        return added;
    }
    Counter& counter = counters_[stream];
    const std::int64_t newlines = count_total(counter, data);
    if (counter.cut_by) {
        return added;
    }
    last_time_ = std::max(last_time_, time);
    const std::string_view kept = counter.cut(data, newlines);
    if (!kept.empty()) {
        counter.bytes += length(kept);
        counter.newlines += kept.size() == data.size() ? newlines : count_newlines(kept);
        counter.tail = kept.back() != '\n';
        added.data = CaptureRecord{last_time_, stream, kept, false, ambiguous};
    }
    if (counter.cut_by) {
        added.cut = CaptureRecord{.time = last_time_, .stream = stream, .truncated = true};
    }
    return added;
}

void CaptureRecorderBase::count(Stream stream, std::string_view data) {
    if (!data.empty()) {
        count_total(counters_[stream], data);
    }
}

std::int64_t CaptureRecorderBase::count_total(Counter& counter, std::string_view data) noexcept {
    const std::int64_t newlines = count_newlines(data);
    counter.total_bytes += length(data);
    counter.total_newlines += newlines;
    counter.total_tail = data.back() != '\n';
    return newlines;
}

StreamTotals CaptureRecorderBase::totals(Stream stream) const noexcept {
    const Counter& counter = counters_[stream];
    StreamTotals totals;
    totals.bytes = counter.bytes;
    totals.lines = counter.newlines + (counter.tail ? 1 : 0);
    totals.truncated = counter.cut_by.has_value();
    totals.cut_by = counter.cut_by;
    totals.total_bytes = counter.total_bytes;
    totals.total_lines = counter.total_newlines + (counter.total_tail ? 1 : 0);
    return totals;
}

CaptureRecorder::CaptureRecorder(std::shared_ptr<detail::CaptureState> state) noexcept
    : CaptureRecorderBase(state->options.limits), state_(std::move(state)) {}

CaptureRecorder::CaptureRecorder(CaptureRecorder&&) noexcept = default;

CaptureRecorder::~CaptureRecorder() {
    if (state_) {
        state_->store.finish();
    }
}

CaptureRecorderBase::Added CaptureRecorder::add(Stream stream, std::string_view data, std::chrono::nanoseconds time,
                                                bool ambiguous) {
    if (!detail::records(state_->options, stream) || error()) {
        count(stream, data);
        return {};
    }
    const Added added = CaptureRecorderBase::add(stream, data, time, ambiguous);
    state_->totals[stream] = totals(stream);
    if (state_->options.keep) {
        for (const auto& record : {added.data, added.cut}) {
            // Where the first of the two has met an error, the mark still goes beside it, in memory.
            if (record) {
                state_->store.append(*record);
            }
        }
    }
    return added;
}

void CaptureRecorder::count(Stream stream, std::string_view data) {
    CaptureRecorderBase::count(stream, data);
    state_->totals[stream] = totals(stream);
}

const std::optional<Error>& CaptureRecorder::error() const noexcept { return state_->store.error(); }

}  // namespace proctor
