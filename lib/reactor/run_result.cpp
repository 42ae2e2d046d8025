// SPDX-License-Identifier: MIT
//
// How a run becomes a result.
#include <utility>

#include <proctor/job.hpp>

#include "reactor/reactor_core.hpp"
#include "reactor/run.hpp"

namespace proctor::detail {

RunResult Run::make_result() {
    RunResult result;
    result.sources.engine = engine_.name();
    result.unread = job_.input.source() == Input::Source::empty ? std::optional<Bytes>(0) : input_.take_unread();
    if (launched()) {
        add_exit(result);
    }
    result.reason = reason_;
    if (reason_) {
        const auto relative = [&](std::optional<Instant> time) -> std::optional<Nanoseconds> {
            return time ? std::optional(since_zero(*time)) : std::nullopt;
        };
        result.limit_events = {relative(crossed_at_), relative(signalled_at_), since_zero(gone_at_.value_or(now()))};
    }
    result.error = error_;
    const bool clean = result.exit_code == 0 && !reason_;
    result.outcome = error_ ? Outcome::error : clean ? Outcome::pass : Outcome::fail;
    result.blocked_in = std::move(blocked_in_);
    recorder_.reset();
    result.capture = std::move(capture_);
    return result;
}

Expected<ExitStatus> Run::take_exit() {
    if (!tree_.kept()) {
        return child_.reap();
    }
    // It is dead: its pidfd has said so.
    if (auto reaped = tree_.keeper().reap(); !reaped) {
        return reaped;
    }
    if (!tree_.told(keeper_main_ended)) {
        return failure(Stage::wait, 0, "the job's keeper did not tell how the program ended");
    }
    return tree_.told_exit();
}

void Run::add_exit(RunResult& result) {
    tree_.look_before_reaping();
    const auto status = take_exit();
    if (!status) {
        fail(status.error());
        return;
    }
    if (!zero_) {
        return;  // it never ran: what was reaped is our own half-made child
    }
    if (status->signal != 0) {
        result.signal = status->signal;
        result.returncode = -status->signal;
    } else {
        result.exit_code = status->exit_code;
        result.returncode = status->exit_code;
    }
    Usage usage;
    usage.wctime = *exited_at_ - *zero_;
    tree_.conclude(*status, host_peak_, usage, result.sources);
    result.sources.sample_interval = watch_.sample_interval();
    result.usage = usage;
}

}  // namespace proctor::detail
