// SPDX-License-Identifier: MIT
//
// The keeper of one job. The host runs it in place of the job's program:
//
//     proctor-keeper job PLAN NAME      PLAN: the descriptor that holds the plan; NAME: for people who read ps(1)
//     proctor-keeper guard HOST         see guard.cpp
//
// It is the parent of the job's process and the reaper of all that descends from it (PR_SET_CHILD_SUBREAPER): whoever
// loses its parent, by a double fork or else, comes to it. So nothing escapes, and "no child left" means that the job's
// whole tree is gone. See keeper_protocol.hpp for what it tells and is told.
//
// One thread, no libc, no allocation. All signals are blocked from the beginning, so a ^C or a hang-up of the terminal
// does not reach it. It is not dumpable: a job of the same user can kill it, but not trace it and speak in its name.
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "control.hpp"
#include "descendants.hpp"
#include "guard.hpp"
#include "process/keeper_protocol.hpp"
#include "system.hpp"

namespace proctor::keeper {

namespace {

using detail::ChildStep;
using detail::KeeperCommand;
using detail::KeeperOrder;
using detail::KeeperPlan;
using detail::KeeperReport;
using detail::KeeperUsage;
using detail::LaunchRecord;

constexpr int misuse = 2;

// In use while the job's process is between clone and exec in this memory.
alignas(16) constinit unsigned char child_stack[std::size_t{16} * 1024]{};
constinit LaunchRecord child_record{};

std::int64_t nanoseconds(const timeval& time) {
    return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_usec * std::int64_t{1000};
}

void add(KeeperUsage& sum, const rusage& more) {
    sum.user_ns += nanoseconds(more.ru_utime);
    sum.system_ns += nanoseconds(more.ru_stime);
    const std::int64_t peak = more.ru_maxrss * std::int64_t{1024};
    sum.peak_bytes = peak > sum.peak_bytes ? peak : sum.peak_bytes;
    sum.minor_faults += more.ru_minflt;
    sum.major_faults += more.ru_majflt;
    sum.blocks_in += more.ru_inblock;
    sum.blocks_out += more.ru_oublock;
    sum.voluntary_switches += more.ru_nvcsw;
    sum.involuntary_switches += more.ru_nivcsw;
}

class JobKeeper {
public:
    JobKeeper(const KeeperPlan& plan, std::size_t plan_size)
        : plan_(plan),
          plan_size_(plan_size),
          host_pid_(plan.host_pid),
          control_(plan.control),
          descendants_(plan.without_children_files != 0) {}

    [[noreturn]] void run();

private:
    void start_process();
    void close_what_is_the_jobs() const;
    void await_departure();
    void tell_start();
    void free_plan() const;

    void look_around();
    void take_commands();
    void reap();
    void account(int pid, int status, const rusage& usage);
    void pass_on_parents_death();
    void tell();

    [[nodiscard]] bool main_lives() const { return report_.pid > 0 && !main_reaped_; }

