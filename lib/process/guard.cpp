// SPDX-License-Identifier: MIT
#include "process/guard.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

namespace proctor::detail {

Expected<Guard> Guard::start(Launcher& launcher, const std::string& program, int group) {
    int ends[2] = {-1, -1};
    const bool made = ::pipe2(ends, O_CLOEXEC) == 0;
    const UniqueFd guards(ends[0]);
    Guard guard;
    guard.lifeline_ = moved_above_stdio(UniqueFd(ends[1]));
    if (!made || !guard.lifeline_) {
        return failure(Stage::spawn, errno, "no descriptor is left for the guard",
                       "raise the limit of open files (ulimit -n)");
    }
    // Opened anew: a copy of the host's descriptor would hold its lock on the group when the host is gone.
    const UniqueFd own(::openat(group, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!own) {
        const int error_number = errno;
        const bool removed = error_number == ENOENT || error_number == ENODEV;
        return failure(Stage::spawn, error_number, "the guard cannot be given the control group",
                       removed ? "let nobody else remove groups named proctor-*" : usual_cure(error_number));
    }
    guard.host_ = ::getpid();
    auto child = launcher.launch_own({.path = program,
                                      .words = {"proctor-keeper", "guard", std::to_string(guard.host_)},
                                      .moves = {{guards.get(), 3}, {own.get(), 4}}});
    if (!child) {
        return tl::unexpected<Error>(std::move(child.error()));
    }
    guard.process_ = ChildProcess(child->pid, std::move(child->pidfd), false);
    return guard;
}

Guard& Guard::operator=(Guard&& other) noexcept {
    if (this != &other) {
        stop();
        host_ = other.host_;
        process_ = std::exchange(other.process_, {});
        lifeline_ = std::move(other.lifeline_);
    }
    return *this;
}

void Guard::stop() noexcept {
    // Before its lifeline is closed, which it would take for our end. A host that has changed its user, or has put
    // itself under a filter of system calls, may not kill it; then it sees that end, and kills a group that is to be
    // removed anyway.
    if (process_ && ::getpid() == host_) {
        if (process_.signal(SIGKILL) < 0) {
            lifeline_.reset();
        }
        (void)process_.reap();
    }
    process_ = {};
    lifeline_.reset();
}

}  // namespace proctor::detail
