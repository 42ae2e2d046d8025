// SPDX-License-Identifier: MIT
//
// What is known of a tree, as usage and its sources.
#include <algorithm>

#include "containment/job_tree.hpp"

namespace proctor::detail {

namespace {

// The kernel counts pages in batches for each thread or processor, so two looks at the same peak differ: before 6.2 by
// up to 64 pages of each of three kinds for each thread.
constexpr Bytes peak_tolerance = Bytes{1} << 20;

Nanoseconds to_nanoseconds(const timeval& time) noexcept {
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

CpuTimes cpu_of(const rusage& usage) noexcept {
    return {to_nanoseconds(usage.ru_utime), to_nanoseconds(usage.ru_stime)};
}

}  // namespace

void JobTree::conclude(const ExitStatus& status, Bytes host_peak, Usage& usage, Sources& sources) noexcept {
    sources.containment = containment();
    sources.kill = kill_mechanism();
    conclude_cpu(status, usage, sources);
    conclude_memory(status, host_peak, usage, sources);
    if (most_processes_ > 0) {
        usage.proc = most_processes_;
        sources.proc = kind_ == Kind::cgroup ? "cgroup.procs" : "sampled";
    } else if (kind_ == Kind::cgroup && tools_.groups->controllers().pids && group_->pids_peak() == 1) {
        usage.proc = 1;
        sources.proc = "pids.peak";
    }
    usage.voluntary_switches = status.usage.ru_nvcsw;
    usage.involuntary_switches = status.usage.ru_nivcsw;
    usage.minor_faults = status.usage.ru_minflt;
    usage.major_faults = status.usage.ru_majflt;
    constexpr Bytes block_size = 512;  // getrusage(2) counts in these, whatever the file system's
    usage.read_bytes = status.usage.ru_inblock * block_size;
    usage.written_bytes = status.usage.ru_oublock * block_size;
}

void JobTree::conclude_cpu(const ExitStatus& status, Usage& usage, Sources& sources) noexcept {
    if (kind_ == Kind::cgroup) {
        if (const auto group = group_->cpu()) {
            usage.utime = group->user;
            usage.stime = group->system;
            sources.cpu = "cpu.stat";
            sources.cpu_complete = true;
            return;
        }
    }
    CpuTimes by_wait = cpu_of(status.usage);
    if (kept()) {
        // All that it has reaped, orphans too. Those whose parent ignores SIGCHLD are in nobody's rusage.
        by_wait = {Nanoseconds(report_.tree.user_ns), Nanoseconds(report_.tree.system_ns)};
    } else {
        cpu_.take_rusage(child_->pid(), by_wait);
    }
    const bool saw_more = looked_ && cpu_seen_ > by_wait.total();
    usage.utime = by_wait.user;
    usage.stime = by_wait.system;
    if (saw_more) {
        // The rest as the looks have split it, which is by ticks.
        usage.utime = std::max(by_wait.user, cpu_.used().user);
        usage.stime = std::max(cpu_seen_ - usage.utime, by_wait.system);
    }
    sources.cpu = saw_more ? "clock" : "rusage";
}

void JobTree::conclude_memory(const ExitStatus& status, Bytes host_peak, Usage& usage, Sources& sources) noexcept {
    if (looked_ && memory_->peak() > 0) {
        usage.mem_anon = memory_->peak();
    }
    if (kind_ == Kind::cgroup && tools_.groups->controllers().memory) {
        if (const auto peak = group_->memory_peak()) {
            usage.mem = *peak;
            sources.mem = "memory.peak";
            return;
        }
    }
    if (looked_ && memory_->peak() > 0) {
        usage.mem = memory_->peak();
        sources.mem = "sampled";
    }
    // A child's ru_maxrss begins at the host's own peak (exec carries it over), so only what exceeds it is the child's.
    // A keeper's is smaller than any program's.
    const Bytes peak = kept() ? report_.tree.peak_bytes : Bytes{status.usage.ru_maxrss} * 1024;
    if ((kept() || peak > host_peak + peak_tolerance) && peak > usage.mem.value_or(0)) {
        usage.mem = peak;
        sources.mem = "maxrss";
    }
}

void JobTree::conclude_adopted(Usage& usage, Sources& sources) noexcept {
    sources.containment = containment();
    sources.kill = kill_mechanism();
    find_processes();
    usage.utime = cpu_.used().user;
    usage.stime = cpu_.used().system;
    sources.cpu = "clock";
    if (memory_->peak() > 0) {
        usage.mem = usage.mem_anon = memory_->peak();
        sources.mem = "sampled";
    }
    if (most_processes_ > 0) {
        usage.proc = most_processes_;
        sources.proc = "sampled";
    }
}

void JobTree::snapshot(Usage& usage) noexcept {
    if (kind_ == Kind::cgroup) {
        if (const auto group = group_->cpu()) {
            usage.utime = group->user;
            usage.stime = group->system;
        }
    }
    const TreeLook now = look();
    if (kind_ != Kind::cgroup) {
        usage.utime = cpu_.used().user;
        usage.stime = cpu_.used().system;
    }
    usage.mem = now.memory ? std::optional(memory_->peak()) : std::nullopt;
    if (most_processes_ > 0) {
        usage.proc = most_processes_;
    }
}

}  // namespace proctor::detail