    const KeeperPlan& plan_;  // gone after free_plan()
    std::size_t plan_size_;
    int host_pid_;
    Control control_;
    Descendants descendants_;
    KeeperReport report_{};
    int pidfd_ = -1;
    int signals_ = -1;
    int parents_death_signal_ = 0;
    bool main_reaped_ = false;
    bool empty_ = false;
    bool killing_ = false;
    bool cut_ = false;
};

void JobKeeper::run() {
    system::call(__NR_prctl, PR_SET_CHILD_SUBREAPER, 1);
    system::call(__NR_prctl, PR_SET_DUMPABLE, 0);
    system::prepare_signals();
    start_process();
    close_what_is_the_jobs();
    signals_ = system::open_signals();
    await_departure();
    free_plan();
    tell_start();
    while (!empty_) {
        look_around();
        tell();
    }
    system::exit(0);
}

// The very code by which the host starts a process without a keeper. Without CLONE_VFORK, so that meanwhile we close
// what is the job's, and hear of an order to give up a start that hangs.
void JobKeeper::start_process() {
    child_record = plan_.record;
    child_record.host_pid = system::process_id();
    // Whoever kills us, the job among them, does not free it by that.
    parents_death_signal_ = child_record.parent_death_signal;
    child_record.parent_death_signal = parents_death_signal_ != 0 ? parents_death_signal_ : SIGKILL;
    child_record.alive = 1;
    const long pid =
        detail::proctor_clone(CLONE_VM | CLONE_PIDFD | CLONE_CHILD_CLEARTID | SIGCHLD, child_stack + sizeof child_stack,
                              &pidfd_, &child_record.alive, &child_record);
    if (pid < 0) {
        report_.failed_step = ChildStep::clone;
        report_.error_number = static_cast<std::int32_t>(-pid);
        report_.news = detail::keeper_failed | detail::keeper_empty;
        tell();
        system::exit(0);
    }
    report_.pid = static_cast<std::int32_t>(pid);
}

// Whoever reads from the job must see its end of file although we live, and a file that it had open for writing must
// be free to be run.
void JobKeeper::close_what_is_the_jobs() const {
    const auto control = static_cast<unsigned>(control_.fd());
    const auto pidfd = static_cast<unsigned>(pidfd_);
    const unsigned low = control < pidfd ? control : pidfd;
    const unsigned high = control < pidfd ? pidfd : control;
    if (low > 0) {
        system::close_range(0, low - 1);
    }
    if (low + 1 < high) {
        system::close_range(low + 1, high - 1);
    }
    system::close_range(high + 1, ~0U);
}

// Until the job's process is out of this memory, by exec or by death.
void JobKeeper::await_departure() {
    const timespec while_deaf{0, 20'000'000};
    while (child_record.alive != 0) {
        const long status =
            system::call(__NR_futex, system::address(const_cast<const std::int32_t*>(&child_record.alive)), FUTEX_WAIT,
                         1, system::address(&while_deaf));
        if (status == -ETIMEDOUT) {
            take_commands();
            if (killing_) {
                system::signal(report_.pid, SIGKILL);
            }
        }
    }
}

void JobKeeper::tell_start() {
    report_.stamp_ns = child_record.stamp_ns;
    if (child_record.failed_step == ChildStep::none && report_.stamp_ns != 0) {
        report_.news |= detail::keeper_started;
    } else {
        report_.failed_step = child_record.failed_step;
        report_.error_number = child_record.error_number;
        report_.program_found = child_record.program_found;
        // It never ran, so it has no child, and it is dead or about to be.
        int status = 0;
        system::call(__NR_wait4, report_.pid, system::address(&status), __WALL, 0);
        report_.news |= detail::keeper_failed | detail::keeper_empty;
        empty_ = true;
    }
    tell();
    system::close(pidfd_);
    pidfd_ = -1;
}

// A small one costs less to keep than to unmap.
void JobKeeper::free_plan() const {
    if (plan_size_ > std::size_t{64} * 1024) {
        system::call(__NR_munmap, system::address(&plan_), static_cast<long>(plan_size_));
    }
}

void JobKeeper::look_around() {
    // A pass may miss who is just being handed over to us from a parent that dies; so while there is killing to do we
    // look again without being called.
    constexpr long killing_pause_ms = 10;
    long milliseconds = -1;
    if (killing_) {
        if (main_lives()) {
            // The group in one call, which no fork escapes. Its number is ours until the leader is reaped.
            system::signal(-report_.pid, SIGKILL);
        }
        milliseconds = descendants_.signal_all(SIGKILL) > 0 ? killing_pause_ms : 0;
    }
    pollfd entries[2] = {{signals_, POLLIN, 0}, {cut_ ? -1 : control_.fd(), POLLIN, 0}};
    system::poll(entries, 2, milliseconds);
    if (entries[0].revents != 0 && system::take_signals(signals_)) {
        pass_on_parents_death();
    }
    if (entries[1].revents != 0) {
        take_commands();
    }
    reap();
}

void JobKeeper::take_commands() {
    KeeperCommand command{};
    for (;;) {
        switch (control_.receive(command)) {
            case Control::Received::nothing: return;
            case Control::Received::cut:
                cut_ = true;
                killing_ = true;
                return;
            case Control::Received::command: break;
        }
        if (command.order == KeeperOrder::kill) {
            killing_ = true;
        } else if (command.order == KeeperOrder::signal) {
            descendants_.signal_all(command.number);
        }
    }
}

void JobKeeper::pass_on_parents_death() {
    if (host_pid_ != system::parent_id()) {
        killing_ = true;
    } else if (parents_death_signal_ != 0 && main_lives()) {
        system::signal(report_.pid, parents_death_signal_);
    }
}

void JobKeeper::reap() {
    for (;;) {
        int status = 0;
        rusage usage{};
        const long pid =
            system::call(__NR_wait4, -1, system::address(&status), WNOHANG | __WALL, system::address(&usage));
        if (pid == -ECHILD) {
            empty_ = true;
            report_.news |= detail::keeper_empty;
        }
        if (pid <= 0) {
            return;
        }
        account(static_cast<int>(pid), status, usage);
    }
}

void JobKeeper::account(int pid, int status, const rusage& usage) {
    add(report_.tree, usage);
    ++report_.reaped;
    if (pid == report_.pid && !main_reaped_) {
        main_reaped_ = true;
        report_.main_ended_ns = system::now_ns();
        report_.wait_status = status;
        add(report_.main, usage);
        report_.news |= detail::keeper_main_ended;
    }
}

void JobKeeper::tell() {
    if (report_.news == 0) {
        return;
    }
    if (!cut_ && !control_.send(report_, (report_.news & detail::keeper_started) != 0 ? pidfd_ : -1)) {
        cut_ = true;
        killing_ = true;
    }
    report_.news = 0;
}

int number_of(const char* text) {
    int number = 0;
    for (; *text >= '0' && *text <= '9'; ++text) {
        number = number * 10 + (*text - '0');
    }
    return number;
}

bool equal(const char* left, const char* right) {
    while (*left != '\0' && *left == *right) {
        ++left;
        ++right;
    }
    return *left == *right;
}

[[noreturn]] void explain() {
    constexpr char text[] = "proctor-keeper: a part of libproctor, which starts it; of no use by itself\n";
    system::write(2, text, sizeof text - 1);
    system::exit(misuse);
}

// Host and keeper that come from different releases agree on the first words of the plan alone.
[[noreturn]] void refuse(int control) {
    KeeperReport report{};
    report.news = detail::keeper_refused;
    Control(control).send(report, -1);
    system::exit(misuse);
}

[[noreturn]] void keep_job(int plan_fd) {
    const long size = system::call(__NR_lseek, plan_fd, 0, SEEK_END);
    if (size < static_cast<long>(sizeof(KeeperPlan))) {
        explain();
    }
    const long at = system::call(__NR_mmap, static_cast<long>(detail::keeper_plan_address), size, PROT_READ,
                                 MAP_PRIVATE | MAP_FIXED_NOREPLACE, plan_fd, 0);
    if (at != static_cast<long>(detail::keeper_plan_address)) {
        explain();
    }
    const auto& plan = *reinterpret_cast<const KeeperPlan*>(detail::keeper_plan_address);
    if (plan.magic != detail::keeper_plan_magic) {
        explain();
    }
    if (plan.protocol != detail::keeper_protocol || plan.record_size != sizeof(LaunchRecord)) {
        refuse(plan.control);
    }
    JobKeeper(plan, static_cast<std::size_t>(size)).run();
}

}  // namespace

}  // namespace proctor::keeper

extern "C" [[noreturn]] void proctor_keeper_main(const long* stack) {
    namespace keeper = proctor::keeper;
    const long count = stack[0];
    const auto* const words = reinterpret_cast<const char* const*>(stack + 1);
    if (count >= 3 && keeper::equal(words[1], "job")) {
        keeper::keep_job(keeper::number_of(words[2]));
    }
    if (count >= 3 && keeper::equal(words[1], "guard")) {
        keeper::guard(keeper::number_of(words[2]));
    }
    keeper::explain();
}
