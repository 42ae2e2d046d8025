// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <proctor/error.hpp>
#include <proctor/export.hpp>
#include <proctor/units.hpp>

namespace proctor {

class CapturePlayback;
class CaptureRecorder;

namespace detail {
struct CaptureAccess;
struct CaptureState;
}  // namespace detail

/// The three standard streams; the values are the descriptor numbers.
enum Stream : unsigned char { STDIN = 0, STDOUT = 1, STDERR = 2 };

/// "stdin", "stdout" or "stderr".
PROCTOR_API std::string_view to_string(Stream stream) noexcept;
PROCTOR_API std::ostream& operator<<(std::ostream& out, Stream stream);

/// To what times of records are told where nothing else is asked for. Inside they are nanoseconds.
inline constexpr std::chrono::nanoseconds TIMESTAMP_PRECISION = std::chrono::milliseconds(1);

/// How much of each output stream is kept. A limit keeps exactly the first N bytes or lines, 0 keeps none, and a limit
/// that is not set does not exist. Past it the child is still drained and its output counted. A job's limits of a
/// stream that it does not record, or that does not come to the reactor (Output::file and others), are refused.
struct CaptureLimits {
    std::optional<std::int64_t> max_stdout_lines{};
    std::optional<Bytes> max_stdout_bytes{};
    std::optional<std::int64_t> max_stderr_lines{};
    std::optional<Bytes> max_stderr_bytes{};
};

/// Which streams are recorded, how much of them, and where it is kept.
struct CaptureOptions {
    bool input = true;
    bool output = true;
    bool error_output = true;
    CaptureLimits limits{};
    bool keep = true;  ///< false: observers see the records and totals are counted, nothing is stored
    /// What comes when a limit is crossed: false goes on, dropping and counting the rest; true ends the run with
    /// output_limit.
    bool limit_ends_run = false;
    /// How much of it stays in memory, with a few bytes for each record. What comes after that goes to an unnamed
    /// temporary file, which is gone with the last Capture and playback of it.
    Bytes max_size = Bytes{1} << 20;
    /// Where that file is made. Empty: in $TMPDIR, or else in /tmp.
    std::string spool_directory{};
};

/// One thing that happened on a stream: for an output stream what one read returned, for stdin what the pipe accepted.
struct CaptureRecord {
    /// Time since the run's zero, the stamp that the child takes immediately before execve. Never decreases within a
    /// capture.
    std::chrono::nanoseconds time{};
    Stream stream = STDOUT;
    /// The bytes; empty if `truncated`. In an observer they are valid until it returns, from a playback until its next
    /// record is asked for.
    std::string_view data{};
    /// The mark that stands where the first byte was dropped: the last record of its stream.
    bool truncated = false;
    /// Whether its order to the nearest records of the other output stream is not known; Order tells when.
    bool ambiguous = false;
};

/// One of the two limits of an output stream.
enum class CaptureLimit : unsigned char { bytes, lines };

/// "bytes" or "lines".
PROCTOR_API std::string_view to_string(CaptureLimit limit) noexcept;

/// What passed on one stream. A line is a newline, plus one for an unfinished tail.
struct StreamTotals {
    Bytes bytes = 0;         ///< kept (stdin: accepted by the pipe)
    std::int64_t lines = 0;  ///< kept
    bool truncated = false;
    std::optional<CaptureLimit> cut_by{};  ///< if truncated: by which limit; by both at the same byte: `bytes`
    Bytes total_bytes = 0;                 ///< all that came, also past a limit
    std::int64_t total_lines = 0;          ///< all that came, also past a limit
};

/// The recorded dialogue of one run, or of whatever its recorder was given. Copies share what was recorded; an empty
/// one is a null pointer.
class PROCTOR_API Capture {
public:
    Capture() = default;
    explicit Capture(CaptureOptions options);

    /// Starts a recording, by hand and without a reactor (<proctor/recorder.hpp>). What this Capture held before, it
    /// holds no more; playbacks of that go on.
    [[nodiscard]] CaptureRecorder record();
    /// Plays it back from its first record (<proctor/playback.hpp>). Any number of playbacks may go on at once, each in
    /// its own place, and outlive the Capture.
    [[nodiscard]] CapturePlayback playback() const;

    [[nodiscard]] Bytes size(Stream stream) const noexcept;
    [[nodiscard]] std::int64_t lines(Stream stream) const noexcept;
    [[nodiscard]] bool truncated(Stream stream) const noexcept;
    [[nodiscard]] bool any_truncated() const noexcept;
    [[nodiscard]] StreamTotals totals(Stream stream) const noexcept;

    /// All kept bytes of one stream. Empty if the job kept nothing. What cannot be read back from the temporary file is
    /// missing; a playback tells why. For more than fits into memory see CapturePlaybackBase::next(Stream).
    [[nodiscard]] std::string text(Stream stream) const;

    /// Stage `spool`: from some record on nothing was kept, since the temporary file could not be made or written.
    /// What a run recorded has it as the run's error, too.
    [[nodiscard]] const std::optional<Error>& error() const noexcept;

    /// Records that a playback gives, marks of cuts included.
    [[nodiscard]] std::size_t record_count() const noexcept;

private:
    friend struct detail::CaptureAccess;

    std::shared_ptr<detail::CaptureState> state_{};
};

}  // namespace proctor
