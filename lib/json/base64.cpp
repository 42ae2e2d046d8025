// SPDX-License-Identifier: MIT
#include "json/base64.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace proctor::detail {

namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr unsigned char no_value = 0xff;

constexpr std::array<unsigned char, 256> make_values() {
    std::array<unsigned char, 256> values{};
    values.fill(no_value);
    for (std::size_t i = 0; i < alphabet.size(); ++i) {
        values[static_cast<unsigned char>(alphabet[i])] = static_cast<unsigned char>(i);
    }
    return values;
}

constexpr std::array<unsigned char, 256> values = make_values();

constexpr std::uint32_t at(std::string_view text, std::size_t index) { return static_cast<unsigned char>(text[index]); }

// Four digits as 24 bits; more than that if one is none.
constexpr std::uint32_t decode_group(std::string_view digits) {
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 4; ++i) {
        const unsigned char value = values[at(digits, i)];
        if (value == no_value) {
            return std::uint32_t{no_value} << 24;
        }
        bits = bits << 6 | value;
    }
    return bits;
}

}  // namespace

void append_base64(std::string& out, std::string_view bytes) {
    std::size_t place = out.size();
    out.resize(place + (bytes.size() + 2) / 3 * 4, '=');
    const auto put = [&](std::uint32_t bits, int digits) {
        for (int i = 0; i < digits; ++i) {
            out[place++] = alphabet[bits >> (18 - 6 * i) & 0x3f];
        }
    };
    for (; bytes.size() >= 3; bytes.remove_prefix(3)) {
        put(at(bytes, 0) << 16 | at(bytes, 1) << 8 | at(bytes, 2), 4);
    }
    if (bytes.size() == 2) {
        put(at(bytes, 0) << 16 | at(bytes, 1) << 8, 3);
    } else if (bytes.size() == 1) {
        put(at(bytes, 0) << 16, 2);
    }
}

bool decode_base64(std::string& out, std::string_view text) {
    if (text.size() % 4 != 0) {
        return false;
    }
    const std::size_t before = out.size();
    const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
    for (; !text.empty(); text.remove_prefix(4)) {
        std::array<char, 4> group{text[0], text[1], text[2], text[3]};
        const std::size_t missing = text.size() == 4 ? padding : 0;
        for (std::size_t i = 4 - missing; i < 4; ++i) {
            group[i] = 'A';
        }
        const std::uint32_t bits = decode_group({group.data(), group.size()});
        // Bits of the last digit that belong to no byte must be zero, or another text would stand for the same bytes.
        if (bits >> 24 != 0 || (bits & ((1U << (8 * missing)) - 1)) != 0) {
            out.resize(before);
            return false;
        }
        for (std::size_t i = 0; i < 3 - missing; ++i) {
            out += static_cast<char>(bits >> (16 - 8 * i) & 0xff);
        }
    }
    return true;
}

}  // namespace proctor::detail
