// SPDX-License-Identifier: MIT
#include "reactor/run.hpp"

#include <poll.h>

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

// How often a start that lasts longer than the time limit is looked at.
constexpr Nanoseconds start_poll = std::chrono::milliseconds(10);

constexpr Nanoseconds shortest_gone_wait = std::chrono::microseconds(50);
constexpr Nanoseconds longest_gone_wait = std::chrono::milliseconds(10);

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
}

std::string_view Run::on_output(Stream stream, std::string_view data, Arrival arrival) noexcept {
    std::string_view kept;
    watch_.note_progress(now());
    record(stream, data, arrival, &kept);
    return kept;
}

void Run::on_input(std::string_view data, Instant issued) noexcept {
    watch_.note_progress(now());
    exact_outputs_.deliver_until(issued);
    record(STDIN, data, {issued}, nullptr);
}

// `kept` is what the capture limits let through.
void Run::record(Stream stream, std::string_view data, Arrival arrival, std::string_view* kept) {
    collect_launch();
    if (!records(job_.capture, stream)) {
        recorder_->count(stream, data);
        if (kept != nullptr) {
            *kept = data;
        }
        return;
    }
    const auto added = recorder_->add(stream, data, since_zero(arrival.time), arrival.ambiguous);
    spool_.pump();
    look_at_spool();
    if (kept != nullptr && added.data) {
        *kept = added.data->data;
    }
    if (added.cut && job_.capture.limit_ends_run) {
        strike(Reason::output_limit, arrival.time);
    }
    if (handlers_.on_record && !core_.retired()) {
        if (added.data) {
            handlers_.on_record(*added.data);
        }
        if (added.cut && !core_.retired()) {
            handlers_.on_record(*added.cut);
        }
    }
}

void Run::on_exit(int result) noexcept {
    if (result < 0) {
        fail({Stage::wait, -result, "the child cannot be watched", ""});
        child_.signal_group(SIGKILL);  // or the reaping would wait for a living child
    }
    main_died();
}

void Run::main_died() noexcept {
    exited_at_ = now();
    state_ = JobState::draining;
    engine_.cancel(wall_timer_);
    engine_.cancel(end_timer_);
    watch_.stop();
    engine_.cancel(task_watch_);
    collect_launch();
    judge_at_exit();
    input_.stop();
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
        if (now() - *cloned_at_ < longest_start) {
            if (tree_.kept()) {
                (void)tree_.keeper().signal(SIGCONT);  // a job of the same user may have stopped it before it told
            }
            engine_.start(wall_timer_, now() + std::min(*job_.limits.time, start_poll));
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
            crossed_at_ = crossed_at;
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
        tree_.signal(SIGTERM);
        signalled_at_ = now();
        engine_.start(end_timer_, *signalled_at_ + *job_.kill_after);
    } else {
        tree_.kill(true);
        signalled_at_ = now();
    }
}

void Run::fail(Error error) noexcept {
    if (!error_) {
        error_ = std::move(error);
    }
}

void Run::cancel() {
    const Error cancelled{Stage::cancelled, 0, "the job was cancelled", ""};
    if (state_ == JobState::queued) {
        if (awaits_launch()) {
            refuse(cancelled);
        }
    } else if (exited_at_) {
        // Its verdict stands; only the waiting for output ends.
        kill_tree();
        finish_up(true);
        advance();
    } else if (!reason_ && launched()) {
        fail(cancelled);
        terminate();
    }
}

void Run::abandon() {
    handlers_ = {};
    job_.kill_after.reset();
    job_.drain_grace = Nanoseconds::zero();
    engine_.cancel(end_timer_);
    if (signalled_at_ && !exited_at_) {
        tree_.kill(true);  // it was being asked by SIGTERM
    }
    cancel();
}

bool Run::in_haste() const noexcept { return reason_ || error_; }

bool Run::outputs_ended() const noexcept { return output_.ended() && error_output_.ended() && exact_outputs_.ended(); }

