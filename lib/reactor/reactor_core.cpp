// SPDX-License-Identifier: MIT
#include "reactor/reactor_core.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "cgroup/cgroup_file.hpp"
#include "process/processors.hpp"
#include "reactor/job_check.hpp"
#include "ring/make_engine.hpp"

namespace proctor::detail {

namespace {

// Requests that a run may have in flight: three streams, each with one, the exit watch, a cancellation for each, and a
// write of the spool.
constexpr unsigned requests_per_run = 9;

constexpr unsigned most_running = 16'000;
// With so many the host's descriptors are many.
constexpr unsigned many_running = 32;

std::uint64_t make_id(std::uint32_t index, std::uint32_t generation) noexcept {
    return std::uint64_t{generation} << 32 | index;
}

std::uint32_t index_of(std::uint64_t id) noexcept { return static_cast<std::uint32_t>(id); }

std::uint32_t generation_of(std::uint64_t id) noexcept { return static_cast<std::uint32_t>(id >> 32); }

}  // namespace

Watcher::Watcher(ReactorCore& core, std::uint64_t id, int fd, std::function<void()> on_readable)
    : core_(core), id_(id), on_readable_(std::move(on_readable)) {
    ready_.fd = fd;
    ready_.events = POLLIN;
}

void Watcher::start() noexcept {
    if (!ready_.in_flight()) {
        core_.engine().start(ready_);
    }
}

bool Watcher::stop() noexcept {
    stopped_ = true;
    core_.engine().cancel(ready_);
    return !ready_.in_flight() && !calling_;
}

void Watcher::on_ready(int result) noexcept {
    if (!stopped_ && result >= 0 && !core_.retired()) {
        calling_ = true;
        on_readable_();
        calling_ = false;
    }
    if (stopped_ || result < 0 || core_.retired()) {
        core_.destroy_watcher(id_);
    } else {
        start();
    }
}

ReactorCore::ReactorCore(const ReactorOptions& options, const KernelFeatures& kernel)
    : options_(options), kernel_(kernel), process_(::getpid()), launcher_(options.suspend_while_starting) {}

Expected<std::shared_ptr<ReactorCore>> ReactorCore::create(const ReactorOptions& options,
                                                           const KernelFeatures& kernel) {
    if (options.max_running < 1 || options.max_running > most_running) {
        return failure(Stage::setup, EINVAL, "max_running is " + std::to_string(options.max_running),
                       "it goes from 1 to " + std::to_string(most_running));
    }
    auto engine = make_engine(options.engine, options.max_running * requests_per_run, kernel);
    if (!engine) {
        return tl::unexpected<Error>(std::move(engine.error()));
    }
    return create(options, kernel, std::move(*engine));
}

Expected<std::shared_ptr<ReactorCore>> ReactorCore::create(const ReactorOptions& options, const KernelFeatures& kernel,
                                                           std::unique_ptr<Engine> engine) {
    auto null = NullDevice::open();
    if (!null) {
        return tl::unexpected<Error>(std::move(null.error()));
    }
    auto core = std::shared_ptr<ReactorCore>(new ReactorCore(options, kernel));
    if (options.max_running >= many_running) {
        core->launcher_.keep_low_numbers();
    }
    core->engine_ = std::move(engine);
    core->null_ = std::move(*null);
    core->sampler_ = std::make_unique<Sampler>(*core->engine_);
    if (auto opened = core->sampler_->open(); !opened) {
        return tl::unexpected<Error>(std::move(opened.error()));
    }
    if (auto found = core->find_tools(); !found) {
        return tl::unexpected<Error>(std::move(found.error()));
    }
    return core;
}

ReactorCore::~ReactorCore() = default;

unsigned ReactorCore::processor_count() const noexcept {
    return processors_.empty() ? processor_numbers_end : static_cast<unsigned>(processors_.size());
}

// Such a copy shares the ring's memory with the host, so it must not even prepare a request.
bool ReactorCore::is_forked_copy() const noexcept { return process_ != ::getpid(); }

JobHandle ReactorCore::submit(Job job, Handlers handlers) {
    if (is_forked_copy()) {
        return {};
    }
    const auto [run, id] = next_run();
    auto wrong = check_job(job);
    run->assign(std::move(job), std::move(handlers), id);
    if (wrong) {
        run->refuse(std::move(*wrong));
    } else {
        queue_.push_back(id);
    }
    if (owner_ != std::thread::id()) {
        launch_waiting();
        flush_outside_pass();
    }
    return JobHandle(weak_from_this(), id);
}

std::pair<Run*, std::uint64_t> ReactorCore::next_run() {
    const std::uint32_t index = free_run();
    ++live_;
    return {runs_[index].get(), make_id(index, ++generations_[index])};
}

std::uint32_t ReactorCore::free_run() {
    if (free_.empty()) {
        const auto index = static_cast<std::uint32_t>(runs_.size());
        runs_.push_back(std::make_unique<Run>(*this));
        generations_.push_back(0);
        free_.push_back(index);
    }
    const std::uint32_t index = free_.back();
    free_.pop_back();
    return index;
}

Run* ReactorCore::find(std::uint64_t id) const noexcept {
    const std::uint32_t index = index_of(id);
    if (index >= runs_.size() || generations_[index] != generation_of(id) || runs_[index]->state() == JobState::ended) {
        return nullptr;
    }
    return runs_[index].get();
}

void ReactorCore::reap_later(ChildProcess child) { undying_.push_back(std::move(child)); }

void ReactorCore::recycle(Run& run, bool was_running) {
    // The kernel's own trouble, so there are hardly ever any.
    std::erase_if(undying_, [](ChildProcess& child) { return child.try_reap().has_value(); });
    free_.push_back(index_of(run.id()));
    --live_;
    if (was_running) {
        --running_;
        launch_waiting();
        tidy_soon(false);
    } else if (queue_.size() > 2 * live_ + 64) {
        // Jobs that were cancelled before their turn leave their ids behind.
        std::erase_if(queue_, [&](std::uint64_t id) { return find(id) == nullptr; });
    }
}

void ReactorCore::launch_waiting() {
    while (!retired_ && running_ < options_.max_running && !queue_.empty()) {
        Run* const run = find(queue_.front());
        const std::uint64_t id = queue_.front();
        if (run != nullptr && run->awaits_launch() && running_ + run->places() > options_.max_running) {
            return;
        }
        queue_.pop_front();
        if (run == nullptr || !run->awaits_launch()) {
            continue;
        }
        collect_starting();
        const unsigned launched = run->launch_with_partner(running_ > 0);
        if (launched == 0) {
            queue_.push_front(id);
            return;
        }
        running_ += launched;
    }
}

// Launch slots come back in the order in which they were given, more or less, so it stops at the first that is not
// free.
void ReactorCore::collect_starting() {
    while (!starting_.empty()) {
        Run* const run = find(starting_.front());
        if (run != nullptr && !run->collect_launch()) {
            return;
        }
        starting_.pop_front();
    }
}

Expected<void> ReactorCore::claim() {
    if (is_forked_copy()) {
        return failure(Stage::setup, EPERM,
                       "the reactor belongs to the process that made it, and this is a forked copy",
                       "make a reactor after fork");
    }
    const std::thread::id caller = std::this_thread::get_id();
    if (owner_ == std::thread::id()) {
        if (auto bound = engine_->bind(); !bound) {
            return bound;
        }
        owner_ = caller;
        for (auto& [id, watcher] : watchers_) {
            watcher->start();
        }
        for (auto& [id, monitor] : monitors_) {
            monitor->begin();
        }
        launch_waiting();
    }
    if (owner_ != caller) {
        return failure(
            Stage::setup, EPERM, "the reactor is run from another thread than before",
            "a reactor belongs to the thread that first runs it or asks for its fd(): make one for each thread");
    }
    if (in_pass_) {
        return failure(Stage::setup, EDEADLK, "the reactor is run from inside one of its handlers",
                       "return from the handler; the loop that called it goes on");
    }
    return {};
}

Expected<void> ReactorCore::pass(Nanoseconds timeout) {
    in_pass_ = true;
    ++pass_number_;
    auto done = engine_->pass(timeout);
    in_pass_ = false;
    return done;
}

Expected<void> ReactorCore::run() {
    const auto keep_alive = shared_from_this();
    auto done = claim();
    while (done && live_ > 0 && !retired_) {
        done = pass(Nanoseconds(-1));
    }
    if (retired_) {
        shut_down();
    }
    return done;
}

Expected<void> ReactorCore::run_once(Nanoseconds timeout) {
    if (retired_) {
        return {};  // by a handler, and what called this waits for nothing that can come
    }
    const auto keep_alive = shared_from_this();
    auto done = claim();
    if (done) {
        const bool would_sleep_for_ever = live_ == 0 && watchers_.empty() && timeout < Nanoseconds::zero();
        done = pass(would_sleep_for_ever ? Nanoseconds::zero() : timeout);
    }
    if (retired_) {
        shut_down();
    } else if (done) {
        done = engine_->flush();
    }
    return done;
}

int ReactorCore::fd() {
    if (is_forked_copy() || (owner_ != std::thread::id() && owner_ != std::this_thread::get_id())) {
        return -1;
    }
    if (owner_ == std::thread::id() && !claim()) {
        return -1;
    }
    const int descriptor = engine_->fd();
    flush_outside_pass();
    return descriptor;
}

void ReactorCore::flush_outside_pass() noexcept {
    if (!in_pass_ && owner_ == std::this_thread::get_id() && !is_forked_copy()) {
        // What cannot be handed over now is handed over by the next pass, which also tells what is wrong.
        (void)engine_->flush();
    }
}

void ReactorCore::cancel_all() {
    if (is_forked_copy()) {
        return;
    }
    for (const auto& run : runs_) {
        if (run->state() != JobState::ended) {
            run->cancel();
        }
    }
    flush_outside_pass();
}

Expected<Watch> ReactorCore::watch(int descriptor, std::function<void()> on_readable) {
    if (is_forked_copy()) {
        return failure(Stage::setup, EPERM, "this is a forked copy of the process that made the reactor",
                       "make a reactor after fork");
    }
    struct stat status {};
    if (::fstat(descriptor, &status) < 0) {
        return failure(Stage::io, errno, "descriptor " + std::to_string(descriptor) + " cannot be watched",
                       "open it first");
    }
    if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)) {
        return failure(Stage::io, EPERM,
                       "descriptor " + std::to_string(descriptor) + " is a file, which is always ready",
                       "read it without watching");
    }
    const std::uint64_t id = next_watcher_++;
    auto& watcher = watchers_[id];
    watcher = std::make_unique<Watcher>(*this, id, descriptor, std::move(on_readable));
    if (owner_ != std::thread::id()) {
        watcher->start();
        flush_outside_pass();
    }
    return Watch(weak_from_this(), id);
}

