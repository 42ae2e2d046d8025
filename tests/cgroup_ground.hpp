// SPDX-License-Identifier: MIT
//
// For the suites about control groups: a group in which they may do as they like, and processes in it.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgroup/cgroup_file.hpp"
#include "cgroup/cgroup_pool.hpp"
#include "cgroup/cgroup_tree.hpp"
#include "cgroup/group_members.hpp"
#include "cgroup/reactor_group.hpp"
#include "support.hpp"

namespace ground {

using proctor::Error;
using proctor::detail::Cgroup;
using proctor::detail::CgroupPlace;
using proctor::detail::CgroupPool;
using proctor::detail::Expected;

template <typename T>
std::string what(const Expected<T>& result) {
    std::ostringstream text;
    if (result) return "no error";
    text << result.error();
    return text.str();
}

inline bool exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

inline bool write_to(const std::string& path, std::string_view text) {
    return proctor::detail::write_at_once(AT_FDCWD, path.c_str(), text) == 0;
}

/// A number in a file of "KEY NUMBER" lines; -1 if it is not there.
inline long long number_in(const std::string& path, std::string_view key) {
    if (!exists(path)) return -1;
    std::string text;
    (void)proctor::detail::read_all(path.c_str(), text);
    const auto value = proctor::detail::find_value(text, key);
    return value ? static_cast<long long>(*value) : -1;
}

/// A new group, removed at the end with all that is in it and below. Where the room gives one with all controllers, it
/// is made there, else where the library would make its own.
class Group {
public:
    static std::optional<Group> make() {
        const char* const room = std::getenv("PROCTOR_ROOM_CGROUP");
        const Expected<CgroupPlace> base =
            proctor::detail::find_place(room != nullptr ? std::optional<std::string>(room) : std::nullopt);
        if (!base) {
            support::skip("there is no place for control groups: " + what(base));
            return std::nullopt;
        }
        return Group(base->path + "/suite-" + std::to_string(getpid()));
    }

    explicit Group(std::string path) : path_(std::move(path)) {
        INFO(path_);
        REQUIRE(mkdir(path_.c_str(), 0755) == 0);
    }
    Group(Group&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    Group& operator=(Group&&) = delete;
    ~Group() {
        if (path_.empty()) return;
        const support::Fd directory = support::open_file(path_, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        (void)proctor::detail::kill_members(directory.get());
        unsigned work_left = 1'000'000;
        while (proctor::detail::remove_group(AT_FDCWD, path_.c_str(), work_left) == proctor::detail::Removal::busy) {
            sched_yield();
        }
    }

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }

    [[nodiscard]] CgroupPlace place() const {
        Expected<CgroupPlace> found = proctor::detail::find_place(path_);
        INFO(what(found));
        REQUIRE(found.has_value());
        return std::move(*found);
    }

private:
    std::string path_;
};

inline std::set<std::string> groups_in(const std::string& path) {
    std::set<std::string> names;
    DIR* const directory = opendir(path.c_str());
    REQUIRE(directory != nullptr);
    while (const dirent* const entry = readdir(directory)) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') names.emplace(entry->d_name);
    }
    closedir(directory);
    return names;
}

/// The helper program in a group, its standard output a pipe. Whoever starts it reaps it.
class Process {
public:
    Process(int directory, std::string_view words) {
        support::Pipe pipe;
        std::istringstream in{std::string(words)};
        std::vector<std::string> arguments{support::child()};
        for (std::string word; in >> word;) arguments.push_back(word);
        std::vector<char*> pointers;
        pointers.reserve(arguments.size() + 1);
        for (std::string& argument : arguments) pointers.push_back(argument.data());
        pointers.push_back(nullptr);
        clone_args clone{};
        clone.flags = CLONE_INTO_CGROUP;
        clone.exit_signal = SIGCHLD;
        clone.cgroup = static_cast<std::uint64_t>(directory);
        const long pid = syscall(SYS_clone3, &clone, sizeof clone);
        if (pid == 0) {
            dup2(pipe.write_end.get(), 1);
            execv(pointers[0], pointers.data());
            _exit(90);
        }
        error_number_ = pid < 0 ? errno : 0;
        pid_ = static_cast<pid_t>(pid);
        output_ = std::move(pipe.read_end);
    }
    Process(Process&& other) noexcept
        : pid_(std::exchange(other.pid_, -1)), error_number_(other.error_number_), output_(std::move(other.output_)) {}
    Process& operator=(Process&&) = delete;
    ~Process() {
        if (pid_ <= 0) return;
        kill(pid_, SIGKILL);
        wait();
    }

    [[nodiscard]] pid_t pid() const { return pid_; }
    /// Of clone3; 0 if there is a process.
    [[nodiscard]] int error_number() const { return error_number_; }
    /// Waits until it has written something.
    bool has_written() { return support::await_byte(output_.get()); }
    /// Waits until nobody holds its output.
    bool is_silent() { return support::await_end(output_.get()); }
    /// Its status, as waitpid gives it.
    int wait() {
        int status = -1;
        while (waitpid(std::exchange(pid_, -1), &status, 0) < 0 && errno == EINTR) {
        }
        return status;
    }

private:
    pid_t pid_ = -1;
    int error_number_ = 0;
    support::Fd output_{};
};

using Pool = std::unique_ptr<proctor::detail::CgroupPool>;

inline Pool make_pool(const Group& group, unsigned ahead_max = 0) {
    Expected<Pool> pool = proctor::detail::CgroupPool::create(group.place(), ahead_max);
    INFO(what(pool));
    REQUIRE(pool.has_value());
    return std::move(*pool);
}

inline Cgroup& acquire(CgroupPool& pool, bool used_once = false) {
    const Expected<Cgroup*> group = pool.acquire(used_once);
    INFO(what(group));
    REQUIRE(group.has_value());
    return **group;
}

inline bool counts_for_good(const CgroupPool& pool) { return pool.controllers().memory || pool.controllers().pids; }

/// A place and a reactor's groups in it; no pool where there is no place.
struct Reactor {
    std::optional<Group> group = Group::make();
    Pool pool = group ? make_pool(*group) : nullptr;
};

inline bool was_killed(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL; }

}  // namespace ground
