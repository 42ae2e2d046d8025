// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include <proctor/capture.hpp>
#include <proctor/error.hpp>
#include <proctor/export.hpp>

namespace proctor {

/// Takes what passes on the three streams, counts it and cuts it at the limits. Keeps no data.
class PROCTOR_API CaptureRecorderBase {
public:
    explicit CaptureRecorderBase(const CaptureLimits& limits = {}) noexcept;
    CaptureRecorderBase(CaptureRecorderBase&&) noexcept = default;
    CaptureRecorderBase& operator=(CaptureRecorderBase&&) = delete;
    virtual ~CaptureRecorderBase();

    /// What a piece of data became: up to two records, the second the mark of a cut.
    struct Added {
        std::optional<CaptureRecord> data{};
        std::optional<CaptureRecord> cut{};
    };

    /// Records point into `data`. A time before the last one becomes the last one. An empty piece is none.
    /// `ambiguous`: its order to the record beside it is not known.
    virtual Added add(Stream stream, std::string_view data, std::chrono::nanoseconds time, bool ambiguous = false);
    /// Counts what passed on a stream that is not recorded.
    virtual void count(Stream stream, std::string_view data);

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
        std::optional<CaptureLimit> cut_by{};

        [[nodiscard]] std::string_view cut(std::string_view data, std::int64_t newlines_in_data) noexcept;
    };

    static std::int64_t count_total(Counter& counter, std::string_view data) noexcept;

    std::array<Counter, 3> counters_{};
    std::chrono::nanoseconds last_time_{};
};

/// Keeps the data too: Capture::record() makes one. Each record can be played back as soon as it is added. What is too
/// much for memory is written in pieces of 256 KiB, and the last one when the recorder is destroyed.
class PROCTOR_API CaptureRecorder final : public CaptureRecorderBase {
public:
    CaptureRecorder(CaptureRecorder&&) noexcept;
    CaptureRecorder& operator=(CaptureRecorder&&) = delete;
    ~CaptureRecorder() override;

    /// On a stream that is not captured, and after error(), counts in the totals alone.
    Added add(Stream stream, std::string_view data, std::chrono::nanoseconds time, bool ambiguous = false) override;
    void count(Stream stream, std::string_view data) override;

    /// Stage `spool`: the temporary file cannot be made or written. All that was recorded before can be played back.
    [[nodiscard]] const std::optional<Error>& error() const noexcept;

private:
    friend class Capture;
    friend struct detail::CaptureAccess;
    explicit CaptureRecorder(std::shared_ptr<detail::CaptureState> state) noexcept;

    std::shared_ptr<detail::CaptureState> state_;
};

}  // namespace proctor