namespace {

// Of a process by its pidfd, or an errno value: ESRCH if it is gone, EINVAL if this is no pidfd.
tl::expected<pid_t, int> pid_of(int pidfd) {
    std::string text;
    if (const int error_number = read_all(("/proc/self/fdinfo/" + std::to_string(pidfd)).c_str(), text);
        error_number != 0) {
        return tl::unexpected(error_number);
    }
    const std::size_t at = text.find("\nPid:\t");
    if (at == std::string::npos) {
        return tl::unexpected(EINVAL);
    }
    const pid_t pid = std::atoi(text.c_str() + at + 6);
    return pid > 0 ? tl::expected<pid_t, int>(pid) : tl::unexpected(ESRCH);
}

tl::unexpected<Error> cannot_monitor(int pid, int error_number) {
    switch (error_number) {
        case ESRCH:
            return failure(Stage::setup, error_number, "there is no process to watch", "look whether it has ended");
        case EPERM:
            return failure(Stage::setup, error_number,
                           "process " + std::to_string(pid) + " may not be signalled, so no limit can be kept",
                           "be its user, or have CAP_KILL");
        case EINVAL:
        case ENOENT:  // a thread that is not its process's first
        case EBADF:
            return failure(Stage::setup, error_number, "that is no process", "name the id of a process, or a pidfd");
        default: return failure(Stage::setup, error_number, "the process cannot be watched", usual_cure(error_number));
    }
}

}  // namespace

