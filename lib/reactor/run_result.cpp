// SPDX-License-Identifier: MIT
//
// How a run becomes a result.
#include <proctor/job.hpp>

#include "reactor/reactor_core.hpp"
#include "reactor/run.hpp"

namespace proctor::detail {

namespace {

// The kernel counts pages in batches for each thread or processor, so two looks at the same peak differ: before 6.2 by up
// to 64 pages of each of three kinds for each thread.
constexpr Bytes peak_tolerance = Bytes{1} << 20;

Nanoseconds to_nanoseconds(const timeval& time) noexcept {
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

}  // namespace

RunResult Run::make_result() {
    RunResult result;
    result.sources.engine = engine_.name();
    result.unread = job_.input.source() == Input::Source::empty ? std::optional<Bytes>(0) : input_.take_unread();
    if (child_) {
        add_exit(result);
    }
    result.reason = reason_;
    if (reason_) {
        const auto relative = [&](std::optional<Instant> time) -> std::optional<Nanoseconds> {
            return time ? std::optional(since_zero(*time)) : std::nullopt;
        };
        result.limit_events = {crossed_at_, relative(signalled_at_), since_zero(now())};
    }
    result.error = error_;
    const bool clean = result.exit_code == 0 && !reason_;
    result.outcome = error_ ? Outcome::error : clean ? Outcome::pass : Outcome::fail;
    result.capture = recorder_->take();
    return result;
}

void Run::add_exit(RunResult& result) {
    const auto status = child_.reap();
    if (!status) {
        fail(status.error());
        return;
    }
    if (!zero_) {
        return;  // it never ran: what was reaped is our own half-made child
    }
    result.sources.containment = "tree";
    result.sources.kill = "group";
    if (status->signal != 0) {
        result.signal = status->signal;
        result.returncode = -status->signal;
    } else {
        result.exit_code = status->exit_code;
        result.returncode = status->exit_code;
    }
    Usage usage;
    usage.wctime = *exited_at_ - *zero_;
    usage.utime = to_nanoseconds(status->usage.ru_utime);
    usage.stime = to_nanoseconds(status->usage.ru_stime);
    result.sources.cpu = "rusage";
    // A child's ru_maxrss begins at the host's own peak (exec carries it over), so only what exceeds it is the child's.
    if (const Bytes peak = Bytes{status->usage.ru_maxrss} * 1024; peak > host_peak_ + peak_tolerance) {
        usage.mem = peak;
        result.sources.mem = "maxrss";
    }
    result.usage = usage;
}

}  // namespace proctor::detail
