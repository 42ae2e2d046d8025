// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace proctor::detail {

/// Owns a descriptor; -1 is none. Closes with plain close(2): closing through the ring made a later execve of the file
/// fail with ETXTBSY on some kernels (libuv, src/unix/linux.c, uv__iou_fs_close).
class UniqueFd {
public:
    UniqueFd() = default;
    explicit UniqueFd(int fd) noexcept : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        if (this != &other) {
            reset(std::exchange(other.fd_, -1));
        }
        return *this;
    }
    ~UniqueFd() { reset(); }

    [[nodiscard]] int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }

    void reset(int fd = -1) noexcept {
        if (fd_ >= 0) {
            // EINTR included: Linux has released the number by then, and a second close could hit somebody else's.
            ::close(fd_);
        }
        fd_ = fd;
    }

private:
    int fd_ = -1;
};

/// A host that was started with stdin, stdout or stderr closed must not find a descriptor of ours there: what it prints
/// would go into it. None, and errno set, where no other number is left.
inline UniqueFd moved_above_stdio(UniqueFd fd) noexcept {
    if (!fd || fd.get() > STDERR_FILENO) {
        return fd;
    }
    return UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
}

}  // namespace proctor::detail
