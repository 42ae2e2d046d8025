// SPDX-License-Identifier: MIT
//
// Whatever text stands behind an option, it is a value in its range or an error that says what would be right.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <proctor/error.hpp>

#include "values.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

template <typename T, typename Good>
void require_value_or_cure(const proctor::Result<T>& value, Good good) {
    if (value) {
        require(good(*value));
    } else {
        require(!value.error().message.empty() && !value.error().cure.empty());
    }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace proctor::cli;
    const std::string bytes(data, data + size);
    const auto not_negative = [](auto value) { return value >= decltype(value){}; };
    require_value_or_cure(parse_duration(bytes), not_negative);
    require_value_or_cure(parse_size(bytes), not_negative);
    require_value_or_cure(parse_count(bytes), not_negative);
    require_value_or_cure(parse_user(bytes), [](const proctor::User&) { return true; });
    require_value_or_cure(parse_placement(bytes), [](const proctor::Placement&) { return true; });
    require_value_or_cure(parse_variable(bytes), [](const auto& variable) { return !variable.first.empty(); });
    return 0;
}
