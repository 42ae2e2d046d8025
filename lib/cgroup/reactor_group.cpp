// SPDX-License-Identifier: MIT
#include "cgroup/reactor_group.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "cgroup/cgroup_file.hpp"
#include "cgroup/group_members.hpp"

namespace proctor::detail {

namespace {

constexpr std::string_view name_prefix = "proctor-";
constexpr std::size_t name_digits = 16;

// So deep may a job have nested groups of its own. Each level holds a descriptor while it is emptied.
constexpr int depth_max = 32;

// A start does not take seconds because a host of a thousand jobs has died.
constexpr unsigned sweep_work = 4096;

std::string make_name() {
    std::uint64_t random = 0;
    if (::getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random) {
        timespec time{};  // early in boot; a name that is taken is refused by mkdir
        ::clock_gettime(CLOCK_MONOTONIC, &time);
        random = static_cast<std::uint64_t>(time.tv_nsec) << 32 ^ static_cast<std::uint64_t>(::getpid());
    }
    std::string name(name_prefix);
    for (std::size_t digit = 0; digit < name_digits; ++digit) {
        name += "0123456789abcdef"[random >> 4 * digit & 0xF];
    }
    return name;
}

Removal remove_one(int parent, const char* name, unsigned& work_left) noexcept {
    if (work_left == 0) {
        return Removal::busy;
    }
    --work_left;
    if (::unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT) {
        return Removal::done;
    }
    return errno == EBUSY ? Removal::busy : Removal::refused;
}

bool has_groups(int directory) noexcept {
    struct stat status {};
    return ::fstat(directory, &status) == 0 && status.st_nlink > 2;
}

// EBUSY says that there are processes or groups in it.
Removal remove_nested(int parent, const char* name, unsigned& work_left, int depth_left) noexcept {
    const Removal first = remove_one(parent, name, work_left);
    if (first != Removal::busy || depth_left == 0) {
        return first;
    }
    const UniqueFd directory(open_group(parent, name));
    if (!directory || !has_groups(directory.get())) {
        return Removal::busy;
    }
    Removal worst = Removal::done;
    for_each_group(directory.get(), [&](const char* nested) {
        worst = std::max(worst, remove_nested(directory.get(), nested, work_left, depth_left - 1));
        return work_left > 0;
    });
    return worst == Removal::done ? remove_one(parent, name, work_left) : worst;
}

// If not, errno says why; EWOULDBLOCK: somebody else has it.
bool has_lock(int directory) noexcept {
    int status = 0;
    do {
        status = ::flock(directory, LOCK_EX | LOCK_NB);
    } while (status < 0 && errno == EINTR);
    return status == 0;
}

// Whether the group that was opened is still there under its name. Names are not used twice.
bool is_there(int place, const std::string& name) noexcept { return ::faccessat(place, name.c_str(), F_OK, 0) == 0; }

// The second step of making. None if a sweeper was faster.
std::optional<ReactorGroup> lock_new_group(int place, std::string name) {
    ReactorGroup group;
    group.directory.reset(open_group(place, name.c_str()));
    if (!group.directory || !has_lock(group.directory.get()) || !is_there(place, name)) {
        return std::nullopt;
    }
    group.name = std::move(name);
    return group;
}

}  // namespace

bool is_reactor_group(std::string_view name) noexcept {
    return name.size() == name_prefix.size() + name_digits && name.starts_with(name_prefix) &&
           name.find_first_not_of("0123456789abcdef", name_prefix.size()) == std::string_view::npos;
}

namespace {

// 0, or an errno value.
int find_way_to_kill(ReactorGroup& group) noexcept {
    const auto may_write = [&](const char* file) {
        return ::faccessat(group.directory.get(), file, W_OK, AT_EACCESS) == 0;
    };
    group.has_kill_file = may_write("cgroup.kill");
    return group.has_kill_file || (errno == ENOENT && may_write("cgroup.freeze")) ? 0 : errno;
}

}  // namespace

Expected<ReactorGroup> make_reactor_group(int place, const std::string& path) {
    // Each turn is lost only to a sweeper that starts in the few microseconds between two calls.
    constexpr int turns = 100;
    for (int turn = 0; turn < turns; ++turn) {
        std::string name = make_name();
        if (::mkdirat(place, name.c_str(), 0755) != 0) {
            if (errno == EEXIST) {
                continue;
            }
            return tl::unexpected<Error>(explain_failure(errno, path));
        }
        std::optional<ReactorGroup> group = lock_new_group(place, name);
        if (const int error_number = group ? 0 : errno; error_number != 0) {
            ::unlinkat(place, name.c_str(), AT_REMOVEDIR);  // it is empty, whoever has it
            if (error_number == EWOULDBLOCK || error_number == ENOENT || error_number == ENODEV) {
                continue;
            }
            return tl::unexpected<Error>(explain_failure(error_number, path));
        }
        if (const int error_number = find_way_to_kill(*group); error_number != 0) {
            ::unlinkat(place, name.c_str(), AT_REMOVEDIR);
            return error_number == ENOENT ? failure(Stage::cgroup, error_number,
                                                    "groups in " + path + " have neither cgroup.kill nor cgroup.freeze",
                                                    "use kernel 5.10 or newer")
                                          : tl::unexpected<Error>(explain_failure(error_number, path));
        }
        // A job that may write to its own group may make groups in it: not more than we look for.
        static_cast<void>(write_at_once(group->directory.get(), "cgroup.max.depth", std::to_string(deepest_group)));
        return std::move(*group);
    }
    return failure(Stage::cgroup, EWOULDBLOCK, "somebody locks each group that is made in " + path,
                   "end the program that holds locks (flock) on proctor-* there");
}

Controllers enable_controllers(int directory) noexcept {
    SmallText<256> text;
    const Controllers there = parse_controllers(text.read(directory, "cgroup.controllers"));
    // One by one: the kernel takes all of a line or nothing. What it refuses shows in what is read back.
    if (there.memory) {
        static_cast<void>(write_at_once(directory, "cgroup.subtree_control", "+memory"));
    }
    if (there.pids) {
        static_cast<void>(write_at_once(directory, "cgroup.subtree_control", "+pids"));
    }
    if (there.cpu) {
        static_cast<void>(write_at_once(directory, "cgroup.subtree_control", "+cpu"));
    }
    return parse_controllers(text.read(directory, "cgroup.subtree_control"));
}

Removal remove_group(int parent, const char* name, unsigned& work_left) noexcept {
    return remove_nested(parent, name, work_left, depth_max);
}

int kill_group(int parent, const char* name) noexcept {
    const UniqueFd directory(open_group(parent, name));
    return directory ? kill_members(directory.get()) : errno;
}

Removal sweep_group(int place, const char* name, unsigned& work_left) noexcept {
    const UniqueFd directory(open_group(place, name));
    if (!directory) {
        return errno == ENOENT ? Removal::done : Removal::refused;
    }
    if (!has_lock(directory.get())) {
        return Removal::refused;
    }
    const int killed = kill_members(directory.get());
    if (killed != 0 && killed != ENOENT && killed != ENODEV) {
        return Removal::refused;
    }
    return remove_group(place, name, work_left);
}

std::vector<std::string> sweep_left_overs(int place) {
    std::vector<std::string> busy;
    unsigned work_left = sweep_work;
    for_each_group(place, [&](const char* name) {
        if (is_reactor_group(name) && sweep_group(place, name, work_left) == Removal::busy) {
            busy.emplace_back(name);
        }
        return work_left > 0;
    });
    return busy;
}

Error explain_failure(int error_number, const std::string& path) {
    switch (error_number) {
        case ENOENT:
        case ENODEV:
            return {Stage::cgroup, error_number, "the control group " + path + " has been removed by somebody else",
                    "make a new reactor, and let nobody else remove groups named proctor-*"};
        case EAGAIN:
            return {Stage::cgroup, error_number, "no more groups are allowed in " + path,
                    "raise cgroup.max.descendants and cgroup.max.depth there and above"};
        case EMFILE:
        case ENFILE:
            return {Stage::cgroup, error_number, "no descriptor is left for the control group " + path,
                    "close some, or raise the limit of open files (ulimit -n)"};
        case EACCES:
        case EPERM:
            return {Stage::cgroup, error_number, "the control group " + path + " is not ours to write",
                    "give this user the directory and cgroup.procs and cgroup.subtree_control in it, or name another"};
        case EROFS:
            return {Stage::cgroup, error_number, "the control group " + path + " is mounted read-only",
                    "mount it for writing, or name another"};
        case ENOMEM:
        case ENOSPC:  // of numbers for groups that count memory, of which there are 65,535
            return {Stage::cgroup, error_number, "no memory for the control group " + path,
                    "free memory, and remove groups that nobody needs"};
        default:
            return {Stage::cgroup, error_number, "the control group " + path + " cannot be used",
                    usual_cure(error_number)};
    }
}

}  // namespace proctor::detail
