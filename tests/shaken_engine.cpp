// SPDX-License-Identifier: MIT
#include "shaken_engine.hpp"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

#include "ring/sigpipe_guard.hpp"

namespace support {

using proctor::detail::Expected;
using proctor::detail::Nanoseconds;
using proctor::detail::Operation;
using proctor::detail::Read;
using proctor::detail::Ready;
using proctor::detail::SigpipeGuard;
using proctor::detail::Write;

namespace {

pollfd as_polled(const Operation& operation) {
    switch (operation.kind()) {
        case Operation::Kind::read: return {static_cast<const Read&>(operation).fd, POLLIN, 0};
        case Operation::Kind::write: return {static_cast<const Write&>(operation).fd, POLLOUT, 0};
        case Operation::Kind::ready: {
            const auto& ready = static_cast<const Ready&>(operation);
            return {ready.fd, ready.events, 0};
        }
    }
    return {};
}

std::string kind_of_file(int fd) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) return "nothing";
    if (S_ISFIFO(status.st_mode)) return "pipe";
    if (S_ISSOCK(status.st_mode)) return "socket";
    if (S_ISCHR(status.st_mode)) return "device";
    char target[64] = {};
    const ssize_t length = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target, sizeof target - 1);
    const std::string_view name(target, static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
    if (name.find("timerfd") != std::string_view::npos) return "timerfd";
    return name.find("pidfd") != std::string_view::npos ? "pidfd" : "file";
}

int answer(ssize_t count) { return count >= 0 ? static_cast<int>(count) : -errno; }

}  // namespace

std::string ShakenEngine::place_of(const Operation& operation) {
    const std::string file = kind_of_file(as_polled(operation).fd);
    switch (operation.kind()) {
        case Operation::Kind::read: return "read " + file;
        case Operation::Kind::write:
            return static_cast<const Write&>(operation).offset != Write::at_position ? "write spool" : "write " + file;
        case Operation::Kind::ready: return "poll " + file;
    }
    return "";
}

bool ShakenEngine::end_faults() { return !std::exchange(fault_, std::nullopt).has_value(); }

// What was cancelled fails by that.
bool ShakenEngine::is_to_fail(const Operation& operation) {
    return fault_ && !operation.cancelled() && place_of(operation) == fault_->place && fault_->number-- == 0;
}

void ShakenEngine::start(Operation& operation) noexcept {
    operation.begin();
    in_flight_.push_back(&operation);
}

void ShakenEngine::cancel(Operation& operation) noexcept {
    if (operation.in_flight()) {
        operation.mark_cancelled();
    }
}

void ShakenEngine::close() noexcept {
    left_at_close_ += in_flight_.size();
    in_flight_.clear();
    done_.clear();
}

int ShakenEngine::write_at_once(int fd, std::span<const char> data) noexcept {
    if (one_in(3)) {
        return note("at once: not now", -EAGAIN);
    }
    SigpipeGuard guard(true);
    const int result = answer(::write(fd, data.data(), up_to(data.size())));
    guard.consume();
    return result >= 0 ? result : -EAGAIN;
}

Expected<void> ShakenEngine::pass(Nanoseconds timeout) {
    std::vector<Operation*> ready = find_ready(timeout);
    std::shuffle(ready.begin(), ready.end(), random_);
    if (one_in(2)) {
        read_ahead(ready);
    }
    if (ready.size() > 1 && !one_in(4)) {
        const std::size_t some = up_to(ready.size());
        deeds_["left for later"] += ready.size() - some;
        ready.resize(some);
    }
    for (Operation* const operation : ready) {
        complete(*operation);
    }
    if (one_in(4)) {
        note("timers late", 0);
    } else {
        fire_timers();
    }
    return {};
}

std::vector<Operation*> ShakenEngine::find_ready(Nanoseconds timeout) {
    std::vector<pollfd> polled;
    bool any_now = !done_.empty();
    for (const Operation* const each : in_flight_) {
        polled.push_back(as_polled(*each));
        any_now = any_now || each->cancelled();
    }
    const Nanoseconds wait = any_now ? Nanoseconds::zero() : wait_at_most(timeout);
    const timespec time{wait.count() / 1'000'000'000, wait.count() % 1'000'000'000};
    ::ppoll(polled.data(), polled.size(), wait == wait_for_ever ? nullptr : &time, nullptr);
    std::vector<Operation*> ready;
    for (std::size_t i = 0; i < polled.size(); ++i) {
        if (polled[i].revents != 0 || in_flight_[i]->cancelled() || done_.count(in_flight_[i]) > 0) {
            ready.push_back(in_flight_[i]);
        }
    }
    return ready;
}

