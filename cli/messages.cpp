// SPDX-License-Identifier: MIT
#include "messages.hpp"

#include <unistd.h>

#include <cerrno>
#include <sstream>
#include <string>

#include <fmt/format.h>

#include "output_descriptor.hpp"

namespace proctor::cli {

void tell(std::string_view text, int stop_descriptor) {
    const std::string line = fmt::format("proctor: {}\n", text);
    if (!await_writable(STDERR_FILENO, stop_descriptor)) {
        return;
    }
    // One write, so that the line stays whole between those of COMMAND.
    while (::write(STDERR_FILENO, line.data(), line.size()) < 0 && errno == EINTR) {
    }
}

void tell_misuse(const Error& error) {
    tell(error.cure.empty() ? error.message : fmt::format("{} — {}", error.message, error.cure));
}

void tell_failure(const Error& error, int stop_descriptor) {
    std::ostringstream text;
    text << error;
    tell(text.str(), stop_descriptor);
}

}  // namespace proctor::cli
