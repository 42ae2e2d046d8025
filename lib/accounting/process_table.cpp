// SPDX-License-Identifier: MIT
#include "accounting/process_table.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/unique_fd.hpp"

namespace proctor::detail {

namespace {

// /proc answers to the id of any thread, and only a process is to be found. None where that cannot be told.
std::optional<bool> is_process(pid_t id) noexcept {
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, id, 0)));
    if (pidfd) {
        return true;
    }
    // Nobody's; or a thread's, before 6.9 and since.
    const bool told = errno == ESRCH || errno == EINVAL || errno == ENOENT;
    return told ? std::optional(false) : std::nullopt;
}

}  // namespace

const Process* find_process(std::span<const Process> sorted, pid_t pid) noexcept {
    const auto place = std::lower_bound(sorted.begin(), sorted.end(), Process{pid}, by_pid);
    return place != sorted.end() && place->pid == pid ? &*place : nullptr;
}

void ProcessTable::refresh(const ProcDirectory& proc) noexcept {
    processes_.clear();
    complete_ = true;
    proc.for_each_process([&](pid_t pid) { add(proc, pid); });
    build_indices();
}

bool ProcessTable::refresh(const ProcDirectory& proc, pid_t first, pid_t last) noexcept {
    processes_.clear();
    complete_ = true;
    for (pid_t pid = first; pid <= last; ++pid) {
        const auto process = is_process(pid);
        if (!process) {
            return false;
        }
        if (*process) {
            add(proc, pid);
        }
    }
    build_indices();
    return true;
}

void ProcessTable::add(const ProcDirectory& proc, pid_t pid) noexcept {
    const auto stat = read_process_stat(proc, pid);
    complete_ = complete_ && stat;
    if (stat && !stat->is_kernel_thread()) {
        processes_.push_back({pid, *stat});
    }
}

void ProcessTable::build_indices() noexcept {
    if (!std::is_sorted(processes_.begin(), processes_.end(), by_pid)) {
        std::sort(processes_.begin(), processes_.end(), by_pid);
    }
    build(by_parent_, &ProcessStat::parent);
    build(by_session_, &ProcessStat::session);
    build(by_group_, &ProcessStat::group);
    found_in_.assign(processes_.size(), 0);
    question_ = 0;
}

const Process* ProcessTable::find(pid_t pid) const noexcept { return find_process(processes_, pid); }

void ProcessTable::begin(std::vector<const Process*>& found) noexcept {
    found.clear();
    ++question_;
}

void ProcessTable::add(const Process& process, std::vector<const Process*>& found) noexcept {
    auto& found_in = found_in_[static_cast<std::size_t>(&process - processes_.data())];
    if (found_in != question_) {
        found_in = question_;
        found.push_back(&process);
    }
}

void ProcessTable::add_session(pid_t session, std::vector<const Process*>& found) noexcept {
    for (const auto& [number, index] : equal(by_session_, session)) {
        add(processes_[index], found);
    }
}

void ProcessTable::add_group(pid_t group, std::vector<const Process*>& found) noexcept {
    for (const auto& [number, index] : equal(by_group_, group)) {
        add(processes_[index], found);
    }
}

void ProcessTable::add_children(pid_t parent, std::vector<const Process*>& found) noexcept {
    for (const auto& [number, index] : equal(by_parent_, parent)) {
        add(processes_[index], found);
    }
}

void ProcessTable::close(std::vector<const Process*>& found) noexcept {
    for (std::size_t done = 0; done < found.size(); ++done) {  // it grows meanwhile
        const Process& parent = *found[done];
        for (const auto& [number, index] : equal(by_parent_, parent.pid)) {
            if (can_be_child(processes_[index].stat, parent.stat)) {
                add(processes_[index], found);
            }
        }
    }
}

void ProcessTable::build(Index& index, pid_t ProcessStat::*number) noexcept {
    index.clear();
    for (std::size_t i = 0; i < processes_.size(); ++i) {
        index.emplace_back(processes_[i].stat.*number, static_cast<std::uint32_t>(i));
    }
    std::sort(index.begin(), index.end());
}

std::span<const std::pair<pid_t, std::uint32_t>> ProcessTable::equal(const Index& index, pid_t number) noexcept {
    const auto less = [](const auto& left, const auto& right) { return left.first < right.first; };
    const auto [begin, end] =
        std::equal_range(index.begin(), index.end(), std::pair<pid_t, std::uint32_t>(number, 0), less);
    return {begin, end};
}

}  // namespace proctor::detail
