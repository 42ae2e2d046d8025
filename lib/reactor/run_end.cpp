// SPDX-License-Identifier: MIT
//
// How a run ends: from the death of its main process to its result.
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "reactor/reactor_core.hpp"
#include "reactor/run.hpp"

namespace proctor::detail {

namespace {

constexpr Nanoseconds shortest_gone_wait = std::chrono::microseconds(50);
constexpr Nanoseconds longest_gone_wait = std::chrono::milliseconds(10);

}  // namespace

bool Run::in_haste() const noexcept { return reason_ || error_; }

bool Run::outputs_ended() const noexcept { return output_.ended() && error_output_.ended() && exact_outputs_.ended(); }

void Run::advance() noexcept {
    if (!exited_at_) {
        return;
    }
    if (!tree_killed_) {
        wait_for_the_rest();
    }
    const bool idle = input_.idle() && !task_watch_.in_flight() && !exit_watch_.in_flight() &&
                      !keeper_news_.in_flight() && !keeper_exit_.in_flight();
    const bool spooled = outputs_ended() && idle && spool_.finish() && (!pair_ || pair_->spooled(*this));
    if (tree_killed_ && outputs_ended() && idle && tree_is_gone()) {
        gone_at_ = gone_at_.value_or(now());
        if (spooled) {
            look_at_spool();
            settle_soon();
        }
    }
}

// By SIGTERM, and kill_after is not over.
bool Run::is_being_asked() const noexcept { return job_.kill_after && signalled_at_ && !killed_; }

void Run::wait_for_the_rest() noexcept {
    if (is_being_asked()) {
        wait_for_the_asked();
    } else if (outputs_ended() || (in_haste() && (killed_ || !job_.kill_after))) {
        kill_tree();
    } else if (!end_timer_.armed()) {
        in_grace_ = true;
        engine_.start(end_timer_, *exited_at_ + job_.drain_grace);
    }
}

// The main process, often a shell, may be the first to answer the SIGTERM that all have got.
void Run::wait_for_the_asked() noexcept {
    if (end_timer_.armed() && !keeper_gone_) {
        return;
    }
    const Instant deadline = *signalled_at_ + *job_.kill_after;
    if (keeper_gone_ || now() >= deadline || !tree_.lingers()) {
        return kill_tree();
    }
    gone_wait_ = std::clamp(gone_wait_ * 2, shortest_gone_wait, longest_gone_wait);
    engine_.start(end_timer_, std::min(deadline, now() + gone_wait_));
}

// What the kernel kept in the grace, or no look has come upon.
void Run::judge_grace() noexcept {
    if (in_haste() || limit_in_grace_) {
        return;
    }
    if (tree_.memory_refused()) {
        limit_in_grace_ = Reason::memory_limit;
    } else if (job_.limits.tasks && tree_.task_refused()) {
        limit_in_grace_ = Reason::process_limit;
    } else if (job_.limits.cpu_time && tree_.cpu() > *job_.limits.cpu_time) {
        limit_in_grace_ = Reason::cpu_limit;
    }
}

// What has been killed dies a little later, and the kernel's event for it comes up to 10 ms late; so it is asked again
// and again, soon at first.
bool Run::tree_is_gone() noexcept {
    if (tree_.kept()) {
        return keeper_gone_;  // which comes by itself
    }
    if (gone_timer_.armed()) {
        return false;
    }
    if (undying_ || !tree_.populated().value_or(false)) {
        return true;
    }
    if (now() - *exited_at_ > longest_death) {
        fail_to_kill();
        return true;
    }
    gone_wait_ = std::clamp(gone_wait_ * 2, shortest_gone_wait, longest_gone_wait);
    engine_.start(gone_timer_, now() + gone_wait_);
    return false;
}

void Run::fail_to_kill() noexcept {
    fail({Stage::wait, EBUSY, "processes of the job were killed and do not die",
          "look for processes in state D (ps): a device or network mount that does not answer"});
}

void Run::on_gone_timer(int /*result*/) noexcept {
    if (tree_.kept() && !keeper_gone_) {
        fail_to_kill();
        (void)tree_.keeper().signal(SIGKILL);  // of which its watch will tell
    } else if (tree_.populated().value_or(false)) {
        tree_.kill(false);  // a process whose first thread has ended may have forked between the kernel's kill and ours
    }
    advance();
}

void Run::kill_tree() noexcept {
    if (tree_killed_) {
        return;
    }
    tree_killed_ = true;
    watch_.stop();
    if (in_grace_) {
        judge_grace();
    }
    gone_wait_ = {};
    if (tree_.populated().value_or(true)) {
        tree_.kill(false);
    }
    if (tree_.kept()) {
        engine_.start(gone_timer_, now() + longest_death);
    }
    engine_.cancel(end_timer_);
    if (!outputs_ended()) {
        // Those that were killed let go of the pipes in a moment; somebody who escaped does not.
        engine_.start(end_timer_, now() + job_.drain_grace);
    }
}

void Run::on_end_timer(int /*result*/) noexcept {
    if (!exited_at_ && !killed_) {
        (void)kill_main();  // kill_after is over
    } else if (!exited_at_) {
        fail_to_kill();
        undying_ = true;
        if (tree_.kept()) {
            (void)tree_.keeper().signal(SIGKILL);  // it would wait for it
        }
        engine_.cancel(exit_watch_);  // which then ends it
    } else if (!tree_killed_ && is_being_asked()) {
        advance();
    } else if (!tree_killed_) {
        kill_tree();
    } else {
        finish_up(in_haste());
    }
}

void Run::finish_up(bool impatient) noexcept {
    output_.finish_up(impatient);
    error_output_.finish_up(impatient);
    exact_outputs_.finish_up(impatient);
}

void Run::settle_soon() noexcept {
    if (!settle_timer_.armed()) {
        engine_.cancel(end_timer_);
        engine_.start(settle_timer_, now());
    }
}

void Run::on_settle(int /*result*/) noexcept {
    if (launched() && !take_exit()) {
        return engine_.start(settle_timer_, now() + longest_gone_wait);
    }
    const bool was_running = state_ != JobState::queued;
    RunResult result = make_result();
    if (undying_ && !exit_) {
        core_.reap_later(std::move(child_));
    }
    auto on_end = std::move(handlers_.on_end);
    const bool silent = core_.retired();
    clear();
    core_.recycle(*this, was_running);
    // The last touch: *this may already be another job.
    if (on_end && !silent) {
        on_end(std::move(result));
    }
}

}  // namespace proctor::detail
