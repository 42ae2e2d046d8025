// SPDX-License-Identifier: MIT
#include "process/keeper.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>

namespace proctor::detail {

namespace {

// Want of memory may be over in a moment.
constexpr int tries_most = 3;

bool may_pass(int error_number) noexcept { return error_number == ENOMEM || error_number == ENOBUFS; }

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
    for (int tries = 1;; ++tries) {
        msghdr header{};
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        header.msg_control = ancillary;
        header.msg_controllen = sizeof ancillary;
        const ssize_t size = ::recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (size < 0 && may_pass(errno) && tries < tries_most) {
            continue;
        }
        if (size < 0 && (errno == EAGAIN || may_pass(errno))) {
            return Received::nothing;  // what is there keeps the socket readable
        }
        // ECONNRESET: the keeper went without having read an order of ours, which is told once.
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

int Keeper::kill() const noexcept {
    const int status = send({KeeperOrder::kill, 0});
    if (status < 0) {
        ::shutdown(socket_.get(), SHUT_WR);
    }
    return status;
}

int Keeper::send(const KeeperCommand& command) const noexcept {
    int status = 0;
    for (int tries = 0; tries < tries_most; ++tries) {
        const bool sent = ::send(socket_.get(), &command, sizeof command, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
        status = sent ? 0 : -errno;
        if (sent || (errno != EINTR && !may_pass(errno))) {
            break;
        }
    }
    return status;
}

}  // namespace proctor::detail
