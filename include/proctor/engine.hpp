// SPDX-License-Identifier: MIT
#pragma once

namespace proctor {

/// What a reactor waits with. Results are the same; only the cost differs.
enum class EngineChoice : unsigned char {
    automatic,  ///< io_uring, or epoll where that is refused
    io_uring,   ///< kernel 6.1; forbidden by many containers' seccomp profiles and by sysctl kernel.io_uring_disabled
    poll,       ///< epoll; kernel 5.10
};

}  // namespace proctor