Expected<MonitorHandle> ReactorCore::monitor(int pid, int pidfd, const MonitorOptions& options,
                                             std::function<void(RunResult&&)> on_end) {
    if (is_forked_copy()) {
        return failure(Stage::setup, EPERM, "this is a forked copy of the process that made the reactor",
                       "make a reactor after fork");
    }
    if (auto wrong = check_limits(options.limits, options.kill_after)) {
        return tl::unexpected<Error>(std::move(*wrong));
    }
    UniqueFd own(pidfd >= 0 ? ::fcntl(pidfd, F_DUPFD_CLOEXEC, 0) : static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!own) {
        return cannot_monitor(pid, errno);
    }
    const tl::expected<pid_t, int> known = pidfd >= 0 ? pid_of(pidfd) : tl::expected<pid_t, int>(pid);
    if (!known && known.error() == ENOENT) {
        return failure(Stage::setup, ENOENT, "without /proc it is not known whose a pidfd is",
                       "mount /proc of this pid namespace, or name the process by its id");
    }
    if (!known) {
        return cannot_monitor(pid, known.error());
    }
    if (*known == ::getpid()) {
        return failure(Stage::setup, EINVAL, "a program cannot keep limits on itself", "name another process");
    }
    ChildProcess child(*known, std::move(own), kernel_.signal_group_by_pidfd);
    if (const int status = child.signal(0); status < 0) {
        return cannot_monitor(*known, -status);
    }
    const std::uint64_t id = next_monitor_++;
    auto& monitor = monitors_[id];
    monitor = std::make_unique<Monitor>(*this, id, std::move(child), options, std::move(on_end));
    ++live_;
    if (owner_ != std::thread::id()) {
        monitor->begin();
        flush_outside_pass();
    }
    return MonitorHandle(weak_from_this(), id, monitor->record());
}

