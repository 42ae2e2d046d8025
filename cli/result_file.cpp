// SPDX-License-Identifier: MIT
#include "result_file.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <utility>

#include <fmt/format.h>

namespace proctor::cli {

namespace {

Error not_written(const std::string& name, int error_number) {
    return {Stage::io, error_number, fmt::format("{} could not be written", name),
            error_number == EPIPE ? "let its reader read to the end" : "free some space, or name another file"};
}

// Whether the descriptor takes bytes; false if the wait was broken off.
bool await_writable(int fd, int stop_descriptor) {
    std::array<pollfd, 2> entries{{{fd, POLLOUT, 0}, {stop_descriptor, POLLIN, 0}}};
    while (::poll(entries.data(), entries.size(), -1) < 0 && errno == EINTR) {
    }
    return entries[0].revents != 0;
}

}  // namespace

Result<ResultFile> ResultFile::open(const std::string& path) {
    if (path == "-") {
        return ResultFile("standard output", STDOUT_FILENO, false);
    }
    int fd = -1;
    do {
        fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        return Error{Stage::setup, errno, fmt::format("--result: {} cannot be opened for writing", path),
                     "name a file in a directory that exists and may be written"};
    }
    return ResultFile(path, fd, true);
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
    while (!text.empty()) {
        if (!await_writable(fd_, stop_descriptor)) {
            return Error{Stage::io, 0, fmt::format("{} could not be written: nobody reads it", name_), {}};
        }
        // A pipe that polls writable takes this much without blocking.
        const ssize_t count = ::write(fd_, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
        if (count < 0 && errno != EINTR && errno != EAGAIN) {
            return not_written(name_, errno);
        }
        text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    }
    // Some file systems tell only now that the disk is full.
    if (owned_ && ::close(std::exchange(fd_, -1)) != 0 && errno != EINTR) {
        return not_written(name_, errno);
    }
    return {};
}

}  // namespace proctor::cli
