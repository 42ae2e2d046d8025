// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include <proctor/error.hpp>

namespace proctor::cli {

/// Where --result goes. Opened, and emptied, before the run, so that a path that cannot be written is told before
/// anything has been done.
class ResultFile {
public:
    /// "-" is standard output.
    [[nodiscard]] static Result<ResultFile> open(const std::string& path);

    ResultFile(ResultFile&& other) noexcept;
    ResultFile& operator=(ResultFile&&) = delete;
    ~ResultFile();

    /// Writes the text, and no more after it. When nobody reads what is being written, the wait ends as soon as
    /// `stop_descriptor` (-1: none) is readable; that is an error like others.
    [[nodiscard]] Result<void> write(std::string_view text, int stop_descriptor);

private:
    ResultFile(std::string name, int fd, bool owned);

    std::string name_;
    int fd_;
    bool owned_;
};

}  // namespace proctor::cli
