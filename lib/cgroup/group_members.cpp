// SPDX-License-Identifier: MIT
#include "cgroup/group_members.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>

#include "base/unique_fd.hpp"
#include "cgroup/cgroup_file.hpp"
#include "cgroup/cgroup_text.hpp"

namespace proctor::detail {

namespace {

// A number is signalled through a pidfd only if it is in the list before and after that was opened, or it might have
// been given to somebody else.
void kill_listed(int directory) noexcept {
    const UniqueFd list(::openat(directory, "cgroup.procs", O_RDONLY | O_CLOEXEC));
    std::vector<pid_t> before;
    if (!list || !read_ids(list.get(), before) || before.empty()) {
        return;
    }
    std::vector<UniqueFd> descriptors;
    descriptors.reserve(before.size());
    for (const pid_t pid : before) {
        descriptors.emplace_back(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    }
    std::vector<pid_t> after;
    read_ids(list.get(), after);
    for (std::size_t i = 0; i < before.size(); ++i) {
        if (descriptors[i] && std::find(after.begin(), after.end(), before[i]) != after.end()) {
            ::syscall(SYS_pidfd_send_signal, descriptors[i].get(), SIGKILL, nullptr, 0);
        }
    }
}

void kill_listed_below(int directory, int depth_left) noexcept {
    kill_listed(directory);
    if (depth_left == 0) {
        return;
    }
    for_each_group(directory, [&](const char* name) {
        if (const UniqueFd nested{open_group(directory, name)}) {
            kill_listed_below(nested.get(), depth_left - 1);
        }
        return true;
    });
}

}  // namespace

bool read_ids(int file, std::vector<pid_t>& ids) noexcept {
    PidListParser parser(ids);
    char piece[4096];
    off_t offset = 0;
    for (;;) {
        const ssize_t count = ::pread(file, piece, sizeof piece, offset);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return count == 0;
        }
        parser.take({piece, static_cast<std::size_t>(count)});
        offset += count;
    }
}

int kill_members(int directory) noexcept {
    int error_number = write_at_once(directory, "cgroup.kill", "1");
    if (error_number == ENOENT) {
        // Before 5.14. Whoever is frozen does not fork and yet dies of SIGKILL; who forked while it began is found by
        // the next round.
        error_number = write_at_once(directory, "cgroup.freeze", "1");
    }
    SmallText<128> text;
    if (error_number == 0 && find_value(text.read(directory, "cgroup.events"), "populated") != 0) {
        kill_listed_below(directory, deepest_group);
    }
    return error_number;
}

}  // namespace proctor::detail
