// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/failure.hpp"
#include "base/unique_fd.hpp"

namespace proctor::detail {

/// Cuts what a descriptor or a text gives into lines, in one buffer that grows with the longest of them.
class LineSource {
public:
    /// Behind each line so many bytes may be read, though they mean nothing.
    static constexpr std::size_t readable_behind = 64;

    explicit LineSource(std::string_view text);
    LineSource(UniqueFd owned, std::string name);
    LineSource(int borrowed, std::string name);

    /// The next line, without its newline, valid until the next call; none behind the last.
    [[nodiscard]] Expected<std::optional<std::string_view>> next();
    /// Back to where the first line began.
    [[nodiscard]] Expected<void> rewind();
    /// Of the line that next() gave last, from 1.
    [[nodiscard]] std::int64_t line_number() const noexcept { return line_number_; }

private:
    [[nodiscard]] Expected<void> fill();
    void make_room();

    UniqueFd owned_{};
    int fd_ = -1;  // -1: all of it is in the buffer
    std::string name_{};
    off_t start_ = -1;  // of the descriptor; -1 if it cannot be sought
    bool at_end_ = false;
    std::unique_ptr<char[]> buffer_{};
    std::size_t capacity_ = 0;
    std::size_t begin_ = 0;  // of the next line
    std::size_t end_ = 0;
    std::int64_t line_number_ = 0;
};

}  // namespace proctor::detail
