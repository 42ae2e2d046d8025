// SPDX-License-Identifier: MIT
#include "values.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace proctor::cli {

namespace {

constexpr std::string_view duration_cure =
    "write seconds as 1.5, a number with us, ms, s, m or h as 200ms, minutes and seconds as 1:30, or hours as 1:02:03";
constexpr std::string_view size_cure =
    "write bytes as 4096, a number with k, K, M, G or T (times 1000) as 1.5M, or with KiB, MiB, GiB or TiB (times "
    "1024) "
    "as 64MiB";
constexpr std::string_view count_cure = "write a whole number, 0 or more";
constexpr std::string_view user_cure = "write numbers as 1000 or 1000:100; `id -u NAME` and `id -g NAME` tell them";

Error misuse(std::string message, std::string_view cure) {
    return {Stage::setup, EINVAL, std::move(message), std::string(cure)};
}

Error not_a(std::string_view what, std::string_view text, std::string_view cure) {
    return misuse(fmt::format("'{}' is not {}", text, what), cure);
}

Error too_large(std::string_view text, std::string_view most, std::string_view cure) {
    return misuse(fmt::format("'{}' is too large (at most {})", text, most), cure);
}

// Beyond these nothing moves, or all of it at once.
constexpr double least_speed = 1e-6;
constexpr double most_speed = 1e9;

constexpr bool digit(char character) { return character >= '0' && character <= '9'; }

std::string_view take_digits(std::string_view& text) {
    std::size_t length = 0;
    while (length < text.size() && digit(text[length])) {
        ++length;
    }
    const std::string_view digits = text.substr(0, length);
    text.remove_prefix(length);
    return digits;
}

// Null if it does not fit.
std::optional<std::int64_t> whole_number(std::string_view digits) {
    std::int64_t number = 0;
    for (const char character : digits) {
        if (__builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, character - '0', &number)) {
            return std::nullopt;
        }
    }
    return number;
}

struct Decimal {
    std::string_view whole{};
    std::string_view fraction{};
};

// "1", "1.5" or ".5" from the start of the text; null if there is no such number.
std::optional<Decimal> take_decimal(std::string_view& text) {
    Decimal decimal{.whole = take_digits(text)};
    if (text.starts_with('.')) {
        text.remove_prefix(1);
        decimal.fraction = take_digits(text);
        if (decimal.fraction.empty()) {
            return std::nullopt;
        }
    }
    if (decimal.whole.empty() && decimal.fraction.empty()) {
        return std::nullopt;
    }
    return decimal;
}

// The decimal times the unit, rounded down, null if it does not fit. Exact with any number of digits: from the last
// digit of the fraction to the first, and dividing by ten at each, rounding down in between changes nothing.
std::optional<std::int64_t> times(const Decimal& decimal, std::int64_t unit) {
    std::int64_t below = 0;
    for (std::size_t i = decimal.fraction.size(); i-- > 0;) {
        below = (below + (decimal.fraction[i] - '0') * unit) / 10;
    }
    std::optional<std::int64_t> number = whole_number(decimal.whole);
    if (!number || __builtin_mul_overflow(*number, unit, &*number) ||
        __builtin_add_overflow(*number, below, &*number)) {
        return std::nullopt;
    }
    return number;
}

struct Unit {
    std::string_view suffix;
    std::int64_t factor;
};

