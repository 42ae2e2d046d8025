// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <deque>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

#include <proctor/capture.hpp>
#include <proctor/export.hpp>
#include <proctor/playback.hpp>

namespace proctor {

/// One line of a stream, put together from as many records as it came in.
struct CaptureLine {
    std::chrono::nanoseconds time{};  ///< of its first byte
    Stream stream = STDOUT;
    /// With its newline; the unfinished tail of a stream has none. Valid until the next line is asked for.
    std::string_view text{};
    bool ambiguous = false;  ///< whether one of its records is
};

/// What a playback has left, line by line, in the order in which the lines began:
///
///     auto playback = capture.playback();
///     for (const proctor::CaptureLine& line : playback.lines()) …
///
/// Lines that ended are kept in memory while one that began before them goes on, and so is each line as a whole. Where
/// there is no next line the playback's error() tells whether that is the end.
class PROCTOR_API CaptureLines {
public:
    CaptureLines(CapturePlaybackBase& playback, std::optional<Stream> stream) noexcept
        : playback_(&playback), only_(stream) {}
    CaptureLines(const CaptureLines&) = delete;
    CaptureLines& operator=(const CaptureLines&) = delete;

    [[nodiscard]] std::optional<CaptureLine> next();

    /// One pass over what is left, for range-for.
    class Iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = CaptureLine;
        using difference_type = std::ptrdiff_t;
        using pointer = const CaptureLine*;
        using reference = const CaptureLine&;

        Iterator() = default;
        explicit Iterator(CaptureLines& lines) : lines_(&lines), line_(lines.next()) {}
        reference operator*() const noexcept { return *line_; }
        pointer operator->() const noexcept { return &*line_; }
        Iterator& operator++() {
            line_ = lines_->next();
            return *this;
        }
        void operator++(int) { ++*this; }
        bool operator==(std::default_sentinel_t) const noexcept { return !line_; }

    private:
        CaptureLines* lines_ = nullptr;
        std::optional<CaptureLine> line_{};
    };
    [[nodiscard]] Iterator begin() { return Iterator(*this); }
    [[nodiscard]] static std::default_sentinel_t end() noexcept { return {}; }

private:
    struct Begun {
        std::chrono::nanoseconds time{};
        Stream stream = STDOUT;
        std::string text{};
        bool ambiguous = false;
        bool ended = false;
    };

    void take_piece(const CaptureRecord& record, std::string_view piece, bool ended);
    void end_line(Stream stream) noexcept;
    [[nodiscard]] bool next_record();

    CapturePlaybackBase* playback_;
    std::optional<Stream> only_;
    std::optional<CaptureRecord> record_{};  // its data is what has not been taken yet
    std::deque<Begun> begun_{};              // in the order of their beginnings
    std::array<Begun*, 3> unfinished_{};     // of each stream the last of those, if it goes on
    std::string given_{};                    // the line that was given last, if it had to be put together
};

}  // namespace proctor
