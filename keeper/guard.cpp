// SPDX-License-Identifier: MIT
#include "guard.hpp"

#include <dirent.h>
#include <fcntl.h>

#include <cerrno>
#include <csignal>

#include "listing.hpp"
#include "system.hpp"

namespace proctor::keeper {

namespace {

constexpr int lifeline = 3;
constexpr int group = 4;  // its directory

// What the reactor allows: a job may make groups in its own.
constexpr int deepest = 16;

// For as long as somebody does not die, which is up to the kernel: state D.
constexpr int most_rounds = 1000;
constexpr long longest_pause = 50;

bool at_end_of_file() {
    char dropped[64];
    const long size = system::read(lifeline, dropped, sizeof dropped);
    return size == 0 || (size < 0 && size != -EINTR && size != -EAGAIN);
}

void kill_listed(int directory) {
    if (const long fd = system::open_at(directory, "cgroup.procs", O_RDONLY); fd >= 0) {
        for_each_listed(static_cast<int>(fd), [](int pid) { system::signal(pid, SIGKILL); });
        system::close(static_cast<int>(fd));
    }
}

void kill_listed_below(int directory, int depth_left) {
    kill_listed(directory);
    for_each_entry(directory, [&](const DirectoryEntry& entry) {
        // NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): the kernel has written it
        if (entry.type != DT_DIR || entry.name[0] == '.' || depth_left == 0) {
            return;
        }
        if (const long nested = system::open_at(directory, entry.name, O_RDONLY | O_DIRECTORY); nested >= 0) {
            kill_listed_below(static_cast<int>(nested), depth_left - 1);
            system::close(static_cast<int>(nested));
        }
    });
}

// "populated 0" begins the file's first line.
bool is_populated(int directory) {
    char text[16]{};
    constexpr long place = sizeof "populated " - 1;
    const long fd = system::open_at(directory, "cgroup.events", O_RDONLY);
    const long size = fd >= 0 ? system::read(static_cast<int>(fd), text, sizeof text) : 0;
    system::close(static_cast<int>(fd));
    return size > place && text[place] == '1';
}

// cgroup.kill does not reach a process whose first thread has ended, so those that are still listed are signalled, too;
// and such a one may have forked in between.
void kill_group() {
    long pause = 1;
    for (int round = 0; round < most_rounds; ++round) {
        if (const long fd = system::open_at(group, "cgroup.kill", O_WRONLY); fd >= 0) {
            system::write(static_cast<int>(fd), "1", 1);
            system::close(static_cast<int>(fd));
        } else if (const long freezer = system::open_at(group, "cgroup.freeze", O_WRONLY); freezer >= 0) {
            system::write(static_cast<int>(freezer), "1",
                          1);  // before 5.14; the frozen do not fork, and die when killed
            system::close(static_cast<int>(freezer));
        }
        if (!is_populated(group)) {
            return;
        }
        const long again = system::open_at(group, ".", O_RDONLY | O_DIRECTORY);  // read from its beginning
        kill_listed_below(static_cast<int>(again), deepest);
        system::close(static_cast<int>(again));
        system::poll(nullptr, 0, pause);
        pause = pause * 2 < longest_pause ? pause * 2 : longest_pause;
    }
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
    kill_group();
    system::exit(0);
}

}  // namespace proctor::keeper
