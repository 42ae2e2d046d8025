// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cstddef>
#include <optional>
#include <string_view>
#include <system_error>

#include <proctor/units.hpp>

/// The few forms that the texts of /proc have. Pure; a text that is cut anywhere, or holds anything, is no harm.
namespace proctor::detail {

/// Cuts the next word, up to a blank, tabulator or newline, off the front. Empty at the end.
std::string_view next_word(std::string_view& rest) noexcept;

/// Cuts the next line off the front, without its newline.
std::string_view next_line(std::string_view& rest) noexcept;

/// Whether all of the word is a number that fits.
template <typename Number>
[[nodiscard]] bool parse_number(std::string_view word, Number& number, int base = 10) noexcept {
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number, base);
    return error == std::errc() && end == word.data() + word.size();
}

/// The value of a line such as "RssAnon:     148 kB"; none if it is the line of another field.
[[nodiscard]] std::optional<Bytes> kib_field(std::string_view line, std::string_view name) noexcept;

/// Lines of an open file, read piece by piece: /proc/PID/status has no greatest length, because a process may be in
/// 65536 groups. A line that does not fit the buffer is left out.
class LineReader {
public:
    explicit LineReader(int fd) noexcept : fd_(fd) {}
    LineReader(const LineReader&) = delete;
    LineReader& operator=(const LineReader&) = delete;

    /// The next line without its newline, valid until the next call; none at the end.
    std::optional<std::string_view> next() noexcept;

private:
    bool fill() noexcept;

    int fd_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    bool leaving_out_ = false;
    char buffer_[4096];
};

}  // namespace proctor::detail
