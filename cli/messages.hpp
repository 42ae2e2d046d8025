// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include <proctor/error.hpp>

namespace proctor::cli {

/// One line on standard error, after the command's name. What cannot be written there is lost.
void tell(std::string_view text);

/// The same, of something that went wrong: what, and what to do about it.
void tell_misuse(const Error& error);
void tell_failure(const Error& error);

}  // namespace proctor::cli
