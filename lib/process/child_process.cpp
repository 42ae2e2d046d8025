// SPDX-License-Identifier: MIT
#include "process/child_process.hpp"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "ring/kernel.hpp"

namespace proctor::detail {

namespace {

constexpr idtype_t by_pidfd = static_cast<idtype_t>(3);  // P_PIDFD, which glibc has since 2.36 only

long send_by_pidfd(int pidfd, int number, unsigned flags) noexcept {
    return ::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, flags);
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

Expected<ExitStatus> ChildProcess::reap() noexcept {
    ExitStatus status;
    siginfo_t info{};
    const long waited = wait_for(pidfd_.get(), &info, WEXITED, &status.usage);
    const int error_number = errno;
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
