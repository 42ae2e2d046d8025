// SPDX-License-Identifier: MIT
#include "reactor/run.hpp"

#include <poll.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "accounting/process_stat.hpp"
#include "reactor/reactor_core.hpp"

namespace proctor::detail {

namespace {

// How long a child may take to come to its execve before a job with a time limit is given up. Only a start that hangs
// (a dead network file system, a frozen group) lasts so long.
constexpr Nanoseconds longest_start = std::chrono::seconds(10);

bool records(const CaptureOptions& options, Stream stream) noexcept {
    switch (stream) {
        case STDIN: return options.input;
        case STDOUT: return options.output;
        case STDERR: return options.error_output;
    }
    return false;
}

int forward_target(const Output& output) noexcept {
    return output.sink() == Output::Sink::forward ? output.descriptor() : -1;
}

}  // namespace

Run::Run(ReactorCore& core) noexcept
    : core_(core),
      engine_(core.engine()),
      input_(engine_, *this),
      output_(engine_, *this, STDOUT),
      error_output_(engine_, *this, STDERR) {}

void Run::assign(Job job, Handlers handlers, std::uint64_t id) {
    job_ = std::move(job);
    handlers_ = std::move(handlers);
    id_ = id;
    state_ = JobState::queued;
    recorder_.emplace(job_.capture.limits, job_.capture.keep);
}

void Run::refuse(Error error) {
    error_ = std::move(error);
    settle_soon();
}

void Run::launch() {
    state_ = JobState::starting;
    if (auto started = start_child(); !started) {
        refuse(std::move(started.error()));
    }
}

Expected<void> Run::start_child() {
    auto setup = set_up_stdio(job_, core_.null_device(), engine_.pipes_need_nonblock());
    if (!setup) {
        return tl::unexpected<Error>(std::move(setup.error()));
    }
    auto slot = core_.launcher().acquire();
    if (!slot) {
        return tl::unexpected<Error>(std::move(slot.error()));
    }
    auto child = core_.launcher().launch(job_, **slot, std::move(setup->moves));
    if (!child) {
        core_.launcher().release(**slot);
        return tl::unexpected<Error>(std::move(child.error()));
    }
    slot_ = *slot;
    child_ = ChildProcess(child->pid, std::move(child->pidfd), core_.kernel().signal_group_by_pidfd);
    cloned_at_ = now();
    core_.note_starting(*this);
    start_requests(std::move(*setup));
    return {};
}

void Run::start_requests(StdioSetup setup) {
    setup.childs.clear();
    exit_watch_.fd = child_.pidfd();
    exit_watch_.events = POLLIN;
    engine_.start(exit_watch_);
    if (job_.limits.time) {
        engine_.start(wall_timer_, *cloned_at_ + *job_.limits.time);
    }
    if (setup.output) {
        output_.open(std::move(setup.output), forward_target(job_.output));
    }
    if (setup.error_output) {
        error_output_.open(std::move(setup.error_output), forward_target(job_.error_output));
    }
    switch (job_.input.source()) {
        case Input::Source::text: input_.open_text(std::move(setup.input), job_.input.value()); break;
        case Input::Source::file: {
            const int file = setup.input_file.get();
            input_.open_descriptor(std::move(setup.input), file, std::move(setup.input_file));
            break;
        }
        case Input::Source::descriptor:
            input_.open_descriptor(std::move(setup.input), job_.input.descriptor(), {});
            break;
        case Input::Source::held_open: input_.hold_open(std::move(setup.input)); break;
        case Input::Source::empty:
        case Input::Source::inherit: break;
    }
}

bool Run::collect_launch() {
    if (slot_ == nullptr) {
        return true;
    }
    if (slot_->occupied()) {
        return false;
    }
    zero_ = slot_->stamp();
    host_peak_ = host_peak();
    if (auto failed = slot_->child_error(job_)) {
        zero_.reset();
        fail(std::move(*failed));
    } else if (state_ == JobState::starting) {
        state_ = JobState::running;
    }
    core_.launcher().release(*slot_);
    slot_ = nullptr;
    return true;
}

std::string_view Run::on_output(Stream stream, std::string_view data) noexcept {
    std::string_view kept;
    record(stream, data, now(), &kept);
    return kept;
}

void Run::on_input(std::string_view data, Instant issued) noexcept { record(STDIN, data, issued, nullptr); }

// `kept` is what the capture limits let through.
void Run::record(Stream stream, std::string_view data, Instant time, std::string_view* kept) {
    collect_launch();
    if (!records(job_.capture, stream)) {
        recorder_->count(stream, data);
        if (kept != nullptr) {
            *kept = data;
        }
        return;
    }
    const auto added = recorder_->add(stream, data, since_zero(time));
    if (kept != nullptr && added.data) {
        *kept = added.data->data;
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

void Run::on_output_error(Stream stream, int error_number, bool forwarding) noexcept {
    const std::string name = stream == STDOUT ? "standard output" : "standard error";
    fail({Stage::io, error_number,
          forwarding ? "the child's " + name + " cannot be passed on" : "the child's " + name + " cannot be read",
          forwarding ? "look at what the descriptor leads to: a full disk, or one that is not open for writing" : ""});
    terminate();
}

void Run::on_output_end(Stream /*stream*/) noexcept { advance(); }

void Run::on_input_error(int error_number, bool reading) noexcept {
    fail({Stage::io, error_number,
          reading ? "the job's input cannot be read" : "the child's standard input cannot be written",
          reading ? "name a file or descriptor that can be read" : ""});
    terminate();
}

void Run::on_input_end() noexcept { advance(); }

void Run::on_exit(int result) noexcept {
    if (result < 0) {
        fail({Stage::wait, -result, "the child cannot be watched", ""});
        child_.signal_group(SIGKILL);  // or the reaping would wait for a living child
    }
    exited_at_ = now();
    state_ = JobState::draining;
    engine_.cancel(wall_timer_);
    engine_.cancel(end_timer_);
    collect_launch();
    judge_time();
    input_.stop();
    advance();
}

// The main process may have ended by itself, and later than it was allowed to, before a timer came to look.
void Run::judge_time() noexcept {
    if (zero_ && job_.limits.time && !reason_ && !error_ && *exited_at_ - *zero_ > *job_.limits.time) {
        reason_ = Reason::time_limit;
        crossed_at_ = *job_.limits.time;
    }
}

void Run::on_wall_timer(int /*result*/) noexcept {
    if (!collect_launch()) {
        if (now() - *cloned_at_ < longest_start) {
            engine_.start(wall_timer_, now() + std::min(*job_.limits.time, longest_start));
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
        strike(Reason::time_limit, *job_.limits.time);
    }
}

void Run::strike(Reason reason, Nanoseconds crossed_at) noexcept {
    if (reason_ || error_ || exited_at_) {
        return;
    }
    reason_ = reason;
    crossed_at_ = crossed_at;
    terminate();
}

void Run::terminate() noexcept {
    if (!child_ || exited_at_ || signalled_at_) {
        return;
    }
    if (job_.kill_after) {
        child_.signal_group(SIGTERM);
        signalled_at_ = now();
        engine_.start(end_timer_, *signalled_at_ + *job_.kill_after);
    } else {
        child_.signal_group(SIGKILL);
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
    } else if (!reason_ && child_) {
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
        child_.signal_group(SIGKILL);  // it was being asked by SIGTERM
    }
    cancel();
}

bool Run::in_haste() const noexcept { return reason_ || error_; }

bool Run::outputs_ended() const noexcept { return output_.ended() && error_output_.ended(); }

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
    if (tree_killed_ && outputs_ended() && input_.idle()) {
        settle_soon();
    }
}

void Run::kill_tree() noexcept {
    if (tree_killed_) {
        return;
    }
    tree_killed_ = true;
    child_.signal_group(SIGKILL);
    engine_.cancel(end_timer_);
    if (!outputs_ended()) {
        // Those that were killed let go of the pipes in a moment; somebody who escaped does not.
        engine_.start(end_timer_, now() + job_.drain_grace);
    }
}

void Run::on_end_timer(int /*result*/) noexcept {
    if (!exited_at_) {
        child_.signal_group(SIGKILL);  // kill_after is over
    } else if (!tree_killed_) {
        kill_tree();
    } else {
        finish_up(in_haste());
    }
}

void Run::finish_up(bool impatient) noexcept {
    output_.finish_up(impatient);
    error_output_.finish_up(impatient);
}

void Run::settle_soon() noexcept {
    if (!settle_timer_.armed()) {
        engine_.cancel(end_timer_);
        engine_.start(settle_timer_, Instant{});
    }
}

void Run::on_settle(int /*result*/) noexcept {
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
    state_ = JobState::ended;
    job_ = {};
    handlers_ = {};
    child_ = {};
    cloned_at_.reset();
    zero_.reset();
    exited_at_.reset();
    signalled_at_.reset();
    crossed_at_.reset();
    reason_.reset();
    error_.reset();
    tree_killed_ = false;
    output_.reset();
    error_output_.reset();
    recorder_.reset();
}

void Run::forsake(bool kill) noexcept {
    handlers_ = {};
    if (child_ && kill) {
        child_.signal_group(SIGKILL);
        (void)child_.reap();
    }
    input_.forsake();
    output_.forsake();
    error_output_.forsake();
    exit_watch_.forsake();
    engine_.cancel(wall_timer_);
    engine_.cancel(end_timer_);
    engine_.cancel(settle_timer_);
}

OutputStream* Run::output_stream(Stream stream) noexcept {
    switch (stream) {
        case STDOUT: return &output_;
        case STDERR: return &error_output_;
        case STDIN: break;
    }
    return nullptr;
}

void Run::pause_output(Stream stream) noexcept {
    if (OutputStream* const output = output_stream(stream); output != nullptr) {
        output->pause();
    }
}

void Run::resume_output(Stream stream) noexcept {
    if (OutputStream* const output = output_stream(stream); output != nullptr) {
        output->resume();
    }
}

int Run::signal(int number) const noexcept { return child_ && !exited_at_ ? child_.signal(number) : -ESRCH; }

JobState Run::state() const noexcept {
    const bool has_left = slot_ != nullptr && !slot_->occupied();
    return state_ == JobState::starting && has_left ? JobState::running : state_;
}

std::optional<int> Run::pid() const noexcept { return child_ ? std::optional<int>(child_.pid()) : std::nullopt; }

std::optional<Usage> Run::usage() const {
    const std::optional<Instant> zero = zero_                                    ? zero_
                                        : slot_ != nullptr && !slot_->occupied() ? slot_->stamp()
                                                                                 : std::nullopt;
    if (!zero || !child_) {
        return std::nullopt;
    }
    Usage usage;
    usage.wctime = exited_at_.value_or(now()) - *zero;
    if (const auto stat = read_process_stat(child_.pid())) {
        usage.utime = stat->utime;
        usage.stime = stat->stime;
    }
    return usage;
}

// Before the zero is known, or for input that was written before it, the time is 0.
Nanoseconds Run::since_zero(Instant time) const noexcept {
    return zero_ ? std::max(time - *zero_, Nanoseconds::zero()) : Nanoseconds::zero();
}

}  // namespace proctor::detail
