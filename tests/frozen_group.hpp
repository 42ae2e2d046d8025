// SPDX-License-Identifier: MIT
//
// Processes that do not die, as those that wait in the kernel for a device that does not answer.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>

#include "support.hpp"

namespace support {

/// A group of the cgroup v1 freezer: what is frozen there does not even die.
class FrozenGroup {
public:
    FrozenGroup() {
        const std::string path = "/sys/fs/cgroup/freezer/proctor-test-" + std::to_string(getpid());
        if (access("/sys/fs/cgroup/freezer/tasks", W_OK) == 0 && mkdir(path.c_str(), 0755) == 0) path_ = path;
    }
    FrozenGroup(const FrozenGroup&) = delete;
    FrozenGroup& operator=(const FrozenGroup&) = delete;
    ~FrozenGroup() {
        if (path_.empty()) return;
        thaw();
        while (rmdir(path_.c_str()) != 0 && errno == EBUSY) sched_yield();
    }

    explicit operator bool() const { return !path_.empty(); }
    void take(int pid) const {
        write("cgroup.procs", std::to_string(pid));
        write("freezer.state", "FROZEN");
    }
    void thaw() const { write("freezer.state", "THAWED"); }

private:
    void write(const char* file, std::string_view text) const {
        write_all(open_file(path_ + "/" + file, O_WRONLY).get(), text);
    }

    std::string path_{};
};

}  // namespace support
