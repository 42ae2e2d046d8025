// SPDX-License-Identifier: MIT
#include "output_descriptor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>

#include <fmt/format.h>

namespace proctor::cli {

Result<int> open_for_writing(std::string_view option, const std::string& path) {
    int fd = -1;
    do {
        fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        return Error{Stage::setup, errno, fmt::format("{}: {} cannot be opened for writing", option, path),
                     "name a file in a directory that exists and may be written"};
    }
    // A terminal takes all of a write or lets it wait, whatever poll says. Not when it is opened: a named pipe waits
    // for its reader.
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

Error not_written(const std::string& name, int error_number) {
    const char* const cure = error_number == EPIPE   ? "let its reader read to the end"
                             : error_number == EFBIG ? "raise the limit of file sizes (ulimit -f), or name a pipe"
                                                     : "free some space, or name another file";
    return {Stage::io, error_number, fmt::format("{} could not be written", name), cure};
}

bool await_writable(int fd, int stop_descriptor) {
    std::array<pollfd, 2> entries{{{fd, POLLOUT, 0}, {stop_descriptor, POLLIN, 0}}};
    while (::poll(entries.data(), entries.size(), -1) < 0 && errno == EINTR) {
    }
    return entries[0].revents != 0;
}

int write_some(int fd, std::string_view& text) {
    const ssize_t count = ::write(fd, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
    if (count < 0 && errno != EINTR && errno != EAGAIN) {
        return errno;
    }
    text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    return 0;
}

Result<void> write_all(int fd, const std::string& name, std::string_view text, int stop_descriptor) {
    while (!text.empty()) {
        if (!await_writable(fd, stop_descriptor)) {
            return Error{Stage::io, 0, fmt::format("{} could not be written: nobody reads it", name), {}};
        }
        if (const int error_number = write_some(fd, text); error_number != 0) {
            return not_written(name, error_number);
        }
    }
    return {};
}

}  // namespace proctor::cli
