// SPDX-License-Identifier: MIT
#include "process/launcher.hpp"

#include <linux/futex.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace proctor::detail {

namespace {

/// Blocks every signal around clone, so that none is handled by the child in the host's memory. By the raw call:
/// pthread_sigmask leaves 32 and 33 open, which glibc keeps for itself.
class AllSignalsBlocked {
public:
    AllSignalsBlocked() noexcept {
        constexpr unsigned long all = ~0UL;
        ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before_, sizeof before_);
    }
    AllSignalsBlocked(const AllSignalsBlocked&) = delete;
    AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;
    ~AllSignalsBlocked() { ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before_, nullptr, sizeof before_); }

private:
    unsigned long before_ = 0;
};

/// A child that changes its user while it shares our memory makes us non-dumpable (its /proc files change owner, ptrace
/// is refused). Put back after the child is gone from here.
class DumpableKept {
public:
    explicit DumpableKept(bool needed) noexcept : before_(needed ? ::prctl(PR_GET_DUMPABLE) : 0) {}
    DumpableKept(const DumpableKept&) = delete;
    DumpableKept& operator=(const DumpableKept&) = delete;
    ~DumpableKept() {
        if (before_ == 1) {
            ::prctl(PR_SET_DUMPABLE, 1);
        }
    }

private:
    int before_;
};

tl::unexpected<Error> clone_failure(int error_number) {
    switch (error_number) {
        case EAGAIN:
            return failure(Stage::spawn, error_number, "no more processes can be made",
                           "run fewer at once, or raise the limit (ulimit -u, kernel.pid_max, pids.max of the cgroup)");
        case ENOMEM: return failure(Stage::spawn, error_number, "no memory for a new process", "free memory");
        case EMFILE:
        case ENFILE:
            return failure(Stage::spawn, error_number, "no descriptor is left for the new process",
                           "run fewer at once, or raise the limit of open files (ulimit -n)");
        case ENODEV:
        case ENOENT:  // 6.18
            return failure(Stage::cgroup, error_number, "somebody has removed the job's cgroup",
                           "keep others out of the reactor's group");
        case EBUSY:
        case EOPNOTSUPP:
            return failure(Stage::cgroup, error_number, "no process can begin in the job's cgroup",
                           "let no controllers be enabled below a job's group, and let it be no threaded one");
        case ENOSYS:
            return failure(Stage::cgroup, error_number, "clone3 is forbidden here",
                           "allow clone3 in the seccomp profile, or let the containment be keeper or tree");
        default: return failure(Stage::spawn, error_number, "clone is refused");
    }
}

// clone3(2) alone can put a child into a cgroup; plain clone is known to every seccomp profile.
long clone_into(int cgroup, unsigned long flags, void* stack, std::size_t stack_size, int* pidfd,
                volatile std::int32_t* alive, LaunchRecord* record) noexcept {
    clone_args arguments{};
    arguments.flags = (flags & ~static_cast<unsigned long>(CSIGNAL)) | CLONE_INTO_CGROUP;
    arguments.exit_signal = SIGCHLD;
    arguments.pidfd = reinterpret_cast<std::uintptr_t>(pidfd);
    arguments.child_tid = reinterpret_cast<std::uintptr_t>(alive);
    arguments.stack = reinterpret_cast<std::uintptr_t>(stack);
    arguments.stack_size = stack_size;
    arguments.cgroup = static_cast<std::uint64_t>(cgroup);
    return proctor_clone3(&arguments, sizeof arguments, record);
}

}  // namespace

Bytes host_peak() noexcept {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return Bytes{usage.ru_maxrss} * 1024;
}

Launcher::Launcher(bool always_suspend) noexcept : always_suspend_(always_suspend) {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        open_files_soft_ = limit.rlim_cur;
        open_files_hard_ = limit.rlim_max;
    }
}

Expected<LaunchSlot*> Launcher::acquire() {
    if (free_.empty()) {
        still_leaving_.clear();
        for (LaunchSlot* const slot : leaving_) {
            (slot->occupied() ? still_leaving_ : free_).push_back(slot);
        }
        leaving_.swap(still_leaving_);
    }
    if (free_.empty()) {
        auto made = LaunchSlot::create();
        if (!made) {
            return tl::unexpected<Error>(std::move(made.error()));
        }
        // New ones are linked in front, so that a child that walks the list meets no half-made one.
        (*made)->record_.next_peer = slots_.empty() ? nullptr : &slots_.back()->record_;
        slots_.push_back(std::move(*made));
        free_.push_back(slots_.back().get());
    }
    LaunchSlot* const slot = free_.back();
    free_.pop_back();
    return slot;
}

void Launcher::release(LaunchSlot& slot) { (slot.occupied() ? leaving_ : free_).push_back(&slot); }

Expected<Child> Launcher::launch(const Job& job, LaunchSlot& slot, std::vector<DescriptorMove> moves,
                                 const Birth& birth) {
    slot.record_.peers = &slots_.back()->record_;
    slot.prepare(job, std::move(moves), open_files_soft_, open_files_hard_);
    slot.record_.alive = 1;
    Child child;
    unsigned long flags = CLONE_VM | CLONE_PIDFD | CLONE_CHILD_CLEARTID | SIGCHLD;
    if (always_suspend_ || birth.suspend || job.user) {
        flags |= CLONE_VFORK;
    }
    int pidfd = -1;
    long pid = 0;
    {
        const DumpableKept dumpable(job.user.has_value());
        const AllSignalsBlocked blocked;
        pid = birth.cgroup < 0 ? proctor_clone(flags, slot.stack_top(), &pidfd, &slot.record_.alive, &slot.record_)
                               : clone_into(birth.cgroup, flags, slot.stack_, LaunchSlot::stack_size, &pidfd,
                                            &slot.record_.alive, &slot.record_);
    }
    if (pid < 0) {
        slot.record_.alive = 0;
        return clone_failure(static_cast<int>(-pid));
    }
    child.pid = static_cast<pid_t>(pid);
    child.pidfd.reset(pidfd);
    return child;
}

void Launcher::wait_until_unoccupied() noexcept {
    for (const auto& slot : slots_) {
        while (slot->occupied()) {
            // The kernel wakes this futex when it clears the word.
            ::syscall(SYS_futex, &slot->record_.alive, FUTEX_WAIT, 1, nullptr, nullptr, 0);
        }
    }
}

}  // namespace proctor::detail
