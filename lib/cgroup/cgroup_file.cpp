// SPDX-License-Identifier: MIT
#include "cgroup/cgroup_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/unique_fd.hpp"

namespace proctor::detail {

namespace {

int open_at(int directory, const char* name, int flags) noexcept {
    return ::openat(directory, name, flags | O_CLOEXEC | O_NOFOLLOW);
}

}  // namespace

std::string_view read_at_start(int file, char* buffer, std::size_t size) noexcept {
    ssize_t count = 0;
    do {
        count = ::pread(file, buffer, size, 0);
    } while (count < 0 && errno == EINTR);
    return {buffer, count > 0 ? static_cast<std::size_t>(count) : 0};
}

std::string_view read_at_start(int directory, const char* name, char* buffer, std::size_t size) noexcept {
    const UniqueFd file(open_at(directory, name, O_RDONLY));
    return file ? read_at_start(file.get(), buffer, size) : std::string_view();
}

int write_at_once(int directory, const char* name, std::string_view text) noexcept {
    const UniqueFd file(open_at(directory, name, O_WRONLY));
    if (!file) {
        return errno;
    }
    ssize_t count = 0;
    do {
        count = ::write(file.get(), text.data(), text.size());
    } while (count < 0 && errno == EINTR);
    return count < 0 ? errno : 0;
}

int read_all(const char* path, std::string& text) {
    text.clear();
    const UniqueFd file(::open(path, O_RDONLY | O_CLOEXEC));
    if (!file) {
        return errno;
    }
    char piece[4096];
    for (;;) {
        const ssize_t count = ::read(file.get(), piece, sizeof piece);
        if (count == 0) {
            return 0;
        }
        if (count > 0) {
            text.append(piece, static_cast<std::size_t>(count));
        } else if (errno != EINTR) {
            return errno;
        }
    }
}

}  // namespace proctor::detail
