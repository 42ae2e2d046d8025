// SPDX-License-Identifier: MIT
#include "reactor/forward_target.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

namespace proctor::detail {

namespace {

bool is_pipe(int fd) noexcept {
    struct stat status {};
    return ::fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode);
}

// Of a pseudo-terminal, the side of the program that uses it: opening the other side anew would make another terminal.
bool is_terminal(int fd) noexcept {
    unsigned number = 0;
    return ::isatty(fd) == 1 && ::ioctl(fd, TIOCGPTN, &number) != 0;
}

}  // namespace

ForwardTarget ForwardTarget::borrow(int fd) noexcept {
    ForwardTarget target;
    target.borrowed_ = fd;
    return target;
}

ForwardTarget ForwardTarget::without_waiting(int fd, bool pipes_need_nonblock) noexcept {
    ForwardTarget target = borrow(fd);
    if (fd >= 0 && (is_terminal(fd) || (pipes_need_nonblock && is_pipe(fd)))) {
        char path[32];
        std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        target.own_.reset(::open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
    }
    return target;
}

}  // namespace proctor::detail
