// SPDX-License-Identifier: MIT
#pragma once

namespace proctor::detail {

/// What the running kernel offers beyond 6.1, asked by trying and never by its version: distributions port back.
struct KernelFeatures {
    /// RWF_NOSIGNAL (6.18): a write to a pipe without a reader raises no SIGPIPE.
    bool write_without_signal = false;
    /// A pipe honours RWF_NOWAIT (6.4), so io_uring needs no O_NONBLOCK on it.
    bool pipe_without_nonblock = false;
    /// pidfd_send_signal knows PIDFD_SIGNAL_PROCESS_GROUP (6.9).
    bool signal_group_by_pidfd = false;
};

/// A handful of system calls on a pipe of its own; what cannot be asked counts as missing.
[[nodiscard]] KernelFeatures probe_kernel() noexcept;

/// `PIDFD_SIGNAL_PROCESS_GROUP`, absent from Debian 12's headers.
inline constexpr unsigned pidfd_signal_process_group = 1U << 2;

/// `RWF_NOSIGNAL`, absent from Debian 12's headers.
inline constexpr int rwf_nosignal = 0x100;

}  // namespace proctor::detail
