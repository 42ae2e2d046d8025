// SPDX-License-Identifier: MIT
#include "capture/frame.hpp"

namespace proctor::detail {

namespace {

constexpr unsigned char stream_bits = 3;
constexpr unsigned char truncated_flag = 4;

constexpr unsigned bits_per_byte = 7;
constexpr unsigned char more_follow = 0x80;

std::optional<std::uint64_t> take_number(std::string_view& bytes) noexcept {
    std::uint64_t number = 0;
    for (unsigned shift = 0; shift < 64 && !bytes.empty(); shift += bits_per_byte) {
        const auto byte = static_cast<unsigned char>(bytes.front());
        bytes.remove_prefix(1);
        number |= std::uint64_t{byte & (more_follow - 1U)} << shift;
        if ((byte & more_follow) == 0) {
            return number;
        }
    }
    return std::nullopt;
}

}  // namespace

EncodedHeader::EncodedHeader(const FrameHeader& header) noexcept {
    const unsigned flags =
        header.stream | (header.truncated ? truncated_flag : 0U) | (header.ambiguous ? ambiguous_flag : 0U);
    bytes_[size_++] = static_cast<char>(flags);
    put(header.length);
    put(header.time_delta);
}

void EncodedHeader::put(std::uint64_t number) noexcept {
    for (; number >= more_follow; number >>= bits_per_byte) {
        bytes_[size_++] = static_cast<char>((number & (more_follow - 1U)) | more_follow);
    }
    bytes_[size_++] = static_cast<char>(number);
}

std::optional<FrameHeader> take_frame_header(std::string_view& bytes) noexcept {
    if (bytes.empty()) {
        return std::nullopt;
    }
    const auto flags = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    const auto length = take_number(bytes);
    const auto time_delta = length ? take_number(bytes) : std::nullopt;
    if (!time_delta || (flags & stream_bits) > STDERR) {
        return std::nullopt;
    }
    return FrameHeader{static_cast<Stream>(flags & stream_bits), (flags & truncated_flag) != 0,
                       (flags & ambiguous_flag) != 0, *length, *time_delta};
}

}  // namespace proctor::detail
