// SPDX-License-Identifier: MIT
//
// Process ids that come round again and again, in a namespace that has few of them: jobs are begun and killed there in
// thousands of cycles, and nobody else is ever signalled. Beside them live canaries, children of the test that take the
// ids which jobs had a moment ago, many of them leaders of groups and sessions. A canary remembers each signal that can
// be caught, and one that was killed is missed. More cycles: PROCTOR_ROUNDS.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <proctor/proctor.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using namespace proctor;

namespace {

// The kernel does not go below 301, and what was given once begins anew at 300.
constexpr int end_of_ids = 400;
constexpr std::size_t canary_count = 40;
constexpr unsigned jobs_at_once = 4;

// --- Canaries

volatile std::sig_atomic_t heard = 0;
void hear(int number) { heard = number; }

/// A child of the test that waits for the end of a pipe, and then exits with the signal that it has got, or 0.
class Canary {
public:
    explicit Canary(bool leads) {
        support::Pipe pipe;
        sigset_t all;
        sigset_t before;
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, &before);
        pid_ = fork();
        if (pid_ == 0) live(pipe.read_end.get(), leads, before);
        sigprocmask(SIG_SETMASK, &before, nullptr);
        if (pid_ < 0) throw std::runtime_error("no canary could be made");
        life_ = std::move(pipe.write_end);
    }

    [[nodiscard]] pid_t pid() const { return pid_; }

    /// Tells it to go. What is wrong, or nothing.
    std::string go() {
        life_.reset();
        int status = 0;
        while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        if (WIFSIGNALED(status))
            return "canary " + std::to_string(pid_) + " died of " + std::to_string(WTERMSIG(status));
        if (WEXITSTATUS(status) != 0) {
            return "canary " + std::to_string(pid_) + " got signal " + std::to_string(WEXITSTATUS(status));
        }
        return {};
    }

private:
    [[noreturn]] static void live(int life, bool leads, const sigset_t& mask) {
        dup2(life, 0);
        close_range(3, ~0U, 0);
        if (leads) setsid();
        for (int number = 1; number < NSIG; ++number) signal(number, hear);
        sigprocmask(SIG_SETMASK, &mask, nullptr);
        char byte = 0;
        while (read(0, &byte, 1) < 0) {
        }
        _exit(heard);
    }

    pid_t pid_ = -1;
    support::Fd life_{};
};

class Aviary {
public:
    /// The oldest goes where there are enough of them, and a new one takes the next id.
    void renew() {
        if (canaries_.size() == canary_count) let_go();
        canaries_.emplace_back(++made_ % 2 == 0);
        met_ += had_jobs_.erase(canaries_.back().pid());
    }
    void let_all_go() {
        while (!canaries_.empty()) let_go();
    }
    void note_job(pid_t pid) { had_jobs_.insert(pid); }

    [[nodiscard]] const std::string& fault() const { return fault_; }
    /// How many of them took an id that a job had had since the canary before it.
    [[nodiscard]] std::size_t met() const { return met_; }

private:
    void let_go() {
        const std::string wrong = canaries_.front().go();
        if (fault_.empty()) fault_ = wrong;
        canaries_.pop_front();
    }

    std::deque<Canary> canaries_{};
    std::set<pid_t> had_jobs_{};
    std::size_t made_ = 0;
    std::size_t met_ = 0;
    std::string fault_{};
};

// --- Jobs

enum class Signals : unsigned char {
    by_handle,  // what the library sends
    by_id,      // as somebody would who remembered the numbers: what canaries are there to show
};

class Cycles {
public:
    Cycles(Containment containment, Signals signals)
        : reactor_(support::make_reactor({.max_running = jobs_at_once, .containment = containment})),
          signals_(signals) {}

    std::string run(int count) {
        while (ended_ < count && fault_.empty() && canaries_.fault().empty()) {
            while (reactor_.size() < jobs_at_once && begun_ < count) begin();
            if (!reactor_.run_once()) return "the reactor cannot go on";
            act_on_some();
        }
        // Of those that are ended here nothing is judged.
        const std::string fault = fault_;
        reactor_.cancel_all();
        if (!reactor_.run()) return "the reactor cannot go on";
        canaries_.let_all_go();
        return fault.empty() ? canaries_.fault() : fault;
    }
    [[nodiscard]] std::size_t met() const { return canaries_.met(); }

private:
    struct Kind {
        const char* words;
        bool cancelled;
        std::optional<std::chrono::nanoseconds> time;
    };

    void begin() {
        static const Kind kinds[] = {
            {"exit 3", false, {}},
            {"fork [ ready then pause ] then exit 3", false, {}},
            {"raise 15", false, {}},
            {"pause", false, 1ms},
            {"fork [ fork [ ready then pause ] then ready then pause ] then pause", false, 3ms},
            {"pause", true, {}},
            {"fork [ new-group then ready then pause ] then pause", true, {}},
        };
        const Kind& kind = kinds[random_() % std::size(kinds)];
        Job job = support::script(kind.words);
        job.limits.time = kind.time;
        job.drain_grace = 1ms;
        job.output = Output::null();
        if (random_() % 4 == 0) job.kill_after = 5ms;
        const std::size_t place = handles_.size();
        handles_.push_back(reactor_.submit(std::move(job), [this, &kind](RunResult&& result) { end(kind, result); }));
        if (kind.cancelled) to_cancel_.push_back(place);
        ++begun_;
    }

