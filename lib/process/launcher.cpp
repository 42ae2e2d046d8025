// SPDX-License-Identifier: MIT
#include "process/launcher.hpp"

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <utility>

#include "process/child_process.hpp"
#include "process/keeper_plan.hpp"

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

Error clone_into_error(int error_number) {
    const auto error = [&](std::string message, std::string cure) {
        return Error{Stage::cgroup, error_number, std::move(message), std::move(cure)};
    };
    switch (error_number) {
        case ENODEV:
        case ENOENT:  // 6.18
            return error("somebody has removed the job's cgroup", "keep others out of the reactor's group");
        case EBUSY:
        case EOPNOTSUPP:
            return error("no process can begin in the job's cgroup",
                         "let no controllers be enabled below a job's group, and let it be no threaded one");
        case ENOSYS:
        case EPERM:  // older profiles of container engines
            return error("clone3 is forbidden here",
                         "allow clone3 in the seccomp profile, or let the containment be keeper or tree");
        default: return clone_error(error_number);
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

// The host's end and the keeper's. A stream, although what passes is messages: each is written at once and read at
// once, and all of a kind have one length. With SOCK_SEQPACKET, an order to a keeper that has gone drops what it had
// told, on older kernels (5.10; net/unix/af_unix.c, unix_dgram_disconnected).
Expected<std::pair<UniqueFd, UniqueFd>> make_control() {
    int ends[2] = {-1, -1};
    const bool made = ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0;
    UniqueFd keepers(ends[1]);
    UniqueFd ours = moved_above_stdio(UniqueFd(ends[0]));
    if (!made || !ours) {
        return failure(Stage::spawn, errno, "no socket can be made to speak with the keeper",
                       "run fewer at once, or raise the limit of open files (ulimit -n)");
    }
    return std::pair(std::move(ours), std::move(keepers));
}

/// A file in memory is a file to RLIMIT_FSIZE: the write fails, and a signal would end the host.
class FileSizeSignalTaken {
public:
    FileSizeSignalTaken() noexcept {
        sigemptyset(&only_);
        sigaddset(&only_, SIGXFSZ);
        ::pthread_sigmask(SIG_BLOCK, &only_, &before_);
    }
    FileSizeSignalTaken(const FileSizeSignalTaken&) = delete;
    FileSizeSignalTaken& operator=(const FileSizeSignalTaken&) = delete;
    ~FileSizeSignalTaken() {
        constexpr timespec at_once{};
        if (failed_) {
            ::sigtimedwait(&only_, nullptr, &at_once);
        }
        ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }
    void note_failure() noexcept { failed_ = true; }

private:
    sigset_t only_{};
    sigset_t before_{};
    bool failed_ = false;
};

Expected<UniqueFd> make_plan_file(const std::vector<char>& plan) {
    UniqueFd file(::memfd_create("proctor-plan", MFD_CLOEXEC));
    if (!file) {
        return failure(Stage::spawn, errno, "no file in memory can be made for the keeper's plan",
                       "free memory, run fewer at once, or raise the limit of open files (ulimit -n)");
    }
    FileSizeSignalTaken signal;
    for (std::size_t at = 0; at < plan.size();) {
        const ssize_t written = ::write(file.get(), plan.data() + at, plan.size() - at);
        if (written < 0 && errno != EINTR) {
            const int error_number = errno;
            signal.note_failure();
            return failure(Stage::spawn, error_number, "the keeper's plan cannot be written",
                           error_number == EFBIG ? "raise the host's limit of file sizes (ulimit -f)" : "free memory");
        }
        at += written > 0 ? static_cast<std::size_t>(written) : 0;
    }
    return file;
}

// Each child copies and closes those too: 24 descriptors, about 1 µs.
constexpr unsigned low_count = 8;
// A copy of fewer descriptors costs no more than what is done to avoid it.
constexpr int small_table = 64;
// Of that many it costs more than to wait until an earlier child has come to its execve.
constexpr int large_table = 1024;

// New descriptors get the lowest number that is free, so those of the child tell how many there are.
int highest_source(const std::vector<DescriptorMove>& moves) noexcept {
    int highest = 0;
    for (const DescriptorMove& move : moves) {
        highest = std::max(highest, move.from);
    }
    return highest;
}

int above_targets(const std::vector<DescriptorMove>& moves) noexcept {
    int above = 0;
    for (const DescriptorMove& move : moves) {
        above = std::max(above, move.to + 1);
    }
    return above;
}

}  // namespace

Expected<void> check_clone_into() {
    // Who may call it is told that arguments of no length make no sense.
    if (::syscall(SYS_clone3, nullptr, 0) < 0 && (errno == ENOSYS || errno == EPERM)) {
        return tl::unexpected<Error>(clone_into_error(errno));
    }
    return {};
}

Error clone_error(int error_number) {
    const auto error = [&](std::string message, std::string cure) {
        return Error{Stage::spawn, error_number, std::move(message), std::move(cure)};
    };
    switch (error_number) {
        case EAGAIN:
            return error("no more processes can be made",
                         "run fewer at once, or raise the limit (ulimit -u, kernel.pid_max, pids.max of the cgroup)");
        case ENOMEM: return error("no memory for a new process", "free memory");
        case EMFILE:
        case ENFILE:
            return error("no descriptor is left for the new process",
                         "run fewer at once, or raise the limit of open files (ulimit -n)");
        default: return error("clone is refused", usual_cure(error_number));
    }
}

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

void Launcher::release(LaunchSlot& slot) {
    const bool occupied = slot.occupied();
    if (!occupied) {
        take_back_from(slot);
    }
    (occupied ? leaving_ : free_).push_back(&slot);
}

// A clone copies the host's table of descriptors, and the child closes all of it again: 0.1 ms for 1,000, 2 ms for
// 70,000 (lib/DESIGN.md). One that shares the table instead (CLONE_FILES) and unshares the lowest numbers of it alone
// (CLOSE_RANGE_UNSHARE, 5.9) costs the same whatever the host holds. What it is to get must be among the lowest then,
// and stay open there until it has gone.
void Launcher::keep_low_numbers() {
    if (open_files_soft_ < std::uint64_t{12} * small_table) {
        return;  // jobs need them more
    }
    placeholder_.reset(::open("/", O_PATH | O_CLOEXEC));
    for (unsigned i = 0; placeholder_ && i < low_count; ++i) {
        LowNumbers low;
        for (UniqueFd& number : low.numbers) {
            number.reset(::fcntl(placeholder_.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
            if (!number || number.get() >= small_table) {
                return;
            }
            above_low_ = std::max(above_low_, static_cast<unsigned>(number.get()) + 1);
        }
        low_.push_back(std::move(low));
    }
}

// Lent in turn, so that the next are those that were lent first.
Launcher::LowNumbers* Launcher::find_low_numbers(int highest) noexcept {
    if (low_.empty() || highest < small_table) {
        return nullptr;
    }
    LowNumbers& low = low_[next_low_];
    next_low_ = (next_low_ + 1) % low_.size();  // whatever becomes of it: one that is stuck is not waited for each time
    if (low.borrower != nullptr && highest >= large_table) {
        await_departure(*low.borrower);
    }
    if (low.borrower != nullptr && low.borrower->occupied()) {
        return nullptr;
    }
    if (low.borrower != nullptr) {
        take_back(low);
    }
    return &low;
}

void Launcher::await_departure(const LaunchSlot& slot) noexcept {
    constexpr timespec longest{0, 2'000'000};
    if (slot.occupied()) {
        // The kernel wakes this futex when it clears the word.
        ::syscall(SYS_futex, &slot.record_.alive, FUTEX_WAIT, 1, &longest, nullptr, 0);
    }
}

bool Launcher::lend(LaunchSlot& slot) noexcept {
    std::vector<DescriptorMove>& moves = slot.moves_;
    const bool fits = moves.size() <= LowNumbers::most;
    LowNumbers* const low = fits ? find_low_numbers(highest_source(moves)) : nullptr;
    if (low == nullptr) {
        return false;
    }
    low->borrower = &slot;
    for (std::size_t i = 0; i < moves.size(); ++i) {
        if (::dup3(moves[i].from, low->numbers[i].get(), O_CLOEXEC) < 0) {
            take_back(*low);
            return false;
        }
    }
    for (std::size_t i = 0; i < moves.size(); ++i) {
        moves[i].from = low->numbers[i].get();
    }
    slot.record_.unshare_from = above_low_;
    return true;
}

void Launcher::take_back(LowNumbers& low) noexcept {
    low.borrower = nullptr;
    for (const UniqueFd& number : low.numbers) {
        ::dup3(placeholder_.get(), number.get(), O_CLOEXEC);
    }
}

void Launcher::take_back_from(const LaunchSlot& slot) noexcept {
    for (LowNumbers& low : low_) {
        if (low.borrower == &slot) {
            take_back(low);
        }
    }
}

Expected<Child> Launcher::launch(const Job& job, LaunchSlot& slot, std::vector<DescriptorMove> moves,
                                 const Birth& birth) {
    slot.prepare(job, std::move(moves), open_files_soft_, open_files_hard_);
    if (birth.loses_affinity && job.affinity.empty()) {
        slot.keep_affinity();
    }
    Birth suspended = birth;
    suspended.suspend = always_suspend_ || birth.suspend || job.user;
    return clone(slot, suspended, job.user.has_value());
}

Expected<Child> Launcher::clone(LaunchSlot& slot, const Birth& birth, bool changes_user) {
    slot.record_.peers = &slots_.back()->record_;
    slot.record_.alive = 1;
    Child child;
    unsigned long flags = CLONE_VM | CLONE_PIDFD | CLONE_CHILD_CLEARTID | SIGCHLD | (birth.suspend ? CLONE_VFORK : 0UL);
    if (birth.may_keep_descriptors && lend(slot)) {
        flags |= CLONE_FILES;
    }
    int pidfd = -1;
    long pid = 0;
    {
        const DumpableKept dumpable(changes_user);
        const AllSignalsBlocked blocked;
        pid = birth.cgroup < 0 ? proctor_clone(flags, slot.stack_top(), &pidfd, &slot.record_.alive, &slot.record_)
                               : clone_into(birth.cgroup, flags, slot.stack_, LaunchSlot::stack_size, &pidfd,
                                            &slot.record_.alive, &slot.record_);
    }
    if (pid < 0 || (flags & CLONE_VFORK) != 0) {
        take_back_from(slot);
    }
    if (pid < 0) {
        slot.record_.alive = 0;
        const int error_number = static_cast<int>(-pid);
        return tl::unexpected<Error>(birth.cgroup < 0 ? clone_error(error_number) : clone_into_error(error_number));
    }
    child.pid = static_cast<pid_t>(pid);
    child.pidfd.reset(pidfd);
    return child;
}

Expected<KeptChild> Launcher::launch_in_keeper(const Job& job, LaunchSlot& slot, std::vector<DescriptorMove> moves,
                                               const KeeperProgram& keeper) {
    auto control = make_control();
    if (!control) {
        return tl::unexpected<Error>(std::move(control.error()));
    }
    slot.prepare(job, moves, open_files_soft_, open_files_hard_);
    KeeperPlan head;
    head.control = above_targets(moves);
    head.host_pid = ::getpid();
    head.without_children_files = keeper.without_children_files ? 1 : 0;
    head.record = slot.record_;
    flatten_plan(head, slot.strings_, plan_);
    auto file = make_plan_file(plan_);
    if (!file) {
        return tl::unexpected<Error>(std::move(file.error()));
    }
    const int plan = head.control + 1;
    moves.push_back({control->second.get(), head.control});
    moves.push_back({file->get(), plan});
    // The name is for ps(1). A long one would be refused by the kernel as the keeper's and not as the job's.
    slot.prepare_own({.path = keeper.path,
                      .words = {"proctor-keeper", "job", std::to_string(plan), program_of(job).substr(0, 64)},
                      .moves = std::move(moves)});
    auto child = clone(slot, {.suspend = always_suspend_}, false);
    if (!child) {
        return tl::unexpected<Error>(std::move(child.error()));
    }
    return KeptChild{std::move(*child), Keeper(std::move(control->first))};
}

Expected<Child> Launcher::launch_own(const OwnProgram& program) {
    auto slot = acquire();
    if (!slot) {
        return tl::unexpected<Error>(std::move(slot.error()));
    }
    (*slot)->prepare_own(program);
    auto child = clone(**slot, {.suspend = true}, false);
    std::optional<Error> error;
    if (child && (*slot)->record_.stamp_ns == 0) {
        error = (*slot)->own_error();
    }
    release(**slot);
    if (error) {
        (void)ChildProcess(child->pid, std::move(child->pidfd), false).reap();
        return tl::unexpected<Error>(std::move(*error));
    }
    return child;
}

void Launcher::wait_until_unoccupied(Nanoseconds longest) noexcept {
    const Instant deadline = now() + longest;
    for (const auto& slot : slots_) {
        while (slot->occupied()) {
            const Nanoseconds left = deadline - now();
            if (left <= Nanoseconds::zero()) {
                return leave_slots_behind();
            }
            const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
            const timespec timeout{.tv_sec = seconds.count(), .tv_nsec = (left - seconds).count()};
            // The kernel wakes this futex when it clears the word.
            ::syscall(SYS_futex, &slot->record_.alive, FUTEX_WAIT, 1, &timeout, nullptr, 0);
        }
    }
}

// Whoever does not die lives on one of them, and may look at all.
void Launcher::leave_slots_behind() noexcept {
    for (auto& slot : slots_) {
        (void)slot.release();
    }
    slots_.clear();
}

}  // namespace proctor::detail