Monitor* ReactorCore::find_monitor(std::uint64_t id) const noexcept {
    const auto found = monitors_.find(id);
    return found == monitors_.end() ? nullptr : found->second.get();
}

void ReactorCore::destroy_monitor(std::uint64_t id) {
    if (monitors_.erase(id) > 0) {
        --live_;
    }
}

void ReactorCore::unwatch(std::uint64_t id) {
    const auto found = watchers_.find(id);
    if (found == watchers_.end()) {
        return;
    }
    if (is_forked_copy()) {
        found->second->forsake();
        watchers_.erase(found);
        return;
    }
    if (found->second->stop()) {
        watchers_.erase(found);
    }
    flush_outside_pass();
}

void ReactorCore::retire() {
    retired_ = true;
    if (!in_pass_) {
        shut_down();
    }
}

void ReactorCore::shut_down() noexcept {
    if (is_forked_copy()) {
        // A copy that the host has forked: the children are not ours to kill, and the ring is not ours to enter.
        forsake_all();
        return;
    }
    if (owner_ != std::thread::id() && owner_ == std::this_thread::get_id()) {
        for (const auto& run : runs_) {
            if (run->state() != JobState::ended) {
                run->abandon();
            }
        }
        for (auto each = watchers_.begin(); each != watchers_.end();) {
            each = each->second->stop() ? watchers_.erase(each) : std::next(each);
        }
        for (auto each = monitors_.begin(); each != monitors_.end();) {
            const bool gone = each->second->abandon();
            live_ -= gone ? 1 : 0;
            each = gone ? monitors_.erase(each) : std::next(each);
        }
        bool ticking = !sampler_->stop();
        while ((live_ > 0 || !watchers_.empty() || ticking) && pass(Nanoseconds(-1))) {
            ticking = !sampler_->stop();
        }
    }
    launcher_.wait_until_unoccupied(longest_death);
    forsake_all();
}

void ReactorCore::forsake_all() noexcept {
    engine_->close();
    engine_->cancel(tidy_timer_);
    sampler_->forsake();
    for (const auto& run : runs_) {
        run->forsake(!is_forked_copy());
    }
    for (const auto& [id, watcher] : watchers_) {
        watcher->forsake();
    }
    watchers_.clear();
    for (const auto& [id, monitor] : monitors_) {
        monitor->forsake(!is_forked_copy());
    }
    monitors_.clear();
    live_ = 0;
}

}  // namespace proctor::detail
