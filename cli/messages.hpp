// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include <proctor/error.hpp>

namespace proctor::cli {

/// One line on standard error, after the command's name. What cannot be written there is lost, and so is what nobody
/// reads once `stop_descriptor` (-1: none) has become readable.
void tell(std::string_view text, int stop_descriptor = -1);

/// The same, of something that went wrong: what, and what to do about it.
void tell_misuse(const Error& error);
void tell_failure(const Error& error, int stop_descriptor = -1);

}  // namespace proctor::cli
