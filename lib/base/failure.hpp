// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>

#include <tl/expected.hpp>

#include <proctor/error.hpp>

namespace proctor::detail {

/// How functions inside the library report what they could not do; it becomes a Result at the public border.
template <typename T>
using Expected = tl::expected<T, Error>;

inline tl::unexpected<Error> failure(Stage stage, int error_number, std::string message, std::string cure = {}) {
    return tl::unexpected<Error>(Error{stage, error_number, std::move(message), std::move(cure)});
}

template <typename T>
Result<T> to_result(Expected<T> expected) {
    if (!expected) {
        return std::move(expected.error());
    }
    if constexpr (std::is_void_v<T>) {
        return {};
    } else {
        return std::move(*expected);
    }
}

/// strerror without its shared buffer.
std::string describe_errno(int error_number);

/// What helps against this errno value, whichever system call has answered it.
std::string usual_cure(int error_number);

}  // namespace proctor::detail
