// SPDX-License-Identifier: MIT
#include <proctor/reactor.hpp>

#include <cerrno>
#include <new>
#include <optional>
#include <utility>

#include "base/failure.hpp"
#include "reactor/reactor_core.hpp"

namespace proctor {

Result<Reactor> Reactor::create(const ReactorOptions& options) {
    try {
        auto core = detail::ReactorCore::create(options);
        if (!core) {
            return std::move(core.error());
        }
        return Reactor(std::move(*core));
    } catch (const std::bad_alloc&) {
        return Error{Stage::setup, ENOMEM, "no memory for a reactor",
                     "free memory, or raise the host's limits (ulimit -d, ulimit -v)"};
    }
}

Reactor::Reactor(std::shared_ptr<detail::ReactorCore> core) : core_(std::move(core)) {}

Reactor::Reactor(Reactor&&) noexcept = default;

Reactor& Reactor::operator=(Reactor&& other) noexcept {
    if (this != &other) {
        if (core_) {
            core_->retire();
        }
        core_ = std::move(other.core_);
    }
    return *this;
}

Reactor::~Reactor() {
    if (core_) {
        core_->retire();
    }
}

JobHandle Reactor::submit(Job job, Handlers handlers) { return core_->submit(std::move(job), std::move(handlers)); }

PairHandle Reactor::submit_pair(Job first, Job second, PairHandlers handlers, Wiring wiring) {
    return core_->submit_pair(std::move(first), std::move(second), std::move(handlers), wiring);
}

Result<MonitorHandle> Reactor::monitor(int pid, const MonitorOptions& options,
                                       std::function<void(RunResult&&)> on_end) {
    return detail::to_result(core_->monitor(pid, -1, options, std::move(on_end)));
}

Result<MonitorHandle> Reactor::monitor_descriptor(int pidfd, const MonitorOptions& options,
                                                  std::function<void(RunResult&&)> on_end) {
    if (pidfd < 0) {
        return Error{Stage::setup, EBADF, "descriptor " + std::to_string(pidfd) + " is none", "open a pidfd first"};
    }
    return detail::to_result(core_->monitor(-1, pidfd, options, std::move(on_end)));
}

Result<void> Reactor::run() { return detail::to_result(core_->run()); }

Result<void> Reactor::run_once(std::chrono::nanoseconds timeout) { return detail::to_result(core_->run_once(timeout)); }

int Reactor::fd() { return core_->fd(); }

std::size_t Reactor::size() const noexcept { return core_->size(); }

void Reactor::cancel_all() { core_->cancel_all(); }

Result<Watch> Reactor::watch(int descriptor, std::function<void()> on_readable) {
    return detail::to_result(core_->watch(descriptor, std::move(on_readable)));
}

namespace {

// Calls `ask` with the run that a handle names; gives its answer, or `otherwise` if the run has ended.
template <typename Answer, typename Ask>
Answer ask_run(const std::weak_ptr<detail::ReactorCore>& weak, std::uint64_t id, Answer otherwise, Ask ask) {
    const auto core = weak.lock();
    detail::Run* const run = core && !core->is_forked_copy() ? core->find(id) : nullptr;
    if (run == nullptr) {
        return otherwise;
    }
    return ask(*run);
}

// As ask_run, for what may start requests.
template <typename Act>
void tell_run(const std::weak_ptr<detail::ReactorCore>& weak, std::uint64_t id, Act act) {
    const auto core = weak.lock();
    if (detail::Run* const run = core && !core->is_forked_copy() ? core->find(id) : nullptr; run != nullptr) {
        act(*run);
        core->flush_outside_pass();
    }
}

}  // namespace

JobState JobHandle::state() const noexcept {
    return ask_run(core_, id_, JobState::ended, [](const detail::Run& run) { return run.state(); });
}

std::optional<int> JobHandle::pid() const noexcept {
    return ask_run(core_, id_, std::optional<int>(), [](const detail::Run& run) { return run.pid(); });
}

std::optional<Usage> JobHandle::usage() const {
    return ask_run(core_, id_, std::optional<Usage>(), [](detail::Run& run) { return run.usage(); });
}

std::vector<ChildUsage> JobHandle::processes() const {
    return ask_run(core_, id_, std::vector<ChildUsage>(), [](detail::Run& run) { return run.processes(); });
}

std::optional<Reason> JobHandle::reason() const noexcept {
    return ask_run(core_, id_, std::optional<Reason>(), [](const detail::Run& run) { return run.reason(); });
}

void JobHandle::cancel() const {
    tell_run(core_, id_, [](detail::Run& run) { run.cancel(); });
}

void PairHandle::cancel() const {
    first_.cancel();
    second_.cancel();
}

Result<void> JobHandle::signal(int number) const {
    constexpr int last_signal = 64;  // SIGRTMAX
    const int status = number < 0 || number > last_signal
                           ? -EINVAL
                           : ask_run(core_, id_, -ESRCH, [&](const detail::Run& run) { return run.signal(number); });
    if (status < 0) {
        return Error{Stage::io, -status, "the signal cannot be sent",
                     status == -ESRCH ? "the job is not running" : "name a signal from 1 to 64"};
    }
    return {};
}

std::optional<Usage> MonitorHandle::usage() const {
    const auto core = core_.lock();
    detail::Monitor* const monitor = core && !core->is_forked_copy() ? core->find_monitor(id_) : nullptr;
    if (monitor != nullptr) {
        return monitor->usage();
    }
    return record_ ? record_->usage : std::nullopt;
}

std::vector<ChildUsage> MonitorHandle::processes() const {
    const auto core = core_.lock();
    detail::Monitor* const monitor = core && !core->is_forked_copy() ? core->find_monitor(id_) : nullptr;
    return monitor != nullptr ? monitor->processes() : std::vector<ChildUsage>();
}

std::optional<Reason> MonitorHandle::reason() const noexcept { return record_ ? record_->reason : std::nullopt; }

bool MonitorHandle::ended() const noexcept {
    const auto core = core_.lock();
    return !record_ || record_->ended || !core || core->retired();
}

void MonitorHandle::stop() const {
    const auto core = core_.lock();
    if (detail::Monitor* const monitor = core && !core->is_forked_copy() ? core->find_monitor(id_) : nullptr) {
        monitor->stop();
        core->flush_outside_pass();
    }
}

Result<bool> MonitorHandle::wait(std::chrono::nanoseconds timeout) const {
    const auto core = core_.lock();
    constexpr std::chrono::nanoseconds longest = std::chrono::hours(24 * 365 * 100);  // or the clock would overflow
    const detail::Instant deadline = detail::now() + std::min(timeout, longest);
    while (core && !ended()) {
        const auto left = timeout < timeout.zero() ? timeout : std::max(deadline - detail::now(), timeout.zero());
        if (auto done = core->run_once(left); !done) {
            return std::move(done.error());
        }
        if (timeout >= timeout.zero() && detail::now() >= deadline) {
            break;
        }
    }
    return ended();
}

void JobHandle::pause_output(Stream stream) const {
    tell_run(core_, id_, [&](detail::Run& run) { run.pause_output(stream); });
}

void JobHandle::pause_input() const {
    tell_run(core_, id_, [&](detail::Run& run) { run.pause_input(); });
}

void JobHandle::resume_input() const {
    tell_run(core_, id_, [&](detail::Run& run) { run.resume_input(); });
}

void JobHandle::resume_output(Stream stream) const {
    tell_run(core_, id_, [&](detail::Run& run) { run.resume_output(stream); });
}

Result<bool> JobHandle::write_input(std::string bytes) const {
    const auto core = core_.lock();
    detail::Run* const run = core && !core->is_forked_copy() ? core->find(id_) : nullptr;
    if (run == nullptr) {
        return Error{Stage::io, ESRCH, "there is no job to write to", "it has ended"};
    }
    auto written = run->write_input(std::move(bytes));
    core->flush_outside_pass();
    return detail::to_result(std::move(written));
}

void JobHandle::close_input() const {
    tell_run(core_, id_, [](detail::Run& run) { run.close_input(); });
}

Bytes JobHandle::pending_input() const noexcept {
    return ask_run(core_, id_, Bytes{0}, [](const detail::Run& run) { return run.pending_input(); });
}

Watch& Watch::operator=(Watch&& other) noexcept {
    if (this != &other) {
        Watch ended(std::move(*this));
        core_ = std::move(other.core_);
        id_ = other.id_;
    }
    return *this;
}

Watch::~Watch() {
    if (const auto core = core_.lock()) {
        core->unwatch(id_);
    }
}

RunResult run(Job job) {
    auto reactor = Reactor::create({.max_running = 1});
    std::optional<RunResult> result;
    const auto failed = [](const Error& error) {
        RunResult refused;
        refused.error = error;
        return refused;
    };
    if (!reactor) {
        return failed(reactor.error());
    }
    reactor->submit(std::move(job), [&](RunResult&& ended) { result = std::move(ended); });
    if (const auto done = reactor->run(); !done) {
        return failed(done.error());
    }
    return std::move(*result);
}

}  // namespace proctor
