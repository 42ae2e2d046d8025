// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace proctor::detail {

/// What a text begins with: one whole UTF-8 character or, if not valid, the bytes that one U+FFFD stands for. Those are
/// chosen as the Unicode standard recommends (chapter 3, "maximal subparts"), so other decoders agree on the count.
struct Utf8Character {
    std::size_t length = 0;  ///< 0 only for an empty text
    bool valid = true;
};
[[nodiscard]] Utf8Character first_character(std::string_view text) noexcept;

/// How many bytes at the end (at most 3) begin a character of which the rest is missing.
[[nodiscard]] std::size_t incomplete_tail(std::string_view text) noexcept;

/// How many bytes from the start stand for themselves in a JSON string: printable ASCII but `"` and `\`, and DEL.
[[nodiscard]] std::size_t plain_length(std::string_view text) noexcept;

/// Appends the text between quotation marks. UTF-8 is kept as it is; bytes that are not UTF-8 become U+FFFD, so the
/// document is valid whatever is in the text.
void append_json_string(std::string& out, std::string_view text);

/// The same of a text that is known to be UTF-8, at the speed of memory. With `ensure_ascii`, what is beyond ASCII is
/// escaped too, as one or two UTF-16 units.
void append_json_utf8(std::string& out, std::string_view text, bool ensure_ascii);

/// Appends seconds, truncated to `precision` (0 to 9) digits, without trailing zeros but with one decimal at least, and
/// never with an exponent.
void append_json_seconds(std::string& out, std::chrono::nanoseconds time, int precision);

/// Builds one compact JSON document from its tokens, in the order given, and sets the commas. An empty optional is
/// null. Nesting and the pairing of keys and values are the caller's.
class JsonWriter {
public:
    void begin_object();
    void end_object();
    JsonWriter& key(std::string_view name);

    void text(std::optional<std::string_view> value);
    void number(std::optional<std::int64_t> value);
    void boolean(bool value);
    void seconds(std::optional<std::chrono::nanoseconds> value, int precision);
    void null();

    [[nodiscard]] std::string take() { return std::move(out_); }

private:
    std::string out_{};
    bool comma_due_ = false;
};

}  // namespace proctor::detail
