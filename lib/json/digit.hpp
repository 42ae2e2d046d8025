// SPDX-License-Identifier: MIT
#pragma once

namespace proctor::detail {

/// As JSON means it, whatever the host's locale is.
constexpr bool is_digit(char byte) noexcept { return byte >= '0' && byte <= '9'; }

}  // namespace proctor::detail
