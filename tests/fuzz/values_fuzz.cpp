// SPDX-License-Identifier: MIT
//
// Whatever text stands behind an option, it is a value in its range or an error that says what would be right; and
// durations, sizes and counts are what they are by a model in wide numbers.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <type_traits>

#include <proctor/error.hpp>

#include "require.hpp"
#include "values.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

template <typename T, typename Good>
void require_value_or_cure(const proctor::Result<T>& value, Good good) {
    if (value) {
        require(good(*value));
    } else {
        require(!value.error().message.empty() && !value.error().cure.empty());
    }
}

__extension__ using Wide = __int128;

// So long, and the models need no more than 128 bits.
constexpr std::size_t most_digits = 17;

struct Unit {
    std::string_view suffix;
    Wide factor;
};

constexpr Wide second = 1'000'000'000;
constexpr Unit duration_units[] = {{"", second},  {"us", 1'000},      {"ms", 1'000'000},
                                   {"s", second}, {"m", 60 * second}, {"h", 3'600 * second}};
constexpr Unit size_units[] = {{"", 1},
                               {"k", 1'000},
                               {"K", 1'000},
                               {"M", 1'000'000},
                               {"G", 1'000'000'000},
                               {"T", 1'000'000'000'000},
                               {"kB", 1'000},
                               {"KB", 1'000},
                               {"MB", 1'000'000},
                               {"GB", 1'000'000'000},
                               {"TB", 1'000'000'000'000},
                               {"KiB", 1 << 10},
                               {"MiB", 1 << 20},
                               {"GiB", 1 << 30},
                               {"TiB", Wide{1} << 40}};

Wide wide(const std::string& digits) {
    Wide number = 0;
    for (const char digit : digits) number = number * 10 + (digit - '0');
    return number;
}

// What a value should be; nothing if it should be an error.
using Expected = std::optional<Wide>;

constexpr Wide most = std::numeric_limits<std::int64_t>::max();
constexpr Wide longest = second * 3'600 * 24 * 365 * 100;

Expected up_to(Wide largest, Wide number) { return number <= largest ? Expected(number) : std::nullopt; }

template <std::size_t count>
Expected model_quantity(const std::smatch& match, const Unit (&units)[count], Wide largest) {
    const std::string fraction = match[2].str();
    Wide scale = 1;
    for (std::size_t i = 0; i < fraction.size(); ++i) scale *= 10;
    for (const Unit& unit : units) {
        if (unit.suffix == match[3].str()) {
            return up_to(largest, (wide(match[1].str()) * scale + wide(fraction)) * unit.factor / scale);
        }
    }
    return std::nullopt;
}

template <typename T>
void require_as(const proctor::Result<T>& value, const Expected& expected) {
    require(value.has_value() == expected.has_value());
    if constexpr (std::is_same_v<T, std::chrono::nanoseconds>) {
        if (value) require(value->count() == *expected);
    } else {
        if (value) require(*value == *expected);
    }
}

void check_against_models(const std::string& text) {
    using namespace proctor::cli;
    static const std::regex quantity("([0-9]*)(?:[.]([0-9]+))?([A-Za-z]*)");
    static const std::regex clock("(?:([0-9]+):)?([0-9]+):([0-5][0-9])");
    std::smatch match;
    if (text.size() > most_digits + 5) return;
    if (std::regex_match(text, match, quantity)) {
        if (match[1].length() + match[2].length() > static_cast<std::ptrdiff_t>(most_digits)) return;
        const bool number = match[1].length() + match[2].length() > 0;
        const bool whole = number && !match[2].matched && match[3].length() == 0;
        require_as(parse_duration(text), number ? model_quantity(match, duration_units, longest) : std::nullopt);
        require_as(parse_size(text), number ? model_quantity(match, size_units, most) : std::nullopt);
        require_as(parse_count(text), whole ? up_to(most, wide(text)) : std::nullopt);
    } else if (std::regex_match(text, match, clock)) {
        const bool hours = match[1].matched;
        const Wide minutes = wide(match[2].str());
        const bool good = !hours || (match[2].length() == 2 && minutes < 60);
        const Wide seconds = (wide(match[1].str()) * 60 + minutes) * 60 + wide(match[3].str());
        require_as(parse_duration(text), good ? up_to(longest, seconds * second) : std::nullopt);
    } else {
        require(!parse_duration(text) && !parse_size(text) && !parse_count(text));
    }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace proctor::cli;
    const std::string bytes(data, data + size);
    check_against_models(bytes);
    const auto not_negative = [](auto value) { return value >= decltype(value){}; };
    require_value_or_cure(parse_duration(bytes), not_negative);
    require_value_or_cure(parse_size(bytes), not_negative);
    require_value_or_cure(parse_count(bytes), not_negative);
    require_value_or_cure(parse_user(bytes), [](const proctor::User&) { return true; });
    require_value_or_cure(parse_placement(bytes), [](const proctor::Placement&) { return true; });
    require_value_or_cure(parse_variable(bytes), [](const auto& variable) { return !variable.first.empty(); });
    return 0;
}
