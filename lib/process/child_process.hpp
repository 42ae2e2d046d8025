// SPDX-License-Identifier: MIT
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <optional>

#include "base/failure.hpp"
#include "base/unique_fd.hpp"

namespace proctor::detail {

/// How a process ended.
struct ExitStatus {
    int exit_code = 0;
    int signal = 0;  ///< 0 if it exited
    rusage usage{};  ///< its own and that of children which it waited for
};

/// Signals and reaps one child. The leader stays a zombie until reap(), so neither its pid nor its group's number can
/// come to name something else meanwhile.
class ChildProcess {
public:
    ChildProcess() = default;
    ChildProcess(pid_t pid, UniqueFd pidfd, bool group_by_pidfd) noexcept
        : pid_(pid), group_by_pidfd_(group_by_pidfd), pidfd_(std::move(pidfd)) {}

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    [[nodiscard]] int pidfd() const noexcept { return pidfd_.get(); }
    explicit operator bool() const noexcept { return static_cast<bool>(pidfd_); }

    /// To the main process alone. Gives 0 or -errno.
    int signal(int number) const noexcept;
    /// To every process of its group, or to it alone while it has not made its group yet.
    void signal_group(int number) const noexcept;

    /// The exit status of a dead process, which stays unreaped: of a child, or of anybody's where the kernel tells
    /// (PIDFD_GET_INFO, 6.15, once that one's parent has reaped it). None if it is not known; then
    /// `comes_later` says whether it may be once that has happened.
    [[nodiscard]] std::optional<ExitStatus> peek_exit(bool* comes_later = nullptr) const noexcept;

    /// Takes the exit status of a dead child. Errors: stage wait, where somebody else has taken it.
    [[nodiscard]] Expected<ExitStatus> reap() noexcept;
    /// The same without waiting; none if it lives, or is dead and traced by somebody: that one has to let it go first.
    [[nodiscard]] std::optional<Expected<ExitStatus>> try_reap() noexcept;

private:
    [[nodiscard]] bool reaped_by_somebody() const noexcept;
    [[nodiscard]] std::optional<Expected<ExitStatus>> reap_with(int flags) noexcept;

    pid_t pid_ = -1;
    bool group_by_pidfd_ = false;
    UniqueFd pidfd_{};
};

}  // namespace proctor::detail
