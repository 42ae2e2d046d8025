// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include <proctor/error.hpp>

#include "options.hpp"

namespace proctor::cli {

/// A file that is to be written although it is to be read, or written by another option, too. Files are compared, not
/// names; those that several may have open, such as /dev/null, are none.
[[nodiscard]] std::optional<Error> find_file_clash(const RunRequest& request);

}  // namespace proctor::cli
