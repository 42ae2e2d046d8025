// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <proctor/capture.hpp>

namespace proctor::detail {

/// What stands before a record's bytes wherever they are kept: one byte of flags, then the length and the time since
/// the record before, each as a number of 7 bits a byte, the lowest first. Four to six bytes, as a rule.
struct FrameHeader {
    Stream stream = STDOUT;
    bool truncated = false;
    bool ambiguous = false;
    std::uint64_t length = 0;      // of the data that follows
    std::uint64_t time_delta = 0;  // in nanoseconds
};

inline constexpr std::size_t longest_frame_header = 1 + 10 + 10;

/// Added to the first byte of a header that has been encoded already.
inline constexpr unsigned char ambiguous_flag = 8;

class EncodedHeader {
public:
    explicit EncodedHeader(const FrameHeader& header) noexcept;
    [[nodiscard]] std::string_view view() const noexcept { return {bytes_.data(), size_}; }

private:
    void put(std::uint64_t number) noexcept;

    std::array<char, longest_frame_header> bytes_{};
    std::size_t size_ = 0;
};

/// Takes a header off the front of `bytes`; none if there is no whole one.
[[nodiscard]] std::optional<FrameHeader> take_frame_header(std::string_view& bytes) noexcept;

}  // namespace proctor::detail
