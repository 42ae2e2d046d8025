// SPDX-License-Identifier: MIT
#include "json/json_writer.hpp"

#include <array>
#include <cassert>
#include <charconv>
#include <cstring>

namespace proctor::detail {

namespace {

constexpr std::uint64_t every_byte(std::uint64_t byte) { return byte * 0x0101'0101'0101'0101; }

// A byte below `bound` (at most 0x80) shows as a set high bit. Borrows can only add a mark above a byte that is marked
// rightly, so the answer to "is there any" is exact.
constexpr std::uint64_t marks_below(std::uint64_t word, std::uint64_t bound) {
    return (word - every_byte(bound)) & ~word & every_byte(0x80);
}

constexpr bool all_plain(std::uint64_t word) {
    return ((word & every_byte(0x80)) | marks_below(word, 0x20) | marks_below(word ^ every_byte('"'), 1) |
            marks_below(word ^ every_byte('\\'), 1)) == 0;
}

constexpr bool plain(unsigned char byte) { return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\'; }

void append_escape(std::string& out, char byte) {
    constexpr std::string_view short_form_of = "\"\\\b\f\n\r\t";
    constexpr std::string_view short_form = "\"\\bfnrt";
    constexpr std::string_view digits = "0123456789abcdef";
    const std::size_t index = short_form_of.find(byte);
    out += '\\';
    if (index != std::string_view::npos) {
        out += short_form[index];
        return;
    }
    out += "u00";
    out += digits[static_cast<unsigned char>(byte) >> 4];
    out += digits[static_cast<unsigned char>(byte) & 0xf];
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

std::size_t plain_length(std::string_view text) noexcept {
    std::size_t length = 0;
    std::uint64_t word = 0;
    while (text.size() - length >= sizeof word) {
        std::memcpy(&word, text.data() + length, sizeof word);
        if (!all_plain(word)) {
            break;
        }
        length += sizeof word;
    }
    while (length < text.size() && plain(static_cast<unsigned char>(text[length]))) {
        ++length;
    }
    return length;
}

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
