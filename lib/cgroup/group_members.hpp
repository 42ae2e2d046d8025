// SPDX-License-Identifier: MIT
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <memory>
#include <vector>

namespace proctor::detail {

/// How many groups may be nested in a reactor's: that of a job, and what the job makes in it.
constexpr int deepest_group = 16;

/// The directory of a group in another's.
[[nodiscard]] inline int open_group(int parent, const char* name) noexcept {
    return ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/// Calls `visit` with the name of each group in a directory until it answers false.
template <typename Visitor>
void for_each_group(int directory, Visitor visit) {
    const int copy = open_group(directory, ".");
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(copy >= 0 ? ::fdopendir(copy) : nullptr, &::closedir);
    if (!entries) {
        if (copy >= 0) {
            ::close(copy);
        }
        return;
    }
    while (const dirent* const entry = ::readdir(entries.get())) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' && !visit(entry->d_name)) {
            return;
        }
    }
}

/// Reads a list of processes or threads from its beginning: the one kind of file that may be longer than any buffer.
/// False if it could not be read to its end.
bool read_ids(int file, std::vector<pid_t>& ids) noexcept;

/// SIGKILL to all in a group and below, given its directory. 0, or the errno value of cgroup.kill. To be repeated until
/// nobody is left.
///
/// That file signals each process through its first thread, and one whose first thread has ended while others live is
/// not reached by it. So those that are still listed are signalled one by one besides. A kernel without
/// it (before 5.14) freezes the group, and they are signalled one by one.
int kill_members(int directory) noexcept;

}  // namespace proctor::detail
