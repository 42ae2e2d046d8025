// SPDX-License-Identifier: MIT
#include "result_file.hpp"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "output_descriptor.hpp"

namespace proctor::cli {

Result<ResultFile> ResultFile::open(const std::string& path) {
    if (path == "-") {
        return ResultFile("standard output", STDOUT_FILENO, false);
    }
    const Result<int> fd = open_for_writing("--result", path);
    if (!fd) {
        return fd.error();
    }
    return ResultFile(path, *fd, true);
}

ResultFile::ResultFile(std::string name, int fd, bool owned) : name_(std::move(name)), fd_(fd), owned_(owned) {}

ResultFile::ResultFile(ResultFile&& other) noexcept
    : name_(std::move(other.name_)), fd_(std::exchange(other.fd_, -1)), owned_(other.owned_) {}

ResultFile::~ResultFile() {
    if (owned_ && fd_ >= 0) {
        ::close(fd_);
    }
}

Result<void> ResultFile::write(std::string_view text, int stop_descriptor) {
    if (const Result<void> written = write_all(fd_, name_, text, stop_descriptor); !written) {
        return written.error();
    }
    // Some file systems tell only now that the disk is full.
    if (owned_ && ::close(std::exchange(fd_, -1)) != 0 && errno != EINTR) {
        return not_written(name_, errno);
    }
    return {};
}

}  // namespace proctor::cli
