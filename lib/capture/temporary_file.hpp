// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "base/failure.hpp"
#include "base/unique_fd.hpp"

namespace proctor::detail {

/// Where temporary files are made: `wanted`, or if that is empty $TMPDIR, or else /tmp.
[[nodiscard]] std::string temporary_directory(const std::string& wanted);

/// A file without a name, for writing and reading. Errors: stage `spool`.
[[nodiscard]] Expected<UniqueFd> open_temporary_file(const std::string& directory);

/// The same where the file system knows no O_TMPFILE: it has a name for a moment. None, and errno set, if it fails.
[[nodiscard]] UniqueFd make_and_unlink(const std::string& directory);

}  // namespace proctor::detail
