// SPDX-License-Identifier: MIT
#include "json/json_writer.hpp"

#include <array>
#include <bit>
#include <cassert>
#include <charconv>
#include <cstring>

namespace proctor::detail {

namespace {

constexpr std::uint64_t every_byte(std::uint64_t byte) { return byte * 0x0101'0101'0101'0101; }

// A byte below `bound` (at most 0x80) shows as a set high bit. Borrows can only add a mark above a byte that is marked
// rightly, so the lowest mark is exact.
constexpr std::uint64_t marks_below(std::uint64_t word, std::uint64_t bound) {
    return (word - every_byte(bound)) & ~word & every_byte(0x80);
}

constexpr std::uint64_t marks_escaped(std::uint64_t word) {
    return marks_below(word, 0x20) | marks_below(word ^ every_byte('"'), 1) | marks_below(word ^ every_byte('\\'), 1);
}

// What stands for itself in a JSON string: in ASCII alone, or also every byte beyond it.
enum class Plain : unsigned char { ascii, utf8 };

template <Plain kind>
constexpr std::uint64_t marks_other(std::uint64_t word) {
    return marks_escaped(word) | (kind == Plain::ascii ? word & every_byte(0x80) : 0);
}

template <Plain kind>
constexpr bool plain(unsigned char byte) {
    return byte >= 0x20 && (kind == Plain::utf8 || byte < 0x80) && byte != '"' && byte != '\\';
}

template <Plain kind>
std::size_t length_of(std::string_view text) noexcept {
    std::size_t length = 0;
    std::array<std::uint64_t, 4> words{};
    while (text.size() - length >= sizeof words) {
        std::memcpy(words.data(), text.data() + length, sizeof words);
        if ((marks_other<kind>(words[0]) | marks_other<kind>(words[1]) | marks_other<kind>(words[2]) |
             marks_other<kind>(words[3])) != 0) {
            break;
        }
        length += sizeof words;
    }
    std::uint64_t word = 0;
    while (text.size() - length >= sizeof word) {
        std::memcpy(&word, text.data() + length, sizeof word);
        if (const std::uint64_t marks = marks_other<kind>(word); marks != 0) {
            if constexpr (std::endian::native == std::endian::little) {
                return length + static_cast<std::size_t>(std::countr_zero(marks)) / 8;
            }
            break;
        }
        length += sizeof word;
    }
    while (length < text.size() && plain<kind>(static_cast<unsigned char>(text[length]))) {
        ++length;
    }
    return length;
}

constexpr std::string_view hex_digits = "0123456789abcdef";

void append_escape(std::string& out, char byte) {
    constexpr std::string_view short_form_of = "\"\\\b\f\n\r\t";
    constexpr std::string_view short_form = "\"\\bfnrt";
    const std::size_t index = short_form_of.find(byte);
    out += '\\';
    if (index != std::string_view::npos) {
        out += short_form[index];
        return;
    }
    out += "u00";
    out += hex_digits[static_cast<unsigned char>(byte) >> 4];
    out += hex_digits[static_cast<unsigned char>(byte) & 0xf];
}

void append_utf16_unit(std::string& out, std::uint32_t unit) {
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) {
        out += hex_digits[unit >> shift & 0xf];
    }
}

// Of one whole character of two to four bytes.
void append_utf16(std::string& out, std::string_view character) {
    const auto lead = static_cast<unsigned char>(character[0]);
    std::uint32_t code_point = lead & (0x7fU >> character.size());
    for (const char byte : character.substr(1)) {
        code_point = code_point << 6 | (static_cast<unsigned char>(byte) & 0x3fU);
    }
    if (code_point < 0x10000) {
        return append_utf16_unit(out, code_point);
    }
    append_utf16_unit(out, 0xd800 + ((code_point - 0x10000) >> 10));
    append_utf16_unit(out, 0xdc00 + (code_point & 0x3ff));
}

// What may follow a lead byte: how many bytes in all, and the bounds of the second, which are narrower than those of
// the others where they keep out overlong forms, surrogates and what lies beyond U+10FFFF.
struct LeadByte {
    std::size_t length;
    unsigned char second_min = 0x80;
    unsigned char second_max = 0xbf;
};

constexpr LeadByte lead_byte(unsigned char byte) {
    if (byte < 0x80) return {1};
    if (byte < 0xc2) return {0};
    if (byte < 0xe0) return {2};
    if (byte == 0xe0) return {3, 0xa0, 0xbf};
    if (byte == 0xed) return {3, 0x80, 0x9f};
    if (byte < 0xf0) return {3};
    if (byte == 0xf0) return {4, 0x90, 0xbf};
    if (byte < 0xf4) return {4};
    if (byte == 0xf4) return {4, 0x80, 0x8f};
    return {0};
}

}  // namespace

Utf8Character first_character(std::string_view text) noexcept {
    if (text.empty()) return {0, true};
    const LeadByte lead = lead_byte(static_cast<unsigned char>(text[0]));
    if (lead.length == 0) return {1, false};
    unsigned char lowest = lead.second_min;
    unsigned char highest = lead.second_max;
    for (std::size_t i = 1; i < lead.length; ++i) {
        if (i == text.size()) return {i, false};
        const auto byte = static_cast<unsigned char>(text[i]);
        if (byte < lowest || byte > highest) return {i, false};
        lowest = 0x80;
        highest = 0xbf;
    }
    return {lead.length, true};
}

std::size_t incomplete_tail(std::string_view text) noexcept {
    for (std::size_t length = 1; length <= 3 && length <= text.size(); ++length) {
        const std::string_view tail = text.substr(text.size() - length);
        const auto byte = static_cast<unsigned char>(tail[0]);
        if ((byte & 0xc0) == 0x80) {
            continue;
        }
        // All of the tail fits the lead byte, and more should follow.
        return lead_byte(byte).length > length && first_character(tail).length == length ? length : 0;
    }
    return 0;
}

std::size_t plain_length(std::string_view text) noexcept { return length_of<Plain::ascii>(text); }

void append_json_string(std::string& out, std::string_view text) {
    out += '"';
    for (;;) {
        const std::size_t length = plain_length(text);
        out += text.substr(0, length);
        text.remove_prefix(length);
        if (text.empty()) {
            break;
        }
        const Utf8Character character = first_character(text);
        if (!character.valid) {
            out += "\xef\xbf\xbd";
        } else if (character.length == 1) {
            append_escape(out, text[0]);
        } else {
            out += text.substr(0, character.length);
        }
        text.remove_prefix(character.length);
    }
    out += '"';
}

void append_json_utf8(std::string& out, std::string_view text, bool ensure_ascii) {
    out += '"';
    for (;;) {
        const std::size_t length = ensure_ascii ? length_of<Plain::ascii>(text) : length_of<Plain::utf8>(text);
        out.append(text.data(), length);
        text.remove_prefix(length);
        if (text.empty()) {
            break;
        }
        std::size_t escaped = 1;
        if (text[0] == '\n') {
            out.append("\\n", 2);  // by far the most frequent
        } else if (static_cast<unsigned char>(text[0]) < 0x80) {
            append_escape(out, text[0]);
        } else {
            escaped = first_character(text).length;
            append_utf16(out, text.substr(0, escaped));
        }
        text.remove_prefix(escaped);
    }
    out += '"';
}

void append_json_seconds(std::string& out, std::chrono::nanoseconds time, int precision) {
    assert(precision >= 0 && precision <= 9);
    constexpr std::uint64_t second = 1'000'000'000;
    const std::int64_t count = time.count();
    // Negated as unsigned: the lowest int64 has no positive counterpart.
    const std::uint64_t magnitude =
        count < 0 ? 0 - static_cast<std::uint64_t>(count) : static_cast<std::uint64_t>(count);
    const std::uint64_t whole = magnitude / second;

    std::array<char, 9> digits{};
    std::uint64_t rest = magnitude % second;
    for (std::size_t i = digits.size(); i-- > 0; rest /= 10) {
        digits[i] = static_cast<char>('0' + rest % 10);
    }
    std::string_view decimals(digits.data(), static_cast<std::size_t>(precision));
    while (!decimals.empty() && decimals.back() == '0') {
        decimals.remove_suffix(1);
    }

    if (count < 0 && (whole != 0 || !decimals.empty())) {
        out += '-';
    }
    std::array<char, 20> buffer{};
    const auto written = std::to_chars(buffer.data(), buffer.data() + buffer.size(), whole);
    out.append(buffer.data(), written.ptr);
    out += '.';
    out += decimals.empty() ? std::string_view("0") : decimals;
}

void JsonWriter::begin_object() {
    if (comma_due_) {
        out_ += ',';
    }
    out_ += '{';
    comma_due_ = false;
}

void JsonWriter::end_object() {
    out_ += '}';
    comma_due_ = true;
}

JsonWriter& JsonWriter::key(std::string_view name) {
    if (comma_due_) {
        out_ += ',';
    }
    append_json_string(out_, name);
    out_ += ':';
    comma_due_ = false;
    return *this;
}

void JsonWriter::text(std::optional<std::string_view> value) {
    if (!value) {
        return null();
    }
    append_json_string(out_, *value);
    comma_due_ = true;
}

void JsonWriter::number(std::optional<std::int64_t> value) {
    if (!value) {
        return null();
    }
    std::array<char, 20> buffer{};
    const auto written = std::to_chars(buffer.data(), buffer.data() + buffer.size(), *value);
    out_.append(buffer.data(), written.ptr);
    comma_due_ = true;
}

void JsonWriter::boolean(bool value) {
    out_ += value ? "true" : "false";
    comma_due_ = true;
}

void JsonWriter::seconds(std::optional<std::chrono::nanoseconds> value, int precision) {
    if (!value) {
        return null();
    }
    append_json_seconds(out_, *value, precision);
    comma_due_ = true;
}

void JsonWriter::null() {
    out_ += "null";
    comma_due_ = true;
}

}  // namespace proctor::detail
