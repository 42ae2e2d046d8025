// SPDX-License-Identifier: MIT
#include "reactor/run.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "capture/capture_state.hpp"
#include "reactor/reactor_core.hpp"

namespace proctor::detail {

namespace {

// How long a child may take to come to its execve before a job with a time limit is given up. Only a start that hangs
// (a dead network file system, a frozen group) lasts so long.
constexpr Nanoseconds longest_start = std::chrono::seconds(10);

// How often a start that lasts longer than the time limit is looked at: the longer it lasts, the less.
constexpr int start_polls = 8;
constexpr Nanoseconds shortest_start_poll = std::chrono::microseconds(50);
constexpr Nanoseconds longest_start_poll = std::chrono::milliseconds(10);

// Of limits that are seen at once the first of these counts.
int rank(Reason reason) noexcept {
    switch (reason) {
        case Reason::memory_limit: return 0;
        case Reason::process_limit: return 1;
        case Reason::output_limit: return 2;
        case Reason::cpu_limit: return 3;
        case Reason::time_limit: return 4;
        case Reason::block_limit: return 5;
    }
    return 5;
}

}  // namespace

Run::Run(ReactorCore& core) noexcept
    : core_(core),
      engine_(core.engine()),
      tree_(core.tools()),
      watch_(core.engine(), core.sampler(), tree_, *this),
      spool_(engine_, *this),
      input_(engine_, *this),
      output_(engine_, *this, STDOUT),
      error_output_(engine_, *this, STDERR),
      exact_outputs_(engine_, *this) {}

void Run::assign(Job job, Handlers handlers, std::uint64_t id) {
    job_ = std::move(job);
    handlers_ = std::move(handlers);
    id_ = id;
    state_ = JobState::queued;
    capture_ = Capture(job_.capture);
    recorder_.emplace(capture_.record());
    spool_.open(CaptureAccess::store(*recorder_));
}

void Run::refuse(Error error) {
    error_ = std::move(error);
    settle_soon();
    if (pair_) {
        pair_->on_refused(*this);
    }
}

void Run::refuse_launch(Error error) {
    state_ = JobState::starting;
    refuse(std::move(error));
}

void Run::on_exit(int result) noexcept {
    if (result < 0) {
        fail({Stage::wait, -result, "the child cannot be watched", usual_cure(-result)});
        child_.signal_group(SIGKILL);  // or the reaping would wait for a living child
    }
    main_died();
}

void Run::main_died() noexcept {
    exited_at_ = now();
    state_ = JobState::draining;
    engine_.cancel(wall_timer_);
    engine_.cancel(end_timer_);
    watch_.leave_blocking();  // the other limits hold for whoever is left
    engine_.cancel(task_watch_);
    collect_launch();
    judge_at_exit();
    input_.stop();
    if (pair_) {
        pair_->on_main_died(*this);
    }
    advance();
}

// The main process may have ended by itself before a timer came to look, or because the kernel kept a limit.
void Run::judge_at_exit() noexcept {
    if (reason_ || error_) {
        return;
    }
    const auto cross = [&](Reason reason, Instant at) {
        reason_ = reason;
        crossed_at_ = at;
    };
    if (tree_.memory_refused()) {
        cross(Reason::memory_limit, *exited_at_);
    } else if (job_.limits.tasks && tree_.task_refused()) {
        cross(Reason::process_limit, *exited_at_);
    } else if (job_.limits.cpu_time && tree_.cpu() > *job_.limits.cpu_time) {
        cross(Reason::cpu_limit, *exited_at_);
    } else if (zero_ && job_.limits.time && *exited_at_ - *zero_ > *job_.limits.time) {
        cross(Reason::time_limit, *zero_ + *job_.limits.time);
    }
}

void Run::on_wall_timer(int /*result*/) noexcept {
    if (!collect_launch()) {
        const Instant time = now();
        const Nanoseconds age = time - *cloned_at_;
        if (age < longest_start) {
            if (tree_.kept()) {
                (void)tree_.keeper().signal(SIGCONT);  // a job of the same user may have stopped it before it told
            }
            engine_.start(wall_timer_, time + std::clamp(age / start_polls, shortest_start_poll, longest_start_poll));
            return;
        }
        fail({Stage::start, ETIMEDOUT, "the new process did not come to run its program within 10 s",
              "look at the program's file system (a network mount that does not answer), and for a frozen group"});
        terminate();
        return;
    }
    if (!zero_) {
        return;  // it never ran; its death is on the way
    }
    if (const Instant deadline = *zero_ + *job_.limits.time; now() < deadline) {
        engine_.start(wall_timer_, deadline);
    } else {
        strike(Reason::time_limit, *zero_ + *job_.limits.time);
    }
}

void Run::on_limit(Reason reason, Instant crossed_at) noexcept {
    collect_launch();
    if (exited_at_) {
        if (!in_haste()) {
            limit_in_grace_ = reason;
        }
        kill_tree();
        return advance();
    }
    if (is_being_asked() && !(reason_ && reason_pass_ == core_.pass_number())) {
        // What endangers the host ends the time to clean up.
        if (reason == Reason::memory_limit || reason == Reason::process_limit) {
            (void)kill_main();
        }
        return;
    }
    if (reason == Reason::block_limit && !reason_ && !error_) {
        blocked_in_ = tree_.describe_waits();  // before the kill: afterwards nobody waits for anything
    }
    strike(reason, crossed_at);
}

std::optional<Instant> Run::began() noexcept {
    collect_launch();
    return zero_;
}

void Run::on_task_refused(int result) noexcept {
    if (result < 0 || exited_at_) {
        return advance();
    }
    collect_launch();
    if (tree_.task_refused()) {
        strike(Reason::process_limit, now());
    } else {
        engine_.start(task_watch_);
    }
}

void Run::strike(Reason reason, Instant crossed_at) noexcept {
    if (error_) {
        return;
    }
    if (exited_at_) {
        // What was written before the end counts, or it would be a matter of luck how much had been read by then.
        if (reason == Reason::output_limit && !reason_) {
            reason_ = reason;
            crossed_at_ = *exited_at_;
        }
        return;
    }
    if (reason_) {
        // Of several in one pass the first of the enumeration of ranks wins, in whichever order they were come upon.
        if (reason_pass_ == core_.pass_number() && rank(reason) < rank(*reason_)) {
            reason_ = reason;
            crossed_at_ = std::min(*crossed_at_, crossed_at);  // the signal has been sent by now
        }
        return;
    }
    reason_ = prefer(reason);
    reason_pass_ = core_.pass_number();
    crossed_at_ = crossed_at;
    terminate();
}

// What the kernel has kept already it tells late, so it is asked before another limit is believed.
Reason Run::prefer(Reason reason) noexcept {
    if (tree_.memory_refused()) {
        return Reason::memory_limit;
    }
    return rank(Reason::process_limit) < rank(reason) && job_.limits.tasks && tree_.task_refused()
               ? Reason::process_limit
               : reason;
}

void Run::terminate() noexcept {
    if (!launched() || exited_at_ || signalled_at_) {
        return;
    }
    if (job_.kill_after) {
        signalled_at_ = tree_.signal(SIGTERM);
        engine_.start(end_timer_, *signalled_at_ + *job_.kill_after);
    } else {
        signalled_at_ = kill_main();
    }
}

// Also what does not even die is told of.
Instant Run::kill_main() noexcept {
    watch_.stop();
    const Instant signalled = tree_.kill(true);
    killed_ = true;
    engine_.start(end_timer_, now() + longest_death);
    return signalled;
}

void Run::fail(Error error) noexcept {
    if (!error_) {
        error_ = std::move(error);
    }
}

void Run::cancel() { cancel({Stage::cancelled, 0, "the job was cancelled", ""}); }

void Run::cancel(Error why) {
    if (state_ == JobState::queued) {
        if (awaits_launch()) {
            refuse(std::move(why));
        }
    } else if (exited_at_) {
        // Its verdict stands; only the waiting for output ends.
        kill_tree();
        finish_up(true);
        advance();
    } else if (!reason_ && launched()) {
        fail(std::move(why));
        terminate();
    }
}

void Run::abandon() {
    handlers_ = {};
    job_.kill_after.reset();
    job_.drain_grace = Nanoseconds::zero();
    engine_.cancel(end_timer_);
    if (signalled_at_ && !exited_at_) {
        (void)kill_main();  // it was being asked by SIGTERM
    }
    cancel();
}

void Run::clear() noexcept {
    if (pair_) {
        pair_->leave(*this);
        pair_.reset();
    }
    words_.reset();
    if (slot_ != nullptr) {
        core_.launcher().release(*std::exchange(slot_, nullptr));  // of a start that never came to its end
    }
    engine_.cancel(wall_timer_);
    engine_.cancel(end_timer_);
    engine_.cancel(gone_timer_);
    watch_.stop();
    state_ = JobState::ended;
    job_ = {};
    handlers_ = {};
    tree_.clear();
    child_ = {};
    gone_wait_ = {};
    keeper_gone_ = false;
    blocked_in_.clear();
    output_limit_.reset();
    cloned_at_.reset();
    zero_.reset();
    exited_at_.reset();
    exit_.reset();
    gone_at_.reset();
    signalled_at_.reset();
    killed_ = false;
    undying_ = false;
    crossed_at_.reset();
    reason_.reset();
    in_grace_ = false;
    limit_in_grace_.reset();
    error_.reset();
    tree_killed_ = false;
    input_.reset();
    output_.reset();
    error_output_.reset();
    exact_outputs_.reset();
    recorder_.reset();
    capture_ = {};
    spool_.close();
    held_ = false;
    input_paused_ = false;
}

void Run::forsake(bool kill) noexcept {
    handlers_ = {};
    if (launched() && kill) {
        tree_.kill(true);
        (void)(tree_.kept() ? tree_.keeper() : child_).reap();
    }
    input_.forsake();
    output_.forsake();
    error_output_.forsake();
    spool_.forsake();
    if (pair_) {
        pair_->forsake();
    }
    exact_outputs_.forsake();
    exit_watch_.forsake();
    task_watch_.forsake();
    keeper_news_.forsake();
    keeper_exit_.forsake();
    watch_.stop();
    engine_.cancel(gone_timer_);
    engine_.cancel(wall_timer_);
    engine_.cancel(end_timer_);
    engine_.cancel(settle_timer_);
}

int Run::signal(int number) const noexcept { return child_ && !exited_at_ ? child_.signal(number) : -ESRCH; }

JobState Run::state() const noexcept {
    const bool has_left = slot_ != nullptr && !slot_->occupied();
    return state_ == JobState::starting && has_left ? JobState::running : state_;
}

// Before the zero is known, or for input that was written before it, the time is 0.
Nanoseconds Run::since_zero(Instant time) const noexcept {
    return zero_ ? std::max(time - *zero_, Nanoseconds::zero()) : Nanoseconds::zero();
}

}  // namespace proctor::detail
