// SPDX-License-Identifier: MIT
#include "reactor/monitor.hpp"

#include <poll.h>

#include <csignal>
#include <utility>

#include "reactor/reactor_core.hpp"

namespace proctor::detail {

namespace {

constexpr Nanoseconds longest_status_wait = std::chrono::milliseconds(100);
constexpr Nanoseconds status_poll = std::chrono::milliseconds(2);

}  // namespace

Monitor::Monitor(ReactorCore& core, std::uint64_t id, ChildProcess child, const MonitorOptions& options,
                 std::function<void(RunResult&&)> on_end)
    : core_(core),
      id_(id),
      engine_(core.engine()),
      child_(std::move(child)),
      options_(options),
      on_end_(std::move(on_end)),
      started_at_(now()),
      tree_(core.tools()),
      watch_(core.engine(), core.sampler(), tree_, *this) {
    tree_.adopt(child_, options_.limits, options_.mem_maps_filter);
    exit_watch_.fd = child_.pidfd();
    exit_watch_.events = POLLIN;
}

void Monitor::begin() {
    if (begun_) {
        return;
    }
    begun_ = true;
    engine_.start(exit_watch_);
    if (options_.limits.time) {
        engine_.start(wall_timer_, started_at_ + *options_.limits.time);
    }
    watch_.start({options_.limits, true, false, false, core_.processor_count(), core_.machine_processor_count()});
}

void Monitor::on_limit(Reason reason, Instant crossed_at) noexcept {
    if (record_->reason || error_ || exited_at_) {
        if (signalled_at_ && !killed_ && (reason == Reason::memory_limit || reason == Reason::process_limit)) {
            (void)kill_tree();  // what endangers the host ends the time to clean up
        }
        return;
    }
    if (reason == Reason::block_limit) {
        blocked_in_ = tree_.describe_waits();
    }
    record_->reason = reason;
    crossed_at_ = since_start(crossed_at);
    terminate();
}

void Monitor::on_wall_timer(int /*result*/) noexcept {
    on_limit(Reason::time_limit, started_at_ + *options_.limits.time);
}

void Monitor::stop() {
    if (record_->reason || error_ || exited_at_) {
        return;
    }
    error_ = Error{Stage::cancelled, 0, "the watching was stopped, and the process ended", ""};
    terminate();
}

void Monitor::terminate() noexcept {
    engine_.cancel(wall_timer_);
    if (options_.kill_after) {
        signalled_at_ = tree_.signal(SIGTERM);
        engine_.start(kill_timer_, *signalled_at_ + *options_.kill_after);
    } else {
        signalled_at_ = kill_tree();
    }
}

Instant Monitor::kill_tree() noexcept {
    watch_.stop();
    const Instant signalled = tree_.kill(true);
    killed_ = true;
    engine_.start(kill_timer_, now() + longest_death);
    return signalled;
}

void Monitor::on_kill_timer(int /*result*/) noexcept {
    if (!killed_) {
        (void)kill_tree();
        return;
    }
    error_ = Error{Stage::wait, EBUSY, "the process was killed and does not die",
                   "look whether it is in state D (ps), or the kernel's own"};
    engine_.cancel(exit_watch_);  // which then ends it
}

void Monitor::on_exit(int result) noexcept {
    if (core_.retired()) {
        tree_.clear();
        core_.destroy_monitor(id_);  // the last touch
        return;
    }
    exited_at_ = now();
    if (result < 0 && !error_) {
        error_ = Error{Stage::wait, -result, "the process cannot be watched", usual_cure(-result)};
    }
    judge_at_exit();
    if (signalled_at_) {
        tree_.kill(true);  // those who are still answering the SIGTERM
    }
    watch_.stop();
    engine_.cancel(wall_timer_);
    engine_.cancel(kill_timer_);
    engine_.start(settle_timer_, now());
}

void Monitor::judge_at_exit() noexcept {
    if (record_->reason || error_) {
        return;
    }
    const auto& limits = options_.limits;
    const auto cross = [&](Reason reason, Nanoseconds at) {
        record_->reason = reason;
        crossed_at_ = at;
    };
    if (limits.cpu_time && tree_.cpu() > *limits.cpu_time) {
        cross(Reason::cpu_limit, since_start(*exited_at_));
    } else if (limits.time && *exited_at_ - started_at_ > *limits.time) {
        cross(Reason::time_limit, *limits.time);
    }
}

RunResult Monitor::make_result() {
    RunResult result;
    result.sources.engine = engine_.name();
    Usage usage;
    usage.wctime = *exited_at_ - started_at_;
    tree_.conclude_adopted(usage, result.sources);
    result.sources.sample_interval = watch_.sample_interval();
    result.usage = usage;
    if (status_ && status_->signal != 0) {
        result.signal = status_->signal;
        result.returncode = -status_->signal;
    } else if (status_) {
        result.exit_code = result.returncode = status_->exit_code;
    }
    result.reason = record_->reason;
    if (result.reason) {
        const auto relative = [&](std::optional<Instant> time) -> std::optional<Nanoseconds> {
            return time ? std::optional(since_start(*time)) : std::nullopt;
        };
        result.limit_events = {crossed_at_, relative(signalled_at_), since_start(now())};
    }
    result.error = std::move(error_);
    result.blocked_in = std::move(blocked_in_);
    const bool failed = result.reason || result.returncode.value_or(0) != 0;
    result.outcome = result.error ? Outcome::error : failed ? Outcome::fail : Outcome::pass;
    return result;
}

void Monitor::on_settle(int /*result*/) noexcept {
    // The kernel tells of somebody else's child once that one's parent has reaped it, as a rule a moment later.
    bool comes_later = false;
    status_ = child_.peek_exit(&comes_later);
    if (!status_ && comes_later && now() - *exited_at_ < longest_status_wait) {
        return engine_.start(settle_timer_, now() + status_poll);
    }
    RunResult result = make_result();
    record_->usage = result.usage;
    record_->ended = true;
    auto on_end = std::move(on_end_);
    const bool silent = core_.retired();
    tree_.clear();
    core_.destroy_monitor(id_);
    // The last touch was above: *this is gone.
    if (on_end && !silent) {
        on_end(std::move(result));
    }
}

bool Monitor::abandon() noexcept {
    on_end_ = {};
    if (signalled_at_ && !exited_at_) {
        tree_.kill(true);  // it was being asked by SIGTERM
    }
    watch_.stop();
    engine_.cancel(wall_timer_);
    engine_.cancel(kill_timer_);
    engine_.cancel(exit_watch_);
    if (exit_watch_.in_flight()) {
        return false;  // on_exit() follows
    }
    engine_.cancel(settle_timer_);
    tree_.clear();
    return true;
}

void Monitor::forsake(bool kill) noexcept {
    exit_watch_.forsake();
    if (!kill) {
        signalled_at_.reset();
    }
    (void)abandon();
}

std::optional<Usage> Monitor::usage() {
    Usage usage;
    usage.wctime = exited_at_.value_or(now()) - started_at_;
    tree_.snapshot(usage);
    return usage;
}

std::vector<ChildUsage> Monitor::processes() {
    std::vector<ChildUsage> children;
    tree_.list(children);
    return children;
}

}  // namespace proctor::detail
