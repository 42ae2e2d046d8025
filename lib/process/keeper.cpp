// SPDX-License-Identifier: MIT
#include "process/keeper.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>

namespace proctor::detail {

namespace {

// At most one descriptor comes with a message.
UniqueFd descriptor_of(msghdr& message) noexcept {
    const cmsghdr* const header = CMSG_FIRSTHDR(&message);
    if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
        header->cmsg_len != CMSG_LEN(sizeof(int))) {
        return {};
    }
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return UniqueFd(fd);
}

}  // namespace

Keeper::Received Keeper::receive(KeeperMessage& message) noexcept {
    message = {};
    iovec part{&message.report, sizeof message.report};
    alignas(cmsghdr) unsigned char ancillary[CMSG_SPACE(sizeof(int))];
    for (;;) {
        msghdr header{};
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        header.msg_control = ancillary;
        header.msg_controllen = sizeof ancillary;
        const ssize_t size = ::recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (size < 0 && errno == EAGAIN) {
            return Received::nothing;
        }
        // ECONNRESET: the keeper went without having read an order of ours. It is told once and before what the keeper
        // had said, which is still there.
        if (size < 0 && (errno == EINTR || errno == ECONNRESET)) {
            continue;
        }
        if (size <= 0) {
            return Received::closed;
        }
        message.pidfd = descriptor_of(header);
        return Received::report;
    }
}

int Keeper::send(const KeeperCommand& command) const noexcept {
    return ::send(socket_.get(), &command, sizeof command, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

}  // namespace proctor::detail