void Run::advance() noexcept {
    if (!exited_at_) {
        return;
    }
    if (!tree_killed_) {
        // Without kill_after the whole group has had its SIGKILL; with it, others may still be answering the SIGTERM.
        if (outputs_ended() || (in_haste() && !job_.kill_after)) {
            kill_tree();
        } else if (!end_timer_.armed()) {
            engine_.start(end_timer_, *exited_at_ + job_.drain_grace);
        }
    }
    const bool idle = input_.idle() && !task_watch_.in_flight() && !exit_watch_.in_flight() &&
                      !keeper_news_.in_flight() && !keeper_exit_.in_flight();
    const bool spooled = outputs_ended() && idle && spool_.finish();
    if (tree_killed_ && outputs_ended() && idle && tree_is_gone()) {
        gone_at_ = gone_at_.value_or(now());
        if (spooled) {
            look_at_spool();
            settle_soon();
        }
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
    if (!tree_.populated().value_or(false)) {
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
    if (!exited_at_) {
        tree_.kill(true);  // kill_after is over
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
        engine_.start(settle_timer_, Instant{});
    }
}

void Run::on_settle(int /*result*/) noexcept {
    if (launched() && !take_exit()) {
        return engine_.start(settle_timer_, now() + longest_gone_wait);
    }
    const bool was_running = state_ != JobState::queued;
    RunResult result = make_result();
    auto on_end = std::move(handlers_.on_end);
    const bool silent = core_.retired();
    clear();
    core_.recycle(*this, was_running);
    // The last touch: *this may already be another job.
    if (on_end && !silent) {
        on_end(std::move(result));
    }
}

void Run::clear() noexcept {
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
    cloned_at_.reset();
    zero_.reset();
    exited_at_.reset();
    exit_.reset();
    gone_at_.reset();
    signalled_at_.reset();
    crossed_at_.reset();
    reason_.reset();
    error_.reset();
    tree_killed_ = false;
    output_.reset();
    error_output_.reset();
    exact_outputs_.reset();
    recorder_.reset();
    capture_ = {};
    spool_.close();
    held_ = false;
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

OutputStream* Run::output_stream(Stream stream) noexcept {
    return stream == STDOUT ? &output_ : stream == STDERR ? &error_output_ : nullptr;
}

void Run::pause_output(Stream stream) noexcept {
    if (OutputStream* const output = output_stream(stream); output != nullptr) {
        output->pause();
        exact_outputs_.pause(stream);
    }
}

void Run::resume_output(Stream stream) noexcept {
    if (OutputStream* const output = output_stream(stream); output != nullptr) {
        output->resume();
        exact_outputs_.resume(stream);
    }
}

int Run::signal(int number) const noexcept { return child_ && !exited_at_ ? child_.signal(number) : -ESRCH; }

JobState Run::state() const noexcept {
    const bool has_left = slot_ != nullptr && !slot_->occupied();
    return state_ == JobState::starting && has_left ? JobState::running : state_;
}

std::optional<int> Run::pid() const noexcept { return child_ ? std::optional<int>(child_.pid()) : std::nullopt; }

std::optional<Usage> Run::usage() {
    const std::optional<Instant> zero = zero_                                    ? zero_
                                        : slot_ != nullptr && !slot_->occupied() ? slot_->stamp()
                                                                                 : std::nullopt;
    if (!zero || !child_) {
        return std::nullopt;
    }
    Usage usage;
    usage.wctime = exited_at_.value_or(now()) - *zero;
    tree_.snapshot(usage);
    return usage;
}

std::vector<ChildUsage> Run::processes() {
    std::vector<ChildUsage> children;
    if (child_ && (slot_ == nullptr || !slot_->occupied())) {
        tree_.list(children);
    }
    return children;
}

// Before the zero is known, or for input that was written before it, the time is 0.
Nanoseconds Run::since_zero(Instant time) const noexcept {
    return zero_ ? std::max(time - *zero_, Nanoseconds::zero()) : Nanoseconds::zero();
}

}  // namespace proctor::detail
