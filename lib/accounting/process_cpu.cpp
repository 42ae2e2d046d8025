// SPDX-License-Identifier: MIT
#include "accounting/process_cpu.hpp"

#include <sched.h>

#include <algorithm>
#include <ctime>

namespace proctor::detail {

namespace {

// How the kernel writes "the CPU clock of that process" as a clock: see MAKE_PROCESS_CPUCLOCK in
// include/linux/posix-timers.h. clock_getcpuclockid(3) gives the same after asking the kernel whether it exists.
clockid_t cpu_clock(pid_t pid) noexcept {
    constexpr unsigned scheduled_time = 2;
    return static_cast<clockid_t>((~static_cast<unsigned>(pid) << 3) | scheduled_time);
}

CpuTimes split(Nanoseconds total, Nanoseconds user_ticks, Nanoseconds system_ticks) noexcept {
    const auto ticks = static_cast<double>((user_ticks + system_ticks).count());
    const double system_share = ticks > 0 ? static_cast<double>(system_ticks.count()) / ticks : 0.0;
    const Nanoseconds system(static_cast<std::int64_t>(static_cast<double>(total.count()) * system_share));
    return {total - system, system};
}

CpuTimes greater(const CpuTimes& left, const CpuTimes& right) noexcept {
    return left.total() >= right.total() ? left : right;
}

}  // namespace

std::optional<Nanoseconds> process_cpu(pid_t pid) noexcept {
    timespec time{};
    if (::clock_gettime(cpu_clock(pid), &time) != 0) {
        return std::nullopt;
    }
    return std::chrono::seconds(time.tv_sec) + Nanoseconds(time.tv_nsec);
}

// A thread whose policy is set is taken off its queue and put back, and accounted for on that, if something changes. To
// set what it has is enough from 6.12 on; before that it has to be something else for a moment, and SCHED_BATCH differs
// in nothing but what happens at a wake-up.
void account_running(pid_t thread) noexcept {
    // Also not that of a thread which does not pass its policy on to what it forks (SCHED_RESET_ON_FORK).
    if (::sched_getscheduler(thread) != SCHED_OTHER) {
        return;
    }
    const sched_param parameters{};
    if (::sched_setscheduler(thread, SCHED_BATCH, &parameters) == 0) {
        ::sched_setscheduler(thread, SCHED_OTHER, &parameters);
    }
}

CpuTimes TreeCpu::Entry::all() const noexcept {
    CpuTimes sum = own;
    sum += waited_before;
    sum += greater(waited, departed);
    return sum;
}

void TreeCpu::update(const ProcessTree& tree) noexcept {
    for (Entry& entry : entries_) {
        entry.seen = false;
    }
    const std::size_t known = entries_.size();
    for (const Process& process : tree.members()) {
        see(process, known);
    }
    for (std::size_t i = 0; i < known; ++i) {
        if (!entries_[i].seen) {
            bury(entries_[i], known);
        }
    }
    entries_.erase(std::remove_if(entries_.begin(), entries_.end(), [](const Entry& entry) { return !entry.seen; }),
                   entries_.end());
    std::sort(entries_.begin(), entries_.end(),
              [](const Entry& left, const Entry& right) { return left.pid < right.pid; });
    add_up();
}

void TreeCpu::take_rusage(pid_t root, const CpuTimes& used) noexcept {
    Entry* const entry = find(root, entries_.size());
    if (entry == nullptr) {
        orphaned_ = greater(orphaned_, used);
    } else {
        // Its own part is known to the nanosecond, so the rest is what it was charged for its children.
        const Nanoseconds of_children = used.total() - entry->own.total() - entry->waited_before.total();
        const Nanoseconds system = used.system - entry->own.system - entry->waited_before.system;
        if (of_children > entry->waited.total()) {
            const Nanoseconds of_system = std::clamp(system, Nanoseconds::zero(), of_children);
            entry->waited = {of_children - of_system, of_system};
        }
    }
    add_up();
}

// Among the first `known` entries, which are those of the last look and in order.
TreeCpu::Entry* TreeCpu::find(pid_t pid, std::size_t known) noexcept {
    const auto end = entries_.begin() + static_cast<std::ptrdiff_t>(known);
    const auto place = std::lower_bound(entries_.begin(), end, pid,
                                        [](const Entry& entry, pid_t wanted) { return entry.pid < wanted; });
    return place != end && place->pid == pid ? &*place : nullptr;
}

void TreeCpu::see(const Process& process, std::size_t known) noexcept {
    CpuTimes waited{process.stat.waited_utime, process.stat.waited_stime};
    Entry* entry = find(process.pid, known);
    if (entry == nullptr || entry->start_time != process.stat.start_time) {
        entry = &entries_.emplace_back();
        entry->pid = process.pid;
        entry->start_time = process.stat.start_time;
        entry->waited_before = waited;
    }
    entry->seen = true;
    entry->parent = process.stat.parent;
    // If it went between the look and this call, the clock answers nothing, or that of somebody else who got its
    // number.
    const Nanoseconds ticks = process.stat.utime + process.stat.stime;
    const Nanoseconds clock = std::max(process_cpu(process.pid).value_or(ticks), entry->own.total());
    entry->own = split(clock, process.stat.utime, process.stat.stime);
    waited -= entry->waited_before;
    entry->waited = greater(waited, entry->waited);
}

// What a process that went had used goes to its nearest ancestor that is still there, beside what that one was charged.
// An ancestor that went as well had not been charged for it at the last look, when this one was still there.
void TreeCpu::bury(const Entry& entry, std::size_t known) noexcept {
    Entry* ancestor = find(entry.parent, known);
    // The count is against a circle, which walks that are no snapshots could make up.
    for (std::size_t i = 0; i < known && ancestor != nullptr && !ancestor->seen; ++i) {
        ancestor = find(ancestor->parent, known);
    }
    const bool is_there = ancestor != nullptr && ancestor->seen;
    (is_there ? ancestor->departed : orphaned_) += entry.all();
}

void TreeCpu::add_up() noexcept {
    CpuTimes sum = orphaned_;
    for (const Entry& entry : entries_) {
        sum += entry.all();
    }
    const Nanoseconds total = std::max(sum.total(), used_.total());
    const Nanoseconds user = std::clamp(sum.user, used_.user, total - used_.system);
    used_ = {user, total - user};
}

}  // namespace proctor::detail
