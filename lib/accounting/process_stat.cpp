// SPDX-License-Identifier: MIT
#include "accounting/process_stat.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>

#include "base/unique_fd.hpp"

namespace proctor::detail {

namespace {

// Cuts the next blank-separated word off the front.
std::string_view next_word(std::string_view& rest) noexcept {
    const std::size_t begin = rest.find_first_not_of(' ');
    if (begin == std::string_view::npos) {
        return {};
    }
    const std::size_t end = rest.find(' ', begin);
    const std::string_view word = rest.substr(begin, end == std::string_view::npos ? end : end - begin);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end);
    return word;
}

template <typename Number>
bool parse_number(std::string_view word, Number& number) noexcept {
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    return error == std::errc() && end == word.data() + word.size();
}

Nanoseconds from_ticks(std::int64_t ticks, long ticks_per_second) noexcept {
    return Nanoseconds(ticks * (1'000'000'000 / ticks_per_second));
}

}  // namespace

std::optional<ProcessStat> parse_process_stat(std::string_view text, long ticks_per_second) noexcept {
    constexpr int fields_between_parent_and_utime = 9;  // pgrp … cmajflt
    const std::size_t name_end = text.rfind(')');
    if (name_end == std::string_view::npos) {
        return std::nullopt;
    }
    while (!text.empty() && text.back() == '\n') {
        text.remove_suffix(1);
    }
    std::string_view rest = text.substr(name_end + 1);
    ProcessStat stat;
    const std::string_view state = next_word(rest);
    if (state.size() != 1 || !parse_number(next_word(rest), stat.parent)) {
        return std::nullopt;
    }
    stat.state = state.front();
    for (int field = 0; field < fields_between_parent_and_utime; ++field) {
        next_word(rest);
    }
    std::int64_t utime = 0;
    std::int64_t stime = 0;
    if (!parse_number(next_word(rest), utime) || !parse_number(next_word(rest), stime)) {
        return std::nullopt;
    }
    stat.utime = from_ticks(utime, ticks_per_second);
    stat.stime = from_ticks(stime, ticks_per_second);
    return stat;
}

std::optional<ProcessStat> read_process_stat(pid_t pid) noexcept {
    char buffer[1024];
    std::snprintf(buffer, sizeof buffer, "/proc/%d/stat", pid);
    const UniqueFd file(::open(buffer, O_RDONLY | O_CLOEXEC));
    const ssize_t length = file ? ::read(file.get(), buffer, sizeof buffer) : -1;
    if (length <= 0) {
        return std::nullopt;
    }
    return parse_process_stat({buffer, static_cast<std::size_t>(length)}, ::sysconf(_SC_CLK_TCK));
}

}  // namespace proctor::detail