    void end(const Kind& kind, const RunResult& result) {
        ++ended_;
        const bool right = kind.cancelled ? result.error && result.error->stage == Stage::cancelled
                           : kind.time    ? result.reason == Reason::time_limit
                                          : result.returncode == (kind.words[0] == 'r' ? -SIGTERM : 3);
        if (!right && fault_.empty()) fault_ = std::string(kind.words) + ": " + support::describe(result);
        // Its id was given back a moment ago.
        canaries_.renew();
    }

    // Cancels what is to be cancelled, and signals what has ended long ago: nobody may get that.
    void act_on_some() {
        for (const JobHandle& each : handles_) {
            if (const auto pid = each.pid()) {
                canaries_.note_job(*pid);
                if (signals_ == Signals::by_id) ids_.insert(*pid);
            }
        }
        while (!to_cancel_.empty() && handles_[to_cancel_.front()].state() == JobState::running) {
            handles_[to_cancel_.front()].cancel();
            to_cancel_.pop_front();
        }
        if (handles_.size() < 64) return;
        for (const JobHandle& each : handles_) {
            if (each.state() != JobState::ended) return;
            if (each.signal(SIGUSR1) && fault_.empty()) fault_ = "a job that had ended took a signal";
            each.cancel();
        }
        handles_.clear();
        for (const pid_t pid : ids_) kill(pid, SIGUSR1);
        ids_.clear();
    }

    Reactor reactor_;
    Signals signals_;
    std::set<pid_t> ids_{};
    Aviary canaries_{};
    std::mt19937_64 random_{1};
    std::vector<JobHandle> handles_{};
    std::deque<std::size_t> to_cancel_{};
    int begun_ = 0;
    int ended_ = 0;
    std::string fault_{};
};

// --- The namespace

// Before, a limit of them would be the whole machine's.
bool ids_can_be_few() { return support::kernel_is_at_least(6, 14); }

bool write_to(const char* path, const std::string& text) {
    const support::Fd file(open(path, O_WRONLY | O_CLOEXEC));
    return file.get() >= 0 && write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

/// Runs `host` as the second process of a namespace with few ids, the first of which reaps all orphans.
std::string in_small_namespace(const std::function<std::string()>& host) {
    return support::in_host([&]() -> std::string {
        if (unshare(CLONE_NEWNS | CLONE_NEWPID) != 0) return "SKIP: no namespace of process ids can be made";
        if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return "SKIP: nothing can be mounted";
        return support::in_host([&]() -> std::string {
            if (mount("proc", "/proc", "proc", 0, nullptr) != 0) return "SKIP: /proc cannot be mounted";
            if (!write_to("/proc/sys/kernel/pid_max", std::to_string(end_of_ids))) return "SKIP: pid_max is fixed";
            // Orphans come to this process and must give their ids back. The host's own status is lost with that, so it
            // has to say that it came to its end.
            signal(SIGCHLD, SIG_IGN);
            return support::in_host([&] {
                signal(SIGCHLD, SIG_DFL);
                const std::string fault = host();
                return fault.empty() ? "done" : fault;
            });
        });
    });
}

/// Processes of this namespace, less the first one and this one.
std::string others_left() {
    std::string names;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const std::string name = entry.path().filename();
        if (name.find_first_not_of("0123456789") != std::string::npos) continue;
        if (name == "1" || name == std::to_string(getpid())) continue;
        names += " " + name + " (parent " + support::status_field(name, "PPid") + ", group " +
                 support::status_field(name, "NSpgid") + ", session " + support::status_field(name, "NSsid") + ")";
    }
    return names;
}

std::string cycle_through(Containment containment, Signals signals, int count) {
    std::size_t met = 0;
    {
        Cycles cycle(containment, signals);
        const std::string fault = cycle.run(count);
        if (!fault.empty()) return fault + "; processes that are left:" + others_left();
        met = cycle.met();
    }
    const std::string left = others_left();
    if (!left.empty()) return "processes are left:" + left;
    std::printf("%s: %d cycles, %zu canaries took the id of a job\n",
                std::string(support::name_of(containment)).c_str(), count, met);
    std::fflush(stdout);
    HOST_CHECK(met > 0);
    return {};
}

// How that ended; nothing if it could not be tried.
std::string run_cycles(Containment containment, Signals signals) {
    const auto& here = support::containments();
    if (std::find(here.begin(), here.end(), containment) == here.end()) return {};
    if (!ids_can_be_few()) {
        support::skip("a limit of process ids for a namespace alone needs kernel 6.14");
        return {};
    }
    // Fewer, and the ids have not come round.
    const int cycles = std::max(support::rounds(300), 300);
    std::string outcome = in_small_namespace([&] { return cycle_through(containment, signals, cycles); });
    if (outcome.rfind("SKIP: ", 0) == 0) {
        support::skip(outcome.substr(6));
        return {};
    }
    return outcome;
}

void check_that_none_is_hit(Containment containment) {
    const std::string outcome = run_cycles(containment, Signals::by_handle);
    if (!outcome.empty()) CHECK(outcome == "done");
}

}  // namespace

TEST_CASE("ids that come round make nobody a victim, in a cgroup") { check_that_none_is_hit(Containment::cgroup); }

TEST_CASE("ids that come round make nobody a victim, in a keeper") { check_that_none_is_hit(Containment::keeper); }

TEST_CASE("ids that come round make nobody a victim, in a tree") { check_that_none_is_hit(Containment::tree); }

TEST_CASE("who remembers the ids of jobs makes victims here, which is seen") {
    const std::string outcome = run_cycles(Containment::tree, Signals::by_id);
    if (!outcome.empty()) CHECK_MESSAGE(outcome.rfind("canary ", 0) == 0, outcome);
}
