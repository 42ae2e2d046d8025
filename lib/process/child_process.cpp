// SPDX-License-Identifier: MIT
#include "process/child_process.hpp"

#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>

#include "ring/kernel.hpp"

namespace proctor::detail {

namespace {

constexpr idtype_t by_pidfd = static_cast<idtype_t>(3);  // P_PIDFD, which glibc has since 2.36 only

long send_by_pidfd(int pidfd, int number, unsigned flags) noexcept {
    return ::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, flags);
}

// struct pidfd_info of linux/pidfd.h, which Debian 12 does not have, as far as the first version goes.
struct PidfdInfo {
    std::uint64_t mask;
    std::uint64_t cgroup_id;
    std::uint32_t ids[11];
    std::int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);

constexpr std::uint64_t info_exit = 1U << 3;                           // PIDFD_INFO_EXIT
constexpr unsigned long get_info = _IOWR(0xFF, 11, struct PidfdInfo);  // PIDFD_GET_INFO

ExitStatus from_wait_status(int status) noexcept {
    ExitStatus exit;
    if (WIFSIGNALED(status)) {
        exit.signal = WTERMSIG(status);
    } else {
        exit.exit_code = WEXITSTATUS(status);
    }
    return exit;
}

// The system call, for its fifth argument, which libc's waitid does not have.
long wait_for(int pidfd, siginfo_t* info, int options, rusage* usage) noexcept {
    long status = 0;
    do {
        status = ::syscall(SYS_waitid, by_pidfd, pidfd, info, options, usage);
    } while (status < 0 && errno == EINTR);
    return status;
}

}  // namespace

int ChildProcess::signal(int number) const noexcept { return send_by_pidfd(pidfd_.get(), number, 0) < 0 ? -errno : 0; }

void ChildProcess::signal_group(int number) const noexcept {
    if (group_by_pidfd_) {
        if (send_by_pidfd(pidfd_.get(), number, pidfd_signal_process_group) == 0) {
            return;
        }
    } else if (!reaped_by_somebody()) {
        if (::kill(-pid_, number) == 0) {
            return;
        }
    }
    send_by_pidfd(pidfd_.get(), number, 0);
}

// A host that ignores SIGCHLD or waits for any child frees the pid, and then the group's number is not ours any more.
bool ChildProcess::reaped_by_somebody() const noexcept {
    siginfo_t info{};
    return wait_for(pidfd_.get(), &info, WEXITED | WNOWAIT | WNOHANG, nullptr) < 0 && errno == ECHILD;
}

std::optional<ExitStatus> ChildProcess::peek_exit(bool* comes_later) const noexcept {
    siginfo_t info{};
    if (wait_for(pidfd_.get(), &info, WEXITED | WNOWAIT | WNOHANG, nullptr) == 0) {
        if (info.si_pid == 0) {
            return std::nullopt;
        }
        ExitStatus status;
        (info.si_code == CLD_EXITED ? status.exit_code : status.signal) = info.si_status;
        return status;
    }
    PidfdInfo told{};
    told.mask = info_exit;
    const bool tells = ::ioctl(pidfd_.get(), get_info, &told) == 0;
    if (tells && (told.mask & info_exit) != 0) {
        return from_wait_status(told.exit_code);
    }
    if (comes_later != nullptr) {
        *comes_later = tells;
    }
    return std::nullopt;
}

Expected<ExitStatus> ChildProcess::reap() noexcept { return *reap_with(0); }

std::optional<Expected<ExitStatus>> ChildProcess::try_reap() noexcept { return reap_with(WNOHANG); }

std::optional<Expected<ExitStatus>> ChildProcess::reap_with(int flags) noexcept {
    ExitStatus status;
    siginfo_t info{};
    const long waited = wait_for(pidfd_.get(), &info, WEXITED | flags, &status.usage);
    const int error_number = errno;
    if (waited == 0 && info.si_pid == 0) {
        return std::nullopt;
    }
    pidfd_.reset();
    if (waited < 0) {
        return failure(
            Stage::wait, error_number, "somebody else in this program has taken the child's exit status",
            "set SIGCHLD to SIG_DFL or a handler, without SA_NOCLDWAIT, and wait for children by their pids, "
            "never for any child (wait, waitpid(-1))");
    }
    if (info.si_code == CLD_EXITED) {
        status.exit_code = info.si_status;
    } else {
        status.signal = info.si_status;
    }
    return status;
}

}  // namespace proctor::detail
