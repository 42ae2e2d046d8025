// SPDX-License-Identifier: MIT
#include "cgroup/cgroup.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <csignal>
#include <vector>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <limits>

#include "cgroup/cgroup_file.hpp"
#include "cgroup/group_members.hpp"
#include "cgroup/reactor_group.hpp"

namespace proctor::detail {

namespace {

std::optional<Bytes> to_bytes(std::optional<std::uint64_t> count) noexcept {
    constexpr std::uint64_t most = std::numeric_limits<Bytes>::max();
    return count ? std::optional(static_cast<Bytes>(std::min(*count, most))) : std::nullopt;
}

// Writes the digits and a final zero; answers the digits.
std::string_view put_number(char* begin, char* end, std::uint64_t number) noexcept {
    char* const stop = std::to_chars(begin, end - 1, number).ptr;
    *stop = '\0';
    return {begin, static_cast<std::size_t>(stop - begin)};
}

Nanoseconds difference(Nanoseconds now, Nanoseconds before) noexcept { return std::max(now - before, Nanoseconds{}); }

}  // namespace

const char* Cgroup::name_of(File file) noexcept {
    switch (file) {
        case File::events: return "cgroup.events";
        case File::cpu: return "cpu.stat";
        case File::processes: return "cgroup.procs";
        case File::threads: return "cgroup.threads";
        case File::memory_current: return "memory.current";
        case File::memory_peak: return "memory.peak";
        case File::memory_stat: return "memory.stat";
        case File::memory_events: return "memory.events";
        case File::pids_events: return "pids.events";
        case File::pids_peak: return "pids.peak";
    }
    return "";
}

std::string Cgroup::path() const { return *parent_path_ + "/" + name_; }

Expected<void> Cgroup::limit(const char* file_name, std::uint64_t most, bool controller_is_there,
                             const char* controller) {
    char digits[24];
    const int error_number =
        controller_is_there ? write_at_once(directory(), file_name, put_number(digits, digits + sizeof digits, most))
                            : ENOENT;
    if (error_number == 0) {
        return {};
    }
    if (!controller_is_there) {
        return failure(Stage::cgroup, error_number,
                       "the control group " + path() + " has no " + controller + " controller",
                       std::string("give the reactor a group that passes ") + controller + " on to groups in it");
    }
    return tl::unexpected<Error>(explain_failure(error_number, path()));
}

Expected<void> Cgroup::limit_memory(Bytes most) {
    // Not on a kernel or machine without accounting of swap.
    const int swap = write_at_once(directory(), "memory.swap.max", "0");
    const int group = controllers_->memory ? write_at_once(directory(), "memory.oom.group", "1") : 0;
    if ((swap != 0 && swap != ENOENT) || group != 0) {
        return tl::unexpected<Error>(explain_failure(group != 0 ? group : swap, path()));
    }
    return limit("memory.max", static_cast<std::uint64_t>(most), controllers_->memory, "memory");
}

Expected<void> Cgroup::limit_tasks(std::uint64_t most) {
    constexpr std::uint64_t most_that_can_be = 4194304;  // PID_MAX_LIMIT; the kernel refuses what is more
    return limit("pids.max", std::min(most, most_that_can_be), controllers_->pids, "pids");
}

Expected<void> Cgroup::open_for_watching() {
    if (lean_) {
        return {};
    }
    for (const File each : watched) {
        if (file(each) < 0) {
            return tl::unexpected<Error>(explain_failure(errno, path()));
        }
    }
    return {};
}

void Cgroup::note_started() noexcept {
    if (lean_) {
        directory_.reset();
    }
}

bool Cgroup::kill() noexcept {
    once_ = true;
    return kill_members(directory_ ? directory() : open_shared(".", O_RDONLY | O_DIRECTORY)) == 0;
}

bool Cgroup::freeze(bool on) noexcept {
    const int group = directory_ ? directory() : open_shared(".", O_RDONLY | O_DIRECTORY);
    return write_at_once(group, "cgroup.freeze", on ? "1" : "0") == 0;
}

std::optional<bool> Cgroup::populated() noexcept { return read_event("populated"); }

std::optional<bool> Cgroup::frozen() noexcept { return read_event("frozen"); }

std::optional<bool> Cgroup::read_event(std::string_view key) noexcept {
    SmallText<128> text;
    const auto value = find_value(text.read(file(File::events)), key);
    return value ? std::optional(*value != 0) : std::nullopt;
}

std::optional<GroupCpu> Cgroup::read_cpu() noexcept {
    SmallText<512> text;
    const std::string_view lines = text.read(file(File::cpu));
    const auto usage = find_value(lines, "usage_usec");
    const auto user = find_value(lines, "user_usec");
    const auto system = find_value(lines, "system_usec");
    if (!usage || !user || !system) {
        return std::nullopt;
    }
    const auto to_time = [](std::uint64_t count) {
        return std::chrono::microseconds(static_cast<std::int64_t>(count));
    };
    return GroupCpu{to_time(*user), to_time(*system), to_time(*usage)};
}

std::optional<GroupCpu> Cgroup::cpu() noexcept {
    const std::optional<GroupCpu> now = read_cpu();
    if (!now) {
        return std::nullopt;
    }
    return GroupCpu{difference(now->user, baseline_.user), difference(now->system, baseline_.system),
                    difference(now->usage, baseline_.usage)};
}

std::optional<Bytes> Cgroup::read_bytes(File which) noexcept {
    SmallText<32> text;
    return to_bytes(parse_count(text.read(file(which))));
}

std::optional<Bytes> Cgroup::memory_peak() noexcept { return read_bytes(File::memory_peak); }

std::optional<Bytes> Cgroup::memory_current() noexcept { return read_bytes(File::memory_current); }

std::optional<Bytes> Cgroup::memory_anon() noexcept {
    // Both are among the first lines, so it does not matter if a kernel with more of them does not fit.
    SmallText<4096> text;
    const std::string_view lines = text.read(file(File::memory_stat));
    const auto anon = find_value(lines, "anon");
    const auto shmem = find_value(lines, "shmem");
    return anon && shmem ? to_bytes(*anon + *shmem) : std::nullopt;
}

std::optional<GroupMemoryEvents> Cgroup::memory_events() noexcept {
    SmallText<512> text;
    const std::string_view lines = text.read(file(File::memory_events));
    const auto oom_kill = find_value(lines, "oom_kill");
    if (!oom_kill) {
        return std::nullopt;
    }
    GroupMemoryEvents events;
    events.max = find_value(lines, "max").value_or(0);
    events.oom = find_value(lines, "oom").value_or(0);
    events.oom_kill = *oom_kill;
    events.oom_group_kill = find_value(lines, "oom_group_kill").value_or(0);
    return events;
}

std::optional<std::uint64_t> Cgroup::pids_refused() noexcept {
    SmallText<128> text;
    return find_value(text.read(file(File::pids_events)), "max");
}

std::optional<std::uint64_t> Cgroup::pids_peak() noexcept {
    SmallText<32> text;
    return parse_count(text.read(file(File::pids_peak)));
}

bool Cgroup::processes(std::vector<pid_t>& pids) noexcept { return read_ids(file(File::processes), pids); }

bool Cgroup::threads(std::vector<pid_t>& tids) noexcept { return read_ids(file(File::threads), tids); }

int Cgroup::file(File which) noexcept {
    // That one is waited for, so it must stay.
    if (lean_ && which != File::pids_events) {
        return open_shared(name_of(which), O_RDONLY);
    }
    UniqueFd& file = files_[static_cast<std::size_t>(which)];
    if (!file && parent_ >= 0) {
        file.reset(directory_ ? ::openat(directory(), name_of(which), O_RDONLY | O_CLOEXEC)
                              : open(name_of(which), O_RDONLY));
    }
    return file.get();
}

int Cgroup::open(const char* file_name, int flags) const noexcept {
    char path[64];
    char* end = std::copy_n(name_, std::strlen(name_), path);
    *end++ = '/';
    std::copy_n(file_name, std::strlen(file_name) + 1, end);
    return ::openat(parent_, path, flags | O_CLOEXEC | O_NOFOLLOW);
}

// The number of the one before is free then, so this does not fail for want of one.
int Cgroup::open_shared(const char* file_name, int flags) noexcept {
    shared_->reset();
    shared_->reset(open(file_name, flags));
    return shared_->get();
}

int Cgroup::make(int parent, std::uint64_t number) noexcept {
    parent_ = parent;
    constexpr std::string_view prefix = "job-";
    std::memcpy(name_, prefix.data(), prefix.size());
    put_number(name_ + prefix.size(), name_ + sizeof name_, number);
    if (::mkdirat(parent, name_, 0755) != 0) {
        return errno;
    }
    directory_.reset(::openat(parent, name_, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory_) {
        const int error_number = errno;
        ::unlinkat(parent, name_, AT_REMOVEDIR);
        return error_number;
    }
    return 0;
}

int Cgroup::begin(bool fresh) noexcept {
    baseline_ = {};
    errno = 0;
    if (!directory_) {
        directory_.reset(open_group(parent_, name_));
        if (!directory_) {
            return errno;
        }
    }
    if (fresh) {
        return 0;
    }
    const std::optional<GroupCpu> before = read_cpu();
    if (!before) {
        return errno != 0 ? errno : ENODEV;
    }
    baseline_ = *before;
    return 0;
}

bool Cgroup::is_clean() noexcept {
    SmallText<128> text;
    const std::string_view lines = text.read(file(File::events));
    struct stat status {};
    // As in most file systems, a directory has a link more for each one in it.
    return find_value(lines, "populated") == 0U && find_value(lines, "frozen") == 0U &&
           ::fstatat(parent_, name_, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_nlink == 2;
}

void Cgroup::close_most() noexcept {
    const auto is_for_all = [](std::size_t index) {
        return std::any_of(watched.begin(), watched.end(),
                           [&](File file) { return index == static_cast<std::size_t>(file); });
    };
    for (std::size_t i = 0; i < file_count; ++i) {
        if (!is_for_all(i)) {
            files_[i].reset();
        }
    }
}

void Cgroup::close_all() noexcept {
    for (UniqueFd& file : files_) {
        file.reset();
    }
    directory_.reset();
    parent_ = -1;
}

}  // namespace proctor::detail
