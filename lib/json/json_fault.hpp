// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

namespace proctor::detail {

/// Where a text stops being JSON: simdjson tells that it does, but not where.
struct JsonFault {
    std::size_t offset = 0;  ///< of the first byte that cannot stand there; the text's length if it ends too early
    std::string_view what{};
};

/// None if it is one JSON value, with nothing but blanks around it.
[[nodiscard]] std::optional<JsonFault> find_json_fault(std::string_view text);

/// Where the values of an object's members begin, and their texts, in its order; those inside of other values are not
/// listed.
struct JsonMember {
    std::size_t offset = 0;
    std::string_view text{};
};

/// Of a text that is known to be one JSON object.
void list_members(std::string_view object, std::vector<JsonMember>& members);

}  // namespace proctor::detail