constexpr std::int64_t second_ns = 1'000'000'000;
constexpr std::array duration_units = {Unit{"", second_ns},  Unit{"us", 1'000},         Unit{"ms", 1'000'000},
                                       Unit{"s", second_ns}, Unit{"m", 60 * second_ns}, Unit{"h", 3600 * second_ns}};

constexpr std::int64_t tera = 1'000'000'000'000;
constexpr std::array size_units = {Unit{"", 1},
                                   Unit{"k", 1'000},
                                   Unit{"kB", 1'000},
                                   Unit{"K", 1'000},
                                   Unit{"KB", 1'000},
                                   Unit{"M", 1'000'000},
                                   Unit{"MB", 1'000'000},
                                   Unit{"G", 1'000'000'000},
                                   Unit{"GB", 1'000'000'000},
                                   Unit{"T", tera},
                                   Unit{"TB", tera},
                                   Unit{"KiB", std::int64_t{1} << 10},
                                   Unit{"MiB", std::int64_t{1} << 20},
                                   Unit{"GiB", std::int64_t{1} << 30},
                                   Unit{"TiB", std::int64_t{1} << 40}};

struct Quantity {
    std::string_view what;
    std::string_view most;
    std::string_view cure;
    std::span<const Unit> units;
};

constexpr Quantity duration{"a duration", "100 years", duration_cure, duration_units};
constexpr Quantity size{"a size", "9223372036854775807 bytes", size_cure, size_units};

Result<std::int64_t> parse_quantity(std::string_view text, const Quantity& quantity) {
    if (text.starts_with('-')) {
        return misuse(fmt::format("'{}' is negative", text), quantity.cure);
    }
    std::string_view suffix = text;
    const std::optional<Decimal> decimal = take_decimal(suffix);
    if (!decimal) {
        return not_a(quantity.what, text, quantity.cure);
    }
    for (const Unit& unit : quantity.units) {
        if (unit.suffix == suffix) {
            const std::optional<std::int64_t> number = times(*decimal, unit.factor);
            return number ? Result<std::int64_t>(*number) : too_large(text, quantity.most, quantity.cure);
        }
    }
    return not_a(quantity.what, text, quantity.cure);
}

// What is between the colons, two or three of them with digits alone, the later ones two digits below 60; else nothing.
std::vector<std::string_view> clock_fields(std::string_view text) {
    std::vector<std::string_view> fields;
    for (;;) {
        const std::string_view digits = take_digits(text);
        const bool later = !fields.empty();
        if (digits.empty() || (later && (digits.size() != 2 || digits[0] > '5'))) {
            return {};
        }
        fields.push_back(digits);
        if (text.empty()) {
            break;
        }
        if (!text.starts_with(':')) {
            return {};
        }
        text.remove_prefix(1);
    }
    return fields.size() == 2 || fields.size() == 3 ? fields : std::vector<std::string_view>();
}

// The library's own bound.
Result<std::chrono::nanoseconds> bounded(std::int64_t count, std::string_view text) {
    constexpr std::chrono::nanoseconds longest = std::chrono::hours(24 * 365 * 100);
    const std::chrono::nanoseconds time(count);
    return time <= longest ? Result<std::chrono::nanoseconds>(time) : too_large(text, duration.most, duration.cure);
}

// "mm:ss" or "hh:mm:ss"; the first number may be as large as one likes.
Result<std::chrono::nanoseconds> parse_clock(std::string_view text) {
    const std::vector<std::string_view> fields = clock_fields(text);
    if (fields.empty()) {
        return not_a(duration.what, text, duration.cure);
    }
    std::int64_t count = 0;
    std::int64_t unit = second_ns;
    for (auto digits = fields.rbegin(); digits != fields.rend(); ++digits, unit *= 60) {
        const std::optional<std::int64_t> part = times({.whole = *digits}, unit);
        if (!part || __builtin_add_overflow(count, *part, &count)) {
            return too_large(text, duration.most, duration.cure);
        }
    }
    return bounded(count, text);
}

std::optional<unsigned> whole_unsigned(std::string_view digits) {
    std::string_view rest = digits;
    const std::optional<std::int64_t> number = whole_number(take_digits(rest));
    if (digits.empty() || !rest.empty() || !number || *number > std::numeric_limits<unsigned>::max()) {
        return std::nullopt;
    }
    return static_cast<unsigned>(*number);
}

// A uid_t or gid_t. The largest number of the type means "none" to the kernel.
std::optional<unsigned> user_number(std::string_view digits) {
    const std::optional<unsigned> number = whole_unsigned(digits);
    return number == std::numeric_limits<unsigned>::max() ? std::nullopt : number;
}

}  // namespace

Result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
    if (!text.starts_with('-') && text.find(':') != std::string_view::npos) {
        return parse_clock(text);
    }
    const Result<std::int64_t> count = parse_quantity(text, duration);
    if (!count) {
        return count.error();
    }
    return bounded(*count, text);
}

Result<Bytes> parse_size(std::string_view text) { return parse_quantity(text, size); }

Result<std::int64_t> parse_count(std::string_view text) {
    if (text.starts_with('-')) {
        return misuse(fmt::format("'{}' is negative", text), count_cure);
    }
    std::string_view rest = text;
    const std::optional<std::int64_t> number = whole_number(take_digits(rest));
    if (text.empty() || !rest.empty()) {
        return not_a("a whole number", text, count_cure);
    }
    return number ? Result<std::int64_t>(*number)
                  : too_large(text, std::to_string(std::numeric_limits<std::int64_t>::max()), count_cure);
}

Result<int> parse_precision(std::string_view text) {
    if (text.size() != 1 || !digit(text[0])) {
        return not_a("a precision", text, "write 0 to 9, the digits after the decimal point");
    }
    return text[0] - '0';
}

Result<double> parse_speed(std::string_view text) {
    constexpr std::string_view cure = "write a number above zero, such as 2 or 0.5";
    std::string_view rest = text;
    if (!take_decimal(rest) || !rest.empty()) {
        return not_a("a speed", text, cure);
    }
    double speed = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), speed);
    if (read.ec != std::errc() || speed < least_speed || speed > most_speed) {
        return misuse(fmt::format("'{}' is no speed at which anything could be played", text), cure);
    }
    return speed;
}

Result<Stream> parse_stream(std::string_view text) {
    if (text.size() != 1 || text[0] < '0' || text[0] > '2') {
        return not_a("a stream", text, "write 0 (its input), 1 (its output) or 2 (its error output)");
    }
    return static_cast<Stream>(text[0] - '0');
}

Result<User> parse_user(std::string_view text) {
    const std::size_t colon = text.find(':');
    User user;
    const std::optional<unsigned> uid = user_number(text.substr(0, colon));
    if (!uid) {
        return not_a("a user", text, user_cure);
    }
    user.uid = *uid;
    if (colon != std::string_view::npos) {
        user.gid = user_number(text.substr(colon + 1));
        if (!user.gid) {
            return not_a("a user and a group", text, user_cure);
        }
    }
    return user;
}

Result<std::pair<std::string, std::string>> parse_variable(std::string_view text) {
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos || equals == 0) {
        return not_a("a variable with its value", text, "write NAME=VALUE; NAME= makes it empty");
    }
    return std::pair(std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)));
}

