// SPDX-License-Identifier: MIT
#include <proctor/capture_lines.hpp>

#include <utility>

namespace proctor {

std::optional<CaptureLine> CaptureLines::next() {
    for (;;) {
        if (!begun_.empty() && begun_.front().ended) {
            Begun& line = begun_.front();
            std::swap(given_, line.text);
            const CaptureLine given{line.time, line.stream, given_, line.ambiguous};
            begun_.pop_front();
            return given;
        }
        if (!record_ && !next_record()) {
            if (begun_.empty()) {
                return std::nullopt;
            }
            for (const Stream stream : {STDIN, STDOUT, STDERR}) {
                end_line(stream);
            }
            continue;
        }
        const std::size_t newline = record_->data.find('\n');
        const bool whole = newline != std::string_view::npos;
        const std::string_view piece = whole ? record_->data.substr(0, newline + 1) : record_->data;
        const CaptureRecord record = *record_;
        record_->data.remove_prefix(piece.size());
        if (record_->data.empty()) {
            record_.reset();
        }
        if (whole && begun_.empty()) {
            return CaptureLine{record.time, record.stream, piece, record.ambiguous};  // where the record has it
        }
        take_piece(record, piece, whole);
    }
}

// The next one that has bytes; a cut ends the line before it.
bool CaptureLines::next_record() {
    do {
        record_ = playback_->next();
        if (record_ && record_->truncated) {
            end_line(record_->stream);
        }
    } while (record_ && (record_->data.empty() || (only_ && record_->stream != *only_)));
    return record_.has_value();
}

void CaptureLines::end_line(Stream stream) noexcept {
    if (Begun* const line = std::exchange(unfinished_[stream], nullptr); line != nullptr) {
        line->ended = true;
    }
}

void CaptureLines::take_piece(const CaptureRecord& record, std::string_view piece, bool ended) {
    Begun*& line = unfinished_[record.stream];
    if (line == nullptr) {
        line = &begun_.emplace_back();
        line->time = record.time;
        line->stream = record.stream;
    }
    line->text.append(piece);
    line->ambiguous = line->ambiguous || record.ambiguous;
    if (ended) {
        end_line(record.stream);
    }
}

}  // namespace proctor
