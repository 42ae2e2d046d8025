// SPDX-License-Identifier: MIT
//
// What a run tells while it runs, and how it becomes a result.
#include <cerrno>
#include <utility>

#include <proctor/job.hpp>

#include "reactor/reactor_core.hpp"
#include "reactor/run.hpp"

namespace proctor::detail {

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

RunResult Run::make_result() {
    RunResult result;
    result.sources.engine = engine_.name();
    result.unread = job_.input.source() == Input::Source::empty ? std::optional<Bytes>(0) : input_.take_unread();
    if (exit_ && zero_) {  // else it never ran: what was reaped is our own half-made child
        add_exit(result);
    }
    result.reason = reason_;
    if (reason_) {
        const auto relative = [&](std::optional<Instant> time) -> std::optional<Nanoseconds> {
            return time ? std::optional(since_zero(*time)) : std::nullopt;
        };
        result.limit_events = {relative(crossed_at_), relative(signalled_at_), since_zero(gone_at_.value_or(now()))};
    }
    result.limit_in_grace = limit_in_grace_;
    result.error = error_;
    const bool clean = result.exit_code == 0 && !reason_;
    result.outcome = error_ ? Outcome::error : clean ? Outcome::pass : Outcome::fail;
    result.blocked_in = std::move(blocked_in_);
    if (reason_ == Reason::output_limit) {
        result.output_limit = output_limit_;
    }
    recorder_.reset();
    result.capture = std::move(capture_);
    return result;
}

// False if it has to be tried again: one that escaped may trace the main process, which then cannot be reaped.
bool Run::take_exit() noexcept {
    tree_.look_before_reaping();
    auto reaped = (tree_.kept() ? tree_.keeper() : child_).try_reap();
    if (!reaped) {
        if (!undying_ && now() - exited_at_.value_or(now()) < longest_death) {
            return false;
        }
        reaped = failure(Stage::wait, EBUSY, "the main process is dead and cannot be reaped, since another traces it",
                         "hold jobs in cgroups or keepers, from which none escapes");
    }
    if (!*reaped) {
        fail(std::move(reaped->error()));
    } else if (!tree_.kept()) {
        exit_ = **reaped;
    } else if (tree_.told(keeper_main_ended)) {
        exit_ = tree_.told_exit();
    } else {
        fail({Stage::wait, 0, "the job's keeper did not tell how the program ended",
              "look for a killer: kill(1), or the kernel's out-of-memory killer (dmesg)"});
    }
    return true;
}

void Run::add_exit(RunResult& result) {
    if (exit_->signal != 0) {
        result.signal = exit_->signal;
        result.returncode = -exit_->signal;
    } else {
        result.exit_code = exit_->exit_code;
        result.returncode = exit_->exit_code;
    }
    Usage usage;
    usage.wctime = *exited_at_ - *zero_;
    tree_.conclude(*exit_, host_peak_, usage, result.sources);
    result.sources.sample_interval = watch_.sample_interval();
    result.usage = usage;
}

}  // namespace proctor::detail
