// SPDX-License-Identifier: MIT
#pragma once

#include <pthread.h>

#include <cerrno>
#include <csignal>
#include <ctime>

namespace proctor::detail {

/// A write to a pipe without a reader raises SIGPIPE in the thread that enters the ring, whatever the host does with
/// that signal. While a guard lives the signal is blocked; consume() takes the one that we caused. Needed where the
/// kernel does not know RWF_NOSIGNAL (before 6.18).
class SigpipeGuard {
public:
    explicit SigpipeGuard(bool needed) noexcept : active_(needed) {
        if (!active_) {
            return;
        }
        sigset_t pipe_only;
        sigemptyset(&pipe_only);
        sigaddset(&pipe_only, SIGPIPE);
        ::pthread_sigmask(SIG_BLOCK, &pipe_only, &before_);
        if (sigismember(&before_, SIGPIPE) == 1) {
            sigset_t pending;
            sigpending(&pending);
            was_pending_ = sigismember(&pending, SIGPIPE) == 1;
        }
    }
    SigpipeGuard(const SigpipeGuard&) = delete;
    SigpipeGuard& operator=(const SigpipeGuard&) = delete;
    ~SigpipeGuard() {
        if (active_ && sigismember(&before_, SIGPIPE) != 1) {
            ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
        }
    }

    /// To be called after the ring has been entered. One that was pending before is the host's and stays.
    void consume() noexcept {
        if (!active_ || was_pending_) {
            return;
        }
        sigset_t pipe_only;
        sigemptyset(&pipe_only);
        sigaddset(&pipe_only, SIGPIPE);
        constexpr timespec at_once{};
        while (::sigtimedwait(&pipe_only, nullptr, &at_once) < 0 && errno == EINTR) {
        }
    }

private:
    bool active_;
    bool was_pending_ = false;
    sigset_t before_{};
};

}  // namespace proctor::detail
