// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include <proctor/error.hpp>

namespace proctor::cli {

/// Opens, and empties, the file that an option names.
[[nodiscard]] Result<int> open_for_writing(std::string_view option, const std::string& path);

[[nodiscard]] Error not_written(const std::string& name, int error_number);

/// Whether the descriptor takes bytes. Waits for that; false if meanwhile `stop_descriptor` (-1: none) has become
/// readable.
[[nodiscard]] bool await_writable(int fd, int stop_descriptor);

/// Writes what is wanted of it without blocking for long, and takes that off the text: at most PIPE_BUF bytes, which a
/// pipe that polls writable takes at once. An errno value, or 0.
[[nodiscard]] int write_some(int fd, std::string_view& text);

/// Writes all of it, waiting as await_writable() does; where that is broken off, it is an error like others.
[[nodiscard]] Result<void> write_all(int fd, const std::string& name, std::string_view text, int stop_descriptor);

}  // namespace proctor::cli
