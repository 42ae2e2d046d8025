// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

namespace proctor::detail {

/// How many '\n' there are. Written so that a compiler makes vector instructions of it, also where it is not asked to
/// spend much (-O2): all that a program prints comes through here, what is dropped too.
[[nodiscard]] std::int64_t count_newlines(std::string_view text) noexcept;

}  // namespace proctor::detail
