// SPDX-License-Identifier: MIT
#include <proctor/capture.hpp>

#include <cassert>

namespace proctor {

const StreamTotals& Capture::totals(Stream stream) const noexcept { return totals_[stream]; }

Bytes Capture::size(Stream stream) const noexcept { return totals(stream).bytes; }

std::int64_t Capture::lines(Stream stream) const noexcept { return totals(stream).lines; }

bool Capture::truncated(Stream stream) const noexcept { return totals(stream).truncated; }

bool Capture::any_truncated() const noexcept { return truncated(STDIN) || truncated(STDOUT) || truncated(STDERR); }

std::string Capture::text(Stream stream) const {
    std::string text;
    if (!entries_.empty()) {
        text.reserve(static_cast<std::size_t>(size(stream)));
    }
    for (std::size_t index = 0; index < entries_.size(); ++index) {
        if (entries_[index].stream == stream) {
            text.append(record(index).data);
        }
    }
    return text;
}

std::size_t Capture::record_count() const noexcept { return entries_.size(); }

CaptureRecord Capture::record(std::size_t index) const noexcept {
    assert(index < entries_.size());
    const Entry& entry = entries_[index];
    const std::size_t begin = index == 0 ? 0 : entries_[index - 1].end;
    return {entry.time, entry.stream, std::string_view(data_).substr(begin, entry.end - begin), entry.truncated};
}

}  // namespace proctor