Result<Containment> parse_containment(std::string_view text) {
    constexpr std::array kinds = {std::pair("automatic", Containment::automatic),
                                  std::pair("cgroup", Containment::cgroup), std::pair("keeper", Containment::keeper),
                                  std::pair("tree", Containment::tree)};
    for (const auto& [word, kind] : kinds) {
        if (text == word) {
            return kind;
        }
    }
    return not_a("a containment", text, "write automatic, cgroup, keeper or tree");
}

Result<EngineChoice> parse_engine(std::string_view text) {
    constexpr std::array engines = {std::pair("automatic", EngineChoice::automatic),
                                    std::pair("io_uring", EngineChoice::io_uring),
                                    std::pair("poll", EngineChoice::poll)};
    for (const auto& [word, engine] : engines) {
        if (text == word) {
            return engine;
        }
    }
    return not_a("an engine", text, "write automatic, io_uring or poll");
}

Result<Order> parse_order(std::string_view text) {
    if (text == "pipe") {
        return Order::pipe;
    }
    if (text == "exact") {
        return Order::exact;
    }
    return not_a("an order", text, "write pipe or exact");
}

Result<Pacing> parse_pacing(std::string_view text) {
    if (text == "fixed") {
        return Pacing::fixed;
    }
    if (text == "quiet") {
        return Pacing::quiet;
    }
    return not_a("a pacing", text, "write fixed or quiet");
}

Result<Placement> parse_placement(std::string_view text) {
    constexpr std::string_view slot = "slot:";
    if (text == "any") {
        return Placement::any();
    }
    if (text == "with-reactor") {
        return Placement::with_reactor();
    }
    if (text == "apart") {
        return Placement::apart();
    }
    if (text.starts_with(slot)) {
        const std::optional<unsigned> number = whole_unsigned(text.substr(slot.size()));
        if (number) {
            return Placement::slot(*number);
        }
    }
    return not_a("a placement", text, "write any, with-reactor, apart, or slot:N as slot:0, slot:1, …");
}

Result<Require> parse_require(std::string_view text) {
    Require require;
    std::string_view rest = text;
    for (bool more = true; more;) {
        const std::size_t comma = rest.find(',');
        const std::string_view word = rest.substr(0, comma);
        more = comma != std::string_view::npos;
        rest.remove_prefix(more ? comma + 1 : rest.size());
        if (word == "cgroup") {
            require.cgroup = true;
        } else if (word == "cpu") {
            require.cpu = true;
        } else if (word == "memory") {
            require.memory = true;
        } else if (word == "tasks") {
            require.tasks = true;
        } else if (word == "kill") {
            require.kill = true;
        } else {
            return not_a("a mechanism", word, "write some of cgroup, cpu, memory, tasks and kill, as in cgroup,kill");
        }
    }
    return require;
}

}  // namespace proctor::cli
