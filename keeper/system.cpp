// SPDX-License-Identifier: MIT
#include "system.hpp"

#include <linux/signalfd.h>
#include <sys/wait.h>

#include <csignal>

#include "process/keeper_protocol.hpp"

namespace proctor::keeper::system {

namespace {

constexpr unsigned long bit_of(int signal_number) { return 1UL << (signal_number - 1); }

}  // namespace

void prepare_signals() {
    const detail::raw::KernelSigaction action{nullptr, SA_NOCLDSTOP, nullptr, 0};
    call(__NR_rt_sigaction, SIGCHLD, address(&action), 0, sizeof action.mask);
}

int open_signals() {
    const unsigned long wanted = bit_of(SIGCHLD) | bit_of(detail::keeper_parent_death_signal);
    return static_cast<int>(call(__NR_signalfd4, -1, address(&wanted), sizeof wanted, SFD_CLOEXEC | SFD_NONBLOCK));
}

bool take_signals(int fd) {
    bool parent_died = false;
    signalfd_siginfo taken[2];  // there are no more than these two, and each is pending once
    const long size = system::read(fd, taken, sizeof taken);
    for (long at = 0; (at + 1) * static_cast<long>(sizeof taken[0]) <= size; ++at) {
        parent_died = parent_died || taken[at].ssi_signo == detail::keeper_parent_death_signal;
    }
    return parent_died;
}

}  // namespace proctor::keeper::system
