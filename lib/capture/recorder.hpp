// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include <proctor/capture.hpp>

namespace proctor {

/// Takes what passes on the three streams, counts it and cuts it at the limits. Keeps no data.
class CaptureRecorderBase {
public:
    explicit CaptureRecorderBase(const CaptureLimits& limits) noexcept;

    /// What a piece of data became: up to two records, the second the mark of a cut.
    struct Added {
        std::optional<CaptureRecord> data{};
        std::optional<CaptureRecord> cut{};
    };

    /// Records point into `data`. A time before the last one becomes the last one.
    Added add(Stream stream, std::string_view data, std::chrono::nanoseconds time) noexcept;

    /// Counts what passed on a stream that is not recorded.
    void count(Stream stream, std::string_view data) noexcept;

    [[nodiscard]] StreamTotals totals(Stream stream) const noexcept;

private:
    struct Counter {
        std::optional<std::int64_t> max_bytes{};
        std::optional<std::int64_t> max_lines{};
        std::int64_t bytes = 0;
        std::int64_t newlines = 0;
        std::int64_t total_bytes = 0;
        std::int64_t total_newlines = 0;
        bool tail = false;  // the last byte was no newline
        bool total_tail = false;
        bool truncated = false;

        [[nodiscard]] std::string_view cut(std::string_view data, std::int64_t newlines_in_data) const noexcept;
    };

    std::int64_t count_total(Counter& counter, std::string_view data) noexcept;

    std::array<Counter, 3> counters_{};
    std::chrono::nanoseconds last_time_{};
};

/// Keeps the data too.
class CaptureRecorder : public CaptureRecorderBase {
public:
    CaptureRecorder(const CaptureLimits& limits, bool keep) noexcept : CaptureRecorderBase(limits), keep_(keep) {}

    Added add(Stream stream, std::string_view data, std::chrono::nanoseconds time);

    /// Ends the recording.
    [[nodiscard]] Capture take();

private:
    void keep(const CaptureRecord& record);

    bool keep_;
    Capture capture_{};
};

}  // namespace proctor
