// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <proctor/capture.hpp>
#include <proctor/error.hpp>
#include <proctor/export.hpp>
#include <proctor/playback.hpp>

namespace proctor {

namespace detail {
class CaptureReader;
}

struct JSONCaptureOptions {
    int precision = 3;          ///< digits after the decimal point of a time, 0 to 9
    bool ensure_ascii = false;  ///< true: everything beyond ASCII as \u escapes
};

/// Writes records as JSON Lines:
///
///     {"@":0.012,"0":"2 3\n"}
///     {"@":0.013,"1":"5\n"}
///     {"@":0.5,"2":false}
///
/// Times are seconds, truncated to the precision. Bytes that are UTF-8 are text; a record with others is as a whole
/// {"base64":"…"}; a cut is false; a record whose order is not known has "ambiguous":true besides.
///
/// A character that a chunk's end has cut in two moves to the next record of its stream, so text stays text: up to
/// three bytes are kept until then, and a record of nothing else makes no line. At the stream's cut, or at finish(),
/// such bytes become a record of their own.
class PROCTOR_API JSONCaptureEncoder {
public:
    /// With the options' defaults.
    JSONCaptureEncoder() = default;
    /// Errors: EINVAL for a precision that is not 0 to 9.
    [[nodiscard]] static Result<JSONCaptureEncoder> create(const JSONCaptureOptions& options);

    /// Appends a line, with its newline.
    void encode(const CaptureRecord& record, std::string& out);
    /// Appends what is left of characters that never became whole, with the time of the last record. The encoder can
    /// then be used for another capture.
    void finish(std::string& out);

private:
    struct Kept {
        std::array<char, 3> bytes{};
        std::size_t size = 0;
        bool ambiguous = false;  // a whole record of that kind has moved
    };

    explicit JSONCaptureEncoder(const JSONCaptureOptions& options) : options_(options) {}
    void release(Stream stream, std::chrono::nanoseconds time, std::string& out);
    void write(const CaptureRecord& record, std::string& out) const;

    JSONCaptureOptions options_{};
    std::array<Kept, 3> kept_{};
    std::string joined_{};
    std::chrono::nanoseconds last_time_{};
};

/// Plays back JSON Lines: what JSONCaptureEncoder writes, and what is like it. A line may have several of "0", "1" and
/// "2", which become records in the file's order, with the line's time; a time may be any JSON number, or such a number
/// as text, and what is finer than a nanosecond is dropped; null is no record; other keys and blank lines are skipped.
/// Times are told as they stand, also where they decrease; skip_to() then stops at the first one that is late enough.
///
/// Where the file is damaged or cut, what is before that line is played, and then error() names line and column
/// (counted from 1, columns in bytes). A file that cannot be opened is told so from the start. Lines may be as long as
/// the memory allows: about 15 times the longest one is needed, and 4 GiB are the most.
class PROCTOR_API JSONCapturePlayback : public CapturePlaybackBase {
public:
    [[nodiscard]] static JSONCapturePlayback file(const std::string& path);
    /// From its present position. Borrowed. What cannot be sought, such as a pipe, can be played once only: rewind()
    /// then makes an error. `name` is what messages call it.
    [[nodiscard]] static JSONCapturePlayback descriptor(int descriptor, const std::string& name);
    /// From a copy of the text.
    [[nodiscard]] static JSONCapturePlayback text(std::string_view lines);
    ~JSONCapturePlayback() override;

protected:
    std::optional<CaptureRecord> read() override;
    void start_over() override;

private:
    explicit JSONCapturePlayback(std::unique_ptr<detail::CaptureReader> reader);

    std::unique_ptr<detail::CaptureReader> reader_;
};

}  // namespace proctor
