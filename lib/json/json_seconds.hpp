// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string_view>

#include <tl/expected.hpp>

namespace proctor::detail {

/// A decimal number of seconds, such as "0.120", "-3" or "1.5E+2", exactly; what is finer than a nanosecond is dropped.
/// The error says what is wrong with it.
[[nodiscard]] tl::expected<std::chrono::nanoseconds, std::string_view> parse_seconds(std::string_view text);

}  // namespace proctor::detail
