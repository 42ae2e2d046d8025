// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace proctor::detail {

/// Appends the bytes in the standard alphabet, padded (RFC 4648, section 4).
void append_base64(std::string& out, std::string_view bytes);

/// Appends the bytes that the text stands for; false, and nothing appended, if it is not what append_base64() writes.
[[nodiscard]] bool decode_base64(std::string& out, std::string_view text);

}  // namespace proctor::detail
