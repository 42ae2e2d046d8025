// SPDX-License-Identifier: MIT
#include "support.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "vfork_child.hpp"

namespace compare {

int open_spool() {
    const char* const directory = std::getenv("TMPDIR");
    const int fd = ::open(directory != nullptr ? directory : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        throw_errno("the temporary file");
    }
    return fd;
}

void write_all(int fd, const char* bytes, std::size_t count) {
    while (count > 0) {
        const ssize_t written = ::write(fd, bytes, count);
        if (written < 0) {
            if (errno == EINTR) {
                continue;
            }
            throw_errno("write");
        }
        bytes += written;
        count -= static_cast<std::size_t>(written);
    }
}

void require(bool holds, const std::string& what) {
    if (!holds) {
        throw std::runtime_error(what);
    }
}

Figures round_trip_figures(const std::vector<double>& microseconds) {
    return {{"median_us", quantile(microseconds, 0.5)}, {"p99_us", quantile(microseconds, 0.99)}};
}

Figures overshoot_figures(const std::vector<double>& milliseconds) {
    return {{"median_ms", quantile(milliseconds, 0.5)}, {"p99_ms", quantile(milliseconds, 0.99)}};
}

}  // namespace compare
