// SPDX-License-Identifier: MIT
#include "reactor/host_descriptor.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

namespace proctor::detail {

namespace {

bool is_pipe(int fd) noexcept {
    struct stat status {};
    return ::fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode);
}

// Of a pseudo-terminal, opening the side of its master anew would make another terminal.
bool is_master(int fd) noexcept {
    unsigned number = 0;
    return ::ioctl(fd, TIOCGPTN, &number) == 0;
}

// Whether what is read or written moves a position that others, who have the same open file, move too.
bool has_shared_position(int fd, int access) noexcept {
    struct stat status {};
    if (::fstat(fd, &status) != 0 || (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))) {
        return false;
    }
    return access == O_RDONLY || (::fcntl(fd, F_GETFL) & O_APPEND) == 0;
}

UniqueFd open_anew(int fd, int access) noexcept {
    char path[32];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return UniqueFd(::open(path, access | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
}

}  // namespace

HostDescriptor HostDescriptor::borrow(int fd) noexcept {
    HostDescriptor descriptor;
    descriptor.borrowed_ = fd;
    return descriptor;
}

HostDescriptor HostDescriptor::to_read(int fd, bool pipes_need_nonblock) noexcept {
    HostDescriptor descriptor = borrow(fd);
    descriptor.look(O_RDONLY, pipes_need_nonblock);
    return descriptor;
}

HostDescriptor HostDescriptor::to_write(int fd, bool pipes_need_nonblock) noexcept {
    HostDescriptor descriptor = borrow(fd);
    descriptor.look(O_WRONLY, pipes_need_nonblock);
    return descriptor;
}

HostDescriptor HostDescriptor::own_to_read(UniqueFd file, bool pipes_need_nonblock) noexcept {
    if (::isatty(file.get()) == 1 || (pipes_need_nonblock && is_pipe(file.get()))) {
        ::fcntl(file.get(), F_SETFL, O_NONBLOCK);
    }
    HostDescriptor descriptor;
    descriptor.own_ = std::move(file);
    return descriptor;
}

void HostDescriptor::look(int access, bool pipes_need_nonblock) noexcept {
    if (borrowed_ < 0) {
        return;
    }
    if (::isatty(borrowed_) == 1) {
        own_ = is_master(borrowed_) ? UniqueFd() : open_anew(borrowed_, access);
        manner_ = own_ ? Operation::Manner::usual : Operation::Manner::aside;
    } else if (has_shared_position(borrowed_, access)) {
        manner_ = Operation::Manner::by_call;
    } else if (pipes_need_nonblock && is_pipe(borrowed_)) {
        own_ = open_anew(borrowed_, access);
    }
}

}  // namespace proctor::detail
