// SPDX-License-Identifier: MIT
#include "control.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>

#include "system.hpp"

namespace proctor::keeper {

bool Control::send(const detail::KeeperReport& report, int pidfd) const {
    iovec part{const_cast<detail::KeeperReport*>(&report), sizeof report};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) unsigned char ancillary[CMSG_SPACE(sizeof pidfd)]{};
    if (pidfd >= 0) {
        message.msg_control = ancillary;
        message.msg_controllen = sizeof ancillary;
        cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof pidfd);
        *reinterpret_cast<int*>(CMSG_DATA(header)) = pidfd;
    }
    // There are four reports at most, and the socket holds many more.
    return system::call(__NR_sendmsg, fd_, system::address(&message), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

Control::Received Control::receive(detail::KeeperCommand& command) const {
    const long size = system::call(__NR_recvfrom, fd_, system::address(&command), sizeof command, MSG_DONTWAIT);
    if (size == -EAGAIN || size == -EINTR) {
        return Received::nothing;
    }
    // A reset says that the host closed its end with our reports unread.
    return size == static_cast<long>(sizeof command) ? Received::command : Received::cut;
}

}  // namespace proctor::keeper