// As a ring, which has taken the data of many reads when the first of them is told. What is cancelled from now on comes
// with its result nevertheless.
void ShakenEngine::read_ahead(const std::vector<Operation*>& ready) {
    for (Operation* const operation : ready) {
        if (operation->kind() != Operation::Kind::read || operation->cancelled() || done_.count(operation) > 0 ||
            one_in(4) || (fault_ && fault_->place.starts_with("read"))) {
            continue;
        }
        const int result = perform(*operation);
        if (result == -EAGAIN) {
            continue;
        }
        auto& read = static_cast<Read&>(*operation);
        read.arriving = result > 0;
        done_[operation] = {note("read ahead", result), {read.data.begin(), read.data.end()}};
    }
}

void ShakenEngine::complete(Operation& operation) {
    if (const auto found = done_.find(&operation); found != done_.end()) {
        Done done = std::move(found->second);
        done_.erase(found);
        return tell(operation, std::move(done));
    }
    if (is_to_fail(operation)) {
        const int error_number = std::exchange(fault_, std::nullopt)->error_number;
        return tell(operation, {-error_number, {}});
    }
    const bool cancelled = operation.cancelled();
    if (operation.kind() == Operation::Kind::read && !cancelled && one_in(16)) {
        note("no buffer", 0);
        return;
    }
    int result = cancelled && !one_in(3) ? -ECANCELED : result_of(operation);
    const bool is_ready = operation.kind() == Operation::Kind::ready;
    if (result == -EAGAIN && (is_ready || !one_in(8))) {
        if (!cancelled) {
            return;  // somebody else was quicker
        }
        result = -ECANCELED;
    }
    if (result == -ECANCELED) {
        note("cancelled", 0);
    }
    tell(operation, {result, {}});
}

void ShakenEngine::tell(Operation& operation, Done done) {
    std::erase(in_flight_, &operation);
    if (operation.kind() == Operation::Kind::read) {
        auto& read = static_cast<Read&>(operation);
        read.arriving = false;
        if (!done.data.empty()) {
            read.data = done.data;
        }
    }
    operation.finish(done.result);
}

int ShakenEngine::result_of(Operation& operation) {
    if (operation.kind() != Operation::Kind::ready) {
        if (one_in(12)) {
            return note("EINTR", -EINTR);
        }
        if (one_in(12)) {
            return note("EAGAIN", -EAGAIN);
        }
    }
    return perform(operation);
}

int ShakenEngine::perform(Operation& operation) {
    switch (operation.kind()) {
        case Operation::Kind::read: {
            auto& read = static_cast<Read&>(operation);
            // A timerfd is read in one piece.
            const std::size_t most = one_in(2) ? std::max<std::size_t>(8, up_to(200)) : buffer_.size();
            const int result = answer(::read(read.fd, buffer_.data(), most));
            if (result >= 0) {
                read.data = {buffer_.data(), static_cast<std::size_t>(result)};
            }
            return note(most == buffer_.size() ? "read" : "short read", result);
        }
        case Operation::Kind::write: {
            const auto& write = static_cast<Write&>(operation);
            const std::size_t most = one_in(2) ? up_to(write.data.size()) : write.data.size();
            SigpipeGuard guard(true);
            const int result = answer(write.offset == Write::at_position ? ::write(write.fd, write.data.data(), most)
                                                                         : ::pwrite(write.fd, write.data.data(), most,
                                                                                    static_cast<off_t>(write.offset)));
            guard.consume();
            return note(most == write.data.size() ? "write" : "short write", result);
        }
        case Operation::Kind::ready: break;
    }
    pollfd polled = as_polled(operation);
    ::poll(&polled, 1, 0);
    return polled.revents != 0 ? note("ready", polled.revents) : -EAGAIN;
}

}  // namespace support
