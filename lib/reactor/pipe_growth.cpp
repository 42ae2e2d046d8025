// SPDX-License-Identifier: MIT
#include "reactor/pipe_growth.hpp"

#include <fcntl.h>

namespace proctor::detail {

bool PipeGrowth::grow(int pipe) noexcept {
    // EPERM for a user whose pipes hold too much already, EBUSY where it holds more now: then it stays.
    if (grown_ >= most || ::fcntl(pipe, F_SETPIPE_SZ, size) < 0) {
        return false;
    }
    ++grown_;
    return true;
}

}  // namespace proctor::detail
