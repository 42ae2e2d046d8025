// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <proctor/export.hpp>
#include <proctor/units.hpp>

namespace proctor {

/// The three standard streams; the values are the descriptor numbers.
enum Stream : unsigned char { STDIN = 0, STDOUT = 1, STDERR = 2 };

/// How much of each output stream is kept. A limit keeps exactly the first N bytes or lines, 0 keeps none, and a limit
/// that is not set does not exist. Past it the child is still drained and its output counted.
struct CaptureLimits {
    std::optional<std::int64_t> max_stdout_lines{};
    std::optional<Bytes> max_stdout_bytes{};
    std::optional<std::int64_t> max_stderr_lines{};
    std::optional<Bytes> max_stderr_bytes{};
};

/// One thing that happened on a stream: for an output stream what one read returned, for stdin what the pipe accepted.
struct CaptureRecord {
    /// Time since the run's zero, the stamp that the child takes immediately before execve. Never decreases within a
    /// capture.
    std::chrono::nanoseconds time{};
    Stream stream = STDOUT;
    /// The bytes; empty if `truncated`. In an observer they are valid until it returns, from a Capture as long as that.
    std::string_view data{};
    /// The mark that stands where the first byte was dropped: the last record of its stream.
    bool truncated = false;
    /// Whether its order to the record of the other output stream beside it is not known: two pipes carry no common
    /// order.
    bool ambiguous = false;
};

/// What passed on one stream. A line is a newline, plus one for an unfinished tail.
struct StreamTotals {
    Bytes bytes = 0;         ///< kept (stdin: accepted by the pipe)
    std::int64_t lines = 0;  ///< kept
    bool truncated = false;
    Bytes total_bytes = 0;         ///< all that came, also past a limit
    std::int64_t total_lines = 0;  ///< all that came, also past a limit
};

/// The recorded dialogue of one run.
class PROCTOR_API Capture {
public:
    [[nodiscard]] Bytes size(Stream stream) const noexcept;
    [[nodiscard]] std::int64_t lines(Stream stream) const noexcept;
    [[nodiscard]] bool truncated(Stream stream) const noexcept;
    [[nodiscard]] bool any_truncated() const noexcept;
    [[nodiscard]] const StreamTotals& totals(Stream stream) const noexcept;

    /// All kept bytes of one stream. Empty if the job kept nothing.
    [[nodiscard]] std::string text(Stream stream) const;

    /// The records in the order in which the reactor received them.
    [[nodiscard]] std::size_t record_count() const noexcept;
    [[nodiscard]] CaptureRecord record(std::size_t index) const noexcept;

private:
    friend class CaptureRecorder;

    struct Entry {
        std::chrono::nanoseconds time{};
        std::size_t end = 0;  // its data is what lies between its predecessor's end and its own
        Stream stream = STDOUT;
        bool truncated = false;
    };

    StreamTotals totals_[3]{};
    std::vector<Entry> entries_{};
    std::string data_{};
};

}  // namespace proctor
