// SPDX-License-Identifier: MIT
#include "guard.hpp"

#include <cerrno>

#include "system.hpp"

namespace proctor::keeper {

namespace {

constexpr int lifeline = 3;
constexpr int kill_file = 4;

bool at_end_of_file() {
    char dropped[64];
    const long size = system::read(lifeline, dropped, sizeof dropped);
    return size == 0 || (size < 0 && size != -EINTR && size != -EAGAIN);
}

}  // namespace

void guard(int host) {
    const int signals = system::open_signals();
    for (bool host_lives = true; host_lives;) {
        pollfd entries[2] = {{lifeline, POLLIN, 0}, {signals, POLLIN, 0}};
        system::poll(entries, 2, -1);
        // The pipe may outlive the host in a forked copy of it; that its parent has changed tells the guard as well.
        const bool parent_died = entries[1].revents != 0 && system::take_signals(signals);
        host_lives = !(parent_died && system::parent_id() != host) && !(entries[0].revents != 0 && at_end_of_file());
    }
    system::write(kill_file, "1", 1);
    system::exit(0);
}

}  // namespace proctor::keeper
