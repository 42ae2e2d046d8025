// SPDX-License-Identifier: MIT
#include "accounting/process_tree.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "accounting/proc_text.hpp"

namespace proctor::detail {

namespace {

// Now, in the unit of start times.
std::uint64_t ticks_since_boot(long ticks_per_second) noexcept {
    timespec time{};
    ::clock_gettime(CLOCK_BOOTTIME, &time);
    const auto per_second = static_cast<std::uint64_t>(ticks_per_second);
    return static_cast<std::uint64_t>(time.tv_sec) * per_second +
           static_cast<std::uint64_t>(time.tv_nsec) / (1'000'000'000U / per_second);
}

// Calls back with each number of a list of children. The list has no greatest length, and a read may end in a number.
template <typename Visitor>
void for_each_listed(int fd, Visitor visit) noexcept {
    char buffer[8192];
    std::size_t held = 0;
    for (;;) {
        const ssize_t count = ::read(fd, buffer + held, sizeof buffer - held);
        const bool ended = count <= 0;
        held += ended ? 0 : static_cast<std::size_t>(count);
        std::string_view rest(buffer, held);
        for (;;) {
            std::string_view ahead = rest;
            const std::string_view word = next_word(ahead);
            if (word.empty() || (ahead.empty() && !ended)) {
                break;
            }
            if (pid_t pid = 0; parse_number(word, pid)) {
                visit(pid);
            }
            rest = ahead;
        }
        if (ended) {
            return;
        }
        held = rest.size();
        std::memmove(buffer, rest.data(), held);
        if (held == sizeof buffer) {
            return;  // no number is so long
        }
    }
}

}  // namespace

bool ProcessTree::scan(const ProcDirectory& proc) noexcept {
    if (!proc.lists_children()) {
        return false;
    }
    const std::uint64_t began = ticks_since_boot(proc.ticks_per_second());
    refresh(proc);
    if (root_may_hide_ && find(root_) == nullptr) {
        return false;
    }
    const std::size_t known = members_.size();
    for (std::size_t done = 0; done < members_.size(); ++done) {  // it grows meanwhile
        add_children(proc, members_[done], known, began);
    }
    std::sort(members_.begin(), members_.end(), by_pid);
    // A process whose parent dies during the walk may be listed by its next one too.
    const auto same = [](const Process& left, const Process& right) { return left.pid == right.pid; };
    members_.erase(std::unique(members_.begin(), members_.end(), same), members_.end());
    return true;
}

// Forgets who has gone.
void ProcessTree::refresh(const ProcDirectory& proc) noexcept {
    if (!root_start_time_) {
        members_.clear();
        if (const auto stat = read_process_stat(proc, root_)) {
            root_start_time_ = stat->start_time;
            members_.push_back({root_, *stat});
        }
        return;
    }
    const auto has_gone = [&](Process& member) {
        const auto stat = read_process_stat(proc, member.pid);
        const bool same = stat && stat->start_time == member.stat.start_time;
        member.stat = same ? *stat : member.stat;
        return !same;
    };
    // Not remove_if, which does not promise to ask once, in order.
    std::size_t kept = 0;
    for (Process& member : members_) {
        if (!has_gone(member)) {
            members_[kept++] = member;
        }
    }
    members_.resize(kept);
}

// By value: members_ grows.
void ProcessTree::add_children(const ProcDirectory& proc, Process parent, std::size_t known,
                               std::uint64_t began) noexcept {
    if (parent.stat.dead()) {
        return;  // its children were given away
    }
    if (parent.stat.threads <= 1) {
        add_children_of_thread(proc, parent, parent.pid, known, began);
        return;
    }
    proc.for_each_thread(parent.pid, [&](pid_t thread) { add_children_of_thread(proc, parent, thread, known, began); });
}

void ProcessTree::add_children_of_thread(const ProcDirectory& proc, const Process& parent, pid_t thread,
                                         std::size_t known, std::uint64_t began) noexcept {
    if (const UniqueFd file = proc.open_file({parent.pid, thread, "children"})) {
        for_each_listed(file.get(), [&](pid_t pid) { add_child(proc, parent, pid, known, began); });
    }
}

void ProcessTree::add_child(const ProcDirectory& proc, const Process& parent, pid_t pid, std::size_t known,
                            std::uint64_t began) noexcept {
    if (find_process({members_.data(), known}, pid) != nullptr) {
        return;
    }
    const auto stat = read_process_stat(proc, pid);
    if (!stat) {
        return;
    }
    // Between the list and this read the listed process may have died and its number been used again. It is the listed
    // one if it names the same parent, or if it is older than this walk: then it had the number when that was listed.
    if (stat->parent == parent.pid ? can_be_child(*stat, parent.stat) : stat->start_time < began) {
        members_.push_back({pid, *stat});
    }
}

void ProcessTree::scan(ProcessTable& table) noexcept {
    table.begin(found_);
    for (const Process& member : members_) {
        const Process* const now = table.find(member.pid);
        if (now != nullptr && now->stat.start_time == member.stat.start_time) {
            table.add(*now, found_);
        }
    }
    const Process* const root = table.find(root_);
    if (root != nullptr && root->stat.start_time == root_start_time_.value_or(root->stat.start_time)) {
        root_start_time_ = root->stat.start_time;
        table.add(*root, found_);
        if (root->stat.session == root_) {
            table.add_session(root_, found_);
        }
        if (root->stat.group == root_) {
            table.add_group(root_, found_);
        }
    } else if (root == nullptr && root_may_hide_) {
        table.add_children(root_, found_);
    }
    table.close(found_);
    members_.clear();
    for (const Process* const process : found_) {
        members_.push_back(*process);
    }
    std::sort(members_.begin(), members_.end(), by_pid);
}

const Process* ProcessTree::find(pid_t pid) const noexcept { return find_process(members_, pid); }

int ProcessTree::process_count() const noexcept {
    const auto lives = [](const Process& member) { return !member.stat.dead(); };
    return static_cast<int>(std::count_if(members_.begin(), members_.end(), lives));
}

int ProcessTree::task_count() const noexcept {
    int count = 0;
    for (const Process& member : members_) {
        count += std::max(member.stat.threads, 1);
    }
    return count;
}

int signal_if_same(const ProcDirectory& proc, const Process& process, int signal) noexcept {
    // The descriptor first: if the number still belongs to the process that was seen, it did so then.
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
    if (!pidfd) {
        return -errno;
    }
    const auto stat = read_process_stat(proc, process.pid);
    if (!stat || stat->start_time != process.stat.start_time) {
        return -ESRCH;
    }
    return ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) == 0 ? 0 : -errno;
}

}  // namespace proctor::detail
