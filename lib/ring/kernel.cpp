// SPDX-License-Identifier: MIT
#include "ring/kernel.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "base/unique_fd.hpp"

namespace proctor::detail {

namespace {

bool read_nowait_is_known(int empty_pipe) noexcept {
    char byte = 0;
    iovec vector{&byte, 1};
    return ::preadv2(empty_pipe, &vector, 1, -1, RWF_NOWAIT) < 0 && errno == EAGAIN;
}

bool write_nosignal_is_known(int pipe) noexcept {
    char byte = 0;
    iovec vector{&byte, 1};
    return ::pwritev2(pipe, &vector, 1, -1, rwf_nosignal) == 1;
}

bool group_signal_is_known() noexcept {
    const UniqueFd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
    // Signal 0 asks for permission only; ESRCH says that this process leads no group, so the flag was understood.
    return self && (::syscall(SYS_pidfd_send_signal, self.get(), 0, nullptr, pidfd_signal_process_group) == 0 ||
                    errno == ESRCH);
}

}  // namespace

KernelFeatures probe_kernel() noexcept {
    KernelFeatures features;
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) == 0) {
        const UniqueFd reader(ends[0]);
        const UniqueFd writer(ends[1]);
        features.pipe_without_nonblock = read_nowait_is_known(reader.get());
        features.write_without_signal = write_nosignal_is_known(writer.get());
    }
    features.signal_group_by_pidfd = group_signal_is_known();
    return features;
}

}  // namespace proctor::detail
