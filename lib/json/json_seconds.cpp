// SPDX-License-Identifier: MIT
#include "json/json_seconds.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>

#include "json/digit.hpp"

namespace proctor::detail {

namespace {

bool take_minus(std::string_view& text) {
    const bool minus = text.starts_with('-');
    if (minus || text.starts_with('+')) {
        text.remove_prefix(1);
    }
    return minus;
}

std::string_view take_digits(std::string_view& text) {
    const auto end = std::find_if_not(text.begin(), text.end(), is_digit);
    const std::string_view digits = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    text.remove_prefix(digits.size());
    return digits;
}

// Far beyond what any number of digits in a text can make up for, and far from an overflow.
constexpr std::int64_t most_exponent = std::int64_t{1} << 48;

// Behind "e" or "E"; null if it is no number.
std::optional<std::int64_t> take_exponent(std::string_view& text) {
    const bool minus = take_minus(text);
    const std::string_view digits = take_digits(text);
    std::int64_t exponent = 0;
    for (const char byte : digits) {
        exponent = std::min(exponent * 10 + (byte - '0'), most_exponent);
    }
    return digits.empty() ? std::nullopt : std::optional(minus ? -exponent : exponent);
}

struct Decimal {
    bool minus = false;
    std::string_view whole{};
    std::string_view fraction{};
    std::int64_t exponent = 0;

    [[nodiscard]] char digit_at(std::size_t index) const {
        if (index < whole.size()) {
            return whole[index];
        }
        return index - whole.size() < fraction.size() ? fraction[index - whole.size()] : '0';
    }
};

std::optional<Decimal> read_decimal(std::string_view text) {
    Decimal decimal{.minus = take_minus(text), .whole = take_digits(text)};
    if (text.starts_with('.')) {
        text.remove_prefix(1);
        decimal.fraction = take_digits(text);
    }
    if (decimal.whole.empty() && decimal.fraction.empty()) {
        return std::nullopt;
    }
    if (text.starts_with('e') || text.starts_with('E')) {
        text.remove_prefix(1);
        const std::optional<std::int64_t> exponent = take_exponent(text);
        if (!exponent) {
            return std::nullopt;
        }
        decimal.exponent = *exponent;
    }
    return text.empty() ? std::optional(decimal) : std::nullopt;
}

// The number times 10⁹, towards zero, negative; null if it does not fit. Negative, because the lowest int64 has no
// positive counterpart.
std::optional<std::int64_t> minus_nanoseconds(const Decimal& decimal) {
    const std::size_t count = decimal.whole.size() + decimal.fraction.size();
    std::size_t first = 0;
    while (first < count && decimal.digit_at(first) == '0') {
        ++first;
    }
    if (first == count) {
        return 0;
    }
    // How many digits, from the first that is not zero, stand before the nanoseconds' decimal point.
    const std::int64_t wanted =
        static_cast<std::int64_t>(decimal.whole.size()) - static_cast<std::int64_t>(first) + decimal.exponent + 9;
    if (wanted > std::numeric_limits<std::int64_t>::digits10 + 1) {
        return std::nullopt;
    }
    std::int64_t number = 0;
    for (std::int64_t i = 0; i < wanted; ++i) {
        const int next = decimal.digit_at(first + static_cast<std::size_t>(i)) - '0';
        if (__builtin_mul_overflow(number, 10, &number) || __builtin_sub_overflow(number, next, &number)) {
            return std::nullopt;
        }
    }
    return number;
}

}  // namespace

tl::expected<std::chrono::nanoseconds, std::string_view> parse_seconds(std::string_view text) {
    const std::optional<Decimal> decimal = read_decimal(text);
    if (!decimal) {
        return tl::unexpected<std::string_view>("the time is no number");
    }
    std::optional<std::int64_t> number = minus_nanoseconds(*decimal);
    if (number && !decimal->minus && __builtin_sub_overflow(0, *number, &*number)) {
        number.reset();
    }
    if (!number) {
        return tl::unexpected<std::string_view>("the time is beyond 292 years");
    }
    return std::chrono::nanoseconds(*number);
}

}  // namespace proctor::detail
