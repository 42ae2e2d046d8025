// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string_view>

#include "base/failure.hpp"
#include "base/unique_fd.hpp"

namespace proctor::detail {

/// The path of a process's or a thread's file, on the stack.
class ProcPath {
public:
    ProcPath(pid_t pid, std::string_view file) noexcept;
    ProcPath(pid_t pid, pid_t thread, std::string_view file) noexcept;

    [[nodiscard]] const char* absolute() const noexcept { return text_; }
    [[nodiscard]] const char* below_proc() const noexcept { return text_ + root.size(); }

private:
    static constexpr std::string_view root = "/proc/";

    void add(std::string_view part) noexcept;
    void add(pid_t number) noexcept;

    std::size_t length_ = 0;
    char text_[96];
};

/// The mounted /proc, held open. Reading allocates nothing, and a process that has gone meanwhile is an ordinary
/// answer: -ENOENT when its file is opened, -ESRCH when it is read.
class ProcDirectory {
public:
    /// Errors: stage setup, where /proc is not mounted, or shows another pid namespace than ours.
    static Expected<ProcDirectory> open();

    /// Opens for reading. Empty if that is refused or nothing is there; errno says which.
    [[nodiscard]] UniqueFd open_file(const ProcPath& path) const noexcept;

    /// Reads what one read(2) gives. The length, or -errno.
    [[nodiscard]] ssize_t read(const ProcPath& path, std::span<char> buffer) const noexcept;
    /// The same; empty where there is nothing.
    [[nodiscard]] std::string_view read_text(const ProcPath& path, std::span<char> buffer) const noexcept;
    /// The text of a symbolic link; empty where it may not be read.
    [[nodiscard]] std::string_view read_link(const ProcPath& path, std::span<char> buffer) const noexcept;

    /// Calls back with each number among the names in a directory, in ascending order as the kernel gives them: the
    /// processes, or the threads of one. What begins or ends meanwhile may or may not be among them.
    template <typename Visitor>
    void for_each_process(Visitor visit) const noexcept {
        for_each_number(UniqueFd(open_directory(".")).get(), visit);
    }
    template <typename Visitor>
    void for_each_thread(pid_t pid, Visitor visit) const noexcept {
        for_each_number(UniqueFd(open_directory(ProcPath(pid, "task").below_proc())).get(), visit);
    }

    /// Whether a thread's children can be listed (CONFIG_PROC_CHILDREN).
    [[nodiscard]] bool lists_children() const noexcept { return lists_children_; }
    /// The unit of times in /proc/PID/stat.
    [[nodiscard]] long ticks_per_second() const noexcept { return ticks_per_second_; }

private:
    ProcDirectory() = default;

    [[nodiscard]] int open_directory(const char* path) const noexcept;

    template <typename Visitor>
    static void for_each_number(int directory, Visitor& visit) noexcept {
        alignas(8) char entries[16384];
        for (;;) {
            std::string_view rest(entries, read_entries(directory, entries));
            if (rest.empty()) {
                return;
            }
            while (!rest.empty()) {
                if (const pid_t number = next_number(rest); number > 0) {
                    visit(number);
                }
            }
        }
    }
    static std::size_t read_entries(int directory, std::span<char> buffer) noexcept;
    static pid_t next_number(std::string_view& entries) noexcept;

    UniqueFd directory_{};
    bool lists_children_ = false;
    long ticks_per_second_ = 100;
};

}  // namespace proctor::detail
