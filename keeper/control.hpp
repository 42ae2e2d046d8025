// SPDX-License-Identifier: MIT
#pragma once

#include "process/keeper_protocol.hpp"

namespace proctor::keeper {

/// The keeper's end of the socket to its host.
class Control {
public:
    explicit constexpr Control(int fd) : fd_(fd) {}

    enum class Received { nothing, command, cut };

    [[nodiscard]] int fd() const { return fd_; }

    /// False if there is no host any more. With a pidfd from 0 on, that goes along.
    bool send(const detail::KeeperReport& report, int pidfd) const;
    Received receive(detail::KeeperCommand& command) const;

private:
    int fd_;
};

}  // namespace proctor::keeper
