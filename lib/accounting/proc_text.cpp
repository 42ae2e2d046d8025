// SPDX-License-Identifier: MIT
#include "accounting/proc_text.hpp"

#include <unistd.h>

#include <cstring>
#include <limits>

namespace proctor::detail {

std::string_view next_word(std::string_view& rest) noexcept {
    constexpr std::string_view separators = " \t\n";
    const std::size_t begin = rest.find_first_not_of(separators);
    if (begin == std::string_view::npos) {
        rest = {};
        return {};
    }
    const std::size_t end = std::min(rest.find_first_of(separators, begin), rest.size());
    const std::string_view word = rest.substr(begin, end - begin);
    rest.remove_prefix(end);
    return word;
}

std::string_view next_line(std::string_view& rest) noexcept {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == rest.size() ? end : end + 1);
    return line;
}

std::optional<Bytes> kib_field(std::string_view line, std::string_view name) noexcept {
    constexpr Bytes kib = 1024;
    constexpr Bytes count_max = std::numeric_limits<Bytes>::max() / kib / 4096;  // so that many can be added up
    if (line.substr(0, name.size()) != name || line.substr(name.size(), 1) != ":") {
        return std::nullopt;
    }
    std::string_view rest = line.substr(name.size() + 1);
    Bytes count = 0;
    if (!parse_number(next_word(rest), count) || count < 0 || count > count_max || next_word(rest) != "kB") {
        return std::nullopt;
    }
    return count * kib;
}

std::optional<std::string_view> LineReader::next() noexcept {
    for (;;) {
        const std::string_view held(buffer_ + begin_, end_ - begin_);
        const std::size_t newline = held.find('\n');
        if (newline != std::string_view::npos) {
            begin_ += newline + 1;
            if (!leaving_out_) {
                return held.substr(0, newline);
            }
            leaving_out_ = false;
        } else if (!fill()) {
            const bool has_tail = end_ > begin_ && !leaving_out_;
            const std::string_view tail(buffer_ + begin_, end_ - begin_);
            begin_ = end_;
            return has_tail ? std::optional(tail) : std::nullopt;
        }
    }
}

// Reads on behind the part of a line that is held. False at the end of the file.
bool LineReader::fill() noexcept {
    if (end_ - begin_ == sizeof buffer_) {
        leaving_out_ = true;
        begin_ = end_;
    }
    std::memmove(buffer_, buffer_ + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    const ssize_t count = ::read(fd_, buffer_ + end_, sizeof buffer_ - end_);
    end_ += count > 0 ? static_cast<std::size_t>(count) : 0;
    return count > 0;
}

}  // namespace proctor::detail
