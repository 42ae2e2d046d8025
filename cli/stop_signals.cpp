// SPDX-License-Identifier: MIT
#include "stop_signals.hpp"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

namespace proctor::cli {

Result<StopSignals> StopSignals::create() {
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGINT);
    ::sigaddset(&signals, SIGTERM);
    struct sigaction hang_up {};
    ::sigaction(SIGHUP, nullptr, &hang_up);
    // A blocked signal is delivered to a signalfd even if it is ignored.
    if (hang_up.sa_handler != SIG_IGN) {
        ::sigaddset(&signals, SIGHUP);
    }
    ::sigprocmask(SIG_BLOCK, &signals, nullptr);
    const int fd = ::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) {
        return Error{Stage::setup, errno, "cannot make a descriptor for signals", "raise the limit on open files"};
    }
    return StopSignals(fd);
}

StopSignals::StopSignals(StopSignals&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

StopSignals::~StopSignals() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

std::optional<int> StopSignals::take() noexcept {
    signalfd_siginfo info{};
    if (::read(fd_, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) {
        return std::nullopt;
    }
    return static_cast<int>(info.ssi_signo);
}

}  // namespace proctor::cli
