// SPDX-License-Identifier: MIT
#pragma once

#include "base/unique_fd.hpp"

namespace proctor::detail {

/// Where an output is forwarded to: a descriptor of the host's, or the same file opened anew for ourselves.
class ForwardTarget {
public:
    ForwardTarget() = default;

    /// Borrows the descriptor; -1: to nowhere.
    [[nodiscard]] static ForwardTarget borrow(int fd) noexcept;
    /// The same, but a terminal is opened anew, if that may be done, and so is a pipe if `pipes_need_nonblock`: no call
    /// can ask those not to wait but by O_NONBLOCK, which would be set for all who share the host's descriptor.
    [[nodiscard]] static ForwardTarget without_waiting(int fd, bool pipes_need_nonblock) noexcept;

    [[nodiscard]] int fd() const noexcept { return own_ ? own_.get() : borrowed_; }

private:
    int borrowed_ = -1;
    UniqueFd own_{};
};

}  // namespace proctor::detail
