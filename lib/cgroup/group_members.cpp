// SPDX-License-Identifier: MIT
#include "cgroup/group_members.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <span>

#include "base/unique_fd.hpp"
#include "cgroup/cgroup_file.hpp"
#include "cgroup/cgroup_text.hpp"

namespace proctor::detail {

namespace {

// So many at a time, as each takes a descriptor.
constexpr std::size_t killed_at_once = 32;

// A number is signalled through a pidfd only if it is in the list before and after that was opened, or it might have
// been given to somebody else.
void kill_some(int list, std::span<const pid_t> pids, std::vector<pid_t>& scratch) noexcept {
    std::array<UniqueFd, killed_at_once> descriptors;
    for (std::size_t i = 0; i < pids.size(); ++i) {
        descriptors[i].reset(static_cast<int>(::syscall(SYS_pidfd_open, pids[i], 0)));
    }
    scratch.clear();
    read_ids(list, scratch);
    for (std::size_t i = 0; i < pids.size(); ++i) {
        if (descriptors[i] && std::find(scratch.begin(), scratch.end(), pids[i]) != scratch.end()) {
            ::syscall(SYS_pidfd_send_signal, descriptors[i].get(), SIGKILL, nullptr, 0);
        }
    }
}

void kill_listed(int directory) noexcept {
    const UniqueFd list(::openat(directory, "cgroup.procs", O_RDONLY | O_CLOEXEC));
    std::vector<pid_t> pids;
    std::vector<pid_t> scratch;
    if (!list || !read_ids(list.get(), pids)) {
        return;
    }
    for (std::span<const pid_t> left = pids; !left.empty();) {
        const std::size_t count = std::min(left.size(), killed_at_once);
        kill_some(list.get(), left.first(count), scratch);
        left = left.subspan(count);
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
