// SPDX-License-Identifier: MIT
#include "accounting/proc_directory.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>

#include "accounting/proc_text.hpp"

namespace proctor::detail {

ProcPath::ProcPath(pid_t pid, std::string_view file) noexcept {
    add(root);
    add(pid);
    add("/");
    add(file);
    text_[length_] = '\0';
}

ProcPath::ProcPath(pid_t pid, pid_t thread, std::string_view file) noexcept {
    add(root);
    add(pid);
    add("/task/");
    add(thread);
    add("/");
    add(file);
    text_[length_] = '\0';
}

void ProcPath::add(std::string_view part) noexcept {
    assert(part.size() < sizeof text_ - length_);
    std::memcpy(text_ + length_, part.data(), part.size());
    length_ += part.size();
}

void ProcPath::add(pid_t number) noexcept {
    const auto [end, error] = std::to_chars(text_ + length_, text_ + sizeof text_, number);
    assert(error == std::errc());
    length_ = static_cast<std::size_t>(end - text_);
}

Expected<ProcDirectory> ProcDirectory::open() {
    ProcDirectory proc;
    proc.directory_.reset(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
    char self[16];
    const ssize_t length = proc.directory_ ? ::readlinkat(proc.directory_.get(), "self", self, sizeof self) : -1;
    if (length < 0) {
        return failure(Stage::setup, errno, "/proc cannot be read", "mount it: mount -t proc proc /proc");
    }
    pid_t pid = 0;
    if (!parse_number({self, static_cast<std::size_t>(length)}, pid) || pid != ::getpid()) {
        return failure(Stage::setup, 0, "/proc shows the processes of another pid namespace",
                       "mount the one of this namespace: mount -t proc proc /proc");
    }
    proc.lists_children_ = ::faccessat(proc.directory_.get(), "thread-self/children", R_OK, 0) == 0;
    proc.ticks_per_second_ = ::sysconf(_SC_CLK_TCK);
    return proc;
}

UniqueFd ProcDirectory::open_file(const ProcPath& path) const noexcept {
    return UniqueFd(::openat(directory_.get(), path.below_proc(), O_RDONLY | O_CLOEXEC));
}

ssize_t ProcDirectory::read(const ProcPath& path, std::span<char> buffer) const noexcept {
    const UniqueFd file = open_file(path);
    const ssize_t length = file ? ::read(file.get(), buffer.data(), buffer.size()) : -1;
    return length < 0 ? -errno : length;
}

std::string_view ProcDirectory::read_text(const ProcPath& path, std::span<char> buffer) const noexcept {
    const ssize_t length = read(path, buffer);
    return {buffer.data(), length > 0 ? static_cast<std::size_t>(length) : 0};
}

std::string_view ProcDirectory::read_link(const ProcPath& path, std::span<char> buffer) const noexcept {
    const ssize_t length = ::readlinkat(directory_.get(), path.below_proc(), buffer.data(), buffer.size());
    return {buffer.data(), length > 0 ? static_cast<std::size_t>(length) : 0};
}

// Opened for each listing, because the position in it belongs to the open file.
int ProcDirectory::open_directory(const char* path) const noexcept {
    return ::openat(directory_.get(), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

// Not opendir, which allocates.
std::size_t ProcDirectory::read_entries(int directory, std::span<char> buffer) noexcept {
    const long length = ::syscall(SYS_getdents64, directory, buffer.data(), buffer.size());
    return length > 0 ? static_cast<std::size_t>(length) : 0;
}

// Cuts one entry off the front; 0 if its name is no number.
pid_t ProcDirectory::next_number(std::string_view& entries) noexcept {
    unsigned short size = 0;
    std::memcpy(&size, entries.data() + offsetof(dirent64, d_reclen), sizeof size);
    const char* const name = entries.data() + offsetof(dirent64, d_name);
    pid_t number = 0;
    const bool is_number = parse_number({name, std::strlen(name)}, number);
    entries.remove_prefix(size);
    return is_number ? number : 0;
}

}  // namespace proctor::detail
