// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>

#include "base/unique_fd.hpp"
#include "ring/operation.hpp"

namespace proctor::detail {

/// What a stream is read from or written to: a descriptor of the host's, or the same file opened anew for ourselves.
///
/// No call can ask a terminal not to wait, nor a pipe where `pipes_need_nonblock`, but by O_NONBLOCK, which would be
/// set for all who share the host's descriptor. So those are opened anew, if that may be done.
class HostDescriptor {
public:
    HostDescriptor() = default;

    /// Borrows it as it is; -1: nothing.
    [[nodiscard]] static HostDescriptor borrow(int fd) noexcept;
    [[nodiscard]] static HostDescriptor to_read(int fd, bool pipes_need_nonblock) noexcept;
    [[nodiscard]] static HostDescriptor to_write(int fd, bool pipes_need_nonblock) noexcept;
    /// A file that was opened for ourselves, and nobody else has.
    [[nodiscard]] static HostDescriptor own_to_read(UniqueFd file, bool pipes_need_nonblock) noexcept;

    [[nodiscard]] int fd() const noexcept { return own_ ? own_.get() : borrowed_; }
    /// How what is read or written there is to be requested.
    [[nodiscard]] Operation::Manner manner() const noexcept { return manner_; }

private:
    void look(int access, bool pipes_need_nonblock) noexcept;

    int borrowed_ = -1;
    UniqueFd own_{};
    Operation::Manner manner_ = Operation::Manner::usual;
};

/// Whether a request that was answered so is to be made again once poll(2) says so.
inline bool is_passing(int result) noexcept { return result == -EAGAIN || result == -EINTR; }

/// Whether a write was answered so because nobody reads any more: of a pipe, or of a connection that was closed with
/// bytes unread.
inline bool is_deaf(int result) noexcept { return result == -EPIPE || result == -ECONNRESET; }

}  // namespace proctor::detail
